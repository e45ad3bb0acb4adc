"""`nir-settle`: what NIR leaves open is chosen and attached, so that the equations themselves can be solved."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, f64
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import nir
from nirc.dialects.nir import listed
from nirc.interpreters.nir.plan import Plan
from nirc.passes.convert_nir_to_snn import RESET_TEXTS, ConvertNirToSnnPass
from nirc.passes.convert_nir_to_snn.neurons import Neuron, integrator_gain
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES, Scheme
from nirc.passes.convert_nir_to_snn.step import Step, stated_resets
from nirc.passes.nir_infer_shapes import require_shapes

OPEN = ("input", "reset", "reset_lif", "reset_if", "v_init", "if_gain")
"""The options of a scheme that speak of the equations; the others say how time is cut, which it is not here."""


@dataclass(frozen=True)
class NirSettlePass(ModulePass):
    """Choose the step of rasters, the meaning of an input value and of a spike, the resets, and the initial state.

    dt      the step of rasters in seconds, and how long a spike lasts under input=held; or `auto`
    scheme  `nir-...[,option=value...]` with the options input, reset, v_init and if_gain; others cut time
    reset   short for the option of that name

    Raises PassFailedException with everything in the graph that the solver of `nir` does not solve.
    """

    name = "nir-settle"

    dt: float | int | str = "auto"
    scheme: str | None = None
    reset: str | None = None
    precision: str = "f64"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        choices = ConvertNirToSnnPass(self.dt, self.scheme, self.reset, precision=self.precision)
        scheme = choices.chosen_scheme()
        graph = nir.graph_of(op)
        if graph is None:
            raise PassFailedException("the module holds no nir.graph")
        if nested := [instance.node.data for instance in graph.instances()]:
            raise PassFailedException(f"there are nested graphs, {listed(nested)}; run nir-inline-graphs first")
        require_shapes(op)
        if faults := list(_unfit(scheme)):
            raise DiagnosticException("\n".join(faults))
        if self.dt == "best":
            raise DiagnosticException("--dt best suits steps to a chip; the equations take none")
        dt, _ = choices.chosen_dt(op, graph, scheme)
        nir.set_time_step(op, dt)
        step = Step(scheme, dt, f64, "zero", stated_resets(graph.metadata))
        faults = Plan(graph).faults(impulses=scheme["input"] == "impulse")
        for node in graph.nodes():
            if isinstance(node, nir.NeuronOp):
                neuron = Neuron(step, node)
                neuron.v_init()
                if isinstance(node, nir.IFOp | nir.IOp):
                    integrator_gain(neuron)
                if node.SPIKING and neuron.reset_kind() == "none":
                    neuron.fail("reset", "none: v stays above the threshold, and the neuron would fire without end")
        if faults := [*faults, *step.faults]:
            raise PassFailedException("\n".join(faults))
        nir.settle_scheme(op, scheme.spelling)
        with nir.assuming(op) as note:
            _report(note, scheme, step)


def _unfit(scheme: Scheme) -> list[str]:
    """What of a scheme means nothing without steps."""
    if not scheme.name.startswith("nir-"):
        known = ", ".join(name for name in SCHEMES if name.startswith("nir-"))
        return [f"the scheme {scheme.name} is a simulator's steps, and the equations are solved without; take {known}"]
    base = SCHEMES[scheme.name].options
    changed = [option for option, value in scheme.options.items() if value != base[option] and option not in OPEN]
    if not changed:
        return []
    return [f"scheme option {', '.join(changed)}: says how time is cut, which it is not here; {', '.join(OPEN)} stay"]


def _report(note: nir.Assume, scheme: Scheme, step: Step) -> None:
    """Say what was chosen."""

    def say(option: str, topic: str, statement: str) -> None:
        note("given" if option in scheme.given else "choice", topic, statement)

    meaning = {
        "held": "an input value is a current that lasts one step of the raster, a spike a current of 1 that lasts dt",
        "impulse": "an input value is the area of an impulse at the start of its step, a spike an impulse of area 1",
    }
    note("note", "level", "the equations themselves, solved from event to event; spikes take no time along an edge")
    say("input", "input", meaning[scheme["input"]])
    for kind, names in step.resets.items():
        stated = [name for name in names if name in step.stated]
        if stated:
            note("note", "reset", f"{RESET_TEXTS[kind]} for {listed(stated)}, from the file's metadata")
        if not (chosen := [name for name in names if name not in step.stated]):
            continue
        if scheme["reset"] == "auto" and kind == "v_reset":
            note("note", "reset", f"to v_reset, as the file says, for {listed(chosen)}")
        else:
            why = ": NIR does not say which kind" if scheme["reset"] == "auto" else ""
            say("reset", "reset", f"{RESET_TEXTS[kind]} for {listed(chosen)}{why}")
    for kind, names in step.if_gains.items():
        text = "r dt: a current" if kind == "r*dt" else "r: an input value adds r times itself over its step"
        say("if_gain", "gain of IF", f"{text}, for {listed(names)}")
    if step.at_leak:
        say("v_init", "initial state", f"v = v_leak for {listed(step.at_leak)}")
