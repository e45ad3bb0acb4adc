"""Fixtures of the solver's tests: a graph of a dictionary of nodes and a list of edges, solved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nirc
from nirc.dialects.dense import Array

Nodes = dict[str, dict[str, Any]]
Edges = list[tuple[str, str]]


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., nirc.Program]:
    """Write a .nir file and settle it for the solver."""

    def make(nodes: Nodes, edges: Edges, **options: Any) -> nirc.Program:
        text = h5py.string_dtype()
        path = tmp_path / "model.nir"
        with h5py.File(path, "w") as file:
            file.create_dataset("version", data="1.0.8", dtype=text)
            graph = file.create_group("node")
            graph.create_dataset("type", data="NIRGraph", dtype=text)
            graph.create_dataset("edges", data=np.array(edges, dtype=object), dtype=text)
            group = graph.create_group("nodes")
            for name, fields in nodes.items():
                node = group.create_group(name)
                for key, value in fields.items():
                    if key != "in" and (key != "shape" or fields["type"] in ("Input", "Output")):
                        node.create_dataset(key, data=value, dtype=text if isinstance(value, str) else None)
        return nirc.compile(str(path), until="nir", **options).settle()

    return make


@pytest.fixture
def times(program: Callable[..., nirc.Program]) -> Callable[..., Array]:
    """The instants at which a single neuron fires under a raster of one channel."""

    def run(neuron: dict[str, Any], raster: Array, dt: float, **options: Any) -> Array:
        nodes = {
            "input": {"type": "Input", "shape": np.array([1])},
            "n": {key: value if key == "type" else np.full(1, value) for key, value in neuron.items()},
            "output": {"type": "Output", "shape": np.array([1])},
        }
        found = program(nodes, [("input", "n"), ("n", "output")], dt=dt, **options)
        found.run({"input": np.asarray(raster, float).reshape(-1, 1)})
        return found.events["output"].time[0]

    return run
