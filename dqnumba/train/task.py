"""The two kinds of training: one graph with masks as one full batch, or many graphs in shuffled mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor, cross_entropy, gather_rows, l1_loss, no_grad
from ..errors import ConfigError
from .evaluate import is_dataset, predict, split_indices, targets, task_of
from .metrics import score

__all__ = ["GraphTask", "NodeTask", "make_task"]


def make_task(data: Any, splits: Mapping[str, np.ndarray] | None = None, *, batch_size: int = 128):
    """The task that ``data`` stands for.

    Raises
    ------
    ConfigError
        No split to train on, or an empty one, or ``batch_size`` below 1.
    GraphError
        No labels.
    """
    available = split_indices(data, splits)
    targets(data)
    if len(available.get("train", ())) == 0:
        raise ConfigError(
            "There is nothing to train on: the data has no train_mask, or it is empty. Use --split random on the "
            'command line, or pass splits={"train": indices, "val": indices}.'
        )
    if int(batch_size) != batch_size or batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be a whole number, at least 1.")
    return (GraphTask if is_dataset(data) else NodeTask)(data, available, batch_size)


def _loss(kind: str, outputs: Tensor, wanted: np.ndarray, index: np.ndarray | None) -> Tensor:
    if kind == "classification":
        return cross_entropy(outputs, wanted, index=index)
    if index is not None:
        outputs, wanted = gather_rows(outputs, index), wanted[index]
    return l1_loss(outputs.reshape(-1), wanted)


class NodeTask:
    """Nodes (or the graphs of one batch) of a single graph: one loss an epoch, over the rows of the training split."""

    passes_per_epoch = 1

    def __init__(self, data: Any, splits: Mapping[str, np.ndarray], batch_size: int) -> None:
        self.data, self.splits = data, splits
        self.kind = task_of(data)

    @property
    def has_validation(self) -> bool:
        return len(self.splits.get("val", ())) > 0

    def losses(self, model: Callable, rng: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        """The losses of one epoch, each with the number of items it is the mean of."""
        index = self.splits["train"]
        outputs = model(self.data, training=True, rng=rng)
        yield _loss(self.kind, outputs, self.data.y, index), len(index)

    def validate(self, model: Callable) -> dict[str, float]:
        """Loss and metric on the validation split, in evaluation mode."""
        index = self.splits["val"]
        return score(self.kind, predict(model, self.data, index), targets(self.data, index))


class GraphTask:
    """Graphs of a data set, shuffled afresh every epoch and cut into mini-batches."""

    def __init__(self, data: Any, splits: Mapping[str, np.ndarray], batch_size: int) -> None:
        self.data, self.splits, self.batch_size = data, splits, int(batch_size)
        self.kind = data.task
        self._validation: list | None = None

    @property
    def passes_per_epoch(self) -> int:
        """Mini-batches of an epoch; the last may be smaller."""
        return -(-len(self.splits["train"]) // self.batch_size)

    @property
    def has_validation(self) -> bool:
        return len(self.splits.get("val", ())) > 0

    def losses(self, model: Callable, rng: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        """The losses of one epoch, each with the number of items it is the mean of."""
        for batch in self.data.batches(self.splits["train"], self.batch_size, rng):
            outputs = model(batch, training=True, rng=rng)
            yield _loss(self.kind, outputs, batch.y, None), len(batch.y)

    def validate(self, model: Callable) -> dict[str, float]:
        """Loss and metric on the validation split, in evaluation mode."""
        if self._validation is None:  # the same batches every epoch: keep them, with the tables that they cache
            self._validation = list(self.data.batches(self.splits["val"], self.batch_size))
        with no_grad():
            outputs = np.concatenate([model(batch).data for batch in self._validation])
        return score(self.kind, outputs, targets(self.data, self.splits["val"]))
