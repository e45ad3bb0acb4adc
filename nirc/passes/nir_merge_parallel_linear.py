"""`nir-merge-parallel-linear`: paths side by side become one.

    A x + B x              -> (A + B) x
    (A x + b) + (B x + c)  -> (A + B) x + (b + c)
    s x + t x              -> (s + t) x                (Scale)

A repeated edge is a fault of the file, so parallel paths are always through nodes of their own. Sums are computed in
f64 and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from nirc.dialects import nir
from nirc.dialects.dense import Dense, array, dense, spread
from nirc.dialects.nir import quote


@dataclass(frozen=True)
class NirMergeParallelLinearPass(ModulePass):
    """Merge Linear and Affine nodes, and Scale nodes, that lead from one signal into one sum and nowhere else.

    The merged node keeps the name of the first.
    """

    name = "nir-merge-parallel-linear"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
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
        if len(nodes) < 2:
            continue
        node = _sum(nodes)
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


def _sum(nodes: list[nir.MatrixOp | nir.ScaleOp]) -> nir.NodeOp:
    """One node that gives what all give together."""
    first, shape = nodes[0], nir.shape_of(nodes[0].output)
    if isinstance(first, nir.ScaleOp):
        scales = [node.scale for node in nodes if isinstance(node, nir.ScaleOp)]
        scale: dict[str, Attribute] = {"scale": _total(scales, shape)}
        return nir.ScaleOp(first.node.data, first.input, nir.with_metadata(scale, *nodes), shape)
    matrices = [node for node in nodes if isinstance(node, nir.MatrixOp)]
    biases = [node.bias for node in matrices if node.bias is not None]
    parameters: dict[str, Attribute] = {
        "weight": _total([node.weight for node in matrices], matrices[0].weight.get_shape())
    }
    if biases:
        parameters["bias"] = _total(biases, matrices[0].weight.get_shape()[:1])
    kind = nir.AffineOp if biases else nir.LinearOp
    return kind(first.node.data, first.input, nir.with_metadata(parameters, *nodes), shape)


def _total(attrs: list[Dense], shape: tuple[int, ...] | None) -> Dense:
    """The sum, in the widest of the types."""
    dtype = np.result_type(np.float32, *(array(attr).dtype for attr in attrs))
    result = spread(attrs[0], shape)
    for attr in attrs[1:]:
        result = result + spread(attr, shape)
    return dense(result.astype(dtype))
