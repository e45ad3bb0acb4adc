"""The step of each NIR node under a scheme: coefficients from time constants, and their wiring.

Coefficients are computed in f64 and rounded once to the network's precision.
    a = 1 - dt/tau (euler) or exp(-dt/tau) (exp), b the same for tau_syn
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import StringAttr, i1
from xdsl.ir import Attribute, Block, BlockArgument, SSAValue

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, Dense, ElementType, array, as_dense, dense, doubles, dtype_of, tensor, uniform
from nirc.dialects.nir import integers, quote
from nirc.passes.convert_nir_to_snn.schemes import Scheme

_F32 = 1e-6
"""How far a time constant stored in f32 may fall short of a step that it is meant to equal."""


@dataclass
class Step:
    """The step under construction: its block, its states, and what was chosen for the nodes so far."""

    scheme: Scheme
    dt: float
    element: ElementType
    auto_reset: str
    block: Block = field(default_factory=Block)
    states: list[tuple[snn.StateAttr, BlockArgument]] = field(default_factory=list[tuple[snn.StateAttr, BlockArgument]])
    nexts: dict[BlockArgument, SSAValue] = field(default_factory=dict[BlockArgument, SSAValue])
    faults: list[str] = field(default_factory=list[str])
    resets: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    unused: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    if_gains: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    at_leak: list[str] = field(default_factory=list[str])

    def constant(self, values: Array) -> Dense:
        """Round to the network's precision; equal numbers become one."""
        return dense(np.asarray(uniform(values), dtype=dtype_of(self.element)))

    def weights(self, attr: Dense) -> Dense:
        """Weights in the network's precision; the same bytes where they have it already."""
        values, dtype = array(attr), dtype_of(self.element)
        return attr if values.dtype == dtype else dense(values.astype(dtype))

    def state(
        self, node: str, variable: str, shape: nir.Shape, init: Array, element: ElementType | None = None
    ) -> BlockArgument:
        """A new state and its value before this step."""
        kind = element or self.element
        argument = self.block.insert_arg(tensor(shape, kind), len(self.block.args))
        argument.name_hint = variable
        value = dense(np.asarray(uniform(np.asarray(init)), dtype=dtype_of(kind)))
        self.states.append((snn.StateAttr(StringAttr(node), StringAttr(variable), value), argument))
        return argument

    def add(self, op: snn.SnnOp) -> SSAValue:
        """Append an op, return its result."""
        self.block.add_op(op)
        return op.results[0]

    def plus(self, value: SSAValue, constant: Array, node: str) -> SSAValue:
        """Add a constant; adding zeros is left out."""
        if not np.any(constant):
            return value
        return self.add(snn.AddOp([value], value.type, {"constant": self.constant(constant)}, node))

    def filter(self, x: SSAValue, state: SSAValue, decay: Array, gain: Array, node: str) -> SSAValue:
        """decay * state + gain * x"""
        properties: dict[str, Attribute | None] = {"decay": self.constant(decay), "gain": self.constant(gain)}
        return self.add(snn.FilterOp([x, state], state.type, properties, node))

    def fire(self, v: SSAValue, threshold: Array, node: str) -> SSAValue:
        """The spikes of v."""
        properties: dict[str, Attribute | None] = {
            "threshold": self.constant(threshold),
            "compare": StringAttr(self.scheme["compare"]),
        }
        return self.add(snn.FireOp([v], tensor(snn.tensor_of(v).get_shape(), i1), properties, node))


