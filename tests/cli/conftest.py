"""A small graph file, a model trained on it, and a way to call the command in this process."""

from __future__ import annotations

import numpy as np
import pytest


def small_graph(seed=0, nodes=80, width=12, **changes):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, nodes)
    x = (rng.random((nodes, width)) < 0.2).astype(np.float32)
    x[np.arange(nodes), y] = 1.0
    order = rng.permutation(nodes)
    masks = {}
    for name, part in zip(("train_mask", "val_mask", "test_mask"), np.split(order, [40, 60]), strict=True):
        masks[name] = np.isin(np.arange(nodes), part)
    return {"edge_index": rng.integers(0, nodes, (2, 200)), "x": x, "y": y, **masks} | changes


@pytest.fixture
def graph_file(tmp_path):
    path = tmp_path / "small.npz"
    np.savez(path, **small_graph())
    return str(path)


@pytest.fixture
def write_graph(tmp_path):
    def write(name="other.npz", **changes):
        arrays = {key: value for key, value in small_graph(**changes).items() if value is not None}
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return write


@pytest.fixture
def trained(call, graph_file, tmp_path):
    """Path of a model file, trained for a few epochs on ``graph_file``."""
    out = tmp_path / "model.safetensors"
    result = call("train", "--graph", graph_file, "--epochs", 8, "--hidden", 8, "--out", out, "--quiet")
    assert result.code == 0, result.err
    return out
