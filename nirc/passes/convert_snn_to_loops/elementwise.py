"""The arithmetic of one element, op by op, each operation rounded as the evaluator rounds it."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import i1, i32
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn
from nirc.dialects.dense import Dense
from nirc.passes.convert_snn_to_loops.code import Code

ELEMENTWISE = (snn.ScaleOp, snn.AddOp, snn.SumOp, snn.FilterOp, snn.FireOp, snn.ResetOp, snn.ClampOp)

Constant = Callable[[Dense], SSAValue]


def element(code: Code, op: snn.SnnOp, x: list[SSAValue], constant: Constant) -> SSAValue:
    """The result's element from the operands' elements; `constant` gives that of a constant."""
    kind = snn.tensor_of(op.results[0]).element_type
    real = op.precision() or kind

    def graded(value: SSAValue) -> SSAValue:
        return code.graded(value, real)

    match op:
        case snn.ScaleOp():
            return code.op(arith.MulfOp(constant(op.factor), graded(x[0])))
        case snn.AddOp():
            return code.op(arith.AddfOp(graded(x[0]), constant(op.constant)))
        case snn.SumOp():
            total = graded(x[0])
            for value in x[1:]:
                total = code.op(arith.AddfOp(total, graded(value)))
            return total
        case snn.FilterOp():
            kept = code.op(arith.MulfOp(constant(op.decay), x[1]))
            added = code.op(arith.MulfOp(constant(op.gain), graded(x[0])))
            return code.op(arith.AddfOp(kept, added))
        case snn.FireOp():
            threshold = constant(op.threshold)
            fired = code.op(arith.CmpfOp(x[0], threshold, "ogt" if op.compare.data == ">" else "oge"))
            if kind == i1:
                return fired
            count = code.op(math.FloorOp(code.op(arith.DivfOp(x[0], threshold))))
            whole = code.op(arith.FPToSIOp(count, i32))
            return code.op(arith.SelectOp(fired, whole, code.constant(0, i32)))
        case snn.ResetOp():
            amount = constant(op.amount)
            if op.kind.data == "value":
                fired = x[1]
                if fired.type != i1:
                    fired = code.op(arith.CmpiOp(fired, code.constant(0, fired.type), "ne"))
                return code.op(arith.SelectOp(fired, amount, x[0]))
            return code.op(arith.SubfOp(x[0], code.op(arith.MulfOp(graded(x[1]), amount))))
        case snn.ClampOp():
            value = graded(x[0])
            if op.low is not None:
                value = code.op(arith.MaximumfOp(value, constant(op.low)))
            if op.high is not None:
                value = code.op(arith.MinimumfOp(value, constant(op.high)))
            return value
        case _:
            raise PassFailedException(f"node {op.label}: no loops for {op.name}")
