"""Graphs within graphs: what an edge to a nested graph means, its ports, its instances, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects import nir
from nirc.dialects.dense import Array
from nirc.dialects.nir import assumptions, graph_of
from nirc.driver import Program
from nirc.frontend.read_nir import Reading, read_nir
from nirc.passes.nir_infer_shapes import infer_shapes
from nirc.printing import IRParser, ir_text

Fields: TypeAlias = dict[str, Any]
Save: TypeAlias = Callable[..., Path]

INPUT: Fields = {"type": "Input", "shape": np.array([2])}
OUTPUT: Fields = {"type": "Output", "shape": np.array([2])}
ONES = np.ones(2)
LIF: Fields = {"type": "LIF", "tau": 4 * ONES, "r": ONES, "v_leak": 0 * ONES, "v_threshold": ONES, "v_reset": 0 * ONES}


def linear(*rows: tuple[float, ...]) -> Fields:
    return {"type": "Linear", "weight": np.array(rows)}


def scale(*factors: float) -> Fields:
    return {"type": "Scale", "scale": np.array(factors)}


TWICE, THRICE, HALF = scale(2, 2), scale(3, 3), scale(0.5, 0.5)


def graph(nodes: Fields, *edges: str, **more: Any) -> Fields:
    """A graph; an edge is written `source>target`."""
    pairs = [edge.split(">") for edge in edges]
    return {"type": "NIRGraph", "nodes": nodes, "edges": np.array(pairs, object), **more}


def around(sub: Fields, *edges: str, **more: Fields) -> Fields:
    """A nested graph `sub` between `input` and `output`."""
    chosen = edges or ("input>sub", "sub>output")
    return graph({"input": INPUT, "sub": sub, "output": OUTPUT, **more}, *chosen)


PLAIN = graph({"in": INPUT, "s": TWICE, "out": OUTPUT}, "in>s", "s>out")
CROSSED = graph({"a": INPUT, "b": INPUT, "p": OUTPUT, "q": OUTPUT, "s": TWICE, "t": THRICE}, "a>s", "s>q", "b>t", "t>p")
"""a doubled leaves at q, b times three at p."""


def read(path: Path, *fixes: str) -> Reading:
    return read_nir(str(path), frozenset(fixes))


def faults(path: Path) -> list[str]:
    reading = read(path)
    return [*reading.faults, *infer_shapes(reading.module)]


def compiled(path: Path) -> Program:
    return nirc.compile(path, dt=1.0, scheme="nir-euler,if_gain=r*dt", precision="f64")


def run(path: Path, x: Any) -> Array:
    return compiled(path).run(np.array(x, np.float64))


X = [[1.0, 10.0], [2.0, 20.0]]


def test_an_edge_to_a_nested_graph_leads_to_its_one_input(save: Save) -> None:
    assert run(save(around(PLAIN)), X).tolist() == [[2, 20], [4, 40]]


def test_a_nested_graph_is_a_graph_and_an_instance(save: Save) -> None:
    reading = read(save(around(PLAIN)))
    assert reading.faults == []
    outer, inner = (op for op in reading.module.ops if isinstance(op, nir.GraphOp))
    (instance,) = outer.instances()
    assert instance.node.data == "sub"
    assert instance.graph.string_value() == inner.sym_name.data
    assert [name.data for name in inner.inputs] == ["in"]
    assert [name.data for name in inner.outputs] == ["out"]
    assert [node.node.data for node in inner.nodes()] == ["s"]
    assert list(outer.nodes()) == []


@pytest.mark.parametrize(
    ("edges", "factor"),
    [
        (("input>sub.a", "zero>sub.b", "sub.q>output", "sub.p>rest"), 2),
        (("input>sub.b", "zero>sub.a", "sub.p>output", "sub.q>rest"), 3),
        (("input>sub.b", "zero>sub.a", "sub.p>rest", "sub.q>output"), 0),
        (("input>sub.a", "input>sub.b", "sub.p>output", "sub.q>output", "zero>rest"), 5),
        (("input>sub.a", "sub.q>sub.b", "sub.p>output", "zero>rest"), 6),
        (("input>sub.b", "sub.p>sub.a", "sub.q>output", "zero>rest"), 6),
    ],
)
def test_an_edge_names_the_port(save: Save, edges: tuple[str, ...], factor: float) -> None:
    path = save(around(CROSSED, *edges, zero=INPUT, rest=OUTPUT))
    program = compiled(path)
    results = program.run({"input": np.array(X), "zero": np.zeros((2, 2))})
    assert results["output"].tolist() == (factor * np.array(X)).tolist()


@pytest.mark.parametrize(
    "edges", [("input>sub.in", "sub.out>output"), ("input>sub", "sub.out>output"), ("input>sub.in", "sub>output")]
)
def test_the_one_port_may_be_named(save: Save, edges: tuple[str, ...]) -> None:
    """The module is the same as where it is not."""
    named, unnamed = read(save(around(PLAIN, *edges))), read(save(around(PLAIN)))
    assert named.faults == []
    assert str(named.module) == str(unnamed.module)


def test_ports_that_bear_the_name_of_their_graph(save: Save) -> None:
    """nirtorch names the ports of a graph `1` `1.input` and `1.output`."""
    sub = graph({"1.input": INPUT, "s": TWICE, "1.output": OUTPUT}, "1.input>s", "s>1.output")
    for edges in (
        ("input>1", "1>output"),
        ("input>1.input", "1.output>output"),
        ("input>1.1.input", "1.1.output>output"),
    ):
        path = save(graph({"input": INPUT, "1": sub, "output": OUTPUT}, *edges))
        assert run(path, X).tolist() == [[2, 20], [4, 40]], edges


def test_a_node_of_that_name_comes_before_a_port(save: Save) -> None:
    nodes: Fields = {"input": INPUT, "sub": PLAIN, "sub.out": THRICE, "output": OUTPUT}
    assert run(save(graph(nodes, "input>sub", "sub>sub.out", "sub.out>output")), X).tolist() == [[6, 60], [12, 120]]


def test_a_graph_whose_name_has_periods(save: Save) -> None:
    """The graph `a.b` has the ports, and there is a graph `a` too."""
    nodes: Fields = {"input": INPUT, "a": PLAIN, "a.b": CROSSED, "output": OUTPUT}
    edges = ("input>a.in", "a.out>a.b.a", "a>a.b.b", "a.b.p>output", "a.b.q>output")
    assert run(save(graph(nodes, *edges)), X).tolist() == [[10, 100], [20, 200]]


def test_an_input_and_an_output_may_look_alike_from_outside(save: Save) -> None:
    """`sub.x` as a source is the Output `sub.x`, for the Input `x` gives nothing."""
    sub = graph({"x": INPUT, "s": TWICE, "sub.x": OUTPUT}, "x>s", "s>sub.x")
    assert run(save(around(sub, "input>sub.x", "sub.x>output")), X).tolist() == [[2, 20], [4, 40]]


def test_several_edges_into_a_port_of_a_nested_graph_are_added(save: Save) -> None:
    path = save(around(PLAIN, "input>sub", "t>sub", "input>t", "sub>output", t=THRICE))
    assert run(path, X).tolist() == [[8, 80], [16, 160]]


def test_a_graph_that_passes_its_input_on(save: Save) -> None:
    assert run(save(around(graph({"in": INPUT, "out": OUTPUT}, "in>out"))), X).tolist() == X


def test_a_graph_that_passes_one_of_two_inputs_on(save: Save) -> None:
    """The doubled signal enters the same graph again at its other port and leaves unchanged."""
    sub = graph({"a": INPUT, "b": INPUT, "p": OUTPUT, "q": OUTPUT, "s": TWICE}, "a>s", "s>p", "b>q")
    path = save(around(sub, "input>sub.a", "sub.p>sub.b", "sub.q>output"))
    assert run(path, X).tolist() == [[2, 20], [4, 40]]


def test_a_graph_that_passes_both_inputs_on_one_after_the_other(save: Save) -> None:
    """No loop: input, a, p, b, q, output."""
    sub = graph({"a": INPUT, "b": INPUT, "p": OUTPUT, "q": OUTPUT}, "a>p", "b>q")
    path = save(around(sub, "input>sub.a", "sub.p>sub.b", "sub.q>output"))
    assert run(path, X).tolist() == X


def test_two_outputs_of_one_node(save: Save) -> None:
    sub = graph({"in": INPUT, "s": TWICE, "p": OUTPUT, "q": OUTPUT}, "in>s", "s>p", "s>q")
    path = save(around(sub, "input>sub", "sub.p>output", "sub.q>t", "t>output", t=THRICE))
    assert run(path, X).tolist() == [[8, 80], [16, 160]]


def test_a_graph_without_input_is_a_source(save: Save) -> None:
    """An affine node in a loop through a Delay gives its bias from nothing."""
    bias: Fields = {"type": "Affine", "weight": np.zeros((2, 2)), "bias": np.array([5.0, 7.0])}
    delay: Fields = {"type": "Delay", "delay": 1 * ONES}
    sub = graph({"b": bias, "d": delay, "out": OUTPUT}, "b>d", "d>b", "b>out")
    path = save(around(sub, "sub>output", "input>output"))
    assert run(path, X).tolist() == [[6, 17], [7, 27]]


def test_a_graph_without_output_is_a_sink(save: Save) -> None:
    sub = graph({"in": INPUT, "s": TWICE}, "in>s")
    assert run(save(around(sub, "input>sub", "input>output")), X).tolist() == X


REFUSED: dict[str, tuple[Fields, list[str]]] = {
    "unknown port": (
        around(CROSSED, "input>sub.a", "input>sub.b", "sub.p>output", "sub.z>output"),
        ["edge 'sub.z' -> 'output': no node 'sub.z'; from outside only the Inputs and Outputs of 'sub' can be named"],
    ),
    "inner node": (
        around(PLAIN, "input>sub.s", "sub>output"),
        ["edge 'input' -> 'sub.s': no node 'sub.s'"],
    ),
    "output as a target": (
        around(PLAIN, "input>sub", "input>sub.out", "sub>output"),
        ["edge 'input' -> 'sub.out': the nested graph 'sub' has no Input 'out'; it has 'in'"],
    ),
    "input as a source": (
        around(PLAIN, "input>sub", "sub.in>output"),
        ["edge 'sub.in' -> 'output': the nested graph 'sub' has no Output 'in'; it has 'out'"],
    ),
    "ambiguous input": (
        around(CROSSED, "input>sub", "sub.p>output"),
        ["edge 'input' -> 'sub': the nested graph 'sub' has 2 Inputs ('a', 'b'); name one, such as 'sub.a'"],
    ),
    "ambiguous output": (
        around(CROSSED, "input>sub.a", "input>sub.b", "sub>output"),
        ["edge 'sub' -> 'output': the nested graph 'sub' has 2 Outputs ('p', 'q'); name one, such as 'sub.p'"],
    ),
    "no input": (
        around(graph({"s": LIF, "out": OUTPUT}, "s>s", "s>out")),
        ["edge 'input' -> 'sub': the nested graph 'sub' has no Input"],
    ),
    "no output": (
        around(graph({"in": INPUT, "s": LIF}, "in>s")),
        ["edge 'sub' -> 'output': the nested graph 'sub' has no Output"],
    ),
    "empty": (around(graph({}, "a>b")), ["the nested graph 'sub' has no nodes (group 'nodes')"]),
    "no nodes": (
        around({"type": "NIRGraph", "edges": np.array([["a", "b"]], object)}),
        ["the nested graph 'sub' has no nodes (group 'nodes')"],
    ),
    "no edges": (
        around({"type": "NIRGraph", "nodes": {"in": INPUT, "s": TWICE, "out": OUTPUT}}),
        ["the nested graph 'sub' has no edges (dataset 'edges')"],
    ),
    "edges of nothing": (
        around({**PLAIN, "edges": np.zeros((0, 2))}),
        ["the nested graph 'sub' has no edges; nothing leads from an Input to an Output"],
    ),
    "edges of numbers": (
        around({**PLAIN, "edges": np.zeros((1, 2), np.int64)}),
        ["edges in 'sub': must be an E x 2 list of node names, not int64, 1x2"],
    ),
    "twice": (
        around(PLAIN, "input>sub", "input>sub.in", "sub>output"),
        ["edge 'input' -> 'sub.in': stands twice; add the weights up in one node, or remove one"],
    ),
    "inner node that nothing feeds": (
        around(graph({"in": INPUT, "s": TWICE, "t": THRICE, "out": OUTPUT}, "in>s", "s>out", "t>out")),
        ["node 'sub.t' (Scale): no edge leads to it"],
    ),
    "inner output that nothing feeds": (
        around(
            graph({"in": INPUT, "s": TWICE, "out": OUTPUT, "more": OUTPUT}, "in>s", "s>out"),
            "input>sub",
            "sub.out>output",
        ),
        ["node 'sub.more' (Output): no edge leads to it"],
    ),
    "inner port that nothing feeds": (
        around(graph({"in": INPUT, "c": CROSSED, "out": OUTPUT}, "in>c.a", "c.q>out")),
        ["node 'sub.c.b' (NIRGraph): no edge leads to it"],
    ),
    "inner node with a fault": (
        around(graph({"in": INPUT, "s": {**LIF, "tau": 0 * ONES}, "out": OUTPUT}, "in>s", "s>out")),
        ["node 'sub.s' (LIF), tau: 0 at index 0 and at 1 more, must be > 0"],
    ),
    "inner edge to nowhere": (
        around(graph({"in": INPUT, "s": TWICE, "out": OUTPUT}, "in>s", "s>out", "s>ghost")),
        ["edge 's' -> 'ghost' in 'sub': no node 'ghost'"],
    ),
    "two levels down": (
        around(
            graph(
                {"in": INPUT, "x": around(PLAIN, "input>ghost", "input>sub", "sub>output"), "out": OUTPUT},
                "in>x",
                "x>out",
            )
        ),
        ["edge 'input' -> 'ghost' in 'sub.x': no node 'ghost'"],
    ),
    "type of the nested graph": (
        around({**PLAIN, "type": "Graph"}),
        ["node 'sub': unknown type 'Graph'; did you mean NIRGraph?"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_of_a_nested_graph_is_said(save: Save, case: str) -> None:
    node, messages = REFUSED[case]
    found = faults(save(node))
    assert len(found) == len(messages), found
    for fault, message in zip(found, messages, strict=True):
        assert fault.startswith(message)


def test_faults_of_several_graphs_are_said_together(save: Save) -> None:
    bad = graph({"in": INPUT, "s": {**LIF, "tau": 0 * ONES}, "out": OUTPUT}, "in>s", "s>out", "s>ghost")
    nodes: Fields = {"input": INPUT, "a": bad, "b": bad, "output": OUTPUT}
    assert sorted(faults(save(graph(nodes, "input>a", "a>b", "b>output")))) == [
        "edge 's' -> 'ghost' in 'a': no node 'ghost'",
        "edge 's' -> 'ghost' in 'b': no node 'ghost'",
        "node 'a.s' (LIF), tau: 0 at index 0 and at 1 more, must be > 0",
        "node 'b.s' (LIF), tau: 0 at index 0 and at 1 more, must be > 0",
    ]


@pytest.mark.parametrize(
    "name", ["ünïcode 🧠", 'a"b', "a\\b", "a b", "@x", "%0", "^bb0", "main", "nir.graph", "a\nb", ".a."]
)
def test_odd_names_of_graphs_and_ports(ctx: Context, save: Save, name: str) -> None:
    """They come through text and back, and into the inlined names."""
    ports = (f"in {name}", f"out {name}")
    sub = graph({ports[0]: INPUT, f"s {name}": TWICE, ports[1]: OUTPUT}, f"{ports[0]}>s {name}", f"s {name}>{ports[1]}")
    nodes: Fields = {"input": INPUT, name: sub, "output": OUTPUT}
    path = save(graph(nodes, f"input>{name}.{ports[0]}", f"{name}>output"))
    text = ir_text(read(path).module)
    again = IRParser(ctx, text).parse_module()
    again.verify()
    assert ir_text(again) == text
    program = compiled(path)
    assert program.run(np.array(X)).tolist() == [[2, 20], [4, 40]]
    found = graph_of(nirc.compile(path, until="nir").module)
    assert found is not None
    assert [node.node.data for node in found.nodes()] == [f"{name}.s {name}"]


def test_graphs_whose_names_look_alike_in_ir_stay_apart(save: Save) -> None:
    by = {"a b": TWICE, "a.b": THRICE, "a_b": HALF}
    subs = {name: graph({"i": INPUT, "s": node, "o": OUTPUT}, "i>s", "s>o") for name, node in by.items()}
    path = save(graph({"input": INPUT, **subs, "output": OUTPUT}, "input>a b", "a b>a.b", "a.b>a_b", "a_b>output"))
    assert run(path, X).tolist() == [[3, 30], [6, 60]]


def notes(path: Path) -> list[str]:
    return [str(item) for item in assumptions(nirc.load(path).module)]


def test_a_port_that_nothing_feeds_gets_an_input(save: Save) -> None:
    nodes: Fields = {"input": INPUT, "sub": CROSSED, "output": OUTPUT}
    path = save(graph(nodes, "input>sub.a", "sub.q>output"))
    assert [note for note in notes(path) if note.startswith("Input")] == [
        "Input: no edge leads to 'sub.b'; an Input 'input_sub.b' is inferred there"
    ]
    program = compiled(path)
    assert program.inputs == {"input": (2,), "input_sub.b": (2,)}
    results = program.run({"input": np.array(X), "input_sub.b": np.ones((2, 2))})
    assert results["output"].tolist() == [[2, 20], [4, 40]]


def test_a_graph_that_nothing_follows_gets_an_output_for_each_port(save: Save) -> None:
    nodes: Fields = {"input": INPUT, "sub": CROSSED}
    path = save(graph(nodes, "input>sub.a", "input>sub.b"))
    assert [note for note in notes(path) if note.startswith("Output")] == [
        "Output: no edge leaves 'sub.p'; an Output 'output_sub.p' is inferred there",
        "Output: no edge leaves 'sub.q'; an Output 'output_sub.q' is inferred there",
    ]
    results = compiled(path).run({"input": np.array(X)})
    assert {name: values.tolist() for name, values in results.items()} == {
        "output_sub.p": [[3, 30], [6, 60]],
        "output_sub.q": [[2, 20], [4, 40]],
    }


def test_an_inferred_port_of_a_graph_takes_no_name_of_a_node(save: Save) -> None:
    nodes: Fields = {"input_sub": TWICE, "sub": PLAIN, "output_sub": THRICE, "output": OUTPUT, "input": INPUT}
    path = save(graph(nodes, "sub>output", "input>input_sub", "input_sub>output_sub", "output_sub>output"))
    program = compiled(path)
    assert program.inputs == {"input": (2,), "input_sub_": (2,)}
    results = program.run({"input": np.array(X), "input_sub_": np.ones((2, 2))})
    assert results["output"].tolist() == [[8, 62], [14, 122]]


def test_a_graph_that_nothing_connects_is_left_out_and_said(save: Save) -> None:
    path = save(graph({"input": INPUT, "s": TWICE, "output": OUTPUT, "stray": PLAIN}, "input>s", "s>output"))
    assert "node dropped: 'stray' is not connected to anything and is left out" in notes(path)
    assert run(path, X).tolist() == [[2, 20], [4, 40]]


@pytest.mark.parametrize("levels", [300])
def test_many_levels(save: Save, levels: int) -> None:
    """Each level doubles nothing, but adds the input once more: level n gives n times the input."""
    node = graph({"in": INPUT, "s": HALF, "out": OUTPUT}, "in>s", "s>out")
    for _ in range(levels - 1):
        node = graph({"in": INPUT, "sub": node, "out": OUTPUT}, "in>sub", "sub>out", "in>out")
    path = save(around(node))
    assert run(path, [[1.0, 2.0]]).tolist() == [[levels - 0.5, 2 * levels - 1.0]]


def linked(path: Path, target: str, source: str) -> Path:
    """The file, with the node `target` the same group as `source`."""
    with h5py.File(path, "a") as file:
        file[f"node/nodes/{target}"] = file[f"node/nodes/{source}"]
    return path


def potentials(x: Array, tau: float, layers: int) -> Array:
    """Forward Euler with dt = 1 of leaky integrators in a row, each with its own v."""
    v = np.zeros((layers, *x.shape[1:]))
    out = np.empty_like(x)
    for step, value in enumerate(x):
        signal = value
        for layer in range(layers):
            v[layer] = v[layer] + (signal - v[layer]) / tau
            signal = v[layer].copy()
        out[step] = signal
    return out


LI: Fields = {"type": "LI", "tau": 4 * ONES, "r": ONES, "v_leak": 0 * ONES}
LAYER = graph({"in": INPUT, "li": LI, "out": OUTPUT}, "in>li", "li>out")


def test_one_group_under_two_names_is_two_instances_with_states_of_their_own(save: Save) -> None:
    path = linked(save(around(LAYER, "input>sub", "sub>again", "again>output")), "again", "sub")
    module = nirc.load(path).module
    assert len([op for op in module.ops if isinstance(op, nir.GraphOp)]) == 2
    x = np.random.default_rng(0).normal(size=(12, 2))
    np.testing.assert_allclose(run(path, x), potentials(x, 4, 2), rtol=1e-12)


def test_one_node_under_two_names_is_two_nodes_with_states_of_their_own(save: Save) -> None:
    path = linked(save(around(LI, "input>sub", "sub>again", "again>output")), "again", "sub")
    x = np.random.default_rng(0).normal(size=(12, 2))
    np.testing.assert_allclose(run(path, x), potentials(x, 4, 2), rtol=1e-12)


def test_a_shared_graph_within_a_shared_graph(save: Save) -> None:
    """Two instances of a graph of two instances: four layers."""
    pair = graph({"in": INPUT, "one": LAYER, "out": OUTPUT}, "in>one", "one>two", "two>out")
    path = save(around(pair, "input>sub", "sub>again", "again>output"))
    linked(path, "sub/nodes/two", "sub/nodes/one")
    linked(path, "again", "sub")
    x = np.random.default_rng(0).normal(size=(12, 2))
    np.testing.assert_allclose(run(path, x), potentials(x, 4, 4), rtol=1e-12)


def test_a_graph_within_a_shared_graph(save: Save) -> None:
    """The inner graph stands once in the file, and in the network as often as the outer one."""
    path = save(
        around(
            graph({"in": INPUT, "l": LAYER, "out": OUTPUT}, "in>l", "l>out"), "input>sub", "sub>again", "again>output"
        )
    )
    linked(path, "again", "sub")
    x = np.random.default_rng(0).normal(size=(12, 2))
    np.testing.assert_allclose(run(path, x), potentials(x, 4, 2), rtol=1e-12)


def recurrent(neuron: str = "lif1", **more: Fields) -> Fields:
    """A nested graph as the NIR paper's subgraph files hold it: its edges call the neuron `lif`."""
    cuba: Fields = {
        "type": "CubaLIF",
        "tau_mem": 4 * ONES,
        "tau_syn": 2 * ONES,
        "r": ONES,
        "w_in": ONES,
        "v_leak": 0 * ONES,
        "v_threshold": ONES,
    }
    nodes: Fields = {"input": INPUT, neuron: cuba, "lin": linear((0, 0.5), (0.5, 0)), "output": OUTPUT, **more}
    return graph(nodes, "input>lif", "lif>lin", "lin>lif", "lif>output")


