"""The dot backend's namespace: the functions of :mod:`dqnumba.kernels.reference`, same names, same bits.

What has no vector kernel of its own is that of the numba backend.
"""

from __future__ import annotations

from ..integer import add, add_self, edge_logits, edge_product, edge_softmax, edge_sum, gather_rows
from .api_aggregate import (
    neighbor_max,
    neighbor_sum,
    segment_max,
    segment_sum,
    sparse_matmul,
    sparse_neighbor_sum,
    weighted_neighbor_sum,
)
from .api_matmul import matmul
from .api_requantize import requantize

__all__ = [
    "add",
    "add_self",
    "edge_logits",
    "edge_product",
    "edge_softmax",
    "edge_sum",
    "gather_rows",
    "matmul",
    "neighbor_max",
    "neighbor_sum",
    "requantize",
    "segment_max",
    "segment_sum",
    "sparse_matmul",
    "sparse_neighbor_sum",
    "weighted_neighbor_sum",
]
