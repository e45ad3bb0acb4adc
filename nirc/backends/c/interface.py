"""What a C programmer sees of a compiled network: names, one struct of states, three functions. No memory is allocated.

The struct's fields are ordered by the size of their elements and padded by hand, so that every C compiler lays them out
at the offsets that compiled code uses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import ModuleOp, i1, i8
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import cpu, nir
from nirc.dialects.dense import shape_text
from nirc.dialects.nir import quote

WRITTEN_BY = "compiled by nirc"
"""What the first line of every file says; only such a file is overwritten where the user did not name it."""

C_TYPES = {"f4": "float", "f8": "double", "u1": "uint8_t", "i4": "int32_t", "i8": "int64_t"}

_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr const_cast
    continue decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto
    if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public
    register reinterpret_cast restrict return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename typeof union unsigned using virtual void volatile
    wchar_t while xor xor_eq state steps
"""
"""Words of C and C++, and the parameters that every function has."""

_HEADERS = r"\w+_t|(FLT|DBL|LDBL)_\w+|\w+_(C|MIN|MAX)|NULL|offsetof|linux|unix"
"""Names that the headers of the file or the compiler give to other things."""


def identifier(text: str) -> str:
    """A name as C may spell it."""
    found = re.sub(r"\W", "_", text, flags=re.ASCII)
    if not found or found[0].isdigit():
        found = f"n{found}"
    return f"{found}_" if found in _KEYWORDS.split() or re.fullmatch(_HEADERS, found) else found


@dataclass(frozen=True)
class Field:
    """A part of the struct, at an offset in bytes; padding has no argument."""

    name: str
    kind: str
    elements: int
    offset: int
    argument: cpu.ArgumentAttr | None = None


