"""Times of models on graphs, in turns, and the machine they were measured on."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np

from ..graph import Graph
from ..infer import IntegerModel
from ..train.evaluate import predict

__all__ = ["binding_ms", "interleaved", "machine", "measure_speed", "quartiles"]

SHORTEST = 0.02
"""Seconds of a sample: shorter calls are repeated in it."""
_PATIENCE = 8.0
"""Seconds after which no further round is begun, once there are three."""

Key = TypeVar("Key", bound=Hashable)


def interleaved(
    calls: Mapping[Key, tuple[Callable[[], Any], int]], repeats: int, *, patience: float = float("inf")
) -> dict[Key, list[float]]:
    """Milliseconds a call of each contender, sample after sample in turns; compilation and the first calls aside.

    Parameters
    ----------
    calls : mapping of key to (callable, threads)
        Numba's number of threads is set for each and restored in the end.
    repeats : int
        Samples of each.
    patience : float
        Seconds after which the rounds end, when there are at least three.

    Returns
    -------
    dict of lists
        Samples by key.
    """
    before = numba.get_num_threads()

    def sample(key: Key, number: int) -> float:
        call, threads = calls[key]
        numba.set_num_threads(threads)
        started = time.perf_counter()
        for _ in range(number):
            call()
        return time.perf_counter() - started

    numbers, found = {}, {key: [] for key in calls}
    try:
        for key in calls:
            sample(key, 1)  # compiles
            numbers[key] = max(1, int(SHORTEST / max(sample(key, 1), 1e-7)))
        started = time.perf_counter()
        for done in range(repeats):
            if done >= 3 and time.perf_counter() - started > patience:
                break
            for key in calls:
                found[key].append(1e3 * sample(key, numbers[key]) / numbers[key])
    finally:
        numba.set_num_threads(before)
    return found


def binding_ms(model: IntegerModel, graph: Graph, backend: str | None, repeats: int = 5) -> float:
    """Milliseconds that ``bind`` takes on a graph that is new to it: median, what is compiled first aside."""
    model.bind(graph, backend=backend)
    times: list[float] = []
    while len(times) < repeats and sum(times) < 1.0:
        new = graph.replace()  # keeps nothing that was derived from the other
        started = time.perf_counter()
        model.bind(new, backend=backend)
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times))


def quartiles(samples: list[float]) -> dict[str, float]:
    """``median_ms``, ``q1_ms`` and ``q3_ms``."""
    low, middle, high = np.percentile(samples, [25, 50, 75]).tolist()
    return {"median_ms": middle, "q1_ms": low, "q3_ms": high}


def measure_speed(
    model: IntegerModel, twin: Any, graphs: Mapping[str, Graph], backend: str | None, repeats: int
) -> list[dict[str, Any]]:
    """Times of the program and, if there is one, of the float model, with one thread and with all.

    Returns
    -------
    list of dict
        ``what, nodes, edges, model`` (``"integer"`` or ``"float32"``), ``backend, backend_reason, threads,
        median_ms, q1_ms, q3_ms, samples, workspace_bytes``.
    """
    rows = []
    for what, graph in graphs.items():
        bound = model.bind(graph, backend=backend)
        contenders: dict[str, Callable[[], Any]] = {}
        if twin is not None:
            contenders["float32"] = partial(predict, twin, graph)
        contenders["integer"] = partial(bound, out=np.empty_like(bound()))
        for threads in sorted({1, numba.get_num_threads()}):  # by threads: BLAS cannot change its own at every sample
            calls = {name: (call, threads) for name, call in contenders.items()}
            with _blas_threads(threads) as limited:
                samples = interleaved(calls, repeats, patience=_PATIENCE)
            for name, ms in samples.items():
                ours = name == "integer"
                rows.append({
                    "what": what, "nodes": graph.num_nodes, "edges": graph.num_edges, "model": name,
                    "backend": bound.backend if ours else "training kernels",
                    "backend_reason": bound.reason if ours else None, "threads": threads, "samples": len(ms),
                    "blas_limited": limited, "workspace_bytes": bound.workspace_bytes if ours else None,
                    **quartiles(ms),
                })  # fmt: skip
    return rows


@contextlib.contextmanager
def _blas_threads(threads: int) -> Iterator[bool]:
    """Hold BLAS to ``threads``, where threadpoolctl is installed; gives whether it is held."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield os.environ.get("OPENBLAS_NUM_THREADS") == str(threads)
        return
    with threadpool_limits(limits=threads, user_api="blas"):
        yield True


def machine() -> dict[str, Any]:
    """Processor, cores, threads, load and versions, as JSON types."""
    return {
        "cpu": _cpu(), "cores": os.cpu_count(), "threads": numba.get_num_threads(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
        "numpy": np.__version__, "numba": numba.__version__,
    }  # fmt: skip


def _cpu() -> str:
    """The processor's name as Linux tells it, else as Python does."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
