"""A .nir file becomes a module of the `nir` dialect; every fault is collected and reported with the others.

Layout of a .nir file (NIR 0.1 to 1.0): `/version`, and `/node` with `type`, `nodes/<name>/{type, fields...}` and
`edges`, an (E, 2) list of names. A nested graph is a node of the type NIRGraph with nodes and edges of its own; it
becomes a `nir.graph` and an instance of it. An edge names one of its ports `node.port` where there are several.
Source: nir 1.0.8, `nir/serialization.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeAlias

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, UnrealizedConversionCastOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from nirc.dialects import nir
from nirc.dialects.dense import array, as_dense, dense
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir import listed, quote
from nirc.frontend.hdf5 import Broken, Tree, Value, read_tree
from nirc.frontend.nodes import NODES, FieldFault, NodeFormat, dimensions

FIXES: dict[str, str] = {
    "edge-names": "edges that name no node mean the one node that no edge names (the NIR paper's subgraph files)",
}
"""Known defects of files and how `--fix NAME` mends them."""

Port: TypeAlias = tuple[str, int]
"""A node's name and the number of one of its inputs, or of one of its outputs."""

_PORTS = ("Input", "Output")


@dataclass
class Reading:
    """What came of reading a file: the module, whole only where there are no faults, and the faults."""

    module: ModuleOp
    faults: list[str] = field(default_factory=list[str])


def read_nir(path: str, fixes: frozenset[str] = frozenset()) -> Reading:
    """Read a .nir file; `fixes` names the entries of FIXES to apply.

    Nodes with faults are missing in the module (a value that nothing defines stands for their output), so that the
    shapes of the others can still be checked. Raises DiagnosticException where the file is not HDF5 at all.
    """
    return read_graphs(read_tree(path), fixes)


def read_graphs(tree: Tree, fixes: frozenset[str] = frozenset()) -> Reading:
    """Read a tree of the layout above: the outermost graph, then those within it, each once."""
    reading = Reading(ModuleOp([]))
    with nir.assuming(reading.module) as note:
        _File(reading.module, reading.faults, note, fixes).read(tree)
    return reading


@dataclass
class _File:
    """What the readers of a file's graphs have in common."""

    module: ModuleOp
    faults: list[str]
    note: nir.Assume
    fixes: frozenset[str]
    metadata_left: int = 100_000
    """Entries of metadata that may still be kept: linked groups can stand for any number of them."""
    symbols: dict[int, str] = field(default_factory=dict[int, str])
    """The symbol of each graph, by the identity of its tree."""
    pending: deque[_GraphReader] = field(default_factory=deque["_GraphReader"])

    def read(self, tree: Tree) -> None:
        """Read the outermost graph and all within it."""
        version = tree.get("version")
        if not isinstance(version, str):
            seen = "no version" if version is None else "a version that is no text"
            self.note("note", "version", f"the file holds {seen}; it is read as NIR 1.0")
        elif not version[:1].isdigit():
            self.note("note", "version", f"the file holds the version {quote(version)}; it is read as NIR 1.0")
        root = tree.get("node")
        if not isinstance(root, dict):
            why = f": {root.why}" if isinstance(root, Broken) else ""
            self.faults.append(f"no group 'node'{why}; a .nir file holds its graph there")
            return
        kind = _kind(root)
        graph: Tree = root
        single = kind if kind in NODES else None
        if single is not None:
            self.note("note", "single node", f"the file holds a single {single} and no graph; one is made around it")
            nodes: Tree = {single.lower(): root}
            graph = {"nodes": nodes}
        elif kind != "NIRGraph":
            what = f"an {kind}" if kind in _PORTS else _type_text(kind)
            self.faults.append(f"the root is {what}, must be a NIRGraph or a single node that computes")
            return
        self.symbols[id(graph)] = "main"
        self.pending.append(_GraphReader(self, graph, "main", single=single is not None))
        while self.pending:
            self.pending.popleft().read(version if isinstance(version, str) else None)

    def symbol(self, tree: Tree, name: str, path: str) -> str:
        """The symbol of a nested graph, which is put on the list when it is met first."""
        if id(tree) not in self.symbols:
            self.symbols[id(tree)] = f"{_hint(name)}_{len(self.symbols)}"
            self.pending.append(_GraphReader(self, tree, self.symbols[id(tree)], path))
        return self.symbols[id(tree)]


