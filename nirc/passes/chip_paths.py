"""What the conversions of `snn` to chips share on which each path between layers takes a step.

A path is the linear ops from a layer's spikes, or an Input, to another layer. As each takes a step, a layer is some
steps late against the network, and a path that takes fewer steps than another one has to wait. A path is a convolution
where it can be one, else the matrix of its responses to single values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import BlockArgument, SSAValue

from nirc.dialects import snn
from nirc.dialects.dense import Array, array, doubles
from nirc.dialects.nir import integers, listed, quote
from nirc.interpreters.snn import convolved, pooled
from nirc.passes.chip_conversion import ChipConversion

_MOST = 1 << 26
"""Weights of the largest matrix that a path is unrolled to."""

ONE = "\0"
"""What is always 1, as a source: no node has this name."""


@dataclass(frozen=True, eq=False)
class Step:
    """An op of a linear path; of a Delay, the values that wait equally long."""

    op: snn.SnnOp
    mask: Array | None = None

    def apply(self, x: Array) -> Array:
        """The op of [B, ...], without its delay."""
        op = self.op
        if isinstance(op, snn.LinearOp):
            return x @ doubles(op.weight).T
        if isinstance(op, snn.ConvOp):
            return convolved(op, x)
        if isinstance(op, snn.PoolOp):
            return pooled(op, x)
        if isinstance(op, snn.ScaleOp):
            return x * doubles(op.factor)
        if isinstance(op, snn.ReshapeOp):
            return x.reshape(len(x), *snn.tensor_of(op.output).get_shape())
        return x if self.mask is None else x * self.mask


@dataclass(frozen=True, eq=False)
class Edge:
    """What reaches a layer from a source: its values through the steps in order, so many time steps late.

    source    the name of an Input or a layer, or `ONE`, whose path is the constant
    """

    source: str
    path: tuple[Step, ...]
    steps: int = 0
    constant: Array | None = None
    recurrent: bool = False

    def nodes(self) -> list[str]:
        """The NIR nodes of the path."""
        return list(dict.fromkeys(step.op.node.data for step in self.path if step.op.node is not None))

    def run(self, x: Array) -> Array:
        """The path of [B, ...]."""
        for step in self.path:
            x = step.apply(x)
        return x


@dataclass(eq=False)
class Layer:
    """A layer of neurons, one number for each neuron (flat).

    The chip's v is (v - offset) factor; a conversion chooses both, and puts the other numbers into these units.
    """

    name: str
    op: snn.SnnOp
    shape: tuple[int, ...]
    silent: bool
    decay: Array
    synapse: Array
    gain: Array
    bias: Array
    threshold: Array
    start: Array
    factor: Array
    offset: Array
    edges: list[Edge] = field(default_factory=list[Edge])
    latency: int = 0

    @property
    def size(self) -> int:
        """The neurons."""
        return math.prod(self.shape)


class PathConversion(ChipConversion):
    """A network's layers and the paths between them."""

    def __init__(self, module: ModuleOp, network: snn.NetworkOp):
        super().__init__(module, network)
        self.built = dict[str, Layer]()
        self.sizes: dict[str, tuple[int, ...]] = {
            name: snn.tensor_of(arg).get_shape() for arg, name in zip(network.input_args, self.names(), strict=True)
        }
        self.late = list[str]()
        self.taken = set[str]()
        self.unrolled = dict[Edge, Array | None]()

    def layers(self) -> list[snn.FireOp]:
        """The layers of neurons, whose spikes and shapes are known by name from here on."""
        fires = super().layers()
        self.sizes.update({name: snn.tensor_of(spikes).get_shape() for spikes, name in self.spikes.items()})
        return fires

    def names(self) -> list[str]:
        """The Inputs."""
        return [name.data for name in self.network.inputs]

    def integration(self, op: snn.SnnOp, name: str, value: SSAValue, after: SSAValue | None) -> Layer | None:
        """Match the filters whose result is `value`; `after` is the membrane that the next step starts from."""
        leak, membrane = self.membrane(op, value, after)
        if membrane is None:
            return None
        shape = snn.tensor_of(value).get_shape()

        def each(values: Array) -> Array:
            return np.broadcast_to(values, shape).astype(float).ravel()

        decay, gain, into = each(doubles(membrane.decay)), each(doubles(membrane.gain)), membrane.input
        synapse, bias = np.zeros(len(decay)), each(leak)
        rest, before = self.peel(membrane.input)
        if isinstance(before, snn.FilterOp) and self.nexts.get(before.state) is before.next:
            synapse, bias = each(doubles(before.decay)), bias + gain * each(rest)
            gain, into = gain * each(doubles(before.gain)), before.input
            self.start_at_zero(before.state)
        start = each(doubles(self.states[cast(BlockArgument, membrane.state)].init))
        ones = np.ones(len(decay))
        layer = Layer(name, op, shape, False, decay, synapse, gain, bias, np.ones(()), start, ones, 0 * ones)
        layer.edges = list(self.collect(layer, into, ()))
        return layer

    def collect(
        self, layer: Layer, value: SSAValue, path: tuple[Step, ...], steps: int = 0, cut: bool = False
    ) -> Iterator[Edge]:
        """The edges and constants that make up a value, each with its way to the layer."""
        op = value.owner
        if value in self.spikes:
            yield Edge(self.spikes[value], path, steps, recurrent=cut)
        elif isinstance(value, BlockArgument):
            if value in self.inputs:
                yield Edge(self.inputs[value], path, steps, recurrent=cut)
            elif cut and not steps:
                self.fail(layer.op, f"a state feeds it that is no earlier value; {self.CHIP} has no such state")
            else:
                self.start_at_zero(value)
                yield from self.collect(layer, self.nexts[value], path, steps + 1, True)
        elif isinstance(op, snn.SumOp):
            for item in op.inputs:
                yield from self.collect(layer, item, path, steps, cut)
        elif isinstance(op, snn.AddOp):
            constant = np.broadcast_to(doubles(op.constant), snn.tensor_of(op.output).get_shape())
            yield Edge(ONE, path, steps, constant.astype(float), cut)
            yield from self.collect(layer, op.input, path, steps, cut)
        elif isinstance(op, snn.DelayOp):
            waits = np.broadcast_to(array(op.steps), snn.tensor_of(op.output).get_shape())
            for wait in np.unique(waits):
                mask = None if np.all(waits == wait) else (waits == wait).astype(float)
                yield from self.collect(layer, op.input, (Step(op, mask), *path), steps + int(wait), cut)
        elif isinstance(op, snn.LinearOp | snn.ConvOp | snn.PoolOp | snn.ScaleOp | snn.ReshapeOp):
            yield from self.collect(layer, op.input, (Step(op), *path), steps, cut)
        elif isinstance(op, snn.FilterOp):
            self.fail(
                layer.op, f"the membrane or current of {op.label} feeds it; {self.CHIP}'s neurons send spikes alone"
            )
        else:
            who = op.label if isinstance(op, snn.SnnOp) else "something else"
            self.fail(layer.op, f"{who} feeds it; {self.CHIP} takes spikes and inputs through weights alone")

    def set_latencies(self) -> None:
        """The least latencies under which every path takes the steps that it has in the network.

        A loop of several layers takes a step a layer on the chip; where the network's takes fewer, its recurrent edges
        are late, which is told.
        """
        layers = self.built
        edges = [(edge.source, layer.name, edge) for layer in layers.values() for edge in layer.edges]
        latency = self.longest([edge for edge in edges if not edge[2].recurrent])
        latency = self.longest(edges) or latency or {}
        for name, layer in layers.items():
            layer.latency = latency[name]

    def longest(self, edges: list[tuple[str, str, Edge]]) -> dict[str, int] | None:
        """The longest path to each source; None where a loop has none."""
        latency = {**dict.fromkeys(self.names(), 0), ONE: 0, **dict.fromkeys(self.built, 0)}
        for _ in range(len(self.built) + 2):
            changed = False
            for source, target, edge in edges:
                least = latency[source] + 1 - self.absorbed(edge)
                if latency[target] < least:
                    latency[target], changed = least, True
            if not changed:
                return latency
        return None

    def absorbed(self, edge: Edge) -> int:
        """The steps of a path that may pass while the chip's own one does."""
        return edge.steps

    def wait(self, edge: Edge, target: Layer) -> int:
        """The steps that a connection waits beside its own one."""
        source = self.built[edge.source].latency if edge.source in self.built else 0
        wait = target.latency + edge.steps - source - 1
        if wait < 0:
            self.late.append(f"{quote(edge.source)} -> {quote(target.name)} by {-wait}")
        return max(wait, 0)

    def column(self, edge: Edge, layer: Layer) -> Array:
        """The weights of a constant, [neuron, 1]."""
        assert edge.constant is not None
        value: Array = edge.run(edge.constant[None]).reshape(-1, 1) * layer.gain[:, None]
        return value

    def fresh(self, name: str) -> str:
        """A name that nothing on the chip has."""
        found = next(
            text for n in range(len(self.taken) + 1) if (text := f"{name}~{n}" if n else name) not in self.taken
        )
        self.taken.add(found)
        return found

    def matrix(self, edge: Edge, layer: Layer) -> Array | None:
        """The responses of a path to single values, [neuron, value], with the layer's gains; None where too large."""
        if edge not in self.unrolled:
            self.unrolled[edge] = self.unroll(edge, layer)
        return self.unrolled[edge]

    def unroll(self, edge: Edge, layer: Layer) -> Array | None:
        """The matrix, computed anew."""
        if edge.source == ONE:
            return self.column(edge, layer)
        shape = self.sizes[edge.source]
        size = math.prod(shape)
        if size * layer.size > _MOST:
            nodes = edge.nodes()
            self.faults.append(
                f"node {listed(nodes) if nodes else layer.op.label}: it is no single convolution and would be a matrix "
                f"of {layer.size:,} x {size:,} weights, nirc unrolls {_MOST:,} at most; put neurons between its parts"
            )
            return None
        found = np.zeros((layer.size, size))
        for start in range(0, size, 512):
            single = np.zeros((min(512, size - start), size))
            np.fill_diagonal(single[:, start:], 1)
            found[:, start : start + len(single)] = edge.run(single.reshape(-1, *shape)).reshape(len(single), -1).T
        return found * layer.gain[:, None]


