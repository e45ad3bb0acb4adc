"""The measures against their definitions: pairs of spikes by maximum matching, cosines and errors by hand."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from nirc.compare.measures import Cell, Measures, accuracy, coincident, first_difference
from nirc.dialects.dense import Array


def most_pairs(a: Array, b: Array, within: int) -> int:
    """The most pairs of spikes [T] that are at most `within` steps apart, by networkx."""
    ours, theirs = (
        [(name, t, n) for t, count in enumerate(train) for n in range(int(count))]
        for name, train in (("a", a), ("b", b))
    )
    graph = nx.Graph()
    graph.add_nodes_from([*ours, *theirs])
    graph.add_edges_from((x, y) for x in ours for y in theirs if abs(x[1] - y[1]) <= within)
    return len(nx.max_weight_matching(graph, maxcardinality=True))


@pytest.mark.parametrize("within", [0, 1])
@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_a_maximum_matching(seed: int, within: int) -> None:
    draw = np.random.default_rng(seed)
    a, b = (draw.integers(0, 3, (12, 2, 3)) * (draw.random((12, 2, 3)) < 0.5) for _ in range(2))
    expected = sum(most_pairs(a[:, i, j], b[:, i, j], within) for i in range(2) for j in range(3))
    assert coincident(a, b, within) == expected


def test_the_first_difference_is_earliest_then_least() -> None:
    a = np.zeros((5, 3, 4), np.int64)
    b = a.copy()
    b[3, 0, 0] = b[2, 2, 1] = b[2, 1, 3] = 1
    assert first_difference(a, b) == Cell(2, 1, 3)
    assert first_difference(a, a) is None


def test_membranes_differ_beyond_rounding_alone() -> None:
    a = np.full((3, 1, 2), 10.0)
    b = a.copy()
    b[1, 0, 1] += 9e-4  # 1e-4 of the largest is 1e-3
    assert first_difference(a, b, graded=True) is None
    b[2, 0, 0] += 2e-3
    assert first_difference(a, b, graded=True) == Cell(2, 0, 0)


def test_numbers_by_hand() -> None:
    a = np.zeros((4, 2, 2), np.int64)
    b = a.copy()
    a[0, 0, 0] = a[1, 0, 0] = a[2, 0, 1] = 1  # sample 0: rates 2, 1
    b[0, 0, 0] = b[2, 0, 0] = b[2, 0, 1] = 1  # also 2, 1, one spike a step later
    b[3, 1, 1] = 1  # sample 1: the reference is silent
    found = Measures(True)
    found.add(0, (a, b), (a.astype(np.float32), 2.0 * a))
    assert (found.of_reference, found.spikes, found.cells, found.size) == (3, 4, 3, 16)
    assert found.cosine == pytest.approx((1 + 0) / 2)
    assert found.coincidence(0) == pytest.approx(2 * 2 / 7)
    assert found.coincidence(1) == pytest.approx(2 * 3 / 7)
    assert found.first == Cell(1, 0, 0)
    assert found.v_error == pytest.approx((1.0, np.sqrt(3 / 16)))


def test_parts_of_a_batch_add_up() -> None:
    draw = np.random.default_rng(3)
    a, b = (draw.integers(0, 2, (20, 6, 5)) for _ in range(2))
    v, w = (draw.normal(size=(20, 6, 5)) for _ in range(2))
    whole, parts = Measures(True), Measures(True)
    whole.add(0, (a, b), (v, w))
    for start in (0, 2, 4):
        at = slice(start, start + 2)
        parts.add(start, (a[:, at], b[:, at]), (v[:, at], w[:, at]))
    assert parts.first == whole.first
    assert (parts.cells, parts.pairs, parts.spikes) == (whole.cells, whole.pairs, whole.spikes)
    assert parts.cosine == pytest.approx(whole.cosine)
    assert parts.v_error == pytest.approx(whole.v_error)


def test_silence_coincides() -> None:
    silent = np.zeros((3, 2, 2), np.int64)
    found = Measures(True)
    found.add(0, (silent, silent), None)
    assert (found.cosine, found.coincidence(0), found.first, found.v_error) == (1.0, 1.0, None, None)


def test_accuracy() -> None:
    outputs = np.zeros((4, 3, 4))
    outputs[:2, 0, 2] = outputs[0, 1, 1] = 1  # classes 2, 1, and a draw: the first
    assert accuracy(outputs, np.array([2, 1, 3]), None) == pytest.approx(2 / 3)
    codes = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    assert accuracy(outputs, np.array([1, 0, 0]), codes) == 1
