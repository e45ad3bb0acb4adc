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

SAMPLES = "samples"
"""The attribute of a loop over samples."""


@dataclass
class Buffer:
    """Memory of one element type.

    start   where the row of this step begins
    stride  of a raster, from one step to the next
    planes  the channels of an image whose channels come first; 1 where they come last, or it is none
    apart   from one element to the next
    across  from one sample to the next; 0 where all share the memory
    """

    ref: SSAValue
    element: ElementType
    size: int
    start: SSAValue | None = None
    stride: SSAValue | None = None
    planes: int = 1
    apart: Index = 1
    across: Index = 0


def stored(element: ElementType) -> ElementType:
    """The type of an element in memory: spikes take a byte."""
    return i8 if element == i1 else element


class Code:
    """Appends ops; constants are shared and stand at the function's beginning.

    lanes  the samples that are worked on side by side
    """

    def __init__(self, entry: Block, lanes: int = 1):
        self.entry, self.lanes = entry, lanes
        self.lane: Index = 0
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

    def divided(self, a: SSAValue, by: int) -> tuple[Index, Index]:
        """a // by and a % by of an index that is not negative."""
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
        """Where an element stands, of the sample at hand."""
        at = self.add(self.mul(at, buffer.apart), self.mul(self.lane, buffer.across))
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
    def samples(self) -> Generator[None]:
        """The body for every sample; what it reads and writes of a sample is that sample's alone."""
        if self.lanes == 1:
            yield
            return
        with self.loop(self.lanes) as self.lane:
            yield
        self.lane = 0
        self.mark()

    def mark(self) -> None:
        """Say of the loop that was just made that its rounds may run at once."""
        last = self.point.insertion_point.block.last_op
        assert isinstance(last, scf.ForOp)
        last.attributes[SAMPLES] = UnitAttr()

    @contextmanager
    def each(self, end: Index) -> Generator[SSAValue]:
        """The body of a loop over elements, for every sample."""
        with self.loop(end) as n, self.samples():
            yield n

    @contextmanager
    def loop(self, end: Index, start: Index = 0) -> Generator[SSAValue]:
        """The body of a loop over start .. end - 1."""
        body = Block(arg_types=[IndexType()])
        with self.within(body):
            yield body.args[0]
            self.do(scf.YieldOp())
        self.do(scf.ForOp(self.index(start), self.index(end), self.index(1), [], body))

    def any_sample(self, value: Callable[[], SSAValue]) -> SSAValue:
        """Whether a condition holds for any sample."""
        if self.lanes == 1:
            return value()

        def step(lane: SSAValue, found: Sequence[SSAValue]) -> list[SSAValue]:
            self.lane = lane
            return [self.any([*found, value()])]

        (found,) = self.fold(self.lanes, 0, [self.constant(0, i1)], step)
        self.lane = 0
        self.mark()
        return found

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


def volume(shape: Sequence[int]) -> int:
    """The number of elements."""
    return math.prod(shape)
