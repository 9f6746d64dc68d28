"""A requantization guessed in float32, and how far the guess can be off: where it is sure, no integer step is needed.

The folded stages of :mod:`.fold` are, for rows where no step leaves 32 bits, with ``M = m * 2**-(shift + right)`` and
``C = constant * 2**-right`` (nested floors of integers),

    a_k = t_(k-1) * M_k + C_k,    t_k = floor(a_k),    code = clamp(t_K),    low <= code <= high.

The guess takes the same line in float32 and floors once. With f, c the nearest floats,

    z_k = z_(k-1) * f_k + c_k,    c_k ~ C_k - 1/2 (k < K: the middle of what the floor takes),    c_K ~ C_K + E,

and ``code = clamp(floor(z_K))`` unless ``z_K - floor(z_K) < 2 E``. Then the 64 codes are taken in integers instead.

*Bound.* Let u = 2**-24 and ``|z_k - t_k| <= alpha_k + rho_k |t_k|``; the conversion of x gives alpha_0 = 0 and
rho_0 = u. As ``|t_(k-1) M_k| <= |a_k| + |C_k|`` and ``|a_k| <= |t_k| + 1``, the errors of f (u of the product), of the
product where it is rounded by itself (u), of c (u (|C| + 1)) and of the sum (u (|a| + 1)) add up to

    alpha_k = 1/2 + |M_k| alpha_(k-1) + (rho_(k-1) + 2 u) (|C_k| + 1) + u (|C_k| + 1) + 2 u,    rho_k = rho_(k-1) + 3 u,

up to factors of 1 + O(u), for which :data:`_SLACK` is there; at the last stage, against ``a_K`` itself, without the 1/2
of the floor. Let B = max(|low|, |high|) + 1 and E = alpha_K + rho_K B. The largest |M| and |C| of all rows and channels
make it one number.

*Inside*, ``|a_K| <= B``: the shift by E gives ``a_K <= z_K <= a_K + 2 E``. If z_K lies 2 E or more above its floor, so
does a_K lie above it: both have the same floor.

*Outside*, ``a_K > B``: ``z_K >= a_K + E - alpha_K - rho_K a_K >= B > high``, and its floor is clamped as that of a_K
is. ``a_K < -B``: ``z_K <= a_K + E + alpha_K + rho_K |a_K| <= 2 E - B < low``, since 2 E < 1. Safe rows
(:meth:`.fold.Fold.safe_rows`) end below ``2**31 (1 - 1e-6)``, and rho is smaller than that margin: floors fit 32 bits.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .fold import Fold, FoldedStage, Own

__all__ = ["Guess", "factors", "guess_of", "share_in_doubt"]

_U = 2.0**-24
_SLACK = 1 + 2.0**-10
_SAMPLES = 1 << 12  # a share of one in 512, which is much, are eight of them
_CODES = {"int4": 8, "int8": 128, "int16": 32768}


class Guess(NamedTuple):
    """Numbers of a guess.

    Attributes
    ----------
    error : float
        E.
    doubt : float32
        Guesses less than this above an integer are not trusted.
    constants : list of float64 (C,) or (1,)
        c of each stage, before it is rounded.
    gain : int
        The first stage's factors are times ``2**gain``.
    join : str
        How own codes are added: "sum", "scaled" by ``weight``, or empty without any.
    weight : float
    """

    error: float
    doubt: np.float32
    constants: list[NDArray[np.float64]]
    gain: int = 0
    join: str = ""
    weight: float = 0.0


def factors(stage: FoldedStage) -> NDArray[np.float64]:
    """M of a stage, as its multiplier (float64 holds them exactly)."""
    if stage.kind == "none":
        return np.array([2.0**-stage.right])
    return np.ldexp(stage.multiplier.astype(np.float64), -(stage.shift + stage.right))


def guess_of(fold: Fold, low: int, high: int, own: Own | None = None) -> Guess | None:
    """The guess of a requantization, or None where there is none: own codes before a stage that differs by row, halves
    of a sum, or a graph without a row."""
    if not fold.usable or not fold.folded or not all(len(stage.multiplier) for stage in fold.folded):
        return None
    scale = [factors(stage) for stage in fold.folded]
    constants = [np.ldexp(stage.constant.astype(np.float64), -stage.right) for stage in fold.folded]
    alpha, rho, found = 0.0, _U, Guess(0.0, np.float32(0), [])
    if own:
        by_row = fold.folded[0].kind == "row" and len(scale[0]) > 1
        if by_row or own.kind not in _CODES or abs(own.weight) >= 1 << 24:
            return None
        # With t_0 = sum * 2**left + weight * (code - zero), the line begins at sum + code * weight * 2**-left.
        weight = np.ldexp(float(own.weight), -own.left)
        constants[0] = constants[0] - own.zero * own.weight * scale[0]
        scale[0] = np.ldexp(scale[0], own.left)
        whole = weight == 1 and (own.left > 0 or own.kind != "int16")  # then sum + code fits 32 bits
        found = found._replace(gain=own.left, join="sum" if whole else "scaled", weight=weight)
        if not whole:
            # |sum| and the result are |t_0| and |code * weight| at most, in units of 2**left.
            alpha, rho = 2 * _U * _CODES[own.kind] * abs(weight) * _SLACK, 2 * _U * _SLACK
    for k, (factor, constant) in enumerate(zip(scale, constants, strict=True)):
        reach, last = float(np.abs(constant).max()), k == len(scale) - 1
        alpha = np.abs(factor).max() * alpha + (rho + 2 * _U) * (reach + 1) + _U * (reach + 1) + 2 * _U
        alpha, rho = (alpha + (0.0 if last else 0.5)) * _SLACK, (rho + 3 * _U) * _SLACK
    error = float(alpha + rho * (max(abs(low), abs(high)) + 1)) * _SLACK
    constants = [c - 0.5 for c in constants[:-1]] + [constants[-1] + error]
    return found._replace(error=error, doubt=np.float32(2 * error * _SLACK), constants=constants)


def share_in_doubt(fold: Fold, guess: Guess, low: int, high: int, own: Own | None = None) -> float:
    """Share of the sums that a guess is in doubt about, estimated over sums whose codes fill the range.

    About 2 E, but where a factor is a simple fraction: of rows divided by six, every sixth sum lies at a tie.
    """
    rng = np.random.default_rng(0)
    rows = max([len(stage.multiplier) for stage in fold.folded if stage.kind == "row"], default=1)
    width = max(max(len(stage.constant), len(stage.multiplier) * (stage.kind == "channel")) for stage in fold.folded)
    row = np.linspace(0, rows - 1, min(rows, 32)).astype(np.int64)[:, None]
    channel = np.linspace(0, width - 1, min(width, 16)).astype(np.int64)[None]
    scale = [values[(channel if stage.kind == "channel" else row) % len(values)]
             for stage in fold.folded for values in [factors(stage)]]  # fmt: skip
    gain = np.broadcast_to(functools.reduce(np.multiply, scale), (row.size, channel.size))
    t = rng.uniform(-1, 1, (_SAMPLES // gain.size, *gain.shape)) * (high - low) / np.maximum(np.abs(gain), 2.0**-31)
    if own:
        t = np.ldexp(np.rint(np.ldexp(t, -own.left)), own.left) + own.weight * rng.integers(-128, 128, t.shape)
    for stage, factor in zip(fold.folded, scale, strict=True):
        constant = np.ldexp(stage.constant.astype(np.float64), -stage.right)
        t = np.floor(t) * factor + constant[channel % len(constant)]
    return float(((t + guess.error) % 1 < 2 * guess.error).mean())
