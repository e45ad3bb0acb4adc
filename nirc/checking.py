"""`nirc check`: what is wrong with a file, how nirc understands it, what it would assume, and which targets it fits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from xdsl.ir import SSAValue
from xdsl.utils.exceptions import DiagnosticException

from nirc import driver
from nirc.dialects import nir
from nirc.dialects.dense import shape_text
from nirc.dialects.nir import listed, quote
from nirc.passes.convert_nir_to_snn.cycles import closing_edges, operands
from nirc.passes.convert_nir_to_snn.schemes import parse_scheme
from nirc.passes.convert_nir_to_snn.time_step import candidates


def check(
    model: str, targets: tuple[str, ...], *, fixes: Iterable[str] = (), strict: bool = False, **options: Any
) -> dict[str, Any]:
    """Examine a file; the result is plain data, `ok` tells whether nothing is wrong.

    That dt cannot be found is no fault of the file: without a target the candidates are listed instead.
    Raises DiagnosticException where the file cannot be read at all, or an option is unknown.
    """
    parse_scheme(options.get("scheme"))
    if not targets:
        driver.refuse_unused(driver.Options(**options), None, ("snn",), "without --target")
    module, faults = driver.examine(model, driver.chosen_fixes(fixes))
    findings: dict[str, Any] = {"file": model, "ok": not faults, "faults": faults, "targets": {}}
    if faults:
        return findings
    program = driver.Program(module, source=model)
    program.lower("nir")
    graph = nir.graph_of(program.module)
    if graph is not None:
        findings.update(_understood(graph))
    try:
        lowered = driver.step_of(program, keep=bool(targets), strict=strict, **options)
        findings["assumptions"] = [str(item) for item in nir.assumptions(lowered.module)]
    except DiagnosticException as error:
        lines = str(error).splitlines()
        findings["assumptions"] = [str(item) for item in nir.assumptions(program.module)]
        if graph is not None and lines[0].startswith("dt cannot be found"):
            findings["dt"] = {
                "found": None,
                "why": lines[0],
                "candidates": candidates(graph, parse_scheme(options.get("scheme"))),
            }
            if strict and (choices := driver.unsaid(program.module)):
                findings.update(ok=False, faults=choices)
        else:
            findings.update(ok=False, faults=lines)
    for target in targets:
        findings["targets"][target] = _fit(program, target, strict=strict, **options)
        findings["ok"] = findings["ok"] and findings["targets"][target]["fits"]
    return findings


def _understood(graph: nir.GraphOp) -> dict[str, Any]:
    """The inlined graph: ports, nodes with types, shapes and sources, neurons, weights, synapses, cycles."""
    ports = (graph.inputs, graph.body.block.args), (graph.outputs, graph.yielded.values)
    inputs, outputs = (
        {name.data: _shape(value) for name, value in zip(names, values, strict=True)} for names, values in ports
    )
    nodes = list(graph.nodes())
    names: dict[SSAValue, str] = {node.output: node.node.data for node in nodes}
    names.update((argument, name.data) for name, argument in zip(graph.inputs, graph.body.block.args, strict=True))
    return {
        "inputs": inputs,
        "outputs": outputs,
        "nodes": [
            {
                "name": node.node.data,
                "type": node.NIR_TYPE,
                "shape": _shape(node.output),
                "from": [names[value] for value in operands(node.input)],
            }
            for node in nodes
        ],
        "neurons": sum(math.prod(_shape(node.output) or ()) for node in nodes if isinstance(node, nir.NeuronOp)),
        "weights": sum(len(node.weight) for node in nodes if isinstance(node, nir.WeightOp)),
        "synapses": sum(_synapses(node) for node in nodes if isinstance(node, nir.WeightOp)),
        "cycles": [{"from": source, "to": target} for source, target in closing_edges(graph)],
    }


def _shape(value: SSAValue) -> list[int] | None:
    shape = nir.shape_of(value)
    return None if shape is None else list(shape)


def _synapses(node: nir.WeightOp) -> int:
    """Pairs of an input and an output that a weight connects; a convolution's border counts as if it had inputs."""
    weight = node.weight.get_shape()
    places = math.prod((nir.shape_of(node.output) or ())[1:]) if isinstance(node, nir.ConvOp) else 1
    return math.prod(weight) * places


def _fit(program: driver.Program, target: str, *, strict: bool, **options: Any) -> dict[str, Any]:
    try:
        compiled = driver.compile(program, target, strict=strict, **options)
    except DiagnosticException as error:
        return {"fits": False, "faults": str(error).splitlines()}
    return {
        "fits": True,
        "faults": [],
        "usage": driver.chip(target).summary(compiled.module),
        "assumptions": [str(item) for item in nir.assumptions(compiled.module)],
    }


def _text(shape: list[int] | None) -> str:
    return "?" if shape is None else shape_text(tuple(shape))


def as_text(findings: dict[str, Any]) -> list[str]:
    """The findings as lines for a terminal."""
    file = findings["file"]
    lines = [f"{file}: {fault}" for fault in findings["faults"]]
    if "nodes" in findings:
        counts = ", ".join(f"{findings[name]:,} {name}" for name in ("neurons", "weights", "synapses"))
        lines.append(f"{file}: {len(findings['nodes'])} nodes, {counts}")
        lines += [f"  {quote(name)} (Input) {_text(shape)}" for name, shape in findings["inputs"].items()]
        for node in findings["nodes"]:
            sources = f" from {listed(node['from'])}" if node["from"] else ""
            lines.append(f"  {quote(node['name'])} ({node['type']}) {_text(node['shape'])}{sources}")
        lines += [f"  {quote(name)} (Output) {_text(shape)}" for name, shape in findings["outputs"].items()]
        for edge in findings["cycles"]:
            lines.append(f"  a cycle closes at {quote(edge['from'])} -> {quote(edge['to'])}")
    if findings.get("assumptions"):
        lines += ["assumptions:", *(f"  {item}" for item in findings["assumptions"])]
    if "dt" in findings:
        lines += [findings["dt"]["why"], *(f"  {item}" for item in findings["dt"]["candidates"])]
    for target, fit in findings["targets"].items():
        lines.append(f"{target}: {'fits' if fit['fits'] else 'does not fit'}")
        lines += [f"  {item}" for item in [*fit["faults"], *fit.get("usage", [])]]
        said = findings.get("assumptions", [])
        if own := [item for item in fit.get("assumptions", []) if item not in said]:
            lines += ["  assumptions of its own:", *(f"    {item}" for item in own)]
    return lines
