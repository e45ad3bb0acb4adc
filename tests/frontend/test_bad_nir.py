"""The shared malformed and awkward files: what must be refused is, where it is wrong; the rest is read and compiled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects import snn
from nirc.dialects.dense import Array
from nirc.dialects.nir import graph_of
from nirc.driver import Program, examine


@pytest.fixture(scope="module")
def bad_nir(shared: Path) -> Path:
    """The folder of these files."""
    return shared / "cases" / "bad_nir"


def faults(path: Path) -> list[str]:
    try:
        return examine(path)[1]
    except DiagnosticException as fault:
        return [str(fault)]


REFUSED = {
    "zero_bytes": "the file is empty",
    "plain_text": "no HDF5 signature",
    "json_text": "a .nir file is HDF5",
    "truncated_half": "damaged or cut off",
    "signature_only": "the HDF5 file is damaged",
    "flipped_bytes": "the HDF5 file is damaged",
    "node_is_dataset": "no group 'node'",
    "bad_gzip_chunk": "node 'fc' (Linear), weight: cannot be read",
    "fletcher_mismatch": "node 'fc' (Linear), weight: cannot be read",
    "external_link_sibling": "node 'fc' (Linear), weight: an external link; nirc reads nothing outside the file",
    "external_storage": "node 'fc' (Linear), weight: stored in an external raw file",
    "soft_link_dangling": "node 'fc' (Linear), weight: a link that leads nowhere",
    "soft_link_cycle": "node 'sub': a link cycle: the group contains itself",
    "hard_link_cycle": "node 'sub': a link cycle: the group contains itself",
    "root_no_nodes": "the graph has no nodes",
    "root_no_edges": "the graph has no edges",
    "type_unknown": "node 'lif': unknown type 'Izhikevich'; known types: Affine, ",
    "type_lowercase": "node 'lif': unknown type 'lif'; did you mean LIF?",
    "type_private_name": "node 'lif': unknown type '__builtins__'",
    "lif_no_threshold": "node 'lif' (LIF), v_threshold: missing",
    "lif_misspelt_field": "node 'lif' (LIF), v_threshold: missing; there is an unknown field 'v_thr', is it that?",
    "input_no_shape": "node 'input' (Input), shape: missing",
    "conv_no_stride": "node 'c' (Conv2d), stride: missing",
    "weight_string": "node 'fc' (Linear), weight: text, numbers are expected",
    "weight_compound": "node 'fc' (Linear), weight: numbers are expected here",
    "weight_group": "node 'fc' (Linear), weight: a group, numbers are expected",
    "weight_empty_dataspace": "node 'fc' (Linear), weight: empty",
    "shape_as_string": "node 'input' (Input), shape: text, numbers are expected",
    "shape_as_float": "node 'input' (Input), shape: 2.5, must be a whole number",
    "weight_nan": "node 'fc' (Linear), weight: nan at index (0, 1), must be finite",
    "weight_1e300": "node 'fc' (Linear), weight: 1e+300 at index (0, 0) and at 1 more does not fit float32",
    "tau_nan": "node 'lif' (LIF), tau: nan at index 1, must be finite",
    "tau_zero": "node 'lif' (LIF), tau: 0 at index 0, must be > 0",
    "tau_negative": "node 'lif' (LIF), tau: -0.01 at index 0, must be > 0",
    "tau_inf": "node 'lif' (LIF), tau: inf at index 0, must be finite",
    "delay_huge": "node 'd' (Delay), delay: 1e+09 at index 0 and at 1 more, must be at most 16,777,216 (a buffer",
    "weight_1d": "node 'fc' (Linear), weight: shape 2, must have 2 axes",
    "weight_zero_rows": "node 'fc' (Linear), weight: has the shape 0x2",
    "lif_param_lengths": "node 'lif' (LIF), parameters of unequal shape: tau 3, r 2",
    "cuba_w_in_length": "node 'lif' (CubaLIF), parameters of unequal shape: tau_mem 2, tau_syn 2, r 2",
    "input_linear_mismatch": "node 'fc' (Linear): weight has 2 columns (2x2), but a signal of shape 3 arrives",
    "input_shape_negative": "node 'input' (Input), shape: -2, a dimension must be at least 1",
    "input_shape_zero": "node 'input' (Input), shape: 0, a dimension must be at least 1",
    "conv_groups_bad": "node 'c' (Conv2d): weight takes 2 channels (weight 2x1x3x3, groups 2)",
    "conv_stride_zero": "node 'c' (Conv2d), stride: 0, must be at least 1",
    "conv_bias_length": "node 'c' (Conv2d), bias: shape 3, must be 2",
    "pool_on_vector": "node 'p' (SumPool2d): pools channels, rows and columns, but a signal of shape 2 arrives",
    "flatten_start_after_end": "node 'f' (Flatten): start_dim 2 to end_dim 1 names no axes",
    "flatten_out_of_range": "node 'f' (Flatten): start_dim 0 to end_dim 9 names no axes",
    "edge_dangling_src": "edge 'ghost' -> 'lif': no node 'ghost'",
    "edge_dangling_dst": "edge 'lif' -> 'ghost': no node 'ghost'",
    "edge_into_subgraph_name": "edge 'input' -> 'lif': no node 'lif'; did you mean 'lif1', which no edge names?",
    "edge_duplicate": "edge 'fc' -> 'lif': stands twice",
    "cycle_without_state": "the loop 's' -> 'fc' -> 's' has no node with state",
    "edges_three_columns": "edges: must be an E x 2 list of node names",
    "edges_integers": "edges: must be an E x 2 list of node names, not int64",
    "edges_empty": "the graph has no edges",
    "name_not_utf8": "its name is not UTF-8",
    "nest_no_input": "edge 'input' -> 'sub': the nested graph 'sub' has no Input",
    "nest_two_ports": "edge 'input' -> 'sub': the nested graph 'sub' has 2 Inputs ('a', 'b'); name one, ",
    "nest_edge_into_inner": "edge 'input' -> 'sub.lif': no node 'sub.lif'",
    "nest_empty_subgraph": "the nested graph 'sub' has no nodes",
    "huge_declared_4TB": "node 'fc' (Linear), weight: declares 4,398,046,511,104 bytes",
    "input_shape_1e12": "node 'fc' (Linear): weight has 2 columns (2x2)",
}
"""What one of the messages holds: node and field where the fault has them."""

NOTED = {
    "no_version": "version: the file holds no version",
    "version_garbage": "version: the file holds the version 'abc'",
    "version_int": "version: the file holds a version that is no text",
    "metadata_is_scalar": "metadata: the graph: metadata is not a group and is ignored",
    "metadata_key_type_check": "unknown field: 'type_check' on the graph is ignored",
    "r_zero": "gain: node 'lif' (LIF), r: 0, so its input has no effect",
    "input_has_batch_time": "input shape: 'input' is 1x6x2 in the file; its leading 1x6",
    "no_input": "an Input 'input_fc' is inferred",
    "no_output": "an Output 'output_lif' is inferred",
    "node_disconnected": "'stray' is not connected",
    "lif_len1_params": "broadcast: parameters of one element stand for every element of 'lif'",
    "root_type_lif": "single node: the file holds a single LIF and no graph",
}
"""What is read with a remark."""

READ = (
    "userblock_512",
    "soft_link_shared",
    "cuba_no_w_in",
    "metadata_nested_arrays",
    "weight_bool",
    "weight_float16",
    "weight_int8",
    "threshold_below_leak",
    "conv_nonsquare_kernel",
    "conv_no_input_shape",
    "edge_self_loop_lif",
    "name_unicode",
    "name_newline",
    "name_10k",
    "name_dotted",
    "name_digit",
    "name_keyword",
    "name_input_is_lif",
    "name_mangling_clash",
    "nest_300",
    "chain_2000",
    "wide_1500",
)
"""What is read without one."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_must_be_refused_is(bad_nir: Path, case: str) -> None:
    found = faults(bad_nir / f"{case}.nir")
    assert any(REFUSED[case] in fault for fault in found), found


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_not_compiled(bad_nir: Path, case: str) -> None:
    with pytest.raises(DiagnosticException) as raised:
        nirc.compile(bad_nir / f"{case}.nir", dt=1e-3)
    assert REFUSED[case] in str(raised.value)


