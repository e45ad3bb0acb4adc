"""Runs compiled kernels over rasters: memory, layout, threads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, i1
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.cpu.compile import Compiled, load, object_of_loops
from nirc.dialects import cpu
from nirc.dialects.dense import Array, array, dtype_of, shape_text
from nirc.dialects.nir import quote
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass


def _to_memory(values: Array, axes: int) -> Array:
    """The last axes in the order of memory: images channel last."""
    return np.ascontiguousarray(np.moveaxis(values, -3, -1) if axes == 3 else values)


def _from_memory(values: Array, argument: cpu.ArgumentAttr) -> Array:
    """An output raster as the network orders and types it."""
    kind = argument.tensor
    ordered = np.moveaxis(values, -1, -3) if len(kind.get_shape()) == 3 else values
    return ordered.view(np.bool_) if kind.element_type == i1 else ordered


_BUSY = "this program is running already; each thread needs a program of its own"


class CpuEvaluator:
    """Runs a `snn` network as compiled code over rasters; states stay between calls until `reset`.

    Rasters of bytes are taken for counts of events, others for numbers of the network's precision; the code for either
    is compiled when it is first needed. threads: samples are divided among so many; None: as many as there are cores.
    """

    def __init__(
        self, module: ModuleOp, batch: int = 1, record: tuple[str, ...] = (), threads: int | None = None
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
        self.states = dict[cpu.ArgumentAttr, Array]()

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] by input name; returns rasters by output name and by recorded key.

        Raises DiagnosticException where rasters do not fit, or another thread runs on the same states.
        """
        if not self.running.acquire(blocking=False):
            raise DiagnosticException(_BUSY)
        try:
            bytes_only = all(values.dtype.char in "B?" for values in inputs.values())
            kind = "events" if bytes_only and inputs else "graded"
            if kind not in self.kernels:
                self.kernels[kind] = _Kernel.of(self.module, kind, self.record)
            results, steps = self.kernels[kind].run(inputs, self.batch, self.states, self.threads)
        finally:
            self.running.release()
        if progress is not None:
            progress(steps)
        return results


class _Kernel:
    """Compiled code, its constants, and scratch memory for each thread."""

    @staticmethod
    def of(module: ModuleOp, inputs: str, record: tuple[str, ...]) -> _Kernel:
        """Compile a `snn` module; the module stays as it is."""
        loops = module.clone()
        ConvertSnnToLoopsPass(inputs, record).apply(Context(), loops)
        return _Kernel(loops)

    def __init__(self, module: ModuleOp):
        self.kernel = next(op for op in module.ops if isinstance(op, cpu.KernelOp))
        self.compiled: Compiled = load(object_of_loops(module), self.kernel.function.string_value())
        self.arguments = list(self.kernel.arguments)
        self.call = self.compiled.function([a.role.data in ("input", "output") for a in self.arguments])
        self.constants = {a: array(held) for a in self.kernel.of("constant") if (held := a.held) is not None}
        self.scratch = list[dict[cpu.ArgumentAttr, Array]]()

    def run(
        self, inputs: Mapping[str, Array], batch: int, states: dict[cpu.ArgumentAttr, Array], threads: int
    ) -> tuple[dict[str, Array], int]:
        """One call for each sample; states that are missing start at the beginning."""
        rasters = {a: _raster(a, inputs.get(a.label.data), batch) for a in self.kernel.of("input")}
        lengths = {len(values) for values in rasters.values()}
        if len(lengths) > 1:
            listed = ", ".join(f"{quote(a.label.data)} {len(values)}" for a, values in rasters.items())
            raise DiagnosticException(f"inputs of unequal length: {listed} steps")
        steps = lengths.pop() if lengths else 0
        for argument in self.kernel.of("state"):
            if argument not in states:
                states[argument] = _first(argument, batch)
        outputs = {a: np.empty((steps, batch, *_stored_shape(a)), _dtype(a)) for a in self.kernel.of("output")}
        rasters |= outputs
        threads = max(1, min(threads, batch))
        while len(self.scratch) < threads:
            sizes = ((a, max(1, math.prod(a.tensor.get_shape()))) for a in self.kernel.of("scratch"))
            self.scratch.append({a: np.zeros(size, _dtype(a)) for a, size in sizes})
        parts = np.array_split(np.arange(batch), threads)
        if threads == 1:
            self.samples(parts[0], steps, rasters, states, 0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                jobs = [pool.submit(self.samples, part, steps, rasters, states, n) for n, part in enumerate(parts)]
                for job in jobs:
                    job.result()
        return {a.label.data: _from_memory(values, a) for a, values in outputs.items()}, steps

    def samples(
        self,
        numbers: Array,
        steps: int,
        rasters: Mapping[cpu.ArgumentAttr, Array],
        states: Mapping[cpu.ArgumentAttr, Array],
        thread: int,
    ) -> None:
        """Run some samples on one thread."""
        shared = {**self.constants, **self.scratch[thread]}
        given = list[tuple[int, int]]()
        """Each parameter of the first sample, and what a sample adds."""
        for argument in self.arguments:
            if argument in rasters:
                values = rasters[argument]
                given += [(values.ctypes.data, values.strides[1]), (values.strides[0] // values.itemsize, 0)]
            elif argument in states:
                given.append((states[argument].ctypes.data, states[argument].strides[0]))
            else:
                given.append((shared[argument].ctypes.data, 0))
        for n in numbers.tolist():
            self.call(steps, *(first + n * more for first, more in given))


def _raster(argument: cpu.ArgumentAttr, values: Array | None, batch: int) -> Array:
    """A raster [T, B, N...] of the kernel's type, each sample's step in one piece; the user's own where it is so."""
    name, shape = argument.label.data, argument.tensor.get_shape()
    if values is None:
        raise DiagnosticException(f"no raster for the input {quote(name)}")
    if values.shape[1:] != (batch, *shape):
        wanted = " x ".join(map(str, (batch, *shape)))
        raise DiagnosticException(
            f"the raster of input {quote(name)} has the shape {shape_text(values.shape)}, must be steps x {wanted}"
        )
    dtype = _dtype(argument)
    if values.dtype == np.bool_ and dtype == np.uint8:
        values = values.view(np.uint8)
    with np.errstate(over="ignore"):
        converted = values.astype(dtype, copy=False)
    if dtype.kind == "f" and not np.all(np.isfinite(converted)):
        kind = argument.tensor.element_type
        raise DiagnosticException(f"the raster of input {quote(name)} holds values that do not fit {kind}")
    whole = converted.size == 0 or converted[0, 0].flags.c_contiguous
    regular = all(stride >= 0 and stride % converted.itemsize == 0 for stride in converted.strides)
    return converted if whole and regular else np.ascontiguousarray(converted)


def _dtype(argument: cpu.ArgumentAttr) -> np.dtype[np.generic]:
    """What a buffer holds: a byte for a spike or an event count."""
    dtype = dtype_of(argument.tensor.element_type)
    return np.dtype(np.uint8) if dtype.itemsize == 1 else dtype


def _first(argument: cpu.ArgumentAttr, batch: int) -> Array:
    """A state before the first step, for each sample."""
    shape, held = argument.tensor.get_shape(), argument.held
    assert held is not None
    one = _to_memory(np.broadcast_to(array(held), shape), len(shape))
    return np.broadcast_to(one, (batch, *one.shape)).astype(_dtype(argument), order="C")


def _stored_shape(argument: cpu.ArgumentAttr) -> tuple[int, ...]:
    shape = argument.tensor.get_shape()
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape
