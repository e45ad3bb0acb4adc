"""Target `c`: op by op against the numbers of numpy, whole networks against the evaluator, under several compilers'
flags; fixed point against a model in integers written here; what has no C is refused."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

import nirc
from nirc.backends.c.emit import c_file, number
from nirc.backends.c.interface import Interface
from nirc.dialects import cpu
from nirc.dialects.dense import Array, dense, tensor
from nirc.driver import Program

sys.path.append(str(Path(__file__).parents[2]))
sys.path.append(str(Path(__file__).parents[2] / "passes"))
from compiled_c import STRICT, Library, assert_equal, gcc, needs_gcc, of_c
from loop_functions import parsed
from test_convert_loops_to_llvm import (
    CASTS,
    DTYPES,
    F32,
    FLOAT_BINARY,
    INTEGER_BINARY,
    ORDERED,
    SIGNED,
    UNSIGNED,
    VALUES,
    assert_bits,
    function,
    pairs,
)

EXAMPLES = Path(__file__).parents[3] / "examples"
RNG = np.random.default_rng(3)


# Ops


def called(folder: Path, body: str, kinds: tuple[str, ...], *inputs: Array) -> Array:
    """Element by element, as C: the buffers are scratch memory, written and read from outside."""
    result = np.full(inputs[0].size, 77, DTYPES[kinds[-1]])
    buffers = (*inputs, result)
    module = parsed(function(body, *buffers, kinds=kinds))
    arguments = [
        cpu.ArgumentAttr("scratch", f"b{n}", tensor((b.size,), dense(b).get_element_type()))
        for n, b in enumerate(buffers)
    ]
    (main,) = module.ops
    module.body.block.insert_op_before(cpu.KernelOp("main", arguments), main)
    module.verify()
    folder = Path(tempfile.mkdtemp(dir=folder))  # a library that is loaded may not be written over
    (folder / "net.c").write_text(c_file(Interface(module, "net")))
    (folder / "net.h").write_text(Interface(module, "net").header())
    flags = ("-O2", "-march=native", "-Wno-unused-parameter", "-fPIC", "-shared")
    gcc(*STRICT, *flags, "-o", folder / "net.so", folder / "net.c")
    library, offsets = Library(folder / "net.so", folder / "net.h"), Interface(module, "net").offsets()
    for argument, buffer in zip(arguments, buffers, strict=True):
        library.state[offsets[argument] :][: buffer.nbytes] = np.frombuffer(buffer.tobytes(), np.uint8)
    library.call("run", 0)
    found = library.state[offsets[arguments[-1]] :][: result.nbytes]
    return np.frombuffer(found.tobytes(), result.dtype)


@needs_gcc
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("op", FLOAT_BINARY)
def test_arithmetic_of_floats(tmp_path: Path, op: str, kind: str) -> None:
    a, b = pairs(kind)
    with np.errstate(all="ignore"):
        expected = FLOAT_BINARY[op](a, b)
    assert_bits(called(tmp_path, f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b), expected)


@needs_gcc
@pytest.mark.parametrize("kind", ["i64", "i32", "i8"])
@pytest.mark.parametrize("op", INTEGER_BINARY)
def test_arithmetic_of_integers(tmp_path: Path, op: str, kind: str) -> None:
    a, b = pairs(kind)
    with np.errstate(all="ignore"):
        expected = INTEGER_BINARY[op](a, b)
    assert_bits(called(tmp_path, f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b), expected)


@needs_gcc
@pytest.mark.parametrize("kind", ["i64", "i32", "i8"])
def test_division_without_sign(tmp_path: Path, kind: str) -> None:
    a, b = pairs(kind)
    a, b = a[b != 0], b[b != 0]
    unsigned = np.dtype(f"u{a.itemsize}")
    for op, expected in (
        ("divui", a.view(unsigned) // b.view(unsigned)),
        ("remui", a.view(unsigned) % b.view(unsigned)),
    ):
        found = called(tmp_path, f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b)
        assert found.view(unsigned).tolist() == expected.tolist()


@needs_gcc
@pytest.mark.parametrize("kind", ["i64", "i32"])
def test_arithmetic_with_sign(tmp_path: Path, kind: str) -> None:
    """Towards minus infinity, as Python divides; shifts keep the sign."""
    a, b = pairs(kind)
    fits = (b != 0) & ~((a == np.iinfo(a.dtype).min) & (b == -1))
    a, b = a[fits], b[fits]
    found = called(tmp_path, f"%r = arith.floordivsi %a0, %b0 : {kind}", (kind,) * 3, a, b)
    assert found.tolist() == [x // y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    bits = np.full_like(a, 5)
    assert called(tmp_path, f"%r = arith.shrsi %a0, %b0 : {kind}", (kind,) * 3, a, bits).tolist() == (a >> 5).tolist()
    for op, expected in (("maxsi", np.maximum(a, b)), ("minsi", np.minimum(a, b))):
        assert called(tmp_path, f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b).tolist() == expected.tolist()


@needs_gcc
@pytest.mark.parametrize("kind", ["i64", "i32", "i8"])
def test_comparison_of_integers(tmp_path: Path, kind: str) -> None:
    a, b = pairs(kind)
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    for name, compare in {**SIGNED, **UNSIGNED}.items():
        expected = compare(a, b) if name in SIGNED else compare(a.view(unsigned), b.view(unsigned))
        body = f"%i = arith.cmpi {name}, %a0, %b0 : {kind}\n%r = arith.extui %i : i1 to i8"
        assert called(tmp_path, body, (kind, kind, "i8"), a, b).tolist() == expected.tolist(), name


@needs_gcc
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_comparison_of_floats(tmp_path: Path, kind: str) -> None:
    a, b = pairs(kind)
    none = np.isnan(a) | np.isnan(b)
    ordered = {**ORDERED, "ole": np.less_equal}
    cases = {name: compare(a, b) for name, compare in ordered.items()}
    cases |= {f"u{name[1:]}": compare(a, b) | none for name, compare in ordered.items()}
    cases |= {"une": a != b, "one": (a != b) & ~none, "uno": none, "ord": ~none}
    assert len(cases) == 14
    for name, expected in cases.items():
        body = f"%i = arith.cmpf {name}, %a0, %b0 : {kind}\n%r = arith.extui %i : i1 to i8"
        assert called(tmp_path, body, (kind, kind, "i8"), a, b).tolist() == expected.tolist(), name


@needs_gcc
@pytest.mark.parametrize("op", CASTS)
def test_casts(tmp_path: Path, op: str) -> None:
    source, target, numpy = CASTS[op]
    with np.errstate(all="ignore"):
        expected = numpy(VALUES[source])
    body = f"%r = arith.{op} %a0 : {source} to {target}"
    assert_bits(called(tmp_path, body, (source, target), VALUES[source]), expected)


@needs_gcc
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_floor_and_conversion(tmp_path: Path, kind: str) -> None:
    dtype = DTYPES[kind]
    near = np.concatenate(
        [np.nextafter(whole, [-np.inf, np.inf], dtype=dtype) for whole in np.arange(-3, 4, dtype=dtype)]
    )
    ends = np.array([2**22 + 0.5, -(2**22) - 0.5, 2**23, 2**31, 2**31 - 1, -(2**31), 2**52 + 1, 2**53], dtype)
    values = np.concatenate([VALUES[kind], VALUES[kind] + dtype.type(0.5), near, ends, -ends])
    assert_bits(called(tmp_path, f"%r = math.floor %a0 : {kind}", (kind, kind), values), np.floor(values))
    with np.errstate(invalid="ignore"):
        clipped = np.clip(np.trunc(values.astype(np.float64)), -(2**31), 2**31 - 1)
    expected = np.where(np.isnan(clipped), 0, clipped).astype(np.int64)
    assert (
        called(tmp_path, f"%r = arith.fptosi %a0 : {kind} to i32", (kind, "i32"), values).tolist() == expected.tolist()
    )


@needs_gcc
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("op", ["maximumf", "minimumf"])
def test_the_larger_and_the_smaller(tmp_path: Path, op: str, kind: str) -> None:
    a, b = pairs(kind)
    found = called(tmp_path, f"%r = arith.{op} %a0, %b0 : {kind}", (kind,) * 3, a, b)
    np.testing.assert_array_equal(found, (np.maximum if op == "maximumf" else np.minimum)(a, b))
    zeros = (a == 0) & (b == 0)
    negative = np.logical_and if op == "maximumf" else np.logical_or
    np.testing.assert_array_equal(np.signbit(found[zeros]), negative(np.signbit(a), np.signbit(b))[zeros])


@needs_gcc
def test_several_values_change_places_in_a_loop(tmp_path: Path) -> None:
    """Fibonacci: a, b = b, a + b; both next values are computed before either variable changes."""
    body = (
        "%x, %y = scf.for %k = %zero to %n step %one iter_args(%p = %a0, %q = %b0) -> (i64, i64) {\n"
        "%t = arith.addi %p, %q : i64\nscf.yield %q, %t : i64, i64\n}\n"
        "%first = arith.cmpi eq, %n, %zero : index\n"
        "%s, %o = scf.if %first -> (i64, i64) {\nscf.yield %y, %x : i64, i64\n"
        "} else {\nscf.yield %x, %y : i64, i64\n}\n"
        "%none = arith.muli %o, %a0 : i64\n%r = arith.addi %s, %none : i64"
    )
    zeros, ones = np.zeros(9, np.int64), np.ones(9, np.int64)
    assert called(tmp_path, body, ("i64",) * 3, zeros, ones).tolist() == [1, 1, 1, 2, 3, 5, 8, 13, 21]


def test_numbers_are_spelled_exactly() -> None:
    for value in (0.0, -0.0, 0.1, 1 / 3, 5e-324, -1.7976931348623157e308):
        assert np.float64(float.fromhex(number(value, 64))).tobytes() == np.float64(value).tobytes()
    for value in F32[np.isfinite(F32)]:
        text = number(float(value), 32)
        assert text.endswith("f")
        assert np.float32(float.fromhex(text[:-1])).tobytes() == value.tobytes()


def test_what_has_no_c_is_refused_by_name() -> None:
    module = parsed(function("%s = math.sin %a0 : f32\n%r = arith.negf %s : f32", F32, F32, kinds=("f32", "f32")))
    (main,) = module.ops
    kinds = [cpu.ArgumentAttr("scratch", label, tensor((F32.size,), dense(F32).get_element_type())) for label in "ab"]
    module.body.block.insert_op_before(cpu.KernelOp("main", kinds), main)
    with pytest.raises(PassFailedException, match=r"^no C for arith.negf, math.sin$"):
        c_file(Interface(module, "net"))


# Networks


def evaluated(model: str | Path, x: Array, **options: Any) -> dict[str, Array]:
    """The outputs of the evaluator of `snn`."""
    program = nirc.compile(model, **options)
    found: dict[str, Array] = program.run(dict.fromkeys(program.inputs, x))
    return found


FLAGS = (("-O2",), ("-O0",), ("-O3", "-march=native", "-ffp-contract=off"), ("-O3", "-march=native"))


def check(folder: Path, model: str | Path, x: Array, inputs: str = "graded", **options: Any) -> dict[str, Array]:
    """The C file under several flags gives what the evaluator gives, again after a reset, and in pieces."""
    expected = evaluated(model, x, **options)
    program = nirc.compile(model, "c", inputs=inputs, **options)
    for flags in FLAGS:
        library = of_c(folder, program, *flags)
        rasters = {name: x for constant, _, name in library.ports if constant}
        assert_equal(library.run(rasters, expected), expected, flags=flags)
        library.call("reset")
        assert_equal(library.run(rasters, expected), expected, flags=flags)
        library.call("reset")
        half = len(x) // 2
        parts = [
            library.run(dict.fromkeys(rasters, x[part]), {name: v[part] for name, v in expected.items()})
            for part in (slice(None, half), slice(half, None))
        ]
        assert_equal({n: np.concatenate([part[n] for part in parts]) for n in expected}, expected, flags=flags)
    return expected


@needs_gcc
def test_braille(tmp_path: Path, shared: Path) -> None:
    x = np.load(shared / "cases/braille_recorded/braille_ds_test0_input_recovered.npy")
    model = shared / "models/braille_noDelay_noBias_subtract.nir"
    assert check(tmp_path, model, x, dt=1e-4, reset="subtract")["output"].sum() > 100


@needs_gcc
@pytest.mark.parametrize("inputs", ["graded", "events"])
def test_the_scnn(tmp_path: Path, shared: Path, inputs: str) -> None:
    x = (RNG.random((60, 2, 34, 34)) < 0.01).astype(np.uint8)
    assert check(tmp_path, shared / "models/cnn_sinabs.nir", x, inputs)["output"].any()


@needs_gcc
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("model", ["digits", "digits_recurrent", "digits_conv", "edges"])
def test_the_examples(tmp_path: Path, model: str, precision: str) -> None:
    raster = "digits" if model == "digits_recurrent" else model
    x = np.load(EXAMPLES / f"{raster}.npz")["input"]
    x = x[:, 3] if raster.startswith("digits") else x
    assert any(v.any() for v in check(tmp_path, EXAMPLES / f"{model}.nir", x, precision=precision).values())


V, Z, RING = "tensor<3x2x2xf32>", "tensor<3x2x2xi32>", "tensor<2x3x2x2xi32>"
FIRST = "[[[0.25, 0.5], [-0.5, 0.0]], [[1.5, 0.0], [0.0, -1.0]], [[0.0, 2.0], [0.0, 0.75]]]"
STEP = f"""
snn.network @main attributes {{inputs = ["x"], outputs = ["count", "image"], states = [
  #snn.state<"n", "v", dense<{FIRST}> : {V}>, #snn.state<"d", "ring", dense<0> : tensor<i32>>]}} {{
^bb0(%x: {V}, %v: {V}, %ring: {RING}):
%f = snn.filter %x, %v {{decay = dense<0.9> : tensor<f32>, gain = dense<1.3> : tensor<f32>}} : ({V}, {V}) -> {V}
%c = snn.clamp %f {{low = dense<-0.7> : tensor<f32>, high = dense<4.0> : tensor<f32>}} : ({V}) -> {V}
%z = snn.fire %c {{threshold = dense<0.6> : tensor<f32>, compare = ">="}} : ({V}) -> {Z}
%r = snn.reset %c, %z {{kind = "subtract", amount = dense<0.6> : tensor<f32>}} : ({V}, {Z}) -> {V}
%l, %n = snn.delay %z, %ring {{steps = dense<2> : tensor<i32>}} : ({Z}, {RING}) -> ({Z}, {RING})
snn.yield %l, %r, %r, %n : {Z}, {V}, {V}, {RING}
}}
"""


@needs_gcc
def test_counts_images_clamps_delays_and_first_values(tmp_path: Path) -> None:
    """Several spikes in a step, channels that C has last, states that start elsewhere than at 0."""
    path = tmp_path / "step.mlir"
    path.write_text(STEP)
    x = RNG.normal(0.5, 1, (40, 3, 2, 2)).astype(np.float32)
    expected = evaluated(path, x)
    assert expected["count"].max() > 2
    assert (expected["image"] == np.float32(-0.7)).any()
    check(tmp_path, path, x)


@needs_gcc
def test_the_header_is_for_other_languages_and_standards(tmp_path: Path) -> None:
    nirc.compile(EXAMPLES / "digits.nir", "c").save(tmp_path / "net.c")
    use = "void f(digits_state *s) { digits_init(s); digits_run(s, 0, 0, 0); }\n"
    for name, flags in (("a.c", ["-std=c99"]), ("b.cpp", ["-x", "c++", "-std=c++11"])):
        (tmp_path / name).write_text('#include "net.h"\n#include "net.h"\n' + use)
        gcc("-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags, tmp_path / name)
    # Included, the file declares the same as its header.
    (tmp_path / "d.c").write_text('#include "net.h"\n#include "net.c"\n#include "net.h"\n' + use)
    gcc(*STRICT, "-fsyntax-only", tmp_path / "d.c")


@needs_gcc
@pytest.mark.parametrize("precision", ["f32", "f64", "s15.16"])
def test_a_machine_of_32_bits_has_the_same_layout(tmp_path: Path, precision: str) -> None:
    """gcc checks the assertion on the size; numbers of 8 bytes need not be aligned to 8 on it."""
    if subprocess.run(["gcc", "-m32", "-E", "-"], input="", capture_output=True, text=True, check=False).returncode:
        pytest.skip("a gcc without -m32")
    path = tmp_path / "step.mlir"
    path.write_text(STEP.replace("f32", "f64") if precision == "f64" else STEP)
    program = nirc.load(path) if precision == "f64" else nirc.compile(path)
    options: dict[str, Any] = {} if precision != "s15.16" else {"precision": precision}
    nirc.compile(program, "c", **options).save(tmp_path / "net.c")
    gcc(*STRICT, "-m32", "-msse2", "-mfpmath=sse", "-ffreestanding", "-S", "-o", "/dev/null", tmp_path / "net.c")


@needs_gcc
def test_flags_that_change_results_are_refused(tmp_path: Path) -> None:
    nirc.compile(EXAMPLES / "digits.nir", "c").save(tmp_path / "net.c")
    command = ["gcc", "-ffast-math", "-c", "net.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "-ffast-math changes what the network computes" in done.stderr


def test_the_same_model_gives_the_same_file() -> None:
    texts = [nirc.compile(EXAMPLES / "edges.nir", "c").emit() for _ in range(2)]
    assert texts[0] == texts[1]


def test_the_file_says_what_was_assumed() -> None:
    program = nirc.compile(EXAMPLES / "digits.nir", "c")
    text = program.emit().decode()
    assert len(program.assumptions) >= 3
    assert all(f" *   {line}\n" in text for line in program.assumptions)
    assert "#define DIGITS_DT 0.001 " in text
    assert "-ffp-contract=off" in text.partition("*/")[0]


# Fixed point


def fixed(value: Array | float, fraction: int) -> Array:
    """The nearest multiples of 2^-fraction, as integers."""
    return np.rint(np.ldexp(np.asarray(value, np.float64), fraction)).astype(np.int64)


LOW, HIGH = -(2**31), 2**31 - 1


class FixedCuba:
    """A population of CubaLIF neurons in integers: i' = a i + g x; v' = b v + h i'; z = [v' > t]; v'' = v' - z t."""

    def __init__(self, node: Any, dt: float, fraction: int) -> None:
        tau_mem, tau_syn, r, w_in, threshold = (
            np.asarray(node[name], np.float64) for name in ("tau_mem", "tau_syn", "r", "w_in", "v_threshold")
        )
        assert not np.asarray(node["v_leak"]).any()
        self.fraction = fraction
        self.constants = [
            fixed(value, fraction)
            for value in (1 - dt / tau_syn, w_in * dt / tau_syn, 1 - dt / tau_mem, r * dt / tau_mem, threshold)
        ]
        self.i = self.v = np.zeros(tau_mem.shape, np.int64)

    def times(self, a: Array, b: Array) -> Array:
        return np.clip((a * b + (1 << self.fraction >> 1)) >> self.fraction, LOW, HIGH)

    def step(self, x: Array) -> Array:
        a, g, b, h, threshold = self.constants
        self.i = np.clip(self.times(a, self.i) + self.times(g, x), LOW, HIGH)
        v = np.clip(self.times(b, self.v) + self.times(h, self.i), LOW, HIGH)
        spikes = v > threshold
        self.v = np.clip(v - spikes * threshold, LOW, HIGH)
        return spikes


