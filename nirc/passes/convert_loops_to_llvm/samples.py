"""Loops over samples become vectors with an element per sample.

A loop that is marked `samples` runs its rounds for samples that have nothing to do with each other. Here all rounds run
at once: what differs between samples is a vector, what does not (loops over events, addresses, weights) stays as it is.
LLVM's own vectorisers look at innermost loops alone, and these may hold others.

The result is for the lowering alone: xDSL 0.74's `arith` compares and selects no vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xdsl.dialects import arith, func, llvm, memref, scf, vector
from xdsl.dialects.builtin import IndexType, IntegerAttr, VectorType, i1
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import PassFailedException

from nirc.passes.convert_snn_to_loops.code import SAMPLES


def vectorize_samples(function: func.FuncOp) -> None:
    """Unroll every loop over samples of a function into vectors.

    Raises PassFailedException where samples depend on each other, or do not stand side by side.
    """
    for op in tuple(function.walk()):
        if isinstance(op, scf.ForOp) and SAMPLES in op.attributes:
            _Loop(op).replace()


@dataclass(frozen=True)
class _Place:
    """An index that grows by 1 from sample to sample."""

    first: SSAValue


class _Loop:
    """A loop over samples on its way to vectors."""

    def __init__(self, loop: scf.ForOp):
        self.loop = loop
        self.lanes = _number(loop.ub)
        self.point = InsertPoint.before(loop)
        self.known = dict[SSAValue, SSAValue | _Place]()
        self.spread = dict[SSAValue, SSAValue]()
        """Vectors of values that are the same for all, as far as the block at hand sees them."""

    def replace(self) -> None:
        """Write the vectors where the loop stands."""
        loop, body = self.loop, self.loop.body.block
        self.known[body.args[0]] = _Place(loop.lb)
        for argument, first in zip(body.args[1:], loop.iter_args, strict=True):
            self.known[argument] = self.vector(first)
        self.block(body)
        end = body.last_op
        assert isinstance(end, scf.YieldOp)
        results = [self.any(value) for value in end.operands]
        for old, new in zip(loop.results, results, strict=True):
            old.replace_all_uses_with(new)
        Rewriter.erase_op(loop)

    def block(self, block: Block) -> None:
        """The ops of a block but its terminator."""
        for op in tuple(block.ops):
            if not isinstance(op, scf.YieldOp):
                self.op(op)

    def any(self, value: SSAValue) -> SSAValue:
        """Whether a condition that the loop carries holds for any sample."""
        if value.type != i1 or not isinstance(value.owner, arith.OrIOp):
            raise self.fault(self.loop)
        return self.add(llvm.CallIntrinsicOp(f"llvm.vector.reduce.or.v{self.lanes}i1", [self.vector(value)], [i1]))

    def add(self, op: Operation) -> Any:
        """Insert an op."""
        Rewriter.insert_op(op, self.point)
        return op.results[0] if op.results else None

    def op(self, op: Operation) -> None:
        """One op: as it is, as arithmetic of vectors, or as an access to several elements."""
        operands = [self.known.get(value, value) for value in op.operands]
        if isinstance(op, scf.ForOp):
            self.inner(op)
            return
        if not any(isinstance(x, _Place) or isinstance(x.type, VectorType) for x in operands):
            new = op.clone({old: x for old, x in zip(op.operands, operands, strict=True) if isinstance(x, SSAValue)})
            self.add(new)
            self.known.update(zip(op.results, new.results, strict=True))
            return
        match op:
            case arith.AddiOp() if isinstance(op.result.type, IndexType):
                first, second = (x.first if isinstance(x, _Place) else x for x in operands)
                if all(isinstance(x, _Place) for x in operands):
                    raise self.fault(op)
                self.known[op.result] = _Place(self.add(arith.AddiOp(first, second)))
            case memref.LoadOp():
                kind = self.kind(op.res.type)
                self.known[op.res] = self.add(vector.LoadOp(op.memref, [self.place(op, operands[1])], kind))
            case memref.StoreOp():
                self.add(vector.StoreOp(self.vector(op.value), op.memref, [self.place(op, operands[2])]))
            case _ if op.regions or len(op.results) != 1 or any(isinstance(x, _Place) for x in operands):
                raise self.fault(op)
            case _:
                new = type(op).create(
                    operands=[self.vector(value) for value in op.operands],
                    properties=dict(op.properties),
                    result_types=[self.kind(op.results[0].type)],
                )
                self.known[op.results[0]] = self.add(new)

    def inner(self, loop: scf.ForOp) -> None:
        """A loop that all samples run through together; what it carries differs between them."""
        bounds = [self.uniform(loop, value) for value in (loop.lb, loop.ub, loop.step)]
        first = [self.vector(value) for value in loop.iter_args]
        body = Block(arg_types=[IndexType(), *(value.type for value in first)])
        for old, new in zip(loop.body.block.args, body.args, strict=True):
            self.known[old] = new
        outer, spread = self.point, dict(self.spread)
        self.point = InsertPoint.at_end(body)
        self.block(loop.body.block)
        end = loop.body.block.last_op
        assert isinstance(end, scf.YieldOp)
        self.add(scf.YieldOp(*(self.vector(value) for value in end.operands)))
        self.point, self.spread = outer, spread
        new = scf.ForOp(bounds[0], bounds[1], bounds[2], first, body)
        Rewriter.insert_op(new, self.point)
        self.known.update(zip(loop.results, new.results, strict=True))

    def uniform(self, op: Operation, value: SSAValue) -> SSAValue:
        """A value that is the same for all samples."""
        known = self.known.get(value, value)
        if isinstance(known, _Place) or isinstance(known.type, VectorType):
            raise self.fault(op)
        return known

    def place(self, op: Operation, index: SSAValue | _Place) -> SSAValue:
        """The first sample's element of an access to all."""
        if not isinstance(index, _Place):
            raise self.fault(op)
        return index.first

    def vector(self, value: SSAValue) -> SSAValue:
        """The value of every sample."""
        known = self.known.get(value, value)
        assert isinstance(known, SSAValue)
        if isinstance(known.type, VectorType):
            return known
        if known not in self.spread:
            self.spread[known] = self.add(vector.BroadcastOp(known, self.kind(known.type)))
        return self.spread[known]

    def kind(self, element: Attribute) -> VectorType[Any]:
        """The type of a value of every sample."""
        return VectorType(element, [self.lanes])

    def fault(self, op: Operation) -> PassFailedException:
        return PassFailedException(f"{op.name} cannot be done for {self.lanes} samples at once")


def _number(value: SSAValue) -> int:
    """A constant index."""
    constant = value.owner
    assert isinstance(constant, arith.ConstantOp)
    number = constant.value
    assert isinstance(number, IntegerAttr)
    return number.value.data
