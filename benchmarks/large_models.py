"""Large models: compile time against HDF5's own, growth with the model's size, memory, and hostile files.

    python benchmarks/large_models.py [graph] [growth] [memory] [bad] [--repeat N] [--sizes N,...] [--json FILE]

graph    10,000 small nodes, read and compiled to `snn`, against opening and reading every dataset with h5py's
         low-level API: CPU time, side by side in one process, in turn
growth   CPU time per node of 1k, 10k and 50k nodes; of nested graphs, fans and chains of one size and twice that
memory   the peak that a layer of 4096 x 4096 weights adds to a child process, in multiples of the weights' bytes
bad      `nirc check` of every file of ../shared/cases/bad_nir, a child process each: wall seconds and peak

Without parts all of them, which takes a quarter of an hour on an idle machine. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5o, h5s

import nirc
from nirc.dialects.dense import Array
from nirc.frontend.write_nir import make_group, put

Row: TypeAlias = dict[str, Any]
Edges: TypeAlias = list[tuple[str, str]]

ROOT = Path(__file__).resolve().parent.parent
CASES = Path(os.environ.get("NIRC_SHARED", ROOT.parent / "shared")) / "cases" / "bad_nir"

TIMES = 3.0
"""Compiling 10,000 nodes, in multiples of reading their datasets."""
GROWTH = 2.0
"""Time per node, in multiples of that of the smallest model of the kind."""
WEIGHTS = 2.2
"""Memory, in multiples of the weights' bytes."""
SECONDS, MEGABYTES = 2.0, 500.0
"""Of `nirc check` of one bad file."""

WIDTH = 4
"""Neurons of a node."""
BRANCHES = 32
"""Nodes between which a fan goes out and in again."""
DT = 1e-3
KINDS = ("Linear", "LIF", "Affine", "CubaLIF", "Scale", "LI")


# ------------------------------------------------------------------------------------------------- models


def parameters(kind: str, rng: np.random.Generator) -> dict[str, Array]:
    """Random float32 parameters of a node."""

    def some(low: float, high: float, *shape: int) -> Array:
        return rng.uniform(low, high, shape or (WIDTH,)).astype(np.float32)

    weight = some(-1, 1, WIDTH, WIDTH)
    leak, tau, r = some(-0.1, 0.1), some(0.005, 0.05), some(0.5, 2)
    spiking = {"r": r, "v_leak": leak, "v_threshold": some(0.5, 1.5), "v_reset": np.zeros(WIDTH, np.float32)}
    found: dict[str, dict[str, Array]] = {
        "Linear": {"weight": weight},
        "Affine": {"weight": weight, "bias": leak},
        "Scale": {"scale": r},
        "LI": {"tau": tau, "r": r, "v_leak": leak},
        "LIF": {"tau": tau, **spiking},
        "CubaLIF": {"tau_mem": tau, "tau_syn": some(0.005, 0.05), "w_in": some(0.5, 2), **spiking},
    }
    return found[kind]


def open_model(path: Path) -> tuple[h5f.FileID, h5g.GroupID]:
    """A new .nir file and the group of its graph."""
    file = h5f.create(os.fsencode(path))
    root = h5g.open(file, b"/")
    put(root, "version", "1.0.8")
    return file, make_group(root, "node")


def put_graph(group: h5g.GroupID, edges: Edges, width: int = WIDTH) -> h5g.GroupID:
    """Write a graph but for what stands between its Input and its Output; returns the group of the nodes."""
    put(group, "type", "NIRGraph")
    nodes = make_group(group, "nodes")
    put(group, "edges", np.array(edges, dtype=object))
    for name in ("input", "output"):
        put_node(nodes, name, name.capitalize(), {"shape": np.array([width])})
    return nodes


def put_node(nodes: h5g.GroupID, name: str, kind: str, values: dict[str, Array]) -> None:
    node = make_group(nodes, name)
    put(node, "type", kind)
    for key, value in values.items():
        put(node, key, value)


def write_flat(path: Path, count: int, edges: Edges, only: str | None = None) -> Path:
    """A graph of `count` nodes, its Input and Output counted, of all kinds in turn or of one."""
    rng = np.random.default_rng(0)
    file, graph = open_model(path)
    nodes = put_graph(graph, edges)
    for index in range(count - 2):
        kind = only or KINDS[index % len(KINDS)]
        put_node(nodes, f"n{index}", kind, parameters(kind, rng))
    file.close()
    return path


def write_chain(path: Path, count: int) -> Path:
    """All in a row."""
    names = ["input", *(f"n{index}" for index in range(count - 2)), "output"]
    return write_flat(path, count, list(itertools.pairwise(names)))


