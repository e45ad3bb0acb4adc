"""The `spinnaker2` evaluators: the chip's ticks in float32, and the same network in real numbers, before anything is
rounded.

One tick as the dialect's header states it, with a batch axis in front. Sums of integer weights are exact, as the chip's
ring buffers are; each operation on states is rounded to float32. A spike of tick t with delay d is in the ring's slot
t + 1 + d.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import Array
from nirc.dialects.nir import integers
from nirc.dialects.spinnaker2 import LIMITS
from nirc.interpreters.events import event_counts, refuse_unknown

_STATES = ("spikes", "v", "i")

_FIRES: dict[str, Callable[[Array, Array], Array]] = {">=": np.greater_equal, ">": np.greater}


class _Projection:
    """The synapses of each source, side by side."""

    def __init__(self, op: s2.ProjectionOp, sources: int):
        synapses = op.synapses()
        self.post, self.weight, self.delay = synapses.post, synapses.weight.astype(float), synapses.delay
        self.starts = np.searchsorted(synapses.pre, np.arange(sources + 1))
        self.post_name = op.post.data
        self.read = np.diff(self.starts) > 0

    def of(self, sources: Array) -> tuple[Array, Array]:
        """The places of all synapses of some sources, and which of them each belongs to."""
        counts = self.starts[sources + 1] - self.starts[sources]
        which = np.repeat(np.arange(len(sources)), counts)
        first = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) - first[which] + self.starts[sources][which]
        return places, which


@dataclass(eq=False)
class _Neurons:
    """A population's parameters, states [B, N], and what is on its way: [slot, excitatory or inhibitory, B, N]."""

    op: s2.PopulationOp
    numbers: dict[str, Array]
    states: dict[str, Array] = field(default_factory=dict[str, Array])
    ring: Array = field(default_factory=lambda: np.zeros(0))


