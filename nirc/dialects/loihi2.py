"""The `loihi2` dialect: a network of Lava processes for Intel's Loihi 2, one op per process, and their connections.

`convert-snn-to-loihi2` fills it with real numbers, `loihi2-quantize` makes them integers; the same ops hold both,
element types tell which (f64 or i32). Shapes are Lava's: a population of images stands as (X, Y, C), columns first.

The dynamics of step t = 1, 2, ... in integers, bit-exact with Lava 0.10.0 (`fixed_pt`); trunc rounds toward 0:

    a = what arrives in this step (int32)
    u = trunc(u (4096 - (du + 1)) / 4096) + (a << 6)      beyond (-2^23, 2^23] it wraps once by 2^24
    v = clip(trunc(v (4096 - dv) / 4096) + u + bias, -(2^23 - 1), 2^23 - 1);   bias = bias_mant << bias_exp
    s = v > (vth << 6);   where s: v = 0

A connection process takes a step: what it sends at t it computed of the spikes of t - 1, (sum of w x) << weight_exp.
An Input that feeds neurons without one acts at once. With real numbers u, v, bias and vth have one unit, weights add to
u as they are, and du, dv are not whole.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

from nirc.dialects.dense import Array, Dense, array, as_dense, dense_faults, number_fault, shape_text
from nirc.dialects.nir import ChangeAttr, int_array, integers, quote

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Loihi2Limits:
    """What a field can hold, and what a core and the chip hold.

    Sources: [M] the documentation of Lava's own process models, which check none of it; [D] Intel's documents; [I]
    inferred from printed reports of Intel's compiler, which is closed. What is [D] or [I] nobody has verified here.
    """

    decay: tuple[int, int] = (0, 4095)
    """du and dv, 12 bits [M]."""
    vth: tuple[int, int] = (0, 131071)
    """17 bits, shifted by 6 [M]."""
    bias_mant: tuple[int, int] = (-4096, 4095)
    """13 bits [M]."""
    bias_exp: tuple[int, int] = (0, 7)
    """3 bits [M]."""
    state: int = 2**23 - 1
    """v saturates here, u wraps, 24 bits [M]."""
    weight_exp: tuple[int, int] = (0, 7)
    """Loihi 1 has -8 to 7 in 4 bits; nobody has verified what Loihi 2 has."""
    weight_bits: tuple[int, int] = (1, 8)
    """[M]"""
    delay: tuple[int, int] = (0, 62)
    """6 bits; Lava's loader of networks clips to 62 [M]."""
    kernel: int = 127
    """Lava keeps kernel, stride, padding, dilation and groups in 8 bits and wraps in silence [M]."""
    message_bits: int = 31
    """Of graded spikes: a field of 5 bits [M]."""
    cores: int = 120
    """Usable of the chip's 128 [D]."""
    neurons: int = 4096
    """Per core, as the compiler counts; 8192 in Intel's brief [I]."""
    groups: int = 8
    """Populations on one core [I]."""
    synapse_lines: int = 16_000
    """Of a core's table of synapses [I]."""
    axons: int = 16_000
    """Entries of a core's table of incoming axons [I]."""

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """What each property of neurons holds."""
        return {
            "du": self.decay,
            "dv": self.decay,
            "vth": self.vth,
            "bias_mant": self.bias_mant,
            "bias_exp": self.bias_exp,
            "u": (-self.state, self.state),
            "v": (-self.state, self.state),
        }

    def weight(self, sign_mode: str) -> tuple[int, int]:
        """The range of a connection's weights."""
        return {"MIXED": (-256, 254), "EXCITATORY": (0, 255), "INHIBITORY": (-255, 0)}[sign_mode]


LIMITS = Loihi2Limits()

SIGN_MODES = ("MIXED", "EXCITATORY", "INHIBITORY")


