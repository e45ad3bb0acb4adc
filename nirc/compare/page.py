"""The comparison as one HTML file that needs nothing else: styles and plots stand in it, no script, no request."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from nirc import __version__
from nirc.compare import Report, Result
from nirc.compare.measures import Cell
from nirc.compare.plots import Window, lane, raster
from nirc.compare.text import number
from nirc.dialects.dense import Array
from nirc.dialects.nir import quote

_LAYERS = 12
"""Layers that are plotted."""

_ROWS = 24
"""Plots from which on each shows less."""

_STEPS = (1000, 400)
"""Steps that a lane shows; where there are many plots, the second."""

_NEURONS = (48, 16)
"""Neurons that a raster shows, likewise."""

_RASTER_STEPS = 300

_ZOOM = 25
"""Steps before and after the first difference that are shown magnified."""

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#1d1c1a;--soft:#68645d;--rule:#e3dfd8;--own:#c2410c;
--ref:#2563a8;--both:#8d8880;--mark:#be123c;--good:#e3f1e6;--good-ink:#1c6b34;--tint:#fde3d3;--track:#f5f3ef}
@media (prefers-color-scheme:dark){:root{--paper:#161513;--card:#1f1e1b;--ink:#eceae5;--soft:#a39e94;--rule:#383530;
--own:#fb923c;--ref:#7cb4f0;--both:#8a857b;--mark:#fb7185;--good:#1c3325;--good-ink:#86d29c;--tint:#4a2c18;
--track:#262420}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 64px}
h1{font-size:1.55rem;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:36px 0 10px}h3{font-size:1rem;margin:20px 0 6px;overflow-wrap:anywhere}
p{margin:6px 0}.soft,figcaption,footer{color:var(--soft)}figcaption,footer,.small{font-size:.86rem}
code{background:var(--track);border-radius:4px;padding:0 4px}
code,.mono{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.over{color:var(--soft);font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;margin:0 0 4px}
.lead{font-size:1.08rem;max-width:65ch}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:14px 0 0;font-size:.92rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 18px;margin:10px 0}
.card h3{margin-top:0}.cause{margin:8px 0 0;padding-left:12px;border-left:3px solid var(--own)}
.cause.input{border-color:var(--rule)}.refused{border-left:3px solid var(--mark)}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:7px 12px;border-top:1px solid var(--rule);white-space:nowrap;vertical-align:top}
thead th{border-top:0;color:var(--soft);font-weight:500}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tbody th{font-weight:500;position:sticky;left:0;background:var(--card)}
.same{color:var(--good-ink);background:var(--good)}.other{background:var(--tint)}
.cell b{display:block;font-weight:600}
ol.groups{list-style:none;padding:0;margin:0;counter-reset:g}
ol.groups li{counter-increment:g;display:grid;grid-template-columns:2em 1fr;padding:9px 0;
border-top:1px solid var(--rule)}
ol.groups li:first-child{border-top:0}ol.groups li::before{content:counter(g);color:var(--soft)}
.names{display:flex;flex-wrap:wrap;gap:6px}.names>span{border:1px solid var(--rule);border-radius:6px;padding:1px 8px;
background:var(--track);overflow-wrap:anywhere}
figure{margin:10px 0 22px}
.lanes{display:grid;grid-template-columns:minmax(90px,190px) minmax(0,1fr) 190px;gap:6px 12px;align-items:center}
.lanes .name{overflow-wrap:anywhere;font-size:.86rem;line-height:1.25}
.lanes .head{font-size:.78rem;color:var(--soft);line-height:1.2}
svg{display:block;width:100%;background:var(--track);border-radius:4px}
svg.lane{height:58px}svg path{fill:none;vector-effect:non-scaling-stroke}
.line{stroke-width:1.3px}.line.reference{stroke:var(--ref);opacity:.75}.line.own{stroke:var(--own)}
.tick{stroke-width:1.6px}.tick.reference{stroke:var(--ref)}.tick.own{stroke:var(--own)}
.threshold{stroke:var(--soft);stroke-width:1px;stroke-dasharray:3 3;opacity:.7}
.mark{stroke:var(--mark);stroke-width:2px;opacity:.55}
.cell.both{stroke:var(--both)}.cell.reference{stroke:var(--ref)}.cell.own{stroke:var(--own)}
svg .cell{stroke-width:1.7px}
.axis{display:flex;justify-content:space-between;font-size:.76rem;color:var(--soft);font-variant-numeric:tabular-nums}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:.84rem;color:var(--soft);margin:6px 0}
.key i{display:inline-block;width:14px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
details{margin:8px 0}summary{cursor:pointer;color:var(--soft)}details ul{margin:6px 0;padding-left:20px}
li{overflow-wrap:anywhere}
.rasters{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px}
@media (max-width:640px){main{padding:18px 14px 48px}
.lanes{grid-template-columns:minmax(0,3fr) minmax(0,2fr);gap:3px 8px}
.lanes .name{grid-column:1/-1;margin-top:6px}.lanes .head.first{display:none}svg.lane{height:52px}th,td{padding:6px 9px}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:6px}.card{padding:12px 14px}}
@media print{details{display:block}.wide{overflow:visible}}
"""


