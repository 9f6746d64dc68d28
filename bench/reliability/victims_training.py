"""Victims that train: a run into an empty folder, a run over the files of an earlier one, a record of the accuracy
harness."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from dqnumba.infer import load
from dqnumba.train.checkpoint import read_checkpoint, train_file_of
from dqnumba.train.experiment import run_experiment

from ..accuracy import records, runner
from ..accuracy.cells import Run, parse_cell
from .victims import Victim, command, digest, graph_file, listing

__all__ = ["VICTIMS"]

_NAMES = ["m.safetensors", "m.train.safetensors"]


class _Training(Victim):
    """``dqnumba train --out``, then ``train --resume`` until it is done; a checkpoint after every epoch."""

    kind = "training"
    options: tuple[Any, ...] = ()
    epochs = 5
    over = False

    def __init__(self, shared: Path) -> None:
        self.data = self._data(shared)
        self.old: dict[str, str] = {}
        if self.over:
            self.earlier = shared / f"{self.name}-earlier"
            self.earlier.mkdir()
            self._train(self.earlier, "--seed", 7)
            self.old = {name: digest(self.earlier / name) for name in _NAMES}

    def _data(self, shared: Path) -> tuple[Any, ...]:
        return ("--graph", graph_file(shared), "--hidden", 8)

    def _train(self, place: Path, *more: Any) -> dict[str, Any]:
        run_experiment.__kwdefaults__["save_every"] = 0.0
        out = place / _NAMES[0]
        return command("train", "--out", out, *more) if "--resume" in more else command(
            "train", *self.data, *self.options, "--epochs", self.epochs, "--out", out, *more)  # fmt: skip

    def begin(self, place: Path) -> None:
        for name in self.old:
            os.link(self.earlier / name, place / name)

    def work(self, place: Path) -> Any:
        path = place / _NAMES[1]
        begun = path.is_file() and digest(path) != self.old.get(_NAMES[1])
        return self._train(place, "--resume") if begun else self._train(place)

    def look(self, place: Path) -> None:
        left = listing(place, unfinished=True)
        assert set(left) <= set(_NAMES), f"left behind: {left}"
        if _NAMES[0] in left:
            load(place / _NAMES[0])
            assert digest(place / _NAMES[0]) in {self.wanted["model"], self.old.get(_NAMES[0])}, "another model"
        if _NAMES[1] in left:
            checkpoint = read_checkpoint(place / _NAMES[1])
            assert 1 <= checkpoint.state.epoch <= self.epochs

    def expect(self, place: Path, result: Any) -> None:
        self.wanted = self._found(place, result)

    def done(self, place: Path, result: Any) -> None:
        found = self._found(place, result)
        for key, value in self.wanted.items():
            assert found[key] == value, f"{key} differs from that of an uninterrupted run: {found[key]} not {value}"

    def _found(self, place: Path, result: Any) -> dict[str, Any]:
        has_model = (place / _NAMES[0]).exists()
        return {
            "files": listing(place),
            "printed": {key: value for key, value in result.items() if not key.endswith("seconds")},
            "model": digest(place / _NAMES[0]) if has_model else None,
            "train file": _without_times(train_file_of(place / _NAMES[0])),
        }


def _without_times(path: Path) -> str:
    """SHA-256 of all tensors and the text of a train file, but for its seconds, which no two runs share."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    text = json.loads(header.pop("__metadata__")["dqnumba"])
    text["state"].pop("seconds")
    if text["record"] is not None:
        text["record"].pop("epoch_seconds")
    body = content[8 + size :]
    tensors = {name: body[slice(*entry.pop("data_offsets"))].hex() for name, entry in header.items()}
    return hashlib.sha256(json.dumps([text, header, tensors], sort_keys=True).encode()).hexdigest()


class Plain(_Training):
    """Degree-Quant at 8 bits, into an empty folder."""

    name = "GCN, dq, 8 bits"


class Over(_Training):
    """QAT at 4 bits, over the files of an earlier run."""

    name = "GIN, qat, 4 bits, over an earlier run"
    options = ("--model", "gin", "--method", "qat", "--bits", 4)
    over = True


class Calibrated(_Training):
    """Float training, calibration, conversion."""

    name = "SAGE, ptq, 8 bits"
    options = ("--model", "sage", "--method", "ptq")
    epochs = 3


class Float(_Training):
    """No model file, only a train file."""

    name = "GAT, fp32"
    options = ("--model", "gat", "--method", "fp32")
    epochs = 3


class Cora(_Training):
    """Real data, where ``DQNUMBA_DATA`` has them."""

    name = "GCN, dq, 4 bits, Cora"
    options = ("--bits", 4)
    epochs = 3

    def _data(self, shared: Path) -> tuple[Any, ...]:
        return ("--dataset", "cora")


class Record(Victim):
    """A run of the accuracy harness, from nothing to its record."""

    kind = "records"
    name = "accuracy harness"
    run = Run(parse_cell("synthetic/gcn/dq/4@3"), seed=1)

    def work(self, place: Path) -> Any:
        made = runner.Runner(place, place / "unfinished", threads=1, progress=lambda _: None, save_every=0.0)
        assert made.run_all([self.run]) == 0, "the run is not done"
        return None

    def look(self, place: Path) -> None:
        path = records.record_path(place, self.run)
        if path.exists():
            assert self._plain(path) == self.wanted
        train_file = train_file_of(place / "unfinished" / f"{self.run.name}.safetensors")
        if train_file.exists():
            read_checkpoint(train_file)

    def expect(self, place: Path, result: Any) -> None:
        self.wanted = self._plain(records.record_path(place, self.run))

    def done(self, place: Path, result: Any) -> None:
        path = records.record_path(place, self.run)
        assert self._plain(path) == self.wanted, "the record differs from that of an uninterrupted run"
        parts = records.load(path)["parts"]
        first = [part["first_epoch"] for part in parts]
        last = [part["last_epoch"] for part in parts]
        assert (first[0], last[-1]) == (1, 3) and first[1:] == [end + 1 for end in last[:-1]], f"parts {first}, {last}"
        left = [name for name in listing(place) if not name.endswith(".lock")]
        assert left == [str(path.relative_to(place))], f"left behind: {left}"

    def _plain(self, path: Path) -> dict[str, Any]:
        record = records.load(path)
        return {key: value for key, value in record.items() if key not in ("seconds", "epoch_seconds", "parts")}


VICTIMS = [Plain, Over, Calibrated, Float, *([Cora] if os.environ.get("DQNUMBA_DATA") else []), Record]
