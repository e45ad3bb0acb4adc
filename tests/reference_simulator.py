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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
    """What a NIR file leaves open; `simulator`: the one that chooses in their place."""

    dt: float
    exact: bool = False
    reset: str = "auto"
    v_init: str = "v_leak"
    if_gain: str = "auto"
    rec_cut: str = "neuron"
    simulator: str = ""

    @property
    def rules(self) -> Rules:
        """How a step is made."""
        if self.simulator:
            return SIMULATORS[self.simulator]
        decay = "exp" if self.exact else "euler"
        return Rules(decay, decay, reset=self.reset, v_init=self.v_init, if_gain=self.if_gain, rec_cut=self.rec_cut)


@dataclass(frozen=True)
class Rules:
    """How a simulator makes a step: a row of the table of simulators, in the words of its specification.

    mem, syn      euler: 1 - dt/tau, exp: exp(-dt/tau); clip: not below 0
    lif, cuba     what x adds to v of a LIF or LI, what i adds to v
    weigh         what x adds to i
    fold          x enters with gain 1, the threshold is divided by the gain that it has in the file
    leak          decay: v goes to v_leak; bias: v_leak is added; none: it has to be 0. pull: i goes to v_leak too
    first         of these ("syn", "lif", "li") the input enters before the decay
    uses          v integrates the new i, the old i, or its exact course
    stored        spikes are those of the v that was stored
    late          ("weights", "LIF", "LI"): what is a step late
    reset         in this order of a CubaLIF, a LIF, an IF, where they differ
    at            likewise: post, next, pre, leak, twice; of a feed-forward CubaLIF, of a recurrent one, of others
    """

    mem: str = "euler"
    syn: str = "euler"
    clip: bool = False
    lif: str = "r(1-a)"
    cuba: str = "r(1-a)"
    weigh: str = "w(1-b)"
    if_gain: str = "auto"
    if_decay: float = 1.0
    fold: bool = False
    leak: str = "decay"
    pull: bool = False
    first: tuple[str, ...] = ()
    uses: str = "new"
    stored: bool = False
    late: tuple[str, ...] = ()
    equal: bool = False
    counts: bool = False
    high: bool = False
    reset: str | tuple[str, str, str] = "auto"
    at: str | tuple[str, str, str] = "post"
    prereset: bool = False
    least: tuple[str, str] = ("none", "none")
    nengo: bool = False
    v_init: str = "v_leak"
    rec_cut: str = "neuron"
    rec_bias: bool = True


_UNIT = Rules(lif="1", cuba="1", weigh="1", if_gain="unit", leak="none", v_init="0")
_NORSE = Rules(lif="1-a", if_gain="unit", pull=True, reset="zero", rec_cut="weight")
_SNNTORCH = replace(_UNIT, clip=True, fold=True)
_COUNTS = replace(_UNIT, mem="exp", syn="exp", equal=True, counts=True, reset="subtract")
_SPYX = replace(_UNIT, clip=True, stored=True, reset="subtract", rec_bias=False)
_LAVA = Rules(lif="dt/tau", cuba="r dt/tau", if_gain="unit", leak="none", late=("weights",), reset="zero", v_init="0")
_SC = Rules(if_gain="r*dt", reset="v_reset", rec_cut="weight")

SIMULATORS: dict[str, Rules] = {
    "nir-euler": Rules(),
    "nir-exp-euler": Rules("exp", "exp"),
    "nir-exact-zoh": Rules("exp", "exp", uses="exact"),
    "norse": _NORSE,
    "norse-subtract": replace(_NORSE, reset=("subtract", "zero", "zero")),
    "snntorch": replace(_SNNTORCH, reset=("zero", "zero", "subtract"), prereset=True, if_decay=0.9),
    "snntorch-subtract": replace(_SNNTORCH, reset="subtract", prereset=True, if_decay=0.9),
    "snntorch-native": replace(_SNNTORCH, reset="subtract", at="next"),
    "sinabs": replace(_COUNTS, least=("none", "-thr")),
    "rockpool": replace(_COUNTS, leak="bias", first=("syn", "li"), rec_bias=False),
    "spyx": replace(_SPYX, at=("pre", "pre", "leak")),
    "spyx-0.1": replace(_SPYX, lif="dt/tau", weigh="w dt/tau", at=("twice", "pre", "leak")),
    "nengo": Rules(
        "exp",
        lif="1-a",
        if_gain="unit",
        leak="none",
        uses="old",
        late=("LI",),
        high=True,
        reset="zero",
        nengo=True,
        v_init="0",
    ),
    "lava": _LAVA,
    "lava-nir": replace(_LAVA, late=("weights", "LIF")),
    "spikingjelly": Rules(if_gain="r*dt", equal=True, reset="v_reset", v_init="v_reset", rec_cut="weight"),
    "sc-neurocore": _SC,
    "sc-neurocore-subtract": replace(_SC, reset="subtract"),
    "s2-nir": replace(_UNIT, fold=True, late=("weights",), reset="zero"),
}
"""The simulators, from the table of their presets; none of nirc's options takes part."""