def reshaped(value: SSAValue) -> SSAValue:
    """The value before reshapes, whose order of numbers is the same."""
    while isinstance(value.owner, snn.ReshapeOp):
        value = value.owner.input
    return value


def started(layer: Layer, bias: Array) -> tuple[Array, Array]:
    """Where v starts so that `latency` steps with the bias alone lead to the layer's start, and whether it can."""
    v = layer.start.copy()
    fine = np.ones(layer.size, np.bool_)
    most = 64 * np.abs(bias).max(initial=0) + np.abs(v).max(initial=0) if layer.silent else 32 * layer.threshold
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(layer.latency):
            # What is tested in this step must not fire.
            fine &= (v <= layer.threshold) | layer.silent
            v = np.where(v == bias, 0, (v - bias) / layer.decay)
            fine &= np.isfinite(v) & (np.abs(v) <= most)
    return np.where(fine, v, 0), fine


def bundled(
    summed: dict[int, tuple[Array, list[str]]], spread: int | None = None
) -> Iterator[tuple[Array, Array, list[str]]]:
    """Matrices of several waits as few as possible, with the waits and the nodes: each weight has one wait, the least
    wait of a matrix first; `spread`: how far the waits of one may lie apart."""
    rest = sorted(summed.items())
    while rest:
        first, (weights, nodes) = rest[0]
        weights, nodes, delays = weights.copy(), list(nodes), np.full(weights.shape, first, np.int32)
        later = list[tuple[int, tuple[Array, list[str]]]]()
        for wait, (more, names) in rest[1:]:
            if np.any((weights != 0) & (more != 0)) or (spread is not None and wait - first > spread):
                later.append((wait, (more, names)))
            else:
                delays[more != 0] = wait
                weights += more
                nodes += names
        yield weights, delays, list(dict.fromkeys(nodes))
        rest = later