class Interface:
    """The names and the memory of a kernel for C.

    Raises DiagnosticException with every name that C cannot spell or that two things would share.
    """

    def __init__(self, module: ModuleOp, name: str):
        kernels = [op for op in module.ops if isinstance(op, cpu.KernelOp)]
        if len(kernels) != 1:
            raise DiagnosticException(f"C has functions for one network, the module holds {len(kernels)}")
        self.module, self.kernel = module, kernels[0]
        self.name = name
        faults = list[str]()
        if identifier(name) != name:
            faults.append(f"--name {quote(name)}: no name of C; {identifier(name)} would do")
        faults += [
            f"{a.role.data} {quote(a.label.data)}: C has no type for elements of {a.tensor.element_type}"
            for a in self.kernel.arguments
            if a.dtype.str[1:] not in C_TYPES
        ]
        self.ports = {a: identifier(a.label.data) for role in ("input", "output") for a in self.kernel.of(role)}
        labels = {a: identifier(a.label.data) for a in self.kernel.of("state")}
        scratch = {a: f"scratch_{n}" for n, a in enumerate(self.kernel.of("scratch"))}
        # Macros are in capitals, so ports that differ in case alone would share theirs.
        ports = [(a.label.data, name.upper()) for a, name in self.ports.items()]
        states = [(a.label.data, name) for a, name in (labels | scratch).items()]
        faults += [*_collisions("Input or Output", ports), *_collisions("state", states)]
        if faults:
            raise DiagnosticException("\n".join(faults))
        self.fields = list[Field]()
        self.size = 0
        self.add(labels)
        self.states_end = self.size
        self.add(scratch)
        if not self.fields:
            self.pad(8)

    def add(self, arguments: dict[cpu.ArgumentAttr, str]) -> None:
        """Append fields, those of large elements first, up to a multiple of 8 bytes."""
        for argument, name in sorted(arguments.items(), key=lambda item: -item[0].dtype.itemsize):
            elements = max(1, math.prod(argument.axes))
            self.fields.append(Field(name, c_type(argument), elements, self.size, argument))
            self.size += elements * argument.dtype.itemsize
        self.pad(-self.size % 8)

    def pad(self, count: int) -> None:
        """Unused bytes."""
        if count:
            self.fields.append(Field(f"unused_{self.size}", "uint8_t", count, self.size))
            self.size += count

    def offsets(self) -> dict[cpu.ArgumentAttr, int]:
        """Where in the struct a state or scratch memory stands."""
        return {field.argument: field.offset for field in self.fields if field.argument is not None}

    def parameters(self) -> list[str]:
        """Of the function that runs steps."""
        rasters = [f"{'const ' * (a.role.data == 'input')}{c_type(a)} *{name}" for a, name in self.ports.items()]
        return [f"{self.name}_state *state", "size_t steps", *rasters]

    # -- text

    def about(self) -> list[str]:
        """What was assumed, and what one has to know to call the functions."""
        dt = nir.time_step(self.module)
        lines = ["assumptions:", *(f"  {item}" for item in nir.assumptions(self.module))]
        lines += ["", f"A step lasts {dt!r} s." if dt is not None else "Nothing depends on how long a step lasts."]
        lines += [
            "Rasters hold step after step without gaps, each element by element with the last axis running fastest:",
        ]
        for argument in self.ports:
            lines.append(f"  {argument.role.data} {quote(argument.label.data)}: steps x {self.layout(argument)}")
        lines += [
            "Rasters and the state do not overlap, and the numbers of inputs are finite: nothing is checked. A run",
            "goes on from where the last one ended, so one call of n steps does the same as n calls of one. Threads",
            "may run at once, each on a state of its own.",
        ]
        return lines

    def layout(self, argument: cpu.ArgumentAttr) -> str:
        """Shape and meaning of an element."""
        axes = f"{shape_text(argument.axes)} of {c_type(argument)}"
        if len(argument.axes) == 3:
            order = "channels, rows, columns" if argument.role.data == "input" else "rows, columns, channels"
            axes += f", {order}"
        element = argument.tensor.element_type
        if fraction := self.kernel.fraction(argument):
            return f"{axes}, fixed point: the number times {1 << fraction}"
        if element == i1:
            return f"{axes}, 1 for a spike, else 0"
        if element == i8:
            return f"{axes}, how many events"
        return f"{axes}, how many spikes" if argument.dtype == np.int32 else axes

    def declarations(self) -> str:
        """The header: states, sizes, functions."""
        name, upper = self.name, self.name.upper()
        fields = list[str]()
        for field in self.fields:
            said = ""
            if field.argument is not None and field.argument.role.data == "state":
                said = f"  /* {plain(quote(field.argument.label.data))}, {self.layout(field.argument)} */"
            fields.append(f"    {field.kind} {field.name}[{field.elements}];{said}")
        macros = [f"#define {upper}_STATE_SIZE {self.size}"]
        for argument, port in self.ports.items():
            elements = math.prod(argument.axes)
            macros.append(f"#define {upper}_{port.upper()}_SIZE {elements} /* elements in a step */")
        dt = nir.time_step(self.module)
        macros += [] if dt is None else [f"#define {upper}_DT {dt!r} /* seconds in a step */"]
        lines = [
            f"#ifndef {upper}_H",
            f"#define {upper}_H",
            "",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            *macros,
            "",
            "/* A running network. It holds no addresses: it may stand anywhere and be copied. */",
            f"typedef struct {name}_state {{",
            *fields,
            f"}} {name}_state;",
            "",
            "#if defined(__cplusplus)",
            f'static_assert(sizeof({name}_state) == {upper}_STATE_SIZE, "the compiled code has another layout");',
            "#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L",
            f'_Static_assert(sizeof({name}_state) == {upper}_STATE_SIZE, "the compiled code has another layout");',
            "#endif",
            "",
            "/* Make memory a network before its first step. */",
            f"void {name}_init({name}_state *state);",
            "",
            "/* Back to before the first step; the memory was a network already. */",
            f"void {name}_reset({name}_state *state);",
            "",
            "/* Run steps. */",
            f"void {name}_run({', '.join(self.parameters())});",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
        ]
        return "\n".join(lines) + "\n"

    def header(self, more: Iterable[str] = ()) -> str:
        """The file that a C program includes."""
        first = f"{self.name}: a spiking network, {WRITTEN_BY}"
        return comment([first, "", *self.about(), *more]) + "\n" + self.declarations()


def c_type(argument: cpu.ArgumentAttr) -> str:
    """The C type of an element."""
    return C_TYPES[argument.dtype.str[1:]]


def plain(text: str) -> str:
    """Text that does not end a comment, on one line."""
    lines = "".join(c if c.isprintable() else " " for c in text)
    return lines.replace("*/", "* /").replace("/*", "/ *").replace("??/", "?? /")


def comment(lines: Iterable[str]) -> str:
    """A comment in C."""
    return "/* " + "\n".join(f" * {plain(line)}".rstrip() for line in lines)[3:] + "\n */\n"


def _collisions(what: str, names: Iterable[tuple[str, str]]) -> list[str]:
    """Labels whose spelling in C is the same."""
    found = dict[str, list[str]]()
    for label, name in names:
        found.setdefault(name, []).append(label)
    return [
        f"{what} {' and '.join(map(quote, labels))}: C would call {'both' if len(labels) == 2 else 'all'} {name}; "
        "rename the nodes"
        for name, labels in found.items()
        if len(labels) > 1
    ]
