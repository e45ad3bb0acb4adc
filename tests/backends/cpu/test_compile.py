"""The cache of objects: found again, never trusted blindly, never in the way; and what LLVM is given to see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nirc
from nirc.backends.cpu import compile as compiler
from nirc.backends.cpu.compile import Machine, cache_folder, load
from nirc.dialects.dense import Array

GESTURES = Path(__file__).parents[3] / "examples" / "gestures.nir"
X = (np.random.default_rng(0).random((50, 12)) < 0.2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    path = tmp_path / "deep" / "objects"
    monkeypatch.setenv("NIRC_CACHE", str(path))
    return path


@pytest.fixture
def optimizations(monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    """Grows with each time that LLVM is at work."""
    seen = list[Machine]()
    original = compiler.optimized

    def spy(module: compiler.ModuleOp, machine: Machine, *, pic: bool = False) -> object:
        seen.append(machine)
        return original(module, machine, pic=pic)

    monkeypatch.setattr(compiler, "optimized", spy)
    return seen


def run(x: Array = X) -> Array:
    """The output of a program that is compiled anew."""
    return nirc.compile(GESTURES, "cpu").run(x)


EXPECTED = nirc.compile(GESTURES).run(X).tolist()


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_an_object_is_written_and_found_again(folder: Path, optimizations: list[Machine]) -> None:
    assert run().tolist() == EXPECTED
    assert len(optimizations) == 1
    path = only_file(folder)
    written = path.stat()
    assert run().tolist() == EXPECTED
    assert len(optimizations) == 1
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (written.st_mtime_ns, written.st_ino)
    assert path.read_bytes().startswith(b"nirc object 1\n")
    assert path.suffix == ".o"


def test_each_kind_of_raster_has_its_object(folder: Path, optimizations: list[Machine]) -> None:
    assert run().tolist() == run(X.astype(float)).tolist() == EXPECTED
    assert len(optimizations) == len(list(folder.iterdir())) == 2


def test_weights_and_first_states_are_no_part_of_an_object(
    folder: Path, optimizations: list[Machine], tmp_path: Path
) -> None:
    lif = "tau = dense<0.5> : tensor<f64>, r = dense<2.0> : tensor<f64>, v_leak = dense<0.0> : tensor<f64>, "
    lif += "v_threshold = dense<1.0> : tensor<f64>, v_reset = dense<0.0> : tensor<f64>"
    row, x = "!nir.signal<2>", np.ones((20, 2))
    results = list[Array]()
    for weight in ([[0.1, 0.6], [0.7, 0.2]], [[0.9, 1.6], [-0.7, 0.2]]):
        path = tmp_path / "model.mlir"
        path.write_text(
            f'nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]}} {{\n^bb0(%x: {row}):\n'
            f'%w = nir.linear "w"(%x) {{weight = dense<{weight}> : tensor<2x2xf64>}} : ({row}) -> {row}\n'
            f'%n = nir.lif "n"(%w) {{{lif}}} : ({row}) -> {row}\nnir.yield %n : {row}\n}}\n'
        )
        for start in ("0", "v_leak"):
            program = nirc.compile(path, "cpu", dt=0.1, scheme=f"nir-euler,v_init={start}")
            results.append(program.run(x))
    assert len(optimizations) == len(list(folder.iterdir())) == 1
    assert results[0].tolist() == results[1].tolist() != results[2].tolist()


STEP = """
snn.network @main attributes {{inputs = ["x"], outputs = ["y"], states = []}} {{
^bb0(%x: tensor<2x{kind}>):
%y = snn.fire %x {{threshold = dense<{threshold}> : tensor<{kind}>, compare = ">"}} : (tensor<2x{kind}>) -> tensor<2xi1>
snn.yield %y : tensor<2xi1>
}}
"""


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_numbers_that_differ_in_the_last_bit_have_objects_of_their_own(folder: Path, tmp_path: Path, kind: str) -> None:
    dtype = np.float32 if kind == "f32" else np.float64
    low = dtype(0.1)
    high = np.nextafter(low, dtype(1))
    for threshold, expected in ((low, [[False, True]]), (high, [[False, False]])):
        path = tmp_path / "step.mlir"
        path.write_text(STEP.format(kind=kind, threshold=format(float(threshold), ".17e")))
        program = nirc.driver.Program(nirc.load(path).module, "cpu")
        assert program.run(np.array([[low, high]])).tolist() == expected
    assert len(list(folder.iterdir())) == 2


def spoiled(content: bytes) -> dict[str, bytes]:
    """What may become of a file."""
    return {
        "empty": b"",
        "a byte": content[:1],
        "only the mark": content[:14],
        "no whole checksum": content[:40],
        "half": content[: len(content) // 2],
        "a byte short": content[:-1],
        "a byte more": content + b"\0",
        "a bit flipped": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        "a flipped checksum": content[:20] + bytes([content[20] ^ 1]) + content[21:],
        "of another version": content.replace(b"nirc object 1", b"nirc object 0"),
        "no object of nirc": b"\x7fELF" + content,
    }


@pytest.mark.parametrize("fault", spoiled(b"0" * 200))
def test_a_spoiled_file_is_replaced(folder: Path, optimizations: list[Machine], fault: str) -> None:
    run()
    path = only_file(folder)
    good = path.read_bytes()
    path.write_bytes(spoiled(good)[fault])
    assert path.read_bytes() != good
    assert run().tolist() == EXPECTED
    assert len(optimizations) == 2
    assert only_file(folder).read_bytes() == good
    assert run().tolist() == EXPECTED
    assert len(optimizations) == 2


def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("place", ["a file", "below a file", "a folder that nobody may write to", "no folder at all"])
def test_a_folder_that_cannot_be_written_to_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizations: list[Machine], place: str
) -> None:
    path = {"a file": a_file(tmp_path), "below a file": a_file(tmp_path) / "objects"}.get(place, tmp_path / "closed")
    if place == "a folder that nobody may write to":
        path.mkdir(mode=0o500)
        if os.access(path, os.W_OK):
            pytest.skip("this user may write to any folder")
    if place == "no folder at all":
        path = Path("/proc/nirc/objects")
    monkeypatch.setenv("NIRC_CACHE", str(path))
    assert run().tolist() == run().tolist() == EXPECTED
    assert len(optimizations) == 2


def test_a_folder_in_the_place_of_an_object_is_no_fault(folder: Path, optimizations: list[Machine]) -> None:
    run()
    path = only_file(folder)
    path.unlink()
    path.mkdir()
    assert run().tolist() == EXPECTED
    assert len(optimizations) == 2
    assert only_file(folder) == path


def test_nothing_is_left_where_an_object_cannot_be_put(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    assert run().tolist() == EXPECTED
    assert list(folder.iterdir()) == []


def test_no_folder_no_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, optimizations: list[Machine]
) -> None:
    before = sorted(cache.iterdir())
    monkeypatch.setenv("NIRC_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    assert run().tolist() == run().tolist() == EXPECTED
    assert len(optimizations) == 2
    assert list(tmp_path.iterdir()) == []
    assert sorted(cache.iterdir()) == before


def test_where_objects_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NIRC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "nirc"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "nirc"
    monkeypatch.setenv("NIRC_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_another_machine_or_version_has_objects_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, optimizations: list[Machine]
) -> None:
    run()
    host = Machine.host()

    def of_another(changed: str) -> Callable[[str], str]:
        return lambda name: "9" if name == changed else "1"

    def with_host(machine: Machine) -> Callable[..., Machine]:
        def known(*, widest: bool = False) -> Machine:
            return machine

        return known

    changes: list[tuple[object, str, object]] = [
        (Machine, "host", with_host(Machine(host.triple, "", host.features))),
        (Machine, "host", with_host(Machine(host.triple, host.cpu, ""))),
        (compiler, "version", of_another("nirc")),
        (compiler, "version", of_another("xdsl")),
        (compiler, "version", of_another("llvmlite")),
    ]
    for count, change in enumerate(changes, 2):
        monkeypatch.setattr(*change)
        assert run().tolist() == run().tolist() == EXPECTED
        assert len(optimizations) == len(list(folder.iterdir())) == count


AT_ONCE = """
import sys
import numpy as np
import nirc

