"""`--dt auto`: what exporters leave in their files gives their step back, and what leaves nothing is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import snn
from nirc.dialects.nir import assumptions, graph_of
from nirc.frontend.read_nir import read_nir
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_nir_to_snn.schemes import parse_scheme
from nirc.passes.convert_nir_to_snn.time_step import TimeStep, find_dt
from nirc.passes.nir_infer_shapes import infer_shapes

EXPORTS = {
    "norse-main_lifbox_mlp": None,
    "norse-main_lifcell_cuba": None,
    "norse_conv_iaf_lif": 1e-6,
    "norse_lifbox_li": 1e-6,
    "norse_lifbox_mlp": 1e-6,
    "norse_lifbox_mlp_dt1": None,
    "rockpool_cuba_mlp": 1e-3,
    "rockpool_expsyn_head": 1e-3,
    "rockpool_lifneuron": 1e-3,
    "sinabs_conv_iaf_noclip": 1.0,
    "sinabs_expleak": 1.0,
    "sinabs_lif_mlp": 1.0,
    "snntorch_leaky_mlp": 1e-4,
    "snntorch_leaky_nodelay_sub": 1e-4,
    "snntorch_rleaky": 1e-4,
    "snntorch_synaptic_zero": 1e-4,
    "spikingjelly_lif_mlp": None,
    "spikingjelly_lif_nodecay_if": 1e-3,
    "spyx_conv_if": 1.0,
    "spyx_lif_mlp": 1.0,
}
"""The step that recovers each exporter; None: r is 1 and tau physical, which says nothing. spyx_psu has a Threshold."""


def dense(*values: float) -> str:
    """A dense attribute of f64: one number, or a list."""
    text = ", ".join(f"{value:.17e}" for value in values)
    return f"dense<{text}> : tensor<f64>" if len(values) == 1 else f"dense<[{text}]> : tensor<{len(values)}xf64>"


def lif(name: str, source: str, tau: tuple[float, ...], r: tuple[float, ...], metadata: str = "") -> str:
    return (
        f'%{name} = nir.lif "{name}"(%{source}) {{tau = {dense(*tau)}, r = {dense(*r)}, v_leak = {dense(0)}, '
        f"v_threshold = {dense(1)}{metadata}}} : (!nir.signal<2>) -> !nir.signal<2>\n"
    )


def li(name: str, source: str, tau: tuple[float, ...], r: tuple[float, ...]) -> str:
    return (
        f'%{name} = nir.li "{name}"(%{source}) {{tau = {dense(*tau)}, r = {dense(*r)}, v_leak = {dense(0)}}} : '
        f"(!nir.signal<2>) -> !nir.signal<2>\n"
    )


def cuba_lif(name: str, source: str, tau_mem: float, tau_syn: float, r: float, w_in: float) -> str:
    return (
        f'%{name} = nir.cuba_lif "{name}"(%{source}) {{tau_mem = {dense(tau_mem)}, tau_syn = {dense(tau_syn)}, '
        f"r = {dense(r)}, w_in = {dense(w_in)}, v_leak = {dense(0)}, v_threshold = {dense(1)}}} : "
        f"(!nir.signal<2>) -> !nir.signal<2>\n"
    )


def if_(name: str, source: str, r: float) -> str:
    return (
        f'%{name} = nir.if "{name}"(%{source}) {{r = {dense(r)}, v_threshold = {dense(1)}}} : '
        f"(!nir.signal<2>) -> !nir.signal<2>\n"
    )


def graph(*nodes: str, metadata: str = "") -> str:
    """A chain of nodes; the last one's name is `z`."""
    return (
        f'nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]{metadata}}} {{\n'
        f"^bb0(%x: !nir.signal<2>):\n{''.join(nodes)}nir.yield %z : !nir.signal<2>\n}}\n"
    )


