"""What becomes which process, what waits how long, and what is refused, in the words of the model.

That the converted network is the network itself, `tests/backends/loihi2/test_random.py` shows on random graphs.
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
    return json.loads(nirc.compile(model, "loihi2", dt=DT, **options).emit())


def processes(model: Any, **options: Any) -> dict[str, dict[str, Any]]:
    """The emitted processes by name."""
    return {item["name"]: item for item in compiled(model, **options)["processes"]}


def refusals(model: Any, **options: Any) -> list[str]:
    """All faults."""
    with pytest.raises(DiagnosticException) as caught:
        nirc.compile(model, "loihi2", dt=DT, **options)
    return str(caught.value).splitlines()


def lif(size: int, **changes: Any) -> Any:
    """LIF neurons of 8 steps."""
    fields = {"tau": 8 * DT, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changes}
    return nir.LIF(**{name: np.broadcast_to(np.float32(value), (size,)).copy() for name, value in fields.items()})


def cuba(size: int, **changes: Any) -> Any:
    """CubaLIF neurons of 8 steps, their currents of 2."""
    fields = {"tau_mem": 8 * DT, "tau_syn": 2 * DT, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    fields |= changes
    ones = np.ones(size, np.float32)
    return nir.CubaLIF(w_in=2 * ones, **{name: ones * np.float32(value) for name, value in fields.items()})


def weights(*shape: int) -> Array:
    """Of both signs."""
    values: Array = np.linspace(-1, 2, int(np.prod(shape))).reshape(shape)
    return values


def test_a_chain_is_a_connection_a_layer() -> None:
    """Matrix, scale, matrix between two layers are one Dense."""
    model = chain((3,), affine(weights(4, 3)), lif(4), affine(weights(5, 4)), scale(np.full(5, 0.5)), lif(5))
    assert [(name, item["type"]) for name, item in processes(model).items()] == [
        ("input", "Input"),
        ("n1", "LIF"),
        ("input->n1", "Dense"),
        ("n4", "LIF"),
        ("n1->n4", "Dense"),
    ]


def test_convolution_and_pool_are_one_convolution() -> None:
    """conv(k, s) after pool(p): kernel k p (side by side), stride s p, padding p times as wide; columns first."""
    parts = (conv(weights(2, 1, 3, 3), size=(8, 12), padding=1), spiking((2, 8, 12)), pool(2))
    parts += (conv(weights(3, 2, 3, 3), size=(4, 6), stride=(1, 2), padding=(1, 1)), spiking((3, 4, 3)))
    found = processes(chain((1, 8, 12), *parts, flatten(3, 4, 3), affine(weights(2, 36)), spiking((2,))))
    first, second = found["input->n1"], found["n1->n4"]
    assert (first["type"], first["input_shape"], first["stride"], first["padding"]) == (
        "Conv",
        [12, 8, 1],
        [1, 1],
        [1, 1],
    )
    assert np.array(second["weight"]).shape == (3, 6, 6, 2)
    assert (second["input_shape"], second["stride"], second["padding"]) == ([12, 8, 2], [4, 2], [2, 2])
    assert found["n4->n7"]["type"] == "Dense"


def test_borders_that_do_not_compose_become_a_matrix() -> None:
    """A padded convolution of a padded convolution sees other zeros than one kernel would."""
    parts = (conv(weights(1, 1, 3, 3), size=(5, 5), padding=1), conv(weights(1, 1, 3, 3), size=(5, 5), padding=1))
    found = processes(chain((1, 5, 5), *parts, spiking((1, 5, 5)), flatten(1, 5, 5), affine(weights(1, 25)), lif(1)))
    assert found["input->n2"]["type"] == "Dense"
    assert np.array(found["input->n2"]["weights"]).shape == (25, 25)


def test_a_pool_of_many_channels_has_no_groups() -> None:
    """128 groups are 0 in Lava's 8 bits; a pool's are written out."""
    found = processes(
        chain((128, 2, 2), pool(2), spiking((128, 1, 1)), flatten(128, 1, 1), affine(weights(1, 128)), lif(1))
    )
    assert found["input->n1"]["groups"] == 1
    assert np.count_nonzero(found["input->n1"]["weight"]) == 128 * 4


def skipping(delay: float) -> Any:
    """input -> a -> b, and input -> Delay -> b."""
    nodes = {
        "input": port("Input", 2),
        "fa": affine(weights(3, 2)),
        "a": lif(3),
        "fb": affine(weights(2, 3)),
        "b": lif(2),
    }
    nodes |= {
        "wait": nir.Delay(np.full(2, delay, np.float32)),
        "skip": affine(weights(2, 2)),
        "output": port("Output", 2),
    }
    edges = [("input", "fa"), ("fa", "a"), ("a", "fb"), ("fb", "b"), ("input", "wait"), ("wait", "skip"), ("skip", "b")]
    return graph(nodes, [*edges, ("b", "output")])


def test_short_branches_wait() -> None:
    """One step for the layer that the skip leaves out, and the Delay's own."""
    found = processes(skipping(5 * DT))["input->b"]
    assert (found["type"], found["delays"]) == ("DelayDense", [[6, 6], [6, 6]])