def fixed_model(path: Path, x: Array, dt: float, fraction: int, names: tuple[str, ...]) -> Array:
    """Linear, CubaLIF, Linear, CubaLIF; the first may feed itself. Sums of so few weights cannot leave 32 bits."""
    with h5py.File(path) as file:
        nodes: Any = file["node/nodes"]
        first, hidden, second, readout = names
        w1, w2 = (fixed(nodes[name]["weight"][()], fraction) for name in (first, second))
        recurrent = f"{hidden.partition('.')[0]}.w_rec"
        w_rec = fixed(nodes[recurrent]["weight"][()], fraction) if recurrent in nodes else np.zeros((len(w1),) * 2, int)
        layers = FixedCuba(nodes[hidden], dt, fraction), FixedCuba(nodes[readout], dt, fraction)
        spikes, out = np.zeros(len(w1), bool), list[Array]()
        for row in x.astype(np.int64):
            spikes = layers[0].step(w1 @ row + w_rec @ spikes)
            out.append(layers[1].step(w2 @ spikes))
    return np.array(out)


def coincidence(found: Array, expected: Array) -> float:
    """2 both / (spikes of the one + spikes of the other)."""
    return 2 * float((found & expected).sum()) / float(found.sum() + expected.sum())


DIGITS_NODES = ("fc_in", "hidden", "fc_out", "readout")
BRAILLE_NODES = ("fc1", "lif1.lif", "fc2", "lif2")


