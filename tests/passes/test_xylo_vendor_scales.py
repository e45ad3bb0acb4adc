"""The vendor's scales: 127 / max(|weight|, |bias|) in plain numpy; which of its defects are left out is named here.

Numbers of the specification's section 6: 2 (channel_quantize leaves the hidden bias unscaled), 3 (global_quantize
scales bias_out with the hidden scale, and the limit of the readout thresholds multiplies weights_rec), 5 (int8 wraps).
What the whole route makes of the vendor's own cases stands in tests/backends/xylo/test_vendor_mapping.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array
from nirc.passes.xylo_fit_time_constants import XyloFitTimeConstantsPass
from nirc.passes.xylo_quantize import XyloQuantizePass
from nirc.passes.xylo_vendor_scales import XyloVendorScalesPass

sys.path.append(str(Path(__file__).parent))
from xylo_networks import Part, applied, module_of, random_part


def vendor(ctx: Context, module: ModuleOp, per: str) -> xylo.NetworkOp:
    """dash by rounding, the vendor's scales, integers: as the pipeline does under --mapping vendor."""
    return applied(ctx, module, XyloFitTimeConstantsPass("nearest"), XyloVendorScalesPass(per), XyloQuantizePass())


def by_hand(part: Part, per: str) -> dict[str, Array]:
    """Section 5: s = 127 / max(|w|, |bias|), limited to 32767 / threshold; w, threshold and bias times s, rounded."""
    weights, threshold, bias = np.asarray(part.weights, np.float64), part.column("threshold"), part.column("bias")
    largest = np.maximum(np.abs(weights).max(axis=0), np.abs(bias))
    highest = threshold
    if per == "layer":
        largest, highest = np.full_like(largest, largest.max()), np.full_like(threshold, threshold.max())
    scale = np.minimum(127 / largest, 32767 / highest)
    return {
        "weights": np.round(weights * scale),
        "threshold": np.round(threshold * scale),
        "bias": np.round(bias * scale),
        "dash_mem": np.round(part.column("dash_mem")),
        "dash_syn": np.round(part.column("dash_syn")),
    }


def assert_by_hand(op: xylo.NetworkOp, hidden: Part, readout: Part, per: str) -> None:
    want, wanted_out = by_hand(hidden, per), by_hand(readout, per)
    into = np.concatenate([op.input.numbers("weights"), op.hidden.numbers("weights")])[:, :, 0]
    assert np.array_equal(into, want.pop("weights"))
    for name, values in want.items():
        assert np.array_equal(op.hidden.numbers(name).ravel(), values), name
    for name, values in wanted_out.items():
        assert np.array_equal(op.readout.numbers(name), values), name
    assert [part.weight_shift.value.data for part in op.parts()] == [0, 0, 0]


@pytest.mark.parametrize("per", ["layer", "neuron"])
@pytest.mark.parametrize("seed", range(6))
def test_integers_of_a_random_network(ctx: Context, seed: int, per: str) -> None:
    """layer: one scale for all hidden neurons of all layers (global_quantize); neuron: channel_quantize."""
    rng = np.random.default_rng(seed)
    hidden, readout = random_part(rng, 12, 9, biased=seed % 2 == 1), random_part(rng, 9, 3, biased=seed % 2 == 1)
    op = vendor(ctx, module_of(3, hidden, readout, {"g": 4, "h": 5}), per)
    assert_by_hand(op, hidden, readout, per)
    if per == "layer":
        assert len(np.unique(op.hidden.numbers("scale"))) == len(np.unique(op.readout.numbers("scale"))) == 1


def test_defect_2_the_hidden_bias_is_scaled_per_neuron(ctx: Context) -> None:
    """Biases of 0.3 and 0.04 beside weights of 1 and 0.2: 38 and 25, where the vendor rounds 0.3 and 0.04 to 0."""
    hidden = Part([[1.0, 0.2], [0.0, 0.0], [0.0, 0.0]], bias=[0.3, 0.04])
    op = vendor(ctx, module_of(1, hidden, Part(np.ones((2, 1)))), "neuron")
    assert op.hidden.numbers("bias").tolist() == [38, 25]
    assert op.hidden.numbers("scale").tolist() == [127, pytest.approx(635)]


