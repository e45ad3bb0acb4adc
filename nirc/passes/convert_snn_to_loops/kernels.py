"""The ops that are no elementwise arithmetic: products with matrices, windows over images, delays, changes of layout.

They are driven by events: the elements of their input that are not 0, listed in memory order. Each adds its weights to
the sums in the order that the dialect fixes (ascending input index; taps by row, column, channel, which is the order of
an image's events in memory), so sums are equal to the evaluator's bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
from xdsl.dialects import arith, memref
from xdsl.dialects.builtin import IndexType, i1, i8, i32, i64
from xdsl.ir import SSAValue

from nirc.dialects import snn
from nirc.dialects.dense import Array, ElementType, array
from nirc.dialects.nir import integers
from nirc.passes.convert_snn_to_loops.code import Buffer, Code, Index, memory

TILE = 64
"""Sums that stand in registers while the events go by, of one sample."""
SUMS = 10
"""The same, of many samples: so many of each."""


@dataclass
class Events:
    """The elements of a buffer that are not 0: how many, and where; without places all elements, zeros too."""

    source: Buffer
    places: Buffer | None
    count: SSAValue

    def place(self, code: Code, number: SSAValue) -> SSAValue:
        """Where the event of that number stands."""
        if self.places is None:
            return number
        return code.op(arith.IndexCastOp(code.load(self.places, number), IndexType()))


def compact(code: Code, source: Buffer, places: Buffer) -> Events:
    """List the elements that are not 0 in any sample, channels last.

    Of one sample, eight pixels of bytes without one are passed over at once.
    """
    raw = replace(source, element=i8) if source.element == i1 else source

    def some(n: SSAValue) -> SSAValue:
        if raw.element == i8 and code.lanes > 1:
            words = [word(code, raw, code.add(code.mul(n, raw.apart), k)) for k in range(0, code.lanes, 8)]
            return code.op(arith.CmpiOp(code.any(words), code.constant(0, i64), "ne"))
        return code.any_sample(lambda: code.differs(code.load(raw, n), 0.0))

    def note(n: SSAValue, held: Sequence[SSAValue]) -> list[SSAValue]:
        hit, (before,) = some(n), held
        code.store(code.op(arith.IndexCastOp(n, i32)), places, before)
        return [code.op(arith.AddiOp(before, code.op(arith.SelectOp(hit, code.index(1), code.index(0)))))]

    count, whole, plane = code.index(0), 0, raw.size // raw.planes
    if raw.element == i8 and code.lanes == 1:
        whole = plane // 8

        def chunk(n: SSAValue, held: Sequence[SSAValue]) -> list[SSAValue]:
            first = code.mul(n, 8)
            words = [word(code, raw, code.add(first, channel * plane)) for channel in range(raw.planes)]
            some = code.op(arith.CmpiOp(code.any(words), code.constant(0, i64), "ne"))
            start = code.mul(first, raw.planes)
            end = code.add(start, 8 * raw.planes)
            return [code.choose(some, lambda: code.fold(end, start, held, note)[0], held[0])]

        (count,) = code.fold(whole, 0, [count], chunk)
    if whole * 8 < plane:
        (count,) = code.fold(raw.size, whole * 8 * raw.planes, [count], note)
    return Events(source, places, count)


def word(code: Code, raw: Buffer, first: Index) -> SSAValue:
    """Eight bytes in one."""
    shift = code.index(first if raw.start is None else code.add(raw.start, first))
    view = code.op(memref.ViewOp(raw.ref, shift, [], memory(i64, 1)))
    return code.op(memref.LoadOp.get(view, [code.index(0)]))


def tile_of(outputs: int, lanes: int) -> int:
    """How many outputs go through the events at a time; of many samples, the most that leave no rest, if not few."""
    if lanes == 1:
        return TILE
    tiles = max(1, -(-outputs // SUMS))
    even = (outputs // n for n in range(tiles, 2 * tiles) if outputs % n == 0)
    return next(even, -(-outputs // tiles))


def packed(weight: Array, lanes: int) -> Array:
    """A matrix [output, input] tile by tile of its outputs, [tile][input][output in the tile]."""
    tile = tile_of(len(weight), lanes)
    return np.concatenate([np.ravel(weight[n : n + tile].T) for n in range(0, len(weight), tile)] or [np.zeros(0)])


def tiles(code: Code, size: int, tile: Callable[[Index, int], None]) -> None:
    """Call `tile` with the first output and the width of each tile."""
    most = tile_of(size, code.lanes)
    whole, rest = divmod(size, most)
    if whole > 1:
        with code.loop(whole) as n:
            tile(code.mul(n, most), most)
    elif whole:
        tile(0, most)
    if rest:
        tile(whole * most, rest)


def linear(code: Code, events: Events, weights: Buffer, output: Buffer) -> None:
    """output[n] = sum of weight[n, m] x[m] over the events, ascending."""

    tiles(code, output.size, lambda first, width: tile(code, events, weights, output, first, width))


def tile(code: Code, events: Events, weights: Buffer, output: Buffer, first: Index, width: int) -> None:
    """A part of the sums."""
    if code.lanes > 1:
        with code.samples():
            for n, total in enumerate(sums(code, events, weights, first, width, output.element)):
                code.store(total, output, code.add(first, n))
        return
    fill(code, output, first, width)
    with code.loop(events.count) as number:
        m = events.place(code, number)
        add_row(code, events, m, weights, row_of(code, events, m, first, width), output, first, width)


def row_of(code: Code, events: Events, m: SSAValue, first: Index, width: int) -> Index:
    """Where an input's weights stand in those of a tile."""
    return code.add(code.mul(first, events.source.size), code.mul(m, width))


