"""The ablation's tables: mask on or off x gradient rule x range rule, for each data set, model and width."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from .. import report
from . import plans, records
from .cells import Cell, parse_cell
from .statistic import Sample

__all__ = ["tables"]

_RANGES = ("minmax", "ema", "percentile")


def tables(by_cell: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Markdown of all of them; cells of the plans that have no run are shown as missing."""
    groups: dict[tuple, dict[str, Cell]] = {}
    planned = [run.cell for name in ("ablation-cora", "ablation-reddit") for run in plans.plan_runs(name)]
    for cell in [*planned, *(parse_cell(name) for name in by_cell)]:
        if cell.variant:
            key = cell.dataset, cell.model, cell.bits, cell.sites, cell.epochs
            groups.setdefault(key, {})[cell.variant] = cell
    lines = ["## Ablation: mask, gradient rule, range rule", "",
             "Degree-Quant with single choices replaced; accuracy of the integer program in percent, mean ± standard "
             "error (n). Clipped gradients are those of the official code: end codes get none."]  # fmt: skip
    for (dataset, model, bits, sites, epochs), cells in groups.items():
        title = f"{dataset} {model}, INT{bits}, {sites} layout" + (f", {epochs} epochs, fold 0" if epochs else "")
        rows = []
        for gradient, rule in itertools.product(("ste", "clip"), _RANGES):
            row = [f"{'straight-through' if gradient == 'ste' else 'clipped'}, {rule}"]
            for mask in ("nomask", "mask"):
                cell = cells.get(f"{mask}-{gradient}-{rule}")
                found = by_cell.get(cell.name, []) if cell else []
                row.append(_text(Sample(tuple(100 * records.score(r) for r in found))))
            rows.append(row)
        lines += ["", f"### {title}", "", report.markdown(["gradient, range", "no mask", "degree mask"], rows)]
    return lines


def _text(sample: Sample) -> str:
    if not sample.count:
        return "missing"
    return f"{sample.mean:.1f}" + (f" ± {sample.error:.1f}" if sample.count > 1 else "") + f" ({sample.count})"
