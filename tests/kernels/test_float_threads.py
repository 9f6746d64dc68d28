"""Float kernels give the same bits serial, with one thread and with two; and they take read-only inputs."""

import numba
import numpy as np
import pytest

from dqnumba.kernels import (
    attention_float,
    columns_float,
    csr_float,
    elementwise_float,
    matmul_float,
    matmul_tile,
    segment_float,
)

F = np.float32
NODES, EDGES, CHANNELS, HEADS = 1500, 6000, 24, 3


def cases():
    """Kernel, inputs, shapes and types of its outputs; a power-law graph with empty rows, read-only inputs."""
    rng = np.random.default_rng(0)
    target = np.sort((NODES * rng.random(EDGES) ** 4).astype(np.int64))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=NODES))])
    indices = rng.integers(0, NODES, EDGES).astype(np.int32)
    weight = rng.standard_normal(EDGES).astype(F)
    x, y = (rng.standard_normal((NODES, CHANNELS)).astype(F) for _ in range(2))
    messages = rng.standard_normal((EDGES, CHANNELS)).astype(F)
    coef, grad = (rng.standard_normal((EDGES, HEADS)).astype(F) for _ in range(2))
    row, positive = rng.standard_normal(CHANNELS).astype(F), rng.uniform(0.5, 2, CHANNELS).astype(F)
    nodes, edges, heads = ((NODES, CHANNELS), F), ((EDGES, CHANNELS), F), ((EDGES, HEADS), F)
    flat, chunks = ((x.size,), F), ((-(-NODES // columns_float.CHUNK_ROWS), CHANNELS), F)
    tall = rng.standard_normal((NODES, 80)).astype(F)
    draw = rng.random(x.size, dtype=F)
    keep = draw > 0.5
    every = {
        csr_float.csr_sum: [((indptr, indices, None, x), [nodes]), ((indptr, indices, weight, x), [nodes])],
        csr_float.csr_sum_of_sparse: [
            ((indptr, indices, None, indptr, indices % CHANNELS, weight), [nodes]),
            ((indptr, indices, weight, indptr, indices % CHANNELS, weight), [nodes]),
        ],
        csr_float.csr_sum_with_self: [
            ((indptr, indices, None, weight[:1], x), [nodes]),
            ((indptr, indices, weight, weight[:1], x), [nodes]),
        ],
        csr_float.gather_rows: [((indices, x), [edges])],
        csr_float.scale_rows: [((x, weight[:NODES]), [nodes])],
        segment_float.segment_sum: [((indptr, messages), [nodes])],
        segment_float.segment_add: [((indptr, messages), [nodes])],
        segment_float.segment_spread: [((indptr, x), [edges])],
        segment_float.segment_max: [((indptr, messages), [nodes, (nodes[0], np.int64)])],
        attention_float.csr_weighted_sum: [((indptr, indices, coef, x), [nodes])],
        attention_float.edge_dot: [((indptr, indices, x, y), [heads])],
        attention_float.edge_softmax: [((indptr, coef), [heads])],
        attention_float.edge_softmax_backward: [((indptr, coef, grad), [heads])],
        elementwise_float.add: [((x.ravel(), y.ravel()), [flat])],
        elementwise_float.add_row: [((x, row), [nodes])],
        elementwise_float.add_to_rows: [((row,), [nodes])],
        elementwise_float.relu: [((x.ravel(),), [flat])],
        elementwise_float.relu_backward: [((x.ravel(), y.ravel()), [flat])],
        elementwise_float.leaky_relu: [((x.ravel(), F(0.2)), [flat])],
        elementwise_float.leaky_relu_backward: [((x.ravel(), y.ravel(), F(0.2)), [flat])],
        elementwise_float.dropout: [((x.ravel(), draw, F(0.5), F(2)), [flat, (flat[0], np.bool_)])],
        elementwise_float.masked_scale: [((x.ravel(), keep, F(2)), [flat])],
        columns_float.chunk_dots: [((x, y), [(chunks[0][:1], np.float64)])],
        columns_float.chunk_sums: [((x,), [chunks])],
        columns_float.chunk_moments: [((x,), [chunks, chunks])],
        columns_float.chunk_gradient_sums: [((x, y, row, positive), [chunks, chunks])],
        columns_float.affine_columns: [((x, row, positive, row), [nodes])],
        columns_float.batch_norm_backward: [((x, y, row, positive, positive, row, row), [nodes])],
        matmul_float.affine: [
            ((x, messages[:CHANNELS], row), [nodes]),
            ((x[:, :3].copy(), messages[:3], None), [nodes]),
        ],
        matmul_float.chunk_products: [((x, y), [((2, CHANNELS, CHANNELS), F)])],
        matmul_tile.product: [((x, tall[:CHANNELS], tall[-1], 1, 64), [((NODES, 80), F)])],
        matmul_tile.transposed_chunks: [((x, tall, 64), [((2, CHANNELS, 80), F)])],
    }
    return [(kernel, *case) for kernel, several in every.items() for case in several]


@pytest.mark.parametrize(("kernel", "inputs", "outputs"), cases(), ids=lambda v: getattr(v, "__name__", ""))
def test_same_bits(kernel, inputs, outputs):
    for array in inputs:
        if isinstance(array, np.ndarray):
            array.setflags(write=False)

    def run(form):
        out = [np.full(shape, 77, dtype) for shape, dtype in outputs]
        form(*inputs, *out)
        return [array.view(np.uint8) for array in out]

    expected, before = run(kernel.serial), numba.get_num_threads()
    try:
        for threads in range(1, min(numba.config.NUMBA_NUM_THREADS, 3) + 1):
            numba.set_num_threads(threads)
            for got, reference in zip(run(kernel.parallel), expected, strict=True):
                assert np.array_equal(got, reference)
    finally:
        numba.set_num_threads(before)


def test_every_kernel_of_these_files_is_covered():
    modules = (csr_float, segment_float, attention_float, elementwise_float, columns_float, matmul_float, matmul_tile)
    kernels = {v for m in modules for v in vars(m).values() if hasattr(v, "serial")}
    assert kernels == {kernel for kernel, *_ in cases()}
