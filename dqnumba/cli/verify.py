"""``dqnumba verify``: does the integer program do what was trained?"""

from __future__ import annotations

import argparse

from .common import emit, make_progress, source_from
from .options import add_output_options, add_run_options, add_source_options, count

HELP = "Check a model file: kernels against the reference, each site against fake quantization, and predictions."
EXAMPLES = ("dqnumba verify F.safetensors --dataset cora",)
EXITS = "0 all checks passed, 1 a check failed, 2 wrong use or bad input"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F.safetensors", help="a model file")
    parser.add_argument("--against", metavar="F.train.safetensors",
                        help="what to compare with (default: the train file beside the model file)")  # fmt: skip
    data = add_source_options(parser, seed="that of the train file")
    data.add_argument("--limit", type=count, metavar="N", help="compare the predictions of N graphs (default: all)")
    add_run_options(parser)
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..convert import verify
    from ..errors import ConfigError
    from ..infer import load
    from ..qat import QuantizedModel
    from ..train.build import restore_model
    from ..train.checkpoint import read_checkpoint, train_file_of
    from ..train.settings import RunSettings
    from ..train.source import load_source

    model = load(args.file)
    sibling = train_file_of(args.file)
    checkpoint = None
    if args.against is not None or sibling.is_file():
        checkpoint = read_checkpoint(args.against if args.against is not None else sibling)
    limit, args.limit = args.limit, None  # here a number of test items, not of training items
    qmodel = None if checkpoint is None else restore_model(checkpoint)
    if qmodel is not None and not isinstance(qmodel, QuantizedModel):
        against = args.against if args.against is not None else sibling
        raise ConfigError(f"{against} holds a float model, nothing to compare with; give that of {args.file}.")
    of_run = RunSettings.from_dict(checkpoint.settings).source.to_dict() if checkpoint else None
    source = load_source(source_from(args, of_run), progress=make_progress(args))
    report = verify(model, qmodel, source.data, backend=args.backend or "numba", limit=limit)
    emit(args, report.to_dict(), report.to_text)
    return 0 if report.passed else 1
