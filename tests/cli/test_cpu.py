"""The target cpu on the command line: runs, objects, levels, flags."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nirc.dialects.dense import Array

EXAMPLES = Path(__file__).parents[2] / "examples"
GESTURES, RASTER = EXAMPLES / "gestures.nir", EXAMPLES / "gestures.npz"
DIGITS = EXAMPLES / "digits.nir", EXAMPLES / "digits.npz"
X86 = sys.platform == "linux" and platform.machine() == "x86_64"

Nirc = Callable[..., Any]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects stay out of the user's cache."""
    monkeypatch.setenv("NIRC_CACHE", str(tmp_path_factory.getbasetemp() / "cli-objects"))


def arrays(path: Path) -> dict[str, tuple[Any, ...]]:
    """The arrays of a file: type, shape and bytes."""

    def held(values: Array) -> tuple[Any, ...]:
        return values.dtype, values.shape, values.tobytes()

    with np.load(path) as content:
        return {name: held(content[name]) for name in content.files}


@pytest.mark.parametrize(
    ("model", "raster", "more"),
    [
        (*DIGITS, []),
        (GESTURES, RASTER, []),
        (GESTURES, RASTER, ["--record", "hidden:spikes,v,i", "--record", "readout:spikes"]),
        (GESTURES, RASTER, ["--scheme", "nir-exp-euler,v_init=0", "--reset", "subtract", "--precision", "f64"]),
        (EXAMPLES / "edges.nir", EXAMPLES / "edges.npz", []),
    ],
)
def test_a_run_writes_what_it_writes_without_the_target(
    nirc: Nirc, tmp_path: Path, model: Path, raster: Path, more: list[str]
) -> None:
    plain = nirc("run", model, "--input", raster, "-o", "plain.npz", *more)
    compiled = nirc("run", model, "--target", "cpu", "--input", raster, "-o", "out.npz", *more)
    assert (plain.status, compiled.status) == (0, 0)
    assert compiled.err == plain.err
    assert compiled.out == ""
    found = arrays(tmp_path / "out.npz")
    assert found == arrays(tmp_path / "plain.npz")
    assert any(any(content) for _, _, content in found.values())