def outside(sub: Fields) -> Fields:
    return graph({"input": INPUT, "lif1": sub, "output": OUTPUT}, "input>lif1", "lif1>output")


HINT = "; did you mean 'lif1', which no edge names? --fix edge-names takes it"


def test_a_name_of_no_node_is_refused_with_the_way_to_mend_it(save: Save) -> None:
    assert read(save(outside(recurrent()), "0.2.0")).faults == [
        f"edge {edge} in 'lif1': no node 'lif'{HINT}"
        for edge in ("'input' -> 'lif'", "'lif' -> 'lin'", "'lin' -> 'lif'", "'lif' -> 'output'")
    ]


@pytest.mark.parametrize("fixes", [("edge-names",), ("all",), ["edge-names"]])
def test_the_fix_takes_the_one_node_that_no_edge_names(save: Save, fixes: list[str]) -> None:
    mended = nirc.load(save(outside(recurrent()), "0.2.0"), fixes=fixes)
    right = nirc.load(save(outside(recurrent("lif")), "0.2.0"))
    assert [(item.kind.data, str(item)) for item in assumptions(mended.module)] == [
        (
            "given",
            "fix: edges in 'lif1' name 'lif', which is no node; it is taken for 'lif1', which no edge names",
        )
    ]
    x = np.random.default_rng(1).uniform(0, 3, (20, 2))
    one, other = (nirc.compile(program, dt=1.0, precision="f64").run(x) for program in (mended, right))
    assert one.sum() > 0
    assert one.tolist() == other.tolist()