@irdl_attr_definition
class TransformAttr(ParametrizedAttribute):
    """What a connection does to the source's values on the way: `transpose` (by axes), `flatten`, `reshape` (to)."""

    name = "loihi2.transform"
    KINDS: ClassVar[tuple[str, ...]] = ("transpose", "flatten", "reshape")

    kind: StringAttr
    numbers: DenseArrayBase

    @staticmethod
    def of(kind: str, numbers: Sequence[int] = ()) -> TransformAttr:
        """From plain values."""
        return TransformAttr(StringAttr(kind), int_array(numbers))

    def verify(self) -> None:
        if self.kind.data not in self.KINDS:
            raise VerifyException(f"a transform is one of {', '.join(self.KINDS)}, not '{self.kind.data}'")

    def apply(self, values: Array) -> Array:
        """The transform of [B, ...]; raises ValueError where the shape does not take it."""
        numbers = integers(self.numbers)
        if self.kind.data == "transpose":
            return values.transpose(0, *(n + 1 for n in numbers))
        return values.reshape(len(values), *(numbers if self.kind.data == "reshape" else (-1,)))


@irdl_attr_definition
class PortAttr(ParametrizedAttribute):
    """An Output of the network: its name, the node of neurons that gives it, its shape in the network."""

    name = "loihi2.port"

    node: StringAttr
    neurons: StringAttr
    shape: DenseArrayBase

    @staticmethod
    def of(node: str, neurons: str, shape: Sequence[int]) -> PortAttr:
        """From plain values."""
        return PortAttr(StringAttr(node), StringAttr(neurons), int_array(shape))


class ProcessOp(IRDLOperation, ABC):
    """A Lava process; `process` is its name in Lava, unique in the network."""

    process = prop_def(StringAttr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (HasParent(NetworkOp),))
    assembly_format = "attr-dict"

    NUMBERS: ClassVar[tuple[str, ...]] = ()
    """The dense properties that hold real numbers or integers."""
    LAVA: ClassVar[str]
    """The class in Lava."""

    @property
    @abstractmethod
    def given(self) -> Shape:
        """The shape of what leaves it."""

    @property
    @abstractmethod
    def taken(self) -> Shape | None:
        """The shape of what arrives; None where nothing does."""

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"process {quote(self.process.data)}"

    def numbers(self, name: str) -> Array:
        """A dense property as an array."""
        return array(cast(Dense, self.properties[name]))

    def expected(self, name: str) -> tuple[Shape, ...]:
        """The shapes that a number may have."""
        return ((),)

    def quantized(self) -> bool:
        """Whether the numbers are integers yet."""
        return all(cast(Dense, self.properties[n]).get_element_type() == i32 for n in self.NUMBERS[:1])

    def check(self) -> Iterator[str]:
        """What the constraints cannot say."""
        for name in self.NUMBERS:
            attr = as_dense(self.properties.get(name))
            element = i32 if self.quantized() else f64
            if attr is not None and (fault := number_fault(attr, element, *self.expected(name))):
                yield f"{name}{fault}"

    def verify_(self) -> None:
        if faults := list(self.check()):
            raise VerifyException(f"{self.label}: {'; '.join(faults)}")


@irdl_op_definition
class InputOp(ProcessOp):
    """Where a host's raster enters; `shape` is the NIR node's (C, H, W for images), the name is the Input's."""

    name = "loihi2.input"
    LAVA: ClassVar[str] = "Input"

    shape = prop_def(DenseArrayBase)

    def __init__(self, process: str, shape: Sequence[int]):
        super().__init__(properties={"process": StringAttr(process), "shape": int_array(shape)})

    @property
    def given(self) -> Shape:
        return integers(self.shape)

    @property
    def taken(self) -> Shape | None:
        return None


class SynapsesOp(ProcessOp, ABC):
    """A connection process: what it computes of this step's spikes it sends in the next.

    `nodes`: the NIR nodes whose weights it holds. num_message_bits 0: an input counts as 1 where it is not 0.
    """

    nodes = prop_def(ArrayAttr[StringAttr])
    num_message_bits = prop_def(IntegerAttr)

    @property
    @abstractmethod
    def matrix(self) -> str:
        """The name of the property that holds the weights."""

    @property
    def label(self) -> str:
        names = ", ".join(quote(name.data) for name in self.nodes)
        return f"node {names} ({quote(self.process.data)})" if names else super().label

    @property
    def graded(self) -> bool:
        """Whether inputs count as often as they say."""
        return self.num_message_bits.value.data > 0


