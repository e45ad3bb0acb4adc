"""The ops that are no elementwise arithmetic: products with matrices, windows over images, delays, changes of layout.

They are driven by events: the elements of their input that are not 0, listed in memory order. Each adds its weights to
the sums in the order that the dialect fixes (ascending input index; taps by row, column, channel, which is the order of
an image's events in memory), so sums are equal to the evaluator's bit for bit.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
from xdsl.dialects import arith, memref
from xdsl.dialects.builtin import IndexType, f32, f64, i1, i8, i32, i64
from xdsl.ir import SSAValue

from nirc.dialects import snn
from nirc.dialects.dense import Array, array
from nirc.dialects.nir import integers
from nirc.passes.convert_snn_to_loops.code import Buffer, Code, Index, memory

TILE = 64
"""Sums that stand in registers while the events go by."""


@dataclass
class Events:
    """The elements of a buffer that are not 0: how many, and where."""

    source: Buffer
    places: Buffer
    count: SSAValue

    def place(self, code: Code, number: Index) -> SSAValue:
        """Where the event of that number stands."""
        return code.op(arith.IndexCastOp(code.load(self.places, number), IndexType()))


def compact(code: Code, source: Buffer, places: Buffer) -> Events:
    """List the elements that are not 0, channels last; eight pixels of bytes without one are passed over at once."""
    raw = replace(source, element=i8) if source.element == i1 else source

    def note(n: SSAValue, count: SSAValue) -> SSAValue:
        value = code.load(raw, n)
        zero = code.constant(0, raw.element)
        if raw.element in (f32, f64):
            hit = code.op(arith.CmpfOp(value, zero, "une"))
        else:
            hit = code.op(arith.CmpiOp(value, zero, "ne"))
        code.store(code.op(arith.IndexCastOp(n, i32)), places, count)
        return code.op(arith.AddiOp(count, code.op(arith.SelectOp(hit, code.index(1), code.index(0)))))

    def word(first: Index) -> SSAValue:
        shift = code.index(first if raw.start is None else code.add(raw.start, first))
        view = code.op(memref.ViewOp(raw.ref, shift, [], memory(i64, 1)))
        return code.op(memref.LoadOp.get(view, [code.index(0)]))

    count, whole, plane = code.index(0), 0, raw.size // raw.planes
    if raw.element == i8:
        whole = plane // 8

        def chunk(n: SSAValue, count: SSAValue) -> SSAValue:
            first = code.mul(n, 8)
            words = [word(code.add(first, channel * plane)) for channel in range(raw.planes)]
            some = code.op(arith.CmpiOp(code.any(words), code.constant(0, i64), "ne"))
            start = code.mul(first, raw.planes)
            end = code.add(start, 8 * raw.planes)
            return code.choose(some, lambda: code.fold(end, start, count, note), count)

        count = code.fold(whole, 0, count, chunk)
    if whole * 8 < plane:
        count = code.fold(raw.size, whole * 8 * raw.planes, count, note)
    return Events(source, places, count)


def packed(weight: Array) -> Array:
    """A matrix [output, input] tile by tile of its outputs, [tile][input][output in the tile]."""
    return np.concatenate([np.ravel(weight[n : n + TILE].T) for n in range(0, len(weight), TILE)] or [np.zeros(0)])


def linear(code: Code, events: Events, weights: Buffer, output: Buffer) -> None:
    """output[n] = sum of weight[n, m] x[m] over the events, ascending."""
    inputs = events.source.size

    def tile(first: Index, offset: Index, width: int) -> None:
        fill(code, output, first, width)
        with code.loop(events.count) as number:
            m = events.place(code, number)
            row = code.add(offset, code.mul(m, width))
            add_row(code, events, m, weights, row, output, first, width)

    whole, rest = divmod(output.size, TILE)
    if whole > 1:
        with code.loop(whole) as n:
            tile(code.mul(n, TILE), code.mul(n, TILE * inputs), TILE)
    elif whole:
        tile(0, 0, TILE)
    if rest:
        tile(whole * TILE, whole * TILE * inputs, rest)


def fill(code: Code, output: Buffer, first: Index, width: int) -> None:
    """Set elements to 0."""
    with code.loop(width) as n:
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
    spike = events.source.element == i1
    x = None if spike else code.graded(code.load(events.source, m), output.element)
    with code.loop(width) as n:
        place = code.add(first, n)
        if weights is None:
            product = x or code.constant(1.0, output.element)
        else:
            product = code.load(weights, code.add(row, n))
            if x is not None:
                product = code.op(arith.MulfOp(product, x))
        code.store(code.op(arith.AddfOp(code.load(output, place), product)), output, place)


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

    with code.loop(x.size) as n:
        value = code.graded(code.load(x, n), ring.element)
        ago = steps if isinstance(steps, int) else code.op(arith.IndexCastOp(code.load(steps, n), IndexType()))
        late = code.load(ring, code.add(code.mul(row(code.sub(code.index(length), ago)), x.size), n))
        now = code.op(arith.CmpiOp(code.index(ago), code.index(0), "eq"))
        code.store(code.op(arith.SelectOp(now, value, late)), output, n)
        code.store(value, ring, code.add(code.mul(oldest, x.size), n))
    code.store(code.op(arith.IndexCastOp(row(1), i64)), head, 0)


def place_of(code: Code, shape: tuple[int, ...], n: SSAValue) -> Index:
    """Where the n-th element in row-major order stands in memory: images have their channels last."""
    if len(shape) != 3:
        return n
    channels, rows, columns = shape
    channel, pixel = code.divided(n, rows * columns)
    return code.add(code.mul(pixel, channels), channel)


def copy(code: Code, source: Buffer, target: Buffer) -> None:
    """The same elements."""
    with code.loop(source.size) as n:
        code.store(code.load(source, n), target, n)


def reshape(code: Code, source: Buffer, before: tuple[int, ...], target: Buffer, after: tuple[int, ...]) -> None:
    """The same elements in row-major order, in the memory order of another shape."""
    with code.loop(source.size) as n:
        code.store(code.load(source, place_of(code, before, n)), target, place_of(code, after, n))
