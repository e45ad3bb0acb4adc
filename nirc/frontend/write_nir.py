"""A module of the `nir` dialect becomes a .nir file, laid out as `nir.write` of nir 1.0 does.

Parameters keep the types, shapes and bits that they were read with. Shapes that nirc inferred stand where the format
wants one (Conv's input_shape, Flatten's input_type, Outputs). A graph of several instances is written once and linked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5p, h5s, h5t
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DictionaryAttr,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    i64,
)
from xdsl.ir import Attribute, BlockArgument, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import nir
from nirc.dialects.dense import Array, array, as_dense, layout_fault
from nirc.dialects.nir import quote
from nirc.frontend.nodes import NODES

VERSION = "1.0"
"""Written where the graph names no version of its own."""


def write_nir(module: ModuleOp) -> bytes:
    """The file's bytes; the same module gives the same ones.

    Raises DiagnosticException with everything that the format cannot say.
    """
    graph = nir.graph_of(module)
    if graph is None:
        raise DiagnosticException("the module holds no nir.graph")
    writer = _Writer(nir.callees(module))
    content = writer.write(graph)
    if writer.faults:
        raise DiagnosticException("\n".join(writer.faults))
    return content


def memory_file() -> h5f.FileID:
    """An HDF5 file that only lives in memory; `image` gives its bytes."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    return h5f.create(b"nirc", fcpl=_timeless(h5p.FILE_CREATE), fapl=access)


def _timeless(kind: object) -> h5p.PropList:
    """Properties of objects without the time of day."""
    plist = h5p.create(kind)
    plist.set_obj_track_times(False)
    return plist


def make_group(parent: h5g.GroupID, name: str) -> h5g.GroupID:
    """A new group."""
    return h5g.create(parent, name.encode(), gcpl=_timeless(h5p.GROUP_CREATE))


def image(file: h5f.FileID) -> bytes:
    """Close the file and give its bytes."""
    h5f.flush(file)
    content = file.get_file_image()
    file.close()
    return content


def put(group: h5g.GroupID, name: str, value: Array | str) -> None:
    """Write a dataset."""
    values = np.asarray(value, dtype=object if isinstance(value, str) else None)
    dtype = h5py.string_dtype() if values.dtype.kind == "O" else values.dtype
    space = h5s.create_simple(values.shape) if values.shape else h5s.create(h5s.SCALAR)
    kind = h5t.py_create(dtype, logical=True)
    dataset = h5d.create(group, name.encode(), kind, space, _timeless(h5p.DATASET_CREATE))
    dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values))


