"""samna in a child process: the README's loader makes its objects from what nirc wrote."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[3] / "README.md"
RUNNER = Path(__file__).parent / "samna_runner.py"


@pytest.fixture
def load_into_samna(oracle: Callable[[str], str], tmp_path: Path) -> Callable[..., list[Any]]:
    """The README's lines on each configuration: valid, message, text; `fresh.json` is left in its folder."""
    python = oracle("samna")

    def run(*configs: bytes) -> list[Any]:
        block = next(part for part in README.read_text().split("```python")[1:] if "SpeckConfiguration()" in part)
        (tmp_path / "loader.py").write_text(block.split("```")[0])
        for n, config in enumerate(configs):
            (tmp_path / str(n)).mkdir()
            (tmp_path / str(n) / "cfg.json").write_bytes(config)
        done = subprocess.run([python, RUNNER, tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "results.json").read_text())

    return run
