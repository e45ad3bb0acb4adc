"""Reads lava-dl's netx files (`.net`, HDF5): chains of layers that Lava users load without nirc.

A layer's neurons are CUBA: du = iDecay - 1, dv = vDecay, vth = vThMant, bias_mant = bias, bias_exp = 6; everything is
truncated to whole numbers, weights of both signs are clipped to [-256, 254]. Dense weights are shifted left to the full
width and their sums back, so that odd ones keep their lowest bit. What netx cannot load is refused here too. In files
of nirc's own, `nirc` has the names of the model's nodes. Source: lava-dl 0.6.0 as nirc's specification of Loihi 2,
section 1.2, states it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import Attribute, Block, Operation, Region
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from nirc.backends.json_config import Json, as_list, as_object, is_whole, parsed, whole_array
from nirc.backends.loihi2.read_config import module_of
from nirc.dialects import loihi2
from nirc.dialects.dense import Array, dense
from nirc.dialects.loihi2 import LIMITS, TransformAttr
from nirc.passes.loihi2_quantize import NETX_BIAS_EXP

TO_VECTOR = (TransformAttr.of("transpose", (2, 1, 0)), TransformAttr.of("flatten"))
"""From images to the vector of NIR's order."""

_NEURONS = ("CUBA", "LOIHI")

_LIMITS = replace(LIMITS, weight_exp=(-8, LIMITS.weight_exp[1]))
"""netx itself gives negative exponents, and runs them on boards."""


def netx_format(weights: Array) -> tuple[int, int, str]:
    """How netx keeps a layer's dense weights: by how many bits it shifts them up, of how many they are, sign mode.

    With all weights of a layer together (weight and weight_rec): INHIBITORY where all are below 0, EXCITATORY where
    none is, else MIXED;

        shift = floor(log2(127 / max, 128 / -min the smaller)) + 1 (MIXED), else floor(log2(255 / max or 256 / -min))
        bits = 8 - shift - n (+ 1, MIXED), 2^n the largest power up to 2^8 that divides all of them

    Raises ValueError where netx crashes, or the chip would have other weights than these.
    """
    low, high = int(weights.min()), int(weights.max())
    if low == high == 0:
        raise ValueError("all weights are 0, on which netx crashes")
    signs = "INHIBITORY" if high < 0 else "EXCITATORY" if low >= 0 else "MIXED"
    least, most = {"MIXED": (-256, 254), "EXCITATORY": (0, 255), "INHIBITORY": (-255, 0)}[signs]
    if not least <= low <= high <= most:
        raise ValueError(f"weights from {low} to {high}, netx keeps {least} to {most}")
    mixed, ends = signs == "MIXED", ((127 if signs == "MIXED" else 255, high), (128 if signs == "MIXED" else 256, -low))
    scale = min(most / end for most, end in ends if end > 0)
    shift = math.floor(math.log2(scale)) + mixed
    if low << shift < least:
        raise ValueError(
            f"weights all negative and from {low}: netx shifts them to {low << shift} and clips at {least}"
        )
    n = next((n for n in range(8, 0, -1) if not np.any(weights % (1 << n))), 0)
    bits = 8 - shift - n + mixed
    if not LIMITS.weight_bits[0] <= bits <= LIMITS.weight_bits[1]:
        raise ValueError(f"odd weights of both signs above 127 take {bits} bits, which the chip does not have")
    return shift, bits, signs


def read_net(path: str, reset_interval: int | None = None, reset_offset: int = 0) -> ModuleOp:
    """A file becomes a module with one `loihi2.network`; layers are named by their numbers, the input `input`.

    reset_interval: neurons are LIFReset, each layer's a step after the one before, as netx has it.
    Raises DiagnosticException with everything that netx could not load, or that nirc does not know.
    """
    try:
        with h5py.File(path, "r") as file:
            layers = [_Layer(n, item) for n, item in enumerate(_layers(file))]
            told = _notes(file)
    except OSError as error:
        raise DiagnosticException(f"cannot be read as HDF5: {error}") from error
    chain = _Chain(None if reset_interval is None else (reset_interval, reset_offset), told)
    for layer in layers:
        chain.add(layer)
    if not layers:
        chain.faults.append("no group 'layer' with layers 0, 1, ...: no netx file")
    if chain.faults or not chain.last:
        raise DiagnosticException("\n".join(chain.faults or ["no layer has neurons"]))
    network = loihi2.NetworkOp("main", [chain.output()], Region(Block([*chain.ops, *chain.wiring])))
    return module_of(network, told, _LIMITS)


def _notes(file: Any) -> Json:
    """What nirc wrote beside the layers."""
    text: Any = file["nirc"][()] if "nirc" in file else b"{}"
    try:
        return parsed(text.decode() if isinstance(text, bytes) else str(text), "nirc's notes are a JSON object")
    except (DiagnosticException, UnicodeDecodeError):
        return {}


