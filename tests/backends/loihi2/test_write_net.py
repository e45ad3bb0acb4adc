"""netx files that nirc writes: fields as recorded ones have them, run by nirc and by lava-dl, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc import driver
from nirc.backends.loihi2.read_config import read_config
from nirc.backends.loihi2.read_net import netx_format, read_net
from nirc.backends.loihi2.write_net import write_net
from nirc.dialects import loihi2
from nirc.dialects.dense import Array
from nirc.interpreters.loihi2 import Loihi2Evaluator

sys.path.append(str(Path(__file__).parents[2]))
from speck_models import affine, chain, conv, flatten, graph, nir, normal, pool, port, spiking

DT = 1e-3
CASES = ("13_netx_feedforward", "14_netx_recurrent", "15_netx_conv")


def lif(size: int, **changes: Any) -> Any:
    """LIF neurons of 8 steps."""
    fields = {"tau": 8 * DT, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changes}
    return nir.LIF(**{name: np.broadcast_to(np.float32(value), (size,)).copy() for name, value in fields.items()})


def content(path: Path) -> dict[str, Any]:
    """The datasets below `layer`."""
    found = dict[str, Any]()

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        group: Any = file["layer"]
        group.visititems(visit)
    return found


def states(path: Path, raster: Array) -> dict[str, Array]:
    """`<layer>.s`, `.u`, `.v` in Lava's order, [T, ...]."""
    (network,) = read_net(str(path)).ops
    assert isinstance(network, loihi2.NetworkOp)
    evaluator = Loihi2Evaluator(network)
    (name,) = network.inputs()
    found: dict[str, list[Array]] = {f"{layer}.{state}": [] for layer in evaluator.populations for state in "suv"}
    for x in raster:
        evaluator.step({name: x[None]})
        for layer, population in evaluator.populations.items():
            for state, values in zip("suv", (population.spikes, population.u, population.v), strict=True):
                found[f"{layer}.{state}"].append(values[0].astype(np.int32))
    return {key: np.stack(values) for key, values in found.items()}


@pytest.mark.parametrize("case", CASES)
def test_recorded_files(shared: Path, tmp_path: Path, case: str) -> None:
    """From the model, every field that netx reads as in the recorded file, and every u, v and spike that Lava gave."""
    folder = shared / "cases" / "loihi2" / case
    nirc.compile(str(folder / "model.nir"), "loihi2", dt=1e-4, form="net").save(tmp_path / "model.net")
    ours, theirs = content(tmp_path / "model.net"), content(folder / "model.net")
    ignored = ("inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize", "refDelay", "gradedSpike")
    wanted = {key: value for key, value in theirs.items() if key.rpartition("/")[2] not in ignored}
    assert ours.keys() == wanted.keys()
    for key, value in wanted.items():
        same = ours[key].ravel().tolist() == value.ravel().tolist()
        # A rounded half may fall to either side.
        assert same or (key.endswith("bias") and np.abs(ours[key] - value).max() <= 1), key
    if all(key in ours and np.array_equal(ours[key], wanted[key]) for key in wanted if key.endswith("bias")):
        golden: Any = np.load(folder / "golden_net.npz")
        found = states(tmp_path / "model.net", np.moveaxis(np.load(folder / "input.npy"), -1, 0))
        layers = sorted({key.rpartition(".")[0] for key in found}, key=int)
        ranks = sorted({int(key.partition(".")[0]) for key in golden.files if key[0] != "o"})
        names = {"out": layers[-1], **{str(n): layer for n, layer in zip(ranks, layers, strict=True)}}
        for key in golden.files:
            name, _, state = key.rpartition(".")
            assert np.array_equal(found[f"{names[name]}.{state}"], golden[key]), key
        assert golden["out.s"].any()


