"""The training loop: one function, ``fit``, for node and graph tasks, float and fake-quantized models."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import reuse_memory
from ..errors import ConfigError
from ..nn.options import whole_number
from .evaluate import check_task
from .optimizer import Adam
from .schedule import Constant, Schedule
from .state import FitResult, Selection, TrainingState
from .task import make_task

__all__ = ["EpochEnd", "fit"]

Progress = Callable[[Iterable, str, int], Iterable]


@dataclass(frozen=True)
class EpochEnd:
    """What a callback is given after every epoch. ``capture()`` copies the whole state and costs as much."""

    epoch: int
    entry: Mapping[str, Any]
    capture: Callable[[], TrainingState]


def fit(
    model: Any,
    data: Any,
    *,
    epochs: int = 200,
    lr: float = 0.01,
    weight_decay: float = 0.0,
    batch_size: int = 128,
    schedule: Schedule | None = None,
    patience: int | None = None,
    seed: int = 0,
    splits: Mapping[str, np.ndarray] | None = None,
    selected_by: str | None = None,
    progress: Progress | None = None,
    callback: Callable[[EpochEnd], None] | None = None,
    state: TrainingState | None = None,
) -> FitResult:
    """Train with Adam and load the epoch that was best on validation back into the model.

    The test split is never looked at. Dropout, degree masks and the order of the batches draw from one generator made
    from ``seed``, so one seed gives one result, and a run that is stopped and resumed gives it too.

    Parameters
    ----------
    model : nn.Module or qat.QuantizedModel
        Changed in place.
    data : Graph or GraphDataset
        A graph is one full batch and uses its masks; a data set goes by shuffled mini-batches and uses its splits.
    epochs : int
        Total number, epochs of a resumed ``state`` included.
    lr, weight_decay : float
        See :class:`~dqnumba.train.optimizer.Adam`.
    batch_size : int
        Graphs in a mini-batch.
    schedule : Schedule, optional
        Changes the rate between epochs; constant without it.
    patience : int, optional
        Stop when so many epochs brought no new best one.
    seed : int
        Of everything random here.
    splits : dict of index arrays or boolean masks, optional
        ``train``, ``val``; in place of the masks or splits of ``data`` (a fold, for example).
    selected_by : {"val_accuracy", "val_mae", "val_loss"}, optional
        Which epoch is best; the task's metric without it.
    progress : callable, optional
        ``progress(iterable, desc, total)`` gives back an iterable, as ``tqdm`` does.
    callback : callable, optional
        Called with an :class:`EpochEnd` after every epoch; an exception from it ends the run.
    state : TrainingState, optional
        Continue from there; all other arguments must be those of the first part.

    Returns
    -------
    FitResult

    Raises
    ------
    ConfigError
        An option out of range, no split to train on, a model that has nothing to train, or a loss that is no longer
        finite.
    GraphError
        Data without labels, or that do not fit the model.
    """
    if not hasattr(model, "parameters"):
        raise ConfigError(f"fit trains a float model or the result of dqnumba.prepare, not {type(model).__name__}.")
    whole_number("fit", "seed", seed, 0)
    if int(epochs) != epochs or epochs < 0:
        raise ConfigError(f"epochs is {epochs}; it must be a whole number, zero or more.")
    if patience is not None and patience < 1:
        raise ConfigError(f"patience is {patience}; give at least 1 epoch, or leave it out to train to the end.")
    task = make_task(data, splits, batch_size=batch_size)
    check_task(model, data)
    parameters = model.parameters()
    # Weight decay would pull a learned range towards the observed one, which has no claim to be right.
    ranges = [name for name in parameters if name.startswith("quantizer.")]
    run = _Run(
        model=model,
        optimizer=Adam(parameters, lr=lr, weight_decay=weight_decay, undecayed=ranges),
        schedule=schedule or Constant(),
        selection=Selection.for_task(selected_by, task.kind, task.has_validation),
        rng=np.random.default_rng(seed),
    )
    run.schedule.start(lr)
    run.best_model = _copy(model.state_dict())
    if hasattr(model, "plan_passes"):
        model.plan_passes(int(epochs) * task.passes_per_epoch)
    if state is not None:
        run.restore(state)

    rounds: Iterable[int] = range(run.epoch + 1, epochs + 1)
    if progress is not None:
        rounds = progress(rounds, "epochs", len(rounds))
    with reuse_memory():
        for epoch in rounds:
            if run.schedule.done or (patience is not None and epoch > run.selection.epoch + patience):
                break
            entry = run.train_epoch(task)
            if callback is not None:
                callback(EpochEnd(epoch, entry, run.capture))

    final = run.capture()
    model.load_state_dict(run.best_model)
    return FitResult(
        history=final.history,
        selected_by=run.selection.rule,
        best_epoch=final.best_epoch,
        best_value=final.best_value,
        best_state=final.best_model,
        epoch_seconds=float(np.median(run.seconds)) if run.seconds else None,
        state=final,
    )


class _Run:
    """The moving parts of one run."""

    def __init__(
        self, *, model: Any, optimizer: Adam, schedule: Schedule, selection: Selection, rng: np.random.Generator
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.selection, self.rng = selection, rng
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.seconds: list[float] = []
        self.best_model: dict[str, np.ndarray] = {}

    def train_epoch(self, task: Any) -> dict[str, Any]:
        started = time.perf_counter()
        epoch = self.epoch + 1
        self.optimizer.lr = self.schedule.lr
        entry: dict[str, Any] = {"epoch": epoch, "lr": self.schedule.lr}
        total, items = 0.0, 0
        for loss, count in task.losses(self.model, self.rng):
            value = float(loss.item())
            if not math.isfinite(value):
                raise ConfigError(f"The training loss became {value} in epoch {epoch}; use a lower lr (--lr).")
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total, items = total + value * count, items + count
        entry["loss"] = total / items
        if task.has_validation:
            entry |= {f"val_{key}": value for key, value in task.validate(self.model).items()}
        self.epoch = epoch
        self.schedule.after_epoch(epoch, entry.get("val_loss"))
        if self.selection.offer(epoch, entry):
            self.best_model = _copy(self.model.state_dict())
        self.history.append(entry)
        self.seconds.append(time.perf_counter() - started)
        return entry

    def capture(self) -> TrainingState:
        return TrainingState(
            epoch=self.epoch,
            model=_copy(self.model.state_dict()),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            rng=self.rng.bit_generator.state,
            history=[dict(entry) for entry in self.history],
            seconds=list(self.seconds),
            best_epoch=self.selection.epoch,
            best_value=self.selection.value,
            best_rank=self.selection.rank,
            best_model=_copy(self.best_model),
        )

    def restore(self, state: TrainingState) -> None:
        self.epoch = state.epoch
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.schedule.load_state_dict(state.schedule)
        self.rng.bit_generator.state = state.rng
        self.history = [dict(entry) for entry in state.history]
        self.seconds = list(state.seconds)
        self.selection.epoch = state.best_epoch
        self.selection.value = state.best_value
        self.selection.rank = state.best_rank
        self.best_model = _copy(state.best_model)


def _copy(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    # a state_dict may hand out the live arrays, which the optimizer changes in place
    return {name: np.array(array) for name, array in state.items()}
