"""`nir-infer-shapes` through nested graphs: in, out and across instances; what files state is only compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects.nir import GraphOp, InstanceOp, NodeOp, assumptions
from nirc.frontend.read_nir import read_nir
from nirc.passes.nir_infer_shapes import find_shapes, infer_shapes

Parse: TypeAlias = Callable[[str], ModuleOp]
Fields: TypeAlias = dict[str, Any]

ANY = "!nir.signal<*>"


def signal(shape: str) -> str:
    return f"!nir.signal<{shape}>"


def graph(name: str, inputs: str, outputs: str, *lines: str) -> str:
    """A graph; an input is `x:3x4` or just `x`, an output `y=%n`."""
    ins = [(port, shape or "*") for port, _, shape in (text.partition(":") for text in inputs.split())]
    outs = [(port, value) for port, _, value in (text.partition("=") for text in outputs.split())]
    shapes = {f"%{port}": signal(shape) for port, shape in ins}
    names = [", ".join(f'"{port}"' for port, _ in ports) for ports in (ins, outs)]
    yielded = f"{', '.join(value for _, value in outs)} : {', '.join(shapes.get(value, ANY) for _, value in outs)}"
    body = "\n".join(lines)
    for port, kind in shapes.items():
        body = body.replace(f"type({port})", kind)
    return (
        f"nir.graph @{name} attributes {{inputs = [{names[0]}], outputs = [{names[1]}]}} {{\n"
        f"^bb0({', '.join(f'{port}: {kind}' for port, kind in shapes.items())}):\n{body}\nnir.yield {yielded}\n}}\n"
    )


def kind(value: str) -> str:
    """The type of a value; that of an input is put in by `graph`."""
    return f"type({value})" if value in ("%x", "%in", "%p", "%q") else ANY


def node(op: str, name: str, source: str, fields: str) -> str:
    return f'%{name} = nir.{op} "{name}"({source}) {{{fields}}} : ({kind(source)}) -> {ANY}'


def zeros(*shape: int) -> str:
    return f"dense<0.0> : tensor<{''.join(f'{n}x' for n in shape)}f32>"


def linear(name: str, source: str, rows: int, columns: int) -> str:
    return node("linear", name, source, f"weight = {zeros(rows, columns)}")


def scale(name: str, source: str, *shape: int) -> str:
    """Without a shape, one number for all."""
    return node("scale", name, source, f"scale = {zeros(*shape)}")


def flatten(name: str, source: str) -> str:
    return node("flatten", name, source, "start_dim = 0 : i64, end_dim = -1 : i64")


def conv(name: str, source: str, *weight: int) -> str:
    return node(
        "conv2d",
        name,
        source,
        f"weight = {zeros(*weight)}, stride = 1 : i64, padding = 0 : i64, dilation = 1 : i64, groups = 1 : i64",
    )


def added(name: str, *sources: str) -> str:
    return f"%{name} = nir.sum {', '.join(sources)} : ({', '.join(map(kind, sources))}) -> {ANY}"


def instance(name: str, of: str, *sources: str, results: int = 1) -> str:
    types = ", ".join([ANY] * results)
    head = f"%{name}" if results == 1 else f"%{name}:{results}"
    taken = ", ".join(map(kind, sources))
    return f'{head} = nir.instance "{name}" of @{of} ({", ".join(sources)}) : ({taken}) -> ({types})'


def shapes(module: ModuleOp) -> dict[str, tuple[int, ...] | None]:
    """The shape of each node's output, by the graph's symbol and the node's name."""
    found = dict[str, tuple[int, ...] | None]()
    for top in module.ops:
        assert isinstance(top, GraphOp)
        for op in top.body.block.ops:
            if isinstance(op, NodeOp):
                found[f"{top.sym_name.data}.{op.node.data}"] = op.output.type.shape
            elif isinstance(op, InstanceOp):
                for index, result in enumerate(op.results):
                    shape = None if "*" in str(result.type) else tuple(map(int, str(result.type)[12:-1].split("x")))
                    found[f"{top.sym_name.data}.{op.node.data}#{index}"] = shape
    return found


def inferred(parse: Parse, text: str) -> dict[str, tuple[int, ...] | None]:
    module = parse(text)
    assert infer_shapes(module) == []
    module.verify()
    return shapes(module)


