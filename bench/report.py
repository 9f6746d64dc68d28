"""Results: JSON files that a later run of a part updates, tables in Markdown, and the options all commands share."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dqnumba.files import whole_file

__all__ = ["RESULTS", "add_options", "finish", "load", "markdown", "number", "progress", "save"]

RESULTS = Path(__file__).parent / "results"


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--json``, ``--quick``, ``--threads`` and ``--results``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it runs, not to be quoted")
    parser.add_argument("--threads", type=int, default=2, help="threads of every contender (default: 2)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="folder of the JSON file and the table"
    )


def progress(text: str) -> None:
    """One line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def load(path: Path) -> dict[str, Any]:
    """The result file ``path``; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def save(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    _write(path, json.dumps(content, indent=1, allow_nan=False, default=_plain) + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as stream:
        stream.write(text.encode())


def finish(args: argparse.Namespace, name: str, content: dict[str, Any], table: str) -> None:
    """Save the table beside the JSON file and print the one that was asked for."""
    _write(args.results / f"{name}.md", table.rstrip() + "\n")
    print(json.dumps(content, allow_nan=False, default=_plain) if args.json else table.rstrip(), flush=True)


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; the first column to the left, all others to the right."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join("-" if cell is None else str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def number(value: float | None, unit: str = "") -> str | None:
    """Three significant digits without exponent, at most 5 decimals; None stays None (a dash in a table)."""
    if value is None:
        return None
    before = 1 if value == 0 else math.floor(math.log10(float(f"{abs(value):.2e}"))) + 1  # 99.96 is shown as 100
    return f"{value:,.{min(5, max(0, 3 - before))}f}{unit}"


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON-able")
