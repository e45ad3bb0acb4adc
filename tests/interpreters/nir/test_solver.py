"""The solver of `nir`: closed forms in 35 digits, impulse responses, and claims that a separate integrator checks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from decimal import Decimal, getcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parent))
from certificate import Certificate

getcontext().prec = 35
Make = Callable[..., nirc.Program]
Times = Callable[..., Array]

LIF = {"type": "LIF", "tau": 0.02, "r": 1.5, "v_leak": 0.1, "v_threshold": 1.0, "v_reset": 0.0}
CUBA = {
    **{"type": "CubaLIF", "tau_mem": 0.02, "tau_syn": 0.005, "r": 1.5, "w_in": 2.0, "v_leak": 0.1},
    **{"v_threshold": 1.0, "v_reset": -0.2},
}
ON = np.ones(400)
DT = 1e-3


def exact(value: float) -> Decimal:
    return Decimal(value)


def lif_instants(node: dict[str, Any], x: float, end: float, *, subtract: bool = False) -> list[float]:
    """From v_leak on, then from the reset: tau ln((vinf - v) / (vinf - threshold)) each."""
    tau, r, leak, top, reset = (exact(node[k]) for k in ("tau", "r", "v_leak", "v_threshold", "v_reset"))
    final, v, t, found = leak + r * exact(x), leak, Decimal(0), list[float]()
    while True:
        t += tau * ((final - v) / (final - top)).ln()
        if t > exact(end):
            return found
        found.append(float(t))
        v = top - (top - reset) if subtract else reset


def cuba_instants(node: dict[str, Any], x: float, end: float, *, subtract: bool = False) -> list[float]:
    """Under a constant current from rest v rises to vinf between resets; each crossing by bisection in 35 digits of

    v(s) = vinf + (v0 - vinf) e^(-s/tm) + r (i0 - ii) (e^(-s/ts) - e^(-s/tm)) ts/(ts - tm), for ts = tm its limit.
    """
    tm, ts, r, w = (exact(node[k]) for k in ("tau_mem", "tau_syn", "r", "w_in"))
    leak, top, reset = (exact(node[k]) for k in ("v_leak", "v_threshold", "v_reset"))
    ii = w * exact(x)
    final, v0, i0, t, found = leak + r * ii, leak, Decimal(0), Decimal(0), list[float]()

    def v(s: Decimal) -> Decimal:
        fed = s / tm * (-s / tm).exp() if ts == tm else ((-s / ts).exp() - (-s / tm).exp()) * ts / (ts - tm)
        return final + (v0 - final) * (-s / tm).exp() + r * (i0 - ii) * fed

    while True:
        low, high = Decimal(0), exact(end) - t
        if v(high) <= top:
            return found
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if v(middle) <= top else (low, middle)
        after = v(high) - (top - reset) if subtract else reset
        i0, v0 = ii + (i0 - ii) * (-high / ts).exp(), after
        t += high
        found.append(float(t))


@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("change", [{}, {"v_reset": -0.7}, {"v_leak": -0.5}, {"tau": 1e-3}])
def test_lif_under_constant_input(times: Times, change: dict[str, float], *, subtract: bool) -> None:
    node = {**LIF, **change}
    found = times(node, 1.3 * ON, DT, reset="subtract" if subtract else "v_reset")
    expected = lif_instants(node, 1.3, 0.4, subtract=subtract)
    assert len(expected) == len(found) > 10
    assert np.abs(found - expected).max() < 1e-9


def test_the_one_long_lif_fires(times: Times) -> None:
    expected = lif_instants({**LIF, "tau": 3.0}, 5.0, 2.0)
    found = times({**LIF, "tau": 3.0}, np.full(2000, 5.0), DT, reset="v_reset")
    assert len(expected) == len(found) > 3
    assert np.abs(found - expected).max() < 1e-9


@pytest.mark.parametrize("reset", ["v_reset", "subtract"])
def test_if_under_constant_input(times: Times, reset: str) -> None:
    node = {"type": "IF", "r": 7.0, "v_threshold": 1.0, "v_reset": 0.25}
    found = times(node, 0.9 * ON, DT, scheme="nir-euler,if_gain=r*dt", reset=reset)
    first, every = 1 / 6.3, 0.75 / 6.3
    expected = first + every * np.arange(int((0.4 - first) / every) + 1)
    assert np.allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tau_syn": 0.02},
        {"tau_syn": 0.02 * (1 + 1e-13)},
        {"tau_syn": 0.02 * (1 + 1e-9)},
        {"tau_syn": 0.02 * (1 - 1e-5)},
        {"tau_syn": 0.04},
        {"tau_syn": 1e-7},
        {"tau_mem": 1e-4},
        {"tau_mem": 2e-3, "tau_syn": 2e-3},
    ],
)
def test_cuba_lif_under_constant_input(times: Times, change: dict[str, float], *, subtract: bool) -> None:
    node = {**CUBA, **change}
    steps = 10 if node["tau_mem"] == 1e-4 else 100
    found = times(node, 0.8 * ON[:steps], DT, reset="subtract" if subtract else "v_reset")
    expected = cuba_instants(node, 0.8, steps * DT, subtract=subtract)
    assert len(expected) == len(found) > 2
    assert np.abs(found - expected).max() < 1e-9


@pytest.mark.parametrize("syn", [0.005, 0.02, 0.05])
@pytest.mark.parametrize(("part", "spikes"), [(1 - 1e-9, 1), (1 + 1e-9, 0), (0.9, 1), (1.5, 0)])
def test_no_crossing_is_missed_at_the_top(times: Times, syn: float, part: float, spikes: int) -> None:
    """After an impulse v has its only maximum at ln(ts/tm) / (1/tm - 1/ts), or at tau; the threshold just below it
    is passed for a moment, just above it never."""
    mem, gain = 0.02, 1.5 * 2.0 / 0.02
    if syn == mem:
        top = gain * float(np.exp(-1))
    else:
        s = np.log(syn / mem) / (1 / mem - 1 / syn)
        top = gain * mem / (mem - syn) * (np.exp(-s / mem) - np.exp(-s / syn))
    node = {**CUBA, "tau_syn": syn, "v_leak": 0.0, "v_threshold": part * top, "v_reset": -100.0}
    raster = np.r_[1.0, np.zeros(99)]
    found = times(node, raster, DT, scheme="nir-euler,input=impulse", reset="v_reset")
    assert found.size == spikes


def test_a_raster_of_impulses_at_the_threshold(times: Times) -> None:
    """Four impulses of a quarter reach the threshold, which only the fifth passes; an impulse of 3.5 at once takes
    four resets by subtraction."""
    node = {"type": "IF", "r": 1.0, "v_threshold": 1.0, "v_reset": 0.0}
    options = {"scheme": "nir-euler,input=impulse", "reset": "subtract"}
    assert np.array_equal(times(node, [0.25] * 5, 1.0, **options), [4.0])
    assert np.array_equal(times(node, [0.0, 3.5, 0.0], 1.0, **options), [1.0, 1.0, 1.0])


def nodes_of(width: int, *chain: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Input, the nodes n0, n1, ..., Output."""
    found: dict[str, dict[str, Any]] = {"input": {"type": "Input", "shape": np.array([width])}}
    found.update({f"n{n}": node for n, node in enumerate(chain)})
    found["output"] = {"type": "Output", "shape": np.array([width])}
    names = list(found)
    return found, list(pairwise(names))


