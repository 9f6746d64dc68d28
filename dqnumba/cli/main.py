"""The command ``dqnumba``: parses, sets up threads, runs a verb, and turns errors into exit codes.

Exit codes: 0 done, 1 a check failed, 2 wrong use or bad input (at most three lines on stderr, no traceback), 130
interrupted (Ctrl-C), 143 terminated (SIGTERM), 129 hung up (SIGHUP), 141 nobody reads its messages. A traceback is left
for what should never happen: it is a bug report.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .ending import NO_READER, Stopped, leave_stdout, open_streams, say, stoppable, what_is_left
from .options import WRONG_USE, add_verb, main_parser

__all__ = ["build_parser", "main"]

VERBS = (
    "demo", "data", "train", "quantize", "convert", "run", "inspect", "verify", "report", "bench", "warmup", "doctor",
)  # fmt: skip
MOST_LINES = 3
INTERRUPTED = 130
_WAYS = {"SIGTERM": "terminated", "SIGHUP": "hung up"}
_EPILOG = """\
exit codes:
  0    done
  1    a check failed (verify, quantize, run --estimate)
  2    wrong use or bad input; stderr says what to do
  130  interrupted by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command. Nothing heavy is imported: ``--help`` is instant."""
    from .. import __version__

    parser = main_parser(
        "Degree-Quant on NumPy and Numba: train a quantized graph neural network, convert it to an integer program, "
        "run that on a CPU. Start with `dqnumba demo`.",
        _EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"dqnumba {__version__}",
                        help="show the version and exit")  # fmt: skip
    verbs = parser.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        verb = _verb(name)
        verb.configure(add_verb(verbs, name, verb))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    open_streams()
    with stoppable():
        try:
            code = _main(argv, time.time())
        except KeyboardInterrupt:  # so early that there is nothing to say
            code = INTERRUPTED
    failed = leave_stdout()
    if failed is not None and not isinstance(failed, BrokenPipeError) and code == 0:
        say(f"dqnumba: error: standard output: {failed.strerror}. Check the free space.\n")
        return WRONG_USE
    return code


def _main(argv: Sequence[str] | None, started: float) -> int:
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as exit_:  # argparse has printed its help or its error
        return int(exit_.code or 0)
    from ..errors import DQError

    try:
        with warnings.catch_warnings(), _messages(getattr(args, "quiet", False)):
            warnings.showwarning = _show_warning  # type: ignore[assignment]  # one line, whatever else is given
            _set_threads(getattr(args, "threads", None))
            _keep_freed_memory()
            code: int = _verb(args.verb).run(args)
            return code
    except DQError as error:
        return _fail(args, str(error))
    except BrokenPipeError:
        return NO_READER  # of stderr: the work was broken off (`emit` sees to stdout)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        return _fail(args, f"{error.strerror or error}{place}. Check the path, its permissions and the free space.")
    except MemoryError:
        return _fail(args, "Out of memory. Use a smaller --hidden or --limit, or a machine with more memory.")
    except KeyboardInterrupt as stop:
        say(f"\ndqnumba {args.verb}: {_WAYS.get(str(stop), 'interrupted')}{what_is_left(args, started)}.\n")
        return 128 + stop.number if isinstance(stop, Stopped) else INTERRUPTED


def _verb(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


def _fail(args: argparse.Namespace, message: str) -> int:
    lines = [line.rstrip() for line in message.splitlines() if line.strip()] or ["unknown error"]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], " ".join(line.strip() for line in lines[MOST_LINES - 1 :])]
    say(f"dqnumba {args.verb}: error: " + "\n".join(lines) + "\n")
    return WRONG_USE


def _show_warning(message: Any, category: Any, *_: Any) -> None:
    sys.stderr.write(f"dqnumba: warning: {message}\n")


@contextmanager
def _messages(quiet: bool) -> Iterator[None]:
    """What the library says of its own accord (what a graph file was found to be, say) on stderr."""
    logger = logging.getLogger("dqnumba")
    handler, level = logging.StreamHandler(sys.stderr), logger.level
    handler.setFormatter(logging.Formatter("dqnumba: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed: training frees and asks for the same large arrays thousands of times.

    By default each is a fresh mapping whose pages the kernel clears again, which took a third of a training step.
    Other C libraries have no such switch, and then nothing happens.
    """
    import ctypes

    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    if not any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")):
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**25)  # the largest that glibc takes


def _set_threads(threads: int | None) -> None:
    """Limit Numba and BLAS to ``threads``; before they are loaded if possible: BLAS reads it only then."""
    # OpenBLAS's threads spin for a while after each product, on the cores that Numba's threads need next.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    if threads is None:
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(threads)
        return
    import numba

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
