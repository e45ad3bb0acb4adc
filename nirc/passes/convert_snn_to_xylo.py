"""`convert-snn-to-xylo`: populations of neurons become the hidden and readout neurons of a Xylo, numbers still real.

The chip runs one wiring: synapse filter, membrane filter, fire, subtract the threshold. Per neuron, from the step

    i' = b i + g_s (W z + c);   v' = a v + g_m i' + k

it gets  weights = g_s g_m W  (what a spike adds to v in the first step), bias = k + g_m g_s c / (1 - b) (the steady
current of a constant input), dash_mem = -log2(1 - a), dash_syn = -log2(1 - b). A layer without a synapse has b = 0. A
last layer that does not fire is a readout whose membrane is read. A layer that leaves the network and cannot be readout
(the input feeds it, or it feeds neurons) stays hidden; `xylo-add-relays` copies its spikes to readout neurons.

The vendor's mapping, to compare with, ignores what NIR calls r and w_in: weights = W, bias = v_leak = k / (1 - a), and
constant inputs are dropped. Source: nirc's specification of Xylo, sections 5 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, BlockArgument, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn, xylo
from nirc.dialects.dense import Array, Dense, dense, doubles
from nirc.dialects.nir import assume, quote
from nirc.passes.chip_conversion import ChipConversion, convert_networks
from nirc.passes.xylo_check_limits import structural_violations

MAPPINGS = ("faithful", "vendor")


@dataclass(frozen=True)
class ConvertSnnToXyloPass(ModulePass):
    """Turn a `snn.network` in canonical wiring into a `xylo.network` of real numbers.

    Raises PassFailedException with everything that the chip has no place for.
    """

    name = "convert-snn-to-xylo"

    chip: str = xylo.DEFAULT_CHIP
    mapping: str = "faithful"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.chip not in xylo.CHIPS:
            raise PassFailedException(f"chip '{self.chip}' is not one of {', '.join(xylo.CHIPS)}")
        if self.mapping not in MAPPINGS:
            raise PassFailedException(f"mapping '{self.mapping}' is not one of {', '.join(MAPPINGS)}")
        convert_networks(
            op, lambda network: _Conversion(op, network, self.chip, vendor=self.mapping == "vendor").convert()
        )


@dataclass
class _Edge:
    """Weights onto a population; `late`: the source's spikes of the last step."""

    source: str
    weights: Array
    late: bool = False


@dataclass(eq=False)
class _Population:
    """One layer of neurons as the chip sees it, per neuron; `op` gives what leaves it, spikes or the membrane."""

    name: str
    op: snn.SnnOp
    size: int
    mem_decay: Array
    syn_decay: Array
    gain: Array
    leak: Array
    threshold: Array = field(default_factory=lambda: np.ones(()))
    edges: list[_Edge] = field(default_factory=list[_Edge])
    constant: Array = field(default_factory=lambda: np.zeros(()))

    def dash_mem(self) -> Array:
        return self.dash(self.mem_decay)

    def dash_syn(self) -> Array:
        return self.dash(self.syn_decay)

    def dash(self, decay: Array) -> Array:
        """log2(tau/dt) of a decay per step; infinite where nothing decays, which is a fault of the network."""
        with np.errstate(divide="ignore"):
            return np.broadcast_to(-np.log2(1 - decay), self.size)

    def bias(self) -> Array:
        steady = self.gain * self.constant / np.maximum(1 - self.syn_decay, np.finfo(float).tiny)
        return np.broadcast_to(self.leak + steady, self.size)


