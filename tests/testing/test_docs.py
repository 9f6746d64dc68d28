"""``docs/testing.md``: its tables are the code's. Its blocks run in ``tests/docs``."""

from __future__ import annotations

from pathlib import Path

import pytest

from dqnumba.testing import PROPERTIES
from dqnumba.testing.planted import PLANTED

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("each", PROPERTIES.values(), ids=lambda p: p.name)
def test_table_of_properties(each):
    assert f"| `{each.name}` | {each.says} |" in PAGE


@pytest.mark.parametrize("each", PLANTED.values(), ids=lambda p: p.name)
def test_table_of_faults(each):
    assert f"| `{each.name}` | {each.fault} | {', '.join(f'`{name}`' for name in each.caught_by)} |" in PAGE


def test_tables_have_no_more_than_that():
    assert PAGE.count("\n| `") == len(PROPERTIES) + len(PLANTED) + 17
    assert f"has {len(PLANTED)} quantizers" in PAGE
