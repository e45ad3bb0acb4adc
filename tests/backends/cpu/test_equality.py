"""Models of papers, frameworks and other tools' test suites: the kernel equals the evaluator bit for bit, in f32 and
f64, states and spikes too; and what both give is what references and recordings from outside nirc say."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nirc
from nirc.dialects.dense import Array
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2]))
from same_results import Pair, events, graded
from test_peers import ORACLES, PEERS, READ, REFERENCED, arrays

TESTS = Path(__file__).parents[2]
SHARED = Path(os.environ.get("NIRC_SHARED", TESTS.parent.parent / "shared"))
EXAMPLES = TESTS.parent / "examples"
PRECISIONS = ("f32", "f64")

precisions = pytest.mark.parametrize("precision", PRECISIONS)


def rasters_for(pair: Pair, steps: int, kind: str, batch: int | None = None) -> dict[str, Array]:
    """Random rasters; events are bytes."""
    rng = np.random.default_rng(len(kind))
    make = events if kind == "events" else graded
    lead = (steps,) if batch is None else (steps, batch)
    return {name: make(rng, *lead, *shape) for name, shape in pair.inputs.items()}


def as_float(values: Array) -> Array:
    return values.astype(np.float64)


# Other tools' test suites


def drive(case: str) -> dict[str, Array]:
    """The rasters that come with a case."""
    return {name[4:]: values for name, values in arrays(case).items() if name.startswith("in__")}


def dt_of(case: str) -> float:
    return json.loads((PEERS / case / "meta.json").read_text())["dt"]


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("case", REFERENCED)
def test_a_peers_case_gives_its_reference(case: str, oracle: str) -> None:
    v_init, reset = ORACLES[oracle]
    scheme = f"nir-euler,if_gain=r*dt,v_init={v_init}"
    pair = Pair(PEERS / case / "graph.nir", dt=dt_of(case), scheme=scheme, reset=reset, precision="f64")
    results = pair.run(drive(case))
    head = f"out__{oracle}__"
    expected = {name.removeprefix(head): v for name, v in arrays(case).items() if name.startswith(head)}
    assert expected
    for name, values in expected.items():
        found = as_float(results[name].reshape(values.shape))
        if set(np.unique(values)) <= {0.0, 1.0}:
            np.testing.assert_array_equal(found, values)
        else:
            np.testing.assert_allclose(found, values, rtol=0, atol=1e-9)


@precisions
@pytest.mark.parametrize("case", REFERENCED)
def test_a_peers_case(case: str, precision: str) -> None:
    """Its own drive, and events in bytes, two samples at once."""
    pair = Pair(PEERS / case / "graph.nir", dt=dt_of(case), reset="subtract", precision=precision)
    pair.run(drive(case))
    pair.run(rasters_for(pair, 30, "events", batch=2))


@precisions
@pytest.mark.parametrize("case", READ)
def test_a_peers_case_without_a_reference(shared: Path, case: str, precision: str) -> None:
    pair = Pair(shared / "cases" / "peers" / case / "graph.nir", dt=0.1, scheme="nir-euler", precision=precision)
    for kind in ("events", "graded"):
        assert pair.run(rasters_for(pair, 12, kind))


# Exports of frameworks

ANALOG = 3e-6
"""How far graded outputs and states may lie from the framework's f32, relative to the largest of them."""


