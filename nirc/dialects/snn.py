"""The `snn` dialect: one time step of a spiking network.

Everything is per step: seconds appear nowhere below this dialect. `snn.network` holds the function of one step: block
arguments are the inputs and the states, the terminator yields the outputs and the next states. It is plain acyclic SSA;
a recurrent edge became a state that carries last step's value. What simulators do differently is visible as wiring:
spikes from the old or the new v, reset now or at the next step.

Types: `tensor<..xi1>` spikes, `tensor<..xi32>` spike counts, `tensor<..xf32|f64>` graded values; an op that multiplies
takes any of them and gives the precision of its constants. Numbers are rounded after each operation, multiplication
and addition apart; a sum of products runs in ascending order of the input index (convolutions: row, column, channel).
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, cast

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    Float32Type,
    Float64Type,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    TensorType,
    i1,
    i32,
)
from xdsl.ir import Attribute, Block, Dialect, Operation, ParametrizedAttribute, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    lazy_traits_def,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import HasParent, IsolatedFromAbove, IsTerminator, Pure, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import (
    Dense,
    ElementType,
    Tensor,
    and_more,
    array,
    as_dense,
    dense_faults,
    index_text,
    shape_text,
)
from nirc.dialects.nir import integers, quote


@irdl_attr_definition
class StateAttr(ParametrizedAttribute):
    """A state of the network: the node that owns it, its variable (`v`, `i`, `z`: last step's spikes, `out`: last
    step's output, `x`: what arrived last step, `sums`: what a matrix makes of its spikes), and its value before the
    first step (one number, or one per element).
    """

    name = "snn.state"

    node: StringAttr
    variable: StringAttr
    init: DenseIntOrFPElementsAttr

    @property
    def label(self) -> str:
        """`node.variable`, as messages name it."""
        return f"{self.node.data}.{self.variable.data}"


def tensor_of(value: SSAValue) -> Tensor:
    """The type of a value of this dialect."""
    return cast(Tensor, value.type)


class SnnOp(IRDLOperation, ABC):
    """An op of one step. `node` is the name of the NIR node that it came from."""

    node = opt_prop_def(StringAttr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (Pure(), HasParent(NetworkOp, ScanOp)))
    assembly_format = "operands attr-dict `:` functional-type(operands, results)"

    @property
    def label(self) -> str:
        """What messages call this op: the user's node, or the op itself in hand-written IR."""
        return quote(self.node.data) if self.node else self.name

    def __init__(
        self,
        operands: Sequence[SSAValue],
        result: Attribute,
        properties: dict[str, Attribute | None] | None = None,
        node: str | None = None,
    ):
        super().__init__(
            operands=operands,
            result_types=[result],
            properties={**(properties or {}), "node": None if node is None else StringAttr(node)},
        )

    def constants(self) -> Iterator[tuple[str, Dense]]:
        """The dense properties by name."""
        for name, attr in self.properties.items():
            if (constant := as_dense(attr)) is not None:
                yield name, constant

    def precision(self) -> ElementType | None:
        """The element type that the constants have to have; None where the op has none to compute with."""
        return tensor_of(self.results[0]).element_type

    def check(self) -> Iterator[str]:
        """What the constraints cannot say."""
        precision = self.precision()
        if precision is not None and not isinstance(precision, Float32Type | Float64Type):
            yield f"it computes in f32 or f64, not in {precision}"
        yield from self.constant_faults()

    def constant_faults(self) -> Iterator[str]:
        """Constants that are no numbers, or of another type than the op's."""
        precision = self.precision()
        for name, attr in self.constants():
            if fault := dense_faults(attr):
                yield f"{name} {fault}"
            elif attr.get_element_type() != precision:
                yield f"{name} is of {attr.get_element_type()}, but the op computes in {precision}"

    def verify_(self) -> None:
        if faults := list(self.check()):
            raise VerifyException(f"{self.label}: {'; '.join(faults)}")


def _fits(name: str, attr: Dense, shape: tuple[int, ...]) -> Iterator[str]:
    """A constant per element is one number or broadcasts to the shape."""
    own = attr.get_shape()
    padded = (1,) * (len(shape) - len(own)) + own
    if len(own) > len(shape) or any(a not in (1, b) for a, b in zip(padded, shape, strict=True)):
        yield f"{name} has the shape {shape_text(own)}, which does not fit {shape_text(shape)}"


def _same_shape(op: SnnOp, *values: SSAValue) -> Iterator[str]:
    shapes = [tensor_of(value).get_shape() for value in values]
    if len(set(shapes)) > 1:
        yield f"shapes must be equal, got {', '.join(map(shape_text, shapes))}"


@irdl_op_definition
class LinearOp(SnnOp):
    """output[n] = sum over m, ascending, of weight[n, m] * input[m].

    | name   | shape  |
    |--------|--------|
    | input  | (M)    |
    | weight | (N, M) |
    | output | (N)    |
    """

    name = "snn.linear"

    input = operand_def(TensorType)
    output = result_def(TensorType)
    weight = prop_def(DenseIntOrFPElementsAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        expected = (*tensor_of(self.output).get_shape(), *tensor_of(self.input).get_shape())
        if len(expected) != 2 or self.weight.get_shape() != expected:
            yield f"weight has the shape {shape_text(self.weight.get_shape())}, must be {shape_text(expected)}"


@irdl_op_definition
class ConvOp(SnnOp):
    """Cross-correlation over rows and columns; taps are added in the order row, column, channel.

    | name     | shape                      | range |
    |----------|----------------------------|-------|
    | input    | (C, H, W)                  |       |
    | weight   | (N, C / groups, KH, KW)    |       |
    | stride   | rows, columns              | > 0   |
    | padding  | top, bottom, left, right   | >= 0  |
    | dilation | rows, columns              | > 0   |
    | output   | (N, OH, OW)                |       |
    """

    name = "snn.conv"

    input = operand_def(TensorType)
    output = result_def(TensorType)
    weight = prop_def(DenseIntOrFPElementsAttr)
    stride = prop_def(DenseArrayBase)
    padding = prop_def(DenseArrayBase)
    dilation = prop_def(DenseArrayBase)
    groups = prop_def(IntegerAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        weight, groups = self.weight.get_shape(), self.groups.value.data
        yield from _window_faults(self, weight[2:], integers(self.dilation))
        channels, *_ = tensor_of(self.input).get_shape() or (0,)
        given, *_ = tensor_of(self.output).get_shape() or (0,)
        if len(weight) != 4 or groups < 1 or weight[1] * groups != channels or weight[0] % groups:
            yield f"weight {shape_text(weight)} with groups {groups} does not take {channels} channels"
        elif given != weight[0]:
            yield f"the output has {given} channels, weight {weight[0]}"


@irdl_op_definition
class PoolOp(SnnOp):
    """The sum over a window, channel by channel, added row by row, column by column.

    | name    | shape                    | range |
    |---------|--------------------------|-------|
    | kernel  | rows, columns            | > 0   |
    | stride  | rows, columns            | > 0   |
    | padding | top, bottom, left, right | >= 0  |
    """

    name = "snn.pool"

    input = operand_def(TensorType)
    output = result_def(TensorType)
    kernel = prop_def(DenseArrayBase)
    stride = prop_def(DenseArrayBase)
    padding = prop_def(DenseArrayBase)

    def check(self) -> Iterator[str]:
        yield from super().check()
        yield from _window_faults(self, integers(self.kernel), (1, 1))
        if tensor_of(self.input).get_shape()[:1] != tensor_of(self.output).get_shape()[:1]:
            yield "a pool keeps the channels"


def _window_faults(op: ConvOp | PoolOp, kernel: Sequence[int], dilation: Sequence[int]) -> Iterator[str]:
    shape, result = tensor_of(op.input).get_shape(), tensor_of(op.output).get_shape()
    stride, padding = integers(op.stride), integers(op.padding)
    if len(shape) != 3 or len(result) != 3:
        yield f"takes and gives channels, rows and columns, got {shape_text(shape)} and {shape_text(result)}"
    elif (len(stride), len(padding), len(kernel), len(dilation)) != (2, 4, 2, 2):
        yield "stride, kernel and dilation are two numbers each, padding four"
    elif min(*stride, *kernel, *dilation) < 1 or min(padding) < 0:
        yield "stride, kernel and dilation must be at least 1, padding at least 0"
    else:
        for axis in (0, 1):
            room = shape[axis + 1] + padding[2 * axis] + padding[2 * axis + 1] - dilation[axis] * (kernel[axis] - 1)
            places = (room - 1) // stride[axis] + 1
            if result[axis + 1] != places:
                yield f"the output's axis {axis + 1} has {result[axis + 1]} places, must have {places}"


@irdl_op_definition
class ScaleOp(SnnOp):
    """output = factor * input, element by element."""

    name = "snn.scale"

    input = operand_def(TensorType)
    output = result_def(TensorType)
    factor = prop_def(DenseIntOrFPElementsAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        yield from _same_shape(self, self.input, self.output)
        yield from _fits("factor", self.factor, tensor_of(self.output).get_shape())


@irdl_op_definition
class AddOp(SnnOp):
    """output = input + constant: a bias, a leak."""

    name = "snn.add"

    input = operand_def(TensorType)
    output = result_def(TensorType)
    constant = prop_def(DenseIntOrFPElementsAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        yield from _same_shape(self, self.input, self.output)
        yield from _fits("constant", self.constant, tensor_of(self.output).get_shape())


@irdl_op_definition
class SumOp(SnnOp):
    """output = the sum of the inputs in operand order: several edges into a port."""

    name = "snn.sum"

    inputs = var_operand_def(TensorType)
    output = result_def(TensorType)

    def __init__(self, inputs: Sequence[SSAValue], result: Attribute, node: str | None = None):
        super().__init__([inputs], result, node=node)  # pyright: ignore[reportArgumentType]

    def check(self) -> Iterator[str]:
        yield from super().check()
        if len(self.inputs) < 2:
            yield "a sum takes at least two values"
        yield from _same_shape(self, *self.inputs, self.output)


@irdl_op_definition
class ReshapeOp(SnnOp):
    """The same numbers in row-major order under another shape."""

    name = "snn.reshape"

    input = operand_def(TensorType)
    output = result_def(TensorType)

    def precision(self) -> ElementType | None:
        return None

    def check(self) -> Iterator[str]:
        taken, given = tensor_of(self.input), tensor_of(self.output)
        if taken.element_type != given.element_type or np.prod(taken.get_shape()) != np.prod(given.get_shape()):
            yield f"cannot turn {taken} into {given}"


@irdl_op_definition
class DelayOp(SnnOp):
    """output[n] = the input[n] of steps[n] steps ago; `ring` holds the last inputs, the oldest first.

    | name  | shape        | range               |
    |-------|--------------|---------------------|
    | input | (N...)       |                     |
    | ring  | (R, N...)    |                     |
    | steps | () or (N...) | 0 to R, R among them |
    """

    name = "snn.delay"

    input = operand_def(TensorType)
    ring = operand_def(TensorType)
    output = result_def(TensorType)
    next = result_def(TensorType)
    steps = prop_def(DenseIntOrFPElementsAttr)

    def __init__(self, input: SSAValue, ring: SSAValue, steps: Dense, node: str | None = None):
        IRDLOperation.__init__(
            self,
            operands=[input, ring],
            result_types=[input.type, ring.type],
            properties={"steps": steps, "node": None if node is None else StringAttr(node)},
        )

    def precision(self) -> ElementType | None:
        return i32

    def check(self) -> Iterator[str]:
        yield from self.constant_faults()
        taken, ring = tensor_of(self.input), tensor_of(self.ring)
        yield from _fits("steps", self.steps, taken.get_shape())
        length = ring.get_shape()[0] if ring.get_shape() else 0
        if length < 1 or ring.get_shape()[1:] != taken.get_shape():
            yield f"the ring of a delay of {taken} is (steps, ...), got {ring}"
        elif {self.output.type} != {taken} or self.next.type != ring or ring.element_type != taken.element_type:
            yield "a delay gives the types that it takes"
        elif (
            not dense_faults(self.steps)
            and len(self.steps)
            and not 0 <= array(self.steps).min() <= array(self.steps).max() == length
        ):
            yield f"steps go from 0 to the ring's {length}, and one must be as long"


@irdl_op_definition
class FilterOp(SnnOp):
    """One step of a first-order linear filter: the leak of a membrane or of a synapse.

    next = decay * state + gain * input          (rounded after each operation, no fused multiply-add)

    | name   | shape        | unit             | range  |
    |--------|--------------|------------------|--------|
    | input  | (N...)       |                  |        |
    | state  | (N...)       |                  |        |
    | decay  | () or (N...) | 1                | [0, 1] |
    | gain   | () or (N...) | state per input  |        |
    """

    name = "snn.filter"

    input = operand_def(TensorType)
    state = operand_def(TensorType)
    next = result_def(TensorType)
    decay = prop_def(DenseIntOrFPElementsAttr)
    gain = prop_def(DenseIntOrFPElementsAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        yield from _same_shape(self, self.input, self.state, self.next)
        if self.state.type != self.next.type:
            yield f"the state is {self.state.type}, its next value {self.next.type}"
        for name, attr in self.constants():
            yield from _fits(name, attr, tensor_of(self.next).get_shape())
        decay = array(self.decay)
        bad = np.flatnonzero((decay < 0) | (decay > 1))
        if bad.size:
            at = f" at neuron {index_text(decay, int(bad[0]))}" if decay.ndim else ""
            yield f"decay must lie in [0, 1], got {decay.flat[bad[0]]:g}{at}{and_more(bad.size)}"


@irdl_op_definition
class FireOp(SnnOp):
    """Spikes where v passes the threshold; a result of i1 holds spikes, one of i32 counts floor(v / threshold).

    compare `>`: v > threshold; `>=`: v >= threshold. A count is 0 where the comparison is false.
    """

    name = "snn.fire"
    COMPARE: ClassVar[tuple[str, ...]] = (">", ">=")

    v = operand_def(TensorType)
    spikes = result_def(TensorType)
    threshold = prop_def(DenseIntOrFPElementsAttr)
    compare = prop_def(StringAttr)

    def precision(self) -> ElementType | None:
        return tensor_of(self.v).element_type

    def check(self) -> Iterator[str]:
        yield from super().check()
        yield from _same_shape(self, self.v, self.spikes)
        yield from _fits("threshold", self.threshold, tensor_of(self.v).get_shape())
        if self.compare.data not in self.COMPARE:
            yield f"compare must be one of {', '.join(self.COMPARE)}, got '{self.compare.data}'"
        if tensor_of(self.spikes).element_type not in (i1, i32):
            yield f"spikes are i1, counts i32, got {tensor_of(self.spikes).element_type}"


@irdl_op_definition
class ResetOp(SnnOp):
    """What a spike does to v.

    kind `value`: next = amount where a neuron fired, v elsewhere; `subtract`: next = v - spikes * amount.
    """

    name = "snn.reset"
    KINDS: ClassVar[tuple[str, ...]] = ("value", "subtract")

    v = operand_def(TensorType)
    spikes = operand_def(TensorType)
    next = result_def(TensorType)
    kind = prop_def(StringAttr)
    amount = prop_def(DenseIntOrFPElementsAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        yield from _same_shape(self, self.v, self.spikes, self.next)
        if self.v.type != self.next.type:
            yield f"v is {self.v.type}, its next value {self.next.type}"
        yield from _fits("amount", self.amount, tensor_of(self.v).get_shape())
        if self.kind.data not in self.KINDS:
            yield f"kind must be one of {', '.join(self.KINDS)}, got '{self.kind.data}'"
        if tensor_of(self.spikes).element_type not in (i1, i32):
            yield f"spikes are i1, counts i32, got {tensor_of(self.spikes).element_type}"


@irdl_op_definition
class ClampOp(SnnOp):
    """next = min(max(input, low), high)."""

    name = "snn.clamp"

    input = operand_def(TensorType)
    output = result_def(TensorType)
    low = opt_prop_def(DenseIntOrFPElementsAttr)
    high = opt_prop_def(DenseIntOrFPElementsAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        yield from _same_shape(self, self.input, self.output)
        if self.low is None and self.high is None:
            yield "a clamp needs low, high or both"
        for name, attr in self.constants():
            yield from _fits(name, attr, tensor_of(self.output).get_shape())


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The network's outputs, then the next states, in the order of the network's `outputs` and `states`; or what leaves
    a scan."""

    name = "snn.yield"

    values = var_operand_def(TensorType)

    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(NetworkOp, ScanOp)))
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, values: Sequence[SSAValue]):
        super().__init__(operands=[values])


@irdl_op_definition
class ScanOp(IRDLOperation):
    """Ops that can run for many steps on end before the next scan begins: each of their states is theirs alone.

    What they do in one step is what they would do without a scan. The results are the yielded values.
    """

    name = "snn.scan"

    outputs = var_result_def(TensorType)
    body = region_def("single_block")

    traits = lazy_traits_def(lambda: (HasParent(NetworkOp),))
    assembly_format = "attr-dict-with-keyword $body (`:` type($outputs)^)?"

    def __init__(self, body: Region):
        last = body.block.last_op
        assert isinstance(last, YieldOp)
        super().__init__(result_types=[[value.type for value in last.values]], regions=[body])

    @property
    def yielded(self) -> YieldOp:
        """The terminator."""
        last = self.body.block.last_op
        assert isinstance(last, YieldOp)
        return last

    def verify_(self) -> None:
        if not isinstance(self.body.block.last_op, YieldOp) or self.body.block.args:
            raise VerifyException("a snn.scan has no arguments and ends in snn.yield")
        kinds = [value.type for value in self.yielded.values]
        if kinds != [value.type for value in self.outputs]:
            raise VerifyException("the results of a snn.scan are what it yields")


@irdl_op_definition
class NetworkOp(IRDLOperation):
    """One step of a network.

    | name    | what it is                                                         |
    |---------|--------------------------------------------------------------------|
    | inputs  | names of the inputs, the first block arguments                     |
    | states  | the states, the block arguments that follow                        |
    | outputs | names of the outputs, the first operands of the yield              |
    | scheme  | the scheme that discretized it, with the options that were changed |
    """

    name = "snn.network"

    sym_name = prop_def(SymbolNameConstraint())
    inputs = prop_def(ArrayAttr[StringAttr])
    outputs = prop_def(ArrayAttr[StringAttr])
    states = prop_def(ArrayAttr[StateAttr])
    scheme = opt_prop_def(StringAttr)
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface())
    assembly_format = "$sym_name attr-dict-with-keyword $body"

    def __init__(
        self,
        name: str,
        inputs: Iterable[str],
        outputs: Iterable[str],
        states: Iterable[StateAttr],
        body: Region,
        scheme: str | None = None,
    ):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "inputs": ArrayAttr([StringAttr(text) for text in inputs]),
                "outputs": ArrayAttr([StringAttr(text) for text in outputs]),
                "states": ArrayAttr(states),
                "scheme": None if scheme is None else StringAttr(scheme),
            },
            regions=[body],
        )

    @property
    def yielded(self) -> YieldOp:
        """The terminator."""
        last = self.body.block.last_op
        assert isinstance(last, YieldOp)
        return last

    @property
    def input_args(self) -> tuple[SSAValue, ...]:
        """The block arguments that are inputs."""
        return tuple(self.body.block.args[: len(self.inputs)])

    @property
    def state_args(self) -> tuple[SSAValue, ...]:
        """The block arguments that are states."""
        return tuple(self.body.block.args[len(self.inputs) :])

    @property
    def output_values(self) -> tuple[SSAValue, ...]:
        """The values that leave the network."""
        return tuple(self.yielded.values[: len(self.outputs)])

    @property
    def next_values(self) -> tuple[SSAValue, ...]:
        """The next states."""
        return tuple(self.yielded.values[len(self.outputs) :])

    def verify_(self) -> None:
        block = self.body.block
        if not isinstance(block.last_op, YieldOp):
            raise VerifyException("a snn.network must end in snn.yield")
        if any(not isinstance(argument.type, TensorType) for argument in block.args):
            raise VerifyException("the arguments of a snn.network are tensors")
        if len(block.args) != len(self.inputs) + len(self.states):
            raise VerifyException(
                f"{len(self.inputs)} inputs and {len(self.states)} states, but {len(block.args)} arguments"
            )
        if len(self.yielded.values) != len(self.outputs) + len(self.states):
            raise VerifyException(
                f"{len(self.outputs)} outputs and {len(self.states)} states, "
                f"but {len(self.yielded.values)} values are yielded"
            )
        for state, before, after in zip(self.states, self.state_args, self.next_values, strict=True):
            if before.type != after.type:
                raise VerifyException(f"state {quote(state.label)} is {before.type}, its next value {after.type}")
            init = state.init
            shape = tensor_of(before).get_shape()
            if (fault := dense_faults(init)) or init.get_shape() not in ((), shape):
                raise VerifyException(f"state {quote(state.label)}: its initial value {fault or 'has another shape'}")
            if init.get_element_type() != tensor_of(before).element_type:
                raise VerifyException(f"state {quote(state.label)}: its initial value is not {tensor_of(before)}")
        seen = set[SSAValue](block.args)
        self.verify_order(block, seen)
        for state, argument, value in zip(self.states, self.state_args, self.next_values, strict=True):
            owner = [value.owner] if isinstance(value.owner, ScanOp) else []
            scans = {op for op in (*owner, *(use.operation.parent_op() for use in argument.uses)) if op is not self}
            if len(scans) > 1:
                raise VerifyException(f"state {quote(state.label)} belongs to {len(scans)} scans")

    def verify_order(self, block: Block, seen: set[SSAValue]) -> None:
        """Raise VerifyException where an op of a block reads what is not there yet."""
        for op in block.ops:
            for operand in op.operands:
                if operand not in seen:
                    who = operand.owner.name if isinstance(operand.owner, Operation) else "another block"
                    raise VerifyException(f"{op.name} uses a value of {who} before it is there; a step has no cycles")
            if isinstance(op, ScanOp):
                self.verify_order(op.body.block, set(seen))
            seen.update(op.results)


STEP_OPS = (AddOp, ClampOp, ConvOp, DelayOp, FilterOp, FireOp, LinearOp, PoolOp, ReshapeOp, ResetOp, ScaleOp, SumOp)


Snn = Dialect("snn", [*STEP_OPS, NetworkOp, ScanOp, YieldOp], [StateAttr])