class MatrixOp(SynapsesOp, ABC):
    """a[i] = (sum over j of w[i, j] x[j]) << weight_exp, one step later; a negative exponent shifts the sum right.

    | name            | shape     | unit                    | range                                            |
    |-----------------|-----------|-------------------------|--------------------------------------------------|
    | weights         | (out, in) | of v, or 2^exp LSB of a | MIXED -256..254 even, EXCITATORY 0..255, INH. -255..0 |
    | weight_exp      | ()        |                         | 0 .. 7                                           |
    | num_weight_bits | ()        |                         | 1 .. 8                                           |

    Weights beyond the range are clipped by Lava; then the lowest 8 - num_weight_bits bits are cleared, of MIXED ones
    one bit more. Without a sign mode, the weights' signs decide.
    """

    weights = prop_def(DenseIntOrFPElementsAttr)
    weight_exp = prop_def(IntegerAttr)
    num_weight_bits = prop_def(IntegerAttr)
    sign_mode = opt_prop_def(StringAttr)

    NUMBERS: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self,
        process: str,
        nodes: Sequence[str],
        weights: Dense,
        weight_exp: int = 0,
        num_weight_bits: int = 8,
        sign_mode: str | None = None,
        num_message_bits: int = 0,
        **more: Attribute,
    ):
        super().__init__(
            properties={
                "process": StringAttr(process),
                "nodes": ArrayAttr(map(StringAttr, nodes)),
                "weights": weights,
                "weight_exp": IntegerAttr(weight_exp, i64),
                "num_weight_bits": IntegerAttr(num_weight_bits, i64),
                "sign_mode": None if sign_mode is None else StringAttr(sign_mode),
                "num_message_bits": IntegerAttr(num_message_bits, i64),
                **more,
            }
        )

    @property
    def matrix(self) -> str:
        return "weights"

    @property
    def given(self) -> Shape:
        return self.weights.get_shape()[:1]

    @property
    def taken(self) -> Shape | None:
        return self.weights.get_shape()[1:]

    def expected(self, name: str) -> tuple[Shape, ...]:
        return (self.weights.get_shape(),)

    def signs(self) -> str:
        """The sign mode, the weights' own where none is given."""
        if self.sign_mode is not None:
            return self.sign_mode.data
        weights = self.numbers("weights")
        return "EXCITATORY" if np.all(weights >= 0) else "INHIBITORY" if np.all(weights <= 0) else "MIXED"

    def effective(self) -> Array:
        """The integer weights that act."""
        signs = self.signs()
        low, high = {"MIXED": (-256, 255), "EXCITATORY": (0, 255), "INHIBITORY": (-255, 0)}[signs]
        weights = np.clip(self.numbers("weights").astype(np.int64), low, high)
        bits = 8 - self.num_weight_bits.value.data + (signs == "MIXED")
        return -(-weights >> bits << bits) if signs == "INHIBITORY" else weights >> bits << bits

    def check(self) -> Iterator[str]:
        yield from super().check()
        if len(self.weights.get_shape()) != 2 or not all(self.weights.get_shape()):
            yield f"weights are targets x sources, got {shape_text(self.weights.get_shape())}"
        if self.sign_mode is not None and self.sign_mode.data not in SIGN_MODES:
            yield f"sign mode '{self.sign_mode.data}' is not one of {', '.join(SIGN_MODES)}"
        if not LIMITS.weight_bits[0] <= self.num_weight_bits.value.data <= LIMITS.weight_bits[1]:
            yield f"{self.num_weight_bits.value.data} bits a weight, must be 1 to 8"
        if not 0 <= self.num_message_bits.value.data <= 32:
            yield f"{self.num_message_bits.value.data} bits a message, must be 0 to 32"
        if abs(self.weight_exp.value.data) > 31:
            yield f"weight_exp {self.weight_exp.value.data}, must be a shift of 32 bits"


