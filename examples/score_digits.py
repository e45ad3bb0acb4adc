"""Prints the accuracy of a run of the digits: `python examples/score_digits.py spikes.npz`, for the readouts' spikes.

The class of a sample is the c that maximises codes[c] . n, n the spikes of each readout over all steps. With as many
readouts as classes codes[c] is 1 at c and 0 elsewhere; with 8 readouts it is the class's code word as +-1.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABELS = Path(__file__).parent / "digits_labels.npz"


def classify(spikes: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """The classes [samples] of spikes [steps, samples, readouts]; of equals the first."""
    words = 2 * codes.astype(int) - 1 if spikes.shape[2] == codes.shape[1] else np.eye(len(codes), dtype=int)
    return np.argmax(spikes.sum(0, dtype=int) @ words.T, axis=1)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Accuracy of a run of the digits.")
    parser.add_argument("spikes", help="steps x samples x readouts, a .npy or a .npz with the array `output`")
    parser.add_argument("--labels", default=LABELS, help="a .npz with `labels` and `codes` (default: %(default)s)")
    arguments = parser.parse_args()
    stored, known = np.load(arguments.spikes), np.load(arguments.labels)
    spikes: NDArray[Any] = stored["output"] if arguments.spikes.endswith(".npz") else stored
    right = int(np.sum(classify(spikes, known["codes"]) == known["labels"]))
    print(f"accuracy: {right / len(known['labels']):.2%} ({right} of {len(known['labels'])})")


if __name__ == "__main__":
    main()