def plain(seed: int) -> tuple[Any, dict[str, Any]]:
    """A random chain with what the format has: images, strides, groups, pools, delays, recurrence, biases."""
    rng = np.random.default_rng(seed)
    images = seed % 2 == 0
    shape: tuple[int, ...] = (2, 8, 6) if images else (6,)
    parts = list[Any]()
    if images:
        groups = 2 if seed % 4 == 0 else 1
        weight = normal(rng, 4, 2 // groups, 3, 3, mean=0.2, spread=0.3)
        bias = normal(rng, 4, mean=0.05, spread=0.2) if seed % 3 else None
        stride = int(rng.integers(1, 3))
        parts.append(conv(weight, bias, (8, 6), stride=stride, padding=1, groups=groups))
        shape = (4, -(-8 // stride), -(-6 // stride))
        parts.append(spiking(shape))
        if stride == 1:
            parts.append(pool(2))
            shape = (4, 4, 3)
        parts.append(flatten(*shape))
        shape = (int(np.prod(shape)),)
    size = int(rng.integers(3, 7))
    matrix = normal(rng, size, *shape, mean=2 / shape[0], spread=2 / np.sqrt(shape[0]))
    delayed, recurrent = seed % 3 == 1, seed % 3 == 2
    if delayed:
        parts.append(nir.Delay((DT * rng.integers(0, 5, shape)).astype(np.float32)))
    parts.append(affine(np.abs(matrix) if seed % 5 == 0 else matrix, normal(rng, size, mean=0.1, spread=0.2)))
    parts.append(lif(size))
    model = chain((2, 8, 6) if images else (6,), *parts)
    if recurrent:
        last = f"n{len(parts) - 1}"
        model.nodes["back"] = affine(normal(rng, size, size, mean=0, spread=0.4))
        model.edges += [(last, "back"), ("back", last)]
    return model, {"dt": DT, "reset": "zero"}


CHAINS = 12


def test_written_and_read(tmp_path: Path) -> None:
    """What is read back is what was compiled: each population's u, v and spikes, under the names of the model."""
    kinds = set[str]()
    for seed in range(CHAINS):
        model, options = plain(seed)
        program = nirc.compile(model, "loihi2", form="net", **options)
        path = tmp_path / f"{seed}.net"
        program.save(path)
        kinds |= {
            str(value.ravel()[0]) for key, value in content(path).items() if key.count("/") == 1 and "type" in key
        }
        again = driver.load_config(str(path), None)
        assert again.inputs == program.inputs
        assert again.dt == program.dt
        (network,) = program.module.ops
        assert isinstance(network, loihi2.NetworkOp)
        nodes = list(network.nodes())
        record = tuple(f"{node}.{state}" for node in nodes for state in ("spikes", "u", "v"))
        raster = (np.random.default_rng(seed).random((30, *program.inputs["input"])) < 0.4).astype(np.uint8)
        expected, found = (p.run({"input": raster}, record) for p in (program, again))
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[key], found[key]) for key in expected), seed
        assert all(expected[f"{node}.spikes"].any() for node in nodes), seed
        assert write_net(again.module) == write_net(driver.load_config(str(path), "loihi2").module)
    assert kinds == {"b'input'", "b'dense'", "b'dense_rec'", "b'conv'", "b'flatten'"}


RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("check", sys.argv[1])
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)
check.lava_shim()
for n in range(int(sys.argv[2])):
    check.np.savez(f"{n}.npz", **check.run_net(f"{n}.net", check.np.load(f"{n}.npy")))
"""


def test_lava_dl(oracle: Callable[[str], str], shared: Path, tmp_path: Path) -> None:
    """lava-dl loads the files, Lava runs them, by the specification's checker: u, v and spikes of every layer."""
    python, rasters = oracle("lava_dl"), list[Array]()
    for seed in range(CHAINS):
        model, options = plain(seed)
        program = nirc.compile(model, "loihi2", form="net", **options)
        program.save(tmp_path / f"{seed}.net")
        rasters.append((np.random.default_rng(seed).random((30, *program.inputs["input"])) < 0.4).astype(np.uint8))
        np.save(tmp_path / f"{seed}.npy", np.moveaxis(rasters[-1], 0, -1))
    command = [python, "-c", RUN, str(shared / "checks" / "loihi2_check.py"), str(CHAINS)]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    for seed, raster in enumerate(rasters):
        found = states(tmp_path / f"{seed}.net", raster)
        layers = sorted({key.rpartition(".")[0] for key in found}, key=int)
        theirs: Any = np.load(tmp_path / f"{seed}.npz")
        names = {"out": layers[-1], **{str(n): layer for n, layer in enumerate(layers)}}
        for key in theirs.files:
            name, _, state = key.rpartition(".")
            assert np.array_equal(theirs[key], found[f"{names[name]}.{state}"]), (seed, key)
        assert theirs["out.s"].any(), seed


def refused(model: Any) -> list[str]:
    """All faults of the writer."""
    program = nirc.compile(model, "loihi2", dt=DT, form="net", reset="zero")
    with pytest.raises(DiagnosticException) as caught:
        program.emit()
    return str(caught.value).splitlines()


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def test_no_chain() -> None:
    """A skip, two time constants, side by side connections, in one list by the model's names."""
    nodes = {"input": port("Input", 2), "f": affine(ones(2, 2)), "a": lif(2), "g": affine(ones(2, 2)), "b": lif(2)}
    nodes |= {"skip": affine(ones(2, 2)), "h": affine(ones(2, 2))}
    nodes |= {"c": lif(2, tau=DT * np.array([4, 9])), "output": port("Output", 2)}
    edges = [("input", "f"), ("f", "a"), ("a", "g"), ("g", "b"), ("b", "h"), ("h", "c"), ("c", "output")]
    found = refused(graph(nodes, [*edges, ("input", "skip"), ("skip", "b")]))
    assert found == [
        "netx: node 'c': 2 populations, one for each time constant; a layer of netx has one, the JSON file holds it",
        "netx: node 'b': 'a', 'input' feed it; in a chain one does, the JSON file holds it",
        "netx: 'input' feeds 'a', 'b'; in a chain it feeds one, the JSON file holds it",
    ]


