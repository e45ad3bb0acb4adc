"""Files come back as they were written; what is malformed is told in one list."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc import driver
from nirc.backends.spinnaker2.read_config import read_config

sys.path.append(str(Path(__file__).parents[2]))
from spinnaker2_example import tiny

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("model", ["gestures", "edges"])
def test_written_and_read(model: str) -> None:
    """The file of what was read is the file that was read, and runs alike."""
    one = nirc.compile(str(ROOT / "examples" / f"{model}.nir"), "spinnaker2", dt="auto")
    text = one.emit().decode()
    again = nirc.Program(read_config(text), "spinnaker2")
    first, second = json.loads(text), json.loads(again.emit())
    del first["nirc"]["values"], second["nirc"]["values"]
    assert first == second
    raster = (np.random.default_rng(1).random((30, *next(iter(one.inputs.values())))) < 0.3).astype(np.uint8)
    assert np.array_equal(one.run(raster), again.run(raster))
    assert one.run(raster).any()


def test_a_file_tells_its_chip(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(json.dumps(tiny()))
    assert driver.load_config(str(tmp_path / "cfg.json"), None).target == "spinnaker2"


FAULTS: dict[str, tuple[str, int, str, Any, str]] = {
    "model": ("populations", 1, "neuron_model", "lif_x", "populations[1] 'lif' neuron_model: 'lif_x' is not one of"),
    "twice": ("populations", 1, "name", "in", "populations[1] 'in': the name is given twice"),
    "size": ("populations", 1, "size", 2.5, "populations[1] 'lif' size: must be a whole number"),
    "atoms": ("populations", 1, "max_atoms_per_core", 251, "251 neurons on a core, at most 250"),
    "record": ("populations", 1, "record", ["u"], "cannot record 'u'; there are spikes, v"),
    "kind": ("projections", 0, "kind", "dense", "projections[0] 'in->lif' kind: 'dense' is not one of list, conv2d"),
    "rows": ("projections", 0, "connections", [[0, 0, 1]], "must be a list of [source, target, weight, delay]"),
    "broken": ("projections", 0, "connections", [[0, 0, 0.5, 0]], "must be a list of [source, target, weight, delay]"),
    "weight": ("projections", 0, "connections", [[0, 0, 128, 0]], "weights 128 at 0, must be in [-127, 127]"),
    "delay": ("projections", 0, "connections", [[0, 0, 1, 1]], "delays 1 at 0, must be in [0, 0]"),
    "target": ("projections", 0, "connections", [[0, 2, 1, 0]], "target 2, 'lif' has 2 neurons"),
    "pair": ("projections", 0, "connections", [[0, 1, 1, 0], [0, 1, 2, 0]], "a source and a target stands twice"),
    "post": ("projections", 0, "post", "in", "'in' is a source, which takes nothing"),
    "nobody": ("projections", 0, "pre", "nobody", "there is no population 'nobody'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str) -> None:
    """Each with its path and value."""
    part, n, key, value, told = FAULTS[name]
    config = tiny()
    config[part][n][key] = value
    assert any(told in line for line in refused(config)), refused(config)


def refused(config: dict[str, Any]) -> list[str]:
    with pytest.raises(DiagnosticException) as caught:
        read_config(json.dumps(config))
    return str(caught.value).splitlines()


PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"t_refract": 1.0}, "lif_no_delay has no t_refract, which py-spinnaker2 would ignore in silence"),
    "text": ({"threshold": "high"}, "threshold: must be a number, or a list of numbers"),
    "infinite": ({"threshold": 1e39}, "threshold: must be a number, or a list of numbers, all finite in float32"),
    "count": ({"threshold": [1.0, 2.0, 3.0]}, "threshold has the shape 3, must be scalar or 2"),
    "rest": ({"threshold": 0.0}, "threshold must be > 0"),
    "decay": ({"alpha_decay": 1.5}, "alpha_decay must lie in [0, 1]"),
    "reset": ({"reset": "to_zero"}, "the reset of neurons is one of reset_by_subtraction, reset_to_v_reset"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    changes, told = PARAMETERS[name]
    config = tiny()
    config["populations"][1]["params"] |= changes
    assert any(told in line for line in refused(config)), refused(config)


def convolution(**changes: Any) -> dict[str, Any]:
    """A 1 x 4 x 4 image onto 1 x 2 x 2 neurons."""
    config = tiny()
    config["populations"][0]["size"] = 16
    config["populations"][1] |= {"size": 4, "neuron_model": "lif_conv2d"}
    config["populations"][1]["params"] |= {"threshold": 10.0, "i_offset": 0.0}
    windows = {"in_height": 4, "in_width": 4, "stride_x": 2, "stride_y": 2, "pool_x": 1, "pool_y": 1}
    windows |= {"pad_top": 0, "pad_bottom": 0, "pad_left": 0, "pad_right": 0, **changes}
    projection: dict[str, Any] = {"kind": "conv2d", "pre": "in", "post": "lif", "weights": [[[[1, 2], [3, 4]]]]}
    config["projections"] = [{**projection, "params": windows}]
    return config


def test_a_convolution() -> None:
    """Neuron (y, x) sees the taps 1 2 / 3 4 of its own 2 x 2 places."""
    one = nirc.Program(read_config(json.dumps(convolution())), "spinnaker2")
    raster = np.zeros((2, 16), np.uint8)
    raster[0, [2 * 4 + 3, 3 * 4 + 2]] = 1
    assert one.run({"in": raster}, ("lif.v",))["lif.v"].reshape(2, 4).tolist() == [[0, 0, 0, 0], [0, 0, 0, 5]]


def test_windows_of_a_convolution() -> None:
    assert "is missing or unknown" in refused(convolution(dilation_x=1))[0]
    assert "stride: 1 and 2; which is rows is not settled, they must be equal" in refused(convolution(stride_x=1))[0]
    assert "it gives 1x1x1, 'lif' has 4 neurons" in refused(convolution(stride_x=3, stride_y=3))[0]


def test_all_faults_come_at_once() -> None:
    config = tiny()
    config["populations"][1]["params"]["threshold"] = "none"
    config["projections"][0]["connections"] = []
    config["outputs"] = ["nobody"]
    assert len(refused(config)) == 3


def test_other_files() -> None:
    with pytest.raises(DiagnosticException, match=r"schema 'nirc\.spinnaker2/2', must be 'nirc\.spinnaker2/1'"):
        read_config(json.dumps({"schema": "nirc.spinnaker2/2"}))
    with pytest.raises(DiagnosticException, match="not JSON"):
        read_config("{")
