"""`nir-mend`: known defects of exporters that leave a file readable but wrong, each mended by name.

hwc-flatten      Spyx 1.0 writes the weights behind a Flatten in the order row, column, channel; their columns come into
                 NIR's order: channel, row, column
recurrent-input  Spyx 1.0 leads a recurrent layer's Input to its recurrent weights; it comes to lead to the neurons
spyx-gains       Spyx 1.0 writes r = 1 - dt/tau and no w_in, but its layers add what arrives as it is:
                 r = tau/dt, w_in = tau_syn/dt
rockpool-gains   Rockpool writes r = tau exp(-dt/tau)/dt, w_in = 1, but its layers add i as it is, and to i what arrives
                 before i decays: r = tau/dt, w_in = tau_syn exp(-dt/tau_syn)/dt; an LI does what its file says
norse-tau        Norse 1.1 multiplies tau by a dt, by default 1e-3 s, of which it is freed

No file shows for certain that it has one of these, so none is mended unasked. dt is the one that the writer's encoding
gives. Source: section 6 of nirc's specification of simulators' semantics; the exporters' own runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import BlockArgument
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import nir
from nirc.dialects.dense import Array, array, dense, doubles
from nirc.dialects.nir import listed, shape_of
from nirc.passes.convert_nir_to_snn.time_step import encoded_dt
from nirc.passes.nir_infer_shapes import infer_shapes

_NORSE_DT = 1e-3
"""The step that Norse's exporter takes where it is not told another."""

_NORSE_TAU = 1e-4
"""Below this a tau in seconds is one that was multiplied by a step."""


@dataclass(frozen=True)
class NirMendPass(ModulePass):
    """Mend what is named, and say what was; a fix that finds nothing says so.

    Raises PassFailedException where what is named cannot be mended, with every reason.
    """

    name = "nir-mend"

    fixes: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if unknown := [name for name in self.fixes if name not in FIXES]:
            raise PassFailedException(f"unknown fix {', '.join(unknown)}; known: {', '.join(FIXES)}")
        if faults := infer_shapes(op):
            raise PassFailedException("\n".join(faults))
        graphs = [graph for graph in op.ops if isinstance(graph, nir.GraphOp)]
        with nir.assuming(op) as note:
            for name in self.fixes:
                done = list[str]()
                for graph in graphs:
                    done += FIXES[name][1](graph, faults)
                for text in done:
                    note("given", "fix", f"{name}: {text}")
                if not done:
                    note("note", "fix", f"{name}: nothing to mend was found")
        if faults:
            raise PassFailedException("\n".join(faults))


def _hwc_flatten(graph: nir.GraphOp, faults: list[str]) -> list[str]:
    """Put the columns behind each Flatten of an image in the order channel, row, column."""
    done = list[str]()
    for flatten in list(graph.nodes()):
        shape = shape_of(flatten.input) or ()
        if not isinstance(flatten, nir.FlattenOp) or len(shape) != 3 or len(shape_of(flatten.output) or ()) != 1:
            continue
        for user in [use.operation for use in flatten.output.uses]:
            if not isinstance(user, nir.LinearOp | nir.AffineOp):
                what = user.label if isinstance(user, nir.NodeOp) else f"a {user.name.removeprefix('nir.')}"
                faults.append(
                    f"fix hwc-flatten: {what} follows {flatten.label}; only the columns of a Linear or an Affine can "
                    "be put in another order"
                )
                continue
            channels, rows, columns = shape
            weight = array(user.weight)
            there = weight.reshape(-1, rows, columns, channels).transpose(0, 3, 1, 2)
            user.properties["weight"] = dense(np.ascontiguousarray(there.reshape(weight.shape)))
            done.append(f"the columns of {nir.quote(user.node.data)} are put in the order channel, row, column")
    return done


