"""What MkDocs adds to the pages in this folder: everything that the code itself knows, so that no page goes stale.

A line `<!-- made: KIND ARGUMENTS -->` in a page is replaced by what the function of that kind returns; each scheme and
each dialect is a whole page. Links in what is made count from this folder, `/targets/cpu.md`. In `nav` an entry
`folder/*` stands for the pages that are made in a folder.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import click
import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from xdsl.ir import ParametrizedAttribute
from xdsl.irdl import IRDLOperation
from xdsl.passes import ModulePass, get_pass_option_infos
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends import BACKENDS, Options
from nirc.cli import cli
from nirc.dialects import DIALECTS, nir
from nirc.driver import context, looked_at, stages_to
from nirc.passes import PASSES
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.convert_nir_to_snn import schemes as scheme_table
from nirc.passes.convert_nir_to_snn.schemes import DEFAULT, OPTIONS, SCHEMES, Scheme
from nirc.passes.nir_infer_shapes import NirInferShapesPass
from nirc.printing import IRParser, ir_text

ROOT = Path(__file__).parent.parent

# -- Docstrings as Markdown


def markdown(text: str) -> str:
    """A docstring of nirc: aligned columns become a table, equations (indented) stay, the rest is prose."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", inspect.cleandoc(text)))


def _paragraph(text: str) -> str:
    lines = text.splitlines()
    if text.startswith(("    ", "|", "- ")):
        return text
    entries = list[tuple[str, str]]()
    for line in lines:
        if found := re.fullmatch(r"(\S+(?: \S+)*?) {2,}(\S.*)", line):
            entries.append((found[1], found[2]))
        elif entries and line.startswith(" "):
            entries[-1] = (entries[-1][0], f"{entries[-1][1]} {line.strip()}")
        else:
            return _escaped(text)
    return table(("", ""), ((_code(name), _escaped(about)) for name, about in entries))


def _escaped(text: str) -> str:
    """Prose without Markdown's own signs, except `code`."""
    return _outside_code(r"([*_<\[\]])", r"\\\1", text)


def _outside_code(pattern: str, by: str, text: str) -> str:
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if n % 2 else re.sub(pattern, by, part) for n, part in enumerate(parts))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    cells = ((_outside_code(r"\|", r"\\|", " ".join(cell.split())) for cell in line) for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


class Docstrings(griffe.Extension):
    """The same for the docstrings that mkdocstrings shows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


# -- What stands within pages


def section(path: str, heading: str) -> str:
    """A section of a file of the repository, without its heading."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{path} has no section '{heading}'")
    return found[1].strip()


def content(path: str) -> str:
    """A file of the repository."""
    kind = {".sh": "sh", ".yml": "yaml", ".c": "c", ".py": "python"}.get(Path(path).suffix, "text")
    return f"```{kind}\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```"


def passes() -> str:
    """Every pass with its options."""
    return "\n\n".join(_pass(name, load()) for name, load in PASSES.items())


def _pass(name: str, found: type[ModulePass]) -> str:
    module = sys.modules[found.__module__]
    parts = [f"## {name}", markdown(module.__doc__ or ""), markdown(found.__doc__ or "")]
    options = get_pass_option_infos(found)
    if options:
        rows = (
            (
                _code(option.name.replace("_", "-")),
                _code(str(option.expected_type).strip("'")),
                "" if option.default_value is None else _code(str(option.default_value)),
            )
            for option in options
        )
        parts.append(table(("option", "type", "default"), rows))
    return "\n\n".join(parts)


def pipeline(target: str) -> str:
    """The passes of a target by level, under the options' defaults."""
    stages = stages_to(target)(Options())
    rows = ((_code(level), ", ".join(_link(step.name) for step in steps)) for level, steps in stages.items())
    return table(("down to", "passes"), rows)


def _link(name: str) -> str:
    return f"[`{name}`](/reference/passes.md#{name})"


def options(target: str) -> str:
    """The flags of `nirc compile` that a target looks at."""
    known = {item.name: item for item in cli.commands["compile"].params if isinstance(item, click.Option)}
    stages = stages_to(target)
    looked = looked_at(Options(), target, stages(Options()))
    entry = BACKENDS[target]()
    if entry.formats:
        looked.add("emit")
    if entry.chip is not None:
        known["chip"] = copy(known["chip"])
        known["chip"].type = click.Choice(entry.chip.generations)  # the command knows those of all targets
    return _flags([known[name] for name in ("emit", *(item.name for item in fields(Options))) if name in looked])


def _flags(found: list[click.Option]) -> str:
    return table(("flag", "value", "what it does"), ((*_flag(item), _escaped(item.help or "")) for item in found))


def _flag(item: click.Option) -> tuple[str, str]:
    values = "" if item.is_flag else item.make_metavar(click.Context(cli))
    return ", ".join(map(_code, item.opts)), _code(values)


