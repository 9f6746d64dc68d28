"""Named properties of an affine quantizer.

A quantizer is a pair of callables: ``quantize(x) -> codes`` (float array to integer array) and
``dequantize(codes) -> x``. Nothing else is assumed, so that quantizers of other libraries can be held to the
same list. Each property raises AssertionError with the first value that breaks it, and returns nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = [
    "Dequantize",
    "Quantize",
    "clamps",
    "error_within",
    "is_idempotent",
    "is_monotone",
    "keeps_codes",
    "keeps_zero",
    "stays_within",
]

Quantize = Callable[[np.ndarray], np.ndarray]
Dequantize = Callable[[np.ndarray], np.ndarray]


def keeps_zero(quantize: Quantize, dequantize: Dequantize, shape: tuple[int, ...] = (1,)) -> None:
    """Real 0, of either sign, has a code of its own: padding and missing neighbours cost no error."""
    for zero in (0.0, -0.0):
        back = dequantize(quantize(np.full(shape, zero, dtype=np.float32)))
        _hold(back == 0, "0 does not come back as exactly 0", back)


def stays_within(quantize: Quantize, x: np.ndarray, qmin: int, qmax: int) -> None:
    """Codes are integers between ``qmin`` and ``qmax``, whatever comes in."""
    codes = np.asarray(quantize(x))
    assert np.issubdtype(codes.dtype, np.integer), f"codes have type {codes.dtype}, not an integer type"
    assert codes.shape == np.shape(x), f"shape {np.shape(x)} became {codes.shape}"
    _hold((codes >= qmin) & (codes <= qmax), f"codes outside {qmin} .. {qmax}", x)


def clamps(quantize: Quantize, x: np.ndarray, low: np.ndarray, high: np.ndarray, qmin: int, qmax: int) -> None:
    """What lies below ``low`` gets the lowest code, and what lies above ``high`` the highest."""
    codes = np.asarray(quantize(x))
    _hold((codes == qmin) | (x >= low), f"values below {low} did not get code {qmin}", x)
    _hold((codes == qmax) | (x <= high), f"values above {high} did not get code {qmax}", x)


def error_within(quantize: Quantize, dequantize: Dequantize, x: np.ndarray, bound: np.ndarray) -> None:
    """``|dequantize(quantize(x)) - x| <= bound`` for every element; meant for x inside the range."""
    error = np.abs(np.asarray(dequantize(quantize(x)), dtype=np.float64) - np.asarray(x, dtype=np.float64))
    _hold(error <= bound, f"round trip error up to {error.max(initial=0.0)} where {np.max(bound)} is allowed", x)


def is_idempotent(quantize: Quantize, dequantize: Dequantize, x: np.ndarray) -> None:
    """Quantizing what was quantized changes nothing, bit for bit."""
    once = np.asarray(dequantize(quantize(x)))
    _hold(np.asarray(dequantize(quantize(once))) == once, "quantizing twice differs from once", x)


def keeps_codes(quantize: Quantize, dequantize: Dequantize, codes: np.ndarray) -> None:
    """Every code is the code of its own real value: none is wasted."""
    _hold(np.asarray(quantize(dequantize(codes))) == codes, "a code changes in dequantize and quantize", codes)


def is_monotone(quantize: Quantize, x: np.ndarray) -> None:
    """Larger values never get smaller codes; x is (N,) or (N, C), compared along its first axis."""
    x = np.sort(np.asarray(x), axis=0)
    codes = np.asarray(quantize(x)).astype(np.int64)
    _hold(np.diff(codes, axis=0) >= 0, "a larger value got a smaller code", x[1:])


def _hold(truth: np.ndarray, message: str, values: np.ndarray) -> None:
    truth = np.asarray(truth)
    if not truth.all():
        where = tuple(int(axis[0]) for axis in np.nonzero(~np.atleast_1d(truth)))
        value = np.broadcast_to(np.atleast_1d(values), np.atleast_1d(truth).shape)[where]
        raise AssertionError(f"{message}; first at index {where}, value {value!r}")
