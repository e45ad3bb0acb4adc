"""Target `cpu`: a kernel for this machine, from `nir` to machine code."""

from __future__ import annotations

from nirc.backends import Options, Stages
from nirc.passes.convert_loops_to_llvm import ConvertLoopsToLlvmPass
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass
from nirc.passes.nir_infer_shapes import NirInferShapesPass
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass


def stages(options: Options) -> Stages:
    """From `nir` to the llvm dialect."""
    return {
        "nir": (NirInferShapesPass(), NirInlineGraphsPass()),
        "snn": (ConvertNirToSnnPass(options.dt, options.scheme, options.reset, precision=options.precision),),
        "loops": (ConvertSnnToLoopsPass(),),
        "llvm": (ConvertLoopsToLlvmPass(),),
    }
