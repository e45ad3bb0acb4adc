"""`nirc` with target speck: compile, run under either model, check, and what each says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DIGITS = ROOT / "examples" / "digits_conv.nir"
RASTER = ROOT / "examples" / "digits_conv.npz"

Nirc = Callable[..., Any]


def loaded(path: str) -> dict[str, Any]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture
def raster(tmp_path: Path) -> str:
    """A few of the samples."""
    np.save(tmp_path / "few.npy", loaded(str(RASTER))["input"][:, :8])
    return "few.npy"


def test_compile(nirc: Nirc) -> None:
    result = nirc(DIGITS, "--target", "speck", "-o", "cfg.json")
    assert result.status == 0
    config = json.loads(Path("cfg.json").read_text())
    assert [core["core"] for core in config["cnn_layers"]] == [0, 1, 2]
    assert (
        "  reset: by subtraction of the threshold for 'if1', 'if2', 'readout', from the file's metadata" in result.lines
    )
    assert any(line.startswith("  lower bound: ") for line in result.lines)


def test_a_configuration_predicts_like_its_model(nirc: Nirc, raster: str) -> None:
    """Under either model, which each run names; the two differ."""
    nirc(DIGITS, "--target", "speck", "-o", "cfg.json")
    found = dict[str, Any]()
    for model in ("stepped", "events"):
        runs = [["run", DIGITS, "--target", "speck"], ["run", "cfg.json"]]
        for n, command in enumerate(runs):
            result = nirc(*command, "--model", model, "--input", raster, "-o", f"{model}{n}.npy")
            assert result.status == 0, result.err
            (line,) = [line for line in result.lines if line.startswith("model: ")]
            assert line.startswith(f"model: {model}: ")
        found[model] = np.load(f"{model}0.npy")
        assert np.array_equal(found[model], np.load(f"{model}1.npy"))
        assert found[model].shape == (20, 8, 10)
    assert not np.array_equal(found["stepped"], found["events"])


def test_the_stepped_model_is_the_default(nirc: Nirc, raster: str) -> None:
    result = nirc("run", DIGITS, "--target", "speck", "--input", raster, "-o", "y.npy")
    assert any(line.startswith("model: stepped: ") for line in result.lines)


def test_strict_asks_for_a_model(nirc: Nirc, raster: str) -> None:
    command = ["run", DIGITS, "--target", "speck", "--input", raster, "-o", "y.npy", "--strict"]
    command += ["--scheme", "nir-euler", "--lower-bound", "threshold"]
    result = nirc(*command)
    assert result.status == 1
    assert result.lines == [f"{DIGITS}: under --strict this must be said: model; give --model stepped|events"]
    assert nirc(*command, "--model", "events").status == 0


def test_states_are_recorded(nirc: Nirc, raster: str) -> None:
    command = ["run", DIGITS, "--target", "speck", "--input", raster, "-o", "y.npz", "--record", "if1:spikes,v"]
    for model in ("stepped", "events"):
        assert nirc(*command, "--model", model).status == 0
        found = loaded("y.npz")
        assert found["if1.v"].shape == found["if1.spikes"].shape
        assert found["if1.spikes"].any()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ["run", ROOT / "examples" / "digits.nir", "--target", "xylo", "--model", "events"],
            "no model 'events' of xylo",
        ),
        (["run", DIGITS, "--model", "events"], "no model 'events' of snn; there is one way to run it"),
        (["run", "cfg.json", "--lower-bound", "lowest"], "--lower-bound cannot change a configuration"),
        (["run", "cfg.json", "--placement", "if1=2"], "--placement cannot change a configuration"),
        (["run", "cfg.json", "--record", "x:v"], "cannot record 'x.v'; there are if1.spikes, if1.v"),
    ],
)
def test_runs_that_cannot_be(nirc: Nirc, args: list[Any], text: str) -> None:
    nirc(DIGITS, "--target", "speck", "-o", "cfg.json")
    raster = ROOT / "examples" / "digits.npz" if "xylo" in args else RASTER
    result = nirc(*args, "--input", raster, "-o", "y.npz")
    assert result.status == 1
    assert text in result.err
    assert not Path("y.npz").exists()


def test_placement(nirc: Nirc) -> None:
    result = nirc(DIGITS, "--target", "speck", "--placement", "if1=2,readout=8", "-o", "cfg.json")
    assert result.status == 0
    assert "  placement: 'if1' on core 2, 'readout' on core 8 (as told)" in result.lines
    config = json.loads(Path("cfg.json").read_text())
    assert {item["node"]: item["core"] for item in config["nirc"]["layers"]["cores"]} == {
        "if1": 2,
        "if2": 0,
        "readout": 8,
    }
    assert config["entry_cores"] == [2]
    assert [core["core"] for core in config["cnn_layers"]] == [0, 2, 8]
    result = nirc(DIGITS, "--target", "speck", "--placement", "if9=2", "-o", "other.json")
    assert result.status == 1
    assert result.lines == [f"{DIGITS}: placement 'if9=2': no layer 'if9'; layers: 'if1', 'if2', 'readout'"]
    assert not Path("other.json").exists()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--mapping", "vendor"], "mapping cannot be chosen on the way from nir to speck"),
        (["--quantize", "neuron"], "quantize cannot be chosen on the way from nir to speck"),
        (["--chip", "audio2"], "chip 'audio2' is not one of speck2f, speck2e, speck2b"),
        (["--template", "none.json"], "--template none.json: cannot be read"),
    ],
)
def test_flags_of_other_chips(nirc: Nirc, flags: list[str], text: str) -> None:
    result = nirc(DIGITS, "--target", "speck", "-o", "cfg.json", *flags)
    assert result.status == 1
    assert text in result.err
    assert not Path("cfg.json").exists()


def test_check(nirc: Nirc) -> None:
    result = nirc("check", DIGITS, "--target", "speck")
    assert result.status == 0
    assert "speck: fits" in result.out
    assert "  speck2f: 3 of 9 cores" in result.out.splitlines()
    assert "  core 0, 'if1': 1x8x8 to 8x8x8, words of memory: kernel " in result.out
    held = json.loads(nirc("check", DIGITS, "--target", "speck", "--json").out)
    assert held["targets"]["speck"]["fits"]


def test_check_of_a_misfit(nirc: Nirc) -> None:
    result = nirc("check", ROOT / "examples" / "digits_recurrent.nir", "--target", "speck", "--target", "xylo")
    assert result.status == 1
    lines = result.out.splitlines()
    assert "xylo: fits" in lines
    assert "speck: does not fit" in lines
    assert any("node 'hidden': its input is a synaptic current; Speck's neurons take" in line for line in lines)


def test_levels(nirc: Nirc) -> None:
    """Printed IR of the chip's level runs and compiles again."""
    result = nirc(DIGITS, "--target", "speck", "--emit", "speck", "-o", "chip.mlir")
    assert result.status == 0
    assert nirc(DIGITS, "--target", "speck", "-o", "direct.json").status == 0
    assert nirc("chip.mlir", "--target", "speck", "-o", "again.json").status == 0
    direct, again = (json.loads(Path(name).read_text()) for name in ("direct.json", "again.json"))
    assert again == direct


def test_xdsl_opt_writes_the_target() -> None:
    """The passes and the target, under plain xDSL's tool."""
    emitted = subprocess.run(
        [sys.executable, "-m", "nirc", DIGITS, "--emit", "snn"], capture_output=True, text=True, check=True
    ).stdout
    passes = "convert-snn-to-speck{chip=speck2e},speck-quantize,speck-place,speck-check-limits"
    done = subprocess.run(
        [BIN / "xdsl-opt", "-p", passes, "-t", "speck"], input=emitted, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["target"] == "speck2e"
