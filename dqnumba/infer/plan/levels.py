"""All graphs up to a size at once: one row for each in-degree, where a graph has one for each node.

What a plan makes of a graph's rows, their factors and how far their sums reach, depends on the row's in-degree alone
(of a graph's row in a readout, on its number of nodes). Tables by in-degree therefore serve every graph, whose rows
only pick theirs; and bounds for the largest in-degree and the most nodes hold for all smaller ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import OverflowRiskError
from ...graph import Graph, SparseFeatures
from ..binding import Binding
from ..execute import build_step
from ..program import Program
from .covered import fixed_layout
from .layout import Layout
from .units import Unit, Unplanned, make_units

__all__ = ["LevelBinding", "Levels", "asked_edges", "level_layout", "levels_of"]

_MOST_NODES, _MOST_DEGREE = 4096, 256
_LEAST_NODES, _LEAST_DEGREE = 64, 8


class Levels(NamedTuple):
    """Graphs, or batches of at most so many, of one to ``nodes`` nodes whose in-degrees are at most ``degree``, both
    powers of two.

    In-degrees count the edges of ``Graph.adjacency(loops)``, "keep" or "remove".
    """

    nodes: int
    degree: int
    loops: str


def levels_of(asked: frozenset[str], graph: Graph) -> Levels | None:
    """The levels that a graph belongs to, for a program with these :func:`asked_edges`.

    None if it is large or has sparse features, or if the program counts self-loops as they come in one place
    and not in another, and the graph has some.
    """
    rows = max(graph.num_nodes, graph.num_graphs)
    if not 1 <= graph.num_nodes <= rows <= _MOST_NODES or isinstance(graph.x, SparseFeatures):
        return None
    loops = "remove"  # "add" counts one more
    if "keep" in asked:
        loops = "keep"
        if len(asked) > 1 and graph.adjacency("remove") is not graph.adjacency("keep"):
            return None
    degree = int(graph.adjacency(loops).in_degree.max())
    if degree > _MOST_DEGREE:
        return None
    return Levels(_power_of_two(rows, _LEAST_NODES), _power_of_two(degree, _LEAST_DEGREE), loops)


def asked_edges(program: Program) -> frozenset[str]:
    """Which adjacencies of a graph a program's sums and factors ask for: "keep", "add", "remove"."""
    asked = {step.attributes["self_loops"] for step in program.steps if step.op == "neighbor_sum"}
    asked |= {"add" for step in program.steps if step.op.startswith(("edge_", "weighted_"))}
    stages = [stage for step in program.steps for stage in (step.attributes, *step.attributes.get("stages", ()))]
    factors = {stage.get("row_factor") for stage in stages} - {None, "pool_mean"}
    return frozenset(asked | {"keep" if factor == "mean" else "add" for factor in factors})


def _power_of_two(count: int, least: int) -> int:
    return max(least, 1 << (count - 1).bit_length()) if count else least


class _Rows:
    """In place of an adjacency: lists of each length, without what they hold."""

    def __init__(self, in_degree: NDArray[np.int64], num_edges: int) -> None:
        self.in_degree, self.num_edges = in_degree, num_edges
        self.indptr, self.indices = np.concatenate([[0], np.cumsum(in_degree)]), np.zeros(0, np.int32)


class _Graph:
    """In place of a graph."""

    def __init__(self, program: Program, levels: Levels) -> None:
        self.num_nodes, self.num_edges = levels.nodes, levels.nodes * levels.degree
        self.graph_ptr = np.concatenate([[0], np.cumsum(np.arange(levels.nodes + 1))])  # graphs of 0, 1, 2, ... nodes
        self.x = np.zeros(0, np.int32)
        if not program.meta["embedding"]:
            self.x = np.broadcast_to(np.float32(0), (levels.nodes, program.meta["num_features"]))
        self._degrees = np.arange(levels.degree + 1)

    def adjacency(self, self_loops: str) -> _Rows:
        own = int(self_loops == "add")
        return _Rows(self._degrees + own, self.num_edges + own * self.num_nodes)


class LevelBinding(Binding):
    """Bounds and factors of a program by level: of nodes, by in-degree 0, 1, ... up to the largest; of graphs, by
    number of nodes."""

    def __init__(self, program: Program, levels: Levels) -> None:
        super().__init__(program, _Graph(program, levels), None)  # type: ignore[arg-type]

    def count(self, rows: str) -> int:
        """Number of rows of a kind that a graph can have."""
        return self.graph.num_nodes if rows == "graph" else super().count(rows)


def level_layout(program: Program, levels: Levels) -> tuple[list[Unit], LevelBinding, Layout] | None:
    """Units, bounds and layout of a program for all graphs of ``levels``; None where each graph needs its own."""
    try:
        units = make_units(program)
        bound = LevelBinding(program, levels)
        for step in program.steps:
            build_step(bound, step)
        layout = fixed_layout(units, bound)
    except (Unplanned, OverflowRiskError):
        return None  # a smaller graph may do, and its own plan says what is wrong
    # A sum of two rows cuts hubs into pieces.
    return None if any(home.kind == "long" for home in layout.homes.values()) else (units, bound, layout)
