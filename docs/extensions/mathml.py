"""Formulas as MathML, made by docutils at build time: browsers show them without a script or a font from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

__all__ = ["setup"]

_FENCES = re.compile("<mo>([{}‖])</mo>")  # without \\left and \\right they keep their size, as parentheses do
_SIZES = re.compile(r"\\[bB]igg?[lr]?(?![a-zA-Z])")  # MathML stretches brackets by itself


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_formula(node, node.astext(), as_block=False))
    raise nodes.SkipNode


def _display(writer: Any, node: nodes.math_block) -> None:
    text = node.astext()
    if r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    writer.body.append(f'<div class="math">{_formula(node, text, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _formula(node: nodes.Node, text: str, *, as_block: bool) -> str:
    try:
        made = latex2mathml.tex2mathml(_SIZES.sub("", text), as_block=as_block)
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", text, error, location=node)
        return _as_written(text)
    return _FENCES.sub(r'<mo stretchy="false">\1</mo>', made)


def _as_written(text: str) -> str:
    """A formula that could not be read, as it was written."""
    return "<code>" + text.replace("&", "&amp;").replace("<", "&lt;") + "</code>"
