"""Small .nir files for the tests of target xylo, at dt = 1 ms: r and w_in as snnTorch writes them (tau/dt)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nirc.dialects.dense import Array

Node = dict[str, Any]
DT = 1e-3


def write(path: Path, nodes: dict[str, Node], edges: list[tuple[str, str]] | None = None) -> Path:
    """A NIR file; without edges the nodes are a chain."""
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=text)
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        pairs = list(pairwise(nodes)) if edges is None else edges
        graph.create_dataset("edges", data=np.array(pairs, dtype=object), dtype=text)
        group = graph.create_group("nodes")
        for name, fields in nodes.items():
            node = group.create_group(name)
            for field, value in fields.items():
                node.create_dataset(field, data=value, dtype=text if isinstance(value, str) else None)
    return path


def port(kind: str, *shape: int) -> Node:
    """An Input or Output."""
    return {"type": kind, "shape": np.array(shape)}


def linear(weight: Array) -> Node:
    return {"type": "Linear", "weight": np.asarray(weight, np.float32)}


def _of(kind: str, shape: int | tuple[int, ...], values: dict[str, float], changes: dict[str, Any]) -> Node:
    ones = np.ones(shape)
    return {"type": kind, **{name: ones * changes.get(name, value) for name, value in values.items()}}


def lif(shape: int | tuple[int, ...], steps: float = 8.0, **changes: Any) -> Node:
    values = {"tau": steps * DT, "r": steps, "v_leak": 0.0, "v_threshold": 1.0}
    return _of("LIF", shape, values, changes)


def li(shape: int | tuple[int, ...], steps: float = 8.0, **changes: Any) -> Node:
    return _of("LI", shape, {"tau": steps * DT, "r": steps, "v_leak": 0.0}, changes)


def cuba_lif(shape: int | tuple[int, ...], steps: float = 8.0, synapse: float = 4.0, **changes: Any) -> Node:
    values = {"tau_mem": steps * DT, "tau_syn": synapse * DT, "r": steps, "w_in": synapse, "v_leak": 0.0}
    return _of("CubaLIF", shape, values | {"v_threshold": 1.0}, changes)


def cuba_li(shape: int | tuple[int, ...], steps: float = 8.0, synapse: float = 4.0, **changes: Any) -> Node:
    values = {"tau_mem": steps * DT, "tau_syn": synapse * DT, "r": steps, "w_in": synapse, "v_leak": 0.0}
    return _of("CubaLI", shape, values, changes)
