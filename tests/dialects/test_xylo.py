"""The `xylo` dialect: what is printed reads back as it was, and each rule of the verifiers refuses with its text."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from nirc.dialects import xylo
from nirc.dialects.dense import dense

Parse = Callable[[str], ModuleOp]

INTEGERS = """
xylo.network @main attributes {chip = "audio2"} {
  xylo.input {layers = {touch = 1, "2.in" = 1}, weights = dense<[[[1, -2], [3, 0]], [[-128, 127], [0, 5]]]>
    : tensor<2x2x2xi32>, weight_shift = 3}
  xylo.hidden {layers = {z = 1, "a b" = 2}, weights = dense<0> : tensor<3x3x2xi32>, weight_shift = 7,
    dash_mem = dense<[0, 4, 15]> : tensor<3xi32>, dash_syn = dense<[[1, 2], [3, 4], [5, 6]]> : tensor<3x2xi32>,
    threshold = dense<[32767, 0, -32768]> : tensor<3xi32>, bias = dense<[-128, 0, 127]> : tensor<3xi32>,
    aliases = array<i64: 2, -1, 0>, scale = dense<[1.5, 2.5, 0.1]> : tensor<3xf64>}
  xylo.readout {layers = {last = 2}, outputs = ["out \\"1\\""], weights = dense<[[7, -7]]> : tensor<1x2xi32>,
    weight_shift = 0, dash_mem = dense<4> : tensor<2xi32>, dash_syn = dense<[1, 2]> : tensor<2xi32>,
    threshold = dense<100> : tensor<2xi32>, bias = dense<0> : tensor<2xi32>, scale = dense<0.1> : tensor<2xf64>}
}
"""

REALS = """
xylo.network @main attributes {chip = "imu"} {
  xylo.input {layers = {in = 1}, weights = dense<[[[0.1], [-1.0e-300]]]> : tensor<1x2x1xf64>, weight_shift = 0}
  xylo.hidden {layers = {h = 2}, weights = dense<[[[0.3], [0.0]], [[1.0e+20], [-0.7]]]> : tensor<2x2x1xf64>,
    weight_shift = 0, dash_mem = dense<4.643856189774724> : tensor<2xf64>,
    dash_syn = dense<[[3.3], [2.0]]> : tensor<2x1xf64>, threshold = dense<1.0> : tensor<2xf64>,
    bias = dense<[0.0, -0.125]> : tensor<2xf64>}
  xylo.readout {layers = {r = 1}, outputs = ["out"], weights = dense<[[0.2], [0.4]]> : tensor<2x1xf64>,
    weight_shift = 0, dash_mem = dense<5.0> : tensor<1xf64>, dash_syn = dense<1.0> : tensor<1xf64>,
    threshold = dense<1.0> : tensor<1xf64>, bias = dense<0.0> : tensor<1xf64>}
}
"""

REPORT = """report = [
  #nir.change<"a b", "threshold", "LSB", dense<0.5> : tensor<f64>, dense<0.49> : tensor<f64>,
    dense<0.02> : tensor<f64>>,
  #nir.change<"last", "weight", "", dense<[-0.5, 0.5]> : tensor<2xf64>, dense<[-0.49, 0.51]> : tensor<2xf64>,
    dense<0.02> : tensor<f64>>
]"""
REPORTED = INTEGERS.replace('chip = "audio2"', f'chip = "audio2", {REPORT}')


def changed(text: str, old: str, new: str) -> str:
    """`text` with the one place of `old` replaced."""
    assert text.count(old) == 1, f"{text.count(old)} times {old}"
    return text.replace(old, new)


LEAVING = changed(REALS, 'chip = "imu"', 'chip = "imu", relays = {h = "inside"}').replace(
    'outputs = ["out"]', 'outputs = ["out"], membranes = ["r"]'
)
"""A hidden layer that waits for relays, and a readout that is read by its membrane."""


def generic(module: ModuleOp) -> str:
    text = StringIO()
    Printer(stream=text, print_generic_format=True).print_op(module)
    return text.getvalue()


def network(module: ModuleOp) -> xylo.NetworkOp:
    op = module.body.block.first_op
    assert isinstance(op, xylo.NetworkOp)
    return op


# Round trips


@pytest.mark.parametrize("text", [INTEGERS, REALS, REPORTED, LEAVING], ids=["integers", "reals", "report", "leaving"])
def test_what_is_printed_reads_back(parse: Parse, text: str) -> None:
    module = parse(text)
    printed = str(module)
    again = parse(printed)
    assert again.is_structurally_equivalent(module)
    assert str(again) == printed


@pytest.mark.parametrize("text", [INTEGERS, REALS, REPORTED, LEAVING], ids=["integers", "reals", "report", "leaving"])
def test_the_generic_form_reads_back(parse: Parse, text: str) -> None:
    module = parse(text)
    printed = generic(module)
    assert '"xylo.hidden"() <{' in printed
    again = parse(printed)
    assert again.is_structurally_equivalent(module)
    assert generic(again) == printed
    assert str(again) == str(module)


@pytest.mark.parametrize("text", [INTEGERS, REALS, REPORTED, LEAVING], ids=["integers", "reals", "report", "leaving"])
def test_printed_form(parse: Parse, golden: Callable[[str], None], text: str) -> None:
    golden(str(parse(text)) + "\n")


def test_numbers_survive_printing(parse: Parse) -> None:
    reals = network(parse(str(parse(REALS))))
    assert reals.input.numbers("weights").ravel().tolist() == [0.1, -1.0e-300]
    assert reals.hidden.numbers("weights").ravel().tolist() == [0.3, 0.0, 1.0e20, -0.7]
    assert reals.hidden.numbers("dash_mem").tolist() == [4.643856189774724] * 2
    integers = network(parse(str(parse(INTEGERS))))
    assert integers.input.numbers("weights").tolist() == [[[1, -2], [3, 0]], [[-128, 127], [0, 5]]]
    assert integers.hidden.numbers("threshold").tolist() == [32767, 0, -32768]
    assert [part.quantized() for part in (*reals.parts(), *integers.parts())] == [False] * 3 + [True] * 3


def test_random_numbers_survive_printing(parse: Parse) -> None:
    """All bits of a double, from the smallest to the largest exponent."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((4, 4, 2)) * 10.0 ** rng.integers(-300, 300, (4, 4, 2))
    vector, column = rng.standard_normal(4), rng.standard_normal((4, 2))
    two = dense(vector[:2])
    parts = [
        xylo.InputOp({"in": 4}, dense(weights)),
        xylo.HiddenOp({"h": 4}, dense(weights), dense(vector), dense(column), dense(vector), dense(vector)),
        xylo.ReadoutOp({"r": 2}, ["out"], dense(column), two, two, two, two),
    ]
    module = ModuleOp([xylo.NetworkOp("main", "audio2", Region(Block(parts)))])
    module.verify()
    again = network(parse(str(module)))
    assert np.array_equal(again.hidden.numbers("weights"), weights)
    assert np.array_equal(again.hidden.numbers("bias"), vector)
    assert np.array_equal(again.hidden.numbers("dash_syn"), column)


