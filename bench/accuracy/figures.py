"""The figures that explain, each with the numbers it was drawn from beside it.

``gradient`` and ``range`` train models of their own and keep what they measured as JSON; ``bits``, ``bytes`` and
``curves`` are drawn from the records. A figure whose numbers are there is only drawn again.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np

from .. import machine
from . import explain, records
from .cells import parse_cell

__all__ = ["NAMES", "TITLES", "make", "redraw"]

TITLES = {
    "gradient": "Error of the weight gradient against in-degree",
    "range": "Range of the aggregate against in-degree",
    "bits": "Accuracy against bits",
    "bytes": "Accuracy against bytes",
    "curves": "Validation over the epochs, data sets of many graphs",
}
NAMES = tuple(TITLES)
SEEDS = (0, 1, 2)
_MEASURED: dict[str, Callable] = {"gradient": explain.gradients, "range": explain.ranges}
_STYLE = {"fp32": "*", "qat": "s", "nqat": "v", "dq": "o", "dq-plus": "D", "ptq": "^"}
_MODELS = {"gcn": "C0", "gat": "C1", "gin": "C2", "sage": "C3"}
_OF_GRAPHS = {
    "reddit_binary": ("val_accuracy", "validation accuracy, %", 100),
    "zinc12k": ("val_mae", "validation MAE", 1),
    "mnist": ("val_accuracy", "validation accuracy, %", 100),
    "cifar10": ("val_accuracy", "validation accuracy, %", 100),
}


def make(
    folder: Path, names: Sequence[str] | None = None, *, say: Callable[[str], None], again: bool = False
) -> list[Path]:
    """Measure what is missing (everything with ``again``) and draw; gives the paths of the pictures."""
    unknown = sorted(set(names or ()) - set(NAMES))
    if unknown:
        raise ValueError(f"unknown figure {unknown[0]!r}; choose of {', '.join(NAMES)}")
    where = folder / "figures"
    where.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        path = where / f"{name}.json"
        if name in _MEASURED and (again or not path.exists()):
            content = _MEASURED[name](SEEDS, say) | {"commit": records.commit()}
            content["machine"] = machine.describe(numba.get_num_threads())
            path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    return redraw(folder, names or NAMES)


def redraw(folder: Path, names: Sequence[str] = NAMES) -> list[Path]:
    """Draw the figures whose numbers are there; raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = []
    for name in names:
        source = folder / "figures" / f"{name}.json"
        if name in _MEASURED and not source.exists():
            continue
        figure = pyplot.figure(figsize=(13 if name == "gradient" else 11, 4.2), layout="constrained")
        if name in _MEASURED:
            content = json.loads(source.read_text(encoding="utf-8"))
            {"gradient": _gradient, "range": _range}[name](figure, content)
        elif not {"bits": _bits, "bytes": _bytes, "curves": _curves}[name](figure, list(records.load_all(folder))):
            pyplot.close(figure)
            continue
        path = folder / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
        pyplot.close(figure)
        drawn.append(path)
    return drawn


