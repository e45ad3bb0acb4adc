"""Files that were made to harm: whatever they hold, they are read or refused in little time and memory, and nothing
outside of them is opened."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, cast

import h5py
import numpy as np
import pytest
from h5py import h5g

from nirc.frontend.hdf5 import Broken, Tree, Value, is_hdf5, read_tree
from nirc.frontend.read_nir import read_nir

Fields: TypeAlias = dict[str, Any]
Save: TypeAlias = Callable[..., Path]

PORTS: Fields = {
    "input": {"type": "Input", "shape": np.array([2])},
    "output": {"type": "Output", "shape": np.array([2])},
}
ONES = np.ones(2)
SCALE: Fields = {"type": "Scale", "scale": ONES}
LIF: Fields = {"type": "LIF", "tau": ONES, "r": ONES, "v_leak": 0 * ONES, "v_threshold": ONES}


def graph(nodes: Fields, *edges: str, **more: Any) -> Fields:
    pairs = [edge.split(">") for edge in edges or ("input>n", "n>output")]
    return {"type": "NIRGraph", "nodes": {**PORTS, **nodes}, "edges": np.array(pairs, object), **more}


@pytest.fixture
def store(tmp_path: Path) -> Callable[[Callable[[h5py.File], object]], Path]:
    """What a function puts into an empty file."""

    def run(fill: Callable[[h5py.File], object]) -> Path:
        path = tmp_path / "stored.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        return path

    return run


Store: TypeAlias = Callable[[Callable[[h5py.File], object]], Path]


def at(tree: Tree, path: str) -> Value:
    value: Value = tree
    for name in path.split("/"):
        assert isinstance(value, dict)
        value = value[name]
    return value


def why(tree: Tree, path: str) -> str:
    value = at(tree, path)
    assert isinstance(value, Broken)
    return value.why


def faults(path: Path) -> list[str]:
    return read_nir(str(path)).faults


SECONDS = 10
"""What a file may take on a slow machine that others share; what grows without bound takes hours."""


MEMORY = 1 << 30
"""Bytes likewise; nirc takes some 60 MB to start."""


def limited(path: Path) -> list[str]:
    """What `nirc.load` says of a file, in a process of little memory and time; empty where the file is read."""
    script = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)
        import nirc
        from xdsl.utils.exceptions import DiagnosticException
        try:
            nirc.load(sys.argv[1])
        except DiagnosticException as fault:
            print(fault)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail(f"not done after {SECONDS} s")
    assert done.returncode == 0, done.stderr[-300:]
    *said, kilobytes = done.stdout.splitlines()
    assert int(kilobytes) * 1024 < MEMORY
    return said


CYCLE = "a link cycle: the group contains itself"


def test_a_group_that_contains_itself(store: Store) -> None:
    def fill(file: h5py.File) -> None:
        group = file.create_group("a")
        group["hard"] = group
        group["soft"] = h5py.SoftLink("/a")
        group["root"] = h5py.SoftLink("/")
        group["x"] = 1

    tree = read_tree(str(store(fill)))
    assert {name: why(tree, f"a/{name}") for name in ("hard", "soft", "root")} == dict.fromkeys(
        ("hard", "soft", "root"), CYCLE
    )
    assert at(tree, "a/x") == 1


@pytest.mark.parametrize("soft", [False, True])
def test_two_groups_that_contain_each_other(store: Store, soft: bool) -> None:
    def fill(file: h5py.File) -> None:
        a, b = file.create_group("a"), file.create_group("b")
        a["to b"] = h5py.SoftLink("/b") if soft else b
        b["to a"] = h5py.SoftLink("/a") if soft else a

    tree = read_tree(str(store(fill)))
    assert why(tree, "a/to b/to a") == CYCLE
    assert at(tree, "b") is at(tree, "a/to b")


def test_a_soft_link_to_itself(store: Store) -> None:
    def fill(file: h5py.File) -> None:
        file["a"] = h5py.SoftLink("/a")
        file["b"] = h5py.SoftLink("/c")
        file["c"] = h5py.SoftLink("/b")

    tree = read_tree(str(store(fill)))
    assert [why(tree, name) for name in "abc"] == ["a link that leads nowhere"] * 3


def test_a_graph_that_contains_itself_is_refused(save: Save) -> None:
    path = save(graph({"n": graph({"n": SCALE})}))
    with h5py.File(path, "a") as file:
        nodes = file["node/nodes/n/nodes"]
        del nodes["n"]
        nodes["n"] = file["node/nodes/n"]
    assert faults(path) == [f"node 'n.n': {CYCLE}"]


def test_a_link_that_leads_nowhere(store: Store) -> None:
    def fill(file: h5py.File) -> None:
        file["a"] = h5py.SoftLink("/nothing")
        file["b"] = h5py.SoftLink("/c/d")
        file["c"] = 1

    tree = read_tree(str(store(fill)))
    assert (why(tree, "a"), why(tree, "b")) == ("a link that leads nowhere",) * 2
    assert at(tree, "c") == 1


EXTERNAL = "an external link; nirc reads nothing outside the file, store the data in it"


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The name of another file beside the one that is read."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("weight", data=7 * np.eye(2))
        file.create_group("group").create_dataset("weight", data=7 * np.eye(2))
    return "other.h5"


@pytest.mark.parametrize("target", ["/weight", "/group", "/"])
def test_an_external_link(store: Store, other: str, target: str) -> None:
    def fill(file: h5py.File) -> None:
        file["a"] = h5py.ExternalLink(other, target)

    assert why(read_tree(str(store(fill))), "a") == EXTERNAL


@pytest.mark.parametrize("target", ["/outside/weight", "/outside/group", "/outside/group/weight"])
def test_a_soft_link_through_an_external_link(store: Store, other: str, target: str) -> None:
    """HDF5 follows it into the other file all the same."""

    def fill(file: h5py.File) -> None:
        file["outside"] = h5py.ExternalLink(other, "/")
        file["z"] = h5py.SoftLink(target)

    tree = read_tree(str(store(fill)))
    assert "external" in why(tree, "z")


def test_another_file_does_not_replace_what_this_one_holds(tmp_path: Path) -> None:
    """Objects of two files may stand at the same address."""
    for name, value in (("model.h5", 1), ("twin.h5", 2)):
        with h5py.File(tmp_path / name, "w") as file:
            file["outside"] = h5py.ExternalLink("twin.h5", "/")
            file["mine"] = value
            file["among"] = h5py.SoftLink("/outside/mine")
    assert at(read_tree(str(tmp_path / "model.h5")), "mine") == 1


def test_storage_in_another_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(np.ones(4).tobytes())

    def fill(file: h5py.File) -> None:
        file.create_dataset("a", (4,), "f8", external=[(str(tmp_path / "raw"), 0, 32)])

    text = "stored in an external raw file; nirc reads nothing outside the file, store the data in it"
    assert why(read_tree(str(store(fill))), "a") == text


def test_a_virtual_dataset_of_another_file(store: Store, other: str, tmp_path: Path) -> None:
    library: Any = h5py  # the stub knows what nirc uses

    def fill(file: Any) -> None:
        layout = library.VirtualLayout((2, 2), "f8")
        layout[:] = library.VirtualSource(str(tmp_path / other), "weight", (2, 2))
        file.create_virtual_dataset("a", layout)

    tree = read_tree(str(store(fill)))
    assert isinstance(at(tree, "a"), Broken)


MEGABYTE = 1 << 20


def test_what_is_declared_and_not_stored_has_a_budget(store: Store) -> None:
    """1000 datasets of a megabyte each, of which the file holds nothing."""

    def fill(file: h5py.File) -> None:
        for index in range(1000):
            file.create_dataset(f"d{index:04}", (MEGABYTE,), "u1")

    path = store(fill)
    assert path.stat().st_size < 2 * MEGABYTE
    tree = read_tree(str(path))
    read = [value for value in tree.values() if isinstance(value, np.ndarray)]
    assert 0 < len(read) <= 64
    assert sum(value.nbytes for value in read) <= 64 * MEGABYTE
    assert why(tree, "d0999") == "declares 1,048,576 bytes, but the file stores 0 of them"


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        ((1 << 40,), {"chunks": (1 << 16,)}),
        ((1 << 31, 1 << 10), {"chunks": (1, 1), "compression": "gzip"}),
        ((MEGABYTE + 1,), {}),
    ],
)
def test_what_is_declared_and_not_stored_is_refused(store: Store, shape: tuple[int, ...], more: Fields) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("a", shape, "u1", **more)

    assert "declares" in why(read_tree(str(store(fill))), "a")


def test_what_is_compressed_well_is_read(store: Store) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("a", data=np.zeros(4 * MEGABYTE, np.uint8), compression="gzip", compression_opts=9)

    values = at(read_tree(str(store(fill))), "a")
    assert isinstance(values, np.ndarray)
    assert values.shape == (4 * MEGABYTE,)
    assert not values.any()


def shared_text(path: Path, name: str, count: int) -> None:
    """Give each element of a dataset of text the same megabyte, which the file stores once."""
    with h5py.File(path, "a") as file:
        words = ["a" * MEGABYTE] + ["b"] * (count - 1)
        dataset: Any = file.create_dataset(name, data=words, dtype=h5py.string_dtype())
        offset: int = dataset.id.get_offset()
    with path.open("r+b") as raw:
        raw.seek(offset)
        reference = raw.read(16)
        raw.seek(offset)
        raw.write(reference * count)


def test_text_that_is_referred_to_often(save: Save) -> None:
    """4000 references to one megabyte are 4 gigabytes of text in a file of little more than one megabyte."""
    path = save(graph({"n": SCALE}, metadata={"x": 1}))
    shared_text(path, "node/metadata/text", 4000)
    assert path.stat().st_size < 2 * MEGABYTE
    limited(path)


def laughing(file: h5py.File, name: str, levels: int, leaf: Callable[[h5py.Group], object]) -> None:
    """Groups within groups, each twice in the one around it."""
    group = file[name]
    for _ in range(levels):
        inner = group.create_group("l")
        group["r"] = inner
        group = inner
    leaf(group)


def test_groups_that_double_at_each_level_are_shared(store: Store) -> None:
    """2^200 paths lead to 200 groups."""

    def leaf(group: h5py.Group) -> None:
        group["x"] = 5

    tree = read_tree(str(store(lambda file: laughing(file, "/", 200, leaf))))
    assert at(tree, "/".join("lr" * 100 + "x")) == 5
    assert at(tree, "l/l") is at(tree, "r/r")


def test_unknown_groups_that_double_at_each_level(save: Save) -> None:
    path = save(graph({"n": SCALE, "m": {**SCALE, "more": {}}}))
    with h5py.File(path, "a") as file:
        laughing(file, "node/nodes/m/more", 100, lambda group: group.create_group("end"))
    assert limited(path) == []


def test_metadata_that_double_at_each_level(save: Save) -> None:
    path = save(graph({"n": SCALE}, metadata={"x": 1}))
    with h5py.File(path, "a") as file:
        laughing(file, "node/metadata", 30, lambda group: group.create_group("end"))
    limited(path)


def test_graphs_that_double_at_each_level_are_refused(save: Save) -> None:
    """40 graphs, each of two instances of the next: 2^40 neurons."""
    inner = graph({}, "input>l", "l>r", "r>output")
    path = save(inner)
    with h5py.File(path, "a") as file:
        nodes = file["node/nodes"]
        for level in range(40):
            group = nodes.create_group("l")
            nodes["r"] = group
            for name, value in (graph({"n": LIF}) if level == 39 else {**inner, "nodes": PORTS}).items():
                if name != "nodes":
                    group.create_dataset(name, data=value)
            nodes = group.create_group("nodes")
            for name, fields in cast(Fields, (graph({"n": LIF}) if level == 39 else {"nodes": PORTS})["nodes"]).items():
                node = nodes.create_group(name)
                for key, item in fields.items():
                    node.create_dataset(key, data=item)
    assert path.stat().st_size < MEGABYTE
    (fault,) = limited(path)
    assert "operations" in fault


def test_sums_that_double_at_each_graph_are_refused_or_small(save: Save) -> None:
    """Each of 40 graphs adds its two inputs, both of which the last graph's output feeds: a sum of 2^40 terms."""
    names = [f"s{index:02}" for index in range(40)]
    add: Fields = {
        "type": "NIRGraph",
        "nodes": {"a": PORTS["input"], "b": PORTS["input"], "o": PORTS["output"]},
        "edges": np.array([["a", "o"], ["b", "o"]], object),
    }
    edges = ["input>s00.a", "input>s00.b", "s39>n", "n>output"]
    edges += [f"{one}>{two}.{port}" for one, two in pairwise(names) for port in "ab"]
    limited(save(graph({"n": SCALE, **dict.fromkeys(names, add)}, *edges)))


