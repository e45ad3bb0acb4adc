"""What each scheme and each option makes of a neuron: coefficients from the formulas of the simulators, and the wiring.

dt = 1 ms throughout; a = 1 - dt/tau is the membrane's decay, b the synapse's, as in the table of semantics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp, f64, i1, i32
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import snn
from nirc.dialects.dense import Array, array, as_dense
from nirc.dialects.nir import assumptions
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES, parse_scheme

Convert: TypeAlias = Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]
Steps: TypeAlias = list[tuple[Any, ...]]

DT = 1e-3
TAU, TAU_SYN, R, W, LEAK, THRESHOLD, RESET = 0.02, 0.005, 3.0, 2.0, 0.25, 1.5, -0.5
A, B = 1 - DT / TAU, 1 - DT / TAU_SYN
EXP_A, EXP_B = math.exp(-DT / TAU), math.exp(-DT / TAU_SYN)


def fields(**numbers: float) -> str:
    return ", ".join(f"{name} = dense<{value:.17e}> : tensor<f64>" for name, value in numbers.items())


def graph(op: str, **numbers: float) -> str:
    """One node `n` between Input and Output."""
    return (
        'nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {\n^bb0(%x: !nir.signal<2>):\n'
        f'%n = nir.{op} "n"(%x) {{{fields(**numbers)}}} : (!nir.signal<2>) -> !nir.signal<2>\n'
        "nir.yield %n : !nir.signal<2>\n}\n"
    )


def lif(r: float = R, v_leak: float = LEAK, v_reset: float = RESET) -> str:
    return graph("lif", tau=TAU, r=r, v_leak=v_leak, v_threshold=THRESHOLD, v_reset=v_reset)


def cuba_lif(r: float = R, v_leak: float = LEAK, v_reset: float = RESET) -> str:
    return graph(
        "cuba_lif",
        tau_mem=TAU,
        tau_syn=TAU_SYN,
        r=r,
        w_in=W,
        v_leak=v_leak,
        v_threshold=THRESHOLD,
        v_reset=v_reset,
    )


def if_(r: float = R, v_reset: float = RESET) -> str:
    return graph("if", r=r, v_threshold=THRESHOLD, v_reset=v_reset)


def li() -> str:
    return graph("li", tau=TAU, r=R, v_leak=LEAK)


# snnTorch's import demands v_leak = 0, and r = tau_mem/dt of a CubaLIF.
FOLDED_LIF, FOLDED_CUBA = lif(v_leak=0, v_reset=0), cuba_lif(r=TAU / DT, v_leak=0, v_reset=0)
HIGH_LIF = THRESHOLD * TAU / (R * DT)
HIGH_CUBA = THRESHOLD * TAU_SYN / (W * DT)


def steps(network: snn.NetworkOp) -> Steps:
    """The ops of a step in order: name, the options that are text, the constants."""
    found: Steps = []
    for op in network.body.block.ops:
        if isinstance(op, snn.SnnOp):
            texts = [getattr(op, name).data for name in ("compare", "kind") if name in op.properties]
            constants = [array(constant) for attr in op.properties.values() if (constant := as_dense(attr)) is not None]
            found.append((op.name.removeprefix("snn."), *texts, *(float(item) for item in constants)))
    return found


def near(expected: Steps) -> Steps:
    """The same, where numbers may differ by a few roundings of f64."""
    return [
        tuple(pytest.approx(item, rel=1e-12) if isinstance(item, float) else item for item in step) for step in expected
    ]


def initial(network: snn.NetworkOp) -> dict[str, float]:
    return {state.label: float(array(state.init)) for state in network.states}


def at(scheme: str) -> ConvertNirToSnnPass:
    return ConvertNirToSnnPass(dt=DT, scheme=scheme, precision="f64")


def nir_lif(a: float, reset: tuple[str, float] = ("value", RESET)) -> Steps:
    """v' = a v + r (1 - a) x + (1 - a) v_leak"""
    return [
        ("filter", a, R * (1 - a)),
        ("add", (1 - a) * LEAK),
        ("fire", ">", THRESHOLD),
        ("reset", *reset),
    ]


def nir_cuba(a: float, b: float, reset: tuple[str, float] = ("value", RESET)) -> Steps:
    """i' = b i + w (1 - b) x; v' = a v + r (1 - a) i' + (1 - a) v_leak"""
    return [("filter", b, W * (1 - b)), *nir_lif(a, reset)]


def norse_cuba(reset: tuple[str, float]) -> Steps:
    """v_leak is the rest value of i, too."""
    return [("filter", B, W * (1 - B)), ("add", (1 - B) * LEAK), *nir_lif(A, reset)]


def prereset(gains: Steps, threshold: float) -> Steps:
    """p = v > thr; f(v) - p thr decides; v' = f(v) - z thr."""
    fire, reset = ("fire", ">", threshold), ("reset", "subtract", threshold)
    return [fire, *gains, reset, fire, reset]


def counting(gains: Steps) -> Steps:
    """n = floor(v / thr) where v >= thr; v' = f(v) - n thr"""
    return [*gains, ("fire", ">=", THRESHOLD), ("reset", "subtract", THRESHOLD)]


