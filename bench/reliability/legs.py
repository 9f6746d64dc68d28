"""``python -m bench.reliability legs``: the tests in settings that CI does not have, each by its script.

bounds, interpreted and generic are legs of ``.ci/leg``; floors is ``.ci/floors``, the oldest versions allowed. What
pytest counts goes into the record; a leg that has run again replaces what it had.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from . import record

__all__ = ["COMMANDS", "counts", "main"]

NAME = "legs"
ROOT = Path(__file__).parents[2]
COMMANDS = {
    "bounds": [".ci/leg", "bounds"],
    "interpreted": [".ci/leg", "interpreted"],
    "generic": [".ci/leg", "generic"],
    "floors": [".ci/floors"],
}


def main(argv: list[str]) -> int:
    """Run legs one after the other; exit code 1 if one failed."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__)
    parser.add_argument("--leg", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), metavar="NAME")
    parser.add_argument("--work", type=Path, metavar="DIR", help="compiled kernels and environments are kept there")
    args = parser.parse_args(argv)
    failed = False
    for leg in args.leg:
        with tempfile.TemporaryDirectory() as passing:
            folder = (args.work or Path(passing)) / leg
            folder.mkdir(parents=True, exist_ok=True)
            found = _run(leg, folder.resolve(), Path(passing) / "junit.xml")
        failed |= bool(found["exit_code"])
        print(f"{leg}: {found}", flush=True)
        legs = record.read(NAME).get("legs", {}) | {leg: found}
        record.extend(NAME, {"legs": legs}, {"leg": leg} | found, threads=os.cpu_count() or 1)
    return int(failed)


def _run(leg: str, folder: Path, junit: Path) -> dict[str, int | float | str]:
    added = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={junit}".strip()
    environment = os.environ | {"PYTEST_ADDOPTS": added, "PYTHON": sys.executable}
    started = time.perf_counter()
    done = subprocess.run([*COMMANDS[leg], str(folder)], cwd=ROOT, env=environment)
    outcome = {"command": " ".join(COMMANDS[leg]), "exit_code": done.returncode}
    return outcome | (counts(junit) if junit.exists() else {}) | {"seconds": round(time.perf_counter() - started, 1)}


def counts(junit: Path) -> dict[str, int]:
    """What pytest's XML file counts: passed, failed (with errors) and skipped."""
    suites = list(ElementTree.parse(junit).iter("testsuite"))
    tests, failures, errors, skipped = (
        sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    )
    return {"passed": tests - failures - errors - skipped, "failed": failures + errors, "skipped": skipped}
