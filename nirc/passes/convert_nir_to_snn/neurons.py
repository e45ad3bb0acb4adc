"""The step of each NIR node under a scheme: coefficients from time constants, and their wiring.

Coefficients are computed in f64 and rounded once to the network's precision.
    a = 1 - dt/tau (euler) or exp(-dt/tau) (exp), b the same for tau_syn
What arrives is asked for where it is needed: the spikes of a stored v, or of one that integrates the stored i, are
known before it is there, and what it does then is put off (`Step.later`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from xdsl.dialects.builtin import StringAttr, i1, i32
from xdsl.ir import Attribute, SSAValue

from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, as_dense, doubles, tensor
from nirc.dialects.nir import quote
from nirc.passes.convert_nir_to_snn.step import Arriving, Step, shape_of, stated_resets

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
        """zero, v_reset, subtract or none; `auto` goes by the file's v_reset."""
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

    def reset_at(self) -> str:
        """When a spike acts on v."""
        if not isinstance(self.op, nir.CubaLIFOp):
            return self.step.scheme["reset_at"]
        return self.step.scheme["reset_at_rec" if self.name in self.step.on_cycle else "reset_at_cuba"]

    def reset(self, v: SSAValue, spikes: SSAValue, kind: str, threshold: Array) -> SSAValue:
        """v after the spikes."""
        if kind == "none":
            return v
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

    def floored(self, v: SSAValue, threshold: Array) -> SSAValue:
        """v, or the least that the scheme lets it be."""
        kind = self.step.scheme["floor_if" if isinstance(self.op, nir.IFOp) else "floor"]
        if kind == "none":
            return v
        low = np.zeros(()) if kind == "0" else 0 - threshold  # not -0
        return self.step.add(snn.ClampOp([v], v.type, {"low": self.step.constant(np.asarray(low))}, self.name))


Integrate: TypeAlias = Callable[[SSAValue], SSAValue]
"""From v before a step to v before its reset."""


def _spiking(
    neuron: Neuron, shape: nir.Shape, integrate: Integrate, threshold: Array, *, synapse: bool = False
) -> SSAValue:
    """Fire and reset around the integration of v, in the wiring of the scheme; gives the spikes.

    reset_at `post`:  u = f(v); z = u > thr; v' = reset(u, z)
    reset_at `next`:  p = v > thr; u = f(v) - p thr (subtract), f(reset(v, p)) (LIF, IF to a value) or
                      reset(f(v), p) (CubaLIF to a value: that step's input is lost); z = u > thr; v' = u
    prereset, subtract (snnTorch's reset_delay=False):  p = v > thr; u = f(v) - p thr; z = u > thr; v' = f(v) - z thr
                      To a value it is `post`, because v never starts a step above thr.
    spike_from `old`: z = v > thr; v' = f(reset(v, z)) (pre_leak), reset(f(v), z) (post_leak),
                      reset(f(reset(v, z)), z) (double)
    """
    step, scheme = neuron.step, neuron.step.scheme
    v = step.state(neuron.name, "v", shape, neuron.v_init())
    kind, at = neuron.reset_kind(), neuron.reset_at()
    element = i32 if scheme.flag("multi") else i1
    if element == i32 and np.any(threshold <= 0):
        low = float(np.ravel(neuron["v_threshold"]).min())
        neuron.fail("v_threshold", f"{low:g}, must be > 0 where spikes are counted (multi=true)")

    def fire(u: SSAValue) -> SSAValue:
        return step.fire(u, threshold, neuron.name, element)

    def reset(u: SSAValue, spikes: SSAValue) -> SSAValue:
        return neuron.reset(u, spikes, kind, threshold)

    def keep(u: SSAValue) -> None:
        step.nexts[v] = neuron.floored(u, threshold)

    if scheme["spike_from"] == "old":
        spikes = fire(v)

        def integrate_later() -> None:
            u = integrate(v if at == "post_leak" else reset(v, spikes))
            keep(u if at == "pre_leak" else reset(u, spikes))

        step.later.append(integrate_later)
        return spikes
    delayed = at == "next"
    if not delayed and not (scheme.flag("prereset") and kind == "subtract"):
        u = integrate(v)
        spikes = fire(u)
        keep(reset(u, spikes))
        return spikes
    before = fire(v)
    if kind == "subtract":
        free = integrate(v)
        u = reset(free, before)
    elif synapse:
        free = u = reset(integrate(v), before)
    else:
        free = u = integrate(reset(v, before))
    spikes = fire(u)
    keep(u if delayed else reset(free, spikes))
    return spikes


