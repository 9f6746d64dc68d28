"""The tables as a picture: our means with two standard errors beside the paper's numbers, a panel a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["draw"]

_NAMES = {"fp32": "fp32", "qat": "QAT", "nqat": "nQAT", "dq": "DQ", "dq-plus": "DQ+", "ptq": "PTQ"}
_COLOURS = {"gcn": "C0", "gat": "C1", "gin": "C2", "sage": "C3"}


def draw(tables: Mapping[str, list[Any]], path: Path) -> None:
    """Write the picture to ``path``; raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = {name: rows for name, rows in tables.items() if rows}
    heights = [max(4, len(rows)) for rows in shown.values()]
    figure, panels = pyplot.subplots(
        len(shown), 1, figsize=(9, 0.19 * sum(heights) + 1.2 * len(shown)), height_ratios=heights, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axes, (name, rows) in zip(panels[:, 0], shown.items(), strict=True):
        _panel(axes, name, rows)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(axes: Any, name: str, rows: list[Any]) -> None:
    values = [v for row in rows for v in (*row.sample.values, *(p.mean for p in row.published))]
    for y, row in enumerate(rows):
        colour = _COLOURS[row.cell.model]
        for p in row.published:
            mark = {"paper": "D", "official_log": "^", "rerun": "v", "benchmark": "*"}[p.source]
            axes.errorbar(p.mean, y - 0.22, xerr=p.spread, fmt=mark, ms=4, mfc="white", color="0.45", elinewidth=0.8)
        if row.sample.count:
            axes.plot(row.sample.values, [y + 0.12] * row.sample.count, ".", ms=3, color=colour, alpha=0.45)
            axes.errorbar(row.sample.mean, y + 0.12, xerr=2 * row.sample.error, fmt="o", ms=5, color=colour, capsize=2)
        elif values:
            axes.annotate(
                "missing", (0.005, y), xycoords=("axes fraction", "data"), fontsize=7, color="C3", va="center"
            )
        if row.goal:
            axes.plot([row.goal.value] * 2, [y - 0.45, y + 0.45], color="k", lw=1.4)
    labels = [
        " ".join(filter(None, [
            row.cell.model, _NAMES[row.cell.method], None if row.cell.method == "fp32" else row.cell.bits,
            "paper" if row.cell.sites == "paper" else None,
        ]))
        for row in rows
    ]  # fmt: skip
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", lw=0.3)
    unit = "mean absolute error" if name == "zinc12k" else "test accuracy, %"
    axes.set_title(f"{name} ({unit})", fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=7)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    marks = {"paper ± sd": "D", "official log": "^", "re-run by others": "v", "Benchmarking-GNNs": "*"}
    lines = [Line2D([], [], marker="o", color="C0", label="ours, mean ± 2 s.e. (small: single runs)")]
    lines += [Line2D([], [], ls="", marker=m, mfc="white", color="0.45", label=name) for name, m in marks.items()]
    return [*lines, Line2D([], [], color="k", lw=1.4, label="goal")]
