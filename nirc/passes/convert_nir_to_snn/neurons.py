"""The step of each NIR node under a scheme: coefficients from time constants, and their wiring.

Coefficients are computed in f64 and rounded once to the network's precision.
    a = 1 - dt/tau (euler) or exp(-dt/tau) (exp), b the same for tau_syn
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, SSAValue

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, as_dense, doubles
from nirc.dialects.nir import quote
from nirc.passes.convert_nir_to_snn.step import Step, shape_of, stated_resets

_F32 = 1e-6
"""How far a time constant stored in f32 may fall short of a step that it is meant to equal."""


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
            own = stated_resets(self.op.metadata)
            if stated := own or self.step.stated_resets:
                if len({"zero" if kind == "v_reset" and not self["v_reset"].any() else kind for kind in stated}) > 1:
                    whose = "its" if own else "the graph's"
                    self.fail("reset", f"{whose} metadata states both {' and '.join(stated)}; give --reset")
                self.step.stated.add(self.name)
                kind = stated[0]
            else:
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


def _synapse(neuron: Neuron, x: SSAValue) -> SSAValue:
    """i' = b i + w (1 - b) x"""
    step = neuron.step
    b = neuron.decay("tau_syn", step.scheme["decay_syn"])
    rest = neuron.scale * neuron["v_leak"] if step.scheme.flag("syn_leak") else np.zeros(())
    i = step.state(neuron.name, "i", shape_of(neuron.op), rest)
    current = step.filter(x, i, b, neuron.gain("gain_syn", "tau_syn", b, "w_in"), neuron.name)
    step.nexts[i] = step.plus(current, (1 - b) * rest, neuron.name)
    return step.nexts[i]


def lower_cuba_lif(step: Step, op: nir.CubaLIFOp, x: SSAValue) -> SSAValue:
    """i' = b i + w (1 - b) x; v' = a v + r (1 - a) i' + (1 - a) v_leak, fire, reset."""
    neuron = Neuron(step, op)
    scheme = step.scheme
    neuron.fold("tau_syn", "w_in")
    a = neuron.decay("tau_mem", scheme["decay_mem"])
    current = _synapse(neuron, x)
    gain_mem = neuron.gain("gain_mem", "tau_mem", a, "r", of_input=False)
    expected = neuron["tau_mem"] / step.dt
    if scheme.flag("fold_thr") and scheme["gain_mem"] == "unit" and not np.allclose(neuron["r"], expected, rtol=1e-3):
        r, wanted = (float(np.ravel(values)[0]) for values in (neuron["r"], expected))
        neuron.fail("r", f"{r:g}, must be tau_mem/dt = {wanted:g} under the scheme {scheme.name}")
    threshold = neuron.scale * neuron["v_threshold"]

    def integrate(v: SSAValue) -> SSAValue:
        return step.plus(step.filter(current, v, a, gain_mem, neuron.name), neuron.leak(a), neuron.name)

    return _spiking(neuron, shape_of(op), integrate, threshold, synapse=True)


def lower_cuba_li(step: Step, op: nir.CubaLIOp, x: SSAValue) -> SSAValue:
    """i' = b i + w (1 - b) x; v' = a v + r (1 - a) i' + (1 - a) v_leak; the output is v'."""
    neuron = Neuron(step, op)
    a = neuron.decay("tau_mem", step.scheme["decay_mem"])
    current = _synapse(neuron, x)
    gain = neuron.gain("gain_mem", "tau_mem", a, "r", of_input=False)
    v = step.state(neuron.name, "v", shape_of(op), neuron.v_init())
    step.nexts[v] = step.plus(step.filter(current, v, a, gain, neuron.name), neuron.leak(a), neuron.name)
    return step.nexts[v]


def integrator_gain(neuron: Neuron) -> Array:
    """What an input adds to v of an I or IF node, as `if_gain` says."""
    step, r, kind = neuron.step, neuron["r"], neuron.step.scheme["if_gain"]
    if kind == "auto":
        kind = "r*dt" if step.dt != 1 and np.allclose(r * step.dt, 1, rtol=1e-4, atol=0) else "r"
        if step.scheme["input"] == "impulse":
            kind = "r"
        elif step.dt != 1:
            step.if_gains.setdefault(kind, []).append(neuron.name)
    if kind == "r*dt" and step.scheme["input"] == "impulse":
        kind = "r"
    return {"r": r, "r*dt": r * step.dt, "unit": np.ones(())}[kind]


def lower_if(step: Step, op: nir.IFOp, x: SSAValue) -> SSAValue:
    """v' = v + g x, fire, reset; g as `if_gain` says."""
    neuron = Neuron(step, op)
    gain = integrator_gain(neuron)
    decay = np.asarray(float(step.scheme["if_decay"]))

    def integrate(v: SSAValue) -> SSAValue:
        return step.filter(x, v, decay, gain, neuron.name)

    return _spiking(neuron, shape_of(op), integrate, neuron["v_threshold"], synapse=False)


def lower_i(step: Step, op: nir.IOp, x: SSAValue) -> SSAValue:
    """v' = v + g x; the output is v'; g as `if_gain` says."""
    neuron = Neuron(step, op)
    v = step.state(neuron.name, "v", shape_of(op), np.zeros(()))
    step.nexts[v] = step.filter(x, v, np.ones(()), integrator_gain(neuron), neuron.name)
    return step.nexts[v]


def lower_li(step: Step, op: nir.LIOp, x: SSAValue) -> SSAValue:
    """v' = a v + r (1 - a) x + (1 - a) v_leak; the output is v'."""
    neuron = Neuron(step, op)
    a = neuron.decay("tau", step.scheme["decay_mem"])
    gain = neuron.gain("gain_lif", "tau", a, "r")
    v = step.state(neuron.name, "v", shape_of(op), neuron.v_init())
    step.nexts[v] = step.plus(step.filter(x, v, a, gain, neuron.name), neuron.leak(a), neuron.name)
    return step.nexts[v]