@pytest.fixture(scope="module")
def compiled(bad_nir: Path) -> Callable[[str], Program]:
    """A case at the level snn, each once; dt = 1 ms, which is a tenth of the tau that these files have."""
    known = dict[str, Program]()

    def run(case: str) -> Program:
        if case not in known:
            known[case] = nirc.compile(bad_nir / f"{case}.nir", dt=1e-3)
        return known[case]

    return run


Compiled = Callable[[str], Program]


def network(program: Program) -> snn.NetworkOp:
    (found,) = program.module.ops
    assert isinstance(found, snn.NetworkOp)
    return found


@pytest.mark.parametrize("case", [*NOTED, *READ])
def test_what_is_legal_is_read(bad_nir: Path, case: str) -> None:
    module, found = examine(bad_nir / f"{case}.nir")
    assert found == []
    module.verify()
    graph = graph_of(module)
    assert graph is not None
    assert [*graph.nodes(), *graph.instances()] != []


@pytest.mark.parametrize("case", [*NOTED, *READ])
def test_what_is_legal_is_compiled(compiled: Compiled, case: str) -> None:
    program = compiled(case)
    network(program).verify()
    assert program.inputs != {}
    assert len(network(program).outputs) > 0


@pytest.mark.parametrize("case", NOTED)
def test_what_is_awkward_is_said(compiled: Compiled, case: str) -> None:
    said = compiled(case).assumptions
    assert any(NOTED[case] in text for text in said), said


