"""Keeps docstrings of properties and constants as they are.

Napoleon reads the words before a colon in their first line as a type; ours are sentences.
"""

from __future__ import annotations

from typing import Any

__all__ = ["setup"]

_PLAIN = ("attribute", "data", "property")


def setup(app: Any) -> dict[str, Any]:
    """Keep the lines before napoleon sees them (it runs at 500), and put them back after it."""
    kept: dict[str, list[str]] = {}

    def keep(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        if what in _PLAIN:
            kept[name] = list(lines)

    def put_back(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        if what in _PLAIN:
            lines[:] = kept.pop(name)

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", put_back, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
