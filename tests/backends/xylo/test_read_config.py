"""Reading Xylo configurations: the forms that users have, and every fault in one refusal.

The layouts are those of samna 0.7.1 (JSON) and rockpool 3.1.0 (keyword arguments), written down here without nirc.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from nirc.backends.xylo.read_config import read_config
from nirc.dialects import xylo

Json = dict[str, Any]
Golden = Callable[[str], None]

CASES = (
    "bias",
    "braille_subtract",
    "deep3",
    "ff_pow2",
    "lif_rockpool_relay",
    "rec_hetero",
    "relay_exact",
    "saturation",
    "two_synapse",
)

# Two inputs, three hidden and two readout neurons, one synapse.
SPEC: Json = {
    "weights_in": [[1, -2, 3], [4, 5, -6]],
    "weights_rec": [[0, 7, 0], [-8, 0, 0], [0, 0, 9]],
    "weights_out": [[10, 11], [-12, 0], [0, 13]],
    "dash_mem": [0, 4, 15],
    "dash_syn": [1, 2, 3],
    "threshold": [100, 200, 300],
    "dash_mem_out": [5, 6],
    "dash_syn_out": [7, 8],
    "threshold_out": [400, 500],
    "weight_shift_in": 1,
    "weight_shift_rec": 2,
    "weight_shift_out": 3,
}
MALFORMED_ALIASES = "aliases: must be 3 lists of at most one hidden neuron (0 to 2) each"

SECOND: Json = {
    "weights_in": [[[1, 21], [-2, 0], [3, 22]], [[4, 0], [5, -23], [-6, 0]]],
    "weights_rec": [[[0, 0], [7, 0], [0, 24]], [[-8, 0], [0, 0], [0, 0]], [[0, 0], [0, -25], [9, 0]]],
    "dash_syn_2": [9, 10, 11],
}


def samna(spec: Json, **top: Any) -> Json:
    """`spec` as samna writes it for Audio 2."""
    two = "dash_syn_2" in spec

    def matrix(name: str, synapse: int | None = None) -> Json:
        values = np.array(spec[name] if synapse != 1 or two else [[0]])
        values = values[:, :, synapse or 0] if values.ndim == 3 else values
        dimensions = {"value0": values.shape[0], "value1": values.shape[1]}
        offsets = {"value0": values.shape[1], "value1": 1}
        return {"dimensions": dimensions, "offsets": offsets, "values": values.ravel().tolist()}

    hidden: list[Json] = []
    for n in range(len(spec["threshold"])):
        targets = spec.get("aliases", [[]] * 3)[n]
        hidden.append(
            {
                "threshold": spec["threshold"][n],
                "v_mem_decay": spec["dash_mem"][n],
                "i_syn_decay": spec["dash_syn"][n],
                "i_syn2_decay": spec.get("dash_syn_2", [0] * 3)[n],
                "v_mem_bias": spec.get("bias", [0] * 3)[n],
                "alias_target": {"nullopt": False, "data": targets[0]} if targets else {"nullopt": True},
            }
        )
    readout = [
        {"threshold": threshold, "v_mem_decay": mem, "i_syn_decay": syn, "v_mem_bias": bias}
        for threshold, mem, syn, bias in zip(
            spec["threshold_out"], spec["dash_mem_out"], spec["dash_syn_out"], spec.get("bias_out", [0, 0]), strict=True
        )
    ]
    return {
        "value0": {
            "operation_mode": 0,
            "synapse2_enable": two,
            "bias_enable": "bias" in spec,
            "enable_hibernation_mode": False,
            "clear_network_state": False,
            "time_resolution_wrap": 0,
            "input": {
                "weight_bit_shift": spec["weight_shift_in"],
                "weights": matrix("weights_in"),
                "syn2_weights": matrix("weights_in", 1),
            },
            "reservoir": {
                "weight_bit_shift": spec["weight_shift_rec"],
                "weights": matrix("weights_rec"),
                "syn2_weights": matrix("weights_rec", 1),
                "neurons": hidden,
                "aliasing": "aliases" in spec,
            },
            "readout": {
                "weight_bit_shift": spec["weight_shift_out"],
                "weights": matrix("weights_out"),
                "neurons": readout,
            },
            "debug": {"ram_power_enable": True},
            **top,
        }
    }


def network(module: ModuleOp) -> xylo.NetworkOp:
    module.verify()
    op = module.body.block.first_op
    assert isinstance(op, xylo.NetworkOp)
    assert all(part.quantized() for part in op.parts())
    return op


def read(content: Any, chip: str | None = None) -> xylo.NetworkOp:
    return network(read_config(json.dumps(content), chip))


def refused(content: Any) -> list[str]:
    """The faults of a configuration that is refused, line by line."""
    with pytest.raises(DiagnosticException) as refusal:
        read_config(content if isinstance(content, str) else json.dumps(content))
    return str(refusal.value).splitlines()


def changed(content: Json, *changes: tuple[Iterable[str | int], Any]) -> Json:
    """A copy with values replaced by path; `...` removes the key."""
    content = deepcopy(content)
    for path, value in changes:
        *holders, last = path
        place: Any = content
        for key in holders:
            place = place[key]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return content


def numbers(op: xylo.NetworkOp) -> Json:
    """All numbers of a network as rockpool's keys; weights_in and weights_rec with the axis of synapses."""
    hidden, readout = op.hidden, op.readout
    found: Json = {
        "weights_in": op.input.numbers("weights"),
        "weights_rec": hidden.numbers("weights"),
        "weights_out": readout.numbers("weights"),
        "dash_mem": hidden.numbers("dash_mem"),
        "dash_syn": hidden.numbers("dash_syn")[:, 0],
        "threshold": hidden.numbers("threshold"),
        "bias": hidden.numbers("bias"),
        "dash_mem_out": readout.numbers("dash_mem"),
        "dash_syn_out": readout.numbers("dash_syn"),
        "threshold_out": readout.numbers("threshold"),
        "bias_out": readout.numbers("bias"),
    }
    if op.synapses == 2:
        found["dash_syn_2"] = hidden.numbers("dash_syn")[:, 1]
    found = {name: values.tolist() for name, values in found.items()}
    found["aliases"] = [[target] if target >= 0 else [] for target in hidden.alias_targets()]
    shifts = {"in": op.input, "rec": hidden, "out": readout}
    return found | {f"weight_shift_{name}": part.weight_shift.value.data for name, part in shifts.items()}


