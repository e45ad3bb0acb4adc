"""The plots of a report as SVG: stretched to the width that there is, so text stands in the page around them.

Lines keep their width under stretching. A plot shows steps `start` to `stop`; colours are classes of the page's style.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np

from nirc.dialects.dense import Array


@dataclass(frozen=True)
class Window:
    """The steps that a plot shows."""

    start: int
    stop: int

    @property
    def width(self) -> int:
        """Steps."""
        return self.stop - self.start

    @staticmethod
    def around(step: int | None, total: int, width: int) -> Window:
        """At most `width` steps of `total`, with `step` in the first half."""
        if total <= width:
            return Window(0, total)
        start = min(max(0, (step or 0) - width // 3), total - width)
        return Window(start, start + width)

    def has(self, step: int) -> bool:
        """Whether a step is shown."""
        return self.start <= step < self.stop


def _svg(width: float, height: float, label: str, body: str, kind: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{body}</svg>'
    )


def _path(kind: str, commands: str) -> str:
    return f'<path class="{kind}" d="{commands}"/>' if commands else ""


def _ticks(at: Array, window: Window, top: float, height: float) -> str:
    shown = at[(at >= window.start) & (at < window.stop)]
    return "".join(f"M{t - window.start + 0.5:g} {top:g}v{height:g}" for t in shown.tolist())


_HEIGHT = 100.0
_TOP = 22.0
"""Where the membranes begin, below the spikes."""


def lane(
    label: str,
    window: Window,
    spikes: tuple[Array | None, Array | None],
    v: tuple[Array | None, Array | None],
    threshold: float | None,
    differs: int | None,
) -> str:
    """One neuron on one platform over the reference: spikes as ticks above, membranes as lines; the first difference
    as a line across. Pairs are the reference's and the platform's, by step."""
    body = list[str]()
    if differs is not None and window.has(differs):
        body.append(_path("mark", f"M{differs - window.start + 0.5:g} 0V{_HEIGHT:g}"))
    held = [values[window.start : window.stop].astype(float) for values in v if values is not None]
    if held:
        ends = [float(f(values)) for values in held for f in (np.min, np.max)]
        ends += [] if threshold is None else [threshold]
        low, high = min(ends), max(ends)
        scale = (_HEIGHT - _TOP - 6) / (high - low) if high > low else 0.0

        def y(value: float) -> float:
            return round(_HEIGHT - 3 - (value - low) * scale, 1)

        if threshold is not None:
            body.append(_path("threshold", f"M0 {y(threshold):g}H{window.width}"))
        for kind, values in zip(("reference", "own"), v, strict=True):
            if values is not None:
                points = [y(value) for value in values[window.start : window.stop].astype(float).tolist()]
                body.append(_path(f"line {kind}", _line(points)))
    for kind, top, values in zip(("reference", "own"), (1, 10), spikes, strict=True):
        if values is not None:
            body.append(_path(f"tick {kind}", _ticks(np.flatnonzero(values), window, top, 9)))
    return _svg(window.width, _HEIGHT, label, "".join(body), "lane")


def _line(points: list[float]) -> str:
    """A line through values at the middle of each step; runs of equal values are one stroke."""
    text, last = list[str](), None
    for t, value in enumerate(points):
        after = points[t + 1] if t + 1 < len(points) else None
        if last is None:
            text.append(f"M{t + 0.5:g} {value:g}")
        elif value != last or after != value:
            text.append(f"L{t + 0.5:g} {value:g}")
        last = value
    return "".join(text)


def raster(label: str, window: Window, reference: Array, own: Array, differs: tuple[int, int] | None) -> str:
    """Spikes [T, rows] of some neurons: of both, of the reference alone, of the platform alone; the first difference
    (step, row) as a box."""
    a, b = reference[window.start : window.stop], own[window.start : window.stop]
    rows = a.shape[1]
    body = list[str]()
    if differs is not None and window.has(differs[0]):
        body.append(_path("mark", f"M{differs[0] - window.start + 0.5:g} 0V{rows}"))
    for kind, cells in (("both", (a > 0) & (b == a)), ("reference", a > b), ("own", b > a)):
        steps, neurons = np.nonzero(cells)
        marks = zip(steps.tolist(), neurons.tolist(), strict=True)
        body.append(_path(f"cell {kind}", "".join(f"M{t + 0.5:g} {n + 0.1:g}v.8" for t, n in marks)))
    return _svg(window.width, rows, label, "".join(body), "raster")
