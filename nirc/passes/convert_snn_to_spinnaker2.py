"""`convert-snn-to-spinnaker2`: layers of neurons become populations, linear paths projections, numbers still real.

The chip integrates what arrives without a gain. With v in units of a gain of 1 a layer of the step

    i' = e i + g_s (sum of W z + b) ;   v' = a v + g_m i' + k ;   fire at theta, reset to v_reset or by theta - v_reset

gets, with g = g_m g_s (of either sign, which the weights take) and v_scale = 1 / |g|,

    weights W     threshold = theta v_scale     v_reset = v_reset v_scale
    alpha_decay = a,  exc_decay = inh_decay = e
    i_offset = k v_scale + b / (1 - e), the steady current of all biases of all that feeds it

A layer that has to subtract theta - v_reset, or whose threshold is not above 0, is shifted by v_reset first. A
projection takes a tick, so a layer is as many ticks late as there are layers before it. A path that takes fewer ticks
than another waits: the steps of Delays in the synapses (4-bit weights), the rest in relays, populations that repeat
spikes a tick later and leave the weights their bits. With `mapping` faithful v starts where those ticks with i_offset
alone lead to the network's start; with vendor it starts at 0, as the vendor's own route has it.
Source: nirc's specification of SpiNNaker2, sections 3 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn
from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import Array, dense, doubles, uniform
from nirc.dialects.nir import assume, integers, listed, quote
from nirc.dialects.spinnaker2 import LIMITS
from nirc.passes.chip_conversion import convert_networks
from nirc.passes.chip_paths import ONE, Edge, Kernel, Layer, PathConversion, bundled, kernel_of_path, reshaped, started
from nirc.passes.convert_nir_to_snn.schemes import parse_scheme
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass
from nirc.passes.spinnaker2_check_limits import structural_violations, too_large

MAPPINGS = ("faithful", "vendor")


@dataclass(frozen=True)
class ConvertSnnToSpinnaker2Pass(ModulePass):
    """Turn a `snn.network` in canonical wiring into a `spinnaker2.network` of real numbers; folds linear paths first.

    mapping: with `vendor` v starts at 0, however late a layer is.
    Raises PassFailedException with everything that py-spinnaker2 has no place for.
    """

    name = "convert-snn-to-spinnaker2"

    mapping: str = "faithful"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.mapping not in MAPPINGS:
            raise PassFailedException(f"mapping '{self.mapping}' is not one of {', '.join(MAPPINGS)}")
        SnnFoldLinearPathsPass().apply(ctx, op)
        convert_networks(op, lambda network: _Conversion(op, network, vendor=self.mapping == "vendor").convert())


@dataclass(frozen=True)
class _Convolution:
    """A path as py-spinnaker2's convolution: windows of `pool` x `pool` places are summed, then correlated."""

    kernel: Kernel
    pool: int

    def same_windows(self, other: _Convolution) -> bool:
        """Whether the weights of both can be added up."""
        mine, theirs = ((c.pool, c.kernel.stride, c.kernel.padding, c.kernel.weight.shape) for c in (self, other))
        return mine == theirs


