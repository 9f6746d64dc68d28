"""The float contender: a float model on one graph, packed and fused with the care that the integer program gets.

A neighbour sum reads rows of other blocks, so it starts a new pass over the graph; whatever follows it up to the next
one runs in the same pass on blocks of rows that stay in the cache. Weights are packed once, bias, ReLU and row factors
are applied in registers, GCN leaves its rows scaled for the next layer, and passes share two buffers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from dqnumba.infer.plan.ranges import closed_boundaries, group_rows

from . import float_kernels as kernels
from .float_launch import Launch, Pass, Place, aligned
from .float_stages import Attention, Mean, Product, Stage, Sum, packed, pad16, stages_of

__all__ = ["FloatProgram"]

_RANGE_BYTES = 800_000  # of a range's rows between passes
_LOW = float(np.finfo(np.float32).min)
_AHEAD = 64  # ids of padding, for the prefetch


class FloatProgram:
    """Stages on dense features, ready to be called; :meth:`of_model` makes them of a model and a graph.

    Parameters
    ----------
    stages : list of Stage
    x : float32 (num_nodes, F), C-contiguous, or None if the first stage reads none
    shape : (num_nodes, out_channels)
    threads : int, optional
        As many as Numba has set, without it.
    graph : Graph, optional
        Of the stages' edges: to run range by range where it falls into parts.

    Attributes
    ----------
    passes : list of Pass
    ranges : int64 (R + 1,) or None
        Rows at which the ranges begin that a thread takes through all passes; None if it runs pass by pass.
    workspace_bytes : int
        Buffers between input and output, scratch memory included; weights and graph tables are not counted.
    """

    def __init__(self, stages: list[Stage], x: Any, shape: tuple[int, int], threads: int | None = None,
                 graph: Any = None) -> None:  # fmt: skip
        self.num_nodes, self.shape, self._x = shape[0], shape, x
        self._keep: list[Any] = []
        self._widths: dict[str, int] = {}
        self._zeros, self._one = self._own(np.zeros(4096, np.float32)), self._own(np.ones(16, np.float32))
        self._tables_of: dict[int, int] = {}
        self._padded, self._scores = None, None
        self.passes = self._compile(stages)
        threads = threads or numba.get_num_threads()
        self.ranges = None if graph is None or len(self.passes) < 2 else self._ranges_of(graph, threads)
        self._launch = Launch(self.passes, self._widths, self.num_nodes, threads, self.ranges)

    @classmethod
    def of_model(cls, model: Any, graph: Any, threads: int | None = None) -> FloatProgram:
        """``model`` (GCN, GAT, GIN or GraphSAGE for nodes; no norm, no residual) on ``graph``.

        Raises
        ------
        ValueError
            If the model has parts that this program does not cover.
        """
        stages, x = stages_of(model, graph)
        return cls(stages, x, (graph.num_nodes, model.config["out_channels"]), threads, graph)

    def __call__(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run; ``out`` is C-contiguous float32 (num_nodes, out_channels)."""
        if out.shape != self.shape or out.dtype != np.float32 or not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError(f"out must be a writable C-contiguous float32 array of shape {self.shape}")
        if self._padded is not None:
            self._padded[: len(out), : self._x.shape[1]] = self._x
        self._launch(out.ctypes.data)
        return out

    def describe(self) -> list[str]:
        """The passes, each with what runs on a block."""
        return [" -> ".join(p.names) for p in self.passes]

    @property
    def workspace_bytes(self) -> int:
        padded = 0 if self._padded is None else self._padded.nbytes
        return self._launch.workspace_bytes + padded

    # -- memory: every address is kept alive here, with the padding that vector loads read beyond it

    def _own(self, array: NDArray) -> int:
        room = aligned(array.shape, array.dtype, slack=1024)
        room[...] = array
        self._keep.append(room)
        return room.ctypes.data

    def _table(self, array: NDArray) -> int:
        """The address of a graph's table; one copy for all layers that use it."""
        key = id(array)
        if key not in self._tables_of:
            padded = np.append(array, np.zeros(_AHEAD, array.dtype)) if array.dtype == np.int32 else array
            self._tables_of[key] = self._own(padded)
            self._keep.append(array)  # or its id could come back for another
        return self._tables_of[key]

    def _buffer(self, room: str, width: int) -> Place:
        self._widths[room] = max(self._widths.get(room, 0), 4 * width)
        return Place(room, 4 * width)

    def _next_scores(self, width: int) -> Place:
        """Two arrays in turns: while a pass writes the next layer's scores, other rows still read this layer's."""
        self._scores = self._buffer(
            "scores B" if self._scores and self._scores.room == "scores A" else "scores A", width
        )
        return self._scores

    # -- stages to passes

    def _source(self, stages: list[Stage]) -> Place | None:
        """Dense features in place; a padded copy where rows are read in vectors that do not fit."""
        if self._x is None:
            return None
        if self._x.shape[1] % 16 and isinstance(stages[0], Sum):
            self._padded = np.zeros((len(self._x) + 4, pad16(self._x.shape[1])), np.float32)
            return Place("", 4 * self._padded.shape[1], self._padded.ctypes.data)
        return Place("", 4 * self._x.shape[1], self._x.ctypes.data)

    def _compile(self, stages: list[Stage]) -> list[Pass]:
        passes: list[Pass] = []
        source, whole = self._source(stages), ""
        for n, stage in enumerate(stages):
            if n == 0 or isinstance(stage, Sum | Attention):
                passes.append(Pass())
            p = passes[-1]
            if n == len(stages) - 1:
                target = Place("out", 4 * self.shape[1])
            elif isinstance(stages[n + 1], Sum | Attention):
                whole = "B" if whole == "A" else "A"
                target = self._buffer(whole, stage.width)
            else:  # the next stage of this pass reads it out of the cache
                target = Place("block", 4 * stage.width, slot=p.width)
                p.width += stage.width
            self._emit(p, stage, source, target)
            p.names.append(stage.name)
            source = target
        return passes

    def _emit(self, p: Pass, stage: Stage, source: Place | None, target: Place) -> None:
        c = {
            "src": source, "dst": target, "vectors": -(-stage.columns // 16),
            "tail": (stage.columns % 16 or 16) if target.room == "out" else 16,
            "bias": self._zeros if stage.bias is None else self._own(stage.bias),
            "post": self._one if stage.post is None else self._own(stage.post.astype(np.float32)),
            "post_step": 0 if stage.post is None else 4, "floor": 0.0 if stage.relu else _LOW,
        }  # fmt: skip
        emit = {Product: self._product, Sum: self._sum, Attention: self._attention, Mean: self._mean}[type(stage)]
        emit(p, stage, c)

    def _plain(self) -> dict[str, Any]:
        """No bias, no ReLU, no factor."""
        return {"bias": self._zeros, "post": self._one, "post_step": 0, "floor": _LOW}

    def _product(self, p: Pass, stage: Product, c: dict[str, Any]) -> None:
        c |= {"op": kernels.PRODUCT, "k": len(stage.weight)}
        p.code.append(c | {"w": self._own(packed(stage.weight))})
        if stage.scores is not None:  # the heads' scores: an array of their own, a tenth as large
            width = stage.scores.shape[1]
            where = {"dst": self._next_scores(width), "vectors": 1, "tail": width}
            p.code.append(c | self._plain() | where | {"w": self._own(packed(stage.scores))})

    def _sum(self, p: Pass, stage: Sum, c: dict[str, Any]) -> None:
        indptr, indices, weights = stage.edges
        c |= {
            "op": kernels.GATHER, "indptr": self._table(indptr), "indices": self._table(indices), "ahead": 16,
            "weights": 0 if weights is None else self._table(weights), "own": self._zeros, "own_stride": 0,
            "factor": self._one if stage.factor is None else self._own(stage.factor.astype(np.float32)),
            "factor_step": 0 if stage.factor is None else 4, "own_weight": stage.own_weight or 0.0,
        }  # fmt: skip
        p.work = p.work + np.diff(indptr) * c["vectors"]
        if stage.table is not None:  # sparse features: the rows that are summed are those of the weight
            c["src"] = Place("", 4 * stage.table.shape[1], self._own(stage.table))
        if stage.own_weight is not None:
            c |= {"own": c["src"].shifted(stage.own_column), "own_stride": c["src"].stride}
        left, at = c["vectors"], 0
        while left:
            v = next(size for size in (16, 8, 4, 3, 2, 1) if size <= left)
            own = c["own"].shifted(16 * at) if stage.own_weight is not None else c["own"]
            p.code.append(c | {
                "vectors": v, "src": c["src"].shifted(16 * at), "dst": c["dst"].shifted(16 * at), "own": own,
                "bias": c["bias"] + 64 * at, "tail": c["tail"] if v == left else 16, "ahead": max(4, 48 // v),
            })  # fmt: skip
            at, left = at + v, left - v
        if stage.beside:  # SAGE: the row itself beside the mean of its neighbours
            p.code.append(c | {"op": kernels.COPY, "dst": c["dst"].shifted(pad16(stage.columns))})
        if stage.scores is not None:
            width = stage.scores.shape[1]
            table = np.zeros((len(stage.scores), 16), np.float32)
            table[:, :width] = stage.scores
            where = {"src": Place("", 64, self._own(table)), "dst": self._next_scores(width)}
            p.code.append(c | self._plain() | where | {"vectors": 1, "tail": width})

    def _attention(self, p: Pass, stage: Attention, c: dict[str, Any]) -> None:
        indptr, indices, _ = stage.edges
        near, far, mask = stage.head_tables()
        p.code.append(c | {
            "op": kernels.ATTEND, "indptr": self._table(indptr), "indices": self._table(indices), "heads": stage.heads,
            "scores": self._scores, "h0": self._own(near), "h1": self._own(far),
            "mask": self._own(mask), "mixed": int(mask.any()), "slope": stage.slope, "ahead": 8,
        })  # fmt: skip
        p.logits = 4 * stage.heads * int(np.diff(indptr).max(initial=0)) + 512
        p.work = p.work + np.diff(indptr) * (c["vectors"] + 4)

    def _mean(self, p: Pass, stage: Mean, c: dict[str, Any]) -> None:
        p.code.append(c | {"op": kernels.HEAD_MEAN, "heads": stage.heads, "width": stage.channels})

    def _ranges_of(self, graph: Any, threads: int) -> NDArray[np.int64] | None:
        """Ranges of rows that no edge leaves, such that what lies between passes stays in a cache; None without."""
        rows = _RANGE_BYTES // max(1, sum(self._widths.values()))
        found = group_rows(closed_boundaries(graph), graph.adjacency("keep").indptr, None, rows, threads)
        return None if found is None else found.nodes
