"""Writes a `speck.network` of placed integers as JSON: the neutral form, or samna's own text with `--template`.

The neutral form has the names of samna's Python attributes; a few lines set them on a fresh SpeckConfiguration (see
docs/targets/speck.md). samna reads text of its very version alone, every field of which has to be there: `--template`
takes them from the user's samna. samna wraps integers out of range in silence, so `speck-check-limits` has to pass
first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.target import Target

from nirc.backends.json_config import Json, as_object, notes_of, template_of
from nirc.dialects import speck
from nirc.dialects.dense import Array
from nirc.dialects.nir import integers

_UNVERIFIED = (
    "checked against samna 0.7.1.0, whose newest Speck is speck2b; no configuration was confirmed on speck2e or 2f",
    "the order of events on the chip, and what a tick of the slow clock makes fire, follow its documentation",
)


@dataclass(frozen=True)
class SpeckTarget(Target):
    """The configuration of one chip as JSON.

    target, entry_cores, cnn_layers  the neutral form: entry_cores are where a host puts the input's events
    value0                           with a template, samna's SpeckConfiguration in place of the neutral form
    nirc                             what was assumed, changes of values, scales, names of layers and ports

    template: a file with `SpeckConfiguration().to_json()` of the user's own samna, whose other fields are kept.
    """

    name = "speck"

    template: str | None = None

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        network = next((op for op in module.ops if isinstance(op, speck.NetworkOp)), None)
        if network is None or not all(op.quantized() and op.core is not None for op in network.layers().values()):
            raise DiagnosticException("target speck writes a quantized, placed speck.network; the module holds none")
        cores = cores_of(network)
        neutral: Json = {
            "target": network.chip.data,
            "entry_cores": sorted({cores[port.layer.data] for port in network.inputs}),
            "cnn_layers": [_core(op, cores) for op in sorted(network.layers().values(), key=_number)],
        }
        if self.template is not None:
            value = template_of(self.template, "SpeckConfiguration().to_json()")
            neutral = {"value0": _merged(value, neutral["cnn_layers"])}
        parts = {**neutral, "nirc": _notes(module, network, cores)}
        output.write("{" + ",\n".join(f'"{name}": {json.dumps(part)}' for name, part in parts.items()) + "}\n")


def _number(op: speck.CoreOp) -> int:
    assert op.core is not None
    return op.core.value.data


def cores_of(network: speck.NetworkOp) -> dict[str, int]:
    """The core of each layer."""
    return {name: _number(op) for name, op in network.layers().items()}


def _shape(shape: speck.Shape) -> Json:
    features, rows, columns = shape
    return {"feature_count": features, "size": {"x": columns, "y": rows}}


def _per_axis(values: tuple[int, ...]) -> Json:
    return {"x": values[1], "y": values[0]}


def _core(op: speck.CoreOp, cores: dict[str, int]) -> Json:
    """One core under the names of samna's attributes; x comes before y."""
    core: Json = {
        "core": _number(op),
        "dimensions": {
            "input_shape": _shape(op.taken),
            "output_shape": _shape(op.given),
            "kernel_size": op.kernel,
            "stride": _per_axis(integers(op.stride)),
            "padding": _per_axis(integers(op.padding)),
        },
        "weights": op.numbers("weights").swapaxes(2, 3).tolist(),
        "biases": op.numbers("biases").tolist(),
        "leak_enable": op.leak is not None,
        "threshold_high": int(op.numbers("threshold_high")),
        "threshold_low": int(op.numbers("threshold_low")),
        "return_to_zero": op.return_to_zero is not None,
        "monitor_enable": op.monitor is not None,
        "destinations": [
            {
                "layer": cores[to.layer.data],
                "enable": True,
                "pooling": to.pooling.value.data,
                "feature_shift": to.feature_shift.value.data,
            }
            for to in op.destinations
        ],
    }
    if op.initial is not None:
        core["neurons_initial_value"] = op.numbers("initial").swapaxes(1, 2).tolist()
    return core


