"""A picture of the kernels under the roofs of the machine: operations a second over operations a byte."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["draw", "place_labels", "points"]

KINDS = {"product": ("o", "matrix product"), "sum": ("^", "neighbour sum"), "attention": ("s", "attention")}
"""Part of ``kernels.json``: marker, name."""

Box = tuple[float, float, float, float]


def points(content: dict[str, Any], part: str) -> list[tuple[float, float, str]]:
    """(operations a byte, billion operations a second, name) of our int8 kernels of one part."""
    return [
        (row["operations"] / row["bytes"], row["contenders"]["int8"]["gops"], row["name"])
        for row in content.get(part, ()) if "int8" in row["contenders"]
    ]  # fmt: skip


def place_labels(
    anchors: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], gap: float = 6.0
) -> list[tuple[float, float]]:
    """Where labels go so that none covers another or a marker: lower left corners, in the order of the anchors.

    Around each anchor in turn, places are tried on growing rings; all numbers are in the same unit (pixels, points).

    Parameters
    ----------
    anchors : (x, y) of the markers
    sizes : (width, height) of the labels
    gap : float
        Half of a marker's width, which is kept free around each.
    """
    taken: list[Box] = [(x - gap, y - gap, x + gap, y + gap) for x, y in anchors]
    found = []
    for (x, y), (width, height) in zip(anchors, sizes, strict=True):
        for ring, turn in itertools.product(range(40), range(16)):
            angle, reach = 2 * np.pi * turn / 16, gap * (1.3 + ring)
            left = x + reach * np.cos(angle) - width * (1 - np.cos(angle)) / 2
            low = y + reach * np.sin(angle) - height * (1 - np.sin(angle)) / 2
            box = (left, low, left + width, low + height)
            if not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        found.append((float(left), float(low)))
    return found


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def draw(content: dict[str, Any], path: Path) -> None:
    """Write the picture to ``path``; raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    limits = content["limits"]
    figure, (axes, key) = pyplot.subplots(1, 2, figsize=(12, 6), layout="constrained", width_ratios=(2.6, 1))
    intensity = np.logspace(-1.2, 3.6, 200)
    roofs = {f"int8: {how}": rate for how, rate in limits["int8_all_gops"].items()}
    roofs["float32: fused multiply-add"] = limits["fp32_gflops"]
    for n, (name, rate) in sorted(enumerate(roofs.items()), key=lambda item: -item[1][1]):
        axes.plot(intensity, np.minimum(rate, intensity * limits["copy_gb_s"]), color=f"C{n}", lw=1.5,
                  label=f"{name}, {rate:,.0f} GOP/s")  # fmt: skip
    axes.plot([], [], " ", label=f"slope: copy, {limits['copy_gb_s']:.0f} GB/s")
    marked: list[tuple[float, float]] = []
    listed: list[str] = []
    for part, (mark, kind) in KINDS.items():
        here = points(content, part)
        if here:
            axes.scatter(*zip(*((x, y) for x, y, _ in here), strict=True), marker=mark, color="k", s=30, zorder=3,
                         label=f"{kind}, int8")  # fmt: skip
        for x, y, name in here:
            marked.append((x, y))
            listed.append(f"{len(marked)}  {kind}, {name}")
    tiles = [
        (row["operations"] / (4 * (row["rows"] * row["inner"] + (row["inner"] + row["rows"]) * row["columns"])),
         row["contenders"]["own float32 tile"]["gops"], str(n + 1))
        for n, row in enumerate(content.get("product", ())) if "own float32 tile" in row["contenders"]
    ]  # fmt: skip
    if tiles:
        axes.scatter(*zip(*((x, y) for x, y, _ in tiles), strict=True), marker="o", facecolors="none", edgecolors="k",
                     s=30, zorder=3, label="matrix product, own float32 tile")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="operations a byte of input and output",
             ylabel="billion operations a second", xlim=(intensity[0], 5e3))  # fmt: skip
    axes.set_title(f"{content['machine']['cpu']}, {content['machine']['threads']} threads", fontsize=10)
    axes.grid(True, which="major", alpha=0.3)
    key.axis("off")
    handles, labels = axes.get_legend_handles_labels()
    key.legend(handles, labels, fontsize=8, loc="upper left", frameon=False)
    key.text(0.03, 0.68, "\n".join(listed), transform=key.transAxes, va="top", fontsize=8, linespacing=1.5)
    _number(figure, axes, [*marked, *((x, y) for x, y, _ in tiles)],
            [str(n + 1) for n in range(len(marked))] + [name for *_, name in tiles])  # fmt: skip
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _number(figure: Any, axes: Any, anchors: list[tuple[float, float]], texts: list[str]) -> None:
    """Write a text beside each marker, with a thin line to it where it had to go far."""
    figure.draw_without_rendering()  # now the axes have their size
    pixels = [tuple(axes.transData.transform(anchor)) for anchor in anchors]
    scale = figure.dpi / 72
    sizes = [(4.6 * len(text) * scale, 7 * scale) for text in texts]
    for text, pixel, corner, size in zip(texts, pixels, place_labels(pixels, sizes, 4.5 * scale), sizes, strict=True):
        middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
        far = np.hypot(middle[0] - pixel[0], middle[1] - pixel[1]) > 16 * scale
        axes.annotate(text, axes.transData.inverted().transform(pixel), fontsize=8, va="center", ha="center",
                      bbox={"facecolor": "white", "lw": 0, "pad": 0.4, "alpha": 0.8},
                      xytext=((middle[0] - pixel[0]) / scale, (middle[1] - pixel[1]) / scale),
                      textcoords="offset points",
                      arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.4"} if far else None)  # fmt: skip
