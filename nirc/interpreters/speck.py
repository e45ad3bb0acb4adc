"""The `speck` evaluators: the vendor's time-stepped model, and the event-driven one of the chip's documentation.

Both as the dialect's header states them, layer by layer over chunks of steps: spikes only go on, so a layer's input is
complete before it runs. They differ where a layer gets several events in a step, and each says which one it is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import speck
from nirc.dialects.dense import Array
from nirc.dialects.nir import integers
from nirc.interpreters.events import event_counts, refuse_unknown

_CHUNK = 1 << 22
"""Values of the largest layer's raster that are held at once."""


class SpeckEvaluator(ABC):
    """Runs a quantized network over rasters of event counts; membranes stay between calls until `reset`.

    record: keys `node.spikes` and `node.v` of the network's layers, [F, rows, columns], v after the step.
    """

    about: ClassVar[str]
    """Which model it is, as a prediction names it."""
    KIND: ClassVar[type[np.generic]] = np.int64
    """What membranes are."""

    def __init__(self, network: speck.NetworkOp, batch: int = 1, record: tuple[str, ...] = ()):
        self.network, self.batch, self.record = network, batch, record
        self.layers = network.layers()
        self.prepare()
        keys = [f"{name}.{state}" for name in self.layers for state in ("spikes", "v")]
        refuse_unknown(record, keys, (port.node.data for port in network.outputs))
        self.reset()

    def prepare(self) -> None:
        """Refuse what this evaluator cannot run."""
        if not all(op.quantized() for op in self.layers.values()):
            raise DiagnosticException("the network holds real numbers; run speck-quantize before the evaluator")

    def reset(self) -> None:
        """All membranes to their initial values."""
        self.v = {name: np.zeros((self.batch, *op.given), self.KIND) for name, op in self.layers.items()}
        for name, op in self.layers.items():
            if op.initial is not None:
                self.v[name][:] = op.numbers("initial")

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] of event counts by input name; returns spike counts by output name and recorded
        keys."""
        ports = {port.node.data: integers(port.shape) for port in self.network.inputs}
        counts = event_counts(inputs, ports, self.batch, 2**31 - 1)
        steps = len(next(iter(counts.values())))
        largest = max(math.prod(shape) for op in self.layers.values() for shape in (op.taken, op.given))
        chunk = max(1, _CHUNK // (largest * self.batch))
        watched = {port.node.data: f"{port.layer.data}.spikes" for port in self.network.outputs}
        watched |= {key: key for key in self.record}
        shapes = {port.node.data: integers(port.shape) for port in self.network.outputs}
        shapes |= {key: self.layers[key.rpartition(".")[0]].given for key in self.record}
        states = self.KIND if self.KIND is np.float64 else np.int32
        rasters = {
            name: np.zeros((steps, self.batch, *shape), states if watched[name].endswith(".v") else np.int32)
            for name, shape in shapes.items()
        }
        for start in range(0, steps, chunk):
            found = self.advance({name: raster[start : start + chunk] for name, raster in counts.items()})
            stop = min(start + chunk, steps)
            for name, key in watched.items():
                rasters[name][start:stop] = found[key].reshape(stop - start, self.batch, *shapes[name])
            if progress is not None:
                progress(stop)
        return rasters

    @abstractmethod
    def advance(self, counts: Mapping[str, Array]) -> dict[str, Array]:
        """Some steps; returns `layer.spikes` of all layers and recorded `layer.v`, [T, B, F, rows, columns]."""

    def keeps_v(self, name: str) -> bool:
        """Whether a layer's membranes are recorded."""
        return f"{name}.v" in self.record


