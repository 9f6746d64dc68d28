"""What the figures show, measured on runs of our own: errors of weight gradients and ranges of sums by in-degree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqnumba import autograd as ag
from dqnumba import nn
from dqnumba.qat import QuantConfig, draw_mask, prepare, protection_probability
from dqnumba.train.build import build_float, quant_config
from dqnumba.train.experiment import run_experiment
from dqnumba.train.source import load_source

from .cells import Cell, parse_cell

__all__ = ["BIN_EDGES", "aggregate_ranges", "by_degree", "gradient_error", "gradient_errors"]

#: First in-degree of each bin.
BIN_EDGES = (1, 2, 3, 4, 5, 7, 10, 16, 32)
#: Panel -> cells without and with the mask. The official mask does not reach GIN's MLP; that of ``dq-plus`` does.
GRADIENT_RUNS = {
    "GCN, straight-through, min/max": [f"cora/gcn/dq/4/paper/{m}-ste-minmax" for m in ("nomask", "mask")],
    "GIN, straight-through, min/max": [f"cora/gin/dq/4/paper/{m}-ste-minmax" for m in ("nomask", "mask")],
    "GIN, clipped, percentile": [f"cora/gin/dq/4/paper/{m}-clip-percentile" for m in ("nomask", "mask")],
    "GIN, the mask reaches the MLP": ["cora/gin/dq-plus/4"],
}
GRADIENT_EPOCHS = (10, 25, 50, 100, 200)
RANGE_RUNS = ("cora/gcn/fp32", "cora/gat/fp32", "cora/gin/fp32")
_MASKS = 20  # masks that a pass is averaged over


def by_degree(degree: NDArray, values: NDArray) -> dict[str, list[float]]:
    """Mean of ``values`` over the nodes of each bin of in-degrees, with the bin's mean in-degree and size."""
    index = np.searchsorted(BIN_EDGES, degree, side="right") - 1
    found: dict[str, list[float]] = {"degree": [], "value": [], "nodes": []}
    for k in range(len(BIN_EDGES)):
        chosen = index == k
        if chosen.any():
            found["degree"].append(float(degree[chosen].mean()))
            found["value"].append(float(values[chosen].mean()))
            found["nodes"].append(int(chosen.sum()))
    return found


# ---------------------------------------------------------------------------------------------- gradients


class _Taps:
    """Stands at the products of a model's convolutions: what went in, and the gradient of what came out."""

    def __init__(self, model: nn.GNN, *, keep_hooks: bool) -> None:
        self.inputs: dict[str, NDArray] = {}
        self.gradients: dict[str, NDArray] = {}
        for name, module in model.modules():
            if not keep_hooks:
                module.hooks = {}
            if isinstance(module, nn.GCNConv) or (isinstance(module, nn.Linear) and name.startswith("conv")):
                module.hooks["input"] = self._input(name, module.hooks.get("input"))
                module.hooks["feature"] = self._feature(name, module.hooks.get("feature"))

    def _input(self, name: str, hook: Callable | None) -> Callable:
        def tap(x: Any, ctx: Any, rows: Any) -> Any:
            x = x if hook is None else hook(x, ctx, rows)
            self.inputs[name] = np.array(x.toarray() if hasattr(x, "toarray") else x.data, np.float64)
            return x

        return tap

    def _feature(self, name: str, hook: Callable | None) -> Callable:
        def tap(x: Any, ctx: Any, rows: Any) -> Any:
            def backward(grad: NDArray) -> tuple[NDArray]:
                self.gradients[name] = np.array(grad, np.float64)
                return (grad,)

            x = ag.record(x.data, (x,), backward)
            return x if hook is None else hook(x, ctx, rows)

        return tap


def _pass(model: nn.GNN, graph: Any, protected: NDArray | None) -> None:
    ctx = nn.Context(graph)  # no dropout and no new ranges: what differs is the rounding alone
    ctx.protected = protected
    loss = ag.cross_entropy(model.forward(ctx), graph.y, index=np.flatnonzero(graph.train_mask))
    for parameter in model.parameters().values():
        parameter.zero_grad()
    loss.backward()


def gradient_error(exact: Sequence[NDArray], rounded: Sequence[NDArray]) -> NDArray:
    """Error of each node's part of a weight's gradient.

    The gradient of W in y = x W is the sum over the nodes of the outer products of row x_v and the gradient of row
    y_v. Given both rows in float (``exact``) and with rounding, each (N, K) and (N, M), this is the Frobenius norm of
    the difference of the two outer products, (N,), without forming them.
    """
    (x, g), (xr, gr) = exact, rounded

    def dot(a: NDArray, b: NDArray) -> NDArray:
        return np.einsum("nk,nk->n", a, b)

    square = dot(x, x) * dot(g, g) + dot(xr, xr) * dot(gr, gr) - 2 * dot(x, xr) * dot(g, gr)
    return np.sqrt(np.maximum(square, 0.0))


