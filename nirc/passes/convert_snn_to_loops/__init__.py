"""`convert-snn-to-loops`: a network becomes a function of any number of steps, in `scf`, `arith` and `memref`.

One loop over time; in it, op by op in the network's order: neighbouring elementwise ops of one shape are one loop over
their elements, products with weights go event by event (see `kernels`). Weights are arguments, as are states, rasters
and scratch memory: `cpu.kernel` lists them, so the code depends on shapes alone and nothing large passes through it.

Where there are scans (`snn-split-components`), a layer of neurons whose weights do not stay in the fast caches runs for
a chunk of steps on end, tile by tile of its neurons, so that weights are fetched once a chunk; the scans between two
such layers share a loop over time. What leads from one loop to the next is a raster of a chunk of steps.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from xdsl.context import Context
from xdsl.dialects import arith, func
from xdsl.dialects.builtin import IndexType, ModuleOp, f32, f64, i1, i8, i32, i64
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import cpu, snn
from nirc.dialects.dense import Array, Dense, ElementType, Tensor, array, dense, doubles, tensor
from nirc.dialects.nir import quote
from nirc.passes.convert_snn_to_loops import kernels
from nirc.passes.convert_snn_to_loops.code import Buffer, Code, Index, memory, volume
from nirc.passes.convert_snn_to_loops.elementwise import ELEMENTWISE, element

CHUNK = 64
"""Steps that a loop runs on end before the next one begins."""
RESIDENT = 2**18
"""Bytes of weights beyond which a layer has a loop of its own."""

EDGES = ("auto", "events", "dense")

EVENT_DRIVEN = (snn.LinearOp, snn.ConvOp, snn.PoolOp)

INPUTS = {"graded": None, "events": i8, "spikes": i1}
"""What input rasters may hold, and in what; None: the network's own type."""


@dataclass(frozen=True)
class ConvertSnnToLoopsPass(ModulePass):
    """Turn every `snn.network` into a function and its contract.

    inputs  `graded`: rasters hold numbers of the network's precision; `events`: counts in a byte, 0 to 255; `spikes`: 0
            or 1 in a byte
    record  what to write besides the outputs: `node.spikes`, or `node.state` after the step
    lanes   samples to work on side by side: the elements of all stand in memory where that of one would
    edges   `events`: what is not 0 is listed first, and adds its weights; `dense`: all elements do; `auto`: dense where
            numbers come

    Raises PassFailedException where something to record does not exist.
    """

    name = "convert-snn-to-loops"

    inputs: str = "graded"
    record: tuple[str, ...] = ()
    lanes: int = 1
    edges: str = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.inputs not in INPUTS:
            raise PassFailedException(f"inputs '{self.inputs}' is not one of {', '.join(INPUTS)}")
        if self.lanes != 1 and (self.lanes < 8 or self.lanes % 8):
            raise PassFailedException(f"lanes must be 1 or a multiple of 8, got {self.lanes}")
        if self.edges not in EDGES:
            raise PassFailedException(f"edges '{self.edges}' is not one of {', '.join(EDGES)}")
        for network in tuple(op.ops):
            if isinstance(network, snn.NetworkOp):
                kernel, function = _Function(network, self).build()
                op.body.block.insert_ops_before([kernel, function], network)
                network.detach()
                network.erase()


