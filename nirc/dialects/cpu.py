"""The `cpu` dialect: what a compiled function of a network expects of its caller.

The function itself is a `func.func` (loops) or a `llvm.func` that the `cpu.kernel` names. Its parameters are the number
of steps, then one buffer per argument, in order; that of a raster is followed by the number of elements from one step
to the next. Inputs stand in memory as in the network, row-major; all other images channel last, (rows, columns,
channels). Spikes take a byte each; scratch memory is 0 before the first step.

A kernel of batches has the number of samples as its second parameter, and after the stride of a raster's steps that of
its samples. It is given the states of the first sample; those of the next begin `pitch` bytes later. States, constants
and scratch memory fill whole lines of the cache, so that vectors may go beyond the last element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, cast

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FlatSymbolRefAttrConstr,
    IntegerType,
    StringAttr,
    SymbolRefAttr,
    UnitAttr,
)
from xdsl.dialects.builtin import TensorType as BuiltinTensor
from xdsl.ir import Dialect, ParametrizedAttribute
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    opt_prop_def,
    param_def,
    prop_def,
)
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import Array, Dense, Tensor, array, as_dense, dtype_of
from nirc.dialects.nir import integers

LINE = 64
"""Bytes of a line of the cache, and of the widest vector."""


@irdl_attr_definition
class ArgumentAttr(ParametrizedAttribute):
    """A buffer of a kernel: what it is for, its name, its type, and its content where that is known.

    | role     | type                | content                          | whose             |
    |----------|---------------------|----------------------------------|-------------------|
    | input    | of one step         |                                  | a raster's row by row |
    | output   | of one step         |                                  | a raster's row by row |
    | state    | whole               | before the first step, network's order | a sample's  |
    | constant | whole               | as it stands in memory           | everyone's        |
    | scratch  | whole               |                                  | a thread's        |
    """

    name = "cpu.argument"
    ROLES: ClassVar[tuple[str, ...]] = ("input", "output", "state", "constant", "scratch")

    role: StringAttr
    label: StringAttr
    type: BuiltinTensor
    content: DenseIntOrFPElementsAttr | UnitAttr = param_def()

    def __init__(self, role: str, label: str, type: Tensor, content: Dense | None = None):
        super().__init__(StringAttr(role), StringAttr(label), type, UnitAttr() if content is None else content)

    @property
    def tensor(self) -> Tensor:
        """The type of the buffer, of one step for rasters."""
        return cast(Tensor, self.type)

    @property
    def held(self) -> Dense | None:
        """The content where it is known."""
        return as_dense(self.content)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What an element is in memory: a byte without sign for a spike or an event count."""
        dtype = dtype_of(self.tensor.element_type)
        return np.dtype(np.uint8) if dtype.itemsize == 1 else dtype

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes as they stand in memory: of outputs and states that are images the channels last."""
        shape = self.tensor.get_shape()
        return (*shape[1:], shape[0]) if self._is_image() else shape

    def _is_image(self) -> bool:
        return self.role.data in ("output", "state") and len(self.tensor.get_shape()) == 3

    @property
    def lines(self) -> int:
        """The bytes of the lines of the cache that it fills."""
        size = math.prod(self.tensor.get_shape()) * self.dtype.itemsize
        return -(-size // LINE) * LINE

    def filled(self) -> Array:
        """The content, element by element as it stands in memory."""
        held = self.held
        assert held is not None
        values = np.broadcast_to(array(held), self.tensor.get_shape())
        return np.ravel(np.moveaxis(values, 0, -1) if self._is_image() else values).astype(self.dtype)

    def verify(self) -> None:
        if self.role.data not in self.ROLES:
            raise VerifyException(f"role must be one of {', '.join(self.ROLES)}, got '{self.role.data}'")
        if (self.role.data in ("state", "constant")) != (self.held is not None):
            raise VerifyException(f"{self.role.data} {self.label.data!r}: states and constants alone have a content")


@irdl_op_definition
class KernelOp(IRDLOperation):
    """The contract of a function.

    batch: any number of samples. fractions: where numbers are fixed-point, how many bits of each argument's
    elements stand behind the binary point; 0 for what counts or is true.
    """

    name = "cpu.kernel"

    function = prop_def(FlatSymbolRefAttrConstr)
    arguments = prop_def(ArrayAttr[ArgumentAttr])
    batch = opt_prop_def(UnitAttr)
    fractions = opt_prop_def(DenseArrayBase)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$function attr-dict"

    def __init__(
        self,
        name: str,
        arguments: Iterable[ArgumentAttr],
        *,
        batch: bool = False,
        fractions: DenseArrayBase[IntegerType] | None = None,
    ):
        super().__init__(
            properties={
                "function": SymbolRefAttr(name),
                "arguments": ArrayAttr(arguments),
                "batch": UnitAttr() if batch else None,
                "fractions": fractions,
            }
        )

    def strides(self, argument: ArgumentAttr) -> int:
        """How many strides follow an argument."""
        return (2 if self.batch else 1) if argument.role.data in ("input", "output") else 0

    @property
    def pitch(self) -> int:
        """The bytes from one sample's states to the next's: all of them, each from the beginning of a line."""
        return sum(argument.lines for argument in self.of("state"))

    def fraction(self, argument: ArgumentAttr) -> int:
        """How many bits of an argument's elements stand behind the binary point."""
        if self.fractions is None:
            return 0
        return integers(self.fractions)[list(self.arguments).index(argument)]

    @property
    def level(self) -> str:
        """`loops`, or `llvm` where the function is lowered."""
        module = self.parent_op()
        assert module is not None
        return "llvm" if any(op.name == "llvm.func" for op in module.regions[0].block.ops) else "loops"

    def of(self, role: str) -> list[ArgumentAttr]:
        """The arguments of one role."""
        return [argument for argument in self.arguments if argument.role.data == role]


Cpu = Dialect("cpu", [KernelOp], [ArgumentAttr])
