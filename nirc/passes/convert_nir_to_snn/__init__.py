"""`convert-nir-to-snn`: the one place where time is cut into steps.

Under a dt and a scheme, each node's differential equation becomes the difference equation that the scheme's simulator
computes; cycles are cut; what the file leaves open is chosen as the scheme says, and every choice is attached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, f32, f64, i1
from xdsl.ir import BlockArgument, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from nirc.dialects import nir, snn
from nirc.dialects.dense import tensor
from nirc.dialects.depth_first import depth_first
from nirc.dialects.nir import assume, quote
from nirc.passes.convert_nir_to_snn import neurons
from nirc.passes.convert_nir_to_snn.cycles import Schedule, operands, schedule, sources
from nirc.passes.convert_nir_to_snn.neurons import Step
from nirc.passes.convert_nir_to_snn.schemes import Scheme, parse_scheme
from nirc.passes.convert_nir_to_snn.time_step import find_dt

LOWER: dict[type[nir.NodeOp], Callable[[Step, Any, SSAValue], SSAValue]] = {
    nir.AffineOp: neurons.lower_matrix,
    nir.Conv2dOp: neurons.lower_conv2d,
    nir.CubaLIFOp: neurons.lower_cuba_lif,
    nir.FlattenOp: neurons.lower_flatten,
    nir.IFOp: neurons.lower_if,
    nir.LIFOp: neurons.lower_lif,
    nir.LIOp: neurons.lower_li,
    nir.LinearOp: neurons.lower_matrix,
    nir.SumPool2dOp: neurons.lower_sum_pool2d,
}
"""How each node becomes ops of a step."""


@dataclass(frozen=True)
class ConvertNirToSnnPass(ModulePass):
    """Discretize every graph of the module.

    dt          the step in seconds, or `auto`
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
        for graph in tuple(op.ops):
            if isinstance(graph, nir.GraphOp):
                _require_shapes(graph)
                dt = self.chosen_dt(op, graph, scheme)
                network = _Conversion(self, op, graph, scheme, dt).convert()
                op.body.block.insert_op_before(network, graph)
                graph.detach()
                graph.erase()

    def chosen_scheme(self) -> Scheme:
        """The scheme with --reset put in."""
        text = self.scheme
        if self.reset is not None and self.reset != "auto":
            text = f"{parse_scheme(text).name if text is None else text},reset={self.reset}"
        chosen = parse_scheme(text)
        if self.scheme is None:
            chosen = replace(
                chosen, given=chosen.given & frozenset({"reset", "reset_lif", "reset_if"} if self.reset else ())
            )
        if self.precision not in ("f32", "f64"):
            raise DiagnosticException(f"precision '{self.precision}' is neither f32 nor f64")
        return chosen

    def chosen_dt(self, module: ModuleOp, graph: nir.GraphOp, scheme: Scheme) -> float:
        """--dt, or what the file tells."""
        if self.dt == "auto":
            found = find_dt(graph, scheme)
            assume(module, "choice" if found.matters else "note", "dt", found.evidence)
            return found.seconds
        try:
            dt = float(self.dt)
        except ValueError:
            raise DiagnosticException(f"dt '{self.dt}' is neither a number of seconds nor auto") from None
        if not (np.finfo(np.float32).tiny <= dt < np.inf):
            raise DiagnosticException(f"dt {dt:g} s, must be greater than 0")
        assume(module, "given", "dt", f"{dt:g} s")
        return dt


def _require_shapes(graph: nir.GraphOp) -> None:
    missing = [quote(node.node.data) for node in graph.nodes() if node.output.type.shape is None]
    if missing:
        raise PassFailedException(f"the shapes of {', '.join(missing)} are not known; run nir-infer-shapes first")