class _Function:
    """One network on its way to a function."""

    def __init__(self, network: snn.NetworkOp, options: ConvertSnnToLoopsPass):
        lanes = options.lanes
        self.network, self.inputs, self.lanes, self.edges = network, options.inputs, lanes, options.edges
        self.arguments = list[cpu.ArgumentAttr]()
        self.entry = Block()
        self.parameters: list[BlockArgument[Attribute]] = [BlockArgument(IndexType(), self.entry, 0)]
        self.code = Code(self.entry, lanes)
        self.split = any(isinstance(op, snn.ScanOp) for op in network.body.block.ops)
        self.parts = _parts(network, lanes)
        """The ops of each loop over time."""
        self.ops = [op for part in self.parts for op in part]
        self.part_of: dict[Operation | Block, int] = {op: n for n, part in enumerate(self.parts) for op in part}
        self.group = _groups(self.parts)
        self.summed = self.sum_in_loops() if lanes > 1 else frozenset[SSAValue]()
        """The products with matrices that stand in the loop of their only reader."""
        self.nexts = dict(zip(network.state_args, network.next_values, strict=True))
        self.recorded = _recorded(network, options.record)
        self.buffers = dict[SSAValue, Buffer]()
        self.also = dict[SSAValue, list[Buffer]]()
        """Where else a value is written besides its own buffer."""
        self.rows = list[Buffer]()
        """The rasters of the caller."""
        self.chunks = list[Buffer]()
        """The rasters of a chunk of steps."""
        self.gathered = list[tuple[Buffer, Buffer]]()
        """Rows of input of several samples, and where their elements lie side by side."""
        self.late = list[tuple[SSAValue, SSAValue]]()
        """Values that become states when the step is over, and these."""
        self.events = dict[SSAValue, kernels.Events]()
        self.constants = dict[tuple[Dense, tuple[int, ...]], Buffer]()
        self.kept = self.keep_lists()
        """States that are listed already when a step begins, by the value that becomes the state."""
        self.lists = dict[SSAValue, tuple[Buffer, Buffer]]()
        """Where their events, and the number of these, stand from step to step."""
        self.cleared = self.read_once()
        """The sums that their only reader sets to 0 again, which saves a loop over them."""

    # -- memory

    def argument(self, role: str, label: str, kind: Tensor, content: Dense | None = None) -> Buffer:
        """A new parameter."""
        size, raster = volume(kind.get_shape()), role in ("input", "output")
        if not raster and any(known.label.data == label for known in self.arguments):
            label = f"{label}.{len(self.arguments)}"
        hint = "".join(c if c.isascii() and c.isalnum() else "_" for c in f"{role}_{label}")
        own = self.lanes if role == "state" and self.lanes > 1 else 1
        parameter = self.parameter(memory(kind.element_type, None if raster else size * own), hint)
        self.arguments.append(cpu.ArgumentAttr(role, label, kind, content))
        buffer = Buffer(parameter, kind.element_type, size)
        if role == "state" and self.lanes > 1:
            buffer.apart, buffer.across = self.lanes, 1
        if raster:
            buffer.stride = self.parameter(IndexType(), f"{hint}_stride")
            self.rows.append(buffer)
            if self.lanes > 1:
                buffer.apart = self.parameter(IndexType(), f"{hint}_apart")
                buffer.across = self.parameter(IndexType(), f"{hint}_across") if role == "input" else 1
        return buffer

    def parameter(self, kind: Attribute, hint: str) -> SSAValue:
        """A new parameter of the function."""
        parameter = BlockArgument(kind, self.entry, len(self.parameters))
        parameter.name_hint = hint
        self.parameters.append(parameter)
        return parameter

    def constant_buffer(self, values: Array, label: str) -> Buffer:
        """Weights in memory."""
        attr = dense(np.ascontiguousarray(values))
        return self.argument("constant", label, tensor(values.shape, attr.get_element_type()), attr)

    def per_element(self, attr: Dense, shape: tuple[int, ...], label: str) -> Buffer:
        """A constant with one number per element of a shape, in memory order."""
        key = (attr, shape)
        if key not in self.constants:
            values = np.broadcast_to(array(attr), shape)
            values = values.transpose(1, 2, 0) if len(shape) == 3 else values
            self.constants[key] = self.constant_buffer(values.ravel(), label)
        return self.constants[key]

    def shared(self, element: ElementType, size: int, label: str) -> Buffer:
        """Memory that holds what the samples have in common."""
        return self.argument("scratch", label, tensor((size,), element))

    def scratch(self, element: ElementType, size: int, label: str) -> Buffer:
        """Memory that holds a value within a step."""
        buffer = self.shared(element, size * self.lanes, label)
        if self.lanes > 1:
            return replace(buffer, size=size, apart=self.lanes, across=1)
        return buffer

    def plan(self) -> None:
        """Give inputs, states, outputs and every value that is read elsewhere their memory."""
        network = self.network
        for name, value in zip(network.inputs, network.input_args, strict=True):
            kind = snn.tensor_of(value)
            stands = None if kind.element_type == i1 else INPUTS[self.inputs]
            held = tensor(kind.get_shape(), stands or kind.element_type)
            raster = self.argument("input", name.data, held)
            raster.planes = kind.get_shape()[0] if len(kind.get_shape()) == 3 else 1
            self.buffers[value] = raster
            if self.lanes > 1:
                self.buffers[value] = self.scratch(held.element_type, raster.size, f"{name.data}.row")
                self.gathered.append((raster, self.buffers[value]))
        for state, value in zip(network.states, network.state_args, strict=True):
            self.buffers[value] = self.argument("state", state.label, snn.tensor_of(value), state.init)
        outputs = [(name.data, value) for name, value in zip(network.outputs, network.output_values, strict=True)]
        for name, value in [*outputs, *self.recorded.items()]:
            self.also.setdefault(value, []).append(self.argument("output", name, snn.tensor_of(value)))
        rings = {op.ring for op in self.ops if isinstance(op, snn.DelayOp)}
        for state, value in self.nexts.items():
            if state in rings:
                continue
            if isinstance(value.owner, Operation) and self.unread_after(state, value.owner):
                self.also.setdefault(value, []).append(self.buffers[state])
            else:
                self.late.append((value, state))
        late = {value for value, _ in self.late}
        for op in self.ops:
            for value in op.results:
                if (isinstance(op, snn.DelayOp) and value is op.next) or value in self.summed:
                    continue
                inside = all(
                    isinstance(use.operation, ELEMENTWISE) and self.group[use.operation] == self.group[op]
                    for use in value.uses
                    if not isinstance(use.operation, snn.YieldOp)
                )
                if any(self.part_of.get(use.operation, self.part_of[op]) != self.part_of[op] for use in value.uses):
                    self.buffers[value] = self.chunk(value)
                elif isinstance(op, ELEMENTWISE) and value in self.also:
                    self.buffers[value] = self.also[value].pop(0)
                elif not isinstance(op, ELEMENTWISE) or not inside or value in late:
                    kind = snn.tensor_of(value)
                    label = f"{_label(op)}.{len(self.arguments)}"
                    self.buffers[value] = self.scratch(kind.element_type, volume(kind.get_shape()), label)

    def chunk(self, value: SSAValue) -> Buffer:
        """Memory for a value of each step of a chunk."""
        kind = snn.tensor_of(value)
        buffer = self.shared(kind.element_type, CHUNK * volume(kind.get_shape()), f"chunk.{len(self.arguments)}")
        self.chunks.append(replace(buffer, size=volume(kind.get_shape())))
        return self.chunks[-1]

    def read_once(self) -> set[SSAValue]:
        """The sums over windows that the ops of one elementwise loop read, and nothing else."""
        ops = (op for op in self.ops if isinstance(op, snn.ConvOp | snn.PoolOp))
        return {op.output for op in ops if self.only_reader(op.output) is not None}

    def keep_lists(self) -> dict[SSAValue, SSAValue]:
        """The values whose events are listed in a step and needed in the next as those of a state."""
        place = {op: n for n, op in enumerate(self.ops)}

        def readers(value: SSAValue) -> list[int]:
            return [place[op] for use in value.uses if isinstance(op := use.operation, EVENT_DRIVEN)]

        found = dict[SSAValue, SSAValue]()
        for state, value in self.nexts.items():
            before, after = readers(state), readers(value)
            together = len({self.part_of[self.ops[n]] for n in before + after}) == 1
            if before and after and together and max(before) < min(after) and self.edges != "dense":
                found[value] = state
        return found

    def only_reader(self, value: SSAValue) -> int | None:
        """The elementwise loop that alone reads a value."""
        readers = [use.operation for use in value.uses]
        loops = {self.group[reader] for reader in readers if isinstance(reader, ELEMENTWISE)}
        return loops.pop() if len(loops) == 1 and all(isinstance(reader, ELEMENTWISE) for reader in readers) else None

    def sum_in_loops(self) -> frozenset[SSAValue]:
        """Move products with matrices into the loop that alone reads them, so that their sums need no memory."""
        readers = {
            op: loop
            for op in self.ops
            if isinstance(op, snn.LinearOp) and (loop := self.only_reader(op.output)) is not None
        }
        self.group |= readers
        # Stable: within a loop the products, which come first, and the others stay in order.
        for part in self.parts:
            part.sort(key=lambda op: (self.group[op], op not in readers))
        self.ops = [op for part in self.parts for op in part]
        return frozenset(op.output for op in readers)

    def unread_after(self, state: SSAValue, op: Operation) -> bool:
        """Whether nothing reads a state once the op's loop has written its next value."""
        here = self.group.get(op)
        if here is None:
            return False
        for use in state.uses:
            reader = use.operation
            if isinstance(reader, snn.YieldOp):
                return False
            at = self.group[reader]
            if at > here or (at == here and not isinstance(reader, ELEMENTWISE)):
                return False
        return True

    # -- code

    def build(self) -> tuple[cpu.KernelOp, func.FuncOp]:
        """The contract and the function."""
        self.plan()
        code = self.code
        for value, state in self.kept.items():
            self.keep_list(value, state)
        steps = self.parameters[0]
        if len(self.parts) == 1 and not self.is_layer(0):
            with code.loop(steps) as t:
                self.step(0, t, t)
        else:
            with code.loop(code.index(code.divided(code.index(code.add(steps, CHUNK - 1)), CHUNK)[0])) as number:
                first = code.mul(number, CHUNK)
                count = code.least(code.sub(steps, first), CHUNK)
                for n in range(len(self.parts)):
                    self.events.clear()  # Lists of one loop's steps.
                    if self.is_layer(n):
                        self.layer(n, first, count)
                    else:
                        with code.loop(count) as t:
                            self.step(n, code.add(first, t), t)
        code.do(func.ReturnOp())
        self.entry._args = tuple(self.parameters)  # pyright: ignore[reportPrivateUsage]
        kinds = [parameter.type for parameter in self.parameters]
        name = self.network.sym_name.data
        function = func.FuncOp(name, (kinds, []), Region(self.entry))
        return cpu.KernelOp(name, self.arguments, self.lanes), function

    def at_step(self, t: Index, of_chunk: Index) -> None:
        """From here on rasters are read and written at a step, which is one of the chunk at hand."""
        for row in self.rows:
            assert row.stride is not None
            row.start = self.code.index(self.code.mul(t, row.stride))
        for row in self.chunks:
            row.start = self.code.index(self.code.mul(of_chunk, row.size))

    def step(self, part: int, t: Index, of_chunk: Index) -> None:
        """A step of a part."""
        code = self.code
        self.at_step(t, of_chunk)
        for raster, row in self.gathered:
            kernels.gather(code, raster, row)
        for _, group in groupby(self.parts[part], self.group.__getitem__):
            ops = list(group)
            if isinstance(ops[-1], ELEMENTWISE):
                products = [op for op in ops if isinstance(op, snn.LinearOp)]
                self.elementwise(products, ops[len(products) :])
            else:
                self.single(ops[0])
        for value, targets in self.also.items():
            if isinstance(value, BlockArgument) and self.home(value) == part:
                for target in targets:
                    kernels.copy(code, self.buffers[value], target)
        self.end_of_step(part)

    def is_layer(self, part: int) -> bool:
        """Whether a part is a layer with nothing to do at the end of a step."""
        moved = [
            *(value for value in self.also if isinstance(value, BlockArgument)),
            *(state for _, state in self.late),
        ]
        return (
            _is_layer(self.parts[part], self.nexts)
            and self.split
            and self.lanes == 1
            and all(self.home(value) != part for value in moved)
        )

    def home(self, argument: SSAValue) -> int:
        """The part that has to do with a state or an input, the last where none has."""
        next = self.nexts.get(argument)
        ops = [use.operation for use in argument.uses if use.operation in self.part_of]
        ops += [next.owner] if next is not None and next.owner in self.part_of else []
        return self.part_of[ops[0]] if ops else len(self.parts) - 1

    def end_of_step(self, part: int) -> None:
        """States take over what was still read while the step ran; a state that becomes another goes by scratch."""
        moved = list[tuple[Buffer, Buffer]]()
        for value, state in self.late:
            if self.home(state) != part:
                continue
            source = self.buffers[value]
            if isinstance(value, BlockArgument):
                kept = self.scratch(source.element, source.size, f"late.{len(self.arguments)}")
                kernels.copy(self.code, source, kept)
                source = kept
            moved.append((source, self.buffers[state]))
        for source, state in moved:
            kernels.copy(self.code, source, state)

    def layer(self, part: int, first: Index, count: Index) -> None:
        """A chunk of steps of neurons that do not depend on each other: tile by tile, and in a tile step by step."""
        code = self.code
        products = [op for op in self.parts[part] if isinstance(op, snn.LinearOp)]
        ops = self.parts[part][len(products) :]
        lists = dict[SSAValue, tuple[Buffer, Buffer]]()
        for value in dict.fromkeys(op.input for op in products if not self.dense(op.input)):
            source = self.buffers[value]
            places, numbers = self.shared(i32, CHUNK * source.size, "events"), self.shared(i64, CHUNK, "count")
            with code.loop(count) as t:
                self.at_step(code.add(first, t), t)
                row = replace(places, start=code.mul(t, source.size))
                code.store(code.op(arith.IndexCastOp(kernels.compact(code, source, row).count, i64)), numbers, t)
            lists[value] = places, numbers
        held = self.held(ops)
        weights = {op: self.weights(op) for op in products}

        def tile(start: Index, width: int) -> None:
            with code.loop(count) as t:
                self.at_step(code.add(first, t), t)
                for op in products:
                    source = self.buffers[op.input]
                    listed = kernels.Events(source, None, code.index(source.size))
                    if op.input in lists:
                        places, numbers = lists[op.input]
                        number = code.op(arith.IndexCastOp(code.load(numbers, t), IndexType()))
                        row = replace(places, start=code.index(code.mul(t, source.size)))
                        listed = kernels.Events(source, row, number)
                    kernels.tile(code, listed, weights[op], self.buffers[op.output], start, width)
                with code.loop(width) as n:
                    self.elements(ops, code.add(start, n), held, {})

        kernels.tiles(code, volume(snn.tensor_of(ops[0].results[0]).get_shape()), tile)

    def held(self, ops: list[snn.SnnOp]) -> dict[Dense, Buffer]:
        """The constants of elementwise ops that differ from element to element."""
        shape = snn.tensor_of(ops[0].results[0]).get_shape()
        return {
            attr: self.per_element(attr, shape, f"{_label(op)}.{name}")
            for op in ops
            for name, attr in op.constants()
            if attr.get_shape()
        }

    def elementwise(self, products: list[snn.LinearOp], ops: list[snn.SnnOp]) -> None:
        """One loop over the elements of neighbouring ops, and over the sums that they read."""
        code = self.code
        shape = snn.tensor_of(ops[0].results[0]).get_shape()
        held = self.held(ops)
        if not products:
            with code.each(volume(shape)) as n:
                self.elements(ops, n, held, {})
            return
        factors = [(op.output, self.events_of(op.input), self.weights(op)) for op in products]

        def tile(first: Index, width: int) -> None:
            with code.samples():
                totals = {
                    value: kernels.sums(code, events, weights, first, width, snn.tensor_of(value).element_type)
                    for value, events, weights in factors
                }
                for n in range(width):
                    self.elements(ops, code.add(first, n), held, {value: each[n] for value, each in totals.items()})

        kernels.tiles(code, volume(shape), tile)

    def elements(
        self, ops: list[snn.SnnOp], n: Index, held: dict[Dense, Buffer], values: dict[SSAValue, SSAValue]
    ) -> None:
        """The n-th elements of neighbouring ops; values: those that are there already."""
        code, loaded = self.code, dict[Dense, SSAValue]()

        def constant(attr: Dense) -> SSAValue:
            if attr not in held:
                return code.constant(float(doubles(attr)), attr.get_element_type())
            if attr not in loaded:
                loaded[attr] = code.load(held[attr], n)
            return loaded[attr]

        for op in ops:
            for value in op.operands:
                if value not in values:
                    x, kind = code.load(self.buffers[value], n), snn.tensor_of(value).element_type
                    values[value] = x if kind in (i1, i32) else code.graded(x, kind)
            result = op.results[0]
            values[result] = element(code, op, [values[value] for value in op.operands], constant)
        for value in (value for value in values if value in self.cleared):
            code.store(code.constant(0.0, self.buffers[value].element), self.buffers[value], n)
        for op in ops:
            for target in self.targets(op.results[0]):
                code.store(values[op.results[0]], target, n)

    def targets(self, value: SSAValue) -> list[Buffer]:
        """Everywhere that a value is written."""
        own = [self.buffers[value]] if value in self.buffers else []
        return own + self.also.get(value, [])

    def single(self, op: snn.SnnOp) -> None:
        """An op with a loop of its own."""
        code = self.code
        output = self.buffers[op.results[0]]
        match op:
            case snn.LinearOp():
                kernels.linear(code, self.events_of(op.input), self.weights(op), output)
            case snn.ConvOp() | snn.PoolOp():
                weights = None
                if isinstance(op, snn.ConvOp):
                    weights = self.constant_buffer(kernels.window_weights(op), f"{_label(op)}.weight")
                if op.output not in self.cleared:
                    kernels.fill(code, output, 0, output.size)
                kernels.window(code, op, self.events_of(op.input), weights, output)
            case snn.ReshapeOp():
                shapes = (snn.tensor_of(value).get_shape() for value in (op.input, op.output))
                before, after = shapes
                kernels.reshape(code, self.buffers[op.input], before, output, after)
            case snn.DelayOp():
                self.delay(op, output)
            case _:
                raise PassFailedException(f"node {op.label}: no loops for {op.name}")
        for target in self.also.get(op.results[0], []):
            kernels.copy(code, output, target)

    def weights(self, op: snn.LinearOp) -> Buffer:
        """A matrix as the kernel reads it."""
        return self.constant_buffer(kernels.packed(array(op.weight), self.lanes), f"{_label(op)}.weight")

    def delay(self, op: snn.DelayOp, output: Buffer) -> None:
        shape = snn.tensor_of(op.input).get_shape()
        length = snn.tensor_of(op.ring).get_shape()[0]
        steps = self.per_element(op.steps, shape, f"{_label(op)}.steps") if op.steps.get_shape() else None
        ago = int(array(op.steps)) if steps is None else steps
        zero = dense(np.zeros((), np.int64))
        head = self.argument("state", f"{_label(op)}.head", tensor((1,), i64), zero)
        kernels.delay(self.code, self.buffers[op.input], self.buffers[op.ring], head, ago, length, output)

    def events_of(self, value: SSAValue) -> kernels.Events:
        """The events of a value, listed once a step."""
        if value not in self.events:
            code, source = self.code, self.buffers[value]
            if self.dense(value):
                self.events[value] = kernels.Events(source, None, code.index(source.size))
            elif value in self.lists and isinstance(value, BlockArgument):
                places, number = self.lists[value]
                count = code.op(arith.IndexCastOp(code.load(number, 0), IndexType()))
                self.events[value] = kernels.Events(source, places, count)
            elif value in self.lists:
                places, number = self.lists[value]
                self.events[value] = kernels.compact(code, source, places)
                code.store(code.op(arith.IndexCastOp(self.events[value].count, i64)), number, 0)
            else:
                self.events[value] = kernels.compact(code, source, self.places(source))
        return self.events[value]

    def dense(self, value: SSAValue) -> bool:
        """Whether all elements of a value go into products: of pooled, scaled or delayed spikes most are 0."""
        if self.edges != "auto":
            return self.edges == "dense"
        if isinstance(value.owner, snn.PoolOp | snn.ScaleOp | snn.SumOp | snn.ReshapeOp | snn.DelayOp):
            passed = value.owner.operands[:1] if isinstance(value.owner, snn.DelayOp) else value.owner.operands
            return any(self.dense(before) for before in passed)
        held = self.buffers.get(value)
        return (snn.tensor_of(value).element_type if held is None else held.element) in (f32, f64)

    def places(self, source: Buffer) -> Buffer:
        """Memory for a list of events."""
        return self.shared(i32, source.size, f"events.{len(self.arguments)}")

    def keep_list(self, value: SSAValue, state: SSAValue) -> None:
        """List the events of a state before the first step, for a list that goes on from step to step."""
        code, source = self.code, self.buffers[state]
        places, number = self.places(source), self.shared(i64, 1, f"count.{len(self.arguments)}")
        count = kernels.compact(code, source, places).count
        code.store(code.op(arith.IndexCastOp(count, i64)), number, 0)
        self.lists[state] = self.lists[value] = places, number


