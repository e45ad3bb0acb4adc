"""The `snn` evaluator: each op against its formula, f32 in its order, batches, states, and whole random networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import snn
from nirc.dialects.dense import Array
from nirc.dialects.nir import Nir
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.nir_infer_shapes import infer_shapes

RNG = np.random.default_rng(7)


def dense(values: Any, element: str = "f32") -> str:
    """A dense attribute in text, every digit of f64 kept."""
    held = np.asarray(values, np.float64)
    text = np.array2string(held, separator=",", threshold=10**6, formatter={"float_kind": lambda x: f"{x:.17e}"})
    shape = "".join(f"{n}x" for n in held.shape)
    return f"dense<{text.replace(chr(10), '')}> : tensor<{shape}{element}>"


def tensor(shape: tuple[int, ...], element: str = "f32") -> str:
    return f"tensor<{''.join(f'{n}x' for n in shape)}{element}>"


Parse = Callable[[str], ModuleOp]


@pytest.fixture
def evaluate(parse: Parse) -> Callable[..., Array]:
    """One op over values [B, N...] of these types to its result of that type."""

    def run(op: str, gives: str, *taken: tuple[Array, str], **fields: str) -> Array:
        names = "abcd"[: len(taken)]
        kinds = [kind for _, kind in taken]
        held = ", ".join(f"{key} = {value}" for key, value in fields.items())
        arguments = ", ".join(f"%{name}: {kind}" for name, kind in zip(names, kinds, strict=True))
        inputs = ", ".join(f'"{name}"' for name in names)
        text = (
            f'snn.network @main attributes {{inputs = [{inputs}], outputs = ["y"], states = []}} {{\n'
            f"^bb0({arguments}):\n"
            f"%r = snn.{op} {', '.join(f'%{name}' for name in names)} {{{held}}} : ({', '.join(kinds)}) -> {gives}\n"
            f"snn.yield %r : {gives}\n}}\n"
        )
        network = network_of(parse(text))
        rasters = {name: values[None] for name, (values, _) in zip(names, taken, strict=True)}
        return SnnEvaluator(network, batch=len(taken[0][0])).run(rasters)["y"][0]

    return run


Evaluate = Callable[..., Array]


def network_of(module: ModuleOp) -> snn.NetworkOp:
    (network,) = module.ops
    assert isinstance(network, snn.NetworkOp)
    return network


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def test_linear(evaluate: Evaluate) -> None:
    x, w = normal(3, 5), normal(4, 5)
    y = evaluate("linear", tensor((4,)), (x, tensor((5,))), weight=dense(w))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, x.astype(np.float64) @ w.T.astype(np.float64), rtol=1e-5, atol=1e-6)


def test_linear_adds_in_ascending_order_of_the_input_index(evaluate: Evaluate) -> None:
    """1 + 2^-24 rounds to 1 each time it is added from the left; from the right 2^-24 + 2^-24 is seen."""
    x = np.ones((1, 3), np.float32)
    tiny = 2.0**-24
    forward, backward = [1.0, tiny, tiny], [tiny, tiny, 1.0]
    y = evaluate("linear", tensor((2,)), (x, tensor((3,))), weight=dense([forward, backward]))
    assert y.tolist() == [[1.0, 1.0 + 2.0**-23]]


def test_linear_is_the_loop_over_f32(evaluate: Evaluate) -> None:
    x, w = normal(2, 200), normal(3, 200)
    expected = np.zeros((2, 3), np.float32)
    other = np.zeros((2, 3), np.float32)
    for b, n in np.ndindex(2, 3):
        total = turned = np.float32(0)
        for m in range(200):
            total = np.float32(total + np.float32(w[n, m] * x[b, m]))
            turned = np.float32(turned + np.float32(w[n, 199 - m] * x[b, 199 - m]))
        expected[b, n], other[b, n] = total, turned
    y = evaluate("linear", tensor((3,)), (x, tensor((200,))), weight=dense(w))
    assert y.tolist() == expected.tolist()
    assert np.count_nonzero(expected != other) > 0


def test_linear_of_spikes_and_counts(evaluate: Evaluate) -> None:
    w = [[0.5, -2.0, 8.0]]
    spikes = np.array([[True, False, True]])
    assert evaluate("linear", tensor((1,)), (spikes, tensor((3,), "i1")), weight=dense(w)).tolist() == [[8.5]]
    counts = np.array([[2, 1, 0]], np.int32)
    assert evaluate("linear", tensor((1,)), (counts, tensor((3,), "i32")), weight=dense(w)).tolist() == [[-1.0]]


def conv_fields(weight: Array, groups: int = 1) -> dict[str, str]:
    return {
        "weight": dense(weight),
        "stride": "array<i64: 2, 1>",
        "padding": "array<i64: 1, 0, 0, 2>",
        "dilation": "array<i64: 1, 2>",
        "groups": f"{groups} : i64",
    }


@pytest.mark.parametrize("groups", [1, 2])
def test_conv_is_the_loop_over_f32(evaluate: Evaluate, groups: int) -> None:
    """Taps by row, column, channel; rows: (5 + 1 - 2) // 2 + 1 = 3, columns: (6 + 2 - 4 - 1) // 1 + 1 = 4."""
    x, w = normal(2, 4, 5, 6), normal(4, 4 // groups, 2, 3)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))
    expected = np.zeros((2, 4, 3, 4), np.float32)
    for b, n, row, column in np.ndindex(2, 4, 3, 4):
        first = n // (4 // groups) * (4 // groups)
        total = np.float32(0)
        for r in range(2):
            for c in range(3):
                for m in range(4 // groups):
                    value = padded[b, first + m, 2 * row + r, column + 2 * c]
                    total = np.float32(total + np.float32(w[n, m, r, c] * value))
        expected[b, n, row, column] = total
    y = evaluate("conv", tensor((4, 3, 4)), (x, tensor((4, 5, 6))), **conv_fields(w, groups))
    assert y.tolist() == expected.tolist()


def test_pool_is_the_loop_over_f32(evaluate: Evaluate) -> None:
    x = normal(2, 3, 5, 6)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))
    expected = np.zeros((2, 3, 2, 3), np.float32)
    for b, n, row, column in np.ndindex(2, 3, 2, 3):
        total = np.float32(0)
        for r in range(3):
            for c in range(2):
                total = np.float32(total + padded[b, n, 2 * row + r, 3 * column + c])
        expected[b, n, row, column] = total
    fields = {"kernel": "array<i64: 3, 2>", "stride": "array<i64: 2, 3>", "padding": "array<i64: 1, 0, 0, 2>"}
    assert evaluate("pool", tensor((3, 2, 3)), (x, tensor((3, 5, 6))), **fields).tolist() == expected.tolist()


