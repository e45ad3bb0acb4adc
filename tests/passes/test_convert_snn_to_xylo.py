"""Populations in canonical wiring become hidden and readout neurons; everything else is refused, all at once.

The expected numbers are the formulas of the specification of Xylo (section 5) in plain numpy:
weights = g_s g_m W, bias = k + g_m g_s c / (1 - b), dash = -log2(1 - decay).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn, xylo
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import assumptions
from nirc.interpreters.snn import SnnEvaluator
from nirc.interpreters.xylo import XyloEvaluator
from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass
from nirc.passes.xylo_choose_scales import XyloChooseScalesPass
from nirc.passes.xylo_fit_time_constants import XyloFitTimeConstantsPass
from nirc.passes.xylo_quantize import XyloQuantizePass

Parse = Callable[[str], ModuleOp]
Convert = Callable[[str], ModuleOp]
Golden = Callable[[str], None]


def numbers(values: Any) -> str:
    """A dense attribute in text."""
    return str(dense(np.asarray(values, np.float64)))


def linear(result: str, source: str, weight: Any, kind: str = "i1") -> str:
    """A matrix of its own name."""
    rows, columns = np.shape(weight)
    return (
        f'%{result} = snn.linear %{source} {{weight = {numbers(weight)}, node = "{result}"}} '
        f": (tensor<{columns}x{kind}>) -> tensor<{rows}xf64>\n"
    )


@dataclass
class Layer:
    """Neurons of one name: what comes into them from where, and their coefficients per step.

    edges: weights by source, an input's or a layer's name; `late name` for a layer's spikes of the last step.
    b None: no synapse; threshold None: it does not fire, its membrane leaves.
    """

    name: str
    size: int
    edges: dict[str, Any]
    a: Any = 0.875
    b: Any = 0.75
    g_m: Any = 1.0
    g_s: Any = 1.0
    threshold: Any = 1.0
    leak: Any = None
    constant: Any = None
    lines: list[str] = field(default_factory=list[str])

    def text(self) -> str:
        n, t = self.name, f"tensor<{self.size}xf64>"
        lines = list[str]()
        for number, (source, weight) in enumerate(self.edges.items()):
            value = f"{source.removeprefix('late ')}_z" if source.startswith("late ") else source
            lines.append(linear(f"{n}_w{number}", value, weight))
        into = f"{n}_w0"
        if len(self.edges) > 1:
            into = f"{n}_sum"
            values = ", ".join(f"%{n}_w{k}" for k in range(len(self.edges)))
            kinds = ", ".join([t] * len(self.edges))
            lines.append(f'%{into} = snn.sum {values} {{node = "{n}"}} : ({kinds}) -> {t}\n')
        if self.constant is not None:
            lines.append(f"%{n}_c = snn.add %{into} {{constant = {numbers(self.constant)}}} : ({t}) -> {t}\n")
            into = f"{n}_c"
        if self.b is not None:
            lines.append(
                f"%{n}_i1 = snn.filter %{into}, %{n}_i {{decay = {numbers(self.b)}, gain = {numbers(self.g_s)}, "
                f'node = "{n}"}} : ({t}, {t}) -> {t}\n'
            )
            into = f"{n}_i1"
        lines.append(
            f"%{n}_v1 = snn.filter %{into}, %{n}_v {{decay = {numbers(self.a)}, gain = {numbers(self.g_m)}, "
            f'node = "{n}"}} : ({t}, {t}) -> {t}\n'
        )
        fired = f"{n}_v1"
        if self.leak is not None:
            fired = f"{n}_v2"
            lines.append(f"%{fired} = snn.add %{n}_v1 {{constant = {numbers(self.leak)}}} : ({t}) -> {t}\n")
        if self.threshold is None:
            return "".join(lines)
        spikes = f"tensor<{self.size}xi1>"
        lines.append(
            f'%{n} = snn.fire %{fired} {{threshold = {numbers(self.threshold)}, compare = ">=", node = "{n}"}} '
            f": ({t}) -> {spikes}\n"
        )
        lines.append(
            f'%{n}_v3 = snn.reset %{fired}, %{n} {{kind = "subtract", amount = {numbers(self.threshold)}, '
            f'node = "{n}"}} : ({t}, {spikes}) -> {t}\n'
        )
        return "".join(lines)

    def membrane(self) -> str:
        """The membrane before it fires."""
        return f"{self.name}_v1" if self.leak is None else f"{self.name}_v2"

    def late(self, layers: list[Layer]) -> bool:
        """Whether somebody reads last step's spikes."""
        return any(f"late {self.name}" in layer.edges for layer in layers)


def step(inputs: dict[str, int], layers: list[Layer], outputs: dict[str, str], scheme: str = "nir-euler") -> str:
    """A network of layers; outputs name layers."""
    names = ", ".join(f'"{name}"' for name in inputs)
    states, arguments, values, kinds = list[str](), list[str](), list[str](), list[str]()
    for name, size in inputs.items():
        arguments.append(f"%{name}: tensor<{size}xi1>")
    by_name = {layer.name: layer for layer in layers}
    for name in outputs.values():
        silent = by_name[name].threshold is None
        values.append(f"%{by_name[name].membrane() if silent else name}")
        kinds.append(f"tensor<{by_name[name].size}x{'f64' if silent else 'i1'}>")
    for layer in layers:
        n, graded, spikes = layer.name, f"tensor<{layer.size}xf64>", f"tensor<{layer.size}xi1>"
        own = [("v", layer.membrane() if layer.threshold is None else f"{n}_v3", graded)]
        if layer.b is not None:
            own.insert(0, ("i", f"{n}_i1", graded))
        if layer.late(layers):
            own.append(("z", n, spikes))
        for variable, after, kind in own:
            zero = "dense<false> : tensor<i1>" if variable == "z" else "dense<0.0> : tensor<f64>"
            states.append(f'#snn.state<"{n}", "{variable}", {zero}>')
            arguments.append(f"%{n}_{variable}: {kind}")
            values.append(f"%{after}")
            kinds.append(kind)
    left = ", ".join(f'"{name}"' for name in outputs)
    leaving = f"snn.yield {', '.join(values)} : {', '.join(kinds)}" if values else "snn.yield"
    return (
        f"snn.network @main attributes {{inputs = [{names}], outputs = [{left}], states = [{', '.join(states)}], "
        f'scheme = "{scheme}"}} {{\n^bb0({", ".join(arguments)}):\n'
        + "".join(layer.text() for layer in layers)
        + f"{leaving}\n}}\n"
    )


