"""The order of the schemes whose order is known, measured against the solver of `nir` by the benchmark."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "convergence.py"


@pytest.mark.parametrize(
    ("kind", "scheme", "order"),
    [
        ("LI", "nir-euler", 1),
        ("LI", "nir-exp-euler", float("inf")),
        ("LI", "nir-exact-zoh", float("inf")),
        ("CubaLI", "nir-euler", 1),
        ("CubaLI", "nir-exp-euler", 1),
        ("CubaLI", "nir-exact-zoh", float("inf")),
        ("CubaLI", "sc-neurocore", 1),
    ],
)
def test_order(kind: str, scheme: str, order: float) -> None:
    spec = importlib.util.spec_from_file_location("convergence", FILE)
    assert spec is not None
    assert spec.loader is not None
    benchmark: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    assert benchmark.order(benchmark.errors(kind, scheme)) == pytest.approx(order, abs=0.05)
