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
    told = "warning: 4 input events beyond one per value and step count as one, as on the chip"
    assert f"{told}; --inputs graded lets them count as often as they say" in result.lines


def test_graded_inputs(nirc: Nirc) -> None:
    """They count as often as they say, in the file as well; beyond 8 bits they are refused, not wrapped."""
    raster = np.random.default_rng(0).integers(0, 4, (20, 2, 16, 16)).astype(np.uint8)
    np.save("in.npy", raster)
    assert nirc("run", EDGES, "--input", "in.npy", "-o", "snn.npy").status == 0
    result = nirc("run", EDGES, "--target", "loihi2", "--inputs", "graded", "--input", "in.npy", "-o", "graded.npy")
    assert result.status == 0, result.err
    assert not any(line.startswith("warning") for line in result.lines)
    told = "is a graded spike, a whole number from 0 to 255 that counts as often as it says (as told)"
    assert f"  events: a value of 'input' {told}" in result.lines
    assert nirc(EDGES, "--target", "loihi2", "--inputs", "graded", "-o", "cfg.json").status == 0
    assert nirc("run", "cfg.json", "--input", "in.npy", "-o", "file.npy").status == 0
    network, graded = np.load("snn.npy"), np.load("graded.npy")
    assert np.array_equal(graded, np.load("file.npy"))
    assert nirc("run", EDGES, "--target", "loihi2", "--input", "in.npy", "-o", "events.npy").status == 0
    differ = [(np.load(name)[2:] != network[:-2]).sum() for name in ("graded.npy", "events.npy")]
    assert differ[0] < differ[1] / 10
    raster[0, 0, 0, 0] = 3
    np.save("in.npy", raster.astype(np.int32) * 100)
    result = nirc("run", "cfg.json", "--input", "in.npy", "-o", "none.npy")
    assert result.lines == ["in.npy: the raster of input 'input' holds 300; graded inputs of 8 bits, at most 255"]
    result = nirc("run", EDGES, "--target", "cpu", "--inputs", "events", "--input", "in.npy", "-o", "none.npy")
    assert result.status == 1
    assert not Path("none.npy").exists()


def test_calibration(nirc: Nirc) -> None:
    """The file is named in what is printed; one that does not fit is a fault."""
    np.save("in.npy", (np.random.default_rng(0).random((20, 2, 16, 16)) < 0.3).astype(np.uint8))
    result = nirc(EDGES, "--target", "loihi2", "--calibrate", "in.npy", "-o", "cfg.json")
    assert result.status == 0, result.err
    (line,) = [line for line in result.lines if line.startswith("  scales: ")]
    assert line.startswith("  scales: by 20 steps of 1 of the 1 sample(s) of in.npy, ")
    assert line.endswith("; nothing wraps or saturates on it, other input may (as told)")
    np.save("in.npy", np.zeros((20, 3), np.uint8))
    result = nirc(EDGES, "--target", "loihi2", "--calibrate", "in.npy", "-o", "other.json")
    assert result.status == 1
    assert "--calibrate: " in result.lines[0]
    assert not Path("other.json").exists()


def test_every_fault_in_one_list(nirc: Nirc) -> None:
    """Reset by subtraction, which the file's metadata says, layer by layer; nothing is written."""
    result = nirc(DIGITS, "--target", "loihi2", "-o", "cfg.json")
    assert result.status == 1
    assert len([line for line in result.lines if ": a spike subtracts from it; Loihi 2's LIF resets to 0" in line]) == 3
    assert not Path("cfg.json").exists()


def test_check(nirc: Nirc) -> None:
    result = nirc("check", DIGITS, "--target", "loihi2", "--reset", "zero")
    assert result.status == 0, result.err
    assert any(
        line.startswith("  estimate: 1 of about 120 cores (778 neurons in 3 populations")
        for line in result.out.splitlines()
    )


def test_weight_splits_are_loihis_alone(nirc: Nirc) -> None:
    result = nirc(EDGES, "--target", "speck", "--weight-splits", "2", "-o", "cfg.json")
    assert result.status == 1
    assert "weight_splits cannot be chosen" in result.lines[0]


def test_netx_files(nirc: Nirc) -> None:
    """By the ending; run again under the names of the model; --emit names the format too."""
    np.save("in.npy", (np.random.default_rng(0).random((20, 2, 16, 16)) < 0.3).astype(np.uint8))
    assert nirc(EDGES, "--target", "loihi2", "-o", "model.net").status == 0
    assert nirc(EDGES, "--target", "loihi2", "--emit", "net", "-o", "same.bin").status == 0
    assert Path("model.net").read_bytes() == Path("same.bin").read_bytes()
    result = nirc("run", "model.net", "--input", "in.npy", "-o", "net.npz", "--record", "if2:v")
    assert result.status == 0, result.err
    assert any(line.startswith("  latency: the output 'output' answers 2 steps later") for line in result.lines)
    assert nirc("run", EDGES, "--target", "loihi2", "--input", "in.npy", "-o", "snn.npz").status == 0
    with np.load("net.npz") as found, np.load("snn.npz") as expected:
        assert set(found.files) == {"output", "if2.v"}
        # Of IF neurons without bias the two files hold the same numbers, at most by another scale.
        assert (found["output"] != expected["output"]).mean() < 0.02
        assert found["output"].any()


def test_a_netx_file_is_written_whole_or_not_at_all(nirc: Nirc) -> None:
    """Three layers of this network are more than a chain holds."""
    result = nirc(ROOT / "examples" / "gestures.nir", "--target", "loihi2", "-o", "model.net")
    assert result.status == 1
    assert result.lines == [
        f"{ROOT}/examples/gestures.nir: netx: node 'hidden': 2 populations, one for each time constant; a layer of "
        "netx has one, the JSON file holds it"
    ]
    assert not Path("model.net").exists()


def test_what_cannot_change_a_netx_file(nirc: Nirc) -> None:
    assert nirc(EDGES, "--target", "loihi2", "-o", "model.net").status == 0
    np.save("in.npy", np.zeros((2, 2, 16, 16), np.uint8))
    result = nirc("run", "model.net", "--input", "in.npy", "-o", "out.npy", "--dt", "1")
    assert result.lines == ["model.net: --dt cannot change a configuration, which runs as it is"]
    result = nirc("run", "model.net", "--target", "xylo", "--input", "in.npy", "-o", "out.npy")
    assert result.lines == ["model.net: a .net file is of the target loihi2, which has no generations"]
