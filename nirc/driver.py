"""From a model to a program: reads, runs the pipeline of a target, and runs or writes what came out."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

from xdsl.context import Context
from xdsl.dialects import get_all_dialects
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, PassFailedException, VerifyException

from nirc.backends import BACKENDS, Backend, Chip, Evaluator, Options, Runner, Stages, Threaded, Timed
from nirc.backends.c.interface import identifier
from nirc.dialects import DIALECTS, cpu, nir, snn
from nirc.dialects.dense import Array
from nirc.frontend import rasters
from nirc.frontend.nir_data import Events
from nirc.frontend.objects import NIRNode, tree_of
from nirc.printing import Instrumentation, IRParser, ir_text

Model: TypeAlias = str | os.PathLike[str] | NIRNode
"""A path to a model, or the model as an object of the `nir` package."""


def context() -> Context:
    """A context that knows nirc's dialects."""
    ctx = Context()
    ctx.load_dialect(Builtin)
    upstream = get_all_dialects()
    for name in ("arith", "cf", "func", "llvm", "math", "memref", "scf"):
        ctx.register_dialect(name, upstream[name])
    for name, load_dialect in DIALECTS.items():
        ctx.register_dialect(name, load_dialect)
    return ctx


def backend(target: str) -> Backend:
    """The backend of a target; raises DiagnosticException where there is none."""
    if target not in BACKENDS:
        raise DiagnosticException(f"unknown target '{target}'; known: {', '.join(BACKENDS)}")
    return BACKENDS[target]()


def examine(model: Model, fixes: frozenset[str] = frozenset()) -> tuple[ModuleOp, list[str]]:
    """Read a `.nir` file, printed IR (`.mlir`) or a `nir.NIRGraph`; returns the module, sound only where there are no
    faults, and the faults: those of the file, of the shapes, and of loops that remember nothing."""
    if isinstance(model, str | os.PathLike) and os.fspath(model).endswith(".mlir"):
        if fixes:
            raise DiagnosticException("--fix mends .nir files as they are read; printed IR has nothing left to mend")
        return _read_ir(os.fspath(model)), []
    from nirc.frontend.read_nir import FIXES, read_graphs, read_nir
    from nirc.passes.nir_infer_shapes import find_shapes
    from nirc.passes.nir_mend import FIXES as HIDDEN
    from nirc.passes.nir_mend import NirMendPass

    if isinstance(model, str | os.PathLike):
        reading = read_nir(os.fspath(model), fixes)
    else:
        reading = read_graphs(tree_of(model), fixes)
    faults = reading.faults + find_shapes(reading.module).faults
    if not faults and fixes - FIXES.keys():
        try:
            NirMendPass(tuple(name for name in HIDDEN if name in fixes)).apply(context(), reading.module)
        except PassFailedException as error:
            faults = str(error).splitlines()
    return reading.module, faults or _loops(reading.module)


def _loops(module: ModuleOp) -> list[str]:
    """The loops without state of a sound module."""
    from nirc.passes.convert_nir_to_snn.cycles import stateless_loops
    from nirc.passes.nir_inline_graphs import NirInlineGraphsPass

    graph = nir.graph_of(module)
    if graph is not None and next(graph.instances(), None) is not None:
        module = module.clone()
        try:
            NirInlineGraphsPass().apply(context(), module)
        except PassFailedException as error:
            return [str(error)]
        graph = nir.graph_of(module)
    if graph is None:
        return []
    nodes = {node.node.data: node for node in graph.nodes()}
    return stateless_loops(nodes, frozenset(name for name, node in nodes.items() if node.has_state()))


