"""Figures as data, and as pictures."""

from __future__ import annotations

import copy
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from docs.drawing import Drawing, differences


def two_panels():
    drawing = Drawing()
    drawing.panel("One", x="a", y="b", log="xy").curve([1, 10], np.array([2.0, 3.0]), "up").dashes([1, 2], [1, 1])
    drawing.panel("Two", x="c", y="d").bars([0, 1], [3, 4]).note(0, 1, "here").dots([0], [1]).line([0, 1], [1, 2])
    return drawing


def test_equal_figures_survive_a_file():
    kept = json.loads(json.dumps(two_panels().to_dict()))
    assert differences(kept, two_panels().to_dict(), 0.0) == []
    assert [series["colour"] for series in kept["panels"][1]["series"]] == [0, 1, 2]


def change_number(content):
    content["panels"][0]["series"][0]["y"][1] += 0.1


def change_label(content):
    content["panels"][0]["series"][0]["label"] = "down"


def change_words(content):
    content["panels"][1]["notes"][0]["text"] = "there"


def drop_point(content):
    for axis in "xy":
        content["panels"][1]["series"][0][axis].pop()


def drop_series(content):
    content["panels"][1]["series"].pop()


def drop_panel(content):
    content["panels"].pop()


@pytest.mark.parametrize("change", [change_number, change_label, change_words, drop_point, drop_series, drop_panel])
def test_every_change_is_seen(change):
    kept = two_panels().to_dict()
    made = copy.deepcopy(kept)
    change(made)
    assert differences(kept, made, 0.02)


def test_small_changes_of_numbers_are_not():
    kept = two_panels().to_dict()
    made = copy.deepcopy(kept)
    made["panels"][0]["series"][0]["y"][1] += 0.05
    assert differences(kept, made, 0.02) == []


def test_what_cannot_be_drawn_is_refused():
    panel = Drawing().panel("t", x="", y="")
    with pytest.raises(ValueError, match="cannot be drawn"):
        panel.line([0, 1], [0, np.nan])
    with pytest.raises(ValueError, match="2 values of x and 1 of y"):
        panel.line([0, 1], [0])


def test_the_picture_is_the_same_each_time_and_takes_the_ink_around_it():
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    from docs.picture import to_svg

    first, second = to_svg(two_panels(), "name"), to_svg(two_panels(), "name")
    assert first == second
    root = ElementTree.fromstring(first)
    assert root.tag.endswith("svg") and "viewBox" in root.attrib and "width" not in root.attrib
    assert "currentColor" in first and "One" in first and "#000000" not in first
