"""The nodes without a membrane: weights, windows, factors, delays."""

from __future__ import annotations

import math

import numpy as np
from xdsl.dialects.builtin import BytesAttr, DenseIntOrFPElementsAttr, i1
from xdsl.ir import Attribute, SSAValue

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, Dense, ElementType, dense, doubles, tensor, uniform
from nirc.dialects.nir import per_axis
from nirc.passes.convert_nir_to_snn.step import Arriving, Step, delay_steps, shape_of


def _weighted(step: Step, op: nir.WeightOp, x: Arriving) -> SSAValue:
    """What arrives at weights: of this step, or of the last one as `dense_delay` says."""
    return (step.arriving_late(op, x) if step.scheme["dense_delay"] == "1" else x)()


def _bias(step: Step, op: nir.WeightOp) -> Array:
    """The bias; none on the way back of a cycle where the scheme drops it."""
    if op.bias is None:
        return np.zeros(())
    if not step.scheme.flag("rec_bias") and op.node.data in step.back:
        if np.any(doubles(op.bias)):
            step.unused.setdefault("bias", []).append(op.node.data)
        return np.zeros(())
    return doubles(op.bias)


def lower_matrix(step: Step, op: nir.LinearOp | nir.AffineOp, x: Arriving) -> SSAValue:
    """weight x, then + bias."""
    name = op.node.data
    weight = step.weights(op.weight)
    y = step.add(snn.LinearOp([_weighted(step, op, x)], tensor(shape_of(op), step.element), {"weight": weight}, name))
    return step.plus(y, _bias(step, op), name)


def _conv(step: Step, op: nir.ConvOp, x: SSAValue, weight: Dense, lead: tuple[int, ...], result: nir.Shape) -> SSAValue:
    """weight * x over rows and columns; `lead`: the axes of one row that a Conv1d lacks."""
    (top, bottom), (left, right) = (*((0, 0) for _ in lead), *op.paddings())
    properties: dict[str, Attribute | None] = {
        "weight": weight,
        "stride": nir.int_array((*lead, *per_axis(op.stride, op.AXES))),
        "padding": nir.int_array((top, bottom, left, right)),
        "dilation": nir.int_array((*lead, *per_axis(op.dilation, op.AXES))),
        "groups": op.groups,
    }
    return step.add(snn.ConvOp([x], tensor(result, step.element), properties, op.node.data))


def _plus_bias(step: Step, op: nir.ConvOp, y: SSAValue) -> SSAValue:
    """The bias, channel by channel."""
    bias = _bias(step, op)
    return step.plus(y, bias.reshape(-1, *(1,) * op.AXES) if bias.size > 1 else bias.reshape(()), op.node.data)


def lower_conv2d(step: Step, op: nir.Conv2dOp, x: Arriving) -> SSAValue:
    """weight * x, then + bias, channel by channel."""
    return _plus_bias(step, op, _conv(step, op, _weighted(step, op, x), step.weights(op.weight), (), shape_of(op)))


def lower_conv1d(step: Step, op: nir.Conv1dOp, x: Arriving) -> SSAValue:
    """A Conv2d over a single row."""
    weight = step.weights(op.weight)
    (out, per_group, taps), (_, places) = weight.get_shape(), shape_of(op)
    flat = DenseIntOrFPElementsAttr[ElementType](
        tensor((out, per_group, 1, taps), step.element), BytesAttr(weight.data.data)
    )
    taking = _weighted(step, op, x)
    taken = snn.tensor_of(taking)
    channels, length = taken.get_shape()
    row = step.add(snn.ReshapeOp([taking], tensor((channels, 1, length), taken.element_type), None, op.node.data))
    y = _conv(step, op, row, flat, (1,), (out, 1, places))
    return _plus_bias(step, op, step.add(snn.ReshapeOp([y], tensor((out, places), step.element), None, op.node.data)))


def _pool(step: Step, op: nir.PoolOp, x: SSAValue) -> SSAValue:
    """The sum over each window."""
    rows, columns = per_axis(op.padding, 2)
    properties: dict[str, Attribute | None] = {
        "kernel": nir.int_array(per_axis(op.kernel_size, 2)),
        "stride": nir.int_array(per_axis(op.stride, 2)),
        "padding": nir.int_array((rows, rows, columns, columns)),
    }
    return step.add(snn.PoolOp([x], tensor(shape_of(op), step.element), properties, op.node.data))


def lower_sum_pool2d(step: Step, op: nir.SumPool2dOp, x: Arriving) -> SSAValue:
    """The sum over each window."""
    return _pool(step, op, x())


def lower_avg_pool2d(step: Step, op: nir.AvgPool2dOp, x: Arriving) -> SSAValue:
    """The sum over each window, times 1 / its size."""
    share = np.asarray(1 / math.prod(per_axis(op.kernel_size, 2)))
    return _scaled(step, op, _pool(step, op, x()), share)


def _scaled(step: Step, op: nir.NodeOp, x: SSAValue, factor: Array) -> SSAValue:
    properties: dict[str, Attribute | None] = {"factor": step.constant(factor)}
    return step.add(snn.ScaleOp([x], tensor(shape_of(op), step.element), properties, op.node.data))


def lower_scale(step: Step, op: nir.ScaleOp, x: Arriving) -> SSAValue:
    """scale x"""
    return _scaled(step, op, x(), doubles(op.scale))


def lower_threshold(step: Step, op: nir.ThresholdOp, x: Arriving) -> SSAValue:
    """Spikes where x passes the threshold."""
    graded = step.as_type(x(), tensor(shape_of(op), step.element), op.node.data)
    return step.fire(graded, doubles(op.threshold), op.node.data)


def lower_delay(step: Step, op: nir.DelayOp, x: Arriving) -> SSAValue:
    """x of round(delay / dt) steps ago; on a cycle the output of a step is known before its input is."""
    steps = delay_steps(op, step.dt)
    if op.node.data not in step.early:
        return delayed(step, op.node.data, x(), steps)
    kind = step.kind(op.output)
    state = step.state(op.node.data, "z" if kind == i1 else "out", shape_of(op), np.zeros(()), kind)

    def turn() -> None:
        arriving = step.as_type(x(), state.type, op.node.data)
        step.nexts[state] = delayed(step, op.node.data, arriving, steps - 1)

    step.later.append(turn)
    return state


def delayed(step: Step, node: str, x: SSAValue, steps: Array) -> SSAValue:
    """x of `steps` steps ago, 0 before; the value itself where that is none."""
    most = int(steps.max())
    if most == 0:
        return x
    kind = snn.tensor_of(x)
    size = math.prod(kind.get_shape())
    if most * size > nir.DelayOp.MOST_STEPS:
        step.faults.append(
            f"node {nir.quote(node)} (Delay), delay: {most:,} steps of dt = {step.dt:g} s for {size:,} "
            f"elements, at most {nir.DelayOp.MOST_STEPS:,} values are kept; give a larger --dt"
        )
        return x
    ring = step.state(node, "ring", (most, *kind.get_shape()), np.zeros(()), kind.element_type)
    op = snn.DelayOp(x, ring, dense(np.asarray(uniform(steps), dtype=np.int32)), node)
    step.block.add_op(op)
    step.nexts[ring] = op.next
    return op.output


def lower_flatten(step: Step, op: nir.FlattenOp, x: Arriving) -> SSAValue:
    """The same numbers, another shape."""
    taken = x()
    return step.add(snn.ReshapeOp([taken], tensor(shape_of(op), snn.tensor_of(taken).element_type), None, op.node.data))
