"""Requantization prepared for 32-bit lanes: fewer steps, and where they are proven to give the reference's integers.

The reference takes every stage as ``t = sat32(((x * m + 2**(s - 1)) >> s) + b)``. With ``r = (x * m) >> (s - 1)``,
exact in 64 bits, nested floors of integers give

    ((x * m + 2**(s - 1)) >> s) + b  =  (r + 1 + 2 * b) >> 1,

and a following stage whose factor is a power of two, ``2**-g`` (the guard bits that convert puts between a channel
factor and the code), merges:

    ((((r + c) >> h) + 2**(g - 1)) >> g) + b'  =  (r + c + 2**(h + g - 1) + (b' << (h + g))) >> (h + g).

The output's zero point merges like a bias. So most requantizations are one multiplication, one addition and one shift
a lane. They are right where r and the sum fit 32 bits, for then no stage saturates either; :meth:`Fold.safe_rows`
says for which rows of a graph that is certain. The others (hubs) take the reference's steps, one number at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fold", "FoldedStage"]

_LIMIT = float(2**31) * (1 - 1e-6)  # leaves room for the rounding of the bounds themselves


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
    """

    kind: str
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    constant: NDArray[np.int64]
    right: int = 0

    def merge(self, down: int, bias: NDArray[np.int64]) -> None:
        """Take in ``((. + 2**(down - 1)) >> down) + bias``."""
        total = self.right + down
        half = 1 << (total - 1) if down else 0
        self.constant = self.constant + half + (bias << total)
        self.right = total


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
            if bias.shape[0] != 1:
                self.usable = False  # a bias for each row: no program has one
            flat_bias, down = bias[0].astype(np.int64), _power_of_two(multiplier, shift)
            if down is not None:
                if not self.folded:
                    self.folded.append(_unchanged())
                # A bias of up to 2**60 reaches beyond int64 here; then nothing fits 32 bits either.
                if self.folded[-1].right + down > 31 or np.abs(flat_bias).max(initial=0) >= 1 << 31:
                    self.usable = False
                    return
                self.folded[-1].merge(down, flat_bias)
                continue
            if np.abs(flat_bias).max(initial=0) >= 1 << 31 or multiplier.shape != shift.shape:
                self.usable = False
                return
            kind = "channel" if multiplier.shape[1] > 1 else "row"
            stage = FoldedStage(kind, multiplier.ravel(), shift.ravel() - 1, 1 + 2 * flat_bias, 1)
            self.folded.append(stage)
        if not self.folded:
            self.folded = [_unchanged()] if self.zero_point else []
        if self.folded:
            self.folded[-1].merge(0, np.array([self.zero_point], np.int64))

    def safe_rows(self, magnitude: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Rows whose inputs, at most ``magnitude`` (R,) or (1,) large, stay within 32 bits all the way."""
        safe = np.full(len(magnitude), self.usable)
        if not self.usable:
            return safe
        for stage in self.folded:
            if stage.kind == "none":
                product = magnitude
            else:
                factor = np.abs(np.ldexp(stage.multiplier.astype(np.float64), -stage.shift))
                product = magnitude * (factor if stage.kind == "row" else factor.max(initial=0.0)) + 1.0
            total = product + float(np.abs(stage.constant).max(initial=0))
            safe = safe & (product < _LIMIT) & (total < _LIMIT)
            magnitude = total / 2.0**stage.right + 1.0
        return safe


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
