"""`nir-infer-shapes`: every signal gets its shape, from the Inputs and from the nodes' own parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnrealizedConversionCastOp
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import PassFailedException, VerifyException

from nirc.dialects import nir
from nirc.dialects.dense import array, shape_text
from nirc.dialects.nir import Shape, listed, quote, shape_of


@dataclass(frozen=True)
class NirInferShapesPass(ModulePass):
    """Propagate shapes along the edges, into nested graphs and out of them; only an outer Input's shape is believed.

    Leading axes of an Input beyond the rank that its first consumer takes (Linear 1, Conv1d 2, Conv2d and pools 3) are
    batch or time and are dropped; parameters of one element in an array stand for all neurons. Both are noted, and
    where the file states other shapes. Raises PassFailedException with every node whose input does not fit.
    """

    name = "nir-infer-shapes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if faults := infer_shapes(op):
            raise PassFailedException("\n".join(faults))


def infer_shapes(module: ModuleOp) -> list[str]:
    """Give the module's signals their shapes, or return what is wrong and leave it as it is."""
    inference = _Inference(module)
    found = inference.run()
    if not found.faults:
        inference.note_broadcasts()
        with nir.assuming(module) as note:
            for topic, statement in found.notes:
                note("note", topic, statement)
        for value, shape in found.shapes.items():
            if shape_of(value) != shape:
                hint = value.name_hint
                Rewriter.replace_value_with_new_type(value, nir.signal(shape)).name_hint = hint
    return found.faults


def require_shapes(module: ModuleOp) -> None:
    """Raise PassFailedException with the nodes and Inputs whose shapes are not known, for passes that need them."""
    missing = list[str]()
    for graph in module.ops:
        if isinstance(graph, nir.GraphOp):
            missing += [op.node.data for op in graph.nodes() if None in (shape_of(op.input), shape_of(op.output))]
            ports = zip(graph.inputs, graph.body.block.args, strict=True)
            missing += [name.data for name, argument in ports if shape_of(argument) is None]
    if missing:
        raise PassFailedException(f"the shapes of {listed(missing)} are not known; run nir-infer-shapes first")


@dataclass
class Shapes:
    """The shapes of a module's signals, what is wrong with them, and what is worth knowing: (topic, statement)."""

    shapes: dict[SSAValue, Shape] = field(default_factory=dict[SSAValue, Shape])
    faults: list[str] = field(default_factory=list[str])
    notes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def find_shapes(module: ModuleOp) -> Shapes:
    """Find the shapes of the module's signals; the module stays as it is."""
    return _Inference(module).run()