def changed(text: str, *changes: tuple[str, str]) -> str:
    """`text` with each `old` replaced by `new`, where it stands once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{text.count(old)} times {old}"
        text = text.replace(old, new)
    return text


def network(module: ModuleOp) -> xylo.NetworkOp:
    (op,) = module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def statements(module: ModuleOp, topic: str) -> list[tuple[str, str]]:
    """Kind and text of the assumptions about a topic."""
    return [(a.kind.data, a.statement.data) for a in assumptions(module) if a.topic.data == topic]


@pytest.fixture
def convert(ctx: Context, parse: Parse) -> Convert:
    """snn text to a verified module of a Xylo with real numbers."""

    def run(text: str) -> ModuleOp:
        module = parse(text)
        ConvertSnnToXyloPass().apply(ctx, module)
        module.verify()
        return module

    return run


@pytest.fixture
def refused(ctx: Context, parse: Parse) -> Callable[[str], list[str]]:
    """snn text to the faults of the refusal, line by line."""

    def run(text: str) -> list[str]:
        with pytest.raises(PassFailedException) as refusal:
            ConvertSnnToXyloPass().apply(ctx, parse(text))
        return str(refusal.value).splitlines()

    return run


# A recurrent hidden layer and a readout with different numbers everywhere.

W_IN = np.array([[0.5, -0.25], [1.5, 0.75], [0.125, 2.0]])
W_REC = np.array([[0.0, 0.3, -0.1], [0.2, -0.4, 0.6], [0.7, 0.05, 0.1]])
W_OUT = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]])
A, B = np.array([0.875, 0.96, 0.5]), np.array([0.75, 0.8, 0.0])
G_M, G_S = np.array([1.0, 0.04, 2.5]), np.array([0.5, 4.0, 0.2])
LEAK, CONSTANT, THRESHOLD = np.array([0.1, -0.2, 0.0]), np.array([0.0, 0.3, -0.7]), np.array([1.0, 0.5, 2.0])

HIDDEN = Layer("h", 3, {"x": W_IN, "late h": W_REC}, A, B, G_M, G_S, THRESHOLD, LEAK, CONSTANT)
READOUT = Layer("o", 2, {"h": W_OUT}, 0.9375, 0.5, 0.1, 3.0, 1.25)
CANONICAL = step({"x": 2}, [HIDDEN, READOUT], {"y": "o"})


def test_golden(convert: Convert, golden: Golden) -> None:
    golden(f"{convert(CANONICAL)!s}\n")


def test_numbers(convert: Convert) -> None:
    op = network(convert(CANONICAL))
    assert op.chip.data == "audio2"
    assert op.sym_name.data == "main"
    gain = G_S * G_M
    expected = {
        "weights": (gain[:, None] * W_REC).T[:, :, None],
        "dash_mem": -np.log2(1 - A),
        "dash_syn": -np.log2(1 - B)[:, None],
        "threshold": THRESHOLD,
        "bias": LEAK + G_M * G_S * CONSTANT / (1 - B),
    }
    for name, values in expected.items():
        assert np.allclose(op.hidden.numbers(name), values, rtol=1e-14, atol=0), name
    assert np.allclose(op.input.numbers("weights"), (gain[:, None] * W_IN).T[:, :, None], rtol=1e-14, atol=0)
    readout = {
        "weights": 0.3 * W_OUT.T,
        "dash_mem": np.full(2, 4.0),
        "dash_syn": np.full(2, 1.0),
        "threshold": np.full(2, 1.25),
        "bias": np.zeros(2),
    }
    for name, values in readout.items():
        assert np.allclose(op.readout.numbers(name), values, rtol=1e-14, atol=1e-15), name
    assert [part.quantized() for part in op.parts()] == [False] * 3
    assert [part.sizes() for part in op.parts()] == [{"x": 2}, {"h": 3}, {"o": 2}]
    assert [name.data for name in op.readout.outputs] == ["y"]
    assert op.hidden.aliases is None


def test_the_numbers_are_those_of_the_first_step(convert: Convert, parse: Parse) -> None:
    """What one input spike adds to v in the first step, from the snn evaluator, is the weight plus the start's bias."""
    text = step({"x": 2}, [Layer("h", 3, {"x": W_IN}, A, B, G_M, G_S, 100.0), Layer("o", 2, {"h": W_OUT})], {"y": "o"})
    (op,) = parse(text).ops
    assert isinstance(op, snn.NetworkOp)
    weights = network(convert(text)).input.numbers("weights")
    for channel in range(2):
        raster = np.zeros((1, 1, 2), bool)
        raster[0, 0, channel] = True
        v = SnnEvaluator(op, 1, ("h.v",)).run({"x": raster})["h.v"][0, 0]
        assert np.allclose(weights[channel, :, 0], v, rtol=1e-12, atol=0)


