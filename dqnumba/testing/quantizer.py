"""A quantizer as its callables and what it claims; the claims say which properties it is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError

__all__ = ["GRADIENT_RULES", "ROUNDINGS", "Quantizer"]

ROUNDINGS = ("half_even", "half_up", "half_away")
GRADIENT_RULES = ("ste", "clip", "clip_inclusive", "range")
_ADDED = ("before_rounding", "after_rounding")


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantizer:
    """``real = scale * (code - zero_point)``: callables, and what they promise.

    Only ``quantize`` and ``dequantize`` are needed; each further callable adds the properties that speak of it. The
    callables get float32 values ``x`` of shape (N,), or (N, C) with ``per_channel``; ``scale`` and ``zero_point`` are a
    float and an int, or arrays (C,) of float64 and int64; a scale is always exactly a float32 value.

    Parameters
    ----------
    name : str
        For the report.
    quantize : callable (x, scale, zero_point) -> integer codes of x's shape
    dequantize : callable (codes, scale, zero_point) -> real values of the codes' shape
    fake_quantize : callable (x, scale, zero_point) -> real values, optional
        Both in one call.
    gradient : callable (x, upstream, scale, zero_point) -> array of x's shape, optional
        Gradient with respect to x, given the one of the result. Needs ``gradient_rule``.
    qparams : callable (low, high) -> (scale, zero_point), optional
        The parameters for values seen between low and high; floats, or arrays (C,).
    requantize : callable (acc, factor, zero_point) -> integer codes, optional
        ``factor * acc`` as codes; acc int32 (N,), factor a float, zero_point an int.
    bits, signed, narrow : int, bool, bool
        The codes: ``-2**(bits - 1) .. 2**(bits - 1) - 1`` or ``0 .. 2**bits - 1``; narrow leaves the lowest signed one
        out. 2 to 16 bits.
    symmetric : bool
        The zero point is fixed, to 0 or, of unsigned codes, to ``2**(bits - 1)``, and ``-x`` has the mirrored code.
    rounding : {"half_even", "half_up", "half_away"}
        Where a value in the middle between two codes goes.
    zero_point_added : {"before_rounding", "after_rounding"}
        ``round(x / scale + zero_point)`` (Degree-Quant) or ``round(x / scale) + zero_point`` (PyTorch, ONNX): with an
        odd zero point, ties differ.
    per_channel : bool
        One scale for each index of ``axis``.
    axis : int
        Where the callables expect the channels: -1 or 0.
    gradient_rule : {"ste", "clip", "clip_inclusive", "range"}, optional
        Where the gradient passes: everywhere; where the rounded code is within qmin .. qmax before clamping; strictly
        within; where x itself is between the reals of the end codes.
    requantize_rounding : one of ``rounding``
        Of ``requantize``.
    multiplier_bits : int
        ``requantize`` is exact for factors whose mantissa has so many bits, within ``2**-multiplier_bits`` for others.
    max_factor : float
        Largest factor that ``requantize`` takes.
    precision : int
        Bits of the significand of the float arithmetic inside: 24 for float32. The error bounds follow from it.
    min_scale : float
        Scale that ``qparams`` does not go below, however narrow the range is.
    max_steps : float
        Values further than so many steps from 0 are not promised anything, and not drawn.
    infinities : bool
        Whether infinities go to the end codes. NaN is never drawn.
    fixed : (scale, zero_point), optional
        The only parameters that the callables know; see :meth:`with_fixed_parameters`.

    Raises
    ------
    ConfigError
        If the claims contradict each other.
    """

    name: str
    quantize: Callable[..., Any]
    dequantize: Callable[..., Any]
    fake_quantize: Callable[..., Any] | None = None
    gradient: Callable[..., Any] | None = None
    qparams: Callable[..., Any] | None = None
    requantize: Callable[..., Any] | None = None
    bits: int = 8
    signed: bool = True
    narrow: bool = False
    symmetric: bool = False
    rounding: str = "half_even"
    zero_point_added: str = "before_rounding"
    per_channel: bool = False
    axis: int = -1
    gradient_rule: str | None = None
    requantize_rounding: str = "half_up"
    multiplier_bits: int = 31
    max_factor: float = 1024.0
    precision: int = 24
    min_scale: float = 2.0**-23
    max_steps: float = np.inf
    infinities: bool = True
    fixed: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        self._need(2 <= self.bits <= 16, f"bits={self.bits}; allowed are 2 to 16")
        self._need(self.signed or not self.narrow, "narrow=True needs signed=True: there is no lowest negative code")
        for name, allowed in (
            ("rounding", ROUNDINGS), ("requantize_rounding", ROUNDINGS), ("zero_point_added", _ADDED),
            ("axis", (-1, 0)), ("gradient_rule", (None, *GRADIENT_RULES)),
        ):  # fmt: skip
            value = getattr(self, name)
            self._need(value in allowed, f"{name}={value!r}; allowed are {', '.join(map(repr, allowed))}")
        self._need((self.gradient is None) == (self.gradient_rule is None), "give gradient with gradient_rule")
        self._need(self.precision >= self.bits + 2, f"precision={self.precision} cannot tell {self.bits}-bit codes")
        self._need(not (self.fixed and self.per_channel), "fixed parameters are those of one tensor: per_channel=False")

    def _need(self, condition: object, what: str) -> None:
        if not condition:
            raise ConfigError(f"quantizer {self.name!r}: {what}")

    @property
    def qmin(self) -> int:
        """Lowest code."""
        return -(1 << (self.bits - 1)) + int(self.narrow) if self.signed else 0

    @property
    def qmax(self) -> int:
        """Highest code."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def center(self) -> int:
        """The zero point of a symmetric quantizer."""
        return 0 if self.signed else 1 << (self.bits - 1)

    @property
    def slack(self) -> float:
        """What the float arithmetic may add to an error, in steps: a few roundings of numbers below 2**bits."""
        return 2.0 ** (self.bits + 3 - self.precision)

    @classmethod
    def with_fixed_parameters(
        cls,
        name: str,
        quantize: Callable[[np.ndarray], Any],
        dequantize: Callable[[np.ndarray], Any],
        *,
        scale: float,
        zero_point: int,
        **claims: Any,
    ) -> Quantizer:
        """A quantizer whose callables take nothing but their array; ``scale`` and ``zero_point`` say what is inside.

        Properties that need other parameters (scale equivariance) are left out, and the report says so.
        """
        return cls(
            name=name, quantize=lambda x, s, z: quantize(x), dequantize=lambda q, s, z: dequantize(q),
            fixed=(float(np.float32(scale)), int(zero_point)), **claims,
        )  # fmt: skip

    @classmethod
    def from_fake_quantize(cls, name: str, fake_quantize: Callable[..., Any], **claims: Any) -> Quantizer:
        """A quantizer known only by ``fake_quantize(x, scale, zero_point)``: no codes come out, so they are read off.

        A code is ``rint(result / scale) + zero_point``; that the result itself lies on the grid is a property.
        """

        first = claims.get("per_channel", False) and claims.get("axis", -1) == 0

        def beside(scale, zero_point):
            return (np.reshape(scale, (-1, 1)), np.reshape(zero_point, (-1, 1))) if first else (scale, zero_point)

        def quantize(x, scale, zero_point):
            step, zero = beside(scale, zero_point)
            return np.rint(np.asarray(fake_quantize(x, scale, zero_point), np.float64) / step).astype(np.int64) + zero

        def dequantize(q, scale, zero_point):
            step, zero = beside(scale, zero_point)
            return (np.asarray(q, np.int64) - zero).astype(np.float32) * np.asarray(step, np.float32)

        return cls(name=name, quantize=quantize, dequantize=dequantize, fake_quantize=fake_quantize, **claims)
