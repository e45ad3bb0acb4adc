"""`--dt auto`: what exporters leave in their files gives their step back, and what leaves nothing is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import snn
from nirc.dialects.dense import array
from nirc.dialects.nir import assumptions, graph_of, time_step
from nirc.frontend.read_nir import read_nir
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_nir_to_snn.schemes import parse_scheme
from nirc.passes.convert_nir_to_snn.time_step import TimeStep, find_dt
from nirc.passes.nir_infer_shapes import infer_shapes
from nirc.passes.nir_inline_graphs import NirInlineGraphsPass

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
"""The step that recovers each exporter; None: r is 1 and tau physical, which says nothing. spyx_psu: below."""


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


def cuba_li(name: str, source: str, tau_mem: float, tau_syn: float, r: float, w_in: float) -> str:
    return (
        f'%{name} = nir.cuba_li "{name}"(%{source}) {{tau_mem = {dense(tau_mem)}, tau_syn = {dense(tau_syn)}, '
        f"r = {dense(r)}, w_in = {dense(w_in)}, v_leak = {dense(0)}}} : (!nir.signal<2>) -> !nir.signal<2>\n"
    )


def i(name: str, source: str, r: float) -> str:
    return f'%{name} = nir.i "{name}"(%{source}) {{r = {dense(r)}}} : (!nir.signal<2>) -> !nir.signal<2>\n'


def delay(name: str, source: str, *seconds: float, metadata: str = "") -> str:
    return (
        f'%{name} = nir.delay "{name}"(%{source}) {{delay = {dense(*seconds)}{metadata}}} : '
        f"(!nir.signal<2>) -> !nir.signal<2>\n"
    )


def of_dt(*seconds: float, element: str = "f64") -> str:
    """Metadata that state a step."""
    return f", metadata = {{dt = {dense(*seconds)}}}".replace("f64", element)


def instance(name: str, source: str, symbol: str = "sub") -> str:
    return f'%{name} = nir.instance "{name}" of @{symbol}(%{source}) : (!nir.signal<2>) -> !nir.signal<2>\n'


def graph(*nodes: str, metadata: str = "") -> str:
    """A chain of nodes; the last one's name is `z`."""
    return (
        f'nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]{metadata}}} {{\n'
        f"^bb0(%x: !nir.signal<2>):\n{''.join(nodes)}nir.yield %z : !nir.signal<2>\n}}\n"
    )


@pytest.fixture(scope="module")
def find(ctx: Context, parse: Callable[[str], ModuleOp]) -> Callable[[str, str], TimeStep]:
    """The step of a graph in text, with those nested in it, under a scheme."""

    def run(text: str, scheme: str = "nir-euler") -> TimeStep:
        module = parse(text)
        NirInlineGraphsPass().apply(ctx, module)
        found = graph_of(module)
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
        step = find_dt(found, parse_scheme(None))
        assert step.seconds == dt
        assert ("heuristic" in step.evidence) == case.startswith("norse_")
        with np.load(shared / "cases" / "exports" / f"{case}.npz") as held:
            preset = json.loads(str(held["meta"]))["preset"]
        assert find_dt(found, parse_scheme(preset)).seconds == dt


def test_an_export_that_speaks_at_one_node_of_two_is_refused(shared: Path) -> None:
    """Spyx's PSU_LIF becomes an LI with r = 1, its LIF states r = 1 - dt/tau."""
    found = graph_of(read_nir(str(shared / "cases" / "exports" / "spyx_psu.nir")).module)
    assert found is not None
    with pytest.raises(PassFailedException, match=r"dt cannot be found: no exporter's encoding gives one round const"):
        find_dt(found, parse_scheme(None))


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
SUB = graph(lif("z", "x", TAU, (1,)), metadata="METADATA").replace("@main", "@sub")
"""A nested graph of one neuron, which says nothing of a step."""


def sub(metadata: str, name: str = "sub") -> str:
    return SUB.replace("METADATA", metadata).replace("@sub", f"@{name}")


