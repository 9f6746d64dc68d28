"""Where each register of a plan lives: in the scratch memory of a thread, or in the workspace that threads share."""

from __future__ import annotations

from dataclasses import dataclass

from ...kernels.dot.codes import kind_of, row_bytes
from ...kernels.dot.micro import LOCAL, RANGE
from ...kernels.dot.ranges import HEADER
from ..binding import Binding
from .memory import Stretch, arrange
from .ranges import Ranges, closed_boundaries, group_rows
from .units import Source, Unit, Unplanned

__all__ = ["SPARE_ROWS", "TWO_ROWS", "WIDE_CODES", "Home", "Layout"]

SPARE_ROWS = 16
"""Rows behind the last one that kernels may read: the height of the largest register tile."""

_GIVES_CODES = ("quantize", "lookup", "requantize", "add", "pool_max")

WIDE_CODES = ("int16", "sparse halves")
"""Kinds of codes that a product takes in two halves."""

TWO_ROWS = {"halves": (8, 1), "long": (0, 1 << 32)}
"""Kinds of sums of two rows: left shift of the first, weight of the second."""

_CACHE = 150_000
"""Bytes of scratch memory that a block should not exceed. A first-level cache would hold less, but blocks of few rows
fill tiles badly (measured: 5 % of a model of 256 channels)."""

_RANGE_BYTES = 400_000
"""Bytes of a range's rows between phases: a part of a second-level cache."""


@dataclass
class Home:
    """Memory of one register.

    Attributes
    ----------
    kind : str
        "int4", "int8", "int16", "int32" or "float32". Sums beyond 32 bits take two int32 rows side by side: "halves"
        (``256 * first + second``, of a product of 16-bit codes) or "long" (low and high halves, see ``long_sums``).
        Codes of sparse features take 16 bits a stored entry, "sparse", or twice that, "sparse halves".
    row_bytes : int
    room : int
        0: in the workspace, where ``offset`` counts from; LOCAL, RANGE: in a thread's scratch memory.
    """

    kind: str
    row_bytes: int
    room: int
    offset: int = 0

    @property
    def local(self) -> bool:
        """Whether it holds a block of rows only."""
        return self.room == LOCAL