def _is_text(text: str) -> bool:
    """Whether HDF5 can hold a text: no NUL, nothing that is no UTF-8."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _is_name(name: str) -> bool:
    """Whether HDF5 takes a name."""
    return _is_text(name) and name not in ("", ".") and "/" not in name


def _value(attr: Attribute) -> Array | str | None:
    """A parameter or an entry of metadata as the file holds it, None where it cannot."""
    if isinstance(attr, StringAttr):
        return attr.data if _is_text(attr.data) else None
    if isinstance(attr, IntegerAttr):
        number = cast(IntegerAttr[IntegerType], attr)
        return np.array(number.value.data, np.int64 if number.type == i64 else np.int32)
    if isinstance(attr, DenseArrayBase):
        numbers = cast(DenseArrayBase[IntegerType], attr)
        return np.array(nir.integers(numbers), np.int64 if numbers.elt_type == i64 else np.int32)
    if isinstance(attr, ArrayAttr):
        words = np.array(_texts(cast(ArrayAttr[Attribute], attr)), dtype=object)
        return words if all(isinstance(word, str) for word in words.ravel()) else None
    constant = as_dense(attr)
    return None if constant is None or layout_fault(constant) else array(constant)


def _texts(attr: ArrayAttr[Attribute]) -> list[object]:
    return [_texts(cast(ArrayAttr[Attribute], item)) if isinstance(item, ArrayAttr) else _value(item) for item in attr]


@dataclass
class _Writer:
    callees: dict[nir.InstanceOp, nir.GraphOp]
    faults: list[str] = field(default_factory=list[str])
    written: dict[nir.GraphOp, h5g.GroupID] = field(default_factory=dict[nir.GraphOp, h5g.GroupID])

    def write(self, graph: nir.GraphOp) -> bytes:
        """The outermost graph and those within it, each once."""
        file = memory_file()
        root = h5g.open(file, b"/")
        put(root, "version", graph.version.data if graph.version else VERSION)
        pending = [(graph, make_group(root, "node"), "")]
        while pending:
            here, group, path = pending.pop()
            self.graph(here, group, path)
            nodes = h5g.open(group, b"nodes")
            for instance in here.instances():
                callee, name = self.callees[instance], instance.node.data
                if callee not in self.written:
                    if (made := self.node(nodes, name, path)) is not None:
                        self.written[callee] = made
                        pending.append((callee, made, f"{path}{name}."))
                elif self.takes(name, path):
                    nodes.links.create_hard(name.encode(), self.written[callee], b".")
        return image(file)

    def graph(self, graph: nir.GraphOp, group: h5g.GroupID, path: str) -> None:
        """One graph without those within it."""
        put(group, "type", "NIRGraph")
        nodes = make_group(group, "nodes")
        names = [*(("Input", name.data) for name in graph.inputs), *(("Output", name.data) for name in graph.outputs)]
        signals: list[SSAValue] = [*graph.body.block.args, *graph.yielded.values]
        for index, ((kind, name), signal) in enumerate(zip(names, signals, strict=True)):
            inferred = nir.shape_of(signal)
            stated = graph.stated.data[index].shape if graph.stated is not None else None
            shape = inferred if stated is None else stated
            if shape is None:
                self.faults.append(f"node {quote(path + name)} ({kind}): its shape is not known; run nir-infer-shapes")
            elif (node := self.node(nodes, name, path)) is not None:
                put(node, "type", kind)
                put(node, "shape", np.array(shape, np.int64))
                metadata = graph.port_metadata.data.get(name) if graph.port_metadata else None
                if isinstance(metadata, DictionaryAttr):
                    self.metadata(node, metadata, f"node {quote(path + name)} ({kind})")
        for op in graph.nodes():
            if (node := self.node(nodes, op.node.data, path)) is not None:
                self.fields(op, node, path)
        pairs = list(self.edges(graph))
        for pair in {pair for pair in pairs if pairs.count(pair) > 1} if len(set(pairs)) < len(pairs) else ():
            self.faults.append(f"two edges lead from {quote(path + pair[0])} to {quote(pair[1])}, NIR knows one")
        put(group, "edges", np.array(pairs, dtype=object).reshape(-1, 2))
        if graph.metadata is not None:
            self.metadata(group, graph.metadata, f"the graph {quote(path[:-1])}" if path else "the graph")

    def metadata(self, group: h5g.GroupID, metadata: DictionaryAttr, who: str) -> None:
        """Metadata and the dictionaries in it; `who` has it."""
        pending = [(make_group(group, "metadata"), metadata, "")]
        while pending:
            into, held, path = pending.pop()
            for key, attr in held.data.items():
                where = f"{who}, metadata {quote(path + key)}"
                if not _is_name(key):
                    self.faults.append(f"{where}: HDF5 takes no such key; rename it, without '/' or NUL")
                elif isinstance(attr, DictionaryAttr):
                    pending.append((make_group(into, key), attr, f"{path}{key}."))
                elif (value := _value(attr)) is None:
                    self.faults.append(f"{where}: a .nir file holds numbers and text, not {attr!s:.40}")
                else:
                    put(into, key, value)

    def node(self, nodes: h5g.GroupID, name: str, path: str) -> h5g.GroupID | None:
        """The group of a node."""
        return make_group(nodes, name) if self.takes(name, path) else None

    def takes(self, name: str, path: str) -> bool:
        """Whether the file takes a node's name; it is a fault where not."""
        if not _is_name(name):
            self.faults.append(f"node {quote(path + name)}: HDF5 takes no such name")
        return _is_name(name)

    def fields(self, op: nir.NodeOp, node: h5g.GroupID, path: str) -> None:
        """A node's type, parameters and metadata."""
        put(node, "type", op.NIR_TYPE)
        for spec in NODES[op.NIR_TYPE].fields:
            if (attr := op.properties.get(spec.name)) is not None:
                value = _value(attr)
                assert value is not None, f"the verifier lets no {attr.name} through"
                put(node, spec.name, value)
        shape = nir.shape_of(op.input)
        if isinstance(op, nir.ConvOp | nir.FlattenOp):
            if shape is None:
                self.faults.append(f"{op.label}: the shape of its input is not known; run nir-infer-shapes")
            elif isinstance(op, nir.FlattenOp):
                put(node, "input_type", np.array(shape, np.int64))
            else:
                put(node, "input_shape", np.array(shape[1:] if op.AXES > 1 else shape[1], np.int64))
        if op.metadata is not None:
            self.metadata(node, op.metadata, f"node {quote(path + op.node.data)} ({op.NIR_TYPE})")

    def edges(self, graph: nir.GraphOp) -> Iterator[tuple[str, str]]:
        """Pairs of names; a nested graph's port is `node.port` where there are several."""
        names = dict[SSAValue, str]()
        for name, argument in zip(graph.inputs, graph.body.block.args, strict=True):
            names[argument] = name.data
        for op in graph.nodes():
            names[op.output] = op.node.data
        for op in graph.instances():
            for port, result in zip(self.callees[op].outputs, op.results, strict=True):
                names[result] = f"{op.node.data}.{port.data}" if len(op.results) > 1 else op.node.data
        ends: list[tuple[SSAValue, str]] = [(op.input, op.node.data) for op in graph.nodes()]
        for op in graph.instances():
            for port, operand in zip(self.callees[op].inputs, op.inputs, strict=True):
                ends.append((operand, f"{op.node.data}.{port.data}" if len(op.inputs) > 1 else op.node.data))
        ends += [(value, name.data) for name, value in zip(graph.outputs, graph.yielded.values, strict=True)]
        for value, target in ends:
            terms = value.owner.inputs if isinstance(value.owner, nir.SumOp) else (value,)
            for term in terms:
                if isinstance(term, BlockArgument) or term in names:
                    yield names[term], target
