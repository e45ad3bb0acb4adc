"""The `loihi2` dialect: text that reads back, and a refusal for each rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import ParseError, VerifyException

import nirc
from nirc.printing import ir_text

EXAMPLES = Path(__file__).parents[2] / "examples"

NETWORK = """
loihi2.network @main attributes {{outputs = [#loihi2.port<"out", "lif", array<i64: 2>>]}} {{
  loihi2.input {{process = "in", shape = array<i64: 2>}}
  loihi2.lif {{process = "lif", node = "lif", shape = array<i64: 2>, du = dense<{du}> : tensor<i32>,
    dv = dense<0> : tensor<i32>, vth = dense<{vth}, bias_mant = dense<0> : tensor<i32>{more}}}
  loihi2.dense {{process = "{process}", nodes = [], weights = dense<{weights}, weight_exp = 0 : i64,
    num_weight_bits = {bits} : i64, sign_mode = "{signs}", num_message_bits = 0 : i64}}
  loihi2.connect "in" to "{target}" {{transform = [{transform}]}}
  loihi2.connect "{source}" to "lif" {{transform = []}}
  {also}
}}
"""

SOUND = {
    "du": "4095",
    "vth": "64> : tensor<i32>",
    "more": ", bias_exp = dense<0> : tensor<i32>",
    "process": "fc",
    "weights": "[[2, -2], [4, 6]]> : tensor<2x2xi32>",
    "bits": "8",
    "signs": "MIXED",
    "target": "fc",
    "source": "fc",
    "transform": "",
    "also": "",
}

MATRIX = (
    ", nodes = [], weights = dense<2> : tensor<2x2xi32>, weight_exp = {exp} : i64, num_weight_bits = 8 : i64, "
    "num_message_bits = {messages} : i64"
)


def dense(exp: int = 0, messages: int = 0) -> str:
    """One more Dense."""
    return 'loihi2.dense {process = "more"' + MATRIX.format(exp=exp, messages=messages) + "}"


def delayed(delays: str) -> str:
    """One more DelayDense."""
    return 'loihi2.delay_dense {process = "more"' + MATRIX.format(exp=0, messages=0) + f", delays = dense<{delays}}}"


def conv(**changes: str) -> str:
    """A convolution of 4x4 pixels of two channels by 2x2."""
    fields = {
        "weight": "dense<1> : tensor<3x2x2x2xi32>",
        "input_shape": "array<i64: 4, 4, 2>",
        "stride": "array<i64: 1, 1>",
        "padding": "array<i64: 0, 0>",
        "dilation": "array<i64: 1, 1>",
        "groups": "1 : i64",
        **changes,
    }
    told = ", ".join(f"{name} = {value}" for name, value in fields.items())
    return f'loihi2.conv {{process = "more", nodes = [], {told}, num_message_bits = 0 : i64}}'


def lif(process: str = "more", kind: str = "lif", **changes: str) -> str:
    """Two more neurons."""
    fields = {"node": f'"{process}"', "shape": "array<i64: 2>"}
    fields |= dict.fromkeys(("du", "dv", "vth", "bias_mant", "bias_exp"), "dense<0> : tensor<i32>")
    told = ", ".join(f"{name} = {value}" for name, value in {**fields, **changes}.items() if value)
    return f'loihi2.{kind} {{process = "{process}", {told}}}'


def half(process: str, members: str, shape: str = "4") -> str:
    """Two of four neurons."""
    part = {"members": f"dense<{members}> : tensor<2xi32>", "node_shape": f"array<i64: {shape}>", "node": '"whole"'}
    return lif(process, **part)


REAL = (
    'loihi2.dense {process = "more", nodes = [], weights = dense<0.5> : tensor<2x2xf64>, weight_exp = 0 : i64, '
    "num_weight_bits = 8 : i64, num_message_bits = 0 : i64}"
)

BESIDE = {
    "messages": (dense(messages=33), "33 bits a message, must be 0 to 32"),
    "weight_exp": (dense(exp=32), "weight_exp 32, must be a shift of 32 bits"),
    "delays' shape": (delayed("1> : tensor<2xi32>"), "delays are whole numbers, one for each weight"),
    "delays' type": (delayed("1.0> : tensor<2x2xf64>"), "delays are whole numbers, one for each weight"),
    "delays below 0": (delayed("[[0, -1], [0, 0]]> : tensor<2x2xi32>"), "must be a number of steps from 0"),
    "delays' size": (delayed("5000> : tensor<2x2xi32>"), "a delay of 5000, must be a number of steps from 0"),
    "weight": (
        conv(weight="dense<1> : tensor<3x2x2xi32>"),
        "weight is features x columns x rows x channels of a group",
    ),
    "image": (conv(input_shape="array<i64: 4, 4>"), "the input columns x rows x channels"),
    "pairs": (conv(stride="array<i64: 1>"), "stride, padding and dilation are two numbers each"),
    "stride": (conv(stride="array<i64: 0, 1>"), "stride, dilation and groups start at 1, padding at 0"),
    "padding": (conv(padding="array<i64: -1, 0>"), "stride, dilation and groups start at 1, padding at 0"),
    "groups": (conv(groups="3 : i64"), "weight 3x2x2x2 with groups 3 does not take 2 channels"),
    "kernel": (conv(dilation="array<i64: 4, 1>"), "the kernel is larger than the input"),
    "population": (lif(shape="array<i64>"), "a population's shape is at least one number from 1"),
    "member twice": (half("a", "[1, 1]") + half("b", "[0, 2]"), "members are 2 different numbers"),
    "member beyond": (half("a", "[1, 4]") + half("b", "[0, 2]"), "members must be in [0, 4)"),
    "scale": (lif(v_scale="dense<1> : tensor<i32>"), "v_scale is one real number, or one for each neuron"),
    "offset": (lif(v_offset="dense<1.0> : tensor<3xf64>"), "v_offset is one real number, or one for each neuron"),
    "interval": (
        lif(kind="lif_reset", reset_interval="0 : i64", reset_offset="0 : i64"),
        "reset_interval 0, must be at least 1",
    ),
    "real and whole": (REAL, "one process holds integers, another real numbers"),
    "one node twice": (lif(node='"lif"'), "several populations are all of 'lif'"),
    "other shapes": (half("a", "[0, 1]") + half("b", "[2, 3]", "2, 2"), "tell different shapes of it"),
    "part of a node": (half("a", "[0, 1]"), "the populations of 'whole' do not make it up"),
}

REFUSED = {
    "exponent": ({"more": ""}, "integers have a bias_exp"),
    "mixed": ({"vth": "6.4> : tensor<f64>"}, "numbers are real"),
    "vth": ({"vth": "[64, 65]> : tensor<2xi32>"}, "vth has the shape 2, must be scalar"),
    "start": (
        {"more": SOUND["more"] + ", v = dense<[1, 2, 3]> : tensor<3xi32>"},
        "v has the shape 3, must be scalar or 2",
    ),
    "members": (
        {"more": SOUND["more"] + ", members = dense<0> : tensor<2xi32>"},
        "members and node_shape come together",
    ),
    "matrix": ({"weights": "[2, 4]> : tensor<2xi32>"}, "weights are targets x sources"),
    "bits": ({"bits": "9"}, "9 bits a weight, must be 1 to 8"),
    "signs": ({"signs": "BOTH"}, "sign mode 'BOTH' is not one of"),
    "names": ({"process": "in"}, "it holds processes of different names"),
    "missing": ({"target": "nobody"}, "there is no process 'nobody'"),
    "size": ({"weights": "2> : tensor<2x3xi32>"}, "'in' to 'fc': 2 arrive(s), the target takes 3"),
    "transform": ({"transform": '#loihi2.transform<"transpose", array<i64: 1, 0>>'}, "the transform does not fit"),
    "kind": ({"transform": '#loihi2.transform<"rotate", array<i64>>'}, "a transform is one of"),
    "direct": ({"source": "lif"}, "neurons feed neurons through a connection process alone"),
    "input": ({"target": "in"}, "an Input takes nothing"),
}


def test_sound(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(NETWORK.format(**SOUND))
    assert str(parse(str(module))) == str(module)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(parse: Callable[[str], ModuleOp], name: str) -> None:
    changes, told = REFUSED[name]
    with pytest.raises((ParseError, VerifyException)) as caught:
        parse(NETWORK.format(**{**SOUND, **changes}))
    assert told in str(caught.value)


@pytest.mark.parametrize("name", BESIDE)
def test_refused_beside_a_sound_network(parse: Callable[[str], ModuleOp], name: str) -> None:
    text, told = BESIDE[name]
    with pytest.raises((ParseError, VerifyException)) as caught:
        parse(NETWORK.format(**{**SOUND, "also": text}))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "text", [dense(), delayed("62> : tensor<2x2xi32>"), conv(), lif(), half("a", "[0, 2]") + half("b", "[3, 1]")]
)
def test_what_stands_beside_is_sound_by_itself(parse: Callable[[str], ModuleOp], text: str) -> None:
    """So that it is the change above that is refused."""
    module = parse(NETWORK.format(**{**SOUND, "also": text}))
    assert str(parse(str(module))) == str(module)


def test_an_output_of_another_shape(parse: Callable[[str], ModuleOp]) -> None:
    text = NETWORK.format(**SOUND)
    for port in ('"out", "lif", array<i64: 3>', '"out", "nobody", array<i64: 2>'):
        with pytest.raises(VerifyException, match="the output 'out' is not of the shape of"):
            parse(text.replace('"out", "lif", array<i64: 2>', port))


@pytest.mark.parametrize("model", ["gestures", "edges"])
@pytest.mark.parametrize("until", ["real", "whole"])
def test_compiled_networks_read_back(parse: Callable[[str], ModuleOp], model: str, until: str) -> None:
    """Every property, before and after quantization."""
    from nirc.passes.convert_snn_to_loihi2 import ConvertSnnToLoihi2Pass

    path = str(EXAMPLES / f"{model}.nir")
    if until == "whole":
        module = nirc.compile(path, "loihi2").module
    else:
        module = nirc.compile(path).module
        ConvertSnnToLoihi2Pass().apply(nirc.driver.context(), module)
    text = ir_text(module)
    assert ir_text(parse(text)) == text


def test_a_verifier_names_the_process(parse: Callable[[str], ModuleOp]) -> None:
    with pytest.raises(VerifyException, match="process 'fc': 9 bits"):
        parse(NETWORK.format(**{**SOUND, "bits": "9"}))
