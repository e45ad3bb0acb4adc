"""`snn-carry-products`: what a matrix makes of last step's spikes is computed when they fire, and carried over.

    y = W z, z a state       ->  y a state, whose next value is W z', z' the next value of z

Then the product stands beside others of the same spikes, such as those of the next layer, and kernels go through the
spikes once for all of them. The sums are the same numbers, bit for bit. The state z stays; whoever lowers the network
leaves out states that nothing reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr, i1
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from nirc.dialects import snn
from nirc.dialects.dense import array, dense, dtype_of


@dataclass(frozen=True)
class SnnCarryProductsPass(ModulePass):
    """Carry the products of spikes of the step before in every network, where no spikes come before the first step."""

    name = "snn-carry-products"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in op.ops:
            if isinstance(network, snn.NetworkOp):
                _carry(network)


def _carry(network: snn.NetworkOp) -> None:
    block, labels = network.body.block, {state.label for state in network.states}
    states, values = list(network.states), list(network.yielded.values)
    spikes = zip(network.states, network.state_args, network.next_values, strict=True)
    for state, argument, value in tuple(spikes):
        kind = snn.tensor_of(argument)
        if kind.element_type != i1 or array(state.init).any() or not isinstance(value.owner, Operation):
            continue
        for product in [use.operation for use in argument.uses if isinstance(use.operation, snn.LinearOp)]:
            output = snn.tensor_of(product.output)
            carried = snn.StateAttr(
                product.node or state.node,
                StringAttr("sums"),
                dense(np.zeros((), dtype_of(output.element_type))),
            )
            if carried.label in labels:
                continue
            labels.add(carried.label)
            states.append(carried)
            last = block.insert_arg(product.output.type, len(block.args))
            last.name_hint = product.output.name_hint
            product.output.replace_all_uses_with(last)
            product.detach()
            product.operands[0] = value
            block.insert_op_before(product, network.yielded)
            values.append(product.output)
    network.properties["states"] = ArrayAttr(states)
    network.yielded.operands = values
