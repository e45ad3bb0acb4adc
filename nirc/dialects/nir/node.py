"""Signals, and what the nodes of NIR have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import ClassVar, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DictionaryAttr,
    IntAttr,
    IntegerAttr,
    IntegerType,
    NoneAttr,
    StringAttr,
    i64,
)
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    lazy_traits_def,
    operand_def,
    opt_prop_def,
    param_def,
    prop_def,
    result_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import HasParent, OpTrait, Pure
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import (
    Array,
    Dense,
    and_more,
    array,
    as_dense,
    finite_fault,
    index_text,
    layout_fault,
    shape_text,
)
from nirc.dialects.nir.assumptions import quote

Shape: TypeAlias = tuple[int, ...]


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


@cache
def signal(shape: Shape | None) -> SignalType:
    """The type of a signal; there are few of them in a graph of any size."""
    return SignalType(shape)


def shape_of(value: SSAValue) -> Shape | None:
    """The shape of a signal, None where it is not known yet."""
    return value.type.shape if isinstance(value.type, SignalType) else None


def within_graph() -> tuple[OpTrait, ...]:
    """The traits of what stands in a graph."""
    from nirc.dialects.nir.graph import GraphOp

    return Pure(), HasParent(GraphOp)


class NodeOp(IRDLOperation, ABC):
    """A node of NIR with one input and one output port; `node` is its own name, `metadata` what its writer added."""

    input = operand_def(SignalType)
    output = result_def(SignalType)
    node = prop_def(StringAttr)
    metadata = opt_prop_def(DictionaryAttr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(within_graph)
    assembly_format = "$node `(` $input `)` attr-dict `:` functional-type(operands, results)"

    NIR_TYPE: ClassVar[str]
    """The type's name in a .nir file."""

    SPIKING: ClassVar[bool] = False
    """Whether the output is spikes."""

    INPUT_RANK: ClassVar[int | None] = None
    """The rank that the node demands of its input, None where any will do."""

    def __init__(self, node: str, input: SSAValue, parameters: dict[str, Attribute], output: Shape | None = None):
        super().__init__(
            operands=[input],
            result_types=[signal(output)],
            properties={"node": StringAttr(node), **parameters},
        )

    @property
    def label(self) -> str:
        """How messages call it: `node 'lif1' (LIF)`."""
        return f"node {quote(self.node.data)} ({self.NIR_TYPE})"

    def constants(self) -> Iterator[tuple[str, Dense]]:
        """The numeric parameters' attributes by name."""
        for name, attr in self.properties.items():
            if (constant := as_dense(attr)) is not None:
                yield name, constant

    def parameters(self) -> Iterator[tuple[str, Array]]:
        """The numeric parameters by name."""
        for name, constant in self.constants():
            yield name, array(constant)

    def has_state(self) -> bool:
        """Whether the node remembers something, so that a loop through it has a meaning."""
        return False

    def faults(self) -> Iterator[str]:
        """Every parameter that cannot mean anything, in words: `tau: 0 at index 3, must be > 0`."""
        usable = True
        for name, attr in self.constants():
            if fault := layout_fault(attr):
                usable = False
                yield f"{name}: {fault}"
            elif fault := finite_fault(array(attr)):
                yield f"{name}: {fault}"
        if usable:
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
        if shape is not None and self.infer(shape_of(self.input)) not in (None, shape):
            raise VerifyException(f"node {quote(self.node.data)}: the output cannot have the shape {shape_text(shape)}")


class ElementwiseOp(NodeOp, ABC):
    """A node that treats each element of its input alone; every parameter is one number or one per element."""

    POSITIVE: ClassVar[tuple[str, ...]] = ()
    """The parameters that must be greater than zero."""

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        shapes = dict[str, Shape]()
        for name, values in self.parameters():
            if name in self.POSITIVE:
                yield from out_of_range(name, values, ~(values > 0) & np.isfinite(values), "> 0")
            if values.size != 1:
                shapes[name] = values.shape
        if len(set(shapes.values())) > 1:
            text = ", ".join(f"{name} {shape_text(shape)}" for name, shape in shapes.items())
            yield f"parameters of unequal shape: {text}; each must be one number or have the shape of the neurons"

    def own_shape(self) -> Shape | None:
        """The shape that the parameters name, None where all are single numbers (of whatever rank)."""
        for _, constant in self.constants():
            shape = constant.get_shape()
            if any(n != 1 for n in shape):
                return shape
        return None

    def expected_input(self) -> Shape | None:
        return self.own_shape()

    def infer(self, input: Shape | None) -> Shape | None:
        own = self.own_shape()
        if own is not None and input is not None and own != input:
            raise VerifyException(
                f"its parameters are for {shape_text(own)} elements, but a signal of shape {shape_text(input)} arrives"
            )
        return own if input is None else input


def with_metadata(parameters: dict[str, Attribute], *nodes: NodeOp) -> dict[str, Attribute]:
    """Parameters of a node that takes the place of others, with their metadata; the later ones' wins."""
    kept = dict[str, Attribute]()
    for node in nodes:
        if node.metadata is not None:
            kept.update(node.metadata.data)
    return {**parameters, "metadata": DictionaryAttr(kept)} if kept else parameters


def out_of_range(name: str, values: Array, bad: Array, demand: str) -> Iterator[str]:
    """The fault of a parameter with values out of their range, naming the first one."""
    found = np.flatnonzero(bad)
    if found.size:
        at = f" at index {index_text(values, int(found[0]))}" if values.ndim else ""
        yield f"{name}: {values.flat[found[0]]:g}{at}{and_more(found.size)}, must be {demand}"


def integers(attr: DenseArrayBase | IntegerAttr) -> tuple[int, ...]:
    """The numbers of an `array<i64: ...>` or of a single integer."""
    if isinstance(attr, IntegerAttr):
        return (attr.value.data,)
    return cast(DenseArrayBase[IntegerType], attr).get_values()


def per_axis(attr: DenseArrayBase | IntegerAttr, axes: int) -> tuple[int, ...]:
    """One number per axis; a single one stands for all."""
    values = integers(attr)
    return values * axes if len(values) == 1 else values


def int_array(values: Iterable[int]) -> DenseArrayBase:
    """`array<i64: ...>`"""
    return DenseArrayBase.from_list(i64, list(values))