def test_a_thousand_levels_of_metadata(save: Save) -> None:
    path = save(graph({"n": {**SCALE, "metadata": {"x": 1}}}))
    with h5py.File(path, "a") as file:
        file["node/nodes/n/metadata/" + "/".join(["d"] * 1000)] = 3
    reading = read_nir(str(path))
    assert reading.faults == []
    assert "cannot be kept" in str(reading.module)
    assert len(str(reading.module)) < 10_000


def test_three_thousand_levels_of_groups(store: Store) -> None:
    def fill(file: h5py.File) -> None:
        group = file.create_group("g")
        for _ in range(3000):
            group = group.create_group("g")
        group["x"] = 5

    value: Value = read_tree(str(store(fill)))
    depth = 0
    while isinstance(value, dict) and "g" in value:
        value, depth = value["g"], depth + 1
    assert depth == 3001
    assert isinstance(value, dict)
    assert value["x"] == 5


def test_names_that_are_not_utf8(store: Store) -> None:
    def fill(file: Any) -> None:
        cast(Any, h5g).create(file.id, b"caf\xe9")
        file["good"] = 1

    tree = read_tree(str(store(fill)))
    assert why(tree, "caf\\xe9") == "its name is not UTF-8"
    assert at(tree, "good") == 1


def test_a_node_whose_name_is_not_utf8_is_refused(save: Save) -> None:
    path = save(graph({"n": SCALE}))
    with h5py.File(path, "a") as file:
        cast(Any, h5g).create(file["node/nodes"].id, b"\xff\xfe")
    assert faults(path) == ["node '\\\\xff\\\\xfe': its name is not UTF-8"]


