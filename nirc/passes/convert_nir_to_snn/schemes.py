"""Schemes: named tables of the choices that NIR leaves open when time is cut into steps.

`OPTIONS` says what may be chosen, `SCHEMES` what each simulator chooses. Source: the importers of the frameworks as
measured in nirc's specification of simulators' semantics; a = membrane decay, b = synaptic decay, w = w_in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from xdsl.utils.exceptions import DiagnosticException

_FLAG = ("false", "true")
_RESETS = ("auto", "zero", "v_reset", "subtract", "none")
_RESET_AT = ("post", "next", "pre_leak", "post_leak", "double")
_ORDERS = ("leak_first", "input_first")
_STEPS = ("0", "1")

OPTIONS: dict[str, tuple[str, ...]] = {
    "decay_mem": ("euler", "exp"),
    "decay_syn": ("euler", "exp"),
    "clip": _FLAG,
    "gain_lif": ("r(1-a)", "1-a", "r*dt/tau", "dt/tau", "unit"),
    "gain_mem": ("r(1-a)", "1-a", "r*dt/tau", "dt/tau", "unit"),
    "gain_syn": ("w(1-b)", "w*dt/tau", "unit"),
    "if_gain": ("auto", "r", "r*dt", "unit"),
    "if_decay": (),
    "input": ("held", "impulse"),
    "fold_thr": _FLAG,
    "leak": ("(1-a)*v_leak", "v_leak", "none"),
    "syn_leak": _FLAG,
    "syn_order": _ORDERS,
    "lif_order": _ORDERS,
    "li_order": _ORDERS,
    "mem_uses": ("new", "old", "exact"),
    "spike_from": ("new", "old"),
    "li_from": ("new", "old"),
    "compare": (">", ">="),
    "multi": _FLAG,
    "lif_height": ("1", "1/dt"),
    "reset": _RESETS,
    "reset_lif": _RESETS,
    "reset_if": _RESETS,
    "reset_at": _RESET_AT,
    "reset_at_cuba": _RESET_AT,
    "reset_at_rec": _RESET_AT,
    "prereset": _FLAG,
    "floor": ("none", "0", "-thr"),
    "floor_if": ("none", "0", "-thr"),
    "v_init": ("v_leak", "0", "v_reset"),
    "rec_cut": ("neuron", "weight"),
    "rec_cut_at": (),
    "rec_bias": _FLAG,
    "dense_delay": _STEPS,
    "lif_delay": _STEPS,
}
"""The options and their values; an empty tuple means free text (`if_decay` a number, `rec_cut_at` edges `A->B`).

decay_mem, decay_syn  1-dt/tau or exp(-dt/tau); `clip` clamps the factor to [0, 1] where dt > tau
gain_lif, gain_mem    what an input adds to v (LIF, LI), what i adds to v (CubaLIF)
gain_syn              what an input adds to i
fold_thr              inputs enter with gain 1 and the threshold is divided by the gain that the file states
leak                  v_leak is what v decays to, a current that is added as it is, or must be 0
syn_leak              v_leak is also the rest value of i
syn_order, lif_order  b i + g x or b (i + g x); the same of v and a LIF's input; `li_order` of an LI's
mem_uses              v integrates i after or before this step's update, or its course in between (exact)
spike_from            the threshold is tested on the updated v, or on the stored one: spikes come a step later
li_from               an LI, CubaLI or I puts out the updated v or the stored one
multi                 n = floor(v/thr) spikes in a step
lif_height            what a spike of a LIF counts
reset                 of a CubaLIF; `reset_lif` and `reset_if` follow it unless a scheme says otherwise
reset_at              post: at once; next: at the next step, after the leak; of spikes of the stored v: pre_leak,
                      post_leak or both (double); `reset_at_cuba` of a CubaLIF, `reset_at_rec` of one on a cycle
