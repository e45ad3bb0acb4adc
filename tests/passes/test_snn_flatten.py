"""Images become vectors: the same rasters, row by row, from the flattened network as from the one before."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

import nirc
from nirc.dialects import snn
from nirc.dialects.dense import Array, dense
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.snn_flatten import SnnFlattenPass
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass

sys.path.append(str(Path(__file__).parents[1]))
from test_random_graphs import Size, random_network, scheme, write

Parse = Callable[[str], ModuleOp]
IMAGES = {"Conv1d", "Conv2d", "SumPool2d", "AvgPool2d"}


def network(module: ModuleOp) -> snn.NetworkOp:
    (op,) = module.ops
    assert isinstance(op, snn.NetworkOp)
    return op


def flattened(ctx: Context, module: ModuleOp) -> ModuleOp:
    """A verified copy after the pass, in which every value is a vector and nothing is a convolution or a pool."""
    flat = module.clone()
    SnnFlattenPass().apply(ctx, flat)
    flat.verify()
    op = network(flat)
    rings = {each.ring for each in op.body.block.ops if isinstance(each, snn.DelayOp)}
    rings |= {each.next for each in op.body.block.ops if isinstance(each, snn.DelayOp)}
    values = [*op.body.block.args, *(result for each in op.body.block.ops for result in each.results)]
    assert all(len(snn.tensor_of(value).get_shape()) == (2 if value in rings else 1) for value in values)
    assert not any(isinstance(each, snn.ConvOp | snn.PoolOp | snn.ReshapeOp) for each in op.body.block.ops)
    return flat


def run_both(ctx: Context, module: ModuleOp, rasters: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Outputs of both networks on rasters [T, B, ...], with the axes of the first."""
    batch = next(iter(rasters.values())).shape[1]
    before = SnnEvaluator(network(module), batch).run(rasters)
    rows = {name: np.ascontiguousarray(r).reshape(*r.shape[:2], -1) for name, r in rasters.items()}
    after = SnnEvaluator(network(flattened(ctx, module)), batch).run(rows)
    assert before.keys() == after.keys()
    assert all(after[name].ndim == 3 for name in after)
    return before, {name: values.reshape(before[name].shape) for name, values in after.items()}


# Random networks over all of NIR


def test_random_networks(ctx: Context, tmp_path: Path) -> None:
    """Every primitive and shape, several inputs and outputs, loops, delays per element, thresholds per pixel."""
    seen, spikes = Counter[str](), 0
    for number in range(150):
        rng = np.random.default_rng((77, number))
        drawn = random_network(lambda low, high, rng=rng: int(rng.integers(low, high + 1)), rng, Size(7, 3, 1))
        if drawn is None:
            continue
        write(tmp_path / "network.nir", drawn.graph)
        chosen = drawn.choices
        options: dict[str, Any] = {"dt": chosen.dt, "scheme": scheme(chosen), "reset": chosen.reset}
        module = nirc.compile(tmp_path / "network.nir", **options, precision="f64").module
        before, after = run_both(ctx, module, drawn.rasters)
        for name, values in before.items():
            np.testing.assert_allclose(
                after[name].astype(float), values.astype(float), rtol=1e-9, atol=1e-9, err_msg=f"network {number}"
            )
            spikes += int(np.count_nonzero(values))
        seen.update(op.name for op in network(module).body.block.ops)
        seen.update(
            f"{op.name} of a {len(snn.tensor_of(op.results[0]).get_shape())}-axis value"
            for op in network(module).body.block.ops
            if op.results
        )
        seen.update(drawn.features)
    assert spikes > 5000
    wanted = ("snn.conv", "snn.pool", "snn.reshape", "snn.delay", "snn.linear", "snn.fire", "snn.reset", "snn.filter")
    wanted += (
        "stride",
        "dilation",
        "groups",
        "padding number",
        "padding same",
        "padded pool",
        "Delay for each element",
    )
    wanted += ("snn.fire of a 3-axis value", "snn.delay of a 3-axis value", "snn.filter of a 2-axis value")
    assert {name: seen[name] for name in wanted if seen[name] < 10} == {}


# Convolutions and pools of whole numbers: exact, and against plain loops


