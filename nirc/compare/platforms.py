"""The platforms that are compared: simulators as schemes, chips as their evaluators; what each does on a raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from nirc import driver
from nirc.backends import BACKENDS, Options, Reading, Rung
from nirc.dialects import nir, snn
from nirc.dialects.dense import Array, array, as_dense, doubles
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_nir_to_snn.cycles import operands, schedule
from nirc.passes.convert_nir_to_snn.schemes import OPTIONS, SCHEMES, Scheme, parse_scheme

EXACT = "nir"
"""What --as calls the solver of the equations themselves."""


@dataclass(frozen=True)
class Named:
    """An element of --as: a scheme, a chip or the solver, and the options that were changed."""

    name: str
    changes: tuple[str, ...] = ()

    @property
    def spelling(self) -> str:
        """As --as takes it."""
        return ",".join([self.name, *self.changes])


def chips() -> tuple[str, ...]:
    """The targets whose neurons can be read."""
    runners = ((name, load().runner) for name, load in BACKENDS.items())
    return tuple(name for name, runner in runners if runner is not None and runner.readings is not None)


def parse_platforms(text: str) -> list[Named]:
    """`NAME[,option=value...],NAME...`: a part with `=` belongs to the name before it.

    Raises DiagnosticException with everything in the text that names no platform, or one twice.
    """
    found, faults = list[Named](), list[str]()
    known = [*chips(), *SCHEMES, EXACT]
    for part in text.split(","):
        if "=" in part and not found:
            faults.append(f"--as: '{part}' belongs to the platform before it, and there is none")
        elif "=" in part:
            found[-1] = replace(found[-1], changes=(*found[-1].changes, part))
        else:
            found.append(Named(part))
    for name in dict.fromkeys(named.name for named in found):
        if name not in known:
            faults.append(f"--as: unknown platform '{name}'; known: {', '.join(known)}")
    spellings = [named.spelling for named in found]
    faults += [f"--as: '{name}' is given twice" for name in dict.fromkeys(spellings) if spellings.count(name) > 1]
    if faults:
        raise DiagnosticException("\n".join(faults))
    return found


@dataclass(frozen=True)
class Settings:
    """What holds for all platforms: compile's options, as the user gave them."""

    dt: float | str = "auto"
    scheme: str | None = None
    reset: str | None = None
    precision: str = "f32"
    strict: bool = False


@dataclass(frozen=True)
class Layer:
    """A node with neurons, by the user's name. `sources`: the layers that it hears of, and whether only later."""

    node: str
    kind: str
    shape: tuple[int, ...]
    spiking: bool
    threshold: Array | None
    sources: Mapping[str, bool]

    @property
    def size(self) -> int:
        """The neurons."""
        return int(np.prod(self.shape))


def layers_of(graph: nir.GraphOp) -> dict[str, Layer]:
    """The nodes with neurons of an inlined graph, each after those that it hears of in the same step."""
    remembers = frozenset(node.node.data for node in graph.nodes() if node.has_state())
    plan = schedule(graph, "", remembers, frozenset())
    found = dict[str, Layer]()
    for name in plan.order:
        node = plan.nodes[name]
        if _is_layer(node):
            attr = as_dense(node.properties.get("v_threshold") or node.properties.get("threshold"))
            threshold = None if attr is None else doubles(attr).reshape(-1)
            shape = nir.shape_of(node.output) or ()
            found[name] = Layer(name, node.NIR_TYPE, shape, node.SPIKING, threshold, _heard(node, set(plan.cuts)))
    return found


def _is_layer(node: nir.NodeOp) -> bool:
    return isinstance(node, nir.NeuronOp | nir.ThresholdOp)


def _heard(node: nir.NodeOp, cuts: set[tuple[str, str]]) -> dict[str, bool]:
    """The layers that lead to a node through others, and whether all ways there take at least a step."""
    found, seen = dict[str, bool](), set[tuple[nir.NodeOp, bool]]()
    pending = [(node, False)]
    while pending:
        target, late = pending.pop()
        for value in operands(target.input):
            source = value.owner
            if isinstance(value, BlockArgument) or not isinstance(source, nir.NodeOp):
                continue
            later = late or (source.node.data, target.node.data) in cuts
            if _is_layer(source):
                found[source.node.data] = found.get(source.node.data, True) and later
            elif (source, later) not in seen:
                seen.add((source, later))
                pending.append((source, later or (isinstance(source, nir.DelayOp) and source.has_state())))
    return found


@dataclass
class Trace:
    """What a platform did, by layer, in the network's own steps (its latency taken off), v in the file's units.

    | name    | shape        | what                                         |
    |---------|--------------|----------------------------------------------|
    | spikes  | (T, B, N)    | spikes of each neuron in each step           |
    | v       | (T, B, N)    | membranes after the step                     |
    | tested  | (T, B, N)    | the v that the threshold was tested on       |
    | outputs | (T, B, ...)  | the Outputs as they leave, latency included  |
    """

    spikes: dict[str, Array] = field(default_factory=dict[str, Array])
    v: dict[str, Array] = field(default_factory=dict[str, Array])
    tested: dict[str, Array] = field(default_factory=dict[str, Array])
    outputs: dict[str, Array] = field(default_factory=dict[str, Array])


