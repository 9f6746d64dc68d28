"""An integer model on one graph, ready to be called again and again."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from ..graph import Graph, SparseFeatures
from ..graph.checks import check_features
from ..kernels import integer
from .binding import Binding
from .execute import build_step
from .free_memory import require_memory
from .program import Program

if TYPE_CHECKING:
    from .plan import Plan, Templates

__all__ = ["BoundModel"]

_DOT = "dqnumba.kernels.dot.functions"


class BoundModel:
    """An integer model on one graph: tables and buffers are made, :meth:`__call__` only runs kernels.

    Calls share the buffers, so those of other threads wait for each other; bind once a thread to run side by side. A
    bound model holds addresses and can be neither copied nor pickled: the model and the graph can.

    Parameters
    ----------
    program : Program
    graph : Graph
    backend : module
        A namespace of integer kernels. With that of ``dot`` the whole program is planned at once; a program, or
        a graph, that this does not cover runs step by step on ``numba``.
    templates : Templates, optional
        Of the program: what was planned for other graphs.
    once : bool
        It will be called once.

    Attributes
    ----------
    backend : str
        What runs: "reference", "numba" or "dot".
    reason : str or None
        Why it is not "dot", if that was asked for.
    """

    def __init__(
        self, program: Program, graph: Graph, backend: ModuleType, templates: Templates | None = None, *,
        once: bool = False,
    ) -> None:  # fmt: skip
        check_graph(program, graph)
        self.program, self.graph = program, graph
        self._lock = threading.RLock()
        _BOUND.add(self)
        self.reason: str | None = None
        self._plan: Plan | None = None
        self._x = graph.x
        name = getattr(backend, "__name__", "custom")
        if name == _DOT:
            from .plan import Templates, Unplanned

            backend = integer
            try:
                self._templates = templates or Templates(program)
                self._plan = self._templates.plan(graph, once=once)
            except Unplanned as reason:
                self.reason = str(reason)
        self.backend = "dot" if self._plan else "numba" if backend is integer else name.rsplit(".", 1)[-1]
        self._kernels = backend
        last = program.steps[-1]
        self._shape = (graph.num_graphs if last.rows == "graph" else graph.num_nodes, last.channels)
        if self._plan is None:
            self._calls  # noqa: B018 - makes the buffers now, and refuses what would overflow
        # No page of the workspace has been written yet: what does not fit is refused before it swaps.
        self._require(self.workspace_bytes)

    @property
    def workspace_bytes(self) -> int:
        """Bytes between input and output, beside the constants and the tables of the graph."""
        if self._plan is not None:
            return self._plan.workspace_bytes
        return self._step_bytes

    @property
    def _step_bytes(self) -> int:
        return entry_bytes(self.graph) + sum(register.array.nbytes for register in self.binding.registers.values())

    def _require(self, workspace: int) -> None:
        needed = workspace + 4 * self._shape[0] * self._shape[1]
        require_memory(
            needed, f"Running this model on {self.graph.num_nodes:,} nodes and {self.graph.num_edges:,} edges"
        )

    @cached_property
    def binding(self) -> Binding:
        """Every register of the program with a buffer of its own."""
        return Binding(self.program, self.graph, self._kernels)

    @cached_property
    def _calls(self) -> list[Callable[[], None]]:
        return [build_step(self.binding, step) for step in self.program.steps]

    def __call__(self, x: Any = None, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Run on the graph's own features, or on others of the same shape.

        Parameters
        ----------
        x : ndarray or SparseFeatures, optional
            Features of the same shape and kind as the graph's; a dense array is refused if it holds NaN or infinities.
        out : ndarray of float32, optional
            Written and returned; shape (num_nodes or num_graphs, out_channels).

        Returns
        -------
        ndarray of float32
            A new array unless ``out`` is given.

        Raises
        ------
        GraphError
            If ``x`` or ``out`` does not fit.
        """
        if out is not None and not (
            isinstance(out, np.ndarray) and out.shape == self._shape and out.dtype == np.float32 and out.flags.writeable
        ):
            given = (
                f"shape {out.shape}, dtype {out.dtype}{'' if out.flags.writeable else ', read-only'}"
                if isinstance(out, np.ndarray)
                else f"type {type(out).__name__}"
            )
            raise GraphError(f"out has {given}; it must be a writable array of shape {self._shape} and dtype float32.")
        with self._lock:
            return self._run(x, out)

    def _run(self, x: Any, out: NDArray[np.float32] | None) -> NDArray[np.float32]:
        if self._plan is not None:
            return self._run_plan(x, out)
        self._x = self.binding.x = self.graph.x if x is None else self._checked(x)
        result = self._step_through()
        if out is None:
            return result.copy()
        out[...] = result
        return out

    def _run_plan(self, x: Any, out: NDArray[np.float32] | None) -> NDArray[np.float32]:
        plan, own = self._plan, self.graph.x
        if x is None:
            x = own
        elif not (type(x) is type(own) is np.ndarray and x.dtype == np.float32 == own.dtype and x.shape == own.shape
                  and x.flags.c_contiguous and x.flags.aligned):  # fmt: skip
            x = self._checked(x)
            if isinstance(x, SparseFeatures) and x.nnz > own.nnz:
                plan = self._templates.plan(self.graph.replace(x=x))  # its buffers hold more entries
                self._require(plan.workspace_bytes)
        direct = out is not None and out.flags.c_contiguous and out.flags.aligned
        result = out if direct else np.empty(self._shape, np.float32)
        plan.run(x, result)
        if plan.status[0]:
            check_features(x, self.graph.num_nodes)  # names the value
        self._x = x
        if out is None or direct:
            return result
        out[...] = result
        return out

    def _step_through(self) -> NDArray[np.float32]:
        for call in self._calls:
            call()
        return self.binding.registers[self.program.steps[-1].output].array

    def _checked(self, x: Any) -> Any:
        """Other features as the graph would keep them; kind and shape must be those that the buffers were made for."""
        own = self.graph.x
        x = check_features(x, self.graph.num_nodes)
        sparse = isinstance(own, SparseFeatures)
        if isinstance(x, SparseFeatures) != sparse or x.shape != own.shape:
            raise GraphError(
                f"These features are {_kind(x)}; the model is bound to a graph with {_kind(own)}. "
                "Give features of the same kind and shape, or bind the model to another graph."
            )
        known = self.program.meta["num_features"]
        if self.program.meta["embedding"] and x.size and int(x.max()) >= known:
            raise GraphError(f"x holds the category {int(x.max())}; the model knows 0 to {known - 1}.")
        return x

    def site_codes(self) -> dict[str, NDArray]:
        """Codes at every site after the last run, dense, by site name; sparse entry codes are written out."""
        with self._lock:
            return self._site_codes()

    def _site_codes(self) -> dict[str, NDArray]:
        if self._plan is not None:  # which keeps no register longer than it must: the same bits step by step
            self._calls  # noqa: B018
            self._require(self._step_bytes)
            self.binding.x = self._x
            self._step_through()
        found = {}
        for step in self.program.steps:
            if step.site is not None:
                register = self.binding.registers[step.output]
                zero = (
                    step.attributes["zero_point"] - step.attributes.get("offset", 0)
                    if register.sparse is not None
                    else 0
                )
                found[step.site] = self.binding.dense(step.output, zero)().copy()
        return found

    def __reduce__(self) -> Any:
        raise TypeError(
            "A bound model cannot be copied or pickled: it holds the addresses of its buffers. Copy or send the "
            "IntegerModel and the graph, and bind there."
        )


