"""Order statistics near the two ends of a float32 matrix, in one pass that hardly ever leaves vector code.

What a percentile observer asks for at every step is the thousandth of the smallest and of the largest values. A sample
says about where they begin; one pass counts what lies beyond those two borders and collects it; a small partition
finds the ranks in it. The result is exact: where the sample has misled, so that a rank is not among what was
collected, there is none, and the caller takes the slower way.

Elements stand as order-preserving int32 images, see ``select``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from ._jit import kernel
from ._twin import twin

__all__ = ["tail_keys"]

_SAMPLE = 1 << 13
_WIDTHS = (64, 32)  # elements that are tested together, where they divide a row
_DEEPEST = 16  # ranks within this part of the whole are near an end


def tail_keys(
    bits: np.ndarray, protected: np.ndarray, row_weight: np.ndarray, k_low: int, k_high: int, total: int, chunks: int
) -> tuple[int, int] | None:
    """Images of the ``k_low``-th and the ``k_high``-th smallest of ``total`` elements.

    Parameters
    ----------
    bits : int32 (N, C)
        Bit patterns.
    protected : bool (N,) or (0,)
    row_weight : int64 (N,) or (0,)
        How often a row counts.
    k_low, k_high : int
        From 1 to ``total``, the number of elements that count.
    chunks : int
        Parts that the work is dealt in.

    Returns
    -------
    tuple of int, or None where a rank is not near its end or the sample did not do
    """
    depth = k_low, total - k_high + 1
    if max(depth) > total // _DEEPEST:
        return None
    keys, weights = np.empty(_SAMPLE, np.int32), np.empty(_SAMPLE, np.int64)
    kept = _draw(bits, protected, row_weight, keys, weights)
    if kept < _SAMPLE // 8:
        return None
    keys, weights = keys[:kept], weights[:kept]
    if row_weight.size:
        order = np.argsort(keys)
        keys, reached = keys[order], np.cumsum(weights[order])
    else:
        keys.sort()
        reached = np.arange(1, kept + 1)
    # Beyond a border lies the share that is looked for, and four standard deviations of a sample's count of it.
    share = [d * kept / total for d in depth]
    share = [(s + 4 * math.sqrt(s) + 4) / kept * reached[-1] for s in share]
    low, high = np.searchsorted(reached, (share[0], reached[-1] - share[1]))
    if low > high:
        return None
    limit = int(2 * max(share) / reached[-1] * bits.size / chunks) + 4096
    found, often = np.empty((chunks, 2, limit), np.int32), np.empty((chunks, 2, limit), np.int64)
    often = often if row_weight.size else often[:, :, :0]
    tally = np.zeros((chunks, 2, 3), np.int64)
    width = next((w for w in _WIDTHS if bits.shape[1] % w == 0), bits.shape[1])
    groups = bits.reshape(len(bits), bits.shape[1] // width, width)
    _collect(groups, protected, row_weight, keys[low], keys[high], found, often, tally)
    if tally[:, :, 0].max() > limit:
        return None
    result = []
    for side, (border, rank) in enumerate(zip((keys[low], keys[high]), depth, strict=True)):
        beyond, equal = tally[:, side, 1].sum(), tally[:, side, 2].sum()
        if rank > beyond + equal:
            return None
        if rank > beyond:
            result.append(int(border))
            continue
        parts = [(found[c, side, :n], often[c, side, :n]) for c, n in enumerate(tally[:, side, 0])]
        values = np.concatenate([part[0] for part in parts])
        if row_weight.size:
            repeated = np.concatenate([part[1] for part in parts])
            order = np.argsort(values)[:: -1 if side else 1]
            result.append(int(values[order[np.searchsorted(np.cumsum(repeated[order]), rank)]]))
        else:
            place = rank - 1 if side == 0 else values.size - rank
            result.append(int(np.partition(values, place)[place]))
    return result[0], result[1]


@kernel
def _image(pattern):
    """Order-preserving image of a bit pattern, int32."""
    return np.int32(pattern ^ ((pattern >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@kernel
def _draw(bits, protected, row_weight, keys, weights):
    """Fill ``keys`` with images spread evenly over the matrix and ``weights`` with how often they count.

    Returns how many there are: those that do not count are left out.
    """
    rows, channels = bits.shape
    kept = 0
    places = keys.size // 4
    for s in range(places):
        i = s * rows // places
        weight = row_weight[i] if row_weight.size > 0 else 1
        if weight == 0 or (protected.size > 0 and protected[i]):
            continue
        for part in range(4):  # of one cache line, which costs more to fetch than all the rest
            keys[kept] = _image(bits[i, (s * 19 + part * 4) % channels])
            weights[kept] = weight
            kept += 1
    return kept


@twin(lambda groups, protected, row_weight, low, high, found, often, tally: groups.size)
def _collect(groups, protected, row_weight, low, high, found, often, tally):
    """Collect the images below ``low`` and above ``high``, and count those equal to one of the two.

    ``groups`` int32 (N, G, W); ``found`` and ``often`` (chunks, 2, limit): images and how often each counts (the latter
    of size 0 where each counts once); ``tally`` (chunks, 2, 3), zeros: how many were met, how often they count, and
    how often the border itself.
    """
    chunks, limit = found.shape[0], found.shape[2]
    rows, parts = groups.shape[:2]
    for chunk in prange(chunks):
        below, above = np.int64(0), np.int64(0)
        weight_below, weight_above, equal_low, equal_high = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for i in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
            if protected.size > 0 and protected[i]:
                continue
            weight = row_weight[i] if row_weight.size > 0 else np.int64(1)
            for g in range(parts):
                group = groups[i, g]
                least, most = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
                for j in range(group.size):
                    key = _image(group[j])
                    least = min(least, key)
                    most = max(most, key)
                if least > low and most < high:
                    continue
                at_low, at_high = np.int32(0), np.int32(0)
                for j in range(group.size):
                    key = _image(group[j])
                    at_low = np.int32(at_low + np.int32(key == low))
                    at_high = np.int32(at_high + np.int32(key == high))
                equal_low += weight * at_low
                equal_high += weight * at_high
                if least >= low and most <= high:
                    continue
                for j in range(group.size):
                    key = _image(group[j])
                    if key < low:
                        if below < limit:
                            found[chunk, 0, below] = key
                            if often.size > 0:
                                often[chunk, 0, below] = weight
                        below += 1
                        weight_below += weight
                    elif key > high:
                        if above < limit:
                            found[chunk, 1, above] = key
                            if often.size > 0:
                                often[chunk, 1, above] = weight
                        above += 1
                        weight_above += weight
        tally[chunk, 0, 0], tally[chunk, 0, 1], tally[chunk, 0, 2] = below, weight_below, equal_low
        tally[chunk, 1, 0], tally[chunk, 1, 1], tally[chunk, 1, 2] = above, weight_above, equal_high
