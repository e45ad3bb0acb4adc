"""Outputs harm nothing that stands at their path, losses are told, and flags that cannot apply are refused."""

from __future__ import annotations

import os
import re
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
    assert "dt, scheme cannot be chosen on the way from snn to snn; what can: nothing" in late.err
    piped = nirc(GESTURES, "--pass-pipeline", "nir-infer-shapes", "--dt", "5")
    assert "dt cannot be chosen beside --pass-pipeline, whose passes have their own" in piped.err
    nirc(GESTURES, "--target", "xylo", "-o", "cfg.json")
    config = nirc("run", "cfg.json", "--input", RASTER, "-o", "out.npy", "--dt", "5", "--reset", "zero")
    assert config.status == 1
    assert "--dt, --reset cannot change a configuration, which runs as it is" in config.err


CHIP = "cannot be chosen on the way from nir to snn; what can: dt, scheme, reset, precision"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([GESTURES, "--emit", "snn", "--chip", "audio2", "--quantize", "layer"], f"chip, quantize {CHIP}"),
        ([GESTURES, "--emit", "snn", "--template", "samna.json"], f"template {CHIP}"),
        (["run", GESTURES, "--input", RASTER, "-o", "out.npy", "--chip", "audio2"], f"chip {CHIP}"),
        (["check", GESTURES, "--quantize", "layer"], "quantize cannot be chosen without --target; what can: dt, "),
        (
            ["snn.mlir", "--target", "xylo", "--dt", "1"],
            "dt cannot be chosen on the way from snn to xylo; what can: ",
        ),
        (["snn.mlir", "--emit", "snn", "--fix", "all"], "snn.mlir: --fix mends .nir files as they are read"),
        (["check", "snn.mlir", "--fix", "all"], "snn.mlir: --fix mends .nir files as they are read"),
    ],
)
def test_options_that_nothing_looks_at_are_refused(nirc: Nirc, tmp_path: Path, args: list[object], text: str) -> None:
    (tmp_path / "snn.mlir").write_text(nirc(GESTURES, "--emit", "snn").out)
    result = nirc(*args)
    assert (result.status, result.out) == (1, "")
    assert text in result.err
    assert not (tmp_path / "out.npy").exists()


def test_options_of_the_target_are_taken_at_every_level(nirc: Nirc) -> None:
    """Those that come further down are no mistake, nor are those that say what is so anyway."""
    for level in ("nir", "snn", "xylo"):
        given = ["--chip", "audio2", "--quantize", "neuron", "--dt", "1e-3"]
        assert nirc(GESTURES, "--target", "xylo", "--emit", level, *given).status == 0


def test_a_pipeline_and_a_level_are_one_too_many(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--pass-pipeline", "nir-infer-shapes", "--emit", "nir")
    assert (result.status, result.out) == (2, "")
    assert "--emit and --pass-pipeline both say what is printed; give one" in result.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dt": None}, "option dt: None, must be seconds or 'auto'"),
        ({"dt": True}, "option dt: True, must be seconds or 'auto'"),
        ({"scheme": 5}, "option scheme: 5, must be text"),
        ({"reset": 3}, "option reset: 3, must be text"),
        ({"precision": None}, "option precision: None, must be text"),
        ({"template": 1}, "option template: 1, must be a path"),
        ({"step": 1}, "unknown options: step; known: dt, scheme, reset, precision, chip"),
    ],
)
def test_options_of_a_wrong_type(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(text)}"):
        compile(GESTURES, **options)


@pytest.mark.parametrize("dt", [1e-3, np.float32(1e-3), np.float64(1e-3), "1e-3"])
def test_dt_of_any_number(dt: Any) -> None:
    assert compile(GESTURES, dt=dt, scheme=None).dt == pytest.approx(1e-3)


def test_elided_weights_cannot_be_read_back(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "short.mlir").write_text(nirc(GESTURES, "--emit", "nir", "--elide-weights-larger-than", "4").out)
    result = nirc("short.mlir", "--emit", "snn")
    assert result.status == 1
    assert result.lines == [
        "short.mlir: its weights were elided, only their hash was printed; print the IR in full, without "
        "--elide-weights-larger-than (or, from the --print-ir flags, with a larger N)"
    ]


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
    result = nirc(model, "--target", "xylo", "--mapping", "vendor", "-o", "cfg.json")
    assert "tau_mem of 'lif1' changes by up to 39% (23 to 32 steps)" in result.err
    assert "tau_mem of 'lif1' changes by up to" in nirc(model, "--target", "xylo", "-o", "cfg.json").err


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