def test_pool_counts_spikes(evaluate: Evaluate) -> None:
    fields = {"kernel": "array<i64: 2, 2>", "stride": "array<i64: 2, 2>", "padding": "array<i64: 0, 0, 0, 0>"}
    spikes = np.array([[[[1, 1], [0, 1]]]], bool)
    assert evaluate("pool", tensor((1, 1, 1)), (spikes, tensor((1, 2, 2), "i1")), **fields).tolist() == [[[[3.0]]]]


def test_scale_and_add(evaluate: Evaluate) -> None:
    x, c = normal(2, 3), normal(3)
    assert evaluate("scale", tensor((3,)), (x, tensor((3,))), factor=dense(c)).tolist() == (c * x).tolist()
    assert evaluate("add", tensor((3,)), (x, tensor((3,))), constant=dense(c)).tolist() == (x + c).tolist()


def test_a_constant_per_channel(evaluate: Evaluate) -> None:
    x, c = normal(2, 3, 2, 2), normal(3, 1, 1)
    y = evaluate("add", tensor((3, 2, 2)), (x, tensor((3, 2, 2))), constant=dense(c))
    assert y.tolist() == (x + c).tolist()


def test_sum_adds_in_operand_order(evaluate: Evaluate) -> None:
    one, tiny = np.ones((1, 1), np.float32), np.full((1, 1), 2.0**-24, np.float32)
    kind = tensor((1,))
    assert evaluate("sum", kind, (one, kind), (tiny, kind), (tiny, kind)).tolist() == [[1.0]]
    assert evaluate("sum", kind, (tiny, kind), (tiny, kind), (one, kind)).tolist() == [[1.0 + 2.0**-23]]


