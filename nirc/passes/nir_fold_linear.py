"""`nir-fold-linear`: chains of Scale, Linear, Affine and Conv become single nodes.

    s (t x)        -> (s t) x              s (A x + b)     -> (diag s A) x + s b
    A (s x)        -> (A diag s) x         B (A x + b) + c -> (B A) x + (B b + c)
    W * (s x)      -> (s W) * x            s (W * x + b)   -> (s W) * x + s b          (s a single number)

Products are computed in f64 and rounded once; where one overflows or underflows to 0, the nodes stay as they are. Two
matrices are multiplied only where that makes no more weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from nirc.dialects import nir
from nirc.dialects.dense import Array, Dense, array, computed, doubles, spread
from nirc.passes.nir_infer_shapes import require_shapes


def _only_source(op: nir.NodeOp) -> nir.NodeOp | None:
    """The node before, where it leads nowhere else."""
    owner = op.input.owner
    return owner if isinstance(owner, nir.NodeOp) and op.input.has_one_use() and owner is not op else None


def _vector(attr: Dense, size: int) -> Array:
    """One number per element."""
    values = doubles(attr)
    return np.full(size, values.reshape(())[()]) if values.size == 1 else values


def _fold(
    rewriter: PatternRewriter,
    op: nir.NodeOp,
    inner: nir.NodeOp,
    kind: type[nir.NodeOp],
    constants: dict[str, Dense | None],
    others: Mapping[str, Attribute] | None = None,
) -> None:
    """Put one node in the place of both, under the name of the later, unless a constant cannot be (None)."""
    parameters: dict[str, Attribute] = dict(others or {})
    for name, constant in constants.items():
        if constant is None:
            return
        parameters[name] = constant
    node = kind(op.node.data, inner.input, nir.with_metadata(parameters, inner, op), nir.shape_of(op.output))
    rewriter.replace(op, node)
    rewriter.erase(inner)


def _fold_conv(
    rewriter: PatternRewriter, op: nir.NodeOp, inner: nir.NodeOp, conv: nir.ConvOp, factor: Dense, *, after: bool
) -> None:
    """A convolution times a single number; the bias too where the factor stands after it."""
    scale = doubles(factor).reshape(())
    kept = {name: conv.properties[name] for name in ("stride", "padding", "dilation", "groups")}
    constants = {"weight": computed(np.multiply, doubles(conv.weight), scale, like=(conv.weight, factor))}
    if conv.bias is not None:
        bias = computed(np.multiply, doubles(conv.bias), scale, like=(conv.bias, factor)) if after else conv.bias
        constants["bias"] = bias
    _fold(rewriter, op, inner, type(conv), constants, kept)


class FoldScale(RewritePattern):
    """A Scale goes into the Scale, the matrix or the convolution before it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: nir.ScaleOp, rewriter: PatternRewriter) -> None:
        inner = _only_source(op)
        if isinstance(inner, nir.ScaleOp):
            factors = (spread(node.scale, nir.shape_of(op.output)) for node in (op, inner))
            scale = computed(np.multiply, *factors, like=(op.scale, inner.scale))
            _fold(rewriter, op, inner, nir.ScaleOp, {"scale": scale})
        elif isinstance(inner, nir.MatrixOp):
            factor = _vector(op.scale, inner.weight.get_shape()[0])
            like = inner.weight, op.scale
            constants = {"weight": computed(np.multiply, factor[:, None], doubles(inner.weight), like=like)}
            if inner.bias is not None:
                constants["bias"] = computed(np.multiply, factor, _vector(inner.bias, len(factor)), like=like)
            _fold(rewriter, op, inner, type(inner), constants)
        elif isinstance(inner, nir.ConvOp) and array(op.scale).size == 1:
            _fold_conv(rewriter, op, inner, inner, op.scale, after=True)


class FoldMatrix(RewritePattern):
    """What stands before a Linear or Affine goes into it: a Scale, another Linear or Affine."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: nir.MatrixOp, rewriter: PatternRewriter) -> None:
        inner = _only_source(op)
        weight = doubles(op.weight)
        rows, columns = weight.shape
        bias = None if op.bias is None else _vector(op.bias, rows)
        constants = dict[str, Dense | None]()
        if isinstance(inner, nir.ScaleOp):
            like = op.weight, inner.scale
            constants["weight"] = computed(np.multiply, weight, _vector(inner.scale, columns), like=like)
        elif isinstance(inner, nir.MatrixOp) and rows * inner.weight.get_shape()[1] <= weight.size + len(inner.weight):
            like = op.weight, inner.weight
            constants["weight"] = computed(np.matmul, weight, doubles(inner.weight), like=like)
            if inner.bias is not None:
                passed = weight, _vector(inner.bias, columns), np.zeros(rows) if bias is None else bias
                constants["bias"] = computed(_after, *passed, like=like)
        else:
            return
        if bias is not None and "bias" not in constants:
            constants["bias"] = computed(np.asarray, bias, like=like)
        _fold(rewriter, op, inner, nir.AffineOp if "bias" in constants else nir.LinearOp, constants)


def _after(weight: Array, inner: Array, bias: Array) -> Array:
    """A bias that goes through a matrix, with that after it."""
    return weight @ inner + bias


class FoldScaleIntoConv(RewritePattern):
    """A Scale by one number goes into the convolution after it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: nir.ConvOp, rewriter: PatternRewriter) -> None:
        inner = _only_source(op)
        if isinstance(inner, nir.ScaleOp) and array(inner.scale).size == 1:
            _fold_conv(rewriter, op, inner, op, inner.scale, after=False)


@dataclass(frozen=True)
class NirFoldLinearPass(ModulePass):
    """Fold chains of linear nodes whose intermediate signals lead nowhere else; the last node's name stays.

    Raises PassFailedException where shapes are not inferred yet.
    """

    name = "nir-fold-linear"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        require_shapes(op)
        patterns = GreedyRewritePatternApplier([FoldScale(), FoldMatrix(), FoldScaleIntoConv()], dce_enabled=False)
        PatternRewriteWalker(patterns).rewrite_module(op)
