"""The Xylo evaluator against SynSense's simulator (xylosim 0.1.3): every state of every step is equal."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.backends.xylo.read_config import network_of_specification, read_config
from nirc.dialects import xylo
from nirc.dialects.dense import Array
from nirc.interpreters.xylo import QuickXyloEvaluator, RealXyloEvaluator, XyloEvaluator
from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass

RUNNER = Path(__file__).with_name("xylosim_runner.py")
HIDDEN = {"Vmem": "v", "Isyn": "i", "Isyn2": "i2", "Spikes": "spikes"}
READOUT = {"Vmem_out": "v", "Isyn_out": "i"}
CASES = (
    "bias",
    "braille_subtract",
    "deep3",
    "ff_pow2",
    "lif_rockpool_relay",
    "rec_hetero",
    "relay_exact",
    "saturation",
    "two_synapse",
)
LOW, HIGH = -32768, 32767

Spec = dict[str, Any]
Layers = dict[str, Any]
Simulate = Callable[[list[Spec]], list[list[dict[str, Array]]]]

# One input, one hidden, one readout neuron. The numbers of the tests that use it were printed by xylosim.
TINY: Spec = {
    "weights_in": [[10]],
    "weights_rec": [[0]],
    "weights_out": [[5]],
    "dash_mem": [2],
    "dash_syn": [2],
    "threshold": [20],
    "bias": [0],
    "dash_mem_out": [2],
    "dash_syn_out": [1],
    "threshold_out": [3],
    "bias_out": [0],
    "weight_shift_in": 0,
    "weight_shift_rec": 0,
    "weight_shift_out": 0,
    "aliases": [[]],
}


def network(module: ModuleOp) -> xylo.NetworkOp:
    module.verify()
    op = module.body.block.first_op
    assert isinstance(op, xylo.NetworkOp)
    return op


def network_of(spec: Spec, chip: str = "audio2", layers: Layers | None = None) -> xylo.NetworkOp:
    return network(network_of_specification(spec, chip, layers))


def recording(op: xylo.NetworkOp, batch: int = 1) -> XyloEvaluator:
    """An evaluator that records all states."""
    keys = [f"{name}.{state}" for name in op.hidden.sizes() for state in HIDDEN.values()]
    keys += [f"{name}.{state}" for name in op.readout.sizes() for state in READOUT.values()]
    two = op.synapses == 2
    return XyloEvaluator(op, batch, tuple(key for key in keys if two or not key.endswith(".i2")))


def evolve(evaluator: XyloEvaluator, raster: Array) -> dict[str, Array]:
    """Run a raster [T, B, channels]; the states under the simulator's names, [T, B, neurons]."""
    op, at = evaluator.network, 0
    parts = dict[str, Array]()
    for name, size in op.input.sizes().items():
        parts[name] = raster[:, :, at : at + size]
        at += size
    got = evaluator.run(parts)
    names = {name: state for name, state in HIDDEN.items() if f"{next(iter(op.hidden.sizes()))}.{state}" in got}
    states = {n: np.concatenate([got[f"{layer}.{s}"] for layer in op.hidden.sizes()], axis=2) for n, s in names.items()}
    for name, state in READOUT.items():
        states[name] = np.concatenate([got[f"{layer}.{state}"] for layer in op.readout.sizes()], axis=2)
    states["out"] = np.concatenate([got[output.data] for output in op.readout.outputs], axis=2)
    return states


def differences(got: Mapping[str, Array], expected: Mapping[str, Array]) -> list[str]:
    """Where two runs differ, first place of each state; a second synapse that the network lacks stays at 0."""
    faults = list[str]()
    for name, want in expected.items():
        have = got.get(name, np.zeros_like(want) if name == "Isyn2" else None)
        if have is None or have.shape != want.shape:
            faults.append(f"{name}: shape {None if have is None else have.shape}, not {want.shape}")
        elif np.any(bad := have != want):
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            faults.append(f"{name} at {place}: {have[place]}, not {want[place]}, and at {bad.sum() - 1} more")
    return faults


