"""`nir-inline-graphs`: names, metadata, states and sums of nested graphs in the outermost one, and what has no end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

import nirc
from nirc.dialects.dense import Array, array, as_dense
from nirc.dialects.nir import GraphOp, InstanceOp, NodeOp, SumOp, assumptions, graph_of
from nirc.passes.convert_nir_to_snn.step import stated_resets
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass

S = "!nir.signal<2>"


def graph(name: str, inputs: str, outputs: str, *lines: str, metadata: str = "") -> str:
    """A graph; inputs and outputs are names, an output's signal stands after it as in `y=%n`."""
    ins = inputs.split()
    outs = [text.split("=") for text in outputs.split()]
    arguments = ", ".join(f"%{port}: {S}" for port in ins)
    values = ", ".join(value for _, value in outs)
    types = ", ".join(S for _ in outs)
    names = [", ".join(f'"{port}"' for port in ports) for ports in (ins, [port for port, _ in outs])]
    held = f", metadata = {metadata}" if metadata else ""
    return "\n".join(
        (
            f"nir.graph @{name} attributes {{inputs = [{names[0]}], outputs = [{names[1]}]{held}}} {{",
            f"^bb0({arguments}):" if ins else "^bb0:",
            *lines,
            f"nir.yield {values} : {types}" if outs else "nir.yield",
            "}\n",
        )
    )


def scale(name: str, source: str, factor: float = 2, more: str = "", value: str = "") -> str:
    held = f"scale = dense<{float(factor)}> : tensor<2xf64>{more}"
    return f'%{value or name} = nir.scale "{name}"({source}) {{{held}}} : ({S}) -> {S}'


def li(name: str, source: str, more: str = "") -> str:
    fields = ", ".join(
        f"{key} = dense<{number}> : tensor<2xf64>" for key, number in (("tau", 4.0), ("r", 1.0), ("v_leak", 0.0))
    )
    return f'%{name} = nir.li "{name}"({source}) {{{fields}{more}}} : ({S}) -> {S}'


def added(name: str, *sources: str) -> str:
    return f"%{name} = nir.sum {', '.join(sources)} : ({', '.join(S for _ in sources)}) -> {S}"


def instance(name: str, of: str, *sources: str, results: int = 1) -> str:
    head = f"%{name} = " if results == 1 else f"%{name}:{results} = " if results else ""
    types = f"({', '.join(S for _ in sources)}) -> "
    types += S if results == 1 else f"({', '.join([S] * results)})"
    return f'{head}nir.instance "{name}" of @{of} ({", ".join(sources)}) : {types}'


LAYER = graph("layer", "in", "out=%li", li("li", "%in"))

GOLDEN = {
    "one": graph("main", "x", "y=%a", instance("a", "layer", "%x")) + LAYER,
    "two": graph("main", "x", "y=%b", instance("a", "layer", "%x"), instance("b", "layer", "%a")) + LAYER,
    "levels": graph("main", "x", "y=%a", instance("a", "pair", "%x"))
    + graph("pair", "in", "out=%t", instance("l", "layer", "%in"), scale("t", "%l"))
    + LAYER,
    "recurrent": graph("main", "x", "y=%a", added("s", "%x", "%w"), instance("a", "layer", "%s"), scale("w", "%a"))
    + LAYER,
    "ports": graph("main", "x z", "y=%a#1 w=%a#0", instance("a", "two", "%x", "%z", results=2))
    + graph("two", "p q", "r=%s u=%t", scale("s", "%p"), scale("t", "%q", 3)),
    "sums": graph(
        "main",
        "x",
        "y=%n",
        added("s", "%x", "%a", "%x"),
        scale("n", "%s"),
        added("r", "%x", "%n"),
        instance("a", "sum", "%r", "%n"),
    )
    + graph("sum", "p q", "o=%s", added("s", "%p", "%t", "%q"), scale("t", "%p")),
    "clash": graph(
        "main", "x", "y=%a", scale("a.li", "%x", value="n"), added("s", "%x", "%n"), instance("a", "layer", "%s")
    )
    + LAYER,
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None], case: str) -> None:
    golden(opt(GOLDEN[case], "nir-inline-graphs"))