def _label(op: snn.SnnOp) -> str:
    return op.node.data if op.node else op.name


def _parts(network: snn.NetworkOp, lanes: int) -> list[list[snn.SnnOp]]:
    """The ops of each loop over time, out of their scans; one loop where there are none."""
    states = frozenset(network.state_args)
    scans = [op for op in network.body.block.ops if isinstance(op, snn.ScanOp)]
    inside = [[op for op in scan.body.block.ops if isinstance(op, snn.SnnOp)] for scan in scans]
    for scan in scans:
        for result, value in zip(scan.outputs, scan.yielded.values, strict=True):
            result.replace_all_uses_with(value)
    every = [op for op in network.body.block.walk() if isinstance(op, snn.SnnOp)]
    if lanes > 1 or len(every) != sum(map(len, inside)):
        return [every]
    parts = list[list[snn.SnnOp]]()
    for ops in inside:
        if parts and not any(_is_layer(part, states) for part in (ops, parts[-1])):
            parts[-1] += ops
        else:
            parts.append(ops)
    return parts or [[]]


def _is_layer(part: list[snn.SnnOp], states: Container[SSAValue]) -> bool:
    """Whether ops are products with large matrices and elementwise ops, their only readers, and nothing that these give
    reaches a product, not by a state either."""
    products = [op for op in part if isinstance(op, snn.LinearOp)]
    ops: list[Operation] = list(part[len(products) :])
    inputs = [op.input for op in products]
    return (
        len(ops) > 0
        and sum(array(op.weight).nbytes for op in products) > RESIDENT
        and all(isinstance(op, ELEMENTWISE) for op in ops)
        and len({snn.tensor_of(op.results[0]).get_shape() for op in ops}) == 1
        and all(use.operation in ops for op in products for use in op.output.uses)
        and not any(value in states or value.owner in part for value in inputs)
    )