def full(spec: Json) -> Json:
    """A specification with all its defaults and the axis of synapses."""
    hidden, readout = len(spec["threshold"]), len(spec["threshold_out"])
    defaults: Json = {"bias": [0] * hidden, "bias_out": [0] * readout, "aliases": [[] for _ in range(hidden)]}
    complete = defaults | {"weight_shift_in": 0, "weight_shift_rec": 0, "weight_shift_out": 0} | spec
    for name in ("weights_in", "weights_rec"):
        values = np.array(complete[name])
        complete[name] = (values if values.ndim == 3 else values[:, :, None]).tolist()
    return complete


# Specifications


def test_specification() -> None:
    op = read(SPEC)
    assert numbers(op) == full(SPEC)
    assert op.chip.data == "audio2"
    assert op.input.sizes() == {"input": 2}
    assert op.hidden.sizes() == {"hidden": 3}
    assert op.readout.sizes() == {"readout": 2}
    assert [name.data for name in op.readout.outputs] == ["output"]


def test_printed_network(golden: Golden) -> None:
    golden(str(read_config(json.dumps(SPEC | SECOND | {"aliases": [[2], [], [1]], "bias": [-1, 0, 1]}))) + "\n")


def test_weights_with_an_axis_of_one_synapse() -> None:
    three = {name: np.array(SPEC[name])[:, :, None].tolist() for name in ("weights_in", "weights_rec")}
    assert numbers(read(SPEC | three)) == full(SPEC)


def test_two_synapses() -> None:
    op = read(SPEC | SECOND)
    assert op.synapses == 2
    assert numbers(op) == full(SPEC | SECOND)


@pytest.mark.parametrize("name", ["bias", "bias_hidden"])
def test_both_names_of_the_hidden_bias(name: str) -> None:
    assert numbers(read(SPEC | {name: [-128, 0, 127]})) == full(SPEC | {"bias": [-128, 0, 127]})


def test_readout_bias() -> None:
    assert numbers(read(SPEC | {"bias_out": [3, -4]})) == full(SPEC | {"bias_out": [3, -4]})


