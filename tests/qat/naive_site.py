"""One quantizer and one context to try it in."""

from __future__ import annotations

import numpy as np

from dqnumba.graph import Graph
from dqnumba.nn import Context
from dqnumba.qat import ActivationQuantizer, Observer
from dqnumba.quant import QuantSpec


def quantizer(*, bits=8, signed=True, rule="minmax", low=None, high=None, **options):
    observer = Observer("here", rule, cut=0.001, momentum=0.01, collapse_fallback=True)
    if low is not None:
        observer.range[:] = low, high
    spec = QuantSpec(bits=bits, signed=signed)
    return ActivationQuantizer("here", spec, observer, **({"gradient": "clip", "masked": True, "widen": 0.0} | options))


def context(num_nodes, *, protected=None, observe=False, edges=None):
    edges = np.zeros((2, 0), np.int64) if edges is None else edges
    graph = Graph.from_edge_index(edges, num_nodes=num_nodes, coalesce=False)
    return Context(graph, training=protected is not None, protected=protected, observe=observe)
