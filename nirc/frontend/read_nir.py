"""A .nir file becomes a module of the `nir` dialect; every fault is collected and reported with the others.

Layout of a .nir file (NIR 0.1 to 1.0): `/version`, and `/node` with `type`, `nodes/<name>/{type, fields...}` and
`edges`, an (E, 2) list of names. Source: nir 1.0.8, `nir/serialization.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, UnrealizedConversionCastOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from nirc.dialects import nir
from nirc.dialects.dense import array, as_dense, dense
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir import quote
from nirc.frontend.hdf5 import Broken, Tree, Value, read_tree
from nirc.frontend.nodes import NODES, FieldFault, NodeFormat, dimensions


@dataclass
class Reading:
    """What came of reading a file: the module, whole only where there are no faults, and the faults."""

    module: ModuleOp
    faults: list[str] = field(default_factory=list[str])
    output_shapes: dict[str, nir.Shape] = field(default_factory=dict[str, nir.Shape])
    """What the Output nodes state; never used, but a difference is worth a note."""


def read_nir(path: str) -> Reading:
    """Read a .nir file.

    Nodes with faults are missing in the module (a value that nothing defines stands for their output), so that the
    shapes of the others can still be checked. Raises DiagnosticException where the file is not HDF5 at all.
    """
    return _Reader(read_tree(path)).read()


class _Reader:
    def __init__(self, tree: Tree):
        self.tree = tree
        self.module = ModuleOp([])
        self.faults = list[str]()
        self.output_shapes = dict[str, nir.Shape]()

    def note(self, kind: str, topic: str, statement: str) -> None:
        nir.assume(self.module, kind, topic, statement)

    def read(self) -> Reading:
        version = self.tree.get("version")
        if not isinstance(version, str) or not version[:1].isdigit():
            seen = "no version" if version is None else f"the version {version!r}"
            self.note("note", "version", f"the file holds {seen}; it is read as NIR 1.0")
        root = self.tree.get("node")
        if isinstance(root, dict):
            self.read_graph(root, str(version) if isinstance(version, str) else None)
        else:
            why = f": {root.why}" if isinstance(root, Broken) else ""
            self.faults.append(f"no group 'node'{why}; a .nir file holds its graph there")
        return Reading(self.module, self.faults, self.output_shapes)

    def read_graph(self, root: Tree, version: str | None) -> None:
        kind = root.get("type")
        if kind != "NIRGraph":
            self.faults.append(f"the root is {_type_text(kind)}, must be a NIRGraph")
            return
        nodes = root.get("nodes")
        if not isinstance(nodes, dict) or not nodes:
            self.faults.append("the graph has no nodes (group 'nodes')")
            return
        for name in sorted(root.keys() - {"type", "nodes", "edges", "metadata"}):
            self.note("note", "unknown field", f"{quote(name)} on the graph is ignored")
        sources = self.read_edges(root.get("edges"), nodes)
        inputs = self.read_ports(nodes, "Input")
        outputs = self.read_ports(nodes, "Output")
        self.output_shapes = {name: shape for name, shape in outputs.items() if shape is not None}
        self.complete_ports(nodes, sources, inputs, outputs)

        block = Block(arg_types=[nir.SignalType(shape) for shape in inputs.values()])
        values = dict[str, SSAValue](zip(inputs, block.args, strict=True))
        for name, value in values.items():
            value.name_hint = _hint(name)
        hole = UnrealizedConversionCastOp(operands=[[]], result_types=[[nir.SignalType(None)]])
        ops = dict[str, nir.NodeOp]()
        for name in _order(nodes, sources, inputs):
            op = self.read_node(name, nodes[name], hole.results[0])
            if op is not None:
                ops[name] = op
                block.add_op(op)
                op.output.name_hint = _hint(name)
                values[name] = op.output
            elif name not in inputs and name not in outputs:
                values[name] = hole.results[0]
        for name, op in ops.items():
            op.operands[0] = self.joined(block, op, [values[source] for source in sources[name]], hole)
        yielded = nir.YieldOp([])
        block.add_op(yielded)
        yielded.operands = [
            self.joined(block, yielded, [values[source] for source in sources[name] if source in values], hole)
            for name in outputs
        ]
        if hole.results[0].first_use is not None:
            block.insert_op_before(hole, block.first_op or yielded)
        properties = dict[str, Attribute]()
        if metadata := self.read_metadata("the graph", root.get("metadata")):
            properties["metadata"] = metadata
        if version is not None:
            properties["version"] = StringAttr(version)
        self.module.body.block.add_op(nir.GraphOp("main", inputs, outputs, Region(block), properties))

    def joined(
        self, block: Block, user: nir.NodeOp | nir.YieldOp, sources: list[SSAValue], hole: UnrealizedConversionCastOp
    ) -> SSAValue:
        """One signal for all edges into a port."""
        if not sources:
            return hole.results[0]
        if len(sources) == 1:
            return sources[0]
        total = nir.SumOp(sources)
        block.insert_op_before(total, user)
        return total.output

    def read_edges(self, edges: Value | None, nodes: Tree) -> dict[str, list[str]]:
        """For each node the nodes that lead to it, in the order of their names."""
        sources: dict[str, list[str]] = {name: [] for name in nodes}
        if edges is None or isinstance(edges, dict | Broken):
            why = f" ({edges.why})" if isinstance(edges, Broken) else ""
            self.faults.append(f"the graph has no edges (dataset 'edges'){why}")
            return sources
        if (isinstance(edges, np.ndarray) and edges.size == 0) or (isinstance(edges, tuple) and not edges):
            self.faults.append("the graph has no edges; nothing leads from an Input to an Output")
            return sources
        if not isinstance(edges, np.ndarray) or edges.dtype.kind != "O" or edges.ndim != 2 or edges.shape[1] != 2:
            held = f"{edges.dtype}, {'x'.join(map(str, edges.shape))}" if isinstance(edges, np.ndarray) else "text"
            self.faults.append(f"edges: must be an E x 2 list of node names, not {held}")
            return sources
        seen = set[tuple[str, str]]()
        for source, target in edges.tolist():
            edge = f"edge {quote(source)} -> {quote(target)}"
            missing = [name for name in (source, target) if name not in nodes]
            for name in missing:
                inner = [known for known in nodes if known.split(".")[-1] == name]
                near = inner or [*get_close_matches(name, list(nodes), 1)]
                hint = f"; did you mean {quote(near[0])}?" if near else ""
                self.faults.append(f"{edge}: no node {quote(name)}{hint}")
            if (source, target) in seen:
                self.faults.append(f"{edge}: stands twice; add the weights up in one node, or remove one")
            elif not missing:
                if _type_of(nodes[target]) == "Input":
                    self.faults.append(f"{edge}: leads into an Input")
                elif _type_of(nodes[source]) == "Output":
                    self.faults.append(f"{edge}: leaves an Output")
                else:
                    sources[target].append(source)
            seen.add((source, target))
        for names in sources.values():
            names.sort()
        return sources

    def read_ports(self, nodes: Tree, kind: str) -> dict[str, nir.Shape | None]:
        """The graph's Inputs or Outputs by name, with the shapes that the file states."""
        ports = dict[str, nir.Shape | None]()
        for name in sorted(nodes):
            node = nodes[name]
            if isinstance(node, dict) and node.get("type") == kind:
                ports[name] = None
                if kind == "Input" or "shape" in node:
                    try:
                        ports[name] = dimensions(_field(node, "shape"))
                    except FieldFault as fault:
                        self.faults.append(f"node {quote(name)} ({kind}), shape: {fault}")
        return ports

    def complete_ports(
        self,
        nodes: Tree,
        sources: dict[str, list[str]],
        inputs: dict[str, nir.Shape | None],
        outputs: dict[str, nir.Shape | None],
    ) -> None:
        """Infer the Inputs and Outputs that are missing, drop nodes that nothing connects."""
        leading = {source for names in sources.values() for source in names}
        for name in sorted(sources):
            if name in inputs:
                continue
            if name in outputs:
                if not sources[name] and not self.faults:
                    self.faults.append(f"node {quote(name)} (Output): no edge leads to it")
            elif not sources[name] and name not in leading:
                if not self.faults and _type_of(nodes[name]) in NODES:
                    self.note("choice", "node dropped", f"{quote(name)} is not connected to anything and is left out")
                    del nodes[name], sources[name]
            elif not sources[name]:
                port = self.infer_port("Input", name, nodes, sources)
                inputs[port] = None
                sources[name] = [port]
            elif name not in leading:
                port = self.infer_port("Output", name, nodes, sources)
                outputs[port] = None
                sources[port] = [name]

    def infer_port(self, kind: str, node: str, nodes: Tree, sources: dict[str, list[str]]) -> str:
        """A port where an edge is missing; its name is nobody else's."""
        port = f"{kind.lower()}_{node}"
        while port in nodes:
            port += "_"
        nodes[port] = {"type": kind}
        sources[port] = []
        way = "leads to" if kind == "Input" else "leaves"
        self.note("choice", kind, f"no edge {way} {quote(node)}; an {kind} {quote(port)} is inferred there")
        return port

    def read_node(self, name: str, node: Value, unknown: SSAValue) -> nir.NodeOp | None:
        """The op of a node, or None for the graph's own ports and for nodes with faults."""
        if not isinstance(node, dict):
            self.faults.append(f"node {quote(name)}: {node.why if isinstance(node, Broken) else 'must be a group'}")
            return None
        kind = node.get("type")
        if kind in ("Input", "Output"):
            return None
        if not isinstance(kind, str) or kind not in NODES:
            known = sorted([*NODES, "Input", "Output"])
            near = [text for text in known if isinstance(kind, str) and text.lower() == kind.lower()]
            near = near or (get_close_matches(kind, known, 1) if isinstance(kind, str) else [])
            hint = f"did you mean {near[0]}?" if near else f"known types: {', '.join(known)}"
            self.faults.append(f"node {quote(name)}: {_type_text(kind)}; {hint}")
            return None
        parameters = self.read_fields(f"node {quote(name)} ({kind})", node, NODES[kind])
        if parameters is None:
            return None
        op = NODES[kind].op(name, unknown, parameters)
        faults = [f"node {quote(name)} ({kind}), {fault}" for fault in op.faults()]
        self.faults.extend(faults)
        for gain in ("r", "w_in"):
            attr = as_dense(op.properties.get(gain))
            if attr is not None and not faults and not np.any(array(attr)):
                self.note("note", "gain", f"node {quote(name)} ({kind}), {gain}: 0, so its input has no effect")
        return None if faults else op

    def read_fields(self, where: str, node: Tree, form: NodeFormat) -> dict[str, Attribute] | None:
        parameters = dict[str, Attribute]()
        faults = list[str]()
        known = {spec.name for spec in form.fields}
        unknown = sorted(node.keys() - known - form.unused - {"type", "metadata"})
        for spec in form.fields:
            value = node.get(spec.name)
            if value is not None:
                try:
                    parameters[spec.name] = spec.convert(value)
                except FieldFault as fault:
                    faults.append(f"{where}, {spec.name}: {fault}")
            elif spec.default is not None:
                parameters[spec.name] = spec.default
            elif spec.required:
                near = get_close_matches(spec.name, unknown, 1, 0.5)
                hint = f"; there is an unknown field {quote(near[0])}, is it that?" if near else ""
                faults.append(f"{where}, {spec.name}: missing{hint}")
        for name in unknown:
            self.note("note", "unknown field", f"{where}: {quote(name)} is ignored")
        if metadata := self.read_metadata(where, node.get("metadata")):
            parameters["metadata"] = metadata
        self.faults.extend(faults)
        return None if faults else parameters

    def read_metadata(self, where: str, value: Value | None) -> DictionaryAttr | None:
        """What a writer added; kept as it is, never interpreted here."""
        if value is None:
            return None
        if not isinstance(value, dict):
            self.note("note", "metadata", f"{where}: metadata is not a group and is ignored")
            return None
        attr = _metadata(value)
        return attr if isinstance(attr, DictionaryAttr) and attr.data else None


