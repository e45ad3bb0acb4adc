"""Which decays of the chip a neuron gets: against responses simulated step by step and a search over all pairs.

Inner products of responses come from sums over 2000 steps, or, where 2000 are not enough, from the discrete Lyapunov
equation X = A^T X A' + c c'^T of the two-state system that the neuron is.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array
from nirc.passes.xylo_fit_time_constants import XyloFitTimeConstantsPass

sys.path.append(str(Path(__file__).parent))
from xylo_networks import Part, applied, changes, module_of, random_part, statements

STEPS = 2000


def simulated(a: float, b: float, constant: bool = False) -> Array:
    """v of a neuron over 2000 steps after one spike of weight 1 (or under 1 a step that needs no synapse)."""
    v, i = 0.0, 0.0
    response: Array = np.zeros(STEPS)
    for t in range(STEPS):
        i = b * i + (t == 0)
        v = a * v + (1.0 if constant else i)
        response[t] = v
    return response


@cache
def inner(a: float, b: float, c: float, d: float) -> float:
    """The sum over all t of the products of two responses: to a spike through synapse b (d) and membrane a (c)."""
    first, second = np.array([[b, 0], [b, a]]), np.array([[d, 0], [d, c]])
    out = np.outer([0, 1], [0, 1])
    system = np.eye(4) - np.kron(second.T, first.T)
    weighed = np.linalg.solve(system, out.T.ravel()).reshape(2, 2).T
    return float(np.ones(2) @ weighed @ np.ones(2))  # after the spike both states are 1


def cost(a: float, b: float, c: float, d: float, *, fires: bool) -> float:
    """|h - g h'|^2 / |h|^2 with the best g, and the same of the reset's response, whose gain is fixed."""
    h = inner(a, b, a, b)
    lost = 1 - inner(a, b, c, d) ** 2 / (h * inner(c, d, c, d))
    # A reset acts on the membrane alone: a synapse of b = 0.
    own = inner(a, 0.0, a, 0.0)
    reset = (own + inner(c, 0.0, c, 0.0) - 2 * inner(a, 0.0, c, 0.0)) / own
    return lost + reset * fires


PAIRS = [(m, s) for m in range(16) for s in range(1, 16)]
"""All that the chip has, but dash_syn 0, which clears the current before it acts."""


def decay(dash: float) -> float:
    return 1 - 2.0**-dash


def fit(ctx: Context, module: ModuleOp, rule: str = "response") -> xylo.NetworkOp:
    return applied(ctx, module, XyloFitTimeConstantsPass(rule))


def test_the_inner_products_of_this_file() -> None:
    """The two ways agree where 2000 steps are enough."""
    rng = np.random.default_rng(0)
    for a, b, c, d in rng.uniform(0, 0.98, (20, 4)).tolist():
        summed = float(simulated(a, b) @ simulated(c, d))
        assert inner(a, b, c, d) == pytest.approx(summed, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_pair_of_all_is_taken(ctx: Context, seed: int) -> None:
    """Hidden and readout neurons with time constants of 1 to 4000 steps."""
    rng = np.random.default_rng(seed)
    hidden, readout = random_part(rng, 12, 9, biased=True), random_part(rng, 9, 3, biased=False)
    for part in (hidden, readout):
        size = np.shape(part.weights)[1]
        part.dash_mem, part.dash_syn = rng.uniform(0, 12, size), rng.uniform(0, 12, size)
    op = fit(ctx, module_of(3, hidden, readout))
    for given, got in ((hidden, op.hidden), (readout, op.readout)):
        for n, (mem, syn) in enumerate(zip(given.column("dash_mem"), given.column("dash_syn"), strict=True)):
            a, b = decay(mem), decay(syn)
            best = min(cost(a, b, decay(m), decay(s), fires=True) for m, s in PAIRS)
            taken = got.numbers("dash_mem")[n], got.numbers("dash_syn").ravel()[n]
            assert taken in PAIRS
            assert cost(a, b, decay(taken[0]), decay(taken[1]), fires=True) <= best + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_inputs_and_bias_are_scaled_by_least_squares(ctx: Context, seed: int) -> None:
    """The factor g that brings g h' nearest to h over 2000 steps; a bias by the responses without a synapse."""
    rng = np.random.default_rng(10 + seed)
    hidden, readout = random_part(rng, 9, 6, biased=True), random_part(rng, 6, 2, biased=True)
    hidden.dash_mem, readout.dash_mem = rng.uniform(0, 5.5, 6), rng.uniform(0, 5.5, 2)  # what 2000 steps are enough for
    op = fit(ctx, module_of(3, hidden, readout))
    weights = np.concatenate([op.input.numbers("weights"), op.hidden.numbers("weights")])[:, :, 0]
    for given, got, after in ((hidden, op.hidden, weights), (readout, op.readout, op.readout.numbers("weights"))):
        for n in range(got.size):
            a, b = decay(given.column("dash_mem")[n]), decay(given.column("dash_syn")[n])
            c, d = decay(got.numbers("dash_mem")[n]), decay(got.numbers("dash_syn").ravel()[n])
            whole = simulated(c, d)
            gain = float(simulated(a, b) @ whole / (whole @ whole))
            assert np.allclose(after[:, n], gain * np.asarray(given.weights)[:, n], rtol=1e-9, atol=0)
            whole = simulated(c, 0.0)
            gain = float(simulated(a, 0.0) @ whole / (whole @ whole))
            assert got.numbers("bias")[n] == pytest.approx(gain * given.column("bias")[n], rel=1e-9)
        assert np.array_equal(got.numbers("threshold"), given.column("threshold"))


