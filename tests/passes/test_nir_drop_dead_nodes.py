"""Dropping dead nodes: what reaches no Output goes, loops among it; the outputs stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

S = "!nir.signal<2>"
HALF = "{scale = dense<0.5> : tensor<f64>}"
LI = "{tau = dense<0.5> : tensor<f64>, r = dense<1.0> : tensor<f64>, v_leak = dense<0.0> : tensor<f64>}"

DEAD = f"""
nir.graph @main attributes {{inputs = ["x", "unused"], outputs = ["out"]}} {{
^bb0(%x : {S}, %u : {S}):
  %a = nir.scale "a"(%x) {HALF} : ({S}) -> {S}
  %dead = nir.scale "dead"(%a) {HALF} : ({S}) -> {S}
  %deader = nir.scale "deader"(%dead) {HALF} : ({S}) -> {S}
  %t = nir.sum %back, %u : ({S}, {S}) -> {S}
  %loop = nir.li "loop"(%t) {LI} : ({S}) -> {S}
  %back = nir.scale "back"(%loop) {HALF} : ({S}) -> {S}
  %y = nir.li "y"(%a) {LI} : ({S}) -> {S}
  nir.yield %y : {S}
}}
"""


def test_golden(rewrite: Callable[..., Any], golden: Callable[[str], None]) -> None:
    result = rewrite(DEAD, "nir-drop-dead-nodes")
    assert list(result.nodes) == ["a", "y"]
    assert result.assumptions == ("dead nodes: 'dead', 'deader', 'loop', 'back' reach no Output and are removed",)
    result.assert_equal_and_lively()
    golden(result.text)


GONE = ("deader", "t", "loop", "back")


def test_one_dead_node(rewrite: Callable[..., Any]) -> None:
    text = "\n".join(line for line in DEAD.splitlines() if not any(f"%{name} =" in line for name in GONE))
    assert rewrite(text, "nir-drop-dead-nodes").assumptions == ("dead nodes: 'dead' reaches no Output and is removed",)


def test_a_loop_before_an_output_stays(rewrite: Callable[..., Any]) -> None:
    result = rewrite(DEAD.replace("yield %y", "yield %loop"), "nir-drop-dead-nodes")
    assert list(result.nodes) == ["loop", "back"]
    result.assert_equal_and_lively()
