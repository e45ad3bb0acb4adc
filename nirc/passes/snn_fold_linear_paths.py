"""`snn-fold-linear-paths`: between two layers of neurons at most one matrix or convolution and one constant.

    B (A x)        -> (B A) x              B (x + c)  -> B x + B c
    B (f x)        -> (B diag f) x         f (A x)    -> (diag f A) x
    B (x + y + ..) -> B x + B y + ..       f (x + y + ..) -> f x + f y + ..
    (x + c) + d    -> x + (c + d)          f (x + c)  -> f x + f c
    W * (f x)      -> (W f) * x            f (W * x)  -> (f W) * x      a convolution, f one number a channel
    W * (x + y ..) -> W * x + W * y + ..   pool, reshape (f x) -> f pool, reshape x, likewise of sums
    pool (pool x)  -> pool x               where the inner pool's windows do not overlap

Products are computed in f64 and rounded once, so a folded path differs from the unfolded one by rounding. Chips have
one matrix of weights per connection; the CPU keeps the original order of sums and does not run this pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from nirc.dialects import snn
from nirc.dialects.dense import Array, Dense, array, computed, dense, doubles, tensor, uniform
from nirc.dialects.nir import int_array, integers


def _name(op: snn.SnnOp) -> str | None:
    return op.node.data if op.node else None


def _along(constant: Dense, value: SSAValue) -> Array:
    """A constant with one number per element of a value."""
    return np.broadcast_to(doubles(constant), snn.tensor_of(value).get_shape())


class FoldIntoLinear(RewritePattern):
    """What stands before a matrix goes into it: another matrix, a constant, a factor, a sum."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.LinearOp, rewriter: PatternRewriter) -> None:
        inner, weight = op.input.owner, op.weight

        def linear(value: SSAValue, weight: Dense) -> snn.LinearOp:
            return snn.LinearOp([value], op.output.type, {"weight": weight}, _name(op))

        if isinstance(inner, snn.LinearOp | snn.ScaleOp):
            before = doubles(inner.weight) if isinstance(inner, snn.LinearOp) else _along(inner.factor, inner.output)
            times = np.matmul if isinstance(inner, snn.LinearOp) else np.multiply
            if (product := computed(times, doubles(weight), before, like=(weight,))) is not None:
                rewriter.replace(op, linear(inner.input, product))
        elif isinstance(inner, snn.AddOp):
            constant = computed(np.matmul, doubles(weight), _along(inner.constant, inner.output), like=(weight,))
            if constant is not None:
                first = linear(inner.input, weight)
                added = snn.AddOp([first.output], op.output.type, {"constant": constant}, _name(op))
                rewriter.replace(op, [first, added])
        elif isinstance(inner, snn.SumOp):
            parts = [linear(value, weight) for value in inner.inputs]
            rewriter.replace(op, [*parts, snn.SumOp([part.output for part in parts], op.output.type, _name(op))])


class FoldScale(RewritePattern):
    """A factor goes into the matrix before it, past a constant and past a sum on the way."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.ScaleOp, rewriter: PatternRewriter) -> None:
        inner, factor = op.input.owner, _along(op.factor, op.output)

        def scale(value: SSAValue) -> snn.ScaleOp:
            return snn.ScaleOp([value], op.output.type, {"factor": op.factor}, _name(op))

        if isinstance(inner, snn.LinearOp):
            weight = computed(np.multiply, factor[:, None], doubles(inner.weight), like=(op.factor,))
            if weight is not None:
                rewriter.replace(op, snn.LinearOp([inner.input], op.output.type, {"weight": weight}, _name(op)))
        elif isinstance(inner, snn.AddOp):
            constant = computed(np.multiply, factor, doubles(inner.constant), like=(op.factor,))
            if constant is not None:
                scaled = scale(inner.input)
                added = snn.AddOp([scaled.output], op.output.type, {"constant": constant}, _name(op))
                rewriter.replace(op, [scaled, added])
        elif isinstance(inner, snn.SumOp):
            parts = [scale(value) for value in inner.inputs]
            rewriter.replace(op, [*parts, snn.SumOp([part.output for part in parts], op.output.type, _name(op))])


def _per_channel(constant: Dense, value: SSAValue) -> Array | None:
    """A constant on images as one number a channel; None where its places differ."""
    values = _along(constant, value)
    if values.ndim != 3 or np.any(values != values[:, :1, :1]):
        return None
    return values[:, 0, 0]


class FoldIntoConv(RewritePattern):
    """A factor per channel before a convolution goes into its weights; a sum before it becomes one behind it."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.ConvOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        if isinstance(inner, snn.ScaleOp) and (factor := _per_channel(inner.factor, inner.output)) is not None:
            per_group = op.weight.get_shape()[1]
            group = np.arange(op.weight.get_shape()[0]) // (op.weight.get_shape()[0] // op.groups.value.data)
            taken = factor[group[:, None] * per_group + np.arange(per_group)]
            weight = computed(np.multiply, doubles(op.weight), taken[:, :, None, None], like=(op.weight,))
            if weight is not None:
                rewriter.replace(op, _like(op, inner.input, {"weight": weight}))
        elif isinstance(inner, snn.SumOp):
            _over_sum(rewriter, op, inner)