def write_fans(path: Path, count: int) -> Path:
    """A row of hubs, each of which feeds BRANCHES nodes that all feed the next hub."""
    edges: Edges = [("input", "n0")]
    hub = 0
    while hub < count - 3:
        joint = min(hub + BRANCHES + 1, count - 3)
        branches = range(hub + 1, joint) or (joint,)
        for branch in branches:
            edges.append((f"n{hub}", f"n{branch}"))
            if branch != joint:
                edges.append((f"n{branch}", f"n{joint}"))
        hub = joint
    return write_flat(path, count, [*edges, (f"n{hub}", "output")])


def write_wide(path: Path, count: int) -> Path:
    """One fan: the Input feeds all nodes and all feed the Output."""
    names = [f"n{index}" for index in range(count - 2)]
    return write_flat(path, count, [("input", name) for name in names] + [(name, "output") for name in names], "Linear")


def write_nested(path: Path, count: int) -> Path:
    """Graphs in graphs, a LIF before each inner one; `count` levels."""
    rng = np.random.default_rng(0)
    file, group = open_model(path)
    for level in range(count):
        names = ["input", "lif", *(["sub"] if level < count - 1 else []), "output"]
        nodes = put_graph(group, list(itertools.pairwise(names)))
        put_node(nodes, "lif", "LIF", parameters("LIF", rng))
        if level < count - 1:
            group = make_group(nodes, "sub")
    file.close()
    return path


def write_matrix(path: Path, width: int, dtype: str, compression: str | None) -> Path:
    """A Linear of width x width weights and a LIF; returns the path."""
    rng = np.random.default_rng(0)
    file, graph = open_model(path)
    nodes = put_graph(graph, [("input", "linear"), ("linear", "lif"), ("lif", "output")], width)
    values = {name: np.full(width, value[0]) for name, value in parameters("LIF", rng).items()}
    put_node(nodes, "lif", "LIF", values)
    put_node(nodes, "linear", "Linear", {})
    file.close()
    weight = rng.standard_normal((width, width), np.float32).astype(dtype)
    with h5py.File(path, "a") as again:
        again["node/nodes/linear"].create_dataset("weight", data=weight, compression=compression)
    return path


# ------------------------------------------------------------------------------------------------- measuring


def read_low_level(path: Path) -> int:
    """Open every group and dataset by its name and read every dataset; returns how many there are."""
    file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY)
    count = 0
    stack = [h5g.open(file, b"/")]
    while stack:
        group = stack.pop()
        for name in group:
            child = h5o.open(group, name)
            if isinstance(child, h5g.GroupID):
                stack.append(child)
            elif isinstance(child, h5d.DatasetID):
                values = np.empty(child.shape or (), child.dtype)
                child.read(h5s.ALL, h5s.ALL, values)
                count += 1
    file.close()
    return count


def cpu(action: Callable[[], object]) -> float:
    """CPU seconds of an action, after the garbage of the last one is gone; what it returns is thrown away outside."""
    gc.collect()
    started = time.process_time()
    kept = action()
    taken = time.process_time() - started
    del kept
    return taken


def side_by_side(path: Path, repeat: int) -> Row:
    """Compiling and the bare reading, in turn, and their ratio."""
    actions = {"read": lambda: read_low_level(path), "compile": lambda: nirc.compile(path, dt=DT)}
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeat):
        for name, action in actions.items():
            times[name].append(cpu(action))
    ratios = [c / r for c, r in zip(times["compile"], times["read"], strict=True)]
    return {
        "cpu_seconds": {name: statistics.median(values) for name, values in times.items()},
        "spread": {name: [min(values), max(values)] for name, values in times.items()},
        "compile_over_read": statistics.median(ratios),
        "compile_over_read_spread": [min(ratios), max(ratios)],
    }


_PEAK = """
import atexit, sys
def note(path=sys.argv.pop(1)):
    with open("/proc/self/status") as status, open(path, "w") as out:
        out.write(next(line for line in status if line.startswith("VmHWM")).split()[1])
atexit.register(note)
"""
"""Leaves the peak RSS in a file. VmHWM, because ru_maxrss of a child starts at the peak of the process that made it."""

_COMPILE = """
import nirc
for path in sys.argv[1:]:
    nirc.compile(path, dt=1e-3)
"""

_CHECK = """
from nirc.cli import main
sys.argv = ["nirc", "check", sys.argv[1], "--dt", "0.001"]
sys.exit(main())
"""


@dataclass
class Child:
    """What became of a child process: megabytes are of 10^6 bytes, None where it died before it could tell."""

    status: int
    seconds: float
    cpu: float
    megabytes: float | None
    stderr: str


