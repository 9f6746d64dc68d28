"""From a fresh process to the first INT8 prediction on Cora: kernels in the cache, and nothing in the cache.

    python -m bench.startup

Each sample is a process of its own. "Cached" processes share a kernel cache that an untimed one has filled; an "empty"
one gets a new folder. PyTorch Geometric: import torch and PyG, build a GCN, predict.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import goals, machine, peers, report
from .timing import summary

__all__ = ["OURS", "PEAK", "PYG", "in_turns", "main", "prepare_files", "process", "table"]

#: Put before a script: the most memory that a process had, in MB. Not by getrusage, whose number outlives exec: a small
#: process would report the size of the one that started it.
PEAK = """
def peak_mb():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3
    except (OSError, StopIteration):
        import resource, sys
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
"""

#: Loads a model file and a graph file as a deployment does, and prints seconds of each part.
OURS = """
import json, sys, time
start = time.perf_counter()
import numpy
numpy_at = time.perf_counter()
import numba
numba_at = time.perf_counter()
import dqnumba.infer
from dqnumba.graph import load_npz
import_at = time.perf_counter()
graph = load_npz(sys.argv[2])
model = dqnumba.infer.load(sys.argv[1])
load_at = time.perf_counter()
bound = model.bind(graph)
bind_at = time.perf_counter()
logits = bound()
first_at = time.perf_counter()
bound()
again_at = time.perf_counter()
print(json.dumps({"import_numpy": numpy_at - start, "import_numba": numba_at - numpy_at,
                  "import_dqnumba": import_at - numba_at, "load_files": load_at - import_at, "bind": bind_at - load_at,
                  "first_run": first_at - bind_at, "second_run": again_at - first_at,
                  "peak_mb": peak_mb(), "checksum": float(abs(logits).sum())}))
"""

PYG = """
import json, sys, time
start = time.perf_counter()
import numpy
import torch
torch_at = time.perf_counter()
from torch_geometric.nn import GCNConv
pyg_at = time.perf_counter()
torch.set_num_threads(int(sys.argv[2]))
data = numpy.load(sys.argv[1])
x, edges = torch.from_numpy(data["x"]), torch.from_numpy(data["edge_index"])
load_at = time.perf_counter()
first, second = GCNConv(x.shape[1], 16).eval(), GCNConv(16, 7).eval()
with torch.no_grad():
    logits = second(torch.relu(first(x, edges)), edges)
first_at = time.perf_counter()
print(json.dumps({"import_torch": torch_at - start, "import_pyg": pyg_at - torch_at, "load_files": load_at - pyg_at,
                  "first_run": first_at - load_at, "peak_mb": peak_mb(), "checksum": float(logits.abs().sum())}))
"""


def prepare_files(folder: Path, dataset: str = "cora") -> float:
    """Model, graph and PyG's arrays in ``folder``; returns the checksum of the logits that the model has to give."""
    import dqnumba as dq
    from dqnumba.graph import save_npz

    graph = dq.data.load(dataset)
    model = dq.nn.GCN(graph.num_features, 16, graph.num_classes, seed=0)
    imodel = dq.convert(dq.calibrate(dq.prepare(model, dq.QuantConfig.ptq(8)), graph))
    imodel.save(folder / "cora.safetensors")
    save_npz(graph, folder / "cora.npz")
    edges = np.stack([graph.indices, graph.adjacency().targets]).astype(np.int64)
    np.savez(folder / "pyg.npz", x=graph.x.toarray(), edge_index=edges)
    return float(np.abs(imodel(graph)).sum())


def process(
    code: str, *arguments: Any, threads: int, cache: Path | None = None, python: Path | None = None
) -> dict[str, float]:
    """Run ``code`` in a fresh interpreter: its own parts, and ``total``, the wall time of the process from its start to
    its end, interpreter included. ``python`` is that of another environment, which then sees nothing of this one.
    """
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    if python is None:
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    else:
        environment.pop("PYTHONPATH", None)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    started = time.perf_counter()
    argv = [str(python or sys.executable), "-c", PEAK + code, *map(str, arguments)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    total = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"the process failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1]) | {"total": total}


def in_turns(
    runs: Mapping[str, tuple[int, Callable[[int], dict[str, float]]]], *, cold: Collection[str]
) -> dict[str, list[dict[str, float]]]:
    """What each process reports, round by round; ``runs`` has how often and, given the round, the process itself.

    Each but those named in ``cold`` runs once before: that fills the cache of kernels, and gets the files of the
    libraries into memory.
    """
    for name, (_, run) in runs.items():
        if name not in cold:
            run(0)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for n in range(max((count for count, _ in runs.values()), default=0)):
        for name, (count, run) in runs.items():
            if n < count:
                samples[name].append(run(n))
                report.progress(f"{name}: {samples[name][-1]['total']:.2f} s")
    return samples


def measure(threads: int, *, repeats: int, empty_repeats: int) -> dict[str, Any]:
    """All contenders in turns; each with the medians of its parts in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = prepare_files(folder)
        files = (folder / "cora.safetensors", folder / "cora.npz")
        runs: dict[str, tuple[int, Callable[[int], dict[str, float]]]] = {
            "cached": (repeats, lambda n: process(OURS, *files, threads=threads, cache=folder / "cache")),
            "empty": (empty_repeats, lambda n: process(OURS, *files, threads=threads, cache=folder / f"empty{n}")),
        }
        if peers.pyg_or_none() is not None:
            runs["pyg"] = (repeats, lambda n: process(PYG, folder / "pyg.npz", threads, threads=threads))
        samples = in_turns(runs, cold=("empty",))
    found: dict[str, Any] = {"contenders": {}, "failures": []}
    for name, rows in samples.items():
        names = [key for key in rows[0] if key not in ("checksum", "peak_mb")]
        parts = {key: float(np.median([row[key] for row in rows])) for key in names}
        found["contenders"][name] = summary([row["total"] for row in rows]) | {"parts_s": parts}
        if name != "pyg" and any(row["checksum"] != expected for row in rows):
            found["failures"].append(f"{name}: other logits than in the process that made the model")
    found["contenders"].setdefault("pyg", machine.absent("torch_geometric"))
    return found


def table(content: dict[str, Any]) -> str:
    """Markdown: seconds of a process and its parts."""
    rows = []
    for name, goal in (("cached", "startup_cached_s <="), ("empty", "startup_empty_s <="), ("pyg", "")):
        fact = content["contenders"].get(name, {})
        total = fact["median_ms"] / 1e3 if "median_ms" in fact else None
        spread = f"{fact['min_ms'] / 1e3:.2f} - {fact['max_ms'] / 1e3:.2f}" if total else None
        known = {key: value for key, value in fact.get("parts_s", {}).items() if key != "total"}
        parts = "; ".join(f"{key.replace('_', ' ')} {report.number(value)}" for key, value in known.items())
        rows.append([name, report.number(total), spread, parts or fact.get("absent"), goals.met(goal, "", total)])
    return report.markdown(["seconds, fresh process to first prediction", "median", "range", "parts", "goal"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__.splitlines()[0])
    report.add_options(parser)
    args = parser.parse_args()
    threads = machine.set_threads(args.threads)
    content = {"machine": machine.describe(threads), "quick": args.quick}
    content |= measure(threads, repeats=3 if args.quick else 9, empty_repeats=1 if args.quick else 3)
    report.save(args.results / "startup.json", content)
    report.finish(args, "startup", content, table(content))
    for failure in content["failures"]:
        report.progress(f"CHECK FAILED: {failure}")
    return 1 if content["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
