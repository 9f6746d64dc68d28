"""Properties of ``quantize`` and ``dequantize``, and of the two in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import properties
from ..quantizer import Quantizer
from .rounding import ideal_codes, real_ends

__all__ = [
    "as_given",
    "bounded_error",
    "channels",
    "clamp",
    "codes_in_range",
    "codes_kept",
    "elementwise",
    "fake_quantize",
    "idempotent",
    "monotone",
    "rounding",
    "scale_equivariant",
    "symmetric",
    "zero_exact",
]


def as_given(q: Quantizer, x: np.ndarray) -> np.ndarray:
    """Values with the channels last, put where the quantizer expects them; the same moves its answers back."""
    if q.per_channel and q.axis == 0 and x.ndim == 2:
        return np.ascontiguousarray(x.T)
    return x


def _codes(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> np.ndarray:
    return as_given(q, np.asarray(q.quantize(as_given(q, x), scale, zero_point)))


def _reals(q: Quantizer, codes: np.ndarray, scale: Any, zero_point: Any) -> np.ndarray:
    return as_given(q, np.asarray(q.dequantize(as_given(q, codes), scale, zero_point)))


def _pair(q: Quantizer, scale: Any, zero_point: Any):
    return (lambda x: _codes(q, x, scale, zero_point)), (lambda c: _reals(q, c, scale, zero_point))


def zero_exact(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    quantize, dequantize = _pair(q, scale, zero_point)
    properties.keeps_zero(quantize, dequantize, x.shape)
    codes = quantize(np.zeros_like(x))
    assert (codes == zero_point).all(), f"0 has code {codes.reshape(-1)[0]}, the zero point is {zero_point}"


def codes_in_range(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    properties.stays_within(_pair(q, scale, zero_point)[0], x, q.qmin, q.qmax)


def clamp(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    low, high = real_ends(q, scale, zero_point)
    margin = np.asarray(scale) * (0.5 + q.slack)
    properties.clamps(_pair(q, scale, zero_point)[0], x, low - margin, high + margin, q.qmin, q.qmax)


def monotone(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    properties.is_monotone(_pair(q, scale, zero_point)[0], x)


def bounded_error(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    properties.error_within(*_pair(q, scale, zero_point), x, np.asarray(scale) * (0.5 + q.slack))


def rounding(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    got = _codes(q, x, scale, zero_point)
    wanted = np.clip(ideal_codes(q, x, scale, zero_point), q.qmin, q.qmax)
    wrong = got != wanted
    assert not wrong.any(), (
        f"code {got[wrong][0]} where {q.rounding} ({q.zero_point_added.replace('_', ' ')} the zero point is added) "
        f"gives {int(wanted[wrong][0])}, value {x[wrong][0]!r}"
    )


def idempotent(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    properties.is_idempotent(*_pair(q, scale, zero_point), x)


def codes_kept(q: Quantizer, codes: np.ndarray, scale: Any, zero_point: Any) -> None:
    properties.keeps_codes(*_pair(q, scale, zero_point), codes)


def symmetric(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    if q.qparams is not None:
        ends = (np.asarray(x, np.float64).min(axis=0), np.asarray(x, np.float64).max(axis=0))
        chosen = np.asarray(q.qparams(*(ends if q.per_channel else map(float, ends)))[1])
        assert (chosen == q.center).all(), f"zero point {chosen} for range {ends[0]} .. {ends[1]}, not {q.center}"
    steps = np.asarray(x, np.float64) / scale
    mirrored = np.abs(steps) <= q.qmax - q.center  # the lowest code has no partner
    if q.rounding == "half_up" or (q.center and q.rounding == "half_away"):
        mirrored &= steps % 1 != 0.5  # such a rounding is not symmetric itself
    here, there = (_codes(q, values, scale, zero_point).astype(np.int64) - zero_point for values in (x, -x))
    wrong = mirrored & (here != -there)
    assert not wrong.any(), f"x is {here[wrong][0]} steps and -x {there[wrong][0]}, value {x[wrong][0]!r}"


def scale_equivariant(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any, power: int) -> None:
    factor = 2.0**power
    larger, tiny = (x.astype(np.float64) * factor).astype(np.float32), np.finfo(np.float32).tiny
    exact = (np.minimum(np.abs(larger), np.abs(x)) >= tiny) & np.isfinite(larger)  # others become 0
    x, larger = np.where(exact, x, np.float32(0)), np.where(exact, larger, np.float32(0))
    here, there = _codes(q, x, scale, zero_point), _codes(q, larger, scale * factor, zero_point)
    wrong = here != there
    assert not wrong.any(), (
        f"code {here[wrong][0]} becomes {there[wrong][0]} with value and scale times {factor}, value {x[wrong][0]!r}"
    )
    before = np.asarray(_reals(q, here, scale, zero_point), np.float64) * factor
    after = np.asarray(_reals(q, here, scale * factor, zero_point), np.float64)
    assert np.array_equal(before, after), f"reals {before} became {after} with the scale times {factor}"


def elementwise(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    given = as_given(q, x).copy()
    whole = _codes(q, x, scale, zero_point)
    q.quantize(given, scale, zero_point)
    assert np.array_equal(given, as_given(q, x)), f"quantize changed its input {as_given(q, x)} to {given}"
    alone = np.concatenate([_codes(q, x[i : i + 1], scale, zero_point) for i in range(len(x))])
    assert np.array_equal(whole, alone), f"codes {whole} of all values, but {alone} of each one alone"
    back = _codes(q, x[::-1], scale, zero_point)[::-1]
    assert np.array_equal(whole, back), f"codes {whole}, but {back} from a reversed view of the same values"
    empty = _codes(q, x[:0], scale, zero_point)
    assert empty.shape == x[:0].shape, f"no values gave codes of shape {empty.shape}"


def channels(q: Quantizer, x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray) -> None:
    codes = _codes(q, x, scale, zero_point)
    reals = _reals(q, codes, scale, zero_point)
    for j in range(x.shape[1]):
        one = (slice(None), slice(j, j + 1))
        alone = _codes(q, x[one], scale[j : j + 1], zero_point[j : j + 1])
        assert np.array_equal(codes[one], alone), f"channel {j} has codes {codes[one].T[0]}, alone {alone.T[0]}"
        alone = _reals(q, codes[one], scale[j : j + 1], zero_point[j : j + 1])
        assert np.array_equal(reals[one], alone), f"channel {j} has reals {reals[one].T[0]}, alone {alone.T[0]}"


def fake_quantize(q: Quantizer, x: np.ndarray, scale: Any, zero_point: Any) -> None:
    fake = np.asarray(as_given(q, np.asarray(q.fake_quantize(as_given(q, x), scale, zero_point))), np.float64)
    pair = np.asarray(_reals(q, _codes(q, x, scale, zero_point), scale, zero_point), np.float64)
    off = ~(np.abs(fake - pair) <= np.abs(pair) * 2.0 ** (2 - q.precision))
    assert not off.any(), f"{fake[off][0]!r}, but quantize and dequantize give {pair[off][0]!r}, value {x[off][0]!r}"
