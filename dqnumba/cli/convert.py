"""``dqnumba convert``: a trained model into an integer program."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import emit
from .options import add_out, add_output_options

HELP = "Convert a train file into an integer program."
MORE = "`dqnumba train` does so at its end; this is for train files of runs that were stopped, or of other versions."
EXAMPLES = ("dqnumba convert F.train.safetensors -o F.safetensors",)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F.train.safetensors", help="written by `dqnumba train -o F.safetensors`")
    add_out(add_output_options(parser), "F.safetensors", "the model file to write", required=True)


def run(args: argparse.Namespace) -> int:
    from ..convert import convert
    from ..errors import ConversionError
    from ..qat import QuantizedModel
    from ..train.build import restore_model
    from ..train.checkpoint import read_checkpoint
    from ..train.experiment import check_output

    checkpoint = read_checkpoint(args.file)
    check_output(args.out)
    qmodel = restore_model(checkpoint)
    if not isinstance(qmodel, QuantizedModel):
        raise ConversionError(
            f"{args.file} holds a float model (method fp32), which has no integer program; train with --method dq, or "
            "with --method ptq for the same training followed by calibration."
        )
    model = convert(qmodel).with_class_names(checkpoint.class_names)
    model.save(args.out)
    size = Path(args.out).stat().st_size
    content = {"file": str(args.out), "file_bytes": size, "tensor_bytes": model.nbytes}
    emit(args, content, f"wrote {args.out}: {size:,} bytes")
    return 0
