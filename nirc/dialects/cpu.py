"""The `cpu` dialect: what a compiled function of a network expects of its caller.

The function itself is a `func.func` (loops) or a `llvm.func` that the `cpu.kernel` names. Its parameters are the number
of steps, then one buffer per argument, in order; that of a raster is followed by the number of elements from one step
to the next. Inputs stand in memory as in the network, row-major; all other images channel last, (rows, columns,
channels). Spikes take a byte each; scratch memory is 0 before the first step.

A kernel of several lanes runs as many samples side by side: each element of a state is there once per sample, one
beside the other, and so is each element of an output; that of a raster is followed by the numbers of elements from one
step, from one element, and, of an input, from one sample to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, cast

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    UnitAttr,
    i64,
)
from xdsl.dialects.builtin import TensorType as BuiltinTensor
from xdsl.ir import Dialect, ParametrizedAttribute
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    param_def,
    prop_def,
)
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import Dense, Tensor, as_dense


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

    def verify(self) -> None:
        if self.role.data not in self.ROLES:
            raise VerifyException(f"role must be one of {', '.join(self.ROLES)}, got '{self.role.data}'")
        if (self.role.data in ("state", "constant")) != (self.held is not None):
            raise VerifyException(f"{self.role.data} {self.label.data!r}: states and constants alone have a content")


@irdl_op_definition
class KernelOp(IRDLOperation):
    """The contract of a function; lanes: samples that it runs side by side."""

    name = "cpu.kernel"

    function = prop_def(FlatSymbolRefAttrConstr)
    arguments = prop_def(ArrayAttr[ArgumentAttr])
    lanes = prop_def(IntegerAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$function attr-dict"

    def __init__(self, name: str, arguments: Iterable[ArgumentAttr], lanes: int = 1):
        held = ArrayAttr(arguments)
        super().__init__(
            properties={"function": SymbolRefAttr(name), "arguments": held, "lanes": IntegerAttr(lanes, i64)}
        )

    def strides(self, argument: ArgumentAttr) -> int:
        """How many strides follow an argument."""
        strides = {"input": 1, "output": 1} if self.lanes.value.data == 1 else {"input": 3, "output": 2}
        return strides.get(argument.role.data, 0)

    def of(self, role: str) -> list[ArgumentAttr]:
        """The arguments of one role."""
        return [argument for argument in self.arguments if argument.role.data == role]


Cpu = Dialect("cpu", [KernelOp], [ArgumentAttr])
