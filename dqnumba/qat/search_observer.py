"""The range rule ``"mse"``: the range of a site that rounds with the least squared error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..graph import SparseFeatures
from ..nn import EdgeBlocks
from ..quant import QuantSpec, choose_qparams
from .observers import Observer

__all__ = ["SearchObserver", "least_error_range"]

#: Shares of the full range that are tried, coarse and then around the best one so far.
_SHARES = np.linspace(0.025, 1.0, 40)
_REFINEMENTS = np.linspace(0.85, 1.15, 13)
_MOST_VALUES = 1 << 14  # beyond that a tensor is looked at through a histogram of as many bins


def least_error_range(
    values: NDArray, counts: NDArray | None, spec: QuantSpec, *, widen: float = 0.0
) -> tuple[float, float]:
    """The range, within minimum and maximum, whose rounding has the least summed squared error.

    Both ends shrink together first; then each is moved while the other stays, twice. What lies outside is clipped, so a
    range pays with the error of the clipped values for finer steps of all others.

    Parameters
    ----------
    values : float array (n,), n > 0
    counts : float array (n,) or None
        How often each value is there; None means once.
    spec : QuantSpec
        Per tensor.
    widen : float
        Share by which the quantizer widens a range before it uses it.

    Returns
    -------
    (low, high)
        ``low <= 0 <= high``.
    """
    values = np.asarray(values, np.float64)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if low == high:
        return low, high

    def error(a: float, b: float) -> float:
        qparams = choose_qparams(a * (1.0 + widen), b * (1.0 + widen), spec)
        codes = np.clip(np.rint(values / qparams.scale + qparams.zero_point), spec.qmin, spec.qmax)
        squared = np.square((codes - qparams.zero_point) * qparams.scale - values)
        return float(squared.sum() if counts is None else squared @ counts)

    def best(ranges: list[tuple[float, float]]) -> tuple[float, float]:
        return min(ranges, key=lambda ends: error(*ends))

    a, b = best([(low * share, high * share) for share in _SHARES[::-1]])
    for _ in range(2):
        if a < 0.0:
            tried = np.concatenate([a * _REFINEMENTS, low * _SHARES])
            a, b = best([(a, b), *((max(low, float(end)), b) for end in tried)])
        if b > 0.0:
            tried = np.concatenate([b * _REFINEMENTS, high * _SHARES])
            a, b = best([(a, b), *((a, min(high, float(end))) for end in tried)])
    return a, b


class SearchObserver(Observer):
    """Range rule ``"mse"``: the first tensor's :func:`least_error_range`, moved by ``momentum`` towards each new one's.

    The implicit zeros of sparse features take no part: zero has a code of its own and is rounded without error.

    Parameters
    ----------
    name : str
    spec : QuantSpec
        What the range is for.
    widen : float
        Share by which the quantizer widens it.
    momentum : float
    """

    def __init__(self, name: str, spec: QuantSpec, *, widen: float, momentum: float) -> None:
        super().__init__(name, "mse", cut=0.0, momentum=momentum, collapse_fallback=True)
        self.spec, self.widen = spec, widen

    def update(self, x: Any, protected: NDArray[np.bool_] | None = None, row_weight: NDArray | None = None) -> None:
        """Take in one tensor; rows that are protected say nothing about the range."""
        summary = _summary(x, protected, row_weight)
        if summary is None:
            return
        values, counts = summary
        if not np.isfinite(values).all():
            raise ConfigError(
                f"Site {self.name} saw values that are not finite: the training diverged (use a lower lr), or the "
                "weights were so already."
            )
        found = np.array(least_error_range(values, counts, self.spec, widen=self.widen))
        self.range[:] = found if self.is_empty else self.range + self.momentum * (found - self.range)


def _summary(
    x: Any, protected: NDArray[np.bool_] | None, row_weight: NDArray | None
) -> tuple[NDArray, NDArray | None] | None:
    """Values of a tensor with their counts; of many values the means of narrow bins. None where nothing is left."""
    if isinstance(x, SparseFeatures):
        values = x.data if protected is None else x.data[~protected[x.row_ids]]
        rows = x.shape[0] if protected is None else x.shape[0] - int(np.count_nonzero(protected))
        if values.size == 0:
            return (np.zeros(1), None) if rows * x.shape[1] else None
        return _binned([values], None)
    if isinstance(x, EdgeBlocks):
        return _binned(list(x), None) if x.shape[0] * x.shape[1] else None
    x = np.asarray(x)
    if x.size == 0:
        return None
    x = x.reshape(len(x), -1)
    keep = np.ones(len(x), bool) if protected is None else ~protected
    if row_weight is not None:
        keep = keep & (row_weight > 0)
    x = x[keep]
    if x.size == 0:
        return None
    weight = None if row_weight is None else np.repeat(row_weight[keep].astype(np.float64), x.shape[1])
    return _binned([x.reshape(-1)], weight)


def _binned(parts: list[NDArray], weight: NDArray | None) -> tuple[NDArray, NDArray | None]:
    values = np.concatenate([part.reshape(-1) for part in parts]).astype(np.float64)
    if values.size <= _MOST_VALUES or not np.isfinite(values).all():
        return values, weight
    edges = (float(values.min()), float(values.max()))
    if edges[0] == edges[1]:
        return values[:1], None
    share = (values - edges[0]) / (edges[1] - edges[0])
    place = np.minimum((share * _MOST_VALUES).astype(np.int64), _MOST_VALUES - 1)
    counts = np.bincount(place, weights=weight, minlength=_MOST_VALUES).astype(np.float64)
    sums = np.bincount(place, weights=values if weight is None else values * weight, minlength=_MOST_VALUES)
    met = counts > 0
    means = sums[met] / counts[met]
    # The ends themselves stay candidates for a range that clips nothing.
    return np.concatenate([means, edges]), np.concatenate([counts[met], [0.0, 0.0]])
