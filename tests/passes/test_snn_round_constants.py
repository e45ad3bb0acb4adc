"""`snn-round-constants`: the nearest number of the format; what the format cannot hold is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, array
from nirc.passes.snn_round_constants import SnnRoundConstantsPass

Parse = Callable[[str], ModuleOp]

STEP = """
snn.network @main attributes {{inputs = ["x"], outputs = ["y"],
  states = [#snn.state<"n", "v", dense<{init}> : tensor<{kind}>>]}} {{
^bb0(%x: tensor<2x{kind}>, %v: tensor<2x{kind}>):
%w = snn.linear %x {{weight = dense<{weight}> : tensor<2x2x{kind}>, node = "fc"}}
  : (tensor<2x{kind}>) -> tensor<2x{kind}>
%f = snn.filter %w, %v {{decay = dense<{decay}> : tensor<{kind}>, gain = dense<{gain}> : tensor<{kind}>, node = "n"}}
  : (tensor<2x{kind}>, tensor<2x{kind}>) -> tensor<2x{kind}>
%y = snn.fire %f {{threshold = dense<{threshold}> : tensor<{kind}>, compare = ">", node = "n"}}
  : (tensor<2x{kind}>) -> tensor<2xi1>
snn.yield %y, %f : tensor<2xi1>, tensor<2x{kind}>
}}
"""


def step(kind: str = "f64", **changes: object) -> str:
    values = {
        "init": "0.0",
        "weight": "[[0.3, -0.7], [1.1, 0.0]]",
        "decay": "0.9",
        "gain": "1.5",
        "threshold": "1.0",
    }
    return STEP.format(kind=kind, **{**values, **{name: str(value) for name, value in changes.items()}})


def rounded(module: ModuleOp, form: str) -> dict[str, Array]:
    """The constants after the pass."""
    SnnRoundConstantsPass(form).apply(Context(), module)
    module.verify()
    network = next(op for op in module.ops if isinstance(op, snn.NetworkOp))
    ops = [op for op in network.body.block.ops if isinstance(op, snn.SnnOp)]
    found = {name: array(attr) for op in ops for name, attr in op.constants()}
    return found | {"init": array(network.states.data[0].init)}


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("fraction", [8, 16, 24])
def test_the_nearest(parse: Parse, kind: str, fraction: int) -> None:
    found = rounded(parse(step(kind, init=0.123)), f"s{31 - fraction}.{fraction}")
    dtype = np.dtype({"f32": np.float32, "f64": np.float64}[kind])
    given = {"weight": [[0.3, -0.7], [1.1, 0.0]], "decay": 0.9, "gain": 1.5, "threshold": 1.0, "init": 0.123}
    for name, value in given.items():
        values = np.asarray(value, dtype)
        assert found[name].dtype == dtype
        assert np.all(found[name] * 2.0**fraction == np.floor(found[name] * 2.0**fraction))
        assert np.abs(found[name].astype(np.float64) - values.astype(np.float64)).max() <= 2.0 ** (-fraction - 1)


def test_halves_go_to_the_even(parse: Parse) -> None:
    found = rounded(parse(step(weight="[[0.5, 1.5], [-0.5, 2.5]]", decay=1.0, gain=2.0)), "s31.0")
    assert found["weight"].tolist() == [[0.0, 2.0], [-0.0, 2.0]]


def test_steps_of_a_delay_stay(parse: Parse) -> None:
    ring = "tensor<3x1xf64>"
    module = parse(
        'snn.network @main attributes {inputs = ["x"], outputs = ["y"], '
        'states = [#snn.state<"d", "ring", dense<0.0> : tensor<f64>>]} {\n'
        f"^bb0(%x: tensor<1xf64>, %r: {ring}):\n%y, %n = snn.delay %x, %r {{steps = dense<3> : tensor<i32>}} "
        f": (tensor<1xf64>, {ring}) -> (tensor<1xf64>, {ring})\nsnn.yield %y, %n : tensor<1xf64>, {ring}\n}}\n"
    )
    assert rounded(module, "s31.0")["steps"].tolist() == 3


def test_all_that_does_not_fit_is_said_at_once(parse: Parse) -> None:
    text = step(
        weight="[[0.3, 40000.0], [-50000.0, 0.1]]", decay=0.999999999, gain="1.0e-09", threshold=32768, init=-40000
    )
    with pytest.raises(PassFailedException) as raised:
        rounded(parse(text), "s15.16")
    assert str(raised.value).splitlines() == [
        "node 'fc', weight: 40000.0 at index (0, 1) and at 1 more is beyond s15.16, which holds -32768 to less than "
        "32768; take fewer bits behind the point, or scale weights and threshold of the node down",
        "node 'n', decay: 0.999999999 becomes 1 in s15.16: nothing leaks; take more bits behind the point",
        "node 'n', gain: 1e-09 becomes 0 in s15.16; take more bits behind the point",
        "node 'n', threshold: 32768.0 is beyond s15.16, which holds -32768 to less than 32768; "
        "take fewer bits behind the point, or scale weights and threshold of the node down",
        "state 'n.v', first value: -40000.0 is beyond s15.16, which holds -32768 to less than 32768; "
        "take fewer bits behind the point, or scale weights and threshold of the node down",
    ]


def test_the_ends_fit(parse: Parse) -> None:
    """-2^15 and 2^15 - 2^-16 are the format's ends."""
    high = 2.0**15 - 2.0**-16
    found = rounded(parse(step(weight=f"[[-32768.0, {high!r}], [0.0, 0.0]]")), "s15.16")
    assert found["weight"].tolist() == [[-32768.0, high], [0.0, 0.0]]
    with pytest.raises(PassFailedException, match="is beyond s15"):
        rounded(parse(step(weight=f"[[0.0, {high + 2.0**-17!r}], [0.0, 0.0]]")), "s15.16")


def test_what_changes_is_said(parse: Parse) -> None:
    module = parse(step(weight="[[0.3, 1.0e-4], [1.0, 0.0]]"))
    rounded(module, "s21.10")
    texts = [str(item) for item in nir.assumptions(module)]
    assert texts == [
        "precision: numbers of 32 bits, 10 of them behind the binary point; "
        "constants change by up to 0.00043 of the largest of their kind (node 'n', decay)",
        "precision: some numbers become 0: \"node 'fc', weight\"",
    ]


@pytest.mark.parametrize("form", ["s16.16", "15.16", "s31", "s-1.32", "", "s015.016"])
def test_a_format_that_is_none(parse: Parse, form: str) -> None:
    with pytest.raises(PassFailedException, match=r"is neither f32 nor f64 nor sM\.N with M \+ N = 31"):
        rounded(parse(step()), form)
