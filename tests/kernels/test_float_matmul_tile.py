"""Tiles of float32 sums equal the products of NumPy in float64, for every remainder of the tile and both widths."""

import numpy as np
import pytest

from dqnumba.kernels import matmul_tile

F = np.float32
SHAPES = [(1, 1, 16), (5, 0, 32), (6, 3, 64), (47, 7, 80), (53, 64, 64), (100, 130, 144), (1031, 5, 16), (2055, 9, 112)]


def matrices(rows, inner, columns):
    rng = np.random.default_rng(rows)
    shapes = (rows, inner), (inner, columns), (rows, columns), columns
    return (rng.standard_normal(shape, dtype=F) for shape in shapes)


def close(got, wanted, terms):
    assert np.allclose(got, wanted, rtol=1e-5, atol=1e-6 * (terms + 1))


@pytest.mark.parametrize("wide", [16, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_product(shape, wide):
    x, w, _, bias = matrices(*shape)
    wanted = x.astype(np.float64) @ w
    guarded = np.full((shape[0] + 2, shape[2]), 77, F)
    matmul_tile.product(x, w, np.empty(0, F), 0, wide, guarded[1:-1])
    close(guarded[1:-1], wanted, shape[1])
    assert (guarded[[0, -1]] == 77).all(), "written beyond the result"
    matmul_tile.product(x, w, bias, 1, wide, guarded[1:-1])
    close(guarded[1:-1], np.maximum(wanted + bias, 0), shape[1])


@pytest.mark.parametrize("wide", [16, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_transposed_chunks(shape, wide):
    x, _, y, _ = matrices(*shape)
    chunks = -(-shape[0] // matmul_tile.CHUNK_ROWS)
    guarded = np.full((chunks + 2, shape[1], shape[2]), 77, F)
    matmul_tile.transposed_chunks(x, y, wide, guarded[1:-1])
    close(guarded[1:-1].sum(axis=0, dtype=np.float64), x.astype(np.float64).T @ y, shape[0])
    assert (guarded[[0, -1]] == 77).all(), "written beyond the result"


def test_a_nan_and_an_infinity_come_through():
    x = np.array([[np.nan], [np.inf], [-np.inf]], F)
    out = np.empty((3, 16), F)
    matmul_tile.product(x, np.ones((1, 16), F), np.empty(0, F), 1, matmul_tile.tile_columns(), out)
    assert np.isnan(out[0]).all() and (out[1] == np.inf).all() and (out[2] == 0).all()


@pytest.mark.compiled
def test_what_fits():
    x = np.zeros((4, 3), F)
    assert matmul_tile.fits(x, np.zeros((3, 32), F))
    assert not matmul_tile.fits(x, np.zeros((3, 7), F))
    assert not matmul_tile.fits(x, np.zeros((3, 0), F))
    assert not matmul_tile.fits(x.astype(np.float64), np.zeros((3, 32)))
    assert matmul_tile.tile_columns() in (16, 64)
