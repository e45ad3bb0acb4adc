"""Where the vendor's import fails in silence (sinabs 3.1.3, nir 1.0.4): nirc is right, or refuses.

The networks are made of whole numbers that quantize without error (the largest weight is 127, so the scale is 1) and of
thresholds that no neuron reaches twice in a step, so that what the chip does follows from NIR's equations by hand.
"""

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

sys.path.append(str(Path(__file__).parents[2]))
from speck_models import affine, chain, conv, flatten, pool, scale, spiking

RNG = np.random.default_rng(3)
STEPS = 60


def whole(*shape: int, least: int = -20, most: int = 60) -> Array:
    """Weights of whole numbers, the largest of which is 127."""
    values: Array = RNG.integers(least, most, shape).astype(np.float32)
    values.flat[0] = 127
    return values


def fire(current: Array, theta: int) -> Array:
    """v += current; a spike at v >= theta, which is subtracted; no lower bound in reach."""
    v, spikes = np.zeros(current.shape[1:]), np.zeros(current.shape, int)
    for t, arriving in enumerate(current):
        v = v + arriving
        assert v.max() < 2 * theta
        assert v.min() > -32768
        spikes[t] = v >= theta
        v -= spikes[t] * theta
    return spikes


def run(model: Any, raster: Array) -> tuple[list[dict[str, Any]], Array]:
    """The cores of the configuration, and what the stepped model gives."""
    program = nirc.compile(model, "speck", reset="subtract", lower_bound="lowest")
    return json.loads(program.emit())["cnn_layers"], program.run(raster, model="stepped")


def dots(channels: int, size: int) -> Array:
    """Random events, one in five places."""
    return (RNG.random((STEPS, channels, size, size)) < 0.2).astype(np.uint8)


def test_avg_pool_is_not_dropped() -> None:
    """from_nir returns None for AvgPool2d, and the executor loses the edge."""
    first, second = whole(2, 1, 1, 1), 4 * whole(3, 2, 1, 1)
    nodes = conv(first), spiking((2, 8, 8), 300), pool(2, "AvgPool2d"), conv(second), spiking((3, 4, 4), 900)
    raster = dots(1, 8)
    cores, got = run(chain((1, 8, 8), *nodes, outputs=(3, 4, 4)), raster)
    assert len(cores) == 2
    spikes = fire(np.einsum("fc,tcyx->tfyx", first[:, :, 0, 0], raster), 300)
    means = spikes.reshape(STEPS, 2, 4, 2, 4, 2).mean(axis=(3, 5))
    expected = fire(np.einsum("fc,tcyx->tfyx", second[:, :, 0, 0], means), 900)
    assert expected.sum() > 20
    assert np.array_equal(got, expected)


def test_linear_without_bias_is_not_dropped() -> None:
    first, second = whole(2, 1, 3, 3), whole(4, 2 * 3 * 3)
    nodes = conv(first), spiking((2, 3, 3), 400), flatten(2, 3, 3), affine(second), spiking((4,), 300)
    raster = dots(1, 5)
    cores, got = run(chain((1, 5, 5), *nodes, outputs=(4,)), raster)
    assert len(cores) == 2
    windows = np.lib.stride_tricks.sliding_window_view(raster[:, 0], (3, 3), axis=(1, 2))
    spikes = fire(np.einsum("fab,tyxab->tfyx", first[:, 0], windows), 400)
    expected = fire(spikes.reshape(STEPS, -1) @ second.T, 300)
    assert expected.sum() > 20
    assert np.array_equal(got, expected)


def test_scale_is_not_dropped() -> None:
    weight, factor = whole(2, 3, 1, 1) / 2, np.array([2.0, 4.0, 0.5]).reshape(3, 1, 1)
    weight[:, 1] /= 2
    nodes = scale(factor * np.ones((3, 4, 4))), conv(weight), spiking((2, 4, 4), 400)
    raster = dots(3, 4)
    cores, got = run(chain((3, 4, 4), *nodes, outputs=(2, 4, 4)), raster)
    assert cores[0]["weights"][0][0] == [[127]]
    # The third channel's factor leaves quarters, which round half to even.
    integers = np.rint(weight[:, :, 0, 0] * factor[:, 0, 0])
    expected = fire(np.einsum("fc,tcyx->tfyx", integers, raster), 400)
    assert expected.sum() > 20
    assert np.array_equal(got, expected)


def test_the_padding_of_a_pool_is_refused() -> None:
    """sinabs drops it, and compiles another network."""
    nodes = conv(whole(2, 1, 1, 1)), spiking((2, 6, 6), 300), pool(2, padding=(1, 1)), conv(whole(3, 2, 1, 1))
    with pytest.raises(DiagnosticException, match=r"node 'n2': a pool with padding \(1, 1\); Speck's pools have none"):
        run(chain((1, 6, 6), *nodes, spiking((3, 4, 4), 900), outputs=(3, 4, 4)), dots(1, 6))


@pytest.mark.parametrize(("bound", "low"), [("threshold", -254), ("lowest", -32768)])
def test_weights_stay_without_a_lower_bound(bound: str, low: int) -> None:
    """Where v_min is absent sinabs scales by -32768 itself: s <= 1, and these weights would all round to 0."""
    weight = np.array([0.25, -0.125]).reshape(2, 1, 1, 1)
    model = chain((1, 4, 4), conv(weight), spiking((2, 4, 4), 0.5), outputs=(2, 4, 4))
    (core,) = json.loads(nirc.compile(model, "speck", lower_bound=bound).emit())["cnn_layers"]
    assert np.ravel(core["weights"]).tolist() == [127, -64]
    assert (core["threshold_high"], core["threshold_low"]) == (254, low)


def test_thresholds_as_arrays() -> None:
    """sinabs: `only one element tensors can be converted`; here equal ones are one."""
    model = chain((1, 4, 4), conv(whole(2, 1, 1, 1)), spiking((2, 4, 4), np.full((2, 4, 4), 300)), outputs=(2, 4, 4))
    assert run(model, dots(1, 4))[0][0]["threshold_high"] == 300


def test_r_and_v_reset_count() -> None:
    """sinabs ignores both."""
    model = chain((1, 4, 4), conv(whole(2, 1, 1, 1)), spiking((2, 4, 4), 300, r=0.5), outputs=(2, 4, 4))
    (core,) = json.loads(nirc.compile(model, "speck", dt=1).emit())["cnn_layers"]
    assert core["threshold_high"] == 600  # s = 2
    assert core["return_to_zero"] is True
    model = chain((1, 4, 4), conv(whole(2, 1, 1, 1)), spiking((2, 4, 4), 300, v_reset=1), outputs=(2, 4, 4))
    with pytest.raises(DiagnosticException, match="node 'n1': a spike resets it to v_reset = 1"):
        nirc.compile(model, "speck")