@pytest.mark.parametrize("rule", ["response", "nearest"])
def test_powers_of_two_stay(ctx: Context, rule: str) -> None:
    """Every pair of whole dashes but a synapse of dash 0, and weights and biases with them."""
    mem, syn = np.array(PAIRS, float).T
    n = len(PAIRS)
    rng = np.random.default_rng(1)
    into = np.concatenate([rng.normal(size=(2, n)), np.zeros((n, n))])
    hidden = Part(into, mem, syn, rng.uniform(1, 2, n), rng.normal(size=n))
    op = fit(ctx, module_of(2, hidden, Part(np.ones((n, 1)), 3.0, 2.0)), rule)
    assert np.array_equal(op.hidden.numbers("dash_mem"), mem)
    assert np.array_equal(op.hidden.numbers("dash_syn")[:, 0], syn)
    gain = 1.0 if rule == "response" else 1 - 0.5**syn
    assert np.allclose(op.input.numbers("weights")[:, :, 0], gain * into[:2], rtol=1e-9, atol=0)
    assert np.allclose(op.hidden.numbers("bias"), hidden.bias, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("mem", "syn"), [(4.0, 2.0), (2.0, 4.0), (3.0, 3.0), (7.0, 1.0)])
def test_a_membrane_that_is_read_keeps_its_own_time_constant(ctx: Context, mem: float, syn: float) -> None:
    """Synapse and membrane may not change places, though spikes alone would not notice: a bias does."""
    module = module_of(1, Part([[1.0], [0.0]]), Part([[1.0]], mem, syn, bias=0.1), membranes=("o",))
    op = fit(ctx, module)
    assert op.readout.numbers("dash_mem").tolist() == [mem]
    assert op.readout.numbers("dash_syn").tolist() == [syn]
    assert op.readout.numbers("bias")[0] == pytest.approx(0.1, rel=1e-12)


def test_a_membrane_that_is_read_has_no_reset_to_keep(ctx: Context) -> None:
    """The pair of the least input error alone."""
    rng = np.random.default_rng(3)
    for mem, syn in zip(rng.uniform(2, 7, 20), rng.uniform(0, 6, 20), strict=True):
        op = fit(ctx, module_of(1, Part([[1.0], [0.0]]), Part([[1.0]], mem, syn), membranes=("o",)))
        a, b = decay(mem), decay(syn)
        best = min(cost(a, b, decay(m), decay(s), fires=False) for m, s in PAIRS)
        taken = op.readout.numbers("dash_mem")[0], op.readout.numbers("dash_syn")[0]
        assert cost(a, b, decay(taken[0]), decay(taken[1]), fires=False) <= best + 1e-9


def test_a_neuron_without_a_synapse(ctx: Context) -> None:
    """LIF of tau = 8: the shortest synapse takes 2 steps; h' starts at its weight, so the weight shrinks."""
    module = module_of(1, Part([[1.0], [0.0]], 3.0, 0.0), Part([[1.0]], 3.0, 2.0))
    op = fit(ctx, module)
    assert op.hidden.numbers("dash_syn").tolist() == [[1]]
    c = decay(op.hidden.numbers("dash_mem")[0])
    whole = simulated(c, 0.5)
    gain = float(simulated(0.875, 0.0) @ whole / (whole @ whole))
    assert op.input.numbers("weights")[0, 0, 0] == pytest.approx(gain)
    assert 0.5 < gain < 0.7
    text = (
        "'h' has synapses of less than 2 steps; the chip's shortest takes 2 steps, and a shorter one would clear the "
        "current before it acts"
    )
    assert statements(module, "synapse") == [("note", text)]


def test_a_membrane_without_memory_stays_one(ctx: Context) -> None:
    module = module_of(1, Part(np.ones((2, 1)), dash_mem=0.0, dash_syn=1.0), Part([[1.0]], dash_mem=0.0))
    op = fit(ctx, module)
    assert op.hidden.numbers("dash_mem").tolist() == [0]
    assert op.readout.numbers("dash_mem").tolist() == [0]
    assert statements(module, "synapse") == []


