"""How compiled programs behave: states, batches, rasters of every layout and type, bad calls, threads, memory."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.backends.cpu.run import CpuEvaluator
from nirc.dialects.dense import Array
from nirc.driver import Program

sys.path.append(str(Path(__file__).parent))
from same_results import Pair, assert_same, events, graded, recordable

GESTURES = Path(__file__).parents[3] / "examples" / "gestures.nir"
STEPS = 60


def numbers(values: Any) -> str:
    held = np.asarray(values, float)
    return f"dense<{held.tolist()}> : tensor<{''.join(f'{n}x' for n in held.shape)}f64>"


def fields(**values: Any) -> str:
    return ", ".join(f"{name} = {numbers(value)}" for name, value in values.items())


WEIGHT = np.random.default_rng(1).uniform(-0.5, 1, (3, 8))
BACK = np.random.default_rng(2).uniform(-0.6, 0.3, (3, 3))
KERNEL = np.random.default_rng(3).uniform(-0.5, 1, (2, 2, 3, 3))
IMAGE, SMALL, FLAT, ROW = "!nir.signal<2x4x5>", "!nir.signal<2x2x2>", "!nir.signal<8>", "!nir.signal<3>"

MODEL = f"""
nir.graph @main attributes {{inputs = ["a", "b"], outputs = ["y", "image", "v"]}} {{
^bb0(%a: {ROW}, %b: {IMAGE}):
%c = nir.conv2d "c"(%b) {{stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>,
    groups = 1 : i64, {fields(weight=KERNEL, bias=[0.1, -0.1])}}} : ({IMAGE}) -> {IMAGE}
%n = nir.if "n"(%c) {{{fields(r=0.8, v_threshold=1.0, v_reset=-0.25)}}} : ({IMAGE}) -> {IMAGE}
%p = nir.sum_pool2d "p"(%n) {{kernel_size = array<i64: 2, 2>, stride = array<i64: 2, 2>,
    padding = array<i64: 0, 0>}} : ({IMAGE}) -> {SMALL}
%f = nir.flatten "f"(%p) {{start_dim = 0 : i64, end_dim = -1 : i64}} : ({SMALL}) -> {FLAT}
%w = nir.linear "w"(%f) {{{fields(weight=WEIGHT)}}} : ({FLAT}) -> {ROW}
%r = nir.linear "r"(%l) {{{fields(weight=BACK)}}} : ({ROW}) -> {ROW}
%s = nir.sum %w, %a, %r : ({ROW}, {ROW}, {ROW}) -> {ROW}
%l = nir.cuba_lif "l"(%s) {{{
    fields(tau_mem=[0.4, 0.5, 0.9], tau_syn=0.3, r=1.5, w_in=1.1, v_leak=0.05, v_threshold=[0.9, 1.0, 1.1], v_reset=0.0)
}}} : ({ROW}) -> {ROW}
%d = nir.delay "d"(%l) {{{fields(delay=[0.1, 0.3, 0.0])}}} : ({ROW}) -> {ROW}
%o = nir.li "o"(%d) {{{fields(tau=0.5, r=1.0, v_leak=0.0)}}} : ({ROW}) -> {ROW}
nir.yield %l, %n, %o : {ROW}, {IMAGE}, {ROW}
}}
"""
"""Two inputs, three outputs, an image, a loop, a delay: everything that has a layout or a state."""

OPTIONS: dict[str, Any] = {"dt": 0.1, "scheme": "nir-euler,if_gain=r", "reset": "v_reset"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.mlir"
    path.write_text(MODEL)
    return path


@pytest.fixture
def program(model: Path) -> Program:
    return nirc.compile(model, "cpu", **OPTIONS)


@pytest.fixture
def pair(model: Path) -> Pair:
    return Pair(model, **OPTIONS)


Rasters = dict[str, Array]
RNG = np.random.default_rng(11)
BATCH: Rasters = {"a": events(RNG, STEPS, 4, 3), "b": events(RNG, STEPS, 4, 2, 4, 5)}
SINGLE: Rasters = {name: values[:, 0] for name, values in BATCH.items()}


def as_type(rasters: Rasters, dtype: Any) -> Rasters:
    return {name: values.astype(dtype) for name, values in rasters.items()}


# Numbers by a formula of this file


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_lif_layer_by_hand(tmp_path: Path, dtype: type[np.floating[Any]]) -> None:
    """v' = a v + g s, fires above the threshold, falls to v_reset; each operation rounded by itself, in this order."""
    path = tmp_path / "model.mlir"
    weight = np.random.default_rng(5).uniform(-0.4, 1, (2, 3)).astype(np.float32)
    tau, r = np.array([0.4, 0.9]), 2.0
    path.write_text(
        'nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {\n'
        f"^bb0(%x: {ROW}):\n"
        f'%w = nir.linear "w"(%x) {{{fields(weight=weight)}}} : ({ROW}) -> !nir.signal<2>\n'
        f'%n = nir.lif "n"(%w) {{{fields(tau=tau, r=r, v_leak=0.0, v_threshold=1.0, v_reset=-0.5)}}}'
        " : (!nir.signal<2>) -> !nir.signal<2>\nnir.yield %n : !nir.signal<2>\n}\n"
    )
    x = events(np.random.default_rng(6), 200, 3)
    decay = (1 - 0.1 / tau).astype(dtype)
    gain = (r * (1 - (1 - 0.1 / tau))).astype(dtype)
    v, spikes, states = np.zeros(2, dtype), np.zeros((200, 2), bool), np.zeros((200, 2), dtype)
    for t in range(200):
        for n in range(2):
            total = dtype(0)
            for m in range(3):
                if x[t, m]:
                    total = dtype(total + dtype(dtype(weight[n, m]) * dtype(x[t, m])))
            v[n] = dtype(dtype(decay[n] * v[n]) + dtype(gain[n] * total))
            spikes[t, n] = v[n] > 1
            v[n] = dtype(-0.5) if spikes[t, n] else v[n]
        states[t] = v
    precision = "f32" if dtype is np.float32 else "f64"
    program = nirc.compile(path, "cpu", dt=0.1, scheme="nir-euler", reset="v_reset", precision=precision)
    for values in (x, x.astype(float)):
        results = program.run({"x": values}, ("n.v",))
        assert 20 < spikes.sum() < 200
        assert results["y"].tolist() == spikes.tolist()
        assert results["n.v"].dtype == dtype
        np.testing.assert_allclose(results["n.v"], states, rtol=0 if dtype is np.float32 else 1e-15, atol=0)


