"""Target `c`: one C11 file without dependencies, from `nir` by the loops of the cpu target."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Options, Stages
from nirc.backends.c.emit import c_file
from nirc.backends.c.interface import Interface
from nirc.passes.convert_loops_to_fixed import ConvertLoopsToFixedPass
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass
from nirc.passes.nir_infer_shapes import NirInferShapesPass
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass
from nirc.passes.snn_round_constants import SnnRoundConstantsPass


def stages(options: Options) -> Stages:
    """From `nir` to loops; where the precision says so over fixed-point numbers, to which coefficients are rounded."""
    fixed = options.precision not in ("f32", "f64")
    real = "f64" if fixed else options.precision
    loops = ConvertSnnToLoopsPass(inputs=options.inputs or "graded")
    return {
        "nir": (NirInferShapesPass(), NirInlineGraphsPass()),
        "snn": (ConvertNirToSnnPass(options.dt, options.scheme, options.reset, precision=real),),
        "loops": (
            (SnnRoundConstantsPass(options.precision), loops, ConvertLoopsToFixedPass(options.precision))
            if fixed
            else (loops,)
        ),
    }


def _emit(module: ModuleOp, options: Options) -> bytes:
    return c_file(Interface(module, "network" if options.name is None else options.name)).encode()


def _beside(module: ModuleOp, options: Options) -> dict[str, bytes]:
    return {".h": Interface(module, "network" if options.name is None else options.name).header().encode()}


BACKEND = Backend(
    "c",
    "One C11 file without dependencies, floating-point or fixed-point, and its header",
    stages,
    _emit,
    emits_by=("name",),
    beside=_beside,
)
