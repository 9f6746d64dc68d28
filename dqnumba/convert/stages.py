"""Stages of a requantization: factors and biases as integers, and how many guard bits they leave room for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError
from ..quant import quantize_multiplier

__all__ = ["GUARD_BITS", "MOST_GUARD_BITS", "ROW_GUARD_BITS", "collect", "guard_bits", "stage"]

#: Fraction bits of a code between two rounding steps, at most: the first step moves the result by 2**-17 of a code, so
#: that two steps and one differ in a few codes of a million. (With 8 bits it was one of 250, which a 4-bit GIN made
#: 2 % of its predictions.) With 20 bits, sums over a few neighbours would already leave the 32-bit lanes of the fast
#: kernels.
MOST_GUARD_BITS = 16
#: The same where a row factor below 1 follows: what saturated before it must still be beyond the clamp behind it.
GUARD_BITS = 14
#: The same where a row factor must be rounded before a channel factor, in units of the sum: hubs need the room.
ROW_GUARD_BITS = 14


#: Fewer guard bits than this are not worth the exactness of the largest sums: those saturate then, beyond the clamp.
_FEWEST = 10


def guard_bits(
    factor: NDArray[np.float64],
    offset: NDArray[np.float64] | None,
    most: int = GUARD_BITS,
    reach: NDArray[np.float64] | None = None,
) -> int:
    """``most``, or fewer where a factor or a bias (both in codes) would leave 30 bits with so many: a channel
    that batch norm blows up, a bias far larger than the weights. Negative where even the codes are too fine.

    With ``reach``, the largest sums before the factor, as few as keep every result within 29 bits, so that 32-bit lanes
    hold it with the bit that rounding needs; but not below 10 on its account.
    """
    largest = max(
        float(np.abs(factor).max(initial=0.0)), 0.0 if offset is None else float(np.abs(offset).max(initial=0.0))
    )
    bits = most if largest == 0.0 else min(most, 29 - int(np.ceil(np.log2(largest))))
    if reach is None:
        return bits
    worst = float((np.abs(factor) * reach + (0.0 if offset is None else np.abs(offset))).max(initial=0.0))
    return bits if worst == 0.0 else min(bits, max(_FEWEST, 28 - int(np.ceil(np.log2(worst)))))


def stage(factor: float, row: str | None = None, bias: bool = False) -> dict[str, Any]:
    """One stage with a scalar factor, as attributes."""
    multiplier, shift = quantize_multiplier(float(factor))
    return {"multiplier": multiplier, "shift": shift, "row_factor": row, "bias": bias}


def collect(stages: list[tuple[Any, str | None, NDArray | None]]) -> tuple[list[dict], dict[str, NDArray]]:
    """Stages (factor, row factor, bias in units of the result) as attributes and tensors of a requantize step."""
    attributes, tensors = [], {}
    for i, (factor, row, bias) in enumerate(stages):
        if np.ndim(factor):
            if row is not None:
                raise ConversionError(
                    "A row factor and a channel factor meet in one rounding; the lowering rules are wrong."
                )
            multipliers, shifts = quantize_multiplier(factor)
            attributes.append({"multiplier": None, "shift": None, "row_factor": None, "bias": bias is not None})
            tensors[f"multipliers{i}"], tensors[f"shifts{i}"] = multipliers.astype(np.int32), shifts.astype(np.int8)
        else:
            attributes.append(stage(float(factor), row, bias is not None))
        if bias is not None:
            # guard_bits left room for it: a clipped bias could not cancel against a sum any more.
            tensors[f"bias{i}"] = np.floor(bias + 0.5).astype(np.int32)
    return attributes, tensors
