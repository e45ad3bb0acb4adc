"""The `xylo` dialect: the configuration of one SynSense Xylo chip, object by object.

A chip has input channels, one population of hidden neurons (all hidden layers stand in it side by side, feed-forward
weights between them next to true recurrence) and a population of readout neurons. `convert-snn-to-xylo` fills it with
real numbers, `xylo-quantize` makes them integers; the same ops hold both, element types tell which (f64 or i32).

The dynamics of a step, in integers (bit-exact with xylosim 0.1.3; sat = clip to int16, >> floors):

    i = sat(i + n (w << shift))        per source in ascending order, inputs first, then last step's hidden spikes
    i = i - max(1, i >> dash_syn)      for i > 0; floor(i >> dash_syn) below
    v = sat(v + sat(sat(i_1 + i_2 - decay(v, dash_mem)) + bias))
    while v >= threshold and n < 31: n += 1, v -= threshold        (readout: at most 1)

Core v1 has no bias and adds once: v = sat(v - decay(v, dash_mem) + i_1 + i_2).

With real numbers `weights` is what a spike adds to the membrane in the first step, decays included: the chip integrates
the decayed current, which `xylo-quantize` compensates. `dash` is log2(tau/dt), which `xylo-fit-time-constants` makes
whole; `scale` and `weight_shift` are what `xylo-choose-scales` chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    f64,
    i32,
    i64,
)
from xdsl.ir import Attribute, Dialect, Region
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    lazy_traits_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.traits import HasParent, IsolatedFromAbove, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from nirc.dialects.dense import Array, Dense, array, dense_faults, shape_text
from nirc.dialects.nir import ChangeAttr, integers


@dataclass(frozen=True)
class XyloLimits:
    """What a generation of the chip can hold.

    Sources: [V] the vendor's validator (samna 0.7.1) or simulator, [S] rockpool 3.1.0, [D] the vendor's documentation;
    what is [D] or [S] alone nobody has verified against a chip or validator here.
    """

    part: str
    inputs: int
    hidden_neurons: int
    readout_neurons: int
    synapses: int
    """Per hidden neuron; a readout neuron has one."""
    input_reach: int | None
    """Hidden neurons that inputs can reach: the first so many; None: all."""
    readout_reach: int | None
    """Hidden neurons that the readout can read: the last so many; None: all."""
    fan_out: int
    """Distinct hidden targets of one hidden neuron."""
    connections: int
    """Hidden-to-hidden connections in total."""
    bias: bool
    equal_readout_thresholds: bool
    unverified: tuple[str, ...]
    """The fields above that rest on documentation alone."""

    WEIGHT: ClassVar[tuple[int, int]] = (-128, 127)
    THRESHOLD: ClassVar[tuple[int, int]] = (-32768, 32767)
    BIAS: ClassVar[tuple[int, int]] = (-128, 127)
    """The simulator takes int16, the chip's memory image 8 bits [S]."""
    DASH: ClassVar[tuple[int, int]] = (0, 15)
    SHIFT: ClassVar[tuple[int, int]] = (0, 7)
    INPUT_EVENTS: ClassVar[int] = 15
    """Events per channel and step that are delivered; more are dropped by the chip [V]."""
    SPIKES: ClassVar[int] = 31
    """Spikes of a hidden neuron in a step [V]."""

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """What each property of a group holds."""
        return {
            "weights": self.WEIGHT,
            "dash_mem": self.DASH,
            "dash_syn": self.DASH,
            "threshold": self.THRESHOLD,
            "bias": self.BIAS,
            "weight_shift": self.SHIFT,
        }


CHIPS: dict[str, XyloLimits] = {
    "v1": XyloLimits("SYNS61300", 16, 1000, 8, 2, None, None, 63, 32_000, False, True, ()),
    "audio2": XyloLimits("SYNS61201", 16, 1000, 8, 2, None, None, 63, 32_000, True, False, ("fan_out", "connections")),
    "audio3": XyloLimits(
        "SYNS65302", 16, 992, 32, 2, 128, 128, 1024, 31_744, True, False, ("hidden_neurons", "fan_out", "connections")
    ),
    "imu": XyloLimits(
        "SYNS63300", 16, 496, 16, 1, 128, 128, 512, 31_744, True, False, ("hidden_neurons", "fan_out", "connections")
    ),
}
"""The generations. Audio 2 allows a fan-out of 64 by its documentation, 63 by the validator of v1: 63 is safe.
Audio 3's total is its documented average of 32 per neuron [D]."""

