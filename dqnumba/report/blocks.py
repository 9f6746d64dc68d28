"""Building blocks of the page: sections, tables, figures, mini histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .charts import BarChart, Chart
from .markup import Markup, tag
from .svg import draw

__all__ = ["figure", "figures", "mini_histogram", "note", "section", "table"]


def section(name: str, title: str, intro: Any, *content: Any) -> Markup:
    """A part of the page with its heading; ``name`` is the address that the contents link to."""
    heading = tag("h2", title, id=f"{name}-title")
    lead = tag("p", intro, class_="intro") if intro else None
    return tag("section", heading, lead, *content, id=name, aria_labelledby=f"{name}-title")


def note(*content: Any) -> Markup:
    """A remark below a table or figure."""
    return tag("p", *content, class_="note")


def table(
    caption: str, head: Sequence[Any], rows: Sequence[Sequence[Any]], *, left: int = 1, class_: str = "",
    emphasis: int | None = None,
) -> Markup:  # fmt: skip
    """A table that scrolls inside its own frame where it is wider than the page.

    Parameters
    ----------
    caption : str
    head : sequence
        Names of the columns.
    rows : sequence of sequences
        The first cell of each names the row.
    left : int
        So many columns are set to the left, the rest (numbers) to the right.
    class_ : str
    emphasis : int, optional
        Number of the row that the reader came for.
    """
    names = [tag("th", cell, scope="col", class_=None if i < left else "number") for i, cell in enumerate(head)]
    body = []
    for k, row in enumerate(rows):
        cells = [
            tag("th", cell, scope="row") if i == 0 else tag("td", cell, class_=None if i < left else "number")
            for i, cell in enumerate(row)
        ]
        body.append(tag("tr", cells, class_="main" if k == emphasis else None))
    inner = tag("table", tag("caption", tag("span", caption)), tag("thead", tag("tr", names)), tag("tbody", body),
                class_=class_ or None)  # fmt: skip
    # Focusable, so that the arrow keys scroll it too.
    return tag("div", inner, class_="scroll", role="region", aria_label=caption, tabindex="0")


def figure(caption: str, picture: Markup | Chart | BarChart, *, class_: str = "") -> Markup:
    """A picture with its caption."""
    drawn = picture if isinstance(picture, Markup) else draw(picture)
    return tag("figure", tag("figcaption", caption), drawn, class_=class_ or None)


def figures(*charts: Chart | BarChart) -> Markup:
    """Charts side by side where there is room."""
    return tag("div", [figure(chart.title, chart) for chart in charts], class_="figures")


def mini_histogram(bins: Sequence[int], said: str, zero: float | None) -> Markup:
    """Bars of counts, 128 by 30, the largest as high as the frame; ``zero`` (0 to 1) marks where zero lies."""
    width, height, largest = 128.0, 28.0, max(bins, default=0)
    step = width / max(1, len(bins))
    bar = max(step - 0.5, 0.5)
    parts = []
    for i, count in enumerate(bins):
        if count:  # a count that is not nought stays visible
            tall = max(1.0, height * count / largest)
            parts.append(f"M{i * step:.2f} {height:.0f}v{-tall:.1f}h{bar:.2f}v{tall:.1f}z")
    mark = None
    if zero is not None and 0.0 <= zero <= 1.0:
        mark = tag("line", class_="zero", x1=zero * width, x2=zero * width, y1=0, y2=height + 2)
    ground = tag("line", class_="axis", x1=0, x2=width, y1=height, y2=height)
    return tag(
        "svg", mark, tag("path", class_="bars s0", d="".join(parts)), ground, class_="chart mini", role="img",
        aria_label=said, viewBox="0 0 128 31", width=128, height=31,
    )  # fmt: skip