x = np.load(sys.argv[2])
print(nirc.compile(sys.argv[1], "cpu").run(x).tolist())
"""


def test_processes_that_write_at_once_leave_a_good_file(
    folder: Path, tmp_path: Path, optimizations: list[Machine]
) -> None:
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-c", AT_ONCE, str(GESTURES), str(tmp_path / "x.npy")]
    for _ in range(2):
        jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        assert [job.communicate()[0] for job in jobs] == [f"{EXPECTED}\n"] * 4
        only_file(folder)
    assert run().tolist() == EXPECTED
    assert not optimizations


# What LLVM sees


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that LLVM is given, in text; nothing comes from the cache."""
    seen = list[str]()
    original = compiler.llvm.parse_assembly

    def spy(text: str) -> object:
        seen.append(text)
        return original(text)

    monkeypatch.setattr(compiler.llvm, "parse_assembly", spy)
    monkeypatch.setenv("NIRC_CACHE", "")
    return seen


def linear(tmp_path: Path, inputs: int, outputs: int) -> Path:
    """A Linear and a LIF in front of which it stands, as IR."""
    weight = np.random.default_rng(1).normal(size=(outputs, inputs)).astype(np.float32)
    kinds = f"tensor<{inputs}xf32>", f"tensor<{outputs}xf32>", f"tensor<{outputs}xi1>"
    path = tmp_path / "step.mlir"
    path.write_text(
        'snn.network @main attributes {inputs = ["x"], outputs = ["y"], '
        'states = [#snn.state<"n", "v", dense<0.0> : tensor<f32>>]} {\n'
        f"^bb0(%x: {kinds[0]}, %v: {kinds[1]}):\n"
        f'%w = snn.linear %x {{weight = dense<"0x{weight.tobytes().hex().upper()}"> : '
        f'tensor<{outputs}x{inputs}xf32>, node = "w"}} : ({kinds[0]}) -> {kinds[1]}\n'
        "%f = snn.filter %w, %v {decay = dense<0.9> : tensor<f32>, gain = dense<1.0> : tensor<f32>}"
        f" : ({kinds[1]}, {kinds[1]}) -> {kinds[1]}\n"
        f'%z = snn.fire %f {{threshold = dense<3.0> : tensor<f32>, compare = ">"}} : ({kinds[1]}) -> {kinds[2]}\n'
        '%r = snn.reset %f, %z {kind = "value", amount = dense<0.0> : tensor<f32>}'
        f" : ({kinds[1]}, {kinds[2]}) -> {kinds[1]}\n"
        f"snn.yield %z, %r : {kinds[2]}, {kinds[1]}\n}}\n"
    )
    return path