ENCODINGS = {
    "snntorch": graph(lif("z", "x", TAU, (TAU[0] / DT, TAU[1] / DT))),
    "snntorch li": graph(li("z", "x", TAU, (TAU[0] / DT, TAU[1] / DT))),
    "snntorch cuba": graph(cuba_lif("z", "x", 2e-2, 7e-3, 2e-2 / DT, 7e-3 / DT)),
    "snntorch cuba li": graph(cuba_li("z", "x", 2e-2, 7e-3, 2e-2 / DT, 7e-3 / DT)),
    "beside a delay": graph(delay("a", "x", 3e-3), lif("z", "a", TAU, (TAU[0] / DT, TAU[1] / DT))),
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
    "node metadata": graph(lif("a", "x", TAU, (1,), of_dt(DT)), lif("z", "a", TAU, (1,), of_dt(DT))),
    "graph and node metadata": graph(lif("a", "x", TAU, (1,), of_dt(DT)), lif("z", "a", TAU, (1,)), metadata=of_dt(DT)),
    "metadata in a list": graph(
        lif("z", "x", TAU, (1,)), metadata=f", metadata = {{dt = dense<[{DT}]> : tensor<1xf64>}}"
    ),
    "metadata of a delay": graph(delay("z", "x", 3e-3, metadata=of_dt(DT))),
    "graph metadata and a delay": graph(delay("z", "x", 3e-3), metadata=of_dt(DT)),
    "metadata of a nested graph": graph(instance("z", "x")) + sub(of_dt(DT)),
    "metadata of two nested graphs": graph(instance("a", "x"), instance("z", "a", "other"))
    + sub(of_dt(DT))
    + sub(of_dt(DT), "other"),
    "metadata of a graph around another": graph(instance("z", "x"), metadata=of_dt(DT)) + sub(""),
    "metadata two levels up": graph(instance("z", "x", "middle"))
    + graph(instance("z", "x"), metadata=of_dt(DT)).replace("@main", "@middle")
    + sub(""),
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
        (graph(i("z", "x", 1)), 1.0, "no coefficient depends on it"),
        (graph(delay("z", "x", 0)), 1.0, "no coefficient depends on it"),
        (graph(delay("z", "x", 0, 0)), 1.0, "no coefficient depends on it"),
        (graph(delay("z", "x", 1e-3), metadata=of_dt(1e-4)), 1e-4, "from the file's metadata"),
    ],
)
def test_the_evidence_is_named(find: Callable[[str], TimeStep], text: str, seconds: float, evidence: str) -> None:
    found = find(text)
    assert found.seconds == seconds
    assert evidence in found.evidence


@pytest.mark.parametrize("options", ["if_gain=r", "if_gain=unit", "input=impulse"])
def test_options_that_take_dt_out_of_an_if_node(find: Callable[[str, str], TimeStep], options: str) -> None:
    for node in (if_, i):
        found = find(graph(node("z", "x", 7)), f"nir-euler,{options}")
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
    "node metadata at one of two": graph(lif("a", "x", TAU, (1,), of_dt(DT)), lif("z", "a", TAU, (1,))),
    "metadata of one nested graph of two": graph(instance("a", "x"), instance("z", "a", "other"))
    + sub(of_dt(DT))
    + sub("", "other"),
    "metadata of 0": graph(lif("z", "x", TAU, (1,)), metadata=of_dt(0)),
    "metadata below 0": graph(lif("z", "x", TAU, (1,)), metadata=of_dt(-1e-3)),
    "metadata of two numbers": graph(lif("z", "x", TAU, (1,)), metadata=of_dt(1e-3, 1e-3)),
    "metadata in words": graph(lif("z", "x", TAU, (1,)), metadata=', metadata = {dt = "1e-3"}'),
    "a delay": graph(delay("z", "x", 1e-3)),
    "a delay at one neuron of two": graph(delay("z", "x", 0, 1e-3)),
    "a delay beside a neuron that needs no step": graph(delay("a", "x", 1e-3), if_("z", "a", 1)),
    "i": graph(i("z", "x", 7)),
    "r of an if node that is no round step": graph(if_("z", "x", 7)),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_does_not_tell_is_refused(find: Callable[[str], TimeStep], text: str) -> None:
    with pytest.raises(PassFailedException, match=r"dt cannot be found: .*; NIR stores none, give --dt\ncandidate"):
        find(text)


A_LIF = lif("a", "x", TAU, (1,), of_dt(1e-4))
DISAGREE = {
    "two nodes": graph(A_LIF, lif("z", "a", TAU, (1,), of_dt(1e-3))),
    "a node and the graph": graph(lif("z", "x", TAU, (1,), of_dt(1e-4)), metadata=of_dt(1e-3)),
    "a nested graph and the one around it": graph(instance("z", "x"), metadata=of_dt(1e-3)) + sub(of_dt(1e-4)),
    "a nested graph and a node": graph(A_LIF, instance("z", "a")) + sub(of_dt(1e-3)),
    "two nested graphs": graph(instance("a", "x"), instance("z", "a", "other"))
    + sub(of_dt(1e-4))
    + sub(of_dt(1e-3), "other"),
    "a neuron and a delay": graph(A_LIF, delay("z", "a", 5e-3, metadata=of_dt(1e-3))),
    "two delays": graph(delay("a", "x", 5e-3, metadata=of_dt(1e-3)), delay("z", "a", 5e-3, metadata=of_dt(1e-4))),
}


