"""`convert-snn-to-loihi2`: layers of neurons become Lava's LIF processes, linear paths connections, numbers still real.

The chip runs one wiring: u = b u + a;  v = a_m v + u + bias;  fire;  reset to 0. Per neuron, from the step

    i' = b i + g_s (sum of W z + c) ;   v' = a_m v + g_m (i' + r) + k ;   fire at theta, reset to v_reset

it gets, with v - v_reset for v and f = largest threshold of the layer / its own,

    weights f g_m g_s W      bias = f (k + g_m r - (1 - a_m) v_reset)      vth = f (theta - v_reset)
    du = 4096 (1 - b) - 1    dv = 4096 (1 - a_m)

Neurons of unlike time constants become populations of their own. Every maximal linear path is one connection process,
a convolution where it can be one, else the matrix of its responses to single values.

A connection takes a step, so layer p is L(p) steps late. A path of m steps (Delays, cuts of cycles) from s to p waits
L(p) + m - L(s) - 1 >= 0 steps more; L is the longest path. A constant input is an edge from a neuron that always fires.
Where b = 0 it is a bias instead: it acts from the first step on, so v starts where L(p) such steps lead to its value.
Source: nirc's specification of Loihi 2, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, BlockArgument, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import loihi2, snn
from nirc.dialects.dense import Array, array, dense, doubles, uniform
from nirc.dialects.loihi2 import TransformAttr
from nirc.dialects.nir import assume, integers, listed, quote
from nirc.interpreters.snn import convolved, pooled
from nirc.passes.chip_conversion import ChipConversion, convert_networks
from nirc.passes.loihi2_check_limits import structural_violations
from nirc.passes.loihi2_vendor_quantize import vendor_faults
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass

MAPPINGS = ("faithful", "vendor")

_MOST = 1 << 26
"""Weights of the largest matrix that a path is unrolled to."""


@dataclass(frozen=True)
class ConvertSnnToLoihi2Pass(ModulePass):
    """Turn a `snn.network` in canonical wiring into a `loihi2.network` of real numbers; folds its linear paths first.

    mapping: `vendor` takes those networks alone that the vendor's converter has formulas for.
    Raises PassFailedException with everything that Lava's processes have no place for.
    """

    name = "convert-snn-to-loihi2"

    mapping: str = "faithful"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.mapping not in MAPPINGS:
            raise PassFailedException(f"mapping '{self.mapping}' is not one of {', '.join(MAPPINGS)}")
        SnnFoldLinearPathsPass().apply(ctx, op)

        def convert(network: snn.NetworkOp) -> loihi2.NetworkOp:
            converted = _Conversion(op, network).convert()
            if self.mapping == "vendor" and (faults := list(vendor_faults(converted))):
                raise PassFailedException("\n".join(faults))
            return converted

        convert_networks(op, convert)


_ONE = "\0"
"""The neuron that always fires, as a source: no node has this name."""


@dataclass(frozen=True, eq=False)
class _Step:
    """An op of a linear path; of a Delay, the values that wait equally long."""

    op: snn.SnnOp
    mask: Array | None = None

    def apply(self, x: Array) -> Array:
        """The op of [B, ...], without its delay."""
        op = self.op
        if isinstance(op, snn.LinearOp):
            return x @ doubles(op.weight).T
        if isinstance(op, snn.ConvOp):
            return convolved(op, x)
        if isinstance(op, snn.PoolOp):
            return pooled(op, x)
        if isinstance(op, snn.ScaleOp):
            return x * doubles(op.factor)
        if isinstance(op, snn.ReshapeOp):
            return x.reshape(len(x), *snn.tensor_of(op.output).get_shape())
        return x if self.mask is None else x * self.mask


@dataclass(frozen=True, eq=False)
class _Edge:
    """What reaches a layer from a source: its values through the steps in order, so many time steps late.

    source    the name of an Input or a layer, or `_ONE`, whose path is the constant
    """

    source: str
    path: tuple[_Step, ...]
    steps: int = 0
    constant: Array | None = None
    recurrent: bool = False

    def nodes(self) -> list[str]:
        """The NIR nodes of the path."""
        return list(dict.fromkeys(step.op.node.data for step in self.path if step.op.node is not None))

    def run(self, x: Array) -> Array:
        """The path of [B, ...]."""
        for step in self.path:
            x = step.apply(x)
        return x


@dataclass(eq=False)
class _Layer:
    """A layer of neurons, numbers in the network's units, one for each neuron (flat)."""

    name: str
    op: snn.SnnOp
    shape: tuple[int, ...]
    silent: bool
    decay: Array
    synapse: Array
    gain: Array
    bias: Array
    threshold: Array
    start: Array
    factor: Array
    offset: Array
    edges: list[_Edge] = field(default_factory=list[_Edge])
    latency: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(eq=False)
