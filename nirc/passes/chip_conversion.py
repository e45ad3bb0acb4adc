"""What the conversions of `snn` to chips share: reading layers of neurons off a step in the canonical wiring.

The wiring is filter [, filter], fire, reset: a layer fires on the membrane that was updated in this step, and the reset
acts at once on the membrane that fired. What else a chip can take, its own conversion says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp, i1
from xdsl.ir import BlockArgument, Operation, SSAValue

from nirc.dialects import snn
from nirc.dialects.dense import Array, doubles
from nirc.dialects.nir import assume, quote


def convert_networks(module: ModuleOp, convert: Callable[[snn.NetworkOp], Operation]) -> None:
    """Put in the place of each `snn.network` what it becomes."""
    for network in tuple(module.ops):
        if isinstance(network, snn.NetworkOp):
            module.body.block.insert_op_before(convert(network), network)
            network.detach()
            network.erase()


class ChipConversion:
    """A network's values by what they are, and the faults found so far; `CHIP` is what messages call the chip."""

    CHIP: ClassVar[str]

    def __init__(self, module: ModuleOp, network: snn.NetworkOp):
        self.module, self.network = module, network
        self.faults = list[str]()
        self.states = dict(zip(network.state_args, network.states, strict=True))
        self.nexts = dict(zip(network.state_args, network.next_values, strict=True))
        self.inputs = dict(zip(network.input_args, (name.data for name in network.inputs), strict=True))
        self.spikes = dict[SSAValue, str]()

    def fail(self, op: snn.SnnOp | Operation | None, why: str) -> None:
        """Keep a fault, once."""
        label = f"node {op.label}" if isinstance(op, snn.SnnOp) else "the network"
        fault = f"{label}: {why}"
        if fault not in self.faults:
            self.faults.append(fault)

    def layers(self) -> list[snn.FireOp]:
        """The layers of neurons, whose spikes are known by name from here on."""
        scheme = self.network.scheme.data if self.network.scheme else "nir-"
        if not scheme.startswith("nir-"):
            self.faults.append(
                f"scheme '{scheme}' describes a simulator; a chip is lowered from a nir-* scheme (--scheme nir-euler)"
            )
        for state in self.states.values():
            if state.variable.data == "x":
                late = f"node {quote(state.node.data)}: what arrives is a step late (dense_delay, lif_delay)"
                self.faults.append(f"{late}; {self.CHIP} has delays of its own")
        fires = [op for op in self.network.body.block.ops if isinstance(op, snn.FireOp)]
        for fire in fires:
            if snn.tensor_of(fire.spikes).element_type != i1:
                self.fail(fire, f"its spikes are counted (multi=true); a step of {self.CHIP} is made of single ones")
            name = fire.node.data if fire.node else f"layer{len(self.spikes)}"
            if name in self.spikes.values():
                self.fail(fire, "several layers of this name; nirc tells them apart by `node`")
            self.spikes[fire.spikes] = name
        return fires

    def peel(self, value: SSAValue) -> tuple[Array, Operation | None]:
        """Take constants off a value: their sum, and the op below."""
        total = np.zeros(())
        while isinstance(value.owner, snn.AddOp):
            total = total + doubles(value.owner.constant)
            value = value.owner.input
        return total, value.owner if isinstance(value.owner, Operation) else None

    def membrane(self, op: snn.SnnOp, value: SSAValue, after: SSAValue | None) -> tuple[Array, snn.FilterOp | None]:
        """The leak and the filter whose result is `value`; `after` is the membrane that the next step starts from."""
        leak, membrane = self.peel(value)
        if not isinstance(membrane, snn.FilterOp):
            self.fail(
                op,
                f"its spikes are not those of a membrane that was updated in this step; {self.CHIP} has no other order",
            )
            return leak, None
        if membrane.state not in self.nexts or (after is not None and self.nexts[membrane.state] is not after):
            self.fail(op, f"its reset does not act at once on the membrane that fired; {self.CHIP}'s does")
            return leak, None
        return leak, membrane

    def reset_of(self, fire: snn.FireOp) -> snn.ResetOp | None:
        """What the layer's spikes do to its membrane."""
        resets = [use.operation for use in fire.spikes.uses if isinstance(use.operation, snn.ResetOp)]
        if len(resets) != 1 or resets[0].v is not fire.v:
            self.fail(fire, f"its spikes do not reset the membrane at once; {self.CHIP}'s do")
            return None
        return resets[0]

    def start_at_zero(self, state: SSAValue) -> None:
        """Say that a state's initial value is lost."""
        attr = self.states[cast(BlockArgument, state)]
        if np.any(doubles(attr.init)):
            statement = f"{quote(attr.label)} starts at 0: the chip cannot preload a state"
            assume(self.module, "choice", "initial state", statement)
