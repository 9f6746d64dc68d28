"""Turning what a caller gives into an array, or saying why not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GraphError

__all__ = ["as_array", "integers", "rises"]


def as_array(value: ArrayLike, name: str) -> NDArray:
    """Return ``value`` as an array; ragged lists and masked entries are refused."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise GraphError(f"{name} is no rectangular array: its rows differ in length") from error
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise GraphError(f"{name} has masked entries, whose values are hidden; fill or drop them first")
    return array


def integers(value: ArrayLike, name: str) -> NDArray[np.int64]:
    """Return ``value`` as int64 (or int32 if it is), refusing anything but integers that fit."""
    array = as_array(value, name)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        remedy = "convert it with .astype(np.int64)" if array.dtype.kind in "fb" else (
            "number what it names first, with np.unique(values, return_inverse=True)[1]")
        raise GraphError(f"{name} has dtype {array.dtype}; it must hold integers: {remedy}")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise GraphError(f"{name} holds {array.max()}, which does not fit int64")
    # int32 is kept: an edge list of millions need not be doubled to be checked.
    return array if array.dtype in (np.int32, np.int64) else array.astype(np.int64)


def rises(pointer: NDArray[np.integer], first: int, last: int) -> bool:
    """Whether a row of integers begins with ``first``, never falls, and ends with ``last``.

    Neighbours are compared, not subtracted: the differences of 0, 2^63 - 1, -2^63, -1, 5 wrap around and are all
    positive, and what repeats or copies by them writes outside its memory.
    """
    if pointer.ndim != 1 or not len(pointer) or pointer[0] != first or pointer[-1] != last:
        return False
    return bool((pointer[1:] >= pointer[:-1]).all())
