"""The int8 matrix product of every instruction set that this processor has, bit for bit against the reference."""

from __future__ import annotations

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqnumba.errors import ConfigError
from dqnumba.kernels import reference
from dqnumba.kernels.dot import api_matmul, cpu, matmul_trust
from dqnumba.kernels.dot.api_matmul import BoundMatmul, _rows_in_place, matmul, matmul_packed
from dqnumba.kernels.dot.executor import run_parallel, run_serial
from dqnumba.kernels.dot.matmul import Place, kernel_of, matmul_op, row_block, scratch_bytes
from dqnumba.kernels.dot.matmul_pack import address, aligned_zeros, pack_weights

ISAS = cpu.available_isas()
pytestmark = pytest.mark.skipif(not ISAS, reason="these kernels exist as machine code only")
_GUARD = 96
_FILL = 0x55


def weights(rng, shape, bits=8):
    low = -(2 ** (bits - 1))
    w = rng.integers(low, -low, shape).astype(np.int8)
    w[rng.random(shape) < 0.1] = low
    return w


def case(rng, rows, inner, columns, bits=8):
    x = weights(rng, (rows, inner))
    bias = rng.integers(-(2**31), 2**31, columns)
    return x, weights(rng, (inner, columns), bits), bias


def expected(x, w, bias):
    out = np.empty((len(x), w.shape[1]), np.int32)
    reference.matmul(x, w, bias, 0, out)
    return out


def guarded(rows, columns, offset=0):
    """An int32 array within a larger buffer, at an odd place, and whether its surroundings are as they were."""
    buffer = np.full(rows * columns * 4 + 2 * _GUARD + offset, _FILL, np.uint8)
    start, stop = _GUARD + offset, _GUARD + offset + rows * columns * 4

    def intact():
        return (buffer[:start] == _FILL).all() and (buffer[stop:] == _FILL).all()

    return buffer[start:stop].view(np.int32).reshape(rows, columns), intact


def check(isa, x, w, bias, bits=8, threads=(1, 2), offset=0):
    packed, right = pack_weights(w, isa=isa, bits=bits), expected(x, w, bias)
    for count in threads:
        out, intact = guarded(*right.shape, offset)
        matmul_packed(x, packed, bias, out, count)
        assert np.array_equal(out, right), (isa, bits, x.shape, w.shape, count)
        assert intact(), "written outside of out"


@pytest.mark.parametrize("isa", ISAS)
def test_remainders_of_rows(isa):
    rng = np.random.default_rng(0)
    for rows in range(71):
        check(isa, *case(rng, rows, 20, 21))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [8, 4])
def test_remainders_of_inner_sizes(isa, bits):
    rng = np.random.default_rng(1)
    for inner in range(1, 201):
        check(isa, *case(rng, 17, inner, 16, bits), bits, threads=(1,))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [8, 4])
def test_remainders_of_columns(isa, bits):
    rng = np.random.default_rng(2)
    for columns in range(1, 71):
        check(isa, *case(rng, 9, 36, columns, bits), bits, threads=(1,), offset=columns % 4)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [8, 4])
def test_sizes_beyond_one_block(isa, bits):
    rng = np.random.default_rng(3)
    for rows, inner, columns in [(200, 1432, 64), (33, 2500, 40), (450, 64, 130), (65, 1025, 17)]:
        check(isa, *case(rng, rows, inner, columns, bits), bits)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("a", "b"), list(itertools.product((-128, 127), repeat=2)))
def test_extreme_codes(isa, a, b):
    x, w = np.full((35, 260), a, np.int8), np.full((260, 33), b, np.int8)
    check(isa, x, w, np.full(33, 2**31 - 1), threads=(1,))


@pytest.mark.parametrize("isa", ISAS)
def test_sums_wrap_on_the_way_but_not_at_the_end(isa):
    x = np.full((2, 280_000), -128, np.int8)
    w = np.full((x.shape[1], 1), -128, np.int8)
    w[140_000:] = 127
    out, _ = guarded(2, 1)
    matmul_packed(x, pack_weights(w, isa=isa), np.zeros(1, np.int64), out)
    assert out.tolist() == [[140_000 * 128]] * 2