def _metadata(value: Value) -> Attribute | None:
    if isinstance(value, str):
        return StringAttr(value)
    if isinstance(value, tuple):
        return ArrayAttr([StringAttr(item) for item in value])
    if isinstance(value, dict):
        kept = {name: _metadata(item) for name, item in sorted(value.items())}
        return DictionaryAttr({name: attr for name, attr in kept.items() if attr is not None})
    if isinstance(value, Broken) or value.dtype.kind == "O":
        return None
    if value.dtype.kind == "f" and not np.all(np.isfinite(value)):
        return StringAttr(str(value.tolist()))  # xDSL's text form of such numbers does not read back
    try:
        return dense(value)
    except KeyError:
        return dense(value.astype(np.float64 if value.dtype.kind == "f" else np.int64))


def _field(node: Tree, name: str) -> Value:
    value = node.get(name)
    if value is None:
        raise FieldFault("missing")
    return value


def _type_of(node: Value) -> Value | None:
    return node.get("type") if isinstance(node, dict) else None


def _type_text(kind: Value | None) -> str:
    return (
        f"unknown type {quote(kind)}" if isinstance(kind, str) else "of no type (field 'type' is missing or not text)"
    )


def _order(nodes: Tree, sources: dict[str, list[str]], inputs: Iterable[str]) -> list[str]:
    """The nodes as a reader would list them: along the edges, from the inputs on."""
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for name in sorted(sources):
        for source in sources[name]:
            if source in targets:
                targets[source].append(name)
    return depth_first([*inputs, *sorted(nodes)], lambda name: targets[name])[0]


def _hint(name: str) -> str:
    """A name for printed IR: letters, digits and underscores, not ending like a number of the printer's own."""
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in name[:40])
    return text if text[:1].isalpha() else f"n{text}"
