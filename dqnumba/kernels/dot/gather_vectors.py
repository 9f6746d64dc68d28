"""What the kernels that read rows by index share: widths, prefetching, vectors wider than a register.

A row is taken in column blocks of 16 to 256 bytes. A block is *one* LLVM vector of that many lanes, which LLVM splits
into as many registers as it needs: one source for every width.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .micro import helper
from .simd import Vector

__all__ = [
    "LINE",
    "PREFETCH_PAD",
    "among",
    "checked",
    "column_blocks",
    "interleave",
    "lanes_for",
    "pad_indices",
    "prefetch_lines",
    "repeat",
    "store_runs",
    "widen_unsigned",
]

LINE = 64
"""Bytes of a cache line."""

PREFETCH_PAD = 64
"""Entries that an index list must have beyond its last: kernels look ahead without asking where the list ends."""

_MOST = PREFETCH_PAD - 4  # kernels take up to 4 edges at once

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_RUN = 16
_BLOCKS = (16, 32, 64, 128, 192, 256)


def lanes_for(size: int) -> int:
    """The narrowest block of at least ``size`` bytes, at most 256."""
    return next((lanes for lanes in _BLOCKS if lanes >= size), _BLOCKS[-1])


def column_blocks(size: int, widest: int = 256) -> list[tuple[int, int]]:
    """Cut a row of ``size`` bytes into blocks: (first byte, lanes) each."""
    blocks, first = [], 0
    while first < size:
        lanes = min(widest, lanes_for(size - first))
        blocks.append((first, lanes))
        first += lanes
    return blocks


def pad_indices(indices: np.ndarray) -> np.ndarray:
    """A copy of an int32 index list with ``PREFETCH_PAD`` zeros behind it."""
    padded = np.zeros(len(indices) + PREFETCH_PAD, np.int32)
    padded[: len(indices)] = indices
    return padded


def _pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, offset: int = 0) -> ir.Value:
    if offset:
        address = builder.add(address, ir.Constant(_I64, offset))
    return builder.inttoptr(address, kind.as_pointer())


def _shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(lanes)), lanes))


def checked(distance: int) -> int:
    """``distance``, or ValueError if a kernel that looks so far ahead could read beyond the padded index list."""
    if not 0 <= distance <= _MOST:
        raise ValueError(f"distance {distance} is not within 0 .. {_MOST}")
    return distance


@helper
def among(address, other, k, stop):
    """``address`` if ``k < stop``, else ``other``, without a branch."""
    return other + ((address - other) & ((k - stop) >> 63))


@intrinsic(prefer_literal=True)
def prefetch_lines(typingctx, address, size):
    """Ask for every cache line of the ``size`` (a literal) bytes at an address; any address is allowed."""
    lines = max(1, size.literal_value // LINE)

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for k in range(lines):
            hint = [ir.Constant(_I32, flag) for flag in (0, 3, 1)]
            builder.call(function, [_pointer(builder, args[0], _I8, k * LINE), *hint])
        return context.get_dummy_value()

    return types.void(address, size), codegen


@intrinsic
def store_runs(typingctx, address, vector, runs):
    """Write the first ``runs`` runs of 16 lanes of a vector: rows are padded to 16 lanes, blocks may be wider."""
    if not isinstance(vector, Vector):
        return None

    def codegen(context, builder, signature, args):
        address, value, count = args
        width = int(vector.kind[1:]) // 8
        whole = vector.lanes // _RUN
        is_whole = builder.icmp_signed(">=", count, ir.Constant(_I64, whole))
        with builder.if_else(is_whole, likely=True) as (full, partial):
            with full:
                builder.store(value, _pointer(builder, address, value.type), align=1)
            with partial:
                for k in range(whole - 1):
                    with builder.if_then(builder.icmp_signed(">", count, ir.Constant(_I64, k))):
                        run = _shuffle(builder, value, value, list(range(k * _RUN, (k + 1) * _RUN)))
                        builder.store(run, _pointer(builder, address, run.type, k * _RUN * width), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, vector, types.int64), codegen


@intrinsic
def widen_unsigned(typingctx, vector, kind):
    """``widen_unsigned(v, i32x16)``: lanes taken as numbers from 0 up, in wider lanes."""
    target = kind.instance_type if isinstance(kind, types.TypeRef) else kind

    def codegen(context, builder, signature, args):
        return builder.zext(args[0], target.ir)

    return target(vector, kind), codegen


@intrinsic
def interleave(typingctx, even, odd):
    """a0 b0 a1 b1 ...: a vector of twice the lanes."""
    if not isinstance(even, Vector) or even != odd:
        return None

    def codegen(context, builder, signature, args):
        lanes = [lane for k in range(even.lanes) for lane in (k, even.lanes + k)]
        return _shuffle(builder, *args, lanes)

    return Vector(even.kind, 2 * even.lanes)(even, odd), codegen


@intrinsic(prefer_literal=True)
def repeat(typingctx, vector, times):
    """Each lane ``times`` (a literal) times: a0 a0 a0 b0 b0 b0 ..."""
    count = times.literal_value

    def codegen(context, builder, signature, args):
        lanes = [lane for lane in range(vector.lanes) for _ in range(count)]
        return _shuffle(builder, args[0], args[0], lanes)

    return Vector(vector.kind, vector.lanes * count)(vector, times), codegen
