"""Outputs harm nothing that stands at their path, losses are told, and flags that cannot apply are refused."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

from nirc import compile, load

EXAMPLES = Path(__file__).parents[2] / "examples"
GESTURES, RASTER = EXAMPLES / "gestures.nir", EXAMPLES / "gestures.npz"

Nirc = Callable[..., Any]


def test_a_link_keeps_its_target(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    assert nirc(GESTURES, "--target", "xylo", "-o", "link.json").status == 0
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text().startswith('{"value0"')


def test_a_mode_is_kept(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "cfg.json").touch(mode=0o600)
    nirc(GESTURES, "--target", "xylo", "-o", "cfg.json")
    assert stat.S_IMODE((tmp_path / "cfg.json").stat().st_mode) == 0o600


def test_what_is_no_file_is_written_to(nirc: Nirc, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = nirc(EXAMPLES / "lowering_test" / "lif.mlir", "--pass-pipeline", "nir-infer-shapes", "-o", "pipe")
        assert result.status == 0
        assert b"nir.graph" in os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_an_input_is_not_overwritten(nirc: Nirc, tmp_path: Path) -> None:
    shutil.copy(GESTURES, tmp_path / "model.nir")
    shutil.copy(RASTER, tmp_path / "in.npz")
    before = (tmp_path / "model.nir").read_bytes()
    compiled = nirc("model.nir", "--target", "xylo", "-o", "model.nir")
    ran = nirc("run", "model.nir", "--input", "in.npz", "-o", "in.npz")
    assert (compiled.status, ran.status) == (1, 1)
    assert "model.nir: is an input of this command" in compiled.err
    assert "in.npz: is an input of this command" in ran.err
    assert (tmp_path / "model.nir").read_bytes() == before


def test_an_empty_name(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "xylo", "-o", "")
    assert result.status == 1
    assert "'': cannot be written: it names no file" in result.err


def test_a_tree_folder_that_cannot_be_made(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = nirc(GESTURES, "--target", "xylo", "-o", "cfg.json", "--print-ir-tree-dir", "file/tree")
    assert result.status == 1
    assert "--print-ir-tree-dir file/tree" in result.err


def test_options_of_a_way_already_gone_are_refused(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "snn.mlir").write_text(nirc(GESTURES, "--emit", "snn").out)
    late = nirc("snn.mlir", "--emit", "snn", "--dt", "5", "--scheme", "norse")
    assert late.status == 1
    assert "dt, scheme can only be chosen on the way from nir to snn; the model is at level snn" in late.err
    piped = nirc(GESTURES, "--pass-pipeline", "nir-infer-shapes", "--dt", "5")
    assert "--pass-pipeline names its own options" in piped.err
    nirc(GESTURES, "--target", "xylo", "-o", "cfg.json")
    config = nirc("run", "cfg.json", "--input", RASTER, "-o", "out.npy", "--dt", "5", "--reset", "zero")
    assert config.status == 1
    assert "--dt, --reset cannot change a configuration, which runs as it is" in config.err


def test_saturation_is_told(nirc: Nirc, tmp_path: Path) -> None:
    """One neuron with weight 127 << 7 = 16256 and 15 events a step: the current passes 32767 at once."""
    spec = {
        "weights_in": [[127]],
        "weights_out": [[1]],
        "dash_mem": [15],
        "dash_syn": [15],
        "threshold": [32767],
        "dash_mem_out": [1],
        "dash_syn_out": [1],
        "threshold_out": [1],
        "weight_shift_in": 7,
    }
    (tmp_path / "cfg.json").write_text(str(spec).replace("'", '"'))
    np.save(tmp_path / "in.npy", np.full((3, 1), 15, np.uint8))
    result = nirc("run", "cfg.json", "--input", "in.npy", "-o", "out.npy")
    assert "warning: states saturated at 16 bits" in result.err
    np.save(tmp_path / "in.npy", np.zeros((3, 1), np.uint8))
    assert "saturated" not in nirc("run", "cfg.json", "--input", "in.npy", "-o", "out.npy").err


def test_large_changes_of_quantization_are_told(nirc: Nirc, chain: Callable[..., Path]) -> None:
    ones = np.ones(4)
    slow = {"type": "CubaLIF", "tau_mem": 23e-3 * ones, "r": 23 * ones, "tau_syn": 4e-3 * ones, "w_in": 4 * ones}
    model = chain([3, 4, 2], lif1={**slow, "v_leak": 0 * ones, "v_threshold": ones})
    result = nirc(model, "--target", "xylo", "-o", "cfg.json")
    assert "tau_mem of 'lif1' changes by up to 39% (23 to 32 steps)" in result.err


def test_weights_that_all_vanish_are_refused(nirc: Nirc, chain: Callable[..., Path]) -> None:
    ones = np.ones(4)
    deaf = {"type": "CubaLIF", "tau_mem": 8e-3 * ones, "r": 8 * ones, "tau_syn": 4e-3 * ones, "w_in": 4 * ones}
    model = chain([3, 4, 2], lif1={**deaf, "v_leak": 0 * ones, "v_threshold": 1e6 * ones})
    result = nirc(model, "--target", "xylo", "-o", "cfg.json")
    assert result.status == 1
    assert "neuron 0 of 'lif1' and all others there: every weight rounds to 0" in result.err


def test_a_raster_beyond_f32_is_refused() -> None:
    program = compile(GESTURES)
    with pytest.raises(DiagnosticException, match="holds values that do not fit f32"):
        program.run(np.full((2, 12), 1e300))


def test_state_is_kept_for_the_same_batch_only() -> None:
    program, raster = compile(GESTURES), np.load(RASTER)["input"]
    whole = program.run(raster)
    parts = [program.run(raster[:90]), program.run(raster[90:], keep_state=True)]
    assert np.array_equal(np.concatenate(parts), whole)
    with pytest.raises(DiagnosticException, match="keep_state goes on from the last run"):
        program.run(np.stack([raster, raster], axis=1), keep_state=True)


def test_a_model_that_is_not_compiled_says_so() -> None:
    with pytest.raises(DiagnosticException, match=r"compiled before it runs: nirc\.compile"):
        load(GESTURES).run(np.zeros((2, 12)))
