"""Loops whose rounds may run at once become vectors.

The rounds of a loop that is marked `rounds` have nothing to do with each other, but that each may set a bit of a word
that the loop carries. Here all run at once: what differs between rounds is a few vectors, what does not (loops over
events, addresses) stays as it is. LLVM's own vectorisers look at innermost loops alone, and these may hold others.

The result is for the lowering alone: xDSL 0.74's `arith` compares and selects no vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from xdsl.dialects import arith, func, llvm, memref, scf, vector
from xdsl.dialects.builtin import AnyFloat, IndexType, IntegerAttr, IntegerType, VectorType, i1, i64
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import PassFailedException

from nirc.passes.convert_snn_to_loops.code import ROUNDS, WIDEST


def vectorize_rounds(function: func.FuncOp) -> None:
    """Unroll every loop of independent rounds of a function into vectors.

    Raises PassFailedException where rounds depend on each other, or their elements do not stand side by side.
    """
    for op in tuple(function.walk()):
        if isinstance(op, scf.ForOp) and ROUNDS in op.attributes:
            _Loop(op).replace()


@dataclass(frozen=True)
class _Place:
    """An index, or a bit's number, that grows by 1 from round to round."""

    first: SSAValue


@dataclass(frozen=True)
class _Each:
    """A value of every round: vectors, and plain values where a vector would have one element."""

    parts: list[SSAValue]


@dataclass(frozen=True)
class _Bits:
    """A bit from every round, each in its place in a word."""

    parts: list[SSAValue]


_Known = SSAValue | _Place | _Each | _Bits


