"""`--target nir`: written models are read by the `nir` package, run as the originals do, and harm nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

from nirc import compile, load
from nirc.dialects.dense import Array

nir: Any = pytest.importorskip("nir")

Nirc = Callable[..., Any]

FOLD = "nir-infer-shapes,nir-inline-graphs,nir-fold-linear"
SIGNATURE = b"\x89HDF\r\n\x1a\n"

FACTORS = np.array([2.0, 4.0], np.float32)
A = np.array([[1, 0.5], [-0.25, 1], [2, 0]], np.float32)
B = np.array([[0.5, 1, 0], [0, -2, 1]], np.float32)
BIAS = np.array([0.25, -0.5], np.float32)
"""Halves and quarters: products and sums are exact, so that folding changes no bit of a run."""


def lif(size: int = 2, tau: float = 4.0) -> Any:
    """At dt = 1 (every tau counts steps) v keeps 3/4 and an input adds r / 4 = 1/4."""
    ones = np.ones(size, np.float32)
    return nir.LIF(tau=tau * ones, r=ones, v_leak=0 * ones, v_threshold=0.5 * ones)


def chain(nodes: dict[str, Any], first: int = 2, last: int = 2, **more: Any) -> Any:
    """Input, the nodes in order, Output."""
    every = {"input": nir.Input(np.array([first])), **nodes, "output": nir.Output(np.array([last]))}
    return nir.NIRGraph(every, list(pairwise(every)), **more)


def linear_chain() -> Any:
    """Scale, Linear, Affine: B (A diag(2, 4) x) + b."""
    return chain({"scale": nir.Scale(FACTORS), "a": nir.Linear(A), "b": nir.Affine(B, BIAS), "lif": lif()})


def nested() -> Any:
    inner = chain({"scale": nir.Scale(FACTORS), "lif": lif()})
    return chain({"first": inner, "a": nir.Linear(A), "b": nir.Affine(B, BIAS), "second": lif()})


def convolution() -> Any:
    weight = np.arange(2 * 2 * 3 * 3, dtype=np.float32).reshape(2, 2, 3, 3) / 8
    nodes = {
        "input": nir.Input(np.array([2, 6, 6])),
        "conv": nir.Conv2d((6, 6), weight, (2, 1), "valid", 1, 1, np.array([1, -1], np.float32)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([1, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 1, 2])}, 0, -1),
        "output": nir.Output(np.array([4])),
    }
    return nir.NIRGraph(nodes, list(pairwise(nodes)))


def neurons() -> Any:
    ones = np.ones(2)
    return chain(
        {
            "i": nir.I(ones),
            "if": nir.IF(ones, ones),
            "li": nir.LI(3 * ones, ones, 0 * ones),
            "cuba": nir.CubaLIF(4 * ones, 2 * ones, ones, 0 * ones, ones, w_in=2 * ones),
            "cubali": nir.CubaLI(4 * ones, 2 * ones, ones, 0 * ones, w_in=np.array(0.5)),
            "delay": nir.Delay(3 * ones),
            "threshold": nir.Threshold(0.5 * ones),
        }
    )


def with_metadata() -> Any:
    graph = linear_chain()
    graph.metadata = {"writer": "a test", "dt": 1.0}
    graph.nodes["lif"].metadata = {"note": "hello", "numbers": np.array([1, 2])}
    return graph


GRAPHS: dict[str, Callable[[], Any]] = {
    "linear": linear_chain,
    "nested": nested,
    "convolution": convolution,
    "neurons": neurons,
    "metadata": with_metadata,
}


def save(path: Path, graph: Any) -> Path:
    nir.write(path, graph)
    return path


def raster(path: Path, *shape: int) -> Path:
    """Events of half the channels in each of 60 steps, in three samples."""
    np.save(path, np.random.default_rng(3).random((60, 3, *shape)) < 0.5)
    return path


def fields(graph: Any) -> dict[str, tuple[str, dict[str, tuple[Any, str]]]]:
    """Types and arrays by node; those of a nested graph stand for it."""
    return {
        name: (
            type(item).__name__,
            {key: (np.asarray(value).tolist(), str(np.asarray(value).dtype)) for key, value in plain(item).items()},
        )
        for name, item in graph.nodes.items()
    }


def edges(graph: Any) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = graph.edges
    return sorted((str(source), str(target)) for source, target in pairs)


def version(path: Path) -> str:
    with h5py.File(path, "r") as file:
        return file["version"][()].decode()


def plain(item: Any) -> dict[str, Any]:
    """A node's own fields."""
    if hasattr(item, "nodes"):
        return {"nodes": str(fields(item)), "edges": edges(item)}
    held = item.to_dict()
    return {key: value for key, value in held.items() if key not in ("type", "metadata", "input_type", "output_type")}


