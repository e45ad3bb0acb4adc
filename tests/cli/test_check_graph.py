"""`nirc check`: how the graph is understood, counted by hand; every fault at once; its exit status as a gate of CI."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

Nirc = Callable[..., Any]
Nodes = dict[str, dict[str, Any]]
Edges = list[tuple[str, str]]
Write = Callable[[Nodes, Edges], Path]


def port(kind: str, *shape: int) -> dict[str, Any]:
    return {"type": kind, "shape": np.array(shape)}


def lif(*shape: int, tau: float = 4.0, **more: Any) -> dict[str, Any]:
    """Every tau above 1 and r = 1: tau counts steps, dt is 1."""
    ones = np.ones(shape)
    return {"type": "LIF", "tau": tau * ones, "r": ones, "v_leak": 0 * ones, "v_threshold": ones, **more}


def integrate(*shape: int) -> dict[str, Any]:
    ones = np.ones(shape)
    return {"type": "IF", "r": ones, "v_threshold": ones}


def linear(outputs: int, inputs: int) -> dict[str, Any]:
    return {"type": "Linear", "weight": np.ones((outputs, inputs))}


def conv(*weight: int, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> dict[str, Any]:
    """Weights of the shape out, in / groups, kernel."""
    return {
        "type": f"Conv{len(weight) - 2}d",
        "weight": np.ones(weight),
        "bias": np.zeros(weight[0]),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }


def around(
    nodes: Nodes, *edges: str, first: tuple[int, ...] = (2,), last: tuple[int, ...] = (2,)
) -> tuple[Nodes, Edges]:
    """`nodes` with an Input and an Output; an edge is written `source>target`, several with spaces between them."""
    every = {"input": port("Input", *first), **nodes, "output": port("Output", *last)}
    pairs = [(a, b) for text in edges for edge in text.split() for a, _, b in [edge.partition(">")]]
    return every, pairs


def found(result: Any) -> dict[str, Any]:
    """The JSON on stdout, alone there."""
    assert result.err == ""
    return json.loads(result.out)


# The graph.


def test_the_graph_as_json_and_as_text(nirc: Nirc, write: Write) -> None:
    """Two inputs into a sum, an integrator aside; everything in one place."""
    nodes: Nodes = {
        "left": port("Input", 3),
        "right": port("Input", 2),
        "a": linear(4, 3),
        "b": linear(4, 2),
        "lif": lif(4),
        "read": linear(2, 4),
        "li": {"type": "LI", "tau": 8 * np.ones(2), "r": np.ones(2), "v_leak": np.zeros(2)},
        "spikes": port("Output", 4),
        "values": port("Output", 2),
    }
    pairs = "right>b left>a b>lif a>lif lif>spikes lif>read read>li li>values"
    path = write(nodes, [(a, b) for a, _, b in (pair.partition(">") for pair in pairs.split())])
    result = nirc("check", path, "--json")
    assert result.status == 0
    held = found(result)
    assert held["file"] == str(path)
    assert (held["ok"], held["faults"], held["targets"]) == (True, [], {})
    assert held["inputs"] == {"left": [3], "right": [2]}
    assert held["outputs"] == {"spikes": [4], "values": [2]}
    assert sorted(held["nodes"], key=lambda node: node["name"]) == [
        {"name": "a", "type": "Linear", "shape": [4], "from": ["left"]},
        {"name": "b", "type": "Linear", "shape": [4], "from": ["right"]},
        {"name": "li", "type": "LI", "shape": [2], "from": ["read"]},
        {"name": "lif", "type": "LIF", "shape": [4], "from": ["a", "b"]},
        {"name": "read", "type": "Linear", "shape": [2], "from": ["lif"]},
    ]
    assert (held["neurons"], held["weights"], held["synapses"], held["cycles"]) == (6, 28, 28, [])
    text = nirc("check", path)
    assert (text.status, text.err) == (0, "")
    lines = text.out.splitlines()
    assert lines[0] == f"{path}: 5 nodes, 6 neurons, 28 weights, 28 synapses"
    assert sorted(lines[1:10]) == sorted(
        [
            "  'left' (Input) 3",
            "  'right' (Input) 2",
            "  'a' (Linear) 4 from 'left'",
            "  'b' (Linear) 4 from 'right'",
            "  'lif' (LIF) 4 from 'a', 'b'",
            "  'read' (Linear) 2 from 'lif'",
            "  'li' (LI) 2 from 'read'",
            "  'spikes' (Output) 4",
            "  'values' (Output) 2",
        ]
    )
    assert lines[10] == "assumptions:"
    assert [line.strip() for line in lines[11:]] == held["assumptions"]


CONVOLUTIONS: dict[str, tuple[dict[str, Any], tuple[int, ...], list[int], int]] = {
    # weights times places: 4*2*3*3 = 72 at 6*6 places
    "plain": (conv(4, 2, 3, 3), (2, 8, 8), [4, 6, 6], 72 * 36),
    # rows (8-3)//2+1 = 3, columns 6
    "stride": (conv(4, 2, 3, 3, stride=[2, 1]), (2, 8, 8), [4, 3, 6], 72 * 18),
    # each of the 4 sees 1 of the 2 channels: 4*1*3*3 = 36
    "groups": (conv(4, 1, 3, 3, groups=2), (2, 8, 8), [4, 6, 6], 36 * 36),
    # rows (8-3)//2+1 = 3, columns (8-3)//3+1 = 2
    "stride and groups": (conv(6, 1, 3, 3, stride=[2, 3], groups=2), (2, 8, 8), [6, 3, 2], 54 * 6),
    # depthwise: one kernel a channel, 2*1*2*2 = 8
    "depthwise": (conv(2, 1, 2, 2, groups=2, stride=2), (2, 8, 8), [2, 4, 4], 8 * 16),
    # (8+2-3)//1+1 = 8; the border counts as if it had inputs
    "padding": (conv(1, 2, 3, 3, padding=1), (2, 8, 8), [1, 8, 8], 18 * 64),
    "same": (conv(1, 2, 3, 3, padding="same"), (2, 8, 8), [1, 8, 8], 18 * 64),
    # a kernel of 3 at distance 2 spans 5: 8-5+1 = 4
    "dilation": (conv(1, 2, 3, 3, dilation=2), (2, 8, 8), [1, 4, 4], 18 * 16),
    # (10+2-4)//2+1 = 5
    "one axis": (conv(3, 2, 4, stride=2, padding=1), (2, 10), [3, 5], 24 * 5),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_synapses_of_convolutions(nirc: Nirc, write: Write, case: str) -> None:
    """A weight connects as many pairs as the convolution has places; biases are no weights."""
    node, first, shape, synapses = CONVOLUTIONS[case]
    path = write(*around({"conv": node}, "input>conv", "conv>output", first=first, last=tuple(shape)))
    result = nirc("check", path, "--json")
    assert result.status == 0
    held = found(result)
    assert held["nodes"] == [{"name": "conv", "type": node["type"], "shape": shape, "from": ["input"]}]
    assert held["weights"] == node["weight"].size
    assert held["synapses"] == synapses
    assert held["neurons"] == 0


def test_a_network_of_convolutions(nirc: Nirc, write: Write) -> None:
    """Conv 4x3x6 (36 weights at 18 places), 72 neurons, pool 4x3x3, flat 36, 5 times 36 weights, 5 neurons."""
    pool = {
        "type": "SumPool2d",
        "kernel_size": np.array([1, 2]),
        "stride": np.array([1, 2]),
        "padding": np.array([0, 0]),
    }
    nodes: Nodes = {
        "conv": conv(4, 1, 3, 3, stride=[2, 1], groups=2),
        "lif": lif(4, 3, 6),
        "pool": pool,
        "flat": {"type": "Flatten", "start_dim": 0, "end_dim": -1},
        "fc": linear(5, 36),
        "if": integrate(5),
    }
    names = ["input", *nodes, "output"]
    path = write(*around(nodes, *map(">".join, pairwise(names)), first=(2, 8, 8), last=(5,)))
    result = nirc("check", path)
    assert result.status == 0
    assert result.out.splitlines()[:9] == [
        f"{path}: 6 nodes, 77 neurons, 216 weights, 828 synapses",
        "  'input' (Input) 2x8x8",
        "  'conv' (Conv2d) 4x3x6 from 'input'",
        "  'lif' (LIF) 4x3x6 from 'conv'",
        "  'pool' (SumPool2d) 4x3x3 from 'lif'",
        "  'flat' (Flatten) 36 from 'pool'",
        "  'fc' (Linear) 5 from 'flat'",
        "  'if' (IF) 5 from 'fc'",
        "  'output' (Output) 5",
    ]


def test_numbers_of_a_thousand_have_commas(nirc: Nirc, write: Write) -> None:
    nodes: Nodes = {"fc": linear(1500, 2), "lif": lif(1500)}
    path = write(*around(nodes, "input>fc", "fc>lif", "lif>output", last=(1500,)))
    result = nirc("check", path)
    assert result.out.splitlines()[0] == f"{path}: 2 nodes, 1,500 neurons, 3,000 weights, 3,000 synapses"


def test_every_kind_of_neuron_counts(nirc: Nirc, write: Write) -> None:
    """Six of 3; what only compares, delays or scales is none. One number stands for all where the file says so."""
    ones = np.ones(3)
    leaky = {"tau_mem": 4 * ones, "tau_syn": 4 * ones, "r": ones, "v_leak": 0 * ones, "w_in": np.array(1.0)}
    nodes: Nodes = {
        "if": integrate(3),
        "lif": lif(),
        "i": {"type": "I", "r": ones},
        "li": {"type": "LI", "tau": np.array(4.0), "r": np.array(1.0), "v_leak": np.array(0.0)},
        "cubali": {"type": "CubaLI", **leaky},
        "cubalif": {"type": "CubaLIF", **leaky, "v_threshold": ones},
        "threshold": {"type": "Threshold", "threshold": ones},
        "delay": {"type": "Delay", "delay": ones},
        "scale": {"type": "Scale", "scale": ones},
    }
    names = ["input", *nodes, "output"]
    path = write(*around(nodes, *map(">".join, pairwise(names)), first=(3,), last=(3,)))
    held = found(nirc("check", path, "--json"))
    assert (held["ok"], held["neurons"], held["weights"], held["synapses"]) == (True, 18, 0, 0)
    assert {node["name"]: node["shape"] for node in held["nodes"]} == {name: [3] for name in nodes}


CYCLES: dict[str, tuple[Nodes, str, list[tuple[str, str]]]] = {
    "none": ({"lif": lif(2)}, "input>lif lif>output", []),
    "itself": ({"lif": lif(2)}, "input>lif lif>output lif>lif", [("lif", "lif")]),
    "weights": (
        {"lif": lif(2), "rec": linear(2, 2)},
        "input>lif lif>output lif>rec rec>lif",
        [("rec", "lif")],
    ),
    "two": (
        {"a": lif(2), "b": lif(2), "ra": linear(2, 2), "rb": linear(2, 2)},
        "input>a a>b b>output a>ra ra>a b>rb rb>b",
        [("ra", "a"), ("rb", "b")],
    ),
    "outer and inner": (
        {"a": lif(2), "b": lif(2), "back": linear(2, 2)},
        "input>a a>b b>b b>back back>a b>output",
        [("b", "b"), ("back", "a")],
    ),
    "not reached": (
        {"a": lif(2), "x": lif(2), "y": lif(2)},
        "input>a a>output x>y y>x y>output",
        [("y", "x")],
    ),
    "a diamond is none": (
        {"a": linear(2, 2), "b": linear(2, 2), "lif": lif(2)},
        "input>a input>b a>lif b>lif lif>output",
        [],
    ),
}


@pytest.mark.parametrize("case", CYCLES)
def test_cycles(nirc: Nirc, write: Write, case: str) -> None:
    nodes, edges, closing = CYCLES[case]
    path = write(*around(nodes, edges))
    result = nirc("check", path, "--json")
    assert result.status == 0
    held = found(result)
    assert sorted((edge["from"], edge["to"]) for edge in held["cycles"]) == closing
    lines = [line for line in nirc("check", path).out.splitlines() if "cycle closes" in line]
    assert sorted(lines) == [f"  a cycle closes at {source!r} -> {target!r}" for source, target in closing]
    assert len([text for text in held["assumptions"] if text.startswith("cycle: ")]) == len(closing)


def test_a_loop_without_state_is_a_fault(nirc: Nirc, write: Write) -> None:
    nodes: Nodes = {"a": linear(2, 2), "b": linear(2, 2), "lif": lif(2), "c": linear(2, 2)}
    path = write(*around(nodes, "input>a a>b b>a b>lif lif>output lif>c c>c"))
    result = nirc("check", path, "--json")
    assert result.status == 1
    faults = found(result)["faults"]
    assert len(faults) == 2
    assert any("'c' -> 'c'" in fault and "has no node with state" in fault for fault in faults)
    assert any("'a' -> 'b' -> 'a'" in fault or "'b' -> 'a' -> 'b'" in fault for fault in faults)


def nest(path: Path) -> Path:
    """Put the nodes `lif` and `rec` into a nested graph, which stands under two names in the outer one."""
    text = h5py.string_dtype()
    with h5py.File(path, "r+") as file:
        nodes = file["node/nodes"]
        inner = nodes.create_group("one")
        inner.create_dataset("type", data="NIRGraph", dtype=text)
        inner.create_dataset(
            "edges", data=np.array([("in", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out")], object)
        )
        held = inner.create_group("nodes")
        for name, kind in (("in", "Input"), ("out", "Output")):
            group = held.create_group(name)
            group.create_dataset("type", data=kind, dtype=text)
            group.create_dataset("shape", data=np.array([2]))
        held["lif"], held["rec"] = nodes["lif"], nodes["rec"]
        del nodes["lif"], nodes["rec"]
        nodes["two"] = inner
        del file["node/edges"]
        file["node"].create_dataset(
            "edges", data=np.array([("input", "one"), ("one", "two"), ("two", "output")], object)
        )
    return path


def test_nested_graphs_count_as_often_as_they_stand(nirc: Nirc, write: Write) -> None:
    """One group under two names: 2 neurons and 4 weights each, a cycle in each."""
    path = nest(write(*around({"lif": lif(2), "rec": linear(2, 2)}, "input>lif")))
    result = nirc("check", path, "--json")
    assert result.status == 0
    held = found(result)
    assert {node["name"]: (node["type"], node["from"]) for node in held["nodes"]} == {
        "one.lif": ("LIF", ["input", "one.rec"]),
        "one.rec": ("Linear", ["one.lif"]),
        "two.lif": ("LIF", ["one.lif", "two.rec"]),
        "two.rec": ("Linear", ["two.lif"]),
    }
    assert (held["neurons"], held["weights"], held["synapses"]) == (4, 8, 8)
    assert sorted((edge["from"], edge["to"]) for edge in held["cycles"]) == [
        ("one.rec", "one.lif"),
        ("two.rec", "two.lif"),
    ]


# What is assumed.


def test_what_is_assumed_is_listed(nirc: Nirc, write: Write) -> None:
    """Ports are inferred, a node is left out, a field is ignored, and time is cut."""
    path = write({"lif": lif(2, colour=np.array(1)), "alone": lif(2), "fc": linear(2, 2)}, [("fc", "lif")])
    result = nirc("check", path, "--json")
    assert result.status == 0
    held = found(result)
    assert held["inputs"] == {"input_fc": [2]}
    assert held["outputs"] == {"output_lif": [2]}
    assert [node["name"] for node in held["nodes"]] == ["fc", "lif"]
    for text in (
        "node dropped: 'alone' is not connected to anything and is left out",
        "Input: no edge leads to 'fc'; an Input 'input_fc' is inferred there",
        "Output: no edge leaves 'lif'; an Output 'output_lif' is inferred there",
        "unknown field: node 'lif' (LIF): 'colour' is ignored",
    ):
        assert text in held["assumptions"]
    assert [text.partition(":")[0] for text in held["assumptions"]].count("dt") == 1
    assert any(text.startswith("reset: to 0 for 'lif'") for text in held["assumptions"])


def test_what_is_told_is_not_chosen(nirc: Nirc, write: Write) -> None:
    path = write(*around({"lif": lif(2)}, "input>lif", "lif>output"))
    held = found(nirc("check", path, "--json", "--dt", "0.5", "--reset", "subtract"))
    assert "dt: 0.5 s" in held["assumptions"]
    assert not any(text.startswith("reset: to 0") for text in held["assumptions"])


def test_candidates_where_the_step_cannot_be_found(nirc: Nirc, write: Write) -> None:
    """That is no fault of the file; each candidate says what it does: tau is 20 steps of 1 ms and keeps 19/20."""
    path = write(*around({"lif": lif(2, tau=20e-3)}, "input>lif", "lif>output"))
    result = nirc("check", path, "--json")
    assert result.status == 0
    held = found(result)
    assert held["ok"]
    assert held["dt"]["found"] is None
    assert held["dt"]["why"].startswith("dt cannot be found: ")
    assert (
        "candidate --dt 0.001 (Norse, Nengo): tau of 'lif' is 20 steps, keeps 0.95 a step" in held["dt"]["candidates"]
    )
    assert any(text.startswith("candidate --dt 1 ") and "refused" in text for text in held["dt"]["candidates"])
    assert held["neurons"] == 2
    text = nirc("check", path).out
    assert "dt cannot be found: " in text
    assert "  candidate --dt 0.001 (Norse, Nengo): tau of 'lif' is 20 steps, keeps 0.95 a step" in text.splitlines()
    told = found(nirc("check", path, "--json", "--dt", "1e-3"))
    assert "dt" not in told


# A gate of CI.


def test_exit_statuses(nirc: Nirc, write: Write, tmp_path: Path) -> None:
    good = write(*around({"lif": lif(2)}, "input>lif", "lif>output")).rename(tmp_path / "good.nir")
    bad = write(*around({"lif": lif(2, tau=-1)}, "input>lif", "lif>output")).rename(tmp_path / "bad.nir")
    (tmp_path / "text.nir").write_text("hello")
    statuses = {
        "good.nir": (0, True),
        "bad.nir": (1, True),
        "text.nir": (1, False),
        "nothing.nir": (1, False),
        ".": (1, False),
    }
    assert (good.exists(), bad.exists()) == (True, True)
    for name, (status, printed) in statuses.items():
        for more in ([], ["--json"]):
            result = nirc("check", name, *more)
            assert result.status == status, name
            assert bool(result.out) == printed, name
            assert bool(result.err) != printed, name
            assert "Traceback" not in result.err
    assert nirc("check").status == 2
    assert nirc("check", "good.nir", "--target", "brain").status == 2


def test_strict_as_a_gate(nirc: Nirc, write: Write) -> None:
    """Every choice is a fault until it is said."""
    path = write(*around({"lif": lif(2), "rec": linear(2, 2)}, "input>lif lif>output lif>rec rec>lif"))
    result = nirc("check", path, "--json", "--strict")
    assert result.status == 1
    held = found(result)
    assert not held["ok"]
    topics = sorted(
        fault.removeprefix("under --strict this must be said: ").partition(":")[0] for fault in held["faults"]
    )
    assert topics == ["cycle", "dt", "reset", "scheme"]
    assert held["neurons"] == 2, "the graph is shown all the same"
    options = ["--dt", "1", "--scheme", "nir-euler", "--reset", "zero"]
    assert nirc("check", path, "--strict", *options).status == 0


def test_strict_does_not_pass_what_was_inferred(nirc: Nirc, write: Write) -> None:
    """Also where the step cannot be found: an Input that nirc made up is a choice, `nirc run --strict` refuses it."""
    path = write({"lif": lif(2, tau=20e-3), "output": port("Output", 2)}, [("lif", "output")])
    assert "Input: no edge leads to 'lif'; an Input 'input_lif' is inferred there" in nirc("check", path).out
    result = nirc("check", path, "--strict")
    assert result.status == 1
    assert "an Input 'input_lif' is inferred there" in result.out


def test_a_fix_opens_the_gate(nirc: Nirc, write: Write) -> None:
    """Edges name `lif`, the node is `cell`."""
    path = write(*around({"cell": lif(2)}, "input>lif", "lif>output"))
    result = nirc("check", path, "--json")
    assert result.status == 1
    hint = "no node 'lif'; did you mean 'cell', which no edge names? --fix edge-names takes it"
    assert found(result)["faults"] == [f"edge 'input' -> 'lif': {hint}", f"edge 'lif' -> 'output': {hint}"]
    for fix in (["--fix", "edge-names"], ["--fix", "all"], ["--fix", "all", "--fix", "edge-names"]):
        mended = nirc("check", path, "--json", *fix)
        assert mended.status == 0
        held = found(mended)
        assert (
            "fix: edges name 'lif', which is no node; it is taken for 'cell', which no edge names"
            in held["assumptions"]
        )
        assert held["nodes"] == [{"name": "cell", "type": "LIF", "shape": [2], "from": ["input"]}]
    unknown = nirc("check", path, "--fix", "names", "--json")
    assert (unknown.status, unknown.out) == (1, "")
    assert unknown.lines == [
        f"{path}: unknown fix names; known: edge-names, hwc-flatten, "
        "recurrent-input, spyx-gains, rockpool-gains, norse-tau, all"
    ]


def test_all_faults_of_a_file(nirc: Nirc, write: Write) -> None:
    """Types, values, fields, shapes, edges: everything at once, each with the node's name."""
    nodes: Nodes = {
        "fc": linear(3, 2),
        "wide": lif(4),
        "bad": lif(2, tau=0),
        "odd": {"type": "Lif"},
        "less": {"type": "IF", "r": np.ones(2)},
        "nan": {"type": "Scale", "scale": np.array([1, np.nan])},
    }
    edges = "input>fc fc>wide wide>output input>bad input>odd input>less input>nan nan>outpt"
    path = write(*around(nodes, edges, last=(4,)))
    result = nirc("check", path, "--json")
    assert result.status == 1
    held = found(result)
    assert not held["ok"]
    expected = [
        "edge 'nan' -> 'outpt': no node 'outpt'; did you mean 'output'?",
        "node 'bad' (LIF), tau: 0 at index 0 and at 1 more, must be > 0",
        "node 'less' (IF), v_threshold: missing",
        "node 'nan' (Scale), scale: nan at index 1",
        "node 'odd': unknown type 'Lif'; did you mean LIF?",
        "node 'wide' (LIF)",
    ]
    assert len(held["faults"]) == len(expected)
    for fault, text in zip(sorted(held["faults"]), expected, strict=True):
        assert fault.startswith(text)
    text = nirc("check", path)
    assert (text.status, text.err) == (1, "")
    assert text.out.splitlines() == [f"{path}: {fault}" for fault in held["faults"]]


