"""Loops under construction: `scf`, `arith` and `memref` ops at an insertion point, without their spelling."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AnyFloat,
    Float32Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    MemRefType,
    UnitAttr,
    f32,
    f64,
    i1,
    i8,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint

from nirc.dialects.dense import ElementType

Index = SSAValue | int

ROUNDS = "rounds"
"""The attribute of a loop whose rounds may run at once."""
WIDEST = 16
"""Rounds that are a vector: 64 bytes of float32."""
TILE = 64
"""The most rounds of such a loop, so that their bits make a word, and neurons whose sums stand in registers at once."""


@dataclass
class Buffer:
    """Memory of one element type.

    start   where the row of this step and sample begins
    stride  of a raster, from one step to the next
    apart   from one sample to the next; 0 where all share the memory
    planes  the channels of an image whose channels come first; 1 where they come last, or it is none
    room    the elements that the memory holds, where that is more than the buffer's own
    """

    ref: SSAValue
    element: ElementType
    size: int
    start: SSAValue | None = None
    stride: SSAValue | None = None
    apart: Index = 0
    planes: int = 1
    room: int = 0

    def has_room(self, size: int) -> bool:
        """Whether whole vectors may go through the elements, of which there are so many."""
        rest = size % TILE
        return self.room >= size - rest + padded(rest)


def stored(element: ElementType) -> ElementType:
    """The type of an element in memory: spikes take a byte."""
    return i8 if element == i1 else element


class Code:
    """Appends ops; constants are shared and stand at the function's beginning.

    vectors  loops over elements are loops whose rounds may run at once
    """

    def __init__(self, entry: Block, *, vectors: bool = False):
        self.entry, self.vectors = entry, vectors
        self.point = Builder(InsertPoint.at_end(entry))
        self.indices: ChainMap[tuple[Callable[..., Operation], SSAValue, SSAValue], SSAValue] = ChainMap()
        """Arithmetic of indices that has been done where ops are appended."""
        self.constants = dict[tuple[Attribute, Any], SSAValue]()

    def op(self, op: Operation) -> SSAValue:
        """Append an op, return its result."""
        self.point.insert(op)
        return op.results[0]

    def do(self, op: Operation) -> None:
        """Append an op without a result."""
        self.point.insert(op)

    def constant(self, value: float, kind: Attribute) -> SSAValue:
        """A number, made once."""
        # Bits, because 0.0 and -0.0 are equal.
        key = (kind, np.float64(value).tobytes() if isinstance(kind, AnyFloat) else int(value))
        if key not in self.constants:
            if isinstance(kind, AnyFloat):
                op = arith.ConstantOp(FloatAttr(value, kind))
            else:
                op = arith.ConstantOp(IntegerAttr(int(value), cast(IndexType, kind)))
            first = self.entry.first_op
            if first is None:
                self.entry.add_op(op)
            else:
                self.entry.insert_op_before(op, first)
            self.constants[key] = op.result
        return self.constants[key]

    def index(self, value: Index) -> SSAValue:
        """A number as an index."""
        return self.constant(value, IndexType()) if isinstance(value, int) else value

    def add(self, a: Index, b: Index) -> Index:
        """a + b of indices."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0 or b == 0:
            return b if isinstance(a, int) else a
        return self.indexed(arith.AddiOp, a, b)

    def sub(self, a: Index, b: Index) -> Index:
        """a - b of indices."""
        return a if isinstance(b, int) and b == 0 else self.indexed(arith.SubiOp, a, b)

    def mul(self, a: Index, b: Index) -> Index:
        """a * b of indices."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if isinstance(a, int) or isinstance(b, int):
            number, other = (a, b) if isinstance(a, int) else (b, a)
            if number in (0, 1):
                return other if number else 0
        return self.indexed(arith.MuliOp, a, b)

    def least(self, a: Index, b: Index) -> SSAValue:
        """The smaller of two indices."""
        a, b = self.index(a), self.index(b)
        return self.op(arith.SelectOp(self.op(arith.CmpiOp(a, b, "ult")), a, b))

    def indexed(self, kind: Callable[[SSAValue, SSAValue], Operation], a: Index, b: Index) -> SSAValue:
        """Arithmetic of indices, done once."""
        key = (kind, self.index(a), self.index(b))
        if key not in self.indices:
            self.indices[key] = self.op(kind(key[1], key[2]))
        return self.indices[key]

    def divided(self, a: Index, by: int) -> tuple[Index, Index]:
        """a // by and a % by of an index that is not negative."""
        if isinstance(a, int):
            return divmod(a, by)
        if by == 1:
            return a, 0
        return self.indexed(arith.DivUIOp, a, by), self.indexed(arith.RemUIOp, a, by)

    def load(self, buffer: Buffer, at: Index) -> SSAValue:
        """An element by its place in memory order, channels last; a stored spike as i1."""
        if buffer.planes > 1:
            pixel, channel = self.divided(self.index(at), buffer.planes)
            at = self.add(self.mul(channel, buffer.size // buffer.planes), pixel)
        value = self.op(memref.LoadOp.get(buffer.ref, [self.index(self.place(buffer, at))]))
        if buffer.element == i1:
            return self.op(arith.TruncIOp(value, i1))
        return value

    def store(self, value: SSAValue, buffer: Buffer, at: Index) -> None:
        """Write an element; event counts become numbers where the buffer holds such."""
        value = self.graded(value, buffer.element)
        if buffer.element == i1:
            value = self.op(arith.ExtUIOp(value, i8))
        self.do(memref.StoreOp.get(value, buffer.ref, [self.index(self.place(buffer, at))]))

    def place(self, buffer: Buffer, at: Index) -> Index:
        """Where an element stands."""
        return at if buffer.start is None else self.add(buffer.start, at)

    @contextmanager
    def within(self, block: Block) -> Generator[None]:
        """Append to the end of another block, inside the one at hand."""
        outer, indices = self.point, self.indices
        self.point, self.indices = Builder(InsertPoint.at_end(block)), indices.new_child()
        try:
            yield
        finally:
            self.point, self.indices = outer, indices

    @contextmanager
    def loop(self, end: Index, start: Index = 0) -> Generator[SSAValue]:
        """The body of a loop over start .. end - 1."""
        body = Block(arg_types=[IndexType()])
        with self.within(body):
            yield body.args[0]
            self.do(scf.YieldOp())
        self.do(scf.ForOp(self.index(start), self.index(end), self.index(1), [], body))

    def differs(self, a: SSAValue, b: float) -> SSAValue:
        """Whether a number is another one."""
        other = self.constant(b, a.type)
        if isinstance(a.type, AnyFloat):
            return self.op(arith.CmpfOp(a, other, "une"))
        return self.op(arith.CmpiOp(a, other, "ne"))

    def fold(
        self,
        end: Index,
        start: Index,
        first: Sequence[SSAValue],
        step: Callable[[SSAValue, Sequence[SSAValue]], Sequence[SSAValue]],
    ) -> Sequence[SSAValue]:
        """A loop that carries values: step(index, values) gives the next."""
        body = Block(arg_types=[IndexType(), *(value.type for value in first)])
        with self.within(body):
            self.do(scf.YieldOp(*step(body.args[0], body.args[1:])))
        loop = scf.ForOp(self.index(start), self.index(end), self.index(1), first, body)
        self.do(loop)
        return loop.results

    def repeat(
        self,
        first: Sequence[SSAValue],
        condition: Callable[[Sequence[SSAValue]], SSAValue],
        step: Callable[[Sequence[SSAValue]], Sequence[SSAValue]],
    ) -> Sequence[SSAValue]:
        """A loop that goes on while a condition of the values that it carries holds: step(values) gives the next."""
        kinds = [value.type for value in first]
        test, body = Block(arg_types=kinds), Block(arg_types=kinds)
        with self.within(test):
            self.do(scf.ConditionOp(condition(test.args), *test.args))
        with self.within(body):
            self.do(scf.YieldOp(*step(body.args)))
        loop = scf.WhileOp(first, kinds, Region(test), Region(body))
        self.do(loop)
        return loop.res

    def rounds(self, number: int, step: Callable[[SSAValue], Sequence[SSAValue]], words: int = 0) -> Sequence[SSAValue]:
        """A loop whose rounds may run at once, at most TILE of them; each gives so many words a bit of its number."""

        def bits(n: SSAValue, held: Sequence[SSAValue]) -> list[SSAValue]:
            place = self.op(arith.IndexCastOp(n, i64)) if words else n
            found = [self.op(arith.ExtUIOp(bit, i64)) for bit in step(n)]
            return [
                self.op(arith.OrIOp(word, self.op(arith.ShLIOp(bit, place))))
                for word, bit in zip(held, found, strict=True)
            ]

        found = self.fold(number, 0, [self.constant(0, i64)] * words, bits)
        last = self.point.insertion_point.block.last_op
        assert isinstance(last, scf.ForOp)
        last.attributes[ROUNDS] = UnitAttr()
        return found

    def tiles(self, size: int, tile: Callable[[Index, int], None]) -> None:
        """Call `tile` with the first element and the width of each tile."""
        whole, rest = divmod(size, TILE)
        if whole > 1:
            with self.loop(whole) as n:
                tile(self.mul(n, TILE), TILE)
        elif whole:
            tile(0, TILE)
        if rest:
            tile(whole * TILE, rest)

    def each(self, size: int, body: Callable[[SSAValue], None]) -> None:
        """A loop over elements that stand side by side and have nothing to do with each other."""
        if not self.vectors:
            with self.loop(size) as n:
                body(n)
            return

        def tile(first: Index, width: int) -> None:
            def one(n: SSAValue) -> list[SSAValue]:
                body(self.index(self.add(first, n)))
                return []

            self.rounds(width, one)

        self.tiles(size, tile)

    @contextmanager
    def when(self, condition: SSAValue) -> Generator[None]:
        """The body of a condition."""
        body = Block()
        with self.within(body):
            yield
            self.do(scf.YieldOp())
        self.do(scf.IfOp(condition, [], Region(body)))

    def choose(self, condition: SSAValue, then: Callable[[], SSAValue], other: SSAValue) -> SSAValue:
        """The value of a branch that runs only where the condition holds, else `other`."""
        branches = list[Region]()
        for make in (then, lambda: other):
            block = Block()
            with self.within(block):
                self.do(scf.YieldOp(make()))
            branches.append(Region(block))
        return self.op(scf.IfOp(condition, [other.type], branches[0], branches[1]))

    def both(self, conditions: Sequence[SSAValue]) -> SSAValue:
        """Whether all hold."""
        return reduce(lambda a, b: self.op(arith.AndIOp(a, b)), conditions)

    def any(self, words: Sequence[SSAValue]) -> SSAValue:
        """The bits that are set in any of them."""
        return reduce(lambda a, b: self.op(arith.OrIOp(a, b)), words)

    def graded(self, value: SSAValue, kind: ElementType) -> SSAValue:
        """A value in a float type; spikes are 0 and 1, counts their number."""
        held: Attribute = value.type
        if held == kind:
            return value
        if held == i1:
            return self.op(arith.SelectOp(value, self.constant(1.0, kind), self.constant(0.0, kind)))
        if not isinstance(held, AnyFloat):
            wide = self.op(arith.ExtUIOp(value, i64)) if held == i8 else value
            return self.op(arith.SIToFPOp(wide, cast(Float32Type, kind)))
        if held == f32 and kind == f64:
            return self.op(arith.ExtFOp(value, f64))
        return self.op(arith.TruncFOp(value, f32))


def memory(element: ElementType, size: int | None = None) -> MemRefType[Any]:
    """A memref of one axis, of any length where size is None."""
    return MemRefType(stored(element), [DYNAMIC_INDEX if size is None else size])


def padded(width: int) -> int:
    """The rounds to run in place of so many, so that vectors are whole."""
    return -(-width // WIDEST) * WIDEST if width > WIDEST // 2 else 1 << (width - 1).bit_length() if width else 0


def volume(shape: Sequence[int]) -> int:
    """The number of elements."""
    return math.prod(shape)
