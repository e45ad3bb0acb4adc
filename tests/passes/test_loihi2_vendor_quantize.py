"""The vendor's integers against what the NIR paper recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import affine, chain, nir

EXAMPLES = Path(__file__).parents[2] / "examples"


def recorded(shared: Path, name: str) -> Any:
    """Input, voltage and spikes."""
    return np.loadtxt(shared / "cases" / "paper_lif" / f"{name}.csv", delimiter=",").T


def test_the_papers_neuron(shared: Path) -> None:
    """All voltages and spikes of the simulator; of the chip, but for v, which its probe reads as 128 at spikes."""
    program = nirc.compile(str(shared / "models" / "lif_norse.nir"), "loihi2", dt=1e-4, mapping="vendor")
    x, v, spikes = recorded(shared, "lif_lava_cpu_fixed")
    found = program.run(x[:, None], ("1.v", "1.spikes"))
    assert np.array_equal(found["1.v"].ravel(), v)
    assert np.array_equal(found["1.spikes"].ravel(), spikes)
    assert spikes.sum() == 4
    x, v, spikes = recorded(shared, "lif_lava_loihi_fixed")
    found = program.run(x[:, None], ("1.v", "1.spikes"))
    assert np.array_equal(found["1.spikes"].ravel(), spikes)
    differ = np.flatnonzero(found["1.v"].ravel() != v)
    assert differ.tolist() == [461, 511, 711, 761]
    assert set(v[differ]) == {128}


def test_what_the_vendors_route_does_not_know() -> None:
    """All of it in one list."""
    with pytest.raises(DiagnosticException) as caught:
        nirc.compile(str(EXAMPLES / "gestures.nir"), "loihi2", mapping="vendor")
    lines = str(caught.value).splitlines()
    assert len(lines) > 2
    assert all(line.endswith("use --mapping faithful") for line in lines)
    assert any(line.startswith("node 'hidden': a synaptic current") for line in lines)


def test_graded_inputs_are_not_the_vendors() -> None:
    with pytest.raises(DiagnosticException, match="graded inputs, which the vendor's route does not know"):
        nirc.compile(str(EXAMPLES / "gestures.nir"), "loihi2", mapping="vendor", inputs="graded")


def test_an_unknown_mapping() -> None:
    with pytest.raises(DiagnosticException, match="mapping 'mine' is not one of faithful, vendor"):
        nirc.compile(str(EXAMPLES / "gestures.nir"), "loihi2", mapping="mine")


def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None]) -> None:
    """The paper's numbers: dv = int(0.04 * 4095), vth = int(0.1 * 131071) >> 9, w = int(0.04 * 256)."""
    fields = {"tau": 2.5e-3, "r": 1, "v_leak": 0, "v_threshold": 0.1, "v_reset": 0}
    lif = nir.LIF(**{name: np.full(1, value, np.float32) for name, value in fields.items()})
    model = chain((1,), affine(np.ones((1, 1))), lif)
    snn = nirc.compile(model, "loihi2", dt=1e-4, mapping="vendor", until="snn").text()
    text = opt(snn, "convert-snn-to-loihi2{mapping=vendor},loihi2-vendor-quantize")
    for number in ("dv = dense<163>", "vth = dense<25>", "weights = dense<10>"):
        assert number in text
    golden(text)
