"""nirc: a compiler for spiking neural networks, from NIR to neuromorphic chips.

program = nirc.compile("model.nir", target="xylo")
spikes = program.run(raster)
program.save("cfg.json")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nirc.driver import Program, compile, load

__version__ = "0.1.0"
__all__ = ["Program", "compile", "load"]


def __getattr__(name: str) -> Any:
    """Load the driver when it is asked for, so that importing nirc costs nothing."""
    if name in __all__:
        from nirc import driver

        return getattr(driver, name)
    raise AttributeError(f"module 'nirc' has no attribute '{name}'")
