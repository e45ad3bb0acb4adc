"""`loihi2-check-limits`: everything in which a network does not fit Lava's fields, named in the words of the model.

Lava checks none of it: it clips weights, wraps biases and exponents, and never fires beyond the range of thresholds.
How many cores a network takes only Intel's compiler knows; what nirc tells is an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx
import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.dialects import loihi2
from nirc.dialects.dense import Array, and_more, index_text
from nirc.dialects.loihi2 import LIMITS, Loihi2Limits
from nirc.dialects.nir import assume, integers, listed
from nirc.passes.chip_limits import Told, fitting, named, range_faults


@dataclass(frozen=True)
class Loihi2CheckLimitsPass(ModulePass):
    """Check integers against the ranges of their fields. Raises PassFailedException with all violations."""

    name = "loihi2-check-limits"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in fitting(op, loihi2.NetworkOp, violations):
            parts = unconnected_parts(network)
            if len(parts) > 1:
                told = "; ".join(listed(part) for part in parts)
                statement = (
                    f"nothing connects {told}: Lava starts one at a time, as nirc's loader does, one after the other"
                )
                assume(op, "note", "parts", statement)
            found = estimate(network)
            if found.cores > LIMITS.cores:
                statement = f"about {found.cores} cores, one chip has about {LIMITS.cores} usable: several chips"
                assume(op, "note", "estimate", statement)


def violations(network: loihi2.NetworkOp, limits: Loihi2Limits = LIMITS) -> Iterator[str]:
    """What does not fit, a sentence each."""
    if not network.quantized():
        yield "the network holds real numbers; run loihi2-quantize first"
        return
    yield from structural_violations(network, limits)
    for op in network.neurons().values():
        yield from range_faults(op, limits.ranges, named(op.label))
    for op in network.synapses().values():
        yield from _weights(op, limits)


def structural_violations(network: loihi2.NetworkOp, limits: Loihi2Limits = LIMITS) -> Iterator[str]:
    """What does not fit whatever the weights are; passes before this one report it too."""
    if not network.neurons():
        yield "the network has no neurons"
    for op in network.synapses().values():
        if op.num_message_bits.value.data > limits.message_bits:
            yield f"{op.label}: {op.num_message_bits.value.data} bits a message, at most {limits.message_bits}"
        yield from range_faults(op, {"delays": limits.delay}, _delay(op))
        if isinstance(op, loihi2.ConvOp):
            kernel = op.weight.get_shape()[1:3]
            sizes = {"kernel": kernel, "groups": (op.groups.value.data,)}
            sizes |= {name: integers(getattr(op, name)) for name in ("stride", "padding", "dilation")}
            for name, values in sizes.items():
                if max(values) > limits.kernel:
                    told = "x".join(map(str, values))
                    yield (
                        f"{op.label}: {name} {told}, at most {limits.kernel}: Lava keeps it in 8 bits and wraps; "
                        "split the convolution"
                    )


def _delay(op: loihi2.SynapsesOp) -> Told:
    def told(name: str, values: Array, first: int) -> str:
        return f"{op.label}: a delay of {values.flat[first]} steps at {index_text(values, first)}"

    return told


def _weights(op: loihi2.SynapsesOp, limits: Loihi2Limits) -> Iterator[str]:
    weights = op.numbers(op.matrix)
    if isinstance(op, loihi2.MatrixOp):
        yield from range_faults(op, {"weight_exp": limits.weight_exp}, named(op.label))
        acting = op.effective()
        if (changed := np.flatnonzero(acting != weights)).size:
            first = int(changed[0])
            yield (
                f"{op.label}: weight {weights.flat[first]} at {index_text(weights, first)}{and_more(changed.size)} "
                f"acts as {acting.flat[first]}: {op.num_weight_bits.value.data} bits, sign mode {op.signs()}"
            )
    else:
        signs = "EXCITATORY" if np.all(weights >= 0) else "INHIBITORY" if np.all(weights <= 0) else "MIXED"
        yield from range_faults(op, {op.matrix: limits.weight(signs)}, named(op.label))


def unconnected_parts(network: loihi2.NetworkOp) -> list[list[str]]:
    """The nodes of neurons that are connected to each other, through whatever lies between."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(network.processes())
    graph.add_edges_from((edge.source.data, edge.target.data) for edge in network.connections())
    neurons = network.neurons()
    found = [
        list(dict.fromkeys(op.node.data for name, op in neurons.items() if name in part))
        for part in nx.connected_components(graph)
    ]
    return [part for part in found if part]


