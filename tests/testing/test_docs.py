"""``docs/testing.md``: its Python blocks run in order, its reports are what they print, its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dqnumba.testing import PROPERTIES
from dqnumba.testing.planted import PLANTED

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


def failed(text):
    return re.findall(r"^  FAILED (\w+):", text, flags=re.MULTILINE)


def test_blocks_run_and_the_report_is_the_one_shown(capsys):
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(code, "docs/testing.md", "exec"), names)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    printed = capsys.readouterr().out
    assert failed(shown) == failed(printed) != []
    assert shown.splitlines()[0] == printed.splitlines()[0]


@pytest.mark.parametrize("each", PROPERTIES.values(), ids=lambda p: p.name)
def test_table_of_properties(each):
    assert f"| `{each.name}` | {each.says} |" in PAGE


@pytest.mark.parametrize("each", PLANTED.values(), ids=lambda p: p.name)
def test_table_of_faults(each):
    assert f"| `{each.name}` | {each.fault} | {', '.join(f'`{name}`' for name in each.caught_by)} |" in PAGE


def test_tables_have_no_more_than_that():
    assert PAGE.count("\n| `") == len(PROPERTIES) + len(PLANTED) + 17
    assert f"has {len(PLANTED)} quantizers" in PAGE
