"""Quantization: integers by the specification's formulas, the report, the refusals, what is kept of the spikes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn, xylo
from nirc.dialects.dense import Array, array, dense
from nirc.dialects.nir import assumptions
from nirc.interpreters.snn import SnnEvaluator
from nirc.interpreters.xylo import XyloEvaluator
from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass
from nirc.passes.xylo_quantize import XyloQuantizePass

Parse = Callable[[str], ModuleOp]


@dataclass
class Part:
    """A population's real numbers: weights [source, neuron] and one number per neuron or for all."""

    weights: Any
    dash_mem: Any = 4.0
    dash_syn: Any = 2.0
    threshold: Any = 1.0
    bias: Any = 0.0

    def column(self, name: str) -> Array:
        return np.broadcast_to(np.asarray(getattr(self, name), np.float64), np.shape(self.weights)[1]).copy()


def module_of(
    inputs: int, hidden: Part, readout: Part, layers: dict[str, int] | None = None, reached: int | None = None
) -> ModuleOp:
    """A network of real numbers; the hidden weights are those of the inputs, then those of the hidden neurons."""
    into, out = np.asarray(hidden.weights, np.float64), np.asarray(readout.weights, np.float64)
    body = Block(
        [
            xylo.InputOp({"x": inputs}, dense(np.ascontiguousarray(into[:inputs, :reached, None]))),
            xylo.HiddenOp(
                layers or {"h": into.shape[1]},
                dense(np.ascontiguousarray(into[inputs:, :, None])),
                dense(hidden.column("dash_mem")),
                dense(hidden.column("dash_syn")[:, None]),
                dense(hidden.column("threshold")),
                dense(hidden.column("bias")),
            ),
            xylo.ReadoutOp(
                {"o": out.shape[1]},
                ["y"],
                dense(out),
                dense(readout.column("dash_mem")),
                dense(readout.column("dash_syn")),
                dense(readout.column("threshold")),
                dense(readout.column("bias")),
            ),
        ]
    )
    module = ModuleOp([xylo.NetworkOp("main", "audio2", Region(body))])
    module.verify()
    return module


def network(module: ModuleOp) -> xylo.NetworkOp:
    (op,) = module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def statements(module: ModuleOp, topic: str) -> list[tuple[str, str]]:
    """Kind and text of the assumptions about a topic."""
    return [(a.kind.data, a.statement.data) for a in assumptions(module) if a.topic.data == topic]


def changes(op: xylo.NetworkOp) -> dict[tuple[str, str], tuple[str, Array, Array, float]]:
    """The report: unit, before, after and largest relative error by node and parameter."""
    assert op.report is not None
    return {
        (c.node.data, c.parameter.data): (c.unit.data, array(c.before), array(c.after), float(array(c.error)))
        for c in op.report
    }


@pytest.fixture
def quantize(ctx: Context) -> Callable[..., xylo.NetworkOp]:
    """A module to its verified, quantized network."""

    def run(module: ModuleOp, per: str = "neuron") -> xylo.NetworkOp:
        XyloQuantizePass(per).apply(ctx, module)
        module.verify()
        return network(module)

    return run


Quantize = Callable[..., xylo.NetworkOp]


def refusal(ctx: Context, module: ModuleOp, per: str = "neuron") -> list[str]:
    with pytest.raises(PassFailedException) as refused:
        XyloQuantizePass(per).apply(ctx, module)
    return str(refused.value).splitlines()


# The formulas of section 5, neuron by neuron


def by_formula(part: Part, groups: Sequence[range], k: int) -> dict[str, Array]:
    """weight = round(s W / (1 - 2^-dash)), threshold and bias = round(s 2^k ...), with a scale s per group."""
    dash_syn: Array = np.maximum(np.round(part.column("dash_syn")), 1)
    undecayed: Array = np.asarray(part.weights, np.float64) / (1 - 0.5**dash_syn)
    threshold, bias = part.column("threshold"), part.column("bias")
    s: Array = np.zeros(len(threshold))
    for group in groups:
        members = list(group)
        scale = 127 / max(float(abs(w)) for w in undecayed[:, members].ravel().tolist())
        scale = min(scale, 32767 / max(threshold[members].tolist()))
        if bias[members].any():
            scale = min(scale, 127 / max(abs(b) for b in bias[members].tolist()))
        s[members] = scale
    return {
        "weights": np.round(undecayed * s),
        "threshold": np.round(threshold * s * 2**k),
        "bias": np.round(bias * s * 2**k),
        "dash_mem": np.round(part.column("dash_mem")),
        "dash_syn": dash_syn,
        "scale": s * 2**k,
    }


