"""Reads Xylo configurations back: samna's JSON, rockpool's specification dictionary, or a file that holds both.

Source of both layouts: samna 0.7.1 (cereal JSON), rockpool 3.1.0 (`config_from_specification`). Integers out of the
chip's range are kept as they are, `xylo-check-limits` names them; samna and rockpool would wrap them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.json_config import Json, as_list, as_object, is_whole, parsed, restore_notes, whole_array
from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense

Shape: TypeAlias = tuple[int | None, ...]


def is_xylo(content: Json) -> bool:
    """Whether a JSON object looks like a configuration of this chip."""
    return "input" in as_object(content.get("value0")) or "weights_in" in as_object(content.get("spec", content))


def read_config(text: str, chip: str | None = None) -> ModuleOp:
    """A configuration file's text becomes a module with one integer `xylo.network`.

    chip: the generation; found from the fields where it is None.
    Raises DiagnosticException with everything that is missing or malformed.
    """
    held = parsed(text, "a Xylo configuration is a JSON object with 'value0' or a specification's keys")
    notes = as_object(held.get("nirc"))
    if "value0" in held:
        spec, found = specification_of_samna(as_object(held["value0"]))
    else:
        spec, found = as_object(held.get("spec", held)), "audio2"
    module = network_of_specification(spec, chip or notes.get("chip") or found, notes.get("layers"))
    restore_notes(module, notes)
    return module


class _SamnaFile:
    """samna's objects read with their faults collected, each with its path."""

    def __init__(self) -> None:
        self.faults = list[str]()

    def matrix(self, where: str, value: Any) -> Array:
        """samna's MATRIX: dimensions, and values row by row."""
        held = as_object(value)
        dimensions = as_object(held.get("dimensions"))
        shape = [int(n) if is_whole(n) else -1 for n in map(dimensions.get, ("value0", "value1"), (-1, -1))]
        values = whole_array(held.get("values"))
        if values is None or values.ndim != 1 or min(shape) < 0 or values.size != shape[0] * shape[1]:
            self.faults.append(f"{where}: must be a matrix of whole numbers with dimensions, offsets and values")
            return np.zeros((1, 1), np.int32)
        return values.reshape(shape)

    def weights(self, where: str, part: Json, *, two: bool) -> Array:
        """Both synapses on a third axis; the second counts only where it is enabled."""
        first = self.matrix(f"{where}.weights", part.get("weights"))
        if not two:
            return first[:, :, None]
        count = len(self.faults)
        second = self.matrix(f"{where}.syn2_weights", part.get("syn2_weights"))
        if second.shape != first.shape:
            if len(self.faults) == count:
                self.faults.append(f"{where}.syn2_weights: must have the dimensions of weights")
            second = np.zeros_like(first)
        return np.stack([first, second], axis=-1)

    def whole(self, where: str, value: Any) -> int:
        """One whole number."""
        if not is_whole(value):
            self.faults.append(f"{where}: must be a whole number")
            return 0
        return int(value)

    def column(self, where: str, neurons: list[Json], key: str, default: int | None = None) -> list[int]:
        """One field of every neuron."""
        return [self.whole(f"{where}[{n}].{key}", neuron.get(key, default)) for n, neuron in enumerate(neurons)]

    def alias(self, where: str, value: Any) -> list[int]:
        """samna's OPTIONAL alias target as a list of at most one."""
        target = as_object(value)
        if value is None or target.get("nullopt") is True:
            return []
        if target.get("nullopt") is not False or not is_whole(target.get("data")):
            self.faults.append(f"{where}: must be nullopt or the number of a hidden neuron")
            return []
        return [int(target["data"])]


