"""Discretized networks against recordings of the simulators that their schemes name, and against exporters' runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from nirc.dialects import snn
from nirc.dialects.dense import Array
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass

Load: TypeAlias = Callable[[Path, ConvertNirToSnnPass], snn.NetworkOp]

EXPORTS = (
    "norse-main_lifbox_mlp",
    "norse-main_lifcell_cuba",
    "norse_conv_iaf_lif",
    "norse_lifbox_li",
    "norse_lifbox_mlp",
    "norse_lifbox_mlp_dt1",
    "snntorch_leaky_mlp",
    "snntorch_leaky_nodelay_sub",
    "snntorch_rleaky",
    "snntorch_synaptic_zero",
)
"""The cases of the schemes that nirc has."""

ANALOG = 3e-6
"""How far graded outputs and states may lie from the framework's f32, relative to the largest of them."""


def run(network: snn.NetworkOp, x: Array, record: tuple[str, ...] = ()) -> dict[str, Array]:
    """One raster [T, N...] through a network of one input, the batch axis taken off again."""
    rasters = SnnEvaluator(network, record=record).run({network.inputs.data[0].data: x[:, None]})
    return {name: values[:, 0] for name, values in rasters.items()}


def as_float(values: Array) -> Array:
    """f64, because numpy does not subtract booleans."""
    return values.astype(np.float64)


@pytest.mark.parametrize(
    ("model", "platform", "scheme"),
    [
        # The subtract model was recorded with Norse's reset to 0 all the same.
        ("noDelay_bias_zero", "norse", "norse"),
        ("noDelay_noBias_subtract", "norse", "norse"),
        ("noDelay_bias_zero", "snntorch", "snntorch"),
        ("noDelay_noBias_subtract", "snntorch", "snntorch-subtract"),
    ],
)
def test_braille_spikes_are_the_recorded_ones(load: Load, shared: Path, model: str, platform: str, scheme: str) -> None:
    cases = shared / "cases" / "braille_recorded"
    network = load(shared / "models" / f"braille_{model}.nir", ConvertNirToSnnPass(scheme=scheme))
    x = np.load(cases / "braille_ds_test0_input_recovered.npy")
    spikes = run(network, x, ("lif1.lif.spikes",))["lif1.lif.spikes"]
    recorded = np.load(cases / f"{platform}_activity_{model}.npy")
    assert recorded.shape == spikes.shape
    assert recorded.sum() > 100
    assert np.count_nonzero(as_float(spikes) != as_float(recorded)) == 0


def test_prereset_is_what_snntorch_recorded(load: Load, shared: Path) -> None:
    """Without snnTorch's reset_delay=False wiring 46 cells differ, so the test above tells the two apart."""
    cases = shared / "cases" / "braille_recorded"
    scheme = "snntorch-subtract,prereset=false"
    network = load(shared / "models" / "braille_noDelay_noBias_subtract.nir", ConvertNirToSnnPass(scheme=scheme))
    x = np.load(cases / "braille_ds_test0_input_recovered.npy")
    spikes = run(network, x, ("lif1.lif.spikes",))["lif1.lif.spikes"]
    recorded = np.load(cases / "snntorch_activity_noDelay_noBias_subtract.npy")
    assert np.count_nonzero(as_float(spikes) != as_float(recorded)) == 46


@pytest.mark.parametrize(
    ("recording", "scheme", "bound"),
    [
        ("norse", "norse", 4.8e-8),
        ("snntorch", "snntorch", 0.0),
        # The closed form knows crossings between the grid points, the step only at them.
        ("exact", "nir-exp-euler,reset=subtract", 6.3e-4),
    ],
)
def test_one_lif_neuron_as_recorded(load: Load, shared: Path, recording: str, scheme: str, bound: float) -> None:
    x, v, spikes = np.loadtxt(shared / "cases" / "paper_lif" / f"lif_{recording}.csv", delimiter=",").T
    network = load(shared / "models" / "lif_norse.nir", ConvertNirToSnnPass(dt=1e-4, scheme=scheme))
    result = run(network, x[:, None], ("1.v",))
    assert np.flatnonzero(spikes).tolist() == [460, 510, 710, 760]
    assert np.flatnonzero(result["output"]).tolist() == [460, 510, 710, 760]
    assert np.abs(result["1.v"][:, 0] - v).max() <= bound


def scheme_of(meta: dict[str, Any]) -> str:
    """A case's preset with its overrides, as --scheme takes them."""
    return ",".join([meta["preset"], *(f"{option}={value}" for option, value in meta["overrides"].items())])


def read_case(shared: Path, case: str) -> tuple[Path, dict[str, Array], dict[str, Any]]:
    """The file, its arrays, and what is said about it."""
    path = shared / "cases" / "exports" / f"{case}.nir"
    with np.load(path.with_suffix(".npz")) as arrays:
        held = dict(arrays)
    return path, held, json.loads(str(held.pop("meta")))


@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_gives_the_output_of_its_framework(load: Load, shared: Path, case: str) -> None:
    path, held, meta = read_case(shared, case)
    network = load(path, ConvertNirToSnnPass(dt=meta["dt_recover"], scheme=scheme_of(meta)))
    output = as_float(run(network, held["x"])[network.outputs.data[0].data])
    expected = as_float(held["out"])
    assert output.shape == expected.shape
    if meta["check"]["mismatched_spikes"] is None:
        assert np.abs(output - expected).max() <= ANALOG * np.abs(expected).max()
    else:
        assert expected.sum() > 0
        assert np.count_nonzero(output != expected) == 0


@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_goes_through_the_states_of_its_framework(load: Load, shared: Path, case: str) -> None:
    path, held, meta = read_case(shared, case)
    states = {f"{key[2:]}.{key[0]}": values for key, values in held.items() if key[:2] in ("v_", "i_")}
    network = load(path, ConvertNirToSnnPass(dt=meta["dt_recover"], scheme=scheme_of(meta)))
    result = run(network, held["x"], tuple(states))
    assert states
    for key, expected in states.items():
        error = np.abs(as_float(result[key]) - as_float(expected)).max()
        assert error <= ANALOG * np.abs(expected).max(), key


def test_every_export_of_a_known_scheme_is_tested(shared: Path) -> None:
    known = {"norse", "snntorch", "snntorch-native"}
    cases = {path.stem for path in (shared / "cases" / "exports").glob("*.npz")}
    assert {case for case in cases if read_case(shared, case)[2]["preset"] in known} == set(EXPORTS)
