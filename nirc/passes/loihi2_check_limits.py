"""`loihi2-check-limits`: everything in which a network does not fit Lava's fields, named in the words of the model.

Lava checks none of it: it clips weights, wraps biases and exponents, and never fires beyond the range of thresholds.
How many cores a network takes only Intel's compiler knows; what nirc tells is an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.dialects import loihi2
from nirc.dialects.dense import Array, and_more, index_text
from nirc.dialects.loihi2 import LIMITS, Loihi2Limits
from nirc.dialects.nir import assume, integers
from nirc.passes.chip_limits import Told, fitting, named, range_faults


@dataclass(frozen=True)
class Loihi2CheckLimitsPass(ModulePass):
    """Check integers against the ranges of their fields. Raises PassFailedException with all violations."""

    name = "loihi2-check-limits"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in fitting(op, loihi2.NetworkOp, violations):
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


@dataclass(frozen=True)
class Estimate:
    """What a network takes of a chip: cores, neurons, weights that are not 0, lines of the tables of synapses."""

    cores: int
    neurons: int
    synapses: int
    lines: int


def estimate(network: loihi2.NetworkOp, limits: Loihi2Limits = LIMITS) -> Estimate:
    """Cores by the tables of the compiler's printed reports [I]: a population on cores of its own, split by neurons.

    Lines of a dense layer: for each input axon ceil((10 N + 12) / 32) for N targets on the core; what a convolution
    takes is not known, its kernel is counted once per core.
    """
    into: dict[str, list[loihi2.SynapsesOp]] = {name: [] for name in network.neurons()}
    synapses = network.synapses()
    for edge in network.connections():
        if edge.source.data in synapses and edge.target.data in into:
            into[edge.target.data].append(synapses[edge.source.data])
    cores = lines = 0
    for name, op in network.neurons().items():
        split = max(1, -(-op.size // limits.neurons))
        while split < op.size and _lines(into[name], -(-op.size // split)) > limits.synapse_lines:
            split += 1
        cores += split
        lines += split * _lines(into[name], -(-op.size // split))
    return Estimate(
        cores,
        sum(op.size for op in network.neurons().values()),
        sum(int(np.count_nonzero(op.numbers(op.matrix))) for op in synapses.values()),
        lines,
    )


def _lines(sources: list[loihi2.SynapsesOp], neurons: int) -> int:
    total = 0
    for op in sources:
        if isinstance(op, loihi2.ConvOp):
            total += -(-10 * math.prod(op.weight.get_shape()) // 32)
        else:
            total += math.prod(op.taken or ()) * -(-(10 * neurons + 12) // 32)
    return total
