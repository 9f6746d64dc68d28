"""Requantization of a block of rows: sums in 32-bit lanes to codes, to other sums, or to the floats of the exit.

The steps are those of :mod:`.fold`, or a guess in float32 where that is faster, :mod:`.requantize_guess`; rows that are
not proven safe take the reference's, :mod:`.exact_stage`.
Fields of the record: 1 source, 4 output (places), 7 columns, 8 low, 9 high, 10 zero_in, 11 flags of the unsafe rows;
12 + 4 k fast stage k: table, offset in it of each row (0: the same for all), constants; 24 + 4 k stage k as the
reference has it; 45, 46 clamp of the exact result less the output's zero point, 47 scales of the exit, 48 zero of the
exit, 49 flags a row, 50 the output's zero point; 51 place of own codes, 54 their zero, 55 weight, 56 left shift of
the sum. The guess has 36 to 40.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .codes import LOAD, STORE
from .cpu import features
from .exact_stage import exact_kind, exact_stage, exact_stage_with_own, exact_tables
from .fold import Fold, Own
from .folded_stage import joined_codes, row_entry, row_stage
from .matmul_pack import aligned_zeros
from .micro import Micro, helper, micro, new_op, place, put_place, stride
from .requantize_guess import guess_variant, guessed_kernel, put_guess, worthwhile_guess
from .requantize_tables import channel_table, padded, row_table, stage_kind
from .simd import (
    add,
    broadcast,
    f32x16,
    i8_at,
    i32x16,
    i64_at,
    load,
    maximum,
    minimum,
    multiply,
    splat,
    store,
    store_first,
    subtract,
)
from .simd_quant import pack_bytes, pack_bytes_avx512, to_float

__all__ = ["OUTPUTS", "Own", "requantize_op"]

OUTPUTS = (*STORE, "float32")
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1


@helper
def exit_scale(op, c):
    return i64_at(op + 8 * 47) + 4 * c


@functools.cache
def _finish(output: str) -> Callable:
    """The function that writes vector v of a row."""
    put = STORE.get(output)

    @helper
    def integers(out, v, x, columns, zero, scale):
        put(out, v, x)

    @helper
    def floats(out, v, x, columns, zero, scale):
        f = multiply(to_float(subtract(x, zero)), load(f32x16, scale + v * 64))
        if columns - v * 16 >= 16:
            store(out + v * 64, f)
        else:
            store_first(out + v * 64, f, columns - v * 16)

    return floats if put is None else integers


@functools.cache
def _kernel(
    source: str, kinds: tuple[str, ...], output: str, zero: bool, clamp: bool, exact: tuple[str, ...], own: str
) -> Micro:
    """The kernel for kinds of fast stages; ``exact`` are those of the unsafe rows' stages, empty if all are safe;
    ``own`` is the kind of the codes that are added to the sums, empty without."""
    first, second, third = (row_stage(kind) for kind in (*kinds, "", "", "")[:3])
    exact1, exact2, exact3 = (exact_stage(kind) for kind in (*exact, "", "", "")[:3])
    if own and exact:
        exact1 = exact_stage_with_own(exact[0], own)
    joined = joined_codes(own)
    flagged = len(exact) > 0
    by_four = output == "int8"
    load_vector = LOAD[source]
    finish = _finish(output)
    pack = pack_bytes_avx512 if "avx512bw" in features() else pack_bytes

    def kernel(op, start, stop, scratch):
        a, a_step = place(op, 1, start, scratch), stride(op, 1)
        o, o_step = place(op, 4, start, scratch), stride(op, 4)
        columns = i64_at(op + 56)
        low, high = splat(i32x16, i64_at(op + 64)), splat(i32x16, i64_at(op + 72))
        zero_in, zero_exit = splat(i32x16, i64_at(op + 80)), splat(i32x16, i64_at(op + 8 * 48))
        vectors = (columns + 15) >> 4
        t0, t1, t2 = i64_at(op + 96), i64_at(op + 128), i64_at(op + 160)
        c0, c1, c2 = i64_at(op + 112), i64_at(op + 144), i64_at(op + 176)
        scale = exit_scale(op, 0)
        b, b_step = place(op, 51, start, scratch), stride(op, 51)
        own_zero, weight = splat(i32x16, i64_at(op + 432)), splat(i32x16, i64_at(op + 440))
        far = splat(i32x16, i64_at(op + 448))
        for i in range(start, stop):
            row, out, mine = a + i * a_step, o + i * o_step, b + i * b_step
            if flagged:
                if i8_at(i64_at(op + 88) + i * i64_at(op + 8 * 49)):
                    for v in range(vectors):
                        x = load_vector(row, v)
                        if zero:
                            x = subtract(x, zero_in)
                        # Its first stage adds the own codes in 64 bits.
                        x = exact1(x, op, 0, v, i, mine)
                        x = exact3(exact2(x, op, 1, v, i, mine), op, 2, v, i, mine)
                        x = minimum(maximum(x, splat(i32x16, i64_at(op + 360))), splat(i32x16, i64_at(op + 368)))
                        finish(out, v, add(x, splat(i32x16, i64_at(op + 400))), columns, zero_exit, scale)
                    continue
            e0, e1, e2 = row_entry(op, 0, i), row_entry(op, 1, i), row_entry(op, 2, i)
            m0, l0 = broadcast(i32x16, e0), broadcast(i32x16, e0 + 4)
            d0, r0 = broadcast(i32x16, e0 + 8), broadcast(i32x16, e0 + 12)
            m1, l1 = broadcast(i32x16, e1), broadcast(i32x16, e1 + 4)
            d1, r1 = broadcast(i32x16, e1 + 8), broadcast(i32x16, e1 + 12)
            m2, l2 = broadcast(i32x16, e2), broadcast(i32x16, e2 + 4)
            d2, r2 = broadcast(i32x16, e2 + 8), broadcast(i32x16, e2 + 12)
            v = 0
            if by_four:
                while v + 4 <= vectors:
                    w, x = load_vector(row, v), load_vector(row, v + 1)
                    y, z = load_vector(row, v + 2), load_vector(row, v + 3)
                    if zero:
                        w, x = subtract(w, zero_in), subtract(x, zero_in)
                        y, z = subtract(y, zero_in), subtract(z, zero_in)
                    if own:
                        w, x = joined(w, mine, v, own_zero, weight, far), joined(x, mine, v + 1, own_zero, weight, far)
                        y = joined(y, mine, v + 2, own_zero, weight, far)
                        z = joined(z, mine, v + 3, own_zero, weight, far)
                    w, x = first(w, v, t0, c0, m0, l0, d0, r0), first(x, v + 1, t0, c0, m0, l0, d0, r0)
                    y, z = first(y, v + 2, t0, c0, m0, l0, d0, r0), first(z, v + 3, t0, c0, m0, l0, d0, r0)
                    w, x = second(w, v, t1, c1, m1, l1, d1, r1), second(x, v + 1, t1, c1, m1, l1, d1, r1)
                    y, z = second(y, v + 2, t1, c1, m1, l1, d1, r1), second(z, v + 3, t1, c1, m1, l1, d1, r1)
                    w, x = third(w, v, t2, c2, m2, l2, d2, r2), third(x, v + 1, t2, c2, m2, l2, d2, r2)
                    y, z = third(y, v + 2, t2, c2, m2, l2, d2, r2), third(z, v + 3, t2, c2, m2, l2, d2, r2)
                    if clamp:
                        w, x = minimum(maximum(w, low), high), minimum(maximum(x, low), high)
                        y, z = minimum(maximum(y, low), high), minimum(maximum(z, low), high)
                    store(out + v * 16, pack(w, x, y, z))
                    v += 4
            while v < vectors:
                x = load_vector(row, v)
                if zero:
                    x = subtract(x, zero_in)
                if own:
                    x = joined(x, mine, v, own_zero, weight, far)
                x = first(x, v, t0, c0, m0, l0, d0, r0)
                x = second(x, v, t1, c1, m1, l1, d1, r1)
                x = third(x, v, t2, c2, m2, l2, d2, r2)
                if clamp or by_four:
                    x = minimum(maximum(x, low), high)
                finish(out, v, x, columns, zero_exit, scale)
                v += 1

    name = "_".join(["requantize", source, *kinds, output, *(n for n, on in zip(("zero", "clamp", "flagged"),
                    (zero, clamp, flagged), strict=True) if on), *exact, *(["own", own] if own else [])])  # fmt: skip
    kernel.__name__ = kernel.__qualname__ = name
    return micro(kernel)


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
    own: Own | None = None,
    row_array: Callable[[NDArray], int] | None = None,
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
    own : Own, optional
        Codes of the same rows, added to the sums first; ``magnitude`` bounds the result, at most 2**61.
    row_array : callable, optional
        Takes an array with an entry for each row and gives its address; by default such arrays are among the tables.
    """
    safe = fold.safe_rows(magnitude)
    flagged = not safe.all()
    # Bytes are packed with saturation, which is the clamp of most codes.
    full = (low, high) in ((_INT32_MIN, _INT32_MAX), *([(-128, 127)] if output_kind == "int8" else []))
    kinds = tuple(stage_kind(stage) for stage in fold.folded) if fold.usable else ("none",)
    exact = tuple(exact_kind(multiplier) for multiplier, _, _ in fold.stages) if flagged else ()
    guess = worthwhile_guess(fold, kinds, output_kind, low, high, own)
    variant = (source_kind, kinds, output_kind, zero_in != 0, not full, exact, own.kind if own else "")
    op = new_op(guessed_kernel(*variant, *guess_variant(guess, output_kind, columns)) if guess else _kernel(*variant))
    put_place(op, 1, *source)
    put_place(op, 4, *output)
    op[7:11] = columns, low, high, zero_in
    keep: list[NDArray] = []

    def address(array: NDArray) -> int:
        # From a line's first byte on: a vector that lies across two lines costs two loads.
        table = aligned_zeros(array.shape, array.dtype)
        table[...] = array
        keep.append(table)
        return table.ctypes.data

    row_array = row_array or address
    dummy = address(np.zeros(80, np.int32))
    for k in range(3):
        op[12 + 4 * k] = op[14 + 4 * k] = dummy
    for k, stage in enumerate(fold.folded if fold.usable else ()):
        # Where a constant does not fit 32 bits, no row is safe, and the vector steps do not run.
        if stage.kind == "channel":
            op[12 + 4 * k] = address(channel_table(stage, columns))
            continue
        table, offsets = row_table(stage, guess.gain if guess and not k else 0)
        op[12 + 4 * k] = address(table)
        if offsets.size:
            op[13 + 4 * k] = row_array(offsets)
        shift = stage.down[0] if len(stage.multiplier) == 1 else 0
        constant = np.broadcast_to(stage.constant, (columns,)) << shift
        op[14 + 4 * k] = address(padded(constant).astype(np.int32))
    if guess:
        put_guess(op, fold, guess, columns, address)
    if flagged:
        rows = np.broadcast_to(~safe, (len(safe),)).astype(np.int8)
        op[49] = len(rows) > 1
        op[11] = (row_array if op[49] else address)(rows)
        for k, stage in enumerate(fold.stages):
            m, s, step, bias = exact_tables(*stage, columns)
            keep_rows = row_array if step else address
            op[24 + 4 * k : 28 + 4 * k] = keep_rows(m), keep_rows(s), step, address(bias)
    op[45] = max(low - fold.zero_point, _INT32_MIN)
    op[46] = min(high - fold.zero_point, _INT32_MAX)
    op[50], op[48] = fold.zero_point, zero_exit
    if own:
        put_place(op, 51, *own.place)
        op[54:57] = own.zero, own.weight, own.left
    if scale is not None:
        scales = np.zeros(-(-columns // 16) * 16, np.float32)
        scales[:columns] = scale
        op[47] = address(scales)
    return op, keep
