"""`convert-loops-to-llvm`: each op against numpy, on the numbers at which a wrong lowering shows; refusals; golden."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.dialects import llvm
from xdsl.dialects.builtin import StringAttr
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects.dense import Array
from nirc.passes.convert_loops_to_llvm import ConvertLoopsToLlvmPass

sys.path.append(str(Path(__file__).parent))
from loop_functions import call, context, lowered, parsed

F32 = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.1, -2.5, 2.5, 1e30, -1e30, 1e-45, np.inf, -np.inf, np.nan, 16777217], np.float32
)
F64 = np.concatenate([F32.astype(np.float64), [0.1, 1e300, 5e-324]])
I64 = np.array([0, 1, 2, 7, -1, -8, 2**31, 2**40 + 3, -(2**63), 2**63 - 1], np.int64)
I32 = np.array([0, 1, 2, -1, -7, 2**31 - 1, -(2**31)], np.int32)
I8 = np.array([0, 1, 2, 127, -128, -1], np.int8)
I1 = np.array([False, True])
VALUES: dict[str, Array] = {"f32": F32, "f64": F64, "i64": I64, "i32": I32, "i8": I8}
DTYPES = {name: values.dtype for name, values in VALUES.items()}


def pairs(kind: str) -> tuple[Array, Array]:
    """Every number with every other."""
    values = VALUES[kind]
    return np.repeat(values, values.size), np.tile(values, values.size)


def function(body: str, *buffers: Array, kinds: tuple[str, ...]) -> str:
    """@main, a loop over %n whose body loads from %a, %b, ... and stores into the last."""
    names = "abcdef"[: len(buffers)]
    sizes = [f"memref<{buffer.size}x{kind}>" for buffer, kind in zip(buffers, kinds, strict=True)]
    arguments = ", ".join(f"%{name}: {size}" for name, size in zip(names, sizes, strict=True))
    loads = [f"%{name}0 = memref.load %{name}[%n] : {size}" for name, size in zip(names[:-1], sizes[:-1], strict=True)]
    lines = "\n".join([*loads, body, f"memref.store %r, %{names[-1]}[%n] : {sizes[-1]}"])
    return (
        f"func.func @main(%steps: index, {arguments}) {{\n"
        "%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n"
        f"%size = arith.constant {buffers[0].size} : index\n"
        f"scf.for %n = %zero to %size step %one {{\n{lines}\n}}\nfunc.return\n}}"
    )


def apply(body: str, kinds: tuple[str, ...], *inputs: Array) -> Array:
    """Element by element: %a0, %b0 ... to %r."""
    result = np.full(inputs[0].size, 77, DTYPES[kinds[-1]])
    buffers = (*inputs, result)
    call(parsed(function(body, *buffers, kinds=kinds)), *buffers)
    return result


def assert_bits(found: Array, expected: Array) -> None:
    """Equal bit for bit, but one nan is as good as another."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(found), np.signbit(np.where(np.isnan(found), found, expected)))


Two = Callable[[Any, Any], Any]

FLOAT_BINARY: dict[str, Two] = {"addf": np.add, "subf": np.subtract, "mulf": np.multiply, "divf": np.divide}


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("op", FLOAT_BINARY)
def test_arithmetic_of_floats(op: str, kind: str) -> None:
    a, b = pairs(kind)
    with np.errstate(all="ignore"):
        expected = FLOAT_BINARY[op](a, b)
    assert_bits(apply(f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b), expected)


def test_a_product_and_a_sum_round_twice() -> None:
    """(1 + e)(1 - e) - 1 is -e^2, which one rounding would keep and two do not."""
    e = np.float32(2**-13)
    a, b, c = (np.full(64, value, np.float32) for value in (1 + e, 1 - e, -1))
    body = "%p = arith.mulf %a0, %b0 : f32\n%r = arith.addf %p, %c0 : f32"
    assert apply(body, ("f32",) * 4, a, b, c).tolist() == [0.0] * 64


