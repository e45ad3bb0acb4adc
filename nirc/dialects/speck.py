"""The `speck` dialect: the configuration of one SynSense Speck (DYNAP-CNN) chip, one op per core.

A core holds one convolution and the integrate-and-fire neurons that it feeds: a layer. `convert-snn-to-speck` fills it
with real numbers, `speck-quantize` makes them integers; the same op holds both, element types tell which (f64 or i32).
`speck-place` says which of the nine cores each is.

Two models of the dynamics, both in integers, theta = threshold_high, low = threshold_low:

- stepped, what the vendor's software computes (sinabs' DynapcnnNetwork), bit-exact with it: per layer and time step
    v += conv(x_t) + bias;  n = v // theta where v > 0 else 0;  v = 0 where n > 0, or v -= n theta;  v = max(v, low)
  and the counts n reach all destinations in the same step, summed over pooling x pooling blocks;
- events, what the chip does by its documentation, unverified in its ordering: per arriving event (i, y, x), for every
  feature f and place (oy, ox) with dy = y + pad_y - oy stride_y, dx likewise, both in [0, kernel)
    v = max(v + W[f, i, dy, dx], low);  where v >= theta: one spike, v = 0 or v -= theta
  A spike reaches each destination as (f + shift, oy // pooling, ox // pooling); a tick of the slow clock adds the bias.

The chip resets to 0 or subtracts the threshold (`return_to_zero`). Weights stand in the order of NIR, [feature]
[channel][row][column]; the vendor's is [feature][channel][x][y], which the emitter writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, cast

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    UnitAttr,
    f64,
    i32,
    i64,
)
from xdsl.ir import Attribute, Dialect, ParametrizedAttribute, Region
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    lazy_traits_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.traits import HasParent, IsolatedFromAbove, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import Array, Dense, array, as_dense, number_fault, shape_text
from nirc.dialects.nir import ChangeAttr, int_array, integers, quote

Shape = tuple[int, int, int]
"""Features (channels), rows, columns."""


@dataclass(frozen=True)
class SpeckLimits:
    """What the nine cores can hold.

    Sources: [V] the vendor's validator (samna 0.7.1.0, speck2b), probed; [S] sinabs 3.1.3; [D] the vendor's
    documentation. What is [D] alone nobody has verified against a chip or validator here.
    """

    kernel_memory: tuple[int, ...] = tuple(1024 * n for n in (16, 16, 16, 32, 32, 64, 64, 16, 16))
    """8-bit words per core [V, S, D]."""
    neuron_memory: tuple[int, ...] = tuple(1024 * n for n in (64, 64, 64, 32, 32, 16, 16, 16, 16))
    """16-bit words per core [V, S, D]."""
    bias_memory: tuple[int, ...] = (1024,) * 9
    """16-bit words per core [V, S, D]."""
    kernel: int = 16
    """Rows and columns of a kernel, which is square [V]."""
    strides: tuple[int, ...] = (1, 2, 4, 8)
    """Per axis [V]."""
    padding: int = 7
    """Per axis, the same on both sides [V]."""
    features: int = 1024
    """Of a layer's input and output [V]."""
    input_size: int = 128
    """Rows and columns [V]."""
    output_size: int = 64
    """Rows and columns before pooling [V]."""
    fan_out: int = 2
    """Destinations of a core [V, S, D]."""
    poolings: tuple[int, ...] = (1, 2, 4)
    """Of a destination [D]; the validator also takes 8."""
    feature_shift: int = 1023
    """Of a destination [V]."""
    weight: tuple[int, int] = (-128, 127)
    """[V]"""
    bias: tuple[int, int] = (-32768, 32767)
    """[V]; sinabs' quantization stays within 8 bits."""
    threshold_high: tuple[int, int] = (1, 32767)
    """[V]; the validator takes 0, under which a neuron fires at every event."""
    threshold_low: tuple[int, int] = (-32768, -1)
    """[V]; the validator takes 0, which the documentation calls a chip bug [D]."""
    initial: tuple[int, int] = (-32768, 32767)
    """Of a membrane [V]."""

    @property
    def cores(self) -> int:
        """The cores."""
        return len(self.kernel_memory)

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """What each property of a layer holds."""
        return {
            "weights": self.weight,
            "biases": self.bias,
            "threshold_high": self.threshold_high,
            "threshold_low": self.threshold_low,
            "initial": self.initial,
        }


