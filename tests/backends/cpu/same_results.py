"""Runs a model twice, through the evaluator of `snn` and as a compiled kernel, and demands the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from xdsl.context import Context

import nirc
from nirc.backends.cpu.run import CpuEvaluator
from nirc.dialects import snn
from nirc.dialects.dense import Array
from nirc.driver import Program
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass
from nirc.passes.snn_split_components import SnnSplitComponentsPass


def network_of(program: Program) -> snn.NetworkOp:
    """The network of a program at level `snn`."""
    return next(op for op in program.module.ops if isinstance(op, snn.NetworkOp))


def recordable(program: Program) -> tuple[str, ...]:
    """Every state and every node's spikes, but for names that an Output has; rings have a test of their own."""
    network = network_of(program)
    fires = [op.node.data for op in network.body.block.ops if isinstance(op, snn.FireOp) and op.node]
    keys = dict.fromkeys([*(f"{name}.spikes" for name in fires), *(state.label for state in network.states)])
    outputs = {name.data for name in network.outputs}
    return tuple(key for key in keys if key not in outputs and not key.endswith(".ring"))


def assert_same(found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Names in order, types, shapes, and every bit, the sign of a zero too."""
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape), name
        np.testing.assert_array_equal(found[name], values, name)
        assert found[name].tobytes() == values.tobytes(), f"{name}: the sign of a zero or of a nan"


class Pair:
    """A model compiled both ways."""

    def __init__(self, model: str | PathLike[str] | Program, **options: Any) -> None:
        self.evaluator = nirc.compile(model, **options)
        self.kernel = nirc.compile(model, "cpu", **options)
        self.record = recordable(self.evaluator)

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        return self.evaluator.inputs

    def run(self, rasters: Mapping[str, Array]) -> dict[str, Array]:
        """What both gave: outputs, and all that can be recorded; of a batch also by the kernel of one sample."""
        expected = self.evaluator.run(dict(rasters), self.record)
        found = self.kernel.run(dict(rasters), self.record)
        assert_same(found, expected)
        if all(values.ndim == len(self.inputs[name]) + 2 for name, values in rasters.items()):
            batch = next(iter(rasters.values())).shape[1]
            module = self.kernel.module.clone()
            SnnSplitComponentsPass().apply(Context(), module)
            kind = "spikes" if all(values.dtype == bool for values in rasters.values()) else "graded"
            ConvertSnnToLoopsPass(kind, self.record).apply(Context(), module)
            graded = {name: x if x.dtype == bool else x.astype(float) for name, x in rasters.items()}
            assert_same(CpuEvaluator(module, batch, self.record).run(graded), expected)
        return found


def events(rng: np.random.Generator, *shape: int) -> Array:
    """Counts of events in bytes: mostly none, some of one, a few of two."""
    return rng.choice(np.array([0, 1, 2], np.uint8), shape, p=[0.75, 0.2, 0.05])


def graded(rng: np.random.Generator, *shape: int) -> Array:
    """Numbers around 0.4, a quarter of them 0."""
    return rng.normal(0.4, 1, shape) * (rng.random(shape) < 0.75)
