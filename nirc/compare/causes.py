"""Why a platform differs first where it does, found by experiment: exchange one thing, run again, look whether it goes.

A layer whose input differs already is told so. Else the way from the reference to the platform is walked: down from the
reference's chip to its step, over to the platform's step, up to its chip. The first stretch behind which the layer
differs in that step holds the cause; between two steps, options are exchanged one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from xdsl.utils.exceptions import DiagnosticException

from nirc import driver
from nirc.compare.measures import Cell, first_difference
from nirc.compare.platforms import Layer, Platform, Settings, Trace, of_scheme, rungs
from nirc.dialects.dense import Array
from nirc.dialects.nir import quote
from nirc.passes.convert_nir_to_snn.schemes import FOLLOWERS, Scheme

Differences = dict[str, Cell]
"""The first cell in which each layer differs."""

_NEVER = 1 << 62

_TIE = 1e-6
"""How near to its threshold, relatively, a membrane in f32 may lie for rounding alone to decide."""

_WORDS = {
    "decay_mem": "the membrane's decay",
    "decay_syn": "the synapse's decay",
    "clip": "decays clipped to [0, 1]",
    "gain_lif": "the gain of a LIF's input",
    "gain_mem": "the gain of the current on v",
    "gain_syn": "the gain of the input on the current",
    "if_gain": "the gain of an IF's input",
    "if_decay": "a leak of IF neurons",
    "input": "what an input value means",
    "fold_thr": "gains folded into the threshold",
    "leak": "what v_leak does",
    "syn_leak": "v_leak in the synapse",
    "syn_order": "the order of leak and input of the synapse",
    "lif_order": "the order of leak and input",
    "mem_uses": "the current of this step or of the last",
    "spike_from": "spikes from the new v or from the stored one, a step later",
    "compare": "the comparison, > or >=",
    "multi": "several spikes in a step",
    "reset": "the kind of reset",
    "reset_lif": "the kind of reset",
    "reset_if": "the kind of reset",
    "reset_at": "when the reset acts",
    "prereset": "a reset before the leak",
    "floor": "a lower bound of v",
    "floor_if": "a lower bound of v",
    "catchup": "the rest of a spike's step made up later",
    "v_init": "the initial state",
    "rec_cut": "where the loop is cut",
    "rec_cut_at": "where the loop is cut",
    "rec_bias": "a recurrent bias that is dropped",
    "dense_delay": "a step of delay in each connection",
    "lif_delay": "a step of delay before each LIF",
    "lif_height": "the height of a LIF's spikes",
}


@dataclass(frozen=True)
class Cause:
    """Why a layer differs first where it does.

    kind      `input`: what arrives differs already; `option`, `options`: of the scheme; `tie`: rounding decides at the
              threshold; `chip`: a change on the way from a step to the chip; `unknown`
    what      the layers, options or changes that it is
    text      the sentence
    evidence  what was run, and what came out
    """

    kind: str
    what: tuple[str, ...]
    text: str
    evidence: tuple[str, ...] = ()


def differences(layers: Mapping[str, Layer], reference: Trace, other: Trace) -> Differences:
    """The first difference of each layer that both traces hold."""
    found = Differences()
    for node, layer in layers.items():
        spiking = node in reference.spikes and node in other.spikes
        if spiking:
            cell = first_difference(reference.spikes[node], other.spikes[node])
        elif not layer.spiking and node in reference.v and node in other.v:
            cell = first_difference(reference.v[node], other.v[node], graded=True)
        else:
            cell = None
        if cell is not None:
            found[node] = cell
    return found


def _through(differences: Differences, node: str) -> int:
    """The first step in which a layer differs."""
    return differences[node].step if node in differences else _NEVER


def _sample(inputs: Mapping[str, Array], sample: int, steps: int | None = None) -> dict[str, Array]:
    return {name: raster[:steps, sample : sample + 1] for name, raster in inputs.items()}


@dataclass
class Finder:
    """Finds causes of what differs from the reference."""

    source: driver.Program
    layers: Mapping[str, Layer]
    settings: Settings
    reference: Platform
    _rungs: dict[str, list[tuple[str, Platform]]] = field(default_factory=dict[str, list[tuple[str, Platform]]])

    def explain(self, platform: Platform, cells: Differences, inputs: Mapping[str, Array]) -> dict[str, Cause]:
        """The cause of each layer's first difference."""
        found = dict[str, Cause]()
        for sample in dict.fromkeys(cell.sample for cell in cells.values()):
            x = _sample(inputs, sample)
            reference, own = self.reference.run(x), platform.run(x)
            here = differences(self.layers, reference, own)
            mine = {node: cell for node, cell in cells.items() if cell.sample == sample}
            roots = Differences()
            for node, cell in mine.items():
                cause = self._arriving(node, cell, here)
                if cause is None:
                    roots[node] = cell
                else:
                    found[node] = cause
            if roots:
                found |= self._roots(platform, roots, x, reference, own)
        return {node: found[node] for node in cells}

    def _arriving(self, node: str, cell: Cell, here: Differences) -> Cause | None:
        """What arrives differs already, in time to matter."""
        earlier = {
            source: here[source].step
            for source, late in self.layers[node].sources.items()
            if source in here and here[source].step <= cell.step - late
        }
        if not earlier:
            return None
        told = ", ".join(f"{quote(source)} since step {step}" for source, step in earlier.items())
        return Cause("input", tuple(earlier), f"what arrives differs already: {told}")

    def _climb(self, platform: Platform) -> list[tuple[str, Platform]]:
        if platform.name not in self._rungs:
            self._rungs[platform.name] = rungs(self.source, self.layers, platform)
        return self._rungs[platform.name]

    def _roots(
        self, platform: Platform, roots: Differences, x: Mapping[str, Array], reference: Trace, own: Trace
    ) -> dict[str, Cause]:
        """Walk the way from the reference to the platform."""
        down, up = self._climb(self.reference), self._climb(platform)
        way = [item for _, item in reversed(down)] + [item for _, item in up]
        changes = [change for change, _ in reversed(down[1:])] + [""] + [change for change, _ in up[1:]]
        last = max(cell.step for cell in roots.values())
        short = {name: raster[: last + 1] for name, raster in x.items()}
        start = self.reference.run(short)
        apart = [differences(self.layers, start, item.run(short)) if n else Differences() for n, item in enumerate(way)]
        found = dict[str, Cause]()
        for node, cell in roots.items():
            at = max(n for n, item in enumerate(apart) if _through(item, node) > cell.step)
            facts = self._facts(platform, node, cell, reference, own)
            if changes[at]:
                who = platform.name if way[at + 1] in [item for _, item in up] else self.reference.name
                facts.append("before it, the layer still does in that step what it does on the reference")
                found[node] = Cause("chip", (changes[at],), f"{changes[at]}, on {who}", tuple(facts))
            else:
                step = min(cell.step, _through(apart[at + 1], node))
                moved = Cell(step, cell.sample, cell.neuron)
                found[node] = self._of_options(way[at], way[at + 1], node, moved, x, facts)
        return found

    def _facts(self, platform: Platform, node: str, cell: Cell, reference: Trace, own: Trace) -> list[str]:
        """What the membranes were where it happened."""
        facts = list[str]()
        told = list[str]()
        for name, trace in ((self.reference.name, reference), (platform.name, own)):
            values = trace.tested.get(node)
            if values is not None:
                told.append(f"{float(values[cell.step, 0, cell.neuron]):.7g} in {name}")
        threshold = _threshold(self.layers[node], cell.neuron)
        if told and threshold is not None:
            facts.append(f"v there, before the reset: {', '.join(told)}; the threshold is {threshold:.7g}")
        margin = self._margin(node, cell, reference)
        if margin is not None and margin <= _TIE:
            facts.append(f"v of {self.reference.name} lies within {margin:.1g} of the threshold, relatively")
        return facts

    def _margin(self, node: str, cell: Cell, trace: Trace) -> float | None:
        threshold, values = _threshold(self.layers[node], cell.neuron), trace.tested.get(node)
        if threshold is None or values is None or threshold == 0:
            return None
        return abs(float(values[cell.step, 0, cell.neuron]) - threshold) / abs(threshold)

    def _of_options(
        self, a: Platform, b: Platform, node: str, cell: Cell, x: Mapping[str, Array], facts: list[str]
    ) -> Cause:
        """Exchange the options in which two steps differ, one by one."""
        if a.scheme is None or b.scheme is None:
            return Cause("unknown", (), "one of them does not cut time into steps", tuple(facts))
        total = len(next(iter(x.values())))
        steps = min(total, max(2 * (cell.step + 1), cell.step + 201))
        longer = {name: raster[:steps] for name, raster in x.items()}
        goal = a.run(longer)
        differing = [o for o, value in b.scheme.options.items() if a.scheme.options.get(o, value) != value]
        trial = _Trial(self, b.scheme, a.scheme, node, longer, goal)
        units = _units(differing)
        tie = self._tie(a, b, node, cell, longer, facts)
        if tie is not None:
            return tie
        alone = {unit: trial.until(unit) for unit in units}
        best = max(alone.values(), default=0)
        together = best if best == _NEVER or not differing else trial.until(differing)
        there, here = a.scheme, b.scheme
        if best > cell.step and best >= together:
            winners = [unit for unit, until in alone.items() if until == best]
            for unit in winners:
                told = ", ".join(f"{option}={there[option]} instead of {here[option]}" for option in unit)
                facts.append(f"with {told} in {b.name}, {_agree(best, steps, total)}")
            words = " or ".join(_told(unit[0], here, there, a.name) for unit in winners)
            return Cause("option", tuple(unit[0] for unit in winners), words, tuple(facts))
        if together > cell.step:
            needed = list(units)
            for unit in units:
                less = [item for item in needed if item != unit]
                if less and trial.until([option for item in less for option in item]) >= together:
                    needed = less
            told = ", ".join(f"{option}={there[option]}" for unit in needed for option in unit)
            facts.append(f"no single option explains it; with {told} together, {_agree(together, steps, total)}")
            later = [unit for unit in needed if alone[unit] > cell.step]
            facts += [f"with {u[0]}={there[u[0]]} alone, {_agree(alone[u], steps, total)}" for u in later]
            words = " and ".join(_told(unit[0], here, there, a.name) for unit in needed)
            return Cause("options", tuple(unit[0] for unit in needed), f"several together: {words}", tuple(facts))
        facts.append(
            f"tried without effect: {', '.join(differing)}, each and all together" if differing else "no option differs"
        )
        return Cause("unknown", (), "no option of the scheme explains it", tuple(facts))

    def _tie(
        self, a: Platform, b: Platform, node: str, cell: Cell, x: Mapping[str, Array], facts: list[str]
    ) -> Cause | None:
        """Whether it goes away where both compute in f64, with v next to the threshold."""
        margin = self._margin(node, cell, a.run({name: raster[: cell.step + 1] for name, raster in x.items()}))
        if margin is None or margin > _TIE or self.settings.precision != "f32" or not a.scheme or not b.scheme:
            return None
        settings = replace(self.settings, precision="f64")
        wide = [of_scheme(self.source, self.layers, scheme, settings) for scheme in (a.scheme, b.scheme)]
        traces = [item.run(x) for item in wide]
        if _through(differences(self.layers, *traces), node) <= cell.step:
            return None
        text = f"rounding: v lies within {margin:.1g} of the threshold"
        return Cause("tie", ("precision",), text, (*facts, "in f64 both agree there"))


