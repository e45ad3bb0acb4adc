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
from nirc.dialects import nir
from nirc.dialects.dense import array
from nirc.printing import ir_text

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.nir"))
NEEDS_DT = {"lif_norse.nir": 1e-4, "lif_snntorch.nir": 1e-4, "two_lif_neurons.nir": 1e-3}
FITS = {
    **dict.fromkeys(("braille_noDelay_bias_zero.nir", "braille_noDelay_noBias_subtract.nir", "gestures.nir"), "xylo"),
    **dict.fromkeys(("digits_conv.nir", "cnn_sinabs.nir", "scnn_mnist_sinabs.nir", "scnn_mnist_spyx.nir"), "speck"),
}
"""Models that are taken down to a chip."""
FIXED = {"braille_noDelay_bias_zero_subgraph.nir", "braille_noDelay_noBias_subtract_subgraph.nir"}
"""Nested graphs whose edges name a node that is not there."""


def levels(path: Path) -> Iterator[tuple[str, ModuleOp]]:
    dt = NEEDS_DT.get(path.name, "auto")
    program = nirc.load(path, fixes=["edge-names"] if path.name in FIXED else ())
    yield "nir as read", program.module
    for level in ("nir", "snn"):
        yield level, nirc.compile(program, until=level, dt=dt).module
    if (chip := FITS.get(path.name)) is not None:
        for level in ("snn", chip):
            yield f"{level} for {chip}", nirc.compile(path, chip, until=level).module


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
    assert check(path, parse) == (5 if path.name in FITS else 3)


def test_shared_models(shared: Path, parse: Callable[[str], ModuleOp]) -> None:
    models = sorted((shared / "models").glob("*.nir"))
    assert len(models) == 11
    for path in models:
        assert check(path, parse) == (5 if path.name in FITS else 3)


@pytest.mark.parametrize("name", sorted(FIXED))
def test_a_model_with_a_known_defect_is_refused_with_its_remedy(shared: Path, name: str) -> None:
    with pytest.raises(DiagnosticException, match=r"no node 'lif'; did you mean 'lif1', .* --fix edge-names takes it"):
        nirc.load(shared / "models" / name)


@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("value", [1234567.0, 2.0**24, 1e7 + 1])
def test_whole_numbers_of_many_digits_read_back(parse: Callable[[str], ModuleOp], value: float, element: str) -> None:
    """The printer of xDSL 0.74 gives their bits in hexadecimal, its parser takes these for a whole number."""
    node = f'%n = nir.i "n"(%x) {{r = dense<{value}> : tensor<{element}>}} : (!nir.signal<2>) -> !nir.signal<2>'
    module = parse(
        'nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {\n^bb0(%x: !nir.signal<2>):\n'
        f"{node}\nnir.yield %n : !nir.signal<2>\n}}\n"
    )
    numbers = [
        [array(op.r).item() for op in held.walk() if isinstance(op, nir.IOp)]
        for held in (module, parse(ir_text(module)))
    ]
    assert numbers == [[value], [value]]
