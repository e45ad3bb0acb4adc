"""The comparison as plain data, for JSON; deterministic.

| key       | what                                                                                                   |
|-----------|--------------------------------------------------------------------------------------------------------|
| schema    | `nirc.compare/1`                                                                                       |
| model, stimulus, steps, samples, reference, notes | what was run; notes: what was assumed of the run itself        |
| layers    | the nodes with neurons in the order of the step: node, type, shape, sources (by name, whether late)    |
| focus     | layer, sample, neuron whose spikes stand for the whole; null where no layer spikes                     |
| groups    | lists of platforms that spike alike in every layer that all of them have                               |
| platforms | in the order of --as, the reference first, each as below                                               |

Of a platform: name, kind (scheme, chip, solver), refused (its reasons; then nothing else), dt [s] or null, assumptions,
losses, group, accuracy (0 to 1, null without labels), fires_at (steps of the neuron in focus, latency taken off), and
layers.
Of a layer: latency (steps that were taken off), spikes, reference_spikes, cells_different of cells, rate_cosine,
coincidence (same step), coincidence_1 (a step apart counts), v_error_max, v_error_rms (in the file's units), first:
step, sample, neuron, cause (kind, what, text, evidence); null where it does not differ, as is each number that is not
there. Steps count from 0.
"""

from __future__ import annotations

from typing import Any

from nirc import __version__
from nirc.compare import Report, Result

SCHEMA = "nirc.compare/1"


def as_data(report: Report) -> dict[str, Any]:
    """Everything but the traces."""
    focus = None if report.focus is None else dict(zip(("layer", "sample", "neuron"), report.focus, strict=True))
    return {
        "schema": SCHEMA,
        "nirc": __version__,
        "model": report.model,
        "stimulus": report.stimulus,
        "steps": report.steps,
        "samples": report.samples,
        "reference": report.reference,
        "notes": report.notes,
        "layers": [
            {"node": layer.node, "type": layer.kind, "shape": list(layer.shape), "sources": dict(layer.sources)}
            for layer in report.layers.values()
        ],
        "focus": focus,
        "groups": [[result.name for result in group] for group in report.groups()],
        "platforms": [_platform(report, result) for result in report.results],
    }


def _platform(report: Report, result: Result) -> dict[str, Any]:
    if result.refused or result.platform is None:
        return {"name": result.name, "refused": list(result.refused)}
    return {
        "name": result.name,
        "kind": result.platform.kind,
        "refused": [],
        "dt": result.dt,
        "assumptions": list(result.assumptions),
        "losses": list(result.losses),
        "group": result.group,
        "accuracy": result.accuracy,
        "fires_at": report.fires_at(result.name),
        "layers": {node: _layer(result, node) for node in result.measures},
    }


def _layer(result: Result, node: str) -> dict[str, Any]:
    item, cause = result.measures[node], result.causes.get(node)
    v = item.v_error or (None, None)
    spiking = item.samples > 0
    why = None if cause is None else {**vars(cause), "what": list(cause.what), "evidence": list(cause.evidence)}
    return {
        "latency": result.latency.get(node, 0),
        "spikes": item.spikes if spiking else None,
        "reference_spikes": item.of_reference if spiking else None,
        "cells_different": item.cells if spiking else None,
        "cells": item.size if spiking else None,
        "rate_cosine": item.cosine,
        "coincidence": item.coincidence(0),
        "coincidence_1": item.coincidence(1),
        "v_error_max": v[0],
        "v_error_rms": v[1],
        "first": None if item.first is None else {**item.first._asdict(), "cause": why},
    }
