"""LLVM vectors as Numba values: kernels in plain Python syntax whose accumulators stay in registers.

A value of type :class:`Vector` is one LLVM vector, ``<16 x i32>`` say; a local variable of that type in a loop becomes
a loop-carried register. LLVM splits a vector that is wider than the machine's: ``<16 x i32>`` is one register with
AVX-512, two with AVX2 and four with NEON, so one source serves every processor. Addresses are int64; loads and stores
need no alignment. Nothing here checks bounds: the callers' tables do (see ``infer/plan``).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

__all__ = [
    "Vector", "add", "address_of", "bit_and", "bit_xor", "bitcast", "broadcast", "f32_at", "f32x16", "i8_at",
    "i8x8", "i8x16", "i8x32", "i8x64", "i16_at", "i16x16", "i16x32", "i32_at", "i32x16", "i64_at", "i64x8",
    "load", "load_first", "maximum", "minimum", "multiply", "narrow", "part", "prefetch", "select_gt", "set_f32",
    "set_i8", "set_i16", "set_i32", "set_i64", "shift_left", "shift_right", "splat", "store", "store_first",
    "subtract", "widen", "zeros",
]  # fmt: skip

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


class Vector(types.Type):
    """``lanes`` numbers of ``kind`` ("i8" to "i64" or "f32") as one Numba value."""

    def __init__(self, kind: str, lanes: int) -> None:
        self.kind, self.lanes = kind, lanes
        super().__init__(name=f"Vector({kind} x {lanes})")

    def __reduce__(self) -> tuple:
        """As its constructor: Numba's own way writes a number that differs between processes, and a kernel that closes
        over a vector type would never be found in the cache on disk."""
        return Vector, (self.kind, self.lanes)

    @property
    def ir(self) -> ir.VectorType:
        """The LLVM type."""
        return ir.VectorType(_element(self.kind), self.lanes)


def _element(kind: str) -> ir.Type:
    return ir.FloatType() if kind == "f32" else ir.IntType(int(kind[1:]))


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.ir)


i8x8, i8x16, i8x32, i8x64 = Vector("i8", 8), Vector("i8", 16), Vector("i8", 32), Vector("i8", 64)
i16x16, i16x32, i32x16, i64x8 = Vector("i16", 16), Vector("i16", 32), Vector("i32", 16), Vector("i64", 8)
f32x16 = Vector("f32", 16)


def _pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    return builder.inttoptr(address, kind.as_pointer())


def _splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))


def _vector_of(typeref: Any) -> Vector:
    return typeref.instance_type if isinstance(typeref, types.TypeRef) else typeref


# ---- memory


def _scalar_load(name: str, kind: ir.Type, result: types.Type):
    def typed(typingctx, address):
        def codegen(context, builder, signature, args):
            return builder.load(_pointer(builder, args[0], kind), align=1)

        return result(types.int64), codegen

    typed.__name__ = name
    typed.__doc__ = f"The {result} at an address."
    return intrinsic(typed)


i8_at = _scalar_load("i8_at", _I8, types.int8)
i16_at = _scalar_load("i16_at", ir.IntType(16), types.int16)
i32_at = _scalar_load("i32_at", _I32, types.int32)
i64_at = _scalar_load("i64_at", _I64, types.int64)
f32_at = _scalar_load("f32_at", ir.FloatType(), types.float32)


def _scalar_store(name: str, kind: types.Type):
    def typed(typingctx, address, value):
        def codegen(context, builder, signature, args):
            pointer = _pointer(builder, args[0], args[1].type)
            builder.store(args[1], pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, kind), codegen  # Numba casts the value, integers modulo 2**bits

    typed.__name__ = name
    typed.__doc__ = f"Write a {kind} to an address."
    return intrinsic(typed)


set_i8 = _scalar_store("set_i8", types.int8)
set_i16 = _scalar_store("set_i16", types.int16)
set_i32 = _scalar_store("set_i32", types.int32)
set_i64 = _scalar_store("set_i64", types.int64)
set_f32 = _scalar_store("set_f32", types.float32)


@intrinsic
def load(typingctx, kind, address):
    """``load(i8x64, address)``: a vector from memory."""
    vector = _vector_of(kind)

    def codegen(context, builder, signature, args):
        return builder.load(_pointer(builder, args[1], vector.ir), align=1)

    return vector(kind, types.int64), codegen


@intrinsic
def load_first(typingctx, kind, address, lanes):
    """The first ``lanes`` lanes from memory, zeros behind; memory beyond them is not read."""
    vector = _vector_of(kind)

    def codegen(context, builder, signature, args):
        name = f"llvm.masked.load.v{vector.lanes}{vector.kind}.p0"
        mask = _first_lanes(builder, vector.lanes, args[2])
        function_type = ir.FunctionType(vector.ir, [vector.ir.as_pointer(), _I32, mask.type, vector.ir])
        function = cgutils.get_or_insert_function(builder.module, function_type, name)
        pointer = _pointer(builder, args[1], vector.ir)
        return builder.call(function, [pointer, ir.Constant(_I32, 1), mask, ir.Constant(vector.ir, None)])

    return vector(kind, types.int64, types.int64), codegen


def _first_lanes(builder: ir.IRBuilder, lanes: int, count: ir.Value) -> ir.Value:
    numbers = ir.Constant(ir.VectorType(_I64, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, _splat(builder, count, lanes))


@intrinsic
def store(typingctx, address, vector):
    """Write a vector to an address."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], _pointer(builder, args[0], args[1].type), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, vector), codegen


