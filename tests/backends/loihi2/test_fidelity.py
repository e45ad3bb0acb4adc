"""How many spikes the chip's integers change, against the network of real numbers: the figures in the README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import nirc
from nirc.dialects.dense import Array

ROOT = Path(__file__).parents[3]


def stated(row: str) -> list[int]:
    """The figures of a row: hidden, output, then with weight splits."""
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    lines = [line for page in pages for line in page.read_text().splitlines() if line.startswith(f"| {row} |")]
    assert len(lines) == 1
    cells = [cell.partition(" of ")[0].replace(",", "").strip() for cell in lines[0].split("|")[2:-1]]
    return [int(cell) for cell in cells]


def differing(model: Path, raster: Array, nodes: tuple[str, ...], **options: Any) -> list[int]:
    """Spikes of each node that differ, shifted by its latency, without and with weight splits."""
    record = tuple(f"{node}.spikes" for node in nodes)
    network: dict[str, Array] = nirc.compile(str(model), **options).run(raster, record)
    found = list[int]()
    for splits in (None, "2"):
        program = nirc.compile(str(model), "loihi2", weight_splits=splits, **options)
        config = json.loads(program.emit())
        chip: dict[str, Array] = program.run(raster, record)
        for node, key in zip(nodes, record, strict=True):
            parts = [name for name, told in config["nirc"]["processes"].items() if told.get("node") == node]
            late: int = config["neurons"][parts[0]]["latency"]
            assert network[key].any()
            found.append(int((chip[key][late:] != network[key][:-late]).sum()))
    return found


def test_braille(shared: Path) -> None:
    """On the raster of the specification's section 4.3 at most the mismatches that it measured."""
    folder, nodes = shared / "cases" / "loihi2" / "11_braille_zero", ("lif1.lif", "lif2")
    raster = np.moveaxis(np.load(folder / "input.npy"), -1, 0)
    found = differing(folder / "model.nir", raster, nodes, dt=1e-4)
    assert all(n <= most for n, most in zip(found, (53, 539, 5, 121), strict=True))
    assert found == stated("the same, another raster")


def test_braille_recorded(shared: Path) -> None:
    """The sample that the platforms of the NIR paper recorded."""
    raster = np.load(shared / "cases" / "braille_recorded" / "braille_ds_test0_input_recovered.npy")
    model = shared / "models" / "braille_noDelay_bias_zero.nir"
    found = differing(model, raster, ("lif1.lif", "lif2"), dt=1e-4)
    assert found == stated("the NIR paper's braille network, its recorded sample")


def test_digits() -> None:
    """All test samples."""
    with np.load(ROOT / "examples" / "digits.npz") as content:
        raster = content["input"]
    found = differing(ROOT / "examples" / "digits.nir", raster, ("hidden", "readout"), reset="zero")
    assert found == stated("`digits.nir`, 360 samples, `--reset zero`")
