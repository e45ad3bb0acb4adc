"""`speck-check-limits`: everything in which a network does not fit the chip, named in the words of the model."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nirc.dialects import speck
from nirc.dialects.dense import and_more
from nirc.dialects.nir import assume, integers, listed, quote
from nirc.dialects.speck import LIMITS, SpeckLimits
from nirc.passes.chip_limits import fitting, named, range_faults
from nirc.passes.speck_place import place


@dataclass(frozen=True)
class SpeckCheckLimitsPass(ModulePass):
    """Check integers on their cores against the chip's limits. Raises PassFailedException with all violations."""

    name = "speck-check-limits"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in fitting(op, speck.NetworkOp, violations):
            if network.chip.data != speck.PROBED_CHIP:
                taken = f"those of {network.chip.data} are taken from {speck.PROBED_CHIP}"
                assume(op, "note", "limits", f"{taken}, as the vendor's documentation has them; unverified")


def violations(network: speck.NetworkOp, limits: SpeckLimits = LIMITS) -> Iterator[str]:
    """What does not fit, a sentence each."""
    if not all(op.quantized() for op in network.layers().values()):
        yield "the network holds real numbers; run speck-quantize first"
        return
    yield from structural_violations(network, limits)
    yield from _arrivals(network)
    for op in network.layers().values():
        yield from range_faults(op, limits.ranges, named(op.label))
    if not any(op.monitor is not None for op in network.layers().values()):
        yield "no layer is monitored; the chip would give nothing"


def structural_violations(
    network: speck.NetworkOp, limits: SpeckLimits = LIMITS, names: Collection[str] | None = None
) -> Iterator[str]:
    """What does not fit whatever the numbers are; passes before this one report it too.

    names: all layers, where some of them have faults that keep them out of the network.
    """
    layers = network.layers()
    names = layers if names is None else names
    if len(names) > limits.cores:
        yield f"{len(names)} layers ({', '.join(map(quote, names))}), the chip has {limits.cores} cores; merge some"
    for op in layers.values():
        yield from _geometry(op, limits)
        yield from _destinations(op, layers, limits)
    yield from _memory(network, limits)


def _weights_of(op: speck.CoreOp) -> str:
    """The nodes that a layer's kernel came from, in messages about it."""
    names = [name.data for name in op.linear]
    return f"node {listed(names)} (onto {quote(op.node.data)})" if names else op.label


def _geometry(op: speck.CoreOp, limits: SpeckLimits) -> Iterator[str]:
    who, k = _weights_of(op), op.kernel
    if k > limits.kernel:
        most = f"{limits.kernel}x{limits.kernel}"
        yield f"{who}: a {k}x{k} kernel, the chip's are at most {most}; take a smaller one, or pool before it"
    strides = integers(op.stride)
    if not set(strides) <= set(limits.strides):
        allowed = ", ".join(map(str, limits.strides))
        nearest = " or ".join(map(str, _nearest(max(strides), limits.strides)))
        yield f"{who}: a stride of {strides[0]}x{strides[1]}, the chip has {allowed} per axis; the nearest is {nearest}"
    if max(integers(op.padding)) > limits.padding:
        yield f"{who}: a padding of {max(integers(op.padding))}, on the chip at most {limits.padding}"
    channels, *size = op.taken
    features, *places = op.given
    for count, what, advice in ((channels, "channels arrive", "pool or split"), (features, "features", "split it")):
        if count > limits.features:
            yield f"{who}: {count} {what}, a core has at most {limits.features}; {advice}"
    if max(size) > limits.input_size:
        most = f"{limits.input_size}x{limits.input_size}"
        yield f"{who}: {size[0]}x{size[1]} places arrive, a core takes at most {most}; crop or pool the input"
    if max(places) > limits.output_size:
        most = f"{limits.output_size}x{limits.output_size}"
        by = next(stride for stride in (2, 4, 8, 16) if max(places) <= stride * limits.output_size or stride == 16)
        yield (
            f"{op.label}: {places[0]}x{places[1]} neurons a feature, a core has at most {most}; take a stride {by} "
            f"times as large in {who}, a pool before it, or less padding"
        )


def _nearest(value: int, allowed: tuple[int, ...]) -> list[int]:
    """The values around one that is not among them."""
    return [*[n for n in allowed if n < value][-1:], *[n for n in allowed if n > value][:1]]


