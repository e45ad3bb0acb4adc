"""What users of the package rely on: light start-up, equal registries, no vendor packages, the typed marker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nirc
from nirc import cli
from nirc.backends import BACKENDS
from nirc.dialects import DIALECTS, speck, xylo
from nirc.interpreters.speck import MODELS
from nirc.passes import PASSES
from nirc.passes.convert_nir_to_snn.schemes import OPTIONS, SCHEMES

HEAVY = ("numpy", "h5py", "xdsl", "networkx", "llvmlite")


def modules_after(code: str) -> set[str]:
    listing = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return {line.partition(".")[0] for line in result.stdout.splitlines()}


def test_help_imports_nothing_heavy() -> None:
    loaded = modules_after("from nirc.cli import cli\ntry: cli(['--help'])\nexcept SystemExit: pass")
    assert "click" in loaded
    assert not loaded & set(HEAVY)


def test_the_command_line_knows_the_registries() -> None:
    assert tuple(BACKENDS) == cli._TARGETS  # pyright: ignore[reportPrivateUsage]
    assert (*xylo.CHIPS, *speck.CHIPS) == cli._CHIPS  # pyright: ignore[reportPrivateUsage]
    assert tuple(MODELS) == cli._MODELS  # pyright: ignore[reportPrivateUsage]


def test_registered_names_are_the_real_ones() -> None:
    assert {name: load().name for name, load in DIALECTS.items()} == {name: name for name in DIALECTS}
    assert {name: load().name for name, load in PASSES.items()} == {name: name for name in PASSES}
    assert {name: load().name for name, load in BACKENDS.items()} == {name: name for name in BACKENDS}


def test_schemes_choose_every_option() -> None:
    for scheme in SCHEMES.values():
        assert scheme.options.keys() == OPTIONS.keys()
        for option, value in scheme.options.items():
            assert not OPTIONS[option] or value in OPTIONS[option], (scheme.name, option)


def test_the_typed_marker_is_there() -> None:
    assert (Path(nirc.__file__).parent / "py.typed").exists()


def test_the_links_at_the_top() -> None:
    root = Path(__file__).parent.parent
    for name in ("dialects", "passes", "backends"):
        link = root / name
        assert not link.is_symlink() or link.resolve() == (root / "nirc" / name).resolve()
