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
