"""The operation records of each unit: which micro-kernel, on which memory, with which tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...kernels.dot import combine, copy_rows
from ...kernels.dot.codes import row_bytes
from ...kernels.dot.copy_rows import copy_rows_op
from ...kernels.dot.fold import Fold, FoldedStage
from ...kernels.dot.hubs import Hubs, hub_limit, split_hubs
from ...kernels.dot.launch import Phase
from ...kernels.dot.long_sums import long_own_op
from ...kernels.dot.requantize import Own, requantize_op
from ..binding import Binding
from .layout import SPARE_ROWS, TWO_ROWS, Layout
from .tables import Edges
from .units import Source, Unit, gathered_edges

__all__ = ["Records", "records_of"]

Place = tuple[int, int, bool]

_STREAMED = 4_000_000
"""Bytes of a result beyond which it is written past the caches: its lines need then not be read first."""


class Records:
    """Builds records; keeps the arrays that they point to.

    Parameters
    ----------
    bound : Binding
    layout : Layout
    base : int
        Address of the workspace.
    status : int
        Address of the int64 where entry kernels report features that are no numbers.
    packs : dict
        Weights in the order of a kernel, by name and order: what was made for another graph is taken from there.

    Attributes
    ----------
    keep : list
        What must live as long as the records.
    scratch_bytes : int
        Scratch memory that a thread needs.
    """

    def __init__(self, bound: Binding, layout: Layout, base: int, status: int, packs: dict[tuple, Any]) -> None:
        self.bound, self.layout, self.base, self.status, self.packs = bound, layout, base, status, packs
        self.keep: list[Any] = []
        self.scratch_bytes = layout.scratch_bytes
        # Largest |value| of the rows of a sum: (rows,) or (1,) float64.
        self.reach: dict[str, NDArray[np.float64]] = {}
        self._edges: dict[tuple[str, bool], Edges] = {}
        self.threads = numba.config.NUMBA_NUM_THREADS

    def phase(self, units: list[Unit], group: tuple[int, str]) -> tuple[list[Phase], list, list[tuple[str, int, int]]]:
        """Phases to run before, records of the group's own phase, and the fields (what, record, field) that hold
        addresses of the caller's arrays.
        """
        self.before: list[Phase] = []
        self.ops: list[NDArray[np.int64]] = []
        self.patches: list[tuple[str, int, int]] = []
        self.group = group
        for unit in units:
            _RECORDS[unit.kind](self, unit)
        return self.before, self.ops, self.patches

    # ---- what belongs to the graph; plans for many graphs (`template.py`) put it in later

    def edges(self, unit: Unit) -> Edges:
        """CSR arrays that a gathering unit runs over."""
        key = gathered_edges(unit)
        if key not in self._edges:
            self._edges[key] = Edges(self.bound.graph, *key)
        return self._edges[key]

    def edge_lists(self, unit: Unit) -> tuple[int, int]:
        """Addresses of the two arrays of :meth:`edges`."""
        edges = self.edges(unit)
        return self.held(edges.indptr), self.held(edges.indices)

    def hubs(self, unit: Unit, most: int) -> Hubs | None:
        """Rows of :meth:`edges` that are to be summed in pieces of at most ``most`` edges."""
        indptr = self.edges(unit).indptr
        most = min(most, hub_limit(int(indptr[-1]), self.threads))
        return None if self.layout.ranges else split_hubs(indptr, most)

    def graph_starts(self) -> int:
        """Address of the first row of each graph."""
        return self.held(self.bound.graph_ptr)

    def row_array(self, array: NDArray) -> int:
        """Address of an array with an entry for each row of the group at work."""
        return self.held(array)

    # ---- helpers of the rules below

    def home(self, source: Source | str) -> Any:
        return self.layout.homes[source.register if isinstance(source, Source) else source]

    def place(self, source: Source | str) -> Place:
        return self.layout.place(source, self.base)

    def second(self, source: Source | str) -> Place:
        """Place of the second of the two parts that some kinds have, whose first one :meth:`place` gives."""
        base, stride, local = self.place(source)
        if self.home(source).kind == "sparse halves":
            name = source.register if isinstance(source, Source) else source
            return base + stride // 2 * (len(self.bound.registers[name].array) + 64), stride, local
        return base + stride // 2, stride, local

    def add(self, op: NDArray[np.int64] | tuple[NDArray[np.int64], list] | list) -> None:
        """Append a record, or a record and what it points to, or several records."""
        if isinstance(op, tuple):
            op, keep = op
            self.keep.append(keep)
        self.ops += op if isinstance(op, list) else [op]

    def held(self, array: NDArray) -> int:
        """Address of an array that is kept."""
        self.keep.append(array)
        return array.ctypes.data

    def extra(self, size: int) -> int:
        """Offset of scratch memory for one kernel of this phase, behind the local registers."""
        offset = -(-self.layout.scratch_extra[self.group] // 64) * 64
        self.scratch_bytes = max(self.scratch_bytes, offset + size)
        return offset

    def reserved(self, row_bytes: int) -> Place:
        """Rows in scratch memory, behind the local registers, that no later kernel of this phase takes."""
        offset, rows = self.extra(0), self.layout.block_rows[self.group] + SPARE_ROWS
        self.layout.scratch_extra[self.group] = offset + row_bytes * rows
        self.scratch_bytes = max(self.scratch_bytes, offset + row_bytes * rows)
        return offset, row_bytes, True

    def sums(self, unit: Unit) -> tuple[Place, list[NDArray[np.int64]]]:
        """Where a product writes whole vectors, and what then brings them to the unit's home.

        Rows of a few sums that other phases gather lie closer than a vector is long. A vector written there would reach
        into the rows behind, which may be those of another thread's block.
        """
        home, columns = self.home(unit.output), unit.steps[-1].channels
        if home.local or home.row_bytes >= 64:
            return self.place(unit.output), []
        out = self.reserved(64)
        return out, [copy_rows_op(source=out, target=self.place(unit.output), width=4 * columns)]


_RECORDS: dict[str, Callable[[Records, Unit], None]] = {}


def records_of(kind: str) -> Callable:
    """Decorate the function that builds the records of the units of one kind."""

    def register(function: Callable) -> Callable:
        _RECORDS[kind] = function
        return function

    return register


@records_of("add_self")
def _add_self(r: Records, unit: Unit) -> None:
    step, a = unit.steps[0], unit.steps[0].attributes
    total, own = unit.reads
    codes = r.bound.registers[own.register]
    reach, zero, weight = r.reach[total.register], a["zero_in"], a["self_weight"]
    multiplier, shift = (t[:, 0] for t in r.bound.row_multiplier(a["multiplier"], a["shift"], a["row_factor"]))
    m, right = (int(multiplier[0]), int(shift[0])) if len(multiplier) else (1, 0)
    gain: int | FoldedStage = m.bit_length() - 1 - right
    if len(multiplier) > 1 or m <= 0 or m & (m - 1) or gain < 0:
        gain = FoldedStage("row", multiplier, shift - 1, np.ones(1, np.int64), 1)
    self_reach = abs(weight) * max(abs(codes.low - zero), abs(codes.high - zero))
    place, long = r.place(total), r.home(total).kind == "long"
    if long or (isinstance(gain, FoldedStage) and (gain.reach(reach)[0] >= 2.0**31 * 0.999).any()):
        # Some hub's sum needs more than 32 bits while it is scaled: that alone first, as a requantization can.
        place, gain = r.reserved(max(64, row_bytes("int32", step.channels))), 0
        r.add(requantize_op(
            source=r.place(total), source_kind="int32", output=place, output_kind="int32", columns=step.channels,
            fold=Fold([(multiplier[:, None], shift[:, None], np.zeros((1, 1), np.int64))], 0), magnitude=reach,
            zero_in=0, low=-(1 << 31), high=(1 << 31) - 1, own=_second_row(r, total) if long else None,
            row_array=r.row_array,
        ))  # fmt: skip
    r.reach[step.output] = reach * np.ldexp(np.abs(multiplier).astype(np.float64), -shift) + 1 + self_reach
    r.add(combine.add_self_op(
        total=place, own=r.place(own), own_kind=r.home(own).kind, output=r.place(unit.output), columns=step.channels,
        zero=zero, weight=weight, gain=gain, row_array=r.row_array,
    ))  # fmt: skip


@records_of("requantize")
def _requantize(r: Records, unit: Unit) -> None:
    joins = unit.steps[0].op == "add_self"
    step = unit.steps[int(joins)]
    a, source = step.attributes, unit.reads[0]
    register = r.bound.registers[source.register]
    stages = []
    for i, stage in enumerate(a["stages"]):
        if f"multipliers{i}" in step.tensors:
            m, s = (r.bound.constant(step, f"{role}{i}").astype(np.int64)[None] for role in ("multipliers", "shifts"))
        else:
            m, s = r.bound.row_multiplier(stage["multiplier"], stage["shift"], stage["row_factor"])
        bias = r.bound.constant(step, f"bias{i}").astype(np.int64)[None] if f"bias{i}" in step.tensors else None
        stages.append((m, s, np.zeros((1, 1), np.int64) if bias is None else bias))
    zero = a["zero_in"]
    reach = r.reach.get(source.register)
    if reach is None:
        reach = np.array([max(abs(register.low - zero), abs(register.high - zero))], np.float64)
    else:
        reach = reach + abs(zero)
    own = None
    if joins:
        own, reach = _own(r, unit, reach)
    elif r.home(source).kind in TWO_ROWS:
        own = _second_row(r, source)
    _emit_requantize(r, unit, Fold(stages, a["zero_point"]), reach, zero, a["low"], a["high"], own)
    if unit.steps[-1].op != "dequantize" and r.home(unit.output).kind == "int32":
        r.reach[unit.output] = np.array([max(abs(a["low"]), abs(a["high"]))], np.float64)


def _own(r: Records, unit: Unit, reach: NDArray[np.float64]) -> tuple[Own, NDArray[np.float64]]:
    """The own codes of a unit that begins with ``add_self``, and how large the joined sums can be."""
    step, (total, codes) = unit.steps[0], unit.reads
    a, register, kind = step.attributes, r.bound.registers[codes.register], r.home(codes).kind
    left, zero, weight = a["multiplier"].bit_length() - 1 - a["shift"], a["zero_in"], a["self_weight"]
    reach = np.ldexp(reach, left) + abs(weight) * max(abs(register.low - zero), abs(register.high - zero))
    if r.home(total).kind != "long":
        return Own(r.place(codes), kind, zero, weight, left), reach
    r.add(long_own_op(
        low=r.place(total), high=r.second(total), own=r.place(codes), own_kind=kind, columns=step.channels, zero=zero,
        weight=weight, left=left,
    ))  # fmt: skip
    return _second_row(r, total), reach


def _second_row(r: Records, source: Source) -> Own:
    """The second row of a sum of two. In 32 bits the weight of a "long" one's is 0, and so are the rows that fit."""
    left, weight = TWO_ROWS[r.home(source).kind]
    return Own(r.second(source), "int32", 0, weight, left)