class SteppedSpeckEvaluator(SpeckEvaluator):
    """The vendor's software model, bit-exact with sinabs' DynapcnnNetwork: all events of a step at once."""

    about = "stepped: all events of a step at once and several spikes of a neuron, as the vendor's software has it"
    beyond = 0
    """How often a membrane passed the chip's 16 bits, which this model does not have."""

    def losses(self) -> list[str]:
        """What the chip could not hold, as a user should hear it."""
        if not self.beyond:
            return []
        return [f"membranes left 16 bits {self.beyond} times, which the model does not have; use smaller weights"]

    def advance(self, counts: Mapping[str, Array]) -> dict[str, Array]:
        sources = self.network.sources()
        found = dict[str, Array]()
        for name, op in self.layers.items():
            arriving = np.zeros((len(next(iter(counts.values()))), self.batch, *op.taken))
            for port in self.network.inputs:
                if port.layer.data == name:
                    arriving += counts[port.node.data].reshape(arriving.shape)
            for source, destination in sources[name]:
                shift = destination.feature_shift.value.data
                place = arriving[:, :, shift : shift + source.given[0]]
                place += _pooled(found[f"{source.node.data}.spikes"], destination.pooling.value.data)
            found[f"{name}.spikes"], v = self.integrate(name, op, _convolved(op, arriving).astype(self.KIND))
            if self.keeps_v(name):
                found[f"{name}.v"] = v
        return found

    def integrate(self, name: str, op: speck.CoreOp, current: Array) -> tuple[Array, Array]:
        """The neurons of a layer over some steps; current becomes the membranes after each."""
        theta, low = self.bounds(op)
        if self.ticks(op):
            current += op.numbers("biases")[:, None, None]
        spikes = np.zeros(current.shape, np.int32)
        v = self.v[name]
        for t in range(len(current)):
            v = v + current[t]
            self.beyond += int(np.count_nonzero(v > speck.LIMITS.initial[1]))
            spikes[t] = np.maximum(v, 0) // theta
            v = np.where(spikes[t] > 0, 0, v) if op.return_to_zero is not None else v - spikes[t].astype(int) * theta
            v = np.maximum(v, low)
            current[t] = v
        self.v[name] = v
        return spikes, current

    def bounds(self, op: speck.CoreOp) -> tuple[Any, Any]:
        """The threshold, and what v cannot fall below."""
        return int(op.numbers("threshold_high")), int(op.numbers("threshold_low"))

    def ticks(self, op: speck.CoreOp) -> bool:
        """Whether the biases act."""
        return op.leak is not None


class RealSpeckEvaluator(SteppedSpeckEvaluator):
    """Runs a network of real numbers as the stepped model does: what quantization is measured by."""

    about = "stepped, in real numbers"
    KIND = np.float64

    def prepare(self) -> None:
        if any(op.quantized() for op in self.layers.values()):
            raise DiagnosticException("the network must hold real numbers")

    def bounds(self, op: speck.CoreOp) -> tuple[Any, Any]:
        low = -np.inf if op.threshold_low is None else float(op.numbers("threshold_low"))
        return float(op.numbers("threshold_high")), low

    def ticks(self, op: speck.CoreOp) -> bool:
        return True


def _pooled(spikes: Array, pooling: int) -> Array:
    """Sums over pooling x pooling places; rows and columns that do not fill one are dropped."""
    if pooling == 1:
        return spikes
    *lead, rows, columns = spikes.shape
    rows, columns = rows // pooling, columns // pooling
    kept = spikes[..., : rows * pooling, : columns * pooling]
    return kept.reshape(*lead, rows, pooling, columns, pooling).sum(axis=(-3, -1))


def _convolved(op: speck.CoreOp, x: Array) -> Array:
    """The layer's convolution of [T, B, C, rows, columns], tap by tap in f64, whose integers are exact below 2^53."""
    (down, right), (pad_y, pad_x) = integers(op.stride), integers(op.padding)
    steps, batch, channels = x.shape[:3]
    _, rows, columns = op.given
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    weights = op.numbers("weights").astype(float)
    y = np.zeros((steps, batch, len(weights), rows * columns))
    for tap_y in range(op.kernel):
        for tap_x in range(op.kernel):
            last_y, last_x = tap_y + down * (rows - 1) + 1, tap_x + right * (columns - 1) + 1
            seen = x[..., tap_y:last_y:down, tap_x:last_x:right]
            if seen.any():
                y += weights[:, :, tap_y, tap_x] @ seen.reshape(steps, batch, channels, -1)
    return y.reshape(steps, batch, -1, rows, columns)