WEIGHTS = frozenset({"Affine", "Linear", "Conv1d", "Conv2d"})


def known_early(flat: Flat, choices: Choices) -> set[str]:
    """The nodes whose output does not depend on what arrives at the same step."""
    rules = choices.rules
    kinds = set[str]()
    if rules.stored:
        kinds |= SPIKING
    if "weights" in rules.late:
        kinds |= WEIGHTS
    if "LIF" in rules.late:
        kinds |= {"LIF"}
    if "LI" in rules.late:
        kinds |= {"LI", "I", "CubaLI"}
    if rules.uses == "old":
        kinds |= {"CubaLIF", "CubaLI"}
    return cutting_delays(flat, choices.dt) | {name for name, node in flat.nodes.items() if node.kind in kinds}


def exact_step(tau_mem: Array, tau_syn: Array, r: Array, w: Array, dt: float) -> Array:
    """exp(A dt) of d/dt (i, v, x) = A (i, v, x), x held and v_leak 0, for each element: a Taylor series, squared."""
    zero = np.zeros(np.broadcast_shapes(*map(np.shape, (tau_mem, tau_syn, r, w))))
    rows = [[-1 / tau_syn, zero, w / tau_syn], [r / tau_mem, -1 / tau_mem, zero], [zero, zero, zero]]
    matrix = np.stack([np.stack([item + zero for item in row], -1) for row in rows], -2) * dt / 2**12
    term = total = np.broadcast_to(np.eye(3), matrix.shape)
    for n in range(1, 12):
        term = term @ matrix / n
        total = total + term
    for _ in range(12):
        total = total @ total
    return total


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


