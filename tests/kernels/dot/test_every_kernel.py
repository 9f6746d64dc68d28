"""One small case of every kernel against the reference, and what machine code it became.

Short enough for an emulated processor: ``tests/aarch64/run.sh`` runs this file by default. The sweeps are in the files
beside it.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import test_exact_stage
import test_halves
import test_long_sums
import test_sparse
import test_sparse_dense
from test_attention import check as check_attention

from dqnumba.kernels import reference
from dqnumba.kernels.dot import api_aggregate, api_requantize
from dqnumba.kernels.dot.api_matmul import matmul_packed
from dqnumba.kernels.dot.cpu import available_isas, features, target
from dqnumba.kernels.dot.dot_kernels import vector_kernel
from dqnumba.kernels.dot.matmul_pack import pack_weights, panel_vectors

THREADS = (1, 2)
DEGREES = (0, 1, 2, 5, 0, 17, 300, 3)
SOURCES = 40


def codes(rng, *shape):
    array = rng.integers(-128, 128, shape).astype(np.int8)
    array.reshape(-1)[:2] = (-128, 127)[: array.size]
    return array


def graph(rng):
    indptr = np.cumsum([0, *DEGREES]).astype(np.int64)
    return indptr, rng.integers(0, SOURCES, indptr[-1]).astype(np.int32)


def same(module, name, shape, dtype, *arguments):
    want = np.zeros(shape, dtype)
    getattr(reference, name)(*arguments, want)
    for threads in THREADS:
        got = np.full(shape, 77, dtype)
        getattr(module, name)(*arguments, got, threads=threads)
        assert np.array_equal(got, want), f"{name} on {threads} threads"


@pytest.mark.parametrize("columns", [7, 64])
def test_sums_and_maxima_of_neighbours(columns):
    rng = np.random.default_rng(0)
    (indptr, indices), x = graph(rng), codes(rng, SOURCES, columns)
    shape = (len(DEGREES), columns)
    same(api_aggregate, "neighbor_sum", shape, np.int32, indptr, indices, x, -128)
    same(api_aggregate, "neighbor_max", shape, np.int8, indptr, indices, x, 3)
    rows = codes(rng, int(indptr[-1]), columns)
    same(api_aggregate, "segment_sum", shape, np.int32, indptr, rows, 127)
    same(api_aggregate, "segment_max", shape, np.int8, indptr, rows, -5)


@pytest.mark.parametrize(("heads", "width"), [(1, 20), (4, 16)])
def test_weighted_sums(heads, width):
    rng = np.random.default_rng(1)
    (indptr, indices), x = graph(rng), codes(rng, SOURCES, heads * width)
    weight = rng.integers(0, 2**15, (len(indices), heads), endpoint=True).astype(np.int32)
    shape = (len(DEGREES), heads * width)
    same(api_aggregate, "weighted_neighbor_sum", shape, np.int32, indptr, indices, weight, 0, x, -128)


def test_sparse_rows():
    rng = np.random.default_rng(2)
    indptr, indices = graph(rng)
    rows = np.cumsum([0, *rng.integers(0, 6, SOURCES)]).astype(np.int64)
    columns = np.concatenate([np.sort(rng.choice(50, count, replace=False)) for count in np.diff(rows)]).astype(
        np.int32
    )
    values, weight = codes(rng, len(columns)), codes(rng, 50, 19)
    bias = rng.integers(-99, 99, 19).astype(np.int32)
    same(api_aggregate, "sparse_matmul", (SOURCES, 19), np.int32, rows, columns, values, -128, weight, 0, bias)
    shape = (len(DEGREES), 50)
    same(api_aggregate, "sparse_neighbor_sum", shape, np.int32, indptr, indices, rows, columns, values, -128)


@pytest.mark.parametrize("shape", [(1, 1), (9, 33), (1, 9)])
def test_requantization(shape):
    """A multiplier for all, a row, or a channel."""
    rng = np.random.default_rng(3)
    acc = rng.integers(-(2**20), 2**20, (9, 33)).astype(np.int32)
    shape = (1, 1) if shape == (1, 1) else (9, 1) if shape == (1, 9) else (1, 33)
    multiplier, shift = rng.integers(1 << 30, 1 << 31, shape), rng.integers(42, 46, shape)
    stages = (multiplier,), (shift,), (np.zeros((1, 1), np.int64),)
    same(api_requantize, "requantize", acc.shape, np.int8, acc, 0, *stages, -3, -128, 127)


def test_sums_beyond_32_bits():
    rng, draw = np.random.default_rng(5), test_exact_stage.draw
    for kind in ("row", "channel"):
        stages = [test_exact_stage.tables(rng, kind)]
        test_exact_stage.check(draw(rng, "int32"), draw(rng, "int8"), "int8", stages, zero=-128, weight=257, left=8)
        test_exact_stage.check(draw(rng, "int32"), draw(rng, "int32"), "int32", stages, weight=1 << 29, left=29)
    test_long_sums.test_pieces_meet_in_64_bits(17, 2)
    test_long_sums.test_own_codes_join("int8")


def test_codes_of_16_bits():
    rng = np.random.default_rng(6)
    (indptr, indices), x = graph(rng), rng.integers(-(2**15), 2**15, (SOURCES, 20)).astype(np.int16)
    same(api_aggregate, "neighbor_sum", (len(DEGREES), 20), np.int32, indptr, indices, x, -(2**15))
    test_halves.test_every_code("int16", 17)
    test_sparse.test_codes_of_17_bits_lie_in_two_parts()


@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
def test_sparse_rows_as_dense_ones(kind):
    test_sparse_dense.test_codes_of_the_dense_matrix(kind, True, 33)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("bits", [8, 4])
def test_matrix_products(isa, bits):
    rng = np.random.default_rng(4)
    x, least = codes(rng, 37, 70), -128 if bits == 8 else -8
    w = rng.integers(least, -least, (70, 40)).astype(np.int8)
    bias = rng.integers(-(2**20), 2**20, 40).astype(np.int32)
    want, got = np.zeros((37, 40), np.int32), np.zeros((37, 40), np.int32)
    reference.matmul(x, w, bias, 0, want)
    packed = pack_weights(w, isa=isa, bits=bits)
    for threads in THREADS:
        got[:] = 77
        matmul_packed(x, packed, bias, got, threads)
        assert np.array_equal(got, want)


@pytest.mark.parametrize(("heads", "width", "packed"), [(4, 16, False), (8, 7, False), (3, 5, True)])
def test_attention_of_every_kind(heads, width, packed):
    check_attention((0, 1, 2, 3, 9, 300, 1100), heads, width, packed=packed, threads=2)


@pytest.mark.parametrize("isa", [isa for isa in available_isas() if isa != "amx"])
def test_the_product_is_made_of_the_instruction_that_it_is_named_after(isa):
    assembly = vector_kernel(isa, panel_vectors(64, isa), 8, 1).assembly()
    words = {"avx512vnni": "vpdpbusd", "avxvnni": "vpdpbusd", "avx2": "vpmaddwd", "sdot": "sdot"}
    if isa in words:
        assert re.search(rf"\b{words[isa]}\b", assembly)
    else:
        assert not re.search(r"\b[su]dot\b", assembly) or "dotprod" in features()


@pytest.mark.skipif(not target()[0].startswith("aarch64"), reason="about the instruction set of AArch64")
def test_a_processor_has_sdot_or_has_not():
    has = {"cortex-a72": False, "cortex-a76": True}.get(target()[1])
    if has is None:
        pytest.skip(f"nothing is laid down about {target()[1]}")
    assert ("sdot" in available_isas()) == has
    assert ("dotprod" in features()) == has
