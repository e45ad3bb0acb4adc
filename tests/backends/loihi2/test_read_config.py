"""Files come back as they were written; what is malformed is told in one list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc import driver
from nirc.backends.loihi2.read_config import read_config
from nirc.dialects.nir import assumptions

EXAMPLES = Path(__file__).parents[3] / "examples"


def example() -> dict[str, Any]:
    """The specification's example: two inputs, two neurons that inhibit each other."""
    fc = {"name": "fc", "type": "Dense", "weights": [[40, -20], [10, 60]], "weight_exp": 0, "sign_mode": "MIXED"}
    lif = {"name": "lif", "type": "LIF", "shape": [2], "du": 2047, "dv": 409, "vth": 64}
    rec = {"name": "rec", "type": "Dense", "weights": [[0, -30], [-30, 0]], "weight_exp": 1, "sign_mode": "INHIBITORY"}
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif")]
    return {
        "format": "nirc-loihi2",
        "version": 1,
        "dt": 1e-4,
        "processes": [
            {"name": "in", "type": "Input", "shape": [2]},
            {**fc, "num_weight_bits": 8},
            {**lif, "bias_mant": [5, 0], "bias_exp": [6, 0]},
            {**rec, "num_weight_bits": 8},
        ],
        "connections": [{"src": source, "dst": target} for source, target in edges],
        "outputs": ["lif"],
        "neurons": {"lif": {"latency": 1, "v_scale": 4096.0, "v_offset": 0.0, "spiking": True}},
    }


def test_the_specifications_example(tmp_path: Path) -> None:
    """Lava's exact result, as the specification prints it."""
    (tmp_path / "cfg.json").write_text(json.dumps(example()))
    program = driver.load_config(str(tmp_path / "cfg.json"), None)
    assert program.target == "loihi2"
    raster = np.array([[1, 1, 1, 0, 0, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 1, 1, 0, 0, 0]]).T
    found = program.run(raster, ("lif.u", "lif.v"))
    assert found["lif"].T.tolist() == [[0, 0, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1, 1, 1, 0, 1]]
    assert found["lif.u"].T.tolist() == [
        [0, 2560, 2560, 0, -1280, -1920, -3520, -6880, -7280, -3640],
        [0, 640, 4800, -800, 3440, 5560, 7260, 7470, 3735, 1867],
    ]
    assert found["lif.v"].T.tolist() == [
        [320, 3168, 0, 320, -672, -2204, -5183, -11225, -17064, -18680],
        [0, 640, 0, -800, 2720, 0, 0, 0, 3735, 0],
    ]


@pytest.mark.parametrize("model", ["gestures", "edges"])
def test_written_and_read(model: str) -> None:
    """The file of what was read is the file that was read."""
    program = nirc.compile(str(EXAMPLES / f"{model}.nir"), "loihi2")
    text = program.emit().decode()
    again = nirc.Program(read_config(text), "loihi2")
    first, second = json.loads(text), json.loads(again.emit())
    del first["nirc"]["values"], second["nirc"]["values"]
    assert first == second
    raster = (np.random.default_rng(1).random((30, *next(iter(program.inputs.values())))) < 0.3).astype(np.uint8)
    assert np.array_equal(program.run(raster), again.run(raster))
    assert program.run(raster).any()


def test_batches_do_not_mix() -> None:
    """Samples side by side are the samples one by one."""
    program = nirc.compile(str(EXAMPLES / "gestures.nir"), "loihi2")
    shape = next(iter(program.inputs.values()))
    raster = (np.random.default_rng(2).random((30, 4, *shape)) < 0.3).astype(np.uint8)
    together = program.run(raster)
    for n in range(4):
        assert np.array_equal(together[:, n], program.run(raster[:, n]))


def test_beyond_the_fields() -> None:
    """Lava clips and goes on; it is read, runs as there, and each is told."""
    config = example()
    config["processes"][1]["weights"] = [[300, -1], [3, 60]]
    config["processes"][2] |= {"vth": 200_000, "du": 4096, "bias_exp": 9}
    told = [str(item) for item in assumptions(read_config(json.dumps(config)))]
    assert len(told) == 4
    assert any("vth 200000, must be in [0, 131071]" in text for text in told)
    assert any("weight 300 at (0, 0) and at 2 more acts as 254" in text for text in told)


FAULTS: dict[str, tuple[str, int, str, Any, str]] = {
    "type": ("processes", 1, "type", "Dence", "processes[1].type: 'Dence' is not one of Input, Conv"),
    "twice": ("processes", 1, "name", "in", "processes[1].name: 'in' is given twice"),
    "weights": ("processes", 1, "weights", [[1], [2, 3]], "processes[1] 'fc' weights: must be whole numbers"),
    "broken": ("processes", 1, "weights", [[0.5]], "processes[1] 'fc' weights: must be whole numbers"),
    "sign": ("processes", 1, "sign_mode", "BOTH", "processes[1] 'fc' sign_mode: 'BOTH' is not one of MIXED"),
    "bits": ("processes", 1, "num_weight_bits", 9, "9 bits a weight, must be 1 to 8"),
    "shape": ("processes", 2, "shape", [], "processes[2] 'lif' shape: must be a list of"),
    "vth": ("processes", 2, "vth", None, "processes[2] 'lif' vth: must be whole numbers"),
    "bias": ("processes", 2, "bias_mant", 40_000, "which Lava wraps to 16 bits"),
    "exponent": ("processes", 2, "bias_exp", 40, "must be a shift within 15 bits"),
    "no such": ("connections", 0, "src", "nobody", "there is no process 'nobody'"),
    "direct": ("connections", 3, "src", "lif", "neurons feed neurons through a connection process alone"),
    "fit": ("connections", 0, "transform", [{"reshape": [3]}], "values that the transform does not fit"),
    "transform": ("connections", 0, "transform", [{"rotate": 1}], "must be one of transpose, flatten, reshape"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str) -> None:
    """Each with its path and value."""
    part, n, key, value, told = FAULTS[name]
    config = example()
    config[part][n][key] = value
    with pytest.raises(DiagnosticException) as caught:
        read_config(json.dumps(config))
    assert told in str(caught.value)


def test_all_faults_come_at_once() -> None:
    config = example()
    config["processes"][1]["weights"] = "none"
    config["processes"][2]["du"] = "none"
    config["outputs"] = ["nobody"]
    with pytest.raises(DiagnosticException) as caught:
        read_config(json.dumps(config))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "nirc-loihi2", "version": 2}', '{"format": "nirc-loihi2"}']
)
def test_other_files(text: str) -> None:
    with pytest.raises(DiagnosticException):
        read_config(text)
