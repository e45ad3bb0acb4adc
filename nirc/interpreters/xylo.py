"""The `xylo` evaluators: the chip's integer dynamics, bit-exact with the vendor's simulator (xylosim 0.1.3, v2), and
the same network in real numbers, before anything is rounded.

One step as the dialect's header states it, with a batch axis in front; states are int64 arrays in the range of int16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import xylo
from nirc.dialects.dense import Array
from nirc.dialects.xylo import XyloLimits
from nirc.interpreters.events import event_counts, refuse_unknown

_LOW, _HIGH = -32768, 32767


def _sat(x: Array) -> Array:
    return np.minimum(np.maximum(x, _LOW), _HIGH)


def _wrap(x: Array) -> Array:
    return (x - _LOW) % 65536 + _LOW


def _decay(x: Array, dash: Array) -> Array:
    """What a state loses in a step; every state that is not 0 moves by at least 1."""
    lost = x >> dash
    return np.where((lost == 0) & (x > 0), 1, lost)


@dataclass(frozen=True)
class _Delivery:
    """Weights of one kind of source, in the units of the current: [source, target]."""

    weights: Array
    up: Array
    down: Array
    """The positive and the negative ones, in f64, whose products are fast and exact."""

    @staticmethod
    def of(weights: Array, shift: int) -> _Delivery:
        wide = _wrap(weights.astype(np.int64) << shift)
        return _Delivery(wide, np.maximum(wide, 0).astype(float), np.minimum(wide, 0).astype(float))

    def deliver(self, current: Array, counts: Array, most: int) -> tuple[Array, int]:
        """current + counts * weights, source by source, saturating after each; and how often it did."""
        counts = np.minimum(counts, most)
        active = np.flatnonzero(counts.any(axis=0))
        if not active.size:
            return current, 0
        spikes = counts[:, active].astype(float)
        up, down = spikes @ self.up[active], spikes @ self.down[active]
        result = current + (up + down).astype(np.int64)
        # The order of the sources matters only where some of them could take the current out of its range.
        far = np.nonzero((current + up > _HIGH) | (current + down < _LOW))
        value, saturated = current[far], 0
        if value.size:
            samples, targets = far
            for source in active:
                wide = value + counts[samples, source] * self.weights[source, targets]
                value = _sat(wide)
                saturated += int(np.count_nonzero(wide != value))
            result[far] = value
        return result, saturated


@dataclass(frozen=True, eq=False)
class _Neurons:
    """The parameters of a population, and its integration over one step."""

    dash_mem: Array
    dash_syn: Array
    threshold: Array
    bias: Array | None
    one_addition: bool
    """Core v1: v = sat(v - decay(v) + i) at once, without a bias."""

    @staticmethod
    def of(part: xylo.HiddenOp | xylo.ReadoutOp, limits: XyloLimits, *, biased: bool) -> _Neurons:
        dash_mem, dash_syn, threshold, bias = (
            part.numbers(name).astype(np.int64) for name in ("dash_mem", "dash_syn", "threshold", "bias")
        )
        dash_syn = dash_syn if dash_syn.ndim == 2 else dash_syn[:, None]
        return _Neurons(dash_mem, dash_syn, threshold, bias if biased else None, not limits.bias)

    def integrate(self, v: Array, current: Array) -> Array:
        """The membrane before it fires."""
        if self.one_addition:
            return _sat(v - _decay(v, self.dash_mem) + current)
        lost = _decay(v, self.dash_mem)
        change = _sat(current - np.where(lost == _LOW, _HIGH + 1, lost))
        if self.bias is not None:
            change = _sat(change + self.bias)
        return _sat(v + change)


def _fire(v: Array, threshold: Array, fired: Array, most: int) -> tuple[Array, Array]:
    """Subtract the threshold while v is not below it, `most` times at most, `fired` spikes being there already."""
    if np.all(threshold > 0):
        new = np.minimum(np.maximum(v, 0) // threshold, np.maximum(most - fired, 0))
        return v - new * threshold, fired + new
    fired = np.broadcast_to(fired, v.shape).copy()
    v = v.copy()
    while np.any(more := (v >= threshold) & (fired < most)):
        v = np.where(more, _wrap(v - threshold), v)
        fired += more
    return v, fired


class XyloEvaluator:
    """Runs a quantized network over rasters of event counts; states stay between calls until `reset`.

    record: keys `node.spikes`, `node.v`, `node.i` (and `node.i2`) of the network's layers; Vmem after the reset,
    Isyn after the decay, as the vendor's simulator records them. The output of a layer that is read by its membrane is
    Vmem, in LSB.
    """

    STATE: ClassVar[type[np.generic]] = np.int16
    """What recorded states are."""

    def __init__(self, network: xylo.NetworkOp, batch: int = 1, record: tuple[str, ...] = ()):
        self.network, self.batch = network, batch
        self.synapses = network.synapses
        self.prepare(network)
        self.keys = self._known_keys()
        refuse_unknown(record, self.keys, (name.data for name in network.readout.outputs))
        self.record = record
        self.dropped = self.saturated = 0
        self.reset()

    def prepare(self, network: xylo.NetworkOp) -> None:
        """Bring the parameters into the shape that a step takes them in."""
        if not network.hidden.quantized():
            raise DiagnosticException("the network holds real numbers; run xylo-quantize before the evaluator")
        hidden, readout = network.hidden, network.readout
        reach, reads = network.input.numbers("weights").shape[1], readout.numbers("weights").shape[0]
        n = hidden.size
        self._inputs = [
            _Delivery.of(
                np.pad(network.input.numbers("weights")[:, :, s], ((0, 0), (0, n - reach))),
                network.input.weight_shift.value.data,
            )
            for s in range(self.synapses)
        ]
        shift = hidden.weight_shift.value.data
        self._recurrent = [_Delivery.of(hidden.numbers("weights")[:, :, s], shift) for s in range(self.synapses)]
        weights_out = np.pad(readout.numbers("weights"), ((n - reads, 0), (0, 0)))
        self._readout = _Delivery.of(weights_out, readout.weight_shift.value.data)
        self._aliases = hidden.alias_targets() if max(hidden.alias_targets()) >= 0 else ()
        biased = network.limits.bias and any(np.any(part.numbers("bias")) for part in (hidden, readout))
        self._hidden = _Neurons.of(hidden, network.limits, biased=biased)
        self._out = _Neurons.of(readout, network.limits, biased=biased)

    def _known_keys(self) -> dict[str, tuple[str, slice]]:
        """Each key: the name of a state, and the layer's place in it."""
        keys = dict[str, tuple[str, slice]]()
        for part, suffix in ((self.network.hidden, ""), (self.network.readout, "_out")):
            for name, place in part.places().items():
                states = ("spikes", "v", "i", "i2") if self.synapses == 2 and not suffix else ("spikes", "v", "i")
                keys.update({f"{name}.{state}": (state + suffix, place) for state in states})
        return keys

    def losses(self) -> list[str]:
        """What was lost so far, as a user should hear it."""
        most = XyloLimits.INPUT_EVENTS
        lost = list[str]()
        if self.dropped:
            lost.append(
                f"{self.dropped} input events beyond {most} per channel and step were dropped, as the chip does"
            )
        if self.saturated:
            lost.append(f"states saturated at 16 bits {self.saturated} times, as on the chip; scale the weights down")
        return lost

    def reset(self) -> None:
        """All states and spikes to 0; nothing can be preloaded on the chip."""
        n, m = self.network.hidden.size, self.network.readout.size
        zeros = {"v": n, "i": n, "i2": n, "spikes": n, "v_out": m, "i_out": m, "spikes_out": m}
        self.state: dict[str, Array] = {name: np.zeros((self.batch, size), np.int64) for name, size in zeros.items()}

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N] of event counts by input name; returns spikes by output name and recorded keys."""
        events = self._events(inputs)
        readout = self.network.readout
        by_membrane = readout.read_by_membrane()
        watched = {
            name.data: f"{layer}.{'v' if layer in by_membrane else 'spikes'}"
            for name, layer in zip(readout.outputs, readout.sizes(), strict=True)
        }
        watched |= {key: key for key in self.record}
        rasters = dict[str, Array]()
        for name, key in watched.items():
            place = self.keys[key][1]
            dtype = self.STATE if name in self.record or key.endswith(".v") else np.uint8
            rasters[name] = np.zeros((len(events), self.batch, place.stop - place.start), dtype)
        for t, counts in enumerate(events):
            self.step(counts)
            for name, key in watched.items():
                state, place = self.keys[key]
                rasters[name][t] = self.state[state][:, place]
            if progress is not None:
                progress(t + 1)
        return rasters

    def _events(self, inputs: Mapping[str, Array]) -> Array:
        shapes = {name: (size,) for name, size in self.network.input.sizes().items()}
        parts = list(event_counts(inputs, shapes, self.batch, 255).values())
        events = np.concatenate(parts, axis=2)
        self.dropped += int(np.maximum(events - XyloLimits.INPUT_EVENTS, 0).sum())
        return events

    def step(self, counts: Array) -> None:
        """One time step; `counts` are events per channel [B, inputs]."""
        s = self.state
        before = s["spikes"]
        total = np.zeros_like(s["v"])
        for k, name in enumerate(("i", "i2")[: self.synapses]):
            current, first = self._inputs[k].deliver(s[name], counts, XyloLimits.INPUT_EVENTS)
            current, second = self._recurrent[k].deliver(current, before, XyloLimits.SPIKES)
            self.saturated += first + second
            s[name] = current - _decay(current, self._hidden.dash_syn[:, k])
            total = total + s[name]
        s["v"] = self._hidden.integrate(s["v"], total)
        self.saturated += int(np.count_nonzero(s["v"] >= _HIGH))
        self._fire_hidden()
        current, count = self._readout.deliver(s["i_out"], before, XyloLimits.SPIKES)
        s["i_out"] = current - _decay(current, self._out.dash_syn[:, 0])
        v = self._out.integrate(s["v_out"], s["i_out"])
        self.saturated += count + int(np.count_nonzero(s["v"] <= _LOW)) + int(np.count_nonzero(np.abs(v) >= _HIGH))
        s["v_out"], s["spikes_out"] = _fire(v, self._out.threshold, np.zeros(1, np.int64), 1)

    def _fire_hidden(self) -> None:
        """Spikes of the hidden neurons; an alias hands a neuron's spikes on, in ascending order of the neurons."""
        s, threshold = self.state, self._hidden.threshold
        if not self._aliases:
            s["v"], s["spikes"] = _fire(s["v"], threshold, np.zeros(1, np.int64), XyloLimits.SPIKES)
            return
        v, spikes = s["v"].copy(), np.zeros_like(s["v"])
        for n, target in enumerate(self._aliases):
            v[:, n], spikes[:, n] = _fire(v[:, n], threshold[n], spikes[:, n], XyloLimits.SPIKES)
            if target >= 0:
                spikes[:, target] = np.minimum(spikes[:, target] + spikes[:, n], XyloLimits.SPIKES)
        s["v"], s["spikes"] = v, spikes