def read_export(case: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a case, and what is said about it."""
    with np.load(SHARED / "cases" / "exports" / f"{case}.npz") as stored:
        held = dict(stored)
    return held, json.loads(str(held.pop("meta")))


EXPORTS = sorted(path.stem for path in (SHARED / "cases" / "exports").glob("*.nir"))
KNOWN = [case for case in EXPORTS if read_export(case)[1]["preset"] in SCHEMES]
"""Those of frameworks whose schemes nirc has."""


def test_every_export_is_here(shared: Path) -> None:
    assert shared == SHARED
    assert (len(EXPORTS), len(KNOWN)) == (21, 21)


@precisions
@pytest.mark.parametrize("case", KNOWN)
def test_an_export_gives_the_output_of_its_framework(case: str, precision: str) -> None:
    held, meta = read_export(case)
    scheme = ",".join([meta["preset"], *(f"{option}={value}" for option, value in meta["overrides"].items())])
    path = SHARED / "cases" / "exports" / f"{case}.nir"
    model = nirc.load(path, fixes=[meta["fix"]] if meta["fix"] else [])
    pair = Pair(model, dt=meta["dt_recover"], scheme=scheme, precision=precision)
    (name,) = pair.inputs
    results = pair.run({name: held["x"]})
    output, expected = as_float(next(iter(results.values()))), as_float(held["out"])
    assert output.shape == expected.shape
    if meta["check"]["mismatched_spikes"] is None:
        assert np.abs(output - expected).max() <= ANALOG * np.abs(expected).max()
    else:
        assert expected.sum() > 0
        assert np.count_nonzero(output != expected) == 0
    states = {f"{key[2:]}.{key[0]}": values for key, values in held.items() if key[:2] in ("v_", "i_")}
    assert states or case == "rockpool_expsyn_head"
    for key, values in states.items():
        assert np.abs(as_float(results[key]) - as_float(values)).max() <= 2 * ANALOG * np.abs(values).max(), key


@precisions
@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_under_the_default_scheme(case: str, precision: str) -> None:
    held, meta = read_export(case)
    pair = Pair(SHARED / "cases" / "exports" / f"{case}.nir", dt=meta["dt_recover"], precision=precision)
    (name,) = pair.inputs
    pair.run({name: held["x"]})
    pair.run(rasters_for(pair, 25, "events", batch=2))


# Recordings


@pytest.mark.parametrize(
    ("model", "platform", "scheme"),
    [
        ("noDelay_bias_zero", "norse", "norse"),
        ("noDelay_noBias_subtract", "norse", "norse"),
        ("noDelay_bias_zero", "snntorch", "snntorch"),
        ("noDelay_noBias_subtract", "snntorch", "snntorch-subtract"),
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "numbers"])
def test_braille_spikes_are_the_recorded_ones(shared: Path, model: str, platform: str, scheme: str, kind: str) -> None:
    cases = shared / "cases" / "braille_recorded"
    x = np.load(cases / "braille_ds_test0_input_recovered.npy")
    recorded = np.load(cases / f"{platform}_activity_{model}.npy")
    assert recorded.sum() > 100
    pair = Pair(shared / "models" / f"braille_{model}.nir", scheme=scheme)
    results = pair.run({"input": x.astype(np.uint8 if kind == "bytes" else np.float64)})
    spikes = results["lif1.lif.spikes"]
    assert spikes.shape == recorded.shape
    assert np.count_nonzero(as_float(spikes) != as_float(recorded)) == 0


@precisions
@pytest.mark.parametrize("model", ["noDelay_bias_zero", "noDelay_noBias_subtract"])
@pytest.mark.parametrize("scheme", ["nir-euler", "nir-exp-euler", "norse", "snntorch", "snntorch-subtract"])
def test_braille_on_its_recording(shared: Path, model: str, scheme: str, precision: str) -> None:
    x = np.load(shared / "cases" / "braille_recorded" / "braille_ds_test0_input_recovered.npy")
    pair = Pair(shared / "models" / f"braille_{model}.nir", scheme=scheme, precision=precision)
    assert pair.run({"input": x.astype(np.uint8)})["lif1.lif.spikes"].sum() > 50


@pytest.mark.parametrize(
    ("recording", "scheme", "bound"),
    [("norse", "norse", 4.8e-8), ("snntorch", "snntorch", 0.0), ("exact", "nir-exp-euler,reset=subtract", 6.3e-4)],
)
@precisions
def test_one_lif_neuron_as_recorded(shared: Path, recording: str, scheme: str, bound: float, precision: str) -> None:
    x, v, spikes = np.loadtxt(shared / "cases" / "paper_lif" / f"lif_{recording}.csv", delimiter=",").T
    pair = Pair(shared / "models" / "lif_norse.nir", dt=1e-4, scheme=scheme, precision=precision)
    result = pair.run({"input": x[:, None]})
    assert np.flatnonzero(spikes).tolist() == np.flatnonzero(result["output"]).tolist() == [460, 510, 710, 760]
    if precision == "f32":
        assert np.abs(result["1.v"][:, 0] - v).max() <= bound


# Models of the paper


def all_models() -> list[str]:
    return sorted(path.stem for path in (SHARED / "models").glob("*.nir"))


@precisions
@pytest.mark.parametrize("model", all_models())
def test_a_model_of_the_paper(model: str, precision: str) -> None:
    options: dict[str, Any] = {"fixes": ["edge-names"]} if "subgraph" in model else {}
    if "lif" in model:
        options["dt"] = 1e-4
    pair = Pair(SHARED / "models" / f"{model}.nir", precision=precision, **options)
    steps = 4 if "cnn" in model else 100
    for kind in ("events", "graded"):
        results = pair.run(rasters_for(pair, steps, kind, batch=2))
        assert any(values.any() for values in results.values())


# The examples that ship with nirc


@precisions
@pytest.mark.parametrize(
    ("model", "raster"),
    [
        ("gestures", "gestures"),
        ("edges", "edges"),
        ("digits", "digits"),
        ("digits_recurrent", "digits"),
        ("digits_conv", "digits_conv"),
    ],
)
def test_an_example(model: str, raster: str, precision: str) -> None:
    pair = Pair(EXAMPLES / f"{model}.nir", precision=precision)
    with np.load(EXAMPLES / f"{raster}.npz") as content:
        x = {name: content[name][:, :40] if content[name].ndim > 3 else content[name] for name in content.files}
    results = pair.run(x)
    assert all(values.any() for name, values in results.items() if name.endswith(".spikes"))


def test_all_digits() -> None:
    """360 samples, more than one thread where there are cores."""
    with np.load(EXAMPLES / "digits.npz") as content:
        x = content["input"]
    assert x.shape[1] == 360
    spikes = nirc.compile(EXAMPLES / "digits.nir", "cpu").run(x)
    assert spikes.tobytes() == nirc.compile(EXAMPLES / "digits.nir").run(x).tobytes()
    assert spikes.any()
