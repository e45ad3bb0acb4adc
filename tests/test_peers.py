"""Graphs of other tools' test suites against references in numpy, and loops through delays against one written here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects.dense import Array

PEERS = Path(os.environ.get("NIRC_SHARED", Path(__file__).parent.parent.parent / "shared")) / "cases" / "peers"
"""As the fixture `shared` finds it: the cases are named when tests are collected."""

ORACLES = {
    "ref_reset": ("0", "v_reset"),
    "ref_subtract": ("0", "subtract"),
    "refleak_reset": ("v_leak", "v_reset"),
    "refleak_subtract": ("v_leak", "subtract"),
}
"""The initial state and the reset of each reference."""

FEEDBACK = "has no node with state; a value would depend on itself within a step"

MISNAMED = [
    f"edge {edge} in 'lif1': no node 'lif'; did you mean 'lif1', which no edge names? --fix edge-names takes it"
    for edge in ("'input' -> 'lif'", "'lif' -> 'lin'", "'lin' -> 'lif'", "'lif' -> 'output'")
]

REFUSED = {
    "nir__ir__conv2d_same_0": ["node 'conv2d' (Conv2d), weight: shape 1x3x3, must have 4 axes"],
    "nir__ir__from_list_tuple_or_list_0": [
        "node 'delay' (Delay), delay: -0.258199 at index 1 and at 1 more, must be >= 0"
    ],
    "nir__readwrite__read_without_type_check_0": [
        "node 'linear_1' (Linear): weight has 1 columns (1x1), but a signal of shape 2 arrives"
    ],
    "nir__readwrite__simple_0": [f"the loop 'a' -> 'a' {FEEDBACK}"],
    "nir__readwrite__simple_1": [f"the loop 'a' -> 'a' {FEEDBACK}"],
    "nirtorch__from_nir__execute_recurrent_0": [f"the loop 'b' -> 'a' -> 'b' {FEEDBACK}"],
    "nirtorch__nir_interpreter__map_recursive_graph_0": [f"the loop 'linear' -> 'linear' {FEEDBACK}"],
    "nirtorch__nir_interpreter__map_recursive_graph_two_nodes_0": [
        f"the loop 'linear2' -> 'linear1' -> 'linear2' {FEEDBACK}"
    ],
    "paper__braille_noDelay_bias_zero_subgraph": MISNAMED,
    "paper__braille_noDelay_noBias_subtract_subgraph": MISNAMED,
}
"""What is wrong with the cases that are refused."""

READ = (
    "nir__ir__conv2d_type_inference_0",  # no bias
    "sinabs__nir__2dcnn_network_0",  # no input_shape, parameters of unequal rank
    "sinabs__nir__conv2d_0",  # no input_shape
    "sinabs__nir__from_nir_to_sequential_0",  # parameters of unequal rank
)
"""Cases without a reference that are read, though the nir package does not read them."""


def arrays(case: str) -> dict[str, Array]:
    with np.load(PEERS / case / "io.npz") as stored:
        return {name: stored[name] for name in stored.files}


def has_reference(case: str) -> bool:
    with np.load(PEERS / case / "io.npz") as stored:
        return any(name.startswith("out__ref_") for name in stored.files)


CASES = sorted(path.parent.name for path in PEERS.glob("*/graph.nir")) if PEERS.is_dir() else []
REFERENCED = [case for case in CASES if has_reference(case)]


def test_every_case_is_here(shared: Path) -> None:
    assert shared / "cases" / "peers" == PEERS
    assert len(REFERENCED) == 84
    assert set(CASES) == {*REFERENCED, *REFUSED, *READ}
    assert all((PEERS / case / "graph.nir").is_file() for case in CASES)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("case", REFERENCED)
def test_a_case_computes_its_reference(case: str, oracle: str) -> None:
    v_init, reset = ORACLES[oracle]
    stored = arrays(case)
    program = nirc.compile(
        PEERS / case / "graph.nir",
        dt=json.loads((PEERS / case / "meta.json").read_text())["dt"],
        scheme=f"nir-euler,if_gain=r*dt,v_init={v_init}",
        reset=reset,
        precision="f64",
    )
    results = program.run({name[4:]: values for name, values in stored.items() if name.startswith("in__")})
    head = f"out__{oracle}__"
    expected = {name.removeprefix(head): values for name, values in stored.items() if name.startswith(head)}
    assert expected
    assert results.keys() == expected.keys()
    for name, values in expected.items():
        assert results[name].size == values.size
        found = results[name].reshape(values.shape)
        if set(np.unique(values)) <= {0.0, 1.0}:
            np.testing.assert_array_equal(found, values)
        else:
            np.testing.assert_allclose(found, values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", REFUSED)
def test_a_case_that_is_refused_has_its_fault_named(shared: Path, case: str) -> None:
    with pytest.raises(DiagnosticException) as raised:
        nirc.load(shared / "cases" / "peers" / case / "graph.nir")
    assert str(raised.value).splitlines() == REFUSED[case]


@pytest.mark.parametrize("case", READ)
def test_a_case_without_reference_is_read(shared: Path, case: str) -> None:
    """Its Output has the shape that the file states."""
    path = shared / "cases" / "peers" / case / "graph.nir"
    program = nirc.compile(path, dt=0.1, scheme="nir-euler")
    with h5py.File(path) as file:
        stated = tuple(int(n) for n in file["node/nodes/output/shape"][()])
    x = np.random.default_rng(0).normal(size=(3, *program.inputs["input"]))
    y = program.run(x)
    assert y.shape == (3, *stated)
    assert np.isfinite(y).all()


S = "!nir.signal<2>"
TAU, R, LEAK, THRESHOLD, RESET = np.array([0.4, 0.9]), np.array([1.2, 0.8]), 0.1, np.array([0.5, 0.7]), -0.05
WEIGHT = np.array([[-0.3, 1.4], [0.9, 0.6]])


def numbers(values: Any) -> str:
    shape = "x".join((*map(str, np.shape(values)), "f64"))
    return f"dense<{np.asarray(values, float).tolist()}> : tensor<{shape}>"


def fields(**values: Any) -> str:
    return ", ".join(f"{name} = {numbers(value)}" for name, value in values.items())


NEURON = fields(tau=TAU, r=R, v_leak=[LEAK, LEAK], v_threshold=THRESHOLD, v_reset=[RESET, RESET])

FLAT = f"""
nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]}} {{
^bb0(%x: {S}):
%s = nir.sum %x, %d : ({S}, {S}) -> {S}
%n = nir.lif "n"(%s) {{{NEURON}}} : ({S}) -> {S}
%w = nir.linear "w"(%n) {{{fields(weight=WEIGHT)}}} : ({S}) -> {S}
%d = nir.delay "d"(%w) {{DELAY}} : ({S}) -> {S}
nir.yield %n : {S}
}}
"""

BEFORE_WEIGHT = FLAT.replace('"w"(%n)', '"w"(%d)').replace('"d"(%w)', '"d"(%n)').replace("%x, %d", "%x, %w")

NESTED = f"""
nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]}} {{
^bb0(%x: {S}):
%s = nir.sum %x, %b : ({S}, {S}) -> {S}
%n = nir.lif "n"(%s) {{{NEURON}}} : ({S}) -> {S}
%b = nir.instance "b" of @back (%n) : ({S}) -> {S}
nir.yield %n : {S}
}}
nir.graph @back attributes {{inputs = ["in"], outputs = ["out"]}} {{
^bb0(%in: {S}):
%w = nir.linear "w"(%in) {{{fields(weight=WEIGHT)}}} : ({S}) -> {S}
%d = nir.delay "d"(%w) {{DELAY}} : ({S}) -> {S}
nir.yield %d : {S}
}}
"""


def by_hand(x: Array, steps: list[int], dt: float, *, before_weight: bool) -> Array:
    """Forward Euler, spikes that come back through weights `steps` steps later, element by element."""
    v = np.zeros(2)
    spikes = np.zeros((len(x), 2))
    for t in range(len(x)):
        back = np.zeros(2)
        for element in range(2):
            past = t - steps[element]
            if before_weight:
                back += WEIGHT[:, element] * (spikes[past, element] if past >= 0 else 0)
            elif past >= 0:
                back[element] = WEIGHT[element] @ spikes[past]
        v = v + dt / TAU * (LEAK - v + R * (x[t] + back))
        fired = v > THRESHOLD
        spikes[t] = fired
        v = np.where(fired, RESET, v)
    return spikes


@pytest.mark.parametrize("form", ["flat", "nested", "before the weight"])
@pytest.mark.parametrize(
    ("delay", "steps"),
    [
        ([0.1, 0.1], [1, 1]),
        ([0.3, 0.3], [3, 3]),
        ([0.1, 0.5], [1, 5]),
        ([0.24, 0.26], [2, 3]),
        ([7.0, 7.0], [70, 70]),
        ([0.7, 900.0], [7, 9000]),
    ],
)
def test_a_delay_within_a_loop(tmp_path: Path, form: str, delay: list[float], steps: list[int]) -> None:
    """The delay is the cut: nothing else of the loop is delayed."""
    text = {"flat": FLAT, "nested": NESTED, "before the weight": BEFORE_WEIGHT}[form]
    path = tmp_path / "model.mlir"
    path.write_text(text.replace("DELAY", fields(delay=delay)))
    program = nirc.compile(path, dt=0.1, scheme="nir-euler,v_init=0", reset="v_reset", precision="f64")
    x = np.random.default_rng(3).uniform(-0.2, 1.4, (120, 2))
    expected = by_hand(x, steps, 0.1, before_weight=form == "before the weight")
    assert 10 < expected.sum() < 200
    assert not np.array_equal(expected, by_hand(x, [10_000, 10_000], 0.1, before_weight=False)) or max(steps) > 1000
    assert program.run(x).tolist() == expected.tolist()


def test_a_delay_within_a_loop_remembers_across_runs(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    path.write_text(NESTED.replace("DELAY", fields(delay=[0.3, 0.5])))
    program = nirc.compile(path, dt=0.1, scheme="nir-euler,v_init=0", reset="v_reset", precision="f64")
    x = np.random.default_rng(3).uniform(-0.2, 1.4, (40, 2))
    expected = by_hand(x, [3, 5], 0.1, before_weight=False)
    parts = [program.run(part, keep_state=index > 0) for index, part in enumerate(np.split(x, [1, 4, 17]))]
    assert np.concatenate(parts).tolist() == expected.tolist()
