"""`nirc check`: what is wrong with a file, how nirc understands it, what it would assume, and which targets it fits."""

from __future__ import annotations

from typing import Any

from xdsl.utils.exceptions import DiagnosticException

from nirc import driver
from nirc.dialects import nir
from nirc.passes.convert_nir_to_snn.schemes import parse_scheme
from nirc.passes.convert_nir_to_snn.time_step import candidates


def check(model: str, targets: tuple[str, ...], *, strict: bool = False, **options: Any) -> dict[str, Any]:
    """Examine a file; the result is plain data, `ok` tells whether nothing is wrong.

    That dt cannot be found is no fault of the file: without a target the candidates are listed instead.
    Raises DiagnosticException where the file cannot be read at all, or an option is unknown.
    """
    parse_scheme(options.get("scheme"))
    module, faults = driver.examine(model)
    findings: dict[str, Any] = {"file": model, "ok": not faults, "faults": faults, "targets": {}}
    if faults:
        return findings
    program = driver.Program(module, source=model)
    program.lower("nir")
    findings.update(driver.graph_summary(program.module))
    try:
        lowered = driver.compile(program, strict=strict, **options)
        findings["assumptions"] = [str(item) for item in nir.assumptions(lowered.module)]
    except DiagnosticException as error:
        graph = nir.graph_of(program.module)
        lines = str(error).splitlines()
        findings["assumptions"] = [str(item) for item in nir.assumptions(program.module)]
        if graph is not None and lines[0].startswith("dt cannot be found"):
            findings["dt"] = {
                "found": None,
                "why": lines[0],
                "candidates": candidates(graph, parse_scheme(options.get("scheme"))),
            }
        else:
            findings.update(ok=False, faults=lines)
    for target in targets:
        findings["targets"][target] = _fit(program, target, strict=strict, **options)
        findings["ok"] = findings["ok"] and findings["targets"][target]["fits"]
    return findings


def _fit(program: driver.Program, target: str, *, strict: bool, **options: Any) -> dict[str, Any]:
    try:
        compiled = driver.compile(program, target, strict=strict, **options)
    except DiagnosticException as error:
        return {"fits": False, "faults": str(error).splitlines()}
    return {
        "fits": True,
        "faults": [],
        "usage": driver.backend(target).summary(compiled.module),
        "assumptions": [str(item) for item in nir.assumptions(compiled.module)],
    }


def as_text(findings: dict[str, Any]) -> list[str]:
    """The findings as lines for a terminal."""
    file = findings["file"]
    lines = [f"{file}: {fault}" for fault in findings["faults"]]
    if "nodes" in findings:
        lines.append(
            f"{file}: {len(findings['nodes'])} nodes, {findings['neurons']} neurons, {findings['weights']} weights"
        )
        for node in findings["nodes"]:
            shape = "x".join(map(str, node["shape"])) if node["shape"] else "?"
            lines.append(f"  {node['name']!r} ({node['type']}) {shape}")
    if findings.get("assumptions"):
        lines += ["assumptions:", *(f"  {item}" for item in findings["assumptions"])]
    if "dt" in findings:
        lines += [findings["dt"]["why"], *(f"  {item}" for item in findings["dt"]["candidates"])]
    for target, fit in findings["targets"].items():
        lines.append(f"{target}: {'fits' if fit['fits'] else 'does not fit'}")
        lines += [f"  {item}" for item in [*fit["faults"], *fit.get("usage", [])]]
    return lines
