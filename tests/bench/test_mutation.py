"""Mutation testing on a made-up tree: what mutmut leaves is read, scored and explained. mutmut itself is not needed."""

from __future__ import annotations

import json
import tomllib

import pytest

pytest.importorskip("bench.reliability", reason="bench/ stands beside the package, in a checkout only")
from bench.reliability import mutants, mutation, record

SOURCE = '''
def half(x):
    """Half of x."""
    return (
        x // 2
    )


class Spec:
    @property
    def top(self) -> int:
        """Highest."""
        return 7

    def check(self, bits):
        if bits > 8:
            raise ValueError(f"{bits} is too much: " + "at most 8", bits - 8)
'''
MUTATED = '''
def x_half__mutmut_orig(x):
    """Half of x."""
    return (
        x // 2
    )
def x_half__mutmut_1(x):
    """Half of x."""
    return (
        x / 2
    )
def x_half__mutmut_2(x):
    """Half of x."""
    return (
        x // 3
    )
class Spec:
    def xǁSpecǁcheck__mutmut_orig(self, bits):
        if bits > 8:
            raise ValueError(f"{bits} is too much: " + "at most 8", bits - 8)
    def xǁSpecǁcheck__mutmut_1(self, bits):
        if bits > 8:
            raise ValueError(f"{bits} is too much: " + "XXat most 8XX", bits - 8)
    def xǁSpecǁcheck__mutmut_2(self, bits):
        if bits > 8:
            raise ValueError(f"{bits} is too much: " + "at most 8", bits - 9)
    def xǁSpecǁcheck__mutmut_3(self, bits):
        if bits > 8:
            raise ValueError(None, bits - 8)
'''
KEYS = ["x_half__mutmut_1", "x_half__mutmut_2", *(f"xǁSpecǁcheck__mutmut_{k}" for k in (1, 2, 3))]
HALF = ("room/file.py", "half", "x // 2", "x / 2")


def left_behind(folder, codes):
    """What mutmut writes: the changed forms, and the exit codes of the tests."""
    place = folder / "dqnumba" / "room"
    place.mkdir(parents=True, exist_ok=True)
    (place / "file.py").write_text(MUTATED, encoding="utf-8")
    verdicts = {f"dqnumba.room.file.{key}": code for key, code in zip(KEYS, codes, strict=True)}
    (place / "file.py.meta").write_text(json.dumps({"exit_code_by_key": verdicts}), encoding="utf-8")
    (place / "empty.py.meta").write_text(json.dumps({"exit_code_by_key": {}}), encoding="utf-8")
    return folder


def test_mutants_are_known_by_their_lines(tmp_path):
    found = mutants.read_mutants(left_behind(tmp_path, [0, 1, 0, 0, 0]))
    assert [m.key for m in found][:2] == [HALF, ("room/file.py", "half", "x // 2", "x // 3")]
    assert [m.outcome for m in found] == ["survived", "killed", "survived", "survived", "survived"]
    assert {m.function for m in found[2:]} == {"Spec.check"} and "bits - 9" in found[3].now
    # Only a text within a raise may change unseen: not a number there, and not whether there is a text at all.
    assert [m.text_only for m in found] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(None, "unchecked"), (2, "unchecked"), (0, "survived"), (1, "killed"), (33, "no_tests"), (-24, "timeout"),
     (-11, "crashed"), (77, "crashed")],
)  # fmt: skip
def test_outcomes(code, outcome):
    assert mutants.outcome(code) == outcome


def test_scores_count_what_is_killed_of_all_that_was_checked(tmp_path):
    found, _ = mutants.explain(mutants.read_mutants(left_behind(tmp_path, [0, 1, 0, 33, None])), {HALF: "why"})
    counts = mutants.table(found)
    assert (counts["mutants"], counts["killed"], counts["no_tests"], counts["unchecked"]) == (5, 1, 1, 1)
    assert counts["explained"] == 2, "by the table, and by the rule of texts"
    assert counts["score"] == 25.0 and counts["score_but_explained"] == 50.0
    assert mutants.table([])["score"] is None
    content, wrong = mutation.judge(found)
    assert [s["reason"] == "" for s in content["survivors"]] == [False, True, False]
    assert len(wrong) == 2 and "bits - 9" in wrong[0] and "25.0 %" in wrong[1]
    assert list(content["files"]) == ["room/file.py"]


def test_explanations_of_what_does_not_survive_are_found(tmp_path):
    other = (*HALF[:3], "x // 4")
    for codes, stale in (
        ([0, 1, 1, 1, 1], [other]), ([1, 1, 1, 1, 1], [HALF, other]), ([None, 1, 1, 1, 1], [other]),
    ):  # fmt: skip
        _, found = mutants.explain(mutants.read_mutants(left_behind(tmp_path, codes)), {HALF: "a", other: "b"})
        assert found == stale


