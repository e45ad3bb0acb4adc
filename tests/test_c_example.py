"""The C program under examples classifies the test digits as documented, by the object and by the C file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import nirc

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize(("target", "ending"), [("cpu", ".o"), ("c", ".c")])
def test_the_digits(tmp_path: Path, target: str, ending: str) -> None:
    network = tmp_path / f"digits{ending}"
    nirc.compile(EXAMPLES / "digits.nir", target).save(network)
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{tmp_path}"]
    program = tmp_path / "classify"
    subprocess.run(["cc", *flags, "-o", program, EXAMPLES / "classify_digits.c", network], check=True)
    samples = np.load(EXAMPLES / "digits.npz")["input"].swapaxes(0, 1).astype("f4")
    done = subprocess.run([program], input=samples.tobytes(), capture_output=True, check=True)
    found = np.array(done.stdout.split(), int)
    labels = np.load(EXAMPLES / "digits_labels.npz")["labels"]
    assert found.shape == labels.shape
    # As many as the documentation and examples/score_digits.py report for the network.
    assert f"{100 * (found == labels).mean():.1f} %" == "93.6 %"
