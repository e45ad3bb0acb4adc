"""Ahead of time: an object file, an assembly file, a shared library or LLVM IR that a C program uses without nirc.

The kernel takes its weights as arguments; here three functions with a C interface (see `backends.c.interface`) hand it
read-only data of the same file. LLVM never sees the data: it reserves a block that starts with the data's own hash and
that it must not look into, and nirc puts the data into what LLVM wrote. So the cost is that of copying.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends import Options
from nirc.backends.c.interface import Interface
from nirc.backends.cpu.compile import Machine, optimized_text, translated
from nirc.dialects.dense import Array

_ALIGNMENT = 64
_MARK_SIZE = 32


def header(module: ModuleOp, options: Options) -> dict[str, bytes]:
    """The C header of what the other functions of this file write."""
    machine = _machine(module, options)
    lines = [
        "",
        f"The code is for {machine.triple}, CPU {machine.cpu or 'of any kind'}.",
        "It calls memset, memcpy and, where the CPU has no instruction for them, floor and arithmetic from the",
        "libraries of the C compiler.",
    ]
    return {".h": _interface(module, options).header(lines).encode()}


def object_file(module: ModuleOp, options: Options) -> bytes:
    """An object file for a linker."""
    ahead = _Ahead(module, options)
    return ahead.data.put_into(ahead.target.emit_object(ahead.module))


def assembly(module: ModuleOp, options: Options) -> bytes:
    """The same as text for an assembler."""
    ahead = _Ahead(module, options)
    text: str = ahead.target.emit_assembly(ahead.module)
    if not ahead.data.content:
        return text.encode()
    # The label, then what is reserved: the mark and zeros.
    found = re.search(rf"^_?{ahead.data.name}:.*\n((?:[ \t]+\.\w+[ \t].*\n){{2}})", text, re.MULTILINE)
    if found is None or ".asci" not in found[1]:
        raise DiagnosticException(f"nirc cannot write the data in the assembly of {ahead.triple}; --emit obj can")
    return "".join([text[: found.start(1)], ahead.data.words(), text[found.end(1) :]]).encode()


def llvm_ir(module: ModuleOp, options: Options) -> bytes:
    """The same as LLVM IR, optimized."""
    ahead = _Ahead(module, options)
    text = str(ahead.module)
    if ahead.data.content:
        size = len(ahead.data.content)
        found = re.search(rf"^@{ahead.data.name} = .* constant (<{{.*zeroinitializer }}>)", text, re.MULTILINE)
        assert found is not None
        digits = "\\" + ahead.data.content.hex("\\", 1).upper()
        text = "".join([text[: found.start(1)], f'[{size} x i8] c"{digits}"', text[found.end(1) :]])
    return text.encode()


def shared_library(module: ModuleOp, options: Options) -> bytes:
    """A shared library, linked by the C compiler `cc`, or the one that $CC names."""
    content = object_file(module, options)
    compiler = os.environ.get("CC") or "cc"
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "network.o"), Path(folder, "network.so")
        source.write_bytes(content)
        try:
            done = subprocess.run(
                [*compiler.split(), "-shared", "-o", library, source, "-lm"], capture_output=True, text=True
            )
        except OSError as error:
            raise DiagnosticException(
                f"--emit shared links with a C compiler, and '{compiler}' cannot be run: {error.strerror}; "
                "install one, name yours in $CC, or take --emit obj"
            ) from error
        if done.returncode:
            said = "; ".join(done.stderr.split("\n")[:3])
            raise DiagnosticException(f"--emit shared: '{compiler}' cannot link: {said}")
        return library.read_bytes()


def _interface(module: ModuleOp, options: Options) -> Interface:
    return Interface(module, "network" if options.name is None else options.name)


def _machine(module: ModuleOp, options: Options) -> Machine:
    """This machine, or the module's triple with its plainest CPU."""
    triple = module.attributes.get("llvm.target_triple")
    host = Machine.host()
    if not isinstance(triple, StringAttr):
        return host if options.cpu is None else Machine(host.triple, _known(host.triple, options.cpu))
    return Machine(triple.data, "" if options.cpu is None else _known(triple.data, options.cpu))


@cache
def _known(triple: str, cpu: str) -> str:
    """The CPU; raises DiagnosticException where LLVM does not know it.

    LLVM only says so on standard error, and goes on with another: a process of its own listens.
    """
    code = (
        "import sys, llvmlite.binding as llvm; llvm.initialize_all_targets(); llvm.initialize_all_asmprinters();"
        "llvm.Target.from_triple(sys.argv[1]).create_target_machine(sys.argv[2]).emit_object(llvm.parse_assembly(''))"
    )
    done = subprocess.run([sys.executable, "-c", code, triple, cpu], capture_output=True, text=True)
    if "not a recognized processor" in done.stderr:
        raise DiagnosticException(f"--cpu {cpu}: LLVM knows no such CPU of {triple}")
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:]
        raise DiagnosticException(f"--cpu {cpu}: LLVM has no code for it on {triple}: {''.join(said)}")
    return cpu


