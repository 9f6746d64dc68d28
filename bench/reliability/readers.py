"""Every reader of bytes that strangers may have written, as one function of a path; shared by the attacks in
``tests/attacks`` and by the fuzzer.

A reader gives an object that has been looked at as its users would look at it, or raises one of its documented errors.
Anything else, an answer that differs between two ways of computing it above all, is a finding.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dqnumba.errors import ConfigError, DataError, DQError, GraphError, ModelFormatError, OverflowRiskError

__all__ = ["FIXTURES", "READERS", "Reader"]

FIXTURES = Path(__file__).parents[2] / "datasets" / "fixtures"
_MOST_VALUES = 1 << 18  # of a trial run of a program


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes
    ----------
    read : callable
        Reads the file at a path.
    name : str
        File name that the bytes get; its suffix decides for some readers.
    errors : tuple of classes
        What it may raise.
    modules : tuple of str
        Modules whose branches guide the fuzzer.
    """

    read: Callable[[Path], object]
    name: str
    errors: tuple[type[DQError], ...]
    modules: tuple[str, ...]


def _model(path: Path) -> object:
    from dqnumba.infer import load

    model = load(path)
    model.describe()
    program = model.program
    widest = max(step.channels for step in program.steps)
    if (program.meta["num_features"] + widest * len(program.steps)) * 16 > _MOST_VALUES:
        return model
    graph = _graph_for(program.meta)
    try:
        plain = model(graph, backend="reference")
        fast = model(graph, backend="numba")
    except (OverflowRiskError, GraphError):
        return model
    if plain.tobytes() != fast.tobytes():
        raise AssertionError("two backends give different answers")
    return model


def _graph_for(meta: dict[str, object]) -> object:
    """A graph of five nodes that a program can run on."""
    from dqnumba import Graph

    features = meta["num_features"]
    assert isinstance(features, int)
    rng = np.random.default_rng(0)
    x = rng.integers(0, features, 5) if meta["embedding"] else rng.standard_normal((5, features)).astype(np.float32)
    edges = np.array([[0, 1, 2, 2, 3, 0], [1, 0, 1, 3, 1, 0]])
    more = {"num_categories": features} if meta["embedding"] else {}
    return Graph.from_edge_index(edges, x=x, num_nodes=5, graph_ptr=np.array([0, 5]), **more)


def _train(path: Path) -> object:
    from dqnumba.train.build import restore_model
    from dqnumba.train.checkpoint import read_checkpoint
    from dqnumba.train.settings import RunSettings

    checkpoint = read_checkpoint(path)
    RunSettings.from_dict(checkpoint.settings)
    return restore_model(checkpoint)


def _weights(path: Path) -> object:
    from dqnumba.convert.pyg_weights import load_pyg

    try:
        return load_pyg(path)
    except ConfigError:
        return load_pyg(path, readout="sum", act="relu")


def _graph(path: Path) -> object:
    from dqnumba.graph import read_graph

    return _looked_at(read_graph(path))


def _looked_at(found: object) -> object:
    """Hold what was read to what every kernel takes for granted; nothing of the library checks it here."""
    found.describe()  # type: ignore[attr-defined]
    data = found.data  # type: ignore[attr-defined]
    graph = getattr(data, "union", data)
    tables = [(graph.indptr, graph.indices, graph.num_nodes)]
    values = [] if graph.x is None else [graph.x]
    if hasattr(graph.x, "indptr"):
        tables, values = [*tables, (graph.x.indptr, graph.x.indices, graph.x.shape[1])], [graph.x.data]
    for rows, columns, width in tables:
        if rows[0] != 0 or rows[-1] != len(columns) or (rows[1:] < rows[:-1]).any():
            raise AssertionError("row pointers do not fit their entries")
        if columns.size and not 0 <= columns.min() <= columns.max() < width:
            raise AssertionError(f"a column outside of 0..{width - 1}")
    if not all(np.isfinite(array).all() for array in [*values, *([] if graph.y is None else [graph.y])]):
        raise AssertionError("a value that is not finite")
    labels = graph.y if graph.y is not None and graph.num_classes else np.zeros(0)
    if labels.size and not 0 <= labels.min() <= labels.max() < graph.num_classes:
        raise AssertionError("a label that is no class")
    graph.adjacency("add")
    return data