def test_layers_keep_their_order_and_names(parse: Parse) -> None:
    op = network(parse(str(parse(INTEGERS))))
    assert list(op.input.sizes().items()) == [("touch", 1), ("2.in", 1)]
    assert list(op.hidden.sizes().items()) == [("z", 1), ("a b", 2)]
    assert [name.data for name in op.readout.outputs] == ['out "1"']
    assert (op.input.size, op.hidden.size, op.readout.size, op.synapses) == (2, 3, 2, 2)


def test_neurons_are_named_by_layer(parse: Parse) -> None:
    hidden = network(parse(INTEGERS)).hidden
    assert [hidden.where(index) for index in range(3)] == ["neuron 0 of 'z'", "neuron 0 of 'a b'", "neuron 1 of 'a b'"]


def test_what_leaves_otherwise_than_by_readout_spikes(parse: Parse) -> None:
    op = network(parse(str(parse(LEAVING))))
    assert op.relayed() == {"h": "inside"}
    assert op.readout.read_by_membrane() == ("r",)
    assert op.readout.silent().tolist() == [True]
    plain = network(parse(REALS))
    assert (plain.relayed(), plain.readout.read_by_membrane()) == ({}, ())
    assert plain.readout.silent().tolist() == [False]


def test_alias_targets(parse: Parse) -> None:
    assert network(parse(INTEGERS)).hidden.alias_targets() == (2, -1, 0)
    assert network(parse(REALS)).hidden.alias_targets() == (-1, -1)


