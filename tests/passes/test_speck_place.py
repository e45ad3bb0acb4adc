"""The placement of layers on cores: sinabs' on recorded networks, a maximum matching by networkx on random ones."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import speck
from nirc.dialects.dense import dense
from nirc.dialects.nir import assumptions
from nirc.passes.speck_check_limits import structural_violations
from nirc.passes.speck_place import SpeckPlacePass, match

KI = 1024


def network(*layers: tuple[int, int, int, int]) -> ModuleOp:
    """A chain of layers by channels, kernel, features and size: their memories count, nothing else does."""
    ops = list[speck.CoreOp]()
    for n, (channels, kernel, features, size) in enumerate(layers):
        numbers = {
            "weights": dense(np.zeros((features, channels, kernel, kernel))),
            "biases": dense(np.zeros(features)),
            "threshold_high": dense(np.ones(())),
            "threshold_low": dense(-np.ones(())),
        }
        to = [speck.DestinationAttr.of(f"if{n + 1}")] if n + 1 < len(layers) else []
        rows = size + kernel - 1
        ops.append(speck.CoreOp(f"if{n}", [f"w{n}"], (channels, rows, rows), numbers, destinations=to, monitor=not to))
    ports = [speck.PortAttr.of("x", "if0", ops[0].taken)], [speck.PortAttr.of("y", f"if{len(ops) - 1}", ops[-1].given)]
    return ModuleOp([speck.NetworkOp("main", "speck2f", *ports, Region(Block(ops)))])


def cores(module: ModuleOp, placement: str | None = None) -> list[int]:
    SpeckPlacePass(placement).apply(Context(), module)
    (op,) = module.ops
    assert isinstance(op, speck.NetworkOp)
    return [-1 if layer.core is None else layer.core.value.data for layer in op.layers().values()]


SMALL = (1, 1, 1, 4)
WIDE = (64, 16, 2, 4)
"""Kernel memory of 64 * 2^(8 + 1) = 32 Ki words: cores 3 to 6."""
WIDER = (128, 16, 2, 4)
"""64 Ki: cores 5 and 6."""
TALL = (1, 1, 16, 64)
"""Neuron memory of 16 * 2^12 = 64 Ki words: cores 0 to 2."""


def test_a_chain_of_small_layers() -> None:
    assert cores(network(*[SMALL] * 9)) == list(range(9))


def test_memories_decide() -> None:
    assert cores(network(WIDER, TALL, WIDE)) == [5, 0, 3]


def test_layers_make_room_for_others() -> None:
    """Small layers that come first take the low cores until someone needs them."""
    assert sorted(cores(network(SMALL, SMALL, SMALL, TALL, TALL, TALL))[3:]) == [0, 1, 2]


def test_the_vendors_own_placement(shared: Path) -> None:
    """The recorded case with five layers whose memories force another order than 0, 1, 2, ..."""
    meta = json.loads((shared / "cases" / "speck" / "placement" / "meta.json").read_text())
    feasible = [
        [
            core
            for core in range(9)
            if all(
                meta["memory"][name][str(n)] <= getattr(speck.LIMITS, f"{name}_memory")[core]
                for name in ("kernel", "neuron", "bias")
            )
        ]
        for n in range(5)
    ]
    assert list(match(feasible).cores) == list(meta["layer2core"].values()) == [0, 1, 3, 5, 2]


@pytest.mark.parametrize("seed", range(300))
def test_a_maximum_matching(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = int(rng.integers(1, 12))
    share = rng.uniform(0.05, 0.6)
    feasible = [np.flatnonzero(rng.random(9) < share).tolist() for _ in range(layers)]
    found = match(feasible)
    graph: nx.Graph[tuple[str, int]] = nx.Graph()
    graph.add_nodes_from(("layer", n) for n in range(layers))
    graph.add_edges_from((("layer", n), ("core", core)) for n, options in enumerate(feasible) for core in options)
    largest = nx.bipartite.maximum_matching(graph, [("layer", n) for n in range(layers)])
    used = [core for core in found.cores if core >= 0]
    assert len(used) == len(set(used)) == len(largest) // 2
    assert all(core < 0 or core in options for core, options in zip(found.cores, feasible, strict=True))
    assert found.complete == (len(used) == layers)
    if not found.complete:
        # Hall's condition: these layers have these cores together, and they are too few.
        assert {core for n in found.stuck for core in feasible[n]} == set(found.cores_left)
        assert len(found.stuck) > len(found.cores_left)


# By hand


def test_given_cores() -> None:
    module = network(SMALL, SMALL, SMALL)
    assert cores(module, "if1=7,if0=1") == [1, 7, 0]
    assert [str(item) for item in assumptions(module)] == ["placement: 'if1' on core 7, 'if0' on core 1"]


@pytest.mark.parametrize(
    ("placement", "text"),
    [
        ("if9=1", "placement 'if9=1': no layer 'if9'; layers: 'if0', 'if1'"),
        ("if0", "placement 'if0': no layer ''"),
        ("if0=9", "placement 'if0=9': a core is a number in 0..8"),
        ("if0=x", "placement 'if0=x': a core is a number in 0..8"),
        ("if0=1,if0=2", "placement 'if0=2': the layer or the core is given twice"),
        ("if0=1,if1=1", "placement 'if1=1': the layer or the core is given twice"),
        ("if1=0", "placement 'if1=0': it needs 65,536 words of kernel memory, the core has 16,384"),
        ("if0=5,if2=6", "placement if0=5,if2=6: the other layers do not fit on the cores that are left; without it"),
    ],
)
def test_given_cores_that_cannot_be(placement: str, text: str) -> None:
    with pytest.raises(PassFailedException) as refused:
        cores(network(SMALL, WIDER, SMALL), placement)
    assert str(refused.value).startswith(text)


def test_all_faults_of_a_placement_at_once() -> None:
    with pytest.raises(PassFailedException) as refused:
        cores(network(SMALL, WIDER), "if7=1,if1=0,if0=12")
    assert len(str(refused.value).splitlines()) == 3


# Where there is none


def explained(*layers: tuple[int, int, int, int]) -> list[str]:
    module = network(*layers)
    assert cores(module) == [-1] * len(layers)
    (op,) = module.ops
    assert isinstance(op, speck.NetworkOp)
    return [text for text in structural_violations(op) if "memory" in text or "cores alone" in text]


def test_layers_that_vie_for_too_few_cores() -> None:
    """Hall's condition in words, and the least memory by which one could go elsewhere."""
    assert explained(WIDER, SMALL, WIDER, WIDER) == [
        "3 layers ('if0', 'if2', 'if3') fit on 2 cores alone (5, 6); the nearest other place is core 3 for 'if0', "
        "where 32,768 words of kernel memory are missing"
    ]


def test_a_layer_that_fits_nowhere() -> None:
    """64 * 2^(8 + 4) = 256 Ki words of kernel memory; 8x8 taps take 64 Ki, 4 features too."""
    assert explained((64, 16, 16, 4)) == [
        "node 'if0': 262,144 words of kernel memory, the largest core has 65,536 (196,608 missing); a 8x8 kernel, 4 "
        "features would fit, or a split"
    ]
    assert explained((1, 1, 32, 64)) == [
        "node 'if0': 131,072 words of neuron memory, the largest core has 65,536 (65,536 missing); a pool or stride by "
        "2, 16 features would fit, or a split"
    ]


def test_a_layer_whose_memories_are_on_different_cores() -> None:
    """64 Ki of kernel memory (cores 5, 6) and 32 Ki of neuron memory (cores 0 to 4)."""
    assert cores(network((64, 2, 256, 8))) == [5]  # 64 Ki and 16 Ki
    (text,) = explained((64, 2, 256, 10))
    assert text.startswith("node 'if0': no core has all of its memories; core ")
    assert "words of neuron memory are missing" in text or "words of kernel memory are missing" in text
