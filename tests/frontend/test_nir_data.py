"""NIRData files: what the `nir` package writes becomes the rasters that it means, and it reads what nirc writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import h5py
import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects.dense import Array
from nirc.frontend.nir_data import Events, Grid, Gridded, NirData, read_nir_data, to_rasters, write_nir_data

nir: Any = pytest.importorskip("nir")

Shapes: TypeAlias = dict[str, tuple[int, ...]]
Tree: TypeAlias = dict[str, Any]
Store: TypeAlias = Callable[[Tree], Path]

DT = 1e-3


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., NirData]:
    """Observables of the `nir` package by node, written by it and read by nirc."""

    def run(**nodes: Any) -> NirData:
        path = tmp_path / "data.h5"
        held = {name: cast(Tree, node) if isinstance(node, dict) else {"spikes": node} for name, node in nodes.items()}
        nir.write_data(path, nir.NIRGraphData({name: nir.NIRNodeData(node) for name, node in held.items()}))
        return read_nir_data(str(path))

    return run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A tree to a file: a dictionary is a group, `@name` an attribute of it, anything else a dataset."""

    def put(group: h5py.Group, tree: Tree) -> None:
        for name, value in tree.items():
            if isinstance(value, dict):
                put(group.create_group(name), cast(Tree, value))
            elif name.startswith("@"):
                group.attrs[name[1:]] = value
            else:
                group.create_dataset(name, data=value)

    def run(tree: Tree) -> Path:
        path = tmp_path / "stored.h5"
        with h5py.File(path, "w") as file:
            put(file, tree)
        return path

    return run


def graph(**nodes: Tree) -> Tree:
    return {"@__type__": "NIRGraphData", "nodes": nodes}


def node(**observables: Tree) -> Tree:
    return {"@__type__": "NIRNodeData", "observables": observables}


def grid(values: Any, dt: float = DT) -> Tree:
    return {"@__type__": "TimeGriddedData", "data": values, "@dt": dt}


def events(neuron: Any, time: Any, neurons: int = 2, end: float = 4 * DT, **more: Any) -> Tree:
    """Events as `write_data` lays them out; a `value` makes them valued."""
    kind = "ValuedEventData" if "value" in more else "EventData"
    fields = {"@__type__": kind, "idx": neuron, "time": time, "@n_neurons": neurons, "@t_max": end}
    return {**fields, **more}


def faults(run: Callable[[], object]) -> list[str]:
    with pytest.raises(DiagnosticException) as raised:
        run()
    return str(raised.value).splitlines()


