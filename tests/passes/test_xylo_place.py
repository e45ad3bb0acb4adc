"""Placement: matrices are cut to what the chip reaches, where nothing but zeros is cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import xylo
from nirc.dialects.dense import Array, dense
from nirc.interpreters.xylo import XyloEvaluator
from nirc.passes.xylo_check_limits import XyloCheckLimitsPass
from nirc.passes.xylo_place import XyloPlacePass

REACHING_ALL = ("v1", "audio2")
REACHING_128 = ("audio3", "imu")


def module_of(chip: str, sizes: dict[str, int], reads_input: Array, feeds_readout: Array) -> ModuleOp:
    """Hidden layers of those sizes, each fully weighted with 1 from the inputs where `reads_input`, each neuron to the
    readout where `feeds_readout`, and neuron n to n + 1."""
    n = sum(sizes.values())
    inputs = np.zeros((2, n, 1), np.int32)
    inputs[:, reads_input] = 40
    outputs = np.zeros((n, 2), np.int32)
    outputs[feeds_readout] = [30, 50]

    def each(value: int, shape: tuple[int, ...]) -> Array:
        return np.full(shape, value, np.int32)

    body = Block(
        [
            xylo.InputOp({"x": 2}, dense(inputs)),
            xylo.HiddenOp(
                sizes,
                dense(np.eye(n, k=1, dtype=np.int32)[:, :, None] * 90),
                dense(each(3, (n,))),
                dense(each(2, (n, 1))),
                dense(each(60, (n,))),
                dense(each(0, (n,))),
            ),
            xylo.ReadoutOp(
                {"o": 2},
                ["y"],
                dense(outputs),
                dense(each(3, (2,))),
                dense(each(2, (2,))),
                dense(each(60, (2,))),
                dense(each(0, (2,))),
            ),
        ]
    )
    module = ModuleOp([xylo.NetworkOp("main", chip, Region(body))])
    module.verify()
    return module


def network(module: ModuleOp) -> xylo.NetworkOp:
    (op,) = module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def shapes(module: ModuleOp) -> tuple[tuple[int, ...], tuple[int, ...]]:
    op = network(module)
    return op.input.numbers("weights").shape, op.readout.numbers("weights").shape


@pytest.fixture
def place(ctx: Context) -> Callable[[ModuleOp], ModuleOp]:
    def run(module: ModuleOp) -> ModuleOp:
        XyloPlacePass().apply(ctx, module)
        module.verify()
        return module

    return run


Place = Callable[[ModuleOp], ModuleOp]


@pytest.mark.parametrize("chip", REACHING_128)
def test_a_chain_of_layers_is_cut(ctx: Context, place: Place, chip: str) -> None:
    """100 neurons read the input, another 100 feed the readout: 2 x 128 and 128 x 2 hold them all."""
    n = np.arange(200)
    module = place(module_of(chip, {"g": 100, "h": 100}, n < 100, n >= 100))
    assert shapes(module) == ((2, 128, 1), (128, 2))
    weights_in, weights_out = network(module).input.numbers("weights"), network(module).readout.numbers("weights")
    assert np.array_equal(weights_in[0, :, 0], np.where(np.arange(128) < 100, 40, 0))
    assert np.array_equal(weights_out[:, 1], np.where(np.arange(72, 200) >= 100, 50, 0))
    XyloCheckLimitsPass().apply(ctx, module)


@pytest.mark.parametrize("chip", REACHING_128)
def test_a_placed_network_spikes_as_before(place: Place, chip: str) -> None:
    n = np.arange(200)
    module = module_of(chip, {"g": 100, "h": 100}, n < 100, n >= 100)
    raster: Array = np.random.default_rng(2).integers(0, 2, (150, 1, 2))
    before = XyloEvaluator(network(module), 1, ("h.spikes", "o.v")).run({"x": raster})
    after = XyloEvaluator(network(place(module)), 1, ("h.spikes", "o.v")).run({"x": raster})
    assert before["y"].sum() > 10
    assert before["h.spikes"].sum() > 10
    assert all(np.array_equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("chip", REACHING_128)
def test_the_last_row_and_column_within_reach_count(place: Place, chip: str) -> None:
    n = np.arange(200)
    assert shapes(place(module_of(chip, {"h": 200}, n < 128, n >= 72))) == ((2, 128, 1), (128, 2))
    assert shapes(place(module_of(chip, {"h": 200}, n < 129, n >= 72))) == ((2, 200, 1), (128, 2))
    assert shapes(place(module_of(chip, {"h": 200}, n < 128, n >= 71))) == ((2, 128, 1), (200, 2))


@pytest.mark.parametrize("chip", REACHING_128)
def test_weights_out_of_reach_stay_and_are_named(ctx: Context, place: Place, chip: str) -> None:
    n = np.arange(200)
    module = place(module_of(chip, {"g": 100, "h": 100}, n < 130, n >= 70))
    assert shapes(module) == ((2, 200, 1), (200, 2))
    with pytest.raises(PassFailedException) as refused:
        XyloCheckLimitsPass().apply(ctx, module)
    assert str(refused.value).splitlines() == [
        f"xylo {chip}: inputs reach neuron 28 of 'h' and at 1 more, on the chip only the first 128 hidden neurons; "
        "let at most 128 neurons read the input",
        f"xylo {chip}: the readout reads neuron 70 of 'g' and at 1 more, on the chip only the last 128 hidden neurons; "
        "let at most 128 neurons feed it",
    ]


@pytest.mark.parametrize("chip", REACHING_128)
@pytest.mark.parametrize("size", [1, 127, 128])
def test_small_populations_keep_their_size(place: Place, chip: str, size: int) -> None:
    n = np.arange(size)
    assert shapes(place(module_of(chip, {"h": size}, n >= 0, n >= 0))) == ((2, size, 1), (size, 2))


@pytest.mark.parametrize("chip", REACHING_ALL)
def test_chips_that_reach_all_are_left_alone(place: Place, chip: str) -> None:
    n = np.arange(200)
    module = module_of(chip, {"g": 100, "h": 100}, n < 100, n >= 100)
    text = str(module)
    assert str(place(module)) == text


def test_placing_twice_changes_nothing(place: Place) -> None:
    n = np.arange(200)
    module = place(module_of("audio3", {"g": 100, "h": 100}, n < 100, n >= 100))
    text = str(module)
    assert str(place(module)) == text


def test_golden(place: Place, golden: Callable[[str], None]) -> None:
    """Numbers of a module small enough to read are left whole."""
    n = np.arange(3)
    golden(f"{place(module_of('imu', {'g': 1, 'h': 2}, n < 1, n >= 1))!s}\n")
