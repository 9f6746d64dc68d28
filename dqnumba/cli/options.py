"""Options that several verbs have, and the one look of all help pages.

How a help page is written, which tests/cli/test_cli_help.py holds: a sentence that says what the verb does; an option's
help begins in lower case, has no full stop, and ends with its default where it has one; examples that can be run, and
the exit codes, stand at the end.
"""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

__all__ = [
    "Parser",
    "add_out",
    "add_output_options",
    "add_run_options",
    "add_seed",
    "add_source_options",
    "add_verb",
    "count",
    "main_parser",
]

WRONG_USE = 2
_EXITS = "0 done, 2 wrong use or bad input"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors take two lines instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: error: {message}\nSee `{self.prog} --help`.\n")


class _Formatter(argparse.HelpFormatter):
    """Wraps paragraphs, and leaves lines that are indented as they are."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=28, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        keep = text.splitlines()
        if any(line.startswith(" ") for line in keep):
            return "\n".join(indent + line for line in keep)
        return super()._fill_text(text, width, indent)


def add_verb(verbs: Any, name: str, verb: Any) -> argparse.ArgumentParser:
    """Add the parser of a verb: an object with ``HELP`` (a sentence), ``EXAMPLES``, perhaps ``MORE``, ``EXITS``."""
    exits = getattr(verb, "EXITS", _EXITS)
    word = "examples" if len(verb.EXAMPLES) > 1 else "example"
    epilog = "\n".join([f"{word}:", *(f"  {line}" for line in verb.EXAMPLES), "", "exit codes:", f"  {exits}"])
    description = " ".join([verb.HELP, *([verb.MORE] if hasattr(verb, "MORE") else [])])
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=verb.HELP, description=description, epilog=epilog, formatter_class=_Formatter
    )
    return parser


def main_parser(description: str, epilog: str) -> Parser:
    """The parser above the verbs."""
    return Parser(prog="dqnumba", description=description, epilog=epilog, formatter_class=_Formatter)


def add_output_options(parser: argparse.ArgumentParser) -> Any:
    """``--json`` and ``--quiet``; returns their group, for what else belongs to the output."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    group.add_argument("--quiet", action="store_true", help="print no progress and no notes on stderr")
    return group


def add_out(group: Any, metavar: str, help: str, *, required: bool = False) -> None:
    """``-o``, ``--out``."""
    group.add_argument("-o", "--out", required=required, metavar=metavar, help=help)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """``--threads`` and ``--backend``."""
    group = parser.add_argument_group("run")
    group.add_argument("--threads", type=count, metavar="N",
                       help="threads of the compiled kernels (default: all cores)")  # fmt: skip
    group.add_argument("--backend", metavar="NAME",
                       help="kernels of the integer program: dot, numba or reference (default: the fastest that runs "
                       "it)")  # fmt: skip


def add_seed(group: Any, *, default: int | None = 0, of: str = "everything random", text: str = "0") -> None:
    """``--seed``; ``of`` says what is drawn with it, ``text`` what holds where it is not given."""
    group.add_argument("--seed", type=int, default=default, metavar="N", help=f"seed of {of} (default: {text})")


def add_source_options(parser: argparse.ArgumentParser, *, seed: str | None = None) -> Any:
    """``--dataset | --graph``, how it is read and split; ``--seed`` of splits, whose default is the text ``seed``.

    Returns the group, for what else chooses the data.
    """
    group = parser.add_argument_group("data")
    data = group.add_mutually_exclusive_group()
    data.add_argument("--dataset", metavar="NAME", help="a registered data set; `dqnumba data list` names them")
    data.add_argument(
        "--graph", metavar="PATH", help="your own: an npz, an edge list (CSV, TSV), a folder with edges.csv and "
        "nodes.csv, or a folder of graphs; docs/graphs.md describes them"
    )  # fmt: skip
    group.add_argument("--nodes", metavar="FILE", help="table of nodes beside an edge list")
    both = group.add_mutually_exclusive_group()
    both.add_argument("--directed", action="store_const", const=True, help="keep the edges of a graph file as listed")
    both.add_argument("--undirected", action="store_const", const=False, dest="directed",
                      help="take each edge in both directions (default: as the format says)")  # fmt: skip
    group.add_argument("--features", choices=("degree", "one_hot_degree", "constant"),
                       help="make features for a graph file without any")  # fmt: skip
    group.add_argument("--unweighted", action="store_const", const=True, help="leave out the edge weights")
    group.add_argument("--split", choices=("public", "random", "stratified", "uniform", "planetoid"),
                       help="public: the data's own; random or stratified: 60/20/20 of each class; uniform: 60/20/20 "
                       "of all; planetoid: 20 of each class, 500, 1000 (default: public)")  # fmt: skip
    group.add_argument("--fold", type=int, metavar="K", help="fold of a data set of graphs without a fixed split, or "
                       "which split of a file with several")  # fmt: skip
    if seed is not None:
        add_seed(group, default=None, of="a split that is made", text=seed)
    return group


def count(text: str) -> int:
    """An argparse type: a whole number, at least 1."""
    value = int(text) if text.lstrip("+-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value
