"""Target `nir`: a .nir file that the `nir` package and everything that reads NIR loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.target import Target

from nirc.backends import Backend, Options, Stages
from nirc.frontend.write_nir import write_nir
from nirc.passes.nir_infer_shapes import NirInferShapesPass


@dataclass(frozen=True)
class NirTarget(Target):
    """A .nir file. xDSL's targets write text: each character stands for a byte, as in Latin-1."""

    name = "nir"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        output.write(write_nir(module).decode("latin-1"))


def stages(options: Options) -> Stages:
    """The graph as it is, with the shapes that the format asks for."""
    return {"nir": (NirInferShapesPass(),)}


def _emit(module: ModuleOp, options: Options) -> bytes:
    return write_nir(module)


BACKEND = Backend("nir", "A .nir file (HDF5), optimized where --pass-pipeline says so", stages, _emit, emits_by=())
