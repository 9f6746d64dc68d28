"""``dqnumba inspect``: what is in an integer program."""

from __future__ import annotations

import argparse
from typing import Any

from .common import emit
from .options import add_output_options

HELP = "Print the program of a model file: each step with shapes, scale, zero point, multiplier, shift and bytes."
EXAMPLES = ("dqnumba inspect F.safetensors",)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F.safetensors", help="a model file")
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..infer import load

    model = load(args.file)
    backend, reason = runs_on(model)
    content = model.to_dict() | {"backend": backend, "backend_reason": reason}
    emit(
        args, content, lambda: f"{model.describe()}\nruns on {backend or 'nothing'}" + (f": {reason}" if reason else "")
    )
    return 0


def runs_on(model: Any) -> tuple[str | None, str | None]:
    """The backend that runs a model here, and why it is not ``dot``; a graph may still hold a reason of its own."""
    from ..errors import ConfigError
    from ..infer.backend import choose_backend
    from ..infer.plan.units import Unplanned, make_units

    try:
        name = choose_backend().__name__
    except ConfigError as error:  # a file can be looked at all the same
        return None, str(error)
    if ".dot" not in name:
        return ("numba" if name.endswith("integer") else name.rsplit(".", 1)[-1]), None
    try:
        make_units(model.program)
    except Unplanned as reason:
        return "numba", str(reason)
    return "dot", None
