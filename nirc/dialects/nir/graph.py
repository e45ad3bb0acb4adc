"""The graph, what joins its nodes, and graphs within graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FlatSymbolRefAttrConstr,
    ModuleOp,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
)
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    lazy_traits_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import HasParent, IsolatedFromAbove, IsTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import shape_text
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir.assumptions import quote
from nirc.dialects.nir.node import NodeOp, Shape, SignalType, shape_of, signal, within_graph


@irdl_op_definition
class SumOp(IRDLOperation):
    """Several edges into one port: NIR adds them. Operands stand in the order of the sources' names."""

    name = "nir.sum"

    inputs = var_operand_def(SignalType)
    output = result_def(SignalType)

    traits = lazy_traits_def(within_graph)
    assembly_format = "$inputs attr-dict `:` functional-type(operands, results)"

    def __init__(self, inputs: Sequence[SSAValue], output: Shape | None = None):
        super().__init__(operands=[inputs], result_types=[signal(output)])

    def verify_(self) -> None:
        if len(self.inputs) < 2:
            raise VerifyException("a sum takes at least two signals")
        if any(isinstance(value.owner, SumOp) for value in self.inputs):
            raise VerifyException("a sum adds signals of nodes, not sums; add them in one")
        shapes = {shape for value in (*self.inputs, self.output) if (shape := shape_of(value)) is not None}
        if len(shapes) > 1:
            raise VerifyException(f"signals of unequal shape are added: {', '.join(sorted(map(shape_text, shapes)))}")