def _destinations(op: speck.CoreOp, layers: dict[str, speck.CoreOp], limits: SpeckLimits) -> Iterator[str]:
    targets = [destination.layer.data for destination in op.destinations]
    if len(targets) > limits.fan_out:
        yield (
            f"{op.label}: it feeds {len(targets)} layers ({', '.join(map(quote, targets))}), a core at most "
            f"{limits.fan_out}; let others read what these give"
        )
    for destination in op.destinations:
        target, pooling = destination.layer.data, destination.pooling.value.data
        if pooling not in limits.poolings:
            allowed = ", ".join(map(str, limits.poolings))
            yield f"{op.label}: a pool by {pooling} on the way to {quote(target)}, the chip has {allowed}"
            continue
        if not 0 <= destination.feature_shift.value.data <= limits.feature_shift:
            shift = destination.feature_shift.value.data
            yield f"{op.label}: a feature shift of {shift} to {quote(target)}, on the chip 0 to {limits.feature_shift}"
        sent, expected = tuple(n // pooling for n in op.given[1:]), layers[target].taken[1:]
        if sent != expected:
            yield (
                f"{op.label}: {sent[0]}x{sent[1]} places reach {quote(target)}, which takes {expected[0]}x{expected[1]}"
            )


def _arrivals(network: speck.NetworkOp) -> Iterator[str]:
    """The features that senders cover: all, and on speck2b none twice."""
    ports = {port.layer.data for port in network.inputs}
    for name, senders in network.sources().items():
        op = network.layers()[name]
        if not senders:
            if name not in ports:
                yield f"{op.label}: nothing feeds it"
            continue
        if name in ports:
            yield f"{op.label}: an input and other layers feed it; the chip's cores take one or the other"
        covered = np.zeros(max(op.taken[0], 1), int)
        for sender, destination in senders:
            shift = destination.feature_shift.value.data
            covered[max(shift, 0) : shift + sender.given[0]] += 1
            if (end := shift + sender.given[0]) > op.taken[0]:
                yield f"{sender.label}: its features end at {end}, {quote(name)} takes {op.taken[0]}"
        if not covered.all():
            more = and_more(int((covered == 0).sum()))
            yield f"{op.label}: nothing sends to its channel {int(np.argmin(covered))}{more}"
        if covered.max() > 1 and network.chip.data == speck.PROBED_CHIP:
            yield f"{op.label}: several layers send to the same channels, which the validator of speck2b refuses"


def _memory(network: speck.NetworkOp, limits: SpeckLimits) -> Iterator[str]:
    layers = network.layers()
    cores = [op.core.value.data for op in layers.values() if op.core is not None]
    if len(cores) == len(layers):
        if len(set(cores)) < len(cores):
            yield "two layers stand on the same core"
        for core, op in zip(cores, layers.values(), strict=True):
            if not 0 <= core < limits.cores:
                yield f"{op.label}: core {core}, the chip has 0 to {limits.cores - 1}"
                continue
            for memory, (need, have) in op.memory.over(core, limits).items():
                yield f"{op.label}: {need:,} words of {memory} memory on core {core}, which has {have:,}"
        return
    homeless = set[int]()
    for n, op in enumerate(layers.values()):
        if all(op.memory.over(core, limits) for core in range(limits.cores)):
            homeless.add(n)
            yield from _nowhere(op, limits)
    found = place(network, limits=limits)
    stuck = [n for n in found.stuck if n not in homeless]
    if len(stuck) > len(found.cores_left) and len(layers) <= limits.cores:
        yield _crowded(network, stuck, found.cores_left, limits)


def _nowhere(op: speck.CoreOp, limits: SpeckLimits) -> Iterator[str]:
    """Why no core holds a layer, and the nearest that one would."""
    missing = [op.memory.over(core, limits) for core in range(limits.cores)]
    for memory in (field.name for field in fields(speck.Memory)):
        if all(memory in over for over in missing):
            need, have = op.memory.__dict__[memory], max(over[memory][1] for over in missing)
            yield (
                f"{op.label}: {need:,} words of {memory} memory, the largest core has {have:,} "
                f"({need - have:,} missing); {_would_fit(op, memory, have)}"
            )
            return
    least = min(missing, key=lambda over: sum(need - have for need, have in over.values()))
    lacks = " and ".join(f"{need - have:,} words of {memory} memory" for memory, (need, have) in least.items())
    core = missing.index(least)
    yield f"{op.label}: no core has all of its memories; core {core} comes nearest, where {lacks} are missing"


def _would_fit(op: speck.CoreOp, memory: str, most: int) -> str:
    """The nearest layer whose memory suffices."""
    channels, (features, rows, columns) = op.taken[0], op.given

    def words(k: int, f: int, y: int, x: int) -> int:
        return int(speck.Memory.of(channels, k, (f, y, x)).__dict__[memory])

    ways = list[str]()
    kernel = next((k for k in range(op.kernel - 1, 0, -1) if words(k, features, rows, columns) <= most), None)
    if kernel is not None:
        ways.append(f"a {kernel}x{kernel} kernel")
    by = next((n for n in (2, 4, 8) if words(op.kernel, features, -(-rows // n), -(-columns // n)) <= most), None)
    if by is not None:
        ways.append(f"a pool or stride by {by}")
    fewer = next((f for f in range(features - 1, 0, -1) if words(op.kernel, f, rows, columns) <= most), None)
    if fewer is not None:
        ways.append(f"{fewer} features")
    return f"{', '.join(ways)} would fit, or a split" if ways else "split it"


def _crowded(network: speck.NetworkOp, stuck: list[int], cores: tuple[int, ...], limits: SpeckLimits) -> str:
    """Layers that vie for too few cores, and the least memory by which one of them could go elsewhere."""
    layers = list(network.layers().values())
    names = [layers[n].node.data for n in stuck]
    told = f"{len(names)} layers ({', '.join(map(quote, names))}) fit on {len(cores)} cores alone ({_list(cores)})"
    others = [core for core in range(limits.cores) if core not in cores]
    lacking = [
        (sum(need - have for need, have in over.values()), layers[n], core, over)
        for n in stuck
        for core in others
        if (over := layers[n].memory.over(core, limits))
    ]
    if not lacking:
        return told
    _, op, core, over = min(lacking, key=lambda item: item[0])
    lacks = " and ".join(f"{need - have:,} words of {memory} memory" for memory, (need, have) in over.items())
    return f"{told}; the nearest other place is core {core} for {quote(op.node.data)}, where {lacks} are missing"


def _list(cores: tuple[int, ...]) -> str:
    return ", ".join(map(str, cores))
