"""The same models in PyTorch Geometric, with our weights, so that the outputs can be compared."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .machine import torch_or_none

__all__ = [
    "available_memory",
    "build_pyg",
    "has_parallel_edges",
    "pyg_adjacency",
    "pyg_forward",
    "pyg_or_none",
    "torch_csr",
]


def pyg_or_none() -> Any:
    """The module torch_geometric, or None where it (or torch) is not installed."""
    if torch_or_none() is None:
        return None
    try:
        import torch_geometric
    except ImportError:
        return None
    return torch_geometric


def build_pyg(model: Any, **options: Any) -> Any:
    """``model`` (a GCN, GAT, GIN or GraphSAGE of ``dqnumba.nn``) as a torch module with the same weights.

    ``options`` go to every convolution (``cached=True`` of GCN).
    """
    import torch
    from torch_geometric import nn as pyg

    def tensor(parameter: Any) -> Any:
        return torch.from_numpy(np.array(parameter.data))  # a copy: torch initializes in place

    def linear(layer: Any) -> Any:
        made = torch.nn.Linear(layer.in_channels, layer.out_channels)
        return fill(made, layer)

    def fill(made: Any, layer: Any) -> Any:
        made.weight.data, made.bias.data = tensor(layer.weight).T.contiguous(), tensor(layer.bias)
        return made

    def convolution(conv: Any) -> Any:
        if model.kind == "GCN":
            made = pyg.GCNConv(conv.in_channels, conv.out_channels, **options)
            made.lin.weight.data, made.bias.data = tensor(conv.weight).T.contiguous(), tensor(conv.bias)
        elif model.kind == "GIN":
            mlp = torch.nn.Sequential(linear(conv.lin1), torch.nn.ReLU(), linear(conv.lin2))
            made = pyg.GINConv(mlp, eps=float(conv.eps.data[0]), **options)
            fill(mlp[0], conv.lin1), fill(mlp[2], conv.lin2)  # GINConv has drawn new weights
        elif model.kind == "GraphSAGE":
            made = pyg.SAGEConv(conv.in_channels, conv.out_channels, **options)
            made.lin_l.weight.data, made.lin_l.bias.data = tensor(conv.weight_l).T.contiguous(), tensor(conv.bias)
            made.lin_r.weight.data = tensor(conv.weight_r).T.contiguous()
        else:
            made = pyg.GATConv(conv.in_channels, conv.out_channels, heads=conv.heads, concat=conv.concat, **options)
            made.lin.weight.data, made.bias.data = tensor(conv.weight).T.contiguous(), tensor(conv.bias)
            source, target = tensor(conv.attention).reshape(2, 1, conv.heads, conv.out_channels)
            made.att_src.data, made.att_dst.data = source.contiguous(), target.contiguous()
        return made

    class Stack(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = torch.nn.ModuleList(convolution(conv) for conv in model.convs)

        def forward(self, x: Any, adjacency: Any) -> Any:
            for conv in self.convs[:-1]:
                x = torch.relu(conv(x, adjacency))
            return self.convs[-1](x, adjacency)

    return Stack().eval()


def pyg_adjacency(graph: Any, path: str) -> Any:
    """The edges as PyG reads them: ``edge_index`` (2, E) int64, or ``csr``, a torch CSR matrix with targets as rows."""
    import torch

    own = graph.adjacency("keep")
    if path == "edge_index":
        return torch.from_numpy(np.stack([own.indices, own.targets]).astype(np.int64))
    return torch_csr(own.indptr, own.indices, graph.num_nodes)


def torch_csr(indptr: NDArray, indices: NDArray, nodes: int) -> Any:
    """A float32 torch CSR matrix of ones."""
    import torch

    rows, columns = torch.from_numpy(indptr.copy()), torch.from_numpy(indices.astype(np.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CSR is in beta
        return torch.sparse_csr_tensor(rows, columns, torch.ones(len(indices)), (nodes, nodes))


def pyg_forward(model: Any, graph: Any, expected: NDArray[np.float32]) -> dict[str, Any]:
    """PyG's forward pass on ``graph``, by the faster of its two paths.

    Returns
    -------
    dict
        ``run``, the callable to time, or ``absent`` with the reason; ``path``, ``probe_ms`` of each path and
        ``errors``, the largest deviation of each from ``expected`` relative to its largest value. ``other_function``
        names paths that compute something else on this graph: a CSR matrix merges parallel edges for GAT. It has fewer
        edges then and is timed all the same if it is faster.
    """
    import torch

    # Along edge_index a row is gathered for each edge; GAT does so on both paths, and multiplies it into another array.
    needed = 3 * (graph.num_edges + graph.num_nodes) * max(_width(conv) for conv in model.convs) * 4
    enough = needed < available_memory()
    x = graph.x.toarray() if hasattr(graph.x, "toarray") else graph.x
    x = torch.from_numpy(np.array(x))
    best: tuple[float, str, Callable[[], Any]] | None = None
    probe, errors = {}, {}
    for path in ("edge_index", "csr"):
        if not enough and (path == "edge_index" or model.kind == "GAT"):
            probe[path] = (
                f"left out: its edges x channels arrays need about {needed / 2**30:.0f} GiB, which are not free"
            )
            continue
        stack = build_pyg(model, **({"cached": True} if model.kind == "GCN" else {}))
        adjacency = pyg_adjacency(graph, path)

        def run(stack: Any = stack, adjacency: Any = adjacency) -> Any:
            with torch.no_grad():
                return stack(x, adjacency)

        try:
            started = time.perf_counter()
            found = run().numpy()
            seconds = time.perf_counter() - started
        except (RuntimeError, ValueError, NotImplementedError) as error:
            probe[path] = f"fails: {str(error).splitlines()[0][:120]}"
            continue
        errors[path] = float(np.abs(found - expected).max() / np.abs(expected).max())
        if seconds < 1.0:  # else the first call will do
            seconds = _probe(run)
        probe[path] = seconds * 1e3
        if best is None or seconds < best[0]:
            best = (seconds, path, run)
    if best is None:
        return {"absent": "; ".join(f"{path}: {reason}" for path, reason in probe.items())}
    other = ["csr"] if model.kind == "GAT" and "csr" in errors and has_parallel_edges(graph) else []
    return {"run": best[2], "path": best[1], "probe_ms": probe, "errors": errors, "other_function": other}


def has_parallel_edges(graph: Any) -> bool:
    """Whether two edges join the same nodes in the same direction."""
    own = graph.adjacency("keep")
    joined = np.sort(own.targets.astype(np.int64) * graph.num_nodes + own.indices)
    return bool((joined[1:] == joined[:-1]).any())


def _probe(run: Callable[[], Any]) -> float:
    """Seconds of one call, the best of several."""
    times = []
    for _ in range(20):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
        if sum(times) > 0.5 and len(times) > 1:
            break
    return min(times)


def _width(conv: Any) -> int:
    return conv.heads * conv.out_channels if hasattr(conv, "heads") else max(conv.in_channels, conv.out_channels)


def available_memory() -> int:
    """Bytes that may be used without swapping, as the kernel tells; a large number where it does not."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 1 << 62
