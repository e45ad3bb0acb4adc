"""`speck-quantize`: real numbers become the chip's integers, and a report keeps what they were.

A layer has one scale s (LSB per unit of v), by which every number is multiplied and rounded half to even, all in
float32 as sinabs does it. With H = 2^(b-1) - 1 and L = -2^(b-1) for b bits, mn and mx the least and largest of a:

    scale(a, b) = |H / mx| where |mn| <= |mx| |L / H|, else |L / mn|
    s = min(scale(weights, 8), scale(biases, 8), scale((threshold_low, threshold_high), 16) [, scale(initial, 16)])

Biases stay within 8 bits although the chip has 16. Numbers that are all 0 constrain nothing. A layer without a lower
bound gets the least number of 16 bits, which constrains nothing either. Source: sinabs 3.1.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import speck
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import ChangeAttr, keep_changes, listed
from nirc.passes.speck_check_limits import structural_violations

_BITS = {"weights": 8, "biases": 8, "threshold": 16, "initial": 16}


@dataclass(frozen=True)
class SpeckQuantizePass(ModulePass):
    """Make the numbers of every `speck.network` integers.

    Raises PassFailedException where a layer would lose its weights or its threshold.
    """

    name = "speck-quantize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        faults = list[str]()
        for network in op.ops:
            if isinstance(network, speck.NetworkOp):
                layers = [layer for layer in network.layers().values() if not layer.quantized()]
                found = [fault for layer in layers for fault in _faults(layer)]
                faults += [*found, *structural_violations(network)] if found else []
                if layers and not found:
                    _quantize(op, network, layers)
        if faults:
            raise PassFailedException("\n".join(faults))


def _numbers(layer: speck.CoreOp) -> dict[str, Array]:
    """The layer's numbers in float32."""
    with np.errstate(over="ignore"):  # what becomes infinite is a fault
        return {name: layer.numbers(name).astype(np.float32) for name in layer.NUMBERS if name in layer.properties}


def scale_of(layer: speck.CoreOp) -> np.float32:
    """LSB per unit of v."""
    numbers = _numbers(layer)
    bounds = [numbers.pop(name) for name in ("threshold_low", "threshold_high") if name in numbers]
    numbers["threshold"] = np.stack(bounds)
    return min(_scale(values, _BITS[name]) for name, values in numbers.items())


def _scale(values: Array, bits: int) -> np.float32:
    """The largest factor under which float32 numbers fit a signed integer; infinite where all are 0."""
    low, high = np.float32(-(2 ** (bits - 1))), np.float32(2 ** (bits - 1) - 1)
    least, most = values.min(), values.max()
    with np.errstate(divide="ignore"):
        return abs(high / most) if abs(least) <= abs(most) * abs(low / high) else abs(low / least)


def _integers(layer: speck.CoreOp) -> dict[str, Array]:
    scale = scale_of(layer)
    whole = {name: np.rint(values * scale) for name, values in _numbers(layer).items()}
    whole.setdefault("threshold_low", np.asarray(speck.LIMITS.threshold_low[0], np.float32))
    return whole


def _faults(layer: speck.CoreOp) -> Iterator[str]:
    """What no integer can stand for."""
    if not np.all([np.isfinite(values).all() for values in _numbers(layer).values()]):
        yield f"{layer.label}: its numbers pass what float32 holds"
        return
    whole, weights = _integers(layer), layer.numbers("weights")
    theta = float(layer.numbers("threshold_high"))
    if whole["threshold_high"] < 1:
        ratio = float(max(np.abs(weights).max(), np.abs(layer.numbers("biases")).max())) / theta
        yield (
            f"{layer.label}: its threshold {theta:g} rounds to 0 beside weights or a bias {ratio:.3g} times as large; "
            "scale them down"
        )
    if np.any(weights) and not np.any(whole["weights"]):
        yield (
            f"{layer.label}: every weight rounds to 0 beside its threshold {theta:g} or its bias; the largest is "
            f"{np.abs(weights).max():.3g}, scale the layer's weights up"
        )


def _quantize(module: ModuleOp, network: speck.NetworkOp, layers: list[speck.CoreOp]) -> None:
    """Round the layers in place, and keep what changed."""
    changes = [change for layer in layers for change in _changes(layer)]
    for layer in layers:
        scale = scale_of(layer)
        for name, values in _integers(layer).items():
            layer.properties[name] = dense(np.asarray(values).astype(np.int32, order="C"))
        layer.properties["scale"] = dense(np.asarray(scale, np.float64))
        if np.any(layer.numbers("biases")):
            layer.properties["leak"] = UnitAttr()
    names = listed([layer.node.data for layer in layers])
    keep_changes(module, network, changes, f"8-bit weights for {names}; nirc.values in the emitted file lists changes")


def _changes(layer: speck.CoreOp) -> Iterator[ChangeAttr]:
    """Weights, bias and threshold before and after, in the network's units."""
    whole, scale, name = _integers(layer), float(scale_of(layer)), layer.node.data
    yield ChangeAttr.of_weights(name, layer.numbers("weights"), whole["weights"] / scale)
    for parameter, unit in (("biases", "v per tick"), ("threshold_high", "v"), ("initial", "v")):
        if parameter in layer.properties and np.any(layer.numbers(parameter)):
            yield ChangeAttr.of(name, parameter, unit, layer.numbers(parameter), whole[parameter] / scale)
