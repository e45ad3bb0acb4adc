"""One C11 file of a network at the level of loops: data, the kernel op by op, and the interface. Computes nothing.

Every op of the loops is a statement of its own, so a compiler that keeps to IEEE arithmetic rounds where the evaluator
rounds. An index is a ptrdiff_t: it is a place in an object or in a window of one, and cannot overflow. Other integers
wrap as they do in MLIR.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from xdsl.dialects import arith, func, math, memref, scf
from xdsl.dialects.arith import IntegerOverflowFlag
from xdsl.dialects.builtin import (
    AnyFloat,
    Float32Type,
    Float64Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    i1,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.utils.exceptions import PassFailedException

from nirc.backends.c.interface import WRITTEN_BY, Interface, c_type, comment, identifier
from nirc.dialects import cpu
from nirc.dialects.dense import Array

_HEAD = """\
#include <stdbool.h>

_Static_assert((-1 >> 1) == -1, "shifts to the right must keep the sign");
"""

_FLOAT_HEAD = """\
#include <float.h>

#if defined(__FAST_MATH__)
#error "-ffast-math changes what the network computes"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "numbers must be rounded to their type after every operation; on x86 give -msse2 -mfpmath=sse"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize ("fp-contract=off")
#endif
"""

_FLOAT_FOOT = """\
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
"""

_FLAGS = (
    "Any compiler of C11 gives the results of nirc bit for bit if it keeps to IEEE arithmetic: no -ffast-math, and no",
    "product and sum made one operation where the machine has one (gcc: -ffp-contract=off, which the pragmas below say",
    "too). There is nothing else to link.",
)
_FIXED_FLAGS = ("Integer arithmetic alone, for any compiler of C11. There is nothing else to link.",)

_FLOAT_HELPERS = {
    "floor": """\
static inline {t} {name}({t} x)
{{
    if (!(x > -{whole} && x < {whole}))
        return x; /* whole already, or no number */
    {i} n = ({i})x;
    {t} y = ({t})n;
    if (y > x)
        return y - 1;
    return x == 0 ? x : y; /* keeps the sign of a zero */
}}
""",
    "to_i32": """\
static inline int32_t {name}({t} x)
{{
    if (x != x)
        return 0;
    if (x >= {two31})
        return INT32_MAX;
    return x < -{two31} ? INT32_MIN : (int32_t)x;
}}
""",
    "maximum": """\
static inline {t} {name}({t} a, {t} b)
{{
    if (a != a || b != b || (a == 0 && b == 0))
        return a + b; /* no number, or the zero whose sign is positive */
    return a > b ? a : b;
}}
""",
    "minimum": """\
