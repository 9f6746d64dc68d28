"""Ranks of in-degrees far larger than the graph has nodes: sorted instead of counted, to the same probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dqnumba as dq
from dqnumba.graph import batch
from dqnumba.qat.degree_mask import protection_probability


def graph_of(degrees):
    """A graph whose nodes have these in-degrees, the last one 0: edges that are there many times, all from that one."""
    indptr = np.append(0, np.cumsum(degrees)).astype(np.int64)
    source = np.full(indptr[-1], len(degrees) - 1, np.int32)
    return dq.Graph(indptr, source, np.zeros((len(degrees), 1), np.float32))


def naive(degrees, low, high):
    found = []
    for own in degrees:
        share = sum(other <= own for other in degrees) / len(degrees)
        found.append(high if share == 1.0 else min(low + (high - low) * share, high))
    return found


MANY = st.lists(st.sampled_from([0, 1, 2, 40, 700, 701, 5000]), max_size=6).map(lambda d: [*d, 0])


@given(st.lists(MANY, min_size=1, max_size=4), st.sampled_from([(0.0, 0.1), (0.1, 0.2), (0.3, 0.3)]))
def test_against_the_definition(parts, ends):
    want = [p for degrees in parts for p in naive(degrees, *ends)]
    assert protection_probability(batch([graph_of(d) for d in parts]), *ends).tolist() == want
    alone = [p for degrees in parts for p in protection_probability(graph_of(degrees), *ends).tolist()]
    assert alone == want


@pytest.mark.parametrize("hub", [16 * 3, 16 * 3 + 1])
def test_both_ways_at_the_border(hub):
    """Three nodes: degrees up to 48 are counted, a larger one makes them sorted."""
    found = protection_probability(graph_of([5, hub, 0]), 0.0, 0.9)
    np.testing.assert_allclose(found, [0.6, 0.9, 0.3], rtol=1e-15)
    assert found[1] == 0.9
