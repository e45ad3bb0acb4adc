"""Which ops of a network share a loop: over time, over the elements of a value, over the events of one."""

from __future__ import annotations

from collections.abc import Container

from xdsl.ir import Attribute, Block, Operation, SSAValue

from nirc.dialects import snn
from nirc.dialects.dense import array
from nirc.passes.convert_snn_to_loops.elementwise import ELEMENTWISE

RESIDENT = 2**18
"""Bytes of weights beyond which a layer has a loop of its own."""


class Loops:
    """The ops of a network by their loops, in the order of the code; takes them out of their scans.

    parts     the ops of each loop over time
    part_of   in which of these an op stands
    group     in which loop over elements
    together  products with matrices that go through the same events at once, by the first of them
    summed    the products with matrices that stand in the loop of their only reader
    nexts     the next values of the states that something reads

    vectors: sums of a loop's elements stand in vectors, so that products may share loops, and be summed in others.
    """

    def __init__(self, network: snn.NetworkOp, *, vectors: bool):
        self.states = frozenset(network.state_args)
        self.split = any(isinstance(op, snn.ScanOp) for op in network.body.block.ops)
        self.parts = _parts(network)
        self.ops = [op for part in self.parts for op in part]
        self.part_of: dict[Operation | Block, int] = {op: n for n, part in enumerate(self.parts) for op in part}
        self.group = _groups(self.parts)
        self.together = self.merge_products() if vectors else {}
        self.summed = self.sum_in_loops() if vectors else frozenset[SSAValue]()
        states = zip(network.state_args, network.next_values, strict=True)
        self.nexts = {state: value for state, value in states if list(state.uses)}

    def merge_products(self) -> dict[Operation, list[snn.LinearOp]]:
        """Let products of the same spikes go through them at once, in the place of the first."""
        groups = dict[tuple[SSAValue, int, Attribute], list[snn.LinearOp]]()
        for op in self.ops:
            if not isinstance(op, snn.LinearOp) or self.is_layer(self.part_of[op]):
                continue
            if all(self.part_of.get(use.operation, self.part_of[op]) == self.part_of[op] for use in op.output.uses):
                kind = snn.tensor_of(op.output).element_type
                groups.setdefault((op.input, self.part_of[op], kind), []).append(op)
        merged: dict[Operation, list[snn.LinearOp]] = {ops[0]: ops for ops in groups.values() if len(ops) > 1}
        for first, ops in merged.items():
            self.group |= dict.fromkeys(ops, self.group[first])
        self.order()
        return merged

    def order(self, ahead: Container[Operation] = ()) -> None:
        """Sort the ops by their loops; within one those that come ahead, then the others, stay in order."""
        for part in self.parts:
            part.sort(key=lambda op: (self.group[op], op not in ahead))
        self.ops = [op for part in self.parts for op in part]

    def sum_in_loops(self) -> frozenset[SSAValue]:
        """Move products with matrices into the loop that alone reads them, so that their sums need no memory."""
        readers = {
            op: loop
            for op in self.ops
            if isinstance(op, snn.LinearOp)
            and not self.is_layer(self.part_of[op])
            and not any(op in ops for ops in self.together.values())
            and (loop := self.only_reader(op.output)) is not None
        }
        self.group |= readers
        self.order(readers)
        return frozenset(op.output for op in readers)

    def only_reader(self, value: SSAValue) -> int | None:
        """The elementwise loop that alone reads a value."""
        readers = [use.operation for use in value.uses]
        loops = {self.group[reader] for reader in readers if isinstance(reader, ELEMENTWISE)}
        return loops.pop() if len(loops) == 1 and all(isinstance(reader, ELEMENTWISE) for reader in readers) else None

    def read_once(self) -> set[SSAValue]:
        """The sums over windows that the ops of one elementwise loop read, and nothing else."""
        ops = (op for op in self.ops if isinstance(op, snn.ConvOp | snn.PoolOp))
        return {op.output for op in ops if self.only_reader(op.output) is not None}

    def is_layer(self, part: int) -> bool:
        """Whether a part runs for a chunk of steps on end, tile by tile of its neurons."""
        return self.split and _is_layer(self.parts[part], self.states)

    def home(self, argument: SSAValue) -> int:
        """The part that has to do with a state or an input, the last where none has."""
        next = self.nexts.get(argument)
        ops = [use.operation for use in argument.uses if use.operation in self.part_of]
        ops += [next.owner] if next is not None and next.owner in self.part_of else []
        return self.part_of[ops[0]] if ops else len(self.parts) - 1


def _parts(network: snn.NetworkOp) -> list[list[snn.SnnOp]]:
    """The ops of each loop over time, out of their scans; one loop where there are none."""
    states = frozenset(network.state_args)
    scans = [op for op in network.body.block.ops if isinstance(op, snn.ScanOp)]
    inside = [[op for op in scan.body.block.ops if isinstance(op, snn.SnnOp)] for scan in scans]
    for scan in scans:
        for result, value in zip(scan.outputs, scan.yielded.values, strict=True):
            result.replace_all_uses_with(value)
    every = [op for op in network.body.block.walk() if isinstance(op, snn.SnnOp)]
    if len(every) != sum(map(len, inside)):
        return [every]
    parts = list[list[snn.SnnOp]]()
    for ops in inside:
        if parts and not any(_is_layer(part, states) for part in (ops, parts[-1])):
            parts[-1] += ops
        else:
            parts.append(ops)
    return parts or [[]]


def _is_layer(part: list[snn.SnnOp], states: Container[SSAValue]) -> bool:
    """Whether ops are products with large matrices and elementwise ops, their only readers, and nothing that these give
    reaches a product, not by a state either."""
    products = [op for op in part if isinstance(op, snn.LinearOp)]
    ops: list[Operation] = list(part[len(products) :])
    inputs = [op.input for op in products]
    return (
        len(ops) > 0
        and sum(array(op.weight).nbytes for op in products) > RESIDENT
        and all(isinstance(op, ELEMENTWISE) for op in ops)
        and len({snn.tensor_of(op.results[0]).get_shape() for op in ops}) == 1
        and all(use.operation in ops for op in products for use in op.output.uses)
        and not any(value in states or value.owner in part for value in inputs)
    )


def _groups(parts: list[list[snn.SnnOp]]) -> dict[Operation, int]:
    """The loop over elements that each op stands in: neighbouring elementwise ops of one shape share theirs."""
    group = dict[Operation, int]()
    count = 0
    for part in parts:
        last: snn.SnnOp | None = None
        for op in part:
            alike = (
                last is not None
                and isinstance(op, ELEMENTWISE)
                and isinstance(last, ELEMENTWISE)
                and snn.tensor_of(op.results[0]).get_shape() == snn.tensor_of(last.results[0]).get_shape()
            )
            count += not alike
            group[op], last = count, op
    return group