def test_a_sum_is_added_from_the_left() -> None:
    """A loop that carries its sum may not be split into partial sums."""
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32) * np.float32(1000)
    expected = np.float32(0)
    for value in x:
        expected = np.float32(expected + value)
    result = np.zeros(1, np.float32)
    module = parsed(
        "func.func @main(%steps: index, %x: memref<1000xf32>, %y: memref<1xf32>) {\n"
        "%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n%size = arith.constant 1000 : index\n"
        "%none = arith.constant 0.0 : f32\n"
        "%r = scf.for %n = %zero to %size step %one iter_args(%sum = %none) -> (f32) {\n"
        "%a = memref.load %x[%n] : memref<1000xf32>\n%next = arith.addf %sum, %a : f32\nscf.yield %next : f32\n}\n"
        "memref.store %r, %y[%zero] : memref<1xf32>\nfunc.return\n}"
    )
    call(module, x, result)
    assert result[0] == expected != np.float32(x.astype(np.float64).sum())


INTEGER_BINARY: dict[str, Two] = {
    "addi": np.add,
    "subi": np.subtract,
    "muli": np.multiply,
    "andi": np.bitwise_and,
    "ori": np.bitwise_or,
}


@pytest.mark.parametrize("kind", ["i64", "i32", "i8"])
@pytest.mark.parametrize("op", INTEGER_BINARY)
def test_arithmetic_of_integers(op: str, kind: str) -> None:
    a, b = pairs(kind)
    with np.errstate(all="ignore"):
        expected = INTEGER_BINARY[op](a, b)
    assert_bits(apply(f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b), expected)


@pytest.mark.parametrize(("op", "python"), [("divui", int.__floordiv__), ("remui", int.__mod__)])
@pytest.mark.parametrize("kind", ["i64", "i32", "i8"])
def test_division_without_sign(op: str, python: Callable[[int, int], int], kind: str) -> None:
    a, b = pairs(kind)
    a, b = a[b != 0], b[b != 0]
    wide = 2 ** (8 * a.dtype.itemsize)
    expected = [python(x % wide, y % wide) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    found = apply(f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b)
    assert [value % wide for value in found.tolist()] == expected


SIGNED: dict[str, Two] = {"eq": np.equal, "ne": np.not_equal, "slt": np.less, "sge": np.greater_equal}
UNSIGNED: dict[str, Two] = {"ult": np.less, "ule": np.less_equal, "ugt": np.greater, "uge": np.greater_equal}
ORDERED: dict[str, Two] = {"oeq": np.equal, "ogt": np.greater, "oge": np.greater_equal, "olt": np.less}


def compared(op: str, kind: str, a: Array, b: Array) -> Array:
    return apply(f"%i = arith.{op}, %a0, %b0 : {kind}\n%r = arith.extui %i : i1 to i8", (kind, kind, "i8"), a, b)


@pytest.mark.parametrize("kind", ["i64", "i32", "i8"])
@pytest.mark.parametrize("name", [*SIGNED, *UNSIGNED])
def test_comparison_of_integers(name: str, kind: str) -> None:
    a, b = pairs(kind)
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    expected = SIGNED[name](a, b) if name in SIGNED else UNSIGNED[name](a.view(unsigned), b.view(unsigned))
    assert compared(f"cmpi {name}", kind, a, b).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("name", ["oeq", "ogt", "oge", "olt", "une", "uno"])
def test_comparison_of_floats(name: str, kind: str) -> None:
    a, b = pairs(kind)
    other = {"une": a != b, "uno": np.isnan(a) | np.isnan(b)}
    expected = ORDERED[name](a, b) if name in ORDERED else other[name]
    assert compared(f"cmpf {name}", kind, a, b).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["f32", "f64", "i64", "i32", "i8"])
def test_select(kind: str) -> None:
    a, b = pairs(kind)
    c = (np.arange(a.size) % 3 == 0).astype(np.int8)
    body = (
        f"%never = arith.constant 0 : i8\n%i = arith.cmpi ne, %c0, %never : i8\n%r = arith.select %i, %a0, %b0 : {kind}"
    )
    assert_bits(apply(body, (kind, kind, "i8", kind), a, b, c), np.where(c, a, b))


