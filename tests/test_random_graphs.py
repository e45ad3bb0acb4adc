"""Random networks over all of NIR's primitives, compiled and run, against the simulator in reference_simulator.py."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import nirc
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

sys.path.append(str(Path(__file__).parent))
from reference_simulator import (
    NEURONS,
    SIMULATORS,
    SPIKING,
    Array,
    Choices,
    Flat,
    Graph,
    Node,
    Simulator,
    cutting_delays,
    expand,
    on_loop,
)

T = TypeVar("T")
Shape: TypeAlias = tuple[int, ...]
Draw: TypeAlias = Callable[[int, int], int]
"""A whole number between two others, both included: from numpy's generator, or from hypothesis, which shrinks it."""

ANY_SHAPE = ("LIF", "IF", "CubaLIF", "LI", "I", "CubaLI", "Scale", "Delay", "Threshold")
"""Primitives that work element by element."""
BY_RANK = {
    1: (*ANY_SHAPE, *["Linear", "Affine"] * 3),
    2: (*ANY_SHAPE, *["Conv1d"] * 6, *["Flatten"] * 2),
    3: (*ANY_SHAPE, *["Conv2d"] * 6, *["SumPool2d", "AvgPool2d"] * 4, *["Flatten"] * 2),
}
NAMES = ("n", "N", "a.b", "b c", " d", "é", "神経", "\U0001d529", "0", "-", "lif.w_rec", "\uff71!")
"""How names begin; a number follows."""
STEPS = 16
NETWORKS = 400
PER_SCHEME = 24
BINARY = SPIKING | {"Threshold"}
"""What puts out 0 and 1."""


FEATURES = (
    *("Input", "Output", "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay"),
    *("Threshold", "I", "LI", "IF", "LIF", "CubaLI", "CubaLIF"),
    *("fan-in", "fan-out", "one node twice into another", "several Inputs", "several Outputs", "odd name"),
    *("recurrence", "self loop", "loop of several nodes", "several cuts", "web", "cut behind a node without state"),
    *("Delay in a loop", "no way from an Input", "several samples"),
    *("nested", "nested 2 deep", "nested with several ins", "nested with several outs"),
    *("padding number", "padding same", "padding valid", "stride", "dilation", "groups", "kernel not square"),
    *("padded pool", "Conv1d with one number", "Conv2d with one number", "pool with one number"),
    *("Flatten of some axes", "Delay for each element", "Delay of 0 steps"),
    *("parameter each", "parameter scalar", "parameter length 1", "parameter ones"),
    *("v_reset none", "v_reset zero", "v_reset value", "v_reset mixed", "r = 1/dt, if_gain auto"),
    *("exact False", "exact True", "reset auto", "reset zero", "reset v_reset", "reset subtract"),
    *("v_init 0", "v_init v_leak", "v_init v_reset", "if_gain auto", "if_gain r", "if_gain r*dt", "if_gain unit"),
    *("rec_cut neuron", "rec_cut weight"),
)
"""What has to occur in at least 50 networks."""


@dataclass(frozen=True)
class Point:
    """An end of an edge: how the edge names it, and the shape there."""

    name: str
    shape: Shape


@dataclass
class Part:
    """A node or a nested graph from outside: where edges enter and where they leave."""

    ins: list[Point]
    outs: list[Point]


@dataclass
class Size:
    """How big networks become: nodes and edges back at most, and how deep graphs lie in each other."""

    nodes: int
    loops: int
    nested: int