def test_the_fix_changes_nothing_where_nothing_is_wrong(save: Save) -> None:
    path = save(outside(recurrent("lif")))
    assert str(read(path, "edge-names").module) == str(read(path).module)


def test_the_fix_does_not_guess_between_two_nodes(save: Save) -> None:
    assert read(save(outside(recurrent(more=LIF))), "edge-names").faults == [
        f"edge {edge} in 'lif1': no node 'lif'; did you mean 'lif1'?"
        for edge in ("'input' -> 'lif'", "'lif' -> 'lin'", "'lin' -> 'lif'", "'lif' -> 'output'")
    ]


def test_the_fix_does_not_guess_between_two_names(save: Save) -> None:
    sub = recurrent()
    sub["edges"] = np.array([["input", "lif"], ["lif", "lin"], ["lin", "fil"], ["lif", "output"]], object)
    assert len(read(save(outside(sub)), "edge-names").faults) == 4


def test_the_fix_does_not_take_a_graph_whose_ports_are_named(save: Save) -> None:
    """Edges name `sub.a`, `sub.b` and `sub.p`, so `sub` is not a node that no edge names."""
    sub = graph({"a": INPUT, "b": INPUT, "p": OUTPUT, "s": TWICE}, "a>s", "b>s", "s>p")
    edges = ("input>sub.a", "input>sub.b", "sub.p>t", "t>output", "ghost>output")
    (fault,) = read(save(around(sub, *edges, t=THRICE)), "edge-names").faults
    assert fault == "edge 'ghost' -> 'output': no node 'ghost'"