def process(*args: object, cwd: Path, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """`nirc ARGS` in a process of its own."""
    command = [sys.executable, "-m", "nirc", *map(str, args)]
    return subprocess.run(command, cwd=cwd, timeout=120, check=False, stdout=stdout, stderr=subprocess.PIPE)


# The file.


@pytest.mark.parametrize("name", GRAPHS)
def test_the_nir_package_reads_the_file(nirc: Nirc, tmp_path: Path, name: str) -> None:
    graph = GRAPHS[name]()
    save(tmp_path / "model.nir", graph)
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir")
    assert (result.status, result.out) == (0, "")
    read, original = nir.read(tmp_path / "out.nir"), nir.read(tmp_path / "model.nir")
    assert fields(read) == fields(original)
    assert edges(read) == edges(graph)
    assert version(tmp_path / "out.nir") == version(tmp_path / "model.nir")


def test_metadata_is_kept(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", with_metadata())
    nirc("model.nir", "--target", "nir", "-o", "out.nir")
    read = nir.read(tmp_path / "out.nir")
    assert read.metadata == {"writer": "a test", "dt": 1.0}
    assert read.nodes["lif"].metadata["note"] == "hello"
    assert read.nodes["lif"].metadata["numbers"].tolist() == [1, 2]


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_bytes_by_every_route(nirc: Nirc, tmp_path: Path, name: str) -> None:
    """From the file, from the object, twice, by way of printed IR, and from what was written."""
    path = save(tmp_path / "model.nir", GRAPHS[name]())
    nirc(path, "--target", "nir", "-o", "out.nir")
    written = (tmp_path / "out.nir").read_bytes()
    (tmp_path / "model.mlir").write_text(nirc(path, "--emit", "nir").out)
    for number, model in enumerate([path, "model.mlir", "out.nir"]):
        assert nirc(model, "--target", "nir", "-o", f"{number}.nir").status == 0
        assert (tmp_path / f"{number}.nir").read_bytes() == written
    graph = GRAPHS[name]()
    assert compile(graph, "nir").emit() == written
    assert compile(load(graph), "nir").emit() == written
    assert compile(path, "nir").emit() == written
    compile(graph, "nir").save(tmp_path / "saved.nir")
    assert (tmp_path / "saved.nir").read_bytes() == written


def test_an_object_stays_as_it_was() -> None:
    graph = nested()
    before = fields(graph)
    compile(graph, "nir").emit()
    assert fields(graph) == before
    assert sorted(graph.nodes) == ["a", "b", "first", "input", "output", "second"]


def test_an_object_with_faults_names_them_all() -> None:
    graph = linear_chain()
    graph.nodes["lif"].tau = np.array([4.0, 0.0])
    graph.nodes["b"].bias = np.array([np.nan, 1.0])
    graph.edges.append(("lif", "nowhere"))
    with pytest.raises(DiagnosticException) as raised:
        load(graph)
    text = str(raised.value)
    assert "node 'lif' (LIF), tau: 0 at index 1, must be > 0" in text
    assert "node 'b' (Affine), bias: nan at index 0" in text
    assert "edge 'lif' -> 'nowhere': no node 'nowhere'" in text
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize("name", ["linear", "nested"])
def test_the_written_model_runs_like_the_original(nirc: Nirc, tmp_path: Path, name: str) -> None:
    save(tmp_path / "model.nir", GRAPHS[name]())
    raster(tmp_path / "in.npy", 2)
    nirc("model.nir", "--target", "nir", "-o", "out.nir")
    for model in ("model", "out"):
        assert nirc("run", f"{model}.nir", "--input", "in.npy", "-o", f"{model}.npy").status == 0
    assert np.load("model.npy").any()
    assert np.array_equal(np.load("model.npy"), np.load("out.npy"))


# Standard output.


def test_stdout_is_the_file(tmp_path: Path) -> None:
    save(tmp_path / "model.nir", nested())
    assert process("model.nir", "--target", "nir", "-o", "out.nir", cwd=tmp_path).returncode == 0
    for args in (["-o", "-"], []):
        result = process("model.nir", "--target", "nir", *args, cwd=tmp_path)
        assert result.returncode == 0
        assert result.stdout.startswith(SIGNATURE)
        assert result.stdout == (tmp_path / "out.nir").read_bytes()
        (tmp_path / "piped.nir").write_bytes(result.stdout)
        assert set(nir.read(tmp_path / "piped.nir").nodes) == {"input", "first", "a", "b", "second", "output"}


def test_what_is_said_does_not_stand_on_stdout(tmp_path: Path) -> None:
    """Assumptions, timings and IR after passes go to stderr."""
    save(tmp_path / "model.nir", nir.NIRGraph({"lif": lif(), "last": lif()}, [("lif", "last")], type_check=False))
    process("model.nir", "--target", "nir", "-o", "out.nir", cwd=tmp_path)
    result = process("model.nir", "--target", "nir", "--timing", "--print-ir-after-all", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout == (tmp_path / "out.nir").read_bytes()
    assert b"an Input 'input_lif' is inferred there" in result.stderr
    assert b"IR Dump After nir-infer-shapes" in result.stderr


def test_a_terminal_gets_no_binary(tmp_path: Path) -> None:
    save(tmp_path / "model.nir", linear_chain())
    master, slave = os.openpty()
    try:
        result = process("model.nir", "--target", "nir", cwd=tmp_path, stdout=slave)
    finally:
        os.close(slave)
        os.close(master)
    assert result.returncode == 2
    assert b"what --target nir writes is binary; give -o OUT" in result.stderr


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """No traceback where the pipe is closed early."""
    weight = np.ones((300, 300), np.float32)
    save(tmp_path / "model.nir", chain({"fc": nir.Linear(weight)}, 300, 300))
    command = [sys.executable, "-m", "nirc", "model.nir", "--target", "nir"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        err = running.stderr.read()
    assert b"Traceback" not in err
    assert running.returncode not in (0, 70)


def test_faults_leave_stdout_empty(tmp_path: Path) -> None:
    (tmp_path / "model.nir").write_bytes(SIGNATURE)
    result = process("model.nir", "--target", "nir", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"model.nir: the HDF5 file is damaged or cut off")


# Pipelines.


def test_an_optimized_file(nirc: Nirc, tmp_path: Path) -> None:
    """B (A diag(s) x) + b is one Affine of the weight B A diag(s), named after the last of the nodes."""
    save(tmp_path / "model.nir", linear_chain())
    assert nirc("model.nir", "--pass-pipeline", FOLD, "--target", "nir", "-o", "small.nir").status == 0
    read = nir.read(tmp_path / "small.nir")
    assert {name: type(item).__name__ for name, item in read.nodes.items()} == {
        "input": "Input",
        "b": "Affine",
        "lif": "LIF",
        "output": "Output",
    }
    assert edges(read) == [("b", "lif"), ("input", "b"), ("lif", "output")]
    assert np.array_equal(read.nodes["b"].weight, B @ A @ np.diag(FACTORS))
    assert np.array_equal(read.nodes["b"].bias, BIAS)
    assert read.nodes["b"].weight.dtype == np.float32


@pytest.mark.parametrize("name", ["linear", "nested", "metadata"])
def test_an_optimized_file_runs_like_the_original(nirc: Nirc, tmp_path: Path, name: str) -> None:
    save(tmp_path / "model.nir", GRAPHS[name]())
    raster(tmp_path / "in.npy", 2)
    assert nirc("model.nir", "--pass-pipeline", FOLD, "--target", "nir", "-o", "small.nir").status == 0
    assert len(nir.read(tmp_path / "small.nir").nodes) == {"linear": 4, "nested": 6, "metadata": 4}[name]
    for model in ("model", "small"):
        assert nirc("run", f"{model}.nir", "--input", "in.npy", "-o", f"{model}.npy").status == 0
    out = np.load("model.npy")
    assert 0 < out.sum() < out.size
    assert np.array_equal(out, np.load("small.npy"))


def test_nested_graphs_are_inlined(nirc: Nirc, tmp_path: Path) -> None:
    """Nodes bear their full names, and the `nir` package reads names with periods."""
    save(tmp_path / "model.nir", nested())
    nirc("model.nir", "--pass-pipeline", "nir-infer-shapes,nir-inline-graphs", "--target", "nir", "-o", "flat.nir")
    read = nir.read(tmp_path / "flat.nir")
    assert {name: type(item).__name__ for name, item in read.nodes.items()} == {
        "input": "Input",
        "first.scale": "Scale",
        "first.lif": "LIF",
        "a": "Linear",
        "b": "Affine",
        "second": "LIF",
        "output": "Output",
    }
    assert edges(read) == sorted(pairwise(["input", "first.scale", "first.lif", "a", "b", "second", "output"]))


def test_a_pipeline_without_a_target_prints_ir(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", linear_chain())
    result = nirc("model.nir", "--pass-pipeline", FOLD)
    assert result.status == 0
    assert result.out.startswith("builtin.module")
    assert result.out.count("nir.affine") == 1
    assert "nir.scale" not in result.out


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ["--pass-pipeline", "nir-infer-shapes,nir-inline-graphs,convert-nir-to-snn"],
            "model.nir: the module is at level snn, the target nir is written from nir",
        ),
        (["--emit", "snn"], "model.nir: the way to nir has no level 'snn'; it has nir"),
        (["--emit", "xylo"], "model.nir: the way to nir has no level 'xylo'; it has nir"),
        (["--pass-pipeline", "nir-fold-everything"], "model.nir: --pass-pipeline: "),
        (["--pass-pipeline", "nir-infer-shapes{"], "model.nir: --pass-pipeline: "),
        (["--pass-pipeline", FOLD, "--dt", "1"], "dt cannot be chosen beside --pass-pipeline, whose passes have their"),
        (["--emit", "nonsense"], "model.nir: the way to nir has no level 'nonsense'; it has nir"),
    ],
)
def test_a_wrong_level_or_pipeline_is_refused(nirc: Nirc, tmp_path: Path, args: list[str], text: str) -> None:
    save(tmp_path / "model.nir", linear_chain())
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir", *args)
    assert result.status == 1
    assert text in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "out.nir").exists()


def test_a_chip_cannot_be_written_as_nir(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", linear_chain())
    (tmp_path / "snn.mlir").write_text(nirc("model.nir", "--emit", "snn").out)
    result = nirc("snn.mlir", "--target", "nir", "-o", "out.nir")
    assert result.status == 1
    assert result.lines == ["snn.mlir: the model is at level snn, which does not lead to nir"]


@pytest.mark.parametrize(
    "args",
    [
        ["--dt", "1e-3"],
        ["--dt", "soon"],
        ["--scheme", "norse"],
        ["--scheme", "nonsense"],
        ["--reset", "subtract"],
        ["--precision", "f64"],
        ["--chip", "audio2"],
        ["--quantize", "layer"],
        ["--template", "samna.json"],
    ],
)
def test_options_that_the_file_cannot_hold_are_refused(nirc: Nirc, tmp_path: Path, args: list[str]) -> None:
    """A .nir file has neither step nor scheme: a flag that has no effect is no flag to take in silence."""
    save(tmp_path / "model.nir", linear_chain())
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir", *args)
    assert result.status == 1
    name = args[0][2:]
    assert result.lines == [f"model.nir: {name} cannot be chosen on the way from nir to nir; what can: nothing"]
    assert not (tmp_path / "out.nir").exists()


def test_shapes_that_a_file_needs_are_asked_for(nirc: Nirc, tmp_path: Path) -> None:
    """A pipeline that infers none: what the format cannot say is listed."""
    save(tmp_path / "model.nir", nir.NIRGraph({"lif": lif(), "last": lif()}, [("lif", "last")], type_check=False))
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir", "--pass-pipeline", "nir-drop-dead-nodes")
    assert result.status == 1
    assert result.lines == [
        "model.nir: node 'input_lif' (Input): its shape is not known; run nir-infer-shapes",
        "model.nir: node 'output_last' (Output): its shape is not known; run nir-infer-shapes",
    ]


# What is printed.


def test_emit_nir_prints_the_graphs(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", nested())
    result = nirc("model.nir", "--emit", "nir")
    assert result.status == 0
    assert result.out.startswith("builtin.module")
    assert result.out.count("nir.graph @") == 2
    assert result.out.count("nir.instance") == 1
    assert nirc("model.nir", "--target", "nir", "--emit", "nir").out == result.out
    flat = nirc("model.nir", "--pass-pipeline", "nir-infer-shapes,nir-inline-graphs").out
    assert flat.count("nir.graph @") == 1
    assert "nir.instance" not in flat


# Fixes and strictness.


def misnamed() -> Any:
    """The nested graph's edges name `lif`, its node is called `cell`, as in the files of the NIR paper."""
    inner = chain({"lif": lif()})
    inner.nodes["cell"] = inner.nodes.pop("lif")
    nodes = {"input": nir.Input(np.array([2])), "sub": inner, "output": nir.Output(np.array([2]))}
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


@pytest.mark.parametrize("fix", [["edge-names"], ["all"], ["all", "edge-names"]])
def test_a_fix_writes_a_sound_file(nirc: Nirc, tmp_path: Path, fix: list[str]) -> None:
    save(tmp_path / "model.nir", misnamed())
    flags = [part for name in fix for part in ("--fix", name)]
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir", *flags)
    assert result.status == 0
    assert "fix: edges in 'sub' name 'lif', which is no node; it is taken for 'cell'" in result.err
    inner = nir.read(tmp_path / "out.nir").nodes["sub"]
    assert set(inner.nodes) == {"input", "cell", "output"}
    assert edges(inner) == [("cell", "output"), ("input", "cell")]
    again = nirc("check", "out.nir")
    assert again.status == 0
    assert "fix:" not in again.out
    graph = misnamed()
    assert compile(graph, "nir", fixes=fix).emit() == (tmp_path / "out.nir").read_bytes()


def test_without_the_fix_it_is_named(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", misnamed())
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir")
    assert result.status == 1
    hint = "no node 'lif'; did you mean 'cell', which no edge names? --fix edge-names takes it"
    assert sorted(result.lines) == [
        f"model.nir: edge 'input' -> 'lif' in 'sub': {hint}",
        f"model.nir: edge 'lif' -> 'output' in 'sub': {hint}",
    ]
    assert not (tmp_path / "out.nir").exists()


def test_an_unknown_fix(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", linear_chain())
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir", "--fix", "everything", "--fix", "anything")
    assert result.status == 1
    assert result.lines == [
        "model.nir: unknown fix anything, everything; known: edge-names, hwc-flatten, "
        "recurrent-input, spyx-gains, rockpool-gains, norse-tau, all"
    ]


def test_strict_names_what_was_chosen(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", nir.NIRGraph({"lif": lif(), "last": lif()}, [("lif", "last")], type_check=False))
    assert nirc("model.nir", "--target", "nir", "-o", "out.nir").status == 0
    assert set(nir.read(tmp_path / "out.nir").nodes) == {"input_lif", "lif", "last", "output_last"}
    result = nirc("model.nir", "--target", "nir", "-o", "strict.nir", "--strict")
    assert result.status == 1
    assert result.lines == [
        "model.nir: under --strict this must be said: Output: no edge leaves 'last'; "
        "an Output 'output_last' is inferred there; --target nir writes a file with it",
        "model.nir: under --strict this must be said: Input: no edge leads to 'lif'; "
        "an Input 'input_lif' is inferred there; --target nir writes a file with it",
    ]
    assert not (tmp_path / "strict.nir").exists()
    assert nirc("out.nir", "--target", "nir", "-o", "strict.nir", "--strict").status == 0
    assert (tmp_path / "strict.nir").read_bytes() == (tmp_path / "out.nir").read_bytes()


def test_strict_has_nothing_to_say_of_a_whole_file(nirc: Nirc, tmp_path: Path) -> None:
    """No step is chosen on the way to nir."""
    save(tmp_path / "model.nir", nested())
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir", "--strict")
    assert (result.status, result.err) == (0, "")


# Files that stand there already.


@pytest.mark.parametrize("output", ["model.nir", "./model.nir", "link.nir", "hard.nir", "sub/../model.nir"])
@pytest.mark.parametrize("more", [[], ["--pass-pipeline", FOLD]])
def test_the_input_is_not_overwritten(nirc: Nirc, tmp_path: Path, output: str, more: list[str]) -> None:
    path = save(tmp_path / "model.nir", linear_chain())
    before = path.read_bytes(), path.stat().st_mtime_ns
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.nir").symlink_to(path)
    (tmp_path / "hard.nir").hardlink_to(path)
    result = nirc("model.nir", "--target", "nir", "-o", output, *more)
    assert result.status == 1
    assert result.lines == [f"{output}: is an input of this command; give another name for the output"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_fault_leaves_the_old_output(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", misnamed())
    (tmp_path / "out.nir").write_bytes(b"old")
    assert nirc("model.nir", "--target", "nir", "-o", "out.nir").status == 1
    assert (tmp_path / "out.nir").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.nir", "out.nir"]
    assert nirc("model.nir", "--target", "nir", "-o", "out.nir", "--fix", "all").status == 0
    assert (tmp_path / "out.nir").read_bytes().startswith(SIGNATURE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.nir", "out.nir"]


def test_a_missing_folder_and_a_fault_of_the_model_come_together(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "model.nir", misnamed())
    result = nirc("model.nir", "--target", "nir", "-o", "nowhere/out.nir")
    assert result.status == 1
    assert "nowhere/out.nir: cannot be written: the folder nowhere does not exist" in result.err
    assert "no node 'lif'" in result.err


# Exit statuses.


@pytest.mark.parametrize(
    ("args", "status", "text"),
    [
        (["model.nir"], 2, "give --target, --emit or --pass-pipeline"),
        (["--target", "nir"], 2, "give a MODEL, a .nir file"),
        (["model.nir", "--target", "nri"], 2, "'nri' is not one of"),
        (["nothing.nir", "--target", "nir", "-o", "out.nir"], 1, "nothing.nir: cannot be read: No such file"),
        (["text.nir", "--target", "nir", "-o", "out.nir"], 1, "text.nir: not an HDF5 file"),
        (["text.mlir", "--target", "nir", "-o", "out.nir"], 1, "text.mlir: not printed IR of nirc"),
        ([".", "--target", "nir", "-o", "out.nir"], 1, ".: cannot be read: Is a directory"),
        (["run", "model.nir", "--target", "nir", "--input", "x.npy", "-o", "y.npy"], 2, "'nir' is not"),
        (["check", "model.nir", "--target", "nir"], 2, "'nir' is not"),
    ],
)
def test_exit_statuses(nirc: Nirc, tmp_path: Path, args: list[str], status: int, text: str) -> None:
    save(tmp_path / "model.nir", linear_chain())
    (tmp_path / "text.nir").write_text("hello")
    (tmp_path / "text.mlir").write_text("hello")
    result = nirc(*args)
    assert result.status == status
    assert text in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "out.nir").exists()


def test_every_fault_of_a_file_at_once(nirc: Nirc, tmp_path: Path) -> None:
    """Of values, of shapes, of edges, in the outer graph and within."""
    path = save(tmp_path / "model.nir", nested())
    with h5py.File(path, "r+") as file:
        nodes = file["node/nodes"]
        nodes["second/tau"][0] = -1.0
        nodes["first/nodes/lif/r"][1] = np.inf
        del nodes["b/weight"]
        nodes["b"].create_dataset("weight", data=np.ones((2, 5), np.float32))
        nodes["first/nodes/scale/type"][()] = "Scales"
    result = nirc("model.nir", "--target", "nir", "-o", "out.nir")
    assert result.status == 1
    assert len(result.lines) == 4
    for text in (
        "model.nir: node 'second' (LIF), tau: -1 at index 0, must be > 0",
        "model.nir: node 'first.lif' (LIF), r: inf at index 1",
        "model.nir: node 'first.scale': unknown type 'Scales'; did you mean Scale?",
        "model.nir: node 'b' (Affine)",
    ):
        assert text in result.err


# End to end.


SUB, CELL, ENTRY, EXIT = "block 1.é", "lif\n'q':\t", "in put", "out:put.v"


def odd() -> Any:
    """Twice the input into an IF of threshold 1.5: each event is a spike. Names as no one should choose them."""
    ones = np.ones(2)
    port, out = nir.Input(np.array([2])), nir.Output(np.array([2]))
    inner = nir.NIRGraph(
        {"%0": port, '"s"': nir.Scale(2 * ones), CELL: nir.IF(ones, 1.5 * ones), "end": out},
        [("%0", '"s"'), ('"s"', CELL), (CELL, "end")],
    )
    return nir.NIRGraph({ENTRY: port, SUB: inner, EXIT: out}, [(ENTRY, SUB), (SUB, EXIT)])


def test_a_nested_model_with_odd_names(nirc: Nirc, tmp_path: Path) -> None:
    path = save(tmp_path / "model.nir", odd())
    checked = nirc("check", path)
    assert checked.status == 0
    assert repr(f"{SUB}.{CELL}") in checked.out
    assert "\t" not in checked.out
    x = np.random.default_rng(0).random((20, 2)) < 0.4
    given: dict[str, Any] = {ENTRY: x}
    np.savez(tmp_path / "in.npz", **given)
    (tmp_path / "model.mlir").write_text(nirc(path, "--emit", "nir").out)
    (tmp_path / "snn.mlir").write_text(nirc(path, "--emit", "snn").out)
    assert nirc(path, "--target", "nir", "-o", "out.nir").status == 0
    assert nirc(path, "--target", "nir", "-o", "flat.nir", "--pass-pipeline", FOLD).status == 0
    read = nir.read(tmp_path / "out.nir")
    assert set(read.nodes) == {ENTRY, SUB, EXIT}
    assert set(read.nodes[SUB].nodes) == {"%0", '"s"', CELL, "end"}
    assert set(nir.read(tmp_path / "flat.nir").nodes) == {ENTRY, f'{SUB}."s"', f"{SUB}.{CELL}", EXIT}
    for model in (path, "model.mlir", "snn.mlir", "out.nir", "flat.nir"):
        record = f"{SUB}.{CELL}:v,spikes"
        result = nirc("run", model, "--input", "in.npz", "-o", "out.npz", "--record", record)
        assert (result.status, result.out) == (0, "")
        with np.load("out.npz") as found:
            assert set(found.files) == {EXIT, f"{SUB}.{CELL}.v", f"{SUB}.{CELL}.spikes"}
            values: Array = found[EXIT]
            assert np.array_equal(values, x)
            assert np.array_equal(found[f"{SUB}.{CELL}.spikes"], x)
            assert not found[f"{SUB}.{CELL}.v"].any()


def test_a_nested_object_from_python() -> None:
    """Compile and run without a file."""
    x = np.random.default_rng(1).random((20, 2)) < 0.4
    program = compile(odd())
    assert program.inputs == {ENTRY: (2,)}
    assert np.array_equal(program.run(x), x)
    assert np.array_equal(program.run({ENTRY: x})[EXIT], x)
