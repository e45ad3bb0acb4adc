"""Compiled kernels against exporters' own runs and against recordings; and bit for bit against the evaluator."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nirc

sys.path.append(str(Path(__file__).parent))
from same_results import assert_same, recordable

SHARED = Path(os.environ.get("NIRC_SHARED", Path(__file__).parents[4] / "shared"))
"""As the fixture `shared` finds it: the cases are named when tests are collected."""
EXPORTS = sorted(path.stem for path in (SHARED / "cases" / "exports").glob("*.nir"))


def test_the_cases_are_those_of_the_fixture(shared: Path) -> None:
    assert shared == SHARED
    assert len(EXPORTS) == 21


@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_gives_the_output_of_its_framework(case: str) -> None:
    path = SHARED / "cases" / "exports" / f"{case}.nir"
    with np.load(path.with_suffix(".npz")) as held:
        x, expected, meta = held["x"], held["out"].astype(np.float64), json.loads(str(held["meta"]))
    scheme = ",".join([meta["preset"], *(f"{option}={value}" for option, value in meta["overrides"].items())])
    model = nirc.load(path, fixes=[meta["fix"]] if meta["fix"] else [])
    options: dict[str, Any] = {"dt": meta["dt_recover"], "scheme": scheme}
    evaluator, kernel = (nirc.compile(model, target, **options) for target in (None, "cpu"))
    record = recordable(evaluator)
    (name,) = evaluator.inputs
    results = kernel.run({name: x}, record)
    assert_same(results, evaluator.run({name: x}, record))
    (output,) = results.keys() - set(record)
    if meta["check"]["mismatched_spikes"] is None:
        assert np.abs(results[output] - expected).max() <= 1e-5
    else:
        assert expected.sum() > 0
        assert np.count_nonzero(results[output] != expected) == 0


@pytest.mark.parametrize(
    ("model", "platform", "scheme"),
    [
        ("noDelay_bias_zero", "norse", "norse"),
        ("noDelay_noBias_subtract", "snntorch", "snntorch-subtract"),
        ("noDelay_bias_zero", "spyx", "spyx-0.1,rec_bias=true"),
        ("noDelay_noBias_subtract", "spyx", "spyx-0.1"),
        ("noDelay_bias_zero", "nengo", "nengo"),
        ("noDelay_noBias_subtract", "nengo", "nengo"),
    ],
)
def test_braille_spikes_are_the_recorded_ones(shared: Path, model: str, platform: str, scheme: str) -> None:
    cases = shared / "cases" / "braille_recorded"
    kernel = nirc.compile(shared / "models" / f"braille_{model}.nir", "cpu", dt=1e-4, scheme=scheme)
    x = np.load(cases / "braille_ds_test0_input_recovered.npy")
    spikes = kernel.run({"input": x}, ("lif1.lif.spikes",))["lif1.lif.spikes"]
    recorded = np.load(cases / f"{platform}_activity_{model}.npy")
    assert recorded.sum() > 100
    assert np.count_nonzero(spikes != recorded.astype(np.float64)) == 0


@pytest.mark.parametrize(
    ("recording", "scheme"),
    [
        ("norse", "norse"),
        ("snntorch", "snntorch"),
        ("sinabs", "sinabs,gain_lif=dt/tau"),
        ("rockpool", "rockpool,gain_lif=dt/tau"),
        ("spyx", "spyx-0.1"),
        ("nengo", "nengo"),
        ("lava_cpu_float", "lava"),
        ("spinnaker2", "s2-nir,dense_delay=0"),
        ("exact", "nir-exact-zoh,reset=subtract"),
    ],
)
def test_the_spikes_of_one_lif_neuron_are_the_recorded_ones(shared: Path, recording: str, scheme: str) -> None:
    x, _, spikes = np.loadtxt(shared / "cases" / "paper_lif" / f"lif_{recording}.csv", delimiter=",").T
    kernel = nirc.compile(shared / "models" / "lif_norse.nir", "cpu", dt=1e-4, scheme=scheme)
    result = kernel.run({"input": (x > 0).astype(np.float64)[:, None]}, ("1.spikes",))["1.spikes"]
    assert np.flatnonzero(result).tolist() == np.flatnonzero(spikes).tolist()
    assert len(np.flatnonzero(spikes)) == 4
