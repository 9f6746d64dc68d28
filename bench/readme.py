"""The tables of README.md, SECURITY.md and docs/import.md, made of the results: they hold what was measured last.

python -m bench.readme           # rewrite each block between its marks
python -m bench.readme --check   # exit 1 if one is not what the results say
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import post_training, report, stream
from .accuracy import goals, published, tables
from .accuracy.cells import parse_cell
from .reliability import table as reliability

__all__ = ["accuracy_table", "blocks", "main", "replaced", "speed_table"]

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- {}: made by python -m bench.readme -->", "<!-- end -->"
#: Columns of the accuracy table: method and bits, in the default layout.
_COLUMNS = {"FP32": "fp32", "INT8": "dq/8", "INT4": "dq/4", "INT4 plus": "dq-plus/4"}


def accuracy_table(folder: Path) -> str:
    """A row for each data set and model of the run records in ``folder``, with the paper's numbers beside ours."""
    by_cell, stale = tables.collect(folder)
    lines = []
    for dataset, (_, plan_names, _) in tables.TABLES.items():
        rows = {row.cell.name: row for row in tables.rows_of(dataset, plan_names, by_cell, stale)}
        for model in dict.fromkeys(row.cell.model for row in rows.values()):
            cells = [parse_cell(f"{dataset}/{model}/{kind}") for kind in _COLUMNS.values()]
            ours = [rows.get(cell.name) for cell in cells]
            counts = sorted({row.sample.count for row in ours if row and row.sample.count})
            if counts:
                paper = [published.paper().get(cell.short, [None])[0] for cell in cells[:3]]
                lines.append([
                    f"{dataset} {model}", *(_ours(dataset, row) for row in ours),
                    " / ".join(_number(dataset, value) for value in paper) if any(paper) else None,
                    "-".join(map(str, counts[:: max(1, len(counts) - 1)])),
                ])  # fmt: skip
    return report.markdown(["", *_COLUMNS, "paper: FP32 / INT8 / INT4", "runs"], lines)


def _ours(dataset: str, row: tables.Row | None) -> str | None:
    if row is None or not row.sample.count:
        return None
    error = f" ± {_number(dataset, row.sample.error)}" if row.sample.count > 1 else ""
    return _number(dataset, row.sample.mean) + error + (" (old recipe)" if row.stale else "")


def _number(dataset: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.{3 if dataset in goals.ERRORS else 1}f}"


def speed_table(content: dict[str, Any]) -> str:
    """A row for each cell of ``models.json``: medians in milliseconds, and how many times faster INT8 is."""
    rows = []
    for name, cell in content["cells"].items():
        times = [cell["contenders"].get(who, {}).get("median_ms") for who in ("int8", "float", "pyg")]
        speed = [cell["speedup"].get(key) for key in ("int8_vs_float", "int8_vs_pyg")]
        rows.append([name, *map(report.number, times), *map(_ratio, speed)])
    return report.markdown(["", "INT8", "own float", "PyG", "INT8 against own float", "against PyG"], rows)


def _ratio(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x"


def replaced(text: str, name: str, table: str) -> str:
    """``text`` with ``table`` between the two marks of the block ``name``."""
    mark = BEGIN.format(name)
    before, begin, rest = text.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there are no marks {mark} and {END}")
    return f"{before}{mark}\n\n{table}\n\n{end}{after}"


def blocks(results: Path) -> dict[str, dict[str, str]]:
    """The blocks of each page, by name, as the results in this folder have them."""
    return {
        "README.md": {
            "speed": speed_table(report.load(results / "models.json")),
            "stream": stream.table(report.load(results / "stream.json")),
            "accuracy": accuracy_table(results / "accuracy"),
        },
        "docs/import.md": {
            "post_training": post_training.table(report.load(results / "post_training.json"), results / "accuracy")
        },
        "SECURITY.md": {"reliability": reliability.outcomes(results / "reliability")},
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.readme", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a block is another")
    parser.add_argument("--results", type=Path, default=report.RESULTS, metavar="DIR", help="folder of the results")
    args = parser.parse_args()
    code = 0
    for page, tables_of_page in blocks(args.results).items():
        text = new = (ROOT / page).read_text(encoding="utf-8")
        for name, table in tables_of_page.items():
            new = replaced(new, name, table)
        if new != text and args.check:
            report.progress(f"{page} does not hold what bench/results says: run python -m bench.readme")
            code = 1
        elif new != text:
            (ROOT / page).write_text(new, encoding="utf-8")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