def sums(
    code: Code, events: Events, weights: Buffer, first: Index, width: int, kind: ElementType
) -> Sequence[SSAValue]:
    """The sums of a tile for the sample at hand, over the events of all."""

    def step(number: SSAValue, totals: Sequence[SSAValue]) -> list[SSAValue]:
        m = events.place(code, number)
        row, x = row_of(code, events, m, first, width), code.load(events.source, m)
        return [added(code, kind, total, code.load(weights, code.add(row, n)), x) for n, total in enumerate(totals)]

    return code.fold(events.count, 0, [code.constant(0.0, kind)] * width, step)


def added(code: Code, kind: ElementType, total: SSAValue, weight: SSAValue | None, x: SSAValue | None) -> SSAValue:
    """total + weight x, where x is a spike total + weight; without weight it is 1, without x there is a spike."""
    if x is not None and x.type != i1:
        factor = code.graded(x, kind)
        return code.op(arith.AddfOp(total, factor if weight is None else code.op(arith.MulfOp(weight, factor))))
    after = code.op(arith.AddfOp(total, code.constant(1.0, kind) if weight is None else weight))
    return after if x is None else code.op(arith.SelectOp(x, after, total))


def fill(code: Code, output: Buffer, first: Index, width: int) -> None:
    """Set elements to 0."""
    with code.each(width) as n:
        code.store(code.constant(0.0, output.element), output, code.add(first, n))


def add_row(
    code: Code,
    events: Events,
    m: SSAValue,
    weights: Buffer | None,
    row: Index,
    output: Buffer,
    first: Index,
    width: int,
) -> None:
    """output[first + n] += weights[row + n] x[m]; a spike's x is 1; without weights they are 1."""
    source = events.source
    with code.samples():
        sure = source.element == i1 and code.lanes == 1 and events.places is not None
        x = None if sure else code.load(source, m)
        with code.loop(width) as n:
            place = code.add(first, n)
            weight = None if weights is None else code.load(weights, code.add(row, n))
            code.store(added(code, output.element, code.load(output, place), weight, x), output, place)


def window_weights(op: snn.ConvOp) -> Array:
    """A convolution's weights as [row][column][input channel][output channel of its group]."""
    weight, groups = array(op.weight), op.groups.value.data
    each = weight.reshape(groups, -1, *weight.shape[1:])
    return np.ascontiguousarray(each.transpose(3, 4, 0, 2, 1)).ravel()