@pytest.mark.parametrize("where", ["edges", "nodes/n/type", "metadata/x"])
def test_text_that_is_not_utf8(save: Save, where: str) -> None:
    path = save(graph({"n": SCALE}, metadata={"a": 1}))
    with h5py.File(path, "a") as file:
        if where in file["node"]:
            del file[f"node/{where}"]
        file.create_dataset(f"node/{where}", data=np.array([[b"\xff", b"n"]]))
    tree = read_tree(str(path))
    assert why(tree, f"node/{where}") == "text that is not UTF-8"


def test_a_dataset_with_two_names_is_read_once(save: Save) -> None:
    path = save(
        graph({"n": {"type": "Linear", "weight": np.eye(2)}, "m": {"type": "Linear"}}, "input>n", "n>m", "m>output")
    )
    with h5py.File(path, "a") as file:
        file["node/nodes/m/weight"] = file["node/nodes/n/weight"]
    tree = read_tree(str(path))
    assert at(tree, "node/nodes/m/weight") is at(tree, "node/nodes/n/weight")
    assert isinstance(at(tree, "node/nodes/m/weight"), np.ndarray)
    assert faults(path) == []


def test_a_dataset_with_many_names_takes_its_memory_once(store: Store) -> None:
    """A thousand names of a megabyte."""

    def fill(file: h5py.File) -> None:
        file["first"] = np.ones(MEGABYTE, np.uint8)
        for index in range(1000):
            file[f"d{index}"] = file["first"]

    tree = read_tree(str(store(fill)))
    assert len({id(value) for value in tree.values()}) == 1
    assert len(tree) == 1001


