"""Ahead of time on the command line: formats, the header beside them, other machines, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits.nir"

Nirc = Callable[..., Any]

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("args", "output", "start"),
    [
        (["--target", "cpu"], "net.o", b""),
        (["--target", "cpu", "--emit", "obj"], "net.o", b""),
        (["--target", "cpu", "--emit", "asm"], "net.s", b"\t.file"),
        (["--target", "cpu", "--emit", "llvmir"], "net.ll", b"; ModuleID"),
        (["--target", "c"], "net.c", b"/* digits: a spiking network, compiled by nirc\n"),
        (["--target", "c", "--precision", "s15.16"], "net.c", b"/* digits: a spiking network, compiled by nirc\n"),
        pytest.param(["--target", "cpu", "--emit", "shared"], "net.so", b"", marks=needs_cc),
    ],
)
def test_a_format_and_its_header(nirc: Nirc, tmp_path: Path, args: list[str], output: str, start: bytes) -> None:
    for _ in range(2):  # the second writes over the first
        result = nirc(DIGITS, *args, "-o", output)
        assert (result.status, result.out, result.lines[0]) == (0, "", "assumptions:")
    assert names(tmp_path) == sorted(["net.h", output])
    assert (tmp_path / output).read_bytes().startswith(start)
    assert "void digits_run(digits_state *state, size_t steps, " in (tmp_path / "net.h").read_text()


def test_levels_and_formats_are_told_apart(nirc: Nirc) -> None:
    """`llvm` is a level, which reads back; `llvmir` is LLVM's text. Neither has a header."""
    level = nirc(DIGITS, "--target", "cpu", "--emit", "llvm", "--elide-weights-larger-than", "4").out
    form = nirc(DIGITS, "--target", "cpu", "--emit", "llvmir").out
    assert "llvm.func @main(" in level
    assert re.search(r"^define void @digits_run\(", form, re.MULTILINE)
    assert "builtin.module" not in form


def test_text_goes_to_standard_output(nirc: Nirc, tmp_path: Path) -> None:
    for args in (["--target", "c"], ["--target", "cpu", "--emit", "asm"]):
        result = nirc(DIGITS, *args)
        assert result.status == 0
        assert "digits_run" in result.out
    assert names(tmp_path) == []


def test_what_is_no_file_has_nothing_beside_it() -> None:
    command = [sys.executable, "-m", "nirc", str(DIGITS), "--target", "cpu", "-o", "/dev/null"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert not Path("/dev/null.h").exists()


def test_a_name(nirc: Nirc, tmp_path: Path) -> None:
    assert nirc(DIGITS, "--target", "cpu", "--name", "net7", "-o", "x.o").status == 0
    assert "void net7_init(net7_state *state);" in (tmp_path / "x.h").read_text()
    assert b"net7_run" in (tmp_path / "x.o").read_bytes()


def test_the_header_beside_another_programs_file_is_not_written(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "net.h").write_text("int mine;\n")
    result = nirc(DIGITS, "--target", "cpu", "-o", "net.o")
    assert result.status == 1
    assert result.lines == ["net.h: belongs beside net.o, but nirc did not write what stands there; give another name"]
    assert names(tmp_path) == ["net.h"]
    assert (tmp_path / "net.h").read_text() == "int mine;\n"


def test_an_output_that_is_called_as_the_header(nirc: Nirc, tmp_path: Path) -> None:
    result = nirc(DIGITS, "--target", "c", "-o", "net.h")
    assert (result.status, result.lines) == (
        1,
        ["net.h: is the name of what belongs beside it; give another ending than .h"],
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--target", "cpu", "--triple", "pdp11"], "triple 'pdp11': LLVM has no such machine"),
        (["--target", "cpu", "--triple", "riscv32", "--cpu", "m68k"], "--cpu m68k: LLVM knows no such CPU of riscv32"),
        (["--target", "cpu", "--name", "a b"], "--name 'a b': no name of C; a_b would do"),
        (
            ["--target", "cpu", "--emit", "exe"],
            "has no level 'exe'; it has nir, snn, loops, llvm, and writes llvmir, asm",
        ),
        (["--target", "c", "--emit", "obj"], "the way to c has no level 'obj'; it has nir, snn, loops"),
        (["--target", "c", "--triple", "riscv32"], "triple cannot be chosen on the way from nir to loops"),
        (["--target", "c", "--cpu", "cortex-m4"], "cpu cannot be chosen on the way from nir to loops"),
        (["--target", "xylo", "--name", "x"], "name cannot be chosen on the way from nir to xylo"),
        (["--target", "xylo", "--inputs", "events"], "inputs cannot be chosen on the way from nir to xylo"),
        (["--emit", "asm"], "the way to snn has no level 'asm'"),
        (["--target", "cpu", "--precision", "s15.16"], "precision 's15.16' is neither f32 nor f64"),
        (
            ["--target", "c", "--precision", "s15.15"],
            "precision 's15.15' is neither f32 nor f64 nor sM.N with M + N = 31",
        ),
        (["--target", "c", "--precision", "s0.31"], "node 'hidden', threshold: 1.0 is beyond s0.31"),
        (["--target", "c", "--precision", "s30.1"], "node 'hidden', decay: 0.7999999955296515 becomes 1 in s30.1"),
        (["--target", "cpu", "--inputs", "spikes"], "'spikes' is not one of"),
    ],
)
def test_what_does_not_apply_is_refused(nirc: Nirc, tmp_path: Path, args: list[str], text: str) -> None:
    result = nirc(DIGITS, *args, "-o", "net.out")
    assert result.status in (1, 2)
    assert text in result.err
    assert "Traceback" not in result.err
    assert names(tmp_path) == []


