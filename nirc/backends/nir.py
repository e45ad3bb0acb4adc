"""Target `nir`: a .nir file that the `nir` package and everything that reads NIR loads."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from nirc.backends import Backend, Options, Stages
from nirc.frontend.write_nir import write_nir
from nirc.passes.nir_infer_shapes import NirInferShapesPass


def stages(options: Options) -> Stages:
    """The graph as it is, with the shapes that the format asks for."""
    return {"nir": (NirInferShapesPass(),)}


def _emit(module: ModuleOp, options: Options) -> bytes:
    return write_nir(module)


BACKEND = Backend("nir", "A .nir file (HDF5), optimized where --pass-pipeline says so", stages, _emit)
