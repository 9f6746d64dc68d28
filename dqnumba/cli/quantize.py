"""``dqnumba quantize``: a trained float model into an integer program, without training."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from .common import emit, make_progress, note, source_from, table
from .options import add_out, add_output_options, add_run_options, add_source_options, count

HELP = "Quantize a trained model without training it, with ranges that are seen on a graph, and verify the result."
MORE = "The model is a PyG state dict saved as safetensors, or a train file; docs/import.md is the guide."
EXAMPLES = (
    "dqnumba quantize weights.safetensors --graph g.npz -o F.safetensors",
    "dqnumba quantize F.train.safetensors --dataset cora --bits 4 --ranges mse --weights mse",
)
EXITS = "0 done, 1 the integer program fails its verification, 2 wrong use or bad input"
_MOST_EXPECTED = 1 << 31  # bytes of outputs to compare with
_YES_NO = {"yes": True, "no": False}
_IMPORT = ("readout", "act", "order", "norm_eps", "concat")  # None where not given
_FLAGS = {"act_first": ("act_first", True), "no_bias": ("bias", False)}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="WEIGHTS.safetensors", help="a PyG state dict, or F.train.safetensors")
    data = add_source_options(parser, seed="0")
    data.add_argument("--limit", type=count, metavar="N", help="look at N training graphs (default: all)")
    given = parser.add_argument_group("what a state dict does not say")
    given.add_argument("--readout", choices=("sum", "mean", "max"), help="pooling of a graph task")
    given.add_argument("--act", metavar="NAME", help="activation between layers; only relu is possible")
    given.add_argument("--act-first", action="store_true", help="activation before normalization (PyG's act_first)")
    given.add_argument("--no-bias", action="store_true", help="the layers were built with bias=False")
    given.add_argument("--concat", choices=tuple(_YES_NO), help="the last GATConv puts its heads side by side")
    given.add_argument("--order", metavar="A,B,...", help="names of the convolutions in the order of execution")
    given.add_argument("--norm-eps", type=float, metavar="X", help="eps of the normalizations (default: 1e-5)")
    given.add_argument("--expect", metavar="F.npy", help="outputs of your model on these data, to be compared")
    quantization = parser.add_argument_group("quantization")
    quantization.add_argument("--bits", type=int, default=8, metavar="B",
                              help="2 to 8, of weights and activations (default: 8)")  # fmt: skip
    quantization.add_argument("--weight-bits", type=int, metavar="B", help="of weights, where they differ")
    quantization.add_argument("--activation-bits", type=int, metavar="B", help="of activations, where they differ")
    quantization.add_argument("--sites", choices=("fused", "paper"), default="fused",
                              help="where values are rounded (default: fused)")  # fmt: skip
    quantization.add_argument("--ranges", choices=("percentile", "ema", "minmax", "mse"), default="percentile",
                              help="range rule of activations; mse: least squared error (default: "
                              "percentile)")  # fmt: skip
    quantization.add_argument("--weights", choices=("full", "mse"), default="full",
                              help="range of weights, per channel; mse: least squared error of the product (default: "
                              "full)")  # fmt: skip
    quantization.add_argument("--no-bias-correction", action="store_true", help="leave the biases as they are")
    add_run_options(parser)
    add_out(add_output_options(parser), "F.safetensors", "write the program there, and F.train.safetensors beside it")


def run(args: argparse.Namespace) -> int:
    from ..train.output import check_output, claimed

    if args.out is not None:
        check_output(args.out)
    with claimed(args.out):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from ..convert import convert, verify
    from ..qat import quantize_trained
    from ..train.initial import load_float
    from ..train.source import load_source

    model = load_float(args.file, **_import_options(args))
    progress = make_progress(args)
    named = source_from(args)
    source = load_source(named, default_fold=None, progress=progress)
    _hint_loops(args, model, source)
    outputs = _float_outputs(args, model, source)

    started = time.perf_counter()
    qmodel = quantize_trained(
        model, source.data, bits=args.bits, weight_bits=args.weight_bits, activation_bits=args.activation_bits,
        ranges=args.ranges, weights=args.weights, bias_correction=not args.no_bias_correction, sites=args.sites,
        indices=source.splits.get("train") if source.many_graphs else None,
    )  # fmt: skip
    integer = convert(qmodel)
    integer = integer.with_class_names(source.class_names(integer.program.meta["out_channels"]))
    seconds = time.perf_counter() - started
    report = verify(integer, qmodel, source.data, backend=args.backend or "numba")

    content: dict[str, Any] = {
        "file": str(args.file), "data": named.name, "model": model.kind, "num_layers": model.config["num_layers"],
        "in_channels": model.config["in_channels"], "out_channels": model.config["out_channels"],
        "weight_bits": qmodel.config.weight_bits, "activation_bits": qmodel.config.activation_bits,
        "ranges": args.ranges, "weights": args.weights, "bias_correction": not args.no_bias_correction,
        "sites": args.sites, "seconds": seconds,
    }  # fmt: skip
    content |= _compare(source, outputs, qmodel, integer, args.backend)
    content["verify"] = {"passed": report.passed, "levels": report.levels, "predictions": report.predictions}
    content["file_bytes"] = _save(args, named, model, qmodel, integer)
    emit(args, content, lambda: _text(content, report))
    return 0 if report.passed else 1


def _import_options(args: argparse.Namespace) -> dict[str, Any]:
    options = {name: getattr(args, name) for name in _IMPORT if getattr(args, name) is not None}
    options |= {name: value for flag, (name, value) in _FLAGS.items() if getattr(args, flag)}
    if "concat" in options:
        options["concat"] = _YES_NO[options["concat"]]
    if "order" in options:
        options["order"] = [name.strip() for name in options["order"].split(",")]
    return options


def _hint_loops(args: argparse.Namespace, model: Any, source: Any) -> None:
    if model.kind != "GIN" or source.many_graphs:
        return
    adjacency = source.data.adjacency("keep")
    loops = int((adjacency.indices == adjacency.targets).sum())
    if loops:
        note(args, f"the graph has {loops:,} self-loops, which GINConv removes here and counts twice in PyG")


def _float_outputs(args: argparse.Namespace, model: Any, source: Any) -> Any:
    """Outputs of the float model on all items, held against those that the user has."""
    import numpy as np

    from ..errors import ConfigError, DataError
    from ..train.evaluate import check_task, predict

    check_task(model, source.data)
    outputs = predict(model, source.data)
    if args.expect is None:
        return outputs
    expected = read_expected(args.expect)
    if expected.shape != outputs.shape:
        raise DataError(f"{args.expect} holds no array of shape {outputs.shape}, the outputs of this model here.")
    worst = float(np.abs(expected - outputs).max(initial=0.0))
    allowed = 1e-4 * max(1.0, float(np.abs(expected).max(initial=0.0)))
    if not worst <= allowed:
        raise ConfigError(
            f"The imported float model differs from {args.expect} by up to {worst:.3g}, {allowed:.1g} is allowed. "
            "Its tensors fit, so what they do not say differs: see the options of `dqnumba quantize --help`, "
            "dropout (eval mode?), the graph itself."
        )
    note(args, f"float outputs equal {args.expect} within {worst:.2g}")
    return outputs


def read_expected(path: str | Path) -> Any:
    """The numbers of an npy file; DataError where it is none."""
    from ..errors import DataError
    from ..formats import Malformed, open_regular, read_npy, size_of

    try:
        with open_regular(path, _MOST_EXPECTED) as stream:
            expected = read_npy(stream, size_of(stream))
        if expected.dtype.kind not in "fiu":
            raise Malformed(f"it holds {expected.dtype}, and no numbers")
    except Exception as error:  # of NumPy's reading of a header: the ways are many
        raise DataError(f"Cannot read {path} ({error}); save it with numpy.save(path, outputs).") from None
    return expected


def _compare(source: Any, outputs: Any, qmodel: Any, integer: Any, backend: str | None) -> dict[str, Any]:
    """Scores of the float model, of fake quantization and of the program, and how often float and program agree."""
    import numpy as np

    from ..train.evaluate import predict, task_of
    from ..train.metrics import metric_name, score

    data = source.data
    results = {
        "float": outputs, "fake_quant": predict(qmodel, data), "integer": predict(integer, data, backend=backend)
    }  # fmt: skip
    regression = outputs.shape[1] == 1 and (data.y is None or task_of(data) == "regression")
    content: dict[str, Any] = {"items": len(outputs), "metric": None, "split": None}
    content |= dict.fromkeys(results)
    if regression:
        content["agreement"] = None
        content["max_difference"] = float(np.abs(results["integer"] - outputs).max(initial=0.0))
    else:
        content["agreement"] = float(np.mean(results["integer"].argmax(axis=1) == outputs.argmax(axis=1)))
    if data.y is not None:
        split = "test" if len(source.splits.get("test", ())) else "all"
        rows = source.splits["test"] if split == "test" else np.arange(len(outputs))
        content["metric"], content["split"] = metric_name(task_of(data)), split
        for name, values in results.items():
            content[name] = score(task_of(data), values[rows], data.y[rows])[content["metric"]]
    return content


def _save(args: argparse.Namespace, named: Any, model: Any, qmodel: Any, integer: Any) -> int | None:
    """Write the program, and beside it a train file for ``verify``, ``convert`` and ``train --init``."""
    import numpy as np

    from ..train.checkpoint import Checkpoint, train_file_of, write_checkpoint
    from ..train.initial import short_kind
    from ..train.settings import RunSettings
    from ..train.state import TrainingState

    if args.out is None:
        return None
    settings = RunSettings(
        named, model=short_kind(model), method="ptq", bits=args.bits, weight_bits=args.weight_bits,
        activation_bits=args.activation_bits, sites=args.sites, init=str(args.file),
    )  # fmt: skip
    drawn = dict(np.random.default_rng(0).bit_generator.state)
    state = TrainingState(
        epoch=0, model={}, optimizer={}, schedule={}, rng=drawn, history=[],
        seconds=[], best_epoch=0, best_value=None, best_rank=None, best_model={},
    )  # fmt: skip
    checkpoint = Checkpoint(
        model_config=model.config, quant_config=qmodel.config.to_dict(), model=qmodel.state_dict(), state=state,
        settings=settings.to_dict(), recipe={"model": {}, "train": {}, "quant": {}},
    )  # fmt: skip
    integer.save(args.out)
    write_checkpoint(checkpoint, train_file_of(args.out))
    note(args, f"wrote {args.out} and {train_file_of(args.out)}")
    return Path(args.out).stat().st_size


def _text(content: dict[str, Any], report: Any) -> str:
    c = content
    lines = [
        f"{c['model']} of {c['num_layers']} layers, {c['in_channels']} features, {c['out_channels']} outputs; "
        f"weights {c['weight_bits']} bits, activations {c['activation_bits']} bits"
    ]
    if c["metric"] is not None:
        what = "the test split" if c["split"] == "test" else "all items"
        rows = [["", f"{c['metric']} on {what}"]]
        rows += [[name, f"{c[name]:.4f}"] for name in ("float", "fake_quant", "integer")]
        lines.append(table([[name.replace("_", " "), value] for name, value in rows]))
    if c["agreement"] is not None:
        lines.append(f"float and integer predict the same for {c['agreement']:.2%} of {c['items']:,} items")
    else:
        lines.append(f"float and integer differ by at most {c['max_difference']:.4g} on {c['items']:,} items")
    lines.append(report.to_text().partition("\n\n")[2] or report.to_text())
    return "\n".join(lines)
