"""Fixtures of the tests of the frontend: trees of fields become .nir files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import h5py
import pytest


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """A root node to a .nir file: a dictionary becomes a group, anything else a dataset."""

    def put(group: h5py.Group, name: str, value: Any) -> None:
        if isinstance(value, dict):
            inner = group.create_group(name)
            for key, item in cast(dict[str, Any], value).items():
                put(inner, key, item)
        else:
            group.create_dataset(name, data=value)

    def run(node: dict[str, Any], version: str | None = "1.0") -> Path:
        path = tmp_path / "model.nir"
        with h5py.File(path, "w") as file:
            if version is not None:
                file.create_dataset("version", data=version)
            put(file, "node", node)
        return path

    return run
