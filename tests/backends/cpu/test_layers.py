"""Layers that run for a chunk of steps on end, tile by tile: the same bits as step by step."""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import nir  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pytest

import nirc
from nirc.backends.cpu import run
from nirc.backends.cpu.run import CpuEvaluator
from nirc.dialects import cpu
from nirc.driver import context
from nirc.passes import convert_snn_to_loops
from nirc.passes.convert_snn_to_loops import ConvertSnnToLoopsPass, loops
from nirc.passes.snn_split_components import SnnSplitComponentsPass

sys.path.append(str(Path(__file__).parent))
from same_results import Pair, assert_same, events, graded

EXAMPLES = Path(__file__).parents[3] / "examples"
MODELS = ["digits", "digits_recurrent", "digits_conv", "gestures", "edges"]


@pytest.mark.parametrize("edges", ["events", "dense"])
@pytest.mark.parametrize("model", ["digits_conv", "digits_recurrent", "edges"])
def test_events_or_all_elements(model: str, edges: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether zeros are passed over or multiplied, the sums are the same."""
    pair = Pair(EXAMPLES / f"{model}.nir")
    monkeypatch.setattr(run, "ConvertSnnToLoopsPass", partial(ConvertSnnToLoopsPass, edges=edges))
    for make in (events, graded):
        rng = np.random.default_rng(12)
        x = {name: make(rng, 12, 2, *shape) for name, shape in pair.inputs.items()}
        found = CpuEvaluator(pair.kernel.module, 2, pair.record).run(x)
        assert_same(found, pair.evaluator.run(x, pair.record))


def chunks(program: nirc.Program) -> int:
    """The rasters of a chunk that lead from loop to loop, and the lists that a layer makes."""
    module = program.module.clone()
    SnnSplitComponentsPass().apply(context(), module)
    ConvertSnnToLoopsPass().apply(context(), module)
    kernel = next(op for op in module.ops if isinstance(op, cpu.KernelOp))
    return sum(argument.label.data.startswith(("chunk", "count")) for argument in kernel.of("scratch"))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer is worth a loop of its own, and a run has many chunks."""
    monkeypatch.setattr(loops, "RESIDENT", 0)
    monkeypatch.setattr(convert_snn_to_loops, "CHUNK", 4)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", ["events", "graded"])
@pytest.mark.parametrize("model", MODELS)
def test_an_example(model: str, kind: str) -> None:
    pair = Pair(EXAMPLES / f"{model}.nir")
    assert (chunks(pair.kernel) > 0) == (model not in ("digits_conv", "edges"))
    make = events if kind == "events" else graded
    rng = np.random.default_rng(8)
    for steps in (1, 3, 4, 5, 22):
        results = pair.run({name: make(rng, steps, 2, *shape) for name, shape in pair.inputs.items()})
    assert any(values.any() for values in results.values())


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("model", MODELS)
def test_states_go_on_from_call_to_call(model: str) -> None:
    program = nirc.compile(EXAMPLES / f"{model}.nir", "cpu")
    rng = np.random.default_rng(9)
    x = {name: events(rng, 19, *shape) for name, shape in program.inputs.items()}
    whole = program.run(x)
    parts = [
        program.run({name: values[a:b] for name, values in x.items()}, keep_state=a > 0)
        for a, b in ((0, 1), (1, 7), (7, 8), (8, 19))
    ]
    assert_same({key: np.concatenate([part[key] for part in parts]) for key in whole}, whole)


def lif(size: int) -> nir.LIF:
    one = np.ones(size)
    return nir.LIF(tau=0.02 * one, r=20 * one, v_leak=0 * one, v_threshold=one)


@pytest.mark.parametrize("loop", [None, 0, 1])
def test_large_matrices(tmp_path: Path, loop: int | None) -> None:
    """Two that do not stay in the fast caches, a small one, and a recurrent layer that has to go step by step."""
    rng, sizes = np.random.default_rng(10), (300, 320, 310, 5)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([300])})}
    edges, last = list[tuple[str, str]](), "input"
    for n, (before, after) in enumerate(pairwise(sizes)):
        nodes[f"w{n}"] = nir.Linear(rng.normal(0.02, 0.05, (after, before)).astype(np.float32))
        nodes[f"n{n}"] = lif(after)
        edges += [(last, f"w{n}"), (f"w{n}", f"n{n}")]
        last = f"n{n}"
        if loop == n:
            nodes["r"] = nir.Linear(rng.normal(0, 0.03, (after, after)).astype(np.float32))
            edges += [(last, "r"), ("r", last)]
    nodes["output"] = nir.Output({"output": np.array([5])})
    nir.write(str(tmp_path / "model.nir"), nir.NIRGraph(nodes, [*edges, (last, "output")]))
    pair = Pair(tmp_path / "model.nir", dt=1e-3, reset="subtract")
    assert chunks(pair.kernel) > 0
    results = pair.run({"input": events(rng, 150, 2, 300)})
    assert all(results[f"n{n}.spikes"].any() for n in range(3))