@pytest.mark.parametrize("name", ["weights_rec", "weight_shift_in", "weight_shift_rec", "weight_shift_out"])
def test_what_may_be_missing_is_zero(name: str) -> None:
    zero = [[0] * 3] * 3 if name == "weights_rec" else 0
    assert numbers(read(changed(SPEC, ((name,), ...)))) == full(SPEC | {name: zero})


@pytest.mark.parametrize("name", ["bias", "bias_hidden", "bias_out", "aliases", "weights_rec"])
def test_null_is_missing(name: str) -> None:
    zero: Json = {"weights_rec": [[0] * 3] * 3} if name == "weights_rec" else {}
    assert numbers(read(SPEC | {name: None})) == full(SPEC | zero)


def test_aliases() -> None:
    aliases = [[2], [], [0]]
    assert read(SPEC | {"aliases": aliases}).hidden.alias_targets() == (2, -1, 0)
    assert numbers(read(SPEC | {"aliases": aliases}))["aliases"] == aliases


def test_no_aliases() -> None:
    """rockpool writes a list of empty lists where nothing is aliased."""
    assert read(SPEC | {"aliases": [[], [], []]}).hidden.aliases is None


def test_whole_numbers_written_as_floats() -> None:
    floats = SPEC | {"threshold": [100.0, 200.0, 300.0], "weight_shift_in": 1.0}
    assert numbers(read(floats)) == full(SPEC)


def test_inputs_and_readout_reach_a_part() -> None:
    """The first hidden neurons by the inputs, the last ones by the readout, as on Audio 3 and IMU."""
    spec = SPEC | {"weights_in": [[1], [2]], "weights_out": [[3, 4], [5, 6]]}
    op = read(spec, "audio3")
    assert op.chip.data == "audio3"
    assert numbers(op) == full(spec)


def test_keys_of_others_are_ignored() -> None:
    assert numbers(read(SPEC | {"dt": 0.001, "mapped_graph": None})) == full(SPEC)


def test_specification_in_a_file_of_both() -> None:
    assert numbers(read({"spec": SPEC, "nirc": {}})) == full(SPEC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights_in", [[200, -300, 3], [4, 5, -6]]),
        ("weights_out", [[128, 11], [-129, 0], [0, 13]]),
        ("threshold", [40000, -40000, 300]),
        ("threshold_out", [2147483647, 500]),
        ("dash_mem", [16, -1, 15]),
        ("dash_syn_out", [255, 8]),
        ("bias", [128, -129, 70000]),
        ("weight_shift_rec", 9),
        ("weight_shift_out", -1),
    ],
)
@pytest.mark.parametrize("form", ["spec", "samna"])
def test_integers_out_of_range_are_kept(form: str, name: str, value: Any) -> None:
    """xylo-check-limits refuses them; samna and rockpool wrap them (weight 200 becomes -56)."""
    spec = SPEC | {name: value}
    assert numbers(read(spec if form == "spec" else samna(spec))) == full(spec)


@pytest.mark.parametrize("target", [3, 1000])
@pytest.mark.parametrize("form", ["spec", "samna"])
def test_alias_targets_out_of_range_are_kept(form: str, target: int) -> None:
    spec = SPEC | {"aliases": [[], [target], []]}
    op = read(spec if form == "spec" else samna(spec))
    assert op.hidden.alias_targets() == (-1, target, -1)


@pytest.mark.parametrize("target", [-1, -2])
@pytest.mark.parametrize("form", ["spec", "samna"])
def test_an_alias_target_below_zero_is_refused(form: str, target: int) -> None:
    """-1 must not turn into `no alias` without a word."""
    spec = SPEC | {"aliases": [[], [target], []]}
    assert refused(spec if form == "spec" else samna(spec)) == [MALFORMED_ALIASES]


# samna


def test_samna() -> None:
    op = read(samna(SPEC))
    assert numbers(op) == full(SPEC)
    assert op.chip.data == "audio2"


def test_samna_with_two_synapses() -> None:
    assert numbers(read(samna(SPEC | SECOND))) == full(SPEC | SECOND)


def test_samna_with_the_second_synapse_disabled() -> None:
    """Its weights are there and have no effect."""
    op = read(samna(SPEC | SECOND, synapse2_enable=False))
    assert op.synapses == 1
    assert numbers(op) == full(SPEC)