@records_of("dequantize")
def _dequantize(r: Records, unit: Unit) -> None:
    _emit_requantize(r, unit, Fold([], 0), np.zeros(1), 0, -(1 << 31), (1 << 31) - 1)


def _emit_requantize(
    r: Records, unit: Unit, fold: Fold, reach: NDArray[np.float64], zero: int, low: int, high: int,
    own: Own | None = None,
) -> None:  # fmt: skip
    source, last, columns = unit.reads[0], unit.steps[-1], unit.steps[0].channels
    exit_ = last.op == "dequantize"
    width = 4 * columns
    streamed = exit_ and r.bound.count(last.rows) * width > _STREAMED
    if streamed:
        output = (r.extra(r.layout.block_rows[r.group] * width + 64), width, True)
    elif exit_:
        output = (0, width, False)
        r.patches.append(("out", len(r.ops), 4))
    else:
        output = r.place(unit.output)
    r.add(requantize_op(
        source=r.place(source), source_kind="int32" if r.home(source).kind in TWO_ROWS else r.home(source).kind,
        output=output,
        output_kind="float32" if exit_ else r.home(unit.output).kind, columns=columns, fold=fold, magnitude=reach,
        zero_in=zero, low=low, high=high, scale=np.asarray(last.attributes["scale"], np.float32) if exit_ else None,
        zero_exit=last.attributes["zero_in"] if exit_ else 0, own=own, row_array=r.row_array,
    ))  # fmt: skip
    if streamed:
        r.patches.append(("out", len(r.ops), 4))
        r.add(copy_rows.stream_rows_op(source=output, target=(0, width, False), width=width))


@records_of("add")
def _add(r: Records, unit: Unit) -> None:
    a, (first, second) = unit.steps[0].attributes, unit.reads
    r.add(combine.add_op(
        first=r.place(first), first_kind=r.home(first).kind, second=r.place(second), second_kind=r.home(second).kind,
        output=r.place(unit.output), output_kind=r.home(unit.output).kind, columns=unit.steps[0].channels,
        zeros=(a["zero1"], a["zero2"]), multipliers=(a["multiplier1"], a["multiplier2"]), shift=a["shift"],
        zero_point=a["zero_point"], low=a["low"], high=a["high"],
    ))  # fmt: skip


@records_of("head_sum")
def _head_sum(r: Records, unit: Unit) -> None:
    step, source = unit.steps[0], unit.reads[0]
    heads = step.attributes["heads"]
    r.reach[step.output] = heads * r.reach[source.register]
    r.add(combine.head_sum_op(
        source=r.place(source), output=r.place(unit.output), columns=step.channels, heads=heads
    ))  # fmt: skip
