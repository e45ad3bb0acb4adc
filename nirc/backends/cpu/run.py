"""Runs compiled kernels over rasters: memory, layout, threads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from threading import Lock

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, i1
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.cpu.compile import Compiled, load, object_of_loops
from nirc.dialects import cpu
from nirc.dialects.cpu import LINE
from nirc.dialects.dense import Array, array, shape_text
from nirc.dialects.nir import quote
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass
from nirc.passes.snn_carry_products import SnnCarryProductsPass
from nirc.passes.snn_split_components import SnnSplitComponentsPass

_BUSY = "this program is running already; each thread needs a program of its own"

GROUP = 32
"""Samples that take a step in turn, at most: while one waits for its events, the CPU is busy with the next."""
SPARSE = 0.25
"""The share of numbers that are not 0 below which they are listed: passing one over costs as much as some additions."""
_NEAR = 2**15
"""Bytes of states that stay near the CPU."""
_PIECES = 100
"""Times that a run tells how far it is."""


class CpuEvaluator:
    """Runs a `snn` network as compiled code over rasters; states stay between calls until `reset`.

    Rasters of bytes are taken for spikes, or for counts of events where one is above 1, others for numbers of the
    network's precision, or where most are 0 for few of them; the code for each is compiled when it is first needed.

    threads  samples are divided among so many; None: as many as there are cores
    """

    def __init__(
        self,
        module: ModuleOp,
        batch: int = 1,
        record: tuple[str, ...] = (),
        threads: int | None = None,
    ) -> None:
        self.module, self.batch, self.record = module, batch, record
        self.threads = threads or len(os.sched_getaffinity(0))
        self.kernels = dict[str, _Kernel]()
        self.running = Lock()
        self.reset()

    def reset(self) -> None:
        """Back to the state before the first step; raises DiagnosticException while another thread runs."""
        if self.running.locked():
            raise DiagnosticException(_BUSY)
        self.states = dict[str, Array]()

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] by input name; returns rasters by output name and by recorded key.

        Raises DiagnosticException where rasters do not fit, or another thread runs on the same states.
        """
        if not self.running.acquire(blocking=False):
            raise DiagnosticException(_BUSY)
        try:
            kind = _kind(inputs)
            if kind not in self.kernels:
                self.kernels[kind] = _Kernel.of(self.module, kind, self.record)
            return self.kernels[kind].run(inputs, self.batch, self.states, self.threads, progress)
        finally:
            self.running.release()


def _kind(inputs: Mapping[str, Array]) -> str:
    """What rasters hold, in the words of `convert-snn-to-loops`."""
    kinds = {values.dtype.char for values in inputs.values()}
    if not kinds or not kinds <= {"B", "?"}:
        some = sum(np.count_nonzero(values) for values in inputs.values())
        return "sparse" if some < SPARSE * sum(values.size for values in inputs.values()) else "graded"
    return "spikes" if all(v.dtype.char == "?" or v.max(initial=0) <= 1 for v in inputs.values()) else "events"


@dataclass(frozen=True)
class _Argument:
    """A buffer of the kernel in numpy's words: the network's shape, a byte per spike; the content as it is stored."""

    role: str
    label: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    spikes: bool
    lines: int
    content: Array | None

    @staticmethod
    def of(argument: cpu.ArgumentAttr) -> _Argument:
        """What the attribute says."""
        kind, held, role = argument.tensor, argument.held, argument.role.data
        content = None if held is None else argument.filled() if role == "state" else _near(array(held))
        shape, spikes = kind.get_shape(), kind.element_type == i1
        return _Argument(role, argument.label.data, shape, argument.dtype, spikes, argument.lines, content)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


_Parameters = list[tuple[int, int]]
"""What the first sample is given for an argument, address and strides, and what each grows by from sample to sample."""


