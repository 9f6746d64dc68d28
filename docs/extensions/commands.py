"""The directive ``commands``: the reference of the command line, made while the site is built."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from ..commands import markdown

__all__ = ["setup"]


class _Commands(SphinxDirective):
    has_content = False

    def run(self) -> list[nodes.Node]:
        lines = markdown().splitlines()
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(StringList(lines, source="dqnumba --help"), 0, node, match_titles=True)
        return node.children


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("commands", _Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
