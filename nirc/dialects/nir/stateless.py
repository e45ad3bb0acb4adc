"""Nodes that compute their output from their input alone; Delay, which only shifts it, stands with them."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, DenseIntOrFPElementsAttr, IntegerAttr, StringAttr
from xdsl.irdl import irdl_op_definition, opt_prop_def, prop_def
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import array, shape_text
from nirc.dialects.nir.node import ElementwiseOp, NodeOp, Shape, integers, out_of_range, per_axis


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
        elif self.bias is not None and len(self.bias) != 1 and self.bias.get_shape() != (weight[0],):
            yield f"bias: shape {shape_text(self.bias.get_shape())}, must be {weight[0]} like the rows of weight"


class MatrixOp(WeightOp, ABC):
    """A node that multiplies a vector by a matrix."""

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
class LinearOp(MatrixOp):
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
class AffineOp(MatrixOp):
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


def _places(axis: int, size: int, reach: int, stride: int, padding: int) -> int:
    """Places that a window finds along an axis: floor((size + padding - reach) / stride) + 1, padding in total."""
    if size + padding < reach:
        raise VerifyException(
            f"the window's axis {axis} reaches over {reach} places, but with padding there are {size + padding}"
        )
    return (size + padding - reach) // stride + 1


def _at_least(name: str, attr: DenseArrayBase | IntegerAttr, axes: int, least: int) -> Iterator[str]:
    values = integers(attr)
    if len(values) not in (1, axes):
        yield f"{name}: {len(values)} numbers, must be {axes} or one"
    elif min(values) < least:
        yield f"{name}: {min(values)}, must be at least {least}"


class ConvOp(WeightOp, ABC):
    """output = weight * input + bias: cross-correlation over the last axes, zeros beyond the border.

    | name     | shape                           | unit          | range |
    |----------|---------------------------------|---------------|-------|
    | weight   | (out, in / groups, kernel...)   | 1             |       |
    | bias     | (out)                           | of the output |       |
    | stride   | one, or one per axis            | places        | > 0   |
    | padding  | the same, or `same`, or `valid` | places        | >= 0  |
    | dilation | one, or one per axis            | places        | > 0   |
    | groups   | 1                               |               | > 0   |

    `same` pads dilation (kernel - 1) places in total, the odd one last, and needs stride 1.
    """

    stride = prop_def(DenseArrayBase | IntegerAttr)
    padding = prop_def(DenseArrayBase | IntegerAttr | StringAttr)
    dilation = prop_def(DenseArrayBase | IntegerAttr)
    groups = prop_def(IntegerAttr)

    AXES: ClassVar[int]
    """The axes over which the kernel moves."""

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        if len(self.weight.get_shape()) != self.WEIGHT_RANK:
            return
        yield from _at_least("stride", self.stride, self.AXES, 1)
        yield from _at_least("dilation", self.dilation, self.AXES, 1)
        if isinstance(self.padding, StringAttr):
            if self.padding.data not in ("same", "valid"):
                yield f"padding: '{self.padding.data}', must be numbers, 'same' or 'valid'"
            elif self.padding.data == "same" and set(integers(self.stride)) != {1}:
                yield "padding: 'same' needs stride 1"
        else:
            yield from _at_least("padding", self.padding, self.AXES, 0)
        groups = self.groups.value.data
        rows = self.weight.get_shape()[0]
        if groups < 1 or rows % groups:
            yield f"groups: {groups}, must divide the {rows} output channels"

    def paddings(self) -> tuple[tuple[int, int], ...]:
        """The zeros before and after, axis by axis."""
        if isinstance(self.padding, StringAttr):
            if self.padding.data == "valid":
                return ((0, 0),) * self.AXES
            kernel, dilations = self.weight.get_shape()[2:], per_axis(self.dilation, self.AXES)
            totals = [dilation * (size - 1) for dilation, size in zip(dilations, kernel, strict=True)]
            return tuple((total // 2, (total + 1) // 2) for total in totals)
        return tuple((padding, padding) for padding in per_axis(self.padding, self.AXES))

    def infer(self, input: Shape | None) -> Shape | None:
        if input is None:
            return None
        out, per_group, *kernel = self.weight.get_shape()
        channels = per_group * self.groups.value.data
        if len(input) != self.INPUT_RANK or input[0] != channels:
            raise VerifyException(
                f"weight takes {channels} channels (weight {shape_text(self.weight.get_shape())}, "
                f"groups {self.groups.value.data}), but a signal of shape {shape_text(input)} arrives"
            )
        strides, dilations = per_axis(self.stride, self.AXES), per_axis(self.dilation, self.AXES)
        along = zip(input[1:], kernel, strides, dilations, self.paddings(), strict=True)
        return (
            out,
            *(
                _places(axis, size, dilation * (taps - 1) + 1, stride, sum(padding))
                for axis, (size, taps, stride, dilation, padding) in enumerate(along)
            ),
        )


@irdl_op_definition
class Conv1dOp(ConvOp):
    """The convolution of channels x places, see `ConvOp`."""

    name = "nir.conv1d"
    NIR_TYPE: ClassVar[str] = "Conv1d"
    WEIGHT_RANK: ClassVar[int] = 3
    INPUT_RANK: ClassVar[int | None] = 2
    AXES: ClassVar[int] = 1


@irdl_op_definition
class Conv2dOp(ConvOp):
    """The convolution of channels x rows x columns, see `ConvOp`."""

    name = "nir.conv2d"
    NIR_TYPE: ClassVar[str] = "Conv2d"
    WEIGHT_RANK: ClassVar[int] = 4
    INPUT_RANK: ClassVar[int | None] = 3
    AXES: ClassVar[int] = 2


class PoolOp(NodeOp, ABC):
    """A number for each window of channels x rows x columns, channel by channel, zeros beyond the border."""

    INPUT_RANK: ClassVar[int | None] = 3

    kernel_size = prop_def(DenseArrayBase | IntegerAttr)
    stride = prop_def(DenseArrayBase | IntegerAttr)
    padding = prop_def(DenseArrayBase | IntegerAttr)

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        yield from _at_least("kernel_size", self.kernel_size, 2, 1)
        yield from _at_least("stride", self.stride, 2, 1)
        yield from _at_least("padding", self.padding, 2, 0)

    def infer(self, input: Shape | None) -> Shape | None:
        if input is None:
            return None
        if len(input) != 3:
            raise VerifyException(
                f"pools channels, rows and columns, but a signal of shape {shape_text(input)} arrives"
            )
        kernel, stride, padding = (per_axis(attr, 2) for attr in (self.kernel_size, self.stride, self.padding))
        return (
            input[0],
            *(_places(axis, input[axis + 1], kernel[axis], stride[axis], 2 * padding[axis]) for axis in (0, 1)),
        )


@irdl_op_definition
class SumPool2dOp(PoolOp):
    """Each output is the sum of the input over a window."""

    name = "nir.sum_pool2d"
    NIR_TYPE: ClassVar[str] = "SumPool2d"


@irdl_op_definition
class AvgPool2dOp(PoolOp):
    """Each output is the sum of the input over a window, divided by the window's whole size (padding included)."""

    name = "nir.avg_pool2d"
    NIR_TYPE: ClassVar[str] = "AvgPool2d"


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
class ScaleOp(ElementwiseOp):
    """output = scale input, element by element.

    | name  | shape        | unit |
    |-------|--------------|------|
    | scale | () or (N...) | 1    |
    """

    name = "nir.scale"
    NIR_TYPE: ClassVar[str] = "Scale"

    scale = prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class ThresholdOp(ElementwiseOp):
    """output = Theta(input - threshold): a spike where the input is above the threshold.

    | name      | shape        | unit         |
    |-----------|--------------|--------------|
    | threshold | () or (N...) | of the input |
    """

    name = "nir.threshold"
    NIR_TYPE: ClassVar[str] = "Threshold"
    SPIKING: ClassVar[bool] = True

    threshold = prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class DelayOp(ElementwiseOp):
    """output(t) = input(t - delay), 0 before.

    | name  | shape        | unit | range              |
    |-------|--------------|------|--------------------|
    | delay | () or (N...) | s    | >= 0, <= MOST_STEPS |
    """

    name = "nir.delay"
    NIR_TYPE: ClassVar[str] = "Delay"

    MOST_STEPS: ClassVar[int] = 1 << 24
    """Steps that a delay may take; so a delay of more seconds is refused at any step up to 1 s."""

    delay = prop_def(DenseIntOrFPElementsAttr)

    def rules(self) -> Iterator[str]:
        yield from super().rules()
        values = array(self.delay)
        yield from out_of_range("delay", values, values < 0, ">= 0")
        most = f"at most {self.MOST_STEPS:,} (a buffer of as many steps at dt = 1 s, of more at any smaller dt)"
        yield from out_of_range("delay", values, (values > self.MOST_STEPS) & np.isfinite(values), most)

    def has_state(self) -> bool:
        return bool(np.any(array(self.delay) > 0))