def test_the_fix_takes_the_one_node_beside_a_graph_whose_ports_are_named(save: Save) -> None:
    sub = graph({"a": INPUT, "b": INPUT, "p": OUTPUT, "s": TWICE}, "a>s", "b>s", "s>p")
    path = save(around(sub, "input>sub.a", "input>sub.b", "sub.p>t", "t>output", thrice=THRICE))
    assert nirc.compile(nirc.load(path, fixes=["edge-names"])).run(np.array(X)).tolist() == [[12, 120], [24, 240]]


def test_an_unknown_fix_is_refused(save: Save) -> None:
    with pytest.raises(DiagnosticException, match=r"unknown fix(es:)? edges; known: edge-names"):
        nirc.load(save(around(PLAIN)), fixes=["edges"])


def test_the_fix_of_the_shared_files(shared: Path) -> None:
    """Mended, the paper's subgraph file holds the network of its flat file."""
    name = "braille_noDelay_bias_zero"
    nested = nirc.load(shared / "models" / f"{name}_subgraph.nir", fixes=["edge-names"])
    flat = nirc.load(shared / "models" / f"{name}.nir")
    x = np.load(shared / "cases" / "braille_recorded" / "braille_ds_test0_input_recovered.npy")
    one, other = (nirc.compile(program, precision="f64").run(x) for program in (nested, flat))
    assert other.sum() > 0
    assert one.tolist() == other.tolist()