def cut_edges(flat: Flat, early: Iterable[str]) -> set[Edge]:
    """The edges to a node still open on the walk. A cutting Delay on a loop is the cut of its loops: edges into it are
    not walked (defaults.md does not say whether they are; where other loops are cut depends on it). So are all nodes
    whose output is known before their input is."""
    delays = {name for name in early if on_loop(flat, name)}
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
        self.choices, self.rules = choices, choices.rules
        self.flat = inline(graph)
        self.delays = known_early(self.flat, choices)
        self.cuts = cut_edges(self.flat, self.delays)
        self.stateful = stateful(self.flat, choices.dt)
        if "weights" in self.rules.late:
            self.stateful |= {name for name, node in self.flat.nodes.items() if node.kind in WEIGHTS}
        self.back = self._way_back()
        self.order = self._order()
        self.first_close: int | None = None
        self.step = 0
        self.inputs = dict[str, Array]()
        self.last = dict[str, Array]()
        self.voltage = dict[str, Array]()
        self.current = dict[str, Array]()
        self.refractory = dict[str, Array]()
        self.held = dict[str, Array]()
        self.queue = dict[str, list[Array]]()
        self.matrices = dict[str, Array]()
        for name, node in self.flat.nodes.items():
            self._prepare(name, node)

    def _way_back(self) -> set[str]:
        """The nodes without state that lead to the edges that would close loops if nothing were known early."""
        found = {source for source, _ in cut_edges(self.flat, ())} - self.stateful
        todo = list(found)
        while todo:
            more = set(self.flat.sources[todo.pop()]) - self.stateful - found
            found |= more
            todo += more
        return found

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
        """1 where the value is above the threshold, strictly, or as the rules say; or how often it holds it."""
        rules = self.rules
        counts = rules.counts and self.flat.nodes[name].kind in SPIKING
        away = np.abs(value - threshold)
        if counts:
            away = np.abs(value - np.maximum(np.round(value / threshold), 1) * threshold)
        if self.first_close is None and bool((away < CLOSE * np.maximum(1, np.abs(threshold))).any()):
            self.first_close = self.step
        above = value >= threshold if rules.equal else value > threshold
        return np.where(above, np.floor(value / threshold), 0.0) if counts else above.astype(np.float64)

    def settle(self, node: Node, v: Array, spikes: Array, scale: Array) -> Array:
        """v after a spike: 0, v_reset, or less by threshold - v_reset. `auto`: v_reset, which may be 0."""
        v_reset = scale * np.asarray(node.fields.get("v_reset", 0.0))
        rule = self.rules.reset
        match rule if isinstance(rule, str) else rule[("CubaLIF", "LIF", "IF").index(node.kind)]:
            case "zero":
                after = np.zeros_like(v)
            case "subtract":
                after = v - spikes * (scale * node.fields["v_threshold"] - v_reset)
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
        self.held[name] = np.zeros(node.in_shape)
        if node.kind in NEURONS:
            start = 0.0 if self.rules.v_init == "0" else node.fields.get(self.rules.v_init, 0.0)
            self.voltage[name] = np.broadcast_to(self._scale(node) * start, node.shape).astype(np.float64)
            rest = self._scale(node) * np.asarray(node.fields.get("v_leak", 0.0)) if self.rules.pull else 0.0
            self.current[name] = np.broadcast_to(rest, node.shape).astype(np.float64)
            self.refractory[name] = np.zeros(node.shape)
        elif node.kind == "Delay":
            self.queue[name] = [np.zeros(node.shape) for _ in range(int(steps_of(node, self.choices.dt).max()))]
        elif node.kind.startswith("Conv") or node.kind.endswith("Pool2d"):
            self.matrices[name] = window_matrix(node)

    def _one_step(self) -> dict[str, Array]:
        """Every node's output at this step."""
        values, old = dict[str, Array](), dict[str, Array]()
        for name in self.order:
            node = self.flat.nodes[name]
            if node.kind == "Delay" and name in self.delays:
                values[name] = self._delayed(name, node, np.zeros(node.shape))
            elif name in self.delays:
                values[name] = self._early(name, node)
            else:
                values[name] = self._output(name, node, self._arriving(name, values, old))
        for name, queue in self.queue.items():
            queue.insert(0, self._arriving(name, values, old))
            queue.pop()
        for name in self.delays - self.queue.keys():
            self._late(name, self.flat.nodes[name], self._arriving(name, values, old))
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
        if self.rules.rec_cut == "weight" or name in self.stateful:
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
                return fields["weight"] @ x + self._bias(name, fields.get("bias", 0.0))
            case "Scale":
                return fields["scale"] * x
            case "Threshold":
                return self.fires(name, x, fields["threshold"])
            case "Delay":
                return self._delayed(name, node, x)
            case "Flatten":
                return x.reshape(node.shape)
            case "Conv1d" | "Conv2d":
                bias = self._bias(name, np.asarray(fields["bias"]).reshape(-1, *[1] * (len(node.shape) - 1)))
                return (self.matrices[name] @ x.ravel()).reshape(node.shape) + bias
            case "SumPool2d" | "AvgPool2d":
                return (self.matrices[name] @ x.ravel()).reshape(node.shape)
            case _:
                return self._neuron(name, node, x)

    def _delayed(self, name: str, node: Node, x: Array) -> Array:
        """Each element as it arrived its number of steps ago, x where that is none. queue[k]: k + 1 steps ago."""
        steps, past = steps_of(node, self.choices.dt), np.array([x, *self.queue[name]])
        return np.take_along_axis(past, steps[np.newaxis], 0)[0]

    def _bias(self, name: str, bias: Any) -> Any:
        """The bias of weights, unless they stand on the way back of a loop and the simulator drops it there."""
        return 0.0 * bias if name in self.back and not self.rules.rec_bias else bias

    def _early(self, name: str, node: Node) -> Array:
        """What a node puts out before it is known what arrives."""
        if node.kind in WEIGHTS or (node.kind == "LIF" and "LIF" in self.rules.late):
            return self._output(name, node, self.held[name])
        if node.kind in SPIKING and self.rules.stored:
            return self.fires(name, self.voltage[name], self._scale(node) * node.fields["v_threshold"])
        if "LI" in self.rules.late and node.kind not in SPIKING:
            return self.voltage[name]
        return self._neuron(name, node, np.zeros(node.shape))

    def _late(self, name: str, node: Node, x: Array) -> None:
        """What a node does with what arrives once that is known."""
        rules = self.rules
        if node.kind in WEIGHTS or (node.kind == "LIF" and "LIF" in rules.late):
            self.held[name] = x
        elif node.kind in SPIKING and rules.stored:
            scale, v = self._scale(node), self.voltage[name]
            spikes = self.fires(name, v, scale * node.fields["v_threshold"])
            at = self._at(name, node)
            if at != "leak":
                self.voltage[name] = self.settle(node, v, spikes, scale)
            after = self._integrate(name, node, x)
            self.voltage[name] = after if at == "pre" else self.settle(node, after, spikes, scale)
        elif "LI" in rules.late and node.kind not in SPIKING:
            self.voltage[name] = self._integrate(name, node, x)
            if node.kind == "CubaLI" and rules.uses == "old":
                self.current[name] = self._synapse(name, node, x)
        else:
            self.current[name] = self._synapse(name, node, x)

    def _at(self, name: str, node: Node) -> str:
        """When a spike acts on v."""
        if isinstance(self.rules.at, str):
            return self.rules.at
        if node.kind != "CubaLIF":
            return self.rules.at[2]
        return self.rules.at[1] if on_loop(self.flat, name) else self.rules.at[0]

    def _scale(self, node: Node) -> Array:
        """By what v is multiplied where the threshold is."""
        fields, dt = node.fields, self.choices.dt
        if not self.rules.fold or node.kind not in ("LIF", "CubaLIF"):
            return np.ones(())
        if node.kind == "LIF":
            return fields["tau"] / (fields["r"] * dt)
        return fields["tau_syn"] / (fields["w_in"] * dt)

    def _neuron(self, name: str, node: Node, x: Array) -> Array:
        """Leak and integrate, then compare and reset."""
        rules, scale = self.rules, self._scale(node)
        if node.kind not in SPIKING:
            self.voltage[name] = self._integrate(name, node, x)
            return self.voltage[name]
        threshold = scale * node.fields["v_threshold"]
        if rules.nengo:
            spikes = self._nengo(name, node, x)
        elif rules.at == "next" or (rules.prereset and self._subtracts(node)):
            before = (self.voltage[name] > threshold).astype(np.float64)
            free = self._integrate(name, node, x)
            u = self.settle(node, free, before, scale)
            spikes = self.fires(name, u, threshold)
            self.voltage[name] = u if rules.at == "next" else self.settle(node, free, spikes, scale)
        else:
            v = self._integrate(name, node, x)
            spikes = self.fires(name, v, threshold)
            v = self.settle(node, v, spikes, scale)
            low = rules.least[node.kind == "IF"]
            self.voltage[name] = np.maximum(v, -threshold) if low == "-thr" else v
        return spikes / self.choices.dt if rules.high and node.kind == "LIF" else spikes

    def _subtracts(self, node: Node) -> bool:
        rule = self.rules.reset
        return (rule if isinstance(rule, str) else rule[("CubaLIF", "LIF", "IF").index(node.kind)]) == "subtract"

    def _nengo(self, name: str, node: Node, x: Array) -> Array:
        """Nengo's LIF as it stands in its source, v in units of the threshold, with the refractory time that catches up
        with the rest of a spike's step; an IF of the paper's script."""
        fields, dt, v = node.fields, self.choices.dt, self.voltage[name] / node.fields["v_threshold"]
        if node.kind == "IF":
            v = v + x / fields["v_threshold"]
            spikes = self.fires(name, v * fields["v_threshold"], fields["v_threshold"])
            self.voltage[name] = np.where(spikes > 0, 0, v) * fields["v_threshold"]
            return spikes
        if node.kind == "LIF":
            tau, drive = fields["tau"], x / fields["v_threshold"]
        else:
            tau, drive = fields["tau_mem"], fields["r"] * self.current[name] / fields["v_threshold"]
        self.refractory[name] = self.refractory[name] - dt
        left = np.clip(dt - self.refractory[name], 0, dt)
        v = v - (drive - v) * np.expm1(-left / tau)
        spikes = self.fires(name, v * fields["v_threshold"], fields["v_threshold"])
        with np.errstate(all="ignore"):
            passed = dt + tau * np.log1p(-(v - 1) / (drive - 1))
        # A rehearsal lets neurons spike that would not.
        crossed = (spikes > 0) & (v > 1) & (v < drive)
        self.refractory[name] = np.where(crossed, passed, self.refractory[name])
        v = np.where(spikes > 0, 0, np.maximum(v, 0))
        self.voltage[name] = v * fields["v_threshold"]
        return spikes

    def _synapse(self, name: str, node: Node, x: Array) -> Array:
        """i after this step."""
        rules, fields, i = self.rules, node.fields, self.current[name]
        b = self._decay(fields["tau_syn"], rules.syn)
        gain = self._gain(rules.weigh, fields["w_in"], b, fields["tau_syn"])
        i = b * (i + gain * x) if "syn" in rules.first else b * i + gain * x
        return i + (1 - b) * self._scale(node) * fields["v_leak"] if rules.pull else i

    def _gain(self, rule: str, factor: Any, decay: Array, tau: Any, *, of_input: bool = True) -> Array:
        """What a value adds: a weight or 1, times what a step lets in or dt/tau or 1."""
        if rule == "1" or (of_input and self.rules.fold):
            return np.ones(())
        weight = np.asarray(factor) if rule[0] in "rw" else np.ones(())
        return weight * (self.choices.dt / np.asarray(tau) if rule.endswith("dt/tau") else 1 - decay)

    def _integrate(self, name: str, node: Node, x: Array) -> Array:
        """The membrane before a spike."""
        fields, v, rules = node.fields, self.voltage[name], self.rules
        if node.kind in ("IF", "I"):
            return (rules.if_decay if node.kind == "IF" else 1) * v + self._if_gain(fields["r"]) * x
        tau = fields["tau" if "tau" in fields else "tau_mem"]
        a = self._decay(tau, rules.mem)
        rest = {"decay": 1 - a, "bias": 1.0, "none": 0.0}[rules.leak] * self._scale(node) * fields["v_leak"]
        if node.kind in ("LIF", "LI"):
            gain = self._gain(rules.lif, fields["r"], a, tau)
            return (a * (v + gain * x) if node.kind.lower() in rules.first else a * v + gain * x) + rest
        if rules.uses == "exact":
            step = exact_step(tau, fields["tau_syn"], fields["r"], fields["w_in"], self.choices.dt)
            was = np.stack([self.current[name], v - fields["v_leak"], x + np.zeros_like(v)], -1)[..., None]
            now = (step @ was)[..., 0]
            self.current[name] = now[..., 0]
            return now[..., 1] + fields["v_leak"]
        if rules.uses == "new":
            self.current[name] = self._synapse(name, node, x)
        gain = self._gain(rules.cuba, fields["r"], a, tau, of_input=False)
        return a * v + gain * self.current[name] + rest

    def _decay(self, tau: Any, kind: str) -> Array:
        """What is left after one step."""
        ratio = self.choices.dt / np.asarray(tau, np.float64)
        left = np.exp(-ratio) if kind == "exp" else 1 - ratio
        return np.clip(left, 0, 1) if self.rules.clip else left

    def _if_gain(self, r: Any) -> Array:
        """g of IF and I. `auto`: r dt where r is 1/dt and dt is not 1, else r."""
        r, dt = np.asarray(r, np.float64), self.choices.dt
        match self.rules.if_gain:
            case "unit":
                return np.ones_like(r)
            case "r*dt":
                return r * dt
            case "r":
                return r
            case _:
                return r * dt if dt != 1 and np.allclose(r * dt, 1, rtol=0, atol=1e-6) else r
