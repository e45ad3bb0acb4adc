"""What becomes which population and projection, what waits how, and what is refused, in the words of the model.

That the converted network is the network itself, `tests/backends/spinnaker2/test_random.py` shows on random graphs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.dialects.dense import Array

sys.path.append(str(Path(__file__).parents[1]))
from speck_models import affine, chain, conv, flatten, graph, nir, pool, port, scale, spiking

DT = 1e-3


def compiled(model: Any, **options: Any) -> dict[str, Any]:
    """The emitted file."""
    chosen: dict[str, Any] = {"dt": DT, "reset": "v_reset", **options}
    return json.loads(nirc.compile(model, "spinnaker2", **chosen).emit())


def populations(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in config["populations"]}


def projections(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in config["projections"]}


def refusals(model: Any, **options: Any) -> list[str]:
    """All faults."""
    with pytest.raises(DiagnosticException) as caught:
        compiled(model, **options)
    return str(caught.value).splitlines()


def lif(*shape: int, **changes: Any) -> Any:
    """LIF neurons of 8 steps and a gain of 1."""
    fields = {"tau": 8 * DT, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changes}
    return nir.LIF(**{name: np.broadcast_to(np.float32(value), shape).copy() for name, value in fields.items()})


def cuba(size: int, **changes: Any) -> Any:
    """CubaLIF neurons of 8 steps, their currents of 2, gains of 1."""
    fields = {"tau_mem": 8 * DT, "tau_syn": 2 * DT, "r": 8.0, "w_in": 2.0, "v_leak": 0.0, "v_threshold": 1.0}
    fields |= {"v_reset": 0.0, **changes}
    return nir.CubaLIF(**{name: np.full(size, value, np.float32) for name, value in fields.items()})


def weights(*shape: int) -> Array:
    """Of both signs, none 0."""
    values: Array = np.linspace(-1, 2, int(np.prod(shape))).reshape(shape) + 1e-3
    return values


def test_models() -> None:
    """LIF and IF without delays, CubaLIF with currents, convolutions a model of their own."""
    parts = (conv(weights(2, 1, 3, 3), size=(6, 6), padding=1), spiking((2, 6, 6)), flatten(2, 6, 6))
    parts += (affine(weights(4, 72)), lif(4), affine(weights(3, 4)), cuba(3))
    found = compiled(chain((1, 6, 6), *parts))
    assert {name: item["neuron_model"] for name, item in populations(found).items()} == {
        "input": "spike_list",
        "n1": "lif_conv2d",
        "n4": "lif_no_delay",
        "n6": "lif_curr_exp_no_delay",
    }
    assert [item["kind"] for item in found["projections"]] == ["conv2d", "list", "list"]
    assert found["latency"] == {"n1": 1, "n4": 2, "n6": 3}


def test_parameters_of_a_lif() -> None:
    """Section 5: s = 127 / max|w|; v_scale = s / ((1 - a) r); i_offset = (1 - a) v_leak v_scale + b s."""
    model = chain((2,), affine([[0.5, -0.25]], [0.03]), lif(1, r=4.0, v_leak=0.2, v_reset=-0.1))
    item = populations(compiled(model, mapping="vendor"))["n1"]
    s = 127 / 0.5
    v_scale = s / (0.125 * 4)
    assert item["params"]["alpha_decay"] == pytest.approx(0.875)
    assert item["params"]["threshold"] == pytest.approx(v_scale)
    assert item["params"]["v_reset"] == pytest.approx(-0.1 * v_scale)
    assert item["params"]["i_offset"] == pytest.approx(0.125 * 0.2 * v_scale + 0.03 * s)
    assert item["nir"]["w_scale"] == pytest.approx(s)
    assert item["nir"]["v_scale"] == pytest.approx(v_scale)


def test_parameters_of_a_cuba_lif() -> None:
    """v_scale = s / ((1 - a) r (1 - e) w_in); a bias is b s / (1 - e)."""
    model = chain((2,), affine([[0.5, -0.25]], [0.03]), cuba(1, r=4.0, w_in=3.0))
    item = populations(compiled(model, mapping="vendor"))["n1"]["params"]
    s = 127 / 0.5
    assert (item["exc_decay"], item["inh_decay"]) == (0.5, 0.5)
    assert item["threshold"] == pytest.approx(s / (0.125 * 4 * 0.5 * 3))
    assert item["i_offset"] == pytest.approx(0.03 * s / 0.5)


def test_biases_of_all_that_feeds_a_layer_add_up() -> None:
    """`s2_nir` overwrites them."""
    nodes = {"input": port("Input", 2), "a": affine(weights(3, 2), [0.1, 0.2, 0.3]), "n": lif(3)}
    nodes |= {"rec": affine(weights(3, 3), [0.01, 0.02, 0.03]), "output": port("Output", 3)}
    edges = [("input", "a"), ("a", "n"), ("n", "rec"), ("rec", "n"), ("n", "output")]
    item = populations(compiled(graph(nodes, edges), mapping="vendor"))["n"]
    assert np.allclose(item["params"]["i_offset"], np.array([0.11, 0.22, 0.33]) * item["nir"]["w_scale"], rtol=1e-5)


def test_a_loop_has_no_delay() -> None:
    """A recurrent projection of delay 0 is the network's one step."""
    nodes = {"input": port("Input", 2), "a": affine(weights(3, 2)), "n": lif(3), "rec": affine(weights(3, 3))}
    edges = [("input", "a"), ("a", "n"), ("n", "rec"), ("rec", "n"), ("n", "output")]
    found = projections(compiled(graph({**nodes, "output": port("Output", 3)}, edges)))
    assert {row[3] for row in found["n->n"]["connections"]} == {0}


