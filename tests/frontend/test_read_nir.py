"""Files written by hand: each fault of a file in its words, all of them together, and what older files leave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, cast

import h5py
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import nir
from nirc.dialects.dense import array
from nirc.dialects.nir import assumptions, graph_of
from nirc.frontend.read_nir import Reading, read_nir
from nirc.passes.nir_infer_shapes import infer_shapes
from nirc.printing import ir_text

Fields: TypeAlias = dict[str, Any]
Nodes: TypeAlias = dict[str, Fields]

INPUT: Fields = {"type": "Input", "shape": np.array([2])}
OUTPUT: Fields = {"type": "Output", "shape": np.array([2])}
ONES = np.ones(2, np.float32)


def lif(**changes: Any) -> Fields:
    fields = {"type": "LIF", "tau": ONES, "r": ONES, "v_leak": 0 * ONES, "v_threshold": ONES, "v_reset": 0 * ONES}
    return given(fields, changes)


def cuba_lif(**changes: Any) -> Fields:
    fields = {"type": "CubaLIF", "tau_mem": ONES, "tau_syn": ONES, "r": ONES, "w_in": 2 * ONES}
    return given(fields | {"v_leak": 0 * ONES, "v_threshold": ONES, "v_reset": 0 * ONES}, changes)


def linear(**changes: Any) -> Fields:
    return given({"type": "Linear", "weight": np.eye(2, dtype=np.float32)}, changes)


def conv2d(**changes: Any) -> Fields:
    fields = {"type": "Conv2d", "weight": np.ones((2, 1, 3, 3), np.float32), "bias": np.zeros(2, np.float32)}
    return given(fields | {"stride": 1, "padding": np.array([0, 0]), "dilation": 1, "groups": 1}, changes)


def given(fields: Fields, changes: Fields) -> Fields:
    """The fields with changes; None takes one away."""
    return {name: value for name, value in (fields | changes).items() if value is not None}


def chain(*names: str) -> list[tuple[str, str]]:
    return list(pairwise(names))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Nodes and edges to a .nir file."""

    def put(group: h5py.Group, name: str, value: Any) -> None:
        if isinstance(value, dict):
            inner = group.create_group(name)
            for key, item in cast(Fields, value).items():
                put(inner, key, item)
        else:
            group.create_dataset(name, data=value)

    def run(
        nodes: Nodes, edges: Sequence[tuple[str, str]], version: str | None = "1.0", root: Fields | None = None
    ) -> Path:
        path = tmp_path / "model.nir"
        with h5py.File(path, "w") as file:
            if version is not None:
                file.create_dataset("version", data=version)
            held: Fields = {"type": "NIRGraph", "nodes": nodes, "edges": np.array(edges, dtype="S")}
            put(file, "node", held | (root or {}))
        return path

    return run


Write: TypeAlias = Callable[..., Path]


def faults(path: Path) -> list[str]:
    reading = read_nir(str(path))
    return [*reading.faults, *infer_shapes(reading.module)]


def graph(reading: Reading) -> nir.GraphOp:
    assert reading.faults == []
    found = graph_of(reading.module)
    assert found is not None
    return found


def notes(reading: Reading) -> list[tuple[str, str]]:
    return [(item.kind.data, str(item)) for item in assumptions(reading.module)]


def around(node: Fields) -> Nodes:
    return {"input": INPUT, "n": node, "output": OUTPUT}


IN_N_OUT = chain("input", "n", "output")

