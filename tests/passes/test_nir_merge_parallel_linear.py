"""Merging parallel paths: goldens, numbers, what must stay, and the same outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nirc.dialects.dense import doubles

SIGNAL = "!nir.signal<2>"
A = "weight = dense<[[1.5, -2.0], [0.25, 3.0]]> : tensor<2x2xf64>"
B = "weight = dense<[[0.5, 1.0], [2.0, -1.0]]> : tensor<2x2xf64>"
BIAS = "bias = dense<[0.25, -4.0]> : tensor<2xf64>"


def node(name: str, kind: str, parameters: str, source: str = "x") -> str:
    return f'  %{name} = nir.{kind} "{name}"(%{source}) {{{parameters}}} : ({SIGNAL}) -> {SIGNAL}\n'


def parallel(nodes: str, terms: str) -> str:
    types = ", ".join([SIGNAL] * len(terms.split(",")))
    return (
        'nir.graph @main attributes {inputs = ["w", "x"], outputs = ["out"]} {\n'
        f"^bb0(%w : {SIGNAL}, %x : {SIGNAL}):\n"
        f"{nodes}  %t = nir.sum {terms} : ({types}) -> {SIGNAL}\n  nir.yield %t : {SIGNAL}\n}}\n"
    )


RULES = {
    "linear_and_linear": parallel(node("a", "linear", A) + node("b", "linear", B), "%a, %b"),
    "linear_and_affine": parallel(node("a", "linear", A) + node("b", "affine", f"{B}, {BIAS}"), "%a, %b"),
    "affine_and_affine": parallel(
        node("a", "affine", f"{A}, {BIAS}")
        + node("b", "affine", f"{B}, {BIAS}")
        + node("c", "scale", "scale = dense<2.0> : tensor<f64>", "w"),
        "%a, %b, %c",
    ),
    "scale_and_scale": parallel(
        node("a", "scale", "scale = dense<[2.0, 3.0]> : tensor<2xf64>")
        + node("b", "scale", "scale = dense<0.5> : tensor<f64>"),
        "%a, %b",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_golden(rule: str, rewrite: Callable[..., Any], golden: Callable[[str], None]) -> None:
    result = rewrite(RULES[rule], "nir-merge-parallel-linear")
    assert list(result.nodes) == (["a", "c"] if rule == "affine_and_affine" else ["a"])
    result.assert_equal_and_lively()
    golden(result.text)


def test_numbers(rewrite: Callable[..., Any]) -> None:
    a = rewrite(RULES["affine_and_affine"], "nir-merge-parallel-linear").nodes["a"]
    assert doubles(a.weight).tolist() == [[2.0, -1.0], [2.25, 2.0]]
    assert doubles(a.bias).tolist() == [0.5, -8.0]


KEPT = {
    "other sources": parallel(node("a", "linear", A) + node("b", "linear", B, "w"), "%a, %b"),
    "another user": parallel(
        node("a", "linear", A) + node("b", "linear", B) + node("c", "linear", B, "a"), "%a, %b, %c"
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_stays(case: str, rewrite: Callable[..., Any]) -> None:
    result = rewrite(KEPT[case], "nir-merge-parallel-linear")
    assert result.nodes.keys() >= {"a", "b"}
    assert result.assumptions == ()


@pytest.mark.parametrize("kind", ["linear", "affine", "scale"])
def test_a_sum_that_overflows_is_not_made(opt: Callable[[str, str], str], kind: str) -> None:
    """3e38 twice is no number of f32."""
    parameters = {
        "linear": "weight = dense<[[3.0e+38, -2.0], [0.25, 3.0]]> : tensor<2x2xf32>",
        "affine": "weight = dense<[[1.0, 0.0], [0.0, 1.0]]> : tensor<2x2xf32>, bias = dense<3.0e+38> : tensor<f32>",
        "scale": "scale = dense<[3.0e+38, 1.0]> : tensor<2xf32>",
    }
    text = parallel(node("a", kind, parameters[kind]) + node("b", kind, parameters[kind]), "%a, %b")
    assert opt(text, "nir-merge-parallel-linear") == opt(text, "")
    assert opt(text.replace("3.0e+38", "1.0"), "nir-merge-parallel-linear").count("nir." + kind) == 1
