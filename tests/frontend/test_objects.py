"""Graphs of the `nir` package as objects: the same module as their file gives, and what is no graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects import nir as dialect
from nirc.dialects.dense import Array, array, as_dense
from nirc.dialects.nir import ASSUMPTIONS, assumptions, graph_of

nir: Any = pytest.importorskip("nir")

ONES, ZEROS = np.ones(2, np.float32), np.zeros(2, np.float32)


def lif(**changes: Any) -> Any:
    return nir.LIF(**{"tau": 4 * ONES, "r": ONES, "v_leak": ZEROS, "v_threshold": 0.5 * ONES} | changes)


def around(node: Any, *, inner: tuple[int, ...] = (2,), outer: tuple[int, ...] = (2,), **more: Any) -> Any:
    """A node `n` between an Input and an Output."""
    nodes = {"input": nir.Input(np.array(inner)), "n": node, "output": nir.Output(np.array(outer))}
    return nir.NIRGraph(nodes, [("input", "n"), ("n", "output")], **more)


def module_text(model: Any) -> str:
    """The module without what was assumed, which speaks of files."""
    module = nirc.load(model).module.clone()
    module.attributes.pop(ASSUMPTIONS, None)
    return str(module)


def text_of_file(graph: Any, path: Path) -> str:
    nir.write(path / "model.nir", graph)
    return module_text(path / "model.nir")


def conv(kind: str, **changes: Any) -> Any:
    axes = 1 if kind == "Conv1d" else 2
    fields = {
        "input_shape": 5 if axes == 1 else (5, 5),
        "weight": np.arange(2 * 3**axes, dtype=np.float32).reshape((2, 1, *(3,) * axes)),
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        "bias": np.array([1, 2], np.float32),
    }
    return getattr(nir, kind)(**{**fields, **changes})


def pool(kind: str) -> Any:
    return getattr(nir, kind)(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))


CUBA = {"tau_syn": 2 * ONES, "tau_mem": 4 * ONES, "r": ONES, "v_leak": ZEROS}

GRAPHS: dict[str, Callable[[], Any]] = {
    "Affine": lambda: around(nir.Affine(np.eye(2), np.array([1.0, 2.0]))),
    "AvgPool2d": lambda: around(pool("AvgPool2d"), inner=(1, 4, 4), outer=(1, 2, 2)),
    "Conv1d": lambda: around(conv("Conv1d"), inner=(1, 5), outer=(2, 3)),
    "Conv2d": lambda: around(conv("Conv2d"), inner=(1, 5, 5), outer=(2, 3, 3)),
    "CubaLI": lambda: around(nir.CubaLI(**CUBA)),
    "CubaLIF": lambda: around(nir.CubaLIF(**CUBA, v_threshold=ONES, w_in=np.array([3.0, 4.0]))),
    "Delay": lambda: around(nir.Delay(np.array([1.0, 2.0]))),
    "Flatten": lambda: around(nir.Flatten(np.array([2, 3]), 0, -1), inner=(2, 3), outer=(6,)),
    "I": lambda: around(nir.I(ONES)),
    "IF": lambda: around(nir.IF(ONES, ONES)),
    "Input": lambda: nir.NIRGraph(
        {
            "a": nir.Input(np.array([2])),
            "b": nir.Input(np.array([2])),
            "n": nir.Scale(ONES),
            "o": nir.Output(np.array([2])),
        },
        [("a", "n"), ("b", "n"), ("n", "o")],
    ),
    "LI": lambda: around(nir.LI(4 * ONES, ONES, ZEROS)),
    "LIF": lambda: around(lif()),
    "Linear": lambda: around(nir.Linear(np.array([[1.0, 2.0], [3.0, 4.0]]))),
    "NIRGraph": lambda: around(around(nir.Scale(2 * ONES))),
    "Output": lambda: nir.NIRGraph(
        {
            "i": nir.Input(np.array([2])),
            "n": nir.Scale(ONES),
            "a": nir.Output(np.array([2])),
            "b": nir.Output(np.array([2])),
        },
        [("i", "n"), ("n", "a"), ("n", "b")],
    ),
    "Scale": lambda: around(nir.Scale(np.array([2.0, 3.0]))),
    "SumPool2d": lambda: around(pool("SumPool2d"), inner=(1, 4, 4), outer=(1, 2, 2)),
    "Threshold": lambda: around(nir.Threshold(np.array([0.25, 0.5]))),
}


def test_every_primitive_of_the_package_is_here() -> None:
    """18 kinds of nodes, and the graph."""
    bases = {"NIRNode"}
    kinds = {name for name in nir.ir.__all__ if isinstance(getattr(nir, name), type)} - bases
    assert kinds == set(GRAPHS)
    assert len(kinds) == 18 + 1


@pytest.mark.parametrize("kind", GRAPHS)
def test_an_object_becomes_the_module_of_its_file(tmp_path: Path, kind: str) -> None:
    graph = GRAPHS[kind]()
    text = module_text(graph)
    assert text == text_of_file(graph, tmp_path)
    assert f'version = "{nir.version}"' in text


@pytest.mark.parametrize("kind", GRAPHS)
def test_an_object_compiles_to_what_its_file_compiles_to(tmp_path: Path, kind: str) -> None:
    graph = GRAPHS[kind]()
    nir.write(tmp_path / "model.nir", graph)
    rng = np.random.default_rng(0)
    results = list[dict[str, Array]]()
    x: dict[str, Array] = {}
    for model in (graph, tmp_path / "model.nir"):
        program = nirc.compile(model, dt=1.0, scheme="nir-euler,if_gain=r*dt")
        x = x or {name: rng.normal(size=(5, *shape)) for name, shape in program.inputs.items()}
        results.append(program.run(x))
    assert results[0].keys() == results[1].keys() != set()
    for name, values in results[0].items():
        assert values.tolist() == results[1][name].tolist()


def test_parameters_arrive(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(2, 2))
    found = graph_of(nirc.load(around(nir.Linear(weight))).module)
    assert found is not None
    (node,) = found.nodes()
    assert isinstance(node, dialect.LinearOp)
    assert array(node.weight).dtype == np.float64
    assert array(node.weight).tolist() == weight.tolist()


def test_the_object_stays_as_it_is() -> None:
    graph = around(lif(metadata={"a": [1, 2]}))
    tau = graph.nodes["n"].tau
    nirc.compile(graph, dt=1.0)
    assert list(graph.nodes) == ["input", "n", "output"]
    assert graph.edges == [("input", "n"), ("n", "output")]
    assert graph.nodes["n"].tau is tau
    assert graph.nodes["n"].metadata == {"a": [1, 2]}


def test_later_changes_of_the_object_do_not_reach_the_module() -> None:
    graph = around(nir.Scale(np.array([2.0, 3.0])))
    program = nirc.load(graph)
    before = program.text()
    graph.nodes["n"].scale[:] = 9
    assert program.text() == before


LISTS: dict[str, Callable[[], Any]] = {
    "one": lambda: nir.NIRGraph.from_list(lif()),
    "several": lambda: nir.NIRGraph.from_list(
        nir.Affine(np.eye(2), ZEROS), lif(), nir.Linear(np.ones((3, 2))), nir.LI(*np.ones((3, 3)))
    ),
    "of one kind": lambda: nir.NIRGraph.from_list([lif(), lif(), lif()]),
    "with ports": lambda: nir.NIRGraph.from_list(nir.Input(np.array([2])), lif(), nir.Output(np.array([2]))),
    "convolution": lambda: nir.NIRGraph.from_list(
        nir.Input(np.array([1, 5, 5])), conv("Conv2d", input_shape=None), nir.Flatten(None, 0, -1)
    ),
    "graph in a list": lambda: nir.NIRGraph.from_list(lif(), nir.NIRGraph.from_list(lif(), nir.Scale(ONES)), lif()),
}


@pytest.mark.parametrize("case", LISTS)
def test_graphs_of_lists(tmp_path: Path, case: str) -> None:
    graph = LISTS[case]()
    assert module_text(graph) == text_of_file(graph, tmp_path)


def nested(levels: int) -> Any:
    """Each level adds the input once more, beside the level below."""
    graph = around(nir.Scale(0.5 * ONES))
    for _ in range(levels - 1):
        nodes = {"input": nir.Input(np.array([2])), "sub": graph, "output": nir.Output(np.array([2]))}
        edges = [("input", "sub"), ("sub", "output"), ("input", "output")]
        graph = nir.NIRGraph(nodes, edges, type_check=False)
    return graph


@pytest.mark.parametrize("levels", [2, 5])
def test_nested_graphs(tmp_path: Path, levels: int) -> None:
    assert module_text(nested(levels)) == text_of_file(nested(levels), tmp_path)


def test_graphs_nested_deep() -> None:
    """Far below what Python's stack would hold, if there were recursion."""
    results = nirc.compile(nested(300), precision="f64").run(np.ones((1, 2)))
    assert results.tolist() == [[299.5, 299.5]]