def test_defect_3_the_readout_bias_has_the_readout_scale(ctx: Context) -> None:
    """Weights of 2 onto the readout, 0.5 onto the hidden neuron: bias_out 0.25 is round(63.5 / 4), not of 254 / 4."""
    module = module_of(1, Part([[0.5], [0.0]]), Part([[2.0]], bias=0.25))
    op = vendor(ctx, module, "layer")
    assert op.hidden.numbers("scale").tolist() == [254]
    assert op.readout.numbers("bias").tolist() == [16]


@pytest.mark.parametrize("per", ["layer", "neuron"])
def test_defect_3_the_readout_thresholds_limit_the_readout_alone(ctx: Context, per: str) -> None:
    """A readout threshold of 1000 beside weights of 1: 32.767 LSB per unit there, 127 among the hidden neurons."""
    hidden = Part([[1.0, 1.0], [0.0, 0.5], [-1.0, 0.0]])
    op = vendor(ctx, module_of(1, hidden, Part(np.ones((2, 1)), threshold=1000.0)), per)
    assert op.hidden.numbers("weights")[:, :, 0].tolist() == [[0, 64], [-127, 0]]
    assert op.readout.numbers("threshold").tolist() == [32767]
    assert op.readout.numbers("weights").tolist() == [[33], [33]]


@pytest.mark.parametrize("per", ["layer", "neuron"])
def test_the_hidden_thresholds_limit_the_hidden_weights(ctx: Context, per: str) -> None:
    """Of the whole population, or of the neuron whose threshold is 1000."""
    hidden = Part([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]], threshold=[1000.0, 1.0])
    op = vendor(ctx, module_of(1, hidden, Part(np.ones((2, 1)))), per)
    assert op.hidden.numbers("threshold").tolist() == [32767, 33 if per == "layer" else 127]
    assert op.input.numbers("weights").ravel().tolist() == [33, 33 if per == "layer" else 127]


@pytest.mark.parametrize("per", ["layer", "neuron"])
@pytest.mark.parametrize("largest", [1e-6, 200.0, 1e6])
def test_defect_5_no_weight_leaves_8_bits(ctx: Context, largest: float, per: str) -> None:
    """The vendor's cast turns 200 into -56; a scaled weight is 127 at most, with its sign."""
    hidden = Part([[largest, -largest], [largest / 3, 0.0], [0.0, 0.0]], threshold=largest)
    op = vendor(ctx, module_of(1, hidden, Part([[largest], [-largest]], threshold=largest)), per)
    assert op.input.numbers("weights").ravel().tolist() == [127, -127]
    assert op.hidden.numbers("weights")[0, 0, 0] == 42
    assert op.readout.numbers("weights").ravel().tolist() == [127, -127]


def test_neurons_without_weights(ctx: Context) -> None:
    """Nothing but the threshold sets the scale of a silent neuron: 127 LSB."""
    op = vendor(ctx, module_of(1, Part([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), Part(np.ones((2, 1)))), "neuron")
    assert op.hidden.numbers("threshold").tolist() == [127, 127]


def test_an_unknown_grouping_is_refused(ctx: Context) -> None:
    with pytest.raises(PassFailedException, match=r"^quantize 'channel' is neither neuron nor layer$"):
        applied(ctx, module_of(1, Part([[1.0], [0.0]]), Part([[1.0]])), XyloVendorScalesPass("channel"))


def test_networks_of_integers_are_left_alone(ctx: Context) -> None:
    module = module_of(1, Part([[1.0], [0.0]]), Part([[1.0]]))
    vendor(ctx, module, "layer")
    once = str(module)
    XyloVendorScalesPass().apply(ctx, module)
    assert str(module) == once
