"""``bind``: everything that belongs to one graph, made once: row factors, buffers, accumulator widths, the calls
of each step.

The bounds of every register are followed through the program. Where an accumulator could leave int32 on this graph it
becomes int64 and the kernels' exact wide path runs; where even that would not be exact, OverflowRiskError is raised
before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OverflowRiskError
from ..graph import Graph
from ..quant import quantize_multiplier
from .overflow import Register
from .program import Program, Step

__all__ = ["Binding"]

WIDE_LIMIT = 1 << 61


class Binding:
    """Tables and registers of one program on one graph; the closures of :mod:`.execute` are built on it.

    Parameters
    ----------
    program : Program
    graph : Graph
    backend : module or None
        A namespace of integer kernels; None if only the bounds are wanted: the registers then take no memory.
    """

    def __init__(self, program: Program, graph: Graph, backend: ModuleType | None) -> None:
        self.program, self.graph, self.backend = program, graph, backend
        self.x: Any = graph.x
        self.registers: dict[str, Register] = {}
        self.sums: set[str] = set()
        self.graph_ptr = graph.graph_ptr if graph.graph_ptr is not None else np.array([0, graph.num_nodes], np.int64)
        self._factors: dict[str, NDArray[np.float64]] = {}
        self._levels: dict[str, tuple[NDArray[np.float64], NDArray[np.intp]]] = {}

    def count(self, rows: str) -> int:
        """Number of rows of a kind; edges are counted with every node's self-loop."""
        if rows == "edge":
            return self.graph.adjacency("add").num_edges
        return self.graph.num_nodes if rows == "node" else len(self.graph_ptr) - 1

    def constant(self, step: Step, role: str) -> NDArray:
        """The constant that ``step`` names for ``role``."""
        return self.program.tensors[step.tensors[role]]

    def buffer(self, shape: tuple[int, ...], dtype: type) -> NDArray:
        """Zeros, or without a backend a read-only stand-in of one element."""
        if self.backend is None:
            return np.broadcast_to(np.zeros((), dtype), shape)
        return np.zeros(shape, dtype)

    def codes(self, step: Step, low: int, high: int) -> NDArray:
        """A new register of codes between ``low`` and ``high``: int8, int16 or int32, the narrowest that holds them."""
        dtype = next(t for t in (np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
        array = self.buffer((self.count(step.rows), step.channels), dtype)
        self.registers[step.output] = Register(array, low, high)
        return array

    def accumulator(self, step: Step, low: int, high: int, counts: NDArray[np.int64] | None = None) -> NDArray:
        """A new register of sums between ``low`` and ``high``: int32, or int64 where int32 could not hold them."""
        if max(-low, high) >= WIDE_LIMIT:
            raise OverflowRiskError(
                f"{step.site or step.op}: sums on this graph could reach {max(-low, high):.3g}, "
                "beyond the exact 62-bit path. Use fewer bits at this site, or split the graph."
            )
        wide = low < np.iinfo(np.int32).min or high > np.iinfo(np.int32).max
        array = self.buffer((self.count(step.rows), step.channels), np.int64 if wide else np.int32)
        self.registers[step.output] = Register(array, low, high, counts=counts)
        self.sums.add(step.output)
        return array

    def factor(self, name: str) -> NDArray[np.float64]:
        """A row factor of ``ROW_FACTORS``, float64; IEEE division and square root give the same bits on every CPU."""
        if name not in self._factors:
            if name == "pool_mean":
                count = np.diff(self.graph_ptr).astype(np.float64)
            else:
                count = self.graph.adjacency("keep" if name == "mean" else "add").in_degree.astype(np.float64)
            inverse = np.where(count > 0, 1.0 / np.maximum(count, 1.0), 0.0)
            self._factors[name] = np.sqrt(inverse) if name == "gcn" else inverse
        return self._factors[name]

    def row_multiplier(
        self, multiplier: int, shift: int, name: str | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(multiplier * 2**-shift) times a row factor as integer pairs, shape (R, 1), or (1, 1) without a factor."""
        if name is None:
            return np.array([[multiplier]], np.int64), np.array([[shift]], np.int64)
        if name not in self._levels:  # degrees repeat, and so do the layers that ask
            self._levels[name] = np.unique(self.factor(name), return_inverse=True)
        values, inverse = self._levels[name]
        m, s = quantize_multiplier(np.ldexp(float(multiplier), -shift) * values)
        return m[inverse].reshape(-1, 1), s[inverse].reshape(-1, 1)

    def dense(self, name: str, zero_point: int) -> Callable[[], NDArray]:
        """Access to a register of codes as a dense array; stored entries of sparse codes are written out at each
        call.
        """
        register = self.registers[name]
        if register.sparse is None:
            return lambda: register.array
        out = self.buffer(register.sparse.shape, register.array.dtype)

        def write_out() -> NDArray:
            out.fill(zero_point)
            out[register.sparse.row_ids, register.sparse.indices] = register.array
            return out

        return write_out