def spikes(samples: int, steps: int, neurons: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((samples, steps, neurons)) < 0.3


def swapped(values: Array, *shape: int) -> Array:
    """(samples, steps, neurons) as [T, B, N...]."""
    samples, steps, neurons = values.shape
    return np.array(
        [[values[b, t].reshape(shape or (neurons,)) for b in range(samples)] for t in range(steps)]
    ).reshape(steps, samples, *(shape or (neurons,)))


# Reading.


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_a_grid(data: Callable[..., NirData], samples: int, dtype: type[np.generic]) -> None:
    values = spikes(samples, 7, 4).astype(dtype)
    found = data(input=nir.TimeGriddedData(values, DT))
    assert (found.dt, found.has_events) == (DT, False)
    raster = to_rasters(found, {"input": (4,)}, DT)
    assert np.array_equal(raster.arrays["input"], swapped(values))
    assert raster.arrays["input"].dtype == dtype
    assert raster.notes == []


@pytest.mark.parametrize("samples", [1, 3])
def test_events_are_gridded_as_nir_does(data: Callable[..., NirData], samples: int) -> None:
    """Away from the borders of steps nir's own conversion is exact; samples differ in events and so are padded."""
    given = nir.TimeGriddedData(spikes(samples, 50, 6), 0.5).to_event(200, time_shift=0.25)
    assert np.any(given.idx == -1)
    assert np.all(np.isinf(given.time[given.idx == -1]))
    found = data(input=given)
    assert (found.dt, found.has_events) == (None, True)
    raster = to_rasters(found, {"input": (6,)}, 0.5)
    assert np.array_equal(raster.arrays["input"], swapped(given.to_time_gridded(0.5).data))
    assert raster.arrays["input"].shape == (50, samples, 6)
    assert raster.notes == []


def test_events_on_a_coarser_step(data: Callable[..., NirData]) -> None:
    """Events of a fine grid, no two of a neuron in one of the coarser steps."""
    fine = np.zeros((2, 40, 3), bool)
    fine[0, [1, 6, 11, 37], [0, 1, 2, 0]] = True
    fine[1, [4, 5, 39], [2, 2, 1]] = True
    given = nir.TimeGriddedData(fine, 0.25).to_event(4, time_shift=0.125)
    raster = to_rasters(data(input=given), {"input": (3,)}, 1.25)
    assert np.array_equal(raster.arrays["input"], swapped(given.to_time_gridded(1.25).data))
    assert raster.arrays["input"].sum() == 7
    assert raster.notes == []


def test_valued_events_are_gridded_as_nir_does(data: Callable[..., NirData]) -> None:
    plain = nir.TimeGriddedData(spikes(2, 20, 5), 0.5).to_event(60, time_shift=0.25)
    value: Array = np.random.default_rng(1).normal(size=(2, 60))
    given = nir.ValuedEventData(plain.idx, plain.time, plain.n_neurons, plain.t_max, value)
    raster = to_rasters(data(input=given), {"input": (5,)}, 0.5)
    assert np.array_equal(raster.arrays["input"], swapped(given.to_time_gridded(0.5).data))
    assert raster.notes == []


def test_padding_may_stand_anywhere_and_hold_anything(store: Store) -> None:
    held = events([[-1, 1, -1, 0]], [[np.nan, 0.5 * DT, 99.0, 3.5 * DT]], value=[[7.0, 2.0, np.nan, 3.0]])
    raster = to_rasters(read_nir_data(str(store(graph(x=node(spikes=held))))), {"x": (2,)}, DT)
    assert raster.arrays["x"].tolist() == [[[0, 2]], [[0, 0]], [[0, 0]], [[3, 0]]]


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.uint64])
def test_indices_of_any_whole_type(store: Store, dtype: type[np.generic]) -> None:
    held = events(np.array([[1, 0]], dtype), [[0.5 * DT, 1.5 * DT]])
    raster = to_rasters(read_nir_data(str(store(graph(x=node(spikes=held))))), {"x": (2,)}, DT)
    assert raster.arrays["x"].tolist() == [[[0, 1]], [[1, 0]], [[0, 0]], [[0, 0]]]


@pytest.mark.parametrize("samples", [1, 2])
def test_no_events_at_all(data: Callable[..., NirData], samples: int) -> None:
    none = np.zeros((samples, 0), int)
    found = data(input=nir.EventData(none, none.astype(float), 3, 5 * DT))
    raster = to_rasters(found, {"input": (3,)}, DT)
    assert np.array_equal(raster.arrays["input"], np.zeros((5, samples, 3)))


def test_no_samples_at_all(data: Callable[..., NirData]) -> None:
    """As a grid of no samples: the batch is empty."""
    none = np.zeros((0, 4), int)
    gridded = data(x=nir.TimeGriddedData(np.zeros((0, 5, 3)), DT))
    assert to_rasters(gridded, {"x": (3,)}, DT).arrays["x"].shape == (5, 0, 3)
    found = data(x=nir.EventData(none, none.astype(float), 3, 5 * DT))
    assert to_rasters(found, {"x": (3,)}, DT).arrays["x"].shape == (5, 0, 3)


def test_neurons_of_a_layer_count_in_row_major_order(data: Callable[..., NirData]) -> None:
    """Neuron 17 of a layer 2x3x4 is [1, 1, 1], as 17 = (1 * 3 + 1) * 4 + 1."""
    idx = np.array([[17, 23], [4, -1]])
    time = np.array([[0.5, 1.5], [2.5, np.inf]]) * DT
    found = data(image=nir.EventData(idx, time, 24, 3 * DT))
    raster = to_rasters(found, {"image": (2, 3, 4)}, DT).arrays["image"]
    assert raster.shape == (3, 2, 2, 3, 4)
    assert np.argwhere(raster).tolist() == [[0, 0, 1, 1, 1], [1, 0, 1, 2, 3], [2, 1, 0, 1, 0]]
    values = np.arange(2 * 3 * 24).reshape(2, 3, 24)
    gridded = to_rasters(data(image=nir.TimeGriddedData(values, DT)), {"image": (2, 3, 4)}, DT).arrays["image"]
    assert np.array_equal(gridded, swapped(values, 2, 3, 4))