def test_the_table_of_explanations(tmp_path):
    path = tmp_path / "t.toml"
    entry = (
        '[[survivor]]\nfile = "room/file.py"\nfunction = "half"\nwas = "x // 2"\nnow = ["x / 2", "x // 4"]\nwhy = "a"\n'
    )
    path.write_text(entry)
    assert mutants.read_explanations(path) == {HALF: "a", (*HALF[:3], "x // 4"): "a"}
    path.write_text(entry * 2)
    with pytest.raises(ValueError, match="twice"):
        mutants.read_explanations(path)
    committed = mutants.read_explanations(mutation.EXPLANATIONS)
    files = {str(p.relative_to(mutation.ROOT / "dqnumba")) for r in mutation.ROOMS.values() for g in r.files
             for p in mutation.ROOT.glob(g)}  # fmt: skip
    assert {key[0] for key in committed} <= files and all(len(why) > 20 for why in committed.values())


def test_properties_become_methods_that_can_be_changed():
    plain = mutants.plain_properties(SOURCE)
    assert "@property" not in plain and "    top = property(top)\n" in plain
    spaces = {}, {}
    exec(SOURCE, spaces[0])
    exec(plain, spaces[1])
    assert [s["Spec"]().top for s in spaces] == [7, 7] and mutants.plain_properties(plain) == plain


def make_tree(root):
    for name, text in (
        ("dqnumba/room/file.py", SOURCE), ("dqnumba/other.py", "A = 1\n"), ("tests/test_a.py", "1\n"),
        ("tests/test_b.py", "2\n"), ("pyproject.toml", "[project]\n"), ("setup.cfg", ""), ("README.md", ""),
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def verdicts(work):
    return list(json.loads((work / "mutants/dqnumba/room/file.py.meta").read_text())["exit_code_by_key"].values())


def test_verdicts_stand_until_something_changes(tmp_path):
    root, work = tmp_path / "root", tmp_path / "work"
    room = mutation.Room(("dqnumba/room/*.py",), ("tests/test_a.py",))
    make_tree(root)
    mutation.prepare(room, work, root=root)
    assert "@property" not in (work / "dqnumba/room/file.py").read_text(encoding="utf-8")
    settings = tomllib.loads((work / "pyproject.toml").read_text())["tool"]["mutmut"]
    assert settings["only_mutate"] == ["dqnumba/room/*.py"]
    assert settings["pytest_add_cli_args_test_selection"] == ["tests/test_a.py"]
    left_behind(work / "mutants", [0, 1, 2, 33, None])
    (work / "mutants/mutmut-stats.json").write_text("{}")
    times = {path: path.stat().st_mtime_ns for path in work.rglob("*.py")}
    mutation.prepare(room, work, root=root)
    assert verdicts(work) == [0, 1, None, 33, None] and (work / "mutants/mutmut-stats.json").exists()
    assert {path: path.stat().st_mtime_ns for path in times} == times, "what is equal is not written again"

    (root / "tests/test_a.py").write_text("3\n")
    (root / "tests/test_b.py").unlink()
    mutation.prepare(room, work, root=root)
    assert len(set((work / "trees.txt").read_text().split())) == 2
    assert verdicts(work) == [None, 1, None, None, None], "a new test may kill what survived"
    assert (work / "tests/test_a.py").read_text() == "3\n" and not (work / "tests/test_b.py").exists()
    assert not (work / "mutants/mutmut-stats.json").exists()


def test_the_command(tmp_path, monkeypatch, capsys):
    """What it prints, records and returns, with verdicts that were planted instead of found."""
    codes = [0, 1, 1, 1, 1]

    def plant_tree(room, work):
        work.mkdir(parents=True, exist_ok=True)
        (work / "trees.txt").write_text("a\nb\n")

    monkeypatch.setattr(record, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(mutation.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(mutation.importlib.metadata, "version", lambda name: "3")
    monkeypatch.setattr(mutation, "prepare", plant_tree)
    monkeypatch.setattr(mutation, "run", lambda work, seconds: left_behind(work / "mutants", codes))
    monkeypatch.setattr(mutation, "EXPLANATIONS", tmp_path / "t.toml")
    (tmp_path / "t.toml").write_text("")
    arguments = ["--room", "quant", "--work", str(tmp_path / "work")]
    assert mutation.main(arguments) == 1
    said = capsys.readouterr()
    assert "x / 2" in said.err and "80.0 %" in said.err and "room/file.py" in said.out
    content = record.read("mutation")
    assert content["rooms"]["quant"]["score"] == 80.0 and not content["complete"]
    assert content["rooms"]["quant"]["trees"] == 2
    assert content["sittings"][0]["decided"] == 5 and content["sittings"][0]["room"] == "quant"
    codes[0] = 1
    assert mutation.main([*arguments, "--fresh"]) == 0
    assert record.read("mutation")["rooms"]["quant"]["survivors"] == []
    assert len(record.read("mutation")["sittings"]) == 2
    monkeypatch.setattr(mutation.importlib.util, "find_spec", lambda name: None)
    assert mutation.main(arguments) == 2 and "dqnumba[mutation]" in capsys.readouterr().err
