"""Small random graphs and small prepared models, for the tests of conversion and of the runtime."""

from __future__ import annotations

import itertools

import numpy as np

import dqnumba as dq
from dqnumba.graph import SparseFeatures, batch

MODELS = {"gcn": dq.nn.GCN, "gat": dq.nn.GAT, "gin": dq.nn.GIN, "sage": dq.nn.GraphSAGE}
BITS = ((8, 8), (4, 4), (2, 2), (4, 8), (8, 4))  # weights, activations
FEATURES, CATEGORIES, CLASSES = 10, 7, 3


def finished(steps, tensors, features, rows="node"):
    """A model of these steps, with the exit behind them."""
    last = steps[-1]
    exit_ = dq.infer.Step("dequantize", "out", (last.output,), last.rows, last.channels, {"zero_in": 0, "scale": 1.0})
    sizes = {"in_channels": features, "hidden_channels": 1, "out_channels": last.channels, "num_layers": 1}
    meta = {
        "num_features": features, "out_channels": last.channels, "task_rows": rows, "embedding": False,
        "model": {"kind": "GCN", **sizes},
        "quantization": {"method": "ptq", "weight_bits": 8, "activation_bits": 8, "sites": "fused"},
    }  # fmt: skip
    return dq.infer.IntegerModel(dq.infer.Program((*steps, exit_), tensors, meta))


def features(rng, nodes, kind):
    if kind == "embedding":
        return rng.integers(0, CATEGORIES, nodes)
    dense = rng.standard_normal((nodes, FEATURES)).astype(np.float32)
    if kind == "dense":
        return dense
    dense[rng.random(dense.shape) < 0.7] = 0.0
    return SparseFeatures.from_dense(dense)


def random_graph(seed, nodes=24, kind="dense", degree=3, **fields):
    """A graph with a hub (node 0), an isolated node (the last), and now and then a loop."""
    rng = np.random.default_rng(seed)
    edges = rng.integers(0, max(1, nodes - 1), (2, degree * nodes))
    edges[1, : edges.shape[1] // 4] = 0
    if nodes == 1:
        edges = edges[:, :0]
    options = {"num_categories": CATEGORIES} if kind == "embedding" else {}
    graph = dq.Graph.from_edge_index(edges, x=features(rng, nodes, kind), num_nodes=nodes)
    y = rng.integers(0, CLASSES, nodes)
    return graph.replace(y=y, train_mask=np.ones(nodes, bool), num_classes=CLASSES, **options, **fields)


def random_batch(seed, kind="dense", sizes=(9, 1, 17, 2, 5)):
    parts = [
        random_graph(seed * 100 + i, n, kind).replace(y=None, train_mask=None) for i, n in enumerate(sizes)
    ]
    y = np.random.default_rng(seed).integers(0, CLASSES, len(parts))
    return batch(parts).replace(y=y, num_classes=CLASSES), parts


def build(
    model="gcn", sites="fused", bits=(8, 8), readout=None, norm=None, residual=False, kind="dense", **options
):
    """A prepared model, not yet calibrated."""
    width, hidden = (CATEGORIES if kind == "embedding" else FEATURES), options.pop("hidden", 6)
    if model == "gat":
        options.setdefault("heads", 2)
    config = {"out": CLASSES, "method": "dq", "num_layers": 3, "seed": 1} | options
    method, out = config.pop("method"), config.pop("out")
    float_model = MODELS[model](
        width, hidden, out, norm=norm, residual=residual, readout=readout, dropout=0.2,
        embedding=CATEGORIES if kind == "embedding" else None, **config,
    )  # fmt: skip
    preset = dq.QuantConfig.preset(method, weight_bits=bits[0], activation_bits=bits[1], sites=sites)
    return dq.prepare(float_model, preset)


def trained(data, epochs=2, **options):
    """A model after a few epochs on ``data`` (or calibrated only, ``epochs=0``), and its program."""
    qmodel = build(**options)
    if epochs:
        splits = {"train": np.arange(len(data.y))}
        dq.fit(qmodel, data, epochs=epochs, seed=0, splits=splits)
    else:
        dq.calibrate(qmodel, data)
    return qmodel, dq.convert(qmodel)


def all_cases():
    """The full product: model, layout, bits, readout, norm, residual, kind of features."""
    return list(
        itertools.product(
            MODELS, ("fused", "paper"), BITS, (None, "sum", "mean", "max"), (None, "batch"), (False, True),
            ("dense", "sparse", "embedding"),
        )
    )  # fmt: skip
