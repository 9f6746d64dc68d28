"""The site: links lead somewhere, the reference has every verb and option, the build is strict and loads nothing."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys

import pytest
from browser import CHROMIUM, Browser

from docs.build import foreign
from docs.commands import _plain, markdown
from docs.execute import PAGES, ROOT, page_name
from docs.picture import COLOURS
from dqnumba.cli.main import build_parser

# Colour of each figure's words, and of the text around it.
INKS = """[...document.querySelectorAll('.figure svg')].map(svg => [
  getComputedStyle(svg.querySelector('text')).fill, getComputedStyle(svg.parentElement).color])"""
DOCS = ROOT / "docs"
ALL = sorted({*PAGES, *(DOCS / "reference").glob("*.md")})


def anchors(path):
    """Names of the headings of a page, as GitHub and the site make them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", ALL, ids=[page_name(path) for path in ALL])
def test_links_lead_somewhere(path):
    text = re.sub(r"```(?!\{).*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{target} leads nowhere"
        assert ROOT in there.parents, f"{target} leads out of the repository"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def test_every_page_is_in_the_table_of_contents_once():
    listed = []
    for path in (DOCS / "index.md", DOCS / "reference" / "python.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed += [(path.parent / f"{name}.md").resolve() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == {path for path in ALL if DOCS in path.parents} - {DOCS / "index.md"}


def test_learning_pages_say_first_what_one_will_know():
    pages = sorted((DOCS / "learn").glob("*.md"))
    assert len(pages) == 9
    for path in pages:
        assert path.read_text(encoding="utf-8").split("\n\n")[1].startswith("After this page "), path.name


def test_the_reference_has_every_verb_and_option():
    text = markdown()

    def visit(parser, name):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for verb, inner in action.choices.items():
                    visit(inner, f"{name} {verb}")
            elif name != "dqnumba":
                section = text.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
                for option in action.option_strings:
                    assert f"`{option}" in section, f"{name} {option}"

    visit(build_parser(), "dqnumba")


def test_the_reference_keeps_the_signs_of_help_texts():
    assert _plain("see `a_b --c`; beside --out, x|y <N> a_b") == r"see `a_b --c`; beside `--out`, x\|y \<N> a\_b"


def test_attributes_that_are_described_together_come_apart():
    pytest.importorskip("sphinx", reason="the site needs the extra docs")
    from docs.extensions.docstrings import apart

    lines = ["What it is.", "", ":ivar a, b: both", "    of them", ":vartype a, b: int", ":ivar c: alone", ""]
    assert apart(lines) == [
        "What it is.", "", ":ivar a: both", "    of them", ":ivar b: both", "    of them", ":vartype a: int",
        ":vartype b: int", ":ivar c: alone", "",
    ]  # fmt: skip


def test_reference_covers_what_the_rooms_export():
    documented = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    from dqnumba import _HOMES

    for room in sorted({home.split(".")[0] for home in _HOMES.values()}):
        assert f"automodule:: dqnumba.{room}\n" in documented


@pytest.mark.parametrize("content, count", [
    ('<script src="https://cdn.example/x.js"></script>', 1), ('<link rel="stylesheet" href="//cdn.example/x.css">', 1),
    ('<a href="https://example.org">words</a>', 0), ('<script src="_static/x.js"></script>', 0),
    ('<style>@import url("https://fonts.example/a")</style>', 1), ('<img alt="" src="http://example.org/a.png">', 1),
])  # fmt: skip
def test_what_a_page_would_load_is_found(tmp_path, content, count):
    (tmp_path / "page.html").write_text(f"<html>{content}</html>", encoding="utf-8")
    assert len(foreign(tmp_path)) == count


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; made by the documented command, which fails at any warning."""
    pytest.importorskip("myst_parser", reason="the site needs the extra docs: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("built") / "site"
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([sys.executable, "-m", "docs.build", str(folder)], capture_output=True, text=True,
                          timeout=300, cwd=ROOT, env=env, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_builds_without_a_warning(site):
    page = (site / "learn" / "affine.html").read_text(encoding="utf-8")
    assert "<math" in page and "<svg" in page and "<!-- figure" not in page
    assert len([path for path in site.rglob("*.html") if "_static" not in path.parts]) >= 30


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_pages_fit_the_screen_and_complain_of_nothing(site, tmp_path):
    """Every page at desktop and phone widths; the figures in the ink of the page, light and dark."""
    browser = Browser(tmp_path / "profile")
    try:
        for path in sorted(site.rglob("*.html")):
            if "_static" in path.parts:
                continue
            for width in (1280, 390):
                for dark in (False, True):
                    browser.complaints.clear()
                    browser.open(path.as_uri(), width=width, dark=dark)
                    where = f"{path.relative_to(site)} at {width}, {'dark' if dark else 'light'}"
                    assert not browser.complaints, (where, browser.complaints)
                    assert browser.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, where
                    inks = browser.evaluate(INKS)
                    assert all(ink == paper for ink, paper in inks), (where, inks)
    finally:
        browser.close()


def test_figures_are_seen_on_both_papers():
    """WCAG 2 asks 3 to 1 of what a figure is made of."""
    for colour in COLOURS:
        for paper in ("#ffffff", "#131416"):  # of the theme
            assert contrast(colour, paper) >= 3, (colour, paper)


def contrast(a, b):
    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
