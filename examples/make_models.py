"""Makes the models and rasters that ship with nirc: `python examples/make_models.py`.

gestures.nir   12 input channels, 48 recurrent current-based neurons, 8 readout neurons; weights drawn at random, scaled
               so that every layer is active on gestures.npz (moving bursts over the channels, 200 steps of 1 ms).
               Parameters are written as snnTorch writes them: r = tau_mem/dt, w_in = tau_syn/dt, so dt can be found.
edges.nir      a small convolutional network of integrate-and-fire neurons over 2 x 16 x 16 events; runs on `snn`.

The same numbers come out every time (PCG64 with fixed seeds).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
DT = 1e-3

Array = NDArray[Any]
Node = dict[str, Any]


def write_nir(path: Path, nodes: dict[str, Node], edges: list[tuple[str, str]]) -> None:
    """Write a graph as the reference package does: /version, /node/nodes/<name>/<field>, /node/edges."""
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=text)
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        graph.create_dataset("edges", data=np.array(edges, dtype=object), dtype=text)
        group = graph.create_group("nodes")
        for name, fields in nodes.items():
            write_fields(group.create_group(name), fields)


def write_fields(group: h5py.Group, fields: Node) -> None:
    """Write strings as text, dictionaries (`metadata`) as groups, all else as arrays."""
    for name, value in fields.items():
        if isinstance(value, dict):
            write_fields(group.create_group(name), cast(Node, value))
        elif isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=value)


def cuba_lif(size: int, tau_mem: Array, tau_syn: float, threshold: float) -> Node:
    """A layer of CubaLIF neurons with the gains that snnTorch's exporter writes."""
    ones = np.ones(size)
    return {
        "type": "CubaLIF",
        "tau_mem": tau_mem * ones,
        "tau_syn": tau_syn * ones,
        "r": tau_mem / DT * ones,
        "w_in": tau_syn / DT * ones,
        "v_leak": 0 * ones,
        "v_threshold": threshold * ones,
        "v_reset": 0 * ones,
    }


def gestures() -> None:
    """The recurrent network and its raster."""
    rng = np.random.default_rng(7)
    channels, hidden, classes, steps = 12, 48, 8, 200
    weights_in = rng.normal(0.02, 0.12, (hidden, channels)).astype(np.float32)
    recurrent = (rng.normal(-0.01, 0.08, (hidden, hidden)) * (rng.random((hidden, hidden)) < 0.4)).astype(np.float32)
    readout = rng.normal(0.03, 0.12, (classes, hidden)).astype(np.float32)
    nodes: dict[str, Node] = {
        "input": {"type": "Input", "shape": np.array([channels])},
        "fc_in": {"type": "Linear", "weight": weights_in},
        "hidden": cuba_lif(hidden, rng.choice([8e-3, 16e-3], hidden), 4e-3, 1.0),
        "fc_rec": {"type": "Linear", "weight": recurrent},
        "fc_out": {"type": "Linear", "weight": readout},
        "readout": cuba_lif(classes, np.full(classes, 16e-3), 4e-3, 1.0),
        "output": {"type": "Output", "shape": np.array([classes])},
    }
    edges = [
        ("input", "fc_in"),
        ("fc_in", "hidden"),
        ("hidden", "fc_rec"),
        ("fc_rec", "hidden"),
        ("hidden", "fc_out"),
        ("fc_out", "readout"),
        ("readout", "output"),
    ]
    write_nir(HERE / "gestures.nir", nodes, edges)
    centre = (np.arange(steps) * 0.11) % channels
    distance = np.abs(np.arange(channels) - centre[:, None])
    rate = 0.6 * np.exp(-(np.minimum(distance, channels - distance) ** 2) / 2) + 0.01
    np.savez_compressed(HERE / "gestures.npz", input=(rng.random((steps, channels)) < rate).astype(np.uint8))


def edges() -> None:
    """The convolutional network; its IF neurons have r = 1, so nothing depends on dt."""
    rng = np.random.default_rng(3)

    def layer(shape: tuple[int, ...]) -> Node:
        ones = np.ones(shape, np.float32)
        return {"type": "IF", "r": ones, "v_threshold": ones, "v_reset": 0 * ones}

    kernel = rng.normal(0.05, 0.2, (4, 2, 3, 3)).astype(np.float32)
    nodes: dict[str, Node] = {
        "input": {"type": "Input", "shape": np.array([2, 16, 16])},
        "conv": {
            "type": "Conv2d",
            "weight": kernel,
            "bias": np.zeros(4, np.float32),
            "stride": np.array([2, 2]),
            "padding": np.array([1, 1]),
            "dilation": np.array([1, 1]),
            "groups": 1,
            "input_shape": np.array([16, 16]),
        },
        "if1": layer((4, 8, 8)),
        "pool": {
            "type": "SumPool2d",
            "kernel_size": np.array([2, 2]),
            "stride": np.array([2, 2]),
            "padding": np.array([0, 0]),
        },
        "flatten": {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": np.array([4, 4, 4])},
        "fc": {
            "type": "Affine",
            "weight": rng.normal(0.05, 0.2, (10, 64)).astype(np.float32),
            "bias": np.zeros(10, np.float32),
        },
        "if2": layer((10,)),
        "output": {"type": "Output", "shape": np.array([10])},
    }
    chain = list(nodes)
    write_nir(HERE / "edges.nir", nodes, list(pairwise(chain)))
    raster = (rng.random((40, 2, 16, 16)) < 0.08).astype(np.uint8)
    np.savez_compressed(HERE / "edges.npz", input=raster)


if __name__ == "__main__":
    gestures()
    edges()
