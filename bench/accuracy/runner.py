"""Runs: each from where it stands, its record written when it ends, until all are there or the time is up."""

from __future__ import annotations

import contextlib
import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dqnumba.errors import DQError
from dqnumba.files import whole_file
from dqnumba.train.build import quant_config
from dqnumba.train.checkpoint import Checkpoint, read_checkpoint, train_file_of
from dqnumba.train.evaluate import is_dataset
from dqnumba.train.experiment import run_experiment
from dqnumba.train.settings import RunSettings
from dqnumba.train.source import load_source

from .. import machine
from . import estimate, records
from .cells import Run

__all__ = ["OutOfTime", "Runner", "State", "state_of"]

#: Seconds between two looks at the clock for the line of progress.
SHOW_EVERY = 20.0


class OutOfTime(Exception):
    """The budget is used up; the run goes on from here another time."""


@dataclass
class State:
    """What there is of a run: ``done``, ``stale`` (done, with other numbers than now), ``begun`` or ``missing``."""

    kind: str
    changed: list[str] = field(default_factory=list)


def configured(run: Run, data: Any = None) -> dict[str, Any]:
    """The configuration that the run has now."""
    settings = run.settings()
    recipe = settings.recipe(many_graphs=data is not None and is_dataset(data))
    return records.configuration(settings, recipe, quant_config(settings, recipe))


def state_of(run: Run, folder: Path, work: Path) -> State:
    """How far a run is, by its record and its train file."""
    path = records.record_path(folder, run)
    if path.exists():
        changed = records.differences(records.load(path), configured(run))
        return State("stale", changed) if changed else State("done")
    return State("begun" if train_file_of(_work_file(work, run)).exists() else "missing")


class Runner:
    """Runs what is missing.

    Parameters
    ----------
    folder : path
        Of results; records go to ``records/`` in it.
    work : path
        Train files of runs that have not ended, and the locks by which two processes share a plan.
    threads : int
    deadline : float or None
        ``time.monotonic()`` at which to stop.
    progress : callable
        Takes one line of text.
    """

    def __init__(
        self, folder: Path, work: Path, *, threads: int, deadline: float | None = None,
        progress: Callable[[str], None] | None = None, save_every: float = 60.0,
    ) -> None:  # fmt: skip
        self.folder, self.work, self.threads, self.deadline = folder, work, threads, deadline
        self.say = progress or (lambda text: print(text, file=sys.stderr, flush=True))
        self.save_every = save_every
        self._data: tuple[str, Any] | None = None

    def run_all(self, runs: Sequence[Run]) -> int:
        """Run what is missing or stale; returns how many of ``runs`` are still not done."""
        costs = estimate.Costs.load(self.folder)
        left = [run for run in runs if not self._done(run)]
        self._clear_done(set(runs) - set(left))
        stale = {run for run in left if records.record_path(self.folder, run).exists()}
        self.say(f"{len(runs) - len(left)} of {len(runs)} runs are there; {costs.remaining(left)}")
        failed = 0
        while left:
            busy = []
            for run in left:
                if self.deadline is not None and time.monotonic() >= self.deadline:
                    self.say("The budget is used up; the same command goes on.")
                    return len(left)
                with self._claim(run) as mine:
                    if not mine:
                        busy.append(run)
                        continue
                    if self._done(run):  # by another process, meanwhile
                        continue
                    try:
                        record = self.run(run)
                    except OutOfTime:
                        self.say(f"{run}: stopped in time; the same command goes on.")
                        return len(left)
                    except DQError as error:
                        self.say(f"{run}: FAILED: {error}")
                        failed += 1
                        continue
                costs.add(record)
                stale.discard(run)
                rest = [  # what another process has done meanwhile is there too
                    other for other in left[left.index(run) + 1 :]
                    if other in stale or not records.record_path(self.folder, other).exists()
                ]  # fmt: skip
                self.say(f"{run}: {records.score(record):.4f}, {record['seconds']:.0f} s. {costs.remaining(rest)}")
            if len(busy) == len(left) or not busy:
                return failed + len(busy)  # what is left is in other hands, or has failed
            left = busy
        return failed

    def _clear_done(self, done: Iterable[Run]) -> None:
        """Remove what a process that was killed right after it wrote a record has left."""
        for run in done:
            if any(path.exists() for path in _files(_work_file(self.work, run))):
                with self._claim(run) as mine:
                    if mine:
                        _clear(_work_file(self.work, run))

    def run(self, run: Run) -> dict[str, Any]:
        """Run one, from its train file if there is one, and write its record."""
        out = _work_file(self.work, run)
        out.parent.mkdir(parents=True, exist_ok=True)
        data, settings = self.data_of(run), run.settings()
        wanted = configured(run, data)
        resume = self._unfinished(out, wanted)
        first = (resume.state.epoch if resume else 0) + 1
        parts = [*_read_parts(out, first), {"first_epoch": first, "commit": records.commit()} | self._machine()]
        with whole_file(_parts_file(out)) as stream:
            stream.write(json.dumps(parts).encode())
        clock = _Clock(run, wanted["recipe"]["train"]["epochs"], self.deadline, self.say)
        started = time.perf_counter()
        result = run_experiment(settings, data=data, out=out, resume=resume, save_every=self.save_every, callback=clock)
        parts[-1] |= self._machine()  # the threading layer is known once a kernel has run
        seconds = result.fit.state.seconds
        scoring = time.perf_counter() - started - sum(seconds[first - 1 :])
        for part, following in zip(parts, [*parts[1:], {"first_epoch": len(seconds) + 1}], strict=True):
            part["last_epoch"] = following["first_epoch"] - 1
            part["seconds"] = round(sum(seconds[part["first_epoch"] - 1 : part["last_epoch"]]), 2)
        record = records.make(run, result, wanted, parts, sum(seconds) + scoring)
        records.save(records.record_path(self.folder, run), record)
        _clear(out)
        return record

    def data_of(self, run: Run) -> Any:
        """The data set of a run; the last one is kept."""
        name = run.cell.dataset
        if self._data is None or self._data[0] != name:
            self._data = name, load_source(run.settings().source, default_fold=None, progress=self._building).data
        return self._data[1]

    def _building(self, items: Iterable, desc: str = "", total: int = 0) -> Iterator:
        for number, item in enumerate(items):
            if number % 10 == 0:
                self.say(f"{desc}: {number} of {total}")
            yield item

    def _done(self, run: Run) -> bool:
        return state_of(run, self.folder, self.work).kind == "done"

    def _machine(self) -> dict[str, Any]:
        return machine.describe(self.threads)

    def _unfinished(self, out: Path, wanted: dict[str, Any]) -> Checkpoint | None:
        """The train file of a run, if it is whole and of the same numbers; another one is put away."""
        path = train_file_of(out)
        if not path.exists():
            return None
        try:
            found = read_checkpoint(path)
            fits = _with_defaults({name: getattr(found, name) for name in wanted}) == json.loads(json.dumps(wanted))
        except DQError:
            fits = False
        if fits:
            return found
        self.say(f"{path.name}: damaged, or of other numbers; this run begins anew")
        path.unlink()
        _parts_file(out).unlink(missing_ok=True)
        return None

    @contextlib.contextmanager
    def _claim(self, run: Run) -> Iterator[bool]:
        """Hold the lock of a run while it runs: false where another process has it. It goes with the process."""
        path = _work_file(self.work, run).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True