def test_a_layer_of_no_axes_is_of_one_neuron(data: Callable[..., NirData]) -> None:
    values = np.array([[[1.0], [2.0]]])
    raster = to_rasters(data(x=nir.TimeGriddedData(values, DT)), {"x": ()}, DT).arrays["x"]
    assert raster.shape == (2, 1)
    assert raster.ravel().tolist() == [1, 2]


def test_nodes_of_nested_graphs(store: Store) -> None:
    """`nir.write_data` of nir 1.0.8 does not end on nested data, its reader is the oracle."""
    inner = graph(lif=node(v=grid([[[1.0, 2.0]]]), spikes=grid(np.array([[[True, False]]]))), deep=graph(x=node()))
    path = store(graph(sub=inner, y=node()))
    package = nir.read_data(path)
    found = read_nir_data(str(path))
    assert set(found.nodes) == {"sub.lif", "sub.deep.x", "y"}
    for name, item in found.nodes["sub.lif"].items():
        assert isinstance(item, Grid)
        expected = package.nodes["sub"].nodes["lif"].observables[name]
        assert np.array_equal(item.values, expected.data)
        assert item.dt == expected.dt
    assert set(found.nodes["sub.lif"]) == {"v", "spikes"}


def test_what_a_file_holds(data: Callable[..., NirData]) -> None:
    """Fields arrive as they are; the step is known where the grids agree on one."""
    idx, time = np.array([[0, 1]]), np.array([[0.0, DT]])
    value = np.array([[0.5, -2.0]])
    found = data(
        a={"spikes": nir.EventData(idx, time, 2, 0.25), "v": nir.TimeGriddedData(np.zeros((1, 2, 2)), DT)},
        b=nir.ValuedEventData(idx, time, 3, 0.5, value),
    )
    assert found.dt == DT
    assert found.has_events
    plain, valued = found.nodes["a"]["spikes"], found.nodes["b"]["spikes"]
    assert isinstance(plain, Events)
    assert isinstance(valued, Events)
    assert (plain.neurons, plain.end, plain.value) == (2, 0.25, None)
    assert (valued.neurons, valued.end) == (3, 0.5)
    assert valued.value is not None
    assert valued.value.tolist() == value.tolist()
    assert valued.neuron.tolist() == idx.tolist()
    assert valued.time.tolist() == time.tolist()
    other = {"v": nir.TimeGriddedData(np.zeros((1, 2, 2)), 2 * DT)}
    assert data(a=nir.TimeGriddedData(np.zeros((1, 2, 2)), DT), b=other).dt is None


def test_several_inputs(data: Callable[..., NirData]) -> None:
    a, b = spikes(2, 4, 3), spikes(2, 4, 2, seed=1)
    found = data(b=nir.TimeGriddedData(b, DT), a=nir.TimeGriddedData(a, DT).to_event(12, time_shift=0.5 * DT))
    raster = to_rasters(found, {"a": (3,), "b": (2,)}, DT)
    assert np.array_equal(raster.arrays["a"], swapped(a))
    assert np.array_equal(raster.arrays["b"], swapped(b))


def test_events_in_one_step_add_up(data: Callable[..., NirData]) -> None:
    """nir's own conversion keeps one of them; a network gets them all, and the user is told."""
    idx = np.array([[0, 0, 0, 1, 1], [0, 1, 0, -1, -1]])
    time = np.array([[0.1, 0.5, 0.9, 1.1, 2.1], [0.5, 0.5, 1.5, np.inf, np.inf]]) * DT
    raster = to_rasters(data(x=nir.EventData(idx, time, 2, 3 * DT)), {"x": (2,)}, DT)
    assert raster.arrays["x"].tolist() == [[[3, 0], [1, 1]], [[0, 1], [1, 0]], [[0, 1], [0, 0]]]
    assert raster.notes == ["2 events of 'x' fall into a step with another one of their neuron: they add up"]
    value = np.array([[0.5, -2.0, 4.0, 1.0, 3.0], [1.0, 2.0, 3.0, 9.0, 9.0]])
    valued = to_rasters(data(x=nir.ValuedEventData(idx, time, 2, 3 * DT, value)), {"x": (2,)}, DT)
    assert valued.arrays["x"].tolist() == [[[2.5, 0], [1, 2]], [[0, 1], [3, 0]], [[0, 3], [0, 0]]]
    assert valued.notes == raster.notes


