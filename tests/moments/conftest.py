"""A small graph, a model on it, and what all these tests ask of a folder."""

from __future__ import annotations

import os

import numpy as np
import pytest

pytest.importorskip("bench.reliability.steps", reason="bench/ stands beside the package, in a checkout only")


@pytest.fixture(autouse=True)
def quiet_cache(monkeypatch, tmp_path):
    """A cache of its own for the data."""
    monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def graph_file(tmp_path_factory):
    """Path of a graph of 60 nodes."""
    from dqnumba.graph import Graph, save_npz

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    x = (rng.random((60, 12)) < 0.2).astype(np.float32)
    x[np.arange(60), y] = 1.0
    masks = {f"{name}_mask": np.arange(60) % 3 == k for k, name in enumerate(("train", "val", "test"))}
    path = tmp_path_factory.mktemp("graph") / "g.npz"
    save_npz(Graph.from_edge_index(rng.integers(0, 60, (2, 150)), x=x, y=y, **masks), path)
    return path


@pytest.fixture(scope="session")
def program(graph_file):
    """An integer model on that graph."""
    import dqnumba as dq
    from dqnumba.graph import load_npz

    graph = load_npz(graph_file)
    qmodel = dq.prepare(dq.nn.GCN(12, 8, 3, seed=0), dq.QuantConfig.degree_quant(bits=8))
    dq.calibrate(qmodel, graph)
    return dq.convert(qmodel)


@pytest.fixture
def place(tmp_path):
    """An empty folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def every_epoch(monkeypatch):
    """A checkpoint after every epoch."""
    from dqnumba.train.experiment import run_experiment

    monkeypatch.setitem(run_experiment.__kwdefaults__, "save_every", 0.0)


@pytest.fixture
def left():
    """Names of all files under a folder."""

    def names(folder):
        return sorted(os.path.relpath(os.path.join(root, name), folder) for root, _, names in os.walk(folder)
                      for name in names)  # fmt: skip

    return names
