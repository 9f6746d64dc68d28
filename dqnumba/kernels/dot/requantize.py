"""Requantization of a block of rows: sums in 32-bit lanes to codes, to other sums, or to the floats of the exit.

The steps are those of :mod:`.fold`; rows that are not proven safe take the reference's steps in 64-bit scalars.
Fields of the record: 1 source, 4 output (places), 7 columns, 8 low, 9 high, 10 zero_in, 11 flags of the unsafe rows;
12 + 4 k fast stage k: table, its bytes a row (0: the same for all), constants, right shift; 24 + 7 k stage k as the
reference has it: multipliers, shifts, elements a row and a column; biases, elements a row and a column; 45 number of
stages, 46 zero point, 47 scales of the exit, 48 zero of the exit, 49 flags a row.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .codes import GET, LOAD, SET, STORE
from .fold import Fold
from .micro import Micro, helper, micro, new_op, place, put_place, stride
from .simd import (
    add,
    bitcast,
    broadcast,
    f32_at,
    f32x16,
    i8_at,
    i32_at,
    i32x16,
    i64_at,
    i64x8,
    load,
    maximum,
    minimum,
    multiply,
    scaled,
    set_f32,
    shift_right,
    splat,
    store,
    store_first,
    subtract,
    to_float,
)  # fmt: skip

__all__ = ["OUTPUTS", "channel_table", "requantize_op", "row_table"]

OUTPUTS = (*STORE, "float32")
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1


@helper
def channel_stage(x, op, k, v):
    """Fast stage k with a multiplier a channel, on the 16 channels of vector v."""
    table = i64_at(op + 8 * (12 + 4 * k)) + v * 256
    r = scaled(x, load(i64x8, table), load(i64x8, table + 64), load(i64x8, table + 128), load(i64x8, table + 192))
    return finish_stage(r, op, k, v)


@helper
def row_stage(x, op, k, v, i):
    """Fast stage k with one multiplier for all channels of row i."""
    entry = i64_at(op + 8 * (12 + 4 * k)) + i * i64_at(op + 8 * (13 + 4 * k))
    m = bitcast(broadcast(i32x16, entry), i64x8)  # in 32-bit lanes, so that LLVM sees a 32 x 32 -> 64 bit product
    shift = splat(i64x8, i32_at(entry + 4))
    return finish_stage(scaled(x, m, m, shift, shift), op, k, v)


@helper
def finish_stage(r, op, k, v):
    r = add(r, load(i32x16, i64_at(op + 8 * (14 + 4 * k)) + v * 64))
    return shift_right(r, splat(i32x16, i64_at(op + 8 * (15 + 4 * k))))


@helper
def exact_value(op, value, i, c):
    """Column c of row i through the reference's stages, clamped."""
    value = value - i64_at(op + 80)
    for k in range(i64_at(op + 8 * 45)):
        f = op + 8 * (24 + 7 * k)
        at = 8 * (i * i64_at(f + 16) + c * i64_at(f + 24))
        m, s = i64_at(i64_at(f) + at), i64_at(i64_at(f + 8) + at)
        b = i64_at(i64_at(f + 32) + 8 * (i * i64_at(f + 40) + c * i64_at(f + 48)))
        value = ((value * m + (np.int64(1) << (s - 1))) >> s) + b
        value = min(max(value, np.int64(-2147483648)), np.int64(2147483647))
    return min(max(value + i64_at(op + 8 * 46), i64_at(op + 64)), i64_at(op + 72))


@helper
def exit_scale(op, c):
    return i64_at(op + 8 * 47) + 4 * c


@functools.cache
def _kernel(source: str, kinds: tuple[str, ...], output: str, zero: bool, clamp: bool, flagged: bool) -> Micro:
    first, second, third = (*kinds, "", "", "")[:3]
    to_float_rows = output == "float32"
    load_vector, get = LOAD[source], GET[source]
    put, set_one = STORE.get(output, STORE["int32"]), SET.get(output, SET["int32"])

    def kernel(op, start, stop, scratch):
        a, a_step = place(op, 1, start, scratch), stride(op, 1)
        o, o_step = place(op, 4, start, scratch), stride(op, 4)
        columns = i64_at(op + 56)
        low, high = splat(i32x16, i64_at(op + 64)), splat(i32x16, i64_at(op + 72))
        zero_in = splat(i32x16, i64_at(op + 80))
        for i in range(start, stop):
            row, out = a + i * a_step, o + i * o_step
            if flagged:
                if i8_at(i64_at(op + 88) + i * i64_at(op + 8 * 49)):
                    for c in range(columns):
                        value = exact_value(op, np.int64(get(row, c)), i, c)
                        if to_float_rows:
                            value -= i64_at(op + 8 * 48)
                            set_f32(out + 4 * c, np.float32(value) * f32_at(exit_scale(op, c)))
                        else:
                            set_one(out, c, value)
                    continue
            for v in range((columns + 15) >> 4):
                x = load_vector(row, v)
                if zero:
                    x = subtract(x, zero_in)
                if first == "channel":
                    x = channel_stage(x, op, 0, v)
                elif first == "row":
                    x = row_stage(x, op, 0, v, i)
                elif first == "none":
                    x = finish_stage(x, op, 0, v)
                if second == "channel":
                    x = channel_stage(x, op, 1, v)
                elif second == "row":
                    x = row_stage(x, op, 1, v, i)
                if third == "channel":
                    x = channel_stage(x, op, 2, v)
                elif third == "row":
                    x = row_stage(x, op, 2, v, i)
                if clamp:
                    x = minimum(maximum(x, low), high)
                if not to_float_rows:
                    put(out, v, x)
                else:
                    x = subtract(x, splat(i32x16, i64_at(op + 8 * 48)))
                    f = multiply(to_float(x), load(f32x16, exit_scale(op, v * 16)))
                    if columns - v * 16 >= 16:
                        store(out + v * 64, f)
                    else:
                        store_first(out + v * 64, f, columns - v * 16)

    name = "_".join(["requantize", source, *kinds, output, *(n for n, on in zip(("zero", "clamp", "flagged"),
                    (zero, clamp, flagged), strict=True) if on)])  # fmt: skip
    kernel.__name__ = kernel.__qualname__ = name
    return micro(kernel)


