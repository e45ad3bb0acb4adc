"""Where the cycles of a graph are cut, so that a step can be written down in an order.

Walk depth first from the Inputs, successors in the order of their names; an edge to a node that is still open closes
a cycle. These edges and no others are cut. Source: nirc's defaults; several entries into a loop make the choice depend
on names, so every cut is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from xdsl.ir import BlockArgument, SSAValue
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import nir
from nirc.dialects.depth_first import depth_first, on_cycles
from nirc.dialects.nir import quote

Edge = tuple[str, str]


@dataclass(frozen=True)
class Schedule:
    """The nodes in an order in which each comes after its sources, but for the edges that are cut.

    stateful  the nodes that remember something
    early     the nodes on cycles whose output of a step is known before their input is: Delays, neurons that fire from
              what they stored
    on_cycle  all nodes on cycles
    back      the nodes without state that lead to an edge that would close a cycle if nothing were early
    """

    nodes: dict[str, nir.NodeOp]
    order: tuple[str, ...]
    cuts: tuple[Edge, ...]
    stateful: frozenset[str]
    early: frozenset[str]
    on_cycle: frozenset[str]
    back: frozenset[str]


def operands(value: SSAValue) -> tuple[SSAValue, ...]:
    """The signals that arrive at a port: several where the graph adds them."""
    return tuple(value.owner.inputs) if isinstance(value.owner, nir.SumOp) else (value,)


def sources(node: nir.NodeOp) -> Iterator[str]:
    """The names of the nodes that lead to a node."""
    for value in operands(node.input):
        if isinstance(value.owner, nir.NodeOp):
            yield value.owner.node.data


def schedule(graph: nir.GraphOp, cut_at: str, remembers: frozenset[str], known: frozenset[str]) -> Schedule:
    """Order the nodes and choose the edges to cut; `cut_at` lists edges `A->B` to cut in any case, between `;`.

    remembers  the nodes that hold something from one step to the next
    known      those whose output does not depend on what arrives at the same step: on a loop they are its cut
    Raises PassFailedException for loops without state, and for edges in `cut_at` that are no part of a loop.
    """
    nodes = {node.node.data: node for node in graph.nodes()}
    targets = _targets(graph, nodes)
    if faults := stateless_loops(nodes, remembers):
        raise PassFailedException("\n".join(faults))
    on_cycle = frozenset[str](on_cycles(nodes, lambda name: targets[name]))
    early = known & on_cycle
    back = back_of(nodes, _walk(graph, nodes, targets)[1], remembers) if on_cycle else frozenset[str]()
    if early:
        targets = {key: [name for name in names if name not in early] for key, names in targets.items()}
    forced = _forced(cut_at, nodes, early)
    for source, target in forced:
        targets[source].remove(target)
    order, closing = _walk(graph, nodes, targets)
    return Schedule(nodes, order, (*forced, *closing), remembers, early, on_cycle, back)


def back_of(nodes: Mapping[str, nir.NodeOp], closing: Iterable[Edge], stateful: frozenset[str]) -> frozenset[str]:
    """The nodes without state that lead to edges, up to the first that have state."""
    found = {source for source, _ in closing} - stateful
    pending = list(found)
    while pending:
        before = set(sources(nodes[pending.pop()])) - stateful - found
        found |= before
        pending += before
    return frozenset(found)


def closing_edges(graph: nir.GraphOp) -> tuple[Edge, ...]:
    """The edges that close the graph's cycles, as they would be cut if no Delay stood on them."""
    nodes = {node.node.data: node for node in graph.nodes()}
    return _walk(graph, nodes, _targets(graph, nodes))[1]


Targets = dict[object, list[str]]
"""The nodes that follow a node, by name, or an Input, by its block argument."""


def _targets(graph: nir.GraphOp, nodes: Mapping[str, nir.NodeOp]) -> Targets:
    targets: Targets = {name: [] for name in nodes}
    targets.update((argument, []) for argument in graph.body.block.args)
    for name in sorted(nodes):
        for value in operands(nodes[name].input):
            owner = value if isinstance(value, BlockArgument) else value.owner
            targets[owner.node.data if isinstance(owner, nir.NodeOp) else owner].append(name)
    return targets


def _walk(
    graph: nir.GraphOp, nodes: Mapping[str, nir.NodeOp], targets: Targets
) -> tuple[tuple[str, ...], tuple[Edge, ...]]:
    """Depth first from the Inputs by name, then from the nodes that they do not reach: an order, the closing edges."""
    by_name = sorted(zip((name.data for name in graph.inputs), graph.body.block.args, strict=True), key=lambda p: p[0])
    roots: list[object] = [*(arg for _, arg in by_name), *sorted(nodes)]
    walked, closing = depth_first(roots, lambda node: targets[node])
    edges = ((a, b) for a, b in closing if isinstance(a, str) and isinstance(b, str))
    return tuple(name for name in walked if isinstance(name, str)), tuple(edges)


def stateless_loops(nodes: Mapping[str, nir.NodeOp], stateful: frozenset[str]) -> list[str]:
    """What is wrong with loops whose nodes remember nothing, a line each."""
    stateless = {
        name: [source for source in sources(node) if source not in stateful]
        for name, node in nodes.items()
        if name not in stateful
    }
    _, closing = depth_first(sorted(stateless), lambda name: stateless[name])
    faults = list[str]()
    for start, end in closing:
        loop = _path(stateless, end, start)
        faults.append(
            f"the loop {' -> '.join(quote(name) for name in [*reversed(loop), loop[-1]])} has no node "
            "with state; a value would depend on itself within a step"
        )
    return faults


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


def _forced(cut_at: str, nodes: dict[str, nir.NodeOp], early: frozenset[str]) -> list[Edge]:
    edges = list[Edge]()
    faults = list[str]()
    for text in filter(None, cut_at.split(";")):
        source, arrow, target = text.partition("->")
        if not arrow or target not in nodes or source not in set(sources(nodes[target])):
            faults.append(f"rec_cut_at: '{text}' is no edge of the graph; write it A->B with the nodes' names")
        elif target in early:
            what = "a Delay" if isinstance(nodes[target], nir.DelayOp) else quote(target)
            faults.append(f"rec_cut_at: the edge {text} leads into {what}, which is the cut itself")
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
