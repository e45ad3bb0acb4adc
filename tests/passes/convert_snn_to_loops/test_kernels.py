"""The kernels by themselves: lists of events, tiles of a matrix, weights of a window, against plain numpy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects import arith, func
from xdsl.dialects.builtin import IndexType, ModuleOp, f32, f64, i1, i8, i32, i64
from xdsl.ir import Block, Region

from nirc.dialects.dense import Array, ElementType, dtype_of
from nirc.passes.convert_snn_to_loops.code import TILE, Buffer, Code, memory, padded
from nirc.passes.convert_snn_to_loops.kernels import Table, collect, compact, packed

sys.path.append(str(Path(__file__).parents[1]))
from loop_functions import call


def listing(element: ElementType, size: int, planes: int = 1, before: int = 0) -> ModuleOp:
    """A function that lists the events of a row that begins `before` elements after its buffer's beginning."""
    kinds = [IndexType(), memory(element, before + size), memory(i32, size), memory(i64, 1)]
    entry = Block(arg_types=kinds)
    code = Code(entry)
    source, places, count = (
        Buffer(ref, kind, length)
        for ref, kind, length in zip(entry.args[1:], (element, i32, i64), (size, size, 1), strict=True)
    )
    source.planes = planes
    source.start = code.index(before) if before else None
    found = compact(code, source, places)
    code.store(code.op(arith.IndexCastOp(found.count, i64)), count, 0)
    code.do(func.ReturnOp())
    module = ModuleOp([func.FuncOp("main", (kinds, []), Region(entry))])
    module.verify()
    return module


def check(element: ElementType, values: Array, planes: int = 1, before: int = 0) -> int:
    """The places are those of numpy, channels last, in ascending order; returns how many there are."""
    size = values.size
    held = np.concatenate([np.ones(before, values.dtype), values])
    assert held.dtype.itemsize == max(1, dtype_of(element).itemsize)
    places, count = np.full(size, -1, np.int32), np.full(1, -1, np.int64)
    call(listing(element, size, planes, before), held, places, count)
    expected = np.flatnonzero(values.reshape(planes, -1).T.ravel())
    assert places[: count[0]].tolist() == expected.tolist()
    return int(count[0])


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 16, 17, 23, 64, 100, 784])
def test_events_of_bytes(size: int) -> None:
    rng = np.random.default_rng(size)
    for density in (0.0, 0.02, 0.3, 1.0):
        spikes = (rng.random(size) < density).astype(np.uint8)
        assert check(i1, spikes) == spikes.sum()
        check(i8, spikes * rng.integers(1, 256, size).astype(np.uint8))


@pytest.mark.parametrize("at", range(19))
def test_a_single_event_anywhere(at: int) -> None:
    """In each byte of a word, and in the rest behind the last whole one; the highest bit counts, too."""
    values = np.zeros(19, np.uint8)
    values[at] = 128
    assert check(i8, values) == 1


@pytest.mark.parametrize("before", [1, 3, 8, 13])
@pytest.mark.parametrize("size", [5, 8, 21])
def test_a_row_that_begins_at_any_byte(size: int, before: int) -> None:
    check(i1, (np.random.default_rng(before).random(size) < 0.4).astype(np.uint8), before=before)


@pytest.mark.parametrize("planes", [2, 3, 5])
@pytest.mark.parametrize("pixels", [1, 4, 8, 9, 16, 25, 64])
def test_images_whose_channels_come_first(planes: int, pixels: int) -> None:
    """Listed pixel by pixel: memory order of images with channels last."""
    rng = np.random.default_rng(pixels)
    for density in (0.03, 0.5):
        check(i8, (rng.random(planes * pixels) < density).astype(np.uint8), planes)
        check(i8, (rng.random(planes * pixels) < density).astype(np.uint8), planes, before=5)
        check(
            f32, (rng.normal(size=planes * pixels) * (rng.random(planes * pixels) < density)).astype(np.float32), planes
        )


@pytest.mark.parametrize(("element", "dtype"), [(f32, np.float32), (f64, np.float64), (i32, np.int32)])
def test_events_of_numbers(element: ElementType, dtype: type[np.generic]) -> None:
    rng = np.random.default_rng(3)
    for size in (1, 8, 13, 50):
        check(element, (rng.normal(size=size) * 5 * (rng.random(size) < 0.4)).astype(dtype))


@pytest.mark.parametrize(("element", "least"), [(f32, 1e-45), (f64, 5e-324)])
def test_what_is_not_zero(element: ElementType, least: float) -> None:
    """nan and the least number are events, zeros of either sign are none."""
    values = np.array([0.0, -0.0, np.nan, least, np.inf, 1.0], dtype_of(element))
    assert check(element, values) == 4


@pytest.mark.parametrize("outputs", [1, TILE - 1, TILE, TILE + 1, 2 * TILE, 2 * TILE + 5])
@pytest.mark.parametrize("inputs", [1, 3, 8])
@pytest.mark.parametrize("lines", [False, True])
def test_a_matrix_is_packed_tile_by_tile(outputs: int, inputs: int, lines: bool) -> None:
    weight = np.arange(outputs * inputs, dtype=np.float32).reshape(outputs, inputs)
    flat = packed(weight, lines=lines)
    rest = outputs % TILE
    assert flat.size == inputs * (outputs - rest + (padded(rest) if lines else rest))
    for n in range(outputs):
        tile, place = divmod(n, TILE)
        width = min(TILE, outputs - tile * TILE)
        for m in range(inputs):
            assert flat[tile * TILE * inputs + m * (padded(width) if lines else width) + place] == weight[n, m]


@pytest.mark.parametrize("size", [1, 7, 12, 40, 63, 64, 65, 128, 200])
def test_spikes_as_bits(size: int) -> None:
    """Element 64 w + b is bit b of word w, from a row that begins anywhere; nothing is read behind the last."""
    words = -(-size // TILE)
    kinds = [IndexType(), memory(i1, size + 3), memory(i64, words)]
    entry = Block(arg_types=kinds)
    code = Code(entry, vectors=True)
    collect(code, Buffer(entry.args[1], i1, size, start=code.index(3)), Buffer(entry.args[2], i64, words))
    code.do(func.ReturnOp())
    module = ModuleOp([func.FuncOp("main", (kinds, []), Region(entry))])
    rng = np.random.default_rng(size)
    for density in (0.0, 0.1, 0.6, 1.0):
        spikes = (rng.random(size + 3) < density).astype(np.uint8)
        found = np.full(words, 77, np.int64)
        call(module, spikes, found)
        expected = [sum(1 << bit for bit, x in enumerate(spikes[3:][n : n + TILE]) if x) for n in range(0, size, TILE)]
        assert found.view(np.uint64).tolist() == expected


def test_a_table_of_sums() -> None:
    """Of each set of inputs, added in ascending order and rounded each time."""
    weight = (np.random.default_rng(1).normal(size=(5, 9)) * 10.0 ** np.arange(-4, 5)).astype(np.float32)
    table = Table.of(weight)
    assert table.shape == (5, 512)
    for bits in range(512):
        total = np.zeros(5, np.float32)
        for m in range(9):
            if bits >> m & 1:
                total = total + weight[:, m]
        assert table[:, bits].tobytes() == total.tobytes()


@pytest.mark.parametrize(
    ("outputs", "inputs", "fits"), [(40, 12, True), (64, 12, True), (65, 12, False), (7, 16, False)]
)
def test_what_a_table_holds(outputs: int, inputs: int, fits: bool) -> None:
    """As much as stays near a CPU: 1 MiB."""
    assert Table.fits(np.zeros((outputs, inputs), np.float32)) == fits