class Layout:
    """Homes of all registers, and the size of a block of rows in each phase.

    Parameters
    ----------
    units : list of Unit
    bound : Binding
        Of the same program, with the bounds of every register.
    threads : int
        Range by range, each of them should get some. 0: not range by range.

    Attributes
    ----------
    ranges : Ranges or None
        If the graph falls into parts, and the program has more than one phase.
    range_bytes : int
        Memory of a thread for a range.
    """

    def __init__(self, units: list[Unit], bound: Binding, threads: int = 0) -> None:
        self.homes: dict[str, Home] = {}
        self.scratch_extra: dict[tuple[int, str], int] = {}
        self.block_rows: dict[tuple[int, str], int] = {}
        self._units, self._bound = units, bound
        readers: dict[str, list[tuple[Unit, bool]]] = {}
        self._odd: set[str] = set()  # read from an odd channel on, where no byte begins if two channels share one
        for unit in units:
            for near, sources in ((True, unit.reads), (False, unit.gathers)):
                for source in sources:
                    readers.setdefault(source.register, []).append((unit, near))
                    if source.start % 2:
                        self._odd.add(source.register)
        self._readers = readers
        self.ranges: Ranges | None = None
        self.range_bytes = 0
        if threads and units[-1].phase:
            for unit in units:
                self._settle(unit, RANGE)
            rows = _RANGE_BYTES // max(1, self._arrange_range(1, spare=0))
            whole_graphs = bound.graph_ptr if any(unit.rows != "node" for unit in units) else None
            closed, indptr = closed_boundaries(bound.graph), bound.graph.adjacency("keep").indptr
            self.ranges = group_rows(closed, indptr, whole_graphs, rows, threads)
        if self.ranges:
            self.range_bytes = self._arrange_range(self.ranges.most)
        else:
            for unit in units:
                self._settle(unit, 0)
        self.scratch_bytes = self._arrange_scratch()
        self.workspace_bytes = self._arrange_workspace()

    def group(self, unit: Unit) -> tuple[int, str]:
        """Phase and kind of rows of a unit: units of one group share their blocks."""
        return unit.phase, unit.rows

    def place(self, source: Source | str, base: int) -> tuple[int, int, bool]:
        """Place of a register, or of some of its channels, with the workspace at address ``base``."""
        start = 0
        if isinstance(source, Source):
            start, source = source.start, source.register
        home = self.homes[source]
        shift = {"int4": start // 2, "int8": start, "int16": 2 * start}.get(home.kind, 4 * start)
        if home.room == RANGE:
            base = -HEADER - self.range_bytes
        return home.offset + shift + (0 if home.local else base), home.row_bytes, home.room

    def _settle(self, unit: Unit, shared: int) -> None:
        """Choose the home of what a unit writes; ``shared`` is the room of registers that outlive a block."""
        register = self._bound.registers[unit.output]
        readers = self._readers.get(unit.output, [])
        if unit is self._units[-1]:
            return  # the exit, which writes the caller's memory
        if not readers:
            raise Unplanned(f"{unit.output} is never read")
        local = all(near and self.group(other) == self.group(unit) for other, near in readers)
        if register.sparse is not None and local and all(len(u.reads) == 1 and u.kind == "matmul" for u, _ in readers):
            self.homes[unit.output] = self._sparse(unit, [u for u, _ in readers])
            return
        channels = unit.steps[-1].channels
        if local and len(readers) == 1:
            kind = self._two_rows(unit, readers[0][0].kind, register.array.dtype == "int64")
            if kind is not None:
                self.homes[unit.output] = Home(kind, 2 * max(64, row_bytes("int32", channels)), LOCAL)
                return
        if register.array.dtype == "int64":
            raise Unplanned(f"{unit.output}: a sum on this graph can leave 32 bits")
        sums = unit.kind not in _GIVES_CODES or register.array.dtype == "int32"
        kind = "int32" if sums else kind_of(register.low, register.high)
        pooled = any(other.kind.startswith("pool") for other, _ in readers)
        if unit.rows != "node":
            shared = 0
        if kind == "int4" and (local or shared or pooled or unit.output in self._odd):
            kind = "int8"  # nothing to gain in a cache, where a matrix product reads bytes
        width = row_bytes(kind, channels)
        if kind == "int32" and (local or unit.kind != "matmul"):  # whole vectors are written; see Records.sums
            width = max(width, 64)
        self.homes[unit.output] = Home(kind, width, LOCAL if local else shared)

    def _two_rows(self, unit: Unit, reader: str, beyond: bool) -> str | None:
        """Kind of sums that are rounded by one other unit, and that may need more than 32 bits; None for an int32 row.
        """
        if unit.kind == "matmul" and reader == "requantize":
            return "halves" if any(self.homes[s.register].kind in WIDE_CODES for s in unit.reads) else None
        return "long" if beyond and unit.kind == "neighbor_sum" and reader in ("requantize", "add_self") else None

    def _sparse(self, unit: Unit, products: list[Unit]) -> Home:
        """Codes of the stored entries less their zero point, for products alone: others read dense rows."""
        a = unit.steps[0].attributes
        fit = -32768 <= a["qmin"] - a["zero_point"] and a["qmax"] - a["zero_point"] <= 32767
        if fit and all(self._bound.registers[u.output].array.dtype != "int64" for u in products):
            return Home("sparse", 2, 0)
        return Home("sparse halves", 4, 0)

    def _last_use(self, unit: Unit, moment: dict[int, int]) -> int:
        return max([moment[id(unit)], *(moment[id(other)] for other, _ in self._readers.get(unit.output, []))])

    def _arrange_scratch(self) -> int:
        """Offsets of local registers, reused within a phase, for the largest block that fits the cache."""
        largest = 0
        moment = {id(unit): k for k, unit in enumerate(self._units)}
        for group in {self.group(unit): None for unit in self._units}:
            members = [u for u in self._units if self.group(u) == group]
            homes = [(u, self.homes[u.output]) for u in members if u.output in self.homes]
            homes = [(u, home) for u, home in homes if home.local]
            for rows in (64, 32, 16):
                stretches = [
                    Stretch(home.row_bytes * (rows + SPARE_ROWS) + 64, moment[id(u)], self._last_use(u, moment))
                    for u, home in homes
                ]
                size = arrange(stretches)
                if size <= _CACHE:
                    break
            self.block_rows[group] = rows
            for (_, home), stretch in zip(homes, stretches, strict=True):
                home.offset = stretch.offset
            self.scratch_extra[group] = size  # kernels that need memory of their own find it behind
            largest = max(largest, size)
        return largest

    def _arrange_range(self, rows: int, spare: int = SPARE_ROWS) -> int:
        """Offsets of the registers that live as long as a range of ``rows`` rows."""
        phases = {id(unit): unit.phase for unit in self._units}
        found = [(u, self.homes[u.output]) for u in self._units if u.output in self.homes]
        found = [(u, home) for u, home in found if home.room == RANGE]
        stretches = [
            Stretch(home.row_bytes * (rows + spare) + (64 if spare else 0), u.phase, self._last_use(u, phases))
            for u, home in found
        ]
        size = arrange(stretches)
        for (_, home), stretch in zip(found, stretches, strict=True):
            home.offset = stretch.offset
        return size

    def _arrange_workspace(self) -> int:
        phases = {id(unit): unit.phase for unit in self._units}
        stretches, homes = [], []
        for unit in self._units:
            home = self.homes.get(unit.output)
            if home is None or home.room:
                continue
            register = self._bound.registers[unit.output]
            sparse = home.kind.startswith("sparse")
            rows = len(register.array) + 64 if sparse else self._bound.count(unit.rows) + SPARE_ROWS
            # Range by range, one thread may be at the last phase while another is at the first.
            first, last = (0, self._units[-1].phase) if self.ranges else (unit.phase, self._last_use(unit, phases))
            stretches.append(Stretch(rows * home.row_bytes + 64, first, last))
            homes.append(home)
        size = arrange(stretches)
        for home, stretch in zip(homes, stretches, strict=True):
            home.offset = stretch.offset
        return size
