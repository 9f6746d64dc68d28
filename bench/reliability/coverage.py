"""Branch coverage of quant/, convert/, infer/ and the degree mask: what their tests leave out is explained, or found.

The tests run under coverage.py; what they run in other processes does not count. Each line and each branch of the rooms
that they do not take must stand in ``coverage.toml`` with a reason, by the text of the line, for numbers move. An entry
of that table that explains nothing any more is a finding too. Nothing in these rooms is compiled by Numba, whose loops
no tracer sees; a function that begins to be is a finding. The kernels are held otherwise: every backend gives the bits
of the reference.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from ..report import markdown
from . import record
from .gaps import Gap, Source, explain, gaps_of

__all__ = ["PLACES", "TESTS", "judge", "main"]

NAME = "coverage"
ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("coverage.toml")
PLACES = ("dqnumba/quant", "dqnumba/convert", "dqnumba/infer", "dqnumba/qat/degree_mask.py")
#: Each room by its own tests, which must be enough.
TESTS = (
    "tests/quant", "tests/convert", "tests/infer", "tests/qat/test_degree_mask.py",
    "tests/qat/test_degree_ranks.py",
)  # fmt: skip
#: The same on every machine: how a graph is cut for the vector kernels depends on the number of threads.
THREADS = 1


def files_of(places: tuple[str, ...] = PLACES, root: Path = ROOT) -> list[str]:
    """Paths of the modules, relative to ``root``."""
    found = [
        path for place in places for path in ([root / place] if place.endswith(".py") else (root / place).rglob("*.py"))
    ]
    return sorted(path.relative_to(root).as_posix() for path in found)


def judge(
    measured: dict[str, Any], sources: dict[str, str], table: list[dict[str, str]]
) -> tuple[dict[str, Any], list[str]]:
    """The content of the record, and the findings.

    Parameters
    ----------
    measured : dict
        What ``coverage json`` writes.
    sources : dict
        Path -> text of every file that should have been measured.
    table : list of dict
        Entries of ``coverage.toml``.
    """
    files, findings, used = {}, [], Counter()
    for path, text in sources.items():
        source = Source(path, text)
        findings += source.faults
        if path not in measured["files"]:
            findings.append(f"{path}: never imported")
            continue
        entry = measured["files"][path]
        gaps, summary = gaps_of(source, entry), entry["summary"]
        open_gaps: list[Gap] = []
        for gap in gaps:
            reasons = explain(gap, table)
            used.update(reasons[:1])
            if not reasons:
                open_gaps.append(gap)
        findings += [f"{path}:{gap.number}: {gap.text}" for gap in open_gaps]
        files[path] = {
            "statements": summary["num_statements"], "branches": summary["num_branches"],
            "missing_lines": summary["missing_lines"], "missing_branches": summary["missing_branches"],
            "explained": len(gaps) - len(open_gaps), "unexplained": len(open_gaps),
        }  # fmt: skip
    for k, entry in enumerate(table):
        if used[k] != 1:
            fault = "explains several places: say within which function" if used[k] else "explains nothing any more"
            findings.append(f"{TABLE.name}: the entry for {entry['line']!r} in {entry['file']} {fault}")
    totals = {key: sum(row[key] for row in files.values()) for key in next(iter(files.values()), {})}
    return {"totals": totals, "files": files, "explanations": [table[k] for k in sorted(used)]}, findings


def measure(tests: list[str], folder: Path) -> dict[str, Any] | None:
    """Run the tests under coverage.py; what ``coverage json`` says, or None where a test failed."""
    command = [sys.executable, "-m", "coverage"]
    data, out = folder / "data", folder / "coverage.json"
    env = os.environ | {"NUMBA_NUM_THREADS": str(THREADS), "COVERAGE_FILE": str(data)}
    run = [*command, "run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    if subprocess.run(run, cwd=ROOT, env=env, check=False).returncode:
        return None
    subprocess.run([*command, "json", "-q", "-o", str(out)], cwd=ROOT, env=env, check=True)
    return json.loads(out.read_text(encoding="utf-8"))


def show(content: dict[str, Any]) -> str:
    """A table: one row a file."""
    keys = ("statements", "branches", "missing_lines", "missing_branches", "explained", "unexplained")
    rows = [(path, *(row[key] for key in keys)) for path, row in content["files"].items()]
    rows.append(("all", *(content["totals"][key] for key in keys)))
    return markdown(("file", *(key.replace("_", " ") for key in keys)), rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__.splitlines()[0])
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="others than the rooms' own; no record")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="judge this report of coverage json; no record")
    args = parser.parse_args(argv)
    if args.measured is None and importlib.util.find_spec("coverage") is None:
        print("error: this needs coverage.py: pip install -e '.[test,coverage]'", file=sys.stderr)
        return 2
    started = time.monotonic()
    if args.measured is not None:
        measured = json.loads(args.measured.read_text(encoding="utf-8"))
    else:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(list(args.tests or TESTS), Path(folder))
    if measured is None:
        print("error: a test failed; mend it first", file=sys.stderr)
        return 1
    table = tomllib.loads(TABLE.read_text(encoding="utf-8")).get("exception", [])
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in files_of()}
    content, findings = judge(measured, sources, table)
    print(show(content), *findings, sep="\n")
    if args.tests is None and args.measured is None:
        sitting = {
            "tests": list(TESTS), "coverage": measured["meta"]["version"], "findings": len(findings),
            "seconds": round(time.monotonic() - started),
        }  # fmt: skip
        record.extend(NAME, content | {"findings": findings}, sitting, threads=THREADS)
    return 1 if findings else 0