def test_subtraction_is_shifted_by_v_reset() -> None:
    """theta - v_reset is subtracted, which the chip does of a threshold counted from v_reset."""
    item = populations(compiled(chain((2,), affine([[1.0, -1.0]]), lif(1, v_reset=-0.5)), reset="subtract"))["n1"]
    assert item["params"]["reset"] == "reset_by_subtraction"
    assert item["params"]["threshold"] == pytest.approx(1.5 * item["nir"]["v_scale"])
    assert item["params"]["i_offset"] == pytest.approx(0.125 * 0.5 * item["nir"]["v_scale"])
    assert item["nir"]["v_offset"] == -0.5


def test_v_starts_so_that_the_offset_arrives_with_the_input() -> None:
    """v_init = -i_offset (1 - a^L) / (1 - a) / a^L, specification section 5; not in the vendor's mapping."""
    parts = (affine(weights(3, 2)), lif(3), affine(weights(2, 3), [0.02, -0.01]), lif(2))
    late = populations(compiled(chain((2,), *parts)))["n3"]["params"]
    a, offset = late["alpha_decay"], np.array(late["i_offset"])
    assert np.allclose(late["v_init"], -offset * (1 - a**2) / (1 - a) / a**2, rtol=1e-5)
    assert "v_init" not in populations(compiled(chain((2,), *parts), mapping="vendor"))["n3"]["params"]


def test_thresholds_keep_a_strict_comparison() -> None:
    """Two weights of 127 are v = 254, the threshold: no spike in the network, none on a chip that has >=."""
    model = chain((2,), affine([[0.5, 0.5]]), spiking((1,)))
    one = nirc.compile(model, "spinnaker2", dt=DT, reset="v_reset")
    raster = np.array([[1, 1], [1, 0], [0, 0]], np.uint8)
    assert one.run(raster).ravel().tolist() == [0, 0, 1]
    assert nirc.compile(model, dt=DT, reset="v_reset").run(raster).ravel().tolist() == [0, 1, 0]
    vendor = nirc.compile(model, "spinnaker2", dt=DT, reset="v_reset", mapping="vendor")
    assert vendor.run(raster).ravel().tolist() == [0, 1, 0]


