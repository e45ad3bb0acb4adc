"""Random networks over all of NIR's primitives: the kernel equals the evaluator bit for bit."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2]))
from reference_simulator import SIMULATORS, Choices, Simulator
from same_results import Pair, events
from test_random_graphs import BINARY, FEATURES, Network, Size, flags, random_network, scheme, structure, write

NETWORKS = 160
PER_SCHEME = 2
LEAST = 8
"""Networks in which a feature has to occur; the long run that demands more is test_random_graphs.py's."""


def compare(network: Network, number: int, rng: np.random.Generator, path: Path) -> dict[str, Array]:
    """What both give; every second network gets its input as bytes, every second pair computes in f64."""
    write(path, network.graph)
    rasters = network.rasters
    if number % 2:
        rasters = {name: events(rng, *raster.shape) for name, raster in rasters.items()}
    choices, precision = network.choices, ("f32", "f64")[number // 2 % 2]
    try:
        pair = Pair(path, dt=choices.dt, scheme=scheme(choices), reset=choices.reset, precision=precision)
        return pair.run(rasters)
    except BaseException as error:
        error.add_note(f"this is network {number}")
        raise


@pytest.mark.parametrize("simulator", [name for name in SIMULATORS if name not in ("nir-euler", "nir-exp-euler")])
def test_networks_under_a_scheme(tmp_path: Path, simulator: str) -> None:
    """Loops, late connections, stored voltages, counts; so many networks, and more until one has fired."""
    spikes = 0
    for number in range(20):
        if number >= PER_SCHEME and spikes:
            break
        rng = np.random.default_rng((1812, number, *simulator.encode()))
        choices = Choices(dt=(1.0, 1e-3)[number % 2], simulator=simulator)
        draw = partial(_draw, rng)
        network = None
        while network is None:
            network = random_network(draw, rng, Size(6, 3, 1), choices)
        results = compare(network, number, rng, tmp_path / "network.nir")
        spikes += sum(int(values.sum()) for name, values in results.items() if name.endswith(".spikes"))
    assert spikes > 0


def _draw(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def test_many_networks(tmp_path: Path) -> None:
    """All primitives and features; several samples now and then."""
    path = tmp_path / "network.nir"
    networks, cells, spikes = 0, 0, Counter[str]()
    features = Counter[str]()
    for number in range(NETWORKS):
        rng = np.random.default_rng((1784, number))
        network = random_network(partial(_draw, rng), rng, Size(5, 3, 2))
        if network is None:
            continue
        results = compare(network, number, rng, path)
        choices = network.choices
        networks += 1
        cells += sum(values.size for values in results.values())
        simulator = Simulator(network.graph, choices)
        features.update(network.features | structure(simulator) | flags(choices))
        spikes.update(name for name, values in results.items() if name.endswith(".spikes") and values.any())
    assert networks > 0.9 * NETWORKS
    assert cells > 1000 * networks
    assert len(spikes) > networks
    assert {name: features[name] for name in FEATURES if features[name] < LEAST} == {}
    assert features.keys() >= BINARY