def test_sum_of_spikes_is_graded(evaluate: Evaluate) -> None:
    kind = tensor((2,), "i1")
    spikes = np.array([[True, False]])
    assert evaluate("sum", tensor((2,)), (spikes, kind), (spikes, kind)).tolist() == [[2.0, 0.0]]


def test_reshape_is_row_major(evaluate: Evaluate) -> None:
    x = normal(2, 2, 3)
    y = evaluate("reshape", tensor((6,)), (x, tensor((2, 3))))
    assert y.tolist() == [[*x[0, 0], *x[0, 1]], [*x[1, 0], *x[1, 1]]]


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_filter_rounds_after_each_operation(evaluate: Evaluate, element: str) -> None:
    kind = np.float32 if element == "f32" else np.float64
    x, v, decay, gain = (RNG.uniform(0.1, 0.9, n).astype(kind) for n in ((4, 50), (4, 50), 50, 50))
    expected = np.array(
        [[kind(kind(a * s) + kind(g * i)) for a, s, g, i in zip(decay, vs, gain, xs, strict=True)]
         for vs, xs in zip(v, x, strict=True)]
    )  # fmt: skip
    t = tensor((50,), element)
    y = evaluate("filter", t, (x, t), (v, t), decay=dense(decay, element), gain=dense(gain, element))
    assert y.dtype == kind
    assert y.tolist() == expected.tolist()


@pytest.mark.parametrize(("compare", "expected"), [(">", [False, False, True]), (">=", [False, True, True])])
def test_fire(evaluate: Evaluate, compare: str, expected: list[bool]) -> None:
    v = np.array([[0.5, 1.0, np.nextafter(np.float32(1), np.float32(2))]], np.float32)
    y = evaluate("fire", tensor((3,), "i1"), (v, tensor((3,))), threshold=dense(1.0), compare=f'"{compare}"')
    assert y.tolist() == [expected]


@pytest.mark.parametrize(("compare", "expected"), [(">", [0, 0, 0, 1, 2, 3]), (">=", [0, 0, 1, 1, 2, 3])])
def test_fire_counts(evaluate: Evaluate, compare: str, expected: list[int]) -> None:
    v = np.array([[-3.0, 0.0, 0.5, 0.75, 1.0, 1.75]], np.float32)
    y = evaluate("fire", tensor((6,), "i32"), (v, tensor((6,))), threshold=dense(0.5), compare=f'"{compare}"')
    assert y.dtype == np.int32
    assert y.tolist() == [expected]


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_fire_counts_what_the_rounded_quotient_holds(evaluate: Evaluate, element: str) -> None:
    """1 / 0.1 rounds to 10 in either precision, although ten times the stored 0.1 is more than 1."""
    kind = np.float32 if element == "f32" else np.float64
    v = np.arange(1, 41, dtype=kind)[None] / kind(10)
    threshold = kind(0.1)
    expected = [math.floor(kind(value / threshold)) for value in v[0]]
    t = tensor((40,), element)
    y = evaluate("fire", tensor((40,), "i32"), (v, t), threshold=dense(threshold, element), compare='">="')
    assert y[0].tolist() == expected


def test_reset_to_a_value(evaluate: Evaluate) -> None:
    v, z = np.array([[0.5, 2.0]], np.float32), np.array([[False, True]])
    fields = {"kind": '"value"', "amount": dense([0.25, -1.0])}
    y = evaluate("reset", tensor((2,)), (v, tensor((2,))), (z, tensor((2,), "i1")), **fields)
    assert y.tolist() == [[0.5, -1.0]]
    counts = np.array([[0, 3]], np.int32)
    y = evaluate("reset", tensor((2,)), (v, tensor((2,))), (counts, tensor((2,), "i32")), **fields)
    assert y.tolist() == [[0.5, -1.0]]


