"""Sums over rows that follow each other: the nodes of a graph in a batch."""

from __future__ import annotations

import numpy as np

from .gather import Place, sum_record
from .gather_vectors import column_blocks

__all__ = ["pool_sum_ops"]


def pool_sum_ops(
    *, out: Place, starts: int, stops: int, x: int, x_stride: int, channels: int, zero: int, bits: int = 8,
    room: int = 0,
) -> list[np.ndarray]:
    """Operations for ``out[g] = sum over rows starts[g] .. stops[g] of x - zero``.

    Parameters
    ----------
    out : place of int32 rows, stride a multiple of 64
    starts, stops : addresses of (G,) int64
    x : address of rows of ``x_stride`` bytes
    channels : int
    zero : int
    bits : 8 or 16
        Of the codes.
    room : 0 or RANGE
        Where x lives: third field of its place.
    """
    return [
        sum_record(lanes, bits, False, first, out=out, starts=starts, stops=stops, indices=0, x=x, x_stride=x_stride,
                   channels=channels, zero=zero, distance=0, room=room)
        for first, lanes in column_blocks(channels, 256 if bits == 8 else 128)
    ]  # fmt: skip
