"""Frameworks read random networks by their own importers, in an environment of theirs: nirc's schemes say the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nirc
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

RUNNER = Path(__file__).with_name("framework_runner.py")
STEPS, BATCH, INPUTS, HIDDEN, OUT = 200, 4, 12, 20, 6


def leaky(rng: np.random.Generator, framework: str, size: int, dt: float) -> dict[str, Any]:
    """A LIF layer that the framework's importer takes: snnTorch wants no leak, Sinabs counts tau in steps."""
    ones = np.ones(size, np.float32)
    tau = rng.uniform(5, 20, size).astype(np.float32) * np.float32(1 if framework == "sinabs" else dt)
    if framework == "snntorch":
        tau = tau.mean() * ones
    gain = {"snntorch": tau / np.float32(dt)}.get(framework, ones)
    return {"type": "LIF", "tau": tau, "r": gain, "v_leak": 0 * ones, "v_threshold": ones, "v_reset": 0 * ones}


def write(path: Path, framework: str, dt: float, seed: int) -> None:
    """Input, Affine, LIF, Affine, LIF, Output."""
    rng = np.random.default_rng(seed)
    drive = 12.0 if framework == "norse" else 1.0
    nodes: dict[str, dict[str, Any]] = {"input": {"type": "Input", "shape": np.array([INPUTS])}}
    for n, (size, before) in enumerate(((HIDDEN, INPUTS), (OUT, HIDDEN))):
        weight = rng.normal(0.15 * drive, 0.4 * drive, (size, before)).astype(np.float32)
        bias = rng.normal(0, 0.02 * drive, size).astype(np.float32)
        nodes[f"fc{n}"] = {"type": "Affine", "weight": weight, "bias": bias}
        nodes[f"lif{n}"] = leaky(rng, framework, size, dt)
    nodes["output"] = {"type": "Output", "shape": np.array([OUT])}
    text = h5py.string_dtype()
    names = list(nodes)
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=text)
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        edges = np.array(list(zip(names, names[1:], strict=False)), dtype=object)  # noqa: RUF007
        graph.create_dataset("edges", data=edges, dtype=text)
        group = graph.create_group("nodes")
        for name, fields in nodes.items():
            node = group.create_group(name)
            for key, value in fields.items():
                node.create_dataset(key, data=value, dtype=text if isinstance(value, str) else None)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("framework", "dt"), [("norse", 1e-3), ("snntorch", 1e-4), ("sinabs", 1.0), ("spyx", 1e-3)])
def test_spikes_are_equal(
    oracle: Callable[[str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    framework: str,
    dt: float,
    seed: int,
) -> None:
    assert framework in SCHEMES
    python = oracle("frameworks")
    model = tmp_path / "model.nir"
    write(model, framework, dt, seed)
    raster = (np.random.default_rng(seed + 100).random((STEPS, BATCH, INPUTS)) < 0.3).astype(np.float32)
    np.save(tmp_path / "in.npy", raster)
    command = [python, str(RUNNER), framework, str(model), str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), str(dt)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = np.load(tmp_path / "out.npy")
    found = np.asarray(nirc.compile(str(model), scheme=framework, dt=dt).run(raster))
    with capsys.disabled():
        print(f"\n{done.stdout.splitlines()[-1]}: {int(expected.sum())} spikes", end=" ")
    assert expected.sum() > 100
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