SAME = graph("same", "in", "out=%s", scale("s", "%in"))

INFERRED = {
    "in and out": (
        graph("main", "x:4x5", "y=%n", instance("a", "same", "%x"), scale("n", "%a")) + SAME,
        {"main.a#0": (4, 5), "main.n": (4, 5), "same.s": (4, 5)},
    ),
    "changed within": (
        graph("main", "x:3", "y=%n", instance("a", "sub", "%x"), scale("n", "%a"))
        + graph("sub", "in", "out=%f", linear("f", "%in", 2, 3)),
        {"main.a#0": (2,), "main.n": (2,), "sub.f": (2,)},
    ),
    "backwards to the input": (
        graph("main", "x", "y=%a", instance("a", "sub", "%x")) + graph("sub", "in", "out=%f", linear("f", "%in", 2, 3)),
        {"main.a#0": (2,), "sub.f": (2,)},
    ),
    "backwards through two graphs": (
        graph("main", "x", "y=%a", instance("a", "hull", "%x"))
        + graph("hull", "in", "out=%b", instance("b", "sub", "%in"))
        + graph("sub", "in", "out=%n", scale("n", "%in", 7)),
        {"main.a#0": (7,), "hull.b#0": (7,), "sub.n": (7,)},
    ),
    "a loop around": (
        graph("main", "x:3", "y=%f", added("s", "%x", "%a"), linear("f", "%s", 3, 3), instance("a", "same", "%f"))
        + SAME,
        {"main.f": (3,), "main.a#0": (3,), "same.s": (3,)},
    ),
    "from within a loop": (
        graph("main", "x", "y=%a", added("s", "%x", "%a"), instance("a", "sub", "%s"))
        + graph("sub", "in", "out=%f", linear("f", "%in", 3, 3)),
        {"main.a#0": (3,), "sub.f": (3,)},
    ),
    "ports": (
        graph(
            "main",
            "x:3",
            "y=%n",
            linear("f", "%x", 4, 3),
            instance("a", "two", "%x", "%f", results=2),
            scale("n", "%a#1"),
        )
        + graph("two", "p q", "o=%s r=%t", scale("s", "%q"), scale("t", "%p")),
        {"main.f": (4,), "main.a#0": (4,), "main.a#1": (3,), "main.n": (3,), "two.s": (4,), "two.t": (3,)},
    ),
    "passed on": (
        graph("main", "x:3", "y=%n", instance("a", "wire", "%x"), scale("n", "%a")) + graph("wire", "in", "out=%in"),
        {"main.a#0": (3,), "main.n": (3,)},
    ),
    "several instances": (
        graph("main", "x:3", "y=%b", instance("a", "same", "%x"), instance("b", "same", "%a")) + SAME,
        {"main.a#0": (3,), "main.b#0": (3,), "same.s": (3,)},
    ),
    "an instance feeds the other's shape": (
        graph("main", "x:3 z", "y=%a w=%b", instance("a", "same", "%x"), instance("b", "same", "%z")).replace(
            "type(%z)", ANY
        )
        + SAME,
        {"main.a#0": (3,), "main.b#0": (3,), "same.s": (3,)},
    ),
    "convolution": (
        graph("main", "x:2x8x9", "y=%n", instance("a", "sub", "%x"), flatten("n", "%a"))
        + graph("sub", "in", "out=%c", conv("c", "%in", 5, 2, 3, 4)),
        {"main.a#0": (5, 6, 6), "main.n": (180,), "sub.c": (5, 6, 6)},
    ),
}


@pytest.mark.parametrize("case", INFERRED)
def test_shapes_go_through_nested_graphs(parse: Parse, case: str) -> None:
    text, expected = INFERRED[case]
    assert inferred(parse, text) == expected


def test_leading_axes_are_dropped_for_a_consumer_within(parse: Parse) -> None:
    """The first consumer of the outer Input stands in a nested graph."""
    text = graph("main", "x:1x6x3", "y=%a", instance("a", "sub", "%x"))
    module = parse(text + graph("sub", "in", "out=%f", linear("f", "%in", 2, 3)))
    assert infer_shapes(module) == []
    assert shapes(module) == {"main.a#0": (2,), "sub.f": (2,)}
    assert [str(item) for item in assumptions(module)] == [
        "input shape: 'x' is 1x6x3 in the file; its leading 1x6 is taken for batch or time"
    ]


