"""Aggregation and sparse products with the signatures of :mod:`dqnumba.kernels.reference`, run through the executor.

Inputs may lie in memory in any way: they are copied into padded rows where a kernel would read beyond them. Indices
are checked, since a kernel reads wherever they point. Types that have no vector kernel run on the ``numba`` backend.
``threads`` is by default what the work is worth, at most ``numba.get_num_threads()``.
"""

from __future__ import annotations

import numpy as np

from .. import integer
from ..integer_threads import threads_for
from .blocks import row_blocks
from .codes import row_bytes
from .gather import neighbor_sum_ops
from .gather_max import neighbor_max_ops, pool_max_ops
from .gather_vectors import column_blocks, pad_indices
from .gather_weighted import COEFFICIENT_PAD, weighted_sum_ops
from .gather_wide import neighbor_sum_wide_op
from .hubs import hub_limit, join_max_op, join_sum_op, split_hubs
from .launch import Launch, Phase, aligned
from .pool import pool_sum_ops
from .sparse import sparse_matmul_ops
from .sparse_sum import sparse_sum_op

__all__ = [
    "neighbor_max",
    "neighbor_sum",
    "segment_max",
    "segment_sum",
    "sparse_matmul",
    "sparse_neighbor_sum",
    "weighted_neighbor_sum",
]

_CODES = (np.dtype(np.int8), np.dtype(np.int16))
_SUMS = (np.dtype(np.int32), np.dtype(np.int64))
_SUMMED = ((_CODES[0], _SUMS[0]), (_CODES[0], _SUMS[1]), (_CODES[1], _SUMS[0]))


def neighbor_sum(indptr, indices, x, zero_point, out, threads=None):
    """As the reference; int8 codes, or int16 codes into int32."""
    if (x.dtype, out.dtype) not in _SUMMED or indices.dtype != np.int32:
        integer.neighbor_sum(indptr, indices, x, zero_point, out)
        return
    indptr = _checked(indptr, indices, len(x), out)
    _sum(indptr, indices, x, int(zero_point), out, threads)


def segment_sum(ptr, x, zero_point, out, threads=None):
    """As the reference; int8 codes, or int16 codes into int32."""
    if (x.dtype, out.dtype) not in _SUMMED:
        integer.segment_sum(ptr, x, zero_point, out)
        return
    ptr = _checked(ptr, x, 1, out, listed=False)
    _sum(ptr, None, x, int(zero_point), out, threads)


def neighbor_max(indptr, indices, x, empty, out, threads=None):
    """As the reference; int8 or int16 codes."""
    if x.dtype not in _CODES or out.dtype != x.dtype or indices.dtype != np.int32:
        integer.neighbor_max(indptr, indices, x, empty, out)
        return
    _max(_checked(indptr, indices, len(x), out), indices, x, int(empty), out, threads)


def segment_max(ptr, x, empty, out, threads=None):
    """As the reference; int8 or int16 codes."""
    if x.dtype not in _CODES or out.dtype != x.dtype:
        integer.segment_max(ptr, x, empty, out)
        return
    _max(_checked(ptr, x, 1, out, listed=False), None, x, int(empty), out, threads)