def test_every_tau_below_the_step_is_a_fault(nirc: Nirc, write: Write) -> None:
    path = write(*around({"a": lif(2, tau=5), "b": lif(2, tau=3), "c": lif(2, tau=50)}, "input>a a>b b>c c>output"))
    result = nirc("check", path, "--json", "--dt", "10")
    assert result.status == 1
    held = found(result)
    assert len(held["faults"]) == 2
    assert "'a'" in held["faults"][0]
    assert "'b'" in held["faults"][1]


def test_a_target_is_part_of_the_gate(nirc: Nirc, write: Write) -> None:
    """200 input channels are more than Xylo's 16; the file itself is sound."""
    ones = np.ones(2)
    neurons = {"tau_mem": 8e-3 * ones, "tau_syn": 4e-3 * ones, "r": 8 * ones, "w_in": 4 * ones, "v_leak": 0 * ones}
    nodes: Nodes = {"fc": linear(2, 200), "lif": {"type": "CubaLIF", **neurons, "v_threshold": ones}}
    path = write(*around(nodes, "input>fc", "fc>lif", "lif>output", first=(200,)))
    assert nirc("check", path).status == 0
    result = nirc("check", path, "--target", "xylo", "--json")
    assert result.status == 1
    held = found(result)
    assert (held["ok"], held["faults"], held["targets"]["xylo"]["fits"]) == (False, [], False)
    assert any("200 input channels" in fault for fault in held["targets"]["xylo"]["faults"])
    assert held["neurons"] == 2
    text = nirc("check", path, "--target", "xylo")
    assert (text.status, text.err) == (1, "")
    assert "xylo: does not fit" in text.out.splitlines()


