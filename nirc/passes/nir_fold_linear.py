"""`nir-fold-linear`: chains of Scale, Linear, Affine and Conv become single nodes.

    s (t x)        -> (s t) x              s (A x + b)     -> (diag s A) x + s b
    A (s x)        -> (A diag s) x         B (A x + b) + c -> (B A) x + (B b + c)
    W * (s x)      -> (s W) * x            s (W * x + b)   -> (s W) * x + s b          (s a single number)

Products are computed in f64 and rounded once. Two matrices are multiplied only where that makes no more weights.
"""

from __future__ import annotations

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
from nirc.dialects.dense import Array, Dense, array, dense, doubles, spread


def _only_source(op: nir.NodeOp) -> nir.NodeOp | None:
    """The node before, where it leads nowhere else."""
    owner = op.input.owner
    return owner if isinstance(owner, nir.NodeOp) and op.input.has_one_use() and owner is not op else None


def _stored(values: Array, *like: Dense) -> Dense:
    """The values in the widest type of what they came from."""
    return dense(values.astype(np.result_type(np.float32, *(array(attr).dtype for attr in like))))


def _vector(attr: Dense, size: int) -> Array:
    """One number per element."""
    values = doubles(attr)
    return np.full(size, values.reshape(())[()]) if values.size == 1 else values


def _replaced(
    op: nir.NodeOp, inner: nir.NodeOp, kind: type[nir.NodeOp], parameters: dict[str, Attribute]
) -> nir.NodeOp:
    """The node that stands for both, under the name of the later."""
    parameters = nir.with_metadata(parameters, inner, op)
    return kind(op.node.data, inner.input, parameters, nir.shape_of(op.output))


def _matrix(op: nir.NodeOp, inner: nir.NodeOp, weight: Array, bias: Array | None, *like: Dense) -> nir.NodeOp:
    parameters: dict[str, Attribute] = {"weight": _stored(weight, *like)}
    if bias is not None:
        parameters["bias"] = _stored(bias, *like)
    return _replaced(op, inner, nir.LinearOp if bias is None else nir.AffineOp, parameters)


def _conv(op: nir.NodeOp, inner: nir.NodeOp, conv: nir.ConvOp, factor: Dense, *, after: bool) -> nir.NodeOp:
    """A convolution times a single number; the bias too where the factor stands after it."""
    scale = doubles(factor).reshape(())[()]
    parameters: dict[str, Attribute] = {
        **{name: conv.properties[name] for name in ("stride", "padding", "dilation", "groups")},
        "weight": _stored(doubles(conv.weight) * scale, conv.weight, factor),
    }
    if conv.bias is not None:
        bias = doubles(conv.bias) * (scale if after else 1)
        parameters["bias"] = _stored(bias, conv.bias, factor) if after else conv.bias
    return _replaced(op, inner, type(conv), parameters)


class FoldScale(RewritePattern):
    """A Scale goes into the Scale, the matrix or the convolution before it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: nir.ScaleOp, rewriter: PatternRewriter) -> None:
        inner = _only_source(op)
        if isinstance(inner, nir.ScaleOp):
            shape = nir.shape_of(op.output)
            scale = _stored(spread(op.scale, shape) * spread(inner.scale, shape), op.scale, inner.scale)
            rewriter.replace(op, _replaced(op, inner, nir.ScaleOp, {"scale": scale}))
        elif isinstance(inner, nir.MatrixOp):
            scale = _vector(op.scale, inner.weight.get_shape()[0])
            bias = None if inner.bias is None else scale * _vector(inner.bias, len(scale))
            rewriter.replace(
                op, _matrix(op, inner, scale[:, None] * doubles(inner.weight), bias, inner.weight, op.scale)
            )
        elif isinstance(inner, nir.ConvOp) and array(op.scale).size == 1:
            rewriter.replace(op, _conv(op, inner, inner, op.scale, after=True))
        else:
            return
        rewriter.erase(inner)


class FoldMatrix(RewritePattern):
    """What stands before a Linear or Affine goes into it: a Scale, another Linear or Affine."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: nir.MatrixOp, rewriter: PatternRewriter) -> None:
        inner = _only_source(op)
        weight = doubles(op.weight)
        rows, columns = weight.shape
        bias = None if op.bias is None else _vector(op.bias, rows)
        if isinstance(inner, nir.ScaleOp):
            scaled = weight * _vector(inner.scale, columns)
            rewriter.replace(op, _matrix(op, inner, scaled, bias, op.weight, inner.scale))
        elif isinstance(inner, nir.MatrixOp) and rows * inner.weight.get_shape()[1] <= weight.size + len(inner.weight):
            if inner.bias is not None:
                bias = weight @ _vector(inner.bias, columns) + (0 if bias is None else bias)
            product = weight @ doubles(inner.weight)
            rewriter.replace(op, _matrix(op, inner, product, bias, op.weight, inner.weight))
        else:
            return
        rewriter.erase(inner)


class FoldScaleIntoConv(RewritePattern):
    """A Scale by one number goes into the convolution after it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: nir.ConvOp, rewriter: PatternRewriter) -> None:
        inner = _only_source(op)
        if isinstance(inner, nir.ScaleOp) and array(inner.scale).size == 1:
            rewriter.replace(op, _conv(op, inner, op, inner.scale, after=False))
            rewriter.erase(inner)


@dataclass(frozen=True)
class NirFoldLinearPass(ModulePass):
    """Fold chains of linear nodes whose intermediate signals lead nowhere else; the last node's name stays."""

    name = "nir-fold-linear"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns = GreedyRewritePatternApplier([FoldScale(), FoldMatrix(), FoldScaleIntoConv()], dce_enabled=False)
        PatternRewriteWalker(patterns).rewrite_module(op)
