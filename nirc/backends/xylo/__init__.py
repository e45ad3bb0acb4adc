"""Target `xylo`: SynSense Xylo, from `nir` to the configuration that samna and rockpool load."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Chip, Evaluator, Options, Runner, Stages, written
from nirc.backends.xylo.emit import XyloTarget
from nirc.backends.xylo.read_config import is_xylo, read_config
from nirc.backends.xylo.rungs import climb, network_of, readings
from nirc.dialects import xylo
from nirc.interpreters.xylo import XyloEvaluator
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass
from nirc.passes.nir_infer_shapes import NirInferShapesPass
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass
from nirc.passes.nir_recognize_neurons import NirRecognizeNeuronsPass
from nirc.passes.snn_flatten import SnnFlattenPass
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass
from nirc.passes.xylo_add_relays import XyloAddRelaysPass
from nirc.passes.xylo_check_limits import XyloCheckLimitsPass
from nirc.passes.xylo_choose_scales import XyloChooseScalesPass
from nirc.passes.xylo_fit_time_constants import XyloFitTimeConstantsPass
from nirc.passes.xylo_place import XyloPlacePass
from nirc.passes.xylo_quantize import XyloQuantizePass
from nirc.passes.xylo_vendor_scales import XyloVendorScalesPass


def stages(options: Options) -> Stages:
    """From `nir` to what `XyloTarget` can print."""
    mapping, per = options.mapping or "faithful", options.quantize or "neuron"
    return {
        "nir": (NirInferShapesPass(), NirInlineGraphsPass(), NirRecognizeNeuronsPass(("CubaLIF",))),
        "snn": (
            ConvertNirToSnnPass(
                options.dt,
                options.scheme,
                options.reset,
                auto_reset="subtract",
                why_reset="NIR does not say which kind, and Xylo knows this one only",
                precision=options.precision,
            ),
        ),
        "xylo": (
            SnnFlattenPass(),
            SnnFoldLinearPathsPass(),
            ConvertSnnToXyloPass(options.chip or xylo.DEFAULT_CHIP, mapping),
            *(
                (XyloFitTimeConstantsPass("nearest"), XyloVendorScalesPass(per))
                if mapping == "vendor"
                else (XyloChooseScalesPass(per, options.calibrate), XyloFitTimeConstantsPass())
            ),
            XyloQuantizePass(),
            XyloAddRelaysPass(),
            XyloPlacePass(),
            XyloCheckLimitsPass(),
        ),
    }


def _emit(module: ModuleOp, options: Options) -> bytes:
    return written(XyloTarget(options.template), module)


def _evaluator(module: ModuleOp, batch: int, record: tuple[str, ...]) -> Evaluator:
    return XyloEvaluator(network_of(module), batch, record)


def _inputs(module: ModuleOp) -> dict[str, tuple[int, ...]]:
    return {name: (size,) for name, size in network_of(module).input.sizes().items()}


def _summary(module: ModuleOp) -> list[str]:
    network = network_of(module)
    limits, hidden = network.limits, network.hidden
    fan_out = hidden.numbers("weights").any(axis=2).sum(axis=1)
    return [
        f"{network.chip.data} ({limits.part}): {network.input.size} of {limits.inputs} inputs, "
        f"{hidden.size} of {limits.hidden_neurons} hidden neurons, "
        f"{network.readout.size} of {limits.readout_neurons} readout neurons, "
        f"largest fan-out {int(fan_out.max(initial=0))} of {limits.fan_out}, "
        f"{int(fan_out.sum())} of {limits.connections} connections"
    ]


BACKEND = Backend(
    "xylo",
    "SynSense Xylo (Audio 2 by default): samna configuration and rockpool specification in one JSON file",
    stages,
    _emit,
    Runner("xylo", _evaluator, _inputs, readings=readings),
    Chip(
        tuple(xylo.CHIPS),
        read_config,
        _summary,
        is_xylo,
        lambda module, options: climb(module, stages(options)["xylo"]),
    ),
    emits_by=("template",),
)
