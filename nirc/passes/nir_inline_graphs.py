"""`nir-inline-graphs`: nested graphs become part of the outermost one.

A node's full name joins the names on the way to it by periods, `sub.lif`. What a nested graph's metadata says of its
dt and its reset goes to its nodes, where they say nothing themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException, VerifyException

from nirc.dialects import nir
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir import quote
from nirc.passes.convert_nir_to_snn.step import RESET_KEYS

INHERITED = ("dt", *RESET_KEYS)
"""The keys of metadata that speak of all nodes of a graph."""


@dataclass(frozen=True)
class NirInlineGraphsPass(ModulePass):
    """Replace every instance by the nodes of its graph, and remove the graphs that had instances.

    most    operations, and terms of sums, to allow; graphs that are used several times can grow beyond any measure

    Raises PassFailedException where an instance names no graph, other ports, or itself, and above `most`.
    """

    name = "nir-inline-graphs"

    most: int = 1_000_000

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        try:
            callees = nir.callees(op)
        except VerifyException as error:
            raise PassFailedException(str(error)) from error
        if not callees:
            return
        called = set(callees.values())
        graphs = [graph for graph in op.ops if isinstance(graph, nir.GraphOp)]
        copies = self.copies(graphs, callees, called)
        for graph in graphs:
            if graph not in called:
                _Inlining(op, graph, copies, self.most).run()
        for graph in called:
            graph.detach()
            graph.erase(safe_erase=False)

    def copies(
        self, graphs: list[nir.GraphOp], callees: dict[nir.InstanceOp, nir.GraphOp], called: set[nir.GraphOp]
    ) -> dict[nir.GraphOp, int]:
        """How often each graph will stand in the outermost ones, counted before anything is copied."""
        held = {graph: [callees[instance] for instance in graph.instances()] for graph in graphs}
        copies = {graph: 0 if graph in called else 1 for graph in graphs}
        total = 0
        for graph in depth_first(graphs, lambda graph: held[graph])[0]:
            total += copies[graph] * len(graph.body.block.ops)
            for callee in held[graph]:
                copies[callee] += copies[graph]
        if total > self.most:
            raise PassFailedException(f"the nested graphs hold more than {self.most:,} operations in all")
        return copies


@dataclass
class _Inlining:
    """One outermost graph on its way to having no others in it."""

    module: ModuleOp
    graph: nir.GraphOp
    copies: dict[nir.GraphOp, int]
    most: int

    def run(self) -> None:
        """Work from the outside in, so that each operation moves once."""
        graphs = {op.sym_name.data: op for op in self.module.ops if isinstance(op, nir.GraphOp)}
        names = nir.Names(self.graph)
        pending = list(self.graph.instances())
        paths: dict[nir.InstanceOp, str] = {op: op.node.data for op in pending}
        inherited: dict[nir.InstanceOp, DictionaryAttr | None] = dict.fromkeys(pending)
        while pending:
            instance = pending.pop()
            path = paths.pop(instance)
            callee = graphs[instance.graph.string_value()]
            metadata = _merged(inherited.pop(instance), callee.metadata)
            inner, outputs = self.body(callee, instance)
            self.graph.body.block.insert_ops_before(inner, instance)
            for op in inner:
                if isinstance(op, nir.InstanceOp):
                    pending.append(op)
                    paths[op] = f"{path}.{op.node.data}"
                    inherited[op] = metadata
                elif isinstance(op, nir.NodeOp):
                    op.properties["node"] = StringAttr(self.named(f"{path}.{op.node.data}", names))
                    if (merged := _merged(metadata, op.metadata)) is not None:
                        op.properties["metadata"] = merged
            for result, value in zip(instance.results, outputs, strict=True):
                # An output that only passes an input on may carry another output of the same graph.
                passed = set[SSAValue]()
                while value in instance.results:
                    if value in passed:
                        raise PassFailedException(f"the loop through {quote(path)} has no node in it")
                    passed.add(value)
                    value = outputs[instance.results.index(value)]
                result.replace_all_uses_with(value)
            instance.detach()
            instance.erase()
        _flatten_sums(self.graph, self.most)

    def body(self, callee: nir.GraphOp, instance: nir.InstanceOp) -> tuple[list[Operation], list[SSAValue]]:
        """The operations of a graph, fed by the instance's operands, and its outputs; the last use takes the graph's
        own, the others copies."""
        self.copies[callee] -= 1
        block: Block = (callee if self.copies[callee] == 0 else callee.clone()).body.block
        for argument, operand in zip(block.args, tuple(instance.inputs), strict=True):
            argument.replace_all_uses_with(operand)
        yielded = block.last_op
        assert isinstance(yielded, nir.YieldOp)
        outputs = list(yielded.values)
        yielded.detach()
        yielded.erase()
        inner = list(block.ops)
        for op in inner:
            op.detach()
        return inner, outputs

    def named(self, name: str, names: nir.Names) -> str:
        """A full name, said where it had to be changed."""
        chosen = names.fresh(name)
        if chosen != name:
            nir.assume(self.module, "note", "name", f"the nested node {quote(name)} is called {quote(chosen)}")
        return chosen


def _flatten_sums(graph: nir.GraphOp, most: int) -> None:
    """Sums whose terms were a nested graph's Input or Output become sums of what those carry, in order."""
    sums = [op for op in graph.body.block.ops if isinstance(op, nir.SumOp)]
    inner = {op: [value.owner for value in op.inputs if isinstance(value.owner, nir.SumOp)] for op in sums}
    order, closing = depth_first(sums, lambda op: inner[op])
    if closing:
        raise PassFailedException("a loop through nested graphs has no node in it")
    count = 0
    for op in reversed(order):
        if inner[op]:
            terms = sum(len(value.owner.inputs) if isinstance(value.owner, nir.SumOp) else 1 for value in op.inputs)
            count += terms
            if count > most:
                raise PassFailedException(f"the sums over nested graphs hold more than {most:,} terms in all")
            op.operands = [
                term
                for value in op.inputs
                for term in (value.owner.inputs if isinstance(value.owner, nir.SumOp) else (value,))
            ]
    for op in order:
        if op.output.first_use is None:
            op.detach()
            op.erase()


def _merged(outer: DictionaryAttr | None, own: DictionaryAttr | None) -> DictionaryAttr | None:
    """Metadata with what is inherited from around it: dt, and the reset where it states none under any key."""
    kept = {} if outer is None else {key: value for key, value in outer.data.items() if key in INHERITED}
    if own is None:
        return DictionaryAttr(kept) if kept else None
    if any(key in own.data for key in RESET_KEYS):
        kept = {key: value for key, value in kept.items() if key not in RESET_KEYS}
    return DictionaryAttr({**kept, **own.data}) if kept else own
