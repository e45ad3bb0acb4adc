"""The emitted JSON: samna's own text through a template, the page's loader, and nirc's notes.

What samna 0.7.1.0 writes for the networks that sinabs built is recorded in `cases/speck`.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.backends.speck.emit import SpeckTarget

sys.path.append(str(Path(__file__).parents[2]))
from speck_models import chain, conv, graph, normal, port, spiking

CASES = (
    *("conv_if", "conv_pool_chain", "pad_stride", "linear_readout"),
    *("bias_leak", "multi_spike", "placement", "cnn_sinabs"),
)
Json = dict[str, Any]
RNG = np.random.default_rng(5)


def small() -> Any:
    return chain((2, 6, 7), conv(normal(RNG, 3, 2, 2, 2), [0.5, 0, 0.25]), spiking((3, 5, 6)), outputs=(3, 5, 6))


def recorded(case: Path) -> Json:
    """samna's text of a case, as sinabs left it."""
    path = case / "config.samna_speck2b.json"
    text = path.read_text() if path.exists() else gzip.decompress((case / f"{path.name}.gz").read_bytes()).decode()
    return json.loads(text)


def fresh(text: Json) -> Json:
    """A configuration without a network, of the same samna: every core as one that is not in use."""
    value = json.loads(json.dumps(text["value0"]))
    cores = value["cnnLayers"]
    unused = next(core for core in reversed(cores.values()) if not core["monitorEnable"] and core["thresholdHigh"] == 0)
    return {"value0": {**value, "cnnLayers": dict.fromkeys(cores, unused)}}


@pytest.mark.parametrize("name", CASES)
def test_samnas_text_through_a_template(shared: Path, tmp_path: Path, name: str) -> None:
    """Every field of all nine cores, kill bits included, as samna writes them."""
    case = shared / "cases" / "speck" / name
    expected = recorded(case)
    (tmp_path / "fresh.json").write_text(json.dumps(fresh(expected)))
    program = nirc.compile(case / "model.nir", "speck", reset="subtract", template=tmp_path / "fresh.json")
    found = json.loads(program.emit())
    assert found["value0"] == expected["value0"]
    assert list(found) == ["value0", "nirc"]


Load = Callable[..., list[Any]]


def test_the_loader_of_the_readme(shared: Path, load_into_samna: Load, tmp_path: Path) -> None:
    """It makes the very objects that sinabs makes; and a template of samna's own gives the same text."""
    cases = [shared / "cases" / "speck" / name for name in CASES]
    programs = [nirc.compile(case / "model.nir", "speck", reset="subtract") for case in cases]
    results = load_into_samna(*(program.emit() for program in programs))
    for case, (valid, message, text) in zip(cases, results, strict=True):
        assert (valid, message) == (True, "")
        assert json.loads(text) == recorded(case)
        options: Json = {"reset": "subtract", "template": tmp_path / "fresh.json"}
        own = nirc.compile(case / "model.nir", "speck", **options).emit()
        assert json.loads(own)["value0"] == json.loads(text)["value0"]


def test_samna_reads_its_own_text(shared: Path, load_into_samna: Load, tmp_path: Path) -> None:
    """With nirc's notes behind it; every field comes out again."""
    texts = list[bytes]()
    for name in CASES:
        case = shared / "cases" / "speck" / name
        (tmp_path / "template.json").write_text(json.dumps(fresh(recorded(case))))
        options: Json = {"reset": "zero", "template": tmp_path / "template.json"}
        texts.append(nirc.compile(case / "model.nir", "speck", **options).emit())
    for written, (valid, message, text) in zip(texts, load_into_samna(*texts), strict=True):
        assert (valid, message) == (True, "")
        assert json.loads(text)["value0"] == json.loads(written)["value0"]


def test_initial_values_reach_samna(load_into_samna: Load) -> None:
    config = json.loads(nirc.compile(small(), "speck").emit())
    values = RNG.integers(-100, 100, (3, 6, 5))  # [feature][x][y]
    config["cnn_layers"][0]["neurons_initial_value"] = values.tolist()
    ((valid, _, text),) = load_into_samna(json.dumps(config).encode())
    assert valid
    core = json.loads(text)["value0"]["cnnLayers"]["value0"]
    assert core["neuronsInitialValue"]["values"] == values.ravel().tolist()