@dataclass(frozen=True)
class _Stream:
    """Events in order: `cause`, the input event or tick of the clock that each goes back to; `at`, its flat index."""

    cause: Array
    at: Array


class EventSpeckEvaluator(SpeckEvaluator):
    """The chip's model: event after event, at most one spike of a neuron for each.

    The events of a step come in the order of inputs, features, rows, columns; where some have counts above 1, once more
    for the rest of those, and so on. Where a layer has biases each step ends with a tick of the slow clock: all layers
    add theirs, then the spikes of that go on, the last neuron's first. Spikes of one event leave in the order of rows,
    columns, features. Where several layers feed one, events follow what caused them, then the layers' order. Counts
    are equal to nirc's specification of Speck on its cases; that the chip takes this order is not verified.
    """

    about = "events: event by event, one spike of a neuron for each, as the chip's documentation has it (unverified)"

    def __init__(self, network: speck.NetworkOp, batch: int = 1, record: tuple[str, ...] = ()):
        self.cores = {name: _Core(op) for name, op in network.layers().items()}
        super().__init__(network, batch, record)

    def advance(self, counts: Mapping[str, Array]) -> dict[str, Array]:
        steps = len(next(iter(counts.values())))
        found = {
            f"{name}.spikes": np.zeros((steps, self.batch, *op.given), np.int32) for name, op in self.layers.items()
        }
        kept = [name for name in self.layers if self.keeps_v(name)]
        found |= {f"{name}.v": np.zeros_like(found[f"{name}.spikes"]) for name in kept}
        for sample in range(self.batch):
            self.sample({name: raster[:, sample] for name, raster in counts.items()}, sample, found)
        return found

    def sample(self, counts: Mapping[str, Array], sample: int, found: dict[str, Array]) -> None:
        """One sample's steps, layer by layer."""
        steps = len(next(iter(counts.values())))
        streams, ends = _streams(counts)
        sources, spikes = self.network.sources(), dict[str, _Stream]()
        for name, op in self.layers.items():
            parts = [streams[port.node.data] for port in self.network.inputs if port.layer.data == name]
            parts += [_sent(source, to, op, spikes[source.node.data]) for source, to in sources[name]]
            if op.leak is not None:
                parts.insert(0, _Stream(ends, np.full(steps, -1)))
            arriving = _merged(parts)
            core = self.cores[name]
            core.v[:] = self.v[name][sample].transpose(1, 2, 0)
            if self.keeps_v(name):
                bounds = np.searchsorted(arriving.cause, ends, side="right").tolist()
                out = list[_Stream]()
                for t, (start, stop) in enumerate(zip([0, *bounds[:-1]], bounds, strict=True)):
                    out.append(core.run(_Stream(arriving.cause[start:stop], arriving.at[start:stop])))
                    found[f"{name}.v"][t, sample] = core.v.transpose(2, 0, 1)
                spikes[name] = _joined(out)
            else:
                spikes[name] = core.run(arriving)
            self.v[name][sample] = core.v.transpose(2, 0, 1)
            step = np.searchsorted(ends, spikes[name].cause, side="left")
            size = math.prod(op.given)
            tally = np.bincount(step * size + spikes[name].at, minlength=steps * size)
            found[f"{name}.spikes"][:, sample] = tally.reshape(steps, *op.given)


def _joined(parts: list[_Stream]) -> _Stream:
    empty = np.zeros(0, np.int64)
    return _Stream(*(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in ("cause", "at")))


