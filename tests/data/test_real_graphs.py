"""Cora, written down the way other libraries publish it, comes back as Cora; skipped without DQNUMBA_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dqnumba.data import load
from dqnumba.graph import SparseFeatures, load_graph, read_graph

RAW = Path(os.environ.get("DQNUMBA_DATA", "")) / "cora" / "raw" / "ind.cora.graph"
pytestmark = pytest.mark.skipif(not RAW.is_file(), reason="needs the Planetoid files of Cora: set DQNUMBA_DATA")


@pytest.fixture(scope="module")
def cora():
    return load("cora")


def same_graph(found, cora, nodes=slice(None)):
    np.testing.assert_array_equal(found.indptr, cora.indptr)
    np.testing.assert_array_equal(found.indices, cora.indices)
    np.testing.assert_array_equal(found.y, cora.y)
    dense = [x.toarray() if isinstance(x, SparseFeatures) else x for x in (found.x, cora.x)]
    np.testing.assert_array_equal(*dense)


def test_as_gnn_benchmark_publishes_it(cora, tmp_path):
    """Upper triangle only: the file is directed, the graph is not."""
    up = cora.indices < cora.adjacency().targets
    source, target = cora.indices[up], cora.adjacency().targets[up]
    order = np.lexsort((target, source))
    indptr = np.concatenate(([0], np.cumsum(np.bincount(source, minlength=cora.num_nodes))))
    np.savez(
        tmp_path / "cora.npz", adj_data=np.ones(up.sum(), np.float32), adj_indices=target[order], adj_indptr=indptr,
        adj_shape=(cora.num_nodes,) * 2, attr_data=cora.x.data, attr_indices=cora.x.indices,
        attr_indptr=cora.x.indptr, attr_shape=cora.x.shape, labels=cora.y,
    )  # fmt: skip
    same_graph(load_graph(tmp_path / "cora.npz"), cora)


def test_as_text_of_words_and_citations(cora, tmp_path):
    """Like cora.content and cora.cites: tabs, no header, ids with gaps, names of classes."""
    ids = np.random.default_rng(0).permutation(10**6)[: cora.num_nodes]
    rows = [f"{ids[k]}\t" + "\t".join(map(str, row)) + f"\tclass_{cora.y[k]}"
            for k, row in enumerate(cora.x.toarray().tolist())]  # fmt: skip
    (tmp_path / "nodes.tsv").write_text("\n".join(rows))
    ends = zip(ids[cora.indices], ids[cora.adjacency().targets], strict=True)
    (tmp_path / "edges.tsv").write_text("\n".join(f"{s}\t{t}" for s, t in ends))
    found = read_graph(tmp_path)
    same_graph(found.data, cora)
    assert found.node_ids.tolist() == [str(k) for k in ids] and len(found.classes) == 7
