"""Elements of HTML and SVG. All text is escaped; only what this module made itself passes as markup."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from .text import clean

__all__ = ["Markup", "join", "tag", "trusted"]

_VOID = {"br", "col", "link", "meta", "wbr"}  # elements of HTML without an end
_SHAPES = {"circle", "line", "path", "rect"}  # elements of SVG that hold nothing


class Markup(str):
    """Text that is markup already. Made by :func:`tag`, :func:`join` and, for our own files, :func:`trusted`."""

    __slots__ = ()


def trusted(text: str) -> Markup:
    """Our own style sheet and the like; never anything that came from a file of a user."""
    return Markup(text)


def join(*children: Any) -> Markup:
    """Children one after the other: markup as it is, other things as escaped text; None and False vanish."""
    return Markup("".join(_pieces(children)))


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """One element.

    Parameters
    ----------
    name : str
        Of the element.
    *children
        As in :func:`join`.
    **attributes
        Values are escaped; None and False leave the attribute out, True gives it without a value. ``class_`` is
        ``class``, and an underscore inside a name a hyphen. There is no ``style`` attribute: the page's security policy
        refuses it.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        if key == "style" or key.startswith("on"):
            raise ValueError(f"attribute {key!r}: the page has no inline style and no script")
        parts.append(f" {key}" if value is True else f' {key}="{_escape(value)}"')
    if name in _VOID:
        return Markup("".join([*parts, ">"]))
    if name in _SHAPES and not children:
        return Markup("".join([*parts, "/>"]))
    return Markup("".join([*parts, ">", *_pieces(children), f"</{name}>"]))


def _pieces(children: Iterable[Any]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, list | tuple):
            yield from _pieces(child)
        elif child is not None and child is not False:
            yield _escape(child)


def _escape(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")  # coordinates: hundredths of a pixel are enough
    return html.escape(clean(str(value)), quote=True)