def overflows(part: Part, groups: Sequence[range], k: int, *, membrane: bool) -> bool:
    """Whether a number, a current (or a membrane just below its threshold that takes one up) leaves its bits at k."""
    want = by_formula(part, groups, k)
    current = np.abs(want["weights"]).sum(axis=0) * 2 ** want["dash_syn"] * 2**k
    most = want["threshold"] + current if membrane else np.maximum(want["threshold"], current)
    return bool(np.any(most > 32767) or np.any(np.abs(want["bias"]) > 127))


def check_shift(part: Part, groups: Sequence[range], k: int) -> None:
    """k is the largest of 0..7 under which nothing saturates while every source fires once a step."""
    assert k == 0 or not overflows(part, groups, k, membrane=False)
    assert k == 7 or overflows(part, groups, k + 1, membrane=True)


def random_part(rng: np.random.Generator, sources: int, size: int, *, biased: bool) -> Part:
    return Part(
        rng.normal(0, 10.0 ** rng.uniform(-2, 0, size), (sources, size)) * (rng.random((sources, size)) < 0.7),
        rng.uniform(0, 8, size),
        rng.uniform(0, 5, size),
        rng.uniform(0.5, 3, size),
        rng.normal(0, 0.05, size) * biased,
    )


@pytest.mark.parametrize("per", ["neuron", "layer"])
@pytest.mark.parametrize("seed", range(12))
def test_integers_of_a_random_network(quantize: Quantize, seed: int, per: str) -> None:
    rng = np.random.default_rng(seed)
    inputs, layers, outs = int(rng.integers(1, 8)), {"g": int(rng.integers(1, 9)), "h": int(rng.integers(1, 9))}, 3
    n = sum(layers.values())
    hidden = random_part(rng, inputs + n, n, biased=seed % 3 == 1)
    readout = random_part(rng, n, outs, biased=seed % 3 == 2)
    op = quantize(module_of(inputs, hidden, readout, layers), per)

    groups = [range(k, k + 1) for k in range(n)] if per == "neuron" else [range(layers["g"]), range(layers["g"], n)]
    k = op.hidden.weight_shift.value.data
    check_shift(hidden, groups, k)
    want = by_formula(hidden, groups, k)
    assert np.array_equal(op.input.numbers("weights")[:, :, 0], want["weights"][:inputs])
    assert np.array_equal(op.hidden.numbers("weights")[:, :, 0], want["weights"][inputs:])
    assert np.array_equal(op.hidden.numbers("dash_syn")[:, 0], want["dash_syn"])
    for name in ("threshold", "bias", "dash_mem"):
        assert np.array_equal(op.hidden.numbers(name), want[name]), name
    assert np.allclose(op.hidden.numbers("scale"), want["scale"], rtol=1e-14, atol=0)
    assert op.input.weight_shift.value.data == k

    groups = [range(n, n + 1) for n in range(outs)] if per == "neuron" else [range(outs)]
    k = op.readout.weight_shift.value.data
    check_shift(readout, groups, k)
    want = by_formula(readout, groups, k)
    for name in ("weights", "threshold", "bias", "dash_mem", "dash_syn"):
        assert np.array_equal(op.readout.numbers(name), want[name]), name
    assert np.allclose(op.readout.numbers("scale"), want["scale"], rtol=1e-14, atol=0)

    for part in op.parts():
        assert part.quantized()
        assert np.abs(part.numbers("weights")).max() <= 127
    for part in (op.hidden, op.readout):
        assert np.abs(part.numbers("bias")).max() <= 127
        assert part.numbers("threshold").min() >= 1
        assert part.numbers("threshold").max() <= 32767
    assert np.any(op.hidden.numbers("bias")) == (seed % 3 == 1)