@dataclass
class Builder:
    """Makes one random graph. Structure comes from `draw`, numbers from `rng`.

    features: what was made use of, for the count over a whole run
    """

    draw: Draw
    rng: np.random.Generator
    choices: Choices
    size: Size
    depth: int = 0
    features: set[str] = field(default_factory=set[str])
    count: list[int] = field(default_factory=lambda: [0])
    graph: Graph = field(default_factory=Graph)
    parts: list[Part] = field(default_factory=list[Part])

    # Choosing

    def pick(self, items: Sequence[T]) -> T:
        """One of several, the first when shrunk."""
        return items[self.draw(0, len(items) - 1)]

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases, false when shrunk."""
        return self.draw(0, 99) >= 100 - percent

    def uniform(self, low: float, high: float, shape: Shape = ()) -> Array:
        return self.rng.uniform(low, high, shape)

    def parameter(self, low: float, high: float, shape: Shape) -> Array:
        """Values for all elements, or one value, written in one of three ways."""
        form = self.pick(("each", "each", "scalar", "length 1", "ones"))
        self.features.add(f"parameter {form}")
        return self.uniform(low, high, {"each": shape, "scalar": (), "length 1": (1,)}.get(form, (1,) * len(shape)))

    def name(self) -> str:
        """A name that no other node has, in no particular order."""
        self.count[0] += 1
        nested = [name for name, node in self.graph.nodes.items() if isinstance(node, Graph)]
        stem = nested[-1] + self.pick("!-. ") if nested and self.chance(35) else self.pick(NAMES)
        self.features.add("odd name" if stem not in ("n", "N") else "plain name")
        return f"{stem}{self.count[0]}"

    # Growing

    def build(self, shapes: Sequence[Shape]) -> Graph:
        """A graph with Inputs of these shapes."""
        for shape in shapes:
            self.add("Input", {"shape": np.array(shape)}, shape, shape)
        for _ in range(self.draw(self.size.nodes // 4, self.size.nodes)):
            if self.depth < self.size.nested and self.chance(14):
                self.nest()
            else:
                self.grow()
        if self.chance(12) and self.choices.rules.leak != "none":
            self.pacemaker()
        for _ in range(self.draw(0, self.size.loops)):
            self.loop()
        if self.chance(20):
            self.web()
        self.finish()
        return self.graph

    def points(self) -> list[Point]:
        """Where edges can start."""
        return [point for part in self.parts for point in part.outs]

    def add(self, kind: str, fields: dict[str, Any], in_shape: Shape, shape: Shape, *sources: Point) -> Part:
        """A node and its incoming edges."""
        name = self.name()
        self.graph.nodes[name] = Node(kind, fields, in_shape, shape)
        self.graph.edges += [(source.name, name) for source in sources]
        part = Part(
            [] if kind == "Input" else [Point(name, in_shape)], [] if kind == "Output" else [Point(name, shape)]
        )
        self.parts.append(part)
        return part

    def grow(self) -> None:
        """One node more, behind one that stands there, and at times behind others of the same shape too."""
        points = self.points()
        source = points[-1] if self.chance(60) else self.pick(points)
        self.add_behind(self.pick(BY_RANK[len(source.shape)]), source, *self.others(source, 30))

    def others(self, source: Point, percent: int) -> list[Point]:
        """Further points of the same shape."""
        equal = [point for point in self.points() if point.shape == source.shape and point != source]
        return [point for point in equal if self.chance(percent)][:2]

    def add_behind(self, kind: str, *sources: Point) -> Part:
        """A random node of a primitive that takes the sum of the sources."""
        shape = sources[0].shape
        fields, out = self.fields(kind, shape)
        return self.add(kind, fields, shape, out, *sources)

    def nest(self) -> None:
        """A graph inside this one, fed by one or two nodes."""
        points = self.points()
        sources = [self.pick(points)]
        if self.chance(50):
            sources.append(sources[0] if self.chance(60) else self.pick(points))
        inner = Builder(
            self.draw, self.rng, self.choices, Size(4, 1, self.size.nested), self.depth + 1, self.features, self.count
        )
        name = self.name()
        graph = inner.build([source.shape for source in sources])
        self.graph.nodes[name] = graph
        ends = [[Point(port, node.shape) for port, node in graph.ports(kind).items()] for kind in ("Input", "Output")]
        several = [len(points) > 1 or self.chance(20) for points in ends]
        ins, outs = (
            [Point(f"{name}.{point.name}" if full else name, point.shape) for point in points]
            for points, full in zip(ends, several, strict=True)
        )
        self.parts.append(Part(ins, outs))
        self.graph.edges += [(source.name, end.name) for source, end in zip(sources, ins, strict=True)]
        self.features |= {"nested", f"nested {self.depth + 1} deep"}
        self.features |= {
            f"nested with several {kind}" for kind, points in (("ins", ins), ("outs", outs)) if points[1:]
        }

    def pacemaker(self) -> None:
        """Two neurons that nothing reaches from the Inputs: a leak above the threshold drives them."""
        shape = (self.draw(2, 3),)
        first, second = (self.add(kind, self.awake(kind, shape), shape, shape) for kind in ("LIF", "CubaLIF"))
        weight = self.add_behind("Linear", first.outs[0])
        if weight.outs[0].shape == shape:
            self.connect(weight.outs[0], second.ins[0])
        else:
            self.connect(first.outs[0], second.ins[0])
        self.connect(second.outs[0], first.ins[0])
        self.features.add("no way from an Input")

    def awake(self, kind: str, shape: Shape) -> dict[str, Any]:
        """The fields of a neuron that spikes without input, each element with its own."""
        fields, _ = self.fields(kind, shape)
        return {**fields, "v_leak": self.uniform(1, 2, shape), "v_reset": np.zeros(shape)}

    def connect(self, source: Point, target: Point) -> bool:
        """An edge, unless it stands there already or closes a loop that remembers nothing."""
        edge = (source.name, target.name)
        if edge in self.graph.edges:
            return False
        self.graph.edges.append(edge)
        if forgetful(expand(self.graph), self.choices.dt):
            self.graph.edges.remove(edge)
            return False
        return True

    def loop(self) -> None:
        """An edge back, straight or through further nodes."""
        later = self.parts[self.draw(0, len(self.parts) - 1) :]
        if not later[0].ins:
            return
        sources = [point for part in (later[:1] if self.chance(45) else later) for point in part.outs]
        target, source = self.pick(later[0].ins), self.pick(sources)
        for _ in range(3):
            if source.shape == target.shape and not self.chance(50):
                break
            source = self.bridge(source, target.shape)
        if source.shape == target.shape:
            self.connect(source, target)

    def web(self) -> None:
        """Nodes of one shape with edges between them this way and that, which are entered at several places."""
        shape = self.pick(self.points()).shape
        members = [
            (end, start)
            for part in self.parts
            for end, start in zip(part.ins, part.outs, strict=False)
            if end.shape == start.shape == shape and self.chance(40)
        ]
        for _ in range(self.draw(2, 4)):
            source = self.pick([point for point in self.points() if point.shape == shape])
            kind = self.pick(("LIF", "IF", "CubaLIF", "LI", "CubaLI"))
            if self.chance(50):
                node = self.add_behind(kind, source, *self.others(source, 20)).outs[0]
            else:
                node = self.bridge(source, shape)
            members.append((node, node))
        for _ in range(self.draw(2, 8)):
            self.connect(self.pick(members)[1], self.pick(members)[0])
        self.features.add("web")

    def bridge(self, source: Point, shape: Shape) -> Point:
        """A node on the way to a shape."""
        if len(source.shape) > 1 and source.shape != shape:
            return self.add("Flatten", self.flatten(0, -1), source.shape, (int(np.prod(source.shape)),), source).outs[0]
        if source.shape != shape and len(shape) > 1:
            return source
        if len(shape) == 1:
            kind = self.pick(
                ("Affine", "Affine", "Linear", "Scale", "Delay", "LIF") if source.shape == shape else ("Affine",)
            )
        else:
            kind = self.pick(("Scale", "Delay", "Conv1d" if len(shape) == 2 else "Conv2d"))
        fields, out = self.bridging(kind, source.shape, shape)
        return self.add(kind, fields, source.shape, out, source).outs[0]

    def bridging(self, kind: str, shape: Shape, wanted: Shape) -> tuple[dict[str, Any], Shape]:
        """Fields of a node whose output has the wanted shape; small weights, and Delays that cut the loop."""
        match kind:
            case "Affine" | "Linear":
                fields = {"weight": self.uniform(-0.6, 0.4, (wanted[0], shape[0]))}
                return (fields if kind == "Linear" else {**fields, "bias": self.uniform(-0.1, 0.2, wanted)}), wanted
            case "Delay":
                return {"delay": self.delay(shape, self.pick((1, 1, 1, 0)))}, shape
            case "Conv1d" | "Conv2d":
                return self.convolution(kind, shape, shape[0], "same"), shape
            case _:
                return self.fields(kind, shape)

    def finish(self) -> None:
        """Outputs for all ends that nothing follows and for some others; some Outputs add up two nodes."""
        used = {source for source, _ in self.graph.edges}
        points = self.points()
        ends = [point for point in points if point.name not in used]
        ends += [point for point in points if point.name in used and self.chance(20 if self.depth == 0 else 5)]
        for end in ends or points[-1:]:
            shape = end.shape
            self.add("Output", {"shape": np.array(shape)}, shape, shape, end, *self.others(end, 5))

    # Fields

    def fields(self, kind: str, shape: Shape) -> tuple[dict[str, Any], Shape]:
        """Random fields of a node for inputs of a shape, and the shape of what it puts out."""
        match kind:
            case "Affine" | "Linear":
                out = (self.draw(1, 5),)
                fields = {"weight": self.uniform(-0.6, 1.2, (*out, *shape)) / np.sqrt(shape[0])}
                return (fields if kind == "Linear" else {**fields, "bias": self.uniform(-0.2, 0.4, out)}), out
            case "Scale":
                return {"scale": self.parameter(-0.5, 1.5, shape)}, shape
            case "Threshold":
                return {"threshold": self.parameter(0, 1, shape)}, shape
            case "Delay":
                return {"delay": self.delay(shape, self.pick((0, 0, 0, 1)))}, shape
            case "Flatten":
                start = self.draw(0, len(shape) - 1)
                end = self.draw(start, len(shape) - 1)
                out = (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])
                back = len(shape) if self.chance(50) else 0
                self.features.add("Flatten of some axes" if len(out) > 1 else "Flatten of all axes")
                return self.flatten(start, end - back), out
            case "Conv1d" | "Conv2d":
                padding = self.pick(("number", "number", "same", "valid"))
                fields = self.convolution(kind, shape, self.draw(1, 2), padding)
                return fields, window_shape(fields, shape, len(fields["weight"]))
            case "SumPool2d" | "AvgPool2d":
                fields = self.pool(shape)
                return fields, window_shape(fields, shape, shape[0])
            case _:
                return self.neuron(kind, shape), shape

    def flatten(self, start: int, end: int) -> dict[str, Any]:
        return {"start_dim": start, "end_dim": end}

    def delay(self, shape: Shape, least: int) -> Array:
        """Seconds, a bit beside a whole number of steps, at least so many; often 0 everywhere if that is allowed."""
        form: tuple[Shape, ...] = (shape, shape, (), (1,))
        steps = np.asarray(self.rng.integers(least, 4, self.pick(form))) * (least or self.draw(0, 1))
        if not steps.any():
            self.features.add("Delay of 0 steps")
        elif (steps == 0).any():
            self.features.add("Delay of 0 steps in some elements")
        if steps.size > 1:
            self.features.add("Delay for each element")
        return np.maximum(steps + self.uniform(-0.3, 0.3, steps.shape), 0) * self.choices.dt

    def numbers(self, values: Sequence[int], kind: str) -> Any:
        """A field with a number for each axis; one number, or an array with one, where it can be."""
        if len(set(values)) == 1 and self.chance(50):
            self.features.add(f"{kind} with one number")
            return values[0] if self.chance(70) else np.array([values[0]])
        return np.array(values)

    def convolution(self, kind: str, shape: Shape, factor: int, padding: str) -> dict[str, Any]:
        """A convolution that fits into a shape; `same` makes as many channels as came in."""
        channels, *sizes = shape
        groups = self.pick([g for g in range(1, channels + 1) if channels % g == 0])
        outs = factor if padding == "same" and factor == channels else groups * factor
        kernel, dilation, stride, pads = ([1] * len(sizes) for _ in range(4))
        for axis, size in enumerate(sizes):
            kernel[axis], dilation[axis], stride[axis] = self.draw(1, 3), self.draw(1, 2), self.draw(1, 2)
            pads[axis] = self.draw(0, 2)
            room = size + 2 * pads[axis] if padding == "number" else size
            while dilation[axis] * (kernel[axis] - 1) >= room:
                kernel[axis] -= 1
        if padding == "same":
            stride = [1] * len(sizes)
        self.features |= {f"padding {padding}"}
        for feature, values in (("stride", stride), ("dilation", dilation), ("groups", [groups])):
            if max(values) > 1:
                self.features.add(feature)
        if len(set(kernel)) > 1:
            self.features.add("kernel not square")
        if padding == "same" and any(d * (k - 1) % 2 for k, d in zip(kernel, dilation, strict=True)):
            self.features.add("same padding by an odd number")
        fan_in = channels // groups * np.prod(kernel)
        return {
            "weight": self.uniform(-0.6, 1.2, (outs, channels // groups, *kernel)) / np.sqrt(fan_in),
            "bias": self.uniform(-0.2, 0.3, (outs,)),
            "stride": self.numbers(stride, kind),
            "dilation": self.numbers(dilation, kind),
            "padding": self.numbers(pads, kind) if padding == "number" else padding,
            "groups": groups,
            **({"input_shape": np.array(sizes) if kind == "Conv2d" else sizes[0]} if self.chance(60) else {}),
        }

    def pool(self, shape: Shape) -> dict[str, Any]:
        """A pool that fits into a shape; PyTorch allows padding up to half the window."""
        kernel = [self.draw(1, min(3, size)) for size in shape[1:]]
        pads = [self.draw(0, 1) * (k // 2) for k in kernel]
        if any(pads):
            self.features.add("padded pool")
        stride = [self.draw(1, 2) for _ in kernel]
        fields = {"kernel_size": kernel, "stride": stride, "padding": pads}
        return {name: self.numbers(values, "pool") for name, values in fields.items()}

    def neuron(self, kind: str, shape: Shape) -> dict[str, Any]:
        """A neuron's fields; its threshold is found later, see `wake`."""
        dt, fields = self.choices.dt, dict[str, Any]()
        if kind in ("I", "IF"):
            unit = 1 / dt if self.choices.if_gain == "r*dt" else 1.0
            fields["r"] = self.parameter(0.3 * unit, 1.5 * unit, shape)
            if self.choices.if_gain in ("auto", "r*dt") and self.chance(75):
                fields["r"] = np.full_like(fields["r"], 1 / dt)
                self.features.add(f"r = 1/dt, if_gain {self.choices.if_gain}")
        else:
            fields["r"] = self.parameter(0.5, 2, shape)
            leaks = self.chance(60) and self.choices.rules.leak != "none"
            fields["v_leak"] = self.parameter(-0.2, 0.4, shape) if leaks else np.zeros(shape)
            for tau in ["tau_mem", "tau_syn"] if kind.startswith("Cuba") else ["tau"]:
                fields[tau] = self.parameter(dt, 8 * dt, shape)
            if self.choices.rules.fold and kind == "CubaLIF":
                fields["r"] = fields["tau_mem"] / dt
        if kind.startswith("Cuba"):
            fields["w_in"] = self.parameter(0.5, 2, shape)
        if kind in SPIKING:
            fields["v_threshold"] = self.parameter(0, 1, shape)
            self.reset(fields, shape)
        return fields

    def reset(self, fields: dict[str, Any], shape: Shape) -> None:
        """v_reset: none, 0, or a value, which may be 0 in some elements."""
        form = self.pick(("none", "zero", "value", "value", "mixed"))
        self.features.add(f"v_reset {form}")
        if form == "zero":
            fields["v_reset"] = np.zeros(shape)
        elif form != "none":
            fields["v_reset"] = self.parameter(-0.4, 0.3, shape)
        if form == "mixed":
            fields["v_reset"] = fields["v_reset"] * self.rng.integers(0, 2, fields["v_reset"].shape)


