"""`convert-nir-to-snn`: the one place where time is cut into steps.

Under a dt and a scheme, each node's differential equation becomes the difference equation that the scheme's simulator
computes; cycles are cut; what the file leaves open is chosen as the scheme says, and every choice is attached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, f32, f64
from xdsl.ir import BlockArgument, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, tensor
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir import assume, listed, quote
from nirc.passes.convert_nir_to_snn import neurons, stateless
from nirc.passes.convert_nir_to_snn.cycles import Schedule, operands, schedule, sources
from nirc.passes.convert_nir_to_snn.schemes import Scheme, parse_scheme
from nirc.passes.convert_nir_to_snn.step import (
    RESET_KEYS,
    RESETS,
    Arriving,
    Step,
    delay_steps,
    shape_of,
    stated_resets,
)
from nirc.passes.convert_nir_to_snn.time_step import best_dt, find_dt, stated_dt
from nirc.passes.nir_infer_shapes import require_shapes

T = TypeVar("T")

LOWER: dict[type[nir.NodeOp], Callable[[Step, Any, Arriving], SSAValue]] = {
    nir.AffineOp: stateless.lower_matrix,
    nir.AvgPool2dOp: stateless.lower_avg_pool2d,
    nir.Conv1dOp: stateless.lower_conv1d,
    nir.Conv2dOp: stateless.lower_conv2d,
    nir.CubaLIFOp: neurons.lower_cuba_lif,
    nir.CubaLIOp: neurons.lower_cuba_li,
    nir.DelayOp: stateless.lower_delay,
    nir.FlattenOp: stateless.lower_flatten,
    nir.IFOp: neurons.lower_if,
    nir.IOp: neurons.lower_i,
    nir.LIFOp: neurons.lower_lif,
    nir.LIOp: neurons.lower_li,
    nir.LinearOp: stateless.lower_matrix,
    nir.ScaleOp: stateless.lower_scale,
    nir.SumPool2dOp: stateless.lower_sum_pool2d,
    nir.ThresholdOp: stateless.lower_threshold,
}
"""How each node becomes ops of a step."""


@dataclass(frozen=True)
class ConvertNirToSnnPass(ModulePass):
    """Discretize every graph of the module.

    dt          the step in seconds, `auto`, or `best`: near the file's own, with decays that are powers of two
    scheme      `NAME[,option=value...]`; none: nir-euler, said to be nirc's own choice
    reset       short for the scheme's option of that name
    auto_reset  the kind that `reset=auto` takes where v_reset is 0: what the target can do
    why_reset   the reason for auto_reset, for the printed assumption
    precision   of states, weights and coefficients

    Raises PassFailedException with every node that the scheme cannot take (tau below dt, loops without state, ...).
    """

    name = "convert-nir-to-snn"

    dt: float | int | str = "auto"
    scheme: str | None = None
    reset: str | None = None
    auto_reset: str = "zero"
    why_reset: str = ""
    precision: str = "f32"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        scheme = self.chosen_scheme()
        graphs = [graph for graph in op.ops if isinstance(graph, nir.GraphOp)]
        if nested := [instance.node.data for graph in graphs for instance in graph.instances()]:
            raise PassFailedException(f"there are nested graphs, {listed(nested)}; run nir-inline-graphs first")
        require_shapes(op)
        for graph in graphs:
            dt, area = self.chosen_dt(op, graph, scheme)
            network = _Conversion(self, op, graph, scheme, dt, area).convert()
            op.body.block.insert_op_before(network, graph)
            graph.detach()
            graph.erase()

    def chosen_scheme(self) -> Scheme:
        """The scheme with --reset put in."""
        chosen = parse_scheme(self.scheme, None if self.reset == "auto" else self.reset)
        if self.precision not in ("f32", "f64"):
            raise DiagnosticException(f"precision '{self.precision}' is neither f32 nor f64")
        return chosen

    def chosen_dt(self, module: ModuleOp, graph: nir.GraphOp, scheme: Scheme) -> tuple[float, float]:
        """--dt, or what the file tells; and the area of an event, 1 where it lasts one such step."""
        if self.dt == "best":
            if scheme["input"] == "impulse":
                raise DiagnosticException("--dt best keeps the effect of events itself; leave input=impulse out")
            made_for = find_dt(graph, scheme)
            best = best_dt(graph, made_for)
            assume(module, "note", "dt", f"the file is made for {made_for.evidence}")
            assume(module, "given", "dt", best.evidence)
            nir.set_time_step(module, best.seconds)
            return best.seconds, made_for.seconds / best.seconds
        if self.dt == "auto":
            found = find_dt(graph, scheme)
            assume(module, "choice" if found.matters else "note", "dt", found.evidence)
            if found.matters:
                nir.set_time_step(module, found.seconds)
            return found.seconds, 1.0
        try:
            dt = float(self.dt)
        except ValueError:
            raise DiagnosticException(f"dt '{self.dt}' is neither a number of seconds nor auto nor best") from None
        if not (np.finfo(np.float32).tiny <= dt < np.inf):
            raise DiagnosticException(f"dt {dt:g} s, must be greater than 0")
        assume(module, "given", "dt", f"{dt:g} s")
        nir.set_time_step(module, dt)
        return dt, 1.0


@dataclass
class _Conversion:
    """One graph on its way to a network."""

    options: ConvertNirToSnnPass
    module: ModuleOp
    graph: nir.GraphOp
    scheme: Scheme
    dt: float
    area: float
    values: dict[str, SSAValue] = field(default_factory=dict[str, SSAValue])
    """The output of each node at this step."""
    inputs: dict[BlockArgument, SSAValue] = field(default_factory=dict[BlockArgument, SSAValue])
    recurrent: dict[tuple[str, str], SSAValue] = field(default_factory=dict[tuple[str, str], SSAValue])
    """What a cut edge carries at this step: something of the last one."""

    def convert(self) -> snn.NetworkOp:
        element = f64 if self.options.precision == "f64" else f32
        found = (node for node in self.graph.nodes() if isinstance(node, nir.DelayOp))
        delays = {node.node.data: delay_steps(node, self.dt) for node in found}
        plan = schedule(self.graph, self.scheme["rec_cut_at"], *self.memory(delays))
        stated = stated_resets(self.graph.metadata)
        self.step = Step(self.scheme, self.dt, element, self.options.auto_reset, stated, self.area)
        self.step.early, self.step.on_cycle, self.step.back = plan.early, plan.on_cycle, plan.back
        for argument in self.graph.body.block.args:
            shape = cast(nir.SignalType, argument.type).shape
            assert shape is not None
            self.inputs[argument] = self.step.argument(tensor(shape, element), argument.name_hint)
        pending = self.cut(plan)
        needed = self.needed(plan)
        for name in plan.order:
            if name in plan.early:
                self.values[name] = self.lower(plan.nodes[name], self.values)
        waiting, self.step.later = self.step.later, []
        for name in plan.order:
            if name in needed and name not in plan.early:
                self.values[name] = self.lower(plan.nodes[name], self.values)
                self.finish()
        self.step.later = waiting
        self.finish()
        for state, source in pending.items():
            self.step.nexts[state] = self.step.as_type(self.values[source], state.type, source)
        outputs = [self.port(None, value, self.values) for value in self.graph.yielded.values]
        if self.step.faults:
            raise PassFailedException("\n".join(self.step.faults))
        self.step.block.add_op(snn.YieldOp([*outputs, *(self.step.nexts[arg] for _, arg in self.step.states)]))
        with nir.assuming(self.module) as note:
            self.report(note, plan, delays)
        return snn.NetworkOp(
            self.graph.sym_name.data,
            (name.data for name in self.graph.inputs),
            (name.data for name in self.graph.outputs),
            (state for state, _ in self.step.states),
            Region(self.step.finish()),
            self.scheme.spelling,
        )

    def memory(self, delays: dict[str, Array]) -> tuple[frozenset[str], frozenset[str]]:
        """The nodes that remember something under the scheme, and those whose output does not depend on what arrives at
        the same step."""
        scheme, remembers, known = self.scheme, set[str](), set[str]()
        for node in self.graph.nodes():
            name = node.node.data
            match node:
                case nir.DelayOp():
                    steps = delays[name]
                    holds, knows = bool(steps.any()), bool(steps.min() >= 1)
                case nir.WeightOp():
                    holds = knows = scheme["dense_delay"] == "1"
                case nir.LIOp() | nir.IOp():
                    holds, knows = True, scheme["li_from"] == "old"
                case nir.CubaLIOp():
                    holds, knows = True, "old" in (scheme["li_from"], scheme["mem_uses"])
                case nir.LIFOp():
                    holds, knows = True, scheme["spike_from"] == "old" or scheme["lif_delay"] == "1"
                case nir.CubaLIFOp():
                    holds, knows = True, "old" in (scheme["spike_from"], scheme["mem_uses"])
                case _:
                    holds, knows = node.has_state(), scheme["spike_from"] == "old" and node.has_state()
            remembers |= {name} if holds else set()
            known |= {name} if knows else set()
        return frozenset(remembers), frozenset(known)

    def finish(self) -> None:
        """Do what was put off until the input is there."""
        later, self.step.later = self.step.later, []
        for act in later:
            act()

    def needed(self, plan: Schedule) -> set[str]:
        """The nodes whose value of this step something uses."""
        cut = set(plan.cuts)
        pending = list(plan.stateful)
        for output in self.graph.yielded.values:
            pending += [value.owner.node.data for value in operands(output) if isinstance(value.owner, nir.NodeOp)]
        if self.scheme["rec_cut"] == "weight":
            pending += [source for source, _ in plan.cuts]
        found = set(pending)
        while pending:
            name = pending.pop()
            for source in sources(plan.nodes[name]):
                if (source, name) not in cut and source not in found:
                    found.add(source)
                    pending.append(source)
        return found

    def cut(self, plan: Schedule) -> dict[BlockArgument, str]:
        """Give every cut edge its value; returns the states that take a node's output of this step."""
        pending = dict[BlockArgument, str]()

        def last(node: nir.NodeOp) -> BlockArgument:
            # A Delay that is a cut itself has a state for its output of this step already.
            shown = isinstance(node, nir.DelayOp) and node.node.data in plan.early
            state = self.last(node, "last" if shown else None)
            pending[state] = node.node.data
            return state

        late = dict[str, SSAValue]()
        if self.scheme["rec_cut"] == "weight":
            for source in dict(plan.cuts):
                late[source] = last(plan.nodes[source])
        else:
            for name in _upstream(plan):
                node = plan.nodes[name]
                late[name] = last(node) if name in plan.stateful else self.lower(node, late)
        for source, target in plan.cuts:
            self.recurrent[source, target] = late[source]
        return pending

    def last(self, node: nir.NodeOp, variable: str | None = None) -> BlockArgument:
        """A state that holds the node's output of the last step: `z` where that is spikes, else `out`."""
        kind = self.step.kind(node.output)
        variable = variable or ("out" if kind == self.step.element else "z")
        return self.step.state(node.node.data, variable, shape_of(node), np.zeros(()), kind)

    def lower(self, node: nir.NodeOp, values: dict[str, SSAValue]) -> SSAValue:
        """The node's ops; its sources' outputs come from `values`, cut edges from `recurrent`."""
        arrived = list[SSAValue]()

        def x() -> SSAValue:
            if not arrived:
                arrived.append(self.port(node, node.input, values))
            return arrived[0]

        if node.node.data not in self.step.early:
            x()
        hint, before = node.output.name_hint, len(self.step.later)
        result = self.named(hint, lambda: LOWER[type(node)](self.step, node, x))
        self.step.later[before:] = [partial(self.named, hint, act) for act in self.step.later[before:]]
        return result

    def named(self, hint: str | None, act: Callable[[], T]) -> T:
        """Do something; what it adds to the step is printed under a node's name."""
        first = self.step.block.last_op
        result = act()
        op = self.step.block.first_op if first is None else first.next_op
        while op is not None:
            for value in op.results:
                value.name_hint = value.name_hint or hint
            op = op.next_op
        return result

    def port(self, node: nir.NodeOp | None, signal: SSAValue, values: dict[str, SSAValue]) -> SSAValue:
        """What arrives at a port: the sum of its edges in operand order."""
        arriving = list[SSAValue]()
        for value in operands(signal):
            if isinstance(value, BlockArgument):
                found, event = self.inputs[value], True
            else:
                source = cast(nir.NodeOp, value.owner)
                cut = self.recurrent.get((source.node.data, node.node.data)) if node is not None else None
                found, event = values[source.node.data] if cut is None else cut, source.SPIKING
            if node is not None and event and self.area != 1:
                kind = tensor(snn.tensor_of(found).get_shape(), self.step.element)
                factor = self.step.constant(np.asarray(self.area))
                found = self.step.add(snn.ScaleOp([found], kind, {"factor": factor}, node.node.data))
            arriving.append(found)
        if len(arriving) == 1:
            return arriving[0]
        shape = snn.tensor_of(arriving[0]).get_shape()
        return self.step.add(snn.SumOp(arriving, tensor(shape, self.step.element), node.node.data if node else None))

    def report(self, note: nir.Assume, plan: Schedule, delays: dict[str, Array]) -> None:
        """Say what was chosen."""
        scheme, step = self.scheme, self.step

        def say(option: str, topic: str, statement: str) -> None:
            note("given" if option in scheme.given else "choice", topic, statement)

        say("decay_mem", "scheme", f"{scheme.spelling}: {_describe(scheme)}")
        for kind, names in step.resets.items():
            stated = [name for name in names if name in step.stated]
            if stated:
                note("note", "reset", f"{_RESET_TEXTS[kind]} for {listed(stated)}, from the file's metadata")
            if not (chosen := [name for name in names if name not in step.stated]):
                continue
            if scheme["reset"] != "auto":
                say("reset", "reset", f"{_RESET_TEXTS[kind]} for {listed(chosen)}")
            elif kind == "v_reset":
                note("note", "reset", f"to v_reset, as the file says, for {listed(chosen)}")
            else:
                why = self.options.why_reset or "NIR does not say with which kind the network was trained"
                say("reset", "reset", f"{_RESET_TEXTS[kind]} for {listed(chosen)}: {why}")
        for kind, names in step.if_gains.items():
            say("if_gain", "gain of IF", f"{_IF_GAINS[kind]} for {listed(names)}")
        for parameter, names in step.unused.items():
            option, topic = ("rec_bias", "bias") if parameter == "bias" else ("gain_lif", "gain")
            say(option, topic, f"{parameter} of {listed(names)} is not used, as in the simulator of {scheme.name}")
        if step.late:
            note(
                "note",
                "delay",
                f"what arrives at {listed(step.late)} is a step late, as in the simulator of {scheme.name}",
            )
        if foreign := [node for node in plan.nodes.values() if node.NIR_TYPE not in scheme.imports]:
            kinds = ", ".join(dict.fromkeys(node.NIR_TYPE for node in foreign))
            names = listed([node.node.data for node in foreign])
            note(
                "note", "scheme", f"the importer of {scheme.name} takes no {kinds}: its choices are applied to {names}"
            )
        if step.at_leak:
            say("v_init", "initial state", f"v = v_leak for {listed(step.at_leak)}")
        for who, metadata in (
            ("the graph", self.graph.metadata),
            *((quote(name), node.metadata) for name, node in plan.nodes.items()),
        ):
            keys = [key for key in RESET_KEYS if metadata is not None and key in metadata.data]
            if keys and not stated_resets(metadata):
                known = ", ".join(RESETS)
                note("note", "metadata", f"{keys[0]} of {who} is none of {known} and is not used")
            if metadata is not None and "dt" in metadata.data and stated_dt(metadata) is None:
                note("note", "metadata", f"dt of {who} is no number above 0 and is not used")
        for name, steps in delays.items():
            for text in _delay_notes(plan.nodes[name], steps, self.dt):
                note("note", "delay", text)
        for source, target in plan.cuts:
            kind = "given" if {"rec_cut", "rec_cut_at"} & scheme.given else "choice"
            edge = f"{quote(source)} -> {quote(target)}"
            if scheme["rec_cut"] == "weight":
                text = f"cut at {edge}: the edge carries last step's value, 0 at first"
            else:
                text = f"cut at {edge}: it carries what last step's outputs of the neurons before it give, 0 at first"
            note(kind, "cycle", text)