@dataclass
class Platform:
    """A model as one platform runs it.

    name      as --as spells it
    kind      scheme, chip or solver
    execute   runs rasters [T, B, ...] and gives outputs by name and records by key
    readings  how each layer is read off the records
    tested    the keys of the membranes that thresholds were tested on, by layer
    scheme    the choices under which time was cut, also of a chip; None of the solver, which does not cut it
    program   compiled for it
    """

    name: str
    kind: str
    execute: Callable[[Mapping[str, Array], tuple[str, ...]], dict[str, Array]]
    readings: Mapping[str, Reading]
    tested: Mapping[str, str]
    scheme: Scheme | None
    program: driver.Program

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        """Run rasters [T, B, ...] from the initial state."""
        steps = len(next(iter(inputs.values())))
        late = max((reading.latency for reading in self.readings.values()), default=0)
        rasters = {
            name: np.concatenate([raster, np.zeros((late, *raster.shape[1:]), raster.dtype)]) if late else raster
            for name, raster in inputs.items()
        }
        keys = [key for reading in self.readings.values() for key in (reading.spikes, reading.v) if key is not None]
        record = tuple(dict.fromkeys([*keys, *self.tested.values()]))
        found = self.execute(rasters, record)
        trace = Trace(outputs={name: found[name][:steps] for name in found if name not in record})
        for node, reading in self.readings.items():
            at = slice(reading.latency, reading.latency + steps)
            if reading.spikes is not None:
                trace.spikes[node] = _flat(found[reading.spikes][at])
            if reading.v is not None:
                trace.v[node] = _in_units(found[reading.v][at], reading)
            if node in self.tested:
                trace.tested[node] = _in_units(found[self.tested[node]][at], reading)
        return trace

    def losses(self) -> list[str]:
        """What the chip dropped or saturated in the last runs."""
        found = (getattr(evaluator, "losses", list[str])() for evaluator in self.program.evaluators())
        return list(dict.fromkeys(text for texts in found for text in texts))


def _flat(values: Array) -> Array:
    return values.reshape(*values.shape[:2], -1)


def _in_units(values: Array, reading: Reading) -> Array:
    flat = _flat(values)
    if np.all(reading.scale == 1) and np.all(reading.offset == 0):
        return flat
    return flat / reading.scale + reading.offset


def network_of(module: ModuleOp) -> snn.NetworkOp:
    """The module's step."""
    return next(op for op in module.ops if isinstance(op, snn.NetworkOp))


def step_readings(module: ModuleOp, layers: Mapping[str, Layer]) -> tuple[dict[str, Reading], dict[str, str]]:
    """How layers are read off a step, and the keys of the membranes that were tested.

    Schemes that fold gains into the threshold measure v by another unit: the file's is that of its threshold.
    """
    network = network_of(module)
    labels = {state.label for state in network.states}
    scales, tested = dict[str, Array](), dict[str, str]()
    for op, node, threshold in _firing(network):
        if node in layers:
            scales[node] = _ratio(threshold, layers[node].threshold)
            if isinstance(op, Operation) or op in network.state_args:
                tested[node] = f"{node}.tested"
    readings = dict[str, Reading]()
    for node in layers:
        v = f"{node}.v" if f"{node}.v" in labels else None
        spikes = f"{node}.spikes" if node in scales else None
        if v is not None or spikes is not None:
            readings[node] = Reading(spikes, v, scales.get(node, 1.0))
    return readings, tested


def _firing(network: snn.NetworkOp) -> Iterator[tuple[Operation | SSAValue, str, Array]]:
    """What gives the v that fires, the node, its threshold."""
    for op in network.body.block.walk():
        if isinstance(op, snn.FireOp) and op.node:
            owner = op.v.owner if isinstance(op.v.owner, Operation) else op.v
            yield owner, op.node.data, array(op.threshold).reshape(-1)


def _ratio(threshold: Array, of_file: Array | None) -> Array:
    if of_file is None:
        return np.ones(())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = threshold / of_file
    usable = np.isfinite(ratio) & (ratio > 0)
    # Where f32 alone is between them, they are one unit.
    return np.where(usable & (np.abs(ratio - 1) > 1e-6), ratio, 1.0)


def make(source: driver.Program, layers: Mapping[str, Layer], named: Named, settings: Settings) -> Platform:
    """Compile a model for a platform.

    Raises DiagnosticException with all of its reasons where the platform refuses the model.
    """
    if named.name in chips():
        return _chip(source, named, settings)
    if named.name == EXACT:
        return _exact(source, layers, named, settings)
    return of_scheme(source, layers, parse_scheme(named.spelling, _kind(settings.reset)), settings, named.spelling)


