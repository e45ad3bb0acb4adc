"""`convert-loops-to-llvm`: functions of `arith`, `math`, `memref` and `cf` become functions of the `llvm` dialect.

An index is as wide as a pointer, a memref of one axis a pointer that aliases no other parameter, an access a GEP;
nothing is fast-math, so results are IEEE's. Loops whose rounds may run at once become vectors (see `rounds`), then
`scf` goes, by `while_loops` and by xDSL's convert-scf-to-cf. xDSL 0.74 has no such lowering of its own: its way over
`ptr` casts addresses to integers, which LLVM cannot vectorise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from xdsl.context import Context
from xdsl.dialects import arith, cf, func, llvm, math, memref, vector
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DictionaryAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    ModuleOp,
    StringAttr,
    UnitAttr,
    VectorType,
    i1,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.transforms.convert_scf_to_cf import ConvertScfToCf
from xdsl.utils.exceptions import PassFailedException

from nirc.passes.convert_loops_to_llvm.rounds import vectorize_rounds
from nirc.passes.convert_loops_to_llvm.while_loops import lower_while_loops

_BINARY: dict[type[Operation], Callable[[SSAValue, SSAValue], Operation]] = {
    arith.AddiOp: llvm.AddOp,
    arith.SubiOp: llvm.SubOp,
    arith.MuliOp: llvm.MulOp,
    arith.DivUIOp: llvm.UDivOp,
    arith.RemUIOp: llvm.URemOp,
    arith.AndIOp: llvm.AndOp,
    arith.ShLIOp: llvm.ShlOp,
    arith.OrIOp: llvm.OrOp,
    arith.AddfOp: llvm.FAddOp,
    arith.SubfOp: llvm.FSubOp,
    arith.MulfOp: llvm.FMulOp,
    arith.DivfOp: llvm.FDivOp,
}
_CAST: dict[type[Operation], Callable[[SSAValue, Attribute], Operation]] = {
    arith.ExtUIOp: llvm.ZExtOp,
    arith.ExtSIOp: llvm.SExtOp,
    arith.TruncIOp: llvm.TruncOp,
    arith.SIToFPOp: llvm.SIToFPOp,
    arith.ExtFOp: llvm.FPExtOp,
    arith.TruncFOp: llvm.FPTruncOp,
}
_INTRINSIC: dict[type[Operation], str] = {
    arith.FPToSIOp: "llvm.fptosi.sat",
    arith.MaximumfOp: "llvm.maximum",
    arith.MinimumfOp: "llvm.minimum",
    math.FloorOp: "llvm.floor",
}


@dataclass(frozen=True)
class ConvertLoopsToLlvmPass(ModulePass):
    """Lower every function of the module.

    triple  the machine in LLVM's words, which the module keeps as `llvm.target_triple` and whose pointers say how wide
            an index is; without one pointers have 64 bits

    Raises PassFailedException where LLVM does not know the triple, and with every op that has no counterpart.
    """

    name = "convert-loops-to-llvm"

    triple: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.ops:
            if isinstance(function, func.FuncOp):
                vectorize_rounds(function)
                lower_while_loops(function)
        index = i64
        if self.triple is not None:
            index = IntegerType(_pointer_bits(self.triple))
            op.attributes["llvm.target_triple"] = StringAttr(self.triple)
        ConvertScfToCf().apply(ctx, op)
        faults = set[str]()
        for function in tuple(op.ops):
            if isinstance(function, func.FuncOp):
                lowered = _Function(faults, index).lower(function)
                op.body.block.insert_op_before(lowered, function)
                function.detach()
                function.erase()
        if faults:
            raise PassFailedException(f"no lowering to llvm for {', '.join(sorted(faults))}")


_CLASSES = {"ogt": 0x380, "oge": 0x3E0, "une": 0x39F}
"""The classes of x - y, as bits of llvm.is.fpclass: positive; or zero; not zero."""


def _lanes(kind: Attribute) -> int:
    """The number of elements of a vector."""
    return cast(VectorType[Any], kind).get_shape()[0]


def _suffix(kind: Attribute) -> str:
    """A type in the name of an intrinsic."""
    vector = cast(VectorType[Any], kind)
    return f"v{vector.get_shape()[0]}{vector.element_type}" if isinstance(kind, VectorType) else str(kind)


def _alignment(kind: Attribute) -> int:
    """That of an element, as nothing more is known."""
    return cast(VectorType[Any], kind).element_type.bitwidth // 8


def _pointer_bits(triple: str) -> int:
    """From LLVM's data layout; pointers have 64 bits where it is silent."""
    import llvmlite.binding

    llvmlite.binding.initialize_all_targets()
    llvmlite.binding.initialize_all_asmprinters()
    try:
        layout = str(llvmlite.binding.Target.from_triple(triple).create_target_machine().target_data)
    except RuntimeError:
        raise PassFailedException(
            f"triple '{triple}': LLVM has no such machine; known are for instance x86_64-linux-gnu, aarch64-linux-gnu, "
            "thumbv7em-none-eabihf, riscv32-unknown-elf"
        ) from None
    found = re.search(r"(?:^|-)p:(\d+)", layout)
    return int(found[1]) if found else 64


