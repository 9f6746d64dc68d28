"""The graph: checked once when it is built, then frozen."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GraphError
from . import build, checks
from .adjacency import Adjacency, with_self_loops, without_self_loops
from .freeze import frozen, own
from .from_networkx import from_networkx
from .pyg import from_pyg
from .sparse import SparseFeatures, group_by
from .undirected import undirected

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Graph"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """One graph, or a batch of graphs as their disjoint union.

    The adjacency is a CSR matrix whose rows are *targets*: ``indices[indptr[i]:indptr[i + 1]]`` are the
    sources of the edges that end in node ``i``, ascending. All arrays are read-only, and no caller can write
    to them: what is given is copied unless it is already immutable. Build a graph with ``from_edge_index``,
    ``from_scipy``, ``from_networkx`` or ``from_pyg`` unless a CSR by targets is at hand.

    Parameters
    ----------
    indptr : int (N + 1,)
    indices : int (E,)
    x : float (N, F), SparseFeatures (N, F), scipy.sparse (N, F), int (N,) or None
        Node features. A one-dimensional integer array means codes (atom types, say) for an embedding.
    y : (N,) or (G,), optional
        Labels of nodes or of graphs: integers 0 .. num_classes - 1, or floats for regression.
    edge_weight : float (E,), optional
    train_mask, val_mask, test_mask : bool (N,), optional
    graph_ptr : int (G + 1,), optional
        Batch of G graphs: graph ``g`` has the nodes ``graph_ptr[g] .. graph_ptr[g + 1] - 1``. No edge may
        leave its graph.
    num_classes : int, optional
        Default ``max(y) + 1``; 0 for regression or without labels.
    num_categories : int, optional
        Number of codes if ``x`` holds codes; default ``max(x) + 1``.
    name : str

    Attributes
    ----------
    indptr : int64 (N + 1,)
    indices : int32 (E,)
    x : float32 (N, F), SparseFeatures, int32 (N,) or None
    y : int64 or float32, or None
    edge_weight : float32 (E,) or None
    graph_ptr : int64 (G + 1,) or None

    Raises
    ------
    GraphError
        If anything above does not hold; the message names the place.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    x: NDArray | SparseFeatures | None = None
    y: NDArray | None = None
    edge_weight: NDArray[np.float32] | None = None
    _: dataclasses.KW_ONLY
    train_mask: NDArray[np.bool_] | None = None
    val_mask: NDArray[np.bool_] | None = None
    test_mask: NDArray[np.bool_] | None = None
    graph_ptr: NDArray[np.int64] | None = None
    num_classes: int = None  # type: ignore[assignment]  # derived from y when not given
    num_categories: int = None  # type: ignore[assignment]
    name: str = ""
    _cache: dict = dataclasses.field(default_factory=dict, init=False)

    from_edge_index = classmethod(build.from_edge_index)
    from_scipy = classmethod(build.from_scipy)
    from_networkx = classmethod(from_networkx)
    from_pyg = classmethod(from_pyg)
    undirected = undirected

    def __post_init__(self) -> None:
        indptr, indices = checks.check_rows(self.indptr, self.indices)
        num_nodes, num_edges = len(indptr) - 1, len(indices)
        weight = checks.check_weight(self.edge_weight, num_edges)
        graph_ptr = checks.check_graph_ptr(self.graph_ptr, num_nodes)
        x = checks.check_features(self.x, num_nodes)
        y, num_classes = checks.check_labels(
            self.y, num_nodes, 1 if graph_ptr is None else len(graph_ptr) - 1, self.num_classes
        )
        self._set(
            indptr=frozen(self.indptr, np.int64),
            indices=frozen(self.indices, np.int32),
            x=x,
            y=y,
            edge_weight=weight,
            graph_ptr=graph_ptr,
            num_classes=num_classes,
            num_categories=_count_categories(x, self.num_categories),
            **{mask: checks.check_mask(getattr(self, mask), mask, num_nodes)
               for mask in ("train_mask", "val_mask", "test_mask")},
        )
        self._sort_rows()
        self._check_batch()

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def _trusted(cls, **fields: object) -> Graph:
        """Build without checks from arrays of this library; they are frozen in place. For batches of checked
        graphs."""
        self = object.__new__(cls)
        for field in dataclasses.fields(cls):
            value = fields.get(field.name, "" if field.name == "name" else None)
            self._set(**{field.name: own(value) if isinstance(value, np.ndarray) else value})
        self._set(_cache={}, num_classes=fields.get("num_classes", 0), num_categories=fields.get("num_categories", 0))
        return self

    def _sort_rows(self) -> None:
        """Sort the sources inside each row, stably, so that equal graphs have equal arrays."""
        rows = self.adjacency().targets
        if not ((np.diff(self.indices) < 0) & (np.diff(rows) == 0)).any():
            return
        _, by_source = group_by(self.indices, self.num_nodes)
        _, by_row = group_by(rows[by_source], self.num_nodes)
        order = by_source[by_row]
        weight = None if self.edge_weight is None else own(self.edge_weight[order])
        self._set(indices=own(self.indices[order]), edge_weight=weight, _cache={})

    def _check_batch(self) -> None:
        if self.graph_ptr is None or self.num_edges == 0:
            return
        graph = self.graph_index
        crossing = graph[self.indices] != graph[self.adjacency().targets]
        if crossing.any():
            edge = int(np.argmax(crossing))
            source, target = self.indices[edge], self.adjacency().targets[edge]
            raise GraphError(
                f"the edge {source} -> {target} goes from graph {graph[source]} to graph {graph[target]} of the batch; "
                "edges must stay inside their graph: check graph_ptr"
            )

    @property
    def num_nodes(self) -> int:
        """Number of nodes N."""
        return len(self.indptr) - 1

    @property
    def num_edges(self) -> int:
        """Number of directed edges E, self-loops included if the graph has some."""
        return len(self.indices)

    @property
    def num_features(self) -> int:
        """Width F of the features; the number of categories if they are codes; 0 without features."""
        if self.x is None:
            return 0
        return self.x.shape[1] if len(self.x.shape) == 2 else self.num_categories

    @property
    def num_graphs(self) -> int:
        """Number of graphs in the batch; 1 if this is one graph."""
        return 1 if self.graph_ptr is None else len(self.graph_ptr) - 1

    @property
    def in_degree(self) -> NDArray[np.int64]:
        """Number of edges that end in each node, self-loops not counted; int64 (N,).

        The degree that Degree-Quant protects nodes by. Stored self-loops are left out so that a graph that
        comes with loops is treated as the same graph without.
        """
        return self.adjacency("remove").in_degree

    @property
    def graph_index(self) -> NDArray[np.int32]:
        """Graph of each node, int32 (N,)."""
        if "graph_index" not in self._cache:
            sizes = [self.num_nodes] if self.graph_ptr is None else np.diff(self.graph_ptr)
            self._cache["graph_index"] = own(np.repeat(np.arange(self.num_graphs, dtype=np.int32), sizes))
        return self._cache["graph_index"]

    def adjacency(self, self_loops: Literal["keep", "add", "remove"] = "keep") -> Adjacency:
        """Return the adjacency, cached.

        Parameters
        ----------
        self_loops : {"keep", "add", "remove"}
            ``"add"`` gives every node exactly one loop: present ones keep their place and weight, missing
            ones are added last in their row with weight 1.
        """
        if self_loops not in ("keep", "add", "remove"):
            raise GraphError(f"self_loops is {self_loops!r}; it must be 'keep', 'add' or 'remove'")
        if self_loops not in self._cache:
            kept = self._cache.setdefault("keep", Adjacency(self.indptr, self.indices, self.edge_weight))
            if self_loops != "keep":
                change = with_self_loops if self_loops == "add" else without_self_loops
                self._cache[self_loops] = change(kept)
        return self._cache[self_loops]

    def replace(self, **changes: object) -> Graph:
        """Return a graph with some fields changed, checked like a new one."""
        old = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        unknown = sorted(set(changes) - set(old))
        if unknown:
            raise GraphError(f"replace: Graph has no field {unknown[0]!r}; its fields are {', '.join(old)}")
        # Derived counts stay as they were only while what they were derived from stays of the same kind.
        if "y" in changes and (self.y is None or np.asarray(changes["y"]).dtype.kind != self.y.dtype.kind):
            old["num_classes"] = None
        if "x" in changes and (np.ndim(changes["x"]) != 1 or np.ndim(self.x) != 1 or self.x is None):
            old["num_categories"] = None
        return Graph(**{**old, **changes})

    def without_edge_weight(self) -> Graph:
        """Return the same graph with every edge counting 1."""
        return self if self.edge_weight is None else self.replace(edge_weight=None)

    def permuted(self, order: ArrayLike) -> Graph:
        """Return the graph with its nodes renumbered: new node ``k`` is old node ``order[k]``."""
        return build.permuted(self, order)

    def __copy__(self) -> Graph:
        return self

    def __deepcopy__(self, memo: dict) -> Graph:
        return self  # nobody can change it, so one is enough

    def __reduce__(self) -> tuple:
        return _rebuild, ({f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init},)

    def __repr__(self) -> str:
        parts = [f"{self.num_nodes} nodes", f"{self.num_edges} edges"]
        if self.graph_ptr is not None:
            parts.insert(0, f"{self.num_graphs} graphs")
        if self.x is not None:
            parts.append(f"{self.num_features} " + ("codes" if len(self.x.shape) == 1 else "features"))
        if self.num_classes:
            parts.append(f"{self.num_classes} classes")
        return f"Graph({self.name + ': ' if self.name else ''}{', '.join(parts)})"


def _rebuild(fields: Mapping[str, object]) -> Graph:
    return Graph(**fields)


def _count_categories(x: NDArray | SparseFeatures | None, given: int | None) -> int:
    if x is None or len(x.shape) != 1:
        return 0
    highest = int(x.max()) if x.size else -1
    if given is None:
        return highest + 1
    if not isinstance(given, int | np.integer) or given < 0:
        raise GraphError(f"num_categories is {given!r}; it must be an integer, 0 or more")
    if highest >= given:
        raise GraphError(
            f"x holds the code {highest} at node {int(np.argmax(x))}; "
            f"with num_categories={given} codes are 0..{given - 1}"
        )
    return int(given)
