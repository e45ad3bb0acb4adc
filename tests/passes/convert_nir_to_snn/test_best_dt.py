"""`--dt best`: the step near the file's own whose decays are powers of two, under which events keep their effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects.dense import Array

nir = pytest.importorskip("nir")


def network(tau_mem: float, tau_syn: float, made_for: float, weight: float = 0.3) -> Any:
    """input -> weight -> CubaLIF, with the gains that snnTorch writes for the step `made_for`."""
    one = np.ones(1)
    neuron = nir.CubaLIF(
        tau_mem=tau_mem * one,
        tau_syn=tau_syn * one,
        r=tau_mem / made_for * one,
        w_in=tau_syn / made_for * one,
        v_leak=0 * one,
        v_threshold=1e3 * one,
    )
    return nir.NIRGraph.from_list(nir.Linear(weight=weight * np.ones((1, 1))), neuron)


def impulse_response(program: Any, steps: int) -> tuple[Array, Array]:
    raster = np.zeros((steps, 1))
    raster[0] = 1
    names = [f"{key}" for key in ("i", "v")]
    node = next(op.node.data for op in program.module.walk() if op.name == "snn.fire")
    results = program.run(raster, tuple(f"{node}.{name}" for name in names))
    return results[f"{node}.i"][:, 0], results[f"{node}.v"][:, 0]


@pytest.mark.parametrize(
    ("tau_mem", "tau_syn", "made_for", "best"),
    [
        (20e-3, 5e-3, 1e-3, 1.25e-3),  # 16 and 4 steps
        (16e-3, 4e-3, 1e-3, 1e-3),
        (24e-3, 6e-3, 1e-3, 0.75e-3),  # 32 and 8 steps; 1.5e-3 is as far in octaves but beyond half of one
        (10e-3, 10e-3, 1e-3, 1.25e-3),
    ],
)
def test_the_step(tau_mem: float, tau_syn: float, made_for: float, best: float) -> None:
    program = nirc.compile(network(tau_mem, tau_syn, made_for), dt="best")
    assert program.dt == pytest.approx(best)
    steps = np.log2(np.array([tau_mem, tau_syn]) / best)
    assert np.allclose(steps, np.round(steps))


def test_an_event_keeps_its_effect() -> None:
    """The first current is weight w_in dt0 / tau_syn = weight; the areas under i and v are those of the file's step."""
    made_for, best = 1e-3, 1.25e-3
    model = network(20e-3, 5e-3, made_for)
    current, v = impulse_response(nirc.compile(model, dt="best", precision="f64"), 200)
    before, v_before = impulse_response(nirc.compile(model, dt=made_for, precision="f64"), 250)
    assert current[0] == pytest.approx(0.3)
    decay = 1 - best / 5e-3
    assert np.allclose(current, 0.3 * decay ** np.arange(200))
    assert current.sum() * best == pytest.approx(before.sum() * made_for)
    assert v.sum() * best == pytest.approx(v_before.sum() * made_for, rel=1e-4)


def test_a_constant_current_keeps_its_strength() -> None:
    """A bias is no event: its steady current does not depend on the step."""
    one = np.ones(1)
    neuron = nir.CubaLIF(
        tau_mem=20e-3 * one, tau_syn=5e-3 * one, r=20 * one, w_in=5 * one, v_leak=0 * one, v_threshold=1e6 * one
    )
    model = nir.NIRGraph.from_list(nir.Affine(weight=np.zeros((1, 1)), bias=0.2 * one), neuron)
    current, _ = impulse_response(nirc.compile(model, dt="best", precision="f64"), 400)
    assert current[-1] == pytest.approx(5 * 0.2)


def test_what_has_no_best_step() -> None:
    one = np.ones(1)
    counter = nir.NIRGraph.from_list(nir.IF(r=2 * one, v_threshold=one))
    with pytest.raises(DiagnosticException, match="whose neurons all leak"):
        nirc.compile(counter, dt="best", scheme="nir-euler,if_gain=r*dt")
    with pytest.raises(DiagnosticException, match="input=impulse"):
        nirc.compile(network(20e-3, 5e-3, 1e-3), dt="best", scheme="nir-euler,input=impulse")


def test_it_is_told() -> None:
    told = "\n".join(nirc.compile(network(20e-3, 5e-3, 1e-3), dt="best").assumptions)
    assert "0.00125 s, the best" in told
    assert "give input in steps of 0.00125 s" in told
    assert "made for 0.001 s" in told