@pytest.fixture(scope="module")
def find(parse: Callable[[str], ModuleOp]) -> Callable[[str, str], TimeStep]:
    """The step of a graph in text under a scheme."""

    def run(text: str, scheme: str = "nir-euler") -> TimeStep:
        found = graph_of(parse(text))
        assert found is not None
        return find_dt(found, parse_scheme(scheme))

    return run


@pytest.mark.parametrize(("case", "dt"), EXPORTS.items())
def test_the_exporters_step(shared: Path, case: str, dt: float | None) -> None:
    reading = read_nir(str(shared / "cases" / "exports" / f"{case}.nir"))
    assert reading.faults == []
    assert infer_shapes(reading.module) == []
    found = graph_of(reading.module)
    assert found is not None
    if dt is None:
        with pytest.raises(PassFailedException, match=r"dt cannot be found: r is 1 everywhere.*give --dt\ncandidate"):
            find_dt(found, parse_scheme(None))
    else:
        assert find_dt(found, parse_scheme(None)).seconds == dt


@pytest.mark.parametrize(
    ("scheme", "candidates"),
    [("nir-euler", ["1e-06", "0.0001", "0.001", "1"]), ("norse", ["1e-06", "0.0001", "0.001", "1"])],
)
def test_candidates_come_with_their_consequences(
    find: Callable[[str, str], TimeStep], scheme: str, candidates: list[str]
) -> None:
    with pytest.raises(PassFailedException) as raised:
        find(graph(lif("z", "x", (2.5e-3,), (1,))), scheme)
    lines = str(raised.value).splitlines()[1:]
    assert [line.split()[2] for line in lines] == candidates
    assert "tau of 'z' is 2500 steps, keeps 0.9996 a step" in lines[0]
    assert "tau of 'z' is 25 steps, keeps 0.96 a step" in lines[1]
    assert "tau of 'z' is 2.5 steps, keeps 0.6 a step" in lines[2]
    assert "refused, shorter than a step: tau of 'z' is 0.0025 steps" in lines[3]


TAU = (2e-2, 7e-3)
DT = 1e-4

ENCODINGS = {
    "snntorch": graph(lif("z", "x", TAU, (TAU[0] / DT, TAU[1] / DT))),
    "snntorch li": graph(li("z", "x", TAU, (TAU[0] / DT, TAU[1] / DT))),
    "snntorch cuba": graph(cuba_lif("z", "x", 2e-2, 7e-3, 2e-2 / DT, 7e-3 / DT)),
    "cuba, w_in says nothing": graph(cuba_lif("z", "x", 2e-2, 7e-3, 2e-2 / DT, 1)),
    "spikingjelly": graph(if_("a", "x", 1 / DT), lif("z", "a", TAU, (TAU[0] / DT, TAU[1] / DT))),
    "spikingjelly if": graph(if_("z", "x", 1 / DT)),
    "if beside if with r 1": graph(if_("a", "x", 1), if_("z", "a", 1 / DT)),
    "rockpool": graph(lif("z", "x", TAU, tuple(tau * math.exp(-DT / tau) / DT for tau in TAU))),
    "rockpool cuba": graph(cuba_lif("z", "x", 2e-2, 7e-3, 2e-2 * math.exp(-DT / 2e-2) / DT, 1)),
    "spyx": graph(lif("z", "x", TAU, (1 - DT / TAU[0], 1 - DT / TAU[1]))),
    "within the spread": graph(lif("z", "x", TAU, (TAU[0] / DT * (1 + 4e-5), TAU[1] / DT * (1 - 4e-5)))),
    "graph metadata": graph(lif("z", "x", TAU, (1,)), metadata=f", metadata = {{dt = {dense(DT)}}}"),
    "metadata before encoding": graph(
        lif("z", "x", TAU, (TAU[0] / 1e-3, TAU[1] / 1e-3)), metadata=f", metadata = {{dt = {dense(DT)}}}"
    ),
    "node metadata": graph(
        lif("a", "x", TAU, (1,), f", metadata = {{dt = {dense(DT)}}}"),
        lif("z", "a", TAU, (1,), f", metadata = {{dt = {dense(DT)}}}"),
    ),
}
"""Files that encode a step of 1e-4 s."""


