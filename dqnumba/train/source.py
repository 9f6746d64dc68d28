"""Where the data of a run come from: a registered data set or a graph file, its split, fold and limit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, GraphError
from ..graph import GraphDataset, GraphFile, planetoid_split, random_split, read_graph
from .evaluate import is_dataset, split_indices

__all__ = ["FEATURES", "SPLITS", "Source", "SourceData", "load_source"]

SPLITS = ("public", "random", "stratified", "uniform", "planetoid")
FEATURES = ("degree", "one_hot_degree", "constant")
_RANDOM_FRACTIONS = (0.6, 0.2, 0.2)
_log = logging.getLogger("dqnumba")


@dataclass(frozen=True)
class Source:
    """The options that decide on the data; JSON-able through :meth:`to_dict`.

    Attributes
    ----------
    dataset, graph : str or None
        Name of a registered data set, or path of a graph file or folder (:func:`dqnumba.graph.read_graph` says which);
        exactly one.
    split : {"public", "random", "stratified", "uniform", "planetoid"}
        ``public`` is the data's own. ``random`` is 60/20/20, stratified by label, from ``seed`` (``stratified`` is
        another word for it); ``uniform`` the same without regard to labels; ``planetoid`` 20 of each class, 500, 1000.
    fold : int or None
        Of a data set of graphs without a fixed split; of a graph file with several splits, which one.
    limit : int or None
        Keep so many training items.
    nodes : str or None
        Table of nodes beside a table of edges.
    directed : bool or None
        Of a graph file: keep edges as they are listed, or take each in both directions; None: as its format says.
    features : {"degree", "one_hot_degree", "constant"} or None
        Of a graph file without features: make some.
    unweighted : bool
        Leave out the edge weights of a graph file.
    """

    dataset: str | None = None
    graph: str | None = None
    split: str = "public"
    seed: int = 0
    fold: int | None = None
    limit: int | None = None
    nodes: str | None = None
    directed: bool | None = None
    features: str | None = None
    unweighted: bool = False

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.graph is None):
            raise ConfigError("Give the data either as --dataset NAME or as --graph FILE, not both and not neither.")
        if self.split not in SPLITS:
            raise ConfigError(f"Unknown split {self.split!r}; choose one of {', '.join(SPLITS)}.")
        if self.features not in (None, *FEATURES):
            raise ConfigError(f"Unknown features {self.features!r}; choose one of {', '.join(FEATURES)}.")
        of_a_file = (self.nodes, self.directed, self.features, self.unweighted)
        if self.graph is None and of_a_file != (None, None, None, False):
            raise ConfigError(
                "--nodes, --directed, --undirected, --features and --unweighted are for --graph; leave them out."
            )
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; keep at least 1 training item, or leave it out.")

    @property
    def name(self) -> str:
        """What the record calls the data."""
        if self.dataset is not None:
            return self.dataset
        path = Path(self.graph or "")
        return path.name or path.resolve().name

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dict."""
        return asdict(self)


@dataclass(frozen=True)
class SourceData:
    """Loaded data: the graph or data set, index arrays of its splits (an absent one is absent), and the fold in use.

    ``file`` says what a graph file was found to be; None for other data.
    """

    data: Any
    splits: Mapping[str, np.ndarray]
    fold: int | None
    file: GraphFile | None = None

    @property
    def many_graphs(self) -> bool:
        return is_dataset(self.data)

    def class_names(self, outputs: int) -> tuple[str, ...] | None:
        """Names of the classes, where the graph file has some and a model has an output for each."""
        names = None if self.file is None else self.file.classes
        return None if names is None or len(names) != outputs else tuple(names)


def load_source(source: Source, *, default_fold: int | None = 0, data: Any = None, progress: Any = None) -> SourceData:
    """Load the data and cut them into splits.

    Parameters
    ----------
    source : Source
    default_fold : int or None
        The fold taken where there is no fixed split and ``source.fold`` is None.
    data : Graph or GraphDataset, optional
        Already loaded; then only the splits are made.
    progress : callable, optional
        As in :func:`dqnumba.data.load`.

    Raises
    ------
    ConfigError, DataError, GraphError
        Unknown name, missing or damaged file, ill-formed graph, a fold for data that have none.
    """
    file = None
    if data is None and source.graph is not None:
        file = _read(source)
        data = file.data
    elif data is None:
        data = _load(source, progress)
    if source.limit is not None and is_dataset(data):
        data = data.limit(source.limit)
    fold = source.fold
    if source.split != "public":
        if fold is not None:
            raise ConfigError(f"--split {source.split} and --fold exclude each other; give one of them.")
        splits = _made_splits(source, data, None if file is None else file.labelled)
    elif is_dataset(data) and (fold is not None or data.splits is None):
        fold = default_fold if fold is None else fold
        splits = {} if fold is None else data.fold(fold)
    elif file is not None and file.num_splits > 1:
        fold, splits = file.split, split_indices(data)
    elif fold is not None:
        raise ConfigError(
            "--fold is for data sets of many graphs and for files with several splits, and this is one graph with "
            "one split or none; leave it out."
        )
    else:
        splits = split_indices(data)
    splits = {name: np.asarray(index, dtype=np.int64) for name, index in splits.items()}
    if source.limit is not None and "train" in splits:
        splits["train"] = splits["train"][: source.limit]
    return SourceData(data, splits, fold, file)


def _made_splits(source: Source, data: Any, labelled: np.ndarray | None) -> dict[str, np.ndarray]:
    """Splits of the items that have a label, drawn from the seed."""
    y = data.y if data.y is not None else np.zeros(0, np.int64)
    items = np.arange(len(y)) if labelled is None else np.flatnonzero(labelled)
    if source.split == "planetoid":
        masks = planetoid_split(y[items], seed=source.seed)
    else:
        masks = random_split(
            y[items], fractions=_RANDOM_FRACTIONS, seed=source.seed, stratified=source.split != "uniform"
        )
    return {name: items[mask] for name, mask in zip(("train", "val", "test"), masks, strict=True)}


def _read(source: Source) -> GraphFile:
    """Read the graph file, say what it was found to be, and see to its features."""
    fold = source.fold if source.split == "public" else None
    file = read_graph(source.graph, nodes=source.nodes, split=fold, directed=source.directed)
    data = file.data
    many = is_dataset(data)
    graph = data.union if many else data
    _log.info("%s: %s", source.graph, file.describe())
    if graph.x is not None and source.features is not None:
        raise ConfigError("--features makes features for graphs without any, and these have some; leave it out.")
    if graph.x is None:
        if source.features is None:
            raise GraphError(
                f"{source.graph}: the nodes have no features (x), and a model needs some; add them, or have them made "
                "of the in-degrees: --features degree, or one_hot_degree, or constant."
            )
        from ..data.node_features import degree_features

        graph = graph.replace(x=degree_features(graph.in_degree, source.features))
    if source.unweighted:
        graph = graph.without_edge_weight()
    name = data.name or source.name
    return replace(file, data=GraphDataset(graph, name=name, splits=data.splits) if many else graph)


def _load(source: Source, progress: Any) -> Any:
    from ..data import load

    # The seed stays at its default: --seed varies a run on the same data, also where the data are made from a seed.
    limit = source.limit if source.split == "public" else None
    return load(source.dataset, limit=limit, progress=progress)
