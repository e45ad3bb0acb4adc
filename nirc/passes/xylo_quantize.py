"""`xylo-quantize`: real numbers become the chip's integers, and a report keeps what they were.

Per target neuron (or per layer) one scale s brings the largest incoming weight to 127; a common shift k adds fraction
bits to the states. With W the first-step weights, d = 1 - 2^-dash_syn what the chip applies before it integrates:

    weight = round(s W / d)    threshold = round(s 2^k threshold)    bias = round(s 2^k bias)    dash = round(dash)

k is the largest in 0..7 with biases in 8 bits and states that cannot saturate upwards while every source fires once a
step; v stands below its threshold before it takes up a current: 2^k (threshold + 2^dash_syn sum|weight|) <= 32767.
Rounding is half to even. Source: nirc's specification of Xylo, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, and_more, array, dense, uniform
from nirc.dialects.nir import assume, quote
from nirc.dialects.xylo import XyloLimits
from nirc.passes.xylo_check_limits import structural_violations

_TELL = 0.05
"""The relative change of a parameter from which on it is told on the terminal, not in the report alone."""

_WEIGHT = 127
"""Symmetric: -128 would have no counterpart."""


@dataclass(frozen=True)
class XyloQuantizePass(ModulePass):
    """Make the numbers of every `xylo.network` integers.

    per: `neuron` (each target neuron has a scale of its own) or `layer` (the neurons of a NIR node share one).
    Raises PassFailedException where a parameter has no integer that could stand for it.
    """

    name = "xylo-quantize"

    per: str = "neuron"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.per not in ("neuron", "layer"):
            raise PassFailedException(f"quantize '{self.per}' is neither neuron nor layer")
        faults = list[str]()
        for network in op.ops:
            if isinstance(network, xylo.NetworkOp) and not network.hidden.quantized():
                faults.extend(_quantize(op, network, self.per))
        if faults:
            raise PassFailedException("\n".join(faults))


@dataclass
class _Neurons:
    """A population's numbers on their way: weights [source, neuron], the rest per neuron."""

    part: xylo.HiddenOp | xylo.ReadoutOp
    weights: Array
    dash_mem: Array
    dash_syn: Array
    threshold: Array
    bias: Array

    def scale(self, per: str) -> Array:
        """LSB per unit of v, before the shift."""
        largest = np.abs(self.weights).max(axis=0, initial=0)
        threshold, bias = self.threshold, np.abs(self.bias)
        if per == "layer":
            at = 0
            largest, threshold, bias = largest.copy(), threshold.copy(), bias.copy()
            for size in self.part.sizes().values():
                for values in (largest, threshold, bias):
                    values[at : at + size] = values[at : at + size].max(initial=0)
                at += size
        scale = _WEIGHT / np.where(largest > 0, largest, threshold)
        scale = np.minimum(scale, XyloLimits.THRESHOLD[1] / threshold)
        return np.minimum(scale, np.where(bias > 0, XyloLimits.BIAS[1] / np.where(bias > 0, bias, 1), np.inf))

    def shift(self, scale: Array) -> int:
        """The largest common shift that nothing overflows under."""
        drive = np.abs(np.rint(self.weights * scale)).sum(axis=0) * 2.0**self.dash_syn
        for k in range(XyloLimits.SHIFT[1], 0, -1):
            fits = (
                np.rint(self.threshold * scale * 2**k) + drive * 2**k <= XyloLimits.THRESHOLD[1],
                np.abs(np.rint(self.bias * scale * 2**k)) <= XyloLimits.BIAS[1],
            )
            if all(np.all(fit) for fit in fits):
                return k
        return 0


def _whole_dash(part: xylo.HiddenOp | xylo.ReadoutOp, name: str, least: int) -> tuple[Array, list[str]]:
    """log2(tau/dt), rounded; a time constant beyond the chip's longest is a fault."""
    real = part.numbers(name).reshape(part.size)
    whole = np.rint(real).astype(np.int32)
    faults = [
        f"{part.where(int(n))}: {'tau_mem' if name == 'dash_mem' else 'tau_syn'} is {2.0 ** real[n]:.4g} "
        "steps, the longest on the chip "
        f"is {2 ** XyloLimits.DASH[1]}; take a larger dt"
        for n in np.flatnonzero(whole > XyloLimits.DASH[1])[:1]
    ]
    return np.maximum(whole, least), faults


