"""`xylo-choose-scales`: how much of v is one LSB, neuron by neuron, and by how much the weights are shifted.

A neuron's largest weight becomes 127 << k, unless its threshold would pass 2^14 LSB or its bias 8 bits:

    s = min(127 2^k / weight, 2^14 / threshold, 127 / bias)        per target neuron, or the least of a layer

A larger k gives the states finer steps and less room. Two things decide, and no bound tells which weighs more:

- a hidden neuron of the chip fires n times in a step where v reaches n thresholds, the network's neuron once. A
  threshold of 2^14 prevents that: v ends at 32767, below twice the threshold;
- but then v ends at -2 thresholds too, and what inhibition adds beyond is lost.

So the pass tries: it runs the network of real numbers and the rounded one over a raster of input and takes the shifts
under which most spikes coincide. The raster is random events at several rates; with a raster of the user's, both count,
each as much as it holds spikes, so that a short one does not decide alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import assume, quote
from nirc.dialects.xylo import XyloLimits
from nirc.frontend import rasters
from nirc.interpreters.xylo import QuickXyloEvaluator, RealXyloEvaluator, XyloEvaluator
from nirc.passes.xylo_check_limits import structural_violations
from nirc.passes.xylo_fit_time_constants import fit_time_constants
from nirc.passes.xylo_quantize import applied, onto, to_integers

_SINGLE = 2.0**14
"""The least threshold that v cannot reach twice."""
_SHIFTS = range(XyloLimits.SHIFT[0], XyloLimits.SHIFT[1] + 1)
_TINY = 1e-300

_RATES = (0.1, 0.2)
"""Events per channel and step of the probe."""
_SAMPLES = 6
"""Samples of the probe at each rate; with one, which shifts win depends on the seed."""
_PROBE = 96
"""Steps of the probe."""
_MOST = 4096
"""Steps of a user's raster that are looked at, over all samples: trials take time."""


