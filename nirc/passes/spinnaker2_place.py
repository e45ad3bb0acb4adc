"""`spinnaker2-place`: how many neurons of each population stand on a core, and when each first reacts.

A core with the neurons lo .. hi - 1 of a population takes, in bytes (estimate; nirc's specification, section 4)

    256 + sum over sources with targets there (12 + 12 + 4 ceil(n / 2), n synapses)
        + 4 T (ceil(N / 32) + 2) for spikes recorded over T ticks, 4 T (N + 1) for v
    newer layout: + 4 * 5 (lif) or 4 * 9 (lif_curr_exp) for each neuron

The largest number of neurons per core is taken under which the older layout's memory suffices, else the newer's. What
`lif_conv2d` and sources take is unknown; the first gets the NIR paper's 256 a core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass

from nirc.dialects import spinnaker2 as s2
from nirc.dialects.spinnaker2 import LIMITS, Spinnaker2Limits

TICKS = 256
"""Ticks that are recorded, where nobody says: the NIR paper's longest sample."""

_FIXED = 4 * 64
_SOURCE = 12 + 12
"""A source's entry in the table, and the header of its row."""
_PARAMETERS = {False: 4 * 5, True: 4 * 9}
"""Bytes a neuron without and with synaptic currents."""


@dataclass(frozen=True)
class Spinnaker2PlacePass(ModulePass):
    """Set `max_atoms_per_core` and `latency` of every population.

    ticks: how many ticks are recorded where something is.
    """

    name = "spinnaker2-place"

    ticks: int = TICKS

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in op.ops:
            if isinstance(network, s2.NetworkOp):
                incoming = network.incoming()
                for name, population in network.neurons().items():
                    atoms = _atoms(population, incoming[name], self.ticks)
                    population.properties["max_atoms_per_core"] = IntegerAttr(atoms, i64)
                for name, ticks in first_reactions(network).items():
                    network.populations()[name].properties["latency"] = IntegerAttr(ticks, i64)


@dataclass(frozen=True)
class Usage:
    """What a population takes: cores, neurons on one, bytes of the fullest in both layouts where they are known."""

    cores: int
    atoms: int
    older: int | None
    newer: int | None


def usage(network: s2.NetworkOp, ticks: int = TICKS, limits: Spinnaker2Limits = LIMITS) -> dict[str, Usage]:
    """Of each population, as it is placed."""
    incoming, found = network.incoming(), dict[str, Usage]()
    for name, population in network.populations().items():
        atoms = limits.neurons_of(population.model)
        if population.max_atoms_per_core is not None:
            atoms = population.max_atoms_per_core.value.data
        bytes_of = _memory(population, incoming[name], ticks)
        older, newer = (None, None) if bytes_of is None else bytes_of(atoms)
        found[name] = Usage(-(-population.size // atoms), atoms, older, newer)
    return found


def _memory(
    population: s2.PopulationOp, incoming: list[s2.ProjectionOp], ticks: int
) -> Callable[[int], tuple[int, int]] | None:
    """The bytes of the fullest core by the neurons on one; None where nobody knows."""
    if population.is_source or population.model == "lif_conv2d":
        return None
    synapses = [op.synapses() for op in incoming]
    recorded = population.recorded()

    def of(atoms: int) -> tuple[int, int]:
        cores = -(-population.size // atoms)
        used = np.full(cores, _FIXED, np.int64)
        for each in synapses:
            sources = int(each.pre.max(initial=0)) + 1
            counts = np.bincount(each.pre.astype(np.int64) * cores + each.post // atoms, minlength=sources * cores)
            counts = counts.reshape(-1, cores)
            used += ((counts > 0) * (_SOURCE + 4 * -(-counts // 2))).sum(axis=0)
        neurons = np.minimum(atoms, population.size - atoms * np.arange(cores))
        if "spikes" in recorded:
            used += 4 * ticks * (-(-neurons // 32) + 2)
        if "v" in recorded:
            used += 4 * ticks * (neurons + 1)
        return int(used.max()), int((used + _PARAMETERS[population.has_synapse] * neurons).max())

    return of


def _atoms(population: s2.PopulationOp, incoming: list[s2.ProjectionOp], ticks: int) -> int:
    """The neurons on a core."""
    most = min(LIMITS.neurons_of(population.model), population.size)
    bytes_of = _memory(population, incoming, ticks)
    if bytes_of is None:
        return most
    for layout, budget in enumerate((LIMITS.sram, LIMITS.sram_newer)):
        low, high = 0, most + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if bytes_of(middle)[layout] <= budget else (low, middle)
        if low:
            return low
    return 1


def first_reactions(network: s2.NetworkOp) -> dict[str, int]:
    """Ticks from a spike of a source to the first reaction of each population that one reaches: each projection takes
    1 + its least delay."""
    ticks = {port.population.data: 0 for port in network.inputs}
    edges = [(op.pre.data, op.post.data, 1 + op.least_delay()) for op in network.projections()]
    changed = True
    while changed:
        changed = False
        for pre, post, by in edges:
            if pre in ticks and ticks[pre] + by < ticks.get(post, 1 << 30):
                ticks[post], changed = ticks[pre] + by, True
    return ticks
