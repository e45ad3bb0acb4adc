"""`convert-loops-to-fixed`: loops over floating-point numbers become loops over fixed-point numbers.

A number x is the integer q = x 2^N in 32 bits. Loops, branches and memory stay as they are; what computes calls five
functions that stand beside the kernel, with 64 bits inside:

| operation     | becomes                                                                      |
|---------------|------------------------------------------------------------------------------|
| a + b, a - b  | the sum, the difference, saturated                                           |
| a b           | floor(a b 2^-N + 1/2): the nearest, halves upwards; saturated                |
| a / b         | floor(a 2^N / b), saturated; by 0 the end of a's sign, 0 / 0 is 0            |
| of a count n  | n 2^N, saturated                                                             |
| floor, to int | exact                                                                        |
| comparisons   | exact                                                                        |

Saturated: below -2^31 it is -2^31, above 2^31 - 1 it is 2^31 - 1. Nothing else can overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects import arith, func, math, memref
from xdsl.dialects.builtin import (
    AnyFloat,
    Builtin,
    DenseArrayBase,
    FloatAttr,
    FunctionType,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.parser import Parser
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import cpu
from nirc.dialects.dense import Dense, dense, doubles, tensor
from nirc.dialects.nir import assume
from nirc.passes.snn_round_constants import fraction_of

_FUNCTIONS = """
func.func @fixed_saturate(%x: i64) -> i32 {{
  %low = arith.constant -2147483648 : i64
  %high = arith.constant 2147483647 : i64
  %above = arith.maxsi %x, %low : i64
  %within = arith.minsi %above, %high : i64
  %r = arith.trunci %within : i64 to i32
  func.return %r : i32
}}
func.func @fixed_add(%a: i32, %b: i32) -> i32 {{
  %x = arith.extsi %a : i32 to i64
  %y = arith.extsi %b : i32 to i64
  %sum = arith.addi %x, %y overflow<nsw> : i64
  %r = func.call @fixed_saturate(%sum) : (i64) -> i32
  func.return %r : i32
}}
func.func @fixed_subtract(%a: i32, %b: i32) -> i32 {{
  %x = arith.extsi %a : i32 to i64
  %y = arith.extsi %b : i32 to i64
  %difference = arith.subi %x, %y overflow<nsw> : i64
  %r = func.call @fixed_saturate(%difference) : (i64) -> i32
  func.return %r : i32
}}
func.func @fixed_multiply(%a: i32, %b: i32) -> i32 {{
  %bits = arith.constant {fraction} : i64
  %half = arith.constant {half} : i64
  %x = arith.extsi %a : i32 to i64
  %y = arith.extsi %b : i32 to i64
  %product = arith.muli %x, %y overflow<nsw> : i64
  %raised = arith.addi %product, %half overflow<nsw> : i64
  %nearest = arith.shrsi %raised, %bits : i64
  %r = func.call @fixed_saturate(%nearest) : (i64) -> i32
  func.return %r : i32
}}
func.func @fixed_divide(%a: i32, %b: i32) -> i32 {{
  %zero = arith.constant 0 : i64
  %one = arith.constant {one} : i64
  %end = arith.constant 4611686018427387904 : i64
  %x = arith.extsi %a : i32 to i64
  %y = arith.extsi %b : i32 to i64
  %scaled = arith.muli %x, %one overflow<nsw> : i64
  %by_zero = arith.cmpi eq, %y, %zero : i64
  %divisor = arith.select %by_zero, %one, %y : i64
  %quotient = arith.floordivsi %scaled, %divisor : i64
  %positive = arith.cmpi sgt, %x, %zero : i64
  %negative = arith.cmpi slt, %x, %zero : i64
  %least = arith.subi %zero, %end overflow<nsw> : i64
  %below = arith.select %negative, %least, %zero : i64
  %sign = arith.select %positive, %end, %below : i64
  %found = arith.select %by_zero, %sign, %quotient : i64
  %r = func.call @fixed_saturate(%found) : (i64) -> i32
  func.return %r : i32
}}
func.func @fixed_of_count(%n: i64) -> i32 {{
  %one = arith.constant {one} : i64
  %held = func.call @fixed_saturate(%n) : (i64) -> i32
  %wide = arith.extsi %held : i32 to i64
  %scaled = arith.muli %wide, %one overflow<nsw> : i64
  %r = func.call @fixed_saturate(%scaled) : (i64) -> i32
  func.return %r : i32
}}
"""

_CALLS: dict[type[Operation], str] = {
    arith.AddfOp: "fixed_add",
    arith.SubfOp: "fixed_subtract",
    arith.MulfOp: "fixed_multiply",
    arith.DivfOp: "fixed_divide",
}
_CHOICES: dict[type[Operation], type[arith.MaxSIOp | arith.MinSIOp]] = {
    arith.MaximumfOp: arith.MaxSIOp,
    arith.MinimumfOp: arith.MinSIOp,
}
_COMPARISONS = {"eq": "eq", "ne": "ne", "gt": "sgt", "ge": "sge", "lt": "slt", "le": "sle"}
_PLAIN = (memref.LoadOp, memref.StoreOp, arith.SelectOp)
"""Ops that take numbers of any type."""


@dataclass(frozen=True)
class ConvertLoopsToFixedPass(ModulePass):
    """Turn every number into q = x 2^N.

    format  sM.N: a sign, M bits before the binary point, N behind it

    Raises PassFailedException with every op that has no counterpart and every constant that the format does not hold
    exactly: `snn-round-constants` rounds them while they still have names.
    """

    name = "convert-loops-to-fixed"

    format: str = "s15.16"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        fraction = fraction_of(self.format)
        faults = dict[str, None]()
        for kernel in [kernel for kernel in op.ops if isinstance(kernel, cpu.KernelOp)]:
            Rewriter.replace_op(kernel, _kernel(kernel, fraction, faults), [])
        for function in [function for function in op.ops if isinstance(function, func.FuncOp)]:
            called = _Function(fraction, faults).convert(function)
            op.body.block.insert_ops_before(_functions(fraction, called), function)
        if faults:
            raise PassFailedException("\n".join(faults))
        statement = (
            f"products are rounded to the nearest multiple of 2^-{fraction}, halves upwards, quotients downwards; "
            f"sums, products and quotients beyond {self.format} saturate"
        )
        assume(op, "note", "fixed point", statement)


def _functions(fraction: int, called: set[str]) -> list[Operation]:
    """The functions of the table above that a kernel calls."""
    ctx = Context()
    for dialect in (Builtin, arith.Arith, func.Func):
        ctx.load_dialect(dialect)
    text = _FUNCTIONS.format(fraction=fraction, one=1 << fraction, half=(1 << fraction) >> 1)
    module = Parser(ctx, text).parse_module()
    wanted = {*called, "fixed_saturate"} if called else called
    found = [op for op in module.ops if isinstance(op, func.FuncOp) and op.sym_name.data in wanted]
    for function in found:
        function.detach()
    return list[Operation](found)


def _kernel(kernel: cpu.KernelOp, fraction: int, faults: dict[str, None]) -> cpu.KernelOp:
    """The contract, with what each argument holds now."""
    arguments, fractions = list[cpu.ArgumentAttr](), list[int]()
    for argument in kernel.arguments:
        kind = argument.tensor
        real = isinstance(kind.element_type, AnyFloat)
        fractions.append(fraction if real else 0)
        if real:
            held = argument.held
            content = None if held is None else _content(held, fraction, argument.label.data, faults)
            fixed = tensor(kind.get_shape(), i32)
            argument = cpu.ArgumentAttr(argument.role.data, argument.label.data, fixed, content)
        arguments.append(argument)
    name, fractions = kernel.function.string_value(), DenseArrayBase.from_list(i64, fractions)
    return cpu.KernelOp(name, arguments, batch=kernel.batch is not None, fractions=fractions)


def _integer(value: float, fraction: int) -> int | None:
    """q, where it is exactly x 2^N and has 32 bits."""
    scaled = float(np.ldexp(value, fraction))
    return int(scaled) if scaled == np.floor(scaled) and -(2.0**31) <= scaled < 2.0**31 else None


def _content(held: Dense, fraction: int, label: str, faults: dict[str, None]) -> Dense:
    scaled = np.ldexp(doubles(held), fraction)
    bad = np.flatnonzero((scaled != np.floor(scaled)) | (scaled < -(2.0**31)) | (scaled >= 2.0**31))
    if bad.size:
        faults[_fault(float(doubles(held).flat[bad[0]]), fraction, f"'{label}': ")] = None
        scaled = np.zeros_like(scaled)
    return dense(scaled.astype(np.int32))


def _fault(value: float, fraction: int, where: str = "") -> str:
    return (
        f"{where}{value:.9g} is no number of s{31 - fraction}.{fraction}; "
        "snn-round-constants rounds those that are within it"
    )


class _Function:
    """One function's values and ops."""

    def __init__(self, fraction: int, faults: dict[str, None]):
        self.fraction, self.faults = fraction, faults
        self.called = set[str]()

    def convert(self, function: func.FuncOp) -> set[str]:
        """Convert it; returns the names of the functions that it calls now."""
        ops = [op for op in function.walk() if op is not function]
        real = [op for op in ops if any(isinstance(value.type, AnyFloat) for value in (*op.operands, *op.results))]
        for value in [*function.body.block.args, *(value for op in ops for value in _defined(op))]:
            self.retype(value)
        for op in real:
            self.op(op)
        arguments = [argument.type for argument in function.body.block.args]
        function.function_type = FunctionType.from_lists(arguments, [_fixed(t) for t in function.function_type.outputs])
        return self.called

    def retype(self, value: SSAValue) -> None:
        """Numbers, and buffers of them, are integers of 32 bits."""
        if (kind := _fixed(value.type)) != value.type:
            hint = value.name_hint
            Rewriter.replace_value_with_new_type(value, kind).name_hint = hint

    def op(self, op: Operation) -> None:
        """What computes with numbers becomes something that computes with integers."""
        kind = type(op)
        x = list[SSAValue](op.operands)
        match op:
            case arith.ConstantOp():
                if isinstance(op.value, FloatAttr):
                    value = _integer(op.value.value.data, self.fraction)
                    if value is None:
                        self.faults[_fault(op.value.value.data, self.fraction)] = None
                    self.replace(op, arith.ConstantOp(IntegerAttr(value or 0, i32)))
            case arith.CmpfOp():
                self.compare(op)
            case math.FloorOp():
                mask = arith.ConstantOp(IntegerAttr(-(1 << self.fraction), i32))
                self.replace(op, mask, arith.AndIOp(x[0], mask.result))
            case arith.FPToSIOp() if op.results[0].type == i32:
                bits = arith.ConstantOp(IntegerAttr(self.fraction, i32))
                self.replace(op, bits, arith.ShRSIOp(x[0], bits.result))
            case arith.SIToFPOp():
                wide = [] if x[0].type == i64 else [arith.ExtSIOp(x[0], i64)]
                count = wide[0].result if wide else x[0]
                self.replace(op, *wide, self.call("fixed_of_count", count))
            case arith.ExtFOp() | arith.TruncFOp():
                op.results[0].replace_all_uses_with(x[0])
                op.detach()
                op.erase()
            case _ if kind in _CALLS:
                self.replace(op, self.call(_CALLS[kind], *x))
            case _ if kind in _CHOICES:
                self.replace(op, _CHOICES[kind](x[0], x[1]))
            case _:
                if not isinstance(op, _PLAIN) and op.name.partition(".")[0] not in ("scf", "func"):
                    self.faults[f"no fixed-point form of {op.name}"] = None

    def compare(self, op: arith.CmpfOp) -> None:
        """Every fixed-point number is a number, so ordered and unordered are the same."""
        text = arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data]
        if text[1:] in _COMPARISONS:
            self.replace(op, arith.CmpiOp(op.lhs, op.rhs, _COMPARISONS[text[1:]]))
        else:
            self.faults[f"no fixed-point form of {op.name} {text}"] = None

    def call(self, name: str, *x: SSAValue) -> func.CallOp:
        """A call of one of the functions."""
        self.called.add(name)
        return func.CallOp(name, x, [i32])

    def replace(self, op: Operation, *ops: Operation) -> None:
        """The last op's result takes the place of the op's."""
        ops[-1].results[0].name_hint = op.results[0].name_hint
        Rewriter.replace_op(op, list(ops), [ops[-1].results[0]])


def _defined(op: Operation) -> list[SSAValue]:
    """The results of an op and the arguments of its blocks."""
    return [*op.results, *(argument for region in op.regions for block in region.blocks for argument in block.args)]


def _fixed(kind: Attribute) -> Attribute:
    if isinstance(kind, AnyFloat):
        return i32
    if isinstance(kind, MemRefType):
        memory = cast(MemRefType[Any], kind)
        return MemRefType(_fixed(memory.element_type), memory.shape)
    return kind