LIMITS = SpeckLimits()

PROBED_CHIP = "speck2b"
"""The generation that the vendor's validator knows, on which the limits were probed [V]."""

CHIPS = ("speck2f", "speck2e", PROBED_CHIP)
"""The generations, all of one compute fabric [S, D]."""

DEFAULT_CHIP = CHIPS[0]


@dataclass(frozen=True)
class Memory:
    """Words that a layer takes of a core's three memories."""

    kernel: int
    neuron: int
    bias: int

    @staticmethod
    def of(channels: int, kernel: int, output: Shape) -> Memory:
        """kernel = c 2^(ceil log2 k^2 + ceil log2 f), neuron = f 2^(ceil log2 y + ceil log2 x), bias = f."""
        features, rows, columns = output
        return Memory(
            channels << (_log2(kernel * kernel) + _log2(features)), features << (_log2(rows) + _log2(columns)), features
        )

    def over(self, core: int, limits: SpeckLimits) -> dict[str, tuple[int, int]]:
        """The memories that do not suffice on a core: words needed and there."""
        there = (limits.kernel_memory[core], limits.neuron_memory[core], limits.bias_memory[core])
        found = zip(fields(self), (self.kernel, self.neuron, self.bias), there, strict=True)
        return {field.name: (need, have) for field, need, have in found if need > have}


def _log2(n: int) -> int:
    """log2, rounded up."""
    return (n - 1).bit_length()


@irdl_attr_definition
class DestinationAttr(ParametrizedAttribute):
    """Where a core's spikes go: the layer, the pooling on the way, and what is added to the feature's number."""

    name = "speck.destination"

    layer: StringAttr
    pooling: IntegerAttr
    feature_shift: IntegerAttr

    @staticmethod
    def of(layer: str, pooling: int = 1, feature_shift: int = 0) -> DestinationAttr:
        """From plain values."""
        return DestinationAttr(StringAttr(layer), IntegerAttr(pooling, i64), IntegerAttr(feature_shift, i64))


@irdl_attr_definition
class PortAttr(ParametrizedAttribute):
    """An Input or Output of the network: its name, the layer that reads or gives it, its shape in the network."""

    name = "speck.port"

    node: StringAttr
    layer: StringAttr
    shape: DenseArrayBase

    @staticmethod
    def of(node: str, layer: str, shape: Sequence[int]) -> PortAttr:
        """From plain values."""
        return PortAttr(StringAttr(node), StringAttr(layer), int_array(shape))


