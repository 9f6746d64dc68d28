"""A report of a model file that one looks at: figures from running it, and one page that shows them.

:func:`gather` runs a program (and the model it was converted from, where its train file is at hand) on data and gives
plain JSON types; :func:`render` turns these into one self-contained HTML page. The pictures are SVG of our own
(:mod:`.charts`, :mod:`.svg`, :mod:`.drawing`), which ``train --plot`` and ``bench --plot`` write too.
"""

from __future__ import annotations

from .gather import gather
from .page import render
from .picture import check_picture, save_picture

__all__ = ["check_picture", "gather", "render", "save_picture"]
