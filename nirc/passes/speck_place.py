"""`speck-place`: each layer gets a core whose memories hold it, by a maximum matching of layers and cores.

Augmenting paths, breadth first, in the order that sinabs takes (so that the cores are the vendor's): from all layers
without a core, in order, to the cores that could hold them, ascending, and on to the layers that hold those. A simple
chain of small layers gets the cores 0, 1, 2, ... Where the user named cores, the rest is matched to the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import speck
from nirc.dialects.nir import assume, quote
from nirc.dialects.speck import LIMITS, SpeckLimits


@dataclass(frozen=True)
class SpeckPlacePass(ModulePass):
    """Give every layer of each `speck.network` its core; where no placement holds all, none gets one, and
    `speck-check-limits` says why.

    placement: `NODE=CORE,...`, cores for some of the layers. Raises PassFailedException where that cannot be.
    """

    name = "speck-place"

    placement: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in op.ops:
            if isinstance(network, speck.NetworkOp):
                given, faults = _parsed(self.placement, network)
                if faults:
                    raise PassFailedException("\n".join(faults))
                placed = place(network, given)
                if placed.complete:
                    for layer, core in zip(network.layers().values(), placed.cores, strict=True):
                        layer.properties["core"] = IntegerAttr(core, i64)
                    if given:
                        named = ", ".join(f"{quote(name)} on core {core}" for name, core in given.items())
                        assume(op, "given", "placement", named)
                elif given and place(network).complete:
                    why = "the other layers do not fit on the cores that are left; without it they do"
                    raise PassFailedException(f"placement {self.placement}: {why}")


@dataclass(frozen=True)
class Matching:
    """The core of each layer, -1 for none; where some have none: `stuck`, layers that vie for the too few `cores_left`
    that could hold any of them."""

    cores: tuple[int, ...]
    stuck: tuple[int, ...] = ()
    cores_left: tuple[int, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every layer has a core."""
        return -1 not in self.cores


def place(network: speck.NetworkOp, given: Mapping[str, int] | None = None, limits: SpeckLimits = LIMITS) -> Matching:
    """The placement of a network's layers; `given`: those that stand fast."""
    given = given or {}
    feasible = list[list[int]]()
    for name, op in network.layers().items():
        free = [core for core in range(limits.cores) if core not in given.values()]
        memory = op.memory
        fitting = [core for core in free if not memory.over(core, limits)]
        feasible.append([given[name]] if name in given else fitting)
    return match(feasible)


def match(feasible: Sequence[Sequence[int]]) -> Matching:
    """A maximum matching of layers to the cores that each may take."""
    core_of = [-1] * len(feasible)
    layer_on = dict[int, int]()
    while True:
        queue = deque[tuple[bool, int]]((False, n) for n, core in enumerate(core_of) if core < 0)
        found_by = dict[int, int]()
        reached = [n for _, n in queue]
        while queue:
            is_core, n = queue.popleft()
            if not is_core:
                for core in feasible[n]:
                    if core not in found_by:
                        found_by[core] = n
                        queue.append((True, core))
            elif n in layer_on:
                queue.append((False, layer_on[n]))
                reached.append(layer_on[n])
            else:
                core = n
                while core >= 0:  # flip the path back to the layer that it starts from
                    layer = found_by[core]
                    layer_on[core], core_of[layer], core = layer, core, core_of[layer]
                break
        else:
            stuck = tuple(sorted(reached)) if -1 in core_of else ()
            return Matching(tuple(core_of), stuck, tuple(sorted(found_by)) if stuck else ())


def _parsed(text: str | None, network: speck.NetworkOp) -> tuple[dict[str, int], list[str]]:
    """`NODE=CORE,...`, and what is wrong with it."""
    given, faults, layers = dict[str, int](), list[str](), network.layers()
    for item in text.split(",") if text else ():
        name, _, core = item.rpartition("=")
        if name not in layers:
            faults.append(f"placement '{item}': no layer {quote(name)}; layers: {', '.join(map(quote, layers))}")
        elif not core.isdecimal() or int(core) >= LIMITS.cores:
            faults.append(f"placement '{item}': a core is a number in 0..{LIMITS.cores - 1}")
        elif name in given or int(core) in given.values():
            faults.append(f"placement '{item}': the layer or the core is given twice")
        else:
            given[name] = int(core)
            for memory, (need, have) in layers[name].memory.over(int(core), LIMITS).items():
                faults.append(f"placement '{item}': it needs {need:,} words of {memory} memory, the core has {have:,}")
    return given, faults