def li(tau: float) -> dict[str, Any]:
    return {"type": "LI", "tau": np.array([tau]), "r": np.array([1.0]), "v_leak": np.array([0.0])}


def falling(t: Array) -> Array:
    return np.exp(-t / 0.02) / 0.02


def falling_of_two(t: Array) -> Array:
    return t / 0.02**2 * np.exp(-t / 0.02)


def falling_of_three(t: Array) -> Array:
    return t**2 / 2 / 0.02**3 * np.exp(-t / 0.02)


def falling_of_unlike(t: Array) -> Array:
    return (np.exp(-t / 0.02) - np.exp(-t / 0.01)) / 0.01


def ramp(t: Array) -> Array:
    return 6 * t


def late(t: Array) -> Array:
    return np.where(t > 2.5e-3, np.exp(-np.maximum(t - 2.5e-3, 0) / 0.02) / 0.02, 0)


def falling_of_current(t: Array) -> Array:
    return 3 / 0.015 * (np.exp(-t / 0.02) - np.exp(-t / 0.005))


CUBA_LI = {
    **{"type": "CubaLI", "tau_mem": np.array([0.02]), "tau_syn": np.array([0.005])},
    **{"r": np.array([1.5]), "w_in": np.array([2.0]), "v_leak": np.array([0.0])},
}


