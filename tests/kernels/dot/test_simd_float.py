"""Lines in float32 on vectors, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dqnumba.kernels.dot import simd_float
from dqnumba.kernels.dot.cpu import features
from dqnumba.kernels.dot.micro import driver
from dqnumba.kernels.dot.simd import address_of, f32x16, load, store
from dqnumba.kernels.dot.simd_float import (
    any_below,
    floor_avx512,
    floor_to_integer,
    fraction,
    fraction_avx512,
    multiply_add,
)

FLOATS = st.one_of(st.floats(-(2.0**30), 2.0**30, width=32), st.integers(-300, 300).map(float),
                   st.sampled_from([0.0, -0.0, 2.0**-40, -(2.0**-40), 0.5, -0.5, 127.99999, -128.00002]))  # fmt: skip
LANES = hnp.arrays(np.float32, 16, elements=FLOATS)


@driver()
def portable(a, b, c, line, whole, above):
    x = load(f32x16, address_of(a))
    store(address_of(line), multiply_add(x, load(f32x16, address_of(b)), load(f32x16, address_of(c))))
    store(address_of(whole), floor_to_integer(x))
    store(address_of(above), fraction(x))
    return any_below(x, load(f32x16, address_of(b)))


@driver()
def avx512(a, whole, above):
    x = load(f32x16, address_of(a))
    store(address_of(whole), floor_avx512(x))
    store(address_of(above), fraction_avx512(x))


@given(LANES, LANES, LANES)
def test_portable(a, b, c):
    line, whole, above = np.zeros(16, np.float32), np.zeros(16, np.int32), np.zeros(16, np.float32)
    assert portable(a, b, c, line, whole, above) == (a < b).any()
    wide = [v.astype(np.longdouble) for v in (a, b, c)]
    once, twice = (wide[0] * wide[1] + wide[2]).astype(np.float32), a * b + c
    # The processor decides; a sum of 64 bits is not rounded once where the parts lie far apart, but nearly.
    assert ((line == once) | (line == twice) | (np.abs(line - once) <= np.spacing(np.abs(once)))).all()
    assert np.array_equal(whole, np.floor(a)) and np.array_equal(above, a - np.floor(a))


@pytest.mark.skipif("avx512dq" not in features(), reason="no AVX-512DQ")
@given(LANES)
def test_avx512(a):
    """The same in one instruction each; what is a hair less than 1 is rounded down, not to nearest."""
    whole, above = np.zeros(16, np.int32), np.zeros(16, np.float32)
    avx512(a, whole, above)
    exact = a.astype(np.float64) - np.floor(a)
    assert np.array_equal(whole, np.floor(a))
    assert np.array_equal(above, np.where(exact > 1 - 2.0**-24, np.float32(1 - 2.0**-24), a - np.floor(a)))


def test_lanes_that_are_no_numbers_are_below_nothing():
    a, b = np.full(16, np.nan, np.float32), np.ones(16, np.float32)
    line, whole, above = np.zeros(16, np.float32), np.zeros(16, np.int32), np.zeros(16, np.float32)
    assert portable(a, b, b, line, whole, above) == 0
    a[7] = 0.5
    assert portable(a, b, b, line, whole, above) == 1


def test_every_operation_is_tested():
    assert set(simd_float.__all__) <= set(globals())