NORSE_LIF: Steps = [("filter", A, 1 - A), ("add", (1 - A) * LEAK), ("fire", ">", THRESHOLD), ("reset", "value", 0.0)]
UNIT_LIF: Steps = [("filter", A, 1.0)]
UNIT_CUBA: Steps = [("filter", B, 1.0), ("filter", A, 1.0)]
COURSE = R * TAU_SYN / (TAU_SYN - TAU) * (EXP_B - EXP_A)
"""What a current of 1 at the beginning of a step has given v at its end."""
PLAIN_LIF, PLAIN_CUBA = lif(v_leak=0, v_reset=0), cuba_lif(v_leak=0, v_reset=0)
FIRE: tuple[Any, ...] = ("fire", ">", THRESHOLD)
TAKE: tuple[Any, ...] = ("reset", "subtract", THRESHOLD)
TO_0: tuple[Any, ...] = ("reset", "value", 0.0)

EXPECTED: dict[tuple[str, str], tuple[str, Steps]] = {
    ("nir-euler", "lif"): (lif(), nir_lif(A)),
    ("nir-euler", "cuba_lif"): (cuba_lif(), nir_cuba(A, B)),
    ("nir-exp-euler", "lif"): (lif(), nir_lif(EXP_A)),
    ("nir-exp-euler", "cuba_lif"): (cuba_lif(), nir_cuba(EXP_A, EXP_B)),
    ("norse", "lif"): (lif(), NORSE_LIF),
    ("norse", "cuba_lif"): (cuba_lif(), norse_cuba(("value", 0.0))),
    # Norse's reset_method reaches CubaLIF only; v_reset 0, as in every file of Norse's.
    ("norse-subtract", "lif"): (lif(v_reset=0), NORSE_LIF),
    ("norse-subtract", "cuba_lif"): (cuba_lif(v_reset=0), norse_cuba(("subtract", THRESHOLD))),
    # To a value, prereset is no other than a reset at once: v never starts a step above the threshold.
    ("snntorch", "lif"): (FOLDED_LIF, [*UNIT_LIF, ("fire", ">", HIGH_LIF), ("reset", "value", 0.0)]),
    ("snntorch", "cuba_lif"): (FOLDED_CUBA, [*UNIT_CUBA, ("fire", ">", HIGH_CUBA), ("reset", "value", 0.0)]),
    ("snntorch-subtract", "lif"): (FOLDED_LIF, prereset(UNIT_LIF, HIGH_LIF)),
    ("snntorch-subtract", "cuba_lif"): (FOLDED_CUBA, prereset(UNIT_CUBA, HIGH_CUBA)),
    # reset_at next: v' is what the threshold was tested on, the reset happens a step later.
    ("snntorch-native", "lif"): (FOLDED_LIF, prereset(UNIT_LIF, HIGH_LIF)[:-1]),
    ("snntorch-native", "cuba_lif"): (FOLDED_CUBA, prereset(UNIT_CUBA, HIGH_CUBA)[:-1]),
    ("nir-exact-zoh", "lif"): (lif(), nir_lif(EXP_A)),
    ("nir-exact-zoh", "cuba_lif"): (
        cuba_lif(),
        [
            ("filter", EXP_A, COURSE),
            ("scale", (R * (1 - EXP_A) - COURSE) * W),
            ("sum",),
            ("filter", EXP_B, W * (1 - EXP_B)),
            *nir_lif(EXP_A)[1:],
        ],
    ),
    ("sinabs", "lif"): (PLAIN_LIF, counting([("filter", EXP_A, 1.0)])),
    ("sinabs", "cuba_lif"): (PLAIN_CUBA, counting([("filter", EXP_B, 1.0), ("filter", EXP_A, 1.0)])),
    # v_leak is a bias current; an input enters i before i decays.
    ("rockpool", "lif"): (lif(v_reset=0), counting([("filter", EXP_A, 1.0), ("add", LEAK)])),
    ("rockpool", "cuba_lif"): (
        cuba_lif(v_reset=0),
        counting([("filter", EXP_B, EXP_B), ("filter", EXP_A, 1.0), ("add", LEAK)]),
    ),
    # The spikes are those of the stored v; the threshold is taken off after the leak, of a CubaLIF before it.
    ("spyx", "lif"): (PLAIN_LIF, [FIRE, *UNIT_LIF, TAKE]),
    ("spyx", "cuba_lif"): (PLAIN_CUBA, [FIRE, TAKE, *UNIT_CUBA]),
    ("spyx-0.1", "lif"): (PLAIN_LIF, [FIRE, ("filter", A, DT / TAU), TAKE]),
    ("spyx-0.1", "cuba_lif"): (
        PLAIN_CUBA,
        [FIRE, TAKE, ("filter", B, W * DT / TAU_SYN), ("filter", A, 1.0), TAKE],
    ),
    ("nengo", "lif"): (
        PLAIN_LIF,
        [("filter", EXP_A, 1 - EXP_A), FIRE, TO_0, ("clamp", 0.0), ("scale", 1 / DT)],
    ),
    # v integrates the current of the step before.
    ("nengo", "cuba_lif"): (
        PLAIN_CUBA,
        [("filter", EXP_A, R * (1 - EXP_A)), FIRE, TO_0, ("clamp", 0.0), ("filter", B, W * (1 - B))],
    ),
    ("lava", "lif"): (PLAIN_LIF, [("filter", A, DT / TAU), FIRE, TO_0]),
    ("lava", "cuba_lif"): (PLAIN_CUBA, [("filter", B, W * (1 - B)), ("filter", A, R * DT / TAU), FIRE, TO_0]),
    ("lava-nir", "lif"): (PLAIN_LIF, [("filter", A, DT / TAU), FIRE, TO_0]),
    ("lava-nir", "cuba_lif"): (PLAIN_CUBA, [("filter", B, W * (1 - B)), ("filter", A, R * DT / TAU), FIRE, TO_0]),
    ("spikingjelly", "lif"): (lif(), [*nir_lif(A)[:2], ("fire", ">=", THRESHOLD), ("reset", "value", RESET)]),
    ("spikingjelly", "cuba_lif"): (
        cuba_lif(),
        [*nir_cuba(A, B)[:3], ("fire", ">=", THRESHOLD), ("reset", "value", RESET)],
    ),
    ("sc-neurocore", "lif"): (lif(), nir_lif(A)),
    ("sc-neurocore", "cuba_lif"): (cuba_lif(), nir_cuba(A, B)),
    ("sc-neurocore-subtract", "lif"): (lif(), nir_lif(A, ("subtract", THRESHOLD - RESET))),
    ("sc-neurocore-subtract", "cuba_lif"): (cuba_lif(), nir_cuba(A, B, ("subtract", THRESHOLD - RESET))),
    ("s2-nir", "lif"): (FOLDED_LIF, [*UNIT_LIF, ("fire", ">", HIGH_LIF), TO_0]),
    ("s2-nir", "cuba_lif"): (FOLDED_CUBA, [*UNIT_CUBA, ("fire", ">", HIGH_CUBA), TO_0]),
}