def test_the_model_of_these_tests_lives(pair: Pair) -> None:
    results = pair.run(BATCH)
    for name in ("y", "image", "l.spikes", "n.spikes"):
        assert 0.02 < results[name].mean() < 0.6
    assert results["image"].shape == (STEPS, 4, 2, 4, 5)
    assert np.abs(results["v"]).max() > 0.1


# States


def test_a_run_in_pieces_is_one_run(pair: Pair) -> None:
    whole = pair.run(SINGLE)
    for cuts in ([1, 2, 3], [17, 40], list(range(1, STEPS))):
        pieces = list[dict[str, Array]]()
        for start, end in zip([0, *cuts], [*cuts, STEPS], strict=True):
            part = {name: values[start:end] for name, values in SINGLE.items()}
            pieces.append(pair.kernel.run(part, pair.record, keep_state=start > 0))
        assert_same({name: np.concatenate([piece[name] for piece in pieces]) for name in whole}, whole)


def test_states_go_on_from_bytes_to_numbers(pair: Pair) -> None:
    """The kernels for either kind of raster share their states."""
    whole = pair.run(SINGLE)
    first = pair.kernel.run({name: values[:25] for name, values in SINGLE.items()}, pair.record)
    rest = as_type({name: values[25:] for name, values in SINGLE.items()}, np.float64)
    second = pair.kernel.run(rest, pair.record, keep_state=True)
    assert_same({name: np.concatenate([first[name], second[name]]) for name in whole}, whole)


def test_batches_go_on_in_pieces(pair: Pair) -> None:
    whole = pair.run(BATCH)
    parts = [{name: values[t] for name, values in BATCH.items()} for t in (slice(0, 9), slice(9, None))]
    found = [pair.kernel.run(part, pair.record, keep_state=n > 0) for n, part in enumerate(parts)]
    assert_same({name: np.concatenate([piece[name] for piece in found]) for name in whole}, whole)


def test_a_run_begins_anew(program: Program) -> None:
    first = program.run(SINGLE)
    kept = {name: values.copy() for name, values in first.items()}
    assert_same(program.run(SINGLE), kept)
    assert_same(first, kept)  # results are not the memory of the next run


def test_no_steps(pair: Pair) -> None:
    results = pair.kernel.run({name: values[:0] for name, values in BATCH.items()}, pair.record)
    full = pair.kernel.run(BATCH, pair.record)
    assert list(results) == list(full)
    for name, values in full.items():
        assert (results[name].shape, results[name].dtype) == ((0, *values.shape[1:]), values.dtype)


