"""Multiplying an integer by a real number with integers only.

A real factor M becomes a pair (m, s) with ``M = m * 2**-s`` and m of 31 bits. A product is then rounded once,

    round_shift(acc, m, s) = floor(acc * m / 2**s + 1/2) = (acc * m + 2**(s - 1)) >> s,        1 <= s <= 62,

ties toward plus infinity: the single rounding of ruy (google/ruy pull request 227). :func:`requantize` chains
up to a few such steps and is the normative definition for every backend. Two facts that callers rely on:

* ``m = 2**30, s = 30 + g`` divides by ``2**g``, rounding half up;
* ``m = 2**30, s = 30 - g`` multiplies by ``2**g`` exactly.

The forms of TensorFlow Lite and gemmlowp, kept for parity tests, stand in
:mod:`dqnumba.quant.fixed_point_q31`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dqnumba.errors import ConfigError

__all__ = ["INT32_MAX", "INT32_MIN", "MAX_SHIFT", "quantize_multiplier", "requantize", "round_shift"]

INT32_MIN = -(1 << 31)
INT32_MAX = (1 << 31) - 1
MAX_SHIFT = 62

Stage = tuple[np.ndarray | int, np.ndarray | int, np.ndarray | int | None]
"""(multiplier, shift, bias or None), broadcasting against the accumulators."""


def quantize_multiplier(factor: float | np.ndarray) -> tuple[int, int] | tuple[np.ndarray, np.ndarray]:
    """Integers (m, s) with ``factor = m * 2**-s`` up to a relative error of ``2**-31``.

    Parameters
    ----------
    factor : float or array
        Finite, ``|factor| < 2**30 (1 - 2**-32)``. A negative factor gives a negative m (batch norm's gamma
        may be negative).

    Returns
    -------
    m, s : ints for a scalar, int64 arrays of the shape of ``factor`` for an array
        ``2**30 <= |m| < 2**31`` and ``1 <= s <= 62``. A factor that rounds below ``2**-32`` gives (0, 1).

    Raises
    ------
    ConfigError
        If the factor is not finite or too large.

    Notes
    -----
    ``|m|`` is rounded half away from zero, as ``QuantizeMultiplier`` of TensorFlow Lite does.
    """
    values = np.asarray(factor, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ConfigError(f"a multiplier must be finite, got {factor!r}: check the scales it was made from")
    mantissa, exponent = _mantissa_exponent(values)
    shift = 31 - exponent
    if (shift < 1).any():
        raise ConfigError(
            f"multiplier {np.abs(values).max()!r} is too large: factors must stay below 2**30; "
            "the output scale is far too small for the input scales"
        )
    tiny = shift > MAX_SHIFT
    multiplier = np.where(tiny, 0, np.where(values < 0, -mantissa, mantissa))
    shift = np.where(tiny, 1, shift)
    return (int(multiplier), int(shift)) if values.ndim == 0 else (multiplier, shift)


def _mantissa_exponent(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``|values| = mantissa * 2**(exponent - 31)`` with ``2**30 <= mantissa < 2**31``; zero gives exponent -1000."""
    fraction, exponent = np.frexp(np.abs(values))
    mantissa = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    exponent = exponent.astype(np.int64)
    carried = mantissa == 1 << 31
    mantissa, exponent = np.where(carried, 1 << 30, mantissa), np.where(carried, exponent + 1, exponent)
    return mantissa, np.where(mantissa == 0, -1000, exponent)


def round_shift(acc: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """``saturate32((acc * multiplier + 2**(shift - 1)) >> shift)``, exact for every int64 input.

    Parameters
    ----------
    acc : integer array
    multiplier, shift : int64 arrays or ints broadcasting against acc, ``1 <= shift <= 62``.

    Returns
    -------
    int64 array with values of int32.
    """
    return _saturate32(_exact_round_shift(np.asarray(acc), np.asarray(multiplier), np.asarray(shift)))


def requantize(
    acc: np.ndarray,
    stages: Sequence[Stage],
    *,
    zero_in: int = 0,
    zero_point: int,
    low: int,
    high: int,
) -> np.ndarray:
    """Integers of one scale to codes of another. Normative: all backends give these bits.

    With ``t = acc - zero_in``, each stage sets ``t = saturate32(floor(t * m / 2**s + 1/2) + bias)``, the sum
    before the saturation being exact. The result is ``clip(t + zero_point, low, high)``, in 64 bits; the
    caller narrows it.

    Parameters
    ----------
    acc : integer array (N, C), int8 to int64
    stages : sequence of (multiplier, shift, bias)
        Multiplier and shift int64, shapes (1, 1), (1, C) or (N, 1); bias the same or None, in units of the
        stage's result.
    zero_in : int
        Zero point of acc (0 for accumulators).
    zero_point, low, high : int
        Of the output codes.

    Returns
    -------
    int64 array (N, C).
    """
    value = np.asarray(acc).astype(np.int64) - zero_in
    for multiplier, shift, bias in stages:
        value = _exact_round_shift(value, np.asarray(multiplier), np.asarray(shift))
        if bias is not None:
            value = value + np.asarray(bias)
        value = _saturate32(value)
    return np.clip(value + zero_point, low, high)


def _exact_round_shift(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """int64 where the product cannot leave 63 bits, else Python integers in an object array."""
    if shift.size and (int(shift.min()) < 1 or int(shift.max()) > MAX_SHIFT):
        raise ConfigError(
            f"shifts must be from 1 to {MAX_SHIFT}, got {int(shift.min())} to {int(shift.max())}"
        )
    if not acc.size or not multiplier.size or not shift.size:
        return np.zeros(np.broadcast_shapes(acc.shape, multiplier.shape, shift.shape), dtype=np.int64)
    largest = _largest(acc) * _largest(multiplier) + (1 << (int(shift.max()) - 1))
    kind = np.int64 if largest < 1 << 63 else object
    acc, multiplier, shift = (array.astype(kind) for array in (acc, multiplier, shift))
    half = np.left_shift(np.ones_like(shift), shift - 1)
    return np.right_shift(acc * multiplier + half, shift)


def _largest(array: np.ndarray) -> int:
    return max(abs(int(array.min())), abs(int(array.max())))


def _saturate32(value: np.ndarray) -> np.ndarray:
    return np.clip(value, INT32_MIN, INT32_MAX).astype(np.int64)
