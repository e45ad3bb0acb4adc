"""`nirc` with target loihi2: compile, run, run the file again, check, and what each says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
EDGES = ROOT / "examples" / "edges.nir"
DIGITS = ROOT / "examples" / "digits_conv.nir"

Nirc = Callable[..., Any]


def test_compile_and_run(nirc: Nirc) -> None:
    """A file predicts like its model."""
    np.save("in.npy", (np.random.default_rng(0).random((20, 2, 16, 16)) < 0.3).astype(np.uint8))
    result = nirc(EDGES, "--target", "loihi2", "-o", "cfg.json")
    assert result.status == 0, result.err
    assert (
        "  latency: the output 'output' answers 2 steps later than the network: a connection takes a step"
        in result.lines
    )
    assert [item["type"] for item in json.loads(Path("cfg.json").read_text())["processes"]].count("LIF") == 2
    for command in ([EDGES, "--target", "loihi2"], ["cfg.json"]):
        result = nirc("run", *command, "--input", "in.npy", "-o", f"{len(command)}.npy")
        assert result.status == 0, result.err
    assert np.array_equal(np.load("1.npy"), np.load("3.npy"))
    assert np.load("1.npy").any()


def test_inputs_above_one_are_told(nirc: Nirc) -> None:
    """They count as one."""
    raster = np.zeros((4, 2, 16, 16), np.uint8)
    raster[0, 0, :2, 0] = 3
    np.save("in.npy", raster)
    result = nirc("run", EDGES, "--target", "loihi2", "--input", "in.npy", "-o", "out.npy")
    assert "warning: 4 input events beyond one per value and step count as one, as on the chip" in result.lines


def test_every_fault_in_one_list(nirc: Nirc) -> None:
    """Reset by subtraction, which the file's metadata says, layer by layer; nothing is written."""
    result = nirc(DIGITS, "--target", "loihi2", "-o", "cfg.json")
    assert result.status == 1
    assert len([line for line in result.lines if ": a spike subtracts from it; Loihi 2's LIF resets to 0" in line]) == 3
    assert not Path("cfg.json").exists()


def test_check(nirc: Nirc) -> None:
    result = nirc("check", DIGITS, "--target", "loihi2", "--reset", "zero")
    assert result.status == 0, result.err
    assert any(line.startswith("  estimate: 3 of about 120 cores") for line in result.out.splitlines())


def test_weight_splits_are_loihis_alone(nirc: Nirc) -> None:
    result = nirc(EDGES, "--target", "speck", "--weight-splits", "2", "-o", "cfg.json")
    assert result.status == 1
    assert "weight_splits cannot be chosen" in result.lines[0]