def test_no_steps_change_no_state(pair: Pair) -> None:
    whole = pair.run(SINGLE)
    nothing = {name: values[:0] for name, values in SINGLE.items()}
    first = pair.kernel.run({name: values[:30] for name, values in SINGLE.items()}, pair.record)
    pair.kernel.run(nothing, pair.record, keep_state=True)
    rest = pair.kernel.run({name: values[30:] for name, values in SINGLE.items()}, pair.record, keep_state=True)
    assert_same({name: np.concatenate([first[name], rest[name]]) for name in whole}, whole)


def test_the_ring_of_a_delay_is_not_recorded(pair: Pair) -> None:
    """In memory its oldest row stands anywhere; the evaluator gives it in order."""
    with pytest.raises(DiagnosticException, match=r"cannot record 'd\.ring'; there are "):
        pair.kernel.run(SINGLE, ("d.ring",))


# Batches


def test_a_batch_is_its_samples(pair: Pair) -> None:
    batched = pair.run(BATCH)
    for sample in range(4):
        single = pair.run({name: values[:, sample] for name, values in BATCH.items()})
        assert_same({name: values[:, sample] for name, values in batched.items()}, single)


def test_batch_first(pair: Pair) -> None:
    batched = pair.run(BATCH)
    first = {name: values.swapaxes(0, 1) for name, values in BATCH.items()}
    for rasters in (first, {name: values.copy() for name, values in first.items()}):
        swapped = pair.kernel.run(rasters, pair.record, batch_first=True)
        assert_same({name: values.swapaxes(0, 1) for name, values in swapped.items()}, batched)


@pytest.mark.parametrize("batch", [1, 2, 5, 17])
@pytest.mark.parametrize("kind", ["events", "graded"])
def test_threads_change_nothing(pair: Pair, batch: int, kind: str) -> None:
    rng = np.random.default_rng(batch)
    make = events if kind == "events" else graded
    rasters = {name: make(rng, STEPS, batch, *shape) for name, shape in pair.inputs.items()}
    expected = pair.run(rasters)
    for threads in (1, 2, 3, 40):
        evaluator = CpuEvaluator(pair.kernel.module, batch, pair.record, threads=threads)
        assert_same(evaluator.run(rasters), expected)
        evaluator.reset()
        halves = [evaluator.run({name: values[t] for name, values in rasters.items()}) for t in (np.s_[:9], np.s_[9:])]
        assert_same({name: np.concatenate([half[name] for half in halves]) for name in expected}, expected)


# Types of rasters


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64, ">f4", ">i2"])
def test_equal_numbers_give_equal_results_whatever_their_type(pair: Pair, dtype: Any) -> None:
    assert_same(pair.kernel.run(as_type(BATCH, dtype), pair.record), pair.run(BATCH))


@pytest.mark.parametrize(("share", "kind"), [(0.02, "sparse"), (0.2, "sparse"), (0.3, "graded"), (1.0, "graded")])
def test_numbers_that_are_few_are_listed(share: float, kind: str) -> None:
    """What is measured on a raster decides; either way the sums are the same."""
    pair = Pair(GESTURES.with_name("digits_recurrent.nir"))
    rng = np.random.default_rng(7)
    (name, shape), *_ = pair.inputs.items()
    x = rng.normal(1, 1, (40, 3, *shape)) * (rng.random((40, 3, *shape)) < share)
    kernel = CpuEvaluator(pair.kernel.module, 3, pair.record)
    assert_same(kernel.run({name: x}), pair.evaluator.run({name: x}, pair.record))
    assert list(kernel.kernels) == [kind]


def test_bool_is_zero_and_one(pair: Pair) -> None:
    spikes = as_type(BATCH, np.bool_)
    expected = pair.run(as_type(spikes, np.float32))
    assert_same(pair.run(spikes), expected)
    assert_same(pair.kernel.run(as_type(spikes, np.uint8), pair.record), expected)


def test_inputs_of_different_types(pair: Pair) -> None:
    mixed = {"a": BATCH["a"], "b": BATCH["b"].astype(np.float32)}
    assert_same(pair.run(mixed), pair.run(BATCH))
    mixed = {"a": BATCH["a"].astype(np.bool_), "b": BATCH["b"]}
    assert_same(pair.run(mixed), pair.run(as_type(mixed, float)))


@pytest.mark.parametrize("count", [1, 127, 128, 255])
def test_a_byte_counts_to_255(pair: Pair, count: int) -> None:
    rasters = {name: (values > 0) * np.uint8(count) for name, values in BATCH.items()}
    assert_same(pair.run(rasters), pair.run(as_type(rasters, float)))


