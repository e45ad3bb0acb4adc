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
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from nirc.dialects import snn
from nirc.dialects.dense import Array, Dense, array, dense, doubles


def _like(values: Array, attr: Dense) -> Dense:
    """The values in the precision of another constant."""
    return dense(values.astype(array(attr).dtype))


def _name(op: snn.SnnOp) -> str | None:
    return op.node.data if op.node else None


class FoldIntoLinear(RewritePattern):
    """What stands before a matrix goes into it: another matrix, a constant, a factor, a sum."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.LinearOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        weight = op.weight
        if isinstance(inner, snn.LinearOp):
            product = doubles(weight) @ doubles(inner.weight)
            rewriter.replace(
                op, snn.LinearOp([inner.input], op.output.type, {"weight": _like(product, weight)}, _name(op))
            )
        elif isinstance(inner, snn.ScaleOp):
            scaled = doubles(weight) * np.broadcast_to(doubles(inner.factor), snn.tensor_of(inner.output).get_shape())
            rewriter.replace(
                op, snn.LinearOp([inner.input], op.output.type, {"weight": _like(scaled, weight)}, _name(op))
            )
        elif isinstance(inner, snn.AddOp):
            constant = doubles(weight) @ np.broadcast_to(
                doubles(inner.constant), snn.tensor_of(inner.output).get_shape()
            )
            linear = snn.LinearOp([inner.input], op.output.type, {"weight": weight}, _name(op))
            added = snn.AddOp([linear.output], op.output.type, {"constant": _like(constant, weight)}, _name(op))
            rewriter.replace(op, [linear, added])
        elif isinstance(inner, snn.SumOp):
            parts = [snn.LinearOp([value], op.output.type, {"weight": weight}, _name(op)) for value in inner.inputs]
            total = snn.SumOp([part.output for part in parts], op.output.type, _name(op))
            rewriter.replace(op, [*parts, total])


class FoldScale(RewritePattern):
    """A factor goes into the matrix before it, past a constant and past a sum on the way."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.ScaleOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        factor = np.broadcast_to(doubles(op.factor), snn.tensor_of(op.output).get_shape())
        if isinstance(inner, snn.LinearOp):
            weight = _like(factor[:, None] * doubles(inner.weight), op.factor)
            rewriter.replace(op, snn.LinearOp([inner.input], op.output.type, {"weight": weight}, _name(op)))
        elif isinstance(inner, snn.AddOp):
            constant = _like(factor * doubles(inner.constant), op.factor)
            scaled = snn.ScaleOp([inner.input], op.output.type, {"factor": op.factor}, _name(op))
            added = snn.AddOp([scaled.output], op.output.type, {"constant": constant}, _name(op))
            rewriter.replace(op, [scaled, added])
        elif isinstance(inner, snn.SumOp):
            parts = [snn.ScaleOp([v], op.output.type, {"factor": op.factor}, _name(op)) for v in inner.inputs]
            total = snn.SumOp([part.output for part in parts], op.output.type, _name(op))
            rewriter.replace(op, [*parts, total])


class FoldAddOfAdd(RewritePattern):
    """(x + c) + d -> x + (c + d), where both belong to the same node or neither feeds anything else"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: snn.AddOp, rewriter: PatternRewriter) -> None:
        inner = op.input.owner
        if isinstance(inner, snn.AddOp) and inner.output.has_one_use():
            constant = _like(doubles(inner.constant) + doubles(op.constant), op.constant)
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
