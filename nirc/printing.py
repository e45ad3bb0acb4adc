"""Printed IR: weights beyond a size are elided to a hash; the flags that print IR around passes."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass, field
from io import StringIO
from typing import IO

import numpy as np
from xdsl.dialects.builtin import DenseResourceAttr, ModuleOp
from xdsl.ir import Attribute
from xdsl.parser import Parser
from xdsl.passes import ModulePass
from xdsl.printer import Printer
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects.dense import Dense, array, as_dense, layout_fault

_HEX_ABOVE = 100
"""xDSL prints longer lists as bytes in hexadecimal; doing that here spares it the search for a splat."""


def _misprinted(attr: Dense) -> bool:
    """Whether xDSL 0.74 prints some number as the hexadecimal digits of its bits, which it reads back as a number."""
    if layout_fault(attr) is not None or (values := array(attr)).dtype.kind != "f":
        return False
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return not bool(np.all(np.isfinite(values) & ((np.abs(values) < 1e6) | (values != np.floor(values)))))


DEFAULT_LIMIT = 16
"""Values that the print flags show in full unless --elide-weights-larger-than says otherwise."""


_ELIDED = "elided_"


class WeightPrinter(Printer):
    """xDSL's printer; a dense attribute of more than `limit` values prints as the hash of its bytes."""

    def __init__(self, stream: IO[str], limit: int | None = None):
        super().__init__(stream=stream)
        self.limit = limit

    def print_attribute(self, attribute: Attribute) -> None:
        if (attr := as_dense(attribute)) is not None:
            count = len(attr)
            if self.limit is not None and count > self.limit:
                digest = hashlib.sha256(attr.data.data).hexdigest()[:12]
                self.print_string(f"dense_resource<{_ELIDED}{digest}> : ")
                super().print_attribute(attr.type)
                return
            if count > _HEX_ABOVE or _misprinted(attr):
                self.print_string(f'dense<"0x{attr.data.data.hex().upper()}"> : ')
                super().print_attribute(attr.type)
                return
        super().print_attribute(attribute)


class IRParser(Parser):
    """xDSL's parser; text beyond ASCII, which xDSL 0.74 prints but reads back as bytes, stays text.

    Raises DiagnosticException where weights were elided.
    """

    def parse_optional_attribute(self) -> Attribute | None:
        attribute = super().parse_optional_attribute()
        if isinstance(attribute, DenseResourceAttr) and attribute.resource_handle.data.startswith(_ELIDED):
            raise DiagnosticException(
                "its weights were elided, only their hash was printed; print the IR in full, without "
                "--elide-weights-larger-than (or, from the --print-ir flags, with a larger N)"
            )
        return attribute

    def parse_optional_str_literal(self) -> str | None:
        text = super().parse_optional_str_literal()
        if text is None and (raw := self.parse_optional_bytes_literal()) is not None:
            try:
                return raw.decode()
            except UnicodeDecodeError:
                self.raise_error("text that is not UTF-8")
        return text


def ir_text(module: ModuleOp, limit: int | None = None) -> str:
    """The module as text with a final newline; in full, so that it reads back, where limit is None."""
    stream = StringIO()
    WeightPrinter(stream, limit).print_op(module)
    return stream.getvalue() + "\n"


@dataclass
class Instrumentation:
    """What to do around each pass: print IR as MLIR's flags of the same names do, verify, take the time."""

    before_all: bool = False
    after_all: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    after_change: bool = False
    tree_dir: str | None = None
    limit: int | None = DEFAULT_LIMIT
    verify_each: bool = False
    timing: bool = False
    stream: IO[str] = field(default_factory=lambda: sys.stderr)
    times: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    _last: str = ""
    _count: int = -1

    def start(self, step: ModulePass, module: ModuleOp) -> None:
        """Called before a pass."""
        if self.before_all or step.name in self.before:
            self._dump("Before", step, module)
        if self.after_change:
            self._last = ir_text(module, self.limit)
        self._started = time.perf_counter()

    def end(self, step: ModulePass, module: ModuleOp) -> None:
        """Called after a pass."""
        self.times.append((step.name, time.perf_counter() - self._started))
        if (
            self.after_all
            or step.name in self.after
            or (self.after_change and ir_text(module, self.limit) != self._last)
        ):
            self._dump("After", step, module)
        self._count += 1
        if self.tree_dir is not None:
            path = os.path.join(self.tree_dir, f"{self._count}_{step.name}.mlir")
            try:
                os.makedirs(self.tree_dir, exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(ir_text(module, self.limit))
            except OSError as error:
                raise DiagnosticException(f"--print-ir-tree-dir {path}: {error.strerror}") from error

    def _dump(self, when: str, step: ModulePass, module: ModuleOp) -> None:
        self.stream.write(f"// -----// IR Dump {when} {step.name} //----- //\n{ir_text(module, self.limit)}\n")

    def took(self, what: str, seconds: float) -> None:
        """Time spent outside the passes."""
        self.times.append((what, seconds))

    def report(self) -> str:
        """The table of --timing."""
        total = sum(seconds for _, seconds in self.times)
        rows = [
            f"  {seconds:9.4f} s ({100 * seconds / max(total, 1e-9):5.1f} %)  {name}" for name, seconds in self.times
        ]
        return "\n".join(["timing (wall clock)", *rows, f"  {total:9.4f} s (100.0 %)  total"]) + "\n"