def test_negative_and_tiny_numbers(pair: Pair) -> None:
    rng = np.random.default_rng(8)
    for scale in (-1.0, -1e-3, 1e-40, -1e-45, 1e30):
        pair.run({name: scale * graded(rng, STEPS, 2, *shape) for name, shape in pair.inputs.items()})
    pair.run({name: np.full((5, 2, *shape), -0.0) for name, shape in pair.inputs.items()})
    pair.run({name: np.full((5, 2, *shape), -3, np.int8) for name, shape in pair.inputs.items()})


def test_integers_beyond_what_f32_counts(pair: Pair) -> None:
    pair.run({name: np.full((5, *shape), 2**53 + 1, np.int64) for name, shape in pair.inputs.items()})


# Layouts of rasters


def packed_field(values: Array) -> Array:
    """A field of a packed record of which the steps are no multiple of its size apart."""
    records = np.zeros(values.shape, [("kind", "u1"), ("value", values.dtype)])
    records["value"] = values
    return records["value"]


def off_by_one(values: Array) -> Array:
    """The same numbers at an odd address."""
    return np.frombuffer(b"\0" + values.tobytes(), values.dtype, offset=1).reshape(values.shape)


def wider(values: Array) -> Array:
    """Every second element of every axis of a larger array."""
    large = np.full([2 * n + 1 for n in values.shape], 7, values.dtype)
    view = large[tuple(slice(1, None, 2) for _ in values.shape)]
    view[...] = values
    return view


def backwards(values: Array) -> Array:
    return np.ascontiguousarray(np.flip(values))[(slice(None, None, -1),) * values.ndim]


def each_first(values: Array) -> Array:
    """Step by step in a larger array, as a window over a recording is."""
    large = np.full((2 * len(values), *values.shape[1:]), 7, values.dtype)
    large[::2] = values
    return large[::2]


def samples_apart(values: Array) -> Array:
    large = np.full((len(values), 3 * values.shape[1], *values.shape[2:]), 7, values.dtype)
    large[:, 2::3] = values
    return large[:, 2::3]


def read_only(values: Array) -> Array:
    values = values.copy()
    values.flags.writeable = False
    return values


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": np.asfortranarray,
    "packed field": packed_field,
    "odd address": off_by_one,
    "every second": wider,
    "backwards": backwards,
    "every second step": each_first,
    "every third sample": samples_apart,
    "batch outside": lambda values: values.swapaxes(0, 1).copy().swapaxes(0, 1),
    "read only": read_only,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32, np.float64])
def test_layouts(pair: Pair, layout: str, dtype: Any) -> None:
    plain = as_type(BATCH, dtype)
    given = {name: LAYOUTS[layout](values) for name, values in plain.items()}
    assert all(np.array_equal(values, plain[name]) for name, values in given.items())
    assert_same(pair.kernel.run(given, pair.record), pair.run(plain))
    assert all(np.array_equal(values, plain[name]) for name, values in given.items())


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_one_channel(tmp_path: Path, layout: str, dtype: Any) -> None:
    """Where a step is one number, every layout looks as if it stood in one piece."""
    path = tmp_path / "model.mlir"
    lif = fields(tau=0.5, r=3.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0)
    one = "!nir.signal<1>"
    path.write_text(
        f'nir.graph @main attributes {{inputs = ["x"], outputs = ["y"]}} {{\n^bb0(%x: {one}):\n'
        f'%n = nir.lif "n"(%x) {{{lif}}} : ({one}) -> {one}\nnir.yield %n : {one}\n}}\n'
    )
    one_channel = Pair(path, dt=0.1, scheme="nir-euler", reset="subtract")
    plain = BATCH["a"][:, :3, :1].astype(dtype)
    expected = one_channel.run({"x": plain})
    assert expected["y"].any()
    assert_same(one_channel.kernel.run({"x": LAYOUTS[layout](plain)}, one_channel.record), expected)


def test_one_array_for_all_samples_and_steps(pair: Pair) -> None:
    step = {name: values[3, 0] for name, values in BATCH.items()}
    given = {name: np.broadcast_to(values, (STEPS, 4, *values.shape)) for name, values in step.items()}
    assert_same(pair.kernel.run(given, pair.record), pair.run({name: v.copy() for name, v in given.items()}))


def test_a_file_in_memory(pair: Pair, tmp_path: Path) -> None:
    mapped = Rasters()
    for name, values in BATCH.items():
        np.save(tmp_path / f"{name}.npy", values.astype(np.float32))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    assert_same(pair.kernel.run(mapped, pair.record), pair.run(BATCH))