def _kind(reset: str | None) -> str | None:
    return None if reset == "auto" else reset


def of_scheme(
    source: driver.Program, layers: Mapping[str, Layer], scheme: Scheme, settings: Settings, name: str | None = None
) -> Platform:
    """A simulator."""
    text = scheme.spelling if name is None else name
    program = driver.compile(
        source,
        scheme=text,
        dt=settings.dt,
        reset=settings.reset if name is not None else None,
        precision=settings.precision,
        strict=settings.strict,
    )
    readings, tested = step_readings(program.module, layers)
    return Platform(text, "scheme", program.run, readings, tested, scheme, program)


def _exact(source: driver.Program, layers: Mapping[str, Layer], named: Named, settings: Settings) -> Platform:
    """The solver of the equations themselves."""
    raise DiagnosticException("nirc has no solver of the level nir yet")


_TARGET_OPTIONS = ("chip", "mapping", "quantize", "calibrate", "placement", "lower_bound", "weight_splits")


def _chip(source: driver.Program, named: Named, settings: Settings) -> Platform:
    """A chip's own evaluator. Options are those of the target, `model`, and those of the scheme it is lowered from."""
    options, scheme, faults = dict[str, Any](), list[str](), list[str]()
    dynamics: str | None = None
    base = settings.scheme
    for change in named.changes:
        option, _, value = change.partition("=")
        flag = option.replace("-", "_")
        if flag in _TARGET_OPTIONS and flag in {item.name for item in fields(Options)}:
            options[flag] = value
        elif option == "model":
            dynamics = value
        elif option == "scheme":
            base = value
        elif option in OPTIONS:
            scheme.append(change)
        else:
            known = ", ".join([*_TARGET_OPTIONS, "model", "scheme"])
            faults.append(f"option '{option}' is unknown; known: {known}, and those of schemes")
    if faults:
        raise DiagnosticException("\n".join(faults))
    text = ",".join([base or "nir-euler", *scheme]) if scheme else base
    program = driver.compile(
        source,
        named.name,
        dt=settings.dt,
        scheme=text,
        reset=settings.reset,
        precision=settings.precision,
        strict=settings.strict,
        **options,
    )
    if dynamics is not None and dynamics not in program.models:
        known = f"there are {', '.join(program.models)}" if program.models else "there is one way to run it"
        raise DiagnosticException(f"no model '{dynamics}' of {named.name}; {known}")
    readings = driver.runner(named.name).readings
    assert readings is not None

    def execute(inputs: Mapping[str, Array], record: tuple[str, ...]) -> dict[str, Array]:
        return program.run(inputs, record, model=dynamics)

    cut = parse_scheme(text, _kind(settings.reset))
    return Platform(named.spelling, "chip", execute, readings(program.module), {}, cut, program)


def rungs(source: driver.Program, layers: Mapping[str, Layer], platform: Platform) -> list[tuple[str, Platform]]:
    """From the step that a platform stands on to the platform itself, one change at a time, by what changed.

    A simulator is its own step. A chip's first rung is its scheme in real numbers, its last the chip.
    """
    target = platform.program.target
    if target is None or platform.scheme is None:
        return [("", platform)]
    options = platform.program.options
    program = driver.compile(
        source,
        target,
        until="snn",
        dt=options.dt,
        scheme=options.scheme,
        reset=options.reset,
        precision=options.precision,
    )
    convert = next(
        step for step in driver.backend(target).stages(options)["snn"] if isinstance(step, ConvertNirToSnnPass)
    )
    step = driver.Program(program.module, source=program.source)
    readings, tested = step_readings(step.module, layers)
    scheme = _settled(platform.scheme, convert.auto_reset)
    found = [("", Platform(f"the step of {platform.name}", "scheme", step.run, readings, tested, scheme, step))]
    climb = driver.chip(target).rungs
    higher = () if climb is None else climb(program.module.clone(), options)
    found += [(rung.change, replace(platform, execute=_execute(rung), readings=rung.readings)) for rung in higher]
    return [*found, ("integer arithmetic, whose states are rounded and saturate", platform)]


def _execute(rung: Rung) -> Callable[[Mapping[str, Array], tuple[str, ...]], dict[str, Array]]:
    def execute(inputs: Mapping[str, Array], record: tuple[str, ...]) -> dict[str, Array]:
        batch = next(iter(inputs.values())).shape[1]
        return rung.evaluator(rung.module, batch, record).run(inputs)

    return execute


def _settled(scheme: Scheme, auto_reset: str) -> Scheme:
    """The scheme with the kind of reset that `auto` takes on the chip."""
    kinds = ("reset", "reset_lif", "reset_if")
    return replace(
        scheme, options={k: auto_reset if k in kinds and v == "auto" else v for k, v in scheme.options.items()}
    )