def _told(option: str, here: Scheme, there: Scheme, other: str) -> str:
    return f"{_WORDS.get(option, option)} ({option} is {here[option]}, in {other} {there[option]})"


def _units(options: list[str]) -> list[tuple[str, ...]]:
    """Options that are exchanged together: those that follow another, and how a spike of the stored v resets."""
    leads = {follower: lead for lead, followers in FOLLOWERS.items() for follower in followers}
    if "spike_from" in options:
        leads["reset_at"] = "spike_from"
    units = dict[str, list[str]]()
    for option in options:
        lead = option
        while leads.get(lead) in options:
            lead = leads[lead]
        units.setdefault(lead, []).append(option)
    return [(lead, *(option for option in found if option != lead)) for lead, found in units.items()]


def _threshold(layer: Layer, neuron: int) -> float | None:
    if layer.threshold is None:
        return None
    return float(layer.threshold[neuron if layer.threshold.size > 1 else 0])


def _agree(until: int, steps: int, total: int) -> str:
    if until < _NEVER:
        return f"the layer differs first at step {until}"
    return "the layer agrees to the end" if steps == total else f"the layer agrees in all {steps} steps that were run"


@dataclass
class _Trial:
    """Runs a scheme with some of its options as another's."""

    finder: Finder
    scheme: Scheme
    other: Scheme
    node: str
    inputs: Mapping[str, Array]
    goal: Trace
    _known: dict[tuple[str, ...], int] = field(default_factory=dict[tuple[str, ...], int])

    def until(self, options: Iterable[str]) -> int:
        """The first step in which the layer then differs; -1 where the scheme refuses."""
        key = tuple(options)
        if key not in self._known:
            changed = {**self.scheme.options, **{option: self.other[option] for option in key}}
            scheme = replace(self.scheme, options=changed)
            try:
                platform = of_scheme(self.finder.source, self.finder.layers, scheme, self.finder.settings)
                trace = platform.run(self.inputs)
                self._known[key] = _through(differences(self.finder.layers, self.goal, trace), self.node)
            except DiagnosticException:
                self._known[key] = -1
        return self._known[key]