def test_delays_beyond_the_field() -> None:
    """62 steps are the most, balancing included."""
    assert processes(skipping(61 * DT))["input->b"]["delays"][0][0] == 62
    (line,) = refusals(skipping(62 * DT))
    assert line.startswith(
        "node 'wait', 'skip' ('input->b'): a delay of 63 steps at (0, 0) and at 3 more, must be in [0, 62]"
    )


def test_time_constants_of_their_own() -> None:
    """Populations by time constant; the node's order comes back, and u is not shared."""
    tau = DT * np.array([4, 9, 4, 30])
    config = compiled(chain((2,), affine(weights(4, 2)), lif(4, tau=tau, r=tau / DT), affine(weights(2, 4)), lif(2)))
    neurons = {item["name"]: item["dv"] for item in config["processes"] if item["type"] == "LIF"}
    assert neurons == {"n1[0]": 137, "n1[1]": 455, "n1[2]": 1024, "n3": 512}
    assert config["nirc"]["processes"]["n1[2]"] == {"node": "n1", "members": [0, 2], "node_shape": [4]}


def test_constants_of_a_current_come_from_a_neuron_that_always_fires() -> None:
    """And wait until the layer's first input arrives; a membrane's own are biases."""
    model = chain(
        (2,), affine(weights(3, 2), np.ones(3)), cuba(3), affine(weights(2, 3), np.ones(2)), cuba(2, v_leak=0.1)
    )
    found = processes(model)
    assert {key: found["one"][key] for key in ("du", "dv", "vth", "bias_mant")} == {
        "du": 4095,
        "dv": 4095,
        "vth": 0,
        "bias_mant": 1,
    }
    assert found["one->n1"]["type"] == "Dense"
    assert found["one->n3"]["delays"] == [[1], [1]]
    assert found["n3"]["bias_mant"] > 0


def test_a_name_that_is_taken() -> None:
    """The user's node `one` keeps its name."""
    nodes = {
        "input": port("Input", 1),
        "f": affine(weights(1, 1), np.array([0.3])),
        "one": cuba(1),
        "output": port("Output", 1),
    }
    assert set(processes(graph(nodes))) == {"input", "one", "one_", "input->one", "one_->one"}


def test_membranes_that_are_read() -> None:
    """An LI at the end: its v leaves, and it never fires."""
    ones = np.ones(2, np.float32)
    li = nir.LI(tau=8 * DT * ones, r=8 * ones, v_leak=0 * ones)
    program = nirc.compile(chain((3,), affine(weights(2, 3)), li), "loihi2", dt=DT)
    assert json.loads(program.emit())["neurons"]["n1"]["spiking"] is False
    raster = (np.random.default_rng(0).random((40, 3)) < 0.5).astype(np.uint8)
    v = program.run(raster) / json.loads(program.emit())["neurons"]["n1"]["v_scale"]
    expected = nirc.compile(chain((3,), affine(weights(2, 3)), li), dt=DT).run(raster)
    assert np.abs(v[1:] - expected[:-1]).max() < 0.01 * np.abs(expected).max()


