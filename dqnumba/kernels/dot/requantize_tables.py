"""Folded stages as the tables that the kernels of :mod:`.requantize` read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .fold import FoldedStage
from .guess import factors

__all__ = ["channel_table", "guess_table", "padded", "row_table", "stage_kind"]


def stage_kind(stage: FoldedStage) -> str:
    """The kernel's kind of a folded stage: a row's stage knows which of its shifts are needed."""
    if stage.kind != "row":
        return stage.kind
    if len(stage.multiplier) == 1:
        return "tensor_left" if stage.left[0] else "tensor"
    left, down = stage.left.any(), stage.down.any()
    return "row" if left and down else "row_left" if left else "row_down"


def row_table(stage: FoldedStage, gain: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Entries of 32 bytes for each kind of row: multiplier, left, down, right, and the whole factor times ``2**gain``
    as float32; and the byte offset of each row's entry, nothing if there is one."""
    entries = np.zeros((len(stage.multiplier), 8), np.int32)
    entries[:, :4] = np.stack([stage.multiplier, stage.left, stage.down, stage.right + stage.down], axis=1)
    entries[:, 4] = np.ldexp(factors(stage), gain).astype(np.float32).view(np.int32)
    if len(entries) == 1:
        return entries, np.zeros(0, np.int32)
    # Multiplier and shift tell rows apart; few differ, since they come from degrees.
    _, first, inverse = np.unique(stage.multiplier * 64 + stage.shift, return_index=True, return_inverse=True)
    return np.ascontiguousarray(entries[first]), (32 * inverse).astype(np.int32)


def channel_table(stage: FoldedStage, columns: int) -> NDArray[np.int32]:
    """For each vector of 16 channels: multipliers, those of the odd channels in the even lanes, left shifts, constants
    and right shifts; (vectors, 5, 16) int32."""
    m = padded(stage.multiplier).reshape(-1, 16)
    odd = np.zeros_like(m)
    odd[:, 0::2] = m[:, 1::2]
    constant = padded(np.broadcast_to(stage.constant, (columns,)) << stage.down).reshape(-1, 16)
    rows = [m, odd, padded(stage.left).reshape(-1, 16), constant, padded(stage.right + stage.down).reshape(-1, 16)]
    return np.ascontiguousarray(np.stack(rows, axis=1).astype(np.int32))


def guess_table(stage: FoldedStage, constant: NDArray[np.float64], columns: int, gain: int) -> NDArray[np.float32]:
    """A guessed stage's constants; for channels behind the factors of each vector of 16, (vectors, 2, 16) float32.

    Behind the last channel the constants lie between two integers, where a sum of zero is in no doubt.
    """
    constant = padded(np.broadcast_to(constant, (columns,)))
    constant[columns:] = 0.5
    if stage.kind != "channel":
        return constant.astype(np.float32)
    factor = padded(np.ldexp(factors(stage), gain))
    return np.ascontiguousarray(np.stack([factor.reshape(-1, 16), constant.reshape(-1, 16)], axis=1).astype(np.float32))


def padded(values: NDArray) -> NDArray:
    """Columns up to a multiple of 16, zeros behind."""
    width = -(-values.shape[-1] // 16) * 16
    out = np.zeros((*values.shape[:-1], width), values.dtype)
    out[..., : values.shape[-1]] = values
    return out