@irdl_op_definition
class CoreOp(IRDLOperation):
    """One layer: a convolution and its neurons. `node` names the neurons' NIR node, `linear` those of the weights.

    | name           | shape                   | unit                  | range           |
    |----------------|-------------------------|-----------------------|-----------------|
    | input_shape    | channels, rows, columns |                       | 1024, 128, 128  |
    | weights        | (F, C, K, K)            | of v, or LSB          | -128 .. 127     |
    | biases         | (F)                     | of v per step, or LSB | -32768 .. 32767 |
    | stride         | rows, columns           |                       | 1, 2, 4, 8      |
    | padding        | rows, columns           |                       | 0 .. 7          |
    | threshold_high | ()                      | of v, or LSB          | 1 .. 32767      |
    | threshold_low  | ()                      | of v, or LSB          | -32768 .. -1    |
    | initial        | (F, rows, columns)      | of v, or LSB          | int16           |
    | scale          | ()                      | LSB per unit of v     | > 0             |
    | core           |                         |                       | 0 .. 8          |

    Without threshold_low (real numbers only) v goes as low as the chip lets it. `leak`: biases act.
    """

    name = "speck.core"

    node = prop_def(StringAttr)
    linear = prop_def(ArrayAttr[StringAttr])
    core = opt_prop_def(IntegerAttr)
    input_shape = prop_def(DenseArrayBase)
    stride = prop_def(DenseArrayBase)
    padding = prop_def(DenseArrayBase)
    weights = prop_def(DenseIntOrFPElementsAttr)
    biases = prop_def(DenseIntOrFPElementsAttr)
    threshold_high = prop_def(DenseIntOrFPElementsAttr)
    threshold_low = opt_prop_def(DenseIntOrFPElementsAttr)
    initial = opt_prop_def(DenseIntOrFPElementsAttr)
    scale = opt_prop_def(DenseIntOrFPElementsAttr)
    leak = opt_prop_def(UnitAttr)
    return_to_zero = opt_prop_def(UnitAttr)
    monitor = opt_prop_def(UnitAttr)
    destinations = prop_def(ArrayAttr[DestinationAttr])

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (HasParent(NetworkOp),))
    assembly_format = "attr-dict"

    NUMBERS: ClassVar[tuple[str, ...]] = ("weights", "biases", "threshold_high", "threshold_low", "initial")

    def __init__(
        self,
        node: str,
        linear: Sequence[str],
        input_shape: Sequence[int],
        numbers: Mapping[str, Dense | None],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        destinations: Sequence[DestinationAttr] = (),
        core: int | None = None,
        *,
        return_to_zero: bool = False,
        monitor: bool = False,
        leak: bool = False,
    ):
        """numbers: by the names of `NUMBERS`."""
        flags = {"return_to_zero": return_to_zero, "monitor": monitor, "leak": leak}
        properties: dict[str, Attribute | None] = {
            "node": StringAttr(node),
            "linear": ArrayAttr(map(StringAttr, linear)),
            "core": None if core is None else IntegerAttr(core, i64),
            "input_shape": int_array(input_shape),
            "stride": int_array(stride),
            "padding": int_array(padding),
            "destinations": ArrayAttr(destinations),
            **numbers,
            **{name: UnitAttr() if given else None for name, given in flags.items()},
        }
        super().__init__(properties=properties)

    @property
    def label(self) -> str:
        """What messages call this layer."""
        return f"node {quote(self.node.data)}"

    @property
    def taken(self) -> Shape:
        """The shape of what arrives."""
        channels, rows, columns = integers(self.input_shape)
        return channels, rows, columns

    @property
    def given(self) -> Shape:
        """The shape of the neurons: floor((n - kernel + 2 padding) / stride) + 1 per axis."""
        features, _, *kernel = self.weights.get_shape()
        sizes = zip(self.taken[1:], kernel, integers(self.padding), integers(self.stride), strict=True)
        rows, columns = ((n - k + 2 * padding) // stride + 1 for n, k, padding, stride in sizes)
        return features, rows, columns

    @property
    def kernel(self) -> int:
        """Rows and columns of the kernel."""
        return self.weights.get_shape()[2]

    @property
    def memory(self) -> Memory:
        """What the layer takes of a core."""
        return Memory.of(self.taken[0], self.kernel, self.given)

    def quantized(self) -> bool:
        """Whether the numbers are integers yet."""
        return self.weights.get_element_type() == i32

    def numbers(self, name: str) -> Array:
        """A dense property as an array."""
        return array(cast(Dense, self.properties[name]))

    def verify_(self) -> None:
        faults = list[str]()
        weights, window = self.weights.get_shape(), [integers(attr) for attr in (self.stride, self.padding)]
        if len(weights) != 4 or weights[2] != weights[3] or not all(weights):
            raise VerifyException(f"{self.name}: weights are features x channels x rows x rows, got {weights}")
        if len(integers(self.input_shape)) != 3 or self.taken[0] != weights[1]:
            raise VerifyException(f"{self.name}: the input {integers(self.input_shape)} does not fit weights {weights}")
        if any(len(pair) != 2 for pair in window) or min(window[0]) < 1 or min(window[1]) < 0:
            raise VerifyException(f"{self.name}: stride and padding are two numbers each, from 1 and from 0")
        if min(self.given) < 1:
            raise VerifyException(f"{self.name}: the kernel is larger than the input")
        shapes = {"weights": weights, "biases": weights[:1], "initial": self.given}
        for name in self.NUMBERS:
            attr = as_dense(self.properties.get(name))
            element = i32 if self.quantized() else f64
            if attr is not None and (fault := number_fault(attr, element, shapes.get(name, ()))):
                faults.append(f"{name}{fault}")
        if self.threshold_low is None and self.quantized():
            faults.append("integers have a threshold_low")
        if faults:
            raise VerifyException(f"{self.name}: {'; '.join(faults)}")


@irdl_op_definition
class NetworkOp(IRDLOperation):
    """One chip's configuration: its cores, in an order in which spikes only go on.

    `inputs` and `outputs` say which layers read the Inputs and give the Outputs. `report` says what quantization
    changed.
    """

    name = "speck.network"

    sym_name = prop_def(SymbolNameConstraint())
    chip = prop_def(StringAttr)
    inputs = prop_def(ArrayAttr[PortAttr])
    outputs = prop_def(ArrayAttr[PortAttr])
    report = opt_prop_def(ArrayAttr[ChangeAttr])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())
    assembly_format = "$sym_name attr-dict-with-keyword $body"

    def __init__(self, name: str, chip: str, inputs: Sequence[PortAttr], outputs: Sequence[PortAttr], body: Region):
        properties = {
            "sym_name": StringAttr(name),
            "chip": StringAttr(chip),
            "inputs": ArrayAttr(inputs),
            "outputs": ArrayAttr(outputs),
        }
        super().__init__(properties=properties, regions=[body])

    def layers(self) -> dict[str, CoreOp]:
        """The layers by name, in order."""
        return {op.node.data: op for op in self.body.block.ops if isinstance(op, CoreOp)}

    def sources(self) -> dict[str, list[tuple[CoreOp, DestinationAttr]]]:
        """What sends to each layer, in the layers' order."""
        found: dict[str, list[tuple[CoreOp, DestinationAttr]]] = {name: [] for name in self.layers()}
        for op in self.layers().values():
            for destination in op.destinations:
                found[destination.layer.data].append((op, destination))
        return found

    def verify_(self) -> None:
        if faults := list(self._faults()):
            raise VerifyException(f"{self.name}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        if self.chip.data not in CHIPS:
            yield f"chip '{self.chip.data}' is not one of {', '.join(CHIPS)}"
        ops = list(self.body.block.ops)
        if not all(isinstance(op, CoreOp) for op in ops):
            yield "it holds speck.core alone"
            return
        layers, seen = self.layers(), set[str]()
        if len(layers) != len(ops):
            yield "two layers have the same name"
        for name, op in reversed(layers.items()):
            for destination in op.destinations:
                if destination.layer.data not in seen:
                    yield f"{quote(name)} sends to {quote(destination.layer.data)}, which is no later layer"
            seen.add(name)
        if len({op.quantized() for op in layers.values()}) > 1:
            yield "one layer holds integers, another real numbers"
        for what, ports in (("input", self.inputs), ("output", self.outputs)):
            for port in ports:
                op = layers.get(port.layer.data)
                size = 0 if op is None else np.prod(op.taken if what == "input" else op.given)
                if np.prod(integers(port.shape)) != size:
                    whose = f"the {what} {quote(port.node.data)} of {quote(port.layer.data)}"
                    yield f"{whose} has the shape {shape_text(integers(port.shape))}, which is not the layer's"


Speck = Dialect("speck", [CoreOp, NetworkOp], [DestinationAttr, PortAttr])
