"""The operation records of each unit: which micro-kernel, on which memory, with which tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...kernels.dot import combine, copy_rows, matmul, matmul_pack, sparse
from ...kernels.dot.codes import row_bytes
from ...kernels.dot.copy_rows import copy_rows_op
from ...kernels.dot.fold import Fold, FoldedStage
from ...kernels.dot.launch import Phase, aligned
from ...kernels.dot.matmul_trust import trusted_isa
from ...kernels.dot.requantize import Own, requantize_op
from ..binding import Binding
from .layout import SPARE_ROWS, Layout
from .tables import Edges
from .units import Source, Unit, Unplanned

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
    status : int64 (1,)
        Where entry kernels report features that are no numbers.

    Attributes
    ----------
    keep : list
        What must live as long as the records.
    scratch_bytes : int
        Scratch memory that a thread needs.
    """

    def __init__(self, bound: Binding, layout: Layout, base: int, status: NDArray[np.int64]) -> None:
        self.bound, self.layout, self.base, self.status = bound, layout, base, status
        self.keep: list[Any] = [status]
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

    def edges(self, unit: Unit) -> Edges:
        """CSR arrays that a gathering unit runs over."""
        loops = unit.steps[0].attributes["self_loops"] if unit.kind == "neighbor_sum" else "add"
        inline = unit.kind == "neighbor_sum"
        key = (loops, inline)
        if key not in self._edges:
            self._edges[key] = Edges(self.bound.graph, loops, inline=inline)
        return self._edges[key]

    # ---- helpers of the rules below

    def home(self, source: Source | str) -> Any:
        return self.layout.homes[source.register if isinstance(source, Source) else source]

    def place(self, source: Source | str) -> Place:
        return self.layout.place(source, self.base)

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

    def as_bytes(self, source: Source) -> Place:
        """Place of codes a byte each: where two share one, they are unpacked for the block first."""
        home = self.home(source)
        if home.kind == "int8":
            return self.place(source)
        if home.kind != "int4":
            raise Unplanned(f"{source.register}: a product of codes of 16 bits")
        place = self.reserved(max(64, row_bytes("int8", source.channels)))
        self.add(requantize_op(
            source=self.place(source), source_kind="int4", output=place, output_kind="int8", columns=source.channels,
            fold=Fold([], 0), magnitude=np.zeros(1), zero_in=0, low=-8, high=7,
        ))  # fmt: skip
        return place


_RECORDS: dict[str, Callable[[Records, Unit], None]] = {}


def records_of(kind: str) -> Callable:
    """Decorate the function that builds the records of the units of one kind."""

    def register(function: Callable) -> Callable:
        _RECORDS[kind] = function
        return function

    return register


