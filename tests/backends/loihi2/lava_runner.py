"""Runs in the oracle's environment: the README's loader on each network, then Lava's simulator.

    lava_runner.py FOLDER FIRST STEP     FOLDER holds loader.py, the README's block, and 0.json, 0.npz, 1.json, ...

0.npz holds a raster [T, ...] for each Input. Writes 0.out.npz, ...: `<process>.s`, `.u`, `.v` of each population, in
Lava's order, [T, ...]. Takes the networks FIRST, FIRST + STEP, ...
"""

import contextlib
import io
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

folder, first, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
names: dict[str, Any] = {}
exec(compile((folder / "loader.py").read_text(), "loader.py", "exec"), names)
make_monitor: Any = import_module("lava.proc.monitor.process").Monitor
for n in range(first, len(list(folder.glob("*.json"))), step):
    with np.load(folder / f"{n}.npz") as archive:
        rasters: dict[str, Any] = {name: archive[name] for name in archive.files}
    steps = len(next(iter(rasters.values())))
    processes = names["build"](folder / f"{n}.json", rasters)
    neurons = {name: process for name, process in processes.items() if hasattr(process, "vth")}
    monitors: dict[str, Any] = {}
    for name, process in neurons.items():
        for state, variable in (("s", process.s_out), ("u", process.u), ("v", process.v)):
            monitors[f"{name}.{state}"] = make_monitor()
            monitors[f"{name}.{state}"].probe(variable, steps)
    with contextlib.redirect_stdout(io.StringIO()):
        parts = names["start"](processes, steps)
        results: dict[str, Any] = {}
        for key, monitor in monitors.items():
            values = next(iter(next(iter(monitor.get_data().values())).values()))
            shape = neurons[key.rpartition(".")[0]].s_out.shape
            results[key] = np.asarray(values).reshape(steps, *shape).astype(np.int32)
        for part in parts:
            part.stop()
    np.savez(folder / f"{n}.out.npz", **results)