def weighted_neighbor_sum(indptr, indices, coef, coef_zero, x, zero_point, out, threads=None):
    """As the reference; int8 codes, int32 coefficients, int32 out."""
    if (x.dtype, coef.dtype, out.dtype, indices.dtype) != (np.int8, np.int32, np.int32, np.int32):
        integer.weighted_neighbor_sum(indptr, indices, coef, coef_zero, x, zero_point, out)
        return
    indptr = _checked(indptr, indices, len(x), out)
    if not out.size:
        return
    heads = coef.shape[1]
    if len(coef) < indptr[-1] or not heads or x.shape[1] % heads or x.shape[1] != out.shape[1]:
        raise ValueError(f"coefficients {coef.shape} do not fit {indptr[-1]} edges of {x.shape[1]} channels")
    source, source_stride = _padded_codes(x)
    listed = pad_indices(indices)
    padded = np.zeros(coef.size + COEFFICIENT_PAD // 4, np.int32)
    padded[: coef.size] = coef.reshape(-1)

    def ops(place, starts, stops):
        return weighted_sum_ops(
            out=place, starts=starts, stops=stops, indices=listed.ctypes.data, x=source.ctypes.data,
            x_stride=source_stride, heads=heads, width=x.shape[1] // heads, zero=int(zero_point),
            coef=padded.ctypes.data, coef_stride=4 * heads, coef_zero=int(coef_zero),
        )  # fmt: skip

    _run(ops, indptr, out, threads, join_sum_op)


def sparse_neighbor_sum(indptr, indices, s_indptr, s_indices, s_codes, zero_point, out, threads=None):
    """As the reference; int8 codes, int32 out."""
    if (s_codes.dtype, out.dtype, indices.dtype, s_indices.dtype) != (np.int8, np.int32, np.int32, np.int32):
        integer.sparse_neighbor_sum(indptr, indices, s_indptr, s_indices, s_codes, zero_point, out)
        return
    s_indptr = np.ascontiguousarray(s_indptr, np.int64)
    indptr = _checked(indptr, indices, len(s_indptr) - 1, out)
    _checked(s_indptr, s_indices, out.shape[1], s_indptr[1:])
    if not out.size:
        return
    target = out if out.flags.c_contiguous else np.empty(out.shape, np.int32)
    centred = s_codes.astype(np.int16) - np.int16(zero_point)
    indices, s_indices = np.ascontiguousarray(indices), np.ascontiguousarray(s_indices)
    op = sparse_sum_op(
        out=(target.ctypes.data, target.strides[0], False), starts=indptr.ctypes.data, indices=indices.ctypes.data,
        entry_starts=s_indptr.ctypes.data, columns=s_indices.ctypes.data, codes=centred.ctypes.data,
        width=out.shape[1],
    )  # fmt: skip
    Launch([Phase([op], row_blocks(indptr))], 64, out.size // 4 + len(indices) * (1 + s_codes.size // len(s_indptr)))(
        threads
    )
    _give(out, target)


def _sum(indptr, indices, x, zero, out, threads):
    if not out.size:
        return
    source, source_stride = _padded_codes(x)
    wide = out.dtype == np.int64
    listed = None if indices is None else pad_indices(indices)

    def ops(place, starts, stops):
        common = dict(out=place, starts=starts, stops=stops, x=source.ctypes.data, x_stride=source_stride,
                      channels=x.shape[1], zero=zero)  # fmt: skip
        if wide:
            return [neighbor_sum_wide_op(indices=0 if listed is None else listed.ctypes.data, **common)]
        if listed is None:
            return pool_sum_ops(bits=8 * x.itemsize, **common)
        return neighbor_sum_ops(bits=8 * x.itemsize, indices=listed.ctypes.data, **common)

    _run(ops, indptr, out, threads, None if wide else join_sum_op)


def _max(indptr, indices, x, empty, out, threads):
    if not out.size:
        return
    source, source_stride = _padded_codes(x)
    listed = None if indices is None else pad_indices(indices)

    def ops(place, starts, stops):
        common = dict(out=place, starts=starts, stops=stops, x=source.ctypes.data, x_stride=source_stride,
                      channels=x.shape[1], empty=empty, bits=8 * x.itemsize)  # fmt: skip
        return pool_max_ops(**common) if listed is None else neighbor_max_ops(indices=listed.ctypes.data, **common)

    _run(ops, indptr, out, threads, join_max_op if x.dtype == np.int8 else None)


def _run(ops, indptr, out, threads, join):
    """Run ``ops(place, starts, stops)`` over all rows of ``out``, its hubs in pieces if there is a way to join them."""
    columns = out.shape[1]
    work = (out.size + int(indptr[-1] - indptr[0]) * columns) // 4
    threads = threads_for(work) if threads is None else threads
    target = _padded_out(out)
    place, starts = (target.ctypes.data, target.strides[0], False), indptr.ctypes.data
    hubs = split_hubs(indptr, hub_limit(int(indptr[-1]), threads)) if join is not None and threads > 1 else None
    if hubs is None:
        Launch([Phase(ops(place, starts, starts + 8), row_blocks(indptr))], 64, work)(threads)
    else:
        pieces = aligned(hubs.pieces, target.strides[0])
        piece = (pieces.ctypes.data, pieces.strides[0], False)
        first = ops(piece, hubs.starts.ctypes.data, hubs.stops.ctypes.data)
        rest = ops(place, starts, hubs.row_stops.ctypes.data)
        rest.append(join(hubs=hubs, out=place, pieces=piece[0], piece_stride=piece[1], channels=columns))
        left = np.append(0, np.cumsum(hubs.row_stops - indptr[:-1]))
        phases = [Phase(first, np.arange(hubs.pieces + 1)), Phase(rest, row_blocks(left))]
        Launch(phases, 64, work)(threads)
    _give(out, target)


def sparse_matmul(indptr, indices, codes, zero_point, w, w_zero_point, bias, out, threads=None):
    """As the reference; int8 codes and weight, int32 out."""
    kinds = (codes.dtype, w.dtype, out.dtype, indices.dtype)
    if kinds != (np.int8, np.int8, np.int32, np.int32):
        integer.sparse_matmul(indptr, indices, codes, zero_point, w, w_zero_point, bias, out)
        return
    indptr = _checked(indptr, indices, len(w), out)
    if not out.size:
        return
    columns = w.shape[1]
    weight, weight_stride = _padded_codes(w)
    target = _padded_out(out)
    padded_bias = np.zeros(columns + 64, np.int32)
    padded_bias[:columns] = np.asarray(bias).astype(np.int32)  # modulo 2**32, as the sum
    centred = codes.astype(np.int16) - np.int16(zero_point)
    indices = np.ascontiguousarray(indices)
    ops = sparse_matmul_ops(
        out=(target.ctypes.data, target.strides[0], False), starts=indptr.ctypes.data, indices=indices.ctypes.data,
        codes=centred.ctypes.data, weight=weight.ctypes.data, weight_stride=weight_stride, columns=columns,
        bias=padded_bias.ctypes.data, weight_zero=int(w_zero_point),
    )  # fmt: skip
    Launch([Phase(ops, row_blocks(indptr))], 64, (out.size + codes.size * columns) // 4)(threads)
    _give(out, target)


def _checked(indptr, indices, sources, out, listed=True):
    """``indptr`` as contiguous int64; ValueError if a kernel would read or write outside of the arrays."""
    indptr = np.ascontiguousarray(indptr, np.int64)
    if len(indptr) != len(out) + 1 or indptr[0] < 0 or indptr[-1] > len(indices) or (np.diff(indptr) < 0).any():
        raise ValueError(f"indptr of {len(indptr)} entries does not cut {len(indices)} entries into {len(out)} rows")
    if listed and len(indices) and (indices.min() < 0 or indices.max() >= sources):
        raise ValueError(f"indices from {indices.min()} to {indices.max()} do not point at {sources} rows")
    return indptr


def _padded_codes(x):
    """Rows that kernels may read in whole vectors, and their stride: x itself, or a padded copy."""
    rows, columns = x.shape
    kind = x.dtype.name
    whole = sum(lanes for _, lanes in column_blocks(columns)) == columns
    if whole and x.dtype == np.int8 and x.strides[1] == 1:
        return x, x.strides[0]
    padded = aligned(rows + 16, row_bytes(kind, columns)).view(x.dtype)
    padded[:rows, :columns] = x
    return padded, padded.strides[0]


def _padded_out(out):
    """Rows that kernels may write in whole vectors: out itself, or new ones to be copied by :func:`_give`.

    Sums are written in runs of 16 columns, codes in whole column blocks.
    """
    rows, columns = out.shape
    if out.dtype in _SUMS:
        width = -(-columns // 16) * 16 * out.itemsize
    else:
        width = row_bytes(out.dtype.name, columns)
    if width == columns * out.itemsize and out.flags.c_contiguous:
        return out
    return aligned(rows, width).view(out.dtype)


def _give(out, target):
    if target is not out:
        out[...] = target[:, : out.shape[1]]