@dataclass(frozen=True)
class Kernel:
    """A correlation of images, as NIR has it: rows, columns; weight [out, in / groups, rows, columns].

    padding: top, bottom, left, right.
    """

    weight: Array
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def spread(self) -> Array:
        """The weights without groups and dilation."""
        out, per_group, rows, columns = self.weight.shape
        down, right = self.dilation
        full = np.zeros((out, per_group * self.groups, down * (rows - 1) + 1, right * (columns - 1) + 1))
        own = out // self.groups
        for n in range(self.groups):
            part = slice(n * own, (n + 1) * own)
            full[part, n * per_group : (n + 1) * per_group, ::down, ::right] = self.weight[part]
        return full

    def then(self, other: Kernel) -> Kernel:
        """This one, then the other, as one; equal but for what the borders do."""
        first, second = self.spread(), other.spread()
        size = [a + step * (b - 1) for a, b, step in zip(first.shape[2:], second.shape[2:], self.stride, strict=True)]
        weight = np.zeros((len(second), first.shape[1], *size))
        for i in range(second.shape[2]):
            for j in range(second.shape[3]):
                y, x = i * self.stride[0], j * self.stride[1]
                place = weight[:, :, y : y + first.shape[2], x : x + first.shape[3]]
                place += np.einsum("om,mcyx->ocyx", second[:, :, i, j], first)
        (a, b), (c, d) = self.stride, other.stride
        steps = (a, a, b, b)
        top, bottom, left, right = (p + n * q for p, n, q in zip(self.padding, steps, other.padding, strict=True))
        return Kernel(weight, (a * c, b * d), (top, bottom, left, right))

    def run(self, x: Array, out: tuple[int, ...]) -> Array:
        """The correlation of one image [C, H, W], to compare with."""
        weight = self.spread()
        (top, bottom, left, right), (down, across) = self.padding, self.stride
        padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
        view = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::down, ::across]
        found: Array = np.einsum("chwyx,ocyx->ohw", view, weight, optimize=True)
        return found if found.shape == out else np.full(out, np.nan)


