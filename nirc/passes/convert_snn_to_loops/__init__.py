"""`convert-snn-to-loops`: a network becomes a function of any number of steps, in `scf`, `arith` and `memref`.

One loop over time; in it, op by op in the network's order: neighbouring elementwise ops of one shape are one loop over
their elements, products with weights go event by event (see `kernels`). Weights are arguments, as are states, rasters
and scratch memory: `cpu.kernel` lists them, so the code depends on shapes alone and nothing large passes through it.

Where there are scans (`snn-split-components`), a layer of neurons whose weights do not stay in the fast caches runs for
a chunk of steps on end, tile by tile of its neurons, so that weights are fetched once a chunk; the scans between two
such layers share a loop over time. What leads from one loop to the next is a raster of a chunk of steps.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
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
from nirc.dialects.dense import Array, Dense, ElementType, Tensor, array, dense, doubles, dtype_of, tensor
from nirc.dialects.nir import quote
from nirc.passes.convert_snn_to_loops import kernels
from nirc.passes.convert_snn_to_loops.code import TILE, Buffer, Code, Index, memory, padded, stored, volume
from nirc.passes.convert_snn_to_loops.elementwise import ELEMENTWISE, element
from nirc.passes.convert_snn_to_loops.loops import Loops

CHUNK = 64
"""Steps that a loop runs on end before the next one begins."""
EDGES = ("auto", "events", "dense")

EVENT_DRIVEN = (snn.LinearOp, snn.ConvOp, snn.PoolOp)

INPUTS = {"graded": None, "sparse": None, "events": i8, "spikes": i1}
"""What input rasters may hold, and in what; None: the network's own type."""


