"""`convert-snn-to-loops`: the text of small networks, each beside its numbers by hand; round trips; refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import ParseError, PassFailedException, VerifyException

from nirc.backends.cpu.run import CpuEvaluator
from nirc.dialects import cpu
from nirc.dialects.dense import Array
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass

sys.path.append(str(Path(__file__).parents[1]))
from loop_functions import context, parsed

Opt = Callable[[str, str], str]
Golden = Callable[[str], None]

LIF = """
snn.network @main attributes {inputs = ["x"], outputs = ["y"],
    states = [#snn.state<"n", "v", dense<0.0> : tensor<f32>>]} {
^bb0(%x: tensor<3xf32>, %v: tensor<2xf32>):
%w = snn.linear %x {weight = dense<[[0.5, 1.0, -0.25], [-1.0, 0.25, 0.75]]> : tensor<2x3xf32>, node = "w"}
    : (tensor<3xf32>) -> tensor<2xf32>
%a = snn.filter %w, %v {decay = dense<0.75> : tensor<f32>, gain = dense<[1.5, 0.5]> : tensor<2xf32>, node = "n"}
    : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
%z = snn.fire %a {threshold = dense<1.0> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
%r = snn.reset %a, %z {kind = "value", amount = dense<-0.25> : tensor<f32>, node = "n"}
    : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
snn.yield %z, %r : tensor<2xi1>, tensor<2xf32>
}
"""

X = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [2, 1, 1], [0, 0, 5], [1, 1, 1]], np.uint8)
"""Few numbers, all of them powers of two: every sum is exact, so that the order of additions does not matter."""


def by_hand(x: Array) -> tuple[Array, Array]:
    """Spikes and v after each step of `LIF`."""
    weight, v = np.array([[0.5, 1.0, -0.25], [-1.0, 0.25, 0.75]]), np.zeros(2)
    spikes, states = list[Array](), list[Array]()
    for step in x:
        v = 0.75 * v + np.array([1.5, 0.5]) * (weight @ step)
        spikes.append(v > 1)
        v = np.where(spikes[-1], -0.25, v)
        states.append(v)
    return np.array(spikes), np.array(states)


def loops(opt: Opt, inputs: str = "graded", record: str = "") -> str:
    options = f"inputs={inputs}" + (f" record={record}" if record else "")
    return opt(LIF, f"convert-snn-to-loops{{{options}}}")


def run(module: ModuleOp, x: Array) -> dict[str, Array]:
    return {name: values[:, 0] for name, values in CpuEvaluator(module, 1).run({"x": x[:, None]}).items()}


@pytest.mark.parametrize(("inputs", "dtype"), [("graded", np.float32), ("events", np.uint8)])
def test_lif(opt: Opt, golden: Golden, inputs: str, dtype: type[np.generic]) -> None:
    golden(loops(opt, inputs))
    spikes, _ = by_hand(X)
    assert 3 < spikes.sum() < 10
    assert run(parsed(LIF), X.astype(dtype))["y"].tolist() == spikes.tolist()


def test_lif_in_llvm(opt: Opt, golden: Golden) -> None:
    golden(opt(LIF, "convert-snn-to-loops,convert-loops-to-llvm"))
    spikes, _ = by_hand(X)
    assert run(parsed(LIF), X.astype(float))["y"].tolist() == spikes.tolist()


def test_what_is_recorded_is_an_output(opt: Opt, golden: Golden) -> None:
    golden(loops(opt, record='"n.v","n.spikes"'))
    spikes, states = by_hand(X)
    results = CpuEvaluator(parsed(LIF), 1, ("n.v", "n.spikes")).run({"x": X[:, None].astype(float)})
    assert list(results) == ["y", "n.v", "n.spikes"]
    assert results["n.v"][:, 0].tolist() == states.tolist()
    assert results["n.spikes"][:, 0].tolist() == results["y"][:, 0].tolist() == spikes.tolist()


def test_lif_in_batches(opt: Opt, golden: Golden) -> None:
    """Its neurons at once, spikes by their bits; X's numbers, told as spikes, are 0 or 1."""
    text = opt(LIF, "convert-snn-to-loops{inputs=spikes batch=true}")
    golden(text)
    x = (X > 0).astype(np.uint8)
    expected = by_hand(x)[0].tolist()
    assert run(parsed(text), x)["y"].tolist() == expected
    three = CpuEvaluator(parsed(text), 3).run({"x": np.stack([x, 0 * x, x], 1)})["y"]
    assert three[:, 0].tolist() == three[:, 2].tolist() == expected
    assert not three[:, 1].any()


@pytest.mark.parametrize(("inputs", "dtype"), [("graded", np.float64), ("events", np.uint8)])
def test_printed_loops_read_back_and_run(opt: Opt, inputs: str, dtype: type[np.generic]) -> None:
    text = loops(opt, inputs, '"n.v"')
    module = parsed(text)
    assert f"{module!s}\n" == text
    spikes, states = by_hand(X)
    results = run(module, X.astype(dtype))
    assert results["y"].tolist() == spikes.tolist()
    assert results["n.v"].tolist() == states.tolist()


def test_printed_llvm_reads_back(opt: Opt) -> None:
    text = opt(LIF, "convert-snn-to-loops,convert-loops-to-llvm")
    assert f"{parsed(text)!s}\n" == text


def test_the_contract_lists_every_buffer() -> None:
    """Their order is that of the function's parameters, after the number of steps; a raster has a stride behind it."""
    module = parsed(LIF)
    ConvertSnnToLoopsPass("events", ("n.v",)).apply(context(), module)
    module.verify()
    kernel, function = module.ops
    assert isinstance(kernel, cpu.KernelOp)
    listed = [(a.role.data, a.label.data, a.tensor.get_shape(), str(a.tensor.element_type)) for a in kernel.arguments]
    assert ("input", "x", (3,), "i8") in listed
    assert ("output", "y", (2,), "i1") in listed
    assert ("output", "n.v", (2,), "f32") in listed
    assert ("state", "n.v", (2,), "f32") in listed
    assert ("constant", "w.weight", (6,), "f32") in listed
    rasters = sum(role in ("input", "output") for role, *_ in listed)
    assert len(function.regions[0].blocks[0].args) == 1 + len(listed) + rasters


def test_the_code_depends_on_shapes_alone(opt: Opt) -> None:
    other = LIF.replace("[0.5, 1.0, -0.25]", "[9.0, -7.0, 0.0]").replace("[1.5, 0.5]", "[3.0, 4.0]")
    assert other != LIF
    texts = [opt(text, "convert-snn-to-loops").partition("func.func")[2] for text in (LIF, other)]
    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("inputs=counts", "inputs 'counts' is not one of graded, sparse, events, spikes"),
        ("edges=sparse", "edges 'sparse' is not one of auto, events, dense"),
        ('record="n.i"', "cannot record 'n.i'; there are n."),
        ('record="n.v","ghost.v","x"', "cannot record 'ghost.v'; there are "),
    ],
)
def test_options_that_are_refused(opt: Opt, options: str, message: str) -> None:
    with pytest.raises(PassFailedException) as raised:
        opt(LIF, f"convert-snn-to-loops{{{options}}}")
    assert str(raised.value).startswith(message)
    assert len(str(raised.value).splitlines()) == (2 if "ghost" in options else 1)


TENSOR, ZERO = "tensor<2xf32>", "dense<0.0> : tensor<f32>"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (f'<"weights", "w", {TENSOR}, {ZERO}>', "role must be one of input, output, state, constant, scratch, got"),
        (f'<"input", "x", {TENSOR}, {ZERO}>', "input 'x': states and constants alone have a content"),
        (f'<"scratch", "x", {TENSOR}, {ZERO}>', "scratch 'x': states and constants alone have a content"),
    ],
)
def test_arguments_that_are_none(argument: str, message: str) -> None:
    with pytest.raises((ParseError, VerifyException), match=message):
        parsed(f"cpu.kernel @main {{arguments = [#cpu.argument{argument}]}}")
