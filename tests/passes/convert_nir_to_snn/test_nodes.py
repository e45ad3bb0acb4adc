"""What each type of node becomes: golden IR through shape inference and discretization, and its constants by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pytest
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f32, f64, i1
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import dense as attributes
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


ROW = np.arange(1, 19, dtype=np.float32).reshape(3, 2, 3) / 4


def conv1d(
    shape: str = "2x7",
    kernel: Array = ROW,
    bias: Any = (0.5, -1.5, 1.0),
    stride: str = "array<i64: 1>",
    padding: str = "array<i64: 0>",
    dilation: str = "array<i64: 1>",
    groups: int = 1,
) -> str:
    held = "" if bias is None else f", bias = {dense(bias)}"
    return graph(
        shape,
        "conv1d",
        f"weight = {dense(kernel)}{held}, stride = {stride}, padding = {padding}, dilation = {dilation}, "
        f"groups = {groups} : i64",
    )


def pool(op: str, shape: str, kernel: str, stride: str, padding: str) -> str:
    return graph(shape, op, f"kernel_size = {kernel}, stride = {stride}, padding = {padding}")


def delay(*seconds: float, shape: str = "2") -> str:
    return graph(shape, "delay", f"delay = {dense(seconds[0] if len(seconds) == 1 else seconds)}")


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
    "conv1d": conv1d(stride="array<i64: 2>", padding="1 : i64"),
    "conv1d_same": conv1d(padding='"same"', dilation="2 : i64"),
    "conv1d_groups": conv1d("4x7", kernel=ROW[:2], bias=0.5, groups=2),
    "avg_pool2d": pool("avg_pool2d", "2x4x6", "array<i64: 2, 3>", "2 : i64", "array<i64: 0, 1>"),
    "scale": graph("2", "scale", f"scale = {dense([0.5, -3])}"),
    "scale_all": graph("2x3", "scale", f"scale = {dense(0.5)}"),
    "threshold": graph("2", "threshold", f"threshold = {dense([0.5, -3])}"),
    "delay": delay(3e-3),
    "delay_each": delay(0, 2e-3),
    "delay_none": delay(0),
    "i": graph("2", "i", f"r = {dense([2, -4])}"),
    "cuba_li": graph(
        "2",
        "cuba_li",
        f"tau_mem = {dense([0.02, 0.01])}, tau_syn = {dense(0.005)}, r = {dense(3)}, w_in = {dense([2, 4])}, "
        f"v_leak = {dense([0.25, 0])}",
    ),
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


def per_axis(text: str, axes: int) -> list[int]:
    """The numbers of `2 : i64` or of `array<i64: 2, 1>`."""
    values = [int(item) for item in text.removeprefix("array<i64: ").split(" : ")[0].strip(">").split(",")]
    return values * (axes // len(values))


def cross_correlation(
    x: Array, weight: Array, bias: Array, stride: str, padding: str, dilation: str, groups: int
) -> Array:
    """x [C, H, W] by the definition, one product after the other."""
    rows, columns = weight.shape[2:]
    (down, right), (dilate_y, dilate_x) = per_axis(stride, 2), per_axis(dilation, 2)
    if padding == '"same"':
        reach = dilate_y * (rows - 1), dilate_x * (columns - 1)
        before, after = [n // 2 for n in reach], [n - n // 2 for n in reach]
    else:
        before = after = [0, 0] if padding == '"valid"' else per_axis(padding, 2)
    _, height, width = x.shape
    places = [
        (size + first + last - step * (taps - 1) - 1) // jump + 1
        for size, first, last, step, taps, jump in zip(
            (height, width), before, after, (dilate_y, dilate_x), (rows, columns), (down, right), strict=True
        )
    ]
    y = np.zeros((len(weight), *places))
    per_group, outputs = weight.shape[1], len(weight) // groups
    for n, row, column in np.ndindex(*y.shape):
        y[n, row, column] = bias[n]
        for m, r, c in np.ndindex(per_group, rows, columns):
            at_y, at_x = row * down - before[0] + r * dilate_y, column * right - before[1] + c * dilate_x
            if 0 <= at_y < height and 0 <= at_x < width:
                y[n, row, column] += weight[n, m, r, c] * x[n // outputs * per_group + m, at_y, at_x]
    return y


def whole(*shape: int) -> Array:
    """Small whole numbers: sums of their products are exact."""
    return np.random.default_rng(5).integers(-4, 5, shape).astype(np.float64)


OPTIONS = [
    (stride, padding, dilation)
    for stride in ("1 : i64", "array<i64: 2, 3>")
    for padding in ("0 : i64", "array<i64: 2, 1>", '"valid"', '"same"')
    for dilation in ("1 : i64", "array<i64: 1, 2>")
    if not (padding == '"same"' and stride != "1 : i64")
]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), OPTIONS)
def test_a_convolution_that_is_not_square(
    at_1_ms: Callable[[str], snn.NetworkOp], stride: str, padding: str, dilation: str, groups: int
) -> None:
    x, weight, bias = whole(4, 7, 9), whole(6, 4 // groups, 2, 4), whole(6)
    fields = f"stride = {stride}, padding = {padding}, dilation = {dilation}, groups = {groups} : i64"
    network = at_1_ms(graph("4x7x9", "conv2d", f"weight = {dense(weight)}, bias = {dense(bias)}, {fields}"))
    expected = cross_correlation(x, weight, bias, stride, padding, dilation, groups)
    assert evaluated(network, x).tolist() == expected.tolist()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("taps", [1, 3, 4])
@pytest.mark.parametrize("dilation", ["1 : i64", "array<i64: 2>"])
@pytest.mark.parametrize(
    ("stride", "padding"),
    [
        ("array<i64: 1>", "0 : i64"),
        ("array<i64: 1>", "array<i64: 3>"),
        ("3 : i64", "array<i64: 2>"),
        ("2 : i64", '"valid"'),
        ("1 : i64", '"same"'),
    ],
)
def test_a_convolution_over_one_axis(
    at_1_ms: Callable[[str], snn.NetworkOp], stride: str, padding: str, dilation: str, taps: int, groups: int
) -> None:
    x, weight, bias = whole(4, 9), whole(6, 4 // groups, taps), whole(6)
    network = at_1_ms(conv1d("4x9", weight, bias, stride, padding, dilation, groups))

    def of_row(text: str, other: int) -> str:
        return text if text.startswith('"') else f"array<i64: {other}, {per_axis(text, 1)[0]}>"

    expected = cross_correlation(
        x[:, None], weight[:, :, None], bias, of_row(stride, 1), of_row(padding, 0), of_row(dilation, 1), groups
    )
    assert evaluated(network, x).tolist() == expected[:, 0].tolist()


def test_a_convolution_over_one_axis_may_lack_a_bias(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    x = whole(2, 7)
    network = at_1_ms(conv1d(bias=None))
    expected = cross_correlation(x[:, None], ROW[:, :, None], np.zeros(3), "1 : i64", "0 : i64", "1 : i64", 1)
    assert evaluated(network, x).tolist() == expected[:, 0].tolist()
    assert ops(network, snn.AddOp) == []


@pytest.mark.parametrize("op", ["sum_pool2d", "avg_pool2d"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ("array<i64: 2, 3>", "array<i64: 2, 3>", "0 : i64"),
        ("array<i64: 2, 4>", "1 : i64", "array<i64: 1, 2>"),
        ("2 : i64", "array<i64: 3, 1>", "1 : i64"),
        ("array<i64: 1>", "1 : i64", "array<i64: 0, 0>"),
    ],
)
def test_a_pool(at_1_ms: Callable[[str], snn.NetworkOp], op: str, kernel: str, stride: str, padding: str) -> None:
    """The zeros around the image count among the places of an average, as in torch by default."""
    x, size = whole(2, 5, 8), per_axis(kernel, 2)
    weight = np.zeros((2, 2, *size))
    weight[0, 0] = weight[1, 1] = 1
    expected = cross_correlation(x, weight, np.zeros(2), stride, padding, "1 : i64", 1)
    if op == "avg_pool2d":
        expected = expected / (size[0] * size[1])
    y = evaluated(at_1_ms(pool(op, "2x5x8", kernel, stride, padding)), x)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    assert y.shape == expected.shape


def test_a_scale(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    x = np.array([1.5, 0.25])
    assert evaluated(at_1_ms(NODES["scale"]), x).tolist() == [0.75, -0.75]
    grid = whole(2, 3)
    assert evaluated(at_1_ms(NODES["scale_all"]), grid).tolist() == (0.5 * grid).tolist()


@pytest.mark.parametrize(("compare", "at_threshold"), [(">", False), (">=", True)])
def test_a_threshold(convert: Convert, compare: str, at_threshold: bool) -> None:
    text = graph("5", "threshold", f"threshold = {dense([0.5, 0.5, 0.5, -1, 0])}")
    network = convert(text, ConvertNirToSnnPass(dt=1e-3, scheme=f"nir-euler,compare={compare}"))
    x = np.array([0.25, 0.5, 0.75, -0.5, 0.0])
    assert evaluated(network, x).tolist() == [False, at_threshold, True, True, at_threshold]
    assert [snn.tensor_of(value).element_type for value in network.output_values] == [i1]


def test_a_threshold_of_spikes(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    after = f'nir.threshold "m"(%n) {{threshold = {dense([0.5, 1.0])}}} : (!nir.signal<*>) -> !nir.signal<*>\n'
    text = NODES["threshold"].replace("nir.yield %n", f"%m = {after}nir.yield %m")
    assert evaluated(at_1_ms(text), np.array([0.75, 0.75])).tolist() == [True, False]


def run(network: snn.NetworkOp, x: Array) -> Array:
    """A raster [T, N...] through a network of one input and one output."""
    return SnnEvaluator(network).run({"x": x[:, None]})["y"][:, 0]


def evaluated(network: snn.NetworkOp, x: Array) -> Array:
    """One step of it."""
    return run(network, x[None])[0]


RASTER = np.random.default_rng(6).uniform(-1, 1, (12, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("seconds", "steps"), [((3e-3,), (3, 3)), ((0, 2e-3), (0, 2)), ((5e-3, 1e-3), (5, 1)), ((0,), (0, 0))]
)
def test_a_delay(at_1_ms: Callable[[str], snn.NetworkOp], seconds: tuple[float, ...], steps: tuple[int, int]) -> None:
    network = at_1_ms(delay(*seconds))
    expected = np.stack(
        [np.concatenate([np.zeros(n), RASTER[: len(RASTER) - n, k]]) for k, n in enumerate(steps)], axis=1
    )
    assert run(network, RASTER).tolist() == expected.tolist()
    assert [snn.tensor_of(arg).get_shape() for arg in network.state_args] == ([(max(steps), 2)] if max(steps) else [])


def test_a_delay_of_an_image(at_1_ms: Callable[[str], snn.NetworkOp]) -> None:
    text = graph("1x2x2", "delay", f"delay = {dense([[[0, 1e-3], [2e-3, 3e-3]]])}")
    x = whole(6, 1, 2, 2)
    y = run(at_1_ms(text), x)
    for row, column in np.ndindex(2, 2):
        n = 2 * row + column
        assert y[:, 0, row, column].tolist() == [0.0] * n + x[: 6 - n, 0, row, column].tolist()


@pytest.mark.parametrize("source", ["lif", "flatten", "delay"])
def test_delayed_spikes_stay_spikes(at_1_ms: Callable[[str], snn.NetworkOp], source: str) -> None:
    """Also those that a Flatten or another Delay passes on."""
    spiking = NODES["lif"]
    held = f'nir.delay "m"(%n) {{delay = {dense(2e-3)}}} : (!nir.signal<*>) -> !nir.signal<*>\n'
    text = spiking.replace("nir.yield %n", f"%m = {held}nir.yield %m")
    if source != "lif":
        more = "start_dim = 0 : i64, end_dim = 0 : i64" if source == "flatten" else f"delay = {dense(1e-3)}"
        between = f'%k = nir.{source} "k"(%n) {{{more}}} : (!nir.signal<*>) -> !nir.signal<*>\n'
        text = text.replace("%m = ", f"{between}%m = ").replace('"m"(%n)', '"m"(%k)')
    network = at_1_ms(text)
    x = np.random.default_rng(2).uniform(0, 20, (40, 2))
    plain, late = run(at_1_ms(spiking), x), run(network, x)
    by = 3 if source == "delay" else 2
    assert plain.sum() > 3
    assert late.dtype == np.bool_
    assert late.tolist() == [[False, False]] * by + plain[:-by].tolist()


@pytest.mark.parametrize(("r", "gain"), [((2.0, -4.0), (2.0, -4.0)), ((1000.0, 1000.0), (1.0, 1.0))])
def test_an_integrator(convert: Convert, r: tuple[float, float], gain: tuple[float, float]) -> None:
    """v is the sum of all that came; r = 1/dt is the encoding of inputs that are added as they come."""
    network = convert(graph("2", "i", f"r = {dense(r)}"), ConvertNirToSnnPass(dt=1e-3, precision="f64"))
    np.testing.assert_allclose(run(network, RASTER), np.cumsum(RASTER * np.array(gain), axis=0), rtol=1e-9)
    assert [state.label for state in network.states] == ["n.v"]


@pytest.mark.parametrize(("options", "gain"), [("r", 2.0), ("r*dt", 2e-3), ("unit", 1.0)])
def test_the_gain_of_an_integrator_may_be_chosen(convert: Convert, options: str, gain: float) -> None:
    text = graph("2", "i", f"r = {dense([2, 2])}")
    network = convert(text, ConvertNirToSnnPass(dt=1e-3, scheme=f"nir-euler,if_gain={options}", precision="f64"))
    np.testing.assert_allclose(run(network, RASTER), np.cumsum(gain * RASTER.astype(np.float64), axis=0), rtol=1e-9)


@pytest.mark.parametrize("scheme", ["nir-euler", "nir-exp-euler"])
def test_a_leaky_integrator_of_a_current(convert: Convert, scheme: str) -> None:
    """i' = b i + w (1 - b) x; v' = a v + r (1 - a) i' + (1 - a) v_leak."""
    network = convert(NODES["cuba_li"], ConvertNirToSnnPass(dt=1e-3, scheme=scheme, precision="f64"))
    tau_mem, tau_syn = np.array([0.02, 0.01]), 0.005
    a, b = (1 - 1e-3 / tau if scheme == "nir-euler" else np.exp(-1e-3 / tau) for tau in (tau_mem, tau_syn))
    i, v, leak = np.zeros(2), np.array([0.25, 0]), np.array([0.25, 0])
    expected = list[Array]()
    for x in RASTER:
        i = b * i + np.array([2, 4]) * (1 - b) * x
        v = a * v + 3 * (1 - a) * i + (1 - a) * leak
        expected.append(v)
    np.testing.assert_allclose(run(network, RASTER), np.array(expected), rtol=1e-6, atol=1e-9)
    assert [state.label for state in network.states] == ["n.i", "n.v"]


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.uint8, np.int64, np.float16, np.float64])
def test_weights_of_any_type_become_the_precision(convert: Convert, kind: type[np.generic]) -> None:
    weight = attributes.dense(np.array([[1, 0], [1, 1]]).astype(kind))
    for precision, expected in (("f32", f32), ("f64", f64)):
        network = convert(graph("2", "linear", f"weight = {weight}"), ConvertNirToSnnPass(dt=1e-3, precision=precision))
        (linear,) = ops(network, snn.LinearOp)
        assert linear.weight.get_element_type() == expected
        assert array(linear.weight).tolist() == [[1, 0], [1, 1]]


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
