"""The neurons of NIR that are compositions of simpler nodes, as the NIR paper (table 1) composes them.

    CubaLIF = LI (w_in, tau_syn), gain, LIF          CubaLI = LI, gain, LI          gain: Scale, diagonal Linear or none
    LIF     = LI, Threshold, and a Scale by -threshold tau / r back into the LI
    IF      = I,  Threshold, and a Scale by -threshold / r back into the I

In continuous time a spike is an impulse of area 1. Fed back through that Scale it lowers v by the threshold at once, so
the last two reset by subtraction to 0 below: v - (threshold - 0). One table serves both directions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import nir
from nirc.dialects.dense import Array, Dense, array, computed, dense, doubles, spread

Parts: TypeAlias = Mapping[str, nir.NodeOp]
Parameters: TypeAlias = dict[str, Attribute]
Part: TypeAlias = tuple[str, type[nir.NodeOp], Parameters]
"""A role, the type of its node, and the node's parameters."""


def _uniform(attr: Dense, value: float) -> bool:
    return bool(np.all(array(attr) == value))


def _zeros(node: nir.NodeOp) -> Dense:
    """0 for each element, as the `nir` package wants it."""
    return dense(np.zeros(nir.shape_of(node.output) or (), np.float32))


def gain_of(node: nir.NodeOp | None) -> Array | None:
    """What a node multiplies each element of its input by, None where it does anything else."""
    if node is None:
        return np.ones(())
    if isinstance(node, nir.ScaleOp):
        return spread(node.scale, nir.shape_of(node.output))
    if isinstance(node, nir.LinearOp):
        weight = array(node.weight)
        if weight.shape[0] == weight.shape[1] and np.count_nonzero(weight) == np.count_nonzero(np.diagonal(weight)):
            return np.diagonal(weight).astype(np.float64)
    return None


@dataclass(frozen=True)
class Composite(ABC):
    """A neuron and what it is composed of.

    whole     the composed node
    templates the shapes that it is recognized in: roles with the types that may play them, and edges between roles
    """

    whole: type[nir.NodeOp]
    templates: tuple[tuple[dict[str, tuple[type[nir.NodeOp], ...]], tuple[tuple[str, str], ...]], ...]

    ENTRY: ClassVar[str]
    """The role whose input is the composed node's."""
    EXIT: ClassVar[str]
    """The role whose output is the composed node's."""

    @abstractmethod
    def compose(self, parts: Parts) -> Parameters | None:
        """The composed node's parameters, None where the parts' numbers make something else."""

    @abstractmethod
    def decompose(self, node: nir.NodeOp, stated: tuple[str, ...]) -> Sequence[Part] | str:
        """The parts, in order, or why there are none; `stated`: the resets that metadata states."""


_GAIN = (nir.ScaleOp, nir.LinearOp)


@dataclass(frozen=True)
class Synapse(Composite):
    """A leaky membrane behind a leaky synapse: CubaLI and CubaLIF."""

    ENTRY: ClassVar[str] = "synapse"
    EXIT: ClassVar[str] = "membrane"

    membrane: type[nir.NodeOp] = nir.LIOp

    def compose(self, parts: Parts) -> Parameters | None:
        synapse, membrane, gain = parts["synapse"], parts["membrane"], gain_of(parts.get("gain"))
        if not isinstance(synapse, nir.LIOp) or not isinstance(membrane, nir.LIOp | nir.LIFOp):
            return None
        if gain is None or not _uniform(synapse.v_leak, 0):
            return None
        r: Dense | None = membrane.r
        if "gain" in parts:
            r = computed(np.multiply, gain, spread(r, nir.shape_of(membrane.output)), like=(r,))
        if r is None:
            return None
        kept = {name: attr for name, attr in membrane.properties.items() if name.startswith("v_")}
        return {"tau_mem": membrane.tau, "tau_syn": synapse.tau, "r": r, "w_in": synapse.r, **kept}

    def decompose(self, node: nir.NodeOp, stated: tuple[str, ...]) -> Sequence[Part] | str:
        assert isinstance(node, nir.CubaLIFOp | nir.CubaLIOp)
        synapse: Parameters = {"tau": node.tau_syn, "r": node.w_in, "v_leak": _zeros(node)}
        kept = {name: attr for name, attr in node.properties.items() if name.startswith("v_")}
        membrane: Parameters = {"tau": node.tau_mem, "r": node.r, **kept}
        return ("synapse", nir.LIOp, synapse), ("membrane", self.membrane, membrane)


