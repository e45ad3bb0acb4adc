"""The JSON of a configuration: samna's layout field by field, what reads back, templates, and nirc's notes.

Expected layouts are the vendor's own files in cases/xylo (rockpool 3.1.0 over a stand-in for samna; core v1 read and
written back by samna 0.7.1) and the schema of the specification, section 2.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.backends.xylo.emit import XyloTarget
from nirc.backends.xylo.read_config import read_config
from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense

Json = dict[str, Any]
Golden = Callable[[str], None]

GESTURES = Path(__file__).parents[3] / "examples" / "gestures.nir"
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

# Two inputs, three hidden and two readout neurons, all numbers different.
SPEC: Json = {
    "weights_in": [[1, -2, 3], [4, 5, -6]],
    "weights_rec": [[0, 7, 0], [-8, 0, 0], [0, 0, 9]],
    "weights_out": [[10, 11], [-12, 0], [0, 13]],
    "dash_mem": [0, 4, 15],
    "dash_syn": [1, 2, 3],
    "threshold": [100, 200, 300],
    "bias": [0, -17, 18],
    "dash_mem_out": [5, 6],
    "dash_syn_out": [7, 8],
    "threshold_out": [400, 500],
    "bias_out": [19, 0],
    "weight_shift_in": 1,
    "weight_shift_rec": 2,
    "weight_shift_out": 3,
    "aliases": [[2], [], [0]],
}
SECOND: Json = {
    "weights_in": [[[1, 21], [-2, 0], [3, 22]], [[4, 0], [5, -23], [-6, 0]]],
    "weights_rec": [[[0, 0], [7, 0], [0, 24]], [[-8, 0], [0, 0], [0, 0]], [[0, 0], [0, -25], [9, 0]]],
    "dash_syn_2": [9, 10, 11],
}
NO_BIAS: Json = {"bias": [0, 0, 0], "bias_out": [0, 0]}


def emit(module: ModuleOp, template: Path | None = None) -> str:
    output = io.StringIO()
    XyloTarget(None if template is None else str(template)).emit(Context(), module, output)
    return output.getvalue()


def module_of(spec: Json, chip: str = "audio2") -> ModuleOp:
    module = read_config(json.dumps(spec), chip)
    module.verify()
    return module


def file_of(spec: Json, chip: str = "audio2", template: Path | None = None) -> Json:
    content: Json = json.loads(emit(module_of(spec, chip), template))
    return content


def network(module: ModuleOp) -> xylo.NetworkOp:
    (op,) = module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def matrix(rows: int, columns: int, values: list[int]) -> Json:
    return {
        "dimensions": {"value0": rows, "value1": columns},
        "offsets": {"value0": columns, "value1": 1},
        "values": values,
    }


NONE: Json = {"nullopt": True}


@pytest.fixture(scope="module")
def gestures() -> nirc.Program:
    return nirc.compile(GESTURES, "xylo")


# Layout


def test_value0_of_audio2() -> None:
    """Every field by hand."""
    assert file_of(SPEC)["value0"] == {
        "operation_mode": 0,
        "synapse2_enable": False,
        "bias_enable": True,
        "enable_hibernation_mode": False,
        "clear_network_state": False,
        "time_resolution_wrap": 0,
        "input": {
            "weight_bit_shift": 1,
            "weights": matrix(2, 3, [1, -2, 3, 4, 5, -6]),
            "syn2_weights": matrix(1, 1, [0]),
        },
        "reservoir": {
            "weight_bit_shift": 2,
            "weights": matrix(3, 3, [0, 7, 0, -8, 0, 0, 0, 0, 9]),
            "syn2_weights": matrix(1, 1, [0]),
            "aliasing": True,
            "neurons": [
                {
                    "threshold": 100 * (n + 1),
                    "v_mem_decay": [0, 4, 15][n],
                    "i_syn_decay": n + 1,
                    "i_syn2_decay": 0,
                    "v_mem_bias": [0, -17, 18][n],
                    "alias_target": [{"nullopt": False, "data": 2}, NONE, {"nullopt": False, "data": 0}][n],
                }
                for n in range(3)
            ],
        },
        "readout": {
            "weight_bit_shift": 3,
            "weights": matrix(3, 2, [10, 11, -12, 0, 0, 13]),
            "neurons": [
                {"threshold": 400, "v_mem_decay": 5, "i_syn_decay": 7, "v_mem_bias": 19},
                {"threshold": 500, "v_mem_decay": 6, "i_syn_decay": 8, "v_mem_bias": 0},
            ],
        },
        "debug": {
            "isyn_clock_enable": True,
            "ra_clock_enable": True,
            "bias_clock_enable": True,
            "hm_clock_enable": True,
            "ram_power_enable": True,
        },
    }


def test_two_synapses() -> None:
    value = file_of({**SPEC, **SECOND})["value0"]
    assert value["synapse2_enable"] is True
    assert value["input"]["weights"] == matrix(2, 3, [1, -2, 3, 4, 5, -6])
    assert value["input"]["syn2_weights"] == matrix(2, 3, [21, 0, 22, 0, -23, 0])
    assert value["reservoir"]["syn2_weights"] == matrix(3, 3, [0, 0, 24, 0, 0, 0, 0, -25, 0])
    assert [neuron["i_syn2_decay"] for neuron in value["reservoir"]["neurons"]] == [9, 10, 11]
    assert value["debug"]["isyn2_clock_enable"] is True


def test_without_biases_and_aliases() -> None:
    value = file_of({**SPEC, **NO_BIAS, "aliases": [[], [], []]})["value0"]
    assert value["bias_enable"] is False
    assert value["reservoir"]["aliasing"] is False
    assert [neuron["alias_target"] for neuron in value["reservoir"]["neurons"]] == [NONE] * 3
    assert "bias_clock_enable" not in value["debug"]


def test_value0_of_v1() -> None:
    """The complete example of the specification, which samna 0.7.1's validator accepted."""
    spec: Json = {
        "weights_in": [[127]],
        "weights_rec": [[0]],
        "weights_out": [[2]],
        "dash_mem": [5],
        "dash_syn": [1],
        "threshold": [5088],
        "dash_mem_out": [0],
        "dash_syn_out": [1],
        "threshold_out": [1],
        "weight_shift_in": 4,
    }
    zero = matrix(1, 1, [0])
    neuron: Json = {"threshold": 5088, "v_mem_decay": 5, "i_syn_decay": 1, "i_syn2_decay": 0, "alias_target": NONE}
    assert file_of(spec, "v1")["value0"] == {
        "operation_mode": 0,
        "synapse2_enable": False,
        "clear_network_state": False,
        "time_resolution_wrap": 0,
        "input": {"weight_bit_shift": 4, "weights": matrix(1, 1, [127]), "syn2_weights": zero},
        "reservoir": {
            "weight_bit_shift": 0,
            "weights": zero,
            "syn2_weights": zero,
            "neurons": [neuron],
            "aliasing": False,
        },
        "readout": {
            "weight_bit_shift": 0,
            "weights": matrix(1, 1, [2]),
            "neurons": [{"threshold": 1, "v_mem_decay": 0, "i_syn_decay": 1}],
        },
        "debug": {
            "clock_enable": False,
            "ram_power_enable": False,
            "monitors": {"value0": 0, "value1": 0, "value2": 0, "value3": 0},
            "input_write_select": 0,
            "input_read_select": 0,
            "input_select_enable": False,
            "monitor_neuron_v_mem": NONE,
            "monitor_neuron_i_syn": NONE,
            "monitor_neuron_i_syn2": NONE,
            "monitor_neuron_spike": NONE,
        },
    }


