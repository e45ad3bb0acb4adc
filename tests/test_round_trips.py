"""Every level of every model prints, parses and prints the same again, in the pretty and in the generic form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.printer import Printer
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.printing import ir_text

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.nir"))
NEEDS_DT = {"lif_norse.nir": 1e-4, "lif_snntorch.nir": 1e-4, "two_lif_neurons.nir": 1e-3}
FITS_XYLO = {"braille_noDelay_bias_zero.nir", "braille_noDelay_noBias_subtract.nir", "gestures.nir"}
NESTED = {"braille_noDelay_bias_zero_subgraph.nir", "braille_noDelay_noBias_subtract_subgraph.nir"}
"""Nested graphs come with a later issue (and these two have a faulty edge); they are refused by name."""


def levels(path: Path) -> Iterator[tuple[str, ModuleOp]]:
    dt = NEEDS_DT.get(path.name, "auto")
    yield "nir as read", nirc.load(path).module
    for level in ("nir", "snn"):
        yield level, nirc.compile(path, until=level, dt=dt).module
    if path.name in FITS_XYLO:
        for level in ("snn", "xylo"):
            yield f"{level} for xylo", nirc.compile(path, "xylo", until=level).module


def check(path: Path, parse: Callable[[str], ModuleOp]) -> int:
    count = 0
    for level, module in levels(path):
        text = ir_text(module)
        assert ir_text(parse(text)) == text, level
        generic = StringIO()
        Printer(generic, print_generic_format=True).print_op(module)
        assert ir_text(parse(generic.getvalue())) == text, level
        count += 1
    return count


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path, parse: Callable[[str], ModuleOp]) -> None:
    assert check(path, parse) == (5 if path.name in FITS_XYLO else 3)


def test_shared_models(shared: Path, parse: Callable[[str], ModuleOp]) -> None:
    models = sorted((shared / "models").glob("*.nir"))
    assert len(models) == 11
    for path in models:
        if path.name in NESTED:
            with pytest.raises(DiagnosticException, match=r"node 'lif1': unknown type 'NIRGraph'"):
                nirc.load(path)
        else:
            assert check(path, parse) == (5 if path.name in FITS_XYLO else 3)
