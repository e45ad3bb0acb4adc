"""The targets of nirc: for each its way down from `nir` and its emitter; for chips their evaluator and importer.

A backend only strings passes together and prints; what is decided, a pass decides. The registry loads a backend when
its target is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Protocol, runtime_checkable

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.target import Target

from nirc.dialects.dense import Array
from nirc.frontend.nir_data import Events


@dataclass(frozen=True)
class Options:
    """What a user may tell a target; None where nothing was said."""

    dt: float | str = "auto"
    scheme: str | None = None
    reset: str | None = None
    precision: str = "f32"
    chip: str | None = None
    mapping: str | None = None
    quantize: str | None = None
    calibrate: str | None = None
    template: str | None = None
    placement: str | None = None
    lower_bound: str | None = None
    weight_splits: str | None = None
    weight_rounding: str | None = None
    inputs: str | None = None
    triple: str | None = None
    cpu: str | None = None
    name: str | None = None
    form: str | None = None
    """The format that will be written, where the passes have to know it."""


class Evaluator(Protocol):
    """Runs one level's network over rasters [T, B, N...]; states stay between calls until `reset`."""

    def run(self, inputs: Mapping[str, Array], progress: Callable[[int], None] | None = None) -> dict[str, Array]:
        """Outputs by name, recorded states by key."""
        ...

    def reset(self) -> None:
        """Back to the state before the first step."""
        ...


@runtime_checkable
class Threaded(Protocol):
    """An evaluator that divides a batch among threads."""

    threads: int


@runtime_checkable
class Timed(Protocol):
    """An evaluator that knows the instants of spikes, by the names of its results."""

    events: dict[str, Events]


def written(target: Target, module: ModuleOp) -> bytes:
    """What a target of xDSL writes."""
    output = StringIO()
    target.emit(Context(), module, output)
    return output.getvalue().encode()


MakeEvaluator = Callable[[ModuleOp, int, tuple[str, ...]], Evaluator]

Stages = dict[str, tuple[ModulePass, ...]]
"""The passes that end at each level, level by level from the top."""


@dataclass(frozen=True)
class Reading:
    """How a node's neurons are read off what a runner records.

    spikes   the key of their spikes, None where they have none
    v        the key of their membranes after a step, None where they are not seen
    scale    LSB of v per unit of the network's v:  v = recorded / scale + offset
    latency  steps by which they are late against the network
    """

    spikes: str | None
    v: str | None
    scale: Array | float = 1.0
    offset: Array | float = 0.0
    latency: int = 0


@dataclass(frozen=True)
class Runner:
    """How a target runs.

    level      of the module that it runs, down to which `nirc.compile` lowers
    evaluator  of that level: module, batch, what to record
    inputs     the inputs of that level and their shapes, to read rasters by
    models     evaluators by the names that --model takes, where there are several; `evaluator` is the first
    readings   how the neurons of the network's nodes are read off the records
    """

    level: str
    evaluator: MakeEvaluator
    inputs: Callable[[ModuleOp], dict[str, tuple[int, ...]]]
    models: Mapping[str, MakeEvaluator] = field(default_factory=dict[str, MakeEvaluator])
    readings: Callable[[ModuleOp], dict[str, Reading]] | None = None


@dataclass(frozen=True)
class Rung:
    """A chip's network on its way from a step in real numbers to its own: what changed last, and how it runs."""

    change: str
    module: ModuleOp
    evaluator: MakeEvaluator
    readings: dict[str, Reading]


@dataclass(frozen=True)
class Chip:
    """What else there is where a target is a chip.

    generations  the names that --chip takes; none where there is one
    read         the importer of the target's own configurations: text and generation to module
    summary      lines that say how much of the chip a compiled module takes
    owns         whether a JSON object looks like a configuration of this chip
    rungs        networks between a module at level `snn` and the chip's, one change at a time, to find what made a
                 difference; the last change, to the chip's own arithmetic, is not among them
    files        importers of files that are no JSON, by the files' endings: path to module
    """

    generations: tuple[str, ...]
    read: Callable[[str, str | None], ModuleOp]
    summary: Callable[[ModuleOp], list[str]]
    owns: Callable[[dict[str, Any]], bool]
    rungs: Callable[[ModuleOp, Options], Iterable[Rung]] | None = None
    files: Mapping[str, Callable[[str], ModuleOp]] = field(default_factory=dict[str, Callable[[str], ModuleOp]])


@dataclass(frozen=True)
class Backend:
    """Everything that nirc knows about a target.

    stages   the pipeline under the user's options, which it hands to passes as they are
    emit     the target's own format, from the last level
    runner   how it runs, where it can
    chip     what else there is where the target is a chip
    emits_by the options that writing looks at
    formats  what else it writes from the last level, by the name that --emit takes, which as a file's ending does the
             same; `emit` may be among them
    beside   files that belong to what is written, by the ending that takes the place of its own
    """

    name: str
    about: str
    stages: Callable[[Options], Stages]
    emit: Callable[[ModuleOp, Options], bytes]
    runner: Runner | None = None
    chip: Chip | None = None
    emits_by: tuple[str, ...] = ()
    formats: Mapping[str, Callable[[ModuleOp, Options], bytes]] = field(
        default_factory=dict[str, Callable[[ModuleOp, Options], bytes]]
    )
    beside: Callable[[ModuleOp, Options], dict[str, bytes]] | None = None


def _nir() -> Backend:
    from nirc.backends.nir import BACKEND

    return BACKEND


def _cpu() -> Backend:
    from nirc.backends.cpu import BACKEND

    return BACKEND


def _c() -> Backend:
    from nirc.backends.c import BACKEND

    return BACKEND


def _xylo() -> Backend:
    from nirc.backends.xylo import BACKEND

    return BACKEND


def _speck() -> Backend:
    from nirc.backends.speck import BACKEND

    return BACKEND


def _loihi2() -> Backend:
    from nirc.backends.loihi2 import BACKEND

    return BACKEND


def _spinnaker2() -> Backend:
    from nirc.backends.spinnaker2 import BACKEND

    return BACKEND


BACKENDS: dict[str, Callable[[], Backend]] = {
    "nir": _nir,
    "cpu": _cpu,
    "c": _c,
    "xylo": _xylo,
    "speck": _speck,
    "loihi2": _loihi2,
    "spinnaker2": _spinnaker2,
}