def test_metadata_of_nested_graphs_and_ports_are_kept(save: Save) -> None:
    sub = graph(
        {"in": {**INPUT, "metadata": {"k": "v"}}, "s": TWICE, "out": OUTPUT}, "in>s", "s>out", metadata={"dt": 0.5}
    )
    _, inner = (op for op in read(save(around(sub))).module.ops if isinstance(op, nir.GraphOp))
    assert inner.metadata is not None
    assert set(inner.metadata.data) == {"dt"}
    assert inner.port_metadata is not None
    assert set(inner.port_metadata.data) == {"in"}
    assert inner.version is None


@pytest.mark.parametrize("kind", ["LIF", "Scale"])
def test_a_file_of_a_single_node(save: Save, kind: str) -> None:
    path = save(LIF if kind == "LIF" else TWICE)
    assert "single node" in notes(path)[0]
    program = compiled(path)
    assert program.inputs == {f"input_{kind.lower()}": (2,)}
    if kind == "Scale":
        assert program.run(np.array(X)).tolist() == [[2, 20], [4, 40]]


@pytest.mark.parametrize("name", sorted(["Input", "Output"]))
def test_a_file_of_a_port_is_refused(save: Save, name: str) -> None:
    (fault,) = read(save({**INPUT, "type": name})).faults
    assert "must be a NIRGraph or a single node" in fault
    assert "unknown" not in fault