@pytest.mark.parametrize(
    ("chain", "response"),
    [
        ((li(0.02),), falling),
        ((li(0.02), li(0.02)), falling_of_two),
        ((li(0.02), li(0.02), li(0.02)), falling_of_three),
        ((li(0.02), li(0.01)), falling_of_unlike),
        (({"type": "I", "r": np.array([2.0])}, {"type": "I", "r": np.array([3.0])}), ramp),
        (({"type": "Delay", "delay": np.array([2.5e-3])}, li(0.02)), late),
        ((CUBA_LI,), falling_of_current),
    ],
)
def test_impulse_responses(
    program: Make, chain: tuple[dict[str, Any], ...], response: Callable[[Array], Array]
) -> None:
    nodes, edges = nodes_of(1, *chain)
    solved = program(nodes, edges, dt=DT, scheme="nir-euler,input=impulse")
    found = solved.run(np.r_[1.0, np.zeros(99)].reshape(-1, 1)).ravel()
    expected = response(DT * np.arange(1, 101))
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


KINDS = (
    *(["LIF"], ["IF"], ["CubaLIF"], ["LIF", "LIF"], ["CubaLIF", "LIF"], ["LIF", "CubaLIF"], ["LI", "LIF"]),
    *(["CubaLI", "CubaLIF"], ["LI", "LI"], ["LIF", "LI"], ["LIF", "Delay", "LIF"], ["I", "LIF"]),
    *(["LI", "CubaLIF", "IF"], ["IF", "LI", "LIF"], ["CubaLIF", "Delay", "LI", "IF"]),
)


