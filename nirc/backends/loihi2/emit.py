"""Writes a `loihi2.network` of integers as `nirc-loihi2` JSON, from which a few lines build Lava's processes.

Lava has no format of its own for networks; the README has the lines. Lava checks no range, so `loihi2-check-limits`
has to pass first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, Any

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.target import Target

from nirc.backends.json_config import Json, notes_of
from nirc.dialects import loihi2, nir
from nirc.dialects.dense import array
from nirc.dialects.nir import integers

_UNVERIFIED = (
    "checked against Lava's simulator of fixed-point arithmetic; nothing was run on a board",
    "limits of cores, and weight exponents above 7 or below 0, are not published",
)


@dataclass(frozen=True)
class Loihi2Target(Target):
    """The network as JSON.

    processes, connections  Lava's, with the names of Lava's arguments; all numbers whole
    outputs                 the populations that answer
    neurons                 how to read a population: v = v_int / v_scale + v_offset, `latency` steps late
    nirc                    what was assumed, changes of values, names of the model's nodes
    """

    name = "loihi2"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        network = next((op for op in module.ops if isinstance(op, loihi2.NetworkOp)), None)
        if network is None or not network.quantized():
            raise DiagnosticException("target loihi2 writes a quantized loihi2.network; the module holds none")
        read = {port.neurons.data for port in network.outputs}
        head = {"format": "nirc-loihi2", "version": 1, "dt": nir.time_step(module), "source": network.sym_name.data}
        lists = {
            "processes": [_process(op) for op in network.processes().values()],
            "connections": [_connection(op) for op in network.connections()],
        }
        tail = {
            "outputs": [name for name, op in network.neurons().items() if op.node.data in read],
            "neurons": {name: read_out(op) for name, op in network.neurons().items() if op.v_scale is not None},
            "nirc": notes(module, network),
        }
        parts = [f'"{name}": {json.dumps(value)}' for name, value in head.items()]
        for name, items in lists.items():
            lines = ",\n".join(map(json.dumps, items))
            parts.append(f'"{name}": [\n{lines}\n]')
        parts += [f'"{name}": {json.dumps(value)}' for name, value in tail.items()]
        output.write("{" + ",\n".join(parts) + "}\n")


def _process(op: loihi2.ProcessOp) -> Json:
    head: Json = {"name": op.process.data, "type": op.LAVA}
    if isinstance(op, loihi2.InputOp):
        return {**head, "shape": list(op.given)}
    if isinstance(op, loihi2.MatrixOp):
        delays = {"delays": array(op.delays).tolist()} if isinstance(op, loihi2.DelayDenseOp) else {}
        return {
            **head,
            "weights": op.numbers("weights").tolist(),
            **delays,
            "weight_exp": op.weight_exp.value.data,
            "num_weight_bits": op.num_weight_bits.value.data,
            "sign_mode": None if op.sign_mode is None else op.sign_mode.data,
            "num_message_bits": op.num_message_bits.value.data,
        }
    if isinstance(op, loihi2.ConvOp):
        windows = {name: list(integers(getattr(op, name))) for name in ("input_shape", "stride", "padding", "dilation")}
        return {
            **head,
            "weight": op.numbers("weight").tolist(),
            **windows,
            "groups": op.groups.value.data,
            "num_message_bits": op.num_message_bits.value.data,
        }
    assert isinstance(op, loihi2.NeuronsOp)
    names = [name for name in ("du", "dv", "vth", "bias_mant", "bias_exp", "u", "v") if name in op.properties]
    reset = {}
    if isinstance(op, loihi2.LIFResetOp):
        reset = {name: getattr(op, name).value.data for name in ("reset_interval", "reset_offset")}
    return {**head, "shape": list(op.given), **{name: op.numbers(name).tolist() for name in names}, **reset}


def _connection(op: loihi2.ConnectOp) -> Json:
    transform: list[Json] = [
        {"flatten": True} if step.kind.data == "flatten" else {step.kind.data: list(integers(step.numbers))}
        for step in op.transform
    ]
    ends = {"src": op.source.data, "dst": op.target.data}
    return {**ends, "transform": transform} if transform else ends


def read_out(op: loihi2.NeuronsOp) -> Json:
    """How to read a population."""
    return {
        "latency": 0 if op.latency is None else op.latency.value.data,
        **{name: op.numbers(name).tolist() for name in ("v_scale", "v_offset") if name in op.properties},
        "spiking": op.silent is None,
    }


def notes(module: ModuleOp, network: loihi2.NetworkOp) -> Json:
    """What is for people, and for reading the file back."""
    common, values = notes_of(module, network.report or ())
    processes = dict[str, Any]()
    for name, op in network.processes().items():
        if isinstance(op, loihi2.SynapsesOp) and op.nodes.data:
            processes[name] = {"nodes": [node.data for node in op.nodes]}
        elif isinstance(op, loihi2.NeuronsOp):
            processes[name] = {"node": op.node.data}
            if op.members is not None:
                processes[name] |= {"members": array(op.members).tolist(), "node_shape": list(op.whole_shape())}
    outputs = [
        {"node": port.node.data, "neurons": port.neurons.data, "shape": list(integers(port.shape))}
        for port in network.outputs
    ]
    return {**common, "values": values, "processes": processes, "outputs": outputs, "unverified": list(_UNVERIFIED)}
