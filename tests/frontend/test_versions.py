"""Files as the versions of NIR lay them out: what older ones leave out, and numbers that arrive as they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import h5py
import numpy as np
import pytest
from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, DictionaryAttr, IntegerAttr, IntegerType, StringAttr
from xdsl.ir import Attribute

import nirc
from nirc.dialects import nir
from nirc.dialects.dense import Array, array, as_dense
from nirc.dialects.nir import assumptions, graph_of
from nirc.frontend.read_nir import Reading, read_nir
from nirc.passes.nir_infer_shapes import infer_shapes

Fields: TypeAlias = dict[str, Any]
Save: TypeAlias = Callable[..., Path]

ONES = np.ones(2, np.float32)
IN_N_OUT = np.array([["input", "n"], ["n", "output"]], object)


def port(kind: str, *shape: int, **more: Any) -> Fields:
    return {"type": kind, "shape": np.array(shape), **more}


def around(node: Fields, inner: tuple[int, ...] = (2,), outer: tuple[int, ...] = (2,), **more: Any) -> Fields:
    """A node `n` between an Input and an Output."""
    nodes = {"input": port("Input", *inner), "n": node, "output": port("Output", *outer)}
    return {"type": "NIRGraph", "nodes": nodes, "edges": IN_N_OUT, **more}


def read(path: Path) -> Reading:
    reading = read_nir(str(path))
    assert reading.faults == []
    assert infer_shapes(reading.module) == []
    reading.module.verify()
    return reading


def node_of(path: Path) -> nir.NodeOp:
    found = graph_of(read(path).module)
    assert found is not None
    (node,) = found.nodes()
    return node


def dense_of(node: nir.NodeOp, name: str) -> Array:
    values = as_dense(node.properties[name])
    assert values is not None
    return array(values)


def ints(attr: Attribute) -> tuple[list[int], int]:
    """The numbers of a single integer or a list, and how many there are in a list, 0 for a single integer."""
    if isinstance(attr, IntegerAttr):
        return [attr.value.data], 0
    values = cast(DenseArrayBase[IntegerType], attr).get_values()
    return list(values), len(values)


CUBA: Fields = {"tau_mem": ONES, "tau_syn": ONES, "r": ONES, "v_leak": ONES, "v_threshold": ONES}
NEURONS: dict[str, Fields] = {
    "IF": {"r": ONES, "v_threshold": ONES},
    "LIF": {"tau": ONES, "r": ONES, "v_leak": 0 * ONES, "v_threshold": ONES},
    "CubaLIF": CUBA,
}


@pytest.mark.parametrize("version", ["0.1.1", "0.2.0"])
@pytest.mark.parametrize("kind", NEURONS)
def test_a_neuron_without_v_reset(save: Save, kind: str, version: str) -> None:
    """Absent is not 0: the file does not say what the reset is. The other way round, 0 is kept."""
    old = read(save(around({"type": kind, **NEURONS[kind]}), version))
    new = node_of(save(around({"type": kind, **NEURONS[kind], "v_reset": 0 * ONES}), "1.0.8"))
    found = graph_of(old.module)
    assert found is not None
    (node,) = found.nodes()
    assert kind == node.NIR_TYPE
    assert found.version == StringAttr(version)
    assert "v_reset" not in node.properties
    assert dense_of(new, "v_reset").tolist() == [0, 0]
    assert list(assumptions(old.module)) == []


@pytest.mark.parametrize("kind", ["CubaLIF", "CubaLI"])
def test_a_neuron_without_w_in(save: Save, kind: str) -> None:
    """NIR's default is 1."""
    fields = {name: value for name, value in CUBA.items() if kind == "CubaLIF" or name != "v_threshold"}
    node = node_of(save(around({"type": kind, **fields}), "0.1.1"))
    assert dense_of(node, "w_in").tolist() == 1
    assert node.output.type.shape == (2,)


CONV: Fields = {
    "type": "Conv2d",
    "weight": np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3),
    "stride": np.array([1, 1]),
    "padding": np.array([0, 0]),
    "dilation": np.array([1, 1]),
    "groups": 1,
}