@irdl_op_definition
class DenseOp(MatrixOp):
    """Every source may reach every target."""

    name = "loihi2.dense"
    LAVA: ClassVar[str] = "Dense"


@irdl_op_definition
class SparseOp(MatrixOp):
    """As Dense; the weights that are 0 take no memory."""

    name = "loihi2.sparse"
    LAVA: ClassVar[str] = "Sparse"


@irdl_op_definition
class DelayDenseOp(MatrixOp):
    """As Dense; what synapse (i, j) adds arrives delays[i, j] steps later, sums of equal delay are shifted apart."""

    name = "loihi2.delay_dense"
    LAVA: ClassVar[str] = "DelayDense"

    delays = prop_def(DenseIntOrFPElementsAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        if fault := dense_faults(self.delays):
            yield f"delays {fault}"
        elif self.delays.get_element_type() != i32 or self.delays.get_shape() != self.weights.get_shape():
            yield "delays are whole numbers, one for each weight"
        elif len(self.delays) and not 0 <= array(self.delays).min() <= array(self.delays).max() <= 1 << 12:
            yield f"a delay of {array(self.delays).max()}, must be a number of steps from 0"


@irdl_op_definition
class ConvOp(SynapsesOp):
    """a[x, y, o] = sum over i, j, c of weight[o, i, j, c] x[x sx - px + (KX-1-i) dx, y sy - py + (KY-1-j) dy, c].

    A true convolution with zeros around the image, wrapped to 24 bits with a sign. Lava ignores an exponent here.

    | name        | shape                  | range     |
    |-------------|------------------------|-----------|
    | weight      | (O, KX, KY, C / groups) | as MatrixOp |
    | input_shape | X, Y, C                |           |
    | stride, padding, dilation | x, y     | up to 127 |
    """

    name = "loihi2.conv"
    LAVA: ClassVar[str] = "Conv"
    NUMBERS: ClassVar[tuple[str, ...]] = ("weight",)

    weight = prop_def(DenseIntOrFPElementsAttr)
    input_shape = prop_def(DenseArrayBase)
    stride = prop_def(DenseArrayBase)
    padding = prop_def(DenseArrayBase)
    dilation = prop_def(DenseArrayBase)
    groups = prop_def(IntegerAttr)

    def __init__(
        self,
        process: str,
        nodes: Sequence[str],
        weight: Dense,
        input_shape: Sequence[int],
        stride: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0),
        dilation: Sequence[int] = (1, 1),
        groups: int = 1,
        num_message_bits: int = 0,
    ):
        super().__init__(
            properties={
                "process": StringAttr(process),
                "nodes": ArrayAttr(map(StringAttr, nodes)),
                "weight": weight,
                "input_shape": int_array(input_shape),
                "stride": int_array(stride),
                "padding": int_array(padding),
                "dilation": int_array(dilation),
                "groups": IntegerAttr(groups, i64),
                "num_message_bits": IntegerAttr(num_message_bits, i64),
            }
        )

    @property
    def matrix(self) -> str:
        return "weight"

    @property
    def taken(self) -> Shape:
        return integers(self.input_shape)

    @property
    def given(self) -> Shape:
        features, *kernel, _ = self.weight.get_shape()
        windows = (integers(attr) for attr in (self.stride, self.padding, self.dilation))
        sizes = zip(self.taken, kernel, *windows, strict=False)
        return *((n + 2 * pad - dilation * (k - 1) - 1) // by + 1 for n, k, by, pad, dilation in sizes), features

    def expected(self, name: str) -> tuple[Shape, ...]:
        return (self.weight.get_shape(),)

    def check(self) -> Iterator[str]:
        yield from super().check()
        stride, padding, dilation = (integers(attr) for attr in (self.stride, self.padding, self.dilation))
        weight, groups = self.weight.get_shape(), self.groups.value.data
        if len(weight) != 4 or not all(weight) or len(self.taken) != 3 or min(self.taken) < 1:
            yield "weight is features x columns x rows x channels of a group, the input columns x rows x channels"
        elif [len(pair) for pair in (stride, padding, dilation)] != [2, 2, 2]:
            yield "stride, padding and dilation are two numbers each"
        elif min(*stride, *dilation, groups) < 1 or min(padding) < 0:
            yield "stride, dilation and groups start at 1, padding at 0"
        elif weight[3] * groups != self.taken[2] or weight[0] % groups:
            yield f"weight {shape_text(weight)} with groups {groups} does not take {self.taken[2]} channels"
        elif min(self.given) < 1:
            yield "the kernel is larger than the input"


class NeuronsOp(ProcessOp, ABC):
    """Leaky integrate-and-fire neurons, du, dv and vth one number for all of them.

    | name             | shape        | unit          | range                         |
    |------------------|--------------|---------------|-------------------------------|
    | du               | ()           | 1/4096        | 0 .. 4095; u keeps 4095 - du  |
    | dv               | ()           | 1/4096        | 0 .. 4095; v keeps 4096 - dv  |
    | vth              | ()           | of v, or 64 LSB | 0 .. 131071                 |
    | bias_mant        | () or shape  | of v, or 2^exp LSB | -4096 .. 4095            |
    | bias_exp         | () or shape  |               | 0 .. 7; integers only         |
    | u, v             | () or shape  | of v, or LSB  | 24 bits; before the first step |
    | v_scale          | () or shape  | LSB per unit of the network's v | > 0         |
    | v_offset         | () or shape  | the network's v | v = v_int / v_scale + v_offset |

    node      the NIR node that these neurons are, or are part of
    members   which of the node's neurons these are, flat; without it, all of them
    node_shape  of the whole node, where `members` is given
    latency   steps by which the neurons are late against the network's
    silent    they do not fire: their v is read
    """

    node = prop_def(StringAttr)
    shape = prop_def(DenseArrayBase)
    du = prop_def(DenseIntOrFPElementsAttr)
    dv = prop_def(DenseIntOrFPElementsAttr)
    vth = prop_def(DenseIntOrFPElementsAttr)
    bias_mant = prop_def(DenseIntOrFPElementsAttr)
    bias_exp = opt_prop_def(DenseIntOrFPElementsAttr)
    u = opt_prop_def(DenseIntOrFPElementsAttr)
    v = opt_prop_def(DenseIntOrFPElementsAttr)
    v_scale = opt_prop_def(DenseIntOrFPElementsAttr)
    v_offset = opt_prop_def(DenseIntOrFPElementsAttr)
    members = opt_prop_def(DenseIntOrFPElementsAttr)
    node_shape = opt_prop_def(DenseArrayBase)
    latency = opt_prop_def(IntegerAttr)
    silent = opt_prop_def(UnitAttr)

    NUMBERS: ClassVar[tuple[str, ...]] = ("vth", "du", "dv", "bias_mant", "bias_exp", "u", "v")

    def __init__(
        self,
        process: str,
        shape: Sequence[int],
        numbers: Mapping[str, Dense | None],
        node: str | None = None,
        latency: int | None = None,
        members: Dense | None = None,
        node_shape: Sequence[int] | None = None,
        *,
        silent: bool = False,
        **more: Attribute,
    ):
        """numbers: by the names of `NUMBERS`, v_scale and v_offset."""
        properties: dict[str, Attribute | None] = {
            "process": StringAttr(process),
            "node": StringAttr(process if node is None else node),
            "shape": int_array(shape),
            "latency": None if latency is None else IntegerAttr(latency, i64),
            "members": members,
            "node_shape": None if node_shape is None else int_array(node_shape),
            "silent": UnitAttr() if silent else None,
            **numbers,
            **more,
        }
        super().__init__(properties=properties)

    @property
    def label(self) -> str:
        return f"node {quote(self.node.data)}"

    @property
    def given(self) -> Shape:
        return integers(self.shape)

    @property
    def taken(self) -> Shape | None:
        return self.given

    @property
    def size(self) -> int:
        """The neurons."""
        return math.prod(self.given)

    def expected(self, name: str) -> tuple[Shape, ...]:
        return ((),) if name in ("du", "dv", "vth") else ((), self.given)

    def in_node(self, values: Array) -> Array:
        """[..., *shape] as the node orders its neurons: [..., *shape of the node] where these are all of them, else
        [..., flat]."""
        if len(self.given) == 3:
            values = np.moveaxis(values, (-1, -2, -3), (-3, -2, -1))
        return values if self.members is None else values.reshape(*values.shape[: values.ndim - len(self.given)], -1)

    def whole_shape(self) -> Shape:
        """The shape of the node."""
        if self.node_shape is not None:
            return integers(self.node_shape)
        return self.given[::-1] if len(self.given) == 3 else self.given

    def check(self) -> Iterator[str]:
        if not self.given or min(self.given) < 1:
            yield f"a population's shape is at least one number from 1, got {shape_text(self.given)}"
            return
        yield from super().check()
        if (self.bias_exp is None) == self.quantized():
            yield "integers have a bias_exp, real numbers none"
        if (self.members is None) != (self.node_shape is None):
            yield "members and node_shape come together"
        elif self.members is not None:
            members, total = array(self.members), math.prod(self.whole_shape())
            if members.shape != (self.size,) or len(np.unique(members)) < members.size:
                yield f"members are {self.size} different numbers"
            elif members.min() < 0 or members.max() >= total:
                yield f"members must be in [0, {total})"
        for name in ("v_scale", "v_offset"):
            attr = as_dense(self.properties.get(name))
            if attr is not None and (
                dense_faults(attr) or attr.get_element_type() != f64 or attr.get_shape() not in ((), self.given)
            ):
                yield f"{name} is one real number, or one for each neuron"


@irdl_op_definition
class LIFOp(NeuronsOp):
    """Neurons that run on."""

    name = "loihi2.lif"
    LAVA: ClassVar[str] = "LIF"


@irdl_op_definition
class LIFResetOp(NeuronsOp):
    """Neurons with u = v = 0 before every step t with t mod reset_interval = reset_offset mod reset_interval."""

    name = "loihi2.lif_reset"
    LAVA: ClassVar[str] = "LIFReset"

    reset_interval = prop_def(IntegerAttr)
    reset_offset = prop_def(IntegerAttr)

    def check(self) -> Iterator[str]:
        yield from super().check()
        if self.reset_interval.value.data < 1:
            yield f"reset_interval {self.reset_interval.value.data}, must be at least 1"


@irdl_op_definition
class ConnectOp(IRDLOperation):
    """The source's values go to the target, through transforms; the connection itself takes no time."""

    name = "loihi2.connect"

    source = prop_def(StringAttr)
    target = prop_def(StringAttr)
    transform = prop_def(ArrayAttr[TransformAttr])

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (HasParent(NetworkOp),))
    assembly_format = "$source `to` $target attr-dict"

    def __init__(self, source: str, target: str, transform: Sequence[TransformAttr] = ()):
        properties = {
            "source": StringAttr(source),
            "target": StringAttr(target),
            "transform": ArrayAttr(transform),
        }
        super().__init__(properties=properties)

    def apply(self, values: Array) -> Array:
        """What arrives of [B, ...]."""
        for transform in self.transform:
            values = transform.apply(values)
        return values


