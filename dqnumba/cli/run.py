"""``dqnumba run``: predictions of an integer program."""

from __future__ import annotations

import argparse
import io
import time
from typing import Any

from .common import emit, make_progress, source_from
from .options import add_out, add_output_options, add_run_options, add_source_options

HELP = "Run a model file on a graph or data set: predictions, and the accuracy where labels are known."
EXAMPLES = (
    "dqnumba run F.safetensors --dataset cora",
    "dqnumba run F.safetensors --graph g.npz -o predictions.npz",
    "dqnumba run F.safetensors --graph g.npz --estimate",
)
_SHOWN = 10
_BATCH = 128  # graphs


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F.safetensors", help="a model file")
    add_source_options(parser, seed="0")
    add_run_options(parser)
    parser.add_argument("--estimate", action="store_true", help="run nothing; tell the memory that it would take, and "
                        "how far each integer sum can reach on this graph (exit code 1: it does not fit)")  # fmt: skip
    add_out(add_output_options(parser), "F.npz", "write indices, predictions and outputs there (and ids of nodes and "
            "names of classes, of a graph from tables)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from ..infer import load
    from ..train.checkpoint import write_atomic
    from ..train.evaluate import check_task, predict, task_of
    from ..train.experiment import check_output
    from ..train.metrics import metric_name, score
    from ..train.source import load_source

    model = load(args.file)
    if args.out is not None:
        check_output(args.out)
    source = load_source(source_from(args), default_fold=None, progress=make_progress(args))
    data, many = source.data, source.many_graphs
    check_task(model, data)
    # One graph is predicted whole. Of a data set with a split, the test graphs; without one, all.
    indices = source.splits.get("test", np.arange(len(data))) if many else np.arange(data.num_nodes)
    if args.estimate:
        return _estimate(args, model, data, indices if many else None)
    started = time.perf_counter()
    bound: list[Any] = []
    outputs = predict(_keeping(model, bound), data, None if not many else indices, batch_size=_BATCH,
                      backend=args.backend)  # fmt: skip
    seconds = time.perf_counter() - started
    if not many:
        indices = np.arange(len(outputs))

    # Labels say what the task is: one output is also what a single class has.
    task = task_of(data) if data.y is not None or outputs.shape[1] > 1 else "regression"
    predictions = outputs[:, 0] if task == "regression" else np.argmax(outputs, axis=1)
    content: dict[str, Any] = {"file": str(args.file), "data": data.name or args.graph, "task": task}
    content |= {"items": len(indices), "seconds": seconds}
    content |= {"backend": bound[-1].backend, "backend_reason": bound[-1].reason}
    if data.y is not None:
        scored = source.splits.get("test") if not many else None
        content["split"] = "test" if "test" in source.splits else "all"
        if scored is None and source.file is not None and source.file.labelled is not None:
            scored, content["split"] = np.flatnonzero(source.file.labelled), "labelled"
        rows = outputs if scored is None else outputs[scored]
        wanted = _in_names_of(model, source, data.y[indices if scored is None else scored])
        content[metric_name(task)] = score(task, rows, wanted)[metric_name(task)]
    names = model.class_names or (None if source.file is None else source.file.classes)
    if names is not None and len(names) == outputs.shape[1]:
        content["class_names"] = list(names)
    if args.out is not None:
        buffer = io.BytesIO()
        found = {"node_ids": None if source.file is None else source.file.node_ids, "classes": names}
        named: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
        np.savez(buffer, indices=indices, predictions=predictions, outputs=outputs, **named)
        write_atomic(args.out, buffer.getvalue())
        content["out"] = str(args.out)
    else:
        content["predictions"] = predictions.tolist()
    emit(args, content, lambda: _text(content, predictions))
    return 0


def _estimate(args: argparse.Namespace, model: Any, data: Any, indices: Any) -> int:
    """Of the one graph, or of the batch that takes the most."""
    batches = [data] if indices is None else data.batches(indices, _BATCH)
    estimates = [model.estimate(batch, backend=args.backend) for batch in batches]
    found = max(estimates, key=lambda each: each.needed_bytes)
    head = f"the largest of {len(estimates):,} batches\n" if len(estimates) > 1 else ""
    emit(args, {"file": str(args.file), "batches": len(estimates)} | found.to_dict(), lambda: f"{head}{found}")
    return 0 if found.fits else 1


def _in_names_of(model: Any, source: Any, y: Any) -> Any:
    """Labels numbered as the model's classes are: a graph's table may name others, or not all. Unknown ones: -1."""
    import numpy as np

    own = None if source.file is None else source.file.classes
    if model.class_names is None or own is None or own == model.class_names:
        return y
    known = {name: number for number, name in enumerate(model.class_names)}
    return np.array([known.get(name, -1) for name in own])[y]


def _keeping(model: Any, kept: list[Any]) -> Any:
    """``model`` as a function of a graph that keeps what it has bound last: that knows which backend ran, and why."""

    def call(graph: Any, *, backend: str | None) -> Any:
        kept[:] = [model.bind(graph, backend=backend)]
        return kept[0]()

    return call


def _text(content: dict[str, Any], predictions: Any) -> str:
    lines = [
        f"{content['items']:,} predictions in {content['seconds']:.3f} s on {content['backend']} (compiling included)"
    ]
    if content["backend_reason"]:
        lines.append(f"not on dot: {content['backend_reason']}")
    for metric in ("accuracy", "mae"):
        if metric in content:
            what = {"test": "the test split", "labelled": "all labelled items"}.get(content["split"], "all items")
            lines.append(f"{metric} {content[metric]:.4f} on {what}")
    if "out" in content:
        lines.append(f"wrote {content['out']}")
    else:
        names = content.get("class_names")
        first = predictions[:_SHOWN]
        shown = ", ".join(_plain(names[p]) for p in first) if names else " ".join(f"{p:.4g}" for p in first)
        lines.append(f"first ones: {shown}" + (" ... (--out or --json gives all)" if len(predictions) > _SHOWN else ""))
    return "\n".join(lines)


def _plain(name: str) -> str:
    """A name from a file without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
