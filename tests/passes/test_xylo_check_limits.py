"""The limits of each generation: at the limit a network passes, one beyond it is refused by name and number.

The numbers are those of the vendor: samna 0.7.1 for core v1, documentation for the others (specification, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.passes import PassPipeline
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, Dense, dense
from nirc.dialects.nir import assumptions
from nirc.passes import PASSES

CHIPS = ("v1", "audio2", "audio3", "imu")


def whole(values: Any) -> Dense:
    return dense(np.ascontiguousarray(values, np.int32))


class Network:
    """A plain network that fits, as arrays that a test changes before it is checked."""

    def __init__(self, chip: str, inputs: int = 2, hidden: int = 3, readout: int = 2, synapses: int = 1):
        self.chip = chip
        self.layers: tuple[dict[str, int], ...] = ({"x": inputs}, {"h": hidden}, {"o": readout})
        self.weights_in: Array = np.zeros((inputs, hidden, synapses), int)
        self.weights_rec: Array = np.zeros((hidden, hidden, synapses), int)
        self.weights_out: Array = np.zeros((hidden, readout), int)
        ones = {"dash_mem": 4, "dash_syn": 3, "threshold": 100, "bias": 0}
        self.h: dict[str, Array] = {name: np.full(hidden, value) for name, value in ones.items()}
        self.o: dict[str, Array] = {name: np.full(readout, value) for name, value in ones.items()}
        self.h["dash_syn"] = np.full((hidden, synapses), 3)
        self.aliases: list[int] | None = None
        self.shifts = [0, 0, 0]

    def module(self) -> ModuleOp:
        inputs, hidden, readout = self.layers
        body = Block(
            [
                xylo.InputOp(inputs, whole(self.weights_in), self.shifts[0]),
                xylo.HiddenOp(
                    hidden,
                    whole(self.weights_rec),
                    *(whole(self.h[name]) for name in ("dash_mem", "dash_syn", "threshold", "bias")),
                    aliases=self.aliases,
                    weight_shift=self.shifts[1],
                ),
                xylo.ReadoutOp(
                    readout,
                    ["y"] * len(readout),
                    whole(self.weights_out),
                    *(whole(self.o[name]) for name in ("dash_mem", "dash_syn", "threshold", "bias")),
                    weight_shift=self.shifts[2],
                ),
            ]
        )
        module = ModuleOp([xylo.NetworkOp("main", self.chip, Region(body))])
        module.verify()
        return module


Check = Callable[..., list[str]]


@pytest.fixture
def check(ctx: Context) -> Check:
    """The violations of a network without the chip's name before them; the module stays as it is."""

    def run(network: Network, options: str = "") -> list[str]:
        module = network.module()
        try:
            PassPipeline.parse_spec(PASSES, f"xylo-check-limits{options}").apply(ctx, module)
        except PassFailedException as refusal:
            lines = str(refusal).splitlines()
            assert all(line.startswith(f"xylo {network.chip}: ") for line in lines)
            return [line.removeprefix(f"xylo {network.chip}: ") for line in lines]
        return []

    return run


# Neurons and channels


@pytest.mark.parametrize("chip", CHIPS)
def test_inputs(check: Check, chip: str) -> None:
    assert check(Network(chip, inputs=16)) == []
    assert check(Network(chip, inputs=17)) == [
        "17 input channels ('x' 17), the chip has 16; merge or drop channels",
    ]


@pytest.mark.parametrize(("chip", "most"), [("v1", 1000), ("audio2", 1000), ("audio3", 992), ("imu", 496)])
def test_hidden_neurons(check: Check, chip: str, most: int) -> None:
    assert check(Network(chip, hidden=most)) == []
    network = Network(chip, hidden=most + 1)
    network.layers[1].update(h=most - 9, last=10)
    assert check(network) == [
        f"{most + 1} hidden neurons ('h' {most - 9}, 'last' 10), the chip has {most}; "
        "make the layers smaller or split the network"
    ]


@pytest.mark.parametrize(("chip", "most"), [("v1", 999), ("audio2", 999), ("audio3", 992)])
def test_hidden_neurons_with_two_synapses(check: Check, chip: str, most: int) -> None:
    assert check(Network(chip, hidden=most, synapses=2)) == []
    assert check(Network(chip, hidden=most + 1, synapses=2)) == [
        f"{most + 1} hidden neurons ('h' {most + 1}), the chip has {most}; make the layers smaller or split the network"
    ]


@pytest.mark.parametrize(("chip", "most"), [("v1", 8), ("audio2", 8), ("audio3", 32), ("imu", 16)])
def test_readout_neurons(check: Check, chip: str, most: int) -> None:
    assert check(Network(chip, readout=most)) == []
    assert check(Network(chip, readout=most + 1)) == [
        f"{most + 1} readout neurons ('o' {most + 1}), the chip has {most}; code the classes on fewer neurons, "
        "or take a chip with more (audio3 has 32, imu 16)"
    ]


