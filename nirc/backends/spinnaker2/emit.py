"""Writes a `spinnaker2.network` of integers as `nirc.spinnaker2/1` JSON, an entry for each call of py-spinnaker2.

py-spinnaker2 has no format of its own; the README has the lines that make the calls. It ignores parameters that it does
not know in silence, so `spinnaker2-check-limits` and the dialect's verifier have to pass first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.target import Target

from nirc.backends.json_config import Json, notes_of
from nirc.dialects import nir
from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import Array, array
from nirc.dialects.nir import integers

SCHEMA = "nirc.spinnaker2/1"

SYS_TICK = 1e-3
"""Seconds that a tick takes on the board; an overrun is only logged there."""

_UNVERIFIED = (
    "nothing was run on a board; py-spinnaker2's own source was seen in parts alone",
    "guesses: 7-bit weights and 250 neurons a core of the *_no_delay models, v_init of these models, memory of cores",
    "not known: memory and neurons a core of lif_conv2d and spike_list, and whether a tick of 1 ms suffices",
    "py-spinnaker2's own brian2 backend computes lif_curr_exp otherwise than the chip: no reference for CubaLIF",
    f"a neuron fires where v {s2.COMPARE} threshold, as the chip's C files have it",
)


@dataclass(frozen=True)
class Spinnaker2Target(Target):
    """The network as JSON.

    populations, projections  py-spinnaker2's, with the names of its arguments; weights and delays are whole
    inputs, outputs           names of populations
    latency                   ticks from a source's spike to a population's first reaction
    nir (of a population)     information: its node and shape; v of the network = v / v_scale + v_offset, `late` ticks
    nirc                      what was assumed, changes of values, the network's ports
    """

    name = "spinnaker2"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        network = next((op for op in module.ops if isinstance(op, s2.NetworkOp)), None)
        if network is None or not network.quantized():
            raise DiagnosticException("target spinnaker2 writes a quantized spinnaker2.network; the module holds none")
        head: Json = {
            "schema": SCHEMA,
            "name": network.sym_name.data,
            "dt": nir.time_step(module),
            "integrator": None if network.integrator is None else network.integrator.data,
            "sys_tick_s": SYS_TICK,
        }
        lists = {
            "populations": [_population(op) for op in network.populations().values()],
            "projections": [_projection(op) for op in network.projections()],
        }
        tail: Json = {
            "inputs": list(dict.fromkeys(port.population.data for port in network.inputs)),
            "outputs": list(dict.fromkeys(port.population.data for port in network.outputs)),
            "latency": {
                name: op.latency.value.data for name, op in network.neurons().items() if op.latency is not None
            },
            "nirc": _notes(module, network),
        }
        parts = [f'"{name}": {json.dumps(value)}' for name, value in head.items()]
        for name, items in lists.items():
            lines = ",\n".join(map(json.dumps, items))
            parts.append(f'"{name}": [\n{lines}\n]')
        parts += [f'"{name}": {json.dumps(value)}' for name, value in tail.items()]
        output.write("{" + ",\n".join(parts) + "}\n")


def _number(values: Array) -> float | list[float]:
    """A single number, or a list; float32 in full."""
    found: float | list[float] = values.astype(float).tolist()
    return found


def _population(op: s2.PopulationOp) -> Json:
    about: Json = {"node": None if op.node is None else op.node.data, "shape": list(integers(op.shape))}
    for name in op.SCALES:
        if (scale := op.scale(name)) is not None:
            about[name] = _number(scale)
    if op.late is not None:
        about["late"] = op.late.value.data
    params: Json = {name: _number(values) for name, values in op.parameters().items()}
    if op.reset is not None:
        params["reset"] = op.reset.data
    entry: Json = {
        "name": op.population.data,
        "size": op.size,
        "neuron_model": op.model,
        "params": params,
        "record": list(op.recorded()),
    }
    if op.max_atoms_per_core is not None:
        entry["max_atoms_per_core"] = op.max_atoms_per_core.value.data
    return {**entry, "nir": about}


def _projection(op: s2.ProjectionOp) -> Json:
    ends = {"pre": op.pre.data, "post": op.post.data}
    if isinstance(op, s2.Conv2dProjectionOp):
        (rows, columns), (top, bottom, left, right) = integers(op.input), integers(op.padding)
        stride, pool = op.stride.value.data, op.pool.value.data
        params = {
            "in_height": rows,
            "in_width": columns,
            "stride_x": stride,
            "stride_y": stride,
            "pool_x": pool,
            "pool_y": pool,
            "pad_top": top,
            "pad_bottom": bottom,
            "pad_left": left,
            "pad_right": right,
        }
        weights = array(op.weights).tolist()
        return {"name": op.projection.data, "kind": "conv2d", **ends, "weights": weights, "params": params}
    each = op.synapses()
    rows = zip(each.pre.tolist(), each.post.tolist(), each.weight.tolist(), each.delay.tolist(), strict=True)
    return {"name": op.projection.data, "kind": "list", **ends, "connections": [list(row) for row in rows]}


def _notes(module: ModuleOp, network: s2.NetworkOp) -> Json:
    """What is for people, and for reading the file back."""
    notes, values = notes_of(module, network.report or ())
    ports = {
        what: [
            {"node": port.node.data, "population": port.population.data, "shape": list(integers(port.shape))}
            for port in ports
        ]
        for what, ports in (("inputs", network.inputs), ("outputs", network.outputs))
    }
    nodes = {op.projection.data: [name.data for name in op.nodes] for op in network.projections() if op.nodes.data}
    return {**notes, "values": values, **ports, "projections": nodes, "unverified": list(_UNVERIFIED)}