def test_every_scheme_is_here() -> None:
    assert {scheme for scheme, _ in EXPECTED} == set(SCHEMES)


@pytest.mark.parametrize(("scheme", "node"), EXPECTED)
def test_coefficients(convert: Convert, scheme: str, node: str) -> None:
    text, expected = EXPECTED[scheme, node]
    assert steps(convert(text, at(scheme))) == near(expected)


@pytest.mark.parametrize(("scheme", "node"), EXPECTED)
def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None], scheme: str, node: str) -> None:
    text, _ = EXPECTED[scheme, node]
    golden(opt(text, f'convert-nir-to-snn{{dt=1.0e-3 scheme="{scheme}"}}'))


@pytest.mark.parametrize(
    ("scheme", "r", "expected"),
    [
        ("nir-euler", R, [("filter", 1.0, R), ("fire", ">", THRESHOLD), ("reset", "value", RESET)]),
        # r = 1/dt is SpikingJelly's encoding of an input that is added as it comes.
        ("nir-euler", 1 / DT, [("filter", 1.0, 1.0), ("fire", ">", THRESHOLD), ("reset", "value", RESET)]),
        ("nir-euler,if_gain=r", 1 / DT, [("filter", 1.0, 1 / DT), ("fire", ">", 1.5), ("reset", "value", RESET)]),
        ("nir-euler,if_gain=r*dt", R, [("filter", 1.0, R * DT), ("fire", ">", 1.5), ("reset", "value", RESET)]),
        ("nir-euler,if_gain=unit", R, [("filter", 1.0, 1.0), ("fire", ">", 1.5), ("reset", "value", RESET)]),
        # An impulse of area 1 through dv/dt = r x adds r, whatever the step.
        ("nir-euler,input=impulse", 1 / DT, [("filter", 1.0, 1 / DT), ("fire", ">", 1.5), ("reset", "value", RESET)]),
        ("nir-euler,input=impulse,if_gain=r*dt", R, [("filter", 1.0, R), ("fire", ">", 1.5), ("reset", "value", -0.5)]),
        ("nir-euler,if_decay=0.9", R, [("filter", 0.9, R), ("fire", ">", 1.5), ("reset", "value", RESET)]),
        ("norse", R, [("filter", 1.0, 1.0), ("fire", ">", THRESHOLD), ("reset", "value", 0.0)]),
    ],
)
def test_gain_of_an_if_node(convert: Convert, scheme: str, r: float, expected: Steps) -> None:
    assert steps(convert(if_(r), at(scheme))) == near(expected)


def test_an_if_node_is_imported_by_snntorch_as_a_leak(convert: Convert) -> None:
    expected = prereset([("filter", 0.9, 1.0)], THRESHOLD)
    assert steps(convert(if_(1, v_reset=0), at("snntorch"))) == near(expected)


def test_auto_takes_r_where_dt_is_one(convert: Convert) -> None:
    network = convert(if_(1.0), ConvertNirToSnnPass(dt=1.0, precision="f64"))
    assert steps(network)[0] == ("filter", 1.0, 1.0)


