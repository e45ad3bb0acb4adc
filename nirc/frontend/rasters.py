"""Rasters on disk: inputs and outputs over time, `.npz` with one array per name, a single `.npy`, or NIRData (HDF5)."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects.dense import Array, shape_text
from nirc.dialects.nir import quote
from nirc.frontend.hdf5 import is_hdf5
from nirc.frontend.nir_data import Events, NirData, read_nir_data, to_rasters, write_nir_data


@dataclass(frozen=True)
class Rasters:
    """Arrays [T, B, N...] by input name; `batched`: whether the user gave a batch axis."""

    arrays: dict[str, Array]
    batched: bool

    @property
    def batch(self) -> int:
        """The size of the batch axis."""
        return next(iter(self.arrays.values())).shape[1]


NIR_DATA = (".h5", ".hdf5", ".nir")
"""The names that NIRData files end in."""

ENDINGS = (".npz", ".npy", *NIR_DATA)


@dataclass(frozen=True)
class Run:
    """Arrays to run by input name, and what it takes to write the results as they came.

    dt      the step in seconds, None where it is not known
    events  whether results go out as events
    notes   what is worth knowing about the data
    """

    arrays: dict[str, Array]
    dt: float | None
    batched: bool
    batch_first: bool
    events: bool = False
    notes: tuple[str, ...] = ()


def prepare(
    given: Mapping[str, Array] | Array | NirData,
    expected: Mapping[str, tuple[int, ...]],
    dt: float | None,
    *,
    batch_first: bool = False,
) -> Run:
    """What was read, as arrays for the inputs of a network of step `dt` (None where that is not known).

    Raises DiagnosticException with everything that does not fit.
    """
    if isinstance(given, NirData):
        gridded = to_rasters(given, expected, dt)
        ordered = {name: a.swapaxes(0, 1) if batch_first else a for name, a in gridded.arrays.items()}
        return Run(ordered, dt or given.dt, True, batch_first, given.has_events, tuple(gridded.notes))
    arrays = dict(given) if isinstance(given, Mapping) else {"": given}
    return Run(arrays, dt, arrange(arrays, expected, batch_first=batch_first).batched, batch_first)


def load(path: str) -> dict[str, Array] | Array | NirData:
    """Read a `.npz` (arrays by name), a `.npy` (one array) or NIRData."""
    if is_hdf5(path):
        try:
            return read_nir_data(path)
        except DiagnosticException as error:
            raise DiagnosticException("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    try:
        content = np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a .npy, .npz or NIRData file"
        raise DiagnosticException(f"{path}: cannot be read: {reason}") from error
    if isinstance(content, np.ndarray):
        return cast(Array, content)
    try:
        with content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DiagnosticException(f"{path}: an array in it cannot be read: {error}") from error


def arrange(
    given: Mapping[str, Array] | Array, expected: Mapping[str, tuple[int, ...]], *, batch_first: bool = False
) -> Rasters:
    """Match arrays to a network's inputs and give them a batch axis.

    Shapes are [T, N...] or [T, B, N...] (with batch_first [B, T, N...]). Where there is one input and one array the
    name is not looked at. Raises DiagnosticException with everything that does not fit.
    """
    if isinstance(given, Mapping):
        arrays = {name: np.asarray(array) for name, array in given.items()}
    else:
        arrays = {"": np.asarray(given)}
    if len(arrays) == 1 and len(expected) == 1:
        arrays = {next(iter(expected)): next(iter(arrays.values()))}
    faults = [f"no raster for the input {quote(name)}" for name in expected if name not in arrays]
    faults += [
        f"there is no input {quote(name)}; inputs: {', '.join(map(quote, expected))}"
        for name in arrays
        if name not in expected
    ]
    found = dict[str, Array]()
    batched = set[bool]()
    for name, shape in expected.items():
        if name not in arrays:
            continue
        array = arrays[name]
        if array.dtype.kind not in "biuf":
            faults.append(f"the raster of input {quote(name)} holds {array.dtype}, numbers are expected")
        elif array.ndim == len(shape) + 1 and array.shape[1:] == shape:
            found[name] = array[:, None]
            batched.add(False)
        elif array.ndim == len(shape) + 2 and array.shape[2:] == shape:
            found[name] = array.swapaxes(0, 1) if batch_first else array
            batched.add(True)
        else:
            held = f"has the shape {shape_text(array.shape)}" if array.ndim else "is a single number"
            wanted = "".join(f" x {n}" for n in shape)
            faults.append(f"the raster of input {quote(name)} {held}, must be steps{wanted} or steps x batch{wanted}")
        if name in found and found[name].dtype.kind == "f" and not np.all(np.isfinite(found[name])):
            faults.append(f"the raster of input {quote(name)} holds values that are not finite")
    if not faults and (len(batched) > 1 or len({array.shape[:2] for array in found.values()}) > 1):
        faults.append(
            "the rasters differ in steps or batch: "
            + ", ".join(f"{quote(name)} {'x'.join(map(str, array.shape[:2]))}" for name, array in found.items())
        )
    if faults:
        raise DiagnosticException("\n".join(faults))
    return Rasters(found, batched == {True})


def outgoing(arrays: Mapping[str, Array], like: Rasters, *, batch_first: bool = False) -> dict[str, Array]:
    """Results in the layout of the inputs."""
    if not like.batched:
        return {name: array[:, 0] for name, array in arrays.items()}
    return {name: array.swapaxes(0, 1) if batch_first else array for name, array in arrays.items()}


def save(
    path: str,
    arrays: Mapping[str, Array],
    run: Run,
    record: Collection[str] = (),
    events: Mapping[str, Events] | None = None,
) -> None:
    """Write a `.npz` by name, a `.npy` where there is one array, or NIRData; whole or not at all.

    record: the names that are `node.state` of what was recorded. events: the instants of the spikes of some arrays,
    which NIRData takes in their place; a `.npz` has them beside the counts as `<name>.times`, in seconds, and
    `<name>.neurons`: [B, E], or [E] without a batch axis, filled up with inf and -1.
    """
    content, events = io.BytesIO(), events or {}
    if not path.endswith(NIR_DATA):
        arrays = {**arrays, **_instants(arrays, events, batched=run.batched)}
    if path.endswith(NIR_DATA):
        if run.dt is None:
            raise DiagnosticException(f"{path}: NIRData needs the time step, on which nothing depends here; give --dt")
        if not run.batched:
            arrays = {name: array[:, None] for name, array in arrays.items()}
        elif run.batch_first:
            arrays = {name: array.swapaxes(0, 1) for name, array in arrays.items()}
        content.write(write_nir_data(arrays, run.dt, events=run.events, recorded=record, instants=events))
    elif path.endswith(".npy"):
        if len(arrays) != 1:
            raise DiagnosticException(
                f"{path}: a .npy holds one array, there are {', '.join(map(quote, arrays))}; write a .npz"
            )
        np.save(content, next(iter(arrays.values())), allow_pickle=False)
    elif path.endswith(".npz"):
        _write_npz(content, arrays)
    else:
        raise DiagnosticException(f"{path}: rasters are written as {', '.join(ENDINGS)}")
    write_whole(path, content.getvalue())


def _instants(arrays: Mapping[str, Array], events: Mapping[str, Events], *, batched: bool) -> dict[str, Array]:
    """The instants and neurons of spikes under names of their own; raises DiagnosticException where those are taken."""
    found = dict[str, Array]()
    for name, held in events.items():
        for key, values in ((f"{name}.times", held.time), (f"{name}.neurons", held.neuron)):
            if key in arrays or key in found:
                raise DiagnosticException(f"{quote(key)} is an array already; write NIRData, where names do not clash")
            found[key] = values if batched else values[0]
    return found


def _write_npz(file: io.BytesIO, arrays: Mapping[str, Array]) -> None:
    """Like numpy's savez, without the time of day in it."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED)


