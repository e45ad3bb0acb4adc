"""Networks that a C compiler has built, called by their functions alone; sizes come from the header's macros."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nirc.dialects.dense import Array
from nirc.driver import Program

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="no gcc")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")


def gcc(*args: object) -> subprocess.CompletedProcess[str]:
    """Run the compiler; it must succeed without a warning."""
    done = subprocess.run(["gcc", *map(str, args)], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    assert not done.stderr, done.stderr
    return done


class Library:
    """A shared library and its header."""

    def __init__(self, library: str | PathLike[str], header: str | PathLike[str]) -> None:
        text = Path(header).read_text()
        found = re.search(r"^void (\w+)_run\(\w+ \*state, size_t steps(.*)\);$", text, re.MULTILINE)
        assert found is not None
        self.name = found[1]
        self.ports = re.findall(r", (const )?(\w+) \*(\w+)", found[2])
        """Whether an input, C type and name of each raster."""
        self.macros = {name: int(value) for name, value in re.findall(r"^#define (\w+) (\d+)\b", text, re.MULTILINE)}
        self.library = ctypes.CDLL(str(library))
        # 8 bytes more, to see whether something is written beyond the end.
        self.size = self.macros[f"{self.name.upper()}_STATE_SIZE"]
        self.state = np.full(self.size + 8, 0xA5, np.uint8)
        self.call("init")

    def call(self, function: str, *args: object) -> None:
        """A function of the network on its state."""
        getattr(self.library, f"{self.name}_{function}")(ctypes.c_void_p(self.state.ctypes.data), *args)
        assert (self.state[self.size :] == 0xA5).all()

    def run(self, rasters: Mapping[str, Array], like: Mapping[str, Array]) -> dict[str, Array]:
        """Rasters [T, N...] of the inputs as the C type takes them; returns those of the outputs, shaped `like`."""
        steps = len(next(iter(like.values())))
        buffers = dict[str, Array]()
        for constant, kind, name in self.ports:
            dtype = np.dtype({"float": "f4", "double": "f8"}.get(kind, kind.removesuffix("_t")))
            elements = self.macros[f"{self.name.upper()}_{name.upper()}_SIZE"]
            if constant:
                buffers[name] = np.ascontiguousarray(rasters[name], dtype)
                assert buffers[name].size == steps * elements
            else:
                buffers[name] = np.zeros((steps, elements), dtype)
        addresses = [ctypes.c_void_p(buffer.ctypes.data) for buffer in buffers.values()]
        self.call("run", ctypes.c_size_t(steps), *addresses)
        return {name: _as(buffers[name], values) for name, values in like.items()}


def _as(raster: Array, like: Array) -> Array:
    """The elements in the network's order: C has the channels of images last."""
    shape = like.shape
    if like.ndim == 4:
        raster = np.moveaxis(raster.reshape(shape[0], shape[2], shape[3], shape[1]), -1, 1)
    raster = raster.reshape(shape)
    return raster.view(np.bool_) if like.dtype == np.bool_ else raster


def of_c(folder: Path, program: Program, *flags: str) -> Library:
    """A network of --target c, built by gcc."""
    folder = Path(tempfile.mkdtemp(dir=folder))  # a library that is loaded may not be written over
    program.save(folder / "net.c")
    gcc(*STRICT, *flags, "-fPIC", "-shared", "-o", folder / "net.so", folder / "net.c")
    return Library(folder / "net.so", folder / "net.h")


def shared(folder: Path, program: Program) -> Library:
    """A network as a shared library of --target cpu."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    program.save(folder / "net.so", "shared")
    return Library(folder / "net.so", folder / "net.h")


def assert_equal(found: Mapping[str, Array], expected: Mapping[str, Array], **where: Any) -> None:
    """The same bits."""
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, (name, where)
        np.testing.assert_array_equal(found[name], values, f"{name} {where}")
        assert found[name].tobytes() == values.tobytes(), (name, where)