@pytest.mark.parametrize("dt", [0.1, 1e-3, 1e-4, 2e-3])
def test_a_time_that_falls_short_of_its_step_by_rounding(data: Callable[..., NirData], dt: float) -> None:
    """The decimal k dt, divided by dt, is less than k for some k; the event belongs to step k all the same."""
    time = np.array([float(f"{k * dt:.6g}") for k in range(500)])
    assert np.any(np.floor(time / dt) < np.arange(500))
    found = data(x=nir.EventData(np.zeros((1, 500), int), time[None], 1, 500 * dt))
    raster = to_rasters(found, {"x": (1,)}, dt)
    assert np.array_equal(raster.arrays["x"], np.ones((500, 1, 1)))
    assert raster.notes == []


def test_a_time_that_was_added_up(data: Callable[..., NirData]) -> None:
    time = np.cumsum(np.full(500, 0.1)) - 0.1
    assert np.any(np.floor(time / 0.1) < np.arange(500))
    found = data(x=nir.EventData(np.zeros((1, 500), int), time[None], 1, 50.0))
    assert np.array_equal(to_rasters(found, {"x": (1,)}, 0.1).arrays["x"], np.ones((500, 1, 1)))


def test_tenths(data: Callable[..., NirData]) -> None:
    """3 * 0.1 is more than 0.3, and 0.3 / 0.1 less than 3."""
    assert int(0.3 / 0.1) == 2
    found = data(x=nir.EventData(np.array([[0, 0]]), np.array([[0.3, 0.6]]), 1, 0.7))
    raster = to_rasters(found, {"x": (1,)}, 0.1)
    assert np.flatnonzero(raster.arrays["x"]).tolist() == [3, 6]
    assert raster.arrays["x"].shape == (7, 1, 1)
    assert raster.notes == []


def test_times_in_single_precision(data: Callable[..., NirData]) -> None:
    """A float32 time of 0.1 k lies up to 6e-8 of itself beside it, for k = 42 already more than 1e-6 of a step."""
    time = (np.arange(500) * 0.1).astype(np.float32)
    found = data(x=nir.EventData(np.zeros((1, 500), int), time[None], 1, 50.0))
    raster = to_rasters(found, {"x": (1,)}, 0.1)
    assert np.flatnonzero(raster.arrays["x"][:, 0, 0] != 1).tolist() == []


def test_a_time_just_before_the_end_is_in_the_last_step(data: Callable[..., NirData]) -> None:
    """What lies before t_max is legal, however near; nir puts it into the last step too."""
    given = nir.EventData(np.array([[0]]), np.array([[np.nextafter(1.0, 0)]]), 1, 1.0)
    raster = to_rasters(data(x=given), {"x": (1,)}, 0.25)
    assert np.array_equal(raster.arrays["x"], swapped(given.to_time_gridded(0.25).data))
    assert raster.arrays["x"].ravel().tolist() == [0, 0, 0, 1]


def test_a_recording_far_shorter_than_a_step(data: Callable[..., NirData]) -> None:
    """It still is a step: an event in it must not be lost."""
    given = nir.EventData(np.array([[0]]), np.array([[0.0]]), 1, 1e-9)
    raster = to_rasters(data(x=given), {"x": (1,)}, 1e-2)
    assert raster.arrays["x"].ravel().tolist() == [1]


@pytest.mark.parametrize(("end", "steps", "said"), [(2.5, 3, "2.5"), (0.4, 1, "0.4"), (3.999, 4, "3.999")])
def test_an_end_within_a_step_is_told(data: Callable[..., NirData], end: float, steps: int, said: str) -> None:
    """The last step runs whole, so that no event is lost."""
    found = data(x=nir.EventData(np.array([[0]]), np.array([[end * 0.99]]), 1, end))
    raster = to_rasters(found, {"x": (1,)}, 1.0)
    assert raster.arrays["x"].ravel().tolist() == [0] * (steps - 1) + [1]
    assert raster.notes == [f"the events of 'x' last {said} steps; {steps} are run"]


def test_a_step_that_nothing_depends_on(data: Callable[..., NirData]) -> None:
    """A grid is taken by any network of no step, whatever its own; events are not."""
    found = data(x=nir.TimeGriddedData(np.ones((1, 2, 1)), 0.3))
    assert to_rasters(found, {"x": (1,)}, None).arrays["x"].shape == (2, 1, 1)
    given = data(x=nir.EventData(np.array([[0]]), np.array([[0.5]]), 1, 1.0))
    assert faults(lambda: to_rasters(given, {"x": (1,)}, None)) == [
        "the events of 'x' need a step, and the network depends on none; give --dt"
    ]


