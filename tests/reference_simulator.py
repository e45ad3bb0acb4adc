"""A plain simulator of NIR graphs, written from the equations and sharing no code with nirc.

At every step each node takes the sum x of what arrives, and puts out y. With a = 1 - dt/tau (forward Euler) or
exp(-dt/tau), b likewise of tau_syn, and primes on this step's values:

    LIF, LI          v' = a v + r (1 - a) x + (1 - a) v_leak
    CubaLIF, CubaLI  i' = b i + w_in (1 - b) x;  v' = a v + r (1 - a) i' + (1 - a) v_leak
    IF, I            v' = v + g x, g = r, r dt or 1
    spikes           y = 1 where v' > v_threshold, then v' is reset;  without a threshold y = v'
    Delay            y(t) = x(t - round(delay / dt)), 0 before the first step
    Threshold        y = 1 where x > threshold
    Affine, Linear   y = W x + bias
    Scale            y = scale x
    Conv1d, Conv2d   cross-correlation with zeros around; `same` pads d (k - 1) in all, the odd one at the end
    SumPool2d        sum over the window;  AvgPool2d: that divided by the size of the whole window
    Flatten          the axes from start_dim to end_dim become one

Nested graphs are inlined first (`sub.lif`), their Inputs and Outputs are wires. Where a cycle needs a cut, the edges
that close one on a walk depth first, from the Inputs and then from the rest, successors by name, carry old values.
A Delay of a step or more cuts the loops that it lies on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Edge: TypeAlias = tuple[str, str]

SPIKING = frozenset({"IF", "LIF", "CubaLIF"})
NEURONS = SPIKING | {"I", "LI", "CubaLI"}
CLOSE = 1e-9
"""Where a value is this near to its threshold, rounding decides whether it spikes."""


@dataclass
class Node:
    """A node of a NIR file: its type, its fields as they are stored, and the shapes of its input and output."""

    kind: str
    fields: dict[str, Any]
    in_shape: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass
class Graph:
    """A graph of a NIR file."""

    nodes: dict[str, Node | Graph] = field(default_factory=dict[str, "Node | Graph"])
    edges: list[Edge] = field(default_factory=list[Edge])

    def ports(self, kind: str) -> dict[str, Node]:
        """The Inputs or Outputs by name."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, Node) and node.kind == kind}


@dataclass(frozen=True)
class Choices:
    """What a NIR file leaves open."""

    dt: float
    exact: bool = False
    reset: str = "auto"
    v_init: str = "v_leak"
    if_gain: str = "auto"
    rec_cut: str = "neuron"


@dataclass
class Flat:
    """A graph without nested graphs: nodes by full name, and for each the nodes that feed it, repeats included."""

    nodes: dict[str, Node]
    sources: dict[str, list[str]]

    def targets(self) -> dict[str, list[str]]:
        """The nodes that a node feeds, by name and once each."""
        found = defaultdict[str, set[str]](set)
        for target, sources in self.sources.items():
            for source in sources:
                found[source].add(target)
        return {name: sorted(found[name]) for name in self.nodes}


def expand(graph: Graph) -> Flat:
    """Put the nodes of nested graphs under full names; their ports are nodes still."""
    flat = Flat({}, defaultdict(list))
    _collect(graph, "", flat)
    flat.sources = {name: flat.sources.get(name, []) for name in flat.nodes}
    return flat


def inline(graph: Graph) -> Flat:
    """Put the nodes of nested graphs under full names and join what their ports connect."""
    flat = expand(graph)
    outer = graph.ports("Input").keys() | graph.ports("Output").keys()
    for port in [name for name, node in flat.nodes.items() if node.kind in ("Input", "Output") and name not in outer]:
        del flat.nodes[port]
        feeding = flat.sources.pop(port)
        for name, sources in flat.sources.items():
            flat.sources[name] = [new for old in sources for new in (feeding if old == port else [old])]
    return flat


def _collect(graph: Graph, prefix: str, flat: Flat) -> None:
    """Add the nodes and edges of a graph and of those in it, ports still being nodes."""
    for name, node in graph.nodes.items():
        if isinstance(node, Graph):
            _collect(node, f"{prefix}{name}.", flat)
        else:
            flat.nodes[prefix + name] = node
    for source, target in graph.edges:
        flat.sources[prefix + _port(graph, target, "Input")].append(prefix + _port(graph, source, "Output"))


