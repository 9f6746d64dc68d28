"""The layered layout: edges lead down, nothing overlaps, and a chain is a straight line."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.report.layered import lay_out

ACROSS, DOWN = 22.0, 24.0


@st.composite
def dags(draw):
    count = draw(st.integers(1, 14))
    sizes = draw(st.lists(st.tuples(st.floats(10, 200), st.floats(5, 60)), min_size=count, max_size=count))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=24)) if pairs else []
    return sizes, edges


@given(dags())
def test_edges_lead_down_and_boxes_keep_their_distance(dag):
    sizes, edges = dag
    layout = lay_out(sizes, edges, across=ACROSS, down=DOWN)
    box = {
        node: (x - sizes[node][0] / 2, y - sizes[node][1] / 2, x + sizes[node][0] / 2, y + sizes[node][1] / 2)
        for node, (x, y) in layout.places.items()
    }
    assert set(box) == set(range(len(sizes)))
    for left, top, right, bottom in box.values():
        assert -1e-6 <= left and right <= layout.width + 1e-6 and -1e-6 <= top and bottom <= layout.height + 1e-6
    for a, b in itertools.combinations(box, 2):
        beside = box[a][2] + ACROSS <= box[b][0] + 1e-6 or box[b][2] + ACROSS <= box[a][0] + 1e-6
        apart = box[a][3] + DOWN <= box[b][1] + 1e-6 or box[b][3] + DOWN <= box[a][1] + 1e-6
        assert beside or apart
    assert set(layout.courses) == set(edges)
    for (a, b), points in layout.courses.items():
        assert points[0] == pytest.approx((layout.places[a][0], box[a][3]))
        assert points[-1] == pytest.approx((layout.places[b][0], box[b][1]))
        assert all(p[1] <= q[1] for p, q in itertools.pairwise(points))
        crossed = [n for n in box if n not in (a, b) and box[n][1] > box[a][3] and box[n][3] < box[b][1]]
        for left, top, right, bottom in (box[n] for n in crossed):  # a long edge goes round the boxes of its layers
            for (px, py), (qx, qy) in itertools.pairwise(points):
                upright = abs(px - qx) < 1e-9 and py < bottom - 1e-9 and qy > top + 1e-9
                assert not (upright and left + 1e-6 < px < right - 1e-6)


def test_a_chain_is_straight_and_a_diamond_symmetric():
    chain = lay_out([(50, 20)] * 6, [(i, i + 1) for i in range(5)])
    assert len({x for x, _ in chain.places.values()}) == 1
    assert [y for _, y in chain.places.values()] == [10 + 44 * i for i in range(6)]
    diamond = lay_out([(50, 20)] * 4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    x = {node: place[0] for node, place in diamond.places.items()}
    assert x[0] == pytest.approx(x[3]) == pytest.approx((x[1] + x[2]) / 2)
    assert abs(x[1] - x[2]) == pytest.approx(72)


def test_a_source_stands_just_above_its_reader():
    layout = lay_out([(50, 20)] * 5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert layout.places[3][1] == layout.places[2][1]


def test_a_residual_runs_beside_the_chain():
    layout = lay_out([(100, 20)] * 4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    bends = layout.courses[0, 3][1:-1]
    assert len(bends) == 4 and all(abs(x - layout.places[1][0]) >= 50 + 22 for x, _ in bends)


def test_edges_must_lead_to_later_nodes():
    for edge in ((1, 0), (0, 0), (0, 2)):
        with pytest.raises(ValueError, match="later"):
            lay_out([(1, 1)] * 2, [edge])
    assert lay_out([], []).width == 0.0
