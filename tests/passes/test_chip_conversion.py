"""What options make of the wiring of a step, and no chip has, is refused with the node's name by every chip."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.driver import Program

Compiled: TypeAlias = Callable[[str], Program]

WEIGHT = ", ".join(["[0.5, 0.25]"] * 2)
SIGNAL = "!nir.signal<2>"
LEAKY = "tau = dense<4.0> : tensor<f32>, r = dense<4.0> : tensor<f32>, v_leak = dense<0.0> : tensor<f32>"
NEURONS = {
    "xylo": f'lif "n"(%w) {{{LEAKY}, v_threshold = dense<1.0> : tensor<f32>}}',
    "loihi2": f'lif "n"(%w) {{{LEAKY}, v_threshold = dense<1.0> : tensor<f32>}}',
    "speck": 'if "n"(%w) {r = dense<1.0> : tensor<f32>, v_threshold = dense<1.0> : tensor<f32>}',
}
"""A neuron that the chip takes."""

ORDER = "its spikes are not those of a membrane that was updated in this step"
REFUSED = {
    "multi=true": "node 'n': its spikes are counted (multi=true)",
    "dense_delay=1": "node 'w': what arrives is a step late (dense_delay, lif_delay)",
    "spike_from=old,reset_at=pre_leak": f"node 'n': {ORDER}",
    "spike_from=old,reset_at=post_leak": f"node 'n': {ORDER}",
    "spike_from=old,reset_at=double": f"node 'n': {ORDER}",
    "reset=none": "node 'n': its spikes do not reset the membrane at once",
    "reset_at=next": "node 'n': several layers of this name",
    "floor=0": "node 'n': its reset does not act at once on the membrane that fired",
    "floor=-thr": "node 'n': its reset does not act at once on the membrane that fired",
    "floor_if=0": "node 'n': its reset does not act at once on the membrane that fired",
    "lif_delay=1": "node 'n': what arrives is a step late (dense_delay, lif_delay)",
}


def model(chip: str) -> str:
    """Weights and a neuron."""
    return (
        f'nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]}} {{\n^bb0(%x: {SIGNAL}):\n'
        f'%w = nir.linear "w"(%x) {{weight = dense<[{WEIGHT}]> : tensor<2x2xf32>}} : ({SIGNAL}) -> {SIGNAL}\n'
        f"%n = nir.{NEURONS[chip]} : ({SIGNAL}) -> {SIGNAL}\nnir.yield %n : {SIGNAL}\n}}\n"
    )


@pytest.fixture(params=NEURONS)
def chip(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def compiled(chip: str, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Compile the model under an option."""
    path = tmp_path_factory.mktemp("model") / "model.mlir"
    path.write_text(model(chip))
    return lambda scheme: nirc.compile(path, chip, dt=1.0, scheme=scheme)


@pytest.mark.parametrize("option", REFUSED)
def test_a_wiring_that_no_chip_has_is_refused(chip: str, compiled: Compiled, option: str) -> None:
    concerns = {"floor_if=0": chip == "speck", "lif_delay=1": chip != "speck"}
    if not concerns.get(option, True):
        assert compiled(f"nir-euler,{option}").module is not None
        return
    with pytest.raises(DiagnosticException) as raised:
        compiled(f"nir-euler,{option}")
    assert any(line.startswith(REFUSED[option]) for line in str(raised.value).splitlines()), str(raised.value)


def test_the_model_fits(compiled: Compiled) -> None:
    assert compiled("nir-euler").module is not None


@pytest.mark.parametrize("scheme", ["sinabs", "rockpool", "lava", "s2-nir", "nengo"])
def test_a_simulators_scheme_is_refused(compiled: Compiled, scheme: str) -> None:
    with pytest.raises(DiagnosticException, match=rf"scheme '{scheme}' describes a simulator; a chip is lowered from"):
        compiled(scheme)