class _Part:
    """A layer's neurons of equal time constants: a population."""

    layer: _Layer
    process: str
    members: Array | None

    @property
    def shape(self) -> tuple[int, ...]:
        """As Lava orders it."""
        if self.members is not None:
            return (len(self.members),)
        return self.layer.shape[::-1] if len(self.layer.shape) == 3 else self.layer.shape

    @property
    def images(self) -> bool:
        """Whether it stands as columns, rows, channels."""
        return len(self.shape) == 3

    def own(self, values: Array) -> Array:
        """Those of numbers per neuron of the layer that are its own, flat."""
        return values if self.members is None else values[self.members]

    def ordered(self, values: Array) -> Array:
        """Numbers per neuron of the layer in its shape."""
        values = self.own(values)
        return values.reshape(self.layer.shape).transpose(2, 1, 0) if self.images else values.reshape(self.shape)

    def rows(self, matrix: Array) -> Array:
        """The rows of a layer's matrix in its order."""
        matrix = self.own(matrix)
        if not self.images:
            return matrix
        n = matrix.shape[1]
        return matrix.reshape(*self.layer.shape, n).transpose(2, 1, 0, 3).reshape(-1, n)


class _Conversion(ChipConversion):
    CHIP = "Loihi 2"

    def __init__(self, module: ModuleOp, network: snn.NetworkOp):
        super().__init__(module, network)
        self.built = dict[str, _Layer]()
        self.sizes = {
            name: snn.tensor_of(arg).get_shape() for arg, name in zip(network.input_args, self.names(), strict=True)
        }
        self.late = list[str]()
        self.unrolled = dict[_Edge, Array | None]()

    def names(self) -> list[str]:
        return [name.data for name in self.network.inputs]

    def convert(self) -> loihi2.NetworkOp:
        fires = self.layers()
        self.sizes |= {name: snn.tensor_of(spikes).get_shape() for spikes, name in self.spikes.items()}
        for layer in [*map(self.spiking, fires), *self.membranes()]:
            if layer is not None:
                if layer.name in self.built:
                    self.fail(layer.op, "several layers of this name; nirc tells them apart by `node`")
                self.built[layer.name] = layer
        self.ports = list(self.outputs())
        if both := sorted(set(self.names()) & set(self.built)):
            self.faults.append(f"{listed(both)}: an Input and neurons of one name")
        for layer in self.built.values():
            if layer.silent and any(edge.source == layer.name for other in self.built.values() for edge in other.edges):
                self.fail(layer.op, "its membrane feeds other neurons; Loihi 2's send spikes alone")
        network = None if self.faults else self.build()
        if network is not None:
            self.faults.extend(structural_violations(network))
        if self.faults or network is None:
            raise PassFailedException("\n".join(dict.fromkeys(self.faults)))
        self.report()
        return network

    # -- one layer

    def spiking(self, fire: snn.FireOp) -> _Layer | None:
        """Match the wiring that ends in this op: filter [, filter], fire, reset; or a threshold alone."""
        name, shape = self.spikes[fire.spikes], snn.tensor_of(fire.v).get_shape()
        theta = np.broadcast_to(doubles(fire.threshold), shape).ravel()
        resets = [use.operation for use in fire.spikes.uses if isinstance(use.operation, snn.ResetOp)]
        if not resets and not isinstance(self.peel(fire.v)[1], snn.FilterOp):
            layer = self.stateless(name, fire, shape)
            target = np.zeros(())
        else:
            reset = self.reset_of(fire)
            layer = self.integration(fire, name, fire.v, None if reset is None else reset.next)
            target = np.zeros(()) if reset is None else doubles(reset.amount)
            if reset is not None and reset.kind.data == "subtract":
                why = "Loihi 2's LIF resets to 0, or to v_reset by a shift; --reset zero compiles another network"
                self.fail(fire, f"a spike subtracts from it; {why}")
                target = np.zeros(())
        target = np.broadcast_to(target, shape).ravel()
        if np.any(theta <= target):
            n = int(np.argmax(theta <= target))
            self.fail(fire, f"threshold {theta[n]:g} at neuron {n} is not above v_reset {target[n]:g}")
            return None
        if layer is None:
            return None
        reach = theta - target
        layer.factor = reach.max() / reach
        layer.threshold = np.asarray(reach.max())
        layer.bias = (layer.bias - (1 - layer.decay) * target) * layer.factor
        layer.start = (layer.start - target) * layer.factor
        layer.gain = layer.gain * layer.factor
        layer.offset = target.copy()
        return layer

    def stateless(self, name: str, fire: snn.FireOp, shape: tuple[int, ...]) -> _Layer:
        """A Threshold: neurons that forget at once."""
        n = math.prod(shape)
        zeros = np.zeros(n)
        layer = _Layer(name, fire, shape, False, zeros, zeros, np.ones(n), zeros, np.ones(()), zeros, zeros, zeros)
        layer.edges = list(self.collect(layer, fire.v, ()))
        return layer

    def integration(self, op: snn.SnnOp, name: str, value: SSAValue, after: SSAValue | None) -> _Layer | None:
        """Match the filters whose result is `value`; `after` is the membrane that the next step starts from."""
        leak, membrane = self.membrane(op, value, after)
        if membrane is None:
            return None
        shape = snn.tensor_of(value).get_shape()

        def each(values: Array) -> Array:
            return np.broadcast_to(values, shape).astype(float).ravel()

        decay, gain, into = each(doubles(membrane.decay)), each(doubles(membrane.gain)), membrane.input
        synapse, bias = np.zeros(len(decay)), each(leak)
        rest, before = self.peel(membrane.input)
        if isinstance(before, snn.FilterOp) and self.nexts.get(before.state) is before.next:
            synapse, bias = each(doubles(before.decay)), bias + gain * each(rest)
            gain, into = gain * each(doubles(before.gain)), before.input
            self.start_at_zero(before.state)
        start = each(doubles(self.states[cast(BlockArgument, membrane.state)].init))
        ones = np.ones(len(decay))
        layer = _Layer(name, op, shape, False, decay, synapse, gain, bias, np.ones(()), start, ones, 0 * ones)
        layer.edges = list(self.collect(layer, into, ()))
        return layer

    def membranes(self) -> Iterator[_Layer | None]:
        """The layers whose membranes leave the network."""
        seen = set[Operation]()
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            membrane = self.read(value)
            if membrane is not None and membrane not in seen:
                seen.add(membrane)
                value = _reshaped(value)
                label = membrane.node.data if membrane.node else name.data
                if (layer := self.integration(membrane, label, value, value)) is not None:
                    layer.silent = True
                    yield layer

    def read(self, value: SSAValue) -> snn.FilterOp | None:
        """The filter whose membrane an output is."""
        value = _reshaped(value)
        _, op = self.peel(value)
        return op if isinstance(op, snn.FilterOp) and self.nexts.get(op.state) is value else None

    def outputs(self) -> Iterator[loihi2.PortAttr]:
        """Each output's name and neurons."""
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            shape = snn.tensor_of(value).get_shape()
            value, membrane = _reshaped(value), self.read(value)
            if value in self.spikes:
                yield loihi2.PortAttr.of(name.data, self.spikes[value], shape)
            elif membrane is not None:
                yield loihi2.PortAttr.of(name.data, membrane.node.data if membrane.node else name.data, shape)
            else:
                owner = value.owner if isinstance(value.owner, snn.SnnOp) else None
                told = f"the output {quote(name.data)} is neither spikes nor a membrane of neurons"
                self.fail(owner, f"{told}; Loihi 2 gives nothing else, end in LIF or LI")
        if not self.network.outputs:
            self.faults.append("the network has no output; nothing would be read")

    # -- what feeds it

    def collect(
        self, layer: _Layer, value: SSAValue, path: tuple[_Step, ...], steps: int = 0, cut: bool = False
    ) -> Iterator[_Edge]:
        """The edges and constants that make up a value, each with its way to the layer."""
        op = value.owner
        if value in self.spikes:
            yield _Edge(self.spikes[value], path, steps, recurrent=cut)
        elif isinstance(value, BlockArgument):
            if value in self.inputs:
                yield _Edge(self.inputs[value], path, steps, recurrent=cut)
            elif cut and not steps:
                self.fail(layer.op, "a state feeds it that is no earlier value; Loihi 2 has no such state")
            else:
                self.start_at_zero(value)
                yield from self.collect(layer, self.nexts[value], path, steps + 1, True)
        elif isinstance(op, snn.SumOp):
            for item in op.inputs:
                yield from self.collect(layer, item, path, steps, cut)
        elif isinstance(op, snn.AddOp):
            constant = np.broadcast_to(doubles(op.constant), snn.tensor_of(op.output).get_shape())
            yield _Edge(_ONE, path, steps, constant.astype(float), cut)
            yield from self.collect(layer, op.input, path, steps, cut)
        elif isinstance(op, snn.DelayOp):
            waits = np.broadcast_to(array(op.steps), snn.tensor_of(op.output).get_shape())
            for wait in np.unique(waits):
                mask = None if np.all(waits == wait) else (waits == wait).astype(float)
                yield from self.collect(layer, op.input, (_Step(op, mask), *path), steps + int(wait), cut)
        elif isinstance(op, snn.LinearOp | snn.ConvOp | snn.PoolOp | snn.ScaleOp | snn.ReshapeOp):
            yield from self.collect(layer, op.input, (_Step(op), *path), steps, cut)
        elif isinstance(op, snn.FilterOp):
            self.fail(layer.op, f"the membrane or current of {op.label} feeds it; Loihi 2's neurons send spikes alone")
        else:
            who = op.label if isinstance(op, snn.SnnOp) else "something else"
            self.fail(layer.op, f"{who} feeds it; Loihi 2 takes spikes and inputs through weights alone")

    def set_latencies(self) -> None:
        """The least latencies under which every path takes the steps that it has in the network.

        A loop of several layers takes a step a layer on the chip; where the network's takes fewer, its recurrent edges
        are late, which is told.
        """
        layers = self.built
        edges = [(edge.source, layer.name, edge) for layer in layers.values() for edge in layer.edges]
        latency = self.longest([edge for edge in edges if not edge[2].recurrent])
        latency = self.longest(edges) or latency or {}
        for name, layer in layers.items():
            layer.latency = latency[name]

    def longest(self, edges: list[tuple[str, str, _Edge]]) -> dict[str, int] | None:
        """The longest path to each source; None where a loop has none."""
        latency = {**dict.fromkeys(self.names(), 0), _ONE: 0, **dict.fromkeys(self.built, 0)}
        for _ in range(len(self.built) + 2):
            changed = False
            for source, target, edge in edges:
                least = latency[source] + 1 - edge.steps
                if latency[target] < least:
                    latency[target], changed = least, True
            if not changed:
                return latency
        return None

    def wait(self, edge: _Edge, target: _Layer) -> int:
        """The steps that a connection waits beside its own one."""
        source = self.built[edge.source].latency if edge.source in self.built else 0
        wait = target.latency + edge.steps - source - 1
        if wait < 0:
            self.late.append(f"{quote(edge.source)} -> {quote(target.name)} by {-wait}")
        return max(wait, 0)

    # -- the whole

    def build(self) -> loihi2.NetworkOp | None:
        self.set_latencies()
        names = [*self.names(), *self.built]
        self.one = next(name for n in range(len(names) + 1) if (name := "one" + "_" * n) not in names)
        parts = {name: self.parts(layer) for name, layer in self.built.items()}
        self.populations = {name: len(of) for name, of in parts.items()}
        self.taken = {*names, self.one, *(part.process for of in parts.values() for part in of)}
        ops: list[Operation] = [loihi2.InputOp(name, self.sizes[name]) for name in self.names()]
        wiring = list[Operation]()
        constant = False
        for name, layer in self.built.items():
            self.place_constants(layer)
            for part in parts[name]:
                ops.append(self.population(part))
                for op in self.connections(part, parts):
                    (wiring if isinstance(op, loihi2.ConnectOp) else ops).append(op)
            constant = constant or any(edge.source == _ONE for edge in layer.edges)
        if constant:
            numbers = {"du": 4095.0, "dv": 4096.0, "vth": 0.0, "bias_mant": 1.0}
            always = loihi2.LIFOp(self.one, (1,), {key: dense(np.asarray(x)) for key, x in numbers.items()}, latency=0)
            ops.insert(len(self.names()), always)
        if self.faults:
            return None
        return loihi2.NetworkOp(self.network.sym_name.data, self.ports, Region(Block([*ops, *wiring])))

    def parts(self, layer: _Layer) -> list[_Part]:
        """The populations of a layer, by the codes of their time constants."""
        codes = np.stack([np.rint(4096 * (1 - layer.synapse)), np.rint(4096 * (1 - layer.decay))], axis=1)
        kinds, which = np.unique(codes, axis=0, return_inverse=True)
        if len(kinds) == 1:
            return [_Part(layer, layer.name, None)]
        which = which.ravel()
        return [_Part(layer, f"{layer.name}[{n}]", np.flatnonzero(which == n)) for n in range(len(kinds))]

    def place_constants(self, layer: _Layer) -> None:
        """Constant inputs into biases, where the current keeps nothing and v can be made to start right."""
        at_once = [e for e in layer.edges if e.source == _ONE and e.steps == 0 and not np.any(layer.synapse)]
        given = sum((self.column(edge, layer)[:, 0] for edge in at_once), np.zeros(layer.size))
        _, fine = _started(layer, layer.bias + given)
        layer.edges = [edge for edge in layer.edges if edge not in at_once]
        if np.any(rest := given * ~fine):
            layer.edges.append(_Edge(_ONE, (), 0, (rest / np.where(rest == 0, 1, layer.gain)).reshape(layer.shape)))
        layer.bias = layer.bias + given * fine
        layer.start, fine = _started(layer, layer.bias)
        if not np.all(fine):
            statement = f"{int((~fine).sum())} of {quote(layer.name)} start at 0: the chip would fire on the way there"
            assume(self.module, "choice", "initial state", statement)

    def column(self, edge: _Edge, layer: _Layer) -> Array:
        """The weights of a constant, [neuron, 1]."""
        assert edge.constant is not None
        value: Array = edge.run(edge.constant[None]).reshape(-1, 1) * layer.gain[:, None]
        return value

    def population(self, part: _Part) -> loihi2.NeuronsOp:
        layer = part.layer
        numbers = {
            "du": 4096 * (1 - part.own(layer.synapse)[0]) - 1,
            "dv": 4096 * (1 - part.own(layer.decay)[0]),
            "vth": layer.threshold,
            "bias_mant": uniform(part.ordered(layer.bias)),
            "v_scale": uniform(part.ordered(layer.factor)),
            "v_offset": uniform(part.ordered(layer.offset)),
        }
        if np.any(start := part.ordered(layer.start)):
            numbers["v"] = uniform(start)
        return loihi2.LIFOp(
            part.process,
            part.shape,
            {name: dense(np.asarray(value, float, order="C")) for name, value in numbers.items()},
            layer.name,
            layer.latency,
            None if part.members is None else dense(part.members.astype(np.int32)),
            None if part.members is None else layer.shape,
            silent=layer.silent,
        )

    def connections(self, part: _Part, parts: dict[str, list[_Part]]) -> Iterator[Operation]:
        """The connection processes onto a population, and what goes in and out of them."""
        layer = part.layer
        sources = list(dict.fromkeys(edge.source for edge in layer.edges))
        for source in sources:
            edges = [edge for edge in layer.edges if edge.source == source]
            waits = [self.wait(edge, layer) for edge in edges]
            if len(edges) == 1 and waits[0] == 0 and (conv := self.convolution(edges[0], part, parts)) is not None:
                process, kernel, arriving = conv
                yield kernel
                yield loihi2.ConnectOp(arriving, process, self.into_conv(arriving))
                yield loihi2.ConnectOp(process, part.process)
                continue
            onto = [TransformAttr.of("reshape", part.shape)] if len(part.shape) > 1 else []
            of = [(None, self.one if source == _ONE else source)]
            if source in parts:
                of = [(from_part.members, from_part.process) for from_part in parts[source]]
            summed = dict[int, tuple[Array, list[str]]]()
            for edge, wait in zip(edges, waits, strict=True):
                if (matrix := self.matrix(edge, layer)) is not None:
                    rows = part.rows(matrix)
                    before, nodes = summed.get(wait, (np.zeros(rows.shape), list[str]()))
                    summed[wait] = before + rows, [*nodes, *edge.nodes()]
            for weights, delays, nodes in _bundled(summed):
                for members, sender in of:
                    own, waiting = (x if members is None else x[:, members] for x in (weights, delays))
                    process = self.fresh(f"{sender}->{part.process}")
                    yield _matrix_op(process, nodes, own, waiting)
                    yield loihi2.ConnectOp(sender, process, self.into_matrix(source, sender, parts))
                    yield loihi2.ConnectOp(process, part.process, onto)

    def fresh(self, name: str) -> str:
        """A process's name that none has."""
        found = next(
            text for n in range(len(self.taken) + 1) if (text := f"{name}~{n}" if n else name) not in self.taken
        )
        self.taken.add(found)
        return found

    def into_conv(self, source: str) -> list[TransformAttr]:
        """An Input stands in the order of NIR, a population in Lava's."""
        return [] if source in self.built else [TransformAttr.of("transpose", (2, 1, 0))]

    def into_matrix(self, source: str, sender: str, parts: dict[str, list[_Part]]) -> list[TransformAttr]:
        """To a vector in the order of NIR."""
        shape = self.sizes.get(source, (1,))
        if source in parts and any(part.members is not None for part in parts[source]):
            return []
        turned = [TransformAttr.of("transpose", (2, 1, 0))] if source in self.built and len(shape) == 3 else []
        return [*turned, *([TransformAttr.of("flatten")] if len(shape) != 1 else [])]

    def matrix(self, edge: _Edge, layer: _Layer) -> Array | None:
        """The responses of a path to single values, [neuron, value], with the layer's gains; None where too large."""
        if edge not in self.unrolled:
            self.unrolled[edge] = self.unroll(edge, layer)
        return self.unrolled[edge]

    def unroll(self, edge: _Edge, layer: _Layer) -> Array | None:
        """The matrix, computed anew."""
        if edge.source == _ONE:
            return self.column(edge, layer)
        shape = self.sizes[edge.source]
        size = math.prod(shape)
        if size * layer.size > _MOST:
            nodes = edge.nodes()
            self.faults.append(
                f"node {listed(nodes) if nodes else layer.op.label}: it is no single convolution and would be a matrix "
                f"of {layer.size:,} x {size:,} weights, nirc unrolls {_MOST:,} at most; put neurons between its parts"
            )
            return None
        found = np.zeros((layer.size, size))
        for start in range(0, size, 512):
            single = np.zeros((min(512, size - start), size))
            np.fill_diagonal(single[:, start:], 1)
            found[:, start : start + len(single)] = edge.run(single.reshape(-1, *shape)).reshape(len(single), -1).T
        return found * layer.gain[:, None]

    def convolution(
        self, edge: _Edge, part: _Part, parts: dict[str, list[_Part]]
    ) -> tuple[str, loihi2.ConvOp, str] | None:
        """The path as one convolution, where it is one: process, op, source; None where it is not."""
        shape = self.sizes.get(edge.source, ())
        whole = edge.source not in parts or parts[edge.source][0].members is None
        if edge.source == _ONE or not part.images or len(shape) != 3 or not whole:
            return None
        gain = part.layer.gain.reshape(part.layer.shape)
        kernel = _kernel(edge, shape)
        if kernel is None or np.any(gain != gain[:, :1, :1]):
            return None
        process = self.fresh(f"{edge.source}->{part.process}")
        weight = kernel.weight * gain[:, 0, 0, None, None, None]
        return process, kernel.op(process, edge.nodes(), weight, shape), edge.source

    def report(self) -> None:
        """Attach what the chip does differently from the step that it stands for."""
        for port in self.ports:
            latency = self.built[port.neurons.data].latency
            told = f"{latency} step{'s' if latency != 1 else ''}"
            statement = (
                f"the output {quote(port.node.data)} answers {told} later than the network: a connection takes a step"
            )
            assume(self.module, "note", "latency", statement)
        if self.late:
            edges = ", ".join(dict.fromkeys(self.late))
            told = f"loops of several layers take a step a layer on the chip; late are {edges}"
            assume(self.module, "choice", "recurrent edges", told)
        if any(isinstance(layer.op, snn.FireOp) and layer.op.compare.data != ">" for layer in self.built.values()):
            assume(self.module, "note", "comparison", "a neuron of the chip fires where v > threshold")
        if split := [name for name, of in self.populations.items() if of > 1]:
            told = ", ".join(f"{quote(name)} {self.populations[name]}" for name in split)
            statement = f"one for each time constant of a layer, with connections from each to each: {told}"
            assume(self.module, "note", "populations", statement)
        names = listed(self.names())
        assume(self.module, "note", "events", f"a value of {names} that is not 0 counts as one event, however large")


