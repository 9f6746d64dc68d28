"""Vectors, lane by lane, against NumPy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dqnumba.kernels.dot import simd, simd_quant
from dqnumba.kernels.dot.cpu import features
from dqnumba.kernels.dot.micro import driver
from dqnumba.kernels.dot.simd import (
    Vector,
    add,
    address_of,
    bit_and,
    bit_xor,
    bitcast,
    broadcast,
    f32_at,
    f32x16,
    i8_at,
    i8x16,
    i8x64,
    i16_at,
    i16x16,
    i16x32,
    i32_at,
    i32x16,
    i64_at,
    i64x8,
    load,
    load_first,
    maximum,
    minimum,
    multiply,
    narrow,
    part,
    prefetch,
    select_gt,
    set_f32,
    set_i8,
    set_i16,
    set_i32,
    set_i64,
    shift_left,
    shift_right,
    splat,
    store,
    store_first,
    subtract,
    widen,
    zeros,
)
from dqnumba.kernels.dot.simd_quant import (
    any_nan,
    high_product,
    pack_bytes,
    pack_bytes_avx512,
    round_even,
    scaled_pair,
    to_float,
    to_integer,
)

INT32 = st.one_of(
    st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from([0, 1, -1, (1 << 31) - 1, -(1 << 31), 255, -128])
)
LANES = hnp.arrays(np.int32, 16, elements=INT32)
FLOATS = hnp.arrays(np.float32, 16, elements=st.floats(width=32))


@driver()
def arithmetic(a, b, out):
    x, y = load(i32x16, address_of(a)), load(i32x16, address_of(b))
    store(address_of(out[0]), add(x, y))
    store(address_of(out[1]), subtract(x, y))
    store(address_of(out[2]), multiply(x, y))
    store(address_of(out[3]), bit_and(x, y))
    store(address_of(out[4]), bit_xor(x, y))
    store(address_of(out[5]), maximum(x, y))
    store(address_of(out[6]), minimum(x, y))
    store(address_of(out[7]), select_gt(x, y, add(x, x), zeros(i32x16)))
    bits = bit_and(y, splat(i32x16, 31))
    store(address_of(out[8]), shift_left(x, bits))
    store(address_of(out[9]), shift_right(x, bits))


@given(LANES, LANES)
def test_integers(a, b):
    out = np.zeros((10, 16), np.int32)
    arithmetic(a, b, out)
    with np.errstate(over="ignore"):
        want = [a + b, a - b, a * b, a & b, a ^ b, np.maximum(a, b), np.minimum(a, b), np.where(a > b, a + a, 0),
                a << (b & 31), a >> (b & 31)]  # fmt: skip
    assert np.array_equal(out, want)


@driver()
def products(a, b, odd, out):
    x, m = load(i32x16, address_of(a)), load(i32x16, address_of(b))
    store(address_of(out), high_product(x, m, load(i32x16, address_of(odd))))


@given(LANES, LANES)
def test_the_upper_half_of_products(a, b):
    """Only the even lanes of `m` and of `m_odd` count: the others hold rubbish."""
    out, odd, even = np.zeros(16, np.int32), np.full(16, 77, np.int32), b.copy()
    odd[::2], even[1::2] = b[1::2], -99
    products(a, even, odd, out)
    assert np.array_equal(out, (a.astype(np.int64) * b) >> 32)


@driver()
def pairs(a, b, m, n, half, shift, out):
    x, y = load(i32x16, address_of(a)), load(i32x16, address_of(b))
    store(address_of(out), scaled_pair(x, splat(i64x8, m), y, splat(i64x8, n), splat(i64x8, half), splat(i64x8, shift)))


@settings(max_examples=60)
@given(hnp.arrays(np.int32, (2, 16), elements=st.integers(-(1 << 17), 1 << 17)), st.integers(-(1 << 31), (1 << 31) - 1),
       st.integers(-(1 << 31), (1 << 31) - 1), st.integers(1, 62))  # fmt: skip
def test_two_products_rounded_once(x, m, n, shift):
    out = np.zeros(16, np.int32)
    pairs(x[0], x[1], m, n, 1 << (shift - 1), shift, out)
    want = (x[0].astype(np.int64) * m + x[1].astype(np.int64) * n + (1 << (shift - 1))) >> shift
    assert np.array_equal(out, want.astype(np.int32))


@driver()
def pack(values, out):
    at = address_of(values)
    vectors = load(i32x16, at), load(i32x16, at + 64), load(i32x16, at + 128), load(i32x16, at + 192)
    store(address_of(out), pack_bytes(vectors[0], vectors[1], vectors[2], vectors[3]))


@driver()
def pack_wide(values, out):
    at = address_of(values)
    vectors = load(i32x16, at), load(i32x16, at + 64), load(i32x16, at + 128), load(i32x16, at + 192)
    store(address_of(out), pack_bytes_avx512(vectors[0], vectors[1], vectors[2], vectors[3]))


@given(hnp.arrays(np.int32, 64, elements=st.one_of(INT32, st.integers(-140, 140))))
def test_bytes_are_packed_in_order_with_saturation(values):
    for kernel in (pack, pack_wide) if "avx512bw" in features() else (pack,):
        out = np.zeros(64, np.int8)
        kernel(values, out)
        assert np.array_equal(out, np.clip(values, -128, 127))


@driver()
def floats(a, b, out, whole):
    x, y = load(f32x16, address_of(a)), load(f32x16, address_of(b))
    store(address_of(out[0]), add(x, y))
    store(address_of(out[1]), multiply(x, y))
    store(address_of(out[2]), maximum(x, y))
    store(address_of(out[3]), minimum(x, y))
    store(address_of(out[4]), round_even(x))
    store(address_of(out[5]), add(multiply(x, y), x))
    limit = splat(f32x16, 1000.0)
    store(address_of(whole), to_integer(round_even(minimum(maximum(x, subtract(zeros(f32x16), limit)), limit))))
    return any_nan(x)


@given(FLOATS, FLOATS)
def test_floats(a, b):
    """No operation is merged with the next, and comparisons with NaN take the second operand."""
    out, whole = np.zeros((6, 16), np.float32), np.zeros(16, np.int32)
    with np.errstate(all="ignore"):
        assert floats(a, b, out, whole) == np.isnan(a).any()
        want = [a + b, a * b, np.where(a > b, a, b), np.where(a < b, a, b), np.rint(a), a * b + a]
        clipped = np.where(a > -1000, a, np.float32(-1000))
        clipped = np.where(clipped < 1000, clipped, np.float32(1000))
    assert np.array_equal(out, want, equal_nan=True)
    assert np.array_equal(whole, np.rint(clipped).astype(np.int32))


@driver()
def conversions(a, wide, as_float, bytes_, words, halves):
    x = load(i32x16, address_of(a))
    store(address_of(as_float), to_float(x))
    store(address_of(bytes_), narrow(x, i8x16))
    store(address_of(words), narrow(x, i16x16))
    store(address_of(wide), widen(load(i8x16, address_of(bytes_)), i32x16))
    store(address_of(halves), bitcast(bitcast(x, i64x8), i32x16))


@given(LANES)
def test_between_types(a):
    wide, as_float, halves = np.zeros(16, np.int32), np.zeros(16, np.float32), np.zeros(16, np.int32)
    bytes_, words = np.zeros(16, np.int8), np.zeros(16, np.int16)
    conversions(a, wide, as_float, bytes_, words, halves)
    assert np.array_equal(as_float, a.astype(np.float32)) and np.array_equal(halves, a)
    assert np.array_equal(bytes_, a.astype(np.int8)) and np.array_equal(words, a.astype(np.int16))
    assert np.array_equal(wide, bytes_)


@driver()
def first_lanes(source, target, count):
    store_first(address_of(target), load_first(i32x16, address_of(source), count), 16)
    store_first(address_of(target) + 64, load(i32x16, address_of(source)), count)


@driver()
def masked_at(address, target, count):
    vector = load_first(i32x16, address, count)
    store(address_of(target), vector)
    store_first(address, vector, count)


@driver()
def first_floats(source, target, count):
    store_first(address_of(target), load_first(f32x16, address_of(source), count), count)


@pytest.mark.parametrize("count", range(17))
def test_masked_loads_and_stores(count):
    source, target = np.arange(1, 17, dtype=np.int32), np.full(32, -5, np.int32)
    first_lanes(source, target, count)
    assert np.array_equal(target[:16], np.where(np.arange(16) < count, source, 0))
    assert np.array_equal(target[16:], np.where(np.arange(16) < count, source, -5))
    reals = np.full(16, -1, np.float32)
    first_floats(source.astype(np.float32), reals, count)
    assert np.array_equal(reals, np.where(np.arange(16) < count, source, -1))


@pytest.mark.skipif("linux" not in __import__("sys").platform, reason="protects a page by mmap")
def test_masked_loads_do_not_touch_what_they_leave_out():
    """The last lanes of a page, with nothing mapped behind it."""
    import ctypes
    import mmap

    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address + mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    values = np.frombuffer(pages, np.int32, mmap.PAGESIZE // 4)
    values[-5:] = [1, 2, 3, 4, 5]
    target = np.zeros(32, np.int32)
    masked_at(address + mmap.PAGESIZE - 20, target, 5)
    assert target[:16].tolist() == [1, 2, 3, 4, 5] + [0] * 11
    assert libc.mprotect(ctypes.c_void_p(address + mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 3) == 0


@driver()
def scalars(memory, out):
    at = address_of(memory)
    prefetch(at + (np.int64(1) << 46))  # of any address
    out[0], out[1], out[2], out[3] = i8_at(at), i16_at(at + 1), i32_at(at + 3), i64_at(at + 7)
    set_i8(at + 20, out[2])
    set_i16(at + 21, out[2])
    set_i32(at + 23, out[3])
    set_i64(at + 27, out[3])
    set_f32(at + 36, f32_at(at + 40) * 2)
    return f32_at(at + 36)


def test_scalars_need_no_alignment():
    memory, out = np.random.default_rng(0).integers(-128, 128, 64).astype(np.int8), np.zeros(4, np.int64)
    memory[40:44] = np.array([1.25], np.float32).view(np.int8)
    raw = memory.copy()
    assert scalars(memory, out) == 2.5
    for k, (start, kind) in enumerate(((0, "i1"), (1, "<i2"), (3, "<i4"), (7, "<i8"))):
        assert out[k] == np.frombuffer(raw.tobytes(), kind, 1, start)[0]
    assert memory[20] == out[2].astype(np.int8) and memory[21:23].view("<i2")[0] == out[2].astype(np.int16)
    assert memory[23:27].view("<i4")[0] == out[3].astype(np.int32) and memory[27:35].view("<i8")[0] == out[3]


@driver()
def broadcasts(memory, out, value):
    store(address_of(out), broadcast(i32x16, address_of(memory)))
    store(address_of(out) + 64, splat(i8x64, value))
    store(address_of(out) + 128, part(load(i8x64, address_of(memory)), i8x16, 2))
    store(address_of(out) + 144, part(load(i16x32, address_of(memory)), i16x16, 1))


def test_one_number_in_every_lane_and_parts_of_a_vector():
    memory, out = np.arange(64, dtype=np.int8), np.zeros(176, np.int8)
    broadcasts(memory, out, 300)
    assert (out[:64].view(np.int32) == memory[:4].view(np.int32)).all() and (out[64:128] == 300 - 256).all()
    assert np.array_equal(out[128:144], memory[32:48]) and np.array_equal(out[144:176], memory[32:64])


def test_a_vector_type_is_the_same_in_every_process():
    """Numba's cache key holds it: by its constructor, not by a number of this process."""
    assert pickle.loads(pickle.dumps(i8x64)) == i8x64 == Vector("i8", 64) != Vector("i8", 32)
    assert i8x64.__reduce__() == (Vector, ("i8", 64))
    assert not [name for module in (simd, simd_quant) for name in module.__all__ if not hasattr(module, name)]
