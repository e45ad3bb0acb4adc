"""Membranes in closed form: where a state is after any time under a constant input, and when it passes a threshold.

Each flow holds the states of a layer of N neurons, flat, and the instant `since` at which each had them. In between the
input x is constant. With s the time since then:

    leaky        v(s) = vinf + (v - vinf) exp(-s/tau),  vinf = v_leak + r x
    integrator   v(s) = v + r x s
    current      i(s) = ii + (i - ii) exp(-s/tau_syn),  ii = w_in x
                 v(s) = vinf + D exp(-s/tau_mem) + C phi(s),  vinf = v_leak + r ii,  D = v - vinf,  C = r (i - ii)
                 phi(s) = exp(-s/max(tau)) (1 - exp(-s |d|)) / (tau_mem |d|),  d = 1/tau_mem - 1/tau_syn

phi is the response to a decaying current; written so, nothing cancels where the time constants are nearly equal, and at
d = 0 its limit s/tau_mem exp(-s/tau_mem) stands. Source: nirc's specification of the exact continuous-time reference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from nirc.dialects.dense import Array

_ROUNDS = 200
"""Steps that a root may take; bisection alone needs about 60, doubling to the far end as many."""


@dataclass
class Flow(ABC):
    """The states of a layer, and how they flow.

    threshold   infinite where nothing fires
    after       v after a spike, or by how much it falls (`subtracts`)
    """

    v: Array
    threshold: Array
    after: Array
    subtracts: bool
    x: Array = field(init=False)
    since: Array = field(init=False)

    def __post_init__(self) -> None:
        self.v = self.v.copy()
        self.x = np.zeros(self.v.size)
        self.since = np.zeros(self.v.size)

    @abstractmethod
    def states(self, at: Array | slice, s: Array) -> dict[str, Array]:
        """The states of these neurons s seconds after `since`; s may have axes in front."""

    @abstractmethod
    def hits(self, at: Array) -> Array:
        """The seconds after `since` until v passes the threshold of these neurons, inf where it never does."""

    @abstractmethod
    def kick(self, at: Array, area: Array) -> None:
        """An impulse arrives: what it does to the states."""

    @abstractmethod
    def derivatives(self, series: dict[str, Array], x: Array, k: int) -> None:
        """The Taylor coefficients k + 1 of the states from the coefficients k of the states and of the input."""

    def put(self, at: Array | slice, states: dict[str, Array], t: float) -> None:
        """Set the states of these neurons at an instant."""
        for name, values in states.items():
            getattr(self, name)[at] = values
        self.since[at] = t

    def fire(self, at: Array) -> Array:
        """Reset these neurons, whose v is at the threshold or above; returns how often each fired."""
        if not self.subtracts:
            self.v[at] = self.after[at]
            return np.ones(at.size)
        above, amount = np.maximum(self.v[at] - self.threshold[at], 0), self.after[at]
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(amount > 0, np.maximum(np.ceil(above / amount), 1), 1)
        self.v[at] = self.threshold[at] + (above - times * amount)
        return times


@dataclass
class Leaky(Flow):
    """LIF and LI."""

    tau: Array
    r: Array
    v_leak: Array

    def states(self, at: Array | slice, s: Array) -> dict[str, Array]:
        final = self.v_leak[at] + self.r[at] * self.x[at]
        return {"v": final + (self.v[at] - final) * np.exp(-s / self.tau[at])}

    def hits(self, at: Array) -> Array:
        v, threshold = self.v[at], self.threshold[at]
        beyond = self.v_leak[at] + self.r[at] * self.x[at] - threshold
        reaches = (beyond > 0) & (v <= threshold)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            wait = self.tau[at] * np.log1p((threshold - v) / beyond)
        return np.where(v > threshold, 0.0, np.where(reaches, wait, np.inf))

    def kick(self, at: Array, area: Array) -> None:
        self.v[at] += self.r[at] * area / self.tau[at]

    def derivatives(self, series: dict[str, Array], x: Array, k: int) -> None:
        v = series["v"]
        v[k + 1] = (self.r * x - v[k] + (self.v_leak if k == 0 else 0)) / self.tau / (k + 1)


@dataclass
class Integrator(Flow):
    """IF and I; `rate` is what an input of 1 adds to v in a second, `jump` what an impulse of area 1 does."""

    rate: Array
    jump: Array

    def states(self, at: Array | slice, s: Array) -> dict[str, Array]:
        return {"v": self.v[at] + self.rate[at] * self.x[at] * s}

    def hits(self, at: Array) -> Array:
        v, threshold, slope = self.v[at], self.threshold[at], self.rate[at] * self.x[at]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            wait = (threshold - v) / slope
        return np.where(v > threshold, 0.0, np.where(slope > 0, wait, np.inf))

    def kick(self, at: Array, area: Array) -> None:
        self.v[at] += self.jump[at] * area

    def derivatives(self, series: dict[str, Array], x: Array, k: int) -> None:
        series["v"][k + 1] = self.rate * x / (k + 1)


@dataclass
class Current(Flow):
    """CubaLIF and CubaLI."""

    tau_mem: Array
    tau_syn: Array
    r: Array
    v_leak: Array
    w_in: Array
    i: Array = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.i = np.zeros(self.v.size)
        self.apart = 1 / self.tau_mem - 1 / self.tau_syn
        self.slowest = np.maximum(self.tau_mem, self.tau_syn)

    def _response(self, at: Array | slice, s: Array) -> Array:
        """phi(s)"""
        apart = np.abs(self.apart[at])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            held = np.where(apart * s > 0, -np.expm1(-apart * s) / apart, s)
            return np.exp(-s / self.slowest[at]) * held / self.tau_mem[at]

    def _parts(self, at: Array | slice) -> tuple[Array, Array, Array]:
        """C, D and vinf."""
        i_final = self.w_in[at] * self.x[at]
        final = self.v_leak[at] + self.r[at] * i_final
        return self.r[at] * (self.i[at] - i_final), self.v[at] - final, final

    def states(self, at: Array | slice, s: Array) -> dict[str, Array]:
        c, d, final = self._parts(at)
        i_final = self.w_in[at] * self.x[at]
        v = final + d * np.exp(-s / self.tau_mem[at]) + c * self._response(at, s)
        return {"v": v, "i": i_final + (self.i[at] - i_final) * np.exp(-s / self.tau_syn[at])}

    def hits(self, at: Array) -> Array:
        """v has one extremum at most, at E = (C - D) / (C/tau_mem - D d), s = -log(1 - d E)/d. On the pieces before and
        after it v is monotone, so a root is in one of them or there is none."""
        found = np.full(at.size, np.inf)
        found[self.v[at] > self.threshold[at]] = 0
        asked = np.flatnonzero((self.v[at] <= self.threshold[at]) & (self.threshold[at] < np.inf))
        at = at[asked]
        c, d, final = self._parts(at)
        apart = self.apart[at]
        with np.errstate(all="ignore"):
            e = (c - d) / (c / self.tau_mem[at] - d * apart)
            turn = np.where(apart * e != 0, -np.log1p(-apart * e) / apart, e)
        turns = (turn > 0) & np.isfinite(turn)
        turn = np.where(turns, turn, np.inf)
        rising = (c > d) | ((c == d) & (c < 0))
        tops, ends = rising & turns, rising ^ turns
        with np.errstate(all="ignore"):
            tops &= self._beyond(at, np.where(tops, turn, 0)) > 0
        # Before the top; or towards vinf, from here or from the bottom on.
        low = np.where(ends & turns, turn, 0.0)
        high = np.where(tops, turn, low + self.slowest[at])
        asks = tops | (ends & (final > self.threshold[at]))
        for _ in range(_ROUNDS):
            short = asks & ~tops & (self._beyond(at, high) <= 0)
            if not short.any():
                break
            low, high = np.where(short, high, low), np.where(short, low + 2 * (high - low), high)
        asks &= self._beyond(at, high) > 0  # vinf may be above the threshold by less than rounding shows
        picked = np.flatnonzero(asks)
        found[asked[picked]] = self._root(at[picked], low[picked], high[picked])
        return found

    def _beyond(self, at: Array, s: Array) -> Array:
        return self.states(at, s)["v"] - self.threshold[at]

    def _root(self, at: Array, low: Array, high: Array) -> Array:
        """The root of a monotone piece that rises from below the threshold at `low` to above it at `high`: Newton's
        method, by bisection where that would leave the piece or gain too little."""
        s, open_ = (low + high) / 2, np.ones(at.size, bool)
        width = high - low
        for _ in range(_ROUNDS):
            states = self.states(at, s)
            value = states["v"] - self.threshold[at]
            slope = (self.v_leak[at] - states["v"] + self.r[at] * states["i"]) / self.tau_mem[at]
            low, high = np.where(value <= 0, s, low), np.where(value > 0, s, high)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                newton = s - value / slope
            width = width / 2
            inside = (newton > low) & (newton < high) & (np.abs(newton - s) <= width)
            step = np.where(inside, newton, (low + high) / 2)
            open_ &= (np.abs(step - s) > 2e-16 * s) & (value != 0)
            s = np.where(open_, step, s)
            if not open_.any():
                break
        return s

    def kick(self, at: Array, area: Array) -> None:
        self.i[at] += self.w_in[at] * area / self.tau_syn[at]

    def derivatives(self, series: dict[str, Array], x: Array, k: int) -> None:
        v, i = series["v"], series["i"]
        i[k + 1] = (self.w_in * x - i[k]) / self.tau_syn / (k + 1)
        v[k + 1] = (self.r * i[k] - v[k] + (self.v_leak if k == 0 else 0)) / self.tau_mem / (k + 1)
