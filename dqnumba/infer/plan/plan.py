"""Planning: units, memory and tables put together into phases of micro-kernels that run with one call."""

from __future__ import annotations

from typing import Any

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

__all__ = ["Plan", "plan_bytes"]


class Plan:
    """A program on one graph, ready to run on the vector kernels.

    Parameters
    ----------
    program : Program
    graph : Graph
        Checked against the program by the caller.

    Attributes
    ----------
    workspace_bytes : int
        Memory between input and output, beside what blocks need for themselves and the tables of the graph.
    rows, channels : int
        Of the result.

    Raises
    ------
    Unplanned
        If a step, or a sum on this graph, is nothing for the vector kernels.
    OverflowRiskError
        As the other backends.
    """

    def __init__(self, program: Program, graph: Graph) -> None:
        units = make_units(program)
        bound = Binding(program, graph, None)
        for step in program.steps:
            build_step(bound, step)
        self.rows, self.channels = bound.registers[program.steps[-1].output].array.shape
        self.status = np.zeros(1, np.int64)
        self._make(units, bound, choose_layout(units, bound))

    def _make(self, units: list[Unit], bound: Binding, layout: Layout) -> None:
        self._workspace = aligned(1, layout.workspace_bytes + 64)
        self.workspace_bytes = _workspace_bytes(layout)
        records = Records(bound, layout, self._workspace.ctypes.data, self.status)
        phases: list[Phase] = []
        firsts: list[NDArray[np.int64]] = []
        ranges = layout.ranges
        patches: list[tuple[str, int, int]] = []
        count = 0
        for group in sorted({layout.group(unit): None for unit in units}):
            members = [unit for unit in units if layout.group(unit) == group]
            before, ops, found = records.phase(members, group)
            phases += before
            count += sum(len(phase.ops) for phase in before)
            patches += [(what, count + k, field) for what, k, field in found]
            count += len(ops)
            rows = layout.block_rows[group]
            if ranges:
                firsts.append(ranges.of(members[0].rows))
                phases.append(Phase(ops, ranges.blocks(members[0].rows, rows)))
            else:
                phases.append(Phase(ops, _blocks(bound, records, members, rows)))
        memory, work = records.scratch_bytes, _work(bound, units)
        self.launch: Launch | RangeLaunch
        if ranges:
            self.launch = RangeLaunch(phases, firsts, ranges.nodes, layout.range_bytes, memory, work)
        else:
            self.launch = Launch(phases, memory, work)
        self._keep = records.keep
        self._patches = patches

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


def plan_bytes(program: Program, bound: Binding) -> int:
    """``workspace_bytes`` of the plan of a program on a graph, which is not made; ``bound`` has the bounds.

    Raises
    ------
    Unplanned
        If a step, or a sum on this graph, is nothing for the vector kernels.
    """
    return _workspace_bytes(choose_layout(make_units(program), bound))


def _workspace_bytes(layout: Layout) -> int:
    return layout.workspace_bytes + numba.config.NUMBA_NUM_THREADS * layout.range_bytes


def _blocks(bound: Binding, records: Records, members: list[Unit], rows: int) -> NDArray[np.int64]:
    """Blocks of even length, or where rows have edges, of about equal work."""
    for unit in members:
        if unit.gathers and unit.rows == "node":
            return row_blocks(records.edges(unit).indptr, rows)
        if unit.kind.startswith("pool"):
            return row_blocks(bound.graph_ptr, rows)
    return even_blocks(bound.count(members[0].rows), rows)


def _work(bound: Binding, units: list[Unit]) -> int:
    """Elementary operations, roughly: what decides whether threads are worth waking."""
    total = 0
    for unit in units:
        size = bound.registers[unit.output].array.size
        if unit.kind == "matmul":
            total += size * (1 + sum(source.channels for source in unit.reads) // 64)
        elif unit.gathers:
            edges = bound.graph.num_edges if unit.rows == "node" else bound.graph.num_nodes
            total += edges * unit.gathers[-1].channels // 8 + size
        else:
            total += 2 * size
    return total
