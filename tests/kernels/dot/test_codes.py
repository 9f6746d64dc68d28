from __future__ import annotations

import numpy as np
import pytest
from vector_cases import RANGE, Rows

from dqnumba.kernels.dot.codes import GET, LOAD, SET, STORE, kind_of, row_bytes
from dqnumba.kernels.dot.launch import run
from dqnumba.kernels.dot.micro import micro, new_op, place, put_place, stride
from dqnumba.kernels.dot.simd import i64_at
from dqnumba.quant import pack4, unpack4

KINDS = tuple(RANGE)


def copy_kernel(source, target, whole):
    """Rows of one kind as another, by vectors or number by number."""
    load, store, get, put = LOAD[source], STORE[target], GET[source], SET[target]

    def vectors(op, start, stop, scratch):
        for i in range(start, stop):
            x, o = place(op, 1, start, scratch) + i * stride(op, 1), place(op, 4, start, scratch) + i * stride(op, 4)
            for v in range((i64_at(op + 56) + 15) >> 4):
                store(o, v, load(x, v))

    def numbers(op, start, stop, scratch):
        for i in range(start, stop):
            x, o = place(op, 1, start, scratch) + i * stride(op, 1), place(op, 4, start, scratch) + i * stride(op, 4)
            for c in range(i64_at(op + 56)):
                put(o, c, np.int64(get(x, c)))

    kernel = vectors if whole else numbers
    kernel.__name__ = kernel.__qualname__ = f"test_copy_{source}_{target}_{whole}"
    return micro(kernel)


def copied(kernel, kind, values, target, columns):
    source, out = Rows(kind, len(values), columns, values), Rows(target, len(values), columns)
    op = new_op(kernel)
    put_place(op, 1, *source.place)
    put_place(op, 4, *out.place)
    op[7] = columns
    run([op], np.array([0, len(values) // 2, len(values)]))
    assert out.intact()
    return out


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("kind", "target"), [(k, k) for k in KINDS] + [("int4", "int8"), ("int32", "int4"), ("int16", "int32")]
)
def test_round_trips(kind, target, whole):
    rng, kernel = np.random.default_rng(0), copy_kernel(kind, target, whole)
    low, high = RANGE["int4"] if "int4" in (kind, target) else RANGE[kind]
    for columns in (*range(1, 40), 64, 65, 128):
        values = rng.integers(low, high, (6, columns), endpoint=True)
        values.reshape(-1)[:2] = (low, high)[: values.size]
        assert np.array_equal(copied(kernel, kind, values, target, columns).read(), values), columns


def test_every_byte_of_two_codes():
    """All 256 pairs, as `pack4` writes them and as the kernels do."""
    pairs = np.stack(np.meshgrid(np.arange(-8, 8), np.arange(-8, 8), indexing="ij"), axis=-1).reshape(1, -1)
    for whole in (True, False):
        out = copied(copy_kernel("int32", "int4", whole), "int32", pairs, "int4", 512)
        assert np.array_equal(out.memory[0, :256].view(np.uint8), pack4(pairs.astype(np.int8)).view(np.uint8)[0])
        assert np.array_equal(out.read(), pairs)
        assert np.array_equal(unpack4(out.memory[:1, :256].view(np.uint8), 512), pairs)


@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
def test_a_store_keeps_the_low_bits(kind):
    """Numbers beyond the kind: modulo, neighbours untouched. Nothing relies on it but nothing else may happen."""
    bits = {"int4": 4, "int8": 8, "int16": 16}[kind]
    values = np.array([[-1, 1 << bits, (1 << bits) + 3, -(1 << 31), (1 << 31) - 1, 5, -6, 1 << (bits - 1)] * 2])
    expected = (values + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    for whole in (True, False):
        assert np.array_equal(copied(copy_kernel("int32", kind, whole), "int32", values, kind, 16).read(), expected)


def test_the_narrowest_kind():
    for kind, limit in (("int4", 8), ("int8", 128), ("int16", 32768)):
        assert kind_of(-limit, limit - 1) == kind
        assert kind_of(0, 0) == "int4"
        if limit < 32768:
            assert kind_of(-limit - 1, 0) != kind and kind_of(0, limit) != kind
    for low, high in ((-32769, 0), (0, 32768)):
        with pytest.raises(ValueError, match="16 bits"):
            kind_of(low, high)


def test_rows_are_padded_to_vectors_and_lines():
    sizes = {"int4": 0.5, "int8": 1, "int16": 2, "int32": 4}
    for kind, size in sizes.items():
        for columns in range(1, 300):
            width = row_bytes(kind, columns)
            used = int(np.ceil(columns * size))
            assert width >= used and (width in (16, 32) or width % 64 == 0) and width - used < 64
            if kind != "int32":
                assert width >= int(-(-columns // 16) * 16 * size), "whole vectors of 16 channels must fit"
