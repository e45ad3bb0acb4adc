"""The `spinnaker2` dialect: a network of py-spinnaker2's objects for SpiNNaker2: populations and projections.

`convert-snn-to-spinnaker2` fills it with real numbers, `spinnaker2-quantize` makes the weights integers and rounds the
parameters to the chip's float32; the same ops hold both, element types tell which (f64, or i32 weights and f32).

Tick t = 0, 1, 2, ... in float32, each operation rounded; x+ and x- are the sums of the positive and of the negative
weights that arrive, in whole numbers. A spike of tick t with delay d arrives at t + 1 + d.

    lif, lif_no_delay, lif_conv2d          v = v alpha_decay + i_offset + (x+ - x-)
    lif_curr_exp, lif_curr_exp_no_delay    E = E exc_decay + x+ ;  I = I inh_decay + x-
                                           v = v alpha_decay + ((E - I) + i_offset), not while t_refrac ticks last
    spike where v >= threshold;  reset_by_subtraction: v -= threshold;  reset_to_v_reset: v = v_reset

Source: nirc's specification of SpiNNaker2, which says what is read in primary code and what is a guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    UnitAttr,
    f32,
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

COMPARE = ">="
"""How v is tested against the threshold: `>=`.

The chip's own C files have `>=` [R], the checker runs it [V]. NIR's recordings of the chip were matched with `>`
(semantics.md, 2.10), but v never equals a threshold there: both give 0 mismatched cells, so they do not decide [V].
What is compiled with the default mapping does not hang on it: where a network fires at v > threshold, its thresholds
are the next float32 numbers above.
"""


@dataclass(frozen=True)
class Spinnaker2Limits:
    """What a synapse, a core, a chip and a board can hold.

    Sources: [V] verified by running something; [R] read in primary code; [S] second hand; [G] a guess or inference.
    Nothing was run on a board.
    """

    weight: int = 127
    """Of a `*_no_delay` population, with a sign: 7 bits [R], the layout of the word [G]."""
    weight_with_delay: int = 15
    """Of `lif` and `lif_curr_exp`: 4 bits of a 16-bit word [R]."""
    weight_conv2d: int = 127
    """int8, of which nirc does not use -128 [R]."""
    delay: int = 7
    """Of `lif` and `lif_curr_exp`, 3 bits; other models have 0 alone [R]."""
    neurons: int = 250
    """Per core: `lif`, `lif_curr_exp` [R]; `*_no_delay` [G]."""
    neurons_conv2d: int = 256
    """Per core: unknown; the NIR paper's own choice for its 16x16x16 layers [R]."""
    sram: int = 0x1B000 - 0x10000
    """Bytes of a core for tables, rows and records in the older layout [R]."""
    sram_newer: int = 0x1F000 - 0xE900
    """The same in the newer layout, where the neurons' parameters share it; minus a log of unknown size [R]."""
    cores: int = 148
    """Usable of a chip's 152 [S]."""
    board_cores: int = 148 * 48
    """Of a board of 48 chips [S]."""
    packets: int = 512
    """That a core receives in a tick: the buffer of an older version, in words [R]."""
    exact: int = 2**24
    """Beyond it float32 does not hold every whole number [V]."""

    def weight_of(self, model: str) -> int:
        """The largest weight onto a population of a model."""
        return {"lif_conv2d": self.weight_conv2d}.get(model, self.weight if no_delay(model) else self.weight_with_delay)

    def delay_of(self, model: str) -> int:
        """The largest delay onto a population of a model."""
        return 0 if no_delay(model) else self.delay

    def neurons_of(self, model: str) -> int:
        """The most neurons on a core."""
        return self.neurons_conv2d if model == "lif_conv2d" else self.neurons

    def ranges(self, model: str) -> dict[str, tuple[int, int]]:
        """What each property of a projection onto a population of a model holds."""
        most = self.weight_of(model)
        return {"weights": (-most, most), "delays": (0, self.delay_of(model))}


LIMITS = Spinnaker2Limits()

SOURCE = "spike_list"
"""The model of a population whose spikes the host gives."""

LIF = ("threshold", "alpha_decay", "i_offset", "v_init", "v_reset")
CURR_EXP = (*LIF, "exc_decay", "inh_decay", "t_refrac")