CASTS: dict[str, tuple[str, str, Callable[[Array], Array]]] = {
    "extui": ("i8", "i64", lambda x: x.view(np.uint8).astype(np.int64)),
    "extsi": ("i8", "i64", lambda x: x.astype(np.int64)),
    "trunci": ("i64", "i8", lambda x: x.astype(np.int8)),
    "sitofp": ("i64", "f32", lambda x: x.astype(np.float32)),
    "extf": ("f32", "f64", lambda x: x.astype(np.float64)),
    "truncf": ("f64", "f32", lambda x: x.astype(np.float32)),
}


@pytest.mark.parametrize("op", CASTS)
def test_casts(op: str) -> None:
    source, target, numpy = CASTS[op]
    with np.errstate(all="ignore"):
        expected = numpy(VALUES[source])
    found = apply(f"%r = arith.{op} %a0 : {source} to {target}", (source, target), VALUES[source])
    assert_bits(found, expected)


def test_an_index_keeps_its_sign() -> None:
    there = apply(
        "%r0 = arith.index_cast %a0 : i32 to index\n%r = arith.index_cast %r0 : index to i64", ("i32", "i64"), I32
    )
    assert there.tolist() == I32.tolist()
    back = apply(
        "%r0 = arith.index_cast %a0 : i64 to index\n%r = arith.index_cast %r0 : index to i32", ("i64", "i32"), I64
    )
    assert back.tolist() == I64.astype(np.int32).tolist()


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_floats_that_no_integer_holds_become_the_nearest(kind: str) -> None:
    """nan becomes 0, as LLVM's saturating conversion defines it."""
    with np.errstate(invalid="ignore"):
        clipped = np.clip(np.trunc(VALUES[kind].astype(np.float64)), -(2**31), 2**31 - 1)
    expected = np.where(np.isnan(clipped), 0, clipped).astype(np.int64)
    assert apply(f"%r = arith.fptosi %a0 : {kind} to i32", (kind, "i32"), VALUES[kind]).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_floor(kind: str) -> None:
    values = np.concatenate([VALUES[kind], VALUES[kind] + VALUES[kind].dtype.type(0.5)])
    assert_bits(apply(f"%r = math.floor %a0 : {kind}", (kind, kind), values), np.floor(values))


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize(("op", "numpy"), [("maximumf", np.maximum), ("minimumf", np.minimum)])
def test_the_larger_and_the_smaller(op: str, numpy: Two, kind: str) -> None:
    """nan wins; of zeros of either sign the sign is IEEE's, which numpy leaves open."""
    a, b = pairs(kind)
    found = apply(f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b)
    np.testing.assert_array_equal(found, numpy(a, b))
    zeros = (a == 0) & (b == 0)
    negative = np.logical_and if op == "maximumf" else np.logical_or
    np.testing.assert_array_equal(np.signbit(found[zeros]), negative(np.signbit(a), np.signbit(b))[zeros])


def test_a_view_reads_at_any_byte() -> None:
    content = np.arange(40, dtype=np.uint8)
    result = np.zeros(32, np.int64)
    module = parsed(
        "func.func @main(%steps: index, %a: memref<40xi8>, %b: memref<32xi64>) {\n"
        "%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n%size = arith.constant 32 : index\n"
        "scf.for %n = %zero to %size step %one {\n"
        "%v = memref.view %a[%n][] : memref<40xi8> to memref<1xi64>\n%w = memref.load %v[%zero] : memref<1xi64>\n"
        "memref.store %w, %b[%n] : memref<32xi64>\n}\nfunc.return\n}"
    )
    call(module, content, result)
    assert result.tolist() == [int.from_bytes(bytes(range(n, n + 8)), sys.byteorder) for n in range(32)]


def test_branches_and_values_that_loops_carry() -> None:
    """How many numbers below 5 there are, and where they are."""
    x = np.array([7, 1, 9, 4, 4, 5, 0, 8], np.int64)
    found, count = np.full(8, -1, np.int64), np.zeros(1, np.int64)
    module = parsed(
        "func.func @main(%steps: index, %a: memref<8xi64>, %b: memref<8xi64>, %c: memref<1xi64>) {\n"
        "%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n%five = arith.constant 5 : i64\n"
        "%r = scf.for %n = %zero to %steps step %one iter_args(%k = %zero) -> (index) {\n"
        "%v = memref.load %a[%n] : memref<8xi64>\n%i = arith.cmpi slt, %v, %five : i64\n"
        "%next = scf.if %i -> (index) {\n%p = arith.index_cast %n : index to i64\n"
        "memref.store %p, %b[%k] : memref<8xi64>\n%more = arith.addi %k, %one : index\nscf.yield %more : index\n"
        "} else {\nscf.yield %k : index\n}\nscf.yield %next : index\n}\n"
        "%t = arith.index_cast %r : index to i64\nmemref.store %t, %c[%zero] : memref<1xi64>\nfunc.return\n}"
    )
    call(module, x, found, count, steps=7)
    assert (found.tolist(), count.tolist()) == ([1, 3, 4, 6, -1, -1, -1, -1], [4])