def inlined(parse: Callable[[str], ModuleOp], ctx: Context, text: str, most: int | None = None) -> ModuleOp:
    module = parse(text)
    (NirInlineGraphsPass() if most is None else NirInlineGraphsPass(most)).apply(ctx, module)
    module.verify()
    return module


def outermost(module: ModuleOp) -> GraphOp:
    """The one graph that is left."""
    (found,) = (op for op in module.ops if isinstance(op, GraphOp))
    assert not any(isinstance(op, InstanceOp) for op in found.walk())
    return found


def names(module: ModuleOp) -> set[str]:
    return {node.node.data for node in outermost(module).nodes()}


Parse = Callable[[str], ModuleOp]


def test_a_module_without_instances_stays(opt: Callable[[str, str], str]) -> None:
    text = graph("main", "x", "y=%s", scale("s", "%x"))
    assert opt(text, "nir-inline-graphs") == opt(text, "")


def test_full_names_join_by_periods(ctx: Context, parse: Parse) -> None:
    text = graph("main", "x", "y=%b", instance("a", "pair", "%x"), instance("b", "pair", "%a"))
    text += graph("pair", "in", "out=%m", instance("l", "layer", "%in"), instance("m", "layer", "%l")) + LAYER
    assert names(inlined(parse, ctx, text)) == {"a.l.li", "a.m.li", "b.l.li", "b.m.li"}


def test_a_graph_of_one_graph_used_twice(ctx: Context, parse: Parse) -> None:
    """The innermost graph has one instance in the text, but two in the network."""
    text = graph("main", "x", "y=%b", instance("a", "hull", "%x"), instance("b", "hull", "%a"))
    text += graph("hull", "in", "out=%l", instance("l", "layer", "%in")) + LAYER
    assert names(inlined(parse, ctx, text)) == {"a.l.li", "b.l.li"}


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_doubling(ctx: Context, parse: Parse, depth: int) -> None:
    text = graph("main", "x", "y=%b", instance("a", "g0", "%x"), instance("b", "g0", "%a"))
    for level in range(depth):
        inner = f"g{level + 1}" if level + 1 < depth else "layer"
        text += graph(f"g{level}", "in", "out=%b", instance("a", inner, "%in"), instance("b", inner, "%a"))
    found = names(inlined(parse, ctx, text + LAYER))
    assert len(found) == 2 ** (depth + 1)
    assert "a." * (depth + 1) + "li" in found


def test_names_that_are_taken(ctx: Context, parse: Parse) -> None:
    """The outer nodes keep their names, and the note says who was renamed."""
    main = graph(
        "main",
        "x",
        "y=%a",
        scale("a.li", "%x", value="m"),
        scale("a.li_", "%m", value="n"),
        instance("a", "layer", "%n"),
    )
    module = inlined(parse, ctx, main + LAYER)
    assert names(module) == {"a.li", "a.li_", "a.li__"}
    assert [(item.kind.data, str(item)) for item in assumptions(module)] == [
        ("note", "name: the nested node 'a.li' is called 'a.li__'")
    ]
    (node,) = (node for node in outermost(module).nodes() if node.node.data == "a.li__")
    assert node.NIR_TYPE == "LI"


@pytest.mark.parametrize("port", ["inputs", "outputs"])
def test_names_of_ports_are_taken_too(ctx: Context, parse: Parse, port: str) -> None:
    main = graph("main", "x", "y=%a", instance("a", "layer", "%x"))
    main = (
        main.replace('inputs = ["x"]', 'inputs = ["a.li"]') if port == "inputs" else main.replace('["y"]', '["a.li"]')
    )
    assert names(inlined(parse, ctx, main + LAYER)) == {"a.li_"}