SILENT = ("dt: ", "scheme: ", "reset: ", "initial state: ", "cycle: ")
"""What any file is told."""


@pytest.mark.parametrize("case", READ)
def test_of_what_is_legal_and_plain_nothing_is_said(compiled: Compiled, case: str) -> None:
    assert [text for text in compiled(case).assumptions if not text.startswith(SILENT)] == []


def test_the_verdicts_are_those_of_the_manifest(bad_nir: Path) -> None:
    entries: list[dict[str, Any]] = json.loads((bad_nir / "manifest.json").read_text())
    verdicts = {cast(str, entry["id"]): cast(str, entry["verdict"]) for entry in entries}
    assert len(verdicts) == 98
    assert set(verdicts) == {*REFUSED, *NOTED, *READ}
    assert {verdicts[case] for case in REFUSED} == {"error"}
    assert {case for case in READ if verdicts[case] != "ok"} == {"nest_300"}
    assert {case for case in NOTED if verdicts[case] != "warn"} == {"lif_len1_params", "root_type_lif"}
    assert {case for case, verdict in verdicts.items() if verdict == "either"} == {"nest_300", "root_type_lif"}


def test_a_long_name_is_kept(bad_nir: Path) -> None:
    found = graph_of(examine(bad_nir / "name_10k.nir")[0])
    assert found is not None
    assert max(len(node.node.data) for node in found.nodes()) == 10_000


def test_names_with_line_breaks_are_kept(bad_nir: Path) -> None:
    found = graph_of(examine(bad_nir / "name_newline.nir")[0])
    assert found is not None
    assert any("\n" in node.node.data for node in found.nodes())


def run(program: Program, x: Array) -> Array:
    return np.asarray(program.run(x))


def test_a_chain_of_2000_nodes_is_as_many_ops(compiled: Compiled) -> None:
    """Every scale is 1."""
    program = compiled("chain_2000")
    assert sum(isinstance(op, snn.ScaleOp) for op in network(program).body.block.ops) == 2000
    assert run(program, np.array([[0.5], [-3.0]])).tolist() == [[0.5], [-3.0]]


def test_1500_edges_into_an_output_are_added(compiled: Compiled) -> None:
    program = compiled("wide_1500")
    (added,) = [op for op in network(program).body.block.ops if isinstance(op, snn.SumOp)]
    assert len(added.inputs) == 1500
    assert run(program, np.array([[0.5], [-3.0]])).tolist() == [[750.0], [-4500.0]]


def leaky(x: Array, weight: float, leak: Array, gain: float, *, loop: bool) -> Array:
    """The spikes of LIF neurons of tau 10 ms and threshold 1 behind a weight, fed back where that is asked for."""
    v, z = leak, np.zeros(2)
    spikes = list[Array]()
    for value in x:
        v = v + 0.1 * (leak - v + gain * (weight * value + loop * z))
        z = (v > 1).astype(np.float64)
        v = np.where(z > 0, 0, v)
        spikes.append(z)
    return np.array(spikes)


RASTER = np.random.default_rng(1).uniform(0, 4, (60, 2))
NONE = np.zeros(2)
NEURONS = {
    "userblock_512": (1.5, NONE, 1, False),
    "edge_self_loop_lif": (1.5, NONE, 1, True),
    "lif_len1_params": (1.5, NONE, 1, False),
    "name_10k": (1.5, NONE, 1, False),
    "name_input_is_lif": (1, NONE, 1, False),
    "name_mangling_clash": (1, NONE, 1, False),
    "nest_300": (1, NONE, 1, False),
    "node_disconnected": (1.5, NONE, 1, False),
    "r_zero": (1.5, NONE, 0, False),
    "root_type_lif": (1, NONE, 1, False),
    "threshold_below_leak": (1.5, np.array([1.2, 0]), 1, False),
    "weight_bool": (1, NONE, 1, False),
    "weight_float16": (1, NONE, 1, False),
    "weight_int8": (3, NONE, 1, False),
}
"""The weight (a multiple of the identity), v_leak, r, and whether the neurons feed themselves."""


@pytest.mark.parametrize("case", NEURONS)
def test_what_an_awkward_file_computes(compiled: Compiled, case: str) -> None:
    weight, leak, gain, loop = NEURONS[case]
    expected = leaky(RASTER, weight, leak, gain, loop=loop)
    assert expected.sum() > 5 or case == "r_zero"
    assert run(compiled(case), RASTER).tolist() == expected.astype(bool).tolist()
