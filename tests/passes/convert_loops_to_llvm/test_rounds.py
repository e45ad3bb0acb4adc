"""Loops of independent rounds as vectors: each op against numpy, on numbers at which a wrong lowering shows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parents[1]))
from loop_functions import call, lowered, parsed

LANES, ROWS = 23, 16
"""Rounds that need vectors of several widths, and a plain value: 16, 4, 2 and 1."""
SIZE = LANES * ROWS
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.1, 2.5, -2.5, 3e38, -3e38, 1e-45, -1e-45, np.inf, -np.inf, np.nan, 16777217, 7.0]
FINITE = [value for value in SPECIAL if np.isfinite(value)]


def floats(dtype: type[np.floating[Any]], chosen: list[float], repeated: bool) -> Array:
    """Each number with each other, where the other array is the same with `repeated` the other way round."""
    values = np.array(chosen, dtype)
    spread = np.repeat(values, len(SPECIAL)) if repeated else np.tile(values, len(SPECIAL))
    return np.resize(spread, SIZE)


def function(body: str, kinds: tuple[str, ...], *, mark: str = " {rounds}", result: str = "") -> str:
    """@main: for each row, for each round, loads from %a, %b ..., and a store of %r into the last."""
    names = "abcdef"[: len(kinds)]
    sizes = [f"memref<{SIZE}x{kind}>" for kind in kinds]
    arguments = ", ".join(f"%{name}: {size}" for name, size in zip(names, sizes, strict=True))
    loads = [f"%{name}0 = memref.load %{name}[%i] : {size}" for name, size in zip(names[:-1], sizes[:-1], strict=True)]
    lines = "\n".join([*loads, body, result or f"memref.store %r, %{names[-1]}[%i] : {sizes[-1]}"])
    return (
        f"func.func @main(%steps: index, {arguments}) {{\n"
        "%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n"
        f"%rows = arith.constant {ROWS} : index\n%lanes = arith.constant {LANES} : index\n"
        "scf.for %n = %zero to %rows step %one {\n%first = arith.muli %n, %lanes : index\n"
        f"scf.for %lane = %zero to %lanes step %one {{\n%i = arith.addi %first, %lane : index\n{lines}\n}}{mark}\n}}\n"
        "func.return\n}"
    )


def apply(body: str, kinds: tuple[str, ...], *inputs: Array) -> Array:
    dtypes = {"f32": np.float32, "f64": np.float64, "i8": np.int8, "i32": np.int32}
    result: Array = np.full(SIZE, 77, dtypes[kinds[-1]])
    module = parsed(function(body, kinds))
    text = str(lowered(module.clone()))
    assert all(f"vector<{width}x" in text for width in (16, 4, 2))
    call(module, *inputs, result)
    return result


precisions = pytest.mark.parametrize(("kind", "dtype"), [("f32", np.float32), ("f64", np.float64)])


@precisions
@pytest.mark.parametrize(
    ("op", "numpy"), [("addf", np.add), ("subf", np.subtract), ("mulf", np.multiply), ("divf", np.divide)]
)
def test_arithmetic(kind: str, dtype: type[np.floating[Any]], op: str, numpy: Callable[[Any, Any], Any]) -> None:
    a, b = floats(dtype, SPECIAL, True), floats(dtype, SPECIAL, False)
    with np.errstate(all="ignore"):
        expected = numpy(a, b)
    found = apply(f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b)
    np.testing.assert_array_equal(found, expected)
    number = ~np.isnan(expected)
    assert (np.signbit(found) == np.signbit(expected))[number].all()


@precisions
@pytest.mark.parametrize(("name", "numpy"), [("ogt", np.greater), ("oge", np.greater_equal), ("une", np.not_equal)])
def test_comparison_with_what_is_finite(
    kind: str, dtype: type[np.floating[Any]], name: str, numpy: Callable[[Any, Any], Any]
) -> None:
    """Thresholds are finite; what is compared with them need not be."""
    a, b = floats(dtype, SPECIAL, True), floats(dtype, FINITE, False)
    body = f"%q = arith.cmpf {name}, %a0, %b0 : {kind}\n%r = arith.extui %q : i1 to i8"
    assert apply(body, (kind, kind, "i8"), a, b).astype(bool).tolist() == numpy(a, b).tolist()


@precisions
def test_select_and_spikes_in_bytes(kind: str, dtype: type[np.floating[Any]]) -> None:
    a, b = floats(dtype, SPECIAL, True), floats(dtype, SPECIAL, False)
    spikes = (np.arange(SIZE) % 3 == 0).astype(np.int8)
    found = apply(
        f"%q = arith.trunci %c0 : i8 to i1\n%r = arith.select %q, %a0, %b0 : {kind}",
        (kind, kind, "i8", kind),
        a,
        b,
        spikes,
    )
    np.testing.assert_array_equal(found, np.where(spikes, a, b))


def test_counts_and_whole_numbers() -> None:
    a = floats(np.float32, [0.0, -0.5, 2.5, 7.0, -3.25, 1e6], False)
    body = "%f = math.floor %a0 : f32\n%k = arith.fptosi %f : f32 to i32\n%r = arith.sitofp %k : i32 to f32"
    assert apply(body, ("f32", "f32"), a).tolist() == np.floor(a).tolist()


def test_what_is_the_same_for_all_stays_one() -> None:
    """A load at the row's own place is done once and spread."""
    a = np.arange(SIZE, dtype=np.float32)
    body = f"%s = memref.load %a[%n] : memref<{SIZE}xf32>\n%r = arith.mulf %a0, %s : f32"
    assert apply(body, ("f32", "f32"), a).tolist() == (a * np.repeat(a[:ROWS], LANES)).tolist()