def _merged(parts: list[_Stream]) -> _Stream:
    """Several streams in the order of their causes, then in that of the parts."""
    whole = _joined(parts)
    if len(parts) < 2:
        return whole
    order = np.argsort(whole.cause, kind="stable")
    return _Stream(whole.cause[order], whole.at[order])


def _streams(counts: Mapping[str, Array]) -> tuple[dict[str, _Stream], Array]:
    """Each input's events, and the number of each step's last cause: the tick, or the end of its events."""
    steps = len(next(iter(counts.values())))
    flat = [raster.reshape(steps, -1) for raster in counts.values()]
    whole = np.concatenate(flat, axis=1)
    step, at = np.nonzero(whole)
    times = whole[step, at]
    step, at = np.repeat(step, times), np.repeat(at, times)
    first: Array = np.cumsum(times) - times
    again: Array = np.arange(len(step)) - np.repeat(first, times)
    order = np.lexsort([at, again, step])
    step, at = step[order], at[order]
    # A cause is an event's place in the whole sequence, in which each step ends with a tick, whether it acts or not.
    cause = np.arange(len(step)) + step
    ends = np.searchsorted(step, np.arange(steps), side="right") + np.arange(steps)
    streams, start = dict[str, _Stream](), 0
    for name, raster in zip(counts, flat, strict=True):
        mine = (at >= start) & (at < start + raster.shape[1])
        streams[name] = _Stream(cause[mine], at[mine] - start)
        start += raster.shape[1]
    return streams, ends


def _sent(source: speck.CoreOp, destination: speck.DestinationAttr, target: speck.CoreOp, spikes: _Stream) -> _Stream:
    """Spikes as they arrive: pooled, shifted, those beyond the pooled map dropped."""
    pooling, shift = destination.pooling.value.data, destination.feature_shift.value.data
    feature, row, column = np.unravel_index(spikes.at, source.given)
    row, column = row // pooling, column // pooling
    _, rows, columns = target.taken
    kept = (row < rows) & (column < columns)
    at = np.ravel_multi_index((feature[kept] + shift, row[kept], column[kept]), target.taken)
    return _Stream(spikes.cause[kept], at)


class _Core:
    """A core's membranes and weights, in the order in which it goes through them: features last."""

    def __init__(self, op: speck.CoreOp):
        features, rows, columns = op.given
        (stride_y, stride_x), (pad_y, pad_x) = integers(op.stride), integers(op.padding)
        self.v = np.zeros((rows, columns, features), np.int32)
        self.numbers = np.arange(self.v.size).reshape(op.given).transpose(1, 2, 0).ravel()
        self.weights = np.ascontiguousarray(op.numbers("weights").transpose(1, 2, 3, 0).astype(np.int32))
        self.biases = np.ascontiguousarray(op.numbers("biases").astype(np.int32))
        self.geometry = {
            "in_rows": op.taken[1],
            "in_columns": op.taken[2],
            "k": op.kernel,
            "stride_y": stride_y,
            "stride_x": stride_x,
            "pad_y": pad_y,
            "pad_x": pad_x,
            "rows": rows,
            "columns": columns,
            "features": features,
            "theta": int(op.numbers("threshold_high")),
            "low": int(op.numbers("threshold_low")),
            "zero": int(op.return_to_zero is not None),
        }

    def run(self, events: _Stream) -> _Stream:
        """Feed events; returns the spikes in order."""
        from nirc.interpreters.speck_events import run_core  # LLVM, which other uses of this file do without

        at = np.ascontiguousarray(events.at, np.int64)
        spikes, times = run_core(at, self.v, self.weights, self.biases, self.geometry)
        return _Stream(np.repeat(events.cause, times), self.numbers[spikes])


MODELS: dict[str, type[SpeckEvaluator]] = {"stepped": SteppedSpeckEvaluator, "events": EventSpeckEvaluator}
"""The models by the names that --model takes, the default first."""
