"""Scales and shifts: the formula per target, the promises of the report, rates and coincidence that are kept."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn, xylo
from nirc.dialects.dense import Array
from nirc.interpreters.snn import SnnEvaluator
from nirc.interpreters.xylo import XyloEvaluator
from nirc.passes.convert_snn_to_xylo import ConvertSnnToXyloPass
from nirc.passes.xylo_choose_scales import XyloChooseScalesPass
from nirc.passes.xylo_fit_time_constants import XyloFitTimeConstantsPass
from nirc.passes.xylo_quantize import XyloQuantizePass

sys.path.append(str(Path(__file__).parent))
from xylo_networks import Part, applied, module_of, random_recurrent, recurrent, statements

Parse = Callable[[str], ModuleOp]


def coincidence(wanted: Array, found: Array) -> float:
    """F1: 2 sum(min) / (sum + sum)."""
    both = int(np.minimum(wanted.astype(int), found.astype(int)).sum())
    return 2 * both / int(wanted.sum(dtype=int) + found.sum(dtype=int))


def choose(ctx: Context, module: ModuleOp, per: str = "neuron", raster: Path | None = None) -> xylo.NetworkOp:
    return applied(ctx, module, XyloChooseScalesPass(per, None if raster is None else str(raster)))


def rounded(ctx: Context, module: ModuleOp) -> xylo.NetworkOp:
    return applied(ctx, module, XyloFitTimeConstantsPass(), XyloQuantizePass())


def random_module(rng: np.random.Generator, *, biased: bool, recurrence: bool = True) -> ModuleOp:
    """3 inputs, layers g (4) and h (5), readout o (2); whole dashes, so that fitting changes nothing."""

    def part(sources: int, size: int) -> Part:
        return Part(
            rng.normal(0.1, 10.0 ** rng.uniform(-1, 0, size), (sources, size)),
            rng.integers(2, 6, size).astype(float),
            rng.integers(1, 4, size).astype(float),
            rng.uniform(0.5, 3, size),
            rng.normal(0, 0.02, size) * biased,
        )

    hidden = part(12, 9)
    if not recurrence:
        hidden.weights[3:] = 0
    return module_of(3, hidden, part(9, 2), {"g": 4, "h": 5})


# The formula


@pytest.mark.parametrize("per", ["neuron", "layer"])
@pytest.mark.parametrize("seed", range(6))
def test_the_scale_of_each_target(ctx: Context, seed: int, per: str) -> None:
    """min(127 2^k / weight, 2^14 / threshold, 127 / bias), the weight before the decay of its first step.

    The shifts are those that the pass chose; each matrix has its own.
    """
    module = random_module(np.random.default_rng(seed), biased=seed % 2 == 1)
    op = choose(ctx, module, per)
    shift = {part.name: part.weight_shift.value.data for part in op.parts()}
    assert all(0 <= k <= 7 for k in shift.values())
    into = [op.input.numbers("weights")[:, :, 0], op.hidden.numbers("weights")[:, :, 0]]
    sources: dict[str, list[tuple[Array, str]]] = {
        "xylo.hidden": list(zip(into, ("xylo.input", "xylo.hidden"), strict=True))
    }
    sources["xylo.readout"] = [(op.readout.numbers("weights"), "xylo.readout")]
    for part in (op.hidden, op.readout):
        undecayed = 1 - 0.5 ** part.numbers("dash_syn").ravel()
        expected = np.empty(part.size)
        for n in range(part.size):
            finest = [
                127 * 2.0 ** shift[k] * undecayed[n] / abs(w)
                for weights, k in sources[part.name]
                for w in weights[:, n]
            ]
            bias = abs(part.numbers("bias")[n])
            expected[n] = min(*finest, 2.0**14 / part.numbers("threshold")[n], 127 / bias if bias else np.inf)
        if per == "layer":
            for here in part.places().values():
                expected[here] = expected[here].min()
        assert np.allclose(part.numbers("scale"), expected, rtol=1e-9, atol=0)


def test_every_number_fits_its_bits(ctx: Context) -> None:
    for seed in range(12):
        module = random_module(np.random.default_rng(100 + seed), biased=True, recurrence=seed % 2 == 0)
        choose(ctx, module, ("neuron", "layer")[seed % 3 == 2])
        op = rounded(ctx, module)
        for part in op.parts():
            assert np.abs(part.numbers("weights")).max() <= 127
        assert op.readout.numbers("weights").any()
        for part in (op.hidden, op.readout):
            assert np.abs(part.numbers("bias")).max() <= 127
            assert part.numbers("threshold").min() >= 1
            assert part.numbers("threshold").max() <= 2**14


def test_a_large_bias_takes_bits_from_the_weights(ctx: Context) -> None:
    """bias 2 and weight 0.75 -> 1 before the decay: 127 / 2 = 63.5 LSB per unit whatever the shift."""
    op = choose(ctx, module_of(1, Part([[0.75], [0.0]], bias=2.0), Part([[1.0]])))
    assert op.hidden.numbers("scale")[0] == pytest.approx(63.5)


def test_a_high_threshold_takes_bits_from_the_weights(ctx: Context) -> None:
    """threshold 1000 beside 0.75 -> 1 before the decay: 16.384 LSB per unit; two thresholds are out of reach."""
    module = module_of(1, Part([[0.75], [0.0]], threshold=1000.0), Part([[1.0]]))
    choose(ctx, module)
    op = rounded(ctx, module)
    assert op.hidden.numbers("threshold").tolist() == [2**14]
    assert op.input.numbers("weights").ravel().tolist() == [round(16.384 / 2**op.input.weight_shift.value.data)]


def test_a_neuron_without_weights(ctx: Context) -> None:
    """Nothing sets its scale but its threshold and bias; it stays silent or ticks by its bias."""
    module = module_of(1, Part([[0.75, 0.0], [0.0, 0.0], [0.0, 0.0]], bias=[0.0, 0.5]), Part([[1.0], [1.0]]))
    scale = choose(ctx, module).hidden.numbers("scale")[1]
    assert scale == pytest.approx(254)  # 127 / 0.5
    op = rounded(ctx, module)
    assert op.hidden.numbers("threshold")[1] == 254
    assert op.hidden.numbers("bias")[1] == 127
    assert not op.input.numbers("weights")[:, 1].any()


def test_layers_share_a_scale_only_where_told(ctx: Context) -> None:
    scales = [
        choose(ctx, random_module(np.random.default_rng(0), biased=False, recurrence=False), per).hidden.numbers(
            "scale"
        )
        for per in ("neuron", "layer")
    ]
    assert len(np.unique(scales[1][:4])) == len(np.unique(scales[1][4:])) == 1
    assert len(np.unique(scales[0])) > 2
    assert scales[1][0] != scales[1][8]


def test_a_membrane_that_is_read_has_one_scale_for_all_its_neurons(ctx: Context) -> None:
    """So that the largest of them is the largest on the chip; its weights differ a hundredfold."""
    weights = [[1.0, 0.01, 0.3]]
    op = choose(ctx, module_of(1, Part([[2.0], [0.0]]), Part(weights, 3.0, 1.0), membranes=("o",)))
    assert len(np.unique(op.readout.numbers("scale"))) == 1


def test_relays_need_unshifted_weights(ctx: Context) -> None:
    """Among hidden neurons and onto the readout; those of the inputs may be shifted."""
    rng = np.random.default_rng(4)
    for seed in range(4):
        hidden = Part(np.random.default_rng(seed).normal(0.3, 0.3, (5, 3)), 3.0, 1.0)
        op = choose(ctx, module_of(2, hidden, Part(np.zeros((3, 0))), relays={"h": "y"}))
        assert op.hidden.weight_shift.value.data == 0
        assert op.readout.weight_shift.value.data == 0
    op = choose(ctx, module_of(2, Part([[0.4], [rng.uniform()], [0.0]], 5.0, 1.0), Part([[]]), relays={"h": "y"}))
    assert op.input.weight_shift.value.data > 0


def test_networks_of_integers_are_left_alone(ctx: Context) -> None:
    module = random_module(np.random.default_rng(0), biased=False)
    choose(ctx, module)
    rounded(ctx, module)
    once = str(module)
    choose(ctx, module)
    assert str(module) == once


def test_the_same_network_gives_the_same_choice(ctx: Context) -> None:
    first, second = (random_module(np.random.default_rng(5), biased=True) for _ in range(2))
    choose(ctx, first)
    choose(ctx, second)
    assert str(first) == str(second)


# What is told


def trial_of(
    ctx: Context, parse: Parse, text: str, raster: Path
) -> tuple[ModuleOp, dict[str, Array], dict[str, Array]]:
    """A network chosen by a raster [T, channels]: the module, its real spikes and the chip's, by layer."""
    events = np.load(raster)[:, None]
    (before,) = parse(text).ops
    assert isinstance(before, snn.NetworkOp)
    keys = ("h.spikes", "o.spikes")
    real = SnnEvaluator(before, 1, keys).run({"x": events})
    module = parse(text)
    ConvertSnnToXyloPass().apply(ctx, module)
    choose(ctx, module, raster=raster)
    told = module.clone()
    chip = XyloEvaluator(rounded(ctx, module), 1, keys).run({"x": events})
    late = {"h": 0, "o": 1}
    wanted = {name: np.roll(real[f"{name}.spikes"][:, 0], late[name], axis=0) for name in late}
    wanted["o"][0] = 0
    return told, wanted, {name: chip[f"{name}.spikes"][:, 0] for name in late}


