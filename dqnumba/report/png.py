"""The same charts through matplotlib, for a PNG; an optional extra, loaded only here."""

from __future__ import annotations

import io
from typing import Any

from ..errors import MissingExtraError
from .charts import BarChart, Chart

__all__ = ["need_matplotlib", "to_png"]

_COLOURS = ("#2f5fb3", "#a8570f", "#5b6675")
_MARKERS = ("o", "s", "^")


def need_matplotlib() -> None:
    """Raise MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            'A .png picture needs matplotlib: pip install "dqnumba[plot]". A .svg picture needs nothing.'
        ) from None


def to_png(charts: list[Chart | BarChart], title: str) -> bytes:
    """One PNG, 160 dots an inch: charts side by side, lying bars one below the other."""
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stacked = any(isinstance(chart, BarChart) for chart in charts)
    count = len(charts)
    tall = sum(1.2 + 0.28 * len(c.bars) for c in charts if isinstance(c, BarChart)) + 0.6
    figure = Figure(figsize=(6.4, tall) if stacked else (5.4 * count, 3.9), dpi=160, layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), fontsize=11)
    rows, columns = (count, 1) if stacked else (1, count)
    for axes, chart in zip(figure.subplots(rows, columns, squeeze=False).flat, charts, strict=True):
        axes.set_title(chart.title.replace("$", r"\$"), fontsize=10)
        (_draw_bars if isinstance(chart, BarChart) else _draw)(axes, chart)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    return stream.getvalue()


def _draw(axes: Any, chart: Chart) -> None:
    for i, series in enumerate(chart.series):
        look: dict[str, Any] = {"color": _COLOURS[i % 3], "label": series.label}
        if series.style == "line":
            axes.plot(series.x, series.y, linestyle="--" if i == 1 else "-", linewidth=1.3, **look)
        else:
            axes.plot(series.x, series.y, _MARKERS[i % 3], markersize=3, **look)
    if chart.marker is not None:
        axes.axvline(chart.marker[0], color="#6b7482", linestyle=":", linewidth=1)
        axes.annotate(chart.marker[1], (chart.marker[0], 0.97), xycoords=("data", "axes fraction"), fontsize=8,
                      xytext=(4, 0), textcoords="offset points", va="top")  # fmt: skip
    if chart.percent:
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel(chart.x_label, fontsize=9)
    axes.set_ylabel(chart.y_label, fontsize=9)
    _plain(axes)


def _draw_bars(axes: Any, chart: BarChart) -> None:
    names = [f"{bar.group.replace('$', chr(92) + '$')}, {bar.label}" for bar in chart.bars]
    places = range(len(chart.bars))
    values = [bar.value for bar in chart.bars]
    spread = [[bar.value - bar.low for bar in chart.bars], [bar.high - bar.value for bar in chart.bars]]
    axes.barh(places, values, xerr=spread, color=[_COLOURS[bar.kind % 3] for bar in chart.bars], height=0.7,
              error_kw={"linewidth": 1})  # fmt: skip
    axes.set_yticks(list(places), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(chart.x_label, fontsize=9)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