def test_names_of_two_graphs_that_join_to_the_same(ctx: Context, parse: Parse) -> None:
    """`a.b` in the outer graph and `b` within `a`."""
    text = graph("main", "x", "y=%n", instance("a", "hull", "%x"), instance("n", "layer", "%a").replace('"n"', '"a.b"'))
    text += graph("hull", "in", "out=%b", instance("b", "layer", "%in")) + LAYER
    assert names(inlined(parse, ctx, text)) == {"a.b.li", "a.b.li_"}


def test_the_outer_graph_keeps_what_it_says_of_itself(ctx: Context, parse: Parse) -> None:
    main = graph("main", "x", "y=%a", instance("a", "layer", "%x"), metadata='{dt = dense<1.0> : tensor<f64>, k = "v"}')
    found = outermost(inlined(parse, ctx, main + LAYER))
    assert found.metadata is not None
    assert set(found.metadata.data) == {"dt", "k"}
    assert [name.data for name in (*found.inputs, *found.outputs)] == ["x", "y"]
    (node,) = found.nodes()
    assert node.metadata is None


def number(attr: object) -> float:
    values = as_dense(attr)
    assert values is not None
    return float(array(values))


def metadata_of(module: ModuleOp) -> dict[str, DictionaryAttr | None]:
    return {node.node.data: node.metadata for node in outermost(module).nodes()}


def dt(value: float) -> str:
    return f"dt = dense<{value}> : tensor<f64>"


def test_nodes_inherit_dt_and_reset_where_they_say_nothing(ctx: Context, parse: Parse) -> None:
    sub = graph(
        "sub",
        "in",
        "out=%c",
        li("a", "%in"),
        li("b", "%a", f', metadata = {{{dt(0.25)}, own = "b"}}'),
        li("c", "%b", ', metadata = {reset = "zero"}'),
        metadata=f'{{{dt(0.5)}, reset = "subtract", other = "x"}}',
    )
    module = inlined(parse, ctx, graph("main", "x", "y=%s", instance("s", "sub", "%x")) + sub)
    found = metadata_of(module)
    a, b, c = (found[f"s.{name}"] for name in "abc")
    assert a is not None
    assert b is not None
    assert c is not None
    assert (set(a.data), set(b.data), set(c.data)) == ({"dt", "reset"}, {"dt", "reset", "own"}, {"dt", "reset"})
    assert (number(a.data["dt"]), number(b.data["dt"]), number(c.data["dt"])) == (0.5, 0.25, 0.5)
    assert (a.data["reset"], b.data["reset"], c.data["reset"]) == tuple(
        map(StringAttr, ("subtract", "subtract", "zero"))
    )


def test_the_nearest_graph_speaks_for_its_nodes(ctx: Context, parse: Parse) -> None:
    text = graph("main", "x", "y=%s", instance("s", "outer", "%x"), metadata=f"{{{dt(1)}}}")
    text += graph("outer", "in", "out=%i", instance("i", "inner", "%in"), metadata=f'{{{dt(0.5)}, reset = "zero"}}')
    text += graph("inner", "in", "out=%n", li("n", "%in"), metadata=f"{{{dt(0.25)}}}")
    held = metadata_of(inlined(parse, ctx, text))["s.i.n"]
    assert held is not None
    assert (number(held.data["dt"]), held.data["reset"]) == (0.25, StringAttr("zero"))


@pytest.mark.parametrize(
    ("own", "inherited", "kind"),
    [
        ('reset = "zero"', 'reset = "subtract"', "zero"),
        ('reset = "zero"', 'reset_mechanism = "subtract"', "zero"),
        ('reset_mechanism = "zero"', 'reset = "subtract"', "zero"),
        ('other = "zero"', 'reset = "subtract"', "subtract"),
        ('other = "zero"', 'reset_mechanism = "subtract"', "subtract"),
    ],
)
def test_what_a_node_says_of_its_reset_holds(ctx: Context, parse: Parse, own: str, inherited: str, kind: str) -> None:
    """There are two keys for the same."""
    sub = graph("sub", "in", "out=%n", li("n", "%in", f", metadata = {{{own}}}"), metadata=f"{{{inherited}}}")
    module = inlined(parse, ctx, graph("main", "x", "y=%s", instance("s", "sub", "%x")) + sub)
    assert stated_resets(metadata_of(module)["s.n"]) == (kind,)


