"""The `loihi2` evaluators: the integer dynamics, bit-exact with Lava (lava-nc 0.10.0, `fixed_pt`), and the same network
in real numbers, before anything is rounded.

One step as the dialect's header states it, with a batch axis in front. In a step the connection processes send what
they computed in the last one, then the neurons run, then the connection processes take the spikes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import loihi2
from nirc.dialects.dense import Array, array
from nirc.dialects.nir import integers, quote
from nirc.interpreters.events import event_counts, refuse_unknown

_STATES = ("spikes", "v", "u")


def _int32(x: Array) -> Array:
    """x as 32 bits hold it, in int64."""
    return x.astype(np.int32).astype(np.int64)


def _leak(x: Array, keep: int) -> Array:
    """trunc(x keep / 4096)."""
    y = x * keep
    return (y + ((y >> 63) & 4095)) >> 12


class _Synapses(ABC):
    """A connection process at work: what it will send, step by step."""

    def __init__(self, graded: bool):
        self.graded = graded

    @abstractmethod
    def reset(self, batch: int) -> None:
        """Nothing is on its way."""

    @abstractmethod
    def send(self) -> Array:
        """What arrives at the targets in this step."""

    @abstractmethod
    def take(self, x: Array) -> None:
        """This step's inputs [B, ...]."""


class _Matrix(_Synapses):
    """Sums through a matrix for each delay, each shifted by the exponent, in a ring by the step in which they leave."""

    def __init__(self, op: loihi2.MatrixOp):
        super().__init__(op.graded)
        whole = op.quantized()
        weights = (op.effective() if whole else op.numbers("weights")).astype(float)
        delays = array(op.delays) if isinstance(op, loihi2.DelayDenseOp) else np.zeros(weights.shape, np.int32)
        self.exponent = op.weight_exp.value.data if whole else None
        self.parts = [(int(d), np.ascontiguousarray(np.where(delays == d, weights, 0).T)) for d in np.unique(delays)]
        self.ring = np.zeros((0, 0, len(weights)), np.int64 if whole else float)
        self.length = max(d for d, _ in self.parts) + 1

    def reset(self, batch: int) -> None:
        self.ring = np.zeros((self.length, batch, self.ring.shape[2]), self.ring.dtype)
        self.at = 0

    def send(self) -> Array:
        sent = self.ring[self.at].copy()
        self.ring[self.at] = 0
        self.at = (self.at + 1) % self.length
        return sent

    def take(self, x: Array) -> None:
        active = np.flatnonzero(x.any(axis=0))
        if not active.size:
            return
        seen = x[:, active].astype(float)
        for delay, weights in self.parts:
            self.ring[(self.at + delay) % self.length] += self.shifted(seen @ weights[active])

    def shifted(self, sums: Array) -> Array:
        """The sums by 2^exponent, in 32 bits."""
        if self.exponent is None:
            return sums
        whole = _int32(sums.astype(np.int64))
        return _int32(whole << self.exponent) if self.exponent > 0 else whole >> -self.exponent


class _Conv(_Synapses):
    """A convolution, tap by tap."""

    def __init__(self, op: loihi2.ConvOp):
        super().__init__(op.graded)
        self.op, self.whole = op, op.quantized()
        weight = op.numbers("weight").astype(float)
        self.groups = op.groups.value.data
        # [taps x, taps y, groups, channels, features], turned round: a tap at an offset of the image.
        parts = weight.reshape(self.groups, -1, *weight.shape[1:])
        self.taps = np.ascontiguousarray(parts.transpose(2, 3, 0, 4, 1)[::-1, ::-1])

    def reset(self, batch: int) -> None:
        self.pending = np.zeros((batch, *self.op.given), np.int64 if self.whole else float)

    def send(self) -> Array:
        return self.pending

    def take(self, x: Array) -> None:
        (sx, sy), (px, py), (dx, dy) = (integers(a) for a in (self.op.stride, self.op.padding, self.op.dilation))
        columns, rows, _ = self.op.given
        padded = np.pad(x.astype(float), ((0, 0), (px, px), (py, py), (0, 0)))
        padded = padded.reshape(*padded.shape[:3], self.groups, -1)
        sums = np.zeros((len(x), columns, rows, self.groups, self.taps.shape[-1]))
        for i in range(self.taps.shape[0]):
            for j in range(self.taps.shape[1]):
                x0, y0 = i * dx, j * dy
                seen = padded[:, x0 : x0 + sx * (columns - 1) + 1 : sx, y0 : y0 + sy * (rows - 1) + 1 : sy]
                if seen.any():
                    sums += np.einsum("bxygc,gcf->bxygf", seen, self.taps[i, j], optimize=True)
        flat = sums.reshape(len(x), *self.op.given)
        self.pending = ((flat.astype(np.int64) + (1 << 23)) % (1 << 24)) - (1 << 23) if self.whole else flat


def _working(op: loihi2.SynapsesOp) -> _Synapses:
    if isinstance(op, loihi2.ConvOp):
        return _Conv(op)
    assert isinstance(op, loihi2.MatrixOp)
    return _Matrix(op)


