"""Ahead of time: what C programs link gives what the evaluator and the compiled run give; other machines; bad calls."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import llvmlite.binding as llvm
import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import nirc
from nirc.backends.cpu import ahead
from nirc.backends.cpu.compile import Machine
from nirc.dialects.dense import Array
from nirc.driver import Program
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2]))
from compiled_c import Library, assert_equal, gcc, needs_gcc, of_c, shared
from test_compile import linear
from test_schemes import DT, PLAIN

EXAMPLES = Path(__file__).parents[3] / "examples"
DIGITS = EXAMPLES / "digits.nir"
ELF = Machine.host().triple.endswith("linux-gnu")
needs_elf = pytest.mark.skipif(not ELF, reason="a machine without ELF files")


def outputs(program: Program, x: Array) -> dict[str, Array]:
    """What a program gives, by name."""
    found: dict[str, Array] = program.run(dict.fromkeys(program.inputs, x))
    return found


def check(library: Library, model: str | Path, x: Array, **options: Any) -> dict[str, Array]:
    """The library, the evaluator and the compiled run give the same, in one piece, after a reset and in two pieces."""
    expected = outputs(nirc.compile(model, **options), x)
    assert_equal(outputs(nirc.compile(model, "cpu", **options), x), expected)
    rasters = {name: x for constant, _, name in library.ports if constant}
    for _ in range(2):
        assert_equal(library.run(rasters, expected), expected)
        library.call("reset")
    half = len(x) // 2
    parts = [
        library.run(dict.fromkeys(rasters, x[part]), {name: v[part] for name, v in expected.items()})
        for part in (slice(None, half), slice(half, None))
    ]
    assert_equal({name: np.concatenate([part[name] for part in parts]) for name in expected}, expected)
    return expected


# The same results


@needs_gcc
def test_braille(tmp_path: Path, shared_folder: Path) -> None:
    x = np.load(shared_folder / "cases/braille_recorded/braille_ds_test0_input_recovered.npy")
    model = shared_folder / "models/braille_noDelay_noBias_subtract.nir"
    options: dict[str, Any] = {"dt": 1e-4, "reset": "subtract"}
    library = shared(tmp_path, nirc.compile(model, "cpu", **options))
    assert check(library, model, x, **options)["output"].sum() > 100


@needs_gcc
@pytest.mark.parametrize("inputs", ["graded", "events"])
def test_the_scnn(tmp_path: Path, shared_folder: Path, inputs: str) -> None:
    x = (np.random.default_rng(3).random((60, 2, 34, 34)) < 0.01).astype(np.uint8)
    model = shared_folder / "models/cnn_sinabs.nir"
    library = shared(tmp_path, nirc.compile(model, "cpu", inputs=inputs))
    assert check(library, model, x)["output"].any()


@pytest.fixture
def shared_folder(shared: Path) -> Path:
    """The folder of shared models; `shared` is a function here."""
    return shared


@needs_gcc
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("model", ["digits", "digits_recurrent", "digits_conv", "edges"])
def test_the_examples(tmp_path: Path, model: str, precision: str) -> None:
    raster = "digits" if model == "digits_recurrent" else model
    x = np.load(EXAMPLES / f"{raster}.npz")["input"]
    x = x[:, 3] if raster.startswith("digits") else x
    library = shared(tmp_path, nirc.compile(EXAMPLES / f"{model}.nir", "cpu", precision=precision))
    assert any(v.any() for v in check(library, EXAMPLES / f"{model}.nir", x, precision=precision).values())


@needs_gcc
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme(tmp_path: Path, scheme: str, precision: str) -> None:
    """All types of neurons in a loop, five outputs: the library and the C file. Some schemes need a stronger drive."""
    path = tmp_path / "model.mlir"
    path.write_text(PLAIN)
    options: dict[str, Any] = {"dt": DT, "scheme": scheme, "precision": precision}
    weak = any(name in scheme for name in ("norse", "spikingjelly", "sc-neurocore"))
    x = (12 if weak else 1) * np.random.default_rng(5).normal(0.4, 1, (80, 3)).astype(np.float32)
    for library in (
        shared(tmp_path, nirc.compile(path, "cpu", **options)),
        of_c(tmp_path, nirc.compile(path, "c", **options), "-O2"),
    ):
        results = check(library, path, x, **options)
        assert len(results) == 5
        assert all(values.any() for values in results.values())


LEAKY = """
nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {
^bb0(%x: !nir.signal<3>):
%n = nir.lif "n"(%x) {tau = dense<0.5> : tensor<f64>, r = dense<2.0> : tensor<f64>,
  v_leak = dense<[0.5, 0.9, 0.0]> : tensor<3xf64>, v_threshold = dense<1.0> : tensor<f64>,
  v_reset = dense<0.25> : tensor<f64>} : (!nir.signal<3>) -> !nir.signal<3>
nir.yield %n : !nir.signal<3>
}
"""


@needs_gcc
def test_states_that_do_not_start_at_zero(tmp_path: Path) -> None:
    path = tmp_path / "leaky.mlir"
    path.write_text(LEAKY)
    x = np.random.default_rng(0).normal(0.5, 1, (50, 3)).astype(np.float32)
    spikes = check(shared(tmp_path, nirc.compile(path, "cpu", dt=0.1)), path, x, dt=0.1)["y"]
    assert 3 < spikes.sum() < 140


@needs_gcc
@needs_elf
def test_every_form_is_the_same_network(tmp_path: Path) -> None:
    """The object, the assembly and the LLVM IR, each linked."""
    program = nirc.compile(DIGITS, "cpu")
    for form, ending in ((None, ".o"), ("asm", ".s"), ("llvmir", ".ll")):
        program.save(tmp_path / f"net{ending}", form)
        built = tmp_path / f"net{ending}"
        if form == "llvmir":
            parsed = llvm.parse_assembly(built.read_text())
            built.with_suffix(".ir.o").write_bytes(Machine.host().target(pic=True).emit_object(parsed))
            built = built.with_suffix(".ir.o")
        gcc("-shared", "-o", tmp_path / f"net{ending}.so", built)
        library = Library(tmp_path / f"net{ending}.so", tmp_path / "net.h")
        check(library, DIGITS, np.load(EXAMPLES / "digits.npz")["input"][:, 5])


@needs_gcc
def test_two_networks_and_two_states_in_one_program(tmp_path: Path) -> None:
    """Names do not collide, and a state is all that a running network is."""
    nirc.compile(DIGITS, "cpu").save(tmp_path / "a.o")
    nirc.compile(DIGITS, "cpu", name="other").save(tmp_path / "b.o")
    (tmp_path / "main.c").write_text(
        '#include <string.h>\n#include "a.h"\n#include "b.h"\n'
        "static digits_state one, two;\nstatic other_state three;\n"
        "int main(void) {\n    static float x[40][16];\n    uint8_t y[3][40][8];\n"
        "    for (int n = 0; n < 640; n++) x[n / 16][n % 16] = n % 5 == 0;\n"
        "    digits_init(&one); digits_init(&two); other_init(&three);\n"
        "    for (int t = 0; t < 40; t++) {\n"
        "        digits_run(&one, 1, x[t], y[0][t]);\n        digits_run(&two, 1, x[t], y[1][t]);\n"
        "        other_run(&three, 1, x[t], y[2][t]);\n"
        "    }\n"
        "    int some = 0;\n    for (int n = 0; n < 320; n++) some += ((uint8_t *)y[0])[n];\n"
        "    return memcmp(y[0], y[1], 320) || memcmp(y[0], y[2], 320) || memcmp(&one, &two, sizeof one) || !some;\n}\n"
    )
    gcc("-Wall", "-Werror", "-o", tmp_path / "main", tmp_path / "main.c", tmp_path / "a.o", tmp_path / "b.o")
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


# Other machines

MACHINES = [
    ("aarch64-linux-gnu", None, 64, 183),
    ("thumbv7em-none-eabi", None, 32, 40),
    ("thumbv7em-none-eabihf", "cortex-m4", 32, 40),
    ("riscv32-unknown-elf", None, 32, 243),
    ("riscv64-linux-gnu", "sifive-u74", 64, 243),
    ("x86_64-linux-gnu", None, 64, 62),
]
"""Triple, CPU, bits of a pointer, ELF's e_machine (gABI, table of machines)."""


