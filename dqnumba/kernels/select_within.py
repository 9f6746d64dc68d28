"""Whether two order statistics lie within given borders: one pass that counts, and never looks for them."""

from __future__ import annotations

import numba
import numpy as np
from numba import prange

from ._twin import twin

__all__ = ["ranks_within"]


def ranks_within(
    x: np.ndarray,
    protected: np.ndarray | None,
    row_weight: np.ndarray | None,
    low: float,
    high: float,
    k_low: int,
    from_top: int,
) -> bool:
    """True if the ``k_low``-th smallest is not below ``low``, the ``from_top``-th largest is not above ``high``, and
    not both are zero.

    A running extremum of order statistics asks no more than this once it has settled. Zeros are left to whoever wants
    to know why; so are NaNs, each of which counts as beyond ``high``.

    Parameters
    ----------
    x : float32 (N, C), C-contiguous
    protected : bool (N,) or None
        Rows that do not count.
    row_weight : int64 (N,) or None
        How often a row counts.
    low, high : float
        float32 values.
    k_low, from_top : int
        At least 1.
    """
    mask = np.empty(0, np.bool_) if protected is None else protected
    weight = np.empty(0, np.int64) if row_weight is None else np.ascontiguousarray(row_weight, dtype=np.int64)
    tally = np.empty((numba.get_num_threads(), 4), np.int64)
    _tally(x, mask, weight, np.float32(low), np.float32(high), tally)
    below, above, negative, positive = tally.sum(axis=0)
    return bool(below < k_low and above < from_top and (negative >= k_low or positive >= from_top))


@twin(lambda x, protected, row_weight, low, high, tally: x.size)
def _tally(x, protected, row_weight, low, high, tally):
    """tally[chunk] = how many are below ``low``, not up to ``high``, below zero, above zero; (chunks, 4)."""
    chunks, zero = tally.shape[0], np.float32(0)
    for chunk in prange(chunks):
        below, above, negative, positive = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for i in range(x.shape[0] * chunk // chunks, x.shape[0] * (chunk + 1) // chunks):
            if protected.size > 0 and protected[i]:
                continue
            weight = row_weight[i] if row_weight.size > 0 else np.int64(1)
            row = x[i]
            a, b, c, d = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for j in range(row.size):
                value = row[j]
                a = np.int32(a + np.int32(value < low))
                b = np.int32(b + np.int32(not value <= high))
                c = np.int32(c + np.int32(value < zero))
                d = np.int32(d + np.int32(value > zero))
            below += weight * a
            above += weight * b
            negative += weight * c
            positive += weight * d
        tally[chunk, 0], tally[chunk, 1], tally[chunk, 2], tally[chunk, 3] = below, above, negative, positive