def test_the_notes() -> None:
    notes = json.loads(nirc.compile(small(), "speck").emit())["nirc"]
    assert notes["layers"] == {
        "cores": [{"core": 0, "node": "n1", "linear": ["n0"]}],
        "inputs": [{"node": "input", "core": 0, "shape": [2, 6, 7]}],
        "outputs": [{"node": "output", "core": 0, "shape": [3, 5, 6]}],
    }
    assert {item["topic"] for item in notes["assumptions"]} >= {"reset", "lower bound", "bias", "comparison", "events"}
    assert {item["parameter"] for item in notes["values"]} == {"weights", "biases", "threshold_high"}
    assert all(0 <= item["largest_relative_error"] < 0.02 for item in notes["values"])
    assert notes["memory"] == {"n1": {"kernel": 32, "neuron": 192, "bias": 3}}
    assert len(notes["unverified"]) == 2


def test_x_stands_before_y() -> None:
    weight = np.zeros((1, 1, 2, 2))
    weight[0, 0, 0, 1] = 1  # row 0, column 1
    node = conv(weight, stride=(1, 2), padding=(1, 0))
    (core,) = json.loads(nirc.compile(chain((1, 3, 6), node, spiking((1, 4, 3)), outputs=(1, 4, 3)), "speck").emit())[
        "cnn_layers"
    ]
    shape = core["dimensions"]
    assert core["weights"] == [[[[0, 0], [127, 0]]]]
    assert shape["input_shape"] == {"feature_count": 1, "size": {"x": 6, "y": 3}}
    assert shape["output_shape"] == {"feature_count": 1, "size": {"x": 3, "y": 4}}
    assert (shape["stride"], shape["padding"]) == ({"x": 2, "y": 1}, {"x": 0, "y": 1})


def test_two_inputs_and_two_outputs() -> None:
    nodes = {
        **{f"in{n}": port("Input", 1, 4, 4) for n in (1, 2)},
        **{f"w{n}": conv(normal(RNG, 2, 1, 1, 1)) for n in (1, 2)},
        **{f"if{n}": spiking((2, 4, 4)) for n in (1, 2)},
        **{f"out{n}": port("Output", 2, 4, 4) for n in (1, 2)},
    }
    edges = [(f"{a}{n}", f"{b}{n}") for n in (1, 2) for a, b in (("in", "w"), ("w", "if"), ("if", "out"))]
    config = json.loads(nirc.compile(graph(nodes, edges), "speck").emit())
    assert config["entry_cores"] == [0, 1]
    assert [core["monitor_enable"] for core in config["cnn_layers"]] == [True, True]
    assert {item["node"] for item in config["nirc"]["layers"]["inputs"]} == {"in1", "in2"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{", "--template t.json: not JSON"),
        ("[]", r"--template t.json: no 'value0'; save SpeckConfiguration\(\).to_json\(\) of your samna"),
        ('{"value0": {"readout": {}}}', "--template: no 'cnnLayers' of nine cores and 'dvsLayer'"),
        (None, "--template t.json: cannot be read"),
    ],
)
def test_templates_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str | None, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if template is not None:
        Path("t.json").write_text(template)
    with pytest.raises(DiagnosticException, match=text):
        nirc.compile(small(), "speck", template="t.json").emit()


def test_a_template_that_is_in_use_is_refused(shared: Path, tmp_path: Path) -> None:
    """Its other cores would run beside the network."""
    (tmp_path / "t.json").write_text(json.dumps(recorded(shared / "cases" / "speck" / "conv_pool_chain")))
    with pytest.raises(DiagnosticException, match="--template: core 1, 2 is in use there"):
        nirc.compile(small(), "speck", template=tmp_path / "t.json").emit()


def test_only_placed_integers_are_written(tmp_path: Path) -> None:
    program = nirc.compile(small(), "speck", until="snn")
    with pytest.raises(DiagnosticException, match="the module is at level snn, the target speck is written from speck"):
        program.emit()
    with pytest.raises(DiagnosticException, match=r"writes a quantized, placed speck\.network"):
        SpeckTarget().emit(None, program.module, sys.stdout)  # pyright: ignore[reportArgumentType]