def _graded(neuron: Neuron, integrate: Integrate, v_init: Array) -> SSAValue:
    """v without spikes: what an LI, CubaLI or I puts out, after this step's update or before it (li_from)."""
    step = neuron.step
    v = step.state(neuron.name, "v", shape_of(neuron.op), v_init)
    if step.scheme["li_from"] == "new":
        step.nexts[v] = integrate(v)
        return step.nexts[v]

    def integrate_later() -> None:
        step.nexts[v] = integrate(v)

    step.later.append(integrate_later)
    return v


def _membrane(neuron: Neuron, order: str, x: Arriving) -> Integrate:
    """v' = a v + g x + leak, or a (v + g x) + leak."""
    step = neuron.step
    a = neuron.decay("tau", step.scheme["decay_mem"])
    gain, leak = neuron.gain("gain_lif", "tau", a, "r"), neuron.leak(a)
    if step.scheme[order] == "input_first":
        gain = a * gain
    return lambda v: step.plus(step.filter(x(), v, a, gain, neuron.name), leak, neuron.name)


def lower_lif(step: Step, op: nir.LIFOp, x: Arriving) -> SSAValue:
    """v' = a v + r (1 - a) x + (1 - a) v_leak, fire, reset."""
    neuron = Neuron(step, op)
    neuron.fold("tau", "r")
    if step.scheme["lif_delay"] == "1":
        x = step.arriving_late(op, x)
    threshold = neuron.scale * neuron["v_threshold"]
    spikes = _spiking(neuron, shape_of(op), _membrane(neuron, "lif_order", x), threshold)
    if step.scheme["lif_height"] == "1":
        return spikes
    height: dict[str, Attribute | None] = {"factor": step.constant(np.asarray(1 / step.dt))}
    return step.add(snn.ScaleOp([spikes], tensor(shape_of(op), step.element), height, neuron.name))


def _synapse(neuron: Neuron, x: Arriving) -> Integrate:
    """The membrane of a CubaLIF or CubaLI, and its synapse.

    i' = b i + w (1 - b) x                      or b (i + w (1 - b) x), as syn_order says
    v' = a v + r (1 - a) i' + (1 - a) v_leak    of i', or of i (mem_uses old)

    mem_uses exact: x is held from one step to the next, so that i goes from i to i' as an exponential. v' is then
        a v + k i + (r (1 - a) - k) w x + (1 - a) v_leak,  k = r tau_syn (b - a) / (tau_syn - tau_mem),
        k = r a dt/tau_mem where the two are equal. An impulse jumps at the end of the step: v' = a v + k i + ...
    """
    step, scheme = neuron.step, neuron.step.scheme
    a = neuron.decay("tau_mem", scheme["decay_mem"])
    b = neuron.decay("tau_syn", scheme["decay_syn"])
    gain_syn = neuron.gain("gain_syn", "tau_syn", b, "w_in")
    gain_mem = neuron.gain("gain_mem", "tau_mem", a, "r", of_input=False)
    rest = neuron.scale * neuron["v_leak"] if scheme.flag("syn_leak") else np.zeros(())
    leak = neuron.leak(a)
    i = step.state(neuron.name, "i", shape_of(neuron.op), np.asarray(rest))

    def update() -> SSAValue:
        first = scheme["syn_order"] == "input_first"
        current = step.filter(x(), i, b, b * gain_syn if first else gain_syn, neuron.name)
        step.nexts[i] = step.plus(current, (1 - b) * rest, neuron.name)
        return step.nexts[i]

    if scheme["mem_uses"] == "new":
        return lambda v: step.plus(step.filter(update(), v, a, gain_mem, neuron.name), leak, neuron.name)
    if scheme["mem_uses"] == "old":
        step.later.append(update)
        return lambda v: step.plus(step.filter(i, v, a, gain_mem, neuron.name), leak, neuron.name)
    tau_mem, tau_syn = neuron["tau_mem"], neuron["tau_syn"]
    # expm1 keeps what a difference of two decays loses where the time constants are close.
    apart = step.dt * (tau_syn - tau_mem) / (tau_syn * tau_mem)
    course = np.divide(np.expm1(apart), apart, out=np.ones_like(apart), where=apart != 0)
    k = neuron["r"] * a * step.dt / tau_mem * course
    direct = (gain_mem - k) * neuron["w_in"] if scheme["input"] == "held" else np.zeros(())

    def integrate(v: SSAValue) -> SSAValue:
        arriving = x()
        u = step.filter(i, v, a, k, neuron.name)
        if np.any(direct):
            part = step.add(snn.ScaleOp([arriving], v.type, {"factor": step.constant(direct)}, neuron.name))
            u = step.add(snn.SumOp([u, part], v.type, neuron.name))
        update()
        return step.plus(u, leak, neuron.name)

    return integrate


