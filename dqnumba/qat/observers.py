"""Range rules: what a quantizer remembers of the tensors it has seen (official code, ``dq/quantization.py``)."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..graph import SparseFeatures
from ..kernels.select import (
    count_kept,
    min_max,
    order_statistics,
    order_statistics_of_parts,
    order_statistics_weighted,
)
from ..kernels.select_within import ranks_within
from ..nn import EdgeBlocks

__all__ = ["Observer", "batch_range", "percentile_ranks"]

_log = logging.getLogger("dqnumba")


def percentile_ranks(count: int, cut: float) -> tuple[int, int]:
    """Ranks (1 = smallest) of the two order statistics among n = ``count`` values: int(n p), int(n (1 - p)) in 1..n."""
    return min(max(int(count * cut), 1), count), min(max(int(count * (1.0 - cut)), 1), count)


def batch_range(
    x: Any,
    cut: float | None,
    protected: NDArray[np.bool_] | None = None,
    row_weight: NDArray[np.int64] | None = None,
) -> tuple[float, float] | None:
    """Range of one tensor: its extremum, or order statistics that cut off a share at each end.

    Parameters
    ----------
    x : ndarray, float32, shape (R, C), or SparseFeatures, or EdgeBlocks
        The implicit zeros of sparse features count as values without being written out. Blocks are looked at one by
        one, without ``protected`` and ``row_weight``: they belong to calibration, which has none.
    cut : float or None
        Share cut off at each end; None takes minimum and maximum.
    protected : ndarray of bool, shape (R,), or None
        Rows that take no part.
    row_weight : ndarray of int64, shape (R,), or None
        How often a row counts (the out-degree, where a row stands for all messages of a node).

    Returns
    -------
    (low, high) or None
        None where no row is left: an all-protected batch says nothing about the range.
    """
    if isinstance(x, SparseFeatures):
        return _sparse_range(x, cut, protected)
    if isinstance(x, EdgeBlocks):
        return _range_of_blocks(x, cut)
    x = np.ascontiguousarray(x, np.float32)
    if x.size == 0:
        return None
    x = x.reshape(x.shape[0], -1)
    if row_weight is not None:
        row_weight = np.where(protected, 0, row_weight) if protected is not None else row_weight
        if cut is None:
            protected = row_weight == 0
        else:
            count = int(row_weight.sum()) * x.shape[1]
            return order_statistics_weighted(x, row_weight, *percentile_ranks(count, cut)) if count else None
    rows = x.shape[0] if protected is None else x.shape[0] - int(np.count_nonzero(protected))
    count = rows * x.shape[1]
    if count == 0:
        return None
    if cut is None:
        low, high = min_max(x, protected)
    else:
        low, high = order_statistics(x, protected, *percentile_ranks(count, cut))
    return float(low), float(high)


def _sparse_range(
    x: SparseFeatures, cut: float | None, protected: NDArray[np.bool_] | None
) -> tuple[float, float] | None:
    """Range of sparse features: the implicit zeros lie between the negative and the positive entries."""
    data = x.data if protected is None else x.data[~protected[x.row_ids]]
    rows = x.shape[0] if protected is None else x.shape[0] - int(np.count_nonzero(protected))
    count = rows * x.shape[1]
    if count == 0:
        return None
    if cut is None:
        outer = 0.0 if count > data.size else np.inf  # without an implicit zero the entries stand alone
        return float(data.min(initial=outer)), float(data.max(initial=-outer))
    ordered = np.sort(data)
    negative = int(np.searchsorted(ordered, 0.0, side="left"))
    zeros = count - data.size

    def rank(k: int) -> float:  # the k-th smallest of the entries and the implicit zeros together
        if k <= negative:
            return float(ordered[k - 1])
        return 0.0 if k <= negative + zeros else float(ordered[k - 1 - zeros])

    low, high = percentile_ranks(count, cut)
    return rank(low), rank(high)


def _range_of_blocks(x: EdgeBlocks, cut: float | None) -> tuple[float, float] | None:
    count = x.shape[0] * x.shape[1]
    if count == 0:
        return None
    if cut is None:
        lows, highs = zip(*(min_max(block) for block in x), strict=True)
        return float(np.min(lows)), float(np.max(highs))  # of NumPy: a NaN shows
    low, high = order_statistics_of_parts(lambda: x, *percentile_ranks(count, cut))
    return float(low), float(high)


class Observer:
    """Tracks the range of one site.

    Parameters
    ----------
    rule : str
        ``"minmax"``: running extremum. ``"ema"``: the first range, then moved by ``momentum`` towards each new one.
        ``"percentile"``: running extremum of order statistics. ``"percentile_ema"``: moving average of order
        statistics.
    cut : float
        Share that the percentile rules cut off at each end.
    collapse_fallback : bool
        Take minimum and maximum where the percentiles are both zero although the tensor is not.

    Attributes
    ----------
    range : ndarray, float64, shape (2,)
        Low and high; NaN before the first update.

    Raises
    ------
    ConfigError
        By :meth:`update`, for NaN and infinities.
    """

    def __init__(self, name: str, rule: str, *, cut: float, momentum: float, collapse_fallback: bool) -> None:
        self.name, self.rule, self.momentum, self.collapse_fallback = name, rule, momentum, collapse_fallback
        self.cut = cut if rule.startswith("percentile") else None
        self.range = np.full(2, np.nan)
        self._warned = False

    @property
    def is_empty(self) -> bool:
        """No value has been seen yet."""
        return bool(np.isnan(self.range[0]))

    def update(self, x: Any, protected: NDArray[np.bool_] | None = None, row_weight: NDArray | None = None) -> None:
        """Take in one tensor; rows that are protected say nothing about the range."""
        if self.rule == "percentile" and not self.is_empty and self._stays(x, protected, row_weight):
            return
        current = batch_range(x, self.cut, protected, row_weight)
        if current is None:
            return
        if self.cut is not None and current[0] == 0.0 and current[1] == 0.0:
            full = batch_range(x, None, protected, row_weight)
            if full is not None and full != (0.0, 0.0):
                current = self._collapsed(current, full)
        low, high = current
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ConfigError(
                f"Site {self.name} saw values from {low} to {high}, which have no range: the training diverged "
                "(use a lower lr), or the weights were so already."
            )
        if self.is_empty:
            self.range[:] = low, high
        elif self.rule in ("ema", "percentile_ema"):
            self.range += self.momentum * (np.array([low, high]) - self.range)
        else:
            self.range[:] = min(self.range[0], low), max(self.range[1], high)

    def _stays(self, x: Any, protected: NDArray[np.bool_] | None, row_weight: NDArray | None) -> bool:
        """Whether a running extremum takes nothing from ``x``, which most steps of a training end with."""
        if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 2 or not x.flags.c_contiguous:
            return False
        if row_weight is None:
            count = count_kept(x, protected)
        else:
            row_weight = np.where(protected, 0, row_weight) if protected is not None else row_weight
            count, protected = int(row_weight.sum()) * x.shape[1], None
        if count == 0:
            return True
        k_low, k_high = percentile_ranks(count, self.cut)
        return ranks_within(x, protected, row_weight, *self.range, k_low, count - k_high + 1)

    def _collapsed(self, current: tuple[float, float], full: tuple[float, float]) -> tuple[float, float]:
        if self.collapse_fallback:
            return full
        if not self._warned:
            self._warned = True
            _log.warning(
                "site %s: the %g percentile of a sparse tensor is zero, so the official rule gives it scale 1; "
                "set collapse_fallback=True to take its extremum instead",
                self.name,
                self.cut,
            )
        return current
