"""Target `xylo`: SynSense Xylo, from `nir` to the configuration that samna and rockpool load."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Chip, Options, Runner, Stages, written
from nirc.backends.chip import evaluator_of, only, stages_of
from nirc.backends.xylo.emit import XyloTarget
from nirc.backends.xylo.read_config import is_xylo, read_config
from nirc.backends.xylo.rungs import climb, readings
from nirc.dialects import xylo
from nirc.interpreters.xylo import XyloEvaluator
from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass
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
    return stages_of(
        "xylo",
        options,
        (
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
        why_reset="NIR does not say which kind, and Xylo knows this one only",
        auto_reset="subtract",
        prepare=(NirRecognizeNeuronsPass(("CubaLIF",)),),
    )


def _emit(module: ModuleOp, options: Options) -> bytes:
    return written(XyloTarget(options.template), module)


def _inputs(module: ModuleOp) -> dict[str, tuple[int, ...]]:
    return {name: (size,) for name, size in only(xylo.NetworkOp, module).input.sizes().items()}


def _summary(module: ModuleOp) -> list[str]:
    network = only(xylo.NetworkOp, module)
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
    Runner("xylo", evaluator_of(xylo.NetworkOp, XyloEvaluator), _inputs, readings=readings),
    Chip(
        tuple(xylo.CHIPS),
        read_config,
        _summary,
        is_xylo,
        lambda module, options: climb(module, stages(options)["xylo"]),
    ),
    emits_by=("template",),
)
