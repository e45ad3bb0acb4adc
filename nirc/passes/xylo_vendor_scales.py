"""`xylo-vendor-scales`: the scales that the vendor's quantizers choose, to compare with.

    layer   (rockpool's global_quantize)   127 / max(|weight|, |bias|) over all hidden neurons, the same for the readout
    neuron  (rockpool's channel_quantize)  the same per target neuron

Weight shifts stay 0; where a threshold would pass 32767 the scale is reduced to that. Source: rockpool 3.1.0 as nirc's
specification of Xylo, section 5, states it; the defects that section 6 lists are not copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import assume, listed
from nirc.dialects.xylo import XyloLimits
from nirc.passes.xylo_quantize import applied, onto


@dataclass(frozen=True)
class XyloVendorScalesPass(ModulePass):
    """Give every `xylo.network` of real numbers the vendor's scales.

    per: `neuron` (channel_quantize) or `layer` (global_quantize).
    """

    name = "xylo-vendor-scales"

    per: str = "neuron"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.per not in ("neuron", "layer"):
            raise PassFailedException(f"quantize '{self.per}' is neither neuron nor layer")
        for network in op.ops:
            if isinstance(network, xylo.NetworkOp) and not network.hidden.quantized():
                for part in network.parts():
                    part.properties["weight_shift"] = IntegerAttr(0, i64)
                for part in (network.hidden, network.readout):
                    part.properties["scale"] = dense(self.scales(network, part))
                layers = listed(list(network.hidden.sizes()))
                statement = f"{layers} fire several times in a step where v reaches several thresholds, up to 31"
                assume(op, "note", "spikes", statement)

    def scales(self, network: xylo.NetworkOp, part: xylo.HiddenOp | xylo.ReadoutOp) -> Array:
        """LSB per unit of v."""
        weights = onto(part, network, lambda source: np.abs(source.numbers("weights"))).max(axis=0, initial=0)
        weights = weights / applied(part.numbers("dash_syn").reshape(part.size))
        bias, threshold = np.abs(part.numbers("bias")), part.numbers("threshold")
        if self.per == "layer":
            weights, bias, threshold = (np.full(part.size, values.max()) for values in (weights, bias, threshold))
        largest = np.maximum(weights, bias)
        scale = XyloLimits.WEIGHT[1] / np.where(largest > 0, largest, threshold)
        return np.minimum(scale, XyloLimits.THRESHOLD[1] / threshold)
