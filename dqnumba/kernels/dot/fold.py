"""Requantization prepared for 32-bit lanes: fewer steps, and where they are proven to give the reference's integers.

The reference takes every stage as ``t = sat32(((x * m + 2**(s - 1)) >> s) + b)``. With ``r = (x * m) >> (s - 1)``,
exact in 64 bits, nested floors of integers give

    ((x * m + 2**(s - 1)) >> s) + b  =  (r + 1 + 2 * b) >> 1,

and a following stage whose factor is a power of two, ``2**-g`` (the guard bits that convert puts between a channel
factor and the code), merges:

    ((((r + c) >> h) + 2**(g - 1)) >> g) + b'  =  (r + c + 2**(h + g - 1) + (b' << (h + g))) >> (h + g).

The output's zero point merges like a bias. Last, only the upper half of the 64-bit product is needed: with
``a = (s - 1) - 32`` and ``high(p) = p >> 32``,

    (r + c) >> h  =  (high(x * m) + (c << a)) >> (h + a)          where a >= 0,
    r             =  high((x << -a) * m)                          where a < 0.

So most requantizations are one multiplication, one addition and one shift a lane. They are right where every step fits
32 bits, for then no stage saturates either; :meth:`Fold.safe_rows` says for which rows of a graph that is certain. The
others (hubs) take the reference's steps in 64-bit lanes, :mod:`.exact_stage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fold", "FoldedStage", "Own"]

_LIMIT = float(2**31) * (1 - 1e-6)  # leaves room for the rounding of the bounds themselves
_NEVER = np.inf


class Own(NamedTuple):
    """What joins the sum before it is rounded: ``sum * 2**left + weight * (code - zero)``.

    A node's own codes beside the sum over its neighbours; or of kind "int32" the other half of a sum beyond 32 bits.
    """

    place: tuple[int, int, bool]
    kind: str
    zero: int
    weight: int
    left: int


@dataclass
class FoldedStage:
    """``x -> (((x * multiplier) >> shift) + constant) >> right``.

    Attributes
    ----------
    kind : str
        ``"row"`` (one multiplier, or one a row), ``"channel"``, or ``"none"`` without a multiplication.
    multiplier, shift : int64 arrays (R,), (1,) or (C,)
    constant : int64 (C,) or (1,)
    right : int
    left, down : int64 arrays, as ``multiplier``
        Shift of x to the left before the multiplication; shift of the constant to the left, and further shift of the
        sum to the right.
    earlier : list of (float, int)
        Largest constant, and ``right``, before each merge: that intermediate result must not saturate either, and
        constants that cancel hide it.
    """

    kind: str
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    constant: NDArray[np.int64]
    right: int = 0
    earlier: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # At once: before Python 3.12 a cached property holds a lock, which a process forked meanwhile never gets.
        self.left = np.where(self.multiplier == 0, 0, np.maximum(32 - self.shift, 0))
        self.down = np.where(self.multiplier == 0, 0, np.maximum(self.shift - 32, 0))

    def merge(self, down: int, bias: NDArray[np.int64]) -> None:
        """Take in ``((. + 2**(down - 1)) >> down) + bias``."""
        self.earlier.append((_largest(self.constant), self.right))
        total = self.right + down
        half = 1 << (total - 1) if down else 0
        self.constant = self.constant + half + (bias << total)
        self.right = total

    def reach(self, magnitude: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Largest number in a step, infinite if a shift is too far, and largest result, for each row."""
        constant = _largest(self.constant)
        if self.kind == "none":
            total = magnitude + constant
            return np.maximum(total, self._merged(magnitude)), total / 2.0**self.right + 1.0
        left, down = self.left, self.down
        far = (left > 31) | (down + self.right > 31)
        factor = np.ldexp(np.abs(self.multiplier).astype(np.float64), -32)
        if self.kind == "row":
            shifted = np.ldexp(magnitude, left)
            total = shifted * factor + 1.0 + np.ldexp(constant, down)
            merged = self._merged(np.ldexp(shifted * factor, -down) + 1.0)
            worst = np.where(far, _NEVER, np.maximum(np.maximum(shifted, total), merged))
            return worst, np.ldexp(total, -(down + self.right)) + 1.0
        # Channels: the largest of each part, over all of them.
        shifted = magnitude * 2.0 ** float(left.max(initial=0))
        constants = np.ldexp(np.abs(np.broadcast_to(self.constant, left.shape)).astype(np.float64), down)
        gain = np.ldexp(factor, left)
        total = magnitude[:, None] * gain.max(initial=0.0) + constants.max(initial=0.0) + 1.0
        product = magnitude * np.ldexp(gain, -down).max(initial=0.0) + 1.0
        worst = np.maximum(np.maximum(shifted, total[:, 0]), self._merged(product))
        return np.where(far.any(), _NEVER, worst), (product + constant) / 2.0**self.right + 1.0

    def _merged(self, product: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest result that the stages before a merge had, where their products reach ``product``."""
        found = [(product + constant) / 2.0**right + 1.0 for constant, right in self.earlier]
        return np.max(found, axis=0) if found else np.zeros_like(product)


@dataclass
class Fold:
    """A requantization in folded stages.

    Parameters
    ----------
    stages : sequence of (multiplier, shift, bias)
        int64 tables as :func:`dqnumba.kernels.reference.requantize` takes them: (1, 1), (1, C) or (R, 1).
    zero_point : int
        Of the output.
    """

    stages: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]
    zero_point: int
    folded: list[FoldedStage] = field(default_factory=list)
    usable: bool = True

    def __post_init__(self) -> None:
        for multiplier, shift, bias in self.stages:
            if bias.shape[0] != 1 or multiplier.shape != shift.shape or np.abs(bias).max(initial=0) >= 1 << 31:
                self.usable = False
                return
            down = _power_of_two(multiplier, shift)
            if down is None:
                if multiplier.max(initial=0) >= 1 << 31:  # no number of 32 bits with a sign
                    self.usable = False
                    return
                kind = "channel" if multiplier.shape[1] > 1 else "row"
                self.folded.append(FoldedStage(kind, multiplier.ravel(), shift.ravel() - 1, 1 + 2 * bias[0], 1))
                continue
            if not self.folded:
                self.folded.append(_unchanged())
            if self.folded[-1].right + down > 31:
                self.usable = False
                return
            self.folded[-1].merge(down, bias[0])
        if not self.folded and self.zero_point:
            self.folded.append(_unchanged())
        if self.folded:
            self.folded[-1].merge(0, np.array([self.zero_point], np.int64))

    def safe_rows(self, magnitude: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Rows whose inputs, at most ``magnitude`` (R,) or (1,) large, stay within 32 bits all the way."""
        safe = np.full(len(magnitude), self.usable)
        if self.usable:
            for stage in self.folded:
                worst, magnitude = stage.reach(magnitude)
                safe = safe & (worst < _LIMIT)
        return safe


def _largest(values: NDArray[np.int64]) -> float:
    return float(np.abs(values).max(initial=0))


def _unchanged() -> FoldedStage:
    return FoldedStage("none", *(np.zeros(1, np.int64) for _ in range(3)))


def _power_of_two(multiplier: NDArray[np.int64], shift: NDArray[np.int64]) -> int | None:
    """g where the stage is ``2**-g`` with g >= 0, else None."""
    if multiplier.size != 1 or shift.size != 1:
        return None
    m, s = int(multiplier.ravel()[0]), int(shift.ravel()[0])
    if m <= 0 or m & (m - 1):
        return None
    down = s - (m.bit_length() - 1)
    return down if down >= 0 else None
