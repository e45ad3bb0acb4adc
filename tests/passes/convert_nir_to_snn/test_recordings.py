"""Discretized networks against recordings of the simulators that their schemes name, and against exporters' runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import pytest

from nirc.dialects import snn
from nirc.dialects.dense import Array
from nirc.interpreters.snn import SnnEvaluator
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass

Load: TypeAlias = Callable[..., snn.NetworkOp]

EXPORTS = (
    "norse-main_lifbox_mlp",
    "norse-main_lifcell_cuba",
    "norse_conv_iaf_lif",
    "norse_lifbox_li",
    "norse_lifbox_mlp",
    "norse_lifbox_mlp_dt1",
    "rockpool_cuba_mlp",
    "rockpool_expsyn_head",
    "rockpool_lifneuron",
    "sinabs_conv_iaf_noclip",
    "sinabs_expleak",
    "sinabs_lif_mlp",
    "snntorch_leaky_mlp",
    "snntorch_leaky_nodelay_sub",
    "snntorch_rleaky",
    "snntorch_synaptic_zero",
    "spikingjelly_lif_mlp",
    "spikingjelly_lif_nodecay_if",
    "spyx_conv_if",
    "spyx_lif_mlp",
    "spyx_psu",
)
"""All cases of exporters' own runs."""

ANALOG = 3e-6
"""How far graded outputs and states may lie from the framework's f32, relative to the largest of them."""


def run(network: snn.NetworkOp, x: Array, record: tuple[str, ...] = ()) -> dict[str, Array]:
    """One raster [T, N...] through a network of one input, the batch axis taken off again."""
    rasters = SnnEvaluator(network, record=record).run({network.inputs.data[0].data: x[:, None]})
    return {name: values[:, 0] for name, values in rasters.items()}


def as_float(values: Array) -> Array:
    """f64, because numpy does not subtract booleans."""
    return values.astype(np.float64)


@pytest.mark.parametrize(
    ("model", "platform", "scheme"),
    [
        # The subtract model was recorded with Norse's reset to 0 all the same.
        ("noDelay_bias_zero", "norse", "norse"),
        ("noDelay_noBias_subtract", "norse", "norse"),
        ("noDelay_bias_zero", "snntorch", "snntorch"),
        ("noDelay_noBias_subtract", "snntorch", "snntorch-subtract"),
        # Recorded with a version that used the bias of the recurrent weights.
        ("noDelay_bias_zero", "spyx", "spyx-0.1,rec_bias=true"),
        ("noDelay_noBias_subtract", "spyx", "spyx-0.1"),
        ("noDelay_bias_zero", "nengo", "nengo"),
        ("noDelay_noBias_subtract", "nengo", "nengo"),
    ],
)
def test_braille_spikes_are_the_recorded_ones(load: Load, shared: Path, model: str, platform: str, scheme: str) -> None:
    cases = shared / "cases" / "braille_recorded"
    network = load(shared / "models" / f"braille_{model}.nir", ConvertNirToSnnPass(scheme=scheme))
    x = np.load(cases / "braille_ds_test0_input_recovered.npy")
    spikes = run(network, x, ("lif1.lif.spikes",))["lif1.lif.spikes"]
    recorded = np.load(cases / f"{platform}_activity_{model}.npy")
    assert recorded.shape == spikes.shape
    assert recorded.sum() > 100
    assert np.count_nonzero(as_float(spikes) != as_float(recorded)) == 0


def test_prereset_is_what_snntorch_recorded(load: Load, shared: Path) -> None:
    """Without snnTorch's reset_delay=False wiring 46 cells differ, so the test above tells the two apart."""
    cases = shared / "cases" / "braille_recorded"
    scheme = "snntorch-subtract,prereset=false"
    network = load(shared / "models" / "braille_noDelay_noBias_subtract.nir", ConvertNirToSnnPass(scheme=scheme))
    x = np.load(cases / "braille_ds_test0_input_recovered.npy")
    spikes = run(network, x, ("lif1.lif.spikes",))["lif1.lif.spikes"]
    recorded = np.load(cases / "snntorch_activity_noDelay_noBias_subtract.npy")
    assert np.count_nonzero(as_float(spikes) != as_float(recorded)) == 46


