"""Rungs: what lies between a step and a chip. The first does what the step does, the last what the chip does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nirc import driver
from nirc.compare import layers_of
from nirc.compare.platforms import Named, Settings, make, rungs
from nirc.dialects import nir as dialect
from nirc.dialects.dense import Array

nir = pytest.importorskip("nir")

CHIPS = {"xylo": ["CubaLIF"], "loihi2": ["CubaLIF", "LIF"], "speck": ["IF"]}


def model(kind: str) -> Any:
    """Two layers, with time constants that chips have exactly."""
    draw = np.random.default_rng(7)
    sizes, drive = [5, 20, 6], 3 if kind == "CubaLIF" else 1
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([sizes[0]])})}
    for k, (before, size) in enumerate(pairwise(sizes)):
        nodes[f"w{k}"] = nir.Linear(draw.uniform(-0.1, 0.4, (size, before)) / drive)
        o = np.ones(size)
        neurons = {
            "IF": lambda o=o: nir.IF(r=o, v_threshold=o, v_reset=0 * o),
            "LIF": lambda o=o: nir.LIF(tau=8e-3 * o, r=8 * o, v_leak=0 * o, v_threshold=o, v_reset=0 * o),
            "CubaLIF": lambda o=o: nir.CubaLIF(
                tau_mem=8e-3 * o, tau_syn=4e-3 * o, r=8 * o, v_leak=0 * o, v_threshold=o, w_in=4 * o, v_reset=0 * o
            ),
        }
        nodes[f"n{k}"] = neurons[kind]()
    nodes["output"] = nir.Output({"output": np.array([sizes[-1]])})
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def coincidence(a: Array, b: Array) -> float:
    return float(2 * np.minimum(a, b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize(("chip", "kind"), [(chip, kind) for chip, kinds in CHIPS.items() for kind in kinds])
def test_the_way_from_a_step_to_a_chip(chip: str, kind: str) -> None:
    program = driver.load(model(kind))
    program.lower("nir")
    graph = dialect.graph_of(program.module)
    assert graph is not None
    layers = layers_of(graph)
    platform = make(program, layers, Named(chip), Settings(dt=1e-3))
    way = rungs(program, layers, platform)
    assert len(way) >= 5
    x = {"input": (np.random.default_rng(1).random((120, 2, 5)) < 0.3).astype(np.float32)}
    traces = [item.run(x) for _, item in way]
    step, first, last, own = traces[0], traces[1], traces[-2], traces[-1]
    for node in ("n0", "n1"):
        assert own.spikes[node].sum() > 50
        if chip != "speck":  # which fires several times in a step
            assert coincidence(step.spikes[node], first.spikes[node]) == 1
            np.testing.assert_allclose(step.v[node], first.v[node], atol=1e-4)
        # Integer states lose some spikes, Xylo most: they decay by 1 at least. Scales and latency show in v below.
        least = {"speck": 0.999, "loihi2": 0.9, "xylo": 0.8}[chip]
        assert coincidence(last.spikes[node], own.spikes[node]) > least
    apart = np.flatnonzero((last.spikes["n0"] != own.spikes["n0"]).any(axis=(1, 2)))
    until = int(apart[0]) if apart.size else 120
    assert until > 5
    assert np.abs(last.v["n0"][:until] - own.v["n0"][:until]).max() < 0.05