@pytest.mark.parametrize("text", ENCODINGS.values(), ids=ENCODINGS)
def test_the_encoded_step_is_found(find: Callable[[str], TimeStep], text: str) -> None:
    assert find(text).seconds == DT


@pytest.mark.parametrize(
    ("text", "seconds", "evidence"),
    [
        (graph(lif("z", "x", (20, 7), (1,))), 1.0, "every tau is above 1"),
        (graph(cuba_lif("z", "x", 20, 7, 1, 1)), 1.0, "every tau is above 1"),
        (graph(lif("z", "x", (2e-5, 9e-5), (1,))), 1e-6, "heuristic"),
        (graph(lif("z", "x", TAU, (200, 70))), 1e-4, "s, from tau/r "),
        (graph(if_("z", "x", 1000)), 1e-3, "1/r of the IF nodes"),
        (graph(if_("z", "x", 1)), 1.0, "no coefficient depends on it"),
    ],
)
def test_the_evidence_is_named(find: Callable[[str], TimeStep], text: str, seconds: float, evidence: str) -> None:
    found = find(text)
    assert found.seconds == seconds
    assert evidence in found.evidence


@pytest.mark.parametrize("options", ["if_gain=r", "if_gain=unit", "input=impulse"])
def test_options_that_take_dt_out_of_an_if_node(find: Callable[[str, str], TimeStep], options: str) -> None:
    found = find(graph(if_("z", "x", 7)), f"nir-euler,{options}")
    assert found.seconds == 1.0
    assert "no coefficient depends on it" in found.evidence


REFUSED = {
    "two steps": graph(lif("a", "x", TAU, (200, 70)), lif("z", "a", TAU, (20, 7))),
    "spread": graph(lif("z", "x", TAU, (200 * (1 + 2e-4), 70))),
    "not round": graph(lif("z", "x", TAU, (TAU[0] / 1.23e-4, TAU[1] / 1.23e-4))),
    "longer than tau": graph(lif("z", "x", (5e-4, 7e-4), (0.5, 0.7))),
    "li with r 1 beside a lif": graph(lif("a", "x", TAU, (200, 70)), li("z", "a", TAU, (1,))),
    "if against lif": graph(lif("a", "x", TAU, (200, 70)), if_("z", "a", 1000)),
    "r is 1 and tau on both sides of 1": graph(lif("z", "x", (0.5, 20), (1,))),
    "r is 1 and tau on both sides of 1e-4": graph(lif("z", "x", (5e-5, 2e-4), (1,))),
    "w_in against r": graph(cuba_lif("z", "x", 2e-2, 7e-3, 200, 7)),
    "node metadata that disagree": graph(
        lif("a", "x", TAU, (1,), f", metadata = {{dt = {dense(1e-4)}}}"),
        lif("z", "a", TAU, (1,), f", metadata = {{dt = {dense(1e-3)}}}"),
    ),
    "node metadata at one of two": graph(
        lif("a", "x", TAU, (1,), f", metadata = {{dt = {dense(1e-4)}}}"), lif("z", "a", TAU, (1,))
    ),
    "r of an if node that is no round step": graph(if_("z", "x", 7)),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_does_not_tell_is_refused(find: Callable[[str], TimeStep], text: str) -> None:
    with pytest.raises(PassFailedException, match=r"dt cannot be found: .*; NIR stores none, give --dt\ncandidate"):
        find(text)


@pytest.mark.parametrize("r", [1.0, 7.0])
def test_the_literal_gain_of_an_if_node_needs_a_step(find: Callable[[str, str], TimeStep], r: float) -> None:
    with pytest.raises(PassFailedException, match=r"dt cannot be found"):
        find(graph(if_("z", "x", r)), "nir-euler,if_gain=r*dt")


@pytest.mark.parametrize(
    ("dt", "message"),
    [
        (0.0, r"dt 0 s, must be greater than 0"),
        (-1e-3, r"dt -0.001 s, must be greater than 0"),
        (float("nan"), r"dt nan s, must be greater than 0"),
        (float("inf"), r"dt inf s, must be greater than 0"),
        ("soon", r"dt 'soon' is neither a number of seconds nor auto"),
    ],
)
def test_a_step_that_is_no_step_is_refused(
    convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp], dt: float | str, message: str
) -> None:
    with pytest.raises(DiagnosticException, match=message):
        convert(graph(lif("z", "x", TAU, (1,))), ConvertNirToSnnPass(dt=dt))


