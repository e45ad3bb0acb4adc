"""Every scheme and every option's values on a loop through neurons of all types: the kernel equals the evaluator."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nirc.dialects.dense import Array
from nirc.passes.convert_nir_to_snn.schemes import OPTIONS, SCHEMES

sys.path.append(str(Path(__file__).parent))
from same_results import Pair, events, graded

DT = 0.1
WIDTH = 3
ROW = f"!nir.signal<{WIDTH}>"
RNG = np.random.default_rng(2)


def between(low: float, high: float) -> Array:
    """A random vector."""
    return RNG.uniform(low, high, WIDTH)


def fields(**values: Any) -> str:
    """Dense attributes."""
    texts = list[str]()
    for name, value in values.items():
        held = np.asarray(value, float)
        shape = "".join(f"{n}x" for n in held.shape)
        texts.append(f"{name} = dense<{held.tolist()}> : tensor<{shape}f64>")
    return ", ".join(texts)


def neurons(*, leak: float = 0.0, reset: float = 0.0) -> str:
    """x and what comes back -> LIF -> CubaLIF -> IF, of which LI, CubaLI, I and a threshold are read out.

    r of the CubaLIF is tau_mem / dt, which snnTorch's import demands, as it demands that nothing leaks to elsewhere.
    """
    tau = RNG.uniform(0.3, 0.9, WIDTH)
    spiking = {"v_threshold": between(0.5, 1.2), "v_reset": np.full(WIDTH, reset)}
    kinds = {
        "lif": fields(tau=between(0.3, 0.9), r=between(2, 4), v_leak=leak, **spiking),
        "cuba_lif": fields(
            tau_mem=tau, tau_syn=between(0.2, 0.5), r=tau / DT, w_in=between(0.5, 1.5), v_leak=leak, **spiking
        ),
        "if": fields(r=between(0.4, 0.9), **spiking),
        "li": fields(tau=between(0.3, 0.9), r=between(0.5, 2), v_leak=leak),
        "cuba_li": fields(tau_mem=tau, tau_syn=between(0.2, 0.5), r=tau / DT, w_in=between(0.5, 1.5), v_leak=leak),
        "i": fields(r=between(0.5, 1.5)),
        "threshold": fields(threshold=between(0.05, 0.3)),
    }
    lines = list[str]()

    def node(kind: str, source: str) -> None:
        weight = RNG.uniform(-0.2, 0.9, (WIDTH, WIDTH))
        lines.append(f'%w_{kind} = nir.linear "w_{kind}"(%{source}) {{{fields(weight=weight)}}} : ({ROW}) -> {ROW}')
        lines.append(f'%{kind} = nir.{kind} "{kind}"(%w_{kind}) {{{kinds[kind]}}} : ({ROW}) -> {ROW}')

    for kind, source in (("lif", "s"), ("cuba_lif", "lif"), ("if", "cuba_lif")):
        node(kind, source)
    for kind in ("li", "cuba_li", "i", "threshold"):
        node(kind, "if")
    back = fields(weight=RNG.uniform(-0.7, 0.2, (WIDTH, WIDTH)))
    lines.append(f'%back = nir.linear "back"(%if) {{{back}}} : ({ROW}) -> {ROW}')
    outputs = ("if", "li", "cuba_li", "i", "threshold")
    names = ", ".join(f'"{name}_out"' for name in outputs)
    return (
        f'nir.graph @main attributes {{inputs = ["x"], outputs = [{names}]}} {{\n'
        f"^bb0(%x: {ROW}):\n%s = nir.sum %x, %back : ({ROW}, {ROW}) -> {ROW}\n"
        + "\n".join(lines)
        + f"\nnir.yield {', '.join(f'%{name}' for name in outputs)} : {', '.join([ROW] * len(outputs))}\n}}\n"
    )


PLAIN, LEAKY = neurons(), neurons(leak=0.125, reset=-0.25)


def check(
    tmp_path: Path, text: str, scheme: str, precision: str, make: Callable[..., Array], *batch: int
) -> Counter[str]:
    """A raster, of several samples or one; returns the spikes of each node."""
    path = tmp_path / "model.mlir"
    path.write_text(text)
    pair = Pair(path, dt=DT, scheme=scheme, precision=precision)
    results = pair.run({"x": 3 * make(np.random.default_rng(0), 160, *batch, WIDTH)})
    return Counter({name: int(values.sum()) for name, values in results.items() if name.endswith(".spikes")})


@pytest.mark.parametrize(("precision", "make"), [("f32", events), ("f64", graded)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme(tmp_path: Path, scheme: str, precision: str, make: Callable[..., Array]) -> None:
    spikes = check(tmp_path, PLAIN, scheme, precision, make, 2)
    assert spikes.keys() == {"lif.spikes", "cuba_lif.spikes", "if.spikes", "threshold.spikes"}
    assert min(spikes.values()) > 3


STORED = "spike_from=old,reset_at=pre_leak"
BESIDE = {
    "leak=none": "v_init=0",
    "mem_uses=exact": "decay_mem=exp,decay_syn=exp",
    "spike_from=old": "reset_at=pre_leak",
    **{f"reset_at={at}": "spike_from=old" for at in ("pre_leak", "post_leak", "double")},
    **{f"reset_at_{of}={at}": STORED for of in ("cuba", "rec") for at in ("post_leak", "double")},
}
"""What an option needs beside it."""
DEFAULT = SCHEMES["nir-euler"].options
SAME = ("reset_at_cuba=pre_leak", "reset_at_rec=pre_leak")
"""What spikes of the stored v have already."""
CHANGES = [
    change
    for option, values in OPTIONS.items()
    for value in values
    if value != DEFAULT[option] and (change := f"{option}={value}") not in SAME
]


@pytest.mark.parametrize(
    "change", [*CHANGES, f"{STORED},reset=subtract,multi=true", "multi=true,compare=>=,reset=zero"]
)
def test_an_option(tmp_path: Path, change: str) -> None:
    """On neurons that leak to elsewhere and fall below 0 where the scheme can."""
    gain = "" if change.startswith("if_gain") else ",if_gain=r"
    beside = f",{BESIDE[change]}" if change in BESIDE else ""
    text = PLAIN if change == "leak=none" else LEAKY
    assert sum(check(tmp_path, text, f"nir-euler{gain},{change}{beside}", "f32", graded).values()) > 3


@pytest.mark.parametrize("reset", ["zero", "v_reset", "subtract"])
@pytest.mark.parametrize("at", ["reset_at=next", "prereset=true", "reset_at=next,compare=>=", "rec_cut=weight"])
def test_resets_in_every_order(tmp_path: Path, reset: str, at: str) -> None:
    scheme = f"nir-exp-euler,if_gain=r,reset={reset},{at}"
    assert sum(check(tmp_path, LEAKY, scheme, "f32", events, 2).values()) > 10
