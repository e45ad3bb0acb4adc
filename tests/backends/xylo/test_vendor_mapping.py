"""`--mapping vendor`: rockpool's own specification of its own cases, and which of its defects are not copied.

spec.json comes from rockpool 3.1.0 (NIR import, mapper, quantizer), so every key has to be equal. Section 6 of the
specification of Xylo counts the defects; 1 to 3 and 5 bear on the mapping.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.utils.exceptions import PassFailedException

import nirc
from nirc.dialects.dense import Array

CASES = ("ff_pow2", "rec_hetero", "deep3", "saturation", "bias", "braille_subtract")
PER = {"global": "layer", "channel": "neuron"}

Json = dict[str, Any]


def vendor(model: Path, dt: float, quantizer: str) -> Json:
    program = nirc.compile(model, "xylo", dt=dt, mapping="vendor", quantize=PER[quantizer])
    content: Json = json.loads(program.emit())
    return content


@pytest.mark.parametrize("case", CASES)
def test_every_key_of_rockpools_specification(case: str, shared: Path) -> None:
    folder = shared / "cases" / "xylo" / case
    made, expected = (json.loads((folder / name).read_text()) for name in ("case.json", "spec.json"))
    got = vendor(folder / "model.nir", made["dt"], made["quantizer"])["spec"]
    assert got.keys() == expected.keys()
    for name, want in expected.items():
        if name == "aliases":
            assert got[name] == want
            continue
        have: Array = np.array(got[name])
        values: Array = np.array(want)
        assert have.size == values.size > 0, name
        assert np.array_equal(have.reshape(values.shape), values), name


@pytest.mark.parametrize("case", CASES)
def test_the_vendors_spikes(case: str, shared: Path) -> None:
    """The raster that xylosim made of the vendor's specification, from model.nir through nirc's evaluator."""
    folder = shared / "cases" / "xylo" / case
    made = json.loads((folder / "case.json").read_text())
    per = PER[made["quantizer"]]
    program = nirc.compile(folder / "model.nir", "xylo", dt=made["dt"], mapping="vendor", quantize=per)
    expected = np.load(folder / "out_spikes.npy")
    assert expected.any()
    assert np.array_equal(program.run(np.load(folder / "input.npy")), expected)


def test_defect_1_the_hidden_bias_reaches_the_chip(shared: Path) -> None:
    """rockpool's config_from_specification drops what its mapper calls `bias`; samna's part of the file has it here."""
    content = vendor(shared / "cases" / "xylo" / "bias" / "model.nir", 1e-3, "global")
    assert any(content["spec"]["bias"])
    assert content["value0"]["bias_enable"] is True
    neurons = content["value0"]["reservoir"]["neurons"]
    assert [neuron["v_mem_bias"] for neuron in neurons] == content["spec"]["bias"]


def parameters(path: Path) -> dict[str, dict[str, Array]]:
    """The arrays of each node of a .nir file."""
    with h5py.File(path) as file:
        nodes = file["node/nodes"]
        assert isinstance(nodes, h5py.Group)
        found = dict[str, dict[str, Array]]()
        for name, node in nodes.items():
            assert isinstance(node, h5py.Group)
            held = {key: np.asarray(value) for key, value in node.items()}
            found[name] = {key: value for key, value in held.items() if value.dtype.kind == "f"}
    return found


def test_defect_2_the_bias_of_each_neuron_has_its_scale(shared: Path) -> None:
    """channel_quantize would round v_leak itself; here it is v_leak * 127 / max(|w|, |v_leak|) of the neuron."""
    path = shared / "cases" / "xylo" / "bias" / "model.nir"
    spec = vendor(path, 1e-3, "channel")["spec"]
    nodes = parameters(path)
    leaks = [node["v_leak"].astype(np.float64) for node in nodes.values() if "v_leak" in node]
    (hidden,) = [leak for leak in leaks if leak.size == len(spec["bias"])]
    weights = [node["weight"].astype(np.float64) for node in nodes.values() if "weight" in node]
    (into,) = [w for w in weights if w.shape == (hidden.size, len(spec["weights_in"]))]
    scale = 127 / np.maximum(np.abs(into).max(axis=1), np.abs(hidden))
    assert spec["bias"] == np.round(hidden * scale).tolist()
    assert spec["bias"] != np.round(hidden).tolist()


def test_defect_3_the_readout_bias_has_the_readout_scale(shared: Path) -> None:
    path = shared / "cases" / "xylo" / "bias" / "model.nir"
    spec = vendor(path, 1e-3, "global")["spec"]
    nodes = parameters(path)
    out = len(spec["bias_out"])
    leaks = [node["v_leak"].astype(np.float64) for node in nodes.values() if "v_leak" in node]
    (leak,) = [leak for leak in leaks if leak.size == out and leak.size != len(spec["bias"])]
    weights = [node["weight"].astype(np.float64) for node in nodes.values() if "weight" in node]
    (onto,) = [w for w in weights if w.shape == (out, len(spec["bias"]))]
    scale = 127 / float(np.abs([*onto.ravel(), *leak]).max())
    assert np.array_equal(spec["bias_out"], np.round(leak * scale))


@pytest.mark.parametrize("case", CASES)
def test_the_faithful_mapping_is_another_one(case: str, shared: Path) -> None:
    """Or the comparison of the two says nothing."""
    folder = shared / "cases" / "xylo" / case
    made = json.loads((folder / "case.json").read_text())
    theirs = vendor(folder / "model.nir", made["dt"], made["quantizer"])["spec"]
    ours = json.loads(nirc.compile(folder / "model.nir", "xylo", dt=made["dt"]).emit())["spec"]
    assert theirs["threshold"] != ours["threshold"]
    assert theirs["threshold_out"] != ours["threshold_out"]


def test_the_vendor_cannot_read_lif(shared: Path) -> None:
    """Defect 7: rockpool's NIR import fails on nir.LIF; the vendor's mapping says so instead of inventing one."""
    with pytest.raises(PassFailedException, match="a membrane without a synapse, which the vendor's route cannot read"):
        nirc.compile(shared / "models" / "lif_rockpool.nir", "xylo", dt=1e-4, mapping="vendor")


def test_the_command_line(shared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from nirc.cli import main

    folder = shared / "cases" / "xylo" / "ff_pow2"
    target = tmp_path / "cfg.json"
    arguments = [str(folder / "model.nir"), "--target", "xylo", "--dt", "1e-3", "--mapping", "vendor"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--quantize", "layer", "-o", str(target)])
    assert stop.value.code in (0, None), capfd.readouterr().err
    assert json.loads(target.read_text())["spec"]["weights_in"] == [
        [cell if isinstance(cell, list) else [cell] for cell in row]
        for row in json.loads((folder / "spec.json").read_text())["weights_in"]
    ]
