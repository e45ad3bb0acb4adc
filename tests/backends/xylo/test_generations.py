"""Every generation of the chip: small networks of all kinds, and what its own limits let through and refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import PassFailedException

import nirc
from nirc.dialects import xylo
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parent))
from nir_models import Node, cuba_li, cuba_lif, lif, linear, port, write

CHIPS = ("v1", "audio2", "audio3", "imu")
READOUTS = {"v1": 8, "audio2": 8, "audio3": 32, "imu": 16}
"""Specification, section 4."""
REACH = 128
"""Audio 3 and IMU: inputs reach the first so many hidden neurons, the readout reads the last so many."""

Judge = Callable[[nirc.Program, Array, Array, str], dict[str, Any]]


def chain(path: Path, sizes: list[int], last: Callable[[int], Node] = cuba_lif, seed: int = 0) -> Path:
    """Input, Linear, CubaLIF, ..., Output; every neuron has 4 sources, so that large layers stay sparse."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Node] = {"input": port("Input", sizes[0])}
    for n, (before, size) in enumerate(pairwise(sizes), 1):
        weight = np.zeros((size, before))
        for row in weight:
            row[rng.choice(before, min(4, before), replace=False)] = rng.uniform(0.1, 0.5, min(4, before))
        if size <= 16:
            weight[np.arange(before) % size, np.arange(before)] = 0.2  # every source is read
        nodes[f"fc{n}"] = linear(weight)
        nodes[f"lif{n}"] = cuba_lif(size) if n < len(sizes) - 1 else last(size)
    nodes["output"] = port("Output", sizes[-1])
    return write(path, nodes)


def network(program: nirc.Program) -> xylo.NetworkOp:
    (op,) = program.module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def raster_of(channels: int, steps: int = 200, rate: float = 0.3) -> Array:
    raster: Array = (np.random.default_rng(1).random((steps, channels)) < rate).astype(np.uint8)
    return raster


