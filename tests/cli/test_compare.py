"""`nirc compare`: platforms against recordings and closed forms, causes that a test put there itself, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nirc.dialects.dense import Array

Nirc = Callable[..., Any]
Write = Callable[..., Path]


def lif(size: int, **changes: Any) -> dict[str, Any]:
    """A LIF layer of 5 steps at dt = 1 ms, each input a whole unit of v."""
    values = {"tau": 5e-3, "r": 5.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    return {"type": "LIF", **{name: value * np.ones(size) for name, value in values.items()}, **changes}


def line(write: Write, *nodes: dict[str, Any], size: int = 1) -> Path:
    """Input, the nodes, Output."""
    shape = np.array([size])
    named = {"input": {"type": "Input", "shape": shape}, **{f"n{k}": node for k, node in enumerate(nodes)}}
    named["output"] = {"type": "Output", "shape": shape}
    return write(named, list(pairwise(named)))


def report(nirc: Nirc, model: Path, platforms: str, *args: object) -> dict[str, Any]:
    """The report as JSON."""
    result = nirc("compare", model, "--as", platforms, *args, "-o", "report.json")
    assert result.status == 0, result.err
    return json.loads(Path("report.json").read_text())


def layer(found: dict[str, Any], platform: str, node: str) -> dict[str, Any]:
    return next(item for item in found["platforms"] if item["name"] == platform)["layers"][node]


def test_two_decays_against_their_formulas(nirc: Nirc, write: Write) -> None:
    draw = np.random.default_rng(5)
    x = (draw.random((300, 1)) < 0.4).astype(np.float32) * 0.7
    np.save("x.npy", x)
    found = report(nirc, line(write, lif(1)), "nir-euler,nir-exp-euler", "--dt", "0.001", "--input", "x.npy")
    spikes, v = list[Array](), list[Array]()
    for keep in (1 - 1 / 5, np.exp(-1 / 5)):
        fired, traced, state = np.zeros(300, int), np.zeros(300), 0.0
        for t, value in enumerate(x[:, 0].astype(float)):
            state = keep * state + 5 * (1 - keep) * value
            fired[t] = state > 1
            state = 0.0 if state > 1 else state
            traced[t] = state
        spikes.append(fired)
        v.append(traced)
    first = int(np.flatnonzero(spikes[0] != spikes[1])[0])
    item = layer(found, "nir-exp-euler", "n0")
    assert spikes[0].sum() > 10
    assert (item["spikes"], item["reference_spikes"]) == (spikes[1].sum(), spikes[0].sum())
    assert item["cells_different"] == np.count_nonzero(spikes[0] != spikes[1])
    assert (item["first"]["step"], item["first"]["neuron"]) == (first, 0)
    assert item["coincidence"] == pytest.approx(2 * (spikes[0] & spikes[1]).sum() / (spikes[0] + spikes[1]).sum())
    assert item["v_error_max"] == pytest.approx(np.abs(v[0] - v[1]).max(), rel=1e-5)
    assert item["v_error_rms"] == pytest.approx(np.sqrt(np.mean((v[0] - v[1]) ** 2)), rel=1e-5)
    assert item["first"]["cause"]["kind"] == "option"
    assert item["first"]["cause"]["what"] == ["decay_mem"]
    assert found["groups"] == [["nir-euler"], ["nir-exp-euler"]]
    assert [item["fires_at"] for item in found["platforms"]] == [np.flatnonzero(s).tolist() for s in spikes]


def test_a_comparison_is_the_cause(nirc: Nirc, write: Write) -> None:
    """v is 0.5 after one event and the threshold exactly after two."""
    model = line(write, {"type": "IF", "r": np.ones(1), "v_threshold": np.ones(1), "v_reset": np.zeros(1)})
    np.save("x.npy", np.full((4, 1), 0.5, np.float32))
    found = report(nirc, model, "nir-euler,nir-euler,compare=>=", "--input", "x.npy")
    first = layer(found, "nir-euler,compare=>=", "n0")["first"]
    assert (first["step"], first["cause"]["kind"], first["cause"]["what"]) == (1, "option", ["compare"])


def test_two_options_together_are_the_cause(nirc: Nirc, write: Write) -> None:
    """Each gain is twice the reference's, so that one alone still makes it fire too early."""
    values = {"tau_mem": 8e-3, "tau_syn": 4e-3, "r": 0.5, "w_in": 2.0, "v_leak": 0.0, "v_threshold": 0.06}
    model = line(write, {"type": "CubaLIF", **{name: np.full(1, value) for name, value in values.items()}})
    np.save("x.npy", (np.random.default_rng(1).random((200, 1)) < 0.3).astype(np.float32))
    other = "nir-euler,compare=>=,gain_mem=dt/tau,gain_syn=unit"
    found = report(nirc, model, f"nir-euler,{other}", "--dt", "0.001", "--input", "x.npy")
    cause = layer(found, other, "n0")["first"]["cause"]
    assert (cause["kind"], cause["what"]) == ("options", ["gain_mem", "gain_syn"])
    assert any("no single option explains it" in fact for fact in cause["evidence"])


