"""Names, layout and text of the C interface: everything that C cannot spell or would confuse is refused at once."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp, f32, f64, i1, i8, i16, i32, i64
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.c.interface import Interface, comment, identifier, plain
from nirc.dialects import cpu, nir
from nirc.dialects.dense import ElementType, dense, tensor


def argument(role: str, label: str, shape: tuple[int, ...], element: ElementType = f32) -> cpu.ArgumentAttr:
    zero: dict[ElementType, Any] = {
        f32: np.float32,
        f64: np.float64,
        i1: np.bool_,
        i8: np.int8,
        i16: np.int16,
        i32: np.int32,
        i64: np.int64,
    }
    held = dense(np.zeros((), zero[element])) if role in ("state", "constant") else None
    return cpu.ArgumentAttr(role, label, tensor(shape, element), held)


def module(*arguments: cpu.ArgumentAttr) -> ModuleOp:
    return ModuleOp([cpu.KernelOp("main", arguments)])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("digits", "digits"),
        ("my-net.v2", "my_net_v2"),
        ("2net", "n2net"),
        ("", "n"),
        ("größe", "gr__e"),
        ("int", "int_"),
        ("class", "class_"),
        ("state", "state_"),
        ("steps", "steps_"),
        ("a\nb", "a_b"),
        ("size_t", "size_t_"),
        ("INT32_MAX", "INT32_MAX_"),
        ("NULL", "NULL_"),
        ("linux", "linux_"),
        ("_x", "_x"),
    ],
)
def test_a_name_of_c(text: str, name: str) -> None:
    assert identifier(text) == name
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    assert identifier(name) == name


def test_names_that_collide_are_all_refused_at_once() -> None:
    clash = module(
        argument("input", "a.b", (1,)),
        argument("input", "a_b", (1,)),
        argument("output", "Out", (1,)),
        argument("output", "out", (1,)),
        argument("state", "n.1.v", (1,)),
        argument("state", "n_1.v", (1,)),
        argument("state", "n.1_v", (1,)),
    )
    with pytest.raises(DiagnosticException) as raised:
        Interface(clash, "my net")
    assert str(raised.value).splitlines() == [
        "--name 'my net': no name of C; my_net would do",
        "Input or Output 'a.b' and 'a_b': C would call both A_B; rename the nodes",
        "Input or Output 'Out' and 'out': C would call both OUT; rename the nodes",
        "state 'n.1.v' and 'n_1.v' and 'n.1_v': C would call all n_1_v; rename the nodes",
    ]


def test_an_input_and_an_output_share_no_name() -> None:
    with pytest.raises(DiagnosticException, match="Input or Output 'x-1' and 'x_1': C would call both X_1"):
        Interface(module(argument("input", "x-1", (1,)), argument("output", "x_1", (1,))), "net")


def test_a_state_and_scratch_memory_share_no_name() -> None:
    with pytest.raises(DiagnosticException, match=r"state 'scratch\.0' and 'y\.1': C would call both scratch_0"):
        Interface(module(argument("state", "scratch.0", (1,)), argument("scratch", "y.1", (1,))), "net")


def test_a_type_that_c_has_not_is_refused() -> None:
    with pytest.raises(DiagnosticException, match="scratch 's': C has no type for elements of i16"):
        Interface(module(argument("scratch", "s", (1,), i16)), "net")


def test_a_module_without_one_network() -> None:
    for held in (ModuleOp([]), ModuleOp([cpu.KernelOp("a", []), cpu.KernelOp("b", [])])):
        with pytest.raises(DiagnosticException, match=r"C has functions for one network, the module holds [02]"):
            Interface(held, "net")


def test_fields_stand_where_every_compiler_puts_them() -> None:
    """Large elements first, states and scratch memory apart, each part a multiple of 8 bytes."""
    interface = Interface(
        module(
            argument("state", "z", (3,), i1),
            argument("state", "head", (1,), i64),
            argument("state", "v", (5,)),
            argument("scratch", "s", (2,), i8),
            argument("scratch", "d", (2,), f64),
        ),
        "net",
    )
    found = [(field.kind, field.name, field.elements, field.offset) for field in interface.fields]
    assert found == [
        ("int64_t", "head", 1, 0),
        ("float", "v", 5, 8),
        ("uint8_t", "z", 3, 28),
        ("uint8_t", "unused_31", 1, 31),
        ("double", "scratch_1", 2, 32),
        ("uint8_t", "scratch_0", 2, 48),
        ("uint8_t", "unused_50", 6, 50),
    ]
    assert (interface.states_end, interface.size) == (32, 56)


def test_a_network_without_memory_has_a_state() -> None:
    interface = Interface(module(argument("input", "x", (1,)), argument("output", "y", (1,))), "net")
    assert interface.size == 8
    assert "#define NET_STATE_SIZE 8\n" in interface.header()


def test_the_header_says_what_an_element_is() -> None:
    text = Interface(
        module(
            argument("input", "image", (2, 5, 7)),
            argument("input", "events", (4,), i8),
            argument("output", "seen", (3, 5, 6), i1),
            argument("output", "count", (), i32),
            argument("output", "v", (2,), f64),
        ),
        "net",
    ).header()
    assert " *   input 'image': steps x 2x5x7 of float, channels, rows, columns\n" in text
    assert " *   input 'events': steps x 4 of uint8_t, how many events\n" in text
    assert " *   output 'seen': steps x 5x6x3 of uint8_t, rows, columns, channels, 1 for a spike, else 0\n" in text
    assert " *   output 'count': steps x scalar of int32_t, how many spikes\n" in text
    assert " *   output 'v': steps x 2 of double\n" in text
    assert "#define NET_IMAGE_SIZE 70 " in text
    assert "#define NET_COUNT_SIZE 1 " in text
    assert (
        "void net_run(net_state *state, size_t steps, const float *image, const uint8_t *events, uint8_t *seen, "
        "int32_t *count, double *v);" in text
    )


def test_no_text_of_the_user_leaves_the_comment() -> None:
    """Names of nodes and assumptions may hold anything."""
    held = module(argument("input", "x*/ int evil; /*", (1,)), argument("output", "y", (1,)))
    nir.assume(held, "note", "a */ b", "ends */ here\nand there ??/\n#include <evil.h>")
    text = Interface(held, "net").header()
    assert text.count("/*") == text.count("*/")
    head = text.partition("\n */\n")[0]
    assert "*/" not in head
    assert all(line.startswith((" *", "/*")) for line in head.splitlines())
    assert "??/" not in text


def test_comments() -> None:
    assert comment(["a", "", "b"]) == "/* a\n *\n * b\n */\n"
    assert plain("x\ty\x00/**/") == "x y / ** /"


def test_three_functions_and_one_struct() -> None:
    text = Interface(module(argument("input", "x", (1,)), argument("output", "y", (1,))), "net").header()
    assert re.findall(r"^void (\w+)\(", text, re.MULTILINE) == ["net_init", "net_reset", "net_run"]
    assert text.count("typedef struct") == 1
