"""The table of whole models in README.md, made of the result file, so that it holds what was measured last.

python -m bench.readme           # rewrite the block between its two marks
python -m bench.readme --check   # exit 1 if it is not what the result file says
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import report

__all__ = ["main", "replaced", "speed_table"]

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- made by python -m bench.readme -->", "<!-- end -->"


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


def replaced(text: str, table: str) -> str:
    """``text`` with ``table`` between the two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there are no marks {BEGIN} and {END}")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.readme", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the block is another")
    parser.add_argument("--results", type=Path, default=report.RESULTS, metavar="DIR", help="folder of models.json")
    args = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    new = replaced(text, speed_table(report.load(args.results / "models.json")))
    if new == text:
        return 0
    if args.check:
        report.progress("README.md does not hold what bench/results/models.json says: run python -m bench.readme")
        return 1
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