def _into_hidden(network: xylo.NetworkOp) -> Array:
    """All weights onto hidden neurons: inputs and hidden neurons by hidden neurons."""
    weights = network.input.numbers("weights")[:, :, 0]
    padded = np.pad(weights, ((0, 0), (0, network.hidden.size - weights.shape[1])))
    return np.concatenate([padded, network.hidden.numbers("weights")[:, :, 0]])


def _quantize(module: ModuleOp, network: xylo.NetworkOp, per: str) -> list[str]:
    """Quantize one network in place; returns the faults."""
    hidden, readout = network.hidden, network.readout
    if network.synapses != 1:
        return ["xylo-quantize takes networks with one synapse per neuron"]
    inputs, reached, _ = network.input.numbers("weights").shape
    faults = list[str]()
    into_hidden, of_hidden = _quantize_population(module, hidden, _into_hidden(network), per, faults)
    into_readout, of_readout = _quantize_population(module, readout, readout.numbers("weights"), per, faults)
    if faults:
        return [*faults, *(f"xylo {network.chip.data}: {v}" for v in structural_violations(network, network.limits))]
    network.input.properties["weights"] = dense(np.ascontiguousarray(into_hidden[:inputs, :reached, None]))
    network.input.properties["weight_shift"] = hidden.weight_shift
    hidden.properties["weights"] = dense(np.ascontiguousarray(into_hidden[inputs:, :, None]))
    readout.properties["weights"] = dense(into_readout)
    network.properties["report"] = ArrayAttr([*of_hidden, *of_readout])
    _warn_of_saturation(module, network)
    return []


def _quantize_population(
    module: ModuleOp, part: xylo.HiddenOp | xylo.ReadoutOp, weights: Array, per: str, faults: list[str]
) -> tuple[Array, list[xylo.ChangeAttr]]:
    """Make a population's own parameters integers; returns the weights onto it and what changed."""
    dash_mem, long_mem = _whole_dash(part, "dash_mem", 0)
    dash_syn, long_syn = _whole_dash(part, "dash_syn", 1)
    if long_mem or long_syn:
        faults += long_mem + long_syn
        return weights, []
    short = np.flatnonzero(part.numbers("dash_syn").reshape(part.size) < 0.5)
    if short.size:
        statement = (
            f"tau_syn of {part.where(int(short[0]))}{and_more(short.size)} is shorter than 1.4 steps; it "
            "becomes 2 steps, since 1 would clear the current before it acts"
        )
        assume(module, "choice", "synapse", statement)
    decayed = 1 - 2.0**-dash_syn
    neurons = _Neurons(part, weights / decayed, dash_mem, dash_syn, part.numbers("threshold"), part.numbers("bias"))
    scale = neurons.scale(per)
    k = neurons.shift(scale)
    whole = {
        "weights": np.rint(neurons.weights * scale),
        "threshold": np.rint(neurons.threshold * scale * 2**k),
        "bias": np.rint(neurons.bias * scale * 2**k),
    }
    for n in np.flatnonzero(whole["threshold"] < 1)[:1]:
        ratio = float(np.abs(neurons.weights[:, n]).max() / neurons.threshold[n])
        faults.append(
            f"{part.where(int(n))}: its threshold rounds to 0 beside weights {ratio:.3g} times as "
            "large; scale them down or split the layer"
        )
    if np.any(neurons.weights) and not np.any(whole["weights"]):
        faults.append(f"{part.where(0)} and all others there: every weight rounds to 0 beside threshold or bias")
    changes = list(_changes(part, neurons, scale, k, whole))
    for change in changes:
        error = float(array(change.error))
        if error > _TELL:
            statement = f"{change.parameter.data} of {quote(change.node.data)} changes by up to {error:.0%}"
            assume(module, "note", "quantization", statement + _ends(change))
    _store(part, whole, dash_mem, dash_syn, scale, k)
    return whole["weights"].astype(np.int32), changes


