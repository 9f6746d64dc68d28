"""``dqnumba bench``: how long an integer program takes on a graph, and what it needs."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from .common import emit, note, source_from, table
from .options import add_output_options, add_run_options, add_source_options, count

HELP = "Time a model file on a graph, or on one graph and a batch of a data set."
MORE = "Each backend runs on one thread and on all of them; `bind` is what a new graph takes before its first run."
EXAMPLES = ("dqnumba bench F.safetensors --dataset cora", "dqnumba bench F.safetensors --graph g.npz --plot times.svg")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F.safetensors", help="a model file")
    data = add_source_options(parser, seed="0")
    data.add_argument("--batch", type=count, default=128, metavar="N", help="graphs in a batch (default: 128)")
    parser.add_argument("--repeats", type=count, default=15, metavar="N", help="samples of each time (default: 15)")
    add_run_options(parser)
    output = add_output_options(parser)
    output.add_argument("--plot", metavar="F.svg|F.png", help="draw the times there")


def run(args: argparse.Namespace) -> int:
    import numba
    import numpy as np

    from ..infer import load
    from ..report import check_picture, save_picture
    from ..report.curves import speed_chart
    from ..report.speed import binding_ms, interleaved, quartiles
    from ..train.evaluate import check_task
    from ..train.source import load_source
    from .common import make_progress

    model = load(args.file)
    if args.plot is not None:
        check_picture(args.plot)
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
        binding = {name: binding_ms(model, graph, name) for name in bound}
        calls = {name: partial(b, out=np.empty_like(b())) for name, b in bound.items()}
        runs = {(name, threads): (call, threads) for name, call in calls.items() for threads in sorted({1, most})}
        for (name, threads), ms in interleaved(runs, args.repeats).items():
            rows.append({
                "what": what, "nodes": graph.num_nodes, "edges": graph.num_edges, "backend": bound[name].backend,
                "backend_reason": bound[name].reason, "threads": threads, **quartiles(ms),
                "bind_ms": binding[name], "workspace_bytes": bound[name].workspace_bytes,
            })  # fmt: skip
    content = {"file": str(args.file), "data": data.name or args.graph, "program_bytes": model.program.nbytes,
               "repeats": args.repeats, "times": rows}  # fmt: skip
    if args.plot is not None:
        save_picture(args.plot, [speed_chart(rows)], f"{Path(args.file).name} on {content['data']}")
        note(args, f"wrote {args.plot}")
    emit(args, content, lambda: _text(content))
    return 0


def _backends() -> list[str]:
    """The fast ones; the reference is plain NumPy, and slow on purpose."""
    from ..infer import BACKENDS

    return [name for name in BACKENDS if name != "reference"]


def _text(content: dict[str, Any]) -> str:
    rows: list[list[Any]] = [["", "backend", "threads", "ms (median)", "quartiles", "ms to bind", "workspace"]]
    last = None
    for row in content["times"]:
        name = f"{row['what']}: {row['nodes']:,} nodes, {row['edges']:,} edges"
        rows.append([name if name != last else "", row["backend"], row["threads"], f"{row['median_ms']:.4g}",
                     f"{row['q1_ms']:.4g} - {row['q3_ms']:.4g}",
                     f"{row['bind_ms']:.3g}", f"{row['workspace_bytes'] / 1024:,.0f} KiB"])  # fmt: skip
        last = name
    lines = [f"{content['file']}: {content['program_bytes'] / 1024:,.1f} KiB", table(rows)]
    reasons = {row["backend_reason"] for row in content["times"] if row["backend_reason"]}
    return "\n".join([*lines, *(f"not on dot: {reason}" for reason in sorted(reasons))])
