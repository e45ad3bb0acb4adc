"""Every block of the README runs as it stands (the two marked ones, which install nirc, run in CI)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHELL = [line for block in re.findall(r"(?<!-->\n)```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
PYTHON = [
    block
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    if not re.search("(import|from) (samna|lava|spinnaker2)", block)
]
"""The vendors' blocks run in the oracles' environments or on a stub, see tests/backends/speck, loihi2, spinnaker2."""
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, as a user stands in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = {"PATH": f"{BIN}:/usr/bin:/bin"}
    return subprocess.run(command, shell=isinstance(command, str), cwd=folder, env=path, capture_output=True, text=True)


def test_shell_blocks(checkout: Path) -> None:
    assert len(SHELL) >= 8
    for line in SHELL:
        if shutil.which("cc", path="/usr/bin:/bin") is None and re.search(r"\bcc\b|shared|classify", line):
            continue
        result = run(line, checkout)
        assert result.returncode == 0, f"{line}\n{result.stderr}"


def test_python_blocks(checkout: Path) -> None:
    assert PYTHON
    for block in PYTHON:
        result = run([sys.executable, "-c", block], checkout)
        assert result.returncode == 0, result.stderr


def test_the_printed_assumptions_are_the_real_ones(checkout: Path) -> None:
    printed = re.search(r"```text\n(assumptions:\n.*?)```", README, re.DOTALL)
    assert printed is not None
    result = run("nirc examples/digits.nir --target xylo -o cfg.json", checkout)
    assert result.stderr == printed[1]


def test_the_lowering_example_passes(checkout: Path) -> None:
    result = run("bash examples/lowering_test/run.sh", checkout)
    assert result.returncode == 0, result.stderr


def test_the_lowering_example_can_fail(checkout: Path) -> None:
    file = checkout / "examples" / "lowering_test" / "lif.mlir"
    file.write_text(file.read_text().replace("4.0e-03", "5.0e-03"))
    assert run("bash examples/lowering_test/run.sh", checkout).returncode != 0