@pytest.mark.parametrize(
    ("option", "text", "index", "expected"),
    [
        ("decay_mem=exp", cuba_lif(), 1, ("filter", EXP_A, R * (1 - EXP_A))),
        ("decay_mem=exp", cuba_lif(), 0, ("filter", B, W * (1 - B))),
        ("decay_syn=exp", cuba_lif(), 0, ("filter", EXP_B, W * (1 - EXP_B))),
        ("decay_syn=exp", cuba_lif(), 1, ("filter", A, R * (1 - A))),
        ("gain_lif=1-a", lif(), 0, ("filter", A, 1 - A)),
        ("decay_mem=exp,gain_lif=r*dt/tau", lif(), 0, ("filter", EXP_A, R * DT / TAU)),
        ("decay_mem=exp,gain_lif=dt/tau", lif(), 0, ("filter", EXP_A, DT / TAU)),
        ("gain_lif=unit", lif(), 0, ("filter", A, 1.0)),
        ("gain_lif=1-a", li(), 0, ("filter", A, 1 - A)),
        ("gain_mem=1-a", cuba_lif(), 1, ("filter", A, 1 - A)),
        ("decay_mem=exp,gain_mem=r*dt/tau", cuba_lif(), 1, ("filter", EXP_A, R * DT / TAU)),
        ("decay_mem=exp,gain_mem=dt/tau", cuba_lif(), 1, ("filter", EXP_A, DT / TAU)),
        ("gain_mem=unit", cuba_lif(), 1, ("filter", A, 1.0)),
        ("decay_syn=exp,gain_syn=w*dt/tau", cuba_lif(), 0, ("filter", EXP_B, W * DT / TAU_SYN)),
        ("gain_syn=unit", cuba_lif(), 0, ("filter", B, 1.0)),
        # An impulse of area 1 through tau dv/dt = r x adds r / tau, through tau_syn di/dt = w x it adds w / tau_syn.
        ("input=impulse", lif(), 0, ("filter", A, R / TAU)),
        ("input=impulse,gain_lif=1-a", lif(), 0, ("filter", A, 1 / TAU)),
        ("input=impulse", li(), 0, ("filter", A, R / TAU)),
        ("input=impulse", cuba_lif(), 0, ("filter", B, W / TAU_SYN)),
        # i is a current that lasts: its way to v is no input.
        ("input=impulse", cuba_lif(), 1, ("filter", A, R * (1 - A))),
        ("leak=v_leak", lif(), 1, ("add", LEAK)),
        ("syn_leak=true", cuba_lif(), 1, ("add", (1 - B) * LEAK)),
        ("compare=>=", lif(), 2, ("fire", ">=", THRESHOLD)),
        ("reset=zero", lif(), 3, ("reset", "value", 0.0)),
        ("reset=v_reset", lif(), 3, ("reset", "value", RESET)),
        ("reset=subtract", lif(), 3, ("reset", "subtract", THRESHOLD - RESET)),
        ("reset=subtract", cuba_lif(), 4, ("reset", "subtract", THRESHOLD - RESET)),
        ("reset=subtract", if_(), 2, ("reset", "subtract", THRESHOLD - RESET)),
        ("reset_lif=subtract", lif(), 3, ("reset", "subtract", THRESHOLD - RESET)),
        ("reset_lif=subtract", cuba_lif(), 4, ("reset", "value", RESET)),
        ("reset_if=subtract", if_(), 2, ("reset", "subtract", THRESHOLD - RESET)),
        ("reset_if=subtract", lif(), 3, ("reset", "value", RESET)),
        ("reset=zero,reset_lif=subtract", lif(), 3, ("reset", "subtract", THRESHOLD - RESET)),
        ("syn_order=input_first", cuba_lif(), 0, ("filter", B, B * W * (1 - B))),
        ("lif_order=input_first", lif(), 0, ("filter", A, A * R * (1 - A))),
        ("lif_order=input_first", li(), 0, ("filter", A, A * R * (1 - A))),
        ("li_order=input_first", li(), 0, ("filter", A, A * R * (1 - A))),
        ("li_order=input_first", lif(), 0, ("filter", A, R * (1 - A))),
        ("lif_order=input_first,li_order=leak_first", li(), 0, ("filter", A, R * (1 - A))),
        ("li_order=leak_first,lif_order=input_first", li(), 0, ("filter", A, R * (1 - A))),
        ("mem_uses=old", cuba_lif(), 0, ("filter", A, R * (1 - A))),
        ("mem_uses=old", cuba_lif(), 4, ("filter", B, W * (1 - B))),
        ("floor=0", lif(), 4, ("clamp", 0.0)),
        ("floor=-thr", lif(), 4, ("clamp", -THRESHOLD)),
        ("floor=0", if_(), 3, ("clamp", 0.0)),
        ("floor_if=-thr", if_(), 3, ("clamp", -THRESHOLD)),
        ("lif_height=1/dt", lif(), 4, ("scale", 1 / DT)),
        ("reset=auto", lif(), 3, ("reset", "value", RESET)),
        ("reset=auto", lif(v_reset=0), 3, ("reset", "value", 0.0)),
    ],
)
def test_an_option_changes_its_coefficient(
    convert: Convert, option: str, text: str, index: int, expected: tuple[Any, ...]
) -> None:
    assert [steps(convert(text, at(f"nir-euler,{option}")))[index]] == near([expected])