def test_bias_is_the_steady_current(convert: Convert, parse: Parse) -> None:
    """With a constant input alone, v of the snn grows by the bias at every step once the current has settled."""
    hidden = Layer("h", 3, {"x": W_IN}, A, B, G_M, G_S, 1e6, None, CONSTANT)
    text = step({"x": 2}, [hidden, Layer("o", 2, {"h": W_OUT})], {"y": "o"})
    (op,) = parse(text).ops
    assert isinstance(op, snn.NetworkOp)
    v = SnnEvaluator(op, 1, ("h.v",)).run({"x": np.zeros((400, 1, 2), bool)})["h.v"][:, 0]
    bias = network(convert(text)).hidden.numbers("bias")
    assert np.count_nonzero(bias) == 2
    assert np.allclose(v[-1] - A * v[-2], bias, rtol=1e-9, atol=1e-12)


def test_spikes_without_a_matrix_have_weight_1(convert: Convert) -> None:
    """A layer that reads the input as it is: the unit matrix."""
    text = changed(
        step({"x": 3}, [Layer("h", 3, {"x": np.eye(3)}, g_s=0.25), Layer("o", 2, {"h": W_OUT})], {"y": "o"}),
        (linear("h_w0", "x", np.eye(3)), ""),
        ("snn.filter %h_w0, %h_i ", "snn.filter %x, %h_i "),
        (
            'gain = dense<2.500000e-01> : tensor<f64>, node = "h"} : (tensor<3xf64>,',
            'gain = dense<2.500000e-01> : tensor<f64>, node = "h"} : (tensor<3xi1>,',
        ),
    )
    assert np.array_equal(network(convert(text)).input.numbers("weights")[:, :, 0], 0.25 * np.eye(3))


def test_two_edges_from_one_source_add_up(convert: Convert) -> None:
    """Forward and late spikes of one layer both arrive in the next step, so their weights add."""
    layers = [
        Layer("h", 3, {"x": W_IN}),
        Layer("g", 3, {"h": W_REC, "late h": 2 * W_REC}),
        Layer("o", 2, {"g": W_OUT}),
    ]
    module = convert(step({"x": 2}, layers, {"y": "o"}))
    weights = network(module).hidden.numbers("weights")[:, :, 0]
    assert np.allclose(weights[:3, 3:], 3 * W_REC.T)
    assert not weights[3:].any()
    assert not weights[:, :3].any()


def test_hidden_layers_are_blocks_of_one_population(convert: Convert) -> None:
    """Layers g (2), h (3), k (4) one after the other; k feeds h back."""
    rng = np.random.default_rng(1)
    w: dict[str, Array] = {
        name: rng.normal(size=shape)
        for name, shape in {"xg": (2, 5), "gh": (3, 2), "hk": (4, 3), "kh": (3, 4), "gg": (2, 2), "ko": (2, 4)}.items()
    }
    layers = [
        Layer("g", 2, {"x": w["xg"], "late g": w["gg"]}, g_m=2.0),
        Layer("h", 3, {"g": w["gh"], "late k": w["kh"]}, a=0.5, g_s=3.0),
        Layer("k", 4, {"h": w["hk"]}, b=0.5, threshold=[1.0, 2.0, 3.0, 4.0]),
        Layer("o", 2, {"k": w["ko"]}),
    ]
    op = network(convert(step({"x": 5}, layers, {"y": "o"})))
    expected = np.zeros((9, 9))
    expected[0:2, 0:2] = 2 * w["gg"].T
    expected[0:2, 2:5] = 3 * w["gh"].T
    expected[2:5, 5:9] = w["hk"].T
    expected[5:9, 2:5] = 3 * w["kh"].T
    assert np.allclose(op.hidden.numbers("weights")[:, :, 0], expected)
    inputs = np.zeros((5, 9))
    inputs[:, 0:2] = 2 * w["xg"].T
    assert np.allclose(op.input.numbers("weights")[:, :, 0], inputs)
    outputs = np.zeros((9, 2))
    outputs[5:9] = w["ko"].T
    assert np.allclose(op.readout.numbers("weights"), outputs)
    assert op.hidden.sizes() == {"g": 2, "h": 3, "k": 4}
    assert op.hidden.numbers("dash_mem").tolist() == [3, 3, 1, 1, 1, 3, 3, 3, 3]
    assert op.hidden.numbers("dash_syn").ravel().tolist() == [2, 2, 2, 2, 2, 1, 1, 1, 1]
    assert op.hidden.numbers("threshold").tolist() == [1, 1, 1, 1, 1, 1, 2, 3, 4]


def test_inputs_stand_one_after_the_other(convert: Convert) -> None:
    layers = [
        Layer("g", 2, {"left": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}),
        Layer("h", 1, {"right": [[7.0, 8.0]], "left": [[9.0, 10.0, 11.0]]}),
        Layer("o", 1, {"g": [[1.0, 1.0]], "h": [[2.0]]}),
    ]
    op = network(convert(step({"left": 3, "right": 2}, layers, {"y": "o"})))
    assert op.input.sizes() == {"left": 3, "right": 2}
    assert op.input.numbers("weights")[:, :, 0].tolist() == [[1, 4, 9], [2, 5, 10], [3, 6, 11], [0, 0, 7], [0, 0, 8]]
    assert op.readout.numbers("weights").tolist() == [[1], [1], [2]]


def test_outputs_stand_in_the_order_of_the_network(convert: Convert) -> None:
    layers = [
        Layer("h", 2, {"x": np.eye(2)}),
        Layer("p", 1, {"h": [[1.0, 2.0]]}),
        Layer("q", 2, {"h": [[3.0, 4.0], [5.0, 6.0]]}),
    ]
    op = network(convert(step({"x": 2}, layers, {"second": "q", "first": "p"})))
    assert op.readout.sizes() == {"q": 2, "p": 1}
    assert [name.data for name in op.readout.outputs] == ["second", "first"]
    assert op.readout.numbers("weights").tolist() == [[3, 5, 1], [4, 6, 2]]


