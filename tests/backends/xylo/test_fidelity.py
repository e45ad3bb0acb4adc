"""How many spikes of the float network the chip's evaluator keeps: the faithful mapping beside the vendor's.

F1 = 2 sum(min) / (sum + sum) of spike counts per step and neuron, so surplus spikes count; aligned by latency, the n-th
layer of a chain answers n steps late. The float network is the `snn` step in the form that the chip has: nir-euler,
reset by subtraction, states from 0. `pytest -s` prints the table; `python3 test_fidelity.py` prints it in Markdown.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nirc
from nirc.dialects import xylo
from nirc.dialects.dense import Array

SHARED = Path(os.environ.get("NIRC_SHARED", Path(__file__).parents[4] / "shared"))
FLOAT = "nir-euler,reset=subtract,v_init=0"
PER = {"global": "layer", "channel": "neuron"}
CASES = ("ff_pow2", "rec_hetero", "deep3", "saturation", "bias", "braille recovered")


@dataclass(frozen=True)
class Case:
    """A model, its time step, a raster [T, channels], and how the vendor's scales are grouped."""

    model: Path
    dt: float
    raster: Array
    per: str


def case_of(name: str) -> Case:
    if name == "braille recovered":
        raster = np.load(SHARED / "cases" / "braille_recorded" / "braille_ds_test0_input_recovered.npy")
        model = SHARED / "models" / "braille_noDelay_noBias_subtract.nir"
        return Case(model, 1e-4, raster.reshape(-1, raster.shape[-1]).astype(np.uint8), "neuron")
    folder = SHARED / "cases" / "xylo" / name
    made = json.loads((folder / "case.json").read_text())
    return Case(folder / "model.nir", made["dt"], np.load(folder / "input.npy"), PER[made["quantizer"]])


def network(program: nirc.Program) -> xylo.NetworkOp:
    (op,) = program.module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def f1(wanted: list[Array], found: list[Array]) -> float:
    """Spike coincidence over several rasters at once; nothing on both sides has failed."""
    both = sum(int(np.minimum(w, f).sum()) for w, f in zip(wanted, found, strict=True))
    total = sum(int(w.sum() + f.sum()) for w, f in zip(wanted, found, strict=True))
    return 2 * both / total if total else 0.0


@dataclass(frozen=True)
class Score:
    """Coincidence of one configuration, and spikes per layer."""

    layers: tuple[float, ...]
    total: float
    found: tuple[int, ...]
    wanted: tuple[int, ...]

    @property
    def mean(self) -> float:
        return sum(self.layers) / len(self.layers)

    @property
    def readout(self) -> float:
        return self.layers[-1]

    @property
    def hidden(self) -> float:
        return sum(self.layers[:-1]) / len(self.layers[:-1])


def spikes(program: nirc.Program, raster: Array, hidden: list[str]) -> list[Array]:
    """The spikes [T, N] of each hidden layer and of the output."""
    got = program.run(raster, record=tuple(f"{name}.spikes" for name in hidden))
    (output,) = [got[key] for key in got if not key.endswith(".spikes")]
    return [raster.astype(np.int64) for raster in (*(got[f"{name}.spikes"] for name in hidden), output)]


def score(wanted: list[Array], found: list[Array], part: slice) -> Score:
    """Both over a part of the steps, which the float network's spikes enter late, each layer by its place."""
    late = [np.concatenate([np.zeros_like(w[:n]), w[: len(w) - n]]) for n, w in enumerate(wanted)]
    late, found = [w[part] for w in late], [f[part] for f in found]
    each = tuple(f1([w], [f]) for w, f in zip(late, found, strict=True))
    return Score(each, f1(late, found), tuple(int(f.sum()) for f in found), tuple(int(w.sum()) for w in late))


@dataclass(frozen=True)
class Comparison:
    """Scores by configuration and part of the raster (whole, second half), and the emitted numbers."""

    scores: dict[tuple[str, str], Score]
    emitted: dict[str, dict[str, Any]]


