"""From an observed range to a scale and a zero point.

The asymmetric rule is the one of the official Degree-Quant code (Tailor et al., ICLR 2021,
``dq/quantization.py``): the range is widened to contain 0, then

    scale = max((high - low) / (qmax - qmin), eps),    zero_point = qmin - rint(low / scale)

with rint to even and eps the spacing of float32 at 1. (There the zero point is also clipped to the codes; it is one
already, for the range contains 0 and fits its steps.) Scales are then rounded to float32, so that training
(float32 arrays) and the integer program (fixed-point multipliers made from the scale) start from the same
number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dqnumba.errors import ConfigError
from dqnumba.quant.spec import QuantSpec

__all__ = ["MAX_MAGNITUDE", "NEAR_DEAD", "SCALE_ABOVE", "SCALE_FLOOR", "QParams", "choose_qparams"]

SCALE_FLOOR = float(np.finfo(np.float32).eps)
"""Smallest scale of a tensor (2**-23), as in the official code."""

NEAR_DEAD = 2.0**-12
"""A channel's scale is at least this fraction of the largest one. An int32 bias at scale_in * scale_w fits then
also for a channel whose weights are almost all zero."""

MAX_MAGNITUDE = 2.0**126
"""Largest bound of a range: beyond it 1 / scale is subnormal in float32 and its product with a value inexact."""


SCALE_ABOVE = 2.0**-128
"""Every scale is larger: the float32 reciprocal of a smaller one is infinite, and its product with 0 is no number."""


@dataclass(frozen=True, eq=False)
class QParams:
    """Scale and zero point of one tensor: ``real = scale * (q - zero_point)``.

    Parameters
    ----------
    scale : float or float64 array (C,)
        Exactly a float32 value, and above 2**-128, so that its float32 reciprocal is finite.
    zero_point : int or int64 array (C,)
        The code of real 0; within ``spec.qmin .. spec.qmax``.
    spec : QuantSpec

    Raises
    ------
    ConfigError
        If a scale is not a finite float32 value above 2**-128, a zero point is no code, or the shapes do not fit.
    """

    scale: float | np.ndarray
    zero_point: int | np.ndarray
    spec: QuantSpec

    def __post_init__(self) -> None:
        scale = np.array(self.scale, dtype=np.float64)
        zero_point = np.array(self.zero_point)
        with np.errstate(over="ignore", under="ignore"):
            exact = np.isfinite(scale) & (scale > SCALE_ABOVE) & (scale.astype(np.float32) == scale)
        if not exact.all():
            raise ConfigError(f"scale must be finite, a float32 value and above 2**-128, got {self.scale!r}")
        if not np.issubdtype(zero_point.dtype, np.integer):
            raise ConfigError(f"zero_point must be a code, an integer; got {self.zero_point!r}")
        if ((zero_point < self.spec.qmin) | (zero_point > self.spec.qmax)).any():
            raise ConfigError(
                f"zero_point={self.zero_point!r} is outside the codes {self.spec.qmin} .. {self.spec.qmax}"
            )
        if scale.ndim > 1 or (scale.ndim == 1) != self.spec.per_channel:
            raise ConfigError(
                f"scale has shape {scale.shape}, but granularity={self.spec.granularity!r} needs "
                + ("one scale a channel, shape (C,)" if self.spec.per_channel else "a single number")
            )
        if zero_point.ndim and zero_point.shape != scale.shape:
            raise ConfigError(f"zero_point has shape {zero_point.shape}, but scale has shape {scale.shape}")
        if scale.ndim == 1:
            zero_point = np.full(scale.shape, zero_point, dtype=np.int64)
            scale.setflags(write=False)
            zero_point.setflags(write=False)
            object.__setattr__(self, "scale", scale)
            object.__setattr__(self, "zero_point", zero_point)
        else:
            object.__setattr__(self, "scale", float(scale))
            object.__setattr__(self, "zero_point", int(zero_point))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QParams):
            return NotImplemented
        return (
            self.spec == other.spec
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    __hash__ = None  # holds arrays

    @property
    def stored_zero_point(self) -> int | np.ndarray:
        """The zero point as kernels see it, in signed stored codes: ``zero_point - spec.storage_offset``."""
        return self.zero_point - self.spec.storage_offset

    @property
    def real_range(self) -> tuple[np.ndarray, np.ndarray]:
        """The reals of the lowest and the highest code, in float64."""
        scale, zero = np.asarray(self.scale), np.asarray(self.zero_point)
        return (self.spec.qmin - zero) * scale, (self.spec.qmax - zero) * scale


def choose_qparams(low: float | np.ndarray, high: float | np.ndarray, spec: QuantSpec) -> QParams:
    """Scale and zero point for values seen between ``low`` and ``high``.

    Parameters
    ----------
    low, high : float or array (C,)
        Observed range; scalars for ``per_tensor``, one entry a channel for ``per_channel``. Need not contain
        0.
    spec : QuantSpec

    Returns
    -------
    QParams
        Asymmetric: the rule at the head of this module. Symmetric: ``scale = 2 max(|low|, high) / (qmax -
        qmin)``, zero point 0 for signed codes and ``2**(bits - 1)`` for unsigned ones (the official code
        writes 128 whatever the bits are, which is no code at all with 4). A range of width 0 gives scale 1
        and, if asymmetric, zero point 0. Per channel, scales below ``NEAR_DEAD * max(scale)`` are raised to
        it, also those of channels of width 0 unless all are.

    Raises
    ------
    ConfigError
        For NaN, infinities, ``low > high``, bounds beyond 2**126, or shapes that do not fit the granularity.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    _check_range(low, high, spec)
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    steps = spec.qmax - spec.qmin
    flat = low == high
    width = 2.0 * np.maximum(-low, high) if spec.symmetric else high - low
    scale = width / steps
    if spec.per_channel:
        top = max(float(scale.max(initial=0.0)), SCALE_FLOOR)
        scale = np.maximum(scale, top * NEAR_DEAD)
        scale = np.ones_like(scale) if flat.all() else scale
    else:
        scale = np.where(flat, 1.0, np.maximum(scale, SCALE_FLOOR))
    if spec.symmetric:
        zero_point = np.full(scale.shape, spec.storage_offset)
    else:
        # From the float64 scale, as the official code does; rounding the scale first could move a tie.
        zero_point = np.where(flat, 0, spec.qmin - np.rint(low / scale)).astype(np.int64)
    return QParams(scale.astype(np.float32), zero_point, spec)


def _check_range(low: np.ndarray, high: np.ndarray, spec: QuantSpec) -> None:
    if low.shape != high.shape or low.ndim != int(spec.per_channel):
        needed = "arrays (C,)" if spec.per_channel else "two numbers"
        raise ConfigError(
            f"low and high have shapes {low.shape} and {high.shape}; granularity={spec.granularity!r} needs {needed}"
        )
    # A comparison with NaN is false, so this also catches it.
    valid = (np.abs(low) <= MAX_MAGNITUDE) & (np.abs(high) <= MAX_MAGNITUDE)
    if not valid.all():
        where = "" if valid.ndim == 0 else f" in channel {int(np.argmin(valid))}"
        raise ConfigError(
            f"range {low[~valid].flat[0]} .. {high[~valid].flat[0]}{where} is not usable: bounds must be "
            "finite and at most 2**126 in size; look for NaN, infinities or overflow in the data or the training run"
        )
    if (low > high).any():
        raise ConfigError(f"range has low {low} above high {high}: swap them")
