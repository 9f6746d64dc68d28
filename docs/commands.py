"""The reference of the command line as Markdown, read from the parsers themselves: it cannot drift."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from dqnumba.cli.main import build_parser

__all__ = ["markdown"]

_OPTION = re.compile(r"(?<![\w-])(--[a-z][\w-]*)")
_SIGN = re.compile(r"([*_<|])")


def markdown() -> str:
    """The reference as Markdown: a section a verb, its usage, its options, its examples."""
    return "\n".join(line for name, parser in _verbs(build_parser()) for line in _section(name, parser))


def _verbs(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Verbs in their order; those below a verb (``data list``) behind it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield f"{prefix}{name}", verb
                yield from _verbs(verb, f"{prefix}{name} ")


def _section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = argparse.ArgumentParser.format_usage(parser).removeprefix("usage: ").rstrip()
    yield from (f"## dqnumba {name}", "", _plain(parser.description), "", "```text", *usage.splitlines(), "```", "")
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            yield from (_names(action), f": {_plain(_help(action, parser))}", "")
    if parser.epilog:
        yield from ("```text", *parser.epilog.strip().splitlines(), "```", "")


def _names(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    value = action.metavar or choices or action.dest.upper()
    if isinstance(value, tuple):
        value = " ".join(value)
    if not action.option_strings:
        return f"`{value}`"
    shown = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{option}{shown}`" for option in action.option_strings)


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    return (action.help or "") % {**vars(action), "prog": parser.prog}


def _plain(text: str | None) -> str:
    """Text of a parser as Markdown: options as code, and signs that Markdown would read otherwise as they are."""
    parts = " ".join((text or "").split()).split("`")
    return "`".join(part if i % 2 else _OPTION.sub(r"`\1`", _SIGN.sub(r"\\\1", part)) for i, part in enumerate(parts))
