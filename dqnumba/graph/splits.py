"""Random splits and stratified folds, without scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, GraphError

__all__ = ["planetoid_split", "random_split", "split_masks", "stratified_folds"]

_PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def random_split(
    y: ArrayLike | int,
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    stratified: bool = True,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Split items into training, validation and test at random.

    Parameters
    ----------
    y : (N,) labels, or the number of items N
        Float labels (regression) and a number are never stratified.
    fractions : three floats
        Shares of training, validation, test; each 0 or more, together at most 1.
    seed : int
    stratified : bool
        Split every class by itself, so that each part has the shares of the whole (to one item a class).

    Returns
    -------
    train, val, test : bool (N,)
        Disjoint; they cover everything if the fractions sum to 1.

    Raises
    ------
    ConfigError
        Fractions that are no shares, or a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be a whole number, at least 0")
    if len(fractions) != 3 or min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
        raise ConfigError(f"fractions are {fractions}; give three shares of 0 or more that sum to at most 1")
    rng = np.random.default_rng(seed)
    labels = np.zeros(int(y), dtype=np.int64) if np.ndim(y) == 0 else np.asarray(y)
    if not stratified or labels.dtype.kind == "f":
        labels = np.zeros(len(labels), dtype=np.int64)
    masks = tuple(np.zeros(len(labels), dtype=bool) for _ in range(3))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.rint(np.cumsum(fractions) * len(members)).astype(np.int64)
        for mask, part in zip(masks, np.split(members, cuts), strict=False):  # a fourth part is in no mask
            mask[part] = True
    return masks


def planetoid_split(
    y: ArrayLike, *, per_class: int = 20, num_val: int = 500, num_test: int = 1000, seed: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Split the way of the Planetoid papers: few labels, as many of each class, and fixed counts for the rest.

    Parameters
    ----------
    y : int (N,)
    per_class : int
        Training items of each class.
    num_val, num_test : int
        Drawn from the items that are left, without regard to their class.
    seed : int

    Returns
    -------
    train, val, test : bool (N,)
        Disjoint.

    Raises
    ------
    ConfigError
        Labels that are no classes, or too few items.

    References
    ----------
    Yang, Cohen, Salakhutdinov: Revisiting Semi-Supervised Learning with Graph Embeddings, ICML 2016.
    """
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "iub" or not labels.size:
        raise ConfigError(f"a Planetoid split needs a class an item, given dtype {labels.dtype}, shape {labels.shape}")
    if seed < 0 or per_class < 1 or min(num_val, num_test) < 0:
        raise ConfigError(
            f"seed is {seed}, per_class {per_class}, num_val {num_val}, num_test {num_test}; each must be 0 or more, "
            "per_class 1 or more"
        )
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < per_class:
        raise ConfigError(
            f"class {classes[counts.argmin()]} has {counts.min()} items, too few for {per_class} a class; take a "
            "random split (--split random)"
        )
    needed = per_class * len(classes) + num_val + num_test
    if needed > len(labels):
        raise ConfigError(
            f"a Planetoid split needs {needed} items ({per_class} a class, {num_val} and {num_test}), and there are "
            f"{len(labels)}; take a random split (--split random)"
        )
    rng = np.random.default_rng(seed)
    train = np.zeros(len(labels), dtype=bool)
    for label in classes:
        train[rng.permutation(np.flatnonzero(labels == label))[:per_class]] = True
    rest = rng.permutation(np.flatnonzero(~train))
    val, test = np.zeros_like(train), np.zeros_like(train)
    val[rest[:num_val]] = True
    test[rest[num_val : num_val + num_test]] = True
    return train, val, test


def split_masks(parts: Sequence[object], what: str) -> dict[str, NDArray[np.bool_]]:
    """Make masks of the name of a part for each item: ``train``, ``val``, ``test``, or nothing for none of them.

    Raises
    ------
    GraphError
        Another name; the message says at which item.
    """
    names = np.full(len(parts), "", dtype="U5")
    for k, part in enumerate(parts):
        text = "" if part is None else str(part).strip().lower()
        if text not in _PARTS and text not in ("", "none", "-"):
            raise GraphError(f"{what} holds {part!r} at item {k}; it must be train, val, test, or nothing")
        names[k] = _PARTS.get(text, "")
    return {f"{part}_mask": names == part for part in ("train", "val", "test")}


def stratified_folds(y: ArrayLike, *, n_splits: int = 10, seed: int = 12345) -> NDArray[np.int64]:
    """Return the test fold of each item, int64 (N,), equal to scikit-learn's shuffled ``StratifiedKFold``.

    The folds of ``StratifiedKFold(n_splits, shuffle=True, random_state=seed)``, which published
    cross-validation results of graph classification rest on. The rule, in our words:

    1. Number the classes in the order in which they first occur in ``y``.
    2. Sort the labels and deal them out to the folds like cards, one each in turn. This fixes how many items of a
       class a fold gets.
    3. For each class in that order: write down fold 0 as often as it gets items of this class, then fold 1, and so
       on; shuffle this list with ``RandomState(seed)``, one generator for all classes; give its entries to the items
       of the class in their order.

    Parameters
    ----------
    y : int (N,)
    n_splits : int
        2 or more, and at most the size of the largest class.
    seed : int
        Of ``numpy.random.RandomState``, whose stream is frozen for good.
    """
    labels = np.asarray(y)
    if labels.ndim != 1 or not labels.size or labels.dtype.kind == "f":
        raise ConfigError(f"folds need one integer label an item, given dtype {labels.dtype}, shape {labels.shape}")
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    if not 2 <= n_splits <= counts.max():
        raise ConfigError(f"n_splits is {n_splits}; it must be 2..{counts.max()}, the size of the largest class; "
                          "of so few items take a random split (--split random)")
    rank = np.argsort(np.argsort(first))  # step 1: rank of each class by its first occurrence
    codes = rank[inverse]
    dealt = np.sort(codes)
    random = np.random.RandomState(seed)
    folds = np.empty(len(labels), dtype=np.int64)
    for code in range(len(counts)):
        sizes = [int((dealt[k::n_splits] == code).sum()) for k in range(n_splits)]
        listed = np.repeat(np.arange(n_splits), sizes)
        random.shuffle(listed)
        folds[codes == code] = listed
    return folds