def test_one_array_in_one_out() -> None:
    x = events(np.random.default_rng(3), STEPS, 12)
    found = nirc.compile(GESTURES, "cpu").run(x)
    assert isinstance(found, np.ndarray)
    assert found.flags.writeable
    assert found.tolist() == nirc.compile(GESTURES).run(x).tolist()


def test_progress_is_told() -> None:
    told = list[int]()
    nirc.compile(GESTURES, "cpu").run(np.zeros((7, 12), np.uint8), progress=told.append)
    assert told[-1] == 7
    assert told == sorted(told)


# Bad calls


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": None}, "no raster for the input 'a'"),
        ({"c": np.zeros((STEPS, 3))}, "there is no input 'c'; inputs: 'a', 'b'"),
        ({"a": np.zeros((STEPS, 4))}, "the raster of input 'a' has the shape 60x4, must be steps x 3 or steps x batch"),
        ({"a": np.zeros(3)}, "the raster of input 'a' has the shape 3, must be steps x 3"),
        ({"b": np.zeros((STEPS, 4, 5, 2))}, "the raster of input 'b' has the shape 60x4x5x2, must be steps x 2 x 4"),
        ({"a": np.zeros((STEPS - 1, 3))}, "the rasters differ in steps or batch: 'a' 59x1, 'b' 60x1"),
        ({"a": np.zeros((STEPS, 2, 3))}, "the rasters differ in steps or batch: 'a' 60x2, 'b' 60x1"),
        ({"a": np.full((STEPS, 3), np.nan)}, "the raster of input 'a' holds values that are not finite"),
        ({"a": np.full((STEPS, 3), np.inf)}, "the raster of input 'a' holds values that are not finite"),
        ({"a": np.full((STEPS, 3), 1e300)}, "the raster of input 'a' holds values that do not fit f32"),
        ({"a": np.full((STEPS, 3), "1")}, "the raster of input 'a' holds <U1, numbers are expected"),
        ({"a": np.full((STEPS, 3), 1j)}, "the raster of input 'a' holds complex128, numbers are expected"),
        ({"a": np.full((STEPS, 3), None, object)}, "the raster of input 'a' holds object, numbers are expected"),
    ],
)
def test_rasters_that_do_not_fit(program: Program, change: dict[str, Array | None], message: str) -> None:
    before = program.run(SINGLE)
    rasters = {name: values for name, values in {**SINGLE, **change}.items() if values is not None}
    with pytest.raises(DiagnosticException) as raised:
        program.run(rasters)
    assert str(raised.value).startswith(message)
    assert_same(program.run(SINGLE), before)


def test_one_bad_number_is_found(program: Program) -> None:
    for value in (np.nan, -np.inf, 4e38, -1e39):
        rasters = as_type(SINGLE, np.float64)
        rasters["b"][-1, -1, -1, -1] = value
        with pytest.raises(DiagnosticException, match="the raster of input 'b' holds values that"):
            program.run(rasters)


def test_f64_takes_what_f32_does_not(model: Path) -> None:
    wide = Pair(model, **OPTIONS, precision="f64")
    wide.run({name: np.full((5, *shape), 1e300) for name, shape in wide.inputs.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": None}, "no raster for the input 'a'"),
        ({"a": np.zeros((STEPS, 4, 4))}, "the raster of input 'a' has the shape 60x4x4, must be steps x "),
        ({"a": np.zeros((STEPS, 3, 3))}, "the raster of input 'a' has the shape 60x3x3, must be steps x "),
        ({"a": np.zeros((STEPS, 3))}, "the raster of input 'a' has the shape 60x3, must be steps x "),
        ({"a": np.zeros((5, 4, 3))}, "inputs of unequal length: 'a' 5, 'b' 60 steps"),
        ({"a": np.full((STEPS, 4, 3), np.nan)}, "the raster of input 'a' holds values that do not fit f32"),
    ],
)
def test_the_evaluator_refuses_what_does_not_fit(
    program: Program, change: dict[str, Array | None], message: str
) -> None:
    """Whoever calls it directly: nothing reaches compiled code unchecked."""
    rasters = {name: values for name, values in {**BATCH, **change}.items() if values is not None}
    evaluator = CpuEvaluator(program.module, 4)
    with pytest.raises(DiagnosticException) as raised:
        evaluator.run(rasters)
    assert str(raised.value).startswith(message)
    assert not evaluator.running.locked()