@dataclass
class _Conversion:
    """One graph on its way to a network."""

    options: ConvertNirToSnnPass
    module: ModuleOp
    graph: nir.GraphOp
    scheme: Scheme
    dt: float
    values: dict[str, SSAValue] = field(default_factory=dict[str, SSAValue])
    """The output of each node at this step."""
    inputs: dict[BlockArgument, SSAValue] = field(default_factory=dict[BlockArgument, SSAValue])
    recurrent: dict[tuple[str, str], SSAValue] = field(default_factory=dict[tuple[str, str], SSAValue])
    """What a cut edge carries at this step: something of the last one."""

    def convert(self) -> snn.NetworkOp:
        element = f64 if self.options.precision == "f64" else f32
        self.step = Step(self.scheme, self.dt, element, self.options.auto_reset)
        plan = schedule(self.graph, self.scheme["rec_cut_at"])
        for argument in self.graph.body.block.args:
            shape = cast(nir.SignalType, argument.type).shape
            assert shape is not None
            self.inputs[argument] = self.step.block.insert_arg(tensor(shape, element), len(self.inputs))
            self.inputs[argument].name_hint = argument.name_hint
        pending = self.cut(plan)
        needed = self.needed(plan)
        for name in plan.order:
            if name in needed:
                self.values[name] = self.lower(plan.nodes[name], self.values)
        for state, source in pending.items():
            self.step.nexts[state] = self.values[source]
        outputs = [self.port(None, value, self.values) for value in self.graph.yielded.values]
        if self.step.faults:
            raise PassFailedException("\n".join(self.step.faults))
        self.step.block.add_op(snn.YieldOp([*outputs, *(self.step.nexts[arg] for _, arg in self.step.states)]))
        self.report(plan)
        return snn.NetworkOp(
            self.graph.sym_name.data,
            (name.data for name in self.graph.inputs),
            (name.data for name in self.graph.outputs),
            (state for state, _ in self.step.states),
            Region(self.step.block),
            self.scheme.spelling,
        )

    def needed(self, plan: Schedule) -> set[str]:
        """The nodes whose value of this step something uses."""
        cut = set(plan.cuts)
        pending = [name for name, node in plan.nodes.items() if node.STATEFUL]
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
            """A state that holds the node's output of the last step: `z` where that is spikes."""
            kind = i1 if isinstance(node, nir.LIFOp | nir.CubaLIFOp | nir.IFOp) else None
            name = node.node.data
            state = self.step.state(name, "z" if kind else "out", neurons.shape_of(node), np.zeros(()), kind)
            pending[state] = name
            return state

        late = dict[str, SSAValue]()
        if self.scheme["rec_cut"] == "weight":
            for source in dict(plan.cuts):
                late[source] = last(plan.nodes[source])
        else:
            for name in _upstream(plan):
                node = plan.nodes[name]
                late[name] = last(node) if node.STATEFUL else self.lower(node, late)
        for source, target in plan.cuts:
            self.recurrent[source, target] = late[source]
        return pending

    def lower(self, node: nir.NodeOp, values: dict[str, SSAValue]) -> SSAValue:
        """The node's ops; its sources' outputs come from `values`, cut edges from `recurrent`."""
        x = self.port(node, node.input, values)
        first = self.step.block.last_op
        result = LOWER[type(node)](self.step, node, x)
        hint = node.output.name_hint
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
                arriving.append(self.inputs[value])
            else:
                source = cast(nir.NodeOp, value.owner).node.data
                cut = self.recurrent.get((source, node.node.data)) if node is not None else None
                arriving.append(values[source] if cut is None else cut)
        if len(arriving) == 1:
            return arriving[0]
        shape = snn.tensor_of(arriving[0]).get_shape()
        return self.step.add(snn.SumOp(arriving, tensor(shape, self.step.element), node.node.data if node else None))

    def report(self, plan: Schedule) -> None:
        """Attach what was chosen."""
        scheme, step = self.scheme, self.step

        def say(option: str, topic: str, statement: str) -> None:
            assume(self.module, "given" if option in scheme.given else "choice", topic, statement)

        say("decay_mem", "scheme", f"{scheme.spelling}: {_describe(scheme)}")
        if scheme["reset"] == "auto":
            for kind, names in step.resets.items():
                if kind == "v_reset":
                    assume(self.module, "note", "reset", f"to v_reset, as the file says, for {_listed(names)}")
                else:
                    why = self.options.why_reset or "NIR does not say with which kind the network was trained"
                    say("reset", "reset", f"{_RESETS[kind]} for {_listed(names)}: {why}")
        else:
            for kind, names in step.resets.items():
                say("reset", "reset", f"{_RESETS[kind]} for {_listed(names)}")
        for kind, names in step.if_gains.items():
            say("if_gain", "gain of IF", f"{_IF_GAINS[kind]} for {_listed(names)}")
        for parameter, names in step.unused.items():
            say(
                "gain_lif", "gain", f"{parameter} of {_listed(names)} is not used, as in the simulator of {scheme.name}"
            )
        if step.at_leak:
            say("v_init", "initial state", f"v = v_leak for {_listed(step.at_leak)}")
        for source, target in plan.cuts:
            kind = "given" if {"rec_cut", "rec_cut_at"} & scheme.given else "choice"
            edge = f"{quote(source)} -> {quote(target)}"
            if scheme["rec_cut"] == "weight":
                text = f"cut at {edge}: the edge carries last step's value, 0 at first"
            else:
                text = f"cut at {edge}: it carries what last step's outputs of the neurons before it give, 0 at first"
            assume(self.module, kind, "cycle", text)


_IF_GAINS = {"r": "r (an input is a spike, whose effect does not depend on dt)", "r*dt": "r*dt (r is 1/dt)"}
_RESETS = {"zero": "to 0", "v_reset": "to v_reset", "subtract": "by subtraction of the threshold"}


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
    return f"{decay}, {gain}, a neuron fires where v {scheme['compare']} threshold, {meaning[scheme['input']]}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(quote(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _upstream(plan: Schedule) -> list[str]:
    """The nodes from the cut edges back to the first neurons, sources first."""
    found = {source for source, _ in plan.cuts}
    pending = [name for name in found if not plan.nodes[name].STATEFUL]
    edges: dict[str, list[str]] = {}
    while pending:
        name = pending.pop()
        edges[name] = list(sources(plan.nodes[name]))
        for source in edges[name]:
            if source not in found:
                found.add(source)
                if not plan.nodes[source].STATEFUL:
                    pending.append(source)
    order, _ = depth_first(sorted(found), lambda name: edges.get(name, []))
    return order[::-1]
