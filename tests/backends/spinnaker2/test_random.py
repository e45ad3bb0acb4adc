"""300 random networks: what nirc emits, run by nirc, by a plain model, by the specification's checker and by brian2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nirc
from nirc import driver
from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import Array
from nirc.interpreters.spinnaker2 import RealSpinnaker2Evaluator
from nirc.passes.convert_snn_to_spinnaker2 import ConvertSnnToSpinnaker2Pass

sys.path.append(str(Path(__file__).parent))
from spinnaker2_networks import COUNT, Case, cases, checker

States = dict[str, Array]


def ours(case: Case) -> States:
    """Spikes and v of every population, [T, N]."""
    names = [item["name"] for item in case.config["populations"] if item["neuron_model"] != "spike_list"]
    record = tuple(f"{name}.{state}" for name in names for state in ("spikes", "v"))
    found = case.program.run({"input": case.raster}, record)
    return {key: found[key].reshape(len(case.raster), -1) for key in record}


class PlainModel:
    """The specification's section 3, from the emitted JSON, synapse by synapse: shares no code with nirc."""

    def __init__(self, config: dict[str, Any]):
        self.items: dict[str, dict[str, Any]] = {item["name"]: item for item in config["populations"]}
        self.neurons = [name for name, item in self.items.items() if item["neuron_model"] != "spike_list"]
        self.matrices = list[tuple[str, str, int, Array]]()
        for each in config["projections"]:
            for delay, matrix in self.expand(each):
                self.matrices.append((each["pre"], each["post"], delay, matrix))
        zero = {name: np.zeros(self.items[name]["size"], np.float32) for name in self.neurons}
        self.v = {name: zero[name] + np.float32(self.params(name, "v_init")) for name in self.neurons}
        self.exc, self.inh = dict(zero), dict(zero)
        self.sent = list[States]()

    def params(self, name: str, key: str) -> Any:
        return np.array(self.items[name]["params"].get(key, 0), np.float32)

    def expand(self, each: dict[str, Any]) -> list[tuple[int, Array]]:
        """Matrices [target, source] by delay."""
        size, sources = self.items[each["post"]]["size"], self.items[each["pre"]]["size"]
        if each["kind"] == "list":
            found: dict[int, Array] = {}
            for pre, post, weight, delay in each["connections"]:
                found.setdefault(delay, np.zeros((size, sources), int))[post, pre] += weight
            return list(found.items())
        w: Array = np.array(each["weights"])
        p: dict[str, int] = each["params"]
        channels, features, ky, kx = w.shape
        rows, columns, k = int(p["in_height"]), int(p["in_width"]), int(p["pool_x"])
        places: Array = np.arange(int(channels * rows * columns)).reshape(int(channels), rows, columns)
        side: Array = places[:, : rows // k * k, : columns // k * k].reshape(
            int(channels), rows // k, k, columns // k, k
        )
        side = np.moveaxis(side, 2, 3).reshape(int(channels), rows // k, columns // k, k * k)
        sides = ((p["pad_top"], p["pad_bottom"]), (p["pad_left"], p["pad_right"]))
        windows: Array = np.pad(side, ((0, 0), *sides, (0, 0)), constant_values=-1)
        s = p["stride_x"]
        down, right = (windows.shape[1] - ky) // s + 1, (windows.shape[2] - kx) // s + 1
        matrix = np.zeros((features, down, right, sources + 1), int)
        for y in range(down):
            for x in range(right):
                seen = windows[:, y * s : y * s + ky, x * s : x * s + kx]
                for o in range(features):
                    np.add.at(matrix[o, y, x], seen.ravel(), np.repeat(w[:, o].ravel(), k * k))
        return [(0, matrix.reshape(size, -1)[:, :-1])]

    def step(self, inputs: Array) -> States:
        """The spikes of one tick."""
        t, fired = len(self.sent), {"input": inputs.astype(int)}
        for name in self.neurons:
            plus, minus = (np.zeros(self.items[name]["size"], int) for _ in "+-")
            for pre, post, delay, matrix in self.matrices:
                if post == name and t - 1 - delay >= 0:
                    x = self.sent[t - 1 - delay][pre]
                    plus, minus = plus + np.maximum(matrix, 0) @ x, minus + np.maximum(-matrix, 0) @ x
            fired[name] = self.fire(name, plus.astype(np.float32), minus.astype(np.float32))
        self.sent.append(fired)
        return fired

    def fire(self, name: str, plus: Array, minus: Array) -> Array:
        decay, offset, threshold = (self.params(name, key) for key in ("alpha_decay", "i_offset", "threshold"))
        if "curr_exp" in self.items[name]["neuron_model"]:
            self.exc[name] = self.exc[name] * self.params(name, "exc_decay") + plus
            self.inh[name] = self.inh[name] * self.params(name, "inh_decay") + minus
            v = self.v[name] * decay + (self.exc[name] - self.inh[name] + offset)
        else:
            v = self.v[name] * decay + offset + (plus - minus)
        spikes = v >= threshold
        subtract = self.items[name]["params"]["reset"] == "reset_by_subtraction"
        self.v[name] = np.where(spikes, v - threshold if subtract else self.params(name, "v_reset"), v)
        return spikes.astype(int)


def test_the_networks_have_every_feature() -> None:
    """Each in at least 50 of them; in nine of ten every layer spikes. The chip has no aliases, nothing saturates."""
    features = Counter(feature for case in cases() for feature in case.features)
    for case in cases():
        features.update({item["neuron_model"] for item in case.config["populations"]})
        features.update({item["kind"] for item in case.config["projections"]})
        populations = case.config["populations"]
        features.update({"relay"} if any(item["nir"]["node"] is None for item in populations) else set[str]())
        features.update({"shift"} if any("v_offset" in item["nir"] for item in populations) else set[str]())
        features.update({"v_init"} if any("v_init" in item["params"] for item in populations) else set[str]())
    wanted = [
        "recurrence",
        "second synapse",
        "bias",
        "shift",
        "delay",
        "stride",
        "pool",
        "skip",
        "relay",
        "convolution",
    ]
    wanted += ["thresholds", "time constants", "v_reset", "v_leak", "IF", "LIF", "subtract", "exponential", "v_init"]
    wanted += ["volts", "negative gain", "scale", "dilation", "vendor", "truncate", "a scale a layer", "list", "conv2d"]
    wanted += ["lif", "lif_no_delay", "lif_conv2d", "lif_curr_exp", "lif_curr_exp_no_delay"]
    assert {name: features[name] for name in wanted if features[name] < 50} == {}
    spiking = sum(
        all(values.any() for key, values in ours(case).items() if key.endswith(".spikes")) for case in cases()
    )
    assert spiking >= 0.9 * COUNT, spiking


def test_against_a_plain_model() -> None:
    """Spikes and v of every population at every tick, bit for bit."""
    for number, case in enumerate(cases()):
        found, plain = ours(case), PlainModel(case.config)
        for t, x in enumerate(case.raster):
            fired = plain.step(x.ravel())
            for name in plain.neurons:
                assert np.array_equal(found[f"{name}.spikes"][t], fired[name]), (number, name, t)
                assert np.array_equal(found[f"{name}.v"][t], plain.v[name]), (number, name, t)


def test_conversion_keeps_the_network() -> None:
    """Of every other one, in real numbers, f64, the spikes of `snn`, each layer's as late as it says.

    Not where a bias meets a synaptic current, which acts in full from the start, nor behind such a layer; nor where the
    chip starts otherwise, which is printed.
    """
    compared = late = 0
    for number, case in list(enumerate(cases()))[::2]:
        options = {key: case.options[key] for key in ("dt", "reset", "scheme") if key in case.options}
        reference = nirc.compile(case.model, precision="f64", **options)
        program = nirc.compile(case.model, precision="f64", **options)
        ConvertSnnToSpinnaker2Pass().apply(driver.context(), program.module)
        program.module.verify()
        (network,) = program.module.ops
        assert isinstance(network, s2.NetworkOp)
        told = [text for text in program.assumptions if text.startswith("bias:") or "start at 0" in text]
        if told:
            continue
        nodes = {name: op for name, op in network.neurons().items() if op.node is not None}
        record = tuple(f"{name}.spikes" for name in nodes)
        raster = {"input": case.raster[:, None]}
        expected = reference.run(raster, record)
        found = RealSpinnaker2Evaluator(network, 1, record).run(raster)
        for name, op in nodes.items():
            assert op.late is not None
            shift, key = op.late.value.data, f"{name}.spikes"
            assert not found[key][:shift].any(), (number, name)
            assert np.array_equal(found[key][shift:], expected[key][: len(found[key]) - shift]), (number, name)
            compared, late = compared + 1, late + (shift > 1)
    assert compared > COUNT / 2, compared
    assert late > COUNT / 6, late


def test_the_checker_accepts_and_agrees(shared: Path) -> None:
    """Every file, and its step-exact model's spikes and v of every population, bit for bit."""
    check = checker(shared)
    for number, case in enumerate(cases()):
        report, ticks = check.Report(), len(case.raster)
        populations, incoming = check.check(case.config, report, ticks)
        assert report.err == 0, (number, report.lines)
        expected = check.simulate_numpy(case.config, incoming, {"input": case.raster.reshape(ticks, -1)}, ticks)
        for key, values in ours(case).items():
            name, _, state = key.rpartition(".")
            assert np.array_equal(values, expected[name][state]), (number, key)
        assert populations.keys() == expected.keys()


def test_against_brian2(oracle: Callable[[str], str], tmp_path: Path) -> None:
    """Every sixteenth, run by brian2 in float32 with packets read before the update: spikes of every population."""
    chosen = list(enumerate(cases()))[::16]
    for number, case in chosen:
        (tmp_path / f"{number}.json").write_text(json.dumps(case.config))
        np.save(tmp_path / f"{number}.npy", case.raster.reshape(len(case.raster), -1))
    command = [oracle("brian2"), str(Path(__file__).parent / "brian2_runner.py"), str(tmp_path)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    for number, case in chosen:
        found = ours(case)
        with np.load(tmp_path / f"{number}.out.npz") as archive:
            assert {f"{name}.spikes" for name in archive.files} == {key for key in found if key.endswith(".spikes")}
            for name in archive.files:
                assert np.array_equal(archive[name], found[f"{name}.spikes"]), (number, name)