def test_parameters_alias_nothing() -> None:
    """Without it LLVM would not keep sums in registers across a store."""
    (op,) = lowered(parsed(function("%r = arith.addf %a0, %a0 : f32", F32, F32, kinds=("f32", "f32")))).ops
    assert isinstance(op, llvm.FuncOp)
    assert op.arg_attrs is not None
    assert [sorted(attributes.data) for attributes in op.arg_attrs] == [[], ["llvm.noalias"], ["llvm.noalias"]]


def test_what_has_no_lowering_is_refused_by_name() -> None:
    body = "%s = math.sin %a0 : f32\n%t = arith.negf %s : f32\n%r = math.sin %t : f32"
    with pytest.raises(PassFailedException) as raised:
        lowered(parsed(function(body, F32, F32, kinds=("f32", "f32"))))
    assert str(raised.value) == "no lowering to llvm for arith.negf, math.sin"


def test_golden(golden: Callable[[str], None]) -> None:
    body = "%s = arith.addf %a0, %a0 : f32\n%r = math.floor %s : f32"
    golden(f"{lowered(parsed(function(body, F32, F32, kinds=('f32', 'f32'))))!s}\n")
    with np.errstate(all="ignore"):
        assert_bits(apply(body, ("f32", "f32"), F32), np.floor(F32 + F32))


@pytest.mark.parametrize(
    ("triple", "width"),
    [("riscv32-unknown-elf", 32), ("thumbv7em-none-eabi", 32), ("aarch64-linux-gnu", 64), ("x86_64-linux-gnu", 64)],
)
def test_an_index_is_as_wide_as_a_pointer_of_the_machine(triple: str, width: int) -> None:
    body = "%k = arith.index_cast %n : index to i64\n%r = arith.addi %k, %a0 : i64"
    module = parsed(function(body, I64, I64, kinds=("i64", "i64")))
    ConvertLoopsToLlvmPass(triple).apply(context(), module)
    module.verify()
    assert module.attributes["llvm.target_triple"] == StringAttr(triple)
    (main,) = module.ops
    text = str(main)
    assert isinstance(main, llvm.FuncOp)
    assert [str(kind) for kind in main.function_type.inputs] == [f"i{width}", "!llvm.ptr", "!llvm.ptr"]
    assert ("llvm.sext" in text) == (width == 32)


def test_without_a_triple_an_index_has_64_bits() -> None:
    (main,) = lowered(parsed(function("%r = arith.addf %a0, %a0 : f32", F32, F32, kinds=("f32", "f32")))).ops
    assert isinstance(main, llvm.FuncOp)
    assert str(main.function_type.inputs.data[0]) == "i64"


def test_what_32_bits_do_not_reach_is_refused() -> None:
    text = function("%r = arith.addf %a0, %a0 : f32", F32, F32, kinds=("f32", "f32"))
    text = text.replace("constant 14 : index", "constant 2147483648 : index")
    lowered(parsed(text))
    with pytest.raises(PassFailedException, match="index 2147483648, which pointers of 32 bits do not reach"):
        ConvertLoopsToLlvmPass("riscv32-unknown-elf").apply(context(), parsed(text))


def test_a_machine_that_llvm_does_not_know() -> None:
    module = parsed(function("%r = arith.addf %a0, %a0 : f32", F32, F32, kinds=("f32", "f32")))
    with pytest.raises(PassFailedException, match=r"^triple 'vax': LLVM has no such machine; known are for instance"):
        ConvertLoopsToLlvmPass("vax").apply(context(), module)
