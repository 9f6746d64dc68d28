"""Charts as SVG: elements with classes that ``chart.css`` colours, in light and in dark, and no script."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from .charts import BarChart, Chart, Series, nice_ticks
from .markup import Markup, join, tag, trusted
from .text import decimal, percent

__all__ = ["chart_css", "draw", "standalone"]

FONT = 11
_CHARACTER = 6.2  # mean width of a character of this size, a little generous
_BAR, _BAR_GAP, _GROUP_GAP = 15, 6, 26
_TOP, _BOTTOM, _RIGHT = 12, 38, 14


def chart_css() -> str:
    """The style sheet of all pictures."""
    return (files(__package__) / "chart.css").read_text(encoding="utf-8")


def draw(chart: Chart | BarChart, width: float = 380, height: float = 236) -> Markup:
    """One chart as an ``svg`` element for a page that holds :func:`chart_css`; lying bars choose their own height."""
    body, height = _bars(chart, width) if isinstance(chart, BarChart) else (_axes(chart, width, height), height)
    return tag(
        "svg", body, class_="chart", role="img", aria_label=_summary(chart), viewBox=f"0 0 {width:g} {height:g}",
        width=float(width), height=float(height),
    )  # fmt: skip


def standalone(charts: list[Chart | BarChart], title: str, width: float = 460, height: float = 300) -> str:
    """An SVG file: the charts side by side, lying bars one below the other, each under its title."""
    parts, x, y, bottom = [], 16.0, 56.0, 0.0
    stacked = any(isinstance(chart, BarChart) for chart in charts)
    for chart in charts:
        body, tall = _bars(chart, width) if isinstance(chart, BarChart) else (_axes(chart, width, height), height)
        head = tag("text", chart.title, class_="chart-title", x=4, y=-8)
        parts.append(tag("g", head, body, transform=f"translate({x:g} {y + 12:g})"))
        bottom = max(bottom, y + 12 + tall + 10)
        x, y = (x, y + tall + 36) if stacked else (x + width + 24, y)
    wide = width + 32 if stacked else x - 8
    back = tag("rect", class_="back", width=float(wide), height=float(bottom))
    heading = tag("text", title, class_="page-title", x=20, y=30)
    picture = tag(
        "svg", tag("style", trusted(chart_css())), back, heading, parts, xmlns="http://www.w3.org/2000/svg",
        class_="chart", role="img", aria_label=title, viewBox=f"0 0 {wide:g} {bottom:g}", width=float(wide),
        height=float(bottom),
    )  # fmt: skip
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{picture}\n'


def _summary(chart: Chart | BarChart) -> str:
    """What the picture shows, in a sentence for those who do not see it."""
    if isinstance(chart, BarChart):
        values = "; ".join(f"{bar.group}, {bar.label}: {decimal(bar.value, 3)}" for bar in chart.bars)
        return f"{chart.title}. {chart.x_label}. {values}."
    (x_low, x_high), (y_low, y_high) = chart.limits()
    say = percent if chart.percent else (lambda v: decimal(v, 3))
    x = f"{chart.x_label} from {decimal(x_low, 3)} to {decimal(x_high, 3)}"
    if chart.x_names is not None:
        x = f"{chart.x_label}: {', '.join(chart.x_names)}"
    names = ", ".join(s.label for s in chart.series)
    return f"{chart.title}. {names}. {x}; {chart.y_label} from {say(y_low)} to {say(y_high)}."


def _axes(chart: Chart, width: float, height: float) -> Markup:
    (x0, x1), (y0, y1) = chart.limits()
    if any(s.style != "bars" for s in chart.series):  # marks keep off the frame, but not off zero
        room = 0.06 * (y1 - y0)
        y1 += room
        y0 -= 0.0 if chart.from_zero and y0 >= 0 else room
    else:
        y1 += 0.06 * (y1 - y0)
    if chart.x_names is None and any(s.style == "cloud" for s in chart.series):
        x0, x1 = x0 - 0.06 * (x1 - x0), x1 + 0.06 * (x1 - x0)
    ticks = nice_ticks(y0, y1)
    digits = _decimals(ticks, chart.percent)
    labels = [f"{100 * t:.{digits}f} %" if chart.percent else f"{t:.{digits}f}" for t in ticks]
    left = 26 + _CHARACTER * max(len(label) for label in labels)
    legend = chart.series if len(chart.series) > 1 else ()
    top = _TOP + (18 if legend or chart.y_label else 0)

    def px(v: float) -> float:
        return left + (v - x0) / (x1 - x0) * (width - left - _RIGHT)

    def py(v: float) -> float:
        return height - _BOTTOM - (v - y0) / (y1 - y0) * (height - _BOTTOM - top)

    floor = height - _BOTTOM
    parts = [tag("line", class_="grid", x1=left, x2=width - _RIGHT, y1=py(t), y2=py(t)) for t in ticks]
    parts += [
        tag("text", label.replace("-", "\u2212"), class_="tick", x=left - 7, y=py(t) + 4, text_anchor="end")
        for t, label in zip(ticks, labels, strict=True)
    ]
    parts.append(tag("line", class_="axis", x1=left, x2=width - _RIGHT, y1=floor, y2=floor))
    parts += _x_ticks(chart, x0, x1, px, floor, width - left)
    parts.append(tag("text", chart.x_label, class_="label", x=(left + width - _RIGHT) / 2, y=height - 5,
                     text_anchor="middle"))  # fmt: skip
    middle = (top + floor) / 2
    parts.append(tag("text", chart.y_label, class_="label", x=11, y=middle, text_anchor="middle",
                     transform=f"rotate(-90 11 {middle:.2f})"))  # fmt: skip
    if chart.diagonal:
        low, high = max(x0, y0), min(x1, y1)
        parts.append(tag("line", class_="marker", x1=px(low), y1=py(low), x2=px(high), y2=py(high)))
    if chart.marker is not None and x0 <= chart.marker[0] <= x1:
        at = px(chart.marker[0])
        parts.append(tag("line", class_="marker", x1=at, x2=at, y1=top, y2=floor))
        flip = at > width * 0.6
        parts.append(tag("text", chart.marker[1], class_="note", x=at + (-5 if flip else 5), y=top + 9,
                         text_anchor="end" if flip else None))  # fmt: skip
    for i, series in enumerate(chart.series):
        parts.append(_marks(chart, series, i, px, py))
    return join(parts, _legend([s.label for s in legend], left, lines=all(s.style == "line" for s in legend)))


def _x_ticks(chart: Chart, x0: float, x1: float, px: Callable, floor: float, room: float) -> list[Markup]:
    if chart.x_names is not None:
        ticks, labels = [float(i) for i in range(len(chart.x_names))], list(chart.x_names)
        widest = max((len(label) for label in labels), default=1)
        every = max(1, -(-int((widest + 1) * _CHARACTER * len(labels)) // int(room)))
        ticks, labels = ticks[::every], labels[::every]
    else:
        ticks = nice_ticks(x0, x1)
        digits = _decimals(ticks, False)
        labels = [f"{t:.{digits}f}".replace("-", "\u2212") for t in ticks]
    return [
        join(tag("line", class_="axis", x1=px(t), x2=px(t), y1=floor, y2=floor + 4),
             tag("text", label, class_="tick", x=px(t), y=floor + 16, text_anchor="middle"))
        for t, label in zip(ticks, labels, strict=True)
    ]  # fmt: skip


def _marks(chart: Chart, series: Series, i: int, px: Callable, py: Callable) -> Markup:
    xs = [px(x) for x in series.x]
    ys = [py(y) for y in series.y]
    if series.style == "line":
        steps = " ".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))
        return tag("path", class_=f"line s{i}", d=f"M{steps}") if xs else join()
    if series.style == "cloud":
        return tag("path", class_=f"cloud s{i}", d="".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(xs, ys, strict=True)))
    if series.style == "bars":
        half = (xs[1] - xs[0]) / 2 - 0.5 if len(xs) > 1 else 20.0
        d = "".join(
            f"M{x - half:.1f} {py(0):.1f}V{y:.1f}h{2 * half:.1f}V{py(0):.1f}z" for x, y in zip(xs, ys, strict=True)
        )
        return tag("path", class_=f"bars s{i}", d=d)
    # Dots of several series stand side by side in their category, not one upon the other.
    aside = 7.0 * (i - (len(chart.series) - 1) / 2) if chart.x_names is not None else 0.0
    parts = []
    for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
        x += aside
        if series.low is not None and series.high is not None:
            ends = py(series.low[k]), py(series.high[k])
            parts.append(tag("line", class_=f"whisker s{i}", x1=x, x2=x, y1=ends[0], y2=ends[1]))
        parts.append(_dot(x, y, i))
    return join(parts)


def _dot(x: float, y: float, i: int) -> Markup:
    """A circle, a square, a triangle: colour is not all that tells series apart."""
    if i % 3 == 1:
        return tag("rect", class_=f"dot s{i}", x=x - 3.2, y=y - 3.2, width=6.4, height=6.4)
    if i % 3 == 2:
        return tag("path", class_=f"dot s{i}", d=f"M{x:.1f} {y - 4.2:.1f}l4.2 7.4h-8.4z")
    return tag("circle", class_=f"dot s{i}", cx=x, cy=y, r=3.6)


def _legend(labels: list[str], left: float, *, lines: bool = False) -> Markup:
    parts, x = [], left
    for i, label in enumerate(labels):
        sign = tag("path", class_=f"line s{i}", d=f"M{x - 8:.1f} 10h18") if lines else _dot(x + 5, 10, i)
        parts += [sign, tag("text", label, class_="legend", x=x + 14, y=14)]
        x += 30 + _CHARACTER * len(label)
    return join(parts)


def _bars(chart: BarChart, width: float) -> tuple[Markup, float]:
    x1 = chart.limits()[1]
    ticks = nice_ticks(0.0, x1, 5)
    digits = _decimals(ticks, False)
    left = 14 + _CHARACTER * max((len(bar.label) for bar in chart.bars), default=1)
    right = 62.0  # the value stands behind its bar
    parts, y, group = [], 24.0 if chart.kinds else 6.0, None

    def px(v: float) -> float:
        return left + v / x1 * (width - left - right)

    top = y
    for bar in chart.bars:
        if bar.group != group:
            group = bar.group
            y += _GROUP_GAP - 8
            parts.append(tag("text", bar.group, class_="group", x=4, y=y))
            y += 8
        middle = y + _BAR / 2
        end = max(px(bar.value), left + 1)
        parts += [
            tag("text", bar.label, class_="tick", x=left - 8, y=middle + 4, text_anchor="end"),
            tag("rect", class_=f"bars s{bar.kind}", x=left, y=y, width=end - left, height=_BAR),
            tag("line", class_="whisker over", x1=px(bar.low), x2=px(bar.high), y1=middle, y2=middle),
            tag("text", decimal(bar.value, 3), class_="value", x=max(end, px(bar.high)) + 6, y=middle + 4),
        ]
        y += _BAR + _BAR_GAP
    grid = [tag("line", class_="grid", x1=px(t), x2=px(t), y1=top, y2=y) for t in ticks]
    names = [
        tag("text", f"{t:.{digits}f}", class_="tick", x=px(t), y=y + 14, text_anchor="middle") for t in ticks
    ]  # fmt: skip
    label = tag("text", chart.x_label, class_="label", x=(left + width - right) / 2, y=y + 31, text_anchor="middle")
    return join(grid, parts, names, label, _legend(list(chart.kinds), 6.0)), y + 38


def _decimals(ticks: list[float], as_percent: bool) -> int:
    """Digits behind the point that tell neighbouring ticks apart."""
    step = (ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) if ticks and ticks[0] else 1.0) * (
        100 if as_percent else 1
    )
    return next((d for d in range(8) if abs(round(step, d) - step) < 1e-6 * step), 8)