def _nodes(path: Path) -> object:
    from dqnumba.graph.tables import read_tables

    edges = path.with_name("edges-for-nodes.csv")
    if not edges.exists():
        edges.write_text("source,target\na,b\n", encoding="utf-8")
    return _looked_at(read_tables(edges, path))


def _folder(path: Path) -> object:
    """The bytes are the table ``graphs.csv`` of a folder with two graphs."""
    from dqnumba.graph import read_graph

    folder = path.with_name("folder-of-graphs")
    if not folder.exists():
        folder.mkdir()
        for name in ("one", "two"):
            np.savez(folder / f"{name}.npz", edge_index=[[0, 1], [1, 0]], x=np.eye(2), y=[1])
        (folder / "graphs.csv").symlink_to(path)
    return _looked_at(read_graph(folder))


def _planetoid(path: Path) -> object:
    """The bytes are the part of a set that their content makes them: neighbour lists, features or labels."""
    from dqnumba.data.planetoid import read_planetoid
    from dqnumba.data.restricted_pickle import CsrParts, load_pickle

    value = load_pickle(path)
    part = "allx" if isinstance(value, CsrParts) else "graph" if isinstance(value, dict) else "ally"
    return read_planetoid(_planetoid_folder(path, part), "mini")


def _test_index(path: Path) -> object:
    from dqnumba.data.planetoid import read_planetoid

    return read_planetoid(_planetoid_folder(path, "test.index"), "mini")


def _planetoid_folder(path: Path, part: str) -> Path:
    """The fixture with one part in its place being ``path``."""
    folder = path.with_name(f"planetoid-{part}")
    if not folder.exists():
        folder.mkdir()
        for file in (FIXTURES / "planetoid").iterdir():
            (folder / file.name).symlink_to(path if file.name == f"ind.mini.{part}" else file)
    return folder


def _tu(path: Path) -> object:
    from dqnumba.data.tu import read_tu

    return read_tu(path)


def _gin(path: Path) -> object:
    from dqnumba.data.gin_text import read_gin_text

    return read_gin_text(path)


def _zinc(path: Path) -> object:
    from dqnumba.data.zinc import read_zinc

    other = path.with_name("zinc-part.npz")
    if not other.exists():
        np.savez(
            other, node_ptr=[0, 2], edge_ptr=[0, 2], atom_type=np.array([0, 1], np.uint8),
            edge_index=[[0, 1], [1, 0]], bond_type=np.array([1, 1], np.uint8), target=np.array([0.5], np.float32),
        )  # fmt: skip
    return read_zinc({"train": path, "val": other, "test": other})


def _idx(path: Path) -> object:
    from dqnumba.data.images import read_idx

    return read_idx(path)


def _cifar(path: Path) -> object:
    from dqnumba.data.images import read_cifar10

    return read_cifar10(path)


def _archive(path: Path) -> object:
    from dqnumba.data.download import extract_member

    return extract_member(path, "set/data.bin", 1 << 16)


def _recipe(path: Path) -> object:
    from dqnumba.train.recipe import METHODS, load_recipe, read_recipe

    recipe = load_recipe("gcn").merged_with(read_recipe(path))
    return [recipe.resolve(method, bits, "paper").with_overrides({}) for method in METHODS for bits in (4, 8)]


def _expected(path: Path) -> object:
    from dqnumba.cli.quantize import read_expected

    return read_expected(path)


