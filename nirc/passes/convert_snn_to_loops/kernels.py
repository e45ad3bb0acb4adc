"""The ops that are no elementwise arithmetic: products with matrices, windows over images, delays, changes of layout.

They are driven by events: the elements of their input that are not 0, listed in memory order. Each adds its weights to
the sums in the order that the dialect fixes (ascending input index; taps by row, column, channel, which is the order of
an image's events in memory), so sums are equal to the evaluator's bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from xdsl.dialects import arith, math, memref
from xdsl.dialects.builtin import IndexType, i1, i8, i32, i64
from xdsl.ir import SSAValue

from nirc.dialects import snn
from nirc.dialects.dense import Array, ElementType, array
from nirc.dialects.nir import integers
from nirc.passes.convert_snn_to_loops.code import TILE, Buffer, Code, Index, memory, padded

Step = Callable[[SSAValue, Sequence[SSAValue]], Sequence[SSAValue]]


@dataclass(frozen=True)
class Elements:
    """What goes into a product: all of a buffer's elements, zeros too."""

    source: Buffer

    def value(self, code: Code, m: SSAValue) -> SSAValue | None:
        """The element at a place; None where it is a spike for sure."""
        return code.load(self.source, m)

    def fold(self, code: Code, first: Sequence[SSAValue], step: Step) -> Sequence[SSAValue]:
        """Go through them in memory order: step(place, values) gives the next values."""
        return code.fold(self.source.size, 0, first, step)


@dataclass(frozen=True)
class Listed(Elements):
    """The elements of a buffer that are not 0: how many, and a list of where they stand."""

    count: SSAValue
    places: Buffer

    def value(self, code: Code, m: SSAValue) -> SSAValue | None:
        return None if self.source.element == i1 else code.load(self.source, m)

    def fold(self, code: Code, first: Sequence[SSAValue], step: Step) -> Sequence[SSAValue]:
        def event(number: SSAValue, held: Sequence[SSAValue]) -> Sequence[SSAValue]:
            return step(code.op(arith.IndexCastOp(code.load(self.places, number), IndexType())), held)

        return code.fold(self.count, 0, first, event)


@dataclass(frozen=True)
class Bits(Elements):
    """The spikes of a buffer as bits of words; the buffer itself need not hold them."""

    words: Buffer

    def value(self, code: Code, m: SSAValue) -> SSAValue | None:
        return None

    def fold(self, code: Code, first: Sequence[SSAValue], step: Step) -> Sequence[SSAValue]:
        def word(n: Index, first: Sequence[SSAValue]) -> Sequence[SSAValue]:
            def event(held: Sequence[SSAValue]) -> list[SSAValue]:
                left, values = held[0], held[1:]
                bit = code.op(arith.IndexCastOp(code.op(math.CountTrailingZerosOp(left)), IndexType()))
                after = step(code.index(code.add(code.mul(n, TILE), bit)), values)
                less = code.op(arith.SubiOp(left, code.constant(1, i64)))
                return [code.op(arith.AndIOp(left, less)), *after]

            # A loop that counted its rounds LLVM would unroll, and a CPU cannot foresee the ends of two loops.
            bits = code.load(self.words, n)
            return code.repeat([bits, *first], lambda held: code.differs(held[0], 0), event)[1:]

        return word(0, first) if self.words.size == 1 else code.fold(self.words.size, 0, first, word)


def collect(code: Code, source: Buffer, words: Buffer) -> Bits:
    """Make words of spikes."""

    def word(n: Index, width: int) -> None:
        (found,) = code.rounds(width, lambda m: [code.load(source, code.add(code.mul(n, TILE), m))], 1)
        code.store(found, words, n)

    code.tiles(source.size, lambda first, width: word(code.divided(first, TILE)[0], width))
    return Bits(source, words)


