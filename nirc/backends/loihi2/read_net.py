"""Reads lava-dl's netx files (`.net`, HDF5): chains of layers that Lava users load without nirc.

A layer's neurons are CUBA: du = iDecay - 1, dv = vDecay, vth = vThMant, bias_mant = bias, bias_exp = 6; everything is
truncated to whole numbers, weights of both signs are clipped to [-256, 254]. Dense weights are shifted left to the full
width and their sums back, so that odd ones keep their lowest bit. What netx cannot load is refused here too. Source:
lava-dl 0.6.0 as nirc's specification of Loihi 2, section 1.2, states it.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import Block, Operation, Region
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from nirc.backends.loihi2.read_config import module_of
from nirc.dialects import loihi2
from nirc.dialects.dense import Array, dense
from nirc.dialects.loihi2 import TransformAttr

_NEURONS = ("CUBA", "LOIHI")
_TO_VECTOR = (TransformAttr.of("transpose", (2, 1, 0)), TransformAttr.of("flatten"))


def read_net(path: str, reset_interval: int | None = None, reset_offset: int = 0) -> ModuleOp:
    """A file becomes a module with one `loihi2.network`; layers are named by their numbers, the input `input`.

    reset_interval: neurons are LIFReset, each layer's a step after the one before, as netx has it.
    Raises DiagnosticException with everything that netx could not load, or that nirc does not know.
    """
    try:
        with h5py.File(path, "r") as file:
            layers = [_Layer(n, item) for n, item in enumerate(_layers(file))]
    except OSError as error:
        raise DiagnosticException(f"cannot be read as HDF5: {error}") from error
    chain = _Chain(None if reset_interval is None else (reset_interval, reset_offset))
    for layer in layers:
        chain.add(layer)
    if not layers:
        chain.faults.append("no group 'layer' with layers 0, 1, ...: no netx file")
    if chain.faults or not chain.last:
        raise DiagnosticException("\n".join(chain.faults or ["no layer has neurons"]))
    outputs = [loihi2.PortAttr.of("output", chain.last.process.data, chain.last.whole_shape())]
    return module_of(loihi2.NetworkOp("main", outputs, Region(Block([*chain.ops, *chain.wiring]))), {})


def _layers(file: Any) -> list[Any]:
    group: Any = file.get("layer", {})
    return [group[str(n)] for n in range(len(group)) if str(n) in group]


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

    def __init__(self, reset: tuple[int, int] | None):
        self.reset = reset
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

    def fail(self, layer: _Layer, why: str) -> None:
        self.faults.append(f"layer {layer.number}: {why}")

    def input(self, layer: _Layer) -> None:
        self.shape = tuple(int(n) for n in layer.fields["shape"].ravel())
        self.ops.append(loihi2.InputOp("input", self.shape))
        if layer.neuron:
            images = len(self.shape) == 3
            shape = self.shape[::-1] if images else self.shape
            turned = [TransformAttr.of("transpose", (2, 1, 0))] if images else []
            self.neurons(layer, shape, None)
            self.wiring.append(loihi2.ConnectOp("input", "0", turned))

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
        if not all(np.any(w) for w in given):
            self.fail(layer, "all weights are 0, on which netx crashes")
            return
        shift = self.width(layer, given)
        name = str(layer.number)
        for w, process, source in zip(given, (f"{name}.weight", f"{name}.weight_rec"), (None, name), strict=False):
            signs = "MIXED" if np.any(w < 0) and np.any(w > 0) else "INHIBITORY" if np.any(w < 0) else "EXCITATORY"
            content, delays = dense(w << shift), self.delays(layer, w)
            if delays is None:
                self.ops.append(loihi2.DenseOp(process, [], content, -shift, sign_mode=signs))
            else:
                op = loihi2.DelayDenseOp(process, [], content, -shift, sign_mode=signs, delays=dense(delays))
                self.ops.append(op)
            self.wiring.append(loihi2.ConnectOp(source, process) if source else self.from_last(process, vector=True))
            self.wiring.append(loihi2.ConnectOp(process, name))
        self.neurons(layer, (len(weights),), layer.whole("bias"))

    def width(self, layer: _Layer, given: list[Array]) -> int:
        """Bits by which weights are shifted up; clips them where they have both signs."""
        mixed = any(np.any(w < 0) and np.any(w > 0) for w in given)
        if mixed:
            for w in given:
                np.clip(w, -256, 254, out=w)
        most = max(int(np.abs(w).max()) for w in given)
        if mixed and most > 127 and any(np.any(w % 2) for w in given):
            self.fail(layer, "odd weights of both signs above 127 take 9 bits, which the chip does not have")
        shift = 0
        while most << (shift + 1) <= 254:
            shift += 1
        return shift

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
                self.last.process.data, process, _TO_VECTOR if vector and len(self.last.given) == 3 else ()
            )
        if len(self.shape) == 1:
            return loihi2.ConnectOp("input", process)
        flat = TransformAttr.of("flatten")
        return loihi2.ConnectOp("input", process, [flat if vector else TransformAttr.of("transpose", (2, 1, 0))])

    def neurons(self, layer: _Layer, shape: tuple[int, ...], bias: Array | None) -> None:
        """A layer's population."""
        neuron = layer.neuron
        kind = _text(neuron["type"]) if "type" in neuron else "none"
        if kind not in _NEURONS:
            self.fail(layer, f"neurons of type '{kind}', nirc reads {' and '.join(_NEURONS)}")
            return
        values = {"du": int(neuron["iDecay"]) - 1, "dv": int(neuron["vDecay"]), "vth": int(neuron["vThMant"])}
        values["bias_exp"] = 6
        numbers = {name: dense(np.asarray(value, np.int32)) for name, value in values.items()}
        mant = np.zeros((), np.int32) if bias is None else bias.reshape(()) if bias.size == 1 else bias
        numbers["bias_mant"] = dense(np.asarray(mant, np.int32, order="C"))
        name = str(layer.number)
        if self.reset is None:
            self.last = loihi2.LIFOp(name, shape, {**numbers})
        else:
            interval, offset = (IntegerAttr(n, i64) for n in (self.reset[0], self.reset[1] + 1 + self.index))
            self.last = loihi2.LIFResetOp(name, shape, {**numbers}, reset_interval=interval, reset_offset=offset)
        self.last.verify()
        self.ops.append(self.last)
