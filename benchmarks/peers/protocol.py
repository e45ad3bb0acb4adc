"""What every child process of `kernel_speed.py` does: build networks, then measure what it is asked for.

It reads the networks from an .npz, prints one JSON line that says what it can run, then answers each line of JSON on
its input with one of its own. Numpy and the standard library only: children have environments of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Network = Mapping[str, Array]
"""kind (recurrent, layer, convolutions), x [T, samples, N...] of uint8, and the arrays of that kind."""

ROTATED = 4
"""Batches of other samples that calls go through in turn."""
LONG = 2.0
"""Seconds after which one call is enough."""


class Variant:
    """One way to run a network: a raster [T, B, N...] of uint8 made ready, the run, and its output spikes [T, B, N].

    alone: samples go one by one, so that batches gain nothing
    """

    def __init__(
        self,
        ready: Callable[[Array], Any],
        run: Callable[[Any], Any],
        spikes: Callable[[Any], Array] = np.asarray,
        *,
        alone: bool = False,
    ) -> None:
        self.ready, self.run, self.spikes, self.alone = ready, run, spikes, alone


def clocks() -> tuple[float, float]:
    """CPU seconds of the process, all its threads, and wall seconds."""
    return time.process_time(), time.perf_counter()


class Measured:
    """A variant at one batch size, warm."""

    def __init__(self, variant: Variant, x: Array, batch: int) -> None:
        self.variant, self.turn = variant, 0
        samples = x.shape[1]
        starts = [n * batch % samples for n in range(min(ROTATED, max(1, samples // batch)))]
        chosen = [(start + np.arange(batch)) % samples for start in starts]
        self.inputs = [variant.ready(np.ascontiguousarray(x[:, part])) for part in chosen]
        start = time.perf_counter()
        first = variant.spikes(variant.run(self.inputs[0]))
        self.count = int(np.asarray(first)[:, 0].sum())
        """Output spikes of the first sample."""
        if time.perf_counter() - start < LONG:
            variant.run(self.inputs[-1])

    def measure(self, seconds: float, least: int) -> dict[str, Any]:
        """Time calls one by one until so many seconds have passed, and at least so many calls unless they are long."""
        cpu, wall = list[float](), list[float]()
        start = time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds or len(wall) < (least if passed < LONG else 1):
            given = self.inputs[self.turn % len(self.inputs)]
            self.turn += 1
            cpu_start, wall_start = clocks()
            self.variant.run(given)
            cpu_end, wall_end = clocks()
            cpu.append(cpu_end - cpu_start)
            wall.append(wall_end - wall_start)
        return {"cpu": cpu, "wall": wall, "spikes": self.count}


def load(path: str) -> dict[str, dict[str, Array]]:
    """Networks by name; the file's keys are `network/array`."""
    networks = dict[str, dict[str, Array]]()
    with np.load(path) as file:
        for key in file.files:
            name, entry = key.rsplit("/", 1)
            networks.setdefault(name, {})[entry] = file[key]
    return networks


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed versions."""
    found = dict[str, str]()
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def serve(packages: Iterable[str], build: Callable[[Network], dict[str, Variant]]) -> None:
    """Answer until the input ends. `build` raises NotImplementedError where the framework has no such network."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What frameworks print goes to stderr.
    networks, variants = load(sys.argv[-1]), dict[str, dict[str, Variant]]()
    missing = dict[str, str]()
    for name, network in networks.items():
        try:
            variants[name] = build(network)
        except Exception as error:  # A framework may fail as it likes; the others are measured.
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    listed = {name: {key: variant.alone for key, variant in found.items()} for name, found in variants.items()}
    answer({"versions": versions(packages), "variants": listed, "missing": missing})
    warm = dict[tuple[str, str, int], Measured]()
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["network"], request["variant"], request["batch"])
        try:
            if request.get("forget"):
                warm.pop(key, None)
                answer({})
                continue
            if key not in warm:
                warm[key] = Measured(variants[key[0]][key[1]], networks[key[0]]["x"], key[2])
            answer(warm[key].measure(request["seconds"], request["least"]))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})
