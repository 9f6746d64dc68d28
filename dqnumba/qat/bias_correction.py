"""Bias correction: what rounding does to the typical output of a layer, taken out of its bias."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import autograd as ag
from .. import nn
from ..errors import ConfigError
from ..nn import Context
from .prepare import QuantizedModel
from .taps import OUTPUT, Tap, float_twin, observed

__all__ = ["TRIM", "correct_biases"]

#: Share of the rows left out at each end, per channel: the mean is that of the middle half.
TRIM = 0.25


def correct_biases(
    qmodel: QuantizedModel, batches: Callable[[], Iterable[Any]], *, trim: float = TRIM
) -> dict[str, float]:
    """Subtract from every bias the mean error of the sum that it is added to, layer by layer.

    Rounding does not average out: each output channel of a layer is off by a mean of its own (Nagel et al., "Data-Free
    Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2; here the means are those of the
    data). The error is taken where the bias is, before batch normalization and ReLU, in the units of the float model. A
    layer is corrected after all layers before it, so that each bias answers for what is left of the error of its
    inputs too.

    The mean leaves out a share of the rows at each end. A graph has hubs whose sums lie far outside the range and are
    clipped: few rows with errors of many codes. A mean over all rows moves all others by what only the hubs lack.

    These sums are looked at: the output of a GCNConv, GATConv and SAGEConv, both linears of a GINConv (the first one
    after the neighbours were added, also where the product comes before that), both linears behind a readout.

    Parameters
    ----------
    qmodel : QuantizedModel
        With ranges. Its biases are changed in place; the float model is what its weights say before that.
    batches : callable
        Gives the graphs to look at, anew at each call.
    trim : float
        In [0, 0.5): 0 takes the mean over all rows, as the paper does.

    Returns
    -------
    dict of float
        Largest absolute correction by bias.

    Raises
    ------
    ConfigError
        ``trim`` out of range.
    """
    if not 0.0 <= trim < 0.5:
        raise ConfigError(f"trim={trim!r} is a share left out at each end; use a number in [0, 0.5).")
    twin = float_twin(qmodel)
    corrections = {}
    for name, bias in _biases(qmodel.model).items():
        parts = [_sums(qmodel.model, graph, name) - _sums(twin, graph, name) for graph in batches()]
        error = _trimmed_mean(np.concatenate(parts), trim)
        bias.data[...] = _as_it_acts(qmodel, name, bias) - error
        corrections[name] = float(np.abs(error).max(initial=0.0))
    return corrections


def _as_it_acts(qmodel: QuantizedModel, name: str, bias: ag.Tensor) -> NDArray[np.float32]:
    """The bias on the grid of the accumulators that it starts, if it starts any: what the error was measured with."""
    rounder = qmodel.quantizers.get(name)
    return bias.data if rounder is None else rounder(bias, Context(None), None).data


def _trimmed_mean(errors: NDArray[np.float64], trim: float) -> NDArray[np.float64]:
    """Mean of each column (R, C) -> (C,), without a share of its largest and smallest values; 0 without rows."""
    cut = int(len(errors) * trim)
    if len(errors) == 0:
        return np.zeros(errors.shape[1])
    return (np.sort(errors, axis=0)[cut : len(errors) - cut] if cut else errors).mean(axis=0)


def _biases(model: nn.GNN) -> dict[str, ag.Tensor]:
    """The biases in the order of execution."""
    found = {}
    for i, conv in enumerate(model.convs, start=1):
        gin = isinstance(conv, nn.GINConv)
        layers = {f"conv{i}.lin1": conv.lin1, f"conv{i}.lin2": conv.lin2} if gin else {f"conv{i}": conv}
        found |= {f"{name}.bias": layer.bias for name, layer in layers.items()}
    if model.config["readout"]:
        found |= {"head1.bias": model.head1.bias, "head2.bias": model.head2.bias}
    return found


def _sums(model: nn.GNN, graph: Any, bias: str) -> NDArray[np.float64]:
    """What passes ``bias``, bias included, for each row: (R, C)."""
    seen: list[NDArray[np.float64]] = []
    observed(model, graph, [_tap(model, bias, lambda y: seen.append(y.data.astype(np.float64)))])
    return seen[0]


def _tap(model: nn.GNN, bias: str, keep: Callable[[ag.Tensor], None]) -> Tap:
    layers = dict(model.modules())
    owner = bias.removesuffix(".bias")
    layer = layers[owner]
    conv = layers[owner.rpartition(".")[0]]
    if owner.endswith(".lin1") and conv.plan == "transform_first":
        return conv, "feature", lambda h, ctx: keep(_first_of_gin(conv, h, ctx))
    if isinstance(layer, nn.Linear):
        return layer, "feature", lambda y, ctx: keep(y)
    return layer, OUTPUT, lambda y, ctx: keep(y)


def _first_of_gin(conv: nn.GINConv, h: ag.Tensor, ctx: Context) -> ag.Tensor:
    """The sum that lin1's bias is added to where the product with lin1's weight came before the neighbours."""
    self_weight = conv.site("eps", conv.eps + 1.0, ctx)
    return ag.self_and_neighbor_sum(ctx.graph.adjacency("remove"), h, self_weight) + conv.lin1.bias
