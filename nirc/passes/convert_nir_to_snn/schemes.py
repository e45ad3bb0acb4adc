"""Schemes: named tables of the choices that NIR leaves open when time is cut into steps.

`OPTIONS` says what may be chosen, `SCHEMES` what each simulator chooses. Source: the importers of the frameworks as
measured in nirc's specification of simulators' semantics; a = membrane decay, b = synaptic decay, w = w_in.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from xdsl.utils.exceptions import DiagnosticException

OPTIONS: dict[str, tuple[str, ...]] = {
    "decay_mem": ("euler", "exp"),
    "decay_syn": ("euler", "exp"),
    "clip": ("false", "true"),
    "gain_lif": ("r(1-a)", "1-a", "r*dt/tau", "dt/tau", "unit"),
    "gain_mem": ("r(1-a)", "1-a", "r*dt/tau", "dt/tau", "unit"),
    "gain_syn": ("w(1-b)", "w*dt/tau", "unit"),
    "if_gain": ("auto", "r", "r*dt", "unit"),
    "if_decay": (),
    "input": ("held", "impulse"),
    "fold_thr": ("false", "true"),
    "leak": ("(1-a)*v_leak", "v_leak", "none"),
    "syn_leak": ("false", "true"),
    "compare": (">", ">="),
    "reset": ("auto", "zero", "v_reset", "subtract"),
    "reset_lif": ("auto", "zero", "v_reset", "subtract"),
    "reset_if": ("auto", "zero", "v_reset", "subtract"),
    "reset_at": ("post", "next"),
    "prereset": ("false", "true"),
    "v_init": ("v_leak", "0", "v_reset"),
    "rec_cut": ("neuron", "weight"),
    "rec_cut_at": (),
}
"""The options and their values; an empty tuple means free text (`if_decay` a number, `rec_cut_at` edges `A->B`).

decay_mem, decay_syn  1-dt/tau or exp(-dt/tau); `clip` clamps the factor to [0, 1] where dt > tau
gain_lif, gain_mem    what an input adds to v (LIF, LI), what i adds to v (CubaLIF)
gain_syn              what an input adds to i
fold_thr              inputs enter with gain 1 and the threshold is divided by the gain that the file states
syn_leak              v_leak is also the rest value of i
reset                 CubaLIF; `reset_lif` and `reset_if` follow it unless a scheme says otherwise
reset_at, prereset    `next`: at the next step, after the leak; prereset: snnTorch's reset_delay=False
v_init                v before the first step; i starts at 0, or at v_leak under syn_leak
rec_cut, rec_cut_at   where the delay of a cycle sits: on the neurons' outputs or on the closing edge
"""


@dataclass(frozen=True)
class Scheme:
    """One choice per option, and which of them the user made (`given`)."""

    name: str
    dt: float
    """The step that the simulator itself takes by default; only named among the candidates."""
    options: dict[str, str]
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
        if self["reset"] != base["reset"]:  # the others follow it
            base = {**base, "reset_lif": self["reset"], "reset_if": self["reset"]}
        changed = {option: value for option, value in self.options.items() if base[option] != value}
        return ",".join([self.name, *(f"{option}={value}" for option, value in changed.items())])


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
    "compare": ">",
    "reset": "auto",
    "reset_lif": "auto",
    "reset_if": "auto",
    "reset_at": "post",
    "prereset": "false",
    "v_init": "v_leak",
    "rec_cut": "neuron",
    "rec_cut_at": "",
}


def _reset(kind: str, lif: str | None = None, if_: str | None = None) -> dict[str, str]:
    return {"reset": kind, "reset_lif": lif or kind, "reset_if": if_ or kind}


_NORSE = {**_NIR, **_reset("zero"), "gain_lif": "1-a", "if_gain": "unit", "syn_leak": "true", "rec_cut": "weight"}
_SNNTORCH = {
    **_NIR,
    "clip": "true",
    "gain_lif": "unit",
    "gain_mem": "unit",
    "gain_syn": "unit",
    "if_gain": "unit",
    "fold_thr": "true",
    "leak": "none",
    "v_init": "0",
}
_SNNTORCH_IMPORT = {**_SNNTORCH, "prereset": "true", "if_decay": "0.9"}

SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("nir-euler", 1e-4, _NIR),
        Scheme("nir-exp-euler", 1e-4, {**_NIR, "decay_mem": "exp", "decay_syn": "exp"}),
        Scheme("norse", 1e-3, _NORSE),
        Scheme("norse-subtract", 1e-3, {**_NORSE, **_reset("subtract", lif="zero", if_="zero")}),
        Scheme("snntorch", 1e-4, {**_SNNTORCH_IMPORT, **_reset("zero", if_="subtract")}),
        Scheme("snntorch-subtract", 1e-4, {**_SNNTORCH_IMPORT, **_reset("subtract")}),
        Scheme("snntorch-native", 1e-4, {**_SNNTORCH, **_reset("subtract"), "reset_at": "next"}),
    )
}

DEFAULT = "nir-euler"


def parse_scheme(text: str | None, reset: str | None = None) -> Scheme:
    """`NAME[,option=value...]`, or the default where there is none; `reset` (--reset) wins over the option.

    Raises DiagnosticException with everything in the text that is not known, or said twice.
    """
    name, *changes = (text or DEFAULT).split(",")
    counts = Counter(change.partition("=")[0] for change in changes)
    faults = [f"scheme option {option} is given {n} times; give it once" for option, n in counts.items() if n > 1]
    if reset is not None:
        changes.append(f"reset={reset}")
    if name not in SCHEMES:
        faults.append(f"unknown scheme '{name}'; known: {', '.join(SCHEMES)}")
    scheme = SCHEMES.get(name, SCHEMES[DEFAULT])
    options, given = dict(scheme.options), set[str](scheme.options if text else ())
    for change in changes:
        option, _, value = change.partition("=")
        values = OPTIONS.get(option)
        lowered = value.lower() if value.lower() in ("true", "false") else value
        if values is None:
            faults.append(f"scheme option '{option}' is unknown; known: {', '.join(OPTIONS)}")
        elif values and lowered not in values:
            faults.append(f"scheme option {option}: '{value}' is not one of {', '.join(values)}")
        elif option == "if_decay" and not _is_factor(value):
            faults.append(f"scheme option if_decay: '{value}' is not a number in [0, 1]")
        else:
            changed = _reset(lowered) if option == "reset" else {option: lowered}
            options.update(changed)
            given.update(changed)
    if faults:
        raise DiagnosticException("\n".join(faults))
    given -= {option for option, value in options.items() if value in ("auto", "")}
    return replace(scheme, options=options, given=frozenset(given))


def _is_factor(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