def write_whole(path: str, content: bytes) -> None:
    """Write a file whole or not at all: beside it first, then renamed; links and the file's mode are kept.

    What is not a regular file (a device, a pipe) is written to as it stands.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        try:
            beside.write_bytes(content)
            if target.exists():
                shutil.copymode(target, beside)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise DiagnosticException(f"{path}: cannot be written: {error.strerror}") from error


def write_files(path: str, files: Mapping[str, bytes]) -> None:
    """Write a file, under the empty text, and what belongs beside it, by the ending that takes the place of its own;
    each whole or not at all.

    Nothing stands beside what is no regular file. Raises DiagnosticException with everything that keeps the files from
    being written, among it a file that nirc would have to overwrite though nobody named it and others wrote it.
    """
    regular = os.path.isfile(path) or not os.path.exists(path)
    named = {ending: beside(path, ending) if ending else path for ending in files if regular or not ending}
    faults = list[str]()
    for ending, name in named.items():
        if ending and name == path:
            faults.append(f"{path}: is the name of what belongs beside it; give another ending than {ending}")
        elif ending and os.path.exists(name) and not _alike(name, files[ending]):
            faults.append(f"{name}: belongs beside {path}, but nirc did not write what stands there; give another name")
    if faults:
        raise DiagnosticException("\n".join(faults))
    for ending in reversed(named):
        write_whole(named[ending], files[ending])


def _alike(path: str, content: bytes) -> bool:
    """Whether what stands there begins as what nirc writes: the first words after the first name."""
    mark = content.split(b"\n", 1)[0].partition(b": ")[2]
    try:
        with open(path, "rb") as file:
            return mark in file.readline(4096)
    except OSError:
        return False


def beside(path: str, ending: str) -> str:
    """The name of a file that belongs to another."""
    return str(Path(path).with_suffix(ending))


def check_writable(path: str, *inputs: str) -> list[str]:
    """What would keep a file from being written, before any work is done for it; inputs are never overwritten."""
    folder = os.path.dirname(path) or "."
    if not os.path.basename(path):
        return [f"{path!r}: cannot be written: it names no file"]
    if not os.path.isdir(folder):
        return [f"{path}: cannot be written: the folder {folder} does not exist"]
    if os.path.isdir(path):
        return [f"{path}: cannot be written: it is a folder"]
    if any(os.path.exists(name) and os.path.exists(path) and os.path.samefile(name, path) for name in inputs):
        return [f"{path}: is an input of this command; give another name for the output"]
    return []