@pytest.fixture(scope="session")
def simulate(oracle: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Networks with their calls to the states of each call, by one child process with the vendor's simulator."""

    def run(items: list[Spec]) -> list[list[dict[str, Array]]]:
        python, folder = oracle("xylosim"), tmp_path_factory.mktemp("xylosim")
        (folder / "networks.json").write_text(json.dumps(items))
        subprocess.run([python, RUNNER, "networks.json", "states.npz"], cwd=folder, check=True)
        with np.load(folder / "states.npz") as archive:
            states: list[list[dict[str, Array]]] = [[{} for _ in item["calls"]] for item in items]
            for key in archive.files:
                index, call, name = key.split(".")
                states[int(index)][int(call)][name] = archive[key]
        return states

    return run


def calls(*rasters: Array, reset: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    return [{"reset": number in reset, "raster": raster.tolist()} for number, raster in enumerate(rasters)]


# Cases made with rockpool 3.1.0 and xylosim 0.1.3


@pytest.mark.parametrize("form", ["spec.json", "cfg.xyloCore2.json"])
@pytest.mark.parametrize("case", CASES)
def test_shared_cases(case: str, form: str, shared: Path) -> None:
    folder = shared / "cases" / "xylo" / case
    raster: Array = np.load(folder / "input.npy")
    with np.load(folder / "trace.npz") as archive:
        expected: dict[str, Array] = {name: archive[name] for name in archive.files}
    expected["out"] = np.load(folder / "out_spikes.npy")
    assert {*HIDDEN, *READOUT} <= expected.keys()
    assert len(raster) == len(expected["out"]) > 0

    got = evolve(recording(network(read_config((folder / form).read_text()))), raster[:, None])

    assert differences({name: states[:, 0] for name, states in got.items()}, expected) == []


# Random networks

NETWORKS = 500


def pick(rng: np.random.Generator, low: int, high: int, size: tuple[int, ...] | int) -> Array:
    """Whole numbers low..high, both included."""
    return rng.integers(low, high, size, endpoint=True)


def logarithmic(rng: np.random.Generator, low: float, high: float, size: int) -> Array:
    """Whole numbers, each order of magnitude alike."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size)).astype(np.int64)


def some(rng: np.random.Generator, share: float, values: Array | int, others: Array) -> Array:
    """`others`, of which a share is replaced by `values`."""
    return np.where(rng.random(others.shape) < share, values, others)


def dashes(rng: np.random.Generator, size: int, low: int, high: int, extreme: bool) -> Array:
    """Time constants of low..high, some at both ends of the range where `extreme`."""
    return some(rng, 0.1 * extreme, 0, some(rng, 0.1 * extreme, 15, pick(rng, low, high, size)))


def random_aliases(rng: np.random.Generator, size: int) -> list[list[int]]:
    """Each target once and no neuron its own, as on the chip; chains go up and down."""
    targets = rng.permutation(size)
    share = rng.choice([0.1, 0.5, 1.0])
    return [[int(t)] if t != source and rng.random() < share else [] for source, t in enumerate(targets)]


def random_weights(rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int, density: float) -> Array:
    return np.where(rng.random(shape) < density, pick(rng, low, high, shape), 0)


def excited(rng: np.random.Generator, weights: Array) -> Array:
    """The first target and half of the others get weights above 0 alone, so that somebody spikes."""
    weights = weights.copy()
    for target in range(weights.shape[1]):
        if target == 0 or rng.random() < 0.5:
            weights[:, target] = np.clip(np.abs(weights[:, target]), 1, 127)
    return weights


def random_network(rng: np.random.Generator, core: int = 2) -> tuple[Spec, Array]:
    """A network and a raster [T, channels]. `heavy` ones saturate, most others stay in the range."""
    inputs, readout, hidden = int(rng.integers(1, 17)), int(rng.integers(1, 9)), int(logarithmic(rng, 1, 61, 1)[0])
    synapses = 2 if rng.random() < 0.45 else 1
    heavy, extreme, recurrent = rng.random() < 0.3, rng.random() < 0.25, rng.random() < 0.7
    aliased, biased, shifted = hidden > 1 and rng.random() < 0.4, core == 2 and rng.random() < 0.5, rng.random() < 0.4
    reached, read = (int(n) for n in pick(rng, (hidden + 1) // 2 if rng.random() < 0.25 else hidden, hidden, 2))
    low, density = int(rng.choice([-128, -64, -20])), float(rng.choice([0.3, 0.7, 1.0]))
    shifts = pick(rng, 2, 7, 3) if heavy else pick(rng, 0, 3, 3) if shifted else np.zeros(3, np.int64)
    steps = int(rng.integers(40, 61))
    rate, most = float(rng.choice([0.1, 0.3, 0.8])), int(rng.choice([1, 4, 15, 40]))
    raster = pick(rng, 1, most, (steps, inputs)) * (rng.random((steps, inputs)) < rate)
    if rng.random() < 0.5:  # ends in silence: states decay to 0
        raster[int(steps * 0.8) :] = 0

    weights_in = excited(rng, random_weights(rng, (inputs, reached, synapses), low, 127, density))
    dash_syn = dashes(rng, hidden, 8 if heavy else 1, 15 if heavy else 4, extreme)
    dash_syn_2 = dashes(rng, hidden, 8 if heavy else 1, 15 if heavy else 4, extreme)
    # Subtraction keeps the charge: a neuron spikes about current / threshold times in a step.
    charge = np.zeros(hidden)
    charge[:reached] = np.abs(raster.mean(axis=0) @ weights_in[:, :, 0]) * 2.0 ** (shifts[0] + dash_syn[:reached])
    threshold = np.clip(charge * np.exp(rng.uniform(-1, 2, hidden)), 50, HIGH).astype(np.int64)
    if extreme:
        threshold = some(rng, 0.03, 0, some(rng, 0.03, 1, some(rng, 0.03, -3, some(rng, 0.03, HIGH, threshold))))
    threshold_out = np.minimum(logarithmic(rng, 5, 500, readout) << shifts[2], HIGH)
    threshold_out = some(rng, 0.1 * extreme, 0, some(rng, 0.1 * extreme, HIGH, threshold_out))
    if core == 1:  # the chip has one threshold for all readout neurons
        threshold_out[:] = threshold_out.min()
    bias, bias_out = pick(rng, -128, 127, hidden), pick(rng, -128, 127, readout)
    if heavy:  # the chip holds 8 bits, the simulator 16
        bias, bias_out = (some(rng, 0.1, pick(rng, LOW, HIGH, b.size), b) for b in (bias, bias_out))
    strength = 60 if heavy else 6
    low, high = (low, 127) if heavy else (low // 4, 40)
    numbers: dict[str, Array] = {
        "weights_in": weights_in,
        "weights_rec": random_weights(rng, (hidden, hidden, synapses), -strength, strength, density * 0.5 * recurrent),
        "weights_out": excited(rng, random_weights(rng, (read, readout), low, high, max(density, 0.7))),
        "dash_mem": dashes(rng, hidden, 0, 12 if heavy else 6, extreme),
        "dash_syn": dash_syn,
        "dash_syn_2": dash_syn_2,
        "threshold": threshold,
        "bias": bias * biased,
        "dash_mem_out": dashes(rng, readout, 0, 6, extreme),
        "dash_syn_out": pick(rng, 1, 12 if heavy else 3, readout),
        "threshold_out": threshold_out,
        "bias_out": bias_out * biased,
        "weight_shift_in": shifts[0],
        "weight_shift_rec": shifts[1],
        "weight_shift_out": shifts[2],
    }
    aliases: list[list[int]] = random_aliases(rng, hidden) if aliased else [[] for _ in range(hidden)]
    return {name: values.tolist() for name, values in numbers.items()} | {"aliases": aliases}, raster


def halves(name: str, size: int) -> dict[str, int]:
    return {name: size} if size < 2 else {f"{name} 0": size // 2, f"{name}.1": size - size // 2}


def layers_of(spec: Spec, split: bool) -> Layers | None:
    """Each population as two layers of the user's network, or as one."""
    if not split:
        return None
    sizes = {
        "input": len(spec["weights_in"]),
        "hidden": len(spec["weights_rec"]),
        "readout": len(spec["threshold_out"]),
    }
    parts: Layers = {part: halves(part, size) for part, size in sizes.items()}
    return {**parts, "outputs": [f"output {n}" for n in range(len(parts["readout"]))]}


def features(spec: Spec, raster: Array, states: Mapping[str, Array]) -> set[str]:
    """What really occurs in a run of the simulator."""
    weights_in, weights_rec, weights_out = (np.array(spec[f"weights_{name}"]) for name in ("in", "rec", "out"))
    inputs, hidden, synapses = len(weights_in), len(weights_rec), weights_rec.shape[2]
    reached, read = weights_in.shape[1], len(weights_out)
    spikes, delivered = states["Spikes"].astype(np.int64), np.minimum(raster, 15)
    before = np.concatenate([np.zeros_like(spikes[:1]), spikes[:-1]])
    driven = bool(np.any(delivered.any(axis=0) & weights_in.any(axis=(1, 2))))
    recurrent = bool(np.any(before.any(axis=0) & weights_rec.any(axis=(1, 2))))
    # What an alias hands on: neuron to target, where the neuron spikes.
    aliases = {n: targets[0] for n, targets in enumerate(spec["aliases"]) if targets and spikes[:, n].any()}

    # A current is recorded after its decay, never at 32767. Its sum, exact up to where it first leaves int16, tells.
    wide = np.zeros((inputs + hidden, hidden, synapses), np.int64)
    wide[:inputs, :reached] = weights_in << spec["weight_shift_in"]
    wide[inputs:] = weights_rec << spec["weight_shift_rec"]
    out = weights_out << spec["weight_shift_out"]
    sources = np.concatenate([delivered, before], axis=1)
    sums = [current_sums(states[name], sources, wide[:, :, k]) for name, k in (("Isyn", 0), ("Isyn2", synapses - 1))]
    sums.append(current_sums(states["Isyn_out"], before[:, hidden - read :], out))
    current = any(np.any(left) for left, _ in sums)
    membrane = any(np.any((states[name] == LOW) | (states[name] == HIGH)) for name in ("Vmem", "Vmem_out"))

    dashes = spec["dash_mem"] + spec["dash_mem_out"] + spec["dash_syn"]
    found = {
        "hidden spikes": spikes.any(),
        "readout spikes": states["out"].any(),
        "recurrence": recurrent,
        "second synapse": states["Isyn2"].any(),
        "alias": aliases,
        "alias to a higher index": any(target > n for n, target in aliases.items()),
        "alias to a lower index": any(target < n for n, target in aliases.items()),
        "alias of an alias": any(target in aliases and target > n for n, target in aliases.items()),
        "bias": any(spec["bias"] + spec["bias_out"]),
        "negative bias": min(spec["bias"] + spec["bias_out"]) < 0,
        "shift": (spec["weight_shift_in"] > 0 and driven)
        or (spec["weight_shift_rec"] > 0 and recurrent)
        or (spec["weight_shift_out"] > 0 and states["Isyn_out"].any()),
        "events dropped": np.any(raster > 15),
        "several spikes in a step": np.any(spikes > 1),
        "31 spikes in a step": np.any(spikes == 31),
        "dash 0": 0 in dashes,
        "dash 15": 15 in dashes,
        "threshold 0": 0 in spec["threshold"] + spec["threshold_out"],
        "inputs or readout reach a part": min(reached, read) < hidden,
        "membrane saturates": membrane,
        "current saturates": current,
        "current saturates and comes back in a step": any(np.any(left & back) for left, back in sums),
        "saturation": membrane or current,
    }
    return {name for name, occurs in found.items() if occurs}


def current_sums(recorded: Array, sources: Array, weights: Array) -> tuple[Array, Array]:
    """Per step and neuron: whether the sum of a current leaves int16 at any source, and whether it ends inside."""
    start = np.concatenate([np.zeros_like(recorded[:1]), recorded[:-1]]).astype(np.int64)
    sums = start[:, None] + np.cumsum(sources[:, :, None] * weights, axis=1)
    outside: Array = (sums < LOW) | (sums > HIGH)
    return np.any(outside, axis=1), ~outside[:, -1]


def test_random_networks(simulate: Simulate) -> None:
    drawn = [random_network(np.random.default_rng([20_240, seed])) for seed in range(NETWORKS)]
    expected = simulate([{"core": 2, "spec": spec, "calls": calls(raster)} for spec, raster in drawn])
    counts, steps, compared, faults = Counter[str](), Counter[str](), 0, list[str]()
    for index, ((spec, raster), (states,)) in enumerate(zip(drawn, expected, strict=True)):
        op = network_of(spec, layers=layers_of(spec, split=index % 3 == 0))
        got = {name: values[:, 0] for name, values in evolve(recording(op), raster[:, None]).items()}
        faults += [f"network {index}: {fault}" for fault in differences(got, states)]
        compared += sum(states[name].size for name in got)
        found = features(spec, raster, states)
        found |= {"spikes in every layer"} if {"hidden spikes", "readout spikes"} <= found else set()
        counts.update(found)
        steps.update(dict.fromkeys(found, len(raster)))
    table = "\n".join(f"{counts[name]:6} networks {steps[name]:7} steps  {name}" for name in sorted(counts))
    total = sum(len(raster) for _, raster in drawn)
    print(f"\n{NETWORKS} random networks, {total} steps, {compared} state values compared\n{table}")
    assert faults == []
    assert counts["spikes in every layer"] >= 0.9 * NETWORKS
    assert {name: count for name, count in counts.items() if count < 50} == {}
    assert counts.keys() >= {"recurrence", "second synapse", "alias", "bias", "shift", "saturation"}


def test_core_v1_random_networks(simulate: Simulate) -> None:
    """The first chip adds decay and currents to the membrane at once, with one saturation."""
    drawn = [random_network(np.random.default_rng([61_300, seed]), core=1) for seed in range(60)]
    expected = simulate([{"core": 1, "spec": spec, "calls": calls(raster)} for spec, raster in drawn])
    faults = list[str]()
    for index, ((spec, raster), (states,)) in enumerate(zip(drawn, expected, strict=True)):
        got = evolve(recording(network_of(spec, "v1")), raster[:, None])
        own = differences({name: values[:, 0] for name, values in got.items()}, states)
        faults += [f"network {index}: {fault}" for fault in own]
    spiking = sum(bool(states["Spikes"].any() and states["out"].any()) for (states,) in expected)
    print(f"\n60 random networks of core v1, {spiking} spike in every layer")
    assert spiking >= 54
    assert faults == []


def test_states_stay_between_calls_until_reset(simulate: Simulate) -> None:
    drawn = [random_network(np.random.default_rng([7, seed])) for seed in range(20)]
    items = list[Spec]()
    for spec, raster in drawn:
        half = len(raster) // 2
        items.append({"core": 2, "spec": spec, "calls": calls(raster[:half], raster[half:], raster[:half], reset=(2,))})
    expected = simulate(items)
    # The oracle itself must tell the second call from a fresh start, or nothing is tested.
    continued = [index for index, run in enumerate(expected) if np.any(run[0]["Vmem"][-1]) and np.any(run[1]["Vmem"])]
    assert len(continued) >= 15
    for (spec, raster), run in zip(drawn, expected, strict=True):
        evaluator = recording(network_of(spec))
        half = len(raster) // 2
        for number, part in enumerate((raster[:half], raster[half:], raster[:half])):
            if number == 2:
                evaluator.reset()
            got = {name: states[:, 0] for name, states in evolve(evaluator, part[:, None]).items()}
            assert differences(got, run[number]) == [], f"call {number}"


def test_batch_equals_separate_runs() -> None:
    """Rows of one batch do not touch: a loud row saturates, a quiet one does not, a silent one stays at 0."""
    spiking = 0
    for seed in range(12):
        spec, raster = random_network(np.random.default_rng([11, seed]))
        op = network_of(spec)
        batch = np.stack([raster, np.minimum(raster, 1), raster[::-1], raster * 0], axis=1)
        together = evolve(recording(op, 4), batch)
        for row in range(4):
            alone = evolve(recording(op), batch[:, row : row + 1])
            assert together.keys() == alone.keys()
            assert (
                differences({n: s[:, row] for n, s in together.items()}, {n: s[:, 0] for n, s in alone.items()}) == []
            )
        spiking += len({together["Spikes"][:, row].sum() for row in range(4)}) == 4
    assert spiking >= 6


def run_tiny(*counts: int, **changes: Any) -> dict[str, list[int]]:
    got = evolve(recording(network_of(TINY | changes)), np.array(counts)[:, None, None])
    return {name: values.ravel().tolist() for name, values in got.items()}


def test_a_small_network() -> None:
    got = run_tiny(3, 3, 3, 3)
    assert got["Vmem"] == [3, 2, 14, 14]
    assert got["Spikes"] == [1, 2, 2, 3]
    assert got["Isyn_out"] == [0, 3, 7, 9]
    assert got["out"] == [0, 1, 1, 1]


def test_currents_decay_before_they_are_integrated() -> None:
    """i = 10; i -= 10 >> 2 leaves 8; the next steps lose 8 >> 2, 6 >> 2, 5 >> 2, then 1 each."""
    assert run_tiny(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)["Isyn"] == [8, 6, 5, 4, 3, 2, 1, 0, 0, 0]


def test_negative_states_decay_by_floor() -> None:
    """i = -10; -10 >> 2 is -3: -7; -7 >> 2 is -2: -5, -3, -2, -1, 0."""
    assert run_tiny(1, 0, 0, 0, 0, 0, 0, weights_in=[[-10]])["Isyn"] == [-7, -5, -3, -2, -1, 0, 0]


def test_a_dead_synapse() -> None:
    """With dash 0 the current is gone before it is integrated."""
    got = run_tiny(15, 15, 15, dash_syn=[0])
    assert got["Isyn"] == got["Vmem"] == got["Spikes"] == [0, 0, 0]


def test_threshold_zero_fires_as_often_as_a_step_allows() -> None:
    got = run_tiny(0, 0, threshold=[0])
    assert got["Spikes"] == [31, 31]
    assert got["out"] == [0, 1]


@pytest.mark.parametrize(
    ("source", "aliases", "spikes"),
    [
        (0, [[2], [], []], [2, 0, 2]),
        (0, [[1], [2], []], [2, 2, 2]),
        (0, [[2], [], [1]], [2, 2, 2]),
        (2, [[1], [], [0]], [2, 0, 2]),
    ],
)
def test_an_alias_hands_spikes_on(source: int, aliases: list[list[int]], spikes: list[int]) -> None:
    """In the order of the indices: a higher target hands them on in the same step, a lower one was through already."""
    spec = TINY | {
        "weights_in": [[27 if n == source else 0 for n in range(3)]],  # i = v = 27 - (27 >> 2) = 21: two spikes
        "weights_rec": [[0] * 3] * 3,
        "weights_out": [[0], [0], [5]],
        "dash_mem": [2, 2, 2],
        "dash_syn": [2, 2, 2],
        "threshold": [10, 10, 10],
        "bias": [0, 0, 0],
        "aliases": aliases,
    }
    got = evolve(recording(network_of(spec)), np.array([[[1]]]))
    assert got["Spikes"].ravel().tolist() == spikes


def test_events_above_fifteen_are_dropped_and_counted() -> None:
    op = network_of(TINY)
    evaluator, clipped = recording(op, 2), recording(op, 2)
    raster = np.array([[[40], [0]], [[16], [15]], [[255], [14]]])
    got = evolve(evaluator, raster)
    assert evaluator.dropped == (40 - 15) + (16 - 15) + (255 - 15)
    assert differences(got, evolve(clipped, np.minimum(raster, 15))) == []
    assert clipped.dropped == 0
    evolve(evaluator, np.full((1, 2, 1), 17))
    assert evaluator.dropped == 25 + 1 + 240 + 2 * 2


@pytest.mark.parametrize(("chip", "last"), [("v1", 32765), ("audio2", -1), ("audio3", -1)])
def test_core_v1_saturates_the_membrane_once(chip: str, last: int) -> None:
    """From -32768 by two currents of 32766: later cores clip what a step adds to 32767, the first one does not."""
    spec = TINY | {
        "weights_in": [[[127, 127]], [[-128, -128]]],
        "weights_rec": [[[0, 0]]],
        "weight_shift_in": 7,
        "dash_mem": [15],
        "dash_syn": [15],
        "dash_syn_2": [15],
        "threshold": [32767],
    }
    got = evolve(recording(network_of(spec, chip)), np.array([[[0, 15]], [[0, 0]], [[15, 0]]]))
    assert got["Isyn"].ravel().tolist() == got["Isyn2"].ravel().tolist() == [-32767, -32766, 32766]
    assert got["Vmem"].ravel().tolist() == [-32768, -32768, last]


def test_biases_have_no_effect_on_a_chip_without() -> None:
    raster = np.full((6, 1, 1), 2)
    biased = evolve(recording(network_of(TINY | {"bias": [9], "bias_out": [-7]}, "v1")), raster)
    assert differences(biased, evolve(recording(network_of(TINY, "v1")), raster)) == []


def test_only_named_states_are_recorded() -> None:
    layers: Layers = {"input": {"in": 1}, "hidden": {"a": 1}, "readout": {"b": 1}, "outputs": ["out"]}
    evaluator = XyloEvaluator(network_of(TINY, layers=layers), record=("a.v", "b.i"))
    got = evaluator.run({"in": np.full((4, 1, 1), 3)})
    assert list(got) == ["out", "a.v", "b.i"]
    assert got["out"].dtype == np.uint8
    assert got["a.v"].ravel().tolist() == [3, 2, 14, 14]
    assert got["b.i"].ravel().tolist() == [0, 3, 7, 9]


def test_progress_is_told_after_each_step() -> None:
    told = list[int]()
    XyloEvaluator(network_of(TINY)).run({"input": np.zeros((5, 1, 1))}, told.append)
    assert told == [1, 2, 3, 4, 5]


def test_no_steps_leave_no_rows() -> None:
    got = XyloEvaluator(network_of(TINY), 2, ("hidden.v",)).run({"input": np.zeros((0, 2, 1))})
    assert {name: states.shape for name, states in got.items()} == {"output": (0, 2, 1), "hidden.v": (0, 2, 1)}


# Refusals


@pytest.mark.parametrize(
    ("count", "spans"),
    [(1.5, "1.5 to 1.5"), (-1, "-1 to -1"), (256, "256 to 256"), (np.inf, "inf to inf"), (np.nan, "nan to nan")],
)
def test_what_is_no_event_count_is_refused(count: float, spans: str) -> None:
    evaluator = XyloEvaluator(network_of(TINY))
    text = rf"^the raster of input 'input' must hold event counts, whole numbers in 0\.\.255; it spans {spans}$"
    with pytest.raises(DiagnosticException, match=text):
        evaluator.run({"input": np.full((2, 1, 1), count)})
    assert evaluator.dropped == 0


def test_whole_numbers_as_floats_are_event_counts() -> None:
    got = evolve(recording(network_of(TINY)), np.full((4, 1, 1), 3.0))
    assert got["Vmem"].ravel().tolist() == [3, 2, 14, 14]


@pytest.mark.parametrize("key", ["hidden.w", "hidden.i2", "readout.i2", "nobody.v", "v"])
def test_recording_an_unknown_key_is_refused(key: str) -> None:
    known = "hidden.spikes, hidden.v, hidden.i, readout.spikes, readout.v, readout.i"
    with pytest.raises(DiagnosticException, match=rf"^cannot record '{key}'; there are {known}$"):
        XyloEvaluator(network_of(TINY), record=(key,))


def test_rasters_that_do_not_fit_are_refused_together() -> None:
    spec = TINY | {"weights_in": [[10], [10], [10]]}
    layers: Layers = {"input": {"a": 1, "b": 1, "c": 1}, "hidden": {"h": 1}, "readout": {"r": 1}, "outputs": ["out"]}
    evaluator = XyloEvaluator(network_of(spec, layers=layers))
    with pytest.raises(DiagnosticException) as refusal:
        evaluator.run({"a": np.zeros((4, 1, 2)), "c": np.full((4, 1, 1), -3)})
    assert str(refusal.value).splitlines() == [
        "the raster of input 'a' has the shape 4x1x2, must be steps x batch x 1",
        "no raster for the input 'b'",
        "the raster of input 'c' must hold event counts, whole numbers in 0..255; it spans -3 to -3",
    ]
    with pytest.raises(DiagnosticException, match=r"^the rasters have unequal numbers of steps$"):
        evaluator.run({"a": np.zeros((4, 1, 1)), "b": np.zeros((4, 1, 1)), "c": np.zeros((5, 1, 1))})


def test_a_network_of_real_numbers_is_refused(parse: Callable[[str], ModuleOp]) -> None:
    text = """
    xylo.network @main attributes {chip = "audio2"} {
      xylo.input {layers = {input = 1}, weights = dense<1.0> : tensor<1x1x1xf64>, weight_shift = 0}
      xylo.hidden {layers = {h = 1}, weights = dense<0.0> : tensor<1x1x1xf64>, weight_shift = 0,
        dash_mem = dense<1.0> : tensor<1xf64>, dash_syn = dense<1.0> : tensor<1x1xf64>,
        threshold = dense<1.0> : tensor<1xf64>, bias = dense<0.0> : tensor<1xf64>}
      xylo.readout {layers = {r = 1}, outputs = ["out"], weights = dense<1.0> : tensor<1x1xf64>, weight_shift = 0,
        dash_mem = dense<1.0> : tensor<1xf64>, dash_syn = dense<1.0> : tensor<1xf64>,
        threshold = dense<1.0> : tensor<1xf64>, bias = dense<0.0> : tensor<1xf64>}
    }"""
    with pytest.raises(
        DiagnosticException, match=r"^the network holds real numbers; run xylo-quantize before the evaluator$"
    ):
        XyloEvaluator(network(parse(text)))


# The quick evaluator


def narrow(spec: Spec) -> Spec:
    """One synapse, no aliases, thresholds above 0, small weights: what the quick evaluator is for."""
    numbers = {name: np.array(spec[name]) for name in ("weights_in", "weights_rec")}
    small = {name: values[:, :, :1].tolist() for name, values in numbers.items()}
    above = {name: np.maximum(spec[name], 1).tolist() for name in ("threshold", "threshold_out")}
    return spec | small | above | {"aliases": [[] for _ in spec["threshold"]]}


def quick(op: xylo.NetworkOp, raster: Array) -> dict[str, Array]:
    keys = tuple(f"{part}.{state}" for part in ("hidden", "readout") for state in ("v", "i", "spikes"))
    return QuickXyloEvaluator(op, raster.shape[1], keys).run({"input": raster})


def test_the_quick_evaluator_is_exact_where_nothing_saturates() -> None:
    """Random networks, all states of all steps; and where sums do saturate it may differ, and often does not."""
    counts = Counter[str]()
    for seed in range(300):
        spec, raster = random_network(np.random.default_rng([31, seed]))
        op = network_of(narrow(spec))
        keys = tuple(f"{part}.{state}" for part in ("hidden", "readout") for state in ("v", "i", "spikes"))
        exact = XyloEvaluator(op, 1, keys)
        wanted = exact.run({"input": raster[:, None]})
        found = quick(op, raster[:, None])
        same = all(np.array_equal(found[name], wanted[name]) for name in wanted)
        counts["saturated" if exact.saturated else "in range"] += 1
        counts["saturated, equal"] += bool(exact.saturated) and same
        counts["spiking in range"] += not exact.saturated and bool(wanted["output"].any())
        assert same or exact.saturated, f"network {seed}"
    print(f"\n{dict(counts)}")
    assert counts["spiking in range"] > 90
    assert counts["saturated"] > 30


def test_the_quick_evaluator_saturates_states_once_a_step() -> None:
    """A current of 10 * 127 << 5 stops at 32767 in both; sums of one sign saturate alike, whatever their order."""
    spec = TINY | {"weights_in": [[127]], "weight_shift_in": 5, "dash_syn": [15], "threshold": [32767]}
    raster = np.full((6, 1, 1), 10)
    exact = evolve(recording(network_of(spec)), raster)
    found = quick(network_of(spec), raster)
    assert found["hidden.i"].max() == exact["Isyn"].max() == 32766  # 32767, and its decay of 1
    assert np.array_equal(found["hidden.i"], exact["Isyn"])
    assert np.array_equal(found["hidden.v"], exact["Vmem"])


# The network of real numbers


def real_of(module: ModuleOp) -> xylo.NetworkOp:
    """The chip's network of real numbers from a `snn` module."""
    copy = module.clone()
    for each in (SnnFoldLinearPathsPass(), ConvertSnnToXyloPass()):
        each.apply(Context(), copy)
    return network(copy)


@pytest.mark.parametrize("case", ["ff_pow2", "rec_hetero", "deep3", "saturation", "bias", "braille_subtract"])
def test_real_numbers_spike_like_the_network(case: str, shared: Path) -> None:
    """Every hidden layer, and the readout, by its place in the chain later than the float network; nothing rounded.

    In f64, so that rounding decides about no spike. Events beyond 15 count: widths are the integer evaluator's.
    """
    folder = shared / "cases" / "xylo" / case
    dt = json.loads((folder / "case.json").read_text())["dt"]
    scheme = "nir-euler,reset=subtract,v_init=0"
    program = nirc.compile(folder / "model.nir", dt=dt, scheme=scheme, precision="f64")
    op = real_of(program.module)
    raster: Array = np.load(folder / "input.npy")
    hidden = tuple(f"{name}.spikes" for name in op.hidden.sizes())
    wanted = program.run(raster, record=hidden)
    (given,) = op.input.sizes()
    (output,) = [name.data for name in op.readout.outputs]
    found = RealXyloEvaluator(op, 1, hidden).run({given: raster[:, None]})
    for late, name in enumerate((*hidden, output)):
        assert wanted[name].any()
        assert np.array_equal(found[name][late:, 0], wanted[name][: len(raster) - late]), name
        assert not found[name][:late].any()


@pytest.mark.parametrize("seed", range(8))
def test_real_numbers_of_random_chains(seed: int, tmp_path: Path) -> None:
    """Two to five layers, some recurrent, with gains and thresholds per neuron.

    A leak in the first alone: it acts from the start, while what a deeper layer receives comes late.
    """
    rng = np.random.default_rng(seed)
    sizes = [4, *rng.integers(2, 8, rng.integers(1, 5)).tolist(), 3]
    nodes: dict[str, dict[str, Any]] = {"input": {"type": "Input", "shape": np.array([sizes[0]])}}
    edges, before = list[tuple[str, str]](), "input"
    for n, (incoming, size) in enumerate(pairwise(sizes)):
        dt, tau = 1e-3, rng.uniform(3, 20, (2, size))
        nodes[f"fc{n}"] = {"type": "Linear", "weight": rng.uniform(-0.3, 0.9, (size, incoming))}
        nodes[f"lif{n}"] = {
            "type": "CubaLIF",
            "tau_mem": dt * tau[0],
            "tau_syn": dt * tau[1],
            "r": rng.uniform(5, 20, size),
            "w_in": rng.uniform(1, 5, size),
            "v_leak": rng.uniform(-0.1, 0.2, size) * (n == 0),
            "v_threshold": rng.uniform(0.5, 1.5, size),
        }
        edges += [(before, f"fc{n}"), (f"fc{n}", f"lif{n}")]
        if n < len(sizes) - 2 and rng.random() < 0.6:
            nodes[f"rec{n}"] = {"type": "Linear", "weight": rng.uniform(-0.3, 0.2, (size, size))}
            edges += [(f"lif{n}", f"rec{n}"), (f"rec{n}", f"lif{n}")]
        before = f"lif{n}"
    nodes["output"] = {"type": "Output", "shape": np.array([sizes[-1]])}
    edges.append((before, "output"))
    write(tmp_path / "model.nir", nodes, edges)
    program = nirc.compile(tmp_path / "model.nir", dt=1e-3, scheme="nir-euler,reset=subtract,v_init=0", precision="f64")
    op = real_of(program.module)
    raster = rng.integers(0, 2, (300, 1, 4)) * (rng.random((300, 1, 4)) < 0.5)
    hidden = tuple(f"{name}.spikes" for name in op.hidden.sizes())
    wanted = program.run(raster[:, 0], record=hidden)
    found = RealXyloEvaluator(op, 1, hidden).run({"input": raster})
    spiking = 0
    for late, name in enumerate((*hidden, "output")):
        assert np.array_equal(found[name][late:, 0], wanted[name][: len(raster) - late]), name
        spiking += bool(wanted[name].any())
    assert spiking == len(hidden) + 1


def test_real_numbers_need_a_network_of_real_numbers() -> None:
    with pytest.raises(DiagnosticException, match="must hold real numbers and have one synapse per neuron"):
        RealXyloEvaluator(network_of(TINY))


def write(path: Path, nodes: dict[str, dict[str, Any]], edges: list[tuple[str, str]]) -> None:
    """A NIR file."""
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=text)
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        graph.create_dataset("edges", data=np.array(edges, dtype=object), dtype=text)
        group = graph.create_group("nodes")
        for name, fields in nodes.items():
            node = group.create_group(name)
            for key, value in fields.items():
                node.create_dataset(key, data=value, dtype=text if isinstance(value, str) else None)