def test_audio3_calls_the_neurons_hidden() -> None:
    audio2, audio3 = (file_of({**SPEC, **SECOND}, chip)["value0"] for chip in ("audio2", "audio3"))
    assert list(audio3["hidden"]) == list(audio2["reservoir"])
    assert audio3 == {("hidden" if k == "reservoir" else k): v for k, v in audio2.items()}


def test_imu_has_no_fields_of_a_second_synapse() -> None:
    content = emit(module_of(SPEC, "imu"))
    value = json.loads(content)["value0"]
    assert list(value["hidden"]) == ["weight_bit_shift", "weights", "neurons", "aliasing"]
    assert list(value["input"]) == ["weight_bit_shift", "weights"]
    assert set(value["hidden"]["neurons"][0]) == {
        "threshold",
        "v_mem_decay",
        "i_syn_decay",
        "v_mem_bias",
        "alias_target",
    }
    assert "synapse2_enable" not in value
    text = json.dumps(value)
    assert "syn2" not in text
    assert "reservoir" not in text


def test_the_specification() -> None:
    """rockpool's keys; weights always have the axis of the synapses, as Audio 3 and IMU want it."""
    spec = file_of(SPEC)["spec"]
    expected = {
        **SPEC,
        "weights_in": [[[w] for w in row] for row in SPEC["weights_in"]],
        "weights_rec": [[[w] for w in row] for row in SPEC["weights_rec"]],
        "dash_syn_2": [0, 0, 0],
    }
    assert spec == expected
    assert file_of({**SPEC, **SECOND})["spec"] == {**SPEC, **SECOND}


