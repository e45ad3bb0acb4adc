"""Folding linear chains on `nir`: one golden per rule, numbers, what must stay, and the same outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects.dense import array, doubles

A = "dense<[[1.5, -2.0, 0.5], [0.25, 3.0, -1.0]]> : tensor<2x3xf64>"
B = "dense<[[0.5, -1.5], [2.0, 0.75]]> : tensor<2x2xf64>"
BIAS = "dense<[0.25, -4.0]> : tensor<2xf64>"


def chain(body: str, shape: str = "3", result: str = "2") -> str:
    """A graph of one Input `x` and one Output `out` that carries %y."""
    return (
        'nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {\n'
        f"^bb0(%x : !nir.signal<{shape}>):\n{body}  nir.yield %y : !nir.signal<{result}>\n}}\n"
    )


def node(name: str, kind: str, source: str, parameters: str, taken: str, given: str) -> str:
    types = f"(!nir.signal<{taken}>) -> !nir.signal<{given}>"
    return f'  %{name} = nir.{kind} "{name}"(%{source}) {{{parameters}}} : {types}\n'


def scale(name: str, source: str, values: str, size: str) -> str:
    kind = f"{size}xf64" if values.startswith("[") else "f64"
    return node(name, "scale", source, f"scale = dense<{values}> : tensor<{kind}>", size, size)


CONV = (
    "weight = dense<[[[[1.0, 2.0], [0.5, -1.0]]]]> : tensor<1x1x2x2xf64>, bias = dense<[0.5]> : tensor<1xf64>, "
    "stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64"
)

RULES = {
    "scale_of_scale": chain(scale("s", "x", "[2.0, -0.5]", "2") + scale("y", "s", "3.0", "2"), "2"),
    "scale_of_linear": chain(node("a", "linear", "x", f"weight = {A}", "3", "2") + scale("y", "a", "[2.0, -1.0]", "2")),
    "scale_of_affine": chain(
        node("a", "affine", "x", f"weight = {A}, bias = {BIAS}", "3", "2") + scale("y", "a", "[2.0, -1.0]", "2")
    ),
    "linear_of_scale": chain(
        scale("s", "x", "[2.0, -0.5, 0.1]", "3") + node("y", "linear", "s", f"weight = {A}", "3", "2")
    ),
    "affine_of_affine": chain(
        node("a", "affine", "x", f"weight = {A}, bias = {BIAS}", "3", "2")
        + node("y", "affine", "a", f"weight = {B}, bias = {BIAS}", "2", "2")
    ),
    "linear_of_affine": chain(
        node("a", "affine", "x", f"weight = {A}, bias = {BIAS}", "3", "2")
        + node("y", "linear", "a", f"weight = {B}", "2", "2")
    ),
    "scale_of_conv": chain(
        node("c", "conv2d", "x", CONV, "1x3x3", "1x2x2") + scale("y", "c", "-2.0", "1x2x2"), "1x3x3", "1x2x2"
    ),
    "conv_of_scale": chain(
        scale("s", "x", "-2.0", "1x3x3") + node("y", "conv2d", "s", CONV, "1x3x3", "1x2x2"), "1x3x3", "1x2x2"
    ),
    "three": chain(
        scale("s", "x", "[2.0, -0.5, 0.1]", "3")
        + node("a", "affine", "s", f"weight = {A}, bias = {BIAS}", "3", "2")
        + scale("y", "a", "0.5", "2")
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_golden(rule: str, rewrite: Callable[..., Any], golden: Callable[[str], None]) -> None:
    """One node is left, it has the last one's name, and nothing else comes out."""
    result = rewrite(RULES[rule], "nir-fold-linear")
    assert list(result.nodes) == ["y"]
    result.assert_equal_and_lively()
    golden(result.text)


def test_numbers(rewrite: Callable[..., Any]) -> None:
    """B (A x + b) + c by hand."""
    y = rewrite(RULES["affine_of_affine"], "nir-fold-linear").nodes["y"]
    assert doubles(y.weight).tolist() == [[0.375, -5.5, 1.75], [3.1875, -1.75, 0.25]]
    assert doubles(y.bias).tolist() == [0.25 + 0.125 + 6.0, -4.0 + 0.5 - 3.0]


def test_the_types_stay(rewrite: Callable[..., Any]) -> None:
    text = RULES["scale_of_linear"].replace("f64", "f32")
    assert array(rewrite(text, "nir-fold-linear").nodes["y"].weight).dtype == np.float32


