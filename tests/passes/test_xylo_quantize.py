"""Rounding: the integers of chosen scales, shifts and dashes by the specification's formulas; the report; refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array
from nirc.passes.xylo_quantize import XyloQuantizePass

sys.path.append(str(Path(__file__).parent))
from xylo_networks import Part, applied, changes, module_of, random_part, statements

Parse = Callable[[str], ModuleOp]
Quantize = Callable[[ModuleOp], xylo.NetworkOp]


@pytest.fixture
def quantize(ctx: Context) -> Quantize:
    """A module to its verified, quantized network."""
    return lambda module: applied(ctx, module, XyloQuantizePass())


def refusal(ctx: Context, module: ModuleOp) -> list[str]:
    with pytest.raises(PassFailedException) as refused:
        XyloQuantizePass().apply(ctx, module)
    return str(refused.value).splitlines()


def chosen(rng: np.random.Generator, sources: int, size: int, *, biased: bool) -> Part:
    """Whole dashes, and scales and a shift under which the largest weight takes up to 7 bits."""
    part = random_part(rng, sources, size, biased=biased)
    part.dash_mem, part.dash_syn = np.round(part.column("dash_mem")), np.round(part.column("dash_syn"))
    part.shift = int(rng.integers(0, 8))
    largest = np.maximum(np.abs(part.weights).max(axis=0) / (1 - 0.5 ** np.maximum(part.dash_syn, 1)), 1e-2)
    part.scale = rng.uniform(0.5, 1, size) * 127 * 2**part.shift / largest
    part.bias = np.clip(part.column("bias"), -127 / part.scale, 127 / part.scale)
    part.threshold = np.clip(part.column("threshold"), 1 / part.scale, 32767 / part.scale)
    return part


def by_formula(part: Part, shift: int) -> dict[str, Array]:
    """weight = round(s W / (1 - 2^-dash_syn) / 2^k), threshold and bias = round(s ...); dash 0 clears, scales not."""
    dash_syn, scale = part.column("dash_syn"), part.column("scale")
    applied_part = np.array([1.0 if dash == 0 else 1 - 2.0**-dash for dash in dash_syn.tolist()])
    return {
        "weights": np.round(scale * np.asarray(part.weights, np.float64) / applied_part / 2**shift),
        "threshold": np.round(scale * part.column("threshold")),
        "bias": np.round(scale * part.column("bias")),
        "dash_mem": part.column("dash_mem"),
        "dash_syn": dash_syn,
    }


@pytest.mark.parametrize("seed", range(12))
def test_integers_of_a_random_network(quantize: Quantize, seed: int) -> None:
    """Every matrix has a shift of its own; scales stay what they were."""
    rng = np.random.default_rng(seed)
    inputs, layers, outs = int(rng.integers(1, 8)), {"g": int(rng.integers(1, 9)), "h": int(rng.integers(1, 9))}, 3
    n = sum(layers.values())
    hidden = chosen(rng, inputs + n, n, biased=seed % 3 == 1)
    readout = chosen(rng, n, outs, biased=seed % 3 == 2)
    shift_in = int(rng.integers(0, 8))
    op = quantize(module_of(inputs, hidden, readout, layers, shift_in=shift_in))

    want = by_formula(hidden, hidden.shift)
    assert np.array_equal(op.input.numbers("weights")[:, :, 0], by_formula(hidden, shift_in)["weights"][:inputs])
    assert np.array_equal(op.hidden.numbers("weights")[:, :, 0], want["weights"][inputs:])
    assert np.array_equal(op.hidden.numbers("dash_syn")[:, 0], want["dash_syn"])
    for name in ("threshold", "bias", "dash_mem"):
        assert np.array_equal(op.hidden.numbers(name), want[name]), name
    want = by_formula(readout, readout.shift)
    for name in ("weights", "threshold", "bias", "dash_mem", "dash_syn"):
        assert np.array_equal(op.readout.numbers(name), want[name]), name
    for part, given in ((op.hidden, hidden), (op.readout, readout)):
        assert np.array_equal(part.numbers("scale"), given.column("scale"))
    assert [part.weight_shift.value.data for part in op.parts()] == [shift_in, hidden.shift, readout.shift]
    assert all(part.quantized() for part in op.parts())
    assert np.any(op.hidden.numbers("bias")) == (seed % 3 == 1)


READOUT = Part([[1.0]], dash_syn=1.0, scale=63.5)


def test_the_numbers_of_one_neuron(quantize: Quantize) -> None:
    """By hand, 127 * 32 LSB per unit: W = 0.75 is 1 per spike before the decay of dash_syn 2, so 127 << 5; 0.375 is
    63.5 << 5, half to even 64; the threshold of 2 is 254 * 32; the bias -0.005 is -20.32."""
    hidden = Part([[0.75], [0.375], [0.0]], threshold=2.0, bias=-0.005, scale=127 * 32.0, shift=5)
    op = quantize(module_of(2, hidden, READOUT, shift_in=5))
    assert op.input.numbers("weights").tolist() == [[[127]], [[64]]]
    assert op.hidden.numbers("threshold").tolist() == [254 * 32]
    assert op.hidden.numbers("bias").tolist() == [-20]
    assert op.readout.numbers("weights").tolist() == [[127]]
    assert op.readout.numbers("threshold").tolist() == [64]


def test_a_synapse_of_dash_0_does_not_scale_its_weights(quantize: Quantize) -> None:
    """1 - 2^-0 is 0, and the chip clears the current before it acts: the weights are kept for what they are."""
    op = quantize(module_of(1, Part([[0.75], [0.0]], dash_syn=0.0, scale=100.0), READOUT))
    assert op.input.numbers("weights").tolist() == [[[75]]]


def test_a_layer_that_is_read_by_its_membrane_has_no_threshold(quantize: Quantize) -> None:
    """Whatever stood there: 32767, the end of the range."""
    op = quantize(module_of(1, Part([[0.75], [0.0]], scale=100.0), READOUT, membranes=("o",)))
    assert op.readout.numbers("threshold").tolist() == [32767]
    assert ("o", "threshold") not in changes(op)


def test_golden(quantize: Quantize, golden: Callable[[str], None]) -> None:
    hidden = Part(
        [[0.75, 0.1], [-0.5, 1.0], [0.0, 0.2], [0.3, 0.0]],
        [5.0, 3.0],
        [2.0, 1.0],
        1.0,
        [0.0, 0.05],
        [2032.0, 1016.0],
        shift=4,
    )
    module = module_of(2, hidden, Part([[1.0], [-0.5]], scale=95.25), shift_in=4)
    quantize(module)
    golden(f"{module!s}\n")


# The report


def test_the_report_of_values(quantize: Quantize) -> None:
    """In the network's units: integers divided by the scale, and the weights with the chip's decay put back."""
    rng = np.random.default_rng(3)
    hidden = chosen(rng, 7, 4, biased=True)
    op = quantize(module_of(3, hidden, chosen(rng, 4, 2, biased=False), shift_in=hidden.shift))
    report = changes(op)
    scale = hidden.column("scale")
    _, before, after, error = report["h", "threshold"]
    assert np.array_equal(before, hidden.column("threshold"))
    assert np.allclose(after, op.hidden.numbers("threshold") / scale, rtol=1e-14)
    assert error == pytest.approx(np.max(np.abs(after - before) / before))
    unit, before, after, error = report["h", "bias"]
    assert unit == "v per step"
    assert np.allclose(after, op.hidden.numbers("bias") / scale, rtol=1e-14)
    assert error == pytest.approx(np.max(np.abs(after - before) / np.abs(before)))

    unit, before, after, error = report["h", "weights"]
    assert unit == "v per spike"
    whole = np.concatenate([op.input.numbers("weights"), op.hidden.numbers("weights")])[:, :, 0]
    real = whole * 2**hidden.shift * (1 - 0.5 ** hidden.column("dash_syn")) / scale
    assert np.allclose(before, [np.min(hidden.weights), np.max(hidden.weights)], rtol=1e-14)
    assert np.allclose(after, [real.min(), real.max()], rtol=1e-12)
    assert error == pytest.approx(np.max(np.abs(real - hidden.weights)) / np.max(np.abs(hidden.weights)))
    assert 0 < error < 1 / 127


def test_each_layer_has_its_lines(quantize: Quantize) -> None:
    hidden = Part(np.ones((4, 3)), bias=[0.0, 0.0, 0.1], scale=90.0)
    out = Part(np.ones((3, 1)), scale=90.0)
    lines = {(node, parameter) for node in "ho" for parameter in ("weights", "threshold")}
    assert set(changes(quantize(module_of(1, hidden, out)))) == lines | {("h", "bias")}
    layered = changes(quantize(module_of(1, hidden, out, {"f": 1, "g": 2})))
    assert ("g", "bias") in layered
    assert ("f", "bias") not in layered


def test_a_large_change_is_told_with_its_ends(quantize: Quantize) -> None:
    """Of a threshold of 1.4 LSB one is left: 29 % less; one of 100.4 LSB is not worth a word."""
    module = module_of(1, Part([[1.0], [0.0]], threshold=1.4, dash_syn=1.0, scale=1.0), READOUT)
    quantize(module)
    told = [text for _, text in statements(module, "quantization")]
    assert "threshold of 'h' changes by up to 29% (1.4 to 1 v)" in told
    module = module_of(1, Part([[1.0], [0.0]], threshold=100.4, dash_syn=1.0, scale=1.0), READOUT)
    quantize(module)
    assert not any("threshold" in text for _, text in statements(module, "quantization"))


# What is refused


def test_what_was_not_chosen_is_refused(ctx: Context) -> None:
    scaled, bare = Part(np.ones((2, 1)), scale=10.0), Part([[1.0]])
    assert refusal(ctx, module_of(1, scaled, bare)) == ["xylo.readout has no scale; run xylo-choose-scales first"]
    scaled.dash_mem, scaled.dash_syn = 4.3, 2.0
    assert refusal(ctx, module_of(1, scaled, READOUT)) == [
        "xylo.hidden has broken dashes; run xylo-fit-time-constants first"
    ]


def test_a_threshold_that_rounds_to_0_is_refused(ctx: Context) -> None:
    """Weights 1000 times the threshold before the decay, which leaves 0.127 LSB."""
    decayed = 1 - 2.0**-8
    hidden = Part([[1.0, 1000 * decayed], [0, 0], [0, 0]], dash_syn=8.0, threshold=1.0, scale=[127, 0.127])
    assert refusal(ctx, module_of(1, hidden, Part(np.ones((2, 1)), scale=90.0))) == [
        "neuron 1 of 'h': its threshold rounds to 0 beside weights 996 times as large; "
        "scale them down or split the layer"
    ]


def test_weights_that_all_round_to_0_are_refused(ctx: Context) -> None:
    hidden = Part(np.full((2, 1), 1e-3), threshold=1e3, scale=30.0)
    assert refusal(ctx, module_of(1, hidden, READOUT)) == [
        "neuron 0 of 'h' and all others there: every weight rounds to 0 beside threshold or bias"
    ]


def test_faults_and_limits_come_in_one_list(ctx: Context) -> None:
    weights = np.zeros((18, 1))
    weights[0] = 1000
    hidden = Part(weights, dash_syn=8.0, scale=0.127)
    assert refusal(ctx, module_of(17, hidden, Part(np.ones((1, 9)), scale=0.1))) == [
        "neuron 0 of 'h': its threshold rounds to 0 beside weights 1e+03 times as large; "
        "scale them down or split the layer",
        "neuron 0 of 'o': its threshold rounds to 0 beside weights 1 times as large; "
        "scale them down or split the layer",
        "neuron 0 of 'o' and all others there: every weight rounds to 0 beside threshold or bias",
        "xylo audio2: 17 input channels ('x' 17), the chip has 16; merge or drop channels",
        "xylo audio2: 9 readout neurons ('o' 9), the chip has 8; code the classes on fewer neurons, "
        "or take a chip with more (audio3 has 32, imu 16)",
    ]


def test_two_synapses_are_refused(ctx: Context, parse: Parse) -> None:
    text = str(module_of(1, Part([[0.5], [0.25]], scale=90.0), READOUT))
    text = text.replace("dense<5.000000e-01> : tensor<1x1x1xf64>", "dense<0.5> : tensor<1x1x2xf64>")
    text = text.replace("dense<2.500000e-01> : tensor<1x1x1xf64>", "dense<0.25> : tensor<1x1x2xf64>")
    text = text.replace("tensor<1x1xf64>, threshold", "tensor<1x2xf64>, threshold")
    assert refusal(ctx, parse(text)) == ["xylo-quantize takes networks with one synapse per neuron"]


def test_integers_are_left_alone(ctx: Context) -> None:
    module = module_of(2, Part(np.ones((4, 2)), scale=90.0), Part(np.ones((2, 1)), scale=90.0))
    XyloQuantizePass().apply(ctx, module)
    once = str(module)
    XyloQuantizePass().apply(ctx, module)
    assert str(module) == once
