"""Whether claimed spikes are a solution of NIR's equations: a check that shares no code with nirc and trusts no solver.

A graph is a dictionary of nodes (type, fields, `shape` out and `in`) and a list of edges; signals are flat. Under the
claimed spikes everything is an ordinary differential equation between known instants, integrated by Runge and Kutta's
fourth-order method in small steps. A claim holds where v is at its threshold at each spike (or above it, just after
something arrived at once), where nobody is above a threshold who does not fire, and where the membranes agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
States = dict[str, dict[str, Array]]

SPIKING = ("LIF", "IF", "CubaLIF")
NEURONS = (*SPIKING, "LI", "I", "CubaLI")
MAPS = ("Linear", "Affine", "Scale")
STEP = 4e-5
"""Seconds of a step at most: 1/125 of the shortest time constant."""
TOGETHER = 1e-12
"""Seconds by which instants of one event may differ."""


@dataclass
class Certificate:
    """One check. `worst`: the largest |v - threshold| at a spike that nothing else explains, and the largest excess of
    a v over its threshold; `v`: the membranes at the ends of the raster's steps."""

    nodes: dict[str, dict[str, Any]]
    edges: list[tuple[str, str]]
    dt: float
    impulse: bool
    subtract: bool
    worst: float = 0.0
    v: dict[str, list[Array]] = field(default_factory=dict[str, list[Array]])

    def __post_init__(self) -> None:
        self.sources = {name: [a for a, b in self.edges if b == name] for name in self.nodes}
        self.order: list[str] = []
        for name in self.nodes:
            self.visit(name)
        self.states: States = {}
        for name, node in self.nodes.items():
            if node["type"] in NEURONS:
                v = np.array(np.broadcast_to(node.get("v_leak", 0.0), node["shape"]), float)
                self.states[name] = {"v": v, "i": np.zeros_like(v)}
                self.v[name] = []
        self.level = {name: np.zeros(node["shape"]) for name, node in self.nodes.items()}
        self.heap: list[tuple[float, int, str, str, Array]] = []
        self.number = count()

    def visit(self, name: str) -> None:
        if name not in self.order and self.nodes[name]["type"] in MAPS:
            for source in self.sources[name]:
                self.visit(source)
            self.order.append(name)

    def spread(self, values: dict[str, Array], *, bias: bool) -> dict[str, Array]:
        """What arrives at each node, of these values at sources."""
        outs = dict(values)

        def total(name: str) -> Array:
            nothing = np.zeros(int(self.nodes[name]["in"]))
            return sum((outs.get(source, nothing) for source in self.sources[name]), nothing)

        for name in self.order:
            node, x = self.nodes[name], total(name)
            if node["type"] == "Scale":
                outs[name] = node["scale"] * x
            else:
                outs[name] = node["weight"] @ x + (node.get("bias", 0.0) if bias else 0.0)
        return {name: total(name) for name, node in self.nodes.items() if node["type"] in (*NEURONS, "Delay")}

    def slopes(self, states: States) -> States:
        smooth = {name: state["v"] for name, state in states.items() if self.nodes[name]["type"] not in SPIKING}
        arriving, found = self.spread({**self.level, **smooth}, bias=True), States()
        for name, state in states.items():
            node, v, i, x = self.nodes[name], state["v"], state["i"], arriving[name]
            match node["type"]:
                case "LIF" | "LI":
                    found[name] = {"v": (node["v_leak"] - v + node["r"] * x) / node["tau"], "i": 0 * i}
                case "IF" | "I":
                    found[name] = {"v": node["r"] * x, "i": 0 * i}
                case _:
                    rise = (node["v_leak"] - v + node["r"] * i) / node["tau_mem"]
                    found[name] = {"v": rise, "i": (node["w_in"] * x - i) / node["tau_syn"]}
        return found

    def advance(self, span: float) -> None:
        """Runge-Kutta 4 over so many seconds without events."""
        steps = max(1, int(np.ceil(span / STEP)))
        h = span / steps

        def moved(slopes: States, by: float) -> States:
            return {n: {k: s[k] + by * slopes[n][k] for k in s} for n, s in self.states.items()}

        for _ in range(steps if span > 0 else 0):
            a = self.slopes(self.states)
            b = self.slopes(moved(a, h / 2))
            c = self.slopes(moved(b, h / 2))
            d = self.slopes(moved(c, h))
            for name, state in self.states.items():
                for k in state:
                    state[k] = state[k] + h / 6 * (a[name][k] + 2 * b[name][k] + 2 * c[name][k] + d[name][k])
            self.look()

    def look(self) -> None:
        """Nobody may be above the threshold."""
        for name, state in self.states.items():
            if self.nodes[name]["type"] in SPIKING:
                self.worst = max(self.worst, float((state["v"] - self.nodes[name]["v_threshold"]).max()))

    def check(self, raster: Array, spikes: dict[str, list[tuple[float, int]]]) -> None:
        """Go through the raster [T, N] of the Input `input` under the claimed spikes."""
        for step, row in enumerate(raster):
            heappush(self.heap, (step * self.dt, next(self.number), "input", "input", row))
            heappush(self.heap, ((step + 1) * self.dt, -1, "sample", "", row))  # before all else
        for name, events in spikes.items():
            for t, n in events:
                heappush(self.heap, (t, next(self.number), "spike", name, np.array([n])))
        now, end = 0.0, len(raster) * self.dt
        # What arrives at the end belongs to the raster that follows.
        while self.heap and (self.heap[0][0] < end - TOGETHER or self.heap[0][2] == "sample"):
            t = self.heap[0][0]
            self.advance(max(t - now, 0))
            now = max(t, now)
            if self.heap[0][2] == "sample":
                heappop(self.heap)
                for name, state in self.states.items():
                    self.v[name].append(state["v"].copy())
                continue
            due = list[tuple[str, str, Array]]()
            while self.heap and self.heap[0][0] <= t + TOGETHER and self.heap[0][2] != "sample":
                due.append(heappop(self.heap)[2:])
            self.instant(t, due)

    def instant(self, t: float, due: list[tuple[str, str, Array]]) -> None:
        claimed = [(name, int(values[0])) for kind, name, values in due if kind == "spike"]
        at_once = [claim for claim in claimed if self.excess(*claim) > -1e-6]
        sent = self.fire(claimed, at_once)
        outside = dict[str, Array]()
        for kind, name, values in due:
            if kind == "input" and not self.impulse:
                self.level[name] = values.astype(float)
            elif kind == "end":
                self.level[name] = self.level[name] - values
            elif kind in ("input", "out"):
                outside[name] = outside.get(name, 0) + values
        self.send(sent, outside, t)
        while claimed:
            above = [claim for claim in claimed if self.excess(*claim) > 0]
            assert above, f"claimed at {t}: {claimed}, but nobody is above the threshold"
            self.send(self.fire(claimed, above, after_arrival=True), {}, t)
        self.look()

    def excess(self, name: str, n: int) -> float:
        node = self.nodes[name]
        return float(self.states[name]["v"][n] - np.broadcast_to(node["v_threshold"], node["shape"])[n])

    def fire(
        self, claimed: list[tuple[str, int]], firing: list[tuple[str, int]], *, after_arrival: bool = False
    ) -> dict[str, Array]:
        """Reset who fires; returns their spikes. Without an arrival v has to be at the threshold."""
        sent = dict[str, Array]()
        for name, n in firing:
            node, v = self.nodes[name], self.states[name]["v"]
            if not after_arrival:
                self.worst = max(self.worst, abs(self.excess(name, n)))
            elif self.excess(name, n) <= 0:
                continue  # a spike of this wave was enough
            claimed.remove((name, n))
            threshold, reset = (np.broadcast_to(node[key], node["shape"])[n] for key in ("v_threshold", "v_reset"))
            v[n] = v[n] - (threshold - reset) if self.subtract else reset
            nothing = np.zeros(int(node["shape"]))
            sent.setdefault(name, nothing)[n] += 1
        return sent

    def send(self, sent: dict[str, Array], outside: dict[str, Array], t: float) -> None:
        """Spikes, and impulses from outside or from Delays, arrive."""
        total = dict(outside)
        for name, values in sent.items():
            total[name] = total.get(name, 0) + values
        arriving = self.spread(total, bias=False)
        for name, values in total.items():
            if not self.impulse:
                self.level[name] = self.level[name] + values
                heappush(self.heap, (t + self.dt, next(self.number), "end", name, values))
        for name, x in arriving.items():
            node = self.nodes[name]
            if node["type"] == "Delay":
                delays = np.broadcast_to(node["delay"], x.shape)
                for delay in np.unique(delays[x != 0]):
                    held = np.where(delays == delay, x, 0)
                    heappush(self.heap, (t + float(delay), next(self.number), "out", name, held))
            elif self.impulse:
                key, gain = ("i", node["w_in"]) if "w_in" in node else ("v", node["r"])
                tau = node.get("tau_syn", node.get("tau", 1.0))
                self.states[name][key] = self.states[name][key] + gain * x / tau
