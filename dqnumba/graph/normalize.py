"""GCN's symmetric normalization D^-1/2 A D^-1/2, for float layers and integer programs alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from .adjacency import Adjacency

__all__ = ["gcn_coefficients", "gcn_norm"]


def gcn_norm(adjacency: Adjacency) -> NDArray[np.float64]:
    """d_i^-1/2 with d_i the weighted in-degree, 0 where that is 0 (Kipf and Welling 2017, eq. 2); (N,)."""
    if adjacency.weight is None:
        degree = adjacency.in_degree.astype(np.float64)
    else:
        degree = np.zeros(adjacency.num_rows)
        np.add.at(degree, adjacency.targets, adjacency.weight.astype(np.float64))
    return np.sqrt(np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0))


def gcn_coefficients(adjacency: Adjacency) -> NDArray[np.float32]:
    """d_i^-1/2 w d_j^-1/2 of each edge, multiplied in float32 in this order; (E,).

    Raises
    ------
    GraphError
        If weights add up to so little that a coefficient leaves float32.
    """
    norm = gcn_norm(adjacency).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # as below
        values = norm[adjacency.targets] * norm[adjacency.indices]
        if adjacency.weight is not None:
            values = values * adjacency.weight
    if adjacency.weight is not None and not np.isfinite(values).all():
        edge = int(np.flatnonzero(~np.isfinite(values))[0])
        raise GraphError(
            f"The edge weights into node {adjacency.targets[edge]} or {adjacency.indices[edge]} add up to so small a "
            "number that GCN's normalization leaves float32. Multiply all weights by a larger factor."
        )
    return values
