"""The float contender: a float model on one graph, packed and fused with the care that the integer program gets.

A neighbour sum reads rows of other blocks, so it starts a new pass over the graph; whatever follows it up to the next
one runs in the same pass on blocks of rows that stay in the cache. Weights are packed once, bias, ReLU and row factors
are applied in registers, GCN leaves its rows scaled for the next layer, and passes share two buffers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from . import float_kernels as kernels
from .float_stages import Attention, Mean, Product, Stage, Sum, packed, pad16, stages_of

__all__ = ["FloatProgram"]

_SERIAL = 200_000  # multiply-adds below which a thread launch does not pay
_LOW = float(np.finfo(np.float32).min)
_AHEAD = 64  # ids of padding, for the prefetch


@dataclass(frozen=True)
class _Place:
    """Where rows stand: in a shared buffer, the output, the scratch memory of a block, or at an address of their own.

    ``slot`` counts the floats of a row that lie before it in the scratch memory, ``column`` bytes inside the row.
    """

    room: str
    stride: int
    address: int = 0
    slot: int = 0
    column: int = 0

    def shifted(self, floats: int) -> _Place:
        return replace(self, column=self.column + 4 * floats)


@dataclass
class _Pass:
    code: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    width: int = 0  # floats of a block's row in scratch memory
    logits: int = 0  # bytes of the longest row's logits
    work: Any = 0.0  # vectors read, a row


class FloatProgram:
    """Stages on dense features, ready to be called; :meth:`of_model` makes them of a model and a graph.

    Parameters
    ----------
    stages : list of Stage
    x : float32 (num_nodes, F), C-contiguous, or None if the first stage reads none
    shape : (num_nodes, out_channels)
    threads : int, optional
        As many as Numba has set, without it.

    Attributes
    ----------
    workspace_bytes : int
        Buffers between input and output, scratch memory included; weights and graph tables are not counted.
    """

    def __init__(self, stages: list[Stage], x: Any, shape: tuple[int, int], threads: int | None = None) -> None:
        self.threads = threads or numba.get_num_threads()
        self.num_nodes, self.shape, self._x = shape[0], shape, x
        self._keep: list[Any] = []
        self._sizes: dict[str, int] = {}
        self._zeros, self._one = self._own(np.zeros(4096, np.float32)), self._own(np.ones(16, np.float32))
        self._tables_of: dict[int, int] = {}
        self._padded, self._scores = None, None
        self.passes = self._compile(stages)
        self._bind()

    @classmethod
    def of_model(cls, model: Any, graph: Any, threads: int | None = None) -> FloatProgram:
        """``model`` (GCN, GAT, GIN or GraphSAGE for nodes; no norm, no residual) on ``graph``.

        Raises
        ------
        ValueError
            If the model has parts that this program does not cover.
        """
        stages, x = stages_of(model, graph)
        return cls(stages, x, (graph.num_nodes, model.config["out_channels"]), threads)

    def __call__(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run; ``out`` is C-contiguous float32 (num_nodes, out_channels)."""
        if out.shape != self.shape or out.dtype != np.float32 or not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError(f"out must be a writable C-contiguous float32 array of shape {self.shape}")
        if self._padded is not None:
            self._padded[: len(out), : self._x.shape[1]] = self._x
        self._last[0][:, kernels.FIELDS.index("dst")] += (out.ctypes.data - self._last[2]) * self._last[1]
        self._last[2] = out.ctypes.data
        for run, arguments in self._calls:
            run(*arguments, self._scratch, self._scratch_step, self._logits, self._logits_step)
        return out

    def describe(self) -> list[str]:
        """The passes, each with what runs on a block."""
        return [" -> ".join(p.names) for p in self.passes]

    @property
    def workspace_bytes(self) -> int:
        padded = 0 if self._padded is None else self._padded.nbytes
        return sum(self._sizes.values()) + self.threads * (self._scratch_step + self._logits_step) + padded

    # -- memory: every address is kept alive here, with the padding that vector loads read beyond it

    def _room(self, size: int) -> int:
        room = np.zeros(size + 2048, np.uint8)
        self._keep.append(room)
        return room.ctypes.data + (-room.ctypes.data % 64)

    def _own(self, array: NDArray) -> int:
        array = np.ascontiguousarray(array)
        room = np.zeros(array.nbytes + 1024, np.uint8)
        start = -room.ctypes.data % 64
        room[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
        self._keep.append(room)
        return room.ctypes.data + start

    def _table(self, array: NDArray) -> int:
        """The address of a graph's table; one copy for all layers that use it."""
        key = id(array)
        if key not in self._tables_of:
            padded = np.append(array, np.zeros(_AHEAD, array.dtype)) if array.dtype == np.int32 else array
            self._tables_of[key] = self._own(padded)
            self._keep.append(array)  # or its id could come back for another
        return self._tables_of[key]

    def _buffer(self, room: str, width: int) -> _Place:
        self._sizes[room] = max(self._sizes.get(room, 0), (self.num_nodes + 16) * width * 4)
        return _Place(room, 4 * width)

    def _next_scores(self, width: int) -> _Place:
        """Two arrays in turns: while a pass writes the next layer's scores, other rows still read this layer's."""
        self._scores = self._buffer(
            "scores B" if self._scores and self._scores.room == "scores A" else "scores A", width
        )
        return self._scores

    # -- stages to passes

    def _source(self, stages: list[Stage]) -> _Place | None:
        """Dense features in place; a padded copy where rows are read in vectors that do not fit."""
        if self._x is None:
            return None
        if self._x.shape[1] % 16 and isinstance(stages[0], Sum):
            self._padded = np.zeros((len(self._x) + 4, pad16(self._x.shape[1])), np.float32)
            return _Place("", 4 * self._padded.shape[1], self._padded.ctypes.data)
        return _Place("", 4 * self._x.shape[1], self._x.ctypes.data)

    def _compile(self, stages: list[Stage]) -> list[_Pass]:
        passes: list[_Pass] = []
        source, whole = self._source(stages), ""
        for n, stage in enumerate(stages):
            if n == 0 or isinstance(stage, Sum | Attention):
                passes.append(_Pass())
            p = passes[-1]
            if n == len(stages) - 1:
                target = _Place("out", 4 * self.shape[1])
            elif isinstance(stages[n + 1], Sum | Attention):
                whole = "B" if whole == "A" else "A"
                target = self._buffer(whole, stage.width)
            else:  # the next stage of this pass reads it out of the cache
                target = _Place("scratch", 4 * stage.width, slot=p.width)
                p.width += stage.width
            self._emit(p, stage, source, target)
            p.names.append(stage.name)
            source = target
        return passes

    def _emit(self, p: _Pass, stage: Stage, source: _Place | None, target: _Place) -> None:
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

    def _product(self, p: _Pass, stage: Product, c: dict[str, Any]) -> None:
        c |= {"op": kernels.PRODUCT, "k": len(stage.weight)}
        p.code.append(c | {"w": self._own(packed(stage.weight))})
        if stage.scores is not None:  # the heads' scores: an array of their own, a tenth as large
            width = stage.scores.shape[1]
            where = {"dst": self._next_scores(width), "vectors": 1, "tail": width}
            p.code.append(c | self._plain() | where | {"w": self._own(packed(stage.scores))})

    def _sum(self, p: _Pass, stage: Sum, c: dict[str, Any]) -> None:
        indptr, indices, weights = stage.edges
        c |= {
            "op": kernels.GATHER, "indptr": self._table(indptr), "indices": self._table(indices), "ahead": 16,
            "weights": 0 if weights is None else self._table(weights), "own": self._zeros, "own_stride": 0,
            "factor": self._one if stage.factor is None else self._own(stage.factor.astype(np.float32)),
            "factor_step": 0 if stage.factor is None else 4, "own_weight": stage.own_weight or 0.0,
        }  # fmt: skip
        p.work = p.work + np.diff(indptr) * c["vectors"]
        if stage.table is not None:  # sparse features: the rows that are summed are those of the weight
            c["src"] = _Place("", 4 * stage.table.shape[1], self._own(stage.table))
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
            where = {"src": _Place("", 64, self._own(table)), "dst": self._next_scores(width)}
            p.code.append(c | self._plain() | where | {"vectors": 1, "tail": width})

    def _attention(self, p: _Pass, stage: Attention, c: dict[str, Any]) -> None:
        indptr, indices, _ = stage.edges
        near, far, mask = stage.head_tables()
        p.code.append(c | {
            "op": kernels.ATTEND, "indptr": self._table(indptr), "indices": self._table(indices), "heads": stage.heads,
            "scores": self._scores, "h0": self._own(near), "h1": self._own(far),
            "mask": self._own(mask), "mixed": int(mask.any()), "slope": stage.slope, "ahead": 8,
        })  # fmt: skip
        p.logits = 4 * stage.heads * int(np.diff(indptr).max(initial=0)) + 512
        p.work = p.work + np.diff(indptr) * (c["vectors"] + 4)

    def _mean(self, p: _Pass, stage: Mean, c: dict[str, Any]) -> None:
        p.code.append(c | {"op": kernels.HEAD_MEAN, "heads": stage.heads, "width": stage.channels})

    # -- passes to tables of addresses

    def _bind(self) -> None:
        rooms = {key: self._room(size) for key, size in self._sizes.items()}
        self._calls, self._scratch_step, self._logits_step = [], 0, 0
        for p in self.passes:
            block = 96 if p.width <= 256 else 48  # multiples of all tiles' rows
            self._scratch_step = max(self._scratch_step, -(-block * 4 * p.width // 4096) * 4096 + 4096)
            self._logits_step = max(self._logits_step, -(-p.logits // 4096) * 4096 + 4096)
            to_out = np.array([c["dst"].room == "out" for c in p.code], np.int64)
            for c in p.code:
                for name in ("src", "dst", "own", "scores"):
                    if isinstance(c.get(name), _Place):
                        self._resolve(c, name, rooms, block)
            code = np.array([[c.get(name, 0) for name in kernels.FIELDS] for c in p.code], np.int64)
            floats = np.array([[c.get(name, 0.0) for name in kernels.FLOATS] for c in p.code], np.float32)
            bounds, small = self._shares(p)
            run = kernels.run_serial if small else kernels.run_parallel
            self._calls.append((run, (code, floats, bounds, block)))
            self._last = [code, to_out, 0]
        self._scratch = self._room(self.threads * self._scratch_step)
        self._logits = self._room(self.threads * self._logits_step) + 1024  # a row's heads are kept before its logits

    def _shares(self, p: _Pass) -> tuple[NDArray[np.int64], bool]:
        """Rows of each thread, of about the same work; and whether one thread does it all sooner."""
        per_row = 4.0 + p.work + sum(c["k"] * c["vectors"] / 8 for c in p.code if c["op"] == kernels.PRODUCT)
        work = np.cumsum(np.broadcast_to(per_row, self.num_nodes))
        total = float(work[-1]) if len(work) else 0.0
        cuts = np.searchsorted(work, np.linspace(0, total, self.threads + 1)[1:-1])
        bounds = np.concatenate([[0], cuts, [self.num_nodes]]).astype(np.int64)
        return bounds, self.threads == 1 or 16 * total < _SERIAL

    @staticmethod
    def _resolve(c: dict[str, Any], name: str, rooms: dict[str, int], block: int) -> None:
        """An address (an offset, for scratch memory and the output) for a place."""
        place = c[name]
        if place.room == "scratch":
            start = 4 * place.slot * block
        else:
            start = place.address if place.room in ("", "out") else rooms[place.room]
        c[name] = start + place.column
        if name in ("src", "dst"):
            c |= {f"{name}_stride": place.stride, f"{name}_relative": int(place.room == "scratch")}
