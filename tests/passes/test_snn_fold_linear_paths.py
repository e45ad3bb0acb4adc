"""Folding linear paths: one golden per rule, and the folded network computes what the unfolded one does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from nirc.dialects import snn
from nirc.dialects.dense import Array, dense, doubles
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass

Parse = Callable[[str], ModuleOp]


def path(body: str, *, result: str = "2xf64", z: str = "") -> str:
    """A network of one input `x` of 3, a second input `z` where its type is given, and the output `y`."""
    names = '"x", "z"' if z else '"x"'
    arguments = f"%x: tensor<3xf64>, %z: tensor<{z}>" if z else "%x: tensor<3xf64>"
    return (
        f'snn.network @main attributes {{inputs = [{names}], outputs = ["y"], states = []}} {{\n^bb0({arguments}):\n'
        f"{body}\nsnn.yield %y : tensor<{result}>\n}}\n"
    )


def linear(result: str, source: str, rows: int, columns: int, values: str, source_type: str = "f64") -> str:
    """A matrix of its own name."""
    return (
        f"%{result} = snn.linear %{source} {{weight = dense<{values}> : tensor<{rows}x{columns}xf64>, "
        f'node = "{result}"}} : (tensor<{columns}x{source_type}>) -> tensor<{rows}xf64>\n'
    )


def per_element(op: str, result: str, source: str, size: int, values: str, *, scalar: bool = False) -> str:
    """A scale or an add of its own name."""
    constant = "factor" if op == "scale" else "constant"
    kind = "f64" if scalar else f"{size}xf64"
    return (
        f'%{result} = snn.{op} %{source} {{{constant} = dense<{values}> : tensor<{kind}>, node = "{result}"}} '
        f": (tensor<{size}xf64>) -> tensor<{size}xf64>\n"
    )


A = "[[1.5, -2.0, 0.5], [0.25, 3.0, -1.0]]"
B = "[[0.5, -1.5], [2.0, 0.75]]"
C = "[[1.0, 2.0], [-0.5, 0.3]]"

RULES = {
    "linear_of_linear": path(linear("a", "x", 2, 3, A) + linear("y", "a", 2, 2, B)),
    "linear_of_scale": path(per_element("scale", "f", "x", 3, "[2.0, -0.5, 0.1]") + linear("y", "f", 2, 3, A)),
    "linear_of_uniform_scale": path(per_element("scale", "f", "x", 3, "0.3", scalar=True) + linear("y", "f", 2, 3, A)),
    "linear_of_add": path(per_element("add", "c", "x", 3, "[0.1, -0.7, 2.0]") + linear("y", "c", 2, 3, A)),
    "linear_of_uniform_add": path(per_element("add", "c", "x", 3, "0.3", scalar=True) + linear("y", "c", 2, 3, A)),
    "linear_of_sum": path(
        '%s = snn.sum %x, %z {node = "s"} : (tensor<3xf64>, tensor<3xi1>) -> tensor<3xf64>\n'
        + linear("y", "s", 2, 3, A),
        z="3xi1",
    ),
    "scale_of_linear": path(linear("a", "x", 2, 3, A) + per_element("scale", "y", "a", 2, "[2.0, -0.3]")),
    "uniform_scale_of_linear": path(linear("a", "x", 2, 3, A) + per_element("scale", "y", "a", 2, "0.3", scalar=True)),
    "add_of_add": path(
        per_element("add", "c", "x", 3, "[0.1, -0.7, 2.0]") + per_element("add", "y", "c", 3, "[1.0, 0.5, 0.25]"),
        result="3xf64",
    ),
    "add_of_uniform_add": path(
        per_element("add", "c", "x", 3, "[0.1, -0.7, 2.0]") + per_element("add", "y", "c", 3, "0.3", scalar=True),
        result="3xf64",
    ),
}

# Several rules after one another: two Affines, a factor and a second branch before one matrix.
PATHS = {
    "two_affines": path(
        linear("a", "x", 2, 3, A)
        + per_element("add", "b", "a", 2, "[0.1, -0.7]")
        + linear("c", "b", 2, 2, B)
        + per_element("add", "y", "c", 2, "[1.0, 0.25]")
    ),
    "two_branches": path(
        linear("a", "x", 2, 3, A)
        + linear("b", "z", 2, 2, B, "i1")
        + "%s = snn.sum %a, %b : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>\n"
        + per_element("scale", "f", "s", 2, "[2.0, -0.3]")
        + linear("y", "f", 2, 2, C),
        z="2xi1",
    ),
    "inner_is_used_twice": path(
        linear("a", "x", 2, 3, A)
        + linear("b", "a", 2, 2, B)
        + "%y = snn.sum %a, %b : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>\n"
    ),
}

CONV = """
%image = snn.reshape %x : (tensor<3xf64>) -> tensor<1x1x3xf64>
%conv = snn.conv %image {weight = dense<[[[[0.5, -1.5]]], [[[2.0, 0.25]]]]> : tensor<2x1x1x2xf64>,
  stride = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64,
  node = "c"} : (tensor<1x1x3xf64>) -> tensor<2x1x2xf64>
