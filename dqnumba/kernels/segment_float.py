"""Float sums and maxima over contiguous segments of rows: graph readout, and sums of messages in target order."""

from __future__ import annotations

from numba import prange

from ._jit import kernel
from ._twin import twin

__all__ = ["segment_add", "segment_max", "segment_spread", "segment_sum"]

_BLOCKS = 64


@kernel
def _first_segment(ptr, block, blocks):
    """First segment of ``block`` when segments + rows are dealt evenly over the blocks."""
    segments = ptr.size - 1
    share = (ptr[segments] + segments) * block // blocks
    low, high = 0, segments
    while low < high:
        middle = (low + high) // 2
        if ptr[middle] + middle < share:
            low = middle + 1
        else:
            high = middle
    return low


@twin(lambda ptr, x, out: x.size + out.size)
def segment_sum(ptr, x, out):
    """out[g] = sum of x[k] for ptr[g] <= k < ptr[g + 1]; an empty segment gives 0.

    Parameters
    ----------
    ptr : int64 (G + 1,)
    x : float (K, C)
    out : float (G, C), overwritten
    """
    channels = x.shape[1]
    for block in prange(_BLOCKS):
        for g in range(_first_segment(ptr, block, _BLOCKS), _first_segment(ptr, block + 1, _BLOCKS)):
            row = out[g]
            row[:] = 0
            for k in range(ptr[g], ptr[g + 1]):
                source = x[k]
                for j in range(channels):
                    row[j] += source[j]


@twin(lambda ptr, x, out: x.size + out.size)
def segment_add(ptr, x, out):
    """out[g] += x[k] for ptr[g] <= k < ptr[g + 1], in the order of k: `segment_sum` going on where another ended."""
    channels = x.shape[1]
    for block in prange(_BLOCKS):
        for g in range(_first_segment(ptr, block, _BLOCKS), _first_segment(ptr, block + 1, _BLOCKS)):
            row = out[g]
            for k in range(ptr[g], ptr[g + 1]):
                source = x[k]
                for j in range(channels):
                    row[j] += source[j]


@twin(lambda ptr, x, out: out.size)
def segment_spread(ptr, x, out):
    """out[k] = x[g] for every k of segment g: the transpose of `segment_sum`. ``x`` (G, C), ``out`` (K, C)."""
    channels = x.shape[1]
    for block in prange(_BLOCKS):
        for g in range(_first_segment(ptr, block, _BLOCKS), _first_segment(ptr, block + 1, _BLOCKS)):
            source = x[g]
            for k in range(ptr[g], ptr[g + 1]):
                row = out[k]
                for j in range(channels):
                    row[j] = source[j]


@twin(lambda ptr, x, out, argmax: x.size + out.size)
def segment_max(ptr, x, out, argmax):
    """Maximum of each segment and channel, and the first row that holds it.

    Parameters
    ----------
    ptr : int64 (G + 1,)
    x : float (K, C)
    out : float (G, C), overwritten; an empty segment gives 0. A NaN wins, so that a diverged model shows.
    argmax : int64 (G, C), overwritten; -1 for an empty segment
    """
    channels = x.shape[1]
    for block in prange(_BLOCKS):
        for g in range(_first_segment(ptr, block, _BLOCKS), _first_segment(ptr, block + 1, _BLOCKS)):
            start = ptr[g]
            if start == ptr[g + 1]:
                out[g, :] = 0
                argmax[g, :] = -1
                continue
            for j in range(channels):
                out[g, j] = x[start, j]
                argmax[g, j] = start
            for k in range(start + 1, ptr[g + 1]):
                for j in range(channels):
                    if x[k, j] > out[g, j] or (x[k, j] != x[k, j] and out[g, j] == out[g, j]):
                        out[g, j] = x[k, j]
                        argmax[g, j] = k