FAULTS: dict[str, tuple[Fields, str]] = {
    "missing field": (lif(v_threshold=None), "node 'n' (LIF), v_threshold: missing"),
    "misspelt field": (
        lif(v_leak=None, leak=ONES),
        "node 'n' (LIF), v_leak: missing; there is an unknown field 'leak', is it that?",
    ),
    "nan": (lif(tau=np.array([1, np.nan])), "node 'n' (LIF), tau: nan at index 1, must be finite"),
    "tau 0": (lif(tau=0 * ONES), "node 'n' (LIF), tau: 0 at index 0 and at 1 more, must be > 0"),
    "tau_syn": (cuba_lif(tau_syn=np.float32(-1)), "node 'n' (CubaLIF), tau_syn: -1, must be > 0"),
    "text": (lif(r="much"), "node 'n' (LIF), r: text, numbers are expected"),
    "group": (lif(r={"a": 1}), "node 'n' (LIF), r: a group, numbers are expected"),
    "nothing": (lif(r=np.zeros(0)), "node 'n' (LIF), r: has the shape 0 and so holds no number"),
    "complex": (lif(r=1j * ONES), "node 'n' (LIF), r: numbers are expected here, not values of type complex64"),
    "too large": (lif(r=np.float64(1e39)), "node 'n' (LIF), r: 1e+39 does not fit float32"),
    "too large for f64": (
        lif(r=np.longdouble("1e4000")),
        "node 'n' (LIF), r: ",
    ),
    "unequal shapes": (
        lif(tau=np.ones(3)),
        "node 'n' (LIF), parameters of unequal shape: tau 3, r 2, v_leak 2, v_threshold 2, v_reset 2; "
        "each must be one number or have the shape of the neurons",
    ),
    "weight of a row": (linear(weight=ONES), "node 'n' (Linear), weight: shape 2, must have 2 axes"),
    "weight of a number": (conv2d(weight=np.float32(1)), "node 'n' (Conv2d), weight: shape scalar, must have 4 axes"),
    "stride of a half": (conv2d(stride=0.5), "node 'n' (Conv2d), stride: 0.5, must be a whole number"),
    "stride nan": (conv2d(stride=np.nan), "node 'n' (Conv2d), stride: nan, must be a whole number"),
    "stride of three": (
        conv2d(stride=np.array([1, 1, 1])),
        "node 'n' (Conv2d), stride: 3 numbers, must be 2 or one",
    ),
    "stride of rows": (
        conv2d(stride=np.ones((2, 2))),
        "node 'n' (Conv2d), stride: has the shape 2x2, must be a list of whole numbers",
    ),
    "padding": (conv2d(padding="full"), "node 'n' (Conv2d), padding: 'full', must be numbers, 'same' or 'valid'"),
    "groups of two": (conv2d(groups=np.array([1, 1])), "node 'n' (Conv2d), groups: 2 numbers, must be one"),
    "unknown type": (
        {"type": "Izhikevich"},
        "node 'n': unknown type 'Izhikevich'; known types: Affine, ",
    ),
    "type in lower case": (lif(type="lif"), "node 'n': unknown type 'lif'; did you mean LIF?"),
    "no type": (lif(type=None), "node 'n': of no type (field 'type' is missing or not text); known types: Affine"),
    **{
        f"type is {what}": (
            lif(type=held),
            "node 'n': of no type (field 'type' is missing or not text); known types: Affine",
        )
        for what, held in (
            ("a number", 3),
            ("numbers", np.array([1, 2])),
            ("a group", {"LIF": 1}),
            ("a list of texts", np.array(["LIF", "LI"], "S")),
            ("a table of texts", np.array([["LIF", "LI"]], "S")),
        )
    },
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_names_node_field_and_value(write: Write, case: str) -> None:
    node, message = FAULTS[case]
    (fault,) = read_nir(str(write(around(node), IN_N_OUT))).faults
    assert fault.startswith(message)


def test_faults_of_several_nodes_and_fields_are_said_together(write: Write) -> None:
    nodes = {
        "input": {"type": "Input", "shape": np.array([0])},
        "a": linear(weight=None),
        "b": lif(tau=None, r="much"),
        "c": lif(tau=0 * ONES, v_threshold=np.full(2, np.inf)),
        "output": OUTPUT,
    }
    edges = [*chain("input", "a", "b", "c", "output"), ("c", "ghost")]
    assert sorted(read_nir(str(write(nodes, edges))).faults) == [
        "edge 'c' -> 'ghost': no node 'ghost'",
        "node 'a' (Linear), weight: missing",
        "node 'b' (LIF), r: text, numbers are expected",
        "node 'b' (LIF), tau: missing",
        "node 'c' (LIF), tau: 0 at index 0 and at 1 more, must be > 0",
        "node 'c' (LIF), v_threshold: inf at index 0 and at 1 more, must be finite",
        "node 'input' (Input), shape: 0, a dimension must be at least 1",
    ]


def test_shapes_are_checked_beside_a_node_with_faults(write: Write) -> None:
    nodes = {"input": INPUT, "a": linear(weight=np.ones((2, 3))), "b": lif(tau=None), "output": OUTPUT}
    assert faults(write(nodes, chain("input", "a", "b", "output"))) == [
        "node 'b' (LIF), tau: missing",
        "node 'a' (Linear): weight has 3 columns (2x3), but a signal of shape 2 arrives",
    ]


EDGES = {
    "from nowhere": ([*IN_N_OUT, ("ghost", "n")], ["edge 'ghost' -> 'n': no node 'ghost'"]),
    "to nowhere": ([*IN_N_OUT, ("n", "outptu")], ["edge 'n' -> 'outptu': no node 'outptu'; did you mean 'output'?"]),
    "twice": (
        [*IN_N_OUT, ("input", "n")],
        ["edge 'input' -> 'n': stands twice; add the weights up in one node, or remove one"],
    ),
    "into an input": ([*IN_N_OUT, ("n", "input")], ["edge 'n' -> 'input': leads into an Input"]),
    "out of an output": ([*IN_N_OUT, ("output", "n")], ["edge 'output' -> 'n': leaves an Output"]),
    "none to the output": (chain("input", "n"), ["node 'output' (Output): no edge leads to it"]),
}


@pytest.mark.parametrize("case", EDGES)
def test_an_edge_that_cannot_be_is_refused(write: Write, case: str) -> None:
    edges, messages = EDGES[case]
    assert read_nir(str(write(around(lif()), edges))).faults == messages


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({"edges": np.zeros((0, 2))}, "the graph has no edges; nothing leads from an Input to an Output"),
        ({"edges": np.zeros((2, 2), int)}, "edges: must be an E x 2 list of node names, not int64, 2x2"),
        ({"edges": np.array([["a", "b", "c"]], "S")}, "edges: must be an E x 2 list of node names, not object, 1x3"),
        ({"edges": "a b"}, "edges: must be an E x 2 list of node names, not text"),
        ({"edges": {}}, "the graph has no edges (dataset 'edges')"),
        ({"nodes": {}}, "the graph has no nodes (group 'nodes')"),
        ({"type": "LIF"}, "node 'lif' (LIF), tau: missing"),
        ({"type": "Graph"}, "the root is unknown type 'Graph', must be a NIRGraph or a single node that computes"),
        ({"type": "Input"}, "the root is an Input, must be a NIRGraph or a single node that computes"),
        *(
            (
                {"type": held},
                "the root is of no type (field 'type' is missing or not text), "
                "must be a NIRGraph or a single node that computes",
            )
            for held in (3, np.array([1, 2]), {"LIF": 1})
        ),
    ],
)
def test_a_root_that_is_no_graph_is_refused(write: Write, root: Fields, message: str) -> None:
    assert message in read_nir(str(write(around(lif()), IN_N_OUT, root=root))).faults


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticException, match=r"cannot be read: No such file"):
        read_nir(str(tmp_path / "none.nir"))
    with pytest.raises(DiagnosticException, match=r"cannot be read: Is a directory"):
        read_nir(str(tmp_path))
    (tmp_path / "text.nir").write_text("nodes: []")
    with pytest.raises(DiagnosticException, match=r"not an HDF5 file \(no HDF5 signature\)"):
        read_nir(str(tmp_path / "text.nir"))
    with h5py.File(tmp_path / "empty.nir", "w"):
        pass
    assert read_nir(str(tmp_path / "empty.nir")).faults == [
        "no group 'node'; a .nir file holds its graph there",
    ]


