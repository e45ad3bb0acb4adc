"""`nirc-opt`, and xDSL's own tool through the entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nirc import compile
from nirc.opt import main

GESTURES = Path(__file__).parents[2] / "examples" / "gestures.nir"
LIF = Path(__file__).parents[2] / "examples" / "lowering_test" / "lif.mlir"
ELIDED = "elided.mlir"
BIN = Path(sys.executable).parent


def test_a_nir_file_goes_in_directly(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(GESTURES), "-p", "nir-infer-shapes,convert-nir-to-snn", "--elide-weights-larger-than", "4"])
    text = capsys.readouterr().out
    assert "snn.network @main" in text
    assert "dense_resource<elided_" in text


@pytest.mark.parametrize("dt", ["1e-3", "0.001", "1.0e-03"])
def test_spellings_of_dt(capsys: pytest.CaptureFixture[str], dt: str) -> None:
    main([str(LIF), "-p", f"nir-infer-shapes,convert-nir-to-snn{{dt={dt}}}"])
    assert "decay = dense<7.500000e-01>" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pipeline", "text"),
    [
        ("convert-nir-to-snn{dt=1e-3}", "the shapes of 'lif' are not known; run nir-infer-shapes first"),
        ("nothing", "Unrecognized passes"),
        ("nir-infer-shapes,convert-nir-to-snn{dt=1}", "'lif' (LIF), tau: 0.004 s is shorter than the step"),
    ],
)
def test_faults_are_lines_on_stderr(capsys: pytest.CaptureFixture[str], pipeline: str, text: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(LIF), "-p", pipeline])
    assert stop.value.code == 1
    assert text in capsys.readouterr().err


def test_a_nir_file_is_written(tmp_path: Path) -> None:
    """As bytes, the same that `nirc --target nir` writes."""
    command = [BIN / "nirc-opt", GESTURES, "-p", "nir-infer-shapes", "-t", "nir"]
    piped = subprocess.run(command, capture_output=True, check=True).stdout
    main([str(GESTURES), "-p", "nir-infer-shapes", "-t", "nir", "-o", str(tmp_path / "out.nir")])
    assert (tmp_path / "out.nir").read_bytes() == piped == compile(GESTURES, "nir").emit()


def test_a_fix_mends_a_file(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = next((shared / "models").glob("*subgraph*.nir"))
    with pytest.raises(SystemExit):
        main([str(broken)])
    assert "--fix edge-names takes it" in capsys.readouterr().err
    main([str(broken), "--fix", "edge-names"])
    assert "nir.graph @main" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([LIF, "--fix", "all"], "--fix mends .nir files as they are read; this is none"),
        (
            [GESTURES, "--fix", "none"],
            "unknown fix none; known: edge-names, hwc-flatten, "
            "recurrent-input, spyx-gains, rockpool-gains, norse-tau, all",
        ),
        ([GESTURES, "-t", "nir", "-o", os.devnull, "-p", "nir-infer-shapes,convert-nir-to-snn"], "holds no nir.graph"),
        ([ELIDED], "its weights were elided, only their hash was printed"),
    ],
)
def test_what_does_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, args: list[object], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    main([str(GESTURES), "--elide-weights-larger-than", "4", "-t", "mlir"])
    Path(ELIDED).write_text(capsys.readouterr().out)
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    assert stop.value.code == 1
    assert text in capsys.readouterr().err


def test_plain_xdsl_opt_knows_nirc() -> None:
    command = [BIN / "xdsl-opt", LIF, "-p", "nir-infer-shapes,convert-nir-to-snn{dt=0.001}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "snn.filter" in result.stdout


def test_xdsl_opt_emits_the_target() -> None:
    passes = "nir-infer-shapes,convert-nir-to-snn{dt=0.001 reset=subtract},snn-fold-linear-paths,convert-snn-to-xylo"
    text = subprocess.run([BIN / "nirc-opt", GESTURES, "-p", passes], capture_output=True, text=True, check=True).stdout
    down = "xylo-choose-scales{per=layer},xylo-fit-time-constants,xylo-quantize,xylo-add-relays,xylo-check-limits"
    command = [BIN / "xdsl-opt", "-p", down, "-t", "xylo"]
    result = subprocess.run(command, input=text, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith('{"value0"')
