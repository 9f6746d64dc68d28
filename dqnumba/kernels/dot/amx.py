"""AMX: the matrix product on tile registers, 16 rows by 64 bytes each, signed int8 times signed int8 into int32.

Four tiles accumulate 32 rows by 32 columns; two hold activations, two weights. A tile row that crosses a cache line
makes its load six times slower, so activations should be aligned to 64 bytes (rows of 16 or 32 bytes to their size).

The tile configuration is part of the thread's state and costs 50 ns to set, as much as three steps of the product: a
kernel looks at the one in force first (5 ns), and leaves its own behind.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .dot_codegen import emit_nibbles
from .matmul_pack import aligned_zeros
from .micro import Micro, helper, place, stride
from .simd import i8x64, i64_at, load, store

__all__ = ["amx_kernel", "configurations", "emit_configure", "emit_tile"]

_I8, _I64 = ir.IntType(8), ir.IntType(64)
_ROWS, _ROW_BYTES, _TILE_BYTES = 16, 64, 1024


# ---- the instructions


def _call(builder: ir.IRBuilder, name: str, arguments: list[ir.Value]) -> None:
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


def emit_tile(builder: ir.IRBuilder, name: str, tiles: tuple[int, ...], address=None, row_stride=None) -> None:
    """One of ``tileloadd64``, ``tilestored64``, ``tdpbssd``, ``tilezero`` on numbered tile registers."""
    arguments: list[ir.Value] = [ir.Constant(_I8, number) for number in tiles]
    if address is not None:
        arguments += [builder.inttoptr(address, _I8.as_pointer()), row_stride]
    _call(builder, name, arguments)


def emit_configure(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Set the tile configuration to the 64 bytes at an address, unless it is in force."""
    bits = ir.IntType(512)
    now = cgutils.alloca_once(builder, bits)
    now.align = 64
    _call(builder, "sttilecfg", [builder.bitcast(now, _I8.as_pointer())])
    wanted = builder.load(builder.inttoptr(address, bits.as_pointer()), align=1)
    with builder.if_then(builder.icmp_unsigned("!=", builder.load(now, align=64), wanted), likely=False):
        _call(builder, "ldtilecfg", [builder.inttoptr(address, _I8.as_pointer())])


def _memory_intrinsic(name: str, doc: str):
    def typed(typingctx, tile, address, row_stride):
        number = tile.literal_value

        def codegen(context, builder, signature, args):
            emit_tile(builder, name, (number,), args[1], args[2])
            return context.get_dummy_value()

        return types.void(tile, types.int64, types.int64), codegen

    typed.__name__, typed.__doc__ = name, doc
    return intrinsic(prefer_literal=True)(typed)


_load = _memory_intrinsic("tileloadd64", "Fill a tile with rows from memory.")
_store = _memory_intrinsic("tilestored64", "Write the rows of a tile to memory.")


@intrinsic(prefer_literal=True)
def _dot(typingctx, sums, a, w):
    """``sums += a @ w`` on tiles."""
    tiles = tuple(tile.literal_value for tile in (sums, a, w))

    def codegen(context, builder, signature, args):
        emit_tile(builder, "tdpbssd", tiles)
        return context.get_dummy_value()

    return types.void(sums, a, w), codegen