def test_grids_of_unequal_steps_do_not_run_side_by_side_in_silence(data: Callable[..., NirData]) -> None:
    """Where no coefficient depends on the step, samples of unequal times would still meet."""
    found = data(a=nir.TimeGriddedData(np.ones((1, 2, 1)), 0.1), b=nir.TimeGriddedData(np.ones((1, 2, 1)), 0.2))
    try:
        said = to_rasters(found, {"a": (1,), "b": (1,)}, None).notes
    except DiagnosticException as error:
        said = str(error).splitlines()
    assert any("0.1" in text and "0.2" in text for text in said)


def test_the_step_may_be_single_precision(store: Store) -> None:
    found = read_nir_data(str(store(graph(x=node(v=grid([[[1.0]]], np.float32(1e-4).item()))))))
    assert to_rasters(found, {"x": (1,)}, 1e-4).arrays["x"].tolist() == [[[1]]]


def test_data_of_other_nodes_is_not_used_and_said(data: Callable[..., NirData]) -> None:
    held = nir.TimeGriddedData(np.ones((1, 2, 1)), DT)
    found = to_rasters(data(x=held, lif=held, **{"an\nother": held}), {"x": (1,)}, DT)
    assert list(found.arrays) == ["x"]
    assert found.notes == [r"data of 'an\nother', 'lif' is of no input and not used"]


# What does not fit the network, everything at once.


def test_faults_of_the_fit_come_together(data: Callable[..., NirData]) -> None:
    held = nir.TimeGriddedData(np.ones((1, 2, 3)), 2 * DT)
    late = nir.EventData(np.array([[0]]), np.array([[0.0]]), 5, 1.0)
    found = data(rate=held, size=late, both={"v": held, "spikes": held}, other=held)
    expected: Shapes = {"rate": (3,), "size": (2, 2), "both": (3,), "none": (1,)}
    assert faults(lambda: to_rasters(found, expected, DT)) == [
        "the data of 'rate' stands every 0.002 s, the network steps 0.001 s; give --dt 0.002 or data on that grid",
        "the data of 'size' is of 5 neurons, the input is 2x2",
        "several observables ('spikes', 'v') for the input 'both'; there is data of 'both', 'other', 'rate', 'size'",
        "no data for the input 'none'; there is data of 'both', 'other', 'rate', 'size'",
    ]


def test_a_file_without_data(store: Store) -> None:
    found = read_nir_data(str(store(graph())))
    assert faults(lambda: to_rasters(found, {"x": (1,)}, DT)) == ["no data for the input 'x'; there is data of none"]


@pytest.mark.parametrize("end", [1e300, 1e9])
def test_a_recording_that_fits_no_memory_is_refused(store: Store, end: float) -> None:
    """A few bytes of file must not ask for terabytes; nor may they end in a traceback."""
    found = read_nir_data(str(store(graph(x=node(spikes=events([[0]], [[0.0]], end=end))))))
    (fault,) = faults(lambda: to_rasters(found, {"x": (2,)}, 1e-9))
    assert "'x'" in fault


def test_an_endless_recording_of_no_samples(store: Store) -> None:
    """Nothing is asked for, and still it is a refusal, not a traceback."""
    none = np.zeros((0, 1))
    found = read_nir_data(str(store(graph(x=node(spikes=events(none.astype(int), none, end=1e300))))))
    (fault,) = faults(lambda: to_rasters(found, {"x": (2,)}, 1e-9))
    assert "'x'" in fault


def test_an_end_in_single_precision(store: Store) -> None:
    """float32(25.7) is 25.7000008: 257 steps of 0.1 s, and no 258th."""
    held = events([[0]], [[0.0]], neurons=1) | {"@t_max": np.float32(25.7)}
    raster = to_rasters(read_nir_data(str(store(graph(x=node(spikes=held))))), {"x": (1,)}, 0.1)
    assert raster.arrays["x"].shape == (257, 1, 1)
    assert raster.notes == []


# What is wrong with the file itself.


