"""``dqnumba report``: one page about a model file, to be looked at in a browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import emit, make_progress, source_from, table
from .options import add_out, add_output_options, add_run_options, add_source_options, count

HELP = "Write a page about a model file: accuracy, bytes and latency against float, sites, in-degree, the program."
MORE = "The page is one HTML file that needs no network; docs/report.md describes it."
EXAMPLES = ("dqnumba report F.safetensors --dataset cora -o report.html",)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F.safetensors", help="a model file")
    parser.add_argument("--against", metavar="F.train.safetensors",
                        help="what to compare with (default: the train file beside the model file)")  # fmt: skip
    parser.add_argument("--repeats", type=count, default=15, metavar="N", help="samples of each time (default: 15)")
    data = add_source_options(parser, seed="that of the train file")
    data.add_argument("--limit", type=count, metavar="N", help="look at N graphs of a data set (default: all)")
    add_run_options(parser)
    add_out(add_output_options(parser), "F.html", "the page (default: F.html beside the model file)")


def run(args: argparse.Namespace) -> int:
    from ..infer import load
    from ..report import gather, render
    from ..train.checkpoint import read_checkpoint, train_file_of, write_atomic
    from ..train.experiment import check_output
    from ..train.settings import RunSettings
    from ..train.source import load_source

    model = load(args.file)
    out = args.out if args.out is not None else str(Path(args.file).with_suffix(".html"))
    check_output(out)
    sibling = train_file_of(args.file)
    checkpoint = None
    if args.against is not None or sibling.is_file():
        checkpoint = read_checkpoint(args.against if args.against is not None else sibling)
    limit, args.limit = args.limit, None  # here a number of graphs to look at, not of training items
    of_run = RunSettings.from_dict(checkpoint.settings).source.to_dict() if checkpoint else None
    source = source_from(args, of_run)
    found = gather(
        model, load_source(source, progress=make_progress(args)), file=args.file, name=source.name,
        checkpoint=checkpoint, backend=args.backend, repeats=args.repeats, limit=limit, progress=make_progress(args),
    )  # fmt: skip
    size = write_atomic(out, render(found).encode())
    content = {"out": out, "page_bytes": size, **found}
    emit(args, content, lambda: _text(content))
    return 0


def _text(content: dict[str, Any]) -> str:
    rows: list[list[Any]] = [["", "value"]]
    scores = content["scores"]
    if scores is not None:
        split = "test" if "test" in scores["counts"] else next(iter(scores["counts"]))
        for name in ("float", "fake", "integer"):
            if name in scores["models"]:
                value = scores["models"][name][split]
                rows.append([f"{scores['metric']}, {name}", "-" if value is None else f"{value:.4f}"])
    rows.append(["file bytes", f"{content['sizes']['file']:,}"])
    for row in content["speed"]:
        rows.append([f"ms, {row['model']}, {row['what']}, threads {row['threads']}", f"{row['median_ms']:.4g}"])
    lines = [table(rows), *(f"missing: {entry['what']}: {entry['why']}" for entry in content["missing"])]
    return "\n".join([*lines, f"wrote {content['out']} ({content['page_bytes'] / 1024:.0f} KiB)"])