def test_reset_by_subtraction(evaluate: Evaluate) -> None:
    v, n = np.array([[0.5, 2.0, 7.0]], np.float32), np.array([[0, 1, 3]], np.int32)
    fields = {"kind": '"subtract"', "amount": dense(1.5)}
    y = evaluate("reset", tensor((3,)), (v, tensor((3,))), (n, tensor((3,), "i32")), **fields)
    assert y.tolist() == [[0.5, 0.5, 2.5]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"low": dense(0.0)}, [0.0, 0.5, 3.0]),
        ({"high": dense(1.0)}, [-2.0, 0.5, 1.0]),
        ({"low": dense([-1.0, 0.0, 5.0]), "high": dense(4.0)}, [-1.0, 0.5, 4.0]),
    ],
)
def test_clamp(evaluate: Evaluate, fields: dict[str, str], expected: list[float]) -> None:
    x = np.array([[-2.0, 0.5, 3.0]], np.float32)
    assert evaluate("clamp", tensor((3,)), (x, tensor((3,))), **fields).tolist() == [expected]


def delay(steps: str, ring: str = "3x2xf32", x: str = "2xf32", init: str = dense(-1.0)) -> str:
    return (
        'snn.network @main attributes {inputs = ["x"], outputs = ["y"], '
        f'states = [#snn.state<"d", "ring", {init}>]}} {{\n'
        f"^bb0(%x: tensor<{x}>, %ring: tensor<{ring}>):\n"
        f"%y, %next = snn.delay %x, %ring {{steps = {steps}}} : "
        f"(tensor<{x}>, tensor<{ring}>) -> (tensor<{x}>, tensor<{ring}>)\n"
        f"snn.yield %y, %next : tensor<{x}>, tensor<{ring}>\n}}\n"
    )


def test_delay_gives_the_input_of_some_steps_ago(parse: Parse) -> None:
    x = normal(6, 1, 2)
    y = SnnEvaluator(network_of(parse(delay("dense<3> : tensor<i32>")))).run({"x": x})["y"]
    assert y[:3].tolist() == np.full((3, 1, 2), -1.0).tolist()
    assert y[3:].tolist() == x[:3].tolist()


def test_delay_of_one_step(parse: Parse) -> None:
    x = normal(4, 1, 2)
    y = SnnEvaluator(network_of(parse(delay("dense<1> : tensor<i32>", "1x2xf32")))).run({"x": x})["y"]
    assert y.tolist() == [[[-1.0, -1.0]], *x[:3].tolist()]


def shifted(x: Array, steps: Array, first: float) -> Array:
    """Each element of x [T, B, N...] by its own number of steps."""
    y = np.full_like(x, first)
    for index in np.ndindex(*x.shape[2:]):
        n = int(np.broadcast_to(steps, x.shape[2:])[index])
        for t in range(n, len(x)):
            y[(t, slice(None), *index)] = x[(t - n, slice(None), *index)]
    return y


@pytest.mark.parametrize("batch", [1, 3])
def test_delay_by_a_number_of_steps_per_element(parse: Parse, batch: int) -> None:
    """0 steps is this step's own value."""
    x, steps = normal(9, batch, 4), np.array([0, 2, 5, 1])
    text = delay("dense<[0, 2, 5, 1]> : tensor<4xi32>", "5x4xf32", "4xf32")
    y = SnnEvaluator(network_of(parse(text)), batch).run({"x": x})["y"]
    assert y.tolist() == shifted(x, steps, -1.0).tolist()
    assert y[:, :, 0].tolist() == x[:, :, 0].tolist()


def test_delay_by_a_number_of_steps_per_channel(parse: Parse) -> None:
    x, steps = normal(7, 2, 3, 2, 2), np.array([2, 0, 4]).reshape(3, 1, 1)
    text = delay("dense<[[[2]], [[0]], [[4]]]> : tensor<3x1x1xi32>", "4x3x2x2xf32", "3x2x2xf32")
    y = SnnEvaluator(network_of(parse(text)), 2).run({"x": x})["y"]
    assert y.tolist() == shifted(x, steps, -1.0).tolist()


def test_delay_of_spikes_stays_spikes(parse: Parse) -> None:
    x = RNG.random((8, 1, 2)) < 0.5
    text = delay("dense<[3, 1]> : tensor<2xi32>", "3x2xi1", "2xi1", "dense<false> : tensor<i1>")
    y = SnnEvaluator(network_of(parse(text))).run({"x": x})["y"]
    assert y.dtype == np.bool_
    assert y.tolist() == shifted(x, np.array([3, 1]), 0).tolist()


