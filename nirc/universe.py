"""What nirc adds to xDSL's tools: through the entry point `xdsl.universe`, plain `xdsl-opt` knows all of it."""

from __future__ import annotations

from xdsl.universe import Universe
from xdsl.utils.target import Target

from nirc.dialects import DIALECTS
from nirc.passes import PASSES


def _xylo() -> type[Target]:
    from nirc.backends.xylo.emit import XyloTarget

    return XyloTarget


def _speck() -> type[Target]:
    from nirc.backends.speck.emit import SpeckTarget

    return SpeckTarget


def _loihi2() -> type[Target]:
    from nirc.backends.loihi2.emit import Loihi2Target

    return Loihi2Target


def _spinnaker2() -> type[Target]:
    from nirc.backends.spinnaker2.emit import Spinnaker2Target

    return Spinnaker2Target


_TARGETS = {"xylo": _xylo, "speck": _speck, "loihi2": _loihi2, "spinnaker2": _spinnaker2}

NIRC_UNIVERSE = Universe(all_dialects=DIALECTS, all_passes=PASSES, all_targets=_TARGETS)