def gradient_errors(
    cell: Cell, seed: int, *, epochs: Sequence[int] = GRADIENT_EPOCHS, data: Any = None
) -> dict[str, NDArray]:
    """Error of the weights' gradients by node, over the products and some epochs of one training run.

    Each product's errors are divided by the mean size of a node's float part of it. ``"masked"`` has the masks of
    training (and is absent where there are none), ``"all rounded"`` has none; ``"float part"`` is what is rounded.

    Parameters
    ----------
    cell : Cell
        Of a GCN in the paper's layout, or a GIN, on one graph.
    """
    settings = cell.settings(seed, None)
    source = load_source(settings.source, data=data)
    recipe, graph = settings.recipe(many_graphs=False), source.data
    config = quant_config(settings, recipe)
    rounded, exact = (prepare(build_float(settings, recipe, source), config) for _ in range(2))
    taps, float_taps = _Taps(rounded.model, keep_hooks=True), _Taps(exact.model, keep_hooks=False)
    rng = np.random.default_rng(seed)
    kinds = ["float part", "all rounded"] + (["masked"] if config.masked else [])
    total = {kind: np.zeros(graph.num_nodes) for kind in kinds}
    looked = 0

    def add(kind: str, protected: NDArray | None, share: float) -> None:
        _pass(rounded.model, graph, protected)
        for name, x in float_taps.inputs.items():
            g = float_taps.gradients[name]
            size = np.linalg.norm(x, axis=1) * np.linalg.norm(g, axis=1)
            error = gradient_error((x, g), (taps.inputs[name], taps.gradients[name]))
            total[kind] += share * error / size.mean() / len(float_taps.inputs)
            if kind == "all rounded":
                total["float part"] += size / size.mean() / len(float_taps.inputs)

    def look(end: Any) -> None:
        nonlocal looked
        if end.epoch not in epochs:
            return
        looked += 1
        state = end.capture().model
        rounded.load_state_dict(state)
        exact.load_state_dict(state)
        _pass(exact.model, graph, None)
        add("all rounded", None, 1.0)
        if config.masked:
            probability = protection_probability(graph, config.mask_low, config.mask_high)
            for _ in range(_MASKS):
                add("masked", draw_mask(probability, rng), 1.0 / _MASKS)

    run_experiment(settings, data=graph, callback=look)
    return {kind: values / max(looked, 1) for kind, values in total.items()}


def gradients(seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """The figure's numbers: for each panel curves over the in-degree, one a seed."""
    panels: dict[str, dict[str, list]] = {}
    for panel, cells in GRADIENT_RUNS.items():
        curves = panels[panel] = {}
        for text in cells:
            cell = parse_cell(text)
            graph = load_source(cell.settings(0, None).source).data
            trained = "trained without mask" if "nomask" in text else "trained with mask"
            for seed in seeds:
                errors = gradient_errors(cell, seed, data=graph)
                say(f"{text} seed {seed}: mean error {errors['all rounded'].mean():.3f}")
                for kind, values in errors.items():
                    name = kind if kind == "float part" else f"{trained}, {kind}"
                    curves.setdefault(name, []).append(by_degree(graph.in_degree, values))
    return {"cells": GRADIENT_RUNS, "epochs": GRADIENT_EPOCHS, "seeds": list(seeds), "panels": panels}


# ---------------------------------------------------------------------------------------------- ranges


def aggregate_ranges(cell: Cell, seed: int, *, data: Any = None) -> list[NDArray]:
    """Width max - min of each node's aggregate, in every layer of a float model that was trained, (N,) a layer."""
    settings = cell.settings(seed, None)
    result = run_experiment(settings, data=data)
    # In the paper's layout the aggregate is a site of its own; the hooks of all others are taken out.
    qmodel = prepare(result.model, QuantConfig.degree_quant(8, sites="paper"))
    found: list[NDArray] = []

    def tap(x: Any, ctx: Any, rows: Any) -> Any:
        found.append(x.data.max(axis=1) - x.data.min(axis=1))
        return x

    for _, module in qmodel.model.modules():
        module.hooks = {"aggregate": tap} if "aggregate" in module.hooks else {}
    with ag.no_grad():
        qmodel.model.forward(nn.Context(result.source.data))
    return found


def ranges(seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """The figure's numbers: width of the aggregate over the in-degree, and the exponent of its growth."""
    curves: dict[str, list] = {}
    for text in RANGE_RUNS:
        cell = parse_cell(text)
        graph = load_source(cell.settings(0, None).source).data
        for seed in seeds:
            for layer, width in enumerate(aggregate_ranges(cell, seed, data=graph), start=1):
                curve = by_degree(graph.in_degree, width)
                slope = np.polyfit(np.log(curve["degree"]), np.log(curve["value"]), 1)[0]
                curves.setdefault(f"{cell.model} layer {layer}", []).append(curve | {"exponent": float(slope)})
                say(f"{text} seed {seed} layer {layer}: the range grows as in-degree ** {slope:.2f}")
    return {"cells": list(RANGE_RUNS), "seeds": list(seeds), "curves": curves}
