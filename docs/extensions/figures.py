"""Figures stand in the page itself, so that they take its ink, light or dark; comments of the pages stay out of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

__all__ = ["setup"]


class _InPlace(SphinxPostTransform):
    default_priority = 20
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for image in list(self.document.findall(nodes.image)):
            if image["uri"].endswith(".svg"):
                path = Path(self.app.srcdir) / image["uri"]
                image.replace_self(nodes.raw("", _inline(path, image.get("alt", "")), format="html"))
        for raw in list(self.document.findall(nodes.raw)):
            if raw.astext().startswith("<!--"):
                raw.parent.remove(raw)


def setup(app: Any) -> dict[str, Any]:
    """Register the transform."""
    app.add_post_transform(_InPlace)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(path: Path, words: str) -> str:
    """The ``svg`` element: without the style of its own that it has when opened alone, and with names of its own."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"<style>svg\{color.*?</style>", "", text)
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([\w-]+)', text))
    text = re.sub(r' id="([\w-]+)"', lambda m: m[0] if m[1] in used else "", text)
    for name in used:
        text = text.replace(f'"#{name}"', f'"#{path.stem}-{name}"').replace(f"(#{name})", f"(#{path.stem}-{name})")
        text = text.replace(f'id="{name}"', f'id="{path.stem}-{name}"')
    words = words.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    svg = text.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
    wide = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) > 450  # two panels are too small to read on a phone
    return f'<div class="figure{" wide" if wide else ""}">{svg}</div>'
