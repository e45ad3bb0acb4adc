"""`nir-infer-shapes`: shapes by the formulas of NIR's nodes, what cannot fit, and what is dropped or broadcast."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects.dense import array, as_dense
from nirc.dialects.nir import assumptions, graph_of
from nirc.passes.nir_infer_shapes import infer_shapes


def zeros(*shape: int) -> str:
    return f"dense<0.0> : tensor<{''.join(f'{n}x' for n in shape)}f32>"


def ones(*shape: int) -> str:
    return f"dense<1.0> : tensor<{''.join(f'{n}x' for n in shape)}f32>"


def linear(name: str, source: str, rows: int, columns: int) -> str:
    return node(name, "linear", source, f"weight = {zeros(rows, columns)}")


def neuron(name: str, source: str, *shape: int) -> str:
    """An IF node; without a shape its parameters are single numbers."""
    return node(name, "if", source, f"r = {ones(*shape)}, v_threshold = {ones(*shape)}")


def conv(name: str, source: str, kernel: tuple[int, int, int, int], more: str = "") -> str:
    fields = {
        "weight": zeros(*kernel),
        "bias": zeros(kernel[0]),
        "stride": "array<i64: 1, 1>",
        "padding": "array<i64: 0, 0>",
        "dilation": "array<i64: 1, 1>",
        "groups": "1 : i64",
    }
    changes = dict(change.split(" = ") for change in more.split("; ") if change)
    return node(name, "conv2d", source, ", ".join(f"{key} = {value}" for key, value in {**fields, **changes}.items()))


def pool(name: str, source: str, kernel: str, stride: str, padding: str) -> str:
    fields = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return node(name, "sum_pool2d", source, ", ".join(f"{key} = array<i64: {n}>" for key, n in fields.items()))


def flatten(name: str, source: str, start: int, end: int) -> str:
    return node(name, "flatten", source, f"start_dim = {start} : i64, end_dim = {end} : i64")


def node(name: str, op: str, source: str, fields: str) -> str:
    taken = "TYPE_OF_X" if source == "x" else "!nir.signal<*>"
    return f'%{name} = nir.{op} "{name}"(%{source}) {{{fields}}} : ({taken}) -> !nir.signal<*>\n'


def added(name: str, *sources: str) -> str:
    types = ", ".join("TYPE_OF_X" if source == "x" else "!nir.signal<*>" for source in sources)
    return f"%{name} = nir.sum {', '.join(f'%{source}' for source in sources)} : ({types}) -> !nir.signal<*>\n"


def graph(shape: str, *nodes: str, output: str = "n") -> str:
    text = (
        'nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {\n^bb0(%x: TYPE_OF_X):\n'
        f"{''.join(nodes)}nir.yield %{output} : !nir.signal<*>\n}}\n"
    )
    return text.replace("TYPE_OF_X", f"!nir.signal<{shape}>")


def shapes(module: ModuleOp) -> dict[str, tuple[int, ...] | None]:
    found = graph_of(module)
    assert found is not None
    return {op.node.data: op.output.type.shape for op in found.nodes()}


def said(module: ModuleOp) -> list[str]:
    return [str(item) for item in assumptions(module)]


INFERRED = {
    "linear": (graph("3", linear("n", "x", 2, 3)), (2,)),
    "neuron": (graph("3x4", neuron("n", "x")), (3, 4)),
    "neuron with a shape": (graph("3x4", neuron("n", "x", 3, 4)), (3, 4)),
    # (size + 2 padding - dilation (kernel - 1) - 1) // stride + 1
    "conv2d": (graph("2x8x9", conv("n", "x", (5, 2, 3, 4))), (5, 6, 6)),
    "conv2d stride": (graph("2x8x9", conv("n", "x", (5, 2, 3, 4), "stride = array<i64: 2, 3>")), (5, 3, 2)),
    "conv2d padding": (graph("2x8x9", conv("n", "x", (5, 2, 3, 4), "padding = array<i64: 1, 2>")), (5, 8, 10)),
    "conv2d dilation": (graph("2x8x9", conv("n", "x", (5, 2, 3, 4), "dilation = array<i64: 3, 2>")), (5, 2, 3)),
    "conv2d same": (graph("2x8x9", conv("n", "x", (5, 2, 4, 4), 'padding = "same"')), (5, 8, 9)),
    "conv2d valid": (graph("2x8x9", conv("n", "x", (5, 2, 3, 4), 'padding = "valid"')), (5, 6, 6)),
    "conv2d groups": (graph("2x8x9", conv("n", "x", (4, 1, 3, 4), "groups = 2 : i64")), (4, 6, 6)),
    "sum_pool2d": (graph("2x8x9", pool("n", "x", "3, 2", "2, 2", "0, 0")), (2, 3, 4)),
    "sum_pool2d padding": (graph("2x8x9", pool("n", "x", "3, 2", "2, 2", "1, 1")), (2, 4, 5)),
    "flatten": (graph("2x3x4", flatten("n", "x", 0, -1)), (24,)),
    "flatten last": (graph("2x3x4", flatten("n", "x", 1, -1)), (2, 12)),
    "flatten first": (graph("2x3x4", flatten("n", "x", 0, 1)), (6, 4)),
    "flatten none": (graph("2x3x4", flatten("n", "x", 1, 1)), (2, 3, 4)),
    "several edges": (graph("3", added("s", "x", "n"), neuron("n", "s")), (3,)),
    "backwards from a sum": (graph("2", added("s", "x", "n"), linear("n", "m", 2, 5), linear("m", "s", 5, 2)), (2,)),
    "input from a linear": (graph("*", linear("n", "x", 2, 3)), (2,)),
    "input from a neuron": (graph("*", neuron("n", "x", 4)), (4,)),
}


@pytest.mark.parametrize("case", INFERRED)
def test_the_shape_of_a_node(parse: Callable[[str], ModuleOp], case: str) -> None:
    text, shape = INFERRED[case]
    module = parse(text)
    assert infer_shapes(module) == []
    module.verify()
    assert shapes(module)["n"] == shape


def test_a_chain_is_inferred_whatever_its_order_in_the_text(parse: Callable[[str], ModuleOp]) -> None:
    nodes = [
        conv("a", "x", (4, 2, 3, 3)),
        neuron("b", "a"),
        pool("c", "b", "2, 2", "2, 2", "0, 0"),
        flatten("d", "c", 0, -1),
        linear("n", "d", 10, 36),
    ]
    expected = {"a": (4, 6, 6), "b": (4, 6, 6), "c": (4, 3, 3), "d": (36,), "n": (10,)}
    for order in (nodes, nodes[::-1]):
        module = parse(graph("2x8x8", *order))
        assert infer_shapes(module) == []
        assert shapes(module) == expected


def test_a_second_run_changes_nothing(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(graph("1x6x3", linear("a", "x", 2, 3), neuron("n", "a", 1)))
    assert infer_shapes(module) == []
    text = str(module)
    assert infer_shapes(module) == []
    assert str(module) == text


REFUSED = {
    "linear": (
        graph("4", linear("n", "x", 2, 3)),
        ["node 'n' (Linear): weight has 3 columns (2x3), but a signal of shape 4 arrives"],
    ),
    "neuron": (
        graph("4", neuron("n", "x", 3)),
        ["node 'n' (IF): its parameters are for 3 elements, but a signal of shape 4 arrives"],
    ),
    "conv2d": (
        graph("3x8x8", conv("n", "x", (4, 2, 3, 3))),
        ["node 'n' (Conv2d): weight takes 2 channels (weight 4x2x3x3, groups 1), but a signal of shape 3x8x8 arrives"],
    ),
    "conv2d window": (
        graph("2x8x2", conv("n", "x", (4, 2, 3, 3))),
        ["node 'n' (Conv2d): the window's axis 1 reaches over 3 places, but with padding there are 2"],
    ),
    "pool": (
        graph("8", pool("n", "x", "2, 2", "2, 2", "0, 0")),
        ["node 'n' (SumPool2d): pools channels, rows and columns, but a signal of shape 8 arrives"],
    ),
    "flatten": (
        graph("2x3", flatten("n", "x", 0, 2)),
        ["node 'n' (Flatten): start_dim 0 to end_dim 2 names no axes of a signal 2x3"],
    ),
    "edges": (
        graph("2", linear("a", "x", 3, 2), linear("b", "x", 4, 2), added("s", "a", "b"), neuron("n", "s")),
        ["node 'n': its edges carry signals of unequal shape: 'a' 3, 'b' 4"],
    ),
    "edges into an output": (
        graph("2", linear("a", "x", 3, 2), added("s", "a", "x"), output="s"),
        ["node an Output: its edges carry signals of unequal shape: 'a' 3, 'x' 2"],
    ),
    "two nodes": (
        graph("4", linear("a", "x", 2, 3), linear("n", "x", 2, 5)),
        [
            "node 'a' (Linear): weight has 3 columns (2x3), but a signal of shape 4 arrives",
            "node 'n' (Linear): weight has 5 columns (2x5), but a signal of shape 4 arrives",
        ],
    ),
    "unknown after a node": (
        graph("*", neuron("a", "x"), neuron("n", "a")),
        ["node 'a' (IF): its shape cannot be found", "node 'n' (IF): its shape cannot be found"],
    ),
    "unknown at an input": (graph("*", neuron("n", "x")), ["node 'n' (IF): its shape cannot be found"]),
    "unknown behind a sum": (
        graph("*", added("s", "x", "n"), neuron("n", "s")),
        ["node 'n' (IF): its shape cannot be found"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said(parse: Callable[[str], ModuleOp], case: str) -> None:
    text, messages = REFUSED[case]
    faults = infer_shapes(parse(text))
    assert [fault.split(";")[0] for fault in faults] == messages


def test_the_pass_raises_all_faults(opt: Callable[[str, str], str]) -> None:
    text, messages = REFUSED["two nodes"]
    with pytest.raises(PassFailedException) as raised:
        opt(text, "nir-infer-shapes")
    assert str(raised.value).splitlines() == messages


@pytest.mark.parametrize(
    ("text", "shape", "dropped"),
    [
        (graph("1x6x3", linear("n", "x", 2, 3)), (2,), "'x' is 1x6x3 in the file; its leading 1x6 is"),
        (graph("7x2x8x8", conv("n", "x", (4, 2, 3, 3))), (4, 6, 6), "'x' is 7x2x8x8 in the file; its leading 7 is"),
        (graph("1x1x4x4", pool("n", "x", "2, 2", "2, 2", "0, 0")), (1, 2, 2), "'x' is 1x1x4x4 in the file; its"),
    ],
)
def test_leading_axes_are_dropped_and_said(
    parse: Callable[[str], ModuleOp], text: str, shape: tuple[int, ...], dropped: str
) -> None:
    module = parse(text)
    assert infer_shapes(module) == []
    assert shapes(module)["n"] == shape
    (statement,) = said(module)
    assert statement.startswith(f"input shape: {dropped}")


@pytest.mark.parametrize("text", [graph("1x6x3", neuron("n", "x")), graph("1x6x3", flatten("n", "x", 1, -1))])
def test_neurons_and_flatten_drop_no_axes(parse: Callable[[str], ModuleOp], text: str) -> None:
    module = parse(text)
    assert infer_shapes(module) == []
    assert said(module) == []
    assert shapes(module)["n"] in ((1, 6, 3), (1, 18))


def test_the_first_consumer_by_name_decides(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(graph("1x3", neuron("b", "x"), linear("a", "x", 2, 3), linear("n", "a", 1, 2)))
    assert infer_shapes(module) == []
    assert shapes(module) == {"b": (3,), "a": (2,), "n": (1,)}


def parameters(module: ModuleOp, name: str) -> dict[str, tuple[tuple[int, ...], list[float]]]:
    found = graph_of(module)
    assert found is not None
    (op,) = [op for op in found.nodes() if op.node.data == name]
    held = {key: array(attr) for key, value in op.properties.items() if (attr := as_dense(value)) is not None}
    return {key: (values.shape, values.ravel().tolist()) for key, values in held.items()}


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1)])
def test_parameters_of_one_element_stand_for_all_neurons(
    parse: Callable[[str], ModuleOp], shape: tuple[int, ...]
) -> None:
    module = parse(graph("4x5x5", neuron("n", "x", *shape)))
    assert infer_shapes(module) == []
    module.verify()
    assert shapes(module)["n"] == (4, 5, 5)
    assert parameters(module, "n") == {"r": (shape, [1.0]), "v_threshold": (shape, [1.0])}
    assert said(module) == ["broadcast: parameters of one element stand for every element of 'n'"]


def test_a_single_neuron_needs_no_broadcast(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(graph("1", neuron("n", "x", 1)))
    assert infer_shapes(module) == []
    assert said(module) == []


def test_single_numbers_and_full_shapes_stay(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(graph("2", node("n", "if", "x", f"r = {ones()}, v_threshold = {ones(2)}")))
    assert infer_shapes(module) == []
    assert parameters(module, "n") == {"r": ((), [1.0]), "v_threshold": ((2,), [1.0, 1.0])}
    assert said(module) == []
