"""A function in a forked child of this warm process: what it returned, or how it died."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["PATIENCE", "Ended", "in_child"]

PATIENCE = 120.0
"""Seconds after which a child counts as hanging."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: ``value`` that it returned, or ``error``, the last line and place of what it raised.

    ``killed`` is true where SIGKILL ended it, by its own hand or after ``delay``.
    """

    value: Any
    error: str | None
    killed: bool
    seconds: float


def in_child(function: Callable[[], Any], *, delay: float | None = None) -> Ended:
    """Call ``function`` in a fork of this process, killed after ``delay`` seconds if it has not ended by then.

    Its output goes nowhere; its result must be JSON-able. The parent must not have started threads.
    """
    started = time.monotonic()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(function, writing)
    os.close(writing)
    content, killed, limit = b"", False, PATIENCE if delay is None else delay
    try:
        while True:
            left = max(0.0, started + limit - time.monotonic())
            if not killed and not select.select([reading], [], [], left)[0]:
                os.kill(pid, signal.SIGKILL)  # it may have ended a moment ago: what it wrote is still read
                killed = True
            part = os.read(reading, 1 << 16)
            if not part:
                break
            content += part
    finally:
        os.close(reading)
        _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    if os.WIFSIGNALED(status):
        if killed and delay is None:
            return Ended(None, f"hangs: no end after {PATIENCE:.0f} s", False, seconds)
        number = os.WTERMSIG(status)
        dead = number == signal.SIGKILL
        return Ended(None, None if dead else f"died of {signal.Signals(number).name}", dead, seconds)
    try:
        value, error = json.loads(content)
    except ValueError:
        return Ended(None, f"ended without a result, exit status {status}", False, seconds)
    return Ended(value, error, False, seconds)


def _child(function: Callable[[], Any], writing: int) -> None:
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        try:
            result = [function(), None]
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            result = [None, f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})"]
        data = json.dumps(result).encode()
        while data:
            data = data[os.write(writing, data) :]
        code = 0
    finally:
        sys.stderr = None  # type: ignore[assignment]
        os._exit(code)
