"""The `nir` dialect: a spiking network as differential equations over continuous time.

One op per NIR primitive, with NIR's own parameters in the file's own numbers (SI units where the writer used them).
A value is a signal: a real-valued function of time, of one shape at each instant. `nir.graph` holds a graph region: a
value may be used before its definition, so a recurrent edge is simply a use. Nothing here knows a time step.
Equations: NIR paper (Pedersen et al. 2024), table 1; `Theta` marks the threshold, `W * x` a convolution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    IntAttr,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    NoneAttr,
    StringAttr,
    SymbolNameConstraint,
    i64,
)
from xdsl.ir import Attribute, Dialect, ParametrizedAttribute, Region, SSAValue, TypeAttribute
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    lazy_traits_def,
    operand_def,
    opt_prop_def,
    param_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import HasParent, IsolatedFromAbove, IsTerminator, Pure, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import Array, and_more, array, as_dense, dense_faults, index_text, shape_text

Shape: TypeAlias = tuple[int, ...]

ASSUMPTIONS = "nir.assumptions"
"""The module's attribute that lists what nirc assumed on the way; every level carries it, every emitter writes it."""


@irdl_attr_definition
class AssumptionAttr(ParametrizedAttribute):
    """Something that the file does not say and nirc had to decide, or that a user should know about the result.

    kind      `choice`: nirc chose, and another choice would change the behaviour (an error under --strict);
              `given`: the user chose by a flag; `note`: nothing was chosen, but it is worth knowing
    topic     what it is about: `dt`, `reset`, ...
    statement the sentence that is printed
    """

    name = "nir.assumption"
    KINDS: ClassVar[tuple[str, ...]] = ("choice", "given", "note")

    kind: StringAttr
    topic: StringAttr
    statement: StringAttr

    def verify(self) -> None:
        if self.kind.data not in self.KINDS:
            raise VerifyException(f"an assumption is one of {', '.join(self.KINDS)}, not '{self.kind.data}'")

    def __str__(self) -> str:
        return f"{self.topic.data}: {self.statement.data}"


def quote(name: str) -> str:
    """A node's name as messages show it: in quotes, control characters escaped, very long names cut."""
    return repr(name if len(name) <= 80 else name[:77] + "...")


def assume(module: ModuleOp, kind: str, topic: str, statement: str) -> None:
    """Attach an assumption to the module, once."""
    assumption = AssumptionAttr(StringAttr(kind), StringAttr(topic), StringAttr(statement))
    known = assumptions(module)
    if assumption not in known:
        module.attributes[ASSUMPTIONS] = ArrayAttr([*known, assumption])


def assumptions(module: ModuleOp) -> tuple[AssumptionAttr, ...]:
    """What was assumed so far, in the order in which it was."""
    attr = module.attributes.get(ASSUMPTIONS)
    if not isinstance(attr, ArrayAttr):
        return ()
    return tuple(item for item in cast(ArrayAttr[Attribute], attr).data if isinstance(item, AssumptionAttr))


@irdl_attr_definition
class SignalType(ParametrizedAttribute, TypeAttribute):
    """`!nir.signal<16x8>`: a function of time with values of that shape; `!nir.signal<*>`: shape not inferred yet;
    `!nir.signal<>`: a single number."""

    name = "nir.signal"

    dims: ArrayAttr[IntAttr] | NoneAttr = param_def()

    def __init__(self, shape: Shape | None):
        super().__init__(NoneAttr() if shape is None else ArrayAttr([IntAttr(n) for n in shape]))

    @property
    def shape(self) -> Shape | None:
        """The shape at one instant, or None."""
        return None if isinstance(self.dims, NoneAttr) else tuple(dim.data for dim in self.dims)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            if parser.parse_optional_punctuation("*"):
                return (NoneAttr(),)
            return (ArrayAttr([IntAttr(n) for n in parser.parse_dimension_list()]),)

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string("*" if self.shape is None else "x".join(map(str, self.shape)))


