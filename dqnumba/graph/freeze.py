"""Read-only arrays, without touching the caller's.

A graph is checked once, when it is built. That is worth something only if nobody can write to its arrays
afterwards, so what a graph keeps is either a copy or an array that was already impossible to write to. The
caller's array is never frozen in place: somebody else may still be filling it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["frozen", "own"]


def own(array: NDArray) -> NDArray:
    """Freeze an array which this library has just made itself, and return it. Never a caller's."""
    array.setflags(write=False)
    return array


def frozen(array: NDArray, dtype: DTypeLike) -> NDArray:
    """Return ``array`` as a C-contiguous, aligned, read-only array of ``dtype``, copied unless nobody can write to it.

    Shared without a copy: an array that is read-only down to the memory it stands on (so a large feature
    matrix is not doubled if its owner calls ``a.setflags(write=False)`` first, or if it comes from another
    graph).
    """
    out = np.ascontiguousarray(array, dtype=dtype)
    if out.ndim != np.ndim(array):  # ascontiguousarray turns a scalar into one dimension
        out = out.reshape(np.shape(array))
    if not out.flags.aligned:  # a view into the bytes of a file, say: kernels are compiled for aligned arrays
        out = out.copy()
    if not _unwritable(out):
        # A conversion has already made new memory; only an array that still is the caller's needs a copy.
        if np.may_share_memory(out, array):
            out = out.copy()
        out.setflags(write=False)
    return out


def _unwritable(array: NDArray) -> bool:
    """Tell whether neither ``array`` nor anything that owns its memory can be written to."""
    owner = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    return owner is None or isinstance(owner, bytes)
