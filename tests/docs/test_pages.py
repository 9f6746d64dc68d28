"""Every page of the guide, and the README: their blocks run in order, print what they show, draw what is kept.

The slow blocks run by ``python -m docs.run`` alone.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from docs.blocks import blocks
from docs.execute import PAGES, page_name, run_page
from docs.run import figure_differences

NAMES = [page_name(path) for path in PAGES]
# Blocks that are never run, a page: they install, fetch, or take hours.
NOT_RUN = {
    "README.md": 2, "docs/aarch64.md": 1, "docs/learn/deployment.md": 1, "docs/testing.md": 3,
}  # fmt: skip
SLOW = {"docs/learn/mask.md": 1, "docs/report.md": 3}


def check_readme(outcome):
    names = outcome.names
    assert names["report"].passed
    assert names["logits"].shape == (names["graph"].num_nodes, names["graph"].num_classes)
    np.testing.assert_array_equal(names["logits"], names["imodel"](names["graph"]))
    verbs = re.findall(r"^dqnumba (\w+)", "\n".join(b.text for b, _ in outcome.printed if b.kind == "sh"), re.MULTILINE)
    assert verbs == ["train", "verify", "inspect", "run", "bench"]


def check_graphs(outcome):
    names = outcome.names
    assert names["found"].classes == ("baker", "cook") and names["found"].data.num_edges == 6
    assert names["clf"].score(names["graph"], items=names["test"]) > 0.5


def check_testing(outcome):
    """The report that is shown is that of an older hypothesis, perhaps; which properties fail is not."""
    page = next(path for path in PAGES if path.name == "testing.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(.*?)```", page, flags=re.DOTALL)
    printed = outcome.printed[0][1]
    failed = [re.findall(r"^  FAILED (\w+):", text, flags=re.MULTILINE) for text in (shown, printed)]
    assert failed[0] == failed[1] != []
    assert shown.splitlines()[0] == printed.splitlines()[0]


CHECKS = {"README.md": check_readme, "docs/graphs.md": check_graphs, "docs/testing.md": check_testing}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_page_runs_and_prints_what_it_shows(path, tmp_path):
    outcome = run_page(path, tmp_path)
    assert not outcome.wrong, "\n\n".join(outcome.wrong)
    found = [why for name in outcome.drawings for why in figure_differences(name, outcome)]
    assert not found, "\n".join(found)
    for block, printed in outcome.printed:
        if block.kind == "sh":
            assert printed.strip() or "--plot" in block.text, f"line {block.line} printed nothing"
    CHECKS.get(page_name(path), lambda _: None)(outcome)


@pytest.mark.parametrize("kind, wanted", [("not_run", NOT_RUN), ("slow", SLOW)])
def test_what_is_left_out_is_counted(kind, wanted):
    found = {page_name(path): [getattr(b, kind) for b in blocks(path.read_text(encoding="utf-8"))] for path in PAGES}
    reasons = {name: [reason for reason in marks if reason] for name, marks in found.items()}
    assert {name: len(marks) for name, marks in reasons.items() if marks} == wanted


def test_there_is_something_to_run():
    number = {page_name(path): len(blocks(path.read_text(encoding="utf-8"))) for path in PAGES}
    assert sum(number.values()) > 90 and sum(count > 2 for count in number.values()) >= 12


def test_every_figure_belongs_to_a_page():
    drawn = {b.name for path in PAGES for b in blocks(path.read_text(encoding="utf-8")) if b.kind == "figure"}
    folder = PAGES[1].parent / "figures"
    for ending in ("json", "svg"):
        assert {path.stem for path in folder.glob(f"*.{ending}")} == drawn
    for path in folder.glob("*.svg"):
        picture = path.read_text(encoding="utf-8")
        assert "currentColor" in picture and "prefers-color-scheme:dark" in picture and len(picture) < 100_000
