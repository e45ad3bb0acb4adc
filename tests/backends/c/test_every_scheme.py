"""Every scheme in C on a loop through neurons of all types: equal to the evaluator, bit for bit; and in fixed point."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import nirc
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

sys.path += [str(Path(__file__).parents[1] / "cpu"), str(Path(__file__).parents[2])]
from compiled_c import assert_equal, needs_gcc, of_c
from same_results import graded
from test_schemes import DT, PLAIN, WIDTH

X = (3 * graded(np.random.default_rng(0), 100, WIDTH)).astype(np.float32)


@needs_gcc
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "model.mlir"
    path.write_text(PLAIN)
    expected = nirc.compile(path, dt=DT, scheme=scheme).run({"x": X})
    assert expected["if_out"].any()
    library = of_c(tmp_path, nirc.compile(path, "c", dt=DT, scheme=scheme), "-O1", "-ffp-contract=off")
    assert_equal(library.run({"x": X}, expected), expected)


@needs_gcc
@pytest.mark.parametrize("scheme", ["sinabs", "spyx", "nengo", "s2-nir"])
def test_a_scheme_in_fixed_point(tmp_path: Path, scheme: str) -> None:
    """Counts, stored voltages, floors and late connections: spikes as the evaluator's in all but a few steps."""
    path = tmp_path / "model.mlir"
    path.write_text(PLAIN)
    expected = nirc.compile(path, dt=DT, scheme=scheme).run({"x": X})
    program = nirc.compile(path, "c", dt=DT, scheme=scheme, precision="s15.16")
    fixed = np.round(X * 2.0**16).astype(np.int32)
    found = of_c(tmp_path, program, "-O1").run({"x": fixed}, expected)
    assert expected["if_out"].any()
    assert np.count_nonzero(found["if_out"] != expected["if_out"]) < 0.02 * expected["if_out"].size