def test_one_graph_object_at_two_places_is_two_instances(tmp_path: Path) -> None:
    """Its file holds it twice; the results are the same."""
    layer = around(nir.LI(4 * ONES, ONES, ZEROS))
    nodes = {"input": nir.Input(np.array([2])), "a": layer, "b": layer, "output": nir.Output(np.array([2]))}
    graph = nir.NIRGraph(nodes, [("input", "a"), ("a", "b"), ("b", "output")])
    nir.write(tmp_path / "model.nir", graph)
    x = np.random.default_rng(0).normal(size=(8, 2))
    one, other = (nirc.compile(model, dt=1.0, precision="f64").run(x) for model in (graph, tmp_path / "model.nir"))
    a = b = np.zeros(2)
    expected = list[Array]()
    for value in x:
        a = a + (value - a) / 4
        b = b + (a - b) / 4
        expected.append(b)
    np.testing.assert_allclose(one, expected, rtol=1e-12)
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize("kind", ["Affine", "CubaLIF", "Delay", "LIF", "Scale", "Threshold", "Conv1d"])
def test_a_bare_node(tmp_path: Path, kind: str) -> None:
    node = GRAPHS[kind]().nodes["n"]
    if kind == "Conv1d":
        with pytest.raises(DiagnosticException, match="node 'conv1d' \\(Conv1d\\): its shape cannot be found"):
            nirc.load(node)
        return
    text = module_text(node)
    nir.write(tmp_path / "model.nir", node)
    assert text == module_text(tmp_path / "model.nir")
    found = graph_of(nirc.load(node).module)
    assert found is not None
    assert ([name.data for name in found.inputs], [name.data for name in found.outputs]) == (
        [f"input_{kind.lower()}"],
        [f"output_{kind.lower()}"],
    )


