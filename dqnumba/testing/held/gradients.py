"""The gradient against the mask of its rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..quantizer import Quantizer
from .rounding import ideal_codes, real_ends
from .values import as_given

__all__ = ["gradient"]


def gradient(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any, upstream: float) -> None:
    x = np.clip(x, np.finfo(np.float32).min, np.finfo(np.float32).max)  # an infinity has no gradient to speak of
    ones = np.full(x.shape, upstream, np.float32)
    got = as_given(q, np.asarray(q.gradient(as_given(q, x), as_given(q, ones), scale, zero_point)))
    assert got.shape == x.shape, f"a gradient of shape {got.shape} for values of shape {x.shape}"
    wanted = np.where(_passes(q, x, scale, zero_point), ones, np.float32(0))
    wrong = (got != wanted) & _certain(q, x, scale, zero_point)
    assert not wrong.any(), (
        f"gradient {got[wrong][0]} where rule {q.gradient_rule!r} gives {wanted[wrong][0]}, value {x[wrong][0]!r}, "
        f"code {ideal_codes(q, x, scale, zero_point)[wrong][0]:.0f} before clamping to {q.qmin} .. {q.qmax}"
    )


def _passes(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> np.ndarray:
    if q.gradient_rule == "ste":
        return np.ones(x.shape, bool)
    if q.gradient_rule == "range":
        low, high = real_ends(q, scale, zero_point)
        return (x >= low) & (x <= high)
    codes = ideal_codes(q, x, scale, zero_point)
    ends = int(q.gradient_rule == "clip_inclusive")
    return (codes >= q.qmin + ends) & (codes <= q.qmax - ends)


def _certain(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> np.ndarray:
    """Where float arithmetic cannot move a value over a boundary: everywhere with exact scales, else not beside one."""
    steps = np.asarray(x, np.float64) / scale
    powers_of_two = (np.frexp(np.asarray(scale, np.float64))[0] == 0.5).all()
    if q.gradient_rule == "ste" or (powers_of_two and q.fixed is None and (steps * 16 % 1 == 0).all()):
        return np.ones(x.shape, bool)
    inward = {"clip": -0.5, "clip_inclusive": 0.5, "range": 0.0}[q.gradient_rule]
    boundaries = (q.qmin + inward, q.qmax - inward)
    return np.all([np.abs(steps + zero_point - b) > q.slack for b in boundaries], axis=0)
