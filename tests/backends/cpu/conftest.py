"""Every test of the target keeps its objects in a folder of the test run, never in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which kernels of this run are kept, so that equal ones are compiled once."""
    return tmp_path_factory.mktemp("objects", numbered=True)


@pytest.fixture(autouse=True)
def cache(objects: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`$NIRC_CACHE` is that folder."""
    monkeypatch.setenv("NIRC_CACHE", str(objects))
    return objects