def as_page(report: Report) -> str:
    """The whole file."""
    title = f"{_text(report.model)}: {len(report.ran)} platforms compared"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(_sections(report))
        + "\n</main></body></html>\n"
    )


def _text(name: str) -> str:
    """A name or sentence as the page shows it: control characters escaped, cut where very long."""
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in name))


def _node(name: str) -> str:
    return f"<code>{_text(quote(name)[1:-1])}</code>"


def _sections(report: Report) -> Iterator[str]:
    yield from _head(report)
    yield from _groups(report)
    yield from _overview(report)
    yield from _causes(report)
    yield from _plots(report)
    yield from _numbers(report)
    yield from _assumptions(report)
    yield (
        f"<footer><p>nirc {__version__}. Steps count from 0. Coincidence: the share of spikes that have a partner in "
        "the same step, 2 pairs / (spikes of both). Cosine: of the neurons' rates over time, the mean over samples. "
        "|dv|: in the units of the file.</p></footer>"
    )


def _head(report: Report) -> Iterator[str]:
    others = report.ran[1:]
    alike = [result for result in others if result.group == report.ran[0].group]
    refused = [result for result in report.results if result.refused]
    yield f'<p class="over">nirc compare</p><h1>{_text(report.model)}</h1>'
    told = f"{len(alike)} of {len(others)} platforms spike exactly as {_name(report.reference)} does, in every layer."
    if len(alike) < len(others):
        told += f" {len(others) - len(alike)} differ; why is said below."
    if refused:
        told += f" {len(refused)} {'refuse' if len(refused) > 1 else 'refuses'} the model."
    yield f'<p class="lead">{told}</p><dl>'
    dts = dict.fromkeys(f"{result.dt:g} s" for result in report.ran if result.dt is not None)
    neurons = sum(layer.size for layer in report.layers.values())
    facts = {
        "Reference": _name(report.reference),
        "Stimulus": _text(report.stimulus),
        "Length": f"{report.steps:,} steps of {', '.join(dts) or 'any length'}, "
        f"{report.samples:,} sample{'s' if report.samples > 1 else ''}",
        "Network": f"{len(report.layers)} layer{'s' if len(report.layers) > 1 else ''}, {neurons:,} neurons",
    }
    yield "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items()) + "</dl>"
    notes = [note for note in report.notes if not note.startswith("stimulus")]
    yield "".join(f"<p>{_text(note)}</p>" for note in notes)


def _name(name: str) -> str:
    return f'<span class="mono">{_text(name)}</span>'


def _groups(report: Report) -> Iterator[str]:
    groups = report.groups()
    yield '<h2>Platforms that spike alike</h2><div class="card"><ol class="groups">'
    for group in groups:
        names = "".join(f'<span class="mono">{_text(result.name)}{_late(result)}</span>' for result in group)
        yield f'<li><div><div class="names">{names}</div>{_fires(report, group[0])}</div></li>'
    yield "</ol></div>"


def _late(result: Result) -> str:
    late = max(result.latency.values(), default=0)
    return f' <span class="soft">{late} late</span>' if late else ""


def _fires(report: Report, result: Result) -> str:
    if report.focus is None:
        return ""
    node, sample, neuron = report.focus
    at = report.fires_at(result.name)
    shown = ", ".join(map(str, at[:16])) + (f" … ({len(at)} spikes)" if len(at) > 16 else "")
    of = f" of sample {sample}" if report.samples > 1 else ""
    who = f"neuron {neuron} of {_node(node)}{of}"
    return f'<p class="small soft">{who} {f"fires at {shown}" if at else "is silent"}</p>'


