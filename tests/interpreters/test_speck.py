"""The two models against plain loops over neurons; against the vendor's recorded runs see tests/backends/speck.

The loops for the events go one spike at a time through a queue (breadth first) or a stack (depth first), as the
specification states the chip's dynamics: on chains of layers both give the same.
"""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects import speck
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import integers
from nirc.interpreters.speck import MODELS, EventSpeckEvaluator, SteppedSpeckEvaluator

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import Neurons, chain, conv, graph, normal, pool, port, spiking


def core(
    rng: np.random.Generator, name: str, taken: tuple[int, int, int], features: int, to: str | None, **changes: Any
) -> speck.CoreOp:
    """A core of random integers."""
    kernel = int(changes.pop("kernel", 3))
    pooling, biased = changes.pop("pooling", 1), changes.pop("biased", False)
    initial: dict[str, Any] = {"initial": changes.pop("initial")} if "initial" in changes else {}
    theta = int(rng.integers(60, 160))
    numbers: dict[str, Array] = {
        "weights": rng.integers(-60, 90, (features, taken[0], kernel, kernel)),
        "biases": rng.integers(-20, 40, features) if biased else np.zeros(features),
        "threshold_high": np.asarray(theta),
        "threshold_low": np.asarray(-theta),
        **initial,
    }
    attrs = {key: dense(np.asarray(values).astype(np.int32, order="C")) for key, values in numbers.items()}
    destinations = [] if to is None else [speck.DestinationAttr.of(to, pooling)]
    return speck.CoreOp(name, [], taken, attrs, destinations=destinations, monitor=to is None, leak=biased, **changes)


def network(*cores: speck.CoreOp) -> speck.NetworkOp:
    first, last = cores[0], cores[-1]
    ports = [speck.PortAttr.of("x", first.node.data, first.taken)], [speck.PortAttr.of("y", last.node.data, last.given)]
    op = speck.NetworkOp("main", "speck2f", *ports, Region(Block(list(cores))))
    op.verify()
    return op