@dataclass(eq=False)
class _Neurons:
    """A population's parameters and state."""

    op: loihi2.NeuronsOp
    du: Any
    dv: Any
    vth: Any
    bias: Array
    u: Array
    v: Array
    spikes: Array

    @property
    def starts(self) -> tuple[Array, Array]:
        """u and v before the first step, in the shape of the population."""
        u, v = (
            np.zeros(self.op.given) if attr is None else np.broadcast_to(array(attr), self.op.given)
            for attr in (self.op.u, self.op.v)
        )
        return u, v


class Loihi2Evaluator:
    """Runs a quantized network over rasters of spikes; states stay between calls until `reset`.

    record: keys `node.spikes`, `node.v`, `node.u` of the network's neurons, in the order of the node (images: channels,
    rows, columns), v after the reset. The output of neurons that do not fire is v, in LSB.
    """

    KIND: ClassVar[type[np.generic]] = np.int64
    STATE: ClassVar[type[np.generic]] = np.int32
    """What recorded states are."""

    def __init__(self, network: loihi2.NetworkOp, batch: int = 1, record: tuple[str, ...] = ()):
        self.network, self.batch = network, batch
        self.prepare()
        self.nodes = network.nodes()
        self.keys = [f"{node}.{state}" for node in self.nodes for state in _STATES]
        refuse_unknown(record, self.keys, (port.node.data for port in network.outputs))
        self.record = record
        self.populations = {name: self.population(op) for name, op in network.neurons().items()}
        self.synapses = {name: _working(op) for name, op in network.synapses().items()}
        self.into: dict[str, list[loihi2.ConnectOp]] = {name: [] for name in network.processes()}
        for edge in network.connections():
            self.into[edge.target.data].append(edge)
        self.wrapped = self.saturated = self.merged = 0
        self.t = 0
        self.reset()

    def prepare(self) -> None:
        """Refuse what this evaluator cannot run."""
        if not self.network.quantized():
            raise DiagnosticException("the network holds real numbers; run loihi2-quantize before the evaluator")

    def population(self, op: loihi2.NeuronsOp) -> _Neurons:
        """The parameters of a population as a step takes them."""
        mant, exp = (np.broadcast_to(op.numbers(name), op.given).astype(np.int64) for name in ("bias_mant", "bias_exp"))
        bias = np.where(exp >= 0, mant << np.maximum(exp, 0), mant >> np.maximum(-exp, 0))
        du, dv, vth = (int(op.numbers(name)) for name in ("du", "dv", "vth"))
        empty = np.zeros(0)
        return _Neurons(op, du, dv, vth, bias, empty, empty, empty)

    def reset(self) -> None:
        """All states as before the first step; nothing is on its way."""
        self.t = 0
        for population in self.populations.values():
            shape = (self.batch, *population.op.given)
            population.u, population.v = (np.broadcast_to(x, shape).astype(self.KIND) for x in population.starts)
            population.spikes = np.zeros(shape, np.bool_)
        for synapses in self.synapses.values():
            synapses.reset(self.batch)

    def losses(self) -> list[str]:
        """What was lost so far, as a user should hear it."""
        lost = list[str]()
        if self.merged:
            told = "input events beyond one per value and step count as one, as on the chip"
            lost.append(f"{self.merged} {told}; --inputs graded lets them count as often as they say")
        if self.wrapped:
            lost.append(f"currents wrapped at 24 bits {self.wrapped} times, as on the chip; scale the weights down")
        if self.saturated:
            lost.append(f"membranes saturated at 24 bits {self.saturated} times, as on the chip")
        return lost

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] by input name; returns spikes by output name and recorded keys."""
        shapes = {name: op.given for name, op in self.network.inputs().items()}
        events = event_counts(inputs, shapes, self.batch, 2**31 - 1)
        self.refuse_large(events)
        binary = {edge.source.data for edge in self.network.connections() if not self._counts(edge.target.data)}
        self.merged += sum(int(np.maximum(events[name] - 1, 0).sum()) for name in events if name in binary)
        steps = len(next(iter(events.values()))) if events else 0
        watched = {port.node.data: (port.neurons.data, self.read(port.neurons.data)) for port in self.network.outputs}
        for key in self.record:
            node, _, state = key.rpartition(".")
            watched[key] = (node, state)
        rasters = dict[str, Array]()
        ports = {port.node.data: integers(port.shape) for port in self.network.outputs}
        for name, (node, state) in watched.items():
            shape = ports[name] if name in ports else self.nodes[node][0].whole_shape()
            dtype = self.STATE if name in self.record or state != "spikes" else np.uint8
            rasters[name] = np.zeros((steps, self.batch, *shape), dtype)
        for t in range(steps):
            self.step({name: raster[t] for name, raster in events.items()})
            for name, (node, state) in watched.items():
                rasters[name][t] = self.state(node, state).reshape(rasters[name].shape[1:])
            if progress is not None:
                progress(t + 1)
        return rasters

    def refuse_large(self, events: Mapping[str, Array]) -> None:
        """Raise DiagnosticException where a graded input does not fit its message; Lava's simulator takes any."""
        faults = dict[str, None]()
        for edge in self.network.connections():
            name, op = edge.source.data, self.network.synapses().get(edge.target.data)
            if name in events and op is not None and op.graded:
                most = (1 << op.num_message_bits.value.data) - 1
                if events[name].max(initial=0) > most:
                    told = f"graded inputs of {op.num_message_bits.value.data} bits, at most {most}"
                    faults[f"the raster of input {quote(name)} holds {events[name].max()}; {told}"] = None
        if faults:
            raise DiagnosticException("\n".join(faults))

    def _counts(self, target: str) -> bool:
        """Whether a process counts an input as often as it says."""
        return target not in self.synapses or self.synapses[target].graded

    def read(self, node: str) -> str:
        """The state of neurons that leaves the chip."""
        return "v" if self.nodes[node][0].silent is not None else "spikes"

    def state(self, node: str, state: str) -> Array:
        """A node's state, [B, flat]."""
        parts = self.nodes[node]
        if parts[0].members is None:
            return parts[0].in_node(getattr(self.populations[parts[0].process.data], state))
        whole = np.zeros((self.batch, int(np.prod(parts[0].whole_shape()))), self.KIND)
        for part in parts:
            assert part.members is not None
            whole[:, array(part.members)] = part.in_node(getattr(self.populations[part.process.data], state))
        return whole

    def step(self, inputs: Mapping[str, Array]) -> None:
        """One time step; `inputs` by name, [B, ...]."""
        self.t += 1
        sent: dict[str, Array] = {**inputs, **{name: synapses.send() for name, synapses in self.synapses.items()}}
        for name, population in self.populations.items():
            self.integrate(population, self.arriving(self.into[name], sent, population.u.shape))
            sent[name] = population.spikes
        taken = {name: self.arriving(self.into[name], sent, None) for name in self.synapses if self.into[name]}
        for name, x in taken.items():
            self.synapses[name].take(x if self.synapses[name].graded else x != 0)

    def arriving(self, edges: Iterable[loihi2.ConnectOp], sent: Mapping[str, Array], shape: Any) -> Array:
        """The sum over a process's connections."""
        total = np.zeros((), self.KIND) if shape is None else np.zeros(shape, self.KIND)
        for edge in edges:
            total = total + edge.apply(sent[edge.source.data])
        return total

    def clear(self, p: _Neurons) -> None:
        """LIFReset's reset, where it is due."""
        if isinstance(p.op, loihi2.LIFResetOp):
            interval = p.op.reset_interval.value.data
            if self.t % interval == p.op.reset_offset.value.data % interval:
                p.u, p.v = np.zeros_like(p.u), np.zeros_like(p.v)

    def integrate(self, p: _Neurons, a: Array) -> None:
        """One step of a population."""
        self.clear(p)
        most = loihi2.LIMITS.state
        u = _int32(_leak(p.u, 4096 - (p.du + 1)) + _int32(_int32(a) << 6))
        high, low = u > most + 1, u <= -most - 1
        if high.any() or low.any():
            self.wrapped += int(np.count_nonzero(high) + np.count_nonzero(low))
            u = u - (1 << 24) * high + (1 << 24) * low
        v = _leak(p.v, 4096 - p.dv) + u + p.bias
        if v.size and (v.max() > most or v.min() < -most):
            self.saturated += int(np.count_nonzero(np.abs(v) > most))
            v = np.clip(v, -most, most)
        p.u, p.spikes = u, v > (p.vth << 6)
        p.v = np.where(p.spikes, 0, v)


