"""`loihi2-quantize`: real numbers become Lava's integers, and a report keeps what they were.

A population has one scale sigma; v_int = 64 sigma v. With M the largest weight onto it:

    sigma = 254 * 2^e / M, e = 0..7 the largest with  vth sigma <= 4096 (32 thresholds below 0 until v saturates),
            sigma worst |u| <= 131071 (u wraps) and biases within their field; e = 0 where a Conv feeds it
    vth   = floor(vth sigma), from here on sigma = vth / its real value: the threshold is exact
    w     = 2 round(sigma W / 2^(k + 1)) where signs are mixed, else round(sigma W / 2^k), k per connection
    du = round(4096 (1 - b)) - 1, dv = round(4096 (1 - a)), within 0..4095
    bias  = mant << exp with the smallest exponent; v before the first step by going back through the integer map

Where no candidate will do sigma is the first of them, or as large as the bounds let it, whereby v may have less below 0
where it cannot saturate whatever comes; weights then use fewer bits. With weight_splits
n > 1 up to n - 1 more connections side by side carry what rounding left. Source: nirc's specification, section 4.3.

The largest |u| that weights and graded inputs allow is many times what occurs. With a raster of the user's, what occurs
on it times a margin takes its place, and in v that of the 32 thresholds; the rounded network runs over it too, and the
margin doubles until nothing wraps or saturates there.

For lava-dl's netx files: k = 0 everywhere, one sign mode for all that feeds a population, biases of exponent 6, and v
starts at 0, which is a choice that is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import loihi2
from nirc.dialects.dense import Array, dense, doubles, uniform
from nirc.dialects.loihi2 import LIMITS
from nirc.dialects.nir import ChangeAttr, assume, keep_changes, listed, quote
from nirc.frontend import rasters
from nirc.interpreters.loihi2 import Loihi2Evaluator, RealLoihi2Evaluator
from nirc.passes.loihi2_check_limits import structural_violations

_HEADROOM = 4096
"""The largest threshold: v saturates at 32 times as much."""

_MOST_A = LIMITS.state >> 6
"""What u holds, in units of a."""

_MARGINS = (1, 2, 4, 8, 16)
"""Of the |v| that has to fit, over what a raster gave; of |u|, which wraps, twice as much."""
_MOST = 4096
"""Steps of a user's raster that are looked at, over all samples."""

NETX_BIAS_EXP = 6
"""Of all biases in netx files."""


@dataclass(frozen=True)
class Loihi2QuantizePass(ModulePass):
    """Make the numbers of every `loihi2.network` integers.

    weight_splits: connections side by side that share a path's weights.
    calibrate: a file with input of the network, by which scales are chosen.
    form: `net` for numbers that a netx file can hold.
    Raises PassFailedException with every parameter that no integer could stand for.
    """

    name = "loihi2-quantize"

    weight_splits: int | str | None = None
    calibrate: str | None = None
    form: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        splits = self.splits()
        faults = list[str]()
        for network in op.ops:
            if isinstance(network, loihi2.NetworkOp) and not network.quantized():
                found = self.populations(network, self.peaks(op, network, splits))
                if wrong := _faults(network, found):
                    faults += wrong
                else:
                    _quantize(op, network, found, splits)
        if faults:
            raise PassFailedException("\n".join(faults))

    def populations(self, network: loihi2.NetworkOp, peaks: Mapping[str, tuple[float, float]]) -> list[_Population]:
        """The populations, each with its scale; peaks: by process, the |u| and |v| that have to fit."""
        netx = self.form == "net"
        return [
            _Population(part, inputs, peaks.get(part.process.data, (0, 0)), netx=netx)
            for part, inputs in inputs_of(network)
        ]

    def peaks(self, module: ModuleOp, network: loihi2.NetworkOp, splits: int) -> dict[str, tuple[float, float]]:
        """What u and v reach on the user's raster, times the margin under which the chip's do not overflow on it."""
        if self.calibrate is None:
            return {}
        try:
            events, told = _events(self.calibrate, network)
            batch = next(iter(events.values())).shape[1]
            real = RealLoihi2Evaluator(network, batch)
            real.run(events)
        except DiagnosticException as error:
            lines = (f"--calibrate: {line}" for line in str(error).splitlines())
            raise PassFailedException("\n".join(lines)) from error
        for margin in _MARGINS:
            peaks = {name: (2 * margin * u, margin * v) for name, (u, v) in real.peaks.items()}
            trial = ModuleOp([network.clone()])
            (copy,) = trial.ops
            assert isinstance(copy, loihi2.NetworkOp)
            found = self.populations(copy, peaks)
            if _faults(copy, found):
                return peaks
            _quantize(trial, copy, found, splits)
            chip = Loihi2Evaluator(copy, batch)
            chip.run(events)
            if not chip.wrapped and not chip.saturated:
                statement = f"by {told}, {2 * margin} times its largest current and {margin} times its membrane fit"
                assume(module, "given", "scales", f"{statement}; nothing wraps or saturates on it, other input may")
                return peaks
        told = f"currents or membranes overflow on {told} whatever the scale; worst case of weights taken"
        assume(module, "choice", "scales", told)
        return {}

    def splits(self) -> int:
        """The option as a number."""
        text = "1" if self.weight_splits is None else str(self.weight_splits)
        if not text.isdecimal() or not 1 <= int(text) <= 4:
            raise PassFailedException(f"weight splits '{text}', must be 1 to 4 connections a path")
        if int(text) > 1 and self.form == "net":
            raise PassFailedException(f"weight splits {text}: a layer of a netx file has one matrix")
        return int(text)