def terms(module: ModuleOp) -> list[list[str]]:
    """What each sum adds, by the names of nodes."""
    return [
        [value.owner.node.data if isinstance(value.owner, NodeOp) else "input" for value in op.inputs]
        for op in outermost(module).body.block.ops
        if isinstance(op, SumOp)
    ]


def test_sums_within_sums_become_one_in_order(ctx: Context, parse: Parse) -> None:
    adder = graph("adder", "p q", "o=%s", added("s", "%q", "%t", "%p"), scale("t", "%p"))
    text = graph(
        "main",
        "x",
        "y=%n",
        scale("a", "%x"),
        scale("b", "%x"),
        added("r", "%a", "%x"),
        instance("i", "adder", "%r", "%b"),
        added("s", "%b", "%i", "%a"),
        scale("n", "%s"),
    )
    module = inlined(parse, ctx, text + adder)
    assert sorted(terms(module)) == sorted([["a", "input"], ["b", "b", "i.t", "a", "input", "a"]])


def test_a_signal_that_is_added_twice_counts_twice(tmp_path: Path) -> None:
    adder = graph("adder", "p q", "o=%s", added("s", "%p", "%q"))
    main = graph(
        "main", "x", "y=%n", instance("i", "adder", "%x", "%x"), instance("j", "adder", "%i", "%x"), scale("n", "%j", 1)
    )
    assert run(tmp_path, main + adder, np.array([[1.0, 10.0]])).tolist() == [[3, 30]]


def test_sums_that_nobody_uses_do_not_stay(ctx: Context, parse: Parse) -> None:
    adder = graph("adder", "p q", "o=%s", added("s", "%p", "%q"))
    main = graph("main", "x z", "y=%n", instance("i", "adder", "%x", "%z"), added("s", "%i", "%x"), scale("n", "%s"))
    assert terms(inlined(parse, ctx, main + adder)) == [["input", "input", "input"]]


def passing(name: str = "wire") -> str:
    return graph(name, "in", "out=%in")


CROSS = graph("cross", "p q", "r=%q s=%p")

WIRES = {
    "one": graph("main", "x", "y=%a", instance("a", "wire", "%x")) + passing(),
    "three": graph(
        "main", "x", "y=%c", *(instance(name, "wire", f"%{source}") for name, source in zip("abc", "xab", strict=True))
    )
    + passing(),
    "crossed": graph("main", "x z", "y=%a#0 w=%a#1", instance("a", "cross", "%x", "%z", results=2)) + CROSS,
    "crossed twice": graph(
        "main",
        "x z",
        "w=%b#0 y=%b#1",
        instance("a", "cross", "%x", "%z", results=2),
        instance("b", "cross", "%a#0", "%a#1", results=2),
    )
    + CROSS,
    "out of one port into the other": graph("main", "x", "y=%a#0", instance("a", "cross", "%x", "%a#1", results=2))
    + CROSS,
    "before its definition": graph("main", "x", "y=%b", instance("b", "wire", "%a"), instance("a", "wire", "%x"))
    + passing(),
    "within": graph("main", "x", "y=%a", instance("a", "hull", "%x"))
    + graph("hull", "in", "out=%w", instance("w", "wire", "%in"))
    + passing(),
}
"""What carries x to y and z to w, through ports alone."""


