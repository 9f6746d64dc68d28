"""``dqnumba warmup``: compile the kernels once, so that the first real run does not wait for them."""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

from .common import emit, make_progress
from .options import add_output_options

HELP = "Compile the kernels of training and inference into the cache on disk."
EXAMPLES = ("dqnumba warmup",)
_MODELS = ("gcn", "gat", "gin", "sage")
_WIDTHS = {"sparse": 16, "dense": 128, "graphs": 64, "small": 16}
_RUNS = [(model, bits, kind) for model, bits, kind in itertools.product(_MODELS, (8, 4), _WIDTHS)
         if (bits, kind) != (4, "small")]  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..kernels._cache import counts

    progress = make_progress(args)
    before, started = dict(counts), time.perf_counter()
    for model, bits, kind in _RUNS if progress is None else progress(_RUNS, "warmup", len(_RUNS)):
        _pass_through(model, bits, kind)
    content: dict[str, Any] = {name: counts[name] - before[name] for name in ("compiled", "loaded")}
    content |= {"seconds": time.perf_counter() - started} | cache_state()
    emit(args, content, lambda: _text(content))
    return 0


def cache_state() -> dict[str, Any]:
    """Folders of the compiled kernels, how many there are, how large, and why they cannot be kept."""
    from ..kernels import _cache
    from ..kernels.dot.micro import kernels_folder

    folders = [_cache.cache_folder(), kernels_folder()]
    files = {path for folder, _ in folders if folder is not None for path in folder.glob("*.nbc")}
    return {
        "cache": [str(folder) for folder, _ in folders if folder is not None],
        "kernels": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "problem": next((problem for _, problem in folders if problem), None),
    }


def _pass_through(model: str, bits: int, kind: str) -> None:
    """One pass through training (8 bits) or calibration, conversion, and inference with and without threads."""
    import numpy as np

    import dqnumba as dq

    graph = _graph(kind)
    categories = graph.num_categories or None
    many = kind == "graphs"
    part = np.arange(len(graph.y))
    classes = {"gcn": dq.nn.GCN, "gat": dq.nn.GAT, "gin": dq.nn.GIN, "sage": dq.nn.GraphSAGE}
    float_model = classes[model](
        categories or graph.num_features, _WIDTHS[kind], 3, num_layers=3, heads=8 if model == "gat" else 1,
        norm="batch" if many else None, residual=many, embedding=categories, seed=0,
        readout={"gcn": "mean", "gin": "sum"}.get(model, "max") if many else None,
    )  # fmt: skip
    for sites in ("fused", "paper") if bits == 8 else ("fused",):
        config = dq.QuantConfig.degree_quant(bits=bits, sites=sites)
        quantized = dq.prepare(float_model, config)
        if bits == 8 and kind != "dense":
            dq.fit(quantized, graph, epochs=1, seed=0, splits={"train": part, "val": part})
        else:
            dq.calibrate(quantized, graph)
        bound = dq.convert(quantized).bind(graph)
        bound()


def _graph(kind: str) -> Any:
    """A random graph: of 3,000 nodes, enough work for threads; 300 graphs in one; or small, for the serial kernels."""
    import numpy as np

    from ..graph import Graph, SparseFeatures, batch

    rng = np.random.default_rng(0)
    if kind == "graphs":
        parts = []
        for _ in range(300):
            edges = rng.integers(0, 20, (2, 40))
            parts.append(Graph.from_edge_index(edges, x=rng.integers(0, 20, 20), num_nodes=20))
        return batch(parts).replace(y=rng.integers(0, 3, 300), num_classes=3, num_categories=20)
    x = rng.standard_normal((30, 9) if kind == "small" else (3000, 200)).astype(np.float32)
    x[rng.random(x.shape) < 0.9] = 0
    graph = Graph.from_edge_index(
        rng.integers(0, len(x), (2, 3 * len(x))), x=SparseFeatures.from_dense(x) if kind == "sparse" else x
    )
    return graph.replace(y=rng.integers(0, 3, len(x)), num_classes=3)


def _text(content: dict[str, Any]) -> str:
    lines = [
        f"kernels are ready: {content['compiled']} compiled, {content['loaded']} already cached "
        f"({content['seconds']:.1f} s)"
    ]
    if content["problem"]:
        lines.append(f"not kept on disk, so every process compiles them again ({content['problem']})")
    if content["cache"]:
        lines.append(f"{content['kernels']} files, {content['bytes'] / 1e6:.1f} MB in {' and '.join(content['cache'])}")
    return "\n".join(lines)