def _renew_locks() -> None:
    """In a forked child: a lock that another thread held at that moment would never be given back."""
    for bound in _BOUND:
        bound._lock = threading.RLock()


_BOUND: weakref.WeakSet[BoundModel] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def entry_bytes(graph: Graph) -> int:
    """What the entry takes for a moment where it runs in NumPy: two float32 of each feature, and codes."""
    x = graph.x
    values = x.nnz if isinstance(x, SparseFeatures) else 0 if x is None or x.ndim == 1 else x.size
    return 9 * values


def _kind(x: Any) -> str:
    if isinstance(x, SparseFeatures):
        return f"sparse, {x.shape}"
    return f"integer categories, {x.shape}" if x.ndim == 1 else f"dense, {x.shape}"


def check_graph(program: Program, graph: Graph) -> None:
    """Raise GraphError where ``graph`` does not fit the program."""
    if graph.x is None:
        raise GraphError("This graph has no features x, which the model needs. Give it some with graph.replace(x=...).")
    codes = isinstance(graph.x, np.ndarray) and graph.x.ndim == 1
    known = program.meta["num_features"]  # a graph may lack some categories; `lookup` refuses those beyond the table
    if codes != program.meta["embedding"] or (not codes and graph.num_features != known):
        kind = "integer categories" if program.meta["embedding"] else "features"
        raise GraphError(
            f"The model was trained on {known} {kind}, the graph has {graph.num_features} "
            f"{'integer categories' if codes else 'features'}. Run it on a graph of the kind it was trained on."
        )
    weighted = any(step.op == "edge_norm" for step in program.steps)
    if graph.edge_weight is not None and not weighted:
        raise GraphError(
            "This graph has edge weights, and the model's program has no step that uses them. Drop them with "
            'graph.without_edge_weight(), or train a GCN with sites="paper".'
        )