@pytest.fixture
def judge(shared: Path, oracle: Callable[[str], str], tmp_path: Path) -> Judge:
    """The checker's verdict on an emitted file: its own table of limits, and xylosim's spikes."""
    checker, python = shared / "checks" / "xylo_check.py", oracle("xylosim")

    def check(program: nirc.Program, raster: Array, output: Array, chip: str) -> dict[str, Any]:
        program.save(tmp_path / "cfg.json")
        np.save(tmp_path / "input.npy", raster)
        np.save(tmp_path / "expect.npy", output)
        arguments = ["cfg.json", "--input", "input.npy", "--expect", "expect.npy", "--chip", chip]
        done = subprocess.run([python, checker, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    return check


def options_for(chip: str) -> dict[str, Any]:
    """v1 wants one threshold for all readout neurons, which scales per layer give."""
    return {"chip": chip} | ({"quantize": "layer"} if chip == "v1" else {})


@pytest.mark.parametrize("chip", CHIPS)
def test_a_chain(judge: Judge, tmp_path: Path, chip: str) -> None:
    model = chain(tmp_path / "model.nir", [6, 10, 8, 4])
    program = nirc.compile(model, "xylo", **options_for(chip))
    raster = raster_of(6)
    output = program.run(raster)
    assert output.any()
    report = judge(program, raster, output, chip)
    assert report["valid"] is True
    assert report["matches_expected"] is True
    assert network(program).chip.data == chip


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_a_relay(judge: Judge, tmp_path: Path, chip: str, kind: str) -> None:
    """A single layer: its copy is exact on every chip, and the file is valid there."""
    weight = np.random.default_rng(2).uniform(-0.1, 0.5, (5, 6))
    nodes = {
        "input": port("Input", 6),
        "fc": linear(weight),
        "lif": lif(5) if kind == "LIF" else cuba_lif(5),
        "output": port("Output", 5),
    }
    program = nirc.compile(write(tmp_path / "model.nir", nodes), "xylo", chip=chip)
    raster = raster_of(6, 1000)
    got = program.run(raster, record=("lif.spikes",))
    spikes = got["lif.spikes"]
    assert spikes.any()
    assert np.array_equal(got["output"][1:], spikes[:-1] > 0)
    assert judge(program, raster, got["output"], chip)["valid"] is True


@pytest.mark.parametrize("chip", CHIPS)
def test_a_membrane(tmp_path: Path, chip: str) -> None:
    model = chain(tmp_path / "model.nir", [6, 10, 3], last=cuba_li)
    program = nirc.compile(model, "xylo", chip=chip)
    got = program.run(raster_of(6), record=("lif2.spikes",))
    wanted = nirc.compile(model, dt=1e-3, scheme="nir-euler,reset=subtract,v_init=0").run(raster_of(6))
    found = got["output"][1:].ravel().astype(float)
    assert np.corrcoef(found, wanted[:-1].ravel())[0, 1] > 0.97
    assert not got["lif2.spikes"].any()


# Their limits


@pytest.mark.parametrize("chip", CHIPS)
def test_readouts(tmp_path: Path, chip: str) -> None:
    """As many as the chip has, and one more."""
    most = READOUTS[chip]
    program = nirc.compile(chain(tmp_path / "model.nir", [4, 6, most]), "xylo", **options_for(chip))
    assert network(program).readout.size == most
    with pytest.raises(PassFailedException, match=f"{most + 1} readout neurons .*, the chip has {most}"):
        nirc.compile(chain(tmp_path / "model.nir", [4, 6, most + 1]), "xylo", **options_for(chip))


@pytest.mark.parametrize("chip", CHIPS)
def test_relays_count_as_readouts(tmp_path: Path, chip: str) -> None:
    most = READOUTS[chip]

    def single(size: int) -> Path:
        nodes = {"input": port("Input", 2), "fc": linear(np.ones((size, 2))), "lif": lif(size)}
        return write(tmp_path / "model.nir", {**nodes, "output": port("Output", size)})

    op = network(nirc.compile(single(most), "xylo", chip=chip))
    assert (op.hidden.size, op.readout.size) == (2 * most, most)
    with pytest.raises(PassFailedException, match=f"{most + 1} readout neurons .*, the chip has {most}"):
        nirc.compile(single(most + 1), "xylo", chip=chip)


@pytest.mark.parametrize("chip", ["audio3", "imu"])
def test_inputs_reach_128_hidden_neurons(tmp_path: Path, chip: str) -> None:
    program = nirc.compile(chain(tmp_path / "model.nir", [4, REACH, 10, 3]), "xylo", chip=chip)
    assert network(program).input.numbers("weights").shape == (4, REACH, 1)
    assert program.run(raster_of(4)).any()
    with pytest.raises(PassFailedException, match="reach"):
        nirc.compile(chain(tmp_path / "model.nir", [4, REACH + 1, 10, 3]), "xylo", chip=chip)


@pytest.mark.parametrize("chip", ["audio3", "imu"])
def test_the_readout_reads_128_hidden_neurons(tmp_path: Path, chip: str) -> None:
    program = nirc.compile(chain(tmp_path / "model.nir", [4, 10, REACH, 3]), "xylo", chip=chip)
    assert network(program).readout.numbers("weights").shape == (REACH, 3)
    assert program.run(raster_of(4)).any()
    with pytest.raises(PassFailedException, match="read"):
        nirc.compile(chain(tmp_path / "model.nir", [4, 10, REACH + 1, 3]), "xylo", chip=chip)


@pytest.mark.parametrize("chip", ["v1", "audio2"])
def test_the_older_chips_reach_all(tmp_path: Path, chip: str) -> None:
    program = nirc.compile(chain(tmp_path / "model.nir", [4, REACH + 1, 3]), "xylo", **options_for(chip))
    assert network(program).input.numbers("weights").shape == (4, REACH + 1, 1)


@pytest.mark.parametrize("chip", ["audio3", "imu"])
def test_a_relayed_layer_at_the_far_end(tmp_path: Path, chip: str) -> None:
    """116 neurons of another layer lie between a relayed layer of 4, its 4 helpers behind them, and the end: of the
    last 128 hidden neurons the relayed ones are the first; with 8 more they are out of reach, which is refused."""

    def model(between: int) -> Path:
        rng = np.random.default_rng(3)
        weight = np.zeros((between, 4))
        weight[np.arange(between), rng.integers(0, 4, between)] = 0.5
        onto = np.zeros((2, between))
        onto[rng.integers(0, 2, between), np.arange(between)] = 0.1
        nodes = {
            "input": port("Input", 4),
            "fc1": linear(rng.uniform(0.1, 0.3, (4, 4))),
            "lif1": cuba_lif(4),
            "inside": port("Output", 4),
            "fc2": linear(weight),
            "lif2": cuba_lif(between),
            "fc3": linear(onto),
            "lif3": cuba_lif(2),
            "output": port("Output", 2),
        }
        order = ["input", "fc1", "lif1", "fc2", "lif2", "fc3", "lif3", "output"]
        return write(tmp_path / "m.nir", nodes, [*pairwise(order), ("lif1", "inside")])

    program = nirc.compile(model(REACH - 8), "xylo", chip=chip)
    got = program.run(raster_of(4), record=("lif1.spikes",))
    assert got["lif1.spikes"].any()
    assert np.array_equal(got["inside"][1:], got["lif1.spikes"][:-1] > 0)
    with pytest.raises(PassFailedException, match="read"):
        nirc.compile(model(REACH), "xylo", chip=chip)


def test_v1_wants_equal_readout_thresholds(tmp_path: Path) -> None:
    """Scales per neuron give unequal ones; the message names what would do."""
    model = chain(tmp_path / "model.nir", [4, 6, 3])
    with pytest.raises(PassFailedException, match="threshold") as refused:
        nirc.compile(model, "xylo", chip="v1")
    assert "layer" in str(refused.value)