@dataclass
class _GraphReader:
    """One graph; `path` is the full name of the node that it stands in, empty for the outermost."""

    file: _File
    tree: Tree
    symbol: str
    path: str = ""
    single: bool = False
    """Whether the graph was made around a single node, which has no edges."""
    nodes: Tree = field(default_factory=dict[str, Value])
    arriving: dict[Port, list[Port]] = field(default_factory=dict[Port, list[Port]])
    """What leads to each input port."""
    inputs: dict[str, nir.Shape | None] = field(default_factory=dict[str, nir.Shape | None])
    outputs: dict[str, nir.Shape | None] = field(default_factory=dict[str, nir.Shape | None])
    reached: set[str] = field(default_factory=set[str])
    """The nodes that edges lead to, from wherever."""
    hints: dict[str, str] = field(default_factory=dict[str, str])
    """What to say of a name that no node has, where that is known."""
    known_ports: dict[tuple[str, str], dict[str | None, int]] = field(
        default_factory=dict[tuple[str, str], dict[str | None, int]]
    )

    def fault(self, text: str) -> None:
        """A fault of the file."""
        self.file.faults.append(text)

    def full(self, name: str) -> str:
        """A node's name from the outermost graph on."""
        return f"{self.path}.{name}" if self.path else name

    def where(self, name: str, kind: str) -> str:
        """How messages call a node."""
        return f"node {quote(self.full(name))} ({kind})"

    @property
    def within(self) -> str:
        """Where an edge stands."""
        return f" in {quote(self.path)}" if self.path else ""

    @property
    def itself(self) -> str:
        """How messages call the graph."""
        return f"the nested graph {quote(self.path)}" if self.path else "the graph"

    def read(self, version: str | None) -> None:
        """Read the graph into the module."""
        nodes = self.tree.get("nodes")
        if not isinstance(nodes, dict) or not nodes:
            self.fault(f"{self.itself} has no nodes (group 'nodes')")
            if self.path:
                empty = nir.GraphOp(self.symbol, (), (), Region(Block([nir.YieldOp([])])))
                self.file.module.body.block.add_op(empty)
            return
        self.nodes = dict(nodes)
        for name in sorted(self.tree.keys() - {"type", "nodes", "edges", "metadata"}):
            self.file.note("note", "unknown field", f"{quote(name)} on {self.itself} is ignored")
        self.inputs, self.outputs = self.read_ports("Input"), self.read_ports("Output")
        if self.single:
            self.complete_node(next(iter(self.nodes)), ends=True)
        else:
            self.read_edges()
            self.complete_ports()
        shapes = self.inputs.values() if not self.path else [None] * len(self.inputs)
        block = Block(arg_types=[nir.signal(shape) for shape in shapes])
        self.fill(block)
        properties = dict[str, Attribute]()
        stated = (*self.inputs.values(), *self.outputs.values())
        if any(shape is not None for shape in stated):
            properties["stated"] = ArrayAttr([nir.signal(shape) for shape in stated])
        if metadata := self.read_metadata(self.itself, self.tree.get("metadata")):
            properties["metadata"] = metadata
        ports = dict[str, Attribute]()
        for name in (*self.inputs, *self.outputs):
            node = self.nodes[name]
            stored = node.get("metadata") if isinstance(node, dict) else None
            if metadata := self.read_metadata(f"node {quote(self.full(name))}", stored):
                ports[name] = metadata
        if ports:
            properties["port_metadata"] = DictionaryAttr(ports)
        if version is not None and not self.path:
            properties["version"] = StringAttr(version)
        graph = nir.GraphOp(self.symbol, self.inputs, self.outputs, Region(block), properties)
        self.file.module.body.block.add_op(graph)

    def fill(self, block: Block) -> None:
        """The graph's nodes, joined by its edges."""
        values = dict[Port, SSAValue]()
        for name, value in zip(self.inputs, block.args, strict=True):
            values[name, 0] = value
            value.name_hint = _hint(name)
        hole = UnrealizedConversionCastOp(operands=[[]], result_types=[[nir.signal(None)]])
        unknown = hole.results[0]
        ops = dict[str, nir.NodeOp | nir.InstanceOp]()
        for name in self.order():
            op = self.read_node(name, unknown)
            if op is not None:
                ops[name] = op
                block.add_op(op)
                for index, result in enumerate(op.results):
                    result.name_hint = _hint(name)
                    values[name, index] = result

        def joined(user: nir.NodeOp | nir.InstanceOp | nir.YieldOp, port: Port) -> SSAValue:
            """One signal for all edges into a port."""
            sources = [values.get(source, unknown) for source in self.arriving.get(port, [])]
            if len(sources) < 2:
                return sources[0] if sources else unknown
            total = nir.SumOp(sources)
            block.insert_op_before(total, user)
            return total.output

        for name, op in ops.items():
            for index in range(len(op.operands)):
                op.operands[index] = joined(op, (name, index))
        yielded = nir.YieldOp([])
        block.add_op(yielded)
        yielded.operands = [joined(yielded, (name, 0)) for name in self.outputs]
        if unknown.first_use is not None:
            block.insert_op_before(hole, block.first_op or yielded)

    def order(self) -> list[str]:
        """The nodes as a reader would list them: along the edges, from the inputs on."""
        targets: dict[str, list[str]] = {name: [] for name in self.nodes}
        for (name, _), sources in sorted(self.arriving.items()):
            for source, _ in sources:
                targets[source].append(name)
        return depth_first([*self.inputs, *sorted(self.nodes)], lambda name: targets[name])[0]

    def nested(self, name: str) -> Tree | None:
        """The nested graph behind a name."""
        node = self.nodes.get(name)
        return node if isinstance(node, dict) and _kind(node) == "NIRGraph" else None

    def ports(self, name: str, kind: str) -> dict[str | None, int]:
        """The ports that edges lead to (Input) or leave (Output), numbered; a plain node's one has no name."""
        if (name, kind) not in self.known_ports:
            graph = self.nested(name)
            if graph is None:
                return {None: 0}
            nodes = graph.get("nodes")
            names = _ports(nodes, kind) if isinstance(nodes, dict) else []
            self.known_ports[name, kind] = {port: index for index, port in enumerate(names)}
        return self.known_ports[name, kind]

    def port_label(self, name: str, kind: str, port: str | None) -> str:
        """How edges name a port: by its node alone where that has one."""
        return name if len(self.ports(name, kind)) == 1 else f"{name}.{port}"

    def read_edges(self) -> None:
        """Fill `arriving`, each port's sources in the order of their names."""
        edges = self.tree.get("edges")
        if edges is None or isinstance(edges, dict | Broken):
            why = f" ({edges.why})" if isinstance(edges, Broken) else ""
            self.fault(f"{self.itself} has no edges (dataset 'edges'){why}")
            return
        if (isinstance(edges, np.ndarray) and edges.size == 0) or (isinstance(edges, tuple) and not edges):
            self.fault(f"{self.itself} has no edges; nothing leads from an Input to an Output")
            return
        if not isinstance(edges, np.ndarray) or edges.dtype.kind != "O" or edges.ndim != 2 or edges.shape[1] != 2:
            held = f"{edges.dtype}, {'x'.join(map(str, edges.shape))}" if isinstance(edges, np.ndarray) else "text"
            self.fault(f"edges{self.within}: must be an E x 2 list of node names, not {held}")
            return
        pairs: list[tuple[str, str]] = [(source, target) for source, target in edges.tolist()]
        renamed = self.renamed(pairs)
        seen = set[tuple[Port | str, Port | str]]()
        for source, target in pairs:
            edge = f"edge {quote(source)} -> {quote(target)}{self.within}"
            leaving = self.endpoint(edge, renamed.get(source, source), "Output")
            entering = self.endpoint(edge, renamed.get(target, target), "Input")
            if entering is not None:
                self.reached.add(entering[0])
            ends = (leaving or source, entering or target)
            if ends in seen:
                self.fault(f"{edge}: stands twice; add the weights up in one node, or remove one")
            elif leaving is not None and entering is not None:
                self.arriving.setdefault(entering, []).append(leaving)
            seen.add(ends)
        for sources in self.arriving.values():
            sources.sort()

    def renamed(self, pairs: list[tuple[str, str]]) -> dict[str, str]:
        """What edges mean by a name that no node has: the one node that no edge names, where --fix edge-names says so.

        Reports the name otherwise, with what would do.
        """
        ends = {name for pair in pairs for name in pair}
        parts = {name: self.split(name, *_PORTS) for name in ends if name not in self.nodes}
        missing = sorted(name for name, found in parts.items() if found is None)
        unnamed = sorted(self.nodes.keys() - ends - {found[0] for found in parts.values() if found is not None})
        if not missing:
            return {}
        if len(missing) == len(unnamed) == 1:
            if "edge-names" in self.file.fixes:
                text = f"edges{self.within} name {quote(missing[0])}, which is no node; it is taken for"
                self.file.note("given", "fix", f"{text} {quote(unnamed[0])}, which no edge names")
                return {missing[0]: unnamed[0]}
            self.hints = {
                missing[0]: f"; did you mean {quote(unnamed[0])}, which no edge names? --fix edge-names takes it"
            }
        return {}

    def split(self, name: str, *kinds: str) -> tuple[str, str] | None:
        """A name `node.port` of a nested graph's port (Input, Output) as its parts.

        A port may bear the node's name already, as snnTorch writes it: `1.input` in `1`.
        """
        at = name.find(".")
        while at >= 0:
            if self.nested(name[:at]) is not None:
                for port in (name[at + 1 :], name):
                    if any(port in self.ports(name[:at], kind) for kind in kinds):
                        return name[:at], port
            at = name.find(".", at + 1)
        return None

    def endpoint(self, edge: str, name: str, kind: str) -> Port | None:
        """The port at one end of an edge: an input of the node (kind Input) or an output (kind Output)."""
        port = None
        if name not in self.nodes or (self.type_of(name) == kind and self.split(name, kind)):
            parts = self.split(name, kind) or self.split(name, *_PORTS)
            if parts is None:
                self.fault(f"{edge}: no node {quote(name)}{self.hints.get(name) or self.near(name)}")
                return None
            name, port = parts
        if (self.type_of(name), kind) == ("Input", "Input"):
            self.fault(f"{edge}: leads into an Input")
            return None
        if (self.type_of(name), kind) == ("Output", "Output"):
            self.fault(f"{edge}: leaves an Output")
            return None
        ports = self.ports(name, kind)
        if port is None and len(ports) == 1:
            return name, 0
        if port is not None and port in ports:
            return name, ports[port]
        listed = ", ".join(quote(item) for item in ports if item is not None)
        nested = f"the nested graph {quote(self.full(name))}"
        if port is not None:
            self.fault(f"{edge}: {nested} has no {kind} {quote(port)}; it has {listed or 'none'}")
        elif ports:
            first = self.port_label(name, kind, next(iter(ports)))
            self.fault(f"{edge}: {nested} has {len(ports)} {kind}s ({listed}); name one, such as {quote(first)}")
        elif not self.is_empty(name):
            self.fault(f"{edge}: {nested} has no {kind}")
        return None

    def is_empty(self, name: str) -> bool:
        """Whether a nested graph holds no nodes, which is a fault of its own."""
        graph = self.nested(name)
        return graph is not None and not graph.get("nodes")

    def near(self, name: str) -> str:
        """A guess at what a wrong name means, where there are few of them."""
        if len(self.file.faults) > 20:
            return ""
        head = name.partition(".")[0]
        inner = [known for known in self.nodes if known.split(".")[-1] == name]
        found = inner or get_close_matches(name, list(self.nodes), 1)
        if self.nested(head) is not None and name != head:
            return f"; from outside only the Inputs and Outputs of {quote(head)} can be named"
        return f"; did you mean {quote(found[0])}?" if found else ""

    def read_ports(self, kind: str) -> dict[str, nir.Shape | None]:
        """The graph's Inputs or Outputs by name, with the shapes that the file states."""
        ports = dict[str, nir.Shape | None]()
        for name in _ports(self.nodes, kind):
            node = self.nodes[name]
            assert isinstance(node, dict)
            ports[name] = None
            if kind == "Input" or "shape" in node:
                try:
                    ports[name] = dimensions(_field(node, "shape"))
                except FieldFault as fault:
                    self.fault(f"{self.where(name, kind)}, shape: {fault}")
        return ports

    def complete_ports(self) -> None:
        """Outermost: infer the Inputs and Outputs that are missing. Within: every input must be fed. Drop nodes that
        nothing connects."""
        leading = {source for sources in self.arriving.values() for source, _ in sources}
        fed = {name for name, _ in self.arriving}
        for name in sorted(self.nodes):
            if name in self.inputs:
                continue
            if name in self.outputs:
                if name not in fed and not self.file.faults and name not in self.reached:
                    self.fault(f"{self.where(name, 'Output')}: no edge leads to it")
            elif name not in fed and name not in leading and self.ports(name, "Input"):
                if not self.file.faults and (self.type_of(name) in NODES or self.nested(name) is not None):
                    text = f"{quote(self.full(name))} is not connected to anything and is left out"
                    self.file.note("choice", "node dropped", text)
                    del self.nodes[name]
            else:
                self.complete_node(name, ends=name not in leading)

    def complete_node(self, name: str, *, ends: bool) -> None:
        """A node whose inputs are not all fed, or that nothing follows."""
        if self.type_of(name) not in NODES and self.nested(name) is None:
            return
        for port, index in self.ports(name, "Input").items():
            if (name, index) not in self.arriving:
                label = self.port_label(name, "Input", port)
                if self.path:
                    self.fault(f"{self.where(label, str(self.type_of(name)))}: no edge leads to it")
                else:
                    new = self.infer_port("Input", label)
                    self.inputs[new] = None
                    self.arriving[name, index] = [(new, 0)]
        if ends and not self.path:
            for port, index in self.ports(name, "Output").items():
                new = self.infer_port("Output", self.port_label(name, "Output", port))
                self.outputs[new] = None
                self.arriving[new, 0] = [(name, index)]

    def infer_port(self, kind: str, node: str) -> str:
        """A port where an edge is missing; its name is nobody else's."""
        port = f"{kind.lower()}_{node}"
        while port in self.nodes:
            port += "_"
        self.nodes[port] = {"type": kind}
        way = "leads to" if kind == "Input" else "leaves"
        self.file.note("choice", kind, f"no edge {way} {quote(node)}; an {kind} {quote(port)} is inferred there")
        return port

    def type_of(self, name: str) -> str | None:
        """What the file says a node is, None where that is no text."""
        return _kind(self.nodes.get(name))

    def read_node(self, name: str, unknown: SSAValue) -> nir.NodeOp | nir.InstanceOp | None:
        """The op of a node, or None for the graph's own ports and for nodes with faults."""
        node = self.nodes[name]
        if not isinstance(node, dict):
            why = node.why if isinstance(node, Broken) else "must be a group"
            self.fault(f"node {quote(self.full(name))}: {why}")
            return None
        kind = _kind(node)
        if kind in _PORTS:
            return None
        if kind == "NIRGraph":
            symbol = self.file.symbol(node, name, self.full(name))
            inputs, outputs = (len(self.ports(name, port)) for port in _PORTS)
            return nir.InstanceOp(name, symbol, [unknown] * inputs, [None] * outputs)
        if kind is None or kind not in NODES:
            known = sorted([*NODES, *_PORTS, "NIRGraph"])
            near = [text for text in known if kind is not None and text.lower() == kind.lower()]
            near = near or ([] if kind is None else get_close_matches(kind, known, 1))
            hint = f"did you mean {near[0]}?" if near else f"known types: {', '.join(known)}"
            self.fault(f"node {quote(self.full(name))}: {_type_text(kind)}; {hint}")
            return None
        where = self.where(name, kind)
        parameters = self.read_fields(where, node, NODES[kind])
        if parameters is None:
            return None
        op = NODES[kind].op(name, unknown, parameters)
        faults = [f"{where}, {fault}" for fault in op.faults()]
        self.file.faults.extend(faults)
        for gain in ("r", "w_in"):
            attr = as_dense(op.properties.get(gain))
            if attr is not None and not faults and not np.any(array(attr)):
                self.file.note("note", "gain", f"{where}, {gain}: 0, so its input has no effect")
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
            self.file.note("note", "unknown field", f"{where}: {quote(name)} is ignored")
        if metadata := self.read_metadata(where, node.get("metadata")):
            parameters["metadata"] = metadata
        self.file.faults.extend(faults)
        return None if faults else parameters

    def read_metadata(self, where: str, value: Value | None) -> DictionaryAttr | None:
        """What a writer added; kept as it is, never interpreted here."""
        if value is None:
            return None
        if not isinstance(value, dict):
            self.file.note("note", "metadata", f"{where}: metadata is not a group and is ignored")
            return None
        kept = _Metadata(self.file.metadata_left)
        attr = kept.attribute(value, "")
        self.file.metadata_left = kept.left
        if kept.lost:
            text = f"{where}: {listed(kept.lost)} in the metadata cannot be kept"
            self.file.note("note", "metadata", text)
        return attr if isinstance(attr, DictionaryAttr) and attr.data else None


