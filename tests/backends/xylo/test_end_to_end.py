"""From a .nir file to a configuration that the vendor's simulator runs to the very spikes of nirc's evaluator.

`checks/xylo_check.py` reads the emitted file without nirc, checks it against its own table of rules and simulates it
with xylosim 0.1.3; the last test hands the specification to xylosim through our own runner.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import PassFailedException

import nirc
from nirc.dialects import xylo
from nirc.dialects.dense import Array

EXAMPLES = Path(__file__).parents[3] / "examples"
GESTURES = EXAMPLES / "gestures.nir"
RUNNER = Path(__file__).parents[2] / "interpreters" / "xylosim_runner.py"
SUBTRACT, BIAS = "braille_noDelay_noBias_subtract.nir", "braille_noDelay_bias_zero.nir"

Report = dict[str, Any]
Judge = Callable[..., Report]


def network(program: nirc.Program) -> xylo.NetworkOp:
    (op,) = program.module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


@dataclass
class Run:
    """A compiled model, a raster [T, channels], and the spikes of every layer [T, neurons] in nirc's evaluator."""

    program: nirc.Program
    raster: Array
    output: Array
    hidden: Array


def run(program: nirc.Program, raster: Array) -> Run:
    """Run a raster; both layers have to spike, or the comparison says nothing."""
    op = network(program)
    keys = tuple(f"{name}.spikes" for name in op.hidden.sizes())
    spikes = program.run(raster, record=keys)
    hidden = np.concatenate([spikes[key] for key in keys], axis=1)
    output = np.concatenate([spikes[name.data] for name in op.readout.outputs], axis=1)
    assert hidden.sum() > 0
    assert output.sum() > 0
    return Run(program, raster, output, hidden)


def random_raster(seed: int, channels: int, rate: float, steps: int = 300) -> Array:
    """Event counts, mostly 0 and 1."""
    raster: Array = np.random.default_rng(seed).poisson(rate, (steps, channels)).astype(np.uint8)
    return raster


def recovered(shared: Path) -> Array:
    """The sample of the NIR paper's Braille letters, [T, 12]."""
    raster: Array = np.load(shared / "cases" / "braille_recorded" / "braille_ds_test0_input_recovered.npy")
    return raster.reshape(-1, 12).astype(np.uint8)


