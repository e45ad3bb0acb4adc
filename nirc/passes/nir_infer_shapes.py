"""`nir-infer-shapes`: every signal gets its shape, from the Inputs and from the nodes' own parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnrealizedConversionCastOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import PassFailedException, VerifyException

from nirc.dialects import nir
from nirc.dialects.dense import array, as_dense, dense, shape_text
from nirc.dialects.nir import Shape, quote


@dataclass(frozen=True)
class NirInferShapesPass(ModulePass):
    """Propagate shapes along the edges until nothing changes; only an Input's stated shape is used.

    Leading axes of an Input beyond the rank that its first consumer takes (Linear 1, Conv2d and pools 3) are batch or
    time and are dropped; parameters of one element in an array stand for all neurons. Both are noted.
    Raises PassFailedException with every node whose input does not fit.
    """

    name = "nir-infer-shapes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if faults := infer_shapes(op):
            raise PassFailedException("\n".join(faults))


def infer_shapes(module: ModuleOp) -> list[str]:
    """Infer the shapes of the module's graphs; returns the faults."""
    faults = list[str]()
    for graph in module.ops:
        if isinstance(graph, nir.GraphOp):
            _drop_leading_axes(module, graph)
            faults.extend(_infer_graph(graph))
            _broadcast(module, graph)
    return faults


def _shape(value: SSAValue) -> Shape | None:
    return cast(nir.SignalType, value.type).shape


def _retype(value: SSAValue, shape: Shape) -> None:
    hint = value.name_hint
    Rewriter.replace_value_with_new_type(value, nir.SignalType(shape)).name_hint = hint


def _consumers(value: SSAValue) -> list[nir.NodeOp]:
    """The nodes that take a signal, directly or in a sum."""
    found = list[nir.NodeOp]()
    for use in value.uses:
        if isinstance(use.operation, nir.SumOp):
            found.extend(_consumers(use.operation.output))
        elif isinstance(use.operation, nir.NodeOp):
            found.append(use.operation)
    return sorted(found, key=lambda node: node.node.data)


def _drop_leading_axes(module: ModuleOp, graph: nir.GraphOp) -> None:
    for name, argument in zip(graph.inputs, tuple(graph.body.block.args), strict=True):
        shape = _shape(argument)
        consumers = _consumers(argument)
        if not consumers:
            continue
        expected = consumers[0].expected_input()
        if shape is None:
            if expected is not None:
                _retype(argument, expected)
            continue
        rank = consumers[0].INPUT_RANK
        if rank is not None and len(shape) > rank:
            _retype(argument, shape[len(shape) - rank :])
            dropped = shape_text(shape[: len(shape) - rank])
            statement = (
                f"{quote(name.data)} is {shape_text(shape)} in the file; its leading {dropped} is taken for "
                "batch or time"
            )
            nir.assume(module, "note", "input shape", statement)


def _infer_graph(graph: nir.GraphOp) -> list[str]:
    faults = dict[str, str]()
    ops = list(graph.body.block.ops)
    changed = True
    while changed:
        changed = False
        for op in ops:
            if isinstance(op, nir.NodeOp):
                where = f"node {quote(op.node.data)} ({op.NIR_TYPE})"
                try:
                    found = op.infer(_shape(op.input))
                except VerifyException as fault:
                    faults[where] = f"{where}: {fault}"
                    found = op.infer(None)
                if found is not None and _shape(op.output) is None:
                    _retype(op.output, found)
                    changed = True
            elif isinstance(op, nir.SumOp):
                known = {value: shape for value in op.inputs if (shape := _shape(value)) is not None}
                if len(set(known.values())) > 1:
                    users = ", ".join(quote(node.node.data) for node in _consumers(op.output)) or "an Output"
                    text = ", ".join(f"{_source(value)} {shape_text(shape)}" for value, shape in known.items())
                    faults[users] = f"node {users}: its edges carry signals of unequal shape: {text}"
                elif known and _shape(op.output) is None:
                    _retype(op.output, next(iter(known.values())))
                    changed = True
    if faults:
        return list(faults.values())
    return [
        f"node {quote(op.node.data)} ({op.NIR_TYPE}): its shape cannot be found; give the Input before it a shape"
        for op in ops
        if isinstance(op, nir.NodeOp) and _shape(op.output) is None and not _after_fault(op.input)
    ]


def _after_fault(value: SSAValue) -> bool:
    """Whether a signal comes from a node that the frontend could not read; that fault is known."""
    if isinstance(value.owner, nir.SumOp):
        return any(map(_after_fault, value.owner.inputs))
    return isinstance(value.owner, UnrealizedConversionCastOp)


def _source(value: SSAValue) -> str:
    return quote(value.owner.node.data) if isinstance(value.owner, nir.NodeOp) else "an Input"


def _broadcast(module: ModuleOp, graph: nir.GraphOp) -> None:
    """Parameters of one element in an array of axes become single numbers where more neurons stand behind them."""
    names = list[str]()
    for op in graph.nodes():
        shape = _shape(op.output)
        if not isinstance(op, nir.NeuronOp) or shape is None:
            continue
        for name, attr in tuple(op.properties.items()):
            single = as_dense(attr)
            if single is not None and len(single) == 1 and single.get_shape():
                if single.get_shape() != shape and op.node.data not in names:
                    names.append(op.node.data)
                op.properties[name] = dense(array(single).reshape(())[()])
    if names:
        text = ", ".join(map(quote, names))
        nir.assume(module, "note", "broadcast", f"parameters of one element stand for every neuron of {text}")