def lower_cuba_lif(step: Step, op: nir.CubaLIFOp, x: Arriving) -> SSAValue:
    """i' = b i + w (1 - b) x; v' = a v + r (1 - a) i' + (1 - a) v_leak, fire, reset."""
    neuron = Neuron(step, op)
    scheme = step.scheme
    neuron.fold("tau_syn", "w_in")
    integrate = _synapse(neuron, x)
    expected = neuron["tau_mem"] / step.dt
    if scheme.flag("fold_thr") and scheme["gain_mem"] == "unit" and not np.allclose(neuron["r"], expected, rtol=1e-3):
        r, wanted = (float(np.ravel(values)[0]) for values in (neuron["r"], expected))
        neuron.fail("r", f"{r:g}, must be tau_mem/dt = {wanted:g} under the scheme {scheme.name}")
    return _spiking(neuron, shape_of(op), integrate, neuron.scale * neuron["v_threshold"], synapse=True)


def lower_cuba_li(step: Step, op: nir.CubaLIOp, x: Arriving) -> SSAValue:
    """i' = b i + w (1 - b) x; v' = a v + r (1 - a) i' + (1 - a) v_leak; the output is v'."""
    neuron = Neuron(step, op)
    return _graded(neuron, _synapse(neuron, x), neuron.v_init())


def _integrator_gain(neuron: Neuron) -> Array:
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


def lower_if(step: Step, op: nir.IFOp, x: Arriving) -> SSAValue:
    """v' = v + g x, fire, reset; g as `if_gain` says."""
    neuron = Neuron(step, op)
    gain = _integrator_gain(neuron)
    decay = np.asarray(float(step.scheme["if_decay"]))
    return _spiking(
        neuron, shape_of(op), lambda v: step.filter(x(), v, decay, gain, neuron.name), neuron["v_threshold"]
    )


def lower_i(step: Step, op: nir.IOp, x: Arriving) -> SSAValue:
    """v' = v + g x; the output is v'; g as `if_gain` says."""
    neuron = Neuron(step, op)
    gain = _integrator_gain(neuron)
    return _graded(neuron, lambda v: step.filter(x(), v, np.ones(()), gain, neuron.name), np.zeros(()))


def lower_li(step: Step, op: nir.LIOp, x: Arriving) -> SSAValue:
    """v' = a v + r (1 - a) x + (1 - a) v_leak; the output is v'."""
    neuron = Neuron(step, op)
    return _graded(neuron, _membrane(neuron, "li_order", x), neuron.v_init())