class _Conversion(ChipConversion):
    CHIP = "Xylo"

    def __init__(self, module: ModuleOp, network: snn.NetworkOp, chip: str, *, vendor: bool):
        super().__init__(module, network)
        self.chip, self.vendor = chip, vendor
        self.relays = dict[str, str]()

    def convert(self) -> xylo.NetworkOp:
        populations = [p for fire in self.layers() if (p := self.population(fire)) is not None]
        membranes = self.membranes()
        hidden, readout = self.assign(populations, membranes)
        network = self.build(hidden, list(readout.values()))
        if self.faults:
            also = (f"xylo {self.chip}: {fault}" for fault in structural_violations(network, network.limits))
            raise PassFailedException("\n".join([*self.faults, *also]))
        self.report(hidden, readout)
        return network

    # -- one population

    def population(self, fire: snn.FireOp) -> _Population | None:
        """Match the wiring that ends in this op: filter, filter, fire, reset by subtraction."""
        reset = self.reset_of(fire)
        found = self.integration(fire, self.spikes[fire.spikes], fire.v, None if reset is None else reset.next)
        if found is not None:
            found.threshold = doubles(fire.threshold)
            if np.any(found.threshold <= 0):
                least = f"threshold {float(found.threshold.min()):g}"
                self.fail(fire, f"{least}, must be > 0; Xylo would fire 31 times a step")
        return found

    def membranes(self) -> dict[str, _Population]:
        """The layers whose membranes leave the network, by output."""
        found = dict[str, _Population]()
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            _, membrane = self.peel(value)
            if isinstance(membrane, snn.FilterOp) and self.nexts.get(membrane.state) is value:
                label = membrane.node.data if membrane.node else name.data
                if (layer := self.integration(membrane, label, value, value)) is not None:
                    found[name.data] = layer
        return found

    def integration(self, op: snn.SnnOp, name: str, value: SSAValue, after: SSAValue | None) -> _Population | None:
        """Match the filters whose result is `value`; `after` is the membrane that the next step starts from."""
        leak, membrane = self.membrane(op, value, after)
        if membrane is None:
            return None
        v = membrane.state
        a, b, gain, into = doubles(membrane.decay), np.zeros(()), doubles(membrane.gain), membrane.input
        rest, synapse = self.peel(membrane.input)
        if isinstance(synapse, snn.FilterOp) and self.nexts.get(synapse.state) is membrane.input:
            b, gain, into = doubles(synapse.decay), doubles(synapse.gain) * gain, synapse.input
            self.start_at_zero(synapse.state)
            if np.any(rest):
                self.fail(op, "its synapse has a rest value; Xylo's currents decay to 0")
        elif self.vendor:
            self.fail(op, "a membrane without a synapse, which the vendor's route cannot read; use --mapping faithful")
        self.start_at_zero(v)
        if np.any(a >= 1):
            self.fail(
                op,
                "its membrane does not leak; every state of Xylo loses at least 1 LSB a step, use LIF or CubaLIF with "
                "a tau of up to 32768 steps",
            )
        if np.any(b >= 1):
            self.fail(op, "its synaptic current does not decay; every state of Xylo does")
        shape = snn.tensor_of(value).get_shape()
        if len(shape) != 1:
            self.fail(op, "its neurons stand in rows and columns; run snn-flatten first")
            return None
        if self.vendor:
            gain, leak = np.ones(()), leak / np.maximum(1 - a, np.finfo(float).tiny)
        found = _Population(name, op, shape[0], a, b, gain, leak)
        self.collect(found, into)
        if self.vendor and np.any(found.constant):
            statement = f"the constant input of {quote(name)} is dropped, as the vendor's route drops it"
            assume(self.module, "note", "bias", statement)
            found.constant = np.zeros(())
        return found

    def reset_of(self, fire: snn.FireOp) -> snn.ResetOp | None:
        """The reset, which has to subtract the threshold."""
        if (reset := super().reset_of(fire)) is None:
            return None
        amount = doubles(reset.amount)
        if np.any(amount) and reset.kind.data != "subtract":
            to = f"{float(np.ravel(amount)[0]):g}"
            self.fail(
                fire, f"a spike resets it to v_reset = {to}; Xylo subtracts the threshold, which needs v_reset = 0"
            )
        elif reset.kind.data != "subtract":
            why = "Xylo resets by subtraction of the threshold only, compile with --reset subtract or auto"
            self.fail(fire, f"a spike resets it to 0; {why}")
        elif np.any(amount != doubles(fire.threshold)):
            self.fail(
                fire, "a spike subtracts threshold - v_reset; Xylo subtracts the threshold, which needs v_reset = 0"
            )
        return reset

    def collect(self, into: _Population, value: SSAValue) -> None:
        """Gather the weighted sources and constants that make up an input."""
        owner = value.owner
        if isinstance(owner, snn.SumOp):
            for item in owner.inputs:
                self.collect(into, item)
        elif isinstance(owner, snn.AddOp):
            into.constant = into.constant + doubles(owner.constant)
            self.collect(into, owner.input)
        elif isinstance(owner, snn.LinearOp):
            self.connect(into, owner.input, doubles(owner.weight), owner)
        elif value in self.spikes or isinstance(value, BlockArgument):
            self.connect(into, value, np.eye(into.size), into.op)
        elif isinstance(owner, snn.ScaleOp):
            self.connect(into, owner.input, np.diag(np.broadcast_to(doubles(owner.factor), into.size)), owner)
        elif isinstance(owner, snn.SnnOp):
            self.fail(
                owner,
                f"{owner.name} before {into.op.label}: Xylo has one matrix of weights between two "
                "layers and nothing else",
            )

    def connect(self, into: _Population, source: SSAValue, weights: Array, op: snn.SnnOp) -> None:
        """An edge from an input, from spikes of this step, or from spikes of the last."""
        if isinstance(source, BlockArgument) and source in self.inputs:
            into.edges.append(_Edge(self.inputs[source], weights))
        elif source in self.spikes:
            into.edges.append(_Edge(self.spikes[source], weights))
        elif isinstance(source, BlockArgument) and self.nexts.get(source) in self.spikes:
            into.edges.append(_Edge(self.spikes[self.nexts[source]], weights, late=True))
        else:
            cut = "; cycles must be cut at the neurons, rec_cut=neuron" if isinstance(source, BlockArgument) else ""
            why = (
                f"its input is neither the network's input nor spikes of a layer; Xylo's weights take spikes only{cut}"
            )
            self.fail(op, why)

    # -- the whole

    def assign(
        self, populations: list[_Population], membranes: dict[str, _Population]
    ) -> tuple[list[_Population], dict[str, _Population]]:
        """Which layers are readout, which hidden, which hidden with relays; and what is missing."""
        by_name = {p.name: p for p in populations}
        feeding = {edge.source for p in [*populations, *membranes.values()] for edge in p.edges}
        readout = dict[str, _Population]()
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            output = name.data
            layer = membranes.get(output) or by_name.get(self.spikes.get(value, ""))
            if layer is None:
                if value not in self.spikes and not self.faults:
                    what = "neither the spikes nor the membrane of a layer; Xylo's readout gives nothing else"
                    owner = value.owner if isinstance(value.owner, snn.SnnOp) else None
                    self.fail(owner, f"the output {quote(output)} is {what}")
                continue
            from_input = [edge.source for edge in layer.edges if edge.source in self.inputs.values()]
            if layer in readout.values() or layer.name in self.relays:
                self.fail(layer.op, "it leaves through two outputs; give it one")
            elif output in membranes and from_input:
                self.fail(
                    layer.op,
                    f"its membrane leaves and the input {quote(from_input[0])} feeds it; Xylo's readout reads hidden "
                    "neurons only, put a layer in between",
                )
            elif from_input or layer.name in feeding:
                self.relays[layer.name] = output
            else:
                readout[output] = layer
        hidden = [p for p in populations if p not in readout.values()]
        if not self.network.outputs and not self.faults:
            self.faults.append("the network has no output; Xylo needs one")
        for name, argument in zip(self.network.inputs, self.network.input_args, strict=True):
            if len(snn.tensor_of(argument).get_shape()) != 1:
                self.faults.append(
                    f"input {quote(name.data)} has the shape {snn.tensor_of(argument)}; Xylo takes a vector of channels"
                )
        return hidden, readout

    def report(self, hidden: list[_Population], readout: dict[str, _Population]) -> None:
        """Attach what the chip does differently from the step that it stands for."""
        late = _latencies([*hidden, *readout.values()])
        answers = {p.name: late[p.name] for p in readout.values()} | {name: late[name] + 1 for name in self.relays}
        alike = len(set(answers.values())) == 1
        for name, steps in answers.items():
            if steps:
                who = "the readout" if alike else f"the readout {quote(name)}"
                later = f"{who} answers {steps} step{'s' if steps > 1 else ''} later than the network"
                statement = f"{later}: spikes take a step from one layer of neurons to the next"
                assume(self.module, "note" if alike else "choice", "latency", statement)
        for p in [*hidden, *readout.values()]:
            for edge in p.edges:
                arrival = 0 if edge.source in self.inputs.values() else late[edge.source] + 1
                skew = arrival - late[p.name] - (1 if edge.late else 0)
                if skew:
                    way = "later" if skew > 0 else "earlier"
                    statement = (
                        f"{quote(edge.source)} -> {quote(p.name)} arrives {abs(skew)} step(s) {way} than in "
                        "the network, relative to the other edges: the chip has no delays"
                    )
                    assume(self.module, "choice", "latency", statement)
        for name in self.relays:
            text = f"{quote(name)} is copied to readout neurons by exact relays: 1 where it fired, however often"
            assume(self.module, "note", "relay", text)
        assume(self.module, "note", "comparison", "a neuron of the chip fires where v >= threshold")
        for p in [*hidden, *readout.values()]:
            if np.any(p.constant):
                statement = (
                    f"the constant input of {quote(p.name)} enters as the bias that its steady current gives; "
                    "the first steps after start differ"
                )
                assume(self.module, "note", "bias", statement)

    def build(self, hidden: list[_Population], readout: list[_Population]) -> xylo.NetworkOp:
        channels = {
            name.data: math.prod(snn.tensor_of(arg).get_shape())
            for name, arg in zip(self.network.inputs, self.network.input_args, strict=True)
        }
        at_input, at_hidden, at_readout = _places(channels), _places(_sizes(hidden)), _places(_sizes(readout))
        n, m = sum(_sizes(hidden).values()), sum(_sizes(readout).values())
        weights_in = np.zeros((sum(channels.values()), n, 1))
        weights_rec = np.zeros((n, n, 1))
        weights_out = np.zeros((n, m))
        for p in (*hidden, *readout):
            for edge in p.edges:
                block = (edge.weights * np.broadcast_to(p.gain, p.size)[:, None]).T
                if self.faults and edge.source not in (
                    at_hidden if p.name in at_readout else {**at_input, **at_hidden}
                ):
                    continue  # an edge that is a fault already
                if p.name in at_readout:
                    weights_out[at_hidden[edge.source], at_readout[p.name]] += block
                elif edge.source in at_input:
                    weights_in[at_input[edge.source], at_hidden[p.name], 0] += block
                else:
                    weights_rec[at_hidden[edge.source], at_hidden[p.name], 0] += block
        outputs = [name.data for name in self.network.outputs if name.data not in self.relays.values()]
        ends = [p.name for p in readout if not isinstance(p.op, snn.FireOp)]
        body = Block(
            [
                xylo.InputOp(channels, dense(weights_in)),
                xylo.HiddenOp(
                    _sizes(hidden),
                    dense(weights_rec),
                    _joined(p.dash_mem() for p in hidden),
                    _joined((p.dash_syn() for p in hidden), columns=1),
                    _joined(np.broadcast_to(p.threshold, p.size) for p in hidden),
                    _joined(p.bias() for p in hidden),
                ),
                xylo.ReadoutOp(
                    _sizes(readout),
                    outputs,
                    dense(weights_out),
                    _joined(p.dash_mem() for p in readout),
                    _joined(p.dash_syn() for p in readout),
                    _joined(np.broadcast_to(p.threshold, p.size) for p in readout),
                    _joined(p.bias() for p in readout),
                    membranes=ends,
                ),
            ]
        )
        late = _latencies([*hidden, *readout])
        return xylo.NetworkOp(self.network.sym_name.data, self.chip, Region(body), relays=self.relays, late=late)


def _sizes(populations: list[_Population]) -> dict[str, int]:
    return {p.name: p.size for p in populations}


def _places(sizes: dict[str, int]) -> dict[str, slice]:
    places = dict[str, slice]()
    at = 0
    for name, size in sizes.items():
        places[name] = slice(at, at + size)
        at += size
    return places


def _joined(parts: Iterable[Array], columns: int | None = None) -> Dense:
    joined = np.concatenate([np.zeros(0), *parts])
    return dense(joined if columns is None else joined.reshape(-1, columns))


def _latencies(populations: list[_Population]) -> dict[str, int]:
    """Steps by which each layer's spikes come late on the chip: one per layer of neurons before it.

    Populations stand in the order of the step, so a forward edge leads from an earlier one.
    """
    late = dict[str, int]()
    for p in populations:
        forward = [late[edge.source] + 1 for edge in p.edges if not edge.late and edge.source in late]
        late[p.name] = max(forward, default=0)
    return late
