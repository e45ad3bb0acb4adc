"""The nodes without memory as linear maps of signals [B, N...] in f64, without their bias, which is a constant current.

Few elements of a change are not 0 where one neuron fires, so the maps walk over those.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from xdsl.ir import SSAValue

from nirc.dialects import nir
from nirc.dialects.dense import Array, doubles
from nirc.dialects.nir import per_axis

Map: TypeAlias = Callable[[Array], Array]

_MOST = 1 << 22
"""Products that a window map holds at once."""


def shape_of(value: SSAValue) -> nir.Shape:
    """The shape of a signal, which is known."""
    shape = nir.shape_of(value)
    assert shape is not None, "nir-settle checks shapes first"
    return shape


def _matrix(node: nir.MatrixOp) -> Map:
    columns = np.ascontiguousarray(doubles(node.weight).T)

    def apply(x: Array) -> Array:
        used = np.flatnonzero(x.any(axis=0))
        return x[:, used] @ columns[used]

    return apply


def _scale(node: nir.ScaleOp) -> Map:
    factor = doubles(node.scale)
    factor = factor.reshape(()) if factor.size == 1 else factor
    return lambda x: x * factor


def _reshape(node: nir.NodeOp) -> Map:
    shape = shape_of(node.output)
    return lambda x: x.reshape(len(x), *shape)


def _windows(
    weight: Array,
    groups: int,
    stride: tuple[int, ...],
    before: tuple[int, ...],
    dilation: tuple[int, ...],
    out: nir.Shape,
) -> Map:
    """Cross-correlation with weight [out, in/groups, h, w]: each element adds itself to the places that see it."""
    outputs, per_group, height, width = (int(n) for n in weight.shape)
    channels, rows, columns = out
    size = outputs // groups
    block: Array = np.arange(size)
    taps_y, taps_x = (tap.ravel() for tap in np.indices((height, width)))
    taps = weight.reshape(groups, outputs // groups, per_group, height * width)

    def add(total: Array, x: Array, where: tuple[Array, ...]) -> None:
        batch, channel, row, column = where
        y = row[:, None] + before[0] - taps_y * dilation[0]
        z = column[:, None] + before[1] - taps_x * dilation[1]
        seen = (y >= 0) & (y < rows * stride[0]) & (y % stride[0] == 0)
        seen &= (z >= 0) & (z < columns * stride[1]) & (z % stride[1] == 0)
        element, tap = np.nonzero(seen)
        group, within = channel[element] // per_group, channel[element] % per_group
        values = taps[group, :, within, tap] * x[where][element, None]
        to: Array = group[:, None] * len(block) + block
        place = (y[element, tap] // stride[0]) * columns + z[element, tap] // stride[1]
        flat: Array = (batch[element, None] * channels + to) * (rows * columns) + place[:, None]
        total += np.bincount(flat.ravel(), values.ravel(), total.size)

    def apply(x: Array) -> Array:
        total = np.zeros(len(x) * math.prod(out))
        where = np.nonzero(x)
        step = max(1, _MOST // (height * width * max(1, outputs // groups)))
        for first in range(0, len(where[0]), step):
            add(total, x, tuple(axis[first : first + step] for axis in where))
        return total.reshape(len(x), *out)

    return apply


def _conv(node: nir.ConvOp) -> Map:
    lead = 2 - node.AXES  # a Conv1d is a Conv2d over one row
    weight, out = doubles(node.weight), shape_of(node.output)
    weight = weight.reshape(*weight.shape[:2], *(1,) * lead, *weight.shape[2:])
    before = (*(0,) * lead, *(start for start, _ in node.paddings()))
    stride = (*(1,) * lead, *per_axis(node.stride, node.AXES))
    dilation = (*(1,) * lead, *per_axis(node.dilation, node.AXES))
    apply = _windows(weight, node.groups.value.data, stride, before, dilation, (out[0], *(1,) * lead, *out[1:]))
    return lambda x: apply(x.reshape(*x.shape[:2], *(1,) * lead, *x.shape[2:])).reshape(len(x), *out)


def _pool(node: nir.PoolOp) -> Map:
    kernel, out = per_axis(node.kernel_size, 2), shape_of(node.output)
    share = 1 / math.prod(kernel) if isinstance(node, nir.AvgPool2dOp) else 1.0
    weight = np.full((out[0], 1, *kernel), share)
    return _windows(weight, out[0], per_axis(node.stride, 2), per_axis(node.padding, 2), (1, 1), out)


def map_of(node: nir.NodeOp) -> Map | None:
    """The linear map of a node, None where the node is none."""
    match node:
        case nir.LinearOp() | nir.AffineOp():
            return _matrix(node)
        case nir.ScaleOp():
            return _scale(node)
        case nir.FlattenOp():
            return _reshape(node)
        case nir.Conv1dOp() | nir.Conv2dOp():
            return _conv(node)
        case nir.SumPool2dOp() | nir.AvgPool2dOp():
            return _pool(node)
        case nir.DelayOp() if not node.has_state():
            return _reshape(node)
        case _:
            return None


def bias_of(node: nir.NodeOp) -> Array | None:
    """What a node adds to its map, None where that is nothing."""
    if not isinstance(node, nir.WeightOp) or node.bias is None:
        return None
    bias, shape = doubles(node.bias), shape_of(node.output)
    return np.broadcast_to(bias.reshape(-1, *(1,) * (len(shape) - 1)), shape)
