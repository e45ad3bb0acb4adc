"""`convert-snn-to-speck`: each layer of integrate-and-fire neurons and what feeds it become a core, numbers still real.

The chip runs one wiring: a convolution, v + its result, fire, reset to 0 or by the threshold. From the step

    v' = v + g (sum over edges of W_e * pool_e(z_e) + c)

a layer gets the weights g W_e side by side (the concatenation of its sources' features, in the layers' order; two edges
from one source add up), the bias g c, and its sources a destination each with the edge's pooling and the place of their
features. A matrix is a convolution whose kernel covers the image. Dilated, grouped, oblong and unevenly padded kernels
become square ones with zeros. An average pool is a sum pool whose factor the weights take in.

`lower_bound`: what v cannot fall below, `threshold` (minus the threshold, the vendor's import of NIR) or `lowest` (the
least number that the chip has). NIR's v has no bound. Source: nirc's specification of Speck, sections 3 to 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, BlockArgument, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn, speck
from nirc.dialects.dense import Array, dense, doubles, index_text, shape_text
from nirc.dialects.nir import assume, integers, listed, quote
from nirc.dialects.speck import LIMITS, Shape
from nirc.passes.chip_conversion import ChipConversion, convert_networks
from nirc.passes.snn_fold_linear_paths import SnnFoldLinearPathsPass
from nirc.passes.speck_check_limits import structural_violations

LOWER_BOUNDS = ("threshold", "lowest")


@dataclass(frozen=True)
class ConvertSnnToSpeckPass(ModulePass):
    """Turn a `snn.network` in canonical wiring into a `speck.network` of real numbers; folds its linear paths first.

    Raises PassFailedException with everything that the chip has no place for.
    """

    name = "convert-snn-to-speck"

    chip: str = speck.DEFAULT_CHIP
    lower_bound: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.chip not in speck.CHIPS:
            raise PassFailedException(f"chip '{self.chip}' is not one of {', '.join(speck.CHIPS)}")
        if self.lower_bound not in (None, *LOWER_BOUNDS):
            raise PassFailedException(f"lower bound '{self.lower_bound}' is not one of {', '.join(LOWER_BOUNDS)}")
        # Folding forgets which factors were averages.
        averages = [
            fault for network in op.ops if isinstance(network, snn.NetworkOp) for fault in _mixed_averages(network)
        ]
        SnnFoldLinearPathsPass().apply(ctx, op)

        def convert(network: snn.NetworkOp) -> speck.NetworkOp:
            conversion = _Conversion(op, network, self.chip, self.lower_bound)
            conversion.faults += averages
            return conversion.convert()

        convert_networks(op, convert)


def _mixed_averages(network: snn.NetworkOp) -> Iterator[str]:
    """Layers that averages over different windows feed: one scale for all weights leaves the smaller share few bits."""
    for fire in network.body.block.ops:
        if isinstance(fire, snn.FireOp):
            found = dict[float, list[str]]()
            for share, names in _averages(fire.v):
                if names:
                    found.setdefault(share, []).extend(names)
            if len(found) > 1:
                parts = ", ".join(f"{listed(sorted(set(names)))} 1/{1 / share:g}" for share, names in found.items())
                yield (
                    f"node {fire.label}: averages over windows of different sizes feed it ({parts}); "
                    "give them one size, or a SumPool2d and weights of its own for each"
                )


def _averages(value: SSAValue) -> Iterator[tuple[float, list[str]]]:
    """The share that average pools take on each path to a value from the spikes before it, and their nodes."""
    op = value.owner
    if not isinstance(op, snn.SnnOp) or isinstance(op, snn.FireOp | snn.ResetOp):
        yield 1.0, []
        return
    inputs = op.operands[:1] if isinstance(op, snn.FilterOp | snn.DelayOp) else op.operands
    for operand in inputs:
        for share, names in _averages(operand):
            before = operand.owner
            average = isinstance(op, snn.ScaleOp) and isinstance(before, snn.PoolOp) and before.node == op.node
            if isinstance(op, snn.ScaleOp) and average and op.node is not None:
                yield share * float(doubles(op.factor).flat[0]), [*names, op.node.data]
            else:
                yield share, names


@dataclass
class _Edge:
    """What reaches a layer from one source: a convolution of its pooled spikes.

    weights   [F, C, rows, columns] from tap `first` on (rows, columns; minus the padding)
    stride    rows, columns; None where there is one place alone
    """

    source: SSAValue
    pooling: int
    taken: Shape
    weights: Array
    first: tuple[int, int]
    stride: tuple[int, int] | None
    nodes: list[str] = field(default_factory=list[str])


@dataclass(eq=False)
class _Layer:
    """A layer on its way to a core."""

    name: str
    op: snn.FireOp
    given: Shape
    threshold: float
    to_zero: bool
    initial: Array
    gain: Array = field(default_factory=lambda: np.ones(()))
    constant: Array = field(default_factory=lambda: np.zeros(()))
    edges: list[_Edge] = field(default_factory=list[_Edge])


@dataclass(frozen=True)
class _Window:
    """A convolution as the chip has it."""

    kernel: int
    stride: tuple[int, int]
    padding: tuple[int, int]


class _Conversion(ChipConversion):
    CHIP = "Speck"

    def __init__(self, module: ModuleOp, network: snn.NetworkOp, chip: str, lower_bound: str | None):
        super().__init__(module, network)
        self.chip, self.lower_bound = chip, lower_bound
        self.given = dict[SSAValue, Shape]()
        """The shape of each layer's neurons, by its spikes."""

    def convert(self) -> speck.NetworkOp:
        layers = [layer for fire in self.layers() if (layer := self.layer(fire)) is not None]
        outputs = list(self.outputs())
        network = self.build(layers, outputs)
        if self.faults:
            also = () if network is None else structural_violations(network, names=tuple(self.spikes.values()))
            raise PassFailedException("\n".join([*self.faults, *also]))
        assert network is not None
        self.report(layers)
        return network

    # -- one layer

    def layer(self, fire: snn.FireOp) -> _Layer | None:
        """Match the wiring that ends in this op: filter, fire, reset."""
        reset = self.reset_of(fire)
        leak, membrane = self.membrane(fire, fire.v, None if reset is None else reset.next)
        self.given[fire.spikes] = self.image(fire, None if membrane is None else membrane.input)
        threshold = self.threshold(fire)
        if reset is not None:
            self.accept(fire, reset)
        if membrane is None:
            return None
        into = membrane.input
        _, before = self.peel(into)
        if isinstance(before, snn.FilterOp):
            what = (
                "its input is a synaptic current"
                if before.node == fire.node
                else f"{before.label} integrates before it"
            )
            self.fail(fire, f"{what}; Speck's neurons take spikes at once, use IF")
            into = before.input
        elif np.any(doubles(membrane.decay) != 1) or np.any(leak):
            self.fail(fire, "its membrane leaks; Speck knows a constant leak alone (the bias), use IF")
        shape, given = snn.tensor_of(fire.v).get_shape(), self.given[fire.spikes]
        init = doubles(self.states[cast(BlockArgument, membrane.state)].init)
        initial = np.broadcast_to(init, shape).reshape(given)
        to_zero = reset is not None and reset.kind.data == "value"
        layer = _Layer(self.spikes[fire.spikes], fire, given, threshold, to_zero, initial)
        gain = np.broadcast_to(doubles(membrane.gain), shape).reshape(given)
        layer.gain = self.one_per_feature(layer, gain, "gain (r)")
        self.collect(layer, into)
        constant = np.broadcast_to(layer.constant, given)
        layer.constant = self.one_per_feature(layer, constant, "constant input") * layer.gain
        if not layer.edges and not self.faults:
            self.fail(fire, "nothing feeds it")
        return layer

    def image(self, fire: snn.FireOp, into: SSAValue | None) -> Shape:
        """The image that a layer's neurons make up: their own shape; of a vector, the image that it was before."""
        shape = snn.tensor_of(fire.v).get_shape()
        own = _shape(shape) or (math.prod(shape), 1, 1)
        value = into if len(shape) != 3 else None
        while value is not None:
            kind = snn.tensor_of(value).get_shape()
            known = self.given.get(value, kind)
            if len(known) == 3 and math.prod(known) == math.prod(shape):
                return known
            through = isinstance(value.owner, snn.SumOp | snn.AddOp | snn.ReshapeOp | snn.ScaleOp)
            value = cast(Operation, value.owner).operands[0] if through else None
        return own

    def threshold(self, fire: snn.FireOp) -> float:
        """The one threshold of a layer."""
        values = doubles(fire.threshold)
        low, high = float(values.min()), float(values.max())
        if low <= 0:
            self.fail(fire, f"threshold {low:g}, must be > 0")
        elif low != high:
            first = int(np.flatnonzero(values != values.flat[0])[0])
            self.fail(
                fire,
                f"its thresholds differ, from {low:g} to {high:g} ({values.flat[0]:g} at index "
                f"{index_text(values, 0)}, {values.flat[first]:g} at {index_text(values, first)}); a core has one "
                "threshold, scale each neuron's weights by 1 / threshold where that is possible",
            )
        return high

    def accept(self, fire: snn.FireOp, reset: snn.ResetOp) -> None:
        """The resets that the chip has: to 0, and by the threshold."""
        amount = doubles(reset.amount)
        if reset.kind.data == "value" and np.any(amount):
            to = f"{float(amount.flat[np.flatnonzero(amount)[0]]):g}"
            self.fail(fire, f"a spike resets it to v_reset = {to}; Speck resets to 0 or subtracts the threshold")
        elif reset.kind.data == "subtract" and np.any(amount != doubles(fire.threshold)):
            self.fail(
                fire, "a spike subtracts threshold - v_reset; Speck subtracts the threshold, which needs v_reset = 0"
            )

    def one_per_feature(self, layer: _Layer, values: Array, what: str) -> Array:
        """Numbers per neuron as one per feature."""
        differ = (values != values[:, :1, :1]).any(axis=(1, 2))
        if differ.any():
            n = int(np.argmax(differ))
            told = f"its {what} differs within feature {n}, from {values[n].min():g} to {values[n].max():g}"
            self.fail(layer.op, f"{told}; a core has one a feature")
        return values[:, 0, 0]

    def collect(self, layer: _Layer, value: SSAValue) -> None:
        """Gather the edges and constants that make up an input."""
        op = value.owner
        if isinstance(op, snn.SumOp):
            for item in op.inputs:
                self.collect(layer, item)
        elif isinstance(op, snn.AddOp):
            constant = doubles(op.constant)
            shape = snn.tensor_of(op.output).get_shape()
            layer.constant = layer.constant + np.broadcast_to(constant, shape).reshape(layer.given)
            self.collect(layer, op.input)
        elif isinstance(op, snn.ReshapeOp) and isinstance(op.input.owner, snn.ConvOp | snn.AddOp | snn.SumOp):
            self.collect(layer, op.input)  # the neurons are the image of what it gives, or `connect` refuses
        elif isinstance(op, snn.ConvOp):
            self.convolution(layer, op)
        elif isinstance(op, snn.LinearOp):
            self.matrix(layer, op)
        else:
            factor = doubles(op.factor) if isinstance(op, snn.ScaleOp) else np.ones(())
            source = op.input if isinstance(op, snn.ScaleOp) else value
            where = op if isinstance(op, snn.ScaleOp) else layer.op
            if (found := self.source(where, source)) is not None:
                self.identity(layer, where, np.broadcast_to(factor, snn.tensor_of(value).get_shape()), *found)

    def convolution(self, layer: _Layer, op: snn.ConvOp) -> None:
        """An edge through a convolution; groups and dilation become zeros."""
        if (found := self.source(op, op.input)) is None:
            return
        weight, groups = doubles(op.weight), op.groups.value.data
        features, per_group, rows, columns = weight.shape
        (down, right), (pad_y, _, pad_x, _) = integers(op.dilation), integers(op.padding)
        taps = np.zeros((features, per_group * groups, down * (rows - 1) + 1, right * (columns - 1) + 1))
        own = features // groups
        for group in range(groups):
            part, channels = slice(group * own, (group + 1) * own), slice(group * per_group, (group + 1) * per_group)
            taps[part, channels, ::down, ::right] = weight[part]
        stride: tuple[int, int] | None = cast(tuple[int, int], integers(op.stride))
        if snn.tensor_of(op.output).get_shape()[1:] == (1, 1):
            stride = None if set(integers(op.stride)) - set(LIMITS.strides) else stride
        gives = cast(Shape, snn.tensor_of(op.output).get_shape())
        self.connect(layer, op, gives, _Edge(*found, taps, (-pad_y, -pad_x), stride))

    def matrix(self, layer: _Layer, op: snn.LinearOp) -> None:
        """An edge through a matrix: a kernel that covers the image, which gives one place."""
        if (found := self.source(op, op.input)) is None:
            return
        weight = doubles(op.weight)
        taps = weight.reshape(len(weight), *found[2])
        self.connect(layer, op, (len(weight), 1, 1), _Edge(*found, taps, (0, 0), None))

    def identity(
        self, layer: _Layer, op: snn.SnnOp, factor: Array, source: SSAValue, pooling: int, taken: Shape
    ) -> None:
        """An edge without weights, or with a factor per channel: a kernel of one tap."""
        whole = factor.reshape(taken)
        if np.any(whole != whole[:, :1, :1]):
            self.fail(op, "its factor differs from place to place; a core has one kernel for all places")
            return
        weights = np.diag(whole[:, 0, 0])[:, :, None, None]
        self.connect(layer, op, taken, _Edge(source, pooling, taken, weights, (0, 0), (1, 1)))

    def connect(self, layer: _Layer, op: snn.SnnOp, gives: Shape, edge: _Edge) -> None:
        """Keep an edge, unless it gives another image than the neurons are."""
        if gives != layer.given:
            met = f"an image of {shape_text(gives)} meets one of {shape_text(layer.given)}"
            self.fail(op, f"{met} in {layer.op.label}; a core's neurons are one image")
            return
        if op.node is not None and op is not layer.op:
            edge.nodes.append(op.node.data)
        edge.weights = edge.weights * layer.gain[:, None, None, None]
        layer.edges.append(edge)

    def source(self, op: snn.SnnOp, value: SSAValue) -> tuple[SSAValue, int, Shape] | None:
        """The spikes or the input behind pools and reshapes, the pooling, and the image that arrives."""
        pooling, seen = 1, value
        while isinstance(seen.owner, snn.PoolOp | snn.ReshapeOp):
            if isinstance(seen.owner, snn.PoolOp):
                factor = self.pooling(seen.owner)
                if factor is None:
                    return None
                pooling *= factor
            seen = seen.owner.input
        if seen not in self.given and seen not in self.inputs:
            self.fail(op, self.why_no_source(seen))
            return None
        shape = self.given[seen] if seen in self.given else _shape(snn.tensor_of(seen).get_shape())
        if shape is None:
            told = shape_text(snn.tensor_of(seen).get_shape())
            self.fail(op, f"its input has the shape {told}; Speck takes images (channels, rows, columns) or vectors")
            return None
        features, rows, columns = shape
        taken = (features, rows // pooling, columns // pooling)
        if math.prod(taken) != math.prod(snn.tensor_of(value).get_shape()):
            self.fail(op, f"its input is no {shape_text(taken)} image of what feeds it; flatten after pooling alone")
            return None
        if pooling > 1 and seen in self.inputs:
            self.fail(
                op, "the input is pooled before the first layer; a core pools what it sends alone, pool the recording"
            )
        return seen, pooling, taken

    def pooling(self, op: snn.PoolOp) -> int | None:
        """The factor of a pool that the chip has."""
        kernel, stride = integers(op.kernel), integers(op.stride)
        if any(integers(op.padding)):
            self.fail(op, f"a pool with padding {integers(op.padding)[::2]}; Speck's pools have none, drop it")
        elif len({*kernel, *stride}) > 1:
            told = f"a pool of {kernel[0]}x{kernel[1]} with stride {stride[0]}x{stride[1]}"
            self.fail(op, f"{told}; Speck's pools are square, as far apart as they are wide")
        else:
            return kernel[0]
        return None

    def why_no_source(self, value: SSAValue) -> str:
        """What stands where spikes should come from."""
        op = value.owner
        if isinstance(value, BlockArgument):
            late = self.spikes.get(self.nexts[value]) if value in self.nexts else None
            whose = f" from {quote(late)}" if late else ""
            return f"a recurrent edge{whose}; cycles can lock Speck up, its layers only feed forward"
        if isinstance(op, snn.DelayOp):
            return f"a Delay ({op.label}) before it; Speck has no delays"
        if isinstance(op, snn.FilterOp):
            return f"the membrane or current of {op.label} feeds it; Speck's cores send spikes alone"
        if isinstance(op, snn.ScaleOp):
            return (
                f"the factors of {op.label} before it differ from place to place; a core has one kernel for all places"
            )
        if isinstance(op, snn.ConvOp | snn.LinearOp | snn.AddOp):
            return f"{op.label} before it without neurons in between, which cannot be merged; put an IF between them"
        return "its input is neither the network's input nor spikes of a layer"

    # -- the whole

    def outputs(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Each output's name, layer and shape."""
        for name, value in zip(self.network.outputs, self.network.output_values, strict=True):
            layer = value
            while isinstance(layer.owner, snn.ReshapeOp):
                layer = layer.owner.input
            if layer in self.spikes:
                yield name.data, self.spikes[layer], snn.tensor_of(value).get_shape()
            elif isinstance(layer.owner, snn.PoolOp):
                self.fail(
                    layer.owner, "a pool behind the last layer; the chip shows spikes before pooling, pool on the host"
                )
            else:
                owner = layer.owner if isinstance(layer.owner, snn.SnnOp) else None
                self.fail(
                    owner,
                    f"the output {quote(name.data)} is not spikes of a layer; Speck gives nothing else, end in IF",
                )
        if not self.network.outputs:
            self.faults.append("the network has no output; Speck needs one")

    def build(self, layers: list[_Layer], outputs: list[tuple[str, str, tuple[int, ...]]]) -> speck.NetworkOp | None:
        """The cores of the layers that can be built; None where there are none."""
        windows = {layer.name: window for layer in layers if (window := self.window(layer)) is not None}
        built = {layer.name: layer for layer in layers if layer.name in windows}
        destinations: dict[str, list[speck.DestinationAttr]] = {name: [] for name in built}
        inputs = list[speck.PortAttr]()
        parts = dict[str, tuple[Shape, Array]]()
        order = {value: n for n, value in enumerate([*self.inputs, *self.spikes])}
        for name, layer in built.items():
            joined = dict[tuple[SSAValue, int], Array]()
            taken = layer.edges[0].taken
            for edge in layer.edges:
                placed = _placed(edge, windows[name])
                known = joined.get((edge.source, edge.pooling))
                joined[edge.source, edge.pooling] = placed if known is None else known + placed
            shift, side_by_side = 0, list[Array]()
            for (source, pooling), weights in sorted(joined.items(), key=lambda item: order[item[0][0]]):
                if source in self.inputs:
                    node = self.inputs[cast(BlockArgument, source)]
                    inputs.append(speck.PortAttr.of(node, name, snn.tensor_of(source).get_shape()))
                elif (sender := self.spikes[source]) in built:
                    destinations[sender].append(speck.DestinationAttr.of(name, pooling, shift))
                side_by_side.append(weights)
                shift += weights.shape[1]
            if len(joined) > 1 and any(source in self.inputs for source, _ in joined):
                self.fail(
                    layer.op, "an input and something else feed it; a core takes one input, or other layers' spikes"
                )
            parts[name] = (shift, *taken[1:]), np.concatenate(side_by_side, axis=1)
        ops = [
            speck.CoreOp(
                name,
                list(dict.fromkeys(node for edge in layer.edges for node in edge.nodes)),
                parts[name][0],
                {
                    "weights": dense(np.ascontiguousarray(parts[name][1])),
                    "biases": dense(np.ascontiguousarray(layer.constant)),
                    "threshold_high": dense(np.asarray(layer.threshold)),
                    "threshold_low": None if self.lower_bound == "lowest" else dense(np.asarray(-layer.threshold)),
                    "initial": dense(np.ascontiguousarray(layer.initial)) if layer.initial.any() else None,
                },
                windows[name].stride,
                windows[name].padding,
                destinations[name],
                return_to_zero=layer.to_zero,
                monitor=any(output == name for _, output, _ in outputs),
            )
            for name, layer in built.items()
        ]
        ports = [speck.PortAttr.of(node, name, shape) for node, name, shape in outputs if name in built]
        body = Region(Block(cast(list[Operation], ops)))
        return speck.NetworkOp(self.network.sym_name.data, self.chip, inputs, ports, body) if ops else None

    def window(self, layer: _Layer) -> _Window | None:
        """One kernel, stride and padding for all edges of a layer."""
        if not layer.edges:
            return None
        nodes = [node for edge in layer.edges for node in edge.nodes]
        who = f"node {listed(nodes)} (onto {quote(layer.name)})" if nodes else f"node {layer.op.label}"
        sizes = {edge.taken[1:] for edge in layer.edges}
        strides = {edge.stride for edge in layer.edges if edge.stride is not None}
        if len(sizes) > 1 or len(strides) > 1:
            what = "images of different sizes" if len(sizes) > 1 else "convolutions of different strides"
            self.faults.append(f"{who}: {what} feed one layer; a core has one kernel for all that it takes")
            return None
        found = _window(layer, sizes.pop(), strides.pop() if strides else None)
        if found is None:
            taps = " and ".join(f"{edge.weights.shape[2]}x{edge.weights.shape[3]}" for edge in layer.edges)
            self.faults.append(
                f"{who}: no square kernel with the same padding on opposite sides stands for {taps}; make the kernel "
                "square or the padding symmetric"
            )
        return found

    def report(self, layers: list[_Layer]) -> None:
        """Attach what the chip does differently from the step that it stands for."""
        names = listed([layer.name for layer in layers])
        kind = "choice" if self.lower_bound is None else "given"
        bound = "the chip's least number" if self.lower_bound == "lowest" else "minus the threshold, the vendor's rule"
        assume(self.module, kind, "lower bound", f"v of {names} does not fall below {bound}; NIR's v has no bound")
        if any(layer.op.compare.data == ">" for layer in layers):
            assume(self.module, "note", "comparison", "a neuron of the chip fires where v >= threshold")
        assume(
            self.module,
            "note",
            "events",
            "the chip has no time steps: it takes event after event, a neuron fires at most once for each; "
            "nirc run --model stepped and --model events predict with and without steps",
        )
        heavy = [layer.name for layer in layers if any(edge.weights.max() > layer.threshold for edge in layer.edges)]
        if heavy:
            told = f"{listed(heavy)} has weights above its threshold: an event makes it fire once, the rest stays in v"
            assume(self.module, "note", "events", told)
        if biased := [layer.name for layer in layers if layer.constant.any()]:
            assume(
                self.module,
                "note",
                "bias",
                f"the constant input of {listed(biased)} is added at each tick of the chip's slow clock; let it tick "
                "once a step",
            )


def _shape(shape: tuple[int, ...]) -> Shape | None:
    """A vector is an image of one place; None for what is neither."""
    if len(shape) == 3:
        return shape
    return (shape[0], 1, 1) if len(shape) == 1 else None


def _window(layer: _Layer, taken: tuple[int, ...], stride: tuple[int, int] | None) -> _Window | None:
    """The smallest square kernel over all taps of a layer's edges that gives its places."""
    starts = [min(edge.first[axis] for edge in layer.edges) for axis in (0, 1)]
    stops = [max(edge.first[axis] + edge.weights.shape[2 + axis] for edge in layer.edges) for axis in (0, 1)]
    least = max(stop - start for start, stop in zip(starts, stops, strict=True))
    for kernel in range(least, max(least, LIMITS.kernel) + 1):
        found = list[tuple[int, int]]()
        for axis in (0, 1):
            options = LIMITS.strides if stride is None else (stride[axis],)
            fitting = (
                (step, padding)
                for step in options
                for padding in range(max(0, -starts[axis]), kernel - stops[axis] + 1)
                if (taken[axis] - kernel + 2 * padding) >= 0
                and (taken[axis] - kernel + 2 * padding) // step + 1 == layer.given[axis + 1]
            )
            if (one := next(fitting, None)) is not None:
                found.append(one)
        if len(found) == 2:
            (down, top), (right, left) = found
            return _Window(kernel, (down, right), (top, left))
    return None


def _placed(edge: _Edge, window: _Window) -> Array:
    """An edge's weights within the layer's kernel."""
    features, channels, rows, columns = edge.weights.shape
    placed = np.zeros((features, channels, window.kernel, window.kernel))
    y, x = (edge.first[axis] + window.padding[axis] for axis in (0, 1))
    placed[:, :, y : y + rows, x : x + columns] = edge.weights
    return placed
