"""Where the time of a bound INT8 model goes, operation by operation.

    python -m bench.profile zinc10k gcn
    python -m bench.profile arxiv gat --bits 4 --threads 1 --json

Each operation of the plan runs alone over all its blocks, on the same threads; what it reads was made by the operations
before it. Alone, an operation finds its block's rows where the last block left them, in the cache, and threads wait for
each other behind it: the sum is near the time of the whole, not equal to it. Bytes are those that an operation moves
from and to what outlives a block: features, results, edges, and rows that other rows read. Weights and tables are not
counted; rows that a thread keeps in its cache over all phases (ranges) are.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import dqnumba as dq

from . import machine, report
from .timing import interleave
from .workloads import MODELS, WORKLOADS, Workload, build_model

__all__ = ["Work", "main", "profile", "table", "watched"]


@dataclass
class Work:
    """What the plan made of one unit.

    Attributes
    ----------
    operation, register : str
        The unit's kind and what it writes.
    count : int
        Operations of the unit in the phase that it shares with others.
    before : int
        Operations in phases of its own, which run before (pieces of hubs).
    moved : int
        Bytes.
    """

    operation: str
    register: str
    count: int
    before: int
    moved: int


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[Any, int, Work]]]:
    """While it lasts, plans tell what they make: (records, group, work) of each unit, in the order of the plan."""
    from dqnumba.infer.plan import records

    told: list[tuple[Any, int, Work]] = []
    makers = dict(records._RECORDS)

    def telling(make: Any) -> Any:
        def run(r: Any, unit: Any) -> None:
            count, before = len(r.ops), sum(len(phase.ops) for phase in r.before)
            make(r, unit)
            before = sum(len(phase.ops) for phase in r.before) - before
            told.append((r, r.group, Work(unit.kind, unit.output, len(r.ops) - count, before, _moved(r, unit))))

        return run

    records._RECORDS.update({kind: telling(make) for kind, make in makers.items()})
    try:
        yield told
    finally:
        records._RECORDS.update(makers)


def _moved(r: Any, unit: Any) -> int:
    """Bytes between a unit and what outlives a block."""
    rows, graph, homes = r.bound.count(unit.rows), r.bound.graph, r.layout.homes
    total = 0
    for source in unit.reads:
        home = homes.get(source.register)
        if home is None:  # the features
            total += graph.x.nbytes if isinstance(graph.x, np.ndarray) else 8 * len(graph.x.data)
        elif home.kind.startswith("sparse"):
            total += len(graph.x.data) * (home.row_bytes + 4)
        elif not home.local:
            total += rows * _portion(home, source.channels)
    for source in unit.gathers:
        edges = graph.num_edges if unit.rows == "node" else graph.num_nodes
        total += edges * (_portion(homes[source.register], source.channels) + 4 * (unit.rows == "node"))
    home = homes.get(unit.output)
    if home is None:  # the result
        return total + rows * 4 * unit.steps[-1].channels
    if home.kind.startswith("sparse"):
        return total + len(graph.x.data) * home.row_bytes
    return total + (0 if home.local else rows * home.row_bytes)


def _portion(home: Any, channels: int) -> int:
    """Bytes of some channels of a row."""
    size = {"int4": 0.5, "int8": 1, "int16": 2, "int32": 4, "float32": 4}.get(home.kind)
    return home.row_bytes if size is None else min(home.row_bytes, int(np.ceil(channels * size)))


def _names() -> dict[int, str]:
    """Kernels of this process by address."""
    from dqnumba.kernels.dot.micro import Micro

    kernels = [found for found in gc.get_objects() if type(found) is Micro and found._compiled is not None]
    return {kernel.address: kernel.__name__.strip("_") for kernel in kernels}


def profile(workload: Workload, kind: str, bits: int, threads: int, *, repeats: int, budget: float) -> dict[str, Any]:
    """Times of all operations of model ``kind``, in milliseconds.

    Returns
    -------
    dict
        ``whole_ms``, ``sum_ms``, ``by_range`` (a thread takes parts of the graph through all phases), and
        ``operations``: of each ``phase``, ``kernel``, ``ms``, ``share`` of the sum, and ``unit`` (``operation``,
        ``register``), whose ``bytes`` stand with its first operation.
    """
    graph, model = workload.graph, build_model(kind, workload)
    program = dq.convert(dq.calibrate(dq.prepare(model, dq.QuantConfig.ptq(bits)), graph))
    with watched() as told:
        bound = program.bind(graph, backend="dot")
    plan = bound._plan
    if plan is None:
        raise ValueError(
            f"there is no plan to look into: the model runs on the {bound.backend} backend: {bound.reason}"
        )
    out = bound()
    launch, works = plan.launch, _in_order([(group, work) for r, group, work in told if r is told[-1][0]])
    names = _names()
    runs, facts = {}, []
    for phase, (first, last, _, _) in enumerate(launch._phases.tolist()):
        for k in range(first, last):
            work, moved = works[k]
            facts.append({"phase": phase, "kernel": names.get(int(launch.ops[k, 0]), "?"), "bytes": moved,
                          "unit": {"operation": work.operation, "register": work.register}})  # fmt: skip
            alone, before = _only(launch, phase, k, k + 1), _until(launch, phase, k)
            runs[k] = _Timed(alone, before, threads)
    whole = interleave({"whole": lambda: bound(out=out)}, repeats=repeats, budget=budget)["whole"]
    for k, run in runs.items():
        run.prepare()
        facts[k]["ms"] = interleave({"op": run}, repeats=repeats, budget=budget / len(runs))["op"]["median_ms"]
    total = sum(fact["ms"] for fact in facts)
    for fact in facts:
        fact["share"] = fact["ms"] / total
    return {
        "model": kind, "bits": bits, "threads": threads, "whole_ms": whole["median_ms"], "sum_ms": total,
        "by_range": hasattr(launch, "_ranges"), "workspace_bytes": bound.workspace_bytes, "operations": facts,
    }  # fmt: skip


@dataclass
class _Timed:
    """One operation, and the launch of all that come before it."""

    alone: Any
    before: Any
    threads: int

    def prepare(self) -> None:
        self.before(self.threads)

    def __call__(self) -> None:
        self.alone(self.threads)


def _in_order(told: list[tuple[Any, Work]]) -> list[tuple[Work, int]]:
    """For each operation of a plan, its unit's work and, with the unit's first one, the bytes."""
    found: list[tuple[Work, int]] = []
    for group in dict.fromkeys(group for group, _ in told):  # its phases of their own run before the shared one
        members = [work for other, work in told if other == group]
        for count in ("before", "count"):
            for work in members:
                new = not any(work is other for other, _ in found)
                found += [(work, work.moved if new and not i else 0) for i in range(getattr(work, count))]
    return found


def _only(launch: Any, phase: int, first: int, last: int) -> Any:
    """A launch of the operations first .. last - 1, all of one phase, on the same memory."""
    part = copy.copy(launch)
    part._phases = launch._phases.copy()
    part._phases[:, 1] = part._phases[:, 0]
    part._phases[phase, :2] = first, last
    return part


def _until(launch: Any, phase: int, last: int) -> Any:
    """A launch of all operations before ``last``, which is one of ``phase``."""
    part = copy.copy(launch)
    part._phases = launch._phases.copy()
    part._phases[phase, 1] = last
    part._phases[phase + 1 :, 1] = part._phases[phase + 1 :, 0]
    return part


def table(content: dict[str, Any]) -> str:
    """Markdown: a row an operation."""
    rows = []
    for fact in content["operations"]:
        moved, ms = fact["bytes"], fact["ms"]
        unit = fact["unit"]
        rows.append([
            fact["phase"], f"{unit['operation']} → {unit['register']}", fact["kernel"], report.number(ms),
            f"{100 * fact['share']:.1f} %", report.number(moved / 1e6) if moved else None,
            report.number(moved / ms / 1e6) if moved else None,
        ])  # fmt: skip
    head = ["phase", "operation → register", "kernel", "ms", "share", "MB", "GB/s"]
    ways = "range by range" if content["by_range"] else "phase by phase"
    whole, total = report.number(content["whole_ms"]), report.number(content["sum_ms"])
    text = f"All together {whole} ms ({ways}), one after the other {total} ms; {content['threads']} threads."
    return f"{report.markdown(head, rows)}\n\n{text}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.splitlines()[0])
    parser.add_argument("workload", choices=tuple(WORKLOADS), metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("model", choices=MODELS, metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--bits", type=int, choices=(4, 8), default=8, help="of weights and activations (default: 8)")
    parser.add_argument("--threads", type=int, default=2, help="default: 2")
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it runs, not to be quoted")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    args = parser.parse_args()
    machine.keep_freed_memory()
    threads = machine.set_threads(args.threads)
    repeats, budget = (3, 1.0) if args.quick else (9, 10.0)
    found = profile(WORKLOADS[args.workload](), args.model, args.bits, threads, repeats=repeats, budget=budget)
    content = {"workload": args.workload, **found, "machine": machine.describe(threads), "quick": args.quick}
    print(json.dumps(content, allow_nan=False) if args.json else table(content), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
