"""300 random networks, compiled once: graphs, the files that nirc emits, rasters; and the checker from outside."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import nirc
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parents[2]))
from speck_models import Nodes, affine, conv, flatten, graph, nir, normal, pool, port, scale, spiking

COUNT = 300
STEPS = 24
DRAIN = 12
"""Ticks without input, in which what is late arrives."""
DT = 1e-3


def checker(shared: Path) -> Any:
    """The specification's checker as a module."""
    spec = importlib.util.spec_from_file_location("spinnaker2_check", shared / "checks" / "spinnaker2_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Case:
    """A network: its graph, options, features, the emitted file, its input [T, ...]."""

    model: Any
    options: dict[str, Any]
    features: set[str]
    program: nirc.Program
    config: dict[str, Any]
    raster: Array


class _Network:
    """A random chain of layers with skips, loops and delays."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.features = set[str]()
        self.nodes: Nodes = {}
        self.edges = list[tuple[str, str]]()

    def one_in(self, n: int, *features: str) -> bool:
        """Whether to have a feature."""
        found = bool(self.rng.integers(n) == 0)
        self.features.update(features if found else ())
        return found

    def then(self, name: str, node: Any, source: str) -> str:
        self.nodes[name] = node
        self.edges.append((source, name))
        return name

    def neurons(self, name: str, shape: tuple[int, ...], source: str) -> str:
        """IF, LIF or, on vectors, CubaLIF."""
        rng, ones = self.rng, np.ones(shape, np.float32)
        threshold = np.float32(1) * ones
        if self.one_in(3, "thresholds"):
            threshold = rng.uniform(0.6, 1.2, shape).astype(np.float32)
        reset = np.float32(rng.choice([-0.3, 0.2])) * ones if self.one_in(3, "v_reset") else 0 * ones
        kind = rng.integers(3 if len(shape) == 1 else 2)
        if kind == 0:
            self.features.add("IF")
            return self.then(name, spiking(shape, threshold, v_reset=reset), source)
        tau = np.float32(DT * rng.uniform(3, 20)) * ones
        if self.one_in(3, "time constants"):
            tau = (DT * rng.uniform(3, 20, shape)).astype(np.float32)
        leak = np.float32(rng.uniform(-0.2, 0.2)) * ones if self.one_in(3, "v_leak") else 0 * ones
        if self.one_in(8, "volts"):  # a threshold below 0, as biologists have it
            threshold, reset, leak = threshold - 2, reset - 2, leak - 2
        r = (tau / DT).astype(np.float32)
        if self.one_in(6, "negative gain"):
            r = -r
        fields = {"r": r, "v_threshold": threshold, "v_reset": reset, "v_leak": leak}
        if kind == 1:
            self.features.add("LIF")
            return self.then(name, nir.LIF(tau=tau, **fields), source)
        self.features.add("second synapse")
        tau_syn = np.float32(DT * rng.uniform(1.5, 4)) * ones
        return self.then(name, nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, w_in=ones * np.float32(1.2), **fields), source)

    def weights(self, out: int, taken: int) -> Any:
        """A matrix, perhaps with a bias."""
        matrix = normal(self.rng, out, taken, mean=1.2 / taken, spread=1.5 / np.sqrt(taken))
        return affine(matrix, normal(self.rng, out, mean=0.05, spread=0.15) if self.one_in(3, "bias") else None)

    def turn(self, node: str, source: str) -> None:
        """Let what feeds neurons of negative gain have the other sign, so that they fire."""
        neurons, before = self.nodes[node], self.nodes[source]
        if np.any(getattr(neurons, "r", np.ones(1)) < 0):
            before.weight *= np.float32(-1)

    def images(self, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Convolutions with pools before them and behind."""
        rng, last = self.rng, "input"
        self.features.add("convolution")
        for n in range(int(rng.integers(1, 3))):
            features, stride = int(rng.integers(1, 4)), 2 if self.one_in(2, "stride") else 1
            dilation = 2 if stride == 1 and self.one_in(2, "dilation") else 1
            weight = normal(rng, features, shape[0], 3, 3, mean=0.15, spread=0.25)
            bias = normal(rng, features, mean=0.05, spread=0.1) if self.one_in(3, "bias") else None
            kernel = conv(weight, bias, shape[1:], stride=stride, padding=dilation, dilation=dilation)
            source = last
            last = self.then(f"conv{n}", kernel, source)
            shape = (features, *(-(-size // stride) for size in shape[1:]))
            last = self.neurons(f"n{n}", shape, last)
            self.turn(last, f"conv{n}")
            if min(shape[1:]) >= 4 and self.one_in(1, "pool"):
                kind = "SumPool2d" if rng.integers(2) else "AvgPool2d"
                last = self.then(f"pool{n}", pool(2, kind), last)
                shape = (shape[0], shape[1] // 2, shape[2] // 2)
                if self.one_in(4, "pool onto neurons"):
                    last = self.neurons(f"p{n}", shape, last)
                    self.nodes[last].r = np.abs(self.nodes[last].r)
        if self.one_in(3, "scale"):
            last = self.then("scale", scale(rng.uniform(0.5, 1.5, shape)), last)
        return self.then("flat", flatten(*shape), last), (int(np.prod(shape)),)

    def build(self) -> Any:
        """The graph."""
        rng, images = self.rng, bool(self.rng.integers(2))
        shape: tuple[int, ...] = (int(rng.integers(1, 3)), 8, 6) if images else (int(rng.integers(3, 9)),)
        self.nodes["input"] = port("Input", *shape)
        last, shape = self.images(shape) if images else ("input", shape)
        skip: tuple[str, int] | None = None
        for n in range(int(rng.integers(1, 4))):
            size, taken = int(rng.integers(3, 9)), shape[0]
            source, name = (last, taken), f"m{n}"
            if self.one_in(3, "delay"):
                waits = (DT * rng.integers(0, 8, taken)).astype(np.float32)
                last = self.then(f"wait{n}", nir.Delay(waits), last)
            last = self.then(f"fc{n}", self.weights(size, taken), last)
            last = self.neurons(name, (size,), last)
            self.turn(last, f"fc{n}")
            if self.one_in(3, "recurrence"):
                self.then(f"rec{n}", affine(normal(rng, size, size, mean=0, spread=0.3)), name)
                self.edges.append((f"rec{n}", name))
            if skip is not None and self.one_in(2, "skip"):
                self.then(f"skip{n}", self.weights(size, skip[1]), skip[0])
                self.turn(name, f"skip{n}")
                self.edges.append((f"skip{n}", name))
            skip, shape = source, (size,)
        self.nodes["output"] = port("Output", *shape)
        self.edges.append((last, "output"))
        return graph(self.nodes, self.edges)


def make_case(seed: int) -> Case:
    """One network and its input."""
    network = _Network(seed)
    model, rng = network.build(), network.rng
    options: dict[str, Any] = {"dt": DT, "reset": "v_reset"}
    if network.one_in(2, "subtract"):
        options["reset"] = "subtract"
    if network.one_in(3, "exponential"):
        options["scheme"] = "nir-exp-euler"
    if network.one_in(3, "a scale a layer"):
        options["quantize"] = "layer"
    if network.one_in(3, "truncate"):
        options["weight_rounding"] = "truncate"
    if network.one_in(4, "vendor"):
        options["mapping"] = "vendor"
    program = nirc.compile(model, "spinnaker2", **options)
    shape = program.inputs["input"]
    raster = (rng.random((STEPS + DRAIN, *shape)) < 0.45).astype(np.uint8)
    raster[STEPS:] = 0
    return Case(model, options, network.features, program, json.loads(program.emit()), raster)


@cache
def cases() -> list[Case]:
    """All of them."""
    return [make_case(seed) for seed in range(COUNT)]