def test_a_second_run_changes_nothing(parse: Parse) -> None:
    module = parse(INFERRED["ports"][0])
    assert infer_shapes(module) == []
    text = str(module)
    assert infer_shapes(module) == []
    assert str(module) == text


def test_finding_shapes_changes_nothing(parse: Parse) -> None:
    module = parse(INFERRED["ports"][0])
    text = str(module)
    assert find_shapes(module).faults == []
    assert str(module) == text


REFUSED: dict[str, tuple[str, list[str]]] = {
    "within": (
        graph("main", "x:4", "y=%a", instance("a", "sub", "%x"))
        + graph("sub", "in", "out=%f", linear("f", "%in", 2, 3)),
        ["node 'a.f' (Linear): weight has 3 columns (2x3), but a signal of shape 4 arrives"],
    ),
    "two levels down": (
        graph("main", "x:4", "y=%a", instance("a", "hull", "%x"))
        + graph("hull", "in", "out=%b", instance("b", "sub", "%in"))
        + graph("sub", "in", "out=%s", scale("s", "%in", 3)),
        ["node 'a.b.s' (Scale): its parameters are for 3 elements, but a signal of shape 4 arrives"],
    ),
    "behind": (
        graph("main", "x:3", "y=%n", instance("a", "sub", "%x"), scale("n", "%a", 5))
        + graph("sub", "in", "out=%f", linear("f", "%in", 2, 3)),
        ["node 'n' (Scale): its parameters are for 5 elements, but a signal of shape 2 arrives"],
    ),
    "a sum outside": (
        graph("main", "x:3", "y=%n", instance("a", "sub", "%x"), added("s", "%x", "%a"), scale("n", "%s"))
        + graph("sub", "in", "out=%f", linear("f", "%in", 2, 3)),
        ["node 'n': its edges carry signals of unequal shape: 'x' 3, 'a' 2"],
    ),
    "a sum into a graph": (
        graph("main", "x:3", "y=%a", linear("f", "%x", 2, 3), added("s", "%x", "%f"), instance("a", "same", "%s"))
        + SAME,
        ["node 'a.s': its edges carry signals of unequal shape: 'x' 3, 'f' 2"],
    ),
    "a sum within": (
        graph("main", "x:3", "y=%a", instance("a", "sub", "%x"))
        + graph("sub", "in", "out=%n", linear("f", "%in", 2, 3), added("s", "%in", "%f"), scale("n", "%s")),
        ["node 'a.n': its edges carry signals of unequal shape: 'a.in' 3, 'a.f' 2"],
    ),
    "two shapes": (
        graph("main", "x:3", "y=%b", instance("a", "same", "%x"), linear("f", "%x", 2, 3), instance("b", "same", "%f"))
        + SAME,
        ["port 'b.in': a signal of shape 2 arrives, but its graph stands elsewhere with 3 too"],
    ),
    "no shape": (
        graph("main", "x", "y=%a", instance("a", "same", "%x")) + SAME,
        ["node 'a.s' (Scale): its shape cannot be found; give the Input before it a shape"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said_with_full_names(parse: Parse, case: str) -> None:
    text, messages = REFUSED[case]
    module = parse(text)
    before = str(module)
    found = infer_shapes(module)
    assert found == messages
    assert str(module) == before


def port(kind: str, *shape: int) -> Fields:
    return {"type": kind, "shape": np.array(shape)}


def put(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, dict):
        inner = group.create_group(name)
        for key in value:  # pyright: ignore[reportUnknownVariableType]
            put(inner, str(key), value[key])  # pyright: ignore[reportUnknownArgumentType]
    else:
        group.create_dataset(name, data=value)


@pytest.fixture
def stated(tmp_path: Path) -> Callable[..., Path]:
    """A file of a graph `sub` around a node, whose ports state the shapes given."""

    def run(node: Fields, outer: tuple[int, ...], inner: tuple[int, ...], leaves: tuple[int, ...]) -> Path:
        edges = np.array([["in", "n"], ["n", "out"]], object)
        nodes = {"in": port("Input", *inner), "n": node, "out": port("Output", *leaves)}
        sub = {"type": "NIRGraph", "nodes": nodes, "edges": edges}
        nodes = {"input": port("Input", *outer), "sub": sub, "output": port("Output", *leaves)}
        edges = np.array([["input", "sub"], ["sub", "output"]], object)
        path = tmp_path / "model.nir"
        with h5py.File(path, "w") as file:
            file["version"] = "1.0"
            put(file, "node", {"type": "NIRGraph", "nodes": nodes, "edges": edges})
        return path

    return run


Stated: TypeAlias = Callable[..., Path]

SCALE: Fields = {"type": "Scale", "scale": np.float32(2)}


def test_right_shapes_need_no_remark(stated: Stated) -> None:
    module = read_nir(str(stated(SCALE, (3,), (3,), (3,)))).module
    assert infer_shapes(module) == []
    assert list(assumptions(module)) == []


@pytest.mark.parametrize("wrong", [(1,), (4,), (3, 3), (1, 3), ()])
def test_what_a_nested_port_states_is_not_believed(stated: Stated, wrong: tuple[int, ...]) -> None:
    if wrong == ():
        path = stated({**SCALE, "scale": np.ones(3)}, (3,), (9, 9), (3,))
        wrong = (9, 9)
    else:
        path = stated(SCALE, (3,), wrong, (3,))
    text = "x".join(map(str, wrong))
    program = nirc.load(path)
    module = program.module.clone()
    assert infer_shapes(module) == []
    module.verify()
    assert {name: shape for name, shape in shapes(module).items() if name.endswith(".n")} == {
        f"{[op.sym_name.data for op in module.ops if isinstance(op, GraphOp)][1]}.n": (3,)
    }
    assert [str(item) for item in assumptions(module)] == [
        f"stated shape: 'sub.in' is {text} in the file, but 3 arrives"
    ]
    assert nirc.compile(program, dt=1.0).run(np.ones((1, 3))).shape == (1, 3)


def test_what_outputs_state_is_not_believed(stated: Stated) -> None:
    module = read_nir(str(stated(SCALE, (3,), (3,), (5,)))).module
    assert infer_shapes(module) == []
    assert sorted(str(item) for item in assumptions(module)) == [
        "stated shape: 'output' is 5 in the file, but 3 arrives",
        "stated shape: 'sub.out' is 5 in the file, but 3 arrives",
    ]


def test_the_graph_decides_where_the_outer_input_has_another_shape(stated: Stated) -> None:
    """The outer Input is believed, so the node within does not fit."""
    path = stated({"type": "Linear", "weight": np.ones((2, 3))}, (4,), (3,), (2,))
    with pytest.raises(DiagnosticException) as raised:
        nirc.load(path)
    assert str(raised.value) == "node 'sub.n' (Linear): weight has 3 columns (2x3), but a signal of shape 4 arrives"


def test_a_file_of_wrong_shapes_is_sound_ir(stated: Stated, parse: Parse) -> None:
    """Two Inputs that state unequal shapes meet in a sum; the text of the module as read still reads back."""
    path = stated(SCALE, (3,), (1, 3), (3,))
    with h5py.File(path, "a") as file:
        nodes = file["node/nodes/sub/nodes"]
        put(nodes, "more", port("Input", 3))
        del file["node/nodes/sub/edges"]
        del file["node/edges"]
        file["node/nodes/sub/edges"] = np.array([["in", "n"], ["more", "n"], ["n", "out"]], "S")
        file["node/edges"] = np.array([["input", "sub.in"], ["input", "sub.more"], ["sub", "output"]], "S")
    program = nirc.load(path)
    assert str(parse(str(program.module))) == str(program.module)
    assert nirc.compile(program, dt=1.0).run(np.ones((1, 3))).tolist() == [[4, 4, 4]]


def test_many_levels(parse: Parse) -> None:
    """Shapes reach the innermost graph and come back."""
    text = graph("main", "x:3", "y=%a", instance("a", "g0", "%x"))
    for level in range(300):
        text += graph(f"g{level}", "in", "out=%a", instance("a", f"g{level + 1}", "%in"))
    found = inferred(parse, text + graph("g300", "in", "out=%f", linear("f", "%in", 2, 3)))
    assert set(found.values()) == {(2,)}
    assert len(found) == 302
