"""Scales and integers against the recorded cases, whose mapping follows the same rules, and by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import affine, chain, nir

DT = 1e-4


def emitted(model: Any, **options: Any) -> dict[str, Any]:
    """The processes of the configuration by name, and the read-out."""
    config = json.loads(nirc.compile(model, "loihi2", dt=DT, **options).emit())
    return {"neurons": config["neurons"], **{item["name"]: item for item in config["processes"]}}


def neuron(**changes: Any) -> Any:
    """LIF neurons of 20 steps."""
    fields = {"tau": 20 * DT, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changes}
    size = max(np.size(value) for value in fields.values())
    return nir.LIF(**{name: np.full(size, value, np.float32) for name, value in fields.items()})


@pytest.mark.parametrize(
    "case", ["02_single_lif_nir", "03_feedforward", "04_recurrent", "05_conv_pool", "08_delay_skip"]
)
def test_recorded_mapping(shared: Path, case: str) -> None:
    """Every field of every process is the prototype's of the specification."""
    folder = shared / "cases" / "loihi2" / case
    found = emitted(str(folder / "model.nir"))
    expected = json.loads((folder / "cfg.json").read_text())
    assert len(expected["processes"]) == len(found) - 1
    for process in expected["processes"]:
        for key, value in process.items():
            if key not in ("bias_mant", "bias_exp"):
                assert found[process["name"]][key] == value, (process["name"], key)
    for name, told in expected["neurons"].items():
        for key, value in told.items():
            assert np.allclose(found["neurons"][name][key], value, rtol=1e-6), (name, key)


def test_recorded_biases(shared: Path) -> None:
    """Mantissas, exponents, thresholds of each neuron, a shift of v_reset; v starts so that two steps lead to 0."""
    folder = shared / "cases" / "loihi2" / "06_bias"
    found = emitted(str(folder / "model.nir"), scheme="nir-euler,v_init=0")
    for process in json.loads((folder / "cfg.json").read_text())["processes"]:
        for key, value in process.items():
            if key != "v":
                assert found[process["name"]][key] == value, (process["name"], key)
        if "v" in process:
            assert np.abs(np.array(found[process["name"]]["v"]) - np.array(process["v"])).max() <= 1


@pytest.mark.parametrize(("splits", "hidden", "output"), [(None, 53, 539), ("2", 5, 121)])
def test_braille_against_float(shared: Path, splits: str | None, hidden: int, output: int) -> None:
    """At most the mismatches that the specification measured, on its raster."""
    folder = shared / "cases" / "loihi2" / "11_braille_zero"
    raster = np.moveaxis(np.load(folder / "input.npy"), -1, 0)
    record = ("lif1.lif.spikes", "lif2.spikes")
    network = nirc.compile(str(folder / "model.nir"), dt=DT).run(raster, record)
    chip = nirc.compile(str(folder / "model.nir"), "loihi2", dt=DT, weight_splits=splits).run(raster, record)
    for key, late, most in zip(record, (1, 2), (hidden, output), strict=True):
        assert int((chip[key][late:] != network[key][:-late]).sum()) <= most
        assert chip[key].sum() > 40


def test_weights_of_one_sign_use_all_bits() -> None:
    """The largest positive weight is 254 or 255 by the candidates, odd ones are kept; mixed ones are even."""
    weights = np.array([[0.1, 0.037], [0.05, 0.0411]])
    found = emitted(chain((2,), affine(weights), neuron(v_threshold=[1.0, 1.0])))["input->n1"]
    values = np.array(found["weights"])
    assert found["sign_mode"] == "EXCITATORY"
    assert values.max() == 254
    assert (values % 2).any()
    weights[0, 1] *= -1
    found = emitted(chain((2,), affine(weights), neuron(v_threshold=[1.0, 1.0])))["input->n1"]
    assert found["sign_mode"] == "MIXED"
    assert not (np.array(found["weights"]) % 2).any()
    found = emitted(chain((2,), affine(-np.abs(weights)), neuron(v_threshold=[1.0, 1.0])))["input->n1"]
    assert found["sign_mode"] == "INHIBITORY"


