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
