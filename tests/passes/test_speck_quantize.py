"""Quantization as sinabs does it: formulas in float32, written here a second time; refusals; the report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import speck
from nirc.dialects.dense import Array, array, dense
from nirc.passes.speck_quantize import SpeckQuantizePass

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import scale_of


def layer(weights: Array, theta: float = 1.0, low: float | None = None, **more: Any) -> speck.CoreOp:
    """A core of real numbers; low: minus theta where it is not given, none where it is infinite."""
    low = -theta if low is None else low
    features, channels, kernel, _ = weights.shape
    numbers = {
        "weights": dense(np.asarray(weights, np.float64)),
        "biases": dense(np.asarray(more.get("biases", np.zeros(features)), np.float64)),
        "threshold_high": dense(np.asarray(theta, np.float64)),
        "threshold_low": None if np.isinf(low) else dense(np.asarray(low, np.float64)),
        "initial": dense(np.asarray(more["initial"], np.float64)) if "initial" in more else None,
    }
    return speck.CoreOp("if", ["w"], (channels, kernel + 1, kernel + 1), numbers, monitor=True)


def quantized(op: speck.CoreOp) -> speck.NetworkOp:
    ports = [speck.PortAttr.of("x", "if", op.taken)], [speck.PortAttr.of("y", "if", op.given)]
    network = speck.NetworkOp("main", "speck2f", *ports, Region(Block([op])))
    module = ModuleOp([network])
    module.verify()
    SpeckQuantizePass().apply(Context(), module)
    module.verify()
    return network


@dataclass
class Numbers:
    """A layer's numbers of many sizes, of which each kind decides the scale in some."""

    weights: Array
    biases: Array
    theta: np.float32
    low: np.float32
    initial: Array

    @staticmethod
    def random(seed: int) -> Numbers:
        rng = np.random.default_rng(seed)
        weights = rng.normal(rng.normal(), 10 ** rng.uniform(-3, 2), (3, 2, 2, 2)).astype(np.float32)
        biases = (rng.normal(0, 10 ** rng.uniform(-3, 2), 3) * (seed % 2)).astype(np.float32)
        theta = np.float32(10 ** rng.uniform(-1, 3))
        low = np.float32(-theta * rng.uniform(0.5, 3))
        initial = (rng.normal(0, 10 ** rng.uniform(-2, 4), (3, 2, 2)) * (seed % 3 == 0)).astype(np.float32)
        return Numbers(weights, biases, theta, low, initial)

    def scales(self) -> dict[str, np.float32]:
        return {
            "weights": scale_of(self.weights, 8),
            "biases": scale_of(self.biases, 8),
            "bounds": scale_of([self.low, self.theta], 16),
            "initial": scale_of(self.initial, 16),
        }


@pytest.mark.parametrize("seed", range(200))
def test_equal_to_the_formulas(seed: int) -> None:
    """Weights, biases, bounds and initial values in turn decide the scale, in numbers of many sizes."""
    made = Numbers.random(seed)
    s = min(made.scales().values())
    expected = {
        "weights": np.rint(made.weights * s),
        "biases": np.rint(made.biases * s),
        "threshold_high": np.rint(made.theta * s),
        "threshold_low": np.rint(made.low * s),
        "initial": np.rint(made.initial * s),
    }
    initial = {"initial": made.initial} if made.initial.any() else {}
    op = layer(made.weights, float(made.theta), float(made.low), biases=made.biases, **initial)
    if expected["threshold_high"] < 1 or not expected["weights"].any():
        with pytest.raises(PassFailedException, match="rounds to 0"):
            quantized(op)
        return
    (found,) = quantized(op).layers().values()
    for name, values in expected.items():
        if name in found.properties:
            assert np.array_equal(found.numbers(name), values), name
    assert (found.leak is not None) == expected["biases"].any()
    assert float(found.numbers("scale")) == s


def test_the_formulas_see_all_of_them() -> None:
    """Among the cases above each kind decides the scale in some."""
    scales = [Numbers.random(seed).scales() for seed in range(200)]
    assert {min(each, key=lambda name: each[name]) for each in scales} == scales[0].keys()


def test_half_rounds_to_even() -> None:
    (made,) = quantized(layer(np.array([127, 0.5, 1.5, -2.5]).reshape(1, 1, 2, 2))).layers().values()
    assert made.numbers("weights").ravel().tolist() == [127, 0, 2, -2]


def test_no_lower_bound_is_the_chips_least_number() -> None:
    """It constrains nothing: the scale is that of the weights."""
    (made,) = quantized(layer(np.full((1, 1, 1, 1), 0.5), 1.0, -np.inf)).layers().values()
    assert (int(made.numbers("threshold_high")), int(made.numbers("threshold_low"))) == (254, -32768)


def test_weights_of_0_alone_are_kept() -> None:
    (made,) = quantized(layer(np.zeros((1, 1, 1, 1)))).layers().values()
    assert int(made.numbers("threshold_high")) == 32767


def test_refusals() -> None:
    """With what else does not fit."""
    op = layer(np.full((1, 1, 17, 17), 300.0), 1.0)
    with pytest.raises(PassFailedException) as refused:
        quantized(op)
    assert str(refused.value).splitlines() == [
        "node 'if': its threshold 1 rounds to 0 beside weights or a bias 300 times as large; scale them down",
        "node 'w' (onto 'if'): a 17x17 kernel, the chip's are at most 16x16; take a smaller one, or pool before it",
    ]
    with pytest.raises(PassFailedException, match=r"every weight rounds to 0 beside its threshold 1e\+06 or"):
        quantized(layer(np.full((1, 1, 1, 1), 1.0), 1e6))
    with pytest.raises(PassFailedException, match="node 'if': its numbers pass what float32 holds"):
        quantized(layer(np.full((1, 1, 1, 1), 1e39)))


def test_the_report() -> None:
    network = quantized(layer(np.array([1.0, 0.3]).reshape(2, 1, 1, 1), 0.7, biases=[0.25, 0]))
    report = {change.parameter.data: change for change in network.report or ()}
    assert set(report) == {"weights", "biases", "threshold_high"}
    assert array(report["threshold_high"].before).item() == 0.7
    assert array(report["threshold_high"].after).item() == pytest.approx(89 / 127)
    assert array(report["weights"].after).tolist() == pytest.approx([38 / 127, 1])
    assert array(report["weights"].error).item() == pytest.approx(0.3 - 38 / 127, abs=1e-7)
    assert array(report["biases"].after).tolist() == pytest.approx([32 / 127, 0])


def test_integers_stay_as_they_are() -> None:
    network = quantized(layer(np.full((1, 1, 1, 1), 0.5)))
    before = str(network)
    module = network.parent_op()
    assert isinstance(module, ModuleOp)
    SpeckQuantizePass().apply(Context(), module)
    assert str(network) == before
