"""``dqnumba demo``: the whole road on the embedded graph, without files or network."""

from __future__ import annotations

import argparse
from typing import Any

from .common import emit, make_progress, note, note_first_use, table
from .options import add_output_options, add_run_options, add_seed, count

HELP = "Train FP32, plain QAT and Degree-Quant at INT8 and INT4 on a graph that is built in, and compare them."
EXAMPLES = ("dqnumba demo", "dqnumba demo --model gcn --json")
_RUNS = (("fp32", 32), ("qat", 8), ("dq", 8), ("qat", 4), ("dq", 4))
_TITLES = {"fp32": "FP32", "qat": "QAT", "dq": "Degree-Quant"}


def configure(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--model", choices=("gcn", "gat", "gin", "sage"), default="gin",
                       help="architecture (default: gin)")  # fmt: skip
    group.add_argument("--epochs", type=count, metavar="N", help="passes over the data (default: the recipe's)")
    add_seed(group)
    add_run_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..data import load
    from ..train.experiment import run_experiment
    from ..train.settings import RunSettings
    from ..train.source import Source

    source, graph = Source(dataset="synthetic"), load("synthetic")
    note(args, f"embedded citation graph: {graph.num_nodes:,} nodes, {graph.num_edges:,} edges, model {args.model}")
    note_first_use(args)
    progress = make_progress(args)
    overrides = {} if args.epochs is None else {"epochs": args.epochs}
    rows: list[dict[str, Any]] = []
    for method, bits in _RUNS:
        settings = RunSettings(
            source,
            model=args.model,
            method=method,
            bits=8 if method == "fp32" else bits,
            seed=args.seed,
            overrides=overrides,
        )
        result = run_experiment(settings, data=graph, backend=args.backend, progress=progress)
        rows.append(result.record | {"seconds": result.seconds})
    content = {
        "dataset": "synthetic", "model": args.model, "seed": args.seed, "nodes": graph.num_nodes,
        "edges": graph.num_edges, "runs": rows,
    }  # fmt: skip
    emit(args, content, lambda: _text(rows))
    return 0


def _text(rows: list[dict[str, Any]]) -> str:
    head = ["method", "bits", "float", "fake-quant", "integer", "agreement", "file bytes", "smaller", "seconds"]
    base = rows[0]["file_bytes"]
    body = [
        [
            _TITLES[r["method"]], r["bits"], _percent(r["test_float"]), _percent(r["test_fake_quant"]),
            _percent(r["test_integer"]), _percent(r["agreement"]), f"{r['file_bytes']:,}",
            f"{base / r['file_bytes']:.1f} x", f"{r['seconds']:.1f}",
        ]
        for r in rows
    ]  # fmt: skip
    legend = (
        "Test accuracy in %. `integer` is the converted program, without a float between its entry and its exit;\n"
        "`agreement` is the share of its predictions that equal those of fake quantization. Next: dqnumba train --help"
    )
    return table([head, *body]) + "\n\n" + legend


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f}"
