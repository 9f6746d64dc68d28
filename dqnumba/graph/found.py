"""What was read from a path: the data, and what can be said about where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

if TYPE_CHECKING:
    from .dataset import GraphDataset
    from .graph import Graph

__all__ = ["GraphFile", "choose_split"]


@dataclass(frozen=True)
class GraphFile:
    """A graph, or a data set of graphs, with what its file says beside it.

    Attributes
    ----------
    data : Graph or GraphDataset
    format : str
        What the path was recognised as, in words.
    notes : tuple of str
        What was done that is not in the file word for word, or left out of it.
    node_ids : (N,) array or None
        Names of the nodes in the file, where they are not their numbers.
    classes : tuple of str or None
        Names of the classes, where they are not their numbers.
    labelled : bool (N,) or None
        Nodes that have a label; None if all have one (or none has). The others hold class 0.
    num_splits : int
        Number of splits that the file holds; 0 without any.
    split : int or None
        The one that ``data`` has.
    """

    data: Graph | GraphDataset
    format: str
    notes: tuple[str, ...] = ()
    node_ids: NDArray | None = None
    classes: tuple[str, ...] | None = None
    labelled: NDArray[np.bool_] | None = None
    num_splits: int = 0
    split: int | None = None

    def describe(self) -> str:
        """One line about the data and their origin."""
        return "; ".join([f"{self.format}: {self.data!r}", *self.notes])


def choose_split(split: int | None, count: int, name: str) -> int:
    """The number of the split to take, of ``count``: 0 unless told.

    Raises
    ------
    ConfigError
        There is no such split.
    """
    chosen = 0 if split is None else split
    if not 0 <= chosen < count:
        raise ConfigError(f"split (--fold) is {chosen}, but {name} holds {count} splits; choose one of 0..{count - 1}")
    return chosen