class NodeOp(IRDLOperation, ABC):
    """A node of NIR with one input and one output port; `node` is its own name, `metadata` what its writer added."""

    input = operand_def(SignalType)
    output = result_def(SignalType)
    node = prop_def(StringAttr)
    metadata = opt_prop_def(DictionaryAttr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (Pure(), HasParent(GraphOp)))
    assembly_format = "$node `(` $input `)` attr-dict `:` functional-type(operands, results)"

    NIR_TYPE: ClassVar[str]
    """The type's name in a .nir file."""

    STATEFUL: ClassVar[bool] = False
    """Whether the node integrates over time, so that a loop through it has a meaning."""

    INPUT_RANK: ClassVar[int | None] = None
    """The rank that the node demands of its input, None where any will do."""

    def __init__(self, node: str, input: SSAValue, parameters: dict[str, Attribute], output: Shape | None = None):
        super().__init__(
            operands=[input],
            result_types=[SignalType(output)],
            properties={"node": StringAttr(node), **parameters},
        )

    def parameters(self) -> Iterator[tuple[str, Array]]:
        """The numeric parameters by name, in the order of the definition."""
        for name in self.get_irdl_definition().properties:
            attr = self.properties.get(name)
            if (constant := as_dense(attr)) is not None:
                yield name, array(constant)

    def faults(self) -> Iterator[str]:
        """Every parameter that cannot mean anything, in words: `tau: 0 at index 3, must be > 0`."""
        constants = {name: attr for name, item in self.properties.items() if (attr := as_dense(item)) is not None}
        unusable = {name: fault for name, attr in constants.items() if (fault := dense_faults(attr, finite=False))}
        for name, attr in constants.items():
            if fault := unusable.get(name) or dense_faults(attr):
                yield f"{name}: {fault}"
        if not unusable:
            yield from self.rules()

    def rules(self) -> Iterator[str]:
        """What a type of node demands of its parameters beyond being numbers."""
        return iter(())

    def expected_input(self) -> Shape | None:
        """The input's shape where the parameters alone fix it."""
        return None

    @abstractmethod
    def infer(self, input: Shape | None) -> Shape | None:
        """The output's shape from the input's (None: not known yet).

        Raises VerifyException where that input cannot enter this node.
        """

    def verify_(self) -> None:
        if faults := list(self.faults()):
            raise VerifyException(f"node {quote(self.node.data)}: {'; '.join(faults)}")
        shape = self.output.type.shape
        if shape is not None and self.infer(_shape(self.input)) not in (None, shape):
            raise VerifyException(f"node {quote(self.node.data)}: the output cannot have the shape {shape_text(shape)}")


def _shape(value: SSAValue) -> Shape | None:
    return value.type.shape if isinstance(value.type, SignalType) else None


class NeuronOp(NodeOp, ABC):
    """A node with state of its own at each element of its input; every parameter is one number or one per element."""

    STATEFUL: ClassVar[bool] = True

    POSITIVE: ClassVar[tuple[str, ...]] = ()
    """The parameters that must be greater than zero."""

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        shapes = dict[str, Shape]()
        for name, values in self.parameters():
            if name in self.POSITIVE:
                bad = np.flatnonzero(~(values > 0) & np.isfinite(values))
                if bad.size:
                    at = f" at index {index_text(values, int(bad[0]))}" if values.ndim else ""
                    yield f"{name}: {values.flat[bad[0]]:g}{at}{and_more(bad.size)}, must be > 0"
            if values.size != 1:
                shapes[name] = values.shape
        if len(set(shapes.values())) > 1:
            text = ", ".join(f"{name} {shape_text(shape)}" for name, shape in shapes.items())
            yield f"parameters of unequal shape: {text}; each must be one number or have the shape of the neurons"

    def own_shape(self) -> Shape | None:
        """The shape that the parameters name, None where all are single numbers (of whatever rank)."""
        return next((values.shape for _, values in self.parameters() if values.size != 1), None)

    def expected_input(self) -> Shape | None:
        return self.own_shape()

    def infer(self, input: Shape | None) -> Shape | None:
        own = self.own_shape()
        if own is not None and input is not None and own != input:
            raise VerifyException(
                f"its parameters are for {shape_text(own)} neurons, but a signal of shape {shape_text(input)} arrives"
            )
        return own if input is None else input


class WeightOp(NodeOp, ABC):
    """A node that multiplies its input by weights."""

    weight = prop_def(DenseIntOrFPElementsAttr)
    bias = opt_prop_def(DenseIntOrFPElementsAttr)

    WEIGHT_RANK: ClassVar[int]

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        weight = self.weight.get_shape()
        if len(weight) != self.WEIGHT_RANK:
            yield f"weight: shape {shape_text(weight)}, must have {self.WEIGHT_RANK} axes"
        elif self.bias is not None and self.bias.get_shape() not in ((weight[0],), (), (1,)):
            yield f"bias: shape {shape_text(self.bias.get_shape())}, must be {weight[0]} like the rows of weight"


