"""Nodes with a state of their own at each element: integrators and neurons."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr
from xdsl.irdl import irdl_op_definition, opt_prop_def, prop_def

from nirc.dialects.nir.node import ElementwiseOp


class NeuronOp(ElementwiseOp, ABC):
    """A node that integrates; POSITIVE names its time constants."""

    def has_state(self) -> bool:
        return True


@irdl_op_definition
class IOp(NeuronOp):
    """Integrator: dv/dt = r input; output = v.

    | name | shape        | unit              |
    |------|--------------|-------------------|
    | r    | () or (N...) | v per input and s |
    """

    name = "nir.i"
    NIR_TYPE: ClassVar[str] = "I"

    r = prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class IFOp(NeuronOp):
    """Integrate-and-fire: dv/dt = r input; at v = v_threshold a spike, and v becomes v_reset.

    | name        | shape        | unit              |
    |-------------|--------------|-------------------|
    | r           | () or (N...) | v per input and s |
    | v_threshold | () or (N...) | of v              |
    | v_reset     | () or (N...) | of v, absent: the file says nothing |
    """

    name = "nir.if"
    NIR_TYPE: ClassVar[str] = "IF"
    SPIKING: ClassVar[bool] = True

    r = prop_def(DenseIntOrFPElementsAttr)
    v_threshold = prop_def(DenseIntOrFPElementsAttr)
    v_reset = opt_prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class LIOp(NeuronOp):
    """Leaky integrator: tau dv/dt = (v_leak - v) + r input; output = v.

    | name   | shape        | unit        | range |
    |--------|--------------|-------------|-------|
    | tau    | () or (N...) | s           | > 0   |
    | r      | () or (N...) | v per input |       |
    | v_leak | () or (N...) | of v        |       |
    """

    name = "nir.li"
    NIR_TYPE: ClassVar[str] = "LI"
    POSITIVE: ClassVar[tuple[str, ...]] = ("tau",)

    tau = prop_def(DenseIntOrFPElementsAttr)
    r = prop_def(DenseIntOrFPElementsAttr)
    v_leak = prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class LIFOp(NeuronOp):
    """Leaky integrate-and-fire: tau dv/dt = (v_leak - v) + r input; at v = v_threshold a spike, and v becomes v_reset.

    | name        | shape        | unit          | range |
    |-------------|--------------|---------------|-------|
    | tau         | () or (N...) | s             | > 0   |
    | r           | () or (N...) | v per input   |       |
    | v_leak      | () or (N...) | of v          |       |
    | v_threshold | () or (N...) | of v          |       |
    | v_reset     | () or (N...) | of v, absent: the file says nothing |
    """

    name = "nir.lif"
    NIR_TYPE: ClassVar[str] = "LIF"
    SPIKING: ClassVar[bool] = True
    POSITIVE: ClassVar[tuple[str, ...]] = ("tau",)

    tau = prop_def(DenseIntOrFPElementsAttr)
    r = prop_def(DenseIntOrFPElementsAttr)
    v_leak = prop_def(DenseIntOrFPElementsAttr)
    v_threshold = prop_def(DenseIntOrFPElementsAttr)
    v_reset = opt_prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class CubaLIOp(NeuronOp):
    """Current-based leaky integrator: tau_syn di/dt = -i + w_in input; tau_mem dv/dt = (v_leak - v) + r i; output = v.

    | name    | shape        | unit        | range |
    |---------|--------------|-------------|-------|
    | tau_mem | () or (N...) | s           | > 0   |
    | tau_syn | () or (N...) | s           | > 0   |
    | r       | () or (N...) | v per i     |       |
    | v_leak  | () or (N...) | of v        |       |
    | w_in    | () or (N...) | i per input |       |
    """

    name = "nir.cuba_li"
    NIR_TYPE: ClassVar[str] = "CubaLI"
    POSITIVE: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_syn")

    tau_mem = prop_def(DenseIntOrFPElementsAttr)
    tau_syn = prop_def(DenseIntOrFPElementsAttr)
    r = prop_def(DenseIntOrFPElementsAttr)
    v_leak = prop_def(DenseIntOrFPElementsAttr)
    w_in = prop_def(DenseIntOrFPElementsAttr)


@irdl_op_definition
class CubaLIFOp(NeuronOp):
    """Current-based LIF: tau_syn di/dt = -i + w_in input; tau_mem dv/dt = (v_leak - v) + r i; spike and reset as LIF.

    | name        | shape        | unit          | range |
    |-------------|--------------|---------------|-------|
    | tau_mem     | () or (N...) | s             | > 0   |
    | tau_syn     | () or (N...) | s             | > 0   |
    | r           | () or (N...) | v per i       |       |
    | w_in        | () or (N...) | i per input   |       |
    | v_leak, v_threshold, v_reset | as LIF | of v |       |
    """

    name = "nir.cuba_lif"
    NIR_TYPE: ClassVar[str] = "CubaLIF"
    SPIKING: ClassVar[bool] = True
    POSITIVE: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_syn")

    tau_mem = prop_def(DenseIntOrFPElementsAttr)
    tau_syn = prop_def(DenseIntOrFPElementsAttr)
    r = prop_def(DenseIntOrFPElementsAttr)
    v_leak = prop_def(DenseIntOrFPElementsAttr)
    v_threshold = prop_def(DenseIntOrFPElementsAttr)
    v_reset = opt_prop_def(DenseIntOrFPElementsAttr)
    w_in = prop_def(DenseIntOrFPElementsAttr)
