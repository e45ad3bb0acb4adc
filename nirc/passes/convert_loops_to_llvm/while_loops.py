"""`scf.while` becomes blocks and branches; xDSL 0.74's convert-scf-to-cf leaves it."""

from __future__ import annotations

from xdsl.dialects import cf, func, scf
from xdsl.ir import Operation
from xdsl.rewriter import InsertPoint, Rewriter


def lower_while_loops(function: func.FuncOp) -> None:
    """Lower every such loop of a function, inner ones first."""
    for op in reversed(tuple(function.walk())):
        if isinstance(op, scf.WhileOp):
            _lower(op)


def _lower(loop: scf.WhileOp) -> None:
    block = loop.parent_block()
    assert block is not None
    test, body = loop.before_region.block, loop.after_region.blocks.first
    assert body is not None
    end = block.split_before(loop, arg_types=[value.type for value in loop.res])
    for old, new in zip(loop.res, end.args, strict=True):
        new.name_hint = old.name_hint
        old.replace_all_uses_with(new)
    condition, last = test.last_op, loop.after_region.blocks.last
    assert isinstance(condition, scf.ConditionOp)
    assert last is not None
    again = last.last_op
    assert isinstance(again, scf.YieldOp)
    first, values = list(loop.arguments), list(condition.args)
    loop.before_region.move_blocks_before(end)
    loop.after_region.move_blocks_before(end)
    _replace(condition, cf.ConditionalBranchOp(condition.condition, body, values, end, values))
    _replace(again, cf.BranchOp(test, *again.operands))
    Rewriter.erase_op(loop)
    Rewriter.insert_op(cf.BranchOp(test, *first), InsertPoint.at_end(block))


def _replace(old: Operation, new: Operation) -> None:
    Rewriter.replace_op(old, new, new_results=[])