def test_no_reset_means_no_op(convert: Convert) -> None:
    assert steps(convert(lif(), at("nir-euler,reset=none"))) == near(nir_lif(A)[:-1])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_spike_or_their_number(convert: Convert, scheme: str) -> None:
    """Sinabs and Rockpool count; a LIF of Nengo's gives numbers of its own."""
    counts = scheme in ("sinabs", "rockpool")
    for node in ("cuba_lif", "lif"):
        network = convert(EXPECTED[scheme, node][0], at(scheme))
        (output,) = network.output_values
        expected = f64 if (scheme, node) == ("nengo", "lif") else i32 if counts else i1
        assert snn.tensor_of(output).element_type == expected


def test_equal_time_constants_have_an_exact_step_too(convert: Convert) -> None:
    """k = r a dt/tau, which is also what close ones tend to."""
    for tau_syn, rel in ((TAU, 1e-12), (TAU * (1 + 1e-9), 1e-8)):
        text = cuba_lif().replace(f"{TAU_SYN:.17e}", f"{tau_syn:.17e}")
        ((_, decay, gain), (_, direct), *_) = steps(convert(text, at("nir-exact-zoh")))
        k = R * EXP_A * DT / TAU
        assert (decay, gain, direct) == pytest.approx((EXP_A, k, (R * (1 - EXP_A) - k) * W), rel=rel)


def test_an_impulse_jumps_at_the_end_of_an_exact_step(convert: Convert) -> None:
    expected = [("filter", EXP_A, COURSE), ("filter", EXP_B, W / TAU_SYN), *nir_lif(EXP_A)[1:]]
    assert steps(convert(cuba_lif(), at("nir-exact-zoh,input=impulse"))) == near(expected)


def test_spikes_can_be_counted_above_zero_only(convert: Convert) -> None:
    text = lif(v_leak=0).replace(f"{THRESHOLD:.17e}", f"{0:.17e}")
    with pytest.raises(PassFailedException, match=r"node 'n' \(LIF\), v_threshold: 0, must be > 0 where spikes are"):
        convert(text, at("sinabs"))


def test_no_leak_means_no_constant(convert: Convert) -> None:
    expected = [("filter", A, R * (1 - A)), ("fire", ">", THRESHOLD), ("reset", "value", RESET)]
    assert steps(convert(lif(v_leak=0), at("nir-euler,leak=none"))) == near(expected)
    assert steps(convert(lif(v_leak=0), at("nir-euler"))) == near(expected)


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ("v_init=v_leak", lif(), {"n.v": LEAK}),
        ("v_init=0", lif(), {"n.v": 0}),
        ("v_init=v_reset", lif(), {"n.v": RESET}),
        ("v_init=v_leak", li(), {"n.v": LEAK}),
        ("v_init=v_leak", cuba_lif(), {"n.i": 0, "n.v": LEAK}),
        ("v_init=v_reset", cuba_lif(), {"n.i": 0, "n.v": RESET}),
        ("syn_leak=true", cuba_lif(), {"n.i": LEAK, "n.v": LEAK}),
        ("v_init=v_leak", if_(), {"n.v": 0}),
        ("v_init=v_reset", if_(), {"n.v": RESET}),
    ],
)
def test_states_before_the_first_step(convert: Convert, option: str, text: str, expected: dict[str, float]) -> None:
    assert initial(convert(text, at(f"nir-euler,{option}"))) == expected


def test_a_reset_to_a_value_at_the_next_step_is_before_the_leak_of_a_lif(convert: Convert) -> None:
    fire, leak = ("fire", ">", THRESHOLD), ("add", (1 - A) * LEAK)
    expected = [fire, ("reset", "value", RESET), ("filter", A, R * (1 - A)), leak, fire]
    assert steps(convert(lif(), at("nir-euler,reset_at=next"))) == near(expected)


def test_a_reset_to_a_value_at_the_next_step_takes_the_input_of_a_cuba_lif_away(convert: Convert) -> None:
    fire, synapse = ("fire", ">", THRESHOLD), ("filter", B, W * (1 - B))
    expected = [
        fire,
        synapse,
        ("filter", A, R * (1 - A)),
        ("add", (1 - A) * LEAK),
        ("reset", "value", RESET),
        fire,
    ]
    assert steps(convert(cuba_lif(), at("nir-euler,reset_at=next"))) == near(expected)


def test_the_kind_of_the_target_is_taken_where_v_reset_is_zero(convert: Convert) -> None:
    def resets(text: str, scheme: str | None = None) -> Steps:
        conversion = ConvertNirToSnnPass(dt=DT, scheme=scheme, auto_reset="subtract", precision="f64")
        return [step for step in steps(convert(text, conversion)) if step[0] == "reset"]

    assert resets(lif(v_reset=0)) == [("reset", "subtract", THRESHOLD)]
    assert resets(lif()) == [("reset", "value", RESET)]
    assert resets(lif(v_reset=0), "norse") == [("reset", "value", 0.0)]


@pytest.mark.parametrize("reset", ["zero", "v_reset", "subtract"])
def test_the_flag_reset_is_short_for_the_option(convert: Convert, reset: str) -> None:
    flagged = ConvertNirToSnnPass(dt=DT, scheme="nir-exp-euler", reset=reset, precision="f64")
    assert steps(convert(lif(), flagged)) == steps(convert(lif(), at(f"nir-exp-euler,reset={reset}")))