def _overview(report: Report) -> Iterator[str]:
    if not report.ran[1:] or not report.layers:
        return
    yield "<h2>Coincidence, layer by layer</h2>"
    head = "".join(
        f"<th>{_node(node)}<br><span class='small'>{layer.kind}</span></th>" for node, layer in report.layers.items()
    )
    accurate = any(result.accuracy is not None for result in report.ran)
    head += "<th class='n'>accuracy</th>" if accurate else ""
    yield f'<div class="wide"><table><thead><tr><th>platform</th>{head}</tr></thead><tbody>'
    for result in report.ran:
        cells = "".join(_cell(report, result, node) for node in report.layers)
        if accurate:
            cells += f'<td class="n">{"" if result.accuracy is None else f"{result.accuracy:.2%}"}</td>'
        yield f"<tr><th>{_name(result.name)}{_late(result)}</th>{cells}</tr>"
    yield "</tbody></table></div>"


def _cell(report: Report, result: Result, node: str) -> str:
    item = result.measures.get(node)
    if item is None:
        return '<td class="soft">not visible</td>'
    if result.name == report.reference:
        return f'<td class="soft">{f"{item.spikes:,} spikes" if item.samples else "graded"}</td>'
    if item.first is None:
        return f'<td class="same cell"><b>{"equal" if item.samples else "within 1e-4"}</b></td>'
    value = number(item.coincidence(0)) if item.samples else f"|dv| {item.v_max:.2g}"
    return f'<td class="other cell"><b>{value}</b><span class="small">from step {item.first.step}</span></td>'


def _causes(report: Report) -> Iterator[str]:
    told = [result for result in report.results if result.causes or result.losses or result.refused]
    if not told:
        return
    yield "<h2>Why they differ</h2>"
    for result in told:
        yield f'<section class="card{" refused" if result.refused else ""}"><h3>{_name(result.name)}</h3>'
        if result.refused:
            yield "<p>refuses the model:</p><ul>" + "".join(f"<li>{_text(r)}</li>" for r in result.refused) + "</ul>"
        for node, cause in result.causes.items():
            first = result.measures[node].first
            assert first is not None
            of = f", sample {first.sample}" if report.samples > 1 else ""
            yield (
                f'<div class="cause {cause.kind}"><p>{_node(node)} from step {first.step} '
                f'<span class="soft">(neuron {first.neuron}{of})</span>: {_text(cause.text)}</p>'
            )
            if cause.evidence:
                items = "".join(f"<li>{_text(fact)}</li>" for fact in cause.evidence)
                yield f"<details><summary>evidence</summary><ul>{items}</ul></details>"
            yield "</div>"
        yield "".join(f"<p>{_text(text)}</p>" for text in result.losses)
        yield "</section>"


def _plots(report: Report) -> Iterator[str]:
    nodes = [node for node in report.layers if any(node in result.measures for result in report.ran)]
    shown = nodes[:_LAYERS]
    if not shown:
        return
    few = len(shown) * len(report.ran) <= _ROWS
    sample = report.focus[1] if report.focus else 0
    yield "<h2>Spikes and membranes</h2>"
    yield (
        '<div class="key"><span><i style="background:var(--ref)"></i>the reference</span>'
        '<span><i style="background:var(--own)"></i>the platform</span>'
        '<span><i style="background:var(--both)"></i>both</span>'
        '<span><i style="background:var(--mark)"></i>first difference of the layer</span></div>'
    )
    sampled = [f"sample {sample} of {report.samples}"] if report.samples > 1 else []
    if len(nodes) > len(shown):
        sampled.append(f"the first {len(shown)} of {len(nodes)} layers")
    if sampled:
        yield f'<p class="soft small">Shown: {", ".join(sampled)}.</p>'
    for node in shown:
        yield from _layer(report, node, sample, _STEPS[not few], _NEURONS[not few])


def _layer(report: Report, node: str, sample: int, most: int, neurons: int) -> Iterator[str]:
    layer = report.layers[node]
    firsts = {
        result.name: item.first
        for result in report.ran
        if (item := result.measures.get(node)) is not None and item.first is not None and item.first.sample == sample
    }
    earliest = min(firsts.values(), default=None)
    neuron = earliest.neuron if earliest else report.focus[2] if report.focus and report.focus[0] == node else 0
    window = Window.around(earliest.step if earliest else None, report.steps, most)
    yield f"<h3>{_node(node)} <span class='soft'>{layer.kind}, {layer.size:,} neurons</span></h3><figure>"
    yield f"<div class='lanes'><div class='head first'>neuron {neuron}</div>"
    told = "all steps" if window.width == report.steps else f"steps {window.start} to {window.stop - 1}"
    yield f"<div class='head'>{told}</div><div class='head'>around the first difference</div>"
    threshold = None
    if layer.threshold is not None:
        threshold = float(layer.threshold[neuron if layer.threshold.size > 1 else 0])
    first = report.traces[report.reference]
    for result in report.ran:
        if node not in result.measures:
            continue
        trace = report.traces[result.name]
        spikes, v = (
            (_of(ours.get(node), neuron), None if result.name == report.reference else _of(theirs.get(node), neuron))
            for ours, theirs in ((first.spikes, trace.spikes), (first.v, trace.v))
        )
        differs = firsts[result.name].step if result.name in firsts else None
        label = f"spikes and membrane of neuron {neuron} of {quote(node)} on {result.name}"
        yield f"<div class='name'>{_name(result.name)}{_late(result)}</div>"
        yield f"<div>{lane(label, window, spikes, v, threshold, differs)}{_axis(window)}</div>"
        if differs is None:
            yield "<div></div>"
        else:
            zoom = Window(max(0, differs - _ZOOM), min(report.steps, differs + _ZOOM + 1))
            yield f"<div>{lane(label, zoom, spikes, v, threshold, differs)}{_axis(zoom)}</div>"
    yield "</div></figure>"
    if layer.size > 1 and node in first.spikes:
        yield from _rasters(report, node, firsts, neurons)


