"""Plans for many graphs: made once for all small graphs of some levels, then only joined to each graph's memory.

To plan takes a hundred times as long as to run on a small graph. As for a linker, records are therefore made with
symbols in place of the addresses that differ from graph to graph: of the workspace, the edges, and the arrays that have
an entry for each row, which are made by level (:mod:`.levels`) and picked by each row's in-degree. :class:`LinkedPlan`
puts the addresses in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...graph import Graph
from ...kernels.dot.blocks import row_blocks
from ...kernels.dot.gather_vectors import pad_indices
from ...kernels.dot.launch import Launch, Phase, aligned, even_blocks
from ...kernels.dot.matmul_pack import address
from ...kernels.dot.micro import FIELDS
from ..binding import Binding
from ..execute import check_categories
from ..program import Program
from .covered import choose_layout
from .layout import Layout
from .levels import LevelBinding, Levels, asked_edges, level_layout, levels_of
from .plan import Plan, assemble, elementary_operations, layout_bytes, leading_unit
from .records import Records
from .units import Unit, Unplanned, gathered_edges, make_units

__all__ = ["LinkedPlan", "Template", "Templates", "plan_bytes"]

_SYMBOLS = -(1 << 62)
"""The first symbol. A record has no other number so far below zero, so that symbols are known by their values."""

_APART = 1 << 40
"""Between symbols, for offsets."""

_AS_FAST = 256
"""Nodes up to which a plan of the graph's own would run no faster. Beyond, it may go range by range: 15 % of the time
of a batch, and planning takes as long as some tens of runs."""


class _Symbol(NamedTuple):
    """What an address will be the address of.

    ``kind`` is "workspace", "status", "starts" or "indices" of the adjacency ``of``, "graphs" (their first rows), or
    "rows": of the array ``by_level`` the entries for the rows of kind ``of``.
    """

    kind: str
    of: str = ""
    by_level: NDArray | None = None


class _Records(Records):
    """Records with symbols."""

    def __init__(self, bound: LevelBinding, layout: Layout, packs: dict[tuple, Any]) -> None:
        self.symbols: list[_Symbol] = []
        super().__init__(bound, layout, self._symbol("workspace"), self._symbol("status"), packs)

    def _symbol(self, kind: str, of: str = "", by_level: NDArray | None = None) -> int:
        known = [] if kind == "rows" else [s[:2] for s in self.symbols]
        if (kind, of) in known:
            return _SYMBOLS + _APART * known.index((kind, of))
        self.symbols.append(_Symbol(kind, of, by_level))
        return _SYMBOLS + _APART * (len(self.symbols) - 1)

    def edge_lists(self, unit: Unit) -> tuple[int, int]:
        loops, _ = gathered_edges(unit)
        return self._symbol("starts", loops), self._symbol("indices", loops)

    def graph_starts(self) -> int:
        return self._symbol("graphs")

    def row_array(self, array: NDArray) -> int:
        return self._symbol("rows", self.group[1], array)


class _Part(NamedTuple):
    """A phase: how many records it has, of how many rows its blocks are, and what tells where they end: "edges",
    "graphs" (their nodes), or "" for blocks of even length over the rows of kind ``of``."""

    ops: int
    rows: int
    by: str
    of: str


class Template:
    """The plan of a program for all graphs of ``levels``, with symbols for what is a graph's own.

    Parameters
    ----------
    program : Program
    levels : Levels
    found : tuple
        What :func:`.levels.level_layout` gives for them.
    packs : dict
        As of :class:`.records.Records`.
    """

    def __init__(
        self, program: Program, levels: Levels, found: tuple[list[Unit], LevelBinding, Layout], packs: dict[tuple, Any]
    ) -> None:
        self.levels, (self.units, bound, layout) = levels, found
        records = _Records(bound, layout, packs)
        parts, self.patches = assemble(self.units, layout, records)
        self.ops = np.array([op for part in parts for op in part.ops], np.int64).reshape(-1, FIELDS)
        self.symbols, self.keep = records.symbols, records.keep
        self.places = np.nonzero(self.ops < _SYMBOLS + _APART * len(self.symbols))
        self.numbers, offsets = np.divmod(self.ops[self.places] - _SYMBOLS, _APART)
        self.ops[self.places] = offsets
        self.parts = []
        for part in parts:
            unit, by, of = leading_unit(part.members), "", part.group[1]
            if unit is not None:
                by, of = ("graphs", "") if unit.kind.startswith("pool") else ("edges", gathered_edges(unit)[0])
            self.parts.append(_Part(len(part.ops), layout.block_rows[part.group], by, of))
        self.scratch_bytes, self.layout_bytes = records.scratch_bytes, layout_bytes(layout)
        # Of a node, an edge, a graph.
        self.work = [_operations(self.units, *(8 * (k == what) for what in range(3))) / 8 for k in range(3)]
        self.tables = [program.tensors[s.tensors["table"]] for s in program.steps if s.op == "lookup"]


def _operations(units: list[Unit], nodes: int, edges: int, graphs: int) -> int:
    counts = {"node": nodes, "graph": graphs}
    return elementary_operations(units, lambda u: counts[u.rows] * u.steps[-1].channels, nodes, edges)


class LinkedPlan(Plan):
    """A template joined to one graph of its levels.

    Parameters
    ----------
    template : Template
    graph : Graph

    Raises
    ------
    GraphError
        If the graph has a category that the model does not know.
    """

    def __init__(self, template: Template, graph: Graph) -> None:
        for table in template.tables:
            check_categories(graph.x, table)
        self.status, self._patches = np.zeros(1, np.int64), template.patches
        self.workspace_bytes = template.layout_bytes
        graph_ptr = np.array([0, graph.num_nodes], np.int64) if graph.graph_ptr is None else graph.graph_ptr
        levels = {"node": graph.adjacency(template.levels.loops).in_degree, "graph": np.diff(graph_ptr)}
        arrays = []
        for kind, of, by_level in template.symbols:
            if kind == "starts":
                array = graph.adjacency(of).indptr
            elif kind == "indices":
                array = pad_indices(graph.adjacency(of).indices)
            elif kind == "rows":
                array = by_level[levels[of]]
            elif kind == "graphs":
                array = graph_ptr
            else:
                array = self.status if kind == "status" else aligned(1, template.layout_bytes + 64)
            arrays.append(array)
        self._keep = (template, arrays)
        ops = template.ops.copy()
        ops[template.places] += np.array([address(array) for array in arrays])[template.numbers]
        counts = {"node": graph.num_nodes, "graph": graph.num_graphs}
        blocks: dict[tuple, NDArray[np.int64]] = {}
        phases, first = [], 0
        for count, *kind in template.parts:
            rows, by, of = key = tuple(kind)
            if key not in blocks:
                if by:
                    blocks[key] = row_blocks(graph_ptr if by == "graphs" else graph.adjacency(of).indptr, rows)
                else:
                    blocks[key] = even_blocks(counts[of], rows)
            phases.append(Phase(ops[first : first + count], blocks[key]))
            first += count
        a_node, an_edge, a_graph = template.work
        work = int(graph.num_nodes * a_node + graph.num_edges * an_edge + graph.num_graphs * a_graph)
        self.launch = Launch(phases, template.scratch_bytes, work)


class Templates:
    """The plans of one program; what can serve many graphs is kept.

    Several threads may ask at once.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._asked = program, asked_edges(program)
        self._made: dict[Levels, Template | None] = {}
        self._packs: dict[tuple, Any] = {}

    def plan(self, graph: Graph, *, once: bool = False) -> Plan:
        """The plan for ``graph``, which is to run many times or ``once``; raises as :class:`.plan.Plan` does."""
        levels = levels_of(self._asked, graph)
        if levels is not None and (once or graph.num_nodes <= _AS_FAST):
            if levels not in self._made:
                self._made[levels] = self._make(levels)
            template = self._made[levels]
            if template is not None:
                return LinkedPlan(template, graph)
        return Plan(self._program, graph, self._packs)

    def _make(self, levels: Levels) -> Template | None:
        found = level_layout(self._program, levels)
        try:
            return None if found is None else Template(self._program, levels, found, self._packs)
        except Unplanned:  # the plan of the graph alone says why, or is none of it
            return None


def plan_bytes(program: Program, bound: Binding) -> int:
    """``workspace_bytes`` of the plan of a program on a graph, which is not made, or of the larger if there are two;
    ``bound`` has the bounds.

    Raises
    ------
    Unplanned
        If a step, or a sum on this graph, is nothing for the vector kernels.
    """
    levels = levels_of(asked_edges(program), bound.graph)
    found = None if levels is None else level_layout(program, levels)
    own = layout_bytes(choose_layout(make_units(program), bound))
    return own if found is None else max(own, layout_bytes(found[2]))
