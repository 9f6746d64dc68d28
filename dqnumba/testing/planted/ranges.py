"""Faults in the way from an observed range to scale and zero point."""

from __future__ import annotations

import numpy as np

from .base import Planted, ends, faulty

__all__ = ["FAULTS"]

_LOW, _HIGH = ends()
_FLOOR = 2.0**-23


def _plant(name: str, fault: str, caught_by: str | tuple[str, ...], rule, **claims) -> Planted:
    return faulty(name, fault, caught_by)(lambda: {"qparams": rule, **claims})


def _floored(width, steps=_HIGH - _LOW):
    scale = max(width / steps, _FLOOR) if width > 0 else 1.0
    return float(np.float32(scale))


def _zero_point(low, scale):
    return int(np.clip(_LOW - np.rint(low / scale), _LOW, _HIGH))


def _with_zero(low, high):
    return min(low, 0.0), max(high, 0.0)


def _range_without_zero(low, high):
    scale = _floored(high - low)
    return scale, _zero_point(low, scale)


def _float_zero_point(low, high):
    low, high = _with_zero(low, high)
    scale = _floored(high - low)
    return scale, _LOW - low / scale


def _all_levels(low, high):
    low, high = _with_zero(low, high)
    scale = _floored(high - low, 256)
    return scale, _zero_point(low, scale)


def _half_scale(low, high):
    low, high = _with_zero(low, high)
    with np.errstate(over="ignore"):
        scale = float(np.float16(_floored(high - low)))
    return scale, _zero_point(low, scale) if 0 < scale < np.inf else 0


def _rounded_twice(low, high):
    low, high = _with_zero(low, high)
    scale = _floored(high - low)
    kept = np.rint(low / scale * 2) / 2  # written to a file in halves, then rounded again
    return scale, int(np.clip(_LOW - np.rint(kept), _LOW, _HIGH))


def _zero_width(low, high):
    low, high = _with_zero(low, high)
    scale = (high - low) / (_HIGH - _LOW)
    return scale, _zero_point(low, scale) if scale > 0 else 0


def _negative_zero_width(low, high):
    if low == high:  # before the range is widened to hold 0
        return 1.0, 0
    low, high = _with_zero(low, high)
    scale = _floored(high - low)
    return scale, _zero_point(low, scale)


def _unclipped_zero_point(low, high):
    scale = _floored(max(high - low, 0.0))
    return scale, int(_LOW - np.rint(low / scale))


def _zero_point_sign(low, high):
    low, high = _with_zero(low, high)
    scale = _floored(high - low)
    return scale, int(np.clip(np.rint(low / scale) - _LOW, _LOW, _HIGH))


def _one_side(low, high):
    return _floored(2 * max(high, 0.0)), 0


def _wide(low, high):
    """The scale of a symmetric range beside the zero point of an asymmetric one."""
    low, high = _with_zero(low, high)
    scale = _floored(2 * max(-low, high))
    return scale, _zero_point(low, scale)


def _offset(low, high):
    low, high = _with_zero(low, high)
    scale = _floored(2 * max(-low, high))
    return scale, int(np.rint((low + high) / 2 / scale))


def _fixed_center(low, high):
    """As the official code does: 128, whatever the number of bits is."""
    low, high = _with_zero(low, high)
    return _floored(2 * max(-low, high), 15), 128


FAULTS = (
    _plant("range_without_zero", "the range is not widened to hold 0", "range_covered", _range_without_zero),
    _plant("float_zero_point", "the zero point is not rounded: 0 has no code", "qparams_valid", _float_zero_point),
    _plant("levels_for_steps", "width / 2**bits instead of width / (2**bits - 1)", "range_covered", _all_levels),
    _plant("half_scale", "the scale is kept in float16", ("qparams_valid", "range_tight"), _half_scale),
    _plant("zero_point_rounded_twice", "the zero point is rounded to halves, then to an integer", "range_covered",
           _rounded_twice),
    _plant("zero_width", "a range of width 0 gives scale 0", "qparams_valid", _zero_width),
    _plant("width_before_zero", "a constant tensor counts as width 0 although it is not 0", "range_covered",
           _negative_zero_width),
    _plant("zero_point_unclipped", "the zero point leaves the codes", "qparams_valid", _unclipped_zero_point),
    _plant("zero_point_sign", "the zero point has the wrong sign", "range_covered", _zero_point_sign),
    _plant("only_the_maximum", "symmetric, but the scale comes from the maximum alone", "range_covered", _one_side,
           symmetric=True, narrow=True),
    _plant("wide_scale", "a symmetric scale for an asymmetric range: a bit is lost", "range_tight", _wide),
    _plant("symmetric_with_offset", "symmetric is claimed, the zero point is the middle of the range", "symmetric",
           _offset, symmetric=True, narrow=True),
    _plant("center_of_8_bits", "symmetric and unsigned with 4 bits, the zero point is 128",
           ("qparams_valid", "symmetric"), _fixed_center, symmetric=True, signed=False, bits=4),
)  # fmt: skip