def test_a_bare_port_is_refused() -> None:
    with pytest.raises(DiagnosticException, match="must be a NIRGraph or a single node"):
        nirc.load(nir.Input(np.array([2])))


METADATA: dict[str, dict[str, Any]] = {
    "numbers": {"a": 1, "b": 2.5, "c": True, "d": np.float16(0.1)},
    "arrays": {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.array([np.nan, np.inf])},
    "lists": {"a": [1, 2], "b": [1.5, 2], "c": [[1, 2], [3, 4]], "d": (1, 2)},
    "text": {"a": "x", "b": "ü", "c": ""},
    "list of text": {"a": ["x", "yz"]},
    "bytes": {"a": b"x"},
    "array of bytes": {"a": np.array([b"x", b"yz"])},
    "big endian": {"a": np.array([1, 2], ">i4")},
    "nested": {"a": {"b": {"c": 1}, "d": "e"}, "f": {}},
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_are_those_of_the_file(tmp_path: Path, case: str) -> None:
    graph = around(lif(metadata=METADATA[case]), metadata=METADATA[case])
    assert module_text(graph) == text_of_file(graph, tmp_path)


def test_text_in_an_array_without_axes() -> None:
    found = graph_of(nirc.load(around(lif(metadata={"a": np.array("xy")}))).module)
    assert found is not None
    (node,) = found.nodes()
    assert str(node.metadata) == '{a = "xy"}'


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i4", ">i4", "u1", "?"])
def test_numbers_keep_their_type_and_bits(tmp_path: Path, dtype: str) -> None:
    weight = np.array([[0.1, 1], [1, 0]]).astype(dtype)
    graph = around(nir.Linear(weight))
    nir.write(tmp_path / "model.nir", graph)
    native = weight.astype(weight.dtype.newbyteorder("="))
    for model in (tmp_path / "model.nir", graph):
        found = graph_of(nirc.load(model).module)
        assert found is not None
        (node,) = found.nodes()
        stored = as_dense(node.properties["weight"])
        assert stored is not None
        assert array(stored).dtype == native.dtype
        assert array(stored).tobytes() == native.tobytes()


@pytest.mark.parametrize("order", ["F", "strided", "reversed", "broadcast"])
def test_the_order_of_memory_does_not_matter(order: str) -> None:
    base = np.arange(16.0).reshape(4, 4)
    weights = {
        "F": np.asfortranarray(base[:2, :2]),
        "strided": base[::2, 1::2],
        "reversed": base[1::-1, 1::-1],
        "broadcast": np.broadcast_to(np.array([1.0, 2.0]), (2, 2)),
    }
    results = nirc.compile(around(nir.Linear(weights[order])), precision="f64").run(np.eye(2))
    assert results.tolist() == weights[order].T.tolist()


def test_lists_and_numbers_for_arrays() -> None:
    """What nir does not convert itself."""
    node = lif()
    node.tau, node.r = [4.0, 5.0], 2.0
    found = graph_of(nirc.load(around(node)).module)
    assert found is not None
    (op,) = found.nodes()
    assert isinstance(op, dialect.LIFOp)
    assert (array(op.tau).tolist(), array(op.r).tolist()) == ([4, 5], 2)


@dataclass
class Other:
    """A dataclass that is no node."""

    x: int = 1


@pytest.mark.parametrize(
    "model",
    [None, 3, {}, [], np.eye(2), object(), Other(), Other, nir.LIF, nir],
    ids=lambda model: type(model).__name__,
)
def test_what_is_no_model_is_a_type_error(model: Any) -> None:
    with pytest.raises(TypeError, match="a path to a model or an object of the nir package is expected, not"):
        nirc.load(model)
    with pytest.raises(TypeError):
        nirc.compile(model)


def changed(**changes: Any) -> Any:
    """A graph with the attributes or the nodes of these names replaced."""
    graph = around(lif())
    for name, value in changes.items():
        if name in graph.nodes:
            graph.nodes[name] = value
        else:
            setattr(graph, name, value)
    return graph


@pytest.mark.parametrize("node", [3, None, {"type": "LIF"}, Other(), "LIF"], ids=lambda node: type(node).__name__)
def test_a_node_that_is_none(node: Any) -> None:
    """A TypeError or a fault that says which node, not how Python fails."""
    with pytest.raises((TypeError, DiagnosticException), match="'n'"):
        nirc.load(changed(n=node))


@pytest.mark.parametrize("edges", [None, [1, 2], [("input", "n", "output")], 3, [("input",)]])
def test_edges_that_are_none(edges: Any) -> None:
    with pytest.raises((TypeError, DiagnosticException), match="edges"):
        nirc.load(changed(edges=edges))


def with_parameter(value: Any) -> Any:
    node = lif()
    node.tau = value
    return around(node)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "node 'n' (LIF), tau: missing"),
        ("much", "node 'n' (LIF), tau: text, numbers are expected"),
        ([1, [2]], "node 'n' (LIF), tau: numbers are expected here, not list"),
        (object(), "node 'n' (LIF), tau: numbers are expected here, not values of type object"),
        (np.array([1j, 2]), "node 'n' (LIF), tau: numbers are expected here, not values of type complex128"),
        (np.array([None, 1]), "node 'n' (LIF), tau: numbers are expected here, not values of type object"),
        (np.array([1, 0]), "node 'n' (LIF), tau: 0 at index 1, must be > 0"),
        (np.ones(0), "node 'n' (LIF), tau: has the shape 0 and so holds no number"),
        ({"a": 1}, "node 'n' (LIF), tau: a group, numbers are expected"),
        (np.ones(3), "node 'n' (LIF), parameters of unequal shape: tau 3, r 2"),
    ],
)
def test_a_parameter_that_is_none_is_a_fault(value: Any, message: str) -> None:
    with pytest.raises(DiagnosticException) as raised:
        nirc.load(with_parameter(value))
    assert str(raised.value).startswith(message)


