"""How a command ends before its end: signals, readers that have gone, streams that were never open."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["NO_READER", "Stopped", "drop_stdout", "leave_stdout", "open_streams", "say", "stoppable", "what_is_left"]

NO_READER = 141
"""Exit code where nobody reads the messages any more: what a shell says of a command that SIGPIPE ended."""


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised as Ctrl-C is: what is being written is cleared away."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise `Stopped` while the block runs, where nobody else has seen to them.

    Only the first one does; a second one ends the process at once, should it hang in its clearing away. A process that
    ignores SIGHUP (``nohup``) goes on ignoring it.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other thread may
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _stop(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


def what_is_left(args: argparse.Namespace, started: float) -> str:
    """What an interrupted command has kept, and how to go on; ``started`` by ``time.time()``."""
    if args.verb == "data":
        return "; the same command goes on where a download stopped"
    if args.verb != "train":
        return ""
    if args.out is None:
        return "; nothing was kept, for there is no --out"
    from ..train.checkpoint import train_file_of

    path = train_file_of(args.out)
    with suppress(OSError):
        if args.resume or path.stat().st_mtime >= started - 1:  # not that of an earlier run; clocks of disks are coarse
            return f"; `dqnumba train --resume --out {shlex.quote(str(args.out))}` goes on from {path.name}"
    return "; no epoch had ended, so nothing was written"


def say(text: str) -> None:
    """Write to stderr, if there still is one."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def open_streams() -> None:
    """Open what the caller has closed (``>&-``) on the null device.

    Python has no ``sys.stdout`` then, and the next file that is opened would get the number of the standard stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # for the rest of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")


def leave_stdout() -> OSError | None:
    """Write out what is left; if that fails give it up, so that the interpreter does not fail with it at its end."""
    try:
        sys.stdout.flush()
    except OSError as error:
        drop_stdout()
        return error
    except ValueError:  # a caller in this process has closed it
        pass
    return None


def drop_stdout() -> None:
    """Send what is still to come to the null device."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
