"""``dqnumba bench``: how long an integer program takes on a graph, and what it needs."""

from __future__ import annotations

import argparse
import time
from typing import Any

from .common import add_output_options, add_run_options, add_seed, add_source_options, count, emit, source_from, table

HELP = "Time a model file on a graph, or on one graph and a batch of a data set; per backend and number of threads."
_SHORTEST = 0.02
"""Seconds of a sample: shorter calls are repeated in it."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F.safetensors", help="a model file")
    add_source_options(parser)
    parser.add_argument("--repeats", type=count, default=15, metavar="N", help="samples of each (default: 15)")
    parser.add_argument("--batch", type=count, default=128, metavar="N", help="graphs in a batch (default: 128)")
    add_seed(parser, default=None)
    add_run_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    import numba
    import numpy as np

    from ..infer import load
    from ..train.evaluate import check_task
    from ..train.source import load_source
    from .common import make_progress

    model = load(args.file)
    source = load_source(source_from(args), default_fold=None, progress=make_progress(args))
    data = source.data
    check_task(model, data)
    graphs = {"graph": data}
    if source.many_graphs:
        indices = source.splits.get("test", np.arange(len(data)))
        chosen = np.asarray(indices)[: args.batch]
        graphs = {"one graph": data[int(chosen[0])], f"batch of {len(chosen)}": data.batch(chosen)}
    most = numba.get_num_threads()
    rows = []
    for what, graph in graphs.items():
        bound = {name: model.bind(graph, backend=name) for name in ([args.backend] if args.backend else _backends())}
        runs = {(name, threads): b for name, b in bound.items() for threads in sorted({1, most})}
        times = _time(runs, args.repeats)
        for (name, threads), ms in times.items():
            low, middle, high = np.percentile(ms, [25, 50, 75]).tolist()
            rows.append({
                "what": what, "nodes": graph.num_nodes, "edges": graph.num_edges, "backend": bound[name].backend,
                "backend_reason": bound[name].reason, "threads": threads, "median_ms": middle, "q1_ms": low,
                "q3_ms": high, "workspace_bytes": bound[name].workspace_bytes,
            })  # fmt: skip
    content = {"file": str(args.file), "data": data.name or args.graph, "program_bytes": model.program.nbytes,
               "repeats": args.repeats, "times": rows}  # fmt: skip
    emit(args, content, lambda: _text(content))
    return 0


def _backends() -> list[str]:
    """The fast ones; the reference is plain NumPy, and slow on purpose."""
    from ..infer import BACKENDS

    return [name for name in BACKENDS if name != "reference"]


def _time(runs: dict[tuple[str, int], Any], repeats: int) -> dict[tuple[str, int], list[float]]:
    """Milliseconds a call of each contender, sample after sample in turns, outputs in a given array."""
    import numba
    import numpy as np

    before = numba.get_num_threads()
    calls, outputs = {}, {key: np.empty_like(bound()) for key, bound in runs.items()}

    def sample(key: tuple[str, int], number: int) -> float:
        numba.set_num_threads(key[1])
        started = time.perf_counter()
        for _ in range(number):
            runs[key](out=outputs[key])
        return time.perf_counter() - started

    try:
        for key in runs:
            sample(key, 1)  # compiles
            calls[key] = max(1, int(_SHORTEST / max(sample(key, 1), 1e-7)))
        found: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
        for _ in range(repeats):
            for key in runs:
                found[key].append(1e3 * sample(key, calls[key]) / calls[key])
    finally:
        numba.set_num_threads(before)
    return found


def _text(content: dict[str, Any]) -> str:
    rows: list[list[Any]] = [["", "backend", "threads", "ms (median)", "quartiles", "workspace"]]
    last = None
    for row in content["times"]:
        name = f"{row['what']}: {row['nodes']:,} nodes, {row['edges']:,} edges"
        rows.append([name if name != last else "", row["backend"], row["threads"], f"{row['median_ms']:.4g}",
                     f"{row['q1_ms']:.4g} - {row['q3_ms']:.4g}",
                     f"{row['workspace_bytes'] / 1024:,.0f} KiB"])  # fmt: skip
        last = name
    lines = [f"{content['file']}: {content['program_bytes'] / 1024:,.1f} KiB", table(rows)]
    reasons = {row["backend_reason"] for row in content["times"] if row["backend_reason"]}
    return "\n".join([*lines, *(f"not on dot: {reason}" for reason in sorted(reasons))])