def _notes(module: ModuleOp, network: speck.NetworkOp, cores: dict[str, int]) -> Json:
    """What a user should know about the numbers above."""
    base, changes = notes_of(module, network.report or ())
    layers = network.layers().values()
    ports = {
        what: [
            {"node": port.node.data, "core": cores[port.layer.data], "shape": list(integers(port.shape))}
            for port in found
        ]
        for what, found in (("inputs", network.inputs), ("outputs", network.outputs))
    }
    named = [{"core": _number(op), "node": op.node.data, "linear": [name.data for name in op.linear]} for op in layers]
    return {
        "chip": network.chip.data,
        **base,
        "layers": {"cores": named, **ports},
        "values": changes,
        "scales": {op.node.data: float(op.numbers("scale")) for op in layers if op.scale is not None},
        "memory": {op.node.data: op.memory.__dict__ for op in layers},
        "unverified": list(_UNVERIFIED),
    }


# -- samna's own text


def _tensor(values: Any) -> Json:
    """samna's tensor: dimensions, row-major strides, values."""
    array: Array = np.asarray(values)
    strides = [int(np.prod(array.shape[n + 1 :])) for n in range(array.ndim)]
    return {
        "dimensions": {f"value{n}": size for n, size in enumerate(array.shape)},
        "offsets": {f"value{n}": stride for n, stride in enumerate(strides)},
        "values": array.ravel().tolist(),
    }


def _merged(template: Json, layers: list[Json]) -> Json:
    """The template with the cores put in and the camera taken off the network."""
    held = as_object(template.get("cnnLayers"))
    names = [f"value{n}" for n in range(speck.LIMITS.cores)]
    camera = template.get("dvsLayer")
    if list(held) != names or not isinstance(camera, dict) or not all(isinstance(held[name], dict) for name in names):
        raise DiagnosticException(
            "--template: no 'cnnLayers' of nine cores and 'dvsLayer'; save SpeckConfiguration().to_json() of your samna"
        )
    used = {layer["core"] for layer in layers}
    busy = [n for n in range(speck.LIMITS.cores) if n not in used and _is_busy(held[f"value{n}"])]
    if busy:
        raise DiagnosticException(
            f"--template: core {', '.join(map(str, busy))} is in use there; save a fresh SpeckConfiguration().to_json()"
        )
    cores = dict(held)
    for layer in layers:
        name = f"value{layer['core']}"
        cores[name] = _samna(as_object(held[name]), layer)
    return {**template, "cnnLayers": cores, "dvsLayer": {**as_object(camera), "passSensorEvents": False}}


def _is_busy(core: Json) -> bool:
    """Whether a core of the template takes part in a network."""
    sends = any(as_object(item).get("enable") for item in as_object(core.get("destinations")).values())
    return bool(core.get("monitorEnable")) or sends


def _samna(held: Json, layer: Json) -> Json:
    """One core in samna's words; fields that the network does not decide stay as the template has them."""
    shape = layer["dimensions"]
    features, _, _, _ = np.shape(layer["weights"])
    places = (features, shape["output_shape"]["size"]["x"], shape["output_shape"]["size"]["y"])
    initial = layer.get("neurons_initial_value", np.zeros(places, int))
    idle = {"layer": 0, "enable": False, "featureShift": 0, "pooling": 1}
    to = [
        {
            "layer": item["layer"],
            "enable": True,
            "featureShift": item["feature_shift"],
            "pooling": item["pooling"],
        }
        for item in layer["destinations"]
    ]
    tensors = {
        "weights": ("weightsKillBit", layer["weights"]),
        "biases": ("biasesKillBit", layer["biases"]),
        "neuronsInitialValue": ("neuronsValueKillBit", initial),
    }
    core = {
        **held,
        "destinations": {f"value{n}": ([*to, idle, idle])[n] for n in (0, 1)},
        "returnToZero": layer["return_to_zero"],
        "leakEnable": layer["leak_enable"],
        "thresholdHigh": layer["threshold_high"],
        "thresholdLow": layer["threshold_low"],
        "monitorEnable": layer["monitor_enable"],
        "dimensions": {
            "padding": shape["padding"],
            "stride": shape["stride"],
            "kernelSize": shape["kernel_size"],
            **{
                theirs: {"featureCount": shape[ours]["feature_count"], "size": shape[ours]["size"]}
                for ours, theirs in (("input_shape", "inputShape"), ("output_shape", "outputShape"))
            },
        },
    }
    for name, (kill, values) in tensors.items():
        core[name] = _tensor(values)
        if kill in held:
            core[kill] = _tensor(np.zeros(np.shape(values), bool))
    return core
