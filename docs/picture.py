"""A drawing as SVG, through matplotlib: inks that can be read on white and on black, letters as text."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from typing import Any

from .drawing import Drawing

__all__ = ["to_svg"]

#: Each at least 3 to 1 against white and against the dark page.
COLOURS = ("#3a7fc1", "#d0602a", "#2f9467", "#a35fc4", "#8a7a2c")
_INK = "#0a0b0c"  # stands for the colour of the text around the figure
_STYLE = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 9.5,
    "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": _INK, "axes.labelcolor": _INK, "text.color": _INK,
    "xtick.color": _INK, "ytick.color": _INK, "legend.frameon": False, "axes.facecolor": "none",
    "figure.facecolor": "none", "savefig.facecolor": "none", "axes.titlelocation": "left",
}  # fmt: skip
# Opened by itself, or as an image on a page elsewhere, the figure follows the reader's setting.
_ALONE = "<style>svg{color:#1c1e21}@media(prefers-color-scheme:dark){svg{color:#d6d8db}}</style>"


def to_svg(drawing: Drawing, name: str) -> str:
    """The SVG file of a drawing; the same bytes for the same drawing and matplotlib."""
    import matplotlib

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        count = len(drawing.panels)
        figure = Figure(figsize=(3.6 * count + (2.0 if count == 1 else 0.2), 3.1), layout="constrained")
        for axes, panel in zip(figure.subplots(1, count, squeeze=False)[0], drawing.panels, strict=True):
            _draw(axes, panel)
        stream = io.StringIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<\?xml.*?(?=<svg)", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(_INK, "currentColor")
    head, _, body = text.partition(">")
    size = re.sub(r' (width|height)="([\d.]+)pt"', "", head)  # the viewBox is enough; the page sets the width
    return "\n".join(line.rstrip() for line in f"{size}>{_ALONE}{body}".splitlines()) + "\n"


def _draw(axes: Any, panel: Any) -> None:
    for series in panel.series:
        look = {"color": COLOURS[series["colour"] % len(COLOURS)], "label": series["label"] or None}
        x, y = series["x"], series["y"]
        if series["style"] == "bars":
            width = min((b - a for a, b in pairwise(x)), default=1.0)
            axes.bar(x, y, width=0.86 * width, alpha=0.75, **look)
        else:
            fmt = {"line": "-", "dashes": "--", "dots": "o", "curve": "o-"}[series["style"]]
            axes.plot(x, y, fmt, markersize=4, linewidth=1.4, **look)
    for note in panel.notes:
        axes.annotate(note["text"], (note["x"], note["y"]), fontsize=9)
    axes.set(xlabel=panel.x, ylabel=panel.y)
    axes.set_title(panel.title)
    for axis in panel.log:
        axes.set(**{f"{axis}scale": "log"})
        which = axes.xaxis if axis == "x" else axes.yaxis
        which.set_major_formatter("{x:g}")
    axes.grid(color=_INK, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    if sum(bool(s["label"]) for s in panel.series):
        axes.legend()
