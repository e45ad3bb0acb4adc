"""`nir-expand-neurons`: neurons become the simpler nodes that they are composed of, the way back from recognition."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from nirc.dialects import nir
from nirc.dialects.nir import quote
from nirc.passes.composites import Composite, Spiking, chosen
from nirc.passes.convert_nir_to_snn.step import RESET_KEYS, stated_reset


@dataclass(frozen=True)
class NirExpandNeuronsPass(ModulePass):
    """Decompose neurons; the part with the output keeps the name, the others are called `<name>_<role>`.

    types   NIR's names of what to expand, `types=LIF,CubaLIF`; all where empty

    LIF and IF are expanded only where metadata states reset by subtraction: no other reset is a feedback. The rest is
    left as it is, which is noted.
    """

    name = "nir-expand-neurons"

    types: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        composites = chosen(self.types)
        with nir.assuming(op) as note:
            for graph in op.ops:
                if isinstance(graph, nir.GraphOp):
                    names = nir.Names(graph)
                    # Synapses first: a CubaLIF gives a LIF, which may be expanded in turn.
                    for composite in reversed(composites):
                        for node in tuple(graph.nodes()):
                            if isinstance(node, composite.whole):
                                _expand(note, graph, node, composite, names)


def _expand(note: nir.Assume, graph: nir.GraphOp, node: nir.NodeOp, composite: Composite, names: nir.Names) -> None:
    stated = stated_reset(node.metadata) or stated_reset(graph.metadata)
    parts = composite.decompose(node, stated)
    label = f"{quote(node.node.data)} ({node.NIR_TYPE})"
    if parts is None:
        why = "only a reset by subtraction of the threshold can be fed back, and its metadata states none"
        note("note", "not expanded", f"{label} is left as it is: {why}")
        return
    block = node.parent_block()
    assert block is not None
    shape = nir.shape_of(node.output)
    made = dict[str, nir.NodeOp]()
    value: SSAValue = node.input
    for role, kind, parameters in parts:
        last = role == composite.EXIT
        name = node.node.data if last else names.fresh(f"{node.node.data}_{role}")
        if last and (metadata := _metadata(node, composite)) is not None:
            parameters = {**parameters, "metadata": metadata}
        made[role] = part = kind(name, value, parameters, shape)
        part.output.name_hint = node.output.name_hint
        block.insert_op_before(part, node)
        value = part.output
    if isinstance(composite, Spiking):
        entry = made[composite.ENTRY]
        terms = entry.input.owner.inputs if isinstance(entry.input.owner, nir.SumOp) else (entry.input,)
        total = nir.SumOp([*terms, made["feedback"].output], shape)
        block.insert_op_before(total, entry)
        entry.operands[0] = total.output
    node.output.replace_all_uses_with(made[composite.EXIT].output)
    total_before = node.input.owner
    node.detach()
    node.drop_all_references()
    if isinstance(total_before, nir.SumOp) and total_before.output.first_use is None:
        total_before.detach()
        total_before.drop_all_references()
    listed = ", ".join(f"{quote(part.node.data)} ({part.NIR_TYPE})" for part in made.values())
    note("note", "expanded", f"{label} becomes {listed}")


def _metadata(node: nir.NodeOp, composite: Composite) -> DictionaryAttr | None:
    """The node's metadata; what it says of the reset is said by the feedback."""
    if node.metadata is None or not isinstance(composite, Spiking):
        return node.metadata
    kept = {key: value for key, value in node.metadata.data.items() if key not in RESET_KEYS}
    return DictionaryAttr(kept) if kept else None
