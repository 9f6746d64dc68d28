"""The blocks of a page: what runs, what it prints, what draws a figure, and what the page says about each.

A page is plain Markdown. Three things in it have a meaning here:

* A fenced block of ``python`` or ``sh`` is run. A block of ``text`` right below it is what it prints.
* A comment ``<!-- block: MARK -->`` above a block says how. Marks are ``slow: REASON`` (run by ``python -m docs.run``
  alone), ``not run: REASON``, ``needs MODULE``, and, above what is printed, ``within TOLERANCE``: a float may be off by
  that much of itself.
* The comments ``<!-- setup ... -->`` and ``<!-- figure NAME ... -->`` hold Python that the reader need not see. The
  second stands above the picture ``figures/NAME.svg`` and draws it; ``<!-- figure NAME within 0.1`` lets its numbers
  differ by that share of the largest of their series (0.02).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Block", "blocks"]

_FENCE = re.compile(r"^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"^<!-- (?P<kind>block|setup|figure)\b(?P<rest>.*?)-->$", re.DOTALL | re.MULTILINE)
_MARKS = ("slow", "not run", "needs", "within")
RUN = ("python", "sh")


@dataclass
class Block:
    """One block.

    Attributes
    ----------
    kind : str
        ``"python"``, ``"sh"``, ``"setup"`` or ``"figure"``.
    text : str
        The code; for a figure what draws it.
    line : int
        Line of the page where the code begins.
    name : str
        Of a figure.
    slow, not_run : str
        The reason; empty where the block is fast, where it is run.
    needs : str
        A module without which the block is left out.
    shown : str or None
        What the page says that the block prints.
    span : (int, int)
        Where ``shown`` stands in the page's text.
    within : float
        Relative tolerance of the floats in it, or of a figure's numbers.
    """

    kind: str
    text: str
    line: int
    name: str = ""
    slow: str = ""
    not_run: str = ""
    needs: str = ""
    shown: str | None = None
    span: tuple[int, int] = field(default=(0, 0), repr=False)
    within: float = 0.0


def blocks(page: str) -> list[Block]:
    """All blocks of a page that have a meaning, in order.

    Raises
    ------
    ValueError
        For a mark that is unknown, lacks its reason, or stands above nothing.
    """
    found: list[Block] = []
    marks: dict[str, str] = {}
    last, end = None, 0  # the block that text right below would belong to, and where it ends
    for match in sorted([*_FENCE.finditer(page), *_COMMENT.finditer(page)], key=lambda m: m.start()):
        if match.start() < end:
            continue  # a comment within a fence
        line = page.count("\n", 0, match.start()) + 1
        gap = page[end : match.start()].strip()
        end = match.end()
        kind = match.groupdict().get("kind")
        if marks and gap:
            raise ValueError(f"line {line}: a mark {marks} stands above no block")
        if kind == "block":
            marks |= _read(match["rest"], line)
            last = None if gap else last
            continue
        if kind is not None:
            first, _, code = match["rest"].partition("\n")
            name, _, within = first.strip().partition(" within ")
            last = Block(kind, code, line + 1, name=name, within=float(within or 0.02))
        elif match["language"] in RUN:
            last = Block(match["language"], match["text"], line + 1)
        else:
            if match["language"] == "text" and last is not None and not gap:
                last.shown, last.span = match["text"], match.span("text")
                last.within = float(marks.pop("within", 0.0))
            if marks:
                raise ValueError(f"line {line}: marks {marks} above a block that is not run")
            last = None
            continue
        last.slow, last.not_run = marks.pop("slow", ""), marks.pop("not run", "")
        last.needs = marks.pop("needs", "")
        if marks:
            raise ValueError(f"line {line}: marks {marks} belong above what a block prints")
        found.append(last)
    return found


def _read(text: str, line: int) -> dict[str, str]:
    text = text.lstrip(": ").strip()
    name = next((mark for mark in _MARKS if text.startswith(mark)), "")
    value = text.removeprefix(name).lstrip(": ")
    if not name or not value:
        raise ValueError(f"line {line}: mark {text!r}; allowed are {', '.join(_MARKS)}, each with its word")
    return {name: value}
