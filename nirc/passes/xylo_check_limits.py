"""`xylo-check-limits`: everything in which a network does not fit the chip, named in the words of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.dialects import xylo
from nirc.dialects.dense import Array, and_more
from nirc.dialects.nir import assume, quote
from nirc.dialects.xylo import XyloLimits
from nirc.passes.chip_limits import Told, fitting, range_faults


@dataclass(frozen=True)
class XyloCheckLimitsPass(ModulePass):
    """Check integers against the chip's limits; the options override single limits.

    Raises PassFailedException with all violations.
    """

    name = "xylo-check-limits"

    inputs: int | None = None
    hidden_neurons: int | None = None
    readout_neurons: int | None = None
    fan_out: int | None = None
    connections: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        def beyond(network: xylo.NetworkOp) -> Iterator[str]:
            found = violations(network, self.limits(network.limits))
            return (f"xylo {network.chip.data}: {fault}" for fault in found)

        for network in fitting(op, xylo.NetworkOp, beyond):
            limits = self.limits(network.limits)
            if limits.unverified:
                names = ", ".join(name.replace("_", " ") for name in limits.unverified)
                statement = (
                    f"{limits.part}: the limits of {names} come from the vendor's documentation alone, unverified"
                )
                assume(op, "note", "limits", statement)

    def limits(self, limits: XyloLimits) -> XyloLimits:
        """The chip's record with the options put in."""
        for name in ("inputs", "hidden_neurons", "readout_neurons", "fan_out", "connections"):
            if (value := getattr(self, name)) is not None:
                limits = replace(limits, **{name: value})
        return limits


def violations(network: xylo.NetworkOp, limits: XyloLimits) -> Iterator[str]:
    """What does not fit, a sentence each."""
    if not all(part.quantized() for part in network.parts()):
        yield "the network holds real numbers; run xylo-quantize first"
        return
    for part, what in zip(network.parts(), ("input channels", "hidden neurons", "readout neurons"), strict=True):
        if part.size < 1:
            yield f"0 {what}, the chip needs at least 1"
    yield from structural_violations(network, limits)
    for part in network.parts():
        yield from range_faults(part, limits.ranges, _told(part))
    hidden, readout = network.hidden, network.readout
    yield from _aliases(hidden)
    biased = [part for part in (hidden, readout) if np.any(part.numbers("bias"))]
    if biased and not limits.bias:
        yield (
            f"the chip has no biases, but {', '.join(map(quote, biased[0].sizes()))} needs one (Affine bias "
            "or v_leak); set them to 0"
        )
    thresholds = readout.numbers("threshold")
    if limits.equal_readout_thresholds and np.unique(thresholds).size > 1:
        yield (
            f"all readout thresholds must be equal, they span {thresholds.min()} to {thresholds.max()}; "
            "quantize per layer"
        )


def structural_violations(network: xylo.NetworkOp, limits: XyloLimits) -> Iterator[str]:
    """What does not fit whatever the numbers are: neurons, reach, connections; passes before this one report it too."""
    yield from _counts(network, limits)
    yield from _reach(network, limits)
    yield from _connections(network, limits)


def _listed(part: xylo.Group) -> str:
    return ", ".join(f"{quote(name)} {size}" for name, size in part.sizes().items())


def _counts(network: xylo.NetworkOp, limits: XyloLimits) -> Iterator[str]:
    hidden = limits.hidden_neurons - (1 if network.synapses == 2 and limits.hidden_neurons == 1000 else 0)
    for part, most, what, advice in (
        (network.input, limits.inputs, "input channels", "merge or drop channels"),
        (network.hidden, hidden, "hidden neurons", "make the layers smaller or split the network"),
        (
            network.readout,
            limits.readout_neurons,
            "readout neurons",
            "code the classes on fewer neurons, or take a chip with more (audio3 has 32, imu 16)",
        ),
    ):
        if part.size > most:
            yield f"{part.size} {what} ({_listed(part)}), the chip has {most}; {advice}"
    if network.synapses > limits.synapses:
        yield f"{network.synapses} synapses per hidden neuron, the chip has {limits.synapses}"


def _reach(network: xylo.NetworkOp, limits: XyloLimits) -> Iterator[str]:
    hidden, reach = network.hidden, limits.input_reach
    beyond = np.flatnonzero(network.input.numbers("weights").any(axis=(0, 2)))
    beyond = beyond[beyond >= (hidden.size if reach is None else reach)]
    if beyond.size:
        yield (
            f"inputs reach {hidden.where(int(beyond[0]))}{and_more(beyond.size)}, on the chip only the first "
            f"{reach} hidden neurons; let at most {reach} neurons read the input"
        )
    weights, reach = network.readout.numbers("weights"), limits.readout_reach
    unread = np.flatnonzero(weights.any(axis=1)) + hidden.size - len(weights)
    unread = unread[unread < (0 if reach is None else hidden.size - reach)]
    if unread.size:
        yield (
            f"the readout reads {hidden.where(int(unread[0]))}{and_more(unread.size)}, on the chip only the "
            f"last {reach} hidden neurons; let at most {reach} neurons feed it"
        )


def _connections(network: xylo.NetworkOp, limits: XyloLimits) -> Iterator[str]:
    hidden = network.hidden
    fan_out = hidden.numbers("weights").any(axis=2).sum(axis=1)
    over = np.flatnonzero(fan_out > limits.fan_out)
    if over.size:
        yield (
            f"{hidden.where(int(over[0]))}{and_more(over.size)} reaches {fan_out[over[0]]} hidden neurons, on "
            f"the chip at most {limits.fan_out}; prune weights or make the next layer smaller"
        )
    if fan_out.sum() > limits.connections:
        yield (
            f"{fan_out.sum()} connections between hidden neurons ({_listed(hidden)}), on the chip at most "
            f"{limits.connections}; prune weights"
        )


def _told(part: xylo.Group) -> Told:
    def told(name: str, values: Array, first: int) -> str:
        if not values.ndim:
            return f"{name} of {_listed(part)} is {values}"
        neuron = int(np.unravel_index(first, values.shape)[1 if name == "weights" else 0])
        where = f"onto hidden neuron {neuron}" if isinstance(part, xylo.InputOp) else f"of {part.where(neuron)}"
        return f"{name} {where} is {values.flat[first]}"

    return told


def _aliases(hidden: xylo.HiddenOp) -> Iterator[str]:
    seen = set[int]()
    for neuron, target in enumerate(hidden.alias_targets()):
        if target == -1:
            continue
        if target == neuron:
            yield f"{hidden.where(neuron)} is its own alias target"
        elif not 0 <= target < hidden.size:
            yield f"the alias target of {hidden.where(neuron)} is {target}, must be in [0, {hidden.size - 1}]"
        elif target in seen:
            yield f"{hidden.where(target)} is the alias target of two neurons; each may be used once"
        seen.add(target)
