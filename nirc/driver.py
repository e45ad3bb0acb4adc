"""From a model to a program: reads, runs the pipeline of a target, and runs or writes what came out."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from nirc import rasters
from nirc.backends import BACKENDS, Backend, Evaluator, Options, Stages
from nirc.dialects import DIALECTS, nir, snn
from nirc.dialects.dense import Array, shape_text
from nirc.dialects.nir import quote
from nirc.printing import Instrumentation, ir_text


def context() -> Context:
    """A context that knows nirc's dialects."""
    ctx = Context()
    ctx.load_dialect(Builtin)
    for name, load_dialect in DIALECTS.items():
        ctx.register_dialect(name, load_dialect)
    return ctx


def backend(target: str) -> Backend:
    """The backend of a target; raises DiagnosticException where there is none."""
    if target not in BACKENDS:
        raise DiagnosticException(f"unknown target '{target}'; known: {', '.join(BACKENDS)}")
    return BACKENDS[target]()


def read(path: str) -> ModuleOp:
    """Read a `.nir` file or printed IR (`.mlir`).

    Raises DiagnosticException with all faults of the file, those of the shapes included.
    """
    module, faults = examine(path)
    if faults:
        raise DiagnosticException("\n".join(faults))
    return module


def examine(path: str) -> tuple[ModuleOp, list[str]]:
    """Read a file; returns the module, sound only where there are no faults, and the faults."""
    if path.endswith(".mlir"):
        return _read_ir(path), []
    from nirc.frontend.read_nir import read_nir
    from nirc.passes.nir_infer_shapes import infer_shapes

    reading = read_nir(path)
    inferred = reading.module.clone()
    faults = reading.faults + infer_shapes(inferred)
    graph = nir.graph_of(inferred)
    if not faults and graph is not None:
        for name, value in zip(graph.outputs, graph.yielded.values, strict=True):
            stated, arriving = reading.output_shapes.get(name.data), cast(nir.SignalType, value.type).shape
            if stated is not None and arriving is not None and stated != arriving:
                statement = (
                    f"{quote(name.data)} is {shape_text(stated)} in the file, but {shape_text(arriving)} arrives"
                )
                nir.assume(reading.module, "note", "output shape", statement)
    return reading.module, faults