def test_faults_are_said_together() -> None:
    graph = changed(n=with_parameter(None).nodes["n"], edges=[("input", "n"), ("n", "ghost"), ("n", "output")])
    with pytest.raises(DiagnosticException) as raised:
        nirc.load(graph)
    assert sorted(str(raised.value).splitlines()) == [
        "edge 'n' -> 'ghost': no node 'ghost'",
        "node 'n' (LIF), tau: missing",
    ]


def test_an_input_without_a_shape_is_a_fault() -> None:
    graph = nir.NIRGraph({"i": nir.Input(None), "n": lif()}, [("i", "n")], type_check=False)
    with pytest.raises(DiagnosticException, match=r"node 'i' \(Input\), shape: "):
        nirc.load(graph)


def test_a_graph_that_contains_itself_is_refused() -> None:
    graph = around(lif())
    graph.nodes["n"] = graph
    with pytest.raises(DiagnosticException, match="contains itself"):
        nirc.load(graph)


def deep(levels: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {"x": 1}
    for _ in range(levels):
        metadata = {"d": metadata}
    return metadata


@pytest.mark.parametrize("levels", [100, 5000])
def test_deep_metadata_are_no_deep_recursion(levels: int) -> None:
    program = nirc.load(around(lif(metadata=deep(levels))))
    assert any("cannot be kept" in str(item) for item in assumptions(program.module))


def test_metadata_that_contain_themselves() -> None:
    metadata: dict[str, Any] = {"a": 1}
    metadata["b"] = metadata
    program = nirc.load(around(lif(metadata=metadata)))
    assert any("cannot be kept" in str(item) for item in assumptions(program.module))


def test_subclasses_are_unknown_types() -> None:
    """They may change the equations."""
    kind: Any = type("Adaptive", (nir.LIF,), {})
    node = kind(4 * ONES, ONES, ZEROS, ONES)
    with pytest.raises(DiagnosticException, match="node 'n': unknown type 'Adaptive'"):
        nirc.load(around(node))