@dataclass(frozen=True)
class Spiking(Composite):
    """An integrator with a threshold and a reset fed back: LIF and IF."""

    ENTRY: ClassVar[str] = "integrator"
    EXIT: ClassVar[str] = "threshold"

    integrator: type[nir.NodeOp] = nir.LIOp

    def _feedback(self, threshold: Dense, node: nir.LIOp | nir.LIFOp | nir.IOp | nir.IFOp) -> Dense | None:
        """The factor that makes a spike, an impulse of area 1, lower v by the threshold; None where there is none."""
        shape = nir.shape_of(node.output)
        tau = spread(node.tau, shape) if isinstance(node, nir.LIOp | nir.LIFOp) else np.ones(())

        def factor(threshold: Array, tau: Array, r: Array) -> Array:
            return -threshold * tau / r

        return computed(factor, spread(threshold, shape), tau, spread(node.r, shape), like=(threshold, node.r))

    def compose(self, parts: Parts) -> Parameters | None:
        integrator, threshold, back = parts["integrator"], parts["threshold"], gain_of(parts["feedback"])
        if not isinstance(integrator, nir.LIOp | nir.IOp) or not isinstance(threshold, nir.ThresholdOp):
            return None
        if back is None or not np.all(array(integrator.r)):
            return None
        expected = self._feedback(threshold.threshold, integrator)
        if expected is None or not np.allclose(back, doubles(expected), rtol=1e-6, atol=0):
            return None
        kept = {name: integrator.properties[name] for name in ("tau", "r", "v_leak") if name in integrator.properties}
        return {**kept, "v_threshold": threshold.threshold, "v_reset": _zeros(integrator)}

    def decompose(self, node: nir.NodeOp, stated: tuple[str, ...]) -> Sequence[Part] | str:
        assert isinstance(node, nir.LIFOp | nir.IFOp)
        if stated != ("subtract",):
            told = " and ".join(stated) or "none"
            return f"only a reset by subtraction of the threshold can be fed back, and its metadata states {told}"
        if node.v_reset is not None and not _uniform(node.v_reset, 0):
            return "only a reset by subtraction of the threshold can be fed back, and its v_reset is not 0"
        if (back := self._feedback(node.v_threshold, node)) is None:
            return "the factor by which a spike is fed back, a quotient by r, overflows or underflows"
        kept = {name: node.properties[name] for name in ("tau", "r", "v_leak") if name in node.properties}
        return (
            ("integrator", self.integrator, kept),
            ("threshold", nir.ThresholdOp, {"threshold": node.v_threshold}),
            ("feedback", nir.ScaleOp, {"scale": back}),
        )


def _chain(membrane: type[nir.NodeOp]) -> Synapse:
    ends: dict[str, tuple[type[nir.NodeOp], ...]] = {"synapse": (nir.LIOp,), "membrane": (membrane,)}
    return Synapse(
        nir.CubaLIOp if membrane is nir.LIOp else nir.CubaLIFOp,
        (
            ({**ends, "gain": _GAIN}, (("synapse", "gain"), ("gain", "membrane"))),
            (ends, (("synapse", "membrane"),)),
        ),
        membrane,
    )


def _loop(integrator: type[nir.NodeOp]) -> Spiking:
    roles: dict[str, tuple[type[nir.NodeOp], ...]] = {
        "integrator": (integrator,),
        "threshold": (nir.ThresholdOp,),
        "feedback": _GAIN,
    }
    edges = (("integrator", "threshold"), ("threshold", "feedback"), ("feedback", "integrator"))
    return Spiking(nir.LIFOp if integrator is nir.LIOp else nir.IFOp, ((roles, edges),), integrator)


COMPOSITES: tuple[Composite, ...] = (_loop(nir.LIOp), _loop(nir.IOp), _chain(nir.LIFOp), _chain(nir.LIOp))
"""In the order in which they are recognized: a LIF may then be part of a CubaLIF."""

SUBTRACT = StringAttr("subtract")


def chosen(types: Sequence[str]) -> tuple[Composite, ...]:
    """The composites by NIR's names; all where `types` is empty. Raises PassFailedException for others."""
    if not types:
        return COMPOSITES
    known = {composite.whole.NIR_TYPE: composite for composite in COMPOSITES}
    if unknown := [name for name in types if name not in known]:
        raise PassFailedException(f"no composed neuron is called {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(composite for name, composite in known.items() if name in types)
