"""Reads hostile files under limits of memory and time, in a process of its own: ``attack_run.py < list > outcomes``.

A list is a JSON object a line with ``reader`` and ``path``; an outcome is one too. It is written before the next file
is begun, so that a crash shows where it was.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from samples import SAMPLES

from bench.reliability.fuzz_target import ran_out_of_memory
from bench.reliability.readers import READERS, place_of

SECONDS = 20
ROOM = 1 << 30  # bytes of address space beside what Python and Numba have taken when it begins


class TooLong(BaseException):
    pass


def _ring(*_: object) -> None:
    raise TooLong


def _taken() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def outcome(read, path: Path) -> dict[str, object]:
    """Class and message of what was raised, seconds, and the largest number of bytes held at once."""
    tracemalloc.clear_traces()
    tracemalloc.reset_peak()
    before, begun = tracemalloc.get_traced_memory()[0], time.perf_counter()
    signal.alarm(SECONDS)
    try:
        read(path)
        error, message = "", ""
    except (Exception, SystemExit, TooLong) as raised:
        error, message = type(raised).__name__, str(raised)
        if ran_out_of_memory(raised):  # what was taken too early, and what was said of it after
            error = f"{error} behind a MemoryError"
    finally:
        signal.alarm(0)
    peak = tracemalloc.get_traced_memory()[1] - before
    return {"error": error, "message": message[:2000], "peak": peak, "seconds": time.perf_counter() - begun}


def main() -> None:
    warnings.simplefilter("ignore")
    tasks = [json.loads(line) for line in sys.stdin]
    for name in sorted({task["reader"] for task in tasks}):  # imports and compiled kernels are not what is measured
        folder = Path(tasks[0]["path"]).parent / f"warm-{name}"
        folder.mkdir()
        place = place_of(name, folder)
        place.write_bytes(SAMPLES[name][0])
        READERS[name].read(place)
    signal.signal(signal.SIGALRM, _ring)
    resource.setrlimit(resource.RLIMIT_AS, (_taken() + ROOM,) * 2)
    tracemalloc.start()
    for task in tasks:
        print(json.dumps(task | outcome(READERS[task["reader"]].read, Path(task["path"]))), flush=True)


if __name__ == "__main__":
    main()
