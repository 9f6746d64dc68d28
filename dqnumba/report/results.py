"""Sections about how right the program is: scores, the checks of ``verify``, confusion, or targets and residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .blocks import figures, note, section, table
from .charts import Chart, Series
from .markup import Markup, join, tag
from .predictions import MODELS
from .summary import scored_split
from .text import MISSING, decimal, percent, points, short, whole

__all__ = ["accuracy", "confusion", "residuals"]

_LEVELS = {
    "kernels": "the kernels give the same bits as the reference at every site",
    "sites": "every site is within one code of fake quantization",
    "predictions": "predictions agree with fake quantization",
}
_SHADES = 8


def accuracy(found: Mapping[str, Any]) -> Markup:
    """Scores of float, fake quantization and integer, and the three levels of ``verify``."""
    scores = found["scores"]
    content: list[Any] = []
    if scores is not None:
        content.append(_score_table(found))
    content.append(_checks(found))
    title = "Error" if scores is not None and scores["metric"] == "mae" else "Accuracy"
    intro = None
    if scores is not None and "float" in scores["models"]:
        intro = ("float32 means the trained weights without any rounding: what the quantizers stand on. "
                 "It is not a model that was trained in float.")  # fmt: skip
    return section("accuracy", f"{title} and checks", intro, content)


def _score_table(found: Mapping[str, Any]) -> Markup:
    scores, split = found["scores"], scored_split(found)
    share = scores["metric"] == "accuracy"
    splits = [s for s in ("test", "labelled", "all", "val", "train") if s in scores["counts"]]
    names = {"train": "training", "val": "validation", "test": "test", "all": "all items",
             "labelled": "labelled items"}  # fmt: skip
    base = scores["models"].get("float", {}).get(split)
    rows = []
    for model in MODELS:
        values = scores["models"].get(model, {})
        row = [MODELS[model], *((percent if share else decimal)(values.get(s)) for s in splits)]
        value = values.get(split)
        if base is None or value is None or model == "float":
            row.append(MISSING)
        else:
            row.append(
                f"{points(value - base)} points"
                if share
                else f"{'+' if value > base else ''}{decimal(value - base, 2)}"
            )
        changed = (found["changed"] or {}).get(model)
        row.append(MISSING if changed is None else percent(changed, 2))
        rows.append(row)
    if found["changed"] is None:
        rows = [row[:-1] for row in rows]
    items = (tag("span", f"{whole(scores['counts'][s])} items", class_="cell-note") for s in splits)
    head = ["", *(join(names[s], count) for s, count in zip(splits, items, strict=True)), "to float"]
    head += [] if found["changed"] is None else ["other classes"]
    name = "Accuracy" if share else "Mean absolute error"
    tail = None
    if found["changed"]:
        tail = note("Other classes: share of all items that the integer program puts into another class than this "
                    "model (fake quantization here without float32’s own rounding noise).")  # fmt: skip
    return join(table(name, head, rows, emphasis=len(rows) - 1), tail)


def _checks(found: Mapping[str, Any]) -> Markup:
    verify = found["verify"]
    items = []
    for level, words in _LEVELS.items():
        verdict = verify["levels"][level]
        word, kind = {True: ("passed", "good"), False: ("failed", "bad"), None: ("not run", "none")}[verdict]
        detail = ""
        if level == "kernels":
            detail = f" ({verify['kernels']['backend']})"
            if verify["kernels"]["sites"]:
                detail = f": they differ at {', '.join(short(s) for s in verify['kernels']['sites'][:3])}"
        if level == "predictions" and verify["predictions"]:
            detail = f": {percent(verify['predictions']['agreement'], 2)} of {whole(verify['predictions']['count'])}"
        items.append(tag("li", tag("span", word, class_=f"verdict {kind}"), tag("span", words, detail)))
    return join(tag("h3", "Checks of dqnumba verify"), tag("ul", items, class_="checks"))


def confusion(found: Mapping[str, Any]) -> Markup | None:
    """Classification: labels against predicted classes."""
    if found["confusion"] is None:
        return None
    matrix, pairs = found["confusion"]["matrix"], found["confusion"]["pairs"]
    where = "the test split" if found["split"] == "test" else "all items"
    content: list[Any] = []
    if matrix is not None:
        content.append(_matrix(matrix))
    worst = [[f"{a} taken for {b}", whole(count)] for a, b, count in pairs[: 6 if matrix is not None else 12]]
    if worst:
        content.append(table("Mixed up most often", ["label and prediction", "items"], worst, class_="compact"))
    intro = f"The integer program on {where}, {whole(found['scored'])} items. Rows are labels, columns predictions."
    return section("confusion", "Confusion", intro, tag("div", content, class_="pair"))


def _matrix(matrix: list[list[int]]) -> Markup:
    """Counts, shaded by their share of the row; beside them the recall of each class, below the precision."""
    columns = range(len(matrix))
    head = [tag("th", tag("span", "label", class_="hidden"), scope="col")]
    head += [tag("th", str(c), scope="col", class_="number") for c in columns]
    head.append(tag("th", "recall", scope="col", class_="number"))
    body = []
    for c, row in enumerate(matrix):
        total = sum(row)
        cells = [tag("th", str(c), scope="row")]
        for k, count in enumerate(row):
            shade = -(-_SHADES * count // total) if total else 0
            kind = "hit" if k == c else "miss"
            cells.append(tag("td", whole(count) if count else "·", class_=f"number {kind} h{shade}"))
        cells.append(tag("td", percent(row[c] / total, 0) if total else MISSING, class_="number edge"))
        body.append(tag("tr", cells))
    totals = [sum(row[c] for row in matrix) for c in columns]
    last = [tag("th", "precision", scope="row")]
    last += [
        tag("td", f"{100 * matrix[c][c] / totals[c]:.0f}" if totals[c] else MISSING, class_="number edge")
        for c in columns
    ]
    body.append(tag("tr", last, tag("td", "in %", class_="number edge"), class_="foot"))
    caption = "Confusion matrix"
    inner = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", tag("tr", head)),
        tag("tbody", body),
        class_="matrix",
    )
    return tag("div", inner, class_="scroll", role="region", aria_label=caption, tabindex="0")


def residuals(found: Mapping[str, Any]) -> Markup | None:
    """Regression: targets against predictions, and what is left."""
    fit = found["fit"]
    if fit is None:
        return None
    charts = [
        Chart("Predictions against targets", "target", "prediction",
              (Series("integer program", fit["target"], fit["predicted"], style="cloud"),), diagonal=True),
        Chart("Residuals", "prediction − target", "items",
              (Series("integer program", fit["residual_middles"], fit["residual_counts"], style="bars"),)),
    ]  # fmt: skip
    names = ["", "mean", "5 %", "25 %", "median", "75 %", "95 %"]
    row = ["residual", *(decimal(value, 3) for value in (fit["bias"], *fit["quartiles"]))]
    intro = f"{whole(fit['shown'])} items are drawn. The dashed line is a prediction without error."
    return section("residuals", "Targets and residuals", intro, figures(*charts),
                   table("Mean and percentiles of the residuals", names, [row]))  # fmt: skip