@pytest.mark.parametrize("key", ["ghost.spikes", "l", "l.w", "w.spikes", "", "y"])
def test_what_cannot_be_recorded(model: Path, program: Program, key: str) -> None:
    """Told as the evaluator tells it, but for the ring, which is not recorded here."""
    with pytest.raises(DiagnosticException) as raised:
        program.run(SINGLE, ("l.v", key))
    with pytest.raises(DiagnosticException) as expected:
        nirc.compile(model, **OPTIONS).run(SINGLE, ("l.v", key))
    assert str(raised.value) == str(expected.value).replace(", d.ring", "")
    assert str(raised.value).startswith(f"cannot record '{key}'")
    assert program.run(SINGLE, ("l.v",)).keys() == {"y", "image", "v", "l.v"}


def test_an_output_named_like_a_state_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    path.write_text(MODEL.replace('outputs = ["y"', 'outputs = ["l.v"'))
    with pytest.raises(DiagnosticException, match=r"cannot record 'l\.v': an Output has that name"):
        nirc.compile(path, "cpu", **OPTIONS).run(SINGLE, ("l.v",))


def test_a_key_twice(pair: Pair) -> None:
    record = ("l.v", "l.v")
    assert_same(pair.kernel.run(SINGLE, record), pair.evaluator.run(SINGLE, record))


def test_keep_state_after_another_batch_size_is_refused(program: Program) -> None:
    program.run(SINGLE)
    with pytest.raises(DiagnosticException, match="keep_state goes on from the last run, which had another batch size"):
        program.run(BATCH, keep_state=True)


# Threads


def test_a_program_that_runs_refuses_another_thread(pair: Pair) -> None:
    program, x = pair.kernel, {name: np.tile(v, (400, *(1,) * (v.ndim - 1))) for name, v in SINGLE.items()}
    expected = {name: values.copy() for name, values in program.run(x).items()}
    refused = list[str]()
    with ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            job = pool.submit(program.run, x)
            while not job.done():
                refused += refusals(program)
            # Now and then it is the other thread that comes late.
            if job.exception() is None:
                assert_same(job.result(), expected)
            if refused:
                break
    assert set(refused) == {"this program is running already; each thread needs a program of its own"}


def refusals(program: Program) -> list[str]:
    """What a call is refused with, if it is."""
    try:
        program.run(SINGLE)
    except DiagnosticException as error:
        return [str(error)]
    return []


def test_a_refused_call_leaves_the_states(pair: Pair) -> None:
    """Another thread's call that is refused must not take the states from the one that runs."""
    whole = pair.run(SINGLE)
    first = pair.kernel.run({name: values[:20] for name, values in SINGLE.items()}, pair.record)
    (evaluator,) = pair.kernel.evaluators()
    assert isinstance(evaluator, CpuEvaluator)
    with evaluator.running, pytest.raises(DiagnosticException, match="is running already"):
        pair.kernel.run(SINGLE, pair.record)
    rest = pair.kernel.run({name: values[20:] for name, values in SINGLE.items()}, pair.record, keep_state=True)
    assert_same({name: np.concatenate([first[name], rest[name]]) for name in whole}, whole)


