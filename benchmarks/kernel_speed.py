"""Speed of compiled kernels, one thread, beside other frameworks on this CPU and beside what the machine can do.

    python benchmarks/environments/make_environments.py [NAME ...]         peers, optional
    python benchmarks/kernel_speed.py [NETWORK ...] [--peers NAME,...] [--rounds N] [--seconds S] [--json FILE]

Every framework runs the same networks, with the same weights, on the same rasters, at several batch sizes, in turn,
round after round in one run; all are held to one thread on one core. What is timed is a whole run of a raster, from
reset states: after warm-up, with rasters already in each framework's own type and layout; calls go through different
samples. The first round measures everything; the others what came within 1.3 of a framework's best. Times are per
sample: medians over all calls, judged by CPU time, as others may use the machine. Peers are child processes (`peers/`).

Exit status 1 where nirc, at its best batch size, is less than 10 times as fast as the fastest peer at its own, on a
network that has the bar, or where spyx was not measured on it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from peers.protocol import Array, Measured, Variant

import nirc
from nirc.backends.cpu.run import CpuEvaluator
from nirc.dialects import snn

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("NIRC_SHARED", HERE.parent.parent / "shared"))
ENVIRONMENTS = Path(os.environ.get("NIRC_PEERS", HERE / "environments"))

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""What children are given; they are also held to one core, which all thread pools go by."""

BAR = 10.0
"""Times as fast as the fastest peer."""
KEPT = 1.3
"""What comes within this of a framework's best is measured again."""

PEERS = {
    "spyx": ("jax", "jax_peers.py"),
    "jax": ("jax", "jax_peers.py"),
    "torch": ("torch", "torch_plain.py"),
    "snntorch": ("torch", "torch_frameworks.py"),
    "norse": ("torch", "torch_frameworks.py"),
    "sinabs": ("torch", "torch_frameworks.py"),
    "spikingjelly": ("torch", "torch_frameworks.py"),
    "sc-neurocore": ("sc_neurocore", "sc_neurocore_peer.py"),
}
"""Framework: its environment, its script."""


@dataclass
class Network:
    """A network as nirc compiles it, as peers get it, and its rasters [T, samples, N...]."""

    name: str
    about: str
    model: Path
    options: dict[str, Any]
    arrays: dict[str, Array]
    x: Array
    batches: tuple[int, ...]
    peer_batches: tuple[int, ...]
    bar: bool = False

    def program(self) -> nirc.Program:
        """Compiled down to what the kernel is made from."""
        return nirc.compile(self.model, "cpu", **self.options)


# -- networks


def nodes_of(path: Path) -> dict[str, dict[str, Array]]:
    """The arrays of each node of a flat NIR file."""
    with h5py.File(path) as file:
        found = dict[str, dict[str, Array]]()
        for name, group in file["node/nodes"].items():  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
            fields: dict[str, Any] = {key: value[()] for key, value in group.items() if isinstance(value, h5py.Dataset)}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            found[str(name)] = {key: np.asarray(value) for key, value in fields.items() if not isinstance(value, bytes)}  # pyright: ignore[reportUnknownArgumentType]
        return found


def cuba(node: Mapping[str, Array], dt: float, prefix: str = "") -> dict[str, Array]:
    """Decays and threshold of CubaLIF neurons; their gains have to be 1, as all peers have them."""
    decay, synapse = 1 - dt / node["tau_mem"], 1 - dt / node["tau_syn"]
    for gain in (node["r"] * dt / node["tau_mem"], node["w_in"] * dt / node["tau_syn"]):
        np.testing.assert_allclose(gain, 1, rtol=1e-5)
    named = {"decay": decay, "synapse": synapse, "threshold": node["v_threshold"]}
    return {prefix + name: values.astype(np.float32) for name, values in named.items()}


def recurrent(path: Path, names: tuple[str, str, str, str, str], dt: float) -> dict[str, Array]:
    """Arrays of a recurrent network; names of its input, recurrent and output weights and its two layers."""
    nodes = nodes_of(path)
    w_in, w_rec, w_out, hidden, output = (nodes[name] for name in names)
    weights = {"w_in": w_in["weight"], "w_rec": w_rec["weight"], "w_out": w_out["weight"]}
    return {"kind": np.array("recurrent"), **weights, **cuba(hidden, dt), **cuba(output, dt, "out_")}


