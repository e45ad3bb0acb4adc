"""netx files against what lava-dl and Lava computed of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.loihi2.read_net import read_net
from nirc.dialects import loihi2
from nirc.dialects.dense import Array, dense
from nirc.interpreters.loihi2 import Loihi2Evaluator


def network_of(module: ModuleOp) -> loihi2.NetworkOp:
    """The one network."""
    (network,) = module.ops
    assert isinstance(network, loihi2.NetworkOp)
    return network


def states(network: loihi2.NetworkOp, raster: Array) -> dict[str, Array]:
    """`<layer>.s`, `.u`, `.v` in Lava's order, [T, ...]; raster [T, ...]."""
    evaluator = Loihi2Evaluator(network)
    found: dict[str, list[Array]] = {f"{name}.{state}": [] for name in evaluator.populations for state in "suv"}
    for x in raster:
        evaluator.step({"input": x[None]})
        for name, population in evaluator.populations.items():
            for state, values in zip("suv", (population.spikes, population.u, population.v), strict=True):
                found[f"{name}.{state}"].append(values[0].astype(np.int32))
    return {key: np.stack(values) for key, values in found.items()}


@pytest.mark.parametrize("case", ["13_netx_feedforward", "14_netx_recurrent", "15_netx_conv"])
def test_recorded_files(shared: Path, case: str) -> None:
    """u and v of every layer, and the last layer's spikes, as Lava has them; layers count from the first neurons."""
    folder = shared / "cases" / "loihi2" / case
    network = network_of(read_net(str(folder / "model.net")))
    found = states(network, np.moveaxis(np.load(folder / "input.npy"), -1, 0))
    golden: Any = np.load(folder / "golden_net.npz")
    last = list(network.neurons())[-1]
    populations = list(network.neurons())
    for key in golden.files:
        name, _, state = key.rpartition(".")
        ours = last if name == "out" else populations[_rank(golden.files, name)]
        assert np.array_equal(found[f"{ours}.{state}"], golden[key]), key
    assert golden["out.s"].any()


def _rank(keys: list[str], name: str) -> int:
    """The place of a layer among those recorded."""
    return sorted({int(key.partition(".")[0]) for key in keys if not key.startswith("out")}).index(int(name))


def test_pilotnet(shared: Path) -> None:
    """A network of ten layers, from its image on: every spike, u and v that lava-dl recorded, but for the last layer's,
    which are of another run. v is recorded as 128 at spikes, as on the chip."""
    folder = shared / "cases" / "lava_netx" / "pilotnet_lif"
    network = network_of(read_net(str(folder / "network.net"), 17))
    network.neurons()["0"].properties["bias_mant"] = dense(np.load(folder / "image.npy").astype(np.int32))
    found = states(network, np.zeros((24, 3, 66, 200), np.int64))
    names = ["input", *(f"conv-{n}" for n in range(5)), *(f"fc-{n}" for n in range(3))]
    compared = 0
    for layer, name in zip([*range(6), 7, 8, 9], names, strict=True):
        spikes = found[f"{layer}.s"]
        values = {"": spikes, "-u": found[f"{layer}.u"], "-v": np.where(spikes, 128, found[f"{layer}.v"])}
        for suffix, ours in values.items():
            if (path := folder / f"{name}{suffix}.npy").exists():
                assert np.array_equal(np.moveaxis(ours, 0, -1), np.load(path)), path.name
                compared += 1
        assert spikes.any()
    assert compared == 9 + 2 * 7


def write(path: Path, *layers: dict[str, Any]) -> str:
    """A netx file."""
    with h5py.File(path, "w") as file:
        for n, layer in enumerate(layers):
            group: Any = file.create_group(f"layer/{n}")
            for key, value in layer.items():
                if key == "neuron":
                    for name in value:
                        group[f"{key}/{name}"] = value[name]
                else:
                    group[key] = np.array([value], "S10") if isinstance(value, str) else value
    return str(path)


NEURON = {"type": "CUBA", "iDecay": 4096, "vDecay": 128, "vThMant": 10}
INPUT = {"type": "input", "shape": [2]}
DENSE = {"type": "dense", "shape": [1], "weight": np.array([[3.0, -5.0]]), "neuron": NEURON}


def test_odd_weights_keep_their_lowest_bit(tmp_path: Path) -> None:
    """netx shifts them to the full width and back."""
    network = network_of(read_net(write(tmp_path / "m.net", INPUT, DENSE)))
    found = states(network, np.array([[1, 0], [0, 1], [0, 0]]))
    assert found["1.u"].ravel().tolist() == [0, 3 << 6, -5 << 6]


def test_delays(tmp_path: Path) -> None:
    """One a row; beyond 62 they are clipped, as netx does it."""
    network = network_of(read_net(write(tmp_path / "m.net", INPUT, {**DENSE, "delay": np.array([2.0])})))
    found = states(network, np.array([[1, 0], *[[0, 0]] * 4]))
    assert found["1.u"].ravel().tolist() == [0, 0, 0, 3 << 6, 0]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({**DENSE, "type": "pool"}, "layer 1: type 'pool' is not one of input"),
        ({**DENSE, "neuron": {**NEURON, "type": "ALIF"}}, "layer 1: neurons of type 'ALIF', nirc reads CUBA"),
        ({**DENSE, "weight": np.zeros((1, 2))}, "layer 1: all weights are 0, on which netx crashes"),
        ({**DENSE, "weight": np.array([[129.0, -5.0]])}, "layer 1: odd weights of both signs above 127 take 9 bits"),
        ({**DENSE, "type": "dense_rec"}, "layer 1: dense_rec has weight_rec and no delay"),
        ({**INPUT}, "layer 1: the first layer, and no other, is the input"),
        ({"type": "dense", "neuron": NEURON}, "layer 1: missing or malformed"),
    ],
)
def test_faults(tmp_path: Path, layer: dict[str, Any], told: str) -> None:
    with pytest.raises(DiagnosticException) as caught:
        read_net(write(tmp_path / "m.net", INPUT, layer))
    assert told in str(caught.value)


def test_no_netx_file(tmp_path: Path) -> None:
    (tmp_path / "m.net").write_text("{}")
    with pytest.raises(DiagnosticException, match="cannot be read as HDF5"):
        read_net(str(tmp_path / "m.net"))
    with pytest.raises(DiagnosticException, match="no group 'layer'"):
        read_net(write(tmp_path / "n.net"))
