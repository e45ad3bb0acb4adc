"""Random networks over all of NIR's primitives: the kernel equals the evaluator bit for bit."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2]))
from reference_simulator import Simulator
from same_results import Pair, events
from test_random_graphs import BINARY, FEATURES, Size, flags, random_network, scheme, structure, write

NETWORKS = 160
LEAST = 8
"""Networks in which a feature has to occur; the long run that demands more is test_random_graphs.py's."""


def test_many_networks(tmp_path: Path) -> None:
    """Every second one gets its input as bytes, every second pair computes in f64; several samples now and then."""
    path = tmp_path / "network.nir"
    networks, cells, spikes = 0, 0, Counter[str]()
    features = Counter[str]()
    for number in range(NETWORKS):
        rng = np.random.default_rng((1784, number))
        network = random_network(lambda low, high, rng=rng: int(rng.integers(low, high + 1)), rng, Size(5, 3, 2))
        if network is None:
            continue
        write(path, network.graph)
        choices = network.choices
        rasters = network.rasters
        if number % 2:
            rasters = {name: events(rng, *raster.shape) for name, raster in rasters.items()}
        try:
            pair = Pair(
                path,
                dt=choices.dt,
                scheme=scheme(choices),
                reset=choices.reset,
                precision=("f32", "f64")[number // 2 % 2],
            )
            results = pair.run(rasters)
        except BaseException as error:
            error.add_note(f"this is network {number}")
            raise
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
