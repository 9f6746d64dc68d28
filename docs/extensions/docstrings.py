"""What napoleon makes of a docstring, mended in two places.

It reads the words before a colon in the first line of a property as a type, where ours are sentences; and it makes one
field of attributes that are described together.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["apart", "setup"]

_PLAIN = ("attribute", "data", "property")
_TOGETHER = re.compile(r":(ivar|vartype) (\w+(?:, *\w+)+):(.*)")


def setup(app: Any) -> dict[str, Any]:
    """Keep the lines before napoleon sees them (it runs at 500), and put them back or mend them after it."""
    kept: dict[str, list[str]] = {}

    def before(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        if what in _PLAIN:
            kept[name] = list(lines)

    def after(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        lines[:] = kept.pop(name) if what in _PLAIN else apart(lines)

    app.connect("autodoc-process-docstring", before, priority=400)
    app.connect("autodoc-process-docstring", after, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def apart(lines: list[str]) -> list[str]:
    """The lines with a field of its own for each name of ``:ivar a, b:`` and ``:vartype a, b:``."""
    found: list[str] = []
    at = 0
    while at < len(lines):
        match = _TOGETHER.fullmatch(lines[at])
        at += 1
        if match is None:
            found.append(lines[at - 1])
            continue
        more = []
        while at < len(lines) and lines[at].startswith(" "):
            more.append(lines[at])
            at += 1
        for name in match[2].split(","):
            found += [f":{match[1]} {name.strip()}:{match[3]}", *more]
    return found