def _recurrent_input(graph: nir.GraphOp, faults: list[str]) -> list[str]:
    """Swap who the Input leads to: Input -> w, neurons -> w -> neurons becomes Input -> neurons, neurons -> w -> ..."""
    done = list[str]()
    for weight in list(graph.nodes()):
        total = weight.input.owner
        if not isinstance(weight, nir.LinearOp | nir.AffineOp) or not isinstance(total, nir.SumOp):
            continue
        entering = [value for value in total.inputs if isinstance(value, BlockArgument)]
        neurons = [value.owner for value in total.inputs if isinstance(value.owner, nir.NeuronOp)]
        if len(entering) != 1 or len(neurons) != 1 or len(total.inputs) != 2:
            continue
        (neuron,) = neurons
        if neuron.input is weight.output and neuron.SPIKING and entering[0].has_one_use():
            arriving = nir.SumOp([entering[0], weight.output])
            graph.body.block.insert_op_before(arriving, neuron)
            neuron.operands[0], weight.operands[0] = arriving.output, neuron.output
            if total.output.first_use is None:
                total.detach()
                total.erase()
            inside = f"its Input leads to {nir.quote(neuron.node.data)}, not to {nir.quote(weight.node.data)}"
            done.append(f"in {nir.quote(graph.sym_name.data)}, {inside}")
    return done


def _set(node: nir.NodeOp, name: str, values: Array) -> None:
    """Give a node's parameter other numbers in the type that they had."""
    node.properties[name] = dense(values.astype(dict(node.parameters())[name].dtype))


def _gains(writer: str, graph: nir.GraphOp, faults: list[str]) -> list[str]:
    """r and w_in such that the file's equations add the input, and i, as the layers do."""
    nodes = [node for node in graph.nodes() if isinstance(node, nir.NeuronOp)]
    coded = [node for node in nodes if isinstance(node, nir.LIFOp | nir.LIOp | nir.CubaLIFOp | nir.CubaLIOp)]
    coded = [node for node in coded if np.any(doubles(node.r) != 1)]
    if not coded:
        return []
    dt = encoded_dt(coded, writer)
    if dt is None:
        faults.append(
            f"fix {writer.lower()}-gains: r of {listed([node.node.data for node in coded])} is not as {writer} writes "
            "it for one round dt"
        )
        return []
    changed = list[str]()
    for node in coded:
        late = writer == "Rockpool"
        match node:
            case nir.LIFOp():
                _set(node, "r", doubles(node.tau) / dt)
            case nir.LIOp():
                if late:
                    continue
                _set(node, "r", doubles(node.tau) / dt)
            case _:
                tau_syn = doubles(node.tau_syn)
                _set(node, "r", doubles(node.tau_mem) / dt)
                _set(node, "w_in", tau_syn / dt * (np.exp(-dt / tau_syn) if late else 1))
        changed.append(node.node.data)
    return (
        [f"r and w_in of {listed(changed)} add what arrives as the layers do in steps of {dt:g} s"] if changed else []
    )


def _norse_tau(graph: nir.GraphOp, faults: list[str]) -> list[str]:
    """Divide every tau by the step that Norse multiplied it by."""
    nodes = [node for node in graph.nodes() if isinstance(node, nir.NeuronOp) and node.POSITIVE]
    taus = [(node, name) for node in nodes for name in node.POSITIVE]
    held = {(node, name): dict(node.parameters())[name].astype(np.float64) for node, name in taus}
    if not held or any(values.max() >= _NORSE_TAU for values in held.values()):
        return []
    for (node, name), values in held.items():
        _set(node, name, values / _NORSE_DT)
    return [f"tau of {listed([node.node.data for node in nodes])} is divided by {_NORSE_DT:g}"]


def _spyx_gains(graph: nir.GraphOp, faults: list[str]) -> list[str]:
    return _gains("Spyx", graph, faults)


def _rockpool_gains(graph: nir.GraphOp, faults: list[str]) -> list[str]:
    return _gains("Rockpool", graph, faults)


FIXES: dict[str, tuple[str, Callable[[nir.GraphOp, list[str]], list[str]]]] = {
    "hwc-flatten": ("weights behind a Flatten in the order row, column, channel (Spyx 1.0)", _hwc_flatten),
    "recurrent-input": ("a recurrent layer's Input that leads to its weights (Spyx 1.0)", _recurrent_input),
    "spyx-gains": ("r that is not what Spyx' layers do", _spyx_gains),
    "rockpool-gains": ("r and w_in that are not what Rockpool's layers do", _rockpool_gains),
    "norse-tau": ("tau multiplied by Norse's step of 1e-3 s (Norse 1.1)", _norse_tau),
}
"""What can be mended, in words, and how."""