prereset              snnTorch's reset_delay=False
floor                 the least v after the reset; `floor_if` of an IF
v_init                v before the first step; i starts at 0, or at v_leak under syn_leak
rec_cut, rec_cut_at   where the delay of a cycle sits: on the neurons' outputs or on the closing edge
rec_bias              whether weights on the way back of a cycle have their bias
dense_delay           steps by which the input of a Linear, Affine or Conv is late; `lif_delay` that of a LIF
"""

FOLLOWERS: dict[str, tuple[str, ...]] = {
    "reset": ("reset_lif", "reset_if"),
    "reset_at": ("reset_at_cuba", "reset_at_rec"),
    "reset_at_cuba": ("reset_at_rec",),
    "floor": ("floor_if",),
    "lif_order": ("li_order",),
}
"""The options that are set with another, unless they are given themselves; general ones first."""

_WEIGHTS = frozenset({"Affine", "Linear", "Conv2d", "SumPool2d", "Flatten"})
_LAYERS = _WEIGHTS | {"LIF", "CubaLIF", "IF"}
_EVERY = _LAYERS | {"LI", "CubaLI", "I", "Threshold", "Delay", "AvgPool2d", "Conv1d", "Scale"}


@dataclass(frozen=True)
class Scheme:
    """One choice per option, and which of them the user made (`given`)."""

    name: str
    dt: float
    """The step that the simulator itself takes by default; only named among the candidates."""
    options: dict[str, str]
    about: str
    """What it computes, in a line."""
    source: str
    """What was run or read to know it."""
    imports: frozenset[str] = _EVERY
    """The node types that the simulator's own importer takes."""
    given: frozenset[str] = field(default_factory=frozenset[str])

    def __getitem__(self, option: str) -> str:
        return self.options[option]

    def flag(self, option: str) -> bool:
        """A true-or-false option."""
        return self.options[option] == "true"

    @property
    def spelling(self) -> str:
        """The scheme as `--scheme` takes it, with what was changed."""
        base = SCHEMES[self.name].options
        changed = dict[str, str]()
        # Those that others follow first, so that what has followed is no change.
        for option in [*FOLLOWERS, *self.options]:
            if self[option] != base[option]:
                changed[option] = self[option]
                base = _set(base, option, self[option])
        return ",".join([self.name, *(f"{option}={changed[option]}" for option in OPTIONS if option in changed)])


def _set(options: dict[str, str], option: str, value: str) -> dict[str, str]:
    """The options with one changed, and those that follow it."""
    return {**options, **dict.fromkeys((option, *FOLLOWERS.get(option, ())), value)}


def _row(base: dict[str, str], **changes: str) -> dict[str, str]:
    """The options of a scheme: another's with changes, in this order."""
    for option, value in changes.items():
        base = _set(base, option, value)
    return base


_NIR = {
    "decay_mem": "euler",
    "decay_syn": "euler",
    "clip": "false",
    "gain_lif": "r(1-a)",
    "gain_mem": "r(1-a)",
    "gain_syn": "w(1-b)",
    "if_gain": "auto",
    "if_decay": "1",
    "input": "held",
    "fold_thr": "false",
    "leak": "(1-a)*v_leak",
    "syn_leak": "false",
    "syn_order": "leak_first",
    "lif_order": "leak_first",
    "li_order": "leak_first",
    "mem_uses": "new",
    "spike_from": "new",
    "li_from": "new",
    "compare": ">",
    "multi": "false",
    "lif_height": "1",
    "reset": "auto",
    "reset_lif": "auto",
    "reset_if": "auto",
    "reset_at": "post",
    "reset_at_cuba": "post",
    "reset_at_rec": "post",
    "prereset": "false",
    "floor": "none",
    "floor_if": "none",
    "v_init": "v_leak",
    "rec_cut": "neuron",
    "rec_cut_at": "",
    "rec_bias": "true",
    "dense_delay": "0",
    "lif_delay": "0",
}
_EXP = _row(_NIR, decay_mem="exp", decay_syn="exp")
_UNIT = _row(_NIR, gain_lif="unit", gain_mem="unit", gain_syn="unit", if_gain="unit", leak="none", v_init="0")
_NORSE = _row(_NIR, reset="zero", gain_lif="1-a", if_gain="unit", syn_leak="true", rec_cut="weight")
_SNNTORCH = _row(_UNIT, clip="true", fold_thr="true")
_SNNTORCH_IMPORT = _row(_SNNTORCH, prereset="true", if_decay="0.9")
_COUNTS = _row(_UNIT, decay_mem="exp", decay_syn="exp", compare=">=", multi="true", reset="subtract")
_SPYX = _row(_UNIT, clip="true", spike_from="old", reset="subtract", reset_at="post_leak", rec_bias="false")
_NENGO = {
    "decay_mem": "exp",
    "gain_lif": "1-a",
    "if_gain": "unit",
    "leak": "none",
    "mem_uses": "old",
    "li_from": "old",
    "lif_height": "1/dt",
    "floor": "0",
    "floor_if": "none",
}
_LAVA = {"gain_lif": "dt/tau", "gain_mem": "r*dt/tau", "if_gain": "unit", "leak": "none", "dense_delay": "1"}
_SC = _row(_NIR, if_gain="r*dt", reset="v_reset", rec_cut="weight")

SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("nir-euler", 1e-4, _NIR, "forward Euler of the file's equations", "the equations of NIR"),
        Scheme(
            "nir-exp-euler",
            1e-4,
            _EXP,
            "each filter with its exact decay: exact for LIF and LI under an input that is held",
            "the equations of NIR",
        ),
        Scheme(
            "nir-exact-zoh",
            1e-4,
            _row(_EXP, mem_uses="exact"),
            "the exact propagator of i and v under an input that is held: exact at every step, CubaLIF too",
            "the equations of NIR",
        ),
        Scheme(
            "norse",
            1e-3,
            _NORSE,
            "Norse's import: forward Euler, a LIF's r not used, reset to 0, v_leak pulls at i too",
            "norse 1.1.0 and git main, run",
            _LAYERS | {"LI", "AvgPool2d", "Conv1d"},
        ),
        Scheme(
            "norse-subtract",
            1e-3,
            _row(_NORSE, reset="subtract", reset_lif="zero", reset_if="zero"),
            "Norse's import with reset_method=reset_subtract, which reaches CubaLIF only",
            "norse 1.1.0 and git main, run",
            _LAYERS | {"LI", "AvgPool2d", "Conv1d"},
        ),
        Scheme(
            "snntorch",
            1e-4,
            _row(_SNNTORCH_IMPORT, reset="zero", reset_if="subtract"),
            "snnTorch's import: unit gains under a scaled threshold, reset to 0 without delay",
            "snntorch 0.9.1 and 1.0.0, run",
            _LAYERS | {"AvgPool2d", "Conv1d"},
        ),
        Scheme(
            "snntorch-subtract",
            1e-4,
            _row(_SNNTORCH_IMPORT, reset="subtract"),
            "snnTorch's import with its layers set to subtract, reset_delay=False",
            "snntorch 0.9.1 and 1.0.0, run",
            _LAYERS | {"AvgPool2d", "Conv1d"},
        ),
        Scheme(
            "snntorch-native",
            1e-4,
            _row(_SNNTORCH, reset="subtract", reset_at="next"),
            "snnTorch's layers as they are by default: subtract, a step later",
            "snntorch 0.9.1 and 1.0.0, run",
            _LAYERS | {"AvgPool2d", "Conv1d"},
        ),
        Scheme(
            "sinabs",
            1.0,
            _row(_COUNTS, floor_if="-thr"),
            "Sinabs' import: tau counts steps, unit gains, several spikes a step, an IF stays above -threshold",
            "sinabs 2.0.3, run",
            frozenset({"LIF", "IF", "LI", "SumPool2d", "Conv1d", "Conv2d", "Flatten", "Affine"}),
        ),
        Scheme(
            "rockpool",
            1e-3,
            _row(_COUNTS, syn_order="input_first", li_order="input_first", leak="v_leak", rec_bias="false"),
            "Rockpool's layers: inputs enter i before its decay, v_leak is a bias, several spikes a step; its own "
            "importer takes the least tau_mem/(1+r) of a node for dt",
            "rockpool 3.1.0, run (importing a LIF fails there: its layer was run)",
            frozenset({"LIF", "CubaLIF", "IF", "LI", "Affine", "Linear"}),
        ),
        Scheme(
            "spyx",
            1.0,
            _row(_SPYX, reset_at_cuba="pre_leak"),
            "Spyx 1.0's import: spikes of the stored v, unit gains, subtraction a step later",
            "spyx 1.0.0, run",
            _LAYERS | {"LI", "Threshold"},
        ),
        Scheme(
            "spyx-0.1",
            1e-4,
            _row(_SPYX, gain_lif="dt/tau", gain_syn="w*dt/tau", reset_at_cuba="double", reset_at_rec="pre_leak"),
            "Spyx 0.1's import: weights scaled by dt/tau, a feed-forward CubaLIF subtracts twice",
            "spyx 0.1.20, repaired to run with nir 1.0.8",
            _LAYERS | {"LI", "Threshold"},
        ),
        # With a refractory time of 0, which NIR implies, Nengo's catch-up never acts: a spike leaves refr <= dt behind,
        # the next step takes dt off, and clip(dt - refr, 0, dt) is dt. A step is thus a plain exponential one.
        Scheme(
            "nengo",
            1e-3,
            _row(_row(_NIR, reset="zero", v_init="0"), **_NENGO),
            "the NIR paper's Nengo script: v exact, synapses Euler and a step late, a LIF's spikes 1/dt high",
            "nengo 4.1.0, run",
            frozenset({"LIF", "CubaLIF", "IF", "LI", "SumPool2d", "Conv2d", "Flatten", "Affine", "Linear"}),
        ),
        Scheme(
            "lava",
            1e-4,
            _row(_row(_NIR, reset="zero", v_init="0"), **_LAVA),
            "Lava's floating-point processes: every Dense is a step late, reset to 0",
            "lava-nc 0.10.0, run",
            frozenset({"LIF", "CubaLIF", "Affine", "Linear"}),
        ),
        Scheme(
            "lava-nir",
            1e-4,
            _row(_row(_NIR, reset="zero", v_init="0"), **_LAVA, lif_delay="1"),
            "the NIR paper's Lava importer, which puts a second Dense before each LIF: another step",
            "the importer's source, read",
            frozenset({"LIF", "Affine"}),
        ),
        Scheme(
            "spikingjelly",
            1e-4,
            _row(_NIR, if_gain="r*dt", compare=">=", reset="v_reset", v_init="v_reset", rec_cut="weight"),
            "SpikingJelly's import: forward Euler, fires at the threshold too, hard reset",
            "spikingjelly 2.0.0, run",
            _LAYERS | {"AvgPool2d", "Conv1d"},
        ),
        Scheme(
            "sc-neurocore",
            1.0,
            _SC,
            "SC-NeuroCore: forward Euler of every field, reset to v_reset",
            "sc-neurocore 3.16.0, run",
        ),
        Scheme(
            "sc-neurocore-subtract",
            1.0,
            _row(_SC, reset="subtract"),
            "SC-NeuroCore with its reset by subtraction",
            "sc-neurocore 3.16.0, run",
        ),
        Scheme(
            "s2-nir",
            1e-4,
            _row(_UNIT, fold_thr="true", reset="zero", dense_delay="1"),
            "SpiNNaker2's importer before it rounds: unit gains under a scaled threshold, connections a step late",
            "recordings of the NIR paper, reproduced",
            _LAYERS,
        ),
    )
}

