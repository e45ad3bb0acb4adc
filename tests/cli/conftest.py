"""Fixtures of the command line's tests: run a command in a folder of its own, and models that a test makes up."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nirc.cli import main

Nodes = dict[str, dict[str, Any]]
Edges = list[tuple[str, str]]


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


@pytest.fixture
def nirc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `nirc ARGS` in the test's folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Result:
        out, err = io.StringIO(), io.StringIO()
        status = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main([str(arg) for arg in args])
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Result(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Nodes, Edges], Path]:
    """Write a .nir file into the test's folder."""

    def make(nodes: Nodes, edges: Edges) -> Path:
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
                for field, value in fields.items():
                    node.create_dataset(field, data=value, dtype=text if isinstance(value, str) else None)
        return path

    return make


def cuba(size: int, **changes: Any) -> dict[str, Any]:
    """A CubaLIF layer at dt = 1 ms."""
    ones = np.ones(size)
    values = {"tau_mem": 8e-3, "tau_syn": 4e-3, "r": 8.0, "w_in": 4.0, "v_leak": 0.0, "v_threshold": 1.0}
    return {"type": "CubaLIF", **{name: value * ones for name, value in values.items()}, **changes}


@pytest.fixture
def chain(write: Callable[[Nodes, Edges], Path]) -> Callable[..., Path]:
    """A chain Input, Linear, CubaLIF, ..., Output of the given sizes; nodes may be replaced by name."""

    def make(sizes: list[int], *, more_edges: Edges | None = None, **replaced: dict[str, Any]) -> Path:
        rng = np.random.default_rng(1)
        nodes: Nodes = {"input": {"type": "Input", "shape": np.array([sizes[0]])}}
        for n, (before, size) in enumerate(pairwise(sizes), 1):
            nodes[f"fc{n}"] = {"type": "Linear", "weight": rng.uniform(0.2, 0.5, (size, before)).astype(np.float32)}
            nodes[f"lif{n}"] = cuba(size)
        nodes["output"] = {"type": "Output", "shape": np.array([sizes[-1]])}
        order = list(nodes)
        nodes.update(replaced)
        return write(nodes, [*pairwise(order), *(more_edges or [])])

    return make