@pytest.mark.parametrize("case", WIRES)
def test_ports_alone_carry_a_signal(ctx: Context, parse: Parse, case: str) -> None:
    found = outermost(inlined(parse, ctx, WIRES[case]))
    carried = dict(zip((name.data for name in found.outputs), found.yielded.values, strict=True))
    arguments = dict(zip((name.data for name in found.inputs), found.body.block.args, strict=True))
    if case == "crossed":
        assert carried == {"y": arguments["z"], "w": arguments["x"]}
    else:
        expected = {"y": "x"} if len(arguments) == 1 else {"y": "z", "w": "x"}
        if case == "crossed twice":
            expected = {"w": "x", "y": "z"}
        assert carried == {name: arguments[source] for name, source in expected.items()}
    assert list(found.nodes()) == []


def test_a_signal_that_enters_again_at_another_port(ctx: Context, parse: Parse) -> None:
    """No loop: x, the node, out, q, s."""
    sub = graph("sub", "p q", "r=%n s=%q", scale("n", "%p"))
    found = outermost(
        inlined(parse, ctx, graph("main", "x", "y=%a#1", instance("a", "sub", "%x", "%a#0", results=2)) + sub)
    )
    (node,) = found.nodes()
    assert list(found.yielded.values) == [node.output]


LOOPS = {
    "itself": graph("main", "x", "y=%a", instance("a", "wire", "%a")) + passing(),
    "ring": graph("main", "x", "y=%a", instance("a", "wire", "%b"), instance("b", "wire", "%a")) + passing(),
    "crossed": graph("main", "x", "y=%a#0", instance("a", "cross", "%a#1", "%a#0", results=2)) + CROSS,
    "sum": graph("main", "x", "y=%a", added("s", "%x", "%a"), instance("a", "wire", "%s")) + passing(),
    "sums": graph("main", "x", "y=%a", instance("a", "adder", "%x", "%b"), instance("b", "adder", "%x", "%a"))
    + graph("adder", "p q", "o=%s", added("s", "%p", "%q")),
    "within": graph("main", "x", "y=%a", instance("a", "hull", "%x"))
    + graph("hull", "in", "out=%w", instance("w", "wire", "%w"))
    + passing(),
}


@pytest.mark.parametrize("case", LOOPS)
def test_a_loop_through_ports_alone_is_refused(opt: Callable[[str, str], str], tmp_path: Path, case: str) -> None:
    with pytest.raises(PassFailedException, match=r"loop .*has no node in it"):
        opt(LOOPS[case], "nir-inline-graphs")
    (tmp_path / "model.mlir").write_text(LOOPS[case])
    with pytest.raises(DiagnosticException):
        nirc.compile(tmp_path / "model.mlir", dt=1.0)


