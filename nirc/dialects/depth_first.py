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


def on_cycles(nodes: Iterable[Node], successors: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """The nodes that lead to themselves: strongly connected components, by Kosaraju's two walks."""
    order, closing = depth_first(nodes, successors)
    found = {node for node, successor in closing if node == successor}
    if not closing:
        return found
    predecessors: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        for successor in successors(node):
            predecessors[successor].append(node)
    seen = set[Node]()
    for root in order:
        if root in seen:
            continue
        seen.add(root)
        component = [root]
        for node in component:
            fresh = [before for before in dict.fromkeys(predecessors[node]) if before not in seen]
            seen.update(fresh)
            component += fresh
        if len(component) > 1:
            found.update(component)
    return found