@pytest.mark.parametrize("given", [(), ("input_shape",), ("bias",), ("input_shape", "bias")])
def test_a_convolution_with_and_without_input_shape_and_bias(save: Save, given: tuple[str, ...]) -> None:
    """The bias of old Sinabs files is missing where it is none; the input_shape tells nothing that arrives not."""
    more: Fields = {"input_shape": np.array([5, 5]), "bias": np.array([3, 4], np.float32)}
    chosen = {name: more[name] for name in given}
    reading = read(save(around({**CONV, **chosen}, (1, 5, 5), (2, 3, 3)), "0.2.0"))
    found = graph_of(reading.module)
    assert found is not None
    (node,) = found.nodes()
    assert node.output.type.shape == (2, 3, 3)
    assert ("bias" in node.properties) == ("bias" in given)
    assert list(assumptions(reading.module)) == []
    results = nirc.compile(save(around({**CONV, **chosen}, (1, 5, 5), (2, 3, 3))), precision="f64").run(
        np.ones((1, 1, 5, 5))
    )
    sums = CONV["weight"].sum(axis=(1, 2, 3)) + (more["bias"] if "bias" in given else 0)
    assert results[0, :, 0, 0].tolist() == sums.tolist()


def test_an_input_shape_that_does_not_arrive_is_not_believed(save: Save) -> None:
    node = node_of(save(around({**CONV, "input_shape": np.array([9, 9])}, (1, 5, 5), (2, 3, 3))))
    assert node.output.type.shape == (2, 3, 3)


def test_conv1d_with_numbers_for_lists(save: Save) -> None:
    fields = {
        "type": "Conv1d",
        "weight": np.ones((2, 1, 3)),
        "input_shape": 8,
        "stride": 2,
        "padding": 1,
        "dilation": 1,
        "groups": 1,
        "bias": np.zeros(2),
    }
    node = node_of(save(around(fields, (1, 8), (2, 4))))
    assert node.output.type.shape == (2, 4)  # (8 + 2 - 3) // 2 + 1
    assert ints(node.properties["stride"]) == ([2], 0)
    assert ints(node.properties["padding"]) == ([1], 0)


@pytest.mark.parametrize(
    ("stride", "padding", "shape"),
    [
        (2, 1, (2, 3, 3)),
        (np.int32(2), np.int32(1), (2, 3, 3)),
        (np.array([2]), np.array([1]), (2, 3, 3)),
        (np.array([2, 1]), np.array([0, 1]), (2, 2, 5)),
        (np.array([2.0, 1.0]), np.array([0.0, 1.0]), (2, 2, 5)),
        (1, "same", (2, 5, 5)),
        (1, "valid", (2, 3, 3)),
    ],
)
def test_stride_and_padding_of_numbers_and_lists(save: Save, stride: Any, padding: Any, shape: tuple[int, ...]) -> None:
    node = node_of(save(around({**CONV, "stride": stride, "padding": padding}, (1, 5, 5), shape)))
    assert node.output.type.shape == shape
    assert ints(node.properties["stride"])[0] == np.array(stride).ravel().tolist()
    assert ints(node.properties["stride"])[1] == (0 if np.ndim(stride) == 0 else np.size(stride))


@pytest.mark.parametrize("kind", ["SumPool2d", "AvgPool2d"])
@pytest.mark.parametrize("size", [2, np.array(2), np.array([2]), np.array([2, 2])])
def test_pools_of_numbers_and_lists(save: Save, kind: str, size: Any) -> None:
    fields = {"type": kind, "kernel_size": size, "stride": size, "padding": 0}
    node = node_of(save(around(fields, (3, 4, 6), (3, 2, 3))))
    assert kind == node.NIR_TYPE
    assert node.output.type.shape == (3, 2, 3)


