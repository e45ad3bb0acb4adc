"""Scales and integers against the recorded cases, whose mapping follows the same rules, and by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects.dense import Array
from nirc.interpreters.loihi2 import Loihi2Evaluator

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


def wide() -> tuple[Any, Array]:
    """600 inputs onto slow currents, of which few spike together; and such input."""
    rng = np.random.default_rng(5)
    ones = np.ones(4, np.float32)
    fields = {"tau_syn": 20 * DT, "tau_mem": 20 * DT, "r": 1, "v_leak": 0, "v_threshold": 1, "w_in": 1, "v_reset": 0}
    cuba = nir.CubaLIF(**{name: ones * np.float32(value) for name, value in fields.items()})
    raster = (rng.random((200, 600)) < 0.01).astype(np.uint8)
    return chain((600,), affine(rng.normal(0.4, 2, (4, 600))), cuba), raster


def test_calibration_frees_the_bits_that_the_worst_case_keeps(tmp_path: Path) -> None:
    """Without a raster bits lie idle; with one all 8 are used, nothing overflows, and fewer spikes differ."""
    model, raster = wide()
    np.save(tmp_path / "in.npy", raster)
    network = nirc.compile(model, dt=DT).run(raster)
    assert network.sum() > 20
    largest, differ = list[int](), list[int]()
    for calibrate in (None, str(tmp_path / "in.npy")):
        program = nirc.compile(model, "loihi2", dt=DT, calibrate=calibrate)
        spikes = program.run(raster, ("n1.u", "n1.v"))
        (evaluator,) = program.evaluators()
        assert isinstance(evaluator, Loihi2Evaluator)
        assert (evaluator.wrapped, evaluator.saturated) == (0, 0)
        assert np.abs(spikes["n1.u"]).max() <= 2**23
        weights = next(item for item in json.loads(program.emit())["processes"] if item["type"] == "Dense")
        largest.append(int(np.abs(weights["weights"]).max()))
        differ.append(int((spikes["output"][1:] != network[:-1]).sum()))
    assert largest[0] < 128
    assert largest[1] == 254
    assert differ[1] < differ[0]


def test_what_overflows_after_calibration_is_told(tmp_path: Path) -> None:
    """All inputs at once are more than the raster had."""
    model, raster = wide()
    np.save(tmp_path / "in.npy", raster)
    program = nirc.compile(model, "loihi2", dt=DT, calibrate=str(tmp_path / "in.npy"))
    program.run(np.ones((60, 600), np.uint8))
    (evaluator,) = program.evaluators()
    assert isinstance(evaluator, Loihi2Evaluator)
    assert any("currents wrapped at 24 bits" in text for text in evaluator.losses())


def test_calibration_holds_in_every_layer(tmp_path: Path) -> None:
    """Random networks: on their raster nothing overflows, and spikes stay those of the network."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        parts = (affine(rng.normal(0.3, 1, (8, 12))), neuron(v_threshold=np.ones(8)))
        model = chain((12,), *parts, affine(rng.normal(4, 9, (5, 8))), neuron(v_threshold=np.ones(5)))
        raster = (rng.random((120, 3, 12)) < 0.7).astype(np.uint8)
        np.save(tmp_path / "in.npy", raster)
        program = nirc.compile(model, "loihi2", dt=DT, calibrate=str(tmp_path / "in.npy"), weight_splits="2")
        found = program.run(raster)
        (evaluator,) = program.evaluators()
        assert isinstance(evaluator, Loihi2Evaluator)
        assert (evaluator.wrapped, evaluator.saturated) == (0, 0)
        expected = nirc.compile(model, dt=DT).run(raster)
        assert (found[2:] != expected[:-2]).mean() < 0.02
        assert expected.any()


def test_graded_inputs_take_room(tmp_path: Path) -> None:
    """A value of 255 adds 255 weights: the worst case of u is as much larger, and no raster wraps."""
    model = chain((3,), affine(np.array([[1.0, 0.5, 0.7]])), neuron())
    for inputs, most in (("events", 1), ("graded", 255)):
        program = nirc.compile(model, "loihi2", dt=DT, inputs=inputs)
        fc = next(item for item in json.loads(program.emit())["processes"] if item["type"] == "Dense")
        assert fc["num_message_bits"] == (8 if most > 1 else 0)
        found = program.run(np.full((20, 3), most, np.int32), ("n1.u",))
        (evaluator,) = program.evaluators()
        assert isinstance(evaluator, Loihi2Evaluator)
        assert evaluator.losses() == []
        assert found["n1.u"].max() == most * sum(fc["weights"][0]) * 2 ** fc["weight_exp"] << 6


@pytest.mark.parametrize("options", ["", "{weight-splits=2}", "{form=net}"])
def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None], options: str) -> None:
    """Two layers, weights of one sign and of both, a bias, a threshold that is no power of two."""
    parts = (affine(np.array([[0.1, 0.037], [0.05, 0.0411]]), np.array([0.01, 0.0])), neuron(v_threshold=[0.7, 0.7]))
    model = chain((2,), *parts, affine(np.array([[0.3, -0.21]])), neuron(tau=13.3 * DT))
    snn = nirc.compile(model, "loihi2", dt=DT, until="snn").text()
    golden(opt(snn, f"convert-snn-to-loihi2,loihi2-quantize{options}"))
