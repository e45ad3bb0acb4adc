"""The comparison as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from nirc.compare import Report, Result
from nirc.dialects.nir import quote

_SPIKES = 12
"""Spike times that a line shows."""


def as_text(report: Report) -> list[str]:
    """A line per platform and layer, what spikes alike, and why the others do not."""
    samples = f" of {report.samples} samples" if report.samples > 1 else ""
    lines = [f"{report.model}: {report.steps} steps{samples}, against {report.reference}", ""]
    lines += _table(list(_rows(report)))
    groups = report.groups()
    lines += ["", f"spikes: {len(groups)} group{'s' if len(groups) > 1 else ''} of platforms that are equal"]
    for number, group in enumerate(groups, 1):
        lines.append(f"  {number}. {', '.join(_late(result) for result in group)}{_fires(report, group[0].name)}")
    for result in report.ran[1:]:
        lines += list(_why(result))
    for result in report.results:
        if result.refused:
            lines += ["", f"{result.name} refuses the model:", *(f"  {reason}" for reason in result.refused)]
    return lines


def assumed(report: Report) -> list[str]:
    """What was assumed: of the run, of all platforms, of each."""
    each = {result.name: result.assumptions for result in report.ran}
    alike = [text for text in each[report.reference] if all(text in texts for texts in each.values())]
    lines = ["assumptions:", *(f"  {text}" for text in [*report.notes, *alike])]
    for name, texts in each.items():
        lines += [f"  {name}: {text}" for text in texts if text not in alike]
    return lines


def _late(result: Result) -> str:
    late = max(result.latency.values(), default=0)
    return f"{result.name} ({late} step{'s' if late > 1 else ''} late)" if late else result.name


def _fires(report: Report, name: str) -> str:
    if report.focus is None:
        return ""
    node, sample, neuron = report.focus
    at = report.fires_at(name)
    shown = " ".join(map(str, at[:_SPIKES])) + (f" ... ({len(at)} spikes)" if len(at) > _SPIKES else "")
    of = f" of sample {sample}" if report.samples > 1 else ""
    return f": {quote(node)}[{neuron}]{of} fires at {shown}" if at else f": {quote(node)}[{neuron}]{of} is silent"


def number(value: float | None, digits: int = 4) -> str:
    """A measure for people: never rounded up to 1 or down to 0."""
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    if float(text) == 1 and value < 1:
        return "<1"
    if float(text) == 0 and value > 0:
        return ">0"
    return text


def _rows(report: Report) -> Iterator[list[str]]:
    accurate = any(result.accuracy is not None for result in report.ran)
    head = ["platform", "layer", "spikes", "differ first", "cells", "cosine", "coincide", "|dv| max"]
    yield [*head, "accuracy"] if accurate else head
    for result in report.ran:
        name = result.name
        for node, item in result.measures.items():
            first = f"step {item.first.step}, neuron {item.first.neuron}" if item.first else "-"
            if item.first and report.samples > 1:
                first += f", sample {item.first.sample}"
            spiking = item.samples > 0
            v = "-" if item.v_error is None else f"{item.v_error[0]:.2g}"
            row = [
                name,
                quote(node),
                f"{item.spikes:,}" if spiking else "-",
                first,
                f"{item.cells:,}" if spiking else "-",
                number(item.cosine),
                number(item.coincidence(0)),
                v,
            ]
            yield [*row, "" if not name or result.accuracy is None else f"{result.accuracy:.2%}"] if accurate else row
            name = ""


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {2, 4, 5, 6, 7, 8}
    return [
        "  ".join(
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _why(result: Result) -> Iterator[str]:
    if not result.causes and not result.losses:
        return
    yield ""
    yield f"{result.name}:"
    for node, cause in result.causes.items():
        first = result.measures[node].first
        step = first.step if first else 0
        yield f"  {quote(node)} differs from step {step}: {cause.text}"
        yield from (f"    {fact}" for fact in cause.evidence)
    yield from (f"  warning: {text}" for text in result.losses)
