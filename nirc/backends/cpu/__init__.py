"""Target `cpu`: a kernel for this machine or another, from `nir` to machine code; writes what a C program links."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Evaluator, Options, Runner, Stages
from nirc.dialects import snn
from nirc.passes.convert_loops_to_llvm import ConvertLoopsToLlvmPass
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass
from nirc.passes.nir_infer_shapes import NirInferShapesPass
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass
from nirc.passes.snn_split_components import SnnSplitComponentsPass


def stages(options: Options) -> Stages:
    """From `nir` to the llvm dialect."""
    return {
        "nir": (NirInferShapesPass(), NirInlineGraphsPass()),
        "snn": (ConvertNirToSnnPass(options.dt, options.scheme, options.reset, precision=options.precision),),
        "loops": (SnnSplitComponentsPass(), ConvertSnnToLoopsPass(inputs=options.inputs or "graded")),
        "llvm": (ConvertLoopsToLlvmPass(options.triple),),
    }


def _format(name: str) -> Callable[[ModuleOp, Options], bytes]:
    def emit(module: ModuleOp, options: Options) -> bytes:
        from nirc.backends.cpu.ahead import FORMATS

        return FORMATS[name](module, options)

    return emit


def _beside(module: ModuleOp, options: Options) -> dict[str, bytes]:
    from nirc.backends.cpu.ahead import header

    return header(module, options)


def _evaluator(module: ModuleOp, batch: int, record: tuple[str, ...]) -> Evaluator:
    from nirc.backends.cpu.run import CpuEvaluator

    return CpuEvaluator(module, batch, record)


def _inputs(module: ModuleOp) -> dict[str, tuple[int, ...]]:
    network = next(op for op in module.ops if isinstance(op, snn.NetworkOp))
    arguments = zip(network.inputs, network.input_args, strict=True)
    return {name.data: snn.tensor_of(argument).get_shape() for name, argument in arguments}


BACKEND = Backend(
    "cpu",
    "A kernel for this machine, event-driven, compiled by LLVM; written as an object file and a C header",
    stages,
    _format("obj"),
    Runner("snn", _evaluator, _inputs),
    emits_by=("cpu", "name"),
    formats={name: _format(name) for name in ("llvmir", "asm", "obj", "shared")},
    beside=_beside,
)