@pytest.mark.parametrize("isa", ISAS)
def test_layouts_of_arrays(isa):
    """Strided, reversed, transposed, read-only, broadcast and odd addresses; rows of out within a wider array."""
    rng = np.random.default_rng(4)
    x, w, bias = case(rng, 40, 70, 20)
    frozen = x.copy()
    frozen.flags.writeable = False
    shifted = np.empty(x.size + 3, np.int8)[3:].reshape(x.shape)
    shifted[:] = x
    wide = weights(rng, (40, 200))
    layouts = [x[::2], x[::-1], x[:, ::-1], np.asfortranarray(x), frozen, shifted, wide[:, 3:73], wide[:, ::2][:, :70]]
    for source in [*layouts, np.broadcast_to(x[0], x.shape), wide[::-3, 1:71]]:
        check(isa, source, np.asfortranarray(w), bias, threads=(1,))
    packed = pack_weights(w, isa=isa)
    right = expected(x, w, bias)
    for view in ((slice(None), slice(5, 25)), (slice(None), slice(0, 40, 2)), (slice(None, None, -1), slice(20))):
        area = np.full((40, 45), 7, np.int32)
        copy = area.copy()
        matmul_packed(x, packed, bias, area[view], 2)
        copy[view] = right
        assert np.array_equal(area, copy)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("offset", [0, 4, 16, 60])
def test_results_that_go_past_the_caches(isa, offset, monkeypatch):
    monkeypatch.setattr(api_matmul, "_STREAM", 0)
    rng = np.random.default_rng(5)
    for rows, columns in [(1, 16), (2, 16), (3, 32), (70, 48), (400, 16)]:
        check(isa, *case(rng, rows, 20, columns), offset=offset)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("segments", [(16, 16), (5, 64), (64, 7), (70, 130), (600, 1000), (40,)])
