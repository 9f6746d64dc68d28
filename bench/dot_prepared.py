"""Single kernels of the ``dot`` backend with their tables made before, as a bound program runs them.

The backend's functions on arrays pad, pack and plan at every call; what is timed here is the kernel. These few lines
know the backend's inside; where that has changed, the contender is reported as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["attention", "fused_sum", "matmul", "neighbor_sum", "packed_neighbor_sum", "requantize"]


def matmul(x: NDArray, w: NDArray, bias: NDArray, out: NDArray) -> Callable[[], Any]:
    """int8 (N, K) times int8 (K, M) into int32, weights packed."""
    from dqnumba.kernels.dot.api_matmul import matmul_packed
    from dqnumba.kernels.dot.matmul_pack import pack_weights
    from dqnumba.kernels.dot.matmul_trust import trusted_isa

    isa = trusted_isa(w.shape[1])
    if isa is None:
        raise RuntimeError("the dot backend has no matrix product that it trusts on this processor")
    packed = pack_weights(w, isa=isa)
    return lambda: matmul_packed(x, packed, bias, out)


def neighbor_sum(indptr: NDArray, indices: NDArray, x: NDArray, zero: int, out: NDArray) -> Callable[[], Any]:
    """Sum of int8 rows into int32; widths are multiples of 64."""
    from dqnumba.kernels.dot.gather import neighbor_sum_ops
    from dqnumba.kernels.dot.gather_vectors import pad_indices

    listed = pad_indices(indices)

    def ops(place: Any, starts: int, stops: int) -> Any:
        return neighbor_sum_ops(
            out=place, starts=starts, stops=stops, x=x.ctypes.data, x_stride=x.strides[0], channels=x.shape[1],
            zero=zero, indices=listed.ctypes.data,
        )  # fmt: skip

    return _sum(ops, indptr, out, (listed, x))


def packed_neighbor_sum(indptr: NDArray, indices: NDArray, x: NDArray, zero: int, out: NDArray) -> Callable[[], Any]:
    """Sum of rows of two 4-bit codes a byte; ``x`` (N, width / 2) uint8."""
    from dqnumba.kernels.dot.gather_packed import packed_sum_ops
    from dqnumba.kernels.dot.gather_vectors import pad_indices

    listed = pad_indices(indices)

    def ops(place: Any, starts: int, stops: int) -> Any:
        return packed_sum_ops(
            out=place, starts=starts, stops=stops, x=x.ctypes.data, x_stride=x.strides[0], channels=out.shape[1],
            zero=zero, indices=listed.ctypes.data,
        )  # fmt: skip

    return _sum(ops, indptr, out, (listed, x))


def _sum(ops: Callable, indptr: NDArray, out: NDArray, keep: Any) -> Callable[[], Any]:
    import numba

    from dqnumba.kernels.dot.blocks import row_blocks
    from dqnumba.kernels.dot.hubs import hub_limit, join_sum_op, split_hubs
    from dqnumba.kernels.dot.launch import Launch, Phase, aligned

    threads, starts = numba.get_num_threads(), indptr.ctypes.data
    place = (out.ctypes.data, out.strides[0], False)
    hubs = split_hubs(indptr, hub_limit(int(indptr[-1]), threads)) if threads > 1 else None
    if hubs is None:
        pieces, phases = None, [Phase(ops(place, starts, starts + 8), row_blocks(indptr))]
    else:
        pieces = aligned(hubs.pieces, out.strides[0])
        piece = (pieces.ctypes.data, pieces.strides[0], False)
        first = ops(piece, hubs.starts.ctypes.data, hubs.stops.ctypes.data)
        rest = list(ops(place, starts, hubs.row_stops.ctypes.data))
        rest.append(join_sum_op(hubs=hubs, out=place, pieces=piece[0], piece_stride=piece[1], channels=out.shape[1]))
        left = np.append(0, np.cumsum(hubs.row_stops - indptr[:-1]))
        phases = [Phase(first, np.arange(hubs.pieces + 1)), Phase(rest, row_blocks(left))]
    launch, kept = Launch(phases, 64, 0), (keep, hubs, pieces, phases, indptr, out)

    def run() -> None:
        assert kept  # the launch knows only addresses
        launch(threads)

    return run


def sum_into_cache(indptr: NDArray, indices: NDArray, x: NDArray, zero: int, out: NDArray) -> Callable[[], Any]:
    """Sums of int8 rows into the scratch memory of a block, where a program rounds and multiplies them next.

    The first call also copies them to ``out``, to be checked.
    """
    import numba

    from dqnumba.kernels.dot.blocks import row_blocks
    from dqnumba.kernels.dot.copy_rows import copy_rows_op
    from dqnumba.kernels.dot.gather import neighbor_sum_ops
    from dqnumba.kernels.dot.gather_vectors import pad_indices
    from dqnumba.kernels.dot.launch import Launch, Phase

    out[...] = 0
    listed, width = pad_indices(indices), 4 * x.shape[1]
    blocks = row_blocks(indptr)
    memory = int(np.diff(blocks).max(initial=1)) * width + 4096
    sums = (0, width, True)
    ops = neighbor_sum_ops(
        out=sums, starts=indptr.ctypes.data, stops=indptr.ctypes.data + 8, x=x.ctypes.data, x_stride=x.strides[0],
        channels=x.shape[1], zero=zero, indices=listed.ctypes.data,
    )  # fmt: skip
    copy = copy_rows_op(source=sums, target=(out.ctypes.data, out.strides[0], False), width=width)
    threads = numba.get_num_threads()
    launches = [Launch([Phase(ops, blocks)], memory, 0), Launch([Phase([*ops, copy], blocks)], memory, 0)]
    kept = (listed, x, indptr, out)

    def run() -> None:
        assert kept
        launches[-1](threads)
        del launches[1:]

    return run


def fused_sum(indptr: NDArray, indices: NDArray, x: NDArray, zero: int, shift: int, out: NDArray) -> Callable[[], Any]:
    """Sum of int8 rows, rounded to int8 by ``2**-shift`` before it leaves the cache: as a program runs it."""
    import numba

    from dqnumba.kernels.dot.blocks import row_blocks
    from dqnumba.kernels.dot.fold import Fold
    from dqnumba.kernels.dot.gather import neighbor_sum_ops
    from dqnumba.kernels.dot.gather_vectors import pad_indices
    from dqnumba.kernels.dot.launch import Launch, Phase
    from dqnumba.kernels.dot.requantize import requantize_op

    listed, width = pad_indices(indices), x.shape[1]
    blocks = row_blocks(indptr)
    rows = int(np.diff(blocks).max(initial=1))
    sums = (0, 4 * width, True)  # at the start of a thread's scratch memory
    one = np.ones((1, 1), np.int64)
    magnitude = 128.0 * np.diff(indptr)
    op, keep = requantize_op(
        source=sums, source_kind="int32", output=(out.ctypes.data, out.strides[0], False), output_kind="int8",
        columns=width, fold=Fold([(one, shift * one, 0 * one)], 0), magnitude=magnitude, zero_in=0, low=-128, high=127,
    )  # fmt: skip
    ops = neighbor_sum_ops(
        out=sums, starts=indptr.ctypes.data, stops=indptr.ctypes.data + 8, x=x.ctypes.data, x_stride=x.strides[0],
        channels=width, zero=zero, indices=listed.ctypes.data,
    )  # fmt: skip
    threads = numba.get_num_threads()
    launch = Launch([Phase([*ops, op], blocks)], rows * 4 * width + 4096, 0)
    kept = (keep, listed, x, indptr, out)

    def run() -> None:
        assert kept
        launch(threads)

    return run


def requantize(acc: NDArray, stages: Any, zero_point: int, low: int, high: int, out: NDArray) -> Callable[[], Any]:
    """int32 (N, M) to int8; M is a multiple of 16."""
    import numba

    from dqnumba.kernels.dot.fold import Fold
    from dqnumba.kernels.dot.launch import Launch, Phase, even_blocks
    from dqnumba.kernels.dot.requantize import requantize_op

    spread = np.abs(acc.astype(np.int64)).max(axis=1).astype(np.float64)
    op, keep = requantize_op(
        source=(acc.ctypes.data, acc.strides[0], False), source_kind="int32",
        output=(out.ctypes.data, out.strides[0], False), output_kind="int8",
        columns=acc.shape[1], fold=Fold(stages, zero_point), magnitude=spread, zero_in=0, low=low, high=high,
    )  # fmt: skip
    threads = numba.get_num_threads()
    launch, kept = Launch([Phase([op], even_blocks(len(acc)))], 64, 0), (keep, acc, out)

    def run() -> None:
        assert kept
        launch(threads)

    return run


def attention(case: dict[str, Any], out: NDArray) -> Callable[[], Any]:
    """Logits, softmax and weighted sum in one pass; ``case`` has the arguments of the backend's ``attention``."""
    import numba

    from dqnumba.kernels.dot.attention import attention_op, attention_scratch
    from dqnumba.kernels.dot.blocks import row_blocks
    from dqnumba.kernels.dot.gather_vectors import pad_indices
    from dqnumba.kernels.dot.launch import Launch, Phase, aligned

    def copy(array: NDArray, slack: int) -> NDArray:
        used = array.shape[1] * array.itemsize
        buffer = aligned(len(array) + 16, -(-(used + slack) // 64) * 64)
        buffer[: len(array), :used] = np.ascontiguousarray(array).view(np.int8).reshape(len(array), used)
        return buffer

    indptr, index, heads = case["indptr"], pad_indices(case["indices"]), case["target"].shape[1]
    first, second, rows = copy(case["target"], 32), copy(case["source"], 32), copy(case["x"], 0)
    names = ("multiplier", "shift", "zero_point", "low", "high", "code_low", "mantissa", "exponent", "bits", "zero")
    op, keep = attention_op(
        target=(first.ctypes.data, first.shape[1], False), source=(second.ctypes.data, second.shape[1], False),
        x=(rows.ctypes.data, rows.shape[1], False), out=(out.ctypes.data, out.strides[0], False),
        indptr=indptr.ctypes.data, indices=index.ctypes.data, heads=heads, head_width=out.shape[1] // heads, work=0,
        packed=False, **{name: case[name] for name in names},
    )  # fmt: skip
    threads = numba.get_num_threads()
    launch = Launch([Phase([op], row_blocks(indptr))], attention_scratch(heads), 0)
    kept = (keep, indptr, index, first, second, rows, out)

    def run() -> None:
        assert kept
        launch(threads)

    return run
