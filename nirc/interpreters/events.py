"""What the chips' evaluators take: rasters of event counts, and keys of states to record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects.dense import Array
from nirc.dialects.nir import quote


def event_counts(
    inputs: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]], batch: int, most: int
) -> dict[str, Array]:
    """Rasters [T, B, N...] of counts in 0..most by input name, as int64; all of one length.

    Raises DiagnosticException with everything that is missing or does not fit.
    """
    found = dict[str, Array]()
    faults = list[str]()
    for name, shape in expected.items():
        raster = inputs.get(name)
        if raster is None:
            faults.append(f"no raster for the input {quote(name)}")
        elif raster.ndim != len(shape) + 2 or raster.shape[1:] != (batch, *shape):
            faults.append(
                f"the raster of input {quote(name)} has the shape {'x'.join(map(str, raster.shape))}, "
                f"must be steps x batch x {' x '.join(map(str, shape))}"
            )
        elif raster.size and (raster.min() < 0 or raster.max() > most or np.any(raster != np.floor(raster))):
            faults.append(
                f"the raster of input {quote(name)} must hold event counts, whole numbers in 0..{most}; "
                f"it spans {raster.min():g} to {raster.max():g}"
            )
        else:
            found[name] = raster.astype(np.int64)
    if not faults and len({len(raster) for raster in found.values()}) > 1:
        faults.append("the rasters have unequal numbers of steps")
    if faults:
        raise DiagnosticException("\n".join(faults))
    return found


def refuse_unknown(record: Iterable[str], keys: Iterable[str], outputs: Iterable[str]) -> None:
    """Raise DiagnosticException for every key to record that is none, or that an output's name would hide."""
    known, hidden = list(keys), set(outputs)
    if unknown := [key for key in record if key not in known or key in hidden]:
        raise DiagnosticException(
            "\n".join(f"cannot record {quote(key)}; there are {', '.join(known)}" for key in unknown)
        )
