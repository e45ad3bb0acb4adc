"""The step under construction, and what it needs of the nodes: steps of delays, the reset that metadata states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from xdsl.dialects.builtin import DictionaryAttr, StringAttr, i1, i32
from xdsl.ir import Attribute, Block, BlockArgument, SSAValue

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, Dense, ElementType, array, dense, doubles, dtype_of, tensor, uniform
from nirc.passes.convert_nir_to_snn.schemes import Scheme

Arriving: TypeAlias = Callable[[], SSAValue]
"""What arrives at a node at this step, to be asked for when it is needed: on a cycle it may not be there yet."""


@dataclass
class Step:
    """The step under construction: its block, its states, and what was chosen for the nodes so far."""

    scheme: Scheme
    dt: float
    element: ElementType
    auto_reset: str
    stated_resets: tuple[str, ...] = ()
    """What the graph's metadata says of the reset."""
    area: float = 1.0
    """What an event of an input and a spike count at a port: 1, or more where a step is shorter than theirs was."""
    early: frozenset[str] = frozenset()
    """The nodes on cycles whose output does not depend on what arrives at this step."""
    on_cycle: frozenset[str] = frozenset()
    """The nodes on cycles."""
    back: frozenset[str] = frozenset()
    """The nodes without state on the way back of a cycle, from the last neuron to the edge that closes it."""
    block: Block = field(default_factory=Block)
    arguments: list[BlockArgument] = field(default_factory=list[BlockArgument])
    """The block's, until `finish` puts them there: xDSL copies all of them whenever one is inserted."""
    states: list[tuple[snn.StateAttr, BlockArgument]] = field(default_factory=list[tuple[snn.StateAttr, BlockArgument]])
    nexts: dict[BlockArgument, SSAValue] = field(default_factory=dict[BlockArgument, SSAValue])
    faults: list[str] = field(default_factory=list[str])
    resets: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    unused: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    if_gains: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    at_leak: list[str] = field(default_factory=list[str])
    late: list[str] = field(default_factory=list[str])
    """The nodes whose input is a step late."""
    later: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])
    """What is left to do of nodes whose output is known, when their input is there."""
    stated: set[str] = field(default_factory=set[str])
    """The nodes whose reset the file's metadata states."""

    def argument(self, kind: Attribute, hint: str | None) -> BlockArgument:
        """A new argument of the block: an input or a state."""
        argument = BlockArgument(kind, self.block, len(self.arguments))
        argument.name_hint = hint
        self.arguments.append(argument)
        return argument

    def finish(self) -> Block:
        """The block, whole."""
        self.block._args = tuple(self.arguments)  # pyright: ignore[reportPrivateUsage]
        return self.block

    def constant(self, values: Array) -> Dense:
        """Round to the network's precision; equal numbers become one."""
        return dense(np.asarray(uniform(values), dtype=dtype_of(self.element)))

    def weights(self, attr: Dense) -> Dense:
        """Weights in the network's precision; the same bytes where they have it already."""
        values, dtype = array(attr), dtype_of(self.element)
        return attr if values.dtype == dtype else dense(values.astype(dtype))

    def state(
        self, node: str, variable: str, shape: nir.Shape, init: Array, element: ElementType | None = None
    ) -> BlockArgument:
        """A new state and its value before this step."""
        kind = element or self.element
        argument = self.argument(tensor(shape, kind), variable)
        value = dense(np.asarray(uniform(np.asarray(init)), dtype=dtype_of(kind)))
        self.states.append((snn.StateAttr(StringAttr(node), StringAttr(variable), value), argument))
        return argument

    def add(self, op: snn.SnnOp) -> SSAValue:
        """Append an op, return its result."""
        self.block.add_op(op)
        return op.results[0]

    def as_type(self, value: SSAValue, kind: Attribute, node: str) -> SSAValue:
        """The value in another type: spikes as graded values."""
        if value.type == kind:
            return value
        return self.add(snn.ScaleOp([value], kind, {"factor": self.constant(np.ones(()))}, node))

    def kind(self, signal: SSAValue, *, at_port: bool = False) -> ElementType:
        """The type of what a signal carries: spikes, their counts, or graded values, as which ports may scale them."""
        seen = set[SSAValue]()
        while signal not in seen and not (at_port and self.area != 1):
            seen.add(signal)
            op = signal.owner
            if isinstance(op, nir.FlattenOp | nir.DelayOp):
                signal, at_port = op.input, True
            elif isinstance(op, nir.ThresholdOp):
                return i1
            elif isinstance(op, nir.LIFOp) and self.scheme["lif_height"] != "1":
                break
            elif isinstance(op, nir.NodeOp) and op.SPIKING:
                return i32 if self.scheme.flag("multi") else i1
        return self.element

    def arriving_late(self, node: nir.NodeOp, x: Arriving) -> Arriving:
        """What arrived at a node one step ago, 0 before."""
        shape = nir.shape_of(node.input)
        assert shape is not None
        state = self.state(node.node.data, "x", shape, np.zeros(()), self.kind(node.input, at_port=True))
        self.late.append(node.node.data)

        def keep() -> None:
            self.nexts[state] = self.as_type(x(), state.type, node.node.data)

        self.later.append(keep)
        return lambda: state

    def plus(self, value: SSAValue, constant: Array, node: str) -> SSAValue:
        """Add a constant; adding zeros is left out."""
        if not np.any(constant):
            return value
        return self.add(snn.AddOp([value], value.type, {"constant": self.constant(constant)}, node))

    def filter(self, x: SSAValue, state: SSAValue, decay: Array, gain: Array, node: str) -> SSAValue:
        """decay * state + gain * x"""
        properties: dict[str, Attribute | None] = {"decay": self.constant(decay), "gain": self.constant(gain)}
        return self.add(snn.FilterOp([x, state], state.type, properties, node))

    def fire(self, v: SSAValue, threshold: Array, node: str, element: ElementType = i1) -> SSAValue:
        """The spikes of v, or their number."""
        properties: dict[str, Attribute | None] = {
            "threshold": self.constant(threshold),
            "compare": StringAttr(self.scheme["compare"]),
        }
        return self.add(snn.FireOp([v], tensor(snn.tensor_of(v).get_shape(), element), properties, node))


def shape_of(op: nir.NodeOp) -> nir.Shape:
    """The shape of a node's output."""
    shape = op.output.type.shape
    assert shape is not None, "convert-nir-to-snn checks shapes first"
    return shape


def delay_steps(op: nir.DelayOp, dt: float) -> Array:
    """round(delay / dt), as far as 64 bits count."""
    return np.minimum(np.rint(doubles(op.delay) / dt), 2.0**62).astype(np.int64)


RESETS = {"zero": "zero", "subtract": "subtract", "v_reset": "v_reset", "hard": "v_reset", "soft": "subtract"}
"""The kinds of reset by the words that writers put into metadata."""


RESET_KEYS = ("reset", "reset_mechanism")
"""The keys of metadata that state the kind of reset."""


def stated_resets(metadata: DictionaryAttr | None) -> tuple[str, ...]:
    """The kinds of reset that metadata states under `reset` and `reset_mechanism`: none, one, or two that differ."""
    stated = [metadata.data.get(key) for key in RESET_KEYS] if metadata is not None else []
    words = [attr.data.lower() for attr in stated if isinstance(attr, StringAttr)]
    return tuple(dict.fromkeys(RESETS[word] for word in words if word in RESETS))