static inline {t} {name}({t} a, {t} b)
{{
    if (a != a || b != b || (a == 0 && b == 0))
        return -(-a + -b); /* no number, or the zero whose sign is negative */
    return a < b ? a : b;
}}
""",
}

_LOAD_WORD = """\
static inline int64_t {name}(const uint8_t *p)
{{
    uint64_t word = 0;
    for (int n = 0; n < 8; n++)
        word |= (uint64_t)p[n] << (8 * n);
    return (int64_t)word;
}}
"""

_FLOAT_COMPARE = {
    "oeq": "{a} == {b}",
    "ogt": "{a} > {b}",
    "oge": "{a} >= {b}",
    "olt": "{a} < {b}",
    "ole": "{a} <= {b}",
    "one": "{a} < {b} || {a} > {b}",
    "ord": "{a} == {a} && {b} == {b}",
    "ueq": "!({a} < {b} || {a} > {b})",
    "ugt": "!({a} <= {b})",
    "uge": "!({a} < {b})",
    "ult": "!({a} >= {b})",
    "ule": "!({a} > {b})",
    "une": "{a} != {b}",
    "uno": "{a} != {a} || {b} != {b}",
}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_FLOAT_BINARY: dict[type[Operation], str] = {
    arith.AddfOp: "+",
    arith.SubfOp: "-",
    arith.MulfOp: "*",
    arith.DivfOp: "/",
}
_WRAPPING: dict[type[Operation], str] = {arith.AddiOp: "+", arith.SubiOp: "-", arith.MuliOp: "*"}
_UNSIGNED: dict[type[Operation], str] = {arith.DivUIOp: "/", arith.RemUIOp: "%"}
_BITS: dict[type[Operation], str] = {arith.AndIOp: "&", arith.OrIOp: "|"}
_SIGNED: dict[type[Operation], str] = {
    arith.DivSIOp: "{a} / {b}",
    arith.FloorDivSIOp: "{a} / {b} - ({a} % {b} != 0 && ({a} < 0) != ({b} < 0))",
    arith.ShRSIOp: "{a} >> {b}",
}
_CHOICE: dict[type[Operation], str] = {arith.MaxSIOp: ">", arith.MinSIOp: "<"}


def c_file(interface: Interface) -> str:
    """The whole file.

    Raises PassFailedException with every op that has no C.
    """
    name = interface.name
    printer = _Printer(name)
    functions = [op for op in interface.module.ops if isinstance(op, func.FuncOp)]
    kernel = interface.kernel.function.string_value()
    texts = [printer.function(op, interface.kernel if op.sym_name.data == kernel else None) for op in functions]
    if printer.faults:
        raise PassFailedException(f"no C for {', '.join(sorted(printer.faults))}")
    first, fixed = f"{name}: a spiking network, {WRITTEN_BY}", interface.kernel.fractions is not None
    data = {
        a: f"{name}_data_{n}"
        for n, a in enumerate(interface.kernel.arguments)
        if a.role.data == "constant" or (a.role.data == "state" and not _uniform(a.filled()))
    }
    return "\n".join(
        [
            comment([first, "", *(_FIXED_FLAGS if fixed else _FLAGS), "", *interface.about()]),
            interface.declarations(),
            _HEAD,
            *([] if fixed else [_FLOAT_HEAD]),
            *printer.helpers.values(),
            *(_array(values, variable) for values, variable in data.items()),
            *texts,
            _reset(interface, data),
            _init(interface),
            _run(interface, data, f"{name}_kernel"),
            *([] if fixed else [_FLOAT_FOOT]),
        ]
    )


def _uniform(values: Array) -> bool:
    return values.size == 0 or bool(
        (values.view(f"V{values.itemsize}") == values[:1].view(f"V{values.itemsize}")).all()
    )


def number(value: float, bits: int) -> str:
    """A number, exactly."""
    digits, _, exponent = float(value).hex().partition("p")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits}p{exponent}{'f' if bits == 32 else ''}"


def _literals(values: Array) -> list[str]:
    if values.dtype.kind == "f":
        return [number(value, 8 * values.itemsize) for value in values.tolist()]
    return [_integer(value) for value in values.tolist()]


def _integer(value: int, kind: str = "") -> str:
    if value == -(1 << 31):
        return "INT32_MIN"
    if value == -(1 << 63):
        return "INT64_MIN"
    return f"INT64_C({value})" if kind == "int64_t" else str(value)


_LINE = 8


def _array(argument: cpu.ArgumentAttr, variable: str) -> str:
    """Data, line by line, so that a large array is never a list of numbers at once."""
    values = argument.filled()
    lines = ["    " + ", ".join(_literals(values[n : n + _LINE])) + "," for n in range(0, len(values), _LINE)] or [
        "    0,"
    ]
    about = comment([f"{argument.role.data} {argument.label.data}"]).replace("\n */", " */")
    body = "\n".join(lines)
    return f"{about}static const {c_type(argument)} {variable}[{max(1, len(values))}] = {{\n{body}\n}};\n"


def _function(head: str, lines: list[str]) -> str:
    return "\n".join([head, "{", *(f"    {line}" for line in lines), "}", ""])


def _fill(name: str, elements: int, value: str) -> list[str]:
    return [f"for (size_t n = 0; n < {elements}; n++)", f"    state->{name}[n] = {value};"]


def _reset(interface: Interface, data: dict[cpu.ArgumentAttr, str]) -> str:
    lines = list[str]()
    for part in interface.fields:
        if part.argument is not None and part.argument.role.data == "state":
            first = _literals(part.argument.filled()[:1]) or ["0"]
            lines += _fill(part.name, part.elements, f"{data[part.argument]}[n]" if part.argument in data else first[0])
    return _function(f"void {interface.name}_reset({interface.name}_state *state)", lines or ["(void)state;"])


def _init(interface: Interface) -> str:
    name = interface.name
    lines = [
        line
        for part in interface.fields
        if part.argument is None or part.argument.role.data == "scratch"
        for line in _fill(part.name, part.elements, "0")
    ]
    return _function(f"void {name}_init({name}_state *state)", [*lines, f"{name}_reset(state);"])


def _run(interface: Interface, data: dict[cpu.ArgumentAttr, str], kernel: str) -> str:
    fields = {part.argument: part.name for part in interface.fields}
    given = ["(ptrdiff_t)steps"]
    for argument in interface.kernel.arguments:
        if argument in interface.ports:
            given.append(f"{interface.ports[argument]}, {int(np.prod(argument.axes))}")
        elif argument.role.data == "constant":
            given.append(data[argument])
        else:
            given.append(f"state->{fields[argument]}")
    call = ",\n        ".join(given)
    unused = [] if any(argument in fields for argument in interface.kernel.arguments) else ["(void)state;"]
    head = f"void {interface.name}_run({', '.join(interface.parameters())})"
    return _function(head, [*unused, f"{kernel}(\n        {call});"])


@dataclass
class _Printer:
    """Functions as C; helpers and faults are found on the way."""

    name: str
    helpers: dict[str, str] = field(default_factory=dict[str, str])
    faults: set[str] = field(default_factory=set[str])
    lines: list[str] = field(default_factory=list[str])
    depth: int = 1
    names: dict[SSAValue, str] = field(default_factory=dict[SSAValue, str])
    count: int = 0
    read: dict[Operation, bool] = field(default_factory=dict[Operation, bool])

    def function(self, op: func.FuncOp, kernel: cpu.KernelOp | None) -> str:
        """A function and its body."""
        self.lines, self.names, self.count = [], {}, 0
        name = "kernel" if kernel else identifier(op.sym_name.data)
        parameters = list[str]()
        block = op.body.block
        constant = {n for n, a in _rasters(kernel) if a.role.data in ("input", "constant")} if kernel else set[int]()
        for n, argument in enumerate(block.args):
            hint = "steps" if n == 0 else f"{identifier(argument.name_hint or 'x')}_{n}"
            self.names[argument] = hint if kernel else f"x{n}"
            declared = self.declared(argument.type, self.names[argument], " *restrict ")
            parameters.append(f"{'const ' * (n in constant)}{declared}")
        result = op.function_type.outputs.data[0] if op.function_type.outputs.data else None
        self.block(block)
        kind = "void" if result is None else self.kind(result)
        head = f"static {'inline ' * (kernel is None)}{kind} {self.name}_{name}"
        listed = "\n    " + ",\n    ".join(parameters) if kernel else ", ".join(parameters)
        return "\n".join([f"{head}({listed})", "{", *self.lines, "}", ""])

    def kind(self, kind: Attribute) -> str:
        """The C type of a value."""
        match kind:
            case IndexType():
                return "ptrdiff_t"
            case Float32Type():
                return "float"
            case Float64Type():
                return "double"
            case IntegerType():
                found = {1: "bool", 8: "uint8_t", 32: "int32_t", 64: "int64_t"}.get(kind.bitwidth)
                if found is not None:
                    return found
            case _:
                pass
        self.faults.add(f"values of {kind}")
        return "int"

    def declared(self, kind: Attribute, name: str, pointer: str) -> str:
        """A declaration."""
        if isinstance(kind, MemRefType):
            return f"{self.kind(cast(MemRefType[Attribute], kind).element_type)}{pointer}{name}"
        return f"{self.kind(kind)} {name}"

    def helper(self, text: str, key: str, kind: Attribute) -> str:
        """The name of a function that is written once, above all others."""
        bits = 32 if isinstance(kind, Float32Type) else 64
        name = f"{self.name}_{key}_f{bits}" if isinstance(kind, AnyFloat) else f"{self.name}_{key}"
        suffix = "f" if bits == 32 else ""
        self.helpers[name] = text.format(
            name=name,
            t=self.kind(kind) if isinstance(kind, AnyFloat) else "",
            i=f"int{bits}_t",
            whole=f"0x1p{23 if bits == 32 else 52}{suffix}",
            two31=f"0x1p31{suffix}",
        )
        return name

    def line(self, text: str) -> None:
        """A line of the body."""
        self.lines.append("    " * self.depth + text)

    def fresh(self) -> str:
        """A variable's name."""
        self.count += 1
        return f"v{self.count}"

    def block(self, block: Block) -> None:
        """All ops but the terminator of a loop or branch."""
        for op in block.ops:
            if op.results and not isinstance(op, scf.ForOp | scf.IfOp | func.CallOp):
                if self.is_read(op):
                    self.value(op)
            else:
                self.statement(op)

    def is_read(self, op: Operation) -> bool:
        """Whether anything but dead values reads what an op gives."""
        if op not in self.read:
            readers = [use.operation for result in op.results for use in result.uses]
            self.read[op] = any(
                not reader.results or isinstance(reader, scf.ForOp | scf.IfOp | func.CallOp) or self.is_read(reader)
                for reader in readers
            )
        return self.read[op]

    def statement(self, op: Operation) -> None:
        """An op that is more than a value."""
        match op:
            case memref.StoreOp():
                self.line(f"{self.names[op.memref]}[{self.index(op.indices)}] = {self.names[op.value]};")
            case scf.ForOp():
                self.loop(op)
            case scf.IfOp():
                self.branch(op)
            case scf.YieldOp():
                pass
            case func.CallOp():
                given = ", ".join(self.names[value] for value in op.arguments)
                self.define(op.results[0], f"{self.name}_{identifier(op.callee.string_value())}({given})")
            case func.ReturnOp():
                if op.arguments:
                    self.line(f"return {self.names[op.arguments[0]]};")
            case _:
                self.fault(op)

    def fault(self, op: Operation) -> None:
        """An op without counterpart."""
        self.faults.add(op.name)
        for result in op.results:
            self.names[result] = "0"

    def index(self, indices: Any) -> str:
        """The one index of a buffer."""
        return " ".join(self.names[value] for value in indices)

    def carried(self, op: Operation, initial: list[str]) -> list[str]:
        """Variables for what leaves a loop or branch."""
        found = list[str]()
        for n, result in enumerate(op.results):
            name = self.fresh()
            self.names[result] = name
            self.line(f"{self.kind(result.type)} {name}{f' = {initial[n]}' if initial else ''};")
            found.append(name)
        return found

    def hand_over(self, block: Block, variables: list[str]) -> None:
        """What a body yields, into the variables, all at once."""
        last = block.last_op
        values = [self.names[value] for value in last.operands] if last is not None else []
        pairs = [(a, b, v) for a, b, v in zip(variables, values, last.operands if last else (), strict=True) if a != b]
        if len(pairs) > 1:
            kept = [(a, self.fresh(), b, v) for a, b, v in pairs]
            for _, c, b, v in kept:
                self.line(f"const {self.kind(v.type)} {c} = {b};")
            for a, c, _, _ in kept:
                self.line(f"{a} = {c};")
        else:
            for a, b, _ in pairs:
                self.line(f"{a} = {b};")

    def loop(self, op: scf.ForOp) -> None:
        """A loop over an index."""
        variables = self.carried(op, [self.names[value] for value in op.iter_args])
        n, *carried = op.body.block.args
        name = self.fresh()
        self.names[n] = name
        self.names.update(zip(carried, variables, strict=True))
        low, high, step = (self.names[value] for value in (op.lb, op.ub, op.step))
        more = f"{name}++" if step == "1" else f"{name} += {step}"
        self.line(f"for (ptrdiff_t {name} = {low}; {name} < {high}; {more}) {{")
        self.inside(op.body.block, variables)
        self.line("}")

    def branch(self, op: scf.IfOp) -> None:
        """A condition."""
        variables = self.carried(op, [])
        self.line(f"if ({self.names[op.cond]}) {{")
        self.inside(op.true_region.block, variables)
        if op.false_region.blocks:
            self.line("} else {")
            self.inside(op.false_region.block, variables)
        self.line("}")

    def inside(self, block: Block, variables: list[str]) -> None:
        """A body, one step further to the right."""
        self.depth += 1
        self.block(block)
        self.hand_over(block, variables)
        self.depth -= 1

    def define(self, value: SSAValue, expression: str) -> None:
        """A variable of its own."""
        name = self.fresh()
        self.names[value] = name
        self.line(f"const {self.kind(value.type)} {name} = {expression};")

    def value(self, op: Operation) -> None:
        """An op that computes one value."""
        result: SSAValue = op.results[0]
        kind = result.type
        match op:
            case arith.ConstantOp():
                self.names[result] = self.constant(op)
            case memref.ViewOp():
                name = self.fresh()
                self.names[result] = name
                self.line(f"const uint8_t *{name} = {self.names[op.source]} + {self.names[op.byte_shift]};")
                if cast(MemRefType[Attribute], kind).element_type != i64:
                    self.fault(op)
            case memref.LoadOp():
                place = self.index(op.indices)
                if isinstance(op.memref.owner, memref.ViewOp):
                    word = self.helper(_LOAD_WORD, "word", i64)
                    self.define(result, f"{word}({self.names[op.memref]} + 8 * {place})")
                else:
                    self.define(result, f"{self.names[op.memref]}[{place}]")
            case _:
                operands = list[SSAValue](op.operands)
                found = self.expression(op, kind, operands, [self.names[value] for value in operands])
                if found is None:
                    self.fault(op)
                else:
                    self.define(result, found)

    def constant(self, op: arith.ConstantOp) -> str:
        """A literal."""
        value: Attribute = op.value
        match value:
            case FloatAttr():
                held = value.value.data
                if not np.isfinite(held):
                    self.faults.add(f"the number {held}")
                    return "0"
                return number(held, 32 if isinstance(op.result.type, Float32Type) else 64)
            case IntegerAttr():
                if op.result.type == i1:
                    return "true" if value.value.data else "false"
                return _integer(value.value.data, self.kind(op.result.type))
            case _:
                self.fault(op)
                return "0"

    def expression(self, op: Operation, kind: Attribute, operands: list[SSAValue], x: list[str]) -> str | None:
        """Arithmetic."""
        own, held = type(op), operands[0].type
        names = dict(zip("abc", x, strict=False))
        match op:
            case arith.CmpfOp():
                text = _FLOAT_COMPARE.get(arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data])
                return None if text is None else text.format(**names)
            case arith.CmpiOp():
                return self.compare(arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data], held, x)
            case arith.SelectOp():
                return "{a} ? {b} : {c}".format(**names)
            case math.FloorOp():
                return f"{self.helper(_FLOAT_HELPERS['floor'], 'floor', kind)}({x[0]})"
            case arith.FPToSIOp() if self.kind(kind) == "int32_t":
                return f"{self.helper(_FLOAT_HELPERS['to_i32'], 'to_i32', held)}({x[0]})"
            case arith.MaximumfOp() | arith.MinimumfOp():
                key = "maximum" if isinstance(op, arith.MaximumfOp) else "minimum"
                return f"{self.helper(_FLOAT_HELPERS[key], key, kind)}({x[0]}, {x[1]})"
            case arith.ExtSIOp() | arith.SIToFPOp() if self.kind(held) == "uint8_t":
                return f"({self.kind(kind)})(int8_t){x[0]}"
            case arith.ExtUIOp() if self.kind(held) not in ("bool", "uint8_t"):
                return f"({self.kind(kind)})(u{self.kind(held)}){x[0]}"
            case arith.TruncIOp() if kind == i1:
                return f"({x[0]} & 1) != 0"
            case (
                arith.IndexCastOp()
                | arith.ExtUIOp()
                | arith.ExtSIOp()
                | arith.TruncIOp()
                | arith.SIToFPOp()
                | arith.ExtFOp()
                | arith.TruncFOp()
            ):
                return f"({self.kind(kind)}){x[0]}"
            case _ if own in _FLOAT_BINARY:
                return f"{x[0]} {_FLOAT_BINARY[own]} {x[1]}"
            case arith.AddiOp() | arith.SubiOp() | arith.MuliOp():
                exact = IntegerOverflowFlag.NSW in op.overflow_flags.data
                return self.wrapped(_WRAPPING[own], "ptrdiff_t" if exact else self.kind(kind), x)
            case _ if own in _UNSIGNED:
                unsigned = _unsigned(self.kind(kind))
                return f"({self.kind(kind)})(({unsigned}){x[0]} {_UNSIGNED[own]} ({unsigned}){x[1]})"
            case _ if own in _BITS:
                return f"{x[0]} {_BITS[own]} {x[1]}"
            case _ if own in _SIGNED and self.kind(kind) in ("int32_t", "int64_t"):
                return _SIGNED[own].format(**names)
            case _ if own in _CHOICE and self.kind(kind) in ("int32_t", "int64_t"):
                return f"{x[0]} {_CHOICE[own]} {x[1]} ? {x[0]} : {x[1]}"
            case _:
                return None

    def compare(self, predicate: str, kind: Attribute, x: list[str]) -> str:
        """Of integers, with or without sign."""
        own = self.kind(kind)
        cast = ""
        if predicate[0] == "u" and own not in ("uint8_t", "bool"):
            cast = f"({_unsigned(own)})"
        elif predicate[0] == "s" and own == "uint8_t":
            cast = "(int8_t)"
        sign = _COMPARE[predicate if predicate in _COMPARE else predicate[1:]]
        return f"{cast}{x[0]} {sign} {cast}{x[1]}"

    def wrapped(self, sign: str, kind: str, x: list[str]) -> str:
        """Modulo a power of two, but for places."""
        if kind == "ptrdiff_t":
            return f"{x[0]} {sign} {x[1]}"
        return f"({kind})(({_unsigned(kind)}){x[0]} {sign} ({_unsigned(kind)}){x[1]})"


def _unsigned(kind: str) -> str:
    return {"ptrdiff_t": "size_t", "uint8_t": "uint8_t", "bool": "bool"}.get(kind, f"u{kind}")


def _rasters(kernel: cpu.KernelOp) -> Iterator[tuple[int, cpu.ArgumentAttr]]:
    """The number of each argument's parameter."""
    n = 1
    for argument in kernel.arguments:
        yield n, argument
        n += 1 + (argument.role.data in ("input", "output"))