def _groups(parts: list[list[snn.SnnOp]]) -> dict[Operation, int]:
    """The loop over elements that each op stands in: neighbouring elementwise ops of one shape share theirs."""
    group = dict[Operation, int]()
    count = 0
    for part in parts:
        last: snn.SnnOp | None = None
        for op in part:
            alike = (
                last is not None
                and isinstance(op, ELEMENTWISE)
                and isinstance(last, ELEMENTWISE)
                and snn.tensor_of(op.results[0]).get_shape() == snn.tensor_of(last.results[0]).get_shape()
            )
            count += not alike
            group[op], last = count, op
    return group


def _recorded(network: snn.NetworkOp, record: Sequence[str]) -> dict[str, SSAValue]:
    """The values to record by key."""
    ops = list(network.body.block.walk())
    known: dict[str, SSAValue] = {
        f"{op.node.data}.spikes": op.spikes for op in ops if isinstance(op, snn.FireOp) and op.node
    }
    # A ring stands in memory with its oldest row anywhere.
    rings = {op.ring for op in ops if isinstance(op, snn.DelayOp)}
    states = zip(network.states, network.state_args, network.next_values, strict=True)
    known |= {state.label: value for state, arg, value in states if arg not in rings}
    outputs, faults = {name.data for name in network.outputs}, list[str]()
    for key in record:
        if key in outputs:
            faults.append(f"cannot record {quote(key)}: an Output has that name, which would be lost")
        elif key not in known:
            node = key.rpartition(".")[0]
            near = [item for item in known if item.rpartition(".")[0] in (key, node)] or list(known)
            listed = f"{', '.join(near[:12])}{' ...' if len(near) > 12 else ''}"
            faults.append(f"cannot record {quote(key)}; there are {listed}")
    if faults:
        raise PassFailedException("\n".join(faults))
    return {key: known[key] for key in record}