def test_a_layer_without_a_synapse(convert: Convert) -> None:
    """LIF: v' = a v + g_m (W z + c) + k, so the weights are g_m W, the bias k + g_m c, and nothing of a current stays.

    -log2(1 - b) of b = 0 is 0.
    """
    hidden = Layer("h", 3, {"x": W_IN, "late h": W_REC}, A, None, G_M, 1.0, THRESHOLD, LEAK, CONSTANT)
    op = network(convert(step({"x": 2}, [hidden, Layer("o", 2, {"h": W_OUT}, b=None, g_m=0.5)], {"y": "o"})))
    for name, values in {"dash_mem": -np.log2(1 - A), "threshold": THRESHOLD, "bias": LEAK + G_M * CONSTANT}.items():
        assert np.allclose(op.hidden.numbers(name), values, rtol=1e-14, atol=0), name
    assert not op.hidden.numbers("dash_syn").any()
    assert np.allclose(op.input.numbers("weights")[:, :, 0], (G_M[:, None] * W_IN).T, rtol=1e-14, atol=0)
    assert np.allclose(op.hidden.numbers("weights")[:, :, 0], (G_M[:, None] * W_REC).T, rtol=1e-14, atol=0)
    assert np.allclose(op.readout.numbers("weights"), 0.5 * W_OUT.T, rtol=1e-14, atol=0)
    assert not op.readout.numbers("dash_syn").any()


FED = Layer("o", 2, {"h": W_OUT, "x": np.eye(2)})
FEEDING = Layer("o", 2, {"h": W_OUT, "late o": 3 * np.eye(2)})


@pytest.mark.parametrize("layer", [FED, FEEDING], ids=["fed_by_the_input", "feeds_neurons"])
def test_a_layer_that_cannot_be_readout_is_relayed(convert: Convert, layer: Layer) -> None:
    """It stays hidden with all its weights; no readout neuron stands there yet."""
    op = network(convert(step({"x": 2}, [Layer("h", 3, {"x": W_IN}), layer], {"y": "o"})))
    assert op.relayed() == {"o": "y"}
    assert op.hidden.sizes() == {"h": 3, "o": 2}
    assert (op.readout.sizes(), list(op.readout.outputs)) == ({}, [])
    assert np.allclose(op.hidden.numbers("weights")[:3, 3:, 0], W_OUT.T)
    fed = layer is FED
    assert np.allclose(op.input.numbers("weights")[:, 3:, 0], np.eye(2) * fed)
    assert np.allclose(op.hidden.numbers("weights")[3:, 3:, 0], 3 * np.eye(2) * (not fed))


def test_the_only_layer_is_relayed(convert: Convert) -> None:
    module = convert(step({"x": 2}, [Layer("o", 3, {"x": W_IN})], {"y": "o"}))
    assert network(module).relayed() == {"o": "y"}
    assert np.allclose(network(module).input.numbers("weights")[:, :, 0], W_IN.T)
    note = "the readout answers 1 step later than the network: spikes take a step from one layer of neurons to the next"
    assert statements(module, "latency") == [("note", note)]
    copied = "'o' is copied to readout neurons by exact relays: 1 where it fired, however often"
    assert statements(module, "relay") == [("note", copied)]


def test_a_relayed_layer_beside_a_readout(convert: Convert) -> None:
    """h leaves and feeds o, which leaves: the copy of h and o answer in the same step."""
    layers = [Layer("h", 3, {"x": W_IN}), Layer("o", 2, {"h": W_OUT})]
    module = convert(step({"x": 2}, layers, {"inside": "h", "y": "o"}))
    op = network(module)
    assert op.relayed() == {"h": "inside"}
    assert op.readout.sizes() == {"o": 2}
    assert [name.data for name in op.readout.outputs] == ["y"]
    assert [text for _, text in statements(module, "latency")] == [
        "the readout answers 1 step later than the network: spikes take a step from one layer of neurons to the next"
    ]


@pytest.mark.parametrize("b", [None, 0.75], ids=["LI", "CubaLI"])
def test_a_last_layer_that_does_not_fire_is_read_by_its_membrane(convert: Convert, b: float | None) -> None:
    layers = [Layer("h", 3, {"x": W_IN}), Layer("o", 2, {"h": W_OUT}, b=b, g_m=0.25, threshold=None, leak=[0.5, 0.0])]
    op = network(convert(step({"x": 2}, layers, {"y": "o"})))
    assert op.readout.read_by_membrane() == ("o",)
    assert op.readout.silent().tolist() == [True, True]
    assert np.allclose(op.readout.numbers("weights"), 0.25 * W_OUT.T)
    assert op.readout.numbers("dash_mem").tolist() == [3, 3]
    assert op.readout.numbers("dash_syn").tolist() == [0 if b is None else 2] * 2
    assert op.readout.numbers("bias").tolist() == [0.5, 0]
    assert op.relayed() == {}


def test_spikes_and_a_membrane_leave(convert: Convert) -> None:
    layers = [Layer("h", 3, {"x": W_IN}), Layer("p", 2, {"h": W_OUT}), Layer("q", 2, {"h": W_OUT}, threshold=None)]
    op = network(convert(step({"x": 2}, layers, {"z": "q", "y": "p"})))
    assert op.readout.sizes() == {"q": 2, "p": 2}
    assert op.readout.read_by_membrane() == ("q",)
    assert op.readout.silent().tolist() == [True, True, False, False]


