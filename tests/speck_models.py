"""Small convolutional networks as NIR graphs for the tests of target speck, and what checks them from outside nirc."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nirc.dialects import speck
from nirc.dialects.dense import Array
from nirc.dialects.nir import integers

nir: Any = import_module("nir")
"""The package, whose constructors take more than their types say."""


def checker(shared: Path) -> Any:
    """The specification's checker, `checks/speck_check.py`, as a module."""
    spec = importlib.util.spec_from_file_location("speck_check", shared / "checks" / "speck_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scale_of(values: Any, bits: int) -> np.float32:
    """scale(a, b) of the specification, section 4 (sinabs' determine_discretization_scale)."""
    a = np.asarray(values, np.float32)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    least, most = a.min(), a.max()
    if least == 0 == most:
        return np.float32(np.inf)
    if np.abs(least) <= np.abs(most) * np.float32(abs(low / high)):
        return np.abs(np.float32(high) / most)
    return np.abs(np.float32(low) / least)


Nodes = dict[str, Any]
Edges = list[tuple[str, str]]


def port(kind: str, *shape: int) -> Any:
    """An Input or Output."""
    return getattr(nir, kind)({kind.lower(): np.array(shape)})


def conv(weight: Any, bias: Any = None, size: Sequence[int] | None = None, **changes: Any) -> Any:
    """A Conv2d of stride 1 without padding; size: rows and columns that arrive."""
    weight = np.asarray(weight, np.float32)
    bias = np.zeros(len(weight), np.float32) if bias is None else np.asarray(bias, np.float32)
    fields = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **changes}
    return nir.Conv2d(None if size is None else tuple(size), weight, bias=bias, **fields)


def spiking(shape: Sequence[int], threshold: Any = 1.0, **changes: Any) -> Any:
    """Integrate-and-fire neurons."""
    ones = np.ones(tuple(shape), np.float32)
    fields = {name: ones * np.float32(value) for name, value in {"r": 1.0, "v_reset": 0.0, **changes}.items()}
    return nir.IF(v_threshold=ones * np.float32(threshold), **fields)


def pool(size: int | tuple[int, int], kind: str = "SumPool2d", stride: Any = None, padding: Any = (0, 0)) -> Any:
    """A pool whose windows stand side by side."""
    size = (size, size) if isinstance(size, int) else size
    stride = size if stride is None else stride
    return getattr(nir, kind)(kernel_size=np.array(size), stride=np.array(stride), padding=np.array(padding))


def flatten(*shape: int) -> Any:
    """To a vector."""
    return nir.Flatten({"input": np.array(shape)}, 0, -1)


def affine(weight: Any, bias: Any = None) -> Any:
    """A matrix; without a bias a Linear."""
    weight = np.asarray(weight, np.float32)
    return nir.Linear(weight) if bias is None else nir.Affine(weight, np.asarray(bias, np.float32))


def scale(value: Any) -> Any:
    """Factors."""
    return nir.Scale(np.asarray(value, np.float32))


def graph(nodes: Nodes, edges: Edges | None = None) -> Any:
    """A graph; without edges the nodes are a chain."""
    return nir.NIRGraph(nodes, list(pairwise(nodes)) if edges is None else edges, type_check=False)


def chain(inputs: Sequence[int], *layers: Any, outputs: Sequence[int] = (1,)) -> Any:
    """Input, the nodes n0, n1, ..., Output."""
    nodes: Nodes = {"input": port("Input", *inputs)}
    nodes |= {f"n{n}": node for n, node in enumerate(layers)}
    return graph({**nodes, "output": port("Output", *outputs)})


def normal(rng: np.random.Generator, *shape: int, mean: float = 0.1, spread: float = 0.5) -> Array:
    """Weights."""
    values: Array = rng.normal(mean, spread, shape).astype(np.float32)
    return values


class Neurons:
    """The membranes of a layer, and what one event does to each, in plain Python."""

    def __init__(self, op: speck.CoreOp):
        self.op, self.v = op, np.zeros(op.given, int)
        self.counts = np.zeros(op.given, int)
        self.weights = op.numbers("weights").astype(int)
        self.theta, self.low = int(op.numbers("threshold_high")), int(op.numbers("threshold_low"))

    def add(self, place: tuple[int, int, int], amount: int) -> Iterator[tuple[int, int, int]]:
        self.v[place] = max(self.v[place] + amount, self.low)
        if self.v[place] >= self.theta:
            self.v[place] = 0 if self.op.return_to_zero is not None else self.v[place] - self.theta
            self.counts[place] += 1
            yield place

    def event(self, channel: int, y: int, x: int) -> Iterator[tuple[int, int, int]]:
        features, rows, columns = self.op.given
        (down, right), (pad_y, pad_x) = integers(self.op.stride), integers(self.op.padding)
        for oy in range(rows):
            for ox in range(columns):
                dy, dx = y + pad_y - oy * down, x + pad_x - ox * right
                if 0 <= dy < self.op.kernel and 0 <= dx < self.op.kernel:
                    for f in range(features):
                        yield from self.add((f, oy, ox), self.weights[f, channel, dy, dx])