@pytest.mark.parametrize("scheme", ["nir-euler", "nir-exp-euler", "norse"])
def test_a_tau_below_the_step_is_refused(
    convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp], scheme: str
) -> None:
    text = graph(lif("a", "x", (2e-2, 1e-3), (1,)), cuba_lif("z", "a", 3e-3, 4e-3, 1, 1))
    with pytest.raises(PassFailedException) as raised:
        convert(text, ConvertNirToSnnPass(dt=5e-3, scheme=scheme))
    assert str(raised.value).splitlines() == [
        "node 'a' (LIF), tau: 0.001 s is shorter than the step dt = 0.005 s; give --dt at most 0.001",
        "node 'z' (CubaLIF), tau_mem: 0.003 s is shorter than the step dt = 0.005 s; give --dt at most 0.003",
        "node 'z' (CubaLIF), tau_syn: 0.004 s is shorter than the step dt = 0.005 s; give --dt at most 0.004",
    ]


def test_a_scheme_that_clips_takes_a_tau_below_the_step(
    convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp],
) -> None:
    network = convert(graph(lif("z", "x", TAU, (1,))), ConvertNirToSnnPass(dt=1e-2, scheme="nir-euler,clip=true"))
    (decay,) = [op.decay for op in network.body.block.ops if isinstance(op, snn.FilterOp)]
    assert decay.get_values() == (0.5, 0.0)


@pytest.mark.parametrize("tau", [1e-4, 1e-3, 7e-3])
def test_a_tau_of_one_step_in_f32_is_not_below_it(
    convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp], tau: float
) -> None:
    """Files hold tau in f32, which may lie half a unit of its last place below the dt that the user writes."""
    text = graph(lif("z", "x", (tau,), (1,))).replace("f64", "f32")
    network = convert(text, ConvertNirToSnnPass(dt=tau))
    (decay,) = [op.decay for op in network.body.block.ops if isinstance(op, snn.FilterOp)]
    assert decay.get_values()[0] == pytest.approx(0, abs=1e-7)


def test_the_step_is_attached(convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]) -> None:
    def said(dt: float | str, text: str) -> list[tuple[str, str]]:
        module = convert(text, ConvertNirToSnnPass(dt=dt)).parent_op()
        assert isinstance(module, ModuleOp)
        return [(item.kind.data, item.statement.data) for item in assumptions(module) if item.topic.data == "dt"]

    encoded = graph(lif("z", "x", TAU, (200, 70)))
    assert said(1e-3, encoded) == [("given", "0.001 s")]
    ((kind, statement),) = said("auto", encoded)
    assert (kind, statement[:8]) == ("choice", "0.0001 s")
    ((kind, _),) = said("auto", graph(if_("z", "x", 1)))
    assert kind == "note"


def test_lambert(find: Callable[[str], TimeStep]) -> None:
    """Rockpool's formula over steps that are no small part of tau: r = tau exp(-dt/tau)/dt, solved for dt."""
    taus = np.array([2e-3, 3e-3])
    r = taus * np.exp(-1e-3 / taus) / 1e-3
    assert find(graph(lif("z", "x", tuple(taus.tolist()), tuple(r.tolist())))).seconds == 1e-3
