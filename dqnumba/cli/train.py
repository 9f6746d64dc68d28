"""``dqnumba train``: train, convert, score, and print the record of the run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import emit, make_progress, note, note_first_use, source_from, table
from .options import add_out, add_output_options, add_run_options, add_seed, add_source_options, count

HELP = "Train a model on a data set or graph file, convert it to an integer program and score both."
MORE = "What is printed is the record of the run; hyper-parameters come from the recipe of the data set and model."
EXAMPLES = (
    "dqnumba train --dataset cora --model gin --bits 4 -o F.safetensors",
    "dqnumba train --graph g.npz --split random --method qat --json",
    "dqnumba train --resume -o F.safetensors --epochs 400",
)

# Options that stand for a key of the recipe.
_RECIPE_OPTIONS = {"epochs": "epochs", "lr": "lr", "hidden": "hidden_channels", "dropout": "dropout"}
_DEFAULTS = {"model": "gcn", "method": "dq", "bits": 8, "sites": "fused", "seed": 0}


def configure(parser: argparse.ArgumentParser) -> None:
    data = add_source_options(parser)
    data.add_argument("--limit", type=count, metavar="N", help="keep N training items (default: all)")
    model = parser.add_argument_group("model")
    model.add_argument("--model", choices=("gcn", "gat", "gin", "sage"), help="architecture (default: gcn)")
    model.add_argument("--hidden", type=int, metavar="N",
                       help="width of the hidden layers, GAT's over all heads (default: the recipe's)")  # fmt: skip
    model.add_argument("--dropout", type=float, metavar="P", help="dropout probability (default: the recipe's)")
    model.add_argument("--init", metavar="F.safetensors", help="start from these weights: a train file, or a PyG "
                       "state dict")  # fmt: skip
    quantization = parser.add_argument_group("quantization")
    quantization.add_argument("--method", choices=("fp32", "ptq", "qat", "nqat", "dq", "dq-plus"),
                              help="dq: the paper's Degree-Quant (default: dq)")  # fmt: skip
    quantization.add_argument("--bits", type=int, metavar="B", help="2 to 8, of weights and activations (default: 8)")
    quantization.add_argument("--weight-bits", type=int, metavar="B", help="of weights, where they differ")
    quantization.add_argument("--activation-bits", type=int, metavar="B", help="of activations, where they differ")
    quantization.add_argument("--sites", choices=("fused", "paper"), help="where values are rounded (default: fused)")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, metavar="N", help="passes over the data (default: the recipe's)")
    training.add_argument("--lr", type=float, metavar="X", help="learning rate (default: the recipe's)")
    training.add_argument("--config", metavar="F.toml", help="a recipe that is laid over the shipped one")
    training.add_argument("--resume", action="store_true", help="go on from the train file beside --out")
    add_seed(training, default=None)
    add_run_options(parser)
    output = add_output_options(parser)
    add_out(output, "F.safetensors", "write the model there, and F.train.safetensors beside it")
    output.add_argument("--plot", metavar="F.svg|F.png", help="draw the curves of loss and validation there")


def run(args: argparse.Namespace) -> int:
    from ..errors import ConfigError
    from ..train.experiment import check_output, run_experiment

    resume = None
    if args.resume:
        if args.out is None:
            raise ConfigError("--resume needs --out F.safetensors: the run in F.train.safetensors beside it goes on.")
        settings, resume = _resumed(args)
    else:
        settings = _settings(args)
    if args.out is not None:
        check_output(args.out)
    if args.plot is not None:
        from ..report import check_picture

        check_picture(args.plot)
    note_first_use(args)
    result = run_experiment(settings, out=args.out, resume=resume, backend=args.backend, progress=make_progress(args))
    if args.out is not None:
        from ..train.checkpoint import train_file_of

        model_file = f"{args.out} and " if result.integer_model is not None else ""
        note(args, f"wrote {model_file}{train_file_of(args.out)}")
    if args.plot is not None:
        _plot(args, result)
    emit(args, result.record, lambda: _text(result.record))
    return 0


def _plot(args: argparse.Namespace, result: Any) -> None:
    from ..report import save_picture
    from ..report.curves import training_charts

    charts = training_charts(result.fit.history, result.fit.best_epoch)
    if not charts:  # not worth an error: the training is done
        return note(args, f"{args.plot} was not written: curves need two epochs or more")
    record = result.record
    save_picture(
        args.plot, [*charts], f"{record['model']} on {record['dataset']}, {record['method']}, {record['bits']} bits"
    )
    return note(args, f"wrote {args.plot}")


def _settings(args: argparse.Namespace) -> Any:
    from ..train.settings import RunSettings

    options = {name: _given(args, name, default) for name, default in _DEFAULTS.items()}
    if args.init is not None and args.model is None:
        from ..train.initial import load_float, short_kind

        options["model"] = short_kind(load_float(args.init))
    overrides = {key: getattr(args, name) for name, key in _RECIPE_OPTIONS.items() if getattr(args, name) is not None}
    return RunSettings(
        source=source_from(args), weight_bits=args.weight_bits, activation_bits=args.activation_bits,
        overrides=overrides, config=args.config, init=args.init, **options,
    )  # fmt: skip


def _resumed(args: argparse.Namespace) -> tuple[Any, Any]:
    """Settings and state of the train file; options that are given again must be the same, but for a new --epochs."""
    from dataclasses import replace

    from ..errors import ConfigError
    from ..train.checkpoint import read_checkpoint, train_file_of
    from ..train.settings import RunSettings

    path = train_file_of(args.out)
    checkpoint = read_checkpoint(path)
    if not checkpoint.recipe["train"]:
        raise ConfigError(
            f"{Path(path).name} was written by `dqnumba quantize`, which trains nothing; to train on, start a new run "
            f"with --init {path}."
        )
    settings = RunSettings.from_dict(checkpoint.settings)
    old: dict[str, Any] = settings.source.to_dict() | settings.to_dict()
    old |= {name: settings.overrides.get(key) for name, key in _RECIPE_OPTIONS.items()}
    names = [
        *_DEFAULTS,
        *_RECIPE_OPTIONS,
        "weight_bits",
        "activation_bits",
        "dataset",
        "graph",
        "split",
        "fold",
        "limit",
        "nodes",
        "directed",
        "features",
        "unweighted",
    ]
    for name in [*names, "config", "init"]:
        given = getattr(args, name)
        if name != "epochs" and given is not None and given != old[name]:
            without = "the recipe's value" if name in _RECIPE_OPTIONS else "none"
            was = without if old[name] is None else old[name]
            raise ConfigError(
                f"--{name.replace('_', '-')} is {given}, but the run in {Path(path).name} began with {was}; "
                "leave the option out to go on, or start a new run without --resume."
            )
    if args.epochs is not None:
        if args.epochs < checkpoint.state.epoch:
            raise ConfigError(f"--epochs is {args.epochs}, but {checkpoint.state.epoch} epochs are done; give more.")
        settings = replace(settings, overrides=dict(settings.overrides) | {"epochs": args.epochs})
    return settings, checkpoint


def _given(args: argparse.Namespace, name: str, default: Any) -> Any:
    value = getattr(args, name)
    return default if value is None else value


def _text(record: dict[str, Any]) -> str:
    return table([["", "value"]] + [[key, _show(value)] for key, value in record.items()])


def _show(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value