@intrinsic
def _configure(typingctx, address):
    """Make the configuration at an address the one in force."""

    def codegen(context, builder, signature, args):
        emit_configure(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _table(step: int) -> np.ndarray:
    """Configurations for 1 to 16 rows: tiles 0 to 3 sums, 4 and 5 activations, 6 and 7 weights."""
    table = aligned_zeros((_ROWS, _ROW_BYTES), np.uint8)
    for count in range(1, _ROWS + 1):
        line = table[count - 1]
        row_bytes, rows = line[16:48].view(np.uint16), line[48:64]
        line[0] = 1
        row_bytes[:8] = _ROW_BYTES
        row_bytes[4:6] = step
        rows[:6], rows[6:8] = count, step // 4
    table.flags.writeable = False
    return table


configurations = {step: _table(step) for step in (16, 32, 64)}
"""Tile configurations by the step of the packed weights: entry n - 1 is for tiles of n rows."""


# ---- sums of up to 32 rows by 32 columns: tile r + 2 c holds rows r, columns c


@helper
def _begin(address0, address1, row_stride, two_rows, column, two_columns):
    """Load the sums; ``column`` is the distance to the second column tile."""
    _load(0, address0, row_stride)
    if two_rows:
        _load(1, address1, row_stride)
    if two_columns:
        _load(2, address0 + column, row_stride)
        if two_rows:
            _load(3, address1 + column, row_stride)


@helper
def _end(address0, address1, row_stride, two_rows, column, two_columns):
    """Store the sums."""
    _store(0, address0, row_stride)
    if two_rows:
        _store(1, address1, row_stride)
    if two_columns:
        _store(2, address0 + column, row_stride)
        if two_rows:
            _store(3, address1 + column, row_stride)


@helper
def _add_products(a0, a1, row_stride, two_rows, w, two_columns, steps, step):
    """Add ``steps`` steps; returns the address of the weights that follow."""
    tile = step * 16
    if two_rows and two_columns:
        for k in range(steps):
            _load(4, a0 + k * step, row_stride)
            _load(6, w, 64)
            _load(5, a1 + k * step, row_stride)
            _load(7, w + tile, 64)
            _dot(0, 4, 6)
            _dot(1, 5, 6)
            _dot(2, 4, 7)
            _dot(3, 5, 7)
            w += 2 * tile
    elif two_rows:
        for k in range(steps):
            _load(4, a0 + k * step, row_stride)
            _load(5, a1 + k * step, row_stride)
            _load(6, w, 64)
            _dot(0, 4, 6)
            _dot(1, 5, 6)
            w += tile
    elif two_columns:
        for k in range(steps):
            _load(4, a0 + k * step, row_stride)
            _load(6, w, 64)
            _load(7, w + tile, 64)
            _dot(0, 4, 6)
            _dot(2, 4, 7)
            w += 2 * tile
    else:
        for k in range(steps):
            _load(4, a0 + k * step, row_stride)
            _load(6, w, 64)
            _dot(0, 4, 6)
            w += tile
    return w


@helper
def _unpack(source, target, count):
    """Weights of 4 bits, two a byte, to ``count`` vectors of 64 int8."""
    for k in range(0, count, 2):
        both = load(i8x64, source + k * 32)
        store(target + k * 64, _nibbles(both, 0))
        store(target + k * 64 + 64, _nibbles(both, 1))


@intrinsic(prefer_literal=True)
def _nibbles(typingctx, both, high):
    """The low or the high nibbles of a vector of bytes as signed numbers."""
    shift = 4 * high.literal_value

    def codegen(context, builder, signature, args):
        return emit_nibbles(builder, args[0], shift)

    return both(both, high), codegen


# ---- the kernel; fields of the operation: see matmul.py


@helper
def _rows(op, start, stop, scratch, four_bits):
    count = stop - start
    if count <= 0:
        return
    first, second, out = place(op, 1, start, scratch), place(op, 4, start, scratch), place(op, 7, start, scratch)
    first_stride, second_stride, out_stride = stride(op, 1), stride(op, 4), stride(op, 7)
    weights, bias, vectors = i64_at(op + 80), i64_at(op + 88), i64_at(op + 96)
    steps1, steps, step = i64_at(op + 104), i64_at(op + 104) + i64_at(op + 112), i64_at(op + 120)
    at_once, sums = i64_at(op + 136), scratch + i64_at(op + 144)
    tiles, last = (count + 15) // 16, start + max(count - 16, 0)
    if tiles <= 2 and not four_bits:
        at_once = steps  # one pair of tiles: no one else waits for the piece of the panel
    _configure(i64_at(op + 128) + 64 * (min(count, 16) - 1))
    unpacked = sums
    if steps > at_once:
        unpacked += ((tiles + 1) // 2) * 4 * 1024
    for v in range(0, vectors, 2):
        two_columns = v + 1 < vectors
        panel = 2 if two_columns else 1
        # All rows of the block meet a piece of the panel that stays in the first cache; the sums wait in scratch.
        for k0 in range(0, steps, at_once):
            k1 = min(k0 + at_once, steps)
            piece = k1 - k0
            w = weights
            if four_bits:
                w = unpacked
                _unpack(weights, unpacked, piece * panel * (step // 4))
                weights += piece * panel * step * 8
            else:
                weights += piece * panel * step * 16
            for t in range(0, tiles, 2):
                two_rows = t + 1 < tiles
                # The last tile overlaps the one before it, which writes the same numbers twice but no row too many.
                r0, r1 = min(start + 16 * t, last), min(start + 16 * t + 16, last)
                waiting = sums + t * 2048
                if k0 == 0:
                    _begin(bias + v * 64, bias + v * 64, 0, two_rows, 64, two_columns)
                else:
                    _begin(waiting, waiting + 1024, 64, two_rows, 2048, two_columns)
                middle = min(max(steps1, k0), k1)
                next_w = w
                if k0 < middle:
                    a = first + k0 * step
                    next_w = _add_products(
                        a + r0 * first_stride, a + r1 * first_stride, first_stride, two_rows, w, two_columns,
                        middle - k0, step,
                    )  # fmt: skip
                if middle < k1:
                    a = second + (middle - steps1) * step
                    _add_products(
                        a + r0 * second_stride, a + r1 * second_stride, second_stride, two_rows, next_w, two_columns,
                        k1 - middle, step,
                    )  # fmt: skip
                if k1 == steps:
                    target = out + v * 64
                    _end(target + r0 * out_stride, target + r1 * out_stride, out_stride, two_rows, 64, two_columns)
                else:
                    _end(waiting, waiting + 1024, 64, two_rows, 2048, two_columns)


def _amx_matmul8(op, start, stop, scratch):
    _rows(op, start, stop, scratch, False)


def _amx_matmul4(op, start, stop, scratch):
    _rows(op, start, stop, scratch, True)


_kernels = {8: Micro(_amx_matmul8), 4: Micro(_amx_matmul4)}


def amx_kernel(bits: int) -> Micro:
    """The kernel for weights of 8 or 4 bits."""
    return _kernels[bits]
