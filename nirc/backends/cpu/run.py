"""Runs compiled kernels over rasters: memory, layout, threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.cpu.compile import Compiled, load, object_code
from nirc.dialects import cpu
from nirc.dialects.dense import Array, array, dtype_of, shape_text
from nirc.dialects.nir import quote


def _memory(values: Array) -> Array:
    """Values [..., C, H, W] in the order of memory; others as they are."""
    return np.ascontiguousarray(values)


def _to_memory(values: Array, axes: int) -> Array:
    """The last axes in the order of memory: images channel last."""
    return np.ascontiguousarray(np.moveaxis(values, -3, -1) if axes == 3 else values)


def _from_memory(values: Array, axes: int) -> Array:
    """The way back."""
    return np.moveaxis(values, -1, -3) if axes == 3 else values


class CpuEvaluator:
    """One kernel with the states of a batch; states stay between calls until `reset`.

    threads: samples are divided among so many; None: as many as there are cores.
    """

    def __init__(self, module: ModuleOp, batch: int = 1, threads: int | None = None):
        self.kernel = next(op for op in module.ops if isinstance(op, cpu.KernelOp))
        self.batch = batch
        self.threads = max(1, min(batch, threads or len(os.sched_getaffinity(0))))
        self.compiled: Compiled = load(object_code(module), self.kernel.function.string_value())
        self.arguments = list(self.kernel.arguments)
        self.call = self.compiled.function(len(self.arguments))
        self.constants = {a: _memory(array(held)) for a in self.kernel.of("constant") if (held := a.held) is not None}
        self.scratch = [
            {a: np.zeros(max(1, int(np.prod(a.tensor.get_shape()))), _dtype(a)) for a in self.kernel.of("scratch")}
            for _ in range(self.threads)
        ]
        self.reset()

    def reset(self) -> None:
        """Back to the state before the first step."""
        self.states = dict[cpu.ArgumentAttr, Array]()
        for argument in self.kernel.of("state"):
            shape, held = argument.tensor.get_shape(), argument.held
            assert held is not None
            first = np.broadcast_to(array(held), shape)
            whole = np.broadcast_to(_to_memory(first, _axes(argument)), (self.batch, *_stored_shape(argument)))
            self.states[argument] = whole.astype(_dtype(argument), order="C")

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] by input name; returns rasters by output name and by recorded key."""
        given = {a: self.raster(a, inputs.get(a.label.data)) for a in self.kernel.of("input")}
        lengths = {values.shape[1] for values in given.values()}
        if len(lengths) > 1:
            listed = ", ".join(f"{quote(a.label.data)} {values.shape[1]}" for a, values in given.items())
            raise DiagnosticException(f"inputs of unequal length: {listed} steps")
        steps = lengths.pop() if lengths else 0
        outputs = {
            a: np.empty((self.batch, steps, *_stored_shape(a)), _dtype(a)) for a in self.kernel.of("output")
        }
        per_sample = {**given, **outputs, **self.states}
        with ThreadPoolExecutor(self.threads) as pool:
            parts = np.array_split(np.arange(self.batch), self.threads)
            jobs = [pool.submit(self.samples, part, steps, per_sample, n) for n, part in enumerate(parts)]
            for job in jobs:
                job.result()
        if progress is not None:
            progress(steps)
        return {
            a.label.data: _from_memory(values.swapaxes(0, 1), len(a.tensor.get_shape())).astype(
                dtype_of(a.tensor.element_type), copy=False
            )
            for a, values in outputs.items()
        }

    def samples(self, numbers: Array, steps: int, per_sample: dict[cpu.ArgumentAttr, Array], thread: int) -> None:
        """Run some samples on one thread."""
        shared = {**self.constants, **self.scratch[thread]}
        bases = [(per_sample if a in per_sample else shared)[a] for a in self.arguments]
        addresses = [base.ctypes.data for base in bases]
        strides = [base.strides[0] if a in per_sample else 0 for a, base in zip(self.arguments, bases, strict=True)]
        for n in numbers.tolist():
            self.call(steps, *(address + n * stride for address, stride in zip(addresses, strides, strict=True)))

    def raster(self, argument: cpu.ArgumentAttr, values: Array | None) -> Array:
        """A raster in the kernel's memory order, [B, T, N...]."""
        name, shape = argument.label.data, argument.tensor.get_shape()
        if values is None:
            raise DiagnosticException(f"no raster for the input {quote(name)}")
        if values.shape[1:] != (self.batch, *shape):
            wanted = " x ".join(map(str, (self.batch, *shape)))
            raise DiagnosticException(
                f"the raster of input {quote(name)} has the shape {shape_text(values.shape)}, must be steps x {wanted}"
            )
        dtype = _dtype(argument)
        with np.errstate(over="ignore"):
            converted = values.swapaxes(0, 1).astype(dtype, copy=False)
        if dtype.kind == "f" and not np.all(np.isfinite(converted)):
            kind = argument.tensor.element_type
            raise DiagnosticException(f"the raster of input {quote(name)} holds values that do not fit {kind}")
        return _to_memory(converted, len(shape))


def _dtype(argument: cpu.ArgumentAttr) -> np.dtype[np.generic]:
    """What a buffer holds: a byte for a spike or an event count."""
    dtype = dtype_of(argument.tensor.element_type)
    return np.dtype(np.uint8) if dtype.itemsize == 1 else dtype


def _axes(argument: cpu.ArgumentAttr) -> int:
    return len(argument.tensor.get_shape())


def _stored_shape(argument: cpu.ArgumentAttr) -> tuple[int, ...]:
    shape = argument.tensor.get_shape()
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape
