"""Every limit by a network just beyond it, and none by one at it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from xdsl.context import Context
from xdsl.utils.exceptions import PassFailedException

from nirc.backends.loihi2.read_config import read_config
from nirc.dialects import loihi2
from nirc.passes.loihi2_check_limits import Loihi2CheckLimitsPass, estimate

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


def test_estimate_of_cores() -> None:
    """Lines of synapses by the formula of the compiler's reports: 64 inputs onto 10 neurons take 64 ceil(112 / 32)."""
    held = json.loads(config())
    held["processes"][0]["shape"] = [64]
    held["processes"][1] = {"name": "fc", "type": "Dense", "weights": [[1] * 64] * 10}
    held["processes"][2] = {"name": "lif", "type": "LIF", "shape": [10], "du": 0, "dv": 0, "vth": 1}
    (network,) = read_config(json.dumps(held)).ops
    assert isinstance(network, loihi2.NetworkOp)
    found = estimate(network)
    assert (found.cores, found.neurons, found.synapses, found.lines) == (1, 10, 640, 64 * 4)
    small = loihi2.Loihi2Limits(synapse_lines=100)
    assert estimate(network, small).cores > 1
