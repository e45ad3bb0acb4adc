"""`nirc-opt`, and xDSL's own tool through the entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nirc.opt import main

GESTURES = Path(__file__).parents[2] / "examples" / "gestures.nir"
LIF = Path(__file__).parents[2] / "examples" / "lowering_test" / "lif.mlir"
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


def test_plain_xdsl_opt_knows_nirc() -> None:
    command = [BIN / "xdsl-opt", LIF, "-p", "nir-infer-shapes,convert-nir-to-snn{dt=0.001}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "snn.filter" in result.stdout


def test_xdsl_opt_emits_the_target() -> None:
    passes = "nir-infer-shapes,convert-nir-to-snn{dt=0.001 reset=subtract},snn-fold-linear-paths,convert-snn-to-xylo"
    text = subprocess.run([BIN / "nirc-opt", GESTURES, "-p", passes], capture_output=True, text=True, check=True).stdout
    command = [BIN / "xdsl-opt", "-p", "xylo-quantize{per=layer},xylo-check-limits", "-t", "xylo"]
    result = subprocess.run(command, input=text, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith('{"value0"')