@pytest.mark.parametrize("enabled", [True, False])
def test_samna_biases(enabled: bool) -> None:
    spec = SPEC | {"bias": [-128, 0, 127], "bias_out": [5, -6]}
    assert numbers(read(samna(spec, bias_enable=enabled))) == full(spec if enabled else SPEC)


@pytest.mark.parametrize("enabled", [True, False])
def test_samna_aliasing(enabled: bool) -> None:
    content = samna(SPEC | {"aliases": [[2], [], [0]]})
    content["value0"]["reservoir"]["aliasing"] = enabled
    assert read(content).hidden.alias_targets() == ((2, -1, 0) if enabled else (-1, -1, -1))


def test_samna_alias_of_neuron_zero_alone() -> None:
    """rockpool's XyloSim.from_config loses it."""
    assert read(samna(SPEC | {"aliases": [[], [0], []]})).hidden.alias_targets() == (-1, 0, -1)


def test_samna_comes_before_the_specification() -> None:
    other = SPEC | {"threshold": [1, 1, 1]}
    assert numbers(read({**samna(SPEC), "spec": other})) == full(SPEC)


@pytest.mark.parametrize(("synapse2", "chip"), [(True, "audio3"), (False, "imu")])
def test_generations_with_a_hidden_block(synapse2: bool, chip: str) -> None:
    """Audio 3 and IMU say `hidden`; the IMU has one synapse and no fields of a second."""
    content = samna(SPEC)["value0"]
    content["hidden"] = content.pop("reservoir")
    if not synapse2:
        del content["synapse2_enable"]
    op = read({"value0": content})
    assert op.chip.data == chip
    assert numbers(op) == full(SPEC)


def test_first_generation_has_no_biases() -> None:
    content = samna(SPEC)
    content["value0"].pop("bias_enable")
    for part in ("reservoir", "readout"):
        for neuron in content["value0"][part]["neurons"]:
            del neuron["v_mem_bias"]
    op = read(content)
    assert op.chip.data == "v1"
    assert numbers(op) == full(SPEC)


def test_the_users_chip_wins() -> None:
    assert read(SPEC, "imu").chip.data == "imu"
    assert read({**SPEC, "nirc": {"chip": "audio3"}}).chip.data == "audio3"
    assert read({**SPEC, "nirc": {"chip": "audio3"}}, "imu").chip.data == "imu"


# Files made by the vendor's tools


@pytest.mark.parametrize("case", CASES)
def test_shared_cases(case: str, shared: Path) -> None:
    folder = shared / "cases" / "xylo" / case
    spec: Json = json.loads((folder / "spec.json").read_text())
    expected = full(spec)
    if np.array(expected["weights_in"]).shape[2] == 1:
        del expected["dash_syn_2"]
    assert numbers(network(read_config((folder / "spec.json").read_text()))) == expected
    audio2 = network(read_config((folder / "cfg.xyloCore2.json").read_text()))
    assert audio2.chip.data == "audio2"
    assert numbers(audio2) == expected
    v1 = network(read_config((folder / "cfg.pollen_v1.json").read_text()))
    assert v1.chip.data == "v1"
    biases: Json = {name: [0] * len(expected[name]) for name in ("bias", "bias_out")}
    assert numbers(v1) == expected | biases


# nirc's own notes in the file


def test_layers_of_the_network_come_back() -> None:
    layers = {
        "input": {"left": 1, "right": 1},
        "hidden": {"z": 2, "a": 1},
        "readout": {"r1": 1, "0": 1},
        "outputs": ["o 1", "o 2"],
    }
    op = read({**samna(SPEC), "nirc": {"layers": layers}})
    assert [list(part.sizes().items()) for part in op.parts()] == [
        [("left", 1), ("right", 1)],
        [("z", 2), ("a", 1)],
        [("r1", 1), ("0", 1)],
    ]
    assert [name.data for name in op.readout.outputs] == ["o 1", "o 2"]


LAYERS: Json = {"input": {"in": 2}, "hidden": {"h": 3}, "readout": {"r": 2}, "outputs": ["out"]}


