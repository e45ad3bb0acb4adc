"""`nir-recognize-neurons`: nodes that together are a neuron of NIR become that neuron.

The compositions stand in `nirc.passes.composites`. They are found as subgraphs (networkx, VF2), in the order of the
nodes' names; what else uses a signal between the parts keeps them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from nirc.dialects import nir
from nirc.dialects.nir import quote
from nirc.passes.composites import SUBTRACT, Composite, Parts, Spiking, chosen
from nirc.passes.nir_infer_shapes import require_shapes


@dataclass(frozen=True)
class NirRecognizeNeuronsPass(ModulePass):
    """Compose neurons; the composed node bears the name of the part whose output it has.

    types   NIR's names of what to recognize, `types=LIF,CubaLIF`; all where empty

    Where a reset was fed back, the node's metadata says `reset: subtract` from then on.
    Raises PassFailedException where shapes are not inferred yet.
    """

    name = "nir-recognize-neurons"

    types: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        composites = chosen(self.types)
        require_shapes(op)
        with nir.assuming(op) as note:
            for graph in op.ops:
                if isinstance(graph, nir.GraphOp):
                    for composite in composites:
                        _recognize(note, graph, composite)


def _recognize(note: nir.Assume, graph: nir.GraphOp, composite: Composite) -> None:
    gone = set[nir.NodeOp]()
    for parts in _matches(graph, composite):
        if gone.isdisjoint(parts.values()) and (parameters := composite.compose(parts)) is not None:
            gone.update(parts.values())
            _compose(note, composite, parts, nir.with_metadata(parameters, *_speakers(parts, composite)))


def _matches(graph: nir.GraphOp, composite: Composite) -> Iterator[Parts]:
    """The places where the parts stand, by the nodes' names."""
    needed = {kinds for roles, _ in composite.templates for kinds in roles.values() if len(kinds) == 1}
    present = {type(node) for node in graph.nodes()}
    if not all(present & set(kinds) for kinds in needed):
        return
    import networkx as nx
    from networkx.algorithms.isomorphism import DiGraphMatcher

    for roles, edges in composite.templates:
        wanted = cast(Any, nx.DiGraph())
        for role, types in roles.items():
            wanted.add_node(role, types=types)
        wanted.add_edges_from(edges)
        kinds = tuple(kind for types in roles.values() for kind in types)
        whole = cast(Any, nx.DiGraph())
        for node in graph.nodes():
            if isinstance(node, kinds):
                whole.add_node(node, type=type(node))
        for node in whole:
            whole.add_edges_from((node, user) for user in _users(node) if user in whole)
        found = list[Parts]()
        for component in cast(Any, nx).weakly_connected_components(whole):
            if len(component) >= len(roles):
                matcher = DiGraphMatcher(whole.subgraph(component), wanted, _plays)
                for match in matcher.subgraph_monomorphisms_iter():
                    parts = {role: node for node, role in match.items()}
                    if _alone(parts, edges, composite):
                        found.append(parts)
        yield from sorted(found, key=lambda parts: parts[composite.EXIT].node.data)


def _plays(node: dict[str, Any], role: dict[str, Any]) -> bool:
    return node["type"] in role["types"]


def _users(node: nir.NodeOp) -> Iterator[Operation]:
    """The nodes that a signal enters, directly or in a sum."""
    for use in node.output.uses:
        if isinstance(use.operation, nir.SumOp):
            yield from (inner.operation for inner in use.operation.output.uses)
        else:
            yield use.operation


def _alone(parts: Parts, edges: tuple[tuple[str, str], ...], composite: Composite) -> bool:
    """Whether nothing else uses what flows between the parts, and nothing else flows into them but at the entry."""
    for source, target in edges:
        if source != composite.EXIT and not parts[source].output.has_one_use():
            return False
        if target != composite.ENTRY and parts[target].input is not parts[source].output:
            return False
    if isinstance(composite, Spiking):
        total = parts[composite.ENTRY].input
        return isinstance(total.owner, nir.SumOp) and total.has_one_use()
    return True


def _speakers(parts: Parts, composite: Composite) -> list[nir.NodeOp]:
    """The parts whose metadata the neuron takes over: of a synapse and a membrane the membrane's."""
    return list(parts.values()) if isinstance(composite, Spiking) else [parts[composite.EXIT]]


def _compose(note: nir.Assume, composite: Composite, parts: Parts, parameters: dict[str, Attribute]) -> None:
    entry, last = parts[composite.ENTRY], parts[composite.EXIT]
    names = ", ".join(f"{quote(part.node.data)} ({part.NIR_TYPE})" for part in parts.values())
    text = f"{names} together are {quote(last.node.data)} ({composite.whole.NIR_TYPE})"
    source = entry.input
    if isinstance(composite, Spiking):
        held = parameters.get("metadata")
        kept = dict(held.data) if isinstance(held, DictionaryAttr) else dict[str, Attribute]()
        parameters["metadata"] = DictionaryAttr({**kept, "reset": SUBTRACT})
        note("choice", "recognized", f"{text}, reset by subtraction: a spike fed back is an impulse of area 1")
        source = _without(source, parts["feedback"].output)
    else:
        note("note", "recognized", text)
    node = composite.whole(last.node.data, source, parameters, nir.shape_of(last.output))
    node.output.name_hint = last.output.name_hint
    block = last.parent_block()
    assert block is not None
    block.insert_op_before(node, last)
    last.output.replace_all_uses_with(node.output)
    for part in parts.values():
        part.detach()
        part.drop_all_references()


def _without(total: SSAValue, term: SSAValue) -> SSAValue:
    """The sum without one of its terms."""
    assert isinstance(total.owner, nir.SumOp)
    rest = [value for value in total.owner.inputs if value is not term]
    if len(rest) > 1:
        total.owner.operands = rest
        return total
    total.owner.detach()
    total.replace_all_uses_with(rest[0])
    total.owner.drop_all_references()
    return rest[0]
