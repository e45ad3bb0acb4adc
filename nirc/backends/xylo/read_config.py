"""Reads Xylo configurations back: samna's JSON, rockpool's specification dictionary, or a file that holds both.

Source of both layouts: samna 0.7.1 (cereal JSON), rockpool 3.1.0 (`config_from_specification`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import nir, xylo
from nirc.dialects.dense import Array, dense

Json: TypeAlias = dict[str, Any]


def read_config(text: str, chip: str | None = None) -> ModuleOp:
    """A configuration file's text becomes a module with one integer `xylo.network`.

    chip: the generation; found from the fields where it is None.
    Raises DiagnosticException with everything that is missing or malformed.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DiagnosticException(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DiagnosticException("a Xylo configuration is a JSON object with 'value0' or a specification's keys")
    held = cast(Json, content)
    notes = _object(held.get("nirc"))
    if "value0" in held:
        spec, found = specification_of_samna(_object(held["value0"]))
    else:
        spec, found = _object(held.get("spec", held)), "audio2"
    layers = _object(notes.get("layers"))
    module = network_of_specification(spec, chip or notes.get("chip") or found, layers or None)
    for item in map(_object, notes.get("assumptions") or ()):
        nir.assume(module, *(str(item.get(key, "note")) for key in ("kind", "topic", "statement")))
    return module


def _object(value: Any) -> Json:
    """A JSON object; anything else is one without keys."""
    return cast(Json, value) if isinstance(value, dict) else {}


class _Fields:
    """A JSON object whose faults are collected."""

    def __init__(self) -> None:
        self.faults = list[str]()

    def matrix(self, where: str, value: Any) -> Array:
        """samna's MATRIX: dimensions, and values row by row."""
        try:
            rows, columns = value["dimensions"]["value0"], value["dimensions"]["value1"]
            values = np.array(value["values"], dtype=np.int64)
            return values.reshape(rows, columns)
        except (KeyError, TypeError, ValueError, OverflowError):
            self.faults.append(f"{where}: must be a matrix of whole numbers with dimensions, offsets and values")
            return np.zeros((1, 1), np.int64)

    def column(self, where: str, neurons: list[Json], key: str, default: int | None = None) -> Array:
        """One field of every neuron."""
        values = list[int]()
        for index, neuron in enumerate(neurons):
            value = neuron.get(key, default)
            if not isinstance(value, int):
                self.faults.append(f"{where}[{index}].{key}: must be a whole number")
                value = 0
            values.append(value)
        return np.array(values, dtype=np.int64)


def specification_of_samna(value: Json) -> tuple[Json, str]:
    """rockpool's keys from samna's `value0`, and the generation that has such fields."""
    fields = _Fields()
    key = "hidden" if "hidden" in value else "reservoir"
    missing = [name for name in ("input", key, "readout") if not isinstance(value.get(name), dict)]
    if missing:
        raise DiagnosticException("\n".join(f"value0.{name}: missing" for name in missing))
    inputs, hidden, readout = (_object(value[name]) for name in ("input", key, "readout"))
    two = bool(value.get("synapse2_enable", False))

    def both(where: str, part: Any) -> Array:
        first = fields.matrix(f"{where}.weights", part.get("weights"))
        if not two:
            return first[:, :, None]
        second = fields.matrix(f"{where}.syn2_weights", part.get("syn2_weights"))
        if second.shape != first.shape:
            fields.faults.append(f"{where}.syn2_weights: must have the dimensions of weights")
            second = np.zeros_like(first)
        return np.stack([first, second], axis=-1)

    neurons, outs = ([_object(item) for item in part.get("neurons") or ()] for part in (hidden, readout))
    bias_on = bool(value.get("bias_enable", False))
    aliases = list[list[int]]()
    for neuron in neurons:
        alias = _object(neuron.get("alias_target"))
        on = hidden.get("aliasing", False) and not alias.get("nullopt", False) and isinstance(alias.get("data"), int)
        aliases.append([alias["data"]] if on else [])
    spec: Json = {
        "weights_in": both("input", inputs),
        "weights_rec": both(key, hidden),
        "weights_out": fields.matrix("readout.weights", readout.get("weights")),
        "dash_mem": fields.column(f"{key}.neurons", neurons, "v_mem_decay"),
        "dash_syn": fields.column(f"{key}.neurons", neurons, "i_syn_decay"),
        "dash_syn_2": fields.column(f"{key}.neurons", neurons, "i_syn2_decay", 0),
        "threshold": fields.column(f"{key}.neurons", neurons, "threshold"),
        "bias": fields.column(f"{key}.neurons", neurons, "v_mem_bias", 0) * bias_on,
        "dash_mem_out": fields.column("readout.neurons", outs, "v_mem_decay"),
        "dash_syn_out": fields.column("readout.neurons", outs, "i_syn_decay"),
        "threshold_out": fields.column("readout.neurons", outs, "threshold"),
        "bias_out": fields.column("readout.neurons", outs, "v_mem_bias", 0) * bias_on,
        "weight_shift_in": inputs.get("weight_bit_shift", 0),
        "weight_shift_rec": hidden.get("weight_bit_shift", 0),
        "weight_shift_out": readout.get("weight_bit_shift", 0),
        "aliases": aliases,
    }
    if fields.faults:
        raise DiagnosticException("\n".join(f"value0.{fault}" for fault in fields.faults))
    if key == "hidden":
        return spec, "audio3" if "synapse2_enable" in value else "imu"
    return spec, "v1" if neurons and "v_mem_bias" not in neurons[0] else "audio2"


def network_of_specification(spec: Mapping[str, Any], chip: str, layers: Mapping[str, Any] | None = None) -> ModuleOp:
    """A module with the network that a rockpool specification describes.

    layers: names and sizes as nirc's own files keep them; without them the parts are called input, hidden, readout.
    """
    faults = list[str]()

    def whole(name: str, shape: tuple[int | None, ...], default: tuple[int, ...] | None = None) -> Array:
        value = spec.get(name)
        if value is None and default is not None:
            return np.zeros(default, np.int32)
        try:
            values = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.full(1, np.nan)
        if values.ndim == 2 and len(shape) == 3:
            values = values[:, :, None]
        fits = values.ndim == len(shape) and all(b in (None, a) for a, b in zip(values.shape, shape, strict=True))
        if not fits or np.any(values != np.round(values)) or np.any(np.abs(values) > 2**31 - 1):
            wanted = "x".join("?" if n is None else str(n) for n in shape)
            faults.append(
                f"{name}: must be whole numbers of the shape {wanted}" if value is not None else f"{name}: missing"
            )
            return np.zeros([n or 1 for n in shape], np.int32)
        return values.astype(np.int32)

    weights_in = whole("weights_in", (None, None, None))
    inputs, reached, synapses = weights_in.shape
    n = len(spec["weights_rec"]) if spec.get("weights_rec") is not None else reached
    weights_rec = whole("weights_rec", (n, n, synapses), (n, n, synapses))
    weights_out = whole("weights_out", (None, None))
    m = weights_out.shape[1]
    dash_syn = [whole("dash_syn", (n,))] + ([whole("dash_syn_2", (n,))] if synapses == 2 else [])
    bias = "bias_hidden" if spec.get("bias_hidden") is not None else "bias"
    aliases: list[list[int]] = spec.get("aliases") or [[] for _ in range(n)]
    if len(aliases) != n or any(len(targets) > 1 or any(target < 0 for target in targets) for targets in aliases):
        faults.append(f"aliases: must be {n} lists of at most one hidden neuron (0 to {n - 1}) each")
        aliases = [[] for _ in range(n)]
    shifts = {name: spec.get(f"weight_shift_{name}", 0) for name in ("in", "rec", "out")}
    faults.extend(f"weight_shift_{name}: must be a whole number" for name, s in shifts.items() if int(s) != s)
    if chip not in xylo.CHIPS:
        faults.append(f"chip '{chip}' is not one of {', '.join(xylo.CHIPS)}")
    names = layers or {
        "input": {"input": inputs},
        "hidden": {"hidden": n},
        "readout": {"readout": m},
        "outputs": ["output"],
    }
    sizes = {part: sum(names[part].values()) for part in ("input", "hidden", "readout")}
    if sizes != {"input": inputs, "hidden": n, "readout": m}:
        faults.append(
            f"nirc.layers names {sizes}, the configuration has {inputs} inputs, {n} hidden, {m} readout neurons"
        )
    one = {
        name: whole(name, (length,), (length,) if "bias" in name else None)
        for name, length in (
            ("dash_mem", n),
            ("threshold", n),
            (bias, n),
            ("dash_mem_out", m),
            ("dash_syn_out", m),
            ("threshold_out", m),
            ("bias_out", m),
        )
    }
    if faults:
        raise DiagnosticException("\n".join(faults))
    body = Block(
        [
            xylo.InputOp(dict(names["input"]), dense(weights_in), int(shifts["in"])),
            xylo.HiddenOp(
                dict(names["hidden"]),
                dense(weights_rec),
                dense(one["dash_mem"]),
                dense(np.stack(dash_syn, axis=1)),
                dense(one["threshold"]),
                dense(one[bias]),
                [int(targets[0]) if targets else -1 for targets in aliases] if any(map(len, aliases)) else None,
                weight_shift=int(shifts["rec"]),
            ),
            xylo.ReadoutOp(
                dict(names["readout"]),
                names["outputs"],
                dense(weights_out),
                dense(one["dash_mem_out"]),
                dense(one["dash_syn_out"]),
                dense(one["threshold_out"]),
                dense(one["bias_out"]),
                weight_shift=int(shifts["out"]),
            ),
        ]
    )
    return ModuleOp([xylo.NetworkOp("main", chip, Region(body))])
