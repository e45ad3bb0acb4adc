"""Functions of loops outside any network: parsed, lowered, compiled and called with arrays."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects import get_all_dialects
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser

from nirc.backends.cpu.compile import load, object_file
from nirc.dialects import DIALECTS
from nirc.dialects.dense import Array
from nirc.passes.convert_loops_to_llvm import ConvertLoopsToLlvmPass

STANDARD = ("arith", "cf", "func", "llvm", "math", "memref", "scf")


def context() -> Context:
    """A context that knows nirc's dialects and those of the levels below `snn`."""
    ctx = Context()
    ctx.load_dialect(Builtin)
    for name, dialect in {**DIALECTS, **{name: get_all_dialects()[name] for name in STANDARD}}.items():
        ctx.register_dialect(name, dialect)
    return ctx


def parsed(text: str) -> ModuleOp:
    """Text to a verified module."""
    module = Parser(context(), text).parse_module()
    module.verify()
    return module


def lowered(module: ModuleOp) -> ModuleOp:
    """A verified copy at level llvm."""
    copy = module.clone()
    ConvertLoopsToLlvmPass().apply(context(), copy)
    copy.verify()
    return copy


def call(module: ModuleOp, *buffers: Array, steps: int = 0) -> None:
    """Run the function @main, whose parameters are an index and memrefs of one axis."""
    compiled = load(object_file(lowered(module)), "main")
    compiled.function(1, [0] * len(buffers))(steps, *(buffer.ctypes.data for buffer in buffers))
