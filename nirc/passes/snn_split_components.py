"""`snn-split-components`: the ops of a step are grouped into scans that can run for many steps on end.

The ops that a state ties together, those that read it and the one that gives its next value, stand in one scan, and so
do all on a cycle through states: a recurrent layer. They, if they give no spikes, and any other op stand with the ops
that read them where these are in one scan: a matrix and a current with their neurons.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, f32, f64
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

from nirc.dialects import snn
from nirc.dialects.depth_first import components


@dataclass(frozen=True)
class SnnSplitComponentsPass(ModulePass):
    """Turn the ops of every network into `snn.scan` ops."""

    name = "snn-split-components"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in op.ops:
            if isinstance(network, snn.NetworkOp):
                _split(network)


def _split(network: snn.NetworkOp) -> None:
    block, last = network.body.block, network.yielded
    ops: list[Operation] = [op for op in block.ops if isinstance(op, snn.SnnOp)]
    known = frozenset(ops)
    tied = _tied(network)

    def readers(op: Operation) -> list[Operation]:
        return [use.operation for value in op.results for use in value.uses if use.operation in known]

    groups = components(ops, lambda op: [*readers(op), *tied.get(op, ())])
    scan_of = {op: n for n, group in enumerate(groups) for op in group}
    neurons = tied.keys() | {op for op in ops if isinstance(op, snn.FireOp)}
    # From the last to the first, so that a chain of them follows its end.
    for group in reversed(groups):
        own = scan_of[group[0]]
        leaving = [(op, reader) for op in group for reader in readers(op) if scan_of[reader] != own]
        reading = {scan_of[reader] for _, reader in leaving}
        if len(reading) == 1 and (group[0] not in neurons or all(_graded(op) for op, _ in leaving)):
            scan_of.update(dict.fromkeys(group, reading.pop()))
    scans = [list[Operation]() for _ in groups]
    for op in ops:
        scans[scan_of[op]].append(op)
    for number, inside in enumerate(scans):
        if inside:
            outside = [use for op in inside for value in op.results for use in value.uses]
            outside = [use for use in outside if scan_of.get(use.operation) != number]
            given = list(dict.fromkeys(use.operation.operands[use.index] for use in outside))
            for op in inside:
                op.detach()
            scan = snn.ScanOp(Region(Block([*inside, snn.YieldOp(given)])))
            block.insert_op_before(scan, last)
            result = dict(zip(given, scan.outputs, strict=True))
            for use in outside:
                use.operation.operands[use.index] = result[use.operation.operands[use.index]]


def _graded(op: Operation) -> bool:
    """Whether an op gives numbers, not spikes."""
    return all(snn.tensor_of(value).element_type in (f32, f64) for value in op.results)


def _tied(network: snn.NetworkOp) -> dict[Operation, list[Operation]]:
    """For each op that has to do with a state the ops that it has to stand with."""
    tied = dict[Operation, list[Operation]]()
    members = dict[SSAValue, list[Operation]]()
    for state, value in zip(network.state_args, network.next_values, strict=True):
        owner = [value.owner] if isinstance(value.owner, Operation) else []
        members[state] = [*owner, *(use.operation for use in state.uses if isinstance(use.operation, snn.SnnOp))]
    for state, value in zip(network.state_args, network.next_values, strict=True):
        group = members[state] + members.get(value, [])
        for op in group:
            tied.setdefault(op, [])
        for one, other in pairwise(group):
            tied[one].append(other)
            tied[other].append(one)
    return tied