def test_rounding_at_the_threshold_is_a_tie(nirc: Nirc, write: Write) -> None:
    """Thresholds are where v comes in the eighth step, which f32 cannot hold: two ways to the same v decide."""
    size, tau = 300, 7e-3
    weights = np.random.default_rng(2).uniform(0.3, 0.9, size).astype(np.float32)
    v = np.zeros(size)
    for _ in range(8):
        v = v + (weights - v) / 7
    neurons = lif(size, tau=np.full(size, tau), r=np.ones(size), v_threshold=v * (1 - 1e-9))
    weight = {"type": "Linear", "weight": weights[:, None]}
    named = {"input": {"type": "Input", "shape": np.array([1])}, "w": weight, "n": neurons}
    named["output"] = {"type": "Output", "shape": np.array([size])}
    model = write(named, list(pairwise(named)))
    np.save("x.npy", np.ones((8, 1), np.float32))
    found = report(nirc, model, "norse,nir-euler,gain_lif=r*dt/tau,fold_thr=true", "--dt", "0.001", "--input", "x.npy")
    first = layer(found, "nir-euler,gain_lif=r*dt/tau,fold_thr=true", "n")["first"]
    assert first["step"] == 7
    assert first["cause"]["kind"] == "tie"


def test_what_arrives_differs_already(nirc: Nirc, chain: Callable[..., Path]) -> None:
    draw = np.random.default_rng(0)
    np.save("x.npy", (draw.random((200, 6)) < 0.3).astype(np.float32))
    found = report(nirc, chain([6, 30, 4]), "nir-euler,nir-exp-euler", "--dt", "0.001", "--input", "x.npy")
    causes = {node: item["first"]["cause"] for node, item in found["platforms"][1]["layers"].items() if item["first"]}
    assert causes["lif1"]["kind"] in ("option", "options")
    assert (causes["lif2"]["kind"], causes["lif2"]["what"]) == ("input", ["lif1"])
    assert [item["sources"] for item in found["layers"]] == [{}, {"lif1": False}]


def test_chips_are_aligned_by_their_latency(nirc: Nirc, chain: Callable[..., Path]) -> None:
    """tau of 8 and 4 steps are exact on both chips; each layer of Loihi 2 is a step later than the one before."""
    draw = np.random.default_rng(4)
    np.save("x.npy", (draw.random((60, 3)) < 0.4).astype(np.float32))
    found = report(nirc, chain([3, 6, 4]), "nir-euler,loihi2,xylo", "--dt", "0.001", "--input", "x.npy")
    late = {p["name"]: [item["latency"] for item in p["layers"].values()] for p in found["platforms"]}
    assert late == {"nir-euler": [0, 0], "loihi2": [1, 2], "xylo": [0, 1]}
    for item in layer(found, "loihi2", "lif1"), layer(found, "loihi2", "lif2"):
        assert item["coincidence"] > 0.9  # rounding alone is left; a step's shift would halve it
    cause = layer(found, "xylo", "lif1")["first"]["cause"]
    assert cause["what"] == ["reset"]  # Xylo subtracts


