"""The `snn` dialect: what its verifier refuses, in its words, and that text reads back."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from nirc.dialects import snn
from nirc.dialects.dense import dense
from nirc.frontend.read_nir import read_nir
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.nir_infer_shapes import infer_shapes

ONE = "dense<1.0> : tensor<f32>"


def zeros(*shape: int) -> str:
    return f"dense<0.0> : tensor<{''.join(f'{n}x' for n in shape)}f32>"


def tensor(shape: str, element: str = "f32") -> str:
    return f"tensor<{shape}x{element}>" if shape else f"tensor<{element}>"


def step(body: str, *arguments: tuple[str, str], states: str = "", given: int | None = None) -> str:
    """A network without outputs; arguments are (name, type), the first `given` of them inputs."""
    count = len(arguments) if given is None else given
    names = ", ".join(f'"{name}"' for name, _ in arguments[:count])
    held = ", ".join(f"%{name}: {kind}" for name, kind in arguments)
    return (
        f"snn.network @main attributes {{inputs = [{names}], outputs = [], states = [{states}]}} {{\n"
        f"^bb0({held}):\n{body}\nsnn.yield\n}}\n"
    )


def op(name: str, taken: str | tuple[str, ...], gives: str, **fields: str) -> str:
    """One op `n` over arguments of these types."""
    kinds = (taken,) if isinstance(taken, str) else taken
    names = "xyzw"[: len(kinds)]
    operands = ", ".join(f"%{n}" for n in names)
    held = ", ".join(f"{key} = {value}" for key, value in {**fields, "node": '"n"'}.items())
    return step(
        f"%r = snn.{name} {operands} {{{held}}} : ({', '.join(kinds)}) -> {gives}", *zip(names, kinds, strict=True)
    )


V3, V2, F64 = tensor("3"), tensor("2"), tensor("2", "f64")
SPIKES = tensor("2", "i1")
RING = tensor("3x2")
IMAGE = tensor("2x4x4")


def conv(taken: str = IMAGE, gives: str = "tensor<3x3x3xf32>", **changes: str) -> str:
    fields = {"weight": zeros(3, 2, 2, 2), "stride": "array<i64: 1, 1>", "padding": "array<i64: 0, 0, 0, 0>"}
    fields |= {"dilation": "array<i64: 1, 1>", "groups": "1 : i64"}
    return op("conv", taken, gives, **fields | changes)


def pool(taken: str = IMAGE, gives: str = "tensor<2x2x2xf32>", **changes: str) -> str:
    fields = {"kernel": "array<i64: 2, 2>", "stride": "array<i64: 2, 2>", "padding": "array<i64: 0, 0, 0, 0>"}
    return op("pool", taken, gives, **fields | changes)


def delay(x: str, ring: str, *gives: str, steps: str = "dense<3> : tensor<i32>") -> str:
    held = f'{{steps = {steps}, node = "n"}}'
    return step(f"%r, %s = snn.delay %x, %y {held} : ({x}, {ring}) -> ({', '.join(gives)})", ("x", x), ("y", ring))


def of_steps(*steps: int, element: str = "i32") -> str:
    """A delay of two values over a ring of three, by as many steps each."""
    text = f"dense<[{', '.join(map(str, steps))}]> : tensor<{len(steps)}x{element}>"
    return delay(V2, RING, V2, RING, steps=text)


def fire(v: str = V2, spikes: str = SPIKES, threshold: str = ONE, compare: str = '">"') -> str:
    return op("fire", v, spikes, threshold=threshold, compare=compare)


def reset(v: str = V2, spikes: str = SPIKES, gives: str = V2, kind: str = '"value"', amount: str = ONE) -> str:
    return op("reset", (v, spikes), gives, kind=kind, amount=amount)


def leak(state: str = V2, gives: str = V2, x: str = V2, decay: str = ONE, gain: str = ONE) -> str:
    return op("filter", (x, state), gives, decay=decay, gain=gain)


LAST = '#snn.state<"a \\22b\\0A", "z", dense<[true, false]> : tensor<2xi1>>'
STATE = '#snn.state<"lif", "v", dense<0.0> : tensor<f32>>'

REFUSED = {
    "linear weight": (op("linear", V3, V2, weight=zeros(3, 2)), "'n': weight has the shape 3x2, must be 2x3"),
    "linear image": (op("linear", IMAGE, V2, weight=zeros(2, 32)), "'n': weight has the shape 2x32, must be 2x2x4x4"),
    "weight of another type": (
        op("linear", V3, V2, weight="dense<0.0> : tensor<2x3xf64>"),
        "'n': weight is of f64, but the op computes in f32",
    ),
    "conv channels": (conv(weight=zeros(3, 1, 2, 2)), "'n': weight 3x1x2x2 with groups 1 does not take 2 channels"),
    "conv groups": (conv(groups="2 : i64"), "'n': weight 3x2x2x2 with groups 2 does not take 2 channels"),
    "conv rows and groups": (
        conv(groups="2 : i64", weight=zeros(3, 1, 2, 2)),
        "'n': weight 3x1x2x2 with groups 2 does not take 2 channels",
    ),
    "conv output channels": (conv(gives="tensor<4x3x3xf32>"), "'n': the output has 4 channels, weight 3"),
    "conv places": (conv(gives="tensor<3x3x2xf32>"), "'n': the output's axis 2 has 2 places, must have 3"),
    "conv stride 0": (
        conv(stride="array<i64: 0, 1>"),
        "'n': stride, kernel and dilation must be at least 1, padding at least 0",
    ),
    "conv padding negative": (
        conv(padding="array<i64: 0, 0, -1, 0>"),
        "'n': stride, kernel and dilation must be at least 1, padding at least 0",
    ),
    "conv padding of two": (
        conv(padding="array<i64: 0, 0>"),
        "'n': stride, kernel and dilation are two numbers each, padding four",
    ),
    "conv of a vector": (
        conv(taken=V2),
        "'n': takes and gives channels, rows and columns, got 2 and 3x3x3",
    ),
    "pool places": (pool(gives="tensor<2x3x2xf32>"), "'n': the output's axis 1 has 3 places, must have 2"),
    "pool of a vector": (pool(gives=V2), "'n': takes and gives channels, rows and columns, got 2x4x4 and 2"),
    "pool kernel 0": (pool(kernel="array<i64: 0, 2>"), "'n': stride, kernel and dilation must be at least 1"),
    "pool stride of three": (pool(stride="array<i64: 2, 2, 2>"), "'n': stride, kernel and dilation are two numbers"),
    "scale shapes": (op("scale", V2, V3, factor=ONE), "'n': shapes must be equal, got 2, 3"),
    "scale factor": (op("scale", V2, V2, factor=zeros(3)), "'n': factor has the shape 3, which does not fit 2"),
    "add shapes": (op("add", V2, V3, constant=ONE), "'n': shapes must be equal, got 2, 3"),
    "add constant": (
        op("add", V2, V2, constant=zeros(1, 2)),
        "'n': constant has the shape 1x2, which does not fit 2",
    ),
    "sum of one": (op("sum", V2, V2), "'n': a sum takes at least two values"),
    "sum shapes": (op("sum", (V2, V3), V2), "'n': shapes must be equal, got 2, 3, 2"),
    "reshape size": (op("reshape", IMAGE, V2), r"'n': cannot turn tensor<2x4x4xf32> into tensor<2xf32>"),
    "reshape type": (op("reshape", V2, F64), r"'n': cannot turn tensor<2xf32> into tensor<2xf64>"),
    "delay ring": (
        delay(V2, V2, V2, V2),
        r"'n': the ring of a delay of tensor<2xf32> is \(steps, ...\), got tensor<2xf32>",
    ),
    "delay ring empty": (
        delay(V2, "tensor<0x2xf32>", V2, "tensor<0x2xf32>", steps="dense<0> : tensor<i32>"),
        r"'n': the ring of a delay of tensor<2xf32> is \(steps, ...\), got tensor<0x2xf32>",
    ),
    "delay ring of a number": (
        delay(tensor(""), tensor(""), tensor(""), tensor("")),
        r"'n': the ring of a delay of tensor<f32> is \(steps, ...\), got tensor<f32>",
    ),
    "delay output": (delay(V2, RING, V3, RING), "'n': a delay gives the types that it takes"),
    "delay next": (delay(V2, RING, V2, tensor("4x2")), "'n': a delay gives the types that it takes"),
    "delay element": (
        delay(V2, tensor("3x2", "f64"), V2, tensor("3x2", "f64")),
        "'n': a delay gives the types that it takes",
    ),
    "delay longer than the ring": (of_steps(0, 4), "'n': steps go from 0 to the ring's 3, and one must be as long"),
    "delay shorter than the ring": (of_steps(0, 2), "'n': steps go from 0 to the ring's 3, and one must be as long"),
    "delay into the future": (of_steps(-1, 3), "'n': steps go from 0 to the ring's 3, and one must be as long"),
    "delay of one number shorter than the ring": (
        delay(V2, RING, V2, RING, steps="dense<2> : tensor<i32>"),
        "'n': steps go from 0 to the ring's 3, and one must be as long",
    ),
    "delay steps of another shape": (of_steps(3, 3, 3), "'n': steps has the shape 3, which does not fit 2"),
    "delay steps of i64": (of_steps(3, 3, element="i64"), "'n': steps is of i64, but the op computes in i32"),
    "delay steps of f32": (
        delay(V2, RING, V2, RING, steps="dense<3.0> : tensor<f32>"),
        "'n': steps is of f32, but the op computes in i32",
    ),
    "filter shapes": (leak(x=V3), "'n': shapes must be equal, got 3, 2, 2"),
    "filter state": (leak(state=F64), r"'n': the state is tensor<2xf64>, its next value tensor<2xf32>"),
    "filter gain": (leak(gain=zeros(3)), "'n': gain has the shape 3, which does not fit 2"),
    "decay above 1": (leak(decay="dense<1.5> : tensor<f32>"), r"'n': decay must lie in \[0, 1\], got 1.5\n"),
    "decay below 0": (
        leak(decay="dense<[0.5, -0.25]> : tensor<2xf32>"),
        r"'n': decay must lie in \[0, 1\], got -0.25 at neuron 1\n",
    ),
    "decays": (
        leak(decay="dense<[2.0, 1.5]> : tensor<2xf32>"),
        r"'n': decay must lie in \[0, 1\], got 2 at neuron 0 and at 1 more",
    ),
    "fire shapes": (fire(spikes=tensor("3", "i1")), "'n': shapes must be equal, got 2, 3"),
    "fire threshold": (fire(threshold=zeros(3)), "'n': threshold has the shape 3, which does not fit 2"),
    "fire compare": (fire(compare='"<"'), "'n': compare must be one of >, >=, got '<'"),
    "fire type": (fire(spikes=V2), "'n': spikes are i1, counts i32, got f32"),
    "reset shapes": (reset(spikes=tensor("3", "i1")), "'n': shapes must be equal, got 2, 3, 2"),
    "reset amount": (reset(amount=zeros(3)), "'n': amount has the shape 3, which does not fit 2"),
    "reset kind": (reset(kind='"multiply"'), "'n': kind must be one of value, subtract, got 'multiply'"),
    "reset spikes": (reset(spikes=V2), "'n': spikes are i1, counts i32, got f32"),
    "clamp of nothing": (op("clamp", V2, V2), "'n': a clamp needs low, high or both"),
    "clamp shapes": (op("clamp", V2, V3, low=ONE), "'n': shapes must be equal, got 2, 3"),
    "clamp low": (op("clamp", V2, V2, low=zeros(3)), "'n': low has the shape 3, which does not fit 2"),
    "two faults": (fire(threshold=zeros(3), compare='"<"'), "'n': threshold has the shape 3, .*; compare must be"),
    "arguments": (step("", ("x", V2), ("y", V2), given=1), "1 inputs and 0 states, but 2 arguments"),
    "yield": (
        step("", ("x", V2), states=STATE, given=0),
        "0 outputs and 1 states, but 0 values are yielded",
    ),
    "state type": (
        step("", ("x", V2), ("y", V3), states=STATE, given=1).replace("snn.yield", f"snn.yield %x : {V2}"),
        r"state 'lif.v' is tensor<3xf32>, its next value tensor<2xf32>",
    ),
    "state init shape": (
        step("", ("v", V2), states=STATE.replace(ONE.replace("1.0", "0.0"), zeros(3)), given=0).replace(
            "snn.yield", f"snn.yield %v : {V2}"
        ),
        "state 'lif.v': its initial value has another shape",
    ),
    "state init type": (
        step("", ("v", F64), states=STATE, given=0).replace("snn.yield", f"snn.yield %v : {F64}"),
        r"state 'lif.v': its initial value is not tensor<2xf64>",
    ),
    "no yield": (
        step("", ("x", V2)).replace("snn.yield", '"test.end"() : () -> ()'),
        "a snn.network must end in snn.yield",
    ),
    "cycle": (
        step(
            f"%a = snn.sum %x, %b : ({V2}, {V2}) -> {V2}\n%b = snn.scale %a {{factor = {ONE}}} : ({V2}) -> {V2}",
            ("x", V2),
        ),
        "snn.sum uses a value of snn.scale before it is there; a step has no cycles",
    ),
    "op outside a network": (
        f'%x = "test.op"() : () -> {V2}\n%n = snn.scale %x {{factor = {ONE}}} : ({V2}) -> {V2}',
        "expects parent op to be one of 'snn.network', 'snn.scan'",
    ),
    "unnamed op": (op("sum", V2, V2).replace('node = "n"', ""), "snn.sum: a sum takes at least two values"),
}


def allowing_unregistered(ctx: Context) -> Context:
    clone = ctx.clone()
    clone.allow_unregistered = True
    return clone


@pytest.mark.parametrize("case", REFUSED)
def test_refused(ctx: Context, case: str) -> None:
    text, message = REFUSED[case]
    module = Parser(allowing_unregistered(ctx), text).parse_module()
    with pytest.raises(VerifyException, match=message):
        module.verify()


# What an op cannot mean, although the shapes of its constants are right; no traceback either.
MEANINGLESS = {
    "conv of a number": conv(taken="tensor<f32>"),
    "conv to a number": conv(gives="tensor<f32>"),
    "conv groups 0": conv(groups="0 : i64"),
    "conv weight of a vector": conv(weight=zeros(3)),
    "pool that makes channels": pool(gives="tensor<3x2x2xf32>"),
    "elements that numpy has not": op("scale", V2, V2, factor="dense<1> : tensor<i4>"),
    "a product of floats that is an integer": op("linear", V3, tensor("2", "i32"), weight=zeros(2, 3)),
    "a product of floats that is spikes": op("scale", V2, SPIKES, factor=ONE),
    "a threshold of another precision": fire(threshold="dense<1.0> : tensor<f64>"),
    "a reset to another precision": reset(gives=F64, amount="dense<1.0> : tensor<f64>"),
    "a delay by no steps": of_steps().replace("dense<[]>", "dense<>"),
    "an input that is no tensor": step("", ("x", "f32")),
}


@pytest.mark.parametrize("case", MEANINGLESS)
def test_what_has_no_meaning_is_refused(ctx: Context, case: str) -> None:
    with pytest.raises(VerifyException):
        Parser(ctx, MEANINGLESS[case]).parse_module().verify()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_constants_are_finite(parse: Callable[[str], ModuleOp], value: float) -> None:
    module = parse(leak())
    (found,) = [found for found in module.walk() if isinstance(found, snn.FilterOp)]
    found.gain = dense(np.array([1, value], np.float32))
    with pytest.raises(VerifyException, match=rf"'n': gain {value} at index 1, must be finite"):
        module.verify()


def test_initial_values_are_finite(parse: Callable[[str], ModuleOp]) -> None:
    module = parse(WRITTEN["states"])
    (network,) = [found for found in module.ops if isinstance(found, snn.NetworkOp)]
    states = list(network.states)
    states[0] = snn.StateAttr(states[0].node, states[0].variable, dense(np.array(np.nan, np.float32)))
    network.states = type(network.states)(states)
    with pytest.raises(VerifyException, match=r"state 'lif.v': its initial value nan, must be finite"):
        module.verify()


WRITTEN = {
    "linear": op("linear", V3, V2, weight=zeros(2, 3)),
    "conv": conv(),
    "pool": pool(),
    "scale": op("scale", SPIKES, V2, factor="dense<[0.1, -0.0]> : tensor<2xf32>"),
    "add": op("add", IMAGE, IMAGE, constant=zeros(2, 1, 1)),
    "sum": op("sum", (V2, SPIKES, tensor("2", "i32")), V2),
    "reshape": op("reshape", tensor("2x3", "i1"), tensor("6", "i1")),
    "delay": delay(SPIKES, tensor("3x2", "i1"), SPIKES, tensor("3x2", "i1")),
    "delay per element": of_steps(3, 0),
    "delay per channel": delay(
        IMAGE, tensor("3x2x4x4"), IMAGE, tensor("3x2x4x4"), steps="dense<[[[1]], [[3]]]> : tensor<2x1x1xi32>"
    ),
    "filter": leak(decay="dense<0.99999994> : tensor<f32>"),
    "fire": fire(compare='">="'),
    "count": fire(spikes=tensor("2", "i32")),
    "reset": reset(kind='"subtract"', spikes=tensor("2", "i32")),
    "clamp": op("clamp", F64, F64, high="dense<1.0e-300> : tensor<f64>"),
    "states": step("", ("v", V2), ("z", SPIKES), states=f"{STATE}, {LAST}", given=0).replace(
        "snn.yield", f"snn.yield %v, %z : {V2}, {SPIKES}"
    ),
    "empty": 'snn.network @main attributes {inputs = [], outputs = [], states = [], scheme = "norse"} {\nsnn.yield\n}',
}


def printed(module: ModuleOp, *, generic: bool = False) -> str:
    stream = StringIO()
    Printer(stream, print_generic_format=generic).print_op(module)
    return stream.getvalue()


def assert_reads_back(ctx: Context, module: ModuleOp) -> None:
    for generic in (False, True):
        text = printed(module, generic=generic)
        again = Parser(ctx, text).parse_module()
        again.verify()
        assert again.is_structurally_equivalent(module)
        assert printed(again, generic=generic) == text


@pytest.mark.parametrize("case", WRITTEN)
def test_text_reads_back(ctx: Context, parse: Callable[[str], ModuleOp], case: str) -> None:
    assert_reads_back(ctx, parse(WRITTEN[case]))


def test_every_op_reads_back(parse: Callable[[str], ModuleOp]) -> None:
    found = {type(op) for text in WRITTEN.values() for op in parse(text).walk()}
    assert set(snn.STEP_OPS) <= found


@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        ("braille_noDelay_bias_zero", "norse"),
        ("braille_noDelay_bias_zero", "snntorch-native"),
        ("braille_noDelay_noBias_subtract", "snntorch-subtract"),
        ("braille_noDelay_noBias_subtract", "nir-exp-euler"),
        ("cnn_sinabs", None),
        ("lif_norse", "norse"),
        ("lif_rockpool", None),
        ("lif_snntorch", "snntorch"),
        ("scnn_mnist_sinabs", None),
        ("scnn_mnist_spyx", None),
        ("two_lif_neurons", None),
    ],
)
def test_a_model_reads_back(ctx: Context, shared: Path, model: str, scheme: str | None) -> None:
    module = read_nir(str(shared / "models" / f"{model}.nir")).module
    assert infer_shapes(module) == []
    ConvertNirToSnnPass(dt=1e-4, scheme=scheme).apply(ctx, module)
    module.verify()
    assert_reads_back(ctx, module)