@records_of("matmul")
def _matmul(r: Records, unit: Unit) -> None:
    step, a = unit.steps[0], unit.steps[0].attributes
    weight, bias = r.bound.constant(step, "weight"), r.bound.constant(step, "bias").astype(np.int64)
    if a["weight_zero"] or weight.dtype != np.int8:
        raise Unplanned(f"{step.output}: weights with a zero point, or of more than 8 bits")
    register = r.bound.registers[step.output]
    r.reach[step.output] = np.array([max(-register.low, register.high)], np.float64)
    first = r.bound.registers[unit.reads[0].register]
    if first.sparse is not None:
        entry_ = next(s.attributes for s in r.bound.program.steps if s.output == unit.reads[0].register)
        if entry_["zero_point"] - entry_["offset"] != a["zero_in"]:
            raise Unplanned(f"{step.output}: another zero point than the entry's")
        stride = row_bytes("int8", weight.shape[1])
        rows = aligned(len(weight), stride)
        rows[:, : weight.shape[1]] = weight
        padded = np.zeros(weight.shape[1] + 64, np.int32)
        padded[: len(bias)] = bias
        out, after = r.sums(unit)
        ops = sparse.sparse_matmul_ops(
            out=out, starts=0, indices=0, codes=r.place(unit.reads[0])[0], weight=r.held(rows),
            weight_stride=stride, columns=weight.shape[1], bias=r.held(padded),
        )  # fmt: skip
        for k in range(len(ops)):
            r.patches += [("indptr", len(r.ops) + k, 4), ("indices", len(r.ops) + k, 5)]
        r.add(ops + after)
        return
    inputs = [r.as_bytes(source) for source in unit.reads]
    segments = tuple(source.channels for source in unit.reads)
    bits = 4 if weight.size and -8 <= weight.min() and weight.max() <= 7 else 8
    isa = trusted_isa(weight.shape[1], bits, len(segments))
    if isa is None:
        raise Unplanned("no kernel of the matrix product gives right numbers on this machine")
    packed = matmul_pack.pack_weights(weight, isa=isa, segments=segments, bits=bits)
    folded = bias - a["zero_in"] * weight.astype(np.int64).sum(axis=0)
    out, after = r.sums(unit)
    scratch = r.extra(matmul.scratch_bytes(packed, r.layout.block_rows[r.group]))
    r.add(matmul.matmul_op(inputs=inputs, packed=packed, bias=folded, out=out, scratch=scratch))
    r.add(after)


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
        if (gain.reach(reach)[0] >= 2.0**31 * 0.999).any():
            raise Unplanned(f"{step.output}: a sum on this graph can leave 32 bits")
    self_reach = abs(weight) * max(abs(codes.low - zero), abs(codes.high - zero))
    r.reach[step.output] = reach * np.ldexp(np.abs(multiplier).astype(np.float64), -shift) + 1 + self_reach
    r.add(combine.add_self_op(
        total=r.place(total), own=r.place(own), own_kind=r.home(own).kind, output=r.place(unit.output),
        columns=step.channels, zero=zero, weight=weight, gain=gain,
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
        if zero:
            raise Unplanned(f"{step.output}: sums with a zero point")
    fold = Fold(stages, a["zero_point"])
    if own and own.place[2] and not fold.safe_rows(reach).all():
        raise Unplanned(f"{step.output}: own codes in scratch memory, where the exact steps do not look for them")
    last = unit.steps[-1]
    exit_zero = last.attributes["zero_in"] if last.op == "dequantize" else 0
    if exit_zero and max(-a["low"], a["high"]) + abs(exit_zero) >= 1 << 31:
        raise Unplanned(f"{unit.output}: an exit that can leave 32 bits when its zero point is taken off")
    _emit_requantize(r, unit, fold, reach, zero, a["low"], a["high"], own)
    if last.op != "dequantize" and r.home(unit.output).kind == "int32":
        r.reach[unit.output] = np.array([max(abs(a["low"]), abs(a["high"]))], np.float64)


def _own(r: Records, unit: Unit, reach: NDArray[np.float64]) -> tuple[Own, NDArray[np.float64]]:
    """The own codes of a unit that begins with ``add_self``, and how large the joined sums can be."""
    step, codes = unit.steps[0], unit.reads[1]
    a, register = step.attributes, r.bound.registers[codes.register]
    left = a["multiplier"].bit_length() - 1 - a["shift"]
    reach = np.ldexp(reach, left) + abs(a["self_weight"]) * max(
        abs(register.low - a["zero_in"]), abs(register.high - a["zero_in"])
    )
    place = r.place(codes)
    # In 64 bits a product of 33 bits by 31 just fits.
    if (reach >= 2.0**32 * 0.999).any():
        raise Unplanned(f"{step.output}: a sum on this graph can leave 33 bits")
    return Own(place, r.home(codes).kind, a["zero_in"], a["self_weight"], left), reach


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
        source=r.place(source), source_kind=r.home(source).kind, output=output,
        output_kind="float32" if exit_ else r.home(unit.output).kind, columns=columns, fold=fold, magnitude=reach,
        zero_in=zero, low=low, high=high, scale=np.asarray(last.attributes["scale"], np.float32) if exit_ else None,
        zero_exit=last.attributes["zero_in"] if exit_ else 0, own=own,
    ))  # fmt: skip
    if streamed:
        r.patches.append(("out", len(r.ops), 4))
        r.add(copy_rows.stream_rows_op(source=output, target=(0, width, False), width=width))


@records_of("add")
def _add(r: Records, unit: Unit) -> None:
    a, (first, second) = unit.steps[0].attributes, unit.reads
    total = 0
    for source, m, zero in ((first, "multiplier1", "zero1"), (second, "multiplier2", "zero2")):
        codes = r.bound.registers[source.register]
        total += abs(a[m]) * max(abs(codes.low - a[zero]), abs(codes.high - a[zero]))
    if (total >> a["shift"]) + 1 + abs(a["zero_point"]) >= 1 << 31:
        raise Unplanned(f"{unit.output}: a residual sum that can leave 32 bits before its clamp")
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