def _axis(window: Window) -> str:
    ends = dict.fromkeys((window.start, (window.start + window.stop - 1) // 2, window.stop - 1))
    return f"<div class='axis'>{''.join(f'<span>{t}</span>' for t in ends)}</div>"


def _of(values: Array | None, neuron: int) -> Array | None:
    return None if values is None else values[:, 0, neuron]


def _rasters(report: Report, node: str, firsts: dict[str, Cell], most: int) -> Iterator[str]:
    """All spikes of some neurons, of the platforms that differ in the sample shown."""
    size = report.layers[node].size
    reference = report.traces[report.reference].spikes[node][:, 0]
    plots = list[str]()
    for result in report.ran[1:]:
        own = report.traces[result.name].spikes.get(node)
        if result.name not in firsts or own is None:
            continue
        step, _, neuron = firsts[result.name]
        kept = np.unique([neuron, *np.linspace(0, size - 1, min(size, most - 1)).astype(int)])
        if size <= most:
            kept = np.arange(size)
        window = Window.around(step, report.steps, _RASTER_STEPS)
        label = f"spikes of {quote(node)} on {result.name} and on {report.reference}"
        row = int(np.searchsorted(kept, neuron))
        plot = raster(label, window, reference[:, kept], own[:, 0][:, kept], (step, row))
        plot = plot.replace("<svg ", f'<svg style="height:{max(60, 6 * len(kept))}px" ', 1)
        told = (
            f"all {size} neurons"
            if len(kept) == size
            else (f"{len(kept)} of {size:,} neurons, evenly spaced and the one that differs first")
        )
        steps = "all steps" if window.width == report.steps else f"steps {window.start} to {window.stop - 1}"
        caption = f"<figcaption>{told}; {steps}</figcaption>"
        plots.append(f"<div><p class='small'>{_name(result.name)}</p>{plot}{_axis(window)}{caption}</div>")
    if plots:
        yield f"<figure class='rasters'>{''.join(plots)}</figure>"


def _numbers(report: Report) -> Iterator[str]:
    head = ("layer", "spikes", "cells that differ", "of", "first difference", "cosine", "coincidence", "± 1 step")
    yield "<h2>All numbers</h2>"
    yield '<div class="wide"><table><thead><tr><th>platform</th>'
    yield "".join(f"<th>{text}</th>" for text in (*head, "|dv| max", "|dv| rms", "latency")) + "</tr></thead><tbody>"
    for result in report.ran:
        for node, item in result.measures.items():
            spiking = item.samples > 0
            first = "-"
            if item.first is not None:
                of = f", sample {item.first.sample}" if report.samples > 1 else ""
                first = f"step {item.first.step}, neuron {item.first.neuron}{of}"
            v = ("-", "-") if item.v_error is None else tuple(f"{value:.2g}" for value in item.v_error)
            values = (
                f"{item.spikes:,}" if spiking else "-",
                f"{item.cells:,}" if spiking else "-",
                f"{item.size:,}" if spiking else "-",
                first,
                number(item.cosine),
                number(item.coincidence(0)),
                number(item.coincidence(1)),
                *v,
                str(result.latency.get(node, 0)),
            )
            cells = "".join(f'<td class="n">{value}</td>' for value in values)
            yield f"<tr><th>{_name(result.name)}</th><td>{_node(node)}</td>{cells}</tr>"
    yield "</tbody></table></div>"


def _assumptions(report: Report) -> Iterator[str]:
    yield "<h2>What was assumed</h2>"
    for result in report.ran:
        items = "".join(f"<li>{_text(text)}</li>" for text in result.assumptions)
        yield f"<details><summary>{_name(result.name)}</summary><ul>{items}</ul></details>"
