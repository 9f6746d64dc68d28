"""A layer's attention on arrays of any layout, run through the executor."""

from __future__ import annotations

import numpy as np

from .attention import attention_misfit, attention_op, attention_scratch
from .codes import row_bytes
from .gather_vectors import pad_indices
from .launch import aligned, even_blocks, run

__all__ = ["attention"]


def attention(
    indptr, indices, target, source, multiplier, shift, zero_point, low, high, mantissa, exponent, code_low, bits, x,
    zero, out, packed=False, threads=None,
):  # fmt: skip
    """``edge_logits``, ``requantize`` (one stage), ``edge_softmax`` and ``weighted_neighbor_sum`` of the reference.

    Parameters
    ----------
    indptr, indices : CSR, rows are targets
    target, source : (N, H) and (N_src, H) int32
    multiplier, shift, zero_point, low, high : int
        Of the logits' requantization.
    mantissa, exponent, code_low, bits : of the softmax
    x : (N_src, H * C) int8, or (N_src, ceil(H * C / 2)) uint8 if ``packed``
    zero : int
    out : (N, H * C) int32
    """
    indptr = np.ascontiguousarray(indptr, np.int64)
    heads = target.shape[1]
    misfit = attention_misfit(
        multiplier=multiplier, shift=shift, mantissa=mantissa, exponent=exponent, bits=bits, code_low=code_low,
        low=low, high=high, max_degree=int(np.diff(indptr).max(initial=0)),
    )  # fmt: skip
    if misfit:
        raise ValueError(misfit)
    if not out.size:
        return
    index = pad_indices(np.asarray(indices))
    first, second = _copy(target.astype(np.int32), 32), _copy(source.astype(np.int32), 32)
    rows = _copy(x, 0)
    sums = aligned(len(out), row_bytes("int32", out.shape[1]))
    op, keep = attention_op(
        target=(first.ctypes.data, first.shape[1], False), source=(second.ctypes.data, second.shape[1], False),
        x=(rows.ctypes.data, rows.shape[1], False), out=(sums.ctypes.data, sums.shape[1], False),
        indptr=indptr.ctypes.data, indices=index.ctypes.data, heads=heads, head_width=out.shape[1] // heads,
        multiplier=multiplier, shift=shift, zero_point=zero_point, low=low, high=high, code_low=code_low,
        mantissa=mantissa, exponent=exponent, bits=bits, zero=zero, work=0, packed=packed,
    )  # fmt: skip
    run([op], even_blocks(len(out)), attention_scratch(heads), work=len(indices) * out.shape[1], threads=threads)
    out[...] = sums.view(np.int32)[:, : out.shape[1]]
    del keep


def _copy(array, slack):
    """The rows of an array in a buffer with readable bytes behind each row and behind the last."""
    rows, used = array.shape[0], array.shape[1] * array.itemsize
    buffer = aligned(rows + 16, -(-(used + slack) // 64) * 64)
    buffer[:rows, :used] = np.ascontiguousarray(array).view(np.int8).reshape(rows, used)
    return buffer
