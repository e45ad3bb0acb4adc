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
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import loihi2, snn
from nirc.dialects.dense import Array, dense, doubles, uniform
from nirc.dialects.loihi2 import TransformAttr
from nirc.dialects.nir import assume, listed, quote
from nirc.passes.chip_conversion import convert_networks
from nirc.passes.chip_paths import ONE, Edge, Kernel, Layer, PathConversion, bundled, kernel_of_path, reshaped, started
from nirc.passes.loihi2_check_limits import structural_violations
from nirc.passes.loihi2_vendor_quantize import vendor_faults
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass

MAPPINGS = ("faithful", "vendor")

INPUTS = {"events": 0, "graded": 8}
"""How many bits a value of an Input has in a message; 0: it is one event, however large."""


@dataclass(frozen=True)
class ConvertSnnToLoihi2Pass(ModulePass):
    """Turn a `snn.network` in canonical wiring into a `loihi2.network` of real numbers; folds its linear paths first.

    mapping: `vendor` takes those networks alone that the vendor's converter has formulas for.
    inputs: `events`, each value that is not 0 is one; or `graded`, values are whole numbers of 8 bits.
    Raises PassFailedException with everything that Lava's processes have no place for.
    """

    name = "convert-snn-to-loihi2"

    mapping: str = "faithful"
    inputs: str = "events"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.mapping not in MAPPINGS:
            raise PassFailedException(f"mapping '{self.mapping}' is not one of {', '.join(MAPPINGS)}")
        if self.inputs not in INPUTS:
            raise PassFailedException(f"inputs '{self.inputs}' are not one of {', '.join(INPUTS)}")
        SnnFoldLinearPathsPass().apply(ctx, op)

        def convert(network: snn.NetworkOp) -> loihi2.NetworkOp:
            converted = _Conversion(op, network, INPUTS[self.inputs]).convert()
            if self.mapping == "vendor" and (faults := list(vendor_faults(converted))):
                raise PassFailedException("\n".join(faults))
            return converted

        convert_networks(op, convert)


@dataclass(eq=False)
class _Part:
    """A layer's neurons of equal time constants: a population."""

    layer: Layer
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


