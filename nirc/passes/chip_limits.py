"""What the checks of the chips' limits share: refusing networks that do not fit, and ranges of numbers by a table.

Each chip's record of limits, in its dialect's file, has the table `ranges`: the least and the largest number of each
property.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, ModuleOp
from xdsl.irdl import IRDLOperation
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects.dense import Array, and_more, array, as_dense, index_text

N = TypeVar("N", bound=IRDLOperation)

Told = Callable[[str, Array, int], str]
"""How a number is named: property, its values, the flat place of the one that is wrong."""


def fitting(module: ModuleOp, kind: type[N], violations: Callable[[N], Iterable[str]]) -> list[N]:
    """The networks of a chip's dialect; raises PassFailedException with all violations."""
    networks = [op for op in module.ops if isinstance(op, kind)]
    if faults := [fault for network in networks for fault in violations(network)]:
        raise PassFailedException("\n".join(faults))
    return networks


def named(label: str) -> Told:
    """`label: weights 300 at (0, 2)`."""

    def told(name: str, values: Array, first: int) -> str:
        at = f" at {index_text(values, first)}" if values.ndim else ""
        return f"{label}: {name} {values.flat[first]}{at}"

    return told


def range_faults(op: IRDLOperation, ranges: Mapping[str, tuple[int, int]], told: Told) -> Iterator[str]:
    """The properties of an op with numbers beyond what their fields hold, those that the table names."""
    for name, (low, high) in ranges.items():
        attr = op.properties.get(name)
        if (numbers := as_dense(attr)) is not None:
            values = array(numbers)
        elif isinstance(attr, IntegerAttr):
            values = np.asarray(attr.value.data)
        else:
            continue
        bad = np.flatnonzero((values < low) | (values > high))
        if bad.size:
            yield f"{told(name, values, int(bad[0]))}{and_more(bad.size)}, must be in [{low}, {high}]"