@dataclass
class Neuron:
    """A node's numbers under a scheme, in f64. `scale`: by what v is multiplied where the scheme folds the gain."""

    step: Step
    op: nir.NeuronOp
    scale: Array = field(default_factory=lambda: np.ones(()))

    @property
    def name(self) -> str:
        return self.op.node.data

    def __getitem__(self, parameter: str) -> Array:
        attr = as_dense(self.op.properties.get(parameter))
        return np.zeros(()) if attr is None else doubles(attr)

    def fail(self, parameter: str, why: str) -> None:
        """A fault of one of the node's parameters."""
        self.step.faults.append(f"node {quote(self.name)} ({self.op.NIR_TYPE}), {parameter}: {why}")

    def decay(self, tau_name: str, kind: str) -> Array:
        """The factor that is left of a state after a step; a tau below dt is a fault unless the scheme clips."""
        ratio = self.step.dt / self[tau_name]
        factor = np.exp(-ratio) if kind == "exp" else 1 - ratio
        short = np.flatnonzero(ratio > 1 + _F32)
        if short.size and not self.step.scheme.flag("clip"):
            tau = float(self[tau_name].flat[short[0]])
            self.fail(
                tau_name, f"{tau:g} s is shorter than the step dt = {self.step.dt:g} s; give --dt at most {tau:g}"
            )
        return np.clip(factor, 0, 1)

    def fold(self, tau_name: str, weight: str) -> None:
        """Under fold_thr, measure v in units of the input's gain weight dt/tau: inputs then enter with gain 1."""
        if self.step.scheme.flag("fold_thr"):
            gain = self[weight] * self.step.dt / self[tau_name]
            if np.any(gain == 0):
                self.fail(
                    weight, f"0, by which the threshold cannot be divided under the scheme {self.step.scheme.name}"
                )
            else:
                self.scale = 1 / gain

    def gain(self, option: str, tau_name: str, decay: Array, weight: str, *, of_input: bool = True) -> Array:
        """What a value of 1 adds to a state; of an input that is an impulse, 1 is the area: weight / tau at once."""
        kind = self.step.scheme[option]
        if of_input and self.step.scheme.flag("fold_thr"):
            return np.ones(())
        literal = self[weight] * (1 - decay)
        if kind == "unit":
            self.note_unused(weight, literal, np.ones(()))
            return np.ones(())
        factor = self[weight] if kind[0] in "rw" else np.ones(())
        if of_input and self.step.scheme["input"] == "impulse":
            return factor / self[tau_name]
        chosen = factor * (1 - decay if kind.endswith(("a)", "b)", "1-a")) else self.step.dt / self[tau_name])
        if kind[0] not in "rw":
            self.note_unused(weight, literal, chosen)
        return chosen

    def note_unused(self, weight: str, literal: Array, chosen: Array) -> None:
        """Remember a parameter that the scheme does not look at, where looking would make a difference."""
        if not np.allclose(literal, chosen, rtol=1e-4, atol=0):
            self.step.unused.setdefault(weight, []).append(self.name)

    def leak(self, decay: Array) -> Array:
        """What v_leak adds to v in a step."""
        kind = self.step.scheme["leak"]
        if kind == "none":
            if np.any(self["v_leak"]):
                held = float(np.ravel(self["v_leak"])[0])
                self.fail("v_leak", f"{held:g}, must be 0 under the scheme {self.step.scheme.name}")
            return np.zeros(())
        return self.scale * (self["v_leak"] if kind == "v_leak" else (1 - decay) * self["v_leak"])

    def v_init(self) -> Array:
        """v before the first step."""
        kind = self.step.scheme["v_init"]
        if kind == "v_leak" and np.any(self["v_leak"]):
            self.step.at_leak.append(self.name)
        return np.zeros(()) if kind == "0" else self.scale * self[kind]

    def reset_kind(self) -> str:
        """zero, v_reset or subtract; `auto` goes by the file's v_reset."""
        options: dict[type[nir.NeuronOp], str] = {nir.LIFOp: "reset_lif", nir.IFOp: "reset_if"}
        option = options.get(type(self.op), "reset")
        kind = self.step.scheme[option]
        if kind == "auto":
            kind = "v_reset" if np.any(self["v_reset"]) else self.step.auto_reset
        self.step.resets.setdefault(kind, []).append(self.name)
        return kind

    def reset(self, v: SSAValue, spikes: SSAValue, kind: str, threshold: Array) -> SSAValue:
        """v after the spikes."""
        amount = {
            "zero": np.zeros(()),
            "v_reset": self.scale * self["v_reset"],
            "subtract": threshold - self.scale * self["v_reset"],
        }[kind]
        properties: dict[str, Attribute | None] = {
            "kind": StringAttr("subtract" if kind == "subtract" else "value"),
            "amount": self.step.constant(np.asarray(amount)),
        }
        return self.step.add(snn.ResetOp([v, spikes], v.type, properties, self.name))