def _cache(path: Path) -> object:
    """A damaged run is built again, which is no error; one that is taken must be whole."""
    from dqnumba.data.superpixel_sets import _read_run, _union

    run = _read_run(path, 2)
    if run is not None:
        graph = _union(run, np.zeros(2, np.int64), "mnist")
        graph.replace()  # with all checks
    return run


def _note(path: Path) -> object:
    """What a broken-off download left beside its part."""
    from dqnumba.data.resume import ResumingDownloader

    note = path.with_name("part.json")
    if not note.is_symlink():
        note.symlink_to(path)
    return ResumingDownloader(path.with_name("part"), most=1 << 20)._begun()


_FORMATS = "dqnumba.formats"
_GRAPH = (_FORMATS, "dqnumba.graph")
READERS: dict[str, Reader] = {
    "model": Reader(_model, "m.safetensors", (ModelFormatError,),
                    (_FORMATS, "dqnumba.infer.file", "dqnumba.infer.check", "dqnumba.infer.flow",
                     "dqnumba.infer.binding")),
    "train": Reader(_train, "m.train.safetensors", (ModelFormatError, DataError, ConfigError),
                    (_FORMATS, "dqnumba.train.checkpoint", "dqnumba.train.checkpoint_content", "dqnumba.train.build",
                     "dqnumba.train.settings", "dqnumba.train.recipe_schema",
                     "dqnumba.nn.options", "dqnumba.nn.models", "dqnumba.qat.config")),
    "weights": Reader(_weights, "w.safetensors", (DataError, ConfigError), (_FORMATS, "dqnumba.convert")),
    "graph": Reader(_graph, "g.npz", (DataError, GraphError), _GRAPH),
    "edges": Reader(_graph, "edges.csv", (DataError, GraphError, ConfigError), _GRAPH),
    "nodes": Reader(_nodes, "nodes.csv", (DataError, GraphError, ConfigError), _GRAPH),
    "folder": Reader(_folder, "graphs-table.csv", (DataError, GraphError, ConfigError), _GRAPH),
    "planetoid": Reader(_planetoid, "part", (DataError, GraphError),
                        (_FORMATS, "dqnumba.data.restricted_pickle", "dqnumba.data.planetoid", "dqnumba.graph")),
    "test_index": Reader(_test_index, "test.index", (DataError, GraphError), ("dqnumba.data.planetoid",)),
    "tu": Reader(_tu, "set.zip", (DataError, GraphError, ConfigError),
                 (_FORMATS, "dqnumba.data.tu", "dqnumba.data.text", "dqnumba.data.node_features", "dqnumba.graph")),
    "gin": Reader(_gin, "set.txt", (DataError, GraphError, ConfigError),
                  (_FORMATS, "dqnumba.data.gin_text", "dqnumba.data.text", "dqnumba.data.node_features",
                   "dqnumba.graph")),
    "zinc": Reader(_zinc, "train.npz", (DataError, GraphError), (*_GRAPH, "dqnumba.data.zinc")),
    "idx": Reader(_idx, "images.gz", (DataError,), (_FORMATS, "dqnumba.data.images")),
    "cifar": Reader(_cifar, "batch.bin", (DataError,), (_FORMATS, "dqnumba.data.images")),
    "archive": Reader(_archive, "archive", (DataError,), (_FORMATS, "dqnumba.data.download")),
    "recipe": Reader(_recipe, "r.toml", (ConfigError, DataError),
                     ("dqnumba.train.recipe", "dqnumba.train.recipe_schema", "tomllib")),
    "expected": Reader(_expected, "outputs.npy", (DataError,), (_FORMATS, "dqnumba.cli.quantize")),
    "cache": Reader(_cache, "run.npz", (), (*_GRAPH, "dqnumba.data.superpixel_sets")),
    "note": Reader(_note, "note", (), (_FORMATS, "dqnumba.data.resume")),
}  # fmt: skip


def place_of(reader: str, folder: str | os.PathLike[str]) -> Path:
    """Where the bytes for a reader go in a folder of one's own."""
    return Path(folder) / READERS[reader].name
