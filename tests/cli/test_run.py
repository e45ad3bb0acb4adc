"""`nirc run`: rasters in and out, levels, recorded states, chip configurations."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

from nirc.frontend.rasters import arrange

EXAMPLES = Path(__file__).parents[2] / "examples"
GESTURES, RASTER = EXAMPLES / "gestures.nir", EXAMPLES / "gestures.npz"

Nirc = Callable[..., Any]


def test_every_layer_of_the_shipped_model_spikes(nirc: Nirc) -> None:
    for target in ([], ["--target", "xylo"]):
        args = [*target, "--record", "hidden:spikes", "--record", "readout:spikes"]
        assert nirc("run", GESTURES, "--input", RASTER, "-o", "out.npz", *args).status == 0
        with np.load("out.npz") as out:
            assert out["hidden.spikes"].shape == (200, 48)
            assert out["hidden.spikes"].sum() > 100
            assert out["readout.spikes"].sum() > 100
            assert np.array_equal(out["output"], out["readout.spikes"])


def test_a_configuration_runs_like_the_model(nirc: Nirc) -> None:
    nirc(GESTURES, "--target", "xylo", "-o", "cfg.json")
    nirc("run", GESTURES, "--target", "xylo", "--input", RASTER, "-o", "model.npy")
    assert nirc("run", "cfg.json", "--input", RASTER, "-o", "config.npy").status == 0
    assert np.array_equal(np.load("model.npy"), np.load("config.npy"))


def test_the_level_of_a_target_can_be_run(nirc: Nirc) -> None:
    nirc("run", GESTURES, "--target", "xylo", "--level", "snn", "--input", RASTER, "-o", "snn.npy")
    nirc("run", GESTURES, "--reset", "subtract", "--input", RASTER, "-o", "subtract.npy")
    assert np.array_equal(np.load("snn.npy"), np.load("subtract.npy"))


def test_a_batch_axis(nirc: Nirc, tmp_path: Path) -> None:
    raster = np.load(RASTER)["input"]
    batch = np.stack([raster, raster[::-1], 0 * raster], axis=1)
    np.save(tmp_path / "batch.npy", batch)
    np.save(tmp_path / "first.npy", batch.swapaxes(0, 1))
    nirc("run", GESTURES, "--input", "batch.npy", "-o", "batched.npy")
    nirc("run", GESTURES, "--input", "first.npy", "-o", "swapped.npy", "--batch-first")
    nirc("run", GESTURES, "--input", RASTER, "-o", "single.npy")
    batched = np.load("batched.npy")
    assert batched.shape == (200, 3, 8)
    assert np.array_equal(batched[:, 0], np.load("single.npy"))
    assert np.array_equal(np.load("swapped.npy"), batched.swapaxes(0, 1))
    assert not batched[:, 2].any()


def test_events_that_the_chip_drops_are_told(nirc: Nirc, tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.full((3, 12), 16, np.uint8))
    result = nirc("run", GESTURES, "--target", "xylo", "--input", "many.npy", "-o", "out.npy")
    assert "warning: 36 input events beyond 15 per channel and step were dropped" in result.err


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((5, 11)), "has the shape 5x11, must be steps x 12 or steps x batch x 12"),
        (np.full((5, 12), np.nan), "holds values that are not finite"),
        (np.zeros((5, 12), "U1"), "numbers are expected"),
    ],
)
def test_a_bad_raster(nirc: Nirc, tmp_path: Path, array: np.ndarray[Any, Any], text: str) -> None:
    np.save(tmp_path / "bad.npy", array)
    result = nirc("run", GESTURES, "--input", "bad.npy", "-o", "out.npy")
    assert result.status == 1
    assert text in result.err
    assert not (tmp_path / "out.npy").exists()


def test_an_unknown_input_name(nirc: Nirc, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", input=np.zeros((5, 12)), other=np.zeros((5, 12)))
    result = nirc("run", GESTURES, "--input", "two.npz", "-o", "out.npz")
    assert result.status == 1
    assert "there is no input 'other'; inputs: 'input'" in result.err


def test_fractions_are_refused_on_the_chip(nirc: Nirc, tmp_path: Path) -> None:
    np.save(tmp_path / "half.npy", np.full((3, 12), 0.5))
    result = nirc("run", GESTURES, "--target", "xylo", "--input", "half.npy", "-o", "out.npy")
    assert result.status == 1
    assert "must hold event counts, whole numbers in 0..255; it spans 0.5 to 0.5" in result.err


def test_an_unknown_record(nirc: Nirc) -> None:
    result = nirc("run", GESTURES, "--input", RASTER, "-o", "out.npz", "--record", "hidden:colour")
    assert result.status == 1
    assert "cannot record 'hidden.colour'; there are hidden.spikes" in result.err


def test_a_record_without_a_state_lists_the_nodes(nirc: Nirc) -> None:
    result = nirc("run", GESTURES, "--input", RASTER, "-o", "out.npz", "--record", "hidden")
    assert result.status == 1
    assert "cannot record 'hidden'; there are hidden.spikes, hidden.z, hidden.i, hidden.v" in result.err
    assert "readout" not in result.err
    assert nirc("run", GESTURES, "--input", RASTER, "-o", "out.npz", "--record", "hidden.v").status == 0


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros(()), "is a single number, must be steps x 12 or steps x batch x 12"),
        (np.zeros(3), "has the shape 3, must be steps x 12 or steps x batch x 12"),
    ],
)
def test_a_raster_of_too_few_axes(nirc: Nirc, tmp_path: Path, array: np.ndarray[Any, Any], text: str) -> None:
    np.save(tmp_path / "in.npy", array)
    result = nirc("run", GESTURES, "--input", "in.npy", "-o", "out.npy")
    assert result.lines == [f"in.npy: the raster of input 'input' {text}"]


def test_a_single_number_is_no_raster_of_a_scalar() -> None:
    with pytest.raises(DiagnosticException, match=r"is a single number, must be steps or steps x batch$"):
        arrange(np.zeros(()), {"x": ()})


def test_several_arrays_do_not_fit_a_npy(nirc: Nirc) -> None:
    result = nirc("run", GESTURES, "--input", RASTER, "-o", "out.npy", "--record", "hidden:spikes")
    assert result.status == 1
    assert "a .npy holds one array" in result.err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--input", "nothing.npy", "-o", "out.npy"], "nothing.npy: cannot be read"),
        (["--input", RASTER, "-o", "nowhere/out.npy"], "the folder nowhere does not exist"),
        (["--input", RASTER, "-o", "out.txt"], "rasters are written as .npz, .npy, .h5, .hdf5, .nir"),
        (["--input", RASTER, "-o", "out.npy", "--dt", "soon"], "dt 'soon' is neither"),
    ],
)
def test_bad_arguments(nirc: Nirc, args: list[object], text: str) -> None:
    result = nirc("run", GESTURES, *args)
    assert result.status == 1
    assert text in result.err
    assert "Traceback" not in result.err


def test_a_damaged_configuration(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text('{"value0": {"input": 3}}')
    result = nirc("run", "cfg.json", "--input", RASTER, "-o", "out.npy")
    assert result.status == 1
    assert "cfg.json: value0.input: missing" in result.err


@pytest.mark.parametrize("name", ["cnn_sinabs.nir", "lif_norse.nir"])
def test_the_models_of_the_paper_run(nirc: Nirc, shared: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(shared / "models" / name, tmp_path / "model.nir")
    dt = ["--dt", "1e-4"] if name.startswith("lif") else []
    printed = nirc("model.nir", "--emit", "snn", *dt)
    assert printed.status == 0
    if not dt:
        assert "dt: 1, because no coefficient depends on it" in printed.err
    (tmp_path / "model.mlir").write_text(printed.out)
    shape = (6, 2, 34, 34) if not dt else (1000, 1)
    np.save(tmp_path / "in.npy", (np.random.default_rng(0).random(shape) < 0.3).astype(np.float32))
    nirc("run", "model.nir", "--input", "in.npy", "-o", "direct.npy", *dt)
    assert nirc("run", "model.mlir", "--input", "in.npy", "-o", "parsed.npy").status == 0
    direct = np.load("direct.npy")
    assert direct.any()
    assert np.array_equal(direct, np.load("parsed.npy"))