def _reshaped(value: SSAValue) -> SSAValue:
    """The value before reshapes."""
    while isinstance(value.owner, snn.ReshapeOp):
        value = value.owner.input
    return value


def _started(layer: _Layer, bias: Array) -> tuple[Array, Array]:
    """Where v starts so that `latency` steps with the bias alone lead to the layer's start, and whether it can."""
    v = layer.start.copy()
    fine = np.ones(layer.size, np.bool_)
    most = 64 * np.abs(bias).max(initial=0) + np.abs(v).max(initial=0) if layer.silent else 32 * layer.threshold
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(layer.latency):
            # What is tested in this step must not fire.
            fine &= (v <= layer.threshold) | layer.silent
            v = np.where(v == bias, 0, (v - bias) / layer.decay)
            fine &= np.isfinite(v) & (np.abs(v) <= most)
    return np.where(fine, v, 0), fine


def _bundled(summed: dict[int, tuple[Array, list[str]]]) -> Iterator[tuple[Array, Array, list[str]]]:
    """Matrices of several waits as few as possible: each weight has one delay."""
    rest = sorted(summed.items())
    while rest:
        weights, nodes = rest[0][1]
        weights, nodes, delays = weights.copy(), list(nodes), np.full(weights.shape, rest[0][0], np.int32)
        later = list[tuple[int, tuple[Array, list[str]]]]()
        for wait, (more, names) in rest[1:]:
            if np.any((weights != 0) & (more != 0)):
                later.append((wait, (more, names)))
            else:
                delays[more != 0] = wait
                weights += more
                nodes += names
        yield weights, delays, list(dict.fromkeys(nodes))
        rest = later