def test_a_current_of_its_own() -> None:
    """A bias of a CubaLIF's current, which a neuron that always fires would give."""
    cuba = nir.CubaLIF(
        **{
            name: ones(2) * value
            for name, value in {
                "tau_syn": 2 * DT,
                "tau_mem": 8 * DT,
                "r": 8,
                "v_leak": 0,
                "v_threshold": 1,
                "w_in": 2,
                "v_reset": 0,
            }.items()
        }
    )
    (line,) = refused(chain((2,), affine(ones(2, 2), ones(2)), cuba))
    assert line.startswith("netx: node 'n1': a current of its own, which 'one' gives it by firing always")


def test_splits() -> None:
    """Refused where the format is known, and of a module that has them."""
    model = chain((6,), affine(np.random.default_rng(0).normal(0, 40, (5, 6))), lif(5))
    with pytest.raises(DiagnosticException, match="weight splits 2: a layer of a netx file has one matrix"):
        nirc.compile(model, "loihi2", dt=DT, form="net", weight_splits="2")
    with pytest.raises(DiagnosticException, match="node 'n1': connections side by side"):
        nirc.compile(model, "loihi2", dt=DT, weight_splits="2").emit("net")


def test_exponents_of_another_format() -> None:
    """Compiled for JSON, weights have exponents and biases the finest ones."""
    model = chain((2,), affine(np.array([[0.1, 0.2], [0.2, -0.1]]), np.array([0.123, 0.1])), lif(2))
    program = nirc.compile(model, "loihi2", dt=DT)
    with pytest.raises(DiagnosticException) as caught:
        program.emit("net")
    lines = str(caught.value).splitlines()
    assert any("netx holds multiples of 64; compile for this format" in line for line in lines)
    assert any(line.startswith("netx: node 'n1': weights from ") and "form='net'" in line for line in lines)


def test_inner_outputs() -> None:
    """netx gives the last layer alone."""
    nodes = {"input": port("Input", 2), "f": affine(ones(2, 2)), "a": lif(2), "g": affine(ones(2, 2)), "b": lif(2)}
    nodes |= {"output": port("Output", 2), "inner": port("Output", 2)}
    edges = [("input", "f"), ("f", "a"), ("a", "g"), ("g", "b"), ("b", "output"), ("a", "inner")]
    (line,) = refused(graph(nodes, edges))
    assert line == "netx: 'a', 'b' is read; netx gives the last layer's spikes, and one Output"


def configured(**changes: Any) -> list[str]:
    """What is refused of a file of two layers with fields changed."""
    fc = {"name": "fc", "type": "Dense", "weights": [[40, -20], [10, 60]], "sign_mode": "MIXED"}
    neurons = {"name": "lif", "type": "LIF", "shape": [2], "du": 4095, "dv": 409, "vth": 64}
    item: dict[str, Any] = {
        "format": "nirc-loihi2",
        "version": 1,
        "processes": [{"name": "in", "type": "Input", "shape": [2]}, fc, neurons],
        "connections": [{"src": "in", "dst": "fc"}, {"src": "fc", "dst": "lif"}],
        "outputs": ["lif"],
    }
    for key, value in changes.items():
        (fc if key in ("weights", "num_message_bits", "sign_mode", "weight_exp") else neurons)[key] = value
    module = read_config(json.dumps(item))
    try:
        write_net(module)
    except DiagnosticException as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"v": [3, 0]}, "v starts at another value than 0"),
        ({"type": "LIFReset", "reset_interval": 9, "reset_offset": 2}, "its reset interval is an argument of netx's"),
        ({"bias_mant": [3, 0], "bias_exp": 5}, "a bias of 96, netx holds multiples of 64"),
        ({"bias_mant": [4095, 0], "bias_exp": 7}, "a bias of 524160, beyond 13 bits at exponent 6"),
        ({"num_message_bits": 8}, "graded inputs are an argument of netx's Network"),
        ({"weights": [[0, 0], [0, 0]]}, "all weights are 0, on which netx crashes"),
        ({"weights": [[-128, -2], [-4, -8]], "sign_mode": "INHIBITORY"}, "netx shifts them to -256 and clips at -255"),
        (
            {"weights": [[-201, 0], [-4, -8]], "sign_mode": "INHIBITORY"},
            "odd weights of both signs above 127 take 9 bits",
        ),
        ({"weight_exp": 3}, "weights from -160 to 480, netx keeps -256 to 254; compile for this format"),
        ({"weight_exp": -1, "weights": [[2, 4], [2, 6]]}, None),
        ({"weight_exp": -2, "weights": [[2, 4], [2, 6]]}, "weight_exp -2 shifts weights out"),
    ],
)
def test_what_the_format_cannot_hold(changes: dict[str, Any], told: str | None) -> None:
    found = configured(**changes)
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([3, -5], (5, 4, "MIXED")),
        ([127, -128], (1, 8, "MIXED")),
        ([-256, 254], (0, 8, "MIXED")),
        ([255, 0], (0, 8, "EXCITATORY")),
        ([-255, -1], (0, 8, "INHIBITORY")),
        ([-100, 0], (1, 6, "MIXED")),
    ],
)
def test_formats_of_weights(weights: list[int], expected: tuple[int, int, str]) -> None:
    """By the rule as lava-dl's documentation of its loader states it, worked out by hand."""
    assert netx_format(np.array(weights)) == expected
