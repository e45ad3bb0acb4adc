"""Target `c`: one C11 file without dependencies, from `nir` by the loops of the cpu target."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Options, Stages
from nirc.backends.c.emit import c_file
from nirc.backends.c.interface import Interface
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass
from nirc.passes.nir_infer_shapes import NirInferShapesPass
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass


def stages(options: Options) -> Stages:
    """From `nir` to loops."""
    return {
        "nir": (NirInferShapesPass(), NirInlineGraphsPass()),
        "snn": (ConvertNirToSnnPass(options.dt, options.scheme, options.reset, precision=options.precision),),
        "loops": (ConvertSnnToLoopsPass(options.inputs or "graded"),),
    }


def _emit(module: ModuleOp, options: Options) -> bytes:
    return c_file(module, options.name or "network").encode()


def _beside(module: ModuleOp, options: Options) -> dict[str, bytes]:
    return {".h": Interface(module, options.name or "network").header().encode()}


BACKEND = Backend(
    "c",
    "One C11 file without dependencies, and its header",
    stages,
    _emit,
    emits_by=("name",),
    beside=_beside,
)
