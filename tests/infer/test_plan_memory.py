from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.infer.plan.memory import Stretch, arrange

STRETCHES = st.lists(
    st.builds(lambda size, first, length: Stretch(size, first, first + length), st.integers(1, 5000),
              st.integers(0, 12), st.integers(0, 6)),
    max_size=25,
)  # fmt: skip


@given(STRETCHES)
def test_what_is_needed_together_shares_no_byte(stretches):
    total = arrange(stretches)
    for k, a in enumerate(stretches):
        assert a.offset >= 0 and a.offset % 64 == 0 and a.offset + a.size <= total
        for b in stretches[:k]:
            if a.first <= b.last and b.first <= a.last:
                assert a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
    lines = [(-(-s.size // 64) * 64, s) for s in stretches]
    moments = {s.first for s in stretches}
    least = max((sum(size for size, s in lines if s.first <= t <= s.last) for t in moments), default=0)
    assert least <= total <= sum(size for size, _ in lines)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 50])
def test_a_chain_needs_two_buffers(count):
    """Layer after layer, each reads the one before: as much as the largest two neighbours, if all are of a size."""
    chain = [Stretch(1000, k, k + 1) for k in range(count)]
    assert arrange(chain) == min(count, 2) * 1024


def test_a_chain_of_layers_of_many_widths_is_not_wasteful():
    sizes = [64 * k for k in (10, 3, 7, 7, 1, 12, 12, 2, 9)]
    chain = [Stretch(size, k, k + 1) for k, size in enumerate(sizes)]
    least = max(a + b for a, b in itertools.pairwise(sizes))
    assert least <= arrange(chain) <= 1.25 * least


def test_a_long_lived_one_keeps_its_place():
    """A residual connection over three layers."""
    stretches = [Stretch(640, 0, 4), *(Stretch(640, k, k + 1) for k in range(1, 4))]
    assert arrange(stretches) == 3 * 640
    assert arrange([]) == 0
