"""Layers that leave the chip though they cannot be readout: exact copies a step later, in xylosim and in nirc."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from xdsl.utils.exceptions import PassFailedException

import nirc
from nirc.dialects import xylo
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parent))
from nir_models import cuba_lif, lif, linear, port, write

RUNNER = Path(__file__).parents[2] / "interpreters" / "xylosim_runner.py"
STEPS = 10_000

Simulate = Callable[[nirc.Program, Array], dict[str, Array]]


def network(program: nirc.Program) -> xylo.NetworkOp:
    (op,) = program.module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


@pytest.fixture
def simulate(oracle: Callable[[str], str], tmp_path: Path) -> Simulate:
    """The vendor's simulator on the emitted specification: its states [T, N] by name."""

    def run(program: nirc.Program, raster: Array) -> dict[str, Array]:
        spec = json.loads(program.emit())["spec"]
        items = [{"core": 2, "spec": spec, "calls": [{"reset": False, "raster": raster.tolist()}]}]
        (tmp_path / "networks.json").write_text(json.dumps(items))
        subprocess.run([oracle("xylosim"), RUNNER, "networks.json", "states.npz"], cwd=tmp_path, check=True)
        with np.load(tmp_path / "states.npz") as archive:
            return {key.removeprefix("0.0."): archive[key] for key in archive.files}

    return run


def single_lif(path: Path) -> Path:
    rng = np.random.default_rng(1)
    return write(
        path,
        {
            "input": port("Input", 4),
            "fc": linear(rng.uniform(-0.2, 0.6, (3, 4))),
            "lif": lif(3),
            "output": port("Output", 3),
        },
    )


def single_recurrent(path: Path) -> Path:
    rng = np.random.default_rng(2)
    nodes = {
        "input": port("Input", 4),
        "fc": linear(rng.uniform(-0.1, 0.3, (3, 4))),
        "lif": cuba_lif(3),
        "rec": linear(rng.uniform(-0.2, 0.1, (3, 3))),
        "output": port("Output", 3),
    }
    return write(path, nodes, [("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")])


def leaves_and_feeds(path: Path) -> Path:
    rng = np.random.default_rng(3)
    nodes = {
        "input": port("Input", 4),
        "fc1": linear(rng.uniform(-0.1, 0.3, (3, 4))),
        "lif1": cuba_lif(3),
        "fc2": linear(rng.uniform(0.1, 0.4, (2, 3))),
        "lif2": cuba_lif(2),
        "inside": port("Output", 3),
        "output": port("Output", 2),
    }
    chain = ["input", "fc1", "lif1", "fc2", "lif2", "output"]
    return write(path, nodes, [*pairwise(chain), ("lif1", "inside")])


MODELS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "single LIF": (single_lif, "lif", "output"),
    "single CubaLIF with recurrence": (single_recurrent, "lif", "output"),
    "leaves and feeds": (leaves_and_feeds, "lif1", "inside"),
}
"""How it is made, which layer is relayed, and to which output."""