@pytest.mark.parametrize(
    ("tree", "texts"),
    [
        ({"nodes": {}}, ["not a NIRData file: its root is not marked as NIRGraphData"]),
        ({"@__type__": "NIRNodeData", "nodes": {}}, ["not a NIRData file: its root is not marked as NIRGraphData"]),
        ({"node": {"type": "NIRGraph"}}, ["not a NIRData file: its root is not marked as NIRGraphData"]),
        ({"@__type__": "NIRGraphData"}, ["the root has no group 'nodes'"]),
        ({"@__type__": "NIRGraphData", "nodes": 3}, ["the root has no group 'nodes'"]),
        (graph(a={"@__type__": "NIRGraphData"}), ["'a' has no group 'nodes'"]),
        (graph(a={"@__type__": "NIRNodeData"}), ["node 'a' has no group 'observables'"]),
        (graph(**{"a\x1b": {"@__type__": "NIRNodeData"}}), [r"node 'a\x1b' has no group 'observables'"]),
        ({"@__type__": "NIRGraphData", "nodes": {"a": [1.0]}}, ["node 'a' is not a group"]),
    ],
)
def test_a_file_of_another_layout(store: Store, tree: Tree, texts: list[str]) -> None:
    path = store(tree)
    assert faults(lambda: read_nir_data(str(path))) == texts


BAD: dict[str, tuple[Tree, str]] = {
    "no type": ({"data": [[[1.0]]]}, "__type__ None, must be TimeGriddedData, EventData or ValuedEventData"),
    "type": (
        {"@__type__": "Spikes"},
        "__type__ 'Spikes', must be TimeGriddedData, EventData or ValuedEventData",
    ),
    "flat grid": (grid([1.0, 2.0]), "data: shape 2, must be samples x steps x neurons"),
    "deep grid": (grid(np.ones((1, 2, 3, 4))), "data: shape 1x2x3x4, must be samples x steps x neurons"),
    "text": (grid("spikes"), "data: missing or no numbers"),
    "no data": ({"@__type__": "TimeGriddedData", "@dt": DT}, "data: missing or no numbers"),
    "dt zero": (grid([[[1.0]]], 0.0), "dt: 0, must be > 0"),
    "dt negative": (grid([[[1.0]]], -DT), "dt: -0.001, must be > 0"),
    "dt nan": (grid([[[1.0]]], float("nan")), "dt: nan, must be > 0"),
    "dt infinite": (grid([[[1.0]]], float("inf")), "dt: inf, must be > 0"),
    "flat events": (events([0, 1], [0.0, DT]), "shapes 2, all must be samples x events"),
    "shapes": (events([[0, 1]], [[0.0]]), "shapes 1x1, 1x2, all must be samples x events"),
    "values": (events([[0]], [[0.0]], value=[[1.0, 2.0]]), "shapes 1x1, 1x2, all must be samples x events"),
    "no value": ({**events([[0]], [[0.0]]), "@__type__": "ValuedEventData"}, "value: missing or no numbers"),
    "float index": (events([[0.0]], [[0.0]]), "idx: float64, must be whole numbers"),
    "index": (events([[0, 2]], [[0.0, 0.0]]), "idx: beyond the 2 neurons"),
    "negative": (events([[0, -2]], [[0.0, 0.0]]), "idx: beyond the 2 neurons"),
    "late": (events([[0]], [[5e-3]]), "time: outside of 0 to t_max = 0.004 s"),
    "at the end": (events([[0]], [[4e-3]]), "time: outside of 0 to t_max = 0.004 s"),
    "early": (events([[0]], [[-1e-9]]), "time: outside of 0 to t_max = 0.004 s"),
    "time nan": (events([[0]], [[np.nan]]), "time: outside of 0 to t_max = 0.004 s"),
    "time missing": (events([[0]], [[np.inf]]), "time: outside of 0 to t_max = 0.004 s"),
    "no neurons": (events([[-1]], [[np.inf]], neurons=0), "n_neurons: 0, must be > 0"),
    "end": (events([[0]], [[0.0]], end=float("inf")), "t_max: inf, must be > 0"),
}


def test_every_fault_of_the_observables_is_said_together(store: Store) -> None:
    tree = graph(**{name: node(out=held) for name, (held, _) in BAD.items()})
    path = store(graph(good=node(v=grid([[[1.0]]])), nested=tree, other={"@__type__": "NIRNodeData"}))
    found = faults(lambda: read_nir_data(str(path)))
    assert sorted(found) == sorted(
        [f"node 'nested.{name}', 'out': {text}" for name, (_, text) in BAD.items()]
        + ["node 'other' has no group 'observables'"]
    )