def test_flatten_says_its_input_type_as_it_likes(save: Save) -> None:
    fields = {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": np.array([7, 7])}
    node = node_of(save(around(fields, (2, 3), (6,))))
    assert node.output.type.shape == (6,)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_parameters_of_one_number_keep_their_shape(save: Save, kind: str, shape: tuple[int, ...]) -> None:
    fields = {name: np.full(shape, index + 1.0) for index, name in enumerate(NEURONS[kind])}
    node = node_of(save(around({"type": kind, **fields})))
    assert node.output.type.shape == (2,)
    for name, values in fields.items():
        assert dense_of(node, name).shape == shape
        assert dense_of(node, name).tolist() == values.tolist()


def test_one_number_beside_a_list(save: Save) -> None:
    fields = {**NEURONS["LIF"], "tau": np.float32(3), "r": np.array([4.0])}
    node = node_of(save(around({"type": "LIF", **fields})))
    assert (dense_of(node, "tau").shape, dense_of(node, "r").shape, dense_of(node, "v_leak").shape) == ((), (1,), (2,))


DTYPES = (
    "f2",
    "f4",
    "f8",
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    "?",
    ">f2",
    ">f4",
    ">f8",
    ">i2",
    ">i4",
    ">u8",
)


def special(dtype: np.dtype[Any]) -> Array:
    """2 x 2 numbers at the ends of what a type holds, as far as a float32 can hold them."""
    if dtype.kind == "b":
        return np.array([[True, False], [False, True]])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.array([[info.max, info.min], [1, 0]], dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    return np.array([[tiny, -0.0], [1 / 3, -65504]], dtype)


@pytest.mark.parametrize(
    "packed",
    [{}, {"compression": "gzip"}, {"compression": "lzf", "shuffle": True}, {"fletcher32": True}, {"chunks": (1, 2)}],
    ids=["plain", "gzip", "lzf", "fletcher32", "chunks"],
)
@pytest.mark.parametrize("text", DTYPES)
def test_numbers_keep_their_type_and_bits(save: Save, text: str, packed: Fields) -> None:
    values = special(np.dtype(text))
    path = save(around({"type": "Linear"}))
    with h5py.File(path, "a") as file:
        file.create_dataset("node/nodes/n/weight", data=values, **packed)
    stored = dense_of(node_of(path), "weight")
    native = values.astype(values.dtype.newbyteorder("="))
    assert stored.dtype == native.dtype
    assert stored.tobytes() == native.tobytes()


def test_longer_floats_become_doubles(save: Save) -> None:
    node = node_of(save(around({"type": "Linear", "weight": np.eye(2, dtype=np.longdouble) / 3})))
    assert dense_of(node, "weight").dtype == np.float64
    assert dense_of(node, "weight").tolist() == (np.eye(2) / 3).tolist()


def test_a_transposed_and_a_strided_array_arrive_in_order(save: Save) -> None:
    """HDF5 stores rows; what h5py was given does not matter."""
    weight = np.arange(12.0).reshape(3, 4)[::-1, ::2].T
    assert dense_of(node_of(save(around({"type": "Linear", "weight": weight}, (3,)))), "weight").tolist() == [
        [8, 4, 0],
        [10, 6, 2],
    ]


NESTED: Fields = {
    "text": "a",
    "unicode": "Gewichte ü",
    "empty": "",
    "number": 3,
    "real": 0.1,
    "half": np.float16(0.1),
    "nan": np.float64("nan"),
    "inf": np.array([np.inf, -np.inf, 1.0]),
    "flag": True,
    "bytes": np.array([255, 0], np.uint8),
    "matrix": np.arange(6, dtype=np.int16).reshape(2, 3),
    "none": np.zeros((0, 2)),
    "words": np.array(["a", "bc"], object),
    "table": np.array([["a", "b"], ["c", "d"]], object),
    "fixed": np.array(["a", "bc"], "S"),
    "deep": {"er": {"still": 1.5, "more": {"text": "b"}}},
}


def kept(attr: Attribute) -> Any:
    """An attribute of metadata as Python values; arrays with their types."""
    if isinstance(attr, StringAttr):
        return attr.data
    if isinstance(attr, DictionaryAttr):
        return {name: kept(item) for name, item in attr.data.items()}
    if isinstance(attr, ArrayAttr):
        return [kept(item) for item in cast(ArrayAttr[Attribute], attr).data]
    values = as_dense(attr)
    assert values is not None
    return array(values)


def assert_kept(attr: DictionaryAttr | None, given: Fields) -> None:
    assert attr is not None
    found: Fields = kept(attr)
    assert sorted(found) == sorted(given)
    for name, value in given.items():
        if isinstance(value, dict):
            assert_kept(cast(DictionaryAttr, attr.data[name]), cast(Fields, value))
        elif isinstance(value, str):
            assert found[name] == value
        elif np.asarray(value).dtype.kind in "OS":
            assert found[name] == np.asarray(value).astype(str).tolist()
        else:
            assert found[name].dtype == np.asarray(value).dtype
            np.testing.assert_array_equal(found[name], np.asarray(value), strict=True)


@pytest.mark.parametrize("version", ["0.2.0", "1.0.8"])
def test_metadata_of_a_node_are_kept(save: Save, version: str) -> None:
    node = {"type": "LIF", **NEURONS["LIF"], "metadata": NESTED}
    assert_kept(node_of(save(around(node), version)).metadata, NESTED)


def test_metadata_of_the_graph_and_its_ports_are_kept(save: Save) -> None:
    tree = around({"type": "LIF", **NEURONS["LIF"]}, metadata=NESTED)
    tree["nodes"]["input"] = port("Input", 2, metadata={"unit": "A"})
    tree["nodes"]["output"] = port("Output", 2, metadata={"x": 1.5})
    found = graph_of(read(save(tree)).module)
    assert found is not None
    assert_kept(found.metadata, NESTED)
    assert found.port_metadata is not None
    assert_kept(cast(DictionaryAttr, found.port_metadata.data["input"]), {"unit": "A"})
    assert_kept(cast(DictionaryAttr, found.port_metadata.data["output"]), {"x": 1.5})


@pytest.mark.parametrize(("text", "bits"), [("nan", 0x7FF8000000000001), ("-nan", 0xFFF8000000000000), ("-0", 1 << 63)])
def test_the_bits_of_numbers_in_metadata_are_kept(save: Save, text: str, bits: int) -> None:
    value = np.array([bits], np.uint64).view(np.float64)
    node = {"type": "LIF", **NEURONS["LIF"], "metadata": {"x": value}}
    found = node_of(save(around(node))).metadata
    assert found is not None
    assert kept(found)["x"].view(np.uint64).tolist() == [bits], text


@pytest.mark.parametrize("version", ["0.1.1", "0.2.0", "1.0", "1.0.8", "2.0"])
def test_the_version_is_kept(save: Save, version: str) -> None:
    found = graph_of(read(save(around({"type": "LIF", **NEURONS["LIF"]}), version)).module)
    assert found is not None
    assert found.version == StringAttr(version)


def test_text_of_fixed_length(save: Save) -> None:
    """The types and edges of files that other languages write."""
    tree = around({"type": "LIF", **NEURONS["LIF"]}, edges=IN_N_OUT.astype("S9"))
    tree["nodes"]["n"]["type"] = np.bytes_("LIF")
    tree["type"] = np.bytes_("NIRGraph")
    node = node_of(save(tree, "0.1.1"))
    assert (node.node.data, node.NIR_TYPE) == ("n", "LIF")


def write_with_nir(path: Path, **more: Any) -> Any:
    """A graph of many nodes, which the nir package itself wrote."""
    nir_package: Any = pytest.importorskip("nir")
    ones = np.ones((2, 3, 3), np.float32)
    nodes = {
        "input": nir_package.Input(np.array([1, 8, 8])),
        "conv": nir_package.Conv2d(None, CONV["weight"], 1, 0, 1, 1, np.array([1, 2], np.float32)),
        "pool": nir_package.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "lif": nir_package.LIF(ones, ones, 0 * ones, ones, metadata={"seed": 3, "more": {"of": "it"}}),
        "flatten": nir_package.Flatten(None, 0, -1),
        "affine": nir_package.Affine(np.eye(2, 18), np.array([0.5, -0.5])),
        "output": nir_package.Output(np.array([2])),
    }
    edges = list(zip(list(nodes)[:-1], list(nodes)[1:], strict=True))
    graph = nir_package.NIRGraph(nodes, edges, metadata={"dt": 1e-4})
    nir_package.write(path, graph, **more)
    return nir_package


@pytest.mark.parametrize("more", [{}, {"compression": "lzf"}, {"compression_opts": 9}], ids=["gzip", "lzf", "gzip 9"])
def test_a_file_that_nir_wrote(tmp_path: Path, more: Fields) -> None:
    package = write_with_nir(tmp_path / "model.nir", **more)
    reading = read(tmp_path / "model.nir")
    found = graph_of(reading.module)
    assert found is not None
    assert found.version == StringAttr(package.version)
    assert [(node.node.data, node.output.type.shape) for node in found.nodes()] == [
        ("conv", (2, 6, 6)),
        ("pool", (2, 3, 3)),
        ("lif", (2, 3, 3)),
        ("flatten", (18,)),
        ("affine", (2,)),
    ]
    conv, _, lif, flatten, affine = found.nodes()
    assert dense_of(conv, "weight").tobytes() == CONV["weight"].tobytes()
    assert dense_of(affine, "weight").dtype == np.float64
    assert dense_of(lif, "v_reset").tolist() == np.zeros((2, 3, 3)).tolist()
    assert ints(flatten.properties["end_dim"]) == ([-1], 0)
    assert_kept(lif.metadata, {"seed": 3, "more": {"of": "it"}})
    assert_kept(found.metadata, {"dt": 1e-4})
    assert list(assumptions(reading.module)) == []
