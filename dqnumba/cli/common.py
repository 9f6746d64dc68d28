"""What the verbs share: options, progress, output, and the data that the options name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "add_output_options",
    "add_run_options",
    "add_seed",
    "add_source_options",
    "count",
    "emit",
    "make_progress",
    "note",
    "source_from",
    "table",
]


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--quiet``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """``--threads`` and ``--backend``."""
    parser.add_argument(
        "--threads", type=count, metavar="N", help="threads of the compiled kernels (default: all cores)"
    )
    parser.add_argument("--backend", metavar="NAME", help="kernels of the integer program, e.g. numba or reference")


def add_seed(parser: argparse.ArgumentParser, *, default: int | None = 0) -> None:
    """``--seed``."""
    parser.add_argument("--seed", type=int, default=default, metavar="N", help="seed of everything random (default: 0)")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """``--dataset | --graph``, ``--split`` and ``--fold``."""
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--dataset", metavar="NAME", help="a registered data set; `dqnumba data list` names them")
    data.add_argument(
        "--graph", metavar="PATH", help="your own: an npz, an edge list (CSV, TSV), a folder with edges.csv and "
        "nodes.csv, or a folder of graphs; docs/graphs.md describes them"
    )  # fmt: skip
    parser.add_argument("--nodes", metavar="FILE", help="table of nodes beside an edge list")
    both = parser.add_mutually_exclusive_group()
    both.add_argument("--directed", action="store_const", const=True, help="keep the edges of a graph file as listed")
    both.add_argument("--undirected", action="store_const", const=False, dest="directed",
                      help="take each in both directions (default: as the format says)")  # fmt: skip
    parser.add_argument("--features", choices=("degree", "one_hot_degree", "constant"),
                        help="make features for a graph file without any")  # fmt: skip
    parser.add_argument("--unweighted", action="store_const", const=True, help="leave out the edge weights")
    parser.add_argument("--split", choices=("public", "random", "stratified", "uniform", "planetoid"),
                        help="public: the data's own (default); random or stratified: 60/20/20 of each class; uniform: "
                        "60/20/20 of all; planetoid: 20 of each class, 500, 1000")  # fmt: skip
    parser.add_argument("--fold", type=int, metavar="K", help="fold of a data set of graphs without a fixed split; "
                        "which split of a file with several")  # fmt: skip


def source_from(args: argparse.Namespace, defaults: dict[str, Any] | None = None) -> Any:
    """The Source that the options name; ``defaults`` (those of a train file) fill in what they leave open.

    The defaults hold only while the data are the same: another --dataset starts from scratch.
    """
    from ..errors import ConfigError
    from ..train.source import Source

    defaults = dict(defaults or {})
    given = {"dataset": args.dataset, "graph": args.graph}
    if any(given.values()):
        if any(value is not None and value != defaults.get(key) for key, value in given.items()):
            defaults = {}
        defaults |= given
    for key in ("split", "fold", "limit", "seed", "nodes", "directed", "features", "unweighted"):
        value = getattr(args, key, None)
        if value is not None:
            defaults[key] = value
    if not defaults.get("dataset") and not defaults.get("graph"):
        raise ConfigError("Which data? Give --dataset NAME (`dqnumba data list` names them) or --graph PATH.")
    return Source(**defaults)


def count(text: str) -> int:
    """An argparse type: a whole number, at least 1."""
    value = int(text) if text.lstrip("+-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def make_progress(args: argparse.Namespace) -> Callable[[Iterable, str, int], Iterable] | None:
    """Progress on stderr through tqdm; None with ``--quiet``.

    On a terminal a bar that goes away when it is done; elsewhere (a log file) a plain line every half a minute. Nothing
    is shown in the first two seconds, so that short runs leave stderr clean.
    """
    if args.quiet:
        return None
    from tqdm import tqdm

    if sys.stderr.isatty():
        look: dict[str, Any] = {"file": sys.stderr, "leave": False, "delay": 2, "mininterval": 0.3}
    else:
        look = {"file": _Lines(), "leave": False, "delay": 2, "mininterval": 30, "maxinterval": 60, "ncols": 72}

    def progress(iterable: Iterable, desc: str, total: int) -> Iterable:
        return tqdm(iterable, desc=desc, total=total, **look)

    return progress


class _Lines:
    """A file for tqdm that ends every state of a bar with a new line instead of going back to the start of the line."""

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            sys.stderr.write(line + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def note(args: argparse.Namespace, message: str) -> None:
    """One line for people, on stderr, silenced by ``--quiet``."""
    if not args.quiet:
        sys.stderr.write(message + "\n")


def emit(args: argparse.Namespace, content: dict[str, Any], text: str | Callable[[], str]) -> None:
    """The result on stdout: ``content`` as one JSON object, or ``text`` for people."""
    if args.json:
        out = json.dumps(content, allow_nan=False, default=_plain)
    else:
        out = text() if callable(text) else text
    sys.stdout.write(out + "\n")
    sys.stdout.flush()


def table(rows: list[list[Any]], *, left: int = 1) -> str:
    """Rows (the first one the head) as aligned columns; ``left`` columns to the left, the rest to the right."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for row in cells:
        parts = [
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON-able")