%pool = snn.pool %conv {kernel = array<i64: 1, 2>, stride = array<i64: 1, 2>, padding = array<i64: 0, 0, 0, 0>,
  node = "p"} : (tensor<2x1x2xf64>) -> tensor<2x1x1xf64>
%flat = snn.reshape %pool : (tensor<2x1x1xf64>) -> tensor<2xf64>
"""

UNCHANGED = {
    "conv_and_pool": path(CONV + linear("y", "flat", 2, 2, B)),
    "one_affine": path(linear("a", "x", 2, 3, A) + per_element("add", "y", "a", 2, "[0.1, -0.7]")),
    "spikes_in_between": path(
        linear("a", "x", 2, 3, A)
        + '%z = snn.fire %a {threshold = dense<1.0> : tensor<f64>, compare = ">", node = "n"} '
        ": (tensor<2xf64>) -> tensor<2xi1>\n" + linear("y", "z", 2, 2, B, "i1")
    ),
    "add_that_is_used_twice": path(
        per_element("add", "c", "x", 3, "[0.1, -0.7, 2.0]")
        + per_element("add", "d", "c", 3, "[1.0, 0.5, 0.25]")
        + "%y = snn.sum %c, %d : (tensor<3xf64>, tensor<3xf64>) -> tensor<3xf64>\n",
        result="3xf64",
    ),
}


def network(module: ModuleOp) -> snn.NetworkOp:
    (op,) = module.ops
    assert isinstance(op, snn.NetworkOp)
    return op


def kinds(module: ModuleOp) -> list[str]:
    """The ops of the step in order, without the terminator."""
    return [op.name.removeprefix("snn.") for op in network(module).body.block.ops][:-1]


def outputs(module: ModuleOp, rasters: dict[str, Array]) -> Array:
    op = network(module)
    batch = rasters["x"].shape[1]
    return SnnEvaluator(op, batch).run({name.data: rasters[name.data] for name in op.inputs})["y"]


@pytest.fixture
def fold(ctx: Context, parse: Parse) -> Callable[[str], ModuleOp]:
    """Text to a folded, verified module."""

    def run(text: str) -> ModuleOp:
        module = parse(text)
        SnnFoldLinearPathsPass().apply(ctx, module)
        module.verify()
        return module

    return run


@pytest.mark.parametrize("rule", RULES)
def test_golden(fold: Callable[[str], ModuleOp], golden: Callable[[str], None], rule: str) -> None:
    golden(f"{fold(RULES[rule])!s}\n")


@pytest.mark.parametrize("name", [*RULES, *PATHS, *UNCHANGED])
def test_a_folded_path_computes_the_same(parse: Parse, fold: Callable[[str], ModuleOp], name: str) -> None:
    text = {**RULES, **PATHS, **UNCHANGED}[name]
    rng = np.random.default_rng(5)
    z = rng.integers(0, 2, (20, 4, 3 if "tensor<3xi1>" in text else 2)).astype(bool)
    rasters: dict[str, Array] = {"x": rng.normal(0, 3, (20, 4, 3)), "z": z}
    before, after = outputs(parse(text), rasters), outputs(fold(text), rasters)
    assert np.count_nonzero(before) > 20
    assert np.max(np.abs(after - before)) <= 1e-12


def test_the_numbers_of_two_affines(fold: Callable[[str], ModuleOp]) -> None:
    """B (A x + a) + b has the matrix B A and the constant B a + b."""
    module = fold(PATHS["two_affines"])
    assert kinds(module) == ["linear", "add"]
    matrix = network(module).body.block.first_op
    assert isinstance(matrix, snn.LinearOp)
    constant = matrix.next_op
    assert isinstance(constant, snn.AddOp)
    a, b = np.array([[1.5, -2.0, 0.5], [0.25, 3.0, -1.0]]), np.array([[0.5, -1.5], [2.0, 0.75]])
    assert np.allclose(doubles(matrix.weight), b @ a, rtol=0, atol=1e-15)
    assert np.allclose(doubles(constant.constant), b @ [0.1, -0.7] + [1.0, 0.25], rtol=0, atol=1e-15)


def test_branches_become_one_matrix_each(fold: Callable[[str], ModuleOp]) -> None:
    assert kinds(fold(PATHS["two_branches"])) == ["linear", "linear", "sum"]


def test_a_matrix_that_something_else_reads_stays(fold: Callable[[str], ModuleOp]) -> None:
    assert kinds(fold(PATHS["inner_is_used_twice"])) == ["linear", "linear", "sum"]


@pytest.mark.parametrize("name", UNCHANGED)
def test_unchanged(parse: Parse, fold: Callable[[str], ModuleOp], name: str) -> None:
    assert fold(UNCHANGED[name]).is_structurally_equivalent(parse(UNCHANGED[name]))


@pytest.mark.parametrize(
    "body",
    [
        linear("a", "x", 2, 3, A)
        + per_element("add", "b", "a", 2, "[0.1, -0.7]")
        + per_element("scale", "y", "b", 2, "[2.0, -0.3]"),
        linear("a", "x", 2, 3, A)
        + linear("b", "x", 2, 3, A)
        + "%s = snn.sum %a, %b : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>\n"
        + per_element("scale", "y", "s", 2, "[2.0, -0.3]"),
    ],
    ids=["affine", "sum"],
)
def test_a_factor_after_an_affine_or_a_sum_is_folded(fold: Callable[[str], ModuleOp], body: str) -> None:
    """f (A x + c) = (diag f A) x + f c: no factor is left where a matrix stands before it."""
    assert "scale" not in kinds(fold(path(body)))


def test_f32_is_rounded_once(fold: Callable[[str], ModuleOp]) -> None:
    """0.1, 0.7 and 3 in f32: the product of the f32 numbers in f64, then rounded."""
    body = linear("a", "x", 2, 3, "[[0.1, 0.7, 0.0], [0.3, 0.1, 0.7]]") + linear("y", "a", 1, 2, "[[0.7, 3.0]]")
    (matrix,) = (
        op
        for op in network(fold(path(body, result="1xf64").replace("f64", "f32"))).body.block.ops
        if isinstance(op, snn.LinearOp)
    )
    a, b = np.array([[0.1, 0.7, 0.0], [0.3, 0.1, 0.7]], np.float32), np.array([[0.7, 3.0]], np.float32)
    assert np.array_equal(doubles(matrix.weight), (b.astype(float) @ a.astype(float)).astype(np.float32))


def test_states_are_left_alone(parse: Parse, fold: Callable[[str], ModuleOp]) -> None:
    """A recurrent step: the folded one follows the unfolded one's states over time."""
    text = (
        'snn.network @main attributes {inputs = ["x"], outputs = ["y"], '
        'states = [#snn.state<"n", "v", dense<0.0> : tensor<f64>>]} {\n'
        "^bb0(%x: tensor<3xf64>, %v: tensor<2xf64>):\n"
        + linear("a", "x", 2, 3, A)
        + linear("r", "v", 2, 2, C)
        + "%s = snn.sum %a, %r : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>\n"
        + linear("b", "s", 2, 2, "[[0.2, 0.1], [-0.1, 0.3]]")
        + per_element("scale", "f", "b", 2, "[0.5, 0.25]")
        + "%y = snn.filter %f, %v {decay = dense<0.5> : tensor<f64>, gain = dense<1.0> : tensor<f64>} "
        ": (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>\nsnn.yield %y, %y : tensor<2xf64>, tensor<2xf64>\n}\n"
    )
    x: Array = np.random.default_rng(6).normal(0, 1, (50, 2, 3))
    before, after = outputs(parse(text), {"x": x}), outputs(fold(text), {"x": x})
    assert np.count_nonzero(before) == before.size
    assert np.max(np.abs(after - before)) <= 1e-12


