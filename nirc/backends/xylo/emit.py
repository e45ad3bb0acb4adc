"""Writes a `xylo.network` of integers as JSON: samna's configuration, rockpool's specification and nirc's notes.

Layout (samna 0.7.1, rockpool 3.1.0): `value0` must come first, samna ignores what follows it. samna refuses a file with
a missing field and truncates integers out of range in silence, so `xylo-check-limits` has to pass first. Nobody has
confirmed offline that the fields are complete for the later cores; `--template` takes them from the user's samna.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.target import Target

from nirc.backends.json_config import Json, notes_of, template_of
from nirc.dialects import xylo
from nirc.dialects.dense import Array

_UNVERIFIED = (
    "the list of 'debug' fields of xyloCore2 and the later cores is not confirmed by a samna of that generation; "
    "if samna reports a missing field, save its XyloConfiguration().to_json() and give it with --template"
)


@dataclass(frozen=True)
class XyloTarget(Target):
    """The configuration of one chip as JSON.

    value0  samna's XyloConfiguration      spec  keyword arguments of rockpool's config_from_specification
    nirc    what was assumed, tau and value changes, scales, layer names, the layers that are read by their Vmem

    template: a file with `XyloConfiguration().to_json()` of the user's own samna, whose other fields are kept.
    """

    name = "xylo"

    template: str | None = None

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        network = next((op for op in module.ops if isinstance(op, xylo.NetworkOp)), None)
        if network is None or not network.hidden.quantized():
            raise DiagnosticException("target xylo writes a quantized xylo.network; the module holds none")
        value = _samna(network)
        if self.template is not None:
            value = _merged(template_of(self.template, "XyloConfiguration().to_json()"), value)
        parts = {"value0": value, "spec": _specification(network), "nirc": _notes(module, network)}
        lines = [f'"{name}": {json.dumps(part)}' for name, part in parts.items()]
        output.write("{" + ",\n".join(lines) + "}\n")


def _matrix(weights: Array) -> Json:
    rows, columns = weights.shape
    return {
        "dimensions": {"value0": rows, "value1": columns},
        "offsets": {"value0": columns, "value1": 1},
        "values": weights.ravel().tolist(),
    }


def _weights(weights: Array) -> Json:
    """Both synapses; a second one that is off is 1x1 zero."""
    second = weights[:, :, 1] if weights.shape[2] == 2 else np.zeros((1, 1), np.int32)
    return {"weights": _matrix(weights[:, :, 0]), "syn2_weights": _matrix(second)}


def _neurons(part: xylo.HiddenOp | xylo.ReadoutOp, *, bias: bool) -> list[Json]:
    dash = part.numbers("dash_syn").reshape(part.size, -1).tolist()
    columns = zip(
        part.numbers("threshold").tolist(),
        part.numbers("dash_mem").tolist(),
        dash,
        part.numbers("bias").tolist(),
        strict=True,
    )
    rows = list[Json]()
    for threshold, dash_mem, dash_syn, offset in columns:
        row: Json = {"threshold": threshold, "v_mem_decay": dash_mem, "i_syn_decay": dash_syn[0]}
        if isinstance(part, xylo.HiddenOp):
            row["i_syn2_decay"] = dash_syn[1] if len(dash_syn) == 2 else 0
        if bias:
            row["v_mem_bias"] = offset
        rows.append(row)
    return rows


def _samna(network: xylo.NetworkOp) -> Json:
    """`value0`. Fields of the later cores beyond v1 come from rockpool and samna's documentation, unverified."""
    hidden, readout, limits = network.hidden, network.readout, network.limits
    chip = network.chip.data
    two = network.synapses == 2
    biased = any(bool(np.any(part.numbers("bias"))) for part in (hidden, readout))
    neurons = _neurons(hidden, bias=limits.bias)
    for neuron, target in zip(neurons, hidden.alias_targets(), strict=True):
        neuron["alias_target"] = {"nullopt": True} if target < 0 else {"nullopt": False, "data": target}
    value: Json = {"operation_mode": 0}
    if limits.synapses == 2:
        value["synapse2_enable"] = two
    if limits.bias:
        value |= {"bias_enable": biased, "enable_hibernation_mode": False}
    value |= {"clear_network_state": False, "time_resolution_wrap": 0}
    inputs = {"weight_bit_shift": network.input.weight_shift.value.data, **_weights(network.input.numbers("weights"))}
    inside = {"weight_bit_shift": hidden.weight_shift.value.data, **_weights(hidden.numbers("weights"))}
    if limits.synapses == 1:
        del inputs["syn2_weights"], inside["syn2_weights"]
        for neuron in neurons:
            del neuron["i_syn2_decay"]
    value["input"] = inputs
    value["reservoir" if chip in ("v1", "audio2") else "hidden"] = {
        **inside,
        "neurons": neurons,
        "aliasing": any(target >= 0 for target in hidden.alias_targets()),
    }
    value["readout"] = {
        "weight_bit_shift": readout.weight_shift.value.data,
        "weights": _matrix(readout.numbers("weights")),
        "neurons": _neurons(readout, bias=limits.bias),
    }
    value["debug"] = _DEBUG_V1 if chip == "v1" else _debug(two=two, biased=biased)
    return value