class Spinnaker2Evaluator:
    """Runs a quantized network over rasters of spikes; states stay between calls until `reset`.

    record: keys `node.spikes`, `node.v`, `node.i` (of populations with currents) in the shape of the node, in the
    chip's units, v after the reset. A layer is some ticks late, as on the chip: nothing is shifted back.
    """

    FLOAT: ClassVar[type[np.floating[Any]]] = np.float32

    def __init__(self, network: s2.NetworkOp, batch: int = 1, record: tuple[str, ...] = ()):
        self.network, self.batch = network, batch
        self.prepare()
        populations = network.populations()
        keys = [
            f"{name}.{state}"
            for name, op in network.neurons().items()
            for state in _STATES
            if state != "i" or op.has_synapse
        ]
        refuse_unknown(record, keys, (port.node.data for port in network.outputs))
        self.record = record
        names = ("threshold", "alpha_decay", "i_offset", "v_init", "v_reset", "exc_decay", "inh_decay", "t_refrac")
        self.neurons = {
            name: _Neurons(op, {key: op.parameter(key).astype(self.FLOAT) for key in names})
            for name, op in network.neurons().items()
        }
        self.outgoing: dict[str, list[_Projection]] = {name: [] for name in populations}
        for op in network.projections():
            self.outgoing[op.pre.data].append(_Projection(op, populations[op.pre.data].size))
        self.slots = 1 + max((int(p.delay.max(initial=0)) for of in self.outgoing.values() for p in of), default=0)
        self.crowded = dict[str, int]()
        self.reset()

    def prepare(self) -> None:
        """Refuse what this evaluator cannot run."""
        if not self.network.quantized():
            raise DiagnosticException("the network holds real numbers; run spinnaker2-quantize before the evaluator")

    def reset(self) -> None:
        """All states as before the first tick; nothing is on its way."""
        self.tick = 0
        for one in self.neurons.values():
            shape = (self.batch, one.op.size)
            one.states = {
                "v": np.broadcast_to(one.numbers["v_init"], shape).copy(),
                **{name: np.zeros(shape, self.FLOAT) for name in ("exc", "inh", "refractory")},
                "spikes": np.zeros(shape, np.bool_),
            }
            one.ring = np.zeros((self.slots, 2, *shape), float)

    def losses(self) -> list[str]:
        """What may be lost on a board, as a user should hear it."""
        return [
            f"'{name}' receives up to {most} spikes in a tick, the buffer of an older version holds {LIMITS.packets}"
            for name, most in self.crowded.items()
        ]

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] of 0 and 1 by input name; returns spikes by output name and recorded keys."""
        shapes = {port.node.data: integers(port.shape) for port in self.network.inputs}
        events = event_counts(inputs, shapes, self.batch, 1)
        ticks = len(next(iter(events.values()))) if events else 0
        given = {
            port.population.data: events[port.node.data].reshape(ticks, self.batch, -1) for port in self.network.inputs
        }
        watched = {
            port.node.data: (port.population.data, "spikes", integers(port.shape)) for port in self.network.outputs
        }
        for key in self.record:
            name, _, state = key.rpartition(".")
            watched[key] = (name, state, integers(self.neurons[name].op.shape))
        rasters = {
            key: np.zeros((ticks, self.batch, *shape), np.uint8 if state == "spikes" else self.FLOAT)
            for key, (_, state, shape) in watched.items()
        }
        for t in range(ticks):
            self.step({name: raster[t] for name, raster in given.items()})
            for key, (name, state, _) in watched.items():
                rasters[key][t] = self.state(name, state).reshape(rasters[key].shape[1:])
            if progress is not None:
                progress(t + 1)
        return rasters

    def state(self, name: str, state: str) -> Array:
        """A population's state, [B, N]."""
        states = self.neurons[name].states
        return states["exc"] - states["inh"] if state == "i" else states[state]

    def step(self, inputs: Mapping[str, Array]) -> None:
        """One tick; `inputs` by population, [B, N]."""
        slot = self.tick % self.slots
        for one in self.neurons.values():
            arriving = one.ring[slot].astype(self.FLOAT)
            one.ring[slot] = 0
            self.integrate(one, arriving[0], arriving[1])
        self.tick += 1
        sent = {**inputs, **{name: one.states["spikes"] for name, one in self.neurons.items()}}
        received = dict[str, Array]()
        for name, spikes in sent.items():
            self.send(name, spikes, received)
        for name, counts in received.items():
            if (most := int(counts.max())) > max(LIMITS.packets, self.crowded.get(name, 0)):
                self.crowded[name] = most

    def integrate(self, one: _Neurons, excitatory: Array, inhibitory: Array) -> None:
        """One tick of a population, by the sums of weights that arrive."""
        p, states = one.numbers, one.states
        v, active = states["v"], None
        if one.op.has_synapse:
            states["exc"] = states["exc"] * p["exc_decay"] + excitatory
            states["inh"] = states["inh"] * p["inh_decay"] + inhibitory
            active = states["refractory"] <= 0
            integrated = v * p["alpha_decay"] + ((states["exc"] - states["inh"]) + p["i_offset"])
            v = np.where(active, integrated, v)
            states["refractory"] = np.where(active, states["refractory"], states["refractory"] - 1)
        else:
            v = (v * p["alpha_decay"] + p["i_offset"]) + (excitatory - inhibitory)
        fired = _FIRES[s2.COMPARE if one.op.strict is None else ">"](v, p["threshold"])
        assert one.op.reset is not None
        subtract = one.op.reset.data == "reset_by_subtraction"
        states["v"] = np.where(fired, v - p["threshold"] if subtract else p["v_reset"], v)
        states["refractory"] = np.where(fired, p["t_refrac"], states["refractory"])
        states["spikes"] = fired

    def send(self, name: str, spikes: Array, received: dict[str, Array]) -> None:
        """Put the weights of a population's spikes into the slots in which they arrive."""
        sample, source = np.nonzero(spikes)
        if not source.size:
            return
        for projection in self.outgoing[name]:
            target = self.neurons[projection.post_name]
            size = target.op.size
            places, which = projection.of(source)
            weights = projection.weight[places]
            slot = (self.tick + projection.delay[places]) % self.slots
            at = ((slot * 2 + (weights < 0)) * self.batch + sample[which]) * size + projection.post[places]
            target.ring += np.bincount(at, np.abs(weights), minlength=target.ring.size).reshape(target.ring.shape)
            counts = np.bincount(sample, projection.read[source], minlength=self.batch)
            received[projection.post_name] = received.get(projection.post_name, 0) + counts


class RealSpinnaker2Evaluator(Spinnaker2Evaluator):
    """Runs a network of real numbers with the chip's delays, without its widths: what quantization is measured by.

    Each layer gives the spikes of the `snn` network that it was made of, `late` ticks later.
    """

    FLOAT = np.float64

    def prepare(self) -> None:
        if self.network.quantized():
            raise DiagnosticException("the network must hold real numbers")
