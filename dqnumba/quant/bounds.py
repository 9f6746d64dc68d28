"""The largest accumulator that a step can ever produce, in exact Python integers.

A bound uses the true range of ``q - zero_point`` on each side: 8-bit codes with zero point -128 give 0 ..
255, not -128 .. 127. Only final values count: int32 accumulation wraps modulo 2**32, so a sum whose true
value fits is right whatever happened on the way.
"""

from __future__ import annotations

import numpy as np

from dqnumba.quant.fixed_point import INT32_MAX

__all__ = ["aggregate_bound", "fits_int32", "matmul_bound", "matmul_range", "softmax_row_sum"]


def matmul_range(
    weight: np.ndarray,
    low: int,
    high: int,
    *,
    weight_zero_point: int | np.ndarray = 0,
    bias: np.ndarray | None = None,
) -> tuple[int, int]:
    """Range of ``sum_k (q_k - zero_point) * (w_kj - weight_zero_point) + bias_j`` over all codes q, columns j.

    Parameters
    ----------
    weight : integer array (K, M)
        Weight codes, at most 16 bits.
    low, high : int
        Range of ``q - zero_point``, thus ``qmin - zero_point`` and ``qmax - zero_point``.
    weight_zero_point : int or array (M,)
    bias : integer array (M,), optional
        The true bias, before zero-point corrections are folded into it.

    Returns
    -------
    (int, int)
        Both are attained by some input. (0, 0) if there are no columns.
    """
    centred = np.asarray(weight, dtype=np.int64) - weight_zero_point
    positive = np.maximum(centred, 0).sum(axis=0).astype(object)
    negative = np.minimum(centred, 0).sum(axis=0).astype(object)
    offset = 0 if bias is None else np.asarray(bias).astype(object)
    smallest = positive * int(low) + negative * int(high) + offset
    largest = positive * int(high) + negative * int(low) + offset
    if not smallest.size:
        return 0, 0
    return int(smallest.min()), int(largest.max())


def matmul_bound(
    weight: np.ndarray,
    low: int,
    high: int,
    bias: np.ndarray | None = None,
    *,
    weight_zero_point: int | np.ndarray = 0,
) -> int:
    """Largest absolute value within :func:`matmul_range`."""
    return max(map(abs, matmul_range(weight, low, high, weight_zero_point=weight_zero_point, bias=bias)))


def aggregate_bound(
    max_degree: int, low: int, high: int, *, coefficient_low: int = 1, coefficient_high: int = 1
) -> int:
    """Largest absolute value of ``sum_e coefficient_e * (q_e - zero_point)`` over at most ``max_degree`` edges.

    Parameters
    ----------
    max_degree : int
        Largest in-degree of the graph, self-loops included. For coefficients that are not negative and whose
        row sum is bounded (attention), give that bound here and leave both coefficients at 1.
    low, high : int
        Range of ``q - zero_point``.
    coefficient_low, coefficient_high : int
        Range of the coefficient less its zero point; 1 and 1 for an unweighted sum.
    """
    corners = [abs(int(c) * int(x)) for c in (coefficient_low, coefficient_high) for x in (low, high)]
    return int(max_degree) * max(corners)


def softmax_row_sum(max_degree: int, bits: int) -> int:
    """Bound of the sum of a row of edge_softmax: each of its coefficients is rounded up by at most one half.

    The exact coefficients of a row add up to ``2**bits``, so the rounded ones to at most ``2**bits +
    max_degree // 2``.
    """
    return (1 << bits) + int(max_degree) // 2


def fits_int32(bound: int) -> bool:
    """Whether every value of absolute value up to ``bound`` is an int32."""
    return int(bound) <= INT32_MAX
