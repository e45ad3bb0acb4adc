"""`convert-loops-to-fixed`: each operation against Python's integers, also where it saturates; refusals; golden."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, f64
from xdsl.utils.exceptions import PassFailedException

from nirc.backends.c.emit import c_file
from nirc.backends.c.interface import Interface
from nirc.dialects import cpu
from nirc.dialects.dense import Array, dense, tensor
from nirc.passes.convert_loops_to_fixed import ConvertLoopsToFixedPass

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))
from compiled_c import STRICT, Library, gcc
from loop_functions import parsed
from test_convert_loops_to_llvm import function

LOW, HIGH = -(2**31), 2**31 - 1
VALUES = [
    0,
    1,
    -1,
    2,
    3,
    -3,
    255,
    32767,
    32768,
    32769,
    -32768,
    65535,
    65536,
    -65536,
    98304,
    123456789,
    LOW,
    LOW + 1,
    HIGH,
]
FRACTIONS = (0, 1, 16, 30)


def saturated(value: int) -> int:
    return min(max(value, LOW), HIGH)


def divided(a: int, b: int, n: int) -> int:
    if b == 0:
        return 0 if a == 0 else HIGH if a > 0 else LOW
    return saturated((a << n) // b)


TWO: dict[str, Callable[[int, int, int], int]] = {
    "addf": lambda a, b, n: saturated(a + b),
    "subf": lambda a, b, n: saturated(a - b),
    "mulf": lambda a, b, n: saturated((a * b + (1 << n >> 1)) // (1 << n)),
    "divf": divided,
    "maximumf": lambda a, b, n: max(a, b),
    "minimumf": lambda a, b, n: min(a, b),
}


def kernel(text: str, kinds: tuple[str, ...], size: int, result: str) -> ModuleOp:
    """A function over buffers of numbers, and its contract."""
    module = parsed(text)
    elements = {"f64": f64, "i32": dense(np.zeros(1, np.int32)).get_element_type()}
    elements |= {
        "i64": dense(np.zeros(1, np.int64)).get_element_type(),
        "i8": dense(np.zeros(1, np.int8)).get_element_type(),
    }
    arguments = [
        cpu.ArgumentAttr("scratch", f"b{n}", tensor((size,), elements[kind])) for n, kind in enumerate((*kinds, result))
    ]
    main = next(iter(module.ops))
    module.body.block.insert_op_before(cpu.KernelOp("main", arguments), main)
    return module


def run(folder: Path, body: str, kinds: tuple[str, ...], result: str, fraction: int, *inputs: Array) -> list[int]:
    """The loops over numbers in fixed point, as C."""
    buffers = (*(values.astype(np.float64) for values in inputs), np.zeros(inputs[0].size))
    module = kernel(function(body, *buffers, kinds=(*kinds, result)), kinds, inputs[0].size, result)
    ConvertLoopsToFixedPass(f"s{31 - fraction}.{fraction}").apply(Context(), module)
    module.verify()
    interface = Interface(module, "net")
    (folder / "net.c").write_text(c_file(interface))
    (folder / "net.h").write_text(interface.header())
    flags = ("-O2", "-Wno-unused-parameter", "-fsanitize=undefined", "-fno-sanitize-recover", "-fPIC", "-shared")
    name = folder / f"net{len(list(folder.iterdir()))}.so"  # a library that is loaded may not be written over
    gcc(*STRICT, *flags, "-o", name, folder / "net.c")
    library, places = Library(name, folder / "net.h"), list(interface.offsets().items())
    by_label = {argument.label.data: (argument, offset) for argument, offset in places}
    for n, values in enumerate(inputs):
        argument, offset = by_label[f"b{n}"]
        held = values.astype(argument.dtype)
        library.state[offset:][: held.nbytes] = np.frombuffer(held.tobytes(), np.uint8)
    library.call("run", 0)
    argument, offset = by_label[f"b{len(inputs)}"]
    found = library.state[offset:][: inputs[0].size * argument.dtype.itemsize]
    return np.frombuffer(found.tobytes(), argument.dtype).tolist()


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
PAIRS = np.array(list(product(VALUES, VALUES)), np.int64).T


@needs_gcc
@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("op", TWO)
def test_two_numbers(tmp_path: Path, op: str, fraction: int) -> None:
    found = run(tmp_path, f"%r = arith.{op} %a0, %b0 : f64", ("f64", "f64"), "f64", fraction, *PAIRS)
    expected = [TWO[op](a, b, fraction) for a, b in PAIRS.T.tolist()]
    assert found == expected
    if op in ("addf", "subf", "mulf", "divf"):
        assert {LOW, HIGH} <= set(expected)


@needs_gcc
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_whole_numbers_and_counts(tmp_path: Path, fraction: int) -> None:
    """floor(x) and its conversion are exact; a count becomes n 2^N."""
    values = np.array(VALUES, np.int64)
    found = run(tmp_path, "%r = math.floor %a0 : f64", ("f64",), "f64", fraction, values)
    assert found == [(value >> fraction) << fraction for value in VALUES]
    body = "%f = math.floor %a0 : f64\n%r = arith.fptosi %f : f64 to i32"
    assert run(tmp_path, body, ("f64",), "i32", fraction, values) == [value >> fraction for value in VALUES]
    for kind in ("i32", "i64"):
        found = run(tmp_path, f"%r = arith.sitofp %a0 : {kind} to f64", (kind,), "f64", fraction, values)
        assert found == [saturated(value << fraction) for value in VALUES]


@needs_gcc
def test_comparisons(tmp_path: Path) -> None:
    a, b = PAIRS
    names = {"eq": a == b, "ne": a != b, "gt": a > b, "ge": a >= b, "lt": a < b, "le": a <= b}
    for name, expected in names.items():
        for order in ("o", "u"):
            if order + name in ("one",):
                continue
            body = f"%i = arith.cmpf {order}{name}, %a0, %b0 : f64\n%r = arith.extui %i : i1 to i8"
            assert run(tmp_path, body, ("f64", "f64"), "i8", 16, *PAIRS) == expected.astype(int).tolist(), name


@needs_gcc
def test_constants_and_choices(tmp_path: Path) -> None:
    body = "%k = arith.constant 1.5 : f64\n%c = arith.cmpf ogt, %a0, %k : f64\n%r = arith.select %c, %k, %a0 : f64"
    assert run(tmp_path, body, ("f64",), "f64", 16, np.array(VALUES)) == [min(value, 98304) for value in VALUES]


def converted(body: str, form: str = "s15.16") -> ModuleOp:
    values = np.zeros(3)
    module = kernel(function(body, values, values, kinds=("f64", "f64")), ("f64",), 3, "f64")
    ConvertLoopsToFixedPass(form).apply(Context(), module)
    module.verify()
    return module


def test_all_that_has_no_form_is_said_at_once() -> None:
    body = "%s = math.sin %a0 : f64\n%k = arith.constant 0.1 : f64\n%t = arith.addf %s, %k : f64\n"
    body += "%h = arith.constant 40000.0 : f64\n%u = arith.addf %t, %h : f64\n%r = arith.negf %u : f64"
    with pytest.raises(PassFailedException) as raised:
        converted(body)
    assert str(raised.value).splitlines() == [
        "no fixed-point form of math.sin",
        "0.1 is no number of s15.16; snn-round-constants rounds those that are within it",
        "40000 is no number of s15.16; snn-round-constants rounds those that are within it",
        "no fixed-point form of arith.negf",
    ]


def test_a_constant_argument_has_to_be_of_the_format() -> None:
    values = np.zeros(3)
    module = kernel(
        function("%r = arith.addf %a0, %a0 : f64", values, values, kinds=("f64", "f64")), ("f64",), 3, "f64"
    )
    op = next(op for op in module.ops if isinstance(op, cpu.KernelOp))
    held = cpu.ArgumentAttr("constant", "w", tensor((3,), f64), dense(np.array([0.5, 0.3, 0.1])))
    module.body.block.insert_op_before(cpu.KernelOp("main", [held, op.arguments.data[1]]), op)
    op.detach()
    with pytest.raises(PassFailedException, match=r"^'w': 0\.3 is no number of s15\.16"):
        ConvertLoopsToFixedPass().apply(Context(), module)


def test_only_what_is_called_stands_beside_the_kernel() -> None:
    ops = converted("%r = arith.mulf %a0, %a0 : f64").ops
    names = [op.sym_name.data for op in ops if isinstance(op, func.FuncOp)]
    assert names == ["fixed_saturate", "fixed_multiply", "main"]


def test_golden(golden: Callable[[str], None]) -> None:
    body = "%k = arith.constant 0.75 : f64\n%m = arith.mulf %a0, %k : f64\n%r = math.floor %m : f64"
    golden(f"{converted(body)!s}\n")
