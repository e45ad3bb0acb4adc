"""What the backends of chips share: the way down to a chip's level, and its one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from xdsl.dialects.builtin import ModuleOp
from xdsl.irdl import IRDLOperation
from xdsl.passes import ModulePass

from nirc.backends import Evaluator, MakeEvaluator, Options, Stages
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.nir_infer_shapes import NirInferShapesPass
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass

N = TypeVar("N", bound=IRDLOperation)


def stages_of(
    chip: str,
    options: Options,
    passes: Sequence[ModulePass],
    *,
    why_reset: str,
    auto_reset: str = "zero",
    prepare: Sequence[ModulePass] = (),
) -> Stages:
    """From `nir` down to the level of a chip.

    passes      from `snn` to integers that fit
    auto_reset  the kind that the chip takes where nobody names one, and why
    prepare     what else is done on `nir`
    """
    convert = ConvertNirToSnnPass(
        options.dt,
        options.scheme,
        options.reset,
        auto_reset=auto_reset,
        why_reset=why_reset,
        precision=options.precision,
    )
    return {"nir": (NirInferShapesPass(), NirInlineGraphsPass(), *prepare), "snn": (convert,), chip: tuple(passes)}


def only(kind: type[N], module: ModuleOp) -> N:
    """The module's one network of a chip."""
    return next(op for op in module.ops if isinstance(op, kind))


def evaluator_of(kind: type[N], make: Callable[[N, int, tuple[str, ...]], Evaluator]) -> MakeEvaluator:
    """An evaluator of a chip's network, as one of the module that holds it."""
    return lambda module, batch, record: make(only(kind, module), batch, record)
