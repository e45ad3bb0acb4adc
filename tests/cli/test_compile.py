"""`nirc compile`: what it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
GESTURES = EXAMPLES / "gestures.nir"
BRAILLE = "models/braille_noDelay_noBias_subtract.nir"

Nirc = Callable[..., Any]


def test_the_bare_form_compiles(nirc: Nirc, tmp_path: Path) -> None:
    result = nirc(GESTURES, "--target", "xylo", "-o", "cfg.json")
    assert result.status == 0
    assert next(iter(json.loads((tmp_path / "cfg.json").read_text()))) == "value0"
    assert result.out == ""
    assert result.lines[0] == "assumptions:"


def test_stdout_holds_nothing_but_the_output(nirc: Nirc) -> None:
    result = nirc("compile", GESTURES, "--target", "xylo", "--print-ir-after-all", "--timing")
    assert json.loads(result.out).keys() == {"value0", "spec", "nirc"}


def test_the_same_input_gives_the_same_bytes(nirc: Nirc) -> None:
    first, second = (nirc(GESTURES, "--target", "xylo").out for _ in range(2))
    assert first == second


def test_assumptions_are_printed_attached_and_emitted(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "xylo")
    emitted = [f"  {item['topic']}: {item['statement']}" for item in json.loads(result.out)["nirc"]["assumptions"]]
    assert result.lines[1:] == emitted
    ir = nirc(GESTURES, "--target", "xylo", "--emit", "xylo").out
    assert "nir.assumptions" in ir
    assert any("dt: 0.001 s" in line for line in emitted)
    assert any("reset: by subtraction" in line for line in emitted)


def test_what_was_told_is_marked(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "xylo", "--dt", "1e-3", "--scheme", "nir-euler", "--reset", "subtract")
    for topic in ("dt", "scheme", "reset"):
        assert any(line.startswith(f"  {topic}: ") and line.endswith("(as told)") for line in result.lines)


def test_strict_names_every_choice(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "xylo", "--strict", "-o", "cfg.json")
    assert result.status == 1
    assert not Path("cfg.json").exists()
    for topic in ("dt", "scheme", "reset", "cycle"):
        assert any(f"under --strict this must be said: {topic}: " in line for line in result.lines)


def test_strict_names_the_flags_that_say_it(nirc: Nirc) -> None:
    """Who gives what the messages name gets through."""
    result = nirc(GESTURES, "--target", "xylo", "--strict", "-o", "cfg.json")
    assert [line.rpartition("; ")[2] for line in result.lines] == [
        "give --dt SECONDS",
        "give --scheme NAME",
        "give --reset KIND",
        "give --scheme NAME,rec_cut=neuron|weight",
    ]
    said = ["--dt", "1e-3", "--scheme", "nir-euler,rec_cut=neuron", "--reset", "subtract"]
    assert nirc(GESTURES, "--target", "xylo", "--strict", *said, "-o", "cfg.json").status == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            [],
            "the way to snn has no level 'foo'; it has nir, snn; --target nir: nir; "
            "--target cpu: nir, snn, loops, llvm, and writes llvmir, asm, obj, shared; --target c: nir, snn, loops; "
            "--target xylo: nir, snn, xylo; --target speck: nir, snn, speck; --target loihi2: nir, snn, loihi2, "
            "and writes json, net; --target spinnaker2: nir, snn, spinnaker2",
        ),
        (["--target", "xylo"], "the way to xylo has no level 'foo'; it has nir, snn, xylo"),
    ],
)
def test_an_unknown_level_lists_the_levels(nirc: Nirc, args: list[str], text: str) -> None:
    result = nirc(GESTURES, "--emit", "foo", *args)
    assert result.status == 1
    assert result.lines[0].endswith(text)


def test_strict_passes_when_all_is_said(nirc: Nirc) -> None:
    said = ["--dt", "0.001", "--scheme", "nir-euler", "--reset", "subtract"]
    assert nirc(GESTURES, "--target", "xylo", "--strict", *said, "-o", "cfg.json").status == 0


@pytest.mark.parametrize("level", ["nir", "snn", "xylo"])
def test_a_level_reads_back_and_goes_on(nirc: Nirc, tmp_path: Path, level: str) -> None:
    whole = nirc(GESTURES, "--target", "xylo").out
    (tmp_path / "level.mlir").write_text(nirc(GESTURES, "--target", "xylo", "--emit", level).out)
    assert nirc("level.mlir", "--target", "xylo").out == whole


PASSES = [
    "nir-infer-shapes",
    "nir-inline-graphs",
    "convert-nir-to-snn",
    "snn-flatten",
    "snn-fold-linear-paths",
    "convert-snn-to-xylo",
    "xylo-choose-scales",
    "xylo-fit-time-constants",
    "xylo-quantize",
    "xylo-add-relays",
    "xylo-place",
    "xylo-check-limits",
]
"""What must happen on the way to Xylo, in this order; passes that only help may stand between."""


def test_print_ir_after_all(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "xylo", "--print-ir-after-all", "-o", "cfg.json")
    banners = [line for line in result.lines if line.startswith("// -----//")]
    names = [line.removeprefix("// -----// IR Dump After ").removesuffix(" //----- //") for line in banners]
    assert [name for name in names if name in PASSES] == PASSES
    assert "dense_resource<elided_" in result.err


def test_print_ir_around_one_pass(nirc: Nirc) -> None:
    result = nirc(
        GESTURES,
        "--target",
        "xylo",
        "--print-ir-before",
        "xylo-quantize",
        "--print-ir-after",
        "xylo-quantize",
        "-o",
        "c",
    )
    banners = [line for line in result.lines if line.startswith("// -----//")]
    assert banners == [f"// -----// IR Dump {when} xylo-quantize //----- //" for when in ("Before", "After")]


def test_print_ir_after_change_leaves_out_passes_that_change_nothing(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "xylo", "--print-ir-after-change", "-o", "cfg.json")
    assert "Dump After convert-nir-to-snn" in result.err
    assert "Dump After xylo-place" not in result.err


def test_print_ir_tree_dir(nirc: Nirc, tmp_path: Path) -> None:
    nirc(GESTURES, "--target", "xylo", "--print-ir-tree-dir", "tree", "-o", "cfg.json")
    files = [path.stem.split("_", 1) for path in (tmp_path / "tree").iterdir()]
    names = {int(number): name for number, name in files}
    assert sorted(names) == list(range(len(files)))
    assert [names[number] for number in sorted(names) if names[number] in PASSES] == PASSES


def test_elision_can_be_turned_down(nirc: Nirc) -> None:
    few = nirc(GESTURES, "--emit", "snn", "--elide-weights-larger-than", "4").out
    whole = nirc(GESTURES, "--emit", "snn").out
    assert few.count("dense_resource<elided_") > whole.count("dense_resource<elided_") == 0


def test_timing_names_every_pass(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--target", "xylo", "--timing", "-o", "cfg.json")
    for name in ("read", "convert-nir-to-snn", "xylo-check-limits", "emit", "total"):
        assert any(line.endswith(f"  {name}") for line in result.lines)


def test_pass_pipeline(nirc: Nirc) -> None:
    result = nirc(GESTURES, "--pass-pipeline", "nir-infer-shapes,convert-nir-to-snn{dt=1e-3}")
    assert result.status == 0
    assert "snn.network @main" in result.out


@pytest.mark.parametrize("text", ["no-such-pass", "convert-nir-to-snn{dt", "convert-nir-to-snn{colour=1}"])
def test_a_bad_pass_pipeline_is_refused(nirc: Nirc, text: str) -> None:
    result = nirc(GESTURES, "--pass-pipeline", text)
    assert result.status == 1
    assert "--pass-pipeline: " in result.err
    assert "Traceback" not in result.err


def test_lists(nirc: Nirc) -> None:
    passes = nirc("--list-passes").out
    assert "convert-nir-to-snn\n" in passes
    assert "    dt: " in passes
    targets = [line for line in nirc("--list-targets").out.splitlines() if not line.startswith(" ")]
    assert "xylo" in targets


# ---- what is refused: one list, exit status 1, no traceback, nothing written


def refused(nirc: Nirc, *args: object) -> list[str]:
    result = nirc(*args, "--target", "xylo", "-o", "cfg.json")
    assert result.status == 1, result.err
    assert "Traceback" not in result.err
    assert not list(Path.cwd().glob("*cfg.json*"))
    return result.lines


def test_a_missing_file(nirc: Nirc) -> None:
    assert refused(nirc, "nothing.nir") == ["nothing.nir: cannot be read: No such file or directory"]


def test_a_file_that_is_not_hdf5(nirc: Nirc, tmp_path: Path) -> None:
    (tmp_path / "text.nir").write_text("not a model")
    assert refused(nirc, "text.nir")[0].startswith("text.nir: not an HDF5 file")


def test_faults_of_several_nodes_come_together(nirc: Nirc, chain: Callable[..., Path]) -> None:
    zero_tau = {"type": "CubaLIF", **{name: np.ones(4) for name in ("tau_syn", "r", "v_leak", "v_threshold")}}
    tau = np.array([1.0, 1.0, 1.0, 0.0])
    nan = np.array([[np.nan, 1, 1, 1]], np.float32)
    model = chain([3, 4, 1], lif1={**zero_tau, "tau_mem": tau}, fc2={"type": "Linear", "weight": nan})
    lines = refused(nirc, model)
    assert f"{model}: node 'lif1' (CubaLIF), tau_mem: 0 at index 3, must be > 0" in lines
    assert f"{model}: node 'fc2' (Linear), weight: nan at index (0, 0), must be finite" in lines


def test_wrong_shapes_and_wrong_values_come_together(nirc: Nirc, chain: Callable[..., Path]) -> None:
    wide = {"type": "Linear", "weight": np.ones((2, 5), np.float32)}
    nan = {"type": "Linear", "weight": np.full((4, 3), np.nan, np.float32)}
    lines = refused(nirc, chain([3, 4, 2], fc1=nan, fc2=wide))
    assert any("node 'fc1' (Linear), weight: nan" in line for line in lines)
    assert any("node 'fc2' (Linear): weight has 5 columns (2x5), but a signal of shape 4" in line for line in lines)


def test_seventeen_inputs(nirc: Nirc, chain: Callable[..., Path]) -> None:
    (line,) = refused(nirc, chain([17, 4, 2]))
    assert "17 input channels ('input' 17), the chip has 16" in line


def test_nine_readouts(nirc: Nirc, chain: Callable[..., Path]) -> None:
    (line,) = refused(nirc, chain([3, 4, 9]))
    assert "9 readout neurons ('lif2' 9), the chip has 8" in line


def test_1001_hidden_neurons(nirc: Nirc, chain: Callable[..., Path]) -> None:
    (line,) = refused(nirc, chain([3, 1001, 2]))
    assert "1001 hidden neurons ('lif1' 1001), the chip has 1000" in line


def test_fan_out_of_64(nirc: Nirc, chain: Callable[..., Path]) -> None:
    (line,) = refused(nirc, chain([3, 5, 64, 2]))
    assert "neuron 0 of 'lif1' and at 4 more reaches 64 hidden neurons, on the chip at most 63" in line


def test_a_fan_out_of_63_fits(nirc: Nirc, chain: Callable[..., Path]) -> None:
    assert nirc(chain([3, 5, 63, 2]), "--target", "xylo", "-o", "cfg.json").status == 0


def test_a_layer_fed_by_the_input_that_leaves_is_relayed(nirc: Nirc, chain: Callable[..., Path]) -> None:
    """It is hidden; helpers and readout neurons, one each, copy it: 4 + 2 + 2 hidden and 2 readout neurons."""
    extra = {"type": "Linear", "weight": np.ones((2, 3), np.float32)}
    model = chain([3, 4, 2], more_edges=[("input", "skip"), ("skip", "lif2")], skip=extra)
    result = nirc(model, "--target", "xylo")
    assert result.status == 0
    copied = "  relay: 'lif2' is copied to readout neurons by exact relays: 1 where it fired, however often"
    assert copied in result.lines
    layers = json.loads(result.out)["nirc"]["layers"]
    assert layers["hidden"] == {"lif1": 4, "lif2": 2, "lif2_relay": 2}
    assert layers["readout"] == {"lif2_copy": 2}
    assert layers["outputs"] == ["output"]


def test_all_that_does_not_fit_comes_together(nirc: Nirc, chain: Callable[..., Path]) -> None:
    ones = np.ones(9)
    model = chain([17, 937, 64, 9], lif3={"type": "IF", "r": 1000 * ones, "v_threshold": ones})
    text = "\n".join(refused(nirc, model, "--reset", "zero"))
    for fault in (
        "node 'lif1': a spike resets it to 0; Xylo resets by subtraction",
        "node 'lif3': its membrane does not leak",
        "17 input channels",
        "1001 hidden neurons ('lif1' 937, 'lif2' 64)",
        "9 readout neurons",
        "reaches 64 hidden neurons",
        "connections between hidden neurons",
    ):
        assert fault in text


def test_a_missing_output_folder_is_told_with_the_rest(nirc: Nirc) -> None:
    result = nirc("nothing.nir", "--target", "xylo", "-o", "nowhere/cfg.json")
    assert result.status == 1
    assert result.lines == [
        "nothing.nir: cannot be read: No such file or directory",
        "nowhere/cfg.json: cannot be written: the folder nowhere does not exist",
    ]


def test_dt_that_cannot_be_found(nirc: Nirc, chain: Callable[..., Path]) -> None:
    ones = np.ones(4)
    silent = {"type": "CubaLIF", "tau_mem": 8e-3 * ones, "tau_syn": 4e-3 * ones, "r": ones, "w_in": ones}
    model = chain([3, 4], lif1={**silent, "v_leak": 0 * ones, "v_threshold": ones})
    lines = refused(nirc, model)
    assert "dt cannot be found: r is 1 everywhere" in lines[0]
    assert any("candidate --dt 0.001 (Norse, Nengo): " in line for line in lines)
    assert any("candidate --dt 1 (Sinabs, Spyx): refused, shorter than a step" in line for line in lines)


def test_a_tau_below_dt(nirc: Nirc) -> None:
    lines = refused(nirc, GESTURES, "--dt", "0.01")
    assert any(
        "node 'hidden' (CubaLIF), tau_mem: 0.008 s is shorter than the step dt = 0.01 s" in line for line in lines
    )


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--scheme", "norsk"], "unknown scheme 'norsk'; known: nir-euler"),
        (["--scheme", "norse,colour=red"], "scheme option 'colour' is unknown"),
        (["--scheme", "norse,reset=never"], "scheme option reset: 'never' is not one of"),
        (["--dt", "soon"], "dt 'soon' is neither a number of seconds nor auto"),
        (["--dt", "-1"], "dt -1 s, must be greater than 0"),
        (["--scheme", "norse", "--dt", "1e-3"], "scheme 'norse' describes a simulator"),
        (["--template", "nothing.json"], "--template nothing.json: cannot be read"),
        (["--print-ir-after", "nothing"], "unknown pass 'nothing'"),
    ],
)
def test_bad_options(nirc: Nirc, args: list[str], text: str) -> None:
    assert any(text in line for line in refused(nirc, GESTURES, *args))


RASTERS: dict[str, Any] = {
    "wide.npy": np.zeros((5, 3), np.uint8),
    "flat.npy": np.zeros(5, np.uint8),
    "negative.npy": np.full((5, 12), -1.0),
    "fractions.npy": np.full((5, 12), 0.5),
    "nan.npy": np.full((5, 12), np.nan),
    "many.npy": np.full((5, 12), 256),
    "words.npy": np.full((5, 12), "x"),
    "empty.npy": np.zeros((0, 12), np.uint8),
    "text.npy": "this is no raster",
    "text.npz": "this is no raster",
}


@pytest.mark.parametrize("name", ["missing.npy", ".", *RASTERS])
def test_a_raster_of_calibrate_that_does_not_fit(nirc: Nirc, tmp_path: Path, name: str) -> None:
    content = RASTERS.get(name)
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    elif content is not None:
        np.save(tmp_path / name, content)
    assert all("--calibrate" in line for line in refused(nirc, GESTURES, "--calibrate", name))


def test_calibrate_is_told_and_changes_the_file(nirc: Nirc, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "quiet.npy", (rng.random((100, 12)) < 0.02).astype(np.uint8))
    result = nirc(GESTURES, "--target", "xylo", "--calibrate", "quiet.npy")
    assert result.status == 0
    told = "  scales: weight scales and shifts by spike coincidence over 100 steps of 1 of the 1 sample(s) of quiet.npy"
    assert f"{told}, and over random events (as told)" in result.lines
    assert nirc(GESTURES, "--target", "xylo", "--calibrate", "quiet.npy").out == result.out
    assert nirc(GESTURES, "--target", "xylo").out != result.out


def test_calibrate_without_a_use_is_refused(nirc: Nirc, tmp_path: Path) -> None:
    """The vendor's mapping chooses scales by weights alone; a raster that nothing looks at would mislead."""
    np.save(tmp_path / "raster.npy", np.ones((10, 12), np.uint8))
    lines = refused(nirc, GESTURES, "--mapping", "vendor", "--calibrate", "raster.npy")
    assert all("calibrate" in line for line in lines)


def test_reset_zero_is_refused_with_the_reason(nirc: Nirc, shared: Path) -> None:
    lines = refused(nirc, shared / BRAILLE, "--reset", "zero")
    assert all("a spike resets it to 0; Xylo resets by subtraction of the threshold only" in line for line in lines)
    assert [line.split("'")[1] for line in lines] == ["lif1.lif", "lif2"]


def test_braille_needs_no_flags(nirc: Nirc, shared: Path) -> None:
    result = nirc(shared / BRAILLE, "--target", "xylo", "-o", "cfg.json")
    assert result.status == 0
    assert "  dt: 0.0001 s, from tau/r" in result.err
    assert "  reset: by subtraction of the threshold for 'lif1.lif', 'lif2'" in result.err


def test_a_fault_of_nirc_shows_how_to_reproduce_it(nirc: Nirc, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("nirc.driver.load", broken)
    result = nirc(GESTURES, "--target", "xylo")
    assert result.status == 70
    assert "RuntimeError: boom" in result.err
    assert f"nirc {GESTURES} --target xylo" in result.err