@pytest.mark.parametrize("seed", range(3))
def test_the_coincidence_that_is_told(ctx: Context, parse: Parse, tmp_path: Path, seed: int) -> None:
    """The same figure from separate runs of the snn network, a step late at the readout, and of the chip."""
    rng = np.random.default_rng(seed)
    text = random_recurrent(rng, (2, 4), (1, 3))
    np.save(tmp_path / "raster.npy", (rng.random((200, 8)) < 0.05).astype(np.uint8))
    module, wanted, found = trial_of(ctx, parse, text, tmp_path / "raster.npy")
    told = [text for _, text in statements(module, "coincidence")]
    assert len(told) == 2
    for name, text in zip(wanted, told, strict=True):
        assert wanted[name].sum() > 20
        share, counts = f"{coincidence(wanted[name], found[name]):.0%}", (found[name].sum(), wanted[name].sum())
        assert text == (
            f"{share} of the spikes of '{name}' coincide with those of the network "
            f"(F1; {counts[0]} spikes, {counts[1]} in the network)"
        )
    assert statements(module, "scales") == [
        (
            "given",
            "weight scales and shifts by spike coincidence over 200 steps of 1 of the 1 sample(s) of raster.npy, "
            "and over random events",
        )
    ]


def test_several_spikes_in_a_step_are_counted(ctx: Context, parse: Parse, tmp_path: Path) -> None:
    """Strong weights: v reaches several thresholds, as the spikes of a separate run say."""
    rng = np.random.default_rng(1)
    text = random_recurrent(rng, (2, 4), (1, 3), 20.0)
    np.save(tmp_path / "raster.npy", rng.integers(0, 4, (100, 8)).astype(np.uint8))
    module, _, found = trial_of(ctx, parse, text, tmp_path / "raster.npy")
    ((kind, text),) = statements(module, "spikes")
    surplus = int(np.maximum(found["h"].astype(int) - 1, 0).sum())
    assert kind == "note"
    assert surplus > 0
    assert text == (
        "'h' fires several times in a step where v reaches several thresholds: "
        f"{surplus} of its {int(found['h'].sum(dtype=int))} spikes over the raster of the scales; the network's "
        "neurons fire once"
    )


