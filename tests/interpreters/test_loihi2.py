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
    """s, u and v of every population in Lava's order, [T, ...]; raster [..., T], as Lava takes it."""
    evaluator = Loihi2Evaluator(network)
    (name,) = network.inputs()
    found: dict[str, list[Array]] = {f"{process}.{state}": [] for process in evaluator.populations for state in "suv"}
    for x in np.moveaxis(raster, -1, 0):
        evaluator.step({name: x[None]})
        for process, population in evaluator.populations.items():
            for state, values in zip("suv", (population.spikes, population.u, population.v), strict=True):
                found[f"{process}.{state}"].append(values[0].astype(np.int32))
    return {key: np.stack(values) for key, values in found.items()}


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
