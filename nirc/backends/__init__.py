"""The targets of nirc: for each its way down from `nir`, its emitter, its evaluator and its importer.

A backend only strings passes together and prints; what is decided, a pass decides. The registry loads a backend when
its target is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.target import Target

from nirc.dialects.dense import Array


@dataclass(frozen=True)
class Options:
    """What a user may tell a target; None where nothing was said."""

    dt: float | str = "auto"
    scheme: str | None = None
    reset: str | None = None
    precision: str = "f32"
    chip: str | None = None
    quantize: str | None = None
    template: str | None = None


class Evaluator(Protocol):
    """Runs one level's network over rasters [T, B, N...]; states stay between calls until `reset`."""

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Outputs by name, recorded states by key."""
        ...

    def reset(self) -> None:
        """Back to the state before the first step."""
        ...


Stages = dict[str, tuple[ModulePass, ...]]
"""The passes that end at each level, level by level from the top."""


@dataclass(frozen=True)
class Backend:
    """Everything that nirc knows about a target.

    stages     the pipeline under the user's options
    target     the emitter of the last level
    evaluator  of the last level: module, batch, what to record
    inputs     the inputs of the last level and their shapes, to read rasters by
    read       the importer of the target's own configurations: text and chip to module
    summary    lines that say how much of the chip a compiled module takes
    """

    name: str
    about: str
    chips: tuple[str, ...]
    stages: Callable[[Options], Stages]
    target: Callable[[Options], Target]
    evaluator: Callable[[ModuleOp, int, tuple[str, ...]], Evaluator]
    inputs: Callable[[ModuleOp], dict[str, tuple[int, ...]]]
    read: Callable[[str, str | None], ModuleOp]
    summary: Callable[[ModuleOp], list[str]]


def _xylo() -> Backend:
    from nirc.backends.xylo import BACKEND

    return BACKEND


BACKENDS: dict[str, Callable[[], Backend]] = {"xylo": _xylo}
