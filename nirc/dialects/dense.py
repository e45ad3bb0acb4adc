"""Dense attributes as numpy arrays, and back: bytes and views, never Python lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    BytesAttr,
    DenseIntOrFPElementsAttr,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
    f16,
    f32,
    f64,
    i1,
    i8,
    i16,
    i32,
    i64,
)

Array: TypeAlias = NDArray[Any]
ElementType: TypeAlias = IntegerType | Float16Type | Float32Type | Float64Type
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
    (f16, "<f2"),
    *((IntegerType(8 * size, Signedness.UNSIGNED), f"<u{size}") for size in (1, 2, 4, 8)),
)
_DTYPE_OF: dict[ElementType, np.dtype[Any]] = {element: np.dtype(text) for element, text in _DTYPES}
_ELEMENT_OF: dict[np.dtype[Any], ElementType] = {np.dtype(text): element for element, text in _DTYPES}


def dtype_of(element: ElementType) -> np.dtype[Any]:
    """The numpy dtype of an element type."""
    return _DTYPE_OF[element]


def element_of(dtype: np.dtype[Any]) -> ElementType:
    """The element type of a numpy dtype; raises KeyError for one that no dialect of nirc holds."""
    return _ELEMENT_OF[dtype]


@cache
def tensor(shape: tuple[int, ...], element: ElementType) -> Tensor:
    """The type `tensor<shape x element>`."""
    return TensorType[ElementType](element, shape)


def dense(values: Array | np.generic) -> Dense:
    """The dense attribute of an array; shares its bytes where they are immutable, else copies them once.

    True is 0xff, as xDSL reads it back. Raises KeyError for a type that no dialect of nirc holds.
    """
    values = np.asarray(values)
    kind = tensor(values.shape, element_of(values.dtype))
    if values.dtype.kind == "b":
        values = values.view(np.uint8) * np.uint8(255)
    return _small(kind, values.tobytes()) if values.nbytes <= _SMALL else _of_bytes(kind, _bytes(values))


_SMALL = 64


@lru_cache(maxsize=1 << 12)
def _small(kind: Tensor, content: bytes) -> Dense:
    """Small attributes are often the same: zeros, ones."""
    return _of_bytes(kind, content)


def _of_bytes(kind: Tensor, content: bytes) -> Dense:
    """The attribute without xDSL's look at what its fields are, which they are by their Python types: it takes a tenth
    of a compile."""
    attr: Dense = DenseIntOrFPElementsAttr.__new__(DenseIntOrFPElementsAttr)
    object.__setattr__(attr, "type", kind)
    object.__setattr__(attr, "data", BytesAttr(content))
    return attr


def _bytes(values: Array) -> bytes:
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, bytes) and len(base) == values.nbytes and values.flags.c_contiguous:
        return base
    return values.tobytes()


def array(attr: Dense) -> Array:
    """A read-only view of a dense attribute; a splat in short bytes cannot occur (see `dense_faults`)."""
    dtype, content = _DTYPE_OF[attr.get_element_type()], attr.data.data
    if dtype.kind == "b":
        return np.ndarray(attr.get_shape(), np.uint8, content) != 0
    return np.ndarray(attr.get_shape(), dtype, content)


def doubles(attr: Dense) -> Array:
    """The numbers of a dense attribute in f64."""
    return array(attr).astype(np.float64)


def spread(attr: Dense, shape: tuple[int, ...] | None) -> Array:
    """The numbers in f64, a single one (of whatever rank) once per element where the shape is known."""
    values = doubles(attr)
    if values.size != 1:
        return values
    return values.reshape(()) if shape is None else np.full(shape, values.reshape(())[()])


def computed(formula: Callable[..., Array], *operands: Array, like: tuple[Dense, ...]) -> Dense | None:
    """Products and sums of constants, computed in f64 and rounded once to the widest type of what they came from.

    None where a number overflows there, or where one underflows to 0 in each of its terms: it is then no fold of them.
    """
    dtype = np.result_type(np.float32, *(array(attr).dtype for attr in like))
    with np.errstate(all="ignore"):
        values = np.asarray(formula(*operands), dtype)
        # The same sums without signs tell what is cancelled, which is right, from what is lost.
        sizes = np.asarray(formula(*map(np.abs, operands)), dtype)
        terms = np.asarray(formula(*((operand != 0).astype(np.float64) for operand in operands)))
    lost = (sizes == 0) & (terms != 0)
    return dense(values) if np.isfinite(values).all() and not lost.any() else None


def as_dense(attr: object) -> Dense | None:
    """The attribute where it is a dense one."""
    return cast(Dense, attr) if isinstance(attr, DenseIntOrFPElementsAttr) else None


def uniform(values: Array) -> Array:
    """`values`, as one 0-d value where all entries are the same number."""
    if values.ndim and values.size and np.all(values == values.flat[0]):
        return np.asarray(values.flat[0])
    return values


def layout_fault(attr: Dense) -> str | None:
    """What keeps a dense attribute from being an array, or None: its bytes must fill its shape."""
    shape = attr.get_shape()
    if DYNAMIC_INDEX in shape:
        return "has a dynamic shape"
    element = attr.get_element_type()
    if element not in _DTYPE_OF:
        return f"has elements of type {element}"
    if math.prod(shape) * _DTYPE_OF[element].itemsize != len(attr.data.data):
        return f"holds {len(attr.data.data)} bytes, which do not fill {'x'.join(map(str, shape))}"
    return None


def finite_fault(values: Array) -> str | None:
    """The first number that is none, or None: `inf` and `nan` in a printed list do not read back in xDSL 0.74."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return None
    bad = np.flatnonzero(~np.isfinite(values))
    at = f" at index {index_text(values, int(bad[0]))}" if values.ndim else ""
    return f"{values.flat[bad[0]]}{at}{and_more(bad.size)}, must be finite"


def dense_faults(attr: Dense) -> str | None:
    """What makes a dense attribute unusable, or None."""
    return layout_fault(attr) or finite_fault(array(attr))


def number_fault(attr: Dense, element: ElementType, *shapes: tuple[int, ...]) -> str | None:
    """What keeps a property from being numbers of a chip, whose shape is one of these, or None.

    The same op holds real numbers (f64) and, once they are quantized, integers (i32).
    """
    if fault := dense_faults(attr):
        return f" {fault}"
    if attr.get_element_type() != element:
        return ": numbers are real (f64) or integers (i32), all alike"
    if attr.get_shape() not in shapes:
        wanted = " or ".join(map(shape_text, shapes))
        return f" has the shape {shape_text(attr.get_shape())}, must be {wanted}"
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
