"""What the runs with many predictions share: small models of each kind, graphs by number, short forms of answers."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

import dqnumba as dq

__all__ = ["CHANNELS", "MODELS", "answer", "draw_graph", "make_models"]

MODELS = {"gcn": dq.nn.GCN, "gat": dq.nn.GAT, "gin": dq.nn.GIN, "sage": dq.nn.GraphSAGE}
CHANNELS, CLASSES = 12, 4


def draw_graph(number: int, nodes: int | None = None, degree: int = 3) -> dq.Graph:
    """Graph ``number``: of 1 to 60 nodes unless ``nodes`` says another size."""
    rng = np.random.default_rng(number)
    nodes = int(rng.integers(1, 61)) if nodes is None else nodes
    x = rng.standard_normal((nodes, CHANNELS)).astype(np.float32)
    return dq.Graph.from_edge_index(rng.integers(0, nodes, (2, degree * nodes)), x)


def make_models() -> dict[str, dq.IntegerModel]:
    """``gcn 8`` and so on: each kind of model at 8 and 4 bits, calibrated on one drawn graph."""
    found, graph = {}, draw_graph(0, nodes=200)
    for name, kind in MODELS.items():
        for bits in (8, 4):
            qmodel = dq.prepare(kind(CHANNELS, 16, CLASSES, seed=0), dq.QuantConfig.degree_quant(bits=bits))
            dq.calibrate(qmodel, graph)
            found[f"{name} {bits}"] = dq.convert(qmodel)
    return found


def answer(logits: Any) -> bytes:
    """Eight bytes that stand for an array."""
    return hashlib.blake2b(logits.tobytes(), digest_size=8).digest()
