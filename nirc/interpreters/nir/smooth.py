"""Neurons whose input moves between events: their states as Taylor polynomials, and where those pass a threshold.

Where the output of an LI, a CubaLI or an I drives neurons, the nodes together are one linear system of differential
equations, with cycles as the graph has them. Its solution is a power series whose coefficients k + 1 follow from the
coefficients k; it is cut where the rest is below rounding, which is the length of a piece. On a piece a polynomial's
Bernstein coefficients enclose it: where none is above 0 there is no crossing, where they change their sign once there
is one, and else the piece is halved. So no crossing is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import numpy as np
from xdsl.ir import SSAValue

from nirc.dialects import nir
from nirc.dialects.dense import Array
from nirc.interpreters.nir.flows import Flow
from nirc.interpreters.nir.plan import Plan

_ORDER = 24
_REST = 1e-17
"""What the last terms of a series may be of its largest."""
_BERNSTEIN = np.array([[comb(i, k) / comb(_ORDER, k) for k in range(_ORDER + 1)] for i in range(_ORDER + 1)])
"""From coefficients of powers on [0, 1] to Bernstein coefficients."""


class Smooth:
    """The neurons and Thresholds of a plan that are solved together.

    longest        the longest piece to look at: polynomials of an I under constant input hold forever
    starts, ends   the piece for which the polynomials hold
    hit            the first crossing in it: the instant, and the elements of each node that cross then
    """

    def __init__(self, plan: Plan, flows: Mapping[nir.NodeOp, Flow]):
        self._plan = plan
        self.flows = {node: flows[node] for node in plan.smooth}
        self._levels: dict[nir.NodeOp, Array] = {node: np.zeros(0) for node in plan.watched}
        self._above: dict[nir.NodeOp, Array] = {node: np.zeros(0, bool) for node in plan.watched}
        self._thresholds: dict[nir.NodeOp, Array] = {node: np.zeros(0) for node in plan.watched}
        self.moving = [node for node in plan.analog if node in self.flows]
        self._series: dict[nir.NodeOp, dict[str, Array]] = {}
        self.starts = self.ends = 0.0
        self.longest = np.inf
        self.hit: tuple[float, dict[nir.NodeOp, Array]] = (np.inf, {})
        self._stale = True

    def watch(self, node: nir.NodeOp, level: Array, above: Array, threshold: Array) -> None:
        """Take a Threshold's states, which are shared with the solver."""
        self._levels[node], self._above[node], self._thresholds[node] = level, above, threshold

    def next(self) -> float:
        """The next instant at which something happens here: a crossing, or the end of the piece."""
        if not self.flows:
            return np.inf
        if self._stale:
            self._expand()
        return min(self.hit[0], self.ends)

    def states(self, node: nir.NodeOp, times: Array) -> dict[str, Array]:
        """The states [times, N] of a neuron within the piece."""
        s = np.asarray(times)[:, None] - self.starts
        return {name: _value(series, s) for name, series in self._series[node].items()}

    def move(self, t: float) -> None:
        """Go to an instant within the piece; the polynomials have to be found anew then."""
        if not self._stale:
            for node, flow in self.flows.items():
                states = self.states(node, np.asarray([t]))
                flow.put(slice(None), {name: values[0] for name, values in states.items()}, t)
            self.starts, self._stale = t, True

    def _expand(self) -> None:
        """Find the polynomials from the states of now, how long they hold, and the first crossing."""
        self._series = {
            node: {name: np.zeros((_ORDER + 1, flow.v.size)) for name in ("v", "i") if hasattr(flow, name)}
            for node, flow in self.flows.items()
        }
        for node, flow in self.flows.items():
            for name, series in self._series[node].items():
                series[0] = getattr(flow, name)
        watched = {node: np.zeros((_ORDER + 1, level.size)) for node, level in self._levels.items()}
        for k in range(_ORDER + 1):
            changes: dict[SSAValue, Array] = {
                node.output: self._series[node]["v"][k].reshape(1, *(nir.shape_of(node.output) or ()))
                for node in self.moving
            }
            arrived = self._plan.spread(changes)
            for node, series in watched.items():
                series[k] = arrived[node].ravel() + (self._levels[node] if k == 0 else 0)
            if k < _ORDER:
                for node, flow in self.flows.items():
                    x = arrived[node].ravel() if node in arrived else np.zeros(flow.v.size)
                    flow.derivatives(self._series[node], x + flow.x if k == 0 else x, k)
        lengths = (_length(series) for held in self._series.values() for series in held.values())
        length = min(self.longest, *lengths)
        self.ends, self._stale = self.starts + length, False
        crossings = [
            *((node, self._series[node]["v"], flow.threshold, False) for node, flow in self.flows.items()),
            *((node, series, self._thresholds[node], self._above[node]) for node, series in watched.items()),
        ]
        self.hit = (np.inf, {})
        found = dict[nir.NodeOp, Array]()
        for node, series, threshold, above in crossings:
            found[node] = _crossings(series, threshold, np.broadcast_to(above, threshold.shape), length)
        first = min((float(times.min(initial=np.inf)) for times in found.values()), default=np.inf)
        if first < np.inf:
            self.hit = (
                self.starts + first,
                {node: at for node, times in found.items() if (at := np.flatnonzero(times <= first)).size},
            )