class RealXyloEvaluator(XyloEvaluator):
    """Runs a network of real numbers with the chip's latencies, without its widths: what quantization is measured by.

    i = b i + W n (+ what the second synapse adds);  v = a v + i + bias;  z = v > threshold;  v = v - z threshold
    with a = 1 - 2^-dash_mem, b = 1 - 2^-dash_syn: the spikes of the `snn` network that it was made of, each layer of
    neurons a step later than the one before.
    """

    STATE = np.float64

    def prepare(self, network: xylo.NetworkOp) -> None:
        if network.hidden.quantized() or network.synapses != 1:
            raise DiagnosticException("the network must hold real numbers and have one synapse per neuron")
        hidden, readout = network.hidden, network.readout
        reach, reads = network.input.numbers("weights").shape[1], readout.numbers("weights").shape[0]
        self._into = np.pad(network.input.numbers("weights")[:, :, 0], ((0, 0), (0, hidden.size - reach)))
        self._among = hidden.numbers("weights")[:, :, 0]
        self._onto = np.pad(readout.numbers("weights"), ((hidden.size - reads, 0), (0, 0)))
        self._decays = {
            part: tuple(1 - 2.0 ** -part.numbers(name).reshape(part.size) for name in ("dash_mem", "dash_syn"))
            for part in (hidden, readout)
        }

    def reset(self) -> None:
        super().reset()
        self.state = {name: values.astype(float) for name, values in self.state.items()}

    def step(self, counts: Array) -> None:
        before = self.state["spikes"]
        self.advance(self.network.hidden, "", counts @ self._into + before @ self._among)
        self.advance(self.network.readout, "_out", before @ self._onto)

    def advance(self, part: xylo.HiddenOp | xylo.ReadoutOp, suffix: str, arriving: Array) -> None:
        """One population's step; a layer that is read by its membrane does not fire."""
        s, (a, b), threshold = self.state, self._decays[part], part.numbers("threshold")
        s["i" + suffix] = b * s["i" + suffix] + arriving
        v = a * s["v" + suffix] + s["i" + suffix] + part.numbers("bias")
        fires = (v > threshold) & ~part.silent()
        s["v" + suffix], s["spikes" + suffix] = v - fires * threshold, fires.astype(float)