def test_silence_decides_nothing(ctx: Context, tmp_path: Path) -> None:
    """A raster in which nothing fires: no coincidence may be claimed for it."""
    module = random_module(np.random.default_rng(0), biased=False)
    np.save(tmp_path / "silent.npy", np.zeros((50, 3), np.uint8))
    choose(ctx, module, raster=tmp_path / "silent.npy")
    assert not any(text.startswith("100%") for _, text in statements(module, "coincidence"))


ONCE = re.compile(r"'(\w+)' fires at most once a step: v ends below twice its threshold")


@pytest.mark.parametrize("seed", range(20))
def test_neurons_of_high_thresholds_never_fire_twice_in_a_step(ctx: Context, seed: int) -> None:
    """From 2^14 on, whatever drives them: rasters of up to 15 events per channel and step; and the text says so."""
    rng = np.random.default_rng(seed)
    hidden = Part(
        rng.normal(0.2, 0.2, (12, 9)) * rng.choice([0.1, 1.0, 10.0]),
        rng.integers(0, 8, 9).astype(float),
        rng.integers(1, 6, 9).astype(float),
        rng.uniform(0.5, 30, 9),
    )
    module = module_of(3, hidden, Part(rng.normal(0, 1, (9, 2))), {"g": 4, "h": 5})
    choose(ctx, module)
    told = {match[1] for _, text in statements(module, "spikes") if (match := ONCE.fullmatch(text))}
    op = rounded(ctx, module)
    raster = rng.integers(0, 16, (400, 4, 3)) * (rng.random((400, 4, 1)) < [[[0.05], [0.3], [0.8], [1.0]]])
    got = XyloEvaluator(op, 4, ("g.spikes", "h.spikes")).run({"x": raster})
    assert got["g.spikes"].any() or got["h.spikes"].any()
    for name, here in op.hidden.places().items():
        held = op.hidden.numbers("threshold")[here]
        assert (name in told) == bool(np.all(held >= 2**14))
        spikes = got[f"{name}.spikes"]
        assert spikes[:, :, held >= 2**14].max(initial=0) <= 1


