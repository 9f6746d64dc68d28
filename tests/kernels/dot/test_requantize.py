from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fold import COLUMNS, ROWS, largest_safe, stages
from vector_cases import RANGE, Rows

from dqnumba.kernels import reference
from dqnumba.kernels.dot import api_requantize
from dqnumba.kernels.dot.fold import Fold
from dqnumba.kernels.dot.launch import run
from dqnumba.kernels.dot.requantize import requantize_op

FULL = RANGE["int32"]
KINDS = ("tensor", "row", "channel", "power")


def reference_of(x, found, zero_in, zero_point, low, high):
    out = np.zeros(x.shape, np.int32)
    reference.requantize(x, zero_in, *zip(*found, strict=True), zero_point, low, high, out)
    return out


def check(x, found, *, source="int32", output="int8", zero_in=0, zero_point=0, clamp=None, magnitude=None, scale=None,
          zero_exit=0):  # fmt: skip
    """The reference's bits; nothing behind the rows is written. Which rows were safe."""
    rows, columns = x.shape
    low, high = clamp or RANGE.get(output, FULL)
    if magnitude is None:
        magnitude = np.abs(x.astype(np.int64) - zero_in).max(axis=1).astype(np.float64)
    fold = Fold(found, zero_point)
    into, out = Rows(source, rows, columns, x), Rows(output, rows, columns)
    op, keep = requantize_op(
        source=into.place, source_kind=source, output=out.place, output_kind=output, columns=columns, fold=fold,
        magnitude=magnitude, zero_in=zero_in, low=low, high=high, scale=scale, zero_exit=zero_exit,
    )  # fmt: skip
    run([op], np.array([0, rows // 3, rows]))
    want = reference_of(x, found, zero_in, zero_point, low, high)
    if output == "float32":
        want = (want.astype(np.int64) - zero_exit).astype(np.float32) * np.asarray(scale, np.float32)
        assert out.read().tobytes() == want.tobytes()
    else:
        assert np.array_equal(out.read(), want)
    assert out.intact() and keep
    return np.broadcast_to(fold.safe_rows(magnitude), (rows,))


def stage(rng, kind, rows, columns, gain=2.0**-12, bias=True):
    """A stage whose factors are about ``gain``, of both signs, a zero among them."""
    if kind == "power":
        return (
            np.array([[1 << 30]]),
            np.array([[30 - round(np.log2(gain))]]),
            rng.integers(-99, 99, (1, columns)) * bias,
        )
    shape = {"tensor": (1, 1), "row": (rows, 1), "channel": (1, columns)}[kind]
    fraction, exponent = np.frexp(gain * rng.uniform(0.3, 3.0, shape) * rng.choice([-1, 1], shape))
    m, s = (fraction * ((1 << 31) - 1)).astype(np.int64), 31 - exponent.astype(np.int64)
    m.reshape(-1)[1::5] = 0
    return m, s, rng.integers(-99, 99, (1, columns if bias else 1)) * bias


def sums(rng, rows, columns, small=2**17):
    """Rows within ``small``, and each third of any 32 bits."""
    x = rng.integers(-small, small, (rows, columns), dtype=np.int32)
    x[2::3] = rng.integers(*FULL, x[2::3].shape, dtype=np.int32, endpoint=True)
    x[2::3, :2] = np.array(FULL)[: x.shape[1]]
    return x


THREE = (("power", "row"), ("channel", "row"), ("row", "power"), ("channel", "channel"), ("power", "power"))
ONE_TO_THREE = [kinds for count in (1, 2) for kinds in itertools.product(KINDS, repeat=count)]
ONE_TO_THREE += [(first, *rest) for first in KINDS[:3] for rest in THREE]


@pytest.mark.parametrize("kinds", ONE_TO_THREE, ids="-".join)
def test_stages_of_every_kind(kinds):
    """One to three, with hubs among the rows: some take the folded steps, some the reference's."""
    rng, rows = np.random.default_rng(0), 9
    mixed = []
    for columns in (1, 17, 70):
        gains = (
            [2.0**-12] if len(kinds) == 1 else [2.0**-2, 2.0**-10] if len(kinds) == 2 else [2.0**-2, 2.0**-5, 2.0**-5]
        )
        for bias in (True, False):
            found = [stage(rng, kind, rows, columns, gain, bias) for kind, gain in zip(kinds, gains, strict=True)]
            safe = check(sums(rng, rows, columns, 2**15), found, zero_point=int(rng.integers(-128, 128)))
            mixed.append(safe.any() and not safe.all())
    assert any(mixed) or kinds == ("power",), "only one of the two ways was tried"


@pytest.mark.parametrize(
    ("source", "output"), list(itertools.product(("int4", "int8", "int16", "int32"), (*RANGE, "float32")))
)
def test_every_source_and_output(source, output):
    rng, rows, columns = np.random.default_rng(1), 7, 37
    low, high = RANGE[source]
    x = rng.integers(low, high, (rows, columns), endpoint=True)
    x[0, :2] = low, high
    x[::2] >>= {"int32": 15}.get(source, 0)
    gain = {"int4": 3.0, "int8": 0.7, "int16": 2.0**-7, "int32": 2.0**-12}[source]
    found = [stage(rng, "channel", rows, columns, gain)]
    scale = rng.uniform(0.01, 2, columns).astype(np.float32) if output == "float32" else None
    bottom = RANGE.get(output, FULL)
    for zero_in in (0,) if source == "int32" else (0, low, high):
        for clamp in (None, (3, bottom[1])):  # the second is a ReLU with zero point 3
            check(x, found, source=source, output=output, zero_in=zero_in, zero_point=3, clamp=clamp, scale=scale,
                  zero_exit=3 if scale is not None and clamp else 0)  # fmt: skip


@pytest.mark.parametrize("output", ["int4", "int8", "int16", "float32"])
def test_every_width(output):
    rng = np.random.default_rng(2)
    for columns in (*range(1, 71), 128, 130, 256):
        for rows in (1, 6):
            found = [stage(rng, "channel", rows, columns, 2.0**-3), stage(rng, "power", rows, columns, 2.0**-9, False)]
            scale = rng.uniform(0.01, 2, columns).astype(np.float32) if output == "float32" else None
            check(sums(rng, rows, columns, 2**14), found, output=output, zero_point=-3, scale=scale)


@pytest.mark.parametrize("shift", range(1, 63))
@pytest.mark.parametrize("kind", ["tensor", "row", "channel"])
def test_every_shift(kind, shift):
    """With sums of all magnitudes, at both signs and around the ties."""
    rng, rows, columns = np.random.default_rng(shift), 32, 16
    limit = 1 << np.arange(rows)
    x = np.minimum(limit[:, None] + np.arange(-8, 8), FULL[1]) * rng.choice([-1, 1], (rows, columns))
    shape = {"tensor": (1, 1), "row": (rows, 1), "channel": (1, columns)}[kind]
    for m in (
        rng.integers(1 << 30, 1 << 31, shape),
        -rng.integers(1 << 30, 1 << 31, shape),
        rng.integers(-3, 4, shape) * 2 + 1,
    ):
        check(x, [(m, np.full(shape, shift), rng.integers(-5, 5, (1, columns)))], output="int32", zero_point=1)


@settings(max_examples=40)
@given(st.lists(stages(), min_size=1, max_size=1), st.sampled_from([0, -128, 127]), st.integers(0, 2**32))
def test_inputs_at_the_bound_that_was_given(found, zero_point, seed):
    """Rows exactly as large as is still called safe, one more, and twice that."""
    edge = np.clip(largest_safe(Fold(found, zero_point)), 0, FULL[1])
    rng = np.random.default_rng(seed)
    for magnitude in (edge, np.minimum(edge + 1, FULL[1]), np.minimum(2 * edge, FULL[1])):
        x = (
            magnitude.astype(np.int64)[:, None]
            * rng.choice([-1, 1], (ROWS, COLUMNS))
            // rng.choice([1, 1, 2], (ROWS, COLUMNS))
        )
        check(x, found, output="int32", zero_point=zero_point, magnitude=magnitude)


def test_one_bound_for_all_rows_and_rows_that_differ():
    rng, columns = np.random.default_rng(3), 20
    for kind in ("tensor", "row", "channel"):
        found = [stage(rng, kind, 8, columns)]
        x = rng.integers(-1000, 1000, (8, columns))
        check(x, found, magnitude=np.array([1000.0]))
        assert not check(x, found, magnitude=np.array([2.0**40])).any()


def test_no_stage_at_all_moves_codes():
    rng = np.random.default_rng(4)
    for source, output, zero_in, zero_point in (
        ("int4", "int8", 0, 0),
        ("int8", "int16", -128, 0),
        ("int16", "int32", 7, -9),
    ):
        x = rng.integers(*RANGE[source], (5, 33), endpoint=True)
        into, out = Rows(source, 5, 33, x), Rows(output, 5, 33)
        op, keep = requantize_op(
            source=into.place, source_kind=source, output=out.place, output_kind=output, columns=33,
            fold=Fold([], zero_point), magnitude=np.array([2.0**17]), zero_in=zero_in, low=RANGE[output][0],
            high=RANGE[output][1],
        )  # fmt: skip
        run([op], np.array([0, 5]))
        assert np.array_equal(out.read(), x - zero_in + zero_point) and keep


def test_floats_are_rounded_once():
    """Integers beyond 2**24 become the nearest float, as NumPy's cast does, on both ways."""
    x = (np.array([[1], [-1]]) * (2**24 + np.arange(32))).repeat(2, 0)
    one = (np.array([[1 << 30]]), np.array([[30]]), np.array([[0]]))
    scale = np.full(32, np.float32(0.1))
    for magnitude in (2.0**25, 2.0**40):
        check(x, [one], output="float32", scale=scale, magnitude=np.array([magnitude]))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_function_on_arrays(threads):
    """The signature of the reference: strided, read-only, other shapes of multiplier and shift, other types."""
    rng, rows, columns = np.random.default_rng(5), 200, 23
    found = [stage(rng, "channel", rows, columns)]
    m, s, b = found[0]
    base = sums(rng, rows, 2 * columns)
    frozen = base[:, :columns].copy()
    frozen.flags.writeable = False
    one = np.ones((1, 1), np.int64)
    for acc, zero in ((base[:, ::2], 0), (frozen, 0), (frozen[::-1], 0), (frozen, 5), (frozen.astype(np.int8), -128)):
        for tables in (
            (m, s, b),
            (m[:, :1], s, b),
            (3 * one, one * 40, rng.integers(-9, 9, (rows, 1))),
            (m, one * 41, b),
        ):
            for dtype in (np.int8, np.int16, np.int32):
                args = (zero, *((t,) for t in tables), 4, -100, 100)
                out = np.full((rows, columns + 3), 77, dtype)[:, :columns]
                want = np.zeros((rows, columns), dtype)
                reference.requantize(acc, *args, want)
                api_requantize.requantize(acc, *args, out, threads=threads)
                assert np.array_equal(out, want) and (out.base[:, columns:] == 77).all()
    nothing = np.zeros((0, 5), np.int32)
    api_requantize.requantize(nothing, 0, (one,), (one,), (one,), 0, -5, 5, nothing.astype(np.int8), threads=threads)
