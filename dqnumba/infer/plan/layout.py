"""Where each register of a plan lives: in the scratch memory of a thread, or in the workspace that threads share."""

from __future__ import annotations

from dataclasses import dataclass

from ...kernels.dot.codes import kind_of, row_bytes
from ..binding import Binding
from .memory import Stretch, arrange
from .units import Source, Unit, Unplanned

__all__ = ["SPARE_ROWS", "Home", "Layout"]

SPARE_ROWS = 16
"""Rows behind the last one that kernels may read: the height of the largest register tile."""

_GIVES_CODES = ("quantize", "lookup", "requantize", "add", "pool_max")

_CACHE = 150_000
"""Bytes of scratch memory that a block should not exceed. A first-level cache would hold less, but blocks of few rows
fill tiles badly (measured: 5 % of a model of 256 channels)."""


@dataclass
class Home:
    """Memory of one register.

    Attributes
    ----------
    kind : str
        "int4", "int8", "int16", "int32" or "float32".
    row_bytes : int
    local : bool
        In a thread's scratch memory; ``offset`` is then an offset there, else one in the workspace.
    """

    kind: str
    row_bytes: int
    local: bool
    offset: int = 0


class Layout:
    """Homes of all registers, and the size of a block of rows in each phase.

    Parameters
    ----------
    units : list of Unit
    bound : Binding
        Of the same program, with the bounds of every register.
    compact : dict
        Bytes of a row for registers whose rows shall lie close.
    """

    def __init__(self, units: list[Unit], bound: Binding, compact: dict[str, int]) -> None:
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
        for unit in units:
            self._settle(unit, compact)
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
        shift = {"int4": start // 2, "int8": start, "int16": 2 * start, "int32": 4 * start}[home.kind]
        return home.offset + shift + (0 if home.local else base), home.row_bytes, home.local

    def _settle(self, unit: Unit, compact: dict[str, int]) -> None:
        register = self._bound.registers[unit.output]
        readers = self._readers.get(unit.output, [])
        if unit is self._units[-1]:
            return  # the exit, which writes the caller's memory
        if not readers:
            raise Unplanned(f"{unit.output} is never read")
        local = all(near and self.group(other) == self.group(unit) for other, near in readers)
        if register.sparse is not None:
            if not local:
                raise Unplanned(f"{unit.output}: sparse codes that a later layer reads")
            self.homes[unit.output] = Home("int16", 2, False)  # one code a stored entry, its zero point taken off
            return
        if register.array.dtype == "int64":
            raise Unplanned(f"{unit.output}: a sum on this graph can leave 32 bits")
        channels = register.array.shape[1]
        sums = unit.kind not in _GIVES_CODES or register.array.dtype == "int32"
        kind = "int32" if sums else kind_of(register.low, register.high)
        pooled = any(other.kind.startswith("pool") for other, _ in readers)
        if kind == "int4" and (local or pooled or unit.output in self._odd):
            kind = "int8"  # nothing to gain in a cache, where a matrix product reads bytes
        width = compact.get(unit.output) or row_bytes(kind, channels)
        if kind == "int32" and (local or unit.kind != "matmul"):  # whole vectors are written; see Records.sums
            width = max(width, 64)
        self.homes[unit.output] = Home(kind, width, local)

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

    def _arrange_workspace(self) -> int:
        phases = {id(unit): unit.phase for unit in self._units}
        stretches, homes = [], []
        for unit in self._units:
            home = self.homes.get(unit.output)
            if home is None or home.local:
                continue
            register = self._bound.registers[unit.output]
            rows = len(register.array) + (64 if register.sparse is not None else SPARE_ROWS)
            last = self._last_use(unit, phases)
            stretches.append(Stretch(rows * home.row_bytes + 64, unit.phase, last))
            homes.append(home)
        size = arrange(stretches)
        for home, stretch in zip(homes, stretches, strict=True):
            home.offset = stretch.offset
        return size