class QuickXyloEvaluator(XyloEvaluator):
    """The chip's dynamics in f64 with one saturation a step instead of one per source: to try out many configurations.

    Equal to the chip wherever no sum leaves 16 bits on its way; for one synapse, no aliases, thresholds above 0 (what
    rounds to 0 counts as 1 here, `xylo-quantize` refuses it).
    """

    def prepare(self, network: xylo.NetworkOp) -> None:
        super().prepare(network)
        self._matrices = [
            (delivery.up + delivery.down) for delivery in (self._inputs[0], self._recurrent[0], self._readout)
        ]
        self._factors = {
            part: (
                0.5**part.dash_mem,
                0.5 ** part.dash_syn[:, 0],
                0.0 if part.bias is None else part.bias,
                np.maximum(part.threshold, 1),
            )
            for part in (self._hidden, self._out)
        }

    def reset(self) -> None:
        super().reset()
        self.state = {name: values.astype(float) for name, values in self.state.items()}

    def step(self, counts: Array) -> None:
        into, among, onto = self._matrices
        before = self.state["spikes"]
        self.advance(
            self._hidden, "", np.minimum(counts, XyloLimits.INPUT_EVENTS) @ into + before @ among, XyloLimits.SPIKES
        )
        self.advance(self._out, "_out", before @ onto, 1)

    def advance(self, part: _Neurons, suffix: str, arriving: Array, most: int) -> None:
        """One population's step."""
        s, (mem, syn, bias, threshold) = self.state, self._factors[part]
        i = _sat(s["i" + suffix] + arriving)
        s["i" + suffix] = i = i - _lost(i, syn)
        v = s["v" + suffix]
        v = _sat(v - _lost(v, mem) + i + bias)
        fired = np.minimum(np.maximum(v // threshold, 0), most)
        s["v" + suffix], s["spikes" + suffix] = v - fired * threshold, fired


def _lost(x: Array, factor: Array) -> Array:
    """What a state of whole numbers in f64 loses in a step."""
    lost = np.floor(x * factor)
    return np.where(x > 0, np.maximum(lost, 1), lost)
