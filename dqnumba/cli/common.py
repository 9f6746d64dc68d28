"""What the verbs share when they run: progress, output, and the data that the options name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .ending import drop_stdout

__all__ = [
    "emit",
    "make_meter",
    "make_progress",
    "note",
    "note_first_use",
    "source_from",
    "table",
]


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


def make_progress(args: argparse.Namespace) -> Callable[[Iterable[Any], str, int], Iterable[Any]] | None:
    """Progress on stderr through tqdm; None with ``--quiet``.

    On a terminal a bar that goes away when it is done; elsewhere (a log file) a plain line every half a minute. Nothing
    is shown in the first two seconds, so that short runs leave stderr clean.
    """
    if args.quiet:
        return None
    from tqdm import tqdm

    look = _look()

    def progress(iterable: Iterable[Any], desc: str, total: int) -> Iterable[Any]:
        bar: Iterable[Any] = tqdm(iterable, desc=desc, total=total, **look)
        return bar

    return progress


def make_meter(args: argparse.Namespace) -> Callable[..., Any] | None:
    """Progress of a download in bytes, of the same look; None with ``--quiet``."""
    if args.quiet:
        return None
    from functools import partial

    from tqdm import tqdm

    return partial(tqdm, unit="B", unit_scale=True, **_look())


def _look() -> dict[str, Any]:
    if sys.stderr.isatty():
        return {"file": sys.stderr, "leave": False, "delay": 2, "mininterval": 0.3}
    return {"file": _Lines(), "leave": False, "delay": 2, "mininterval": 30, "maxinterval": 60, "ncols": 72}


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


def note_first_use(args: argparse.Namespace) -> None:
    """Before training: say why it starts slowly where no compiled kernel is on disk."""
    from .warmup import cache_state

    if not args.quiet and not (state := cache_state())["kernels"]:
        kept = f"cannot be kept ({state['problem']})" if state["problem"] else "are kept for later runs"
        note(args, f"compiling kernels first, which takes a while; they {kept}")


def emit(args: argparse.Namespace, content: dict[str, Any], text: str | Callable[[], str]) -> None:
    """The result on stdout: ``content`` as one JSON object, or ``text`` for people."""
    if args.json:
        out = json.dumps(content, allow_nan=False, default=_plain)
    else:
        out = text() if callable(text) else text
    try:
        sys.stdout.write(out + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # its reader has gone (`dqnumba inspect F | head`), and the result comes last: all is done
        drop_stdout()


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