class _Data:
    """Read-only data of a file: arrays one after the other, and how to put them where LLVM left room."""

    def __init__(self, name: str, byte_order: Literal["<", ">"]):
        self.name = name
        self.byte_order: Literal["<", ">"] = byte_order
        self.content = bytearray()

    def add(self, *parts: Array) -> int:
        """Append arrays without a gap between them; returns where they start."""
        start = len(self.content)
        for values in parts:
            self.content += values.astype(values.dtype.newbyteorder(self.byte_order), copy=False).tobytes()
        self.content += bytes(-len(self.content) % _ALIGNMENT)
        return start

    def mark(self) -> bytes:
        """What the block starts with; zeros follow."""
        return hashlib.sha256(self.content).digest()

    def declaration(self) -> str:
        """The block in LLVM IR. That others may fill it keeps LLVM from taking its zeros for the data."""
        if not self.content:
            return ""
        digits = "\\" + self.mark().hex("\\", 1)
        kinds = f"[{_MARK_SIZE} x i8]", f"[{len(self.content) - _MARK_SIZE} x i8]"
        return (
            f"@{self.name} = hidden externally_initialized constant <{{ {kinds[0]}, {kinds[1]} }}> "
            f'<{{ {kinds[0]} c"{digits}", {kinds[1]} zeroinitializer }}>, align {_ALIGNMENT}\n'
        )

    def put_into(self, file: bytes) -> bytes:
        """The file with the data in the place of the block."""
        if not self.content:
            return file
        at = file.find(self.mark() + bytes(len(self.content) - _MARK_SIZE))
        if at < 0 or file.find(self.mark(), at + 1) >= 0:
            raise RuntimeError("the block that LLVM reserved for the data is not there once")
        return b"".join([file[:at], self.content, file[at + len(self.content) :]])

    def words(self) -> str:
        """Directives of assemblers, eight words a line."""
        words = np.frombuffer(self.content, np.dtype("u4").newbyteorder(self.byte_order))
        digits = words.astype(">u4").tobytes().hex(",", 4).replace(",", ",0x")
        width = 8 * len("0x00000000,")
        text = f"0x{digits},"
        return "".join(f"\t.long\t{text[n : n + width][:-1]}\n" for n in range(0, len(text), width))


class _Ahead:
    """A module on its way to a file: the kernel and its C interface, optimized."""

    def __init__(self, module: ModuleOp, options: Options):
        self.interface = _interface(module, options)
        machine = _machine(module, options)
        self.triple = machine.triple
        layout = str(machine.target().target_data)
        self.index = "i32" if re.search(r"(?:^|-)p:32", layout) else "i64"
        self.data = _Data(f"{self.interface.name}_constants", "<" if layout.startswith("e") else ">")
        kernel = self.interface.kernel.function.string_value()
        code = translated(module, machine, {kernel: f"{self.interface.name}_kernel"})
        functions = [self.run(), self.init(), self.reset()]
        declared = (
            f"declare void @llvm.memset.p0.{self.index}(ptr, i8, {self.index}, i1)",
            f"declare void @llvm.memcpy.p0.p0.{self.index}(ptr, ptr, {self.index}, i1)",
        )
        # The functions fill the data, so its block is declared when they are made.
        text = "\n".join([code, self.data.declaration(), *declared, *functions])
        self.module, self.target = optimized_text(text, machine, pic=True)

    def address(self, base: str, offset: int) -> str:
        """A constant offset from a constant address."""
        return f"getelementptr (i8, ptr {base}, {self.index} {offset})" if offset else base

    def run(self) -> str:
        """Hands states, scratch memory, data and rasters to the kernel."""
        index, name = self.index, self.interface.name
        offsets = self.interface.offsets()
        lines, given = list[str](), [f"{index} %steps"]
        for n, argument in enumerate(self.interface.kernel.arguments):
            if argument in self.interface.ports:
                given += [f"ptr %p{n}", f"{index} {int(np.prod(argument.axes))}"]
            elif argument in offsets:
                lines.append(f"  %p{n} = getelementptr i8, ptr %state, {index} {offsets[argument]}")
                given.append(f"ptr %p{n}")
            else:
                given.append(f"ptr {self.address(f'@{self.data.name}', self.data.add(argument.filled()))}")
        numbers = {argument: n for n, argument in enumerate(self.interface.kernel.arguments)}
        rasters = [f"ptr %p{numbers[argument]}" for argument in self.interface.ports]
        parameters = ", ".join(["ptr %state", f"{index} %steps", *rasters])
        # Inlined, the kernel would lose that its arguments do not alias.
        call = f"  call void @{name}_kernel({', '.join(given)}) noinline"
        return "\n".join([f"define void @{name}_run({parameters}) {{", *lines, call, "  ret void", "}", ""])

    def init(self) -> str:
        """Scratch memory is 0 before the first step."""
        name, first = self.interface.name, self.interface.states_end
        return self.function(
            "init", [*self.zero(first, self.interface.size - first), f"call void @{name}_reset(ptr %state)"]
        )

    def reset(self) -> str:
        """States from the data where one of them is not 0."""
        fields = [field for field in self.interface.fields if field.offset < self.interface.states_end]
        contents = [
            np.zeros(field.elements, np.uint8) if field.argument is None else field.argument.filled()
            for field in fields
        ]
        size = self.interface.states_end
        if not any(values.any() for values in contents):
            return self.function("reset", self.zero(0, size))
        source = self.address(f"@{self.data.name}", self.data.add(*contents))
        copy = f"call void @llvm.memcpy.p0.p0.{self.index}(ptr %state, ptr {source}, {self.index} {size}, i1 false)"
        return self.function("reset", [copy])

    def zero(self, start: int, size: int) -> list[str]:
        """Set bytes of the state to 0."""
        if not size:
            return []
        return [
            f"%p = getelementptr i8, ptr %state, {self.index} {start}",
            f"call void @llvm.memset.p0.{self.index}(ptr %p, i8 0, {self.index} {size}, i1 false)",
        ]

    def function(self, name: str, lines: list[str]) -> str:
        """A function of the state alone."""
        body = "".join(f"  {line}\n" for line in lines)
        return f"define void @{self.interface.name}_{name}(ptr %state) {{\n{body}  ret void\n}}\n"


FORMATS: dict[str, Callable[[ModuleOp, Options], bytes]] = {
    "llvmir": llvm_ir,
    "asm": assembly,
    "obj": object_file,
    "shared": shared_library,
}