def _store(
    part: xylo.HiddenOp | xylo.ReadoutOp,
    whole: dict[str, Array],
    dash_mem: Array,
    dash_syn: Array,
    scale: Array,
    k: int,
) -> None:
    shape = part.numbers("dash_syn").shape
    part.properties["dash_mem"] = dense(dash_mem)
    part.properties["dash_syn"] = dense(dash_syn.reshape(shape))
    part.properties["threshold"] = dense(whole["threshold"].astype(np.int32))
    part.properties["bias"] = dense(whole["bias"].astype(np.int32))
    part.properties["scale"] = dense(scale * 2.0**k)
    part.properties["weight_shift"] = IntegerAttr(k, i64)


def _changes(
    part: xylo.HiddenOp | xylo.ReadoutOp, neurons: _Neurons, scale: Array, k: int, whole: dict[str, Array]
) -> Iterator[xylo.ChangeAttr]:
    """Each layer's parameters before and after, in the network's units; a tau in steps."""
    at = 0
    for name, size in part.sizes().items():
        here = slice(at, at + size)
        at += size
        lsb = scale[here] * 2.0**k
        taus = {"tau_mem": ("dash_mem", neurons.dash_mem), "tau_syn": ("dash_syn", neurons.dash_syn)}
        for parameter, (dash, rounded) in taus.items():
            yield _change(
                name, parameter, "steps", 2.0 ** part.numbers(dash).reshape(part.size)[here], 2.0 ** rounded[here]
            )
        before, after = neurons.weights[:, here], whole["weights"][:, here] / scale[here]
        decayed = 1 - 2.0 ** -neurons.dash_syn[here]
        before, after = before * decayed, after * decayed
        if before.size:
            largest = max(float(np.abs(before).max()), 1e-300)
            ends = [np.array([values.min(), values.max()]) for values in (before, after)]
            yield _change(name, "weights", "v per spike", *ends, error=float(np.abs(after - before).max()) / largest)
        yield _change(name, "threshold", "v", neurons.threshold[here], whole["threshold"][here] / lsb)
        if np.any(neurons.bias[here]):
            yield _change(name, "bias", "v per step", neurons.bias[here], whole["bias"][here] / lsb)


def _ends(change: xylo.ChangeAttr) -> str:
    """` (6.67 to 8 steps)` where a parameter is uniform."""
    before, after = array(change.before), array(change.after)
    return f" ({float(before):.3g} to {float(after):.3g} {change.unit.data})" if before.ndim == after.ndim == 0 else ""


def _change(
    node: str, parameter: str, unit: str, before: Array, after: Array, *, error: float | None = None
) -> xylo.ChangeAttr:
    if error is None:
        reference = np.where(before != 0, np.abs(before), 1)
        error = float((np.abs(after - before) / reference).max(initial=0))
    values = [dense(np.asarray(uniform(values), np.float64)) for values in (before, after, np.asarray(error))]
    return xylo.ChangeAttr(StringAttr(node), StringAttr(parameter), StringAttr(unit), *values)


def _warn_of_saturation(module: ModuleOp, network: xylo.NetworkOp) -> None:
    """Say so where a current could reach the end of its 16 bits while every source fires once a step."""
    hidden = network.hidden
    for part, weights in ((hidden, _into_hidden(network)), (network.readout, network.readout.numbers("weights"))):
        drive = np.abs(weights).sum(axis=0) * 2.0 ** part.numbers("dash_syn").reshape(part.size)
        over = np.flatnonzero(drive * 2**part.weight_shift.value.data > XyloLimits.THRESHOLD[1])
        if over.size:
            statement = (
                f"the current of {over.size} neuron(s), first {part.where(int(over[0]))}, saturates at 16 "
                "bits if all its sources fire at once for long"
            )
            assume(module, "note", "saturation", statement)
    layers = ", ".join(map(quote, [*hidden.sizes(), *network.readout.sizes()]))
    where = "nirc.tau and nirc.values in the emitted file list every change"
    assume(module, "note", "quantization", f"8-bit weights for {layers}; {where}")