def test_a_factor_on_spikes_is_a_diagonal_matrix(convert: Convert) -> None:
    text = changed(
        step({"x": 3}, [Layer("h", 3, {"x": np.eye(3)}), Layer("o", 2, {"h": W_OUT})], {"y": "o"}),
        (
            linear("h_w0", "x", np.eye(3)),
            f"%h_w0 = snn.scale %x {{factor = {numbers([1.0, -2.0, 0.5])}}} : (tensor<3xi1>) -> tensor<3xf64>\n",
        ),
    )
    assert np.array_equal(network(convert(text)).input.numbers("weights")[:, :, 0], np.diag([1.0, -2.0, 0.5]))


# The vendor's numbers (specification, section 5 and 6): w_in, r and the current-decay factor ignored


def vendor(ctx: Context, module: ModuleOp) -> ModuleOp:
    ConvertSnnToXyloPass(mapping="vendor").apply(ctx, module)
    module.verify()
    return module


def test_the_vendors_numbers(ctx: Context, parse: Parse) -> None:
    """weights = W whatever the gains; bias = v_leak, whose k is (1 - a) v_leak."""
    v_leak = np.array([0.3, -0.2, 0.0])
    hidden = Layer("h", 3, {"x": W_IN, "late h": W_REC}, A, B, G_M, G_S, THRESHOLD, (1 - A) * v_leak)
    op = network(vendor(ctx, parse(step({"x": 2}, [hidden, READOUT], {"y": "o"}))))
    assert np.allclose(op.input.numbers("weights")[:, :, 0], W_IN.T, rtol=1e-14)
    assert np.allclose(op.hidden.numbers("weights")[:, :, 0], W_REC.T, rtol=1e-14)
    assert np.allclose(op.readout.numbers("weights"), W_OUT.T, rtol=1e-14)
    assert np.allclose(op.hidden.numbers("bias"), v_leak, rtol=1e-14)
    assert np.array_equal(op.hidden.numbers("threshold"), THRESHOLD)


def test_the_vendor_drops_constant_inputs(ctx: Context, parse: Parse) -> None:
    module = vendor(ctx, parse(CANONICAL))
    assert np.allclose(network(module).hidden.numbers("bias"), LEAK / (1 - A))
    assert statements(module, "bias") == [
        ("note", "the constant input of 'h' is dropped, as the vendor's route drops it")
    ]


def test_the_vendor_cannot_read_a_membrane_without_a_synapse(ctx: Context, parse: Parse) -> None:
    layers = [Layer("h", 3, {"x": W_IN}, b=None), Layer("o", 2, {"h": W_OUT})]
    why = "node 'h': a membrane without a synapse, which the vendor's route cannot read; use --mapping faithful"
    with pytest.raises(PassFailedException, match=f"^{why}$"):
        vendor(ctx, parse(step({"x": 2}, layers, {"y": "o"})))


def test_an_unknown_mapping_is_refused(ctx: Context, parse: Parse) -> None:
    with pytest.raises(PassFailedException, match=r"^mapping 'rockpool' is not one of faithful, vendor$"):
        ConvertSnnToXyloPass(mapping="rockpool").apply(ctx, parse(PLAIN))


# What is told


def chain(count: int) -> str:
    """A chain of `count` layers of one neuron, each fires in the step in which its source does."""
    layers = [Layer("n1", 1, {"x": [[1.5]]}, a=0.5, b=0.5)]
    layers += [Layer(f"n{k}", 1, {f"n{k - 1}": [[1.5]]}, a=0.5, b=0.5) for k in range(2, count + 1)]
    return step({"x": 1}, layers, {"y": f"n{count}"})


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_chain_of_layers_answers_late(ctx: Context, parse: Parse, convert: Convert, count: int) -> None:
    module = convert(chain(count))
    steps = f"{count - 1} step{'s' if count > 2 else ''}"
    note = (
        f"the readout answers {steps} later than the network: spikes take a step from one layer of neurons to the next"
    )
    assert statements(module, "latency") == [("note", note)]

    (before,) = parse(chain(count)).ops
    assert isinstance(before, snn.NetworkOp)
    for chosen in (XyloChooseScalesPass(), XyloFitTimeConstantsPass(), XyloQuantizePass()):
        chosen.apply(ctx, module)
    raster: Array = np.zeros((20, 1, 1), np.uint8)
    raster[3] = 1
    first = [
        int(np.flatnonzero(run["y"][:, 0, 0])[0])
        for run in (SnnEvaluator(before).run({"x": raster}), XyloEvaluator(network(module)).run({"x": raster}))
    ]
    assert first == [3, 3 + count - 1]


def test_a_skip_edge_is_reported(convert: Convert) -> None:
    """From the first layer of three to the readout: one step early beside the way over the second."""
    layers = [
        Layer("g", 1, {"x": [[1.5]]}),
        Layer("h", 1, {"g": [[1.5]]}),
        Layer("o", 1, {"h": [[1.5]], "g": [[1.5]]}),
    ]
    early = "arrives 1 step(s) earlier than in the network, relative to the other edges: the chip has no delays"
    told = statements(convert(step({"x": 1}, layers, {"y": "o"})), "latency")
    assert ("choice", f"'g' -> 'o' {early}") in told
    assert len(told) == 2


def test_an_input_into_a_deep_layer_is_reported(convert: Convert) -> None:
    layers = [
        Layer("g", 1, {"x": [[1.5]]}),
        Layer("h", 1, {"g": [[1.5]], "x": [[0.5]]}),
        Layer("o", 1, {"h": [[1.5]]}),
    ]
    early = "arrives 1 step(s) earlier than in the network, relative to the other edges: the chip has no delays"
    assert ("choice", f"'x' -> 'h' {early}") in statements(convert(step({"x": 1}, layers, {"y": "o"})), "latency")