def test_the_numbers_of_one_neuron(quantize: Quantize) -> None:
    """By hand: W = 0.75 is 1 per spike before the decay of dash_syn 2, which is 127; 0.375 is 63.5, half to even 64.

    (127 + 64) * 2^2 * 2^k and the threshold 254 * 2^k fit in 16 bits up to k = 5; the bias 0.05 * 127 * 2^k in 8 up
    to k = 4.
    """
    readout = Part([[1.0]], dash_syn=1.0, threshold=1.0)
    op = quantize(module_of(2, Part([[0.75], [0.375], [0.0]], threshold=2.0), readout))
    assert op.hidden.weight_shift.value.data == 5
    assert op.input.numbers("weights").tolist() == [[[127]], [[64]]]
    assert op.hidden.numbers("threshold").tolist() == [254 * 32]
    assert op.hidden.numbers("scale").tolist() == [127 * 32]
    op = quantize(module_of(2, Part([[0.75], [0.375], [0.0]], threshold=2.0, bias=-0.05), readout))
    assert op.hidden.weight_shift.value.data == 4
    assert op.hidden.numbers("bias").tolist() == [-102]
    assert op.hidden.numbers("threshold").tolist() == [254 * 16]


def test_a_large_bias_takes_bits_from_the_weights(quantize: Quantize) -> None:
    """bias 2 and weight 0.75 -> 1 before the decay: 127 / 2 = 63.5 LSB per unit, so the weight is 64 (half to even)."""
    op = quantize(module_of(1, Part([[0.75], [0.0]], bias=2.0), Part([[1.0]])))
    assert op.hidden.numbers("bias").tolist() == [127]
    assert op.input.numbers("weights").tolist() == [[[64]]]
    assert op.hidden.weight_shift.value.data == 0


def test_a_high_threshold_takes_bits_from_the_weights(quantize: Quantize) -> None:
    """threshold 1000 beside 0.75 -> 1: 32.767 LSB per unit, weight round(32.767)."""
    op = quantize(module_of(1, Part([[0.75], [0.0]], threshold=1000.0), Part([[1.0]])))
    assert op.hidden.numbers("threshold").tolist() == [32767]
    assert op.input.numbers("weights").tolist() == [[[33]]]


def test_a_neuron_without_weights(quantize: Quantize) -> None:
    """Nothing sets its scale but its threshold and bias; it stays silent or ticks by its bias."""
    op = quantize(module_of(1, Part([[0.75, 0.0], [0.0, 0.0], [0.0, 0.0]], bias=[0.0, 0.5]), Part([[1.0], [1.0]])))
    scale = op.hidden.numbers("scale")[1]
    assert op.hidden.numbers("threshold")[1] == np.round(scale)
    assert op.hidden.numbers("bias")[1] == np.round(scale / 2)
    assert not op.input.numbers("weights")[:, 1].any()


def test_golden(quantize: Quantize, golden: Callable[[str], None]) -> None:
    hidden = Part([[0.75, 0.1], [-0.5, 1.0], [0.0, 0.2], [0.3, 0.0]], [5.0, 3.0], [2.0, 0.0], 1.0, [0.0, 0.05])
    module = module_of(2, hidden, Part([[1.0], [-0.5]]))
    quantize(module)
    golden(f"{module!s}\n")


def test_layers_share_a_scale_only_where_told(quantize: Quantize) -> None:
    rng = np.random.default_rng(0)
    part = random_part(rng, 9, 6, biased=False)
    scales = [
        quantize(module_of(3, part, Part(np.ones((6, 2))), {"g": 2, "h": 4}), per).hidden.numbers("scale")
        for per in ("neuron", "layer")
    ]
    assert [len(np.unique(s[:2])) for s in scales] == [2, 1]
    assert [len(np.unique(s[2:])) for s in scales] == [4, 1]
    assert scales[1][0] != scales[1][5]


# The report


def test_the_report_of_time_constants(quantize: Quantize) -> None:
    """25 steps become 32, 0.28 of 25 more; 8 stay 8; 3 become 4."""
    hidden = Part(np.ones((3, 2)), [np.log2(25), 3.0], [np.log2(3), 1.0])
    report = changes(quantize(module_of(1, hidden, Part([[1.0], [1.0]], np.log2(100)))))
    unit, before, after, error = report["h", "tau_mem"]
    assert unit == "steps"
    assert np.allclose(before, [25, 8], rtol=1e-12)
    assert after.tolist() == [32, 8]
    assert error == pytest.approx(0.28)
    _, before, after, error = report["h", "tau_syn"]
    assert np.allclose(before, [3, 2], rtol=1e-12)
    assert after.tolist() == [4, 2]
    assert error == pytest.approx(1 / 3)
    _, before, after, error = report["o", "tau_mem"]
    assert before == pytest.approx(100)
    assert after == 128
    assert error == pytest.approx(0.28)