def command(name: str) -> str:
    """A command of `nirc`: how it is called, and its flags."""
    found = cli.commands[name]
    ctx = click.Context(found, click.Context(cli, info_name="nirc"), info_name=name)
    usage = " ".join(["nirc", name, *found.collect_usage_pieces(ctx)])
    flags = [item for item in found.params if isinstance(item, click.Option)]
    return f"```text\n{usage}\n```\n\n{_escaped(found.help or '')}\n\n{_flags(flags)}"


def limits(target: str) -> str:
    """A chip's limits as its dialect has them, each with its source."""
    dialect = import_module(f"nirc.dialects.{target}")
    chips = dialect.CHIPS if isinstance(getattr(dialect, "CHIPS", None), dict) else {"": dialect.LIMITS}
    names, records = list[str](chips), list[Any](chips.values())
    kind = cast(type[Any], type(records[0]))
    assert is_dataclass(kind)
    (definition,) = cast(list[ast.ClassDef], ast.parse(inspect.getsource(kind)).body)
    about = _variable_docs(definition.body)
    given = [item.name for item in fields(kind)]
    constants = [name for name in about if name not in given]
    rows = [
        (_code(name), *(_value(getattr(record, name)) for record in records), _escaped(about[name]))
        for name in (*given, *constants)
    ]
    return f"{markdown(kind.__doc__ or '')}\n\n{table(('', *names, ''), iter(rows))}"


