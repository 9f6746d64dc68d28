"""One node with ten million in-edges from as many nodes: GCN, GAT, GIN and GraphSAGE, INT8.

The loops and the vector kernels must give the same bits, and the hub's first sum must be what Python integers give from
the codes of its neighbours. ``--reference`` asks for the reference's bits too, which takes long on millions of rows. A
graph that is refused counts as refused, with what was said.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from typing import Any

import numpy as np

import dqnumba as dq
from dqnumba.infer import IntegerModel

from . import record

__all__ = ["exact_hub", "main", "measure", "star"]

NAME = "hubs"
MODELS = {"gcn": dq.nn.GCN, "gat": dq.nn.GAT, "gin": dq.nn.GIN, "sage": dq.nn.GraphSAGE}
_SUMS = ("neighbor_sum", "weighted_neighbor_sum")


def star(edges: int) -> dq.Graph:
    """Node 0 with that many neighbours, each another node; two features drawn from a seed."""
    x = np.random.default_rng(edges).standard_normal((edges + 1, 2), dtype=np.float32)
    indptr = np.append(0, np.full(edges + 1, edges, np.int64))
    return dq.Graph(indptr, np.arange(1, edges + 1, dtype=np.int32), x)


def program(kind: str) -> IntegerModel:
    """A model of two layers, calibrated on a star of 2,000."""
    options = {"heads": 2} if kind == "gat" else {}
    net = MODELS[kind](2, 8, 3, num_layers=2, seed=0, **options)
    return dq.convert(dq.calibrate(dq.prepare(net, dq.QuantConfig.degree_quant(bits=8)), star(2000)))


def exact_hub(bound: Any) -> bool:
    """Whether the first sum of node 0 is what Python integers give; ``bound`` has run, on the loops."""
    step = next(s for s in bound.program.steps if s.op in _SUMS)
    registers, a = bound.binding.registers, step.attributes
    adjacency = bound.graph.adjacency("add" if step.op == "weighted_neighbor_sum" else a["self_loops"])
    row = slice(*adjacency.indptr[:2].tolist())
    codes = registers[step.inputs[-1]].array[adjacency.indices[row]].astype(np.int64)
    if step.op == "neighbor_sum":
        coefficients = np.ones((len(codes), 1), np.int64)
    else:
        coefficients = registers[step.inputs[0]].array[row].astype(np.int64)
    want = []
    for channel in range(step.channels):
        head = coefficients[:, channel * coefficients.shape[1] // step.channels]
        pairs, counts = np.unique((head << 16) + codes[:, channel] + (1 << 15), return_counts=True)
        terms = ((p >> 16, (p & 0xFFFF) - (1 << 15), n) for p, n in zip(pairs.tolist(), counts.tolist(), strict=True))
        want.append(sum(n * c * (q - a["zero_in"]) for c, q, n in terms))
    return bool(registers[step.output].array[0].tolist() == want)


def measure(kind: str, edges: int, backends: tuple[str, ...] = ("dot",)) -> dict[str, Any]:
    """What one model does on the star: whether ``backends`` give the bits of the loops, and the exact sum."""
    imodel, graph, started = program(kind), star(edges), time.monotonic()
    try:
        loops = imodel.bind(graph, backend="numba")
        logits = loops()
    except dq.OverflowRiskError as error:
        return {"refused": str(error)}
    found: dict[str, Any] = {"exact": exact_hub(loops)}
    del loops
    for backend in backends:
        bound = imodel.bind(graph, backend=backend)
        found[backend] = bool(bound().tobytes() == logits.tobytes())
        if bound.reason:
            found["not_planned"] = bound.reason
        del bound
    return found | {"finite": bool(np.isfinite(logits).all()), "seconds": round(time.monotonic() - started, 1)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=10_000_000, metavar="N", help="of the hub (default: 10,000,000)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="KIND")
    parser.add_argument("--reference", action="store_true", help="the bits of the reference too")
    args = parser.parse_args(argv)
    cells, wrong = record.read(NAME).get("cells", {}), 0
    backends = ("dot", "reference") if args.reference else ("dot",)
    for kind in args.models:
        cells[f"{kind} {args.edges}"] = found = measure(kind, args.edges, backends)
        print(f"{kind}, {args.edges} edges: {found}", file=sys.stderr)
        wrong = sum(value is False for cell in cells.values() for value in cell.values())
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        sitting = {"model": kind, "edges": args.edges, "peak_memory_gib": peak}
        record.extend(NAME, {"wrong": wrong, "cells": cells}, sitting)
    return 1 if wrong else 0