_IF_GAINS = {"r": "r (an input is a spike, whose effect does not depend on dt)", "r*dt": "r*dt (r is 1/dt)"}
_RESET_TEXTS = {
    "zero": "to 0",
    "v_reset": "to v_reset",
    "subtract": "by subtraction of the threshold",
    "none": "none",
}


def _describe(scheme: Scheme) -> str:
    decay = {"euler": "forward Euler", "exp": "exponential decay"}[scheme["decay_mem"]]
    gain = (
        "gains from r and w_in"
        if scheme["gain_lif"] == "r(1-a)"
        else f"gains {scheme['gain_lif']} (LIF), {scheme['gain_syn']} (synapse)"
    )
    meaning = {
        "held": "an input value is a current that lasts one step",
        "impulse": "an input value is the area of an impulse",
    }
    fires = (
        f"a neuron fires where {'the stored ' if scheme['spike_from'] == 'old' else ''}v {scheme['compare']} threshold"
    )
    fires += ", floor(v/threshold) times" if scheme.flag("multi") else ""
    return f"{decay}, {gain}, {fires}, {meaning[scheme['input']]}"


def _delay_notes(node: nir.NodeOp, steps: Array, dt: float) -> Iterator[str]:
    """How far the delays are from whole steps, and which are none."""
    seconds = dict(node.parameters())["delay"].astype(np.float64)
    error = np.abs(steps * dt - seconds)
    worst = int(error.argmax())
    name = quote(node.node.data)
    if error.flat[worst] > 1e-6 * dt:
        text = f"{seconds.flat[worst]:g} s of {name} becomes {steps.flat[worst]} steps of {dt:g} s"
        yield f"{text}, off by {error.flat[worst]:.3g} s"
    none = int(np.count_nonzero(steps == 0))
    if none:
        yield f"{name} delays {'all' if none == steps.size else none} of its {steps.size} elements by 0 steps"


def _upstream(plan: Schedule) -> list[str]:
    """The nodes from the cut edges back to the first neurons, sources first."""
    found = {source for source, _ in plan.cuts}
    pending = [name for name in found if name not in plan.stateful]
    edges: dict[str, list[str]] = {}
    while pending:
        name = pending.pop()
        edges[name] = list(sources(plan.nodes[name]))
        for source in edges[name]:
            if source not in found:
                found.add(source)
                if source not in plan.stateful:
                    pending.append(source)
    order, _ = depth_first(sorted(found), lambda name: edges.get(name, []))
    return order[::-1]
