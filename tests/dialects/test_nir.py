"""The `nir` dialect: what its verifier refuses, in its words, and that text reads back."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import BytesAttr, DenseIntOrFPElementsAttr, ModuleOp, f32
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from nirc.dialects.dense import array, dense, tensor
from nirc.dialects.nir import (
    NODE_OPS,
    AssumptionAttr,
    DelayOp,
    InstanceOp,
    LIFOp,
    SignalType,
    assume,
    assumptions,
    callees,
    graph_of,
    quote,
    set_time_step,
    time_step,
)
from nirc.frontend.read_nir import read_nir
from nirc.passes.nir_infer_shapes import infer_shapes

F32 = "tensor<f32>"


def number(value: float) -> str:
    return f"dense<{value:.6e}> : {F32}"


def listed(*values: float) -> str:
    return f"dense<[{', '.join(f'{value:.6e}' for value in values)}]> : tensor<{len(values)}xf32>"


def zeros(*shape: int) -> str:
    return f"dense<0.0> : tensor<{''.join(f'{n}x' for n in shape)}f32>"


def graph(node: str, inputs: str = '"x"', outputs: str = '"y"') -> str:
    """A graph around the lines of `node`, which take %x of shape 2 and give %n."""
    return (
        f"nir.graph @main attributes {{inputs = [{inputs}], outputs = [{outputs}]}} {{\n"
        f"^bb0(%x: !nir.signal<2>):\n{node}\nnir.yield %n : !nir.signal<*>\n}}\n"
    )


def node(op: str, **fields: str) -> str:
    """A node `n` with fields in text."""
    held = ", ".join(f"{name} = {value}" for name, value in fields.items())
    return graph(f'%n = nir.{op} "n"(%x) {{{held}}} : (!nir.signal<2>) -> !nir.signal<*>')


def lif(**changes: str) -> str:
    return node("lif", **{"tau": number(0.02), "r": number(1), "v_leak": number(0), "v_threshold": number(1)} | changes)


def cuba_lif(**changes: str) -> str:
    fields = dict.fromkeys(("tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold"), number(1))
    return node("cuba_lif", **fields | changes)


def conv2d(**changes: str) -> str:
    pairs = dict.fromkeys(("stride", "dilation"), "array<i64: 1, 1>")
    fields = {"weight": zeros(2, 1, 3, 3), "bias": zeros(2), **pairs, "padding": "array<i64: 0, 0>"}
    return node("conv2d", **fields | {"groups": "1 : i64"} | changes)


def pool(**changes: str) -> str:
    pairs = dict.fromkeys(("kernel_size", "stride"), "array<i64: 2, 2>")
    return node("sum_pool2d", **pairs | {"padding": "array<i64: 0, 0>"} | changes)


def conv1d(**changes: str) -> str:
    ones = dict.fromkeys(("stride", "dilation"), "array<i64: 1>")
    fields = {"weight": zeros(2, 1, 3), "bias": zeros(2), **ones, "padding": "array<i64: 0>"}
    return node("conv1d", **fields | {"groups": "1 : i64"} | changes)


def avg_pool(**changes: str) -> str:
    return pool(**changes).replace("nir.sum_pool2d", "nir.avg_pool2d")


def cuba_li(**changes: str) -> str:
    return node("cuba_li", **dict.fromkeys(("tau_mem", "tau_syn", "r", "w_in", "v_leak"), number(1)) | changes)


def nested(symbol: str = "@sub", inside: str = "") -> str:
    """A graph with an instance `n` of the graph @sub, which holds `inside` and a Scale."""
    inner = graph(
        f'{inside}%n = nir.scale "n"(%x) {{scale = {number(2)}}} : (!nir.signal<2>) -> !nir.signal<*>'
    ).replace("@main", "@sub")
    return graph(f'%n = nir.instance "n" of {symbol}(%x) : (!nir.signal<2>) -> !nir.signal<*>') + inner


REFUSED = {
    "parameter of a type": (lif(r="dense<1> : tensor<i4>"), "node 'n': r: has elements of type i4"),
    "lif tau 0": (lif(tau=number(0)), "node 'n': tau: 0, must be > 0"),
    "lif tau negative": (lif(tau=listed(1, -0.5)), "node 'n': tau: -0.5 at index 1, must be > 0"),
    "lif tau zeros": (lif(tau=listed(0, 1, 0, 0)), "node 'n': tau: 0 at index 0 and at 2 more, must be > 0"),
    "li tau": (node("li", tau=number(0), r=number(1), v_leak=number(0)), "node 'n': tau: 0, must be > 0"),
    "cuba tau_mem": (cuba_lif(tau_mem=number(-1)), "node 'n': tau_mem: -1, must be > 0"),
    "cuba tau_syn": (cuba_lif(tau_syn=number(0)), "node 'n': tau_syn: 0, must be > 0"),
    "neurons of unequal shape": (
        lif(tau=listed(1, 1), r=listed(1, 1, 1)),
        r"node 'n': parameters of unequal shape: tau 2, r 3; each must be one number or have the shape of the neurons",
    ),
    "two faults of one node": (cuba_lif(tau_mem=number(0), tau_syn=number(-1)), "tau_mem: 0, .*; tau_syn: -1, "),
    "weight rank": (node("linear", weight=zeros(2)), "node 'n': weight: shape 2, must have 2 axes"),
    "conv weight rank": (conv2d(weight=zeros(2, 3)), "node 'n': weight: shape 2x3, must have 4 axes"),
    "linear bias": (node("linear", weight=zeros(2, 2), bias=zeros(2)), "node 'n': bias: Linear has none, Affine has"),
    "affine without bias": (node("affine", weight=zeros(2, 2)), "node 'n': bias: missing; Linear has none"),
    "affine bias length": (
        node("affine", weight=zeros(2, 2), bias=zeros(3)),
        "node 'n': bias: shape 3, must be 2 like the rows of weight",
    ),
    "conv bias length": (conv2d(bias=zeros(3)), "node 'n': bias: shape 3, must be 2 like the rows of weight"),
    "stride 0": (conv2d(stride="array<i64: 1, 0>"), "node 'n': stride: 0, must be at least 1"),
    "stride of three": (conv2d(stride="array<i64: 1, 1, 1>"), "node 'n': stride: 3 numbers, must be 2 or one\n"),
    "stride of none": (conv2d(stride="array<i64>"), "node 'n': stride: 0 numbers, must be 2 or one\n"),
    "single stride 0": (conv2d(stride="0 : i64"), "node 'n': stride: 0, must be at least 1"),
    "single padding negative": (conv2d(padding="-2 : i64"), "node 'n': padding: -2, must be at least 0"),
    "dilation 0": (conv2d(dilation="array<i64: 0, 1>"), "node 'n': dilation: 0, must be at least 1"),
    "padding negative": (conv2d(padding="array<i64: -1, 0>"), "node 'n': padding: -1, must be at least 0"),
    "padding word": (conv2d(padding='"full"'), "node 'n': padding: 'full', must be numbers, 'same' or 'valid'"),
    "same with stride": (
        conv2d(padding='"same"', stride="array<i64: 1, 2>"),
        "node 'n': padding: 'same' needs stride 1",
    ),
    "same with a single stride": (
        conv2d(padding='"same"', stride="2 : i64"),
        "node 'n': padding: 'same' needs stride 1",
    ),
    "groups": (conv2d(groups="3 : i64"), "node 'n': groups: 3, must divide the 2 output channels"),
    "groups 0": (conv2d(groups="0 : i64"), "node 'n': groups: 0, must divide the 2 output channels"),
    "pool kernel": (pool(kernel_size="array<i64: 0, 2>"), "node 'n': kernel_size: 0, must be at least 1"),
    "pool stride": (pool(stride="array<i64: 2, 0>"), "node 'n': stride: 0, must be at least 1"),
    "pool padding": (pool(padding="array<i64: 0, -2>"), "node 'n': padding: -2, must be at least 0"),
    "pool kernel of three": (
        pool(kernel_size="array<i64: 2, 2, 2>"),
        "node 'n': kernel_size: 3 numbers, must be 2 or one",
    ),
    "avg pool kernel": (avg_pool(kernel_size="0 : i64"), "node 'n': kernel_size: 0, must be at least 1"),
    "avg pool stride": (avg_pool(stride="array<i64: 2, 0>"), "node 'n': stride: 0, must be at least 1"),
    "avg pool padding": (avg_pool(padding="-1 : i64"), "node 'n': padding: -1, must be at least 0"),
    "conv1d weight rank": (conv1d(weight=zeros(2, 1, 3, 3)), "node 'n': weight: shape 2x1x3x3, must have 3 axes"),
    "conv1d bias length": (conv1d(bias=zeros(3)), "node 'n': bias: shape 3, must be 2 like the rows of weight"),
    "conv1d stride of two": (conv1d(stride="array<i64: 1, 1>"), "node 'n': stride: 2 numbers, must be 1 or one"),
    "conv1d stride 0": (conv1d(stride="0 : i64"), "node 'n': stride: 0, must be at least 1"),
    "conv1d dilation 0": (conv1d(dilation="array<i64: 0>"), "node 'n': dilation: 0, must be at least 1"),
    "conv1d padding negative": (conv1d(padding="array<i64: -1>"), "node 'n': padding: -1, must be at least 0"),
    "conv1d padding word": (conv1d(padding='"full"'), "node 'n': padding: 'full', must be numbers, 'same' or 'valid'"),
    "conv1d same with stride": (conv1d(padding='"same"', stride="2 : i64"), "node 'n': padding: 'same' needs stride 1"),
    "conv1d groups": (conv1d(groups="3 : i64"), "node 'n': groups: 3, must divide the 2 output channels"),
    "delay negative": (node("delay", delay=listed(0, -0.5)), "node 'n': delay: -0.5 at index 1, must be >= 0"),
    "delay too long": (
        node("delay", delay=number(2.0**25)),
        r"node 'n': delay: 3.35544e\+07, must be at most 16,777,216 \(a buffer of as many steps at dt = 1 s, ",
    ),
    "cuba_li tau_mem": (cuba_li(tau_mem=number(0)), "node 'n': tau_mem: 0, must be > 0"),
    "cuba_li tau_syn": (cuba_li(tau_syn=listed(1, -1)), "node 'n': tau_syn: -1 at index 1, must be > 0"),
    "cuba_li of unequal shape": (
        cuba_li(r=listed(1, 1), w_in=listed(1, 1, 1)),
        "node 'n': parameters of unequal shape: r 2, w_in 3; each must be one number or have the shape of the neurons",
    ),
    "sum of one": (
        graph(
            "%s = nir.sum %x : (!nir.signal<2>) -> !nir.signal<2>\n"
            '%n = nir.flatten "n"(%s) {start_dim = 0 : i64, end_dim = -1 : i64} : (!nir.signal<2>) -> !nir.signal<*>'
        ),
        "a sum takes at least two signals",
    ),
    "sum of unequal shapes": (
        graph("%n = nir.sum %x, %m : (!nir.signal<2>, !nir.signal<3>) -> !nir.signal<*>").replace(
            "%x: !nir.signal<2>", "%x: !nir.signal<2>, %m: !nir.signal<3>"
        ),
        "signals of unequal shape are added: 2, 3",
    ),
    "output shape": (
        lif().replace("!nir.signal<*>", "!nir.signal<3>"),
        "node 'n': the output cannot have the shape 3",
    ),
    "input shape": (
        lif(tau=listed(1, 1, 1)).replace("!nir.signal<*>", "!nir.signal<3>"),
        "its parameters are for 3 elements, but a signal of shape 2 arrives",
    ),
    "matrix input": (
        node("linear", weight=zeros(4, 3)).replace("!nir.signal<*>", "!nir.signal<4>"),
        r"weight has 3 columns \(4x3\), but a signal of shape 2 arrives",
    ),
    "conv input": (
        conv2d().replace("!nir.signal<*>", "!nir.signal<2x1x1>"),
        r"weight takes 1 channels \(weight 2x1x3x3, groups 1\), but a signal of shape 2 arrives",
    ),
    "conv window": (
        conv2d().replace("!nir.signal<*>", "!nir.signal<2x1x1>").replace("!nir.signal<2>", "!nir.signal<1x3x2>"),
        "the window's axis 1 reaches over 3 places, but with padding there are 2",
    ),
    "conv1d input": (
        conv1d().replace("!nir.signal<*>", "!nir.signal<2x1>"),
        r"weight takes 1 channels \(weight 2x1x3, groups 1\), but a signal of shape 2 arrives",
    ),
    "conv1d channels": (
        conv1d().replace("!nir.signal<*>", "!nir.signal<2x1>").replace("!nir.signal<2>", "!nir.signal<2x3>"),
        r"weight takes 1 channels \(weight 2x1x3, groups 1\), but a signal of shape 2x3 arrives",
    ),
    "conv1d window": (
        conv1d().replace("!nir.signal<*>", "!nir.signal<2x1>").replace("!nir.signal<2>", "!nir.signal<1x2>"),
        "the window's axis 0 reaches over 3 places, but with padding there are 2",
    ),
    "conv1d places": (
        conv1d().replace("!nir.signal<*>", "!nir.signal<2x1>").replace("!nir.signal<2>", "!nir.signal<1x4>"),
        "node 'n': the output cannot have the shape 2x1",
    ),
    "avg pool input": (
        avg_pool().replace("!nir.signal<*>", "!nir.signal<1>"),
        "pools channels, rows and columns, but a signal of shape 2 arrives",
    ),
    "avg pool window": (
        avg_pool().replace("!nir.signal<*>", "!nir.signal<1x1x1>").replace("!nir.signal<2>", "!nir.signal<1x4x1>"),
        "the window's axis 1 reaches over 2 places, but with padding there are 1",
    ),
    "pool input": (
        pool().replace("!nir.signal<*>", "!nir.signal<1>"),
        "pools channels, rows and columns, but a signal of shape 2 arrives",
    ),
    "pool window": (
        pool().replace("!nir.signal<*>", "!nir.signal<1x1x1>").replace("!nir.signal<2>", "!nir.signal<1x1x4>"),
        "the window's axis 0 reaches over 2 places, but with padding there are 1",
    ),
    "flatten axes": (
        node("flatten", start_dim="1 : i64", end_dim="0 : i64").replace("!nir.signal<*>", "!nir.signal<2>"),
        "start_dim 1 to end_dim 0 names no axes of a signal 2",
    ),
    "sum of a sum": (
        graph(
            "%s = nir.sum %x, %x : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>\n"
            "%n = nir.sum %s, %x : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<*>"
        ),
        "a sum adds signals of nodes, not sums; add them in one",
    ),
    "stated shapes": (
        lif().replace('outputs = ["y"]', 'outputs = ["y"], stated = [!nir.signal<2>]'),
        "1 stated shapes for 1 inputs and 1 outputs",
    ),
    "instance and port of one name": (
        nested().replace('outputs = ["y"]', 'outputs = ["n"]', 1),
        "names must be unique",
    ),
    "instance outside a graph": (
        '%x = "test.op"() : () -> !nir.signal<2>\n'
        '%n = nir.instance "n" of @sub(%x) : (!nir.signal<2>) -> !nir.signal<2>',
        "expects parent op 'nir.graph'",
    ),
    "inputs and arguments": (lif().replace('inputs = ["x"]', 'inputs = ["x", "z"]'), "2 input names for 1 arguments"),
    "outputs and yield": (lif().replace('outputs = ["y"]', "outputs = []"), "0 output names for 1 yielded signals"),
    "argument type": (
        'nir.graph @main attributes {inputs = ["x"], outputs = []} {\n^bb0(%x: f32):\nnir.yield\n}',
        "the arguments of a nir.graph are signals",
    ),
    "no yield": (
        'nir.graph @main attributes {inputs = ["x", "z"], outputs = []} {\n'
        "^bb0(%x: !nir.signal<2>, %z: !nir.signal<2>):\n"
        '"test.end"() : () -> ()\n}',
        "a nir.graph must end in nir.yield",
    ),
    "names twice": (lif().replace('outputs = ["y"]', 'outputs = ["n"]'), "names must be unique, 'n' is not"),
    "names of ports": (lif().replace('outputs = ["y"]', 'outputs = ["x"]'), "names must be unique, 'x' is not"),
    "node outside a graph": (
        '%x = "test.op"() : () -> !nir.signal<2>\n'
        '%n = nir.flatten "n"(%x) {start_dim = 0 : i64, end_dim = 0 : i64} : (!nir.signal<2>) -> !nir.signal<2>',
        "expects parent op 'nir.graph'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(ctx: Context, case: str) -> None:
    text, message = REFUSED[case]
    module = Parser(allowing_unregistered(ctx), text).parse_module()
    with pytest.raises(VerifyException, match=message):
        module.verify()


@pytest.mark.parametrize(
    ("op", "field"), [("scale", "scale"), ("threshold", "threshold"), ("delay", "delay"), ("i", "r")]
)
def test_a_node_with_one_parameter_is_refused_other_shapes(ctx: Context, op: str, field: str) -> None:
    text = node(op, **{field: listed(1, 1, 1)}).replace("!nir.signal<*>", "!nir.signal<3>")
    with pytest.raises(VerifyException, match="its parameters are for 3 elements, but a signal of shape 2 arrives"):
        Parser(ctx, text).parse_module().verify()


INSTANCES = {
    "of nothing": (nested("@other"), "instance 'n': there is no nir.graph @other"),
    "with too few inputs": (
        nested().replace("@sub(%x) : (!nir.signal<2>)", "@sub() : ()"),
        "instance 'n': 0 inputs and 1 outputs, but @sub has 1 and 1",
    ),
    "with too many outputs": (
        nested()
        .replace("%n = nir.instance", "%n, %m = nir.instance")
        .replace("-> !nir.signal<*>", "-> (!nir.signal<*>, !nir.signal<*>)", 1),
        "instance 'n': 1 inputs and 2 outputs, but @sub has 1 and 1",
    ),
    "of its own graph": (nested("@main"), "the nir.graph @main contains itself"),
    "of a graph in itself": (
        nested(inside='%m = nir.instance "m" of @sub(%x) : (!nir.signal<2>) -> !nir.signal<*>\n'),
        "the nir.graph @sub contains itself",
    ),
    "of a graph that holds the outer one": (
        nested(inside='%m = nir.instance "m" of @main(%x) : (!nir.signal<2>) -> !nir.signal<*>\n'),
        "the nir.graph @(main|sub) contains itself",
    ),
}


@pytest.mark.parametrize("case", INSTANCES)
def test_an_instance_that_cannot_be_is_refused(parse: Callable[[str], ModuleOp], case: str) -> None:
    """By all who follow instances to their graphs; an op alone cannot see the others."""
    text, message = INSTANCES[case]
    with pytest.raises(VerifyException, match=message):
        callees(parse(text))


def test_instances_lead_to_their_graphs(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(nested())
    ((instance, graph),) = callees(module).items()
    assert (instance.node.data, graph.sym_name.data) == ("n", "sub")
    outer = graph_of(module)
    assert outer is not None
    assert outer.sym_name.data == "main"
    assert list(outer.instances()) == [instance]
    assert list(outer.nodes()) == []


def test_the_longest_delay_is_taken(parse: Callable[[str], ModuleOp]) -> None:
    found = graph_of(parse(node("delay", delay="dense<1.6777216e+07> : tensor<f32>")))
    assert found is not None
    assert [array(op.delay) for op in found.nodes() if isinstance(op, DelayOp)] == [2.0**24]


STATES = {
    "linear": (node("linear", weight=zeros(2, 2)), False),
    "scale": (node("scale", scale=number(1)), False),
    "threshold": (node("threshold", threshold=number(1)), False),
    "i": (node("i", r=number(1)), True),
    "lif": (lif(), True),
    "cuba_li": (cuba_li(), True),
    "delay of 0": (node("delay", delay=listed(0, 0)), False),
    "delay of some": (node("delay", delay=listed(0, 1e-9)), True),
}


@pytest.mark.parametrize("case", STATES)
def test_what_remembers(parse: Callable[[str], ModuleOp], case: str) -> None:
    text, expected = STATES[case]
    found = graph_of(parse(text))
    assert found is not None
    assert [op.has_state() for op in found.nodes()] == [expected]


@pytest.mark.parametrize("seconds", [1e-3, 1.0, 0.1, 1e-4 / 3])
def test_the_step_stands_at_the_module_and_reads_back(ctx: Context, seconds: float) -> None:
    module = ModuleOp([])
    assert time_step(module) is None
    set_time_step(module, seconds)
    again = Parser(ctx, str(module)).parse_module()
    assert time_step(again) == seconds


def test_an_attribute_of_another_type_is_no_step(parse: Callable[[str], ModuleOp]) -> None:
    assert time_step(parse('builtin.module attributes {nir.dt = "soon"} {}')) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.nan], "node 'n': tau: nan at index 0, must be finite"),
        ([1.0, np.inf, -np.inf], "node 'n': tau: inf at index 1 and at 1 more, must be finite"),
        ([[1.0, 2.0], [np.nan, 3.0]], r"node 'n': tau: nan at index \(1, 0\), must be finite"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(
    parse: Callable[[str], ModuleOp], values: list[Any], message: str
) -> None:
    """They have no spelling in text that reads back."""
    module = parse(lif())
    (op,) = [op for op in module.walk() if isinstance(op, LIFOp)]
    op.tau = dense(np.array(values, np.float32))
    with pytest.raises(VerifyException, match=message):
        module.verify()


def test_bytes_that_do_not_fill_the_shape_are_refused(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(lif())
    (op,) = [op for op in module.walk() if isinstance(op, LIFOp)]
    op.tau = DenseIntOrFPElementsAttr(tensor((2, 3), f32), BytesAttr(bytes(20)))
    with pytest.raises(VerifyException, match="tau: holds 20 bytes, which do not fill 2x3"):
        module.verify()


def allowing_unregistered(ctx: Context) -> Context:
    clone = ctx.clone()
    clone.allow_unregistered = True
    return clone


def test_a_scalar_weight_of_a_convolution_is_refused(ctx: Context) -> None:
    """It has no rows to compare groups with."""
    with pytest.raises(VerifyException, match="node 'n': weight: shape scalar, must have 4 axes"):
        Parser(ctx, conv2d(weight=number(1))).parse_module().verify()


def test_an_assumption_has_a_kind(ctx: Context) -> None:
    text = 'builtin.module attributes {nir.assumptions = [#nir.assumption<"guess", "dt", "1 s">]} {}'
    with pytest.raises((VerifyException, ParseError), match="an assumption is one of choice, given, note, not 'guess'"):
        Parser(ctx, text).parse_module().verify()


def test_assumptions_stand_once_and_in_order() -> None:
    module = ModuleOp([])
    assert assumptions(module) == ()
    assume(module, "choice", "dt", "1 s")
    assume(module, "note", "reset", "to 0")
    assume(module, "choice", "dt", "1 s")
    assert [str(item) for item in assumptions(module)] == ["dt: 1 s", "reset: to 0"]
    assert all(isinstance(item, AssumptionAttr) for item in assumptions(module))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("lif1.lif", "'lif1.lif'"), ("a\nb", r"'a\nb'"), ("\x1b[31m", r"'\x1b[31m'"), ("x" * 200, f"'{'x' * 77}...'")],
)
def test_names_are_shown_safely(name: str, shown: str) -> None:
    assert quote(name) == shown


@pytest.mark.parametrize(("text", "shape"), [("<>", ()), ("<2>", (2,)), ("<16x8x1>", (16, 8, 1)), ("<*>", None)])
def test_signal_types_read_back(ctx: Context, text: str, shape: tuple[int, ...] | None) -> None:
    kind = Parser(ctx, f"!nir.signal{text}").parse_attribute()
    assert kind == SignalType(shape)
    assert str(kind) == f"!nir.signal{text}"


def printed(module: ModuleOp, *, generic: bool = False) -> str:
    stream = StringIO()
    Printer(stream, print_generic_format=generic).print_op(module)
    return stream.getvalue()


def assert_reads_back(ctx: Context, module: ModuleOp) -> None:
    for generic in (False, True):
        text = printed(module, generic=generic)
        again = Parser(ctx, text).parse_module()
        again.verify()
        assert printed(again, generic=generic) == text
        assert [op.properties for op in again.walk()] == [op.properties for op in module.walk()]


RECURRENT = graph(
    "%s = nir.sum %x, %n : (!nir.signal<2>, !nir.signal<*>) -> !nir.signal<*>\n"
    f'%n = nir.lif "1.lif \\22\\0A"(%s) {{tau = {listed(0.02, 1e-30)}, r = {number(1 / 3)}, v_leak = {number(-0.0)}, '
    "v_threshold = dense<0.1> : tensor<f64>} : (!nir.signal<*>) -> !nir.signal<*>"
)

WRITTEN = {
    "lif": lif(),
    "cuba_lif": cuba_lif(tau_mem=listed(0.02, 0.03)),
    "conv2d": conv2d(padding='"same"'),
    "sum_pool2d": pool(),
    "recurrent": RECURRENT,
    "two yields": lif()
    .replace('outputs = ["y"]', 'outputs = ["y", "z"]')
    .replace("nir.yield %n : !nir.signal<*>", "nir.yield %n, %x : !nir.signal<*>, !nir.signal<2>"),
    "affine": node("affine", weight=zeros(3, 2), bias=listed(0.1, 1 / 3, -0.0)),
    "flatten": node("flatten", start_dim="0 : i64", end_dim="-1 : i32"),
    "if": node("if", r=number(1), v_threshold=listed(1, 2), v_reset=number(-1)),
    "li": node("li", tau=listed(0.1, 0.2), r=number(1), v_leak=number(0)),
    "conv1d": conv1d(padding='"same"', dilation="2 : i64"),
    "conv2d of single numbers": conv2d(stride="2 : i64", padding="1 : i32", dilation="array<i32: 1, 1>"),
    "avg_pool2d": avg_pool(kernel_size="3 : i64", padding="array<i64: 0, 1>"),
    "scale": node("scale", scale=listed(0.1, -0.0)),
    "threshold": node("threshold", threshold="dense<0.1> : tensor<f64>"),
    "delay": node("delay", delay=listed(0, 1e-3)),
    "i": node("i", r="dense<[1, -2]> : tensor<2xi8>"),
    "cuba_li": cuba_li(tau_syn=listed(0.02, 0.03)),
    "numbers of other types": node("linear", weight="dense<[[true, false], [false, true]]> : tensor<2x2xi1>"),
    "halves": node("linear", weight="dense<[[0.5, 0.1], [1.0, -2.0]]> : tensor<2x2xf16>"),
    "unsigned": node("linear", weight="dense<[[255, 0], [1, 2]]> : tensor<2x2xui8>"),
    "nested": nested(),
    "nested twice": nested(inside='nir.instance "m" of @other() : () -> ()\n')
    + "nir.graph @other attributes {inputs = [], outputs = []} {\nnir.yield\n}\n",
    "stated shapes and metadata of ports": lif().replace(
        'outputs = ["y"]',
        'outputs = ["y"], stated = [!nir.signal<2>, !nir.signal<*>], '
        'port_metadata = {"a port" = {dt = dense<1.0> : tensor<f64>}}',
    ),
    "metadata": lif(
        metadata='{dt = dense<1.0> : tensor<f64>, "a b" = "text", more = {n = dense<[1, 2]> : tensor<2xi64>}}'
    ),
    "no input": 'nir.graph @main attributes {inputs = [], outputs = [], version = "1.0"} {\nnir.yield\n}',
}


@pytest.mark.parametrize("case", WRITTEN)
def test_text_reads_back(ctx: Context, parse: Callable[[str], ModuleOp], case: str) -> None:
    assert_reads_back(ctx, parse(WRITTEN[case]))


def test_every_op_reads_back(parse: Callable[[str], ModuleOp]) -> None:
    found = {type(op) for text in WRITTEN.values() for op in parse(text).walk()}
    assert {*NODE_OPS, InstanceOp} <= found


MODELS = (
    "braille_noDelay_bias_zero",
    "braille_noDelay_noBias_subtract",
    "cnn_sinabs",
    "lif_norse",
    "lif_rockpool",
    "lif_snntorch",
    "scnn_mnist_sinabs",
    "scnn_mnist_spyx",
    "two_lif_neurons",
)
FIXED = ("braille_noDelay_bias_zero_subgraph", "braille_noDelay_noBias_subtract_subgraph")
"""Nested graphs, whose edges name a node that is not there."""


@pytest.mark.parametrize("model", [*MODELS, *FIXED])
def test_a_model_reads_back(ctx: Context, shared: Path, model: str) -> None:
    reading = read_nir(str(shared / "models" / f"{model}.nir"), frozenset({"edge-names"} if model in FIXED else ()))
    assert reading.faults == []
    assert_reads_back(ctx, reading.module)
    assert infer_shapes(reading.module) == []
    assert_reads_back(ctx, reading.module)


def test_every_model_reads_back(shared: Path) -> None:
    assert {path.stem for path in (shared / "models").glob("*.nir")} == {*MODELS, *FIXED}


def test_the_graph_of_a_module(parse: Callable[[str], ModuleOp]) -> None:
    found = graph_of(parse(lif()))
    assert found is not None
    assert [op.node.data for op in found.nodes()] == ["n"]
    assert graph_of(ModuleOp([])) is None