class FoldScaleIntoConv(RewritePattern):
    """A factor per channel behind a convolution goes into its weights."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.ScaleOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        if isinstance(inner, snn.ConvOp) and (factor := _per_channel(op.factor, op.output)) is not None:
            weight = computed(np.multiply, doubles(inner.weight), factor[:, None, None, None], like=(op.factor,))
            if weight is not None:
                rewriter.replace(op, _like(inner, inner.input, {"weight": weight}))


class MoveBehindWindows(RewritePattern):
    """Factors and sums go behind pools and reshapes, towards the weights that take them in."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.PoolOp | snn.ReshapeOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        if isinstance(inner, snn.SumOp):
            _over_sum(rewriter, op, inner)
        elif isinstance(inner, snn.ScaleOp):
            shape = snn.tensor_of(op.output).get_shape()
            if isinstance(op, snn.ReshapeOp):
                moved = _along(inner.factor, inner.output).reshape(shape)
            elif (factor := _per_channel(inner.factor, inner.output)) is not None:
                moved = np.broadcast_to(factor[:, None, None], shape)
            else:
                return
            factor = dense(uniform(moved.astype(array(inner.factor).dtype)))
            kind = tensor(shape, inner.factor.get_element_type())
            first = _like(op, inner.input, {})
            rewriter.replace(op, [first, snn.ScaleOp([first.results[0]], kind, {"factor": factor}, _name(inner))])


class FoldPoolOfPool(RewritePattern):
    """Two pools become one where the first one's windows stand side by side."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.PoolOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        if not isinstance(inner, snn.PoolOp) or any((*integers(op.padding), *integers(inner.padding))):
            return
        side = integers(inner.kernel)
        if side == integers(inner.stride):
            kernel, stride = (
                int_array(a * b for a, b in zip(integers(attr), side, strict=True)) for attr in (op.kernel, op.stride)
            )
            rewriter.replace(op, _like(op, inner.input, {"kernel": kernel, "stride": stride}))


class FoldReshapeOfReshape(RewritePattern):
    """Only the last shape counts."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.ReshapeOp, rewriter: PatternRewriter) -> None:
        if isinstance(inner := op.input.owner, snn.ReshapeOp):
            rewriter.replace(op, _like(op, inner.input, {}))


def _like(op: snn.SnnOp, value: SSAValue, changes: dict[str, Attribute]) -> Operation:
    """The same op of another value; a reshape keeps the value's type of element."""
    kind = op.results[0].type
    if isinstance(op, snn.ReshapeOp):
        kind = tensor(snn.tensor_of(op.output).get_shape(), snn.tensor_of(value).element_type)
    return type(op).create(operands=[value], result_types=[kind], properties={**op.properties, **changes})


def _over_sum(rewriter: PatternRewriter, op: snn.SnnOp, inner: snn.SumOp) -> None:
    """f (x + y + ..) -> f x + f y + .."""
    parts = [_like(op, value, {}) for value in inner.inputs]
    total = snn.SumOp([part.results[0] for part in parts], op.results[0].type, _name(op))
    rewriter.replace(op, [*parts, total])


class FoldAddOfAdd(RewritePattern):
    """(x + c) + d -> x + (c + d), where both belong to the same node or neither feeds anything else"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.AddOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        if isinstance(inner, snn.AddOp) and inner.output.has_one_use():
            constant = computed(np.add, doubles(inner.constant), doubles(op.constant), like=(op.constant,))
            if constant is not None:
                rewriter.replace(op, snn.AddOp([inner.input], op.output.type, {"constant": constant}, _name(op)))


@dataclass(frozen=True)
class SnnFoldLinearPathsPass(ModulePass):
    """Fold every linear path of vectors into one matrix and one constant, of images into one pool, one convolution and
    one constant each where these can express it."""

    name = "snn-fold-linear-paths"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        folds: list[RewritePattern] = [FoldIntoLinear(), FoldScale(), FoldAddOfAdd()]
        folds += [FoldIntoConv(), FoldScaleIntoConv(), MoveBehindWindows(), FoldPoolOfPool(), FoldReshapeOfReshape()]
        patterns = GreedyRewritePatternApplier(folds, dce_enabled=False)
        PatternRewriteWalker(patterns).rewrite_module(op)
        _remove_unused(op)


def _remove_unused(module: ModuleOp) -> None:
    """Ops that folding left without a user."""
    for network in module.ops:
        if isinstance(network, snn.NetworkOp):
            step: list[Operation] = list(network.body.block.ops)
            for op in reversed(step):
                if isinstance(op, snn.SnnOp) and all(result.first_use is None for result in op.results):
                    op.detach()
                    op.erase()
