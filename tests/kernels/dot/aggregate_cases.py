"""Inputs of the tests of aggregation, and one call that compares with the reference bit for bit."""

from __future__ import annotations

import numpy as np

from dqnumba.kernels import reference
from dqnumba.kernels.dot import api_aggregate

WIDTHS = [*range(1, 71), 100, 128, 130, 192, 200, 256, 300]
_GUARD = 64


def guarded(shape, dtype):
    """An array within a larger buffer, all bytes set; and a check that its surroundings stay."""
    size = int(np.prod(shape))
    buffer = np.full(size + 2 * _GUARD, 85, dtype=dtype)

    def intact():
        return (buffer[:_GUARD] == 85).all() and (buffer[_GUARD + size :] == 85).all()

    return buffer[_GUARD : _GUARD + size].reshape(shape), intact


def same(name, shape, dtype, *arguments, threads=(1, 2)):
    """Assert that ``api_aggregate.name`` gives the reference's bits and writes nothing else; returns them."""
    expected = np.empty(shape, dtype)
    getattr(reference, name)(*arguments, expected)
    for count in threads:
        out, intact = guarded(shape, dtype)
        getattr(api_aggregate, name)(*arguments, out, threads=count)
        assert intact(), f"{name} wrote outside of out"
        assert np.array_equal(out, expected), f"{name} differs, {shape}, {count} threads"
    return expected


def codes(rng, shape, dtype=np.int8):
    """Uniform codes, both ends among them."""
    info = np.iinfo(dtype)
    array = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    array.reshape(-1)[:2] = [info.min, info.max][: array.size]
    return array


def csr(degrees, rng, sources):
    """indptr and indices of rows of the given degrees with random sources."""
    indptr = np.append(0, np.cumsum(degrees)).astype(np.int64)
    return indptr, rng.integers(0, max(1, sources), indptr[-1]).astype(np.int32)


def power_law(rng, nodes, edges):
    """A graph whose in- and out-degrees have a heavy tail."""
    weight = rng.pareto(1.2, nodes) + 1
    targets, sources = (rng.choice(nodes, edges, p=weight / weight.sum()) for _ in range(2))
    indptr = np.append(0, np.cumsum(np.bincount(targets, minlength=nodes))).astype(np.int64)
    return indptr, sources[np.argsort(targets, kind="stable")].astype(np.int32)