def test_a_delay_goes_on_between_calls_until_reset(parse: Parse) -> None:
    x, steps = normal(8, 1, 2), np.array([3, 1])
    evaluator = SnnEvaluator(network_of(parse(delay("dense<[3, 1]> : tensor<2xi32>"))))
    parts = [evaluator.run({"x": x[part]})["y"] for part in (slice(0, 2), slice(2, 5), slice(5, 8))]
    assert np.concatenate(parts).tolist() == shifted(x, steps, -1.0).tolist()
    evaluator.reset()
    assert evaluator.run({"x": x})["y"].tolist() == shifted(x, steps, -1.0).tolist()


def test_a_ring_may_begin_with_values_of_its_own(parse: Parse) -> None:
    """The oldest first."""
    init = dense([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    evaluator = SnnEvaluator(network_of(parse(delay("dense<[3, 2]> : tensor<2xi32>", init=init))))
    y = evaluator.run({"x": np.zeros((4, 1, 2), np.float32)})["y"]
    assert y[:, 0].tolist() == [[1.0, 4.0], [3.0, 6.0], [5.0, 0.0], [0.0, 0.0]]


NEURON = f"""
snn.network @main attributes {{inputs = ["x", "bias"], outputs = ["z", "u"], states = [
  #snn.state<"n.1", "z", dense<false> : tensor<i1>>, #snn.state<"n.1", "v", {dense([0.5, -0.25])}>]}} {{
^bb0(%x: tensor<2xf32>, %bias: tensor<2xf32>, %last: tensor<2xi1>, %v: tensor<2xf32>):
  %fed = snn.linear %last {{weight = {dense([[0.5, -0.25], [0.125, 0.75]])}, node = "w"}} : (tensor<2xi1>) -> tensor<2xf32>
  %in = snn.sum %x, %bias, %fed : (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  %u = snn.filter %in, %v {{decay = {dense(0.875)}, gain = {dense([1.0, 0.5])}, node = "n.1"}} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  %z = snn.fire %u {{threshold = {dense(1.0)}, compare = ">", node = "n.1"}} : (tensor<2xf32>) -> tensor<2xi1>
  %r = snn.reset %u, %z {{kind = "subtract", amount = {dense(1.0)}, node = "n.1"}} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
  snn.yield %z, %u, %z, %r : tensor<2xi1>, tensor<2xf32>, tensor<2xi1>, tensor<2xf32>
}}
"""  # noqa: E501
NEURON_INPUTS = {"x": RNG.uniform(0, 1, (60, 4, 2)).astype(np.float32), "bias": normal(60, 4, 2) / np.float32(4)}


def part(rasters: dict[str, Array], steps: slice, batch: slice) -> dict[str, Array]:
    return {name: raster[steps, batch] for name, raster in rasters.items()}


ALL = slice(None)


def test_a_network_is_its_ops_in_order(parse: Parse) -> None:
    result = SnnEvaluator(network_of(parse(NEURON)), 4, ("n.1.v", "n.1.spikes", "n.1.z")).run(NEURON_INPUTS)
    w, gain = np.array([[0.5, -0.25], [0.125, 0.75]]), np.array([1.0, 0.5])
    v, z = np.tile([0.5, -0.25], (4, 1)), np.zeros((4, 2))
    for t in range(60):
        u = 0.875 * v + gain * (NEURON_INPUTS["x"][t] + NEURON_INPUTS["bias"][t] + z @ w.T)
        z = (u > 1).astype(np.float64)
        v = u - z
        assert result["z"][t].tolist() == (z > 0).tolist()
        np.testing.assert_allclose(result["u"][t], u, atol=1e-5)
        np.testing.assert_allclose(result["n.1.v"][t], v, atol=1e-5)
    assert result["z"].sum() > 20
    assert result["n.1.spikes"].tolist() == result["n.1.z"].tolist() == result["z"].tolist()


def test_a_batch_is_as_many_separate_runs(parse: Parse) -> None:
    network = network_of(parse(NEURON))
    together = SnnEvaluator(network, batch=4).run(NEURON_INPUTS)
    for b in range(4):
        alone = SnnEvaluator(network).run(part(NEURON_INPUTS, ALL, slice(b, b + 1)))
        assert {name: raster[:, 0].tolist() for name, raster in alone.items()} == {
            name: raster[:, b].tolist() for name, raster in together.items()
        }


def test_states_stay_between_runs_until_they_are_reset(parse: Parse) -> None:
    evaluator = SnnEvaluator(network_of(parse(NEURON)), batch=4)
    whole = evaluator.run(NEURON_INPUTS)["u"]
    evaluator.reset()
    first = evaluator.run(part(NEURON_INPUTS, slice(0, 23), ALL))["u"]
    second = evaluator.run(part(NEURON_INPUTS, slice(23, None), ALL))["u"]
    assert np.concatenate([first, second]).tolist() == whole.tolist()
    assert evaluator.run(NEURON_INPUTS)["u"].tolist() != whole.tolist()
    evaluator.reset()
    assert evaluator.run(NEURON_INPUTS)["u"].tolist() == whole.tolist()


def test_no_steps_give_empty_rasters(parse: Parse) -> None:
    result = SnnEvaluator(network_of(parse(NEURON)), 4, ("n.1.v",)).run(part(NEURON_INPUTS, slice(0, 0), ALL))
    assert (result["z"].shape, result["z"].dtype) == ((0, 4, 2), np.bool_)
    assert (result["u"].shape, result["u"].dtype) == ((0, 4, 2), np.float32)
    assert len(result["n.1.v"]) == 0


def test_progress_is_told_after_each_step(parse: Parse) -> None:
    told = list[int]()
    SnnEvaluator(network_of(parse(NEURON)), batch=4).run(part(NEURON_INPUTS, slice(0, 3), ALL), told.append)
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, r"no raster for the input 'bias'"),
        ({"x": np.zeros((5, 4, 3))}, r"the raster of input 'x' has the shape 5x4x3, must be steps x batch x 2"),
        ({"x": np.zeros((5, 3, 2))}, r"the raster of input 'x' has the shape 5x3x2, must be steps x batch x 2"),
        ({"x": np.zeros((5, 4, 2))}, r"inputs of unequal length: 'x' 5, 'bias' 60 steps"),
    ],
)
def test_rasters_that_do_not_fit_are_refused(parse: Parse, change: dict[str, Array | None], message: str) -> None:
    rasters = {name: raster for name, raster in {**NEURON_INPUTS, **change}.items() if raster is not None}
    with pytest.raises(DiagnosticException, match=message):
        SnnEvaluator(network_of(parse(NEURON)), batch=4).run(rasters)


