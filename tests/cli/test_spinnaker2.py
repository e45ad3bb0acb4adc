"""`nirc` with target spinnaker2: compile, run, run the file again, check, and what each says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
EDGES = ROOT / "examples" / "edges.nir"
DIGITS = ROOT / "examples" / "digits.nir"

Nirc = Callable[..., Any]


def test_compile_and_run(nirc: Nirc) -> None:
    """A file predicts like its model."""
    np.save("in.npy", (np.random.default_rng(0).random((20, 2, 16, 16)) < 0.3).astype(np.uint8))
    result = nirc(EDGES, "--target", "spinnaker2", "-o", "cfg.json")
    assert result.status == 0, result.err
    assert (
        "  latency: the output 'output' answers 2 ticks later than the network: a projection takes a tick"
        in result.lines
    )
    assert any(line.startswith("  estimate: '") and "older layout" in line for line in result.lines)
    kinds = [item["neuron_model"] for item in json.loads(Path("cfg.json").read_text())["populations"]]
    assert kinds.count("lif_conv2d") == 1
    for command in ([EDGES, "--target", "spinnaker2"], ["cfg.json"]):
        result = nirc("run", *command, "--input", "in.npy", "-o", f"{len(command)}.npy")
        assert result.status == 0, result.err
    assert np.array_equal(np.load("1.npy"), np.load("3.npy"))
    assert np.load("1.npy").any()


def test_graded_inputs_are_refused(nirc: Nirc) -> None:
    np.save("in.npy", np.full((4, 2, 16, 16), 0.5))
    result = nirc("run", EDGES, "--target", "spinnaker2", "--input", "in.npy", "-o", "out.npy")
    assert result.status == 1
    assert "must hold event counts, whole numbers in 0..1; it spans 0.5 to 0.5" in result.lines[0]
    assert not Path("out.npy").exists()


def test_weights_are_rounded_as_told(nirc: Nirc) -> None:
    """Truncated weights are never larger, and some are smaller."""
    for rounding in ("nearest", "truncate"):
        options = ("--quantize", "layer", "--weight-rounding", rounding)
        result = nirc(DIGITS, "--target", "spinnaker2", *options, "-o", f"{rounding}.json")
        assert result.status == 0, result.err
    total = {}
    for rounding in ("nearest", "truncate"):
        projections = json.loads(Path(f"{rounding}.json").read_text())["projections"]
        total[rounding] = sum(abs(row[2]) for item in projections for row in item["connections"])
    assert total["truncate"] < total["nearest"]


def test_check(nirc: Nirc) -> None:
    result = nirc("check", DIGITS, "--target", "spinnaker2")
    assert result.status == 0, result.err
    assert "  3 of 148 cores of a chip" in result.out.splitlines()


def test_weight_rounding_is_spinnakers_alone(nirc: Nirc) -> None:
    result = nirc(DIGITS, "--target", "xylo", "--weight-rounding", "nearest", "-o", "cfg.json")
    assert result.status == 1
    assert "weight_rounding cannot be chosen" in result.lines[0]