@pytest.mark.parametrize("empty", ["inputs", "hidden", "readout"])
def test_an_empty_population_is_refused(ctx: Context, empty: str) -> None:
    """samna: Active input neurons must be in [1,16]; the same for hidden and readout neurons."""
    network = Network("audio2", **{empty: 0})
    network.layers[("inputs", "hidden", "readout").index(empty)].clear()
    with pytest.raises(PassFailedException, match=r"^xylo audio2: 0 "):
        PassPipeline.parse_spec(PASSES, "xylo-check-limits").apply(ctx, network.module())


@pytest.mark.parametrize("chip", CHIPS)
def test_synapses(check: Check, chip: str) -> None:
    found = check(Network(chip, synapses=2))
    assert found == (["2 synapses per hidden neuron, the chip has 1"] if chip == "imu" else [])


# Reach


@pytest.mark.parametrize("chip", CHIPS)
def test_input_reach(check: Check, chip: str) -> None:
    """On Audio 3 and IMU inputs reach hidden neurons 0 to 127."""
    network = Network(chip, hidden=140)
    network.weights_in[:, 127] = 1
    assert check(network) == []
    network.weights_in[1, 128] = 1
    network.weights_in[0, 139] = 1
    found = check(network)
    if chip in ("v1", "audio2"):
        assert found == []
    else:
        assert found == [
            "inputs reach neuron 128 of 'h' and at 1 more, on the chip only the first 128 hidden neurons; "
            "let at most 128 neurons read the input"
        ]


def test_input_reach_of_the_second_synapse(check: Check) -> None:
    network = Network("audio3", hidden=140, synapses=2)
    network.weights_in[0, 130, 1] = -1
    assert check(network)[0].startswith("inputs reach neuron 130 of 'h', on the chip only")


@pytest.mark.parametrize("chip", CHIPS)
def test_readout_reach(check: Check, chip: str) -> None:
    """On Audio 3 and IMU the readout reads the last 128 hidden neurons, here 12 to 139."""
    network = Network(chip, hidden=140)
    network.weights_out[12] = 1
    assert check(network) == []
    network.weights_out[11, 0] = 1
    network.weights_out[0, 1] = 1
    found = check(network)
    if chip in ("v1", "audio2"):
        assert found == []
    else:
        assert found == [
            "the readout reads neuron 0 of 'h' and at 1 more, on the chip only the last 128 hidden neurons; "
            "let at most 128 neurons feed it"
        ]


def test_reach_where_the_matrices_are_cut(check: Check) -> None:
    """As xylo-place leaves them: 128 columns and the last 128 rows, full."""
    network = Network("imu", hidden=140)
    network.weights_in = np.ones((2, 128, 1), int)
    network.weights_out = np.ones((128, 2), int)
    assert check(network) == []
    network.weights_out = np.ones((129, 2), int)
    assert check(network)[0].startswith("the readout reads neuron 11 of 'h', on the chip only the last 128")


# Connections


@pytest.mark.parametrize(("chip", "most"), [("v1", 63), ("audio2", 63)])
def test_fan_out(check: Check, chip: str, most: int) -> None:
    network = Network(chip, hidden=80)
    network.weights_rec[5, :most] = -1
    assert check(network) == []
    network.weights_rec[5, most] = 1
    network.weights_rec[7] = 2
    assert check(network) == [
        f"neuron 5 of 'h' and at 1 more reaches {most + 1} hidden neurons, on the chip at most {most}; "
        "prune weights or make the next layer smaller"
    ]


@pytest.mark.parametrize(("chip", "most"), [("audio3", 1024), ("imu", 512)])
def test_fan_out_beyond_the_population(check: Check, chip: str, most: int) -> None:
    """More targets than neurons fit on these chips at all: a full population passes, the option narrows it."""
    size = {"audio3": 992, "imu": 496}[chip]
    network = Network(chip, hidden=size)
    network.weights_rec[5] = 1
    assert size < most
    assert check(network) == []
    assert check(network, f"{{fan-out={size}}}") == []
    assert check(network, f"{{fan-out={size - 1}}}") == [
        f"neuron 5 of 'h' reaches {size} hidden neurons, on the chip at most {size - 1}; "
        "prune weights or make the next layer smaller"
    ]


def test_fan_out_counts_the_targets_of_both_synapses_once(check: Check) -> None:
    network = Network("audio2", hidden=80, synapses=2)
    network.weights_rec[5, :40, 0] = 1
    network.weights_rec[5, 20:63, 1] = 1
    assert check(network) == []
    network.weights_rec[5, 63, 1] = 1
    assert check(network)[0].startswith("neuron 5 of 'h' reaches 64 hidden neurons")


