"""Float sums over the rows of a CSR matrix: neighbour sums, sparse products, gathers. Float32 in training.

Every output row is written by one thread and adds its terms in the order of the row, so the result does not depend
on the number of threads. Rows are dealt in blocks of equal work, since in a power-law graph a few rows hold most edges.
"""

from __future__ import annotations

from numba import prange

from ._jit import kernel
from ._twin import twin

__all__ = ["csr_sum", "csr_sum_of_sparse", "csr_sum_with_self", "gather_rows", "scale_rows"]

_BLOCKS = 64


@kernel
def _first_row(indptr, block, blocks):
    """First row of ``block`` when rows + entries are dealt evenly: the smallest i with indptr[i] + i >= its share."""
    rows = indptr.size - 1
    share = (indptr[rows] + rows) * block // blocks
    low, high = 0, rows
    while low < high:
        middle = (low + high) // 2
        if indptr[middle] + middle < share:
            low = middle + 1
        else:
            high = middle
    return low


@twin(lambda indptr, indices, weight, x, out: indices.size * x.shape[1] + out.size)
def csr_sum(indptr, indices, weight, x, out):
    """out[i] = sum over the entries e of row i of weight[e] * x[indices[e]]; weight None counts as 1.

    Parameters
    ----------
    indptr : int64 (N + 1,)
    indices : int32 or int64 (E,)
    weight : float (E,) or None
    x : float (M, C)
    out : float (N, C), overwritten; a row of no entries becomes 0

    Four entries are taken at a time, in the order of the row: the same sum, with a quarter of the traffic to ``out``.
    """
    channels = x.shape[1]
    for block in prange(_BLOCKS):
        for i in range(_first_row(indptr, block, _BLOCKS), _first_row(indptr, block + 1, _BLOCKS)):
            row = out[i]
            row[:] = 0
            e = indptr[i]
            end = indptr[i + 1]
            while e + 4 <= end:
                a, b, c, d = x[indices[e]], x[indices[e + 1]], x[indices[e + 2]], x[indices[e + 3]]
                if weight is None:
                    for j in range(channels):
                        row[j] = (((row[j] + a[j]) + b[j]) + c[j]) + d[j]
                else:
                    wa, wb, wc, wd = weight[e], weight[e + 1], weight[e + 2], weight[e + 3]
                    for j in range(channels):
                        row[j] = (((row[j] + wa * a[j]) + wb * b[j]) + wc * c[j]) + wd * d[j]
                e += 4
            while e < end:
                a = x[indices[e]]
                if weight is None:
                    for j in range(channels):
                        row[j] += a[j]
                else:
                    wa = weight[e]
                    for j in range(channels):
                        row[j] += wa * a[j]
                e += 1


@twin(lambda indptr, indices, weight, factor, x, out: indices.size * x.shape[1] + out.size)
def csr_sum_with_self(indptr, indices, weight, factor, x, out):
    """`csr_sum` of a square matrix plus factor * x[i], in one pass; ``factor`` (1,) in the type of ``x``."""
    # csr_sum's loop written out again: as a function that both call, rows of two or three entries took 30 % longer.
    channels = x.shape[1]
    for block in prange(_BLOCKS):
        own = factor[0]
        for i in range(_first_row(indptr, block, _BLOCKS), _first_row(indptr, block + 1, _BLOCKS)):
            row, here = out[i], x[i]
            row[:] = 0
            e = indptr[i]
            end = indptr[i + 1]
            while e + 4 <= end:
                a, b, c, d = x[indices[e]], x[indices[e + 1]], x[indices[e + 2]], x[indices[e + 3]]
                if weight is None:
                    for j in range(channels):
                        row[j] = (((row[j] + a[j]) + b[j]) + c[j]) + d[j]
                else:
                    wa, wb, wc, wd = weight[e], weight[e + 1], weight[e + 2], weight[e + 3]
                    for j in range(channels):
                        row[j] = (((row[j] + wa * a[j]) + wb * b[j]) + wc * c[j]) + wd * d[j]
                e += 4
            while e < end:
                a = x[indices[e]]
                if weight is None:
                    for j in range(channels):
                        row[j] += a[j]
                else:
                    wa = weight[e]
                    for j in range(channels):
                        row[j] += wa * a[j]
                e += 1
            for j in range(channels):
                row[j] = own * here[j] + row[j]


@twin(lambda indptr, indices, weight, s_indptr, s_indices, s_data, out: out.size + indices.size * 64)
def csr_sum_of_sparse(indptr, indices, weight, s_indptr, s_indices, s_data, out):
    """out[i] = sum over entries e of row i of weight[e] * S[indices[e]] for S (M, F) in CSR; ``out`` (N, F) is dense.

    Shapes and meaning as in `csr_sum`; ``s_indptr`` int64 (M + 1,), ``s_indices`` int32 (nnz,), ``s_data`` float
    (nnz,).
    """
    for block in prange(_BLOCKS):
        for i in range(_first_row(indptr, block, _BLOCKS), _first_row(indptr, block + 1, _BLOCKS)):
            row = out[i]
            row[:] = 0
            for e in range(indptr[i], indptr[i + 1]):
                source = indices[e]
                for k in range(s_indptr[source], s_indptr[source + 1]):
                    if weight is None:
                        row[s_indices[k]] += s_data[k]
                    else:
                        row[s_indices[k]] += weight[e] * s_data[k]


@twin(lambda index, x, out: out.size)
def gather_rows(index, x, out):
    """out[k] = x[index[k]] for ``index`` int (K,), ``x`` (M, C), ``out`` (K, C)."""
    for block in prange(_BLOCKS):
        for k in range(index.size * block // _BLOCKS, index.size * (block + 1) // _BLOCKS):
            source = x[index[k]]
            row = out[k]
            for j in range(row.size):
                row[j] = source[j]


@twin(lambda x, factor, out: out.size)
def scale_rows(x, factor, out):
    """out[i] = factor[i] * x[i] for ``factor`` (N,), ``x`` and ``out`` (N, C)."""
    for block in prange(_BLOCKS):
        for i in range(x.shape[0] * block // _BLOCKS, x.shape[0] * (block + 1) // _BLOCKS):
            f = factor[i]
            for j in range(x.shape[1]):
                out[i, j] = f * x[i, j]