def test_nodes_and_numbers_arrive(write: Write) -> None:
    weight = np.array([[1, 2], [3, 4]], np.float64) / 3
    nodes = {"input": INPUT, "fc.1": linear(weight=weight), "lif": lif(), "output": OUTPUT}
    found = graph(read_nir(str(write(nodes, chain("input", "fc.1", "lif", "output")))))
    fc, neuron = found.nodes()
    assert isinstance(fc, nir.LinearOp)
    assert isinstance(neuron, nir.LIFOp)
    assert (fc.node.data, neuron.node.data) == ("fc.1", "lif")
    assert array(fc.weight).dtype == np.float64
    assert array(fc.weight).tolist() == weight.tolist()
    assert [name.data for name in found.inputs] == ["input"]
    assert [name.data for name in found.outputs] == ["output"]
    assert found.version is not None
    assert found.version.data == "1.0"


@pytest.mark.parametrize(
    "kind", [np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64, np.float16, np.float64]
)
def test_numbers_keep_the_type_of_the_file(write: Write, kind: type[np.generic]) -> None:
    found = graph(read_nir(str(write(around(linear(weight=np.eye(2).astype(kind))), IN_N_OUT))))
    (fc,) = found.nodes()
    assert isinstance(fc, nir.LinearOp)
    assert array(fc.weight).dtype == kind
    assert array(fc.weight).tolist() == [[1, 0], [0, 1]]


