"""`spinnaker2-check-limits`: everything in which a network does not fit py-spinnaker2's fields, cores and chips.

py-spinnaker2 says little of it: weights are cut to their bits, and a core that is too full fails on the board. How full
a core is, is an estimate by the layout of the C files that nirc's specification names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.dialects import spinnaker2 as s2
from nirc.dialects.nir import assume, quote
from nirc.dialects.spinnaker2 import LIMITS, Spinnaker2Limits
from nirc.passes.chip_limits import fitting, named, range_faults
from nirc.passes.spinnaker2_place import TICKS, Usage, usage


@dataclass(frozen=True)
class Spinnaker2CheckLimitsPass(ModulePass):
    """Check integers against their fields, and cores against their memory. Raises PassFailedException with all
    violations; tells the estimate of each population's memory.

    ticks: how many ticks are recorded where something is.
    """

    name = "spinnaker2-check-limits"

    ticks: int = TICKS

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in fitting(op, s2.NetworkOp, lambda network: violations(network, ticks=self.ticks)):
            found = usage(network, self.ticks)
            for name, used in found.items():
                assume(op, "note", "estimate", estimate(name, used))
            cores = sum(used.cores for used in found.values())
            if cores > LIMITS.cores:
                statement = f"{cores} cores, a chip has {LIMITS.cores}: a board of several chips"
                assume(op, "note", "estimate", statement)
            for name, population in network.neurons().items():
                largest = max(float(np.abs(population.parameter(key)).max()) for key in ("threshold", "i_offset"))
                if largest > LIMITS.exact:
                    told = f"{quote(name)} has a threshold or offset of {largest:.3g}"
                    assume(op, "note", "float32", f"{told}: the chip's v no longer holds every step of a weight")


def estimate(name: str, used: Usage, limits: Spinnaker2Limits = LIMITS) -> str:
    """How full the cores of a population are, in a sentence."""
    cores = f"{quote(name)}: {used.cores} core{'s' if used.cores > 1 else ''} of up to {used.atoms} neurons"
    if used.older is None:
        return f"{cores}, whose memory nobody has published"
    told = f"{cores}, the fullest takes {used.older:,} of {limits.sram:,} bytes (older layout)"
    over = ", WHICH IS TOO MUCH FOR IT" if used.older > limits.sram else ""
    return f"{told}{over}, {used.newer:,} of {limits.sram_newer:,} (newer)"


def violations(network: s2.NetworkOp, limits: Spinnaker2Limits = LIMITS, ticks: int = TICKS) -> Iterator[str]:
    """What does not fit, a sentence each."""
    if not network.quantized():
        yield "the network holds real numbers; run spinnaker2-quantize first"
        return
    yield from structural_violations(network, limits)
    populations = network.populations()
    for op in network.projections():
        model = populations[op.post.data].model
        yield from range_faults(op, limits.ranges(model), named(op.label))
    for population in network.neurons().values():
        most = limits.neurons_of(population.model)
        atoms = population.max_atoms_per_core
        if atoms is not None and atoms.value.data > most:
            yield f"{population.label}: {atoms.value.data} neurons on a core, at most {most}"
    for name, used in usage(network, ticks, limits).items():
        if used.newer is not None and used.newer > limits.sram_newer:
            yield (
                f"{populations[name].label}: {used.newer:,} bytes on its fullest core with {used.atoms} neurons on it, "
                f"a core has {limits.sram_newer:,} (newer layout, estimate); let fewer neurons feed it, or record less"
            )


def structural_violations(network: s2.NetworkOp, limits: Spinnaker2Limits = LIMITS) -> Iterator[str]:
    """What does not fit whatever the numbers are; passes before this one report it too."""
    if not network.neurons():
        yield "the network has no neurons"
    cores = 0
    for population in network.populations().values():
        yield from too_large(population.label, population.size, population.model, limits)
        cores += -(-population.size // limits.neurons_of(population.model))
    if cores > limits.board_cores:
        yield f"{cores} cores in all, a board has {limits.board_cores}; make the layers smaller"


def too_large(label: str, size: int, model: str, limits: Spinnaker2Limits = LIMITS) -> Iterator[str]:
    """Whether a population needs more than a chip."""
    most = limits.neurons_of(model)
    if (cores := -(-size // most)) > limits.cores:
        yield (
            f"{label}: {size:,} neurons take {cores} cores of {most}, a chip has {limits.cores}; make it at most "
            f"{limits.cores * most:,} neurons"
        )