def test_rockpool_recorded_from_what_a_run_before_had_left(load: Load, shared: Path) -> None:
    """37 cells differ from a start at 0; where the recorded spikes come back and reset v, none does after 32 steps."""
    cases = shared / "cases" / "braille_recorded"
    network = load(
        shared / "models" / "braille_noDelay_noBias_subtract.nir", ConvertNirToSnnPass(dt=1e-4, scheme="rockpool")
    )
    x = np.load(cases / "braille_ds_test0_input_recovered.npy")
    recorded = np.load(cases / "rockpool_activity_noDelay_noBias_subtract.npy")
    free = run(network, x, ("lif1.lif.spikes",))["lif1.lif.spikes"]
    assert np.count_nonzero(as_float(free) != recorded) == 37
    last, v = ([state.label for state in network.states].index(label) for label in ("lif1.lif.z", "lif1.lif.v"))
    evaluator = SnnEvaluator(network, record=("lif1.lif.spikes",))
    forced = list[Array]()
    for t in range(len(x)):
        forced.append(evaluator.run({"input": x[t : t + 1, None]})["lif1.lif.spikes"][0, 0])
        evaluator.states[last] = recorded[t : t + 1].astype(np.int32)
        evaluator.states[v] = evaluator.states[v] + (forced[-1] - recorded[t])  # the threshold is 1
    assert np.count_nonzero(np.array(forced)[32:] != recorded[32:]) == 0


def test_lava_dls_recording_is_one_of_integers(shared: Path) -> None:
    """States scaled by 4096 and cut off towards 0, decays of 12 bits, no recurrent bias; nothing of nirc takes part."""
    cases = shared / "cases" / "braille_recorded"
    with h5py.File(shared / "models" / "braille_noDelay_bias_zero.nir") as file:
        stored: Any = file["node/nodes"]
        names = {
            "fc1": ("weight", "bias"),
            "lif1.w_rec": ("weight",),
            "lif1.lif": ("tau_syn", "tau_mem", "v_threshold"),
        }
        held = {
            name: np.asarray(stored[node][name.split("/")[1]][()], np.float64)
            for node, fields in names.items()
            for name in [f"{node}/{field}" for field in fields]
        }
    x = np.load(cases / "braille_ds_test0_input_recovered.npy") @ held["fc1/weight"].T + held["fc1/bias"]
    recorded = np.load(cases / "lava_activity_noDelay_bias_zero.npy").T
    lost = [np.floor(4096 * 1e-4 / held[f"lif1.lif/{tau}"] + 0.5) for tau in ("tau_syn", "tau_mem")]
    found = lava_dl(x, held["lif1.w_rec/weight"], lost, held["lif1.lif/v_threshold"])
    assert recorded.sum() > 100
    assert np.count_nonzero(found != recorded) == 0


def lava_dl(x: Array, back: Array, lost: list[Array], threshold: Array) -> Array:
    """The spikes of a recurrent layer on what arrives.

    u = trunc0(u (4096 - cu) >> 12) + trunc(4096 x);  v likewise from u;  spike where v > 4096 thr, then v = 0
    """
    u, v, z = (np.zeros(len(back)) for _ in range(3))
    spikes = list[Array]()
    for arriving in x:
        u = np.trunc(u * (4096 - lost[0]) / 4096) + np.trunc(4096 * (arriving + back @ z))
        v = np.trunc(v * (4096 - lost[1]) / 4096) + u
        z = (v > 4096 * threshold).astype(np.float64)
        v = np.where(z > 0, 0, v)
        spikes.append(z)
    return np.array(spikes)


@pytest.mark.parametrize(
    ("recording", "scheme", "bound", "spikes"),
    [
        ("norse", "norse", 4.8e-8, [460, 510, 710, 760]),
        ("snntorch", "snntorch", 0.0, [460, 510, 710, 760]),
        # These were fed with the input times dt/tau.
        ("sinabs", "sinabs,gain_lif=dt/tau", 1.2e-7, [450, 500, 710, 760]),
        ("rockpool", "rockpool,gain_lif=dt/tau", 1.2e-7, [450, 500, 710, 760]),
        ("spyx", "spyx-0.1", 0.0, [461, 511, 711, 761]),
        ("nengo", "nengo", 1.6e-8, [460, 510, 710, 760]),
        ("lava_cpu_float", "lava", 3.9e-8, [461, 511, 711, 761]),
        # Recorded with connections that are not late.
        ("spinnaker2", "s2-nir,dense_delay=0", 8.7e-7, [460, 510, 710, 760]),
        # The closed form knows crossings between the grid points, the step only at them.
        ("exact", "nir-exp-euler,reset=subtract", 6.3e-4, [460, 510, 710, 760]),
        ("exact", "nir-exact-zoh,reset=subtract", 6.3e-4, [460, 510, 710, 760]),
    ],
)
def test_one_lif_neuron_as_recorded(
    load: Load, shared: Path, recording: str, scheme: str, bound: float, spikes: list[int]
) -> None:
    x, v, recorded = np.loadtxt(shared / "cases" / "paper_lif" / f"lif_{recording}.csv", delimiter=",").T
    drive = (x > 0).astype(np.float64)
    if recording == "spinnaker2":
        drive *= 102 / 102.02  # the weight as it was rounded
    precision = "f64" if recording == "nengo" else "f32"
    conversion = ConvertNirToSnnPass(dt=1e-4, scheme=scheme, precision=precision)
    network = load(shared / "models" / "lif_norse.nir", conversion)
    result = run(network, drive[:, None], ("1.v", "1.spikes"))
    unit = 0.1 if recording == "nengo" else 1  # Nengo's v is in units of the threshold
    assert np.flatnonzero(recorded).tolist() == spikes
    assert np.flatnonzero(result["1.spikes"]).tolist() == spikes
    assert np.abs(result["1.v"][:, 0] / unit - v).max() <= bound


