"""What of a graph stays the same while it is solved: its nodes without memory as maps, and who is reached by whom.

Changes enter at signals: the Inputs and the outputs of nodes that remember or jump. They pass through the maps and
arrive at targets: neurons, Thresholds, Delays, and the graph's outputs (by their index).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import TypeAlias

import numpy as np
from xdsl.ir import SSAValue

from nirc.dialects import nir
from nirc.dialects.dense import Array
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir import listed
from nirc.interpreters.nir.linear import Map, bias_of, map_of
from nirc.passes.convert_nir_to_snn.cycles import operands

Target: TypeAlias = nir.NodeOp | int
"""Where a change arrives: a node, or an output by its index."""

_ANALOG = (nir.LIOp, nir.CubaLIOp, nir.IOp)
"""Nodes whose output moves between events."""


class Plan:
    """A graph without nested graphs, its shapes inferred.

    neurons, thresholds, delays   the nodes at which changes end and begin
    smooth    neurons whose input moves between events, and those that move it: no closed form holds for them alone
    watched   Thresholds whose input does
    """

    def __init__(self, graph: nir.GraphOp):
        self.graph = graph
        self.outputs = tuple(graph.yielded.values)
        nodes = {node.node.data: node for node in graph.nodes()}
        self.maps: dict[nir.NodeOp, Map] = {node: m for node in nodes.values() if (m := map_of(node)) is not None}
        self.neurons = [node for node in nodes.values() if isinstance(node, nir.NeuronOp)]
        self.thresholds = [node for node in nodes.values() if isinstance(node, nir.ThresholdOp)]
        self.delays = [node for node in nodes.values() if isinstance(node, nir.DelayOp) and node.has_state()]
        self._users: dict[SSAValue, list[Target]] = {}
        for node in nodes.values():
            for value in dict.fromkeys(operands(node.input)):
                self._users.setdefault(value, []).append(node)
        for index, signal in enumerate(self.outputs):
            for value in dict.fromkeys(operands(signal)):
                self._users.setdefault(value, []).append(index)
        order, _ = depth_first(self.maps, lambda node: self._mapped(node.output))
        self._rank = {node: rank for rank, node in enumerate(order)}
        self._by_rank = order
        self.analog = [node for node in self.neurons if isinstance(node, _ANALOG)]
        moved = self.reached(node.output for node in self.analog)
        moving = [node for node in self.analog if self._reaches_nodes(node)]
        self.smooth = [node for node in self.neurons if node in moved or node in moving]
        self.watched = [node for node in self.thresholds if node in moved]

    def _mapped(self, value: SSAValue) -> list[nir.NodeOp]:
        return [node for node in self._users.get(value, ()) if isinstance(node, nir.NodeOp) and node in self.maps]

    def _reaches_nodes(self, node: nir.NodeOp) -> bool:
        return any(isinstance(target, nir.NodeOp) for target in self.reached([node.output]))

    def reached(self, values: Iterable[SSAValue]) -> set[Target]:
        """The targets that changes at these signals arrive at."""
        found, pending, seen = set[Target](), list(values), set[SSAValue]()
        while pending:
            value = pending.pop()
            if value in seen:
                continue
            seen.add(value)
            for user in self._users.get(value, ()):
                if isinstance(user, nir.NodeOp) and user in self.maps:
                    pending.append(user.output)
                else:
                    found.add(user)
        return found

    def faults(self, *, impulses: bool) -> list[str]:
        """What has no solution here, a line each; `impulses`: an input value and a spike are impulses, not currents."""
        moved = self.reached(node.output for node in self.analog)
        late = [node.node.data for node in self.delays if node in moved]
        found = list[str]()
        if late:
            found.append(
                f"{listed(late)} (Delay): a signal that moves between events arrives, whose past is not kept; "
                "delay spikes or inputs instead"
            )
        if impulses:
            sources = [*self.graph.body.block.args, *(n.output for n in self.neurons if n.SPIKING)]
            sources += [node.output for node in self.thresholds]
            reached = self.reached(sources)
            while more := [n.output for n in self.delays if n in reached and n.output not in sources]:
                sources += more
                reached |= self.reached(more)
            if hit := [node.node.data for node in self.thresholds if node in reached]:
                found.append(
                    f"{listed(hit)} (Threshold): impulses arrive, which have no height to compare; "
                    "give --scheme nir-euler,input=held"
                )
        return found

    def biases(self) -> dict[Target, Array]:
        """The constant currents that arrive from biases."""
        values = dict[SSAValue, Array]()
        for node in self._by_rank:
            x, bias = self._total(node.input, values), bias_of(node)
            terms = ([self.maps[node](x)] if x is not None else []) + ([bias[None]] if bias is not None else [])
            if terms:
                values[node.output] = np.asarray(sum(terms))
        targets: list[Target] = [*self.neurons, *self.thresholds, *self.delays, *range(len(self.outputs))]
        return {target: x for target in targets if (x := self._total(self._signal(target), values)) is not None}

    def spread(self, changes: Mapping[SSAValue, Array]) -> dict[Target, Array]:
        """What changes [B, N...] at signals are where they arrive."""
        values, pending = dict(changes), list[int]()
        queued, arriving = set[nir.NodeOp](), dict[Target, None]()

        def leads(value: SSAValue) -> None:
            for user in self._users.get(value, ()):
                if not isinstance(user, nir.NodeOp) or user not in self.maps:
                    arriving[user] = None
                elif user not in queued:
                    queued.add(user)
                    heappush(pending, self._rank[user])

        for value in changes:
            leads(value)
        while pending:
            node = self._by_rank[heappop(pending)]
            x = self._total(node.input, values)
            assert x is not None
            values[node.output] = self.maps[node](x)
            leads(node.output)
        return {target: x for target in arriving if (x := self._total(self._signal(target), values)) is not None}

    def _signal(self, target: Target) -> SSAValue:
        return target.input if isinstance(target, nir.NodeOp) else self.outputs[target]

    @staticmethod
    def _total(signal: SSAValue, values: Mapping[SSAValue, Array]) -> Array | None:
        """The sum of the edges into a port, as far as they carry something."""
        total: Array | None = None
        for value in operands(signal):
            if (x := values.get(value)) is not None:
                total = x if total is None else total + x
        return total

    def spikes(self, signal: SSAValue) -> bool:
        """Whether all that arrives is spikes, also delayed or in another shape."""
        pending, seen = list(operands(signal)), set[SSAValue]()
        for value in pending:
            node = value.owner
            if isinstance(node, nir.FlattenOp | nir.DelayOp):
                if value not in seen:
                    seen.add(value)
                    pending += operands(node.input)
            elif not isinstance(node, nir.NeuronOp) or not node.SPIKING:
                return False
        return bool(pending)
