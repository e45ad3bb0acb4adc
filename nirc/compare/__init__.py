"""`nirc compare`: where platforms will differ on a model, by how much, and why.

Each platform runs the same raster: simulators as schemes on the evaluator of `snn`, chips on their own evaluators. The
numbers are added up over parts of the batch, so that no more is held than a part needs; causes are found by experiment
(`causes.py`). A chip is late by whole steps that are known: they are taken off before anything is compared, and said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import DiagnosticException

from nirc import driver
from nirc.compare.causes import Cause, Finder
from nirc.compare.measures import Measures, accuracy
from nirc.compare.platforms import (
    Layer,
    Named,
    Platform,
    Settings,
    Trace,
    layers_of,
    make,
    parse_platforms,
)
from nirc.dialects import nir
from nirc.dialects.dense import Array
from nirc.dialects.nir import quote
from nirc.frontend import rasters

_HELD = 1 << 24
"""Values of one platform's records that are held at once, where more than one sample does not need more."""

_STEPS = 500
"""Of the stimulus that is used where none is given."""

_RATES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""What is tried for it: events per value and step."""

_ENOUGH = 10
"""Spikes of every layer of the reference under it."""


@dataclass(frozen=True)
class Labels:
    """Classes of the samples; code words [classes, outputs], used where there are not as many outputs as classes."""

    classes: Array
    codes: Array | None = None


@dataclass
class Result:
    """What became of one platform.

    refused   its reasons; nothing else is there then
    latency   steps by which each layer is late, taken off before it was compared
    group     platforms of one number spike alike in every layer that all have
    """

    name: str
    refused: tuple[str, ...] = ()
    platform: Platform | None = None
    measures: dict[str, Measures] = field(default_factory=dict[str, Measures])
    causes: dict[str, Cause] = field(default_factory=dict[str, Cause])
    accuracy: float | None = None
    losses: tuple[str, ...] = ()
    group: int | None = None

    @property
    def latency(self) -> dict[str, int]:
        """By layer."""
        if self.platform is None:
            return {}
        return {node: reading.latency for node, reading in self.platform.readings.items()}

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was assumed for this platform."""
        return self.platform.program.assumptions if self.platform is not None else ()

    @property
    def dt(self) -> float | None:
        """Its step in seconds, None where nothing depends on it."""
        return self.platform.program.dt if self.platform is not None else None


@dataclass
class Report:
    """A comparison: `text.py`, `page.py` and `data.py` write it.

    focus   the layer, sample and neuron whose spikes stand for the whole in summaries and plots
    traces  what each platform did on that sample
    """

    model: str
    stimulus: str
    given: bool
    inputs: dict[str, Array]
    reference: str
    layers: dict[str, Layer]
    results: list[Result]
    notes: list[str]
    focus: tuple[str, int, int] | None = None
    traces: dict[str, Trace] = field(default_factory=dict[str, Trace])

    @property
    def ran(self) -> list[Result]:
        """Those that did not refuse, the reference first."""
        return [result for result in self.results if not result.refused]

    @property
    def steps(self) -> int:
        """Of the raster."""
        return len(next(iter(self.inputs.values())))

    @property
    def samples(self) -> int:
        """Of the raster."""
        return next(iter(self.inputs.values())).shape[1]

    def groups(self) -> list[list[Result]]:
        """Platforms that spike alike."""
        numbers = dict.fromkeys(result.group for result in self.ran)
        return [[result for result in self.ran if result.group == number] for number in numbers]

    def fires_at(self, name: str) -> list[int]:
        """The steps of the network in which the neuron in focus fires; a chip's latency is taken off."""
        if self.focus is None:
            return []
        layer, _, neuron = self.focus
        spikes = self.traces[name].spikes.get(layer)
        return [] if spikes is None else np.flatnonzero(spikes[:, 0, neuron]).tolist()


def load_labels(path: str, samples: int) -> Labels:
    """`.npy` of one class a sample, or `.npz` with `labels` and, where outputs are code words, `codes`.

    Raises DiagnosticException with everything that does not fit.
    """
    found = rasters.load(path)
    arrays = {"labels": found} if isinstance(found, np.ndarray) else found
    if not isinstance(arrays, dict) or "labels" not in arrays:
        raise DiagnosticException(f"{path}: labels are a .npy of one class a sample, or a .npz with `labels`")
    labels, codes = np.atleast_1d(arrays["labels"]), arrays.get("codes")
    faults = list[str]()
    if labels.shape != (samples,) or labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        faults.append(
            f"{path}: labels are {labels.dtype} {'x'.join(map(str, labels.shape))}, must be {samples} whole numbers, "
            "one class a sample"
        )
    if codes is not None and (codes.ndim != 2 or codes.dtype.kind not in "biu" or np.any((codes != 0) & (codes != 1))):
        faults.append(f"{path}: codes must be classes x outputs of 0 and 1")
    elif codes is not None and not faults and labels.max(initial=0) >= len(codes):
        faults.append(f"{path}: class {labels.max()} has no code word, there are {len(codes)}")
    if faults:
        raise DiagnosticException("\n".join(faults))
    return Labels(labels.astype(np.int64), codes)


