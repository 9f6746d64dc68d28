"""What each way to run a GCN takes: megabytes on disk, import, first prediction, and memory.

    python -m bench.footprint

dqnumba as a deployment has it (`dqnumba.infer`, INT8), in an environment of its own that is made from the wheel of this
checkout; ONNX Runtime (float: it has no neighbour sum of int8) in another; torch and PyTorch Geometric where this runs.
Each sample is a process of its own, after one that is not counted; contenders take turns.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import machine, peers, report
from .environments import Unavailable, make_environment, make_wheel, sizes
from .startup import OURS, PYG, in_turns, prepare_files, process
from .timing import summary

__all__ = ["main", "table"]

LARGEST_DEVIATION = 1e-3  # of ONNX Runtime's logits from our float model's, as a share of the largest

#: Writes the same GCN as an ONNX file: products, a gather of the sources, a scattered sum at the targets.
MAKE_ONNX = """
import sys
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
arrays = np.load(sys.argv[1])
nodes, held, value = [], [], "x"
def constant(name, array):
    held.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name
for layer in range(int(arrays["layers"])):
    t = lambda name: f"{name}{layer}"
    weight, bias = constant(t("w"), arrays[t("w")]), constant(t("b"), arrays[t("b")])
    zeros = constant(t("z"), np.zeros((len(arrays["x"]), arrays[t("w")].shape[1]), np.float32))
    nodes += [
        helper.make_node("MatMul", [value, weight], [t("h")]),
        helper.make_node("Gather", [t("h"), "sources"], [t("g")]),
        helper.make_node("Mul", [t("g"), "norm"], [t("m")]),
        helper.make_node("ScatterND", [zeros, "targets", t("m")], [t("s")], reduction="add"),
        helper.make_node("Add", [t("s"), bias], [t("y")]),
    ]
    value = t("y")
    if layer + 1 < int(arrays["layers"]):
        nodes.append(helper.make_node("Relu", [value], [t("r")]))
        value = t("r")
kinds = {"x": TensorProto.FLOAT, "sources": TensorProto.INT64, "targets": TensorProto.INT64, "norm": TensorProto.FLOAT}
inputs = [helper.make_tensor_value_info(name, kind, arrays[name].shape) for name, kind in kinds.items()]
graph = helper.make_graph(nodes, "gcn", inputs, [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)], held)
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), sys.argv[2])
print("{}")
"""

ONNX = """
import json, sys, time
start = time.perf_counter()
import numpy
import onnxruntime
import_at = time.perf_counter()
arrays = numpy.load(sys.argv[2])
feed = {name: arrays[name] for name in ("x", "sources", "targets", "norm")}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
load_at = time.perf_counter()
(logits,) = session.run(None, feed)
first_at = time.perf_counter()
expected = arrays["logits"]
print(json.dumps({"import_onnxruntime": import_at - start, "load_files": load_at - import_at,
                  "first_run": first_at - load_at, "peak_mb": peak_mb(),
                  "deviation": float(abs(logits - expected).max() / abs(expected).max())}))