@pytest.mark.parametrize("chip", ["v1", "audio2", "audio3", "imu"])
def test_chips(parse: Parse, chip: str) -> None:
    op = network(parse(changed(REALS, '"imu"', f'"{chip}"')))
    assert op.limits == xylo.CHIPS[chip]


# Numbers that do not fit into a chip are well-formed: xylo-check-limits refuses them with the neuron's name.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-128, 127], [0, 5]", "-500, 2000], [0, 5]"),
        ("dense<[0, 4, 15]>", "dense<[-1, 4, 16]>"),
        ("[32767, 0, -32768]", "[40000, 0, -40000]"),
        ("[-128, 0, 127]", "[-300, 0, 300]"),
        ("weight_shift = 7", "weight_shift = 9"),
        ("array<i64: 2, -1, 0>", "array<i64: 0, -1, 3>"),
    ],
)
def test_numbers_out_of_the_range_of_a_chip_are_kept(parse: Parse, old: str, new: str) -> None:
    assert new in str(parse(changed(INTEGERS, old, new)))


# Refusals

HIDDEN_WEIGHTS = "weights = dense<0> : tensor<3x3x2xi32>"

REFUSED = {
    "unknown chip": (
        'chip = "audio2"',
        'chip = "audio4"',
        "chip 'audio4' is not one of v1, audio2, audio3, imu",
    ),
    "output names": (
        'outputs = ["out \\"1\\""]',
        'outputs = ["a", "b"]',
        "xylo.readout: 2 output names for 1 layers",
    ),
    "alias targets": (
        "array<i64: 2, -1, 0>",
        "array<i64: 2, -1>",
        "xylo.hidden: 2 alias targets for 3 neurons",
    ),
    "real numbers among integers": (
        "dash_mem = dense<[0, 4, 15]> : tensor<3xi32>",
        "dash_mem = dense<[0.0, 4.0, 15.0]> : tensor<3xf64>",
        "xylo.hidden: dash_mem: real numbers (f64) and integers (i32) stand side by side",
    ),
    "input channels": (
        "layers = {touch = 1,",
        "layers = {touch = 2,",
        "xylo.input: weights has the shape 2x2x2, must be 3x?x?",
    ),
    "axes of input weights": (
        "dense<[[[1, -2], [3, 0]], [[-128, 127], [0, 5]]]>\n    : tensor<2x2x2xi32>",
        "dense<1> : tensor<2x2xi32>",
        "xylo.input: weights has the shape 2x2, must be 2x?x?",
    ),
    "hidden weights": (
        HIDDEN_WEIGHTS,
        "weights = dense<0> : tensor<3x2x2xi32>",
        "xylo.hidden: weights has the shape 3x2x2, must be 3x3x?",
    ),
    "dash_mem": (
        "dense<[0, 4, 15]> : tensor<3xi32>",
        "dense<0> : tensor<4xi32>",
        "xylo.hidden: dash_mem has the shape 4, must be 3",
    ),
    "dash_syn": (
        "dense<[[1, 2], [3, 4], [5, 6]]> : tensor<3x2xi32>",
        "dense<1> : tensor<3xi32>",
        "xylo.hidden: dash_syn has the shape 3, must be 3x?",
    ),
    "threshold": (
        "dense<[32767, 0, -32768]> : tensor<3xi32>",
        "dense<1> : tensor<i32>",
        "xylo.hidden: threshold has the shape scalar, must be 3",
    ),
    "bias": (
        "dense<[-128, 0, 127]> : tensor<3xi32>",
        "dense<1> : tensor<2xi32>",
        "xylo.hidden: bias has the shape 2, must be 3",
    ),
    "readout weights": (
        "dense<[[7, -7]]> : tensor<1x2xi32>",
        "dense<7> : tensor<1x3xi32>",
        "xylo.readout: weights has the shape 1x3, must be ?x2",
    ),
    "readout dash_mem": (
        "dense<4> : tensor<2xi32>",
        "dense<4> : tensor<1xi32>",
        "xylo.readout: dash_mem has the shape 1, must be 2",
    ),
    "readout dash_syn": (
        "dense<[1, 2]> : tensor<2xi32>",
        "dense<1> : tensor<2x1xi32>",
        "xylo.readout: dash_syn has the shape 2x1, must be 2",
    ),
    "readout threshold": (
        "dense<100> : tensor<2xi32>",
        "dense<100> : tensor<3xi32>",
        "xylo.readout: threshold has the shape 3, must be 2",
    ),
    "readout bias": (
        "dense<0> : tensor<2xi32>",
        "dense<0> : tensor<3xi32>",
        "xylo.readout: bias has the shape 3, must be 2",
    ),
    "inputs reach too far": (
        "dense<[[[1, -2], [3, 0]], [[-128, 127], [0, 5]]]>\n    : tensor<2x2x2xi32>",
        "dense<1> : tensor<2x4x2xi32>",
        "inputs reach 4 and the readout reads 1 of 3 neurons",
    ),
    "readout reads too many": (
        "dense<[[7, -7]]> : tensor<1x2xi32>",
        "dense<7> : tensor<5x2xi32>",
        "inputs reach 2 and the readout reads 5 of 3 neurons",
    ),
    "synapses of the inputs": (
        "dense<[[[1, -2], [3, 0]], [[-128, 127], [0, 5]]]>\n    : tensor<2x2x2xi32>",
        "dense<1> : tensor<2x2x1xi32>",
        "input weights, hidden weights and dash_syn must have one or two synapses alike",
    ),
    "synapses of the hidden weights": (
        HIDDEN_WEIGHTS,
        "weights = dense<0> : tensor<3x3x1xi32>",
        "input weights, hidden weights and dash_syn must have one or two synapses alike",
    ),
    "synapses of dash_syn": (
        "dense<[[1, 2], [3, 4], [5, 6]]> : tensor<3x2xi32>",
        "dense<1> : tensor<3x1xi32>",
        "input weights, hidden weights and dash_syn must have one or two synapses alike",
    ),
    "scale": (
        "dense<[1.5, 2.5, 0.1]> : tensor<3xf64>",
        "dense<1.5> : tensor<2xf64>",
        "xylo.hidden: scale has the shape 2, must be 3",
    ),
    "readout scale": (
        "dense<0.1> : tensor<2xf64>",
        "dense<0.1> : tensor<3xf64>",
        "xylo.readout: scale has the shape 3, must be 2",
    ),
    "membranes": (
        'outputs = ["out \\"1\\""]',
        'outputs = ["out"], membranes = ["first", "last", "z"]',
        "xylo.readout: membranes: no layer 'first', 'z'",
    ),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_refused(parse: Parse, rule: str) -> None:
    old, new, text = REFUSED[rule]
    parse(INTEGERS)
    with pytest.raises(VerifyException) as refusal:
        parse(changed(INTEGERS, old, new))
    assert text in str(refusal.value)


def test_three_synapses_are_refused(parse: Parse) -> None:
    text = REALS
    for old, new in (
        ("dense<[[[0.1], [-1.0e-300]]]> : tensor<1x2x1xf64>", "dense<1.0> : tensor<1x2x3xf64>"),
        ("dense<[[[0.3], [0.0]], [[1.0e+20], [-0.7]]]> : tensor<2x2x1xf64>", "dense<1.0> : tensor<2x2x3xf64>"),
        ("dense<[[3.3], [2.0]]> : tensor<2x1xf64>", "dense<1.0> : tensor<2x3xf64>"),
    ):
        text = changed(text, old, new)
    with pytest.raises(VerifyException) as refusal:
        parse(text)
    assert "must have one or two synapses alike" in str(refusal.value)


def test_one_part_of_integers_and_another_of_real_numbers_are_refused(parse: Parse) -> None:
    weights = "dense<[[[0.1], [-1.0e-300]]]> : tensor<1x2x1xf64>"
    with pytest.raises(VerifyException) as refusal:
        parse(changed(REALS, weights, "dense<1> : tensor<1x2x1xi32>"))
    assert "one part holds integers, another real numbers" in str(refusal.value)


@pytest.mark.parametrize("element", ["f32", "i64", "i8"])
def test_other_element_types_are_refused(parse: Parse, element: str) -> None:
    one = "1.0" if element == "f32" else "1"
    with pytest.raises(VerifyException) as refusal:
        parse(changed(INTEGERS, "dense<[0, 4, 15]> : tensor<3xi32>", f"dense<{one}> : tensor<3x{element}>"))
    assert "dash_mem" in str(refusal.value)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    """They print in a form that does not read back."""
    op = xylo.InputOp({"in": 1}, dense(np.array([[[0.0], [value]]])))
    with pytest.raises(VerifyException) as refusal:
        op.verify_()
    assert f"xylo.input: weights {value} at index (0, 1, 0), must be finite" in str(refusal.value)


def test_several_faults_of_a_part_stand_together(parse: Parse) -> None:
    text = changed(INTEGERS, "dense<[0, 4, 15]> : tensor<3xi32>", "dense<0> : tensor<4xi32>")
    text = changed(text, "dense<[-128, 0, 127]> : tensor<3xi32>", "dense<0.0> : tensor<3xf64>")
    with pytest.raises(VerifyException) as refusal:
        parse(text)
    first = "dash_mem has the shape 4, must be 3"
    second = "bias: real numbers (f64) and integers (i32) stand side by side"
    assert f"xylo.hidden: {first}; {second}" in str(refusal.value)


def lines(text: str) -> tuple[str, str, str]:
    """Input, hidden and readout of a network's text."""
    body = text[text.index("xylo.input") : text.rindex("}")]
    hidden, readout = body.index("xylo.hidden"), body.index("xylo.readout")
    return body[:hidden], body[hidden:readout], body[readout:]


@pytest.mark.parametrize("order", [(0, 1), (0, 2), (1, 2), (0, 2, 1), (1, 0, 2), (0, 1, 1, 2), (0, 0, 1, 2)])
def test_a_network_holds_input_hidden_and_readout(parse: Parse, order: tuple[int, ...]) -> None:
    body = "".join(lines(INTEGERS)[part] for part in order)
    with pytest.raises(VerifyException) as refusal:
        parse(f'xylo.network @main attributes {{chip = "audio2"}} {{ {body} }}')
    assert "a xylo.network holds xylo.input, xylo.hidden and xylo.readout, in this order" in str(refusal.value)


@pytest.mark.parametrize("part", [0, 1, 2], ids=["input", "hidden", "readout"])
def test_a_part_outside_of_a_network_is_refused(parse: Parse, part: int) -> None:
    with pytest.raises(VerifyException) as refusal:
        parse(lines(INTEGERS)[part])
    assert "expects parent op 'xylo.network'" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("weight_shift", ", weight_shift = 7"),
        ("threshold", "threshold = dense<[32767, 0, -32768]> : tensor<3xi32>, "),
        ("chip", ' attributes {chip = "audio2"}'),
        ("outputs", ' outputs = ["out \\"1\\""],'),
        ("layers", "layers = {last = 2},"),
    ],
)
def test_a_missing_property_is_refused(parse: Parse, name: str, old: str) -> None:
    with pytest.raises((VerifyException, ParseError)) as refusal:
        parse(changed(INTEGERS, old, ""))
    assert name in str(refusal.value)


@pytest.mark.parametrize(("first", "second"), [('"two"', "0"), ("3", "-1"), ("2.0", "0")])
def test_a_layer_needs_a_number_of_neurons(parse: Parse, first: str, second: str) -> None:
    text = changed(INTEGERS, 'touch = 1, "2.in" = 1', f'touch = {first}, "2.in" = {second}')
    with pytest.raises(VerifyException) as refusal:
        parse(text)
    assert "layers" in str(refusal.value)
