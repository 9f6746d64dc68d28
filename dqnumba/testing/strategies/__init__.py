"""Hypothesis strategies: ranges, tensors, parameters, graphs of every odd shape, integer programs.

All of them shrink toward small numbers, few elements and few edges.
"""

from .graphs import GRAPH_SHAPES, csr, edge_lists, graphs
from .programs import programs
from .values import HOSTILE_VALUES, bounds, hostile_tensors, qparams, ranges, specs, tensors

__all__ = [
    "GRAPH_SHAPES",
    "HOSTILE_VALUES",
    "bounds",
    "csr",
    "edge_lists",
    "graphs",
    "hostile_tensors",
    "programs",
    "qparams",
    "ranges",
    "specs",
    "tensors",
]