def random_graph(
    rng: np.random.Generator, kinds: list[str], *, loop: bool, impulse: bool
) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Layers of a few unlike neurons with weights before each, and perhaps a way back from the last to the first."""
    nodes: dict[str, dict[str, Any]] = {"input": {"type": "Input", "shape": np.array([2]), "in": 2}}
    edges, last, width = list[tuple[str, str]](), "input", 2
    layers = list[tuple[str, int]]()
    for n, kind in enumerate(kinds):
        name = f"n{n}"
        if kind == "Delay":
            nodes[name] = {"type": kind, "delay": rng.choice([1.5e-3, 4e-3], width), "shape": width, "in": width}
            edges.append((last, name))
            last = name
            continue
        new = int(rng.integers(2, 5))
        weight = rng.normal(1.0, 1.5, (new, width))
        nodes[f"w{n}"] = {"type": "Linear" if impulse else "Affine", "weight": weight, "shape": new, "in": width}
        if not impulse:
            nodes[f"w{n}"]["bias"] = rng.normal(0.3, 0.3, new)
        nodes[name] = {"type": kind, **parameters(rng, kind, new, impulse=impulse), "shape": new, "in": new}
        edges += [(last, f"w{n}"), (f"w{n}", name)]
        last, width = name, new
        layers.append((name, new))
    if loop:
        (first, into), (end, out) = layers[0], layers[-1]
        nodes["back"] = {"type": "Linear", "weight": -np.abs(rng.normal(0, 0.4, (into, out))), "shape": into, "in": out}
        edges += [(end, "back"), ("back", first)]
    nodes["output"] = {"type": "Output", "shape": np.array([width]), "in": width}
    return nodes, [*edges, (last, "output")]


def parameters(rng: np.random.Generator, kind: str, n: int, *, impulse: bool) -> dict[str, Array]:
    """Time constants of 5 to 20 ms, every other equal to the other one; an impulse moves v by the order of 1."""
    mem = rng.uniform(5e-3, 2e-2, n)
    syn = np.where(np.arange(n) % 2, mem, rng.uniform(5e-3, 2e-2, n))
    found = {"r": rng.uniform(0.5, 1.5, n)}
    if "Cuba" in kind:
        found |= {"tau_mem": mem, "tau_syn": syn, "w_in": rng.uniform(0.5, 2.0, n) * (0.02 if impulse else 1)}
    elif kind in ("I", "IF"):
        found["r"] *= 0.5 if impulse else 45.0
    else:
        found["tau"] = mem
        found["r"] *= 0.01 if impulse else 1.0
    if kind not in ("I", "IF"):
        found["v_leak"] = rng.uniform(-0.2, 0.2, n)
    if "F" in kind:
        found |= {"v_threshold": rng.uniform(0.8, 1.2, n), "v_reset": rng.uniform(-0.2, 0.1, n)}
    return found


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_claims_about_random_graphs(program: Make, kinds: list[str]) -> None:
    checked = 0
    for number, (impulse, loop, subtract) in enumerate(
        [(False, True, False), (True, False, True), (True, True, False), (False, False, True)]
    ):
        rng = np.random.default_rng([number + 4, *map(ord, "".join(kinds))])
        nodes, edges = random_graph(rng, kinds, loop=loop, impulse=impulse)
        steps = 20
        if impulse:
            raster = (rng.random((steps, 2)) < 0.3) * rng.uniform(0.5, 2, (steps, 2))
        else:
            raster = np.repeat(rng.normal(0.8, 1.0, (steps // 5, 2)), 5, axis=0)
        scheme = f"nir-euler,input={'impulse,if_gain=r' if impulse else 'held,if_gain=r*dt'}"
        solved = program(nodes, edges, dt=DT, scheme=scheme, reset="subtract" if subtract else "v_reset")
        membranes = [name for name, node in nodes.items() if node["type"] in (*CELLS, "LI", "I", "CubaLI")]
        firing = [name for name in membranes if nodes[name]["type"] in CELLS]
        record = (*(f"{name}.v" for name in membranes), *(f"{name}.spikes" for name in firing))
        result = solved.run({"input": raster}, record)
        claims = {name: list(events_of(solved, f"{name}.spikes")) for name in firing}
        certificate = Certificate(nodes, edges, DT, impulse, subtract)
        certificate.check(raster, claims)
        checked += sum(map(len, claims.values()))
        assert certificate.worst < 1e-8
        for name in membranes:
            expected = np.array(certificate.v[name])
            assert np.abs(result[f"{name}.v"] - expected).max() < 1e-8 * max(1.0, np.abs(expected).max())
            if name in firing:
                assert result[f"{name}.spikes"].sum() == len(claims[name])
    assert checked > (2 if set(kinds) & set(CELLS) else -1)


CELLS = ("LIF", "IF", "CubaLIF")


def events_of(solved: nirc.Program, key: str) -> Iterator[tuple[float, int]]:
    held = solved.events[key]
    return zip(held.time[0].tolist(), held.neuron[0].tolist(), strict=True)


def test_the_recorded_closed_form(shared: Path) -> None:
    """2.8e-9 is the recording's own distance: it took tau in single precision."""
    recorded = np.loadtxt(shared / "cases/paper_lif/lif_exact.csv", delimiter=",")
    model = nirc.compile(str(shared / "models/lif_norse.nir"), until="nir", dt=1e-4).settle()
    (name,) = model.inputs
    result = model.run({name: recorded[:, :1]}, ("1.v", "1.spikes"))
    assert np.abs(result["1.v"][:, 0] - recorded[:, 1]).max() < 3e-9
    assert np.array_equal(result["1.spikes"][:, 0], recorded[:, 2])


def test_an_lif_is_the_nodes_that_it_is_composed_of(program: Make) -> None:
    """LI, Threshold and the Scale that feeds its spikes back are a LIF that resets by subtraction (NIR paper)."""
    rng = np.random.default_rng(3)
    raster = (rng.random((300, 1)) < 0.4) * rng.uniform(0.2, 1.0, (300, 1))
    scheme = "nir-euler,input=impulse"
    node = {key: value if key == "type" else np.array([value]) for key, value in LIF.items()} | {"r": np.array([0.02])}
    whole = program(*nodes_of(1, node), dt=DT, scheme=scheme, reset="subtract")
    parts = {key: node[key] for key in ("tau", "r", "v_leak")}
    nodes, edges = nodes_of(1, {"type": "LI", **parts}, {"type": "Threshold", "threshold": np.array([1.0])})
    nodes["back"] = {"type": "Scale", "scale": np.array([-1.0])}
    apart = program(nodes, [*edges, ("n1", "back"), ("back", "n0")], dt=DT, scheme=scheme)
    first = whole.run({"input": raster}, ("n0.v", "n0.spikes"))
    second = apart.run({"input": raster}, ("n0.v", "n1.spikes"))
    assert first["n0.spikes"].sum() > 20
    assert np.array_equal(first["n0.spikes"], second["n1.spikes"])
    assert np.abs(whole.events["n0.spikes"].time - apart.events["n1.spikes"].time).max() < 1e-12
    assert np.abs(first["n0.v"] - second["n0.v"]).max() < 1e-12


