"""Exports with a defect, mended: they then do what their exporters' own runs did, or stand as they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

import nirc
from nirc.dialects import nir
from nirc.dialects.dense import array
from nirc.passes.nir_mend import FIXES, NirMendPass

C, H, W = 2, 3, 4
WEIGHT = np.random.default_rng(0).normal(size=(5, C * H * W)).astype(np.float32)


def image(after: str, kind: str = "f32") -> str:
    """Flatten, and what stands behind it."""
    return (
        'nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {\n'
        f"^bb0(%x: !nir.signal<{C}x{H}x{W}>):\n"
        '%f = nir.flatten "f"(%x) {start_dim = 0 : i64, end_dim = -1 : i64} : '
        f"(!nir.signal<{C}x{H}x{W}>) -> !nir.signal<{C * H * W}>\n"
        f"{after}\n}}\n"
    )


LINEAR = (
    f'%w = nir.linear "w"(%f) {{weight = dense<"0x{WEIGHT.tobytes().hex()}"> : tensor<5x{C * H * W}xf32>}} : '
    f"(!nir.signal<{C * H * W}>) -> !nir.signal<5>\nnir.yield %w : !nir.signal<5>"
)


def said(module: ModuleOp) -> list[tuple[str, str]]:
    return [(item.kind.data, str(item)) for item in nir.assumptions(module)]


def test_columns_behind_a_flatten_come_into_nirs_order(ctx: Context, parse: Callable[[str], ModuleOp]) -> None:
    module = parse(image(LINEAR))
    NirMendPass(("hwc-flatten",)).apply(ctx, module)
    module.verify()
    (mended,) = [op for op in module.walk() if isinstance(op, nir.LinearOp)]
    found = array(mended.weight)
    for c, h, w in product(range(C), range(H), range(W)):
        assert (found[:, (c * H + h) * W + w] == WEIGHT[:, (h * W + w) * C + c]).all()
    assert said(module) == [("given", "fix: hwc-flatten: the columns of 'w' are put in the order channel, row, column")]


def test_what_cannot_be_put_in_order_is_refused(ctx: Context, parse: Callable[[str], ModuleOp]) -> None:
    size = C * H * W
    scale = (
        f'%s = nir.scale "s"(%f) {{scale = dense<2.0> : tensor<f32>}} : (!nir.signal<{size}>) -> !nir.signal<{size}>'
    )
    module = parse(
        image(f"{scale}\nnir.yield %s, %f : !nir.signal<{size}>, !nir.signal<{size}>").replace('["y"]', '["y", "z"]')
    )
    with pytest.raises(PassFailedException) as raised:
        NirMendPass(("hwc-flatten",)).apply(ctx, module)
    rest = "follows node 'f' (Flatten); only the columns of a Linear or an Affine can be put in another order"
    assert sorted(str(raised.value).splitlines()) == [
        f"fix hwc-flatten: a yield {rest}",
        f"fix hwc-flatten: node 's' (Scale) {rest}",
    ]


V = "!nir.signal<2>"
LIF = (
    "tau = dense<2.0> : tensor<f64>, r = dense<1.0> : tensor<f64>, v_leak = dense<0.0> : tensor<f64>, "
    "v_threshold = dense<0.5> : tensor<f64>"
)


def recurrent(into_lif: str, into_w: str, sums: str) -> str:
    """A recurrent layer as a graph of its own."""
    return (
        'nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {\n'
        f"^bb0(%x: {V}):\n"
        f'%l = nir.instance "l" of @layer (%x) : ({V}) -> {V}\nnir.yield %l : {V}\n}}\n'
        'nir.graph @layer attributes {inputs = ["in"], outputs = ["out"]} {\n'
        f"^bb0(%in: {V}):\n{sums}\n"
        f'%lif = nir.lif "lif"({into_lif}) {{{LIF}}} : ({V}) -> {V}\n'
        f'%w = nir.linear "w_rec"({into_w}) {{weight = dense<[[0.0, 1.0], [2.0, 0.0]]> : tensor<2x2xf64>}} : '
        f"({V}) -> {V}\nnir.yield %lif : {V}\n}}\n"
    )


def test_an_input_of_a_recurrent_layer_leads_to_its_neurons(opt: Callable[[str, str], str]) -> None:
    wrong = recurrent("%w", "%s", f"%s = nir.sum %in, %lif : ({V}, {V}) -> {V}")
    right = recurrent("%s", "%lif", f"%s = nir.sum %in, %w : ({V}, {V}) -> {V}")
    pipeline = "nir-infer-shapes,nir-inline-graphs,convert-nir-to-snn{dt=1.0}"
    mended = opt(wrong, f'nir-mend{{fixes="recurrent-input"}},{pipeline}')
    text = "recurrent-input: in 'layer', its Input leads to 'lif', not to 'w_rec'"
    note = f'#nir.assumption<"given", "fix", "{text}">, '
    assert note in mended
    assert mended.replace(note, "") == opt(right, pipeline)


def test_a_fix_that_finds_nothing_says_so(ctx: Context, parse: Callable[[str], ModuleOp]) -> None:
    module = parse(recurrent("%s", "%lif", f"%s = nir.sum %in, %w : ({V}, {V}) -> {V}"))
    before = [str(op) for op in module.ops]
    NirMendPass(tuple(FIXES)).apply(ctx, module)
    assert [str(op) for op in module.ops] == before
    assert said(module) == [("note", f"fix: {name}: nothing to mend was found") for name in FIXES]


def test_an_unknown_fix_is_refused(ctx: Context, parse: Callable[[str], ModuleOp]) -> None:
    with pytest.raises(PassFailedException, match=r"unknown fix edges; known: hwc-flatten, "):
        NirMendPass(("edges",)).apply(ctx, parse(image(LINEAR)))


def test_gains_of_another_writer_are_not_mended(shared: Path) -> None:
    path = shared / "cases" / "exports" / "snntorch_leaky_mlp.nir"
    with pytest.raises(DiagnosticException) as raised:
        nirc.load(path, fixes=["spyx-gains", "rockpool-gains"])
    assert [line.split(" is not")[0] for line in str(raised.value).splitlines()] == [
        "fix spyx-gains: r of '1', '3'",
        "fix rockpool-gains: r of '1', '3'",
    ]


SPYX = "nir-euler,spike_from=old,reset_at=post_leak,reset=subtract"
ROCKPOOL = "nir-exp-euler,gain_lif=r*dt/tau,gain_mem=r*dt/tau,gain_syn=w*dt/tau,compare=>=,multi=true,reset=subtract"


@pytest.mark.parametrize(
    ("case", "fixes", "scheme", "dt"),
    [
        ("spyx_lif_mlp", ("spyx-gains",), SPYX, 1.0),
        ("spyx_conv_if", ("spyx-gains", "hwc_flatten"), SPYX, 1.0),
        ("rockpool_cuba_mlp", ("rockpool-gains",), ROCKPOOL, 1e-3),
        ("rockpool_lifneuron", ("rockpool-gains",), ROCKPOOL, 1e-3),
        ("rockpool_expsyn_head", ("rockpool-gains",), ROCKPOOL, 1e-3),
        ("norse_lifbox_mlp", ("norse-tau",), "norse", 1e-3),
        ("norse_conv_iaf_lif", ("norse-tau",), "norse", 1e-3),
        ("norse_lifbox_li", ("norse-tau",), "norse", 1e-3),
    ],
)
def test_a_mended_file_says_what_its_framework_did(
    shared: Path, case: str, fixes: tuple[str, ...], scheme: str, dt: float
) -> None:
    """Its equations, with every field used, give the framework's output."""
    path = shared / "cases" / "exports" / f"{case}.nir"
    with np.load(path.with_suffix(".npz")) as held:
        x, expected, analog = (
            held["x"],
            held["out"],
            json.loads(str(held["meta"]))["check"]["mismatched_spikes"] is None,
        )
    mended = nirc.compile(nirc.load(path, fixes=fixes), scheme=scheme, dt=dt).run(x)
    bound = 1e-5 * np.abs(expected).max() if analog else 0
    assert np.abs(mended - expected.astype(np.float64)).max() <= bound
    if "norse-tau" in fixes:
        with pytest.raises(DiagnosticException, match=r"tau: .* s is shorter than the step dt = 0.001 s"):
            nirc.compile(path, scheme=scheme, dt=dt)
    else:
        plain = nirc.compile(path, scheme=scheme, dt=dt).run(x)
        assert np.abs(plain - expected.astype(np.float64)).max() > bound
