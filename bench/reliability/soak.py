"""A long life: predictions on ever new small graphs in one process, with flat memory and the right answers.

Graphs are drawn by number, made anew for each prediction, and come back some hundreds of times in another order; the
answer must be the one that the reference gave. First on one thread, then through a pool of threads as a web server has.
Memory is the resident set of the process: after a warm-up it must not grow by more than a mebibyte.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from . import record, served

__all__ = ["main", "soak"]

NAME = "soak"
WAYS = ("one thread", "pool of 8 threads")
_POOL, _QUEUE = 8, 512


def main(argv: list[str]) -> int:
    """Run; exit code 1 if an answer differed or memory grew by more than a mebibyte."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__)
    parser.add_argument("--predictions", type=int, default=1_000_000, help="for each way (default: a million)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        print(json.dumps(soak(args.predictions, pool=args.serve != WAYS[0])))
        return 0
    results, failed = record.read(NAME).get("ways", {}), False
    for way in args.ways:
        call = [sys.executable, "-m", "bench.reliability", NAME, "--serve", way, "--predictions", str(args.predictions)]
        started = time.perf_counter()
        done = subprocess.run(call, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(done.stderr)
            return 1
        found = json.loads(done.stdout.splitlines()[-1])
        failed |= found["differing"] > 0 or found["growth_mib"] > 1
        if found["predictions"] >= results.get(way, {}).get("predictions", 0):
            results[way] = found
        print(f"{way}: {found}", flush=True)
        sitting = {"way": way, "predictions": found["predictions"], "growth_mib": found["growth_mib"],
                   "seconds": round(time.perf_counter() - started, 1)}  # fmt: skip
        record.extend(NAME, {"ways": results}, sitting)
    return int(failed)


def soak(predictions: int, *, pool: bool, graphs: int = 500, warm_up: float = 0.1, samples: int = 10) -> dict[str, Any]:
    """Predict in this process.

    Returns
    -------
    dict
        Predictions, how many differed, mebibytes of the resident set after the warm-up and at ``samples`` later
        moments, and its growth from the first to the last of them.
    """
    models = list(served.make_models().values())
    right = [
        [served.answer(model(served.draw_graph(n), backend="reference")) for n in range(graphs)] for model in models
    ]

    def predict(job: int) -> bool:
        which, number = job % len(models), job // len(models)
        return served.answer(models[which](served.draw_graph(number))) == right[which][number]

    marks = [int(predictions * (warm_up + (1 - warm_up) * k / samples)) for k in range(samples + 1)]
    resident, differing, done = [], 0, 0
    jobs = _jobs(len(models) * graphs)
    with ThreadPoolExecutor(_POOL) as threads:
        for mark in marks:
            while done < mark:
                part = list(islice(jobs, min(_QUEUE, mark - done)))
                differing += sum(not same for same in (threads.map(predict, part) if pool else map(predict, part)))
                done += len(part)
            gc.collect()
            resident.append(_resident_mib())
    return {
        "predictions": done, "differing": differing, "graphs": graphs, "models": len(models),
        "resident_mib": [round(size, 2) for size in resident], "growth_mib": round(resident[-1] - resident[0], 2),
    }  # fmt: skip


def _jobs(count: int) -> Iterator[int]:
    rng = np.random.default_rng(0)
    while True:
        yield from (int(job) for job in rng.permutation(count))


def _resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