ZERO, TO_RESET, SUBTRACT = ("value", 0.0), ("value", RESET), ("subtract", THRESHOLD - RESET)
STATED = {
    "zero": ZERO,
    "v_reset": TO_RESET,
    "subtract": SUBTRACT,
    "Subtract": SUBTRACT,
    "hard": TO_RESET,
    "soft": SUBTRACT,
}
"""The words that writers use, and what they mean for a neuron whose v_reset is not 0."""


def at_node(text: str, metadata: str) -> str:
    """The metadata of the node."""
    start, end = text.split(") {", 1)
    return f"{start}) {{metadata = {{{metadata}}}, {end}"


def at_graph(text: str, metadata: str) -> str:
    """The metadata of the graph."""
    return text.replace('outputs = ["y"]', f'outputs = ["y"], metadata = {{{metadata}}}')


def resets(network: snn.NetworkOp) -> Steps:
    return [step[1:] for step in steps(network) if step[0] == "reset"]


def said(network: snn.NetworkOp) -> list[tuple[str, str]]:
    module = network.parent_op()
    assert isinstance(module, ModuleOp)
    return [(item.kind.data, item.statement.data) for item in assumptions(module) if item.topic.data == "reset"]


AUTO = ConvertNirToSnnPass(dt=DT, precision="f64")


@pytest.mark.parametrize("key", ["reset", "reset_mechanism"])
@pytest.mark.parametrize("place", [at_node, at_graph])
@pytest.mark.parametrize("text", [lif(), cuba_lif(), if_()], ids=["lif", "cuba_lif", "if"])
@pytest.mark.parametrize("word", STATED)
def test_metadata_state_the_reset(
    convert: Convert, text: str, key: str, place: Callable[[str, str], str], word: str
) -> None:
    network = convert(place(text, f'{key} = "{word}"'), AUTO)
    assert resets(network) == [STATED[word]]
    ((kind, statement),) = said(network)
    assert kind == "note"
    assert statement.endswith(" for 'n', from the file's metadata")


def test_what_the_node_states_is_before_what_the_graph_does(convert: Convert) -> None:
    text = at_graph(at_node(lif(), 'reset = "zero"'), 'reset = "subtract"')
    assert resets(convert(text, AUTO)) == [ZERO]


def test_metadata_without_a_known_word_say_nothing(convert: Convert) -> None:
    for stated in ('reset = "never"', "reset = 1 : i64", 'resets = "zero"'):
        network = convert(at_node(lif(), stated), AUTO)
        assert resets(network) == [TO_RESET]
        assert said(network) == [("note", "to v_reset, as the file says, for 'n'")]


def test_a_word_that_is_not_known_does_not_hide_the_next(convert: Convert) -> None:
    text = at_node(lif(), 'reset = "never", reset_mechanism = "subtract"')
    assert resets(convert(text, AUTO)) == [SUBTRACT]


@pytest.mark.parametrize("place", [at_node, at_graph])
@pytest.mark.parametrize(("flag", "expected"), [("zero", ZERO), ("v_reset", TO_RESET), ("subtract", SUBTRACT)])
@pytest.mark.parametrize("word", ["zero", "v_reset", "subtract"])
def test_the_flag_reset_wins_over_metadata(
    convert: Convert, place: Callable[[str, str], str], flag: str, word: str, expected: tuple[str, float]
) -> None:
    text = place(lif(), f'reset = "{word}"')
    network = convert(text, ConvertNirToSnnPass(dt=DT, reset=flag, precision="f64"))
    assert resets(network) == [expected]
    ((kind, statement),) = said(network)
    assert kind == "given"
    assert "metadata" not in statement
    assert resets(convert(text, at(f"nir-euler,reset={flag}"))) == [expected]


def test_the_flag_reset_auto_is_no_reason_to_pass_metadata_over(convert: Convert) -> None:
    text = at_node(lif(), 'reset = "subtract"')
    assert resets(convert(text, ConvertNirToSnnPass(dt=DT, reset="auto", precision="f64"))) == [SUBTRACT]
    assert resets(convert(text, at("nir-exp-euler,reset=auto"))) == [SUBTRACT]


def test_the_flag_reset_wins_over_the_option(convert: Convert) -> None:
    conversion = ConvertNirToSnnPass(dt=DT, scheme="nir-euler,reset=zero", reset="subtract", precision="f64")
    assert resets(convert(lif(), conversion)) == [SUBTRACT]


CONTRADICTION = 'reset = "subtract", reset_mechanism = "zero"'


@pytest.mark.parametrize(
    ("text", "whose"),
    [(at_node(lif(), CONTRADICTION), "its"), (at_graph(lif(), CONTRADICTION), "the graph's")],
    ids=["node", "graph"],
)
def test_metadata_that_contradict_themselves_are_refused(convert: Convert, text: str, whose: str) -> None:
    with pytest.raises(
        PassFailedException,
        match=rf"^node 'n' \(LIF\), reset: {whose} metadata states both subtract and zero; give --reset$",
    ):
        convert(text, AUTO)
    for flag, expected in (("zero", ZERO), ("subtract", SUBTRACT)):
        assert resets(convert(text, ConvertNirToSnnPass(dt=DT, reset=flag, precision="f64"))) == [expected]


