"""Reads Speck configurations back: the neutral JSON that nirc writes, or samna's own text.

Source of samna's layout: samna 0.7.1.0 (cereal JSON). samna checks no range when it reads such a file (it
wraps), so what is read is checked against the chip's limits here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.json_config import Json, as_list, as_object, is_whole, parsed, restore_notes, whole_array
from nirc.dialects import speck
from nirc.dialects.dense import Array, dense
from nirc.dialects.depth_first import depth_first
from nirc.passes.speck_check_limits import violations

_NEUTRAL = "a Speck configuration is a JSON object with 'cnn_layers', or samna's with 'value0'"


def is_speck(content: Json) -> bool:
    """Whether a JSON object looks like a configuration of this chip."""
    return "cnn_layers" in content or "cnnLayers" in as_object(content.get("value0"))


def read_config(text: str, chip: str | None = None) -> ModuleOp:
    """A configuration file's text becomes a module with one integer `speck.network`, its layers placed.

    chip: the generation; the file's, or the default's, where it is None.
    Raises DiagnosticException with everything that is missing, malformed or beyond the chip.
    """
    held = parsed(text, _NEUTRAL)
    notes = as_object(held.get("nirc"))
    if "value0" in held:
        held = {**held, "cnn_layers": _of_samna(as_object(held["value0"]))}
    file = _File()
    cores = file.cores(held.get("cnn_layers"))
    generation = chip or held.get("target") or notes.get("chip") or speck.DEFAULT_CHIP
    if generation not in speck.CHIPS:
        file.faults.append(f"target '{generation}' is not one of {', '.join(speck.CHIPS)}")
    if not cores and not file.faults:
        file.faults.append("no core is in use: none is monitored, none sends or receives")
    if file.faults:
        raise DiagnosticException("\n".join(file.faults))
    network = _network(file, cores, str(generation), held.get("entry_cores"), as_object(notes.get("layers")))
    module = ModuleOp([network])
    if faults := list(violations(network)):
        raise DiagnosticException("\n".join(faults))
    restore_notes(module, notes)
    return module


def _of_samna(value: Json) -> list[Json]:
    """samna's cores under the neutral names; those out of use are left out."""
    cores = {n: as_object(core) for n, core in enumerate(_values(value.get("cnnLayers")))}
    read = {n: _neutral(n, core) for n, core in cores.items()}
    targets = {to["layer"] for core in read.values() for to in core["destinations"]}
    return [core for n, core in read.items() if core["monitor_enable"] or core["destinations"] or n in targets]


def _values(value: Any) -> list[Any]:
    """samna's arrays: `value0`, `value1`, ..., or a list."""
    held = as_object(value)
    return [held[f"value{n}"] for n in range(len(held)) if f"value{n}" in held] if held else as_list(value)


def _neutral(number: int, core: Json) -> Json:
    shape = as_object(core.get("dimensions"))
    shapes = {
        ours: {
            "feature_count": as_object(shape.get(theirs)).get("featureCount"),
            "size": as_object(shape.get(theirs)).get("size"),
        }
        for ours, theirs in (("input_shape", "inputShape"), ("output_shape", "outputShape"))
    }
    destinations = [as_object(item) for item in _values(core.get("destinations"))]
    plain = {
        "leak_enable": "leakEnable",
        "threshold_high": "thresholdHigh",
        "threshold_low": "thresholdLow",
        "return_to_zero": "returnToZero",
        "monitor_enable": "monitorEnable",
    }
    return {
        "core": number,
        "dimensions": {
            **shapes,
            "kernel_size": shape.get("kernelSize"),
            "stride": shape.get("stride"),
            "padding": shape.get("padding"),
        },
        **{ours: core.get(theirs) for ours, theirs in plain.items()},
        "weights": _tensor(core.get("weights")),
        "biases": _tensor(core.get("biases")),
        "neurons_initial_value": _tensor(core.get("neuronsInitialValue")),
        "destinations": [
            {"layer": to.get("layer"), "pooling": to.get("pooling"), "feature_shift": to.get("featureShift")}
            for to in destinations
            if to.get("enable") is not False
        ],
    }


def _tensor(value: Any) -> Any:
    """samna's tensor as nested lists; what is malformed stays as it is, for the neutral form's faults."""
    held = as_object(value)
    shape = whole_array(_values(held.get("dimensions")))
    values = whole_array(held.get("values"))
    if shape is None or values is None or shape.ndim != 1 or values.size != np.prod(shape):
        return value
    return values.reshape(shape).tolist()


