"""Dense attributes as numpy arrays, and back: bytes and views, never Python lists of numbers."""

from __future__ import annotations

import math
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    BytesAttr,
    DenseIntOrFPElementsAttr,
    Float32Type,
    Float64Type,
    IntegerType,
    TensorType,
    f32,
    f64,
    i1,
    i8,
    i16,
    i32,
    i64,
)

Array: TypeAlias = NDArray[Any]
ElementType: TypeAlias = IntegerType | Float32Type | Float64Type
Tensor: TypeAlias = TensorType[ElementType]
Dense: TypeAlias = DenseIntOrFPElementsAttr[Any]
"""xDSL types a property's elements more widely than nirc uses them."""

_DTYPES: tuple[tuple[ElementType, str], ...] = (
    (f32, "<f4"),
    (f64, "<f8"),
    (i1, "|b1"),
    (i8, "|i1"),
    (i16, "<i2"),
    (i32, "<i4"),
    (i64, "<i8"),
)
_DTYPE_OF: dict[ElementType, np.dtype[Any]] = {element: np.dtype(text) for element, text in _DTYPES}
_ELEMENT_OF: dict[np.dtype[Any], ElementType] = {np.dtype(text): element for element, text in _DTYPES}


def dtype_of(element: ElementType) -> np.dtype[Any]:
    """The numpy dtype of an element type."""
    return _DTYPE_OF[element]


def element_of(dtype: np.dtype[Any]) -> ElementType:
    """The element type of a numpy dtype; raises KeyError for one that no dialect of nirc holds."""
    return _ELEMENT_OF[dtype]


def tensor(shape: tuple[int, ...], element: ElementType) -> Tensor:
    """The type `tensor<shape x element>`."""
    return TensorType[ElementType](element, shape)


def dense(values: Array | np.generic) -> Dense:
    """The dense attribute of an array, one copy of its bytes."""
    values = np.asarray(values)
    element = element_of(values.dtype)
    return DenseIntOrFPElementsAttr(tensor(values.shape, element), BytesAttr(values.tobytes()))


def array(attr: Dense) -> Array:
    """A read-only view of a dense attribute; a splat in short bytes cannot occur (see `dense_faults`)."""
    return np.frombuffer(attr.data.data, dtype=dtype_of(attr.get_element_type())).reshape(attr.get_shape())


def doubles(attr: Dense) -> Array:
    """The numbers of a dense attribute in f64."""
    return array(attr).astype(np.float64)


def as_dense(attr: object) -> Dense | None:
    """The attribute where it is a dense one."""
    return cast(Dense, attr) if isinstance(attr, DenseIntOrFPElementsAttr) else None


def uniform(values: Array) -> Array:
    """`values`, as one 0-d value where all entries are the same number."""
    if values.ndim and values.size and np.all(values == values.flat[0]):
        return np.asarray(values.flat[0])
    return values


def dense_faults(attr: Dense, *, finite: bool = True) -> str | None:
    """What makes a dense attribute unusable, or None.

    Checks that the bytes fill the shape and, for floats, that all are finite: `inf` and `nan` in a printed
    dense list do not read back in xDSL 0.74.
    """
    shape = attr.get_shape()
    if DYNAMIC_INDEX in shape:
        return "has a dynamic shape"
    if attr.get_element_type() not in _DTYPE_OF:
        return f"has elements of type {attr.get_element_type()}"
    if math.prod(shape) * dtype_of(attr.get_element_type()).itemsize != len(attr.data.data):
        return f"holds {len(attr.data.data)} bytes, which do not fill {'x'.join(map(str, shape))}"
    values = array(attr)
    if finite and values.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            return (
                f"{values.flat[bad[0]]} at index {index_text(values, int(bad[0]))}{and_more(bad.size)}, must be finite"
            )
    return None


def index_text(values: Array, flat: int) -> str:
    """The index of a flat position as a user reads it: `3`, or `(0, 2)` where there are several axes."""
    position = tuple(int(i) for i in np.unravel_index(flat, values.shape))
    return str(position[0]) if len(position) == 1 else str(position)


def and_more(count: int) -> str:
    """` and at N more` where a fault stands at several places."""
    return f" and at {count - 1} more" if count > 1 else ""


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as nirc prints it: `16x16`, or `scalar`."""
    return "x".join(map(str, shape)) or "scalar"
