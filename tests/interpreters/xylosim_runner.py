"""Runs Xylo networks in SynSense's simulator. A script for the environment of the oracle `xylosim`: no nirc in here.

    python xylosim_runner.py networks.json states.npz

networks.json: a list of {"core": 2, "spec": ..., "calls": [{"reset": false, "raster": [[...]]}, ...]}. `spec` holds the
integers of a rockpool specification; core 1 is the chip without biases. A call is one `evolve` of a raster
[step][channel] of event counts; states stay from call to call unless `reset`.

states.npz: `<network>.<call>.<state>`, int16, [step, neuron], for Vmem, Isyn, Isyn2, Spikes, Vmem_out, Isyn_out, out.

`import xylosim` alone proves nothing (the package is empty without its compiled cores): a core is imported by name.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def layer_arguments(spec: Mapping[str, Any], core: int, synapse: Any) -> dict[str, Any]:
    """The keyword arguments of XyloLayer. The layer keeps raw pointers into the lists: hold on to them."""

    def weights(name: str) -> Any:
        values = np.array(spec[name], dtype=np.int64)
        return values if values.ndim == 3 else values[:, :, None]

    def synapses(values: Any) -> list[list[Any]]:
        return [
            [synapse(int(q), k, int(row[q, k])) for k in range(row.shape[1]) for q in np.flatnonzero(row[:, k])]
            for row in values
        ]

    inputs, rec, out = weights("weights_in"), weights("weights_rec"), weights("weights_out")
    hidden = len(rec)
    dash_syn_2 = spec.get("dash_syn_2", [0] * hidden)
    arguments: dict[str, Any] = {
        "synapses_in": synapses(inputs),
        "synapses_rec": synapses(rec),
        "synapses_out": [[] for _ in range(hidden - len(out))] + synapses(out),
        "aliases": spec["aliases"],
        "threshold": spec["threshold"],
        "threshold_out": spec["threshold_out"],
        "weight_shift_inp": spec["weight_shift_in"],
        "weight_shift_rec": spec["weight_shift_rec"],
        "weight_shift_out": spec["weight_shift_out"],
        "dash_mem": spec["dash_mem"],
        "dash_mem_out": spec["dash_mem_out"],
        "dash_syns": [list(pair) for pair in zip(spec["dash_syn"], dash_syn_2, strict=True)],
        "dash_syns_out": [[dash] for dash in spec["dash_syn_out"]],
        "name": "oracle",
    }
    if core == 2:
        bias, bias_out = spec["bias"], spec["bias_out"]
        arguments.update(has_bias=any(bias) or any(bias_out), bias=bias, bias_out=bias_out)
    return arguments


def evolve(layer: Any, raster: Any) -> dict[str, Any]:
    """One call of `evolve` and what it recorded."""
    out = layer.evolve(raster)
    return {
        "Vmem": np.array(layer.rec_v_mem).T,
        "Isyn": np.array(layer.rec_i_syn).T,
        "Isyn2": np.array(layer.rec_i_syn2).T,
        "Spikes": np.array(layer.rec_recurrent_spikes),
        "Vmem_out": np.array(layer.rec_v_mem_out).T,
        "Isyn_out": np.array(layer.rec_i_syn_out).T,
        "out": np.array(out),
    }


def main(networks: str, states: str) -> None:
    recorded: dict[str, Any] = {}
    with open(networks) as file:
        items: list[dict[str, Any]] = json.load(file)
    for index, item in enumerate(items):
        core = importlib.import_module(f"xylosim.v{item['core']}")
        arguments = layer_arguments(item["spec"], item["core"], core.XyloSynapse)
        layer = core.XyloLayer(**arguments)
        for number, call in enumerate(item["calls"]):
            if call["reset"]:
                layer.reset_all()
            for name, values in evolve(layer, call["raster"]).items():
                if values.min() < -32768 or values.max() > 32767:
                    raise ValueError(f"network {index}: {name} is no int16")
                recorded[f"{index}.{number}.{name}"] = values.astype(np.int16)
    np.savez(states, **recorded)


if __name__ == "__main__":
    main(*sys.argv[1:])
