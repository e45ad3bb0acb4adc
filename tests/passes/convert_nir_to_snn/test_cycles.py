"""Where cycles are cut, and that the cut network computes what the cut says: against loops written out by hand.

Neurons here are IF nodes with r = 1 and threshold 0.5: v' = v + x, a spike and v = 0 where v' > 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn
from nirc.dialects.dense import Array
from nirc.dialects.nir import assumptions
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass

Convert: TypeAlias = Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]

W = np.array([[0.75, -0.5], [0.25, 0.375]])
BIAS = np.array([0.125, -0.25])
X = np.random.default_rng(3).uniform(-0.2, 0.6, (40, 2))
SIGNAL = "!nir.signal<2>"


def numbers(values: Array) -> str:
    rows = "[" + ", ".join(f"{value:.9e}" for value in values) + "]" if values.ndim == 1 else None
    text = rows or "[" + ", ".join("[" + ", ".join(f"{v:.9e}" for v in row) + "]" for row in values) + "]"
    return f"dense<{text}> : tensor<{'x'.join(map(str, values.shape))}xf64>"


def neuron(name: str, *sources: str) -> str:
    """An IF node; several sources are added."""
    fields = "r = dense<1.0> : tensor<f64>, v_threshold = dense<0.5> : tensor<f64>"
    return joined(name, "if", fields, sources)


def affine(name: str, *sources: str, weight: Array = W, bias: Array = BIAS) -> str:
    return joined(name, "affine", f"weight = {numbers(weight)}, bias = {numbers(bias)}", sources)


def delay(name: str, *sources: str, steps: tuple[float, ...] = (2, 2)) -> str:
    """A Delay by steps of 1 ms."""
    return joined(name, "delay", f"delay = {numbers(1e-3 * np.array(steps, float))}", sources)


def joined(name: str, op: str, fields: str, sources: tuple[str, ...]) -> str:
    node = f'%{name} = nir.{op} "{name}"'
    tail = f"{{{fields}}} : ({SIGNAL}) -> {SIGNAL}\n"
    if len(sources) == 1:
        return f"{node}(%{sources[0]}) {tail}"
    types = ", ".join([SIGNAL] * len(sources))
    added = ", ".join(f"%{source}" for source in sources)
    return f"%{name}_sum = nir.sum {added} : ({types}) -> {SIGNAL}\n{node}(%{name}_sum) {tail}"


def graph(*nodes: str, inputs: tuple[str, ...] = ("x",), outputs: tuple[str, ...]) -> str:
    """Outputs are called `to_<node>`."""

    def listed(names: tuple[str, ...]) -> str:
        return ", ".join(f'"{name}"' for name in names)

    arguments = ", ".join(f"%{name}: {SIGNAL}" for name in inputs)
    ports = tuple(f"to_{name}" for name in outputs)
    yielded = ", ".join(f"%{name}" for name in outputs)
    return (
        f"nir.graph @main attributes {{inputs = [{listed(inputs)}], outputs = [{listed(ports)}]}} {{\n"
        f"^bb0({arguments}):\n{''.join(nodes)}"
        f"nir.yield {yielded} : {', '.join([SIGNAL] * len(outputs))}\n}}\n"
    )


def at(options: str = "") -> ConvertNirToSnnPass:
    return ConvertNirToSnnPass(dt=1e-3, scheme=f"nir-euler{options}", precision="f64")


def run(network: snn.NetworkOp, **rasters: Array) -> dict[str, Array]:
    outputs = SnnEvaluator(network).run({name: raster[:, None] for name, raster in rasters.items()})
    return {name.removeprefix("to_"): values[:, 0].astype(np.float64) for name, values in outputs.items()}


def cuts(network: snn.NetworkOp) -> list[str]:
    module = network.parent_op()
    assert isinstance(module, ModuleOp)
    said = [item.statement.data for item in assumptions(module) if item.topic.data == "cycle"]
    return [statement.removeprefix("cut at ").split(":")[0] for statement in said]


def states(network: snn.NetworkOp) -> list[str]:
    return [state.label for state in network.states]


def fire(v: Array, x: Array) -> tuple[Array, Array]:
    """One step of the neurons: their v after it, and their spikes."""
    spikes = (v + x > 0.5).astype(np.float64)
    return np.where(spikes > 0, 0, v + x), spikes


LOOP = graph(neuron("lif", "w", "x"), affine("w", "lif"), outputs=("lif",))
SELF = graph(neuron("lif", "lif", "x"), outputs=("lif",))
SEVERAL = graph(neuron("t", "w", "x"), neuron("a", "t"), neuron("b", "t"), affine("w", "a", "b"), outputs=("t", "b"))
FORWARDS = graph(neuron("lif", "w", "x"), affine("w", "lif"), outputs=("lif", "w"))
ENTRIES = graph(neuron("a", "b", "x"), neuron("b", "a", "y"), inputs=("x", "y"), outputs=("a", "b"))

LATE = graph(neuron("lif", "w", "x"), delay("d", "lif"), affine("w", "d"), outputs=("lif",))
PARTLY = graph(neuron("lif", "w", "x"), delay("d", "lif", steps=(0, 2)), affine("w", "d"), outputs=("lif",))

GOLDEN = {
    "delay": (LATE, ""),
    "delay_of_one_step": (LATE.replace("2.000000000e-03", "1.000000000e-03"), ""),
    "delay_of_some": (PARTLY, ""),
    "neuron": (LOOP, ",rec_cut=neuron"),
    "weight": (LOOP, ",rec_cut=weight"),
    "self_neuron": (SELF, ",rec_cut=neuron"),
    "self_weight": (SELF, ",rec_cut=weight"),
    "several_neurons": (SEVERAL, ""),
    "forwards_neuron": (FORWARDS, ""),
    "forwards_weight": (FORWARDS, ",rec_cut=weight"),
    "several_entries": (ENTRIES, ""),
    "cut_at": (ENTRIES, ",rec_cut_at=a->b"),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None], case: str) -> None:
    text, options = GOLDEN[case]
    golden(opt(text, f'nir-infer-shapes,convert-nir-to-snn{{dt=1.0e-3 scheme="nir-euler{options}" precision="f64"}}'))


@pytest.mark.parametrize("cut", ["neuron", "weight"])
def test_the_bias_of_a_recurrent_weight_is_missing_at_step_0_where_its_value_is_delayed(
    convert: Convert, cut: str
) -> None:
    v, z = np.zeros(2), np.zeros(2)
    expected = list[Array]()
    for t, x in enumerate(X):
        recurrent = W @ z + BIAS if cut == "neuron" or t > 0 else np.zeros(2)
        v, z = fire(v, recurrent + x)
        expected.append(z)
    network = convert(LOOP, at(f",rec_cut={cut}"))
    assert cuts(network) == ["'w' -> 'lif'"]
    assert states(network) == (["lif.z", "lif.v"] if cut == "neuron" else ["w.out", "lif.v"])
    assert run(network, x=X)["lif"].tolist() == np.array(expected).tolist()


@pytest.mark.parametrize("cut", ["neuron", "weight"])
def test_a_neuron_that_feeds_itself(convert: Convert, cut: str) -> None:
    v, z = np.zeros(2), np.zeros(2)
    expected = list[Array]()
    for x in X:
        v, z = fire(v, z + x)
        expected.append(z)
    network = convert(SELF, at(f",rec_cut={cut}"))
    assert cuts(network) == ["'lif' -> 'lif'"]
    assert run(network, x=X)["lif"].tolist() == np.array(expected).tolist()


@pytest.mark.parametrize("cut", ["neuron", "weight"])
def test_a_cut_behind_several_neurons_delays_them_all(convert: Convert, cut: str) -> None:
    v, z = {name: np.zeros(2) for name in "tab"}, {name: np.zeros(2) for name in "tab"}
    expected: dict[str, list[Array]] = {"t": [], "b": []}
    for step, x in enumerate(X):
        recurrent = W @ (z["a"] + z["b"]) + BIAS if cut == "neuron" or step > 0 else np.zeros(2)
        v["t"], z["t"] = fire(v["t"], recurrent + x)
        v["a"], z["a"] = fire(v["a"], z["t"])
        v["b"], z["b"] = fire(v["b"], z["t"])
        expected["t"].append(z["t"])
        expected["b"].append(z["b"])
    network = convert(SEVERAL, at(f",rec_cut={cut}"))
    assert cuts(network) == ["'w' -> 't'"]
    result = run(network, x=X)
    assert {name: result[name].tolist() for name in "tb"} == {n: np.array(s).tolist() for n, s in expected.items()}
    assert np.array(expected["t"]).sum() > 5


@pytest.mark.parametrize("cut", ["neuron", "weight"])
def test_the_forward_use_of_a_node_in_a_loop_sees_this_step(convert: Convert, cut: str) -> None:
    v, z = np.zeros(2), np.zeros(2)
    spikes, forward = list[Array](), list[Array]()
    for t, x in enumerate(X):
        recurrent = W @ z + BIAS if cut == "neuron" or t > 0 else np.zeros(2)
        v, z = fire(v, recurrent + x)
        spikes.append(z)
        forward.append(W @ z + BIAS)
    result = run(convert(FORWARDS, at(f",rec_cut={cut}")), x=X)
    assert result["lif"].tolist() == np.array(spikes).tolist()
    np.testing.assert_allclose(result["w"], np.array(forward), rtol=1e-15)


def test_a_recurrent_weight_that_nothing_else_uses_stands_once(convert: Convert) -> None:
    network = convert(LOOP, at())
    assert sum(isinstance(op, snn.LinearOp) for op in network.body.block.ops) == 1
    network = convert(FORWARDS, at())
    assert sum(isinstance(op, snn.LinearOp) for op in network.body.block.ops) == 2


def test_an_input_that_enters_between_neuron_and_cut_is_not_delayed(convert: Convert) -> None:
    """x -> w -> lif -> w: what is delayed are the spikes, not the input beside them."""
    text = graph(affine("w", "lif", "x"), neuron("lif", "w"), outputs=("lif",))
    v, z = np.zeros(2), np.zeros(2)
    expected = list[Array]()
    for x in X:
        v, z = fire(v, W @ (z + x) + BIAS)
        expected.append(z)
    network = convert(text, at())
    assert cuts(network) == ["'lif' -> 'w'"]
    assert run(network, x=X)["lif"].tolist() == np.array(expected).tolist()


def test_an_input_into_a_stateless_node_before_a_cut(convert: Convert) -> None:
    """x enters the loop at `t`, y at `w`, which the walk meets later: the cut is w -> t, y arrives at once."""
    text = graph(neuron("t", "w", "x"), affine("w", "t", "y"), inputs=("x", "y"), outputs=("t",))
    y = np.random.default_rng(4).uniform(-1, 1, X.shape)
    v, z = np.zeros(2), np.zeros(2)
    expected = list[Array]()
    for at_x, at_y in zip(X, y, strict=True):
        v, z = fire(v, W @ (z + at_y) + BIAS + at_x)
        expected.append(z)
    network = convert(text, at())
    assert cuts(network) == ["'w' -> 't'"]
    assert run(network, x=X, y=y)["t"].tolist() == np.array(expected).tolist()


@pytest.mark.parametrize(
    ("inputs", "expected"), [(("x", "y"), "'b' -> 'a'"), (("y", "x"), "'b' -> 'a'"), (("z", "y"), "'a' -> 'b'")]
)
def test_of_several_entries_the_name_decides(convert: Convert, inputs: tuple[str, str], expected: str) -> None:
    """The walk starts at the Input whose name comes first, in whatever order the file lists them."""
    text = ENTRIES.replace("%x", "%first").replace("%y", "%second")
    first, second = ("%first", "%second") if inputs[0] in "xz" else ("%second", "%first")
    names = f'inputs = ["{inputs[0]}", "{inputs[1]}"]'
    text = text.replace('inputs = ["x", "y"]', names)
    text = text.replace(f"^bb0(%first: {SIGNAL}, %second: {SIGNAL})", f"^bb0({first}: {SIGNAL}, {second}: {SIGNAL})")
    assert cuts(convert(text, at())) == [expected]


def test_the_names_decide_between_code_points(convert: Convert) -> None:
    """`B` comes before `a`: names are ordered by code point."""
    text = graph(neuron("a", "B", "x"), neuron("B", "a", "x"), outputs=("a",))
    assert cuts(convert(text, at())) == ["'a' -> 'B'"]


def test_a_loop_that_no_input_reaches_is_cut_by_names(convert: Convert) -> None:
    """The weight alone tells the shape of such a loop."""
    text = graph(neuron("m", "k"), affine("k", "m"), neuron("o", "m", "x"), outputs=("o",))
    assert cuts(convert(text, at())) == ["'m' -> 'k'"]


@pytest.mark.parametrize(("edge", "first", "second"), [("b->a", "a", "b"), ("a->b", "b", "a")])
def test_rec_cut_at_chooses_the_edge(convert: Convert, edge: str, first: str, second: str) -> None:
    """The neuron behind the cut comes first in a step and sees the other's spikes of the last one."""
    y = np.random.default_rng(5).uniform(-0.2, 0.6, X.shape)
    arriving = {"a": X, "b": y}
    v, z = {name: np.zeros(2) for name in "ab"}, {name: np.zeros(2) for name in "ab"}
    expected: dict[str, list[Array]] = {"a": [], "b": []}
    for t in range(len(X)):
        v[first], z[first] = fire(v[first], z[second] + arriving[first][t])
        v[second], z[second] = fire(v[second], z[first] + arriving[second][t])
        expected["a"].append(z["a"])
        expected["b"].append(z["b"])
    network = convert(ENTRIES, at(f",rec_cut_at={edge}"))
    assert cuts(network) == ["'{}' -> '{}'".format(*edge.split("->"))]
    result = run(network, x=X, y=y)
    assert {name: result[name].tolist() for name in "ab"} == {n: np.array(s).tolist() for n, s in expected.items()}


