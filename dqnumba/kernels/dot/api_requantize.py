"""Requantization with the signature of :mod:`dqnumba.kernels.reference`, run through the executor."""

from __future__ import annotations

import numpy as np

from .. import integer
from .fold import Fold
from .launch import even_blocks, run
from .requantize import requantize_op

__all__ = ["requantize"]


def requantize(acc, zero_in, multipliers, shifts, biases, zero_point, low, high, out, threads=None):
    """As the reference; int32 or int8 in, int8, int16 or int32 out. Other types run on the ``numba`` backend."""
    outputs = {np.dtype(t): t.__name__ for t in (np.int8, np.int16, np.int32)}
    rows, columns = out.shape
    fold = Fold(list(zip(multipliers, shifts, biases, strict=True)), zero_point)
    wide = acc.dtype == np.int32 and zero_in != 0  # the difference may not fit
    mixed = any(m.shape != s.shape or b.shape[0] != 1 for m, s, b in zip(multipliers, shifts, biases, strict=True))
    if acc.dtype not in (np.int8, np.int32) or wide or mixed:
        integer.requantize(acc, zero_in, multipliers, shifts, biases, zero_point, low, high, out)
        return
    if not out.size:
        return
    width = -(-columns // 16) * 16
    source, target = acc, out
    if width != columns or not acc.flags.c_contiguous:
        source = np.zeros((rows, width), acc.dtype)
        source[:, :columns] = acc
    if width != columns or not out.flags.c_contiguous:
        target = np.zeros((rows, width), out.dtype)
    spread = np.abs(acc.astype(np.int64) - zero_in).max(axis=1).astype(np.float64)
    op, keep = requantize_op(
        source=(source.ctypes.data, width * acc.itemsize, False), source_kind=acc.dtype.name,
        output=(target.ctypes.data, width * out.itemsize, False), output_kind=outputs[out.dtype],
        columns=columns, fold=fold, magnitude=spread, zero_in=int(zero_in), low=int(low), high=int(high),
    )  # fmt: skip
    run([op], even_blocks(rows), work=8 * out.size, threads=threads)
    if target is not out:
        out[...] = target[:, :columns]
    del keep
