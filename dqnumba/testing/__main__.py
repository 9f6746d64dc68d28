"""``python -m dqnumba.testing``: the long run of the kit, on dqnumba's quantizers and the planted faults, or on yours.

Without a target, each of dqnumba's quantizers must hold every property, and each planted fault must be caught by the
properties that are stated for it. A target ``module:name`` is a Quantizer, several in a list or dict, or a function
without arguments that returns one of these; the folder where the command runs is searched for the module.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ConfigError, DQError
from .check import check
from .ours import ours
from .planted import PLANTED, Planted
from .quantizer import Quantizer

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if all is as it should be, 1 if not, 2 for a target that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m dqnumba.testing", description=__doc__.split("\n")[0])
    parser.add_argument("target", nargs="*", help="module:name of a Quantizer, of several, or of their maker")
    parser.add_argument("--examples", type=int, default=10_000, help="cases drawn for each property (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same cases (default 0)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")
    arguments = parser.parse_args(argv)
    try:
        _need(arguments.examples > 0, f"--examples must be at least 1, got {arguments.examples}")
        found = [each for target in arguments.target for each in _resolve(target)]
    except DQError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    subjects = found or [*ours(), *PLANTED.values()]
    good = 0
    for subject in subjects:
        start = time.perf_counter()
        record = (_catch if isinstance(subject, Planted) else _clear)(subject, arguments.examples, arguments.seed)
        record["seconds"] = round(time.perf_counter() - start, 1)
        good += record["as_it_should_be"]
        sys.stdout.write((json.dumps(record) if arguments.json else _line(record)) + "\n")
        sys.stdout.flush()
    sys.stderr.write(f"{good} of {len(subjects)} as they should be\n")
    return int(good < len(subjects))


def _clear(quantizer: Quantizer, examples: int, seed: int) -> dict[str, Any]:
    """A quantizer that is expected to be right."""
    report = check(quantizer, max_examples=examples, seed=seed, raises=False)
    return {
        "quantizer": quantizer.name, "planted": False, "as_it_should_be": report.passed, "failed": report.failed,
        "properties": len(report.held) + len(report.failures), "cases": sum(report.held.values()),
        "report": "" if report.passed else str(report),
    }  # fmt: skip


def _catch(planted: Planted, examples: int, seed: int) -> dict[str, Any]:
    """A fault: the properties stated for it must fail."""
    report = check(
        planted.quantizer, max_examples=examples, properties=planted.caught_by, seed=seed, raises=False, shrink=False
    )
    return {
        "quantizer": planted.name, "planted": True, "as_it_should_be": set(report.failed) == set(planted.caught_by),
        "failed": report.failed, "properties": len(planted.caught_by),
        "cases": max((failure.examples for failure in report.failures), default=examples),
        "report": "" if report.failures else f"{planted.fault}: not caught by {', '.join(planted.caught_by)}",
    }  # fmt: skip


def _line(record: dict[str, Any]) -> str:
    if record["planted"]:
        word = "caught" if record["as_it_should_be"] else "MISSED"
        rest = f"by {', '.join(record['failed'])} within {record['cases']} cases" if record["failed"] else ""
    else:
        word = "holds" if record["as_it_should_be"] else "FAILS"
        rest = f"{record['properties']} properties, {record['cases']} cases"
    line = f"{word:7}{record['quantizer']:55} {rest}, {record['seconds']} s"
    return f"{line}\n{record['report']}" if record["report"] else line


def _resolve(target: str) -> list[Quantizer | Planted]:
    module_name, _, name = target.partition(":")
    _need(bool(module_name and name), f"target {target!r} is not of the form module:name")
    try:
        value = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"target {target!r} was not found: {error}") from error
    value = value() if callable(value) else value
    value = value.values() if isinstance(value, dict) else value
    found = list(value) if isinstance(value, Iterable) else [value]
    wrong = [each for each in found if not isinstance(each, Quantizer | Planted)]
    given = wrong[0] if wrong else "nothing"
    _need(found and not wrong, f"target {target!r} gives {given!r}; it must give Quantizer objects")
    return found


def _need(condition: object, what: str) -> None:
    if not condition:
        raise ConfigError(what)


if __name__ == "__main__":
    sys.exit(main())
