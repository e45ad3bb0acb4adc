"""Networks between a step and the chip, one change at a time: which of them made a difference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.backends import Reading, Rung
from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense
from nirc.interpreters.xylo import RealXyloEvaluator, XyloEvaluator
from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass
from nirc.passes.xylo_quantize import XyloQuantizePass, lsb_of

_ROUNDED = {"weights": "rounded weights", "threshold": "rounded thresholds", "bias": "rounded biases"}


def network_of(module: ModuleOp) -> xylo.NetworkOp:
    """The module's one configuration."""
    return next(op for op in module.ops if isinstance(op, xylo.NetworkOp))


def readings(module: ModuleOp) -> dict[str, Reading]:
    """The layers of both populations."""
    network = network_of(module)
    late, found = network.latency(), dict[str, Reading]()
    for part in (network.hidden, network.readout):
        silent = part.silent()
        for name, place in part.places().items():
            real = part.scale is None or not part.quantized()
            scale = 1.0 if real else part.numbers("scale")[place]
            fires = None if silent[place].any() else f"{name}.spikes"
            found[name] = Reading(fires, f"{name}.v", scale, latency=late.get(name, 0))
    return found


def climb(module: ModuleOp, passes: tuple[ModulePass, ...]) -> Iterator[Rung]:
    """From `snn` on: the wiring, the decays, then what is rounded, in real numbers."""
    for step in passes:
        before = module.clone() if isinstance(step, XyloQuantizePass) else module
        if before is not module:
            yield _rung("decays that are powers of two of steps", before)
        step.apply(Context(), module)
        if isinstance(step, ConvertSnnToXyloPass):
            yield _rung("a step from layer to layer, constants as steady biases", module.clone())
        elif before is not module:
            yield from _rounded(before, network_of(module))
            return


def _rung(change: str, module: ModuleOp, evaluator: type[XyloEvaluator] = RealXyloEvaluator) -> Rung:
    return Rung(
        change, module, lambda module, batch, record: evaluator(network_of(module), batch, record), readings(module)
    )


def _rounded(before: ModuleOp, whole: xylo.NetworkOp) -> Iterator[Rung]:
    """Real numbers become what their integers stand for, one kind after another."""
    module = before
    for name, change in _ROUNDED.items():
        module = module.clone()
        for real, part in zip(network_of(module).parts(), whole.parts(), strict=True):
            if name in real.properties:
                real.properties[name] = dense(np.asarray(_meant(part, whole, name), order="C"))
        yield _rung(change, module)
    yield _rung("v >= threshold and several spikes in a step", module, _Counting)


def _meant(part: xylo.Group, network: xylo.NetworkOp, name: str) -> Array:
    """What integers stand for, in units of v."""
    of_weights, scale = lsb_of(part, network)
    values = part.numbers(name)
    if name != "weights":
        return values / scale
    return values / (of_weights[: values.shape[1], None] if values.ndim == 3 else of_weights)


class _Counting(RealXyloEvaluator):
    """Fires as the chip does: while v >= threshold, up to 31 times, readout neurons once."""

    def advance(self, part: xylo.HiddenOp | xylo.ReadoutOp, suffix: str, arriving: Array) -> None:
        s, (a, b), threshold = self.state, self._decays[part], part.numbers("threshold")
        s["i" + suffix] = b * s["i" + suffix] + arriving
        v = a * s["v" + suffix] + s["i" + suffix] + part.numbers("bias")
        most = 1 if suffix else xylo.XyloLimits.SPIKES
        fires = np.clip(np.floor(v / threshold), 0, most) * ~part.silent()
        s["v" + suffix], s["spikes" + suffix] = v - fires * threshold, fires
