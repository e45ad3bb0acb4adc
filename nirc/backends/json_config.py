"""What the chips' configurations in JSON share: reading without trust, nirc's notes in them, the vendor's template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

from nirc.dialects import nir
from nirc.dialects.dense import Array, array

Json: TypeAlias = dict[str, Any]

LARGEST = 2**31 - 1


def parsed(text: str, what: str) -> Json:
    """The file's object; `what` says what it should be."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DiagnosticException(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DiagnosticException(what)
    return cast(Json, content)


def as_object(value: Any) -> Json:
    """A JSON object; anything else is one without keys."""
    return cast(Json, value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A JSON list; anything else is an empty one."""
    return cast(list[Any], value) if isinstance(value, list) else []


def is_whole(value: object) -> TypeGuard[float]:
    """Whether it is a whole number of 32 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST and value == int(value)


def whole_array(value: Any) -> Array | None:
    """Nested lists of whole numbers as an array; None where they are anything else."""
    try:
        values = np.array(value)
    except (ValueError, OverflowError):
        return None
    if values.dtype.kind not in "iuf":
        return np.zeros(values.shape, np.int32) if values.size == 0 else None
    if not np.all(np.isfinite(values)) or np.any(np.abs(values) > LARGEST) or np.any(values != np.round(values)):
        return None
    return values.astype(np.int32)


def notes_of(module: ModuleOp, report: Iterable[nir.ChangeAttr]) -> tuple[Json, list[Json]]:
    """The step and the assumptions of a module, and what quantization changed, as they are written."""
    changes = [
        {
            "node": change.node.data,
            "parameter": change.parameter.data,
            "unit": change.unit.data,
            "before": array(change.before).tolist(),
            "after": array(change.after).tolist(),
            "largest_relative_error": array(change.error).tolist(),
        }
        for change in report
    ]
    assumptions = [
        {"kind": item.kind.data, "topic": item.topic.data, "statement": item.statement.data}
        for item in nir.assumptions(module)
    ]
    return {"dt": nir.time_step(module), "assumptions": assumptions}, changes


def restore_notes(module: ModuleOp, notes: Json) -> None:
    """Attach the step and the assumptions that a file of nirc's holds."""
    if isinstance(dt := notes.get("dt"), float):
        nir.set_time_step(module, dt)
    for item in as_list(notes.get("assumptions")):
        kind, topic, statement = (as_object(item).get(key) for key in ("kind", "topic", "statement"))
        if kind in nir.AssumptionAttr.KINDS:
            nir.assume(module, str(kind), str(topic), str(statement))


def template_of(path: str, saved_by: str) -> Json:
    """`value0` of a file that the user's samna wrote; `saved_by` is the call that does."""
    try:
        content = json.loads(Path(path).read_text())
    except OSError as error:
        raise DiagnosticException(f"--template {path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DiagnosticException(f"--template {path}: not JSON: {error}") from error
    value = as_object(content).get("value0")
    if not isinstance(value, dict):
        raise DiagnosticException(f"--template {path}: no 'value0'; save {saved_by} of your samna")
    return cast(Json, value)