def test_rounded_weights_are_found(nirc: Nirc, write: Write) -> None:
    """Beside a weight of 1, one of 0.003 is nothing in 8 bits; its neuron then never fires."""
    weight = {"type": "Linear", "weight": np.array([[1.0, 0.003]], np.float32)}
    neuron = {"type": "IF", "r": np.ones(1), "v_threshold": np.full(1, 0.1), "v_reset": np.zeros(1)}
    named = {"input": {"type": "Input", "shape": np.array([2])}, "w": weight, "n": neuron}
    named["output"] = {"type": "Output", "shape": np.array([1])}
    model = write(named, list(pairwise(named)))
    x = np.zeros((60, 2), np.float32)
    x[:, 1] = 1
    np.save("x.npy", x)
    for chip in ("speck", "loihi2"):
        found = report(nirc, model, f"nir-euler,{chip}", "--input", "x.npy")
        cause = layer(found, chip, "n")["first"]["cause"]
        assert (cause["kind"], cause["what"]) == ("chip", ["rounded weights"])


def test_a_refusal_is_shown_and_the_others_go_on(nirc: Nirc, write: Write) -> None:
    model = line(write, lif(1))
    result = nirc("compare", model, "--as", "nir-euler,speck,norse", "--dt", "0.001", "-o", "report.json")
    assert result.status == 0
    assert "speck refuses the model:\n  node 'n0': its membrane leaks" in result.out
    found = json.loads(Path("report.json").read_text())
    assert [bool(item["refused"]) for item in found["platforms"]] == [False, True, False]


def test_a_raster_that_a_chip_refuses(nirc: Nirc, chain: Callable[..., Path]) -> None:
    np.save("x.npy", np.full((20, 3), 0.5, np.float32))
    result = nirc("compare", chain([3, 4]), "--as", "nir-euler,norse,xylo", "--dt", "0.001", "--input", "x.npy")
    assert result.status == 0
    assert "xylo refuses the model:\n  the raster of input 'input' must hold event counts" in result.out


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--as", "norse,nosuch"], "--as: unknown platform 'nosuch'; known: xylo, speck, loihi2"),
        (["--as", "reset=zero,norse"], "--as: 'reset=zero' belongs to the platform before it, and there is none"),
        (["--as", "norse,norse"], "--as: 'norse' is given twice"),
        (["--as", "norse", "--reference", "snntorch"], "--reference 'snntorch' is none of norse"),
        (["--as", "norse", "--dt", "best"], "--dt best suits one chip"),
        (["--as", "speck,norse"], "the reference speck: node 'n0': its membrane leaks"),
        (["--as", "norse,speck"], "speck: node 'n0': its membrane leaks"),
        (
            ["--as", "norse,reset=often,norse,color=red"],
            "the reference norse,reset=often: scheme option reset: 'often'",
        ),
        (["--as", "norse,snntorch", "-o", "report.txt"], "report.txt: a report is written as .html or .json"),
        (["--as", "norse,snntorch", "--strict"], "under --strict this must be said: stimulus"),
    ],
)
def test_what_cannot_be_compared(nirc: Nirc, write: Write, args: list[str], text: str) -> None:
    model = line(write, lif(1, r=np.ones(1)))
    result = nirc("compare", model, "--dt", "0.001", *args)
    assert result.status == 1
    assert text in result.err
    assert "Traceback" not in result.err
    assert not Path("report.txt").exists()


def test_options_of_chips(nirc: Nirc, chain: Callable[..., Path]) -> None:
    model = chain([3, 4])
    spelled = "xylo,chip=audio3,decay_mem=exp"
    found = report(nirc, model, f"nir-euler,{spelled},xylo,colour=red,loihi2,weight-splits=2", "--dt", "0.001")
    one, other, third = found["platforms"][1:]
    assert one["name"] == spelled
    assert any(text.startswith("scheme: nir-euler,decay_mem=exp") for text in one["assumptions"])
    assert other["refused"][0].startswith("option 'colour' is unknown; known: chip, mapping")
    assert third["name"] == "loihi2,weight-splits=2"