def kernel_of_path(edge: Edge, shape: tuple[int, ...]) -> Kernel | None:
    """The path as one correlation, None where it is none; what the borders do is tried with random numbers."""
    steps = [step for step in edge.path if step.mask is not None or not isinstance(step.op, snn.DelayOp)]
    kernels = [_kernel_of(step.op) for step in steps] or [Kernel(np.ones((shape[0], 1, 1, 1)), groups=shape[0])]
    found = kernels[0]
    for kernel in kernels[1:]:
        found = None if found is None or kernel is None else found.then(kernel)
    if found is None:
        return None
    if len(kernels) > 1:
        image = np.random.default_rng(0).normal(size=shape)
        expected = edge.run(image[None])[0]
        if not np.allclose(found.run(image, expected.shape), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()):
            return None
    return found


def _kernel_of(op: snn.SnnOp) -> Kernel | None:
    """One op as a correlation."""
    if isinstance(op, snn.ConvOp | snn.PoolOp):
        padding = cast(tuple[int, int, int, int], integers(op.padding))
        down, across = integers(op.stride)
        if isinstance(op, snn.PoolOp):
            channels = snn.tensor_of(op.output).get_shape()[0]
            return Kernel(np.ones((channels, 1, *integers(op.kernel))), (down, across), padding, groups=channels)
        y, x = integers(op.dilation)
        return Kernel(doubles(op.weight), (down, across), padding, (y, x), op.groups.value.data)
    if isinstance(op, snn.ScaleOp):
        shape = snn.tensor_of(op.output).get_shape()
        factor = np.broadcast_to(doubles(op.factor), shape)
        if len(shape) == 3 and np.all(factor == factor[:, :1, :1]):
            return Kernel(np.diag(factor[:, 0, 0])[:, :, None, None])
    return None