def _port(graph: Graph, end: str, kind: str) -> str:
    """The full name of the node at an edge's end: a nested graph is named alone or as `node.port`."""
    node = graph.nodes.get(end)
    if isinstance(node, Graph):
        (only,) = node.ports(kind)
        return f"{end}.{only}"
    return end


def steps_of(node: Node, dt: float) -> npt.NDArray[np.int64]:
    """The steps by which a Delay holds each element back."""
    steps = np.round(np.asarray(node.fields["delay"], np.float64) / dt).astype(np.int64)
    return np.broadcast_to(steps, node.shape)


def cutting_delays(flat: Flat, dt: float) -> set[str]:
    """The Delays of at least one step in every element: what comes out does not depend on what arrives."""
    return {name for name, node in flat.nodes.items() if node.kind == "Delay" and bool((steps_of(node, dt) > 0).all())}


def stateful(flat: Flat, dt: float) -> set[str]:
    """Neurons, and Delays that delay anything."""
    neurons = {name for name, node in flat.nodes.items() if node.kind in NEURONS}
    return neurons | {n for n, node in flat.nodes.items() if node.kind == "Delay" and (steps_of(node, dt) > 0).any()}


def on_loop(flat: Flat, name: str) -> bool:
    """Whether a way leads from a node back to it."""
    targets, seen = flat.targets(), set[str]()
    todo = targets[name]
    while todo:
        seen.update(todo)
        todo = [target for source in todo for target in targets[source] if target not in seen]
    return name in seen


def cut_edges(flat: Flat, dt: float) -> set[Edge]:
    """The edges to a node still open on the walk. A cutting Delay on a loop is the cut of its loops: edges into it are
    not walked (defaults.md does not say whether they are; where other loops are cut depends on it)."""
    delays = {name for name in cutting_delays(flat, dt) if on_loop(flat, name)}
    targets = {name: [t for t in found if t not in delays] for name, found in flat.targets().items()}
    roots = sorted(flat.nodes, key=lambda name: (flat.nodes[name].kind != "Input", name))
    entered, left, closing = set[str](), set[str](), set[Edge]()

    def walk(name: str) -> None:
        entered.add(name)
        for target in targets[name]:
            if target not in entered:
                walk(target)
            elif target not in left:
                closing.add((name, target))
        left.add(name)

    for root in roots:
        if root not in entered:
            walk(root)
    return closing