def test_the_guarantee_is_often_given(ctx: Context) -> None:
    """Or the test before says nothing: most random networks of moderate weights have it."""
    given = 0
    for seed in range(8):
        module = random_module(np.random.default_rng(seed), biased=False)
        choose(ctx, module)
        given += sum(bool(ONCE.fullmatch(text)) for _, text in statements(module, "spikes"))
    assert given >= 4


# What is kept of the spikes


@pytest.mark.parametrize("threshold", [3.5, 4.0])
def test_the_rate_of_a_membrane_under_a_steady_current(
    ctx: Context, parse: Parse, tmp_path: Path, threshold: float
) -> None:
    """A steady current of 3 per step, up to what it leaves above the threshold; the chip's rate is the real one."""
    zero = np.zeros((1, 1))
    text = recurrent(np.full((1, 1), 0.75), zero, np.eye(1), (np.full(1, 32.0), np.full(1, 4.0)), np.full(1, threshold))
    np.save(tmp_path / "raster.npy", np.ones((400, 1), np.uint8))
    _, wanted, found = trial_of(ctx, parse, text, tmp_path / "raster.npy")
    assert wanted["h"].sum() > 200
    assert abs(int(found["h"].sum()) / int(wanted["h"].sum()) - 1) < 0.03


def spike_trains(
    ctx: Context,
    parse: Parse,
    seed: int,
    dash_mem: tuple[int, int],
    dash_syn: tuple[int, int],
    calibrate: Path | None = None,
) -> tuple[Array, Array]:
    """Hidden spikes [T, N] of a random recurrent network before and after; scales by nirc's own events, or by another
    raster of the same kind, which is written there."""
    rng = np.random.default_rng(seed)
    text = random_recurrent(rng, dash_mem, dash_syn)
    raster: Array = (rng.random((600, 1, 8)) < 0.04).astype(np.uint8)
    (before,) = parse(text).ops
    assert isinstance(before, snn.NetworkOp)
    real = SnnEvaluator(before, 1, ("h.spikes",)).run({"x": raster})["h.spikes"][:, 0]
    module = parse(text)
    ConvertSnnToXyloPass().apply(ctx, module)
    if calibrate is not None:
        np.save(calibrate, (rng.random((600, 8)) < 0.04).astype(np.uint8))
    choose(ctx, module, raster=calibrate)
    chip = XyloEvaluator(rounded(ctx, module), 1, ("h.spikes",)).run({"x": raster})["h.spikes"][:, 0]
    return real, chip