@pytest.mark.parametrize("missing", ["@dt", "@t_max", "@n_neurons"])
def test_an_attribute_that_is_missing(store: Store, missing: str) -> None:
    """It is named as the file would name it."""
    held = grid([[[1.0]]]) if missing == "@dt" else events([[0]], [[0.0]])
    del held[missing]
    path = store(graph(a=node(out=held)))
    assert faults(lambda: read_nir_data(str(path))) == [f"node 'a', 'out': {missing[1:]}: missing or no numbers"]


def test_half_a_neuron_is_refused(store: Store) -> None:
    held = {**events([[0]], [[0.0]]), "@n_neurons": 2.5}
    path = store(graph(a=node(out=held)))
    (fault,) = faults(lambda: read_nir_data(str(path)))
    assert fault.startswith("node 'a', 'out': n_neurons: 2.5")


def test_two_nodes_of_one_full_name_are_refused(store: Store) -> None:
    """`a.b` and the node `b` of the nested graph `a`: neither may silently stand for the other."""
    path = store(graph(**{"a.b": node(v=grid([[[1.0]]])), "a": graph(b=node(v=grid([[[2.0]]])))}))
    (fault,) = faults(lambda: read_nir_data(str(path)))
    assert "'a.b'" in fault


def test_an_observable_that_is_no_group_is_refused(store: Store) -> None:
    path = store(graph(a={"@__type__": "NIRNodeData", "observables": {"v": [1.0, 2.0]}}))
    (fault,) = faults(lambda: read_nir_data(str(path)))
    assert fault.startswith("node 'a', 'v'")


# Writing.


def read_back(tmp_path: Path, content: bytes) -> Any:
    path = tmp_path / "written.h5"
    path.write_bytes(content)
    return nir.read_data(path)


def own(tmp_path: Path, content: bytes, expected: Shapes, dt: float) -> Gridded:
    path = tmp_path / "own.h5"
    path.write_bytes(content)
    return to_rasters(read_nir_data(str(path)), expected, dt)


@pytest.mark.parametrize("dtype", [bool, np.int32, np.float32, np.float64])
def test_grids_are_read_by_nir(tmp_path: Path, dtype: type[np.generic]) -> None:
    values = (5 * np.random.default_rng(0).random((6, 2, 3, 4))).astype(dtype)
    content = write_nir_data({"out": values}, DT, events=False)
    held = read_back(tmp_path, content).nodes["out"].observables
    (name,) = held
    assert name == ("output" if np.dtype(dtype).kind == "f" else "spikes")
    assert type(held[name]) is nir.TimeGriddedData
    assert held[name].dt == DT
    assert held[name].data.dtype == dtype
    assert (held[name].n_samples, held[name].n_time_steps, held[name].n_neurons) == (2, 6, 12)
    for step, sample in np.ndindex(6, 2):
        assert held[name].data[sample, step].tolist() == values[step, sample].ravel().tolist()
    if name == "spikes":
        assert np.array_equal(own(tmp_path, content, {"out": (3, 4)}, DT).arrays["out"], values)


@pytest.mark.parametrize("dt", [1.0, 0.1, 1e-3])
def test_spikes_are_read_by_nir_as_events(tmp_path: Path, dt: float) -> None:
    values = spikes(40, 3, 12).reshape(40, 3, 3, 4)
    values[:, 2] = False
    content = write_nir_data({"out": values}, dt, events=True)
    held = read_back(tmp_path, content).nodes["out"].observables["spikes"]
    assert type(held) is nir.EventData
    assert held.n_neurons == 12
    assert held.t_max == 40 * dt
    expected = [
        sorted((step * dt, int(n)) for step in range(40) for n in np.flatnonzero(values[step, sample].ravel()))
        for sample in range(3)
    ]
    assert held.idx.shape == (3, max(map(len, expected)))
    for sample, pairs in enumerate(expected):
        there = held.idx[sample] != -1
        assert sorted(zip(held.time[sample][there], held.idx[sample][there], strict=True)) == pairs
        assert np.all(np.isinf(held.time[sample][~there]))
    again = own(tmp_path, content, {"out": (3, 4)}, dt)
    assert np.array_equal(again.arrays["out"], values)
    assert again.notes == []


