"""The `nir` solver: what a graph of differential equations means, event by event, without steps.

Between events every state has a closed form (`flows`) or a Taylor series cut below rounding (`smooth`), so the instants
of spikes are exact but for rounding. NIR leaves open what an input value and a spike are; `nir-settle` says it:

    held       a raster's value is a current that lasts its step; a spike is a current of 1 that lasts dt
    impulse    a raster's value is the area of an impulse at the start of its step; a spike is an impulse of area 1

A bias is a constant current. A Threshold is 1 while its input is above it (held), or fires when its input passes it
from below (impulse). At an instant, in this order: states are sampled; those neurons fire together that reach their
threshold; what comes from outside or from Delays arrives together with their spikes; those fire that are above their
threshold then; their spikes arrive; and so on, until none is. Instants that rounding alone keeps apart are one. Spikes
take no time along an edge, so a loop in which each spike makes another one at once has no solution and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp, f64
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import nir
from nirc.dialects.dense import Array, shape_text, spread
from nirc.dialects.nir import listed, quote
from nirc.frontend.nir_data import Events
from nirc.interpreters.nir.flows import Current, Flow, Integrator, Leaky
from nirc.interpreters.nir.linear import shape_of
from nirc.interpreters.nir.plan import Plan, Target
from nirc.interpreters.nir.smooth import Smooth
from nirc.passes.convert_nir_to_snn.neurons import Neuron, integrator_gain
from nirc.passes.convert_nir_to_snn.schemes import Scheme, parse_scheme
from nirc.passes.convert_nir_to_snn.step import Step, stated_resets

_TOGETHER = 1e-13
"""Instants that differ by less, relatively, are one."""
_ENDLESS = 1000
"""Rounds of spikes at one instant after which it is said not to end."""
_SAMPLES = 256
"""Samples that are taken at once."""


@dataclass
class _Events:
    """The spikes at a place: instants, elements and steps of the raster, in the order of time."""

    times: list[Array] = field(default_factory=list[Array])
    elements: list[Array] = field(default_factory=list[Array])
    steps: list[Array] = field(default_factory=list[Array])

    def add(self, t: float, step: int, at: Array, counts: Array) -> None:
        """Elements fire, each so often."""
        elements = np.repeat(at, counts.astype(np.int64))
        self.elements.append(elements)
        self.times.append(np.full(elements.size, t))
        self.steps.append(np.full(elements.size, step))

    def taken(self) -> tuple[Array, Array, Array]:
        """Times, elements and steps of all since the last time."""
        parts = (self.times, self.elements, self.steps)
        arrays = [
            np.concatenate([np.zeros(0, kind), *part]) for part, kind in zip(parts, (float, int, int), strict=True)
        ]
        for part in parts:
            part.clear()
        return arrays[0], arrays[1], arrays[2]


def settled(module: ModuleOp) -> tuple[float, Scheme]:
    """The time step and the choices that `nir-settle` attached."""
    dt, spelling = nir.time_step(module), nir.settled_scheme(module)
    assert dt is not None
    assert spelling is not None, "nir-settle attaches both"
    return dt, parse_scheme(spelling)


def flow_of(step: Step, op: nir.NeuronOp) -> Flow:
    """The flow of a node under the choices of a step, from its initial state on."""
    neuron, shape = Neuron(step, op), shape_of(op.output)

    def numbers(name: str) -> Array:
        return spread(op.properties[name], shape).ravel()  # pyright: ignore[reportArgumentType]

    def full(values: Array) -> Array:
        values = values.reshape(()) if values.size == 1 else values
        return np.broadcast_to(values, shape).ravel().astype(np.float64)

    threshold, after, kind = np.full(shape, np.inf).ravel(), np.zeros(shape).ravel(), "zero"
    if op.SPIKING:
        threshold, kind = numbers("v_threshold"), neuron.reset_kind()
        v_reset = full(neuron["v_reset"])
        after = {"zero": 0 * v_reset, "v_reset": v_reset, "subtract": threshold - v_reset}[kind]
    common = (full(neuron.v_init()), threshold, after, kind == "subtract")
    match op:
        case nir.LIFOp() | nir.LIOp():
            return Leaky(*common, numbers("tau"), numbers("r"), numbers("v_leak"))
        case nir.CubaLIFOp() | nir.CubaLIOp():
            names = ("tau_mem", "tau_syn", "r", "v_leak", "w_in")
            return Current(*common, *map(numbers, names))
        case _:
            gain = full(integrator_gain(neuron))
            held = step.scheme["input"] == "held"
            return Integrator(*common, rate=gain / step.dt if held else gain, jump=gain)


@dataclass
class _Due:
    """What will arrive at some elements of a node: the end of a box of current, or what a Delay (`out`) held back."""

    node: nir.NodeOp
    at: Array
    values: Array
    out: bool = False
    spikes: bool = False


@dataclass
class _Round:
    """What changes together: levels and impulses at signals, what fires, and Thresholds to look at."""

    levels: dict[SSAValue, Array] = field(default_factory=dict[SSAValue, Array])
    impulses: dict[SSAValue, Array] = field(default_factory=dict[SSAValue, Array])
    ends: list[_Due] = field(default_factory=list[_Due])
    fired: dict[nir.NodeOp, Array] = field(default_factory=dict[nir.NodeOp, Array])
    turned: dict[nir.NodeOp, Array] = field(default_factory=dict[nir.NodeOp, Array])

    def __bool__(self) -> bool:
        return bool(self.levels or self.impulses or self.ends or self.fired or self.turned)


class _Sample:
    """One sample on its way through time."""

    def __init__(self, solver: NirSolver):
        self.solver, self.plan, self.dt, self.held = solver, solver.plan, solver.dt, solver.held
        self.now, self.done, self.stalled, self.started = 0.0, 0, 0, False
        self.flows: dict[nir.NodeOp, Flow] = {op: flow_of(solver.step, op) for op in self.plan.neurons}
        self.closed = {op: flow for op, flow in self.flows.items() if op not in set(self.plan.smooth)}
        self.crossings = {op: np.full(flow.v.size, np.inf) for op, flow in self.closed.items() if op.SPIKING}
        self.first = dict.fromkeys(self.crossings, np.inf)
        self.levels: dict[Target, Array] = {
            **{op: np.zeros(shape_of(op.output)).ravel() for op in self.plan.thresholds},
            **{n: np.zeros(shape_of(value)).ravel() for n, value in enumerate(self.plan.outputs)},
        }
        self.above: dict[nir.NodeOp, Array] = {op: np.zeros(self.levels[op].size, bool) for op in self.plan.thresholds}
        self.heights: dict[nir.NodeOp, Array] = {
            op: spread(op.threshold, shape_of(op.output)).ravel() for op in self.plan.thresholds
        }
        self.smooth = Smooth(self.plan, self.flows)
        for op in self.plan.watched:
            self.smooth.watch(op, self.levels[op], self.above[op], self.heights[op])
        self.heap: list[tuple[float, int, _Due]] = []
        self.order = count()
        self.seen: dict[SSAValue, Array] = {
            value: np.zeros(shape_of(value)) for value in self.plan.graph.body.block.args
        }
        self.events = {place: _Events() for place in solver.places}
        self.stale: dict[nir.NodeOp, list[Array]] = {}
        self.recent: dict[str, None] = {}

    def run(self, rasters: Mapping[SSAValue, Array], steps: int, progress: Callable[[int], None]) -> dict[Any, Array]:
        """Go on for so many steps of the rasters [T, N...]; returns what is sampled by key, and the impulses that
        arrived at the outputs, by index and step."""
        end, slack = (self.done + steps) * self.dt, _TOGETHER * (self.done + steps) * self.dt
        self.smooth.longest = max(steps, 1) * self.dt
        self.sampled: dict[Any, list[Array]] = {key: [] for key in self.solver.samples}
        self.bins = {n: np.zeros((steps, self.levels[n].size)) for n in range(len(self.plan.outputs))}
        self.taken, self.steps = 0, steps
        moments, at = self._moments(rasters, steps), 0
        while True:
            given = (self.done + moments[at]) * self.dt if at < len(moments) else np.inf
            outside = min(given, self.heap[0][0] if self.heap else np.inf)
            if outside >= end - slack:
                outside = np.inf  # what comes at the end belongs to the next run
            piece = self.smooth.next()
            crossing = min((self.smooth.hit[0], *self.first.values()))
            t = min(outside, crossing)
            if min(t, piece) > end + slack:
                break
            near = _TOGETHER * max(min(t, piece), self.dt)
            if piece < t - near:
                self._sample(piece, 0.0)
                self.smooth.move(piece)
                continue
            self._sample(t, near)
            begin = _Round()
            if given <= t + near:
                for value, raster in rasters.items():
                    if self.held:
                        begin.levels[value] = (raster[moments[at]] - self.seen[value])[None]
                        self.seen[value] = raster[moments[at]]
                    else:
                        begin.impulses[value] = raster[moments[at]][None]
                at += 1
            self._instant(t, near, begin, outside <= t + near)
            progress(self.taken)
        self._sample(end, slack)
        self.done += steps
        progress(steps)
        found: dict[Any, Array] = {key: np.concatenate(values) for key, values in self.sampled.items() if values}
        return {**found, **{("impulses", n): bins for n, bins in self.bins.items()}}

    def _moments(self, rasters: Mapping[SSAValue, Array], steps: int) -> Array:
        """The steps at whose start an input changes (held) or is not 0 (impulse); the very first one in any case."""
        changes = np.zeros(steps, bool)
        for value, raster in rasters.items():
            flat = raster.reshape(steps, -1).astype(np.float64)
            if self.held and steps:
                flat = np.diff(flat, axis=0, prepend=self.seen[value].reshape(1, -1))
            changes |= (flat != 0).any(axis=1)
        changes[: 0 if self.started else 1] = True
        return np.flatnonzero(changes)

    def _instant(self, t: float, near: float, now: _Round, outside: bool) -> None:
        """Everything that happens at an instant; `outside`: something came from an input or a Delay."""
        self.stalled = self.stalled + 1 if t <= self.now + near and self.started else 0
        self.now = t
        place = t / self.dt
        step = int(np.floor(place * (1 + 1e-12) + 1e-12) if outside else np.ceil(place * (1 - 1e-12) - 1e-12) - 1)
        self.step = min(max(step - self.done, 0), self.steps - 1)
        for op, first in self.first.items():
            if first <= t + near:
                now.fired[op] = np.flatnonzero(self.crossings[op] <= t + near)
        if self.smooth.hit[0] <= t + near:
            for op, at in self.smooth.hit[1].items():
                (now.fired if op in self.flows else now.turned)[op] = at
        if not self.started:
            self._start(now)
        if not self.stalled:
            self.recent.clear()
        for rounds in count(self.stalled):
            self._due(t + near, now)
            if not now:
                break
            if rounds > _ENDLESS:
                self._fail(t)
            now = self._apply(t, now)
        for op, touched in self.stale.items():
            if op in self.crossings:
                at = np.unique(np.concatenate(touched))
                flow = self.flows[op]
                self.crossings[op][at] = flow.since[at] + flow.hits(at)
                self.first[op] = float(self.crossings[op].min(initial=np.inf))
        self.stale.clear()

    def _start(self, now: _Round) -> None:
        """At the first instant constant currents begin, and everything is looked at."""
        self.started = True
        self.smooth.move(0.0)
        for op, flow in self.flows.items():
            if (at := np.flatnonzero(flow.v > flow.threshold)).size:
                now.fired[op] = at
            self.stale[op] = [np.arange(flow.v.size)]
        for target, values in self.plan.biases().items():
            flat = np.broadcast_to(values, (1, *self._shape(target))).ravel()
            if isinstance(target, int | nir.ThresholdOp):
                self.levels[target] += flat
            elif isinstance(target, nir.DelayOp):
                self._hold(target, 0.0, np.arange(flat.size), flat, spikes=False)
            else:
                self.flows[target].x += flat
        for op in self.plan.thresholds:
            now.turned[op] = np.flatnonzero(self._input(op) > self.heights[op])

    def _shape(self, target: Target) -> nir.Shape:
        return shape_of(target.input if isinstance(target, nir.NodeOp) else self.plan.outputs[target])

    def _due(self, until: float, now: _Round) -> None:
        """What arrives from Delays by now, and the boxes that end."""
        while self.heap and self.heap[0][0] <= until:
            due = heappop(self.heap)[2]
            if not due.out:
                now.ends.append(due)
                continue
            into = now.impulses if due.spikes else now.levels
            shape = shape_of(due.node.output)
            total = into.setdefault(due.node.output, np.zeros((1, *shape)))
            total.reshape(-1)[due.at] += due.values

    def _fail(self, t: float) -> None:
        names = sorted(self.recent)
        what = "fires without end" if len(names) == 1 else "make each other fire without end"
        raise DiagnosticException(
            f"{listed(names)} {what} at t = {t:g} s: each spike makes another one at once; "
            "give the loop a Delay, weaken its weights, or reset to below the threshold"
        )

    def _apply(self, t: float, now: _Round) -> _Round:
        """Let the fired fire, then let everything arrive; returns what that makes happen at the same instant."""
        following = _Round()
        for op, at in now.fired.items():
            self._touch(op, at, t)
            counts = self.flows[op].fire(at)
            self.recent[op.node.data] = None
            self._emit(now.impulses, op, at, counts)
            self._log(op, t, at, counts)
        for op, at in now.turned.items():
            if not at.size:
                continue
            self._touch(op, at, t)
            self.above[op][at] ^= True
            self.recent[op.node.data] = None
            if self.held:
                self._emit(now.levels, op, at, np.where(self.above[op][at], 1.0, -1.0))
            elif (up := at[self.above[op][at]]).size:
                self._emit(now.impulses, op, up, np.ones(up.size))
                self._log(op, t, up, np.ones(up.size))
        looked: dict[nir.NodeOp, list[Array]] = {}
        jumps = dict[SSAValue, Array]()
        for arrived, spikes in ((self.plan.spread(now.levels), False), (self.plan.spread(now.impulses), True)):
            for target, values in arrived.items():
                flat = values.ravel()
                at = np.flatnonzero(flat)
                if at.size:
                    self._arrive(target, t, at, flat[at], spikes, looked, jumps)
        for due in now.ends:
            self._current(due.node, t, due.at, due.values, looked)
        for target, values in self.plan.spread(jumps).items():
            if isinstance(target, nir.ThresholdOp):
                looked.setdefault(target, []).append(np.flatnonzero(values.ravel()))
        for op, touched in looked.items():
            at = np.unique(np.concatenate(touched))
            if op in self.flows:
                flow = self.flows[op]
                over = at[flow.v[at] > flow.threshold[at]]
                if over.size:
                    following.fired[op] = over
            else:
                over = at[(self._input(op)[at] > self.heights[op][at]) != self.above[op][at]]
                if over.size:
                    following.turned[op] = over
        return following

    def _emit(self, into: dict[SSAValue, Array], op: nir.NodeOp, at: Array, values: Array) -> None:
        total = into.setdefault(op.output, np.zeros((1, *shape_of(op.output))))
        total.reshape(-1)[at] += values

    def _log(self, op: nir.NodeOp, t: float, at: Array, counts: Array) -> None:
        if (events := self.events.get(op)) is not None:
            events.add(t, self.step, at, counts)

    def _arrive(
        self,
        target: Target,
        t: float,
        at: Array,
        values: Array,
        spikes: bool,
        looked: dict[nir.NodeOp, list[Array]],
        jumps: dict[SSAValue, Array],
    ) -> None:
        """A change of a level, or impulses, arrive at some elements."""
        if isinstance(target, int):
            if not spikes:
                self.levels[target][at] += values
                return
            self.bins[target][self.step, at] += values
            if (events := self.events.get(target)) is not None:
                events.add(t, self.step, at, values)
        elif isinstance(target, nir.DelayOp):
            self._hold(target, t, at, values, spikes=spikes)
        elif not spikes or self.held:
            self._current(target, t, at, values, looked)
            if spikes:
                heappush(self.heap, (t + self.dt, next(self.order), _Due(target, at, -values)))
        else:
            self._touch(target, at, t)
            flow = self.flows[target]
            before = flow.v[at]
            flow.kick(at, values)
            looked.setdefault(target, []).append(at)
            if target in self.smooth.flows and not target.SPIKING:
                self._emit(jumps, target, at, flow.v[at] - before)

    def _current(
        self, target: nir.NodeOp, t: float, at: Array, values: Array, looked: dict[nir.NodeOp, list[Array]]
    ) -> None:
        """The current into a neuron changes, or the level before a Threshold."""
        self._touch(target, at, t)
        if isinstance(target, nir.ThresholdOp):
            self.levels[target][at] += values
            looked.setdefault(target, []).append(at)
        else:
            self.flows[target].x[at] += values

    def _hold(self, op: nir.DelayOp, t: float, at: Array, values: Array, *, spikes: bool) -> None:
        """Let a Delay keep what arrives, element by element as long as it says."""
        delays = spread(op.delay, shape_of(op.output)).ravel()[at]
        for delay in np.unique(delays):
            held = delays == delay
            heappush(self.heap, (t + delay, next(self.order), _Due(op, at[held], values[held], True, spikes)))

    def _touch(self, op: nir.NodeOp, at: Array, t: float) -> None:
        """Bring states up to an instant, before something there changes them."""
        if op in self.closed:
            flow = self.closed[op]
            flow.put(at, flow.states(at, np.maximum(t - flow.since[at], 0)), t)
            self.stale.setdefault(op, []).append(at)
        elif op in self.flows or op in self.plan.watched:
            self.smooth.move(t)

    def _input(self, op: nir.NodeOp) -> Array:
        """What arrives at a Threshold now."""
        if op not in self.plan.watched:
            return self.levels[op]
        moving: dict[SSAValue, Array] = {
            node.output: self.flows[node].v.reshape(1, *shape_of(node.output)) for node in self.smooth.moving
        }
        return self.levels[op] + self.plan.spread(moving)[op].ravel()

    def _sample(self, until: float, near: float) -> None:
        """Take the samples up to an instant, of what was before it: states, and outputs that are no spikes."""
        last = min(int(np.floor((until + near) / self.dt * (1 + 1e-12) + 1e-12)) - self.done, self.steps)
        while self.taken < last and self.solver.samples:
            steps = np.arange(self.taken, min(last, self.taken + _SAMPLES)) + self.done + 1
            times = steps * self.dt
            states = {op: self._states(op, times) for op in self.solver.sampled}
            for key in self.solver.samples:
                if isinstance(key, tuple):
                    self.sampled[key].append(states[key[0]][key[1]])
            moving: dict[SSAValue, Array] = {
                op.output: states[op]["v"].reshape(-1, *shape_of(op.output)) for op in self.solver.moving_outputs
            }
            arrived = self.plan.spread(moving) if moving else {}
            for n in self.solver.graded:
                level = np.broadcast_to(self.levels[n], (len(times), self.levels[n].size))
                self.sampled[n].append(level + arrived[n].reshape(level.shape) if n in arrived else level.copy())
            self.taken += len(steps)
        self.taken = max(self.taken, last)

    def _states(self, op: nir.NodeOp, times: Array) -> dict[str, Array]:
        if op in self.closed:
            flow = self.closed[op]
            states = flow.states(slice(None), np.maximum(times[:, None] - flow.since, 0))
            return {name: np.broadcast_to(v, (len(times), flow.v.size)) for name, v in states.items()}
        return self.smooth.states(op, times)


class NirSolver:
    """Solves a graph over rasters [T, B, N...]; time goes on between calls until `reset`.

    record   what to keep besides the outputs: `node.spikes`, `node.v`, `node.i`
    events   the spikes of the last run by Output and by recorded `node.spikes`, at their instants

    Spikes come out as counts per step too; everything else is sampled at the end of each step, before what happens at
    that instant.
    """

    def __init__(self, module: ModuleOp, batch: int = 1, record: tuple[str, ...] = ()):
        graph = nir.graph_of(module)
        assert graph is not None
        self.dt, self.scheme = settled(module)
        self.batch, self.record, self.graph = batch, record, graph
        self.held = self.scheme["input"] == "held"
        self.plan = Plan(graph)
        self.step = Step(self.scheme, self.dt, f64, "zero", stated_resets(graph.metadata))
        self.names = [name.data for name in graph.outputs]
        self.spiking = [n for n, value in enumerate(self.plan.outputs) if self.plan.spikes(value)]
        self.graded = [n for n in range(len(self.names)) if n not in self.spiking]
        self._states: dict[str, tuple[nir.NodeOp, str]] = {}
        self._spikes: dict[str, nir.NodeOp] = {}
        self._find_records()
        reached = {op: self.plan.reached([op.output]) for op in self.plan.analog}
        self.moving_outputs = [op for op in self.plan.analog if any(n in reached[op] for n in self.graded)]
        self.samples: list[Any] = [*self._states.values(), *self.graded]
        self.sampled = list(dict.fromkeys([*(op for op, _ in self._states.values()), *self.moving_outputs]))
        self.places: list[Target] = [*self.spiking, *self._spikes.values()]
        self.events: dict[str, Events] = {}
        self.reset()

    def _find_records(self) -> None:
        known: dict[str, tuple[nir.NodeOp, str]] = {}
        for op in (*self.plan.neurons, *self.plan.thresholds):
            spikes = op.SPIKING if isinstance(op, nir.NeuronOp) else not self.held
            names = [*(["spikes"] if spikes else []), *(["v"] if isinstance(op, nir.NeuronOp) else [])]
            names += ["i"] if isinstance(op, nir.CubaLIFOp | nir.CubaLIOp) else []
            known.update((f"{op.node.data}.{name}", (op, name)) for name in names)
        faults = list[str]()
        for key in self.record:
            if key in self.names:
                faults.append(f"cannot record {quote(key)}: an Output has that name, which would be lost")
            elif key not in known:
                node = key.rpartition(".")[0]
                near = [item for item in known if item.rpartition(".")[0] in (key, node)] or list(known)
                faults.append(
                    f"cannot record {quote(key)}; there are {', '.join(near[:12])}{' ...' if len(near) > 12 else ''}"
                )
            elif known[key][1] == "spikes":
                self._spikes[key] = known[key][0]
            else:
                self._states[key] = known[key]
        if faults:
            raise DiagnosticException("\n".join(faults))

    def reset(self) -> None:
        """Back to before the first instant."""
        self._samples = [_Sample(self) for _ in range(self.batch)]

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] by input name; returns rasters by output name and by recorded key."""
        rasters = dict[SSAValue, Array]()
        faults = list[str]()
        for name, value in zip(self.graph.inputs, self.graph.body.block.args, strict=True):
            raster, shape = inputs.get(name.data), (self.batch, *shape_of(value))
            if raster is None:
                faults.append(f"no raster for the input {quote(name.data)}")
            elif raster.shape[1:] != shape:
                faults.append(
                    f"the raster of input {quote(name.data)} has the shape {shape_text(raster.shape)}, "
                    f"must be steps x batch x {shape_text(shape[1:])}"
                )
            else:
                rasters[value] = raster.astype(np.float64)
        lengths = {len(raster) for raster in rasters.values()}
        if len(lengths) > 1:
            faults.append(f"inputs of unequal length: {', '.join(map(str, sorted(lengths)))} steps")
        if faults:
            raise DiagnosticException("\n".join(faults))
        steps = lengths.pop() if lengths else 0
        starts = [sample.done * self.dt for sample in self._samples]
        found = list[dict[Any, Array]]()
        for n, sample in enumerate(self._samples):

            def tell(done: int, before: int = n) -> None:
                if progress is not None:
                    progress((before * steps + done) // self.batch)

            found.append(sample.run({value: raster[:, n] for value, raster in rasters.items()}, steps, tell))
        return self._gather(found, steps, starts[0] if starts else 0.0)

    def _gather(self, found: list[dict[Any, Array]], steps: int, start: float) -> dict[str, Array]:
        """The samples' results as rasters; the spikes of each place as events."""

        def stacked(key: Any, shape: nir.Shape) -> Array:
            empty = np.zeros((steps, int(np.prod(shape))))
            return np.stack([item.get(key, empty) for item in found], axis=1).reshape(steps, self.batch, *shape)

        results = dict[str, Array]()
        self.events.clear()
        for n, name in enumerate(self.names):
            shape = shape_of(self.plan.outputs[n])
            impulses = stacked(("impulses", n), shape)
            if n in self.spiking:
                results[name] = np.rint(impulses).astype(np.int32)
                self.events[name] = self._events(n, shape, steps, start)[0]
            else:
                results[name] = impulses + stacked(n, shape)
        for key in self.record:
            if key in self._states:
                results[key] = stacked(self._states[key], shape_of(self._states[key][0].output))
            else:
                shape = shape_of(self._spikes[key].output)
                self.events[key], results[key] = self._events(self._spikes[key], shape, steps, start)
        return results

    def _events(self, place: Target, shape: nir.Shape, steps: int, start: float) -> tuple[Events, Array]:
        """The spikes at a place since the last run, at their instants and as counts [T, B, N...]."""
        size = int(np.prod(shape))
        taken = [sample.events[place].taken() for sample in self._samples]
        most = max((times.size for times, _, _ in taken), default=0)
        idx, time = np.full((self.batch, most), -1), np.full((self.batch, most), np.inf)
        counts = np.zeros((steps, self.batch, size), np.int32)
        for n, (times, elements, at) in enumerate(taken):
            idx[n, : times.size], time[n, : times.size] = elements, times - start
            np.add.at(counts[:, n], (at, elements), 1)
        # A spike at the very end is in the last step, which NIRData's events must lie before the end of.
        end = steps * self.dt
        time = np.where(np.isfinite(time), np.minimum(time, np.nextafter(end, 0)), time)
        return Events(idx, time, None, size, end), counts.reshape(steps, self.batch, *shape)
