"""An HDF5 file as a tree of plain values, read with care: nothing outside the file, nothing before its size is known.

Groups become dictionaries (names in the file's order), datasets numpy arrays or text. What cannot be read becomes a
`Broken` leaf that says why, so that the caller can name the node and go on. No recursion: groups may nest deep. An
object that several links lead to is read once and shared; time and memory stay in proportion to the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5s, h5t
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects.dense import Array


@dataclass(frozen=True)
class Broken:
    """A place in the file that holds nothing usable, and why."""

    why: str


Leaf: TypeAlias = Array | str | tuple[str, ...] | Broken
Tree: TypeAlias = "dict[str, Value]"
Value: TypeAlias = "Leaf | Tree"

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SMALL = 1 << 20
"""Bytes that a dataset may declare beyond what the file stores of it (a fill value stands for the rest)."""
_UNSTORED = 1 << 26
"""The same for the whole file."""
_TEXT = 1 << 28
"""Bytes of text that one slice may take where each entry were as long as the file."""
_INFLATION = 1032
"""Bytes that deflate can make of one."""
_HOPS = 16
"""Soft links that may lead on to one another."""
_EXTERNAL = "an external link; nirc reads nothing outside the file, store the data in it"
_LINK = 8
"""Bytes that a link takes at the least, so that a file of n bytes holds at most n / 8 of them."""


def read_tree(path: str, *, attributes: bool = False) -> Tree:
    """Read the whole file; with `attributes` a group's attributes stand in it under `@name`.

    Raises DiagnosticException where there is no file, or nothing that HDF5 can open.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_signature(file.read(8192), size)
    except OSError as error:
        raise DiagnosticException(f"cannot be read: {error.strerror or error}") from error
    try:
        root = h5f.open(os.fsencode(path), h5f.ACC_RDONLY)
    except OSError as error:
        raise DiagnosticException(f"the HDF5 file is damaged or cut off: {_first_line(error)}") from error
    try:
        return _Walk(size, attributes).read(h5g.open(root, b"/"))
    except (RuntimeError, OSError, KeyError) as error:
        raise DiagnosticException(f"the HDF5 file is damaged: {_first_line(error)}") from error
    finally:
        root.close()


def is_hdf5(path: str) -> bool:
    """Whether a file starts as HDF5 does."""
    try:
        with open(path, "rb") as file:
            return _signed(file.read(8192))
    except OSError:
        return False


def _signed(head: bytes) -> bool:
    return any(head[offset : offset + 8] == SIGNATURE for offset in (0, 512, 1024, 2048, 4096))


def _check_signature(head: bytes, size: int) -> None:
    if size == 0:
        raise DiagnosticException("the file is empty; a .nir file is HDF5, as `nir.write` makes it")
    if not _signed(head):
        raise DiagnosticException("not an HDF5 file (no HDF5 signature); a .nir file is HDF5, as `nir.write` makes it")


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else error).splitlines()[0]


