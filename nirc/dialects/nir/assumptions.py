"""What nirc assumed on the way: attributes of the module that every level carries and every emitter writes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import ClassVar, TypeAlias, cast

from xdsl.dialects.builtin import ArrayAttr, FloatAttr, ModuleOp, StringAttr, f64
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.utils.exceptions import VerifyException

ASSUMPTIONS = "nir.assumptions"
"""The module's attribute that lists what nirc assumed."""

TIME_STEP = "nir.dt"
"""The module's attribute that tells the step in seconds by which time was cut; the step itself is without seconds."""


SCHEME = "nir.scheme"
"""The module's attribute, at level `nir`, that tells what NIR leaves open and a run of the equations needs to know."""


@irdl_attr_definition
class AssumptionAttr(ParametrizedAttribute):
    """Something that the file does not say and nirc had to decide, or that a user should know about the result.

    kind      `choice`: nirc chose, and another choice would change the behaviour (an error under --strict);
              `given`: the user chose by a flag; `note`: nothing was chosen, but it is worth knowing
    topic     what it is about: `dt`, `reset`, ...
    statement the sentence that is printed
    """

    name = "nir.assumption"
    KINDS: ClassVar[tuple[str, ...]] = ("choice", "given", "note")

    kind: StringAttr
    topic: StringAttr
    statement: StringAttr

    def verify(self) -> None:
        if self.kind.data not in self.KINDS:
            raise VerifyException(f"an assumption is one of {', '.join(self.KINDS)}, not '{self.kind.data}'")

    def __str__(self) -> str:
        return f"{self.topic.data}: {self.statement.data}"


def quote(name: str) -> str:
    """A node's name as messages show it: in quotes, control characters escaped, very long names cut."""
    return repr(name if len(name) <= 80 else name[:77] + "...")


def listed(names: list[str]) -> str:
    """Names of nodes in a sentence, the first five of them."""
    shown = ", ".join(quote(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


Assume: TypeAlias = Callable[[str, str, str], None]
"""Takes the kind, the topic and the statement of an assumption."""


@contextmanager
def assuming(module: ModuleOp) -> Generator[Assume]:
    """Collect assumptions and attach them to the module at the end, each once: the list is written anew only then."""
    known = dict.fromkeys(assumptions(module))
    count = len(known)

    def assume(kind: str, topic: str, statement: str) -> None:
        known[AssumptionAttr(StringAttr(kind), StringAttr(topic), StringAttr(statement))] = None

    yield assume
    if len(known) > count:
        module.attributes[ASSUMPTIONS] = ArrayAttr(known)


def assume(module: ModuleOp, kind: str, topic: str, statement: str) -> None:
    """Attach an assumption to the module, once."""
    with assuming(module) as attach:
        attach(kind, topic, statement)


def assumptions(module: ModuleOp) -> tuple[AssumptionAttr, ...]:
    """What was assumed so far, in the order in which it was."""
    attr = module.attributes.get(ASSUMPTIONS)
    if not isinstance(attr, ArrayAttr):
        return ()
    return tuple(item for item in cast(ArrayAttr[Attribute], attr).data if isinstance(item, AssumptionAttr))


def set_time_step(module: ModuleOp, seconds: float) -> None:
    """Attach the step."""
    module.attributes[TIME_STEP] = FloatAttr(seconds, f64)


def time_step(module: ModuleOp) -> float | None:
    """The step in seconds, None where time is not cut yet or the module does not tell."""
    attr = module.attributes.get(TIME_STEP)
    return attr.value.data if isinstance(attr, FloatAttr) else None


def settle_scheme(module: ModuleOp, spelling: str) -> None:
    """Attach the choices for a run of the equations themselves."""
    module.attributes[SCHEME] = StringAttr(spelling)


def settled_scheme(module: ModuleOp) -> str | None:
    """The choices for a run of the equations themselves, None where they were not made yet."""
    attr = module.attributes.get(SCHEME)
    return attr.data if isinstance(attr, StringAttr) else None
