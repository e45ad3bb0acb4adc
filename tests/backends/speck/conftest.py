"""samna in a child process: the loader of docs/targets/speck.md makes its objects from what nirc wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2]))
from blocks import run_by

RUNNER = Path(__file__).parent / "samna_runner.py"


@pytest.fixture
def load_into_samna(oracle: Callable[[str], str], tmp_path: Path) -> Callable[..., list[Any]]:
    """The page's lines on each configuration: valid, message, text; `fresh.json` is left in its folder."""
    python = oracle("samna")

    def run(*configs: bytes) -> list[Any]:
        (tmp_path / "loader.py").write_text(run_by(__file__))
        for n, config in enumerate(configs):
            (tmp_path / str(n)).mkdir()
            (tmp_path / str(n) / "cfg.json").write_bytes(config)
        done = subprocess.run([python, RUNNER, tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "results.json").read_text())

    return run