def _spiking(
    neuron: Neuron, shape: nir.Shape, integrate: Callable[[SSAValue], SSAValue], threshold: Array, *, synapse: bool
) -> SSAValue:
    """Fire and reset around the integration of v, in the wiring of the scheme; gives the spikes.

    reset_at `post`:  u = f(v); z = u > thr; v' = reset(u, z)
    reset_at `next`:  p = v > thr; u = f(v) - p thr (subtract), f(reset(v, p)) (LIF, IF to a value) or
                      reset(f(v), p) (CubaLIF to a value: that step's input is lost); z = u > thr; v' = u
    prereset, subtract (snnTorch's reset_delay=False):  p = v > thr; u = f(v) - p thr; z = u > thr; v' = f(v) - z thr
                      To a value it is `post`, because v never starts a step above thr.
    """
    step, scheme = neuron.step, neuron.step.scheme
    v = step.state(neuron.name, "v", shape, neuron.v_init())
    kind = neuron.reset_kind()
    delayed = scheme["reset_at"] == "next"
    if not delayed and not (scheme.flag("prereset") and kind == "subtract"):
        u = integrate(v)
        spikes = step.fire(u, threshold, neuron.name)
        step.nexts[v] = neuron.reset(u, spikes, kind, threshold)
        return spikes
    before = step.fire(v, threshold, neuron.name)
    if kind == "subtract":
        free = integrate(v)
        u = neuron.reset(free, before, kind, threshold)
    elif synapse:
        free = u = neuron.reset(integrate(v), before, kind, threshold)
    else:
        free = u = integrate(neuron.reset(v, before, kind, threshold))
    spikes = step.fire(u, threshold, neuron.name)
    step.nexts[v] = u if delayed else neuron.reset(free, spikes, kind, threshold)
    return spikes


def shape_of(op: nir.NodeOp) -> nir.Shape:
    """The shape of a node's output."""
    shape = op.output.type.shape
    assert shape is not None, "convert-nir-to-snn checks shapes first"
    return shape


def lower_lif(step: Step, op: nir.LIFOp, x: SSAValue) -> SSAValue:
    """v' = a v + r (1 - a) x + (1 - a) v_leak, fire, reset."""
    neuron = Neuron(step, op)
    neuron.fold("tau", "r")
    a = neuron.decay("tau", step.scheme["decay_mem"])
    gain = neuron.gain("gain_lif", "tau", a, "r")
    threshold = neuron.scale * neuron["v_threshold"]

    def integrate(v: SSAValue) -> SSAValue:
        return step.plus(step.filter(x, v, a, gain, neuron.name), neuron.leak(a), neuron.name)

    return _spiking(neuron, shape_of(op), integrate, threshold, synapse=False)


def lower_cuba_lif(step: Step, op: nir.CubaLIFOp, x: SSAValue) -> SSAValue:
    """i' = b i + w (1 - b) x; v' = a v + r (1 - a) i' + (1 - a) v_leak, fire, reset."""
    neuron = Neuron(step, op)
    scheme = step.scheme
    neuron.fold("tau_syn", "w_in")
    a = neuron.decay("tau_mem", scheme["decay_mem"])
    b = neuron.decay("tau_syn", scheme["decay_syn"])
    rest = neuron.scale * neuron["v_leak"] if scheme.flag("syn_leak") else np.zeros(())
    i = step.state(neuron.name, "i", shape_of(op), rest)
    current = step.filter(x, i, b, neuron.gain("gain_syn", "tau_syn", b, "w_in"), neuron.name)
    step.nexts[i] = current = step.plus(current, (1 - b) * rest, neuron.name)
    gain_mem = neuron.gain("gain_mem", "tau_mem", a, "r", of_input=False)
    expected = neuron["tau_mem"] / step.dt
    if scheme.flag("fold_thr") and scheme["gain_mem"] == "unit" and not np.allclose(neuron["r"], expected, rtol=1e-3):
        r, wanted = (float(np.ravel(values)[0]) for values in (neuron["r"], expected))
        neuron.fail("r", f"{r:g}, must be tau_mem/dt = {wanted:g} under the scheme {scheme.name}")
    threshold = neuron.scale * neuron["v_threshold"]

    def integrate(v: SSAValue) -> SSAValue:
        return step.plus(step.filter(current, v, a, gain_mem, neuron.name), neuron.leak(a), neuron.name)

    return _spiking(neuron, shape_of(op), integrate, threshold, synapse=True)