def test_the_vendors_rule(ctx: Context) -> None:
    """log2(tau/dt) half to even; weights of first-step effect W stand for W / (1 - 2^-dash) of what the chip is given,
    which the vendor does not divide: W before is the integer's real number after."""
    mem, syn = np.array([2.4, 2.5, 3.5, 4.6, 0.4]), np.array([1.5, 2.5, 1.0, 0.4, 2.0])
    into = np.concatenate([[[1.0, 2.0, 3.0, 4.0, 5.0]], np.zeros((5, 5))])
    op = fit(ctx, module_of(1, Part(into, mem, syn, bias=0.5), Part(np.ones((5, 1)), 2.0, 1.0)), "nearest")
    assert op.hidden.numbers("dash_mem").tolist() == [2, 2, 4, 5, 0]
    assert op.hidden.numbers("dash_syn").ravel().tolist() == [2, 2, 1, 0, 2]
    assert op.input.numbers("weights").ravel().tolist() == [0.75, 1.5, 1.5, 4.0, 3.75]
    assert op.hidden.numbers("bias").tolist() == [0.5] * 5


# The report


def test_the_report_of_time_constants(ctx: Context) -> None:
    """By the vendor's rule: 25 steps become 32, 0.28 of 25 more; 8 stay 8; 3 become 4."""
    hidden = Part(np.ones((3, 2)), [np.log2(25), 3.0], [np.log2(3), 1.0])
    module = module_of(1, hidden, Part([[1.0], [1.0]], np.log2(100)))
    report = changes(fit(ctx, module, "nearest"))
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
    assert "tau_mem of 'o' changes by up to 28% (100 to 128 steps)" in [
        text for _, text in statements(module, "quantization")
    ]
    assert ("h", "input gain") not in report


def test_the_report_of_gains(ctx: Context) -> None:
    """By what the weights onto each neuron were multiplied; nothing is told of exact ones."""
    module = module_of(1, Part([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]], [3.0, 3.3], [2.0, 2.4]), Part(np.ones((2, 1))))
    op = fit(ctx, module)
    unit, before, after, _ = changes(op)["h", "input gain"]
    assert unit == "per spike"
    assert np.all(before == 1)
    assert np.allclose(after, op.input.numbers("weights").ravel(), rtol=1e-12)
    assert after[0] == pytest.approx(1, rel=1e-12)
    assert not any("'o'" in text for _, text in statements(module, "quantization"))


# The longest


@pytest.mark.parametrize("rule", ["response", "nearest"])
def test_the_longest_time_constant(ctx: Context, rule: str) -> None:
    op = fit(ctx, module_of(1, Part(np.ones((2, 1)), dash_mem=15.4, dash_syn=15.0), Part([[1.0]])), rule)
    assert op.hidden.numbers("dash_mem").tolist() == [15]
    assert op.hidden.numbers("dash_syn").tolist() == [[15]]


@pytest.mark.parametrize("rule", ["response", "nearest"])
def test_time_constants_beyond_the_longest_are_refused(ctx: Context, rule: str) -> None:
    """Together with the limits that the network breaks; nothing changes."""
    hidden = Part(np.ones((20, 3)), dash_mem=[4.0, 16.0, 17.0], dash_syn=[2.0, 2.0, 15.6])
    module = module_of(17, hidden, Part(np.ones((3, 1)), dash_mem=16.0))
    before = str(module)
    with pytest.raises(PassFailedException) as refused:
        fit(ctx, module, rule)
    assert str(refused.value).splitlines() == [
        "neuron 1 of 'h': tau_mem is 6.554e+04 steps, the longest on the chip is 32768; take a larger dt",
        f"neuron 2 of 'h': tau_syn is {2**15.6:.4g} steps, the longest on the chip is 32768; take a larger dt",
        "neuron 0 of 'o': tau_mem is 6.554e+04 steps, the longest on the chip is 32768; take a larger dt",
        "xylo audio2: 17 input channels ('x' 17), the chip has 16; merge or drop channels",
    ]
    assert str(module) == before


def test_an_unknown_rule_is_refused(ctx: Context) -> None:
    with pytest.raises(PassFailedException, match=r"^rule 'floor' is not one of response, nearest$"):
        fit(ctx, module_of(1, Part(np.ones((2, 1))), Part([[1.0]])), "floor")


def test_whole_numbers_are_left_alone(ctx: Context) -> None:
    """Fitting twice changes nothing but the report."""
    rng = np.random.default_rng(2)
    op = fit(ctx, module_of(3, random_part(rng, 9, 6, biased=True), random_part(rng, 6, 2, biased=False)))
    once = [part.numbers("weights") for part in op.parts()]
    dashes = [part.numbers(name) for part in (op.hidden, op.readout) for name in ("dash_mem", "dash_syn", "bias")]
    XyloFitTimeConstantsPass().apply(ctx, op.parent_op())  # pyright: ignore[reportArgumentType]
    for old, part in zip(once, op.parts(), strict=True):
        assert np.allclose(part.numbers("weights"), old, rtol=1e-9, atol=0)
    again = [part.numbers(name) for part in (op.hidden, op.readout) for name in ("dash_mem", "dash_syn", "bias")]
    for old, new in zip(dashes, again, strict=True):
        assert np.allclose(new, old, rtol=1e-9, atol=0)
