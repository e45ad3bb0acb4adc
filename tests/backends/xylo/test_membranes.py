"""Readouts that do not fire: LI and CubaLI layers are read by Vmem, in LSB, one step late.

Two references. The chip's own hidden spikes through the model's readout in real numbers: what is left is rounding, and
its bound follows step by step (below). The whole float network: most of its hidden spikes coincide, so v is close.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import nirc
from nirc.dialects import xylo
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parent))
from nir_models import cuba_li, cuba_lif, li, linear, port, write

RUNNER = Path(__file__).parents[2] / "interpreters" / "xylosim_runner.py"
FLOAT = "nir-euler,reset=subtract,v_init=0"
KINDS = ("LI", "CubaLI")
MEM, SYN = 16.0, 4.0
"""tau of the readout in steps: powers of two, so that the chip's decays are the model's."""


def model(path: Path, kind: str, seed: int = 0, leak: float = 0.0) -> tuple[Path, Array]:
    """8 inputs, 20 hidden neurons, 4 readouts; the file and the readout's weights."""
    rng = np.random.default_rng(seed)
    onto = rng.normal(0, 0.3, (4, 20))
    last = li(4, MEM, v_leak=leak) if kind == "LI" else cuba_li(4, MEM, SYN, v_leak=leak)
    nodes = {
        "input": port("Input", 8),
        "fc1": linear(rng.normal(0.1, 0.15, (20, 8))),
        "lif1": cuba_lif(20),
        "fc2": linear(onto),
        "out": last,
        "output": port("Output", 4),
    }
    return write(path, nodes), onto


def raster_of(seed: int, steps: int = 400) -> Array:
    raster: Array = (np.random.default_rng(seed).random((steps, 8)) < 0.15).astype(np.uint8)
    return raster


def network(program: nirc.Program) -> xylo.NetworkOp:
    (op,) = program.module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def scale_of(program: nirc.Program) -> float:
    scale = network(program).readout.numbers("scale")
    assert len(np.unique(scale)) == 1, "one for all, or the largest could not be told"
    return float(scale[0])


@dataclass
class Run:
    """The chip's Vmem [T, N] in LSB, the hidden spikes, and the scale."""

    program: nirc.Program
    membrane: Array
    hidden: Array
    scale: float


def run(path: Path, raster: Array, calibrate: str | None = None) -> Run:
    program = nirc.compile(path, "xylo", calibrate=calibrate)
    got = program.run(raster, record=("lif1.spikes", "out.spikes"))
    assert got["lif1.spikes"].sum() > 200
    assert not got["out.spikes"].any(), "no readout neuron may ever fire"
    return Run(program, got["output"].astype(int), got["lif1.spikes"].astype(int), scale_of(program))


def readout(spikes: Array, onto: Array, kind: str, leak: float) -> Array:
    """The model's last layer at dt on spikes of the step before: r = tau/dt, so a spike adds its weight.

    LI: v += -v/16 + leak/16 + W z. CubaLI: i += -i/4 + W z; v += -v/16 + leak/16 + i.
    """
    i, v = np.zeros(len(onto)), np.zeros(len(onto))
    late = np.concatenate([np.zeros_like(spikes[:1]), spikes[:-1]])
    found: Array = np.zeros((len(spikes), len(onto)))
    for t, z in enumerate(late):
        i = (1 - 1 / SYN) * i + onto @ z if kind == "CubaLI" else onto @ z
        v = (1 - 1 / MEM) * v + i + leak / MEM
        found[t] = v
    return found


def rounding(spikes: Array, shift: int, factor: float = 1.0) -> Array:
    """A bound of |Vmem - scale v| in LSB: half a unit of weight a spike, 1 a step for each state, 1/2 for the bias."""
    late = np.concatenate([np.zeros_like(spikes[:1]), spikes[:-1]])
    i = v = 0.0
    found: Array = np.zeros(len(spikes))
    for t, z in enumerate(late):
        i = (1 - 1 / SYN) * (i + 0.5 * 2**shift * float(z.sum())) + 1
        v = (1 - 1 / MEM) * v + i + 1 + 0.5
        found[t] = v
    return factor * found


