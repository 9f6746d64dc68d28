"""The record of a run: ``bench/results/reliability/NAME.json``, which later sittings of the run extend."""

from __future__ import annotations

from typing import Any

from .. import machine
from ..report import RESULTS, load, save

__all__ = ["extend", "read"]

FOLDER = RESULTS / "reliability"


def read(name: str) -> dict[str, Any]:
    """What is recorded so far; empty where there is nothing."""
    return load(FOLDER / f"{name}.json")


def extend(name: str, content: dict[str, Any], sitting: dict[str, Any], *, threads: int = 1) -> None:
    """Replace the content of a record and add a sitting to its list: what was run this time, and on which machine."""
    sittings = [*read(name).get("sittings", []), sitting | {"machine": machine.describe(threads)}]
    save(FOLDER / f"{name}.json", {"run": name, **content, "sittings": sittings})