@pytest.mark.parametrize("chip", list(xylo.CHIPS))
def test_value0_comes_first(chip: str) -> None:
    """samna's reader fails at any key before it."""
    text = emit(module_of({**SPEC, **NO_BIAS}, chip))
    assert text.startswith('{"value0": {')
    assert list(json.loads(text)) == ["value0", "spec", "nirc"]
    assert text.endswith("}\n")


@pytest.mark.parametrize("case", CASES)
def test_the_vendors_files_for_audio2(case: str, shared: Path) -> None:
    """The specification read and written is the configuration that rockpool wrote from it, field by field."""
    folder = shared / "cases" / "xylo" / case
    written = json.loads(emit(read_config((folder / "spec.json").read_text())))
    assert written["value0"] == json.loads((folder / "cfg.xyloCore2.json").read_text())["value0"]


@pytest.mark.parametrize("case", CASES)
def test_the_vendors_files_for_v1(case: str, shared: Path) -> None:
    folder = shared / "cases" / "xylo" / case
    vendor = json.loads((folder / "cfg.pollen_v1.json").read_text())
    spec = json.loads((folder / "spec.json").read_text())
    if case == "bias":
        assert any(spec["bias"])
        spec |= {"bias": [0] * len(spec["bias"]), "bias_out": [0] * len(spec["bias_out"])}
    assert file_of(spec, "v1")["value0"] == vendor["value0"]


# What reads back


BOTH = [(chip, second) for chip in xylo.CHIPS for second in ({}, SECOND) if not (chip == "imu" and second)]


@pytest.mark.parametrize("form", ["value0", "spec"])
@pytest.mark.parametrize(("chip", "second"), BOTH)
def test_what_is_written_reads_back(chip: str, form: str, second: Json) -> None:
    module = module_of({**SPEC, **second, **(NO_BIAS if chip == "v1" else {})}, chip)
    content = json.loads(emit(module))
    del content["spec" if form == "value0" else "value0"]
    again = read_config(json.dumps(content))
    assert str(again) == str(module)
    assert network(again).chip.data == chip
    assert emit(again) == emit(module)


@pytest.mark.parametrize("form", ["value0", "spec"])
def test_a_compiled_model_reads_back(gestures: nirc.Program, form: str) -> None:
    """Names, numbers and assumptions; the report and the scales stay behind as notes."""
    content = json.loads(gestures.emit())
    del content["spec" if form == "value0" else "value0"]
    again = read_config(json.dumps(content))
    before, after = network(gestures.module), network(again)
    for old, new in zip(before.parts(), after.parts(), strict=True):
        assert old.sizes() == new.sizes()
        for name in ("weights", "dash_mem", "dash_syn", "threshold", "bias"):
            if name in old.properties:
                assert np.array_equal(old.numbers(name), new.numbers(name))
        assert old.weight_shift == new.weight_shift
    assert before.readout.outputs == after.readout.outputs
    assert again.attributes == gestures.module.attributes


@pytest.mark.parametrize("case", CASES)
def test_the_vendors_files_read_back(case: str, shared: Path) -> None:
    module = read_config((shared / "cases" / "xylo" / case / "cfg.xyloCore2.json").read_text())
    for form in ("value0", "spec"):
        content = json.loads(emit(module))
        del content[form]
        assert str(read_config(json.dumps(content))) == str(module)


# Templates


def template(folder: Path, content: Any) -> Path:
    path = folder / "template.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def saved(chip: str = "audio2", **more: Any) -> Json:
    """What the user's samna saves: another network, and fields that nirc knows nothing of."""
    value = file_of({**SPEC, **SECOND} if chip in ("audio2", "audio3", "v1") else SPEC, chip)["value0"]
    value |= {"operation_mode": 3, "time_resolution_wrap": 5, **more}
    value["readout"]["neurons"] = [{**value["readout"]["neurons"][0], "of_a_neuron": 8}]
    value["input"]["of_the_input"] = [1, 2]
    value["debug"] |= {"of_debug": {"value0": 4}, "hm_clock_enable": False}
    return {"value0": value}


