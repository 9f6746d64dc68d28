"""A right quantizer in plain NumPy, and what a planted fault is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..quantizer import Quantizer

__all__ = ["Planted", "ends", "faulty", "right"]


@dataclass(frozen=True)
class Planted:
    """A quantizer with one fault.

    Attributes
    ----------
    name : str
    fault : str
        What is wrong, in a line.
    caught_by : tuple of str
        Properties that must fail. Others may: one mistake often breaks several.
    quantizer : Quantizer
    """

    name: str
    fault: str
    caught_by: tuple[str, ...]
    quantizer: Quantizer


def ends(bits: int = 8, *, signed: bool = True, narrow: bool = False) -> tuple[int, int]:
    """qmin and qmax."""
    low = -(1 << (bits - 1)) + int(narrow) if signed else 0
    return low, (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1


def right(name: str = "right", **changes: Any) -> Quantizer:
    """A quantizer without a fault, float32 throughout; ``changes`` replace callables and claims."""
    shape = {key: changes[key] for key in ("bits", "signed", "narrow") if key in changes}
    qmin, qmax = ends(**shape)
    symmetric = changes.get("symmetric", False)
    center = 0 if changes.get("signed", True) else 1 << (changes.get("bits", 8) - 1)

    def quantize(x, scale, zero_point):
        grid = np.rint(x * (1 / np.asarray(scale)).astype(np.float32) + np.asarray(zero_point).astype(np.float32))
        return np.clip(grid, qmin, qmax).astype(np.int32)

    def dequantize(q, scale, zero_point):
        return (np.asarray(q, np.int64) - zero_point).astype(np.float32) * np.asarray(scale, np.float32)

    def gradient(x, upstream, scale, zero_point):
        grid = np.rint(x * (1 / np.asarray(scale)).astype(np.float32) + np.asarray(zero_point).astype(np.float32))
        return np.where((grid >= qmin) & (grid <= qmax), upstream, 0)

    def qparams(low, high):
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        width = 2 * np.maximum(-low, high) if symmetric else high - low
        scale = np.where(width > 0, np.maximum(width / (qmax - qmin), 2.0**-23), 1.0).astype(np.float32).astype(float)
        free = np.clip(qmin - np.rint(low / scale), qmin, qmax)
        return scale, (np.full(scale.shape, center) if symmetric else free).astype(np.int64)

    def requantize(acc, factor, zero_point):
        exact = (a * Fraction(factor) + Fraction(1, 2) for a in acc.tolist())
        codes = [min(max(value.numerator // value.denominator + zero_point, qmin), qmax) for value in exact]
        return np.array(codes, np.int32)

    parts: dict[str, Any] = {
        "quantize": quantize, "dequantize": dequantize, "gradient": gradient, "gradient_rule": "clip",
        "qparams": qparams, "requantize": requantize,
    }  # fmt: skip
    return Quantizer(name=name, **(parts | changes))


def faulty(name: str, fault: str, caught_by: str | tuple[str, ...]) -> Callable[[Callable[[], dict]], Planted]:
    """Decorator: a function that returns the changes to `right` becomes a `Planted`."""

    def plant(changes: Callable[[], dict]) -> Planted:
        names = (caught_by,) if isinstance(caught_by, str) else caught_by
        return Planted(name, fault, names, right(name, **changes()))

    return plant
