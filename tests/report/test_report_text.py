"""Numbers and foreign text; elements that cannot be broken out of."""

from __future__ import annotations

import math
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.report.markup import join, tag
from dqnumba.report.text import (
    byte_count,
    clean,
    decimal,
    milliseconds,
    percent,
    points,
    short,
    times,
    whole,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)  # surrogates too: a JSON text can hold them


def plain(text):
    return text.replace("\u202f", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    "value, expected",
    [(0, "0"), (1.0, "1.000"), (0.00392157, "0.003922"), (-2.352e-06, "-2.352 × 10⁻⁶"), (123456.0, "123456"),
     (1.5e9, "1.500 × 10⁹"), (99999.6, "100000"), (math.inf, "∞"), (-math.inf, "-∞"), (math.nan, "not a number"),
     (None, "–"), ("weird", "weird"), (True, "True")],
)  # fmt: skip
def test_decimal(value, expected):
    assert plain(decimal(value)) == expected


@given(st.floats(1e-30, 1e30), st.sampled_from([1.0, -1.0]))
def test_decimal_keeps_four_digits(value, sign):
    text = plain(decimal(sign * value))
    text = text.replace(" × 10", "e").translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-"))
    assert math.isclose(float(text), sign * value, rel_tol=5.001e-4)


@pytest.mark.parametrize(
    "share, digits, expected",
    [(0.819, 1, "81.9 %"), (1.0, 2, "100.00 %"), (0.99999, 1, "> 99.9 %"), (0.00001, 1, "< 0.1 %"), (0.0, 1, "0.0 %"),
     (0.0004, 1, "< 0.1 %"), (0.0006, 1, "0.1 %"), (None, 1, "–")],
)  # fmt: skip
def test_percent_never_rounds_to_all_or_nothing(share, digits, expected):
    assert plain(percent(share, digits)) == expected


def test_other_numbers():
    assert plain(whole(1234567)) == "1 234 567" and plain(whole(-1234)) == "-1 234" and whole(None) == "–"
    assert [plain(byte_count(n)) for n in (0, 1023, 1024, 29211, 5 << 20, 3 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "28.5 KiB", "5.0 MiB", "3072.0 GiB"]  # fmt: skip
    assert [plain(points(d)) for d in (-0.003, 0.0004, 0.05, None)] == ["-0.3", "0.0", "+5.0", "–"]
    assert [plain(milliseconds(ms)) for ms in (0.0123, 0.2136, 46.5, None)] == ["12.3 µs", "0.214 ms", "46.5 ms", "–"]
    assert [times(r) for r in (3.168, 12.34, None)] == ["3.2×", "12.3×", "–"]
    assert short("a" * 100, 9) == "aaaa…aaaa" and short("abc", 9) == "abc" and len(short(10**300, 9)) == 9


@given(ANY_TEXT)
def test_clean_text_is_visible_and_can_be_written(text):
    cleaned = clean(text)
    cleaned.encode()
    assert not [c for c in cleaned if unicodedata.category(c)[0] == "C"]
    assert clean(cleaned) == cleaned
    if text.isprintable():
        assert cleaned == text


def test_changes_of_direction_are_written_out():
    assert clean("a\u202eb\x00\ud800é–") == "a\\u202eb\\x00\\ud800é–"


class Listener(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self.attributes = [], "", {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data):
        self.words += data


@given(ANY_TEXT)
def test_no_text_becomes_markup(text):
    heard = Listener(tag("p", text, join(text), [text], title=text, aria_label=text))
    assert heard.tags == ["p"]
    assert heard.words == 3 * clean(text)
    assert heard.attributes == {"title": clean(text), "aria-label": clean(text)}


def test_elements():
    assert tag("br") == "<br>"
    assert tag("path", d="M0 0") == '<path d="M0 0"/>'
    assert tag("td", 3, None, False, [1.5, tag("b", "x & y")], class_="n", hidden=True, lang=None) == (
        '<td class="n" hidden>31.5<b>x &amp; y</b></td>'
    )
    assert tag("line", x1=1.0, x2=1 / 3) == '<line x1="1" x2="0.33"/>'
    for attribute in ("style", "onclick", "onload"):
        with pytest.raises(ValueError, match="no inline style and no script"):
            tag("p", **{attribute: "x"})