def _layers(file: Any) -> list[Any]:
    group: Any = file.get("layer", {})
    return [group[str(n)] for n in range(len(group)) if str(n) in group]


def _told_shape(told: Json, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in the model, where nirc's notes have one of as many values."""
    whole = whole_array(told.get("shape"))
    same = whole is not None and whole.ndim == 1 and math.prod(whole.tolist()) == math.prod(shape)
    return tuple(whole.tolist()) if whole is not None and same else shape


class _Layer:
    """A layer's fields as plain values."""

    def __init__(self, number: int, group: Any):
        self.number = number
        self.kind = _text(group["type"][()]) if "type" in group else ""
        self.fields: dict[str, Array] = {
            name: np.asarray(item[()]) for name, item in group.items() if name not in ("type", "neuron")
        }
        neuron: Any = group.get("neuron", {})
        self.neuron: dict[str, Any] = {name: item[()] for name, item in neuron.items()}

    def whole(self, name: str) -> Array | None:
        """A field, truncated."""
        return np.trunc(self.fields[name]).astype(np.int32) if name in self.fields else None

    def weights(self) -> Array:
        """The weights, which a layer that has any must have."""
        if (found := self.whole("weight")) is None:
            raise KeyError("weight")
        return found

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """x and y of a field that is (rows, columns) or one number."""
        values = self.whole(name)
        y, x = np.broadcast_to(default if values is None else values.ravel(), 2).tolist()
        return x, y


def _text(value: Any) -> str:
    """netx's strings: an array of one, bytes, or a string."""
    value = np.asarray(value).ravel()[0]
    return value.decode() if isinstance(value, bytes) else str(value)


class _Chain:
    """The layers so far."""

    def __init__(self, reset: tuple[int, int] | None, told: Json):
        self.reset = reset
        self.told = as_object(told.get("layers"))
        self.port = as_object(next(iter(as_list(told.get("outputs"))), None))
        self.entry = as_object(told.get("input"))
        name = self.entry.get("name")
        self.input_name = name if isinstance(name, str) and name else "input"
        self.faults = list[str]()
        self.ops = list[Operation]()
        self.wiring = list[Operation]()
        self.last: loihi2.NeuronsOp | None = None
        self.shape: tuple[int, ...] = ()
        self.index = 0
        """The layer's number, Flattens left out, as netx counts them."""

    def add(self, layer: _Layer) -> None:
        """One more layer."""
        adders = {
            "input": self.input,
            "flatten": self.flatten,
            "dense": self.dense,
            "dense_rec": self.dense,
            "conv": self.conv,
        }
        if layer.kind not in adders:
            self.fail(layer, f"type '{layer.kind}' is not one of {', '.join(adders)}; netx loads no other chain")
            return
        if (layer.number == 0) != (layer.kind == "input"):
            self.fail(layer, "the first layer, and no other, is the input")
            return
        try:
            adders[layer.kind](layer)
        except (KeyError, ValueError, VerifyException) as error:
            self.fail(layer, f"missing or malformed: {error}")
        self.index += 1

    def output(self) -> loihi2.PortAttr:
        """The last layer's."""
        assert self.last is not None
        name, shape = self.port.get("node"), self.last.whole_shape()
        return loihi2.PortAttr.of(
            name if isinstance(name, str) else "output", self.last.node.data, _told_shape(self.port, shape)
        )

    def fail(self, layer: _Layer, why: str) -> None:
        self.faults.append(f"layer {layer.number}: {why}")

    def input(self, layer: _Layer) -> None:
        self.shape = tuple(int(n) for n in layer.fields["shape"].ravel())
        self.shape = _told_shape(self.entry, self.shape)
        self.ops.append(loihi2.InputOp(self.input_name, self.shape))
        if layer.neuron:
            images = len(self.shape) == 3
            shape = self.shape[::-1] if images else self.shape
            turned = [TransformAttr.of("transpose", (2, 1, 0))] if images else []
            self.neurons(layer, shape, None)
            self.wiring.append(loihi2.ConnectOp(self.input_name, "0", turned))

    def flatten(self, layer: _Layer) -> None:
        """The next layer sees a vector in any case."""
        assert layer.kind == "flatten"
        self.index -= 1

    def dense(self, layer: _Layer) -> None:
        weights = layer.weights()
        weights = weights.reshape(1, -1) if weights.ndim == 1 else weights
        recurrent = layer.whole("weight_rec")
        if layer.kind == "dense_rec" and (recurrent is None or "delay" in layer.fields):
            self.fail(layer, "dense_rec has weight_rec and no delay; netx fails to load it otherwise")
            return
        given = [w for w in (weights, recurrent) if w is not None]
        together = np.concatenate([w.ravel() for w in given])
        if together.min() < 0 < together.max():
            given = [np.clip(w, -256, 254) for w in given]
            together = np.clip(together, -256, 254)
        try:
            shift, bits, signs = netx_format(together)
        except ValueError as error:
            self.fail(layer, str(error))
            return
        name = str(layer.number)
        for w, process, source in zip(given, (f"{name}.weight", f"{name}.weight_rec"), (None, name), strict=False):
            content, delays = dense(w << shift), self.delays(layer, w)
            if delays is None:
                self.ops.append(loihi2.DenseOp(process, [], content, -shift, bits, signs))
            else:
                op = loihi2.DelayDenseOp(process, [], content, -shift, bits, signs, delays=dense(delays))
                self.ops.append(op)
            self.wiring.append(loihi2.ConnectOp(source, process) if source else self.from_last(process, vector=True))
            self.wiring.append(loihi2.ConnectOp(process, name))
        self.neurons(layer, (len(weights),), layer.whole("bias"))

    def delays(self, layer: _Layer, weights: Array) -> Array | None:
        """Per synapse; one number a row goes before one a column."""
        found = layer.whole("delay")
        if found is None:
            return None
        found = np.minimum(found, loihi2.LIMITS.delay[1])
        if found.ndim == 1 and len(found) == len(weights):
            found = found[:, None]
        return np.ascontiguousarray(np.broadcast_to(found, weights.shape).astype(np.int32))

    def conv(self, layer: _Layer) -> None:
        weight = layer.weights()
        weight = weight[..., 0] if weight.ndim == 5 else weight
        turned = np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))
        name = str(layer.number)
        taken = self.last.given if self.last is not None else self.shape[::-1]
        groups = layer.whole("groups")
        op = loihi2.ConvOp(
            f"{name}.weight",
            [],
            dense(turned),
            taken,
            layer.pair("stride", 1),
            layer.pair("padding", 0),
            layer.pair("dilation", 1),
            1 if groups is None else int(groups),
        )
        op.verify()
        self.ops.append(op)
        self.wiring.append(self.from_last(f"{name}.weight", vector=False))
        self.wiring.append(loihi2.ConnectOp(f"{name}.weight", name))
        bias = layer.whole("bias")
        if bias is not None and bias.size > 1:
            bias = np.broadcast_to(bias.ravel(), op.given) if bias.size == op.given[-1] else bias.reshape(op.given)
        self.neurons(layer, op.given, bias)

    def from_last(self, process: str, *, vector: bool) -> loihi2.ConnectOp:
        """From the population before, or from the input, which stands in the order of NIR."""
        if self.last is not None:
            return loihi2.ConnectOp(
                self.last.process.data, process, TO_VECTOR if vector and len(self.last.given) == 3 else ()
            )
        if len(self.shape) == 1:
            return loihi2.ConnectOp(self.input_name, process)
        flat = TransformAttr.of("flatten")
        return loihi2.ConnectOp(
            self.input_name, process, [flat if vector else TransformAttr.of("transpose", (2, 1, 0))]
        )

    def neurons(self, layer: _Layer, shape: tuple[int, ...], bias: Array | None) -> None:
        """A layer's population."""
        neuron = layer.neuron
        kind = _text(neuron["type"]) if "type" in neuron else "none"
        if kind not in _NEURONS:
            self.fail(layer, f"neurons of type '{kind}', nirc reads {' and '.join(_NEURONS)}")
            return
        values = {"du": int(neuron["iDecay"]) - 1, "dv": int(neuron["vDecay"]), "vth": int(neuron["vThMant"])}
        values["bias_exp"] = NETX_BIAS_EXP
        numbers = {name: dense(np.asarray(value, np.int32)) for name, value in values.items()}
        mant = np.zeros((), np.int32) if bias is None else bias.reshape(()) if bias.size == 1 else bias
        numbers["bias_mant"] = dense(np.asarray(mant, np.int32, order="C"))
        name, told = str(layer.number), as_object(self.told.get(str(layer.number)))
        for key in ("v_scale", "v_offset"):
            if isinstance(told.get(key), int | float | list):
                numbers[key] = dense(np.asarray(told[key], np.float64))
        node, latency, silent = told.get("node"), told.get("latency"), told.get("spiking") is False
        more = dict[str, Attribute]()
        if self.reset is not None:
            interval, offset = self.reset[0], self.reset[1] + 1 + self.index
            more = {"reset_interval": IntegerAttr(interval, i64), "reset_offset": IntegerAttr(offset, i64)}
        self.last = (loihi2.LIFResetOp if more else loihi2.LIFOp)(
            name,
            shape,
            {**numbers},
            node if isinstance(node, str) else None,
            int(latency) if is_whole(latency) else None,
            None,
            None,
            silent=silent,
            **more,
        )
        self.last.verify()
        self.ops.append(self.last)