PARAMETERS: dict[str, tuple[str, ...]] = {
    SOURCE: (),
    "lif": LIF,
    "lif_no_delay": LIF,
    "lif_conv2d": LIF,
    "lif_curr_exp": CURR_EXP,
    "lif_curr_exp_no_delay": CURR_EXP,
}
"""The parameters that each model reads; py-spinnaker2 ignores others in silence [R]. `v_init` of the `*_no_delay`
models is a guess [G]."""

REQUIRED = ("threshold", "alpha_decay", "exc_decay", "inh_decay")
"""Those that have no default worth relying on."""

RESETS = ("reset_by_subtraction", "reset_to_v_reset")

RECORDS = ("spikes", "v", "v_last", "time_done", "n_packets")


def no_delay(model: str) -> bool:
    """Whether synapses onto a model have no delays, and more bits for weights."""
    return model not in ("lif", "lif_curr_exp")


@irdl_attr_definition
class PortAttr(ParametrizedAttribute):
    """An Input or Output of the network: its name, its population, its shape in the network."""

    name = "spinnaker2.port"

    node: StringAttr
    population: StringAttr
    shape: DenseArrayBase

    @staticmethod
    def of(node: str, population: str, shape: Sequence[int]) -> PortAttr:
        """From plain values."""
        return PortAttr(StringAttr(node), StringAttr(population), int_array(shape))