def test_the_report_of_values(quantize: Quantize) -> None:
    """In the network's units: integers divided by the scale, and the weights with the chip's decay put back."""
    rng = np.random.default_rng(3)
    hidden = random_part(rng, 7, 4, biased=True)
    op = quantize(module_of(3, hidden, Part(rng.normal(size=(4, 2)))))
    report = changes(op)
    scale = op.hidden.numbers("scale")
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
    k, dash_syn = op.hidden.weight_shift.value.data, op.hidden.numbers("dash_syn")[:, 0]
    real = whole * 2**k * (1 - 0.5**dash_syn) / scale
    assert np.allclose(before, [np.min(hidden.weights), np.max(hidden.weights)], rtol=1e-14)
    assert np.allclose(after, [real.min(), real.max()], rtol=1e-12)
    assert error == pytest.approx(np.max(np.abs(real - hidden.weights)) / np.max(np.abs(hidden.weights)))
    assert 0 < error < 1 / 127


def test_each_layer_has_its_lines(quantize: Quantize) -> None:
    hidden = Part(np.ones((4, 3)), bias=[0.0, 0.0, 0.1])
    report = changes(quantize(module_of(1, hidden, Part(np.ones((3, 1))))))
    assert set(report) == {(node, p) for node in "ho" for p in ("tau_mem", "tau_syn", "weights", "threshold")} | {
        ("h", "bias")
    }
    layered = changes(quantize(module_of(1, hidden, Part(np.ones((3, 1))), {"f": 1, "g": 2})))
    assert ("g", "bias") in layered
    assert ("f", "bias") not in layered


# What is told and what is refused


def test_a_short_synapse_becomes_two_steps(quantize: Quantize) -> None:
    """dash 0 would clear the current before it is integrated (specification, section 5)."""
    module = module_of(1, Part(np.ones((4, 3)), dash_syn=[2.0, 0.45, 0.1]), Part(np.ones((3, 1)), dash_syn=0.0))
    op = quantize(module)
    assert op.hidden.numbers("dash_syn").ravel().tolist() == [2, 1, 1]
    assert op.readout.numbers("dash_syn").tolist() == [1]
    assert statements(module, "synapse") == [
        (
            "choice",
            f"tau_syn of {who} is shorter than 1.4 steps; it becomes 2 steps, since 1 would clear the current "
            "before it acts",
        )
        for who in ("neuron 1 of 'h' and at 1 more", "neuron 0 of 'o'")
    ]


def test_a_membrane_without_memory_stays_one(quantize: Quantize) -> None:
    module = module_of(1, Part(np.ones((2, 1)), dash_mem=0.3), Part([[1.0]], dash_mem=0.0))
    op = quantize(module)
    assert op.hidden.numbers("dash_mem").tolist() == [0]
    assert op.readout.numbers("dash_mem").tolist() == [0]
    assert statements(module, "synapse") == []


def test_the_longest_time_constant(quantize: Quantize) -> None:
    op = quantize(module_of(1, Part(np.ones((2, 1)), dash_mem=15.4, dash_syn=15.0), Part([[1.0]])))
    assert op.hidden.numbers("dash_mem").tolist() == [15]
    assert op.hidden.numbers("dash_syn").tolist() == [[15]]


def test_time_constants_beyond_the_longest_are_refused(ctx: Context) -> None:
    hidden = Part(np.ones((4, 3)), dash_mem=[4.0, 16.0, 17.0], dash_syn=[2.0, 2.0, 15.6])
    assert refusal(ctx, module_of(1, hidden, Part(np.ones((3, 1)), dash_mem=16.0))) == [
        "neuron 1 of 'h': tau_mem is 6.554e+04 steps, the longest on the chip is 32768; take a larger dt",
        f"neuron 2 of 'h': tau_syn is {2**15.6:.4g} steps, the longest on the chip is 32768; take a larger dt",
        "neuron 0 of 'o': tau_mem is 6.554e+04 steps, the longest on the chip is 32768; take a larger dt",
    ]