@dataclass(frozen=True)
class ConvertSnnToLoopsPass(ModulePass):
    """Turn every `snn.network` into a function and its contract.

    inputs  `graded`: rasters hold numbers of the network's precision; `sparse`: such, of which most are 0; `events`:
            counts in a byte, 0 to 255; `spikes`: 0 or 1 in a byte
    record  what to write besides the outputs: `node.spikes`, or `node.state` after the step
    batch   any number of samples, for machines with vectors: neurons stand in them side by side, spikes in words
    edges   `events`: what is not 0 is listed first, and adds its weights; `dense`: all elements do; `auto`: dense where
            numbers come

    Raises PassFailedException where something to record does not exist.
    """

    name = "convert-snn-to-loops"

    inputs: str = "graded"
    record: tuple[str, ...] = ()
    batch: bool = False
    edges: str = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.inputs not in INPUTS:
            raise PassFailedException(f"inputs '{self.inputs}' is not one of {', '.join(INPUTS)}")
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
        self.network, self.inputs, self.batch, self.edges = network, options.inputs, options.batch, options.edges
        self.arguments = list[cpu.ArgumentAttr]()
        self.entry = Block()
        self.parameters: list[BlockArgument[Attribute]] = [
            BlockArgument(IndexType(), self.entry, n) for n in range(2 if self.batch else 1)
        ]
        self.code = Code(self.entry, vectors=self.batch)
        self.loops = Loops(network, vectors=self.batch)
        self.nexts = self.loops.nexts
        self.recorded = _recorded(network, options.record)
        self.buffers = dict[SSAValue, Buffer]()
        self.also = dict[SSAValue, list[Buffer]]()
        """Where else a value is written besides its own buffer."""
        self.samples = list[Buffer]()
        """The states, of which each sample has its own."""
        self.rows = list[Buffer]()
        """The rasters of the caller."""
        self.chunks = list[Buffer]()
        """The rasters of a chunk of steps."""
        self.late = list[tuple[SSAValue, SSAValue]]()
        """Values that become states when the step is over, and these."""
        self.events = dict[SSAValue, kernels.Elements]()
        self.constants = dict[tuple[Dense, tuple[int, ...]], Buffer]()
        self.kept = {} if self.batch else self.keep_lists()
        """States that are listed already when a step begins, by the value that becomes the state."""
        self.lists = dict[SSAValue, tuple[Buffer, Buffer]]()
        """Where their events, and the number of these, stand from step to step."""
        self.cleared = self.loops.read_once()
        """The sums that their only reader sets to 0 again, which saves a loop over them."""

    # -- memory

    def argument(self, role: str, label: str, kind: Tensor, content: Dense | None = None) -> Buffer:
        """A new parameter."""
        size, raster = volume(kind.get_shape()), role in ("input", "output")
        if not raster and any(known.label.data == label for known in self.arguments):
            label = f"{label}.{len(self.arguments)}"
        hint = "".join(c if c.isascii() and c.isalnum() else "_" for c in f"{role}_{label}")
        parameter = self.parameter(
            memory(kind.element_type, None if raster or (self.batch and role == "state") else size), hint
        )
        self.arguments.append(cpu.ArgumentAttr(role, label, kind, content))
        buffer = Buffer(parameter, kind.element_type, size)
        if not raster:
            buffer.room = self.arguments[-1].lines // self.arguments[-1].dtype.itemsize
        if raster:
            buffer.stride = self.parameter(IndexType(), f"{hint}_stride")
            buffer.apart = self.parameter(IndexType(), f"{hint}_apart") if self.batch else 0
            self.rows.append(buffer)
        elif role == "state" and self.batch:
            self.samples.append(buffer)
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

    def scratch(self, element: ElementType, size: int, label: str) -> Buffer:
        """Memory that holds a value within a step."""
        return self.argument("scratch", label, tensor((size,), element))

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
        for state, value in zip(network.states, network.state_args, strict=True):
            if value in self.nexts:
                self.buffers[value] = self.argument("state", state.label, snn.tensor_of(value), state.init)
        zero = dense(np.zeros((), np.int64))
        self.heads = {
            op: self.argument("state", f"{_label(op)}.head", tensor((1,), i64), zero)
            for op in self.loops.ops
            if isinstance(op, snn.DelayOp)
        }
        """Where the oldest row of each delay's ring stands."""
        pitch = sum(argument.lines for argument in self.arguments if argument.role.data == "state")
        for buffer in self.samples:
            buffer.apart = pitch // dtype_of(stored(buffer.element)).itemsize
        outputs = [(name.data, value) for name, value in zip(network.outputs, network.output_values, strict=True)]
        for name, value in [*outputs, *self.recorded.items()]:
            self.also.setdefault(value, []).append(self.argument("output", name, snn.tensor_of(value)))
        rings = {op.ring for op in self.loops.ops if isinstance(op, snn.DelayOp)}
        for state, value in self.nexts.items():
            if state in rings:
                continue
            if isinstance(value.owner, Operation) and self.unread_after(state, value.owner):
                self.also.setdefault(value, []).append(self.buffers[state])
            else:
                self.late.append((value, state))
        late = {value for value, _ in self.late}
        for op in self.loops.ops:
            for value in op.results:
                if (isinstance(op, snn.DelayOp) and value is op.next) or value in self.loops.summed:
                    continue
                inside = all(
                    (isinstance(use.operation, ELEMENTWISE) and self.loops.group[use.operation] == self.loops.group[op])
                    or (isinstance(use.operation, snn.LinearOp) and self.by_bits(value))
                    for use in value.uses
                    if not isinstance(use.operation, snn.YieldOp)
                )
                if any(
                    self.loops.part_of.get(use.operation, self.loops.part_of[op]) != self.loops.part_of[op]
                    for use in value.uses
                ):
                    self.buffers[value] = self.chunk(value)
                elif isinstance(op, ELEMENTWISE) and value in self.also:
                    self.buffers[value] = self.also[value].pop(0)
                elif op in self.loops.together:
                    self.share(self.loops.together[op])
                elif value in self.buffers:
                    continue
                elif not isinstance(op, ELEMENTWISE) or not inside or value in late:
                    kind = snn.tensor_of(value)
                    label = f"{_label(op)}.{len(self.arguments)}"
                    self.buffers[value] = self.scratch(kind.element_type, volume(kind.get_shape()), label)

    def share(self, products: list[snn.LinearOp]) -> None:
        """Memory for the sums of products that go through the same events at once, side by side."""
        sizes = [volume(snn.tensor_of(op.output).get_shape()) for op in products]
        kind = snn.tensor_of(products[0].output).element_type
        sums, first = self.scratch(kind, sum(sizes), f"{_label(products[0])}.{len(self.arguments)}"), 0
        for op, size in zip(products, sizes, strict=True):
            self.buffers[op.output] = replace(sums, size=size, start=self.code.index(first), room=sums.room - first)
            first += size

    def by_bits(self, value: SSAValue) -> bool:
        """Whether products go through the bits of spikes."""
        buffer = self.buffers.get(value)
        kind = snn.tensor_of(value).element_type if buffer is None else buffer.element
        return self.batch and kind == i1 and self.edges != "dense"

    def chunk(self, value: SSAValue) -> Buffer:
        """Memory for a value of each step of a chunk."""
        kind = snn.tensor_of(value)
        buffer = self.scratch(kind.element_type, CHUNK * volume(kind.get_shape()), f"chunk.{len(self.arguments)}")
        self.chunks.append(replace(buffer, size=volume(kind.get_shape()), room=0))
        return self.chunks[-1]

    def keep_lists(self) -> dict[SSAValue, SSAValue]:
        """The values whose events are listed in a step and needed in the next as those of a state."""
        place = {op: n for n, op in enumerate(self.loops.ops)}

        def readers(value: SSAValue) -> list[int]:
            return [place[op] for use in value.uses if isinstance(op := use.operation, EVENT_DRIVEN)]

        found = dict[SSAValue, SSAValue]()
        for state, value in self.nexts.items():
            before, after = readers(state), readers(value)
            together = len({self.loops.part_of[self.loops.ops[n]] for n in before + after}) == 1
            if before and after and together and max(before) < min(after) and self.edges != "dense":
                found[value] = state
        return found

    def unread_after(self, state: SSAValue, op: Operation) -> bool:
        """Whether nothing reads a state once the op's loop has written its next value."""
        here = self.loops.group.get(op)
        if here is None:
            return False
        for use in state.uses:
            reader = use.operation
            if isinstance(reader, snn.YieldOp):
                return False
            at = self.loops.group[reader]
            # Bits are collected before the loop.
            in_loop = isinstance(reader, snn.LinearOp) and self.by_bits(state)
            if at > here or (at == here and not in_loop and not isinstance(reader, ELEMENTWISE)):
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
        if len(self.loops.parts) == 1 and not self.is_layer(0):
            with code.loop(steps) as t, self.sample():
                self.step(0, t, t)
        else:
            chunks = code.divided(code.index(code.add(steps, CHUNK - 1)), CHUNK)[0]
            with self.sample(), code.loop(code.index(chunks)) as number:
                first = code.mul(number, CHUNK)
                count = code.least(code.sub(steps, first), CHUNK)
                for n in range(len(self.loops.parts)):
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
        return cpu.KernelOp(name, self.arguments, batch=self.batch), function

    @contextmanager
    def sample(self) -> Generator[None]:
        """The body for every sample."""
        if not self.batch:
            yield
            return
        with self.code.loop(self.parameters[1]) as self.number:
            for buffer in self.samples:
                buffer.start = self.code.index(self.code.mul(self.number, buffer.apart))
            yield

    def at_step(self, t: Index, of_chunk: Index) -> None:
        """From here on rasters are read and written at a step, which is one of the chunk at hand."""
        for row in self.rows:
            assert row.stride is not None
            first = self.code.mul(t, row.stride)
            if self.batch:
                first = self.code.add(first, self.code.mul(self.number, row.apart))
            row.start = self.code.index(first)
        for row in self.chunks:
            row.start = self.code.index(self.code.mul(of_chunk, row.size))

    def step(self, part: int, t: Index, of_chunk: Index) -> None:
        """A step of a part."""
        code = self.code
        self.at_step(t, of_chunk)
        for _, group in groupby(self.loops.parts[part], self.loops.group.__getitem__):
            ops = list(group)
            if isinstance(ops[-1], ELEMENTWISE):
                products = [op for op in ops if isinstance(op, snn.LinearOp)]
                self.elementwise(products, ops[len(products) :])
            elif ops[0] in self.loops.together:
                self.merged(self.loops.together[ops[0]])
            else:
                self.single(ops[0])
        for value, targets in self.also.items():
            if isinstance(value, BlockArgument) and self.loops.home(value) == part:
                for target in targets:
                    kernels.copy(code, self.buffers[value], target)
        self.end_of_step(part)

    def is_layer(self, part: int) -> bool:
        """Whether a part is a layer with nothing to do at the end of a step."""
        moved = [
            *(value for value in self.also if isinstance(value, BlockArgument)),
            *(state for _, state in self.late),
        ]
        return self.loops.is_layer(part) and all(self.loops.home(value) != part for value in moved)

    def end_of_step(self, part: int) -> None:
        """States take over what was still read while the step ran; a state that becomes another goes by scratch."""
        moved = list[tuple[Buffer, Buffer]]()
        for value, state in self.late:
            if self.loops.home(state) != part:
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
        products = [op for op in self.loops.parts[part] if isinstance(op, snn.LinearOp)]
        ops = self.loops.parts[part][len(products) :]
        lists = dict[SSAValue, tuple[Buffer, Buffer]]()
        for value in dict.fromkeys(op.input for op in products if not self.dense(op.input)):
            source = self.buffers[value]
            places, numbers = self.scratch(i32, CHUNK * source.size, "events"), self.scratch(i64, CHUNK, "count")
            with code.loop(count) as t:
                self.at_step(code.add(first, t), t)
                row = replace(places, start=code.mul(t, source.size))
                code.store(code.op(arith.IndexCastOp(kernels.compact(code, source, row).count, i64)), numbers, t)
            lists[value] = places, numbers
        held = self.held(ops)
        weights = {op: self.weights([op]) for op in products}

        def tile(start: Index, width: int) -> None:
            with code.loop(count) as t:
                self.at_step(code.add(first, t), t)
                for op in products:
                    source = self.buffers[op.input]
                    elements = kernels.Elements(source)
                    if op.input in lists:
                        places, numbers = lists[op.input]
                        number = code.op(arith.IndexCastOp(code.load(numbers, t), IndexType()))
                        row = replace(places, start=code.index(code.mul(t, source.size)))
                        elements = kernels.Listed(source, number, row)
                    kernels.tile(code, elements, weights[op], self.buffers[op.output], start, width)
                with code.loop(width) as n:
                    self.elements(ops, code.add(start, n), held, {})

        code.tiles(volume(snn.tensor_of(ops[0].results[0]).get_shape()), tile)

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
        images = any(self.buffers[value].planes > 1 for op in ops for value in op.operands if value in self.buffers)
        if not self.batch or images:
            with code.loop(volume(shape)) as n:
                self.elements(ops, n, held, {})
            return
        self.vectors(products, ops, held)

    def vectors(self, products: list[snn.LinearOp], ops: list[snn.SnnOp], held: dict[Dense, Buffer]) -> None:
        """The same by tiles, a tile at once; spikes that products go through are kept as bits.

        Where memory has the room, vectors are whole: what stands beyond the last element is not used by anyone.
        """
        code, size = self.code, volume(snn.tensor_of(ops[0].results[0]).get_shape())
        factors = [(op.output, self.events_of(op.input), self.sums(op)) for op in products]
        words: dict[SSAValue, Buffer] = {
            value: self.scratch(i64, -(-size // TILE), f"bits.{len(self.arguments)}")
            for value in (op.results[0] for op in ops)
            if self.by_bits(value) and any(isinstance(use.operation, snn.LinearOp) for use in value.uses)
        }
        given = {value for op in ops for value in op.operands if value.owner not in (*ops, *products)}
        whole = all(buffer.has_room(size) for buffer in (*map(self.buffers.__getitem__, given), *held.values()))

        def tile(first: Index, width: int) -> None:
            wide = padded(width) if whole else width
            spare = [
                (op.results[0], target, self.scratch(target.element, width, f"exact.{len(self.arguments)}"))
                for op in ops
                for target in self.targets(op.results[0])
                if wide > width and not target.has_room(size)
            ]

            def one(n: SSAValue) -> list[SSAValue]:
                values: dict[SSAValue, SSAValue] = {
                    value: matrix.total(code, inputs, first, width, n) for value, inputs, matrix in factors
                }
                self.elements(ops, code.add(first, n), held, values, [target for _, target, _ in spare])
                for value, _, row in spare:
                    code.store(values[value], row, n)
                return [values[value] for value in words]

            found = code.rounds(wide, one, len(words))
            for word, target in zip(found, words.values(), strict=True):
                if wide > width:
                    word = code.op(arith.AndIOp(word, code.constant((1 << width) - 1, i64)))
                code.store(word, target, code.divided(first, TILE)[0])
            for _, target, row in spare:
                kernels.copy(code, row, target, first)

        code.tiles(size, tile)
        for value, bits in words.items():
            self.events[value] = kernels.Bits(self.buffers.get(value) or replace(bits, element=i1, size=size), bits)

    def elements(
        self,
        ops: list[snn.SnnOp],
        n: Index,
        held: dict[Dense, Buffer],
        values: dict[SSAValue, SSAValue],
        without: Sequence[Buffer] = (),
    ) -> None:
        """The n-th elements of neighbouring ops; values: those that are there already; without: what is not written."""
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
                if not any(target is other for other in without):
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
                kernels.linear(code, self.events_of(op.input), self.weights([op]), output)
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

    def merged(self, products: list[snn.LinearOp]) -> None:
        """The sums of products that go through the same events at once."""
        outputs = [self.buffers[op.output] for op in products]
        every = replace(outputs[0], size=sum(output.size for output in outputs))
        kernels.linear(self.code, self.events_of(products[0].input), self.weights(products), every)
        for op, output in zip(products, outputs, strict=True):
            for target in self.also.get(op.output, []):
                kernels.copy(self.code, output, target)

    def sums(self, op: snn.LinearOp) -> kernels.Matrix:
        """What gives the sums of a product: where its inputs are few spikes, a table."""
        weight = array(op.weight)
        if not isinstance(self.events_of(op.input), kernels.Bits) or not kernels.Table.fits(weight):
            return self.weights([op])
        table = kernels.packed(kernels.Table.of(weight), lines=True)
        return kernels.Table(self.constant_buffer(table, f"{_label(op)}.sums"), True)

    def weights(self, products: Sequence[snn.LinearOp]) -> kernels.Matrix:
        """Matrices as the kernel reads them, one below the other."""
        weight = np.concatenate([array(op.weight) for op in products])
        label = f"{_label(products[0])}.weight"
        return kernels.Matrix(self.constant_buffer(kernels.packed(weight, lines=self.batch), label), self.batch)

    def delay(self, op: snn.DelayOp, output: Buffer) -> None:
        shape = snn.tensor_of(op.input).get_shape()
        length = snn.tensor_of(op.ring).get_shape()[0]
        steps = self.per_element(op.steps, shape, f"{_label(op)}.steps") if op.steps.get_shape() else None
        ago = int(array(op.steps)) if steps is None else steps
        kernels.delay(self.code, self.buffers[op.input], self.buffers[op.ring], self.heads[op], ago, length, output)

    def events_of(self, value: SSAValue) -> kernels.Elements:
        """What a product with a value goes through, found once a step."""
        if value not in self.events:
            code, source = self.code, self.buffers[value]
            if self.dense(value):
                self.events[value] = kernels.Elements(source)
            elif value in self.lists and isinstance(value, BlockArgument):
                places, number = self.lists[value]
                count = code.op(arith.IndexCastOp(code.load(number, 0), IndexType()))
                self.events[value] = kernels.Listed(source, count, places)
            elif value in self.lists:
                places, number = self.lists[value]
                listed = kernels.compact(code, source, places)
                code.store(code.op(arith.IndexCastOp(listed.count, i64)), number, 0)
                self.events[value] = listed
            elif self.by_bits(value) and any(isinstance(use.operation, snn.LinearOp) for use in value.uses):
                words = self.scratch(i64, -(-source.size // TILE), f"bits.{len(self.arguments)}")
                self.events[value] = kernels.collect(code, source, words)
            else:
                self.events[value] = kernels.compact(code, source, self.places(source))
        return self.events[value]

    def dense(self, value: SSAValue) -> bool:
        """Whether all elements of a value go into products: of pooled, scaled or delayed spikes most are 0."""
        if self.edges != "auto":
            return self.edges == "dense"
        if value in self.network.input_args and self.inputs == "sparse":
            return False
        if isinstance(value.owner, snn.PoolOp | snn.ScaleOp | snn.SumOp | snn.ReshapeOp | snn.DelayOp):
            passed = value.owner.operands[:1] if isinstance(value.owner, snn.DelayOp) else value.owner.operands
            return any(self.dense(before) for before in passed)
        held = self.buffers.get(value)
        return (snn.tensor_of(value).element_type if held is None else held.element) in (f32, f64)

    def places(self, source: Buffer) -> Buffer:
        """Memory for a list of events."""
        return self.scratch(i32, source.size, f"events.{len(self.arguments)}")

    def keep_list(self, value: SSAValue, state: SSAValue) -> None:
        """List the events of a state before the first step, for a list that goes on from step to step."""
        code, source = self.code, self.buffers[state]
        places, number = self.places(source), self.scratch(i64, 1, f"count.{len(self.arguments)}")
        count = kernels.compact(code, source, places).count
        code.store(code.op(arith.IndexCastOp(count, i64)), number, 0)
        self.lists[state] = self.lists[value] = places, number


def _label(op: snn.SnnOp) -> str:
    return op.node.data if op.node else op.name


def _recorded(network: snn.NetworkOp, record: Sequence[str]) -> dict[str, SSAValue]:
    """The values to record by key."""
    ops = list(network.body.block.walk())
    known: dict[str, SSAValue] = {
        f"{op.node.data}.spikes": op.spikes for op in ops if isinstance(op, snn.FireOp) and op.node
    }
    # A ring stands in memory with its oldest row anywhere.
    rings = {op.ring for op in ops if isinstance(op, snn.DelayOp)}
    states = list(zip(network.states, network.state_args, network.next_values, strict=True))
    # Carried sums are no part of the network as it was given.
    hidden = {arg for state, arg, _ in states if state.variable.data == "sums"} | rings
    known |= {state.label: value for state, arg, value in states if arg not in hidden}
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