def test_numbers_beyond_eight_bytes_become_f64(write: Write) -> None:
    (fc,) = graph(read_nir(str(write(around(linear(weight=np.eye(2, dtype=np.longdouble))), IN_N_OUT)))).nodes()
    assert isinstance(fc, nir.LinearOp)
    assert array(fc.weight).dtype == np.float64
    assert array(fc.weight).tolist() == [[1, 0], [0, 1]]


def test_big_endian_numbers_are_turned(write: Write) -> None:
    (fc,) = graph(read_nir(str(write(around(linear(weight=np.array([[1, 2], [3, 4]], ">f4"))), IN_N_OUT)))).nodes()
    assert isinstance(fc, nir.LinearOp)
    assert array(fc.weight).tolist() == [[1, 2], [3, 4]]


def test_several_edges_into_a_port_are_added_in_the_order_of_names(write: Write) -> None:
    nodes = {"input": INPUT, "b": lif(), "a": lif(), "B": lif(), "z": lif(), "output": OUTPUT}
    edges = [("input", "b"), ("input", "a"), ("input", "B"), ("b", "z"), ("a", "z"), ("B", "z"), ("z", "output")]
    found = graph(read_nir(str(write(nodes, edges))))
    (added,) = [op for op in found.body.block.ops if isinstance(op, nir.SumOp)]
    names = [op.node.data for value in added.inputs if isinstance(op := value.owner, nir.NodeOp)]
    assert names == ["B", "a", "b"]


def test_several_edges_into_an_output_are_added(write: Write) -> None:
    nodes = {"input": INPUT, "b": lif(), "a": lif(), "output": OUTPUT}
    edges = [("input", "b"), ("input", "a"), ("b", "output"), ("a", "output")]
    found = graph(read_nir(str(write(nodes, edges))))
    (value,) = found.yielded.values
    assert isinstance(value.owner, nir.SumOp)


def test_the_order_of_edges_changes_nothing(write: Write) -> None:
    nodes = {"input": INPUT, "w": linear(), "lif": lif(), "fc": linear(), "output": OUTPUT}
    edges = [*chain("input", "fc", "lif", "output"), ("lif", "w"), ("w", "lif")]
    texts = {str(read_nir(str(write(nodes, order))).module) for order in (edges, edges[::-1], sorted(edges))}
    assert len(texts) == 1


def test_a_recurrent_edge_is_a_use(write: Write) -> None:
    nodes = {"input": INPUT, "lif": lif(), "output": OUTPUT}
    found = graph(read_nir(str(write(nodes, [*chain("input", "lif", "output"), ("lif", "lif")]))))
    (neuron,) = found.nodes()
    assert isinstance(neuron.input.owner, nir.SumOp)
    assert list(neuron.input.owner.inputs) == [found.body.block.args[0], neuron.output]