@pytest.mark.parametrize(
    ("chip", "hidden", "most"),
    [("v1", 900, 32_000), ("audio2", 900, 32_000), ("audio3", 900, 31_744), ("imu", 496, 31_744)],
)
def test_connections(check: Check, chip: str, hidden: int, most: int) -> None:
    """A fan-out of 62 or more in the first rows until the total is reached, and one more."""
    per_row = 63 if chip in ("v1", "audio2") else 400
    network = Network(chip, hidden=hidden)
    full, rest = divmod(most, per_row)
    network.weights_rec[:full, :per_row] = 1
    network.weights_rec[full, :rest] = 1
    assert check(network) == []
    network.weights_rec[full + 1, 0] = 1
    assert check(network) == [
        f"{most + 1} connections between hidden neurons ('h' {hidden}), on the chip at most {most}; prune weights"
    ]


# Ranges of the numbers


@pytest.mark.parametrize("part", ["in", "rec", "out"])
@pytest.mark.parametrize(("good", "bad"), [(127, 128), (-128, -129)])
def test_weights(check: Check, part: str, good: int, bad: int) -> None:
    where = {"in": "onto hidden neuron 1", "rec": "of neuron 1 of 'h'", "out": "of neuron 1 of 'o'"}[part]
    network = Network("audio2")
    weights = getattr(network, f"weights_{part}")
    weights[0, 1] = good
    assert check(network) == []
    weights[0, 1] = bad
    assert check(network) == [f"weights {where} is {bad}, must be in [-128, 127]"]


RANGES = [
    ("threshold", -32768, 32767),
    ("bias", -128, 127),
    ("dash_mem", 0, 15),
    ("dash_syn", 0, 15),
]


@pytest.mark.parametrize("part", ["h", "o"])
@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_ranges(check: Check, part: str, name: str, low: int, high: int) -> None:
    network = Network("audio2")
    values = getattr(network, part)[name]
    values[0], values[1] = low, high
    assert check(network) == []
    values[0], values[1] = low - 1, high + 1
    assert check(network) == [f"{name} of neuron 0 of '{part}' is {low - 1} and at 1 more, must be in [{low}, {high}]"]
    values[0] = low
    assert check(network) == [f"{name} of neuron 1 of '{part}' is {high + 1}, must be in [{low}, {high}]"]


def test_the_second_synapse_is_checked(check: Check) -> None:
    network = Network("audio2", synapses=2)
    network.weights_in[1, 2, 1] = 300
    network.h["dash_syn"][2, 1] = 16
    assert check(network) == [
        "weights onto hidden neuron 2 is 300, must be in [-128, 127]",
        "dash_syn of neuron 2 of 'h' is 16, must be in [0, 15]",
    ]


@pytest.mark.parametrize(("index", "layer"), [(0, "'x' 2"), (1, "'h' 3"), (2, "'o' 2")])
def test_shifts(check: Check, index: int, layer: str) -> None:
    network = Network("audio2")
    for good in (0, 7):
        network.shifts[index] = good
        assert check(network) == []
    for bad in (8, -1):
        network.shifts[index] = bad
        assert check(network) == [f"weight_shift of {layer} is {bad}, must be in [0, 7]"]


# Aliases


def test_aliases(check: Check) -> None:
    network = Network("audio2", hidden=4)
    network.aliases = [3, 0, -1, 1]
    assert check(network) == []
    network.aliases = [0, -1, -1, -1]
    assert check(network) == ["neuron 0 of 'h' is its own alias target"]
    network.aliases = [-1, 4, -2, -1]
    assert check(network) == [
        "the alias target of neuron 1 of 'h' is 4, must be in [0, 3]",
        "the alias target of neuron 2 of 'h' is -2, must be in [0, 3]",
    ]
    network.aliases = [2, 2, -1, -1]
    assert check(network) == ["neuron 2 of 'h' is the alias target of two neurons; each may be used once"]


# What only some generations have


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("part", "layer"), [("h", "'h'"), ("o", "'o'")])
def test_biases(check: Check, chip: str, part: str, layer: str) -> None:
    network = Network(chip)
    getattr(network, part)["bias"][1] = -3
    found = check(network)
    if chip == "v1":
        assert found == [f"the chip has no biases, but {layer} needs one (Affine bias or v_leak); set them to 0"]
    else:
        assert found == []


@pytest.mark.parametrize("chip", CHIPS)
def test_readout_thresholds(check: Check, chip: str) -> None:
    network = Network(chip)
    network.o["threshold"][:] = [100, 120]
    found = check(network)
    if chip == "v1":
        assert found == ["all readout thresholds must be equal, they span 100 to 120; quantize per layer"]
    else:
        assert found == []