DEFAULT_CHIP = "audio2"


class Group(IRDLOperation):
    """A population or the input channels. `layers` names the NIR nodes in it and their sizes, in order."""

    layers = prop_def(DictionaryAttr)
    weights = prop_def(DenseIntOrFPElementsAttr)
    weight_shift = prop_def(IntegerAttr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (HasParent(NetworkOp),))
    assembly_format = "attr-dict"

    def sizes(self) -> dict[str, int]:
        """The layers and their numbers of neurons."""
        return {name: cast(IntegerAttr, size).value.data for name, size in self.layers.data.items()}

    @property
    def size(self) -> int:
        """Neurons (or channels) in all."""
        return sum(self.sizes().values())

    def places(self) -> dict[str, slice]:
        """Where each layer's neurons stand."""
        places, at = dict[str, slice](), 0
        for name, size in self.sizes().items():
            places[name] = slice(at, at + size)
            at += size
        return places

    def where(self, index: int) -> str:
        """A neuron in the user's words: `neuron 3 of 'lif1'`."""
        for name, size in self.sizes().items():
            if index < size:
                return f"neuron {index} of {name!r}"
            index -= size
        return f"neuron {index}"

    def quantized(self) -> bool:
        """Whether the numbers are integers yet."""
        return self.weights.get_element_type() == i32

    def numbers(self, name: str) -> Array:
        """A dense property as an array."""
        return array(cast(Dense, self.properties[name]))

    def expected_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The shape of each dense property, None where any length will do."""
        return {}

    def verify_(self) -> None:
        faults = list[str]()
        for name, size in self.layers.data.items():
            if not isinstance(size, IntegerAttr) or size.value.data < 1:
                raise VerifyException(f"{self.name}: layers: {name!r} must be a number of neurons")
        expected_shapes = self.expected_shapes()
        if "scale" in self.properties:
            expected_shapes["scale"] = (self.size,)
        for name, expected in expected_shapes.items():
            attr = cast(Dense, self.properties[name])
            shape = attr.get_shape()
            if fault := dense_faults(attr):
                faults.append(f"{name} {fault}")
            elif attr.get_element_type() not in (f64, i32):
                faults.append(f"{name}: numbers are real (f64) or integers (i32), not {attr.get_element_type()}")
            elif attr.get_element_type() != (i32 if self.quantized() and name != "scale" else f64):
                faults.append(f"{name}: real numbers (f64) and integers (i32) stand side by side")
            elif len(shape) != len(expected) or any(b not in (None, a) for a, b in zip(shape, expected, strict=True)):
                wanted = "x".join("?" if n is None else str(n) for n in expected)
                faults.append(f"{name} has the shape {shape_text(shape)}, must be {wanted}")
        if faults:
            raise VerifyException(f"{self.name}: {'; '.join(faults)}")


@irdl_op_definition
class InputOp(Group):
    """The input channels and their weights onto hidden neurons.

    | name    | shape                      | unit                         | range       |
    |---------|----------------------------|------------------------------|-------------|
    | weights | (inputs, reached, synapse) | of v, or LSB << weight_shift | -128 .. 127 |
    """

    name = "xylo.input"

    def expected_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"weights": (self.size, None, None)}

    def __init__(self, layers: dict[str, int], weights: Dense, weight_shift: int = 0):
        super().__init__(properties=_properties(layers, weights=weights, weight_shift=weight_shift))


@irdl_op_definition
class HiddenOp(Group):
    """The hidden neurons and the weights among them (samna calls them the reservoir on the older chips).

    | name      | shape                 | unit                         | range           |
    |-----------|-----------------------|------------------------------|-----------------|
    | weights   | (from, to, synapse)   | of v, or LSB << weight_shift | -128 .. 127     |
    | dash_mem  | (N)                   | log2 of steps                | 0 .. 15         |
    | dash_syn  | (N, synapse)          | log2 of steps                | 0 .. 15         |
    | threshold | (N)                   | of v, or LSB                 | -32768 .. 32767 |
    | bias      | (N)                   | of v per step, or LSB        | -128 .. 127     |
    | aliases   | (N), -1 for none      | hidden neuron                | 0 .. N - 1      |
    | scale     | (N)                   | LSB of v per unit of v       | > 0             |
    """

    name = "xylo.hidden"

    dash_mem = prop_def(DenseIntOrFPElementsAttr)
    dash_syn = prop_def(DenseIntOrFPElementsAttr)
    threshold = prop_def(DenseIntOrFPElementsAttr)
    bias = prop_def(DenseIntOrFPElementsAttr)
    aliases = opt_prop_def(DenseArrayBase)
    scale = opt_prop_def(DenseIntOrFPElementsAttr)

    def __init__(
        self,
        layers: dict[str, int],
        weights: Dense,
        dash_mem: Dense,
        dash_syn: Dense,
        threshold: Dense,
        bias: Dense,
        aliases: Sequence[int] | None = None,
        scale: Dense | None = None,
        weight_shift: int = 0,
    ):
        numbers = {"dash_mem": dash_mem, "dash_syn": dash_syn, "threshold": threshold, "bias": bias, "scale": scale}
        alias = None if aliases is None else DenseArrayBase.from_list(i64, list(aliases))
        properties = _properties(layers, weights=weights, weight_shift=weight_shift, **numbers)
        super().__init__(properties={**properties, "aliases": alias})

    def expected_shapes(self) -> dict[str, tuple[int | None, ...]]:
        n = self.size
        one = dict.fromkeys(("dash_mem", "threshold", "bias"), (n,))
        return {"weights": (n, n, None), "dash_syn": (n, None), **one}

    def alias_targets(self) -> tuple[int, ...]:
        """The alias target of each neuron, -1 for none."""
        if self.aliases is None:
            return (-1,) * self.size
        return integers(self.aliases)

    def silent(self) -> Array:
        """Which neurons never fire: none."""
        return np.zeros(self.size, bool)

    def verify_(self) -> None:
        super().verify_()
        if self.aliases is not None and len(self.aliases) != self.size:
            raise VerifyException(f"{self.name}: {len(self.aliases)} alias targets for {self.size} neurons")


@irdl_op_definition
class ReadoutOp(Group):
    """The readout neurons and the weights onto them; `outputs` names the Output node of each layer.

    `membranes` names the layers whose membranes are the output: neurons without a threshold, which stands at the end of
    the range so that none fires.

    | name      | shape        | unit                         | range           |
    |-----------|--------------|------------------------------|-----------------|
    | weights   | (read, N)    | of v, or LSB << weight_shift | -128 .. 127     |
    | dash_mem, dash_syn, threshold, bias, scale | (N) | as of hidden neurons |  |
    """

    name = "xylo.readout"

    outputs = prop_def(ArrayAttr[StringAttr])
    membranes = opt_prop_def(ArrayAttr[StringAttr])
    dash_mem = prop_def(DenseIntOrFPElementsAttr)
    dash_syn = prop_def(DenseIntOrFPElementsAttr)
    threshold = prop_def(DenseIntOrFPElementsAttr)
    bias = prop_def(DenseIntOrFPElementsAttr)
    scale = opt_prop_def(DenseIntOrFPElementsAttr)

    def __init__(
        self,
        layers: dict[str, int],
        outputs: Sequence[str],
        weights: Dense,
        dash_mem: Dense,
        dash_syn: Dense,
        threshold: Dense,
        bias: Dense,
        scale: Dense | None = None,
        weight_shift: int = 0,
        membranes: Sequence[str] = (),
    ):
        numbers = {"dash_mem": dash_mem, "dash_syn": dash_syn, "threshold": threshold, "bias": bias, "scale": scale}
        properties = _properties(layers, weights=weights, weight_shift=weight_shift, **numbers)
        named = {"outputs": outputs, "membranes": membranes or None}
        lists = {name: None if items is None else ArrayAttr(map(StringAttr, items)) for name, items in named.items()}
        super().__init__(properties={**properties, **lists})

    def expected_shapes(self) -> dict[str, tuple[int | None, ...]]:
        n = self.size
        return {"weights": (None, n), **dict.fromkeys(("dash_mem", "dash_syn", "threshold", "bias"), (n,))}

    def read_by_membrane(self) -> tuple[str, ...]:
        """The layers whose output is the membrane, not spikes."""
        return tuple(name.data for name in self.membranes or ())

    def silent(self) -> Array:
        """Which neurons never fire: those whose membrane is read."""
        silent = np.zeros(self.size, bool)
        for name in self.read_by_membrane():
            silent[self.places()[name]] = True
        return silent

    def verify_(self) -> None:
        super().verify_()
        if len(self.outputs) != len(self.layers.data):
            raise VerifyException(f"{self.name}: {len(self.outputs)} output names for {len(self.layers.data)} layers")
        if unknown := set(self.read_by_membrane()) - self.sizes().keys():
            raise VerifyException(f"{self.name}: membranes: no layer {', '.join(map(repr, sorted(unknown)))}")


def _properties(layers: dict[str, int], **values: Attribute | int | None) -> dict[str, Attribute | None]:
    sizes = DictionaryAttr({name: IntegerAttr(size, i64) for name, size in layers.items()})
    rest = {name: IntegerAttr(v, i64) if isinstance(v, int) else v for name, v in values.items()}
    return {"layers": sizes, **rest}


@irdl_op_definition
class NetworkOp(IRDLOperation):
    """One chip's configuration: an input, the hidden neurons, the readout.

    `relays` names hidden layers that leave the chip too, each with its output: the readout neurons that copy them come
    with `xylo-add-relays`. `late` says by how many steps layers are late against the network, where they are. `report`
    says what quantization changed.
    """

    name = "xylo.network"

    sym_name = prop_def(SymbolNameConstraint())
    chip = prop_def(StringAttr)
    relays = opt_prop_def(DictionaryAttr)
    late = opt_prop_def(DictionaryAttr)
    report = opt_prop_def(ArrayAttr[ChangeAttr])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())
    assembly_format = "$sym_name attr-dict-with-keyword $body"

    def __init__(
        self,
        name: str,
        chip: str,
        body: Region,
        report: Sequence[ChangeAttr] | None = None,
        relays: dict[str, str] | None = None,
        late: dict[str, int] | None = None,
    ):
        steps = {name: IntegerAttr(n, i64) for name, n in (late or {}).items() if n}
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "chip": StringAttr(chip),
                "relays": DictionaryAttr({k: StringAttr(v) for k, v in relays.items()}) if relays else None,
                "late": DictionaryAttr(steps) if steps else None,
                "report": None if report is None else ArrayAttr(report),
            },
            regions=[body],
        )

    def relayed(self) -> dict[str, str]:
        """The hidden layers that wait for relays, and their outputs."""
        waiting = self.relays.data if self.relays else dict[str, Attribute]()
        return {name: cast(StringAttr, output).data for name, output in waiting.items()}

    def latency(self) -> dict[str, int]:
        """Steps by which layers are late against the network; of those that are not named none."""
        late = self.late.data if self.late else dict[str, Attribute]()
        return {name: cast(IntegerAttr, steps).value.data for name, steps in late.items()}

    def parts(self) -> Iterator[Group]:
        """Input, hidden, readout."""
        for op in self.body.block.ops:
            if isinstance(op, Group):
                yield op

    @property
    def input(self) -> InputOp:
        """The input channels."""
        return next(op for op in self.parts() if isinstance(op, InputOp))

    @property
    def hidden(self) -> HiddenOp:
        """The hidden population."""
        return next(op for op in self.parts() if isinstance(op, HiddenOp))

    @property
    def readout(self) -> ReadoutOp:
        """The readout population."""
        return next(op for op in self.parts() if isinstance(op, ReadoutOp))

    @property
    def limits(self) -> XyloLimits:
        """What the chip can hold."""
        return CHIPS[self.chip.data]

    @property
    def synapses(self) -> int:
        """Synapses per hidden neuron."""
        return self.hidden.weights.get_shape()[2]

    def verify_(self) -> None:
        if self.chip.data not in CHIPS:
            raise VerifyException(f"chip '{self.chip.data}' is not one of {', '.join(CHIPS)}")
        if [type(op) for op in self.body.block.ops] != [InputOp, HiddenOp, ReadoutOp]:
            raise VerifyException("a xylo.network holds xylo.input, xylo.hidden and xylo.readout, in this order")
        reached = self.input.numbers("weights").shape[1]
        read = self.readout.numbers("weights").shape[0]
        if reached > self.hidden.size or read > self.hidden.size:
            raise VerifyException(f"inputs reach {reached} and the readout reads {read} of {self.hidden.size} neurons")
        synapses = {
            self.input.numbers("weights").shape[2],
            self.synapses,
            self.hidden.numbers("dash_syn").shape[1],
        }
        if len(synapses) > 1 or not synapses <= {1, 2}:
            raise VerifyException("input weights, hidden weights and dash_syn must have one or two synapses alike")
        if len({part.quantized() for part in self.parts()}) > 1:
            raise VerifyException("one part holds integers, another real numbers")


Xylo = Dialect("xylo", [HiddenOp, InputOp, NetworkOp, ReadoutOp])
