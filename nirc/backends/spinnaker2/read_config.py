"""Reads `nirc.spinnaker2/1` JSON back.

What py-spinnaker2 would ignore in silence, or what its fields cannot hold, is a fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from nirc.backends.json_config import Json, as_list, as_object, is_whole, parsed, restore_notes, whole_array
from nirc.backends.spinnaker2.emit import SCHEMA
from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import Array, Dense, dense
from nirc.dialects.nir import integers, quote
from nirc.passes.spinnaker2_check_limits import violations

_WINDOWS = (
    *("in_height", "in_width", "stride_x", "stride_y", "pool_x", "pool_y"),
    *("pad_top", "pad_bottom", "pad_left", "pad_right"),
)
"""The parameters of a convolution, all of them needed."""


def is_spinnaker2(content: Json) -> bool:
    """Whether a JSON object looks like a network for this chip."""
    return str(content.get("schema")).startswith("nirc.spinnaker2/")


def read_config(text: str, chip: str | None = None) -> ModuleOp:
    """A file's text becomes a module with one quantized `spinnaker2.network`.

    Raises DiagnosticException with everything that is missing, malformed or beyond what the chip's fields hold.
    """
    held = parsed(text, f"a network for SpiNNaker2 is a JSON object with 'schema': '{SCHEMA}'")
    if held.get("schema") != SCHEMA:
        raise DiagnosticException(f"schema {held.get('schema')!r}, must be '{SCHEMA}'")
    file = _File(held)
    populations = file.populations()
    projections = file.projections()
    inputs, outputs = (file.ports(what, populations) for what in ("inputs", "outputs"))
    file.refuse()
    integrator, name = held.get("integrator"), held.get("name")
    network = s2.NetworkOp(
        name if isinstance(name, str) and name else "main",
        inputs,
        outputs,
        Region(Block([*populations, *projections])),
        integrator if isinstance(integrator, str) else None,
    )
    try:
        network.verify()
    except VerifyException as error:
        raise DiagnosticException(str(error)) from None
    module = ModuleOp([network])
    restore_notes(module, {"dt": held.get("dt"), **file.notes})
    if faults := list(violations(network)):
        raise DiagnosticException("\n".join(faults))
    return module


@dataclass
class _File:
    """The file with its faults collected, each with its path."""

    held: Json
    faults: list[str] = field(default_factory=list[str])

    @property
    def notes(self) -> Json:
        """What nirc added."""
        return as_object(self.held.get("nirc"))

    def refuse(self) -> None:
        """Raise DiagnosticException where there are faults."""
        if self.faults:
            raise DiagnosticException("\n".join(self.faults))

    def text(self, where: str, value: Any) -> str:
        """A name."""
        if isinstance(value, str) and value:
            return value
        self.faults.append(f"{where}: must be a text")
        return where

    def whole(self, where: str, value: Any) -> int:
        """One whole number; 1 where it is none, which is a fault."""
        if is_whole(value):
            return int(value)
        self.faults.append(f"{where}: must be a whole number")
        return 1

    def real(self, where: str, value: Any, dtype: type[np.floating[Any]]) -> Dense | None:
        """One number, or a list of numbers."""
        values = _reals(value)
        if values is None:
            self.faults.append(f"{where}: must be a number, or a list of numbers, all finite in float32")
            return None
        return dense(values.astype(dtype))

    def verified(self, where: str, op: Operation, count: int) -> Operation:
        """The op; where it has had no faults so far, those of its own."""
        if len(self.faults) == count:
            try:
                op.verify()
            except VerifyException as error:
                self.faults.append(f"{where}: {error}")
        return op

    def populations(self) -> list[s2.PopulationOp]:
        """The populations in order."""
        found, names = list[s2.PopulationOp](), set[str]()
        if not as_list(self.held.get("populations")):
            self.faults.append("populations: must be a list of populations")
        for n, item in enumerate(map(as_object, as_list(self.held.get("populations")))):
            count = len(self.faults)
            name = self.text(f"populations[{n}].name", item.get("name"))
            where = f"populations[{n}] {quote(name)}"
            if name in names:
                self.faults.append(f"{where}: the name is given twice")
            names.add(name)
            model = item.get("neuron_model")
            if model not in s2.PARAMETERS:
                self.faults.append(f"{where} neuron_model: {model!r} is not one of {', '.join(s2.PARAMETERS)}")
                model = s2.SOURCE
            op = self.population(where, name, model, item)
            self.verified(where, op, count)
            found.append(op)
        return found

    def population(self, where: str, name: str, model: str, item: Json) -> s2.PopulationOp:
        """One population."""
        params, about = as_object(item.get("params")), as_object(item.get("nir"))
        size = max(self.whole(f"{where} size", item.get("size")), 1)
        known = (*s2.PARAMETERS[model], *(() if model == s2.SOURCE else ("reset",)))
        if unknown := [key for key in params if key not in known]:
            told = "which py-spinnaker2 would ignore in silence"
            self.faults.append(f"{where} params: {model} has no {', '.join(unknown)}, {told}")
        numbers = {
            key: self.real(f"{where} {key}", params[key], np.float32) for key in s2.PARAMETERS[model] if key in params
        }
        for key in s2.PopulationOp.SCALES:
            if about.get(key) is not None:
                numbers[key] = self.real(f"{where} nir.{key}", about[key], np.float64)
        shape = [int(side) for side in as_list(about.get("shape")) if is_whole(side)]
        reset, atoms, node, late = (
            params.get("reset"),
            item.get("max_atoms_per_core"),
            about.get("node"),
            about.get("late"),
        )
        latency = as_object(self.held.get("latency")).get(name)
        return s2.PopulationOp(
            name,
            shape if shape and math.prod(shape) == size else [size],
            model,
            numbers,
            node=node if isinstance(node, str) else None,
            reset=reset if isinstance(reset, str) else None,
            record=[self.text(f"{where} record", each) for each in as_list(item.get("record"))],
            max_atoms_per_core=None if atoms is None else self.whole(f"{where} max_atoms_per_core", atoms),
            late=int(late) if is_whole(late) else None,
            latency=int(latency) if is_whole(latency) else None,
        )

    def projections(self) -> list[Operation]:
        """The projections in order."""
        found = list[Operation]()
        for n, item in enumerate(map(as_object, as_list(self.held.get("projections")))):
            count = len(self.faults)
            pre, post = (self.text(f"projections[{n}].{end}", item.get(end)) for end in ("pre", "post"))
            name = self.text(f"projections[{n}].name", item.get("name", f"{pre}->{post}"))
            where = f"projections[{n}] {quote(name)}"
            told = as_list(as_object(self.notes.get("projections")).get(name))
            nodes = [node for node in told if isinstance(node, str)]
            kinds = {"list": self.list_projection, "conv2d": self.conv2d}
            if item.get("kind") not in kinds:
                self.faults.append(f"{where} kind: {item.get('kind')!r} is not one of {', '.join(kinds)}")
                continue
            op = kinds[str(item.get("kind"))](where, (name, pre, post), nodes, item)
            if op is not None:
                found.append(self.verified(where, op, count))
        return found

    def list_projection(
        self, where: str, names: tuple[str, str, str], nodes: list[str], item: Json
    ) -> s2.ListProjectionOp | None:
        """Synapse by synapse."""
        rows = whole_array(item.get("connections"))
        if rows is None or rows.ndim != 2 or rows.shape[1] != 4 or not len(rows):
            self.faults.append(f"{where} connections: must be a list of [source, target, weight, delay], whole numbers")
            return None
        pairs, weights, delays = (np.ascontiguousarray(rows[:, part]) for part in (slice(2), 2, 3))
        waits = dense(delays) if delays.any() else None
        return s2.ListProjectionOp(*names, nodes, dense(weights), connections=dense(pairs), delays=waits)

    def conv2d(
        self, where: str, names: tuple[str, str, str], nodes: list[str], item: Json
    ) -> s2.Conv2dProjectionOp | None:
        """A convolution."""
        weights, params = whole_array(item.get("weights")), as_object(item.get("params"))
        if weights is None or weights.ndim != 4:
            self.faults.append(f"{where} weights: must be [channels][features][rows][columns], whole numbers")
            return None
        if wrong := sorted({*params} ^ {*_WINDOWS}):
            self.faults.append(f"{where} params: {', '.join(wrong)} is missing or unknown")
            return None
        number = {key: self.whole(f"{where} {key}", params[key]) for key in _WINDOWS}
        for key in ("stride", "pool"):
            if number[f"{key}_x"] != number[f"{key}_y"]:
                told = f"{number[f'{key}_x']} and {number[f'{key}_y']}"
                self.faults.append(f"{where} {key}: {told}; which is rows is not settled, they must be equal")
        return s2.Conv2dProjectionOp.of(
            *names,
            nodes,
            dense(weights),
            (number["in_height"], number["in_width"]),
            number["stride_x"],
            number["pool_x"],
            [number[key] for key in _WINDOWS[6:]],
        )

    def ports(self, what: str, populations: list[s2.PopulationOp]) -> list[s2.PortAttr]:
        """The ports that nirc wrote, else one for each population that the file names."""
        known, found = {op.population.data: op for op in populations}, list[s2.PortAttr]()
        names = as_list(self.held.get(what))
        for name in names:
            if name not in known:
                self.faults.append(f"{what}: {name!r} is no population")
        for item in map(as_object, as_list(self.notes.get(what))):
            node, of, shape = item.get("node"), item.get("population"), whole_array(item.get("shape"))
            if isinstance(node, str) and of in known and of in names and shape is not None:
                found.append(s2.PortAttr.of(node, str(of), shape.tolist()))
        told = {port.population.data for port in found}
        for name in names:
            if name in known and name not in told:
                found.append(s2.PortAttr.of(name, name, integers(known[name].shape)))
        return list({port.node.data: port for port in found}.values())


def _reals(value: Any) -> Array | None:
    """A number or a list of numbers; None where they are anything else, or not finite in float32."""
    try:
        values = np.array(value, dtype=None)
    except (ValueError, OverflowError):
        return None
    if values.dtype.kind not in "iuf" or values.ndim > 1 or not values.size:
        return None
    with np.errstate(over="ignore"):
        return values.astype(np.float64) if np.isfinite(values.astype(np.float32)).all() else None
