"""The judge of branch coverage: what is missing, what is explained, and explanations that no longer apply."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

pytest.importorskip("bench.reliability", reason="bench/ stands beside the package, in a checkout only")
from bench.reliability import coverage, record
from bench.reliability.gaps import Source

TEXT = '''"""A module."""


def half(x):
    if x < 0:
        return None
    return x // 2


class Box:
    def half(self, x):
        if x < 0:
            return None
        return x // 2
'''
PATH = "dqnumba/quant/half.py"


def report(lost=(), ways=(), path=PATH):
    """As ``coverage json`` has it: line 4 is a function's first line, so -4 is its end."""
    summary = {
        "num_statements": 10, "num_branches": 4, "missing_lines": len(lost), "missing_branches": len(ways),
    }  # fmt: skip
    entry = {"missing_lines": list(lost), "missing_branches": [list(way) for way in ways], "summary": summary}
    return {"meta": {"version": "7"}, "files": {path: entry}}


def judged(measured, *table, text=TEXT):
    return coverage.judge(measured, {PATH: text}, [{"file": PATH, "why": "a reason"} | entry for entry in table])


def test_nothing_missing():
    content, findings = judged(report())
    assert findings == [] and content["explanations"] == []
    assert content["files"][PATH]["unexplained"] == content["totals"]["explained"] == 0
    assert content["totals"]["statements"] == 10


def test_a_line_and_the_ways_to_it_are_one_gap():
    content, findings = judged(report([6], [(5, 6)]))
    assert findings == [f"{PATH}:6: never run: return None"]
    assert content["files"][PATH]["unexplained"] == 1


def test_a_way_between_lines_that_are_run():
    _, findings = judged(report([], [(5, 7), (5, -4)]))
    assert findings == [f"{PATH}:5: never from 'if x < 0:' to {to}" for to in ("'exit'", "'return x // 2'")]


@pytest.mark.parametrize(
    ("measured", "entry"),
    [
        (report([6]), {"line": "return None"}),
        (report([6]), {"line": "return None", "within": "half"}),
        (report([], [(5, 7)]), {"line": "if x < 0:", "to": "return x // 2"}),
        (report([], [(5, -4)]), {"line": "if x < 0:", "to": "exit"}),
    ],
)
def test_an_explanation_is_by_the_text_of_the_line(measured, entry):
    content, findings = judged(measured, entry)
    assert findings == []
    assert [e["line"] for e in content["explanations"]] == [entry["line"]]
    assert content["files"][PATH]["explained"] == content["totals"]["explained"] == 1
    gaps = measured["files"][PATH]
    lost = [number + 2 for number in gaps["missing_lines"]]
    ways = [[a + 2, b + 2 if b > 0 else b - 2] for a, b in gaps["missing_branches"]]
    assert judged(report(lost, ways), entry, text="\n\n" + TEXT)[1] == [], "numbers move"


@pytest.mark.parametrize(
    "entry",
    [
        {"line": "return x // 2"},
        {"line": "return None", "within": "other"},
        {"line": "return None", "file": "dqnumba/quant/other.py"},
        {"line": "return None", "to": "exit"},
        {"line": "return None", "why": " "},
    ],
)
def test_an_explanation_of_something_else_explains_nothing(entry):
    _, findings = judged(report([6]), entry)
    assert len(findings) == 2
    assert findings[0].endswith("never run: return None") and findings[1].endswith("explains nothing any more")


def test_an_explanation_of_what_is_covered_now_is_a_finding():
    _, findings = judged(report(), {"line": "return None"})
    assert findings == [f"coverage.toml: the entry for 'return None' in {PATH} explains nothing any more"]


def test_an_explanation_of_two_places_is_a_finding():
    both = report([6, 13])
    assert "within which function" in judged(both, {"line": "return None"})[1][0]


def test_a_file_that_is_never_imported_is_a_finding():
    _, findings = judged(report(path="dqnumba/quant/other.py"))
    assert findings == [f"{PATH}: never imported"]


def test_compiled_functions_and_bare_pragmas_are_findings():
    compiled = "import numba\n\n@numba.njit(cache=True)\ndef f(x):\n    return x\n"
    assert "f is compiled" in Source(PATH, compiled).faults[0]
    assert Source(PATH, "x = 1  # pragma: no cover - Windows only\n").faults == []
    for pragma in ("# pragma: no cover", "# pragma: no branch"):
        assert Source(PATH, f"x = 1  {pragma}\n").faults == [f"{PATH}:1: a pragma without a reason"]


def test_the_table_is_well_formed_and_names_what_is_there():
    table = tomllib.loads(coverage.TABLE.read_text(encoding="utf-8")).get("exception", [])
    files = coverage.files_of()
    assert len(files) > 30
    for entry in table:
        assert entry.keys() <= {"file", "line", "to", "within", "why"} and len(entry["why"]) > 20
        lines = [line.strip() for line in (coverage.ROOT / entry["file"]).read_text(encoding="utf-8").splitlines()]
        assert entry["file"] in files and entry["line"] in lines
        assert entry.get("to", "exit") in ("exit", *lines)


def test_the_rooms_are_measured_and_their_tests_are_there():
    options = tomllib.loads((coverage.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]["run"]
    assert options["branch"] is True
    patterns = [re.compile(pattern.replace("*", ".*")) for pattern in options["include"]]
    for path in coverage.files_of():
        assert any(pattern.fullmatch(f"/x/{path}") for pattern in patterns), path
    assert all((coverage.ROOT / path).exists() for path in coverage.TESTS)


def test_the_command_judges_a_report_and_records_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(coverage, "TABLE", tmp_path / "coverage.toml")
    coverage.TABLE.write_text("", encoding="utf-8")
    summary = {"num_statements": 1, "num_branches": 0, "missing_lines": 0, "missing_branches": 0}
    whole = {path: {"missing_lines": [], "missing_branches": [], "summary": summary} for path in coverage.files_of()}
    (tmp_path / "report.json").write_text(json.dumps({"meta": {"version": "7"}, "files": whole}), encoding="utf-8")
    assert coverage.main(["--measured", str(tmp_path / "report.json")]) == 0
    out = capsys.readouterr().out
    assert f"| dqnumba/qat/degree_mask.py | {1} |" in out and f"| all | {len(whole)} |" in out
    assert not record.FOLDER.exists()
    coverage.TABLE.write_text(
        '[[exception]]\nfile = "dqnumba/quant/spec.py"\nline = "x"\nwhy = "a reason"\n', encoding="utf-8"
    )
    assert coverage.main(["--measured", str(tmp_path / "report.json")]) == 1
    assert "explains nothing any more" in capsys.readouterr().out
