"""Target `loihi2`: Intel's Loihi 2 through Lava, from `nir` to a file that a few lines turn into Lava's processes, or
to lava-dl's own."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Chip, Options, Runner, Stages, written
from nirc.backends.chip import evaluator_of, only, stages_of
from nirc.backends.loihi2.emit import Loihi2Target
from nirc.backends.loihi2.read_config import is_loihi2, read_config
from nirc.backends.loihi2.rungs import climb, readings
from nirc.dialects import loihi2
from nirc.interpreters.loihi2 import Loihi2Evaluator
from nirc.passes.convert_snn_to_loihi2 import ConvertSnnToLoihi2Pass
from nirc.passes.loihi2_check_limits import Loihi2CheckLimitsPass, estimate
from nirc.passes.loihi2_quantize import Loihi2QuantizePass
from nirc.passes.loihi2_vendor_quantize import Loihi2VendorQuantizePass


def stages(options: Options) -> Stages:
    """From `nir` to what `Loihi2Target` can print."""
    vendor = options.mapping == "vendor"
    form = "net" if options.form == "net" else None
    quantize = (
        Loihi2VendorQuantizePass() if vendor else Loihi2QuantizePass(options.weight_splits, options.calibrate, form)
    )
    return stages_of(
        "loihi2",
        options,
        (
            ConvertSnnToLoihi2Pass(options.mapping or "faithful", options.inputs or "events"),
            quantize,
            Loihi2CheckLimitsPass(),
        ),
        why_reset="NIR does not say which kind, and Loihi 2's LIF knows this one only",
    )


def _emit(module: ModuleOp, options: Options) -> bytes:
    return written(Loihi2Target(), module)


def _emit_net(module: ModuleOp, options: Options) -> bytes:
    from nirc.backends.loihi2.write_net import write_net

    return write_net(module)


def _read_net(path: str) -> ModuleOp:
    from nirc.backends.loihi2.read_net import read_net

    return read_net(path)


def _inputs(module: ModuleOp) -> dict[str, tuple[int, ...]]:
    return {name: op.given for name, op in only(loihi2.NetworkOp, module).inputs().items()}


def _summary(module: ModuleOp) -> list[str]:
    network, limits = only(loihi2.NetworkOp, module), loihi2.LIMITS
    found = estimate(network)
    return [
        f"estimate: {found.cores:,} of about {limits.cores} cores ({found.neurons:,} neurons in "
        f"{len(network.neurons()):,} populations, up to {limits.groups} a core; {found.synapses:,} weights in "
        f"{found.lines:,} lines of synapses, up to {limits.synapse_lines:,} a core; {found.axons:,} incoming axons); "
        "the compiler for the chip, which is closed, may need more"
    ]


BACKEND = Backend(
    "loihi2",
    "Intel Loihi 2 through Lava: a JSON file of Lava's processes, or lava-dl's netx file of a chain (.net)",
    stages,
    _emit,
    Runner("loihi2", evaluator_of(loihi2.NetworkOp, Loihi2Evaluator), _inputs, readings=readings),
    Chip(
        (),
        read_config,
        _summary,
        is_loihi2,
        lambda module, options: climb(module, stages(options)["loihi2"]),
        {"net": _read_net},
    ),
    formats={"json": _emit, "net": _emit_net},
)
