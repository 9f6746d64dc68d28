"""Small graphs that come one at a time, each new: from arrays of edges and features to the logits.

    python -m bench.stream

A thing that is bound once and called again (``bench.models``) is only half of the story: molecules or images arrive one
by one, and every one is another graph. Timed is a pass over the first molecules of ZINC-12k, node features of 64
floats, four layers: int64 edge lists and float32 rows in memory in, logits out. Ours checks and builds a ``Graph``,
plans and runs; PyG gets tensors over the same memory and computes GCN's normalisation, which it cannot keep. "in one
batch" is the same work where the graphs may wait for each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import dqnumba as dq

from . import machine, peers, report
from .timing import interleave, ratio
from .workloads import MODELS, Workload, build_model

__all__ = ["main", "measure", "molecules", "table"]

GRAPHS = 200
WIDTHS = (64, 64, 64, 64, 64)
LARGEST_DEVIATION = 1e-3  # of PyG's logits from our float model's, as a share of the largest

Arrays = list[tuple[np.ndarray, np.ndarray]]


def molecules(count: int) -> Arrays:
    """Edges (2, E) int64, sources first, and features (N, 64) float32 of the first training molecules of ZINC-12k."""
    dataset = dq.data.load("zinc12k")
    found = []
    for k in dataset.splits["train"][:count]:
        own = dataset[int(k)].adjacency("keep")
        x = np.random.default_rng([int(k), 1]).standard_normal((own.num_rows, WIDTHS[0]), dtype=np.float32)
        found.append((np.stack([own.indices, own.targets]).astype(np.int64), x))
    return found


def measure(kind: str, arrays: Arrays, *, repeats: int, budget: float) -> dict[str, Any]:
    """All contenders of one kind of model, checked, then timed in turns; times are those of one graph."""
    graphs = [dq.Graph.from_edge_index(edges, x) for edges, x in arrays]
    together = dq.graph.batch(graphs)
    model = build_model(kind, Workload(together, WIDTHS))
    imodel = dq.convert(dq.calibrate(dq.prepare(model, dq.QuantConfig.ptq(8)), together))
    with dq.autograd.no_grad():
        expected = [model(graph).data for graph in graphs]
    facts: dict[str, dict[str, Any]] = {"int8": {"backend": imodel.bind(graphs[0]).backend}, "int8 in one batch": {}}
    failures = []
    if any(not np.array_equal(imodel(g), imodel(g, backend="reference")) for g in graphs):
        failures.append("int8: other bits than the reference")

    def ours() -> None:
        for edges, x in arrays:
            imodel(dq.Graph.from_edge_index(edges, x))

    def in_one_batch() -> None:
        imodel(dq.graph.batch([dq.Graph.from_edge_index(edges, x) for edges, x in arrays]))

    runs: dict[str, Callable[[], None]] = {"int8": ours, "int8 in one batch": in_one_batch}
    if peers.pyg_or_none() is None:
        facts["pyg"] = machine.absent("torch_geometric")
    else:
        runs["pyg"], facts["pyg"] = _pyg(model, arrays, expected)
        if not facts["pyg"]["error"] < LARGEST_DEVIATION:
            failures.append(f"pyg deviates from the float model by {facts['pyg']['error']:.2g}")
    for who, times in interleave(runs, repeats=repeats, budget=budget).items():
        facts[who] |= {key: value / len(arrays) if key.endswith("_ms") else value for key, value in times.items()}
    speed = {f"{who} vs pyg": ratio(facts["pyg"], facts[who]) for who in ("int8", "int8 in one batch")}
    return {"model": kind, "graphs": len(arrays), "nodes": together.num_nodes, "edges": together.num_edges,
            "contenders": facts, "speedup": speed, "failures": failures}  # fmt: skip


def _pyg(model: Any, arrays: Arrays, expected: list[np.ndarray]) -> tuple[Callable[[], None], dict[str, Any]]:
    import torch

    stack = peers.build_pyg(model)

    def forward(edges: np.ndarray, x: np.ndarray) -> Any:
        return stack(torch.from_numpy(x), torch.from_numpy(edges))

    def run() -> None:
        with torch.no_grad():
            for edges, x in arrays:
                forward(edges, x)

    with torch.no_grad():
        found = [forward(edges, x).numpy() for edges, x in arrays]
    error = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))
    return run, {"error": error}


def table(content: dict[str, Any]) -> str:
    """Markdown: microseconds a graph."""
    rows = []
    for kind, cell in content["cells"].items():
        facts, speed = cell["contenders"], cell["speedup"]
        row = [kind]
        for who in ("int8", "int8 in one batch", "pyg"):
            fact = facts[who]
            us = [report.number(1e3 * fact[key]) for key in ("median_ms", "q1_ms", "q3_ms") if key in fact]
            row.append(f"{us[0]} ({us[1]} - {us[2]})" if us else None)
        rows.append([*row, *(report.number(speed[f"{who} vs pyg"], "x") for who in ("int8", "int8 in one batch"))])
    head = ["microseconds a graph: median (quartiles)", "INT8", "INT8 in one batch", "PyG", "INT8 against PyG"]
    return report.markdown([*head, "in one batch"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stream", description=__doc__.splitlines()[0])
    report.add_options(parser)
    args = parser.parse_args()
    machine.keep_freed_memory()
    threads = machine.set_threads(args.threads)
    content: dict[str, Any] = {"machine": machine.describe(threads), "quick": args.quick, "cells": {}}
    arrays = molecules(20 if args.quick else GRAPHS)
    for kind in MODELS:
        repeats, budget = (3, 1.0) if args.quick else (15, 10.0)
        content["cells"][kind] = measure(kind, arrays, repeats=repeats, budget=budget)
        report.progress(f"{kind}: {content['cells'][kind]['speedup']}")
    report.save(args.results / "stream.json", content)
    report.finish(args, "stream", content, table(content))
    failures = [f"{kind} {what}" for kind, cell in content["cells"].items() for what in cell["failures"]]
    for failure in failures:
        report.progress(f"CHECK FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