def test_a_loop_inside() -> None:
    """Sums over a loop that all rounds run through together, rounded in its order."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=SIZE).astype(np.float32) for _ in range(2))
    body = (
        "%null = arith.constant 0.0 : f32\n"
        "%r = scf.for %k = %zero to %rows step %one iter_args(%sum = %null) -> (f32) {\n"
        f"%w = memref.load %b[%k] : memref<{SIZE}xf32>\n%p = arith.mulf %a0, %w : f32\n"
        "%next = arith.addf %sum, %p : f32\nscf.yield %next : f32\n}"
    )
    expected = np.zeros(SIZE, np.float32)
    for weight in b[:ROWS]:
        expected += a * weight
    assert apply(body, ("f32", "f32", "f32"), a, b).tolist() == expected.tolist()


def test_a_loop_inside_that_ends_by_a_condition() -> None:
    """The same for a loop whose end the loop itself decides."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=SIZE).astype(np.float32) for _ in range(2))
    body = (
        "%null = arith.constant 0.0 : f32\n"
        "%k, %r = scf.while (%k0 = %n, %sum0 = %null) : (index, f32) -> (index, f32) {\n"
        "%more = arith.cmpi ult, %k0, %rows : index\nscf.condition(%more) %k0, %sum0 : index, f32\n} do {\n"
        "^bb0(%k1: index, %sum1: f32):\n"
        f"%w = memref.load %b[%k1] : memref<{SIZE}xf32>\n%p = arith.mulf %a0, %w : f32\n"
        "%sum2 = arith.addf %sum1, %p : f32\n%k2 = arith.addi %k1, %one : index\nscf.yield %k2, %sum2 : index, f32\n}"
    )
    expected = np.zeros((ROWS, LANES), np.float32)
    for row in range(ROWS):
        for weight in b[row:ROWS]:
            expected[row] += a.reshape(ROWS, LANES)[row] * weight
    assert apply(body, ("f32", "f32", "f32"), a, b).tolist() == expected.ravel().tolist()


@pytest.mark.parametrize("rounds", [1, 2, 7, 8, 15, 16, 17, 40, 47, 63, 64])
def test_a_bit_of_each_round(rounds: int) -> None:
    """Two words of the same loop; the bits of rounds in their order, the highest too."""
    text = (
        f"func.func @main(%steps: index, %a: memref<{rounds}xf32>, %b: memref<2xi64>) {{\n"
        "%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n%none = arith.constant 0 : i64\n"
        f"%null = arith.constant 0.0 : f32\n%half = arith.constant 0.5 : f32\n%n = arith.constant {rounds} : index\n"
        "%p, %h = scf.for %i = %zero to %n step %one iter_args(%p0 = %none, %h0 = %none) -> (i64, i64) {\n"
        f"%k = arith.index_cast %i : index to i64\n%x = memref.load %a[%i] : memref<{rounds}xf32>\n"
        "%q = arith.cmpf ogt, %x, %null : f32\n%r = arith.cmpf oge, %x, %half : f32\n"
        "%qe = arith.extui %q : i1 to i64\n%re = arith.extui %r : i1 to i64\n"
        "%qs = arith.shli %qe, %k : i64\n%rs = arith.shli %re, %k : i64\n"
        "%p1 = arith.ori %p0, %qs : i64\n%h1 = arith.ori %h0, %rs : i64\nscf.yield %p1, %h1 : i64, i64\n} {rounds}\n"
        "memref.store %p, %b[%zero] : memref<2xi64>\nmemref.store %h, %b[%one] : memref<2xi64>\nfunc.return\n}"
    )
    assert rounds == 1 or "vector" in str(lowered(parsed(text)))
    rng = np.random.default_rng(rounds)
    for a in (rng.normal(size=rounds).astype(np.float32), np.ones(rounds, np.float32)):
        result = np.full(2, 7, np.int64)
        call(parsed(text), a, result)
        expected = [sum(1 << n for n, x in enumerate(hits) if x) for hits in (a > 0, a >= 0.5)]
        assert result.view(np.uint64).tolist() == expected


STORE = f"memref.store %a0, %b[%zero] : memref<{SIZE}xf32>"
APART = (
    f"%j = arith.muli %lane, %lanes : index\n%r = memref.load %a[%j] : memref<{SIZE}xf32>",
    f"%j = arith.addi %lane, %lane : index\n%r = memref.load %a[%j] : memref<{SIZE}xf32>",
)
CARRIED = (
    "%s = scf.for %k = %zero to %i step %one iter_args(%sum = %a0) -> (f32) {\nscf.yield %sum : f32\n}\n"
    "%r = arith.addf %s, %a0 : f32"
)


@pytest.mark.parametrize(
    ("body", "result", "op"),
    [
        ("", STORE, "memref.store"),
        (APART[0], "", "arith.muli"),
        (APART[1], "", "arith.addi"),
        (CARRIED, "", "scf.for"),
    ],
)
def test_what_rounds_cannot_do_at_once(body: str, result: str, op: str) -> None:
    """All write to one place; places that are apart; loops of unequal length."""
    with pytest.raises(PassFailedException, match=rf"^{op} cannot be done in {LANES} rounds at once"):
        lowered(parsed(function(body, ("f32", "f32"), result=result)))


def test_an_unmarked_loop_stays_a_loop() -> None:
    text = function("%r = arith.addf %a0, %a0 : f32", ("f32", "f32"), mark="")
    assert "vector" not in str(lowered(parsed(text)))