class _Clock:
    """Told of every epoch: a line now and then, and the end of the budget."""

    def __init__(self, run: Run, epochs: int, deadline: float | None, say: Callable[[str], None]) -> None:
        self.run, self.epochs, self.deadline, self.say = run, epochs, deadline, say
        self.started = self.shown = time.monotonic()
        self.first: int | None = None

    def __call__(self, end: Any) -> None:
        now = time.monotonic()
        self.first = end.epoch - 1 if self.first is None else self.first
        if now - self.shown >= SHOW_EVERY:
            self.shown = now
            pace = (now - self.started) / (end.epoch - self.first)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in end.entry.items() if key not in ("epoch", "lr"))
            self.say(
                f"  {self.run}: epoch {end.epoch} of {self.epochs}, {shown}; {pace:.2f} s an epoch, "
                f"at most {estimate.duration(pace * (self.epochs - end.epoch))} more"
            )
        if self.deadline is not None and now >= self.deadline and end.epoch < self.epochs:
            raise OutOfTime


def _with_defaults(then: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the options that have come since, at the defaults that stand for how things were."""
    quant = then["quant_config"]
    return json.loads(json.dumps(then | {
        "settings": RunSettings.from_dict(then["settings"]).to_dict(),
        "quant_config": None if quant is None else records.filled_in(quant),
    }))  # fmt: skip


def _work_file(work: Path, run: Run) -> Path:
    return work / f"{run.name}.safetensors"


def _parts_file(out: Path) -> Path:
    return out.with_suffix(".parts.json")


def _files(out: Path) -> tuple[Path, ...]:
    return out, train_file_of(out), _parts_file(out)


def _clear(out: Path) -> None:
    for path in _files(out):
        path.unlink(missing_ok=True)


def _read_parts(out: Path, first: int) -> list[dict[str, Any]]:
    """Earlier sittings of a run that goes on at epoch ``first``; of those that came to nothing, none."""
    try:
        parts = json.loads(_parts_file(out).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [part for part in parts if part["first_epoch"] < first]
