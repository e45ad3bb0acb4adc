"""An HDF5 file as a tree of plain values, read with care: nothing outside the file, nothing before its size is known.

Groups become dictionaries (names in the file's order), datasets numpy arrays or text. What cannot be read becomes a
`Broken` leaf that says why, so that the caller can name the node and go on. No recursion: groups may nest deep.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeAlias

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5l, h5o, h5s
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects.dense import Array


@dataclass(frozen=True)
class Broken:
    """A place in the file that holds nothing usable, and why."""

    why: str


Leaf: TypeAlias = Array | str | tuple[str, ...] | Broken
Tree: TypeAlias = "dict[str, Value]"
Value: TypeAlias = "Leaf | Tree"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_UNSTORED = 1 << 20
"""Bytes that a dataset may declare beyond what the file stores of it (a fill value stands for the rest)."""


def read_tree(path: str) -> Tree:
    """Read the whole file.

    Raises DiagnosticException where there is no file, or nothing that HDF5 can open.
    """
    try:
        with open(path, "rb") as file:
            _check_signature(file.read(8192), os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise DiagnosticException(f"cannot be read: {error.strerror or error}") from error
    try:
        root = h5f.open(os.fsencode(path), h5f.ACC_RDONLY)
    except OSError as error:
        raise DiagnosticException(f"the HDF5 file is damaged or cut off: {_first_line(error)}") from error
    try:
        return _read_group(h5g.open(root, b"/"))
    except (RuntimeError, OSError, KeyError) as error:
        raise DiagnosticException(f"the HDF5 file is damaged: {_first_line(error)}") from error
    finally:
        root.close()


def _check_signature(head: bytes, size: int) -> None:
    if size == 0:
        raise DiagnosticException("the file is empty; a .nir file is HDF5, as `nir.write` makes it")
    if not any(head[offset : offset + 8] == _SIGNATURE for offset in (0, 512, 1024, 2048, 4096)):
        raise DiagnosticException("not an HDF5 file (no HDF5 signature); a .nir file is HDF5, as `nir.write` makes it")


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else error).splitlines()[0]


def _read_group(root: h5g.GroupID) -> Tree:
    """Walk the groups with a stack; a group that contains itself is known by its address."""
    tree: Tree = {}
    stack: list[tuple[h5g.GroupID, Tree, frozenset[int]]] = [(root, tree, frozenset({h5o.get_info(root).addr}))]
    while stack:
        group, into, above = stack.pop()
        for raw in group:
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                into[raw.decode(errors="backslashreplace")] = Broken("its name is not UTF-8")
                continue
            child = _open(group, raw)
            if isinstance(child, h5g.GroupID):
                address = h5o.get_info(child).addr
                if address in above:
                    into[name] = Broken("a link cycle: the group contains itself")
                else:
                    inner: Tree = {}
                    into[name] = inner
                    stack.append((child, inner, above | {address}))
            else:
                into[name] = child if isinstance(child, Broken) else _read_dataset(child)
    return tree


def _open(group: h5g.GroupID, name: bytes) -> h5g.GroupID | h5d.DatasetID | Broken:
    if group.links.get_info(name).type == h5l.TYPE_EXTERNAL:
        return Broken("an external link; nirc reads nothing outside the file, store the data in it")
    try:
        child = h5o.open(group, name)
    except (KeyError, RuntimeError, OSError):
        return Broken("a link that leads nowhere")
    if isinstance(child, h5g.GroupID | h5d.DatasetID):
        return child
    return Broken("neither a group nor a dataset")


def _read_dataset(dataset: h5d.DatasetID) -> Leaf:
    if dataset.get_create_plist().get_external_count():
        return Broken("stored in an external raw file; nirc reads nothing outside the file, store the data in it")
    if dataset.get_space().get_simple_extent_type() == h5s.NULL:
        return Broken("empty")
    dtype = dataset.dtype
    text = h5py.check_string_dtype(dtype)
    if text is None and dtype.kind not in "biuf":
        return Broken(f"numbers are expected here, not values of type {dtype}")
    shape = dataset.shape
    wanted = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
    filtered = dataset.get_create_plist().get_nfilters() > 0
    if wanted > dataset.get_storage_size() * (1024 if filtered else 1) + _MAX_UNSTORED:
        return Broken(f"declares {wanted:,} bytes, but the file stores {dataset.get_storage_size():,} of them")
    values = np.empty(shape, dtype)
    try:
        dataset.read(h5s.ALL, h5s.ALL, values)
    except (OSError, RuntimeError) as error:
        return Broken(f"cannot be read: {_first_line(error)}")
    if text is None:
        return values.astype(dtype.newbyteorder("="), copy=False)
    try:
        words = [item.decode() if isinstance(item, bytes) else str(item) for item in values.ravel().tolist()]
    except UnicodeDecodeError:
        return Broken("text that is not UTF-8")
    if shape == ():
        return words[0]
    return tuple(words) if len(shape) == 1 else np.array(words, dtype=object).reshape(shape)