class _MatrixOp(WeightOp, ABC):
    WEIGHT_RANK: ClassVar[int] = 2
    INPUT_RANK: ClassVar[int | None] = 1

    def expected_input(self) -> Shape | None:
        return (self.weight.get_shape()[1],)

    def infer(self, input: Shape | None) -> Shape | None:
        rows, columns = self.weight.get_shape()
        if input is not None and input != (columns,):
            raise VerifyException(
                f"weight has {columns} columns ({rows}x{columns}), but a signal of shape {shape_text(input)} arrives"
            )
        return (rows,)


@irdl_op_definition
class LinearOp(_MatrixOp):
    """output = weight input.

    | name   | shape    | unit |
    |--------|----------|------|
    | weight | (N, M)   | 1    |
    """

    name = "nir.linear"
    NIR_TYPE: ClassVar[str] = "Linear"

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        if self.bias is not None:
            yield "bias: Linear has none, Affine has"


@irdl_op_definition
class AffineOp(_MatrixOp):
    """output = weight input + bias.

    | name   | shape    | unit          |
    |--------|----------|---------------|
    | weight | (N, M)   | 1             |
    | bias   | (N)      | of the output |
    """

    name = "nir.affine"
    NIR_TYPE: ClassVar[str] = "Affine"

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        if self.bias is None:
            yield "bias: missing; Linear has none"


