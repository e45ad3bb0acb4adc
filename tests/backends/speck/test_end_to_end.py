"""From a .nir file to the configuration, the spikes and the states of sinabs 3.1.3 and samna 0.7.1.0, recorded in
`cases/speck`; every emitted file is read by the checker of the specification, which knows nothing of nirc."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nirc
from nirc.dialects import speck
from nirc.dialects.dense import Array
from nirc.driver import load_config

CASES = (
    *("conv_if", "conv_pool_chain", "pad_stride", "linear_readout"),
    *("bias_leak", "multi_spike", "placement", "cnn_sinabs"),
)
Json = dict[str, Any]


def network(program: nirc.Program) -> speck.NetworkOp:
    (op,) = program.module.ops
    assert isinstance(op, speck.NetworkOp)
    return op


def cores(config: Json) -> dict[int, Json]:
    """The neutral form's cores, with what may be left out put in."""
    return {
        core["core"]: {**core, "destinations": [{"enable": True, **to} for to in core["destinations"]]}
        for core in config["cnn_layers"]
    }


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "cases" / "speck" / request.param


@pytest.fixture
def compiled(case: Path) -> nirc.Program:
    return nirc.compile(case / "model.nir", "speck", reset="subtract")


def test_every_integer_of_the_configuration(case: Path, compiled: nirc.Program) -> None:
    found, expected = json.loads(compiled.emit()), json.loads((case / "config.neutral.json").read_text())
    assert cores(found) == cores(expected)
    assert found["entry_cores"] == expected["entry_cores"]
    assert found["target"] == expected["target"]


def test_the_core_map_and_the_memory(case: Path, compiled: nirc.Program) -> None:
    """sinabs' layer2core_map and samna's account of each memory."""
    meta = json.loads((case / "meta.json").read_text())
    layers = list(network(compiled).layers().values())
    placed = {str(n): op.core.value.data for n, op in enumerate(layers) if op.core is not None}
    assert placed == meta["layer2core"]
    for name in ("kernel", "neuron", "bias"):
        assert {str(n): getattr(op.memory, name) for n, op in enumerate(layers)} == meta["memory"][name]


def test_spikes_of_every_layer_and_final_states(case: Path, compiled: nirc.Program) -> None:
    raster = np.load(case / "input.npy")
    layers = network(compiled).layers()
    keys = tuple(f"{name}.{state}" for name in layers for state in ("spikes", "v"))
    found = compiled.run(raster, record=keys, model="stepped")
    output: Array = np.load(case / "output.npy")
    assert np.array_equal(found["output"].reshape(output.shape), output)
    with np.load(case / "layers.npz") as expected:
        assert len(expected.files) == 2 * len(layers)
        for name, op in layers.items():
            assert op.core is not None
            core = op.core.value.data
            assert expected[f"spikes_core{core}"].any()
            assert np.array_equal(found[f"{name}.spikes"], expected[f"spikes_core{core}"])
            assert np.array_equal(found[f"{name}.v"][-1], expected[f"vfinal_core{core}"])


def test_event_counts(case: Path, compiled: nirc.Program) -> None:
    layers = network(compiled).layers()
    keys = tuple(f"{name}.spikes" for name in layers)
    found = compiled.run(np.load(case / "input.npy"), record=keys, model="events")
    with np.load(case / "ref_event_counts.npz") as expected:
        assert len(expected.files) == len(layers)
        for name, op in layers.items():
            assert op.core is not None
            assert np.array_equal(found[f"{name}.spikes"].sum(axis=0), expected[f"core{op.core.value.data}"])


def check(config: Path, shared: Path, python: str | None = None) -> str:
    """The checker's report; 2 means sound, with no samna asked."""
    command = [sys.executable, shared / "checks" / "speck_check.py", config]
    command += ["--samna-python", python] if python else ["--no-samna"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if python else 2), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_the_checker_accepts(case: Path, shared: Path, tmp_path: Path, reset: str) -> None:
    nirc.compile(case / "model.nir", "speck", reset=reset).save(tmp_path / "cfg.json")
    assert "error" not in check(tmp_path / "cfg.json", shared)


def test_the_vendors_validator_agrees(case: Path, shared: Path, tmp_path: Path, oracle: Any) -> None:
    nirc.compile(case / "model.nir", "speck").save(tmp_path / "cfg.json")
    assert check(tmp_path / "cfg.json", shared, oracle("samna")).startswith("VALID")


def test_the_saved_file_runs_like_the_program(case: Path, compiled: nirc.Program, tmp_path: Path) -> None:
    """And like samna's own text of the same network."""
    compiled.save(tmp_path / "cfg.json")
    raster = np.load(case / "input.npy")
    own = load_config(str(tmp_path / "cfg.json"), None)
    assert own.target == "speck"
    assert list(network(own).layers()) == list(network(compiled).layers())
    vendor = case / "config.samna_speck2b.json"
    text = (
        vendor.read_text() if vendor.exists() else gzip.decompress((case / f"{vendor.name}.gz").read_bytes()).decode()
    )
    (tmp_path / "samna.json").write_text(text)
    for program in (own, load_config(str(tmp_path / "samna.json"), None)):
        for model in ("stepped", "events"):
            expected = compiled.run(raster, model=model)
            assert np.array_equal(program.run(raster, model=model).reshape(expected.shape), expected)


def test_the_papers_network_as_shipped(shared: Path) -> None:
    """sinabs cannot take it: its thresholds are arrays."""
    program = nirc.compile(shared / "models" / "cnn_sinabs.nir", "speck")
    assert [op.return_to_zero is not None for op in network(program).layers().values()] == [True] * 5
    text = "\n".join(program.assumptions)
    assert "reset: to 0 for '1', '3', '6', '10', '12'" in text
    assert "lower bound: " in text


def test_a_hundred_thousand_events(shared: Path) -> None:
    """In less than 10 s, compilation of the loop included."""
    program = nirc.compile(shared / "models" / "cnn_sinabs.nir", "speck", reset="subtract")
    rng = np.random.default_rng(1)
    raster = np.zeros((300, 2, 34, 34), np.int64)
    np.add.at(raster.reshape(-1), rng.integers(0, raster.size, 100_000), 1)
    started = time.perf_counter()
    spikes = program.run(raster, model="events")
    assert time.perf_counter() - started < 10
    assert spikes.sum() > 1000