def _matrix_op(process: str, nodes: Sequence[str], weights: Array, delays: Array) -> loihi2.MatrixOp:
    content = dense(np.ascontiguousarray(weights))
    if np.any(delays):
        return loihi2.DelayDenseOp(process, nodes, content, delays=dense(np.ascontiguousarray(delays, np.int32)))
    few = weights.size > 1 << 16 and np.count_nonzero(weights) < weights.size / 4
    return (loihi2.SparseOp if few else loihi2.DenseOp)(process, nodes, content)


@dataclass(frozen=True)
class _Kernel:
    """A correlation of images, rows and columns, as NIR has it; weight [out, in / groups, rows, columns]."""

    weight: Array
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def spread(self) -> Array:
        """The weights without groups and dilation."""
        out, per_group, rows, columns = self.weight.shape
        down, right = self.dilation
        full = np.zeros((out, per_group * self.groups, down * (rows - 1) + 1, right * (columns - 1) + 1))
        own = out // self.groups
        for n in range(self.groups):
            part = slice(n * own, (n + 1) * own)
            full[part, n * per_group : (n + 1) * per_group, ::down, ::right] = self.weight[part]
        return full

    def then(self, other: _Kernel) -> _Kernel:
        """This one, then the other, as one; equal but for what the borders do."""
        first, second = self.spread(), other.spread()
        size = [a + step * (b - 1) for a, b, step in zip(first.shape[2:], second.shape[2:], self.stride, strict=True)]
        weight = np.zeros((len(second), first.shape[1], *size))
        for i in range(second.shape[2]):
            for j in range(second.shape[3]):
                y, x = i * self.stride[0], j * self.stride[1]
                place = weight[:, :, y : y + first.shape[2], x : x + first.shape[3]]
                place += np.einsum("om,mcyx->ocyx", second[:, :, i, j], first)
        (a, b), (c, d) = self.stride, other.stride
        padding = (self.padding[0] + a * other.padding[0], self.padding[1] + b * other.padding[1])
        return _Kernel(weight, (a * c, b * d), padding)

    def op(self, process: str, nodes: Sequence[str], weight: Array, shape: tuple[int, ...]) -> loihi2.ConvOp:
        """Lava's process: columns first, the kernel turned round."""
        turned = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
        return loihi2.ConvOp(
            process,
            nodes,
            dense(np.ascontiguousarray(turned)),
            shape[::-1],
            self.stride[::-1],
            self.padding[::-1],
            self.dilation[::-1],
            self.groups,
        )

    def run(self, x: Array, out: tuple[int, ...]) -> Array:
        """The correlation of one image [C, H, W], to compare with."""
        weight = self.spread()
        (top, left), (down, right) = self.padding, self.stride
        padded = np.pad(x, ((0, 0), (top, top), (left, left)))
        view = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::down, ::right]
        found: Array = np.einsum("chwyx,ocyx->ohw", view, weight, optimize=True)
        return found if found.shape == out else np.full(out, np.nan)


