"""`nirc check`: faults, what nirc understood, candidates for dt, the fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

GESTURES = Path(__file__).parents[2] / "examples" / "gestures.nir"
EDGES = Path(__file__).parents[2] / "examples" / "edges.nir"

Nirc = Callable[..., Any]


def test_a_sound_file(nirc: Nirc) -> None:
    result = nirc("check", GESTURES)
    assert result.status == 0
    assert f"{GESTURES}: 5 nodes, 56 neurons, 3,264 weights, 3,264 synapses" in result.out
    assert "  'hidden' (CubaLIF) 48" in result.out
    assert "  dt: 0.001 s" in result.out


def test_the_fit_of_a_target(nirc: Nirc) -> None:
    result = nirc("check", GESTURES, "--target", "xylo")
    assert result.status == 0
    assert "xylo: fits" in result.out
    assert "12 of 16 inputs, 48 of 1000 hidden neurons, 8 of 8 readout neurons" in result.out


def test_what_a_target_assumes_is_printed(nirc: Nirc) -> None:
    """All that the JSON holds, each once: what holds without the target too stands above."""
    held = json.loads(nirc("check", GESTURES, "--target", "xylo", "--json").out)
    printed = nirc("check", GESTURES, "--target", "xylo").out.splitlines()
    below = printed[printed.index("  assumptions of its own:") + 1 :]
    own = [item for item in held["targets"]["xylo"]["assumptions"] if item not in held["assumptions"]]
    assert any(item.startswith("latency: ") for item in own)
    assert below == [f"    {item}" for item in own]
    for item in held["assumptions"]:
        assert printed.count(f"  {item}") == 1


def test_a_misfit(nirc: Nirc) -> None:
    result = nirc("check", EDGES, "--target", "xylo", "--json")
    assert result.status == 1
    found = json.loads(result.out)
    assert found["faults"] == []
    assert not found["targets"]["xylo"]["fits"]
    assert any("512 input channels" in fault for fault in found["targets"]["xylo"]["faults"])


def test_dt_that_cannot_be_found_is_no_fault_of_the_file(nirc: Nirc, shared: Path) -> None:
    result = nirc("check", shared / "models" / "lif_norse.nir")
    assert result.status == 0
    assert "dt cannot be found" in result.out
    assert "  candidate --dt 0.0001 " in result.out
    found = json.loads(nirc("check", shared / "models" / "lif_norse.nir", "--json").out)
    assert found["dt"]["found"] is None
    assert len(found["dt"]["candidates"]) == 4


def test_faults_of_the_file(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "bad.nir").write_text("")
    result = nirc("check", "bad.nir")
    assert result.status == 1
    assert "bad.nir: the file is empty" in result.err + result.out


def test_several_faults_as_json(nirc: Nirc, shared: Path) -> None:
    result = nirc("check", shared / "cases" / "bad_nir" / "edge_into_subgraph_name.nir", "--json")
    assert result.status == 1
    assert len(json.loads(result.out)["faults"]) == 2
