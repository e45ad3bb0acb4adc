"""The `snn` evaluator: what a network means, one op one short numpy function, with a batch axis in front.

Values have the shape [B, N...] in the type's precision. Sums run in the order that the dialect fixes (ascending input
index; taps by row, column, channel), each product rounded before it is added, so that a compiled kernel can be compared
bit for bit. A weight row's zero inputs are skipped: adding 0 changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.ir import Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import snn
from nirc.dialects.dense import Array, array, dtype_of
from nirc.dialects.nir import integers, quote


def _graded(op: Operation, value: Array) -> Array:
    """The value in the precision of the op's result."""
    return value.astype(dtype_of(snn.tensor_of(op.results[0]).element_type), copy=False)


def _sum_of_products(x: Array, weight: Array) -> Array:
    """y[b, n] = sum over m, ascending, of weight[n, m] x[b, m]."""
    y = np.zeros((len(x), len(weight)), weight.dtype)
    for m in np.flatnonzero(x.any(axis=0)):
        y += x[:, m, None] * weight[:, m]
    return y


def _padded(x: Array, padding: tuple[int, ...]) -> Array:
    top, bottom, left, right = padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right))) if any(padding) else x


def convolved(op: snn.ConvOp, x: Array) -> Array:
    """The convolution of images [B, C, H, W]."""
    x = _padded(_graded(op, x), integers(op.padding))
    weight, groups = array(op.weight), op.groups.value.data
    _, rows, columns = snn.tensor_of(op.output).get_shape()
    (down, right), (dilate_y, dilate_x) = integers(op.stride), integers(op.dilation)
    per_group, height, width = weight.shape[1:]
    y = np.zeros((len(x), groups, len(weight) // groups, rows, columns), weight.dtype)
    taps = weight.reshape(groups, -1, per_group, height, width)
    for tap_y in range(height):
        for tap_x in range(width):
            at_y, at_x = tap_y * dilate_y, tap_x * dilate_x
            seen = x[:, :, at_y : at_y + down * (rows - 1) + 1 : down, at_x : at_x + right * (columns - 1) + 1 : right]
            seen = seen.reshape(len(x), groups, per_group, rows, columns)
            for channel in range(per_group):
                if seen[:, :, channel].any():
                    y += taps[:, :, channel, tap_y, tap_x, None, None] * seen[:, :, channel, None]
    return y.reshape(len(x), -1, rows, columns)


def pooled(op: snn.PoolOp, x: Array) -> Array:
    """The sums over the windows of images [B, C, H, W]."""
    x = _padded(_graded(op, x), integers(op.padding))
    channels, rows, columns = snn.tensor_of(op.output).get_shape()
    (height, width), (down, right) = integers(op.kernel), integers(op.stride)
    y = np.zeros((len(x), channels, rows, columns), x.dtype)
    for at_y in range(height):
        for at_x in range(width):
            y += x[:, :, at_y : at_y + down * (rows - 1) + 1 : down, at_x : at_x + right * (columns - 1) + 1 : right]
    return y


@register_impls
class SnnFunctions(InterpreterFunctions):
    """One implementation per op of the dialect."""

    @impl(snn.ScanOp)
    def scan(self, interpreter: Interpreter, op: snn.ScanOp, args: PythonValues) -> PythonValues:
        return interpreter.run_ssacfg_region(op.body, (), "scan")

    @impl(snn.LinearOp)
    def linear(self, interpreter: Interpreter, op: snn.LinearOp, args: PythonValues) -> PythonValues:
        return (_sum_of_products(_graded(op, args[0]), array(op.weight)),)

    @impl(snn.ConvOp)
    def conv(self, interpreter: Interpreter, op: snn.ConvOp, args: PythonValues) -> PythonValues:
        return (convolved(op, args[0]),)

    @impl(snn.PoolOp)
    def pool(self, interpreter: Interpreter, op: snn.PoolOp, args: PythonValues) -> PythonValues:
        return (pooled(op, args[0]),)

    @impl(snn.ScaleOp)
    def scale(self, interpreter: Interpreter, op: snn.ScaleOp, args: PythonValues) -> PythonValues:
        return (array(op.factor) * _graded(op, args[0]),)

    @impl(snn.AddOp)
    def add(self, interpreter: Interpreter, op: snn.AddOp, args: PythonValues) -> PythonValues:
        return (_graded(op, args[0]) + array(op.constant),)

    @impl(snn.SumOp)
    def sum(self, interpreter: Interpreter, op: snn.SumOp, args: PythonValues) -> PythonValues:
        total = _graded(op, args[0])
        for value in args[1:]:
            total = total + _graded(op, value)
        return (total,)

    @impl(snn.ReshapeOp)
    def reshape(self, interpreter: Interpreter, op: snn.ReshapeOp, args: PythonValues) -> PythonValues:
        return (args[0].reshape(len(args[0]), *snn.tensor_of(op.output).get_shape()),)

    @impl(snn.DelayOp)
    def delay(self, interpreter: Interpreter, op: snn.DelayOp, args: PythonValues) -> PythonValues:
        x, ring = args
        known = np.concatenate([ring, x[:, None]], axis=1)
        steps = array(op.steps)
        if steps.ndim == 0:
            return known[:, ring.shape[1] - int(steps)], known[:, 1:]
        at = np.broadcast_to(ring.shape[1] - steps, x.shape)
        return np.take_along_axis(known, at[:, None], axis=1)[:, 0], known[:, 1:]

    @impl(snn.FilterOp)
    def filter(self, interpreter: Interpreter, op: snn.FilterOp, args: PythonValues) -> PythonValues:
        x, state = args
        return (array(op.decay) * state + array(op.gain) * _graded(op, x),)

    @impl(snn.FireOp)
    def fire(self, interpreter: Interpreter, op: snn.FireOp, args: PythonValues) -> PythonValues:
        (v,) = args
        threshold = array(op.threshold)
        spikes = v > threshold if op.compare.data == ">" else v >= threshold
        dtype = dtype_of(snn.tensor_of(op.spikes).element_type)
        if dtype.kind == "b":
            return (spikes,)
        return (np.where(spikes, np.floor(v / threshold), 0).astype(dtype),)

    @impl(snn.ResetOp)
    def reset(self, interpreter: Interpreter, op: snn.ResetOp, args: PythonValues) -> PythonValues:
        v, spikes = args
        amount = array(op.amount)
        if op.kind.data == "value":
            return (np.where(spikes != 0, amount, v),)
        return (v - _graded(op, spikes) * amount,)

    @impl(snn.ClampOp)
    def clamp(self, interpreter: Interpreter, op: snn.ClampOp, args: PythonValues) -> PythonValues:
        value = _graded(op, args[0])
        if op.low is not None:
            value = np.maximum(value, array(op.low))
        if op.high is not None:
            value = np.minimum(value, array(op.high))
        return (value,)

    @impl_terminator(snn.YieldOp)
    def leave(
        self, interpreter: Interpreter, op: snn.YieldOp, args: PythonValues
    ) -> tuple[ReturnedValues, PythonValues]:
        return ReturnedValues(args), ()


class _Watch(Interpreter.Listener):
    """Keeps what the ops of interest gave in the step that just ran."""

    def __init__(self, wanted: Mapping[Operation, list[tuple[str, int]]]):
        self.wanted = wanted
        self.seen = dict[str, Array]()

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        for key, index in self.wanted.get(op, ()):
            self.seen[key] = results[index]


@dataclass
class SnnEvaluator:
    """Runs a network over rasters, step by step; states stay between calls until `reset`.

    record: what to keep besides the outputs, keys `node.spikes`, `node.<state>` (v and i after the step) or
    `node.tested` (the v that the threshold was tested on).
    """

    network: snn.NetworkOp
    batch: int = 1
    record: tuple[str, ...] = ()
    states: list[Array] = field(default_factory=list[Array])

    def __post_init__(self) -> None:
        module = self.network.parent_op()
        assert isinstance(module, ModuleOp)
        watched: dict[Operation, list[tuple[str, int]]] = {}
        self._recorded = dict[str, int | None]()
        self._before = dict[str, int]()
        labels = [state.label for state in self.network.states]
        fires = {op.node.data: op for op in self.network.body.block.walk() if isinstance(op, snn.FireOp) and op.node}
        faults = list[str]()
        outputs = {name.data for name in self.network.outputs}
        for key in self.record:
            node, _, variable = key.rpartition(".")
            if key in outputs:
                faults.append(f"cannot record {quote(key)}: an Output has that name, which would be lost")
            elif variable == "spikes" and node in fires:
                watched.setdefault(fires[node], []).append((key, 0))
                self._recorded[key] = None
            elif variable == "tested" and node in fires:
                v = fires[node].v
                if isinstance(v.owner, Operation):
                    watched.setdefault(v.owner, []).append((key, v.owner.results.index(v)))
                    self._recorded[key] = None
                elif v in self.network.state_args:
                    self._before[key] = self.network.state_args.index(v)
                else:
                    faults.append(f"cannot record {quote(key)}: the threshold is tested on an input")
            elif key in labels:
                self._recorded[key] = labels.index(key)
            else:
                known = [*(f"{name}.spikes" for name in fires), *labels]
                known = [item for item in known if item.rpartition(".")[0] in (key, node)] or known
                faults.append(
                    f"cannot record {quote(key)}; there are {', '.join(known[:12])}{' ...' if len(known) > 12 else ''}"
                )
        if faults:
            raise DiagnosticException("\n".join(faults))
        self._watch = _Watch(watched)
        self._interpreter = Interpreter(module, listeners=(self._watch,) if watched else ())
        self._interpreter.register_implementations(SnnFunctions())
        self.reset()

    def reset(self) -> None:
        """Back to the state before the first step."""
        self.states = [
            np.broadcast_to(array(state.init), (self.batch, *snn.tensor_of(arg).get_shape())).copy()
            for state, arg in zip(self.network.states, self.network.state_args, strict=True)
        ]

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Feed rasters [T, B, N...] by input name; returns rasters by output name and by recorded key."""
        names = [name.data for name in self.network.inputs]
        rasters = [
            _raster(name, inputs.get(name), arg, self.batch)
            for name, arg in zip(names, self.network.input_args, strict=True)
        ]
        steps = len(rasters[0]) if rasters else 0
        if any(len(raster) != steps for raster in rasters):
            lengths = ", ".join(f"{quote(name)} {len(raster)}" for name, raster in zip(names, rasters, strict=True))
            raise DiagnosticException(f"inputs of unequal length: {lengths} steps")
        outputs: dict[str, list[Array]] = {name.data: [] for name in self.network.outputs}
        recorded: dict[str, list[Array]] = {key: [] for key in self.record}
        region = self.network.body
        for t in range(steps):
            for key, index in self._before.items():
                recorded[key].append(self.states[index])
            results = self._interpreter.run_ssacfg_region(
                region, (*(raster[t] for raster in rasters), *self.states), "step"
            )
            self.states = list(results[len(outputs) :])
            for name, value in zip(outputs, results, strict=False):
                outputs[name].append(value)
            for key, index in self._recorded.items():
                recorded[key].append(self._watch.seen[key] if index is None else self.states[index])
            if progress is not None:
                progress(t + 1)
        shapes: dict[str, tuple[Any, ...]] = {
            name.data: (snn.tensor_of(value).get_shape(), dtype_of(snn.tensor_of(value).element_type))
            for name, value in zip(self.network.outputs, self.network.output_values, strict=True)
        }
        return {
            **{
                name: np.stack(values) if values else np.zeros((0, self.batch, *shapes[name][0]), shapes[name][1])
                for name, values in outputs.items()
            },
            **{key: np.stack(values) if values else np.zeros((0, self.batch)) for key, values in recorded.items()},
        }


def _raster(name: str, raster: Array | None, argument: SSAValue, batch: int) -> Array:
    kind = snn.tensor_of(argument)
    if raster is None:
        raise DiagnosticException(f"no raster for the input {quote(name)}")
    expected = (batch, *kind.get_shape())
    if raster.shape[1:] != expected:
        raise DiagnosticException(
            f"the raster of input {quote(name)} has the shape {'x'.join(map(str, raster.shape))}, "
            f"must be steps x batch x {'x'.join(map(str, kind.get_shape()))}"
        )
    with np.errstate(over="ignore"):
        converted = raster.astype(dtype_of(kind.element_type), copy=False)
    if converted.dtype.kind == "f" and not np.all(np.isfinite(converted)):
        raise DiagnosticException(f"the raster of input {quote(name)} holds values that do not fit {kind.element_type}")
    return converted
