"""JSON of strangers: each key once, finite numbers, text that can be written down again, and a bound on its size."""

from __future__ import annotations

import json
import math
from typing import Any

from .regular import Malformed

__all__ = ["parse_json"]


def parse_json(text: str, *, most_values: int, constants: bool = False) -> Any:
    """The value of a JSON text.

    Parameters
    ----------
    text : str
    most_values : int
        Bound on the commas and brackets in the text, which is one on its values: an empty list takes three characters
        and, once read, some thirty times as much.
    constants : bool
        Take NaN and Infinity too, as ``json.dumps`` writes them.

    Raises
    ------
    Malformed
        No JSON, a key that appears twice in an object, a number that is not finite or has thousands of digits, half of
        a surrogate pair, too many values, or too deep a nesting.
    """
    count = text.count(",") + text.count("[") + text.count("{")
    if count > most_values:
        raise Malformed(f"its JSON holds about {count:,} values, and at most {most_values:,} are read")
    hooks: dict[str, Any] = {} if constants else {"parse_constant": _no_constant, "parse_float": _finite}
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, **hooks)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Malformed("its JSON is nested too deeply") from None
    except UnicodeEncodeError:
        raise Malformed("its JSON holds half of a surrogate pair") from None
    except ValueError as error:
        raise Malformed(str(error)) from None
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Malformed("a key appears twice in its JSON")
    return values


def _no_constant(name: str) -> Any:
    raise Malformed(f"{name} is no number that it may hold")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Malformed(f"{text[:40]} is beyond float64")
    return value
