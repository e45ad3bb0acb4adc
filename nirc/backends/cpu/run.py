"""Runs compiled kernels over rasters: memory, layout, threads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, i1
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.cpu.compile import Compiled, load, object_of_loops
from nirc.dialects import cpu, snn
from nirc.dialects.dense import Array, array, shape_text
from nirc.dialects.nir import quote
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass
from nirc.passes.snn_split_components import SnnSplitComponentsPass

_BUSY = "this program is running already; each thread needs a program of its own"

LANES = 32
"""Samples side by side where there are so many: two vectors of float32 on machines with the widest."""
_LINE = 64
"""Bytes of a line of the cache."""
_PIECES = 100
"""Times that a run tells how far it is."""
_SMALL = 1024
"""Neurons up to which samples stand side by side: beyond, most of a vector's lanes would wait for events of others."""


class CpuEvaluator:
    """Runs a `snn` network as compiled code over rasters; states stay between calls until `reset`.

    Rasters of bytes are taken for spikes, or for counts of events where one is above 1, others for numbers of the
    network's precision; the code for each is compiled when it is first needed. A batch of a small network is fastest
    where the samples of an element stand side by side in memory, as in the rasters that come out.

    threads  samples are divided among so many; None: as many as there are cores
    lanes    samples that one call works on side by side; None: many where networks are small
    """

    def __init__(
        self,
        module: ModuleOp,
        batch: int = 1,
        record: tuple[str, ...] = (),
        threads: int | None = None,
        lanes: int | None = None,
    ) -> None:
        self.module, self.batch, self.record = module, batch, record
        self.threads = threads or len(os.sched_getaffinity(0))
        self.lanes = lanes or (LANES if 2 * batch > LANES and _small(module) else 1)
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
                self.kernels[kind] = _Kernel.of(self.module, kind, self.record, self.lanes)
            return self.kernels[kind].run(inputs, self.batch, self.states, self.threads, progress)
        finally:
            self.running.release()


def _kind(inputs: Mapping[str, Array]) -> str:
    """What rasters hold, in the words of `convert-snn-to-loops`."""
    kinds = {values.dtype.char for values in inputs.values()}
    if not kinds or not kinds <= {"B", "?"}:
        return "graded"
    return "spikes" if all(v.dtype.char == "?" or v.max(initial=0) <= 1 for v in inputs.values()) else "events"


def _small(module: ModuleOp) -> bool:
    """Whether a network has no images and few neurons."""
    network = next(op for op in module.ops if isinstance(op, snn.NetworkOp))
    if any(isinstance(op, snn.ConvOp | snn.PoolOp) for op in network.body.block.ops):
        return False
    return sum(math.prod(snn.tensor_of(arg).get_shape()) for arg in network.body.block.args) <= _SMALL


@dataclass(frozen=True)
class _Argument:
    """A buffer of the kernel in numpy's words: the network's shape, a byte per spike; the content as it is stored."""

    role: str
    label: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    spikes: bool
    content: Array | None

    @staticmethod
    def of(argument: cpu.ArgumentAttr) -> _Argument:
        """What the attribute says."""
        kind, held, role = argument.tensor, argument.held, argument.role.data
        content = None if held is None else argument.filled().reshape(-1, 1) if role == "state" else array(held)
        spikes = kind.element_type == i1
        return _Argument(role, argument.label.data, kind.get_shape(), argument.dtype, spikes, content)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


_Parameters = list[tuple[int, int]]
"""What the first call is given for an argument, address and strides, and what each grows by from call to call."""


@dataclass
class _Calls:
    """Calls by number, what they are given, and memory that lives as long."""

    given: dict[int, _Parameters]
    numbers: range
    memory: tuple[Array, ...] = ()


