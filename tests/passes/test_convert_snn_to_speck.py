"""Layers in canonical wiring become cores; everything else is refused by name, all at once.

What a network means on the chip follows from NIR: the expected weights are products written out here, and where a
kernel changes its shape, the compiled network has to give the spikes of the `snn` evaluator on inputs on which the two
dynamics agree (one event at most per neuron and step, thresholds that are never passed by more than once).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

import nirc
from nirc.dialects import speck
from nirc.dialects.dense import Array
from nirc.dialects.nir import integers

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import affine, chain, conv, flatten, graph, nir, normal, pool, port, scale, spiking


def real(model: Any, **options: Any) -> speck.NetworkOp:
    """The network of real numbers."""
    passes = nirc.compile(model, "speck", until="snn", **options)
    from nirc.passes.convert_snn_to_speck import ConvertSnnToSpeckPass

    bound = options.get("lower_bound")
    ConvertSnnToSpeckPass(lower_bound=bound).apply(None, passes.module)  # pyright: ignore[reportArgumentType]
    passes.module.verify()
    (op,) = passes.module.ops
    assert isinstance(op, speck.NetworkOp)
    return op


def layer(model: Any, name: str = "n1", **options: Any) -> speck.CoreOp:
    return real(model, **options).layers()[name]


def faults(model: Any, **options: Any) -> list[str]:
    """What is refused, a line each."""
    with pytest.raises(DiagnosticException) as refused:
        nirc.compile(model, "speck", **options)
    return str(refused.value).splitlines()


RNG = np.random.default_rng(7)
KERNEL = normal(RNG, 3, 2, 3, 3)


# What a core takes in


def test_a_convolution() -> None:
    model = chain((2, 8, 9), conv(KERNEL, stride=(2, 1), padding=(1, 0)), spiking((3, 4, 7)), outputs=(3, 4, 7))
    op = layer(model)
    assert np.array_equal(op.numbers("weights"), KERNEL)
    assert (integers(op.stride), integers(op.padding)) == ((2, 1), (1, 0))
    assert (op.taken, op.given) == ((2, 8, 9), (3, 4, 7))
    assert [name.data for name in op.linear] == ["n0"]
    assert not op.numbers("biases").any()
    assert (float(op.numbers("threshold_high")), float(op.numbers("threshold_low"))) == (1, -1)
    assert op.return_to_zero is not None
    assert op.monitor is not None


def test_gain_and_bias() -> None:
    """v += r (W x + b): r goes into both."""
    model = chain((2, 5, 5), conv(KERNEL, [0.5, 0, -1]), spiking((3, 3, 3), 2.0, r=0.25), outputs=(3, 3, 3))
    op = layer(model, reset="subtract", dt=1)
    assert np.array_equal(op.numbers("weights"), 0.25 * KERNEL.astype(float))
    assert np.array_equal(op.numbers("biases"), [0.125, 0, -0.25])
    assert float(op.numbers("threshold_high")) == 2
    assert op.return_to_zero is None


def test_gains_that_differ_by_feature() -> None:
    gain = np.arange(1, 4).reshape(3, 1, 1)
    op = layer(chain((2, 5, 5), conv(KERNEL), spiking((3, 3, 3), r=gain), outputs=(3, 3, 3)), dt=1)
    assert np.array_equal(op.numbers("weights"), KERNEL.astype(float) * gain[..., None])


def test_scales_before_and_behind_a_convolution() -> None:
    before, behind = np.array([2, 0.5]).reshape(2, 1, 1), np.array([1, -1, 4.0]).reshape(3, 1, 1)
    nodes = scale(before * np.ones((2, 5, 5))), conv(KERNEL, [1, 2, 3]), scale(behind * np.ones((3, 3, 3)))
    op = layer(chain((2, 5, 5), *nodes, spiking((3, 3, 3)), outputs=(3, 3, 3)), "n3")
    expected = KERNEL * before.reshape(1, 2, 1, 1) * behind.reshape(3, 1, 1, 1)
    assert np.array_equal(op.numbers("weights"), expected.astype(np.float32))
    assert np.array_equal(op.numbers("biases"), [1, -2, 12])


@pytest.mark.parametrize("kind", ["AvgPool2d", "SumPool2d"])
@pytest.mark.parametrize("sizes", [(2,), (4,), (2, 2)])
def test_pools(kind: str, sizes: tuple[int, ...]) -> None:
    """A destination's pooling; an average's share goes into the weights, not the bias."""
    weight = normal(RNG, 2, 3, 1, 1)
    after = tuple(9 // int(np.prod(sizes)) for _ in range(2))
    nodes = conv(KERNEL, padding=1), spiking((3, 9, 9)), *(pool(size, kind) for size in sizes), conv(weight, [1, 0.5])
    network = real(chain((2, 9, 9), *nodes, spiking((2, *after)), outputs=(2, *after)))
    first, second = network.layers().values()
    (to,) = first.destinations
    assert to.pooling.value.data == np.prod(sizes)
    assert second.taken == (3, *after)
    share = 1 / np.prod(sizes) ** 2 if kind == "AvgPool2d" else 1
    assert np.array_equal(second.numbers("weights"), (weight * np.float32(share)).astype(float))
    assert np.array_equal(second.numbers("biases"), [1, 0.5])


@pytest.mark.parametrize("bias", [None, [0.5, -1]])
def test_flatten_and_a_matrix(bias: Any) -> None:
    """weight.reshape(out, C, H, W)."""
    weight = normal(RNG, 2, 3 * 4 * 4)
    nodes = conv(KERNEL), spiking((3, 4, 4)), flatten(3, 4, 4), affine(weight, bias), spiking((2,))
    op = layer(chain((2, 6, 6), *nodes, outputs=(2,)), "n4")
    assert (op.kernel, op.taken, op.given) == (4, (3, 4, 4), (2, 1, 1))
    assert np.array_equal(op.numbers("weights"), weight.reshape(2, 3, 4, 4))
    assert np.array_equal(op.numbers("biases"), np.zeros(2) if bias is None else bias)


def test_a_matrix_between_vectors() -> None:
    weight = normal(RNG, 4, 6)
    op = layer(chain((6,), affine(weight), spiking((4,)), outputs=(4,)))
    assert (op.kernel, op.taken, op.given) == (1, (6, 1, 1), (4, 1, 1))
    assert np.array_equal(op.numbers("weights")[:, :, 0, 0], weight)


def test_matrices_in_a_row_are_multiplied() -> None:
    one, two = normal(RNG, 5, 6), normal(RNG, 4, 5)
    op = layer(chain((6,), affine(one), affine(two, [1, 2, 3, 4]), spiking((4,)), outputs=(4,)), "n2")
    np.testing.assert_allclose(op.numbers("weights")[:, :, 0, 0], two.astype(float) @ one, rtol=1e-6)


def test_neurons_without_weights() -> None:
    op = layer(chain((2, 5, 5), spiking((2, 5, 5)), outputs=(2, 5, 5)), "n0")
    assert np.array_equal(op.numbers("weights")[:, :, 0, 0], np.eye(2))


def two_sources(one: Any, other: Any, sizes: tuple[int, int] = (6, 6), **more: Any) -> Any:
    """input -> a, b; a -> `one`, b -> `other`; both into the layer `c`."""
    nodes = {
        "input": port("Input", 2, 8, 8),
        "wa": conv(normal(RNG, 3, 2, 3, 3)),
        "a": spiking((3, 6, 6)),
        "wb": conv(normal(RNG, 4, 2, 3, 3)),
        "b": spiking((4, 6, 6)),
        "one": one,
        "other": other,
        "c": spiking((2, *sizes)),
        "output": port("Output", 2, *sizes),
        **more,
    }
    pairs = "input wa, wa a, input wb, wb b, a one, b other, one c, other c, c output"
    return graph(nodes, [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))])


def test_two_sources_are_concatenated() -> None:
    """conv(a) + conv(b) is one convolution over the features of both, side by side."""
    one, other = normal(RNG, 2, 3, 3, 3), normal(RNG, 2, 4, 3, 3)
    network = real(two_sources(conv(one, [1, 2], padding=1), conv(other, [3, 4], padding=1)))
    a, b, c = network.layers().values()
    assert [to.feature_shift.value.data for op in (a, b) for to in op.destinations] == [0, a.given[0]]
    parts = {"a": one, "b": other}
    assert np.array_equal(c.numbers("weights"), np.concatenate([parts[op.node.data] for op in (a, b)], axis=1))
    assert np.array_equal(c.numbers("biases"), [4, 6])
    assert c.taken == (7, 6, 6)


def test_kernels_of_different_sizes_share_the_larger_one() -> None:
    one, other = normal(RNG, 2, 3, 3, 3), normal(RNG, 2, 4, 1, 1)
    layers = real(two_sources(conv(one, padding=1), conv(other))).layers()
    shift = layers["b"].destinations.data[0].feature_shift.value.data
    assert np.array_equal(
        layers["c"].numbers("weights")[:, shift : shift + 4], np.pad(other, ((0, 0), (0, 0), (1, 1), (1, 1)))
    )


def test_two_edges_from_one_source_add_up() -> None:
    one, other = normal(RNG, 3, 2, 3, 3), normal(RNG, 3, 2, 3, 3)
    nodes = {
        "input": port("Input", 2, 5, 5),
        "one": conv(one),
        "other": conv(other),
        "c": spiking((3, 3, 3)),
        "output": port("Output", 3, 3, 3),
    }
    edges = [("input", "one"), ("input", "other"), ("one", "c"), ("other", "c"), ("c", "output")]
    op = layer(graph(nodes, edges), "c")
    assert np.array_equal(op.numbers("weights"), one.astype(float) + other)


def test_a_sum_before_a_convolution_repeats_its_weights() -> None:
    """conv(a + b): nothing sends twice to the same features, which samna 0.7.1 refuses."""
    kernel = normal(RNG, 2, 3, 3, 3)
    model = two_sources(conv(kernel, padding=1), conv(kernel, padding=1))
    nodes = {name: node for name, node in model.nodes.items() if name not in ("other", "wb", "b")}
    nodes |= {"wb": conv(normal(RNG, 3, 2, 3, 3)), "b": spiking((3, 6, 6))}
    pairs = "input wa, wa a, input wb, wb b, a one, b one, one c, c output"
    c = real(graph(nodes, [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))])).layers()["c"]
    assert np.array_equal(c.numbers("weights"), np.concatenate([kernel, kernel], axis=1))


# Kernels that become square ones with zeros: the same spikes as the network's, event by event


SHAPES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "oblong": ({"padding": (0, 1)}, (4, 2, 2, 4)),
    "dilated": ({"dilation": 2}, (4, 2, 3, 3)),
    "grouped": ({"groups": 2, "padding": 1}, (4, 1, 3, 3)),
    "uneven padding": ({"padding": "same"}, (4, 2, 4, 4)),
    "oblong, stride": ({"stride": (2, 1), "padding": (1, 0)}, (4, 2, 3, 1)),
    "stride 3 in one place": ({"stride": 3}, (4, 2, 7, 8)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_other_kernels(name: str) -> None:
    """Weights of whole numbers and a threshold of 40 quantize without error where the largest is 127."""
    changes, shape = SHAPES[name]
    rng = np.random.default_rng(len(name))
    weight = rng.integers(-9, 20, shape).astype(np.float32)
    weight.flat[0] = 127
    rows, columns = 7, 8
    node = conv(weight, size=(rows, columns), **changes)
    given = nirc.compile(chain((2, rows, columns), node, nir.IF(np.ones(1), np.ones(1)), outputs=(1,)), until="nir")
    text = given.text(8)
    places = tuple(map(int, text.split("nir.if")[1].split("!nir.signal<")[1].split(">")[0].split("x")))
    model = chain((2, rows, columns), node, spiking(places, 400), outputs=places)
    program = nirc.compile(model, "speck", reset="subtract", lower_bound="lowest")
    network = next(iter(program.module.ops))
    assert isinstance(network, speck.NetworkOp)
    op = network.layers()["n1"]
    assert np.abs(op.numbers("weights")).sum() == np.abs(weight).sum()
    # One event a step: v grows by one weight, so that neither dynamics fires twice.
    raster = np.zeros((400, 2, rows, columns), np.uint8)
    raster.reshape(400, -1)[np.arange(400), rng.integers(0, 2 * rows * columns, 400)] = 1
    expected: Array = nirc.compile(model, reset="subtract", scheme="nir-euler,compare=>=").run(raster)
    assert expected.sum() > 5
    for dynamics in ("stepped", "events"):
        assert np.array_equal(program.run(raster, model=dynamics), expected)


# Ways to put layers together: whole numbers quantize without error, so the chip spikes as the network does


def whole(*shape: int) -> Array:
    """Weights of whole numbers, the largest of which is 127."""
    values: Array = RNG.integers(-20, 60, shape).astype(np.float32)
    values.flat[0] = 127
    return values


def joined(pairs: str, **nodes: Any) -> Any:
    """A graph of 2x4x4 images, with the weights wa and wb onto the layers a and b where they are not given."""
    known: dict[str, Any] = {"input": port("Input", 2, 4, 4), "output": port("Output", 2, 4, 4)}
    known |= {"wa": conv(whole(2, 2, 1, 1)), "wb": conv(whole(2, 2, 1, 1))}
    known |= {"a": spiking((2, 4, 4), 300), "b": spiking((2, 4, 4), 400), **nodes}
    edges = [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))]
    used = {name for edge in edges for name in edge}
    return graph({name: node for name, node in known.items() if name in used}, edges)


TOGETHER: dict[str, Any] = {
    "neurons as a vector behind a convolution": chain(
        (1, 5, 5),
        *(conv(whole(2, 1, 3, 3)), flatten(2, 3, 3), spiking((18,), 600), affine(whole(3, 18)), spiking((3,), 400)),
        outputs=(3,),
    ),
    "vectors that are one image": chain(
        (1, 5, 5),
        *(conv(whole(2, 1, 3, 3)), flatten(2, 3, 3), spiking((18,), 600), scale(np.full(18, 127)), spiking((18,), 300)),
        outputs=(18,),
    ),
    "a flattened output": chain(
        (1, 5, 5), conv(whole(2, 1, 3, 3)), spiking((2, 3, 3), 600), flatten(2, 3, 3), outputs=(18,)
    ),
    "neurons behind neurons": joined("input wa, wa a, a c, c output", c=spiking((2, 4, 4), 2)),
    "a factor between neurons": joined(
        "input wa, wa a, a s, s c, c output", s=scale(np.full((2, 4, 4), 127)), c=spiking((2, 4, 4), 300)
    ),
    "a sum of spikes": joined("input wa, wa a, input wb, wb b, a c, b c, c output", c=spiking((2, 4, 4), 2)),
    "a convolution of a pool of a sum": joined(
        "input wa, wa a, input wb, wb b, a p, b p, p w, w c, c output",
        **{"p": pool(2), "w": conv(whole(2, 2, 1, 1)), "c": spiking((2, 2, 2), 600), "output": port("Output", 2, 2, 2)},
    ),
    "two pools of one source": joined(
        "input wa, wa a, a p, a q, q s, p c, s c, c output",
        **{"p": pool(2), "q": pool(2), "s": scale(np.full((2, 2, 2), 127)), "c": spiking((2, 2, 2), 600)},
        output=port("Output", 2, 2, 2),
    ),
    "a matrix on the input's image": joined(
        "input f, f l, l c, c output",
        **{"f": flatten(2, 4, 4), "l": affine(whole(3, 32)), "c": spiking((3,), 900), "output": port("Output", 3)},
    ),
    "a matrix on an oblong image": chain(
        (1, 4, 7),
        *(conv(whole(2, 1, 1, 1)), spiking((2, 4, 7), 300), flatten(2, 4, 7), affine(whole(3, 56)), spiking((3,), 700)),
        outputs=(3,),
    ),
    "two outputs, one in the middle": joined(
        "input wa, wa a, a output, a w, w c, c other",
        **{"w": conv(whole(2, 2, 2, 2)), "c": spiking((2, 3, 3), 500), "other": port("Output", 2, 3, 3)},
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_layers_together(name: str) -> None:
    options: dict[str, Any] = {"reset": "subtract"}
    program = nirc.compile(TOGETHER[name], "speck", lower_bound="lowest", **options)
    network = nirc.compile(TOGETHER[name], scheme="nir-euler,compare=>=", **options)
    rng = np.random.default_rng(0)
    raster = {key: (rng.random((300, *shape)) < 0.1).astype(np.uint8) for key, shape in network.inputs.items()}
    expected, found = network.run(raster), program.run(raster, model="stepped")
    assert found.keys() == expected.keys()
    for key, spikes in expected.items():
        assert spikes.sum() > 10
        assert np.array_equal(found[key], spikes)


@pytest.mark.parametrize("pipeline", ["convert-snn-to-speck", "convert-snn-to-speck,speck-quantize,speck-place"])
def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None], pipeline: str) -> None:
    """A convolution with bias, an average pool, a Linear."""
    weights = np.arange(-3, 5).reshape(2, 1, 2, 2) / 4, np.arange(16).reshape(2, 8) / 8 - 1
    nodes = conv(weights[0], [0.5, 0]), spiking((2, 4, 4)), pool(2, "AvgPool2d"), flatten(2, 2, 2)
    model = chain((1, 5, 5), *nodes, affine(weights[1]), spiking((2,), 2.0), outputs=(2,))
    golden(opt(nirc.compile(model, "speck", until="snn").text(), pipeline))


# Thresholds, bounds, initial values


def test_equal_thresholds_become_one() -> None:
    model = chain((2, 5, 5), conv(KERNEL), spiking((3, 3, 3), np.full((3, 3, 3), 1.5)), outputs=(3, 3, 3))
    assert float(layer(model).numbers("threshold_high")) == 1.5


def test_unequal_thresholds_show_their_spread() -> None:
    threshold = np.ones((3, 3, 3))
    threshold[1, 2, 0] = 3
    threshold[2, 0, 0] = 0.5
    (fault,) = faults(chain((2, 5, 5), conv(KERNEL), spiking((3, 3, 3), threshold), outputs=(3, 3, 3)))
    assert fault.startswith(
        "node 'n1': its thresholds differ, from 0.5 to 3 (1 at index (0, 0, 0), 3 at (1, 2, 0)); a core has one"
    )


def test_the_lower_bound() -> None:
    model = chain((2, 5, 5), conv(KERNEL), spiking((3, 3, 3), 2.0), outputs=(3, 3, 3))
    assert float(layer(model, lower_bound="threshold").numbers("threshold_low")) == -2
    assert layer(model, lower_bound="lowest").threshold_low is None
    told = [text for text in nirc.compile(model, "speck").assumptions if text.startswith("lower bound")]
    assert told == [
        "lower bound: v of 'n1' does not fall below minus the threshold, the vendor's rule; NIR's v has no bound"
    ]
    with pytest.raises(DiagnosticException, match=r"give --lower-bound threshold\|lowest"):
        nirc.compile(model, "speck", strict=True, reset="zero", scheme="nir-euler")
    nirc.compile(model, "speck", strict=True, reset="zero", scheme="nir-euler", lower_bound="lowest")


def test_weights_above_the_threshold_are_told() -> None:
    """The checker of the specification warns of them too."""
    for threshold, told in ((0.5, True), (2.0, False)):
        model = chain((1, 2, 2), conv([[[[1.0]]]]), spiking((1, 2, 2), threshold), outputs=(1, 2, 2))
        text = "events: 'n1' has weights above its threshold: an event makes it fire once, the rest stays in v"
        assert (text in nirc.compile(model, "speck").assumptions) == told


# Refusals


def lif(*shape: int) -> Any:
    ones = np.ones(shape)
    return nir.LIF(tau=20 * ones, r=ones, v_leak=0 * ones, v_threshold=ones)


def cuba(*shape: int) -> Any:
    ones = np.ones(shape)
    return nir.CubaLIF(tau_mem=20 * ones, tau_syn=10 * ones, r=ones, v_leak=0 * ones, v_threshold=ones)


IMAGE = (2, 5, 5)
REFUSED: dict[str, tuple[Any, str]] = {
    "LIF": (
        chain(IMAGE, conv(KERNEL), lif(3, 3, 3), outputs=(3, 3, 3)),
        "node 'n1': its membrane leaks; Speck knows a constant leak alone (the bias), use IF",
    ),
    "CubaLIF": (
        chain(IMAGE, conv(KERNEL), cuba(3, 3, 3), outputs=(3, 3, 3)),
        "node 'n1': its input is a synaptic current; Speck's neurons take spikes at once, use IF",
    ),
    "v_reset": (
        chain(IMAGE, conv(KERNEL), spiking((3, 3, 3), v_reset=0.5), outputs=(3, 3, 3)),
        "node 'n1': a spike resets it to v_reset = 0.5; Speck resets to 0 or subtracts the threshold",
    ),
    "threshold 0": (
        chain(IMAGE, conv(KERNEL), spiking((3, 3, 3), 0), outputs=(3, 3, 3)),
        "node 'n1': threshold 0, must be > 0",
    ),
    "I": (
        chain(IMAGE, conv(KERNEL), nir.I(np.ones((3, 3, 3))), spiking((3, 3, 3)), outputs=(3, 3, 3)),
        "node 'n2': 'n1' integrates before it; Speck's neurons take spikes at once, use IF",
    ),
    "LI as output": (
        chain(IMAGE, conv(KERNEL), nir.I(np.ones((3, 3, 3))), outputs=(3, 3, 3)),
        "node 'n1': the output 'output' is not spikes of a layer; Speck gives nothing else, end in IF",
    ),
    "Delay": (
        chain(IMAGE, nir.Delay(2 * np.ones(IMAGE)), conv(KERNEL), spiking((3, 3, 3)), outputs=(3, 3, 3)),
        "node 'n1': a Delay ('n0') before it; Speck has no delays",
    ),
    "two convolutions": (
        chain(IMAGE, conv(KERNEL), conv(normal(RNG, 2, 3, 2, 2)), spiking((2, 2, 2)), outputs=(2, 2, 2)),
        "node 'n1': 'n0' before it without neurons in between, which cannot be merged; put an IF between them",
    ),
    "pool before the first layer": (
        chain((2, 8, 8), pool(2), conv(normal(RNG, 3, 2, 2, 2)), spiking((3, 3, 3)), outputs=(3, 3, 3)),
        "node 'n1': the input is pooled before the first layer; a core pools what it sends alone, pool the recording",
    ),
    "pool behind the last layer": (
        chain(IMAGE, conv(KERNEL), spiking((3, 3, 3)), pool(2), outputs=(3, 1, 1)),
        "node 'n2': a pool behind the last layer; the chip shows spikes before pooling, pool on the host",
    ),
    "Conv1d": (
        chain(
            (2, 9),
            nir.Conv1d(9, normal(RNG, 3, 2, 3), 1, 0, 1, 1, np.zeros(3, np.float32)),
            spiking((3, 7)),
            outputs=(3, 7),
        ),
        "node 'n0': its input has the shape 2x9; Speck takes images (channels, rows, columns) or vectors",
    ),
    "scheme": (
        chain(IMAGE, conv(KERNEL), spiking((3, 3, 3)), outputs=(3, 3, 3)),
        "scheme 'norse' describes a simulator; a chip is lowered from a nir-* scheme (--scheme nir-euler)",
    ),
    "factors per place": (
        chain(IMAGE, scale(np.arange(50).reshape(2, 5, 5)), conv(KERNEL), spiking((3, 3, 3)), outputs=(3, 3, 3)),
        "node 'n1': the factors of 'n0' before it differ from place to place; a core has one kernel for all places",
    ),
    "gain": (
        chain(IMAGE, conv(KERNEL), spiking((3, 3, 3), r=np.arange(1, 28).reshape(3, 3, 3)), outputs=(3, 3, 3)),
        "node 'n1': its gain (r) differs within feature 0, from 1 to 9; a core has one a feature",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    model, text = REFUSED[name]
    options: dict[str, Any] = {"scheme": "norse"} if name == "scheme" else {}
    if name in ("LIF", "CubaLIF", "Delay", "gain"):
        options["dt"] = 1
    assert faults(model, **options) == [text]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (pool(2, padding=(1, 1)), "node 'n2': a pool with padding (1, 1); Speck's pools have none, drop it"),
        (
            pool((2, 1)),
            "node 'n2': a pool of 2x1 with stride 2x1; Speck's pools are square, as far apart as they are wide",
        ),
        (
            pool(2, stride=(1, 1)),
            "node 'n2': a pool of 2x2 with stride 1x1; Speck's pools are square, as far apart as they are wide",
        ),
    ],
)
def test_pools_that_the_chip_has_not(node: Any, text: str) -> None:
    nodes = conv(KERNEL), spiking((3, 6, 6)), node, conv(normal(RNG, 2, 3, 1, 1))
    model = chain((2, 8, 8), *nodes, nir.IF(np.ones(1), np.ones(1)), outputs=(1,))
    assert faults(model) == [text]


def test_an_input_beside_spikes() -> None:
    nodes = {
        "input": port("Input", 2, 5, 5),
        "wa": conv(normal(RNG, 2, 2, 1, 1)),
        "a": spiking((2, 5, 5)),
        "skip": conv(normal(RNG, 2, 2, 1, 1)),
        "wb": conv(normal(RNG, 2, 2, 1, 1)),
        "b": spiking((2, 5, 5)),
        "output": port("Output", 2, 5, 5),
    }
    pairs = "input wa, wa a, a wb, wb b, input skip, skip b, b output"
    found = faults(graph(nodes, [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))]))
    assert found == ["node 'b': an input and something else feed it; a core takes one input, or other layers' spikes"]


def test_a_vector_of_two_images() -> None:
    """A flattened image of 2x3x3 and a matrix's vector of 18 places, in one layer."""
    nodes = {
        "input": port("Input", 1, 5, 5),
        "w": conv(normal(RNG, 2, 1, 3, 3)),
        "f": flatten(2, 3, 3),
        "g": flatten(1, 5, 5),
        "l": affine(normal(RNG, 18, 25)),
        "a": spiking((18,)),
        "output": port("Output", 18),
    }
    pairs = "input w, w f, f a, input g, g l, l a, a output"
    (fault,) = faults(graph(nodes, [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))]))
    images = "node 'w': an image of 2x3x3 meets one of 18x1x1", "node 'l': an image of 18x1x1 meets one of 2x3x3"
    assert fault in [f"{text} in 'a'; a core's neurons are one image" for text in images]


def test_a_recurrent_edge() -> None:
    nodes = {
        "input": port("Input", 2, 5, 5),
        "w": conv(normal(RNG, 2, 2, 1, 1)),
        "a": spiking((2, 5, 5)),
        "back": conv(normal(RNG, 2, 2, 1, 1)),
        "output": port("Output", 2, 5, 5),
    }
    pairs = "input w, w a, a back, back a, a output"
    found = faults(graph(nodes, [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))]))
    assert found == ["node 'back': a recurrent edge from 'a'; cycles can lock Speck up, its layers only feed forward"]


def test_mixed_averages() -> None:
    """sinabs takes round(0.5 mean, 2) of the shares."""
    model = two_sources(conv(normal(RNG, 2, 3, 1, 1)), conv(normal(RNG, 2, 4, 1, 1)), (1, 1))
    nodes = dict(model.nodes)
    nodes |= {"wa": conv(normal(RNG, 3, 2, 5, 5)), "a": spiking((3, 4, 4)), "pa": pool(4, "AvgPool2d")}
    nodes |= {"wb": conv(normal(RNG, 4, 2, 7, 7)), "b": spiking((4, 2, 2)), "pb": pool(2, "AvgPool2d")}
    pairs = "input wa, wa a, a pa, pa one, input wb, wb b, b pb, pb other, one c, other c, c output"
    found = faults(graph(nodes, [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))]))
    assert found == [
        "node 'c': averages over windows of different sizes feed it ('pa' 1/16, 'pb' 1/4); give them one size, or a "
        "SumPool2d and weights of its own for each"
    ]
    nodes |= {"pb": pool(2)}
    nirc.compile(graph(nodes, [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))]), "speck")


def test_unknown_options() -> None:
    model = chain(IMAGE, conv(KERNEL), spiking((3, 3, 3)), outputs=(3, 3, 3))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"chip": "audio2"}, "chip 'audio2' is not one of speck2f, speck2e, speck2b"),
        ({"lower_bound": "none"}, "lower bound 'none' is not one of threshold, lowest"),
        ({"mapping": "vendor"}, "mapping cannot be chosen"),
    ]
    for options, text in wrong:
        with pytest.raises((PassFailedException, DiagnosticException), match=text):
            nirc.compile(model, "speck", **options)