OTHER: Json = {
    **SPEC,
    **NO_BIAS,
    "weights_out": [[14, 15, 16], [0, 0, 0], [0, 1, 2]],
    "dash_mem_out": [1, 2, 3],
    "dash_syn_out": [1, 2, 3],
    "threshold_out": [1, 2, 3],
    "bias_out": [0, 0, 0],
    "aliases": [[], [], []],
}


def test_a_template_keeps_its_other_fields(tmp_path: Path) -> None:
    merged = file_of(OTHER, template=template(tmp_path, saved(of_the_root={"value0": 1})))["value0"]
    plain = file_of(OTHER)["value0"]
    assert merged["of_the_root"] == {"value0": 1}
    assert merged["input"].pop("of_the_input") == [1, 2]
    assert merged["debug"]["of_debug"] == {"value0": 4}
    assert [neuron.pop("of_a_neuron") for neuron in merged["readout"]["neurons"]] == [8, 8, 8]
    for name in ("operation_mode", "synapse2_enable", "bias_enable", "time_resolution_wrap", "input", "readout"):
        assert merged[name] == plain[name]
    assert merged["reservoir"] == plain["reservoir"]


def test_a_template_gets_the_clocks_that_it_has(tmp_path: Path) -> None:
    """Clocks of the network are switched on in the template's list of debug fields; none is added."""
    content = saved()
    del content["value0"]["debug"]["ra_clock_enable"]
    merged = file_of(OTHER, template=template(tmp_path, content))["value0"]
    assert merged["debug"]["hm_clock_enable"] is True
    assert "ra_clock_enable" not in merged["debug"]


def test_a_template_changes_neither_spec_nor_order(tmp_path: Path) -> None:
    path = template(tmp_path, {"later": 1, **saved()})
    text = emit(module_of(OTHER), path)
    assert text.startswith('{"value0": {')
    assert json.loads(text)["spec"] == file_of(OTHER)["spec"]


def test_a_merged_file_reads_back(tmp_path: Path) -> None:
    module = module_of(OTHER)
    assert str(read_config(emit(module, template(tmp_path, saved())))) == str(module)


@pytest.mark.parametrize(
    ("chip", "of", "field"),
    [
        ("audio2", "v1", "bias_enable"),
        ("audio2", "audio3", "reservoir"),
        ("audio2", "imu", "synapse2_enable"),
        ("audio3", "audio2", "hidden"),
        ("audio3", "imu", "synapse2_enable"),
        ("imu", "audio2", "hidden"),
        ("v1", "audio3", "reservoir"),
    ],
)
def test_a_template_without_the_chips_fields_is_refused(tmp_path: Path, chip: str, of: str, field: str) -> None:
    content = saved(of)
    with pytest.raises(DiagnosticException, match=r"^--template: it has no field .*belongs to another chip") as refusal:
        file_of(OTHER, chip, template(tmp_path, content))
    assert field in str(refusal.value)


@pytest.mark.parametrize(("chip", "of"), [("v1", "audio2"), ("imu", "audio3")])
def test_a_template_of_a_chip_with_more_fields_is_refused(tmp_path: Path, chip: str, of: str) -> None:
    """Its switches of a second synapse or of biases would stay on beside another network's weights."""
    with pytest.raises(DiagnosticException, match=r"^--template: .*another chip"):
        file_of(OTHER, chip, template(tmp_path, saved(of)))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "not JSON: "),
        ("", "not JSON: "),
        ([1], "no 'value0'; save XyloConfiguration().to_json() of your samna"),
        ({"value1": {}}, "no 'value0'; save XyloConfiguration().to_json() of your samna"),
        ({"value0": 1}, "no 'value0'; save XyloConfiguration().to_json() of your samna"),
    ],
)
def test_a_file_that_is_no_template_is_refused(tmp_path: Path, content: Any, fault: str) -> None:
    path = template(tmp_path, content)
    with pytest.raises(DiagnosticException) as refusal:
        file_of(SPEC, template=path)
    assert str(refusal.value).startswith(f"--template {path}: {fault}")


@pytest.mark.parametrize("part", ["input", "reservoir", "readout", "debug"])
def test_a_template_with_a_broken_part_is_refused(tmp_path: Path, part: str) -> None:
    content = saved()
    content["value0"][part] = None
    with pytest.raises(DiagnosticException, match=r"^--template"):
        file_of(SPEC, template=template(tmp_path, content))


def test_a_missing_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticException) as refusal:
        file_of(SPEC, template=tmp_path / "none.json")
    assert str(refusal.value) == f"--template {tmp_path / 'none.json'}: cannot be read: No such file or directory"