def test_a_cuba_lif_is_an_li_before_a_lif(program: Make) -> None:
    """The one has a closed form, the other goes through Taylor series."""
    node = {key: value if key == "type" else np.array([value]) for key, value in CUBA.items()}
    raster = np.repeat(np.random.default_rng(4).normal(0.6, 0.8, 40), 10).reshape(-1, 1)
    whole = program(*nodes_of(1, node), dt=DT, reset="v_reset")
    synapse = {"type": "LI", "tau": node["tau_syn"], "r": node["w_in"], "v_leak": np.zeros(1)}
    membrane = {"type": "LIF", "tau": node["tau_mem"], **{k: v for k, v in node.items() if k[0] in "rv"}}
    apart = program(*nodes_of(1, synapse, membrane), dt=DT, reset="v_reset")
    whole.run({"input": raster}, ("n0.spikes",))
    apart.run({"input": raster}, ("n1.spikes",))
    expected, found = whole.events["n0.spikes"].time[0], apart.events["n1.spikes"].time[0]
    assert len(expected) == len(found) > 10
    assert np.abs(expected - found).max() < 1e-12


def test_a_threshold_is_a_level_under_held_input(program: Make) -> None:
    """An LI that rises to 1 passes 0.5 after tau ln 2; behind it the level fills an I; the LI falls again as fast."""
    threshold = {"type": "Threshold", "threshold": np.array([0.5])}
    nodes, edges = nodes_of(1, li(0.02), threshold, {"type": "I", "r": np.array([1.0])})
    solved = program(nodes, edges, dt=DT, scheme="nir-euler,if_gain=r*dt")
    raster = np.r_[np.ones(100), np.zeros(100)].reshape(-1, 1)
    found = solved.run(raster).ravel()
    up, top = 0.02 * np.log(2), 1 - np.exp(-5)
    down = 0.1 + 0.02 * np.log(top / 0.5)
    t = DT * np.arange(1, 201)
    assert np.abs(found - np.clip(t - up, 0, down - up)).max() < 1e-12


def test_a_spike_takes_no_time_but_through_a_delay(program: Make) -> None:
    cell = {"type": "IF", "r": np.array([1.0]), "v_threshold": np.array([0.9]), "v_reset": np.array([0.0])}
    nodes, edges = nodes_of(1, cell, cell, {"type": "Delay", "delay": np.array([0.3])}, cell)
    solved = program(nodes, edges, dt=1.0, scheme="nir-euler,input=impulse", reset="zero")
    solved.run({"input": np.array([[0.0], [1.0], [0.0]])}, ("n0.spikes", "n1.spikes", "n3.spikes"))
    instants = {key: held.time[0].tolist() for key, held in solved.events.items()}
    assert instants == {"output": [1.3], "n0.spikes": [1.0], "n1.spikes": [1.0], "n3.spikes": [1.3]}


def loop(program: Make, *, weight: float, delay: float | None = None) -> nirc.Program:
    cell = {"type": "IF", "r": np.array([1.0]), "v_threshold": np.array([0.9]), "v_reset": np.array([0.0])}
    nodes, edges = nodes_of(1, cell, cell)
    nodes["back"] = {"type": "Linear", "weight": np.array([[weight]])}
    edges += [("n1", "back"), ("back", "n0")] if delay is None else [("n1", "back"), ("back", "d"), ("d", "n0")]
    if delay is not None:
        nodes["d"] = {"type": "Delay", "delay": np.array([delay])}
    return program(nodes, edges, dt=1.0, scheme="nir-euler,input=impulse", reset="zero")


def test_a_loop_in_which_spikes_make_each_other_at_once_is_refused(program: Make) -> None:
    raster = np.array([[0.0], [1.0], [0.0]])
    with pytest.raises(DiagnosticException, match=r"'n0', 'n1' make each other fire without end at t = 1 s.*a Delay"):
        loop(program, weight=1.0).run(raster)
    assert loop(program, weight=0.5).run(raster).sum() == 1
    assert loop(program, weight=1.0, delay=0.25).run(raster).sum() == 8