@cache
def comparison(name: str, folder: Path) -> Comparison:
    """The vendor's mapping, nirc's own, and nirc's own with scales by the first half of the raster."""
    case = case_of(name)
    half = len(case.raster) // 2
    np.save(folder / "half.npy", case.raster[:half])
    real = nirc.compile(case.model, dt=case.dt, scheme=FLOAT)
    configurations = {
        "vendor": nirc.compile(case.model, "xylo", dt=case.dt, mapping="vendor", quantize=case.per),
        "faithful": nirc.compile(case.model, "xylo", dt=case.dt),
        "calibrated": nirc.compile(case.model, "xylo", dt=case.dt, calibrate=str(folder / "half.npy")),
    }
    hidden = list(network(configurations["vendor"]).hidden.sizes())
    wanted = spikes(real, case.raster, hidden)
    scores = dict[tuple[str, str], Score]()
    for key, program in configurations.items():
        found = spikes(program, case.raster, hidden)
        for part, steps in (("whole", slice(None)), ("second half", slice(half, None))):
            scores[key, part] = score(wanted, found, steps)
    emitted = {key: json.loads(program.emit())["spec"] for key, program in configurations.items()}
    return Comparison(scores, emitted)


def table(folder: Path) -> str:
    """F1 in Markdown: all layers together, their mean, the readout; hidden spikes beside the float network's."""
    lines = [
        "| case | steps | configuration | all spikes | mean of layers | hidden | readout | hidden spikes (float) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in CASES:
        for (key, part), got in comparison(name, folder).scores.items():
            figures = " | ".join(f"{x:.3f}" for x in (got.total, got.mean, got.hidden, got.readout))
            counts = f"{sum(got.found[:-1])} ({sum(got.wanted[:-1])})"
            lines.append(f"| {name} | {part} | {key} | {figures} | {counts} |")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the halves of the rasters lie; the test skips without the shared cases."""
    return tmp_path_factory.mktemp("halves")


@pytest.mark.parametrize("part", ["whole", "second half"])
@pytest.mark.parametrize("key", ["faithful", "calibrated"])
@pytest.mark.parametrize("name", CASES)
def test_at_least_the_vendors_coincidence(name: str, key: str, part: str, folder: Path) -> None:
    scores = comparison(name, folder).scores
    ours, theirs = scores[key, part], scores["vendor", part]
    assert all(count > 0 for count in ours.wanted)
    assert all(count > 0 for count in ours.found)
    assert ours.readout > 0
    assert ours.total > 0
    assert ours.total >= theirs.total
    assert ours.mean >= theirs.mean
    assert ours.readout >= theirs.readout


@pytest.mark.parametrize("name", CASES)
def test_the_configurations_differ(name: str, folder: Path) -> None:
    emitted = comparison(name, folder).emitted
    assert emitted["faithful"] != emitted["vendor"]
    assert emitted["calibrated"] != emitted["vendor"]


@pytest.mark.parametrize("key", ["faithful", "calibrated"])
def test_the_hidden_spikes_of_braille(key: str, folder: Path) -> None:
    """Within 20 % of the float network's."""
    got = comparison("braille recovered", folder).scores[key, "whole"]
    assert got.wanted[0] > 100
    assert abs(got.found[0] / got.wanted[0] - 1) <= 0.2


def test_a_bad_configuration_scores_less(folder: Path) -> None:
    """The measure itself: shifted by a step, or with surplus spikes, a raster coincides less than with itself."""
    case = case_of("ff_pow2")
    real = nirc.compile(case.model, dt=case.dt, scheme=FLOAT)
    hidden = list(network(nirc.compile(case.model, "xylo", dt=case.dt)).hidden.sizes())
    wanted = spikes(real, case.raster, hidden)
    late = [np.concatenate([np.zeros_like(w[:n]), w[: len(w) - n]]) for n, w in enumerate(wanted)]
    assert score(wanted, late, slice(None)).total == 1
    assert score(wanted, [np.roll(w, 1, axis=0) for w in late], slice(None)).total < 0.75
    assert score(wanted, [3 * w for w in late], slice(None)).total == pytest.approx(0.5)
    assert score(wanted, [0 * w for w in late], slice(None)).total == 0


def test_the_table(folder: Path) -> None:
    text = table(folder)
    print(f"\n{text}")
    assert len(text.splitlines()) == 2 + 6 * len(CASES)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        print(table(Path(name)))
