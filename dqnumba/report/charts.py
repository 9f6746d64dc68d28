"""What a chart shows, as data: drawn by :mod:`.svg`, or by matplotlib for a PNG (:mod:`.png`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bar", "BarChart", "Chart", "Series", "nice_ticks"]


@dataclass(frozen=True)
class Series:
    """Points of one colour.

    Attributes
    ----------
    label : str
    x, y : sequence of float
    low, high : sequence of float, optional
        Ends of a whisker at each point, quartiles for instance.
    style : {"line", "dots", "cloud", "bars"}
        ``cloud`` is for many points; ``bars`` stand on zero and fill the place between two neighbours of ``x``.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: str = "line"


@dataclass(frozen=True)
class Chart:
    """Two axes and some series.

    Attributes
    ----------
    title, x_label, y_label : str
    series : tuple of Series
    x_names : sequence of str, optional
        Names of the places 0, 1, 2, ... on an axis of categories.
    from_zero : bool
        The axis of y begins at zero.
    percent : bool
        y holds fractions, shown as per cent.
    diagonal : bool
        Both axes alike, with the line y = x.
    marker : tuple of (float, str), optional
        A vertical line at an x, with a word.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_names: Sequence[str] | None = None
    from_zero: bool = False
    percent: bool = False
    diagonal: bool = False
    marker: tuple[float, str] | None = None

    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Ends of the axes of x and y: all that is shown, never of no length."""
        xs = [v for s in self.series for v in s.x]
        ys = [v for s in self.series for part in (s.y, s.low or (), s.high or ()) for v in part]
        ys = [v for v in ys if math.isfinite(v)]
        if self.from_zero or any(s.style == "bars" for s in self.series):
            ys.append(0.0)
        if self.diagonal:
            xs = ys = xs + ys
        x = (-0.5, len(self.x_names) - 0.5) if self.x_names is not None else _span(xs)
        return x, _span(ys)


@dataclass(frozen=True)
class Bar:
    """One lying bar: a label, the group it stands in, its length, and the ends of its whisker."""

    label: str
    group: str
    value: float
    low: float
    high: float
    kind: int = 0


@dataclass(frozen=True)
class BarChart:
    """Lying bars from zero, in groups that keep their order; ``kinds`` names the colours."""

    title: str
    x_label: str
    bars: tuple[Bar, ...]
    kinds: tuple[str, ...] = ()

    def limits(self) -> tuple[float, float]:
        """Ends of the axis."""
        return _span([0.0, *(bar.high for bar in self.bars)])


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, at steps of 1, 2, 2.5 or 5 times a power of ten; at most ``most``."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / max(1, most - 1)))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if span / (power * factor) <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return (low - 0.5, high + 0.5) if low == 0 else (low - abs(low) / 2, high + abs(high) / 2)
    return low, high
