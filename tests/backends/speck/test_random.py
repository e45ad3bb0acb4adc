"""500 random convolutional networks: the emitted configuration is valid, and the stepped model gives the spikes and
states of a plain simulation of the quantized network that is written here.

The simulation quantizes by sinabs' formulas in float32 and convolves in the geometry of NIR, edge by edge: it knows no
cores, concatenation, folding or square kernels.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nirc
from nirc.dialects import speck
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parents[2]))
from speck_models import Neurons, affine, checker, conv, flatten, graph, pool, port, scale, scale_of, spiking

NETWORKS = 500
STEPS = 12
FEATURES = (
    *("stride", "padding", "sum pool", "average pool", "pool of pool", "bias", "Linear", "Affine", "vector layer"),
    *("two-way branch", "concatenation", "two edges from one source", "several Outputs", "one layer", "five layers"),
    *("reset to 0", "reset by subtraction", "threshold", "gain r", "Scale", "oblong kernel", "dilation", "groups"),
    *("several spikes in a step", "lower bound reached"),
)


@dataclass
class Edge:
    """What reaches a layer from a source, as NIR has it: pools, a factor, then a convolution or a matrix."""

    source: str
    pools: list[tuple[str, int]]
    weight: Array
    factor: float = 1.0
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: int = 1
    groups: int = 1
    bias: Array | None = None
    more: Array | None = None
    """Weights of a second convolution beside the first."""


@dataclass
class Layer:
    name: str
    edges: list[Edge]
    shape: tuple[int, ...]
    threshold: float
    gain: float


@dataclass
class Network:
    """A random network, built layer by layer; `used` tells its features."""

    rng: np.random.Generator
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    layers: list[Layer] = field(default_factory=list[Layer])
    readers: Counter[str] = field(default_factory=Counter[str])
    used: set[str] = field(default_factory=set[str])
    zero: bool = False

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def build(self) -> None:
        rng = self.rng
        rows, columns = int(rng.integers(6, 13)), int(rng.integers(6, 13))
        self.shapes["input"] = (int(rng.integers(1, 4)), rows, rows if self.chance(0.4) else columns)
        self.zero = self.chance(0.5)
        self.used.add("reset to 0" if self.zero else "reset by subtraction")
        count = int(rng.integers(1, 6))
        last = "input"
        while len(self.layers) < count:
            if count - len(self.layers) >= 3 and len(self.shapes[last]) == 3 and self.chance(0.4):
                last = self.diamond(last)
            else:
                last = self.layer(self.edge(last))
        if count in (1, 5):
            self.used.add({1: "one layer", 5: "five layers"}[count])
        ends = [layer.name for layer in self.layers if not self.readers[layer.name]]
        extra = [layer.name for layer in self.layers if layer.name not in ends]
        if extra and self.chance(0.25):
            ends.append(extra[0])
        self.outputs = ends
        if len(ends) > 1:
            self.used.add("several Outputs")

    def weights(self, *shape: int) -> Array:
        fan_in = int(np.prod(shape[1:]))
        values: Array = self.rng.normal(0.5 / np.sqrt(fan_in), 1.2 / np.sqrt(fan_in), shape).astype(np.float32)
        return values

    def bias(self, size: int, edge: Edge) -> None:
        if self.chance(0.5):
            edge.bias = self.rng.normal(0, 0.15, size).astype(np.float32)
            self.used.add("bias")

    def arriving(self, source: str, edge: Edge) -> tuple[int, ...]:
        shape = self.shapes[source]
        for _, size in edge.pools:
            shape = (shape[0], shape[1] // size, shape[2] // size)
        return shape

    def edge(self, source: str, features: int | None = None, *, plain: bool = False) -> Edge:
        """A random edge from a source; `plain`: a 3x3 convolution that keeps the size."""
        rng, shape = self.rng, self.shapes[source]
        edge = Edge(source, [], np.zeros(0))
        if len(shape) == 3 and source != "input" and not plain and min(shape[1:]) >= 4 and self.chance(0.5):
            kind = "AvgPool2d" if self.chance(0.4) else "SumPool2d"
            both = min(shape[1:]) >= 8 and self.chance(0.6)
            edge.pools = [(kind, 2)] * (2 if both else 1)
            self.used |= {"average pool" if kind == "AvgPool2d" else "sum pool"} | ({"pool of pool"} if both else set())
        shape = self.arriving(source, edge)
        features = features or int(rng.integers(2, 7))
        if self.chance(0.2):
            edge.factor = float(np.float32(rng.uniform(0.5, 2)))
            self.used.add("Scale")
        if len(shape) == 1 or (shape[1] == shape[2] <= 6 and not plain and self.chance(0.6)):
            edge.weight = self.weights(features, int(np.prod(shape)))
            self.bias(features, edge)
            self.used.add("Linear" if edge.bias is None else "Affine")
            if len(shape) == 1:
                self.used.add("vector layer")
            return edge
        most = min(5, *shape[1:])
        kernel = (3, 3) if plain else (int(rng.integers(1, most + 1)),) * 2
        if plain:
            edge.padding = (1, 1)
        else:
            if kernel[0] > 2 and self.chance(0.3):
                kernel = (kernel[0], kernel[1] - 2)
                self.used.add("oblong kernel")
            elif 2 * kernel[0] - 1 <= most and kernel[0] > 1 and self.chance(0.5):
                edge.dilation = 2
                self.used.add("dilation")
            if self.chance(0.35):
                edge.stride = (int(rng.choice([1, 2])), int(rng.choice([1, 2])))
            if self.chance(0.4):
                edge.padding = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
        channels = shape[0]
        if channels % 2 == 0 and features % 2 == 0 and self.chance(0.4):
            edge.groups = 2
            self.used.add("groups")
        edge.weight = self.weights(features, channels // edge.groups, *kernel)
        if self.chance(0.25):
            edge.more = self.weights(*edge.weight.shape)
            self.used.add("two edges from one source")
        if edge.stride != (1, 1):
            self.used.add("stride")
        if any(edge.padding):
            self.used.add("padding")
        self.bias(features, edge)
        return edge

    def places(self, edge: Edge) -> tuple[int, ...]:
        shape, weight = self.arriving(edge.source, edge), edge.weight
        if weight.ndim == 2:
            return (len(weight),)
        sizes = zip(shape[1:], weight.shape[2:], edge.padding, edge.stride, strict=True)
        return (len(weight), *((n + 2 * p - edge.dilation * (k - 1) - 1) // s + 1 for n, k, p, s in sizes))

    def layer(self, *edges: Edge) -> str:
        rng, name = self.rng, f"if{len(self.layers)}"
        gain = float(rng.choice([0.5, 2])) if self.chance(0.25) else 1.0
        threshold = float(np.float32(rng.uniform(0.4, 1.4)))
        if gain != 1:
            self.used.add("gain r")
        self.used.add("threshold")
        self.shapes[name] = self.places(edges[0])
        self.layers.append(Layer(name, list(edges), self.shapes[name], threshold * gain, gain))
        for edge in edges:
            self.readers[edge.source] += 1
            if self.readers[edge.source] == 2:
                self.used.add("two-way branch")
        if len({edge.source for edge in edges}) > 1:
            self.used.add("concatenation")
        return name

    def diamond(self, source: str) -> str:
        """Two layers read one, a third reads both."""
        one, other = (self.layer(self.edge(source, plain=True)) for _ in range(2))
        features = int(self.rng.integers(2, 7))
        first, second = self.edge(one, features), self.edge(other, features)
        second.pools, second.stride, second.padding = first.pools, first.stride, first.padding
        second.dilation, second.groups, second.more = first.dilation, 1, None
        channels, size = self.shapes[other][0], self.arriving(other, first)[1:]
        kernel = size if first.weight.ndim == 2 else first.weight.shape[2:]
        second.weight = self.weights(features, channels, *kernel)
        if first.weight.ndim == 2:
            second.weight = second.weight.reshape(features, -1)
        return self.layer(first, second)

    # -- as NIR

    def graph(self) -> Any:
        nodes: dict[str, Any] = {"input": port("Input", *self.shapes["input"])}
        edges = list[tuple[str, str]]()

        def add(name: str, node: Any, source: str) -> str:
            nodes[name] = node
            edges.append((source, name))
            return name

        for layer in self.layers:
            ends = list[str]()
            for n, edge in enumerate(layer.edges):
                key, last, shape = f"{layer.name}.{n}", edge.source, self.shapes[edge.source]
                for m, (kind, size) in enumerate(edge.pools):
                    last = add(f"{key}.pool{m}", pool(size, kind), last)
                shape = self.arriving(edge.source, edge)
                if edge.factor != 1:
                    last = add(f"{key}.scale", scale(np.full(shape, edge.factor)), last)
                if edge.weight.ndim == 2:
                    if len(shape) == 3:
                        last = add(f"{key}.flat", flatten(*shape), last)
                    ends.append(add(f"{key}.w", affine(edge.weight, edge.bias), last))
                    continue
                for m, weight in enumerate([edge.weight] if edge.more is None else [edge.weight, edge.more]):
                    fields = {name: getattr(edge, name) for name in ("stride", "padding", "dilation", "groups")}
                    node = conv(weight, edge.bias if m == 0 else None, shape[1:], **fields)
                    ends.append(add(f"{key}.w{m}", node, last))
            nodes[layer.name] = spiking(layer.shape, layer.threshold, r=layer.gain)
            edges += [(end, layer.name) for end in ends]
        for name in self.outputs:
            add(f"out_{name}", port("Output", *self.shapes[name]), name)
        return graph(nodes, edges)

    # -- plain simulation

    def quantized(self, layer: Layer) -> tuple[list[Array], Array, int, int]:
        """Integer weights of each edge, bias, threshold and lower bound: sinabs' formulas in float32."""
        weights, bias = list[Array](), np.zeros(layer.shape[0], np.float32)
        for edge in layer.edges:
            share = 1.0
            for kind, size in edge.pools:
                share *= 1 / size**2 if kind == "AvgPool2d" else 1
            parts = [edge.weight] if edge.more is None else [edge.weight, edge.more]
            scaled = [(part.astype(float) * share * edge.factor).astype(np.float32) for part in parts]
            total: Array = np.sum([part.astype(float) for part in scaled], axis=0)
            weights.append((total * layer.gain).astype(np.float32))
            if edge.bias is not None:
                bias = bias + edge.bias
        bias = (bias * np.float32(layer.gain)).astype(np.float32)
        theta = np.float32(layer.threshold)
        # A group's zeros count among a layer's weights, but 0 is never the largest or least that decides.
        every = np.concatenate([part.ravel() for part in weights])
        s = min(scale_of(every, 8), scale_of(bias, 8), scale_of([-theta, theta], 16))
        whole = [np.rint(part * s).astype(int) for part in weights]
        return whole, np.rint(bias * s).astype(int), int(np.rint(theta * s)), int(np.rint(-theta * s))

    def simulate(self, raster: Array) -> dict[str, Array]:
        """Spike counts of every layer and v after each step."""
        found = dict[str, Array]()
        signals: dict[str, Array] = {"input": raster.astype(int)}
        for layer in self.layers:
            weights, bias, theta, low = self.quantized(layer)
            current = bias.reshape(-1, *(1,) * (len(layer.shape) - 1)) + sum(
                through(edge, whole, signals[edge.source]) for edge, whole in zip(layer.edges, weights, strict=True)
            )
            v = np.zeros(layer.shape, int)
            spikes, states = np.zeros((len(raster), *layer.shape), int), np.zeros((len(raster), *layer.shape), int)
            for t in range(len(raster)):
                v = v + current[t]
                spikes[t] = np.where(v > 0, np.maximum(v, 0) // theta, 0)
                v = np.where(spikes[t] > 0, 0, v) if self.zero else v - spikes[t] * theta
                if (v < low).any():
                    self.used.add("lower bound reached")
                v = np.maximum(v, low)
                states[t] = v
            if spikes.max() > 1:
                self.used.add("several spikes in a step")
            signals[layer.name] = spikes
            found[f"{layer.name}.spikes"], found[f"{layer.name}.v"] = spikes, states
        return found


def through(edge: Edge, weight: Array, x: Array) -> Array:
    """An edge's pools and weights, step by step, by the definition of each."""
    for _, size in edge.pools:
        t, c, rows, columns = x.shape
        pooled = np.zeros((t, c, rows // size, columns // size), int)
        for y in range(rows // size):
            for z in range(columns // size):
                pooled[:, :, y, z] = x[:, :, y * size : (y + 1) * size, z * size : (z + 1) * size].sum(axis=(2, 3))
        x = pooled
    if weight.ndim == 2:
        return x.reshape(len(x), -1) @ weight.T
    (pad_y, pad_x), (down, right), d = edge.padding, edge.stride, edge.dilation
    x = np.pad(x, ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    features, per_group, height, width = weight.shape
    rows = (x.shape[2] - d * (height - 1) - 1) // down + 1
    columns = (x.shape[3] - d * (width - 1) - 1) // right + 1
    result = np.zeros((len(x), features, rows, columns), int)
    own = features // edge.groups
    for f in range(features):
        channels = x[:, f // own * per_group :][:, :per_group]
        for y in range(rows):
            for z in range(columns):
                top, left = y * down, z * right
                seen = channels[:, :, top : top + d * height : d, left : left + d * width : d]
                seen = seen[:, :, :height, :width]
                result[:, f, y, z] = (seen * weight[f]).sum(axis=(1, 2, 3))
    return result


@dataclass
class Made:
    """A network, compiled, and whether every layer of it spiked."""

    network: Network
    config: bytes
    lively: bool


@pytest.fixture(scope="module")
def made() -> list[Made]:
    """All networks, run by nirc and by the simulation; every state of every layer is equal."""
    found = list[Made]()
    for seed in range(NETWORKS):
        network = Network(np.random.default_rng(seed))
        network.build()
        program = nirc.compile(network.graph(), "speck", reset="zero" if network.zero else "subtract", dt=1)
        raster: Array = network.rng.poisson(0.5, (STEPS, *network.shapes["input"]))
        expected = network.simulate(raster)
        got: dict[str, Array] = program.run(raster, record=tuple(expected), model="stepped")
        for key, values in expected.items():
            # A layer that is a vector in NIR is an image of one place on the chip.
            assert np.array_equal(got[key].reshape(values.shape), values), (seed, key)
        for name in network.outputs:
            assert np.array_equal(got[f"out_{name}"], expected[f"{name}.spikes"]), (seed, name)
        lively = all(values.any() for key, values in expected.items() if key.endswith(".spikes"))
        found.append(Made(network, program.emit(), lively))
    return found


def test_they_spike_and_hold_every_feature(made: list[Made]) -> None:
    counts = Counter(feature for item in made for feature in item.network.used)
    lively = sum(item.lively for item in made)
    print(f"{lively} of {len(made)} spike in every layer;", ", ".join(f"{name} {counts[name]}" for name in FEATURES))
    assert lively >= 0.9 * NETWORKS
    assert set(counts) == set(FEATURES)
    assert {name: n for name, n in counts.items() if n < 50} == {}


def test_the_checker_accepts_all(made: list[Made], shared: Path, tmp_path: Path) -> None:
    check = checker(shared)
    for seed, item in enumerate(made):
        (tmp_path / "cfg.json").write_bytes(item.config)
        faults = list[str]()
        *_, cores, _ = check.read_cfg(str(tmp_path / "cfg.json"), faults)
        _, used = check.check(cores, faults, [])
        assert (seed, faults) == (seed, [])
        assert used == set(cores)


def test_the_vendors_validator_accepts_all(made: list[Made], load_into_samna: Callable[..., list[Any]]) -> None:
    """samna builds each from the loader of docs/targets/speck.md and finds nothing wrong with it."""
    results = load_into_samna(*(item.config for item in made))
    assert [(n, message) for n, (valid, message, _) in enumerate(results) if not valid] == []
    assert len(results) == NETWORKS


def plain_events(network: speck.NetworkOp, raster: Array) -> dict[str, Array]:
    """Spike counts of the event model, one spike at a time: what an event causes, layer by layer; no biases."""
    layers = {name: Neurons(op) for name, op in network.layers().items()}
    sources, entries = network.sources(), {port.layer.data for port in network.inputs}
    for counts in raster:
        for again in range(counts.max(initial=0)):
            for channel, y, x in np.argwhere(counts > again).tolist():
                sent = dict[str, list[tuple[int, int, int]]]()
                for name, layer in layers.items():
                    arriving = [(channel, y, x)] if name in entries else []
                    _, rows, columns = layer.op.taken
                    for source, to in sources[name]:
                        p, shift = to.pooling.value.data, to.feature_shift.value.data
                        pooled = ((f + shift, oy // p, ox // p) for f, oy, ox in sent[source.node.data])
                        arriving += [event for event in pooled if event[1] < rows and event[2] < columns]
                    sent[name] = [spike for event in arriving for spike in layer.event(*event)]
    return {name: layer.counts for name, layer in layers.items()}


def test_the_event_model() -> None:
    """With branches, concatenation, strides, pools and both resets; biases have tests of their own."""
    lively = 0
    for seed in range(1000, 1040):
        network = Network(np.random.default_rng(seed))
        network.build()
        for layer in network.layers:
            for edge in layer.edges:
                edge.bias = None
        program = nirc.compile(network.graph(), "speck", reset="zero" if network.zero else "subtract", dt=1)
        (op,) = program.module.ops
        assert isinstance(op, speck.NetworkOp)
        raster: Array = network.rng.poisson(0.2, (4, *network.shapes["input"]))
        expected = plain_events(op, raster)
        got: dict[str, Array] = program.run(raster, record=tuple(f"{name}.spikes" for name in expected), model="events")
        for name, counts in expected.items():
            assert np.array_equal(got[f"{name}.spikes"].sum(axis=0), counts), (seed, name)
        lively += all(counts.any() for counts in expected.values())
    assert lively >= 36
