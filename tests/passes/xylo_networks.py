"""Xylo networks for the passes' tests: populations of real numbers by hand, what a pass reported, and IR of `snn`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region
from xdsl.passes import ModulePass

from nirc.dialects import xylo
from nirc.dialects.dense import Array, array, dense
from nirc.dialects.nir import assumptions


@dataclass
class Part:
    """A population's real numbers: weights [source, neuron] and one number per neuron or for all; `scale` where chosen.

    weights are what a spike adds to v in the first step, decays included.
    """

    weights: Any
    dash_mem: Any = 4.0
    dash_syn: Any = 2.0
    threshold: Any = 1.0
    bias: Any = 0.0
    scale: Any = None
    shift: int = 0

    def column(self, name: str) -> Array:
        return np.broadcast_to(np.asarray(getattr(self, name), np.float64), np.shape(self.weights)[1]).copy()


def module_of(
    inputs: int,
    hidden: Part,
    readout: Part,
    layers: dict[str, int] | None = None,
    reached: int | None = None,
    *,
    shift_in: int = 0,
    chip: str = "audio2",
    relays: dict[str, str] | None = None,
    membranes: tuple[str, ...] = (),
) -> ModuleOp:
    """A network of real numbers; the hidden weights are those of the inputs, then those of the hidden neurons."""
    into, out = np.asarray(hidden.weights, np.float64), np.asarray(readout.weights, np.float64)
    body = Block(
        [
            xylo.InputOp({"x": inputs}, dense(np.ascontiguousarray(into[:inputs, :reached, None])), shift_in),
            xylo.HiddenOp(
                layers or {"h": into.shape[1]},
                dense(np.ascontiguousarray(into[inputs:, :, None])),
                dense(hidden.column("dash_mem")),
                dense(hidden.column("dash_syn")[:, None]),
                dense(hidden.column("threshold")),
                dense(hidden.column("bias")),
                scale=None if hidden.scale is None else dense(hidden.column("scale")),
                weight_shift=hidden.shift,
            ),
            xylo.ReadoutOp(
                {"o": out.shape[1]} if out.shape[1] else {},
                ["y"] if out.shape[1] else [],
                dense(out),
                dense(readout.column("dash_mem")),
                dense(readout.column("dash_syn")),
                dense(readout.column("threshold")),
                dense(readout.column("bias")),
                scale=None if readout.scale is None else dense(readout.column("scale")),
                weight_shift=readout.shift,
                membranes=membranes,
            ),
        ]
    )
    module = ModuleOp([xylo.NetworkOp("main", chip, Region(body), relays=relays)])
    module.verify()
    return module


def random_part(rng: np.random.Generator, sources: int, size: int, *, biased: bool) -> Part:
    """Numbers of many sizes, a third of the weights 0, time constants that are no powers of two."""
    return Part(
        rng.normal(0, 10.0 ** rng.uniform(-2, 0, size), (sources, size)) * (rng.random((sources, size)) < 0.7),
        rng.uniform(0, 8, size),
        rng.uniform(0, 5, size),
        rng.uniform(0.5, 3, size),
        rng.normal(0, 0.05, size) * biased,
    )


def network(module: ModuleOp) -> xylo.NetworkOp:
    (op,) = module.ops
    assert isinstance(op, xylo.NetworkOp)
    return op


def applied(ctx: Context, module: ModuleOp, *passes: ModulePass) -> xylo.NetworkOp:
    """The verified network after the passes, which work in place."""
    for each in passes:
        each.apply(ctx, module)
    module.verify()
    return network(module)


def statements(module: ModuleOp, topic: str) -> list[tuple[str, str]]:
    """Kind and text of the assumptions about a topic."""
    return [(a.kind.data, a.statement.data) for a in assumptions(module) if a.topic.data == topic]


def changes(op: xylo.NetworkOp) -> dict[tuple[str, str], tuple[str, Array, Array, float]]:
    """The report: unit, before, after and largest relative error by node and parameter."""
    assert op.report is not None
    return {
        (c.node.data, c.parameter.data): (c.unit.data, array(c.before), array(c.after), float(array(c.error)))
        for c in op.report
    }


def text_of(values: Any) -> str:
    """A dense attribute in text."""
    return str(dense(np.asarray(values, np.float64)))


def recurrent(w_in: Array, w_rec: Array, w_out: Array, taus: tuple[Array, Array], thresholds: Array) -> str:
    """inputs -> h (recurrent) -> o in the canonical wiring, f64; taus of membrane and synapse of h in steps."""
    (n, inputs), m = w_in.shape, len(w_out)
    h, z, o, s = f"tensor<{n}xf64>", f"tensor<{n}xi1>", f"tensor<{m}xf64>", f"tensor<{m}xi1>"
    a, b = (text_of(1 - 1 / tau) for tau in taus)
    gain, half = "gain = dense<1.0> : tensor<f64>", "decay = dense<0.875> : tensor<f64>"
    zero = "dense<0.0> : tensor<f64>"
    return f"""
    snn.network @main attributes {{inputs = ["x"], outputs = ["y"], scheme = "nir-euler", states = [
      #snn.state<"h", "z", dense<false> : tensor<i1>>, #snn.state<"h", "i", {zero}>, #snn.state<"h", "v", {zero}>,
      #snn.state<"o", "i", {zero}>, #snn.state<"o", "v", {zero}>]}} {{
    ^bb0(%x: tensor<{inputs}xi1>, %z: {z}, %hi: {h}, %hv: {h}, %oi: {o}, %ov: {o}):
      %in = snn.linear %x {{weight = {text_of(w_in)}}} : (tensor<{inputs}xi1>) -> {h}
      %rec = snn.linear %z {{weight = {text_of(w_rec)}}} : ({z}) -> {h}
      %sum = snn.sum %in, %rec : ({h}, {h}) -> {h}
      %hi1 = snn.filter %sum, %hi {{decay = {b}, {gain}, node = "h"}} : ({h}, {h}) -> {h}
      %hv1 = snn.filter %hi1, %hv {{decay = {a}, {gain}, node = "h"}} : ({h}, {h}) -> {h}
      %hz = snn.fire %hv1 {{threshold = {text_of(thresholds)}, compare = ">=", node = "h"}} : ({h}) -> {z}
      %hv2 = snn.reset %hv1, %hz {{kind = "subtract", amount = {text_of(thresholds)}, node = "h"}} : ({h}, {z}) -> {h}
      %out = snn.linear %hz {{weight = {text_of(w_out)}}} : ({z}) -> {o}
      %oi1 = snn.filter %out, %oi {{{half}, {gain}, node = "o"}} : ({o}, {o}) -> {o}
      %ov1 = snn.filter %oi1, %ov {{{half}, {gain}, node = "o"}} : ({o}, {o}) -> {o}
      %oz = snn.fire %ov1 {{threshold = dense<1.0> : tensor<f64>, compare = ">=", node = "o"}} : ({o}) -> {s}
      %ov2 = snn.reset %ov1, %oz {{kind = "subtract", amount = dense<1.0> : tensor<f64>}} : ({o}, {s}) -> {o}
      snn.yield %oz, %hz, %hi1, %hv2, %oi1, %ov2 : {s}, {z}, {h}, {h}, {o}, {o}
    }}
    """


def random_recurrent(
    rng: np.random.Generator, dash_mem: tuple[int, int], dash_syn: tuple[int, int], drive: float = 1.0
) -> str:
    """8 inputs, 30 recurrent neurons, 4 readouts; time constants of 2^low, ..., 2^(high - 1) steps."""
    inputs, n, m = 8, 30, 4
    taus = 2.0 ** rng.integers(*dash_mem, n), 2.0 ** rng.integers(*dash_syn, n)
    w_in = drive * rng.normal(0.4, 0.2, (n, inputs)) / taus[1][:, None]
    w_rec = drive * rng.normal(0, 0.05, (n, n)) * (rng.random((n, n)) < 0.3) / taus[1][:, None]
    return recurrent(w_in, w_rec, rng.normal(0, 0.2, (m, n)), taus, rng.uniform(0.8, 1.2, n))