@pytest.mark.parametrize(
    ("stride", "numbers"), [(2, (2,)), (np.array(2), (2,)), (np.array([2]), (2,)), (np.array([2, 1], np.int32), (2, 1))]
)
def test_stride_may_be_a_single_number(write: Write, stride: Any, numbers: tuple[int, ...]) -> None:
    (node,) = graph(read_nir(str(write(around(conv2d(stride=stride, padding=0)), IN_N_OUT)))).nodes()
    assert isinstance(node, nir.Conv2dOp)
    assert nir.integers(node.stride) == numbers
    assert isinstance(node.padding, IntegerAttr)


NEW_NODES = {
    "Scale": ({"type": "Scale", "scale": 2 * ONES}, nir.ScaleOp),
    "Threshold": ({"type": "Threshold", "threshold": 2 * ONES}, nir.ThresholdOp),
    "Delay": ({"type": "Delay", "delay": 2 * ONES}, nir.DelayOp),
    "I": ({"type": "I", "r": 2 * ONES}, nir.IOp),
    "CubaLI": (cuba_lif(v_threshold=None, v_reset=None, type="CubaLI"), nir.CubaLIOp),
    "Conv1d": (
        {"type": "Conv1d", "weight": np.ones((3, 2, 4)), "stride": 1, "padding": "same", "dilation": 1, "groups": 1},
        nir.Conv1dOp,
    ),
    "AvgPool2d": (
        {"type": "AvgPool2d", "kernel_size": np.array([2, 3]), "stride": np.array([2, 3]), "padding": 0},
        nir.AvgPool2dOp,
    ),
}


@pytest.mark.parametrize("kind", NEW_NODES)
def test_a_node_arrives_with_its_fields(write: Write, kind: str) -> None:
    fields, op = NEW_NODES[kind]
    (node,) = graph(read_nir(str(write(around(fields), IN_N_OUT)))).nodes()
    assert type(node) is op
    assert set(node.properties) == fields.keys() - {"type"} | {"node"}
    for name, values in node.parameters():
        assert values.tolist() == np.asarray(fields[name]).tolist()


@pytest.mark.parametrize("kind", NEW_NODES)
def test_a_node_whose_fields_are_missing_is_refused(write: Write, kind: str) -> None:
    fields, op = NEW_NODES[kind]
    messages = read_nir(str(write(around({"type": kind}), IN_N_OUT))).faults
    required = fields.keys() - {"type", "w_in"}
    assert sorted(messages) == [f"node 'n' ({op.NIR_TYPE}), {name}: missing" for name in sorted(required)]


@pytest.mark.parametrize("node", [lif(v_reset=None), cuba_lif(v_reset=None), {**lif(v_reset=None), "type": "IF"}])
def test_v_reset_may_be_absent(write: Write, node: Fields) -> None:
    """Files before NIR 1.0 have none; that is not the same as 0."""
    if node["type"] == "IF":
        node = {name: node[name] for name in ("type", "r", "v_threshold")}
    (neuron,) = graph(read_nir(str(write(around(node), IN_N_OUT)))).nodes()
    assert "v_reset" not in neuron.properties


def test_w_in_may_be_absent(write: Write) -> None:
    (neuron,) = graph(read_nir(str(write(around(cuba_lif(w_in=None)), IN_N_OUT)))).nodes()
    assert isinstance(neuron, nir.CubaLIFOp)
    assert array(neuron.w_in).tolist() == 1


def test_the_axes_of_flatten_may_be_absent(write: Write) -> None:
    """NIR's own defaults."""
    (node,) = graph(read_nir(str(write(around({"type": "Flatten"}), IN_N_OUT)))).nodes()
    assert isinstance(node, nir.FlattenOp)
    assert (node.start_dim.value.data, node.end_dim.value.data) == (1, -1)


def test_an_unknown_field_is_noted(write: Write) -> None:
    reading = read_nir(str(write(around(lif(colour="red")), IN_N_OUT)))
    assert notes(reading) == [("note", "unknown field: node 'n' (LIF): 'colour' is ignored")]


def test_ports_that_are_missing_are_inferred(write: Write) -> None:
    reading = read_nir(str(write({"a": linear(), "b": lif()}, [("a", "b")])))
    found = graph(reading)
    assert [name.data for name in found.inputs] == ["input_a"]
    assert [name.data for name in found.outputs] == ["output_b"]
    assert [kind for kind, _ in notes(reading)] == ["choice", "choice"]
    assert infer_shapes(reading.module) == []


