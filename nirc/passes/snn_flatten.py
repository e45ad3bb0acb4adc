"""`snn-flatten`: images become vectors in row-major order; convolutions and pools become matrices.

For chips that know vectors of neurons alone. A convolution of a C x H x W image onto N values is the N x CHW matrix of
its responses to single pixels, so weights are repeated and most entries are 0: small images only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import snn
from nirc.dialects.dense import Array, Dense, Tensor, array, as_dense, dense, dtype_of, shape_text, tensor
from nirc.interpreters.snn import convolved, pooled


@dataclass(frozen=True)
class SnnFlattenPass(ModulePass):
    """Give every value of each `snn.network` one axis.

    most: the largest number of values at a convolution's or a pool's ends.
    Raises PassFailedException with every convolution and pool that is larger.
    """

    name = "snn-flatten"

    most: int = 1000

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for network in tuple(op.ops):
            if isinstance(network, snn.NetworkOp) and any(_rank(value) != 1 for value in _values(network)):
                faults = list(self.too_large(network))
                if faults:
                    raise PassFailedException("\n".join(faults))
                _flatten(network)

    def too_large(self, network: snn.NetworkOp) -> Iterator[str]:
        """What cannot be unrolled, in the words of the model."""
        for op in network.body.block.ops:
            if isinstance(op, snn.ConvOp | snn.PoolOp):
                for shape in (snn.tensor_of(value).get_shape() for value in (op.input, op.output)):
                    if math.prod(shape) > self.most:
                        yield (
                            f"node {op.label}: unrolled to a matrix it has {math.prod(shape)} values "
                            f"({shape_text(shape)}) at one end, the chip's neurons are {self.most} at most; take "
                            "smaller images, fewer channels or a larger stride, or a chip with convolutions"
                        )
                        break


def _values(network: snn.NetworkOp) -> Iterator[SSAValue]:
    yield from network.body.block.args
    for op in network.body.block.ops:
        yield from op.results


def _rank(value: SSAValue) -> int:
    return len(snn.tensor_of(value).get_shape())


def _flat(kind: Tensor, axes: int = 0) -> Tensor:
    """The type with all axes but the first few as one."""
    shape = kind.get_shape()
    return tensor((*shape[:axes], math.prod(shape[axes:])), kind.element_type)


def _flatten(network: snn.NetworkOp) -> None:
    old = network.body.block
    rings = {op.ring for op in old.ops if isinstance(op, snn.DelayOp)}
    block = Block(arg_types=[_flat(snn.tensor_of(arg), 1 if arg in rings else 0) for arg in old.args])
    new = dict[SSAValue, SSAValue](zip(old.args, block.args, strict=True))
    for before, after in new.items():
        after.name_hint = before.name_hint
    for op in old.ops:
        if isinstance(op, snn.ReshapeOp):
            new[op.output] = new[op.input]
            continue
        block.add_op(flat := _flattened(op, new))
        for before, after in zip(op.results, flat.results, strict=True):
            after.name_hint = before.name_hint
            new[before] = after
    states = [
        snn.StateAttr(state.node, state.variable, _vector(state.init, snn.tensor_of(arg), snn.tensor_of(new[arg])))
        for state, arg in zip(network.states, network.state_args, strict=True)
    ]
    network.properties["states"] = ArrayAttr(states)
    network.detach_region(network.body)
    network.add_region(Region(block))


def _flattened(op: Operation, new: dict[SSAValue, SSAValue]) -> Operation:
    """The op between vectors."""
    operands = [new[value] for value in op.operands]
    ring = isinstance(op, snn.DelayOp)  # its second result has the steps as an axis of their own
    results = [_flat(snn.tensor_of(value), 1 if n and ring else 0) for n, value in enumerate(op.results)]
    if isinstance(op, snn.ConvOp | snn.PoolOp):
        return snn.LinearOp(operands, results[0], {"weight": dense(_matrix(op))}, op.node.data if op.node else None)
    properties = dict[str, Attribute](op.properties)
    for name, attr in op.properties.items():
        constant = as_dense(attr)
        if constant is not None and not isinstance(op, snn.LinearOp):
            properties[name] = _vector(constant, snn.tensor_of(op.results[0]), results[0])
    return type(op).create(operands=operands, result_types=results, properties=properties)


def _matrix(op: snn.ConvOp | snn.PoolOp) -> Array:
    """The responses to single pixels, [output, input]."""
    kind = snn.tensor_of(op.input)
    size = math.prod(kind.get_shape())
    pixels = np.eye(size, dtype=dtype_of(snn.tensor_of(op.output).element_type)).reshape(size, *kind.get_shape())
    answers = convolved(op, pixels) if isinstance(op, snn.ConvOp) else pooled(op, pixels)
    return np.ascontiguousarray(answers.reshape(size, -1).T)


def _vector(attr: Dense, kind: Tensor, flat: Tensor) -> Dense:
    """A constant per element in the shape of a flat type; a single number stays one."""
    values = array(attr)
    return attr if values.ndim == 0 else dense(np.broadcast_to(values, kind.get_shape()).reshape(flat.get_shape()))
