"""Where the cycles of a graph are cut, so that a step can be written down in an order.

Walk depth first from the Inputs, successors in the order of their names; an edge to a node that is still open closes
a cycle. These edges and no others are cut. Source: nirc's defaults; several entries into a loop make the choice depend
on names, so every cut is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.ir import BlockArgument, SSAValue
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import nir
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir import quote

Edge = tuple[str, str]


@dataclass(frozen=True)
class Schedule:
    """The nodes in an order in which each comes after its sources, but for the edges that are cut."""

    nodes: dict[str, nir.NodeOp]
    order: tuple[str, ...]
    cuts: tuple[Edge, ...]


def operands(value: SSAValue) -> tuple[SSAValue, ...]:
    """The signals that arrive at a port: several where the graph adds them."""
    return tuple(value.owner.inputs) if isinstance(value.owner, nir.SumOp) else (value,)


def sources(node: nir.NodeOp) -> Iterator[str]:
    """The names of the nodes that lead to a node."""
    for value in operands(node.input):
        if isinstance(value.owner, nir.NodeOp):
            yield value.owner.node.data


def schedule(graph: nir.GraphOp, cut_at: str) -> Schedule:
    """Order the nodes and choose the edges to cut; `cut_at` lists edges `A->B` to cut in any case, between `;`.

    Raises PassFailedException for loops without state, and for edges in `cut_at` that are no part of a loop.
    """
    nodes = {node.node.data: node for node in graph.nodes()}
    targets: dict[object, list[str]] = {name: [] for name in nodes}
    targets.update((argument, []) for argument in graph.body.block.args)
    for name in sorted(nodes):
        for value in operands(nodes[name].input):
            owner = value if isinstance(value, BlockArgument) else value.owner
            targets[owner.node.data if isinstance(owner, nir.NodeOp) else owner].append(name)
    _refuse_stateless_loops(nodes)
    forced = _forced(cut_at, nodes)
    for source, target in forced:
        targets[source].remove(target)
    by_name = sorted(zip((name.data for name in graph.inputs), graph.body.block.args, strict=True), key=lambda p: p[0])
    walked, closing = depth_first([*(arg for _, arg in by_name), *sorted(nodes)], lambda node: targets[node])
    order = tuple(name for name in walked if isinstance(name, str))
    cuts = [
        *forced,
        *((source, target) for source, target in closing if isinstance(source, str) and isinstance(target, str)),
    ]
    return Schedule(nodes, order, tuple(cuts))


def _refuse_stateless_loops(nodes: dict[str, nir.NodeOp]) -> None:
    stateless = {
        name: [s for s in sources(node) if not nodes[s].STATEFUL] for name, node in nodes.items() if not node.STATEFUL
    }
    _, closing = depth_first(sorted(stateless), lambda name: stateless[name])
    faults = list[str]()
    for start, end in closing:
        loop = _path(stateless, end, start)
        faults.append(
            f"the loop {' -> '.join(quote(name) for name in [*reversed(loop), loop[-1]])} has no node "
            "with state; a value would depend on itself within a step"
        )
    if faults:
        raise PassFailedException("\n".join(faults))


def _path(successors: dict[str, list[str]], start: str, end: str) -> list[str]:
    """Some path from start to end."""
    before: dict[str, str | None] = {start: None}
    queue = [start]
    for name in queue:
        for successor in successors[name]:
            if successor not in before:
                before[successor] = name
                queue.append(successor)
    path = [end]
    while (previous := before[path[-1]]) is not None:
        path.append(previous)
    path.reverse()
    return path


def _forced(cut_at: str, nodes: dict[str, nir.NodeOp]) -> list[Edge]:
    edges = list[Edge]()
    faults = list[str]()
    for text in filter(None, cut_at.split(";")):
        source, arrow, target = text.partition("->")
        if not arrow or target not in nodes or source not in set(sources(nodes[target])):
            faults.append(f"rec_cut_at: '{text}' is no edge of the graph; write it A->B with the nodes' names")
        elif not _reaches(nodes, source, target):
            faults.append(f"rec_cut_at: the edge {text} is not part of a cycle")
        else:
            edges.append((source, target))
    if faults:
        raise PassFailedException("\n".join(faults))
    return edges


def _reaches(nodes: dict[str, nir.NodeOp], end: str, start: str) -> bool:
    """Whether `start` leads to `end`, looked up backwards from the end."""
    reached = depth_first([end], lambda name: list(sources(nodes[name])))[0]
    return start in reached
