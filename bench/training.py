"""One epoch of REDDIT-BINARY, GIN 5x64, batch 128, forward, backward and Adam: ours three ways, and PyTorch Geometric.

    python -m bench.training

Contenders take turns batch by batch, all on the same graphs. Our step includes putting the batch together and all
tables that belong to it; PyG's batches (edge_index or CSR, the faster) are made before the clock starts.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import dqnumba as dq
from dqnumba.autograd import cross_entropy
from dqnumba.train.optimizer import Adam

from . import goals, machine, peers, report
from .timing import PAUSE, ratio, summary

__all__ = ["main", "measure", "table"]

BATCH, LAYERS, WIDTH, LR, DECAY = 128, 5, 64, 0.005, 2e-4
OURS = {
    "fp32": None,
    "qat int8": dq.QuantConfig.qat(8),
    "degree-quant int8": dq.QuantConfig.degree_quant(8),
}
LARGEST_DEVIATION = 1e-3  # of PyG's first loss from ours


def our_step(dataset: Any, config: Any) -> Callable[[np.ndarray], float]:
    """A training step of our model on the graphs of the given numbers; returns the loss."""
    model: Any = _model(dataset)
    if config is not None:
        model = dq.prepare(model, config)
    optimizer, rng = Adam(model.parameters(), lr=LR, weight_decay=DECAY), np.random.default_rng(0)

    def step(index: np.ndarray) -> float:
        batch = dataset.batch(index)
        loss = cross_entropy(model(batch, training=True, rng=rng), batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def _model(dataset: Any, dropout: float = 0.5) -> Any:
    return dq.nn.GIN(
        dataset.num_features, WIDTH, dataset.num_classes, num_layers=LAYERS, norm="batch", readout="mean",
        head_dropout=dropout, seed=0,
    )  # fmt: skip


def pyg_model(model: Any) -> Any:
    """The same network in torch with the same weights: GIN, ReLU, batch norm; mean; two linears with dropout."""
    import torch
    from torch_geometric.nn import global_mean_pool

    convs = peers.build_pyg(model).convs

    def linear(layer: Any) -> Any:
        made = torch.nn.Linear(layer.in_channels, layer.out_channels)
        made.weight.data = torch.from_numpy(np.array(layer.weight.data)).T.contiguous()
        made.bias.data = torch.from_numpy(np.array(layer.bias.data))
        return made

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs, self.dropout = convs, torch.nn.Dropout(model.head_dropout)
            self.norms = torch.nn.ModuleList(torch.nn.BatchNorm1d(WIDTH) for _ in range(LAYERS))
            self.head1, self.head2 = linear(model.head1), linear(model.head2)

        def forward(self, x: Any, adjacency: Any, index: Any, graphs: int) -> Any:
            for conv, norm in zip(self.convs, self.norms, strict=True):
                x = norm(torch.relu(conv(x, adjacency)))
            x = torch.relu(self.head1(global_mean_pool(x, index, graphs)))
            return self.head2(self.dropout(x))

    return Network()


def pyg_step(dataset: Any, batches: list[np.ndarray]) -> tuple[Callable[[int], float] | None, dict[str, Any]]:
    """A training step of PyG on batch number n, by the faster path; and what is known of it."""
    if peers.pyg_or_none() is None:
        return None, machine.absent("torch_geometric")
    import torch

    torch.manual_seed(0)
    best: tuple[float, str, Any] | None = None
    facts: dict[str, Any] = {"probe_ms": {}}
    with dq.autograd.no_grad():  # without dropout and on one batch the two have to agree
        batch = dataset.batch(batches[0])
        rng = np.random.default_rng(0)
        wanted = float(cross_entropy(_model(dataset, 0.0)(batch, training=True, rng=rng), batch.y).item())
    for path in ("edge_index", "csr"):
        made = [_torch_batch(dataset, index, path) for index in batches]
        network = pyg_model(_model(dataset))
        optimizer = torch.optim.Adam(network.parameters(), lr=LR, weight_decay=DECAY)

        def step(n: int, network: Any = network, optimizer: Any = optimizer, made: Any = made) -> float:
            x, adjacency, index, graphs, y = made[n]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(x, adjacency, index, graphs), y)
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        twin = pyg_model(_model(dataset, 0.0))
        x, adjacency, index, graphs, y = made[0]
        try:
            found = float(torch.nn.functional.cross_entropy(twin(x, adjacency, index, graphs), y).detach())
            times = []
            for n in range(min(3, len(made))):
                started = time.perf_counter()
                step(n)
                times.append(time.perf_counter() - started)
        except (RuntimeError, NotImplementedError) as reason:
            facts["probe_ms"][path] = f"fails: {str(reason).splitlines()[0][:120]}"
            continue
        facts["probe_ms"][path] = min(times) * 1e3
        if best is None or min(times) < best[0]:
            best = (min(times), path, step)
            facts["error"] = abs(found - wanted) / abs(wanted)
    if best is None:
        return None, facts | {"absent": "PyG's step fails on both paths"}
    return best[2], facts | {"path": best[1]}


def _torch_batch(dataset: Any, index: np.ndarray, path: str) -> tuple:
    import torch

    batch = dataset.batch(index)
    return (
        torch.from_numpy(np.array(batch.x)), peers.pyg_adjacency(batch, path),
        torch.from_numpy(batch.graph_index.astype(np.int64)), batch.num_graphs, torch.from_numpy(np.array(batch.y)),
    )  # fmt: skip


def measure(dataset: Any, train: np.ndarray, *, epochs: int = 3, budget: float = 150.0) -> dict[str, Any]:
    """Seconds an epoch of every contender; ``epochs`` of them after one that warms up, fewer beyond ``budget``."""
    order = np.random.default_rng(0).permutation(train)
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    steps: dict[str, Callable[[int], float]] = {}
    for name, config in OURS.items():
        step = our_step(dataset, config)
        steps[name] = lambda n, step=step: step(batches[n])
    theirs, facts = pyg_step(dataset, batches)
    if theirs is not None:
        steps["pyg fp32"] = theirs
    failures = []
    if theirs is not None and not facts["error"] < LARGEST_DEVIATION:
        failures.append(f"PyG's first loss deviates from ours by {facts['error']:.2g}")
    losses: dict[str, list[float]] = {name: [] for name in steps}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():  # compilation, observers' first sight, malloc
        for n in range(min(2, len(batches))):
            step(n)
    started, collecting = time.perf_counter(), gc.isenabled()
    gc.disable()
    try:
        for epoch in range(epochs):
            if epoch and (time.perf_counter() - started) * (epoch + 1) / epoch > budget:
                break
            spent = dict.fromkeys(steps, 0.0)
            for n in range(len(batches)):
                for name, step in steps.items():
                    time.sleep(PAUSE)
                    before = time.perf_counter()
                    losses[name].append(step(n))
                    spent[name] += time.perf_counter() - before
                gc.collect()
            for name in steps:
                seconds[name].append(spent[name])
            report.progress(f"epoch {epoch}: " + ", ".join(f"{name} {spent[name]:.2f} s" for name in steps))
    finally:
        if collecting:
            gc.enable()
    contenders = {}
    for name in steps:
        contenders[name] = summary(seconds[name]) | {"losses": [losses[name][0], losses[name][-1]]}
        if not np.isfinite(losses[name]).all():
            failures.append(f"{name}: the loss is not finite")
    contenders.setdefault("pyg fp32", {})
    contenders["pyg fp32"] |= facts
    return {
        "graphs": len(train), "batches": len(batches), "contenders": contenders, "failures": failures,
        "ratios": {
            "qat_vs_fp32": ratio(contenders["qat int8"], contenders["fp32"]),
            "dq_vs_fp32": ratio(contenders["degree-quant int8"], contenders["fp32"]),
            "fp32_vs_pyg": ratio(contenders["fp32"], contenders["pyg fp32"]),
        },
    }  # fmt: skip


def table(content: dict[str, Any]) -> str:
    """Markdown: seconds an epoch and ratios."""
    own = content["contenders"]["fp32"]
    rows = []
    for name, fact in content["contenders"].items():
        seconds = [fact.get(key) for key in ("median_ms", "min_ms", "max_ms")]
        shown = [None if value is None else report.number(value / 1e3) for value in seconds]
        rows.append([name, *shown, report.number(ratio(fact, own), "x")])
    ratios = content["ratios"]
    lines = [report.markdown(["seconds an epoch", "median", "least", "most", "against our fp32"], rows), ""]
    lines.append(f"Degree-Quant against our fp32: {report.number(ratios['dq_vs_fp32'], 'x')} "
                 f"(goal {goals.met('dq_vs_fp32 <=', '', ratios['dq_vs_fp32'])}); our fp32 against PyG's: "
                 f"{report.number(ratios['fp32_vs_pyg'], 'x') or 'PyG is absent'} "
                 f"(goal {goals.met('fp32_vs_pyg <=', '', ratios['fp32_vs_pyg'])}).")  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.splitlines()[0])
    report.add_options(parser)
    parser.add_argument("--epochs", type=int, default=3, help="epochs that are timed (default: 3)")
    parser.add_argument("--limit", type=int, metavar="N", help="number of training graphs (default: all 1,600)")
    args = parser.parse_args()
    machine.keep_freed_memory()
    threads = machine.set_threads(args.threads)
    dataset = dq.data.load("reddit_binary")
    train = dataset.fold(0)["train"]
    train = train[: args.limit or (2 * BATCH if args.quick else None)]
    content = {"machine": machine.describe(threads), "quick": args.quick}
    content |= measure(dataset, train, epochs=1 if args.quick else args.epochs)
    report.save(args.results / "training.json", content)
    report.finish(args, "training", content, table(content))
    for failure in content["failures"]:
        report.progress(f"CHECK FAILED: {failure}")
    return 1 if content["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
