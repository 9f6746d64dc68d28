"""Passes of the float program with the addresses of one graph: ready to be run again and again.

A graph's rows are all taken through a pass before the next begins; threads take them in parts of about the same work.
Where the rows fall into ranges that no edge leaves (a batch of small graphs), a thread takes one range through all
passes, in memory of its own that stays in its cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import float_kernels as kernels

__all__ = ["Launch", "Pass", "Place", "aligned"]

_SERIAL = 200_000  # multiply-adds below which a thread launch does not pay
_PLACES = ("src", "dst", "own", "scores")


@dataclass(frozen=True)
class Place:
    """Where rows stand.

    Attributes
    ----------
    room : str
        "" (at an address of its own), "out", "block" (scratch memory of a block), or a buffer between passes.
    stride : int
        Bytes of a row.
    address, column : int
        Of row 0, in the room ""; bytes inside the row.
    slot : int
        Floats of a block's row that lie before it in scratch memory.
    """

    room: str
    stride: int
    address: int = 0
    slot: int = 0
    column: int = 0

    def shifted(self, floats: int) -> Place:
        return replace(self, column=self.column + 4 * floats)


@dataclass
class Pass:
    """Instructions that a block of rows goes through, by names of :data:`~bench.float_kernels.FIELDS`."""

    code: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    width: int = 0  # floats of a block's row in scratch memory
    logits: int = 0  # bytes of the longest row's logits
    work: Any = 0.0  # vectors read, a row

    @property
    def block(self) -> int:
        """Rows of a block: a multiple of all tiles' rows."""
        return 96 if self.width <= 256 else 48


def aligned(shape: tuple[int, ...], dtype: Any = np.uint8, slack: int = 0) -> NDArray:
    """Zeros that begin at a multiple of 64 bytes, with ``slack`` bytes behind them that may be read and written."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + slack + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


class Launch:
    """Tables for the machine.

    Parameters
    ----------
    passes : list of Pass
    widths : dict
        Bytes of a row of each buffer between passes.
    num_nodes, threads : int
    ranges : int64 (R + 1,), optional
        Rows at which ranges that no edge leaves begin, and the end of the last.

    Attributes
    ----------
    workspace_bytes : int
    """

    def __init__(self, passes: list[Pass], widths: dict[str, int], num_nodes: int, threads: int,
                 ranges: NDArray[np.int64] | None = None) -> None:  # fmt: skip
        rows = num_nodes if ranges is None else int(np.diff(ranges).max())
        sizes = {room: (rows + 16) * width for room, width in widths.items()}
        end = _up(max(4 * p.width * p.block for p in passes))
        self._rooms: dict[str, int] = {}
        self._keep = []
        for room, size in sizes.items():
            if ranges is None:
                self._keep.append(aligned((size,), slack=2048))
                self._rooms[room] = self._keep[-1].ctypes.data
            else:
                self._rooms[room], end = end, _up(end + size + 512)
        self._between = kernels.ALL if ranges is None else kernels.RANGE
        self._logits = end + 1024  # a row's heads are kept before its logits
        self._memory = aligned((threads, _up(self._logits + max(p.logits for p in passes))), slack=2048)
        self.workspace_bytes = self._memory.nbytes + (sum(sizes.values()) if ranges is None else 0)
        instructions = [c for p in passes for c in p.code]
        self._to_out = np.array([c["dst"].room == "out" for c in instructions], np.int64)
        self._out = 0
        rows_of_code = [self._addresses(c, p.block) for p in passes for c in p.code]
        self._code = np.array([[c.get(name, 0) for name in kernels.FIELDS] for c in rows_of_code], np.int64)
        floats = np.array([[c.get(name, 0.0) for name in kernels.FLOATS] for c in rows_of_code], np.float32)
        counts = np.cumsum([0] + [len(p.code) for p in passes])
        table = np.array([[*counts[k : k + 2], p.block] for k, p in enumerate(passes)], np.int64)
        work = [np.cumsum(np.broadcast_to(_work(p), num_nodes)) for p in passes]
        self._threads, self._counter = threads, aligned((8,), np.int64)
        if ranges is None:
            self._calls = [self._call(table[k : k + 1], floats, _parts(w, threads), w) for k, w in enumerate(work)]
        else:
            self._calls = [self._call(table, floats, ranges, np.sum(work, axis=0))]

    def __call__(self, out: int) -> None:
        """Run, with the rows of the output at the address ``out``."""
        self._code[:, kernels.FIELDS.index("dst")] += (out - self._out) * self._to_out
        self._out = out
        for run, arguments in self._calls:
            run(*arguments)

    def _call(self, table: NDArray, floats: NDArray, bounds: NDArray, work: NDArray) -> tuple[Any, tuple]:
        """What to run; on one thread if that is sooner."""
        arguments = (table, self._code, floats, bounds, self._memory, self._logits)
        if self._threads == 1 or not len(work) or 16 * work[-1] < _SERIAL:
            return kernels.run_serial, arguments
        return kernels.run_parallel, (*arguments, self._threads, self._counter)

    def _addresses(self, c: dict[str, Any], block: int) -> dict[str, Any]:
        """An instruction with an address (an offset, in a room of the thread's memory) for each place."""
        made = dict(c)
        for name in _PLACES:
            place = c.get(name)
            if not isinstance(place, Place):
                continue
            if place.room == "block":
                start, room = 4 * place.slot * block, kernels.BLOCK
            elif place.room in ("", "out"):
                start, room = place.address, kernels.ALL
            else:
                start, room = self._rooms[place.room], self._between
            made |= {name: start + place.column, f"{name}_stride": place.stride, f"{name}_room": room}
        return made


def _work(p: Pass) -> Any:
    """Of a row, about: vectors read and multiplied."""
    return 4.0 + p.work + sum(c["k"] * c["vectors"] / 8 for c in p.code if c["op"] == kernels.PRODUCT)


def _parts(work: NDArray[np.float64], threads: int) -> NDArray[np.int64]:
    """Bounds of parts of about the same work, for threads to take: many, so that none waits long for the last; one a
    thread for few rows, which then stay in its cache from pass to pass."""
    count = min(32 * threads, max(threads, len(work) // 1024))
    cuts = np.searchsorted(work, np.linspace(0, work[-1] if len(work) else 0.0, count + 1)[1:-1])
    return np.concatenate([[0], cuts, [len(work)]]).astype(np.int64)


def _up(size: int) -> int:
    return -(-size // 4096) * 4096
