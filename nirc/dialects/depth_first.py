"""A depth-first walk without recursion: an order to visit a graph in, the edges that close its cycles, their nodes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def depth_first(
    roots: Iterable[Node], successors: Callable[[Node], Iterable[Node]]
) -> tuple[list[Node], list[tuple[Node, Node]]]:
    """Walk from each root that was not reached yet, successors in the order given.

    Returns the nodes in reverse postorder (each before those that it leads to, but along closing edges) and the
    closing edges: those that lead to a node that is still open. Every cycle holds at least one.
    """
    postorder = list[Node]()
    closing = list[tuple[Node, Node]]()
    seen = set[Node]()
    is_open = set[Node]()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        is_open.add(root)
        path: list[tuple[Node, Iterator[Node]]] = [(root, iter(successors(root)))]
        while path:
            node, rest = path[-1]
            for successor in rest:
                if successor in is_open:
                    closing.append((node, successor))
                elif successor not in seen:
                    seen.add(successor)
                    is_open.add(successor)
                    path.append((successor, iter(successors(successor))))
                    break
            else:
                path.pop()
                is_open.remove(node)
                postorder.append(node)
    postorder.reverse()
    return postorder, closing


def components(nodes: Iterable[Node], successors: Callable[[Node], Iterable[Node]]) -> list[list[Node]]:
    """The strongly connected components, each before those that it leads to, by Kosaraju's two walks."""
    order, _ = depth_first(nodes, successors)
    predecessors: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        for successor in successors(node):
            predecessors[successor].append(node)
    seen = set[Node]()
    found = list[list[Node]]()
    for root in order:
        if root in seen:
            continue
        seen.add(root)
        component = [root]
        for node in component:
            fresh = [before for before in dict.fromkeys(predecessors[node]) if before not in seen]
            seen.update(fresh)
            component += fresh
        found.append(component)
    return found


def on_cycles(nodes: Iterable[Node], successors: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """The nodes that lead to themselves."""
    order, closing = depth_first(nodes, successors)
    found = {node for node, successor in closing if node == successor}
    if closing:
        found.update(node for group in components(order, successors) if len(group) > 1 for node in group)
    return found
