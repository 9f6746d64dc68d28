"""The page: head, contents, sections; one file without a script and without an address to load from."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from .markup import Markup, join, tag, trusted
from .sections import SECTIONS
from .summary import headline, missing_note, tiles
from .svg import chart_css

__all__ = ["render"]

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M4 12 8 4l4 8z' "
    "fill='none' stroke='%232f5fb3'/%3E%3Cg fill='%232f5fb3'%3E%3Ccircle cx='4' cy='12' r='2.4'/%3E%3Ccircle cx='8' "
    "cy='4' r='2.4'/%3E%3Ccircle cx='12' cy='12' r='2.4'/%3E%3C/g%3E%3C/svg%3E"
)


def render(found: Mapping[str, Any]) -> str:
    """The HTML page of what :func:`.gather` found.

    Everything is inside: one style sheet, pictures as inline SVG, no script. The security policy of the page allows
    that style sheet (by its hash) and the icon, and nothing else; so even a text that slipped through the escaping
    could neither run nor load anything.
    """
    css = (files(__package__) / "page.css").read_text(encoding="utf-8") + chart_css()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    title, subtitle = headline(found)
    parts = [(name, heading, content) for name, heading, build in SECTIONS if (content := build(found)) is not None]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{title} – dqnumba report"),
        tag("link", rel="icon", href=trusted(_ICON)),
        tag("style", trusted(css)),
    )
    top = tag(
        "header",
        tag("p", "dqnumba report", class_="eyebrow"),
        tag("h1", title),
        tag("p", subtitle, class_="subtitle"),
    )
    contents = tag(
        "nav",
        tag("ul", [tag("li", tag("a", heading, href=f"#{name}")) for name, heading, _ in parts]),
        aria_label="Contents",
    )
    main = tag("main", missing_note(found), tiles(found), contents, [content for *_, content in parts], id="content")
    body = tag("body", tag("a", "To the content", class_="skip", href="#content"), top, main, _foot(found))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _foot(found: Mapping[str, Any]) -> Markup:
    made = join("Made by ", tag("code", "dqnumba report"), f" {found['dqnumba']}, {found['made']}.")
    return tag("footer", tag("p", made, " This page is one file; it loads nothing and runs no script."))