@pytest.mark.parametrize("text", DISAGREE.values(), ids=DISAGREE)
def test_metadata_that_disagree_are_refused(find: Callable[[str], TimeStep], text: str) -> None:
    with pytest.raises(PassFailedException) as raised:
        find(text)
    assert str(raised.value) == "the file's metadata states several dt: 0.0001 s, 0.001 s; give --dt"


def test_a_node_of_a_nested_graph_speaks_for_itself(find: Callable[[str], TimeStep]) -> None:
    """What the nested graph says goes to the nodes that say nothing."""
    inner = graph(lif("z", "x", TAU, (1,), of_dt(DT)), metadata=of_dt(1e-3)).replace("@main", "@sub")
    assert find(graph(instance("z", "x")) + inner).seconds == DT


@pytest.mark.parametrize("r", [1.0, 7.0])
def test_the_literal_gain_of_an_if_node_needs_a_step(find: Callable[[str, str], TimeStep], r: float) -> None:
    for node in (if_, i):
        with pytest.raises(PassFailedException, match=r"dt cannot be found"):
            find(graph(node("z", "x", r)), "nir-euler,if_gain=r*dt")


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


def test_metadata_of_f32_and_f64_agree(find: Callable[[str], TimeStep]) -> None:
    """1e-4 stands in a file as f64, or as the f32 next to it."""
    text = graph(lif("z", "x", TAU, (1,), of_dt(1e-4, element="f32")), metadata=of_dt(1e-4))
    assert find(text).seconds == 1e-4


def test_the_step_stands_at_the_module(convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]) -> None:
    for dt in (1e-3, "auto"):
        module = convert(graph(lif("z", "x", TAU, (200, 70))), ConvertNirToSnnPass(dt=dt)).parent_op()
        assert isinstance(module, ModuleOp)
        assert time_step(module) == (1e-4 if dt == "auto" else dt)


@pytest.mark.parametrize(("seconds", "steps"), [(3e-3, 30), (2.44e-3, 24), (2.46e-3, 25), (4e-5, 0)])
def test_a_delay_becomes_the_nearest_number_of_steps(
    convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp], seconds: float, steps: int
) -> None:
    network = convert(graph(delay("z", "x", seconds)), ConvertNirToSnnPass(dt=1e-4))
    found = [int(array(op.steps)) for op in network.body.block.ops if isinstance(op, snn.DelayOp)]
    assert found == [steps] * (steps > 0)


def test_what_rounding_does_to_delays_is_said(convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]) -> None:
    def said(*seconds: float) -> list[str]:
        module = convert(graph(delay("z", "x", *seconds)), ConvertNirToSnnPass(dt=1e-3)).parent_op()
        assert isinstance(module, ModuleOp)
        return [str(item) for item in assumptions(module) if item.topic.data == "delay"]

    assert said(2e-3) == []
    assert said(2.2e-3) == ["delay: 0.0022 s of 'z' becomes 2 steps of 0.001 s, off by 0.0002 s"]
    assert said(2e-3, 3.25e-3) == ["delay: 0.00325 s of 'z' becomes 3 steps of 0.001 s, off by 0.00025 s"]
    assert said(0, 2e-3) == ["delay: 'z' delays 1 of its 2 elements by 0 steps"]
    assert said(0, 0) == ["delay: 'z' delays all of its 2 elements by 0 steps"]
    assert said(4e-4) == [
        "delay: 0.0004 s of 'z' becomes 0 steps of 0.001 s, off by 0.0004 s",
        "delay: 'z' delays all of its 1 elements by 0 steps",
    ]


def test_a_delay_of_too_many_steps_is_refused(convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]) -> None:
    message = (
        r"node 'z' \(Delay\), delay: 1,000,000,000 steps of dt = 1e-06 s for 2 elements, at most 16,777,216 values"
    )
    with pytest.raises(PassFailedException, match=message):
        convert(graph(delay("z", "x", 1e3)), ConvertNirToSnnPass(dt=1e-6))


@pytest.mark.parametrize("dt", [1e-12, 1e-30])
def test_a_delay_of_more_steps_than_can_be_counted_is_refused(
    convert: Callable[[str, ConvertNirToSnnPass], snn.NetworkOp], dt: float
) -> None:
    with pytest.raises(PassFailedException, match=r"node 'z' \(Delay\), delay: .* steps of dt = .* at most 16,777,216"):
        convert(graph(delay("z", "x", 1e7)), ConvertNirToSnnPass(dt=dt))


def test_lambert(find: Callable[[str], TimeStep]) -> None:
    """Rockpool's formula over steps that are no small part of tau: r = tau exp(-dt/tau)/dt, solved for dt."""
    taus = np.array([2e-3, 3e-3])
    r = taus * np.exp(-1e-3 / taus) / 1e-3
    assert find(graph(lif("z", "x", tuple(taus.tolist()), tuple(r.tolist())))).seconds == 1e-3
