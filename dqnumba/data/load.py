"""One door to all data sets: ``load(name)``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..graph import Graph, GraphDataset, random_split
from .registry import fetch, registry

__all__ = ["available", "load"]

Progress = Callable[..., Iterable[Any]]
OneGraph = Literal["synthetic", "cora", "citeseer", "pubmed"]
ManyGraphs = Literal["reddit_binary", "imdb_binary", "mutag", "ptc_mr", "zinc12k", "mnist", "cifar10"]


def available() -> list[str]:
    """Return the names that ``load`` takes."""
    return ["synthetic", *registry()]


@overload
def load(name: OneGraph, *, root: str | os.PathLike[str] | None = ..., split: str = ..., seed: int = ...,
         limit: int | None = ..., progress: Progress | None = ..., verify: bool = ..., **options: Any) -> Graph: ...


@overload
def load(name: ManyGraphs, *, root: str | os.PathLike[str] | None = ..., split: str = ..., seed: int = ...,
         limit: int | None = ..., progress: Progress | None = ..., verify: bool = ...,
         **options: Any) -> GraphDataset: ...


@overload
def load(name: str, *, root: str | os.PathLike[str] | None = ..., split: str = ..., seed: int = ...,
         limit: int | None = ..., progress: Progress | None = ..., verify: bool = ...,
         **options: Any) -> Graph | GraphDataset: ...


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str = "public",
    seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
    verify: bool = True,
    **options: Any,
) -> Graph | GraphDataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        One of ``available()``. ``synthetic`` needs no file.
    root : path, optional
        Folder with ``<name>/raw/...``; default ``DQNUMBA_DATA``, else a per-user cache filled by downloads.
    split : {"public", "random"}
        ``"random"``: 60/20/20, stratified by class, by ``seed``. Sets without a fixed split (REDDIT-BINARY
        and the TU sets) have ``splits`` None with ``"public"``; use ``fold``.
    seed : int
        Of the synthetic graph and of random splits.
    limit : int, optional
        Keep only this many training items (nodes of a single graph, else graphs). Superpixel graphs of other
        training images are then not even built.
    progress : callable, optional
        Called as ``progress(iterable, desc=..., total=...)`` around long work, as ``tqdm`` can be.
    verify : bool
        Compare the SHA-256 of raw files with the registry.
    **options
        ``features="auto" | "degree" | "one_hot_degree" | "constant"`` for the sets without node features; the
        parameters of ``synthetic_citation``.

    Returns
    -------
    Graph
        For cora, citeseer, pubmed, synthetic.
    GraphDataset
        For the others.

    Raises
    ------
    ConfigError
        On an unknown name or option.
    DataError
        If a file is missing, has another checksum or is malformed.
    MissingExtraError
        If pooch (downloads) or scikit-image (superpixels) is needed and not installed.
    """
    if name not in available():
        raise ConfigError(f"there is no data set {name!r}; choose one of {', '.join(available())}")
    if split not in ("public", "random"):
        raise ConfigError(f"split is {split!r}; it must be 'public' or 'random'")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be a whole number, at least 0")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; it must be 1 or more")
    kind = "synthetic" if name == "synthetic" else registry()[name]["format"]
    allowed = {"synthetic": _SYNTHETIC_OPTIONS, "gin": {"features"}, "tu": {"features"}}.get(kind, set())
    if set(options) - allowed:
        raise ConfigError(
            f"{name} takes no option {min(set(options) - allowed)!r}; it takes {', '.join(sorted(allowed)) or 'none'}"
        )
    where: dict[str, Any] = {"root": root, "verify": verify}
    data: Graph | GraphDataset
    if kind == "synthetic":
        from .synthetic import synthetic_citation

        data = synthetic_citation(seed=seed, **options)
    elif kind == "planetoid":
        from .planetoid import load_planetoid

        data = load_planetoid(name, **where)
    elif kind in ("gin", "tu"):
        from .gin_text import read_gin_text
        from .tu import read_tu

        path = fetch(name, registry()[name]["files"][0]["name"], **where)
        data = {"gin": read_gin_text, "tu": read_tu}[kind](path, name=name, **options)
    elif kind == "zinc":
        from .zinc import load_zinc

        data = load_zinc(**where)
    else:
        from .superpixel_sets import load_superpixels

        # With a random split any image can be a training image, so all must be built.
        data = load_superpixels(name, limit=limit if split == "public" else None, progress=progress, **where)
    return _prepared(data, split, seed, limit)


_SYNTHETIC_OPTIONS = {
    "num_nodes", "num_words", "edges_per_node", "homophily", "words_per_node", "topicality", "max_degree_share",
}


def _prepared(data: Graph | GraphDataset, split: str, seed: int, limit: int | None) -> Graph | GraphDataset:
    """Apply the split and the limit."""
    if isinstance(data, GraphDataset):
        data = data.random_split(seed=seed) if split == "random" else data
        return data if limit is None else data.limit(limit)
    if split == "random":
        train, val, test = random_split(cast("NDArray[Any]", data.y), seed=seed)  # every set of one graph has labels
        data = data.replace(train_mask=train, val_mask=val, test_mask=test)
    if limit is not None:
        kept = np.zeros(data.num_nodes, dtype=bool)
        kept[np.flatnonzero(cast("NDArray[np.bool_]", data.train_mask))[:limit]] = True
        data = data.replace(train_mask=kept)
    return data
