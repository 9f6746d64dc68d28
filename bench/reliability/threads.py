"""Many Python threads on the same models, under each threading layer that Numba has here: equal answers, no abort.

Each of 16 threads calls, in an order of its own: models bound for itself, models bound once for all threads, and models
that are bound anew for every call. Now and then the graph is so large that kernels start threads of their own. Every
answer is compared with that of the reference. A process for each layer; one that dies is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numba
import numpy as np

from . import record, served

__all__ = ["main", "serve"]

NAME = "threads"
LAYERS = ("workqueue", "omp", "tbb")
THREADS = 16
_LARGE_NODES, _LARGE_EVERY = 20_000, 4000


def main(argv: list[str]) -> int:
    """Run; exit code 1 if an answer differed or a process died."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__)
    parser.add_argument("--predictions", type=int, default=1_000_000, help="for each layer (default: a million)")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        print(json.dumps(serve(args.predictions)))
        return 0
    results = record.read(NAME).get("layers", {})
    failed = False
    for layer in args.layers:
        started, outcome = time.perf_counter(), _in_a_process(layer, args.predictions)
        seconds = time.perf_counter() - started
        results[layer] = _sum(results.get(layer, {}), outcome)
        failed |= bool(outcome.get("differing") or outcome.get("died"))
        print(f"{layer}: {outcome}, {seconds:.0f} s", flush=True)
        sitting = {"layer": layer, "seconds": round(seconds, 1)} | outcome
        record.extend(NAME, {"python_threads": THREADS, "layers": results}, sitting, threads=os.cpu_count() or 1)
    return int(failed)


def _sum(before: dict[str, Any], outcome: dict[str, Any]) -> dict[str, Any]:
    """Counts add up over sittings; of everything else the last one stands."""
    counts = {key: before.get(key, 0) + value for key, value in outcome.items() if type(value) is int}
    return before | outcome | counts


def _in_a_process(layer: str, predictions: int) -> dict[str, Any]:
    env = os.environ | {"NUMBA_THREADING_LAYER": layer, "PYTHONWARNINGS": "ignore"}
    argv = [sys.executable, "-m", "bench.reliability", NAME, "--serve", "--predictions", str(predictions)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if "No threading layer could be loaded" in done.stderr or "threading layer" in done.stderr.lower():
        return {"absent": done.stderr.strip().splitlines()[-1][:200]}
    return {"died": 1, "exit_code": str(done.returncode), "stderr": done.stderr[-500:]}


def serve(predictions: int, threads: int = THREADS, graphs: int = 12) -> dict[str, Any]:
    """Predict in this process; counts by kind of call, and how many answers differed."""
    models = served.make_models()
    drawn = [served.draw_graph(number) for number in range(graphs)]
    drawn.append(served.draw_graph(graphs, nodes=_LARGE_NODES, degree=10))
    jobs = [(model, graph) for model in models.values() for graph in drawn]
    right = [served.answer(model(graph, backend="reference")) for model, graph in jobs]
    shared = [model.bind(graph) for model, graph in jobs]
    for bound in shared:
        bound()  # on the main thread: the layer starts its threads here
    layer = numba.threading_layer()
    counts = [dict.fromkeys(("own", "shared", "fresh", "large", "differing"), 0) for _ in range(threads)]
    errors: list[str] = []
    small = [number for number, (_, graph) in enumerate(jobs) if graph.num_nodes < _LARGE_NODES]
    large = [number for number in range(len(jobs)) if number not in set(small)]

    def work(k: int) -> None:
        rng, mine, count = np.random.default_rng(k), {}, counts[k]
        try:
            for n in range(predictions // threads):
                is_large = n % _LARGE_EVERY == 0
                job = int(rng.choice(large)) if is_large else small[int(rng.integers(len(small)))]
                model, graph = jobs[job]
                way = ("own", "own", "shared", "fresh")[n % 4]
                if way == "own":
                    if job not in mine:
                        mine[job] = model.bind(graph)
                    logits = mine[job]()
                else:
                    logits = shared[job]() if way == "shared" else model(graph)
                count[way] += 1
                count["large"] += is_large
                count["differing"] += served.answer(logits) != right[job]
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    workers = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    total = {key: sum(count[key] for count in counts) for key in counts[0]}
    if errors:
        raise SystemExit(f"{len(errors)} threads failed, the first with {errors[0]}")
    return {"threading_layer": layer, "predictions": total["own"] + total["shared"] + total["fresh"]} | total