class RealLoihi2Evaluator(Loihi2Evaluator):
    """Runs a network of real numbers with the chip's delays, without its widths: what quantization is measured by.

    u = (1 - (du + 1) / 4096) u + a;  v = (1 - dv / 4096) v + u + bias;  s = v > vth;  v = 0 where s: each layer gives
    the spikes of the `snn` network that it was made of, `latency` steps later.

    peaks: the largest |u| and |v| of each population so far.
    """

    KIND = np.float64
    STATE = np.float64

    def prepare(self) -> None:
        if self.network.quantized():
            raise DiagnosticException("the network must hold real numbers")
        self.peaks = dict.fromkeys(self.network.neurons(), (0.0, 0.0))

    def population(self, op: loihi2.NeuronsOp) -> _Neurons:
        bias = np.broadcast_to(op.numbers("bias_mant"), op.given)
        empty = np.zeros(0)
        du, dv, vth = (float(op.numbers(name)) for name in ("du", "dv", "vth"))
        return _Neurons(op, du, dv, vth, bias, empty, empty, empty)

    def integrate(self, p: _Neurons, a: Array) -> None:
        self.clear(p)
        p.u = (1 - (p.du + 1) / 4096) * p.u + a
        v = (1 - p.dv / 4096) * p.v + p.u + p.bias
        spikes: Array = v > (p.vth if p.op.silent is None else np.inf)
        p.spikes, p.v = spikes, np.where(spikes, 0, v)
        name = p.op.process.data
        u, v = (float(np.abs(x).max(initial=most)) for x, most in zip((p.u, p.v), self.peaks[name], strict=True))
        self.peaks[name] = (u, v)