@pytest.mark.parametrize(("triple", "cpu", "bits", "machine"), MACHINES)
@pytest.mark.parametrize("model", ["digits_recurrent", "digits_conv"])
def test_an_object_for_another_machine(model: str, triple: str, cpu: str | None, bits: int, machine: int) -> None:
    program = nirc.compile(EXAMPLES / f"{model}.nir", "cpu", triple=triple, cpu=cpu)
    content = program.emit()
    assert content[:4] == b"\x7fELF"
    assert content[4] == bits // 32
    assert [int.from_bytes(content[at : at + 2], "little") for at in (16, 18)] == [1, machine]
    text = program.emit("llvmir").decode()
    assert f'target triple = "{triple}"' in text
    kernel = re.search(r"define hidden void @\w+_kernel\((\w+) ", text)
    assert kernel is not None
    assert kernel[1] == f"i{bits}"
    assert triple in program.files()[".h"].decode()


def test_assembly_for_another_machine_holds_the_data() -> None:
    """Words, whatever order their bytes take in memory."""
    for triple in ("thumbv7em-none-eabi", "riscv32-unknown-elf", "aarch64-linux-gnu", "s390x-linux-gnu"):
        text = nirc.compile(DIGITS, "cpu", triple=triple).emit("asm").decode()
        words = [int(word, 16) for word in re.findall(r"0x[0-9a-f]{8}\b", text)]
        assert len(words) >= 960 + 480
        found = np.array(words, np.uint32)
        stored = np.asarray(read_weight("fc_in"), np.float32).T.ravel().view(np.uint32)
        start = int(np.flatnonzero(found == stored[0])[0])
        np.testing.assert_array_equal(found[start : start + stored.size], stored)