def conv(shape: tuple[int, ...], weight: Array, stride: int, padding: int, dilation: int, groups: int) -> str:
    """A network of one convolution, f32."""
    height, width = (
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel in zip(shape[1:], weight.shape[2:], strict=True)
    )
    before, after = "x".join(map(str, shape)), f"{len(weight)}x{height}x{width}"
    return f"""snn.network @main attributes {{inputs = ["x"], outputs = ["y"], states = []}} {{
    ^bb0(%x: tensor<{before}xf32>):
      %y = snn.conv %x {{weight = {dense(weight.astype(np.float32))}, stride = array<i64: {stride}, {stride}>,
        padding = array<i64: {padding}, {padding}, {padding}, {padding}>, dilation = array<i64: {dilation}, {dilation}>,
        groups = {groups} : i64, node = "conv"}} : (tensor<{before}xf32>) -> tensor<{after}xf32>
      snn.yield %y : tensor<{after}xf32>
    }}"""


def convolution(x: Array, weight: Array, stride: int, padding: int, dilation: int, groups: int) -> Array:
    """y[o, i, j] = sum over c, k, l of weight[o, c, k, l] x[g(o) + c, s i + d k - p, s j + d l - p], in loops."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    out, per_group, height, width = weight.shape
    rows = (x.shape[1] - dilation * (height - 1) - 1) // stride + 1
    columns = (x.shape[2] - dilation * (width - 1) - 1) // stride + 1
    y: Array = np.zeros((out, rows, columns))
    for o, i, j in np.ndindex(y.shape):
        first = o // (out // groups) * per_group
        for c, k, m in np.ndindex(weight.shape[1:]):
            y[o, i, j] += weight[o, c, k, m] * x[first + c, stride * i + dilation * k, stride * j + dilation * m]
    return y


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 0, 1), (1, 2, 1), (1, 1, 2), (2, 1, 2)])
def test_a_convolution_of_whole_numbers_is_exact(
    ctx: Context, parse: Parse, stride: int, padding: int, dilation: int, groups: int
) -> None:
    rng = np.random.default_rng(stride + 10 * padding + 100 * dilation)
    shape = (4, 6, 5)
    weight = rng.integers(-5, 6, (6, 4 // groups, 2, 3)).astype(float)
    module = parse(conv(shape, weight, stride, padding, dilation, groups))
    raster = rng.integers(-3, 4, (5, 2, *shape)).astype(np.float32)
    before, after = run_both(ctx, module, {"x": raster})
    assert np.array_equal(before["y"], after["y"])
    for t, sample in np.ndindex(5, 2):
        expected = convolution(raster[t, sample].astype(float), weight, stride, padding, dilation, groups)
        assert np.array_equal(after["y"][t, sample], expected)


def test_the_matrix_of_a_convolution(ctx: Context, parse: Parse) -> None:
    """A 1x3 image and the taps 2, 5: [2 5 0; 0 2 5]."""
    module = flattened(ctx, parse(conv((1, 1, 3), np.array([[[[2.0, 5.0]]]]), 1, 0, 1, 1)))
    (linear,) = [op for op in network(module).body.block.ops if isinstance(op, snn.LinearOp)]
    assert linear.node is not None
    assert linear.node.data == "conv"
    assert np.array_equal(np.frombuffer(linear.weight.data.data, np.float32).reshape(2, 3), [[2, 5, 0], [0, 2, 5]])


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (2, 1, 0), (3, 2, 1)])
def test_a_pool_of_whole_numbers_is_exact(ctx: Context, parse: Parse, kernel: int, stride: int, padding: int) -> None:
    size = (6 + 2 * padding - kernel) // stride + 1
    module = parse(
        f"""snn.network @main attributes {{inputs = ["x"], outputs = ["y"], states = []}} {{
        ^bb0(%x: tensor<2x6x6xf32>):
          %y = snn.pool %x {{kernel = array<i64: {kernel}, {kernel}>, stride = array<i64: {stride}, {stride}>,
            padding = array<i64: {padding}, {padding}, {padding}, {padding}>, node = "pool"}}
            : (tensor<2x6x6xf32>) -> tensor<2x{size}x{size}xf32>
          snn.yield %y : tensor<2x{size}x{size}xf32>
        }}"""
    )
    raster = np.random.default_rng(kernel).integers(-3, 4, (5, 2, 2, 6, 6)).astype(np.float32)
    before, after = run_both(ctx, module, {"x": raster})
    assert np.array_equal(before["y"], after["y"])
    ones = np.zeros((2, 2, kernel, kernel))
    ones[[0, 1], [0, 1]] = 1
    assert np.array_equal(after["y"][0, 0], convolution(raster[0, 0].astype(float), ones, stride, padding, 1, 1))


# A small image network down to the text


SMALL = """snn.network @main attributes {inputs = ["image"], outputs = ["y"], scheme = "nir-euler", states = [
  #snn.state<"lif", "v", dense<[[[0.0, 0.5], [1.0, 1.5]]]> : tensor<1x2x2xf32>>,
  #snn.state<"late", "ring", dense<false> : tensor<i1>>]} {
^bb0(%image: tensor<1x3x3xi1>, %v: tensor<1x2x2xf32>, %ring: tensor<2x1x2x2xi1>):
  %conv = snn.conv %image {weight = dense<[[[[1.0, 2.0], [3.0, 4.0]]]]> : tensor<1x1x2x2xf32>,
    stride = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64,
    node = "conv"} : (tensor<1x3x3xi1>) -> tensor<1x2x2xf32>
  %v1 = snn.filter %conv, %v {decay = dense<0.5> : tensor<f32>, gain = dense<1.0> : tensor<f32>, node = "lif"}
    : (tensor<1x2x2xf32>, tensor<1x2x2xf32>) -> tensor<1x2x2xf32>
  %z = snn.fire %v1 {threshold = dense<[[[4.0, 5.0], [6.0, 7.0]]]> : tensor<1x2x2xf32>, compare = ">", node = "lif"}
    : (tensor<1x2x2xf32>) -> tensor<1x2x2xi1>
  %v2 = snn.reset %v1, %z {kind = "subtract", amount = dense<[[[4.0, 5.0], [6.0, 7.0]]]> : tensor<1x2x2xf32>,
    node = "lif"} : (tensor<1x2x2xf32>, tensor<1x2x2xi1>) -> tensor<1x2x2xf32>
  %late, %ring1 = snn.delay %z, %ring {steps = dense<[[[1, 2], [2, 0]]]> : tensor<1x2x2xi32>, node = "late"}
    : (tensor<1x2x2xi1>, tensor<2x1x2x2xi1>) -> (tensor<1x2x2xi1>, tensor<2x1x2x2xi1>)
  %flat = snn.reshape %late {node = "flat"} : (tensor<1x2x2xi1>) -> tensor<4xi1>
  snn.yield %flat, %v2, %ring1 : tensor<4xi1>, tensor<1x2x2xf32>, tensor<2x1x2x2xi1>
}
"""


def test_golden(ctx: Context, parse: Parse, golden: Callable[[str], None]) -> None:
    golden(f"{flattened(ctx, parse(SMALL))!s}\n")


def test_thresholds_delays_and_states_per_pixel(ctx: Context, parse: Parse) -> None:
    raster: Array = np.random.default_rng(0).random((80, 3, 1, 3, 3)) < 0.3
    before, after = run_both(ctx, parse(SMALL), {"image": raster})
    assert 100 < before["y"].sum() < 900
    assert np.array_equal(before["y"], after["y"])


def test_names_stay(ctx: Context, parse: Parse) -> None:
    """Nodes are recorded under the names that they had."""
    flat = flattened(ctx, parse(SMALL))
    raster: Array = np.ones((10, 1, 9), bool)
    got = SnnEvaluator(network(flat), 1, ("lif.v", "lif.spikes")).run({"image": raster})
    assert got["lif.v"].shape == got["lif.spikes"].shape == (10, 1, 4)


VECTORS = """snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {
^bb0(%x: tensor<3xf32>):
  %y = snn.scale %x {factor = dense<2.0> : tensor<f32>} : (tensor<3xf32>) -> tensor<3xf32>
  snn.yield %y : tensor<3xf32>
}
"""


def test_vectors_are_left_alone(ctx: Context, parse: Parse) -> None:
    module = parse(VECTORS)
    before = str(module)
    SnnFlattenPass().apply(ctx, module)
    assert str(module) == before


def test_flattening_twice_changes_nothing(ctx: Context, parse: Parse) -> None:
    module = flattened(ctx, parse(SMALL))
    once = str(module)
    SnnFlattenPass().apply(ctx, module)
    assert str(module) == once


# What is refused


def test_large_images_are_refused_by_name(ctx: Context, parse: Parse) -> None:
    """Together, and before anything changes; 1000 values at each end are the last that fit."""
    kernel = np.ones((1, 1, 1, 1))
    module = parse(conv((1, 40, 26), kernel, 1, 0, 1, 1))
    before = str(module)
    with pytest.raises(PassFailedException) as refused:
        SnnFlattenPass().apply(ctx, module)
    assert str(refused.value) == (
        "node 'conv': unrolled to a matrix it has 1040 values (1x40x26) at one end, the chip's neurons are 1000 at "
        "most; take smaller images, fewer channels or a larger stride, or a chip with convolutions"
    )
    assert str(module) == before
    flattened(ctx, parse(conv((1, 40, 25), kernel, 1, 0, 1, 1)))


def test_the_larger_end_counts(ctx: Context, parse: Parse) -> None:
    """100 values become 10 channels of 11x11."""
    with pytest.raises(PassFailedException, match=r"it has 1210 values \(10x11x11\) at one end"):
        SnnFlattenPass().apply(ctx, parse(conv((1, 10, 10), np.ones((10, 1, 2, 2)), 1, 1, 1, 1)))


# Down to Xylo


def image_model(path: Path, side: int = 4) -> Path:
    """A 1x4x4 image, a convolution of 2 channels, spiking pixels of two thresholds, a pool, a readout of 3."""
    text, rng = h5py.string_dtype(), np.random.default_rng(0)
    pixels = (2, side, side)
    threshold = np.ones(pixels)
    threshold[1] = 1.5
    cuba: dict[str, Any] = {"type": "CubaLIF"}

    def neurons(shape: tuple[int, ...], threshold: Array) -> dict[str, Any]:
        values = {"tau_mem": 8e-3, "tau_syn": 4e-3, "r": 8.0, "w_in": 4.0, "v_leak": 0.0}
        return cuba | {name: np.full(shape, value) for name, value in values.items()} | {"v_threshold": threshold}

    nodes: dict[str, dict[str, Any]] = {
        "input": {"type": "Input", "shape": np.array([1, side, side])},
        "conv": {
            "type": "Conv2d",
            "weight": rng.uniform(0, 0.4, (2, 1, 3, 3)),
            "stride": [1, 1],
            "padding": [1, 1],
            "dilation": [1, 1],
            "groups": 1,
            "bias": np.zeros(2),
        },
        "lif1": neurons(pixels, threshold),
        "pool": {"type": "SumPool2d", "kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0]},
        "flat": {"type": "Flatten", "start_dim": 0, "end_dim": -1},
        "fc": {"type": "Linear", "weight": rng.uniform(-0.1, 0.3, (3, side * side // 2))},
        "lif2": neurons((3,), np.ones(3)),
        "output": {"type": "Output", "shape": np.array([3])},
    }
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=text)
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=text)
        names = list(nodes)
        graph.create_dataset("edges", data=np.array(list(pairwise(names)), dtype=object), dtype=text)
        group = graph.create_group("nodes")
        for name, fields in nodes.items():
            node = group.create_group(name)
            for key, value in fields.items():
                node.create_dataset(key, data=value, dtype=text if isinstance(value, str) else None)
    return path


def test_an_image_network_runs_on_xylo(ctx: Context, tmp_path: Path) -> None:
    """16 pixels, 32 hidden neurons; conv and pool are matrices, and most spikes are those of the images' network."""
    model = image_model(tmp_path / "model.nir")
    program = nirc.compile(model, "xylo")
    (op,) = program.module.ops
    raster: Array = (np.random.default_rng(1).random((400, 16)) < 0.08).astype(np.uint8)
    real = nirc.compile(model, dt=1e-3, scheme="nir-euler,reset=subtract,v_init=0")
    keys = ("lif1.spikes",)
    wanted = real.run(raster.reshape(400, 1, 4, 4), record=keys)["lif1.spikes"].reshape(400, 32).astype(int)
    got = program.run(raster, record=keys)
    found = got["lif1.spikes"].astype(int)
    assert wanted.sum() > 300
    assert 2 * int(np.minimum(wanted, found).sum()) / int(wanted.sum() + found.sum()) > 0.8
    weights = network_of_xylo(op)
    lit = weights.reshape(4, 4, 2, 4, 4) != 0
    assert lit[1, 1, 0, 0:3, 0:3].all(), "a pixel reaches the 3x3 pixels around it"
    assert not lit[1, 1, 0, 3].any()


def network_of_xylo(op: Any) -> Array:
    """The weights of the inputs, [pixel, neuron]."""
    weights: Array = op.input.numbers("weights")[:, :, 0]
    return weights


def test_the_way_to_xylo_folds_what_was_flattened(ctx: Context, tmp_path: Path) -> None:
    """conv is one matrix, and pool with fc one more."""
    module = nirc.compile(image_model(tmp_path / "model.nir"), dt=1e-3).module
    SnnFlattenPass().apply(ctx, module)
    SnnFoldLinearPathsPass().apply(ctx, module)
    module.verify()
    shapes = [op.weight.get_shape() for op in network(module).body.block.ops if isinstance(op, snn.LinearOp)]
    assert shapes == [(32, 16), (3, 32)]


def test_too_large_an_image_is_refused_on_the_way_to_xylo(tmp_path: Path) -> None:
    with pytest.raises(PassFailedException, match=r"node 'conv': unrolled to a matrix it has 1152 values \(2x24x24\)"):
        nirc.compile(image_model(tmp_path / "model.nir", 24), "xylo")