@needs_cc
def test_a_library_without_a_compiler(nirc: Nirc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    result = nirc(DIGITS, "--target", "cpu", "--emit", "shared", "-o", "net.so")
    assert (result.status, names(tmp_path)) == (1, [])
    assert "--emit shared links with a C compiler, and 'cc' cannot be run: No such file or directory" in result.err


def test_names_that_c_cannot_tell_apart(nirc: Nirc, tmp_path: Path) -> None:
    step = (
        'snn.network @main attributes {inputs = ["a.b", "a_b"], outputs = ["y"], states = []} {\n'
        "^bb0(%x: tensor<2xf32>, %z: tensor<2xf32>):\n"
        "%s = snn.sum %x, %z : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>\n"
        "snn.yield %s : tensor<2xf32>\n}\n"
    )
    (tmp_path / "step.mlir").write_text(step)
    for target in ("cpu", "c"):
        result = nirc("step.mlir", "--target", target, "-o", "net.x")
        assert result.lines[0] == (
            "step.mlir: Input or Output 'a.b' and 'a_b': C would call both A_B; rename the nodes"
        )
        assert result.status == 1
    assert names(tmp_path) == ["step.mlir"]


def test_fixed_point_is_an_assumption(nirc: Nirc, tmp_path: Path) -> None:
    said = ["--strict", "--dt", "1e-3", "--scheme", "nir-euler"]
    result = nirc(DIGITS, "--target", "c", "--precision", "s15.16", "-o", "net.c", *said)
    assert result.status == 0
    printed = [line.strip() for line in result.lines]
    precision = "precision: numbers of 32 bits, 16 of them behind the binary point; constants change by up to "
    assert sum(line.startswith(precision) for line in printed) == 1
    saturates = "sums, products and quotients beyond s15.16 saturate"
    assert sum(line.startswith("fixed point: ") and line.endswith(saturates) for line in printed) == 1
    assert saturates in (tmp_path / "net.c").read_text()
    assert saturates in (tmp_path / "net.h").read_text()


def test_fixed_point_by_levels(nirc: Nirc, tmp_path: Path) -> None:
    """From the printed network, whose numbers are in f64, and from printed loops."""
    flags = ["--target", "c", "--name", "net"]
    nirc(DIGITS, *flags, "--precision", "s15.16", "-o", "a.c")
    nirc(DIGITS, *flags[:2], "--precision", "s15.16", "--emit", "snn", "-o", "step.mlir")
    nirc("step.mlir", *flags, "--precision", "s15.16", "-o", "b.c")
    nirc(DIGITS, *flags[:2], "--precision", "s15.16", "--emit", "loops", "-o", "loops.mlir")
    nirc("loops.mlir", *flags, "-o", "c.c")
    texts = [(tmp_path / name).read_text() for name in ("a.c", "b.c", "c.c")]
    assert "int32_t" in texts[0]
    assert texts[0] == texts[1] == texts[2]


def test_the_passes_are_listed(nirc: Nirc) -> None:
    listed = nirc("--list-passes").out
    for name in ("snn-round-constants", "convert-loops-to-fixed"):
        assert re.search(rf"^{name}\n.*\n    format: 'str' \(default s15.16\)", listed, re.MULTILINE)
    assert re.search(r"^convert-loops-to-llvm\n.*\n    triple: ", listed, re.MULTILINE)
    assert re.search(r"^c\n    One C11 file", nirc("--list-targets").out, re.MULTILINE)


def test_a_printed_level_keeps_its_machine(nirc: Nirc, tmp_path: Path) -> None:
    machine = ["--triple", "riscv32-unknown-elf"]
    nirc(DIGITS, "--target", "cpu", *machine, "-o", "a.o")
    nirc(DIGITS, "--target", "cpu", *machine, "--emit", "llvm", "-o", "digits.mlir")
    assert 'llvm.target_triple = "riscv32-unknown-elf"' in (tmp_path / "digits.mlir").read_text()
    assert nirc("digits.mlir", "--target", "cpu", "-o", "b.o").status == 0
    assert (tmp_path / "a.o").read_bytes() == (tmp_path / "b.o").read_bytes()
    other = nirc("digits.mlir", "--target", "cpu", "--triple", "aarch64-linux-gnu", "-o", "c.o")
    assert (other.status, "triple cannot be chosen on the way from llvm to llvm" in other.err) == (1, True)
