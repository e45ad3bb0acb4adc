"""300 random networks: what nirc emits, run by nirc, by a plain model of the specification, and by Lava itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import nirc
from nirc import driver
from nirc.backends.loihi2.read_config import read_config
from nirc.dialects import loihi2
from nirc.dialects.dense import Array
from nirc.interpreters.loihi2 import Loihi2Evaluator, RealLoihi2Evaluator
from nirc.passes.convert_snn_to_loihi2 import ConvertSnnToLoihi2Pass

sys.path.append(str(Path(__file__).parent))
from loihi2_networks import COUNT, cases
from speck_models import affine, graph, normal, port, spiking

ROOT = Path(__file__).parents[3]
States = dict[str, Array]


def truncated(x: Array) -> Array:
    """Division by 4096 toward 0."""
    return np.sign(x) * (np.abs(x) // 4096)


def bits(x: Array, count: int) -> Array:
    """What so many bits with a sign hold."""
    half = 1 << (count - 1)
    return (x + half) % (2 * half) - half


class PlainModel:
    """The specification's section 2, from the emitted JSON, one sample: shares no code with nirc."""

    def __init__(self, config: dict[str, Any]):
        self.items: dict[str, dict[str, Any]] = {item["name"]: item for item in config["processes"]}
        self.edges: list[dict[str, Any]] = config["connections"]
        self.neurons = [name for name, item in self.items.items() if item["type"].startswith("LIF")]
        self.synapses = [name for name in self.items if name not in self.neurons and self.kind(name) != "Input"]
        self.weights = {name: self.effective(self.items[name]) for name in self.synapses}
        self.u, self.v = ({name: np.zeros(self.items[name]["shape"], np.int64) for name in self.neurons} for _ in "uv")
        for name in self.neurons:
            for state, values in (("u", self.u), ("v", self.v)):
                values[name] = values[name] + np.array(self.items[name].get(state, 0))
        # Sums on their way, by the step in which they leave.
        self.sent: dict[str, dict[int, Array]] = {name: {} for name in self.synapses}
        self.saturated = self.wrapped = 0

    def kind(self, name: str) -> str:
        return str(self.items[name]["type"])

    def effective(self, item: dict[str, Any]) -> Array:
        if item["type"] == "Conv":
            return np.array(item["weight"])
        w = np.array(item["weights"])
        if item["sign_mode"] == "MIXED":
            return (np.clip(w, -256, 255) // 2) * 2
        return np.clip(w, 0, 255) if item["sign_mode"] == "EXCITATORY" else np.clip(w, -255, 0)

    def into(self, name: str, values: States) -> Any:
        """The sum of what arrives."""
        total: Any = 0
        for edge in self.edges:
            if edge["dst"] == name:
                x: Any = values[edge["src"]]
                for step in edge.get("transform", []):
                    if "transpose" in step:
                        x = np.transpose(x, step["transpose"])
                    else:
                        x = x.reshape(-1 if "flatten" in step else step["reshape"])
                total = total + x
        return np.asarray(total)

    def convolve(self, item: dict[str, Any], x: Array) -> Array:
        """Place by place, feature by feature."""
        w = np.array(item["weight"])
        features, kx, ky, per_group = w.shape
        (sx, sy), (px, py), (dx, dy) = item["stride"], item["padding"], item["dilation"]
        x = np.pad(x, ((px, px), (py, py), (0, 0)))
        columns = (x.shape[0] - dx * (kx - 1) - 1) // sx + 1
        rows = (x.shape[1] - dy * (ky - 1) - 1) // sy + 1
        out = np.zeros((columns, rows, features), np.int64)
        for o in range(features):
            first = o // (features // item["groups"]) * per_group
            for a in range(columns):
                for b in range(rows):
                    seen = x[a * sx : a * sx + dx * kx : dx, b * sy : b * sy + dy * ky : dy][:kx, :ky]
                    out[a, b, o] = (w[o, ::-1, ::-1] * seen[:, :, first : first + per_group]).sum()
        return bits(out, 24)

    def step(self, t: int, inputs: States) -> None:
        values = dict(inputs)
        for name in self.synapses:
            values[name] = self.sent[name].pop(t, np.zeros((), np.int64))
            if not values[name].ndim:
                values[name] = np.zeros(self.given(name), np.int64)
        for name in self.neurons:
            values[name] = self.fire(name, t, bits(self.into(name, values), 32))
        for name in self.synapses:
            item, x = self.items[name], self.into(name, values)
            x = x if item["num_message_bits"] else (x != 0).astype(np.int64)
            if item["type"] == "Conv":
                self.sent[name][t + 1] = self.convolve(item, x)
                continue
            w, e = self.weights[name], item["weight_exp"]
            delays = np.array(item.get("delays", np.zeros(w.shape, int)))
            for delay in np.unique(delays):
                total = (w * (delays == delay)) @ x
                total = bits(total << e, 32) if e > 0 else total >> -e
                due = t + 1 + int(delay)
                self.sent[name][due] = self.sent[name].get(due, 0) + total

    def given(self, name: str) -> tuple[int, ...]:
        """The shape of what a connection gives."""
        item = self.items[name]
        if item["type"] == "Conv":
            columns, rows, channels = map(int, item["input_shape"])
            return self.convolve(item, np.zeros((columns, rows, channels), np.int64)).shape
        return (len(item["weights"]),)

    def fire(self, name: str, t: int, a: Array) -> Array:
        item = self.items[name]
        if item["type"] == "LIFReset" and t % item["reset_interval"] == item["reset_offset"] % item["reset_interval"]:
            self.u[name], self.v[name] = 0 * self.u[name], 0 * self.v[name]
        u = bits(truncated(self.u[name] * (4096 - (item["du"] + 1))) + bits(a << 6, 32), 32)
        self.wrapped += int(((u > 2**23) | (u <= -(2**23))).sum())
        u = np.where(u > 2**23, u - 2**24, np.where(u <= -(2**23), u + 2**24, u))
        mant, exponent = np.array(item["bias_mant"]), np.array(item["bias_exp"])
        v = truncated(self.v[name] * (4096 - item["dv"])) + u + mant * 2**exponent
        self.saturated += int((np.abs(v) > 2**23 - 1).sum())
        v = np.clip(v, -(2**23 - 1), 2**23 - 1)
        spikes = v > item["vth"] * 64
        self.u[name], self.v[name] = u, np.where(spikes, 0, v)
        return spikes.astype(np.int64)


def ours(text: str, rasters: States) -> States:
    """The integer evaluator's states, as Lava orders them."""
    (network,) = read_config(text).ops
    assert isinstance(network, loihi2.NetworkOp)
    evaluator = Loihi2Evaluator(network)
    found: dict[str, list[Array]] = {f"{name}.{state}": [] for name in evaluator.populations for state in "suv"}
    for t in range(len(next(iter(rasters.values())))):
        evaluator.step({name: raster[None, t] for name, raster in rasters.items()})
        for name, population in evaluator.populations.items():
            for state, values in zip("suv", (population.spikes, population.u, population.v), strict=True):
                found[f"{name}.{state}"].append(values[0].astype(np.int32))
    return {key: np.stack(values) for key, values in found.items()}


FEATURES = (
    *("recurrence", "bias", "delay", "stride", "pool", "skip", "split", "thresholds", "v_reset", "v_leak", "IF"),
    *("convolution", "CubaLIF", "extremes", "reset interval", "graded input", "weight splits"),
)
"""What the generator says that it put in."""


def emitted_features(text: str) -> set[str]:
    """What the file has: kinds of processes, and features of the chip."""
    config = json.loads(text)
    items: list[dict[str, Any]] = config["processes"]
    targets = Counter(edge["dst"] for edge in config["connections"])
    has = {
        "weight_exp": any(item.get("weight_exp") for item in items),
        "bias": any(np.any(item.get("bias_mant", 0)) for item in items if not item["name"].startswith("one")),
        "always firing": any(item["name"].startswith("one") for item in items),
        "start": any("v" in item for item in items),
        "second connection": any(targets[item["name"]] > 1 for item in items if item["type"].startswith("LIF")),
    }
    return {item["type"] for item in items} | {name for name, there in has.items() if there}


def test_the_networks_have_every_feature() -> None:
    """Each in at least 50 of them; in nine of ten every layer spikes. Saturation and wrap: see the plain model.

    An alias, a second synapse with a time constant of its own and Sparse are none of the chip's, or of these sizes.
    """
    features = Counter(feature for case in cases() for feature in case.features)
    emitted = Counter(feature for case in cases() for feature in emitted_features(case.text))
    spiking = 0
    for case in cases():
        states = ours(case.program.emit().decode(), case.rasters)
        spiking += all(values.any() for key, values in states.items() if key.endswith(".s"))
    print(f"of {COUNT}: {features}, in the files {emitted}; every layer spikes in {spiking}")
    assert {name: features[name] for name in FEATURES if features[name] < 50} == {}
    kinds = ("Dense", "DelayDense", "Conv", "LIF", "LIFReset")
    wanted = (*kinds, "weight_exp", "bias", "always firing", "start", "second connection")
    assert {name: emitted[name] for name in wanted if emitted[name] < 50} == {}
    assert spiking >= 0.9 * COUNT, spiking


def test_against_a_plain_model() -> None:
    """u, v and spikes of every population at every step."""
    saturated = wrapped = 0
    for number, case in enumerate(cases()):
        found = ours(case.text, case.rasters)
        plain = PlainModel(json.loads(case.text))
        for t, x in enumerate(case.rasters["input"]):
            before = dict(plain.v)
            plain.step(t + 1, {"input": x.astype(np.int64)})
            assert before.keys() == plain.v.keys()
            for name in plain.neurons:
                for state, values in (("u", plain.u), ("v", plain.v)):
                    assert np.array_equal(found[f"{name}.{state}"][t], values[name]), (number, name, state, t)
        saturated += plain.saturated > 0
        wrapped += plain.wrapped > 0
    print(f"of {COUNT}: v saturates in {saturated}, u wraps in {wrapped}")
    assert min(saturated, wrapped) >= 50, (saturated, wrapped)


def test_conversion_keeps_the_network() -> None:
    """In real numbers, f64, the spikes of `snn`, each layer's as late as it says."""
    compared = late = 0
    for number, case in enumerate(cases()):
        options: dict[str, Any] = {"dt": case.options["dt"], "precision": "f64"}
        reference = nirc.compile(case.model, **options)
        program = nirc.compile(case.model, **options)
        ConvertSnnToLoihi2Pass().apply(driver.context(), program.module)
        program.module.verify()
        (network,) = program.module.ops
        assert isinstance(network, loihi2.NetworkOp)
        nodes = {name: parts[0] for name, parts in network.nodes().items() if name != "one"}
        record = tuple(f"{name}.spikes" for name in nodes)
        raster = {"input": np.minimum(case.rasters["input"], 1)[:, None]}
        expected = reference.run(raster, record)
        found = RealLoihi2Evaluator(network, 1, record).run(raster)
        for name, part in nodes.items():
            assert part.latency is not None
            shift = part.latency.value.data
            key = f"{name}.spikes"
            assert not found[key][:shift].any(), (number, name)
            assert np.array_equal(found[key][shift:], expected[key][: len(found[key]) - shift]), (number, name)
            compared, late = compared + 1, late + (shift > 1)
    assert compared > 2 * COUNT
    assert late > COUNT / 2


def test_against_lava(oracle: Callable[[str], str], tmp_path: Path) -> None:
    """The README's loader builds each, Lava runs it: u, v and spikes of every population at every step."""
    python = oracle("lava")
    networks = [(case.text, case.rasters) for case in cases()] + [two_parts()]
    (loader,) = re.findall(r"```python\n(import json\n\nimport numpy as np\nfrom lava.*?)```", README, re.DOTALL)
    (tmp_path / "loader.py").write_text(loader)
    for number, (text, rasters) in enumerate(networks):
        (tmp_path / f"{number}.json").write_text(text)
        np.savez(tmp_path / f"{number}.npz", **rasters)  # pyright: ignore[reportArgumentType]
    runner = str(Path(__file__).parent / "lava_runner.py")
    children = [
        subprocess.Popen([python, runner, str(tmp_path), str(n), "2"], stdin=subprocess.DEVNULL) for n in range(2)
    ]
    try:
        assert [child.wait(timeout=1800) for child in children] == [0, 0]
    finally:
        for child in children:
            child.kill()
    found = States()
    for number, (text, rasters) in enumerate(networks):
        found = ours(text, rasters)
        with np.load(tmp_path / f"{number}.out.npz") as archive:
            assert set(archive.files) == set(found)
            for key in archive.files:
                assert np.array_equal(archive[key], found[key]), (number, key)
    assert found["b.s"].any()


def two_parts() -> tuple[str, States]:
    """Two layers that nothing connects, of which Lava would start one."""
    nodes, rng = dict[str, Any](), np.random.default_rng(0)
    for name in "ab":
        nodes |= {f"in_{name}": port("Input", 3), f"f{name}": affine(normal(rng, 2, 3, mean=0.6, spread=0.2))}
        nodes |= {name: spiking((2,)), f"out_{name}": port("Output", 2)}
    edges = [edge for name in "ab" for edge in pairwise((f"in_{name}", f"f{name}", name, f"out_{name}"))]
    program = nirc.compile(graph(nodes, edges), "loihi2", dt=1e-3)
    assert any("nothing connects 'a'; 'b'" in text for text in program.assumptions)
    return program.emit().decode(), {f"in_{name}": (rng.random((24, 3)) < 0.5).astype(np.int32) for name in "ab"}


README = (ROOT / "README.md").read_text()
