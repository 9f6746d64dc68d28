"""The affine map between reals and codes: ``real = scale * (q - zero_point)``.

Everything is float32 with a stated order of operations and no fused multiply-add, so that every CPU gives the
same codes:

    q = clip(rint(float32(float32(x * float32(1 / scale)) + float32(zero_point))), qmin, qmax)

rint rounds half to even and comes after the zero point is added (official Degree-Quant code,
``dq/quantization.py``). With per-channel parameters the last axis of an array is the channel.
"""

from __future__ import annotations

import numpy as np

from dqnumba.quant.qparams import QParams
from dqnumba.quant.spec import QuantSpec

__all__ = ["dequantize", "fake_quantize", "from_storage", "quantize", "to_storage"]


def quantize(x: np.ndarray, qparams: QParams) -> np.ndarray:
    """Codes of real values.

    Parameters
    ----------
    x : array (...) or (..., C)
        Cast to float32. Must not hold NaN (callers at the boundary refuse it); infinities go to the end
        codes.
    qparams : QParams

    Returns
    -------
    int32 array of the shape of x, within ``qmin .. qmax``.
    """
    # Rounding 1 / scale to float64 and then to float32 equals the float32 quotient: 53 >= 2 * 24 + 2 bits.
    inverse = _float32(1.0 / qparams.scale)
    with np.errstate(over="ignore", under="ignore"):
        grid = np.asarray(x, dtype=np.float32) * inverse
        grid = np.rint(grid + _float32(qparams.zero_point))
    return np.clip(grid, np.float32(qparams.spec.qmin), np.float32(qparams.spec.qmax)).astype(np.int32)


def dequantize(q: np.ndarray, qparams: QParams) -> np.ndarray:
    """Reals of codes: ``float32(float32(q - zero_point) * float32(scale))``, one rounding for up to 24-bit differences.

    Parameters
    ----------
    q : integer array (...) or (..., C)
    qparams : QParams

    Returns
    -------
    float32 array of the shape of q.
    """
    steps = np.asarray(q, dtype=np.int64) - qparams.zero_point
    return np.asarray(_float32(steps) * _float32(qparams.scale))


def fake_quantize(x: np.ndarray, qparams: QParams) -> np.ndarray:
    """``dequantize(quantize(x))``: float32 values that the integer world can represent."""
    return dequantize(quantize(x, qparams), qparams)


def to_storage(q: np.ndarray, spec: QuantSpec) -> np.ndarray:
    """Codes as they lie in memory: ``q - storage_offset`` in int8 (up to 8 bits) or int16."""
    return (np.asarray(q, dtype=np.int64) - spec.storage_offset).astype(spec.storage_dtype)


def from_storage(stored: np.ndarray, spec: QuantSpec) -> np.ndarray:
    """Inverse of :func:`to_storage`, int32."""
    return np.asarray(stored, dtype=np.int32) + np.int32(spec.storage_offset)


def _float32(value: float | np.ndarray) -> np.ndarray:
    return np.asarray(value).astype(np.float32)