# The file as a whole


NO_NETWORK = r"^target xylo writes a quantized xylo\.network; the module holds none$"


def test_a_module_without_a_network_is_refused() -> None:
    with pytest.raises(DiagnosticException, match=NO_NETWORK):
        emit(ModuleOp([]))


def test_real_numbers_are_refused() -> None:
    module = module_of(SPEC)
    for part in network(module).parts():
        for name in ("weights", "dash_mem", "dash_syn", "threshold", "bias"):
            if name in part.properties:
                part.properties[name] = dense(part.numbers(name).astype(float))
    module.verify()
    with pytest.raises(DiagnosticException, match=NO_NETWORK):
        emit(module)


def test_the_same_bytes_every_time(gestures: nirc.Program) -> None:
    first = gestures.emit()
    assert gestures.emit() == first
    assert nirc.compile(GESTURES, "xylo").emit() == first


def test_emitting_leaves_the_module_alone() -> None:
    module = module_of(SPEC)
    before = str(module)
    emit(module)
    assert str(module) == before


def test_golden(golden: Golden) -> None:
    golden(emit(module_of(SPEC)))


# nirc's notes


def test_notes_of_a_compiled_model(gestures: nirc.Program) -> None:
    notes = json.loads(gestures.emit())["nirc"]
    assert notes["chip"] == "audio2"
    assert notes["layers"] == {
        "input": {"input": 12},
        "hidden": {"hidden": 48},
        "readout": {"readout": 8},
        "outputs": ["output"],
        "membranes": [],
    }
    assert [f"{item['topic']}: {item['statement']}" for item in notes["assumptions"]] == list(gestures.assumptions)
    assert {item["topic"] for item in notes["assumptions"]} >= {"dt", "reset", "latency", "quantization", "limits"}
    assert len(notes["unverified"]) == 1
    assert "--template" in notes["unverified"][0]


def test_notes_of_values(gestures: nirc.Program) -> None:
    """tau_mem of 8 and 16, tau_syn of 4 steps are exact; thresholds of 1 within half an LSB."""
    notes = json.loads(gestures.emit())["nirc"]
    assert [(item["node"], item["parameter"]) for item in notes["tau"]] == [
        (node, tau) for node in ("hidden", "readout") for tau in ("tau_mem", "tau_syn")
    ]
    assert set(notes["tau"][0]["after"]) == {8, 16}
    assert notes["tau"][1]["after"] == 4
    assert all(item["largest_relative_error"] < 1e-6 for item in notes["tau"])
    values = {(item["node"], item["parameter"]): item for item in notes["values"]}
    units = {"input gain": "per spike", "weights": "v per spike", "threshold": "v"}
    assert {key: item["unit"] for key, item in values.items()} == {
        (node, parameter): unit for node in ("hidden", "readout") for parameter, unit in units.items()
    }
    for node in ("hidden", "readout"):
        assert values[node, "input gain"]["largest_relative_error"] < 1e-6
        assert values[node, "threshold"]["before"] == 1
        assert 0 < values[node, "weights"]["largest_relative_error"] < 1 / 127


def test_notes_of_scales(gestures: nirc.Program) -> None:
    """LSB of v per unit: the thresholds of 1 become it, rounded."""
    content = json.loads(gestures.emit())
    scales = content["nirc"]["scales"]
    assert {name: len(values) for name, values in scales.items()} == {"hidden": 48, "readout": 8}
    for name, threshold in (("hidden", "threshold"), ("readout", "threshold_out")):
        rounded: Array = np.round(np.array(scales[name]))
        assert np.array_equal(content["spec"][threshold], rounded)


def test_notes_of_an_imported_configuration() -> None:
    notes = file_of(SPEC)["nirc"]
    assert notes["assumptions"] == notes["tau"] == notes["values"] == []
    assert notes["scales"] == {}
    assert file_of({**SPEC, **NO_BIAS}, "v1")["nirc"]["unverified"] == []


def test_notes_do_not_change_the_network(gestures: nirc.Program) -> None:
    """A file without them reads as the same numbers."""
    content = json.loads(gestures.emit())
    bare = deepcopy(content)
    del bare["nirc"]
    first, second = (network(read_config(json.dumps(item))) for item in (content, bare))
    assert np.array_equal(first.hidden.numbers("weights"), second.hidden.numbers("weights"))
    assert second.hidden.sizes() == {"hidden": 48}