def _read_ir(path: str) -> ModuleOp:
    from xdsl.parser import Parser
    from xdsl.utils.exceptions import ParseError

    try:
        with open(path, encoding="utf-8") as file:
            module = Parser(context(), file.read(), path).parse_module()
        module.verify()
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticException(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ParseError as error:
        raise DiagnosticException(f"not printed IR of nirc: {error}") from error
    return module


def run_passes(ctx: Context, module: ModuleOp, passes: tuple[ModulePass, ...], watch: Instrumentation) -> None:
    """Run passes in order; IR that a pass leaves invalid is nirc's own fault."""
    for step in passes:
        watch.start(step, module)
        step.apply(ctx, module)
        if watch.verify:
            try:
                module.verify()
            except VerifyException as error:
                raise RuntimeError(f"the IR does not verify after {step}") from error
        watch.end(step, module)


def reference_stages(options: Options) -> Stages:
    """Down to `snn`, the level at which nirc runs a network where no target is named."""
    from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
    from nirc.passes.nir_infer_shapes import NirInferShapesPass

    convert = ConvertNirToSnnPass(options.dt, options.scheme, options.reset, precision=options.precision)
    return {"nir": (NirInferShapesPass(),), "snn": (convert,)}


def level_of(module: ModuleOp) -> str:
    """The lowest level that the module holds."""
    levels = [op.name.partition(".")[0] for op in module.ops]
    found = [level for level in levels if level in DIALECTS]
    if not found:
        raise DiagnosticException(f"the module holds no network of {', '.join(DIALECTS)}")
    return max(found, key=list(DIALECTS).index)


@dataclass
class Program:
    """A model at some level: run it, print it, write it.

    module   the IR; its assumptions travel with it
    target   the target it was compiled for, None for a model or for `snn`
    """

    module: ModuleOp
    target: str | None = None
    options: Options = field(default_factory=Options)
    source: str | None = None
    watch: Instrumentation = field(default_factory=Instrumentation)
    _evaluators: dict[tuple[int, tuple[str, ...]], Evaluator] = field(
        default_factory=dict[tuple[int, tuple[str, ...]], Evaluator]
    )

    _last: tuple[int, tuple[str, ...]] | None = None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was assumed on the way, as it is printed."""
        return tuple(map(str, nir.assumptions(self.module)))

    def lower(self, until: str | None = None, passes: tuple[ModulePass, ...] | None = None) -> None:
        """Run the pipeline from the module's level down to `until`, or to the target's last level; or just `passes`."""
        if passes is not None or level_of(self.module) != "nir":
            told = {name: getattr(self.options, name) for name in ("dt", "scheme", "reset", "precision")}
            useless = [name for name, value in told.items() if value != getattr(Options(), name)]
            if useless:
                where = (
                    "--pass-pipeline names its own options"
                    if passes
                    else (f"the model is at level {level_of(self.module)}")
                )
                raise DiagnosticException(
                    f"{', '.join(useless)} can only be chosen on the way from nir to snn; {where}"
                )
        if passes is None:
            stages = backend(self.target).stages(self.options) if self.target else reference_stages(self.options)
            levels = list(stages)
            last = until or levels[-1]
            if last not in levels:
                raise DiagnosticException(
                    f"the way to {self.target or 'snn'} has no level '{last}'; it has {', '.join(levels)}"
                )
            here = level_of(self.module)
            if here not in levels or levels.index(here) > levels.index(last):
                raise DiagnosticException(f"the model is at level {here}, which does not lead to {last}")
            todo = levels[levels.index(here) + (here != "nir") : levels.index(last) + 1]
            passes = tuple(step for level in todo for step in stages[level])
        run_passes(context(), self.module, passes, self.watch)

    def strict(self) -> None:
        """Raise DiagnosticException for every choice that the user did not make."""
        choices = [item for item in nir.assumptions(self.module) if item.kind.data == "choice"]
        if choices:
            raise DiagnosticException("\n".join(f"under --strict this must be said: {item}" for item in choices))

    def text(self, limit: int | None = None) -> str:
        """The IR; in full where limit is None."""
        return ir_text(self.module, limit)

    def emit(self) -> str:
        """The target's own format."""
        started = time.perf_counter()
        output = io.StringIO()
        backend(self.target or "").target(self.options).emit(context(), self.module, output)
        self.watch.took("emit", time.perf_counter() - started)
        return output.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the target's own format, whole or not at all."""
        rasters.write_whole(os.fspath(path), self.emit().encode())

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The inputs and their shapes at one step."""
        if level_of(self.module) == "snn":
            network = _snn_network(self.module)
            shapes = (snn.tensor_of(arg).get_shape() for arg in network.input_args)
            return {name.data: shape for name, shape in zip(network.inputs, shapes, strict=True)}
        return backend(self.target or level_of(self.module)).inputs(self.module)

    def run(
        self,
        x: Mapping[str, Array] | Array,
        record: tuple[str, ...] = (),
        *,
        batch_first: bool = False,
        keep_state: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Any:
        """Run rasters [T, N...] or [T, B, N...] through the evaluator of the module's level.

        Returns the output's raster where one array went in, one Output comes out and nothing is recorded; else rasters
        by name. keep_state: go on from where the last run of the same batch size and record ended.
        """
        if level_of(self.module) == "nir":
            raise DiagnosticException("a model has to be compiled before it runs: nirc.compile(model)")
        given = rasters.arrange(x, self.inputs, batch_first=batch_first)
        key = (given.batch, tuple(record))
        if keep_state and self._last not in (None, key):
            raise DiagnosticException("keep_state goes on from the last run, which had another batch size or record")
        self._last = key
        if key not in self._evaluators:
            self._evaluators[key] = self._evaluator(*key)
        elif not keep_state:
            self._evaluators[key].reset()
        results = rasters.outgoing(self._evaluators[key].run(given.arrays, progress), given, batch_first=batch_first)
        if not isinstance(x, Mapping) and len(results) == 1:
            return next(iter(results.values()))
        return results

    def evaluators(self) -> tuple[Evaluator, ...]:
        """The evaluators that ran, to ask them what they noticed."""
        return tuple(self._evaluators.values())

    def _evaluator(self, batch: int, record: tuple[str, ...]) -> Evaluator:
        level = level_of(self.module)
        if level == "snn":
            from nirc.interpreters.snn import SnnEvaluator

            return SnnEvaluator(_snn_network(self.module), batch, record)
        return backend(self.target or level).evaluator(self.module, batch, record)


def _snn_network(module: ModuleOp) -> snn.NetworkOp:
    return next(op for op in module.ops if isinstance(op, snn.NetworkOp))


def load(model: str | os.PathLike[str], *, watch: Instrumentation | None = None) -> Program:
    """Read a model: a `.nir` file, or IR that nirc printed.

    Raises DiagnosticException with every fault of the file.
    """
    path, watch = os.fspath(model), watch or Instrumentation()
    started = time.perf_counter()
    module = read(path)
    watch.took("read", time.perf_counter() - started)
    return Program(module, source=path, watch=watch)


def load_config(path: str, target: str | None, chip: str | None = None) -> Program:
    """Read a chip's configuration, nirc's own or the vendor's; without a target, each importer is tried."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticException(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    name = target or next(iter(BACKENDS))
    module = backend(name).read(text, chip)
    module.verify()
    return Program(module, name, source=path)


def compile(
    model: Program | str | os.PathLike[str],
    target: str | None = None,
    *,
    until: str | None = None,
    passes: tuple[ModulePass, ...] | None = None,
    strict: bool = False,
    watch: Instrumentation | None = None,
    **options: Any,
) -> Program:
    """Compile a model, or a path to one, for a target; without a target down to `snn`, which `run` evaluates.

    options: dt, scheme, reset, precision, chip, quantize, template (see `nirc.backends.Options`).
    Raises DiagnosticException with everything in which the model cannot be compiled.
    """
    unknown = options.keys() - {item.name for item in fields(Options)}
    if unknown:
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    source = model if isinstance(model, Program) else load(model, watch=watch)
    program = Program(source.module.clone(), target, Options(**options), source.source, watch or source.watch)
    try:
        program.lower(until, passes)
    except VerifyException as error:
        raise RuntimeError("the IR does not verify") from error
    if strict:
        program.strict()
    return program


def graph_summary(module: ModuleOp) -> dict[str, Any]:
    """What a graph holds: nodes with types and shapes, neurons, synapses."""
    nodes = list[dict[str, Any]]()
    neurons = synapses = 0
    for graph in module.ops:
        if isinstance(graph, nir.GraphOp):
            for node in graph.nodes():
                shape = node.output.type.shape
                nodes.append(
                    {"name": node.node.data, "type": node.NIR_TYPE, "shape": None if shape is None else list(shape)}
                )
                if isinstance(node, nir.NeuronOp) and shape is not None:
                    neurons += int(np.prod(shape))
                if isinstance(node, nir.WeightOp):
                    synapses += int(np.prod(node.weight.get_shape()))
    return {"nodes": nodes, "neurons": neurons, "weights": synapses}