DEFAULT = "nir-euler"


def parse_scheme(text: str | None, reset: str | None = None) -> Scheme:
    """`NAME[,option=value...]`, or the default where there is none; `reset` (--reset) wins over the option.

    Raises DiagnosticException with everything in the text that is not known, said twice, or does not go together.
    """
    name, *changes = (text or DEFAULT).split(",")
    counts = Counter(change.partition("=")[0] for change in changes)
    faults = [f"scheme option {option} is given {n} times; give it once" for option, n in counts.items() if n > 1]
    # Those that others follow come first.
    general = list(FOLLOWERS)
    changes.sort(key=lambda change: general.index(name) if (name := _name(change)) in general else len(general))
    if reset is not None:
        changes.append(f"reset={reset}")
    if name not in SCHEMES:
        faults.append(f"unknown scheme '{name}'; known: {', '.join(SCHEMES)}")
    scheme = SCHEMES.get(name, SCHEMES[DEFAULT])
    options, given = scheme.options, set[str](scheme.options if text else ())
    for change in changes:
        option, _, value = change.partition("=")
        values = OPTIONS.get(option)
        lowered = value.lower() if value.lower() in _FLAG else value
        if values is None:
            faults.append(f"scheme option '{option}' is unknown; known: {', '.join(OPTIONS)}")
        elif values and lowered not in values:
            faults.append(f"scheme option {option}: '{value}' is not one of {', '.join(values)}")
        elif option == "if_decay" and not _is_factor(value):
            faults.append(f"scheme option if_decay: '{value}' is not a number in [0, 1]")
        else:
            options = _set(options, option, lowered)
            given.update((option, *FOLLOWERS.get(option, ())))
    faults += _contradictions(options)
    if faults:
        raise DiagnosticException("\n".join(faults))
    given -= {option for option, value in options.items() if value in ("auto", "")}
    return replace(scheme, options=options, given=frozenset(given))


def _name(change: str) -> str:
    return change.partition("=")[0]


def _contradictions(options: dict[str, str]) -> Iterator[str]:
    """The options that do not go together."""
    old = options["spike_from"] == "old"
    fitting = ("pre_leak", "post_leak", "double") if old else ("post", "next")
    for option in ("reset_at", "reset_at_cuba", "reset_at_rec"):
        if options[option] not in fitting:
            values = f"{option}={options[option]} does not go with spike_from={options['spike_from']}"
            yield f"scheme options: {values}; give {option}={'|'.join(fitting)}"
    if options["prereset"] == "true" and {options["reset_at"], options["reset_at_cuba"], options["reset_at_rec"]} != {
        "post"
    }:
        yield "scheme options: prereset=true is a reset at once; give reset_at=post, or prereset=false"
    if options["fold_thr"] == "true" and options["input"] == "impulse":
        yield "scheme options: fold_thr=true divides by the gain of an input that is held; give input=held"
    if options["mem_uses"] == "exact":
        wanted = {
            "decay_mem": "exp",
            "decay_syn": "exp",
            "gain_mem": "r(1-a)",
            "gain_syn": "w(1-b)",
            "fold_thr": "false",
            "syn_leak": "false",
            "syn_order": "leak_first",
        }
        for option, value in wanted.items():
            if options[option] != value:
                found = f"mem_uses=exact does not go with {option}={options[option]}"
                yield f"scheme options: {found}; give {option}={value}"


def _is_factor(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
