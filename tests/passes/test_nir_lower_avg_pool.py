"""AvgPool2d as SumPool2d and Scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nirc.dialects.dense import doubles

POOL = """
nir.graph @main attributes {inputs = ["x"], outputs = ["pool_sum"]} {
^bb0(%x : !nir.signal<2x5x4>):
  %y = nir.avg_pool2d "pool"(%x) {
    kernel_size = array<i64: 3, 2>, stride = array<i64: 2, 1>, padding = array<i64: 1, 0>, metadata = {of = "me"}
  } : (!nir.signal<2x5x4>) -> !nir.signal<2x3x3>
  nir.yield %y : !nir.signal<2x3x3>
}
"""


def test_golden(rewrite: Callable[..., Any], golden: Callable[[str], None]) -> None:
    """The window holds 3 x 2 places; the name `pool_sum` is taken already."""
    result = rewrite(POOL, "nir-lower-avg-pool")
    assert result.types == {"pool_sum_": "SumPool2d", "pool": "Scale"}
    assert doubles(result.nodes["pool"].scale).ravel().tolist() == [1 / 6] * 18
    result.assert_equal_and_lively()
    golden(result.text)