def braille() -> Network:
    """The NIR paper's network on its first test sample; the other samples are that one, turned in time."""
    path = SHARED / "models" / "braille_noDelay_noBias_subtract.nir"
    sample = np.load(SHARED / "cases" / "braille_recorded" / "braille_ds_test0_input_recovered.npy").astype(np.uint8)
    return Network(
        "braille",
        "the NIR paper's 12-40-7 recurrent CubaLIF network, 256 recorded steps; other samples: the same turned in time",
        path,
        {"dt": 1e-4, "reset": "subtract"},
        recurrent(path, ("fc1", "lif1.w_rec", "fc2", "lif1.lif", "lif2"), 1e-4),
        np.stack([np.roll(sample, n, 0) for n in range(256)], 1),
        (1, 16, 64, 256),
        (1, 16, 64, 256, 1024),
        bar=True,
    )


def digits() -> Network:
    """The recurrent example of the repository, on its own test images."""
    path = HERE.parent / "examples" / "digits_recurrent.nir"
    x = np.load(HERE.parent / "examples" / "digits.npz")["input"]
    return Network(
        "digits",
        f"examples/digits_recurrent.nir, 16-60-8 recurrent CubaLIF, {len(x)} steps of examples/digits.npz",
        path,
        {},
        recurrent(path, ("fc_in", "fc_rec", "fc_out", "hidden", "readout"), 1e-3),
        x,
        (1, 16, 64, 256),
        (1, 16, 64, 256, 1024),
    )


def scnn(events: int) -> Network:
    """The convolutional network of the NIR paper as Sinabs exported it, on synthetic events."""
    path = SHARED / "models" / "cnn_sinabs.nir"
    nodes = nodes_of(path)
    for node in nodes.values():
        assert not np.any(node.get("bias", np.zeros(1)))
    weights = {"conv0": "0", "conv1": "2", "conv2": "5", "linear0": "9", "linear1": "11"}
    arrays = {name: nodes[node]["weight"] for name, node in weights.items()}
    arrays |= {f"threshold{n}": nodes[node]["v_threshold"] for n, node in enumerate(("1", "3", "6", "10", "12"))}
    rng = np.random.default_rng(events)
    x = (rng.random((300, 64, 2, 34, 34), np.float32) < events / (2 * 34 * 34)).astype(np.uint8)
    return Network(
        f"scnn-{events}",
        f"cnn_sinabs.nir, 300 steps of {events} events each, drawn at random (Bernoulli)",
        path,
        {"dt": 1, "reset": "subtract"},
        {"kind": np.array("convolutions"), **arrays},
        x,
        (1, 16, 64, 256),
        (1, 8, 64),
        bar=events == 14,
    )


def layer(inputs: int, outputs: int, percent: float, folder: Path) -> Network:
    """A Linear and LIF neurons, 100 steps."""
    rng = np.random.default_rng(inputs + outputs)
    weight = rng.normal(0.05 / math.sqrt(inputs), 1.5 / math.sqrt(inputs), (outputs, inputs)).astype(np.float32)
    tau, ones = 20.0, np.ones(outputs, np.float32)
    path = folder / f"layer_{inputs}_{outputs}.nir"
    if not path.exists():
        neurons = {"tau": tau * ones, "r": tau * ones, "v_leak": 0 * ones, "v_reset": 0 * ones, "v_threshold": ones}
        write_layer(path, weight, neurons)
    x = (rng.random((100, 64, inputs)) < percent / 100).astype(np.uint8)
    arrays = {"kind": np.array("layer"), "weight": weight, "decay": (1 - 1 / tau) * ones, "threshold": ones}
    return Network(
        f"{inputs}-{outputs}-{percent:g}%",
        f"one layer of LIF neurons, 100 steps, {percent:g} % of {inputs} inputs at a step, drawn at random",
        path,
        {"dt": 1, "reset": "subtract"},
        arrays,
        x,
        (1, 16, 64),
        (16, 64),
    )


def write_layer(path: Path, weight: Array, neurons: Mapping[str, Array]) -> None:
    """A NIR file of one layer."""
    text = h5py.string_dtype()
    outputs, inputs = weight.shape
    nodes: dict[str, dict[str, Any]] = {
        "input": {"type": "Input", "shape": np.array([inputs])},
        "fc": {"type": "Linear", "weight": weight},
        "neurons": {"type": "LIF", **neurons},
        "output": {"type": "Output", "shape": np.array([outputs])},
    }
    edges = np.array([("input", "fc"), ("fc", "neurons"), ("neurons", "output")], dtype=object)
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=text)
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        graph.create_dataset("edges", data=edges, dtype=text)
        for name, fields in nodes.items():
            group = graph.create_group(f"nodes/{name}")
            for key, value in fields.items():
                group.create_dataset(key, data=value, dtype=text if isinstance(value, str) else None)


