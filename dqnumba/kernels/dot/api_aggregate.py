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
from .gather_vectors import column_blocks, pad_indices
from .gather_wide import neighbor_sum_wide_op
from .hubs import hub_limit, join_sum_op, split_hubs
from .launch import Launch, Phase, aligned
from .pool import pool_sum_ops
from .sparse import sparse_matmul_ops

__all__ = ["neighbor_sum", "segment_sum", "sparse_matmul"]

_SUMS = (np.dtype(np.int32), np.dtype(np.int64))


def neighbor_sum(indptr, indices, x, zero_point, out, threads=None):
    """As the reference; int8 codes."""
    if x.dtype != np.int8 or out.dtype not in _SUMS or indices.dtype != np.int32:
        integer.neighbor_sum(indptr, indices, x, zero_point, out)
        return
    indptr = _checked(indptr, indices, len(x), out)
    _sum(indptr, indices, x, int(zero_point), out, threads)


def segment_sum(ptr, x, zero_point, out, threads=None):
    """As the reference; int8 codes, or int16 codes into int32."""
    if (x.dtype, out.dtype) not in ((np.int8, _SUMS[0]), (np.int8, _SUMS[1]), (np.int16, _SUMS[0])):
        integer.segment_sum(ptr, x, zero_point, out)
        return
    ptr = _checked(ptr, x, 1, out, listed=False)
    _sum(ptr, None, x, int(zero_point), out, threads)


def _sum(indptr, indices, x, zero, out, threads):
    if not out.size:
        return
    source, source_stride = _padded_codes(x)
    target, wide, channels = _padded_out(out), out.dtype == np.int64, x.shape[1]
    listed = None if indices is None else pad_indices(indices)
    work = (out.size + (int(indptr[-1]) - int(indptr[0])) * channels) // 4
    threads = threads_for(work) if threads is None else threads

    def ops(place, starts, stops):
        common = dict(out=place, starts=starts.ctypes.data, stops=stops.ctypes.data, x=source.ctypes.data,
                      x_stride=source_stride, channels=channels, zero=zero)  # fmt: skip
        if wide:
            return [neighbor_sum_wide_op(indices=0 if listed is None else listed.ctypes.data, **common)]
        if listed is None:
            return pool_sum_ops(bits=8 * x.itemsize, **common)
        return neighbor_sum_ops(indices=listed.ctypes.data, **common)

    place = (target.ctypes.data, target.strides[0], False)
    hubs = None if wide or threads < 2 else split_hubs(indptr, hub_limit(int(indptr[-1]), threads))
    phases = [Phase(ops(place, indptr, indptr[1:]), row_blocks(indptr))]
    if hubs is not None:
        pieces = aligned(hubs.pieces, -(-channels // 16) * 64)
        stride = pieces.strides[0]
        first = ops((pieces.ctypes.data, stride, False), hubs.starts, hubs.stops)
        join = join_sum_op(hubs=hubs, out=place, pieces=pieces.ctypes.data, piece_stride=stride, channels=channels)
        rest = np.append(0, np.cumsum(hubs.row_stops - indptr[:-1]))
        phases = [
            Phase(first, np.arange(hubs.pieces + 1)),
            Phase([*ops(place, indptr, hubs.row_stops), join], row_blocks(rest)),
        ]
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
    """Rows that kernels may write in whole vectors of 16: out itself, or new ones to be copied by :func:`_give`."""
    if out.shape[1] % 16 == 0 and out.flags.c_contiguous:
        return out
    return aligned(len(out), -(-out.shape[1] // 16) * 16 * out.itemsize).view(out.dtype)


def _give(out, target):
    if target is not out:
        out[...] = target[:, : out.shape[1]]
