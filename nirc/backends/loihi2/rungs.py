"""Networks between a step and the chip, one change at a time: which of them made a difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.backends import Reading, Rung
from nirc.dialects import loihi2
from nirc.dialects.dense import Array, array, dense
from nirc.interpreters.loihi2 import RealLoihi2Evaluator
from nirc.passes.convert_snn_to_loihi2 import ConvertSnnToLoihi2Pass
from nirc.passes.loihi2_quantize import inputs_of


def network_of(module: ModuleOp) -> loihi2.NetworkOp:
    """The module's one network."""
    return next(op for op in module.ops if isinstance(op, loihi2.NetworkOp))


def readings(module: ModuleOp) -> dict[str, Reading]:
    """All neurons of a node, in its order; populations of one node are late alike."""
    found = dict[str, Reading]()
    for node, parts in network_of(module).nodes().items():
        size = int(np.prod(parts[0].whole_shape()))
        scale, offset = np.ones(size), np.zeros(size)
        for part in parts:
            at = slice(None) if part.members is None else array(part.members)
            for values, attr in ((scale, part.v_scale), (offset, part.v_offset)):
                if attr is not None:
                    values[at] = part.in_node(np.broadcast_to(array(attr), (1, *part.given))).reshape(-1)
        latency = 0 if parts[0].latency is None else parts[0].latency.value.data
        fires = None if parts[0].silent is not None else f"{node}.spikes"
        found[node] = Reading(fires, f"{node}.v", scale, offset, latency)
    return found


def climb(module: ModuleOp, passes: tuple[ModulePass, ...]) -> Iterator[Rung]:
    """From `snn` on: the wiring, then what is rounded, in real numbers."""
    real = module
    for step in passes:
        step.apply(Context(), module)
        if isinstance(step, ConvertSnnToLoihi2Pass):
            real = module.clone()
            yield _rung("a step from layer to layer", real)
        elif network_of(module).quantized():
            yield from _rounded(real, network_of(module))
            return


def _rung(change: str, module: ModuleOp) -> Rung:
    def evaluator(module: ModuleOp, batch: int, record: tuple[str, ...]) -> RealLoihi2Evaluator:
        return RealLoihi2Evaluator(network_of(module), batch, record)

    return Rung(change, module, evaluator, readings(module))


def _rounded(real: ModuleOp, whole: loihi2.NetworkOp) -> Iterator[Rung]:
    """Real numbers become what their integers stand for, one kind after another."""
    if any(op.v_scale is None for op in whole.neurons().values()):
        return  # of the vendor's own mapping no scales are kept
    changes: dict[str, Callable[[loihi2.NetworkOp, loihi2.NetworkOp], None]] = {
        "rounded decays": _decays,
        "rounded weights": _weights,
        "rounded thresholds": _thresholds,
        "rounded biases and initial states": _biases,
    }
    module = real
    for change, apply in changes.items():
        module = module.clone()
        apply(network_of(module), whole)
        yield _rung(change, module)


def _pairs(
    real: loihi2.NetworkOp, whole: loihi2.NetworkOp
) -> Iterator[tuple[loihi2.NeuronsOp, loihi2.NeuronsOp, Array]]:
    """Populations before and after, and the integers' LSB of v per unit of the real one's."""
    after = whole.neurons()
    for name, op in real.neurons().items():
        before = np.ones(()) if op.v_scale is None else array(op.v_scale)
        scale = after[name].v_scale
        assert scale is not None
        yield op, after[name], np.asarray(array(scale) / before)


def _decays(real: loihi2.NetworkOp, whole: loihi2.NetworkOp) -> None:
    for op, other, _ in _pairs(real, whole):
        for name in ("du", "dv"):
            op.properties[name] = dense(np.asarray(float(other.numbers(name))))


def _thresholds(real: loihi2.NetworkOp, whole: loihi2.NetworkOp) -> None:
    for op, other, lsb in _pairs(real, whole):
        op.properties["vth"] = dense(np.asarray(64 * float(other.numbers("vth")) / float(lsb.flat[0])))


def _biases(real: loihi2.NetworkOp, whole: loihi2.NetworkOp) -> None:
    for op, other, lsb in _pairs(real, whole):
        bias = other.numbers("bias_mant") * 2.0 ** other.numbers("bias_exp") / lsb
        op.properties["bias_mant"] = dense(np.asarray(bias, order="C"))
        if other.v is not None:
            op.properties["v"] = dense(np.asarray(array(other.v) / lsb, order="C"))


def _weights(real: loihi2.NetworkOp, whole: loihi2.NetworkOp) -> None:
    scales = {op.process.data: float(lsb.flat[0]) for op, _, lsb in _pairs(real, whole)}
    after = whole.synapses()
    for population, inputs in inputs_of(real):
        sigma = scales[population.process.data] / 64
        for op in inputs:
            name = op.process.data
            parts = [other for key, other in after.items() if key == name or key.startswith(f"{name}~lo")]
            total = np.zeros(op.numbers(op.matrix).shape)
            for other in parts:
                if isinstance(other, loihi2.MatrixOp):
                    total = total + other.effective() * 2.0**other.weight_exp.value.data
                else:
                    total = total + other.numbers(other.matrix)
            op.properties[op.matrix] = dense(np.asarray(total / sigma, order="C"))
