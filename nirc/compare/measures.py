"""How far two rasters of the same neurons are apart: the numbers of a comparison, added up over parts of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nirc.dialects.dense import Array

GRADED = 1e-4
"""What a membrane without spikes may be off before it counts as different, relative to the reference's largest."""


class Cell(NamedTuple):
    """Where two rasters differ; the least is the first."""

    step: int
    sample: int
    neuron: int


def first_difference(reference: Array, other: Array, *, graded: bool = False) -> Cell | None:
    """The first cell of [T, B, N] in which two rasters differ: earliest step, then sample, then neuron."""
    bound = GRADED * np.abs(reference).max(initial=0) if graded else 0
    differs = np.abs(reference - other) > bound if graded else reference != other
    steps = np.flatnonzero(differs.any(axis=(1, 2)))
    if not steps.size:
        return None
    sample, neuron = np.argwhere(differs[steps[0]])[0]
    return Cell(int(steps[0]), int(sample), int(neuron))


def coincident(reference: Array, other: Array, within: int) -> int:
    """The most pairs of spikes of a neuron, one of each raster [T, ...], that are at most 0 or 1 steps apart.

    Each spike is in one pair at most. Earliest first is best: what is left of a step can only pair with the next.
    """
    if within == 0:
        return int(np.minimum(reference, other).sum(dtype=np.int64))
    pairs = 0
    left = np.zeros((2, *reference.shape[1:]), np.int64)
    for t in range(len(reference)):
        now = np.stack([reference[t], other[t]]).astype(np.int64)
        crossed = np.minimum(left, now[::-1])
        now -= crossed[::-1]
        same = np.minimum(now[0], now[1])
        pairs += int(crossed.sum()) + int(same.sum())
        left = now - same
    return pairs


@dataclass
class Measures:
    """The numbers of one layer on one platform, of T steps, B samples, N neurons.

    spikes, of_reference  how many, in all
    cells                 (step, sample, neuron) with another count than in the reference
    coincidence           2 pairs / (spikes + of_reference), pairs at most 0 or 1 steps apart; 1 where nothing fires
    cosine                of the neurons' rates over time, mean over samples; 1 where both are silent, 0 where one is
    v_error_max, _rms     |v - v of the reference|, in the file's units
    first                 the first cell that differs
    """

    spiking: bool
    spikes: int = 0
    of_reference: int = 0
    cells: int = 0
    size: int = 0
    pairs: list[int] = field(default_factory=lambda: [0, 0])
    samples: int = 0
    cosines: float = 0.0
    first: Cell | None = None
    v_max: float = 0.0
    v_squares: float = 0.0
    v_size: int = 0

    def add(self, offset: int, spikes: tuple[Array, Array] | None, v: tuple[Array, Array] | None) -> None:
        """Samples from `offset` on: rasters [T, B, N] of the reference and of the platform."""
        found = None
        if spikes is not None:
            reference, other = spikes
            found = first_difference(reference, other)
            self.of_reference += int(reference.sum(dtype=np.int64))
            self.spikes += int(other.sum(dtype=np.int64))
            self.cells += int(np.count_nonzero(reference != other))
            self.size += reference.size
            for within in (0, 1):
                self.pairs[within] += coincident(reference, other, within)
            self.samples += reference.shape[1]
            self.cosines += float(_cosines(reference.sum(0, dtype=np.int64), other.sum(0, dtype=np.int64)).sum())
        if v is not None:
            error = np.abs(v[0].astype(np.float64) - v[1])
            self.v_max = max(self.v_max, float(error.max(initial=0)))
            self.v_squares += float(np.square(error).sum())
            self.v_size += error.size
            if not self.spiking:
                found = first_difference(v[0], v[1], graded=True)
        if found is not None:
            found = Cell(found.step, found.sample + offset, found.neuron)
            self.first = found if self.first is None else min(self.first, found)

    @property
    def cosine(self) -> float | None:
        """The mean over the samples."""
        return self.cosines / self.samples if self.samples else None

    def coincidence(self, within: int) -> float | None:
        """The share of spikes that are in a pair."""
        if not self.samples:
            return None
        total = self.spikes + self.of_reference
        return 2 * self.pairs[within] / total if total else 1.0

    @property
    def v_error(self) -> tuple[float, float] | None:
        """The largest, and the root of the mean square."""
        return (self.v_max, float(np.sqrt(self.v_squares / self.v_size))) if self.v_size else None


def _cosines(reference: Array, other: Array) -> Array:
    """Of the rates [B, N] of each sample."""
    a, b = reference.astype(float), other.astype(float)
    product: Array = np.einsum("bn,bn->b", a, b)
    squares: Array = np.einsum("bn,bn->b", a, a) * np.einsum("bn,bn->b", b, b)
    silent = ~(np.any(a, axis=1) | np.any(b, axis=1))
    return np.asarray(np.where(silent, 1.0, product / np.where(squares > 0, np.sqrt(squares), 1)))


def accuracy(outputs: Array, labels: Array, codes: Array | None) -> float:
    """The share of samples whose class has the largest sum over time [T, B, K]; codes [classes, K]: whose code word,
    +1 and -1, matches the sums best. Of equal classes the first."""
    sums = outputs.reshape(len(outputs), outputs.shape[1], -1).sum(0, dtype=np.float64)
    if codes is not None:
        sums = sums @ (2 * codes.astype(float) - 1).T
    return float(np.mean(np.argmax(sums, axis=1) == labels))
