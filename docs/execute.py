"""Runs a page: its blocks in order, in one namespace and one folder."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import linecache
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .blocks import Block, blocks
from .compare import difference
from .drawing import Drawing

__all__ = ["FIGURES", "PAGES", "ROOT", "Outcome", "page_name", "run_page"]

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
#: Every page with blocks to run: the README and the guide.
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "learn").glob("*.md")))


@dataclass
class Outcome:
    """What came of a page.

    Attributes
    ----------
    names : dict
        The namespace of its Python blocks.
    run, left_out : int
        Blocks that ran; blocks left out as slow, or for want of a module.
    printed : list of (Block, str)
        Blocks with what they printed.
    drawings : dict
        Figure name -> Drawing.
    within : dict
        Figure name -> tolerance of its numbers.
    wrong : list of str
        Differences, each with its place.
    """

    names: dict[str, Any] = field(default_factory=dict)
    run: int = 0
    left_out: int = 0
    printed: list[tuple[Block, str]] = field(default_factory=list)
    drawings: dict[str, Drawing] = field(default_factory=dict)
    within: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def page_name(path: Path) -> str:
    """A page as it is named to people: its path from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def run_page(path: Path, folder: Path, *, slow: bool = False, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run all blocks of a page in ``folder``; with ``slow``, the slow ones too.

    A block that raises, or a command that does not end with 0, ends the page with that error. What is merely different
    from what the page shows is collected in ``Outcome.wrong``.
    """
    outcome = Outcome({"__name__": "__main__"})
    with _inside(folder):
        for block in blocks(path.read_text(encoding="utf-8")):
            if block.not_run:
                continue
            if (block.slow and not slow) or (block.needs and importlib.util.find_spec(block.needs) is None):
                outcome.left_out += 1
                continue
            place = f"{page_name(path)}, line {block.line}"
            say(place)
            printed = _run(block, outcome, place)
            outcome.run += 1
            outcome.printed.append((block, printed))
            if block.shown is not None and (why := difference(block.shown, printed, block.within)):
                outcome.wrong.append(f"{place}: {why}")
    return outcome


def _run(block: Block, outcome: Outcome, place: str) -> str:
    if block.kind == "sh":
        return "".join(_command(line, place) for line in _lines(block.text))
    if block.kind == "figure":
        outcome.names["drawing"] = outcome.drawings[block.name] = Drawing()
        outcome.within[block.name] = block.within
    # The name of the file says where; its text is there for inspect.getsource and for tracebacks.
    name = f"<{place}>"
    linecache.cache[name] = (len(block.text), None, block.text.splitlines(keepends=True), name)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block.text, name, "exec"), outcome.names)
    return out.getvalue()


def _lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for line in map(str.strip, joined.splitlines()) if line and not line.startswith("#")]


def _command(line: str, place: str) -> str:
    """What one command prints. ``dqnumba`` runs here, where the kernels are loaded; ``python`` as a process."""
    argv = shlex.split(line, comments=True)
    if argv[0] == "dqnumba":
        from dqnumba.cli.main import main

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(argv[1:])
        if code:
            raise RuntimeError(f"{place}: `{line}` ended with {code}:\n{err.getvalue()}")
        return out.getvalue()
    if argv[0] != "python":
        raise RuntimeError(f"{place}: `{line}` is neither dqnumba nor python; mark the block as not run")
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, *argv[1:]], capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": paths})  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{place}: `{line}` ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