def specification_of_samna(value: Json) -> tuple[Json, str]:
    """rockpool's keys from samna's `value0`, and the generation that has such fields.

    Raises DiagnosticException with every field that is missing or malformed.
    """
    file = _SamnaFile()
    key = "hidden" if "hidden" in value else "reservoir"
    missing = [name for name in ("input", key, "readout") if not isinstance(value.get(name), dict)]
    if missing:
        raise DiagnosticException("\n".join(f"value0.{name}: missing" for name in missing))
    inputs, hidden, readout = (as_object(value[name]) for name in ("input", key, "readout"))
    neurons, outs = ([as_object(item) for item in as_list(part.get("neurons"))] for part in (hidden, readout))
    two, biased = bool(value.get("synapse2_enable", False)), bool(value.get("bias_enable", False))
    bias, bias_out = (
        file.column(f"value0.{where}.neurons", part, "v_mem_bias", None if biased else 0)
        for where, part in ((key, neurons), ("readout", outs))
    )
    spec: Json = {
        "weights_in": file.weights("value0.input", inputs, two=two),
        "weights_rec": file.weights(f"value0.{key}", hidden, two=two),
        "weights_out": file.matrix("value0.readout.weights", readout.get("weights")),
        "dash_mem": file.column(f"value0.{key}.neurons", neurons, "v_mem_decay"),
        "dash_syn": file.column(f"value0.{key}.neurons", neurons, "i_syn_decay"),
        "dash_syn_2": file.column(f"value0.{key}.neurons", neurons, "i_syn2_decay", None if two else 0),
        "threshold": file.column(f"value0.{key}.neurons", neurons, "threshold"),
        "bias": bias if biased else None,
        "dash_mem_out": file.column("value0.readout.neurons", outs, "v_mem_decay"),
        "dash_syn_out": file.column("value0.readout.neurons", outs, "i_syn_decay"),
        "threshold_out": file.column("value0.readout.neurons", outs, "threshold"),
        "bias_out": bias_out if biased else None,
        "aliases": [
            file.alias(f"value0.{key}.neurons[{n}].alias_target", neuron.get("alias_target"))
            for n, neuron in enumerate(neurons)
        ]
        if hidden.get("aliasing", False)
        else None,
    }
    for name, where, part in (("in", "input", inputs), ("rec", key, hidden), ("out", "readout", readout)):
        spec[f"weight_shift_{name}"] = file.whole(f"value0.{where}.weight_bit_shift", part.get("weight_bit_shift", 0))
    if file.faults:
        raise DiagnosticException("\n".join(file.faults))
    if key == "hidden":
        return spec, "audio3" if "synapse2_enable" in value else "imu"
    has_bias = "bias_enable" in value or any("v_mem_bias" in neuron for neuron in neurons)
    return spec, "audio2" if has_bias or not neurons else "v1"


class _Specification:
    """A specification's arrays checked against one another, with the faults collected."""

    def __init__(self, spec: Mapping[str, Any]):
        self.spec = spec
        self.faults = list[str]()

    def array(self, name: str, shape: Shape, *, optional: bool = False) -> Array:
        """Whole numbers of a shape (None: any length); zeros where they are missing and may be."""
        value = self.spec.get(name)
        zeros = np.zeros([n or 0 for n in shape], np.int32)
        if value is None:
            if not optional:
                self.faults.append(f"{name}: missing")
            return zeros
        values = whole_array(value)
        if values is not None and values.ndim == 2 and len(shape) == 3:
            values = values[:, :, None]
        if (
            values is None
            or values.ndim != len(shape)
            or any(wanted not in (None, held) for held, wanted in zip(values.shape, shape, strict=True))
        ):
            wanted = "x".join("?" if n is None else str(n) for n in shape)
            self.faults.append(f"{name}: must be whole numbers of the shape {wanted}")
            return zeros
        return values

    def shift(self, name: str) -> int:
        """A weight shift, 0 where it is missing."""
        value = self.spec.get(name, 0)
        if not is_whole(value):
            self.faults.append(f"{name}: must be a whole number")
            return 0
        return int(value)

    def aliases(self, n: int | None) -> list[int] | None:
        """The alias target of each neuron, -1 for none; None where nothing is aliased."""
        value = self.spec.get("aliases")
        if value is None:
            return None
        rows = as_list(value)
        sound = isinstance(value, list) and n in (None, len(rows))
        for row in rows:
            sound = sound and isinstance(row, list) and len(as_list(row)) <= 1
            sound = sound and all(is_whole(target) and target >= 0 for target in as_list(row))
        if not sound:
            self.faults.append(f"aliases: must be {n} lists of at most one hidden neuron (0 to {(n or 1) - 1}) each")
            return None
        return [int(as_list(row)[0]) if row else -1 for row in rows] if any(rows) else None


