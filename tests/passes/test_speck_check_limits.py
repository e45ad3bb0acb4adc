"""Everything in which a network does not fit, in one list and in the words of the model; the limits themselves.

The limits are the specification's (section 3), of which `checks/speck_check.py` has a table of its own.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

import nirc
from nirc.dialects import speck
from nirc.dialects.dense import dense
from nirc.dialects.nir import assumptions
from nirc.passes.speck_check_limits import SpeckCheckLimitsPass, violations

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import chain, checker, conv, graph, nir, normal, pool, port, spiking

RNG = np.random.default_rng(1)


def core(name: str = "if", to: str | None = None, **changes: Any) -> speck.CoreOp:
    """A placed core of integers, 2x5x5 to 3x3x3, with some of its numbers changed."""
    taken, features = changes.pop("taken", (2, 5, 5)), changes.pop("features", 3)
    kernel = changes.pop("kernel", 3)
    weights = np.ones((features, taken[0], kernel, kernel))
    numbers: dict[str, Any] = {"weights": weights, "biases": np.zeros(features)}
    numbers |= {"threshold_high": 10, "threshold_low": -10}
    for key in (*speck.CoreOp.NUMBERS,):
        numbers |= {key: changes.pop(key)} if key in changes else {}
    attrs = {key: dense(np.asarray(value).astype(np.int32, order="C")) for key, value in numbers.items()}
    destinations = changes.pop("destinations", [] if to is None else [speck.DestinationAttr.of(to)])
    options: dict[str, Any] = {"core": 0, "monitor": to is None, **changes}
    return speck.CoreOp(name, ["w"], taken, attrs, destinations=destinations, **options)


def module_of(*cores: speck.CoreOp, chip: str = "speck2f") -> ModuleOp:
    inputs = [speck.PortAttr.of("x", cores[0].node.data, cores[0].taken)]
    outputs = [speck.PortAttr.of("y", cores[-1].node.data, cores[-1].given)]
    module = ModuleOp([speck.NetworkOp("main", chip, inputs, outputs, Region(Block(list(cores))))])
    module.verify()
    return module


def found(*cores: speck.CoreOp, chip: str = "speck2f") -> list[str]:
    """The violations, which the pass raises together."""
    module = module_of(*cores, chip=chip)
    (network,) = module.ops
    assert isinstance(network, speck.NetworkOp)
    texts = list(violations(network))
    if texts:
        with pytest.raises(PassFailedException) as refused:
            SpeckCheckLimitsPass().apply(Context(), module)
        assert str(refused.value).splitlines() == texts
    else:
        SpeckCheckLimitsPass().apply(Context(), module)
    return texts


def test_a_core_that_fits() -> None:
    assert found(core()) == []


@pytest.mark.parametrize("chip", speck.CHIPS)
def test_limits_that_nobody_verified_are_told(chip: str) -> None:
    module = module_of(core(), chip=chip)
    SpeckCheckLimitsPass().apply(Context(), module)
    told = [f"limits: those of {chip} are taken from speck2b, as the vendor's documentation has them; unverified"]
    assert [str(item) for item in assumptions(module)] == ([] if chip == "speck2b" else told)


def test_the_limits_are_the_checkers(shared: Path) -> None:
    check = checker(shared)
    assert [n // 1024 for n in speck.LIMITS.kernel_memory] == check.KERNEL
    assert [n // 1024 for n in speck.LIMITS.neuron_memory] == check.NEURON
    for n in range(1, 300):
        assert speck.Memory.of(1, 1, (1, 1, n)).neuron == 1 << check.clog2(n)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kernel": 17, "taken": (1, 20, 20)}, "node 'w' (onto 'if'): a 17x17 kernel, the chip's are at most 16x16"),
        ({"stride": (3, 1)}, "a stride of 3x1, the chip has 1, 2, 4, 8 per axis; the nearest is 2 or 4"),
        ({"stride": (1, 16)}, "a stride of 1x16, the chip has 1, 2, 4, 8 per axis; the nearest is 8"),
        ({"padding": (8, 0)}, "node 'w' (onto 'if'): a padding of 8, on the chip at most 7"),
        (
            {"taken": (1025, 2, 2), "kernel": 1, "features": 1},
            "1025 channels arrive, a core has at most 1024; pool or split",
        ),
        ({"taken": (1, 2, 2), "kernel": 1, "features": 1025}, "1025 features, a core has at most 1024; split it"),
        (
            {"taken": (1, 4, 129), "kernel": 4, "features": 1, "stride": (1, 8)},
            "4x129 places arrive, a core takes at most 128x128; crop or pool the input",
        ),
        (
            {"taken": (1, 67, 5), "features": 1},
            "node 'if': 65x3 neurons a feature, a core has at most 64x64; take a stride 2 times as large in node 'w'",
        ),
        ({"weights": np.full((3, 2, 3, 3), 128)}, "node 'if': weights 128 at (0, 0, 0, 0) and at 53 more, must be in"),
        ({"biases": [0, -32769, 0]}, "node 'if': biases -32769 at 1, must be in [-32768, 32767]"),
        ({"threshold_high": 0}, "node 'if': threshold_high 0, must be in [1, 32767]"),
        ({"threshold_high": 32768}, "node 'if': threshold_high 32768, must be in [1, 32767]"),
        ({"threshold_low": 0}, "node 'if': threshold_low 0, must be in [-32768, -1]"),
        ({"initial": np.full((3, 3, 3), 40000)}, "node 'if': initial 40000 at (0, 0, 0) and at 26 more, must be in"),
        ({"core": 9}, "node 'if': core 9, the chip has 0 to 8"),
        ({"monitor": False}, "no layer is monitored; the chip would give nothing"),
        (
            {"taken": (33, 16, 16), "kernel": 16, "features": 2, "core": 8},
            "node 'if': 16,896 words of kernel memory on core 8, which has 16,384",
        ),
    ],
)
def test_one_violation(changes: dict[str, Any], text: str) -> None:
    texts = found(core(**changes))
    # More than 1024 features do not fit the bias memory either.
    assert len(texts) == (2 if changes.get("features") == 1025 else 1)
    assert text in texts[0]


def pair(**changes: Any) -> tuple[speck.CoreOp, speck.CoreOp]:
    """Two layers, the destination or the second one changed."""
    to = changes.pop("to", [speck.DestinationAttr.of("b")])
    taken = changes.pop("taken", (3, 3, 3))
    return core("a", destinations=to, monitor=False), core("b", taken=taken, core=1, kernel=1, **changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"to": [speck.DestinationAttr.of("b", 3)]}, "node 'a': a pool by 3 on the way to 'b', the chip has 1, 2, 4"),
        ({"to": [speck.DestinationAttr.of("b", 2)]}, "node 'a': 1x1 places reach 'b', which takes 3x3"),
        ({"taken": (4, 3, 3)}, "node 'b': nothing sends to its channel 3"),
        ({"taken": (5, 3, 3)}, "node 'b': nothing sends to its channel 3 and at 1 more"),
        ({"taken": (2, 3, 3)}, "node 'a': its features end at 3, 'b' takes 2"),
        ({"core": 0}, "two layers stand on the same core"),
    ],
)
def test_links(changes: dict[str, Any], text: str) -> None:
    if "core" in changes:
        one, other = pair()
        other.properties["core"] = one.properties["core"]
        assert found(one, other) == [text]
    else:
        assert found(*pair(**changes)) == [text]


def test_a_merge_is_allowed_where_the_vendor_says_so() -> None:
    """Two senders of the same features: sinabs 3.1 and the documentation on 2e and 2f; samna refuses on 2b."""

    def cores() -> list[speck.CoreOp]:
        a, b = (core(name, "c", core=n) for n, name in enumerate("ab"))
        return [a, b, core("c", taken=(3, 3, 3), kernel=1, core=2)]

    def both(chip: str) -> list[str]:
        ops = cores()
        inputs = [speck.PortAttr.of("x", name, (2, 5, 5)) for name in "ab"]
        outputs = [speck.PortAttr.of("y", "c", ops[-1].given)]
        network = speck.NetworkOp("main", chip, inputs, outputs, Region(Block(ops)))
        network.verify()
        return list(violations(network))

    assert both("speck2f") == []
    assert both("speck2b") == [
        "node 'c': several layers send to the same channels, which the validator of speck2b refuses"
    ]


def test_real_numbers_are_not_checked() -> None:
    op = core()
    for name in op.NUMBERS:
        if name in op.properties:
            op.properties[name] = dense(op.numbers(name).astype(float))
    assert found(op) == ["the network holds real numbers; run speck-quantize first"]


# From NIR: everything in one list


def crowded() -> Any:
    """A network with each of the faults that the issue names."""
    sizes = (2, 17, 17)
    nodes: dict[str, Any] = {
        "input": port("Input", 2, 70, 70),
        "w0": conv(normal(RNG, 2, 2, 6, 6)),
        "if0": spiking((2, 65, 65)),
        "w1": conv(normal(RNG, 2, 2, 17, 17)),
        "if1": spiking((2, 49, 49)),
        "w2": conv(normal(RNG, 2, 2, 3, 3), stride=3, padding=1),
        "if2": spiking(sizes),
    }
    edges = list(pairwise(nodes))
    uneven = np.ones(sizes)
    uneven[0, 0, 1] = 2
    for n in range(3, 10):
        nodes |= {f"w{n}": conv(normal(RNG, 2, 2, 1, 1)), f"if{n}": spiking(sizes, uneven if n == 8 else 1)}
        edges += [("if2" if n < 6 else f"if{n - 1}", f"w{n}"), (f"w{n}", f"if{n}")]
    nodes["back"] = conv(normal(RNG, 2, 2, 1, 1))
    edges += [("if7", "back"), ("back", "if7")]
    nodes |= {"avg4": pool(4, "AvgPool2d"), "wa": conv(normal(RNG, 2, 2, 1, 1))}
    nodes |= {"avg2": pool(2, "AvgPool2d"), "wb": conv(normal(RNG, 2, 2, 2, 2), stride=2), "mixed": spiking((2, 4, 4))}
    pairs = "if3 avg4, avg4 wa, wa mixed, if4 avg2, avg2 wb, wb mixed, mixed other, if9 wl, wl lif, lif output"
    edges += [(a, b) for a, b in (pair.split() for pair in pairs.split(", "))]
    ones = np.ones(sizes)
    nodes |= {"wl": conv(normal(RNG, 2, 2, 1, 1))}
    nodes |= {"lif": nir.LIF(tau=20 * ones, r=ones, v_leak=0 * ones, v_threshold=ones)}
    return graph({**nodes, "output": port("Output", *sizes), "other": port("Output", 2, 4, 4)}, edges)


EXPECTED = (
    "node 'mixed': averages over windows of different sizes feed it (",
    "node 'back': a recurrent edge from 'if7'; cycles can lock Speck up, its layers only feed forward",
    "node 'if8': its thresholds differ, from 1 to 2 (1 at index (0, 0, 0), 2 at (0, 0, 1))",
    "node 'lif': its membrane leaks; Speck knows a constant leak alone (the bias), use IF",
    "12 layers ('if0', 'if1', ",
    "node 'if0': 65x65 neurons a feature, a core has at most 64x64; take a stride 2 times as large in node 'w0'",
    "node 'w1' (onto 'if1'): a 17x17 kernel, the chip's are at most 16x16; take a smaller one, or pool before it",
    "node 'w2' (onto 'if2'): a stride of 3x3, the chip has 1, 2, 4, 8 per axis; the nearest is 2 or 4",
    "node 'if2': it feeds 3 layers (",
)


def test_all_faults_of_a_network_at_once() -> None:
    with pytest.raises(DiagnosticException) as refused:
        nirc.compile(crowded(), "speck", dt=1)
    lines = str(refused.value).splitlines()
    for text in EXPECTED:
        assert sum(line.startswith(text) for line in lines) == 1, (text, lines)
    # Beside these, the mixed averages arrive in images of different sizes.
    assert len(lines) == len(EXPECTED) + 1


def test_ten_layers() -> None:
    nodes = [node for _ in range(10) for node in (conv(normal(RNG, 2, 2, 1, 1)), spiking((2, 4, 4)))]
    with pytest.raises(DiagnosticException) as refused:
        nirc.compile(chain((2, 4, 4), *nodes, outputs=(2, 4, 4)), "speck")
    (line,) = str(refused.value).splitlines()
    assert line.startswith("10 layers ('n1', 'n3', ")
    assert line.endswith("), the chip has 9 cores; merge some")
