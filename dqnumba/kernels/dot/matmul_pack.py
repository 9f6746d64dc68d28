"""Weights in the order in which the kernels of the int8 matrix product read them.

The K rows of a segment of the weights are padded with zeros to whole *steps*, its M columns to *vectors* of 16. A step
is what one load of activations takes: a tile of 16, 32 or 64 channels for AMX, a group of 4 otherwise (8 for 4-bit
weights). ``vectors`` vectors make a *panel*: the kernel goes through the steps of all segments of one panel before the
next. Within a step, the 4 channels of a group stand together, which is what the dot instructions want:

* ``amx``: [panel of 2 vectors][step][vector][group of the tile][16 columns][4 channels]; a last panel may have 1 vector
* ``avx512vnni``, ``avxvnni``, ``sdot``: [panel][group][vector][16 columns][4 channels]
* ``avx2``: the same with int16 weights, as pairs: [panel][group][vector][channels 0, 2 | channels 1, 3][16 columns][2]
* ``portable``: [panel][group][vector][4 channels][16 columns]

With 4 bits, two neighbouring groups share their bytes: the even one in the low nibbles, the odd one in the high ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

__all__ = ["LANES", "PackedWeights", "address", "aligned_zeros", "pack_weights"]

LANES = 16
"""Columns of a vector of weights."""

_ALIGNMENT = 64

_WIDEST = {"amx": 2, "avx512vnni": 4, "avxvnni": 1, "avx2": 1, "sdot": 1, "portable": 1}


def address(array: np.ndarray) -> int:
    """Address of the first element; twice as fast as ``array.ctypes.data``."""
    return array.__array_interface__["data"][0]


def aligned_zeros(shape: tuple[int, ...] | int, dtype: np.dtype | type) -> np.ndarray:
    """Zeros that begin at a multiple of 64 bytes."""
    shape = (shape,) if isinstance(shape, int) else shape
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.zeros(nbytes + _ALIGNMENT, np.uint8)
    start = -address(buffer) % _ALIGNMENT
    return buffer[start : start + nbytes].view(dtype).reshape(shape)


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """Weights of a matrix product in the order of one ISA's kernel.

    Attributes
    ----------
    isa : str
    bits : int
        8, or 4: two weights a byte in memory.
    segments : tuple of int
        Inner sizes: the product is the sum over segments of ``A_s @ W_s``.
    columns : int
    data : aligned int8 array
    column_sums : (columns,) int64
    step : int
        Channels that the kernel reads at once: rows of activations are read to a multiple of it.
    steps : tuple of int
        Steps of each segment.
    vectors : int
        Vectors of 16 columns in a panel.
    ready : dict
        Products that :func:`~dqnumba.kernels.dot.api_matmul.matmul_packed` has prepared, by layout of their arrays.
    """

    isa: str
    bits: int
    segments: tuple[int, ...]
    columns: int
    data: np.ndarray = field(repr=False)
    column_sums: np.ndarray = field(repr=False)
    step: int
    steps: tuple[int, ...]
    vectors: int
    ready: dict[tuple, list] = field(default_factory=dict, init=False, repr=False)

    @property
    def inner(self) -> int:
        """Rows of the weights, those of all segments."""
        return sum(self.segments)

    @property
    def nbytes(self) -> int:
        """Bytes that the kernel reads."""
        return self.data.nbytes

    @property
    def panels(self) -> int:
        """Panels of columns; the last may be narrower with AMX, and overlaps with the one before it otherwise."""
        return -(-self.column_vectors // self.vectors)

    @property
    def column_vectors(self) -> int:
        """Vectors of 16 columns."""
        return -(-self.columns // LANES)


def pack_weights(w: np.ndarray, *, isa: str, segments: tuple[int, ...] | None = None, bits: int = 8) -> PackedWeights:
    """Pack weights once for :func:`~dqnumba.kernels.dot.matmul.matmul_op`.

    Parameters
    ----------
    w : (K, M) int8
        With ``bits=4`` all in -8 .. 7. K and M at least 1.
    isa : str
        One of :data:`~dqnumba.kernels.dot.cpu.ISAS`.
    segments : tuple of 1 or 2 int, optional
        Inner sizes of the inputs, which add up to K; one segment by default.
    bits : {8, 4}
    """
    w = np.asarray(w)
    segments = (w.shape[0],) if segments is None else tuple(int(k) for k in segments)
    if w.ndim != 2 or w.dtype != np.int8 or 0 in w.shape or not 1 <= len(segments) <= 2 or min(segments) < 1:
        raise ValueError(f"weights must be a filled int8 matrix of 1 or 2 segments, not {w.dtype} {w.shape} {segments}")
    if sum(segments) != w.shape[0]:
        raise ValueError(f"segments {segments} do not add up to {w.shape[0]} rows of weights")
    if bits not in (8, 4) or (bits == 4 and (w.min() < -8 or w.max() > 7)):
        raise ValueError(f"weights from {w.min()} to {w.max()} do not fit {bits} bits: allowed are 8 and 4")
    vectors = panel_vectors(w.shape[1], isa)
    step = _amx_step(max(segments)) if isa == "amx" else 4 if bits == 8 else 8
    steps = tuple(-(-k // step) for k in segments)
    groups = _groups(w, segments, step, steps)
    ordered = _amx_order(groups, step // 4) if isa == "amx" else _panel_order(groups, isa, vectors)
    if bits == 4:
        ordered = _nibbles(ordered, 1 if isa == "amx" else vectors)
    elif isa == "avx2":
        ordered = ordered.astype(np.int16)
    data = aligned_zeros(ordered.nbytes, np.int8)
    data[:] = ordered.reshape(-1).view(np.int8)
    data.flags.writeable = False
    sums = w.sum(axis=0, dtype=np.int64)
    return PackedWeights(isa, bits, segments, w.shape[1], data, sums, step, steps, vectors)


def panel_vectors(columns: int, isa: str) -> int:
    """Vectors of a panel: as many as the ISA's registers hold, fewer where that computes fewer columns in vain."""
    count, widest = -(-columns // LANES), _WIDEST[isa]
    if isa == "amx":
        return widest
    return min(range(1, min(widest, count) + 1), key=lambda v: (-(-count // v) * v, -v))


def _amx_step(inner: int) -> int:
    return 16 if inner <= 16 else 32 if inner <= 32 else 64


def _groups(w: np.ndarray, segments: tuple[int, ...], step: int, steps: tuple[int, ...]) -> np.ndarray:
    """(groups, vectors, 16, 4): channels in fours beside each other, segments padded to whole steps."""
    vectors = -(-w.shape[1] // LANES)
    padded = np.zeros((sum(steps) * step, vectors * LANES), np.int8)
    row = source = 0
    for inner, count in zip(segments, steps, strict=True):
        padded[row : row + inner, : w.shape[1]] = w[source : source + inner]
        row, source = row + count * step, source + inner
    return padded.reshape(-1, 4, vectors, LANES).transpose(0, 2, 3, 1)


def _amx_order(groups: np.ndarray, tile: int) -> np.ndarray:
    vectors = groups.shape[1]
    tiles = groups.reshape(-1, tile, vectors, LANES, 4)
    panels = [tiles[:, :, v : v + 2].transpose(0, 2, 1, 3, 4).reshape(-1) for v in range(0, vectors, 2)]
    return np.concatenate(panels)


def _panel_order(groups: np.ndarray, isa: str, vectors: int) -> np.ndarray:
    count = groups.shape[1]
    starts = [min(v, count - vectors) for v in range(0, count, vectors)]
    panels = np.stack([groups[:, start : start + vectors] for start in starts])  # (panel, group, vector, 16, 4)
    if isa == "portable":
        panels = panels.swapaxes(-1, -2)
    elif isa == "avx2":
        panels = panels.reshape(*panels.shape[:-1], 2, 2).transpose(0, 1, 2, 5, 3, 4)  # (..., which pair, 16, 2)
    return np.ascontiguousarray(panels)


def _nibbles(ordered: np.ndarray, vectors: int) -> np.ndarray:
    """Neighbouring groups of 64 weights a vector, two weights a byte."""
    pairs = ordered.reshape(-1, 2, vectors * 4 * LANES).view(np.uint8)
    return (pairs[:, 0] & 15) | (pairs[:, 1] << 4)