def test_rec_cut_at_takes_several_edges(convert: Convert) -> None:
    text = graph(neuron("a", "a", "b", "x"), neuron("b", "a"), outputs=("a",))
    assert cuts(convert(text, at(",rec_cut_at=a->b;a->a"))) == ["'a' -> 'b'", "'a' -> 'a'"]


def test_a_cut_is_a_choice_of_the_user_where_the_user_made_it(convert: Convert) -> None:
    def kinds(options: str) -> list[str]:
        module = convert(LOOP, at(options)).parent_op()
        assert isinstance(module, ModuleOp)
        return [item.kind.data for item in assumptions(module) if item.topic.data == "cycle"]

    assert kinds(",rec_cut=weight") == ["given"]
    assert kinds(",rec_cut_at=w->lif") == ["given"]
    plain = convert(LOOP, ConvertNirToSnnPass(dt=1e-3)).parent_op()
    assert isinstance(plain, ModuleOp)
    assert [item.kind.data for item in assumptions(plain) if item.topic.data == "cycle"] == ["choice"]


def test_what_rec_cut_at_cannot_cut_is_refused(convert: Convert) -> None:
    text = graph(neuron("lif", "w", "fc"), affine("w", "lif"), affine("fc", "x"), outputs=("lif",))
    with pytest.raises(PassFailedException) as raised:
        convert(text, at(",rec_cut_at=lif;w->fc;ghost->lif;fc->lif"))
    assert str(raised.value).splitlines() == [
        "rec_cut_at: 'lif' is no edge of the graph; write it A->B with the nodes' names",
        "rec_cut_at: 'w->fc' is no edge of the graph; write it A->B with the nodes' names",
        "rec_cut_at: 'ghost->lif' is no edge of the graph; write it A->B with the nodes' names",
        "rec_cut_at: the edge fc->lif is not part of a cycle",
    ]