@pytest.fixture
def judge(shared: Path, oracle: Callable[[str], str], tmp_path: Path) -> Judge:
    """Write the configuration, let the checker run it; returns its report, whose exit code has to be 0."""
    checker, python = shared / "checks" / "xylo_check.py", oracle("xylosim")

    def check(made: Run, chip: str = "audio2") -> Report:
        made.program.save(tmp_path / "cfg.json")
        np.save(tmp_path / "input.npy", made.raster)
        np.save(tmp_path / "expect.npy", made.output)
        arguments = ["cfg.json", "--input", "input.npy", "--expect", "expect.npy", "--chip", chip]
        done = subprocess.run([python, checker, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        report: Report = json.loads(done.stdout)
        assert report["valid"] is True
        assert report["matches_expected"] is True
        assert report["engine"] == "xylosim"
        assert report["chip"] == chip
        assert report["out_spikes"] == made.output.sum(axis=0).tolist()
        assert report["hidden_spikes"] == made.hidden.sum()
        return report

    return check


# The NIR paper's Braille network


@pytest.fixture(scope="module")
def braille(shared: Path) -> nirc.Program:
    return nirc.compile(shared / "models" / SUBTRACT, "xylo")


def test_braille_on_the_recovered_sample(braille: nirc.Program, shared: Path, judge: Judge) -> None:
    report = judge(run(braille, recovered(shared)))
    assert (report["inputs"], report["outputs"], report["steps"]) == (12, 7, 256)


@pytest.mark.parametrize(("seed", "rate"), [(1, 0.05), (2, 0.2), (3, 1.0), (4, 12.0)])
def test_braille_on_random_rasters(braille: nirc.Program, judge: Judge, seed: int, rate: float) -> None:
    """From sparse events to more than the 15 of a step that the chip delivers."""
    report = judge(run(braille, random_raster(seed, 12, rate)))
    assert (report["clipped_inputs"] > 0) == (rate > 10)


@pytest.mark.parametrize("quantize", ["neuron", "layer"])
def test_braille_under_both_groupings(shared: Path, judge: Judge, quantize: str) -> None:
    program = nirc.compile(shared / "models" / SUBTRACT, "xylo", quantize=quantize)
    judge(run(program, random_raster(5, 12, 0.2)))


@pytest.mark.parametrize("chip", ["audio3", "imu"])
def test_braille_on_other_chips(shared: Path, judge: Judge, chip: str) -> None:
    program = nirc.compile(shared / "models" / SUBTRACT, "xylo", chip=chip)
    made = run(program, recovered(shared))
    judge(made, chip)
    audio2 = nirc.compile(shared / "models" / SUBTRACT, "xylo")
    assert np.array_equal(run(audio2, recovered(shared)).output, made.output)


@pytest.mark.parametrize("chip", ["audio2", "audio3", "imu"])
def test_a_model_with_biases(shared: Path, judge: Judge, chip: str) -> None:
    program = nirc.compile(shared / "models" / BIAS, "xylo", chip=chip)
    assert network(program).hidden.numbers("bias").any()
    judge(run(program, recovered(shared)), chip)


def test_a_model_with_biases_needs_a_chip_with_biases(shared: Path) -> None:
    with pytest.raises(PassFailedException, match="xylo v1: the chip has no biases"):
        nirc.compile(shared / "models" / BIAS, "xylo", chip="v1")


# The example that ships with nirc


def gestures_raster() -> Array:
    with np.load(EXAMPLES / "gestures.npz") as archive:
        raster: Array = archive["input"]
    return raster


@pytest.mark.parametrize("chip", ["audio2", "audio3", "imu"])
def test_gestures(judge: Judge, chip: str) -> None:
    made = run(nirc.compile(GESTURES, "xylo", chip=chip), gestures_raster())
    report = judge(made, chip)
    assert (report["inputs"], report["hidden"], report["outputs"]) == (12, 48, 8)
    assert min(report["out_spikes"]) > 0


def test_gestures_on_random_rasters(judge: Judge) -> None:
    program = nirc.compile(GESTURES, "xylo")
    for seed, rate in ((1, 0.05), (2, 2.0)):
        judge(run(program, random_raster(seed, 12, rate)))


def test_gestures_on_v1(judge: Judge) -> None:
    """Core v1 wants equal output thresholds, which the grouping by layer gives: the model's are equal."""
    program = nirc.compile(GESTURES, "xylo", chip="v1", quantize="layer")
    judge(run(program, gestures_raster()), "v1")


@pytest.mark.parametrize("chip", ["audio2", "audio3", "imu"])
def test_every_state_of_gestures(oracle: Callable[[str], str], tmp_path: Path, chip: str) -> None:
    """All potentials, currents and spikes of xylosim on the emitted specification; needs no shared folder."""
    program = nirc.compile(GESTURES, "xylo", chip=chip)
    raster = np.concatenate([gestures_raster(), random_raster(3, 12, 1.0, 100)])
    spec = json.loads(program.emit())["spec"]
    items = [{"core": 2, "spec": spec, "calls": [{"reset": False, "raster": raster.tolist()}]}]
    (tmp_path / "networks.json").write_text(json.dumps(items))
    subprocess.run([oracle("xylosim"), RUNNER, "networks.json", "states.npz"], cwd=tmp_path, check=True)
    names = {"Vmem": "hidden.v", "Isyn": "hidden.i", "Spikes": "hidden.spikes"}
    names |= {"Vmem_out": "readout.v", "Isyn_out": "readout.i", "out": "output"}
    got = program.run(raster, record=tuple(key for key in names.values() if key != "output"))
    with np.load(tmp_path / "states.npz") as archive:
        for theirs, ours in names.items():
            expected = archive[f"0.0.{theirs}"]
            assert np.count_nonzero(expected) > 100, theirs
            assert np.array_equal(got[ours], expected), theirs


def test_the_saved_file_runs_like_the_program(tmp_path: Path) -> None:
    from nirc.driver import load_config

    program = nirc.compile(GESTURES, "xylo")
    program.save(tmp_path / "cfg.json")
    again = load_config(str(tmp_path / "cfg.json"), "xylo")
    assert np.array_equal(run(program, gestures_raster()).output, run(again, gestures_raster()).output)