def compact(code: Code, source: Buffer, places: Buffer) -> Listed:
    """List the elements that are not 0, channels last; eight pixels of bytes without one are passed over at once."""
    raw = replace(source, element=i8) if source.element == i1 else source

    def note(n: SSAValue, held: Sequence[SSAValue]) -> list[SSAValue]:
        hit, (before,) = code.differs(code.load(raw, n), 0.0), held
        code.store(code.op(arith.IndexCastOp(n, i32)), places, before)
        return [code.op(arith.AddiOp(before, code.op(arith.SelectOp(hit, code.index(1), code.index(0)))))]

    count, whole, plane = code.index(0), 0, raw.size // raw.planes
    if raw.element == i8:
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
    return Listed(source, count, places)


def word(code: Code, raw: Buffer, first: Index) -> SSAValue:
    """Eight bytes in one."""
    shift = code.index(first if raw.start is None else code.add(raw.start, first))
    view = code.op(memref.ViewOp(raw.ref, shift, [], memory(i64, 1)))
    return code.op(memref.LoadOp.get(view, [code.index(0)]))


def packed(weight: Array, *, lines: bool) -> Array:
    """A matrix [output, input] tile by tile of its outputs, [tile][input][output in the tile]; `lines`: rows padded."""
    parts = list[Array]()
    for n in range(0, len(weight), TILE):
        part = weight[n : n + TILE].T
        more = padded(part.shape[1]) - part.shape[1] if lines else 0
        parts.append(np.ravel(np.pad(part, ((0, 0), (0, more)))))
    return np.concatenate(parts or [np.zeros(0)])


@dataclass(frozen=True)
class Matrix:
    """Weights as `packed`; `lines`: with rows padded."""

    weights: Buffer
    lines: bool

    def row(self, code: Code, elements: Elements, m: SSAValue, first: Index, width: int) -> Index:
        """Where an input's weights stand in those of a tile."""
        wide = padded(width) if self.lines else width
        return code.add(code.mul(first, elements.source.size), code.mul(m, wide))

    def total(self, code: Code, elements: Elements, first: Index, width: int, n: SSAValue) -> SSAValue:
        """The n-th sum of a tile."""
        kind = self.weights.element

        def step(m: SSAValue, totals: Sequence[SSAValue]) -> list[SSAValue]:
            weight = code.load(self.weights, code.add(self.row(code, elements, m, first, width), n))
            return [added(code, kind, totals[0], weight, elements.value(code, m))]

        return elements.fold(code, [code.constant(0.0, kind)], step)[0]


@dataclass(frozen=True)
class Table(Matrix):
    """The sums of a matrix with few inputs for all spikes that there can be, [tile][bits of the spikes][output]."""

    LARGEST: ClassVar[int] = 2**20
    """Bytes that stay near a CPU beside all else."""

    @staticmethod
    def fits(weight: Array) -> bool:
        """Whether there are few enough."""
        outputs, inputs = weight.shape
        return inputs < 16 and padded(outputs) * weight.itemsize << inputs <= Table.LARGEST

    @staticmethod
    def of(weight: Array) -> Array:
        """The sums, each in ascending order."""
        sums = np.zeros((len(weight), 1), weight.dtype)
        for column in weight.T:
            sums = np.concatenate([sums, sums + column[:, None]], 1)
        return sums

    def total(self, code: Code, elements: Elements, first: Index, width: int, n: SSAValue) -> SSAValue:
        assert isinstance(elements, Bits)
        bits = code.op(arith.IndexCastOp(code.load(elements.words, 0), IndexType()))
        row = code.add(code.mul(first, 1 << elements.source.size), code.mul(bits, padded(width)))
        return code.load(self.weights, code.add(row, n))


def linear(code: Code, elements: Elements, matrix: Matrix, output: Buffer) -> None:
    """output[n] = sum of weight[n, m] x[m], ascending."""

    def vectors(first: Index, width: int) -> None:
        def one(n: SSAValue) -> list[SSAValue]:
            code.store(matrix.total(code, elements, first, width, n), output, code.add(first, n))
            return []

        code.rounds(padded(width) if output.has_room(output.size) else width, one)

    def memory(first: Index, width: int) -> None:
        tile(code, elements, matrix, output, first, width)

    code.tiles(output.size, vectors if code.vectors else memory)