@dataclass(frozen=True)
class Estimate:
    """What a network takes: cores, neurons, weights other than 0; lines of synapses and axons of all cores."""

    cores: int
    neurons: int
    synapses: int
    lines: int
    axons: int


@dataclass(frozen=True)
class _Piece:
    """Neurons of one population, all on one core, and what the core's tables hold for them."""

    lines: int
    neurons: int
    axons: int
    groups: int = 1

    def __add__(self, other: _Piece) -> _Piece:
        return _Piece(
            self.lines + other.lines, self.neurons + other.neurons, self.axons + other.axons, self.groups + other.groups
        )

    def fits(self, limits: Loihi2Limits) -> bool:
        """Whether a core holds it."""
        tables = self.lines <= limits.synapse_lines and self.axons <= limits.axons
        return tables and self.neurons <= limits.neurons and self.groups <= limits.groups


def estimate(network: loihi2.NetworkOp, limits: Loihi2Limits = LIMITS) -> Estimate:
    """Cores by the tables of the compiler's printed reports [I]: each population in as few equal pieces as a core holds
    one of, then the pieces packed, largest first, each onto the first core with room.

    A dense layer takes, for each source, an incoming axon and ceil((10 N + 12) / 32) lines for N targets on the core.
    What a convolution takes is not known: its kernel is counted once per piece, its sources are divided among them.
    What a core's axons to others take is not known either and left out.
    """
    into: dict[str, list[loihi2.SynapsesOp]] = {name: [] for name in network.neurons()}
    synapses = network.synapses()
    for edge in network.connections():
        if edge.source.data in synapses and edge.target.data in into:
            into[edge.target.data].append(synapses[edge.source.data])
    pieces = list[_Piece]()
    for name, op in network.neurons().items():
        split = max(1, -(-op.size // limits.neurons))
        while split < op.size and not _piece(into[name], op.size, split).fits(limits):
            split += 1
        pieces += [_piece(into[name], op.size, split)] * split
    return Estimate(
        _packed(pieces, limits),
        sum(op.size for op in network.neurons().values()),
        sum(int(np.count_nonzero(op.numbers(op.matrix))) for op in synapses.values()),
        sum(piece.lines for piece in pieces),
        sum(piece.axons for piece in pieces),
    )


def _piece(sources: list[loihi2.SynapsesOp], size: int, split: int) -> _Piece:
    """One of so many equal pieces of a population."""
    neurons, lines, axons = -(-size // split), 0, 0
    for op in sources:
        taken = math.prod(op.taken or ())
        if isinstance(op, loihi2.ConvOp):
            lines += -(-10 * math.prod(op.weight.get_shape()) // 32)
            axons += -(-taken // split)
        else:
            lines += taken * -(-(10 * neurons + 12) // 32)
            axons += taken
    return _Piece(lines, neurons, axons)


def _packed(pieces: list[_Piece], limits: Loihi2Limits) -> int:
    """The cores that pieces take; a core without room for the smallest is not looked at again."""
    ordered = sorted(pieces, key=lambda piece: (piece.lines, piece.neurons), reverse=True)
    least = _Piece(*(min((getattr(p, name) for p in pieces), default=0) for name in ("lines", "neurons", "axons")))
    full, cores = 0, list[_Piece]()
    for piece in ordered:
        n = next((n for n, core in enumerate(cores) if (core + piece).fits(limits)), len(cores))
        cores[n : n + 1] = [cores[n] + piece if n < len(cores) else piece]
        if not (cores[n] + least).fits(limits):
            del cores[n]
            full += 1
    return full + len(cores)