@pytest.mark.parametrize(
    ("nodes", "loop"),
    [
        ((affine("w", "w", "x"),), "'w' -> 'w'"),
        ((affine("a", "b", "x"), affine("b", "a"), neuron("w", "b")), "'a' -> 'b' -> 'a'"),
        ((affine("a", "c", "x"), affine("b", "a"), affine("c", "b"), neuron("w", "c")), "'a' -> 'b' -> 'c' -> 'a'"),
    ],
)
def test_a_loop_without_state_is_refused(convert: Convert, nodes: tuple[str, ...], loop: str) -> None:
    with pytest.raises(PassFailedException) as raised:
        convert(graph(*nodes, outputs=("w",)), at())
    first = loop.split(" -> ")[:-1]
    turned = [[*first[i:], *first[:i], first[i]] for i in range(len(first))]
    reason = "has no node with state; a value would depend on itself within a step"
    assert str(raised.value) in {f"the loop {' -> '.join(names)} {reason}" for names in turned}


def test_every_loop_without_state_is_named(convert: Convert) -> None:
    nodes = (affine("a", "a", "x"), affine("b", "b", "a"), neuron("w", "b"))
    with pytest.raises(PassFailedException, match=r"'a' -> 'a'(.|\n)*'b' -> 'b'"):
        convert(graph(*nodes, outputs=("w",)), at())


