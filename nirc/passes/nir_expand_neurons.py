"""`nir-expand-neurons`: neurons become the simpler nodes that they are composed of, the way back from recognition."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from nirc.dialects import nir
from nirc.dialects.nir import quote
from nirc.passes.composites import Composite, Spiking, Synapse, chosen
from nirc.passes.convert_nir_to_snn.step import RESET_KEYS, stated_resets
from nirc.passes.nir_infer_shapes import require_shapes


@dataclass(frozen=True)
class NirExpandNeuronsPass(ModulePass):
    """Decompose neurons; the part with the output keeps the name, the others are called `<name>_<role>`. All of them
    have the neuron's metadata, so that what it says of dt holds for each.

    types   NIR's names of what to expand, `types=LIF,CubaLIF`; all where empty

    LIF and IF are expanded only where metadata states reset by subtraction: no other reset is a feedback. The rest is
    left as it is, which is noted. Raises PassFailedException where shapes are not inferred yet.
    """

    name = "nir-expand-neurons"

    types: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        composites = chosen(self.types)
        require_shapes(op)
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
    parts = composite.decompose(node, stated_resets(node.metadata) or stated_resets(graph.metadata))
    label = f"{quote(node.node.data)} ({node.NIR_TYPE})"
    if isinstance(parts, str):
        note("note", "not expanded", f"{label} is left as it is: {parts}")
        return
    block = node.parent_block()
    assert block is not None
    shape = nir.shape_of(node.output)
    made = dict[str, nir.NodeOp]()
    value: SSAValue = node.input
    for role, kind, parameters in parts:
        last = role == composite.EXIT
        name = node.node.data if last else names.fresh(f"{node.node.data}_{role}")
        if (metadata := _metadata(node, resets=last and isinstance(composite, Synapse))) is not None:
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


def _metadata(node: nir.NodeOp, *, resets: bool) -> DictionaryAttr | None:
    """The node's metadata; what it says of the reset is for the part that resets, or is said by the feedback."""
    if node.metadata is None or resets:
        return node.metadata
    kept = {key: value for key, value in node.metadata.data.items() if key not in RESET_KEYS}
    return DictionaryAttr(kept) if kept else None