def test_loops_of_several_layers_are_late() -> None:
    """Two layers in a loop of one step take two on the chip, which is a choice that is printed."""
    nodes = {
        "input": port("Input", 1),
        "f": affine(weights(1, 1)),
        "a": lif(1),
        "g": affine(weights(1, 1)),
        "b": lif(1),
    }
    nodes |= {"back": affine(weights(1, 1)), "output": port("Output", 1)}
    edges = [("input", "f"), ("f", "a"), ("a", "g"), ("g", "b"), ("b", "back"), ("back", "a"), ("b", "output")]
    program = nirc.compile(graph(nodes, edges), "loihi2", dt=DT)
    assert any("late are 'b' -> 'a' by 1" in text for text in program.assumptions)
    with pytest.raises(DiagnosticException, match="under --strict this must be said: recurrent edges"):
        nirc.compile(graph(nodes, edges), "loihi2", dt=DT, strict=True, reset="zero", scheme="nir-euler")


def test_everything_that_cannot_be_expressed() -> None:
    """One list, by the user's names."""
    ones = np.ones(2, np.float32)
    nodes = {
        "input": port("Input", 2),
        "f": affine(weights(2, 2)),
        "inner": nir.LI(tau=8 * DT * ones, r=ones, v_leak=0 * ones),
    }
    nodes |= {
        "g": affine(weights(2, 2)),
        "a": lif(2),
        "low": lif(2, v_reset=1.5),
        "last": affine(weights(2, 2)),
        "output": port("Output", 2),
    }
    found = refusals(graph(nodes))
    assert found[0] == ("node 'a': the membrane or current of 'inner' feeds it; Loihi 2's neurons send spikes alone")
    assert found[1] == "node 'low': threshold 1 at neuron 0 is not above v_reset 1.5"
    assert found[2].startswith("node 'last': the output 'output' is neither spikes nor a membrane of neurons")
    assert len(found) == 3


def test_reset_by_subtraction() -> None:
    """Refused with the reason; each layer by name."""
    found = refusals(chain((2,), affine(weights(2, 2)), lif(2), affine(weights(2, 2)), lif(2)), reset="subtract")
    assert [line.partition(":")[0] for line in found] == ["node 'n1'", "node 'n3'"]
    assert "resets to 0, or to v_reset by a shift" in found[0]


def test_kernels_beyond_eight_bits() -> None:
    """Groups of 128 and a stride of 130: Lava would wrap them in silence."""
    wide = conv(np.ones((128, 1, 1, 1)), size=(1, 131), groups=128, stride=(1, 130))
    found = refusals(
        chain((128, 1, 131), wide, spiking((128, 1, 2)), flatten(128, 1, 2), affine(weights(1, 256)), lif(1))
    )
    assert [line.partition("):")[2].partition(",")[0] for line in found] == [" groups 128", " stride 130x1"]


def test_a_simulators_scheme() -> None:
    (line,) = refusals(chain((1,), affine(weights(1, 1)), lif(1)), scheme="norse")
    assert line.startswith("scheme 'norse' describes a simulator")


@pytest.mark.parametrize("options", ["", "{inputs=graded}"])
def test_golden(opt: Callable[[str, str], str], golden: Callable[[str], None], options: str) -> None:
    """A convolution and a pool, a skip that waits, a recurrence, two time constants, a constant current."""
    nodes = {"input": port("Input", 1, 4, 4), "conv": conv(weights(2, 1, 3, 3), size=(4, 4), padding=1)}
    nodes |= {
        "a": spiking((2, 4, 4)),
        "pool": pool(2),
        "flat": flatten(2, 2, 2),
        "fc": affine(weights(3, 8), np.ones(3)),
    }
    nodes |= {
        "b": cuba(3, tau_mem=DT * np.array([8, 8, 16])),
        "rec": affine(weights(3, 3)),
        "output": port("Output", 3),
    }
    nodes |= {"wide": flatten(1, 4, 4), "skip": affine(weights(3, 16))}
    edges = [
        ("input", "conv"),
        ("conv", "a"),
        ("a", "pool"),
        ("pool", "flat"),
        ("flat", "fc"),
        ("fc", "b"),
        ("b", "rec"),
    ]
    edges += [("rec", "b"), ("b", "output"), ("input", "wide"), ("wide", "skip"), ("skip", "b")]
    snn = nirc.compile(graph(nodes, edges), "loihi2", dt=DT, until="snn").text()
    golden(opt(snn, f"convert-snn-to-loihi2{options}"))


def test_unknown_inputs() -> None:
    (line,) = refusals(chain((2,), affine(weights(2, 2)), lif(2)), inputs="spikes")
    assert line == "inputs 'spikes' are not one of events, graded"
