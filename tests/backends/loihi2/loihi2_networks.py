"""300 random networks, compiled once: their graphs, and the files that nirc emits, some pushed to extremes."""

from __future__ import annotations

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
from speck_models import Nodes, affine, conv, flatten, graph, nir, normal, pool, port, spiking

COUNT = 300
STEPS = 24
DT = 1e-3


@dataclass
class Case:
    """A network: its graph, options, features, the emitted file (perhaps pushed to extremes), rasters."""

    model: Any
    options: dict[str, Any]
    features: set[str]
    program: nirc.Program
    text: str
    rasters: dict[str, Array]


class _Network:
    """A random chain of layers with skips, loops and delays."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.features = set[str]()
        self.nodes: Nodes = {}
        self.edges = list[tuple[str, str]]()

    def one_in(self, n: int, feature: str) -> bool:
        """Whether to have a feature."""
        found = bool(self.rng.integers(n) == 0)
        if found:
            self.features.add(feature)
        return found

    def then(self, name: str, node: Any, source: str) -> str:
        self.nodes[name] = node
        self.edges.append((source, name))
        return name

    def neurons(self, name: str, shape: tuple[int, ...], source: str) -> str:
        """IF, LIF or CubaLIF with what the chip takes."""
        rng, ones = self.rng, np.ones(shape, np.float32)
        channel = (shape[0],) + (1,) * (len(shape) - 1)
        threshold = np.float32(1) * ones
        if self.one_in(3, "thresholds"):
            threshold = (rng.uniform(0.6, 1.2, channel) * ones).astype(np.float32)
        kind = rng.integers(3)
        if kind == 0:
            self.features.add("IF")
            return self.then(name, spiking(shape, threshold), source)
        tau = np.float32(DT * rng.uniform(3, 20)) * ones
        if len(shape) == 1 and self.one_in(4, "split"):
            tau = (DT * rng.choice([4.0, 7.0, 15.0], shape)).astype(np.float32)
        reset, leak = 0 * ones, 0 * ones
        if self.one_in(3, "v_reset"):
            reset = np.float32(rng.choice([-0.3, 0.2])) * ones
        if self.one_in(3, "v_leak"):
            leak = np.float32(rng.uniform(-0.2, 0.2)) * ones
        fields = {"v_threshold": threshold, "v_reset": reset, "v_leak": leak}
        r = (tau / DT).astype(np.float32)
        if kind == 1:
            return self.then(name, nir.LIF(tau=tau, r=r, **fields), source)
        self.features.add("CubaLIF")
        tau_syn = np.float32(DT * rng.uniform(1.5, 4)) * ones
        node = nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=r, w_in=ones * np.float32(1.2), **fields)
        return self.then(name, node, source)

    def weights(self, out: int, taken: int) -> Any:
        """A matrix, perhaps with a bias."""
        matrix = normal(self.rng, out, taken, mean=1.2 / taken, spread=1.5 / np.sqrt(taken))
        bias = normal(self.rng, out, mean=0.05, spread=0.15) if self.one_in(3, "bias") else None
        return affine(matrix, bias)

    def build(self) -> Any:
        """The graph."""
        rng, images = self.rng, self.one_in(2, "convolution")
        shape: tuple[int, ...] = (int(rng.integers(1, 3)), 8, 6) if images else (int(rng.integers(3, 9)),)
        self.nodes["input"] = port("Input", *shape)
        last = "input"
        for n in range(int(rng.integers(1, 3)) if images else 0):
            features, stride = int(rng.integers(1, 4)), 2 if self.one_in(2, "stride") else 1
            weight = normal(rng, features, shape[0], 3, 3, mean=0.15, spread=0.25)
            bias = normal(rng, features, mean=0.05, spread=0.1) if self.one_in(3, "bias") else None
            last = self.then(f"conv{n}", conv(weight, bias, shape[1:], stride=stride, padding=1), last)
            shape = (features, *(-(-size // stride) for size in shape[1:]))
            last = self.neurons(f"n{n}", shape, last)
            if min(shape[1:]) >= 4 and (n == 0 or rng.integers(2)) and self.one_in(1, "pool"):
                kind = "SumPool2d" if rng.integers(2) else "AvgPool2d"
                last = self.then(f"pool{n}", pool(2, kind), last)
                shape = (shape[0], shape[1] // 2, shape[2] // 2)
        if images:
            last = self.then("flat", flatten(*shape), last)
            shape = (int(np.prod(shape)),)
        skip: tuple[str, int] | None = None
        for n in range(int(rng.integers(1, 3))):
            size, taken = int(rng.integers(3, 9)), shape[0]
            if self.one_in(3, "delay"):
                waits = (DT * rng.integers(0, 5, taken)).astype(np.float32)
                last = self.then(f"wait{n}", nir.Delay(waits), last)
            source, name = (last, taken), f"m{n}"
            last = self.then(f"fc{n}", self.weights(size, taken), last)
            last = self.neurons(name, (size,), last)
            if self.one_in(3, "recurrence"):
                self.then(f"rec{n}", affine(normal(rng, size, size, mean=0, spread=0.3)), name)
                self.edges.append((f"rec{n}", name))
            if skip is not None and self.one_in(2, "skip"):
                self.then("skip", self.weights(size, skip[1]), skip[0])
                self.edges.append(("skip", name))
            skip, shape = source, (size,)
        self.nodes["output"] = port("Output", *shape)
        self.edges.append((last, "output"))
        return graph(self.nodes, self.edges)


def make_case(seed: int) -> Case:
    """One network and its input."""
    network = _Network(seed)
    model, rng = network.build(), network.rng
    options: dict[str, Any] = {"dt": DT, "reset": "auto"}
    if network.one_in(3, "weight splits"):
        options["weight_splits"] = "2"
    program = nirc.compile(model, "loihi2", **options)
    shape = program.inputs["input"]
    raster = (rng.random((STEPS, *shape)) < 0.45).astype(np.int32)
    text = extreme(network, program.emit().decode(), raster)
    return Case(model, options, network.features, program, text, {"input": raster})


def extreme(network: _Network, text: str, raster: Array) -> str:
    """One in three files pushed to where fields wrap and saturate, or reset, or graded inputs."""
    config, rng = json.loads(text), network.rng
    if network.one_in(3, "extremes"):
        for process in config["processes"]:
            if process["type"] in ("Dense", "Sparse", "DelayDense"):
                process["weight_exp"] = int(rng.integers(6, 11))
            elif process["type"] == "LIF" and process["vth"] and rng.integers(2):
                process["bias_exp"] = int(rng.integers(5, 8))
                process["dv"] = 0
    if network.one_in(3, "reset interval"):
        for process in config["processes"]:
            if process["type"] == "LIF":
                process |= {"type": "LIFReset", "reset_interval": 9, "reset_offset": int(rng.integers(0, 9))}
    if network.one_in(3, "graded input"):
        raster *= rng.integers(1, 4, raster.shape).astype(np.int32)
        fed = {edge["dst"] for edge in config["connections"] if edge["src"] == "input"}
        for process in config["processes"]:
            if process["name"] in fed:
                process["num_message_bits"] = 8
    return json.dumps(config)


@cache
def cases() -> list[Case]:
    """All of them."""
    return [make_case(seed) for seed in range(COUNT)]
