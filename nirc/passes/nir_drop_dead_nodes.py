"""`nir-drop-dead-nodes`: nodes from which no Output is reached are removed."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from nirc.dialects import nir
from nirc.dialects.nir import assume, listed


@dataclass(frozen=True)
class NirDropDeadNodesPass(ModulePass):
    """Remove what cannot change an Output, nested graphs among it; each graph by itself."""

    name = "nir-drop-dead-nodes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for graph in op.ops:
            if isinstance(graph, nir.GraphOp) and (dropped := drop_dead_nodes(graph)):
                verbs = "reaches no Output and is" if len(dropped) == 1 else "reach no Output and are"
                assume(op, "note", "dead nodes", f"{listed(dropped)} {verbs} removed")


def drop_dead_nodes(graph: nir.GraphOp) -> list[str]:
    """Remove the nodes of a graph that reach none of its Outputs; returns their names."""
    alive: set[Operation] = {graph.yielded}
    pending: list[Operation] = [graph.yielded]
    while pending:
        for operand in pending.pop().operands:
            owner = operand.owner
            if isinstance(owner, Operation) and owner not in alive:
                alive.add(owner)
                pending.append(owner)
    dead = [op for op in graph.body.block.ops if op not in alive]
    for op in dead:
        op.detach()
        op.drop_all_references()
    return [op.node.data for op in dead if isinstance(op, nir.NodeOp | nir.InstanceOp)]
