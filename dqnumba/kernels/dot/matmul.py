"""The int8 matrix product as an operation: ``out = bias + A @ W``, or ``bias + A1 @ W1 + A2 @ W2`` unjoined.

Fields of the record, for the kernels of every ISA:

====== ======================================================
1, 4   places of the two inputs (int8 rows); the second unused with one segment
7      place of the output (int32 rows)
10     address of the packed weights
11     address of the bias, int32, in the order of the panels
12     vectors of 16 columns
13, 14 steps of the two segments
15     channels of a step
16     address of the tile configurations (AMX)
17     steps that go through all rows of a block before the next ones (AMX)
18     offset in scratch memory of what :func:`scratch_bytes` asks for (AMX)
====== ======================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .amx import amx_kernel, configurations
from .cpu import require
from .dot_kernels import vector_kernel
from .matmul_pack import LANES, PackedWeights, address, aligned_zeros
from .micro import Micro, new_op, put_place

__all__ = ["Place", "bias_offset", "kernel_of", "matmul_op", "row_block", "scratch_bytes"]

_AT_ONCE = 8  # steps of 64 channels by 32 columns: 16 KiB of weights beside the activations in the first cache
_BLOCK = 3 << 18


class Place(NamedTuple):
    """Where rows stand: address (or offset in scratch memory), row stride in bytes, whether in scratch memory."""

    base: int
    stride: int
    local: bool = False


def kernel_of(packed: PackedWeights) -> Micro:
    """The micro-kernel for packed weights; ConfigError if this processor cannot run it."""
    require(packed.isa)
    if packed.isa == "amx":
        return amx_kernel(packed.bits)
    return vector_kernel(packed.isa, packed.vectors, packed.bits, len(packed.segments))


def row_block(inner: int, columns: int, rows: int | None = None, threads: int = 1) -> int:
    """A good number of rows for the blocks of a product that stands alone.

    As many as leave the activations in the second cache beside a panel of weights; weights that do not fit there are
    read anew for each block. With ``rows``, blocks are made even over the threads.
    """
    inner = -(-inner // 64) * 64
    block = min(max(_BLOCK // inner // 32 * 32, 32), 192)
    if rows is not None:
        rounds = -(-rows // (block * threads))
        block = -(-rows // (rounds * threads * 32)) * 32
    return max(block, 32)


def scratch_bytes(packed: PackedWeights, rows: int) -> int:
    """Bytes of scratch memory, aligned to 64, that the operation needs for blocks of up to ``rows`` rows."""
    if packed.isa != "amx":
        return 0
    steps = sum(packed.steps)
    sums = -(-rows // 32) * 4096 if steps > _AT_ONCE else 0
    return sums + (2 * packed.step * 16 * min(steps, _AT_ONCE) if packed.bits == 4 else 0)


def matmul_op(*, inputs, packed: PackedWeights, bias: np.ndarray, out, scratch: int = 0) -> tuple[np.ndarray, list]:
    """The record of a product, and the arrays that must outlive it.

    Parameters
    ----------
    inputs : sequence of places
        One for each segment. Rows are read up to the next multiple of ``packed.step`` channels; what stands there
        beyond the segment does not matter.
    packed : PackedWeights
    bias : (M,) integers, taken modulo 2**32
    out : place
        int32 rows, written up to the next multiple of 16 columns, and never beyond the rows of the block.
    scratch : int
        Offset of :func:`scratch_bytes` bytes in scratch memory.
    """
    if len(inputs) != len(packed.segments) or len(bias) != packed.columns:
        raise ValueError(f"{len(inputs)} inputs and {len(bias)} biases for {packed}")
    table = aligned_zeros(packed.column_vectors * LANES, np.int32)
    table[: packed.columns] = (np.asarray(bias, np.int64) - bias_offset(packed)).astype(np.int32)
    op = new_op(kernel_of(packed))
    for k, source in enumerate(inputs):
        put_place(op, 1 + 3 * k, *source)
    put_place(op, 7, *out)
    more = packed.steps[1] if len(packed.steps) > 1 else 0
    op[10:16] = address(packed.data), address(table), packed.column_vectors, packed.steps[0], more, packed.step
    if packed.isa == "amx":
        op[16:19] = address(configurations[packed.step]), _AT_ONCE, scratch
    return op, [packed, table]


def bias_offset(packed: PackedWeights) -> np.ndarray:
    """What is subtracted from a bias, (M,) int64: some kernels see activations + 128."""
    return packed.column_sums * (128 if packed.isa in ("avx512vnni", "avxvnni") else 0)