class _Kernel:
    """Compiled code, its constants, and scratch memory for each thread."""

    @staticmethod
    def of(module: ModuleOp, inputs: str, record: tuple[str, ...], lanes: int) -> _Kernel:
        """Compile a `snn` module; the module stays as it is."""
        loops = module.clone()
        SnnSplitComponentsPass().apply(Context(), loops)
        ConvertSnnToLoopsPass(inputs, record, lanes).apply(Context(), loops)
        return _Kernel(loops)

    def __init__(self, module: ModuleOp):
        kernel = next(op for op in module.ops if isinstance(op, cpu.KernelOp))
        self.lanes = kernel.lanes.value.data
        self.arguments = [_Argument.of(argument) for argument in kernel.arguments]
        self.compiled: Compiled = load(object_of_loops(module), kernel.function.string_value())
        self.call = self.compiled.function([kernel.strides(argument) for argument in kernel.arguments])
        self.constants = {n: [_address(a.content)] for n, a in self.of_role("constant") if a.content is not None}
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
        """One call for each sample, or as many as stand side by side; missing states start at the beginning."""
        lanes, calls = self.lanes, -(-batch // self.lanes)
        rasters = {n: _raster(a, inputs.get(a.label), batch, lanes) for n, a in self.of_role("input")}
        lengths = {len(values) for values in rasters.values()}
        if len(lengths) > 1:
            listed = ", ".join(f"{quote(self.arguments[n].label)} {len(values)}" for n, values in rasters.items())
            raise DiagnosticException(f"inputs of unequal length: {listed} steps")
        steps = lengths.pop() if lengths else 0
        outputs = {n: self.output(a, steps, calls) for n, a in self.of_role("output")}
        given = dict(self.constants)
        for n, argument in self.of_role("state"):
            if argument.label not in states:
                states[argument.label] = self.first(argument, calls)
            values = states[argument.label]
            given[n] = [_address(values, values.strides[0])]
        threads = max(1, min(threads, calls))
        while len(self.scratch) < threads:
            own = {n: _aligned((max(1, a.size),), a.dtype) for n, a in self.of_role("scratch")}
            self.memory += own.values()
            self.scratch.append({n: [_address(values)] for n, values in own.items()})
        piece = steps if progress is None else -(-steps // _PIECES)
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, steps, piece or 1):
                part = slice(start, min(start + piece, steps))
                now = [{n: values[part] for n, values in held.items()} for held in (rasters, outputs)]
                jobs = self.jobs(given, now[0], now[1], batch, threads)
                if threads == 1:  # The pool starts threads where it has to.
                    self.calls(jobs[0], part.stop - start)
                else:
                    for done in [pool.submit(self.calls, job, part.stop - start) for job in jobs]:
                        done.result()
                if progress is not None:
                    progress(part.stop)
        return {self.arguments[n].label: self.result(n, values, batch) for n, values in outputs.items()}

    def jobs(
        self,
        given: Mapping[int, _Parameters],
        rasters: Mapping[int, Array],
        outputs: Mapping[int, Array],
        batch: int,
        threads: int,
    ) -> list[list[_Calls]]:
        """What each thread has to do over rasters [T, B, N]."""
        whole, rest = divmod(batch, self.lanes)
        shared = {**given, **{n: self.parameters(n, values) for n, values in (*rasters.items(), *outputs.items())}}
        bounds = [thread * whole // threads for thread in range(threads + 1)]
        parts = zip(self.scratch, pairwise(bounds), strict=False)
        jobs: list[list[_Calls]] = [[_Calls(shared | own, range(*ends))] for own, ends in parts]
        if rest:
            # Silent samples fill the last call.
            filled = {n: np.zeros((len(v), self.lanes, v.shape[2]), v.dtype) for n, v in rasters.items()}
            for n, values in filled.items():
                values[:, :rest] = rasters[n][:, -rest:]
            last = {n: [(first, 0) for first, _ in self.parameters(n, values)] for n, values in filled.items()}
            jobs[-1].append(_Calls(jobs[-1][0].given | last, range(whole, whole + 1), tuple(filled.values())))
        return jobs

    def calls(self, job: list[_Calls], steps: int) -> None:
        """A thread's calls, one after the other."""
        for part in job:
            parameters = [pair for n in range(len(self.arguments)) for pair in part.given[n]]
            for call in part.numbers:
                self.call(steps, *[first + call * more for first, more in parameters])

    def parameters(self, n: int, values: Array) -> _Parameters:
        """Those of a raster [T, B, N]."""
        steps, samples, elements = (stride // values.itemsize for stride in values.strides)
        strides = (steps,) if self.lanes == 1 else (steps, elements, samples)
        if self.arguments[n].role == "output":
            strides = strides[:2]
        return [_address(values, values.strides[1] * self.lanes), *((stride, 0) for stride in strides)]

    def output(self, argument: _Argument, steps: int, calls: int) -> Array:
        """A new raster [T, B, N] in the order of memory; of several samples, those of an element side by side."""
        if self.lanes == 1:
            return np.empty((steps, calls, argument.size), argument.dtype)
        return np.moveaxis(_aligned((steps, argument.size, calls * self.lanes), argument.dtype), 1, 2)

    def result(self, n: int, values: Array, batch: int) -> Array:
        """An output raster as the network orders and types it."""
        argument = self.arguments[n]
        values = values[:, :batch]
        if len(shape := argument.shape) == 3:
            values = np.moveaxis(values.reshape(*values.shape[:2], *shape[1:], shape[0]), -1, -3)
        else:
            values = values.reshape(*values.shape[:2], *shape)
        return values.view(np.bool_) if argument.spikes else values

    def first(self, argument: _Argument, calls: int) -> Array:
        """A state before the first step, for each call."""
        values = _aligned((calls, argument.size, self.lanes), argument.dtype)
        values[:] = argument.content
        return values


def _address(values: Array, step: int = 0) -> tuple[int, int]:
    return values.ctypes.data, step


def _raster(argument: _Argument, values: Array | None, batch: int, lanes: int) -> Array:
    """A raster [T, B, N] of the kernel's type; the user's own memory where it is so."""
    name = argument.label
    if values is None:
        raise DiagnosticException(f"no raster for the input {quote(name)}")
    if values.shape[1:] != (batch, *argument.shape):
        wanted = " x ".join(map(str, (batch, *argument.shape)))
        raise DiagnosticException(
            f"the raster of input {quote(name)} has the shape {shape_text(values.shape)}, must be steps x {wanted}"
        )
    given = values
    if argument.spikes and (values.dtype.char not in "?B" or values.max(initial=0) > 1):
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
    in_rows = lanes > 1 or flat.shape[2] < 2 or flat.strides[2] == flat.itemsize
    return flat if regular and in_rows else np.ascontiguousarray(flat)


def _aligned(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    """Zeros that start where a line of the cache does, so that no vector lies in two lines."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + _LINE, np.uint8)
    first = -memory.ctypes.data % _LINE
    return memory[first : first + size].view(dtype).reshape(shape)
