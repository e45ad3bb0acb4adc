"""`nirc run` with NIRData: the network of two neurons below is computed by hand, every route gives the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nirc.dialects.dense import Array

nir: Any = pytest.importorskip("nir")

Nirc = Callable[..., Any]

EXAMPLES = Path(__file__).parents[2] / "examples"
GESTURES, RASTER = EXAMPLES / "gestures.nir", EXAMPLES / "gestures.npz"

DT = 1e-3
X = np.array([[1, 1], [1, 0], [1, 1], [1, 0], [1, 1], [0, 1]], bool)
"""Events of two neurons in six steps."""

LIF_SPIKES = np.array([[0, 0], [1, 0], [0, 1], [1, 0], [0, 0], [0, 1]], bool)
"""v = v/2 + x, a spike and 0 where v > 1.2. First neuron: 1; 1.5 *; 1; 1.5 *; 1; 0.5. Second: 1; 0.5; 1.25 *; 0; 1;
1.5 *."""

IF_SPIKES = np.array([[0, 0], [1, 0], [0, 1], [1, 0], [0, 0], [0, 1]], bool)
"""v = v + x, a spike and 0 where v > 1.5. First: 1; 2 *; 1; 2 *; 1; 1. Second: 1; 1; 2 *; 0; 1; 2 *."""

IF_V = np.array([[1, 1], [0, 1], [1, 0], [0, 0], [1, 1], [1, 0]], np.float32)
"""v after each step."""


def model(path: Path, neurons: Any, shape: tuple[int, ...] = (2,), **names: str) -> Path:
    """Input, the neurons, Output."""
    first, last = names.get("input", "input"), names.get("output", "output")
    nodes = {first: nir.Input(np.array(shape)), "n": neurons, last: nir.Output(np.array(shape))}
    nir.write(path, nir.NIRGraph(nodes, [(first, "n"), ("n", last)]))
    return path


@pytest.fixture
def lif(tmp_path: Path) -> Path:
    """tau/r is 1 ms, so that the step can be found; at that step v halves and an input adds 1."""
    ones = np.ones(2)
    return model(tmp_path / "lif.nir", nir.LIF(tau=2e-3 * ones, r=2 * ones, v_leak=0 * ones, v_threshold=1.2 * ones))


@pytest.fixture
def integrate(tmp_path: Path) -> Path:
    """No coefficient depends on a step."""
    ones = np.ones(2)
    return model(tmp_path / "if.nir", nir.IF(r=ones, v_threshold=1.5 * ones))


def save(path: Path, **nodes: Any) -> Path:
    """An observable by node, written by the `nir` package."""
    nir.write_data(path, nir.NIRGraphData({name: nir.NIRNodeData({"spikes": item}) for name, item in nodes.items()}))
    return path


def gridded(values: Array, dt: float = DT) -> Any:
    return nir.TimeGriddedData(values if values.ndim == 3 else values[None], dt)


def as_events(values: Array, dt: float = DT) -> Any:
    return gridded(values, dt).to_event(int(values.sum()), time_shift=dt / 2)


def as_valued(values: Array, dt: float = DT) -> Any:
    plain = as_events(values, dt)
    return nir.ValuedEventData(plain.idx, plain.time, plain.n_neurons, plain.t_max, np.where(plain.idx < 0, 0.0, 1.0))


def observables(path: Path) -> dict[str, Any]:
    """What a file holds by `node.observable`, as the `nir` package reads it."""
    found = nir.read_data(path).nodes
    return {f"{name}.{what}": item for name, node in found.items() for what, item in node.observables.items()}


@pytest.mark.parametrize("ending", ["h5", "hdf5", "nir"])
def test_a_grid_in_and_out(nirc: Nirc, lif: Path, tmp_path: Path, ending: str) -> None:
    save(tmp_path / f"in.{ending}", input=gridded(X))
    result = nirc("run", lif, "--input", f"in.{ending}", "-o", f"out.{ending}")
    assert (result.status, result.out) == (0, "")
    assert "warning" not in result.err
    found = observables(tmp_path / f"out.{ending}")
    assert list(found) == ["output.spikes"]
    assert type(found["output.spikes"]) is nir.TimeGriddedData
    assert found["output.spikes"].data.dtype == bool
    assert np.array_equal(found["output.spikes"].data[0], LIF_SPIKES)
    assert found["output.spikes"].dt == DT


@pytest.mark.parametrize("kind", [as_events, as_valued])
def test_events_in_and_out(nirc: Nirc, lif: Path, tmp_path: Path, kind: Callable[[Array], Any]) -> None:
    save(tmp_path / "in.h5", input=kind(X))
    assert nirc("run", lif, "--input", "in.h5", "-o", "out.h5").status == 0
    held = observables(tmp_path / "out.h5")["output.spikes"]
    assert type(held) is nir.EventData
    expected = [(1, 0), (2, 1), (3, 0), (5, 1)]
    assert held.idx.tolist() == [[neuron for _, neuron in expected]]
    assert held.time.tolist() == [[step * DT for step, _ in expected]]
    assert (held.n_neurons, held.t_max) == (2, 6 * DT)


def test_every_route_gives_the_same(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", input=X)
    save(tmp_path / "grid.h5", input=gridded(X))
    save(tmp_path / "events.h5", input=as_events(X))
    for name in ("in.npz", "grid.h5", "events.h5"):
        assert nirc("run", lif, "--input", name, "-o", f"{name}.npz", "--record", "n:spikes,v").status == 0
    with np.load("in.npz.npz") as plain:
        assert np.array_equal(plain["output"], LIF_SPIKES)
        for name in ("grid.h5", "events.h5"):
            with np.load(f"{name}.npz") as other:
                assert set(other.files) == set(plain.files) == {"output", "n.spikes", "n.v"}
                for key in plain.files:
                    assert other[key].shape == (6, 1, 2), "NIRData always has samples"
                    assert np.array_equal(other[key][:, 0], plain[key])


def test_npz_in_and_nirdata_out(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    """Results go out on a grid, as the input came."""
    np.savez(tmp_path / "in.npz", input=X)
    assert nirc("run", lif, "--input", "in.npz", "-o", "out.h5").status == 0
    held = observables(tmp_path / "out.h5")["output.spikes"]
    assert type(held) is nir.TimeGriddedData
    assert np.array_equal(held.data, LIF_SPIKES[None])
    assert held.dt == DT


def test_a_npy_of_a_batch_in_and_nirdata_out(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    batch = np.stack([X, ~X & X, X], axis=1)
    np.save(tmp_path / "in.npy", batch)
    np.save(tmp_path / "first.npy", batch.swapaxes(0, 1))
    expected = np.stack([LIF_SPIKES, ~X & X, LIF_SPIKES])
    assert nirc("run", lif, "--input", "in.npy", "-o", "out.h5").status == 0
    assert np.array_equal(observables(tmp_path / "out.h5")["output.spikes"].data, expected)
    assert nirc("run", lif, "--input", "first.npy", "--batch-first", "-o", "first.h5").status == 0
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "out.h5").read_bytes()


def test_samples_stay_apart(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    """Three samples of unequal numbers of events."""
    given = np.stack([X, np.zeros_like(X), X[:, ::-1]])
    expected = np.stack([LIF_SPIKES, np.zeros_like(X), LIF_SPIKES[:, ::-1]])
    save(tmp_path / "grid.h5", input=gridded(given))
    save(tmp_path / "events.h5", input=gridded(given).to_event(9, time_shift=DT / 2))
    nirc("run", lif, "--input", "grid.h5", "-o", "grid_out.h5")
    nirc("run", lif, "--input", "events.h5", "-o", "events_out.h5")
    assert np.array_equal(observables(tmp_path / "grid_out.h5")["output.spikes"].data, expected)
    held = observables(tmp_path / "events_out.h5")["output.spikes"]
    assert held.idx.tolist() == [[0, 1, 0, 1], [-1] * 4, [1, 0, 1, 0]]
    assert np.isinf(held.time[1]).all()


def test_what_came_out_goes_in_again(nirc: Nirc, integrate: Path, tmp_path: Path) -> None:
    """The output of one network as the input of the next: the Output and the Input have one name here."""
    ones = np.ones(2)
    model(tmp_path / "two.nir", nir.IF(r=ones, v_threshold=0.5 * ones), input="output", output="last")
    save(tmp_path / "in.h5", input=as_events(X))
    assert nirc("run", integrate, "--input", "in.h5", "-o", "mid.h5", "--dt", DT).status == 0
    result = nirc("run", "two.nir", "--input", "mid.h5", "-o", "out.npy", "--dt", DT)
    assert result.status == 0
    assert "warning" not in result.err
    assert np.array_equal(np.load("out.npy")[:, 0], IF_SPIKES)


def test_recorded_states(nirc: Nirc, integrate: Path, tmp_path: Path) -> None:
    """Spikes go out as events, a voltage on the grid."""
    save(tmp_path / "in.h5", input=as_events(X))
    result = nirc("run", integrate, "--input", "in.h5", "-o", "out.h5", "--dt", DT, "--record", "n:spikes,v")
    assert result.status == 0
    found = observables(tmp_path / "out.h5")
    assert set(found) == {"output.spikes", "n.spikes", "n.v"}
    assert {name: type(item) for name, item in found.items()} == {
        "output.spikes": nir.EventData,
        "n.spikes": nir.EventData,
        "n.v": nir.TimeGriddedData,
    }
    assert np.array_equal(found["n.v"].data, IF_V[None])
    assert found["n.v"].data.dtype == np.float32
    assert found["n.spikes"].idx.tolist() == found["output.spikes"].idx.tolist() == [[0, 1, 0, 1]]


def test_layers_with_axes(nirc: Nirc, tmp_path: Path) -> None:
    """Neuron 2x3 counted in rows; a threshold of its own for each tells them apart."""
    threshold = np.array([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
    path = model(tmp_path / "wide.nir", nir.IF(r=np.ones((2, 3)), v_threshold=threshold), (2, 3))
    save(tmp_path / "in.h5", input=as_events(np.ones((7, 6), bool)))
    assert nirc("run", path, "--input", "in.h5", "-o", "out.h5", "--dt", DT, "--precision", "f64").status == 0
    held = observables(tmp_path / "out.h5")["output.spikes"]
    assert held.n_neurons == 6
    counts = np.bincount(held.idx[0][held.idx[0] >= 0], minlength=6)
    assert counts.tolist() == [7 // n for n in range(1, 7)]
    nirc("run", path, "--input", "in.h5", "-o", "out.npy", "--dt", DT)
    assert np.load("out.npy").shape == (7, 1, 2, 3)
    assert np.load("out.npy").sum(axis=(0, 1)).tolist() == [[7, 3, 2], [1, 1, 1]]


# The step.


def test_the_step_given_and_found(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=as_events(X))
    found = nirc("run", lif, "--input", "in.h5", "-o", "found.h5")
    given = nirc("run", lif, "--input", "in.h5", "-o", "given.h5", "--dt", DT)
    assert "dt: 0.001 s, from tau/r" in found.err
    assert "dt: 0.001 s (as told)" in given.err
    assert (tmp_path / "found.h5").read_bytes() == (tmp_path / "given.h5").read_bytes()


def test_a_finer_step_takes_more_of_them(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    """Events are free of a grid: at 0.5 ms 6 ms are 12 steps, and each event lasts one of them. v keeps 3/4, an
    input adds 1/2: the first neuron 0.5; 0.375; 0.78; 0.59; 0.94; 0.70; 1.03; 0.77; 1.08; ... never passes 1.2."""
    save(tmp_path / "in.h5", input=as_events(X))
    assert nirc("run", lif, "--input", "in.h5", "-o", "out.npy", "--dt", DT / 2).status == 0
    assert np.load("out.npy").shape == (12, 1, 2)
    assert not np.load("out.npy").any()


def test_a_grid_of_another_step_is_refused(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=gridded(X, 1e-4))
    result = nirc("run", lif, "--input", "in.h5", "-o", "out.h5")
    assert (result.status, result.out) == (1, "")
    assert result.lines == [
        "in.h5: the data of 'input' stands every 0.0001 s, the network steps 0.001 s; "
        "give --dt 0.0001 or data on that grid"
    ]
    assert not (tmp_path / "out.h5").exists()
    assert nirc("run", lif, "--input", "in.h5", "-o", "out.h5", "--dt", "1e-4").status == 0
    assert observables(tmp_path / "out.h5")["output.spikes"].dt == 1e-4


def test_a_step_that_nothing_depends_on_is_that_of_the_grid(nirc: Nirc, integrate: Path, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=gridded(X, 0.25))
    result = nirc("run", integrate, "--input", "in.h5", "-o", "out.h5")
    assert result.status == 0
    assert "dt: 1, because no coefficient depends on it" in result.err
    held = observables(tmp_path / "out.h5")["output.spikes"]
    assert held.dt == 0.25
    assert np.array_equal(held.data[0], IF_SPIKES)


def test_events_need_a_step_all_the_same(nirc: Nirc, integrate: Path, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=as_events(X))
    result = nirc("run", integrate, "--input", "in.h5", "-o", "out.h5")
    assert result.status == 1
    assert result.lines == [
        "in.h5: the events of 'input' need a step, and the network depends on none; give --dt",
    ]
    assert nirc("run", integrate, "--input", "in.h5", "-o", "out.h5", "--dt", DT).status == 0
    held = observables(tmp_path / "out.h5")["output.spikes"]
    assert np.array_equal(held.to_time_gridded(DT).data[0], IF_SPIKES)


def test_nirdata_needs_a_step_to_be_written(nirc: Nirc, integrate: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", X)
    result = nirc("run", integrate, "--input", "in.npy", "-o", "out.h5")
    assert result.status == 1
    assert result.lines == ["out.h5: NIRData needs the time step, on which nothing depends here; give --dt"]
    assert not (tmp_path / "out.h5").exists()
    assert nirc("run", integrate, "--input", "in.npy", "-o", "out.h5", "--dt", "0.5").status == 0
    held = observables(tmp_path / "out.h5")["output.spikes"]
    assert held.dt == 0.5
    assert np.array_equal(held.data[0], IF_SPIKES)


def test_printed_ir_keeps_the_step(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    (tmp_path / "snn.mlir").write_text(nirc(lif, "--emit", "snn").out)
    save(tmp_path / "in.h5", input=as_events(X))
    nirc("run", lif, "--input", "in.h5", "-o", "model.h5")
    assert nirc("run", "snn.mlir", "--input", "in.h5", "-o", "snn.h5").status == 0
    assert (tmp_path / "snn.h5").read_bytes() == (tmp_path / "model.h5").read_bytes()


# Warnings and refusals.


def test_warnings_stand_on_stderr(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    """Two events in one step are an input of 2: v is 2 > 1.2 at once."""
    idx, time = np.array([[0, 0]]), np.array([[0.1, 0.9]]) * DT
    held = nir.EventData(idx, time, 2, 1.5 * DT)
    save(tmp_path / "in.h5", input=held, extra=held)
    result = nirc("run", lif, "--input", "in.h5", "-o", "out.npy")
    assert (result.status, result.out) == (0, "")
    assert [line for line in result.lines if "warning" in line] == [
        "warning: the events of 'input' last 1.5 steps; 2 are run",
        "warning: 1 events of 'input' fall into a step with another one of their neuron: they add up",
        "warning: data of 'extra' is of no input and not used",
    ]
    assert np.load("out.npy").tolist() == [[[True, False]], [[False, False]]]


def test_batch_first_is_refused_or_right(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    """NIRData has its own order; arrays that come out of it are batch x steps where the user says so."""
    save(tmp_path / "in.h5", input=gridded(np.stack([X, X, X])))
    result = nirc("run", lif, "--input", "in.h5", "-o", "out.npy", "--batch-first")
    if result.status == 0:
        assert np.load("out.npy").shape == (3, 6, 2)
    else:
        assert "--batch-first" in result.err


def test_batch_first_changes_nothing_from_nirdata_to_nirdata(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=gridded(np.stack([X, X, X])))
    nirc("run", lif, "--input", "in.h5", "-o", "out.h5")
    result = nirc("run", lif, "--input", "in.h5", "-o", "first.h5", "--batch-first")
    if result.status == 0:
        assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "out.h5").read_bytes()
    else:
        assert "--batch-first" in result.err


def test_faults_of_the_data_come_together(nirc: Nirc, tmp_path: Path) -> None:
    nodes = {f"in{n}": nir.Input(np.array([2])) for n in range(3)} | {"output": nir.Output(np.array([2]))}
    nir.write(tmp_path / "three.nir", nir.NIRGraph(nodes, [(f"in{n}", "output") for n in range(3)]))
    save(tmp_path / "in.h5", in0=gridded(np.ones((4, 3))), in1=as_events(X))
    result = nirc("run", "three.nir", "--input", "in.h5", "-o", "out.npz")
    assert result.status == 1
    assert result.lines == [
        "in.h5: the data of 'in0' is of 3 neurons, the input is 2",
        "in.h5: the events of 'in1' need a step, and the network depends on none; give --dt",
        "in.h5: no data for the input 'in2'; there is data of 'in0', 'in1'",
    ]


def test_inputs_of_unequal_length(nirc: Nirc, tmp_path: Path) -> None:
    nodes = {f"in{n}": nir.Input(np.array([2])) for n in range(2)} | {"output": nir.Output(np.array([2]))}
    nir.write(tmp_path / "two.nir", nir.NIRGraph(nodes, [("in0", "output"), ("in1", "output")]))
    save(tmp_path / "in.h5", in0=gridded(X), in1=gridded(np.stack([X[:4], X[:4]])))
    result = nirc("run", "two.nir", "--input", "in.h5", "-o", "out.npz")
    assert result.status == 1
    assert result.lines == ["in.h5: the rasters differ in steps or batch: 'in0' 6x1, 'in1' 4x2"]


def test_values_that_are_not_finite(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=gridded(np.full((3, 2), np.inf)))
    result = nirc("run", lif, "--input", "in.h5", "-o", "out.npy")
    assert result.status == 1
    assert result.lines == ["in.h5: the raster of input 'input' holds values that are not finite"]


def test_a_model_in_place_of_data(nirc: Nirc, lif: Path) -> None:
    result = nirc("run", lif, "--input", lif, "-o", "out.npy")
    assert result.status == 1
    assert result.lines == [f"{lif}: not a NIRData file: its root is not marked as NIRGraphData"]


def test_data_in_place_of_a_model(nirc: Nirc, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=gridded(X))
    result = nirc("run", "in.h5", "--input", "in.h5", "-o", "out.npy")
    assert result.status == 1
    assert "Traceback" not in result.err
    assert "in.h5: no group 'node'; a .nir file holds its graph there" in result.err


@pytest.mark.parametrize("ending", ["h5", "nir"])
def test_a_text_file_in_place_of_data(nirc: Nirc, lif: Path, tmp_path: Path, ending: str) -> None:
    (tmp_path / f"in.{ending}").write_text("hello")
    result = nirc("run", lif, "--input", f"in.{ending}", "-o", "out.npy")
    assert result.status == 1
    assert result.lines == [f"in.{ending}: cannot be read: not a .npy, .npz or NIRData file"]


def test_a_damaged_file(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    content = save(tmp_path / "in.h5", input=gridded(X)).read_bytes()
    (tmp_path / "in.h5").write_bytes(content[: len(content) // 2])
    result = nirc("run", lif, "--input", "in.h5", "-o", "out.npy")
    assert result.status == 1
    assert len(result.lines) == 1
    assert result.lines[0].startswith("in.h5: the HDF5 file is damaged or cut off")


@pytest.mark.parametrize("end", [1e300, 1e16])
def test_a_recording_beyond_all_memory(nirc: Nirc, lif: Path, tmp_path: Path, end: float) -> None:
    save(tmp_path / "in.h5", input=nir.EventData(np.array([[0]]), np.array([[0.0]]), 2, end))
    result = nirc("run", lif, "--input", "in.h5", "-o", "out.npy")
    assert result.status == 1
    assert "Traceback" not in result.err


def test_an_event_just_before_the_end(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    """A legal file: the last time before t_max."""
    held = nir.EventData(np.array([[0]]), np.array([[np.nextafter(4 * DT, 0)]]), 2, 4 * DT)
    save(tmp_path / "in.h5", input=held)
    result = nirc("run", lif, "--input", "in.h5", "-o", "out.npz", "--record", "n:v")
    assert result.status == 0
    with np.load("out.npz") as out:
        assert np.argmax(out["n.v"][:, 0, 0]) == 3


def test_the_data_is_not_overwritten(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "in.h5", input=gridded(X))
    before = path.read_bytes()
    result = nirc("run", lif, "--input", "in.h5", "-o", "in.h5")
    assert result.status == 1
    assert "in.h5: is an input of this command; give another name for the output" in result.err
    over_model = nirc("run", lif, "--input", "in.h5", "-o", "lif.nir")
    assert over_model.status == 1
    assert "lif.nir: is an input of this command" in over_model.err
    assert path.read_bytes() == before
    assert nir.read(lif).nodes.keys() == {"input", "n", "output"}


# Names.


@pytest.mark.parametrize("name", ["sub.out", "lif.v", "x.spikes", "größe", "a\nb", " "])
def test_names_of_outputs_are_kept(nirc: Nirc, tmp_path: Path, name: str) -> None:
    """An Output may have periods in its name, and end like a state."""
    ones = np.ones(2)
    model(tmp_path / "named.nir", nir.IF(r=ones, v_threshold=0.5 * ones), output=name)
    save(tmp_path / "in.h5", input=gridded(X))
    assert nirc("run", "named.nir", "--input", "in.h5", "-o", "out.h5").status == 0
    nodes = nir.read_data(tmp_path / "out.h5").nodes
    assert list(nodes) == [name]
    assert np.array_equal(nodes[name].observables["spikes"].data[0], X)


def test_two_outputs_of_like_names(nirc: Nirc, tmp_path: Path) -> None:
    ones = np.ones(2)
    nodes = {
        "input": nir.Input(np.array([2])),
        "n": nir.IF(r=ones, v_threshold=0.5 * ones),
        "a": nir.Output(np.array([2])),
        "a.spikes": nir.Output(np.array([2])),
    }
    nir.write(tmp_path / "two.nir", nir.NIRGraph(nodes, [("input", "n"), ("n", "a"), ("n", "a.spikes")]))
    save(tmp_path / "in.h5", input=gridded(X))
    result = nirc("run", "two.nir", "--input", "in.h5", "-o", "out.h5")
    assert "Traceback" not in result.err
    assert result.status == 0
    assert set(nir.read_data(tmp_path / "out.h5").nodes) == {"a", "a.spikes"}


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_a_record_of_the_name_of_an_output(nirc: Nirc, tmp_path: Path, ending: str) -> None:
    """The Output `n.v` carries spikes; what is recorded as `n.v` must not stand for it in silence."""
    ones = np.ones(2)
    model(tmp_path / "named.nir", nir.IF(r=ones, v_threshold=1.5 * ones), output="n.v")
    save(tmp_path / "in.h5", input=gridded(X))
    result = nirc("run", "named.nir", "--input", "in.h5", "-o", f"out.{ending}", "--record", "n:v")
    if result.status == 0 and ending == "npz":
        with np.load("out.npz") as out:
            assert any(np.array_equal(out[name][:, 0], IF_SPIKES) for name in out.files)
    elif result.status == 0:
        held = observables(tmp_path / "out.h5").values()
        assert any(np.array_equal(item.data[0], IF_SPIKES) for item in held)
    else:
        assert result.status == 1
        assert "'n.v'" in result.err
        assert "Traceback" not in result.err


# As a chip.


def test_a_chip_takes_nirdata(nirc: Nirc, tmp_path: Path) -> None:
    """The recording as events whose values are the counts; the chip's configuration keeps the step."""
    with np.load(RASTER) as held:
        raster: Array = held["input"]
    step, neuron = np.nonzero(raster)
    value = raster[step, neuron].astype(float)[None]
    save(tmp_path / "in.h5", input=nir.ValuedEventData(neuron[None], (step[None] + 0.5) * DT, 12, 200 * DT, value))
    nirc(GESTURES, "--target", "xylo", "-o", "cfg.json")
    nirc("run", GESTURES, "--target", "xylo", "--input", RASTER, "-o", "plain.npy")
    plain = np.load("plain.npy")
    assert plain.shape == (200, 8)
    assert plain.any()
    for given in ([GESTURES, "--target", "xylo"], ["cfg.json"]):
        assert nirc("run", *given, "--input", "in.h5", "-o", "out.npy").status == 0
        assert np.array_equal(np.load("out.npy")[:, 0], plain)


def test_spikes_of_a_chip_go_out_as_events(nirc: Nirc, tmp_path: Path) -> None:
    """As the input came, also where the chip counts them."""
    with np.load(RASTER) as held:
        raster: Array = held["input"] > 0
    save(tmp_path / "in.h5", input=as_events(raster))
    nirc("run", GESTURES, "--target", "xylo", "--input", "in.h5", "-o", "out.npy", "--record", "hidden:spikes")
    nirc("run", GESTURES, "--target", "xylo", "--input", "in.h5", "-o", "out.h5")
    found = observables(tmp_path / "out.h5")
    assert [type(item) for item in found.values()] == [nir.ValuedEventData]


def test_the_same_command_writes_the_same_bytes(nirc: Nirc, lif: Path, tmp_path: Path) -> None:
    save(tmp_path / "in.h5", input=as_events(X))
    for name in ("one.h5", "two.h5"):
        nirc("run", lif, "--input", "in.h5", "-o", name, "--record", "n:v,spikes")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