def run_child(code: str, *arguments: str, timeout: float = 600) -> Child:
    """Run Python code in a child process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder, "peak")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PEAK + code, str(peak), *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=timeout,
                check=False,
            )
            status, stderr = done.returncode, done.stderr.decode(errors="replace")
        except subprocess.TimeoutExpired:
            status, stderr = -1, f"stopped after {timeout} s"
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        megabytes = int(peak.read_text()) * 1024 / 1e6 if peak.exists() else None
    return Child(status, seconds, used, megabytes, stderr)


# ------------------------------------------------------------------------------------------------- the parts


class Verdicts:
    """The bounds that were missed."""

    def __init__(self) -> None:
        self.missed = list[str]()

    def judge(self, what: str, value: float, bound: float, unit: str = "") -> str:
        """`ok` or `MISSED`, for the table."""
        if value < bound:
            return "ok"
        self.missed.append(f"{what}: {value:.2f}{unit}, the bound is {bound:g}{unit}")
        return "MISSED"


def measure_graphs(folder: Path, nodes: int, repeat: int, verdicts: Verdicts) -> list[Row]:
    print(f"\ngraph: compile to snn over reading with h5py's low-level API, CPU seconds, medians of {repeat}")
    print(f"{'model':24} {'datasets':>9} {'read':>8} {'compile':>8} {'ratio':>6} {'spread':>12}  bound {TIMES:g}")
    rows = list[Row]()
    for name, write in (("chain", write_chain), ("fans", write_fans)):
        path = write(folder / f"{name}.nir", nodes)
        row: Row = {"model": f"{name} of {nodes}", "datasets": read_low_level(path), **side_by_side(path, repeat)}
        path.unlink()
        seconds, (low, high) = row["cpu_seconds"], row["compile_over_read_spread"]
        verdict = verdicts.judge(f"compile over read, {row['model']}", row["compile_over_read"], TIMES)
        print(
            f"{row['model']:24} {row['datasets']:9} {seconds['read']:8.2f} {seconds['compile']:8.2f} "
            f"{row['compile_over_read']:6.2f} {low:6.2f}-{high:.2f}  {verdict}",
            flush=True,
        )
        rows.append(row)
    return rows


def measure_growth(folder: Path, sizes: list[int], repeat: int, verdicts: Verdicts) -> list[Row]:
    print(f"\ngrowth: CPU milliseconds per node, medians; in multiples of the first of its kind, bound {GROWTH:g}")
    print(f"{'model':24} {'repeats':>7} {'read':>8} {'compile':>8} {'read x':>7} {'comp. x':>7}")
    kinds: dict[str, tuple[Callable[[Path, int], Path], list[int]]] = {
        "nested levels": (write_nested, [150, 300]),
        "fan out and in": (write_wide, [750, 1500]),
        "nodes in a row": (write_chain, [1000, 2000]),
        "chain of nodes": (write_chain, sizes),
    }
    rows = list[Row]()
    for kind, (write, counts) in kinds.items():
        first: Row = {}
        for count in counts:
            path = write(folder / "growth.nir", count)
            times = repeat if count <= 2000 else 2 if count <= 20000 else 1
            row: Row = {"model": f"{count} {kind}", "repeats": times, **side_by_side(path, times)}
            path.unlink()
            per_node = {name: seconds / count * 1e3 for name, seconds in row["cpu_seconds"].items()}
            first = first or per_node
            growth = {name: value / first[name] for name, value in per_node.items()}
            row |= {"milliseconds_per_node": per_node, "growth": growth}
            verdict = verdicts.judge(f"growth, {row['model']}", growth["compile"], GROWTH)
            print(
                f"{row['model']:24} {times:7} {per_node['read']:8.3f} {per_node['compile']:8.3f} "
                f"{growth['read']:7.2f} {growth['compile']:7.2f}  {verdict}",
                flush=True,
            )
            rows.append(row)
    return rows


def measure_memory(folder: Path, width: int, repeat: int, verdicts: Verdicts) -> list[Row]:
    print(f"\nmemory: Linear of {width} x {width}, the peak RSS that it adds to 4 neurons', over the weights' bytes")
    print(f"{'file':24} {'weights':>8} {'tiny':>8} {'peak':>8} {'ratio':>6}  of {repeat} the worst; MB of 10^6 bytes")
    tiny = write_matrix(folder / "tiny.nir", WIDTH, "f4", None)
    rows = list[Row]()
    for name, dtype, compression, bound in (
        ("float32", "f4", None, WEIGHTS),
        ("float64", "f8", None, None),
        ("float32, gzip", "f4", "gzip", None),
    ):
        path = write_matrix(folder / "matrix.nir", width, dtype, compression)
        megabytes = width * width * np.dtype(dtype).itemsize / 1e6
        pairs = list[tuple[float, float]]()
        for _ in range(repeat):
            small, large = run_child(_COMPILE, str(tiny)), run_child(_COMPILE, str(tiny), str(path))
            if small.status or large.status or small.megabytes is None or large.megabytes is None:
                raise SystemExit(f"{name}: {small.stderr}{large.stderr}")
            pairs.append((small.megabytes, large.megabytes))
        path.unlink()
        ratios = [(large - small) / megabytes for small, large in pairs]
        small, large = pairs[ratios.index(max(ratios))]
        verdict = "reported" if bound is None else verdicts.judge(f"memory over weights, {name}", max(ratios), bound)
        print(f"{name:24} {megabytes:8.0f} {small:8.0f} {large:8.0f} {max(ratios):6.2f}  {verdict}", flush=True)
        rows.append({"file": name, "weights": megabytes, "tiny": small, "peak": large, "ratios": ratios})
    return rows


def measure_bad(folder: Path, cases: Path, verdicts: Verdicts) -> list[Row]:
    """The best of three tries counts where the first takes too long; CPU seconds where the cores are taken."""
    files = sorted(cases.glob("*.nir"))
    print(f"\nbad: nirc check of {len(files)} files of {cases}, bounds {SECONDS:g} s and {MEGABYTES:g} MB")
    rows = list[Row]()
    busy = False
    tiny = write_matrix(folder / "tiny.nir", WIDTH, "f4", None)
    for path in [tiny, *files]:
        tries = [run_child(_CHECK, str(path), timeout=60)]
        while tries[-1].seconds >= SECONDS and len(tries) < 3:
            tries.append(run_child(_CHECK, str(path), timeout=60))
        best = min(tries, key=lambda child: child.seconds)
        taken = best.seconds
        if best.status >= 0 and taken >= SECONDS and os.getloadavg()[0] > (os.cpu_count() or 1):
            taken, busy = min(child.cpu for child in tries), True
        peak = max(child.megabytes or float("inf") for child in tries)
        verdicts.judge(f"nirc check {path.name}", taken, SECONDS, " s")
        verdicts.judge(f"nirc check {path.name}", peak, MEGABYTES, " MB")
        if best.status not in (0, 1) or "Traceback" in best.stderr:
            verdicts.missed.append(f"nirc check {path.name}: exit status {best.status}: {best.stderr[-300:]}")
        row: Row = {"file": path.name, "status": best.status, "tries": len(tries)}
        rows.append(row | {"seconds": best.seconds, "cpu_seconds": best.cpu, "megabytes": peak})
    if busy:
        print(
            "the load is higher than the number of cores: CPU seconds were judged where the wall seconds are too many"
        )
    shown = [("a sound model of 4 neurons", rows[:1])]
    for key in ("seconds", "megabytes"):
        worst = sorted(rows[1:], key=lambda row: row[key], reverse=True)[:3]
        middle = statistics.median(row[key] for row in rows)
        shown.append((f"the worst three in {key}; the median is {middle:.2f}", worst))
    print(f"{'file':24} {'wall s':>7} {'CPU s':>7} {'MB':>6} {'exit status':>12}")
    for title, group in shown:
        print(f"  {title}")
        for row in group:
            cost = f"{row['seconds']:7.2f} {row['cpu_seconds']:7.2f} {row['megabytes']:6.0f}"
            print(f"{row['file']:24} {cost} {row['status']:12}")
    return rows


def main() -> int:
    parts = ("bad", "memory", "graph", "growth")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all")
    parser.add_argument("--repeat", type=int, default=5, help="of each measurement; 10k nodes of growth 2, 50k once")
    parser.add_argument("--nodes", type=int, default=10_000, help="of the part graph")
    parser.add_argument("--sizes", default="1000,10000,50000", help="of the chains of growth")
    parser.add_argument("--width", type=int, default=4096, help="of the part memory")
    parser.add_argument("--cases", type=Path, default=CASES, help="the bad files; the part is left out without them")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    sizes = [int(size) for size in options.sizes.split(",")]
    about: Row = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("nirc", "xdsl", "numpy", "h5py")},
    }
    print(about, flush=True)
    verdicts = Verdicts()
    rows: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nirc.compile(write_chain(folder / "warm.nir", 20), dt=DT)
        for part in (part for part in parts if part in (options.parts or parts)):
            if part == "graph":
                rows[part] = measure_graphs(folder, options.nodes, options.repeat, verdicts)
            elif part == "growth":
                rows[part] = measure_growth(folder, sizes, options.repeat, verdicts)
            elif part == "memory":
                rows[part] = measure_memory(folder, options.width, options.repeat, verdicts)
            elif options.cases.is_dir():
                rows[part] = measure_bad(folder, options.cases, verdicts)
            else:
                print(f"\nbad: left out, there is no folder {options.cases}")
    about["load_at_the_end"] = os.getloadavg()
    print(f"\nload at the end: {about['load_at_the_end']}")
    for line in verdicts.missed:
        print(f"MISSED {line}")
    if options.json:
        content: Row = {"about": about, "rows": rows, "missed": verdicts.missed}
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    return 1 if verdicts.missed else 0


if __name__ == "__main__":
    sys.exit(main())