def test_weights_are_not_in_the_module(tmp_path: Path, texts: list[str]) -> None:
    sizes = list[int]()
    for inputs, outputs in ((512, 256), (2048, 512)):
        program = nirc.driver.Program(nirc.load(linear(tmp_path, inputs, outputs)).module, "cpu")
        program.run(np.ones((1, inputs), np.uint8))
        sizes.append(max(map(len, texts)))
        texts.clear()
    assert 1000 < sizes[0] < 20_000
    assert abs(sizes[1] - sizes[0]) < 100


def test_the_module_is_strict_about_rounding(tmp_path: Path, texts: list[str]) -> None:
    """No flag that lets LLVM reorder, contract or assume; no fused multiply-add."""
    for path, x in ((linear(tmp_path, 100, 70), np.ones((2, 100))), (GESTURES, X)):
        program = nirc.load(path) if path.suffix == ".mlir" else nirc.compile(path, "cpu")
        nirc.driver.Program(program.module, "cpu").run(x)
    given = "\n".join(texts)
    assert "fmul" in given
    assert "fadd" in given
    assert re.findall(r"\b(?:fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b|llvm\.fm\w+", given) == []


X86 = compiler.Machine.host().triple.startswith("x86_64")


def lowered(path: Path) -> nirc.driver.Program:
    """A step at level llvm."""
    program = nirc.driver.Program(nirc.load(path).module, "cpu")
    program.lower()
    return program


@pytest.mark.skipif(not X86, reason="looks at the assembly of x86")
def test_the_hot_loop_adds_vectors(tmp_path: Path) -> None:
    machine = Machine.host()
    if "+avx2" not in machine.features:
        pytest.skip("a CPU without AVX2")
    module, target = compiler.optimized(lowered(linear(tmp_path, 784, 1024)).module, machine)
    assembly = target.emit_assembly(module)
    assert len(re.findall(r"\bvaddps\s.*%[yz]mm", assembly)) >= 4
    assert re.findall(r"\bvfn?m(?:add|sub)\w+", assembly) == []
    assert re.findall(r"\b(?:contract|reassoc|nnan)\b|llvm\.fm\w+", str(module)) == []


def test_an_object_is_linked_by_its_name(tmp_path: Path) -> None:
    content = compiler.object_file(lowered(linear(tmp_path, 4, 3)).module)
    assert load(content, "main").address != 0