def window_shape(fields: dict[str, Any], shape: Shape, channels: int) -> Shape:
    """floor((n + 2 p - d (k - 1) - 1) / s) + 1 along each axis; `same` keeps n."""
    sizes = np.array(shape[1:])
    kernel = np.array(fields["weight"].shape[2:] if "weight" in fields else fields["kernel_size"])
    padding, dilation = fields["padding"], np.array(fields.get("dilation", 1))
    if isinstance(padding, str) and padding == "same":
        return (channels, *shape[1:])
    room = sizes + 2 * np.array(0 if isinstance(padding, str) else padding) - dilation * (kernel - 1)
    return (channels, *((room - 1) // np.array(fields["stride"]) + 1).tolist())


def forgetful(flat: Flat, dt: float) -> bool:
    """Whether a loop leads through nodes without state only. A Delay remembers if no element
    takes 0 steps; ports of nested graphs are nodes here."""
    left = {name for name, node in flat.nodes.items() if node.kind not in NEURONS} - cutting_delays(flat, dt)
    while free := {name for name in left if left.isdisjoint(flat.sources[name])}:
        left -= free
    return bool(left)


class Rehearsal(Simulator):
    """Lets every spiking node spike at random and writes down what it compared."""

    def __init__(self, graph: Graph, choices: Choices, rng: np.random.Generator) -> None:
        super().__init__(graph, choices)
        self.rng = rng
        self.seen = dict[str, list[Array]]()

    def fires(self, name: str, value: Array, threshold: Array) -> Array:
        node = self.flat.nodes[name]
        self.seen.setdefault(name, []).append(value / self._scale(node))  # pyright: ignore[reportPrivateUsage]
        return (self.rng.random(value.shape) < 0.25).astype(np.float64)

    def settle(self, node: Node, v: Array, spikes: Array, scale: Array) -> Array:
        return np.where(spikes > 0, scale * np.asarray(node.fields.get("v_reset", 0.0)), v)


def wake(graph: Graph, choices: Choices, rasters: dict[str, Array], rng: np.random.Generator) -> float:
    """Put each threshold between two of the values that a rehearsal compared with it, so that some lie above and most
    below. Returns the greatest value that any node put out."""
    rehearsal = Rehearsal(graph, choices, rng)
    trace = rehearsal.run(rasters)
    for name, values in rehearsal.seen.items():
        fields = rehearsal.flat.nodes[name].fields
        key = "v_threshold" if "v_threshold" in fields else "threshold"
        seen = np.array(values)
        each = np.size(fields[key]) == seen[0].size
        least = np.asarray(fields.get("v_reset", -np.inf)) + 1e-3
        if choices.rules.counts or choices.rules.nengo:
            least = np.maximum(least, 0.2)
        found = between(seen if each else seen.reshape(-1, 1), rng.uniform(0.55, 0.85), rng)
        fields[key] = np.maximum(found, least if each else least.max()).reshape(np.shape(fields[key]))
    return max(float(np.abs(values).max(initial=0)) for values in trace.values())


def between(values: Array, part: float, rng: np.random.Generator) -> Array:
    """For each column a number between the value below which `part` of the others lie and the next lower one;
    something above where all are equal."""
    upper = np.sort(values, axis=0)[int(part * len(values))]
    lower = np.max(np.where(values < upper - 1e-6, values, -np.inf), axis=0)
    lower: Array = np.where(np.isfinite(lower), lower, upper + 2e-3)
    return lower + rng.uniform(0.3, 0.7) * (upper - lower)


@dataclass
class Network:
    """A graph, what drives it, [step, sample, ...], and how it is to be compiled."""

    graph: Graph
    choices: Choices
    rasters: dict[str, Array]
    features: set[str]

    def samples(self) -> list[dict[str, Array]]:
        """The rasters of each sample, [step, ...]."""
        count = next(iter(self.rasters.values())).shape[1]
        return [{name: raster[:, sample] for name, raster in self.rasters.items()} for sample in range(count)]


@dataclass
class Count:
    """What a run of many networks came across.

    stopped      networks whose comparison ended where rounding may have decided about a spike
    spiking      nodes that can spike, by primitive; lively: those that did both, spike and pause
    """

    networks: int = 0
    stopped: int = 0
    steps: int = 0
    cells: int = 0
    spikes: int = 0
    features: Counter[str] = field(default_factory=Counter[str])
    spiking: Counter[str] = field(default_factory=Counter[str])
    lively: Counter[str] = field(default_factory=Counter[str])

    def add(self, network: Network, simulator: Simulator, trace: dict[str, Array], until: int) -> None:
        """Count one sample of one network, compared for `until` steps."""
        self.steps += until
        self.cells += until * sum(int(np.prod(node.shape)) for node in network.graph.ports("Output").values())
        for name, node in simulator.flat.nodes.items():
            if node.kind in BINARY:
                self.spikes += int(trace[name].sum())
                self.spiking[node.kind] += 1
                self.lively[node.kind] += bool(trace[name].any() and not trace[name].all())


def choose(draw: Draw) -> Choices:
    """What the file leaves open, as the flags say it."""

    def pick(items: Sequence[T]) -> T:
        return items[draw(0, len(items) - 1)]

    return Choices(
        dt=pick((1e-3, 1e-4, 1.0, 0.25)),
        exact=pick((False, True)),
        reset=pick(("auto", "v_reset", "subtract", "zero")),
        v_init=pick(("v_leak", "0", "v_reset")),
        if_gain=pick(("auto", "auto", "auto", "r", "r*dt", "unit")),
        rec_cut=pick(("neuron", "weight")),
    )


def random_network(draw: Draw, rng: np.random.Generator, size: Size, choices: Choices | None = None) -> Network | None:
    """A network whose neurons spike and pause; None where a loop without a leak lets values grow too far."""
    choices = choose(draw) if choices is None else choices
    builder = Builder(draw, rng, choices, size)
    shapes = [tuple(draw(2, 5) if rank == 1 else draw(1 + axis, 4) for axis in range(rank)) for rank in ranks(draw)]
    graph = builder.build(shapes)
    samples = 1 + (draw(0, 9) > 7)
    rasters = dict[str, Array]()
    for name, node in graph.ports("Input").items():
        shape = (STEPS, samples, *node.shape)
        rasters[name] = rng.uniform(-0.3, 1.2, shape) if draw(0, 1) else (rng.random(shape) < 0.4).astype(np.float64)
    features = builder.features | ({"several samples"} if samples > 1 else set[str]())
    network = Network(graph, choices, rasters, features)
    greatest = wake(graph, choices, network.samples()[0], rng)
    return network if greatest < 1e5 else None


def ranks(draw: Draw) -> Iterator[int]:
    """The ranks of one to three Inputs."""
    for _ in range(1 + (draw(0, 9) > 5) + (draw(0, 9) > 8)):
        yield 1 + draw(0, 2)


def scheme(choices: Choices) -> str:
    """The text of --scheme; defaults are left to nirc."""
    if choices.simulator:
        return choices.simulator
    name, default = "nir-exp-euler" if choices.exact else "nir-euler", Choices(choices.dt)
    for option in ("v_init", "if_gain", "rec_cut"):
        if getattr(choices, option) != getattr(default, option):
            name += f",{option}={getattr(choices, option)}"
    return name


def write(path: Path, graph: Graph) -> None:
    """A .nir file as NIR's own package writes it."""
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=h5py.string_dtype())
        write_graph(file.create_group("node"), graph)


def write_graph(group: h5py.Group, graph: Graph) -> None:
    """A graph and those in it."""
    group.create_dataset("type", data="NIRGraph", dtype=h5py.string_dtype())
    group.create_dataset("edges", data=graph.edges, dtype=h5py.string_dtype())
    nodes = group.create_group("nodes")
    for name, node in graph.nodes.items():
        inner = nodes.create_group(name)
        if isinstance(node, Graph):
            write_graph(inner, node)
            continue
        inner.create_dataset("type", data=node.kind, dtype=h5py.string_dtype())
        for field_name, value in node.fields.items():
            inner.create_dataset(field_name, data=value, dtype=h5py.string_dtype() if isinstance(value, str) else None)


def structure(simulator: Simulator) -> set[str]:
    """The primitives in a network and what its edges do."""
    flat, cuts = simulator.flat, simulator.cuts
    found = {node.kind for node in flat.nodes.values()}
    facts = {
        "fan-in": any(len(set(sources)) > 1 for sources in flat.sources.values()),
        "fan-out": any(len(targets) > 1 for targets in flat.targets().values()),
        "one node twice into another": any(len(set(sources)) < len(sources) for sources in flat.sources.values()),
        "several Inputs": sum(node.kind == "Input" for node in flat.nodes.values()) > 1,
        "several Outputs": sum(node.kind == "Output" for node in flat.nodes.values()) > 1,
        "recurrence": bool(cuts),
        "self loop": any(source == target for source, target in cuts),
        "loop of several nodes": any(source != target for source, target in cuts),
        "cut behind a node without state": any(source not in simulator.stateful for source, _ in cuts),
        "several cuts": len(cuts) > 1,
        "Delay in a loop": any(on_loop(flat, name) for name in simulator.delays),
    }
    return found | {name for name, holds in facts.items() if holds}


def check(network: Network, path: Path, count: Count) -> None:
    """Compile and run a network, and compare every Output with the simulator, sample by sample."""
    write(path, network.graph)
    choices, samples = network.choices, network.samples()
    program = nirc.compile(path, dt=choices.dt, scheme=scheme(choices), reset=choices.reset, precision="f64")
    results = program.run(network.rasters if len(samples) > 1 else samples[0])
    assert results.keys() == network.graph.ports("Output").keys()
    simulator = Simulator(network.graph, choices)
    stopped = False
    for number, rasters in enumerate(samples):
        simulator = Simulator(network.graph, choices)
        trace = simulator.run(rasters)
        until = STEPS if simulator.first_close is None else simulator.first_close
        for name, result in results.items():
            got, expected = (result[:, number] if len(samples) > 1 else result), trace[name]
            assert got.shape == expected.shape, name
            if all(simulator.flat.nodes[source].kind in BINARY for source in simulator.flat.sources[name]):
                np.testing.assert_array_equal(got[:until], expected[:until], name)
            np.testing.assert_allclose(got[:until], expected[:until], rtol=1e-9, atol=1e-9, err_msg=name)
        count.add(network, simulator, trace, until)
        stopped |= until < STEPS
    count.networks += 1
    count.stopped += stopped
    count.features.update(network.features | structure(simulator) | flags(choices))


def flags(choices: Choices) -> set[str]:
    """The choices, for the count."""
    names = ("exact", "reset", "v_init", "if_gain", "rec_cut")
    return {f"{name} {getattr(choices, name)}" for name in names}


def test_many_networks(tmp_path: Path) -> None:
    """Every primitive and every feature in at least 50 networks that live, each equal to the simulator."""
    count = Count()
    for number in range(NETWORKS):
        rng = np.random.default_rng((2026, number))
        network = random_network(lambda low, high, rng=rng: int(rng.integers(low, high + 1)), rng, Size(7, 4, 2))
        if network is not None:
            try:
                check(network, tmp_path / "network.nir", count)
            except BaseException as error:
                error.add_note(f"this is network {number}")
                raise
    assert count.networks > 0.9 * NETWORKS
    assert count.stopped < 0.02 * count.networks
    assert {name: count.features[name] for name in FEATURES if count.features[name] < 50} == {}
    assert {kind: count.lively[kind] for kind in BINARY if count.lively[kind] < 0.9 * count.spiking[kind]} == {}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_many_networks_under_a_scheme(tmp_path: Path, simulator: str) -> None:
    """Loops of all kinds, late connections, stored voltages, counts: each network equal to the rules' simulator."""
    count = Count()
    for number in range(PER_SCHEME):
        rng = np.random.default_rng((1999, number, *simulator.encode()))
        choices = Choices(dt=(1e-3, 1.0, 0.25)[number % 3], simulator=simulator)
        network = random_network(
            lambda low, high, rng=rng: int(rng.integers(low, high + 1)), rng, Size(6, 3, 1), choices
        )
        if network is not None:
            try:
                check(network, tmp_path / "network.nir", count)
            except BaseException as error:
                error.add_note(f"this is network {number}")
                raise
    assert count.networks > 0.8 * PER_SCHEME
    assert count.stopped < 0.1 * count.networks
    assert count.spikes > 10 * count.networks
    assert {kind for kind in BINARY if not count.lively[kind]} == set()
    assert count.features["recurrence"] + count.features["Delay in a loop"] > PER_SCHEME / 8


def test_every_scheme_is_tested() -> None:
    assert list(SIMULATORS) == list(SCHEMES)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Small networks, which shrink towards one Input, one node and one Output."""
    seed = draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    network = random_network(lambda low, high: draw(st.integers(low, high)), rng, Size(4, 2, 1))
    assume(network is not None)
    assert network is not None
    return network


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(network=networks())
def test_a_small_network(network: Network, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(network, tmp_path_factory.mktemp("small", numbered=True) / "network.nir", Count())