@irdl_op_definition
class PopulationOp(IRDLOperation):
    """Neurons of one model, or sources; `population` is its name, unique in the network.

    | name             | shape       | unit                            | range    |
    |------------------|-------------|---------------------------------|----------|
    | threshold        | () or (N)   | v of the chip                   | > 0      |
    | alpha_decay, exc_decay, inh_decay | () or (N) | 1 per tick       | [0, 1]   |
    | i_offset         | () or (N)   | v of the chip per tick          |          |
    | v_init, v_reset  | () or (N)   | v of the chip, 0 where missing  |          |
    | t_refrac         | () or (N)   | ticks, 0 where missing          | >= 0     |
    | w_scale          | () or (N)   | LSB per unit of a weight        | > 0      |
    | v_scale          | () or (N)   | v of the chip per unit of the network's v | > 0 |
    | v_offset         | () or (N)   | v of the network = v / v_scale + v_offset |    |

    node       the NIR node that these neurons are; none where nirc added them
    strict     real numbers only: the network fires where v > threshold
    shape      of the node; neurons are numbered in row-major order
    late       ticks by which the neurons are late against the network's
    latency    ticks from a spike of a source to the first reaction
    """

    name = "spinnaker2.population"

    population = prop_def(StringAttr)
    node = opt_prop_def(StringAttr)
    shape = prop_def(DenseArrayBase)
    neuron_model = prop_def(StringAttr)
    reset = opt_prop_def(StringAttr)
    threshold = opt_prop_def(DenseIntOrFPElementsAttr)
    alpha_decay = opt_prop_def(DenseIntOrFPElementsAttr)
    i_offset = opt_prop_def(DenseIntOrFPElementsAttr)
    v_init = opt_prop_def(DenseIntOrFPElementsAttr)
    v_reset = opt_prop_def(DenseIntOrFPElementsAttr)
    exc_decay = opt_prop_def(DenseIntOrFPElementsAttr)
    inh_decay = opt_prop_def(DenseIntOrFPElementsAttr)
    t_refrac = opt_prop_def(DenseIntOrFPElementsAttr)
    w_scale = opt_prop_def(DenseIntOrFPElementsAttr)
    v_scale = opt_prop_def(DenseIntOrFPElementsAttr)
    v_offset = opt_prop_def(DenseIntOrFPElementsAttr)
    record = opt_prop_def(ArrayAttr[StringAttr])
    max_atoms_per_core = opt_prop_def(IntegerAttr)
    strict = opt_prop_def(UnitAttr)
    late = opt_prop_def(IntegerAttr)
    latency = opt_prop_def(IntegerAttr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (HasParent(NetworkOp),))
    assembly_format = "$population attr-dict"

    SCALES: ClassVar[tuple[str, ...]] = ("w_scale", "v_scale", "v_offset")

    def __init__(
        self,
        population: str,
        shape: Sequence[int],
        neuron_model: str = SOURCE,
        numbers: Mapping[str, Dense | None] | None = None,
        *,
        node: str | None = None,
        reset: str | None = None,
        record: Sequence[str] = (),
        strict: bool = False,
        max_atoms_per_core: int | None = None,
        late: int | None = None,
        latency: int | None = None,
    ):
        """numbers: parameters and scales by name."""
        whole = {"max_atoms_per_core": max_atoms_per_core, "late": late, "latency": latency}
        texts = {"node": node, "reset": reset}
        properties: dict[str, Attribute | None] = {
            "population": StringAttr(population),
            "shape": int_array(shape),
            "neuron_model": StringAttr(neuron_model),
            "record": ArrayAttr(map(StringAttr, record)) if record else None,
            "strict": UnitAttr() if strict else None,
            **{name: None if text is None else StringAttr(text) for name, text in texts.items()},
            **{name: None if n is None else IntegerAttr(n, i64) for name, n in whole.items()},
            **(numbers or {}),
        }
        super().__init__(properties=properties)

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"population {quote(self.population.data)}" if self.node is None else f"node {quote(self.node.data)}"

    @property
    def model(self) -> str:
        """The neuron model's name."""
        return self.neuron_model.data

    @property
    def is_source(self) -> bool:
        """Whether the host gives its spikes."""
        return self.model == SOURCE

    @property
    def size(self) -> int:
        """The neurons."""
        return math.prod(integers(self.shape))

    @property
    def has_synapse(self) -> bool:
        """Whether currents decay before the membrane takes them."""
        return "exc_decay" in PARAMETERS[self.model]

    def parameters(self) -> dict[str, Array]:
        """Those that are given, by name, one number or one for each neuron."""
        given = {name: as_dense(self.properties.get(name)) for name in PARAMETERS[self.model]}
        return {name: array(attr) for name, attr in given.items() if attr is not None}

    def parameter(self, name: str, default: float = 0.0) -> Array:
        """One number for each neuron."""
        return np.broadcast_to(self.parameters().get(name, np.asarray(default)), (self.size,))

    def scale(self, name: str) -> Array | None:
        """w_scale, v_scale or v_offset, where it is known."""
        attr = as_dense(self.properties.get(name))
        return None if attr is None else array(attr)

    def quantized(self) -> bool:
        """Whether the parameters are float32 yet."""
        return self.threshold is None or self.threshold.get_element_type() == f32

    def recorded(self) -> tuple[str, ...]:
        """What py-spinnaker2 records."""
        return tuple(item.data for item in self.record or ())

    def verify_(self) -> None:
        if faults := list(self._faults()):
            raise VerifyException(f"{self.label}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        if not integers(self.shape) or min(integers(self.shape)) < 1:
            yield f"a shape is at least one number from 1, got {shape_text(integers(self.shape))}"
            return
        if self.model not in PARAMETERS:
            yield f"neuron model '{self.model}' is not one of {', '.join(PARAMETERS)}"
            return
        known = PARAMETERS[self.model]
        for name in CURR_EXP:
            if name not in known and name in self.properties:
                yield f"{self.model} has no {name}, which py-spinnaker2 would ignore in silence"
            elif name in known and name in REQUIRED and name not in self.properties:
                yield f"{self.model} needs {name}"
        if (self.reset is None) != self.is_source or (self.reset is not None and self.reset.data not in RESETS):
            yield f"the reset of neurons is one of {', '.join(RESETS)}; sources have none"
        if unknown := [item for item in self.recorded() if item not in RECORDS]:
            yield f"cannot record {', '.join(map(quote, unknown))}; there are {', '.join(RECORDS)}"
        for name in (*known, *self.SCALES):
            attr = as_dense(self.properties.get(name))
            if attr is None:
                continue
            element = f64 if name in self.SCALES else f32 if self.quantized() else f64
            if fault := number_fault(attr, element, (), (self.size,)):
                yield f"{name}{fault}"
            elif name.endswith("decay") and not np.all((array(attr) >= 0) & (array(attr) <= 1)):
                yield f"{name} must lie in [0, 1]"
            elif name == "threshold" and np.any(array(attr) <= 0):
                yield "threshold must be > 0, or the neurons fire at rest"
        if self.strict is not None and self.quantized():
            yield f"the chip fires where v {COMPARE} threshold; strict is for real numbers"
        if self.max_atoms_per_core is not None and self.max_atoms_per_core.value.data < 1:
            yield f"max_atoms_per_core {self.max_atoms_per_core.value.data}, must be at least 1"


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses, one an entry: source, target, weight, delay; ordered by source, then target."""

    pre: Array
    post: Array
    weight: Array
    delay: Array


class ProjectionOp(IRDLOperation):
    """Synapses from one population to another; `nodes` are the NIR nodes whose weights they hold."""

    projection = prop_def(StringAttr)
    pre = prop_def(StringAttr)
    post = prop_def(StringAttr)
    nodes = prop_def(ArrayAttr[StringAttr])
    weights = prop_def(DenseIntOrFPElementsAttr)

    irdl_options = (ParsePropInAttrDict(),)
    traits = lazy_traits_def(lambda: (HasParent(NetworkOp),))
    assembly_format = "$projection `from` $pre `to` $post attr-dict"

    def __init__(
        self, projection: str, pre: str, post: str, nodes: Sequence[str], weights: Dense, **more: Attribute | None
    ):
        names = {"projection": projection, "pre": pre, "post": post}
        super().__init__(
            properties={
                **{name: StringAttr(text) for name, text in names.items()},
                "nodes": ArrayAttr(map(StringAttr, nodes)),
                "weights": weights,
                **more,
            }
        )

    @property
    def label(self) -> str:
        """What messages call it."""
        names = ", ".join(quote(name.data) for name in self.nodes)
        return f"node {names} ({quote(self.projection.data)})" if names else f"projection {quote(self.projection.data)}"

    def quantized(self) -> bool:
        """Whether the weights are integers yet."""
        return self.weights.get_element_type() == i32

    def synapses(self) -> Synapses:
        """The synapses one by one, without those whose weight is 0."""
        raise NotImplementedError

    def least_delay(self) -> int:
        """The ticks beside the first that every spike takes."""
        return 0

    def onto(self) -> Array:
        """The neuron of `post` that each weight acts on, or the first of those, in the weights' own shape."""
        raise NotImplementedError

    def fits(self, pre: PopulationOp, post: PopulationOp) -> Iterator[str]:
        """What keeps it from standing between these populations."""
        raise NotImplementedError


@irdl_op_definition
class ListProjectionOp(ProjectionOp):
    """Synapse by synapse.

    | name        | shape  | unit                   | range                                     |
    |-------------|--------|------------------------|-------------------------------------------|
    | connections | (n, 2) | source, target         | each pair once                            |
    | weights     | (n)    | of v, or LSB           | -127 .. 127; with delays -15 .. 15        |
    | delays      | (n)    | ticks beside the first | 0 .. 7; 0 where missing                   |
    """

    name = "spinnaker2.list_projection"

    connections = prop_def(DenseIntOrFPElementsAttr)
    delays = opt_prop_def(DenseIntOrFPElementsAttr)

    def synapses(self) -> Synapses:
        pairs, weights = array(self.connections), array(self.weights)
        delays = np.zeros(len(weights), np.int32) if self.delays is None else array(self.delays)
        kept = np.flatnonzero(weights)
        order = kept[np.lexsort((pairs[kept, 1], pairs[kept, 0]))]
        return Synapses(pairs[order, 0], pairs[order, 1], weights[order], delays[order])

    def least_delay(self) -> int:
        return 0 if self.delays is None else int(array(self.delays).min())

    def onto(self) -> Array:
        return array(self.connections)[:, 1]

    def verify_(self) -> None:
        if faults := list(self._faults()):
            raise VerifyException(f"{self.label}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        shape = self.weights.get_shape()
        if len(shape) != 1 or not shape[0]:
            yield f"weights are one for each connection, at least one, got {shape_text(shape)}"
            return
        if fault := number_fault(self.weights, i32 if self.quantized() else f64, shape):
            yield f"weights{fault}"
        for name, expected in (("connections", (*shape, 2)), ("delays", shape)):
            attr = as_dense(self.properties.get(name))
            if attr is None:
                continue
            if fault := dense_faults(attr):
                yield f"{name} {fault}"
            elif attr.get_element_type() != i32 or attr.get_shape() != expected or array(attr).min() < 0:
                yield f"{name} are {shape_text(expected)} whole numbers from 0"

    def fits(self, pre: PopulationOp, post: PopulationOp) -> Iterator[str]:
        pairs = array(self.connections)
        for end, op, most in (("source", pre, pairs[:, 0].max()), ("target", post, pairs[:, 1].max())):
            if most >= op.size:
                yield f"{end} {most}, {quote(op.population.data)} has {op.size} neurons"
        if len(np.unique(pairs[:, 0].astype(np.int64) * post.size + pairs[:, 1])) < len(pairs):
            yield "a pair of a source and a target stands twice; the chip finds one"
        if post.model == "lif_conv2d":
            yield "lif_conv2d takes conv2d projections alone"


@irdl_op_definition
class Conv2dProjectionOp(ProjectionOp):
    """A convolution of the sums over windows of `pool` x `pool` places, delay 0.

    v[o, y, x] takes weights[c, o, i, j] from the window of c at (y stride + i - top, x stride + j - left).

    | name    | shape                    | unit         | range       |
    |---------|--------------------------|--------------|-------------|
    | weights | (C, O, KH, KW)           | of v, or LSB | -127 .. 127 |
    | input   | rows, columns            |              | before the pool |
    | stride, pool |                     | places       | >= 1, in rows and columns alike |
    | padding | top, bottom, left, right |              | >= 0        |
    """

    name = "spinnaker2.conv2d_projection"

    input = prop_def(DenseArrayBase)
    stride = prop_def(IntegerAttr)
    pool = prop_def(IntegerAttr)
    padding = prop_def(DenseArrayBase)

    @staticmethod
    def of(
        projection: str,
        pre: str,
        post: str,
        nodes: Sequence[str],
        weights: Dense,
        input: Sequence[int],
        stride: int,
        pool: int,
        padding: Sequence[int],
    ) -> Conv2dProjectionOp:
        """From plain values."""
        windows = {"stride": IntegerAttr(stride, i64), "pool": IntegerAttr(pool, i64)}
        return Conv2dProjectionOp(
            projection, pre, post, nodes, weights, input=int_array(input), padding=int_array(padding), **windows
        )

    @property
    def taken(self) -> tuple[int, int, int]:
        """Channels, rows and columns that arrive."""
        rows, columns = integers(self.input)
        return self.weights.get_shape()[0], rows, columns

    @property
    def given(self) -> tuple[int, int, int]:
        """Features, rows and columns of the neurons."""
        _, features, *kernel = self.weights.get_shape()
        top, bottom, left, right = integers(self.padding)
        pool, stride = self.pool.value.data, self.stride.value.data
        rows, columns = (
            (n // pool + pad - k) // stride + 1
            for n, pad, k in zip(self.taken[1:], (top + bottom, left + right), kernel, strict=True)
        )
        return features, rows, columns

    def synapses(self) -> Synapses:
        weights, (_, rows, columns) = array(self.weights), self.taken
        (features, out_rows, out_columns), (top, _, left, _) = self.given, integers(self.padding)
        pool, stride = self.pool.value.data, self.stride.value.data
        c, o, i, j = np.nonzero(weights)
        values = weights[c, o, i, j]
        found = list[tuple[Array, Array, Array]]()
        for y in range(out_rows):
            window_y = y * stride + i - top
            fits_y = (window_y >= 0) & (window_y < rows // pool)
            for x in range(out_columns):
                window_x = x * stride + j - left
                at = np.flatnonzero(fits_y & (window_x >= 0) & (window_x < columns // pool))
                post = (o[at] * out_rows + y) * out_columns + x
                for dy in range(pool):
                    for dx in range(pool):
                        row, column = window_y[at] * pool + dy, window_x[at] * pool + dx
                        found.append(((c[at] * rows + row) * columns + column, post, values[at]))
        pre, post, weight = (np.concatenate([part[n] for part in found]) for n in range(3))
        order = np.argsort(pre * (features * out_rows * out_columns) + post, kind="stable")
        pre, post = pre[order].astype(np.int32), post[order].astype(np.int32)
        return Synapses(pre, post, weight[order], np.zeros(len(order), np.int32))

    def onto(self) -> Array:
        features, rows, columns = self.given
        first = np.arange(features) * rows * columns
        return np.broadcast_to(first[:, None, None], self.weights.get_shape())

    def verify_(self) -> None:
        if faults := list(self._faults()):
            raise VerifyException(f"{self.label}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        shape = self.weights.get_shape()
        if len(shape) != 4 or not all(shape):
            yield f"weights are channels x features x rows x columns, got {shape_text(shape)}"
        elif fault := number_fault(self.weights, i32 if self.quantized() else f64, shape):
            yield f"weights{fault}"
        elif len(integers(self.input)) != 2 or min(integers(self.input)) < 1:
            yield "input is rows and columns"
        elif len(integers(self.padding)) != 4 or min(integers(self.padding)) < 0:
            yield "padding is top, bottom, left and right, from 0"
        elif self.stride.value.data < 1 or self.pool.value.data < 1:
            yield "stride and pool start at 1"
        elif min(self.given) < 1:
            yield "the kernel is larger than the input"

    def fits(self, pre: PopulationOp, post: PopulationOp) -> Iterator[str]:
        for end, op, shape in (("takes", pre, self.taken), ("gives", post, self.given)):
            if math.prod(shape) != op.size:
                yield f"it {end} {shape_text(shape)}, {quote(op.population.data)} has {op.size} neurons"
        if post.model != "lif_conv2d":
            yield f"{post.model} takes list projections alone"


@irdl_op_definition
class NetworkOp(IRDLOperation):
    """Populations and projections. `integrator`: how the network's decays were made, `euler` or `exponential`.

    `report` says what quantization changed.
    """

    name = "spinnaker2.network"

    sym_name = prop_def(SymbolNameConstraint())
    integrator = opt_prop_def(StringAttr)
    inputs = prop_def(ArrayAttr[PortAttr])
    outputs = prop_def(ArrayAttr[PortAttr])
    report = opt_prop_def(ArrayAttr[ChangeAttr])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())
    assembly_format = "$sym_name attr-dict-with-keyword $body"

    def __init__(
        self,
        name: str,
        inputs: Sequence[PortAttr],
        outputs: Sequence[PortAttr],
        body: Region,
        integrator: str | None = None,
    ):
        properties: dict[str, Attribute | None] = {
            "sym_name": StringAttr(name),
            "inputs": ArrayAttr(inputs),
            "outputs": ArrayAttr(outputs),
            "integrator": None if integrator is None else StringAttr(integrator),
        }
        super().__init__(properties=properties, regions=[body])

    def populations(self) -> dict[str, PopulationOp]:
        """The populations by name, in order."""
        return {op.population.data: op for op in self.body.block.ops if isinstance(op, PopulationOp)}

    def neurons(self) -> dict[str, PopulationOp]:
        """The populations that are no sources."""
        return {name: op for name, op in self.populations().items() if not op.is_source}

    def projections(self) -> list[ProjectionOp]:
        """The projections, in order."""
        return [op for op in self.body.block.ops if isinstance(op, ProjectionOp)]

    def incoming(self) -> dict[str, list[ProjectionOp]]:
        """The projections onto each population."""
        found: dict[str, list[ProjectionOp]] = {name: [] for name in self.populations()}
        for op in self.projections():
            found[op.post.data].append(op)
        return found

    def quantized(self) -> bool:
        """Whether the numbers are the chip's yet."""
        return all(op.quantized() for op in (*self.neurons().values(), *self.projections()))

    def verify_(self) -> None:
        if faults := list(self._faults()):
            raise VerifyException(f"{self.name}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        ops, populations, projections = list(self.body.block.ops), self.populations(), self.projections()
        if len(populations) + len(projections) != len(ops):
            yield "it holds populations of different names, and projections"
            return
        if len({op.quantized() for op in (*self.neurons().values(), *projections)}) > 1:
            yield "some numbers are the chip's, others are real"
        pairs = set[tuple[str, str]]()
        for op in projections:
            ends = [populations.get(name.data) for name in (op.pre, op.post)]
            for name, end in zip((op.pre, op.post), ends, strict=True):
                if end is None:
                    yield f"{op.label}: there is no population {quote(name.data)}"
            pre, post = ends
            if pre is None or post is None:
                continue
            if post.is_source:
                yield f"{op.label}: {quote(op.post.data)} is a source, which takes nothing"
                continue
            yield from (f"{op.label}: {fault}" for fault in op.fits(pre, post))
            if (pair := (op.pre.data, op.post.data)) in pairs:
                yield f"two projections from {quote(pair[0])} to {quote(pair[1])}; the chip finds one row of a source"
            pairs.add(pair)
        for what, ports in (("input", self.inputs), ("output", self.outputs)):
            for port in ports:
                op = populations.get(port.population.data)
                if op is None or op.size != math.prod(integers(port.shape)):
                    yield f"the {what} {quote(port.node.data)} is not of the shape of {quote(port.population.data)}"
                elif what == "input" and not op.is_source:
                    yield f"the input {quote(port.node.data)} is no {SOURCE}"


Spinnaker2 = Dialect("spinnaker2", [PopulationOp, ListProjectionOp, Conv2dProjectionOp, NetworkOp], [PortAttr])
