"""`loihi2-vendor-quantize`: the integers of the NIR paper's converter, to compare with.

    dv = int(4095 dt/tau)    vth = int(131071 theta) >> 9    w = int(256 W)    du = 4095, no exponents

It knows LIF neurons of one time constant, starting at 0, without biases; v_int is 64 * 256 v. Its two Dense in series
(a matrix, then the gain) are one here, so outputs are one step late, not two. It checks no range;
`loihi2-check-limits` does. Source: nirc's specification of Loihi 2, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import loihi2
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import ChangeAttr, keep_changes
from nirc.passes.loihi2_quantize import inputs_of, signs_of


@dataclass(frozen=True)
class Loihi2VendorQuantizePass(ModulePass):
    """Make the numbers of every `loihi2.network` the vendor's integers.

    Raises PassFailedException with everything that its converter has no formula for.
    """

    name = "loihi2-vendor-quantize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        networks = [network for network in op.ops if isinstance(network, loihi2.NetworkOp) and not network.quantized()]
        if faults := [fault for network in networks for fault in vendor_faults(network)]:
            raise PassFailedException("\n".join(faults))
        for network in networks:
            keep_changes(op, network, _quantize(network))


def vendor_faults(network: loihi2.NetworkOp) -> Iterator[str]:
    """What the vendor's converter has no formula for."""
    instead = "which the vendor's route does not know; use --mapping faithful"
    for op, inputs in inputs_of(network):
        kinds = {
            "a synaptic current": float(op.numbers("du")) != 4095,
            "a bias or v_leak": bool(np.any(op.numbers("bias_mant"))) or not inputs,
            "a start that is not 0": op.v is not None and bool(np.any(op.numbers("v"))),
            "several time constants": op.members is not None,
            "several thresholds": op.v_scale is not None and bool(np.any(op.numbers("v_scale") != 1)),
            "a membrane that is read": op.silent is not None,
        }
        yield from (f"{op.label}: {kind}, {instead}" for kind, has in kinds.items() if has)
    for op in network.synapses().values():
        if not isinstance(op, loihi2.DenseOp):
            yield f"{op.label}: a {op.LAVA}, {instead}"
        if op.graded:
            yield f"{op.label}: graded inputs, {instead}"


def _quantize(network: loihi2.NetworkOp) -> Iterator[ChangeAttr]:
    for op in network.synapses().values():
        before = op.numbers("weights")
        weights = (256 * before).astype(np.int32)
        op.properties["weights"] = dense(np.asarray(weights, order="C"))
        op.properties["sign_mode"] = StringAttr(signs_of(weights))
        who = op.nodes.data[0].data if op.nodes.data else op.process.data
        yield ChangeAttr.of_weights(who, before, weights / 256)
    for op in network.neurons().values():
        leak, threshold = (float(op.numbers(name)) for name in ("dv", "vth"))
        numbers = {"du": 4095, "dv": int(4095 * leak / 4096), "vth": int(131071 * threshold) >> 9}
        for name, value in {**numbers, "bias_mant": 0, "bias_exp": 0}.items():
            op.properties[name] = dense(np.asarray(value, np.int32))
        op.properties["v_scale"] = dense(np.asarray(64.0 * 256))
        for parameter, unit, before, after in (
            ("leak", "per step", leak / 4096, numbers["dv"] / 4096),
            ("threshold", "v", threshold, numbers["vth"] / 256),
        ):
            yield ChangeAttr.of(op.node.data, parameter, unit, _one(before), _one(after))


def _one(value: float) -> Array:
    return np.asarray(value)