def test_the_level_snn_of_the_target_is_the_evaluator(
    nirc: Nirc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIRC_CACHE", str(tmp_path / "objects"))
    args = ["run", GESTURES, "--target", "cpu", "--input", RASTER]
    assert nirc(*args, "--level", "snn", "-o", "snn.npz").status == 0
    assert not (tmp_path / "objects").exists()
    assert nirc(*args, "-o", "cpu.npz").status == 0
    assert (tmp_path / "objects").exists()
    assert arrays(tmp_path / "snn.npz") == arrays(tmp_path / "cpu.npz")


def test_printed_snn_runs_compiled(nirc: Nirc, tmp_path: Path) -> None:
    printed = nirc(GESTURES, "--target", "cpu", "--emit", "snn")
    (tmp_path / "step.mlir").write_text(printed.out)
    assert nirc("run", "step.mlir", "--target", "cpu", "--input", RASTER, "-o", "step.npz").status == 0
    nirc("run", GESTURES, "--input", RASTER, "-o", "plain.npz")
    assert arrays(tmp_path / "step.npz") == arrays(tmp_path / "plain.npz")


def test_batches_and_threads(nirc: Nirc, tmp_path: Path) -> None:
    raster = np.load(RASTER)["input"]
    batch = np.stack([raster, raster[::-1], raster // 2, 0 * raster, raster], axis=1)
    np.save(tmp_path / "batch.npy", batch)
    np.save(tmp_path / "first.npy", batch.swapaxes(0, 1))
    nirc("run", GESTURES, "--input", "batch.npy", "-o", "plain.npy")
    expected = np.load(tmp_path / "plain.npy")
    assert expected.any()
    for threads in ([], ["--threads", "1"], ["--threads", "2"], ["--threads", "9"]):
        args = ["run", GESTURES, "--target", "cpu", *threads]
        assert nirc(*args, "--input", "batch.npy", "-o", "out.npy").status == 0
        assert np.load(tmp_path / "out.npy").tolist() == expected.tolist()
        assert nirc(*args, "--input", "first.npy", "--batch-first", "-o", "out.npy").status == 0
        assert np.load(tmp_path / "out.npy").tolist() == expected.swapaxes(0, 1).tolist()


# Objects and levels


@pytest.mark.skipif(not X86, reason="reads an ELF file of x86")
def test_an_object_file(nirc: Nirc, tmp_path: Path) -> None:
    """e_machine 62 is x86-64, e_type 1 an object that can be linked; weights and a header come with it."""
    assert nirc(GESTURES, "--target", "cpu", "-o", "x.o").status == 0
    content = (tmp_path / "x.o").read_bytes()
    assert content[:6] == b"\x7fELF\x02\x01"
    assert [int.from_bytes(content[at : at + 2], "little") for at in (16, 18)] == [1, 62]
    with h5py.File(GESTURES) as file:
        weight = np.asarray(file["node/nodes/fc_out/weight"], np.float32)
    assert weight.shape[0] <= 64  # one tile, input by input
    assert content.count(weight.T.tobytes()) == 1
    assert "gestures_run(" in (tmp_path / "x.h").read_text()


def test_the_same_model_gives_the_same_object(nirc: Nirc, tmp_path: Path) -> None:
    for name in ("a.o", "b.o"):
        nirc(GESTURES, "--target", "cpu", "-o", name)
    assert (tmp_path / "a.o").read_bytes() == (tmp_path / "b.o").read_bytes()


def test_an_object_goes_to_standard_output() -> None:
    """As it is: it is no text."""
    command = [sys.executable, "-m", "nirc", str(GESTURES), "--target", "cpu"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"gestures_run" in done.stdout


def test_loops_are_printed(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "cpu", "--emit", "loops", "--elide-weights-larger-than", "16")
    assert result.status == 0
    assert re.match(r"builtin\.module attributes \{nir\.assumptions = ", result.out)
    assert 'cpu.kernel @main {arguments = [#cpu.argument<"input", "input", tensor<12xf32>' in result.out
    assert result.out.count("func.func @main(") == 1
    assert "scf.for" in result.out
    assert "snn." not in result.out.partition("cpu.kernel")[2].partition("func.func")[2]
    assert "llvm." not in result.out


def test_llvm_is_printed(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "cpu", "--emit", "llvm", "--elide-weights-larger-than", "16")
    assert result.status == 0
    assert result.out.count("llvm.func @main(") == 1
    assert "llvm.fadd" in result.out
    assert not re.findall(r"\b(?:scf|arith|memref|cf|math)\.\w+|func\.return", result.out)


def test_the_ir_after_every_pass(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "cpu", "--print-ir-after-all", "-o", "x.o")
    assert result.status == 0
    assert re.findall(r"IR Dump After ([\w-]+)", result.err) == [
        "nir-infer-shapes",
        "nir-inline-graphs",
        "convert-nir-to-snn",
        "snn-split-components",
        "convert-snn-to-loops",
        "convert-loops-to-llvm",
    ]
    assert result.err.count("func.func @main(") == 1
    assert result.err.count("llvm.func @main(") == 1


def test_each_pass_is_verified_and_timed(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "cpu", "--verify-each", "--timing", "-o", "x.o")
    assert result.status == 0
    for name in ("convert-snn-to-loops", "convert-loops-to-llvm", "emit"):
        assert name in result.err


@pytest.mark.parametrize("level", ["loops", "llvm"])
def test_a_printed_level_is_compiled_on(nirc: Nirc, tmp_path: Path, level: str) -> None:
    nirc(GESTURES, "--target", "cpu", "-o", "direct.o")
    assert nirc(GESTURES, "--target", "cpu", "--emit", level, "-o", "level.mlir").status == 0
    result = nirc("level.mlir", "--target", "cpu", "--name", "gestures", "-o", "level.o")
    assert (result.status, result.lines[:1]) == (0, ["assumptions:"])
    assert (tmp_path / "level.o").read_bytes() == (tmp_path / "direct.o").read_bytes()
    assert (tmp_path / "level.h").read_bytes() == (tmp_path / "direct.h").read_bytes()


@pytest.mark.parametrize("level", ["loops", "llvm"])
def test_a_printed_level_does_not_run(nirc: Nirc, tmp_path: Path, level: str) -> None:
    nirc(GESTURES, "--target", "cpu", "--emit", level, "-o", "level.mlir")
    result = nirc("run", "level.mlir", "--target", "cpu", "--input", RASTER, "-o", "x.npz")
    assert result.status == 1
    assert f"the module is at level {level}, which is written, not run; what runs is the level snn" in result.err


# Flags


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--chip", "v1"], "chip"),
        (["--mapping", "vendor"], "mapping"),
        (["--quantize", "layer"], "quantize"),
        (["--calibrate", RASTER], "calibrate"),
    ],
)
def test_flags_of_chips_are_refused(nirc: Nirc, tmp_path: Path, flags: list[object], name: str) -> None:
    for result in (
        nirc(GESTURES, "--target", "cpu", "-o", "x.o", *flags),
        nirc("run", GESTURES, "--target", "cpu", "--input", RASTER, "-o", "x.npz", *flags),
    ):
        assert result.status == 1
        assert (
            f"{name} cannot be chosen on the way from nir to llvm; what can: dt, scheme, reset, precision" in result.err
        )
        assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_template_is_refused(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "samna.json").write_text("{}")
    result = nirc(GESTURES, "--target", "cpu", "--template", "samna.json", "-o", "x.o")
    assert (result.status, "template cannot be chosen" in result.err) == (1, True)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["run", GESTURES, "--input", RASTER, "-o", "x.npz", "--threads", "2"], "divide the batch of the cpu target"),
        (["run", GESTURES, "--target", "xylo", "--input", RASTER, "-o", "x.npz", "--threads", "2"], "cpu target"),
        (["run", GESTURES, "--target", "cpu", "--input", RASTER, "-o", "x.npz", "--threads", "0"], "--threads"),
        (["run", GESTURES, "--target", "cpu", "--level", "xylo", "--input", RASTER, "-o", "x.npz"], "no level 'xylo'"),
        ([GESTURES, "--target", "cpu", "--emit", "xylo"], "the way to cpu has no level 'xylo'"),
        (["check", GESTURES, "--target", "cpu"], "'cpu' is not"),
        (
            ["run", GESTURES, "--target", "cpu", "--input", RASTER, "-o", "x.npz", "--record", "hidden:w"],
            "cannot record 'hidden.w'; there are ",
        ),
    ],
)
def test_what_does_not_apply_is_refused(nirc: Nirc, tmp_path: Path, args: list[object], text: str) -> None:
    result = nirc(*args)
    assert result.status in (1, 2)
    assert text in result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((5, 11)), "has the shape 5x11, must be steps x 12 or steps x batch x 12"),
        (np.full((5, 12), np.nan), "holds values that are not finite"),
        (np.full((5, 12), 1e39), "holds values that do not fit f32"),
    ],
)
def test_a_bad_raster(nirc: Nirc, tmp_path: Path, array: Array, text: str) -> None:
    np.save(tmp_path / "bad.npy", array)
    result = nirc("run", GESTURES, "--target", "cpu", "--input", "bad.npy", "-o", "out.npy")
    assert result.lines == [f"bad.npy: the raster of input 'input' {text}"]
    assert result.status == 1
    assert not (tmp_path / "out.npy").exists()


