"""`nir-merge-parallel-linear`: paths side by side become one.

    A x + B x              -> (A + B) x
    (A x + b) + (B x + c)  -> (A + B) x + (b + c)
    s x + t x              -> (s + t) x                (Scale)

A repeated edge is a fault of the file, so parallel paths are always through nodes of their own. Sums are computed in
f64 and rounded once; where one overflows, the nodes stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from nirc.dialects import nir
from nirc.dialects.dense import Dense, computed, spread
from nirc.dialects.nir import quote
from nirc.passes.nir_infer_shapes import require_shapes


@dataclass(frozen=True)
class NirMergeParallelLinearPass(ModulePass):
    """Merge Linear and Affine nodes, and Scale nodes, that lead from one signal into one sum and nowhere else.

    The merged node keeps the name of the first. Raises PassFailedException where shapes are not inferred yet.
    """

    name = "nir-merge-parallel-linear"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        require_shapes(op)
        with nir.assuming(op) as note:
            for graph in op.ops:
                if isinstance(graph, nir.GraphOp):
                    for total in tuple(graph.body.block.ops):
                        if isinstance(total, nir.SumOp):
                            _merge(note, total)


def _merge(note: nir.Assume, total: nir.SumOp) -> None:
    groups: dict[tuple[SSAValue, bool], list[nir.MatrixOp | nir.ScaleOp]] = {}
    for value in total.inputs:
        node = value.owner
        if isinstance(node, nir.MatrixOp | nir.ScaleOp) and value.has_one_use():
            groups.setdefault((node.input, isinstance(node, nir.ScaleOp)), []).append(node)
    gone = set[SSAValue]()
    merged = dict[SSAValue, SSAValue]()
    for nodes in groups.values():
        if len(nodes) < 2 or (node := _sum(nodes)) is None:
            continue
        graph = total.parent_block()
        assert graph is not None
        graph.insert_op_before(node, nodes[0])
        node.output.name_hint = nodes[0].output.name_hint
        merged[nodes[0].output] = node.output
        gone.update(other.output for other in nodes[1:])
        names = ", ".join(quote(other.node.data) for other in nodes)
        note("note", "merged", f"the parallel paths {names} become {quote(node.node.data)}")
    if not merged:
        return
    total.operands = [merged.get(value, value) for value in total.inputs if value not in gone]
    for value in (*merged, *gone):
        if isinstance(owner := value.owner, nir.NodeOp):
            owner.detach()
            owner.erase()
    if len(total.inputs) == 1:
        total.output.replace_all_uses_with(total.inputs[0])
        total.detach()
        total.erase()


def _sum(nodes: list[nir.MatrixOp | nir.ScaleOp]) -> nir.NodeOp | None:
    """One node that gives what all give together, None where its parameters would overflow."""
    first, shape = nodes[0], nir.shape_of(nodes[0].output)
    totals = dict[str, Dense | None]()
    kind = type(first)
    if isinstance(first, nir.ScaleOp):
        totals["scale"] = _total([node.scale for node in nodes if isinstance(node, nir.ScaleOp)], shape)
    else:
        matrices = [node for node in nodes if isinstance(node, nir.MatrixOp)]
        biases = [node.bias for node in matrices if node.bias is not None]
        totals["weight"] = _total([node.weight for node in matrices], first.weight.get_shape())
        if biases:
            totals["bias"] = _total(biases, shape)
        kind = nir.AffineOp if biases else nir.LinearOp
    parameters: dict[str, Attribute] = {name: total for name, total in totals.items() if total is not None}
    if len(parameters) < len(totals):
        return None
    return kind(first.node.data, first.input, nir.with_metadata(parameters, *nodes), shape)


def _total(attrs: list[Dense], shape: tuple[int, ...] | None) -> Dense | None:
    """The sum, in the widest of the types."""
    return computed(lambda *terms: np.add.reduce(terms), *(spread(attr, shape) for attr in attrs), like=tuple(attrs))
