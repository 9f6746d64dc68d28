"""Labels as people write them, words or numbers, as the numbers that a graph keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError

__all__ = ["number_labels", "number_words"]

_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(\.0*)?")  # pandas writes 1.0 where another row of the column is empty


def number_words(words: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number words in their sorted order: int64 (N,), and the words, that of class ``k`` at place ``k``."""
    classes, numbers = np.unique(np.asarray(words, dtype=str), return_inverse=True)
    return numbers.astype(np.int64), tuple(classes.tolist())


def number_labels(texts: Sequence[str]) -> tuple[NDArray, tuple[str, ...] | None]:
    """Make labels of the texts of a table.

    Parameters
    ----------
    texts : sequence of str
        None empty.

    Returns
    -------
    y : int64 or float32 (N,)
        Whole numbers stay as they are (1.0 is one); other numbers mean regression; anything else is a word, and the
        words are numbered in sorted order.
    classes : tuple of str, or None
        The words, in the order of their numbers.

    Raises
    ------
    GraphError
        A negative class, or one so high that it can only be another kind of number (a year, an id).
    """
    whole = [_WHOLE.fullmatch(text) for text in texts]
    if all(whole):
        y = np.array([int(match[1]) for match in whole], dtype=np.int64)
        wrong = y[(y < 0) | (y >= max(1000, len(y)))]
        if len(wrong):
            raise GraphError(
                f"the label {wrong[0]} is no class of {len(y)} items; number the classes 0, 1, 2, ... or write words, "
                "and leave the label of an unlabelled item empty"
            )
        return y, None
    try:
        y = np.array([float(text) for text in texts], dtype=np.float64)
    except ValueError:
        return number_words(texts)
    return y.astype(np.float32), None
