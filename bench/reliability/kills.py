"""``python -m bench.reliability kills``: SIGKILL in the middle of all work that writes files.

A life of a piece of work: it begins in a fresh folder and is killed, at a chosen step (see `steps`) or after a random
delay; what is left is looked at; it is called again and perhaps killed again; and so on until it ends, and what it has
left is compared with an uninterrupted run. The steps that no kill has hit yet come first, so a long enough run hits
every one. The record says which, and is extended by each run of this command.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import record
from .children import Ended, in_child
from .steps import Step, killing, recording, watching
from .victims import Victim

__all__ = ["main"]

GOAL = 300
KINDS = ("training", "saving", "preparing", "downloading", "cache", "records", "reports")
_MOST_KILLS = 6  # of one life
_SAY_EVERY = 60.0


class Course:
    """The lives of one victim: which kill comes next, and what has been seen."""

    def __init__(self, victim: Victim, folder: Path, rng: random.Random, before: dict[str, Any]) -> None:
        self.victim, self.folder, self.rng = victim, folder, rng
        self.steps, self.seconds = self._uninterrupted()
        kinds = dict(sorted(collections.Counter(step.kind for step in self.steps).items()))
        same = before.get("steps") == len(self.steps) and before.get("step_kinds") == kinds
        self.hit: set[int] = set(before.get("steps_hit", ())) if same else set()
        self.seen = collections.Counter({key: before.get(key, 0) for key in ("at_steps", "after_delays", "lives")})
        self.fresh = collections.Counter()  # of this sitting
        self.kinds = kinds
        self.findings: list[dict[str, Any]] = []

    def _uninterrupted(self) -> tuple[list[Step], float]:
        """Two whole runs: one in this process, which loads what all children then have; one whose steps are counted."""
        for number in range(2):
            place = self._place(f"whole{number}")
            self.victim.begin(place)
            if number == 0 and self.victim.warm:
                self.victim.work(place)
                continue

            def counted(place: Path = place) -> Any:
                steps: list[Step] = []
                with watching(place, recording(steps)):
                    result = self.victim.work(place)
                return [result, [[step.number, step.kind, step.name] for step in steps]]

            ended = in_child(counted)
            if ended.error or ended.killed:
                raise RuntimeError(f"{self.victim.name}: the uninterrupted run failed: {ended.error}")
            self.victim.expect(place, ended.value[0])
        return [Step(*step) for step in ended.value[1]], ended.seconds

    def _place(self, name: str) -> Path:
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def life(self) -> None:
        """One life, with one kill or more."""
        place = self._place("life")
        self.victim.begin(place)
        story: list[str] = []
        while True:
            at = self._next_step(len(story))
            delay = self.rng.uniform(0.0, 1.1 * self.seconds) if at is None and len(story) < _MOST_KILLS else None
            if story and self.rng.random() < 0.5:
                at = delay = None  # let it live
            ended = self._work(place, at, delay)
            if not ended.killed:
                break
            story.append(f"step {at}: {self._shown(at)}" if at is not None else f"after {delay:.3f} s")
            self.seen["at_steps" if at is not None else "after_delays"] += 1
            self.fresh["kills"] += 1
            if at is not None and len(story) == 1:
                self.hit.add(at)
            if not self._holds(in_child(lambda: self.victim.look(place)), story, "what is left"):
                return
        if self._holds(ended, story, "the next call"):
            self._holds(in_child(lambda: self.victim.done(place, ended.value)), story, "the end")
        self.seen["lives"] += 1

    def _work(self, place: Path, at: int | None, delay: float | None) -> Ended:
        def work() -> Any:
            if at is None:
                return self.victim.work(place)
            with watching(place, killing(at)):
                return self.victim.work(place)

        return in_child(work, delay=delay)

    def _next_step(self, kills: int) -> int | None:
        """A step that no first kill has hit; when all are hit, or at later kills, any step or (None) a delay."""
        missing = [step.number for step in self.steps if step.number not in self.hit]
        if kills == 0 and missing and self.rng.random() < 0.75:
            return self.rng.choice(missing)
        if kills >= _MOST_KILLS or self.rng.random() < 0.5:
            return None
        return self.rng.randint(1, len(self.steps))

    def _shown(self, at: int) -> str:
        step = self.steps[at - 1] if at <= len(self.steps) else None
        return f"{step.kind} {step.name}".strip() if step else "?"

    def _holds(self, ended: Ended, story: list[str], when: str) -> bool:
        if ended.error is None and not ended.killed:
            return True
        self.findings.append({
            "victim": self.victim.name, "kills": story[:], "when": when, "found": ended.error or "died",
        })  # fmt: skip
        return False

    def entry(self) -> dict[str, Any]:
        """For the record."""
        return {
            "kind": self.victim.kind, "kills": self.seen["at_steps"] + self.seen["after_delays"], **self.seen,
            "steps": len(self.steps), "step_kinds": self.kinds, "steps_hit": sorted(self.hit),
            "seconds_uninterrupted": round(self.seconds, 3),
        }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reliability kills", description=__doc__)
    parser.add_argument("--count", type=int, default=GOAL, metavar="N", help="kills of this sitting (default: 300)")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="most of its time (default: 30)")
    parser.add_argument("--work", choices=KINDS, action="append", help="only such work (default: all)")
    parser.add_argument("--seed", type=int, default=None, help="of delays and choices (default: from the clock)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the work writes (default: a temporary one)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="dqnumba-kills-") as folder:
        return _run(args, Path(folder))


def _run(args: argparse.Namespace, folder: Path) -> int:
    started, rng = time.monotonic(), random.Random(args.seed)
    before = record.read("kills")
    courses = [Course(victim, folder / str(number), rng, before.get("victims", {}).get(victim.name, {}))
               for number, victim in enumerate(_victims(args.work or KINDS, folder))]  # fmt: skip
    _say(f"{len(courses)} kinds of work, {sum(len(c.steps) for c in courses)} steps, after "
         f"{time.monotonic() - started:.0f} s")  # fmt: skip
    said = time.monotonic()
    try:
        for course in itertools.cycle(courses):
            course.life()
            kills = sum(c.fresh["kills"] for c in courses)
            if kills >= args.count or time.monotonic() - started > 60 * args.minutes:
                break
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                _say(f"{kills} kills, {sum(len(c.findings) for c in courses)} findings")
    except KeyboardInterrupt:
        _say("interrupted; what was found is recorded")
    kills = sum(c.fresh["kills"] for c in courses)
    findings = [finding for course in courses for finding in course.findings]
    content = _content(before, courses)
    sitting = {
        "kills": kills, "lives": sum(c.seen["lives"] for c in courses) - sum(
            before.get("victims", {}).get(c.victim.name, {}).get("lives", 0) for c in courses),
        "seconds": round(time.monotonic() - started, 1), "seed": args.seed, "findings": findings,
        "work": sorted({course.victim.kind for course in courses}),
    }  # fmt: skip
    record.extend("kills", content, sitting)
    for finding in findings:
        _say(f"FOUND {finding}")
    _say(f"{kills} kills, {len(findings)} findings; {content['kills']} kills in all sittings")
    return 1 if findings else 0


def _content(before: dict[str, Any], courses: list[Course]) -> dict[str, Any]:
    victims = before.get("victims", {}) | {course.victim.name: course.entry() for course in courses}
    kinds: dict[str, int] = collections.Counter()
    for entry in victims.values():
        kinds[entry["kind"]] += entry["kills"]
    return {
        "command": "python -m bench.reliability kills", "goal": GOAL, "kills": sum(kinds.values()),
        "kills_by_kind": dict(sorted(kinds.items())), "lives": sum(entry["lives"] for entry in victims.values()),
        "steps": sum(entry["steps"] for entry in victims.values()),
        "steps_hit": sum(len(entry["steps_hit"]) for entry in victims.values()), "victims": victims,
    }  # fmt: skip


def _victims(kinds: Any, folder: Path) -> list[Victim]:
    from dqnumba.kernels._twin import Twin

    Twin._launched_in = -1  # as in a forked child: no threads are started here, so that forking is safe
    from . import victims_files, victims_training

    shared = folder / "shared"
    shared.mkdir()
    # The downloads first: their server is a fork, which should be small.
    classes = sorted((*victims_files.VICTIMS, *victims_training.VICTIMS), key=lambda c: c.kind != "downloading")
    return [made(shared) for made in classes if made.kind in kinds]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