def test_layers_of_other_sizes_are_refused() -> None:
    layers = LAYERS | {"hidden": {"h": 4}}
    assert refused({**SPEC, "nirc": {"layers": layers}}) == [
        "nirc.layers names {'input': 2, 'hidden': 4, 'readout': 2}, "
        "the configuration has 2 inputs, 3 hidden, 2 readout neurons"
    ]


def test_a_layer_without_an_output_is_refused() -> None:
    layers = LAYERS | {"readout": {"r": 1, "s": 1}}
    with pytest.raises(VerifyException, match=r"^(.|\n)*xylo\.readout: 1 output names for 2 layers"):
        read({**SPEC, "nirc": {"layers": layers}})


@pytest.mark.parametrize("part", ["input", "hidden", "readout", "outputs"])
@pytest.mark.parametrize("value", [..., 3], ids=["missing", "number"])
def test_malformed_layers_are_refused(part: str, value: Any) -> None:
    assert "layers" in "\n".join(refused({**SPEC, "nirc": {"layers": changed(LAYERS, ((part,), value))}}))


def test_membranes_come_back() -> None:
    op = read({**SPEC, "nirc": {"layers": LAYERS | {"membranes": ["r"]}}})
    assert op.readout.read_by_membrane() == ("r",)
    assert read({**SPEC, "nirc": {"layers": LAYERS | {"membranes": []}}}).readout.read_by_membrane() == ()


@pytest.mark.parametrize("value", [["h"], ["nobody"], [3], [["r"]], [{}], [None]], ids=str)
def test_membranes_that_are_no_readout_layers_are_refused(value: Any) -> None:
    (line,) = refused({**SPEC, "nirc": {"layers": LAYERS | {"membranes": value}}})
    assert "nirc.layers" in line


# Refusals


