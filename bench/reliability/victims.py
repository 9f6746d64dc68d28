"""What is killed: pieces of work that write files, each with what must hold after a kill and at the end.

A victim works in an empty folder. ``work`` is what a user does, and does again after a kill. ``look`` reads what a kill
has left, as the library reads it; ``done`` compares what the finished work has left with an uninterrupted run. Both
raise ``AssertionError`` with a sentence, or whatever a reader raises that should not.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from dqnumba.cli.main import main
from dqnumba.graph import Graph, save_npz

__all__ = ["Victim", "digest", "listing", "small_graph"]

_UNFINISHED = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.part|\..+\.lock")


class Victim:
    """One kind of work; ``kind`` groups victims in the record, ``name`` tells them apart."""

    kind = ""
    name = ""
    warm = True  # work once in the parent, so that the children need not load or compile

    def __init__(self, shared: Path) -> None:
        """``shared``: a folder for what all lives of this victim read."""

    def begin(self, place: Path) -> None:
        """Put into the empty folder what was there before the work."""

    def work(self, place: Path) -> Any:
        """Do the work, or go on with it; what it returns is compared by ``done``."""
        raise NotImplementedError

    def look(self, place: Path) -> None:
        """After a kill: nothing half-written may be read as whole."""
        raise NotImplementedError

    def expect(self, place: Path, result: Any) -> None:
        """Remember what an uninterrupted run has left."""
        raise NotImplementedError

    def done(self, place: Path, result: Any) -> None:
        """After the end: all is as in an uninterrupted run, and nothing else is there."""
        raise NotImplementedError


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listing(place: Path, *, unfinished: bool = False) -> list[str]:
    """Files under a folder, without those that a kill may leave if ``unfinished``."""
    names = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    return [name for name in names if not (unfinished and _UNFINISHED.fullmatch(os.path.basename(name)))]


def command(*argv: Any) -> dict[str, Any]:
    """Run ``dqnumba ... --json --quiet``; its JSON object. An exit code other than 0 is an error here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*map(str, argv), "--json", "--quiet"])
    assert code == 0, f"dqnumba {argv[0]} ended with {code}: {err.getvalue().strip()}"
    return json.loads(out.getvalue())


def small_graph(nodes: int = 120, width: int = 16) -> Graph:
    """A random graph whose labels can be learned a little."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, nodes)
    x = (rng.random((nodes, width)) < 0.2).astype(np.float32)
    x[np.arange(nodes), y] = 1.0
    masks = {f"{name}_mask": np.arange(nodes) % 3 == k for k, name in enumerate(("train", "val", "test"))}
    return Graph.from_edge_index(rng.integers(0, nodes, (2, 3 * nodes)), x=x, y=y, **masks)


def graph_file(shared: Path) -> Path:
    """``small_graph`` as a file."""
    path = shared / "graph.npz"
    if not path.exists():
        save_npz(small_graph(), path)
    return path
