"""Composed neurons in both directions: goldens, parameters by hand, what keeps parts apart, and the same outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

import nirc
from nirc.dialects import nir
from nirc.dialects.dense import doubles
from nirc.driver import Program
from nirc.passes.nir_expand_neurons import NirExpandNeuronsPass

S = "!nir.signal<2>"


def number(name: str, first: float, *more: float) -> str:
    """One number, or one per element."""
    listed = ", ".join(map(repr, (first, *more)))
    return f"{name} = dense<[{listed}]> : tensor<2xf64>" if more else f"{name} = dense<{listed}> : tensor<f64>"


def node(name: str, kind: str, source: str, *parameters: str) -> str:
    return f'  %{name} = nir.{kind} "{name}"(%{source}) {{{", ".join(parameters)}}} : ({S}) -> {S}\n'


def graph(body: str, result: str = "y") -> str:
    return (
        f'nir.graph @main attributes {{inputs = ["x"], outputs = ["out"]}} {{\n^bb0(%x : {S}):\n'
        f"{body}  nir.yield %{result} : {S}\n}}\n"
    )


TOTAL = f"  %t = nir.sum %x, %back : ({S}, {S}) -> {S}\n"
LI = (number("tau", 0.5, 0.8), number("r", 2.0, 4.0), number("v_leak", 0.1))
LIF_LOOP = graph(
    TOTAL
    + node("li", "li", "t", *LI)
    + node("y", "threshold", "li", number("threshold", 0.6, 0.7))
    + node("back", "scale", "y", number("scale", -0.6 * 0.5 / 2, -0.7 * 0.8 / 4))
)
IF_LOOP = graph(
    TOTAL
    + node("i", "i", "t", number("r", 2.0))
    + node("y", "threshold", "i", number("threshold", 1.5))
    + node("back", "linear", "y", "weight = dense<[[-0.75, 0.0], [0.0, -0.75]]> : tensor<2x2xf64>")
)
SYNAPSE = (number("tau", 0.4), number("r", 3.0), number("v_leak", 0.0))
LIF = (number("tau", 0.5, 0.8), number("r", 2.0, 4.0), number("v_leak", 0.1), number("v_threshold", 0.6))
CUBA_LIF = graph(node("syn", "li", "x", *SYNAPSE) + node("y", "lif", "syn", *LIF))
CUBA_LIF_GAIN = graph(
    node("syn", "li", "x", *SYNAPSE)
    + node("w", "scale", "syn", number("scale", 0.5, 2.0))
    + node("y", "lif", "w", *LIF)
)
CUBA_LI = graph(node("syn", "li", "x", *SYNAPSE) + node("y", "li", "syn", *LI))

IMPULSE = "nir-euler,input=impulse,v_init=0,reset=subtract,reset_at=next"
"""A spike on an edge is an impulse, and the feedback acts a step after it: the scheme under which the loop is a LIF."""

UNIT = "nir-euler,if_gain=r,v_init=0,reset=subtract"

CASES: dict[str, tuple[str, str, str, float]] = {
    "lif": (LIF_LOOP, "LIF", IMPULSE, 0.1),
    "if": (IF_LOOP, "IF", UNIT, 1.0),
    "cuba_lif": (CUBA_LIF, "CubaLIF", "nir-euler,v_init=0", 1.0),
    "cuba_lif_gain": (CUBA_LIF_GAIN, "CubaLIF", "nir-exp-euler,v_init=v_leak", 1.0),
    "cuba_li": (CUBA_LI, "CubaLI", "nir-euler", 1.0),
}


@pytest.mark.parametrize("case", CASES)
def test_recognized(case: str, rewrite: Callable[..., Any], golden: Callable[[str], None]) -> None:
    text, kind, scheme, drive = CASES[case]
    result = rewrite(text, "nir-recognize-neurons", scheme, drive=drive)
    assert result.types == {"y": kind}
    result.assert_equal_and_lively()
    golden(result.text)


@pytest.mark.parametrize("case", [case for case in CASES if case != "cuba_lif_gain"])
def test_expanded_again(case: str, rewrite: Callable[..., Any], golden: Callable[[str], None]) -> None:
    """There and back: the parts have other names, the network is the same."""
    text, kind, scheme, drive = CASES[case]
    result = rewrite(text, f"nir-recognize-neurons,nir-expand-neurons{{types={kind}}}", scheme, drive=drive)
    parts = {
        "lif": {"y_integrator": "LI", "y": "Threshold", "y_feedback": "Scale"},
        "if": {"y_integrator": "I", "y": "Threshold", "y_feedback": "Scale"},
        "cuba_lif": {"y_synapse": "LI", "y": "LIF"},
        "cuba_li": {"y_synapse": "LI", "y": "LI"},
    }
    assert result.types == parts[case]
    result.assert_equal_and_lively()
    golden(result.text)


def test_parameters(rewrite: Callable[..., Any]) -> None:
    """w_in is the synapse's r; the gain between goes into the membrane's."""
    y = rewrite(CUBA_LIF_GAIN, "nir-recognize-neurons").nodes["y"]
    assert doubles(y.tau_syn).tolist() == 0.4
    assert doubles(y.w_in).tolist() == 3.0
    assert doubles(y.tau_mem).tolist() == [0.5, 0.8]
    assert doubles(y.r).tolist() == [1.0, 8.0]
    assert doubles(y.v_threshold).tolist() == 0.6
    assert y.v_reset is None


def test_the_reset_is_stated(rewrite: Callable[..., Any]) -> None:
    result = rewrite(LIF_LOOP, "nir-recognize-neurons", IMPULSE)
    assert str(result.nodes["y"].metadata) == '{reset = "subtract"}'
    assert result.assumptions == (
        "recognized: 'li' (LI), 'y' (Threshold), 'back' (Scale) together are 'y' (LIF), reset by subtraction: "
        "a spike fed back is an impulse of area 1",
    )


def test_a_loop_within_a_cuba_lif(rewrite: Callable[..., Any]) -> None:
    """LI, then LI and Threshold with feedback: a LIF first, then a CubaLIF."""
    text = LIF_LOOP.replace(TOTAL, node("syn", "li", "x", *SYNAPSE) + TOTAL.replace("%x", "%syn"))
    result = rewrite(text, "nir-recognize-neurons", IMPULSE)
    assert result.types == {"y": "CubaLIF"}


APART = {
    "another feedback": LIF_LOOP.replace("-0.15", "-0.16"),
    "no feedback": LIF_LOOP.replace("nir.sum %x, %back", "nir.sum %x, %x"),
    "the membrane is used": LIF_LOOP.replace("yield %y", "yield %li"),
    "a synapse at rest elsewhere": CUBA_LIF.replace("v_leak = dense<0.0>", "v_leak = dense<0.5>"),
    "the synapse is used": graph(
        node("syn", "li", "x", *SYNAPSE)
        + node("z", "lif", "syn", *LIF)
        + f"  %y = nir.sum %syn, %z : ({S}, {S}) -> {S}\n"
    ),
    "a matrix between": graph(
        node("syn", "li", "x", *SYNAPSE)
        + node("w", "linear", "syn", "weight = dense<[[0.5, 0.1], [0.0, 0.5]]> : tensor<2x2xf64>")
        + node("y", "lif", "w", *LIF)
    ),
    "another input between": graph(
        node("syn", "li", "x", *SYNAPSE)
        + f"  %t = nir.sum %syn, %x : ({S}, {S}) -> {S}\n"
        + node("y", "lif", "t", *LIF)
    ),
}


@pytest.mark.parametrize("case", APART)
def test_what_is_no_neuron(case: str, rewrite: Callable[..., Any]) -> None:
    """The text comes out as it went in."""
    result = rewrite(APART[case], "nir-recognize-neurons")
    assert result.text == rewrite(APART[case], "nir-infer-shapes").text
    assert len(result.types) >= 2


def test_types_choose(rewrite: Callable[..., Any]) -> None:
    assert "CubaLIF" not in rewrite(CUBA_LIF, "nir-recognize-neurons{types=LIF,IF}").types.values()
    with pytest.raises(
        PassFailedException, match="no composed neuron is called Izhikevich; there are LIF, IF, CubaLIF, CubaLI"
    ):
        rewrite(CUBA_LIF, "nir-recognize-neurons{types=Izhikevich}")


def test_a_reset_that_cannot_be_fed_back_is_left(rewrite: Callable[..., Any]) -> None:
    result = rewrite(graph(node("y", "lif", "x", *LIF)), "nir-expand-neurons")
    assert result.types == {"y": "LIF"}
    assert len(result.assumptions) == 1
    assert "only a reset by subtraction of the threshold can be fed back" in result.assumptions[0]


def lif_with(threshold: str, r: str, metadata: str = 'reset = "subtract"') -> str:
    numbers = (f"tau = dense<0.5> : tensor<f32>, r = dense<{r}> : tensor<f32>, v_leak = dense<0.0> : tensor<f32>",)
    stated = f"metadata = {{{metadata}}}"
    return graph(node("y", "lif", "x", *numbers, f"v_threshold = dense<{threshold}> : tensor<f32>", stated))


@pytest.mark.parametrize(("threshold", "r"), [("1.0e+30", "1.0e-30"), ("1.0e-30", "1.0e+30"), ("1.0", "0.0")])
def test_a_feedback_that_f32_cannot_hold_is_left(opt: Callable[[str, str], str], threshold: str, r: str) -> None:
    """-threshold tau / r is 1e60, 1e-60 or no number: the neuron stays as it is, which is said."""
    text = opt(lif_with(threshold, r), "nir-expand-neurons")
    assert "nir.lif" in text
    assert "the factor by which a spike is fed back, a quotient by r, overflows or underflows" in text
    assert "nir.lif" not in opt(lif_with("1.0", "1.0"), "nir-expand-neurons")


def test_a_gain_that_f32_cannot_hold_keeps_the_parts_apart(opt: Callable[[str, str], str]) -> None:
    text = (
        CUBA_LIF_GAIN.replace("f64", "f32").replace("0.5, 2.0]", "1.0e+30, 2.0]").replace("2.0, 4.0]", "1.0e+30, 4.0]")
    )
    assert "nir.cuba_lif" not in opt(text, "nir-recognize-neurons")


def test_metadata_that_contradicts_itself_is_no_subtraction(opt: Callable[[str, str], str]) -> None:
    text = opt(lif_with("1.0", "1.0", 'reset = "subtract", reset_mechanism = "zero"'), "nir-expand-neurons")
    assert "its metadata states subtract and zero" in text


STATED = 'metadata = {dt = dense<0.1> : tensor<f64>, reset = "subtract", note = "kept"}'


@pytest.mark.parametrize("types", ["CubaLIF", "CubaLIF,LIF"])
def test_an_expanded_neuron_keeps_dt(ctx: Context, parse: Callable[[str], ModuleOp], types: str) -> None:
    """Each part states what the neuron stated, so that --dt auto finds the same step."""
    numbers = {"tau_mem": 0.5, "tau_syn": 0.4, "r": 2.0, "w_in": 3.0, "v_leak": 0.0, "v_threshold": 0.6}
    module = parse(graph(node("y", "cuba_lif", "x", *(number(*item) for item in numbers.items()), STATED)))
    assert nirc.compile(Program(module.clone())).dt == 0.1
    NirExpandNeuronsPass(tuple(types.split(","))).apply(ctx, module)
    module.verify()
    graph_op = nir.graph_of(module)
    assert graph_op is not None
    nodes = list(graph_op.nodes())
    assert len(nodes) == (2 if types == "CubaLIF" else 4)
    for part in nodes:
        assert part.metadata is not None
        assert set(part.metadata.data) == {"dt", "note"} | ({"reset"} if part.NIR_TYPE == "LIF" else set())
    assert nirc.compile(Program(module), scheme="nir-euler,if_gain=r").dt == 0.1