def test_a_feedback_over_two_layers_is_reported(convert: Convert) -> None:
    """Last step's spikes of h arrive at g two steps after the g that caused them, not one."""
    layers = [
        Layer("g", 1, {"x": [[1.5]], "late h": [[0.5]]}),
        Layer("h", 1, {"g": [[1.5]]}),
        Layer("o", 1, {"h": [[1.5]]}),
    ]
    late = "arrives 1 step(s) later than in the network, relative to the other edges: the chip has no delays"
    assert ("choice", f"'h' -> 'g' {late}") in statements(convert(step({"x": 1}, layers, {"y": "o"})), "latency")


def test_the_recurrence_of_one_layer_is_in_time(convert: Convert) -> None:
    (told,) = statements(convert(CANONICAL), "latency")
    assert told[1].startswith("the readout answers 1 step later")


def test_readouts_that_answer_at_different_times_are_told_apart(convert: Convert) -> None:
    """The readout behind one hidden layer answers 1 step late, the one behind two 2 steps."""
    layers = [
        Layer("g", 1, {"x": [[1.5]]}),
        Layer("h", 1, {"g": [[1.5]]}),
        Layer("p", 1, {"g": [[1.5]]}),
        Layer("q", 1, {"h": [[1.5]]}),
    ]
    told = " ".join(text for _, text in statements(convert(step({"x": 1}, layers, {"y": "p", "z": "q"})), "latency"))
    assert "'p'" in told
    assert "'q'" in told
    assert "1 step" in told
    assert "2 steps" in told


def test_what_the_chip_does_differently_is_told(convert: Convert) -> None:
    module = convert(CANONICAL)
    assert statements(module, "comparison") == [("note", "a neuron of the chip fires where v >= threshold")]
    assert statements(module, "bias") == [
        (
            "note",
            "the constant input of 'h' enters as the bias that its steady current gives; "
            "the first steps after start differ",
        )
    ]
    assert statements(module, "initial state") == []


def test_a_state_that_does_not_start_at_0_is_a_choice(convert: Convert) -> None:
    text = changed(
        CANONICAL,
        ('#snn.state<"h", "v", dense<0.0> : tensor<f64>>', '#snn.state<"h", "v", dense<0.5> : tensor<f64>>'),
        ('#snn.state<"o", "i", dense<0.0> : tensor<f64>>', '#snn.state<"o", "i", dense<-1.0> : tensor<f64>>'),
    )
    assert statements(convert(text), "initial state") == [
        ("choice", f"'{state}' starts at 0: the chip cannot preload a state") for state in ("h.v", "o.i")
    ]


# What is refused

PLAIN = step({"x": 2}, [Layer("h", 3, {"x": W_IN}), Layer("o", 2, {"h": W_OUT}, threshold=2.0)], {"y": "o"})
H, X = "tensor<3xf64>", "tensor<3xi1>"
SYNAPSE = "%h_i1 = snn.filter %h_w0, %h_i {decay = dense<7.500000e-01> : tensor<f64>"
MEMBRANE = "%h_v1 = snn.filter %h_i1, %h_v {decay = dense<8.750000e-01> : tensor<f64>"
FIRE = "%h = snn.fire %h_v1 {threshold = dense<1.000000e+00> : tensor<f64>"
RESET = '%h_v3 = snn.reset %h_v1, %h {kind = "subtract", amount = dense<1.000000e+00> : tensor<f64>'
YIELD = "snn.yield %o, %h_i1, %h_v3, "

NEITHER = "its input is neither the network's input nor spikes of a layer; Xylo's weights take spikes only"
GIVES_NOTHING_ELSE = "is neither the spikes nor the membrane of a layer; Xylo's readout gives nothing else"
NOTHING_ELSE = "Xylo has one matrix of weights between two layers and nothing else"