def _value(value: Any) -> str:
    if value is None:
        return "all"
    if isinstance(value, tuple):
        entries = cast(tuple[Any, ...], value)
        return ", ".join(map(_value, entries)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _variable_docs(body: list[ast.stmt]) -> dict[str, str]:
    """The variables with a type in a class or module, in their order, each with the docstring below it."""
    found = dict[str, str]()
    name = None
    for item in body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            name = item.target.id
            found[name] = ""
        elif name and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            found[name] = str(item.value.value)
            name = None
    return found


def scheme_list() -> str:
    """The schemes in one table."""
    rows = (
        (f"[`{scheme.name}`](/schemes/{scheme.name}.md)", _escaped(scheme.about), _escaped(scheme.source))
        for scheme in SCHEMES.values()
    )
    return table(("scheme", "what it computes", "known from"), rows)


def scheme_options() -> str:
    """What a scheme may choose."""
    source = Path(inspect.getfile(scheme_table)).read_text(encoding="utf-8")
    rows = ((_code(name), ", ".join(map(_code, values)) or "free text") for name, values in OPTIONS.items())
    return f"{table(('option', 'values'), rows)}\n\n{markdown(_variable_docs(ast.parse(source).body)['OPTIONS'])}"


def targets() -> str:
    """The targets in one table."""
    found = [load() for load in BACKENDS.values()]
    rows = (
        (
            f"[`{entry.name}`](/targets/{entry.name}.md)",
            _escaped(entry.about),
            "yes" if entry.runner else "",
            ", ".join(map(_code, entry.chip.generations)) if entry.chip else "",
        )
        for entry in found
    )
    return table(("target", "what is written", "`nirc run`", "`--chip`"), rows)


MADE: dict[str, Callable[..., str]] = {
    made.__name__: made
    for made in (
        *(section, content, passes, pipeline, options, command, limits),
        *(scheme_list, scheme_options, targets),
    )
}

# -- Whole pages

_NEURONS = {
    "LIF": "lif tau = {mem}, r = 2.0, v_leak = 0.0, v_threshold = 1.0",
    "CubaLIF": "cuba_lif tau_mem = {mem}, tau_syn = {syn}, r = 2.0, w_in = 3.0, v_leak = 0.0, v_threshold = 1.0",
    "IF": "if r = 2.0, v_threshold = 1.0",
}


def scheme_page(scheme: Scheme) -> str:
    """One scheme: what it chooses, and the step that nirc makes of each neuron under it."""
    base = SCHEMES[DEFAULT]
    rows = (
        (_code(name), _code(value), "" if value == base[name] else f"{DEFAULT}: {_code(base[name]) or 'empty'}")
        for name, value in scheme.options.items()
    )
    parts = [
        f"# {scheme.name}",
        f"{_escaped(scheme.about[0].upper() + scheme.about[1:])}.",
        f"Known from: {_escaped(scheme.source)}. "
        f"Node types that the simulator's own importer takes: {', '.join(map(_code, sorted(scheme.imports)))}.",
        f"Asked for by `--scheme {scheme.name}`; single options change it: `--scheme {scheme.name},OPTION=VALUE`. "
        f"The simulator itself takes a step of {scheme.dt:g} by default; nirc only names that among the candidates.",
        "## What it chooses",
        table(("option", "value", "where it is not the default's"), rows)
        if scheme != base
        else table(("option", "value"), ((_code(name), _code(value)) for name, value in scheme.options.items())),
        "What the options mean: [Schemes](/schemes/index.md#options).",
        "## One step",
        "What `convert-nir-to-snn` makes of one neuron under this scheme, with r = 2, w_in = 3, a threshold of 1, and "
        "dt = tau_mem/8 = tau_syn/4.",
        *(f"### {kind}\n\n```text\n{_step(scheme, kind)}\n```" for kind in _NEURONS),
    ]
    return "\n\n".join(parts) + "\n"


def _step(scheme: Scheme, kind: str) -> str:
    op, _, numbers = _NEURONS[kind].format(mem=8e-3, syn=4e-3).partition(" ")
    given = [text.split(" = ") for text in numbers.split(", ")]
    properties = ", ".join(f"{name} = dense<{float(value):e}> : tensor<f64>" for name, value in given)
    text = f"""nir.graph @main attributes {{inputs = ["input"], outputs = ["output"]}} {{
^bb0(%x: !nir.signal<1>):
  %y = nir.{op} "{kind}"(%x) {{ {properties} }} : (!nir.signal<1>) -> !nir.signal<*>
  nir.yield %y : !nir.signal<*>
}}"""
    module = IRParser(context(), text, scheme.name).parse_module()
    try:
        for step in (NirInferShapesPass(), ConvertNirToSnnPass(1e-3, scheme.name, precision="f64")):
            step.apply(context(), module)
    except DiagnosticException as error:
        return f"refused: {error}"
    network = next(op for op in module.ops if op.name == "snn.network")
    return str(ir_text(cast(Any, network))).strip()


def dialect_page(name: str) -> str:
    """One dialect: its ops, attributes and types."""
    dialect = DIALECTS[name]()
    module = sys.modules[next(iter(dialect.operations)).__module__]
    about = markdown((nir if name == "nir" else module).__doc__ or "")
    parts = [f"# Dialect `{name}`", about, "## Operations"]
    for op in sorted(dialect.operations, key=lambda op: op.name):
        found = cast(type[IRDLOperation], op).get_irdl_definition()
        parts += [f"### {op.name}", markdown(op.__doc__ or "")]
        rows = [
            *((_code(key), "operand") for key, _ in found.operands),
            *((_code(key), "result") for key, _ in found.results),
            *((_code(key), _optional("property", item)) for key, item in found.properties.items()),
            *((_code(key), "region") for key, _ in found.regions),
        ]
        parts.append(table(("", ""), iter(rows)))
    attributes = sorted(dialect.attributes, key=lambda item: item.name)
    if attributes:
        parts.append("## Attributes and types")
    for item in attributes:
        names = [key for key, _ in cast(type[ParametrizedAttribute], item).get_irdl_definition().parameters]
        parts += [f"### {item.name}", markdown(item.__doc__ or ""), f"Parameters: {', '.join(map(_code, names))}."]
    return "\n\n".join(parts) + "\n"


def _optional(what: str, definition: object) -> str:
    return f"{what}, may be absent" if type(definition).__name__.startswith("Opt") else what


def _pages() -> Iterator[tuple[str, str]]:
    for scheme in SCHEMES.values():
        yield f"schemes/{scheme.name}.md", scheme_page(scheme)
    for name in DIALECTS:
        yield f"reference/dialects/{name}.md", dialect_page(name)


# -- MkDocs


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the whole pages."""
    for path, text in _pages():
        files.append(File.generated(config, path, content=text))
    config.nav = _expanded(cast(Any, config).nav, files)
    return files


def _expanded(nav: Any, files: Files) -> Any:
    """`folder/*` becomes the pages of that folder that the code makes, in its order."""
    if isinstance(nav, dict):
        return {key: _expanded(value, files) for key, value in cast(dict[str, Any], nav).items()}
    if isinstance(nav, list):
        found = list[Any]()
        for item in cast(list[Any], nav):
            folder = item.removesuffix("*") if isinstance(item, str) and item.endswith("/*") else None
            if folder is None:
                found.append(_expanded(item, files))
            else:
                made = (file.src_uri for file in files if file.generated_by and file.src_uri.startswith(folder))
                found += [{Path(uri).stem: uri} for uri in made]
        return found
    return nav


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put in what is made."""

    def make(found: re.Match[str]) -> str:
        kind, _, rest = found[1].partition(" ")
        if kind not in MADE:
            raise ValueError(f"{page.file.src_uri}: nothing makes '{kind}'; known: {', '.join(MADE)}")
        return MADE[kind](*(part.strip() for part in rest.split(",") if part.strip()))

    text = re.sub(r"^<!-- made: (.*?) -->$", make, markdown, flags=re.MULTILINE)
    return text.replace("](/", "](" + "../" * page.file.src_uri.count("/"))