@pytest.mark.parametrize("recording", ["lava_cpu_fixed", "lava_loihi_fixed"])
def test_the_fixed_point_recordings_of_one_neuron(shared: Path, recording: str) -> None:
    """The integers of Lava's process, written down here; the chip's probe shows 128 where a spike has reset v.

    v = sgn(v) (|v| (4096 - dv) >> 12) + 64 w s, one step late;  spike where v > 64 vth
    """
    x, v, recorded = np.loadtxt(shared / "cases" / "paper_lif" / f"lif_{recording}.csv", delimiter=",").T
    dt, tau, threshold = 1e-4, 0.0025, 0.1
    dv, vth, w = int(4095 * dt / tau), int(131071 * threshold) >> 9, int(256 * dt / tau)
    state, trace, spikes = 0, list[int](), list[int]()
    for arriving in [0, *x[:-1].astype(int).tolist()]:
        state = (abs(state) * (4096 - dv) >> 12) * (1 if state >= 0 else -1) + 64 * w * arriving
        spikes.append(int(state > 64 * vth))
        state = 0 if spikes[-1] else state
        trace.append(128 if spikes[-1] and "loihi" in recording else state)
    assert np.flatnonzero(recorded).tolist() == np.flatnonzero(spikes).tolist() == [461, 511, 711, 761]
    assert v.tolist() == trace


def scheme_of(meta: dict[str, Any]) -> str:
    """A case's preset with its overrides, as --scheme takes them."""
    return ",".join([meta["preset"], *(f"{option}={value}" for option, value in meta["overrides"].items())])


def fixes_of(meta: dict[str, Any]) -> tuple[str, ...]:
    """What has to be mended in a case's file."""
    return (meta["fix"],) if meta["fix"] else ()


def read_case(shared: Path, case: str) -> tuple[Path, dict[str, Array], dict[str, Any]]:
    """The file, its arrays, and what is said about it."""
    path = shared / "cases" / "exports" / f"{case}.nir"
    with np.load(path.with_suffix(".npz")) as arrays:
        held = dict(arrays)
    return path, held, json.loads(str(held.pop("meta")))


@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_gives_the_output_of_its_framework(load: Load, shared: Path, case: str) -> None:
    path, held, meta = read_case(shared, case)
    network = load(path, ConvertNirToSnnPass(dt=meta["dt_recover"], scheme=scheme_of(meta)), fixes_of(meta))
    output = as_float(run(network, held["x"])[network.outputs.data[0].data])
    expected = as_float(held["out"])
    assert output.shape == expected.shape
    if meta["check"]["mismatched_spikes"] is None:
        assert np.abs(output - expected).max() <= ANALOG * np.abs(expected).max()
    else:
        assert expected.sum() > 0
        assert np.count_nonzero(output != expected) == 0


@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_goes_through_the_states_of_its_framework(load: Load, shared: Path, case: str) -> None:
    path, held, meta = read_case(shared, case)
    states = {f"{key[2:]}.{key[0]}": values for key, values in held.items() if key[:2] in ("v_", "i_")}
    network = load(path, ConvertNirToSnnPass(dt=meta["dt_recover"], scheme=scheme_of(meta)), fixes_of(meta))
    result = run(network, held["x"], tuple(states))
    assert states or case == "rockpool_expsyn_head"
    for key, expected in states.items():
        error = np.abs(as_float(result[key]) - as_float(expected)).max()
        assert error <= ANALOG * np.abs(expected).max(), key


def test_every_export_is_tested(shared: Path) -> None:
    assert {path.stem for path in (shared / "cases" / "exports").glob("*.npz")} == set(EXPORTS)