def _window(name: str, size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Places that a kernel finds along an axis: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    reach = dilation * (kernel - 1) + 1
    if size + 2 * padding < reach:
        raise VerifyException(f"{name} reaches over {reach} places, but with padding there are {size + 2 * padding}")
    return (size + 2 * padding - reach) // stride + 1


def integers(attr: DenseArrayBase | IntegerAttr) -> tuple[int, ...]:
    """The numbers of an `array<i64: ...>` or of a single integer."""
    if isinstance(attr, IntegerAttr):
        return (attr.value.data,)
    return cast(DenseArrayBase[IntegerType], attr).get_values()


def _at_least(name: str, attr: DenseArrayBase, least: int) -> Iterator[str]:
    values = integers(attr)
    if len(values) != 2:
        yield f"{name}: {len(values)} numbers, must be 2 (rows, columns)"
    elif min(values) < least:
        yield f"{name}: {min(values)}, must be at least {least}"


@irdl_op_definition
class Conv2dOp(WeightOp):
    """output = weight * input + bias: cross-correlation over the last two axes, zeros beyond the border.

    | name     | shape                        | unit          | range |
    |----------|------------------------------|---------------|-------|
    | weight   | (out, in / groups, kh, kw)   | 1             |       |
    | bias     | (out)                        | of the output |       |
    | stride   | 2                            | places        | > 0   |
    | padding  | 2, or `same`, or `valid`     | places        | >= 0  |
    | dilation | 2                            | places        | > 0   |
    | groups   | 1                            |               | > 0   |

    `same` pads dilation (kernel - 1) places in total, the odd one last, and needs stride 1.
    """

    name = "nir.conv2d"
    NIR_TYPE: ClassVar[str] = "Conv2d"
    WEIGHT_RANK: ClassVar[int] = 4
    INPUT_RANK: ClassVar[int | None] = 3

    stride = prop_def(DenseArrayBase)
    padding = prop_def(DenseArrayBase | StringAttr)
    dilation = prop_def(DenseArrayBase)
    groups = prop_def(IntegerAttr)

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        if len(self.weight.get_shape()) != self.WEIGHT_RANK:
            return
        yield from _at_least("stride", self.stride, 1)
        yield from _at_least("dilation", self.dilation, 1)
        if isinstance(self.padding, StringAttr):
            if self.padding.data not in ("same", "valid"):
                yield f"padding: '{self.padding.data}', must be numbers, 'same' or 'valid'"
            elif self.padding.data == "same" and set(integers(self.stride)) != {1}:
                yield "padding: 'same' needs stride 1"
        else:
            yield from _at_least("padding", self.padding, 0)
        groups = self.groups.value.data
        rows = self.weight.get_shape()[0]
        if groups < 1 or rows % groups:
            yield f"groups: {groups}, must divide the {rows} output channels"

    def paddings(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The zeros before and after, for rows and for columns."""
        if isinstance(self.padding, StringAttr):
            if self.padding.data == "valid":
                return (0, 0), (0, 0)
            totals = [d * (k - 1) for d, k in zip(integers(self.dilation), self.weight.get_shape()[2:], strict=True)]
            return (totals[0] // 2, (totals[0] + 1) // 2), (totals[1] // 2, (totals[1] + 1) // 2)
        rows, columns = integers(self.padding)
        return (rows, rows), (columns, columns)

    def infer(self, input: Shape | None) -> Shape | None:
        if input is None:
            return None
        out, per_group, *kernel = self.weight.get_shape()
        channels = per_group * self.groups.value.data
        if len(input) != 3 or input[0] != channels:
            raise VerifyException(
                f"weight takes {channels} channels (weight {shape_text(self.weight.get_shape())}, "
                f"groups {self.groups.value.data}), but a signal of shape {shape_text(input)} arrives"
            )
        if isinstance(self.padding, StringAttr) and self.padding.data == "same":
            return (out, *input[1:])
        places = [
            _window(f"the kernel's axis {axis}", input[axis + 1], kernel[axis], stride, before, dilation)
            for axis, (stride, (before, _), dilation) in enumerate(
                zip(integers(self.stride), self.paddings(), integers(self.dilation), strict=True)
            )
        ]
        return (out, *places)


@irdl_op_definition
class SumPool2dOp(NodeOp):
    """Each output is the sum of the input over a window, channel by channel, zeros beyond the border."""

    name = "nir.sum_pool2d"
    NIR_TYPE: ClassVar[str] = "SumPool2d"
    INPUT_RANK: ClassVar[int | None] = 3

    kernel_size = prop_def(DenseArrayBase)
    stride = prop_def(DenseArrayBase)
    padding = prop_def(DenseArrayBase)

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        yield from _at_least("kernel_size", self.kernel_size, 1)
        yield from _at_least("stride", self.stride, 1)
        yield from _at_least("padding", self.padding, 0)

    def infer(self, input: Shape | None) -> Shape | None:
        if input is None:
            return None
        if len(input) != 3:
            raise VerifyException(
                f"pools channels, rows and columns, but a signal of shape {shape_text(input)} arrives"
            )
        places = [
            _window(f"the window's axis {axis}", input[axis + 1], kernel, stride, padding, 1)
            for axis, (kernel, stride, padding) in enumerate(
                zip(integers(self.kernel_size), integers(self.stride), integers(self.padding), strict=True)
            )
        ]
        return (input[0], *places)


@irdl_op_definition
class FlattenOp(NodeOp):
    """The axes from start_dim to end_dim become one, in row-major order; negative numbers count from the end."""

    name = "nir.flatten"
    NIR_TYPE: ClassVar[str] = "Flatten"

    start_dim = prop_def(IntegerAttr)
    end_dim = prop_def(IntegerAttr)

    def infer(self, input: Shape | None) -> Shape | None:
        if input is None:
            return None
        rank = len(input)
        first, last = self.start_dim.value.data, self.end_dim.value.data
        start, end = (n + rank if n < 0 else n for n in (first, last))
        if not 0 <= start <= end < rank:
            raise VerifyException(f"start_dim {first} to end_dim {last} names no axes of a signal {shape_text(input)}")
        return (*input[:start], int(np.prod(input[start : end + 1])), *input[end + 1 :])


@irdl_op_definition
class LIFOp(NeuronOp):
    """Leaky integrate-and-fire: tau dv/dt = (v_leak - v) + r input; at v = v_threshold a spike, and v becomes v_reset.

    | name        | shape        | unit          | range |
    |-------------|--------------|---------------|-------|
    | tau         | () or (N...) | s             | > 0   |
    | r           | () or (N...) | v per input   |       |
    | v_leak      | () or (N...) | of v          |       |
    | v_threshold | () or (N...) | of v          |       |
    | v_reset     | () or (N...) | of v, absent: the file says nothing |
    """

    name = "nir.lif"
    NIR_TYPE: ClassVar[str] = "LIF"
    POSITIVE: ClassVar[tuple[str, ...]] = ("tau",)

    tau = prop_def(DenseIntOrFPElementsAttr)
    r = prop_def(DenseIntOrFPElementsAttr)
    v_leak = prop_def(DenseIntOrFPElementsAttr)
    v_threshold = prop_def(DenseIntOrFPElementsAttr)
    v_reset = opt_prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class CubaLIFOp(NeuronOp):
    """Current-based LIF: tau_syn di/dt = -i + w_in input; tau_mem dv/dt = (v_leak - v) + r i; spike and reset as LIF.

    | name        | shape        | unit          | range |
    |-------------|--------------|---------------|-------|
    | tau_mem     | () or (N...) | s             | > 0   |
    | tau_syn     | () or (N...) | s             | > 0   |
    | r           | () or (N...) | v per i       |       |
    | w_in        | () or (N...) | i per input   |       |
    | v_leak, v_threshold, v_reset | as LIF | of v |       |
    """

    name = "nir.cuba_lif"
    NIR_TYPE: ClassVar[str] = "CubaLIF"
    POSITIVE: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_syn")

    tau_mem = prop_def(DenseIntOrFPElementsAttr)
    tau_syn = prop_def(DenseIntOrFPElementsAttr)
    r = prop_def(DenseIntOrFPElementsAttr)
    v_leak = prop_def(DenseIntOrFPElementsAttr)
    v_threshold = prop_def(DenseIntOrFPElementsAttr)
    v_reset = opt_prop_def(DenseIntOrFPElementsAttr)
    w_in = prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class LIOp(NeuronOp):
    """Leaky integrator: tau dv/dt = (v_leak - v) + r input; output = v.

    | name   | shape        | unit        | range |
    |--------|--------------|-------------|-------|
    | tau    | () or (N...) | s           | > 0   |
    | r      | () or (N...) | v per input |       |
    | v_leak | () or (N...) | of v        |       |
    """

    name = "nir.li"
    NIR_TYPE: ClassVar[str] = "LI"
    POSITIVE: ClassVar[tuple[str, ...]] = ("tau",)

    tau = prop_def(DenseIntOrFPElementsAttr)
    r = prop_def(DenseIntOrFPElementsAttr)
    v_leak = prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class IFOp(NeuronOp):
    """Integrate-and-fire: dv/dt = r input; at v = v_threshold a spike, and v becomes v_reset.

    | name        | shape        | unit              |
    |-------------|--------------|-------------------|
    | r           | () or (N...) | v per input and s |
    | v_threshold | () or (N...) | of v              |
    | v_reset     | () or (N...) | of v, absent: the file says nothing |
    """

    name = "nir.if"
    NIR_TYPE: ClassVar[str] = "IF"

    r = prop_def(DenseIntOrFPElementsAttr)
    v_threshold = prop_def(DenseIntOrFPElementsAttr)
    v_reset = opt_prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class SumOp(IRDLOperation):
    """Several edges into one port: NIR adds them. Operands stand in the order of the sources' names."""

    name = "nir.sum"

    inputs = var_operand_def(SignalType)
    output = result_def(SignalType)

    traits = lazy_traits_def(lambda: (Pure(), HasParent(GraphOp)))
    assembly_format = "$inputs attr-dict `:` functional-type(operands, results)"

    def __init__(self, inputs: Sequence[SSAValue], output: Shape | None = None):
        super().__init__(operands=[inputs], result_types=[SignalType(output)])

    def verify_(self) -> None:
        if len(self.inputs) < 2:
            raise VerifyException("a sum takes at least two signals")
        shapes = {shape for value in (*self.inputs, self.output) if (shape := _shape(value)) is not None}
        if len(shapes) > 1:
            raise VerifyException(f"signals of unequal shape are added: {', '.join(sorted(map(shape_text, shapes)))}")


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

    | name     | what it is                                                    |
    |----------|---------------------------------------------------------------|
    | inputs   | the Input nodes' names, one per block argument                |
    | outputs  | the Output nodes' names, one per operand of the yield         |
    | metadata | what the writer of the file added to the graph                |
    | version  | the file's version of NIR                                     |
    """

    name = "nir.graph"

    sym_name = prop_def(SymbolNameConstraint())
    inputs = prop_def(ArrayAttr[StringAttr])
    outputs = prop_def(ArrayAttr[StringAttr])
    metadata = opt_prop_def(DictionaryAttr)
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
        """The nodes in the order of the file's names."""
        for op in self.body.block.ops:
            if isinstance(op, NodeOp):
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
        names = [*self.inputs, *self.outputs, *(node.node for node in self.nodes())]
        if len({name.data for name in names}) != len(names):
            twice = sorted({name.data for name in names if sum(name == other for other in names) > 1})
            raise VerifyException(f"names must be unique, {quote(twice[0])} is not")


NODE_OPS: tuple[type[NodeOp], ...] = (
    AffineOp,
    Conv2dOp,
    CubaLIFOp,
    FlattenOp,
    IFOp,
    LIFOp,
    LIOp,
    LinearOp,
    SumPool2dOp,
)
"""The ops that stand for one NIR node each."""


def int_array(values: Iterable[int]) -> DenseArrayBase:
    """`array<i64: ...>`"""
    return DenseArrayBase.from_list(i64, list(values))


def graph_of(module: ModuleOp) -> GraphOp | None:
    """The module's one graph, or None where it holds none."""
    return next((op for op in module.ops if isinstance(op, GraphOp)), None)


Nir = Dialect(
    "nir",
    [*NODE_OPS, GraphOp, SumOp, YieldOp],
    [AssumptionAttr, SignalType],
)