def read_weight(node: str) -> Array:
    """A weight of the digits as the file holds it."""
    with h5py.File(DIGITS) as file:
        return np.asarray(file[f"node/nodes/{node}/weight"])


def test_data_of_a_machine_that_stores_the_high_byte_first() -> None:
    content = nirc.compile(DIGITS, "cpu", triple="s390x-linux-gnu").emit()
    assert content[5] == 2
    assert content.count(read_weight("fc_in").astype(">f4").T.tobytes()) == 1


QEMU, CROSS = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static"), shutil.which("aarch64-linux-gnu-gcc")

MAIN = """
#include <stdio.h>
#include "net.h"
static digits_conv_state state;
static float x[STEPS * DIGITS_CONV_INPUT_SIZE];
static uint8_t y[STEPS * DIGITS_CONV_OUTPUT_SIZE];
int main(void) {
    digits_conv_init(&state);
    if (fread(x, sizeof x[0], sizeof x / sizeof x[0], stdin) != sizeof x / sizeof x[0]) return 1;
    digits_conv_run(&state, STEPS, x, y);
    return fwrite(y, 1, sizeof y, stdout) != sizeof y;
}
"""


@pytest.mark.skipif(QEMU is None or CROSS is None, reason="no qemu-aarch64 or no aarch64-linux-gnu-gcc")
def test_aarch64_runs(tmp_path: Path) -> None:
    model = EXAMPLES / "digits_conv.nir"
    x = np.load(EXAMPLES / "digits_conv.npz")["input"][:, 3].astype(np.float32)
    nirc.compile(model, "cpu", triple="aarch64-linux-gnu").save(tmp_path / "net.o")
    (tmp_path / "main.c").write_text(MAIN)
    sources = (tmp_path / "main.c", tmp_path / "net.o")
    command = [str(CROSS), "-static", f"-DSTEPS={len(x)}", "-o", tmp_path / "main", *sources, "-lm"]
    subprocess.run(command, check=True)
    done = subprocess.run([str(QEMU), tmp_path / "main"], input=x.tobytes(), capture_output=True, check=True)
    expected = outputs(nirc.compile(model), x)["output"]
    assert expected.any()
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.uint8).reshape(expected.shape), expected)


# Weights stay out of LLVM


