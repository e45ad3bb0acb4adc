"""`spinnaker2-quantize`: weights become integers, parameters float32, and a report keeps what the weights were.

With m the largest |W| onto a population (`layer`), or onto each neuron or feature (`neuron`), wmax 127 or 15:

    s = wmax / m      W_int = round(s W), half to even, or toward 0 (`truncate`)
    threshold, i_offset, v_init, v_reset, v_scale: times s; these and the decays rounded to float32

Where the network fires at v > threshold and the chip at v >= threshold, the threshold is the next float32 number above:
v is exactly at it where a few equal weights add up. Weights are the whole error.
Source: nirc's specification of SpiNNaker2, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import Array, array, as_dense, dense, uniform
from nirc.dialects.nir import ChangeAttr, keep_changes, listed, quote
from nirc.dialects.spinnaker2 import LIMITS
from nirc.passes.spinnaker2_check_limits import structural_violations

SCALES = ("neuron", "layer")

ROUNDINGS = {"nearest": np.rint, "truncate": np.trunc}

_SCALED = ("threshold", "i_offset", "v_init", "v_reset")


@dataclass(frozen=True)
class Spinnaker2QuantizePass(ModulePass):
    """Make the weights of every `spinnaker2.network` integers and its parameters float32.

    per: one scale for each target `neuron` (of convolutions: feature), or for each `layer`.
    rounding: of weights, `nearest` or `truncate`.
    Raises PassFailedException with everything of which rounding would leave nothing.
    """

    name = "spinnaker2-quantize"

    per: str = "neuron"
    rounding: str = "nearest"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for what, value, known in (("quantize", self.per, SCALES), ("weight rounding", self.rounding, ROUNDINGS)):
            if value not in known:
                raise PassFailedException(f"{what} '{value}' is not one of {', '.join(known)}")
        faults = list[str]()
        for network in op.ops:
            if isinstance(network, s2.NetworkOp) and not network.quantized():
                found = [fault for each in self.populations(network) for fault in each.faults()]
                faults += [*found, *structural_violations(network)] if found else []
                if not found:
                    self.quantize(op, network)
        if faults:
            raise PassFailedException("\n".join(faults))

    def populations(self, network: s2.NetworkOp) -> list[_Population]:
        """The neurons with what feeds them."""
        incoming = network.incoming()
        return [_Population(op, incoming[name], self) for name, op in network.neurons().items()]

    def quantize(self, module: ModuleOp, network: s2.NetworkOp) -> None:
        """Round one network in place, and keep what changed."""
        populations = self.populations(network)
        changes = [change for each in populations for change in each.round()]
        nodes = listed([each.op.node.data for each in populations if each.inputs and each.op.node is not None])
        per = f"a scale for each {self.per}, rounded {'to nearest' if self.rounding == 'nearest' else 'toward 0'}"
        where = "nirc.values in the emitted file lists changes"
        keep_changes(module, network, changes, f"weights of 7 bits (4 with delays) for {nodes}: {per}; {where}")


class _Population:
    """A population, what feeds it, and its scales."""

    def __init__(self, op: s2.PopulationOp, inputs: list[s2.ProjectionOp], options: Spinnaker2QuantizePass):
        self.op, self.inputs, self.round_weights = op, inputs, ROUNDINGS[options.rounding]
        self.wmax = LIMITS.weight_of(op.model)
        self.largest = self.largest_weights()
        if options.per == "layer":
            self.largest = np.full(op.size, self.largest.max())
        # A neuron that nothing feeds takes the others' scale.
        self.largest[self.largest == 0] = self.largest.max() if np.any(self.largest) else self.wmax
        self.scale = self.wmax / self.largest

    def largest_weights(self) -> Array:
        """The largest |W| onto each neuron."""
        found = np.zeros(self.op.size)
        for op in self.inputs:
            np.maximum.at(found, op.onto().ravel(), np.abs(array(op.weights)).ravel())
        if self.op.model == "lif_conv2d" and self.inputs:
            features = array(self.inputs[0].weights).shape[1]
            found = np.repeat(found.reshape(features, -1)[:, 0], self.op.size // features)
        return found

    def rounded(self, op: s2.ProjectionOp) -> Array:
        """The integers of a projection's weights."""
        # W / m is exactly 1 for the largest, so that truncation leaves it alone.
        whole: Array = self.round_weights(array(op.weights) / self.largest[op.onto()] * self.wmax)
        return whole.astype(np.int32)

    def scaled(self) -> dict[str, Array]:
        """The parameters in float32."""
        with np.errstate(over="ignore"):  # what becomes infinite is a fault
            found = {
                name: (values * self.scale if name in _SCALED else values).astype(np.float32)
                for name, values in self.op.parameters().items()
            }
        if self.op.strict is not None:
            found["threshold"] = np.nextafter(found["threshold"], np.float32(np.inf))
        return found

    def faults(self) -> Iterator[str]:
        """What no number of the chip can stand for."""
        parameters = self.scaled()
        if not all(np.isfinite(values).all() for values in parameters.values()) or np.any(parameters["threshold"] <= 0):
            yield f"{self.op.label}: its threshold or offset passes what float32 holds beside its weights"
        for op in self.inputs:
            weights = array(op.weights)
            if np.any(weights) and not np.any(self.rounded(op)):
                largest = f"{float(np.abs(weights).max()):.3g} beside {float(self.largest.max()):.3g}"
                yield (
                    f"{op.label}: every weight onto {quote(self.op.population.data)} rounds to 0; the largest is "
                    f"{largest} of its other inputs, scale them up"
                )

    def round(self) -> Iterator[ChangeAttr]:
        """Round in place; yields what changed."""
        for op in self.inputs:
            before, whole = array(op.weights).copy(), self.rounded(op)
            if self.op.node is not None:
                who = op.nodes.data[0].data if op.nodes.data else self.op.node.data
                yield ChangeAttr.of_weights(who, before, whole * self.largest[op.onto()] / self.wmax)
            _keep(op, whole)
        for name, values in self.scaled().items():
            self.op.properties[name] = dense(np.asarray(uniform(values), np.float32, order="C"))
        self.op.properties.pop("strict", None)
        for name in ("w_scale", "v_scale"):
            if (attr := as_dense(self.op.properties.get(name))) is not None:
                self.op.properties[name] = dense(np.asarray(uniform(array(attr) * self.scale), float, order="C"))


def _keep(op: s2.ProjectionOp, whole: Array) -> None:
    """Put integers into a projection; synapses that are 0 would take memory."""
    if isinstance(op, s2.ListProjectionOp):
        kept = np.flatnonzero(whole)
        if not kept.size:
            op.detach()
            op.erase()
            return
        op.properties["connections"] = dense(np.ascontiguousarray(array(op.connections)[kept]))
        if op.delays is not None:
            op.properties["delays"] = dense(np.ascontiguousarray(array(op.delays)[kept]))
        whole = whole[kept]
    op.properties["weights"] = dense(np.ascontiguousarray(whole))