# Images


def _image(body: str, result: str, inputs: str = "%x: tensor<4x6x6xf64>", names: str = '"x"') -> str:
    kind = result.partition(": ")[2]
    return f"""
    snn.network @main attributes {{inputs = [{names}], outputs = ["y"], states = []}} {{
    ^bb0({inputs}):
      {body}
      snn.yield {result.partition(":")[0]} : {kind}
    }}"""


RNG = np.random.default_rng(2)


def _text(*shape: int) -> str:
    return str(dense(RNG.normal(size=shape)))


def _conv(weight: tuple[int, ...], source: str, groups: int = 1, name: str = "w") -> str:
    places = 6 - weight[2] + 1
    kinds = f"(tensor<4x6x6xf64>) -> tensor<{weight[0]}x{places}x{places}xf64>"
    window = "stride = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilation = array<i64: 1, 1>"
    return (
        f'snn.conv {source} {{weight = {_text(*weight)}, {window}, groups = {groups} : i64, node = "{name}"}} : {kinds}'
    )


def _pool(kernel: int, source: str, before: int, after: int) -> str:
    sizes = f"kernel = array<i64: {kernel}, {kernel}>, stride = array<i64: {kernel}, {kernel}>"
    kinds = f"(tensor<4x{before}x{before}xf64>) -> tensor<4x{after}x{after}xf64>"
    return f"snn.pool {source} {{{sizes}, padding = array<i64: 0, 0, 0, 0>}} : {kinds}"