def _ports(nodes: Tree, kind: str) -> list[str]:
    return sorted(name for name, node in nodes.items() if _kind(node) == kind)


def _kind(node: Value | None) -> str | None:
    kind = node.get("type") if isinstance(node, dict) else None
    return kind if isinstance(kind, str) else None


_DEEPEST = 32
"""Levels of metadata that are kept: xDSL prints attributes recursively."""


@dataclass
class _Metadata:
    """Metadata on its way to attributes: how many entries may still be kept, and what cannot be."""

    left: int
    lost: list[str] = field(default_factory=list[str])

    def attribute(self, value: Value, path: str, level: int = 0) -> Attribute | None:
        """The value as an attribute."""
        self.left -= 1
        if isinstance(value, Broken) or level > _DEEPEST or self.left < 0:
            self.lost.append(path)
            return None
        if isinstance(value, str):
            return StringAttr(value)
        if isinstance(value, dict):
            kept = dict[str, Attribute]()
            for name in sorted(value):
                if self.left < 0:
                    self.lost.append(path)
                    break
                if (attr := self.attribute(value[name], f"{path}.{name}".lstrip("."), level + 1)) is not None:
                    kept[name] = attr
            return DictionaryAttr(kept)
        if isinstance(value, tuple) or value.dtype.kind == "O":
            return _texts(np.array(value, dtype=object))
        with np.errstate(over="ignore"):
            return dense(value if value.dtype.itemsize <= 8 else value.astype(np.float64))


def _texts(words: np.ndarray[tuple[int, ...], np.dtype[np.object_]]) -> Attribute:
    """Text by axes."""
    return ArrayAttr([StringAttr(item) if isinstance(item, str) else _texts(item) for item in words])


def _field(node: Tree, name: str) -> Value:
    value = node.get(name)
    if value is None:
        raise FieldFault("missing")
    return value


def _type_text(kind: str | None) -> str:
    return "of no type (field 'type' is missing or not text)" if kind is None else f"unknown type {quote(kind)}"


def _hint(name: str) -> str:
    """A name for printed IR: letters, digits and underscores, not ending like a number of the printer's own."""
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in name[:40])
    return text if text[:1].isalpha() else f"n{text}"
