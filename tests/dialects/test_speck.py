"""The `speck` dialect: print and parse, every rule of its verifiers with its text, memory by the specification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

from nirc.dialects import speck
from nirc.dialects.dense import dense

Parse = Callable[[str], ModuleOp]


def numbers(values: Any, kind: Any = np.int32) -> str:
    return str(dense(np.asarray(values, kind)))


def core(name: str = "a", **changes: str) -> str:
    """A core of 2x4x5 to 3x3x4 in text; properties may be changed, or left out as ''."""
    properties = {
        "node": f'"{name}"',
        "linear": '["w"]',
        "input_shape": "array<i64: 2, 4, 5>",
        "stride": "array<i64: 1, 1>",
        "padding": "array<i64: 0, 0>",
        "weights": numbers(np.arange(24).reshape(3, 2, 2, 2)),
        "biases": numbers([1, 2, 3]),
        "threshold_high": numbers(7),
        "threshold_low": numbers(-7),
        "destinations": "[]",
        **changes,
    }
    return f"speck.core {{{', '.join(f'{key} = {value}' for key, value in properties.items() if value)}}}\n"


def network(*cores: str, chip: str = "speck2f", inputs: str = "", outputs: str = "") -> str:
    inputs = inputs or '#speck.port<"x", "a", array<i64: 2, 4, 5>>'
    outputs = outputs or '#speck.port<"y", "a", array<i64: 36>>'
    attributes = f'chip = "{chip}", inputs = [{inputs}], outputs = [{outputs}]'
    return f"speck.network @main attributes {{{attributes}}} {{\n{''.join(cores)}}}"


WHOLE = core(core="3 : i64", initial=numbers(np.zeros((3, 3, 4))), scale="dense<2.5> : tensor<f64>").replace(
    "}\n", ", leak, monitor, return_to_zero}\n"
)
NEXT = core("b", input_shape="array<i64: 3, 1, 2>", weights=numbers(np.ones((1, 3, 1, 1))), biases=numbers([0]))
TO_B = '[#speck.destination<"b", 2 : i64, 0 : i64>]'


@pytest.mark.parametrize(
    "text",
    [network(core()), network(WHOLE), network(core(destinations=TO_B), NEXT)],
    ids=["plain", "every property", "two cores"],
)
def test_print_and_parse(opt: Callable[[str, str], str], golden: Callable[[str], None], text: str) -> None:
    printed = opt(text, "")
    assert opt(printed, "") == printed
    golden(printed)


def test_real_numbers_need_no_lower_bound(parse: Parse) -> None:
    real = {
        "weights": numbers(np.ones((3, 2, 2, 2)), np.float64),
        "biases": numbers(np.ones(3), np.float64),
        "threshold_high": numbers(1, np.float64),
    }
    module = parse(network(core(**real, threshold_low="")))
    (op,) = module.ops
    assert isinstance(op, speck.NetworkOp)
    (layer,) = op.layers().values()
    assert not layer.quantized()
    assert (layer.taken, layer.given, layer.kernel) == ((2, 4, 5), (3, 3, 4), 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (core(weights=numbers(np.ones((3, 2, 2, 1)))), "weights are features x channels x rows x rows"),
        (core(weights=numbers(np.ones((3, 1, 2, 2)))), r"the input \(2, 4, 5\) does not fit weights"),
        (core(input_shape="array<i64: 2, 4>"), r"the input \(2, 4\) does not fit weights"),
        (core(stride="array<i64: 1>"), "stride and padding are two numbers each, from 1 and from 0"),
        (core(stride="array<i64: 0, 1>"), "stride and padding are two numbers each"),
        (core(padding="array<i64: 0, -1>"), "stride and padding are two numbers each"),
        (core(input_shape="array<i64: 2, 1, 5>"), "the kernel is larger than the input"),
        (core(biases=numbers([1, 2])), "biases has the shape 2, must be 3"),
        (core(threshold_high=numbers([7])), "threshold_high has the shape 1, must be scalar"),
        (core(initial=numbers(np.zeros((3, 4, 3)))), "initial has the shape 3x4x3, must be 3x3x4"),
        (core(biases=numbers([1, 2, 3], np.float64)), "biases: numbers are real .f64. or integers .i32., all alike"),
        (core(threshold_low=""), "integers have a threshold_low"),
    ],
)
def test_cores_that_are_none(parse: Parse, text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse(network(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (network(core(), chip="xylo"), "chip 'xylo' is not one of speck2f, speck2e, speck2b"),
        (network(core(), core()), "two layers have the same name"),
        (network(core(destinations=TO_B)), "'a' sends to 'b', which is no later layer"),
        (network(NEXT, core(destinations=TO_B)), "'a' sends to 'b', which is no later layer"),
        (
            network(core(), inputs='#speck.port<"x", "c", array<i64: 2, 4, 5>>'),
            "the input 'x' of 'c' has the shape 2x4x5, which is not the layer's",
        ),
        (
            network(core(), outputs='#speck.port<"y", "a", array<i64: 35>>'),
            "the output 'y' of 'a' has the shape 35, which is not the layer's",
        ),
        (
            network(
                core(destinations=TO_B),
                core(
                    "b",
                    input_shape="array<i64: 3, 1, 2>",
                    weights=numbers(np.ones((1, 3, 1, 1)), np.float64),
                    biases=numbers([0], np.float64),
                    threshold_high=numbers(1, np.float64),
                    threshold_low="",
                ),
            ),
            "one layer holds integers, another real numbers",
        ),
    ],
)
def test_networks_that_are_none(parse: Parse, text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("channels", "kernel", "output", "memory"),
    [
        # c 2^(ceil log2 k^2 + ceil log2 f), f 2^(ceil log2 y + ceil log2 x), f; the paper's network among them
        (2, 5, (16, 16, 16), (1024, 4096, 16)),
        (8, 4, (256, 1, 1), (32768, 256, 256)),
        (1, 1, (1, 1, 1), (1, 1, 1)),
        (3, 3, (5, 33, 17), (384, 10240, 5)),
        (64, 16, (1024, 64, 64), (16777216, 4194304, 1024)),
    ],
)
def test_memory(channels: int, kernel: int, output: tuple[int, int, int], memory: tuple[int, int, int]) -> None:
    assert speck.Memory.of(channels, kernel, output) == speck.Memory(*memory)


def test_what_is_over() -> None:
    memory = speck.Memory.of(64, 16, (1024, 64, 64))
    assert memory.over(5, speck.LIMITS) == {"kernel": (16777216, 65536), "neuron": (4194304, 16384)}
    assert speck.Memory.of(1, 1, (1, 1, 1)).over(8, speck.LIMITS) == {}
