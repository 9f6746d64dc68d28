"""Tables, numbers, the README's block and the labels of the picture: what is shown is what was measured."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("bench.readme", reason="bench/ stands beside the package, in a checkout only")
from bench import post_training, readme, report, roofline
from bench.reliability import table as reliability_table

CELL = {"contenders": {"int8": {"median_ms": 0.01034}, "float": {"median_ms": 2.0}, "pyg": {"absent": "no"}},
        "speedup": {"int8_vs_float": 9.96, "int8_vs_pyg": None}}  # fmt: skip


@pytest.mark.parametrize(("page", "tables"), readme.blocks(report.RESULTS).items())
def test_the_pages_hold_the_results(page, tables):
    """Where this fails: run ``python -m bench.readme``."""
    text = (readme.ROOT / page).read_text(encoding="utf-8")
    assert len(tables) == text.count("made by python -m bench.readme")
    for name, table in tables.items():
        assert readme.replaced(text, name, table) == text


def test_speed_table():
    lines = readme.speed_table({"cells": {"cora gcn": CELL}}).splitlines()
    assert lines[2] == "| cora gcn | 0.0103 | 2.00 | - | 10x | - |"
    one, two = readme.BEGIN.format("one"), readme.BEGIN.format("two")
    assert readme.replaced(f"a {one} old {readme.END} {two} kept {readme.END} b", "one", "new") == (
        f"a {one}\n\nnew\n\n{readme.END} {two} kept {readme.END} b"
    )
    with pytest.raises(ValueError, match="no marks"):
        readme.replaced(f"{one} {readme.END}", "two", "new")


def test_readme_command(tmp_path, monkeypatch):
    (tmp_path / "models.json").write_text(json.dumps({"cells": {"cora gcn": CELL}}))
    times = {"median_ms": 0.2, "q1_ms": 0.1, "q3_ms": 0.3}
    one = {"contenders": {"int8": times, "int8 in one batch": times, "pyg": {"absent": "not installed"}},
           "speedup": {"int8 vs pyg": None, "int8 in one batch vs pyg": None}}  # fmt: skip
    (tmp_path / "stream.json").write_text(json.dumps({"cells": {"gcn": one}}))
    for page, names in readme.blocks(tmp_path).items():
        marks = "".join(f"{readme.BEGIN.format(name)}\n{readme.END}\n" for name in names)
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(f"x\n{marks}y\n")
    columns = {name: [80.0, 82.0] for name in ["float", *post_training.COLUMNS]}
    cells = {"cora gin": columns | {"8 bits, default": [79.5, 82.5]}}
    (tmp_path / "post_training.json").write_text(json.dumps({"cells": cells}))
    sittings = [{"findings": lost, "machine": {"time": f"2026-0{month}-03T03:04:05Z"}}
                for month, lost in ((1, []), (2, ["one"]))]  # fmt: skip
    report.save(tmp_path / "reliability" / "kills.json", {"kills": 310, "sittings": sittings})
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    codes = []
    for options in (["--check"], [], ["--check"]):
        monkeypatch.setattr(sys, "argv", ["bench.readme", "--results", str(tmp_path), *options])
        codes.append(readme.main())
    assert codes == [1, 0, 0]
    page, imported, security = ((tmp_path / name).read_text() for name in readme.blocks(tmp_path))
    assert "| cora gin | 81.00 | 81.00 | -0.5 | 81.00 |" in imported
    assert imported.endswith("| 81.00 | - |\n\n<!-- end -->\ny\n")
    assert "\n| gcn | 200 (100 - 300) | 200 (100 - 300) | - | - | - |\n" in page
    assert "| cora gcn |" in page and page.startswith("x\n")
    assert "310 kills, 1 times something lost or another end | 2026-02-03 |" in security
    assert security.count("not run yet | - |") == len(reliability_table.OUTCOMES) - 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00"), (0.001, "0.00100"), (0.0103, "0.0103"), (0.5, "0.500"), (1.234, "1.23"), (9.996, "10.0"),
     (99.96, "100"), (1234.5, "1,234"), (1e-7, "0.00000"), (-2.5, "-2.50"), (None, None)],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text
    assert value is None or report.number(value, " ms") == f"{text} ms"


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=25))
def test_labels_cover_neither_markers_nor_each_other(anchors):
    sizes, gap = [(9.0, 7.0)] * len(anchors), 4.0
    found = roofline.place_labels(anchors, sizes, gap)
    boxes = [(x, y, x + 9, y + 7) for x, y in found]
    markers = [(x - gap, y - gap, x + gap, y + gap) for x, y in anchors]
    for k, box in enumerate(boxes):
        assert not any(roofline._overlap(box, other) for other in [*boxes[:k], *boxes[k + 1 :], *markers])


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    row = {"operations": 100.0, "bytes": 100.0, "rows": 5, "inner": 3, "columns": 2, "name": "a",
           "contenders": {"int8": {"gops": 20.0}, "own float32 tile": {"gops": 5.0}}}  # fmt: skip
    content = {
        "limits": {"int8_all_gops": {"how": 1000.0}, "fp32_gflops": 100.0, "copy_gb_s": 20.0},
        "machine": {"cpu": "one", "threads": 2}, "product": [row, row], "sum": [row, row | {"contenders": {}}],
    }  # fmt: skip
    assert [name for *_, name in roofline.points(content, "sum")] == ["a"]
    roofline.draw(content, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_what_is_not_json_is_refused(tmp_path):
    report.save(tmp_path / "a.json", {"x": np.float32(1.5), "y": np.arange(2)})
    assert report.load(tmp_path / "a.json") == {"x": 1.5, "y": [0, 1]} and report.load(tmp_path / "b.json") == {}
    with pytest.raises(TypeError, match="object is not"):
        report.save(tmp_path / "a.json", {"x": object()})