def window_matrix(node: Node) -> Array:
    """A convolution or a pool as a matrix from all elements of the input to all of the output.

    y[o, p, q] = sum over c, i, j of w[o, c, i, j] x[c0 + c, p sh + i dh - ph, q sw + j dw - pw], where x is 0 outside
    and c0 is the first channel of the group of o. A Conv1d has one row; a pool has one channel per group.
    """
    fields, (channels, height, width) = node.fields, _three(node.in_shape)
    outputs, rows, columns = _three(node.shape)
    if node.kind.startswith("Conv"):
        weight = np.asarray(fields["weight"], np.float64)
        weight = weight.reshape(*weight.shape[:2], -1, weight.shape[-1])
        groups, dilation = int(np.ravel(fields["groups"])[0]), _pair(node, fields["dilation"], 1)
    else:
        kernel = _pair(node, fields["kernel_size"], 1)
        weight = np.ones((channels, 1, *kernel)) / (np.prod(kernel) if node.kind == "AvgPool2d" else 1)
        groups, dilation = channels, (1, 1)
    stride, padding = _pair(node, fields["stride"], 1), _before(node, weight, dilation)
    matrix = np.zeros((outputs, rows, columns, channels, height, width))
    taps = list(product(*map(range, weight.shape[1:])))
    for o, p, q in product(range(outputs), range(rows), range(columns)):
        first = o // (outputs // groups) * weight.shape[1]
        for c, i, j in taps:
            y, x = p * stride[0] + i * dilation[0] - padding[0], q * stride[1] + j * dilation[1] - padding[1]
            if 0 <= y < height and 0 <= x < width:
                matrix[o, p, q, first + c, y, x] += weight[o, c, i, j]
    return matrix.reshape(outputs * rows * columns, -1)


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Channels, rows and columns."""
    return shape if len(shape) == 3 else (shape[0], 1, shape[1])


def _pair(node: Node, value: Any, row: int) -> tuple[int, int]:
    """Rows and columns of a field that holds one number for both, or one each; a Conv1d has columns only."""
    numbers = [int(number) for number in np.ravel(value)]
    return (row if node.kind == "Conv1d" else numbers[0], numbers[-1])


def _before(node: Node, weight: Array, dilation: tuple[int, int]) -> tuple[int, int]:
    """The zeros before the first row and the first column."""
    padding = node.fields["padding"]
    if not isinstance(padding, str):
        return _pair(node, padding, 0)
    if padding == "same":
        return (dilation[0] * (weight.shape[2] - 1) // 2, dilation[1] * (weight.shape[3] - 1) // 2)
    return (0, 0)


class Simulator:
    """Runs one graph. Afterwards `first_close` is the first step at which rounding may have decided about a spike."""

    def __init__(self, graph: Graph, choices: Choices) -> None:
        self.choices = choices
        self.flat = inline(graph)
        self.cuts = cut_edges(self.flat, choices.dt)
        self.delays = cutting_delays(self.flat, choices.dt)
        self.stateful = stateful(self.flat, choices.dt)
        self.order = self._order()
        self.first_close: int | None = None
        self.step = 0
        self.inputs = dict[str, Array]()
        self.last = dict[str, Array]()
        self.voltage = dict[str, Array]()
        self.current = dict[str, Array]()
        self.queue = dict[str, list[Array]]()
        self.matrices = dict[str, Array]()
        for name, node in self.flat.nodes.items():
            self._prepare(name, node)

    def run(self, rasters: Mapping[str, Array]) -> dict[str, Array]:
        """All nodes' outputs, [step, ...], for the rasters of the Inputs."""
        steps = len(next(iter(rasters.values())))
        trace = {name: np.zeros((steps, *node.shape)) for name, node in self.flat.nodes.items()}
        for self.step in range(steps):
            self.inputs = {name: raster[self.step] for name, raster in rasters.items()}
            values = self._one_step()
            for name, value in values.items():
                trace[name][self.step] = value
        return trace

    def fires(self, name: str, value: Array, threshold: Array) -> Array:
        """1 where the value is above the threshold, strictly."""
        if self.first_close is None and bool((np.abs(value - threshold) < CLOSE).any()):
            self.first_close = self.step
        return (value > threshold).astype(np.float64)

    def settle(self, node: Node, v: Array, spikes: Array) -> Array:
        """v after a spike: 0, v_reset, or less by threshold - v_reset. `auto`: v_reset, which may be 0."""
        v_reset = np.asarray(node.fields.get("v_reset", 0.0))
        match self.choices.reset:
            case "zero":
                after = np.zeros_like(v)
            case "subtract":
                after = v - (node.fields["v_threshold"] - v_reset)
            case _:
                after = np.broadcast_to(v_reset, v.shape)
        return np.where(spikes > 0, after, v)

    def _order(self) -> list[str]:
        """The nodes such that all that a node needs of this step comes before it."""
        order, done = list[str](), set[str]()

        def visit(name: str) -> None:
            if name not in done:
                done.add(name)
                for source in [] if name in self.delays else self.flat.sources[name]:
                    if (source, name) not in self.cuts:
                        visit(source)
                order.append(name)

        for name in self.flat.nodes:
            visit(name)
        return order

    def _prepare(self, name: str, node: Node) -> None:
        """The state before the first step, and the matrix of a node that is one."""
        self.last[name] = np.zeros(node.shape)
        if node.kind in NEURONS:
            start = 0.0 if self.choices.v_init == "0" else node.fields.get(self.choices.v_init, 0.0)
            self.voltage[name] = np.broadcast_to(start, node.shape).astype(np.float64)
            self.current[name] = np.zeros(node.shape)
        elif node.kind == "Delay":
            self.queue[name] = [np.zeros(node.shape) for _ in range(int(steps_of(node, self.choices.dt).max()))]
        elif node.kind.startswith("Conv") or node.kind.endswith("Pool2d"):
            self.matrices[name] = window_matrix(node)

    def _one_step(self) -> dict[str, Array]:
        """Every node's output at this step."""
        values, old = dict[str, Array](), dict[str, Array]()
        for name in self.order:
            node = self.flat.nodes[name]
            if name in self.delays:
                values[name] = self._delayed(name, node, np.zeros(node.shape))
            else:
                values[name] = self._output(name, node, self._arriving(name, values, old))
        for name, queue in self.queue.items():
            queue.insert(0, self._arriving(name, values, old))
            queue.pop()
        self.last = values
        return values

    def _arriving(self, name: str, values: Mapping[str, Array], old: dict[str, Array]) -> Array:
        """The sum of what arrives at a node; over a cut edge old values come."""
        total = np.zeros(self.flat.nodes[name].in_shape)
        for source in self.flat.sources[name]:
            total = total + (self._old(source, old) if (source, name) in self.cuts else values[source])
        return total

    def _old(self, name: str, old: dict[str, Array]) -> Array:
        """What a node sends over a cut edge.

        weight: what it put out at the last step. neuron: the nodes without state are computed anew from the last
        outputs of those with state; biases and Inputs take part with this step's values.
        """
        if self.choices.rec_cut == "weight" or name in self.stateful:
            return self.last[name]
        if name not in old:
            node = self.flat.nodes[name]
            total = np.zeros(node.in_shape)
            for source in self.flat.sources[name]:
                total = total + self._old(source, old)
            old[name] = self._output(name, node, total)
        return old[name]

    def _output(self, name: str, node: Node, x: Array) -> Array:
        """One step of one node."""
        fields = node.fields
        match node.kind:
            case "Input":
                return self.inputs[name]
            case "Output":
                return x
            case "Affine" | "Linear":
                return fields["weight"] @ x + fields.get("bias", 0.0)
            case "Scale":
                return fields["scale"] * x
            case "Threshold":
                return self.fires(name, x, fields["threshold"])
            case "Delay":
                return self._delayed(name, node, x)
            case "Flatten":
                return x.reshape(node.shape)
            case "Conv1d" | "Conv2d":
                bias = np.asarray(fields["bias"]).reshape(-1, *[1] * (len(node.shape) - 1))
                return (self.matrices[name] @ x.ravel()).reshape(node.shape) + bias
            case "SumPool2d" | "AvgPool2d":
                return (self.matrices[name] @ x.ravel()).reshape(node.shape)
            case _:
                return self._neuron(name, node, x)

    def _delayed(self, name: str, node: Node, x: Array) -> Array:
        """Each element as it arrived its number of steps ago, x where that is none. queue[k]: k + 1 steps ago."""
        steps, past = steps_of(node, self.choices.dt), np.array([x, *self.queue[name]])
        return np.take_along_axis(past, steps[np.newaxis], 0)[0]

    def _neuron(self, name: str, node: Node, x: Array) -> Array:
        """Leak and integrate, then compare and reset."""
        v = self._integrate(name, node, x)
        self.voltage[name] = v
        if node.kind not in SPIKING:
            return v
        spikes = self.fires(name, v, node.fields["v_threshold"])
        self.voltage[name] = self.settle(node, v, spikes)
        return spikes

    def _integrate(self, name: str, node: Node, x: Array) -> Array:
        """The membrane before a spike."""
        fields, v = node.fields, self.voltage[name]
        match node.kind:
            case "IF" | "I":
                return v + self._if_gain(fields["r"]) * x
            case "LIF" | "LI":
                a, drive = self._decay(fields["tau"]), x
            case _:
                a, b = self._decay(fields["tau_mem"]), self._decay(fields["tau_syn"])
                drive = b * self.current[name] + fields["w_in"] * (1 - b) * x
                self.current[name] = drive
        return a * v + fields["r"] * (1 - a) * drive + (1 - a) * fields["v_leak"]

    def _decay(self, tau: Any) -> Array:
        """What is left after one step."""
        ratio = self.choices.dt / np.asarray(tau, np.float64)
        return np.exp(-ratio) if self.choices.exact else 1 - ratio

    def _if_gain(self, r: Any) -> Array:
        """g of IF and I. `auto`: r dt where r is 1/dt and dt is not 1, else r."""
        r, dt = np.asarray(r, np.float64), self.choices.dt
        match self.choices.if_gain:
            case "unit":
                return np.ones_like(r)
            case "r*dt":
                return r * dt
            case "r":
                return r
            case _:
                return r * dt if dt != 1 and np.allclose(r * dt, 1, rtol=0, atol=1e-6) else r
