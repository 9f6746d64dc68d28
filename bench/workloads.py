"""Graphs and widths that whole models are timed on, real ones and seeded synthetic ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqnumba import Graph, data, nn

__all__ = ["DEFAULT", "MODELS", "WORKLOADS", "Workload", "build_model", "power_law"]

MODELS = ("gcn", "gin", "sage", "gat")


@dataclass(frozen=True)
class Workload:
    """A graph with features, and the widths of the models on it.

    Attributes
    ----------
    graph : Graph
    widths : tuple of int
        Input, hidden layers, output.
    heads : int
        Of GAT, in every layer.
    gat_hidden : int
        Hidden width of GAT over all heads, where it differs from the other models' (Cora's 8 heads of 8).
    """

    graph: Graph
    widths: tuple[int, ...]
    heads: int = 4
    gat_hidden: int | None = None


def power_law(num_nodes: int, num_edges: int, seed: int = 0, exponent: float = 1.5) -> tuple[NDArray, NDArray]:
    """A directed multigraph whose both ends are drawn in proportion to Pareto weights: ``(indptr, indices)``.

    In- and out-degree of a node are both large or both small, as of hubs in citation and social graphs. Each edge
    stays, also where a pair is drawn twice, so that the number of edges is exact. Both ends come out of a table in
    which a node stands as often as its weight says: much faster than a search for each edge.
    """
    rng = np.random.default_rng(seed)
    weight = rng.pareto(exponent, num_nodes) + 1.0
    copies = np.maximum(1, np.rint(weight * (16 * num_nodes / weight.sum()))).astype(np.int64)
    table = np.repeat(np.arange(num_nodes, dtype=np.int32), copies)
    degree = np.zeros(num_nodes, np.int64)
    indices = np.empty(num_edges, np.int32)
    for start in range(0, num_edges, 1 << 24):  # in parts: 115 million edges need no more memory than their ids
        part = slice(start, min(num_edges, start + (1 << 24)))
        size = part.stop - part.start
        degree += np.bincount(table[rng.integers(0, len(table), size, dtype=np.int32)], minlength=num_nodes)
        indices[part] = table[rng.integers(0, len(table), size, dtype=np.int32)]
    indptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(degree, out=indptr[1:])
    # No edge from a node to itself: libraries differ in what an added self-loop means where there is one already.
    loops = np.flatnonzero(indices == np.repeat(np.arange(num_nodes, dtype=np.int32), degree))
    indices[loops] = (indices[loops] + 1) % num_nodes
    return indptr, indices


def _features(num_nodes: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng([seed, 1]).standard_normal((num_nodes, width), dtype=np.float32)


def _synthetic(num_nodes: int, num_edges: int, *widths: int) -> Workload:
    indptr, indices = power_law(num_nodes, num_edges)
    return Workload(Graph(indptr, indices, _features(num_nodes, widths[0])), widths)


def _zinc(graphs: int) -> Workload:
    dataset = data.load("zinc12k")
    batch = dataset.batch(dataset.splits["train"][:graphs])
    # Nodes only: one node-level model over the whole batch.
    graph = Graph(batch.indptr, batch.indices, _features(batch.num_nodes, 64))
    return Workload(graph, (64, 64, 64, 64, 64))


def _cora() -> Workload:
    graph = data.load("cora")
    return Workload(graph, (graph.num_features, 16, graph.num_classes), heads=8, gat_hidden=64)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "zinc10k": lambda: _zinc(10_000),
    "arxiv": lambda: _synthetic(169_343, 2_300_000, 128, 256, 256, 40),
    "reddit10": lambda: _synthetic(23_000, 11_000_000, 602, 128, 41),
    "cora": _cora,
    "molecule": lambda: _zinc(1),
    "reddit": lambda: _synthetic(232_965, 114_600_000, 602, 128, 41),
}
DEFAULT = ("zinc10k", "arxiv", "reddit10", "cora", "molecule")


def build_model(kind: str, workload: Workload, seed: int = 0) -> Any:
    """The float model ``kind`` in the widths of the workload, with seeded weights; biases are drawn too, so that a
    program that forgets one is found out.
    """
    first, *hidden, last = workload.widths
    if len(set(hidden)) > 1:
        raise ValueError(f"hidden widths {hidden} differ; the models have one hidden width")
    width, options = hidden[0], {}
    if kind == "gat":
        width, options = workload.gat_hidden or width, {"heads": workload.heads}
    classes = {"gcn": nn.GCN, "gat": nn.GAT, "gin": nn.GIN, "sage": nn.GraphSAGE}
    model = classes[kind](first, width, last, num_layers=len(hidden) + 1, seed=seed, **options)
    rng = np.random.default_rng(seed)
    for name, tensor in model.parameters().items():
        if name.endswith("bias"):
            tensor.data[...] = rng.uniform(-0.1, 0.1, tensor.data.shape)
    return model
