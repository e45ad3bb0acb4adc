"""`xylo-quantize`: real numbers become the chip's integers, and a report keeps what they were.

With the scale s (LSB of v per unit of v) and the shift k of a matrix, W the first-step weights, d = 1 - 2^-dash_syn
what the chip applies before it integrates:

    weight = round(s W / d / 2^k)    threshold = round(s threshold)    bias = round(s bias)

Rounding is half to even. Source: nirc's specification of Xylo, section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import ChangeAttr, keep_changes, quote
from nirc.dialects.xylo import XyloLimits
from nirc.passes.xylo_check_limits import structural_violations


@dataclass(frozen=True)
class XyloQuantizePass(ModulePass):
    """Make the numbers of every `xylo.network` integers, by the scales and shifts that stand in it.

    Raises PassFailedException where a parameter has no integer that could stand for it.
    """

    name = "xylo-quantize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        faults = list[str]()
        for network in op.ops:
            if isinstance(network, xylo.NetworkOp) and not network.hidden.quantized():
                found = list(_faults(network))
                limits = (f"xylo {network.chip.data}: {v}" for v in structural_violations(network, network.limits))
                faults += [*found, *limits] if found else []
                if not found:
                    _quantize(op, network)
        if faults:
            raise PassFailedException("\n".join(faults))


def to_integers(network: xylo.NetworkOp) -> None:
    """Round every number of a network whose scales, shifts and dashes are chosen."""
    whole = [(part, _integers(part, network)) for part in network.parts()]
    for part, values in whole:
        for name, numbers in values.items():
            part.properties[name] = dense(np.ascontiguousarray(numbers).astype(np.int32))


def lsb_of(part: xylo.Group, network: xylo.NetworkOp) -> tuple[Array, Array]:
    """What makes integers of a matrix's weights and of v, per target; inputs go by the hidden neurons."""
    target = network.hidden if isinstance(part, xylo.InputOp) else part
    scale = target.numbers("scale")
    decay = applied(target.numbers("dash_syn").reshape(target.size))
    return scale / decay / 2.0**part.weight_shift.value.data, scale


def applied(dash_syn: Array) -> Array:
    """The part of a spike's weight that acts in the first step; the chip integrates the decayed current.

    A synapse of dash 0 is cleared before it acts: its weights are kept as they are.
    """
    return np.where(dash_syn > 0, 1 - 2.0**-dash_syn, 1)


def _integers(part: xylo.Group, network: xylo.NetworkOp) -> dict[str, Array]:
    of_weights, scale = lsb_of(part, network)
    weights = part.numbers("weights")
    if weights.ndim == 3:
        of_weights = of_weights[: weights.shape[1], None]
    values = {"weights": np.rint(weights * of_weights)}
    if isinstance(part, xylo.HiddenOp | xylo.ReadoutOp):
        values |= {name: np.rint(part.numbers(name) * scale) for name in ("threshold", "bias")}
        values |= {name: np.rint(part.numbers(name)) for name in ("dash_mem", "dash_syn")}
        values["threshold"][part.silent()] = XyloLimits.THRESHOLD[1]
    return values


def _faults(network: xylo.NetworkOp) -> Iterator[str]:
    """Parameters that no integer can stand for."""
    if network.synapses != 1:
        yield "xylo-quantize takes networks with one synapse per neuron"
        return
    for part in (network.hidden, network.readout):
        if part.scale is None:
            yield f"{part.name} has no scale; run xylo-choose-scales first"
            continue
        if np.any(part.numbers("dash_mem") % 1) or np.any(part.numbers("dash_syn") % 1):
            yield f"{part.name} has broken dashes; run xylo-fit-time-constants first"
            continue
        whole, weights = _integers(part, network), onto(part, network, _weights)
        for n in np.flatnonzero(whole["threshold"] < 1)[:1]:
            ratio = float(np.abs(weights[:, n]).max() / part.numbers("threshold")[n])
            yield (
                f"{part.where(int(n))}: its threshold rounds to 0 beside weights {ratio:.3g} times as "
                "large; scale them down or split the layer"
            )
        if np.any(weights) and not np.any(onto(part, network, lambda p: _integers(p, network)["weights"])):
            yield f"{part.where(0)} and all others there: every weight rounds to 0 beside threshold or bias"


def onto(
    part: xylo.HiddenOp | xylo.ReadoutOp, network: xylo.NetworkOp, weights: Callable[[xylo.Group], Array]
) -> Array:
    """All weights onto a population, [source, neuron]: of hidden neurons, those of the inputs before their own."""
    if isinstance(part, xylo.ReadoutOp):
        return weights(part)
    inputs, inside = weights(network.input)[:, :, 0], weights(part)[:, :, 0]
    return np.concatenate([np.pad(inputs, ((0, 0), (0, inside.shape[1] - inputs.shape[1]))), inside])


def _weights(part: xylo.Group) -> Array:
    return part.numbers("weights")


def _quantize(module: ModuleOp, network: xylo.NetworkOp) -> None:
    """Round one network in place, and keep what changed."""
    changes = [change for part in (network.hidden, network.readout) for change in _changes(part, network)]
    to_integers(network)
    layers = ", ".join(map(quote, [*network.hidden.sizes(), *network.readout.sizes()]))
    where = "nirc.tau and nirc.values in the emitted file list every change"
    keep_changes(module, network, changes, f"8-bit weights for {layers}; {where}")


def _changes(part: xylo.HiddenOp | xylo.ReadoutOp, network: xylo.NetworkOp) -> Iterator[ChangeAttr]:
    """Each layer's weights, thresholds and biases before and after, in the network's units."""

    def rounded(source: xylo.Group) -> Array:
        values, (of_weights, _) = _integers(source, network)["weights"], lsb_of(source, network)
        return values / (of_weights if values.ndim == 2 else of_weights[: values.shape[1], None])

    whole, scale = _integers(part, network), part.numbers("scale")
    before, after = onto(part, network, _weights), onto(part, network, rounded)
    for name, here in part.places().items():
        old, new = before[:, here], after[:, here]
        if old.size:
            yield ChangeAttr.of_weights(name, old, new)
        for parameter, unit in (("threshold", "v"), ("bias", "v per step")):
            values = part.numbers(parameter)[here]
            if np.any(values) and (parameter == "bias" or not np.all(part.silent()[here])):
                yield ChangeAttr.of(name, parameter, unit, values, whole[parameter][here] / scale[here])
