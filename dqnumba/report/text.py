"""Numbers and foreign text as a reader should see them."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

__all__ = ["MISSING", "byte_count", "clean", "decimal", "milliseconds", "percent", "points", "short", "times", "whole"]

#: What stands where there is no value.
MISSING = "–"
_THIN = "\u202f"  # a narrow space that does not break
_MINUS = "\u2212"


def clean(text: str) -> str:
    """``text`` with every invisible character written out as an escape: controls, surrogates, changes of direction.

    A name in a model file can be any string; what a reader sees should be what stands there.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_visible(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] != "C" and unicodedata.category(character) not in ("Zl", "Zp")


def short(value: Any, limit: int = 48) -> str:
    """A name from a file, cut in the middle where it is longer than ``limit``."""
    text = value if isinstance(value, str) else str(value)[: 10 * limit]
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def whole(value: Any) -> str:
    """A count with separators between thousands; other things as they are."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return MISSING if value is None else short(value)
    return f"{round(value):,}".replace("-", _MINUS).replace(",", _THIN)


def decimal(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits, in powers of ten where plain digits would be long."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return MISSING if value is None else short(value)
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: f"{_MINUS}∞"}.get(value, "not a number")
    if value == 0:
        return "0"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    if -4 <= int(power) < 6:
        return f"{float(value):.{max(0, digits - 1 - int(power))}f}".replace("-", _MINUS)
    raised = power.lstrip("+-0").translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa.replace('-', _MINUS)}{_THIN}×{_THIN}10{'⁻' if power[0] == '-' else ''}{raised}"


def percent(share: Any, digits: int = 1) -> str:
    """A fraction as per cent. A share that is not nought is not shown as nought, nor one below 1 as all."""
    if share is None:
        return MISSING
    value, least = 100.0 * share, 10.0**-digits
    if 0 < value < least / 2:
        return f"<{_THIN}{least:.{digits}f}{_THIN}%"
    if 100.0 - least / 2 < value < 100.0:
        return f">{_THIN}{100.0 - least:.{digits}f}{_THIN}%"
    return f"{value:.{digits}f}{_THIN}%".replace("-", _MINUS)


def points(difference: Any) -> str:
    """A difference of two fractions in percentage points, with its sign."""
    if difference is None:
        return MISSING
    text = f"{100.0 * difference:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", _MINUS)


def byte_count(value: Any) -> str:
    """Bytes in B, KiB, MiB or GiB."""
    if value is None:
        return MISSING
    size, units = float(value), ("B", "KiB", "MiB", "GiB")
    for unit in units:
        if size < 1024 or unit == units[-1]:
            return f"{size:.0f}{_THIN}B" if unit == "B" else f"{size:.1f}{_THIN}{unit}"
        size /= 1024
    raise AssertionError("the last unit takes all")


def milliseconds(value: Any) -> str:
    """Milliseconds with three significant digits and their unit, microseconds below a tenth."""
    if value is None:
        return MISSING
    return f"{decimal(1e3 * value, 3)}{_THIN}µs" if value < 0.1 else f"{decimal(value, 3)}{_THIN}ms"


def times(ratio: Any) -> str:
    """How many times: ``3.8×``."""
    return MISSING if ratio is None else f"{decimal(ratio, 3 if ratio >= 10 else 2)}×"