def window(code: Code, op: snn.ConvOp | snn.PoolOp, events: Events, weights: Buffer | None, output: Buffer) -> None:
    """Each event of an image adds to the outputs whose window holds it; the output has to be 0 before."""
    channels, _, columns = snn.tensor_of(op.input).get_shape()
    outputs, out_rows, out_columns = snn.tensor_of(op.output).get_shape()
    (down, right), (top, _, left, _) = integers(op.stride), integers(op.padding)
    if isinstance(op, snn.ConvOp):
        (height, width), (dilate_y, dilate_x) = op.weight.get_shape()[2:], integers(op.dilation)
        groups = op.groups.value.data
    else:
        (height, width), (dilate_y, dilate_x), groups = integers(op.kernel), (1, 1), channels
    each = outputs // groups
    with code.loop(events.count) as number:
        m = events.place(code, number)
        pixel, channel = code.divided(m, channels)
        y, x = code.divided(code.index(pixel), columns)
        group = 0 if groups == 1 else code.divided(code.index(channel), channels // groups)[0]
        rows = windows_on(code, code.add(y, top), height, dilate_y, down, out_rows)
        with rows as (row, tap_y), windows_on(code, code.add(x, left), width, dilate_x, right, out_columns) as found:
            column, tap_x = found
            first = code.mul(code.add(code.mul(row, out_columns), column), outputs)
            first = code.add(first, code.mul(group, each))
            tap = code.add(code.mul(tap_y, width), tap_x)
            tap = code.mul(code.add(channel, code.mul(tap, channels)), each)
            add_row(code, events, m, weights, tap, output, first, each)


@contextmanager
def windows_on(
    code: Code, at: Index, taps: int, dilation: int, stride: int, places: int
) -> Generator[tuple[SSAValue, Index]]:
    """A loop over the places along an axis whose window holds a position, each with the tap that does."""
    position, reach = code.index(at), (taps - 1) * dilation
    beyond = code.op(arith.CmpiOp(position, code.index(reach), "ugt"))
    nearest = code.op(arith.SelectOp(beyond, code.index(code.sub(position, reach)), code.index(0)))
    start = code.divided(code.index(code.add(nearest, stride - 1)), stride)[0]
    last = code.index(code.add(code.divided(position, stride)[0], 1))
    cut = code.op(arith.CmpiOp(last, code.index(places), "ult"))
    end = code.op(arith.SelectOp(cut, last, code.index(places)))
    with code.loop(end, start) as place:
        away = code.index(code.sub(position, code.mul(place, stride)))
        tap, rest = code.divided(away, dilation)
        with ExitStack() as stack:
            if dilation > 1:
                stack.enter_context(code.when(code.op(arith.CmpiOp(code.index(rest), code.index(0), "eq"))))
            yield place, tap


def delay(code: Code, x: Buffer, ring: Buffer, head: Buffer, steps: Buffer | int, length: int, output: Buffer) -> None:
    """output = the input of `steps` steps ago; the ring's oldest row stands at the head, where the newest goes."""
    oldest = code.op(arith.IndexCastOp(code.load(head, 0), IndexType()))

    def row(after: Index) -> SSAValue:
        at = code.index(code.add(oldest, after))
        beyond = code.op(arith.CmpiOp(at, code.index(length), "uge"))
        return code.op(arith.SelectOp(beyond, code.index(code.sub(at, length)), at))

    with code.each(x.size) as n:
        value = code.graded(code.load(x, n), ring.element)
        ago = steps if isinstance(steps, int) else code.op(arith.IndexCastOp(code.load(steps, n), IndexType()))
        late = code.load(ring, code.add(code.mul(row(code.sub(code.index(length), ago)), x.size), n))
        now = code.op(arith.CmpiOp(code.index(ago), code.index(0), "eq"))
        code.store(code.op(arith.SelectOp(now, value, late)), output, n)
        code.store(value, ring, code.add(code.mul(oldest, x.size), n))
    after = code.op(arith.IndexCastOp(row(1), i64))
    with code.samples():
        code.store(after, head, 0)


def place_of(code: Code, shape: tuple[int, ...], n: SSAValue) -> Index:
    """Where the n-th element in row-major order stands in memory: images have their channels last."""
    if len(shape) != 3:
        return n
    channels, rows, columns = shape
    channel, pixel = code.divided(n, rows * columns)
    return code.add(code.mul(pixel, channels), channel)


def copy(code: Code, source: Buffer, target: Buffer) -> None:
    """The same elements."""
    with code.each(source.size) as n:
        code.store(code.load(source, n), target, n)


def gather(code: Code, raster: Buffer, row: Buffer) -> None:
    """A step's input of several samples, side by side; quick where it stands so in the raster."""
    across = code.index(raster.across)
    with code.when(code.op(arith.CmpiOp(across, code.index(1), "eq"))):
        copy(code, replace(raster, across=1), row)
    with code.when(code.op(arith.CmpiOp(across, code.index(1), "ne"))):
        with code.loop(row.size) as n, code.loop(code.lanes) as code.lane:
            code.store(code.load(raster, n), row, n)
        code.lane = 0


def reshape(code: Code, source: Buffer, before: tuple[int, ...], target: Buffer, after: tuple[int, ...]) -> None:
    """The same elements in row-major order, in the memory order of another shape."""
    with code.each(source.size) as n:
        code.store(code.load(source, place_of(code, before, n)), target, place_of(code, after, n))
