"""Files of real models in Lava itself, through the specification's checker: u, v and spikes of every population."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nirc
from nirc.dialects import loihi2
from nirc.dialects.dense import Array
from nirc.interpreters.loihi2 import Loihi2Evaluator

ROOT = Path(__file__).parents[3]

RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("check", sys.argv[1])
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)
check.lava_shim()
for name in sys.argv[2:]:
    config, x = check.load_cfg(name + ".json"), check.np.load(name + ".npy")
    entry = next(item["name"] for item in config["processes"] if item["type"] == "Input")
    check.np.savez(name + ".npz", **check.run_json(config, {entry: x}, x.shape[-1]))
"""


def states(program: nirc.Program, raster: Array) -> dict[str, Array]:
    """`<process>.s`, `.u`, `.v` in Lava's order, [T, ...]."""
    (network,) = program.module.ops
    assert isinstance(network, loihi2.NetworkOp)
    evaluator, (entry,) = Loihi2Evaluator(network), network.inputs()
    found: dict[str, list[Array]] = {f"{name}.{state}": [] for name in evaluator.populations for state in "suv"}
    for x in raster:
        evaluator.step({entry: x[None]})
        for name, population in evaluator.populations.items():
            for state, values in zip("suv", (population.spikes, population.u, population.v), strict=True):
                found[f"{name}.{state}"].append(values[0].astype(np.int32))
    return {key: np.stack(values) for key, values in found.items()}


def test_models(oracle: Callable[[str], str], shared: Path, tmp_path: Path) -> None:
    """One LIF, braille with a reset to 0 and with splits, convolutions, the NIR paper's SCNN for some steps."""
    python, rng = oracle("lava"), np.random.default_rng(0)
    models, braille = shared / "models", np.load(shared / "cases/braille_recorded/braille_ds_test0_input_recovered.npy")
    recurrent = models / "braille_noDelay_bias_zero.nir"
    jobs: dict[str, tuple[Path, Array | int, dict[str, Any]]] = {
        "lif": (models / "lif_norse.nir", 200, {"dt": 1e-4}),
        "braille": (recurrent, braille, {"dt": 1e-4}),
        "splits": (recurrent, braille[:100], {"dt": 1e-4, "weight_splits": "2"}),
        "edges": (ROOT / "examples" / "edges.nir", 20, {}),
        "graded": (ROOT / "examples" / "edges.nir", 20, {"inputs": "graded"}),
        "scnn": (models / "scnn_mnist_sinabs.nir", 8, {}),
    }
    ours = dict[str, dict[str, Array]]()
    for name, (model, given, options) in jobs.items():
        program = nirc.compile(str(model), "loihi2", **options)
        (shape,) = program.inputs.values()
        raster = (rng.random((given, *shape)) < 0.3).astype(np.int32) if isinstance(given, int) else given
        if name == "graded":
            raster *= rng.integers(1, 256, raster.shape).astype(np.int32)
        program.save(tmp_path / f"{name}.json")
        np.save(tmp_path / f"{name}.npy", np.moveaxis(raster, 0, -1))
        ours[name] = states(program, raster)
    command = [python, "-c", RUN, str(shared / "checks" / "loihi2_check.py"), *jobs]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    for name, found in ours.items():
        theirs: Any = np.load(tmp_path / f"{name}.npz")
        assert set(theirs.files) == set(found)
        for key in theirs.files:
            assert np.array_equal(theirs[key], found[key]), (name, key)
        assert sum(int(values.sum()) for key, values in found.items() if key.endswith(".s")) > 10, name