def _scale(source: str, factor: str, shape: str) -> str:
    return f"snn.scale {source} {{factor = {factor}}} : (tensor<{shape}xf64>) -> tensor<{shape}xf64>"


IMAGES = {
    "a factor before a convolution": (
        _image(
            f"%a = {_scale('%x', _text(4, 1, 1), '4x6x6')}\n%b = {_conv((3, 4, 2, 2), '%a')}", "%b: tensor<3x5x5xf64>"
        ),
        ["snn.conv"],
    ),
    "a factor before a grouped convolution": (
        _image(
            f"%a = {_scale('%x', _text(4, 1, 1), '4x6x6')}\n%b = {_conv((6, 2, 2, 2), '%a', 2)}",
            "%b: tensor<6x5x5xf64>",
        ),
        ["snn.conv"],
    ),
    "a factor behind a convolution": (
        _image(
            f"%a = {_conv((3, 4, 2, 2), '%x')}\n%b = {_scale('%a', _text(3, 1, 1), '3x5x5')}", "%b: tensor<3x5x5xf64>"
        ),
        ["snn.conv"],
    ),
    "a factor per place stays": (
        _image(
            f"%a = {_scale('%x', _text(4, 6, 6), '4x6x6')}\n%b = {_conv((3, 4, 2, 2), '%a')}", "%b: tensor<3x5x5xf64>"
        ),
        ["snn.scale", "snn.conv"],
    ),
    "a convolution of a sum": (
        _image(
            "%a = snn.sum %x, %z : (tensor<4x6x6xf64>, tensor<4x6x6xf64>) -> tensor<4x6x6xf64>\n"
            f"%b = {_conv((3, 4, 2, 2), '%a')}",
            "%b: tensor<3x5x5xf64>",
            "%x: tensor<4x6x6xf64>, %z: tensor<4x6x6xf64>",
            '"x", "z"',
        ),
        ["snn.conv", "snn.conv", "snn.sum"],
    ),
    "a factor goes behind a pool": (
        _image(f"%a = {_scale('%x', _text(4, 1, 1), '4x6x6')}\n%b = {_pool(2, '%a', 6, 3)}", "%b: tensor<4x3x3xf64>"),
        ["snn.pool", "snn.scale"],
    ),
    "a factor per place stays before a pool": (
        _image(f"%a = {_scale('%x', _text(4, 6, 6), '4x6x6')}\n%b = {_pool(2, '%a', 6, 3)}", "%b: tensor<4x3x3xf64>"),
        ["snn.scale", "snn.pool"],
    ),
    "pools in a row, with a rest": (
        _image(f"%a = {_pool(2, '%x', 6, 3)}\n%b = {_pool(2, '%a', 3, 1)}", "%b: tensor<4x1x1xf64>"),
        ["snn.pool"],
    ),
    "an average into a matrix": (
        _image(
            f"%a = {_pool(2, '%x', 6, 3)}\n%b = {_scale('%a', 'dense<0.25> : tensor<f64>', '4x3x3')}\n"
            "%c = snn.reshape %b : (tensor<4x3x3xf64>) -> tensor<36xf64>\n"
            f"%d = snn.linear %c {{weight = {_text(5, 36)}}} : (tensor<36xf64>) -> tensor<5xf64>",
            "%d: tensor<5xf64>",
        ),
        ["snn.pool", "snn.reshape", "snn.linear"],
    ),
    "reshapes in a row": (
        _image(
            "%a = snn.reshape %x : (tensor<4x6x6xf64>) -> tensor<144xf64>\n"
            "%b = snn.reshape %a : (tensor<144xf64>) -> tensor<8x18xf64>",
            "%b: tensor<8x18xf64>",
        ),
        ["snn.reshape"],
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_paths_of_images(parse: Callable[[str], ModuleOp], ctx: Context, name: str) -> None:
    """The same numbers as before, in fewer ops."""
    text, ops = IMAGES[name]
    before, after = parse(text), parse(text)
    SnnFoldLinearPathsPass().apply(ctx, after)
    after.verify()
    networks = [next(op for op in module.ops if isinstance(op, snn.NetworkOp)) for module in (before, after)]
    assert [op.name for op in networks[1].body.block.ops][:-1] == ops
    inputs = {item.data: RNG.normal(size=(3, 2, 4, 6, 6)) for item in networks[0].inputs}
    expected, found = (SnnEvaluator(network, 2).run(inputs)["y"] for network in networks)
    assert np.count_nonzero(expected) > 5
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
