"""The range rule "mse" against brute force, on every kind of tensor that an observer meets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dqnumba as dq
from dqnumba.errors import ConfigError
from dqnumba.graph import SparseFeatures
from dqnumba.nn import EdgeBlocks
from dqnumba.qat import SearchObserver, least_error_range
from dqnumba.quant import QuantSpec, choose_qparams, fake_quantize

VALUES = st.floats(-1e4, 1e4, width=32)
MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=VALUES)
BITS = st.sampled_from([2, 4, 8])


def squared_error(values, ends, spec):
    rounded = fake_quantize(np.asarray(values, np.float32), choose_qparams(*ends, spec))
    return float(np.square(rounded.astype(np.float64) - values).sum())


def observer(bits=4, momentum=0.1, **options):
    return SearchObserver("here", QuantSpec(bits=bits, **options), widen=0.0, momentum=momentum)


def seen(x, *args, **options):
    look = observer(**options)
    look.update(x, *args)
    return look.range.tolist()


@settings(max_examples=60)
@given(MATRICES, BITS, st.booleans())
def test_never_worse_than_the_full_range_and_inside_it(x, bits, signed):
    x = x if signed else np.abs(x)
    spec = QuantSpec(bits=bits, signed=signed)
    low, high = least_error_range(x.reshape(-1), None, spec)
    full = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    assert full[0] <= low <= 0.0 <= high <= full[1]
    slack = 1e-5 * max(1.0, float(np.abs(x).max())) ** 2 * x.size  # fake_quantize is float32
    assert squared_error(x, (low, high), spec) <= squared_error(x, full, spec) + slack


@pytest.mark.parametrize("bits", [3, 4])
def test_close_to_the_best_of_a_fine_grid(bits):
    rng = np.random.default_rng(bits)
    spec = QuantSpec(bits=bits)
    for values in (rng.standard_normal(800), rng.laplace(size=800), np.abs(rng.standard_normal(800)) ** 2):
        found = squared_error(values, least_error_range(values, None, spec), spec)
        low, high = min(values.min(), 0.0), values.max()
        shares = np.linspace(0.05, 1.0, 60)
        best = min(squared_error(values, (low * a, high * b), spec) for a in shares for b in shares)
        assert found <= 1.05 * best


def test_one_far_value_is_clipped_at_few_bits_and_kept_at_many():
    values = np.append(np.random.default_rng(0).standard_normal(4000), 30.0).astype(np.float32)[:, None]
    assert seen(values, bits=4)[1] < 15.0
    assert seen(values, bits=8)[1] > 20.0


def test_nothing_to_search():
    assert least_error_range(np.zeros(5), None, QuantSpec(bits=4)) == (0.0, 0.0)
    assert np.isnan(seen(np.zeros((0, 3), np.float32))).all()
    with pytest.raises(ConfigError, match=r"here.*finite"):
        seen(np.array([[1.0, np.nan]], np.float32))


@settings(max_examples=40)
@given(MATRICES, st.randoms(use_true_random=False))
def test_protected_rows_and_copies(x, random):
    protected = np.array([random.random() < 0.5 for _ in range(len(x))])
    copies = np.array([random.randrange(3) for _ in range(len(x))])
    if protected.all():
        assert np.isnan(seen(x, protected)).all()
    else:
        assert seen(x, protected) == seen(x[~protected])
    if copies.any():
        np.testing.assert_allclose(seen(x, None, copies), seen(np.repeat(x, copies, axis=0)), rtol=1e-6)


@settings(max_examples=40)
@given(MATRICES)
def test_sparse_zeros_take_no_part(x):
    x[np.abs(x) < 5000] = 0.0
    assert seen(SparseFeatures.from_dense(x)) == seen(x)


def test_blocks_are_looked_at_together():
    x = np.random.default_rng(1).standard_normal((40, 3)).astype(np.float32)
    graph = dq.Graph.from_edge_index(np.random.default_rng(2).integers(0, 9, (2, 40)), num_nodes=9, coalesce=False)
    blocks = EdgeBlocks(graph.adjacency("keep"), x.shape, x.dtype, lambda a, b: x[a:b])
    assert seen(blocks) == seen(x)


def test_many_values_go_through_a_histogram():
    values = np.random.default_rng(3).laplace(size=(60_000, 1)).astype(np.float32)
    spec = QuantSpec(bits=4)
    by_histogram, direct = seen(values), least_error_range(values[:, 0], None, spec)
    assert squared_error(values[:, 0], by_histogram, spec) <= 1.01 * squared_error(values[:, 0], direct, spec)
    assert seen(np.full((40_000, 1), 2.5, np.float32)) == [0.0, 2.5]


def test_later_tensors_move_the_range_by_the_momentum():
    look = observer(momentum=0.25)
    look.update(np.array([[-1.0], [4.0]], np.float32))
    first = look.range.copy()
    look.update(np.array([[-2.0], [8.0]], np.float32))
    np.testing.assert_allclose(look.range, 1.25 * first)