def test_every_thread_a_program_of_its_own(model: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIRC_CACHE", "")
    expected = pair.run(BATCH)

    def work(number: int) -> list[dict[str, Array]]:
        program = nirc.compile(model, "cpu", **OPTIONS)
        rasters = as_type(BATCH, (np.uint8, np.float32)[number % 2])
        return [program.run(rasters, pair.record) for _ in range(5)]

    with ThreadPoolExecutor(6) as pool:
        for results in pool.map(work, range(12)):
            for found in results:
                assert_same(found, expected)


def test_programs_come_and_go(model: Path, pair: Pair) -> None:
    """The code that another program has compiled stays while someone can call it."""
    expected = pair.run(SINGLE)
    run: Callable[..., Any] = partial(nirc.compile(model, "cpu", **OPTIONS).run, SINGLE, pair.record)
    for _ in range(5):
        nirc.compile(model, "cpu", **OPTIONS).run(SINGLE)
        gc.collect()
        assert_same(run(), expected)


# Other levels and other networks


def test_compiling_leaves_the_module(program: Program) -> None:
    before = program.text()
    program.run(SINGLE)
    program.run(as_type(SINGLE, float), ("l.v",))
    assert program.text() == before


def snn(body: str) -> str:
    return f'snn.network @main attributes {{inputs = ["x"], outputs = ["y"], states = [{body}\n}}\n'


ZERO, SIX = "dense<0.0> : tensor<f32>", "dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>"
V, RING, SHORT = "tensor<2xf32>", "tensor<3x2xf32>", "tensor<2x2xf32>"
PLUS = f"snn.add %x {{constant = dense<0.5> : tensor<f32>}} : ({V}) -> {V}"

STEPS_OF_SNN = {
    "an input that goes out": snn(f"]}} {{\n^bb0(%x: {V}):\nsnn.yield %x : {V}"),
    "a state that never changes": snn(
        f'#snn.state<"n", "v", dense<[3.0, -1.0]> : {V}>]}} {{\n^bb0(%x: {V}, %v: {V}):\nsnn.yield %v, %v : {V}, {V}'
    ),
    "a state that takes the input": snn(
        f'#snn.state<"n", "v", {ZERO}>]}} {{\n^bb0(%x: {V}, %v: {V}):\nsnn.yield %v, %x : {V}, {V}'
    ),
    "states in a row": snn(
        f'#snn.state<"n", "v", {ZERO}>, #snn.state<"n", "i", dense<[1.0, 2.0]> : {V}>, #snn.state<"m", "v", {ZERO}>]}} '
        f"{{\n^bb0(%x: {V}, %v: {V}, %i: {V}, %m: {V}):\nsnn.yield %m, %x, %v, %i : {V}, {V}, {V}, {V}"
    ),
    "states that change places": snn(
        f'#snn.state<"n", "v", dense<[1.0, 2.0]> : {V}>, #snn.state<"n", "i", {ZERO}>]}} '
        f"{{\n^bb0(%x: {V}, %v: {V}, %i: {V}):\n%s = snn.sum %v, %x : ({V}, {V}) -> {V}\n"
        f"snn.yield %s, %i, %v : {V}, {V}, {V}"
    ),
    "a state that is read when its next value is known": snn(
        f'#snn.state<"n", "v", {ZERO}>]}} {{\n^bb0(%x: {V}, %v: {V}):\n'
        f"%a = snn.sum %v, %x : ({V}, {V}) -> {V}\n"
        f"%w = snn.linear %v {{weight = dense<[[0.5, 1.0], [-1.0, 0.25]]> : tensor<2x2xf32>}} : ({V}) -> {V}\n"
        f"%y = snn.sum %w, %a, %v : ({V}, {V}, {V}) -> {V}\nsnn.yield %y, %a : {V}, {V}"
    ),
    "one value for two outputs and a state": snn(
        f'#snn.state<"n", "v", {ZERO}>]}} {{\n^bb0(%x: {V}, %v: {V}):\n'
        f"%a = snn.sum %v, %x : ({V}, {V}) -> {V}\nsnn.yield %a, %a, %a : {V}, {V}, {V}"
    ).replace('["y"]', '["y", "z"]'),
    "a ring that is not empty at first": snn(
        f'#snn.state<"d", "ring", {SIX}>]}} {{\n^bb0(%x: {V}, %r: {RING}):\n'
        f"%y, %n = snn.delay %x, %r {{steps = dense<[2, 3]> : tensor<2xi32>}} : ({V}, {RING}) -> ({V}, {RING})\n"
        f"snn.yield %y, %n : {V}, {RING}"
    ),
    "two delays without a name": snn(
        f'#snn.state<"d", "ring", {SIX}>, #snn.state<"e", "ring", {ZERO}>]}} {{\n'
        f"^bb0(%x: {V}, %r: {RING}, %s: {SHORT}):\n"
        f"%y, %n = snn.delay %x, %r {{steps = dense<3> : tensor<i32>}} : ({V}, {RING}) -> ({V}, {RING})\n"
        f"%z, %m = snn.delay %y, %s {{steps = dense<[1, 2]> : tensor<2xi32>}} : ({V}, {SHORT}) -> ({V}, {SHORT})\n"
        f"snn.yield %z, %n, %m : {V}, {RING}, {SHORT}"
    ),
    "counts of spikes": snn(
        f'#snn.state<"n", "v", {ZERO}>]}} {{\n^bb0(%x: {V}, %v: {V}):\n'
        f"%a = snn.filter %x, %v {{decay = dense<0.9> : tensor<f32>, gain = dense<1.3> : tensor<f32>}} "
        f": ({V}, {V}) -> {V}\n"
        f'%n = snn.fire %a {{threshold = dense<[0.4, 0.1]> : {V}, compare = ">=", node = "n"}} '
        f": ({V}) -> tensor<2xi32>\n"
        f'%r = snn.reset %a, %n {{kind = "subtract", amount = dense<[0.4, 0.1]> : {V}}} : ({V}, tensor<2xi32>) -> {V}\n'
        f"%w = snn.linear %n {{weight = dense<[[0.5, 1.0], [-1.0, 0.25]]> : tensor<2x2xf32>}} "
        f": (tensor<2xi32>) -> {V}\nsnn.yield %n, %w, %r : tensor<2xi32>, {V}, {V}"
    ).replace('["y"]', '["y", "z"]'),
    "a clamp": snn(
        f"]}} {{\n^bb0(%x: {V}):\n%y = snn.clamp %x {{low = dense<[0.0, 1.0]> : {V}, high = dense<1.5> : tensor<f32>}} "
        f": ({V}) -> {V}\nsnn.yield %y : {V}"
    ),
    "clamped zeros": snn(
        f"]}} {{\n^bb0(%x: {V}):\n%m = snn.scale %x {{factor = dense<-1.0> : tensor<f32>}} : ({V}) -> {V}\n"
        f"%y = snn.clamp %m {{low = dense<0.0> : tensor<f32>}} : ({V}) -> {V}\nsnn.yield %y : {V}"
    ),
    "a value that nobody reads": snn(f"]}} {{\n^bb0(%x: {V}):\n%u = {PLUS}\nsnn.yield %x : {V}"),
    "a threshold on the input": snn(
        f']}} {{\n^bb0(%x: {V}):\n%y = snn.fire %x {{threshold = {ZERO}, compare = ">", node = "n"}} '
        f": ({V}) -> tensor<2xi1>\nsnn.yield %y : tensor<2xi1>"
    ),
}
"""Steps that no graph of NIR's becomes, or seldom."""


@pytest.mark.parametrize("kind", ["events", "graded"])
@pytest.mark.parametrize("name", STEPS_OF_SNN)
def test_a_step_by_hand(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "step.mlir"
    path.write_text(STEPS_OF_SNN[name])
    evaluator, kernel = nirc.load(path), Program(nirc.load(path).module, "cpu")
    record = recordable(evaluator)
    x = (events if kind == "events" else graded)(np.random.default_rng(4), 40, 3, 2)
    expected = evaluator.run({"x": x}, record)
    assert_same(kernel.run({"x": x}, record), expected)
    pieces = [kernel.run({"x": part}, record, keep_state=n > 0) for n, part in enumerate(np.split(x, [1, 7, 8, 30]))]
    assert_same({key: np.concatenate([piece[key] for piece in pieces]) for key in expected}, expected)


def test_a_network_of_spikes_takes_any_number_but_0_for_one(parse: Callable[[str], ModuleOp]) -> None:
    kind = "tensor<3xi1>"
    weight = "dense<[[1.0, 10.0, 100.0]]> : tensor<1x3xf32>"
    module = parse(
        snn(f"]}} {{\n^bb0(%x: {kind}):\n%y = snn.linear %x {{weight = {weight}}} : ({kind}) -> tensor<1xf32>\n"
            "snn.yield %y : tensor<1xf32>")
    )  # fmt: skip
    for dtype, values in ((np.uint8, [0, 2, 1]), (np.float64, [0, 0.5, 256]), (np.int64, [0, 256, -1])):
        x = np.array([[values]], dtype)
        expected = Program(module.clone()).run({"x": x})["y"]
        assert expected.tolist() == [[[110.0]]]
        assert CpuEvaluator(module, 1).run({"x": x})["y"].tolist() == expected.tolist()


def test_a_closed_program_does_not_run(program: Program) -> None:
    with program:
        program.run(SINGLE)
    with pytest.raises(DiagnosticException, match="this program is closed; compile the model again"):
        program.run(SINGLE)


def test_progress_tells_the_steps_that_are_done(program: Program) -> None:
    """Piece by piece, with the same results."""
    told = list[int]()
    rasters = {name: np.concatenate([values] * 40) for name, values in BATCH.items()}
    assert_same(program.run(rasters, progress=told.append), program.run(rasters))
    steps = len(rasters["a"])
    assert told == sorted(set(told))
    assert told[-1] == steps
    assert len(told) > 20


# Memory

GROWTH = """
import resource, sys
import numpy as np
import nirc

program = nirc.compile(sys.argv[1], "cpu")
x = (np.random.default_rng(0).random((100_000, 12)) < 0.1).astype(np.uint8)
program.run(x[:1000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(3):
    y = program.run(x)
assert y.any()
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before), y.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_a_long_run_takes_no_more_than_its_rasters() -> None:
    """States of 100,000 steps of the 48 hidden neurons alone would be 19 MB."""
    done = subprocess.run([sys.executable, "-c", GROWTH, GESTURES], capture_output=True, text=True, check=True)
    growth, output = map(int, done.stdout.split())
    assert output == 800_000
    assert growth < 2 * output + 3_000_000
