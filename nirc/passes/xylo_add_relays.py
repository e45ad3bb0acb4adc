"""`xylo-add-relays`: hidden layers that leave the chip get readout neurons that copy them exactly, one step later.

Per neuron i a helper h and a readout neuron o, all with dash_mem 0, dash_syn 1 and threshold 2:

    weights i -> h  4,  h -> h  -2,  i -> o  4,  h -> o  -2            (shift 0)

h repeats the number of spikes of i a step later; with it o's current becomes 2 for each spike of the last step and 0
else, whatever came before: out[t + 1] = 1 where i fired at t. Source: nirc's specification of Xylo, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, Dense, dense

_COPY, _CLEAR, _THRESHOLD = 4, -2, 2


@dataclass(frozen=True)
class XyloAddRelaysPass(ModulePass):
    """Give every relayed layer of a quantized `xylo.network` its helpers and readout neurons.

    Raises PassFailedException where the weights among hidden neurons or onto the readout are shifted.
    """

    name = "xylo-add-relays"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in tuple(op.ops):
            if isinstance(network, xylo.NetworkOp) and network.relays:
                if not network.hidden.quantized():
                    raise PassFailedException("relays are made of integers; run xylo-quantize first")
                if any(part.weight_shift.value.data for part in (network.hidden, network.readout)):
                    raise PassFailedException("relays are exact with unshifted weights alone")
                for layer, output in network.relayed().items():
                    _add(network, layer, output)
                del network.properties["relays"]


def _add(network: xylo.NetworkOp, layer: str, output: str) -> None:
    hidden, readout = network.hidden, network.readout
    n, m = hidden.size, readout.size
    source = np.arange(n)[hidden.places()[layer]]
    count = len(source)
    helper, copy = n + np.arange(count), m + np.arange(count)
    among = _padded(hidden.numbers("weights"), count, count)
    among[source, helper], among[helper, helper] = _COPY, _CLEAR
    onto = readout.numbers("weights")
    onto = _padded(np.pad(onto, ((n - len(onto), 0), (0, 0))), count, count)
    onto[source, copy], onto[helper, copy] = _COPY, _CLEAR
    aliases = None if hidden.aliases is None else (*hidden.alias_targets(), *[-1] * count)
    named = [*hidden.sizes(), *readout.sizes()]
    xylo_hidden = xylo.HiddenOp(
        {**hidden.sizes(), _free(f"{layer}_relay", named): count},
        dense(among),
        *(_more(hidden, name, count) for name in ("dash_mem", "dash_syn", "threshold", "bias")),
        aliases=aliases,
        scale=_more(hidden, "scale", count),
    )
    xylo_readout = xylo.ReadoutOp(
        {**readout.sizes(), _free(f"{layer}_copy", named): count},
        [*(name.data for name in readout.outputs), output],
        dense(onto),
        *(_more(readout, name, count) for name in ("dash_mem", "dash_syn", "threshold", "bias")),
        scale=_more(readout, "scale", count),
        membranes=readout.read_by_membrane(),
    )
    block = network.body.block
    for old, new in ((hidden, xylo_hidden), (readout, xylo_readout)):
        block.insert_op_before(new, old)
        old.detach()
        old.erase()


_OF_A_RELAY = {"dash_mem": 0, "dash_syn": 1, "threshold": _THRESHOLD, "bias": 0, "scale": 1}


def _more(part: xylo.HiddenOp | xylo.ReadoutOp, name: str, count: int) -> Dense:
    """A property with the relays' values behind it."""
    values = part.numbers(name)
    return dense(np.concatenate([values, np.full((count, *values.shape[1:]), _OF_A_RELAY[name], values.dtype)]))


def _padded(weights: Array, rows: int, columns: int) -> Array:
    return np.pad(weights, ((0, rows), (0, columns), *[(0, 0)] * (weights.ndim - 2)))


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
