"""A figure as data: what a page draws is kept, compared and only then turned into a picture.

The numbers stand in ``figures/NAME.json`` beside ``figures/NAME.svg``. A test makes them anew and compares; it needs no
matplotlib and does not care about pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Drawing", "Panel", "differences"]


@dataclass
class Panel:
    """Two axes; every call adds one series.

    Attributes
    ----------
    title, x, y : str
        Its heading and the labels of its axes.
    log : str
        The axes that are logarithmic: ``""``, ``"x"``, ``"y"`` or ``"xy"``.
    """

    title: str
    x: str
    y: str
    log: str = ""
    series: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def _add(self, style: str, x: Sequence[float], y: Sequence[float], label: str, colour: int | None) -> Panel:
        if len(x) != len(y):
            raise ValueError(f"{label or style}: {len(x)} values of x and {len(y)} of y")
        x, y = ([_rounded(v) for v in values] for values in (x, y))
        colour = sum(s["style"] != "ink" for s in self.series) if colour is None else colour
        self.series.append({"style": style, "label": label, "colour": colour, "x": x, "y": y})
        return self

    def line(self, x: Sequence[float], y: Sequence[float], label: str = "", *, colour: int | None = None) -> Panel:
        """A line through the points."""
        return self._add("line", x, y, label, colour)

    def dashes(self, x: Sequence[float], y: Sequence[float], label: str = "", *, colour: int | None = None) -> Panel:
        """A dashed line."""
        return self._add("dashes", x, y, label, colour)

    def dots(self, x: Sequence[float], y: Sequence[float], label: str = "", *, colour: int | None = None) -> Panel:
        """Points."""
        return self._add("dots", x, y, label, colour)

    def curve(self, x: Sequence[float], y: Sequence[float], label: str = "", *, colour: int | None = None) -> Panel:
        """A line with its points."""
        return self._add("curve", x, y, label, colour)

    def bars(self, x: Sequence[float], y: Sequence[float], label: str = "", *, colour: int | None = None) -> Panel:
        """Bars that stand on zero, as wide as the places are apart."""
        return self._add("bars", x, y, label, colour)

    def note(self, x: float, y: float, text: str) -> Panel:
        """Words at a point."""
        self.notes.append({"x": _rounded(x), "y": _rounded(y), "text": text})
        return self


class Drawing:
    """One figure: panels side by side."""

    def __init__(self) -> None:
        self.panels: list[Panel] = []

    def panel(self, title: str, *, x: str, y: str, log: str = "") -> Panel:
        """A further panel."""
        self.panels.append(Panel(title, x, y, log))
        return self.panels[-1]

    def to_dict(self) -> dict[str, Any]:
        """Everything that is shown, as JSON types."""
        return {"panels": [asdict(panel) for panel in self.panels]}


def differences(kept: dict[str, Any], made: dict[str, Any], within: float) -> list[str]:
    """Where two figures differ: words exactly, numbers by more than ``within`` of the largest of their series."""
    found: list[str] = []
    if len(kept["panels"]) != len(made["panels"]):
        return [f"{len(kept['panels'])} panels are kept, {len(made['panels'])} are made"]
    for old, new in zip(kept["panels"], made["panels"], strict=True):
        words = [{k: v for k, v in p.items() if k != "series"} for p in (old, new)]
        if words[0] != words[1] or len(old["series"]) != len(new["series"]):
            found.append(f"panel {old['title']!r} has other words or another number of series")
            continue
        for a, b in zip(old["series"], new["series"], strict=True):
            what = f"panel {old['title']!r}, series {a['label']!r}"
            if (a["style"], a["label"], len(a["x"])) != (b["style"], b["label"], len(b["x"])):
                found.append(f"{what} has another label, style or length")
                continue
            for axis in "xy":
                size = max((abs(v) for v in a[axis]), default=0.0)
                worst = max((abs(p - q) for p, q in zip(a[axis], b[axis], strict=True)), default=0.0)
                if not worst <= within * size + 1e-12:
                    found.append(f"{what}: {axis} differs by {worst:g}")
    return found


def _rounded(value: float) -> float:
    """Five digits are more than an eye can see, and keep the files short."""
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be drawn")
    return float(f"{value:.5g}")
