"""Charts that more than one command shows: curves of a training, times of a program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .charts import Bar, BarChart, Chart, Series
from .text import short, whole

__all__ = ["speed_chart", "training_charts"]

_LARGEST, _LEAST = 1e30, 1e-30
_MOST_POINTS = 1000


def training_charts(history: Any, best_epoch: Any = None) -> list[Chart]:
    """Loss by epoch and, with a validation split, the validation metric by epoch; nothing where there is no epoch.

    Parameters
    ----------
    history : list of dict
        As ``fit`` leaves it: ``epoch``, ``loss`` and perhaps ``val_loss`` and ``val_accuracy`` or ``val_mae``. It may
        come from a file: what is no finite number is left out.
    best_epoch : int, optional
        The epoch that was kept.
    """
    entries = [entry for entry in history if isinstance(entry, Mapping)] if isinstance(history, list | tuple) else []
    entries = entries[:: -(-len(entries) // _MOST_POINTS) or 1]
    curves = {name: _curve(entries, name) for name in ("loss", "val_loss", "val_accuracy", "val_mae")}
    if len(curves["loss"].x) < 2:
        return []
    marker = (float(best_epoch), f"kept: {best_epoch}") if isinstance(best_epoch, int) and best_epoch > 0 else None
    losses = tuple(curves[name] for name in ("loss", "val_loss") if curves[name].x)
    charts = [Chart("Loss", "epoch", "loss", losses, marker=marker)]
    for name, title in (("val_accuracy", "Accuracy on validation"), ("val_mae", "Error on validation")):
        if curves[name].x:
            is_share = name == "val_accuracy"
            label = "accuracy" if is_share else "mean absolute error"
            charts.append(Chart(title, "epoch", label, (curves[name],), percent=is_share, marker=marker))
    return charts


def _curve(entries: list[Mapping[str, Any]], name: str) -> Series:
    labels = {"loss": "training", "val_loss": "validation", "val_accuracy": "validation", "val_mae": "validation"}
    pairs = [(entry.get("epoch"), entry.get(name)) for entry in entries]
    good = [(float(x), _settled(y)) for x, y in pairs if _is_number(x) and _is_number(y)]
    return Series(labels[name], [x for x, _ in good], [y for _, y in good])


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < _LARGEST
        and math.isfinite(value)
    )


def _settled(value: float) -> float:
    return 0.0 if abs(value) < _LEAST else float(value)


def speed_chart(rows: Sequence[Mapping[str, Any]]) -> BarChart:
    """Medians and quartiles of milliseconds: rows with ``what, nodes, edges, threads, median_ms, q1_ms, q3_ms`` and
    ``model`` (or ``backend``), in groups of one graph and one number of threads.
    """
    names = sorted({row.get("model") or row["backend"] for row in rows})
    kinds = ["integer", "float32"] if "integer" in names else names  # the same colours as in the other charts
    bars = []
    for row in rows:
        name = row.get("model") or row["backend"]
        threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
        bars.append(Bar(
            name, f"{short(row['what'])}: {whole(row['nodes'])} nodes, {whole(row['edges'])} edges, {threads}",
            row["median_ms"], row["q1_ms"], row["q3_ms"], kinds.index(name),
        ))  # fmt: skip
    order = list(dict.fromkeys(bar.group for bar in bars))
    bars.sort(key=lambda bar: order.index(bar.group))
    return BarChart("Time of one call", "milliseconds, median and quartiles; shorter is better", tuple(bars))