def test_metadata_of_two_words_for_the_same_do_not_contradict(convert: Convert) -> None:
    """A reset to a v_reset of 0 is a reset to zero."""
    assert resets(convert(at_node(lif(), 'reset = "soft", reset_mechanism = "subtract"'), AUTO)) == [SUBTRACT]
    assert resets(convert(at_node(lif(v_reset=0), 'reset = "hard", reset_mechanism = "zero"'), AUTO)) == [ZERO]
    with pytest.raises(PassFailedException, match="states both v_reset and zero"):
        convert(at_node(lif(), 'reset = "hard", reset_mechanism = "zero"'), AUTO)


def test_a_node_of_its_own_word_is_not_asked_for_the_graphs(convert: Convert) -> None:
    text = at_graph(at_node(lif(), 'reset = "zero"'), CONTRADICTION)
    assert resets(convert(text, AUTO)) == [ZERO]


def test_an_option_for_one_kind_of_neuron_wins_over_metadata_there(convert: Convert) -> None:
    stated = 'reset = "subtract"'
    assert resets(convert(at_graph(lif(), stated), at("nir-euler,reset_lif=zero"))) == [ZERO]
    assert resets(convert(at_graph(if_(), stated), at("nir-euler,reset_lif=zero"))) == [SUBTRACT]
    assert resets(convert(at_graph(if_(), stated), at("nir-euler,reset_if=zero"))) == [ZERO]


def test_a_simulator_resets_as_it_does_whatever_metadata_state(convert: Convert) -> None:
    assert resets(convert(at_node(lif(), 'reset = "subtract"'), at("norse"))) == [ZERO]
    assert resets(convert(at_node(lif(), 'reset = "v_reset"'), at("norse"))) == [ZERO]


@pytest.mark.parametrize(("word", "expected"), [("zero", ZERO), ("subtract", ("subtract", THRESHOLD))])
def test_metadata_win_over_what_the_target_can_do(convert: Convert, word: str, expected: tuple[str, float]) -> None:
    """A kind that the chip cannot do is refused there, not replaced."""
    for kind in ("zero", "subtract"):
        conversion = ConvertNirToSnnPass(dt=DT, auto_reset=kind, precision="f64")
        assert resets(convert(at_node(lif(v_reset=0), f'reset = "{word}"'), conversion)) == [expected]


def test_each_node_is_said_under_what_decided_it(convert: Convert) -> None:
    """One neuron states its reset, one has a v_reset, of one nothing is known."""
    more = [
        lif(v_reset=v_reset).split("\n")[2].replace("%n =", f"%{name} =").replace('"n"(%x)', f'"{name}"(%x)')
        for name, v_reset in (("stated", 0), ("to", RESET))
    ]
    more[0] = at_node(more[0], 'reset = "subtract"')
    text = lif(v_reset=0).replace("%n = ", "\n".join([*more, "%n = "]))
    assert sorted(said(convert(text, AUTO))) == [
        ("choice", "to 0 for 'n': NIR does not say with which kind the network was trained"),
        ("note", "by subtraction of the threshold for 'stated', from the file's metadata"),
        ("note", "to v_reset, as the file says, for 'to'"),
    ]


def test_coefficients_are_rounded_once(convert: Convert) -> None:
    network = convert(lif(), ConvertNirToSnnPass(dt=DT, scheme="nir-exp-euler"))
    (op,) = [op for op in network.body.block.ops if isinstance(op, snn.FilterOp)]
    assert array(op.decay) == np.float32(EXP_A)
    assert array(op.gain) == np.float32(R * (1 - EXP_A))
    assert array(op.gain) != np.float32(R) * (np.float32(1) - np.float32(EXP_A))


def spikes(network: snn.NetworkOp, x: Array) -> Array:
    return SnnEvaluator(network).run({"x": x})["y"]


@pytest.mark.parametrize(
    ("reset", "v_reset", "v_leak"),
    [
        ("zero", 0.0, 0.0),
        ("subtract", 0.0, 0.0),
        ("v_reset", RESET, 0.0),
        ("subtract", RESET, 0.0),
        ("zero", 0.0, LEAK),
    ],
)
def test_folding_the_gain_into_the_threshold_changes_no_spike(
    convert: Convert, reset: str, v_reset: float, v_leak: float
) -> None:
    """All of v is divided by r dt/tau, so threshold, v_reset and v_leak must be, too."""
    x = np.random.default_rng(1).uniform(0, 20, (200, 1, 2))
    text = lif(v_leak=v_leak, v_reset=v_reset)
    plain = spikes(convert(text, at(f"nir-euler,reset={reset}")), x)
    folded = spikes(convert(text, at(f"nir-euler,reset={reset},fold_thr=true,gain_lif=unit")), x)
    assert plain.sum() > 20
    assert np.count_nonzero(plain != folded) == 0


def test_a_folded_input_enters_with_gain_one(convert: Convert) -> None:
    expected = [("filter", A, 1.0), ("fire", ">", HIGH_LIF), ("reset", "value", 0.0)]
    assert steps(convert(FOLDED_LIF, at("nir-euler,fold_thr=true"))) == near(expected)


