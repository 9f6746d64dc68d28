"""Tables: our runs beside the published numbers, with goals and verdicts; what is missing is shown as missing."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import report
from . import goals, plans, published, records
from .cells import Cell, Run, parse_cell
from .statistic import Sample

__all__ = ["Row", "collect", "findings", "render", "rows_of"]

#: Data set -> title, the plans whose cells its table has, and what every number of it has to be read with.
TABLES = {
    "cora": ("Cora, public split", ["cora"], None),
    "citeseer": ("CiteSeer, public split", ["citeseer"], None),
    "reddit_binary": (
        "REDDIT-BINARY, 10-fold",
        ["reddit"],
        "stratified folds, shuffle seed 12345 (`dqnumba/graph/splits.py` has the rule); validation is the test fold "
        "before. The order of the graphs in our file may differ from that of the official run, and so may the folds.",
    ),
    "zinc12k": (
        "ZINC-12k, mean absolute error",
        ["zinc"],
        "validation and test are the benchmark's; the 10,000 training molecules are another draw from the pool that "
        "the benchmark's are drawn from, so a published number was not reached on the identical training set.",
    ),
    "mnist": (
        "MNIST superpixels, 55,000 / 5,000 / 10,000",
        ["mnist"],
        "our own superpixels (SLIC, at most 75); fewer epochs than the published runs, as the recipes say.",
    ),
    "cifar10": (
        "CIFAR-10 superpixels, reduced",
        ["cifar10"],
        "9,000 training, 1,000 validation and 1,000 test images, a part of the set: not comparable with the published "
        "numbers, which are of 45,000 / 5,000 / 10,000.",
    ),
}  # fmt: skip
_MARK = "†"


class Row:
    """One cell of a table: our runs, what is published, the goals."""

    def __init__(self, cell: Cell, found: list[dict[str, Any]], stale: int) -> None:
        self.cell, self.records, self.stale = cell, found, stale
        unit = 1.0 if cell.dataset in goals.ERRORS else 100.0
        self.sample = Sample(tuple(unit * records.score(record) for record in found))
        fake = [record["test_fake_quant"] for record in found]
        self.fake = Sample(tuple(unit * value for value in fake if value is not None))
        self.published = published.of_cell(cell.short)
        self.goals: list[goals.Goal] = []

    @property
    def goal(self) -> goals.Goal | None:
        return goals.binding(self.cell.dataset, self.goals)


def collect(folder: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    """All records by cell, and how many of each were made with other numbers than the recipes have now."""
    from .runner import configured

    by_cell: dict[str, list[dict[str, Any]]] = defaultdict(list)
    stale: dict[str, int] = defaultdict(int)
    for record in records.load_all(folder):
        by_cell[record["cell"]].append(record)
        run = Run(parse_cell(record["cell"]), record["seed"], record["fold"])
        stale[record["cell"]] += bool(records.differences(record, configured(run)))
    return by_cell, stale


def rows_of(
    dataset: str, plan_names: Iterable[str], by_cell: Mapping[str, list], stale: Mapping[str, int]
) -> list[Row]:
    """The rows of one table: the cells of its plans, then others that were run, variants apart."""
    cells = list(dict.fromkeys(run.cell for name in plan_names for run in plans.plan_runs(name)))
    for name in by_cell:
        cell = parse_cell(name)
        if cell.dataset == dataset and cell not in cells and not cell.variant and not cell.epochs:
            cells.append(cell)
    order = ("fp32", "ptq", "qat", "nqat", "dq", "dq-plus")
    models = ("gcn", "gat", "gin", "sage")
    cells.sort(key=lambda c: (models.index(c.model), order.index(c.method), [-w for w in c.widths], c.sites != "paper"))
    rows = [Row(cell, by_cell.get(cell.name, []), stale.get(cell.name, 0)) for cell in cells]
    float_rows = {row.cell.model: row.sample for row in rows if row.cell.method == "fp32"}
    for row in rows:
        row.goals = goals.goals_of(row.cell, published.paper(), float_rows.get(row.cell.model))
    return rows


def render(folder: Path) -> str:
    """Write ``tables.md``, ``tables.png`` and the figures whose numbers are there; returns the Markdown.

    Without matplotlib there are no pictures, and the text says so.
    """
    from . import ablation, figures, picture

    by_cell, stale = collect(folder)
    everything, means, parts = {}, _Means(by_cell), ["# Accuracy", "", *_head()]
    for dataset, (title, plan_names, note) in TABLES.items():
        rows = everything[dataset] = rows_of(dataset, plan_names, by_cell, stale)
        parts += ["", f"## {title}", "", _table(dataset, rows, _MARK if note else "")]
        if note:
            parts += ["", f"{_MARK} {note}"]
        parts += ["", *_verdicts(dataset, rows)]
        failures = [r for row in rows for r in row.records if (r["agreement"] or 1.0) < 0.995]
        if failures:
            names = sorted({record["cell"] for record in failures})
            parts.append(f"Integer program and fake quantization agree on less than 99.5 % in {len(failures)} runs "
                         f"({', '.join(names)}).")  # fmt: skip
        parts += _said("tables", dataset, means)
    parts += ["", *ablation.tables(by_cell), *_said("tables", "ablation", means)]
    for name in figures.NAMES:
        if (folder / "figures" / f"{name}.png").exists():
            parts += ["", f"## {figures.TITLES[name]}", "", f"![{figures.TITLES[name]}](figures/{name}.png)"]
            parts += _said("figures", name, means)
    text = "\n".join(parts).rstrip() + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.md").write_text(text, encoding="utf-8")
    try:
        picture.draw(everything, folder / "tables.png")
        figures.redraw(folder)
    except ImportError:
        text += '\n(No picture was drawn: pip install "dqnumba[bench]" brings matplotlib.)\n'
    return text.rstrip()


def findings() -> dict[str, dict[str, str]]:
    """What was read from the tables and figures: ``tables`` and ``figures``, by name."""
    return tomllib.loads((Path(__file__).parent / "findings.toml").read_text(encoding="utf-8"))


class _Means(dict):
    """Cell -> the mean of its records as the tables print it."""

    def __init__(self, by_cell: Mapping[str, list[dict[str, Any]]]) -> None:
        super().__init__()
        self._by_cell = by_cell

    def __missing__(self, name: str) -> str:
        cell = parse_cell(name)
        sample = Row(cell, self._by_cell.get(cell.name, []), 0).sample
        digits = 3 if cell.dataset in goals.ERRORS else 1
        return f"{sample.mean:.{digits}f}" if sample.count else "(missing)"


def _said(kind: str, name: str, means: _Means) -> list[str]:
    text = findings().get(kind, {}).get(name)
    return [] if text is None else ["", " ".join(text.split()).format_map(means)]


def _head() -> list[str]:
    lines = [
        "Made by `python -m bench.accuracy --table` from the run records beside this file. Test metric of the integer "
        "program (of the float model for fp32), of the epoch that was best on validation: mean ± standard error over n "
        "seeds or folds. Accuracies in percent. Published: mean ± standard deviation.",
        "",
        "A cell is held when mean + 2 standard errors reaches the goal (an error: mean - 2). Marks of published "
        "numbers: none is confirmed by code or log of the authors; ° quoted, agrees with the printed gains; °° quoted; "
        "? doubtful.",
        "",
    ]
    return lines + [f"- *{key.replace('_', ' ')}*: {title}" for key, title in published.sources().items()]


_SIGNS = {"confirmed": "", "consistent": "°", "quoted": "°°", "doubtful": "?"}


def _table(dataset: str, rows: list[Row], mark: str) -> str:
    digits, own_digits = (3, 3) if dataset in goals.ERRORS else (1, 2)
    others = [key for key in published.sources() if key != "paper"]
    others = [key for key in others if any(p.source == key for row in rows for p in row.published)]
    head = ["model", "method", "bits", "layout", "ours", "n", "fake quant.", "paper"]
    head += [key.replace("_", " ") for key in others] + ["goal", "verdict"]
    lines = []
    for row in rows:
        cell, sample = row.cell, row.sample
        by_source = {p.source: f"{p.mean:.{digits}f} ± {p.spread:.{digits}f}{_SIGNS[p.status]}" for p in row.published}
        if sample.count:
            error = f" ± {sample.error:.{own_digits}f}" if sample.count > 1 else ""
            ours = f"{sample.mean:.{own_digits}f}{error}{mark and ' ' + mark}"
            fake = f"{row.fake.mean:.{own_digits}f}" if row.fake.count else None
        else:
            ours, fake = "missing", None
        verdict = None
        if row.goal:
            verdict = ("held" if goals.holds(dataset, sample, row.goal) else "missed") if sample.count else "missing"
        count = f"{sample.count}" + (f" ({row.stale} of an older recipe)" if row.stale else "")
        lines.append([
            cell.model, cell.method, None if cell.method == "fp32" else cell.bits, cell.sites, ours, count, fake,
            by_source.get("paper"), *(by_source.get(key) for key in others),
            "; ".join(f"{goal.value:.{digits}f} ({goal.source})" for goal in row.goals) or None, verdict,
        ])  # fmt: skip
    return report.markdown(head, lines)


def _verdicts(dataset: str, rows: list[Row]) -> list[str]:
    """The rule for each kind of cell, and for all of them."""
    with_goal = [(row, row.goal) for row in rows if row.goal]
    if not with_goal:
        return []
    groups: dict[str, list] = defaultdict(list)
    for row, goal in with_goal:
        plain = replace(row.cell, model="", dataset="", sites=None)
        groups[f"{plain.method} INT{plain.bits}"].append((row.sample, goal))
    lines = [f"- {name}: {goals.table_verdict(dataset, cells)}." for name, cells in groups.items()]
    if len(groups) > 1:
        lines.append(f"- all: {goals.table_verdict(dataset, [(row.sample, goal) for row, goal in with_goal])}.")
    return lines