def test_a_value_that_two_cuts_carry_is_one_state(convert: Convert) -> None:
    """x -> a -> b -> w, and w feeds a and b back."""
    text = graph(neuron("a", "w", "x"), neuron("b", "a", "w"), affine("w", "b"), outputs=("b",))
    network = convert(text, at(",rec_cut=weight"))
    assert cuts(network) == ["'w' -> 'a'", "'w' -> 'b'"]
    assert len(set(states(network))) == len(states(network))
    network = convert(text, at())
    assert states(network) == ["b.z", "a.v", "b.v"]


def test_a_leaky_integrator_delays_its_v(convert: Convert) -> None:
    fields = "tau = dense<0.01> : tensor<f64>, r = dense<1.0> : tensor<f64>, v_leak = dense<0.0> : tensor<f64>"
    text = graph(joined("li", "li", fields, ("x", "w")), affine("w", "li"), outputs=("li",))
    v = np.zeros(2)
    expected = list[Array]()
    for x in X:
        v = 0.9 * v + 0.1 * (x + (W @ v + BIAS))
        expected.append(v)
    network = convert(text, at())
    assert states(network) == ["li.out", "li.v"]
    np.testing.assert_allclose(run(network, x=X)["li"], np.array(expected), rtol=1e-12)


def test_the_delayed_value_of_a_leaky_integrator_with_a_rest_starts_at_0(convert: Convert) -> None:
    """defaults: v starts at v_leak, but delayed values at 0."""
    fields = "tau = dense<0.01> : tensor<f64>, r = dense<1.0> : tensor<f64>, v_leak = dense<0.5> : tensor<f64>"
    text = graph(joined("li", "li", fields, ("li", "x")), outputs=("li",))
    v, late = np.full(2, 0.5), np.zeros(2)
    expected = list[Array]()
    for x in X:
        v = 0.9 * v + 0.1 * (late + x) + 0.1 * 0.5
        late = v
        expected.append(v)
    np.testing.assert_allclose(run(convert(text, at()), x=X)["li"], np.array(expected), rtol=1e-12)