# Options, lists, notes


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("inputs=1", "2 input channels ('x' 2), the chip has 1; merge or drop channels"),
        (
            "hidden-neurons=10",
            "11 hidden neurons ('h' 11), the chip has 10; make the layers smaller or split the network",
        ),
        (
            "readout-neurons=1",
            "2 readout neurons ('o' 2), the chip has 1; code the classes on fewer neurons, "
            "or take a chip with more (audio3 has 32, imu 16)",
        ),
        (
            "fan-out=1",
            "neuron 0 of 'h' reaches 2 hidden neurons, on the chip at most 1; "
            "prune weights or make the next layer smaller",
        ),
        ("connections=1", "2 connections between hidden neurons ('h' 11), on the chip at most 1; prune weights"),
    ],
)
def test_options_override_limits(check: Check, option: str, fault: str) -> None:
    network = Network("audio2", hidden=11)
    network.weights_rec[0, 3:5] = 1
    assert check(network) == []
    assert check(network, f"{{{option}}}") == [fault]


def test_an_option_can_widen_a_limit(check: Check) -> None:
    """64 targets, as the documentation of Audio 2 allows."""
    network = Network("audio2", hidden=80)
    network.weights_rec[5, :64] = 1
    assert len(check(network)) == 1
    assert check(network, "{fan-out=64}") == []


def test_all_violations_come_together(check: Check) -> None:
    network = Network("v1", inputs=17, hidden=1001, readout=9)
    network.weights_in[3, 1] = 200
    network.weights_rec[2, :70] = 1
    network.h["threshold"][4] = 40_000
    network.h["dash_mem"][5] = -1
    network.h["bias"][6] = 1
    network.o["threshold"][0] = 99
    network.shifts[2] = 9
    network.aliases = [0, *[-1] * 1000]
    found = check(network)
    beginnings = [
        "17 input channels",
        "1001 hidden neurons",
        "9 readout neurons",
        "neuron 2 of 'h' reaches 70",
        "weights onto hidden neuron 1 is 200",
        "dash_mem of neuron 5 of 'h' is -1",
        "threshold of neuron 4 of 'h' is 40000",
        "weight_shift of 'o' 9 is 9",
        "neuron 0 of 'h' is its own alias target",
        "the chip has no biases, but 'h'",
        "all readout thresholds must be equal, they span 99 to 100",
    ]
    assert len(found) == len(beginnings)
    assert all(line.startswith(start) for line, start in zip(found, beginnings, strict=True))


@pytest.mark.parametrize(
    ("chip", "size", "readout"), [("v1", 1000, 8), ("audio2", 1000, 8), ("audio3", 992, 32), ("imu", 496, 16)]
)
def test_a_network_at_every_limit_passes(check: Check, chip: str, size: int, readout: int) -> None:
    network = Network(chip, inputs=16, hidden=size, readout=readout)
    cut = chip in ("audio3", "imu")
    network.weights_in = np.full((16, 128 if cut else size, 1), 127)
    network.weights_out = np.full((128 if cut else size, readout), -128)
    network.weights_rec[:16, :] = 127 if cut else 0
    network.weights_rec[16 : 16 + 507, :63] = 0 if cut else -128
    network.shifts = [7, 7, 7]
    network.aliases = [(n + 1) % size for n in range(size)]
    for part in (network.h, network.o):
        part["threshold"][:] = 32767
        part["dash_mem"][:] = 15
        part["dash_syn"][:] = 15
        part["bias"][:] = 0 if chip == "v1" else -128
    assert check(network) == []


def test_real_numbers_are_refused(ctx: Context) -> None:
    network = Network("audio2")
    module = network.module()
    (op,) = module.ops
    assert isinstance(op, xylo.NetworkOp)
    for part in op.parts():
        for name in ("weights", "dash_mem", "dash_syn", "threshold", "bias"):
            if name in part.properties:
                part.properties[name] = dense(part.numbers(name).astype(float))
    module.verify()
    with pytest.raises(PassFailedException, match=r"^xylo audio2: the network holds real numbers; run xylo-quantize"):
        PassPipeline.parse_spec(PASSES, "xylo-check-limits").apply(ctx, module)


@pytest.mark.parametrize(
    ("chip", "told"),
    [
        ("v1", []),
        ("audio2", ["SYNS61201: the limits of fan out, connections"]),
        ("audio3", ["SYNS65302: the limits of hidden neurons, fan out, connections"]),
        ("imu", ["SYNS63300: the limits of hidden neurons, fan out, connections"]),
    ],
)
def test_unverified_limits_are_told(ctx: Context, chip: str, told: list[str]) -> None:
    module = Network(chip).module()
    PassPipeline.parse_spec(PASSES, "xylo-check-limits").apply(ctx, module)
    notes = [(a.kind.data, a.statement.data) for a in assumptions(module)]
    assert notes == [("note", f"{text} come from the vendor's documentation alone, unverified") for text in told]
