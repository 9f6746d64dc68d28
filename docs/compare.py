"""What a page shows against what its block prints now."""

from __future__ import annotations

import math
import re

__all__ = ["difference"]

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:e[-+]?\d+)?(?![\w])")
_ANY = "..."


def difference(shown: str, printed: str, within: float = 0.0) -> str:
    """Why ``printed`` is not what ``shown`` says; empty if it is.

    Runs of blanks and ends of lines are one blank, and none inside of a bracket (NumPy pads its columns). ``...``
    stands for anything. With ``within``, a number that has a point or an exponent may be off by that much of the larger
    of the two (and by that much near zero); whole numbers and words must be equal.
    """
    wanted, got = _plain(shown), _plain(printed)
    pattern = ".*?".join(
        "".join("(" + _NUMBER.pattern + ")" if within and number else re.escape(part) for number, part in _parts(piece))
        for piece in wanted.split(_ANY)
    )
    match = re.fullmatch(pattern, got, flags=re.DOTALL)
    if match is None:
        return f"the page shows\n{shown.rstrip()}\nbut the block prints\n{printed.rstrip()}"
    if not within:
        return ""
    numbers = [part for piece in wanted.split(_ANY) for number, part in _parts(piece) if number]
    for a, b in zip(numbers, match.groups(), strict=True):
        if a != b and not (_is_float(a) and _is_float(b) and math.isclose(float(a), float(b), rel_tol=within,
                                                                         abs_tol=within)):  # fmt: skip
            return f"the page shows {a} where the block prints {b} (within {within:g})"
    return ""


def _plain(text: str) -> str:
    return re.sub(r"(?<=\[) | (?=\])", "", " ".join(text.split()))


def _parts(text: str) -> list[tuple[bool, str]]:
    """The text cut into (is a number, part)."""
    found, at = [], 0
    for match in _NUMBER.finditer(text):
        found += [(False, text[at : match.start()]), (True, match[0])]
        at = match.end()
    return [*found, (False, text[at:])]


def _is_float(text: str) -> bool:
    return any(c in text for c in ".e")
