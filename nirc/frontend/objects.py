"""A graph of the `nir` package, as an object in memory, as the tree of values that its file would hold.

The package itself is not needed: what it names `nodes`, `edges` and the fields of its dataclasses is enough.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, cast

import numpy as np

from nirc.frontend.hdf5 import Broken, Tree, Value

_DERIVED = frozenset({"input_type", "output_type", "metadata", "nodes", "edges"})
"""Attributes that files hold otherwise, or not at all."""


class NIRNode(Protocol):
    """A node or graph of the `nir` package."""

    metadata: dict[str, Any]


def tree_of(node: NIRNode) -> Tree:
    """The tree of a `nir.NIRGraph` or of a single node; arrays are shared, not copied. No recursion.

    Raises TypeError where the object is none; what is wrong within it becomes Broken.
    """
    if not _is_node(node):
        raise TypeError(f"a path to a model or an object of the nir package is expected, not {node!r:.80}")
    root: Tree = {}
    tree: Tree = {"node": root}
    version = getattr(sys.modules.get("nir"), "version", None)
    if isinstance(version, str):
        tree["version"] = version
    known: dict[int, Value] = {id(node): root}
    pending: list[tuple[Any, Tree]] = [(node, root)]
    while pending:
        here, into = pending.pop()
        into["type"] = type(here).__name__
        for field in fields(here):
            value = getattr(here, field.name, None)
            if field.name not in _DERIVED and value is not None:
                into[field.name] = _leaf(value)
        if into["type"] in ("Input", "Output"):
            ports: object = here.input_type if into["type"] == "Input" else here.output_type
            shapes = list(cast(Mapping[Any, object], ports).values()) if isinstance(ports, Mapping) else []
            if shapes and shapes[0] is not None:
                into["shape"] = _leaf(shapes[0])
        if here.metadata:
            into["metadata"] = _leaf(here.metadata)
        if hasattr(here, "nodes"):
            nodes: Tree = {}
            held: object = here.nodes
            children = cast(Mapping[Any, object], held) if isinstance(held, Mapping) else dict[Any, object]()
            into["nodes"] = nodes
            into["edges"] = _edges(here.edges)
            for name, child in children.items():
                if not _is_node(child):
                    nodes[str(name)] = Broken(f"a node of the nir package is expected, not {child!r:.80}")
                    continue
                if id(child) not in known:
                    inner: Tree = {}
                    known[id(child)] = inner
                    pending.append((child, inner))
                nodes[str(name)] = known[id(child)]
    return tree


def _is_node(value: object) -> bool:
    return is_dataclass(value) and not isinstance(value, type) and hasattr(value, "metadata")


def _edges(value: object) -> Value:
    try:
        pairs = [tuple(pair) for pair in cast(Iterable[Iterable[object]], value)]
    except TypeError:
        return Broken("edges are pairs of names")
    if any(len(pair) != 2 or not all(isinstance(name, str) for name in pair) for pair in pairs):
        return Broken("edges are pairs of names")
    return np.array(pairs, dtype=object).reshape(-1, 2)


def _leaf(value: object) -> Value:
    """A field's value as a file would give it back; no recursion."""
    known: dict[int, Tree] = {}
    pending = list[tuple[Mapping[Any, object], Tree]]()

    def leaf(value: object) -> Value:
        if not isinstance(value, Mapping):
            return _array(value)
        held = cast(Mapping[Any, object], value)
        if id(held) not in known:
            known[id(held)] = {}
            pending.append((held, known[id(held)]))
        return known[id(held)]

    root = leaf(value)
    while pending:
        here, into = pending.pop()
        into.update((str(key), leaf(item)) for key, item in here.items() if item is not None)
    return root


def _array(value: object) -> Value:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    try:
        array = np.asarray(value)
    except ValueError:
        return Broken(f"numbers are expected here, not {type(value).__name__}")
    if array.dtype.kind in "US":
        words = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
        if words.ndim == 0:
            return str(words)
        return tuple(words.tolist()) if words.ndim == 1 else words.astype(object)
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.ravel()):
        return tuple(array.tolist()) if array.ndim == 1 else array
    if array.dtype.kind not in "biuf":
        return Broken(f"numbers are expected here, not values of type {array.dtype}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