def test_a_threshold_that_rounds_to_0_is_refused(ctx: Context) -> None:
    """Weights 1000 times the threshold before the decay, which leaves 0.127 LSB: 2^8 * 127 leaves no shift."""
    decayed = 1 - 2.0**-8
    hidden = Part([[1.0, 1000 * decayed], [0, 0], [0, 0]], dash_syn=8.0, threshold=1.0)
    assert refusal(ctx, module_of(1, hidden, Part(np.ones((2, 1))))) == [
        "neuron 1 of 'h': its threshold rounds to 0 beside weights 1e+03 times as large; "
        "scale them down or split the layer"
    ]


def test_faults_and_limits_come_in_one_list(ctx: Context) -> None:
    weights = np.zeros((18, 1))
    weights[0] = 1000
    module = module_of(17, Part(weights, dash_syn=8.0), Part(np.ones((1, 9)), dash_mem=20.0))
    assert refusal(ctx, module) == [
        "neuron 0 of 'h': its threshold rounds to 0 beside weights 1e+03 times as large; "
        "scale them down or split the layer",
        "neuron 0 of 'o': tau_mem is 1.049e+06 steps, the longest on the chip is 32768; take a larger dt",
        "xylo audio2: 17 input channels ('x' 17), the chip has 16; merge or drop channels",
        "xylo audio2: 9 readout neurons ('o' 9), the chip has 8; code the classes on fewer neurons, "
        "or take a chip with more (audio3 has 32, imu 16)",
    ]


def test_an_unknown_grouping_is_refused(ctx: Context) -> None:
    module = module_of(1, Part(np.ones((2, 1))), Part([[1.0]]))
    assert refusal(ctx, module, "network") == ["quantize 'network' is neither neuron nor layer"]


def test_two_synapses_are_refused(ctx: Context, parse: Parse) -> None:
    text = str(module_of(1, Part([[0.5], [0.25]]), Part([[1.0]])))
    text = text.replace("dense<5.000000e-01> : tensor<1x1x1xf64>", "dense<0.5> : tensor<1x1x2xf64>")
    text = text.replace("dense<2.500000e-01> : tensor<1x1x1xf64>", "dense<0.25> : tensor<1x1x2xf64>")
    text = text.replace("tensor<1x1xf64>, threshold", "tensor<1x2xf64>, threshold")
    assert refusal(ctx, parse(text)) == ["xylo-quantize takes networks with one synapse per neuron"]


def test_integers_are_left_alone(ctx: Context) -> None:
    module = module_of(2, Part(np.ones((4, 2))), Part(np.ones((2, 1))))
    XyloQuantizePass().apply(ctx, module)
    once = str(module)
    XyloQuantizePass().apply(ctx, module)
    assert str(module) == once


# Saturation


def driven(op: xylo.NetworkOp, steps: int = 250) -> dict[str, Array]:
    """The states while every excitatory, and in a second run every inhibitory, source of a neuron fires once a step.

    One run in the batch for each neuron and each sign; spikes of hidden neurons are put in from outside.
    """
    n, inputs = op.hidden.size, op.input.size
    into = np.concatenate([op.input.numbers("weights"), op.hidden.numbers("weights")])[:, :, 0]
    signs = [np.sign(into).T, -np.sign(into).T]
    out = op.readout.numbers("weights")
    signs += [np.concatenate([np.zeros((inputs, out.shape[1])), s * np.sign(out)]).T for s in (1, -1)]
    active = np.concatenate(signs) > 0
    evaluator = XyloEvaluator(op, len(active))
    seen = dict[str, Array]()
    for _ in range(steps):
        evaluator.state["spikes"] = active[:, inputs : inputs + n].astype(np.int64)
        evaluator.step(active[:, :inputs].astype(np.int64))
        for name in ("i", "i_out"):
            extreme = np.array([evaluator.state[name].min(), evaluator.state[name].max()])
            held = seen.setdefault(name, extreme)
            held[:] = min(held[0], extreme[0]), max(held[1], extreme[1])
    return seen