def compare(
    model: driver.Model,
    platforms: str,
    *,
    inputs: Mapping[str, Array] | Array | rasters.NirData | None = None,
    labels: str | None = None,
    reference: str | None = None,
    batch_first: bool = False,
    fixes: Iterable[str] = (),
    source: str = "",
    **options: object,
) -> Report:
    """Run a model on every platform of `--as` and say where they differ from the reference, by default the first.

    inputs: rasters by input name; without them a stimulus that the report's notes describe. labels: a file.
    options: dt, scheme, reset, precision, strict. Raises DiagnosticException with what is wrong with the model or the
    command, and where the reference refuses or nothing is left to compare with it.
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    named = _ordered(parse_platforms(platforms), reference)
    if settings.dt == "best":
        raise DiagnosticException("--dt best suits one chip; to compare, give seconds or auto")
    program = driver.load(model, fixes=fixes)
    program.lower("nir")
    graph = nir.graph_of(program.module)
    if graph is None:
        raise DiagnosticException("nirc compare starts from a model: a .nir file, or IR of the level nir")
    layers = layers_of(graph)
    expected = {
        name.data: nir.shape_of(argument) or ()
        for name, argument in zip(graph.inputs, cast(Iterable[SSAValue], graph.body.block.args), strict=True)
    }
    results = [_made(program, layers, item, settings) for item in named]
    first = results[0]
    if first.platform is None:
        raise DiagnosticException("\n".join(f"the reference {first.name}: {reason}" for reason in first.refused))
    notes = list[str]()
    if inputs is None:
        if settings.strict:
            raise DiagnosticException("under --strict this must be said: stimulus; give --input RASTER")
        x, stimulus = _stimulus(first.platform, layers, expected)
        notes.append(f"stimulus: {stimulus}")
    else:
        run = rasters.prepare(inputs, expected, first.dt, batch_first=batch_first)
        x = rasters.arrange(run.arrays, expected, batch_first=run.batch_first).arrays
        notes += run.notes
        stimulus = source or "the rasters given"
    steps, samples = next(iter(x.values())).shape[:2]
    if not steps or not samples:
        raise DiagnosticException(f"the raster has {steps} steps of {samples} samples; there is nothing to run")
    known = None if labels is None else load_labels(labels, samples)
    if len(steps_seen := {result.dt for result in results if result.dt is not None}) > 1:
        told = ", ".join(f"{dt:g} s" for dt in sorted(steps_seen))
        notes.append(f"dt: the platforms run under different steps: {told}; give --dt to compare under one")
    name = Path(model).name if isinstance(model, str) else str(getattr(model, "name", "the model"))
    report = Report(name, stimulus, inputs is not None, x, first.name, layers, results, notes)
    _measure(report, known)
    _explain(report, program, settings)
    return report


def _ordered(named: list[Named], reference: str | None) -> list[Named]:
    """The reference first."""
    if reference is None:
        return named
    wanted = [item for item in named if reference in (item.spelling, item.name)]
    if len(wanted) != 1:
        known = ", ".join(item.spelling for item in named)
        raise DiagnosticException(f"--reference '{reference}' is {'none' if not wanted else 'several'} of {known}")
    return [*wanted, *(item for item in named if item is not wanted[0])]


def _made(program: driver.Program, layers: Mapping[str, Layer], named: Named, settings: Settings) -> Result:
    try:
        return Result(named.spelling, platform=make(program, layers, named, settings))
    except DiagnosticException as error:
        return Result(named.spelling, tuple(str(error).splitlines()))


def _stimulus(
    platform: Platform, layers: Mapping[str, Layer], expected: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Array], str]:
    """Random events, as few as make every spiking layer of the reference fire some times."""
    x, told = dict[str, Array](), ""
    for rate in _RATES:
        draw = np.random.default_rng(0)
        x = {name: (draw.random((_STEPS, 1, *shape)) < rate).astype(np.float32) for name, shape in expected.items()}
        trace = platform.run(x)
        silent = [node for node, spikes in trace.spikes.items() if spikes.sum(dtype=np.int64) < _ENOUGH]
        told = f"none was given (--input), so {_STEPS} steps of random events, {rate:g} per value and step (seed 0)"
        if not silent:
            tried = ", ".join(f"{r:g}" for r in _RATES)
            return x, f"{told}, the fewest of {tried} under which every layer fires {_ENOUGH} times"
    return x, f"{told}; more do not make every layer fire {_ENOUGH} times"


def _parts(report: Report) -> Iterator[tuple[int, dict[str, Array]]]:
    """Parts of the batch that fit into memory, each with the number of its first sample."""
    per_sample = report.steps * max(1, sum(2 * layer.size for layer in report.layers.values()))
    size = max(1, _HELD // per_sample)
    for start in range(0, report.samples, size):
        yield start, {name: raster[:, start : start + size] for name, raster in report.inputs.items()}


def _measure(report: Report, labels: Labels | None) -> None:
    """Run all platforms part by part, and add up."""
    digests = {result.name: {node: hashlib.sha256() for node in report.layers} for result in report.results}
    right = {result.name: 0.0 for result in report.results}
    for start, part in _parts(report):
        traces = dict[str, Trace]()
        for result in report.ran:
            assert result.platform is not None
            try:
                trace = traces[result.name] = result.platform.run(part)
            except DiagnosticException as error:
                result.refused = tuple(str(error).splitlines())
                if result.name == report.reference:
                    raise
                continue
            reference = traces[report.reference]
            _add(result, report.layers, start, reference, trace)
            for node, spikes in trace.spikes.items():
                if node in digests[result.name]:
                    digests[result.name][node].update(np.ascontiguousarray(spikes, np.uint8).tobytes())
            if labels is not None:
                right[result.name] += _right(result.name, trace, labels, start)
    if len(report.ran) < 2 and len(report.results) > 1:
        reasons = [f"{r.name}: {reason}" for r in report.results for reason in r.refused]
        raise DiagnosticException("\n".join(reasons))
    common = [
        node
        for node in report.layers
        if all(result.platform is not None and _spikes(result.platform, node) for result in report.ran)
    ]
    keys = dict[tuple[str, ...], int]()
    for result in report.ran:
        key = tuple(digests[result.name][node].hexdigest() for node in common)
        result.group = keys.setdefault(key, len(keys) + 1)
        if labels is not None:
            result.accuracy = right[result.name] / report.samples
        assert result.platform is not None
        result.losses = tuple(result.platform.losses())


def _spikes(platform: Platform, node: str) -> bool:
    reading = platform.readings.get(node)
    return reading is not None and reading.spikes is not None


def _right(name: str, trace: Trace, labels: Labels, start: int) -> float:
    """How many samples of a part are classified right."""
    if len(trace.outputs) != 1:
        names = ", ".join(map(quote, trace.outputs))
        raise DiagnosticException(f"--labels needs a model with one Output, {name} has {names}")
    outputs = next(iter(trace.outputs.values()))
    size, there = outputs.shape[1], outputs.reshape(*outputs.shape[:2], -1).shape[2]
    classes = labels.classes[start : start + size]
    codes = labels.codes
    if codes is not None and codes.shape[1] != there:
        if len(codes) != there:
            held = " x ".join(map(str, codes.shape))
            raise DiagnosticException(f"--labels: codes are {held}, {name} gives {there} outputs")
        codes = None  # as many outputs as classes: they are the classes
    if codes is None and labels.classes.max() >= there:
        raise DiagnosticException(
            f"--labels: class {labels.classes.max()} is none of the {there} outputs of {name}; give `codes`"
        )
    return accuracy(outputs, classes, codes) * size


def _add(result: Result, layers: Mapping[str, Layer], start: int, reference: Trace, trace: Trace) -> None:
    for node, layer in layers.items():
        spikes, v = (
            (ours[node], theirs[node]) if node in ours and node in theirs else None
            for ours, theirs in ((reference.spikes, trace.spikes), (reference.v, trace.v))
        )
        if spikes is not None or (v is not None and not layer.spiking):
            result.measures.setdefault(node, Measures(spikes is not None)).add(start, spikes, v)


def _explain(report: Report, program: driver.Program, settings: Settings) -> None:
    """Find the causes, and the layer, sample and neuron that stand for the whole."""
    reference = report.ran[0]
    assert reference.platform is not None
    trials = replace(settings, strict=False, dt=reference.dt or settings.dt)
    finder = Finder(program, report.layers, trials, reference.platform)
    order = list(report.layers)
    places = list[tuple[int, int, int, int]]()
    for result in report.ran[1:]:
        cells = {node: item.first for node, item in result.measures.items() if item.first is not None}
        assert result.platform is not None
        result.causes = finder.explain(result.platform, cells, report.inputs)
        places += [
            (cell.step, order.index(node), cell.sample, cell.neuron)
            for node, cell in cells.items()
            if report.layers[node].spiking
        ]
    spiking = [node for node in order if node in reference.platform.readings and report.layers[node].spiking]
    if places:
        _, at, sample, neuron = min(places)
        report.focus = (order[at], sample, neuron)
    elif spiking:
        report.focus = (spiking[-1], 0, 0)
    sample = report.focus[1] if report.focus is not None else 0
    x = {name: raster[:, sample : sample + 1] for name, raster in report.inputs.items()}
    for result in report.ran:
        assert result.platform is not None
        report.traces[result.name] = result.platform.run(x)
