"""The integer evaluator of Loihi 2 against what Lava computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nirc.backends.loihi2.read_config import read_config
from nirc.dialects import loihi2
from nirc.dialects.dense import Array
from nirc.interpreters.loihi2 import Loihi2Evaluator

CASES = (
    *("01_single_lif_paper", "02_single_lif_nir", "03_feedforward", "04_recurrent", "05_conv_pool", "06_bias"),
    *("07_cuba_bias", "08_delay_skip", "09_wrap_saturate", "10_weight_truncation", "11_braille_zero"),
    *("12_braille_zero_split2", "13_netx_feedforward", "14_netx_recurrent", "15_netx_conv"),
)


def network_in(text: str) -> loihi2.NetworkOp:
    (network,) = read_config(text).ops
    assert isinstance(network, loihi2.NetworkOp)
    return network


def states(network: loihi2.NetworkOp, raster: Array) -> dict[str, Array]:
    """s, u and v of every population as Lava orders them, [T, ...]; raster [..., T], as Lava takes it."""
    nodes = list(network.nodes())
    record = tuple(f"{node}.{state}" for node in nodes for state in ("spikes", "u", "v"))
    network.properties["outputs"] = loihi2.ArrayAttr([])
    evaluator = Loihi2Evaluator(network, 1, record)
    (name,) = network.inputs()
    found = evaluator.run({name: np.moveaxis(raster, -1, 0)[:, None]})
    results = dict[str, Array]()
    for node in nodes:
        for state in ("spikes", "u", "v"):
            values = found[f"{node}.{state}"][:, 0]
            results[f"{node}.{state[0]}"] = values.transpose(0, 3, 2, 1) if values.ndim == 4 else values
    return results


@pytest.mark.parametrize("case", CASES)
def test_recorded_cases(shared: Path, case: str) -> None:
    """Every u, v and spike that Lava gave."""
    folder = shared / "cases" / "loihi2" / case
    network = network_in((folder / "cfg.json").read_text())
    found = states(network, np.load(folder / "input.npy"))
    golden: Any = np.load(folder / "golden.npz")
    assert set(golden.files) == set(found)
    for key in golden.files:
        assert np.array_equal(found[key], golden[key]), key
    assert sum(int(golden[key].sum()) for key in golden.files if key.endswith(".s")) > 0


def test_every_case_is_run(shared: Path) -> None:
    """The list above leaves none out."""
    assert sorted(CASES) == sorted(p.name for p in (shared / "cases" / "loihi2").iterdir() if p.is_dir())