class _Kernel:
    """Compiled code, its constants, and scratch memory for each thread."""

    @staticmethod
    def of(module: ModuleOp, inputs: str, record: tuple[str, ...]) -> _Kernel:
        """Compile a `snn` module; the module stays as it is."""
        loops = module.clone()
        SnnCarryProductsPass().apply(Context(), loops)
        SnnSplitComponentsPass().apply(Context(), loops)
        ConvertSnnToLoopsPass(inputs, record, batch=True).apply(Context(), loops)
        return _Kernel(loops, inputs)

    def __init__(self, module: ModuleOp, inputs: str):
        kernel = next(op for op in module.ops if isinstance(op, cpu.KernelOp))
        self.inputs = inputs
        self.arguments = [_Argument.of(argument) for argument in kernel.arguments]
        self.compiled: Compiled = load(object_of_loops(module), kernel.function.string_value())
        self.batch = kernel.batch is not None
        strides = [kernel.strides(argument) for argument in kernel.arguments]
        self.call = self.compiled.function(2 if self.batch else 1, strides)
        self.constants = {n: [_address(a.content)] for n, a in self.of_role("constant") if a.content is not None}
        self.pitch = kernel.pitch
        self.group = min(GROUP, max(1, _NEAR // max(1, self.pitch))) if self.batch else 1
        """Samples of a call."""
        self.start = np.concatenate([np.zeros(0, np.uint8), *(_lines(a) for _, a in self.of_role("state"))])
        """The states of a sample before the first step."""
        self.scratch = list[dict[int, _Parameters]]()
        self.memory = list[Array]()
        """Keeps the scratch memory alive."""

    def of_role(self, role: str) -> Iterator[tuple[int, _Argument]]:
        """The arguments of a role, and which they are."""
        return ((n, argument) for n, argument in enumerate(self.arguments) if argument.role == role)

    def run(
        self,
        inputs: Mapping[str, Array],
        batch: int,
        states: dict[str, Array],
        threads: int,
        progress: Callable[[int], None] | None,
    ) -> dict[str, Array]:
        """A call for each group of samples; missing states start at the beginning."""
        spikes = self.inputs == "spikes"
        rasters = {n: _raster(a, inputs.get(a.label), batch, spikes=spikes) for n, a in self.of_role("input")}
        lengths = {len(values) for values in rasters.values()}
        if len(lengths) > 1:
            listed = ", ".join(f"{quote(self.arguments[n].label)} {len(values)}" for n, values in rasters.items())
            raise DiagnosticException(f"inputs of unequal length: {listed} steps")
        steps = lengths.pop() if lengths else 0
        outputs = {n: np.empty((steps, batch, a.size), a.dtype) for n, a in self.of_role("output")}
        given = dict(self.constants)
        for n, values in self.states(batch, states).items():
            given[n] = [_address(values, self.pitch)]
        threads = max(1, min(threads, batch))
        while len(self.scratch) < threads:
            own = {n: _aligned((a.lines,), np.dtype(np.uint8)) for n, a in self.of_role("scratch")}
            self.memory += own.values()
            self.scratch.append({n: [_address(values)] for n, values in own.items()})
        piece = steps if progress is None else -(-steps // _PIECES)
        bounds = list(pairwise(batch * n // threads for n in range(threads + 1)))
        with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
            for start in range(0, steps, piece or 1):
                part = slice(start, min(start + piece, steps))
                now = [{n: values[part] for n, values in held.items()} for held in (rasters, outputs)]
                given |= {n: self.parameters(values) for held in now for n, values in held.items()}
                jobs = [
                    partial(self.calls, part.stop - start, given | own, *ends)
                    for own, ends in zip(self.scratch, bounds, strict=False)
                ]
                if pool is None:
                    jobs[0]()
                else:
                    for done in [pool.submit(job) for job in jobs]:
                        done.result()
                if progress is not None:
                    progress(part.stop)
        return {self.arguments[n].label: self.result(n, values) for n, values in outputs.items()}

    def states(self, batch: int, states: dict[str, Array]) -> dict[int, Array]:
        """The states [B, N]; those that are missing start at the beginning."""
        arguments = dict(self.of_role("state"))
        if any(argument.label not in states for argument in arguments.values()):
            memory = _aligned((batch, self.pitch), np.dtype(np.uint8))
            memory[:] = self.start
            start = 0
            for argument in arguments.values():
                values = memory[:, start : start + argument.size * argument.dtype.itemsize].view(argument.dtype)
                if argument.label in states:
                    values[:] = states[argument.label]
                states[argument.label] = values
                start += argument.lines
        return {n: states[argument.label] for n, argument in arguments.items()}

    def calls(self, steps: int, given: Mapping[int, _Parameters], first: int, end: int) -> None:
        """A thread's calls, one after the other."""
        parameters = [pair for n in range(len(self.arguments)) for pair in given[n]]
        for sample in range(first, end, self.group):
            counts = (steps, min(self.group, end - sample)) if self.batch else (steps,)
            self.call(*counts, *[start + sample * more for start, more in parameters])

    def parameters(self, values: Array) -> _Parameters:
        """Those of a raster [T, B, N]."""
        steps, samples, _ = (stride // values.itemsize for stride in values.strides)
        strides = [(steps, 0), (samples, 0)]
        return [_address(values, values.strides[1]), *(strides if self.batch else strides[:1])]

    def result(self, n: int, values: Array) -> Array:
        """An output raster as the network orders and types it."""
        argument = self.arguments[n]
        if len(shape := argument.shape) == 3:
            values = np.moveaxis(values.reshape(*values.shape[:2], *shape[1:], shape[0]), -1, -3)
        else:
            values = values.reshape(*values.shape[:2], *shape)
        return values.view(np.bool_) if argument.spikes else values


def _address(values: Array, step: int = 0) -> tuple[int, int]:
    return values.ctypes.data, step


def _raster(argument: _Argument, values: Array | None, batch: int, *, spikes: bool) -> Array:
    """A raster [T, B, N] of the kernel's type; the user's own memory where it is so. spikes: nothing else is in it."""
    name = argument.label
    if values is None:
        raise DiagnosticException(f"no raster for the input {quote(name)}")
    if values.shape[1:] != (batch, *argument.shape):
        wanted = " x ".join(map(str, (batch, *argument.shape)))
        raise DiagnosticException(
            f"the raster of input {quote(name)} has the shape {shape_text(values.shape)}, must be steps x {wanted}"
        )
    given = values
    if argument.spikes and not spikes and (values.dtype.char not in "?B" or values.max(initial=0) > 1):
        given: Array = values != 0
    if given.dtype == np.bool_ and argument.dtype == np.uint8:
        given = given.view(np.uint8)
    with np.errstate(over="ignore"):
        converted = given.astype(argument.dtype, copy=False)
    if argument.dtype.kind == "f" and not np.all(np.isfinite(converted)):
        kind = f"f{8 * argument.dtype.itemsize}"
        raise DiagnosticException(f"the raster of input {quote(name)} holds values that do not fit {kind}")
    flat = converted.reshape(len(converted), batch, argument.size)
    regular = all(stride >= 0 and stride % flat.itemsize == 0 for stride in flat.strides)
    in_rows = flat.shape[2] < 2 or flat.strides[2] == flat.itemsize
    return flat if regular and in_rows else np.ascontiguousarray(flat)


def _aligned(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    """Zeros that start where a line of the cache does, so that no vector lies in two lines."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + size].view(dtype).reshape(shape)


def _lines(argument: _Argument) -> Array:
    """The bytes of a state before the first step."""
    content = np.zeros(argument.lines, np.uint8)
    assert argument.content is not None
    content[: argument.content.nbytes] = argument.content.view(np.uint8)
    return content


def _near(values: Array) -> Array:
    """The same, where a line of the cache starts."""
    size = values.nbytes
    held = _aligned((-(-size // LINE) * LINE,), np.dtype(np.uint8))[:size].view(values.dtype).reshape(values.shape)
    held[...] = values
    return held
