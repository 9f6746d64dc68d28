"""Reading blocks out of a page, and comparing what is shown with what is printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.blocks import blocks
from docs.compare import difference
from docs.execute import run_page
from docs.run import main

FENCE = "```"


def page(*parts):
    return "\n".join(part.replace("'''", FENCE) for part in parts) + "\n"


def test_a_page_with_everything():
    found = blocks(page(
        "# Title", "<!-- setup", "x = 1", "-->", "'''python", "print(x)", "'''", "", "<!-- block: within 1e-3 -->",
        "'''text", "1", "'''", "<!-- block: slow: minutes -->", "<!-- block: needs torch -->", "'''sh", "dqnumba demo",
        "'''", "<!-- figure one within 0.1", "draw()", "-->", "![words](figures/one.svg)", "'''toml", "a = 1", "'''",
    ))  # fmt: skip
    assert [(b.kind, b.line) for b in found] == [("setup", 3), ("python", 6), ("sh", 16), ("figure", 19)]
    assert found[1].shown == "1\n" and found[1].within == 1e-3
    assert (found[2].slow, found[2].needs) == ("minutes", "torch")
    assert (found[3].name, found[3].within) == ("one", 0.1)


def test_text_belongs_to_the_block_right_above_it_only():
    apart = blocks(page("'''python", "print(1)", "'''", "", "Like this:", "", "'''text", "2", "'''"))
    assert apart[0].shown is None
    assert blocks(page("'''text", "2", "'''")) == []


@pytest.mark.parametrize("comment, message", [
    ("<!-- block: slow -->", "each with its word"), ("<!-- block: fast: yes -->", "allowed are slow"),
    ("<!-- block: within 1 -->", "above what a block prints"),
])  # fmt: skip
def test_marks_that_say_nothing_are_refused(comment, message):
    with pytest.raises(ValueError, match=message):
        blocks(page(comment, "'''python", "pass", "'''"))


def test_a_mark_above_a_paragraph_is_refused():
    with pytest.raises(ValueError, match="above no block"):
        blocks(page("<!-- block: slow: why -->", "words", "'''python", "pass", "'''"))


@pytest.mark.parametrize("shown, printed, within", [
    ("a  b\n", "a b", 0), ("total 3 of 4", "total 3 of 4\n", 0), ("took ... s\n7 left", "took 0.12 s\n7 left", 0),
    ("x 1.000", "x 1.0009", 1e-3), ("[ 1.5 -2.]", "[1.5 -2.0001]", 1e-3), ("1e-05", "1.1e-05", 0.2),
    ("... end", "begin 1 end", 1e-3),
])  # fmt: skip
def test_equal_enough(shown, printed, within):
    assert difference(shown, printed, within) == ""


@pytest.mark.parametrize("shown, printed, within", [
    ("a", "b", 0), ("1.0", "1.01", 0), ("1.0", "1.01", 1e-3), ("3 nodes", "4 nodes", 0.5), ("a ... b", "a c", 0),
    ("x", "", 0), ("1.0 2.0", "1.0", 0.5), ("True", "False", 0.5), ("1.5", "-1.5", 0.5),
])  # fmt: skip
def test_not_equal(shown, printed, within):
    assert difference(shown, printed, within)


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=5), st.floats(-1, 1))
def test_the_tolerance_is_what_it_says(values, share):
    shown, printed = (" ".join(f"v{k}={v!r}" for k, v in enumerate(some)) for some in (
        values, [v * (1 + 0.5e-3 * share) for v in values]))  # fmt: skip
    assert difference(shown, printed, 1e-3) == ""
    if share:
        off = " ".join(f"v{k}={v * 1.01!r}" for k, v in enumerate(values))
        assert (difference(shown, off, 1e-3) == "") == all(abs(v * 0.01) < 1e-3 for v in values)


@pytest.fixture
def own_page(tmp_path, monkeypatch):
    """A page of one's own within a root of its own."""
    monkeypatch.setattr("docs.execute.ROOT", tmp_path)

    def write(*parts):
        path = tmp_path / "page.md"
        path.write_text(page(*parts), encoding="utf-8")
        return path

    return write


def test_blocks_share_names_and_a_folder_and_slow_ones_wait(own_page, tmp_path):
    path = own_page(
        "'''python", "from pathlib import Path", "Path('kept').write_text('1')", "n = 2", "'''", "",
        "<!-- block: slow: why -->", "'''python", "n = 3", "'''", "<!-- block: not run: it cannot -->", "'''sh", "rm x",
        "'''", "<!-- block: needs no_such_module -->", "'''python", "n = 4", "'''", "'''python",
        "print(n, Path('kept').read_text())", "'''", "'''text", "2 1", "'''",
    )  # fmt: skip
    folder = tmp_path / "work"
    folder.mkdir()
    outcome = run_page(path, folder)
    assert (outcome.run, outcome.left_out, outcome.wrong) == (2, 2, [])
    assert run_page(path, folder, slow=True).wrong == [
        "page.md, line 20: the page shows\n2 1\nbut the block prints\n3 1"
    ]
    assert (folder / "kept").exists()


@pytest.mark.parametrize("line, message", [
    ("rm -r everything", "neither dqnumba nor python"), ("dqnumba run no.safetensors", "ended with 2"),
    ("python -c 'raise SystemExit(3)'", "ended with 3"),
])  # fmt: skip
def test_a_command_that_fails_ends_the_page(own_page, tmp_path, line, message):
    with pytest.raises(RuntimeError, match=message):
        run_page(own_page("'''sh", line, "'''"), tmp_path)


def test_the_command_reports_and_writes(own_page, capsys):
    path = own_page("'''python", "print(0.5)", "'''", "", "'''text", "0.25", "'''", "", "'''python", "print(1)", "'''",
                    "", "'''text", "... anything", "'''")  # fmt: skip
    before = path.read_text(encoding="utf-8")
    assert main([str(path)]) == 1
    assert "the page shows\n0.25\nbut the block prints\n0.5" in capsys.readouterr().out
    assert main(["--write", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == before.replace("0.25", "0.5")
