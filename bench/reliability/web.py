"""The web server of the tests, in a process of its own: a parent that forks must not have threads."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from pathlib import Path

__all__ = ["serving_elsewhere"]

_FOLDER = Path(__file__).parents[2] / "tests" / "data"


def serving_elsewhere(content: bytes, name: str) -> str:
    """Serve ``content`` until this process ends; returns its address."""
    reading, writing = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
            sys.path.insert(0, str(_FOLDER))
            from web import serving

            with serving(content, name) as site:
                os.write(writing, site.url.encode())
                os.close(writing)
                while os.getppid() == parent:
                    signal.sigtimedwait([signal.SIGTERM], 1.0)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        url = answer.read()
    atexit.register(_end, pid, parent)
    return url


def _end(pid: int, parent: int) -> None:
    if os.getpid() == parent:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