def _value(series: Array, s: Array) -> Array:
    """The polynomial with these coefficients, by Horner's rule."""
    total = np.zeros(np.broadcast_shapes(s.shape, series[0].shape))
    for coefficient in series[::-1]:
        total = total * s + coefficient
    return total


def _length(series: Array) -> float:
    """How far the series may be used: where its last terms are still `_REST` of a term before."""
    sizes = np.abs(series).max(axis=1, initial=0.0)
    known = np.flatnonzero(sizes[: _ORDER - 1])
    length = np.inf
    for k in (_ORDER - 1, _ORDER):
        if sizes[k] > 0 and known.size:
            logs = (np.log(_REST) + np.log(sizes[known]) - np.log(sizes[k])) / (k - known)
            length = min(length, float(np.exp(logs.max())))
    return length


def _crossings(series: Array, threshold: Array, above: Array, span: float) -> Array:
    """The first s in [0, span] at which each polynomial passes its threshold, upwards or, from above, downwards."""
    times = np.full(threshold.shape, np.inf)
    asked = np.flatnonzero(np.isfinite(threshold))
    if not asked.size:
        return times
    held = series[:, asked].copy()
    held[0] -= threshold[asked]
    held *= span ** np.arange(_ORDER + 1.0)[:, None]
    held *= np.where(above[asked], -1.0, 1.0)
    held[0] = np.minimum(held[0], 0)
    bernstein = _BERNSTEIN @ held
    for column in np.flatnonzero((bernstein > 0).any(axis=0)):
        times[asked[column]] = span * _first_crossing(held[:, column], bernstein[:, column])
    return times


def _first_crossing(powers: Array, bernstein: Array) -> float:
    """The first s in [0, 1] at which the polynomial rises above 0, inf where it never does."""
    pending = [(0.0, 1.0, bernstein)]
    while pending:
        start, width, held = pending.pop()
        if not (held > 0).any():
            continue
        if held[0] > 0 or width < 1e-14:
            return start
        signs = np.sign(held[held != 0])
        if np.count_nonzero(signs[1:] != signs[:-1]) == 1 and signs[0] < 0:
            return _only_root(powers, start, start + width)
        left, right = _halves(held)
        pending += [(start + width / 2, width / 2, right), (start, width / 2, left)]
    return np.inf


def _halves(held: Array) -> tuple[Array, Array]:
    """The Bernstein coefficients on both halves, by de Casteljau's rule."""
    left, right = np.empty_like(held), np.empty_like(held)
    for n in range(len(held)):
        left[n], right[-1 - n] = held[0], held[-1]
        held = (held[:-1] + held[1:]) / 2
    return left, right


def _only_root(powers: Array, low: float, high: float) -> float:
    """The one root in between, by Newton's method within a bracket."""
    value, slope = powers[::-1], np.polyder(powers[::-1])
    s = (low + high) / 2
    for _ in range(100):
        at = float(np.polyval(value, s))
        low, high = (s, high) if at <= 0 else (low, s)
        steep = float(np.polyval(slope, s))
        step = s - at / steep if steep else low
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - s) <= 2e-16 * s or at == 0:
            break
        s = step
    return s
