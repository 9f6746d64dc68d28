"""The versions that `.ci/floors` installs are the lower bounds of pyproject.toml, each of them, and no others."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNTRIED = {"bench", "coverage", "docs", "fuzz", "lint", "mutation"}  # what the package does never rests on them


def floors():
    """Name of each distribution and its lower bound, from the dependencies and the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = list(project["dependencies"])
    for extra, more in project["optional-dependencies"].items():
        needs += [] if extra in UNTRIED else more
    found: dict[str, set[str]] = {}
    for need in needs:
        name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)", need).groups()
        found.setdefault(name, set()).add(bound)
    return found


def pins():
    lines = (ROOT / "tests" / "minimum.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_same_distributions():
    assert set(pins()) == set(floors())


@pytest.mark.parametrize("name", floors())
def test_each_pin_is_the_first_version_within_the_bound(name):
    bounds = floors()[name]
    assert len(bounds) == 1, "one bound, wherever it stands"
    (bound,) = bounds
    pin, wanted = pins()[name].split("."), bound.split(".")
    assert pin[: len(wanted)] == wanted
    rest = [int(part) for part in pin[len(wanted) :]]
    assert rest in ([], [0], [0, 0], [0, 1]), "the first release of it"  # setuptools 77.0.1 is the first that was kept


def test_the_command_runs_what_is_there():
    text = (ROOT / ".ci" / "floors").read_text(encoding="utf-8")
    named = re.findall(r"tests/[\w/.*]+", text)
    assert "tests/minimum.txt" in named and len(named) > 10
    for path in named:
        assert list(ROOT.glob(path)), path
