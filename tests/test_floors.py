"""An import never goes up a floor, no vendor's package is imported, and no chip is at start-up."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nirc

PACKAGE = Path(nirc.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {"dialects": 0, "passes": 1, "interpreters": 1, "frontend": 1, "backends": 2}
"""What lies beside these folders (driver, cli, opt, universe, ...) is the top floor."""
TOP = 3
VENDORS = frozenset(
    (
        "brian2",
        "jax",
        "lava",
        "lava_dl",
        "nengo",
        "nir",
        "nirtorch",
        "norse",
        "rockpool",
        "samna",
        "sc_neurocore",
        "sinabs",
        "snntorch",
        "spikingjelly",
        "spinnaker2",
        "spyx",
        "tensorflow",
        "torch",
        "xylosim",
    )
)
CHIPS = frozenset({"xylo", "speck", "loihi2", "spinnaker2"})


def name_of(path: Path) -> str:
    """The dotted name of a file's module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> int:
    parts = module.split(".")
    return FLOORS.get(parts[1], TOP) if len(parts) > 1 else TOP


def imports(path: Path, *, nested: bool) -> Iterator[str]:
    """The modules that a file names in its imports; `nested`: also within functions."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    tree = ast.parse(path.read_text())
    for statement in ast.walk(tree) if nested else at_import(tree):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            above = package[: len(package) - statement.level + 1] if statement.level else []
            module = ".".join([*above, *([statement.module] if statement.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in statement.names)


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when the module is imported."""
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    own = floor_of(name_of(path))
    up = {name for name in imports(path, nested=True) if name.startswith("nirc.") and floor_of(name) > own}
    assert up == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_vendor_is_imported(path: Path) -> None:
    assert {name for name in imports(path, nested=True) if name.split(".")[0] in VENDORS} == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_name_the_package(path: Path) -> None:
    """The links at the top level make second, unequal classes."""
    links = {"dialects", "passes", "backends"}
    assert {name for name in imports(path, nested=True) if name.split(".")[0] in links} == set()


REGISTRIES = [
    path for path in FILES if floor_of(name_of(path)) == TOP or name_of(path) in {f"nirc.{folder}" for folder in FLOORS}
]


@pytest.mark.parametrize("path", REGISTRIES, ids=name_of)
def test_registries_load_chips_when_asked(path: Path) -> None:
    at_start = {name for name in imports(path, nested=False) if name.startswith("nirc.")}
    assert {name for name in at_start if CHIPS & set(name.replace("_", ".").split("."))} == set()


def test_the_registries_are_there() -> None:
    assert {"nirc", "nirc.dialects", "nirc.passes", "nirc.backends", "nirc.cli", "nirc.driver"} <= {
        name_of(path) for path in REGISTRIES
    }


@pytest.mark.parametrize("module", ["nirc", "nirc.dialects", "nirc.passes", "nirc.backends", "nirc.cli"])
def test_start_up_loads_no_chip(module: str) -> None:
    code = f"import {module}, sys; print('\\n'.join(name for name in sys.modules if name.startswith('nirc')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert {name for name in loaded if CHIPS & set(name.replace("_", ".").split("."))} == set()
