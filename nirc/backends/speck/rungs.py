"""Networks between a step and the chip, one change at a time: which of them made a difference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.backends import Reading, Rung
from nirc.dialects import speck
from nirc.dialects.dense import dense
from nirc.interpreters.speck import RealSpeckEvaluator
from nirc.passes.convert_snn_to_speck import ConvertSnnToSpeckPass
from nirc.passes.speck_quantize import SpeckQuantizePass

_ROUNDED = {
    ("weights",): "rounded weights",
    ("threshold_high", "threshold_low"): "rounded thresholds and the lower bound",
    ("biases", "initial"): "rounded biases and initial states",
}


def network_of(module: ModuleOp) -> speck.NetworkOp:
    """The module's one configuration."""
    return next(op for op in module.ops if isinstance(op, speck.NetworkOp))


def readings(module: ModuleOp) -> dict[str, Reading]:
    """The layers."""
    found = dict[str, Reading]()
    for name, op in network_of(module).layers().items():
        real = op.scale is None or not op.quantized()
        found[name] = Reading(f"{name}.spikes", f"{name}.v", 1.0 if real else float(op.numbers("scale")))
    return found


def climb(module: ModuleOp, passes: tuple[ModulePass, ...]) -> Iterator[Rung]:
    """From `snn` on: how a core fires, then what is rounded, in real numbers."""
    real = module
    for step in passes:
        step.apply(Context(), module)
        if isinstance(step, ConvertSnnToSpeckPass):
            real = module.clone()
            yield _rung("v >= threshold and several spikes in a step", real)
        elif isinstance(step, SpeckQuantizePass):
            for names, change in _ROUNDED.items():
                real = real.clone()
                whole = network_of(module).layers()
                for name, op in network_of(real).layers().items():
                    scale = float(whole[name].numbers("scale"))
                    for number in names:
                        if number in whole[name].properties:
                            op.properties[number] = dense(np.asarray(whole[name].numbers(number) / scale, order="C"))
                yield _rung(change, real)
            return


def _rung(change: str, module: ModuleOp) -> Rung:
    def evaluator(module: ModuleOp, batch: int, record: tuple[str, ...]) -> RealSpeckEvaluator:
        return RealSpeckEvaluator(network_of(module), batch, record)

    return Rung(change, module, evaluator, readings(module))