def networks(names: list[str], folder: Path) -> list[Network]:
    """Those asked for, or all that can be had here."""
    found = [digits()]
    if (SHARED / "models").is_dir():
        found = [braille(), *found, scnn(14), scnn(50)]
    found += [layer(784, 1024, percent, folder) for percent in (0.5, 1, 5, 10)]
    found += [layer(256, 256, 1, folder), layer(2048, 2048, 1, folder)]
    if unknown := set(names) - {network.name for network in found}:
        sys.exit(f"no network {', '.join(sorted(unknown))}; there are {', '.join(n.name for n in found)}")
    return [network for network in found if not names or network.name in names]


# -- the machine


def machine_limits(folder: Path) -> dict[str, float]:
    """Giga multiply-adds a second and gigabytes read a second by the size of what is read; empty without a compiler."""
    library = folder / "limits.so"
    command = ["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(HERE / "machine_limits.c")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no limits of the machine: {error}", file=sys.stderr)
        return {}
    code = ctypes.CDLL(str(library))
    code.make.restype, code.make.argtypes = ctypes.c_void_p, [ctypes.c_long]
    code.multiply_add.restype, code.read_all.restype = ctypes.c_double, ctypes.c_double
    code.multiply_add.argtypes = [ctypes.c_long, ctypes.c_void_p]
    code.read_all.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p]
    sink = ctypes.byref(ctypes.c_float())

    def best(work: Any) -> float:
        rates = list[float]()
        for _ in range(7):
            start = time.process_time()
            done: float = work()
            rates.append(done / (time.process_time() - start) / 1e9)
        return max(rates)

    found = {"GFMA/s": best(lambda: code.multiply_add(5_000_000, sink)) / 2}
    for name, size in READ.items():
        memory = code.make(size)
        found[f"{name} GB/s"] = best(lambda memory=memory, size=size: code.read_all(memory, size, 2**29 // size, sink))
    return found


READ = {"L1": 2**14, "L2": 2**19, "L3": 2**23, "DRAM": 2**28}
"""What is read to measure each level."""


@dataclass
class Work:
    """What a sample takes at least: weights added, neurons updated, their states read and written once a step."""

    additions: float
    updates: float
    states: int
    memory: int

    def bound(self, limits: Mapping[str, float], updates: bool) -> float:
        """Milliseconds by bytes and by operations, whichever is more; without the updates only what events cause.

        A multiplication and an addition are an instruction each, as wide and as fast as one that does both.
        """
        level = next(name for name, size in LEVELS.items() if self.memory <= size)
        moved = 4 * self.additions + (8 * self.states * self.updates if updates else 0)
        # v decays, takes the sum, is compared and reset; a current decays and takes the sum.
        operations = self.additions + ((3 + 2 * self.states) * self.updates if updates else 0)
        return max(moved / limits[f"{level} GB/s"], operations / limits["GFMA/s"]) / 1e6


LEVELS = {"L1": 2**15, "L2": 2**20, "L3": 2**25, "DRAM": 2**62}
"""The most that a level is taken to hold."""


def work_of(network: Network) -> Work:
    """Counted on one sample from the spikes of every layer."""
    program = network.program()
    body = next(op for op in program.module.ops if isinstance(op, snn.NetworkOp)).body.block
    fires = [op.node.data for op in body.ops if isinstance(op, snn.FireOp) and op.node is not None]
    names = tuple(f"{name}.spikes" for name in fires)
    outputs = CpuEvaluator(program.module, 1, names[:-1], 1).run({"input": network.x[:, :1]})
    spikes = [outputs[name][:, 0] for name in names[:-1]]
    x, steps, arrays = network.x[:, 0], len(network.x), network.arrays
    states = {"recurrent": 2}.get(str(arrays["kind"]), 1)
    if str(arrays["kind"]) == "layer":
        neurons = len(arrays["weight"])
        additions = np.count_nonzero(x) * neurons
    elif str(arrays["kind"]) == "recurrent":
        hidden, last = len(arrays["w_in"]), len(arrays["w_out"])
        neurons = hidden + last
        additions = np.count_nonzero(x) * hidden + np.count_nonzero(spikes[0]) * (hidden + last)
    else:
        neurons = sum(arrays[f"threshold{n}"].size for n in range(5))
        pooled = [any_of_four(spikes[1]), any_of_four(spikes[2])]
        additions = (
            reached(x, 5, 2, 16) * 16
            + reached(spikes[0], 3, 1, 16) * 16
            + np.count_nonzero(spikes[1])
            + reached(pooled[0], 3, 1, 8) * 8
            + np.count_nonzero(spikes[2])
            + np.count_nonzero(pooled[1]) * 256
            + np.count_nonzero(spikes[3]) * 10
        )
    weights = sum(values.nbytes for name, values in arrays.items() if name.startswith(("w", "conv", "linear")))
    return Work(float(additions), float(steps * neurons), states, weights + 4 * states * neurons)


def any_of_four(spikes: Array) -> Array:
    """Where a window of 2 x 2 holds a spike."""
    steps, channels, rows, columns = spikes.shape
    windows = spikes.reshape(steps, channels, rows // 2, 2, columns // 2, 2)
    return np.any(windows, (3, 5))


def reached(events: Array, taps: int, stride: int, places: int) -> int:
    """Places of an image that the events reach through square windows, padded by 1, counted each time."""
    size: int = events.shape[-1]
    hit = [sum(0 <= n + 1 - stride * place < taps for place in range(places)) for n in range(size)]
    windows = np.array(hit)
    return int((np.count_nonzero(events, (0, 1)) * windows[:, None] * windows).sum())


# -- who runs


class Peer:
    """A framework in a child process."""

    def __init__(self, name: str, networks: Path) -> None:
        environment, script = PEERS[name]
        python = ENVIRONMENTS / environment / "env" / "bin" / "python"
        if not python.exists():
            raise FileNotFoundError(f"no environment {python.parent.parent}")
        self.name = name
        self.process = subprocess.Popen(
            [str(python), str(HERE / "peers" / script), name, str(networks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        about = self.answer()
        self.versions: dict[str, str] = about["versions"]
        self.variants: dict[str, dict[str, bool]] = about["variants"]
        """By network; whether it takes samples one by one."""
        self.missing: dict[str, str] = about["missing"]

    def answer(self) -> dict[str, Any]:
        """The next line; a child that takes too long is ended."""
        assert self.process.stdout is not None
        timer = threading.Timer(TIMEOUT, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        return json.loads(line) if line else {"error": f"the child ended, status {self.process.wait()}"}

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, wait for the answer."""
        assert self.process.stdin is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except OSError:
            return {"error": "the child has ended"}
        return self.answer()

    def close(self) -> None:
        """End the child."""
        self.process.kill()
        self.process.wait()


TIMEOUT = 300.0
"""Seconds for one answer."""


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "sample by sample": lambda raster: raster,
    "samples side by side": lambda raster: np.moveaxis(np.ascontiguousarray(np.moveaxis(raster, 1, -1)), -1, 1),
}
"""How rasters [T, B, N...] stand in memory: element by element of each sample, or sample by sample of each element."""


class Nirc:
    """nirc itself, in this process, in the shape of a peer."""

    name = "nirc"

    def __init__(self, networks: list[Network]) -> None:
        self.versions = {name: version(name) for name in ("nirc", "xdsl", "llvmlite", "numpy")}
        self.variants = {network.name: dict.fromkeys(LAYOUTS, False) for network in networks}
        self.missing = dict[str, str]()
        self.networks = {network.name: network for network in networks}
        self.warm = dict[tuple[str, str, int], Measured]()

    def ask(self, **request: Any) -> dict[str, Any]:
        """As a child does."""
        key = (request["network"], request["variant"], request["batch"])
        if request.get("forget"):
            self.warm.pop(key, None)
            return {}
        if key not in self.warm:
            network = self.networks[key[0]]
            evaluator = CpuEvaluator(network.program().module, key[2], (), threads=1)

            def run(raster: Array) -> Array:
                evaluator.reset()
                return next(iter(evaluator.run({"input": raster}).values()))

            self.warm[key] = Measured(Variant(LAYOUTS[key[1]], run), network.x, key[2])
        return self.warm[key].measure(request["seconds"], request["least"])

    def close(self) -> None:
        """Nothing to end."""


# -- measuring


@dataclass
class Row:
    """One framework's variant at one batch size on one network; seconds of a call by round."""

    network: str
    framework: str
    variant: str
    batch: int
    spikes: int
    cpu: list[list[float]]
    wall: list[list[float]]

    def median(self, clock: str = "cpu") -> float:
        """Milliseconds a sample, over all calls."""
        return statistics.median(value for group in getattr(self, clock) for value in group) / self.batch * 1e3

    def spread(self) -> tuple[float, float]:
        """The least and the greatest median of a round."""
        medians = [statistics.median(group) / self.batch * 1e3 for group in self.cpu]
        return min(medians), max(medians)

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **{name: getattr(self, name) for name in ("network", "framework", "variant", "batch")},
            "cpu_ms": self.median(),
            "cpu_ms_spread": self.spread(),
            "wall_ms": self.median("wall"),
            "rounds": len(self.cpu),
            "calls": sum(map(len, self.cpu)),
            "spikes_of_first_sample": self.spikes,
        }


def measure(
    chosen: list[Network], who: list[Peer | Nirc], rounds: int, seconds: float
) -> tuple[list[Row], dict[str, dict[str, str]]]:
    """All rounds; also why something could not be measured, by framework and network."""
    rows = dict[tuple[str, str, str, int], Row]()
    missing: dict[str, dict[str, str]] = {peer.name: dict(peer.missing) for peer in who}
    for network in chosen:
        for number in range(rounds):
            for peer in who:
                batches = network.batches if peer.name == "nirc" else network.peer_batches
                for variant, alone in peer.variants.get(network.name, {}).items():
                    for batch in (1,) if alone else batches:
                        key = (network.name, peer.name, variant, batch)
                        if number and key not in rows:
                            continue
                        asked = {"network": network.name, "variant": variant, "batch": batch}
                        answer = peer.ask(**asked, seconds=seconds, least=2)
                        if "error" in answer:
                            missing[peer.name][network.name] = f"{variant}, batch {batch}: {answer['error']}"
                            continue
                        empty = list[list[float]]()
                        row = rows.setdefault(key, Row(*key, answer["spikes"], empty.copy(), empty.copy()))
                        row.cpu.append(answer["cpu"])
                        row.wall.append(answer["wall"])
            if number == 0:
                for peer in who:
                    drop(rows, network.name, peer)
        for key in [key for key in rows if key[0] == network.name]:
            peer = next(peer for peer in who if peer.name == key[1])
            peer.ask(network=key[0], variant=key[2], batch=key[3], forget=True)
        print(f"measured {network.name}", file=sys.stderr, flush=True)
    return list(rows.values()), missing


def drop(rows: dict[tuple[str, str, str, int], Row], network: str, peer: Peer | Nirc) -> None:
    """Give up what is far from a framework's best; nirc keeps all its batch sizes."""
    own = {key: row for key, row in rows.items() if key[:2] == (network, peer.name)}
    if peer.name == "nirc" or not own:
        return
    best = min(row.median() for row in own.values())
    for key, row in own.items():
        if row.median() > KEPT * best:
            del rows[key]
            peer.ask(network=network, variant=key[2], batch=key[3], forget=True)


# -- telling


def table(rows: list[Row], network: Network, work: Work, limits: Mapping[str, float]) -> tuple[str, dict[str, Any]]:
    """A network's rows, fastest first, and its figures."""
    own = [row for row in rows if row.network == network.name]
    best = dict[str, Row]()
    for row in sorted(own, key=Row.median):
        best.setdefault(row.framework, row)
    nirc_rows = sorted((row for row in own if row.framework == "nirc"), key=lambda row: row.batch)
    ours = best["nirc"]
    figures: dict[str, Any] = {"network": network.name, "about": network.about, "nirc_batch": ours.batch}
    lines = [f"### {network.name}", "", network.about, ""]
    lines += [
        "| framework | batch | variant | CPU ms a sample (spread) | wall ms | times nirc's best | times nirc's batch 1 "
        "| spikes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    single = nirc_rows[0]
    for row in [*nirc_rows, *(row for name, row in best.items() if name != "nirc")]:
        low, high = row.spread()
        lines.append(
            f"| {row.framework} | {row.batch} | {row.variant} | {row.median():.4g} ({low:.4g} to {high:.4g}) "
            f"| {row.median('wall'):.4g} | {row.median() / ours.median():.2f} | {row.median() / single.median():.2f} "
            f"| {row.spikes} |"
        )
    peers = [row for name, row in best.items() if name != "nirc"]
    figures["ratios"] = {row.framework: row.median() / ours.median() for row in peers}
    figures["wall_ratios"] = {row.framework: row.median("wall") / ours.median("wall") for row in peers}
    figures["work"] = vars(work)
    lines += [
        "",
        f"{work.additions:.0f} additions of weights and {work.updates:.0f} updates of neurons a sample.",
    ]
    if limits:
        bounds = [work.bound(limits, updates) for updates in (True, False)]
        figures["bound_ms"], figures["bound_ms_without_updates"] = bounds
        lines[-1] += (
            f" Bound of bytes and operations {bounds[0]:.4g} ms, nirc {ours.median() / bounds[0]:.1f} times that; "
            f"without updates of neurons that receive nothing at least {bounds[1]:.4g} ms."
        )
    if peers:
        figures["fastest_peer"], figures["ratio"] = peers[0].framework, peers[0].median() / ours.median()
        lines += ["", f"Fastest peer: {peers[0].framework}, {figures['ratio']:.2f} times nirc's time."]
    return "\n".join(lines), figures


def verdicts(chosen: list[Network], found: list[dict[str, Any]]) -> list[str]:
    """What misses the bar."""
    missed = list[str]()
    for network, figures in zip(chosen, found, strict=True):
        if not network.bar:
            continue
        if "spyx" not in figures["ratios"]:
            missed.append(f"{network.name}: spyx was not measured, so the bar of {BAR:g} times is not shown")
        elif figures["ratio"] < BAR:
            missed.append(
                f"{network.name}: {figures['ratio']:.2f} times as fast as {figures['fastest_peer']}, must be {BAR:g}"
            )
    return missed


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="which; default: all")
    parser.add_argument("--peers", default=",".join(PEERS), help="frameworks, with commas between; may be empty")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="for each figure in each round")
    parser.add_argument("--core", type=int, help="the core to run on; default: the last")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    core = max(os.sched_getaffinity(0)) if options.core is None else options.core
    os.sched_setaffinity(0, {core})  # Children, too.
    load = [os.getloadavg()]
    names = [name for name in options.peers.split(",") if name]
    if unknown := set(names) - set(PEERS):
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ.setdefault("NIRC_CACHE", str(folder / "cache"))
        chosen = networks(options.networks, folder)
        file = folder / "networks.npz"
        held = {f"{n.name}/{key}": values for n in chosen for key, values in {**n.arrays, "x": n.x}.items()}
        np.savez(file, allow_pickle=False, **held)
        who: list[Peer | Nirc] = [Nirc(chosen)]
        absent = dict[str, str]()
        try:
            for name in names:
                try:
                    who.append(Peer(name, file))
                except (OSError, KeyError) as error:
                    absent[name] = str(error)
            before = machine_limits(folder)
            rows, missing = measure(chosen, who, options.rounds, options.seconds)
            after = machine_limits(folder)
        finally:
            for peer in who:
                peer.close()
        limits = {name: max(value, after[name]) for name, value in before.items()}
        load.append(os.getloadavg())
        told = [table(rows, network, work_of(network), limits) for network in chosen]
    missed = verdicts(chosen, [figures for _, figures in told])
    about: dict[str, Any] = {
        "cpu": processor(),
        "machine": platform.machine(),
        "core": core,
        "cores": os.cpu_count(),
        "load": load,
        "python": platform.python_version(),
        "versions": {peer.name: peer.versions for peer in who},
        "limits": limits,
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    print(f"{about['cpu']}, core {core} of {about['cores']}; load before and after (1, 5, 15 minutes): {load}")
    for peer in who:
        print(f"{peer.name}: {', '.join(f'{package} {number}' for package, number in peer.versions.items())}")
    print(", ".join(f"{name} {value:.4g}" for name, value in limits.items()))
    for text, _ in told:
        print("\n" + text)
    print()
    for name, reason in absent.items():
        print(f"not measured: {name}: {reason}")
    for name, reasons in missing.items():
        for network, reason in reasons.items():
            print(f"not measured: {name} on {network}: {reason}")
    for line in missed:
        print(f"MISSED: {line}")
    if not missed:
        print(
            f"No bar is missed among {', '.join(network.name for network in chosen if network.bar) or 'no networks'}."
        )
    if options.json:
        content = {
            "about": about,
            "networks": [figures for _, figures in told],
            "rows": [row.figures() for row in rows],
            "missing": missing,
            "absent": absent,
            "missed": missed,
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