def heavy_raster(seed: int, channels: int = 4) -> Array:
    """10,000 steps in stretches from silence to 15 events in every channel and step."""
    rng = np.random.default_rng(seed)
    rates = np.repeat(rng.choice([0.0, 0.02, 0.1, 0.4, 1.0], STEPS // 100), 100)[:, None]
    most = np.repeat(rng.choice([1, 2, 15], STEPS // 100), 100)[:, None]
    raster: Array = rng.integers(1, most + 1, (STEPS, channels)) * (rng.random((STEPS, channels)) < rates)
    return raster.astype(np.uint8)


@pytest.mark.parametrize("name", MODELS)
def test_the_copy_is_exact_in_the_vendors_simulator(simulate: Simulate, tmp_path: Path, name: str) -> None:
    """10,000 steps, hidden counts above 1 included; every state of nirc's evaluator is xylosim's."""
    make, layer, output = MODELS[name]
    program = nirc.compile(make(tmp_path / "model.nir"), "xylo")
    op, raster = network(program), heavy_raster(7)
    states = simulate(program, raster)
    spikes = states["Spikes"][:, op.hidden.places()[layer]].astype(int)
    copies = dict(zip([o.data for o in op.readout.outputs], op.readout.places().values(), strict=True))
    copy = states["out"][:, copies[output]]
    assert 0.05 < (spikes > 0).mean() < 0.95
    assert (spikes[:-1] & (spikes[1:] > 0)).any(), "spikes in consecutive steps"
    assert np.array_equal(copy[1:], spikes[:-1] > 0)
    assert not copy[0].any()
    print(f"\n{name}: {STEPS} steps, {spikes.sum()} hidden spikes, up to {spikes.max()} a step")

    got = program.run(raster, record=(f"{layer}.spikes", f"{layer}.v"))
    assert np.array_equal(got[f"{layer}.spikes"], spikes)
    assert np.array_equal(got[f"{layer}.v"], states["Vmem"][:, op.hidden.places()[layer]])
    assert np.array_equal(got[output], copy)


def test_counts_above_one_occur(simulate: Simulate, tmp_path: Path) -> None:
    """Or exactness says less: a layer whose weights are many times its threshold."""
    weight = np.array([[5.0, 1.0], [9.0, -0.5]])
    nodes = {"input": port("Input", 2), "fc": linear(weight), "lif": cuba_lif(2), "output": port("Output", 2)}
    program = nirc.compile(write(tmp_path / "model.nir", nodes), "xylo")
    states = simulate(program, heavy_raster(8, 2))
    spikes = states["Spikes"][:, :2].astype(int)
    assert spikes.max() > 5
    assert np.array_equal(states["out"][1:], spikes[:-1] > 0)


def trains(model: Path, output: str) -> tuple[Array, Array]:
    """An output's spikes of the float network and, a step earlier than they come, of the chip; moderate input."""
    raster: Array = (np.random.default_rng(5).random((2000, 4)) < 0.15).astype(np.uint8)
    programs = nirc.compile(model, dt=1e-3, scheme="nir-euler,reset=subtract,v_init=0"), nirc.compile(model, "xylo")
    real, chip = (only(program.run(raster), output).astype(int) for program in programs)
    return real[:-1], chip[1:]


def only(result: Array | dict[str, Array], output: str) -> Array:
    """One output's raster, whether it is the only one or not."""
    return result[output] if isinstance(result, dict) else result


@pytest.mark.parametrize("name", ["single CubaLIF with recurrence", "leaves and feeds"])
def test_the_copy_spikes_like_the_network(tmp_path: Path, name: str) -> None:
    make, _, output = MODELS[name]
    wanted, found = trains(make(tmp_path / "model.nir"), output)
    assert wanted.sum() > 200
    both = 2 * int(np.minimum(wanted, found).sum()) / int(wanted.sum() + found.sum())
    print(f"\n{name}: F1 {both:.3f} of {wanted.sum()} spikes")
    assert both >= 0.8


def test_a_layer_without_a_synapse_keeps_its_rate(tmp_path: Path) -> None:
    """The shortest synapse of the chip spreads a spike's charge over some steps, so spikes come a little later."""
    wanted, found = trains(single_lif(tmp_path / "model.nir"), "output")
    print(f"\nsingle LIF: {found.sum(axis=0)} spikes, {wanted.sum(axis=0)} in the network")
    assert np.all(wanted.sum(axis=0) > 20)
    assert np.all(np.abs(found.sum(axis=0) / wanted.sum(axis=0) - 1) < 0.15)


def test_what_is_told(tmp_path: Path) -> None:
    program = nirc.compile(single_lif(tmp_path / "model.nir"), "xylo")
    told = list(program.assumptions)
    assert "relay: 'lif' is copied to readout neurons by exact relays: 1 where it fired, however often" in told
    assert any(line.startswith("latency: the readout answers 1 step later than the network") for line in told)


def test_relays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Audio 2 has 8 readout neurons; 9 copies are named in the words of the model."""
    nodes = {"input": port("Input", 2), "fc": linear(np.ones((9, 2))), "lif": lif(9), "output": port("Output", 9)}
    with pytest.raises(PassFailedException, match=r"9 readout neurons .*, the chip has 8"):
        nirc.compile(write(tmp_path / "model.nir", nodes), "xylo")


def test_the_nir_papers_single_lif(shared: Path, simulate: Simulate) -> None:
    """lif_rockpool.nir on its own input (dt 1e-4): weight 0.04 beside the threshold 0.1, tau of 25 steps.

    The float simulators of the paper give 4 output spikes; the vendor's way gives 4 through a hand-made relay.
    """
    folder = shared / "cases" / "xylo" / "lif_rockpool_relay"
    raster = np.load(folder / "input.npy")
    program = nirc.compile(shared / "models" / "lif_rockpool.nir", "xylo", dt=1e-4)
    states = simulate(program, raster)
    op = network(program)
    (layer,) = [name for name in op.hidden.sizes() if not name.endswith("_relay")]
    spikes = states["Spikes"][:, op.hidden.places()[layer]]
    assert np.array_equal(states["out"][1:], spikes[:-1] > 0)
    float_spikes = nirc.compile(
        shared / "models" / "lif_rockpool.nir", dt=1e-4, scheme="nir-euler,reset=subtract,v_init=0"
    ).run(raster)
    print(f"\nfloat {np.flatnonzero(float_spikes)}, chip {np.flatnonzero(states['out'])}")
    assert states["out"].sum() == np.count_nonzero(float_spikes)


@pytest.mark.parametrize("case", ["relay_exact", "lif_rockpool_relay"])
def test_hand_made_relays_stay_as_they_are(shared: Path, case: str, tmp_path: Path) -> None:
    """The vendor's configurations with relays in them run to the vendor's spikes."""
    from nirc.driver import load_config

    folder = shared / "cases" / "xylo" / case
    program = load_config(str(folder / "cfg.xyloCore2.json"), "xylo")
    expected = np.load(folder / "out_spikes.npy")
    assert expected.any()
    assert np.array_equal(program.run(np.load(folder / "input.npy")), expected)
