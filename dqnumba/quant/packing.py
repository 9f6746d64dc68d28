"""Codes of 2 to 4 bits, two a byte.

A row of C codes takes ``ceil(C / 2)`` bytes: the even channel in the low nibble, the odd one above it, both
as two's complement. An odd C leaves one pad nibble in each row; it is 0 and never counted.
"""

from __future__ import annotations

import numpy as np

from dqnumba.errors import ConfigError

__all__ = ["pack4", "packed_width", "unpack4"]


def packed_width(channels: int) -> int:
    """Bytes in a packed row."""
    return (channels + 1) // 2


def pack4(codes: np.ndarray) -> np.ndarray:
    """Pack signed codes of up to 4 bits.

    Parameters
    ----------
    codes : integer array (..., C)
        Values in -8 .. 7 (stored codes: an unsigned site is stored minus its offset).

    Returns
    -------
    uint8 array (..., ceil(C / 2)).

    Raises
    ------
    ConfigError
        If a code needs more than 4 bits or the array has no axis.
    """
    codes = np.asarray(codes)
    if codes.ndim == 0:
        raise ConfigError("pack4 packs along the last axis: give an array with at least one axis")
    if codes.size and (codes.min() < -8 or codes.max() > 7):
        raise ConfigError(f"codes from {codes.min()} to {codes.max()} do not fit 4 bits: allowed are -8 .. 7")
    channels = codes.shape[-1]
    nibbles = np.zeros((*codes.shape[:-1], 2 * packed_width(channels)), dtype=np.uint8)
    nibbles[..., :channels] = codes.astype(np.int8).view(np.uint8) & 15
    return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)


def unpack4(packed: np.ndarray, channels: int) -> np.ndarray:
    """Inverse of :func:`pack4`.

    Parameters
    ----------
    packed : uint8 array (..., ceil(channels / 2))
    channels : int
        Number of codes in a row; the width of the packed array alone leaves its parity open.

    Returns
    -------
    int8 array (..., channels), values in -8 .. 7.

    Raises
    ------
    ConfigError
        If the width does not fit ``channels``.
    """
    packed = np.asarray(packed, dtype=np.uint8)
    if packed.ndim == 0 or packed.shape[-1] != packed_width(channels):
        raise ConfigError(
            f"{channels} channels need rows of {packed_width(channels)} bytes, got shape {packed.shape}"
        )
    nibbles = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), dtype=np.uint8)
    nibbles[..., 0::2] = packed & 15
    nibbles[..., 1::2] = packed >> 4
    # Moving the sign bit to 8 and subtracting it extends the sign: 0..7 stay, 8..15 become -8..-1.
    return ((nibbles[..., :channels] ^ 8).astype(np.int8)) - np.int8(8)
