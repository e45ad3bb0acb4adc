"""Configurations are read back: nirc's own, the specification's, samna's; what is malformed is said with its path."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.backends.speck.read_config import read_config
from nirc.dialects import speck
from nirc.dialects.nir import integers
from nirc.driver import load_config

sys.path.append(str(Path(__file__).parents[2]))
from speck_models import affine, chain, conv, flatten, normal, pool, spiking

Json = dict[str, Any]
RNG = np.random.default_rng(8)

# The example of the specification, section 2: a complete file that the vendor's validator takes.
EXAMPLE = """{"target":"speck2f","entry_cores":[0],"cnn_layers":[
 {"core":0,
  "dimensions":{"input_shape":{"feature_count":1,"size":{"x":5,"y":3}},
                "output_shape":{"feature_count":2,"size":{"x":4,"y":4}},
                "kernel_size":2,"stride":{"x":1,"y":1},"padding":{"x":0,"y":1}},
  "weights":[[[[10,-3],[7,127]]],[[[-128,5],[0,64]]]], "biases":[0,0], "leak_enable":false,
  "threshold_high":150,"threshold_low":-150,"return_to_zero":false,"monitor_enable":false,
  "destinations":[{"layer":1,"enable":true,"pooling":2,"feature_shift":0}]},
 {"core":1,
  "dimensions":{"input_shape":{"feature_count":2,"size":{"x":2,"y":2}},
                "output_shape":{"feature_count":1,"size":{"x":1,"y":1}},
                "kernel_size":2,"stride":{"x":1,"y":1},"padding":{"x":0,"y":0}},
  "weights":[[[[1,2],[3,4]],[[5,6],[7,8]]]], "biases":[0], "leak_enable":false,
  "threshold_high":9,"threshold_low":-9,"return_to_zero":false,"monitor_enable":true,"destinations":[]}]}"""


def network(module: ModuleOp) -> speck.NetworkOp:
    module.verify()
    (op,) = module.ops
    assert isinstance(op, speck.NetworkOp)
    return op


def example(change: Callable[[Json], object] | None = None) -> str:
    held = json.loads(EXAMPLE)
    if change is not None:
        change(held)
    return json.dumps(held)


def faults(text: str) -> list[str]:
    with pytest.raises(DiagnosticException) as refused:
        read_config(text)
    return str(refused.value).splitlines()


def test_the_specifications_example() -> None:
    op = network(read_config(EXAMPLE))
    first, second = op.layers().values()
    assert (first.taken, first.given, integers(first.padding)) == ((1, 3, 5), (2, 4, 4), (1, 0))
    # [x][y] in the file, rows before columns here.
    assert first.numbers("weights")[0, 0].tolist() == [[10, 7], [-3, 127]]
    assert [to.pooling.value.data for to in first.destinations] == [2]
    assert second.monitor is not None
    assert [(port.node.data, port.layer.data) for port in op.inputs] == [("input", "core0")]
    assert [(port.node.data, port.layer.data) for port in op.outputs] == [("output", "core1")]


def test_what_nirc_writes_reads_back_as_it_was() -> None:
    first = conv(normal(RNG, 3, 2, 3, 3), [0.5, 0, 1], stride=(1, 2), padding=(0, 1))
    nodes = first, spiking((3, 6, 5)), pool(2), flatten(3, 3, 2), affine(normal(RNG, 4, 18)), spiking((4,))
    model = chain((2, 8, 9), *nodes, outputs=(4,))
    program = nirc.compile(model, "speck")
    held = json.loads(program.emit())
    again = read_config(program.emit().decode())
    op, found = network(program.module), network(again)
    assert found.properties == {key: value for key, value in op.properties.items() if key != "report"}
    for name, layer in found.layers().items():
        expected = op.layers()[name].properties
        assert layer.properties == {key: value for key, value in expected.items() if key != "scale"}
    assert again.attributes["nir.assumptions"] == program.module.attributes["nir.assumptions"]
    del held["nirc"]
    bare = network(read_config(json.dumps(held)))
    assert list(bare.layers()) == ["core0", "core1"]


def test_initial_values_and_flags() -> None:
    values = np.arange(32).reshape(2, 4, 4)

    def change(held: Json) -> None:
        held["cnn_layers"][0] |= {"neurons_initial_value": values.tolist(), "return_to_zero": True, "leak_enable": True}

    layer = network(read_config(example(change))).layers()["core0"]
    assert np.array_equal(layer.numbers("initial"), values.swapaxes(1, 2))
    assert layer.return_to_zero is not None
    assert layer.leak is not None


def test_several_entries_and_exits() -> None:
    def change(held: Json) -> None:
        held["cnn_layers"][0]["destinations"] = []
        held["cnn_layers"][0]["monitor_enable"] = True
        held["entry_cores"] = [0, 1]

    op = network(read_config(example(change)))
    assert [port.node.data for port in op.inputs] == ["input_core0", "input_core1"]
    assert [port.node.data for port in op.outputs] == ["output_core0", "output_core1"]


def test_the_chip_is_told_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(EXAMPLE)
    program = load_config(str(tmp_path / "cfg.json"), None)
    assert program.target == "speck"
    assert program.inputs == {"input": (1, 3, 5)}
    assert network(load_config(str(tmp_path / "cfg.json"), "speck", "speck2e").module).chip.data == "speck2e"


def at(*path: str | int, value: Any) -> Callable[[Json], None]:
    """Change one value of the example; ... removes it."""

    def change(held: Any) -> None:
        for key in path[:-1]:
            held = held[key]
        if value is ...:
            del held[path[-1]]
        else:
            held[path[-1]] = value

    return change


CORE = ("cnn_layers", 0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (at("cnn_layers", value=3), "cnn_layers: must be a list of cores"),
        (at("cnn_layers", value=[]), "no core is in use: none is monitored, none sends or receives"),
        (at("target", value="xylo"), "target 'xylo' is not one of speck2f, speck2e, speck2b"),
        (at(*CORE, "core", value="a"), "cnn_layers[0].core: must be a whole number"),
        (at(*CORE, "core", value=1), "cnn_layers: core 1 is given twice"),
        (at(*CORE, "weights", value=[[1]]), "cnn_layers[0].weights: must be whole numbers of the shape 2x1x2x2"),
        (at(*CORE, "weights", 0, 0, 0, 0, value=1.5), "cnn_layers[0].weights: must be whole numbers"),
        (at(*CORE, "biases", value=[1]), "cnn_layers[0].biases: must be whole numbers of the shape 2"),
        (at(*CORE, "threshold_high", value=...), "cnn_layers[0].threshold_high: must be a whole number"),
        (at(*CORE, "leak_enable", value=1), "cnn_layers[0].leak_enable: must be true or false"),
        (
            at(*CORE, "dimensions", "kernel_size", value=0),
            "cnn_layers[0].dimensions: sizes and strides start at 1, padding at 0",
        ),
        (
            at(*CORE, "dimensions", "output_shape", "size", "x", value=5),
            "cnn_layers[0].dimensions.output_shape: 4x5 places, the geometry gives 4x4",
        ),
        (at(*CORE, "dimensions", value=None), "cnn_layers[0].dimensions.input_shape.feature_count: must be a whole"),
        (at(*CORE, "destinations", 0, "layer", value=7), "core 0 sends to 7: no core of the file"),
        (
            at(*CORE, "destinations", 0, "layer", value=12),
            "core 0 sends to 12, the readout block, which nirc does not model: no core of the file",
        ),
        (at(*CORE, "destinations", 0, "pooling", value=0), "node 'core0': a pool by 0 on the way to 'core1'"),
        (at(*CORE, "destinations", 0, "pooling", value=3), "node 'core0': a pool by 3 on the way to 'core1'"),
        (at(*CORE, "threshold_high", value=40000), "node 'core0': threshold_high 40000, must be in [1, 32767]"),
        (
            at(*CORE, "weights", 0, 0, 0, 0, value=200),
            "node 'core0': weights 200 at (0, 0, 0, 0), must be in [-128, 127]",
        ),
        (at("cnn_layers", 1, "monitor_enable", value=False), "no layer is monitored; the chip would give nothing"),
        (
            at("cnn_layers", 1, "destinations", value=[{"layer": 0, "pooling": 1}]),
            "core 1 -> core 0 closes a cycle of cores",
        ),
    ],
)
def test_malformed_files(change: Callable[[Json], None], text: str) -> None:
    assert faults(example(change))[0].startswith(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON: "),
        ("[1]", "a Speck configuration is a JSON object with 'cnn_layers', or samna's with 'value0'"),
        ("{}", "cnn_layers: must be a list of cores"),
        ('{"value0": {"cnnLayers": {}}}', "no core is in use"),
        ('{"value0": {"cnnLayers": {"value0": {"monitorEnable": true}}}}', "cnn_layers[0].dimensions.input_shape"),
        ('{"cnn_layers": [null]}', "cnn_layers[0].core: must be a whole number"),
    ],
)
def test_files_that_are_none(text: str, fault: str) -> None:
    assert faults(text)[0].startswith(fault)


def test_all_faults_at_once() -> None:
    def change(held: Json) -> None:
        held["cnn_layers"][0]["biases"] = None
        held["cnn_layers"][0]["weights"] = "no"
        held["cnn_layers"][0]["threshold_low"] = 0.5
        held["cnn_layers"][1]["monitor_enable"] = "yes"
        held["target"] = 3

    assert len(faults(example(change))) == 4


@pytest.mark.parametrize("seed", range(60))
def test_broken_files_never_crash(seed: int) -> None:
    """A value anywhere replaced by nonsense: a fault, or a network."""
    rng = np.random.default_rng(seed)
    held: Any = json.loads(EXAMPLE)
    spots = list[tuple[Any, Any]]()

    def walk(within: Any) -> None:
        keys = list[Any](cast(Any, within) if isinstance(within, dict) else range(len(within)))
        for key in keys:
            spots.append((cast(Any, within), key))
            if isinstance(within[key], dict | list):
                walk(within[key])

    walk(held)
    item: Any
    key: Any
    item, key = spots[int(rng.integers(len(spots)))]
    item[key] = [None, -1, 0, 1e300, "x", [], {}, [[]], True, 10**12][int(rng.integers(10))]
    with contextlib.suppress(DiagnosticException):
        network(read_config(json.dumps(held)))