class _Loop:
    """A loop on its way to vectors."""

    def __init__(self, loop: scf.ForOp):
        self.loop = loop
        rounds = _number(loop.ub)
        if rounds is None:
            raise PassFailedException(f"{loop.name}: rounds that may run at once must be of a constant number")
        self.widths = _widths(rounds)
        self.point = InsertPoint.before(loop)
        self.known = dict[SSAValue, _Known]()
        self.spread = dict[SSAValue, _Each]()
        """Vectors of values that are the same for all, as far as the block at hand sees them."""

    def replace(self) -> None:
        """Write the vectors where the loop stands."""
        loop, body = self.loop, self.loop.body.block
        self.known[body.args[0]] = _Place(loop.lb)
        self.known.update(zip(body.args[1:], loop.iter_args, strict=True))
        end = self.block(body)
        for old, value in zip(loop.results, end.operands, strict=True):
            old.replace_all_uses_with(self.uniform(loop, value))
        Rewriter.erase_op(loop)

    def block(self, block: Block) -> Operation:
        """The ops of a block but its terminator, which it returns."""
        *ops, end = block.ops
        for op in ops:
            self.op(op)
        return end

    def add(self, op: Operation) -> Any:
        """Insert an op."""
        Rewriter.insert_op(op, self.point)
        return op.results[0] if op.results else None

    def op(self, op: Operation) -> None:
        """One op: as it is, as arithmetic of vectors, or as an access to several elements."""
        if isinstance(op, scf.ForOp | scf.WhileOp):
            self.inner(op)
            return
        operands = [self.known.get(value, value) for value in op.operands]
        same = [x for x in operands if isinstance(x, SSAValue)]
        if len(same) == len(operands):
            new = op.clone(dict(zip(op.operands, same, strict=True)))
            self.add(new)
            self.known.update(zip(op.results, new.results, strict=True))
            return
        match op, operands:
            case (arith.AddiOp(), [_Place(first), SSAValue() as more] | [SSAValue() as more, _Place(first)]):
                self.known[op.result] = _Place(self.add(arith.AddiOp(first, more)))
            case (arith.IndexCastOp(), [_Place(first)]):
                self.known[op.result] = _Place(self.add(arith.IndexCastOp(first, op.result.type)))
            case (arith.ExtUIOp(), [_Each(parts)]) if op.input.type == i1 and op.result.type == i64:
                self.known[op.result] = _Bits(parts)
            case (arith.ShLIOp(), [_Bits() as bits, _Place(first)]) if _number(first, cast=True) == 0:
                self.known[op.result] = bits
            case (arith.OrIOp(), [SSAValue() as word, _Bits(parts)]):
                self.known[op.result] = self.word(word, parts)
            case (memref.LoadOp(), [_, _Place(first)]):
                self.known[op.res] = _Each(list(self.loads(op, first)))
            case (memref.StoreOp(), [_, _, _Place(first)]):
                for (width, at), value in zip(self.places(first), self.each(op.value), strict=True):
                    store = memref.StoreOp.get if width == 1 else vector.StoreOp
                    self.add(store(value, op.memref, [at]))
            case _ if op.regions or len(op.results) != 1 or any(isinstance(x, _Place | _Bits) for x in operands):
                raise self.fault(op)
            case _:
                kind = type(op)
                parts = zip(self.widths, *(self.each(value) for value in op.operands), strict=True)
                self.known[op.results[0]] = _Each(
                    [
                        self.add(
                            kind.create(
                                operands=values,
                                properties=dict(op.properties),
                                result_types=[_kind(op.results[0].type, width)],
                            )
                        )
                        for width, *values in parts
                    ]
                )

    def places(self, first: SSAValue) -> Iterator[tuple[int, SSAValue]]:
        """The vectors of an access: how many elements, and where they begin."""
        for width, before in zip(self.widths, accumulate(self.widths, initial=0), strict=False):
            yield width, self.add(arith.AddiOp(first, self.constant(before, IndexType()))) if before else first

    def loads(self, op: memref.LoadOp, first: SSAValue) -> Iterator[SSAValue]:
        """An element for every round."""
        for width, at in self.places(first):
            if width == 1:
                yield self.add(memref.LoadOp.get(op.memref, [at]))
            else:
                yield self.add(vector.LoadOp(op.memref, [at], _kind(op.res.type, width)))

    def word(self, word: SSAValue, parts: list[SSAValue]) -> SSAValue:
        """A word with the rounds' bits in it."""
        for width, before, part in zip(self.widths, accumulate(self.widths, initial=0), parts, strict=False):
            bits = part if width == 1 else self.add(llvm.BitcastOp(part, IntegerType(width)))
            bits = self.add(arith.ExtUIOp(bits, i64))
            if before:
                bits = self.add(arith.ShLIOp(bits, self.constant(before, i64)))
            word = self.add(arith.OrIOp(word, bits))
        return word

    def constant(self, value: int, kind: IndexType | IntegerType) -> SSAValue:
        return self.add(arith.ConstantOp(IntegerAttr(value, kind)))

    def inner(self, loop: scf.ForOp | scf.WhileOp) -> None:
        """A loop that all rounds run through together; numbers that it carries differ between them, what counts does
        not."""
        carried = list(loop.iter_args if isinstance(loop, scf.ForOp) else loop.arguments)
        differs = [isinstance(value.type, AnyFloat) for value in carried]

        def flat(values: Sequence[SSAValue]) -> list[SSAValue]:
            held = [self.each(x) if each else [self.uniform(loop, x)] for x, each in zip(values, differs, strict=True)]
            return [part for parts in held for part in parts]

        def known(old: Sequence[SSAValue], new: Sequence[SSAValue]) -> None:
            parts = iter(new)
            for value, each in zip(old, differs, strict=True):
                self.known[value] = _Each([next(parts) for _ in self.widths]) if each else next(parts)

        def block(old: Block, counters: int) -> Block:
            new = Block(arg_types=[*(arg.type for arg in old.args[:counters]), *(value.type for value in first)])
            self.known.update(zip(old.args[:counters], new.args[:counters], strict=True))
            known(old.args[counters:], new.args[counters:])
            outer, spread = self.point, dict(self.spread)
            self.point = InsertPoint.at_end(new)
            end = self.block(old)
            if isinstance(end, scf.ConditionOp):
                self.add(scf.ConditionOp(self.uniform(loop, end.condition), *flat(end.args)))
            else:
                self.add(scf.YieldOp(*flat(end.operands)))
            self.point, self.spread = outer, spread
            return new

        first = flat(carried)
        if isinstance(loop, scf.ForOp):
            bounds = [self.uniform(loop, value) for value in (loop.lb, loop.ub, loop.step)]
            new = scf.ForOp(bounds[0], bounds[1], bounds[2], first, block(loop.body.block, 1))
        else:
            test, body = block(loop.before_region.block, 0), block(loop.after_region.block, 0)
            new = scf.WhileOp(first, [value.type for value in first], Region(test), Region(body))
        Rewriter.insert_op(new, self.point)
        known(loop.results, new.results)

    def uniform(self, op: Operation, value: SSAValue) -> SSAValue:
        """A value that is the same for all rounds."""
        known = self.known.get(value, value)
        if not isinstance(known, SSAValue):
            raise self.fault(op)
        return known

    def each(self, value: SSAValue) -> list[SSAValue]:
        """The value of every round."""
        known = self.known.get(value, value)
        if isinstance(known, _Each):
            return known.parts
        if not isinstance(known, SSAValue):
            raise self.fault(self.loop)
        if known not in self.spread:
            made = {1: known}
            for width in self.widths:
                if width not in made:
                    made[width] = self.add(vector.BroadcastOp(known, _kind(known.type, width)))
            self.spread[known] = _Each([made[width] for width in self.widths])
        return self.spread[known].parts

    def fault(self, op: Operation) -> PassFailedException:
        return PassFailedException(f"{op.name} cannot be done in {sum(self.widths)} rounds at once")


def _widths(rounds: int) -> list[int]:
    """The vectors of so many rounds: as wide as may be, then powers of two."""
    whole, rest = divmod(rounds, WIDEST)
    return [WIDEST] * whole + [1 << bit for bit in reversed(range(rest.bit_length())) if rest >> bit & 1]


def _kind(element: Attribute, width: int) -> Any:
    """The type of a value of so many rounds."""
    return element if width == 1 else VectorType(element, [width])


def _number(value: SSAValue, *, cast: bool = False) -> int | None:
    """A constant, behind a change of type where that is allowed."""
    owner = value.owner
    if cast and isinstance(owner, arith.IndexCastOp):
        owner = owner.input.owner
    number = owner.value if isinstance(owner, arith.ConstantOp) else None
    return number.value.data if isinstance(number, IntegerAttr) else None
