"""Multipliers in the notation of TensorFlow Lite, and the two documented roundings, for parity with other programs.

There a factor is a 31-bit fraction and a left shift, ``M = q31 * 2**(exponent - 31)``; our pair has ``s = 31
- exponent``. The integer program of this library never uses these functions: they let golden vectors of
gemmlowp, ruy and TensorFlow Lite be checked, and show where double rounding differs (always by 1, up to 12 %
of all inputs when M is a power of two).
"""

from __future__ import annotations

import numpy as np

from dqnumba.errors import ConfigError
from dqnumba.quant.fixed_point import INT32_MAX, INT32_MIN, quantize_multiplier, round_shift

__all__ = ["quantize_multiplier_q31", "requantize_gemmlowp", "requantize_single"]


def quantize_multiplier_q31(factor: float) -> tuple[int, int]:
    """(q31, exponent) of ``QuantizeMultiplier``: ``factor = q31 * 2**(exponent - 31)``; (0, 0) below ``2**-32``.

    Parameters
    ----------
    factor : float
        ``0 <= factor < 2**30``.
    """
    if factor < 0:
        raise ConfigError(f"the q31 form has no sign, got factor {factor!r}: use quantize_multiplier")
    multiplier, shift = quantize_multiplier(factor)
    return (multiplier, 31 - shift) if multiplier else (0, 0)


def requantize_single(x: np.ndarray, q31: int, exponent: int) -> np.ndarray:
    """One rounding, ties toward plus infinity: ``(x * q31 + 2**(30 - e)) >> (31 - e)`` (ruy), saturated to int32."""
    return round_shift(x, q31, 31 - exponent)


def requantize_gemmlowp(x: np.ndarray, q31: int, exponent: int) -> np.ndarray:
    """Two roundings: saturating rounding doubling high multiply, then rounding divide by a power of two.

    Parameters
    ----------
    x : integer array, values of int32
        As in the original, a left shift (``exponent > 0``) comes first and must not leave int32.
    q31, exponent : int
        From :func:`quantize_multiplier_q31`.

    Returns
    -------
    int64 array with values of int32.
    """
    shifted = np.asarray(x, dtype=np.int64) << max(exponent, 0)
    return _rounding_divide(_doubling_high_multiply(shifted, q31), max(-exponent, 0))


def _doubling_high_multiply(a: np.ndarray, b: int) -> np.ndarray:
    """``a * b / 2**31`` to nearest, ties toward plus infinity: what the two nudges and the truncation of the original
    come to for products of either sign.
    """
    high = (a * b + (1 << 30)) >> 31
    return np.where((a == INT32_MIN) & (b == INT32_MIN), INT32_MAX, high)


def _rounding_divide(x: np.ndarray, exponent: int) -> np.ndarray:
    """``x / 2**exponent`` to nearest, ties away from zero."""
    remainder = x & ((1 << exponent) - 1)
    threshold = ((1 << exponent) - 1 >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)