def test_large_weights_do_not_pass_through_llvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB of weights in the object, a few thousand characters of LLVM IR."""
    texts, original = list[str](), ahead.optimized_text

    def spy(text: str, machine: Machine, *, pic: bool = False) -> Any:
        texts.append(text)
        return original(text, machine, pic=pic)

    monkeypatch.setattr(ahead, "optimized_text", spy)
    sizes = list[int]()
    for size in (512, 4096):
        path = linear(tmp_path, size, size)
        content = nirc.compile(path, "cpu").emit()
        weight = np.random.default_rng(1).normal(size=(size, size)).astype(np.float32)
        assert len(content) < weight.nbytes + 30_000
        # The first tile of 64 outputs, input by input.
        assert content.count(weight[:64].T.tobytes()) == 1
        assert content.count(weight[-64:].T.tobytes()) == 1
        sizes.append(len(texts.pop()))
    assert 1000 < sizes[0] < 30_000
    assert abs(sizes[1] - sizes[0]) < 200


def test_llvm_may_not_take_the_reserved_zeros_for_the_data() -> None:
    """Even inlined: with the weights known to be 0 no loop would be left."""
    text = nirc.compile(DIGITS, "cpu").emit("llvmir").decode()
    assert text.count("externally_initialized constant") == 1
    assert "zeroinitializer" not in text.partition("define")[0]
    kernel = text.partition("_kernel(")[2].partition("\n}")[0]
    assert "fmul" in kernel


def test_only_three_functions_leave_a_library(tmp_path: Path) -> None:
    if not ELF or shutil.which("nm") is None or shutil.which("gcc") is None:
        pytest.skip("no nm or no gcc")
    nirc.compile(DIGITS, "cpu").save(tmp_path / "net.so", "shared")
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", tmp_path / "net.so"], capture_output=True, text=True, check=True
    )
    assert sorted(re.findall(r" T (\w+)", listed.stdout)) == ["digits_init", "digits_reset", "digits_run"]


# Bad calls


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"triple": "nonsense"},
            "triple 'nonsense': LLVM has no such machine; known are for instance x86_64-linux-gnu",
        ),
        ({"triple": ""}, "triple '': LLVM has no such machine"),
        ({"triple": "riscv32-unknown-elf", "cpu": "z80"}, "--cpu z80: LLVM knows no such CPU of riscv32-unknown-elf"),
        ({"cpu": "cortex-m4"}, "--cpu cortex-m4: LLVM knows no such CPU"),
        ({"name": "my-net"}, "--name 'my-net': no name of C; my_net would do"),
        ({"name": "int"}, "--name 'int': no name of C; int_ would do"),
        ({"name": ""}, "--name '': no name of C; n would do"),
        ({"inputs": "floats"}, "inputs 'floats' is not one of graded, sparse, events"),
    ],
)
def test_a_bad_option(options: dict[str, Any], text: str) -> None:
    with pytest.raises(DiagnosticException) as raised:
        nirc.compile(DIGITS, "cpu", **options).emit()
    assert str(raised.value).startswith(text)


def test_a_form_that_is_none() -> None:
    with pytest.raises(
        DiagnosticException, match="the target cpu does not write 'exe'; it writes llvmir, asm, obj, shared"
    ):
        nirc.compile(DIGITS, "cpu").emit("exe")
    with pytest.raises(DiagnosticException, match="the target c does not write 'obj'; it writes its own format alone"):
        nirc.compile(DIGITS, "c").emit("obj")


@pytest.mark.parametrize(
    ("compiler", "text"),
    [
        ("no-such-compiler", "'no-such-compiler' cannot be run: No such file or directory; install one, name yours in"),
        ("false", "--emit shared: 'false' cannot link"),
    ],
)
def test_a_library_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, compiler: str, text: str) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(DiagnosticException, match=re.escape(text)):
        nirc.compile(DIGITS, "cpu").emit("shared")


def test_an_index_beyond_32_bits_is_refused(tmp_path: Path) -> None:
    """A raster of 2^31 inputs has no place in a memory of 2^32 bytes."""
    path = tmp_path / "step.mlir"
    path.write_text(
        'snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {\n'
        "^bb0(%x: tensor<4294967296xf32>):\n"
        '%y = snn.fire %x {threshold = dense<1.0> : tensor<f32>, compare = ">"} '
        ": (tensor<4294967296xf32>) -> tensor<4294967296xi1>\nsnn.yield %y : tensor<4294967296xi1>\n}\n"
    )
    assert nirc.compile(path, "cpu", triple="aarch64-linux-gnu").emit()
    with pytest.raises(DiagnosticException, match="index 4294967296, which pointers of 32 bits do not reach"):
        nirc.compile(path, "cpu", triple="riscv32-unknown-elf").emit()