REFUSED = {
    "itself": (
        graph("main", "x", "y=%a", instance("a", "sub", "%x"))
        + graph("sub", "in", "out=%b", instance("b", "sub", "%in")),
        "the nir.graph @sub contains itself",
    ),
    "each other": (
        graph("main", "x", "y=%a", instance("a", "sub", "%x"))
        + graph("sub", "in", "out=%b", instance("b", "other", "%in"))
        + graph("other", "in", "out=%b", instance("b", "sub", "%in")),
        "the nir.graph @sub contains itself",
    ),
    "the outermost": (graph("main", "x", "y=%a", instance("a", "main", "%x")), "the nir.graph @main contains itself"),
    "no such graph": (
        graph("main", "x", "y=%a", instance("a", "sub", "%x")),
        "instance 'a': there is no nir.graph @sub",
    ),
    "inputs": (
        graph("main", "x", "y=%a", instance("a", "layer", "%x", "%x")) + LAYER,
        "instance 'a': 2 inputs and 1 outputs, but @layer has 1 and 1",
    ),
    "outputs": (
        graph("main", "x", "y=%a#0", instance("a", "layer", "%x", results=2)) + LAYER,
        "instance 'a': 1 inputs and 2 outputs, but @layer has 1 and 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("step", ["nir-inline-graphs", "nir-infer-shapes"])
def test_refused(opt: Callable[[str, str], str], case: str, step: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(DiagnosticException) as raised:
        opt(text, step)
    assert message in str(raised.value)


def doubling(levels: int) -> str:
    """2^levels leaky integrators."""
    text = ""
    for level in range(levels):
        inner = f"g{level + 1}" if level + 1 < levels else "layer"
        name = f"g{level}" if level else "main"
        text += graph(name, "in", "out=%b", instance("a", inner, "%in"), instance("b", inner, "%a"))
    return text + LAYER


def test_the_limit_lets_through_what_it_names(ctx: Context, parse: Parse) -> None:
    """Three graphs of one node each: between 3 and some 10 operations, yields and instances counted or not."""
    text = graph(
        "main", "x", "y=%c", *(instance(name, "layer", f"%{source}") for name, source in zip("abc", "xab", strict=True))
    )
    assert len(names(inlined(parse, ctx, text + LAYER, 10))) == 3
    with pytest.raises(PassFailedException, match="hold more than 2 operations in all"):
        inlined(parse, ctx, text + LAYER, 2)


@pytest.mark.parametrize("levels", [12, 40, 200])
def test_graphs_that_double_at_each_level_stop_at_the_limit(ctx: Context, parse: Parse, levels: int) -> None:
    with pytest.raises(PassFailedException, match="hold more than 1,000 operations in all"):
        inlined(parse, ctx, doubling(levels), 1000)


def test_sums_that_double_stop_at_the_limit(ctx: Context, parse: Parse) -> None:
    """14 graphs of one sum each make a sum of 2^14 terms."""
    lines = [instance(f"s{n}", "adder", *([f"%s{n - 1}" if n else "%x"] * 2)) for n in range(14)]
    text = graph("main", "x", "y=%n", *lines, scale("n", "%s13")) + graph(
        "adder", "p q", "o=%s", added("s", "%p", "%q")
    )
    with pytest.raises(PassFailedException, match="more than 1,000"):
        inlined(parse, ctx, text, 1000)


def run(folder: Path, text: str, x: Array) -> Array:
    """The network of a text over time, dt = 1."""
    path = folder / "model.mlir"
    path.write_text(text)
    result: Array = nirc.compile(path, dt=1.0, scheme="nir-euler,if_gain=r*dt", precision="f64").run(x)
    return result


def lif(name: str, source: str) -> str:
    numbers = {"tau": 3.0, "r": 1.5, "v_leak": 0.1, "v_threshold": 0.7, "v_reset": 0.2}
    fields = ", ".join(f"{key} = dense<{value}> : tensor<2xf64>" for key, value in numbers.items())
    return f'%{name.replace(".", "_")} = nir.lif "{name}"({source}) {{{fields}}} : ({S}) -> {S}'


def mix(name: str, source: str) -> str:
    held = "weight = dense<[[0.5, -0.25], [0.75, 0.125]]> : tensor<2x2xf64>"
    return f'%{name.replace(".", "_")} = nir.linear "{name}"({source}) {{{held}}} : ({S}) -> {S}'


RNN = graph("rnn", "in", "out=%n", added("s", "%in", "%w"), lif("n", "%s"), mix("w", "%n"))

FLATTENED = {
    "recurrent layer": (
        graph("main", "x", "y=%a", instance("a", "rnn", "%x")) + RNN,
        graph("main", "x", "y=%a_n", added("s", "%x", "%a_w"), lif("a.n", "%s"), mix("a.w", "%a_n")),
    ),
    "two recurrent layers": (
        graph("main", "x", "y=%b", instance("a", "rnn", "%x"), mix("m", "%a"), instance("b", "rnn", "%m")) + RNN,
        graph(
            "main",
            "x",
            "y=%b_n",
            added("s", "%x", "%a_w"),
            lif("a.n", "%s"),
            mix("a.w", "%a_n"),
            mix("m", "%a_n"),
            added("t", "%m", "%b_w"),
            lif("b.n", "%t"),
            mix("b.w", "%b_n"),
        ),
    ),
    "a loop around a graph": (
        graph("main", "x", "y=%a", added("s", "%x", "%m"), instance("a", "rnn", "%s"), mix("m", "%a")) + RNN,
        graph(
            "main",
            "x",
            "y=%a_n",
            added("s", "%x", "%m", "%a_w"),
            lif("a.n", "%s"),
            mix("a.w", "%a_n"),
            mix("m", "%a_n"),
        ),
    ),
    "a loop through two ports": (
        graph("main", "x", "y=%a#0", instance("a", "cell", "%x", "%a#1", results=2))
        + graph("cell", "in rec", "out=%n again=%w", added("s", "%in", "%rec"), lif("n", "%s"), mix("w", "%n")),
        graph("main", "x", "y=%a_n", added("s", "%x", "%a_w"), lif("a.n", "%s"), mix("a.w", "%a_n")),
    ),
    "a loop through half of two graphs": (
        graph(
            "main", "x", "y=%a", added("s", "%x", "%b"), instance("a", "spikes", "%s"), instance("b", "weights", "%a")
        )
        + graph("spikes", "in", "out=%n", lif("n", "%in"))
        + graph("weights", "in", "out=%w", mix("w", "%in")),
        graph("main", "x", "y=%a_n", added("s", "%x", "%b_w"), lif("a.n", "%s"), mix("b.w", "%a_n")),
    ),
    "a graph within a graph twice": (
        graph("main", "x", "y=%b", instance("a", "hull", "%x"), instance("b", "hull", "%a"))
        + graph("hull", "in", "out=%l", mix("m", "%in"), instance("l", "rnn", "%m"))
        + RNN,
        graph(
            "main",
            "x",
            "y=%b_l_n",
            mix("a.m", "%x"),
            added("s", "%a_m", "%a_l_w"),
            lif("a.l.n", "%s"),
            mix("a.l.w", "%a_l_n"),
            mix("b.m", "%a_l_n"),
            added("t", "%b_m", "%b_l_w"),
            lif("b.l.n", "%t"),
            mix("b.l.w", "%b_l_n"),
        ),
    ),
    "sums": (
        graph("main", "x", "y=%b", mix("m", "%x"), instance("a", "adder", "%x", "%m"), instance("b", "rnn", "%a"))
        + graph("adder", "p q", "o=%s", added("s", "%q", "%t", "%p"), mix("t", "%p"))
        + RNN,
        graph(
            "main",
            "x",
            "y=%b_n",
            mix("m", "%x"),
            mix("a.t", "%x"),
            added("s", "%m", "%a_t", "%x", "%b_w"),
            lif("b.n", "%s"),
            mix("b.w", "%b_n"),
        ),
    ),
}
"""Nested networks, and the same written out by hand."""


@pytest.mark.parametrize("case", FLATTENED)
def test_a_nested_network_computes_what_the_flat_one_does(tmp_path: Path, case: str) -> None:
    nested, flat = FLATTENED[case]
    x = np.random.default_rng(7).uniform(-1, 6, (40, 2))
    results = [run(tmp_path, text, x) for text in (nested, flat)]
    assert 0 < results[1].sum() < results[1].size
    assert results[0].tolist() == results[1].tolist()


def test_the_second_run_changes_nothing(opt: Callable[[str, str], str]) -> None:
    once = opt(GOLDEN["levels"], "nir-inline-graphs")
    assert opt(once, "nir-inline-graphs") == once


def test_two_outermost_graphs_may_share_one(ctx: Context, parse: Parse) -> None:
    text = "".join(graph(name, "x", "y=%a", instance("a", "layer", "%x")) for name in ("main", "other"))
    module = inlined(parse, ctx, text + LAYER)
    graphs = [op for op in module.ops if isinstance(op, GraphOp)]
    assert [op.sym_name.data for op in graphs] == ["main", "other"]
    assert [[node.node.data for node in op.nodes()] for op in graphs] == [["a.li"], ["a.li"]]
    assert graph_of(module) is graphs[0]