@dataclass(frozen=True)
class XyloChooseScalesPass(ModulePass):
    """Give every `xylo.network` of real numbers its scales and shifts.

    per     `neuron` (each target neuron has a scale of its own) or `layer` (the neurons of a NIR node share one)
    raster  a file with input of the network, besides random events
    """

    name = "xylo-choose-scales"

    per: str = "neuron"
    raster: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.per not in ("neuron", "layer"):
            raise PassFailedException(f"quantize '{self.per}' is neither neuron nor layer")
        for network in op.ops:
            if isinstance(network, xylo.NetworkOp) and not network.hidden.quantized():
                if faults := list(structural_violations(network, network.limits)):
                    raise PassFailedException("\n".join(f"xylo {network.chip.data}: {fault}" for fault in faults))
                try:
                    search = _Search(op, network, self.per, self.events(op, network))
                except DiagnosticException as error:
                    lines = (f"--calibrate: {line}" for line in str(error).splitlines())
                    raise PassFailedException("\n".join(lines)) from error
                search.choose()

    def events(self, module: ModuleOp, network: xylo.NetworkOp) -> list[dict[str, Array]]:
        """The rasters to try with, the user's first: [T, B, N] by input."""
        sizes = network.input.sizes()
        if self.raster is None:
            statement = (
                f"weight scales and shifts by spike coincidence over {_PROBE} steps of random events at "
                f"{_RATES[0]:g} to {_RATES[-1]:g} per channel and step each; give --calibrate with input of your task"
            )
            assume(module, "note", "scales", statement)
            return [_probe(sizes)]
        expected = {name: (size,) for name, size in sizes.items()}
        arrays = rasters.arrange(rasters.prepare(rasters.load(self.raster), expected, None).arrays, expected).arrays
        steps, batch, _ = next(iter(arrays.values())).shape
        if not steps or not batch:
            raise DiagnosticException(f"{self.raster}: holds no steps")
        samples = max(1, min(batch, _MOST // max(steps, 1)))
        part = {name: values[:_MOST, :samples] for name, values in arrays.items()}
        statement = (
            f"weight scales and shifts by spike coincidence over {min(steps, _MOST)} steps of {samples} of the "
            f"{batch} sample(s) of {os.path.basename(self.raster)}, and over random events"
        )
        assume(module, "given", "scales", statement)
        return [part, _probe(sizes)]


def _probe(sizes: Mapping[str, int]) -> dict[str, Array]:
    """The same events for the same channels every time."""
    rng = np.random.default_rng(0)
    rates = np.repeat(_RATES, _SAMPLES)[:, None]
    return {name: (rng.random((_PROBE, len(rates), size)) < rates).astype(np.int64) for name, size in sizes.items()}


@dataclass(frozen=True)
class _Shifts:
    """The shift of each matrix."""

    inputs: int = 0
    hidden: int = 0
    readout: int = 0


class _Search:
    """The trials of one network."""

    def __init__(self, module: ModuleOp, network: xylo.NetworkOp, per: str, events: list[dict[str, Array]]):
        self.module, self.network, self.per, self.events = module, network, per, events
        self.hidden, self.readout = list(network.hidden.sizes()), list(network.readout.sizes())
        silent = network.readout.read_by_membrane()
        self.keys = tuple(f"{name}.spikes" for name in [*self.hidden, *self.readout] if name not in silent)
        results = self.run(RealXyloEvaluator, network, (*self.keys, *(f"{name}.v" for name in silent)))
        self.wanted = {key: results[key] for key in self.keys}
        """The spikes of real numbers, raster by raster."""
        self.peaks = {name: max(float(np.abs(v).max(initial=0)) for v in results[f"{name}.v"]) for name in silent}
        """The largest |v| of each layer that is read by its membrane."""
        self.fitted = network.clone()
        fit_time_constants(self.fitted)
        self.known = dict[_Shifts, dict[str, list[Array]]]()

    def run(
        self, evaluator: type[XyloEvaluator], network: xylo.NetworkOp, keys: tuple[str, ...]
    ) -> dict[str, list[Array]]:
        """What a network does over each raster."""
        batches = (next(iter(events.values())).shape[1] for events in self.events)
        results = [evaluator(network, n, keys).run(events) for n, events in zip(batches, self.events, strict=True)]
        return {key: [result[key] for result in results] for key in keys}

    def choose(self) -> None:
        """Find the best shifts, store them, and say how close they come."""
        shifts = self.best()
        self.store(self.network, shifts)
        self.report(shifts)

    def best(self) -> _Shifts:
        """The shifts under which most spikes coincide: the hidden neurons', then the readout's."""
        hidden, inside = self.network.hidden, _SHIFTS
        if self.network.relays:  # they are exact with unshifted weights alone
            inside = range(1)
        best = self.pick(self.hidden, (_Shifts(k, min(k, inside[-1])) for k in _SHIFTS))
        if np.any(hidden.numbers("weights")):
            best = self.pick(self.hidden, [best, *(replace(best, hidden=k) for k in inside)])
            best = self.pick(self.hidden, [best, *(replace(best, inputs=k) for k in _SHIFTS)])
        return self.pick(self.readout, (replace(best, readout=k) for k in inside)) if self.readout else best

    def pick(self, layers: list[str], choices: Iterable[_Shifts]) -> _Shifts:
        """The first of those under which most spikes of the layers coincide."""
        return max(choices, key=lambda choice: self.coincidence(layers, self.trial(choice)))

    def trial(self, shifts: _Shifts) -> dict[str, list[Array]]:
        """The spikes under such shifts."""
        if shifts not in self.known:
            network = self.fitted.clone()
            self.store(network, shifts)
            to_integers(network)
            self.known[shifts] = self.run(QuickXyloEvaluator, network, self.keys)
        return self.known[shifts]

    def coincidence(self, layers: list[str], found: dict[str, list[Array]]) -> float:
        """F1 over all spikes of the layers."""
        keys = [key for key in map("{}.spikes".format, layers) if key in found]
        wanted, got = ([raster for key in keys for raster in spikes[key]] for spikes in (self.wanted, found))
        return f1(wanted, got)

    def store(self, network: xylo.NetworkOp, shifts: _Shifts) -> None:
        """Write scales and shifts into a network."""
        for part, shift in zip(network.parts(), (shifts.inputs, shifts.hidden, shifts.readout), strict=True):
            part.properties["weight_shift"] = IntegerAttr(shift, i64)
        for part, fitted in ((network.hidden, self.fitted.hidden), (network.readout, self.fitted.readout)):
            part.properties["scale"] = dense(self.scales(fitted, shifts))

    def scales(self, part: xylo.HiddenOp | xylo.ReadoutOp, shifts: _Shifts) -> Array:
        """LSB per unit of v of a population."""
        shift_of = dict(zip(self.fitted.parts(), (shifts.inputs, shifts.hidden, shifts.readout), strict=True))

        def shifted(source: xylo.Group) -> Array:
            return np.abs(source.numbers("weights")) / 2.0 ** shift_of[source]

        largest = onto(part, self.fitted, shifted).max(axis=0, initial=0)
        largest = largest / applied(part.numbers("dash_syn").reshape(part.size))
        limits = [(XyloLimits.WEIGHT[1], largest), (XyloLimits.BIAS[1], np.abs(part.numbers("bias")))]
        scale = np.min([most / np.maximum(values, _TINY) for most, values in limits], axis=0)
        for name, here in part.places().items():
            # Half the range for a membrane that is read: the raster need not hold the largest value there will be.
            full = max(self.peaks[name], _TINY) if name in self.peaks else part.numbers("threshold")[here]
            scale[here] = np.minimum(scale[here], _SINGLE / full)
            if self.per == "layer" or name in self.peaks:
                scale[here] = scale[here].min()
        return scale

    def report(self, shifts: _Shifts) -> None:
        """What the first raster shows: spikes that coincide, several spikes in a step, what saturates."""
        network = self.fitted.clone()
        self.store(network, shifts)
        to_integers(network)
        first = self.events[0]
        evaluator = XyloEvaluator(network, next(iter(first.values())).shape[1], self.keys)
        found = evaluator.run(first)
        for key in self.keys:
            name, got, wanted = quote(key.removesuffix(".spikes")), found[key], self.wanted[key][0]
            if not np.any(got) and not np.any(wanted):
                assume(self.module, "note", "coincidence", f"{name} does not fire on the raster of the scales")
                continue
            text = f"{f1([wanted], [got]):.0%} of the spikes of {name} coincide with those of the network"
            counts = f" (F1; {int(got.sum())} spikes, {int(wanted.sum())} in the network)"
            assume(self.module, "note", "coincidence", text + counts)
        for text in evaluator.losses():
            assume(self.module, "note", "saturation", f"on the raster of the scales {text}")
        hidden = self.network.hidden
        held = np.rint(hidden.numbers("threshold") * hidden.numbers("scale"))
        for name, here in hidden.places().items():
            got = found[f"{name}.spikes"].astype(int)
            several = int(np.maximum(got - 1, 0).sum())
            if np.all(2 * held[here] > XyloLimits.THRESHOLD[1]):
                text = f"{quote(name)} fires at most once a step: v ends below twice its threshold"
            else:
                text = (
                    f"{quote(name)} fires several times in a step where v reaches several thresholds: {several} of "
                    f"its {int(got.sum())} spikes over the raster of the scales; the network's neurons fire once"
                )
            assume(self.module, "note", "spikes", text)


def f1(wanted: list[Array], found: list[Array]) -> float:
    """Spike coincidence 2 sum(min) / (sum + sum) of rasters of counts; surplus spikes count against it."""
    pairs = list(zip(wanted, found, strict=True))
    total = sum(int(a.sum(dtype=np.int64) + b.sum(dtype=np.int64)) for a, b in pairs)
    both = sum(int(np.minimum(a, b).sum(dtype=np.int64)) for a, b in pairs)
    return 2 * both / total if total else 1.0
