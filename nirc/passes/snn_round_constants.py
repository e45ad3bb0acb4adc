"""`snn-round-constants`: constants become numbers that a fixed-point format holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn
from nirc.dialects.dense import Array, Dense, and_more, array, dense, doubles, index_text
from nirc.dialects.nir import assume, listed, quote

BITS = 32


def fraction_of(form: str) -> int:
    """The bits behind the binary point of a format sM.N: a sign, M bits before the point and N behind, 32 in all.

    The spelling is that of ISO/IEC TR 18037. Raises PassFailedException for anything else.
    """
    found = re.fullmatch(r"s(\d{1,2})\.(\d{1,2})", form)
    if found is None or int(found[1]) + int(found[2]) != BITS - 1:
        raise PassFailedException(
            f"precision '{form}' is neither f32 nor f64 nor sM.N with M + N = {BITS - 1}, as s15.16: "
            "a sign, 15 bits before the binary point and 16 behind it"
        )
    return int(found[2])


@dataclass(frozen=True)
class SnnRoundConstantsPass(ModulePass):
    """c becomes the nearest multiple of 2^-N, of two equally near ones the even.

    format  sM.N: a sign, M bits before the binary point, N behind it

    Raises PassFailedException with every constant that is beyond the format, every one that would become 0 altogether,
    and every decay that would become 1, as nothing would leak.
    """

    name = "snn-round-constants"

    format: str = "s15.16"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        fraction = fraction_of(self.format)
        faults, changes, lost = list[str](), dict[str, float](), list[str]()
        for network in op.ops:
            if not isinstance(network, snn.NetworkOp):
                continue
            for step in network.body.block.ops:
                if isinstance(step, snn.SnnOp):
                    for name, attr in tuple(step.constants()):
                        what = f"node {step.label}, {name}" if step.node else f"{step.name}, {name}"
                        rounded = self.rounded(attr, fraction)
                        faults += (f"{what}: {fault}" for fault in self.faults(attr, rounded, name))
                        step.properties[name] = rounded
                        _compare(what, attr, rounded, changes, lost)
            states = list[snn.StateAttr]()
            for state in network.states:
                rounded = self.rounded(state.init, fraction)
                found = self.faults(state.init, rounded, "")
                faults += (f"state {quote(state.label)}, first value: {fault}" for fault in found)
                states.append(snn.StateAttr(state.node, state.variable, rounded))
            network.states = ArrayAttr(states)
        if faults:
            raise PassFailedException("\n".join(faults))
        statement = f"numbers of {BITS} bits, {fraction} of them behind the binary point"
        if changes:
            worst = max(changes, key=changes.__getitem__)
            statement += f"; constants change by up to {changes[worst]:.2g} of the largest of their kind ({worst})"
        assume(op, "given", "precision", statement)
        if lost:
            assume(op, "note", "precision", f"some numbers become 0: {listed(lost)}")

    def rounded(self, attr: Dense, fraction: int) -> Dense:
        """The nearest numbers of the format, if it reached so far."""
        values = array(attr)
        if values.dtype.kind != "f":
            return attr
        return dense(np.ldexp(np.rint(np.ldexp(doubles(attr), fraction)), -fraction).astype(values.dtype))

    def faults(self, attr: Dense, rounded: Dense, name: str) -> Iterator[str]:
        """What the format cannot hold."""
        before, after = doubles(attr), doubles(rounded)
        if array(attr).dtype.kind != "f":
            return
        limit = 2.0 ** (BITS - 1 - fraction_of(self.format))
        beyond = np.flatnonzero((after < -limit) | (after >= limit))
        if beyond.size:
            yield (
                f"{_at(before, beyond)} is beyond {self.format}, which holds -{limit:g} to less than {limit:g}; "
                "take fewer bits behind the point, or scale weights and threshold of the node down"
            )
        elif before.any() and not after.any():
            at = np.flatnonzero(before)
            yield f"{_at(before, at)} becomes 0 in {self.format}; take more bits behind the point"
        elif name == "decay" and (stuck := np.flatnonzero((after == 1) & (before < 1))).size:
            yield f"{_at(before, stuck)} becomes 1 in {self.format}: nothing leaks; take more bits behind the point"


def _at(values: Array, where: Array) -> str:
    place = f" at index {index_text(values, int(where[0]))}" if values.ndim else ""
    return f"{float(values.flat[where[0]])!r}{place}{and_more(where.size)}"


def _compare(what: str, before: Dense, after: Dense, changes: dict[str, float], lost: list[str]) -> None:
    """How much a constant changes, relative to its largest number; and which lose some."""
    a, b = doubles(before), doubles(after)
    if a.any() and (change := float(np.abs(a - b).max() / np.abs(a).max())):
        changes[what] = change
    if ((a != 0) & (b == 0)).any():
        lost.append(what)
