"""A kernel is compared with NumPy before it is used: each variant once a process, on products of a few microseconds.

LLVM has changed what these instructions' operands look like more than once; a wrong answer must lead to another kernel,
not to wrong predictions.
"""

from __future__ import annotations

import ctypes
import functools
import logging

import numpy as np

from .cpu import available_isas, choose_isa
from .matmul import Place, matmul_op, scratch_bytes
from .matmul_pack import LANES, aligned_zeros, pack_weights, panel_vectors

__all__ = ["is_right", "trusted_isa"]

_log = logging.getLogger("dqnumba")


def trusted_isa(columns: int, bits: int = 8, segments: int = 1) -> str | None:
    """The ISA of :func:`~dqnumba.kernels.dot.cpu.choose_isa`, or the next whose kernel passes its test; None if none.

    Parameters
    ----------
    columns, bits, segments
        Of the product: they decide which variant of the kernel runs.
    """
    first = choose_isa()
    if first is None:
        return None
    rest = available_isas()
    for isa in rest[rest.index(first) :]:
        if is_right(isa, panel_vectors(columns, isa), bits, segments):
            return isa
        _log.warning("the %s kernel of the matrix product gives wrong numbers on this machine: not used", isa)
    return None


@functools.cache
def is_right(isa: str, vectors: int, bits: int = 8, segments: int = 1) -> bool:
    """Whether one variant of the kernel agrees with NumPy."""
    rng = np.random.default_rng(0)
    inner, columns, low = 70, vectors * LANES - 3, -8 if bits == 4 else -128
    for rows in (1, 19):
        x = aligned_zeros((rows + 16, 128 * segments), np.int8)
        x[:] = rng.integers(-128, 128, x.shape)
        x[0] = -128
        w = rng.integers(low, -low, (inner * segments, columns)).astype(np.int8)
        w[:, 0] = low
        bias = rng.integers(-(2**31), 2**31, columns)
        packed = pack_weights(w, isa=isa, segments=(inner,) * segments, bits=bits)
        out = aligned_zeros((rows, packed.column_vectors * LANES), np.int32)
        inputs = [Place(x.ctypes.data + 128 * s, x.strides[0]) for s in range(segments)]
        op, keep = matmul_op(inputs=inputs, packed=packed, bias=bias, out=Place(out.ctypes.data, out.strides[0]))
        scratch = aligned_zeros(scratch_bytes(packed, rows) + 64, np.int8)
        call = ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 4)(int(op[0]))
        call(op.ctypes.data, 0, rows, scratch.ctypes.data)
        taken = np.concatenate([x[:rows, 128 * s : 128 * s + inner] for s in range(segments)], axis=1)
        expected = (taken.astype(np.int64) @ w.astype(np.int64) + bias).astype(np.int32)
        del keep
        if not np.array_equal(out[:, :columns], expected):
            return False
    return True
