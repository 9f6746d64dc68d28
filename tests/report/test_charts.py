"""Charts: round ticks, drawings inside their frames, files that are well-formed SVG or PNG."""

from __future__ import annotations

import math
import re
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dqnumba.errors import ConfigError, DataError, MissingExtraError
from dqnumba.report import check_picture, save_picture
from dqnumba.report.blocks import mini_histogram
from dqnumba.report.charts import Bar, BarChart, Chart, Series, nice_ticks
from dqnumba.report.curves import speed_chart, training_charts
from dqnumba.report.svg import draw, standalone

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
HISTORY = [{"epoch": i, "loss": 2.0 / i, "val_loss": 1 + 1 / i, "val_accuracy": 0.5 + 0.01 * i} for i in range(1, 12)]


@given(NUMBERS, st.floats(1e-6, 1e6), st.integers(3, 9))
def test_ticks_are_round_and_inside(low, span, most):
    high = low + span
    assume(high - low > 1e-9 * max(abs(low), abs(high)))
    ticks = nice_ticks(low, high, most)
    assert 1 <= len(ticks) <= most
    assert all(low - 1e-6 * span <= t <= high + 1e-6 * span for t in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        mantissa = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
        assert any(math.isclose(mantissa, m, rel_tol=1e-3) for m in (1, 2, 2.5, 5))


def coordinates(root):
    """Every absolute place in a drawing, as (x, y) where it is a pair."""
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        if name == "line":
            yield from ((float(element.get(f"x{i}")), float(element.get(f"y{i}"))) for i in "12")
        elif name in ("text", "rect", "circle"):
            yield float(element.get("x") or element.get("cx") or 0), float(element.get("y") or element.get("cy") or 0)
        elif name == "path":
            yield from ((float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", element.get("d")))


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20), st.sampled_from(["line", "dots", "cloud", "bars"]),
    st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
@example([(0.0, 0.0)], "line", False, False, False)
@example([(0.0, 5.0), (0.0, 5.0)], "dots", True, False, False)
@example([(1.0, -1e-9), (2.0, 1e-9)], "bars", False, False, True)
def test_marks_stay_in_the_frame(points, style, from_zero, percent, named):
    points = sorted(points)
    x, y = [p[0] for p in points], [p[1] for p in points]
    if style == "bars":
        x = [float(i) for i in range(len(y))]
    names = None
    if named:
        x, names = [float(i) for i in range(len(y))], [f"{i}–{i + 1}" for i in range(len(y))]
    series = (Series("a <b>", x, y, style=style),)
    chart = Chart("t & u", "x", "y", series, x_names=names, from_zero=from_zero, percent=percent,
                  diagonal=style == "cloud" and not named)  # fmt: skip
    drawing = draw(chart, 380, 236)
    root = ElementTree.fromstring(drawing)
    assert root.get("role") == "img" and root.get("aria-label").startswith("t & u. a <b>. ")
    for px, py in coordinates(root):
        assert -40 <= px <= 420 and -1 <= py <= 240


def test_a_line_goes_through_its_points():
    chart = Chart("t", "x", "y", (Series("a", [0, 1, 2], [0, 10, 0]),))
    root = ElementTree.fromstring(draw(chart, 380, 236))
    (line,) = [e for e in root.iter() if "line s0" in e.get("class", "")]
    first, second, third = ((float(x), float(y)) for x, y in re.findall(r"([-\d.]+) ([-\d.]+)", line.get("d")))
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.11)
    assert first[1] == third[1] > second[1]


def test_bars_are_as_long_as_their_values():
    bars = tuple(Bar(f"b{i}", "group", v, 0.9 * v, 1.1 * v, i % 2) for i, v in enumerate([1.0, 2.0, 4.0]))
    root = ElementTree.fromstring(draw(BarChart("Time", "ms", bars)))
    widths = [float(e.get("width")) for e in root.iter() if e.get("class", "").startswith("bars")]
    assert widths[1] / widths[0] == pytest.approx(2, abs=0.01) and widths[2] / widths[0] == pytest.approx(4, abs=0.02)
    assert "group, b2: 4.00" in root.get("aria-label")


def test_a_mini_histogram_shows_every_bin_that_holds_something():
    drawing = mini_histogram([0, 1, 0, 100000, 3], "said", 0.5)
    assert drawing.count("M") == 3 and 'aria-label="said"' in drawing and 'class="zero"' in drawing
    assert mini_histogram([], "empty", None).count("M") == 0


def test_curves_of_a_training():
    loss, accuracy = training_charts(HISTORY, 7)
    assert [s.label for s in loss.series] == ["training", "validation"] and loss.marker == (7.0, "kept: 7")
    assert accuracy.percent and accuracy.series[0].y[-1] == pytest.approx(0.61)
    assert len(training_charts([{"epoch": i, "loss": 1.0 / i} for i in range(1, 5)])) == 1
    assert len(training_charts(HISTORY * 500)[0].series[0].x) <= 1000


@pytest.mark.parametrize("history", [None, [], HISTORY[:1], "text", [3, None], [{"loss": "x", "epoch": []}] * 3, {}])
def test_a_history_without_two_losses_gives_no_chart(history):
    assert training_charts(history) == []


def test_a_history_from_a_file_may_hold_anything():
    junk = {"epoch": 3, "loss": float("nan"), "val_loss": 1e300, "val_accuracy": True, "val_mae": "<b>"}
    charts = training_charts([*HISTORY, junk, {"epoch": 1e308, "loss": 1.0}, 5, {"epoch": 5, "loss": 1e-320}], "x")
    assert len(charts) == 2 and len(charts[0].series[0].x) == len(HISTORY) + 1 and charts[0].marker is None
    for chart in charts:
        ElementTree.fromstring(draw(chart))


def rows():
    return [
        {"what": what, "nodes": 10, "edges": 2000, "backend": backend, "threads": threads, "median_ms": 2.0, "q1_ms": 1,
         "q3_ms": 3.0}
        for what in ("one graph", "batch of 7") for threads in (1, 2) for backend in ("dot", "numba")
    ]  # fmt: skip


def test_files(tmp_path):
    charts = training_charts(HISTORY, 7)
    for name, shown in (("curves.svg", charts), ("bars.SVG", [speed_chart(rows())])):
        size = save_picture(tmp_path / name, shown, "a <title> & more")
        root = ElementTree.fromstring((tmp_path / name).read_bytes())
        assert size == (tmp_path / name).stat().st_size and root.tag == "{http://www.w3.org/2000/svg}svg"
        texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "a <title> & more" in texts and shown[0].title in texts
        assert "prefers-color-scheme: dark" in root.find("{http://www.w3.org/2000/svg}style").text
        assert not re.search(r"(?:href|src|url\()", (tmp_path / name).read_text())
    assert len([g for g in speed_chart(rows()).bars if g.group.endswith("2 threads")]) == 4


def test_png_files(tmp_path):
    pytest.importorskip("matplotlib", reason="PNG pictures are drawn by matplotlib")
    save_picture(tmp_path / "curves.png", training_charts(HISTORY, 7), "costs $5 and $6")
    save_picture(tmp_path / "bars.png", [speed_chart(rows())], "title")
    for name in ("curves.png", "bars.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"\.svg or \.png, not 'curves\.pdf'"):
        check_picture(tmp_path / "curves.pdf")
    with pytest.raises(DataError, match="Cannot write"):
        check_picture(tmp_path / "nowhere" / "curves.svg")
    with pytest.raises(ConfigError, match="nothing to draw"):
        save_picture(tmp_path / "curves.svg", [], "t")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dqnumba\[plot\]"'):
        check_picture(tmp_path / "curves.png")
    check_picture(tmp_path / "curves.svg")
    assert list(tmp_path.iterdir()) == []


def test_standalone_pictures_hold_both_charts():
    text = standalone(training_charts(HISTORY, 7), "t")
    root = ElementTree.fromstring(text.encode())
    assert float(root.get("width")) > 900 and len(root.findall("{http://www.w3.org/2000/svg}g")) == 2