_DEBUG_V1: Json = {
    "clock_enable": False,
    "ram_power_enable": False,
    "monitors": {f"value{n}": 0 for n in range(4)},
    "input_write_select": 0,
    "input_read_select": 0,
    "input_select_enable": False,
    **{f"monitor_neuron_{name}": {"nullopt": True} for name in ("v_mem", "i_syn", "i_syn2", "spike")},
}


def _debug(*, two: bool, biased: bool) -> Json:
    """The clocks that rockpool 3.1.0 switches on."""
    clocks = {
        "isyn_clock_enable": True,
        "isyn2_clock_enable": two,
        "ra_clock_enable": True,
        "bias_clock_enable": biased,
    }
    return {name: on for name, on in {**clocks, "hm_clock_enable": True, "ram_power_enable": True}.items() if on}


def _specification(network: xylo.NetworkOp) -> Json:
    """rockpool's keys; `bias` is called `bias_hidden` by config_from_specification alone."""
    hidden, readout = network.hidden, network.readout
    dash = hidden.numbers("dash_syn")
    spec: Json = {
        "weights_in": network.input.numbers("weights"),
        "weights_rec": hidden.numbers("weights"),
        "weights_out": readout.numbers("weights"),
        "dash_mem": hidden.numbers("dash_mem"),
        "dash_mem_out": readout.numbers("dash_mem"),
        "dash_syn": dash[:, 0],
        "dash_syn_2": dash[:, 1] if network.synapses == 2 else np.zeros(hidden.size, np.int32),
        "dash_syn_out": readout.numbers("dash_syn"),
        "threshold": hidden.numbers("threshold"),
        "threshold_out": readout.numbers("threshold"),
        "bias": hidden.numbers("bias"),
        "bias_out": readout.numbers("bias"),
        "weight_shift_in": network.input.weight_shift.value.data,
        "weight_shift_rec": hidden.weight_shift.value.data,
        "weight_shift_out": readout.weight_shift.value.data,
        "aliases": [[target] if target >= 0 else [] for target in hidden.alias_targets()],
    }
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in spec.items()}


def _notes(module: ModuleOp, network: xylo.NetworkOp) -> Json:
    """What a user should know about the numbers above."""
    base, changes = notes_of(module, network.report or ())
    taus = [change for change in changes if change["unit"] == "steps"]
    scales = [_layer_scales(part) for part in (network.hidden, network.readout) if part.scale is not None]
    return {
        "chip": network.chip.data,
        **base,
        "layers": {
            "input": network.input.sizes(),
            "hidden": network.hidden.sizes(),
            "readout": network.readout.sizes(),
            "outputs": [name.data for name in network.readout.outputs],
            "membranes": list(network.readout.read_by_membrane()),
        },
        "tau": taus,
        "values": [change for change in changes if change not in taus],
        "scales": {name: values for part in scales for name, values in part.items()},
        "unverified": [_UNVERIFIED] if network.chip.data != "v1" else [],
    }


def _layer_scales(part: xylo.HiddenOp | xylo.ReadoutOp) -> dict[str, list[float]]:
    """LSB of v per unit of v, neuron by neuron."""
    return {name: part.numbers("scale")[place].tolist() for name, place in part.places().items()}


_CHIP_FIELDS = ("bias_enable", "synapse2_enable", "reservoir", "hidden")
"""Fields that some generations have and others do not."""


def _is_broken(part: Any, held: Any) -> bool:
    """Whether the template holds something else where an object stands, neurons included."""
    if not isinstance(part, dict):
        return False
    if not isinstance(held, dict):
        return True
    neurons: Any = cast(Json, held).get("neurons", [])
    return not isinstance(neurons, list) or not all(isinstance(neuron, dict) for neuron in cast(list[Any], neurons))


def _merged(template: Json, value: Json) -> Json:
    """The template with the network put in; clocks that the template's core does not have are left out."""
    missing = [name for name in value if name not in template]
    foreign = [name for name in _CHIP_FIELDS if name in template and name not in value]
    if missing or foreign:
        what = f"no field {', '.join(missing)}" if missing else f"a field {', '.join(foreign)}"
        raise DiagnosticException(f"--template: it has {what}, so it belongs to another chip than the one compiled for")
    broken = [
        f"--template: '{name}' is not an object" for name, part in value.items() if _is_broken(part, template[name])
    ]
    if broken:
        raise DiagnosticException("\n".join(broken))
    merged = dict(template)
    for name, item in value.items():
        if name == "debug":
            merged[name] = {**template[name], **{key: flag for key, flag in item.items() if key in template[name]}}
        elif isinstance(item, dict):
            base, part = template[name], cast(Json, item)
            merged[name] = {**base, **part}
            if "neurons" in part:
                first: Json = base["neurons"][0] if base.get("neurons") else {}
                merged[name]["neurons"] = [{**first, **neuron} for neuron in part["neurons"]]
        else:
            merged[name] = item
    return merged
