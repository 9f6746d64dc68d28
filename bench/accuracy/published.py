"""The published numbers of ``published.toml``, each with its source and how sure it is."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["STATUSES", "Published", "of_cell", "paper", "sources"]

STATUSES = ("confirmed", "consistent", "quoted", "doubtful")
_FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """One number: mean, standard deviation, key of its source, and one of ``STATUSES``."""

    mean: float
    spread: float
    source: str
    status: str


@cache
def _content() -> dict:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def sources() -> dict[str, str]:
    """Key and title of every source, in the order of the file."""
    return {key: about["title"] for key, about in _content()["source"].items()}


def paper() -> dict[str, list[float]]:
    """The paper's numbers by short cell name."""
    return _content()["paper"]


def of_cell(short: str) -> list[Published]:
    """What each source says about a cell."""
    content, found = _content(), []
    for key, about in content["source"].items():
        if short in content[key]:
            status = next((s for s in STATUSES if short in about.get(s, ())), about["status"])
            found.append(Published(*content[key][short], key, status))
    return found