def _read_ir(path: str) -> ModuleOp:
    from xdsl.utils.exceptions import ParseError

    try:
        with open(path, encoding="utf-8") as file:
            module = IRParser(context(), file.read(), path).parse_module()
        module.verify()
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticException(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ParseError as error:
        raise DiagnosticException(f"not printed IR of nirc: {error}") from error
    return module


def run_passes(ctx: Context, module: ModuleOp, passes: tuple[ModulePass, ...], watch: Instrumentation) -> None:
    """Run the passes of a level in order, then verify; IR that a pass leaves invalid is nirc's own fault."""
    for step in passes:
        watch.start(step, module)
        step.apply(ctx, module)
        if watch.verify_each or step is passes[-1]:
            try:
                module.verify()
            except VerifyException as error:
                raise RuntimeError(f"the IR does not verify after {step}") from error
        watch.end(step, module)


def runner(target: str) -> Runner:
    """How a target runs."""
    found = backend(target).runner
    if found is None:
        raise DiagnosticException(f"the target {target} cannot be run; without a target nirc runs the network itself")
    return found


def chip(target: str) -> Chip:
    """What nirc knows of a chip."""
    found = backend(target).chip
    if found is None:
        raise DiagnosticException(f"the target {target} is no chip and has no configurations")
    return found


def reference_stages(options: Options) -> Stages:
    """Down to `snn`, the level at which nirc runs a network where no target is named."""
    from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
    from nirc.passes.nir_infer_shapes import NirInferShapesPass
    from nirc.passes.nir_inline_graphs import NirInlineGraphsPass

    convert = ConvertNirToSnnPass(options.dt, options.scheme, options.reset, precision=options.precision)
    return {"nir": (NirInferShapesPass(), NirInlineGraphsPass()), "snn": (convert,)}


def stages_to(target: str | None) -> Callable[[Options], Stages]:
    """The pipeline of a target, or down to `snn`."""
    return backend(target).stages if target else reference_stages


def form_of(target: str | None, path: str) -> str | None:
    """The format of a target that a file's ending names; None for the target's own."""
    ending = Path(path).suffix[1:]
    return ending if target is not None and ending in backend(target).formats else None


def _levels(target: str) -> str:
    return ", ".join(stages_to(target)(Options())) + _formats(target)


def _formats(target: str) -> str:
    formats = backend(target).formats
    return f", and writes {', '.join(formats)}" if formats else ""


def looked_at(options: Options, target: str | None, levels: Iterable[str]) -> set[str]:
    """The options that the passes to these levels or the target's format look at: another value changes them."""
    stages = stages_to(target)
    used = set(backend(target).emits_by if target else ())
    if target is not None and options.form in backend(target).formats:
        used.add("form")
    for option in fields(Options):
        other = stages(replace(options, **{option.name: "another"}))
        if any(other[level] != stages(options)[level] for level in levels):
            used.add(option.name)
    return used


def refuse_unused(options: Options, target: str | None, levels: Iterable[str], where: str) -> None:
    """Raise DiagnosticException where an option was chosen that nothing on the way would look at."""
    used = looked_at(options, target, levels)
    given = [item.name for item in fields(Options) if getattr(options, item.name) != item.default]
    if unused := [name for name in given if name not in used]:
        known = [item.name for item in fields(Options) if item.name in used]
        raise DiagnosticException(
            f"{', '.join(unused)} cannot be chosen {where}; what can: {', '.join(known) or 'nothing'}"
        )


def level_of(module: ModuleOp) -> str:
    """The lowest level that the module holds."""
    dialects = [op.name.partition(".")[0] for op in module.ops]
    found = [dialect for dialect in dialects if dialect in DIALECTS]
    if not found:
        raise DiagnosticException(f"the module holds no network of {', '.join(DIALECTS)}")
    lowest = max(found, key=list(DIALECTS).index)
    # The dialect `cpu` says what a function expects, at two levels.
    return _kernel(module).level if lowest == "cpu" else lowest


def _kernel(module: ModuleOp) -> cpu.KernelOp:
    return next(op for op in module.ops if isinstance(op, cpu.KernelOp))


_Key: TypeAlias = tuple[int, tuple[str, ...], str | None]
"""What one evaluator was made for: batch, record, model."""


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
    _evaluators: dict[_Key, Evaluator] = field(default_factory=dict["_Key", Evaluator])
    _last: _Key | None = None
    _closed: bool = False

    def close(self) -> None:
        """Give back what runs have taken: states, compiled code. A closed program does not run again."""
        self._closed = True
        self._evaluators.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was assumed on the way, as it is printed."""
        return tuple(map(str, nir.assumptions(self.module)))

    def lower(self, until: str | None = None, passes: tuple[ModulePass, ...] | None = None) -> None:
        """Run the pipeline from the module's level down to `until`, or to the target's last level; or just `passes`."""
        stages = stages_to(self.target)(self.options)
        levels = list(stages)
        if passes is None:
            here, last = level_of(self.module), until or levels[-1]
            if last not in levels:
                raise DiagnosticException(
                    f"the way to {self.target or 'snn'} has no level '{last}'; it has {', '.join(levels)}"
                    + (_formats(self.target) if self.target else "")
                    + ("" if self.target else "".join(f"; --target {name}: {_levels(name)}" for name in BACKENDS))
                )
            if here not in levels or levels.index(here) > levels.index(last):
                raise DiagnosticException(f"the model is at level {here}, which does not lead to {last}")
            ahead = levels[levels.index(here) + (here != "nir") :]
            refuse_unused(self.options, self.target, ahead, f"on the way from {here} to {levels[-1]}")
            groups = [stages[level] for level in ahead if levels.index(level) <= levels.index(last)]
        else:
            refuse_unused(self.options, self.target, [], "beside --pass-pipeline, whose passes have their own")
            groups = [passes]
        for group in groups:
            run_passes(context(), self.module, group, self.watch)

    def settle(self, *, strict: bool = False) -> Self:
        """At level `nir`: choose what NIR leaves open, by the program's options, so that the equations can be run."""
        if level_of(self.module) != "nir" or self.target is not None:
            raise DiagnosticException("only a model that is not compiled further, nor for a target, runs as equations")
        from nirc.passes.nir_settle import NirSettlePass

        chosen = NirSettlePass(self.options.dt, self.options.scheme, self.options.reset, self.options.precision)
        run_passes(context(), self.module, (chosen,), self.watch)
        if strict:
            self.strict()
        return self

    def strict(self) -> None:
        """Raise DiagnosticException for every choice that the user did not make."""
        if choices := unsaid(self.module):
            raise DiagnosticException("\n".join(choices))

    def text(self, limit: int | None = None) -> str:
        """The IR; in full where limit is None."""
        return ir_text(self.module, limit)

    def emit(self, form: str | None = None) -> bytes:
        """The target's own format, or another that it writes (cpu: obj, asm, shared, llvmir)."""
        return self.files(form)[""]

    def files(self, form: str | None = None) -> dict[str, bytes]:
        """What `emit` gives, under the empty text, and the files that belong beside it, by their ending."""
        target = backend(self.target or "")
        form = form or self.options.form
        if form is not None and form not in target.formats:
            known = ", ".join(target.formats) or "its own format alone"
            raise DiagnosticException(f"the target {target.name} does not write '{form}'; it writes {known}")
        module, here, levels = self.module, level_of(self.module), list(target.stages(self.options))
        first = target.runner.level if target.runner is not None else levels[-1]
        if here not in levels or levels.index(here) < levels.index(first):
            raise DiagnosticException(
                f"the module is at level {here}, the target {target.name} is written from {levels[-1]}"
            )
        if here != levels[-1]:
            module = module.clone()
            for level in levels[levels.index(here) + 1 :]:
                run_passes(context(), module, target.stages(self.options)[level], self.watch)
        options = replace(self.options, name=self._name(module) if self.options.name is None else self.options.name)
        started = time.perf_counter()
        content = (target.emit if form is None else target.formats[form])(module, options)
        beside = {} if target.beside is None else target.beside(module, options)
        self.watch.took("emit", time.perf_counter() - started)
        return {"": content, **beside}

    def _name(self, module: ModuleOp) -> str:
        """What C calls the network where the user does not say: as its file, where its graph is `main`, as all are."""
        kernels = [op.function.string_value() for op in module.ops if isinstance(op, cpu.KernelOp)]
        named = next((name for name in kernels if name != "main"), None)
        return identifier(named or Path(self.source or "network").stem)

    def save(self, path: str | os.PathLike[str], form: str | None = None) -> None:
        """Write the target's own format, or another, by its name or the file's ending, and what belongs beside it; each
        file whole or not at all."""
        rasters.write_files(os.fspath(path), self.files(form or form_of(self.target, os.fspath(path))))

    @property
    def dt(self) -> float | None:
        """The step in seconds; None where time is not cut yet, or nothing depends on it."""
        return nir.time_step(self.module)

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The inputs and their shapes at one step."""
        if level_of(self.module) == "snn":
            network = _snn_network(self.module)
            shapes = (snn.tensor_of(arg).get_shape() for arg in network.input_args)
            return {name.data: shape for name, shape in zip(network.inputs, shapes, strict=True)}
        if level_of(self.module) == "nir" and (graph := nir.graph_of(self.module)) is not None:
            held = (nir.shape_of(argument) or () for argument in graph.body.block.args)
            return {name.data: shape for name, shape in zip(graph.inputs, held, strict=True)}
        if level_of(self.module) not in DIALECTS:
            raise DiagnosticException(
                f"the module is at level {level_of(self.module)}, which is written, not run; what runs is the level "
                f"{runner('cpu').level}"
            )
        return runner(self.target or level_of(self.module)).inputs(self.module)

    def run(
        self,
        x: Mapping[str, Array] | Array,
        record: tuple[str, ...] = (),
        *,
        batch_first: bool = False,
        keep_state: bool = False,
        threads: int | None = None,
        model: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Any:
        """Run rasters [T, N...] or [T, B, N...] through the evaluator of the module's level.

        Returns the output's raster where one array went in, one Output comes out and nothing is recorded; else rasters
        by name. keep_state: go on from where the last run of the same batch size and record ended. threads: among which
        the cpu target divides a batch, by default as many as there are cores. model: which of a chip's models of its
        dynamics predicts, by default the first. progress: is told the number of steps that are done.
        """
        if self._closed:
            raise DiagnosticException("this program is closed; compile the model again")
        if level_of(self.module) == "nir" and nir.settled_scheme(self.module) is None:
            raise DiagnosticException(
                "a model has to be compiled before it runs: nirc.compile(model); the equations themselves run after "
                "nirc.compile(model, until='nir').settle()"
            )
        given = rasters.arrange(x, self.inputs, batch_first=batch_first)
        key = (given.batch, tuple(record), model)
        if keep_state and self._last not in (None, key):
            raise DiagnosticException(
                "keep_state goes on from the last run, which had another batch size, record or model"
            )
        self._last = key
        if key not in self._evaluators:
            self._evaluators[key] = self._evaluator(*key)
        elif not keep_state:
            self._evaluators[key].reset()
        evaluator = self._evaluators[key]
        if threads is not None:
            if not isinstance(evaluator, Threaded) or threads < 1:
                raise DiagnosticException("threads, at least one, divide the batch of the cpu target alone")
            evaluator.threads = threads
        results = rasters.outgoing(evaluator.run(given.arrays, progress), given, batch_first=batch_first)
        if not isinstance(x, Mapping) and len(results) == 1:
            return next(iter(results.values()))
        return results

    def evaluators(self) -> tuple[Evaluator, ...]:
        """The evaluators that ran, to ask them what they noticed."""
        return tuple(self._evaluators.values())

    @property
    def events(self) -> dict[str, Events]:
        """The instants of the spikes of the last run, by Output and recorded `node.spikes`: of level `nir` alone, as
        the other levels know steps only."""
        last = None if self._last is None else self._evaluators.get(self._last)
        return last.events if isinstance(last, Timed) else {}

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the dynamics that `run` can choose from, the default first; none where there is one way."""
        level = level_of(self.module)
        if level == "nir":
            return ()
        name = self.target if self.target is not None else level
        return tuple(runner(name).models) if name in BACKENDS and runner(name).level == level else ()

    def _evaluator(self, batch: int, record: tuple[str, ...], model: str | None) -> Evaluator:
        level = level_of(self.module)
        if model is not None and model not in self.models:
            known = f"there are {', '.join(self.models)}" if self.models else "there is one way to run it"
            raise DiagnosticException(f"no model '{model}' of {self.target or level}; {known}")
        if model is not None:
            return runner(self.target or level).models[model](self.module, batch, record)
        if self.target is not None and runner(self.target).level == level:
            return runner(self.target).evaluator(self.module, batch, record)
        if level == "nir":
            from nirc.interpreters.nir import NirSolver

            return NirSolver(self.module, batch, record)
        if level == "snn":
            from nirc.interpreters.snn import SnnEvaluator

            return SnnEvaluator(_snn_network(self.module), batch, record)
        return runner(level).evaluator(self.module, batch, record)


_SAID_BY = {
    "dt": "give --dt SECONDS",
    "scheme": "give --scheme NAME",
    "reset": "give --reset KIND",
    "gain of IF": "give --scheme NAME,if_gain=r|r*dt|unit",
    "initial state": "give --scheme NAME,v_init=v_leak|0|v_reset",
    "input": "give --scheme NAME,input=held|impulse",
    "cycle": "give --scheme NAME,rec_cut=neuron|weight",
    "Input": "--target nir writes a file with it",
    "Output": "--target nir writes a file with it",
    "node dropped": "--target nir writes a file without it",
    "lower bound": "give --lower-bound threshold|lowest",
    "recognized": "--pass-pipeline with --target nir writes a file with it",
}
"""What settles a choice, by the assumption's topic."""


def unsaid(module: ModuleOp) -> list[str]:
    """What --strict has against the module: every choice that the user did not make, and what would settle it."""
    return [
        f"under --strict this must be said: {item}" + (f"; {said}" if (said := _SAID_BY.get(item.topic.data)) else "")
        for item in nir.assumptions(module)
        if item.kind.data == "choice"
    ]


def _snn_network(module: ModuleOp) -> snn.NetworkOp:
    return next(op for op in module.ops if isinstance(op, snn.NetworkOp))


def chosen_fixes(names: Iterable[str]) -> frozenset[str]:
    """The fixes by name, `all` for those whose defect a file shows; raises DiagnosticException for names that are none.

    An underscore is a hyphen.
    """
    from nirc.frontend.read_nir import FIXES
    from nirc.passes.nir_mend import FIXES as HIDDEN

    named = {name.replace("_", "-") for name in names}
    chosen = frozenset(named - {"all"} | (FIXES.keys() if "all" in named else set[str]()))
    known = [*FIXES, *HIDDEN]
    if unknown := sorted(chosen - {*known}):
        raise DiagnosticException(f"unknown fix {', '.join(unknown)}; known: {', '.join(known)}, all")
    return chosen


def load(model: Model, *, fixes: Iterable[str] = (), watch: Instrumentation | None = None) -> Program:
    """Read a model: a `.nir` file, IR that nirc printed, or a `nir.NIRGraph` (any node of the `nir` package).

    fixes: known defects to mend: names of `nirc.frontend.read_nir.FIXES` or `nirc.passes.nir_mend.FIXES`, or `all`.
    Raises DiagnosticException with every fault of the model.
    """
    wanted = chosen_fixes(fixes)
    watch = watch or Instrumentation()
    started = time.perf_counter()
    with _long_lived():
        module, faults = examine(model, wanted)
    if faults:
        raise DiagnosticException("\n".join(faults))
    watch.took("read", time.perf_counter() - started)
    return Program(module, source=os.fspath(model) if isinstance(model, str | os.PathLike) else None, watch=watch)


@contextlib.contextmanager
def _long_lived() -> Generator[None]:
    """Nothing that is made here becomes garbage soon: the search for it, which walks all IR again and again, waits."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _object(text: str) -> dict[str, Any]:
    """The JSON object in a text; anything else is one without keys, which the importer will say."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], content) if isinstance(content, dict) else {}


def _importers() -> dict[str, str]:
    """The chips by the endings of those of their files that are no JSON."""
    chips = ((name, backend(name).chip) for name in BACKENDS)
    return {ending: name for name, of in chips if of is not None for ending in of.files}


def is_config(path: str) -> bool:
    """Whether a file is a chip's configuration by its ending."""
    return path.endswith(".json") or Path(path).suffix[1:] in _importers()


def load_config(path: str, target: str | None, generation: str | None = None) -> Program:
    """Read a chip's configuration, nirc's own or the vendor's; without a target, the chip is told by the file."""
    ending = Path(path).suffix[1:]
    if (owner := _importers().get(ending)) is not None:
        if target not in (None, owner) or generation is not None:
            raise DiagnosticException(f"a .{ending} file is of the target {owner}, which has no generations")
        module = chip(owner).files[ending](path)
        module.verify()
        return Program(module, owner, source=path)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticException(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    chips = [name for name in BACKENDS if backend(name).chip is not None]
    name = target or next((name for name in chips if chip(name).owns(_object(text))), chips[0])
    module = chip(name).read(text, generation)
    module.verify()
    return Program(module, name, source=path)


def _options(given: dict[str, Any]) -> Options:
    known = {item.name: item.default for item in fields(Options)}
    if unknown := given.keys() - known:
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    for name, value in given.items():
        if name == "dt":
            fits, expected = not isinstance(value, bool) and isinstance(value, str | Real), "seconds or 'auto'"
        elif name in ("calibrate", "template"):
            fits, expected = value is None or isinstance(value, str | os.PathLike), "a path"
        else:
            fits, expected = isinstance(value, str) or value is known[name], "text"
        if not fits:
            raise TypeError(f"option {name}: {value!r:.80}, must be {expected}")
    for name in ("calibrate", "template"):
        if given.get(name) is not None:
            given = {**given, name: os.fspath(given[name])}
    return Options(**given)


def step_of(program: Program, *, keep: bool = True, strict: bool = False, **options: Any) -> Program:
    """The `snn` of a program that `lower("nir")` has prepared; `keep`: the program itself stays as it is."""
    chosen = _options(options)
    found = Program(program.module.clone() if keep else program.module, None, chosen, program.source)
    with _long_lived():
        run_passes(context(), found.module, reference_stages(chosen)["snn"], found.watch)
    if strict:
        found.strict()
    return found


def compile(
    model: Program | Model,
    target: str | None = None,
    *,
    until: str | None = None,
    passes: tuple[ModulePass, ...] | None = None,
    fixes: Iterable[str] = (),
    strict: bool = False,
    watch: Instrumentation | None = None,
    **options: Any,
) -> Program:
    """Compile a model, a path to one or a `nir.NIRGraph`, for a target; without one down to `snn`, which runs too.

    options: dt, scheme, reset, precision, chip, mapping, quantize, calibrate, template, placement, lower_bound,
    weight_splits, weight_rounding, inputs, triple, cpu, name, form (see `nirc.backends.Options`).
    Raises DiagnosticException with everything in which the model cannot be compiled.
    """
    chosen = _options(options)
    if isinstance(model, Program):
        source, module = model, model.module.clone()
    else:
        source = load(model, fixes=fixes, watch=watch)
        module = source.module
    if until is None and passes is None and target is not None and (run := backend(target).runner) is not None:
        levels, here = list(backend(target).stages(chosen)), level_of(module)
        below = here in levels and levels.index(here) > levels.index(run.level)
        until = here if below else run.level
    program = Program(module, target, chosen, source.source, watch or source.watch)
    try:
        with _long_lived():
            program.lower(until, passes)
    except VerifyException as error:
        raise RuntimeError("the IR does not verify") from error
    if strict:
        program.strict()
    return program
