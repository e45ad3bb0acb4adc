"""The file against the documented loader on a stub of py-spinnaker2, and against the checker for whole models."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nirc

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2]))
from blocks import run_by
from spinnaker2_networks import checker

ROOT = Path(__file__).parents[3]


class Network(list[Any]):
    """Collects what is added."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def add(self, *parts: Any) -> None:
        self.extend(parts)


def population(size: int, neuron_model: str, params: Any, name: str, record: list[str]) -> Any:
    made = SimpleNamespace(kind="population", size=size, neuron_model=neuron_model, params=params, name=name)
    made.record, made.atoms = record, None

    def set_atoms(n: int) -> None:
        made.atoms = n

    made.set_max_atoms_per_core = set_atoms
    return made


def projection(pre: Any, post: Any, connections: Any) -> Any:
    return SimpleNamespace(kind="list", ends=(pre, post), held=connections)


def convolution(pre: Any, post: Any, weights: Any, params: Any) -> Any:
    return SimpleNamespace(kind="conv2d", ends=(pre, post), held=weights, params=params)


def test_the_documented_loader_makes_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One to one, on a stub that has the names and the order of arguments of the specification's section 1."""
    snn = SimpleNamespace(Network=Network, Population=population, Projection=projection, Conv2DProjection=convolution)
    monkeypatch.setitem(sys.modules, "spinnaker2", SimpleNamespace(snn=snn, hardware=SimpleNamespace()))  # pyright: ignore[reportArgumentType]
    loader: dict[str, Any] = {}
    exec(run_by(__file__), loader)
    one = nirc.compile(str(ROOT / "examples" / "edges.nir"), "spinnaker2")
    one.save(tmp_path / "cfg.json")
    config = json.loads((tmp_path / "cfg.json").read_text())
    ((name, shape),) = one.inputs.items()
    raster = (np.random.default_rng(0).random((9, *shape)) < 0.2).astype(np.uint8)
    network, populations = loader["build"](tmp_path / "cfg.json", {name: raster})
    assert network.name == config["name"]
    assert [part.kind for part in network] == ["population"] * 3 + ["conv2d", "list"]
    for item in config["populations"]:
        made = populations[item["name"]]
        assert (made.size, made.neuron_model, made.record) == (item["size"], item["neuron_model"], item["record"])
        if item["neuron_model"] == "spike_list":
            flat = raster.reshape(9, -1)
            assert made.params == {n: np.flatnonzero(flat[:, n]).tolist() for n in range(item["size"])}
        else:
            assert made.params == item["params"]
            assert made.atoms == item["max_atoms_per_core"]
    for item, made in zip(config["projections"], list(network)[3:], strict=True):
        assert made.ends == (populations[item["pre"]], populations[item["post"]])
        if made.kind == "list":
            assert made.held == item["connections"]
        else:
            assert made.held.dtype == np.int8
            assert np.array_equal(made.held, item["weights"])
            assert made.params == item["params"]


MODELS = ["digits", "digits_recurrent", "digits_conv", "edges", "gestures"]


@pytest.mark.parametrize("model", MODELS)
def test_the_checker_accepts_and_agrees(shared: Path, model: str) -> None:
    """Spikes and v of every population of the shipped models, bit for bit."""
    agree(checker(shared), nirc.compile(str(ROOT / "examples" / f"{model}.nir"), "spinnaker2"))


PAPER = {"cnn_sinabs": 54, "braille_noDelay_bias_zero": 3, "braille_noDelay_noBias_subtract": 3, "lif_norse": 2}


@pytest.mark.parametrize("model", PAPER)
def test_the_papers_models(shared: Path, model: str) -> None:
    """The same for those of the NIR paper; cores as the target's page has them."""
    dt = 1e-3 if model == "cnn_sinabs" else 1e-4
    one = nirc.compile(str(shared / "models" / f"{model}.nir"), "spinnaker2", dt=dt, reset="zero")
    lines = agree(checker(shared), one)
    assert any(line.endswith(f"{PAPER[model]} cores of 148 on one chip") for line in lines), lines


def agree(check: Any, one: nirc.Program) -> list[str]:
    """Hold a program's file and its run against the checker's."""
    config, report, ticks = json.loads(one.emit()), check.Report(), 20
    _, incoming = check.check(config, report, ticks)
    assert report.err == 0, report.lines
    rng = np.random.default_rng(3)
    rasters = {name: (rng.random((ticks, *shape)) < 0.3).astype(np.uint8) for name, shape in one.inputs.items()}
    flat = {name: raster.reshape(ticks, -1) for name, raster in rasters.items()}
    expected = check.simulate_numpy(config, incoming, flat, ticks)
    neurons = [item["name"] for item in config["populations"] if item["neuron_model"] != "spike_list"]
    record = tuple(f"{name}.{state}" for name in neurons for state in ("spikes", "v"))
    found = one.run(rasters, record)
    for name in neurons:
        for state in ("spikes", "v"):
            own = found[f"{name}.{state}"].reshape(ticks, -1)
            assert np.array_equal(own, expected[name][state]), (name, state)
    assert any(expected[name]["spikes"].any() for name in neurons)
    return list(report.lines)


def test_compiling_takes_less_than_three_imports(shared: Path) -> None:
    """CPU time of compiling against that of importing what it needs, in a process of its own."""
    program = (
        "import sys, time\nstart = time.process_time()\nimport nirc, nirc.driver\nfrom nirc.backends import BACKENDS\n"
        "BACKENDS['spinnaker2']()\nimported = time.process_time()\n"
        "nirc.compile(sys.argv[1], 'spinnaker2', dt=1e-3, reset='zero').emit()\n"
        "print(time.process_time() - imported, imported - start)"
    )
    model = str(shared / "models" / "cnn_sinabs.nir")

    def ratio() -> float:
        command = [sys.executable, "-c", program, model]
        output = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
        took, imports = map(float, output.split())
        return took / imports

    best = ratio()
    until = time.monotonic() + 60
    while best >= 3 and time.monotonic() < until:
        best = min(best, ratio())
    assert best < 3


def test_what_is_a_guess_stays_in_the_file() -> None:
    """`nirc.unverified`, the assumptions, the names of nodes."""
    config = json.loads(nirc.compile(str(ROOT / "examples" / "edges.nir"), "spinnaker2").emit())
    assert any("v_init" in text and "guesses" in text for text in config["nirc"]["unverified"])
    assert any(item["topic"] == "estimate" for item in config["nirc"]["assumptions"])
    assert config["sys_tick_s"] == 1e-3
