"""`snn-carry-products`: products of last step's spikes become states; the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

import nirc
from nirc.dialects import snn
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.snn_carry_products import SnnCarryProductsPass

EXAMPLES = Path(__file__).parents[2] / "examples"
Parse = Callable[[str], ModuleOp]

TEXT = """
snn.network @main attributes {inputs = ["x"], outputs = ["y"],
    states = [#snn.state<"n", "z", dense<INIT> : tensor<i1>>, #snn.state<"n", "v", dense<0.0> : tensor<f32>>]} {
^bb0(%x: tensor<2xf32>, %z: tensor<2xi1>, %v: tensor<2xf32>):
%r = snn.linear %z {weight = dense<[[0.5, -1.0], [0.25, 0.75]]> : tensor<2x2xf32>, node = "r"}
    : (tensor<2xi1>) -> tensor<2xf32>
%s = snn.sum %x, %r : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
%w = snn.filter %s, %v {decay = dense<0.75> : tensor<f32>, gain = dense<1.0> : tensor<f32>, node = "n"}
    : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
%y = snn.fire %w {threshold = dense<1.0> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
%u = snn.reset %w, %y {kind = "subtract", amount = dense<1.0> : tensor<f32>, node = "n"}
    : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
snn.yield %y, %y, %u : tensor<2xi1>, tensor<2xi1>, tensor<2xf32>
}
"""


def network_of(module: ModuleOp) -> snn.NetworkOp:
    return next(op for op in module.ops if isinstance(op, snn.NetworkOp))


def carried(module: ModuleOp) -> snn.NetworkOp:
    """A copy after the pass."""
    copy = module.clone()
    SnnCarryProductsPass().apply(Context(), copy)
    copy.verify()
    return network_of(copy)


def test_the_product_reads_the_spikes_of_this_step(parse: Parse) -> None:
    module = parse(TEXT.replace("INIT", "false"))
    network = carried(module)
    assert [state.label for state in network.states] == ["n.z", "n.v", "r.sums"]
    product = next(op for op in network.body.block.ops if isinstance(op, snn.LinearOp))
    assert isinstance(product.input.owner, snn.FireOp)
    assert network.next_values[-1] is product.output
    assert not list(network.state_args[0].uses)
    x = {"x": np.random.default_rng(0).normal(0.5, 1, (50, 3, 2)).astype(np.float32)}
    expected = SnnEvaluator(network_of(module), 3, ("n.v",)).run(x)
    found = SnnEvaluator(network, 3, ("n.v",)).run(x)
    assert 20 < expected["y"].sum() < 280
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)


def test_spikes_before_the_first_step_stay_where_they_are(parse: Parse) -> None:
    module = parse(TEXT.replace("INIT", "true"))
    assert str(carried(module).parent_op()) == str(module)


def test_a_name_that_is_taken_is_not_taken_again(parse: Parse) -> None:
    module = parse(TEXT.replace("INIT", "false").replace('"n", "v"', '"r", "sums"'))
    assert [state.label for state in carried(module).states] == ["n.z", "r.sums"]


@pytest.mark.parametrize("model", ["digits_recurrent", "gestures"])
def test_examples_compute_the_same(model: str) -> None:
    program = nirc.compile(EXAMPLES / f"{model}.nir", dt=1e-3)
    network = network_of(program.module)
    record = tuple(state.label for state in network.states if not state.label.endswith(".ring"))
    rng = np.random.default_rng(1)
    x = {name: (rng.random((40, 2, *shape)) < 0.3).astype(np.float32) for name, shape in program.inputs.items()}
    expected = SnnEvaluator(network, 2, record).run(x)
    after = carried(program.module)
    if model == "digits_recurrent":
        assert len(after.states) > len(network.states)
    found = SnnEvaluator(after, 2, record).run(x)
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