def row_table(multiplier: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int32]:
    """Multiplier and shift of each row side by side: (R, 2) int32."""
    return np.ascontiguousarray(np.stack([multiplier, shift], axis=1).astype(np.int32))


def channel_table(multiplier: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """Multipliers and shifts as :func:`.simd.scaled` takes them: (vectors, 4, 8) int64, even and odd channels apart."""
    pairs = _padded(np.stack([multiplier, shift])).reshape(2, -1, 8, 2)
    return np.ascontiguousarray(pairs.transpose(1, 0, 3, 2).reshape(-1, 4, 8))


def _padded(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns up to a multiple of 16, zeros behind."""
    width = -(-values.shape[-1] // 16) * 16
    out = np.zeros((*values.shape[:-1], width), np.int64)
    out[..., : values.shape[-1]] = values
    return out


def requantize_op(
    *,
    source: tuple[int, int, bool],
    source_kind: str,
    output: tuple[int, int, bool],
    output_kind: str,
    columns: int,
    fold: Fold,
    magnitude: NDArray[np.float64],
    zero_in: int,
    low: int,
    high: int,
    scale: NDArray[np.float32] | None = None,
    zero_exit: int = 0,
) -> tuple[NDArray[np.int64], list[NDArray]]:
    """The record of a requantization, and the tables that it points to.

    Parameters
    ----------
    source, output : place (base, row stride in bytes, local)
        Their kinds: the source one of ``codes.LOAD``, the output one of ``OUTPUTS``. Whole vectors of 16 channels are
        read and written, but for float32.
    columns : int
    fold : Fold
        The stages; its ``zero_point`` is the output's.
    magnitude : float64 (R,) or (1,)
        Bound of ``|source - zero_in|`` for each row, or for all: decides which rows take the slow exact steps.
    zero_in, low, high : int
        Zero point of the source; clamp of the result.
    scale, zero_exit : for "float32": ``float32(result - zero_exit) * scale``, (C,) or a scalar.
    """
    safe = fold.safe_rows(magnitude)
    flagged = not safe.all()
    full = (low, high) == (_INT32_MIN, _INT32_MAX)
    kinds = tuple(stage.kind for stage in fold.folded) if fold.usable else ("none",)
    op = new_op(_kernel(source_kind, kinds, output_kind, zero_in != 0, not full, flagged))
    put_place(op, 1, *source)
    put_place(op, 4, *output)
    op[7:11] = columns, low, high, zero_in
    keep: list[NDArray] = []

    def address(array: NDArray) -> int:
        keep.append(array)
        return array.ctypes.data

    if fold.usable:
        for k, stage in enumerate(fold.folded):
            constant = np.broadcast_to(stage.constant, (columns,))
            # Where |constant| does not fit, no row is safe and the vector steps do not run.
            fields = [0, 0, address(_padded(constant).astype(np.int32)), stage.right]
            if stage.kind == "channel":
                fields[0] = address(channel_table(stage.multiplier, stage.shift))
            elif stage.kind == "row":
                fields[0] = address(row_table(stage.multiplier, stage.shift))
                fields[1] = 8 if len(stage.multiplier) > 1 else 0
            op[12 + 4 * k : 16 + 4 * k] = fields
    if flagged:
        rows = np.broadcast_to(~safe, (len(safe),)).astype(np.int8)
        op[11] = address(rows)
        op[49] = len(rows) > 1
    for k, (multiplier, shift, bias) in enumerate(fold.stages if flagged else ()):
        tables = (*np.broadcast_arrays(multiplier, shift), bias)
        multiplier, shift, bias = (np.ascontiguousarray(table, np.int64) for table in tables)
        steps = [_steps(table) for table in (multiplier, bias)]
        op[24 + 7 * k : 31 + 7 * k] = address(multiplier), address(shift), *steps[0], address(bias), *steps[1]
    op[45], op[46], op[48] = len(fold.stages), fold.zero_point, zero_exit
    if scale is not None:
        padded = np.zeros(-(-columns // 16) * 16, np.float32)
        padded[:columns] = scale
        op[47] = address(padded)
    return op, keep


def _steps(table: NDArray) -> tuple[int, int]:
    """Elements from one row, and from one column, to the next; 0 where one entry serves all."""
    return (table.shape[1] if table.shape[0] > 1 else 0), int(table.shape[1] > 1)