@needs_gcc
@pytest.mark.parametrize(
    ("precision", "inputs", "least"), [("s15.16", "graded", 0.97), ("s15.16", "events", 0.97), ("s7.24", "events", 1)]
)
def test_digits_in_fixed_point(tmp_path: Path, precision: str, inputs: str, least: float) -> None:
    """Equal to the model of integers; `least`: the coincidence with the spikes of f32 over 20 samples."""
    fraction = int(precision.partition(".")[2])
    model = EXAMPLES / "digits.nir"
    library = of_c(tmp_path, nirc.compile(model, "c", precision=precision, inputs=inputs), "-O2")
    rasters = np.load(EXAMPLES / "digits.npz")["input"][:, :20]
    real: Array = nirc.compile(model).run(rasters)
    found = np.zeros_like(real)
    for n in range(rasters.shape[1]):
        x = rasters[:, n].astype(np.int64) << (fraction if inputs == "graded" else 0)
        library.call("reset")
        found[:, n] = library.run({"input": x}, {"output": real[:, n]})["output"]
        expected = fixed_model(model, rasters[:, n], 1e-3, fraction, DIGITS_NODES)
        np.testing.assert_array_equal(found[:, n], expected)
    assert found.sum() > 500
    assert coincidence(found, real) >= least


@needs_gcc
@pytest.mark.parametrize("precision", ["s15.16", "s7.24"])
def test_the_figures_of_the_page(tmp_path: Path, precision: str) -> None:
    """Of all test digits: the coincidence with f32, and the accuracy."""
    library = of_c(tmp_path, nirc.compile(EXAMPLES / "digits.nir", "c", precision=precision, inputs="events"), "-O2")
    rasters = np.load(EXAMPLES / "digits.npz")["input"]
    real: Array = nirc.compile(EXAMPLES / "digits.nir").run(rasters)
    found = np.zeros_like(real)
    for n in range(rasters.shape[1]):
        library.call("reset")
        found[:, n] = library.run({"input": rasters[:, n]}, {"output": real[:, n]})["output"]
    known = np.load(EXAMPLES / "digits_labels.npz")
    classes = np.argmax(found.sum(0, dtype=int) @ (2 * known["codes"].astype(int).T - 1), axis=1)
    same, right = 100 * coincidence(found, real), 100 * (classes == known["labels"]).mean()
    assert (
        f"| `{precision}` | {same:.1f} % | {right:.1f} % |"
        in (EXAMPLES.parent / "docs" / "targets" / "c.md").read_text()
    )