@intrinsic
def store_first(typingctx, address, vector, lanes):
    """Write the first ``lanes`` lanes of a vector to an address."""

    def codegen(context, builder, signature, args):
        vector_ir, mask = args[1].type, _first_lanes(builder, vector.lanes, args[2])
        name = f"llvm.masked.store.v{vector.lanes}{vector.kind}.p0"
        kind = ir.FunctionType(ir.VoidType(), [vector_ir, vector_ir.as_pointer(), _I32, mask.type])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [args[1], _pointer(builder, args[0], vector_ir), ir.Constant(_I32, 1), mask])
        return context.get_dummy_value()

    return types.void(types.int64, vector, types.int64), codegen


@intrinsic
def prefetch(typingctx, address):
    """Ask for the cache line of an address; any address is allowed, nothing is read."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [_pointer(builder, args[0], _I8)] + [ir.Constant(_I32, k) for k in (0, 3, 1)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def address_of(typingctx, array):
    """Address of an array's first element, int64."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, _I64)

    return types.int64(array), codegen


# ---- making vectors


@intrinsic
def zeros(typingctx, kind):
    """``zeros(i32x16)``."""
    vector = _vector_of(kind)

    def codegen(context, builder, signature, args):
        return ir.Constant(vector.ir, None)

    return vector(kind), codegen


@intrinsic
def splat(typingctx, kind, scalar):
    """``splat(i32x16, value)``: the value, narrowed to the kind's element modulo 2**bits, in every lane."""
    vector = _vector_of(kind)
    element = {"f32": types.float32}.get(vector.kind) or getattr(types, f"int{vector.kind[1:]}")

    def codegen(context, builder, signature, args):
        return _splat(builder, args[1], vector.lanes)

    return vector(kind, element), codegen


@intrinsic
def broadcast(typingctx, kind, address):
    """``broadcast(i32x16, address)``: the element at an address in every lane."""
    vector = _vector_of(kind)

    def codegen(context, builder, signature, args):
        scalar = builder.load(_pointer(builder, args[1], vector.ir.element), align=1)
        return _splat(builder, scalar, vector.lanes)

    return vector(kind, types.int64), codegen


# ---- arithmetic, lane by lane, modulo 2**bits


def _binary(name: str, doc: str, integers: str, floats: str | None = None):
    def typed(typingctx, a, b):
        if not isinstance(a, Vector) or a != b:
            return None

        def codegen(context, builder, signature, args):
            operation = floats if a.kind == "f32" else integers
            return getattr(builder, operation)(*args)

        return a(a, b), codegen

    typed.__name__ = name
    typed.__doc__ = doc
    return intrinsic(typed)


add = _binary("add", "a + b.", "add", "fadd")
subtract = _binary("subtract", "a - b.", "sub", "fsub")
multiply = _binary("multiply", "a * b.", "mul", "fmul")
shift_left = _binary("shift_left", "a << b lane by lane, 0 <= b < bits.", "shl")
shift_right = _binary("shift_right", "a >> b lane by lane with the sign, 0 <= b < bits.", "ashr")
bit_and = _binary("bit_and", "a & b.", "and_")
bit_xor = _binary("bit_xor", "a ^ b.", "xor")


def _extreme(name: str, sign: str):
    def typed(typingctx, a, b):
        if not isinstance(a, Vector) or a != b:
            return None

        def codegen(context, builder, signature, args):
            if a.kind == "f32":
                first = builder.fcmp_ordered(sign, *args)
            else:
                first = builder.icmp_signed(sign, *args)
            return builder.select(first, *args)

        return a(a, b), codegen

    typed.__name__ = name
    typed.__doc__ = f"a {sign} b ? a : b, lane by lane."
    return intrinsic(typed)


maximum = _extreme("maximum", ">")
minimum = _extreme("minimum", "<")


@intrinsic
def select_gt(typingctx, a, b, yes, no):
    """``a > b ? yes : no``, lane by lane."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.icmp_signed(">", args[0], args[1]), args[2], args[3])

    return yes(a, b, yes, no), codegen


# ---- between types


@intrinsic
def widen(typingctx, vector, kind):
    """``widen(v, i32x16)``: the same numbers in wider lanes."""
    target = _vector_of(kind)

    def codegen(context, builder, signature, args):
        return builder.sext(args[0], target.ir)

    return target(vector, kind), codegen


@intrinsic
def narrow(typingctx, vector, kind):
    """``narrow(v, i8x16)``: the lanes modulo 2**bits of the narrower kind."""
    target = _vector_of(kind)

    def codegen(context, builder, signature, args):
        return builder.trunc(args[0], target.ir)

    return target(vector, kind), codegen


@intrinsic
def bitcast(typingctx, vector, kind):
    """The same bits seen as another kind; lane 0 stands in the lowest bits (little-endian processors)."""
    target = _vector_of(kind)

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], target.ir)

    return target(vector, kind), codegen


@intrinsic(prefer_literal=True)
def part(typingctx, vector, kind, index):
    """``part(v, kind, k)``: the k-th run of ``kind.lanes`` lanes, k a literal."""
    target, k = _vector_of(kind), index.literal_value

    def codegen(context, builder, signature, args):
        lanes = range(k * target.lanes, (k + 1) * target.lanes)
        mask = ir.Constant(ir.VectorType(_I32, target.lanes), list(lanes))
        return builder.shuffle_vector(args[0], args[0], mask)

    return target(vector, kind, index), codegen