class _Conversion(PathConversion):
    CHIP = "SpiNNaker2"

    def __init__(self, module: ModuleOp, network: snn.NetworkOp, *, vendor: bool):
        super().__init__(module, network)
        self.vendor = vendor
        self.resets = dict[str, tuple[str, Array]]()
        self.models = dict[str, str]()
        self.relays = dict[tuple[str, int], str]()
        self.ops = list[Operation]()
        self.wiring = list[Operation]()

    def convert(self) -> s2.NetworkOp:
        for fire in self.layers():
            if (layer := self.spiking(fire)) is not None:
                self.built[layer.name] = layer
        ports = list(self.outputs())
        if both := sorted(set(self.names()) & set(self.built)):
            self.faults.append(f"{listed(both)}: an Input and neurons of one name")
        for layer in self.built.values():
            self.refuse(layer)
        network = None if self.faults else self.build(ports)
        if network is not None:
            self.faults.extend(structural_violations(network))
        if self.faults or network is None:
            raise PassFailedException("\n".join(dict.fromkeys(self.faults)))
        self.report(ports)
        return network

    # -- one layer

    def spiking(self, fire: snn.FireOp) -> Layer | None:
        """Match the wiring that ends in this op: filter [, filter], fire, reset."""
        _, membrane = self.peel(fire.v)
        if not isinstance(membrane, snn.FilterOp) and not any(
            isinstance(use.operation, snn.ResetOp) for use in fire.spikes.uses
        ):
            self.fail(fire, "a Threshold without a membrane; SpiNNaker2's neurons integrate, use LIF or IF")
            return None
        name, shape = self.spikes[fire.spikes], snn.tensor_of(fire.v).get_shape()
        reset = self.reset_of(fire)
        layer = self.integration(fire, name, fire.v, None if reset is None else reset.next)
        if layer is None or reset is None:
            return None

        def each(values: Array) -> Array:
            return np.broadcast_to(values, shape).astype(float).ravel()

        theta, amount = each(doubles(fire.threshold)), each(doubles(reset.amount))
        subtract = reset.kind.data == "subtract"
        if np.any(layer.gain == 0):
            self.fail(fire, f"the gain (r) of neuron {int(np.argmax(layer.gain == 0))} is 0; nothing would reach v")
            return None
        target = theta - amount if subtract else amount
        if subtract or np.any(theta <= 0):
            layer.offset = target
        if np.any(theta <= layer.offset):
            n = int(np.argmax(theta <= layer.offset))
            self.fail(fire, f"threshold {theta[n]:g} at neuron {n} is not above v_reset {layer.offset[n]:g}")
            return None
        layer.factor = 1 / np.abs(layer.gain)
        layer.threshold = (theta - layer.offset) * layer.factor
        layer.start = (layer.start - layer.offset) * layer.factor
        layer.bias = (layer.bias - (1 - layer.decay) * layer.offset) * layer.factor
        layer.gain = np.sign(layer.gain)
        kind = "reset_by_subtraction" if subtract else "reset_to_v_reset"
        self.resets[name] = kind, (target - layer.offset) * layer.factor
        self.place_constants(layer)
        return layer

    def place_constants(self, layer: Layer) -> None:
        """The biases of all that feeds a layer, as the current that they lead to."""
        constants = [edge for edge in layer.edges if edge.source == ONE]
        layer.edges = [edge for edge in layer.edges if edge.source != ONE]
        if not constants:
            return
        given = sum((self.column(edge, layer)[:, 0] for edge in constants), np.zeros(layer.size))
        if np.any(given[layer.synapse >= 1]):
            self.fail(layer.op, "a bias feeds a synaptic current that does not decay; it has no steady value")
            return
        layer.bias = layer.bias + given / (1 - layer.synapse)
        if np.any(given) and np.any(layer.synapse):
            statement = f"the bias of {quote(layer.name)} acts in full from the start; NIR's current rises by tau_syn"
            assume(self.module, "note", "bias", statement)

    def outputs(self) -> Iterator[s2.PortAttr]:
        """Each output's name and population."""
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            shape, spikes = snn.tensor_of(value).get_shape(), reshaped(value)
            if spikes in self.spikes:
                yield s2.PortAttr.of(name.data, self.spikes[spikes], shape)
            else:
                owner = spikes.owner if isinstance(spikes.owner, snn.SnnOp) else None
                told = f"the output {quote(name.data)} is not the spikes of a layer"
                self.fail(owner, f"{told}; SpiNNaker2's populations give nothing else, end in LIF, IF or CubaLIF")
        if not self.network.outputs:
            self.faults.append("the network has no output; nothing would be read")

    def refuse(self, layer: Layer) -> None:
        """Keep the faults of a layer that do not hang on how it is built."""
        convolutions = [op for edge in layer.edges for op in _convolutions(edge)]
        for op in convolutions:
            stride = integers(op.stride)
            if _is_row(op):
                self.fail(op, "a Conv1d, for which py-spinnaker2 has no projection; write it as a Linear, or a Conv2d")
                continue
            if op.groups.value.data > 1:
                self.fail(op, f"{op.groups.value.data} groups; py-spinnaker2 has none, write zeros into one kernel")
            if stride[0] != stride[1]:
                told = f"a stride of {stride[0]}x{stride[1]}"
                self.fail(op, f"{told}; which of py-spinnaker2's is which is not settled, take equal ones")
            if np.any(layer.synapse):
                self.fail(op, f"a convolution onto {layer.op.label}, whose current decays; it may feed LIF or IF alone")
        for edge in layer.edges:
            if _delay(edge) > LIMITS.delay:
                names = [step.op.label for step in edge.path if isinstance(step.op, snn.DelayOp)]
                self.faults.append(
                    f"node {', '.join(dict.fromkeys(names))}: a delay of {edge.steps} steps onto {layer.op.label}, a "
                    f"synapse of the chip waits 0 to {LIMITS.delay} ticks beside the first; take a larger dt, or "
                    "several layers"
                )
        model = "lif_conv2d" if convolutions and not np.any(layer.synapse) else "lif_no_delay"
        self.faults.extend(too_large(layer.op.label, layer.size, model))

    # -- the whole

    def absorbed(self, edge: Edge) -> int:
        return edge.steps if edge.recurrent else 0

    def build(self, ports: list[s2.PortAttr]) -> s2.NetworkOp | None:
        self.set_latencies()
        self.taken = {*self.names(), *self.built}
        read = {port.population.data for port in ports}
        sources = [s2.PopulationOp(name, self.sizes[name], node=name, late=0) for name in self.names()]
        for layer in self.built.values():
            waits = [self.wait(edge, layer) for edge in layer.edges]
            convolutions = self.as_convolutions(layer, waits)
            delayed = convolutions is None and any(_delay(edge) for edge in layer.edges)
            kind = "lif_curr_exp" if np.any(layer.synapse) else "lif"
            model = "lif_conv2d" if convolutions is not None else kind if delayed else f"{kind}_no_delay"
            self.models[layer.name] = model
            self.ops.append(self.population(layer, model, layer.name in read))
            if convolutions is not None:
                self.connect_convolutions(layer, convolutions)
            else:
                self.connect(layer, waits, LIMITS.delay_of(model))
        if self.faults:
            return None
        inputs = [s2.PortAttr.of(name, name, self.sizes[name]) for name in self.names()]
        scheme = parse_scheme(self.network.scheme.data if self.network.scheme else None)
        integrator = "euler" if scheme["decay_mem"] == "euler" else "exponential"
        body = Region(Block([*sources, *self.ops, *self.wiring]))
        return s2.NetworkOp(self.network.sym_name.data, inputs, ports, body, integrator)

    def population(self, layer: Layer, model: str, read: bool) -> s2.PopulationOp:
        kind, target = self.resets[layer.name]
        numbers = {
            "threshold": layer.threshold,
            "alpha_decay": layer.decay,
            "i_offset": layer.bias,
            "v_init": self.start(layer),
            "v_reset": target,
            "w_scale": np.ones(()),
            "v_scale": layer.factor,
            "v_offset": layer.offset,
        }
        if np.any(layer.synapse):
            numbers |= {"exc_decay": layer.synapse, "inh_decay": layer.synapse}
        dropped = {"v_offset", "v_init"} | ({"v_reset"} if kind == "reset_by_subtraction" else set[str]())
        kept = {name: values for name, values in numbers.items() if name not in dropped or np.any(values)}
        return s2.PopulationOp(
            layer.name,
            layer.shape,
            model,
            {name: dense(np.asarray(uniform(values), float, order="C")) for name, values in kept.items()},
            node=layer.name,
            reset=kind,
            record=("spikes",) if read else (),
            strict=not self.vendor and self.compares(layer) == ">",
            late=layer.latency,
        )

    def compares(self, layer: Layer) -> str:
        """How the network compares v with the threshold."""
        assert isinstance(layer.op, snn.FireOp)
        return layer.op.compare.data

    def start(self, layer: Layer) -> Array:
        """v before the first tick."""
        if self.vendor:
            if np.any(layer.start):
                assume(self.module, "choice", "initial state", f"{quote(layer.name)} starts at 0, as in the vendor's")
            return np.zeros(layer.size)
        # A little below the threshold: float32 rounds on the way.
        start, fine = started(replace(layer, threshold=layer.threshold * (1 - 2**-16)), layer.bias)
        if not np.all(fine):
            statement = f"{int((~fine).sum())} of {quote(layer.name)} start at 0: the chip would fire on the way there"
            assume(self.module, "choice", "initial state", statement)
        return start

    def connect(self, layer: Layer, waits: list[int], most: int) -> None:
        """Lists of synapses onto a layer: from each source as many as its paths need, each from a relay of its own."""
        for source in dict.fromkeys(edge.source for edge in layer.edges):
            summed = dict[int, tuple[Array, list[str]]]()
            for edge, wait in zip(layer.edges, waits, strict=True):
                if edge.source == source and (matrix := self.matrix(edge, layer)) is not None:
                    before, nodes = summed.get(wait, (np.zeros(matrix.shape), list[str]()))
                    summed[wait] = before + matrix, [*nodes, *edge.nodes()]
            depth = -1
            for weights, delays, nodes in bundled(summed, most):
                post, pre = np.nonzero(weights)
                if not post.size:
                    continue
                order = np.lexsort((post, pre))
                pre, post = pre[order], post[order]
                waiting = delays[post, pre]
                depth = max(depth + 1, int(waiting.max()) - most)
                self.wiring.append(
                    self.list_of(
                        self.relay(source, depth), layer.name, nodes, pre, post, weights[post, pre], waiting - depth
                    )
                )

    def list_of(
        self, pre: str, post: str, nodes: list[str], sources: Array, targets: Array, weights: Array, delays: Array
    ) -> s2.ListProjectionOp:
        """A list projection."""
        pairs = np.stack([sources, targets], axis=1).astype(np.int32)
        waits = dense(np.ascontiguousarray(delays, np.int32)) if np.any(delays) else None
        names = list(dict.fromkeys(nodes))
        values = dense(np.ascontiguousarray(weights, float))
        return s2.ListProjectionOp(f"{pre}->{post}", pre, post, names, values, connections=dense(pairs), delays=waits)

    def relay(self, source: str, ticks: int) -> str:
        """The population whose spikes are the source's so many ticks later."""
        if ticks <= 0:
            return source
        if (source, ticks) not in self.relays:
            before, name = self.relay(source, ticks - 1), self.fresh(f"{source}+{ticks}")
            size = math.prod(self.sizes[source])
            numbers = {"threshold": 0.5, "alpha_decay": 0.0, "i_offset": 0.0, "v_reset": 0.0, "w_scale": 1.0}
            late = ticks + (self.built[source].latency if source in self.built else 0)
            self.ops.append(
                s2.PopulationOp(
                    name,
                    self.sizes[source],
                    "lif_no_delay",
                    {key: dense(np.asarray(value)) for key, value in numbers.items()},
                    reset="reset_to_v_reset",
                    late=late,
                )
            )
            each = np.arange(size)
            self.wiring.append(self.list_of(before, name, [], each, each, np.ones(size), np.zeros(size)))
            self.relays[source, ticks] = name
        return self.relays[source, ticks]

    # -- convolutions

    def as_convolutions(
        self, layer: Layer, waits: list[int]
    ) -> dict[tuple[str, int], tuple[_Convolution, list[str]]] | None:
        """The paths onto a layer as convolutions by source and wait, with their nodes; None where they are not."""
        if np.any(layer.synapse) or not any(_convolutions(edge) for edge in layer.edges):
            return None
        found = dict[tuple[str, int], tuple[_Convolution, list[str]]]()
        for edge, wait in zip(layer.edges, waits, strict=True):
            one = self.as_convolution(edge, layer)
            if one is None:
                return None
            at = (edge.source, wait)
            if at in found:
                before, nodes = found[at]
                if not before.same_windows(one):
                    return None
                kernel = replace(one.kernel, weight=before.kernel.weight + one.kernel.weight)
                found[at] = replace(one, kernel=kernel), [*nodes, *edge.nodes()]
            else:
                found[at] = one, edge.nodes()
        return found

    def as_convolution(self, edge: Edge, layer: Layer) -> _Convolution | None:
        """A path as one convolution behind one pool; None where it is none."""
        steps = [step for step in edge.path if step.mask is not None or not isinstance(step.op, snn.DelayOp)]
        while steps and isinstance(steps[-1].op, snn.ReshapeOp):
            steps.pop()
        shape, pool = self.sizes[edge.source], 1
        if steps and isinstance(steps[0].op, snn.PoolOp) and len(steps) > 1:
            first = steps[0].op
            sides = {*integers(first.kernel), *integers(first.stride)}
            if len(sides) == 1 and not any(integers(first.padding)):
                pool, shape = sides.pop(), snn.tensor_of(first.output).get_shape()
                steps = steps[1:]
        if len(shape) != 3:
            return None
        kernel = kernel_of_path(Edge(edge.source, tuple(steps)), shape)
        if kernel is None or kernel.stride[0] != kernel.stride[1]:
            return None
        weight = kernel.spread()
        sign = layer.gain.reshape(len(weight), -1)
        if np.any(sign != sign[:, :1]):
            return None
        return _Convolution(Kernel(weight * sign[:, :1, None, None], kernel.stride, kernel.padding), pool)

    def connect_convolutions(self, layer: Layer, found: dict[tuple[str, int], tuple[_Convolution, list[str]]]) -> None:
        """Convolutions onto a layer, those that wait from relays."""
        for (source, wait), (one, nodes) in found.items():
            pre, weights = self.relay(source, wait), one.kernel.weight.transpose(1, 0, 2, 3)
            self.wiring.append(
                s2.Conv2dProjectionOp.of(
                    f"{pre}->{layer.name}",
                    pre,
                    layer.name,
                    list(dict.fromkeys(nodes)),
                    dense(np.ascontiguousarray(weights)),
                    self.sizes[source][1:],
                    one.kernel.stride[0],
                    one.pool,
                    one.kernel.padding,
                )
            )

    def report(self, ports: list[s2.PortAttr]) -> None:
        """Attach what the chip does differently from the step that it stands for."""
        for port in ports:
            latency = self.built[port.population.data].latency
            told = f"{latency} tick{'s' if latency != 1 else ''}"
            statement = (
                f"the output {quote(port.node.data)} answers {told} later than the network: a projection takes a"
            )
            assume(self.module, "note", "latency", f"{statement} tick")
        if self.late:
            edges = ", ".join(dict.fromkeys(self.late))
            told = f"loops of several layers take a tick a layer on the chip; late are {edges}"
            assume(self.module, "choice", "recurrent edges", told)
        if any(self.compares(layer) != s2.COMPARE for layer in self.built.values()):
            told = f"a neuron of the chip fires where v {s2.COMPARE} threshold"
            raised = "" if self.vendor else "; thresholds are the next number above, so that v > threshold decides"
            assume(self.module, "note", "comparison", told + raised)
        if self.relays:
            told = ", ".join(quote(name) for name in self.relays.values())
            assume(self.module, "note", "relays", f"{told} repeat spikes a tick later, so that paths meet")
        if few := [name for name, model in self.models.items() if model in ("lif", "lif_curr_exp")]:
            statement = f"synapses with delays have 4 bits a weight in place of 7: those onto {listed(few)}"
            assume(self.module, "note", "delay", statement)
        names = listed(self.names())
        assume(self.module, "note", "events", f"{names} takes spikes, 0 or 1 a tick; other values are refused in a run")


def _convolutions(edge: Edge) -> list[snn.ConvOp]:
    return [step.op for step in edge.path if isinstance(step.op, snn.ConvOp)]


def _is_row(op: snn.ConvOp) -> bool:
    """Whether it stands for a Conv1d."""
    before = op.input.owner
    return isinstance(before, snn.ReshapeOp) and len(snn.tensor_of(before.input).get_shape()) == 2


def _delay(edge: Edge) -> int:
    """The steps of a path's Delays, of which a cut takes one."""
    return edge.steps - (1 if edge.recurrent else 0)
