"""What a report of coverage.py says is missing, as lines of text, and the table of those that are explained."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["Gap", "Source", "explain", "gaps_of"]

_PRAGMA = re.compile(r"#\s*pragma:\s*no (?:cover|branch)\b(.*)")
_COMPILED = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc"}


@dataclass(frozen=True)
class Gap:
    """A statement that no test runs, or a way out of one that no test takes.

    Attributes
    ----------
    file : str
    number : int
    line : str
        Text of the statement's first line.
    to : str or None
        Of a way: text of the line that it leads to, or "exit" for the end of the function.
    within : str
        Name of the innermost function or class; empty at the top of the module.
    """

    file: str
    number: int
    line: str
    to: str | None
    within: str

    @property
    def text(self) -> str:
        """The gap in words."""
        return f"never run: {self.line}" if self.to is None else f"never from {self.line!r} to {self.to!r}"


class Source:
    """A module: its lines, the function of each, and what may not stand in it.

    Attributes
    ----------
    faults : list of str
        A pragma without a reason; something that Numba compiles.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path, self.lines, self.faults = path, text.splitlines(), []
        self._within = [""] * (len(self.lines) + 1)
        for node in ast.walk(ast.parse(text)):  # outer definitions come first
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._within[node.lineno : node.end_lineno + 1] = [node.name] * (node.end_lineno + 1 - node.lineno)
            if isinstance(node, ast.FunctionDef) and _compiled(node):
                self.faults.append(f"{path}:{node.lineno}: {node.name} is compiled, which nothing here can follow")
        for number, line in enumerate(self.lines, start=1):
            pragma = _PRAGMA.search(line)
            if pragma and not re.search(r"\w{3}", pragma[1]):
                self.faults.append(f"{path}:{number}: a pragma without a reason")

    def line(self, number: int) -> str:
        """Text of a line without blanks around it; "exit" where coverage.py writes a negative number."""
        return "exit" if number < 0 else self.lines[number - 1].strip()

    def within(self, number: int) -> str:
        """Name of the innermost definition around a line."""
        return self._within[number]


def _compiled(node: ast.FunctionDef) -> bool:
    names = {
        part.id if isinstance(part, ast.Name) else part.attr
        for decorator in node.decorator_list
        for part in ast.walk(decorator)
        if isinstance(part, ast.Name | ast.Attribute)
    }
    return bool(names & _COMPILED)


def gaps_of(source: Source, entry: dict[str, Any]) -> list[Gap]:
    """Gaps of a file from its entry in the report: lines first, then ways between lines that are both run."""
    lost = set(entry["missing_lines"])
    found = [(number, None) for number in sorted(lost)]
    found += [(a, b) for a, b in sorted(entry["missing_branches"]) if a not in lost and b not in lost]
    return [
        Gap(source.path, a, source.line(a), None if b is None else source.line(b), source.within(a)) for a, b in found
    ]


def explain(gap: Gap, table: list[dict[str, str]]) -> list[int]:
    """Indices of the entries that explain a gap: same file, text and way, and function where the entry names one."""
    return [
        k for k, entry in enumerate(table)
        if entry["file"] == gap.file and entry["line"] == gap.line and entry.get("to") == gap.to
        and entry.get("within", gap.within) == gap.within and entry["why"].strip()
    ]  # fmt: skip