class _Conversion(PathConversion):
    CHIP = "Loihi 2"

    def __init__(self, module: ModuleOp, network: snn.NetworkOp, message_bits: int):
        super().__init__(module, network)
        self.message_bits = message_bits

    def convert(self) -> loihi2.NetworkOp:
        fires = self.layers()
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

    def spiking(self, fire: snn.FireOp) -> Layer | None:
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

    def stateless(self, name: str, fire: snn.FireOp, shape: tuple[int, ...]) -> Layer:
        """A Threshold: neurons that forget at once."""
        n = math.prod(shape)
        zeros = np.zeros(n)
        layer = Layer(name, fire, shape, False, zeros, zeros, np.ones(n), zeros, np.ones(()), zeros, zeros, zeros)
        layer.edges = list(self.collect(layer, fire.v, ()))
        return layer

    def membranes(self) -> Iterator[Layer | None]:
        """The layers whose membranes leave the network."""
        seen = set[Operation]()
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            membrane = self.read(value)
            if membrane is not None and membrane not in seen:
                seen.add(membrane)
                value = reshaped(value)
                label = membrane.node.data if membrane.node else name.data
                if (layer := self.integration(membrane, label, value, value)) is not None:
                    layer.silent = True
                    yield layer

    def read(self, value: SSAValue) -> snn.FilterOp | None:
        """The filter whose membrane an output is."""
        value = reshaped(value)
        _, op = self.peel(value)
        return op if isinstance(op, snn.FilterOp) and self.nexts.get(op.state) is value else None

    def outputs(self) -> Iterator[loihi2.PortAttr]:
        """Each output's name and neurons."""
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            shape = snn.tensor_of(value).get_shape()
            value, membrane = reshaped(value), self.read(value)
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
            constant = constant or any(edge.source == ONE for edge in layer.edges)
        if constant:
            numbers = {"du": 4095.0, "dv": 4096.0, "vth": 0.0, "bias_mant": 1.0}
            always = loihi2.LIFOp(self.one, (1,), {key: dense(np.asarray(x)) for key, x in numbers.items()}, latency=0)
            ops.insert(len(self.names()), always)
        if self.faults:
            return None
        return loihi2.NetworkOp(self.network.sym_name.data, self.ports, Region(Block([*ops, *wiring])))

    def parts(self, layer: Layer) -> list[_Part]:
        """The populations of a layer, by the codes of their time constants."""
        codes = np.stack([np.rint(4096 * (1 - layer.synapse)), np.rint(4096 * (1 - layer.decay))], axis=1)
        kinds, which = np.unique(codes, axis=0, return_inverse=True)
        if len(kinds) == 1:
            return [_Part(layer, layer.name, None)]
        which = which.ravel()
        return [_Part(layer, f"{layer.name}[{n}]", np.flatnonzero(which == n)) for n in range(len(kinds))]

    def place_constants(self, layer: Layer) -> None:
        """Constant inputs into biases, where the current keeps nothing and v can be made to start right."""
        at_once = [e for e in layer.edges if e.source == ONE and e.steps == 0 and not np.any(layer.synapse)]
        given = sum((self.column(edge, layer)[:, 0] for edge in at_once), np.zeros(layer.size))
        _, fine = started(layer, layer.bias + given)
        layer.edges = [edge for edge in layer.edges if edge not in at_once]
        if np.any(rest := given * ~fine):
            layer.edges.append(Edge(ONE, (), 0, (rest / np.where(rest == 0, 1, layer.gain)).reshape(layer.shape)))
        layer.bias = layer.bias + given * fine
        layer.start, fine = started(layer, layer.bias)
        if not np.all(fine):
            statement = f"{int((~fine).sum())} of {quote(layer.name)} start at 0: the chip would fire on the way there"
            assume(self.module, "choice", "initial state", statement)

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
            of = [(None, self.one if source == ONE else source)]
            if source in parts:
                of = [(from_part.members, from_part.process) for from_part in parts[source]]
            summed = dict[int, tuple[Array, list[str]]]()
            for edge, wait in zip(edges, waits, strict=True):
                if (matrix := self.matrix(edge, layer)) is not None:
                    rows = part.rows(matrix)
                    before, nodes = summed.get(wait, (np.zeros(rows.shape), list[str]()))
                    summed[wait] = before + rows, [*nodes, *edge.nodes()]
            for weights, delays, nodes in bundled(summed):
                for members, sender in of:
                    own, waiting = (x if members is None else x[:, members] for x in (weights, delays))
                    process = self.fresh(f"{sender}->{part.process}")
                    yield _matrix_op(process, nodes, own, waiting, self.bits(source))
                    yield loihi2.ConnectOp(sender, process, self.into_matrix(source, sender, parts))
                    yield loihi2.ConnectOp(process, part.process, onto)

    def bits(self, source: str) -> int:
        """Those of a source's messages."""
        return self.message_bits if source in self.names() else 0

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

    def convolution(
        self, edge: Edge, part: _Part, parts: dict[str, list[_Part]]
    ) -> tuple[str, loihi2.ConvOp, str] | None:
        """The path as one convolution, where it is one: process, op, source; None where it is not."""
        shape = self.sizes.get(edge.source, ())
        whole = edge.source not in parts or parts[edge.source][0].members is None
        if edge.source == ONE or not part.images or len(shape) != 3 or not whole:
            return None
        gain = part.layer.gain.reshape(part.layer.shape)
        kernel = _symmetric(kernel_of_path(edge, shape), edge)
        if kernel is None or np.any(gain != gain[:, :1, :1]):
            return None
        process = self.fresh(f"{edge.source}->{part.process}")
        weight = kernel.weight * gain[:, 0, 0, None, None, None]
        op = _conv_op(kernel, process, edge.nodes(), weight, shape, self.bits(edge.source))
        return process, op, edge.source

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
        most = (1 << self.message_bits) - 1
        told = "that is not 0 counts as one event, however large"
        if self.message_bits:
            told = f"is a graded spike, a whole number from 0 to {most} that counts as often as it says"
        assume(self.module, "given" if self.message_bits else "note", "events", f"a value of {names} {told}")


def _matrix_op(process: str, nodes: Sequence[str], weights: Array, delays: Array, bits: int) -> loihi2.MatrixOp:
    content = dense(np.ascontiguousarray(weights))
    if np.any(delays):
        waits = dense(np.ascontiguousarray(delays, np.int32))
        return loihi2.DelayDenseOp(process, nodes, content, num_message_bits=bits, delays=waits)
    few = weights.size > 1 << 16 and np.count_nonzero(weights) < weights.size / 4
    return (loihi2.SparseOp if few else loihi2.DenseOp)(process, nodes, content, num_message_bits=bits)


def _conv_op(
    kernel: Kernel, process: str, nodes: Sequence[str], weight: Array, shape: tuple[int, ...], bits: int
) -> loihi2.ConvOp:
    """Lava's process: columns first, the kernel turned round."""
    top, _, left, _ = kernel.padding
    turned = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    return loihi2.ConvOp(
        process,
        nodes,
        dense(np.ascontiguousarray(turned)),
        shape[::-1],
        kernel.stride[::-1],
        (left, top),
        kernel.dilation[::-1],
        kernel.groups,
        bits,
    )


def _symmetric(kernel: Kernel | None, edge: Edge) -> Kernel | None:
    """The kernel as Lava's convolution can hold it: the same padding on opposite sides, not too many groups."""
    if kernel is None or kernel.padding[::2] != kernel.padding[1::2]:
        return None
    if kernel.groups > loihi2.LIMITS.kernel and not any(isinstance(step.op, snn.ConvOp) for step in edge.path):
        # A pool has as many groups as channels, more than Lava can count; a convolution's are the user's own.
        return Kernel(kernel.spread(), kernel.stride, kernel.padding)
    return kernel
