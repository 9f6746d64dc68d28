"""Planning: units, memory and tables put together into phases of micro-kernels that run with one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ...graph import Graph, SparseFeatures
from ...kernels.dot.blocks import row_blocks
from ...kernels.dot.launch import Launch, Phase, aligned, even_blocks
from ...kernels.dot.ranges import RangeLaunch
from ..binding import Binding
from ..execute import build_step
from ..program import Program
from . import entering, gathering, multiplying  # noqa: F401 - they register the records of their units
from .covered import choose_layout
from .layout import Layout
from .records import Records
from .units import Unit, make_units

__all__ = ["Part", "Patch", "Plan", "assemble", "elementary_operations", "layout_bytes", "leading_unit"]

Patch = tuple[str, int, int]
"""What of the caller's arrays, and the record and field that its address belongs into."""


class Plan:
    """A program on one graph, ready to run on the vector kernels.

    Parameters
    ----------
    program : Program
    graph : Graph
        Checked against the program by the caller.
    packs : dict, optional
        As of :class:`.records.Records`.

    Attributes
    ----------
    launch : Launch or RangeLaunch
    status : int64 (1,)
        1 after a run on features of which one was infinite or no number.
    workspace_bytes : int
        Memory between input and output, beside what blocks need for themselves and the tables of the graph.

    Raises
    ------
    Unplanned
        If a step, or a sum on this graph, is nothing for the vector kernels.
    OverflowRiskError
        As the other backends.
    """

    launch: Launch | RangeLaunch

    def __init__(self, program: Program, graph: Graph, packs: dict[tuple, Any] | None = None) -> None:
        units = make_units(program)
        bound = Binding(program, graph, None)
        for step in program.steps:
            build_step(bound, step)
        self.status = np.zeros(1, np.int64)
        layout = choose_layout(units, bound)
        workspace = aligned(1, layout.workspace_bytes + 64)
        self.workspace_bytes = layout_bytes(layout)
        packs = {} if packs is None else packs
        records = Records(bound, layout, workspace.ctypes.data, self.status.ctypes.data, packs)
        parts, self._patches = assemble(units, layout, records)
        self._keep: Any = (workspace, records.keep)
        phases: list[Phase] = []
        firsts: list[NDArray[np.int64]] = []
        ranges = layout.ranges
        for part in parts:
            phases += part.before
            rows = layout.block_rows[part.group]
            if ranges:
                firsts.append(ranges.of(part.group[1]))
                phases.append(Phase(part.ops, ranges.blocks(part.group[1], rows)))
            else:
                phases.append(Phase(part.ops, _blocks(bound, records, part, rows)))
        written = {unit.output: bound.registers[unit.output].array.size for unit in units}
        work = elementary_operations(units, lambda unit: written[unit.output], graph.num_nodes, graph.num_edges)
        if ranges:
            self.launch = RangeLaunch(phases, firsts, ranges.nodes, layout.range_bytes, records.scratch_bytes, work)
        else:
            self.launch = Launch(phases, records.scratch_bytes, work)

    def run(self, x: Any, out: NDArray[np.float32]) -> None:
        """Run on features ``x``, of the kind and shape that the graph has, into ``out``, both C-contiguous.

        Afterwards ``status[0]`` is 1 if a feature was infinite or no number.
        """
        addresses = {"out": out.ctypes.data}
        if isinstance(x, SparseFeatures):
            addresses |= {"indptr": x.indptr.ctypes.data, "indices": x.indices.ctypes.data, "data": x.data.ctypes.data}
        else:
            addresses["x"] = x.ctypes.data
        ops = self.launch.ops
        for what, op, field in self._patches:
            ops[op, field] = addresses[what]
        self.status[0] = 0
        self.launch()


class Part(NamedTuple):
    """The units of one phase and one kind of rows: phases that run before, and the records of its own."""

    group: tuple[int, str]
    members: list[Unit]
    before: list[Phase]
    ops: list[NDArray[np.int64]]


def assemble(units: list[Unit], layout: Layout, records: Records) -> tuple[list[Part], list[Patch]]:
    """All records of a program, and the places in them for the caller's arrays."""
    parts: list[Part] = []
    patches: list[Patch] = []
    count = 0
    for group in sorted({layout.group(unit): None for unit in units}):
        members = [unit for unit in units if layout.group(unit) == group]
        before, ops, found = records.phase(members, group)
        count += sum(len(phase.ops) for phase in before)
        patches += [(what, count + k, field) for what, k, field in found]
        count += len(ops)
        parts.append(Part(group, members, before, ops))
    return parts, patches


def layout_bytes(layout: Layout) -> int:
    """``workspace_bytes`` of the plan with this layout."""
    return layout.workspace_bytes + numba.config.NUMBA_NUM_THREADS * layout.range_bytes


def leading_unit(members: list[Unit]) -> Unit | None:
    """The unit whose rows are of unequal work, if there is one: it gathers edges, or the nodes of a graph."""
    return next((u for u in members if (u.gathers and u.rows == "node") or u.kind.startswith("pool")), None)


def _blocks(bound: Binding, records: Records, part: Part, rows: int) -> NDArray[np.int64]:
    """Blocks of even length, or where rows have edges, of about equal work."""
    unit = leading_unit(part.members)
    if unit is None:
        return even_blocks(bound.count(part.group[1]), rows)
    return row_blocks(bound.graph_ptr if unit.kind.startswith("pool") else records.edges(unit).indptr, rows)


def elementary_operations(units: list[Unit], size: Callable[[Unit], int], nodes: int, edges: int) -> int:
    """How many there are, roughly: what decides whether threads are worth waking; ``size`` says how many values a unit
    writes."""
    total = 0
    for unit in units:
        if unit.kind == "matmul":
            total += size(unit) * (1 + sum(source.channels for source in unit.reads) // 64)
        elif unit.gathers:
            terms = edges if unit.rows == "node" else nodes
            total += terms * unit.gathers[-1].channels // 8 + size(unit)
        else:
            total += 2 * size(unit)
    return total