@needs_gcc
@pytest.mark.parametrize("precision", ["s15.16", "s7.24"])
def test_braille_in_fixed_point(tmp_path: Path, shared: Path, precision: str) -> None:
    fraction = int(precision.partition(".")[2])
    x = np.load(shared / "cases/braille_recorded/braille_ds_test0_input_recovered.npy")
    model = shared / "models/braille_noDelay_noBias_subtract.nir"
    options: dict[str, Any] = {"dt": 1e-4, "reset": "subtract"}
    real = evaluated(model, x, **options)["output"]
    for flags in FLAGS[:2]:
        library = of_c(tmp_path, nirc.compile(model, "c", precision=precision, **options), *flags)
        found = library.run({"input": x.astype(np.int64) << fraction}, {"output": real})["output"]
        np.testing.assert_array_equal(found, fixed_model(model, x, 1e-4, fraction, BRAILLE_NODES))
        assert coincidence(found, real) == 1


@needs_gcc
def test_a_fixed_point_file_needs_no_floats(tmp_path: Path) -> None:
    program = nirc.compile(EXAMPLES / "digits_recurrent.nir", "c", precision="s15.16")
    program.save(tmp_path / "net.c")
    assembly = gcc("-std=c11", "-O2", "-mgeneral-regs-only", "-S", "-o", "-", tmp_path / "net.c").stdout
    assert "xmm" not in assembly
    assert "digits_recurrent_run" in assembly
    assert any(line.startswith("fixed point: ") for line in program.assumptions)
    assert any(line.startswith("precision: numbers of 32 bits, 16 of them") for line in program.assumptions)


