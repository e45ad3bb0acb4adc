"""`nir-lower-avg-pool`: an AvgPool2d becomes a SumPool2d and a Scale by 1 / the window's size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter

from nirc.dialects import nir
from nirc.dialects.dense import dense


@dataclass(frozen=True)
class NirLowerAvgPoolPass(ModulePass):
    """AvgPool2d = SumPool2d, then Scale by 1 / (rows columns): the Scale keeps the name, the pool is `<name>_sum`."""

    name = "nir-lower-avg-pool"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for graph in op.ops:
            if isinstance(graph, nir.GraphOp):
                names = nir.Names(graph)
                for node in tuple(graph.nodes()):
                    if isinstance(node, nir.AvgPool2dOp):
                        _lower(node, names.fresh(f"{node.node.data}_sum"))


def _lower(node: nir.AvgPool2dOp, pool_name: str) -> None:
    shape = nir.shape_of(node.output)
    window: dict[str, Attribute] = {"kernel_size": node.kernel_size, "stride": node.stride, "padding": node.padding}
    pool = nir.SumPool2dOp(pool_name, node.input, window, shape)
    pool.output.name_hint = node.output.name_hint
    share = dense(np.full(shape or (), 1 / math.prod(nir.per_axis(node.kernel_size, 2))))
    scale = nir.ScaleOp(node.node.data, pool.output, nir.with_metadata({"scale": share}, node), shape)
    rewriter = PatternRewriter(node)
    rewriter.insert(pool)
    rewriter.replace(node, scale)
