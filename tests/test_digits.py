"""The digits that ship with nirc: the accuracies of the targets' pages, on labels that the training never saw.

What is right comes from scikit-learn's labels, which `examples/train_digits.py` stored beside the rasters.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nirc
from nirc.dialects.dense import Array

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def load(name: str) -> dict[str, Array]:
    with np.load(EXAMPLES / name) as content:
        return {key: content[key] for key in content.files}


def accuracy(model: str, raster: str, target: str | None = None, dynamics: str | None = None, **options: Any) -> float:
    """Per cent of the samples whose code word, or class, gets the most spikes; dynamics: which model predicts."""
    known = load("digits_labels.npz")
    program = nirc.compile(str(EXAMPLES / model), target, **options)
    spikes: Array = program.run(load(raster)["input"], model=dynamics)
    counts: Array = spikes.sum(0, dtype=int)
    words: Array = 2 * known["codes"].astype(int) - 1 if counts.shape[1] == 8 else np.eye(10, dtype=int)
    right: Array = np.argmax(counts @ words.T, axis=1) == known["labels"]
    return 100 * right.sum() / len(right)


def test_the_samples_are_stratified() -> None:
    labels = load("digits_labels.npz")["labels"]
    assert len(labels) == 360
    assert set(np.bincount(labels)) <= {34, 35, 36, 37, 38}


def test_codes_differ_in_four_readouts() -> None:
    codes = load("digits_labels.npz")["codes"].astype(int)
    apart = (codes[:, None] != codes).sum(-1)[~np.eye(10, dtype=bool)]
    assert apart.min() == 4
    assert set(codes.sum(1)) == {4}


@pytest.mark.parametrize(("model", "least"), [("digits", 90), ("digits_recurrent", 88), ("digits_conv", 88)])
def test_the_network(model: str, least: float) -> None:
    raster = "digits_conv.npz" if model == "digits_conv" else "digits.npz"
    assert accuracy(f"{model}.nir", raster) >= least


@pytest.mark.parametrize("model", ["digits", "digits_recurrent"])
def test_on_xylo(model: str) -> None:
    """The faithful mapping loses less than a point; the page says what each gives."""
    found = [
        accuracy(f"{model}.nir", "digits.npz"),
        accuracy(f"{model}.nir", "digits.npz", "xylo"),
        accuracy(f"{model}.nir", "digits.npz", "xylo", mapping="vendor"),
    ]
    assert found[0] - found[1] < 1
    assert found[1] > found[2]
    assert printed(model, "xylo") == [f"{value:.1f}" for value in found]


def printed(model: str, target: str) -> list[str]:
    """The accuracies in a model's row of a target's page."""
    page = ROOT / "docs" / "targets" / f"{target}.md"
    row = re.search(rf"^\| `{model}\.nir`.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    return re.findall(r"([\d.]+) %", row[0])


def test_on_speck() -> None:
    """Both predictions lose less than a point of the network's own."""
    network = accuracy("digits_conv.nir", "digits_conv.npz")
    found = [accuracy("digits_conv.nir", "digits_conv.npz", "speck", model) for model in ("stepped", "events")]
    assert all(network - value < 1 for value in found)
    assert printed("digits_conv", "speck") == [f"{value:.1f}" for value in (network, *found)]


@pytest.mark.parametrize("model", ["digits", "digits_recurrent"])
def test_on_loihi2(model: str) -> None:
    """The rounding of weights loses less than a point, which a second connection beside each gives back."""
    found = [
        accuracy(f"{model}.nir", "digits.npz", reset="zero"),
        accuracy(f"{model}.nir", "digits.npz", "loihi2", reset="zero"),
        accuracy(f"{model}.nir", "digits.npz", "loihi2", reset="zero", weight_splits="2"),
    ]
    assert found[0] - found[1] < 1
    assert found[2] >= found[0]
    assert printed(model, "loihi2") == [f"{value:.1f}" for value in found]


@pytest.mark.parametrize("model", ["digits", "digits_recurrent"])
def test_on_spinnaker2(model: str) -> None:
    """Less than two points are lost; the target's page says what each mapping gives."""
    options: list[dict[str, str]] = [{}, {"quantize": "layer"}, {"mapping": "vendor"}]
    found = [accuracy(f"{model}.nir", "digits.npz")]
    found += [accuracy(f"{model}.nir", "digits.npz", "spinnaker2", **each) for each in options]
    assert all(found[0] - value < 2 for value in found[1:])
    assert printed(model, "spinnaker2") == [f"{value:.1f}" for value in found]
