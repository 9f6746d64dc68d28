"""Where a value lies on the axis of codes, and what the claimed rounding makes of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ..quantizer import Quantizer

__all__ = ["ideal_codes", "real_ends", "round_fraction"]


def real_ends(q: Quantizer, scale: Any, zero_point: Any) -> tuple[np.ndarray, np.ndarray]:
    """The reals of the lowest and of the highest code, float64."""
    scale, zero_point = np.asarray(scale, np.float64), np.asarray(zero_point, np.float64)
    return (q.qmin - zero_point) * scale, (q.qmax - zero_point) * scale


def ideal_codes(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> np.ndarray:
    """Codes before clamping by the claimed rounding, float64; exact where the scale is a power of two."""
    steps = np.asarray(x, np.float64) / scale
    if q.zero_point_added == "before_rounding":
        return _rounded(steps + zero_point, q.rounding)
    return _rounded(steps, q.rounding) + zero_point


def _rounded(value: np.ndarray, rounding: str) -> np.ndarray:
    if rounding == "half_even":
        return np.rint(value)
    size = np.abs(value) if rounding == "half_away" else value
    whole = np.floor(size)
    up = whole + (size - whole >= 0.5)  # floor(size + 0.5) would round the sum
    return np.copysign(up, value) if rounding == "half_away" else up


def round_fraction(value: Fraction, rounding: str) -> int:
    """The same for one exact rational."""
    if rounding == "half_even":
        return round(value)
    if rounding == "half_away" and value < 0:
        return -round_fraction(-value, "half_up")
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