def test_a_configuration_of_a_chip_is_no_model(nirc: Nirc) -> None:
    nirc(GESTURES, "--target", "xylo", "-o", "cfg.json")
    result = nirc("run", "cfg.json", "--target", "cpu", "--input", RASTER, "-o", "out.npz")
    assert result.lines == ["cfg.json: the target cpu is no chip and has no configurations"]


def test_the_target_is_listed(nirc: Nirc) -> None:
    listed = nirc("--list-targets").out
    assert re.search(r"^cpu\n    A kernel for this machine", listed, re.MULTILINE)
    passes = nirc("--list-passes").out
    assert re.search(r"^convert-snn-to-loops\n.*\n    inputs: 'str' \(default graded\)", passes, re.MULTILINE)
    assert "convert-loops-to-llvm" in passes


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_long_run_shows_how_far_it_is(tmp_path: Path) -> None:
    """On a terminal; another reader of stderr gets what a short run says."""
    np.save(tmp_path / "long.npy", np.ones((2000, 12), np.uint8))
    command = [
        sys.executable,
        "-m",
        "nirc",
        "run",
        str(GESTURES),
        "--target",
        "cpu",
        "--input",
        "long.npy",
        "-o",
        "y.npy",
    ]
    quiet = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "100%" not in quiet.stderr
    master, slave = os.openpty()
    with subprocess.Popen(command, cwd=tmp_path, stderr=slave, stdout=subprocess.DEVNULL) as running:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed.
            while part := os.read(master, 4096):
                shown += part
    os.close(master)
    assert running.returncode == 0
    assert b"100%" in shown
    assert b"assumptions:" in shown
