"""`xylo-place`: on chips where inputs reach only the first hidden neurons and the readout reads only the last, the
weight matrices keep those rows and columns.

Layers already stand in the order of the signal's way, so a chain of layers lies right where it fits at all; weights
that lie outside stay, and `xylo-check-limits` names them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.dialects import xylo
from nirc.dialects.dense import dense


@dataclass(frozen=True)
class XyloPlacePass(ModulePass):
    """Cut the input and readout matrices to what the chip reaches, where nothing but zeros is cut."""

    name = "xylo-place"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in op.ops:
            if isinstance(network, xylo.NetworkOp):
                weights, reach = network.input.numbers("weights"), network.limits.input_reach
                if reach is not None and not np.any(weights[:, reach:]):
                    network.input.properties["weights"] = dense(np.ascontiguousarray(weights[:, :reach]))
                weights, reach = network.readout.numbers("weights"), network.limits.readout_reach
                if reach is not None and not np.any(weights[:-reach]):
                    network.readout.properties["weights"] = dense(np.ascontiguousarray(weights[-reach:]))
