"""Every limit by a network just beyond it, and none by one at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import StringAttr
from xdsl.utils.exceptions import PassFailedException

from nirc.backends.loihi2.read_config import read_config
from nirc.dialects import loihi2
from nirc.dialects.nir import assumptions
from nirc.passes.loihi2_check_limits import Estimate, Loihi2CheckLimitsPass, estimate

FITS: dict[str, Any] = {
    "fc": {"weights": [[254, -256], [0, 2]], "delays": [[0, 62], [1, 2]], "weight_exp": 7},
    "lif": {"du": 4095, "dv": 0, "vth": 131071, "bias_mant": -4096, "bias_exp": 7, "v": 2**23 - 1},
}

BEYOND = [
    ("fc", "weights", [[255, 0], [0, -2]], "weight 255 at (0, 0) acts as 254: 8 bits, sign mode MIXED"),
    ("fc", "weights", [[-258, 0], [0, 2]], "weight -258 at (0, 0) acts as -256"),
    ("fc", "weights", [[3, -3], [0, 2]], "weight 3 at (0, 0) and at 1 more acts as 2"),
    ("fc", "delays", 63, "a delay of 63 steps at (0, 0) and at 3 more, must be in [0, 62]"),
    ("fc", "weight_exp", 8, "weight_exp 8, must be in [0, 7]"),
    ("fc", "weight_exp", -1, "weight_exp -1, must be in [0, 7]"),
    ("fc", "num_message_bits", 32, "32 bits a message, at most 31"),
    ("lif", "du", 4096, "du 4096, must be in [0, 4095]"),
    ("lif", "dv", -1, "dv -1, must be in [0, 4095]"),
    ("lif", "vth", 131072, "vth 131072, must be in [0, 131071]"),
    ("lif", "bias_mant", [4096, 0], "bias_mant 4096 at 0, must be in [-4096, 4095]"),
    ("lif", "bias_exp", 8, "bias_exp 8, must be in [0, 7]"),
    ("lif", "v", [0, 2**23], "v 8388608 at 1, must be in [-8388607, 8388607]"),
]


def config(name: str = "", key: str = "", value: Any = None) -> str:
    """An input, a DelayDense and two neurons, with a field changed."""
    fields = {process: dict(FITS[process]) for process in FITS}
    if name:
        fields[name][key] = value
    return json.dumps(
        {
            "format": "nirc-loihi2",
            "version": 1,
            "processes": [
                {"name": "in", "type": "Input", "shape": [2]},
                {"name": "fc", "type": "DelayDense", "sign_mode": "MIXED", **fields["fc"]},
                {"name": "lif", "type": "LIF", "shape": [2], **fields["lif"]},
            ],
            "connections": [{"src": "in", "dst": "fc"}, {"src": "fc", "dst": "lif"}],
            "outputs": ["lif"],
        }
    )


def check(text: str) -> list[str]:
    """The violations."""
    try:
        Loihi2CheckLimitsPass().apply(Context(), read_config(text))
    except PassFailedException as error:
        return str(error).splitlines()
    return []


def test_what_fits() -> None:
    assert check(config()) == []


@pytest.mark.parametrize(("name", "key", "value", "told"), BEYOND)
def test_beyond_a_limit(name: str, key: str, value: Any, told: str) -> None:
    (line,) = check(config(name, key, value))
    assert told in line
    assert line.startswith("process 'fc': " if name == "fc" else "node 'lif': ")


def test_all_violations_come_at_once() -> None:
    held = json.loads(config("lif", "vth", 131072))
    held["processes"][1]["weight_exp"] = 8
    held["processes"][2]["dv"] = 5000
    assert len(check(json.dumps(held))) == 3


def layers(*sizes: int) -> loihi2.NetworkOp:
    """Dense layers, one after another."""
    held = json.loads(config())
    held["processes"], held["connections"] = [{"name": "0", "type": "Input", "shape": [sizes[0]]}], []
    for n, (taken, size) in enumerate(pairwise(sizes), 1):
        held["processes"] += [
            {"name": f"w{n}", "type": "Dense", "weights": [[1] * taken] * size},
            {"name": f"{n}", "type": "LIF", "shape": [size], "du": 0, "dv": 0, "vth": 1},
        ]
        held["connections"] += [{"src": f"{n - 1}", "dst": f"w{n}"}, {"src": f"w{n}", "dst": f"{n}"}]
    held["outputs"] = [f"{len(sizes) - 1}"]
    (network,) = read_config(json.dumps(held)).ops
    assert isinstance(network, loihi2.NetworkOp)
    return network


def test_estimate_of_cores() -> None:
    """Lines of synapses by the formula of the compiler's reports: 64 inputs onto 10 neurons take 64 ceil(112 / 32)."""
    network = layers(64, 10)
    assert estimate(network) == Estimate(cores=1, neurons=10, synapses=640, lines=64 * 4, axons=64)
    # In 100 lines a core holds two neurons, of 64 ceil(32 / 32).
    small = loihi2.Loihi2Limits(synapse_lines=100)
    assert estimate(network, small) == Estimate(cores=5, neurons=10, synapses=640, lines=5 * 64, axons=5 * 64)


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({}, 2),  # nine populations, eight a core
        ({"groups": 3}, 3),
        ({"neurons": 8}, 5),  # two of four neurons a core
        ({"axons": 12}, 3),  # three of four axons a core
        ({"synapse_lines": 16}, 5),  # each takes 4 ceil(52 / 32) = 8
        ({"synapse_lines": 15}, 9),
        ({"neurons": 2}, 18),  # in two pieces each, of which none shares a core
    ],
)
def test_packing(limits: dict[str, Any], cores: int) -> None:
    """Nine layers of four neurons, whichever table is the smallest."""
    assert estimate(layers(*[4] * 10), replace(loihi2.LIMITS, **limits)).cores == cores


def test_small_layers_fill_what_large_ones_leave() -> None:
    """A neuron with n inputs takes n lines: 60 and 40 fill a core, though 30 stands between them."""
    parts = [layers(n, 1) for n in (60, 30, 40)]
    network = parts[0].clone()
    for n, part in enumerate(parts[1:], 1):
        for op in part.clone().body.block.ops:
            op.detach()
            for key in ("process", "node", "source", "target"):
                if key in op.properties:
                    op.properties[key] = StringAttr(f"{op.properties[key].data}.{n}")  # pyright: ignore
            network.body.block.add_op(op)
    network.verify()
    assert estimate(network, loihi2.Loihi2Limits(synapse_lines=100)).cores == 2


def test_unconnected_parts_are_told() -> None:
    """Lava starts one of them."""
    held = json.loads(config())
    held["processes"] += [{**item, "name": item["name"] + "2"} for item in held["processes"]]
    held["connections"] += [{key: name + "2" for key, name in edge.items()} for edge in held["connections"]]
    module = read_config(json.dumps(held))
    Loihi2CheckLimitsPass().apply(Context(), module)
    (told,) = [str(item) for item in assumptions(module) if item.topic.data == "parts"]
    assert told.startswith("parts: nothing connects 'lif'; 'lif2': Lava starts one at a time")


def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None]) -> None:
    """It changes nothing, and notes what is no fault: two parts, more cores than a chip has."""
    held = json.loads(config())
    held["processes"].append({"name": "alone", "type": "LIF", "shape": [500_000], "du": 0, "dv": 0, "vth": 1})
    golden(opt(str(read_config(json.dumps(held))), "loihi2-check-limits"))