@pytest.mark.parametrize("precision", ["s16.16", "s15.15", "q16.16", "s31.1", "f16", "fixed"])
def test_a_precision_that_is_none(precision: str) -> None:
    with pytest.raises(DiagnosticException, match=r"is neither f32 nor f64 nor sM\.N with M \+ N = 31, as s15\.16"):
        nirc.compile(EXAMPLES / "digits.nir", "c", precision=precision)


def test_only_c_has_fixed_point() -> None:
    with pytest.raises(DiagnosticException, match=r"precision 's15\.16' is neither f32 nor f64"):
        nirc.compile(EXAMPLES / "digits.nir", "cpu", precision="s15.16")


def test_printed_loops_are_written_as_they_stand() -> None:
    program = nirc.compile(EXAMPLES / "digits.nir", "c", precision="s15.16")
    assert Program(parsed(program.text()), "c", source="digits.nir").emit() == program.emit()


NAMES = ("int", "class", "linux", "size_t", "INT32_MAX", "steps", "2x", "größe", "a b")


@needs_gcc
@pytest.mark.parametrize("standard", ["c11", "gnu11", "c++11"])
def test_names_that_c_has_taken(tmp_path: Path, standard: str) -> None:
    inputs = ", ".join(f'"{name}"' for name in NAMES)
    kind = "tensor<2xf32>"
    arguments = ", ".join(f"%x{n}: {kind}" for n in range(len(NAMES)))
    values, kinds = ", ".join(f"%x{n}" for n in range(len(NAMES))), ", ".join([kind] * len(NAMES))
    path = tmp_path / "2 networks-a.mlir"
    path.write_text(
        f'snn.network @main attributes {{inputs = [{inputs}], outputs = ["y"], states = []}} {{\n^bb0({arguments}):\n'
        f"%s = snn.sum {values} : ({kinds}) -> {kind}\nsnn.yield %s : {kind}\n}}\n"
    )
    nirc.compile(path, "c").save(tmp_path / "net.c")
    assert "void n2_networks_a_run(" in (tmp_path / "net.h").read_text()
    if standard == "c++11":
        gcc("-x", "c++", "-std=c++11", "-Wall", "-Werror", "-fsyntax-only", tmp_path / "net.h")
    else:
        gcc(f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", tmp_path / "net.c")
