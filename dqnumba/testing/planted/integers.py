"""Faults in requantization."""

from __future__ import annotations

import numpy as np

from .base import Planted, ends, faulty

__all__ = ["FAULTS"]

_LOW, _HIGH = ends()
_BOTH = ("requantize_exact", "requantize_close")


def _plant(name: str, fault: str, caught_by: str | tuple[str, ...], scaled, **claims) -> Planted:
    """``scaled(acc, multiplier, shift)`` is the product before the zero point, Python integers."""

    def requantize(acc, factor, zero_point):
        multiplier, shift = _pair(factor)
        codes = [min(max(scaled(a, multiplier, shift) + zero_point, _LOW), _HIGH) for a in acc.tolist()]
        return np.array(codes, np.int32)

    return faulty(name, fault, caught_by)(lambda: {"requantize": requantize, **claims})


def _pair(factor: float, bits: int = 31) -> tuple[int, int]:
    """factor = multiplier * 2**-shift, the multiplier with ``bits`` bits."""
    fraction, exponent = np.frexp(factor)
    multiplier = int(np.floor(fraction * 2.0**bits + 0.5))
    return multiplier << (31 - bits), 31 - int(exponent)


def _int32(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def _doubling_high(a: int, m: int, shift: int) -> int:
    """gemmlowp's two roundings: the high half of the doubled product, then a rounding division."""
    nudged, right = a * m + (1 << 30 if a >= 0 else 1 - (1 << 30)), shift - 31
    if right <= 0:
        return (a * m + (1 << (shift - 1))) >> shift
    high = nudged >> 31 if nudged >= 0 else -(-nudged >> 31)
    rest, half = high & ((1 << right) - 1), ((1 << right) - 1) >> 1
    return (high >> right) + (rest > half + (high < 0))


def _toward_zero(a: int, m: int, shift: int) -> int:
    product = a * m + (1 << (shift - 1))
    return product >> shift if product >= 0 else -(-product >> shift)


def _float32_product(acc, factor, zero_point):
    scaled = np.rint(acc.astype(np.float32) * np.float32(factor)) + np.float32(zero_point)
    return np.clip(scaled, _LOW, _HIGH).astype(np.int32)


def _clamped_first(acc, factor, zero_point):
    multiplier, shift = _pair(factor)
    codes = [min(max((a * multiplier + (1 << (shift - 1))) >> shift, _LOW), _HIGH) for a in acc.tolist()]
    return (np.array(codes, np.int64) + zero_point).astype(np.int8).astype(np.int32)


def _with_24_bits(acc, factor, zero_point):
    multiplier, shift = _pair(factor, 24)
    codes = [min(max(((a * multiplier + (1 << (shift - 1))) >> shift) + zero_point, _LOW), _HIGH) for a in acc.tolist()]
    return np.array(codes, np.int32)


def _scaled_zero_point(acc, factor, zero_point):
    multiplier, shift = _pair(factor)
    codes = [((a + zero_point) * multiplier + (1 << (shift - 1))) >> shift for a in acc.tolist()]
    return np.array([min(max(code, _LOW), _HIGH) for code in codes], np.int32)


def _whole(name: str, fault: str, caught_by: str | tuple[str, ...], requantize) -> Planted:
    return faulty(name, fault, caught_by)(lambda: {"requantize": requantize})


FAULTS = (
    _plant("double_rounding", "rounded twice: the high half first, then the shift", "requantize_exact", _doubling_high),
    _plant("shift_toward_zero", "a division that truncates instead of a shift: negatives are one too large",
           "requantize_exact", _toward_zero),
    _plant("shift_without_rounding", "the half is not added before the shift", _BOTH, lambda a, m, s: (a * m) >> s),
    _plant("product_in_int32", "the product wraps in int32", _BOTH,
           lambda a, m, s: _int32(a * (m >> 16)) + (1 << s >> 17) >> max(s - 16, 0)),
    _plant("accumulator_of_16_bits", "the accumulator is cut to 16 bits", _BOTH,
           lambda a, m, s: (min(max(a, -(1 << 15)), (1 << 15) - 1) * m + (1 << (s - 1))) >> s),
    _whole("multiplier_of_24_bits", "the factor is kept in 24 bits", "requantize_exact", _with_24_bits),
    _whole("float32_product", "scaled in float32, which holds 24 bits of the accumulator", "requantize_exact",
           _float32_product),
    _whole("clamp_then_zero_point", "clamped before the zero point is added, then cast to int8", _BOTH, _clamped_first),
    _whole("zero_point_scaled", "the zero point is added to the accumulator", _BOTH, _scaled_zero_point),
)  # fmt: skip