class _Function:
    """One function's blocks and values, old and new."""

    def __init__(self, faults: set[str], index: IntegerType):
        self.faults, self.index = faults, index
        self.values = dict[SSAValue, SSAValue]()
        self.blocks = dict[Block, Block]()

    def kind(self, kind: Attribute) -> Attribute:
        """The type that stands for another."""
        if isinstance(kind, IndexType):
            return self.index
        return llvm.LLVMPointerType() if isinstance(kind, MemRefType) else kind

    def lower(self, function: func.FuncOp) -> llvm.FuncOp:
        """The same function in the llvm dialect."""
        for block in function.body.blocks:
            new = Block(arg_types=[self.kind(arg.type) for arg in block.args])
            self.blocks[block] = new
            for before, after in zip(block.args, new.args, strict=True):
                after.name_hint = before.name_hint
                self.values[before] = after
        for block in function.body.blocks:
            for op in block.ops:
                self.append(op, self.blocks[block])
        inputs = [self.kind(kind) for kind in function.function_type.inputs]
        attributes = [
            DictionaryAttr({"llvm.noalias": UnitAttr()} if isinstance(kind, llvm.LLVMPointerType) else {})
            for kind in inputs
        ]
        return llvm.FuncOp(
            function.sym_name,
            llvm.LLVMFunctionType(inputs),
            llvm.LinkageAttr("external"),
            body=Region(list(self.blocks.values())),
            other_props={"arg_attrs": ArrayAttr(attributes)},
        )

    def append(self, op: Operation, block: Block) -> None:
        """Lower one op to the end of a block."""
        x = [self.values[value] for value in op.operands]

        def add(new: Operation) -> SSAValue:
            block.add_op(new)
            return new.results[0]

        result: SSAValue | None = None
        kind = type(op)
        match op:
            case arith.ConstantOp():
                number: Attribute = op.value
                if isinstance(number, IntegerAttr) and isinstance(op.result.type, IndexType):
                    value = number.value.data
                    if not -(1 << (self.index.bitwidth - 1)) <= value < 1 << (self.index.bitwidth - 1):
                        self.faults.add(f"index {value}, which pointers of {self.index.bitwidth} bits do not reach")
                        value = 0
                    number = IntegerAttr(value, self.index)
                result = add(llvm.ConstantOp(number, self.kind(op.result.type)))
            case arith.CmpiOp():
                result = add(llvm.ICmpOp(x[0], x[1], IntegerAttr(op.predicate.value.data, i64)))
            case arith.CmpfOp() if isinstance(x[0].type, VectorType):
                result = self.compared(op, x, add)
            case arith.SelectOp() if isinstance(x[0].type, VectorType):
                lanes = add(llvm.ConstantOp(IntegerAttr(_lanes(op.result.type), i32), i32))
                name = f"llvm.vp.select.{_suffix(op.result.type)}"
                result = add(llvm.CallIntrinsicOp(name, [*x, lanes], [op.result.type]))
            case arith.CmpfOp():
                result = add(llvm.FCmpOp(x[0], x[1], IntegerAttr(op.predicate.value.data, i64)))
            case arith.SelectOp():
                result = add(llvm.SelectOp(x[0], x[1], x[2]))
            case arith.IndexCastOp():
                result = self.index_cast(x[0], self.kind(op.result.type), add)
            case math.CountTrailingZerosOp():
                defined = add(llvm.ConstantOp(IntegerAttr(0, i1), i1))
                result = add(llvm.CallIntrinsicOp(f"llvm.cttz.{op.result.type}", [*x, defined], [op.result.type]))
            case llvm.BitcastOp():
                result = add(llvm.BitcastOp(x[0], op.result.type))
            case memref.LoadOp():
                alignment = 1 if isinstance(op.memref.owner, memref.ViewOp) else None
                result = add(llvm.LoadOp(self.address(op.memref, x[0], x[1], add), op.res.type, alignment))
            case memref.StoreOp():
                block.add_op(llvm.StoreOp(x[0], self.address(op.memref, x[1], x[2], add)))
            case vector.LoadOp():
                at = self.address(op.base, x[0], x[1], add)
                result = add(llvm.LoadOp(at, op.result.type, _alignment(op.result.type)))
            case vector.StoreOp():
                at = self.address(op.base, x[1], x[2], add)
                block.add_op(llvm.StoreOp(x[0], at, alignment=_alignment(op.vector.type)))
            case vector.BroadcastOp():
                result = self.broadcast(x[0], op.vector.type, add)
            case llvm.CallIntrinsicOp():
                result = add(llvm.CallIntrinsicOp(op.intrin, x, [op.results[0].type]))
            case memref.ViewOp():
                result = self.address(op.source, x[0], x[1], add)
            case cf.BranchOp():
                block.add_op(llvm.BrOp(self.blocks[op.successor], *x))
            case cf.ConditionalBranchOp():
                then = [self.values[value] for value in op.then_arguments]
                other = [self.values[value] for value in op.else_arguments]
                targets = self.blocks[op.then_block], self.blocks[op.else_block]
                block.add_op(llvm.CondBrOp(x[0], targets[0], then, targets[1], other))
            case func.ReturnOp():
                block.add_op(llvm.ReturnOp())
            case _ if kind in _BINARY:
                result = add(_BINARY[kind](x[0], x[1]))
            case _ if kind in _CAST:
                result = add(_CAST[kind](x[0], self.kind(op.results[0].type)))
            case _ if kind in _INTRINSIC:
                result = add(llvm.CallIntrinsicOp(self.intrinsic(op), x, [self.kind(op.results[0].type)]))
            case _:
                self.faults.add(op.name)
                for value in op.results:
                    self.values[value] = add(llvm.UndefOp(self.kind(value.type)))
        if result is not None:
            old: SSAValue = op.results[0]
            result.name_hint = old.name_hint
            self.values[old] = result

    def intrinsic(self, op: Operation) -> str:
        """The intrinsic's name with its types."""
        values: list[SSAValue] = [op.results[0], *(op.operands if isinstance(op, arith.FPToSIOp) else ())]
        kinds = [value.type for value in values]
        return ".".join([_INTRINSIC[type(op)], *map(_suffix, kinds)])

    def compared(self, op: arith.CmpfOp, x: list[SSAValue], add: Callable[[Operation], SSAValue]) -> SSAValue:
        """A comparison of vectors with what is finite, by the class of the difference: its sign is right, as no
        difference of two numbers underflows to 0. The llvm dialect's own compares no vectors in xDSL 0.74."""
        predicate = list(arith.CMPF_COMPARISON_OPERATIONS)[op.predicate.value.data]
        classes = add(llvm.ConstantOp(IntegerAttr(_CLASSES[predicate], i32), i32))
        name = f"llvm.is.fpclass.{_suffix(x[0].type)}"
        return add(llvm.CallIntrinsicOp(name, [add(llvm.FSubOp(x[0], x[1])), classes], [op.result.type]))

    def broadcast(self, value: SSAValue, kind: VectorType[Any], add: Callable[[Operation], SSAValue]) -> SSAValue:
        """A vector of one value."""
        first = add(llvm.ConstantOp(IntegerAttr(0, i32), i32))
        one = add(llvm.InsertElementOp(add(llvm.UndefOp(kind)), value, first))
        return add(llvm.ShuffleVectorOp(one, one, DenseArrayBase.from_list(i32, [0] * _lanes(kind)), kind))

    def index_cast(self, value: SSAValue, kind: Attribute, add: Callable[[Operation], SSAValue]) -> SSAValue:
        """Between an index and an integer of some width, sign kept."""
        width: Any = kind
        held: Any = value.type
        if held == width:
            return value
        if held.width.data < width.width.data:
            return add(llvm.SExtOp(value, kind))
        return add(llvm.TruncOp(value, kind))

    def address(self, of: SSAValue, pointer: SSAValue, at: SSAValue, add: Callable[[Operation], SSAValue]) -> SSAValue:
        """The address of an element."""
        element: Attribute = cast(MemRefType[Any], of.type).element_type
        return add(llvm.GEPOp(pointer, [llvm.GEP_USE_SSA_VAL], element, ssa_indices=[at], inbounds=True))
