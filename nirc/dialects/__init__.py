"""The levels of nirc, one dialect a file; the registry loads a file when its dialect is asked for."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Dialect


def _nir() -> Dialect:
    from nirc.dialects.nir import Nir

    return Nir


def _snn() -> Dialect:
    from nirc.dialects.snn import Snn

    return Snn


def _cpu() -> Dialect:
    from nirc.dialects.cpu import Cpu

    return Cpu


def _xylo() -> Dialect:
    from nirc.dialects.xylo import Xylo

    return Xylo


def _speck() -> Dialect:
    from nirc.dialects.speck import Speck

    return Speck


def _loihi2() -> Dialect:
    from nirc.dialects.loihi2 import Loihi2

    return Loihi2


def _spinnaker2() -> Dialect:
    from nirc.dialects.spinnaker2 import Spinnaker2

    return Spinnaker2


DIALECTS: dict[str, Callable[[], Dialect]] = {
    "nir": _nir,
    "snn": _snn,
    "cpu": _cpu,
    "xylo": _xylo,
    "speck": _speck,
    "loihi2": _loihi2,
    "spinnaker2": _spinnaker2,
}
