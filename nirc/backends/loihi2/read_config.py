"""Reads networks of Lava processes back: `nirc-loihi2` JSON.

Lava checks no range; what it takes all the same, and computes with, is read, and told in a note. What makes it crash
or wrap in silence is a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import Attribute, Block, Operation, Region
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from nirc.backends.json_config import Json, as_list, as_object, is_whole, parsed, restore_notes, whole_array
from nirc.dialects import loihi2
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import assume, quote
from nirc.passes.loihi2_check_limits import violations

FORMAT = "nirc-loihi2"

_INT16 = (-(2**15), 2**15 - 1)
"""Lava keeps bias_mant in 16 bits."""


def is_loihi2(content: Json) -> bool:
    """Whether a JSON object looks like a network for this chip."""
    return content.get("format") == FORMAT


def read_config(text: str, chip: str | None = None) -> ModuleOp:
    """A file's text becomes a module with one integer `loihi2.network`.

    Raises DiagnosticException with everything that is missing, malformed, or that Lava would wrap or crash on.
    """
    held = parsed(text, f"a network for Loihi 2 is a JSON object with 'format': '{FORMAT}'")
    if held.get("format") != FORMAT or held.get("version") != 1:
        raise DiagnosticException(
            f"format {held.get('format')!r}, version {held.get('version')!r}, must be {FORMAT}, 1"
        )
    file = _File(held)
    ops = file.processes()
    ops += file.connections()
    outputs = file.outputs([op for op in ops if isinstance(op, loihi2.NeuronsOp)])
    file.refuse()
    return module_of(loihi2.NetworkOp("main", outputs, Region(Block(ops))), {"dt": held.get("dt"), **file.notes})


def module_of(network: loihi2.NetworkOp, notes: Json, limits: loihi2.Loihi2Limits = loihi2.LIMITS) -> ModuleOp:
    """The module of a network that was read, with the file's notes and what it does beyond the fields' ranges."""
    try:
        network.verify()
    except VerifyException as error:
        raise DiagnosticException(str(error)) from None
    module = ModuleOp([network])
    restore_notes(module, notes)
    for violation in violations(network, limits):
        assume(module, "note", "limits", f"{violation}; it runs as in Lava's simulator, which checks nothing")
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

    def whole(self, where: str, value: Any, default: int | None = None) -> int:
        """One whole number; 1 where it is none, which is a fault."""
        if value is None and default is not None:
            return default
        if is_whole(value):
            return int(value)
        self.faults.append(f"{where}: must be a whole number")
        return 1

    def text(self, where: str, value: Any) -> str:
        """A name."""
        if isinstance(value, str) and value:
            return value
        self.faults.append(f"{where}: must be a text")
        return where

    def array(self, where: str, value: Any, default: int | None = None) -> Array:
        """Whole numbers in nested lists, or one."""
        if value is None and default is not None:
            return np.asarray(default, np.int32)
        values = whole_array(value) if isinstance(value, list | int | float) else None
        if values is None:
            self.faults.append(f"{where}: must be whole numbers of 32 bits, in lists of equal length")
            return np.zeros((), np.int32)
        return values

    def shape(self, where: str, value: Any, axes: int | None = None) -> tuple[int, ...]:
        """Sizes of axes."""
        values = [int(n) for n in as_list(value) if is_whole(n)]
        if not values or len(values) != len(as_list(value)) or (axes or len(values)) != len(values):
            self.faults.append(f"{where}: must be a list of {axes or ''} whole numbers".replace("  ", " "))
            return (1,) * (axes or 1)
        return tuple(values)

    def pair(self, where: str, value: Any, default: int) -> tuple[int, int]:
        """x and y; one number is both."""
        if value is None or is_whole(value):
            one = default if value is None else int(value)
            return one, one
        x, y = self.shape(where, value, 2)
        return x, y

    def processes(self) -> list[Operation]:
        """The processes in order."""
        makers: dict[str, Callable[[str, str, Json], loihi2.ProcessOp]] = {
            "Input": self.input,
            "Conv": self.conv,
            **dict.fromkeys(("Dense", "Sparse", "DelayDense"), self.matrix),
            **dict.fromkeys(("LIF", "LIFReset"), self.neurons),
        }
        ops, names = list[Operation](), set[str]()
        if not as_list(self.held.get("processes")):
            self.faults.append("processes: must be a list of processes")
        for n, item in enumerate(map(as_object, as_list(self.held.get("processes")))):
            where, kind = f"processes[{n}]", item.get("type")
            name = self.text(f"{where}.name", item.get("name"))
            if name in names:
                self.faults.append(f"{where}.name: {quote(name)} is given twice")
            names.add(name)
            if kind not in makers:
                self.faults.append(f"{where}.type: {kind!r} is not one of {', '.join(makers)}")
                continue
            count = len(self.faults)
            op = makers[kind](f"{where} {quote(name)}", name, item)
            if len(self.faults) == count:
                try:
                    op.verify()
                except VerifyException as error:
                    self.faults.append(f"{where}: {error}")
            ops.append(op)
        return ops

    def input(self, where: str, name: str, item: Json) -> loihi2.ProcessOp:
        """An Input."""
        return loihi2.InputOp(name, self.shape(f"{where} shape", item.get("shape")))

    def nodes(self, name: str) -> list[str]:
        """The NIR nodes of a connection process."""
        told = as_object(as_object(self.notes.get("processes")).get(name)).get("nodes")
        return [node for node in as_list(told) if isinstance(node, str)]

    def matrix(self, where: str, name: str, item: Json) -> loihi2.ProcessOp:
        """A Dense, Sparse or DelayDense."""
        weights = self.array(f"{where} weights", item.get("weights"))
        signs = item.get("sign_mode")
        if signs not in (None, "NULL", *loihi2.SIGN_MODES):
            self.faults.append(f"{where} sign_mode: {signs!r} is not one of {', '.join(loihi2.SIGN_MODES)}")
        kinds: dict[Any, type[loihi2.MatrixOp]] = {
            "Dense": loihi2.DenseOp,
            "Sparse": loihi2.SparseOp,
            "DelayDense": loihi2.DelayDenseOp,
        }
        more = dict[str, Attribute]()
        if item.get("type") == "DelayDense":
            delays = self.array(f"{where} delays", item.get("delays"))
            try:
                more["delays"] = dense(np.ascontiguousarray(np.broadcast_to(delays, weights.shape)))
            except ValueError:
                self.faults.append(f"{where} delays: must be one number, or one for each weight")
                more["delays"] = dense(np.zeros(weights.shape, np.int32))
            if delays.size and (delays.min() < 0 or delays.max() > 63):
                self.faults.append(f"{where} delays: {delays.max()} steps, Lava takes 0 to 63")
        return kinds[item.get("type")](
            name,
            self.nodes(name),
            dense(weights),
            self.whole(f"{where} weight_exp", item.get("weight_exp"), 0),
            self.whole(f"{where} num_weight_bits", item.get("num_weight_bits"), 8),
            signs if signs in loihi2.SIGN_MODES else None,
            self.whole(f"{where} num_message_bits", item.get("num_message_bits"), 0),
            **more,
        )

    def conv(self, where: str, name: str, item: Json) -> loihi2.ProcessOp:
        """A Conv."""
        weight = self.array(f"{where} weight", item.get("weight"))
        if item.get("weight_exp") not in (None, 0):
            self.faults.append(f"{where} weight_exp: {item.get('weight_exp')!r}, which Lava ignores; must be 0")
        windows = {
            key: self.pair(f"{where} {key}", item.get(key), default)
            for key, default in (("stride", 1), ("padding", 0), ("dilation", 1))
        }
        groups = self.whole(f"{where} groups", item.get("groups"), 1)
        for key, values in {**windows, "groups": (groups,), "kernel": weight.shape[1:3]}.items():
            if max(values, default=0) > loihi2.LIMITS.kernel:
                self.faults.append(f"{where} {key}: {max(values)}, which Lava wraps to 8 bits; at most 127")
        shape = self.shape(f"{where} input_shape", item.get("input_shape"), 3)
        bits = self.whole(f"{where} num_message_bits", item.get("num_message_bits"), 0)
        return loihi2.ConvOp(
            name, self.nodes(name), dense(weight), shape, **windows, groups=groups, num_message_bits=bits
        )

    def neurons(self, where: str, name: str, item: Json) -> loihi2.ProcessOp:
        """A LIF or LIFReset."""
        shape = self.shape(f"{where} shape", item.get("shape"))
        numbers = {key: self.array(f"{where} {key}", item.get(key)) for key in ("du", "dv", "vth")}
        numbers |= {key: self.array(f"{where} {key}", item.get(key), 0) for key in ("bias_mant", "bias_exp")}
        numbers |= {key: self.array(f"{where} {key}", item[key]) for key in ("u", "v") if item.get(key) is not None}
        mant, exp = numbers["bias_mant"], numbers["bias_exp"]
        if mant.size and not _INT16[0] <= mant.min() <= mant.max() <= _INT16[1]:
            self.faults.append(f"{where} bias_mant: {mant.min()} to {mant.max()}, which Lava wraps to 16 bits")
        if exp.size and np.abs(exp).max() > 15:
            self.faults.append(f"{where} bias_exp: {exp.min()} to {exp.max()}, must be a shift within 15 bits")
        told = as_object(as_object(self.held.get("neurons")).get(name))
        ours = as_object(as_object(self.notes.get("processes")).get(name))
        scales = {key: told.get(f"v_{key}") for key in ("scale", "offset")}
        members = whole_array(ours.get("members")) if "members" in ours else None
        node_shape = None
        if members is not None:
            node_shape = self.shape(where, ours.get("node_shape"))
        node = ours.get("node")
        more = dict[str, Attribute]()
        if item.get("type") == "LIFReset":
            more = {
                key: IntegerAttr(self.whole(f"{where} {key}", item.get(key)), i64)
                for key in ("reset_interval", "reset_offset")
            }
        latency = told.get("latency")
        return (loihi2.LIFResetOp if more else loihi2.LIFOp)(
            name,
            shape,
            {
                **{key: dense(values) for key, values in numbers.items()},
                **{
                    f"v_{key}": dense(np.asarray(value, np.float64))
                    for key, value in scales.items()
                    if isinstance(value, int | float | list)
                },
            },
            node if isinstance(node, str) else None,
            int(latency) if is_whole(latency) else None,
            None if members is None else dense(members),
            node_shape,
            silent=told.get("spiking") is False,
            **more,
        )

    def connections(self) -> list[Operation]:
        """The connections in order."""
        ops = list[Operation]()
        for n, item in enumerate(map(as_object, as_list(self.held.get("connections")))):
            where = f"connections[{n}]"
            ends = [self.text(f"{where}.{key}", item.get(key)) for key in ("src", "dst")]
            transforms = [self.transform(where, as_object(step)) for step in as_list(item.get("transform"))]
            ops.append(loihi2.ConnectOp(ends[0], ends[1], transforms))
        return ops

    def transform(self, where: str, item: Json) -> loihi2.TransformAttr:
        """One transform of a connection."""
        if item.get("flatten") is True:
            return loihi2.TransformAttr.of("flatten")
        for kind in ("transpose", "reshape"):
            if kind in item:
                return loihi2.TransformAttr.of(kind, self.shape(f"{where}.transform.{kind}", item[kind]))
        self.faults.append(f"{where}.transform: must be one of transpose, flatten, reshape")
        return loihi2.TransformAttr.of("flatten")

    def outputs(self, neurons: list[loihi2.NeuronsOp]) -> list[loihi2.PortAttr]:
        """The ports that nirc wrote, else one for each population that the file names."""
        nodes = {op.node.data: op for op in neurons}
        found = list[loihi2.PortAttr]()
        for item in map(as_object, as_list(self.notes.get("outputs"))):
            node, of, shape = item.get("node"), item.get("neurons"), whole_array(item.get("shape"))
            if isinstance(node, str) and of in nodes and shape is not None:
                found.append(loihi2.PortAttr.of(node, str(of), shape.tolist()))
        if found:
            return found
        by_process = {op.process.data: op for op in neurons}
        for name in as_list(self.held.get("outputs")):
            if name not in by_process:
                self.faults.append(f"outputs: {name!r} is no LIF of the file")
            else:
                op = by_process[name]
                found.append(loihi2.PortAttr.of(op.node.data, op.node.data, op.whole_shape()))
        return list({port.node.data: port for port in found}.values())