def test_pools_are_merged() -> None:
    """Into the convolution behind, into the matrix behind; before neurons alone they are synapses of equal weight."""
    parts = (conv(weights(2, 1, 3, 3), size=(8, 8), padding=1, stride=(1, 1)), spiking((2, 8, 8)), pool(2))
    parts += (conv(weights(3, 2, 3, 3), size=(4, 4), padding=1), spiking((3, 4, 4)), pool(2, "AvgPool2d"))
    found = compiled(chain((1, 8, 8), *parts, flatten(3, 2, 2), affine(weights(2, 12)), lif(2)))
    second = projections(found)["n1->n4"]
    assert (second["params"]["in_height"], second["params"]["pool_x"], second["params"]["pad_top"]) == (8, 2, 1)
    rows = projections(found)["n4->n8"]["connections"]
    assert len({weight for pre, post, weight, _ in rows if post == 1 and pre in (0, 1, 4, 5)}) == 1
    pooled = compiled(chain((1, 4, 4), pool(2), spiking((1, 2, 2))))
    rows = np.array(projections(pooled)["input->n1"]["connections"])
    assert rows[:, :2].tolist() == [[n, n // 8 * 2 + n % 4 // 2] for n in range(16)]
    assert set(rows[:, 2]) == {127}


def test_a_scale_is_folded() -> None:
    """Scale between two matrices: one matrix."""
    model = chain((2,), affine(weights(3, 2)), scale([1.0, 2.0, 3.0]), affine(weights(2, 3)), lif(2))
    rows = np.array(projections(compiled(model, quantize="layer"))["input->n3"]["connections"])
    product = weights(2, 3) @ np.diag([1.0, 2.0, 3.0]) @ weights(3, 2)
    assert np.array_equal(rows[:, 2], np.rint(product * 127 / np.abs(product).max()).T.ravel())


def delayed(steps: list[float]) -> Any:
    """A Delay before a matrix."""
    waits = (np.array(steps) * DT).astype(np.float32)
    return chain((len(steps),), nir.Delay(waits), affine(weights(2, len(steps))), lif(2))


def test_delays_take_four_bits() -> None:
    found = compiled(delayed([0, 3, 7]))
    assert populations(found)["n2"]["neuron_model"] == "lif"
    rows = np.array(projections(found)["input->n2"]["connections"])
    assert {(pre, wait) for pre, wait in rows[:, [0, 3]].tolist()} == {(0, 0), (1, 3), (2, 7)}
    assert np.abs(rows[:, 2]).max() == 15


def test_a_skip_waits_in_a_relay() -> None:
    """input -> a -> b and input -> b: the second through a population that repeats spikes a tick later, in 7 bits."""
    nodes = {"input": port("Input", 2), "wa": affine(weights(3, 2)), "a": lif(3), "wb": affine(weights(4, 3))}
    nodes |= {"b": lif(4), "skip": affine(weights(4, 2)), "output": port("Output", 4)}
    edges = [("input", "wa"), ("wa", "a"), ("a", "wb"), ("wb", "b"), ("input", "skip"), ("skip", "b"), ("b", "output")]
    found = compiled(graph(nodes, edges))
    relay = populations(found)["input+1"]
    assert (relay["size"], relay["neuron_model"], relay["nir"]["node"]) == (2, "lif_no_delay", None)
    assert {name for name in projections(found) if name.endswith("->b")} == {"input+1->b", "a->b"}
    assert found["latency"]["b"] == 2


def test_paths_from_one_source_are_one_row_each() -> None:
    """Two paths of unlike delay from one source: the chip finds one row of a source, so one goes through a relay."""
    nodes = {"input": port("Input", 2), "w": affine(weights(3, 2)), "wait": nir.Delay(np.full(2, 2 * DT, np.float32))}
    nodes |= {"late": affine(weights(3, 2)), "n": lif(3), "output": port("Output", 3)}
    edges = [("input", "w"), ("w", "n"), ("input", "wait"), ("wait", "late"), ("late", "n"), ("n", "output")]
    found = projections(compiled(graph(nodes, edges)))
    assert {row[3] for row in found["input->n"]["connections"]} == {0}
    assert {row[3] for row in found["input+1->n"]["connections"]} == {1}


def test_everything_that_is_refused_comes_in_one_list() -> None:
    """Graded values, a Conv1d, groups, unequal strides, a delay of 9 steps, more neurons than a chip has."""
    nodes = {
        "input": port("Input", 2, 4, 4),
        "grouped": conv(weights(2, 1, 3, 3), size=(4, 4), groups=2, padding=1),
        "n1": spiking((2, 4, 4)),
        "uneven": conv(weights(2, 2, 3, 3), size=(4, 4), stride=(1, 2), padding=1),
        "n2": spiking((2, 4, 2)),
        "flat": flatten(2, 4, 2),
        "wait": nir.Delay(np.full(16, 9 * DT, np.float32)),
        "fc": affine(weights(40_000, 16)),
        "many": lif(40_000),
        "line": port("Input", 1, 8),
        "row": nir.Conv1d(8, weights(1, 1, 3).astype(np.float32), 1, 0, 1, 1, np.zeros(1, np.float32)),
        "n3": spiking((1, 6)),
        "graded": nir.LI(*(np.ones(16, np.float32) * v for v in (8 * DT, 1, 0))),
        "fc4": affine(weights(2, 16)),
        "n4": lif(2),
        "o1": port("Output", 40_000),
        "o2": port("Output", 1, 6),
        "o3": port("Output", 2),
    }
    edges = [("input", "grouped"), ("grouped", "n1"), ("n1", "uneven"), ("uneven", "n2"), ("n2", "flat")]
    edges += [("flat", "wait"), ("wait", "fc"), ("fc", "many"), ("many", "o1"), ("line", "row"), ("row", "n3")]
    edges += [("n3", "o2"), ("flat", "graded"), ("graded", "fc4"), ("fc4", "n4"), ("n4", "o3")]
    found = refusals(graph(nodes, edges))
    told = [
        "node 'grouped': 2 groups; py-spinnaker2 has none",
        "node 'uneven': a stride of 1x2; which of py-spinnaker2's is which is not settled",
        "node 'wait': a delay of 9 steps onto 'many', a synapse of the chip waits 0 to 7 ticks beside the first",
        "'many': 40,000 neurons take 160 cores of 250, a chip has 148; make it at most 37,000 neurons",
        "node 'row': a Conv1d, for which py-spinnaker2 has no projection",
        "node 'n4': the membrane or current of 'graded' feeds it; SpiNNaker2's neurons send spikes alone",
    ]
    for text in told:
        assert any(text in line for line in found), (text, found)
    assert len(found) == len(told), found


OTHERS: dict[str, tuple[Any, str]] = {
    "convolution of a CubaLIF": (
        lambda: chain((1, 4, 4), conv(weights(1, 1, 3, 3), size=(4, 4)), flatten(1, 2, 2), cuba(4)),
        "a convolution onto 'n2', whose current decays; it may feed LIF or IF alone",
    ),
    "threshold": (
        lambda: chain(
            (2,), affine(weights(2, 2)), nir.Threshold(np.ones(2, np.float32)), affine(weights(1, 2)), lif(1)
        ),
        "node 'n1': a Threshold without a membrane; SpiNNaker2's neurons integrate, use LIF or IF",
    ),
    "readout": (
        lambda: chain((2,), affine(weights(2, 2)), nir.LI(*(np.full(2, v, np.float32) for v in (8 * DT, 1, 0)))),
        "the output 'output' is not the spikes of a layer",
    ),
    "no gain": (lambda: chain((2,), affine(weights(2, 2)), lif(2, r=0.0)), "the gain (r) of neuron 0 is 0"),
    "reset": (
        lambda: chain((2,), affine(weights(2, 2)), lif(2, v_threshold=-1.0)),
        "threshold -1 at neuron 0 is not above v_reset 0",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_refused(name: str) -> None:
    model, told = OTHERS[name]
    found = refusals(model())
    assert any(told in line for line in found), found


def test_weights_that_vanish_are_refused() -> None:
    nodes = {"input": port("Input", 2), "w": affine(weights(2, 2)), "n": lif(2), "rec": affine(1e-4 * weights(2, 2))}
    edges = [("input", "w"), ("w", "n"), ("n", "rec"), ("rec", "n"), ("n", "output")]
    (told,) = refusals(graph({**nodes, "output": port("Output", 2)}, edges))
    assert "node 'rec' ('n->n'): every weight onto 'n' rounds to 0; the largest is 0.0002" in told


def test_simulators_are_no_way_down() -> None:
    assert (
        "scheme 'norse,reset=v_reset' describes a simulator"
        in refusals(chain((2,), affine(weights(2, 2)), lif(2)), scheme="norse")[0]
    )


def test_golden(golden: Callable[[str], None]) -> None:
    """A layer with a bias and a loop, in real numbers and in the chip's."""
    nodes = {"input": port("Input", 2), "a": affine([[0.5, -0.25], [1.0, 0.125]], [0.125, 0]), "n": lif(2)}
    nodes |= {"rec": affine([[0, -0.5], [-0.5, 0]]), "output": port("Output", 2)}
    edges = [("input", "a"), ("a", "n"), ("n", "rec"), ("rec", "n"), ("n", "output")]
    one = nirc.compile(graph(nodes, edges), "spinnaker2", dt=DT, reset="v_reset")
    golden(one.text())
