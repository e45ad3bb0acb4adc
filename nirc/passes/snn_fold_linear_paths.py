"""`snn-fold-linear-paths`: between two layers of neurons at most one matrix and one constant.

    B (A x)        -> (B A) x              B (x + c)  -> B x + B c
    B (f x)        -> (B diag f) x         f (A x)    -> (diag f A) x
    B (x + y + ..) -> B x + B y + ..       f (x + y + ..) -> f x + f y + ..
    (x + c) + d    -> x + (c + d)          f (x + c)  -> f x + f c

Products are computed in f64 and rounded once, so a folded path differs from the unfolded one by rounding. Chips have
one matrix of weights per connection; the CPU keeps the original order of sums and does not run this pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from nirc.dialects import snn
from nirc.dialects.dense import Array, Dense, computed, doubles


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
    """Fold every linear path of vectors into one matrix and one constant; convolutions and pools are left alone."""

    name = "snn-fold-linear-paths"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        patterns = GreedyRewritePatternApplier([FoldIntoLinear(), FoldScale(), FoldAddOfAdd()], dce_enabled=False)
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