def tile(code: Code, elements: Elements, matrix: Matrix, output: Buffer, first: Index, width: int) -> None:
    """A part of the sums, in memory."""
    fill(code, output, first, width)

    def row(m: SSAValue, _: Sequence[SSAValue]) -> list[SSAValue]:
        place = matrix.row(code, elements, m, first, width)
        add_row(code, elements, m, matrix.weights, place, output, first, width)
        return []

    elements.fold(code, [], row)


def added(code: Code, kind: ElementType, total: SSAValue, weight: SSAValue | None, x: SSAValue | None) -> SSAValue:
    """total + weight x, where x is a spike total + weight; without weight it is 1, without x there is a spike."""
    if x is not None and x.type != i1:
        factor = code.graded(x, kind)
        return code.op(arith.AddfOp(total, factor if weight is None else code.op(arith.MulfOp(weight, factor))))
    after = code.op(arith.AddfOp(total, code.constant(1.0, kind) if weight is None else weight))
    return after if x is None else code.op(arith.SelectOp(x, after, total))


def fill(code: Code, output: Buffer, first: Index, width: int) -> None:
    """Set elements to 0."""
    zero = code.constant(0.0, output.element)
    code.each(width, lambda n: code.store(zero, output, code.add(first, n)))


def add_row(
    code: Code,
    elements: Elements,
    m: SSAValue,
    weights: Buffer | None,
    row: Index,
    output: Buffer,
    first: Index,
    width: int,
) -> None:
    """output[first + n] += weights[row + n] x[m]; a spike's x is 1; without weights they are 1."""
    x = elements.value(code, m)
    with code.loop(width) as n:
        place = code.add(first, n)
        weight = None if weights is None else code.load(weights, code.add(row, n))
        code.store(added(code, output.element, code.load(output, place), weight, x), output, place)


def window_weights(op: snn.ConvOp) -> Array:
    """A convolution's weights as [row][column][input channel][output channel of its group]."""
    weight, groups = array(op.weight), op.groups.value.data
    each = weight.reshape(groups, -1, *weight.shape[1:])
    return np.ascontiguousarray(each.transpose(3, 4, 0, 2, 1)).ravel()


def window(code: Code, op: snn.ConvOp | snn.PoolOp, elements: Elements, weights: Buffer | None, output: Buffer) -> None:
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

    def event(m: SSAValue, _: Sequence[SSAValue]) -> list[SSAValue]:
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
            add_row(code, elements, m, weights, tap, output, first, each)
        return []

    elements.fold(code, [], event)


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
    after = code.op(arith.IndexCastOp(row(1), i64))
    code.store(after, head, 0)


def place_of(code: Code, shape: tuple[int, ...], n: SSAValue) -> Index:
    """Where the n-th element in row-major order stands in memory: images have their channels last."""
    if len(shape) != 3:
        return n
    channels, rows, columns = shape
    channel, pixel = code.divided(n, rows * columns)
    return code.add(code.mul(pixel, channels), channel)


def copy(code: Code, source: Buffer, target: Buffer, first: Index = 0) -> None:
    """The same elements, from some place of the target on."""
    if source.planes > 1:
        with code.loop(source.size) as n:
            code.store(code.load(source, n), target, code.add(first, n))
    else:
        code.each(source.size, lambda n: code.store(code.load(source, n), target, code.add(first, n)))


def reshape(code: Code, source: Buffer, before: tuple[int, ...], target: Buffer, after: tuple[int, ...]) -> None:
    """The same elements in row-major order, in the memory order of another shape."""
    with code.loop(source.size) as n:
        code.store(code.load(source, place_of(code, before, n)), target, place_of(code, after, n))
