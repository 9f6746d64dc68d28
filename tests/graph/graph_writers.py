"""Graphs written down in every format that is read, by plain loops; nothing here uses the readers."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import networkx as nx
import numpy as np
import scipy.sparse

from dqnumba.graph import Graph, SparseFeatures

PARTS = ("train", "val", "test")


def edges_of(graph):
    """[(source, target, weight)] by walking the rows."""
    out = []
    for target in range(graph.num_nodes):
        for k in range(graph.indptr[target], graph.indptr[target + 1]):
            weight = 1.0 if graph.edge_weight is None else float(graph.edge_weight[k])
            out.append((int(graph.indices[k]), target, weight))
    return out


def dense(graph):
    return graph.x.toarray() if isinstance(graph.x, SparseFeatures) else graph.x


def part_of(graph, node):
    return next((part for part in PARTS if getattr(graph, f"{part}_mask")[node]), "")


def write_own(graph, path, order):
    edges = [edges_of(graph)[k] for k in order]
    arrays = {"edge_index": np.array([[s for s, _, _ in edges], [t for _, t, _ in edges]], dtype=np.int64)}
    if graph.edge_weight is not None:
        arrays["edge_weight"] = [w for _, _, w in edges]
    np.savez(path, x=dense(graph), y=graph.y, **arrays, **{f"{p}_mask": getattr(graph, f"{p}_mask") for p in PARTS})


def write_gnn_benchmark(graph, path, order, sparse=True):
    matrix = scipy.sparse.lil_matrix((graph.num_nodes, graph.num_nodes), dtype=np.float32)
    for s, t, _ in edges_of(graph):
        matrix[s, t] = 1
    csr, x = matrix.tocsr(), scipy.sparse.csr_matrix(dense(graph))
    arrays = {"adj_data": csr.data, "adj_indices": csr.indices, "adj_indptr": csr.indptr, "adj_shape": csr.shape}
    if sparse:
        # Columns of a row in falling order, as public files have them too.
        indices, data = x.indices.copy(), x.data.copy()
        for i in range(graph.num_nodes):
            row = slice(x.indptr[i], x.indptr[i + 1])
            indices[row], data[row] = indices[row][::-1].copy(), data[row][::-1].copy()
        arrays |= {"attr_data": data, "attr_indices": indices, "attr_indptr": x.indptr, "attr_shape": x.shape}
    else:
        arrays["attr_matrix"] = dense(graph)
    # Public files keep names as arrays of objects, which are pickles.
    names = np.array([f"n{k}" for k in range(graph.num_nodes)], dtype=object)
    np.savez(path, labels=graph.y, node_names=names, allow_pickle=True, **arrays)


def write_heterophilous(graph, path, order, splits=3, chosen=1):
    edges = [edges_of(graph)[k] for k in order]
    arrays = {"edges": np.array([[s, t] for s, t, _ in edges], dtype=np.int64).reshape(-1, 2)}
    for part in PARTS:
        masks = np.zeros((splits, graph.num_nodes), dtype=bool)
        masks[chosen] = getattr(graph, f"{part}_mask")
        arrays[f"{part}_masks"] = masks
    np.savez(path, node_features=dense(graph), node_labels=graph.y, **arrays)


def write_tables(graph, folder, order, *, suffix=".csv", header=True, names=None, split=True):
    """``names`` of the nodes; ``order`` of the rows of edges."""
    folder.mkdir(exist_ok=True)
    names = [str(k) for k in range(graph.num_nodes)] if names is None else names
    mark = {".csv": ",", ".tsv": "\t", ".txt": ";"}[suffix]
    x = dense(graph)
    with (folder / f"nodes{suffix}").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, delimiter=mark)
        if header:
            features = [f"f{k}" for k in range(x.shape[1])]
            out.writerow(["id", *features, "label", *(["split"] if split else [])])
        for k in range(graph.num_nodes):
            row = [names[k], *(repr(float(v)) for v in x[k]), int(graph.y[k])]
            out.writerow([*row, part_of(graph, k)] if header and split else row)
    with (folder / f"edges{suffix}").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, delimiter=mark)
        weighted = graph.edge_weight is not None
        if header:
            out.writerow(["source", "target", *(["weight"] if weighted else [])])
        for k in order:
            s, t, w = edges_of(graph)[k]
            out.writerow([names[s], names[t], *([repr(w)] if weighted else [])])


def as_networkx(graph, order):
    out = nx.DiGraph()
    for k in range(graph.num_nodes):
        out.add_node(f"n{k}", x=dense(graph)[k].tolist(), y=int(graph.y[k]))
        if part_of(graph, k):
            out.nodes[f"n{k}"]["split"] = part_of(graph, k)
    for k in order:
        s, t, w = edges_of(graph)[k]
        out.add_edge(f"n{s}", f"n{t}", **({} if graph.edge_weight is None else {"weight": w}))
    return out


def as_scipy(graph):
    edges = edges_of(graph)
    rows, columns = [s for s, _, _ in edges], [t for _, t, _ in edges]
    return scipy.sparse.coo_matrix(([w for *_, w in edges], (rows, columns)), shape=(graph.num_nodes,) * 2)


class Tensor:
    """What a reader may ask of a tensor, and nothing more."""

    def __init__(self, array):
        self._array, self._on_cpu, self._leaf = np.asarray(array), False, False

    def detach(self):
        out = Tensor(self._array)
        out._leaf = True
        return out

    def cpu(self):
        out = Tensor(self._array)
        out._leaf, out._on_cpu = self._leaf, True
        return out

    def numpy(self):
        if not (self._leaf and self._on_cpu):
            raise RuntimeError("can't call numpy() on a tensor that requires grad or is on another device")
        return self._array

    def __array__(self, *args, **kwargs):
        raise TypeError("use numpy()")


def as_pyg(graph, order, splits=None):
    """An object with the attributes of ``torch_geometric.data.Data``, of tensors that must be asked the right way."""
    edges = [edges_of(graph)[k] for k in order]
    fields = {f"{part}_mask": getattr(graph, f"{part}_mask") for part in PARTS}
    if splits is not None:
        fields = {name: np.stack([mask if k == splits - 1 else ~mask for k in range(splits)], 1)
                  for name, mask in fields.items()}  # fmt: skip
    index = np.array([[s for s, _, _ in edges], [t for _, t, _ in edges]], dtype=np.int64)
    fields |= {"edge_index": index, "x": dense(graph), "y": graph.y.reshape(-1, 1)}
    if graph.edge_weight is not None:
        fields["edge_weight"] = np.array([w for *_, w in edges])
    return SimpleNamespace(num_nodes=graph.num_nodes, edge_attr=None,
                           **{name: Tensor(value) for name, value in fields.items()})  # fmt: skip


def plain_graph(edges, x, y, weight, parts):
    masks = {f"{part}_mask": np.array([p == part for p in parts], dtype=bool) for part in PARTS}
    return Graph.from_edge_index(edges, x, y, len(x), weight, **masks)