@dataclass
class _Core:
    """One core as the file has it, in the order of axes of the dialect."""

    number: int
    taken: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    numbers: dict[str, Array]
    flags: dict[str, bool]
    destinations: list[tuple[int, int, int]]


@dataclass
class _File:
    """The neutral form read with its faults collected, each with its path."""

    faults: list[str] = field(default_factory=list[str])

    def whole(self, where: str, value: Any, default: Any = None) -> int:
        """One whole number; 1 where it is none, which is a fault."""
        if value is None and default is not None:
            return default
        if is_whole(value):
            return int(value)
        self.faults.append(f"{where}: must be a whole number")
        return 1

    def flag(self, where: str, value: Any) -> bool:
        """true or false, false where it is missing."""
        if not isinstance(value, bool | None):
            self.faults.append(f"{where}: must be true or false")
        return value is True

    def array(self, where: str, value: Any, shape: tuple[int, ...]) -> Array:
        """Whole numbers of a shape."""
        values = whole_array(value) if isinstance(value, list) else None
        if values is None or values.shape != shape:
            self.faults.append(f"{where}: must be whole numbers of the shape {'x'.join(map(str, shape))}")
            return np.zeros(shape, np.int32)
        return values

    def pair(self, where: str, value: Any) -> tuple[int, int]:
        """Rows and columns of something with x and y."""
        held = as_object(value)
        return self.whole(f"{where}.y", held.get("y")), self.whole(f"{where}.x", held.get("x"))

    def shape(self, where: str, value: Any) -> tuple[int, int, int]:
        """Features, rows, columns."""
        held = as_object(value)
        features = self.whole(f"{where}.feature_count", held.get("feature_count"))
        return features, *self.pair(f"{where}.size", held.get("size"))

    def cores(self, value: Any) -> list[_Core]:
        """The cores of the list, ascending."""
        if not isinstance(value, list):
            self.faults.append("cnn_layers: must be a list of cores")
            return []
        found = [self.core(f"cnn_layers[{n}]", as_object(item)) for n, item in enumerate(as_list(value))]
        cores = sorted((core for core in found if core is not None), key=lambda core: core.number)
        for one, next_one in pairwise(cores):
            if one.number == next_one.number:
                self.faults.append(f"cnn_layers: core {one.number} is given twice")
        numbers = {core.number for core in cores}
        for core in cores:
            for target, _, _ in core.destinations:
                if target not in numbers and not self.faults:
                    more = ", the readout block, which nirc does not model" if target == 12 else ""
                    self.faults.append(f"core {core.number} sends to {target}{more}: no core of the file")
        return cores

    def core(self, where: str, held: Json) -> _Core | None:
        """One core; None where its shapes are broken, which is a fault."""
        count = len(self.faults)
        number = self.whole(f"{where}.core", held.get("core"))
        shape = as_object(held.get("dimensions"))
        taken = self.shape(f"{where}.dimensions.input_shape", shape.get("input_shape"))
        given = self.shape(f"{where}.dimensions.output_shape", shape.get("output_shape"))
        stride, padding = (self.pair(f"{where}.dimensions.{name}", shape.get(name)) for name in ("stride", "padding"))
        k = self.whole(f"{where}.dimensions.kernel_size", shape.get("kernel_size"))
        if len(self.faults) == count and (min(*taken, *given, *stride, k) < 1 or min(padding) < 0 or k > 1 << 10):
            self.faults.append(f"{where}.dimensions: sizes and strides start at 1, padding at 0")
        if len(self.faults) == count:
            sizes = zip(taken[1:], padding, stride, strict=True)
            places = tuple((n - k + 2 * pad) // step + 1 for n, pad, step in sizes)
            if places != given[1:]:
                told = f"{given[1]}x{given[2]} places, the geometry gives {places[0]}x{places[1]}"
                self.faults.append(f"{where}.dimensions.output_shape: {told}")
        if len(self.faults) > count:
            return None
        features = given[0]
        weights = self.array(f"{where}.weights", held.get("weights"), (features, taken[0], k, k))
        biases = held.get("biases")
        numbers = {
            "weights": np.ascontiguousarray(weights.swapaxes(2, 3)),
            "biases": np.zeros(features, np.int32)
            if biases is None
            else self.array(f"{where}.biases", biases, (features,)),
        }
        for name in ("threshold_high", "threshold_low"):
            numbers[name] = np.asarray(self.whole(f"{where}.{name}", held.get(name)), np.int32)
        if (initial := held.get("neurons_initial_value")) is not None:
            of_columns = (features, given[2], given[1])
            values = self.array(f"{where}.neurons_initial_value", initial, of_columns).swapaxes(1, 2)
            if values.any():
                numbers["initial"] = np.ascontiguousarray(values)
        names = {"return_to_zero": "return_to_zero", "monitor": "monitor_enable", "leak": "leak_enable"}
        flags = {ours: self.flag(f"{where}.{theirs}", held.get(theirs)) for ours, theirs in names.items()}
        destinations = list(self.destinations(where, held.get("destinations")))
        return _Core(number, taken, stride, padding, numbers, flags, destinations)

    def destinations(self, where: str, value: Any) -> Iterator[tuple[int, int, int]]:
        """The enabled ones: core, pooling, feature shift."""
        for n, item in enumerate(as_list(value)):
            to, path = as_object(item), f"{where}.destinations[{n}]"
            if self.flag(f"{path}.enable", to.get("enable")) or "enable" not in to:
                yield (
                    self.whole(f"{path}.layer", to.get("layer")),
                    self.whole(f"{path}.pooling", to.get("pooling"), 1),
                    self.whole(f"{path}.feature_shift", to.get("feature_shift"), 0),
                )


def _network(file: _File, cores: list[_Core], chip: str, entries: Any, layers: Json) -> speck.NetworkOp:
    by_number = {core.number: core for core in cores}
    order, closing = depth_first(sorted(by_number), lambda n: [to for to, _, _ in by_number[n].destinations])
    if closing:
        raise DiagnosticException("\n".join(f"core {a} -> core {b} closes a cycle of cores" for a, b in closing))
    names, linear = _names(by_number, layers)
    ops = [
        speck.CoreOp(
            names[core.number],
            linear[core.number],
            core.taken,
            {name: dense(values) for name, values in core.numbers.items()},
            core.stride,
            core.padding,
            [speck.DestinationAttr.of(names[to], pooling, shift) for to, pooling, shift in core.destinations],
            core.number,
            return_to_zero=core.flags["return_to_zero"],
            monitor=core.flags["monitor"],
            leak=core.flags["leak"],
        )
        for core in (by_number[n] for n in order)
    ]
    fed = {to for core in cores for to, _, _ in core.destinations}
    told = [n for n in as_list(entries) if is_whole(n) and n in by_number]
    entry = [n for n in sorted(by_number) if n in (told if told else by_number.keys() - fed)]
    inputs = _ports(layers.get("inputs"), {n: by_number[n].taken for n in entry}, names, "input")
    exits = {
        n: op.given
        for n, op in sorted(zip(order, ops, strict=True), key=lambda item: item[0])
        if by_number[n].flags["monitor"]
    }
    outputs = _ports(layers.get("outputs"), exits, names, "output")
    return speck.NetworkOp("main", chip, inputs, outputs, Region(Block(ops)))


def _names(cores: dict[int, _Core], layers: Json) -> tuple[dict[int, str], dict[int, list[str]]]:
    """nirc's names of the layers and of the nodes behind their weights, where the file has sound ones."""
    held = [as_object(item) for item in as_list(layers.get("cores"))]
    known = {item.get("core"): item for item in held if isinstance(item.get("node"), str)}
    if known.keys() != cores.keys() or len({item["node"] for item in held}) != len(cores):
        return {n: f"core{n}" for n in cores}, {n: [] for n in cores}
    linear = {n: [name for name in as_list(known[n].get("linear")) if isinstance(name, str)] for n in cores}
    return {n: known[n]["node"] for n in cores}, linear


def _ports(told: Any, cores: dict[int, tuple[int, int, int]], names: dict[int, str], what: str) -> list[speck.PortAttr]:
    """The ports that the file names where they fit, else one for each of these cores."""
    found = list[speck.PortAttr]()
    for item in map(as_object, as_list(told)):
        node, core, shape = item.get("node"), item.get("core"), whole_array(item.get("shape"))
        if not isinstance(node, str) or core not in cores or shape is None or np.prod(shape) != np.prod(cores[core]):
            break
        found.append(speck.PortAttr.of(node, names[core], shape.tolist()))
    if found and len(found) == len(as_list(told)):
        return found
    # Cores of one shape that read the input read the same one.
    single = len(cores) == 1 or (what == "input" and len(set(cores.values())) == 1)
    return [
        speck.PortAttr.of(what if single else f"{what}_core{core}", names[core], shape) for core, shape in cores.items()
    ]