def random_chain(seed: int, *, biased: bool = False) -> speck.NetworkOp:
    """Three layers with strides, paddings, pools and both resets."""
    rng = np.random.default_rng(seed)
    zero = bool(seed % 2)
    size = int(rng.integers(6, 10)), int(rng.integers(6, 10))
    stride, padding = (int(rng.integers(1, 3)), 1), (1, int(rng.integers(0, 2)))
    a = core(
        rng, "a", (2, *size), 3, "b", stride=stride, padding=padding, pooling=2, return_to_zero=zero, biased=biased
    )
    pooled = (3, a.given[1] // 2, a.given[2] // 2)
    b = core(rng, "b", pooled, 4, "c", kernel=1, return_to_zero=zero)
    c = core(rng, "c", b.given, 2, None, kernel=min(b.given[1:]), return_to_zero=not zero)
    return network(a, b, c)


def plain_events(op: speck.NetworkOp, raster: Array, *, depth_first: bool) -> tuple[dict[str, Array], dict[str, Array]]:
    """Spike counts and membranes, one spike at a time; no biases."""
    layers = {name: Neurons(core) for name, core in op.layers().items()}
    first = next(iter(layers))
    waiting = deque[tuple[str, tuple[int, int, int]]]()
    for counts in raster:
        for again in range(int(counts.max(initial=0))):
            for place in np.argwhere(counts > again):
                waiting.append((first, (int(place[0]), int(place[1]), int(place[2]))))
                while waiting:
                    name, event = waiting.popleft()
                    sent = list[tuple[str, tuple[int, int, int]]]()
                    for f, y, x in layers[name].event(*event):
                        for to in layers[name].op.destinations:
                            p, target = to.pooling.value.data, to.layer.data
                            _, rows, columns = layers[target].op.taken
                            if y // p < rows and x // p < columns:
                                sent.append((target, (f + to.feature_shift.value.data, y // p, x // p)))
                    if depth_first:
                        waiting.extendleft(reversed(sent))
                    else:
                        waiting.extend(sent)
    return {name: layer.counts for name, layer in layers.items()}, {name: layer.v for name, layer in layers.items()}


def run(evaluator: Any, raster: Array) -> dict[str, Array]:
    """One sample."""
    return {name: values[:, 0] for name, values in evaluator.run({"x": raster[:, None]}).items()}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("depth_first", [False, True])
def test_events_one_by_one(seed: int, depth_first: bool) -> None:
    op = random_chain(seed)
    raster: Array = np.random.default_rng(seed).poisson(0.4, (8, *op.layers()["a"].taken))
    evaluator = EventSpeckEvaluator(op, record=("a.spikes", "b.spikes", "c.v"))
    found = run(evaluator, raster)
    counts, membranes = plain_events(op, raster, depth_first=depth_first)
    assert counts["a"].sum() > 20
    assert np.array_equal(found["a.spikes"].sum(0), counts["a"])
    assert np.array_equal(found["b.spikes"].sum(0), counts["b"])
    assert np.array_equal(found["y"].sum(0), counts["c"])
    for name, v in membranes.items():
        assert np.array_equal(evaluator.v[name][0], v)
    assert np.array_equal(found["c.v"][-1], membranes["c"])


def plain_steps(op: speck.NetworkOp, raster: Array) -> dict[str, Array]:
    """The vendor's software, neuron by neuron."""
    x, found = raster.astype(int), dict[str, Array]()
    for name, layer in op.layers().items():
        features, rows, columns = layer.given
        (down, right), (pad_y, pad_x) = integers(layer.stride), integers(layer.padding)
        weights, bias = layer.numbers("weights").astype(int), layer.numbers("biases").astype(int)
        theta, low, k = int(layer.numbers("threshold_high")), int(layer.numbers("threshold_low")), layer.kernel
        padded = np.pad(x, ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
        spikes = np.zeros((len(x), *layer.given), int)
        for f in range(features):
            for oy in range(rows):
                for ox in range(columns):
                    v = 0
                    for t in range(len(x)):
                        seen = padded[t, :, oy * down : oy * down + k, ox * right : ox * right + k]
                        v += int((seen * weights[f]).sum()) + int(bias[f])
                        n = v // theta if v > 0 else 0
                        v = 0 if n and layer.return_to_zero is not None else v - n * theta
                        v = max(v, low)
                        spikes[t, f, oy, ox] = n
        found[name] = x = spikes
        for to in layer.destinations:
            p = to.pooling.value.data
            pooled = np.zeros((len(x), features, rows // p, columns // p), int)
            for oy, ox in np.ndindex(rows // p, columns // p):
                pooled[:, :, oy, ox] = x[:, :, oy * p : oy * p + p, ox * p : ox * p + p].sum(axis=(2, 3))
            x = pooled
    return found


@pytest.mark.parametrize("seed", range(12))
def test_steps_neuron_by_neuron(seed: int) -> None:
    op = random_chain(seed, biased=seed % 3 == 0)
    raster: Array = np.random.default_rng(seed).poisson(0.6, (10, *op.layers()["a"].taken))
    found = run(SteppedSpeckEvaluator(op, record=("a.spikes", "b.spikes")), raster)
    expected = plain_steps(op, raster)
    assert expected["a"].max() > 1
    for name, values in {"a": found["a.spikes"], "b": found["b.spikes"], "c": found["y"]}.items():
        assert np.array_equal(values, expected[name])


def test_a_tick_adds_the_bias_and_fires() -> None:
    """One tick a step, after its events; without events the bias alone drives the neurons."""
    rng = np.random.default_rng(1)
    only = core(rng, "a", (1, 3, 3), 2, None, biased=True)
    only.properties["biases"] = dense(np.array([30, -30], np.int32))
    only.properties["threshold_high"], only.properties["threshold_low"] = (
        dense(np.asarray(value, np.int32)) for value in (70, -50)
    )
    found = run(EventSpeckEvaluator(network(only), record=("a.v",)), np.zeros((5, 1, 3, 3), int))
    assert found["a.v"][:, :, 0, 0].tolist() == [[30, -30], [60, -50], [20, -50], [50, -50], [10, -50]]
    assert found["y"][:, :, 0, 0].tolist() == [[0, 0], [0, 0], [1, 0], [0, 0], [1, 0]]


def test_concatenation_keeps_the_order_of_causes() -> None:
    """Two layers read one input; per event the first layer's spikes come before the second's."""
    rng = np.random.default_rng(4)
    shapes = (1, 4, 4), (5, 4, 4)
    a, b = (core(rng, name, shapes[0], n, "c", kernel=1) for name, n in (("a", 2), ("b", 3)))
    b.properties["destinations"] = type(b.destinations)([speck.DestinationAttr.of("c", 1, 2)])
    c = core(rng, "c", shapes[1], 2, None, kernel=1)
    inputs = [speck.PortAttr.of("x", name, shapes[0]) for name in "ab"]
    op = speck.NetworkOp("main", "speck2f", inputs, [speck.PortAttr.of("y", "c", c.given)], Region(Block([a, b, c])))
    op.verify()
    raster: Array = rng.poisson(0.5, (20, *shapes[0]))
    found = run(EventSpeckEvaluator(op), raster)
    layers = {name: Neurons(layer) for name, layer in op.layers().items()}
    for counts in raster:
        for again in range(counts.max()):
            for _, y, x in np.argwhere(counts > again).tolist():
                sent = [(f, y, x) for f, y, x in layers["a"].event(0, y, x)]
                sent += [(f + 2, y, x) for f, y, x in layers["b"].event(0, y, x)]
                for event in sent:
                    list(layers["c"].event(*event))
    assert layers["c"].counts.sum() > 20
    assert np.array_equal(found["y"].sum(0), layers["c"].counts)


@pytest.mark.parametrize("model", MODELS)
def test_runs_go_on_from_where_they_ended(model: str) -> None:
    op = random_chain(3, biased=True)
    raster: Array = np.random.default_rng(0).poisson(0.5, (12, *op.layers()["a"].taken))
    whole = run(MODELS[model](op), raster)["y"]
    evaluator = MODELS[model](op)
    parts = [run(evaluator, raster[:5])["y"], run(evaluator, raster[5:])["y"]]
    assert whole.sum() > 0
    assert np.array_equal(np.concatenate(parts), whole)
    evaluator.reset()
    assert np.array_equal(run(evaluator, raster)["y"], whole)


@pytest.mark.parametrize("model", MODELS)
def test_chunks_and_batches_change_nothing(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    op = random_chain(5, biased=True)
    rasters: Array = np.random.default_rng(0).poisson(0.5, (9, 3, *op.layers()["a"].taken))
    whole = MODELS[model](op, 3).run({"x": rasters})["y"]
    monkeypatch.setattr("nirc.interpreters.speck._CHUNK", 1)
    told = list[int]()
    assert np.array_equal(MODELS[model](op, 3).run({"x": rasters}, told.append)["y"], whole)
    assert told == list(range(1, 10))
    for sample in range(3):
        assert np.array_equal(run(MODELS[model](op), rasters[:, sample])["y"], whole[:, sample])


@pytest.mark.parametrize("model", MODELS)
def test_membranes_start_where_they_are_told(model: str) -> None:
    initial = np.arange(18).reshape(2, 3, 3)
    op = network(core(np.random.default_rng(1), "a", (1, 5, 5), 2, None, initial=initial))
    found = run(MODELS[model](op, record=("a.v",)), np.zeros((2, 1, 5, 5), int))
    assert np.array_equal(found["a.v"][-1], initial)


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_raster(model: str) -> None:
    op = random_chain(1)
    taken = op.layers()["a"].taken
    assert MODELS[model](op).run({"x": np.zeros((0, 1, *taken))})["y"].shape == (0, 1, *op.layers()["c"].given)
    assert run(MODELS[model](op), np.zeros((3, *taken)))["y"].sum() == 0


def test_the_stepped_model_tells_what_leaves_16_bits() -> None:
    only = core(np.random.default_rng(1), "a", (1, 3, 3), 1, None, kernel=1)
    only.properties["weights"] = dense(np.full((1, 1, 1, 1), 127, np.int32))
    evaluator = SteppedSpeckEvaluator(network(only))
    assert evaluator.losses() == []
    run(evaluator, np.full((1, 1, 3, 3), 300))
    assert evaluator.losses() == ["membranes left 16 bits 9 times, which the model does not have; use smaller weights"]


def test_the_models_say_which_they_are() -> None:
    assert {name: kind.about.partition(":")[0] for name, kind in MODELS.items()} == {name: name for name in MODELS}
    assert list(MODELS) == ["stepped", "events"]


# Faults


@pytest.mark.parametrize(
    ("raster", "text"),
    [
        (np.zeros((3, 1, 2, 4)), "has the shape 3x1x2x4, must be steps x batch x"),
        (np.full((3, 1, 2, 7, 7), -1), "must hold event counts, whole numbers in 0..2147483647; it spans -1 to -1"),
        (np.full((3, 1, 2, 7, 7), 0.5), "must hold event counts"),
    ],
)
def test_rasters_that_are_none(raster: Array, text: str) -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(DiagnosticException, match=text):
        SteppedSpeckEvaluator(network(core(rng, "a", (2, 7, 7), 2, None))).run({"x": raster})
    with pytest.raises(DiagnosticException, match="no raster for the input 'x'"):
        SteppedSpeckEvaluator(network(core(rng, "a", (2, 7, 7), 2, None))).run({})


def test_unknown_states() -> None:
    with pytest.raises(DiagnosticException, match=r"cannot record 'd.v'; there are a.spikes, a.v, b.spikes"):
        EventSpeckEvaluator(random_chain(1), record=("d.v",))


def test_real_numbers_do_not_run() -> None:
    rng = np.random.default_rng(1)
    op = core(rng, "a", (2, 7, 7), 2, None)
    for name in op.NUMBERS:
        if name in op.properties:
            op.properties[name] = dense(op.numbers(name).astype(float))
    with pytest.raises(DiagnosticException, match="the network holds real numbers; run speck-quantize before"):
        SteppedSpeckEvaluator(network(op))


# How the two differ (specification, section 5): equal where no event brings a neuron beyond its threshold


@pytest.mark.parametrize("seed", range(5))
def test_the_models_agree_on_weights_within_the_threshold(seed: int) -> None:
    """All weights in [0, theta], no bias: counts are equal (by subtraction)."""
    rng = np.random.default_rng(seed)
    nodes = {
        "input": port("Input", 2, 8, 8),
        "w0": conv(np.abs(normal(rng, 3, 2, 3, 3, spread=0.2))),
        "a": spiking((3, 6, 6)),
        "p": pool(2),
        "w1": conv(np.abs(normal(rng, 2, 3, 2, 2, spread=0.3))),
        "b": spiking((2, 2, 2), 1.5),
        "output": port("Output", 2, 2, 2),
    }
    program = nirc.compile(graph(nodes), "speck", reset="subtract")
    raster = rng.poisson(0.5, (20, 2, 8, 8))
    stepped, events = (program.run(raster, model=model).sum(0) for model in MODELS)
    assert stepped.sum() > 50
    assert np.array_equal(stepped, events)


def test_the_models_differ_elsewhere() -> None:
    """A weight of three thresholds: three spikes in a step, one spike for an event."""
    program = nirc.compile(
        chain((1, 1, 1), conv([[[[3.0]]]]), spiking((1, 1, 1)), outputs=(1, 1, 1)), "speck", reset="subtract"
    )
    raster = np.ones((1, 1, 1, 1), int)
    assert program.run(raster, model="stepped").sum() == 3
    assert program.run(raster, model="events").sum() == 1
