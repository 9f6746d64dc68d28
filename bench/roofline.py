"""A picture of the kernels under the roofs of the machine: operations a second over operations a byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["draw"]


def draw(content: dict[str, Any], path: Path) -> None:
    """Write the picture to ``path``; raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    limits = content["limits"]
    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    intensity = np.logspace(-1.2, 3.6, 200)
    roofs = {f"int8: {how}": rate for how, rate in limits["int8_all_gops"].items()}
    roofs["float32: fused multiply-add"] = limits["fp32_gflops"]
    for n, (name, rate) in enumerate(roofs.items()):
        axes.plot(intensity, np.minimum(rate, intensity * limits["copy_gb_s"]), color=f"C{n}", lw=1.5,
                  label=f"{name}, {rate:,.0f} GOP/s")  # fmt: skip
    axes.plot([], [], " ", label=f"slope: copy, {limits['copy_gb_s']:.0f} GB/s")
    marks = {"product": ("o", "matrix product, int8"), "sum": ("^", "neighbour sum, int8"),
             "attention": ("s", "attention, int8")}  # fmt: skip
    listed: list[str] = []
    for part, (mark, label) in marks.items():
        points = [
            (row["operations"] / row["bytes"], row["contenders"]["int8"]["gops"], row["name"])
            for row in content.get(part, ()) if "int8" in row["contenders"]
        ]  # fmt: skip
        if points:
            axes.scatter(
                *zip(*((x, y) for x, y, _ in points), strict=True), marker=mark, color="k", zorder=3, label=label
            )
        for n, (x, y, name) in enumerate(points):
            if part != "product":  # these lie close together: a number here, the name in the corner
                listed.append(f"{len(listed) + 1} {label.split(',')[0]}, {name}")
                name = str(len(listed))
            axes.annotate(name, (x, y), xytext=(7, (-9, 3)[n % 2]), textcoords="offset points", fontsize=7)
    axes.text(0.02, 0.98, "\n".join(listed), transform=axes.transAxes, va="top", fontsize=7)
    floats = [
        (row["operations"] / (row["rows"] * row["inner"] * 4 + row["inner"] * row["columns"] * 4
                              + row["rows"] * row["columns"] * 4), row["contenders"]["own float32 tile"]["gops"])
        for row in content.get("product", ()) if "own float32 tile" in row["contenders"]
    ]  # fmt: skip
    if floats:
        axes.scatter(*zip(*floats, strict=True), marker="o", facecolors="none", edgecolors="k", zorder=3,
                     label="matrix product, own float32 tile")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="operations a byte of input and output",
             ylabel="billion operations a second", xlim=(intensity[0], 2e4))  # fmt: skip
    axes.set_title(f"{content['machine']['cpu']}, {content['machine']['threads']} threads", fontsize=10)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
