"""How each node type of NIR stands in a file: its fields, what they may hold, and the op that they become.

A new node type is an op in the `nir` dialect and a row in `NODES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, IntegerType, StringAttr, i32, i64
from xdsl.ir import Attribute

from nirc.dialects import nir
from nirc.dialects.dense import Array, and_more, dense, index_text, shape_text
from nirc.frontend.hdf5 import Broken, Value


class FieldFault(Exception):
    """A field that cannot be used; the text says why."""


Convert: TypeAlias = Callable[[Value], Attribute]


@dataclass(frozen=True)
class Field:
    """A field of a node: how its value becomes a property of the op of the same name."""

    name: str
    convert: Convert
    required: bool = True
    default: Attribute | None = None


@dataclass(frozen=True)
class NodeFormat:
    """A node type: its op, its fields, and fields that legal files hold but nirc does not need."""

    op: type[nir.NodeOp]
    fields: tuple[Field, ...]
    unused: frozenset[str] = frozenset()


def numbers(value: Value) -> Array:
    """The value as a numeric array; raises FieldFault where it is anything else."""
    if isinstance(value, Broken):
        raise FieldFault(value.why)
    if isinstance(value, dict):
        raise FieldFault("a group, numbers are expected")
    if isinstance(value, str | tuple) or value.dtype.kind == "O":
        raise FieldFault("text, numbers are expected")
    if value.size == 0:
        raise FieldFault(f"has the shape {shape_text(value.shape)} and so holds no number")
    return value


def real(value: Value) -> Attribute:
    """Numbers in the file's own type and shape; they must fit float32, in which networks are computed."""
    values = numbers(value)
    if values.dtype.kind == "f" and values.dtype.itemsize >= 8:
        largest = np.finfo(np.float32).max
        if not (values.max() <= largest and values.min() >= -largest):
            bad = np.flatnonzero((np.abs(values) > largest) & np.isfinite(values))
            if bad.size:
                at = f" at index {index_text(values, int(bad[0]))}" if values.ndim else ""
                raise FieldFault(f"{values.flat[bad[0]]:g}{at}{and_more(bad.size)} does not fit float32")
    return dense(values.astype(np.float64) if values.dtype.itemsize > 8 else values)


def whole(value: Value) -> tuple[int, ...]:
    """Whole numbers; floats that are whole pass."""
    values = numbers(value)
    if values.ndim > 1:
        raise FieldFault(f"has the shape {shape_text(values.shape)}, must be a list of whole numbers")
    listed = values.ravel().tolist()
    for item in listed:
        if not float(item).is_integer():
            raise FieldFault(f"{item:g}, must be a whole number")
    return tuple(int(item) for item in listed)


def _integer_type(value: Value) -> IntegerType:
    return i32 if isinstance(value, np.ndarray) and value.dtype == np.int32 else i64


def integer(value: Value) -> Attribute:
    """One whole number."""
    listed = whole(value)
    if len(listed) != 1:
        raise FieldFault(f"{len(listed)} numbers, must be one")
    return IntegerAttr(listed[0], _integer_type(value))


def axes(value: Value) -> Attribute:
    """Whole numbers, one per axis or one for all; a single number stays one."""
    listed = whole(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return IntegerAttr(listed[0], _integer_type(value))
    return DenseArrayBase.from_list(_integer_type(value), listed)


def padding(value: Value) -> Attribute:
    """Whole numbers as `axes` takes them, or `same`, or `valid`."""
    return StringAttr(value) if isinstance(value, str) else axes(value)


def dimensions(value: Value) -> tuple[int, ...]:
    """The shape that an Input or Output declares."""
    listed = whole(value)
    for item in listed:
        if item < 1:
            raise FieldFault(f"{item}, a dimension must be at least 1")
    return listed


def _reals(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, real) for name in names)


_V_RESET = Field("v_reset", real, required=False)
_W_IN = Field("w_in", real, required=False, default=dense(np.float32(1)))
_CONV = NodeFormat(
    nir.Conv2dOp,
    (
        Field("weight", real),
        Field("bias", real, required=False),
        Field("stride", axes),
        Field("padding", padding),
        Field("dilation", axes),
        Field("groups", integer),
    ),
    frozenset({"input_shape"}),
)
_POOL = (Field("kernel_size", axes), Field("stride", axes), Field("padding", axes))

NODES: dict[str, NodeFormat] = {
    form.op.NIR_TYPE: form
    for form in (
        NodeFormat(nir.AffineOp, _reals("weight", "bias")),
        NodeFormat(nir.AvgPool2dOp, _POOL),
        replace(_CONV, op=nir.Conv1dOp),
        _CONV,
        NodeFormat(nir.CubaLIOp, (*_reals("tau_mem", "tau_syn", "r", "v_leak"), _W_IN)),
        NodeFormat(nir.CubaLIFOp, (*_reals("tau_mem", "tau_syn", "r", "v_leak", "v_threshold"), _V_RESET, _W_IN)),
        NodeFormat(nir.DelayOp, _reals("delay")),
        NodeFormat(
            nir.FlattenOp,
            (
                Field("start_dim", integer, required=False, default=IntegerAttr(1, i64)),
                Field("end_dim", integer, required=False, default=IntegerAttr(-1, i64)),
            ),
            frozenset({"input_type"}),
        ),
        NodeFormat(nir.IOp, _reals("r")),
        NodeFormat(nir.IFOp, (*_reals("r", "v_threshold"), _V_RESET)),
        NodeFormat(nir.LIOp, _reals("tau", "r", "v_leak")),
        NodeFormat(nir.LIFOp, (*_reals("tau", "r", "v_leak", "v_threshold"), _V_RESET)),
        NodeFormat(nir.LinearOp, _reals("weight")),
        NodeFormat(nir.ScaleOp, _reals("scale")),
        NodeFormat(nir.SumPool2dOp, _POOL),
        NodeFormat(nir.ThresholdOp, _reals("threshold")),
    )
}
"""The node types that become ops; Input, Output and NIRGraph are the graph itself."""