def test_what_cannot_be_recorded_is_refused(parse: Parse) -> None:
    with pytest.raises(DiagnosticException) as raised:
        SnnEvaluator(network_of(parse(NEURON)), record=("n.1.v", "n.1.i", "ghost.spikes"))
    assert str(raised.value).splitlines() == [
        f"cannot record '{key}'; there are n.1.spikes, n.1.z, n.1.v" for key in ("n.1.i", "ghost.spikes")
    ]


# Random networks: a chain of stages of width 2, each an Affine and a neuron, the last neuron perhaps fed back.

DT = 1e-3


@dataclass(frozen=True)
class Stage:
    """An Affine (or a Linear, where the bias is 0) and a neuron with numbers of its own."""

    weight: Array
    bias: Array
    kind: str
    numbers: dict[str, Array]


def rounded(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(0, 1000).map(lambda n: low + (high - low) * n / 1000)


def vectors(low: float, high: float) -> st.SearchStrategy[Array]:
    return st.lists(rounded(low, high), min_size=2, max_size=2).map(np.array)


FIELDS: dict[str, tuple[str, ...]] = {
    "lif": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "cuba_lif": ("tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset"),
    "if": ("r", "v_threshold", "v_reset"),
    "li": ("tau", "r", "v_leak"),
}
RANGES = {"r": (0.5, 20.0), "w_in": (0.5, 4.0), "v_leak": (-0.5, 0.5), "v_threshold": (0.6, 2.0), "v_reset": (-1, -0.1)}


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    kind = draw(st.sampled_from(sorted(FIELDS)))
    numbers = {name: draw(vectors(*RANGES.get(name, (2e-3, 2e-2)))) for name in FIELDS[kind]}
    weight = np.array([draw(vectors(-1, 2)), draw(vectors(-1, 2))])
    bias = draw(st.one_of(st.just(np.zeros(2)), vectors(-0.5, 0.5)))
    return Stage(weight, bias, kind, numbers)


def text_of(chain: list[Stage], feedback: Array | None) -> str:
    signal = "!nir.signal<2>"
    lines = list[str]()
    source = "x"
    last = f"n{len(chain) - 1}"
    if feedback is not None:
        lines.append(
            f'%back = nir.linear "back"(%{last}) {{weight = {dense(feedback, "f64")}}} : ({signal}) -> {signal}'
        )
        lines.append(f"%first = nir.sum %back, %x : ({signal}, {signal}) -> {signal}")
        source = "first"
    for k, stage in enumerate(chain):
        bias = f", bias = {dense(stage.bias, 'f64')}" if stage.bias.any() else ""
        op = "affine" if bias else "linear"
        weight = f"weight = {dense(stage.weight, 'f64')}"
        fields = ", ".join(f"{name} = {dense(values, 'f64')}" for name, values in stage.numbers.items())
        lines.append(f'%w{k} = nir.{op} "w{k}"(%{source}) {{{weight}{bias}}} : ({signal}) -> {signal}')
        lines.append(f'%n{k} = nir.{stage.kind} "n{k}"(%w{k}) {{{fields}}} : ({signal}) -> {signal}')
        source = f"n{k}"
    body = "\n".join(lines)
    return (
        f'nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]}} {{\n^bb0(%x: {signal}):\n{body}\n'
        f"nir.yield %{last} : {signal}\n}}\n"
    )


def euler(chain: list[Stage], feedback: Array | None, x: Array) -> tuple[Array, float]:
    """Forward Euler of the differential equations; also how near any v came to its threshold, relatively."""
    v = [stage.numbers["v_leak"] if "v_leak" in stage.numbers else np.zeros(2) for stage in chain]
    i = [np.zeros(2) for _ in chain]
    last, margin = np.zeros(2), np.inf
    outputs = list[Array]()
    for arriving in x:
        signal = arriving if feedback is None else arriving + feedback @ last
        for k, stage in enumerate(chain):
            p = stage.numbers
            signal = stage.weight @ signal + stage.bias
            if stage.kind == "if":
                v[k] = v[k] + p["r"] * signal  # the input is spikes: their area does not shrink with the step
            elif stage.kind == "cuba_lif":
                i[k] = i[k] + DT / p["tau_syn"] * (-i[k] + p["w_in"] * signal)
                v[k] = v[k] + DT / p["tau_mem"] * (p["v_leak"] - v[k] + p["r"] * i[k])
            else:
                v[k] = v[k] + DT / p["tau"] * (p["v_leak"] - v[k] + p["r"] * signal)
            if stage.kind == "li":
                signal = v[k]
            else:
                distance = np.abs(v[k] - p["v_threshold"]) / (1 + np.abs(v[k]))
                margin = min(margin, float(distance.min()))
                signal = (v[k] > p["v_threshold"]).astype(np.float64)
                v[k] = np.where(signal > 0, p["v_reset"], v[k])
        last = signal
        outputs.append(signal)
    return np.array(outputs), margin


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    chain=st.lists(stages(), min_size=1, max_size=3),
    feedback=st.one_of(st.none(), st.tuples(vectors(-0.5, 0.5), vectors(-0.5, 0.5)).map(np.array)),
    seed=st.integers(0, 2**16),
)
def test_random_networks_follow_their_differential_equations(
    chain: list[Stage], feedback: Array | None, seed: int
) -> None:
    x = np.random.default_rng(seed).integers(0, 2, (40, 2)) * 1.0
    expected, margin = euler(chain, feedback, x)
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Nir)
    module = Parser(context, text_of(chain, feedback)).parse_module()
    assert infer_shapes(module) == []
    ConvertNirToSnnPass(dt=DT, scheme="nir-euler,if_gain=r", precision="f64").apply(context, module)
    module.verify()
    output = SnnEvaluator(network_of(module)).run({"x": x[:, None]})["y"][:, 0]
    scale = 1 + np.abs(expected).max()
    if margin > 1e-6:  # nearer to a threshold the two roundings may differ
        assert np.abs(output - expected).max() <= 1e-9 * scale
