"""Requantization against exact rationals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..quantizer import Quantizer
from .rounding import round_fraction

__all__ = ["requantize_close", "requantize_exact"]


def _got(q: Quantizer, acc: np.ndarray, factor: float, zero_point: int) -> list[int]:
    codes = np.asarray(q.requantize(acc, factor, zero_point))
    assert codes.shape == acc.shape, f"shape {acc.shape} became {codes.shape}"
    assert np.issubdtype(codes.dtype, np.integer), f"codes have type {codes.dtype}, not an integer type"
    return codes.tolist()


def requantize_exact(q: Quantizer, acc: np.ndarray, factor: float, zero_point: int) -> None:
    for a, code in zip(acc.tolist(), _got(q, acc, factor, zero_point), strict=True):
        product = a * Fraction(factor)
        wanted = min(max(round_fraction(product, q.requantize_rounding) + zero_point, q.qmin), q.qmax)
        assert code == wanted, f"{a} * {factor!r} = {float(product)!r} became code {code}, not {wanted}"


def requantize_close(q: Quantizer, acc: np.ndarray, factor: float, zero_point: int) -> None:
    for a, code in zip(acc.tolist(), _got(q, acc, factor, zero_point), strict=True):
        product = a * Fraction(factor)
        exact = min(max(product + zero_point, Fraction(q.qmin)), Fraction(q.qmax))
        allowed = Fraction(1, 2) + abs(product) / 2**q.multiplier_bits
        assert abs(code - exact) <= allowed, (
            f"{a} * {factor!r} = {float(product)!r} became code {code}, not the nearest of {q.qmin} .. {q.qmax} to "
            f"{float(product + zero_point)!r}"
        )
