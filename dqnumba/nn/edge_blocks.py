"""The messages of all edges, made a block at a time where nothing has to remember them.

The paper's layout rounds a message edge by edge. For all edges of a large graph at once that is an array many times
the size of everything else, which only a training pass needs; calibration and evaluation go through it in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from ..kernels.segment_float import segment_add
from .module import Context, Module

__all__ = ["EdgeBlocks", "message_sum"]

_BLOCK = 1 << 18  # elements of a block: small enough to stay in a core's cache


class EdgeBlocks:
    """An array (E, C) of messages that exists a block of edges at a time, in the edge order of an adjacency.

    Parameters
    ----------
    adjacency : Adjacency
    shape : (int, int)
        E and C.
    dtype : numpy.dtype
    make : callable
        ``make(start, stop)`` gives the messages of these edges, (stop - start, C).
    """

    def __init__(
        self, adjacency: Any, shape: tuple[int, int], dtype: np.dtype, make: Callable[[int, int], NDArray]
    ) -> None:
        self.adjacency, self.shape, self.dtype, self.make = adjacency, shape, dtype, make

    def _spans(self) -> Iterator[tuple[int, int]]:
        edges, columns = self.shape
        step = max(1, _BLOCK // max(columns, 1))
        for start in range(0, edges, step):
            yield start, min(start + step, edges)

    def __iter__(self) -> Iterator[NDArray]:
        for start, stop in self._spans():
            yield self.make(start, stop)

    def map(self, function: Callable[[NDArray], NDArray]) -> EdgeBlocks:
        """The same with ``function`` applied to every block."""
        return EdgeBlocks(self.adjacency, self.shape, self.dtype, lambda start, stop: function(self.make(start, stop)))

    def sum(self) -> ag.Tensor:
        """Sum of the messages into each node, (N, C), added in the order of the edges."""
        indptr = self.adjacency.indptr
        out = np.zeros((indptr.size - 1, self.shape[1]), self.dtype)
        for start, stop in self._spans():
            first, last = np.searchsorted(indptr, (start, stop - 1), side="right") - 1  # targets; an edge ends in them
            pointer = np.clip(indptr[first : last + 2], start, stop) - start
            segment_add(pointer, np.ascontiguousarray(self.make(start, stop)), out[first : last + 1])
        return ag.Tensor(out)


def message_sum(layer: Module, adjacency: Any, h: ag.Tensor, coefficient: ag.Tensor, ctx: Context) -> ag.Tensor:
    """Sum over the edges into each node of coefficient * h[source]; every message passes the site ``message``.

    Parameters
    ----------
    layer : Module
        Whose site it is.
    h : Tensor (N, H * C)
    coefficient : Tensor (E, H)

    Returns
    -------
    Tensor (N, H * C)
    """
    (edges, heads), columns = coefficient.shape, h.shape[1]
    hook = layer.hooks.get("message")
    if ctx.training or ag.is_recording() or not getattr(hook, "takes_blocks", False):
        rows = ag.gather_source(adjacency, h).reshape(edges, heads, columns // heads)
        message = (rows * coefficient.reshape(edges, heads, 1)).reshape(edges, columns)
        return ag.edge_sum(adjacency, layer.site("message", message, ctx, "edge"))

    def make(start: int, stop: int) -> NDArray:
        rows = h.data[adjacency.indices[start:stop]].reshape(stop - start, heads, columns // heads)
        rows *= coefficient.data[start:stop, :, None]
        return rows.reshape(stop - start, columns)

    return hook(EdgeBlocks(adjacency, (edges, columns), h.dtype, make), ctx, "edge").sum()