def network_of_specification(spec: Mapping[str, Any], chip: str, layers: Any = None) -> ModuleOp:
    """A module with the network that a rockpool specification describes.

    layers: names and sizes as nirc's own files keep them; without them the parts are called input, hidden, readout.
    Raises DiagnosticException with everything that is missing, malformed or of another size.
    """
    read = _Specification(spec)
    weights_in = read.array("weights_in", (None, None, None))
    known_in = bool(weights_in.size)
    rows = whole_array(spec.get("weights_rec")) if isinstance(spec.get("weights_rec"), list | np.ndarray) else None
    n = len(spec["weights_rec"]) if isinstance(spec.get("weights_rec"), list | np.ndarray) else None
    n = n if n is not None else weights_in.shape[1] if known_in else None
    third = rows.shape[2] if rows is not None and rows.ndim == 3 else 1
    synapses = weights_in.shape[2] if known_in else third
    weights_rec = read.array("weights_rec", (n, n, synapses), optional=True)
    weights_out = read.array("weights_out", (None, None))
    m = weights_out.shape[1] or None
    dash_syn = [read.array("dash_syn", (n,))]
    if synapses == 2:
        dash_syn.append(read.array("dash_syn_2", (n,)))
    bias = "bias_hidden" if spec.get("bias_hidden") is not None else "bias"
    hidden = {name: read.array(name, (n,), optional=name == bias) for name in ("dash_mem", "threshold", bias)}
    names = ("dash_mem_out", "dash_syn_out", "threshold_out", "bias_out")
    readout = {name: read.array(name, (m,), optional=name == "bias_out") for name in names}
    aliases = read.aliases(n)
    shifts = {name: read.shift(f"weight_shift_{name}") for name in ("in", "rec", "out")}
    if chip not in xylo.CHIPS:
        read.faults.append(f"chip '{chip}' is not one of {', '.join(xylo.CHIPS)}")
    default: Json = {
        "input": {"input": len(weights_in)},
        "hidden": {"hidden": n},
        "readout": {"readout": m},
        "outputs": ["output"],
    }
    named = default if layers is None else _layers(read, layers, len(weights_in), n, m)
    if read.faults:
        raise DiagnosticException("\n".join(read.faults))
    body = Block(
        [
            xylo.InputOp(named["input"], dense(weights_in), shifts["in"]),
            xylo.HiddenOp(
                named["hidden"],
                dense(weights_rec),
                dense(hidden["dash_mem"]),
                dense(np.stack(dash_syn, axis=1)),
                dense(hidden["threshold"]),
                dense(hidden[bias]),
                aliases,
                weight_shift=shifts["rec"],
            ),
            xylo.ReadoutOp(
                named["readout"],
                named["outputs"],
                dense(weights_out),
                dense(readout["dash_mem_out"]),
                dense(readout["dash_syn_out"]),
                dense(readout["threshold_out"]),
                dense(readout["bias_out"]),
                weight_shift=shifts["out"],
                membranes=named.get("membranes", ()),
            ),
        ]
    )
    return ModuleOp([xylo.NetworkOp("main", chip, Region(body))])


def _layers(read: _Specification, layers: Any, inputs: int, n: int | None, m: int | None) -> Json:
    """nirc's own names of the layers, where they are sound and fit the configuration."""
    held = as_object(layers)
    parts = {part: as_object(held.get(part)) for part in ("input", "hidden", "readout")}
    sound = all(sizes and all(map(is_whole, sizes.values())) for sizes in parts.values())
    outputs, membranes = as_list(held.get("outputs")), as_list(held.get("membranes"))
    sound = sound and bool(outputs) and all(isinstance(name, str) for name in outputs)
    sound = sound and all(isinstance(name, str) and name in parts["readout"] for name in membranes)
    named = {**parts, "outputs": outputs, "membranes": membranes}
    if not sound:
        read.faults.append("nirc.layers: must name the sizes of the layers of input, hidden and readout, and outputs")
        return named
    sizes = {part: sum(named.values()) for part, named in parts.items()}
    if sizes != {"input": inputs, "hidden": n, "readout": m} and not read.faults:
        read.faults.append(
            f"nirc.layers names {sizes}, the configuration has {inputs} inputs, {n} hidden, {m} readout neurons"
        )
    return named