def test_a_threshold_cannot_be_folded_by_a_gain_of_zero(convert: Convert) -> None:
    with pytest.raises(PassFailedException, match=r"node 'n' \(LIF\), r: 0"):
        convert(lif(r=0, v_leak=0, v_reset=0), at("snntorch"))


def test_snntorch_refuses_a_leak(convert: Convert) -> None:
    message = r"node 'n' \(LIF\), v_leak: 0.25, must be 0 under the scheme snntorch"
    with pytest.raises(PassFailedException, match=message):
        convert(lif(), at("snntorch"))


def test_snntorch_refuses_a_gain_that_is_not_tau_over_dt(convert: Convert) -> None:
    message = r"node 'n' \(CubaLIF\), r: 3, must be tau_mem/dt = 20 under the scheme snntorch-native"
    with pytest.raises(PassFailedException, match=message):
        convert(cuba_lif(v_leak=0), at("snntorch-native"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brian", r"unknown scheme 'brian'; known: nir-euler, nir-exp-euler, nir-exact-zoh, norse, "),
        ("norse,speed=fast", r"scheme option 'speed' is unknown; known: decay_mem, decay_syn, clip, "),
        ("norse,compare=<", r"scheme option compare: '<' is not one of >, >="),
        ("norse,clip", r"scheme option clip: '' is not one of false, true"),
        ("norse,clip=yes", r"scheme option clip: 'yes' is not one of false, true"),
        ("norse,reset=never", r"scheme option reset: 'never' is not one of auto, zero, v_reset, subtract"),
        ("norse,if_decay=2", r"scheme option if_decay: '2' is not a number in \[0, 1\]"),
        ("norse,if_decay=much", r"scheme option if_decay: 'much' is not a number in \[0, 1\]"),
        ("norse,reset=zero,reset=subtract", r"scheme option reset is given 2 times; give it once"),
        ("norse,clip=true,compare=>,clip=true", r"scheme option clip is given 2 times; give it once"),
        ("norse,if_decay=nan", r"scheme option if_decay: 'nan' is not a number in \[0, 1\]"),
        (
            "nir-euler,spike_from=old",
            r"reset_at=post does not go with spike_from=old; give reset_at=pre_leak\|post_leak\|double",
        ),
        ("spyx,reset_at=next", r"reset_at=next does not go with spike_from=old; "),
        ("norse,reset_at_rec=double", r"reset_at_rec=double does not go with spike_from=new; give .*=post\|next$"),
        ("snntorch,reset_at=next", r"prereset=true is a reset at once; give reset_at=post, or prereset=false"),
        ("snntorch,input=impulse", r"fold_thr=true divides by the gain of an input that is held; give input=held"),
        ("nir-euler,mem_uses=exact", r"mem_uses=exact does not go with decay_mem=euler; give decay_mem=exp"),
        ("nir-exact-zoh,gain_syn=unit", r"mem_uses=exact does not go with gain_syn=unit; give gain_syn=w\(1-b\)"),
        ("nir-exact-zoh,syn_order=input_first", r"mem_uses=exact does not go with syn_order=input_first; "),
    ],
)
def test_what_is_no_scheme_is_refused(text: str, message: str) -> None:
    with pytest.raises(DiagnosticException, match=message):
        parse_scheme(text)


def test_all_that_is_wrong_with_a_scheme_is_said() -> None:
    with pytest.raises(DiagnosticException) as raised:
        parse_scheme("brian,speed=fast,clip=yes")
    assert [line.split(";")[0] for line in str(raised.value).splitlines()] == [
        "unknown scheme 'brian'",
        "scheme option 'speed' is unknown",
        "scheme option clip: 'yes' is not one of false, true",
    ]


def test_the_reset_flag_refuses_what_is_no_kind(convert: Convert) -> None:
    with pytest.raises(DiagnosticException, match=r"scheme option reset: 'never' is not one of auto, zero"):
        convert(lif(), ConvertNirToSnnPass(dt=DT, reset="never"))


def test_an_unknown_precision_is_refused(convert: Convert) -> None:
    with pytest.raises(DiagnosticException, match=r"precision 'f16' is neither f32 nor f64"):
        convert(lif(), ConvertNirToSnnPass(dt=DT, precision="f16"))


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_true_in_any_case(value: str) -> None:
    assert parse_scheme(f"nir-euler,clip={value}").flag("clip")


@pytest.mark.parametrize(
    "text",
    [
        "norse",
        "norse,reset=subtract",
        "norse,reset=subtract,reset_lif=zero",
        "snntorch,clip=false,v_init=v_leak",
        "nir-euler,if_decay=0.5",
        "rockpool,lif_order=input_first",
        "spyx,reset_at=double",
        "spyx,reset_at_rec=double",
        "spyx,reset_at_cuba=post_leak,reset_at_rec=double",
        "sinabs,floor=0",
        "sinabs,floor=0,floor_if=none",
        "nengo,mem_uses=new",
        *SCHEMES,
    ],
)
def test_a_scheme_is_spelled_so_that_it_reads_back(text: str) -> None:
    scheme = parse_scheme(text)
    assert scheme.spelling == text
    assert parse_scheme(scheme.spelling).options == scheme.options
    assert scheme.spelling.startswith(text.split(",")[0])
