"""Target `spinnaker2`: SpiNNaker2 through py-spinnaker2, from `nir` to a file that a few lines turn into its calls."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Chip, Options, Runner, Stages, written
from nirc.backends.chip import evaluator_of, only, stages_of
from nirc.backends.spinnaker2.emit import Spinnaker2Target
from nirc.backends.spinnaker2.read_config import is_spinnaker2, read_config
from nirc.dialects import spinnaker2
from nirc.dialects.nir import integers
from nirc.interpreters.spinnaker2 import Spinnaker2Evaluator
from nirc.passes.convert_snn_to_spinnaker2 import ConvertSnnToSpinnaker2Pass
from nirc.passes.nir_recognize_neurons import NirRecognizeNeuronsPass
from nirc.passes.spinnaker2_check_limits import Spinnaker2CheckLimitsPass, estimate
from nirc.passes.spinnaker2_place import Spinnaker2PlacePass, usage
from nirc.passes.spinnaker2_quantize import Spinnaker2QuantizePass


def stages(options: Options) -> Stages:
    """From `nir` to what `Spinnaker2Target` can print."""
    mapping = options.mapping or "faithful"
    per, rounding = ("layer", "truncate") if mapping == "vendor" else ("neuron", "nearest")
    return stages_of(
        "spinnaker2",
        options,
        (
            ConvertSnnToSpinnaker2Pass(mapping),
            Spinnaker2QuantizePass(options.quantize or per, options.weight_rounding or rounding),
            Spinnaker2PlacePass(),
            Spinnaker2CheckLimitsPass(),
        ),
        why_reset="NIR does not say which kind, SpiNNaker2 knows both",
        prepare=(NirRecognizeNeuronsPass(("CubaLIF",)),),
    )


def _emit(module: ModuleOp, options: Options) -> bytes:
    return written(Spinnaker2Target(), module)


def _inputs(module: ModuleOp) -> dict[str, tuple[int, ...]]:
    network = only(spinnaker2.NetworkOp, module)
    return {port.node.data: integers(port.shape) for port in network.inputs}


def _summary(module: ModuleOp) -> list[str]:
    found, limits = usage(only(spinnaker2.NetworkOp, module)), spinnaker2.LIMITS
    cores = sum(used.cores for used in found.values())
    return [f"{cores} of {limits.cores} cores of a chip", *(estimate(name, used) for name, used in found.items())]


BACKEND = Backend(
    "spinnaker2",
    "SpiNNaker2 through py-spinnaker2: a JSON file of its populations and projections",
    stages,
    _emit,
    Runner("spinnaker2", evaluator_of(spinnaker2.NetworkOp, Spinnaker2Evaluator), _inputs),
    Chip((), read_config, _summary, is_spinnaker2),
)
