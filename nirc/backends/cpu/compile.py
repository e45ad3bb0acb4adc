"""Machine code from the `llvm` dialect: translation to LLVM IR, optimisation, and an object that is kept on disk.

Strict IEEE arithmetic: no fast-math, and no contraction of a product and a sum into one operation, which would round
once where the evaluator rounds twice.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm
from xdsl.backend.llvm.convert import convert_module
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.llvm import FuncOp
from xdsl.ir import Attribute, SSAValue

from nirc.dialects.cpu import KernelOp
from nirc.passes import convert_loops_to_llvm
from nirc.passes.convert_loops_to_llvm import ConvertLoopsToLlvmPass, rounds, while_loops


@dataclass(frozen=True)
class Machine:
    """What to compile for: LLVM's names of the triple, the CPU and its features; without a triple this machine."""

    triple: str
    cpu: str = ""
    features: str = ""

    @staticmethod
    @cache
    def host(*, widest: bool = False) -> Machine:
        """The machine that nirc runs on; with the widest vectors that it has, or with those that LLVM prefers."""
        _initialize()
        features: str = llvm.get_host_cpu_features().flatten()
        if widest and "+avx512f" in features:
            features += ",-prefer-256-bit"
        return Machine(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)

    def target(self, *, pic: bool = False) -> llvm.TargetMachine:
        """LLVM's code generator for it; raises RuntimeError where LLVM has none."""
        _initialize()
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            self.cpu, self.features, opt=2, reloc="pic" if pic else "default", codemodel="default"
        )


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()


_LARGE = 100
"""Blocks beyond which loops are not unrolled: that takes most of LLVM's time, and gains little in images' kernels."""


def _functions(module: ModuleOp, names: Mapping[str, str]) -> ModuleOp:
    """The module's functions alone, some under another name."""
    functions = [op.clone() for op in module.ops if isinstance(op, FuncOp)]
    for function in functions:
        function.sym_name = StringAttr(names.get(function.sym_name.data, function.sym_name.data))
    return ModuleOp(functions)


def translated(module: ModuleOp, machine: Machine, hidden: Mapping[str, str] | None = None) -> str:
    """LLVM IR; functions to hide from what loads the file, under another name."""
    hidden = hidden or {}
    translation = convert_module(_functions(module, hidden), fallback_target_triple=machine.triple)
    for name in hidden.values():
        translation.get_global(name).linkage = "hidden"  # pyright: ignore[reportUnknownMemberType]
    return str(translation)


def optimized(module: ModuleOp, machine: Machine, *, pic: bool = False) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    """LLVM IR after LLVM's optimisation, and the code generator that it suits."""
    return optimized_text(translated(module, machine), machine, pic=pic)


def optimized_text(text: str, machine: Machine, *, pic: bool = False) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    """The same of LLVM IR."""
    target = machine.target(pic=pic)
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    options = llvm.PipelineTuningOptions(speed_level=2)
    options.loop_vectorization = True
    options.loop_unrolling = sum(1 for function in parsed.functions for _ in function.blocks) <= _LARGE
    options.slp_vectorization = True
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(parsed, passes)
    return parsed, target


def _machine(module: ModuleOp) -> Machine:
    """This machine, as it suits a module's kernels."""
    return Machine.host(widest=any(isinstance(op, KernelOp) and op.batch is not None for op in module.ops))


def object_file(module: ModuleOp) -> bytes:
    """The object file of the llvm dialect's functions, for this machine."""
    parsed, target = optimized(module, _machine(module))
    return target.emit_object(parsed)


def object_of_loops(module: ModuleOp) -> bytes:
    """The object file of functions that are loops, from the cache where it is there; the module stays as it is."""
    path = _cached(module)
    content = _read(path)
    if content is None:
        lowered = module.clone()
        ConvertLoopsToLlvmPass().apply(Context(), lowered)
        content = object_file(lowered)
        _keep(path, content)
    return content


@dataclass
class Compiled:
    """A function in memory; the engine has to live as long as anyone calls it."""

    engine: llvm.ExecutionEngine
    address: int

    def function(self, counts: int, strides: Sequence[int]) -> Callable[..., None]:
        """A callable of so many counts and an address per argument, each followed by so many strides.

        It lets other threads run.
        """
        kinds: list[type[ctypes.c_int64 | ctypes.c_void_p]] = [ctypes.c_int64] * counts
        for number in strides:
            kinds += [ctypes.c_void_p, *[ctypes.c_int64] * number]
        return ctypes.CFUNCTYPE(None, *kinds)(self.address)


def load(content: bytes, name: str) -> Compiled:
    """Link an object file into the process."""
    target = Machine.host().target()
    empty = llvm.parse_assembly("")
    engine = llvm.create_mcjit_compiler(empty, target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(content))
    engine.finalize_object()
    return Compiled(engine, engine.get_function_address(name))


# -- the cache

_MARK = b"nirc object 1\n"


def cache_folder() -> Path | None:
    """Where objects are kept: $NIRC_CACHE (empty: nowhere), else the user's cache folder."""
    chosen = os.environ.get("NIRC_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nirc"


def _cached(module: ModuleOp) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    versions = ", ".join(f"{name} {version(name)}" for name in ("xdsl", "llvmlite"))
    sources = (__file__, convert_loops_to_llvm.__file__, rounds.__file__, while_loops.__file__)
    versions += "".join(Path(file).read_text() for file in sources)
    loops = (part for op in module.ops if isinstance(op, func.FuncOp) for part in _words(op))
    key = "\n".join([*loops, str(_machine(module)), versions])
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.o"


def _words(function: func.FuncOp) -> Iterator[str]:
    """What tells functions apart: their text, quicker than xDSL prints it."""
    numbers = dict[SSAValue, int]()
    texts = dict[Attribute, str]()

    def text(attribute: Attribute) -> str:
        if attribute not in texts:
            texts[attribute] = str(attribute)
        return texts[attribute]

    def number(values: Iterable[SSAValue]) -> str:
        return " ".join(f"{numbers.setdefault(value, len(numbers))}" for value in values)

    for op in function.walk():
        attributes = (f"{name}={text(value)}" for name, value in (*op.properties.items(), *op.attributes.items()))
        kinds = (text(value.type) for value in op.results)
        yield f"{op.name} {number(op.operands)} > {number(op.results)} {' '.join(kinds)} {' '.join(attributes)}"
        for region in op.regions:
            for block in region.blocks:
                yield f"{{ {number(block.args)} {' '.join(text(value.type) for value in block.args)}"


def _read(path: Path | None) -> bytes | None:
    """An object whose checksum holds; anything else is as good as none."""
    try:
        content = b"" if path is None else path.read_bytes()
    except OSError:
        return None
    mark, digest, rest = content[: len(_MARK)], content[len(_MARK) : len(_MARK) + 32], content[len(_MARK) + 32 :]
    return rest if mark == _MARK and hashlib.sha256(rest).digest() == digest else None


def _keep(path: Path | None, content: bytes) -> None:
    """Write whole or not at all, so that others who write or read at the same time see one object or the other."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MARK + hashlib.sha256(content).digest() + content)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