@pytest.mark.parametrize("local", [False, True])
def test_operations_on_padded_rows(isa, bits, segments, local):
    """As a program uses them: one or two inputs, rows padded with anything, blocks of any size, scratch or not."""
    rng = np.random.default_rng(6)
    for columns, rows in [(16, 3), (33, 40), (64, 16), (64, 65)]:
        w, bias = weights(rng, (sum(segments), columns), bits), rng.integers(-1000, 1000, columns)
        packed = pack_weights(w, isa=isa, bits=bits, segments=segments)
        inputs = []
        for k in segments:
            width = 16 if k <= 16 else 32 if k <= 32 else -(-k // 64) * 64
            inputs.append(aligned_zeros((rows + 16, width), np.int8))
            inputs[-1][:] = weights(rng, inputs[-1].shape)
        wide = packed.column_vectors * 16
        out = aligned_zeros((rows + 2, wide + 16), np.int32)
        out[:] = 7
        block = 24
        temporary, memory = [], scratch_bytes(packed, block)
        for k in range(len(segments) + 1):
            temporary.append(memory)
            memory += 64 * (-(-block * (out if k == len(segments) else inputs[k]).strides[0] // 64))
        places = [Place(address(a), a.strides[0]) for a in inputs]
        target = Place(address(out) + out.strides[0], out.strides[0])
        ops, keep = [], []
        if local:
            from dqnumba.kernels.dot.copy_rows import copy_rows_op

            inner = [Place(t, p.stride, True) for t, p in zip(temporary, places, strict=False)]
            for source, to in zip(places, inner, strict=True):
                ops.append(copy_rows_op(source=source, target=to, width=source.stride))
            held = Place(temporary[-1], out.strides[0], True)
            op, keep = matmul_op(inputs=inner, packed=packed, bias=bias, out=held)
            ops += [op, copy_rows_op(source=held, target=target, width=4 * wide)]
        else:
            op, keep = matmul_op(inputs=places, packed=packed, bias=bias, out=target)
            ops.append(op)
        bounds = np.array(sorted({*range(0, rows, block), rows}))
        phases, ops = np.array([[0, len(ops), 0, len(bounds) - 1]]), np.array(ops)
        scratch = aligned_zeros((2, -(-memory // 64) * 64 + 64), np.int8)
        right = expected(np.concatenate([a[:rows, :k] for a, k in zip(inputs, segments, strict=True)], axis=1), w, bias)
        for threads in (1, 2):
            out[1 : rows + 1, :wide] = 0
            if threads == 1:
                run_serial(phases, ops, bounds, scratch)
            else:
                run_parallel(phases, ops, bounds, scratch, aligned_zeros((1, 8), np.int64), threads)
            assert np.array_equal(out[1 : rows + 1, :columns], right)
            assert (out[[0, -1]] == 7).all() and (out[:, wide:] == 7).all(), "written outside of the block"
        del keep


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_product(data):
    rows, inner, columns = (
        data.draw(st.integers(0, 90)),
        data.draw(st.integers(1, 300)),
        data.draw(st.integers(1, 90)),
    )
    isa, bits = data.draw(st.sampled_from(ISAS)), data.draw(st.sampled_from((8, 4)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x, w, bias = case(rng, rows, inner, columns, bits)
    check(isa, x, w, bias, bits, threads=(data.draw(st.integers(1, 3)),))


def test_the_function_of_the_reference():
    """Same name, same arguments; what the vector kernels do not take goes the scalar way."""
    rng = np.random.default_rng(7)
    for rows, inner, columns, dtype, accumulator, zero in [
        (30, 40, 20, np.int8, np.int32, 0),
        (30, 40, 20, np.int8, np.int32, 3),
        (30, 40, 20, np.int8, np.int64, 0),
        (30, 40, 20, np.int16, np.int32, 0),
        (0, 40, 20, np.int8, np.int32, 0),
        (30, 0, 20, np.int8, np.int32, 0),
        (30, 40, 0, np.int8, np.int32, 0),
        (3000, 128, 128, np.int8, np.int32, 0),
    ]:
        x, w = weights(rng, (rows, inner)).astype(dtype), weights(rng, (inner, columns))
        bias = rng.integers(-1000, 1000, columns)
        out, right = np.empty((rows, columns), accumulator), np.empty((rows, columns), accumulator)
        matmul(x, w, bias, zero, out)
        reference.matmul(x, w, bias, zero, right)
        assert np.array_equal(out, right)


def test_a_bound_product_sees_new_contents():
    rng = np.random.default_rng(8)
    x, w, bias = case(rng, 300, 64, 64)
    out = np.empty((300, 64), np.int32)
    product = BoundMatmul(x, pack_weights(w, isa=ISAS[0]), bias, out, 2)
    for _ in range(2):
        x[:] = weights(rng, x.shape)
        product()
        assert np.array_equal(out, expected(x, w, bias))


def test_what_is_kept_with_the_weights_fits_each_call():
    """Aligned and not, other layouts and back, another bias, contents that change; never more layouts than allowed."""
    rng = np.random.default_rng(10)
    for isa, columns in itertools.product(ISAS, (48, 80)):
        x, w, bias = case(rng, 70, 192, columns)
        packed, memory = pack_weights(w, isa=isa), aligned_zeros(70 * 192 + 64, np.int8)
        for offset in (0, 1, 0, 16, 1):
            placed = memory[offset : offset + x.size].reshape(x.shape)
            placed[:] = x = weights(rng, x.shape)
            for rows in (70, 33, 70):
                bias = rng.integers(-(2**40), 2**40, columns)
                out, intact = guarded(rows, columns, 4 * offset)
                matmul_packed(placed[:rows], packed, bias, out, 1)
                assert np.array_equal(out, expected(x[:rows], w, bias.astype(np.int32))) and intact()
        for rows in range(1, 71):
            matmul_packed(x[:rows], packed, bias, out[:rows], 1)
        assert len(packed.ready) <= 32


def test_the_same_layout_with_other_types_is_refused():
    x, w, bias = case(np.random.default_rng(11), 5, 64, 32)
    packed, out = pack_weights(w, isa=ISAS[0]), np.zeros((5, 32), np.int32)
    for _ in range(2):
        matmul_packed(x, packed, bias, out)
        frozen = out.copy()
        frozen.flags.writeable = False
        for wrong in ((x.view(np.uint8), out), (x, out.view(np.float32)), (x, frozen)):
            with pytest.raises(ValueError):
                matmul_packed(wrong[0], packed, bias, wrong[1])
    assert np.array_equal(out, expected(x, w, bias))


def test_threads_of_python_share_packed_weights():
    rng = np.random.default_rng(12)
    x, w, bias = case(rng, 300, 100, 64)
    packed, right = pack_weights(w, isa=ISAS[0]), expected(x, w, bias)

    def work(k):
        found = []
        for _ in range(50):
            out = np.zeros_like(right)
            matmul_packed(x, packed, bias + k, out, 1)
            found.append(np.array_equal(out, right + k))
        return all(found)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


@given(st.integers(1, 90), st.lists(st.integers(1, 150), min_size=1, max_size=2), st.integers(-3, 400), st.booleans())
def test_rows_are_read_in_place_only_where_that_stays_in_the_array(rows, segments, stride, aligned):
    for isa in ("amx", "avx512vnni", "portable"):
        packed = pack_weights(np.ones((sum(segments), 17), np.int8), isa=isa, segments=tuple(segments))
        count = _rows_in_place(packed, rows, stride, aligned)
        assert 0 <= count <= rows
        if count:
            starts = np.cumsum(segments) - segments
            last_read = (count - 1) * stride + max(starts + packed.step * np.array(packed.steps))
            assert count == rows or last_read <= (rows - 1) * stride + packed.inner


def test_nothing_behind_the_activations_is_read():
    """They end where a page ends that is followed by one that must not be touched."""
    code = """
import ctypes, mmap
import numpy as np
from dqnumba.kernels.dot.api_matmul import matmul_packed
from dqnumba.kernels.dot.cpu import available_isas
from dqnumba.kernels.dot.matmul_pack import pack_weights
page = mmap.PAGESIZE
memory = mmap.mmap(-1, 33 * page)
whole = np.frombuffer(memory, np.int8)
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(whole.ctypes.data + 32 * page), page, 0) == 0
whole = whole[: 32 * page]
whole[:] = np.arange(len(whole)) % 251 - 125
for isa in available_isas():
    for rows, inner, columns in [(1, 1, 5), (1, 70, 64), (33, 500, 64), (70, 1433, 16), (64, 64, 64), (90, 201, 130)]:
        x = whole[-rows * inner :].reshape(rows, inner)
        w = (np.arange(inner * columns) % 200 - 100).astype(np.int8).reshape(inner, columns)
        out = np.zeros((rows, columns), np.int32)
        matmul_packed(x, pack_weights(w, isa=isa), np.zeros(columns, np.int64), out, 1)
        assert np.array_equal(out, x.astype(np.int64) @ w.astype(np.int64))
print("right")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    if "mprotect" in done.stderr:
        pytest.skip("pages cannot be protected here")
    assert done.stdout.strip() == "right", done.stderr[-2000:]


def test_bad_arguments():
    w, out = np.ones((4, 3), np.int8), np.zeros((2, 3), np.int32)
    packed = pack_weights(w, isa="portable")
    frozen = out.copy()
    frozen.flags.writeable = False
    x = np.ones((2, 4), np.int8)
    for wrong in [
        (x[:, :3], packed, np.zeros(3), out),
        (x, packed, np.zeros(3), out[:1]),
        (x[0], packed, [0] * 3, out),
    ]:
        with pytest.raises(ValueError):
            matmul_packed(*wrong)
    with pytest.raises(ValueError, match="writable"):
        matmul_packed(x, packed, np.zeros(3, np.int64), frozen)
    with pytest.raises(ValueError, match="integers"):
        matmul_packed(x, packed, np.zeros(3), out)
    with pytest.raises(ValueError, match="biases"):
        matmul_packed(x, packed, np.zeros(2, np.int64), out)
    with pytest.raises(ValueError, match="add up"):
        pack_weights(w, isa="portable", segments=(1, 2))
    with pytest.raises(ValueError, match="do not fit"):
        pack_weights(w * 8, isa="portable", bits=4)
    with pytest.raises(ValueError, match="filled"):
        pack_weights(w[:0], isa="portable")
    missing = next(isa for isa in cpu.ISAS if isa not in ISAS)
    with pytest.raises(ConfigError, match="cannot run here"):
        kernel_of(pack_weights(w, isa=missing))


def test_packed_weights_say_what_they_are():
    w = weights(np.random.default_rng(9), (130, 40), 4)
    for isa in cpu.ISAS:
        eight, four = (pack_weights(w, isa=isa, segments=(100, 30), bits=bits) for bits in (8, 4))
        assert eight.nbytes >= w.size and four.nbytes >= w.size / 2
        assert four.nbytes * 2 <= eight.nbytes * 1.05
        assert address(eight.data) % 64 == 0 and not eight.data.flags.writeable
        assert np.array_equal(eight.column_sums, w.sum(axis=0, dtype=np.int64))
        assert eight.segments == (100, 30) and eight.columns == 40
        assert scratch_bytes(four, 64) % 64 == 0


def test_row_blocks():
    for inner, columns, rows in itertools.product((1, 64, 500, 3840, 100_000), (16, 3840), (1, 31, 200, 20_000)):
        block = row_block(inner, columns, rows, 2)
        assert block % 32 == 0 and 32 <= block <= 192
    assert row_block(3840, 3840) * 3840 < 1 << 20


def test_a_wrong_answer_leads_to_the_next_instruction_set(monkeypatch, caplog):
    monkeypatch.delenv("DQNUMBA_ISA", raising=False)
    assert all(matmul_trust.is_right(isa, 1 if isa != "amx" else 2) for isa in ISAS)
    assert matmul_trust.trusted_isa(16) == ISAS[0]
    monkeypatch.setattr(matmul_trust, "is_right", lambda isa, *rest: isa == ISAS[-1])
    assert matmul_trust.trusted_isa(16) == ISAS[-1]
    assert caplog.text.count("wrong numbers") == len(ISAS) - 1
    monkeypatch.setattr(matmul_trust, "is_right", lambda *rest: False)
    assert matmul_trust.trusted_isa(16) is None