def test_what_is_no_object_is_refused() -> None:
    assert refused("{") == [
        "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]
    text = "a Xylo configuration is a JSON object with 'value0' or a specification's keys"
    for content in ([1], 3, None, "text"):
        assert refused(json.dumps(content)) == [text]


REQUIRED = (
    "weights_in",
    "weights_out",
    "dash_mem",
    "dash_syn",
    "threshold",
    "dash_mem_out",
    "dash_syn_out",
    "threshold_out",
)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_key_is_refused(name: str) -> None:
    assert refused(changed(SPEC, ((name,), ...))) == [f"{name}: missing"]


def test_a_missing_second_time_constant_is_refused() -> None:
    assert refused(changed(SPEC | SECOND, (("dash_syn_2",), ...))) == ["dash_syn_2: missing"]


def test_missing_weights_with_two_synapses_are_the_only_fault() -> None:
    assert refused(changed(SPEC | SECOND, (("weights_in",), ...))) == ["weights_in: missing"]


@pytest.mark.parametrize("content", [{}, {"spec": {}}, {"spec": None}, {"nirc": {}}])
def test_all_missing_keys_are_refused_together(content: Json) -> None:
    assert sorted(refused(content)) == sorted(f"{name}: missing" for name in REQUIRED)


SHAPES = {
    "weights_in": "?x?x?",
    "weights_rec": "3x3x1",
    "weights_out": "?x?",
    "dash_mem": "3",
    "dash_syn": "3",
    "threshold": "3",
    "bias": "3",
    "bias_hidden": "3",
    "dash_mem_out": "2",
    "dash_syn_out": "2",
    "threshold_out": "2",
    "bias_out": "2",
}


@pytest.mark.parametrize("value", [0.5, None, float("nan"), float("inf"), 2**31], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_what_is_no_integer_is_refused(name: str, value: Any) -> None:
    values = np.array((SPEC | {"bias": [1, 2, 3], "bias_hidden": [1, 2, 3], "bias_out": [1, 2]})[name], dtype=object)
    values.flat[-1] = value
    assert refused(SPEC | {name: values.tolist()}) == [f"{name}: must be whole numbers of the shape {SHAPES[name]}"]


@pytest.mark.parametrize("value", ["7", 10**400], ids=["text", "beyond a double"])
@pytest.mark.parametrize("name", ["weights_in", "threshold"])
def test_what_is_no_number_of_numpy_is_refused(name: str, value: Any) -> None:
    values = np.array(SPEC[name], dtype=object)
    values.flat[0] = value
    assert refused(SPEC | {name: values.tolist()}) == [f"{name}: must be whole numbers of the shape {SHAPES[name]}"]


@pytest.mark.parametrize("value", [3, "text", {}, [[[[1]]]], [[1], [1, 2]]])
@pytest.mark.parametrize("name", SHAPES)
def test_a_wrong_shape_is_refused(name: str, value: Any) -> None:
    text = f"{name}: must be whole numbers of the shape"
    assert any(fault.startswith(text) for fault in refused(SPEC | {name: value}))


@pytest.mark.parametrize("name", ["in", "rec", "out"])
def test_a_fraction_of_a_shift_is_refused(name: str) -> None:
    assert refused(SPEC | {f"weight_shift_{name}": 0.5}) == [f"weight_shift_{name}: must be a whole number"]


@pytest.mark.parametrize("value", ["1", "a", None, [1], {}], ids=str)
@pytest.mark.parametrize("form", ["spec", "samna"])
def test_a_shift_that_is_no_number_is_refused(form: str, value: Any) -> None:
    spec = SPEC | {"weight_shift_rec": value}
    faults = refused(spec if form == "spec" else samna(spec))
    assert len(faults) == 1
    assert faults[0].endswith(": must be a whole number")


@pytest.mark.parametrize(
    "value",
    [[[1]], [[1, 2], [], []], 3, "abc", [1, 2, 0], [None, [], []], [["a"], [], []], [[0.5], [], []], [[None], [], []]],
    ids=str,
)
def test_malformed_aliases_are_refused(value: Any) -> None:
    assert refused(SPEC | {"aliases": value}) == [MALFORMED_ALIASES]


def test_an_unknown_chip_is_refused() -> None:
    text = "chip 'speck' is not one of v1, audio2, audio3, imu"
    assert refused({**SPEC, "nirc": {"chip": "speck"}}) == [text]
    with pytest.raises(DiagnosticException) as refusal:
        read(SPEC, "speck")
    assert str(refusal.value) == text


def test_several_faults_are_refused_together() -> None:
    spec = changed(
        SPEC,
        (("threshold",), ...),
        (("dash_mem", 1), 0.5),
        (("weights_out", 0), [1]),
        (("weight_shift_rec",), 1.5),
        (("aliases",), [[1]]),
        (("nirc",), {"chip": "speck"}),
    )
    spec["threshold_out"] = SPEC["threshold_out"]
    faults = refused(spec)
    assert set(faults) >= {
        "threshold: missing",
        "dash_mem: must be whole numbers of the shape 3",
        "weights_out: must be whole numbers of the shape ?x?",
        "weight_shift_rec: must be a whole number",
        MALFORMED_ALIASES,
        "chip 'speck' is not one of v1, audio2, audio3, imu",
    }


@pytest.mark.parametrize("part", ["input", "reservoir", "readout"])
@pytest.mark.parametrize("value", [..., None, [], 3])
def test_a_missing_part_of_samnas_file_is_refused(part: str, value: Any) -> None:
    assert refused(changed(samna(SPEC), (("value0", part), value))) == [f"value0.{part}: missing"]


@pytest.mark.parametrize("value", [None, [], 3, {}])
def test_an_empty_file_of_samna_is_refused(value: Any) -> None:
    assert refused({"value0": value}) == [f"value0.{part}: missing" for part in ("input", "reservoir", "readout")]


MATRICES = ("input.weights", "reservoir.weights", "readout.weights", "input.syn2_weights", "reservoir.syn2_weights")
MALFORMED: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "none": ((), ...),
    "null": ((), None),
    "a list of lists": ((), [[1, 2], [3, 4]]),
    "no dimensions": (("dimensions",), ...),
    "no rows": (("dimensions", "value0"), ...),
    "no columns": (("dimensions", "value1"), ...),
    "other dimensions": (("dimensions", "value0"), 7),
    "open dimensions": (("dimensions", "value0"), -1),
    "no values": (("values",), ...),
    "nested values": (("values",), [[1], [2, 3]]),
    "a fraction": (("values", 0), 1.5),
    "text": (("values", 0), "7"),
    "null among the values": (("values", 0), None),
    "far too large": (("values", 0), 2**70),
}


@pytest.mark.parametrize("fault", MALFORMED)
@pytest.mark.parametrize("where", MATRICES)
def test_a_malformed_matrix_is_refused(where: str, fault: str) -> None:
    path, value = MALFORMED[fault]
    content = changed(samna(SPEC | SECOND), (("value0", *where.split("."), *path), value))
    text = f"value0.{where}: must be a matrix of whole numbers with dimensions, offsets and values"
    assert text in refused(content)


@pytest.mark.parametrize("part", ["input", "reservoir"])
def test_a_second_synapse_of_other_dimensions_is_refused(part: str) -> None:
    one = {"dimensions": {"value0": 1, "value1": 1}, "offsets": {"value0": 1, "value1": 1}, "values": [0]}
    content = changed(samna(SPEC | SECOND), (("value0", part, "syn2_weights"), one))
    assert refused(content) == [f"value0.{part}.syn2_weights: must have the dimensions of weights"]


@pytest.mark.parametrize("value", [..., None, 1.5, "4", [4]])
@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("reservoir", "threshold"),
        ("reservoir", "v_mem_decay"),
        ("reservoir", "i_syn_decay"),
        ("readout", "threshold"),
        ("readout", "v_mem_decay"),
        ("readout", "i_syn_decay"),
    ],
)
def test_a_malformed_field_of_a_neuron_is_refused(part: str, key: str, value: Any) -> None:
    content = changed(samna(SPEC), (("value0", part, "neurons", 1, key), value))
    assert refused(content) == [f"value0.{part}.neurons[1].{key}: must be a whole number"]