# Names.


ODD = [
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "bell\x07",
    "\x7f",
    "\u202etfel",
    "\u2028",
    "tab\t",
    "\x9bcsi",
    "größe",
    "'\"\\",
]


def printable(text: str) -> bool:
    """Whether a terminal shows the text as it is: lines without control and format characters."""
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Cs") for c in text)


@pytest.mark.parametrize("name", ODD)
def test_names_are_escaped(nirc: Nirc, write: Write, name: str) -> None:
    """In the graph, the cycles and the assumptions; JSON holds the name itself."""
    nodes: Nodes = {name: {**lif(2), f"field {name}": np.array(1)}, f"rec {name}": linear(2, 2)}
    edges = [("input", name), (name, f"rec {name}"), (f"rec {name}", name), (name, "output")]
    path = write(around(nodes)[0], edges)
    text = nirc("check", path)
    assert text.status == 0
    assert printable(text.out)
    assert f"  {name!r} (LIF) 2 from 'input', {f'rec {name}'!r}" in text.out.splitlines()
    held = found(nirc("check", path, "--json"))
    assert {node["name"] for node in held["nodes"]} == {name, f"rec {name}"}
    assert held["cycles"] == [{"from": f"rec {name}", "to": name}]
    assert all(printable(line) for line in held["assumptions"])