def lower_if(step: Step, op: nir.IFOp, x: SSAValue) -> SSAValue:
    """v' = v + g x, fire, reset; g as `if_gain` says."""
    neuron = Neuron(step, op)
    r, kind = neuron["r"], step.scheme["if_gain"]
    if kind == "auto":
        kind = "r*dt" if step.dt != 1 and np.allclose(r * step.dt, 1, rtol=1e-4, atol=0) else "r"
        if step.scheme["input"] == "impulse":
            kind = "r"
        elif step.dt != 1:
            step.if_gains.setdefault(kind, []).append(neuron.name)
    gain = {"r": r, "r*dt": r * step.dt, "unit": np.ones(())}[kind]
    if kind == "r*dt" and step.scheme["input"] == "impulse":
        gain = r
    decay = np.asarray(float(step.scheme["if_decay"]))

    def integrate(v: SSAValue) -> SSAValue:
        return step.filter(x, v, decay, gain, neuron.name)

    return _spiking(neuron, shape_of(op), integrate, neuron["v_threshold"], synapse=False)


def lower_li(step: Step, op: nir.LIOp, x: SSAValue) -> SSAValue:
    """v' = a v + r (1 - a) x + (1 - a) v_leak; the output is v'."""
    neuron = Neuron(step, op)
    a = neuron.decay("tau", step.scheme["decay_mem"])
    gain = neuron.gain("gain_lif", "tau", a, "r")
    v = step.state(neuron.name, "v", shape_of(op), neuron.v_init())
    step.nexts[v] = step.plus(step.filter(x, v, a, gain, neuron.name), neuron.leak(a), neuron.name)
    return step.nexts[v]


def lower_matrix(step: Step, op: nir.LinearOp | nir.AffineOp, x: SSAValue) -> SSAValue:
    """weight x, then + bias."""
    name = op.node.data
    weight = step.weights(op.weight)
    y = step.add(snn.LinearOp([x], tensor(shape_of(op), step.element), {"weight": weight}, name))
    return y if op.bias is None else step.plus(y, doubles(op.bias), name)


def lower_conv2d(step: Step, op: nir.Conv2dOp, x: SSAValue) -> SSAValue:
    """weight * x, then + bias, channel by channel."""
    name = op.node.data
    (top, bottom), (left, right) = op.paddings()
    properties: dict[str, Attribute | None] = {
        "weight": step.weights(op.weight),
        "stride": op.stride,
        "padding": nir.int_array((top, bottom, left, right)),
        "dilation": op.dilation,
        "groups": op.groups,
    }
    y = step.add(snn.ConvOp([x], tensor(shape_of(op), step.element), properties, name))
    if op.bias is None:
        return y
    bias = doubles(op.bias)
    return step.plus(y, bias.reshape(-1, 1, 1) if bias.size > 1 else bias.reshape(()), name)


def lower_sum_pool2d(step: Step, op: nir.SumPool2dOp, x: SSAValue) -> SSAValue:
    """The sum over each window."""
    rows, columns = integers(op.padding)
    properties: dict[str, Attribute | None] = {
        "kernel": op.kernel_size,
        "stride": op.stride,
        "padding": nir.int_array((rows, rows, columns, columns)),
    }
    return step.add(snn.PoolOp([x], tensor(shape_of(op), step.element), properties, op.node.data))


def lower_flatten(step: Step, op: nir.FlattenOp, x: SSAValue) -> SSAValue:
    """The same numbers, another shape."""
    return step.add(snn.ReshapeOp([x], tensor(shape_of(op), snn.tensor_of(x).element_type), None, op.node.data))
