"""Faults in rounding, clamping and the way back."""

from __future__ import annotations

import numpy as np

from .base import Planted, ends, faulty

__all__ = ["FAULTS"]

_LOW, _HIGH = ends()


def _grid(x, scale, zero_point):
    return x * np.float32(1 / scale) + np.float32(zero_point)


def _clipped(grid, low=_LOW, high=_HIGH):
    return np.clip(grid, low, high).astype(np.int32)


def _plant(name, fault, caught_by, quantize=None, **changes) -> Planted:
    if quantize is not None:
        changes["quantize"] = quantize
    return faulty(name, fault, caught_by)(lambda: changes)


def _half_away(value):
    return np.copysign(np.floor(np.abs(value) + np.float32(0.5)), value)


def _int_before_clip(x, scale, zero_point):
    with np.errstate(invalid="ignore"):
        return np.clip(np.rint(x / np.float32(scale)).astype(np.int32) + np.int32(zero_point), _LOW, _HIGH)


def _wraps(x, scale, zero_point):
    return np.clip(np.rint(_grid(x, scale, zero_point)), -(2.0**40), 2.0**40).astype(np.int64).astype(np.int8)


def _in_place(x, scale, zero_point):
    if x.flags.writeable:
        x *= np.float32(1 / scale)
        return _clipped(np.rint(x + np.float32(zero_point)))
    return _clipped(np.rint(_grid(x, scale, zero_point)))


def _own_scale(x, scale, zero_point):
    seen = np.abs(x[np.isfinite(x)]).max(initial=0.0) / 127
    return _clipped(np.rint(_grid(x, min(float(seen) or scale, scale), zero_point)))


def _stochastic():
    rng = np.random.default_rng(0)

    def quantize(x, scale, zero_point):
        grid = np.clip(_grid(x, scale, zero_point), _LOW, _HIGH)
        return np.clip(np.floor(grid + rng.random(grid.shape)), _LOW, _HIGH).astype(np.int32)

    return quantize


def _narrow_difference(q, scale, zero_point):
    with np.errstate(over="ignore"):
        return (q.astype(np.int8) - np.int8(zero_point)).astype(np.float32) * np.float32(scale)


FAULTS = (
    _plant("floor", "floor instead of round", "bounded_error",
           lambda x, s, z: _clipped(np.floor(_grid(x, s, z)))),
    _plant("truncate", "a cast to int instead of round: toward zero", "bounded_error",
           lambda x, s, z: _clipped(np.trunc(x / np.float32(s)) + z)),
    _plant("half_up", "floor(x + 0.5) where half to even is claimed", "rounding",
           lambda x, s, z: _clipped(np.floor(_grid(x, s, z) + np.float32(0.5)))),
    _plant("half_away", "C's round() where half to even is claimed", "rounding",
           lambda x, s, z: _clipped(_half_away(_grid(x, s, z)))),
    _plant("zero_point_late", "rounded before the zero point is added, claimed after", "rounding",
           lambda x, s, z: _clipped(np.rint(x * np.float32(1 / s)) + z)),
    _plant("half_value", "values pass through float16 on the way", "bounded_error",
           lambda x, s, z: _clipped(np.rint(_grid(x.astype(np.float16).astype(np.float32), s, z)))),
    _plant("half_reciprocal", "1 / scale is rounded to float16", "bounded_error",
           lambda x, s, z: _clipped(np.rint(x * np.float32(np.float16(1 / s)) + np.float32(z)))),
    _plant("scale_plus_eps", "scale + 1e-8 against division by zero", "scale_equivariant",
           lambda x, s, z: _clipped(np.rint(x / np.float32(s + 1e-8) + np.float32(z)))),
    _plant("wraps", "a cast to int8 without a clamp", "clamp", _wraps),
    _plant("int_before_clip", "cast to int32 before the clamp: huge values overflow", "clamp", _int_before_clip),
    _plant("qmax_off_by_one", "clamped to 128", "codes_in_range",
           lambda x, s, z: _clipped(np.rint(_grid(x, s, z)), _LOW, _HIGH + 1)),
    _plant("asymmetric_clamp", "the lowest code is left out though narrow is not claimed", ("codes_kept", "clamp"),
           lambda x, s, z: _clipped(np.rint(_grid(x, s, z)), _LOW + 1, _HIGH)),
    _plant("narrow_ignored", "narrow is claimed, the lowest code appears all the same", "codes_in_range",
           lambda x, s, z: _clipped(np.rint(_grid(x, s, z))), narrow=True, symmetric=True),
    _plant("clamp_before_zero_point", "clamped before the zero point is added", "codes_in_range",
           lambda x, s, z: _clipped(np.rint(x * np.float32(1 / s))) + z),
    _plant("unsigned_as_signed", "unsigned codes clamped to -128 .. 127", "codes_in_range",
           lambda x, s, z: _clipped(np.rint(_grid(x, s, z))), signed=False),
    _plant("bound_left_in", "values are cut at 6, as after a ReLU6 that is not there", "clamp",
           lambda x, s, z: _clipped(np.rint(_grid(np.minimum(x, np.float32(6)), s, z)))),
    _plant("in_place", "the input is scaled in place", "elementwise", _in_place),
    _plant("own_scale", "the scale is taken anew from each batch", "elementwise", _own_scale),
    _plant("stochastic", "stochastic rounding left on", "elementwise", _stochastic()),
    _plant("clamp_swapped", "the clamp's ends are swapped: everything is one code", "codes_kept",
           lambda x, s, z: np.minimum(np.maximum(np.rint(_grid(x, s, z)), _HIGH), _LOW).astype(np.int32)),
    _plant("zero_point_added", "scale * (q + zero_point) on the way back", ("zero_exact", "bounded_error"),
           dequantize=lambda q, s, z: (q + z).astype(np.float32) * np.float32(s)),
    _plant("int8_difference", "q - zero_point in int8 wraps on the way back", ("bounded_error", "idempotent"),
           dequantize=_narrow_difference),
    _plant("float_codes", "codes come back as floats", "codes_in_range",
           lambda x, s, z: np.clip(np.rint(_grid(x, s, z)), _LOW, _HIGH)),
    _plant("fused_clips_reals", "the fused form clips the reals and forgets to round", "fake_quantize",
           fake_quantize=lambda x, s, z: np.clip(x, (_LOW - z) * np.float32(s), (_HIGH - z) * np.float32(s))),
)  # fmt: skip