def test_the_threshold_is_exact() -> None:
    """v_scale times the threshold is vth << 6 to the last digit."""
    found = emitted(chain((1,), affine(np.ones((1, 1))), neuron(v_threshold=0.7)))
    assert found["neurons"]["n1"]["v_scale"] * np.float32(0.7) == pytest.approx(64 * found["n1"]["vth"], rel=1e-7)


def test_changes_are_reported() -> None:
    """Weights, leak and bias, before and after, by the user's names."""
    model = chain((1,), affine(np.full((1, 1), 0.3), np.array([0.123])), neuron(tau=21.7 * DT))
    program = nirc.compile(model, "loihi2", dt=DT)
    notes = json.loads(program.emit())["nirc"]["values"]
    found = {(item["node"], item["parameter"]): item for item in notes}
    assert found.keys() == {("n0", "weights"), ("n1", "tau_mem"), ("n1", "bias")}
    assert found["n1", "tau_mem"]["after"] == pytest.approx(4096 / 189)
    assert found["n1", "tau_mem"]["before"] == pytest.approx(21.7, rel=1e-6)
    assert found["n1", "bias"]["before"] == pytest.approx(0.123 / 21.7, rel=1e-6)


def test_large_changes_are_told() -> None:
    """A time constant beyond 4096 steps does not fit 12 bits: the leak vanishes, which is said."""
    program = nirc.compile(chain((1,), affine(np.full((1, 1), 500.0)), neuron(tau=20000 * DT)), "loihi2", dt=DT)
    assert any("leak of 'n1' changes by up to 100%" in text for text in program.assumptions)


def test_what_no_integer_stands_for() -> None:
    """Weights that vanish beside others and thresholds that do, in one list."""
    nodes = {"input": nir.Input({"input": np.array([1])})}
    nodes |= {"large": affine(np.full((1, 1), 1e6)), "a": neuron(), "small": affine(np.full((1, 1), 1e-9))}
    nodes |= {"b": neuron(), "beside": affine(np.full((1, 1), 0.5)), "output": nir.Output({"output": np.array([1])})}
    edges = [("input", "large"), ("large", "a"), ("a", "small"), ("small", "b"), ("input", "beside"), ("beside", "b")]
    model = nir.NIRGraph(nodes, [*edges, ("b", "output")], type_check=False)
    with pytest.raises(DiagnosticException) as caught:
        nirc.compile(model, "loihi2", dt=DT)
    first, second = str(caught.value).splitlines()
    assert first.startswith("node 'a': its threshold 1 rounds to 0 beside weights or a bias 5e+04 times as large")
    assert second.startswith("node 'small' ('a->b'): every weight rounds to 0 beside the threshold of 'b'")


@pytest.mark.parametrize("splits", ["0", "5", "many", "1.5"])
def test_splits_out_of_range(splits: str) -> None:
    with pytest.raises(DiagnosticException, match=r"weight splits '.*', must be 1 to 4"):
        nirc.compile(chain((1,), affine(np.ones((1, 1))), neuron()), "loihi2", dt=DT, weight_splits=splits)


def test_splits_add_up() -> None:
    """Two connections side by side are nearer to the weights than one, by the bits that they add."""
    rng = np.random.default_rng(4)
    weights = rng.normal(0, 40, (5, 6))

    def error(splits: str) -> float:
        found = emitted(chain((6,), affine(weights), neuron(v_threshold=np.ones(5))), weight_splits=splits)
        parts = [item for name, item in found.items() if name.startswith("input->")]
        total: Array = sum((np.array(p["weights"]) * 2.0 ** p["weight_exp"] for p in parts), np.zeros((5, 6)))
        sigma = found["neurons"]["n1"]["v_scale"] / 64
        return float(np.abs(total / sigma - weights.astype(np.float32) / 20).max())

    assert error("2") < error("1") / 8