REFUSED: dict[str, tuple[str, str]] = {
    "scheme": (
        changed(PLAIN, ('scheme = "nir-euler"', 'scheme = "norse"')),
        "scheme 'norse' describes a simulator; a chip is lowered from a nir-* scheme (--scheme nir-euler)",
    ),
    "zero_reset": (
        changed(PLAIN, (RESET, RESET.replace("subtract", "value").replace("1.000000e+00", "0.0"))),
        "node 'h': a spike resets it to 0; Xylo resets by subtraction of the threshold only, "
        "compile with --reset subtract or auto",
    ),
    "v_reset": (
        changed(PLAIN, (RESET, RESET.replace("subtract", "value").replace("1.000000e+00", "-0.25"))),
        "node 'h': a spike resets it to v_reset = -0.25; Xylo subtracts the threshold, which needs v_reset = 0",
    ),
    "subtract_another_amount": (
        changed(PLAIN, (RESET, RESET.replace("1.000000e+00", "1.25"))),
        "node 'h': a spike subtracts threshold - v_reset; Xylo subtracts the threshold, which needs v_reset = 0",
    ),
    "no_reset": (
        changed(PLAIN, (f'{RESET}, node = "h"}} : ({H}, {X}) -> {H}\n', ""), (YIELD, "snn.yield %o, %h_i1, %h_v1, ")),
        "node 'h': its spikes do not reset the membrane at once; Xylo's do",
    ),
    "reset_of_another_value": (
        changed(PLAIN, (RESET, RESET.replace("%h_v1", "%h_v"))),
        "node 'h': its spikes do not reset the membrane at once; Xylo's do",
    ),
    "reset_at_the_next_step": (
        changed(PLAIN, (YIELD, "snn.yield %o, %h_i1, %h_v1, ")),
        "node 'h': its reset does not act at once on the membrane that fired; Xylo's does",
    ),
    "spikes_of_the_old_membrane": (
        changed(PLAIN, (FIRE, FIRE.replace("%h_v1", "%h_v")), (RESET, RESET.replace("%h_v1", "%h_v"))),
        "node 'h': its spikes are not those of a membrane that was updated in this step; Xylo has no other order",
    ),
    "rest_value_of_a_synapse": (
        changed(
            PLAIN,
            (MEMBRANE, f"%h_r = snn.add %h_i1 {{constant = dense<0.5> : tensor<f64>}} : ({H}) -> {H}\n{MEMBRANE}"),
            ("snn.filter %h_i1, %h_v", "snn.filter %h_r, %h_v"),
            (YIELD, "snn.yield %o, %h_r, %h_v3, "),
        ),
        "node 'h': its synapse has a rest value; Xylo's currents decay to 0",
    ),
    "no_leak": (
        changed(PLAIN, (MEMBRANE, MEMBRANE.replace("8.750000e-01", "1.0"))),
        "node 'h': its membrane does not leak; every state of Xylo loses at least 1 LSB a step, use LIF or "
        "CubaLIF with a tau of up to 32768 steps",
    ),
    "no_decay_of_the_current": (
        changed(PLAIN, (SYNAPSE, SYNAPSE.replace("7.500000e-01", "1.0"))),
        "node 'h': its synaptic current does not decay; every state of Xylo does",
    ),
    "threshold_0": (
        changed(PLAIN, (FIRE, FIRE.replace("1.000000e+00", "0.0")), (RESET, RESET.replace("1.000000e+00", "0.0"))),
        "node 'h': threshold 0, must be > 0; Xylo would fire 31 times a step",
    ),
    "threshold_below_0": (
        changed(
            step({"x": 2}, [Layer("h", 2, {"x": np.eye(2)}, threshold=[1.0, -0.5]), READOUT], {"y": "o"}),
            ("tensor<3xi1>) -> tensor<2xf64>", "tensor<2xi1>) -> tensor<2xf64>"),
            (numbers(W_OUT), numbers(W_OUT[:, :2])),
        ),
        "node 'h': threshold -0.5, must be > 0; Xylo would fire 31 times a step",
    ),
    "a_factor_on_the_way": (
        changed(
            PLAIN,
            (
                SYNAPSE,
                f'%s = snn.scale %h_w0 {{factor = dense<2.0> : tensor<f64>, node = "f"}} : ({H}) -> {H}\n{SYNAPSE}',
            ),
            ("snn.filter %h_w0, %h_i", "snn.filter %s, %h_i"),
        ),
        f"node 'f': {NEITHER}",
    ),
    "two_matrices_on_the_way": (
        changed(PLAIN, (linear("h_w0", "x", W_IN), linear("e", "x", np.eye(2)) + linear("h_w0", "e", W_IN, "f64"))),
        f"node 'h_w0': {NEITHER}",
    ),
    "an_output_of_a_membrane": (
        changed(
            PLAIN,
            ("snn.yield %o, ", "snn.yield %o_v3, "),
            (
                "snn.yield %o_v3, %h_i1, %h_v3, %o_i1, %o_v3 : tensor<2xi1>",
                "snn.yield %o_v3, %h_i1, %h_v3, %o_i1, %o_v3 : tensor<2xf64>",
            ),
        ),
        f"node 'o': the output 'y' {GIVES_NOTHING_ELSE}",
    ),
    "an_output_that_is_the_input": (
        changed(PLAIN, ("snn.yield %o, ", "snn.yield %x, ")),
        f"the network: the output 'y' {GIVES_NOTHING_ELSE}",
    ),
    "two_outputs_of_a_layer": (
        step({"x": 2}, [Layer("h", 3, {"x": W_IN}), Layer("o", 2, {"h": W_OUT})], {"y": "o", "z": "o"}),
        "node 'o': it leaves through two outputs; give it one",
    ),
    "two_outputs_of_a_layer_that_the_input_feeds": (
        step({"x": 2}, [Layer("o", 3, {"x": W_IN})], {"y": "o", "z": "o"}),
        "node 'o': it leaves through two outputs; give it one",
    ),
    "a_membrane_fed_by_the_input": (
        step(
            {"x": 2},
            [Layer("h", 3, {"x": W_IN}), Layer("o", 2, {"h": W_OUT, "x": np.eye(2)}, threshold=None)],
            {"y": "o"},
        ),
        "node 'o': its membrane leaves and the input 'x' feeds it; Xylo's readout reads hidden neurons only, put a "
        "layer in between",
    ),
    "no_layer": (step({"x": 2}, [], {}), "the network has no output; Xylo needs one"),
    "no_output": (
        step({"x": 2}, [Layer("h", 3, {"x": W_IN})], {}),
        "the network has no output; Xylo needs one",
    ),
    "an_input_of_rows_and_columns": (
        changed(
            PLAIN,
            ("^bb0(%x: tensor<2xi1>", "^bb0(%image: tensor<1x2xi1>, %x: tensor<2xi1>"),
            ('inputs = ["x"]', 'inputs = ["image", "x"]'),
        ),
        "input 'image' has the shape tensor<1x2xi1>; Xylo takes a vector of channels",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(refused: Callable[[str], list[str]], name: str) -> None:
    text, fault = REFUSED[name]
    assert refused(text) == [fault]


def test_a_cycle_that_was_cut_at_the_weight_is_refused(refused: Callable[[str], list[str]]) -> None:
    """The state carries what the recurrent matrix gave, not spikes."""
    text = changed(
        step({"x": 2}, [Layer("h", 3, {"x": W_IN, "late h": W_REC}), Layer("o", 2, {"h": W_OUT})], {"y": "o"}),
        (linear("h_w1", "h_z", W_REC), ""),
        ("%h_w0, %h_w1 {", "%h_w0, %h_z {"),
        ("%h_z: tensor<3xi1>", "%h_z: tensor<3xf64>"),
        ("dense<false> : tensor<i1>", "dense<0.0> : tensor<f64>"),
        ("snn.yield %o, %h_i1, %h_v3, %h, ", linear("r", "h", W_REC) + "snn.yield %o, %h_i1, %h_v3, %r, "),
        ("tensor<3xf64>, tensor<3xi1>, tensor<2xf64>", "tensor<3xf64>, tensor<3xf64>, tensor<2xf64>"),
    )
    assert refused(text) == [f"node 'h': {NEITHER}; cycles must be cut at the neurons, rec_cut=neuron"]


CONV = """%conv = snn.conv %image {weight = dense<1.0> : tensor<1x1x1x1xf64>, stride = array<i64: 1, 1>,
  padding = array<i64: 0, 0, 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64, node = "conv"}
  : (tensor<1x1x2xi1>) -> tensor<1x1x2xf64>
"""
POOL = """%pool = snn.pool %image {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>,
  padding = array<i64: 0, 0, 0, 0>, node = "pool"} : (tensor<1x1x2xi1>) -> tensor<1x1x2xf64>
"""


@pytest.mark.parametrize(("op", "text"), [("conv", CONV), ("pool", POOL)])
def test_windows_before_vectors_are_refused(refused: Callable[[str], list[str]], op: str, text: str) -> None:
    """An image's windows, flattened, straight into neurons."""
    flat = f'%flat = snn.reshape %{op} {{node = "flat"}} : (tensor<1x1x2xf64>) -> tensor<2xf64>\n'
    layers = [Layer("h", 2, {"x": np.eye(2)}), Layer("o", 2, {"h": np.eye(2)})]
    network_text = changed(
        step({"x": 2}, layers, {"y": "o"}),
        ("%x: tensor<2xi1>", "%image: tensor<1x1x2xi1>"),
        (linear("h_w0", "x", np.eye(2)), text + flat),
        ("snn.filter %h_w0, %h_i", "snn.filter %flat, %h_i"),
    )
    assert refused(network_text) == [
        f"node 'flat': snn.reshape before 'h': {NOTHING_ELSE}",
        "input 'x' has the shape tensor<1x1x2xi1>; Xylo takes a vector of channels",
    ]


@pytest.mark.parametrize(("op", "text"), [("conv", CONV), ("pool", POOL)])
def test_neurons_in_rows_and_columns_are_refused(refused: Callable[[str], list[str]], op: str, text: str) -> None:
    layers = [Layer("h", 2, {"x": np.eye(2)}), Layer("o", 2, {"h": np.eye(2)})]
    plain = step({"x": 2}, layers, {"y": "o"})
    head, body = plain.split(linear("h_w0", "x", np.eye(2)))
    hidden, rest = body.split(linear("o_w0", "h", np.eye(2)))
    image = {"tensor<2xf64>": "tensor<1x1x2xf64>", "tensor<2xi1>": "tensor<1x1x2xi1>", "%h_w0": f"%{op}"}
    for old, new in image.items():
        hidden = hidden.replace(old, new)
    flat = "%flat = snn.reshape %h : (tensor<1x1x2xi1>) -> tensor<2xi1>\n"
    head = changed(
        head,
        ("%x: tensor<2xi1>", "%image: tensor<1x1x2xi1>"),
        ("%h_i: tensor<2xf64>, %h_v: tensor<2xf64>", "%h_i: tensor<1x1x2xf64>, %h_v: tensor<1x1x2xf64>"),
    )
    rest = changed(
        rest,
        (
            "%o_v3 : tensor<2xi1>, tensor<2xf64>, tensor<2xf64>",
            "%o_v3 : tensor<2xi1>, tensor<1x1x2xf64>, tensor<1x1x2xf64>",
        ),
    )
    assert refused(head + text + hidden + flat + linear("o_w0", "flat", np.eye(2)) + rest) == [
        "node 'h': its neurons stand in rows and columns; run snn-flatten first",
        f"node 'o_w0': {NEITHER}",
        "input 'x' has the shape tensor<1x1x2xi1>; Xylo takes a vector of channels",
    ]


def test_an_unknown_chip_is_refused(ctx: Context, parse: Parse) -> None:
    with pytest.raises(PassFailedException, match=r"^chip 'audio1' is not one of v1, audio2, audio3, imu$"):
        ConvertSnnToXyloPass("audio1").apply(ctx, parse(PLAIN))


def test_all_faults_come_in_one_list(refused: Callable[[str], list[str]]) -> None:
    """17 inputs and 9 readouts, a wrong scheme, a reset to 0 and an integrator."""
    layers = [Layer("h", 3, {"x": np.ones((3, 17))}, a=1.0), Layer("o", 9, {"h": np.ones((9, 3))})]
    text = step({"x": 17}, layers, {"y": "o"}, scheme="snntorch")
    text = changed(
        text, ('%o {kind = "subtract", amount = dense<1.000000e+00>', '%o {kind = "value", amount = dense<0.0>')
    )
    assert refused(text) == [
        "scheme 'snntorch' describes a simulator; a chip is lowered from a nir-* scheme (--scheme nir-euler)",
        REFUSED["no_leak"][1],
        REFUSED["zero_reset"][1].replace("'h'", "'o'"),
        "xylo audio2: 17 input channels ('x' 17), the chip has 16; merge or drop channels",
        "xylo audio2: 9 readout neurons ('o' 9), the chip has 8; code the classes on fewer neurons, "
        "or take a chip with more (audio3 has 32, imu 16)",
    ]