"""

WHAT = {
    "dqnumba": "dqnumba.infer, INT8, kernels cached", "dqnumba_cold": "dqnumba.infer, INT8, nothing cached",
    "onnxruntime": "ONNX Runtime, float32", "pyg": "torch + PyG, float32",
}  # fmt: skip


def write_arrays(path: Path, dataset: str) -> None:
    """The float GCN of `prepare_files`, its graph with self-loops, and its logits, for ONNX Runtime."""
    import dqnumba as dq

    graph = dq.data.load(dataset)
    model = dq.nn.GCN(graph.num_features, 16, graph.num_classes, seed=0)
    adjacency = graph.adjacency("add")
    scale = 1 / np.sqrt(np.diff(adjacency.indptr))
    sources, targets = adjacency.indices.astype(np.int64), adjacency.targets.astype(np.int64)
    layers = {f"{name}{i}": getattr(conv, field).data for i, conv in enumerate(model.convs)
              for name, field in (("w", "weight"), ("b", "bias"))}  # fmt: skip
    np.savez(
        path, x=graph.x.toarray().astype(np.float32), sources=sources, targets=targets[:, None],
        norm=(scale[sources] * scale[targets]).astype(np.float32)[:, None], layers=len(model.convs),
        logits=dq.predict(model, graph), **layers,
    )  # fmt: skip


def environments(folder: Path) -> dict[str, tuple[Path | None, tuple[str, ...], str | None]]:
    """Interpreter, distributions and, where it cannot be had, the reason, of each contender."""
    found: dict[str, tuple[Path | None, tuple[str, ...], str | None]] = {}
    recipes: dict[str, Callable[[], Path]] = {
        "dqnumba": lambda: make_environment(folder / "dqnumba", make_wheel(folder)),
        "onnxruntime": lambda: make_environment(folder / "onnxruntime", "onnxruntime", "onnx"),
    }
    for name, make in recipes.items():
        try:
            found[name] = (make(), (name,), None)
        except Unavailable as reason:
            found[name] = (None, (name,), str(reason))
    missing = None if peers.pyg_or_none() is not None else machine.absent("torch_geometric")["absent"]
    found["pyg"] = (None if missing else Path(sys.executable), ("torch", "torch-geometric"), missing)
    return found


def measure(
    places: dict[str, Any], folder: Path, *, dataset: str, threads: int, repeats: int, cold_repeats: int
) -> dict[str, Any]:
    """Import, first prediction (whole process) and peak memory, of each in turns; medians and all samples."""
    expected = prepare_files(folder, dataset)
    write_arrays(folder / "arrays.npz", dataset)
    files = (folder / "cora.safetensors", folder / "cora.npz")
    runs: dict[str, tuple[int, Callable[[int], dict[str, float]]]] = {}
    python = places["dqnumba"][0]
    if python is not None:

        def ours(cache: str) -> dict[str, float]:
            return process(OURS, *files, threads=threads, cache=folder / cache, python=python)

        runs["dqnumba"] = (repeats, lambda n: ours("kernels"))
        runs["dqnumba_cold"] = (cold_repeats, lambda n: ours(f"kernels{n}"))
    if (other := places["onnxruntime"][0]) is not None:
        process(MAKE_ONNX, folder / "arrays.npz", folder / "gcn.onnx", threads=threads, python=other)
        runs["onnxruntime"] = (repeats, lambda n: process(
            ONNX, folder / "gcn.onnx", folder / "arrays.npz", threads, threads=threads, python=other))  # fmt: skip
    if places["pyg"][0] is not None:
        runs["pyg"] = (repeats, lambda n: process(PYG, folder / "pyg.npz", threads, threads=threads))
    samples = in_turns(runs, cold=("dqnumba_cold",))
    found: dict[str, Any] = {"contenders": {}, "failures": []}
    for name, rows in samples.items():
        imports = [sum(value for key, value in row.items() if key.startswith("import_")) for row in rows]
        found["contenders"][name] = {
            "import": summary(imports), "first_prediction": summary([row["total"] for row in rows]),
            "peak_rss_mb": float(np.median([row["peak_mb"] for row in rows])), "samples": rows,
        }  # fmt: skip
        if name.startswith("dqnumba") and any(row["checksum"] != expected for row in rows):
            found["failures"].append(f"{name}: other logits than in the process that made the model")
        if any(row.get("deviation", 0.0) > LARGEST_DEVIATION for row in rows):
            found["failures"].append(f"{name}: other logits than our float model's")
    return found


def table(content: dict[str, Any]) -> str:
    """Markdown: one row a contender."""
    rows = []
    for name, what in WHAT.items():
        size = content["sizes"].get(name.removesuffix("_cold"), {})
        fact = content.get("contenders", {}).get(name, {})
        rows.append([
            what, report.number(size.get("installed_mb")), report.number(fact.get("import", {}).get("median_ms")),
            report.number(fact.get("first_prediction", {}).get("median_ms")), report.number(fact.get("peak_rss_mb")),
            size.get("absent", ""),
        ])  # fmt: skip
    head = ["", "installed MB", "import ms", "process to first prediction ms", "peak RSS MB", "absent"]
    return report.markdown(head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.footprint", description=__doc__.splitlines()[0])
    report.add_options(parser)
    parser.set_defaults(results=report.RESULTS / "footprint")
    parser.add_argument("--environments", type=Path, metavar="DIR",
                        help="where the environments are, or are made (default: a passing folder)")  # fmt: skip
    parser.add_argument("--sizes", action="store_true", help="megabytes on disk only; nothing is timed")
    parser.add_argument("--dataset", default="cora", metavar="NAME", help="graph of the prediction (default: cora)")
    args = parser.parse_args()
    threads = machine.set_threads(args.threads)
    folder = Path(tempfile.mkdtemp(prefix="footprint-"))
    try:
        places = environments(args.environments or folder)
        content: dict[str, Any] = {"machine": machine.describe(threads), "quick": args.quick, "dataset": args.dataset}
        content["sizes"] = {name: _size(*place) for name, place in places.items()}
        if not args.sizes:
            content |= measure(places, folder, dataset=args.dataset, threads=threads,
                               repeats=3 if args.quick else 11, cold_repeats=1 if args.quick else 3)  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.save(args.results / ("sizes.json" if args.sizes else "footprint.json"), content)
    report.finish(args, "sizes" if args.sizes else "footprint", content, table(content))
    for failure in content.get("failures", []):
        report.progress(f"CHECK FAILED: {failure}")
    return 1 if content.get("failures") else 0


def _size(python: Path | None, distributions: tuple[str, ...], reason: str | None) -> dict[str, Any]:
    if python is None:
        return {"absent": reason}
    try:
        return sizes(python, *distributions)
    except Unavailable as problem:
        return {"absent": str(problem)}


if __name__ == "__main__":
    raise SystemExit(main())
