"""Written .nir files: what was read comes back bit for bit, the `nir` package reads it, the bytes are the same."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc import driver
from nirc.dialects.dense import Array
from nirc.frontend.hdf5 import Tree, Value, read_tree
from nirc.frontend.write_nir import write_nir

EXAMPLES = Path(__file__).parents[2] / "examples"

DERIVED = {"input_shape", "input_type", "shape"}
"""Fields that nirc computes or keeps as plain whole numbers: compared by value."""

CORRECTED = {"/nodes/model/input_type: [2 3 4] became [3 4]"}
"""Derived fields that a file states wrongly."""

IGNORED = {"type_check"}
"""Unknown fields, which are told and not kept."""


def written(path: Path, out: Path) -> Path:
    """The file after a round trip through `--target nir`."""
    program = nirc.compile(driver.load(path, fixes=("all",)), "nir")
    program.save(out)
    return out


def differences(before: Value, after: Value | None, where: str = "") -> Iterator[str]:
    """Where two trees differ; what is only in the second is no difference."""
    name = where.rpartition("/")[2]
    if isinstance(before, dict):
        for key, value in before.items():
            if key not in IGNORED:
                yield from differences(value, after.get(key) if isinstance(after, dict) else None, f"{where}/{key}")
    elif isinstance(before, np.ndarray) and name == "edges":
        if not isinstance(after, np.ndarray) or edges(before) != edges(after):
            yield f"{where}: other edges"
    elif isinstance(before, np.ndarray) and isinstance(after, np.ndarray) and name in DERIVED:
        if not np.array_equal(before, after):
            yield f"{where}: {before} became {after}"
    elif isinstance(before, np.ndarray) and isinstance(after, np.ndarray) and before.dtype.kind != "O":
        if (before.dtype, before.shape, before.tobytes()) != (after.dtype, after.shape, after.tobytes()):
            yield f"{where}: {before.dtype} {before.shape} became {after.dtype} {after.shape}"
    elif isinstance(before, np.ndarray):
        if not isinstance(after, np.ndarray) or before.tolist() != after.tolist():
            yield f"{where}: other text"
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


def edges(pairs: Array) -> Counter[tuple[str, str]]:
    """The edges without their order."""
    return Counter((a, b) for a, b in pairs.tolist())


SLOW = {"wide_1500", "nest_300", "chain_2000"}
"""Files on which the reference package takes many seconds."""


def as_nir(path: Path) -> Any:
    """The file as the reference package reads it, or None where it cannot.

    nir 1.0.8 refuses legal files with
    TypeError       fields that it adds later or does not know: Conv2d without input_shape or bias, LIF with type_check
    ValueError      its inference of shapes: an Input's batch axis, kernels that are not square, parameters of one
                    element for many neurons; a metadata key `type_check`
    AssertionError  single numbers beside arrays as a neuron's parameters
    """
    if path.stem in SLOW:
        return None
    package: Any = importlib.import_module("nir")
    try:
        return package.read(str(path))
    except (TypeError, ValueError, AssertionError):
        return None


def arrays(node: Any) -> dict[str, list[Any]]:
    """What a node of the `nir` package holds, as plain values."""
    names = [str(field.name) for field in fields(node) if field.name not in ("input_type", "output_type", "metadata")]
    return {name: [np.asarray(getattr(node, name)).tolist(), np.asarray(getattr(node, name)).dtype] for name in names}


def same_object(before: Any, after: Any) -> bool:
    """Whether two graphs of the `nir` package hold the same nodes, arrays and edges."""
    if not hasattr(before, "nodes"):
        return type(before) is type(after) and arrays(before) == arrays(after)
    names: list[str] = list(before.nodes)
    return (
        set(names) == set(after.nodes)
        and sorted(map(str, before.edges)) == sorted(map(str, after.edges))
        and all(same_object(before.nodes[name], after.nodes[name]) for name in names)
    )


def check_round_trip(path: Path, out: Path) -> bool:
    """Assert that a file survives; returns whether the reference package could read the original."""
    again = written(path, out)
    before, after = read_tree(str(path)), read_tree(str(again))
    if "nodes" in root(before):
        assert set(differences(root(before), root(after))) <= CORRECTED
    assert nirc.compile(driver.load(again), "nir").emit() == again.read_bytes()
    original = as_nir(path)
    if original is None:
        return False
    assert same_object(original, as_nir(again))
    return True


def completed(program: nirc.Program) -> bool:
    """Whether nirc dropped nodes or made ports, so that the graph is another."""
    return any(text.startswith(("node dropped", "Input:", "Output:", "single node")) for text in program.assumptions)


def root(tree: Tree) -> Tree:
    """The outermost graph."""
    found = tree["node"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["gestures", "edges"])
def test_the_examples_survive(name: str, tmp_path: Path) -> None:
    pytest.importorskip("nir")
    assert check_round_trip(EXAMPLES / f"{name}.nir", tmp_path / "out.nir")


def test_every_shared_model_survives(shared: Path, tmp_path: Path) -> None:
    """All 11; of the two subgraph files the edges are mended, so they are compared without them."""
    pytest.importorskip("nir")
    models = sorted((shared / "models").glob("*.nir"))
    assert len(models) == 11
    for path in models:
        if "subgraph" in path.name:
            again = read_tree(str(written(path, tmp_path / path.name)))
            found = list(differences(root(read_tree(str(path))), root(again)))
            assert found == ["/nodes/lif1/edges: other edges"]
            assert as_nir(tmp_path / path.name) is not None
        else:
            check_round_trip(path, tmp_path / path.name)


def test_every_shared_case_survives(shared: Path, tmp_path: Path) -> None:
    """Every graph of cases/peers, cases/exports and the chips that nirc accepts."""
    pytest.importorskip("nir")
    readable = total = 0
    paths = sorted((shared / "cases").glob("[!b]*/**/*.nir"))
    assert len(paths) >= 130
    for path in paths:
        try:
            program = driver.load(path)
        except DiagnosticException:
            continue
        if completed(program):
            continue
        total += 1
        readable += check_round_trip(path, tmp_path / "out.nir")
    print(total, readable)
    assert total >= 120
    assert readable >= 100


def test_every_legal_awkward_file_survives(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("nir")
    total = 0
    for path in sorted((shared / "cases" / "bad_nir").glob("*.nir")):
        try:
            program = driver.load(path)
        except DiagnosticException:
            continue
        if completed(program):
            continue
        total += 1
        if path.stem != "metadata_is_scalar":
            check_round_trip(path, tmp_path / "out.nir")
    assert total >= 25


def test_the_same_module_gives_the_same_bytes() -> None:
    program = nirc.compile(EXAMPLES / "gestures.nir", "nir")
    assert program.emit() == program.emit()


SHARED_GRAPH = """
nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {
^bb0(%x : !nir.signal<2>):
  %a = nir.instance "a" of @inner(%x) : (!nir.signal<2>) -> !nir.signal<2>
  %b = nir.instance "b" of @inner(%a) : (!nir.signal<2>) -> !nir.signal<2>
  nir.yield %b : !nir.signal<2>
}
nir.graph @inner attributes {inputs = ["in"], outputs = ["out"]} {
^bb0(%x : !nir.signal<2>):
  %s = nir.scale "s"(%x) {scale = dense<[2.0, 3.0]> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
  nir.yield %s : !nir.signal<2>
}
"""


def test_a_graph_of_two_instances_is_written_once(parse: Callable[[str], ModuleOp], tmp_path: Path) -> None:
    path = tmp_path / "out.nir"
    path.write_bytes(write_nir(parse(SHARED_GRAPH)))
    nodes = root(read_tree(str(path)))["nodes"]
    assert isinstance(nodes, dict)
    assert nodes["a"] is nodes["b"]
    y = nirc.compile(path).run(np.array([[1.0, 1.0]]))
    assert y.tolist() == [[4.0, 9.0]]


TWICE = """
nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {
^bb0(%x : !nir.signal<2>):
  %s = nir.sum %x, %x : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>
  nir.yield %s : !nir.signal<2>
}
"""

SLASH = """
nir.graph @main attributes {inputs = ["x"], outputs = ["a/b"]} {
^bb0(%x : !nir.signal<*>):
  nir.yield %x : !nir.signal<*>
}
"""


ODD = '{"a/b" = "x", "" = "y", flag = unit, good = "z", in = {"." = dense<1> : tensor<i64>}}'
METADATA = f"""
nir.graph @main attributes {{inputs = ["x"], outputs = ["y"], metadata = {ODD}, port_metadata = {{x = {ODD}}}}} {{
^bb0(%x : !nir.signal<2>):
  %s = nir.scale "s"(%x) {{scale = dense<2.0> : tensor<f64>, metadata = {ODD}}} : (!nir.signal<2>) -> !nir.signal<2>
  nir.yield %s : !nir.signal<2>
}}
"""


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(TWICE, ["two edges lead from 'x' to 'y', NIR knows one"], id="repeated edge"),
        pytest.param(
            SLASH,
            [
                "node 'x' (Input): its shape is not known; run nir-infer-shapes",
                "node 'a/b' (Output): its shape is not known; run nir-infer-shapes",
            ],
            id="no shapes",
        ),
        pytest.param(SLASH.replace("<*>", "<2>"), ["node 'a/b': HDF5 takes no such name"], id="a slash in a name"),
        pytest.param(
            SHARED_GRAPH.replace('"a" of', '"a/b" of').replace('"b" of', '"." of'),
            ["node 'a/b': HDF5 takes no such name", "node '.': HDF5 takes no such name"],
            id="names of nested graphs",
        ),
        pytest.param(
            METADATA,
            [
                f"{where}, metadata {key}"
                for where in ("node 'x' (Input)", "node 's' (Scale)", "the graph")
                for key in (
                    "'a/b': HDF5 takes no such key; rename it, without '/' or NUL",
                    "'': HDF5 takes no such key; rename it, without '/' or NUL",
                    "'flag': a .nir file holds numbers and text, not unit",
                    "'in..': HDF5 takes no such key; rename it, without '/' or NUL",
                )
            ],
            id="metadata",
        ),
    ],
)
def test_what_the_format_cannot_say_is_refused(parse: Callable[[str], ModuleOp], text: str, faults: list[str]) -> None:
    with pytest.raises(DiagnosticException) as caught:
        write_nir(parse(text))
    assert str(caught.value).splitlines() == faults
