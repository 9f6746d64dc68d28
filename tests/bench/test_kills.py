"""The command that kills: it finds what is half-written or lost, and says nothing of what is sound."""

from __future__ import annotations

import json
import os
import random
import signal
import time

import pytest

pytest.importorskip("bench.reliability", reason="bench/ stands beside the package, in a checkout only")
from bench.reliability import __main__ as table
from bench.reliability import children, kills, record
from bench.reliability.children import in_child
from bench.reliability.victims import Victim, digest, listing
from dqnumba.files import whole_file

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


class Sound(Victim):
    """Counts to three, a file each; goes on after the last one that is there."""

    kind, name = "counting", "sound"

    def work(self, place):
        for number in range(self.first(place), 3):
            self.write(place / f"{number}.bin", bytes([number]) * 5000)
        return len(listing(place))

    def first(self, place):
        return sum((place / f"{number}.bin").exists() for number in range(3))

    def write(self, path, content):
        with whole_file(path) as stream:
            stream.write(content)

    def look(self, place):
        for name in listing(place, unfinished=True):
            assert (place / name).stat().st_size == 5000, "half a file"

    def expect(self, place, result):
        self.wanted = [digest(place / name) for name in listing(place)]

    def done(self, place, result):
        assert [digest(place / name) for name in listing(place)] == self.wanted, "another end"


class InPlace(Sound):
    name = "writes in place"

    def write(self, path, content):
        path.write_bytes(content)


class Untidy(Sound):
    name = "leaves rubbish"

    def write(self, path, content):
        (path.parent / f"{path.name}.{os.getpid()}.tmp").write_bytes(content)
        os.replace(path.parent / f"{path.name}.{os.getpid()}.tmp", path)

    def look(self, place):
        pass


class Forgetful(Sound):
    name = "goes on wrongly"

    def first(self, place):
        return min(2, super().first(place) + 1) if super().first(place) else 0


class Stuck(Sound):
    name = "waits for a lock that nobody holds"

    def work(self, place):
        if (place / "lock").exists():
            time.sleep(60)
        (place / "lock").touch()
        result = super().work(place)
        (place / "lock").unlink()
        return result

    def look(self, place):
        pass


def live(victim, folder, lives=12, seed=0):
    course = kills.Course(victim(folder), folder / "lives", random.Random(seed), {})
    for _ in range(lives):
        course.life()
    return course


def test_sound_work_has_no_findings_and_every_step_is_hit(tmp_path):
    course = live(Sound, tmp_path, lives=0)
    assert len(course.steps) == 3 * 7  # of each file: make, write, half, flush, rename, flush of the name, remove
    for _ in range(200):
        if len(course.hit) == len(course.steps):
            break
        course.life()
    assert course.findings == []
    entry = course.entry()
    assert entry["steps_hit"] == list(range(1, len(course.steps) + 1))
    assert entry["kills"] == entry["at_steps"] + entry["after_delays"] >= len(course.steps)
    assert json.loads(json.dumps(entry)) == entry
    again = kills.Course(Sound(tmp_path), tmp_path / "again", random.Random(0), entry)
    assert again.hit == course.hit and again.seen == course.seen  # a later sitting goes on


@pytest.mark.parametrize(
    "victim, when, found",
    [(InPlace, "what is left", "half a file"), (Untidy, "the end", "another end"),
     (Forgetful, "the end", "another end"), (Stuck, "the next call", "hangs")],
)  # fmt: skip
def test_faults_are_found(tmp_path, monkeypatch, victim, when, found):
    monkeypatch.setattr(children, "PATIENCE", 2.0 if victim is Stuck else children.PATIENCE)
    course = live(victim, tmp_path, lives=12 if victim is not Stuck else 3)
    assert course.findings
    assert any(finding["when"] == when and found in finding["found"] for finding in course.findings)
    assert all(finding["kills"] for finding in course.findings)


def test_children():
    assert in_child(lambda: [1, "a"]).value == [1, "a"]
    failed = in_child(lambda: 1 // 0)
    assert "ZeroDivisionError" in failed.error and "test_kills.py" in failed.error and not failed.killed
    assert in_child(lambda: os.kill(os.getpid(), signal.SIGKILL)).killed
    assert "SIGTERM" in in_child(lambda: os.kill(os.getpid(), signal.SIGTERM)).error
    late = in_child(lambda: time.sleep(30), delay=0.05)
    assert late.killed and late.seconds < 10
    assert "without a result" in in_child(lambda: os._exit(3)).error


def test_the_command_extends_its_record(tmp_path, monkeypatch, capsys):
    from dqnumba.kernels._twin import Twin

    monkeypatch.setattr(record, "FOLDER", tmp_path)
    monkeypatch.setattr(Twin, "_launched_in", Twin._launched_in)
    earlier = {"kind": "cache", "kills": 5, "at_steps": 3, "after_delays": 2, "lives": 4, "steps": 1, "step_kinds": {},
               "steps_hit": [1]}  # fmt: skip
    before = {"victims": {"compiled kernels": earlier}, "sittings": [{"kills": 5}]}
    (tmp_path / "kills.json").write_text(json.dumps(before))
    assert table.main(["kills", "--count", "1", "--work", "cache", "--seed", "1"]) == 0
    content = json.loads((tmp_path / "kills.json").read_text())
    first, second = content["sittings"]
    assert first == {"kills": 5} and second["kills"] >= 1 and second["machine"]["packages"]["numba"]
    assert content["kills"] == 5 + second["kills"] and content["kills_by_kind"] == {"cache": content["kills"]}
    entry = content["victims"]["compiled kernels"]
    assert entry["kills"] == content["kills"] and entry["lives"] == 4 + second["lives"]
    assert entry["steps"] > 5 and len(entry["steps_hit"]) <= 2, "steps of other code are not counted as hit"
    assert table.main(["nothing"]) == 2 and "kills" in capsys.readouterr().err
