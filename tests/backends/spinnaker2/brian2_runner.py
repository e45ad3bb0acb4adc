"""Runs the files `N.json` of a folder in brian2, on the input `N.npy`, and writes the spikes to `N.out.npz`.

Runs in the environment of the oracle brian2, without nirc. What a spike adds is delivered before the neurons are
updated, as the chip reads the packets of the last tick first; brian2's own order would do so a tick later.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

brian2: Any = import_module("brian2")
Array = np.ndarray[Any, Any]

EQUATIONS = "v : 1\nexc : 1\ninh : 1\nplus : 1\nminus : 1\n" + "\n".join(
    f"{name} : 1 (constant)" for name in ("threshold_", "alpha", "offset", "target", "exc_decay", "inh_decay")
)
CURRENTS = """
exc = exc*exc_decay + plus
inh = inh*inh_decay + minus
v = v*alpha + ((exc - inh) + offset)
"""
PLAIN = "v = (v*alpha + offset) + (plus - minus)\n"
CLEAR = "plus = 0\nminus = 0"


def synapses_of(item: dict[str, Any]) -> Any:
    """Rows of source, target, weight, delay."""
    if item["kind"] == "list":
        return np.array(item["connections"])
    weights, p, rows = np.array(item["weights"]), item["params"], list[Any]()
    height, width = weights.shape[2:]
    k, stride = p["pool_x"], p["stride_x"]
    down = (p["in_height"] // k + p["pad_top"] + p["pad_bottom"] - height) // stride + 1
    right = (p["in_width"] // k + p["pad_left"] + p["pad_right"] - width) // stride + 1
    for c, o, i, j in np.argwhere(weights):
        for y in range(down):
            for x in range(right):
                row, column = y * stride + i - p["pad_top"], x * stride + j - p["pad_left"]
                if 0 <= row < p["in_height"] // k and 0 <= column < p["in_width"] // k:
                    target = (o * down + y) * right + x
                    for dy in range(k):
                        for dx in range(k):
                            source = (c * p["in_height"] + row * k + dy) * p["in_width"] + column * k + dx
                            rows.append((source, target, weights[c, o, i, j], 0))
    return np.array(rows).reshape(-1, 4)


def run(config: dict[str, Any], raster: Array) -> dict[str, Array]:
    """Spikes [T, N] of every population of neurons."""
    brian2.start_scope()
    brian2.defaultclock.dt = 1 * brian2.ms
    groups, objects, monitors = dict[str, Any](), list[Any](), dict[str, Any]()
    for item in config["populations"]:
        name, size, params = item["name"], item["size"], item["params"]
        if item["neuron_model"] == "spike_list":
            tick, source = np.nonzero(raster)
            groups[name] = brian2.SpikeGeneratorGroup(size, source, tick * brian2.ms)
        else:
            subtract = params["reset"] == "reset_by_subtraction"
            group = brian2.NeuronGroup(
                size, EQUATIONS, threshold="v >= threshold_", reset="v -= threshold_" if subtract else "v = target"
            )
            given = {"threshold_": "threshold", "alpha": "alpha_decay", "offset": "i_offset", "target": "v_reset"}
            for variable, key in {**given, "exc_decay": "exc_decay", "inh_decay": "inh_decay", "v": "v_init"}.items():
                setattr(group, variable, params.get(key, 0))
            group.run_regularly((CURRENTS if "curr_exp" in item["neuron_model"] else PLAIN) + CLEAR, when="groups")
            groups[name], monitors[name] = group, brian2.SpikeMonitor(group)
        objects.append(groups[name])
    for item in config["projections"]:
        rows = synapses_of(item)
        for sign, variable in ((1, "plus"), (-1, "minus")):
            some = rows[rows[:, 2] * sign > 0]
            if len(some):
                synapses = brian2.Synapses(groups[item["pre"]], groups[item["post"]], "w : 1", f"{variable}_post += w")
                synapses.connect(i=some[:, 0], j=some[:, 1])
                synapses.w = np.abs(some[:, 2])
                synapses.delay = some[:, 3] * brian2.ms
                objects.append(synapses)
    network = brian2.Network(*objects, *monitors.values())
    network.schedule = ["start", "synapses", "groups", "thresholds", "resets", "end"]
    network.run(len(raster) * brian2.ms)
    found = dict[str, Array]()
    for name, monitor in monitors.items():
        found[name] = np.zeros((len(raster), len(groups[name])), np.uint8)
        found[name][np.rint(np.asarray(monitor.t / brian2.ms)).astype(int), np.asarray(monitor.i)] = 1
    return found


def main(folder: Path) -> None:
    """All files of the folder."""
    brian2.prefs.codegen.target = "numpy"
    brian2.prefs.core.default_float_dtype = np.float32
    for path in sorted(folder.glob("*.json")):
        spikes = run(json.loads(path.read_text()), np.load(path.with_suffix(".npy")))
        np.savez(path.with_suffix(".out.npz"), **spikes)  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
