"""Target `speck`: SynSense Speck (DYNAP-CNN), from `nir` to a configuration that samna takes."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Chip, Options, Runner, Stages, written
from nirc.backends.chip import evaluator_of, only, stages_of
from nirc.backends.speck.emit import SpeckTarget, cores_of
from nirc.backends.speck.read_config import is_speck, read_config
from nirc.backends.speck.rungs import climb, readings
from nirc.dialects import speck
from nirc.dialects.dense import shape_text
from nirc.dialects.nir import integers, quote
from nirc.interpreters.speck import MODELS
from nirc.passes.convert_snn_to_speck import ConvertSnnToSpeckPass
from nirc.passes.speck_check_limits import SpeckCheckLimitsPass
from nirc.passes.speck_place import SpeckPlacePass
from nirc.passes.speck_quantize import SpeckQuantizePass


def stages(options: Options) -> Stages:
    """From `nir` to what `SpeckTarget` can print."""
    return stages_of(
        "speck",
        options,
        (
            ConvertSnnToSpeckPass(options.chip or speck.DEFAULT_CHIP, options.lower_bound),
            SpeckQuantizePass(),
            SpeckPlacePass(options.placement),
            SpeckCheckLimitsPass(),
        ),
        why_reset="NIR does not say which kind, Speck knows both; the vendor's import takes subtract",
    )


def _emit(module: ModuleOp, options: Options) -> bytes:
    return written(SpeckTarget(options.template), module)


_EVALUATORS = {model: evaluator_of(speck.NetworkOp, make) for model, make in MODELS.items()}


def _inputs(module: ModuleOp) -> dict[str, tuple[int, ...]]:
    return {port.node.data: integers(port.shape) for port in only(speck.NetworkOp, module).inputs}


def _summary(module: ModuleOp) -> list[str]:
    network = only(speck.NetworkOp, module)
    cores, limits, lines = cores_of(network), speck.LIMITS, list[str]()
    for name, op in network.layers().items():
        core, memory = cores[name], op.memory
        targets = [to.layer.data for to in op.destinations]
        lines.append(
            f"core {core}, {quote(name)}: {shape_text(op.taken)} to {shape_text(op.given)}, words of memory: "
            f"kernel {memory.kernel:,} of {limits.kernel_memory[core]:,}, neuron {memory.neuron:,} of "
            f"{limits.neuron_memory[core]:,}, bias {memory.bias:,} of {limits.bias_memory[core]:,}"
            + (f"; feeds {', '.join(map(quote, targets))}" if targets else "")
        )
    return [f"{network.chip.data}: {len(lines)} of {limits.cores} cores", *lines]


BACKEND = Backend(
    "speck",
    "SynSense Speck (DYNAP-CNN, speck2f by default): a neutral JSON file, or samna's own text with --template",
    stages,
    _emit,
    Runner("speck", _EVALUATORS["stepped"], _inputs, _EVALUATORS, readings),
    Chip(speck.CHIPS, read_config, _summary, is_speck, lambda module, options: climb(module, stages(options)["speck"])),
    emits_by=("template",),
)