@pytest.mark.parametrize("value", [None, 1.5, "4"])
@pytest.mark.parametrize("part", ["reservoir", "readout"])
def test_a_malformed_bias_is_refused(part: str, value: Any) -> None:
    content = changed(samna(SPEC | {"bias": [1, 2, 3]}), (("value0", part, "neurons", 1, "v_mem_bias"), value))
    assert refused(content) == [f"value0.{part}.neurons[1].v_mem_bias: must be a whole number"]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_neuron_without_its_bias_does_not_make_another_chip(index: int) -> None:
    """With biases enabled each neuron has one; reading the file as `v1` would drop the biases of all."""
    where = ("value0", "reservoir", "neurons", index, "v_mem_bias")
    content = changed(samna(SPEC | {"bias": [1, 2, 3]}), (where, ...))
    assert outcome(content) in ("audio2", f"value0.reservoir.neurons[{index}].v_mem_bias: must be a whole number")


def outcome(content: Json) -> str:
    """The chip of what is read, or the refusal."""
    try:
        return read(content).chip.data
    except DiagnosticException as refusal:
        return str(refusal)


@pytest.mark.parametrize("value", [..., 1.5, "1", None], ids=str)
def test_a_malformed_alias_target_is_refused(value: Any) -> None:
    where = ("value0", "reservoir", "neurons", 0, "alias_target")
    content = changed(samna(SPEC | {"aliases": [[2], [], []]}), ((*where, "data"), value))
    faults = refused(content)
    assert len(faults) == 1
    assert "reservoir.neurons[0].alias_target" in faults[0]


def test_several_faults_of_samnas_file_are_refused_together() -> None:
    content = changed(
        samna(SPEC | SECOND),
        (("value0", "input", "weights", "values"), ...),
        (("value0", "reservoir", "neurons", 0, "threshold"), ...),
        (("value0", "reservoir", "neurons", 2, "v_mem_decay"), 0.5),
        (("value0", "readout", "weights"), None),
        (("value0", "readout", "neurons", 1, "i_syn_decay"), "8"),
    )
    matrix = "must be a matrix of whole numbers with dimensions, offsets and values"
    assert set(refused(content)) >= {
        f"value0.input.weights: {matrix}",
        f"value0.readout.weights: {matrix}",
        "value0.reservoir.neurons[0].threshold: must be a whole number",
        "value0.reservoir.neurons[2].v_mem_decay: must be a whole number",
        "value0.readout.neurons[1].i_syn_decay: must be a whole number",
    }


def test_more_neurons_than_weights_are_refused() -> None:
    content = samna(SPEC)
    content["value0"]["reservoir"]["neurons"].append(content["value0"]["reservoir"]["neurons"][0])
    faults = refused(content)
    assert "threshold: must be whole numbers of the shape 3" in faults
