"""What a chip's number formats did to a network's parameters: the report that chips' networks carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DenseIntOrFPElementsAttr, ModuleOp, StringAttr
from xdsl.ir import Operation, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition

from nirc.dialects.dense import Array, array, dense, uniform
from nirc.dialects.nir.assumptions import assume, quote


@irdl_attr_definition
class ChangeAttr(ParametrizedAttribute):
    """What quantization did to a parameter: values before and after in the network's units, largest relative error.

    For weights, before and after are the least and the largest, and the error is relative to the largest.
    """

    name = "nir.change"

    node: StringAttr
    parameter: StringAttr
    unit: StringAttr
    before: DenseIntOrFPElementsAttr
    after: DenseIntOrFPElementsAttr
    error: DenseIntOrFPElementsAttr

    @staticmethod
    def of(node: str, parameter: str, unit: str, before: Array, after: Array, error: float | None = None) -> ChangeAttr:
        """A change of values neuron by neuron; equal ones become one."""
        if error is None:
            reference = np.where(before != 0, np.abs(before), 1)
            error = float((np.abs(after - before) / reference).max(initial=0))
        values = [dense(np.asarray(uniform(values), np.float64)) for values in (before, after, np.asarray(error))]
        return ChangeAttr(StringAttr(node), StringAttr(parameter), StringAttr(unit), *values)

    @staticmethod
    def of_weights(node: str, before: Array, after: Array) -> ChangeAttr:
        """A change of weights: the ends, and the error relative to the largest."""
        ends = [np.array([values.min(), values.max()]) for values in (before, after)]
        error = float(np.abs(after - before).max()) / max(float(np.abs(before).max()), 1e-300)
        return ChangeAttr.of(node, "weights", "v per spike", *ends, error=error)

    def tell(self, module: ModuleOp) -> None:
        """Attach a note where the change is large."""
        error, before, after = (float(array(v).flat[0]) for v in (self.error, self.before, self.after))
        if error > _TELL:
            single = not self.before.get_shape() and not self.after.get_shape()
            ends = f" ({before:.3g} to {after:.3g} {self.unit.data})" if single else ""
            statement = f"{self.parameter.data} of {quote(self.node.data)} changes by up to {error:.0%}{ends}"
            assume(module, "note", "quantization", statement)


_TELL = 0.05
"""The relative change of a parameter from which on it is told on the terminal, not in the report alone."""


def keep_changes(module: ModuleOp, network: Operation, changes: Iterable[ChangeAttr], about: str = "") -> None:
    """Add to the `report` of a chip's network, and tell what is large; `about` says what was done to what."""
    changes = list(changes)
    report = network.properties.get("report")
    before = cast(ArrayAttr[ChangeAttr], report).data if isinstance(report, ArrayAttr) else ()
    network.properties["report"] = ArrayAttr([*before, *changes])
    for change in changes:
        change.tell(module)
    if about:
        assume(module, "note", "quantization", about)