def test_the_stimulus_is_told(nirc: Nirc, write: Write) -> None:
    result = nirc("compare", line(write, lif(1)), "--as", "nir-euler,norse", "--dt", "0.001")
    assert result.status == 0
    assert "stimulus: none was given (--input), so 500 steps of random events" in result.err


def test_another_reference(nirc: Nirc, write: Write) -> None:
    found = report(nirc, line(write, lif(1)), "nir-euler,norse", "--dt", "0.001", "--reference", "norse")
    assert found["reference"] == "norse"
    assert [item["name"] for item in found["platforms"]] == ["norse", "nir-euler"]


def test_reports_are_deterministic(nirc: Nirc, chain: Callable[..., Path]) -> None:
    model, texts = chain([3, 6, 4]), list[bytes]()
    for _ in range(2):
        for name in ("report.html", "report.json"):
            assert nirc("compare", model, "--as", "norse,xylo", "--dt", "0.001", "-o", name).status == 0
            texts.append(Path(name).read_bytes())
    assert texts[:2] == texts[2:]


def test_labels(nirc: Nirc, write: Write) -> None:
    """Sample k drives neuron k: all classes are right; then they are one off."""
    model = line(write, lif(3), size=3)
    x = np.zeros((20, 3, 3), np.float32)
    x[:, range(3), range(3)] = 1
    np.save("x.npy", x)
    for labels, expected in (([0, 1, 2], 1.0), ([0, 1, 1], 2 / 3)):
        np.save("y.npy", np.array(labels))
        found = report(
            nirc, model, "nir-euler,norse,gain_lif=r(1-a)", "--dt", "0.001", "--input", "x.npy", "--labels", "y.npy"
        )
        assert [item["accuracy"] for item in found["platforms"]] == pytest.approx([expected] * 2)
    np.savez("code.npz", labels=np.array([0, 1, 1]), codes=np.array([[1, 0, 0], [0, 1, 1]]))
    found = report(nirc, model, "nir-euler", "--dt", "0.001", "--input", "x.npy", "--labels", "code.npz")
    assert found["platforms"][0]["accuracy"] == 1
    np.save("y.npy", np.array([0, 1]))
    result = nirc("compare", model, "--as", "norse", "--dt", "0.001", "--input", "x.npy", "--labels", "y.npy")
    assert result.status == 1
    assert "must be 3 whole numbers, one class a sample" in result.err


def test_braille_as_the_platforms_recorded_it(nirc: Nirc, shared: Path) -> None:
    """Norse, snnTorch, Nengo: what differs between two schemes is what differs between the two recordings."""
    folder = shared / "cases/braille_recorded"
    recorded = {
        name: np.load(folder / f"{name}_activity_noDelay_bias_zero.npy").astype(int) for name in ("norse", "snntorch")
    }
    model = shared / "models/braille_noDelay_bias_zero.nir"
    raster = folder / "braille_ds_test0_input_recovered.npy"
    found = report(nirc, model, "norse,snntorch", "--input", raster)
    item = layer(found, "snntorch", "lif1.lif")
    apart = recorded["norse"] != recorded["snntorch"]
    step, neuron = np.argwhere(apart)[0]
    assert item["cells_different"] == apart.sum() > 0
    assert (item["spikes"], item["reference_spikes"]) == (recorded["snntorch"].sum(), recorded["norse"].sum())
    assert (item["first"]["step"], item["first"]["neuron"]) == (step, neuron)
    assert item["first"]["cause"]["what"] == ["rec_cut"]
    rates = [recorded[name].sum(0).astype(float) for name in ("norse", "snntorch")]
    cosine = rates[0] @ rates[1] / np.sqrt((rates[0] @ rates[0]) * (rates[1] @ rates[1]))
    assert item["rate_cosine"] == pytest.approx(cosine)