@pytest.mark.parametrize("seed", range(8))
def test_currents_do_not_saturate_while_every_source_fires_once_a_step(quantize: Quantize, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    n = 12
    hidden = random_part(rng, 4 + n, n, biased=False)
    hidden.dash_syn = rng.uniform(0, 4, n)
    readout = random_part(rng, n, 3, biased=False)
    readout.dash_syn = rng.uniform(0, 4, 3)
    module = module_of(4, hidden, readout)
    op = quantize(module)
    assert statements(module, "saturation") == []
    seen = driven(op)
    for name in ("i", "i_out"):
        assert seen[name].min() > -32768
        assert seen[name].max() < 32767
    assert seen["i"].max() > 2000
    assert seen["i_out"].max() > 2000


def test_a_current_that_can_saturate_is_told(quantize: Quantize) -> None:
    """40 weights of 127 under tau_syn = 8 steps: 40 * 127 * 8 = 40640 > 32767 without any shift."""
    weights = np.zeros((41, 40))
    weights[1:, 3] = 1.0
    weights[0] = 0.5
    module = module_of(1, Part(weights, dash_syn=3.0), Part(np.eye(40)[:, :2]))
    op = quantize(module)
    assert op.hidden.weight_shift.value.data == 0
    note = (
        "the current of 1 neuron(s), first neuron 3 of 'h', saturates at 16 bits if all its sources fire "
        "at once for long"
    )
    assert statements(module, "saturation") == [("note", note)]
    assert driven(op)["i"].max() == 32767 - (32767 >> 3)


def test_a_saturating_current_beyond_the_reach_of_the_inputs_is_told(quantize: Quantize) -> None:
    """The same where the inputs' matrix was cut before quantization: neuron 3 lies outside of it."""
    weights = np.zeros((41, 40))
    weights[1:, 3] = 1.0
    weights[0, :2] = 0.5
    module = module_of(1, Part(weights, dash_syn=3.0), Part(np.eye(40)[:, :2]), reached=2)
    quantize(module)
    assert [text.split(",")[1] for _, text in statements(module, "saturation")] == [" first neuron 3 of 'h'"]


@pytest.mark.parametrize("threshold", [3.5, 4.0])
def test_a_membrane_keeps_its_charge_while_its_source_fires_once_a_step(
    ctx: Context, parse: Parse, threshold: float
) -> None:
    """A steady current of 3 per step, up to what it leaves above the threshold; the chip's rate is the real one.

    v stands just below the threshold before it takes up a current, so threshold + current have to fit in 16 bits.
    """
    zero = np.zeros((1, 1))
    text = recurrent(np.full((1, 1), 0.75), zero, np.eye(1), (np.full(1, 32.0), np.full(1, 4.0)), np.full(1, threshold))
    module = parse(text)
    raster: Array = np.ones((400, 1, 1), np.uint8)
    (before,) = module.ops
    assert isinstance(before, snn.NetworkOp)
    real = SnnEvaluator(before, 1, ("h.spikes",)).run({"x": raster})["h.spikes"]
    ConvertSnnToXyloPass().apply(ctx, module)
    XyloQuantizePass().apply(ctx, module)
    chip = XyloEvaluator(network(module), 1, ("h.spikes",)).run({"x": raster})["h.spikes"]
    assert real.sum() > 200
    assert abs(int(chip.sum()) / int(real.sum()) - 1) < 0.03


# What is kept of the spikes


def text_of(values: Any) -> str:
    return str(dense(np.asarray(values, np.float64)))


def recurrent(w_in: Array, w_rec: Array, w_out: Array, taus: tuple[Array, Array], thresholds: Array) -> str:
    """inputs -> h (recurrent) -> o in the canonical wiring, f64; taus of membrane and synapse of h in steps."""
    (n, inputs), m = w_in.shape, len(w_out)
    h, z, o, s = f"tensor<{n}xf64>", f"tensor<{n}xi1>", f"tensor<{m}xf64>", f"tensor<{m}xi1>"
    a, b = (text_of(1 - 1 / tau) for tau in taus)
    gain, half = "gain = dense<1.0> : tensor<f64>", "decay = dense<0.875> : tensor<f64>"
    zero = "dense<0.0> : tensor<f64>"
    return f"""
    snn.network @main attributes {{inputs = ["x"], outputs = ["y"], scheme = "nir-euler", states = [
      #snn.state<"h", "z", dense<false> : tensor<i1>>, #snn.state<"h", "i", {zero}>, #snn.state<"h", "v", {zero}>,
      #snn.state<"o", "i", {zero}>, #snn.state<"o", "v", {zero}>]}} {{
    ^bb0(%x: tensor<{inputs}xi1>, %z: {z}, %hi: {h}, %hv: {h}, %oi: {o}, %ov: {o}):
      %in = snn.linear %x {{weight = {text_of(w_in)}}} : (tensor<{inputs}xi1>) -> {h}
      %rec = snn.linear %z {{weight = {text_of(w_rec)}}} : ({z}) -> {h}
      %sum = snn.sum %in, %rec : ({h}, {h}) -> {h}
      %hi1 = snn.filter %sum, %hi {{decay = {b}, {gain}, node = "h"}} : ({h}, {h}) -> {h}
      %hv1 = snn.filter %hi1, %hv {{decay = {a}, {gain}, node = "h"}} : ({h}, {h}) -> {h}
      %hz = snn.fire %hv1 {{threshold = {text_of(thresholds)}, compare = ">=", node = "h"}} : ({h}) -> {z}
      %hv2 = snn.reset %hv1, %hz {{kind = "subtract", amount = {text_of(thresholds)}, node = "h"}} : ({h}, {z}) -> {h}
      %out = snn.linear %hz {{weight = {text_of(w_out)}}} : ({z}) -> {o}
      %oi1 = snn.filter %out, %oi {{{half}, {gain}, node = "o"}} : ({o}, {o}) -> {o}
      %ov1 = snn.filter %oi1, %ov {{{half}, {gain}, node = "o"}} : ({o}, {o}) -> {o}
      %oz = snn.fire %ov1 {{threshold = dense<1.0> : tensor<f64>, compare = ">=", node = "o"}} : ({o}) -> {s}
      %ov2 = snn.reset %ov1, %oz {{kind = "subtract", amount = dense<1.0> : tensor<f64>}} : ({o}, {s}) -> {o}
      snn.yield %oz, %hz, %hi1, %hv2, %oi1, %ov2 : {s}, {z}, {h}, {h}, {o}, {o}
    }}
    """


def spike_trains(
    ctx: Context, parse: Parse, seed: int, dash_mem: tuple[int, int], dash_syn: tuple[int, int]
) -> tuple[Array, Array]:
    """Hidden spikes [T, N] of a random recurrent network before and after quantization; dashes low, ..., high - 1."""
    rng = np.random.default_rng(seed)
    inputs, n, m, steps = 8, 30, 4, 600
    taus = 2.0 ** rng.integers(*dash_mem, n), 2.0 ** rng.integers(*dash_syn, n)
    w_in = rng.normal(0.4, 0.2, (n, inputs)) / taus[1][:, None]
    w_rec = rng.normal(0, 0.05, (n, n)) * (rng.random((n, n)) < 0.3) / taus[1][:, None]
    module = parse(recurrent(w_in, w_rec, rng.normal(0, 0.2, (m, n)), taus, rng.uniform(0.8, 1.2, n)))
    raster: Array = (rng.random((steps, 1, inputs)) < 0.04).astype(np.uint8)
    (before,) = module.ops
    assert isinstance(before, snn.NetworkOp)
    real = SnnEvaluator(before, 1, ("h.spikes",)).run({"x": raster})["h.spikes"][:, 0]
    ConvertSnnToXyloPass().apply(ctx, module)
    XyloQuantizePass().apply(ctx, module)
    chip = XyloEvaluator(network(module), 1, ("h.spikes",)).run({"x": raster})["h.spikes"][:, 0]
    return real, chip


@pytest.mark.parametrize("seed", range(6))
def test_spike_trains_coincide(ctx: Context, parse: Parse, seed: int) -> None:
    """tau_mem of 4 and 8, tau_syn of 2 steps: 90 % of the hidden spikes stand in the real ones' step."""
    real, chip = spike_trains(ctx, parse, seed, (2, 4), (1, 2))
    assert real.sum() > 500
    assert chip.max() == 1, "neurons that fire twice in a step differ by design"
    together = int((real & (chip > 0)).sum())
    assert together / max(int(real.sum()), int(chip.sum())) >= 0.9


@pytest.mark.parametrize("seed", range(3))
def test_the_rates_of_slow_neurons_are_kept(ctx: Context, parse: Parse, seed: int) -> None:
    """tau_mem of 8 and 16, tau_syn of 2 to 8 steps: spikes shift by a step, their number stays within 5 %."""
    real, chip = spike_trains(ctx, parse, seed, (3, 5), (1, 4))
    assert real.sum() > 300
    assert abs(int(chip.sum()) / int(real.sum()) - 1) < 0.05
