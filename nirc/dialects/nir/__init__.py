"""The `nir` dialect: a spiking network as differential equations over continuous time.

One op per NIR primitive, with NIR's own parameters in the file's own numbers (SI units where the writer used them).
A value is a signal: a real-valued function of time, of one shape at each instant. `nir.graph` holds a graph region: a
value may be used before its definition, so a recurrent edge is simply a use. Nothing here knows a time step.
Equations: NIR paper (Pedersen et al. 2024), table 1; `Theta` marks the threshold, `W * x` a convolution.
"""

from __future__ import annotations

from xdsl.ir import Dialect

from nirc.dialects.nir.assumptions import (
    ASSUMPTIONS,
    TIME_STEP,
    Assume,
    AssumptionAttr,
    assume,
    assuming,
    assumptions,
    listed,
    quote,
    set_time_step,
    settle_scheme,
    settled_scheme,
    time_step,
)
from nirc.dialects.nir.changes import ChangeAttr, keep_changes
from nirc.dialects.nir.graph import GraphOp, InstanceOp, Names, SumOp, YieldOp, callees, graph_of
from nirc.dialects.nir.neurons import CubaLIFOp, CubaLIOp, IFOp, IOp, LIFOp, LIOp, NeuronOp
from nirc.dialects.nir.node import (
    ElementwiseOp,
    NodeOp,
    Shape,
    SignalType,
    int_array,
    integers,
    per_axis,
    shape_of,
    signal,
    with_metadata,
)
from nirc.dialects.nir.stateless import (
    AffineOp,
    AvgPool2dOp,
    Conv1dOp,
    Conv2dOp,
    ConvOp,
    DelayOp,
    FlattenOp,
    LinearOp,
    MatrixOp,
    PoolOp,
    ScaleOp,
    SumPool2dOp,
    ThresholdOp,
    WeightOp,
)

NODE_OPS: tuple[type[NodeOp], ...] = (
    AffineOp,
    AvgPool2dOp,
    Conv1dOp,
    Conv2dOp,
    CubaLIFOp,
    CubaLIOp,
    DelayOp,
    FlattenOp,
    IFOp,
    IOp,
    LIFOp,
    LIOp,
    LinearOp,
    ScaleOp,
    SumPool2dOp,
    ThresholdOp,
)
"""The ops that stand for one NIR node each; Input, Output and NIRGraph are the graph itself."""

Nir = Dialect("nir", [*NODE_OPS, GraphOp, InstanceOp, SumOp, YieldOp], [AssumptionAttr, ChangeAttr, SignalType])

__all__ = [
    "ASSUMPTIONS",
    "NODE_OPS",
    "TIME_STEP",
    "AffineOp",
    "Assume",
    "AssumptionAttr",
    "AvgPool2dOp",
    "ChangeAttr",
    "Conv1dOp",
    "Conv2dOp",
    "ConvOp",
    "CubaLIFOp",
    "CubaLIOp",
    "DelayOp",
    "ElementwiseOp",
    "FlattenOp",
    "GraphOp",
    "IFOp",
    "IOp",
    "InstanceOp",
    "LIFOp",
    "LIOp",
    "LinearOp",
    "MatrixOp",
    "Names",
    "NeuronOp",
    "Nir",
    "NodeOp",
    "PoolOp",
    "ScaleOp",
    "Shape",
    "SignalType",
    "SumOp",
    "SumPool2dOp",
    "ThresholdOp",
    "WeightOp",
    "YieldOp",
    "assume",
    "assuming",
    "assumptions",
    "callees",
    "graph_of",
    "int_array",
    "integers",
    "keep_changes",
    "listed",
    "per_axis",
    "quote",
    "set_time_step",
    "settle_scheme",
    "settled_scheme",
    "shape_of",
    "signal",
    "time_step",
    "with_metadata",
]