KEPT = {
    "another user": chain(
        scale("s", "x", "2.0", "3")
        + node("y", "linear", "s", f"weight = {A}", "3", "2")
        + node("z", "linear", "s", f"weight = {A}", "3", "2")
        + "  %t = nir.sum %y, %z : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>\n"
    ).replace("yield %y", "yield %t"),
    "more weights": chain(
        node("a", "linear", "x", "weight = dense<1.5> : tensor<1x3xf64>", "3", "1")
        + node("y", "linear", "a", "weight = dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xf64>", "1", "3"),
        result="3",
    ).replace("dense<1.5>", "dense<[[1.5, 0.5, 2.0]]>"),
    "a factor per channel and place": chain(
        node("c", "conv2d", "x", CONV, "1x3x3", "1x2x2")
        + node("y", "scale", "c", "scale = dense<[[[1.0, 2.0], [3.0, 4.0]]]> : tensor<1x2x2xf64>", "1x2x2", "1x2x2"),
        "1x3x3",
        "1x2x2",
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_stays(case: str, rewrite: Callable[..., Any]) -> None:
    result = rewrite(KEPT[case], "nir-fold-linear")
    assert len(result.nodes) == (3 if case == "another user" else 2)
    assert result.nodes.keys() >= {"y"}


HUGE = "1.0e+30"
TINY = "1.0e-30"


def pair(outer: str, inner: str, first: str, second: str) -> str:
    """Two nodes in f32 that each hold one of the numbers."""
    parameters = {
        "scale": "scale = dense<[{0}, 1.0]> : tensor<2xf32>",
        "linear": "weight = dense<[[{0}, 1.0], [0.0, 1.0]]> : tensor<2x2xf32>",
        "affine": "weight = dense<1.0> : tensor<2x2xf32>, bias = dense<[{0}, 1.0]> : tensor<2xf32>",
    }
    nodes = node("a", inner, "x", parameters[inner].format(first), "2", "2")
    return chain(nodes + node("y", outer, "a", parameters[outer].format(second), "2", "2"), "2")


def conv_pair(first: str, second: str) -> str:
    conv = CONV.replace("f64", "f32").replace("[[1.0, 2.0]", f"[[{first}, 2.0]")
    factor = f"scale = dense<{second}> : tensor<f32>"
    nodes = node("a", "conv2d", "x", conv, "1x3x3", "1x2x2") + node("y", "scale", "a", factor, "1x2x2", "1x2x2")
    return chain(nodes, "1x3x3", "1x2x2")


@pytest.mark.parametrize("number", [HUGE, TINY])
@pytest.mark.parametrize(
    ("outer", "inner"),
    [("scale", "scale"), ("scale", "linear"), ("linear", "scale"), ("linear", "linear"), ("scale", "affine")],
)
def test_what_f32_cannot_hold_stays(opt: Callable[[str, str], str], outer: str, inner: str, number: str) -> None:
    """The product is 1e60 or 1e-60: the first is no number of f32, the second is 0 there."""
    text = pair(outer, inner, number, number)
    assert opt(text, "nir-fold-linear") == opt(text, "")
    assert opt(pair(outer, inner, "1.0", "2.0"), "nir-fold-linear").count('"(%') == 1


@pytest.mark.parametrize("number", [HUGE, TINY])
def test_a_convolution_that_f32_cannot_hold_stays(opt: Callable[[str, str], str], number: str) -> None:
    text = conv_pair(number, number)
    assert opt(text, "nir-fold-linear") == opt(text, "")


def test_what_is_beyond_f64_stays(opt: Callable[[str, str], str]) -> None:
    text = chain(scale("a", "x", "1.0e+300", "2") + scale("y", "a", "1.0e+300", "2"), "2")
    assert opt(text, "nir-fold-linear") == opt(text, "")


def test_what_cancels_is_folded(rewrite: Callable[..., Any]) -> None:
    """(1, -1) (1, 1)^T = 0 is right, and 0 times anything too."""
    inner = "weight = dense<[[1.0, 0.0], [1.0, 0.0]]> : tensor<2x2xf64>"
    outer = "weight = dense<[[1.0, -1.0], [1.0, 1.0]]> : tensor<2x2xf64>"
    nodes = node("a", "linear", "x", inner, "2", "2") + node("y", "linear", "a", outer, "2", "2")
    result = rewrite(chain(nodes, "2"), "nir-fold-linear")
    assert list(result.nodes) == ["y"]
    assert doubles(result.nodes["y"].weight).tolist() == [[0, 0], [2, 0]]


UNEQUAL = node("s", "scale", "x", "scale = dense<[2.0, -0.5, 0.1]> : tensor<3xf64>", "*", "*") + node(
    "y", "scale", "s", "scale = dense<[1.0, 2.0]> : tensor<2xf64>", "*", "*"
)


@pytest.mark.parametrize("text", [chain(UNEQUAL, "*", "*"), RULES["scale_of_linear"]])
@pytest.mark.parametrize(
    "name", ["nir-fold-linear", "nir-merge-parallel-linear", "nir-recognize-neurons", "nir-expand-neurons"]
)
def test_shapes_are_required(opt: Callable[[str, str], str], text: str, name: str) -> None:
    for size in "23":
        text = text.replace(f"!nir.signal<{size}>", "!nir.signal<*>")
    with pytest.raises(PassFailedException, match=r"^the shapes of '.', 'y', 'x' are not known; run nir-infer-shapes"):
        opt(text, name)