def taken(history: list[Array], steps: tuple[int, ...]) -> Array:
    """Each element as it was its number of steps before the step that comes next, 0 before the first."""
    return np.array([history[-n][k] if n <= len(history) else 0.0 for k, n in enumerate(steps)])


@pytest.mark.parametrize("cut", ["neuron", "weight"])
@pytest.mark.parametrize("steps", [(1, 1), (2, 2), (1, 3), (5, 2)])
def test_a_delay_in_a_loop_is_the_cut(convert: Convert, steps: tuple[int, int], cut: str) -> None:
    """No other step is lost on the way, and the bias behind the Delay is there from the first step on."""
    text = graph(neuron("lif", "w", "x"), delay("d", "lif", steps=steps), affine("w", "d"), outputs=("lif", "d"))
    v, z = np.zeros(2), list[Array]()
    late = list[Array]()
    for x in X:
        late.append(taken(z, steps))
        v, spikes = fire(v, W @ late[-1] + BIAS + x)
        z.append(spikes)
    network = convert(text, at(f",rec_cut={cut}"))
    assert cuts(network) == []
    assert len(set(states(network))) == len(states(network))
    result = run(network, x=X)
    assert result["lif"].tolist() == np.array(z).tolist()
    assert result["d"].tolist() == np.array(late).tolist()
    assert 5 < np.sum(z) < 75


def test_a_delay_of_one_step_needs_no_ring(convert: Convert) -> None:
    network = convert(LATE.replace("2.000000000e-03", "1.000000000e-03"), at())
    assert states(network) == ["d.z", "lif.v"]
    assert [op for op in network.body.block.ops if isinstance(op, snn.DelayOp)] == []
    network = convert(LATE, at())
    assert sorted(states(network)) == ["d.ring", "d.z", "lif.v"]


def test_a_delay_that_holds_only_some_neurons_back_is_not_the_cut(convert: Convert) -> None:
    """Its outputs are cut as a neuron's are: they come a step later."""
    v, z = np.zeros(2), list[Array]()
    for x in X:
        v, spikes = fire(v, W @ taken(z, (1, 3)) + BIAS + x)
        z.append(spikes)
    network = convert(PARTLY, at())
    assert cuts(network) == ["'w' -> 'lif'"]
    assert run(network, x=X)["lif"].tolist() == np.array(z).tolist()
    assert np.sum(z) > 5


