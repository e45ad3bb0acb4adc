"""How fast each scheme comes near the equations as dt is halved: `convergence.py [-o FOLDER] [NODE ...]`.

A neuron below its threshold gets a current that changes every 8 ms. The error is the largest |v - solver's v| at the
ends of those 8 ms, the order the slope of log error over log dt. Prints a table; with -o also writes `convergence.json`
and `convergence.svg` (matplotlib: `pip install 'nirc[plot]'`). r = w_in = 1 and v_leak = 0, which most simulators take
for granted; a scheme of order 0 or less does not solve the file's equations: its gains are not those of a current.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

COARSE, HALVINGS, BLOCKS = 1e-3, 6, 12
ONE, ZERO = np.array([1.0]), np.array([0.0])
NODES: dict[str, dict[str, Any]] = {
    "LI": {"tau": np.array([0.02]), "r": ONE, "v_leak": ZERO},
    "CubaLI": {"tau_mem": np.array([0.02]), "tau_syn": np.array([0.008]), "r": ONE, "v_leak": ZERO, "w_in": ONE},
}
EXACT = 1e-10
"""An error below it is rounding."""


def write(path: Path, kind: str) -> None:
    """Input, the node, Output."""
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=text)
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        graph.create_dataset("edges", data=np.array([("input", "n"), ("n", "output")], dtype=object), dtype=text)
        group = graph.create_group("nodes")
        for name, node in (("input", "Input"), ("n", kind), ("output", "Output")):
            fields = NODES[kind] if name == "n" else {"shape": np.array([1])}
            held = group.create_group(name)
            held.create_dataset("type", data=node, dtype=text)
            for key, value in fields.items():
                held.create_dataset(key, data=value)


def errors(kind: str, scheme: str) -> list[tuple[float, float]]:
    """(dt, error) for each dt; raises DiagnosticException where the scheme refuses the node."""
    blocks = np.random.default_rng(1).normal(0.5, 1.0, BLOCKS)
    found = list[tuple[float, float]]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nir"
        write(path, kind)
        solved = nirc.compile(str(path), until="nir", dt=8 * COARSE).settle().run(blocks[:, None])[:, 0]
        for halving in range(HALVINGS):
            dt, per = COARSE / 2**halving, 8 * 2**halving
            stepped = nirc.compile(str(path), scheme=scheme, dt=dt, precision="f64").run(
                np.repeat(blocks, per)[:, None]
            )
            found.append((dt, float(np.abs(stepped[per - 1 :: per, 0] - solved).max())))
    return found


def order(measured: list[tuple[float, float]]) -> float:
    """The slope of log error over log dt; inf where all is rounding."""
    dt, error = np.array(measured).T
    if error.max() < EXACT:
        return float("inf")
    x, y = np.log(dt[2:]), np.log(error[2:])
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def measure(kinds: list[str]) -> dict[str, dict[str, Any]]:
    """Errors and order by node and scheme."""
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        for scheme in SCHEMES:
            try:
                measured = errors(kind, scheme)
            except DiagnosticException as error:
                found[f"{kind} {scheme}"] = {"refused": str(error).splitlines()[0]}
                continue
            found[f"{kind} {scheme}"] = {"order": order(measured), "errors": measured}
    return found


def plot(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Error over dt, a line a scheme."""
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(1, len(NODES), figsize=(12, 6), squeeze=False)
    for axis, kind in zip(axes[0], NODES, strict=True):
        for name, row in found.items():
            if "errors" in row and name.split()[0] == kind:
                dt, error = np.array(row["errors"]).T
                axis.loglog(dt, np.maximum(error, 1e-17), marker="o", label=name.split()[1])
        axis.set(title=kind, xlabel="dt [s]", ylabel="largest error of v")
        axis.legend(fontsize=6)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the order of every scheme.")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER")
    parser.add_argument("nodes", nargs="*", choices=[*NODES, []], metavar="NODE")
    given = parser.parse_args()
    found = measure(given.nodes or list(NODES))
    print("| node, scheme | order | error at the coarsest dt | at the finest |\n|---|---|---|---|")
    for name, row in found.items():
        if "errors" in row:
            print(f"| {name} | {row['order']:.2f} | {row['errors'][0][1]:.2g} | {row['errors'][-1][1]:.2g} |")
        else:
            print(f"| {name} | refused: {row['refused']} | | |")
    if given.output is not None:
        (given.output / "convergence.json").write_text(json.dumps(found, indent=1))
        plot(found, given.output / "convergence.svg")


if __name__ == "__main__":
    main()
