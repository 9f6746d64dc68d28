"""What running a program on a graph will take, told before anything is run: memory, and how far each sum can reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..graph import Graph, SparseFeatures
from .backend import choose_backend
from .binding import Binding
from .bound import check_graph, entry_bytes
from .execute import build_step
from .free_memory import free_memory, text_of
from .program import Program

__all__ = ["Estimate", "SumBound", "estimate"]

_INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class SumBound:
    """How far the sums of one step can reach on one graph, whatever its features are.

    Attributes
    ----------
    step : str
        Name of what the step writes.
    op : str
    low, high : int
        No sum can leave this interval.
    """

    step: str
    op: str
    low: int
    high: int

    @property
    def reach(self) -> int:
        """The larger of ``-low`` and ``high``."""
        return max(-self.low, self.high)

    @property
    def wide(self) -> bool:
        """Whether int32 could overflow, so that 64 bits are used."""
        return self.low < -_INT32_MAX - 1 or self.high > _INT32_MAX


@dataclass(frozen=True)
class Estimate:
    """What a program needs on one graph. Bytes of tables are an upper bound, those of the workspace are exact.

    Attributes
    ----------
    nodes, edges, graphs : int
    backend : str
        What will run.
    graph_bytes, constant_bytes : int
        What is in memory already: features and edges; the program's constants.
    table_bytes : int
        Edges as the kernels read them, and factors of rows.
    workspace_bytes : int
        Everything between input and output.
    output_bytes : int
    free_bytes : int or None
        What can be had now; None where the system does not say.
    sums : tuple of SumBound
        In the order of execution.
    """

    nodes: int
    edges: int
    graphs: int
    backend: str
    graph_bytes: int
    constant_bytes: int
    table_bytes: int
    workspace_bytes: int
    output_bytes: int
    free_bytes: int | None
    sums: tuple[SumBound, ...]

    @property
    def needed_bytes(self) -> int:
        """What is needed beside the graph and the program, at most."""
        return self.table_bytes + self.workspace_bytes + self.output_bytes

    @property
    def fits(self) -> bool:
        """Whether that is free; true where the system does not say."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types."""
        sums = [asdict(bound) | {"wide": bound.wide} for bound in self.sums]
        return asdict(self) | {"sums": sums, "needed_bytes": self.needed_bytes, "fits": self.fits}

    def __str__(self) -> str:
        rows = [
            ("graph, in memory", self.graph_bytes), ("constants, in memory", self.constant_bytes),
            ("tables of the graph, at most", self.table_bytes), ("workspace", self.workspace_bytes),
            ("output", self.output_bytes), ("needed beside what is in memory", self.needed_bytes),
        ]  # fmt: skip
        lines = [f"{self.nodes:,} nodes, {self.edges:,} edges, {self.graphs:,} graphs; backend {self.backend}"]
        lines += [f"  {name:<33}{text_of(size):>12}" for name, size in rows]
        free = "the system does not say" if self.free_bytes is None else text_of(self.free_bytes)
        lines.append(f"  {'free':<33}{free:>12}{'' if self.fits else '   DOES NOT FIT'}")
        width = max((len(bound.step) for bound in self.sums), default=0)
        lines.append(f"sums, and the part of int32 that they can reach (of {_INT32_MAX:,})")
        for bound in self.sums:
            part = f"{bound.reach / _INT32_MAX:.2%}" if not bound.wide else "64 bits"
            lines.append(f"  {bound.step:<{width}}  {bound.low:>15,} .. {bound.high:>15,}  {part:>9}")
        return "\n".join(lines)


def estimate(program: Program, graph: Graph, backend: str | None = None) -> Estimate:
    """See :meth:`.IntegerModel.estimate`."""
    check_graph(program, graph)
    bound = Binding(program, graph, None)
    for step in program.steps:
        build_step(bound, step)
    module = choose_backend(backend).__name__
    workspace, name = None, module.rsplit(".", 1)[-1]
    if module.endswith("dot.functions"):
        from .plan import Unplanned, plan_bytes

        try:
            workspace, name = plan_bytes(program, bound), "dot"
        except Unplanned:
            name = "numba"
    elif name == "integer":
        name = "numba"
    if workspace is None:
        workspace = entry_bytes(graph) + sum(register.array.nbytes for register in bound.registers.values())
    adjacency, free = graph.adjacency("keep"), free_memory()
    return Estimate(
        nodes=graph.num_nodes, edges=graph.num_edges, graphs=graph.num_graphs, backend=name,
        graph_bytes=_feature_bytes(graph) + adjacency.indptr.nbytes + adjacency.indices.nbytes,
        constant_bytes=program.nbytes, table_bytes=_table_bytes(program, graph), workspace_bytes=workspace,
        output_bytes=4 * bound.registers[program.steps[-1].output].array.size,
        free_bytes=None if free is None else free[0],
        sums=tuple(
            SumBound(step.output, step.op, bound.registers[step.output].low, bound.registers[step.output].high)
            for step in program.steps
            if step.output in bound.sums
        ),
    )  # fmt: skip


def _feature_bytes(graph: Graph) -> int:
    x = graph.x
    if isinstance(x, SparseFeatures):
        return x.indptr.nbytes + x.indices.nbytes + x.data.nbytes
    return 0 if x is None else x.nbytes


def _table_bytes(program: Program, graph: Graph) -> int:
    """Tables of edges and rows, and what making them takes for a moment: coefficients that lie above what was measured
    for every kind of model (``tests/infer/test_estimate.py``)."""
    stages = [stage for step in program.steps for stage in (step.attributes, *step.attributes.get("stages", ()))]
    factors = [stage["row_factor"] for stage in stages if stage.get("row_factor")]
    a_node = 120 + 40 * len(set(factors)) + 24 * len(factors)
    return 20 * graph.num_edges + a_node * graph.num_nodes
