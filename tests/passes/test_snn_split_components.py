"""Scans: which ops stand together, and that the split network computes what the whole one does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

import nirc
from nirc.backends.cpu.run import CpuEvaluator
from nirc.dialects import snn
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.convert_snn_to_loops import loops
from nirc.passes.snn_split_components import SnnSplitComponentsPass

EXAMPLES = Path(__file__).parents[2] / "examples"
SHARED = Path(__file__).parents[3] / "shared"
Parse = Callable[[str], ModuleOp]

ROW, SPIKES = "tensor<2xf32>", "tensor<2xi1>"
UNIT = "dense<[[1.0, 0.5], [0.25, 2.0]]> : tensor<2x2xf32>"


def network(body: str, states: str, arguments: str, values: str) -> str:
    """A network of the input `x` and the output `y`; states by their names, 0.5 at first."""
    listed = ", ".join(f'#snn.state<"n", "{name}", dense<0.5> : tensor<f32>>' for name in states.split())
    kinds = ", ".join([f"%x: {ROW}", *(f"%{name}: {ROW}" for name in arguments.split())])
    return (
        f'snn.network @main attributes {{inputs = ["x"], outputs = ["y"], states = [{listed}]}} {{\n^bb0({kinds}):\n'
        f"{body}\nsnn.yield {values}\n}}\n"
    )


def filtered(result: str, source: str, state: str) -> str:
    return (
        f"%{result} = snn.filter %{source}, %{state} {{decay = dense<0.5> : tensor<f32>, gain = dense<1.0> : "
        f'tensor<f32>, node = "{result}"}} : ({ROW}, {ROW}) -> {ROW}\n'
    )


def product(result: str, source: str, kind: str = ROW) -> str:
    return f'%{result} = snn.linear %{source} {{weight = {UNIT}, node = "{result}"}} : ({kind}) -> {ROW}\n'


def scans(module: ModuleOp) -> list[list[str]]:
    """The nodes of each scan."""
    (op,) = module.ops
    assert isinstance(op, snn.NetworkOp)
    found = list[list[str]]()
    for scan in op.body.block.ops:
        if isinstance(scan, snn.ScanOp):
            ops = [inner for inner in scan.body.block.ops if isinstance(inner, snn.SnnOp)]
            found.append([inner.node.data for inner in ops if inner.node])
        else:
            assert isinstance(scan, snn.YieldOp)
    return found


def split(ctx: Context, module: ModuleOp) -> ModuleOp:
    SnnSplitComponentsPass().apply(ctx, module)
    module.verify()
    return module


FIRE = f'%s = snn.fire %a {{threshold = dense<1.0> : tensor<f32>, compare = ">", node = "s"}} : ({ROW}) -> {SPIKES}\n'

CASES = {
    "a chain": (
        network(
            product("w", "x") + filtered("a", "w", "u") + FIRE + product("p", "s", SPIKES) + filtered("b", "p", "v"),
            "u v",
            "u v",
            f"%b, %a, %b : {ROW}, {ROW}, {ROW}",
        ),
        [["w", "a", "s"], ["p", "b"]],
    ),
    "a current and a membrane": (
        network(filtered("i", "x", "u") + filtered("a", "i", "v"), "u v", "u v", f"%a, %i, %a : {ROW}, {ROW}, {ROW}"),
        [["i", "a"]],
    ),
    "a matrix that two layers read": (
        network(
            product("w", "x") + filtered("a", "w", "u") + filtered("b", "w", "v"),
            "u v",
            "u v",
            f"%b, %a, %b : {ROW}, {ROW}, {ROW}",
        ),
        [["w"], ["b"], ["a"]],
    ),
    "a loop through two layers": (
        network(
            filtered("a", "v", "u") + product("w", "a") + filtered("b", "w", "v"),
            "u v",
            "u v",
            f"%b, %a, %b : {ROW}, {ROW}, {ROW}",
        ),
        [["a", "w", "b"]],
    ),
    "a state that is read elsewhere": (
        network(product("w", "x") + filtered("a", "x", "u") + product("p", "u"), "u", "u", f"%p, %a : {ROW}, {ROW}"),
        [["w"], ["a", "p"]],
    ),
    "a state that becomes another": (
        network(product("w", "u") + product("p", "v"), "u v", "u v", f"%p, %w, %u : {ROW}, {ROW}, {ROW}"),
        [["w", "p"]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_stands_together(ctx: Context, parse: Parse, name: str) -> None:
    text, expected = CASES[name]
    found = scans(split(ctx, parse(text)))
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


@pytest.mark.parametrize("name", CASES)
def test_the_same_results(ctx: Context, parse: Parse, name: str) -> None:
    x = np.random.default_rng(3).normal(0.5, 1, (30, 2, 2))
    whole, parts = parse(CASES[name][0]), split(ctx, parse(CASES[name][0]))
    networks = [op for module in (whole, parts) for op in module.ops if isinstance(op, snn.NetworkOp)]
    results = [SnnEvaluator(op, 2).run({"x": x})["y"] for op in networks]
    assert results[0].any()
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("name", CASES)
def test_it_reads_back(ctx: Context, parse: Parse, name: str) -> None:
    text = str(split(ctx, parse(CASES[name][0])))
    assert str(parse(text)) == text


def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None]) -> None:
    golden(opt(CASES["a chain"][0], "snn-split-components"))


@pytest.mark.parametrize(
    ("model", "expected"), [("digits", 2), ("digits_recurrent", 2), ("digits_conv", 3), ("gestures", 2)]
)
def test_layers_of_the_examples(ctx: Context, model: str, expected: int) -> None:
    """As many scans as layers of neurons."""
    program = nirc.compile(EXAMPLES / f"{model}.nir")
    (op,) = program.module.ops
    layers = sum(isinstance(inner, snn.FireOp) for inner in op.walk())
    assert len(scans(split(ctx, program.module))) == layers == expected


def test_a_scan_gives_what_it_yields(parse: Parse) -> None:
    body = f"%y = snn.scan {{\nsnn.yield %x : {ROW}\n}} : {SPIKES}"
    with pytest.raises(VerifyException, match=r"the results of a snn\.scan are what it yields"):
        parse(network(body, "", "", f"%y : {SPIKES}")).verify()


def test_a_scan_does_not_read_its_own_results(parse: Parse) -> None:
    body = "%y = snn.scan {\n" + product("w", "y") + f"snn.yield %w : {ROW}\n}} : {ROW}"
    with pytest.raises(VerifyException, match=r"snn\.linear uses a value of snn\.scan before it is there"):
        parse(network(body, "", "", f"%y : {ROW}")).verify()


def test_a_state_belongs_to_one_scan(parse: Parse) -> None:
    body = (
        "%a = snn.scan {\n" + filtered("f", "x", "v") + f"snn.yield %f : {ROW}\n}} : {ROW}\n"
        "%y = snn.scan {\n" + product("w", "v") + f"snn.yield %w : {ROW}\n}} : {ROW}"
    )
    with pytest.raises(VerifyException, match=r"state 'n\.v' belongs to 2 scans"):
        parse(network(body, "v", "v", f"%y, %a : {ROW}, {ROW}")).verify()


def test_what_stands_beside_scans(ctx: Context, parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    """IR by hand may mix both; then all share a loop over time, which is right for any order."""
    monkeypatch.setattr(loops, "RESIDENT", 0)
    body = "%a = snn.scan {\n" + product("w", "x") + f"snn.yield %w : {ROW}\n}} : {ROW}\n" + filtered("y", "a", "v")
    text = network(body, "v", "v", f"%y, %y : {ROW}, {ROW}")
    x = np.random.default_rng(5).normal(0, 1, (9, 2, 2))
    (op,) = parse(text).ops
    assert isinstance(op, snn.NetworkOp)
    expected = SnnEvaluator(op, 2).run({"x": x})["y"]
    assert CpuEvaluator(parse(text), 2).run({"x": x})["y"].tobytes() == expected.tobytes()
