"""`xylo-fit-time-constants`: each neuron gets the two decays, of those that the chip has, that change it least.

The chip's decays are a = 1 - 2^-dash for whole dash. A neuron's spike responses are

    h(t) = sum over j = 0..t of a^j b^(t-j)      of the membrane to an input spike, b the synapse's decay
    a^t                                          of the membrane to its own reset

With (a', b') in place of (a, b), inputs scaled by the c that brings c h' nearest to h, and a reset that stays one
threshold, the pair is taken that minimises |h - c h'|^2 / |h|^2 + |a^t - a'^t|^2 / |a^t|^2 (sums over all t). A bias is
scaled by (1 - a'^2) / (1 - a a'), which brings its response nearest; that of a membrane which never fires by
(1 - a') / (1 - a), which keeps its steady value. The vendor's rule rounds log2(tau/dt) and scales nothing.

Inner products in closed form: sum h h' = (1 - a b a' b') / ((1 - a a') (1 - a b') (1 - b a') (1 - b b')).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import ChangeAttr, assume, keep_changes, quote
from nirc.dialects.xylo import XyloLimits
from nirc.passes.xylo_check_limits import structural_violations
from nirc.passes.xylo_quantize import applied

RULES = ("response", "nearest")


@dataclass(frozen=True)
class XyloFitTimeConstantsPass(ModulePass):
    """Make dash_mem and dash_syn of every `xylo.network` of real numbers whole.

    rule: `response` as above; `nearest` is the vendor's: log2(tau/dt) rounded half to even, nothing scaled.
    Raises PassFailedException with every time constant that is longer than the chip's longest.
    """

    name = "xylo-fit-time-constants"

    rule: str = "response"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.rule not in RULES:
            raise PassFailedException(f"rule '{self.rule}' is not one of {', '.join(RULES)}")
        faults = list[str]()
        for network in op.ops:
            if isinstance(network, xylo.NetworkOp) and not network.hidden.quantized():
                found = [fault for part in (network.hidden, network.readout) for fault in _too_long(part)]
                limits = (f"xylo {network.chip.data}: {v}" for v in structural_violations(network, network.limits))
                faults += [*found, *limits] if found else []
                if not found:
                    _fit(op, network, self.rule)
        if faults:
            raise PassFailedException("\n".join(faults))


def _too_long(part: xylo.HiddenOp | xylo.ReadoutOp) -> Iterator[str]:
    for name, tau in (("dash_mem", "tau_mem"), ("dash_syn", "tau_syn")):
        steps = part.numbers(name).reshape(part.size)
        for n in np.flatnonzero(np.rint(steps) > XyloLimits.DASH[1])[:1]:
            longest = f"the longest on the chip is {2 ** XyloLimits.DASH[1]}; take a larger dt"
            yield f"{part.where(int(n))}: {tau} is {2.0 ** steps[n]:.4g} steps, {longest}"


def _fit(module: ModuleOp, network: xylo.NetworkOp, rule: str) -> None:
    """Fit one network in place and say what changed."""
    for part in (network.hidden, network.readout):
        for name, here in part.places().items():
            if rule == "response" and np.any(part.numbers("dash_syn").reshape(part.size)[here] < 0.5):
                shortest = "the chip's shortest takes 2 steps, and a shorter one would clear the current before it acts"
                assume(module, "note", "synapse", f"{quote(name)} has synapses of less than 2 steps; {shortest}")
    keep_changes(module, network, fit_time_constants(network, rule))


def fit_time_constants(network: xylo.NetworkOp, rule: str = RULES[0]) -> list[ChangeAttr]:
    """Make the dashes of a network of real numbers whole, in place; returns what changed."""
    changes = list[ChangeAttr]()
    for part in (network.hidden, network.readout):
        real = [part.numbers(name).reshape(part.size) for name in ("dash_mem", "dash_syn")]
        if rule == "nearest":
            whole = [np.rint(dash) for dash in real]
            gain, bias_gain = applied(whole[1]), np.ones(part.size)
        else:
            whole, gain, bias_gain = _nearest_response(real[0], real[1], part.silent(), part.numbers("bias") != 0)
        for name, here in part.places().items():
            for tau, before, after in zip(("tau_mem", "tau_syn"), real, whole, strict=True):
                changes.append(ChangeAttr.of(name, tau, "steps", 2.0 ** before[here], 2.0 ** after[here]))
            if rule == "response":
                unscaled = np.ones_like(gain[here])
                changes.append(ChangeAttr.of(name, "input gain", "per spike", unscaled, gain[here]))
        part.properties["dash_mem"] = dense(whole[0])
        part.properties["dash_syn"] = dense(whole[1].reshape(part.numbers("dash_syn").shape))
        part.properties["bias"] = dense(part.numbers("bias") * bias_gain)
        _scale_inputs(network, part, gain)
    return changes


def _scale_inputs(network: xylo.NetworkOp, part: xylo.HiddenOp | xylo.ReadoutOp, gain: Array) -> None:
    """Multiply all weights onto a population, neuron by neuron."""
    if isinstance(part, xylo.ReadoutOp):
        part.properties["weights"] = dense(part.numbers("weights") * gain)
        return
    reached = network.input.numbers("weights").shape[1]
    network.input.properties["weights"] = dense(network.input.numbers("weights") * gain[:reached, None])
    part.properties["weights"] = dense(part.numbers("weights") * gain[:, None])


def _nearest_response(
    dash_mem: Array, dash_syn: Array, silent: Array, biased: Array
) -> tuple[list[Array], Array, Array]:
    """The whole dashes of the best pair of each neuron, the gain of its inputs and that of its bias.

    Where nothing passes the membrane alone (a neuron that never fires, without a bias), its decay and the synapse's may
    change places; of equal ones they do not.
    """
    a, b = 1 - 2.0**-dash_mem, 1 - 2.0**-dash_syn
    low, high = XyloLimits.DASH
    # dash_syn 0 clears the current before the membrane takes it up.
    pairs = np.array([(m, s) for m in range(low, high + 1) for s in range(low + 1, high + 1)], float)
    a2, b2 = (1 - 2.0**-dash for dash in pairs.T)
    a, b = a[:, None], b[:, None]
    along = _inner(a, b, a2, b2)
    gain = along / _inner(a2, b2, a2, b2)
    lost = 1 - along * gain / _inner(a, b, a, b)
    reset = 1 + (1 - a * a) / (1 - a2 * a2) - 2 * (1 - a * a) / (1 - a * a2)
    free = (silent & ~biased)[:, None]
    best = np.argmin(lost + np.where(free, 1e-9, 1) * reset, axis=1)
    chosen = pairs[best]
    kept = np.arange(len(best))
    decay = a2[best]
    steady = (1 - decay) / np.maximum(1 - a[:, 0], np.finfo(float).tiny)
    nearest: Array = (1 - decay * decay) / (1 - a[:, 0] * decay)
    bias_gain: Array = np.where(silent, steady, nearest)
    return [chosen[:, 0], chosen[:, 1]], gain[kept, best], bias_gain


def _inner(a: Array, b: Array, c: Array, d: Array) -> Array:
    """The sum over all t of two spike responses' product."""
    return (1 - a * b * c * d) / ((1 - a * c) * (1 - a * d) * (1 - b * c) * (1 - b * d))
