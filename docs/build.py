"""``python -m docs.build``: the site in ``docs/_build/site``; any warning is an error.

It needs the extra ``docs`` and no network. Open ``docs/_build/site/index.html``, from a server or as a file.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FOLDER", "foreign", "main"]

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "_build" / "site"
# What a browser fetches by itself. A link that somebody follows may lead anywhere.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(?P<src>[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|icon|preconnect))[^>]*\bhref=["']?(?P<href>[^"'\s>]+)"""
    r"""|(?:@import\s+["']|url\()\s*["']?(?P<css>[^"')\s]+)"""
)


def main(argv: Sequence[str] | None = None) -> int:
    """Build; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description="Build the site; a warning is an error.")
    parser.add_argument("folder", nargs="?", default=FOLDER, type=Path, help="where to (default: docs/_build/site)")
    folder = parser.parse_args(argv).folder
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        sys.stderr.write("The site needs Sphinx: pip install '.[docs]'\n")
        return 2
    doctrees = folder.parent / f"{folder.name}.doctrees"
    code = build_main(["-q", "-E", "-W", "--keep-going", "-b", "html", "-d", str(doctrees), str(HERE), str(folder)])
    abroad = foreign(folder)
    for place in abroad:
        sys.stderr.write(f"loads from the network: {place}\n")
    if not (code or abroad):
        print(f"{folder / 'index.html'}")
    return 1 if abroad else code


def foreign(folder: Path) -> list[str]:
    """Every address outside the site that a page or style sheet loads by itself."""
    found = []
    for path in sorted([*folder.rglob("*.html"), *folder.rglob("*.css")]):
        for match in _FETCHED.finditer(path.read_text(encoding="utf-8")):
            address = next(filter(None, match.groups()))
            if re.match(r"(?:[a-z]+:)?//", address):
                found.append(f"{path.relative_to(folder)}: {address}")
    return found


if __name__ == "__main__":
    sys.exit(main())