@pytest.mark.parametrize("leak", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_rounding_is_all_that_a_cubali_readout_loses(tmp_path: Path, seed: int, leak: float) -> None:
    """Against the model's readout on the chip's hidden spikes, within the bound at every step."""
    path, onto = model(tmp_path / "model.nir", "CubaLI", seed, leak)
    got = run(path, raster_of(seed))
    op = network(got.program)
    assert op.readout.numbers("dash_mem").tolist() == [4] * 4
    assert op.readout.numbers("dash_syn").tolist() == [2] * 4
    wanted = got.scale * readout(got.hidden, onto, "CubaLI", leak)
    error = np.abs(got.membrane - wanted).max(axis=1)
    bound = rounding(got.hidden, op.readout.weight_shift.value.data)
    print(f"\nlargest error {error.max():.0f} LSB of {np.abs(wanted).max():.0f}, bound {bound.max():.0f}")
    assert np.all(error <= bound)
    assert error.max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_membrane_of_the_float_network(tmp_path: Path, seed: int, kind: str) -> None:
    """A step late. The hidden spikes differ here and there, which the membrane averages."""
    path, _ = model(tmp_path / "model.nir", kind, seed)
    raster = raster_of(10 + seed)
    got = run(path, raster)
    wanted: Array = nirc.compile(path, dt=1e-3, scheme=FLOAT).run(raster)[:-1]
    found: Array = got.membrane[1:] / got.scale
    correlation = float(np.corrcoef(wanted.ravel(), found.ravel())[0, 1])
    missed, spread = (float(np.square(values).sum()) for values in (wanted - found, wanted - wanted.mean()))
    error = math.sqrt(missed / spread)
    agree = np.count_nonzero(np.argmax(wanted[20:], axis=1) == np.argmax(found[20:], axis=1)) / len(found[20:])
    print(f"\n{kind} {seed}: correlation {correlation:.4f}, error {error:.3f} of the spread, argmax {agree:.1%}")
    assert correlation > 0.97
    assert error < 0.25
    assert agree > 0.85
    assert wanted.mean(axis=0).argmax() == found.mean(axis=0).argmax()


@pytest.mark.parametrize("kind", KINDS)
def test_the_range_is_used(tmp_path: Path, kind: str) -> None:
    """The largest |v| of the raster of the scales takes 11 bits and more of 15:
    otherwise the decay's rounding, an LSB a step, would be a visible part of v."""
    path, _ = model(tmp_path / "model.nir", kind)
    raster = raster_of(4)
    np.save(tmp_path / "raster.npy", raster)
    got = run(path, raster, calibrate=str(tmp_path / "raster.npy"))
    assert 2**11 <= np.abs(got.membrane).max() < 32767


def test_the_threshold_is_out_of_reach(tmp_path: Path) -> None:
    """32767, and strong input of one sign for long does not make it fire."""
    path, _ = model(tmp_path / "model.nir", "CubaLI")
    program = nirc.compile(path, "xylo")
    assert network(program).readout.numbers("threshold").tolist() == [32767] * 4
    got = program.run(np.full((500, 8), 15, np.uint8), record=("out.spikes", "lif1.spikes"))
    assert got["lif1.spikes"].any()
    assert not got["out.spikes"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_cfg_json_reads_back(tmp_path: Path, kind: str) -> None:
    """The file names what is read by its membrane; `nirc run cfg.json` gives the same raster."""
    from nirc.cli import main
    from nirc.driver import load_config

    path, _ = model(tmp_path / "model.nir", kind)
    raster = raster_of(5)
    got = run(path, raster)
    got.program.save(tmp_path / "cfg.json")
    assert json.loads((tmp_path / "cfg.json").read_text())["nirc"]["layers"]["membranes"] == ["out"]
    again = load_config(str(tmp_path / "cfg.json"), "xylo")
    assert np.array_equal(again.run(raster), got.membrane)
    np.save(tmp_path / "in.npy", raster)
    with pytest.raises(SystemExit) as stop:
        main(["run", str(tmp_path / "cfg.json"), "--input", str(tmp_path / "in.npy"), "-o", str(tmp_path / "out.npy")])
    assert stop.value.code in (0, None)
    assert np.array_equal(np.load(tmp_path / "out.npy"), got.membrane)


@pytest.mark.parametrize("kind", KINDS)
def test_the_vendors_simulator_has_the_same_vmem(oracle: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    path, _ = model(tmp_path / "model.nir", kind)
    raster = raster_of(6)
    got = run(path, raster)
    spec = json.loads(got.program.emit())["spec"]
    items = [{"core": 2, "spec": spec, "calls": [{"reset": False, "raster": raster.tolist()}]}]
    (tmp_path / "networks.json").write_text(json.dumps(items))
    subprocess.run([oracle("xylosim"), RUNNER, "networks.json", "states.npz"], cwd=tmp_path, check=True)
    with np.load(tmp_path / "states.npz") as archive:
        assert np.array_equal(archive["0.0.Vmem_out"], got.membrane)
        assert not archive["0.0.out"].any()


def test_spikes_and_a_membrane_leave_one_chip(tmp_path: Path) -> None:
    """Two outputs, one of spikes and one of Vmem; both as if they were alone."""
    rng = np.random.default_rng(1)
    nodes = {
        "input": port("Input", 8),
        "fc1": linear(rng.normal(0.1, 0.15, (20, 8))),
        "lif1": cuba_lif(20),
        "fc2": linear(rng.normal(0, 0.3, (4, 20))),
        "out": cuba_li(4, MEM, SYN),
        "membrane": port("Output", 4),
        "fc3": linear(rng.normal(0.1, 0.2, (3, 20))),
        "lif2": cuba_lif(3),
        "spikes": port("Output", 3),
    }
    edges = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "out"), ("out", "membrane")]
    edges += [("lif1", "fc3"), ("fc3", "lif2"), ("lif2", "spikes")]
    program = nirc.compile(write(tmp_path / "model.nir", nodes, edges), "xylo")
    got = program.run(raster_of(1), record=("out.v", "lif2.spikes", "out.spikes"))
    assert np.array_equal(got["membrane"], got["out.v"])
    assert np.array_equal(got["spikes"], got["lif2.spikes"])
    assert got["membrane"].dtype == np.int16
    assert got["spikes"].any()
    assert not got["out.spikes"].any()
