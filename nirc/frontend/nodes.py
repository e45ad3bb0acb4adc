"""How each node type of NIR stands in a file: its fields, what they may hold, and the op that they become.

A new node type is an op in the `nir` dialect and a row in `NODES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
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
    """Floating-point numbers in the file's precision; integers and halves are widened to f32."""
    values = numbers(value)
    if values.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        values = values.astype(np.float32)
    too_large = np.flatnonzero((np.abs(values) > np.finfo(np.float32).max) & np.isfinite(values))
    if too_large.size:
        at = f" at index {index_text(values, int(too_large[0]))}" if values.ndim else ""
        raise FieldFault(f"{values.flat[too_large[0]]:g}{at}{and_more(too_large.size)} does not fit float32")
    return dense(values)


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


def integer(value: Value) -> Attribute:
    """One whole number."""
    listed = whole(value)
    if len(listed) != 1:
        raise FieldFault(f"{len(listed)} numbers, must be one")
    return IntegerAttr(listed[0], i64)


def pair(value: Value) -> Attribute:
    """Two whole numbers, rows and columns; one stands for both."""
    listed = whole(value)
    return nir.int_array(listed * 2 if len(listed) == 1 else listed)


def padding(value: Value) -> Attribute:
    """Two whole numbers, or `same`, or `valid`."""
    return StringAttr(value) if isinstance(value, str) else pair(value)


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
_CONV = (*_reals("weight", "bias"), Field("stride", pair), Field("padding", padding), Field("dilation", pair))

NODES: dict[str, NodeFormat] = {
    "Affine": NodeFormat(nir.AffineOp, _reals("weight", "bias")),
    "Conv2d": NodeFormat(nir.Conv2dOp, (*_CONV, Field("groups", integer)), frozenset({"input_shape"})),
    "CubaLIF": NodeFormat(
        nir.CubaLIFOp, (*_reals("tau_mem", "tau_syn", "r", "v_leak", "v_threshold"), _V_RESET, _W_IN)
    ),
    "Flatten": NodeFormat(
        nir.FlattenOp,
        (
            Field("start_dim", integer, required=False, default=IntegerAttr(1, i64)),
            Field("end_dim", integer, required=False, default=IntegerAttr(-1, i64)),
        ),
        frozenset({"input_type"}),
    ),
    "IF": NodeFormat(nir.IFOp, (*_reals("r", "v_threshold"), _V_RESET)),
    "LI": NodeFormat(nir.LIOp, _reals("tau", "r", "v_leak")),
    "LIF": NodeFormat(nir.LIFOp, (*_reals("tau", "r", "v_leak", "v_threshold"), _V_RESET)),
    "Linear": NodeFormat(nir.LinearOp, _reals("weight")),
    "SumPool2d": NodeFormat(
        nir.SumPool2dOp, (Field("kernel_size", pair), Field("stride", pair), Field("padding", pair))
    ),
}
"""The node types that become ops; Input, Output and NIRGraph are the graph itself."""
