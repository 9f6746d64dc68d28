"""Every help page reads like the others, says its defaults, and shows examples that the parser takes."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from dqnumba.cli.main import VERBS, build_parser


def parsers(parser=None, path=()):
    """Every parser below the main one, by its words: ``train``, ``data``, ``data list`` ..."""
    for action in (parser or build_parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield " ".join((*path, name)), below
                yield from parsers(below, (*path, name))


PAGES = dict(parsers())
LEAVES = {name: parser for name, parser in PAGES.items() if parser._subparsers is None}


def options(parser):
    return [action for action in parser._actions if action.option_strings and action.dest != "help"]


def test_the_walk_finds_all():
    assert set(VERBS) <= set(PAGES)
    assert {"data list", "data info", "data fetch"} <= set(LEAVES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_the_verb_does_in_one_sentence(name):
    first = PAGES[name].description.partition(". ")[0].rstrip(".")
    assert re.fullmatch(r"[A-Z][a-z]+ .*", first)
    assert not first.split()[0].endswith("s"), "imperative: Train, not Trains"
    assert PAGES[name].description.endswith(".")
    assert len(first) <= 110


@pytest.mark.parametrize("name", LEAVES)
def test_options_are_described_alike(name):
    for action in [*options(LEAVES[name]), *LEAVES[name]._get_positional_actions()]:
        text = action.help
        assert text and not text[0].isupper(), f"{action.dest}: {text}"
        assert not text.endswith("."), f"{action.dest}: no full stop"
        if action.option_strings and action.nargs != 0 and action.choices is None:
            assert action.metavar, f"{action.dest}: no metavar"
        if action.default not in (None, False, argparse.SUPPRESS):
            assert f"(default: {action.default})" in text, f"{action.dest} does not say its default"
        for found in re.findall(r"default[^)]*", text):
            assert found.startswith("default: "), f"{action.dest}: {text}"


@pytest.mark.parametrize("name", LEAVES)
def test_options_that_all_have(name):
    known = {option for action in options(LEAVES[name]) for option in action.option_strings}
    assert {"--json", "--quiet"} <= known
    assert ("--out" in known) == ("-o" in known)
    if "--dataset" in known:
        assert {"--graph", "--split", "--seed", "--threads", "--backend"} <= known


def test_one_option_means_one_thing():
    """The same spelling has the same metavar and choices everywhere."""
    seen: dict[str, tuple] = {}
    differ = {"--out", "--seed", "--limit"}  # what is written, drawn and kept is another thing in each verb
    for parser in LEAVES.values():
        for action in options(parser):
            for option in action.option_strings:
                form = (action.metavar, tuple(action.choices or ()), action.nargs)
                if option not in differ and option not in ("-o", "--against"):
                    assert seen.setdefault(option, form) == form, option


@pytest.mark.parametrize("name", PAGES)
def test_examples_parse_and_exit_codes_are_listed(name):
    lines = PAGES[name].epilog.splitlines()
    examples = [line.strip() for line in lines if line.startswith("  dqnumba ")]
    assert examples and lines[0] == ("examples:" if len(examples) > 1 else "example:")
    for line in examples:
        words = shlex.split(line)
        assert " ".join(words[1:]).startswith(name)
        assert build_parser().parse_args(words[1:]).verb == name.split()[0]
    codes = lines[lines.index("exit codes:") + 1]
    assert re.match(r"  0 .*, 2 wrong use or bad input$", codes)
    assert (", 1 " in codes) == (name in ("verify", "quantize"))


def test_the_main_page_lists_verbs_and_exit_codes(call):
    page = call("--help").out
    for verb in VERBS:
        assert re.search(rf"^    {verb} +[A-Z]", page, flags=re.MULTILINE)
    failed = "1    a check failed (verify, quantize, run --estimate)"
    for code in ("0    done", failed, "2    wrong use", "130  interrupted"):
        assert f"  {code}" in page


@pytest.mark.parametrize("width", [80, 120])
def test_pages_fit_the_terminal(call, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for verb in VERBS:
        result = call(verb, "--help")
        assert result.code == 0
        body = result.out.partition("example")[0]  # examples are not wrapped: they are to be copied
        assert max(len(line) for line in body.splitlines()) <= width


def test_wrong_use_names_the_help(call):
    for argv in ([], ["nonsense"], ["train", "--bits", "x"], ["data", "fetch"], ["run"]):
        result = call(*argv)
        assert (result.code, result.out) == (2, "")
        assert re.search(r"See `dqnumba( \w+)* --help`\.$", result.err)
        assert len(result.err.splitlines()) <= 3