def _over_seeds(curves: Sequence[dict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.array([curve["value"] for curve in curves])
    error = values.std(axis=0, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.zeros(values.shape[1])
    return np.array(curves[0]["degree"]), values.mean(axis=0), error


def _gradient(figure: Any, content: dict[str, Any]) -> None:
    styles = {
        "float part": ("0.6", "--"), "trained without mask, all rounded": ("C3", "o-"),
        "trained with mask, all rounded": ("C0", "D:"), "trained with mask, masked": ("C0", "D-"),
    }  # fmt: skip
    panels = content["panels"]
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels.items(),
                                     strict=True):  # fmt: skip
        for name, its_curves in curves.items():
            degree, mean, error = _over_seeds(its_curves)
            colour, form = styles[name]
            label = "size of the part itself" if name == "float part" else name
            axes.errorbar(degree, mean, yerr=error, fmt=form, color=colour, ms=3, capsize=2, label=label)
        axes.set(xscale="log", yscale="log", xlabel="in-degree")
        axes.set_title(title, fontsize=10)
        axes.grid(lw=0.3)
    figure.axes[0].set_ylabel("error of a node's part of the\nweight gradient (mean part = 1)")
    figure.axes[0].legend(fontsize=7)
    figure.suptitle(f"Cora, INT4, seeds {content['seeds']}, epochs {content['epochs']}", fontsize=9)


def _range(figure: Any, content: dict[str, Any]) -> None:
    models = sorted({name.split()[0] for name in content["curves"]}, key=list(_MODELS).index)
    for axes, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
        for name, curves in content["curves"].items():
            if name.split()[0] != model:
                continue
            degree, mean, error = _over_seeds(curves)
            slope = statistics.fmean(curve["exponent"] for curve in curves)
            label = f"{name.partition(' ')[2]}: n^{slope:.2f}"
            line = axes.errorbar(degree, mean, yerr=error, fmt="o-", ms=4, capsize=2, label=label)
            axes.plot(degree, np.exp(np.log(mean).mean() + slope * (np.log(degree) - np.log(degree).mean())), "--",
                      color=line[0].get_color(), lw=0.8)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="in-degree n", title=model.upper())
        axes.grid(lw=0.3)
        axes.legend(fontsize=8)
    figure.axes[0].set_ylabel("range of a node's aggregate (float, trained)")


def _groups(found: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups = defaultdict(list)
    for record in found:
        if not record["ablation"] and "@" not in record["cell"]:
            groups[record["cell"]].append(record)
    return groups


def _bits(figure: Any, found: Sequence[dict[str, Any]]) -> bool:
    """Accuracy against bits on Cora, a panel a model; false where there is nothing to draw."""
    lines: dict[str, dict] = defaultdict(lambda: defaultdict(list))
    floats = {}
    for name, group in _groups([r for r in found if r["dataset"] == "cora"]).items():
        cell, scores = parse_cell(name), [100 * records.score(r) for r in group]
        if cell.method == "fp32":
            floats[cell.model] = statistics.fmean(scores)
        elif cell.bits.isdigit():
            error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0
            lines[cell.model][cell.method, cell.sites].append((int(cell.bits), statistics.fmean(scores), error))
    models = [model for model in _MODELS if model in lines]
    if not models:
        return False
    for axes, model in zip(figure.subplots(1, len(models), squeeze=False, sharey=True)[0], models, strict=True):
        for (method, sites), points in sorted(lines[model].items()):
            bits, mean, error = zip(*sorted(points), strict=True)
            axes.errorbar(bits, mean, yerr=error, fmt=_STYLE[method] + ("--" if sites == "paper" else "-"), ms=4,
                          capsize=2, label=f"{method}, {sites}")  # fmt: skip
        if model in floats:
            axes.axhline(floats[model], color="k", lw=0.8, ls=":", label="fp32")
        axes.set(xlabel="bits of weights and activations", title=f"Cora, {model.upper()}")
        axes.grid(lw=0.3)
    figure.axes[0].set_ylabel("test accuracy, %")
    figure.axes[-1].legend(fontsize=7)
    return True


def _bytes(figure: Any, found: Sequence[dict[str, Any]]) -> bool:
    """Accuracy against the size of the model's file on Cora and CiteSeer; false where there is nothing to draw."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullLocator

    groups = _groups([r for r in found if r["dataset"] in ("cora", "citeseer")])
    datasets = [d for d in ("cora", "citeseer") if any(name.startswith(d) for name in groups)]
    if not datasets:
        return False
    shown = [cell for cell in map(parse_cell, groups) if cell.dataset in datasets]
    for axes, dataset in zip(figure.subplots(1, len(datasets), squeeze=False)[0], datasets, strict=True):
        for name, group in groups.items():
            cell = parse_cell(name)
            if cell.dataset != dataset:
                continue
            size = statistics.fmean(r["file_bytes"] for r in group) / 1024
            score = statistics.fmean(100 * records.score(r) for r in group)
            filled = _MODELS[cell.model] if cell.sites != "paper" else "white"
            axes.plot(size, score, _STYLE[cell.method], color=_MODELS[cell.model], mfc=filled, ms=6)
            if cell.method != "fp32":
                axes.annotate(cell.bits, (size, score), xytext=(4, 3), textcoords="offset points", fontsize=6)
        axes.set(xscale="log", xlabel="file of the model, KiB", title=dataset)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(lw=0.3)
    handles = [Line2D([], [], ls="", marker="o", color=colour, label=m.upper()) for m, colour in _MODELS.items()
               if any(cell.model == m for cell in shown)]  # fmt: skip
    handles += [Line2D([], [], ls="", marker=mark, color="k", label=m) for m, mark in _STYLE.items()
                if any(cell.method == m for cell in shown)]  # fmt: skip
    handles.append(Line2D([], [], ls="", marker="o", mfc="white", color="k", label="paper's layout"))
    figure.axes[0].set_ylabel("test accuracy, %")
    figure.axes[-1].legend(handles=handles, fontsize=7, loc="lower right")
    return True


def _curves(figure: Any, found: Sequence[dict[str, Any]]) -> bool:
    """Validation metric over the epochs, a panel a data set of graphs, mean over runs; false where there is none."""
    groups = _groups([r for r in found if r["dataset"] in _OF_GRAPHS])
    datasets = [d for d in _OF_GRAPHS if any(name.startswith(f"{d}/") for name in groups)]
    if not datasets:
        return False
    rows = (len(datasets) + 1) // 2
    figure.set_size_inches(13, 4.2 * rows)
    panels = figure.subplots(rows, min(2, len(datasets)), squeeze=False).ravel()
    for empty in panels[len(datasets) :]:
        empty.remove()
    for axes, dataset in zip(panels, datasets, strict=False):
        metric, unit, factor = _OF_GRAPHS[dataset]
        for name, group in sorted(groups.items()):
            cell = parse_cell(name)
            if cell.dataset != dataset:
                continue
            runs = [r["curve"][metric] for r in group]
            mean = factor * np.array([run[: min(map(len, runs))] for run in runs]).mean(axis=0)
            form = {"fp32": ":", "8": "-", "4": "--"}.get("fp32" if cell.method == "fp32" else cell.bits, "-.")
            what = cell.method if cell.method == "fp32" else f"{cell.method} INT{cell.bits}"
            axes.plot(np.arange(1, len(mean) + 1), mean, form, color=_MODELS[cell.model], lw=1,
                      marker=_STYLE[cell.method], markevery=max(1, len(mean) // 6), ms=4,
                      label=f"{cell.model} {what} ({len(runs)})")  # fmt: skip
        axes.set(xlabel="epoch", ylabel=unit, title=dataset, yscale="log" if metric == "val_mae" else "linear")
        if metric == "val_mae":
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(lw=0.3)
        axes.legend(fontsize=7, title="model, method (runs)", title_fontsize=7)
    return True
