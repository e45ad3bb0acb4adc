"""NIRData: rasters in HDF5 beside a NIR graph, as time grids or as events; read and written.

Layout of nir 1.0 (`nir.write_data`): `nodes/<node>/observables/<name>` with the attribute `__type__`.
TimeGriddedData: `data` (samples, steps, neurons) and the attribute `dt`. EventData: `idx` and `time` (samples, events),
-1 and inf where there is none, and the attributes `n_neurons` and `t_max`; ValuedEventData has `value` too.
A node within a nested graph is `sub.node` here. Neurons of a layer with axes count in row-major order.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import h5py
import numpy as np
from h5py import h5a, h5g, h5s, h5t
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects.dense import Array, shape_text
from nirc.dialects.nir import listed, quote
from nirc.frontend.hdf5 import Tree, Value, read_tree
from nirc.frontend.write_nir import image, make_group, memory_file, put

_SLACK = 1e-6
"""By what part of a step a time may fall short of it: 3 * 0.1 s is less than 0.3 s in floating point."""


@dataclass(frozen=True)
class Grid:
    """Values (samples, steps, neurons) every `dt` seconds."""

    values: Array
    dt: float


@dataclass(frozen=True)
class Events:
    """Events (samples, events): neuron, time in seconds and value (1 where there is none); -1 marks no event."""

    neuron: Array
    time: Array
    value: Array | None
    neurons: int
    end: float


_F32 = 1.2e-7
"""By what part of itself the end may be off, which is written in single precision at times."""
_MOST = 1 << 28
"""Values that events may be spread over."""

Observable: TypeAlias = Grid | Events


@dataclass(frozen=True)
class NirData:
    """Observables by node and name."""

    nodes: dict[str, dict[str, Observable]]

    @property
    def dt(self) -> float | None:
        """The step of the grids where they have one in common."""
        steps = {item.dt for node in self.nodes.values() for item in node.values() if isinstance(item, Grid)}
        return steps.pop() if len(steps) == 1 else None

    @property
    def has_events(self) -> bool:
        """Whether anything is given as events."""
        return any(isinstance(item, Events) for node in self.nodes.values() for item in node.values())


def read_nir_data(path: str) -> NirData:
    """Read a file; raises DiagnosticException with everything that is wrong with it."""
    tree = read_tree(path, attributes=True)
    if tree.get("@__type__") != "NIRGraphData":
        raise DiagnosticException("not a NIRData file: its root is not marked as NIRGraphData")
    found: dict[str, dict[str, Observable]] = {}
    faults = list[str]()
    pending: list[tuple[str, Value | None]] = [("", tree.get("nodes"))]
    for path_to, nodes in pending:
        if not isinstance(nodes, dict):
            faults.append(f"{quote(path_to) if path_to else 'the root'} has no group 'nodes'")
            continue
        for name, node in nodes.items():
            full = f"{path_to}.{name}" if path_to else name
            if not isinstance(node, dict):
                if not name.startswith("@"):
                    faults.append(f"node {quote(full)} is not a group")
            elif node.get("@__type__") == "NIRGraphData":
                pending.append((full, node.get("nodes")))
            elif full in found:
                faults.append(f"two nodes have the full name {quote(full)}")
            else:
                found[full] = dict(_observables(full, node, faults))
    if faults:
        raise DiagnosticException("\n".join(faults))
    return NirData(found)


def _observables(node: str, tree: Tree, faults: list[str]) -> Iterator[tuple[str, Observable]]:
    held = tree.get("observables")
    if not isinstance(held, dict):
        faults.append(f"node {quote(node)} has no group 'observables'")
        return
    for name, item in held.items():
        try:
            if isinstance(item, dict):
                yield name, _observable(item)
            elif not name.startswith("@"):
                raise ValueError("not a group")
        except ValueError as fault:
            faults.append(f"node {quote(node)}, {quote(name)}: {fault}")


def _observable(tree: Tree) -> Observable:
    kind = tree.get("@__type__")
    if kind == "TimeGriddedData":
        values = _numbers(tree, "data")
        if values.ndim != 3:
            raise ValueError(f"data: shape {shape_text(values.shape)}, must be samples x steps x neurons")
        return Grid(values, _positive(tree, "@dt"))
    if kind in ("EventData", "ValuedEventData"):
        neuron, time = _numbers(tree, "idx"), _numbers(tree, "time")
        value = _numbers(tree, "value") if kind == "ValuedEventData" else None
        shapes = {array.shape for array in (neuron, time, value) if array is not None}
        if len(shapes) > 1 or neuron.ndim != 2:
            raise ValueError(f"shapes {', '.join(sorted(map(shape_text, shapes)))}, all must be samples x events")
        if neuron.dtype.kind not in "iu":
            raise ValueError(f"idx: {neuron.dtype}, must be whole numbers")
        neurons = int(_positive(tree, "@n_neurons"))
        if neurons != _positive(tree, "@n_neurons"):
            raise ValueError(f"n_neurons: {_positive(tree, '@n_neurons'):g}, must be a whole number")
        events = Events(neuron, time, value, neurons, _positive(tree, "@t_max"))
        there = neuron != -1
        if not np.all((neuron[there] >= 0) & (neuron[there] < neurons)):
            raise ValueError(f"idx: beyond the {neurons} neurons")
        if not np.all((time[there] >= 0) & (time[there] < events.end)):
            raise ValueError(f"time: outside of 0 to t_max = {events.end:g} s")
        return events
    raise ValueError(f"__type__ {kind!r}, must be TimeGriddedData, EventData or ValuedEventData")


def _numbers(tree: Tree, name: str) -> Array:
    value = tree.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise ValueError(f"{name.lstrip('@')}: missing or no numbers")
    return value


def _positive(tree: Tree, name: str) -> float:
    value = _numbers(tree, name)
    number = float(value.ravel()[0])
    if not 0 < number < math.inf:
        raise ValueError(f"{name[1:]}: {number:g}, must be > 0")
    return number


@dataclass
class Gridded:
    """Rasters [T, B, N...] by input name, and what is worth knowing about them."""

    arrays: dict[str, Array] = field(default_factory=dict[str, Array])
    notes: list[str] = field(default_factory=list[str])


def to_rasters(data: NirData, expected: Mapping[str, tuple[int, ...]], dt: float | None) -> Gridded:
    """The inputs of a network of step `dt` (None: it does not depend on one).

    Events of one neuron in one step add up. Raises DiagnosticException with everything that does not fit.
    """
    found = Gridded()
    faults = list[str]()
    for name, shape in expected.items():
        observables = data.nodes.get(name, {})
        if len(observables) != 1:
            held = f"several observables ({listed(sorted(observables))})" if observables else "no data"
            faults.append(
                f"{held} for the input {quote(name)}; there is data of {listed(sorted(data.nodes)) or 'none'}"
            )
            continue
        item = next(iter(observables.values()))
        neurons = item.values.shape[2] if isinstance(item, Grid) else item.neurons
        if neurons != math.prod(shape):
            faults.append(f"the data of {quote(name)} is of {neurons} neurons, the input is {shape_text(shape)}")
        elif isinstance(item, Grid):
            if dt is not None and abs(item.dt - dt) > 1e-6 * dt:
                faults.append(
                    f"the data of {quote(name)} stands every {item.dt:g} s, the network steps {dt:g} s; "
                    f"give --dt {item.dt:g} or data on that grid"
                )
            else:
                found.arrays[name] = item.values.swapaxes(0, 1).reshape(*item.values.shape[1::-1], *shape)
        elif dt is None:
            faults.append(f"the events of {quote(name)} need a step, and the network depends on none; give --dt")
        else:
            steps = max(1.0, np.ceil(item.end / dt * (1 - _F32) - _SLACK))
            if not steps * max(1, len(item.neuron)) * neurons <= _MOST:
                faults.append(
                    f"the events of {quote(name)} last {item.end:g} s, {steps:.3g} steps of {dt:g} s for "
                    f"{len(item.neuron)} samples of {neurons} neurons: more than {_MOST:,} values; give a larger --dt"
                )
            else:
                values = _grid(item, dt, int(steps), name, found.notes)
                found.arrays[name] = values.reshape(int(steps), len(item.neuron), *shape)
    steps = sorted({item.dt for name in found.arrays for item in data.nodes[name].values() if isinstance(item, Grid)})
    if steps and steps[-1] - steps[0] > 1e-6 * steps[0]:
        listed_steps = ", ".join(f"{step:g} s" for step in steps)
        faults.append(f"the inputs' data stands on grids of {listed_steps}; give one grid")
    unused = sorted(data.nodes.keys() - expected.keys())
    if unused:
        found.notes.append(f"data of {listed(unused)} is of no input and not used")
    if faults:
        raise DiagnosticException("\n".join(faults))
    return found


def _grid(events: Events, dt: float, steps: int, name: str, notes: list[str]) -> Array:
    """(steps, samples, neurons) from events; a time is as exact as its type."""
    if abs(events.end / dt - steps) > _SLACK + _F32 * steps:
        notes.append(f"the events of {quote(name)} last {events.end / dt:g} steps; {steps} are run")
    values = np.zeros((steps, len(events.neuron), events.neurons))
    sample, event = np.nonzero(events.neuron != -1)
    times = events.time[sample, event]
    slack = 1 + float(np.finfo(times.dtype).eps) if times.dtype.kind == "f" else 1.0
    at = np.floor(times.astype(np.float64) / dt * slack + _SLACK).astype(np.int64)
    at = np.minimum(at, steps - 1)
    where = (at, sample, events.neuron[sample, event])
    np.add.at(values, where, 1 if events.value is None else events.value[sample, event])
    together = len(at) - len(np.unique(np.ravel_multi_index(where, values.shape))) if len(at) else 0
    if together:
        notes.append(
            f"{together} events of {quote(name)} fall into a step with another one of their neuron: they add up"
        )
    return values


def write_nir_data(
    arrays: Mapping[str, Array],
    dt: float,
    *,
    events: bool,
    recorded: Collection[str] = (),
    instants: Mapping[str, Events] | None = None,
) -> bytes:
    """A file of rasters [T, B, N...] by node.

    instants  the events themselves of some of the arrays, which then stand in their place
    events    spikes become EventData and counts ValuedEventData at the start of their step; the rest is on a grid
    recorded  the names that are `node.observable`
    """
    file = memory_file()
    root = h5g.open(file, b"/")
    _mark(root, "NIRGraphData")
    nodes = make_group(root, "nodes")
    known: dict[str, h5g.GroupID] = {}
    taken = set[tuple[str, str]]()
    for key, array in arrays.items():
        node, observable = key, "spikes" if array.dtype.kind in "biu" else "output"
        if key in recorded:
            node, _, observable = key.rpartition(".")
        if node not in known:
            group = make_group(nodes, node)
            _mark(group, "NIRNodeData")
            known[node] = make_group(group, "observables")
        while (node, observable) in taken:  # an Output that bears the name of a recorded node
            observable += "_"
        taken.add((node, observable))
        into = make_group(known[node], observable)
        values = np.ascontiguousarray(array.reshape(*array.shape[:2], math.prod(array.shape[2:])).swapaxes(0, 1))
        if instants and key in instants:
            _put_instants(into, instants[key])
        elif events and values.dtype.kind in "biu":
            _put_events(into, values, dt)
        else:
            _mark(into, "TimeGriddedData")
            put(into, "data", values)
            _attribute(into, "dt", np.asarray(dt))
    return image(file)


def _put_events(group: h5g.GroupID, values: Array, dt: float) -> None:
    samples, steps, neurons = values.shape
    counts = np.count_nonzero(values.reshape(samples, -1), axis=1)
    sample, step, neuron = np.nonzero(values)
    column = np.arange(len(sample)) - np.repeat(np.cumsum(counts) - counts, counts)
    idx = np.full((samples, int(counts.max(initial=0))), -1)
    time = np.full(idx.shape, np.inf)
    idx[sample, column] = neuron
    time[sample, column] = step * dt
    value: Array | None = None
    if values.dtype.kind != "b":
        value = np.zeros(idx.shape)
        value[sample, column] = values[sample, step, neuron]
    _put_instants(group, Events(idx, time, value, neurons, steps * dt))


def _put_instants(group: h5g.GroupID, events: Events) -> None:
    _mark(group, "EventData" if events.value is None else "ValuedEventData")
    put(group, "idx", events.neuron)
    put(group, "time", events.time)
    if events.value is not None:
        put(group, "value", events.value)
    _attribute(group, "n_neurons", np.asarray(events.neurons))
    _attribute(group, "t_max", np.asarray(events.end))


def _mark(group: h5g.GroupID, kind: str) -> None:
    _attribute(group, "__type__", np.asarray(kind, dtype=object))


def _attribute(group: h5g.GroupID, name: str, value: Array) -> None:
    kind = h5t.py_create(h5py.string_dtype() if value.dtype.kind == "O" else value.dtype, logical=True)
    h5a.create(group, name.encode(), kind, h5s.create(h5s.SCALAR)).write(value)
