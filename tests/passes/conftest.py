"""Fixtures for passes on `nir`: a network before and after a pass, run on the same raster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import PassPipeline

import nirc
from nirc.dialects import nir
from nirc.dialects.dense import Array
from nirc.driver import Program
from nirc.passes import PASSES

SCHEME = "nir-euler,if_gain=r*dt,v_init=0"


@dataclass
class Rewritten:
    """What a pass made of a module: its text, the nodes by name, what was assumed, and outputs before and after."""

    text: str
    nodes: dict[str, nir.NodeOp]
    assumptions: tuple[str, ...]
    before: dict[str, Array] = field(default_factory=dict[str, Array])
    after: dict[str, Array] = field(default_factory=dict[str, Array])

    @property
    def types(self) -> dict[str, str]:
        """NIR's types by name."""
        return {name: node.NIR_TYPE for name, node in self.nodes.items()}

    def assert_equal_and_lively(self) -> None:
        """The outputs agree within rounding, and there is something to compare."""
        assert self.before.keys() == self.after.keys()
        for name, values in self.before.items():
            assert np.count_nonzero(values) > 20
            np.testing.assert_allclose(self.after[name].astype(float), values.astype(float), rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="session")
def rewrite(ctx: Context, parse: Callable[[str], ModuleOp]) -> Callable[..., Rewritten]:
    """Apply a pipeline to IR text; run both modules in f64 on a seeded raster of 60 steps."""

    def run(text: str, pipeline: str, scheme: str = SCHEME, dt: float = 0.1, drive: float = 1.0) -> Rewritten:
        module = parse(text)
        before = Program(module.clone())
        PassPipeline.parse_spec(PASSES, pipeline).apply(ctx, module)
        module.verify()
        graph = nir.graph_of(module)
        assert graph is not None
        nodes = {node.node.data: node for node in graph.nodes()}
        result = Rewritten(f"{module!s}\n", nodes, tuple(map(str, nir.assumptions(module))))
        for program, outputs in ((before, result.before), (Program(module), result.after)):
            compiled = nirc.compile(program, dt=dt, scheme=scheme, precision="f64")
            rng = np.random.default_rng(5)
            rasters = {name: drive * rng.uniform(-0.5, 1.5, (60, *shape)) for name, shape in compiled.inputs.items()}
            outputs.update(compiled.run(rasters))
        return result

    return run