class _Inference:
    def __init__(self, module: ModuleOp):
        self.found = Shapes()
        self.callees = nir.callees(module)
        self.graphs = [op for op in module.ops if isinstance(op, nir.GraphOp)]
        self.instances: dict[nir.GraphOp, list[nir.InstanceOp]] = {graph: [] for graph in self.graphs}
        for instance, callee in self.callees.items():
            self.instances[callee].append(instance)
        self.paths = self.find_paths()
        self.fitting = set[nir.NodeOp]()
        """The nodes whose input fits, known from giving their output its shape."""

    def find_paths(self) -> dict[nir.GraphOp, str]:
        """The full name of the node that each graph stands in, with a period at its end."""
        pending = [graph for graph in self.graphs if not self.instances[graph]]
        paths = dict.fromkeys(pending, "")
        for graph in pending:
            for instance in graph.instances():
                callee = self.callees[instance]
                if callee not in paths:
                    paths[callee] = f"{paths[graph]}{instance.node.data}."
                    pending.append(callee)
        return paths

    def run(self) -> Shapes:
        for graph in self.graphs:
            for op in graph.body.block.ops:
                if isinstance(op, nir.NodeOp) and (shape := op.infer(None)) is not None:
                    self.found.shapes[op.output] = shape
        pending = list(self.found.shapes)
        for graph in self.graphs:
            if not self.instances[graph]:
                pending += self.start(graph)
        while pending:
            pending += self.spread(pending.pop())
        for graph in self.graphs:
            self.check(graph)
        if not self.found.faults:
            for graph in self.graphs:
                self.require(graph)
        return self.found

    def full(self, op: nir.NodeOp | nir.InstanceOp) -> str:
        """A node's name from the outermost graph on."""
        graph = op.parent_op()
        return self.paths[graph] + op.node.data if isinstance(graph, nir.GraphOp) else op.node.data

    def where(self, op: nir.NodeOp) -> str:
        """How messages call a node."""
        return f"node {quote(self.full(op))} ({op.NIR_TYPE})"

    def consumers(self, value: SSAValue) -> list[nir.NodeOp]:
        """The nodes that take a signal, directly, in a sum or within a nested graph, by name."""
        found = list[nir.NodeOp]()
        pending = [value]
        seen = {value}
        while pending:
            for target in self.targets(pending.pop()):
                if isinstance(target, nir.NodeOp):
                    found.append(target)
                else:
                    value = target.output if isinstance(target, nir.SumOp) else target
                    if value not in seen:
                        seen.add(value)
                        pending.append(value)
        return sorted(found, key=self.full)

    def targets(self, value: SSAValue) -> list[nir.NodeOp | nir.SumOp | SSAValue]:
        """What a signal enters: nodes, sums, and the same signal on the other side of a nested graph's port."""
        found = list[nir.NodeOp | nir.SumOp | SSAValue]()
        for use in value.uses:
            op = use.operation
            if isinstance(op, nir.NodeOp | nir.SumOp):
                found.append(op)
            elif isinstance(op, nir.InstanceOp):
                found.append(self.callees[op].body.block.args[use.index])
            elif isinstance(op, nir.YieldOp) and isinstance(graph := op.parent_op(), nir.GraphOp):
                found += [instance.results[use.index] for instance in self.instances[graph]]
        return found

    def start(self, graph: nir.GraphOp) -> list[SSAValue]:
        """Give the outer Inputs their shapes."""
        known = list[SSAValue]()
        for name, argument in zip(graph.inputs, graph.body.block.args, strict=True):
            shape = shape_of(argument)
            consumers = self.consumers(argument)
            if shape is None:
                shape = next((own for node in consumers if (own := node.expected_input()) is not None), None)
            elif consumers:
                rank = consumers[0].INPUT_RANK
                if rank is not None and len(shape) > rank:
                    dropped = shape[: len(shape) - rank]
                    statement = f"{quote(name.data)} is {shape_text(shape)} in the file; its leading "
                    self.found.notes.append(
                        ("input shape", f"{statement}{shape_text(dropped)} is taken for batch or time")
                    )
                    shape = shape[len(shape) - rank :]
            if shape is not None:
                self.found.shapes[argument] = shape
                known.append(argument)
        return known

    def spread(self, value: SSAValue) -> list[SSAValue]:
        """Give what a signal enters its shape; returns the signals whose shapes became known."""
        shape = self.found.shapes[value]
        known = list[SSAValue]()
        for target in self.targets(value):
            if isinstance(target, nir.NodeOp):
                output = target.output
                if output in self.found.shapes:
                    continue
                try:
                    inferred = target.infer(shape)
                except VerifyException:  # `check` reports it
                    continue
                self.fitting.add(target)
                if inferred is None:
                    continue
                self.found.shapes[output] = inferred
            else:
                output = target.output if isinstance(target, nir.SumOp) else target
                if output in self.found.shapes:
                    continue
                self.found.shapes[output] = shape
            known.append(output)
        return known

    def check(self, graph: nir.GraphOp) -> None:
        """Every signal fits where it arrives."""
        shapes = self.found.shapes
        for op in graph.body.block.ops:
            if isinstance(op, nir.NodeOp):
                if op in self.fitting:
                    continue
                try:
                    op.infer(shapes.get(op.input))
                except VerifyException as fault:
                    self.found.faults.append(f"{self.where(op)}: {fault}")
            elif isinstance(op, nir.SumOp):
                known = {value: shape for value in op.inputs if (shape := shapes.get(value)) is not None}
                if len(set(known.values())) > 1:
                    text = ", ".join(f"{self.source(value)} {shape_text(shape)}" for value, shape in known.items())
                    users = ", ".join(quote(self.full(node)) for node in self.consumers(op.output)) or "an Output"
                    self.found.faults.append(f"node {users}: its edges carry signals of unequal shape: {text}")
            elif isinstance(op, nir.InstanceOp):
                callee = self.callees[op]
                ports = zip(callee.inputs, op.inputs, callee.body.block.args, strict=True)
                for index, (name, operand, argument) in enumerate(ports):
                    arriving, taken = shapes.get(operand), shapes.get(argument)
                    port = quote(f"{self.full(op)}.{name.data}")
                    if arriving is not None and taken is not None and arriving != taken:
                        self.found.faults.append(
                            f"port {port}: a signal of shape {shape_text(arriving)} arrives, but its graph stands "
                            f"elsewhere with {shape_text(taken)} too"
                        )
                    stated = shape_of(argument) if callee.stated is None else callee.stated.data[index].shape
                    self.compare(port, stated, arriving)
        for index, (name, value) in enumerate(zip(graph.outputs, graph.yielded.values, strict=True)):
            if graph.stated is not None:
                stated = graph.stated.data[len(graph.inputs) + index].shape
                self.compare(quote(self.paths[graph] + name.data), stated, shapes.get(value))

    def compare(self, port: str, stated: Shape | None, arriving: Shape | None) -> None:
        """Note where the file states another shape than arrives."""
        if stated is not None and arriving is not None and stated != arriving:
            text = f"{port} is {shape_text(stated)} in the file, but {shape_text(arriving)} arrives"
            self.found.notes.append(("stated shape", text))

    def require(self, graph: nir.GraphOp) -> None:
        """Every signal has a shape, unless it comes from a node that the frontend could not read."""
        for op in graph.body.block.ops:
            if isinstance(op, nir.NodeOp) and op.output not in self.found.shapes and not self.after_fault(op.input):
                self.found.faults.append(
                    f"{self.where(op)}: its shape cannot be found; give the Input before it a shape"
                )

    def after_fault(self, value: SSAValue) -> bool:
        """Whether a signal depends on a node that the frontend could not read; that fault is known."""
        pending = [value]
        seen = {value}
        while pending:
            owner = pending.pop().owner
            if isinstance(owner, UnrealizedConversionCastOp):
                return True
            if isinstance(owner, Operation):
                fresh = [operand for operand in owner.operands if operand not in seen]
                seen.update(fresh)
                pending += fresh
        return False

    def source(self, value: SSAValue) -> str:
        """How messages call where a signal comes from."""
        if isinstance(value.owner, nir.NodeOp | nir.InstanceOp):
            return quote(self.full(value.owner))
        if isinstance(value, BlockArgument) and isinstance(graph := value.owner.parent_op(), nir.GraphOp):
            return quote(self.paths[graph] + graph.inputs.data[value.index].data)
        return "a sum"

    def note_broadcasts(self) -> None:
        """Parameters of one element in an array of axes stand for every neuron."""
        names = list[str]()
        for graph in self.graphs:
            for op in graph.nodes():
                shape = self.found.shapes.get(op.output)
                if isinstance(op, nir.ElementwiseOp) and shape is not None:
                    singles = (c for _, c in op.constants() if c.get_shape() and array(c).size == 1)
                    if any(constant.get_shape() != shape for constant in singles):
                        names.append(self.full(op))
        if names:
            self.found.notes.append(
                ("broadcast", f"parameters of one element stand for every element of {listed(names)}")
            )