@pytest.mark.parametrize(("calibrated", "least"), [(True, 0.9), (False, 0.85)])
@pytest.mark.parametrize("seed", range(6))
def test_spike_trains_coincide(
    ctx: Context, parse: Parse, tmp_path: Path, seed: int, *, calibrated: bool, least: float
) -> None:
    """tau_mem of 4 and 8, tau_syn of 2 steps: 90 % of the hidden spikes stand in the real ones' step where the scales
    were chosen on rasters as sparse as the task's; nirc's own events are denser."""
    raster = tmp_path / "raster.npy" if calibrated else None
    real, chip = spike_trains(ctx, parse, seed, (2, 4), (1, 2), raster)
    assert real.sum() > 500
    assert int(np.minimum(real, chip).sum()) / max(int(real.sum()), int(chip.sum())) >= least


@pytest.mark.parametrize("seed", range(3))
def test_the_rates_of_slow_neurons_are_kept(ctx: Context, parse: Parse, seed: int) -> None:
    """tau_mem of 8 and 16, tau_syn of 2 to 8 steps: spikes shift by a step, their number stays within 5 %."""
    real, chip = spike_trains(ctx, parse, seed, (3, 5), (1, 4))
    assert real.sum() > 300
    assert abs(int(chip.sum()) / int(real.sum()) - 1) < 0.05


# What is refused


def test_an_unknown_grouping_is_refused(ctx: Context) -> None:
    module = module_of(1, Part(np.ones((2, 1))), Part([[1.0]]))
    with pytest.raises(PassFailedException, match=r"^quantize 'network' is neither neuron nor layer$"):
        choose(ctx, module, "network")


def test_what_does_not_fit_is_refused_before_anything_runs(ctx: Context) -> None:
    module = module_of(17, Part(np.ones((18, 1))), Part(np.ones((1, 9))))
    with pytest.raises(PassFailedException) as refused:
        choose(ctx, module)
    assert [line.split(",")[0] for line in str(refused.value).splitlines()] == [
        "xylo audio2: 17 input channels ('x' 17)",
        "xylo audio2: 9 readout neurons ('o' 9)",
    ]


def saved(folder: Path, name: str, content: Array | dict[str, Array] | str | None) -> Path:
    path = folder / name
    if isinstance(content, dict):
        np.savez(path, allow_pickle=True, **content)
    elif isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        np.save(path, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("missing.npy", None, "cannot be read"),
        ("text.npy", "no raster", ""),
        ("wide.npy", np.zeros((5, 3)), "3"),
        ("negative.npy", np.full((5, 2), -1.0), "0..255"),
        ("broken.npy", np.full((5, 2), 0.5), "0..255"),
        ("nan.npy", np.full((5, 2), np.nan), ""),
        ("empty.npy", np.zeros((0, 2)), ""),
        ("other.npz", {"y": np.zeros((5, 2)), "z": np.zeros((5, 2))}, "'x'"),
    ],
)
def test_a_raster_that_does_not_fit_is_refused(
    ctx: Context, tmp_path: Path, name: str, content: Array | dict[str, Array] | str | None, text: str
) -> None:
    module = module_of(2, Part(np.ones((3, 1))), Part([[1.0]]))
    with pytest.raises(PassFailedException) as refused:
        choose(ctx, module, raster=saved(tmp_path, name, content))
    assert all(line.startswith("--calibrate: ") for line in str(refused.value).splitlines())
    assert text in str(refused.value)
