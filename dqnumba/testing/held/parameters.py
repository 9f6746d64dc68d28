"""Properties of the rule that makes scale and zero point from an observed range."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..quantizer import Quantizer
from .rounding import real_ends

__all__ = ["qparams_valid", "range_covered", "range_tight"]

_COMPARABLE = 2.0**-10
"""A channel narrower than this fraction of the widest may have a larger scale than it needs: its bias has to fit."""


def _chosen(q: Quantizer, low: Any, high: Any) -> tuple[np.ndarray, np.ndarray]:
    scale, zero_point = q.qparams(low, high)
    return np.asarray(scale, np.float64), np.asarray(zero_point, np.float64)


def qparams_valid(q: Quantizer, low: Any, high: Any) -> None:
    scale, zero_point = _chosen(q, low, high)
    shape = np.shape(low)
    assert scale.shape == shape, f"scale of shape {scale.shape} for a range of shape {shape}"
    assert (np.isfinite(scale) & (scale > 0)).all(), f"scale {scale} is not positive and finite"
    assert (zero_point == np.rint(zero_point)).all(), f"zero point {zero_point} is no integer"
    inside = (zero_point >= q.qmin) & (zero_point <= q.qmax)
    assert inside.all(), f"zero point {zero_point} is no code of {q.qmin} .. {q.qmax}"


def range_covered(q: Quantizer, low: Any, high: Any) -> None:
    scale, zero_point = _chosen(q, low, high)
    lowest, highest = real_ends(q, scale, zero_point)
    margin = scale * (0.5 + q.slack)
    for side, wanted, over in (
        ("low", np.minimum(low, 0.0), lowest - margin - np.minimum(low, 0.0)),
        ("high", np.maximum(high, 0.0), np.maximum(high, 0.0) - highest - margin),
    ):
        assert (over <= 0).all(), (
            f"the {side} end {wanted} is more than half a step of {scale} outside the codes' {lowest} .. {highest}"
        )


def range_tight(q: Quantizer, low: Any, high: Any) -> None:
    scale, _ = _chosen(q, low, high)
    low, high = np.minimum(np.asarray(low, np.float64), 0.0), np.maximum(np.asarray(high, np.float64), 0.0)
    width = np.maximum(-low, high) if q.symmetric else high - low
    needed = width / (q.qmax - q.center if q.symmetric else q.qmax - q.qmin)
    compared = (width > 0) & (width >= width.max(initial=0.0) * _COMPARABLE)
    allowed = np.maximum(needed, q.min_scale) * (1 + 2.0 ** (6 - q.precision))
    wasted = compared & ~(scale <= allowed)
    assert not wasted.any(), f"scale {scale} where the range needs {needed}"