@pytest.mark.parametrize("name", ODD)
def test_names_in_faults_are_escaped(nirc: Nirc, write: Write, name: str) -> None:
    nodes: Nodes = {name: lif(2, tau=0), "type": {"type": f"LIF{name}"}, "less": {"type": "Scale", name: np.ones(2)}}
    path = write(around(nodes)[0], [("input", name), (name, "output"), ("less", f"no {name}"), ("input", "type")])
    for more in ([], ["--json"]):
        result = nirc("check", path, *more)
        assert result.status == 1
        assert printable(result.out + result.err)
    faults = "\n".join(found(nirc("check", path, "--json"))["faults"])
    assert f"node {name!r} (LIF), tau: 0" in faults
    assert f"unknown type {f'LIF{name}'!r}" in faults
    assert f"no node {f'no {name}'!r}" in faults
    assert printable(faults)


def test_a_long_name_is_cut_in_text_and_whole_in_json(nirc: Nirc, write: Write) -> None:
    name = "n" * 5000
    path = write(*around({name: lif(2)}, f"input>{name}", f"{name}>output"))
    text = nirc("check", path)
    assert text.status == 0
    assert max(map(len, text.out.replace(str(path), "").splitlines())) < 400
    assert [node["name"] for node in found(nirc("check", path, "--json"))["nodes"]] == [name]