@pytest.mark.parametrize("kind", ["UNIX_D32LE", "STD_REF_OBJ"])
def test_types_that_numpy_does_not_have(store: Store, kind: str) -> None:
    library: Any = h5py

    def fill(file: Any) -> None:
        stored = getattr(library.h5t, kind)
        library.h5d.create(file.id, b"odd", stored, library.h5s.create_simple((2,)))
        file["good"] = 1

    tree = read_tree(str(store(fill)))
    assert isinstance(at(tree, "odd"), Broken)
    assert at(tree, "good") == 1


@pytest.mark.parametrize("dtype", [np.dtype([("a", "f4")]), np.dtype("c8"), np.dtype("V3"), h5py.string_dtype()])
def test_empty_datasets_and_other_types(store: Store, dtype: np.dtype[Any]) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("a", (2,), dtype)

    value = at(read_tree(str(store(fill))), "a")
    assert value == ("", "") if dtype.kind == "O" else isinstance(value, Broken)


def test_a_named_type_is_no_value(store: Store) -> None:
    def fill(file: h5py.File) -> None:
        file["a"] = np.dtype("f4")

    assert why(read_tree(str(store(fill))), "a") == "neither a group nor a dataset"


def test_what_is_hdf5(tmp_path: Path, store: Store) -> None:
    path = store(lambda file: file.create_group("a"))
    assert is_hdf5(str(path))
    (tmp_path / "behind.h5").write_bytes(bytes(512) + path.read_bytes())
    assert is_hdf5(str(tmp_path / "behind.h5"))
    (tmp_path / "text").write_text("no")
    assert not is_hdf5(str(tmp_path / "text"))
    assert not is_hdf5(str(tmp_path / "nothing"))
    assert not is_hdf5(str(tmp_path))