def test_counts_are_read_by_nir_as_valued_events(tmp_path: Path) -> None:
    counts = np.array([[[0, 2], [1, 0]], [[0, 0], [0, 0]], [[15, -1], [0, 0]]])
    content = write_nir_data({"out": counts}, 0.5, events=True)
    held = read_back(tmp_path, content).nodes["out"].observables["spikes"]
    assert type(held) is nir.ValuedEventData
    assert np.array_equal(held.to_time_gridded(0.5).data, counts.swapaxes(0, 1))
    assert held.idx.tolist() == [[1, 0, 1], [0, -1, -1]]
    assert held.time.tolist() == [[0, 1, 1], [0, np.inf, np.inf]]
    assert held.value[0].tolist() == [2, 15, -1]
    assert np.array_equal(own(tmp_path, content, {"out": (2,)}, 0.5).arrays["out"], counts)


def test_unsigned_counts_are_events_too(tmp_path: Path) -> None:
    counts = np.array([[[0, 2]], [[255, 0]]], np.uint8)
    held = read_back(tmp_path, write_nir_data({"out": counts}, 0.5, events=True)).nodes["out"].observables
    assert type(held["spikes"]) is nir.ValuedEventData
    assert np.array_equal(held["spikes"].to_time_gridded(0.5).data, counts.swapaxes(0, 1))


def test_silence_is_written_as_events(tmp_path: Path) -> None:
    content = write_nir_data({"out": np.zeros((4, 2, 3), bool)}, DT, events=True)
    held = read_back(tmp_path, content).nodes["out"].observables["spikes"]
    assert held.idx.shape == held.time.shape == (2, 0)
    assert held.t_max == 4 * DT
    assert np.array_equal(own(tmp_path, content, {"out": (3,)}, DT).arrays["out"], np.zeros((4, 2, 3)))


def test_values_stay_on_a_grid_beside_events(tmp_path: Path) -> None:
    v = np.arange(4.0).reshape(2, 1, 2)
    arrays = {"lif.spikes": v > 1, "lif.v": v, "out": v > 2}
    content = write_nir_data(arrays, DT, events=True, recorded={"lif.spikes", "lif.v"})
    nodes = read_back(tmp_path, content).nodes
    assert {name: set(held.observables) for name, held in nodes.items()} == {"lif": {"spikes", "v"}, "out": {"spikes"}}
    assert type(nodes["lif"].observables["spikes"]) is nir.EventData
    assert type(nodes["lif"].observables["v"]) is nir.TimeGriddedData
    assert nodes["lif"].observables["v"].data.tolist() == [[[0, 1], [2, 3]]]


@pytest.mark.parametrize("name", ["sub.lif", "a.b.c", "neuron v", "größe", "a\nb", "'\"", "0"])
def test_names_of_outputs_are_kept(tmp_path: Path, name: str) -> None:
    content = write_nir_data({name: np.ones((1, 1, 1))}, DT, events=False)
    assert list(read_back(tmp_path, content).nodes) == [name]


def test_the_states_of_a_node_whose_name_has_periods(tmp_path: Path) -> None:
    arrays = {"sub.lif.v": np.ones((1, 1, 1)), "sub.lif.spikes": np.ones((1, 1, 1), bool)}
    content = write_nir_data(arrays, DT, events=False, recorded=set(arrays))
    nodes = read_back(tmp_path, content).nodes
    assert {name: set(held.observables) for name, held in nodes.items()} == {"sub.lif": {"v", "spikes"}}


@pytest.mark.parametrize("as_events", [False, True])
def test_the_same_data_gives_the_same_bytes(as_events: bool) -> None:
    values = spikes(20, 2, 5)
    arrays = {"out": values, "lif.v": values * 0.5, "count": values.astype(int) * 3}
    first = write_nir_data(arrays, DT, events=as_events)
    assert first == write_nir_data(dict(arrays), DT, events=as_events)
    assert first.startswith(b"\x89HDF\r\n\x1a\n")


def test_what_nir_makes_of_written_events_and_grids_is_the_same(tmp_path: Path) -> None:
    values = spikes(30, 2, 5)
    gridded = read_back(tmp_path, write_nir_data({"out": values}, 0.5, events=False)).nodes["out"].observables["spikes"]
    held = read_back(tmp_path, write_nir_data({"out": values}, 0.5, events=True)).nodes["out"].observables["spikes"]
    assert np.array_equal(held.to_time_gridded(0.5).data, gridded.data)
    assert np.array_equal(gridded.to_event(held.idx.shape[1]).idx, held.idx)
    assert np.array_equal(gridded.to_event(held.idx.shape[1]).time, held.time)