@irdl_op_definition
class InstanceOp(IRDLOperation):
    """A nested graph: a node whose ports are the Input and Output nodes of another `nir.graph` of the module, in its
    order. Each instance has a state of its own."""

    name = "nir.instance"

    inputs = var_operand_def(SignalType)
    outputs = var_result_def(SignalType)
    node = prop_def(StringAttr)
    graph = prop_def(FlatSymbolRefAttrConstr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(within_graph)
    assembly_format = "$node `of` $graph `(` $inputs `)` attr-dict `:` functional-type(operands, results)"

    def __init__(self, node: str, graph: str, inputs: Sequence[SSAValue], outputs: Sequence[Shape | None]):
        super().__init__(
            operands=[inputs],
            result_types=[[signal(shape) for shape in outputs]],
            properties={"node": StringAttr(node), "graph": SymbolRefAttr(graph)},
        )


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The signals that the graph's outputs carry, in the order of the graph's `outputs`."""

    name = "nir.yield"

    values = var_operand_def(SignalType)

    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(GraphOp)))
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, values: Sequence[SSAValue]):
        super().__init__(operands=[values])


@irdl_op_definition
class GraphOp(IRDLOperation):
    """A NIR graph. Block arguments are its Input nodes, the operands of `nir.yield` its Output nodes.

    | name          | what it is                                                                 |
    |---------------|----------------------------------------------------------------------------|
    | inputs        | the Input nodes' names, one per block argument                             |
    | outputs       | the Output nodes' names, one per operand of the yield                      |
    | stated        | the shapes that the file states, Inputs then Outputs; Outputs' are no more |
    |               | than compared                                                              |
    | metadata      | what the writer of the file added to the graph                             |
    | port_metadata | what it added to the Input and Output nodes, by name                       |
    | version       | the file's version of NIR                                                  |
    """

    name = "nir.graph"

    sym_name = prop_def(SymbolNameConstraint())
    inputs = prop_def(ArrayAttr[StringAttr])
    outputs = prop_def(ArrayAttr[StringAttr])
    stated = opt_prop_def(ArrayAttr[SignalType])
    metadata = opt_prop_def(DictionaryAttr)
    port_metadata = opt_prop_def(DictionaryAttr)
    version = opt_prop_def(StringAttr)
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface())
    assembly_format = "$sym_name attr-dict-with-keyword $body"

    def __init__(
        self,
        name: str,
        inputs: Iterable[str],
        outputs: Iterable[str],
        body: Region,
        properties: dict[str, Attribute] | None = None,
    ):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "inputs": ArrayAttr([StringAttr(text) for text in inputs]),
                "outputs": ArrayAttr([StringAttr(text) for text in outputs]),
                **(properties or {}),
            },
            regions=[body],
        )

    @property
    def yielded(self) -> YieldOp:
        """The terminator."""
        last = self.body.block.last_op
        assert isinstance(last, YieldOp)
        return last

    def nodes(self) -> Iterator[NodeOp]:
        """The nodes in the order in which they stand; nested graphs are not entered."""
        for op in self.body.block.ops:
            if isinstance(op, NodeOp):
                yield op

    def instances(self) -> Iterator[InstanceOp]:
        """The nested graphs."""
        for op in self.body.block.ops:
            if isinstance(op, InstanceOp):
                yield op

    def verify_(self) -> None:
        arguments = self.body.block.args
        if not isinstance(self.body.block.last_op, YieldOp):
            raise VerifyException("a nir.graph must end in nir.yield")
        if any(not isinstance(argument.type, SignalType) for argument in arguments):
            raise VerifyException("the arguments of a nir.graph are signals")
        if len(arguments) != len(self.inputs):
            raise VerifyException(f"{len(self.inputs)} input names for {len(arguments)} arguments")
        if len(self.yielded.values) != len(self.outputs):
            raise VerifyException(f"{len(self.outputs)} output names for {len(self.yielded.values)} yielded signals")
        if self.stated is not None and len(self.stated) != len(self.inputs) + len(self.outputs):
            raise VerifyException(
                f"{len(self.stated)} stated shapes for {len(self.inputs)} inputs and {len(self.outputs)} outputs"
            )
        ports = [name.data for name in (*self.inputs, *self.outputs)]
        seen = set[str]()
        for name in (*ports, *(op.node.data for op in (*self.nodes(), *self.instances()))):
            if name in seen:
                raise VerifyException(f"names must be unique, {quote(name)} is not")
            seen.add(name)


class Names:
    """The names of a graph's nodes and ports, to find new ones by."""

    def __init__(self, graph: GraphOp):
        ports = (name.data for name in (*graph.inputs, *graph.outputs))
        self.taken = {*ports, *(op.node.data for op in (*graph.nodes(), *graph.instances()))}

    def fresh(self, name: str) -> str:
        """The name, with underscores at its end until it is nobody else's; it is taken then."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def graph_of(module: ModuleOp) -> GraphOp | None:
    """The module's outermost graph, which is its first, or None where it holds none."""
    return next((op for op in module.ops if isinstance(op, GraphOp)), None)


def callees(module: ModuleOp) -> dict[InstanceOp, GraphOp]:
    """The graph behind each instance.

    Raises VerifyException for instances of nothing, with other ports than their graph has, or of themselves.
    """
    graphs = {graph.sym_name.data: graph for graph in module.ops if isinstance(graph, GraphOp)}
    found = dict[InstanceOp, GraphOp]()
    calls: dict[str, list[str]] = {name: [] for name in graphs}
    for name, graph in graphs.items():
        for instance in graph.instances():
            callee = graphs.get(instance.graph.string_value())
            who = f"instance {quote(instance.node.data)}"
            if callee is None:
                raise VerifyException(f"{who}: there is no nir.graph @{instance.graph.string_value()}")
            ports = (len(instance.inputs), len(instance.outputs))
            if ports != (len(callee.inputs), len(callee.outputs)):
                raise VerifyException(
                    f"{who}: {ports[0]} inputs and {ports[1]} outputs, but @{callee.sym_name.data} has "
                    f"{len(callee.inputs)} and {len(callee.outputs)}"
                )
            found[instance] = callee
            calls[name].append(callee.sym_name.data)
    _, closing = depth_first(calls, lambda name: calls[name])
    if closing:
        raise VerifyException(f"the nir.graph @{closing[0][1]} contains itself")
    return found