@dataclass
class _Walk:
    """One reading of a file of `size` bytes."""

    size: int
    attributes: bool = False
    links: int = 0
    unstored: int = 0
    types: dict[bytes, tuple[np.dtype[Any], h5t.TypeID]] = field(
        default_factory=dict[bytes, "tuple[np.dtype[Any], h5t.TypeID]"]
    )
    """What numpy and HDF5 call the types met so far in memory: asking for each dataset takes a fifth of the time."""
    known: dict[int, Value] = field(default_factory=dict[int, Value])
    """What was read already, by its address in the file."""

    def read(self, root: h5g.GroupID) -> Tree:
        """Walk the groups with a stack; a group that is still open when a link leads to it contains itself."""
        tree: Tree = {}
        address = h5o.get_info(root).addr
        self.known[address] = tree
        is_open = {address}
        stack = [(root, iter(_links(root)), tree, address)]
        self.read_attributes(root, tree)
        while stack:
            group, links, into, address = stack[-1]
            link = next(links, None)
            if link is None:
                stack.pop()
                is_open.remove(address)
                continue
            self.links += 1
            raw, kind, target = link
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                into[raw.decode(errors="backslashreplace")] = Broken("its name is not UTF-8")
                continue
            if kind == h5l.TYPE_EXTERNAL:
                into[name] = Broken(_EXTERNAL)
                continue
            if kind == h5l.TYPE_HARD and target in self.known and target not in is_open:
                into[name] = self.known[target]
                continue
            at = (group, raw) if kind == h5l.TYPE_HARD else _followed(root, group, raw)
            if isinstance(at, Broken):
                into[name] = at
                continue
            child = h5o.open(*at)
            if kind != h5l.TYPE_HARD:
                target = h5o.get_info(child).addr
            if target in is_open:
                into[name] = Broken("a link cycle: the group contains itself")
            elif target in self.known:
                into[name] = self.known[target]
            elif self.links > self.size // _LINK:
                into[name] = Broken("there are more links than the file can hold")
            elif isinstance(child, h5g.GroupID):
                inner: Tree = {}
                into[name] = self.known[target] = inner
                is_open.add(target)
                stack.append((child, iter(_links(child)), inner, target))
                self.read_attributes(child, inner)
            elif isinstance(child, h5d.DatasetID):
                into[name] = self.known[target] = self.read_dataset(child)
            else:
                into[name] = Broken("neither a group nor a dataset")
        return tree

    def read_attributes(self, group: h5g.GroupID, into: Tree) -> None:
        """A group's attributes: single numbers and text."""
        for index in range(h5a.get_num_attrs(group) if self.attributes else 0):
            attribute = h5a.open(group, index=index)
            name = f"@{attribute.name.decode(errors='backslashreplace')}"
            dtype = attribute.dtype
            if attribute.shape not in ((), (1,)) or (
                h5py.check_string_dtype(dtype) is None and dtype.kind not in "biuf"
            ):
                into[name] = Broken("neither a number nor text")
                continue
            values = np.empty(attribute.shape, dtype)
            attribute.read(values)
            item = values.ravel()[0]
            if isinstance(item, bytes):
                item = item.decode(errors="replace")
            into[name] = item if isinstance(item, str) else np.asarray(item)

    def read_dataset(self, dataset: h5d.DatasetID) -> Leaf:
        """A dataset's values, after a look at what they would take."""
        kind = dataset.get_type()
        try:
            encoded = kind.encode()
            if encoded not in self.types:
                dtype = dataset.dtype
                self.types[encoded] = dtype, h5t.py_create(dtype)
            dtype, memory = self.types[encoded]
        except TypeError as error:
            return Broken(f"numbers are expected here: {_first_line(error)}")
        text = h5py.check_string_dtype(dtype)
        if text is None and dtype.kind not in "biuf":
            return Broken(f"numbers are expected here, not values of type {dtype}")
        shape = dataset.shape or ()
        wanted = dtype.itemsize
        for length in shape:
            wanted *= int(length)
        offset = dataset.get_offset()
        if (offset is None or offset + wanted > self.size) and (fault := self.storage_fault(dataset, wanted)):
            return fault
        values = np.empty(shape, dtype)
        try:
            if text is not None and shape:
                if not self.read_texts(dataset, values):
                    return Broken("holds more text than the file")
            else:
                dataset.read(h5s.ALL, h5s.ALL, values, memory)
        except (OSError, RuntimeError) as error:
            return Broken(f"cannot be read: {_first_line(error)}")
        if text is None:
            if not dtype.isnative:
                values = values.astype(dtype.newbyteorder("="))
            return np.frombuffer(values.tobytes(), values.dtype).reshape(shape)  # what `dense` can share
        try:
            words = [item.decode() if isinstance(item, bytes) else str(item) for item in values.ravel().tolist()]
        except UnicodeDecodeError:
            return Broken("text that is not UTF-8")
        if shape == ():
            return words[0]
        return tuple(words) if len(shape) == 1 else np.array(words, dtype=object).reshape(shape)

    def read_texts(self, dataset: h5d.DatasetID, values: Array) -> bool:
        """Read text slice by slice; False where it adds up to more than the file, whose parts it then repeats."""
        rows = max(1, _TEXT // self.size // max(1, values[:1].size))
        space = dataset.get_space()
        total = 0
        for start in range(0, len(values), rows):
            part = np.empty_like(values[start : start + rows])
            space.select_hyperslab((start, *(0,) * (values.ndim - 1)), part.shape)
            dataset.read(h5s.create_simple(part.shape), space, part)
            total += sum(map(len, part.ravel().tolist()))
            if total > self.size + _SMALL:
                return False
            values[start : start + rows] = part
        return True

    def storage_fault(self, dataset: h5d.DatasetID, wanted: int) -> Broken | None:
        """What is wrong with a dataset that does not stand in the file in one piece."""
        if dataset.get_space().get_simple_extent_type() == h5s.NULL:
            return Broken("empty")
        plist = dataset.get_create_plist()
        if plist.get_layout() == h5d.VIRTUAL:
            return Broken("a virtual dataset, made of others; store the data in it")
        if plist.get_external_count():
            return Broken("stored in an external raw file; nirc reads nothing outside the file, store the data in it")
        stored = dataset.get_storage_size()
        missing = wanted - stored * (_INFLATION if plist.get_nfilters() else 1)
        if missing <= 0:
            return None
        self.unstored += missing
        if missing > _SMALL or self.unstored > _UNSTORED:
            return Broken(f"declares {wanted:,} bytes, but the file stores {stored:,} of them")
        return None


def _links(group: h5g.GroupID) -> list[tuple[bytes, int, int]]:
    """The links of a group: name, kind, and the address that a hard link leads to."""
    found = list[tuple[bytes, int, int]]()

    def visit(name: bytes, info: h5l.LinkInfo) -> None:
        found.append((name, info.type, info.u if info.type == h5l.TYPE_HARD else 0))

    group.links.iterate(visit, info=True)
    return found


def _followed(root: h5g.GroupID, group: h5g.GroupID, name: bytes) -> tuple[h5g.GroupID, bytes] | Broken:
    """Where a link leads, soft ones on the way followed: a group and the name of a hard link in it.

    By hand, because HDF5 would follow an external link on the way without a word.
    """
    here, rest, hops = group, [name], 0
    while hops < _HOPS:
        part = rest.pop(0)
        try:
            kind = here.links.get_info(part).type
            if kind == h5l.TYPE_EXTERNAL:
                return Broken(_EXTERNAL)
            if kind == h5l.TYPE_SOFT:
                hops += 1
                path = here.links.get_val(part)
                here = root if path.startswith(b"/") else here
                rest = [item for item in path.split(b"/") if item not in (b"", b".")] + rest
                if not rest:
                    return here, b"."
            elif not rest:
                return here, part
            else:
                here = h5g.open(here, part)
        except (KeyError, RuntimeError, OSError, ValueError):
            break
    return Broken("a link that leads nowhere")