def test_a_delay_that_holds_only_some_neurons_back_and_a_cut_at_the_weight(convert: Convert) -> None:
    v, z = np.zeros(2), list[Array]()
    for t, x in enumerate(X):
        v, spikes = fire(v, x + (W @ taken(z, (1, 3)) + BIAS if t else 0))
        z.append(spikes)
    network = convert(PARTLY, at(",rec_cut=weight"))
    assert cuts(network) == ["'w' -> 'lif'"]
    assert run(network, x=X)["lif"].tolist() == np.array(z).tolist()


@pytest.mark.parametrize("seconds", [0.0, 4e-4])
def test_a_delay_of_no_steps_is_no_cut(convert: Convert, seconds: float) -> None:
    text = graph(
        neuron("lif", "w", "x"), delay("d", "lif", steps=(1e3 * seconds,) * 2), affine("w", "d"), outputs=("lif",)
    )
    v, z = np.zeros(2), np.zeros(2)
    expected = list[Array]()
    for x in X:
        v, z = fire(v, W @ z + BIAS + x)
        expected.append(z)
    network = convert(text, at())
    assert cuts(network) == ["'w' -> 'lif'"]
    assert states(network) == ["lif.z", "lif.v"]
    assert run(network, x=X)["lif"].tolist() == np.array(expected).tolist()


def test_a_delay_outside_of_loops_is_no_cut_of_them(convert: Convert) -> None:
    """One before a loop, one behind it."""
    text = graph(
        delay("before", "x", steps=(3, 0)),
        neuron("lif", "w", "before"),
        affine("w", "lif"),
        delay("behind", "lif", steps=(1, 2)),
        outputs=("behind", "lif"),
    )
    v, z = np.zeros(2), [np.zeros(2)]
    for t in range(len(X)):
        x = np.array([X[t - 3, 0] if t >= 3 else 0, X[t, 1]])
        v, spikes = fire(v, W @ z[-1] + BIAS + x)
        z.append(spikes)
    spikes = np.array(z[1:])
    network = convert(text, at())
    assert cuts(network) == ["'w' -> 'lif'"]
    result = run(network, x=X)
    assert result["lif"].tolist() == spikes.tolist()
    assert result["behind"][:, 0].tolist() == [0, *spikes[:-1, 0]]
    assert result["behind"][:, 1].tolist() == [0, 0, *spikes[:-2, 1]]


SMALL = W / 4


