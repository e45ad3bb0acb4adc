"""What each type of node becomes: golden IR through shape inference and discretization, and its constants by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pytest
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f32, f64, i1
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, array
from nirc.dialects.nir import assumptions, integers
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass

Convert: TypeAlias = Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]
Op = TypeVar("Op")

PIPELINE = "nir-infer-shapes,convert-nir-to-snn{dt=1.0e-3}"


def dense(values: Any, kind: str = "f32") -> str:
    """A dense attribute in text."""
    held = np.asarray(values, dtype=np.float64)
    text = np.array2string(held, separator=", ", threshold=10**6, formatter={"float_kind": lambda x: f"{x:.9e}"})
    shape = "".join(f"{n}x" for n in held.shape)
    return f"dense<{text.replace(chr(10), '')}> : tensor<{shape}{kind}>"


def graph(shape: str, op: str, attributes: str) -> str:
    """One node `n`; its output's shape is left to be inferred."""
    return (
        f'nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]}} {{\n^bb0(%x: !nir.signal<{shape}>):\n'
        f'%n = nir.{op} "n"(%x) {{{attributes}}} : (!nir.signal<{shape}>) -> !nir.signal<*>\n'
        f"nir.yield %n : !nir.signal<*>\n}}\n"
    )


WEIGHT = [[1.0, -2.0, 0.5], [0.0, 4.0, 0.25]]
KERNEL = np.arange(1, 13, dtype=np.float32).reshape(2, 1, 2, 3) / 4


def conv(
    shape: str = "1x4x5",
    kernel: Array = KERNEL,
    bias: Any = (0.5, -1.5),
    stride: str = "1, 1",
    padding: str = "array<i64: 0, 0>",
    dilation: str = "1, 1",
    groups: int = 1,
) -> str:
    return graph(
        shape,
        "conv2d",
        f"weight = {dense(kernel)}, bias = {dense(bias)}, stride = array<i64: {stride}>, padding = {padding}, "
        f"dilation = array<i64: {dilation}>, groups = {groups} : i64",
    )


NODES = {
    "linear": graph("3", "linear", f"weight = {dense(WEIGHT)}"),
    "affine": graph("3", "affine", f"weight = {dense(WEIGHT)}, bias = {dense([0.5, -1.5])}"),
    "conv2d": conv(stride="2, 1", padding="array<i64: 1, 2>"),
    "conv2d_same": conv(padding='"same"', dilation="2, 1"),
    "conv2d_groups": conv("2x4x5", bias=0.5, groups=2),
    "sum_pool2d": graph(
        "2x4x6",
        "sum_pool2d",
        "kernel_size = array<i64: 2, 3>, stride = array<i64: 2, 3>, padding = array<i64: 0, 1>",
    ),
    "flatten": graph("2x3x4", "flatten", "start_dim = 0 : i64, end_dim = -1 : i64"),
    "flatten_some": graph("2x3x4", "flatten", "start_dim = 1 : i64, end_dim = 2 : i64"),
    "lif": graph(
        "2",
        "lif",
        f"tau = {dense([0.02, 0.01])}, r = {dense(3)}, v_leak = {dense(0)}, v_threshold = {dense([1.5, 1.5])}",
    ),
    "cuba_lif": graph(
        "2",
        "cuba_lif",
        f"tau_mem = {dense([0.02, 0.01])}, tau_syn = {dense(0.005)}, r = {dense(3)}, w_in = {dense([2, 4])}, "
        f"v_leak = {dense([0.25, 0])}, v_threshold = {dense(1.5)}, v_reset = {dense([0, -0.5])}",
    ),
    "li": graph("2", "li", f"tau = {dense(0.02)}, r = {dense([3, 6])}, v_leak = {dense(0.25)}"),
    "if": graph("2", "if", f"r = {dense(2)}, v_threshold = {dense([1, 1.5])}, v_reset = {dense(0)}"),
}


def test_every_node_is_here() -> None:
    found = {op.name.removeprefix("nir.") for op in nir.NODE_OPS}
    assert found <= set(NODES)


@pytest.mark.parametrize("node", NODES)
def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None], node: str) -> None:
    golden(opt(NODES[node], PIPELINE))


def ops(network: snn.NetworkOp, kind: type[Op]) -> list[Op]:
    return [op for op in network.body.block.ops if isinstance(op, kind)]


@pytest.fixture
def at_1_ms(convert: Convert) -> Callable[[str], snn.NetworkOp]:
    return lambda text: convert(text, ConvertNirToSnnPass(dt=1e-3))