def _kernel(edge: _Edge, shape: tuple[int, ...]) -> _Kernel | None:
    """The path as one correlation, None where it is none; what the borders do is tried with random numbers."""
    steps = [step for step in edge.path if step.mask is not None or not isinstance(step.op, snn.DelayOp)]
    kernels = [_kernel_of(step.op) for step in steps] or [_Kernel(np.ones((shape[0], 1, 1, 1)), groups=shape[0])]
    found = kernels[0]
    for kernel in kernels[1:]:
        found = None if found is None or kernel is None else found.then(kernel)
    if found is None:
        return None
    if found.groups > loihi2.LIMITS.kernel and not any(isinstance(step.op, snn.ConvOp) for step in steps):
        # A pool has as many groups as channels, more than Lava can count; a convolution's are the user's own.
        found = _Kernel(found.spread(), found.stride, found.padding)
    if len(kernels) > 1:
        image = np.random.default_rng(0).normal(size=shape)
        expected = edge.run(image[None])[0]
        if not np.allclose(found.run(image, expected.shape), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()):
            return None
    return found


def _kernel_of(op: snn.SnnOp) -> _Kernel | None:
    """One op as a correlation."""
    if isinstance(op, snn.ConvOp | snn.PoolOp):
        top, bottom, left, right = integers(op.padding)
        if (top, left) != (bottom, right):
            return None
        down, across = integers(op.stride)
        if isinstance(op, snn.PoolOp):
            channels = snn.tensor_of(op.output).get_shape()[0]
            return _Kernel(np.ones((channels, 1, *integers(op.kernel))), (down, across), (top, left), groups=channels)
        y, x = integers(op.dilation)
        return _Kernel(doubles(op.weight), (down, across), (top, left), (y, x), op.groups.value.data)
    if isinstance(op, snn.ScaleOp):
        shape = snn.tensor_of(op.output).get_shape()
        factor = np.broadcast_to(doubles(op.factor), shape)
        if len(shape) == 3 and np.all(factor == factor[:, :1, :1]):
            return _Kernel(np.diag(factor[:, 0, 0])[:, :, None, None])
    return None
