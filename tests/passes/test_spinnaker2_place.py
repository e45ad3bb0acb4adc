"""Bytes of cores by the specification's formula, the neurons on each, first reactions; what does not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

import nirc
from nirc.backends.chip import only
from nirc.backends.spinnaker2.read_config import read_config
from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import dense
from nirc.passes.convert_snn_to_spinnaker2 import ConvertSnnToSpinnaker2Pass
from nirc.passes.spinnaker2_check_limits import Spinnaker2CheckLimitsPass, violations
from nirc.passes.spinnaker2_place import usage
from nirc.passes.spinnaker2_quantize import Spinnaker2QuantizePass

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import affine, chain, nir
from spinnaker2_example import tiny


def compiled(sources: int, neurons: int) -> nirc.Program:
    """All onto all."""
    ones = np.ones(neurons, np.float32)
    lif = nir.LIF(tau=ones * 8e-3, r=ones * 8, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
    return nirc.compile(
        chain((sources,), affine(np.ones((neurons, sources))), lif), "spinnaker2", dt=1e-3, reset="zero"
    )


def test_the_papers_layer() -> None:
    """CNN layer `10`: 512 sources; 32 neurons a core need exactly the memory and so do not fit, 24 do."""
    network = only(s2.NetworkOp, compiled(512, 256).module)
    placed = usage(network)["n1"]
    recorded = 4 * 256 * (1 + 2)
    assert placed.atoms >= 24
    assert placed.atoms < 32
    assert placed.older == 256 + 512 * (24 + 4 * -(-placed.atoms // 2)) + recorded <= 45_056
    assert placed.older is not None
    assert placed.newer == placed.older + 4 * 5 * placed.atoms
    over = 256 + 512 * (24 + 4 * -(-(placed.atoms + 1) // 2)) + recorded
    assert over > 45_056
    assert placed.cores == -(-256 // placed.atoms)


def test_above_the_older_layout_is_told() -> None:
    """1700 sources onto one neuron a core: 47,600 bytes and more."""
    one = compiled(1700, 2)
    placed = usage(only(s2.NetworkOp, one.module))["n1"]
    assert placed.atoms == 2
    assert placed.older == 256 + 1700 * 28 + 4 * 256 * 3
    assert any("WHICH IS TOO MUCH FOR IT" in text for text in one.assumptions)


def test_above_the_newer_layout_is_refused() -> None:
    with pytest.raises(DiagnosticException, match=r"node 'n1': 73,\d+ bytes on its fullest core with 1 neurons on it"):
        compiled(2500, 2)


def test_few_sources_fill_a_core() -> None:
    """250 neurons, no more; cores in the summary of `nirc check`."""
    placed = usage(only(s2.NetworkOp, compiled(3, 600).module))["n1"]
    assert (placed.atoms, placed.cores) == (250, 3)


def test_too_many_cores_for_a_chip_are_told() -> None:
    one = compiled(1, 250 * 148)
    assert any("149 cores, a chip has 148: a board of several chips" in text for text in one.assumptions)


def beyond(**changes: Any) -> list[str]:
    """The violations of the example with a weight or delay changed in place."""
    network = only(s2.NetworkOp, read_config(json.dumps(tiny())))
    projection = network.projections()[0]
    for name, values in changes.items():
        projection.properties[name] = dense(np.array(values, np.int32))
    return list(violations(network))


def test_ranges() -> None:
    """127 and delay 0 fit a population without delays."""
    assert beyond(weights=[127, -127, 1], delays=[0, 0, 0]) == []
    assert beyond(weights=[1, -128, 128]) == [
        "projection 'in->lif': weights -128 at 1 and at 1 more, must be in [-127, 127]"
    ]
    assert beyond(delays=[0, 0, 1]) == ["projection 'in->lif': delays 1 at 2, must be in [0, 0]"]


def test_real_numbers_are_not_checked() -> None:
    one = nirc.compile(chain((1,), affine([[1.0]]), nir.IF(*(np.ones(1, np.float32) * v for v in (1, 1, 0)))), dt=1e-3)
    ConvertSnnToSpinnaker2Pass().apply(Context(), one.module)
    with pytest.raises(PassFailedException, match="run spinnaker2-quantize first"):
        Spinnaker2CheckLimitsPass().apply(Context(), one.module)
    with pytest.raises(PassFailedException, match="weight rounding 'up' is not one of nearest, truncate"):
        Spinnaker2QuantizePass(rounding="up").apply(Context(), one.module)
    with pytest.raises(PassFailedException, match="quantize 'core' is not one of neuron, layer"):
        Spinnaker2QuantizePass(per="core").apply(Context(), one.module)


def test_scales_and_rounding() -> None:
    """Per neuron every row has a 127; per layer one does. Truncation goes toward 0, half goes to the even number."""
    ones = np.ones(2, np.float32)
    model = chain((2,), affine([[1.0, 0.5], [-0.5, 63.4999 / 127]]), nir.IF(ones, ones, 0 * ones))

    def rows(**options: Any) -> list[int]:
        config = json.loads(nirc.compile(model, "spinnaker2", dt=1e-3, reset="zero", **options).emit())
        return [row[2] for row in config["projections"][0]["connections"]]

    assert rows(quantize="layer") == [127, -64, 64, 63]
    assert rows(quantize="layer", weight_rounding="truncate") == [127, -63, 63, 63]
    assert rows() == [127, -127, 64, 127]
    assert rows(mapping="vendor") == [127, -63, 63, 63]
