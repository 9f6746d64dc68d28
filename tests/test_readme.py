"""The README names what is there. Its blocks run in ``tests/docs``, with those of the guide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_to_files_lead_somewhere(path):
    assert path.startswith("http") or (Path(__file__).parents[1] / path).exists()


@pytest.mark.parametrize("path", re.findall(r"`((?:dqnumba/)?(?:[a-z_]+/)+[a-z_]+\.py)`", README))
def test_files_named_in_the_text_exist(path):
    root = Path(__file__).parents[1]
    assert (root / path).exists() or (root / "dqnumba" / path).exists()


def table_after(head: str) -> dict[str, str]:
    """Rows of two columns below the line ``head``."""
    rows = README.partition(head)[2].partition("\n\n")[0].splitlines()
    return dict(re.fullmatch(r"\| (.*?) \| (.*) \|", row).groups() for row in rows if not row.startswith("| ---"))


def choices(verb: str, option: str) -> list[str]:
    from dqnumba.cli.main import build_parser

    verbs = next(action for action in build_parser()._actions if action.dest == "verb")
    return list(next(a for a in verbs.choices[verb]._actions if option in a.option_strings).choices)


def test_the_table_of_verbs_is_the_command():
    from importlib import import_module

    from dqnumba.cli.main import VERBS

    assert table_after("| `dqnumba ...` | |\n") == {
        f"`{verb}`": import_module(f"dqnumba.cli.{verb}").HELP for verb in VERBS
    }


def test_the_table_of_what_is_inside_is_the_code():
    inside = table_after("| | |\n| --- | --- |\n")
    assert re.findall("`([^`]+)`", inside["methods"]) == choices("train", "--method")
    after = re.findall("`([^`]+)`", inside["after training"])
    assert after == ["dqnumba quantize", *choices("quantize", "--ranges"), *choices("quantize", "--weights")]


def test_the_extras_are_those_of_pyproject():
    import tomllib

    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall("`([^`]+)`", README.partition("Extras add")[2].partition("\n\n")[0])
    assert [name for name in named if name != "dqnumba.testing"] == list(
        tomllib.loads(text)["project"]["optional-dependencies"]
    )


def test_the_citation_is_of_this_version():
    import dqnumba

    text = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search("^version: (.*)$", text, flags=re.MULTILINE).group(1) == dqnumba.__version__
    assert "Tailor" in text.partition("references:")[2]