def test_an_inferred_port_takes_no_name_of_a_node(write: Write) -> None:
    """`a` and `output_a` both lead nowhere; the port of `a` must not replace the neuron."""
    nodes = {"input": INPUT, "a": linear(), "output_a": lif()}
    reading = read_nir(str(write(nodes, [("input", "a"), ("input", "output_a")])))
    if not reading.faults:
        assert {node.node.data for node in graph(reading).nodes()} == {"a", "output_a"}


def test_a_node_without_edges_is_left_out_and_said(write: Write) -> None:
    reading = read_nir(str(write({**around(lif()), "stray": lif()}, IN_N_OUT)))
    assert [node.node.data for node in graph(reading).nodes()] == ["n"]
    assert notes(reading) == [("choice", "node dropped: 'stray' is not connected to anything and is left out")]


def test_a_gain_of_zero_is_noted(write: Write) -> None:
    reading = read_nir(str(write(around(lif(r=0 * ONES)), IN_N_OUT)))
    assert reading.faults == []
    infer_shapes(reading.module)
    assert any("'n'" in text for _, text in notes(reading))


@pytest.mark.parametrize("version", [None, "abc"])
def test_a_version_that_says_nothing_is_noted(write: Write, version: str | None) -> None:
    ((kind, text),) = notes(read_nir(str(write(around(lif()), IN_N_OUT, version))))
    assert kind == "note"
    assert text.endswith("it is read as NIR 1.0")


METADATA = {
    "dt": np.float64(1e-4),
    "names": np.array(["a", "b"], "S"),
    "half": np.float16(0.5),
    "flags": np.array([True, False, True]),
    "bytes": np.arange(3, dtype=np.uint8),
    "author": 'somebody "else"',
    "a b": {"deep": 1},
}


def test_metadata_is_kept(write: Write) -> None:
    node = lif(metadata=METADATA)
    found = graph(read_nir(str(write(around(node), IN_N_OUT, root={"metadata": {"dt": 1e-3}}))))
    (neuron,) = found.nodes()
    assert neuron.metadata is not None
    assert set(neuron.metadata.data) == set(METADATA)
    assert found.metadata is not None
    assert set(found.metadata.data) == {"dt"}


@pytest.mark.parametrize(
    "extra", [{}, {"gone": np.zeros(0)}, {"nan": np.float64(np.nan)}, {"infinite": np.array([np.inf, 1.0])}],
    ids=["plain", "nothing", "nan", "infinite"],
)  # fmt: skip
def test_metadata_read_back(ctx: Context, write: Write, extra: Fields) -> None:
    """Metadata are the writer's own affair, whatever they hold; the text must read back all the same."""
    module = read_nir(str(write(around(lif(metadata=METADATA | extra)), IN_N_OUT))).module
    text = ir_text(module)
    again = Parser(ctx, text).parse_module()
    again.verify()
    assert isinstance(again, ModuleOp)
    assert ir_text(again) == text


def test_metadata_that_are_no_group_are_noted(write: Write) -> None:
    reading = read_nir(str(write(around(lif(metadata=3)), IN_N_OUT)))
    assert notes(reading) == [("note", "metadata: node 'n' (LIF): metadata is not a group and is ignored")]


def test_nothing_outside_the_file_is_read(write: Write, tmp_path: Path) -> None:
    path = write(around(linear(weight=None)), IN_N_OUT)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_dataset("weight", data=np.eye(2))
    with h5py.File(path, "a") as file:
        file["node/nodes/n/weight"] = h5py.ExternalLink("other.h5", "/weight")
    (fault,) = read_nir(str(path)).faults
    assert (
        fault
        == "node 'n' (Linear), weight: an external link; nirc reads nothing outside the file, store the data in it"
    )


def test_a_deep_file_is_no_deep_recursion(write: Write) -> None:
    path = write(around(lif()), IN_N_OUT)
    with h5py.File(path, "a") as file:
        file.create_group("node/nodes/n/" + "/".join(["more"] * 1500))
    assert read_nir(str(path)).faults == []