@pytest.mark.parametrize("steps", [(1, 1), (3, 3), (1, 2)])
def test_a_loop_of_a_delay_and_a_weight(convert: Convert, steps: tuple[int, int]) -> None:
    """A Delay remembers, so no neuron is needed."""
    text = graph(affine("w", "d", "x", weight=SMALL), delay("d", "w", steps=steps), outputs=("w", "d"))
    y, late = list[Array](), list[Array]()
    for x in X:
        late.append(taken(y, steps))
        y.append(SMALL @ (late[-1] + x) + BIAS)
    network = convert(text, at())
    assert cuts(network) == []
    result = run(network, x=X)
    np.testing.assert_allclose(result["w"], np.array(y), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(result["d"], np.array(late), rtol=1e-12, atol=1e-15)


def test_a_delay_that_feeds_itself(convert: Convert) -> None:
    """y(t) = y(t - 2) + x(t - 2): two sums side by side."""
    network = convert(graph(delay("d", "d", "x"), outputs=("d",)), at())
    expected = np.zeros_like(X)
    for t in range(2, len(X)):
        expected[t] = expected[t - 2] + X[t - 2]
    assert cuts(network) == []
    np.testing.assert_allclose(run(network, x=X)["d"], expected, rtol=1e-12)


def test_two_delays_in_a_loop_add_up(convert: Convert) -> None:
    text = graph(
        neuron("lif", "w", "x"),
        delay("d", "lif", steps=(2, 1)),
        delay("e", "d", steps=(1, 1)),
        affine("w", "e"),
        outputs=("lif",),
    )
    v, z = np.zeros(2), list[Array]()
    for x in X:
        v, spikes = fire(v, W @ taken(z, (3, 2)) + BIAS + x)
        z.append(spikes)
    network = convert(text, at())
    assert cuts(network) == []
    assert run(network, x=X)["lif"].tolist() == np.array(z).tolist()


def test_a_loop_beside_one_with_a_delay_is_cut(convert: Convert) -> None:
    """The neuron feeds itself at once, and through a Delay."""
    text = graph(neuron("lif", "lif", "d", "x"), delay("d", "lif", steps=(2, 3)), outputs=("lif",))
    v, z = np.zeros(2), list[Array]()
    for x in X / 4:
        v, spikes = fire(v, taken(z, (1, 1)) + taken(z, (2, 3)) + x)
        z.append(spikes)
    network = convert(text, at())
    assert cuts(network) == ["'lif' -> 'lif'"]
    assert run(network, x=X / 4)["lif"].tolist() == np.array(z).tolist()


SHARED = graph(
    neuron("b", "s", "x"), affine("s", "b", "d", weight=W / 2), delay("d", "b", steps=(2, 2)), outputs=("b",)
)
"""b and a Delay behind it feed one weight; the loop without the Delay is cut at s -> b."""


def test_a_cut_that_a_delay_feeds_carries_its_last_output(convert: Convert) -> None:
    """What a cut carries comes from the last outputs of all that remember, also of a Delay: 2 steps become 3."""
    v, z = np.zeros(2), list[Array]()
    for x in X:
        v, spikes = fire(v, W / 2 @ (taken(z, (1, 1)) + taken(z, (3, 3))) + BIAS + x)
        z.append(spikes)
    network = convert(SHARED, at())
    assert cuts(network) == ["'s' -> 'b'"]
    assert run(network, x=X)["b"].tolist() == np.array(z).tolist()
    assert np.sum(z) > 5


def test_states_have_names_of_their_own(convert: Convert) -> None:
    """A Delay that is a cut and feeds another one: what it gives now, and what it gave at the last step."""
    found = states(convert(SHARED, at()))
    assert len(set(found)) == len(found)


def test_a_delay_that_is_the_cut_takes_no_other(convert: Convert) -> None:
    with pytest.raises(PassFailedException) as raised:
        convert(LATE, at(",rec_cut_at=lif->d"))
    assert str(raised.value) == "rec_cut_at: the edge lif->d leads into a Delay, which is the cut itself"


def test_a_cut_that_was_asked_for_in_a_loop_with_a_delay_is_one_more(convert: Convert) -> None:
    v, z = np.zeros(2), list[Array]()
    for x in X:
        v, spikes = fire(v, W @ taken(z, (3, 3)) + BIAS + x)
        z.append(spikes)
    network = convert(LATE, at(",rec_cut_at=w->lif"))
    assert cuts(network) == ["'w' -> 'lif'"]
    assert run(network, x=X)["lif"].tolist() == np.array(z).tolist()


def test_a_loop_of_a_weight_and_a_delay_of_no_steps_has_no_state(convert: Convert) -> None:
    text = graph(affine("w", "d", "x"), delay("d", "w", steps=(0.25, 0)), outputs=("w",))
    with pytest.raises(PassFailedException, match=r"the loop '(d|w)' -> '(d|w)' -> '(d|w)' has no node with state"):
        convert(text, at())


def test_a_delay_of_graded_values_and_one_of_spikes(convert: Convert) -> None:
    """The Delay of a loop knows before its input is there whether that will be spikes."""
    leaky = "tau = dense<0.01> : tensor<f64>, r = dense<1.0> : tensor<f64>, v_leak = dense<0.0> : tensor<f64>"
    for source, label in ((neuron("n", "d", "x"), "d.z"), (joined("n", "li", leaky, ("d", "x")), "d.out")):
        for steps in ((1, 1), (3, 3)):
            network = convert(graph(source, delay("d", "n", steps=steps), outputs=("n",)), at())
            assert label in states(network)
            assert cuts(network) == []


def test_a_delay_of_a_sum_of_spikes_is_graded(convert: Convert) -> None:
    text = graph(neuron("a", "d", "x"), neuron("b", "d", "x"), delay("d", "a", "b", steps=(2, 2)), outputs=("a", "d"))
    v, z = np.zeros(2), list[Array]()
    for x in X / 4:
        v, spikes = fire(v, 2 * taken(z, (2, 2)) + x)
        z.append(spikes)
    network = convert(text, at())
    assert "d.out" in states(network)
    assert run(network, x=X / 4)["a"].tolist() == np.array(z).tolist()