def _events(path: str, network: loihi2.NetworkOp) -> tuple[dict[str, Array], str]:
    """The user's rasters [T, B, ...] by input, as much of them as is looked at, and what that is."""
    shapes = {name: op.given for name, op in network.inputs().items()}
    arrays = rasters.arrange(rasters.prepare(rasters.load(path), shapes, None).arrays, shapes).arrays
    steps, batch = next(iter(arrays.values())).shape[:2]
    if not steps or not batch:
        raise DiagnosticException(f"{path}: holds no steps")
    samples = max(1, min(batch, _MOST // steps))
    part = {name: values[:_MOST, :samples] for name, values in arrays.items()}
    return part, f"{min(steps, _MOST)} steps of {samples} of the {batch} sample(s) of {os.path.basename(path)}"


def _faults(network: loihi2.NetworkOp, found: list[_Population]) -> list[str]:
    """What no integer could stand for; with it, what does not fit whatever the weights are."""
    wrong = [fault for population in found for fault in population.faults()]
    wrong += _lost([population for population in found if not any(population.faults())])
    return [*wrong, *structural_violations(network)] if wrong else []


def inputs_of(network: loihi2.NetworkOp) -> list[tuple[loihi2.NeuronsOp, list[loihi2.SynapsesOp]]]:
    """The populations, each with the connection processes onto it."""
    synapses = network.synapses()
    found: dict[str, list[loihi2.SynapsesOp]] = {name: [] for name in network.neurons()}
    for edge in network.connections():
        if edge.target.data in found and edge.source.data in synapses:
            found[edge.target.data].append(synapses[edge.source.data])
    return [(op, found[name]) for name, op in network.neurons().items()]


def bias_fields(bias: Array, least: int = 0) -> tuple[Array, Array]:
    """Mantissa and exponent of whole numbers' nearest, the smallest exponent that does, from `least` on."""
    most = LIMITS.bias_mant[1]
    exponent = np.full(bias.shape, least, np.int64)
    for _ in range(least, LIMITS.bias_exp[1]):
        exponent += np.abs(np.rint(bias / 2.0**exponent)) > most
    return np.rint(bias / 2.0**exponent).astype(np.int64), exponent


def signs_of(weights: Array) -> str:
    """The sign mode of weights."""
    return "EXCITATORY" if np.all(weights >= 0) else "INHIBITORY" if np.all(weights <= 0) else "MIXED"


def _reach(op: loihi2.SynapsesOp) -> Array:
    """The largest sums of weights onto each target, of one sign."""
    weights = op.numbers(op.matrix).reshape(op.numbers(op.matrix).shape[0], -1)
    return np.stack([np.maximum(weights, 0).sum(axis=1), np.maximum(-weights, 0).sum(axis=1)])


class _Population:
    """A population with what feeds it, and its scale."""

    def __init__(
        self, op: loihi2.NeuronsOp, inputs: list[loihi2.SynapsesOp], peaks: tuple[float, float], *, netx: bool
    ):
        self.op, self.inputs, self.peaks, self.netx = op, inputs, peaks, netx
        real = {name: float(op.numbers(name)) for name in ("du", "dv", "vth")}
        self.real = real
        self.du = int(np.clip(np.rint(real["du"]), *LIMITS.decay))
        self.dv = int(np.clip(np.rint(real["dv"]), *LIMITS.decay))
        self.bias = np.broadcast_to(op.numbers("bias_mant"), op.given)
        self.sigma = self.scale()
        self.vth = LIMITS.vth[1] if op.silent is not None else int(np.floor(real["vth"] * self.sigma))
        if op.silent is None and real["vth"] > 0 and self.vth > 0:
            self.sigma = self.vth / real["vth"]

    def scale(self) -> float:
        """sigma, before the threshold is whole."""
        weights = [float(np.abs(op.numbers(op.matrix)).max()) for op in self.inputs]
        convolutions = [m for m, op in zip(weights, self.inputs, strict=True) if isinstance(op, loihi2.ConvOp)]
        largest, vth, silent = max(convolutions or weights, default=0.0), self.real["vth"], self.op.silent is not None
        bounds, unsaturated = self.bounds()
        headroom = unsaturated if silent or self.peaks[1] else _HEADROOM / vth if vth else np.inf
        most = min(*bounds, headroom)
        if largest == 0:
            return most if (vth or silent) and np.isfinite(most) else 1 / 64
        exponents = range(1 if convolutions or self.netx else LIMITS.weight_exp[1] + 1)
        candidates = [254 * 2.0**e / largest for e in exponents]
        fitting = [sigma for sigma in candidates if sigma <= most]
        return fitting[-1] if fitting else min(candidates[0], *bounds, max(headroom, unsaturated))

    def bounds(self) -> tuple[list[float], float]:
        """The largest sigma by u, biases and thresholds; and that under which v cannot saturate."""
        u = self.peaks[0] or self.worst() * 4096 / (self.du + 1)
        bias = float(np.abs(self.bias).max(initial=0))
        start = 0.0 if self.op.v is None else float(np.abs(self.op.numbers("v")).max(initial=0))
        v = max((u + bias) * 4096 / self.dv if self.dv else np.inf, start)
        if self.peaks[1]:
            v = max(self.peaks[1], start)
        if not np.isfinite(v) and self.op.silent is not None:
            v = 32 * max(u, bias, start)  # what integrates without a leak has no bound
        largest = (LIMITS.bias_mant[1] << (NETX_BIAS_EXP if self.netx else LIMITS.bias_exp[1])) / 64
        ends = ((_MOST_A, u), (largest, bias), (LIMITS.vth[1], self.real["vth"]), (_MOST_A, v))
        *bounds, unsaturated = (end / value if value else np.inf for end, value in ends)
        return bounds, unsaturated

    def worst(self) -> float:
        """The largest sum of weights of one sign onto a neuron, over all that feeds the population."""
        total = np.zeros((2, 1))
        for op in self.inputs:
            # A graded input counts as often as its message can say.
            reach = _reach(op) * ((1 << op.num_message_bits.value.data) - 1 if op.graded else 1)
            if isinstance(op, loihi2.ConvOp) or len(self.op.given) == 3:
                reach = reach.max(axis=1, keepdims=True)
            total = total + reach
        return float(total.max(initial=0))

    def faults(self) -> Iterator[str]:
        """What no integer can stand for."""
        if self.op.silent is None and self.real["vth"] > 0 and self.vth < 1:
            largest = max((float(np.abs(op.numbers(op.matrix)).max()) for op in self.inputs), default=0.0)
            largest = max(largest, float(np.abs(self.bias).max(initial=0)))
            yield (
                f"{self.op.label}: its threshold {self.real['vth']:g} rounds to 0 beside weights or a bias "
                f"{largest / self.real['vth']:.3g} times as large; scale them down"
            )

    def vanishing(self) -> Iterator[loihi2.SynapsesOp]:
        """The connections of which rounding leaves nothing."""
        return (op for op in self.inputs if not np.any(self.rounded(op)[0]))

    def bias_fields(self) -> tuple[Array, Array]:
        """Mantissa and exponent of the biases."""
        return bias_fields(self.bias * 64 * self.sigma, NETX_BIAS_EXP if self.netx else 0)

    def rounded(self, op: loihi2.SynapsesOp, residue: Array | None = None) -> tuple[Array, int, str]:
        """Integer weights, exponent and sign mode of a connection, or of what rounding left of it."""
        wanted = op.numbers(op.matrix) * self.sigma if residue is None else residue
        signs = signs_of(wanted) if not self.netx else self.netx_signs()
        most = 254 if signs == "MIXED" else 255
        largest = float(np.abs(wanted).max(initial=0))
        exponent = 0
        while not (isinstance(op, loihi2.ConvOp) or self.netx) and largest / 2.0**exponent > most * (1 + 1e-9):
            exponent += 1
        by = 2 if signs == "MIXED" else 1
        return by * np.rint(wanted / 2.0**exponent / by).astype(np.int64), exponent, signs

    def netx_signs(self) -> str:
        """The sign mode that netx gives all that feeds a population."""
        weights = [op.numbers(op.matrix) for op in self.inputs]
        if all(np.all(w >= 0) for w in weights):
            return "EXCITATORY"
        # A small negative weight may round to 0, beside which the others count as of both signs.
        return "MIXED"

    def start(self) -> Array | None:
        """v before the first step, so that `latency` steps of the bias alone lead to the value of the real ones."""
        if self.op.v is None and not np.any(self.bias):
            return None
        steps = 0 if self.op.latency is None else self.op.latency.value.data
        v = np.zeros(self.op.given) if self.op.v is None else np.broadcast_to(self.op.numbers("v"), self.op.given)
        for _ in range(steps):
            v = (1 - self.real["dv"] / 4096) * v + self.bias
        mant, exponent = self.bias_fields()
        whole = np.rint(v * 64 * self.sigma).astype(np.int64)
        keep = 4096 - self.dv
        for _ in range(steps):
            rest = whole - (mant << exponent)
            # The smallest number whose kept part, rounded toward 0, is the rest.
            whole = np.sign(rest) * -(-np.abs(rest) * 4096 // keep)
        return whole if np.any(whole) else None


def _lost(found: list[_Population]) -> Iterator[str]:
    """Paths of which rounding leaves nothing, in none of the populations of the layer that they lead to."""
    paths = dict[tuple[object, str], list[loihi2.SynapsesOp]]()
    kept = set[tuple[object, str]]()
    for population in found:
        vanishing = set(population.vanishing())
        for op in population.inputs:
            path = (op.nodes, population.op.node.data)
            if op in vanishing:
                paths.setdefault(path, []).append(op)
            else:
                kept.add(path)
    for path, ops in paths.items():
        largest = max(float(np.abs(op.numbers(op.matrix)).max()) for op in ops)
        if path not in kept and largest > 0:
            yield (
                f"{ops[0].label}: every weight rounds to 0 beside the threshold of {quote(path[1])} and its other "
                f"inputs; the largest is {largest:.3g}, scale the weights up"
            )


_Changes = dict[tuple[str, str, str], list[tuple[Array, Array]]]
"""Values before and after, in the populations of a node, by node, parameter and unit."""


def _quantize(module: ModuleOp, network: loihi2.NetworkOp, found: list[_Population], splits: int) -> None:
    """Round one network in place, and keep what changed."""
    values = _Changes()
    edges = dict[str, list[loihi2.ConnectOp]]()
    for edge in network.connections():
        for end in (edge.source.data, edge.target.data):
            edges.setdefault(end, []).append(edge)
    if late := [population.op.node.data for population in found if population.netx and population.start() is not None]:
        assume(module, "choice", "initial state", f"{listed(late)} start(s) at 0: a netx file holds no other start")
    for population in found:
        for op in population.inputs:
            _round_weights(op, population, splits, values, edges[op.process.data])
        _round_neurons(population, values)
    changes = [_change(*key, pairs) for key, pairs in values.items()]
    _remove_empty(network)
    names = listed(list(dict.fromkeys(population.op.node.data for population in found if population.inputs)))
    where = "nirc.values in the emitted file lists every change"
    keep_changes(module, network, changes, f"8-bit weights for {names}; {where}")


def _change(node: str, parameter: str, unit: str, pairs: list[tuple[Array, Array]]) -> ChangeAttr:
    """What became of a parameter; of weights, the ends and the error relative to the largest."""
    before, after = (np.concatenate([np.ravel(pair[n]) for pair in pairs]) for n in (0, 1))
    if parameter != "weights":
        return ChangeAttr.of(node, parameter, unit, before, after)
    return ChangeAttr.of_weights(node, before, after)


def _remove_empty(network: loihi2.NetworkOp) -> None:
    """Connections of which rounding left nothing, where the others of their path carry it."""
    empty = {name for name, op in network.synapses().items() if not np.any(op.numbers(op.matrix))}
    gone = [edge for edge in network.connections() if {edge.source.data, edge.target.data} & empty]
    for op in [*gone, *(op for name, op in network.synapses().items() if name in empty)]:
        op.detach()
        op.erase()


def _round_weights(
    op: loihi2.SynapsesOp,
    population: _Population,
    splits: int,
    changes: _Changes,
    edges: list[loihi2.ConnectOp],
) -> None:
    """Round a connection in place, split where asked for; edges: those to and from it."""
    before = op.numbers(op.matrix)
    weights, exponent, signs = population.rounded(op)
    after = weights * 2.0**exponent
    op.properties[op.matrix] = dense(np.asarray(weights, np.int32, order="C"))
    if isinstance(op, loihi2.MatrixOp):
        _set_format(op, exponent, signs)
        for n in range(1, splits):
            weights, exponent, signs = population.rounded(op, before * population.sigma - after)
            if not np.any(weights):
                break
            _split(op, edges, n, weights, exponent, signs)
            after = after + weights * 2.0**exponent
    who = op.nodes.data[0].data if op.nodes.data else population.op.node.data
    changes.setdefault((who, "weights", "v per spike"), []).append((before, after / population.sigma))


def _set_format(op: loihi2.MatrixOp, exponent: int, signs: str) -> None:
    op.properties["weight_exp"] = IntegerAttr(exponent, i64)
    op.properties["sign_mode"] = StringAttr(signs)


def _split(
    op: loihi2.MatrixOp, edges: list[loihi2.ConnectOp], n: int, weights: Array, exponent: int, signs: str
) -> None:
    """A connection beside another, from the same source to the same target."""
    name = f"{op.process.data}~lo" if n == 1 else f"{op.process.data}~lo{n}"
    more, block = op.clone(), op.parent_block()
    assert block is not None
    more.properties["process"] = StringAttr(name)
    more.properties["weights"] = dense(np.asarray(weights, np.int32, order="C"))
    _set_format(more, exponent, signs)
    block.insert_op_after(more, op)
    for edge in edges:
        source, target = (name if end == op.process else end.data for end in (edge.source, edge.target))
        block.insert_op_after(loihi2.ConnectOp(source, target, edge.transform.data), edge)


def _round_neurons(population: _Population, changes: _Changes) -> None:
    op, sigma, node = population.op, population.sigma, population.op.node.data
    lsb = 64 * sigma
    start = None if population.netx else population.start()
    mant, exponent = population.bias_fields()
    factor = np.ones(()) if op.v_scale is None else doubles(op.v_scale)
    for name, code, real, whole in (
        ("tau_syn", "du", population.real["du"] + 1, population.du + 1),
        ("tau_mem", "dv", population.real["dv"], population.dv),
    ):
        if 0 < real < 4096 and whole != real:
            told, unit = (name, "steps") if whole else ("leak", "per step")
            ends = [np.asarray(4096 / x if whole else x / 4096) for x in (real, whole)]
            changes.setdefault((node, told, unit), []).append((ends[0], ends[1]))
        op.properties[code] = dense(np.asarray(whole - (code == "du"), np.int32))
    if np.any(population.bias):
        ends = [np.asarray(population.bias / factor), np.asarray((mant << exponent) / lsb / factor)]
        changes.setdefault((node, "bias", "v per step"), []).append((ends[0], ends[1]))
    op.properties["vth"] = dense(np.asarray(population.vth, np.int32))
    for name, values in (("bias_mant", mant), ("bias_exp", exponent)):
        op.properties[name] = dense(np.asarray(uniform(values), np.int32, order="C"))
    op.properties.pop("v", None)
    if start is not None:
        op.properties["v"] = dense(np.asarray(uniform(start), np.int32, order="C"))
    op.properties["v_scale"] = dense(np.asarray(factor * lsb, float, order="C"))
