"""Fake quantization for training: quantize and dequantize in float32, and remember where the gradient passes.

All arithmetic is float32 in the order of ``((clip(rint(x * inverse + zero_point), qmin, qmax)) - zero_point) *
scale``, with ``inverse`` = float32(1 / scale) given by the caller, rounding half to even. Without fast-math no
product is fused into a sum, so the bits are those of the same expression in NumPy.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ._jit import kernel
from ._twin import twin

__all__ = [
    "RULE_CLIP",
    "RULE_CLIP_INCLUSIVE",
    "RULE_STE",
    "fake_quantize",
    "fake_quantize_channels",
    "fake_quantize_in_place",
    "masked_gradient",
]

RULE_STE = 0
"""The gradient passes everywhere."""
RULE_CLIP = 1
"""It passes where qmin <= q <= qmax before clipping: the end codes pass."""
RULE_CLIP_INCLUSIVE = 2
"""It passes where qmin < q < qmax: the end codes get none, as in the official code."""


@kernel
def _passes(q, qmin, qmax, rule):
    """Whether the gradient passes an element of unclipped code q."""
    if rule == RULE_STE:
        return np.uint8(1)
    if rule == RULE_CLIP:
        return np.uint8((q >= qmin) & (q <= qmax))
    return np.uint8((q > qmin) & (q < qmax))


@twin(lambda x, scale, inverse, zero_point, qmin, qmax, protected, out, passed, rule: x.size)
def fake_quantize(x, scale, inverse, zero_point, qmin, qmax, protected, out, passed, rule):
    """Fake quantization with one scale.

    Parameters
    ----------
    x : float32 (N, C)
    scale, inverse, zero_point, qmin, qmax : float32
    protected : bool (N,), or (0,) if no row is
        Protected rows pass through unchanged, and so does their gradient.
    out : float32 (N, C), overwritten
    passed : uint8 (N, C), or (0, 0) if no gradient is wanted
        1 where the gradient passes, by ``rule``.
    rule : int
        `RULE_STE`, `RULE_CLIP` or `RULE_CLIP_INCLUSIVE`.
    """
    channels = x.shape[1]
    for i in prange(x.shape[0]):
        if protected.size > 0 and protected[i]:
            for j in range(channels):
                out[i, j] = x[i, j]
            if passed.size > 0:
                for j in range(channels):
                    passed[i, j] = 1
            continue
        for j in range(channels):
            q = np.rint(x[i, j] * inverse + zero_point)
            out[i, j] = ((qmin if q < qmin else (qmax if q > qmax else q)) - zero_point) * scale
        if passed.size > 0:
            for j in range(channels):
                passed[i, j] = _passes(np.rint(x[i, j] * inverse + zero_point), qmin, qmax, rule)


@twin(lambda scale, inverse, zero_point, qmin, qmax, protected, rule, positive, x, passed: x.size)
def fake_quantize_in_place(scale, inverse, zero_point, qmin, qmax, protected, rule, positive, x, passed):
    """`fake_quantize` of ``x`` into itself; ``passed`` is wanted.

    With ``positive`` (0 or 1), ``x`` is what a ReLU gave, and ``passed`` counts for both: it is 0 too where x is not
    above zero.
    """
    strict = np.float32(rule == RULE_CLIP_INCLUSIVE)  # codes are whole numbers: above qmin is from qmin + 1 on
    low, high, always = qmin + strict, qmax - strict, np.uint8(rule == RULE_STE)
    for i in prange(x.shape[0]):
        row, here = x[i], passed[i]
        if protected.size > 0 and protected[i]:
            for j in range(row.size):
                here[j] = np.uint8(1) if positive == 0 else np.uint8(row[j] > np.float32(0))
        elif positive == 0:
            for j in range(row.size):
                q = np.rint(row[j] * inverse + zero_point)
                here[j] = always | np.uint8((q >= low) & (q <= high))
                row[j] = ((qmin if q < qmin else (qmax if q > qmax else q)) - zero_point) * scale
        else:
            for j in range(row.size):
                above = np.uint8(row[j] > np.float32(0))
                q = np.rint(row[j] * inverse + zero_point)
                here[j] = above & (always | np.uint8((q >= low) & (q <= high)))
                row[j] = ((qmin if q < qmin else (qmax if q > qmax else q)) - zero_point) * scale


@twin(lambda x, scale, inverse, zero_point, qmin, qmax, protected, out, passed, rule: x.size)
def fake_quantize_channels(x, scale, inverse, zero_point, qmin, qmax, protected, out, passed, rule):
    """`fake_quantize` with ``scale``, ``inverse`` and ``zero_point`` float32 (C,), one for each column."""
    channels = x.shape[1]
    for i in prange(x.shape[0]):
        if protected.size > 0 and protected[i]:
            for j in range(channels):
                out[i, j] = x[i, j]
            if passed.size > 0:
                for j in range(channels):
                    passed[i, j] = 1
            continue
        for j in range(channels):
            q = np.rint(x[i, j] * inverse[j] + zero_point[j])
            out[i, j] = ((qmin if q < qmin else (qmax if q > qmax else q)) - zero_point[j]) * scale[j]
        if passed.size > 0:
            for j in range(channels):
                passed[i, j] = _passes(np.rint(x[i, j] * inverse[j] + zero_point[j]), qmin, qmax, rule)


@twin(lambda grad, passed, out: out.size)
def masked_gradient(grad, passed, out):
    """out = grad where ``passed`` (uint8) is 1, else 0. All flat, one length."""
    zero = out.dtype.type(0)
    for k in prange(grad.size):
        out[k] = grad[k] if passed[k] != 0 else zero