def test_weights_keep_their_numbers(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    network = at_1_ms(NODES["affine"])
    (linear,), (bias,) = ops(network, snn.LinearOp), ops(network, snn.AddOp)
    assert array(linear.weight).tolist() == WEIGHT
    assert array(bias.constant).tolist() == [0.5, -1.5]


def test_a_bias_of_zeros_is_left_out(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    network = at_1_ms(graph("3", "affine", f"weight = {dense(WEIGHT)}, bias = {dense([0, 0])}"))
    assert ops(network, snn.AddOp) == []
    assert len(ops(network, snn.LinearOp)) == 1


def test_the_bias_of_a_convolution_stands_per_channel(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    (bias,) = ops(at_1_ms(NODES["conv2d"]), snn.AddOp)
    assert array(bias.constant).tolist() == [[[0.5]], [[-1.5]]]
    (bias,) = ops(at_1_ms(NODES["conv2d_groups"]), snn.AddOp)
    assert array(bias.constant).tolist() == 0.5


@pytest.mark.parametrize(
    ("padding", "dilation", "expected"),
    [
        # top, bottom, left, right; the kernel is 2 x 3. "same" pads dilation (kernel - 1), the odd one last.
        ("array<i64: 0, 0>", "1, 1", (0, 0, 0, 0)),
        ("array<i64: 1, 2>", "1, 1", (1, 1, 2, 2)),
        ('"valid"', "1, 1", (0, 0, 0, 0)),
        ('"same"', "1, 1", (0, 1, 1, 1)),
        ('"same"', "2, 1", (1, 1, 1, 1)),
        ('"same"', "3, 1", (1, 2, 1, 1)),
        ('"same"', "1, 2", (0, 1, 2, 2)),
    ],
)
def test_padding(
    at_1_ms: Callable[[str], snn.NetworkOp], padding: str, dilation: str, expected: tuple[int, ...]
) -> None:
    (op,) = ops(at_1_ms(conv("1x6x6", padding=padding, dilation=dilation)), snn.ConvOp)
    assert integers(op.padding) == expected


@pytest.mark.parametrize("padding", ["array<i64: 1, 2>", '"same"', '"valid"'])
@pytest.mark.parametrize("dilation", ["1, 1", "2, 1"])
def test_a_convolution_computes_the_cross_correlation(
    at_1_ms: Callable[[str], snn.NetworkOp], padding: str, dilation: str
) -> None:
    network = at_1_ms(conv("1x6x6", bias=(0.5, -1.5), padding=padding, dilation=dilation))
    x = np.random.default_rng(0).integers(-2, 3, (1, 1, 1, 6, 6)).astype(np.float32)
    y = SnnEvaluator(network).run({"x": x})["y"][0, 0]
    (op,) = ops(network, snn.ConvOp)
    top, bottom, left, right = integers(op.padding)
    down, across = integers(op.dilation)
    padded = np.pad(x[0, 0, 0], ((top, bottom), (left, right)))
    for channel, row, column in np.ndindex(*y.shape):
        window = padded[row : row + 2 * down : down, column : column + 3 * across : across]
        assert y[channel, row, column] == (KERNEL[channel, 0] * window).sum() + (0.5, -1.5)[channel]


def test_pooling_keeps_its_numbers(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    (op,) = ops(at_1_ms(NODES["sum_pool2d"]), snn.PoolOp)

    def numbers(attr: DenseArrayBase) -> tuple[int, ...]:
        return integers(attr)

    assert (numbers(op.kernel), numbers(op.stride), numbers(op.padding)) == ((2, 3), (2, 3), (0, 0, 1, 1))
    assert snn.tensor_of(op.output).get_shape() == (2, 2, 2)  # floor((4 - 2)/2) + 1, floor((6 + 2 - 3)/3) + 1


@pytest.mark.parametrize(("node", "shape"), [("flatten", (24,)), ("flatten_some", (2, 12))])
def test_flatten_is_a_reshape(at_1_ms: Callable[[str], snn.NetworkOp], node: str, shape: tuple[int, ...]) -> None:
    (op,) = ops(at_1_ms(NODES[node]), snn.ReshapeOp)
    assert snn.tensor_of(op.output).get_shape() == shape


def test_numbers_per_neuron_stay_so_and_equal_ones_become_one(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    network = at_1_ms(NODES["lif"])
    (leak,), (fire,) = ops(network, snn.FilterOp), ops(network, snn.FireOp)
    tau = np.array([0.02, 0.01], np.float32).astype(np.float64)
    assert array(leak.decay).tolist() == (1 - 1e-3 / tau).astype(np.float32).tolist()
    assert array(leak.gain).tolist() == (3 * (1 - (1 - 1e-3 / tau))).astype(np.float32).tolist()
    assert array(fire.threshold).shape == ()
    assert array(fire.threshold) == 1.5


def test_v_reset_differs_between_neurons(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    (reset,) = ops(at_1_ms(NODES["cuba_lif"]), snn.ResetOp)
    assert reset.kind.data == "value"
    assert array(reset.amount).tolist() == [0, -0.5]


def test_neurons_give_spikes_and_leaky_integrators_give_v(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    for node in ("lif", "cuba_lif", "if"):
        (output,) = at_1_ms(NODES[node]).output_values
        assert snn.tensor_of(output).element_type == i1
    network = at_1_ms(NODES["li"])
    (output,) = network.output_values
    assert snn.tensor_of(output).element_type == f32
    assert network.next_values == (output,)


def test_precision_f64_widens_weights(convert: Convert) -> None:
    network = convert(NODES["affine"], ConvertNirToSnnPass(dt=1e-3, precision="f64"))
    (linear,) = ops(network, snn.LinearOp)
    assert linear.weight.get_element_type() == f64
    assert array(linear.weight).tolist() == WEIGHT


def test_several_edges_are_added_in_their_order(convert: Convert) -> None:
    text = (
        'nir.graph @main attributes {inputs = ["a", "b"], outputs = ["y"]} {\n'
        "^bb0(%a: !nir.signal<3>, %b: !nir.signal<3>):\n"
        "%s = nir.sum %b, %a : (!nir.signal<3>, !nir.signal<3>) -> !nir.signal<3>\n"
        f'%n = nir.linear "n"(%s) {{weight = {dense(WEIGHT)}}} : (!nir.signal<3>) -> !nir.signal<2>\n'
        "nir.yield %n : !nir.signal<2>\n}\n"
    )
    network = convert(text, ConvertNirToSnnPass(dt=1e-3))
    (added,) = ops(network, snn.SumOp)
    assert tuple(added.inputs) == network.input_args[::-1]


def test_all_faults_of_all_nodes_are_said_together(convert: Convert) -> None:
    text = NODES["lif"].replace("nir.yield %n", f"%m = {li_of('%n')}nir.yield %m")
    with pytest.raises(PassFailedException) as raised:
        convert(text, ConvertNirToSnnPass(dt=0.015))
    assert [line.split(";")[0] for line in str(raised.value).splitlines()] == [
        "node 'n' (LIF), tau: 0.01 s is shorter than the step dt = 0.015 s",
        "node 'm' (LI), tau: 0.005 s is shorter than the step dt = 0.015 s",
    ]


def li_of(source: str) -> str:
    fields = f"tau = {dense(0.005)}, r = {dense(1)}, v_leak = {dense(0)}"
    return f'nir.li "m"({source}) {{{fields}}} : (!nir.signal<*>) -> !nir.signal<*>\n'


def test_shapes_are_required(opt: Callable[[str, str], str]) -> None:
    with pytest.raises(PassFailedException, match=r"the shapes of 'n' are not known; run nir-infer-shapes first"):
        opt(NODES["lif"], "convert-nir-to-snn{dt=1.0e-3}")


def said(network: snn.NetworkOp, topic: str) -> list[tuple[str, str]]:
    module = network.parent_op()
    assert isinstance(module, ModuleOp)
    return [(item.kind.data, item.statement.data) for item in assumptions(module) if item.topic.data == topic]


def test_what_was_chosen_is_attached(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    network = at_1_ms(NODES["cuba_lif"])
    ((kind, statement),) = said(network, "scheme")
    assert (kind, statement.split(":")[0]) == ("choice", "nir-euler")
    assert said(network, "reset") == [("note", "to v_reset, as the file says, for 'n'")]
    assert said(network, "initial state") == [("choice", "v = v_leak for 'n'")]
    assert said(at_1_ms(NODES["lif"]), "reset")[0][0] == "choice"


def test_what_the_user_chose_is_no_choice_of_nirc(convert: Convert) -> None:
    network = convert(NODES["lif"], ConvertNirToSnnPass(dt=1e-3, scheme="nir-euler,reset=subtract"))
    assert said(network, "scheme")[0][0] == "given"
    assert said(network, "reset") == [("given", "by subtraction of the threshold for 'n'")]
    flagged = convert(NODES["lif"], ConvertNirToSnnPass(dt=1e-3, reset="subtract"))
    assert said(flagged, "scheme")[0][0] == "choice"
    assert said(flagged, "reset") == [("given", "by subtraction of the threshold for 'n'")]


@pytest.mark.parametrize(("r", "gain"), [(1, "r"), (2, "r"), (1000, "r*dt")])
def test_the_gain_of_an_if_node_is_attached(convert: Convert, r: float, gain: str) -> None:
    """The literal equation gives r*dt, so `r` is a choice for r = 1, too."""
    text = graph("2", "if", f"r = {dense(r)}, v_threshold = {dense(1)}")
    network = convert(text, ConvertNirToSnnPass(dt=1e-3))
    ((kind, statement),) = said(network, "gain of IF")
    assert kind == "choice"
    assert statement.startswith(f"{gain} (")
    assert statement.endswith(" for 'n'")
