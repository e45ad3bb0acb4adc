"""The dialect: print and parse, and a refusal for each rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import Block, Operation, Region
from xdsl.utils.exceptions import VerifyException

from nirc.dialects import spinnaker2 as s2
from nirc.dialects.dense import Array, dense
from nirc.dialects.nir import integers
from nirc.printing import ir_text


def parameters(dtype: Any = np.float32, **changes: Any) -> dict[str, Any]:
    """Of a LIF."""
    given = {"threshold": 10.0, "alpha_decay": 0.5, "i_offset": 0.0, **changes}
    return {name: dense(np.asarray(value, dtype)) for name, value in given.items()}


def source(name: str = "in", *shape: int) -> s2.PopulationOp:
    return s2.PopulationOp(name, shape or (4,))


def neurons(name: str = "n", *shape: int, model: str = "lif_no_delay", **changes: Any) -> s2.PopulationOp:
    return s2.PopulationOp(
        name, shape or (2,), model, parameters(**changes), reset="reset_to_v_reset", record=("spikes",)
    )


def listed(
    pairs: Any = ((0, 0), (3, 1)), weights: Any = (5, -7), delays: Any = None, **ends: str
) -> s2.ListProjectionOp:
    waits = None if delays is None else dense(np.asarray(delays, np.int32))
    names = {"pre": "in", "post": "n", **ends}
    whole: Array = np.asarray(weights, np.int32 if np.asarray(weights).dtype.kind == "i" else np.float64)
    return s2.ListProjectionOp(
        "p",
        names["pre"],
        names["post"],
        ("fc",),
        dense(whole),
        connections=dense(np.asarray(pairs, np.int32)),
        delays=waits,
    )


def convolution(shape: tuple[int, ...] = (1, 2, 3, 3), **changes: Any) -> s2.Conv2dProjectionOp:
    """Of a 1 x 6 x 6 image, summed by 2, onto 2 x 3 x 3 neurons."""
    given: dict[str, Any] = {"input": (6, 6), "stride": 1, "pool": 2, "padding": (1, 1, 1, 1), **changes}
    weights = np.arange(1, 1 + int(np.prod(shape)), dtype=np.int32).reshape(shape)
    return s2.Conv2dProjectionOp.of("c", "in", "n", ("conv",), dense(weights), **given)


def network(*ops: Operation, inputs: Any = (("x", "in", (4,)),), outputs: Any = (("y", "n", (2,)),)) -> ModuleOp:
    read, given = ([s2.PortAttr.of(*port) for port in some] for some in (inputs, outputs))
    return ModuleOp([s2.NetworkOp("main", read, given, Region(Block(list(ops))), "euler")])


def images(**changes: Any) -> ModuleOp:
    ports = {"inputs": [("x", "in", (1, 6, 6))], "outputs": [("y", "n", (2, 3, 3))]}
    return network(source("in", 1, 6, 6), neurons("n", 2, 3, 3, model="lif_conv2d"), convolution(**changes), **ports)


@pytest.mark.parametrize("made", ["list", "delays", "images"])
def test_print_and_parse(made: str, parse: Callable[[str], ModuleOp], golden: Callable[[str], None]) -> None:
    module = {
        "list": lambda: network(source(), neurons(v_init=[1.0, -1.0]), listed()),
        "delays": lambda: network(source(), neurons(model="lif"), listed(delays=(0, 7))),
        "images": images,
    }[made]()
    module.verify()
    text = ir_text(module)
    assert ir_text(parse(text)) == text
    golden(text)


def test_synapses_of_a_convolution() -> None:
    """One tap at one place: the four places of its window, on the neuron that the tap moves them to."""
    op = convolution((1, 1, 3, 3))
    weights = np.zeros((1, 1, 3, 3), np.int32)
    weights[0, 0, 2, 0] = 9
    op.properties["weights"] = dense(weights)
    found = op.synapses()
    # Neuron (y, x) takes window (y + 1, x - 1): neuron (0, 1) the window (1, 0), places (2..3, 0..1).
    assert found.pre[found.post == 1].tolist() == [12, 13, 18, 19]
    assert set(found.post.tolist()) == {1, 2, 4, 5}
    assert set(found.weight.tolist()) == {9}


def test_synapses_without_weight_are_none() -> None:
    found = listed(((3, 1), (0, 0), (1, 1)), (5, 0, 7), (1, 2, 3)).synapses()
    assert (found.pre.tolist(), found.post.tolist()) == ([1, 3], [1, 1])
    assert (found.weight.tolist(), found.delay.tolist()) == ([7, 5], [3, 1])


POPULATIONS: dict[str, tuple[Callable[[], s2.PopulationOp], str]] = {
    "shape": (lambda: neurons("n", 0), "a shape is at least one number from 1, got 0"),
    "model": (lambda: neurons(model="izhikevich"), "neuron model 'izhikevich' is not one of spike_list, lif"),
    "missing": (lambda: neurons(model="lif_curr_exp"), "lif_curr_exp needs exc_decay"),
    "unknown": (
        lambda: neurons(t_refrac=1.0),
        "lif_no_delay has no t_refrac, which py-spinnaker2 would ignore in silence",
    ),
    "length": (lambda: neurons(threshold=[1.0, 2.0, 3.0]), "threshold has the shape 3, must be scalar or 2"),
    "rest": (lambda: neurons(threshold=0.0), "threshold must be > 0, or the neurons fire at rest"),
    "decay": (lambda: neurons(alpha_decay=1.25), "alpha_decay must lie in [0, 1]"),
    "finite": (lambda: neurons(i_offset=np.inf), "i_offset inf, must be finite"),
    "reset": (lambda: s2.PopulationOp("n", (2,), "lif", parameters()), "the reset of neurons is one of reset_by_subtr"),
    "record": (lambda: s2.PopulationOp("in", (2,), record=("u",)), "cannot record 'u'; there are spikes, v"),
    "atoms": (lambda: s2.PopulationOp("in", (2,), max_atoms_per_core=0), "max_atoms_per_core 0, must be at least 1"),
    "strict": (
        lambda: s2.PopulationOp("n", (2,), "lif", parameters(), reset="reset_to_v_reset", strict=True),
        "the chip fires where v >= threshold; strict is for real numbers",
    ),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_populations(name: str) -> None:
    make, told = POPULATIONS[name]
    with pytest.raises(VerifyException, match=re.escape(told)):
        make().verify()


NETWORKS: dict[str, tuple[Callable[[], ModuleOp], str]] = {
    "names": (lambda: network(source(), neurons("in")), "it holds populations of different names, and projections"),
    "kinds": (
        lambda: network(source(), neurons(), listed(weights=(0.5, 1.0))),
        "some numbers are the chip's, others are real",
    ),
    "nobody": (lambda: network(source(), neurons(), listed(pre="a")), "there is no population 'a'"),
    "onto a source": (lambda: network(source(), neurons(), listed(post="in")), "'in' is a source, which takes nothing"),
    "source": (lambda: network(source(), neurons(), listed(((4, 0), (0, 0)))), "source 4, 'in' has 4 neurons"),
    "target": (lambda: network(source(), neurons(), listed(((0, 2), (0, 0)))), "target 2, 'n' has 2 neurons"),
    "pair": (
        lambda: network(source(), neurons(), listed(((0, 0), (0, 0)))),
        "a pair of a source and a target stands twice",
    ),
    "two": (lambda: network(source(), neurons(), listed(), listed()), "two projections from 'in' to 'n'"),
    "list onto conv2d": (
        lambda: network(source(), neurons(model="lif_conv2d"), listed()),
        "lif_conv2d takes conv2d projections alone",
    ),
    "conv2d onto lif": (
        lambda: network(source("in", 36), neurons("n", 18), convolution(), inputs=(), outputs=()),
        "lif_no_delay takes list projections alone",
    ),
    "image": (lambda: images(pool=1), "it gives 2x6x6, 'n' has 18 neurons"),
    "input": (lambda: network(source(), neurons(), inputs=[("x", "n", (2,))]), "the input 'x' is no spike_list"),
    "output": (
        lambda: network(source(), neurons(), outputs=[("y", "n", (3,))]),
        "the output 'y' is not of the shape of 'n'",
    ),
    "empty list": (
        lambda: network(source(), neurons(), listed(np.zeros((0, 2)), np.zeros(0, int))),
        "at least one, got 0",
    ),
    "negative": (
        lambda: network(source(), neurons(), listed(((-1, 0), (0, 0)))),
        "connections are 2x2 whole numbers from 0",
    ),
    "delays": (lambda: network(source(), neurons(), listed(delays=(1,))), "delays are 2 whole numbers from 0"),
    "kernel": (lambda: images(shape=(1, 2, 3)), "weights are channels x features x rows x columns, got 1x2x3"),
    "padding": (lambda: images(padding=(0, 0)), "padding is top, bottom, left and right, from 0"),
    "stride": (lambda: images(stride=0), "stride and pool start at 1"),
    "too large": (lambda: images(shape=(1, 2, 7, 7)), "the kernel is larger than the input"),
    "rows": (lambda: images(input=(6,)), "input is rows and columns"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    make, told = NETWORKS[name]
    with pytest.raises(VerifyException, match=re.escape(told)):
        make().verify()


def test_the_limits_of_models() -> None:
    """4 bits and delays together, 7 bits without; sources in the notes of `Spinnaker2Limits`."""
    limits = s2.LIMITS
    assert limits.ranges("lif") == {"weights": (-15, 15), "delays": (0, 7)}
    assert limits.ranges("lif_curr_exp_no_delay") == {"weights": (-127, 127), "delays": (0, 0)}
    assert (limits.sram, limits.sram_newer, limits.cores) == (45_056, 67_328, 148)
    atoms = neurons()
    atoms.properties["max_atoms_per_core"] = IntegerAttr(3, i64)
    assert integers(atoms.shape) == (2,)
