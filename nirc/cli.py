"""The command line: `nirc` (compile), run, check and compare; the commands import what is heavy themselves."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nirc import __version__

if TYPE_CHECKING:
    from collections.abc import Generator

    from xdsl.dialects.builtin import ModuleOp
    from xdsl.passes import ModulePass

    from nirc.driver import Program
    from nirc.printing import Instrumentation

F = TypeVar("F", bound=Callable[..., Any])

_TARGETS = ("nir", "cpu", "c", "xylo", "speck", "loihi2", "spinnaker2")
"""The targets' names, here so that --help loads no backend; a test keeps them equal to the registry's."""

_RUN = ("cpu", "xylo", "speck", "loihi2", "spinnaker2")
"""Those that can be run."""

_FIT = ("xylo", "speck", "loihi2", "spinnaker2")
"""Those that a model can be checked against: the chips."""

_CHIPS = ("v1", "audio2", "audio3", "imu", "speck2f", "speck2e", "speck2b")

_MODELS = ("stepped", "events")


class _DefaultGroup(click.Group):
    """`nirc MODEL ...` is `nirc compile MODEL ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h", "--version"):
            args = ["compile", *args]
        return super().parse_args(ctx, args)


def _options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


_model_options = _options(
    click.option(
        "--dt",
        default="auto",
        metavar="SECONDS|auto|best",
        help="The time step; auto finds it in the file or says why not, best takes one that suits the chip's decays.",
    ),
    click.option("--scheme", metavar="NAME[,OPTION=VALUE...]", help="How time is cut into steps (default nir-euler)."),
    click.option("--reset", type=click.Choice(["auto", "zero", "v_reset", "subtract"]), help="What a spike does to v."),
    click.option(
        "--precision",
        default="f32",
        metavar="f32|f64|sM.N",
        help="Of states, weights and coefficients; sM.N (target c): sign, M and N bits around a fixed binary point.",
    ),
    click.option(
        "--fix",
        "fixes",
        multiple=True,
        metavar="NAME|all",
        help="Mend this known defect of files, or all that show; may be repeated.",
    ),
    click.option("--strict", is_flag=True, help="Every assumption that changes the behaviour is an error."),
)
_chip_options = _options(
    click.option("--chip", type=click.Choice(_CHIPS), help="The generation of the target's chip."),
    click.option(
        "--mapping", type=click.Choice(["faithful", "vendor"]), help="vendor: the numbers of the vendor's own route."
    ),
    click.option("--quantize", type=click.Choice(["layer", "neuron"]), help="Scales per layer or per target neuron."),
    click.option("--calibrate", metavar="RASTER", help="Input of your task, by which scales are chosen."),
    click.option("--placement", metavar="NODE=CORE,...", help="Cores for some of the layers (speck)."),
    click.option("--weight-splits", metavar="N", help="Connections that share a path's weights, 1 to 4 (loihi2)."),
    click.option(
        "--weight-rounding", type=click.Choice(["nearest", "truncate"]), help="How weights are rounded (spinnaker2)."
    ),
    click.option(
        "--inputs",
        type=click.Choice(["graded", "events"]),
        help="What comes in: numbers (default), or event counts (targets cpu, c); events (default), or graded spikes "
        "of 8 bits (loihi2).",
    ),
    click.option("--lower-bound", type=click.Choice(["threshold", "lowest"]), help="What v cannot fall below (speck)."),
)
_OPTIONS = (
    *("dt", "scheme", "reset", "precision", "chip", "mapping", "quantize", "calibrate"),
    *("placement", "lower_bound", "weight_splits", "weight_rounding", "inputs"),
)
"""The flags above that a pipeline takes as options."""
_c_options = _options(
    click.option(
        "--triple", metavar="TRIPLE", help="The machine to compile for, as LLVM names it (default: this one)."
    ),
    click.option(
        "--cpu", metavar="NAME", help="Its CPU, as LLVM names it (default: this one, or the plainest of the triple)."
    ),
    click.option("--name", metavar="NAME", help="What C calls the network (default: by its file)."),
)
_C_OPTIONS = ("triple", "cpu", "name")
_print_options = _options(
    click.option("--print-ir-before-all", is_flag=True, help="Print the IR before every pass, to stderr."),
    click.option("--print-ir-after-all", is_flag=True, help="Print the IR after every pass, to stderr."),
    click.option("--print-ir-before", multiple=True, metavar="PASS", help="Print the IR before this pass."),
    click.option("--print-ir-after", multiple=True, metavar="PASS", help="Print the IR after this pass."),
    click.option("--print-ir-after-change", is_flag=True, help="Print the IR after passes that changed it."),
    click.option("--print-ir-tree-dir", metavar="DIR", help="Write the IR after every pass into files in DIR."),
    click.option(
        "--elide-weights-larger-than",
        type=click.IntRange(0),
        metavar="N",
        help="Print longer weights as a hash (default 16 for the flags above; printed modules are whole).",
    ),
    click.option("--verify-each", is_flag=True, help="Verify the IR after every pass, not only once a level."),
    click.option("--timing", is_flag=True, help="Print the time that each pass took."),
)


@contextlib.contextmanager
def _faults(where: str | None, also: Sequence[str] = ()) -> Generator[None]:
    """A user's fault becomes lines on stderr and exit status 1, with the faults that are known already."""
    from xdsl.utils.exceptions import DiagnosticException

    try:
        yield
        lines = list[str]()
    except DiagnosticException as error:
        prefix = f"{where}: " if where else ""
        lines = [prefix + line for line in str(error).splitlines()]
    if lines or also:
        for line in [*lines, *also]:
            click.echo(line, err=True)
        raise SystemExit(1)


def _instrumentation(flags: dict[str, Any]) -> Instrumentation:
    from nirc.printing import DEFAULT_LIMIT, Instrumentation

    limit = flags["elide_weights_larger_than"]
    return Instrumentation(
        before_all=flags["print_ir_before_all"],
        after_all=flags["print_ir_after_all"],
        before=flags["print_ir_before"],
        after=flags["print_ir_after"],
        after_change=flags["print_ir_after_change"],
        tree_dir=flags["print_ir_tree_dir"],
        limit=DEFAULT_LIMIT if limit is None else limit,
        verify_each=flags["verify_each"],
        timing=flags["timing"],
    )


def _unknown_passes(flags: dict[str, Any]) -> list[str]:
    from nirc.passes import PASSES

    named = [*flags["print_ir_before"], *flags["print_ir_after"]]
    return [f"unknown pass '{name}'; --list-passes shows them" for name in named if name not in PASSES]


def _pipeline(text: str | None) -> tuple[ModulePass, ...] | None:
    """The passes of --pass-pipeline, nirc's and xDSL's."""
    if text is None:
        return None
    from xdsl.passes import PassPipeline
    from xdsl.transforms import get_all_passes
    from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException

    from nirc.passes import PASSES

    try:
        return PassPipeline.parse_spec({**get_all_passes(), **PASSES}, text).passes
    except (ArgSpecParseError, ValueError) as error:
        raise DiagnosticException(f"--pass-pipeline: {str(error).strip()}") from None


def _say_assumptions(module: ModuleOp) -> None:
    from nirc.dialects.nir import assumptions

    found = assumptions(module)
    if found:
        click.echo("assumptions:", err=True)
        for item in found:
            given = " (as told)" if item.kind.data == "given" else ""
            click.echo(f"  {item}{given}", err=True)


def _write(content: bytes, *, binary: bool) -> None:
    """To standard output."""
    if binary:
        sys.stdout.buffer.write(content)
    else:
        sys.stdout.write(content.decode())


@click.group(cls=_DefaultGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="nirc")
def cli() -> None:
    """Compile spiking networks in NIR to neuromorphic chips.

    \b
    nirc MODEL --target xylo -o cfg.json     compile (the bare form is `nirc compile`)
    nirc run MODEL --input x.npz -o y.npz    execute, or as a chip with --target
    nirc check MODEL [--target xylo]         what is wrong with the file; does it fit
    nirc compare MODEL --as norse,xylo       where platforms will differ, by how much, and why
    """


@cli.command("compile")
@click.argument("model", required=False)
@click.option("-o", "--output", default="-", metavar="OUT", help="Where to write; - is stdout (default).")
@click.option("--target", type=click.Choice(_TARGETS), help="What to compile for.")
@click.option(
    "--emit",
    metavar="nir|snn|CHIP|loops|llvm|FORMAT",
    help="Print the IR of this level instead of the target's format; or write another format: of the target cpu obj "
    "(default), asm, shared, llvmir; of loihi2 json (default), net. So does an ending of OUT.",
)
@_model_options
@_chip_options
@_c_options
@click.option("--template", metavar="FILE", help="samna's own JSON, whose other fields are kept.")
@click.option(
    "--pass-pipeline",
    metavar="TEXT",
    help="Run these passes instead of the target's; print the IR, or with --target write its format.",
)
@_print_options
@click.option("--list-passes", is_flag=True, help="Print the passes and their options.")
@click.option("--list-targets", is_flag=True, help="Print the targets.")
def compile_command(model: str | None, output: str, target: str | None, emit: str | None, **flags: Any) -> None:
    """Compile MODEL (a .nir file, or IR that nirc printed)."""
    if flags["list_passes"] or flags["list_targets"]:
        _list(passes=flags["list_passes"], targets=flags["list_targets"])
        return
    if model is None:
        raise click.UsageError("give a MODEL, a .nir file")
    target = emit if target is None and emit in _TARGETS else target
    if target is None and emit is None and flags["pass_pipeline"] is None:
        raise click.UsageError("give --target, --emit or --pass-pipeline")
    binary = (target, emit) in (("nir", None), ("cpu", None), ("cpu", "obj"), ("cpu", "shared"), ("loihi2", "net"))
    if binary and output == "-" and sys.stdout.isatty():
        raise click.UsageError(f"what --target {target} writes is binary; give -o OUT")
    if emit is not None and flags["pass_pipeline"] is not None:
        raise click.UsageError("--emit and --pass-pipeline both say what is printed; give one")
    from nirc import driver
    from nirc.frontend import rasters

    watch = _instrumentation(flags)
    early = _unknown_passes(flags) + ([] if output == "-" else rasters.check_writable(output, model))
    form = emit if target is not None and emit in driver.backend(target).formats else None
    if emit is None and flags["pass_pipeline"] is None:
        form = driver.form_of(target, output)
    with _faults(model, early):
        ir = (emit is not None and form is None) or target is None
        program = driver.compile(
            model,
            target,
            fixes=flags["fixes"],
            until=None if form else emit,
            passes=_pipeline(flags["pass_pipeline"]),
            strict=flags["strict"],
            watch=watch,
            **_of(flags, *_OPTIONS, *_C_OPTIONS, "template"),
            form=form,
        )
        limit = flags["elide_weights_larger_than"]
        files = {"": program.text(limit).encode()} if ir else program.files(form)
    with _faults(None):
        if output == "-":
            _write(files[""], binary=binary)
        else:
            rasters.write_files(output, files)
    _say_assumptions(program.module)
    if watch.timing:
        click.echo(watch.report(), err=True, nl=False)


_LONG = 1000
"""Steps from which a run shows how far it is."""


@contextlib.contextmanager
def _progress(steps: int) -> Generator[Callable[[int], None] | None]:
    """What tells a terminal of the steps that are done; nothing where there is no terminal, or little to do."""
    if steps < _LONG or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=steps, label="steps", file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)


def _of(flags: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: flags[name] for name in names}


def _list(*, passes: bool, targets: bool) -> None:
    if passes:
        from xdsl.passes import get_pass_option_infos

        from nirc.passes import PASSES

        for name, load in PASSES.items():
            found = load()
            summary = (found.__doc__ or "").strip().splitlines()[0]
            click.echo(f"{name}\n    {summary}")
            for option in get_pass_option_infos(found):
                default = "" if option.default_value is None else f" (default {option.default_value})"
                click.echo(f"    {option.name.replace('_', '-')}: {option.expected_type}{default}")
    if targets:
        from nirc.backends import BACKENDS

        for name, load in BACKENDS.items():
            entry = load()
            chips = f"\n    chips: {', '.join(entry.chip.generations)}" if entry.chip and entry.chip.generations else ""
            click.echo(f"{name}\n    {entry.about}{chips}")


@cli.command("run")
@click.argument("model")
@click.option(
    "--input",
    "raster",
    required=True,
    metavar="RASTER",
    help=".npz with one array per Input, .npy (steps [x batch] x shape), or NIRData (.h5).",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help=".npz, .npy where one array comes out, or NIRData (.h5): as events where the input is.",
)
@click.option("--target", type=click.Choice(_RUN), help="Run as this chip would; cpu: compiled for this machine.")
@click.option(
    "--level",
    type=click.Choice(["nir", "snn", *_FIT]),
    help="Run the evaluator of this level of the target's pipeline; nir: solve the equations, without steps.",
)
@click.option(
    "--record", multiple=True, metavar="NODE:STATE[,STATE]", help="Also write states of a node: spikes, v, i."
)
@click.option("--batch-first", is_flag=True, help="Rasters are batch x steps x shape.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Divide the batch among N (target cpu).")
@click.option("--model", "dynamics", type=click.Choice(_MODELS), help="Which model of the chip predicts (speck).")
@_model_options
@_chip_options
def run_command(model: str, raster: str, output: str, target: str | None, level: str | None, **flags: Any) -> None:
    """Run MODEL, or a chip's configuration (.json, .net), on a raster."""
    from nirc import driver
    from nirc.frontend import rasters

    early = rasters.check_writable(output, model, raster)
    if not output.endswith(rasters.ENDINGS):
        early.append(f"{output}: rasters are written as {', '.join(rasters.ENDINGS)}")
    given = None
    with _faults(None, early):
        given = rasters.load(raster)
    record = tuple(
        f"{node}.{state}" if colon else state
        for text in flags["record"]
        for node, colon, states in [text.rpartition(":")]
        for state in states.split(",")
    )
    with _faults(model):
        program = _program_to_run(driver, model, target, level, flags)
        if flags["strict"] and flags["dynamics"] is None and program.models:
            raise _fault(f"under --strict this must be said: model; give --model {'|'.join(program.models)}")
    with _faults(raster):
        assert given is not None
        run = rasters.prepare(given, program.inputs, program.dt, batch_first=flags["batch_first"])
        steps = max((values.shape[run.batch_first] for values in run.arrays.values()), default=0)
        with _progress(steps) as progress:
            results = program.run(
                run.arrays,
                record,
                batch_first=run.batch_first,
                threads=flags["threads"],
                model=flags["dynamics"],
                progress=progress,
            )
    with _faults(None):
        rasters.save(output, results, run, record, program.events)
    for text in run.notes:
        click.echo(f"warning: {text}", err=True)
    _say_assumptions(program.module)
    _say_losses(program)


def _program_to_run(driver: Any, model: str, target: str | None, level: str | None, flags: dict[str, Any]) -> Program:
    if driver.is_config(model):
        unset = {"dt": "auto", "precision": "f32", "strict": False}
        useless = ["--fix"] if flags["fixes"] else list[str]()
        named = (name for name in (*_OPTIONS, "strict") if name != "chip")
        useless += [f"--{name.replace('_', '-')}" for name in named if flags[name] != unset.get(name)]
        if level not in (None, target, *_FIT):
            useless.append("--level")
        if useless:
            raise _fault(f"{', '.join(useless)} cannot change a configuration, which runs as it is")
        return driver.load_config(model, target, flags["chip"])
    if target == "cpu" and flags["inputs"] is not None:
        raise _fault("--inputs says what C hands in to a written kernel; nirc run takes any raster")
    options = _of(flags, *_OPTIONS)
    if level == "nir":
        if target is not None:
            raise _fault(
                f"--level nir solves the model's own equations, before anything for {target}; leave --target out"
            )
        program = driver.compile(model, until="nir", fixes=flags["fixes"], **options)
        return program.settle(strict=flags["strict"])
    return driver.compile(
        model,
        (None if (target, level) == ("cpu", "snn") else target) or (level if level in _FIT else None),
        until=level,
        fixes=flags["fixes"],
        strict=flags["strict"],
        **options,
    )


def _fault(text: str) -> Exception:
    from xdsl.utils.exceptions import DiagnosticException

    return DiagnosticException(text)


def _say_losses(program: Program) -> None:
    """Which model predicted, and what the chip would drop or saturate on this raster."""
    for evaluator in program.evaluators():
        if about := getattr(evaluator, "about", None):
            click.echo(f"model: {about}", err=True)
        for text in getattr(evaluator, "losses", list[str])():
            click.echo(f"warning: {text}", err=True)


@cli.command("check")
@click.argument("model")
@click.option(
    "--target",
    multiple=True,
    type=click.Choice(_FIT),
    help="Also check whether it fits this target; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@_model_options
@_chip_options
def check_command(model: str, target: tuple[str, ...], *, as_json: bool, **flags: Any) -> None:
    """Say what is wrong with MODEL, what nirc would assume, and whether it fits; exit status 1 if anything is wrong."""
    from nirc import checking

    with _faults(model):
        options = _of(flags, *_OPTIONS)
        findings = checking.check(model, target, fixes=flags["fixes"], strict=flags["strict"], **options)
    if as_json:
        click.echo(json.dumps(findings, indent=2))
    else:
        click.echo("\n".join(checking.as_text(findings)))
    if not findings["ok"]:
        raise SystemExit(1)


@cli.command("compare")
@click.argument("model")
@click.option(
    "--as",
    "platforms",
    required=True,
    metavar="NAME[,OPTION=VALUE...],...",
    help="Schemes and chips; a part with = belongs to the name before it. The first is the reference.",
)
@click.option("--reference", metavar="NAME", help="What the others are compared with, instead of the first.")
@click.option("--input", "raster", metavar="RASTER", help="As for run (default: random events, which are described).")
@click.option("--labels", metavar="FILE", help="Classes of the samples: .npy, or .npz with labels and codes.")
@click.option("--batch-first", is_flag=True, help="Rasters are batch x steps x shape.")
@click.option("-o", "--output", metavar="REPORT", help="Also write report.html or report.json.")
@_model_options
def compare_command(model: str, platforms: str, raster: str | None, output: str | None, **flags: Any) -> None:
    """Say where platforms will differ on MODEL, by how much, and why.

    A platform that refuses the model is shown with its reasons. Exit status 0 where something was compared.
    """
    from nirc import compare
    from nirc.compare import data, page, text
    from nirc.frontend import rasters

    given = [name for name in (model, raster, flags["labels"]) if name is not None]
    early = [] if output is None else rasters.check_writable(output, *given)
    if output is not None and not output.endswith((".html", ".json")):
        early.append(f"{output}: a report is written as .html or .json")
    x = None
    with _faults(None, early):
        x = None if raster is None else rasters.load(raster)
    with _faults(model):
        report = compare.compare(
            model,
            platforms,
            inputs=x,
            source=raster or "",
            **_of(flags, "labels", "reference", "batch_first", "fixes"),
            **_of(flags, "dt", "scheme", "reset", "precision", "strict"),
        )
    click.echo("\n".join(text.as_text(report)))
    with _faults(None):
        if output is not None and output.endswith(".json"):
            rasters.write_whole(output, f"{json.dumps(data.as_data(report), indent=2)}\n".encode())
        elif output is not None:
            rasters.write_whole(output, page.as_page(report).encode())
    click.echo("\n".join(text.assumed(report)), err=True)


def main(args: Sequence[str] | None = None) -> None:
    """The entry point; nirc's own faults end in a traceback and the command that shows them."""
    try:
        cli(args=None if args is None else list(args), prog_name="nirc")
    except OSError as error:
        with contextlib.suppress(OSError):
            click.echo(f"nirc: {error}", err=True)
        raise SystemExit(1) from None
    except Exception:
        traceback.print_exc()
        command = shlex.join(["nirc", *(sys.argv[1:] if args is None else args)])
        click.echo(
            f"\nThis is a fault of nirc, not of your model. To reproduce it, in {os.getcwd()}:\n  {command}", err=True
        )
        raise SystemExit(70) from None