@irdl_op_definition
class NetworkOp(IRDLOperation):
    """Processes and their connections; `outputs` names the Outputs' neurons, `report` what quantization changed."""

    name = "loihi2.network"

    sym_name = prop_def(SymbolNameConstraint())
    outputs = prop_def(ArrayAttr[PortAttr])
    report = opt_prop_def(ArrayAttr[ChangeAttr])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())
    assembly_format = "$sym_name attr-dict-with-keyword $body"

    def __init__(self, name: str, outputs: Sequence[PortAttr], body: Region):
        super().__init__(properties={"sym_name": StringAttr(name), "outputs": ArrayAttr(outputs)}, regions=[body])

    def processes(self) -> dict[str, ProcessOp]:
        """The processes by name, in order."""
        return {op.process.data: op for op in self.body.block.ops if isinstance(op, ProcessOp)}

    def inputs(self) -> dict[str, InputOp]:
        """The inputs by name, in order."""
        return {name: op for name, op in self.processes().items() if isinstance(op, InputOp)}

    def neurons(self) -> dict[str, NeuronsOp]:
        """The populations by name, in order."""
        return {name: op for name, op in self.processes().items() if isinstance(op, NeuronsOp)}

    def synapses(self) -> dict[str, SynapsesOp]:
        """The connection processes by name, in order."""
        return {name: op for name, op in self.processes().items() if isinstance(op, SynapsesOp)}

    def nodes(self) -> dict[str, list[NeuronsOp]]:
        """The populations of each NIR node of neurons."""
        found = dict[str, list[NeuronsOp]]()
        for op in self.neurons().values():
            found.setdefault(op.node.data, []).append(op)
        return found

    def connections(self) -> list[ConnectOp]:
        """The connections, in order."""
        return [op for op in self.body.block.ops if isinstance(op, ConnectOp)]

    def quantized(self) -> bool:
        """Whether the numbers are integers yet."""
        return all(op.quantized() for op in self.processes().values())

    def verify_(self) -> None:
        if faults := list(self._faults()):
            raise VerifyException(f"{self.name}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        ops, processes = list(self.body.block.ops), self.processes()
        if len(processes) + len(self.connections()) != len(ops):
            yield "it holds processes of different names, and connections"
            return
        if len({op.quantized() for op in processes.values() if op.NUMBERS}) > 1:
            yield "one process holds integers, another real numbers"
        for edge in self.connections():
            ends = [processes.get(name.data) for name in (edge.source, edge.target)]
            for name, end in zip((edge.source, edge.target), ends, strict=True):
                if end is None:
                    yield f"there is no process {quote(name.data)}"
            source, target = ends
            if source is not None and target is not None:
                yield from _edge_faults(edge, source, target)
        for node, parts in self.nodes().items():
            yield from _node_faults(node, parts)
        for port in self.outputs:
            parts = self.nodes().get(port.neurons.data)
            if parts is None or math.prod(parts[0].whole_shape()) != math.prod(integers(port.shape)):
                yield f"the output {quote(port.node.data)} is not of the shape of {quote(port.neurons.data)}"


def _edge_faults(edge: ConnectOp, source: ProcessOp, target: ProcessOp) -> Iterator[str]:
    told = f"{quote(edge.source.data)} to {quote(edge.target.data)}"
    if target.taken is None:
        yield f"{told}: an Input takes nothing"
        return
    if isinstance(source, NeuronsOp) and isinstance(target, NeuronsOp):
        yield f"{told}: neurons feed neurons through a connection process alone"
    try:
        arriving = edge.apply(np.empty((1, *source.given), np.bool_)).shape[1:]
    except ValueError:
        arriving = None
    if arriving != target.taken:
        what = "values that the transform does not fit" if arriving is None else shape_text(arriving)
        yield f"{told}: {what} arrive(s), the target takes {shape_text(target.taken)}"


def _node_faults(node: str, parts: list[NeuronsOp]) -> Iterator[str]:
    members = [array(part.members) for part in parts if part.members is not None]
    if len(parts) > 1 and len(members) < len(parts):
        yield f"several populations are all of {quote(node)}"
    elif members and {part.whole_shape() for part in parts} != {parts[0].whole_shape()}:
        yield f"the populations of {quote(node)} tell different shapes of it"
    elif members and len(np.unique(np.concatenate(members))) != math.prod(parts[0].whole_shape()):
        yield f"the populations of {quote(node)} do not make it up"


PROCESSES: tuple[type[ProcessOp], ...] = (InputOp, DenseOp, SparseOp, DelayDenseOp, ConvOp, LIFOp, LIFResetOp)

Loihi2 = Dialect("loihi2", [*PROCESSES, ConnectOp, NetworkOp], [TransformAttr, PortAttr])
