"""Relays copy a hidden layer to readout neurons, one step later, whatever its spike train: out[t + 1] = (S[t] > 0).

The integers are those of the specification's section 5, which xylosim found exact; tests/backends/xylo/test_relays.py
runs the vendor's simulator over whole models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.interpreters.xylo import XyloEvaluator
from nirc.passes.xylo_add_relays import XyloAddRelaysPass
from nirc.passes.xylo_quantize import XyloQuantizePass

sys.path.append(str(Path(__file__).parent))
from xylo_networks import Part, applied, module_of, network

Relay = Callable[..., xylo.NetworkOp]
NOTHING = Part(np.zeros((3, 0)), scale=1.0)


@pytest.fixture
def relay(ctx: Context) -> Relay:
    """A network of real numbers to its integers with relays."""
    return lambda *args, **given: applied(ctx, module_of(*args, **given), XyloQuantizePass(), XyloAddRelaysPass())


def hidden(threshold: float = 1.0, recurrence: float = 0.0) -> Part:
    """Two inputs onto three neurons; 75 LSB per unit."""
    weights = np.array([[0.4, 0.2, -0.1], [0.1, 0.3, 0.8], *np.full((3, 3), recurrence)])
    return Part(weights, [3.0, 2.0, 1.0], [1.0, 2.0, 1.0], threshold, scale=75.0)


def test_the_integers_of_the_specification(relay: Relay) -> None:
    """w_rec[i, h] = 4, w_rec[h, h] = -2, w_out[i] = 4, w_out[h] = -2; thresholds 2, dash_mem 0, dash_syn 1."""
    op = relay(2, hidden(), NOTHING, {"a": 1, "b": 2}, relays={"b": "y"})
    assert op.relayed() == {}
    assert op.hidden.sizes() == {"a": 1, "b": 2, "b_relay": 2}
    assert op.readout.sizes() == {"b_copy": 2}
    assert [name.data for name in op.readout.outputs] == ["y"]
    among = op.hidden.numbers("weights")[:, :, 0]
    expected = np.zeros((5, 5))
    expected[1, 3] = expected[2, 4] = 4
    expected[3, 3] = expected[4, 4] = -2
    assert np.array_equal(among, expected)
    assert op.readout.numbers("weights").tolist() == [[0, 0], [4, 0], [0, 4], [-2, 0], [0, -2]]
    assert op.input.numbers("weights").shape == (2, 3, 1)
    for part, here in ((op.hidden, slice(3, None)), (op.readout, slice(None))):
        values = {"dash_mem": 0, "dash_syn": 1, "threshold": 2, "bias": 0}
        for name, value in values.items():
            assert np.all(part.numbers(name)[here] == value), name


def test_golden(relay: Relay, golden: Callable[[str], None]) -> None:
    op = relay(2, hidden(), Part([[1.0], [0.5], [-1.0]], scale=75.0), {"a": 1, "b": 2}, relays={"b": "inside"})
    golden(f"{op.parent_op()!s}\n")


def test_the_readout_that_stands_there_stays(relay: Relay) -> None:
    op = relay(2, hidden(), Part([[1.0], [0.5], [-1.0]], scale=75.0), {"a": 1, "b": 2}, relays={"b": "inside"})
    assert op.readout.sizes() == {"o": 1, "b_copy": 2}
    assert [name.data for name in op.readout.outputs] == ["y", "inside"]
    # 75 LSB per unit, and the decay of dash_syn 2 put back: 100, 50, -100 onto the first readout neuron.
    assert op.readout.numbers("weights")[:, 0].tolist() == [100, 50, -100, 0, 0]


def test_names_that_are_taken(relay: Relay) -> None:
    op = relay(2, hidden(), NOTHING, {"b": 2, "b_relay": 1}, relays={"b": "y"})
    assert list(op.hidden.sizes()) == ["b", "b_relay", "b_relay_"]


def test_several_layers_are_relayed(relay: Relay) -> None:
    op = relay(2, hidden(0.4), NOTHING, {"a": 1, "b": 2}, relays={"a": "x1", "b": "x2"})
    raster = np.random.default_rng(0).integers(0, 4, (300, 1, 2))
    got = XyloEvaluator(op, 1, ("a.spikes", "b.spikes")).run({"x": raster})
    for output, layer in (("x1", "a.spikes"), ("x2", "b.spikes")):
        assert got[layer].any()
        assert np.array_equal(got[output][1:], got[layer][:-1] > 0)


@pytest.mark.parametrize("most", [1, 3, 15])
@pytest.mark.parametrize("recurrence", [0.0, 0.2])
@pytest.mark.parametrize("threshold", [2.0, 0.5, 0.05])
def test_a_copy_is_exact(relay: Relay, threshold: float, recurrence: float, most: int) -> None:
    """From sparse spikes to 31 a step; the helpers repeat the counts, the copies say whether."""
    steps = 10_000 if most == 15 and threshold < 1 else 2000
    op = relay(2, hidden(threshold, recurrence), NOTHING, relays={"h": "y"})
    rng = np.random.default_rng(most)
    rates = np.repeat(rng.choice([0.02, 0.2, 0.6, 1.0], steps // 100), 100)[:, None]
    raster = rng.integers(1, most + 1, (steps, 2)) * (rng.random((steps, 2)) < rates)
    got = XyloEvaluator(op, 1, ("h.spikes", "h_relay.spikes")).run({"x": raster[:, None]})
    spikes = got["h.spikes"]
    assert spikes.any()
    if threshold == 0.05 and most == 15:
        assert spikes.max() == 31
    assert np.array_equal(got["h_relay.spikes"][1:], spikes[:-1])
    assert np.array_equal(got["y"][1:], spikes[:-1] > 0)
    assert not got["y"][0].any()


def test_networks_without_relays_are_left_alone(ctx: Context) -> None:
    module = module_of(2, hidden(), Part([[1.0], [0.5], [-1.0]], scale=75.0))
    before = str(module)
    XyloAddRelaysPass().apply(ctx, module)
    assert str(module) == before


def test_real_numbers_are_refused(ctx: Context) -> None:
    module = module_of(2, hidden(), NOTHING, relays={"h": "y"})
    with pytest.raises(PassFailedException, match=r"^relays are made of integers; run xylo-quantize first$"):
        XyloAddRelaysPass().apply(ctx, module)


@pytest.mark.parametrize("part", ["hidden", "readout"])
def test_shifted_weights_are_refused(ctx: Context, part: str) -> None:
    own, out = hidden(), Part(np.zeros((3, 0)), scale=1.0)
    (own if part == "hidden" else out).shift = 1
    module = module_of(2, own, out, relays={"h": "y"})
    XyloQuantizePass().apply(ctx, module)
    assert network(module).relayed() == {"h": "y"}
    with pytest.raises(PassFailedException, match=r"^relays are exact with unshifted weights alone$"):
        XyloAddRelaysPass().apply(ctx, module)