def test_a_reset_to_the_threshold_is_refused(times: Times) -> None:
    with pytest.raises(DiagnosticException, match="'n' fires without end at t = "):
        times({**LIF, "v_reset": 1.0}, ON, DT, reset="v_reset")


def test_neurons_that_reach_their_thresholds_together_fire_together(program: Make) -> None:
    """Each would inhibit the other; both have fired before anything arrives."""
    cell = {"type": "LIF", "tau": np.full(2, 0.02), "r": np.ones(2), "v_leak": np.zeros(2)}
    cell |= {"v_threshold": np.full(2, 0.5), "v_reset": np.zeros(2)}
    nodes, edges = nodes_of(2, cell)
    nodes["across"] = {"type": "Linear", "weight": np.array([[0.0, -3.0], [-3.0, 0.0]])}
    solved = program(nodes, [*edges, ("n0", "across"), ("across", "n0")], dt=DT, reset="zero")
    solved.run(np.ones((100, 2)))
    held = solved.events["output"]
    both = held.time[0].reshape(-1, 2)
    assert len(both) > 3
    assert np.array_equal(both[:, 0], both[:, 1])


def test_time_goes_on_where_the_last_run_ended(program: Make) -> None:
    nodes, edges = nodes_of(1, li(0.02), {key: v if key == "type" else np.array([v]) for key, v in LIF.items()})
    raster = np.random.default_rng(5).normal(1.5, 1.0, (120, 1))
    solved = program(nodes, edges, dt=DT, reset="v_reset")
    whole = solved.run({"input": raster}, ("n1.v",))
    instants = solved.events["output"].time[0]
    first = solved.run({"input": raster[:50]}, ("n1.v",))
    before = solved.events["output"].time[0]
    second = solved.run({"input": raster[50:]}, ("n1.v",), keep_state=True)
    after = solved.events["output"].time[0] + 50 * DT
    assert len(instants) > 3
    assert np.allclose(np.r_[before, after], instants, rtol=0, atol=1e-12)
    assert np.allclose(np.r_[first["n1.v"], second["n1.v"]], whole["n1.v"], rtol=0, atol=1e-12)


def test_samples_of_a_batch_do_not_meet(program: Make) -> None:
    nodes, edges = nodes_of(1, {key: v if key == "type" else np.array([v]) for key, v in LIF.items()})
    solved = program(nodes, edges, dt=DT, reset="v_reset")
    raster = np.random.default_rng(6).normal(1.2, 1.0, (80, 3, 1))
    together = solved.run(raster)
    instants = solved.events["output"]
    for n in range(3):
        assert np.array_equal(solved.run(raster[:, n]), together[:, n])
        alone = solved.events["output"].time[0]
        assert np.array_equal(instants.time[n][: alone.size], alone)
        assert np.all(np.isinf(instants.time[n][alone.size :]))


def test_what_has_no_solution_is_refused(program: Make) -> None:
    delay = {"type": "Delay", "delay": np.array([0.01])}
    with pytest.raises(DiagnosticException, match=r"'n1' \(Delay\): a signal that moves between events arrives"):
        program(*nodes_of(1, li(0.02), delay), dt=DT)
    threshold = {"type": "Threshold", "threshold": np.array([0.5])}
    with pytest.raises(DiagnosticException, match=r"'n0' \(Threshold\): impulses arrive, which have no height"):
        program(*nodes_of(1, threshold, li(0.02)), dt=DT, scheme="nir-euler,input=impulse")
    with pytest.raises(DiagnosticException, match="scheme norse is a simulator's steps"):
        program(*nodes_of(1, li(0.02)), dt=DT, scheme="norse")
    with pytest.raises(DiagnosticException, match="scheme option decay_mem: says how time is cut"):
        program(*nodes_of(1, li(0.02)), dt=DT, scheme="nir-euler,decay_mem=exp")
    with pytest.raises(DiagnosticException, match=r"cannot record 'n0\.i'; there are n0\.v"):
        program(*nodes_of(1, li(0.02)), dt=DT).run({"input": np.ones((3, 1))}, ("n0.i",))
